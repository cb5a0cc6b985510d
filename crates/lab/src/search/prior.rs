//! A prior: what is known of points before the first is measured, from one or more sources, and
//! how it fares against what is then measured.

/// One source: an analytic model, or the records of another device or problem.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: String,
    /// How much it counts beside the others, before anything is measured.
    pub weight: f64,
    /// Logarithm of each point's time over the best time there; infinite where it failed, not a
    /// number where nothing is known.
    pub slowdown: Vec<f64>,
}

/// All sources.
#[derive(Clone, Debug, Default)]
pub struct Prior {
    sources: Vec<Source>,
}

/// How the prior fared.
#[derive(Clone, Debug, PartialEq)]
pub struct PriorCheck {
    /// Points measured that the prior knew.
    pub points: usize,
    /// Spearman's rank correlation of the prior with the measured costs, −1 to 1.
    pub correlation: f64,
    /// Share of the prior's advice that is taken now, from 0 to 1.
    pub trust: f64,
    /// The same correlation for each source.
    pub sources: Vec<(String, f64)>,
}

/// What a failure counts as, beside logarithms of slowdowns.
pub const FAILED: f64 = 3.0;

impl Prior {
    /// Adds a source, if it knows anything.
    pub fn add(&mut self, source: Source) {
        if source.slowdown.iter().any(|s| !s.is_nan()) {
            self.sources.push(source);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The mean of the sources' slowdowns by weight; not a number where none knows the point.
    pub fn mean(&self, points: usize) -> Vec<f64> {
        let mut sum = vec![0.0; points];
        let mut weight = vec![0.0; points];
        for source in &self.sources {
            for (i, s) in source.slowdown.iter().enumerate().take(points).filter(|(_, s)| !s.is_nan()) {
                sum[i] += source.weight * s.min(FAILED);
                weight[i] += source.weight;
            }
        }
        sum.iter().zip(&weight).map(|(s, w)| if *w > 0.0 { s / w } else { f64::NAN }).collect()
    }
}

/// Spearman's rank correlation of pairs, with mean ranks for ties; 0 where it is not defined.
pub fn rank_correlation(pairs: &[(f64, f64)]) -> f64 {
    let ranks = |values: Vec<f64>| {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
        let mut ranks = vec![0.0; values.len()];
        let mut i = 0;
        while i < order.len() {
            let mut j = i;
            while j + 1 < order.len() && values[order[j + 1]] == values[order[i]] {
                j += 1;
            }
            order[i..=j].iter().for_each(|o| ranks[*o] = (i + j) as f64 / 2.0);
            i = j + 1;
        }
        ranks
    };
    let (a, b) = (ranks(pairs.iter().map(|p| p.0).collect()), ranks(pairs.iter().map(|p| p.1).collect()));
    let middle = (pairs.len() as f64 - 1.0) / 2.0;
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - middle) * (y - middle)).sum::<f64>();
    let spread = (dot(&a, &a) * dot(&b, &b)).sqrt();
    if spread > 0.0 { dot(&a, &b) / spread } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlation_is_of_ranks() {
        let pairs = |f: fn(f64) -> f64| (0..9).map(|i| (f64::from(i), f(f64::from(i)))).collect::<Vec<_>>();
        assert_eq!(rank_correlation(&pairs(|x| x.exp())), 1.0);
        assert_eq!(rank_correlation(&pairs(|x| -x * x * x)), -1.0);
        assert_eq!(rank_correlation(&pairs(|_| 7.0)), 0.0);
        assert_eq!(rank_correlation(&[]), 0.0);
        // Ties share their mean rank: Kendall's textbook case by hand.
        let tied = rank_correlation(&[(1.0, 1.0), (1.0, 2.0), (2.0, 3.0)]);
        assert!((tied - 0.866_025).abs() < 1e-5, "{tied}");
    }

    #[test]
    fn the_mean_leaves_out_what_is_not_known() {
        let mut prior = Prior::default();
        let source = |weight, slowdown| Source { name: "s".into(), weight, slowdown };
        prior.add(source(1.0, vec![0.0, f64::NAN, f64::INFINITY, f64::NAN]));
        prior.add(source(3.0, vec![1.0, 2.0, 0.0, f64::NAN]));
        prior.add(source(1.0, vec![f64::NAN; 4]));
        assert_eq!(prior.sources().len(), 2);
        let mean = prior.mean(4);
        assert_eq!(mean[..3], [0.75, 2.0, 0.75]);
        assert!(mean[3].is_nan());
    }
}
