//! Means over seeds and spaces, with intervals.

use super::Curve;
use crate::stats::{Interval, mean_interval};
use std::time::Duration;

/// Counts of evaluations at which the fraction of the optimum is told.
const COUNTS: [usize; 5] = [10, 25, 50, 100, 200];

/// One line of the outcome: a space, or all of them.
#[derive(Clone, Debug)]
pub struct Row {
    /// The space's name, or `all`.
    pub space: String,
    /// Mean fraction of the optimum after so many evaluations, with a 95 % interval over seeds.
    pub fraction: Vec<(usize, Interval)>,
    /// In the row of all: the space that is worst at each count, and its mean.
    pub worst: Vec<(String, f64)>,
    /// Mean rank correlation of the prior with what was measured; none without a prior.
    pub correlation: Option<f64>,
    /// Time in the strategy for an evaluation.
    pub overhead: Duration,
}

/// Counts within a budget; the budget itself where it is none of them.
pub fn counts(budget: usize) -> Vec<usize> {
    let mut out: Vec<usize> = COUNTS.into_iter().filter(|c| *c <= budget).collect();
    if out.last() != Some(&budget) {
        out.push(budget);
    }
    out
}

/// A row for each space, which has a curve a seed, then one for all.
pub fn rows(spaces: &[(String, Vec<Curve>)], budget: usize) -> Vec<Row> {
    let counts = counts(budget);
    let at = |curve: &Curve, count: usize| curve.fraction.get(count - 1).copied().unwrap_or(0.0);
    let mut out: Vec<Row> = Vec::new();
    for (name, curves) in spaces {
        let over_seeds = |count: usize| mean_interval(&curves.iter().map(|c| at(c, count)).collect::<Vec<_>>());
        let refs: Vec<&Curve> = curves.iter().collect();
        out.push(Row {
            space: name.clone(),
            fraction: counts.iter().map(|c| (*c, over_seeds(*c))).collect(),
            worst: Vec::new(),
            correlation: correlation(&refs),
            overhead: overhead(&refs, budget),
        });
    }
    // Every seed's mean over the spaces: these are what they are, the seeds are drawn.
    let seeds = spaces.iter().map(|(_, curves)| curves.len()).min().unwrap_or(0);
    let of_seed = |s: usize, count: usize| {
        spaces.iter().map(|(_, curves)| at(&curves[s], count)).sum::<f64>() / spaces.len() as f64
    };
    let over_all = |count: usize| mean_interval(&(0..seeds).map(|s| of_seed(s, count)).collect::<Vec<_>>());
    let worst = |i: usize| {
        let rows = out.iter().map(|r| (r.space.clone(), r.fraction[i].1.value));
        rows.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default()
    };
    let every: Vec<&Curve> = spaces.iter().flat_map(|(_, curves)| curves).collect();
    let all = Row {
        space: "all".to_string(),
        fraction: counts.iter().map(|c| (*c, over_all(*c))).collect(),
        worst: (0..counts.len()).map(worst).collect(),
        correlation: correlation(&every),
        overhead: overhead(&every, budget),
    };
    out.push(all);
    out
}

fn correlation(curves: &[&Curve]) -> Option<f64> {
    let all: Vec<f64> = curves.iter().filter_map(|c| c.check.as_ref()).map(|c| c.correlation).collect();
    (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
}

fn overhead(curves: &[&Curve], budget: usize) -> Duration {
    let total: Duration = curves.iter().map(|c| c.overhead).sum();
    total.div_f64((curves.len() * budget).max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(fraction: Vec<f64>) -> Curve {
        Curve { fraction, check: None, overhead: Duration::from_millis(40) }
    }

    #[test]
    fn means_are_over_seeds_and_then_over_spaces() {
        let flat = |x: f64| curve(vec![x; 20]);
        let spaces = [("a".to_string(), vec![flat(0.5), flat(0.7)]), ("b".to_string(), vec![flat(1.0), flat(1.0)])];
        let rows = rows(&spaces, 20);
        let values: Vec<Vec<f64>> = rows.iter().map(|r| r.fraction.iter().map(|f| f.1.value).collect()).collect();
        assert_eq!(counts(20), [10, 20]);
        assert!((values[0][0] - 0.6).abs() < 1e-12 && values[1][1] == 1.0 && (values[2][0] - 0.8).abs() < 1e-12);
        assert_eq!(rows[2].space, "all");
        assert_eq!(rows[2].worst[0].0, "a");
        assert!(rows[0].fraction[0].1.low >= 0.5 && rows[0].fraction[0].1.high <= 0.7);
        assert_eq!(rows[0].overhead, Duration::from_millis(2));
    }
}
