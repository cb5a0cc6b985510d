//! Search: which point of a space to measure next.
//!
//! A *space* holds every valid config as a *point*; a *strategy* is asked for points and told their
//! outcomes; a *prior* is what was known of the points before. Strategies know neither kernels nor
//! files: the lab's candidates (`candidates.rs`) and recorded spaces (`crate::replay`) both become
//! a [`Space`].

pub mod analytic;
mod annealing;
pub mod candidates;
mod coordinates;
mod default;
mod descent;
mod exhaustive;
mod expectation;
mod features;
mod forest;
mod gaussian;
mod genetic;
mod measured;
mod model;
pub mod prior;
mod random;
mod rng;
pub mod siblings;
pub mod space;
mod surrogate;
pub mod tiles;

pub use measured::Outcome;
pub use prior::{Prior, PriorCheck};
pub use space::{Parameter, Space};

use std::sync::Arc;

/// What a strategy starts from. The same setting gives the same points.
#[derive(Clone, Debug)]
pub struct Setting {
    pub space: Arc<Space>,
    /// What is known of the points beforehand; only some strategies use it.
    pub prior: Prior,
    pub seed: u64,
}

/// Chooses points to measure. No point is asked for twice.
pub trait Strategy {
    /// The next points, at most `count`. `spent` is the share of the budget that is used, 0 to 1.
    /// Empty where every point has been asked for. Several calls may come before their outcomes.
    fn ask(&mut self, count: usize, spent: f64) -> Vec<usize>;

    /// The outcome of a point, asked for or not.
    fn tell(&mut self, point: usize, outcome: Outcome);

    /// How the prior has fared so far; none where the strategy uses none, or it is too early.
    fn prior_check(&self) -> Option<PriorCheck> {
        None
    }
}

/// A strategy by name.
pub struct Entry {
    pub name: &'static str,
    pub about: &'static str,
    pub make: fn(Setting) -> Box<dyn Strategy>,
}

/// Every strategy; the first is the default.
pub const STRATEGIES: &[Entry] = &[
    Entry {
        name: "default",
        about: "prior first, then evolution with a Gaussian process and a forest as surrogates, a share for exploration, polish at the end",
        make: |s| Box::new(default::Default::new(s)),
    },
    Entry {
        name: "exhaustive",
        about: "every point in the order of the space",
        make: |s| Box::new(exhaustive::Exhaustive::new(s)),
    },
    Entry { name: "random", about: "every point in random order", make: |s| Box::new(random::Random::new(s)) },
    Entry {
        name: "descent",
        about: "from a random point to its best neighbour until there is none, then again",
        make: |s| Box::new(descent::Descent::new(s)),
    },
    Entry {
        name: "annealing",
        about: "simulated annealing: worse neighbours are taken less and less often",
        make: |s| Box::new(annealing::Annealing::new(s)),
    },
    Entry {
        name: "genetic",
        about: "a population that recombines and mutates",
        make: |s| Box::new(genetic::Genetic::new(s)),
    },
    Entry {
        name: "surrogate",
        about: "a forest of regression trees proposes what it expects to improve most",
        make: |s| Box::new(surrogate::Surrogate::new(s)),
    },
];

/// A name that is not in [`STRATEGIES`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no strategy `{name}`, there are {known}")]
pub struct UnknownStrategy {
    name: String,
    known: String,
}

/// A strategy's entry by name.
pub fn find(name: &str) -> Result<&'static Entry, UnknownStrategy> {
    STRATEGIES.iter().find(|s| s.name == name).ok_or_else(|| UnknownStrategy {
        name: name.to_string(),
        known: STRATEGIES.iter().map(|s| s.name).collect::<Vec<_>>().join(", "),
    })
}

/// A strategy by name, ready to be asked.
pub fn strategy(name: &str, setting: Setting) -> Result<Box<dyn Strategy>, UnknownStrategy> {
    Ok((find(name)?.make)(setting))
}

#[cfg(test)]
mod tests;
