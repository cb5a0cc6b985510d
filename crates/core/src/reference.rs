//! What the oracle says an output must be, and the comparison of an output with it.

use crate::expr::Bounded;
use crate::{DType, HostArray, Layout};
use rayon::prelude::*;

/// The oracle's answer for one set of inputs.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    /// Checked elements: positions in the output's buffer, f64 values, and how far off a right
    /// implementation may be.
    pub positions: Vec<usize>,
    pub values: Vec<f64>,
    pub bounds: Vec<f64>,
    /// A check that covers every element where `positions` is only a sample.
    pub identity: Option<RowIdentity>,
}

/// A randomised identity over whole rows of the output (Freivalds 1977): for each row r,
/// Σ_j weights\[j\]·D\[r, j\] must be `targets[r]` within `bounds[r]`.
#[derive(Clone, Debug)]
pub struct RowIdentity {
    pub weights: Vec<f64>,
    pub targets: Vec<f64>,
    pub bounds: Vec<f64>,
}

/// The result of comparing an output with a [`Reference`].
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Largest |error| / bound over the checked elements and rows; at most 1 passes, NaN and
    /// mask mismatches are infinite.
    pub max_error_over_bound: f64,
    /// Checked elements and rows that are over their bound.
    pub wrong: usize,
    pub checked: usize,
    /// Elements that any number is right for.
    pub unknown: usize,
    /// The worst one, in words.
    pub worst: Option<String>,
}

impl Comparison {
    pub fn passes(&self) -> bool {
        self.wrong == 0 && self.checked + self.unknown > 0
    }
}

/// A sum in f64 that loses next to nothing (Neumaier 1974): what oracles of f64 sums need.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExactSum {
    sum: f64,
    lost: f64,
}

impl ExactSum {
    pub fn add(&mut self, x: f64) {
        let next = self.sum + x;
        let (large, small) = if self.sum.abs() >= x.abs() { (self.sum, x) } else { (x, self.sum) };
        self.lost += (large - next) + small;
        self.sum = next;
    }

    pub fn value(&self) -> f64 {
        // What was lost beside an infinity is no number.
        if self.sum.is_finite() { self.sum + self.lost } else { self.sum }
    }
}

