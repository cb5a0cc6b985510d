//! Replay: a strategy against a space whose every point was measured before, so that a search
//! costs no device. What it finds is judged by the fraction of the optimum: the best time of all
//! over the best time found so far.

mod contest;
pub mod known;
mod summary;

pub use contest::{Contest, ContestError, contest};
pub use known::{Known, KnownError};
pub use summary::{Row, counts, rows};

use crate::search::{self, Outcome, Prior, PriorCheck, Setting, UnknownStrategy};
use std::time::{Duration, Instant};

/// One search of one space.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Fraction of the optimum after each evaluation; 0 while nothing has passed.
    pub fraction: Vec<f64>,
    pub check: Option<PriorCheck>,
    /// Time in the strategy itself.
    pub overhead: Duration,
}

/// Runs a strategy on a space until `budget` points are measured or none is left. A point that
/// failed costs an evaluation like any other.
pub fn run(known: &Known, strategy: &str, prior: &Prior, budget: usize, seed: u64) -> Result<Curve, UnknownStrategy> {
    let start = Instant::now();
    let setting = Setting { space: known.space.clone(), prior: prior.clone(), seed };
    let mut strategy = search::strategy(strategy, setting)?;
    let mut best = f64::INFINITY;
    let mut fraction = Vec::with_capacity(budget);
    while fraction.len() < budget {
        let asked = strategy.ask(1, fraction.len() as f64 / budget as f64);
        let Some(point) = asked.first() else { break };
        let outcome = known.outcomes[*point];
        strategy.tell(*point, outcome);
        best = best.min(outcome.cost());
        fraction.push(known.optimum / best);
    }
    // A space that is smaller than the budget is known whole.
    let last = fraction.last().copied().unwrap_or(0.0);
    fraction.resize(budget, last);
    Ok(Curve { fraction, check: strategy.prior_check(), overhead: start.elapsed() })
}

/// The least cost of all outcomes.
fn optimum(outcomes: &[Outcome]) -> f64 {
    outcomes.iter().map(|o| o.cost()).fold(f64::INFINITY, f64::min)
}
