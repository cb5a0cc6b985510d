//! The lab: proves candidates right, times them beside the vendor's library, keeps the evidence.
#![forbid(unsafe_code)]

mod awake;
pub mod bench_session;
pub mod client;
pub mod compare;
pub mod evidence;
pub mod gate;
pub mod gate_test;
pub mod history;
pub mod in_place;
pub mod inspection;
pub mod interchange;
pub mod late;
pub mod lines;
pub mod live;
pub mod peer;
pub mod protocol;
pub mod provenance;
pub mod race;
pub mod regret;
pub mod replay;
pub mod report;
pub mod screen;
pub mod search;
pub mod secret;
pub mod spec;
pub mod stats;
pub mod timer;
pub mod tune;
pub mod work;
pub mod worker;
