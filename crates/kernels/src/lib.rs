//! The catalogue: what variants of each op exist, which problems they can take, how they are
//! configured, rendered and launched, and which one won where.
#![forbid(unsafe_code)]

pub mod candidate;
pub mod catalogue;
pub mod config;
pub mod facts;
pub mod formula;
pub mod frame;
pub mod geometry;
pub mod manifest;
pub mod render;
pub mod tuned;

/// The text files of `kernels/`, `specs/` and `tuned/`, as (path, text).
pub mod embedded {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

pub use candidate::Candidate;
pub use catalogue::{Catalogue, CatalogueError, Gap};
pub use config::Config;
pub use facts::{DeviceFacts, Target};
pub use manifest::Variant;