/// |got − want| over its bound. Infinities and NaN must match exactly; a finite result that
/// could round to infinity may. An infinite bound on a finite result says that nothing
/// is known of it.
fn error_over_bound(got: f64, want: f64, bound: f64, max_finite: f64) -> f64 {
    if want.is_nan() {
        return if got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if got == want || (want.is_finite() && bound == f64::INFINITY) {
        return 0.0;
    }
    if got.is_nan() || want.is_infinite() {
        return f64::INFINITY;
    }
    if got.is_infinite() {
        let overflows = want.abs() + bound > max_finite && got.signum() == want.signum();
        return if overflows { 0.0 } else { f64::INFINITY };
    }
    if bound.is_nan() || bound <= 0.0 {
        return f64::INFINITY;
    }
    (got - want).abs() / bound
}

/// Whether an error over its bound fails; NaN does.
fn fails(ratio: f64) -> bool {
    ratio.is_nan() || ratio > 1.0
}

/// What rounding to the output's dtype can add to an error: nothing where the exact value is
/// representable.
pub fn rounding_error(dtype: DType, value: f64, error: f64) -> f64 {
    if error == 0.0 && (dtype.round(value) == value || !dtype.is_float()) {
        return 0.0;
    }
    if !dtype.is_float() {
        // Either neighbour, where the number may lie on the other side of a whole one.
        return 1.0;
    }
    dtype.unit_roundoff() * (value.abs() + error) + dtype.underflow_error()
}

/// The value and the bound of a number that is stored as `dtype`.
pub fn stored(dtype: DType, x: Bounded) -> (f64, f64) {
    let value = if dtype.is_float() { x.value } else { dtype.round(x.value) };
    if x.error == f64::INFINITY {
        // Nothing is known, not even whether it is a number.
        return (0.0, f64::INFINITY);
    }
    if !value.is_finite() {
        return (value, 0.0);
    }
    (value, x.error + rounding_error(dtype, x.value, x.error))
}

impl Reference {
    /// A reference that checks every given (position, value, bound).
    pub fn collect(elements: Vec<(usize, f64, f64)>) -> Reference {
        let mut out = Reference::default();
        for (position, value, bound) in elements {
            out.positions.push(position);
            out.values.push(value);
            out.bounds.push(bound);
        }
        out
    }

    /// Compares the output's buffer with the reference. `layout` has the output's rows in its
    /// last dimension.
    pub fn compare(&self, output: &HostArray, layout: &Layout) -> Comparison {
        let max_finite = output.dtype().max_finite();
        let score = |i: usize| {
            let got = output.get(self.positions[i]);
            error_over_bound(got, self.values[i], self.bounds[i], max_finite)
        };
        let (ratio, at, wrong) = (0..self.positions.len())
            .into_par_iter()
            .with_min_len(4096)
            .map(|i| {
                let r = score(i);
                (r, i, usize::from(fails(r)))
            })
            .reduce(
                || (0.0, usize::MAX, 0),
                |a, b| {
                    let worst = if b.0 > a.0 || a.1 == usize::MAX { b } else { a };
                    (worst.0, worst.1, a.2 + b.2)
                },
            );
        let unknown = self.bounds.iter().filter(|b| **b == f64::INFINITY).count();
        let mut result = Comparison {
            max_error_over_bound: ratio,
            wrong,
            checked: self.positions.len() - unknown,
            unknown,
            worst: (at != usize::MAX && ratio > 0.0).then(|| {
                format!(
                    "element {} is {:e}, expected {:e} ± {:e}",
                    self.positions[at],
                    output.get(self.positions[at]),
                    self.values[at],
                    self.bounds[at]
                )
            }),
        };
        if let Some(identity) = &self.identity {
            identity.compare(output, layout, &mut result);
        }
        result
    }
}

impl RowIdentity {
    fn compare(&self, output: &HostArray, layout: &Layout, result: &mut Comparison) {
        let rank = layout.rank();
        let outer: Vec<usize> = layout.shape()[..rank - 1].to_vec();
        let stride = layout.strides()[rank - 1];
        let sums: Vec<f64> = (0..self.targets.len())
            .into_par_iter()
            .map(|row| {
                let mut index = vec![0; rank];
                let mut rest = row;
                for d in (0..rank - 1).rev() {
                    index[d] = rest % outer[d];
                    rest /= outer[d];
                }
                let start = layout.at(&index) as isize;
                let at = |j: usize| (start + j as isize * stride) as usize;
                self.weights.iter().enumerate().map(|(j, w)| w * output.get(at(j))).sum()
            })
            .collect();
        for (row, &sum) in sums.iter().enumerate() {
            let ratio = error_over_bound(sum, self.targets[row], self.bounds[row], f64::MAX);
            if fails(ratio) {
                result.wrong += 1;
            }
            if ratio > result.max_error_over_bound {
                result.max_error_over_bound = ratio;
                result.worst = Some(format!(
                    "row {row}: Σ w·D is {sum:e}, expected {:e} ± {:e}",
                    self.targets[row], self.bounds[row]
                ));
            }
        }
        result.checked += sums.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(values: &[f64], bound: f64) -> Reference {
        Reference {
            positions: (0..values.len()).collect(),
            values: values.to_vec(),
            bounds: vec![bound; values.len()],
            identity: None,
        }
    }

    #[test]
    fn a_nan_never_passes() {
        let layout = Layout::contiguous(&[3]).unwrap();
        let out = HostArray::F32(vec![1.0, f32::NAN, 3.0]);
        let c = reference(&[1.0, 2.0, 3.0], 10.0).compare(&out, &layout);
        assert!(!c.passes() && c.max_error_over_bound == f64::INFINITY && c.wrong == 1);
    }

    #[test]
    fn nan_and_infinity_masks_are_exact() {
        let layout = Layout::contiguous(&[3]).unwrap();
        let want = reference(&[f64::NAN, f64::INFINITY, 1.0], 1e-3);
        let good = HostArray::F32(vec![f32::NAN, f32::INFINITY, 1.0]);
        assert!(want.compare(&good, &layout).passes());
        for bad in [
            vec![0.0, f32::INFINITY, 1.0],
            vec![f32::NAN, f32::NEG_INFINITY, 1.0],
            vec![f32::NAN, f32::MAX, 1.0],
            vec![f32::NAN, f32::INFINITY, f32::INFINITY],
        ] {
            assert!(!want.compare(&HostArray::F32(bad.clone()), &layout).passes(), "{bad:?}");
        }
    }

    #[test]
    fn an_empty_reference_does_not_pass() {
        let layout = Layout::contiguous(&[1]).unwrap();
        assert!(!Reference::default().compare(&HostArray::F32(vec![1.0]), &layout).passes());
    }

    #[test]
    fn the_identity_sees_an_element_that_was_not_sampled() {
        let layout = Layout::contiguous(&[2, 3]).unwrap();
        let mut want = reference(&[1.0], 1e-6);
        want.identity =
            Some(RowIdentity { weights: vec![1.0, -1.0, 2.0], targets: vec![5.0, 5.0], bounds: vec![1e-6; 2] });
        let good = HostArray::F32(vec![1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
        let bad = HostArray::F32(vec![1.0, 2.0, 3.0, 1.0, 2.5, 3.0]);
        assert!(want.compare(&good, &layout).passes());
        assert_eq!(want.compare(&bad, &layout).wrong, 1);
    }
}
