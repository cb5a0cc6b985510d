//! The rule that says whether one side is slower than another, from pairs measured in turns.
//!
//! A pair is ln(after / before), turned so that above 0 is worse. Pairs are added until the
//! interval of their median is narrow enough, whatever it says: a rule that stops on width and not
//! on the answer does not raise false alarms. The interval is the distribution-free one from order
//! statistics (Conover, *Practical Nonparametric Statistics*, 3.2); it asks nothing of the shape
//! of the noise, which on a shared machine is far from normal.

use crate::stats::{Interval, median};

/// What is called, and how sure one must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Worse by more than this share is a warning.
    pub warn: f64,
    /// Worse by more than this share is a regression.
    pub regress: f64,
    /// Measuring ends when the interval is this narrow: half its width, as a share.
    pub half_width: f64,
    /// Pairs at least and at most.
    pub least: usize,
    pub most: usize,
}

impl Default for Rules {
    /// A true change of 5 % lies two half-widths from the threshold, and so does none at all.
    fn default() -> Self {
        Rules { warn: 0.0125, regress: 0.025, half_width: 0.015, least: 20, most: 200 }
    }
}

/// What pairs say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Call {
    Regressed,
    Warning,
    Same,
    Improved,
    /// The pairs scatter too much to say.
    Unclear,
}

impl Call {
    pub fn name(self) -> &'static str {
        match self {
            Call::Regressed => "regressed",
            Call::Warning => "warning",
            Call::Same => "same",
            Call::Improved => "improved",
            Call::Unclear => "unclear",
        }
    }
}

/// The change that pairs show: shares, above 0 is worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    pub change: f64,
    /// Its 99 % interval; infinite with fewer than eight pairs.
    pub low: f64,
    pub high: f64,
    pub pairs: usize,
    pub call: Call,
}

/// Chance that the interval misses the median.
const MISS: f64 = 0.01;

/// The median with its 99 % interval from order statistics; an infinite interval where there are
/// too few values for one.
pub fn median_interval(values: &[f64]) -> Interval {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|x| x.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let value = median(&sorted);
    match rank(sorted.len()) {
        Some(k) => Interval { value, low: sorted[k], high: sorted[sorted.len() - 1 - k] },
        None => Interval { value, low: f64::NEG_INFINITY, high: f64::INFINITY },
    }
}

/// Values to leave out at each end: the most, k, for which 2·P(Binomial(n, ½) ≤ k) ≤ `MISS`.
fn rank(n: usize) -> Option<usize> {
    // Term by term in logarithms: ½ to the power of n is no number for a large n.
    let mut term = -(n as f64) * std::f64::consts::LN_2;
    let mut sum = term.exp();
    let mut found = None;
    for k in 0..n {
        if 2.0 * sum > MISS {
            break;
        }
        found = Some(k);
        term += ((n - k) as f64 / (k + 1) as f64).ln();
        sum += term.exp();
    }
    found
}

/// Whether more pairs would change little.
pub fn is_enough(pairs: &[f64], rules: &Rules) -> bool {
    let i = median_interval(pairs);
    pairs.len() >= rules.most || (pairs.len() >= rules.least && (i.high - i.low) / 2.0 <= rules.half_width)
}

pub fn judge(pairs: &[f64], rules: &Rules) -> Judged {
    let i = median_interval(pairs);
    let (warn, regress) = (rules.warn.ln_1p(), rules.regress.ln_1p());
    let call = if i.value > regress && i.low > 0.0 {
        Call::Regressed
    } else if i.value < -regress && i.high < 0.0 {
        Call::Improved
    } else if i.value > warn && i.low > 0.0 {
        Call::Warning
    } else if (i.low > -regress && i.high < regress) || (i.high - i.low) / 2.0 <= rules.half_width {
        Call::Same
    } else {
        Call::Unclear
    };
    Judged { change: i.value.exp_m1(), low: i.low.exp_m1(), high: i.high.exp_m1(), pairs: pairs.len(), call }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernelsmith_core::inputs::hash;
    use proptest::prelude::*;

    fn noise(seed: u64, n: usize, spread: f64) -> Vec<f64> {
        (0..n as u64).map(|i| spread * ((hash(seed, i) % 20_001) as f64 / 10_000.0 - 1.0)).collect()
    }

    #[test]
    fn the_interval_leaves_out_what_the_binomial_allows() {
        // Tables: n = 8 leaves none, 12 one, 20 three, 100 thirty-six.
        assert_eq!([7, 8, 12, 20, 100].map(rank), [None, Some(0), Some(1), Some(3), Some(36)]);
        assert!(rank(5000).is_some_and(|k| k > 2350 && k < 2500));
        let i = median_interval(&[1.0, 2.0, f64::NAN]);
        assert_eq!((i.value, i.low, i.high), (1.5, f64::NEG_INFINITY, f64::INFINITY));
    }

    #[test]
    fn calls() {
        let rules = Rules::default();
        let shifted = |by: f64, spread| {
            let pairs: Vec<f64> = noise(1, 60, spread).iter().map(|x| x + f64::ln_1p(by)).collect();
            judge(&pairs, &rules).call
        };
        assert_eq!(shifted(0.05, 0.01), Call::Regressed);
        assert_eq!(shifted(-0.05, 0.01), Call::Improved);
        assert_eq!(shifted(0.018, 0.01), Call::Warning);
        assert_eq!(shifted(0.0, 0.01), Call::Same);
        assert_eq!(shifted(0.0, 0.6), Call::Unclear);
        assert_eq!(judge(&[], &rules).call, Call::Unclear);
        assert_eq!(judge(&[0.3; 3], &rules).call, Call::Unclear, "three pairs say nothing");
    }

    proptest! {
        #[test]
        fn the_interval_holds_its_median(seed in any::<u64>(), n in 0usize..300) {
            let i = median_interval(&noise(seed, n, 0.3));
            prop_assert!(n == 0 || (i.low <= i.value && i.value <= i.high));
        }

        /// Turning the sides round turns the answer round.
        #[test]
        fn sides_are_alike(seed in any::<u64>(), n in 8usize..80, by in -0.1f64..0.1) {
            let pairs: Vec<f64> = noise(seed, n, 0.05).iter().map(|x| x + by).collect();
            let turned: Vec<f64> = pairs.iter().map(|x| -x).collect();
            let (a, b) = (judge(&pairs, &Rules::default()).call, judge(&turned, &Rules::default()).call);
            prop_assert_eq!(a == Call::Regressed, b == Call::Improved);
            prop_assert_eq!(a == Call::Improved, b == Call::Regressed);
        }
    }
}
