//! Steps in a series of measurements: E-divisive means (Matteson & James, *A Nonparametric
//! Approach for Multiple Change Point Analysis of Multivariate Data*, JASA 2014), as used on a
//! database's performance history by Daly et al., *The Use of Change Point Detection to Identify
//! Software Performance Regressions in a Continuous Integration System*, ICPE 2020.
//!
//! A series is split where the energy distance between its two parts is largest; the split stands
//! if permutations of the series rarely give one as large; then each part is looked at again. As
//! in later practice (Fleming et al., *Hunter*, ICPE 2023) a part is permuted by itself, and a step
//! too small to matter is dropped. A step is a suspicion: a paired race decides (`confirm`).

use crate::stats::median;
use kernelsmith_core::inputs::hash;

/// A change of level between two neighbouring values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Place of the first value of the new level.
    pub at: usize,
    /// Medians of the levels on both sides.
    pub before: f64,
    pub after: f64,
    /// Chance of such a split without a change, from permutations.
    pub chance: f64,
}

/// Values on each side of a split at least.
const LEAST: usize = 3;
/// Permutations of a test, and the chance that is small enough.
const PERMUTATIONS: usize = 199;
const SIGNIFICANT: f64 = 0.01;
/// Smaller changes of level are dropped: shares.
const SMALLEST: f64 = 0.01;

/// The steps of a series of positive numbers, in order. The same series gives the same steps.
pub fn steps(values: &[f64]) -> Vec<Step> {
    let logs: Vec<f64> = values.iter().map(|x| x.ln()).collect();
    if logs.iter().any(|x| !x.is_finite()) {
        return Vec::new();
    }
    let mut splits = Vec::new();
    divide(&logs, 0, &mut splits);
    splits.sort_by_key(|s: &(usize, f64)| s.0);
    // Levels that turn out nearly alike are one, the least different neighbours first.
    loop {
        let edges: Vec<usize> = [0].into_iter().chain(splits.iter().map(|s| s.0)).chain([values.len()]).collect();
        let level = |i: usize| median(&values[edges[i]..edges[i + 1]]);
        let change = |i: usize| (level(i + 1) / level(i)).ln().abs();
        let flattest = (0..splits.len()).min_by(|a, b| change(*a).total_cmp(&change(*b)));
        match flattest.filter(|i| change(*i) < SMALLEST) {
            Some(i) => splits.remove(i),
            None => {
                let step = |(i, (at, chance)): (usize, &(usize, f64))| Step {
                    at: *at,
                    before: level(i),
                    after: level(i + 1),
                    chance: *chance,
                };
                return splits.iter().enumerate().map(step).collect();
            }
        };
    }
}

fn divide(logs: &[f64], offset: usize, out: &mut Vec<(usize, f64)>) {
    let Some((at, size)) = split(logs) else { return };
    let allowed = (SIGNIFICANT * (PERMUTATIONS + 1) as f64) as usize;
    let mut larger = 1;
    let mut shuffled = logs.to_vec();
    for round in 0..PERMUTATIONS as u64 {
        for i in (1..shuffled.len()).rev() {
            shuffled.swap(i, (hash(round ^ 0x57e9, i as u64) % (i as u64 + 1)) as usize);
        }
        larger += usize::from(split(&shuffled).is_some_and(|s| s.1 >= size));
        if larger > allowed {
            return;
        }
    }
    out.push((offset + at, larger as f64 / (PERMUTATIONS + 1) as f64));
    divide(&logs[..at], offset, out);
    divide(&logs[at..], offset + at, out);
}

/// The best split and its scaled energy distance, with the sums updated as it moves.
fn split(x: &[f64]) -> Option<(usize, f64)> {
    let n = x.len();
    if n < 2 * LEAST {
        return None;
    }
    let (mut left, mut across) = (0.0, 0.0);
    let mut right: f64 = (0..n).map(|i| x[i + 1..].iter().map(|y| (x[i] - y).abs()).sum::<f64>()).sum();
    let pairs = |m: usize| (m * (m - 1) / 2).max(1) as f64;
    let mut best: Option<(usize, f64)> = None;
    for at in 1..n {
        // The value before the split changes sides.
        let moved = x[at - 1];
        let to_left: f64 = x[..at - 1].iter().map(|y| (moved - y).abs()).sum();
        let to_right: f64 = x[at..].iter().map(|y| (moved - y).abs()).sum();
        left += to_left;
        right -= to_right;
        across += to_right - to_left;
        let (l, r) = (at, n - at);
        if l < LEAST || r < LEAST {
            continue;
        }
        let energy = 2.0 * across / (l * r) as f64 - left / pairs(l) - right / pairs(r);
        let scaled = energy * (l * r) as f64 / n as f64;
        if best.is_none_or(|b| scaled > b.1) {
            best = Some((at, scaled));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn series(seed: u64, levels: &[(f64, usize)], noise: f64) -> Vec<f64> {
        let all = levels.iter().flat_map(|(level, n)| std::iter::repeat_n(*level, *n));
        let unit = |i: usize| (hash(seed, i as u64) % 20_001) as f64 / 10_000.0 - 1.0;
        all.enumerate().map(|(i, level)| level * (1.0 + noise * unit(i))).collect()
    }

    #[test]
    fn steps_are_found_where_they_are() {
        let found = steps(&series(1, &[(10.0, 20), (10.5, 20), (9.0, 15)], 0.01));
        assert_eq!(found.iter().map(|s| s.at).collect::<Vec<_>>(), [20, 40]);
        assert!((found[0].after / found[0].before - 1.05).abs() < 0.01 && found[0].chance <= 0.01);
    }

    #[test]
    fn outliers_are_no_steps() {
        let mut values = series(2, &[(10.0, 40)], 0.01);
        (values[7], values[30]) = (14.0, 17.0);
        assert_eq!(steps(&values), []);
    }

    #[test]
    fn what_is_short_flat_or_no_number_has_none() {
        for values in
            [vec![], vec![1.0], vec![1.0, 2.0, 1.0, 2.0, 2.0], vec![3.0; 50], vec![0.0; 20], vec![f64::NAN; 9]]
        {
            assert_eq!(steps(&values), []);
        }
        // A change smaller than matters.
        assert_eq!(steps(&series(3, &[(10.0, 40), (10.05, 40)], 0.001)), []);
    }

    #[test]
    fn noise_is_rarely_called() {
        let wrong = (0..200).filter(|seed| !steps(&series(*seed, &[(10.0, 30)], 0.03)).is_empty()).count();
        assert!(wrong <= 6, "{wrong} of 200");
    }

    #[test]
    fn a_step_of_five_percent_is_mostly_found() {
        let found =
            |seed: &u64| steps(&series(*seed, &[(10.0, 15), (10.5, 15)], 0.03)).iter().any(|s| s.at.abs_diff(15) <= 1);
        let hits = (0..100).filter(found).count();
        assert!(hits >= 95, "{hits} of 100");
    }

    proptest! {
        #[test]
        fn any_series_gives_steps_in_order(values in prop::collection::vec(-1.0f64..1e6, 0..40)) {
            let found = steps(&values);
            prop_assert!(found.windows(2).all(|w| w[0].at < w[1].at));
            prop_assert!(found.iter().all(|s| s.at >= LEAST && s.at + LEAST <= values.len()));
        }
    }
}
