//! A forest of extremely randomised regression trees (Geurts, Ernst & Wehenkel 2006): cuts are
//! drawn at random and the best of a few is kept, so a tree costs no sorting and the spread over
//! trees says where little is known.

use super::features::Features;
use super::rng::Rng;

#[derive(Clone, Copy, Debug)]
struct Node {
    /// Feature to look at; at a leaf it is not used.
    feature: u32,
    /// Bins up to this one go left.
    cut: u8,
    /// The left child, the right one is next to it; 0 at a leaf.
    left: u32,
    value: f32,
}

/// Trees that have been fitted.
#[derive(Clone, Debug, Default)]
pub struct Forest {
    trees: Vec<Vec<Node>>,
}

/// How a forest grows.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    pub trees: usize,
    /// Rows below which a node is not cut.
    pub smallest: usize,
}

/// A tree's mean prediction and the spread over trees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    pub mean: f64,
    pub spread: f64,
}

impl Forest {
    /// Fits `targets`, one for each of `points`.
    pub fn fit(features: &Features, points: &[usize], targets: &[f64], growth: Growth, rng: &mut Rng) -> Self {
        let mut rows: Vec<u32> = Vec::new();
        let mut forest = Forest::default();
        if points.is_empty() || features.width() == 0 {
            return forest;
        }
        let known = Known::new(features, points, targets);
        for _ in 0..growth.trees {
            rows.clear();
            rows.extend(0..points.len() as u32);
            let mut tree = Vec::new();
            grow(&mut tree, &known, &mut rows, growth.smallest.max(2), rng);
            forest.trees.push(tree);
        }
        forest
    }

    /// What the trees expect at each row of features. One tree goes over all rows before the next:
    /// it stays in the cache.
    pub fn predict(&self, rows: &[&[u8]]) -> Vec<Prediction> {
        let mut sums = vec![(0.0, 0.0); rows.len()];
        for tree in &self.trees {
            for (row, (sum, squares)) in rows.iter().zip(&mut sums) {
                let mut node = &tree[0];
                while node.left > 0 {
                    let right = row[node.feature as usize] > node.cut;
                    node = &tree[(node.left + u32::from(right)) as usize];
                }
                let value = f64::from(node.value);
                *sum += value;
                *squares += value * value;
            }
        }
        let n = self.trees.len().max(1) as f64;
        let prediction = |(sum, squares): (f64, f64)| {
            let mean = sum / n;
            Prediction { mean, spread: (squares / n - mean * mean).max(0.0).sqrt() }
        };
        sums.into_iter().map(prediction).collect()
    }
}

/// What is fitted, feature after feature, so that a look at one feature of all rows stays in the
/// cache.
struct Known<'a> {
    columns: Vec<Vec<u8>>,
    targets: &'a [f64],
}

impl<'a> Known<'a> {
    fn new(features: &Features, points: &[usize], targets: &'a [f64]) -> Self {
        let column = |f: usize| points.iter().map(|p| features.row(*p)[f]).collect();
        Known { columns: (0..features.width()).map(column).collect(), targets }
    }
}

/// Grows a tree over `rows`, its root first.
fn grow(tree: &mut Vec<Node>, known: &Known, rows: &mut [u32], smallest: usize, rng: &mut Rng) {
    let leaf = |rows: &[u32]| {
        let sum: f64 = rows.iter().map(|r| known.targets[*r as usize]).sum();
        Node { feature: 0, cut: 0, left: 0, value: (sum / rows.len().max(1) as f64) as f32 }
    };
    tree.push(leaf(rows));
    // Ranges of rows whose node may be cut.
    let mut open = vec![(0usize, 0usize, rows.len())];
    while let Some((at, start, end)) = open.pop() {
        let part = &mut rows[start..end];
        if part.len() < smallest {
            continue;
        }
        let Some((feature, cut)) = best_cut(known, part, rng) else { continue };
        let mut middle = 0;
        for i in 0..part.len() {
            if known.columns[feature][part[i] as usize] <= cut {
                part.swap(i, middle);
                middle += 1;
            }
        }
        let left = tree.len() as u32;
        tree[at].feature = feature as u32;
        tree[at].cut = cut;
        tree[at].left = left;
        let (a, b) = (leaf(&part[..middle]), leaf(&part[middle..]));
        tree.push(a);
        tree.push(b);
        open.push((left as usize, start, start + middle));
        open.push((left as usize + 1, start + middle, end));
    }
}

