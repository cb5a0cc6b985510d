//! What a forest sees of a point: the place of each value, products and quotients of pairs of
//! sizes, and what is known of the point beforehand, each as one of 256 bins.

use super::Space;

/// Pairs of parameters that get a product and a quotient, those with most values first.
const PAIRED: usize = 7;

#[derive(Clone, Debug)]
pub struct Features {
    width: usize,
    bins: Vec<u8>,
}

impl Features {
    /// The features of every point, then a feature for each of `extra`, which has a number a point.
    pub fn new(space: &Space, extra: &[Vec<f64>]) -> Self {
        let mut of_one: Vec<(usize, Vec<u8>)> = Vec::new();
        let mut sizes: Vec<usize> = Vec::new();
        let mut order: Vec<usize> = (0..space.parameters().len()).collect();
        order.sort_by_key(|d| std::cmp::Reverse(space.parameters()[*d].values.len()));
        for d in order {
            let parameter = &space.parameters()[d];
            if parameter.values.len() < 2 {
                continue;
            }
            of_one.push((d, bins(&parameter.values)));
            // Flags and names have neither divisors nor products.
            if parameter.names || parameter.values.len() == 2 {
                continue;
            }
            // Memory is accessed and warps are filled by multiples of powers of two.
            of_one.push((d, bins(&parameter.values.iter().map(|v| factors_of_two(*v)).collect::<Vec<_>>())));
            // Indices and ragged edges are cheapest at powers of two themselves.
            of_one.push((d, bins(&parameter.values.iter().map(|v| odd_part(*v)).collect::<Vec<_>>())));
            if sizes.len() < PAIRED && parameter.values.iter().all(|v| *v > 0.0) {
                sizes.push(d);
            }
        }
        let mut of_two: Vec<(usize, usize, Vec<u8>)> = Vec::new();
        for (i, a) in sizes.iter().enumerate() {
            for b in &sizes[..i] {
                let values = |d: &usize| space.parameters()[*d].values.iter();
                let each = |f: fn(f64, f64) -> f64| -> Vec<f64> {
                    values(a).flat_map(|x| values(b).map(move |y| f(*x, *y))).collect()
                };
                of_two.push((*a, *b, bins(&each(|x, y| (x * y).ln()))));
                of_two.push((*a, *b, bins(&each(|x, y| (x / y).ln()))));
            }
        }
        let extra: Vec<Vec<u8>> = extra.iter().map(|e| bins(e)).collect();
        let width = of_one.len() + of_two.len() + extra.len();
        let mut all = Vec::with_capacity(width * space.len());
        for point in 0..space.len() {
            let at = |d: usize| usize::from(space.places(point)[d]);
            all.extend(of_one.iter().map(|(d, bins)| bins[at(*d)]));
            let row = |b: usize| space.parameters()[b].values.len();
            all.extend(of_two.iter().map(|(a, b, bins)| bins[at(*a) * row(*b) + at(*b)]));
            all.extend(extra.iter().map(|bins| bins[point]));
        }
        Features { width, bins: all }
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn row(&self, point: usize) -> &[u8] {
        &self.bins[point * self.width..(point + 1) * self.width]
    }
}

/// How often a whole number can be halved, up to 10.
fn factors_of_two(x: f64) -> f64 {
    if x.fract() != 0.0 || x == 0.0 || x.abs() > 1e9 {
        0.0
    } else {
        f64::from((x.abs() as u64).trailing_zeros().min(10))
    }
}

/// What is left of a whole number that is halved as often as can be: 1 of a power of two, and the
/// number itself where it is not whole.
pub(super) fn odd_part(x: f64) -> f64 {
    if x.fract() != 0.0 || x == 0.0 || x.abs() > 1e9 {
        x.abs()
    } else {
        let whole = x.abs() as u64;
        (whole >> whole.trailing_zeros()) as f64
    }
}

/// Ranks among the distinct values, spread over at most 256 bins. What is not a number comes last.
fn bins(column: &[f64]) -> Vec<u8> {
    // Sums of logarithms that are the same product differ in their last bits.
    let rounded = |x: f64| if x.is_nan() { f64::INFINITY } else { (x * 1e6).round() };
    let mut distinct: Vec<f64> = column.iter().map(|x| rounded(*x)).collect();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    let last = distinct.len().max(2) - 1;
    let bin = |x: &f64| {
        let rank = distinct.partition_point(|y| *y < rounded(*x));
        if last <= 255 { rank as u8 } else { (rank * 255 / last) as u8 }
    };
    column.iter().map(bin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_have_no_odd_part() {
        assert_eq!([1.0, 64.0, 48.0, 7.0, 0.0, 2.5].map(odd_part), [1.0, 1.0, 3.0, 7.0, 0.0, 2.5]);
    }

    #[test]
    fn bins_keep_the_order() {
        assert_eq!(bins(&[3.0, 1.0, f64::NAN, 1.0]), [1, 0, 2, 0]);
        let many: Vec<f64> = (0..10_000).map(f64::from).collect();
        let bins = bins(&many);
        assert!(bins.is_sorted() && bins[0] == 0 && bins[9_999] == 255);
    }
}
