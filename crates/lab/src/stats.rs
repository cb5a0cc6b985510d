//! Statistics of samples: medians, paired ratios, bootstrap intervals, verdicts.

use kernelsmith_core::inputs::hash;

/// Median of the samples; NaN where there are none.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]),
    }
}

/// A point estimate with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// Resamples of the bootstrap.
const RESAMPLES: usize = 2000;

/// The mean with its 95 % percentile-bootstrap interval.
pub fn mean_interval(values: &[f64]) -> Interval {
    let mean = |v: &mut dyn Iterator<Item = f64>| v.sum::<f64>() / values.len().max(1) as f64;
    let value = mean(&mut values.iter().copied());
    if values.len() < 2 {
        return Interval { value, low: value, high: value };
    }
    let n = values.len() as u64;
    let mut means: Vec<f64> =
        (0..RESAMPLES as u64).map(|r| mean(&mut (0..n).map(|i| values[(hash(r ^ 0x3ea7, i) % n) as usize]))).collect();
    means.sort_by(f64::total_cmp);
    let at = |q: f64| means[((RESAMPLES - 1) as f64 * q).round() as usize];
    Interval { value, low: at(0.025), high: at(0.975) }
}

/// Ratio of paired samples, `over / under`: the median of the per-block ratios with its 95 %
/// percentile-bootstrap interval (Efron & Tibshirani 1993, ch. 13).
pub fn paired_ratio(over: &[f64], under: &[f64]) -> Interval {
    let logs: Vec<f64> = over.iter().zip(under).map(|(a, b)| (a / b).ln()).collect();
    let value = median(&logs);
    if logs.len() < 3 {
        return Interval { value: value.exp(), low: 0.0, high: f64::INFINITY };
    }
    let n = logs.len() as u64;
    let mut medians: Vec<f64> = (0..RESAMPLES as u64)
        .map(|r| {
            let pick: Vec<f64> = (0..n).map(|i| logs[(hash(r ^ 0xb007, i) % n) as usize]).collect();
            median(&pick)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let at = |q: f64| medians[((RESAMPLES - 1) as f64 * q).round() as usize];
    Interval { value: value.exp(), low: at(0.025).exp(), high: at(0.975).exp() }
}

/// Differences smaller than this are never called.
const SMALLEST: f64 = 0.01;
/// An interval inside this band around 1 is the same speed.
const SAME: f64 = 0.03;

/// What a ratio (baseline time over candidate time) says, given the control's ratio.
///
/// The control runs the baseline twice: what its interval covers cannot be told from noise.
pub fn verdict(ratio: Interval, control: Option<Interval>) -> &'static str {
    let noise = control.map_or(f64::INFINITY, |c| c.high.ln().abs().max(c.low.ln().abs()));
    let noise = if noise.is_finite() { noise.max(SMALLEST) } else { f64::INFINITY };
    let (low, high) = (ratio.low.ln(), ratio.high.ln());
    if low > noise {
        "faster"
    } else if high < -noise {
        "slower"
    } else if low > -SAME && high < SAME {
        "same"
    } else {
        "ambiguous"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noisy(center: f64, spread: f64, seed: u64, n: u64) -> Vec<f64> {
        (0..n).map(|i| center * (1.0 + spread * ((hash(seed, i) % 2001) as f64 / 1000.0 - 1.0))).collect()
    }

    #[test]
    fn medians() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0, 2.0, 3.0])), (2.0, 2.5));
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_clear_difference_is_called_and_noise_is_not() {
        let (base, fast) = (noisy(10.0, 0.02, 1, 40), noisy(8.0, 0.02, 2, 40));
        let control = Some(paired_ratio(&noisy(10.0, 0.02, 3, 40), &base));
        assert_eq!(verdict(paired_ratio(&base, &fast), control), "faster");
        assert_eq!(verdict(paired_ratio(&fast, &base), control), "slower");
        assert_eq!(verdict(paired_ratio(&noisy(10.0, 0.02, 4, 40), &base), control), "same");
        let wild = Some(Interval { value: 1.0, low: 0.5, high: 2.0 });
        assert_ne!(verdict(paired_ratio(&base, &fast), wild), "faster");
        assert_eq!(verdict(Interval { value: 1.02, low: 0.9, high: 1.2 }, control), "ambiguous");
    }

    #[test]
    fn too_few_blocks_say_nothing() {
        assert_eq!(verdict(paired_ratio(&[10.0, 10.0], &[1.0, 1.0]), None), "ambiguous");
    }

    proptest! {
        #[test]
        fn the_interval_holds_its_value(seed in any::<u64>(), n in 3u64..50) {
            let r = paired_ratio(&noisy(5.0, 0.3, seed, n), &noisy(4.0, 0.3, seed ^ 9, n));
            prop_assert!(r.low <= r.value && r.value <= r.high && r.low > 0.0);
        }

        /// The false-alarm rate on identical kernels: at most a few in a hundred.
        #[test]
        fn identical_kernels_are_rarely_told_apart(seed in 0u64..1000) {
            let wrong = (0..20).filter(|i| {
                let s = seed * 100 + i * 3;
                let base = noisy(5.0, 0.1, s, 24);
                let control = paired_ratio(&noisy(5.0, 0.1, s + 1, 24), &base);
                let v = verdict(paired_ratio(&base, &noisy(5.0, 0.1, s + 2, 24)), Some(control));
                v == "faster" || v == "slower"
            }).count();
            prop_assert!(wrong <= 6, "{} of 20", wrong);
        }
    }
}
