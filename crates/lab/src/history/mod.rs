//! Runs over time: what they measured (`metric`), the file that a run is held to (`baseline`,
//! `regress`), the log of experiments (`log`), steps in a series (`series`, `steps`), and the
//! paired races that decide whether a step is real (`paired`, `sides`, `confirm`) and which commit
//! made it (`bisect`).

pub mod baseline;
pub mod bisect;
pub mod confirm;
pub mod log;
pub mod metric;
pub mod paired;
pub mod regress;
pub mod sensitivity;
pub mod series;
pub mod sides;
pub mod steps;
