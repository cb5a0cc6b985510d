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
        let mut columns: Vec<Vec<f64>> = Vec::new();
        let mut sizes: Vec<Vec<f64>> = Vec::new();
        let mut order: Vec<usize> = (0..space.parameters().len()).collect();
        order.sort_by_key(|d| std::cmp::Reverse(space.parameters()[*d].values.len()));
        for d in order {
            let parameter = &space.parameters()[d];
            if parameter.values.len() < 2 {
                continue;
            }
            let values: Vec<f64> =
                (0..space.len()).map(|i| parameter.values[usize::from(space.places(i)[d])]).collect();
            // Flags and names have no products.
            if !parameter.names && parameter.values.len() > 2 && parameter.values.iter().all(|v| *v > 0.0) {
                sizes.push(values.iter().map(|v| v.ln()).collect());
            }
            columns.push(values);
        }
        sizes.truncate(PAIRED);
        for (i, a) in sizes.iter().enumerate() {
            for b in &sizes[..i] {
                columns.push(a.iter().zip(b).map(|(x, y)| x + y).collect());
                columns.push(a.iter().zip(b).map(|(x, y)| x - y).collect());
            }
        }
        let width = columns.len() + extra.len();
        let mut bins = vec![0; width * space.len()];
        for (f, column) in columns.iter().chain(extra).enumerate() {
            for (i, bin) in quantiles(column).into_iter().enumerate() {
                bins[i * width + f] = bin;
            }
        }
        Features { width, bins }
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn row(&self, point: usize) -> &[u8] {
        &self.bins[point * self.width..(point + 1) * self.width]
    }
}

/// Ranks among the distinct values, spread over at most 256 bins. What is not a number comes last.
fn quantiles(column: &[f64]) -> Vec<u8> {
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
    fn bins_keep_the_order() {
        assert_eq!(quantiles(&[3.0, 1.0, f64::NAN, 1.0]), [1, 0, 2, 0]);
        let many: Vec<f64> = (0..10_000).map(f64::from).collect();
        let bins = quantiles(&many);
        assert!(bins.is_sorted() && bins[0] == 0 && bins[9_999] == 255);
    }
}