/// The best of a random cut for each of a random third of the features; none where every row is
/// the same.
fn best_cut(known: &Known, rows: &[u32], rng: &mut Rng) -> Option<(usize, u8)> {
    let (width, targets) = (known.columns.len(), known.targets);
    let want = (width / 3).max(3).min(width);
    let first = targets[rows[0] as usize];
    if rows.iter().all(|r| (targets[*r as usize] - first).abs() < 1e-9) {
        return None;
    }
    let mut best: Option<(f64, usize, u8)> = None;
    let mut found = 0;
    // A walk with a stride that shares no divisor with the width meets each feature once.
    let (mut feature, stride) = (rng.below(width), stride(width, rng));
    for _ in 0..width {
        feature = (feature + stride) % width;
        let column = &known.columns[feature];
        let bin = |r: &u32| column[*r as usize];
        let (mut low, mut high) = (u8::MAX, 0);
        for bin in rows.iter().map(bin) {
            low = low.min(bin);
            high = high.max(bin);
        }
        if low == high {
            continue;
        }
        let cut = low + rng.below(usize::from(high - low)) as u8;
        let (mut n, mut left, mut right) = (0usize, 0.0, 0.0);
        for r in rows {
            let y = targets[*r as usize];
            if bin(r) <= cut {
                n += 1;
                left += y;
            } else {
                right += y;
            }
        }
        // Sum of squares between the sides: the more, the less is left within them.
        let gain = left * left / n as f64 + right * right / (rows.len() - n) as f64;
        if best.is_none_or(|(g, ..)| gain > g) {
            best = Some((gain, feature, cut));
        }
        found += 1;
        if found == want {
            break;
        }
    }
    best.map(|(_, feature, cut)| (feature, cut))
}

fn stride(width: usize, rng: &mut Rng) -> usize {
    let divides = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a > 1
    };
    loop {
        let stride = 1 + rng.below(width);
        if width == 1 || !divides(stride, width) {
            return stride;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Parameter, Space};
    use super::*;

    #[test]
    fn a_forest_learns_a_product_and_knows_what_it_does_not_know() {
        let values: Vec<f64> = (0..6).map(|i| f64::from(1 << i)).collect();
        let parameter = |name: &str| Parameter { name: name.into(), values: values.clone(), names: false };
        let points: Vec<Vec<u16>> = (0..216).map(|i| vec![i % 6, i / 6 % 6, i / 36]).collect();
        let space = Space::new(vec![parameter("a"), parameter("b"), parameter("c")], &points).unwrap();
        let features = Features::new(&space, &[]);
        // Slow away from a·b = 32; c does nothing.
        let target = |p: usize| (f64::from(space.places(p)[0] + space.places(p)[1]) - 5.0).abs();
        let mut rng = Rng::new(1);
        let mut order: Vec<usize> = (0..216).collect();
        rng.shuffle(&mut order);
        let (known, unknown) = order.split_at(100);
        let targets: Vec<f64> = known.iter().map(|p| target(*p)).collect();
        let forest = Forest::fit(&features, known, &targets, Growth { trees: 50, smallest: 2 }, &mut rng);
        let error = |points: &[usize]| {
            points.iter().map(|p| (forest.predict(&[features.row(*p)])[0].mean - target(*p)).abs()).sum::<f64>()
                / points.len() as f64
        };
        let spread = |points: &[usize]| {
            points.iter().map(|p| forest.predict(&[features.row(*p)])[0].spread).sum::<f64>() / points.len() as f64
        };
        assert!(error(known) < 1e-6 && error(unknown) < 0.35, "{} {}", error(known), error(unknown));
        assert!(spread(unknown) > 5.0 * spread(known) + 0.01, "{} {}", spread(unknown), spread(known));
    }

    #[test]
    fn nothing_to_learn_from_is_no_panic() {
        let space = Space::new(Vec::new(), &[Vec::new()]).unwrap();
        let features = Features::new(&space, &[]);
        let forest = Forest::fit(&features, &[0], &[1.0], Growth { trees: 3, smallest: 2 }, &mut Rng::new(1));
        assert_eq!(forest.predict(&[features.row(0)])[0].mean, 0.0);
    }
}
