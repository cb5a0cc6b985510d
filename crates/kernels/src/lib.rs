//! The catalogue: what variants of each op exist, which problems they can take, how they are
//! configured, rendered and launched, and which one won where.
#![forbid(unsafe_code)]

pub mod config;

pub use config::Config;
