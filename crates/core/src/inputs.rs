//! Test inputs: reproducible from a seed, never the same for two operands, and NaN wherever a
//! layout does not look, so that a stray read shows in the result.

use crate::{DType, HostArray, Layout};

/// A family of input values. Each finds faults that the others are blind to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inputs {
    /// Roughly normal, zero mean, unit variance.
    Normal,
    /// Uniform in [0.5, 1): one sign, so that a missing part of a sum is a large error.
    Positive,
    /// Sparse values of −1, 0, 1: sums are exact, so one wrong element is an exact mismatch.
    Integer,
    /// Magnitudes over many powers of two.
    Wide,
    /// Neighbours along the innermost dimension nearly cancel.
    Cancel,
    /// One value everywhere, different for each operand: rounding errors are systematic.
    Constant,
    /// A single 1 in each row: a product picks elements and must pick the right ones.
    OneHot,
    /// Subnormal numbers of the dtype, mixed with ordinary ones.
    Denormal,
    /// Normal, with a few NaN and infinities.
    Special,
}

impl Inputs {
    pub const ALL: [Inputs; 9] = [
        Inputs::Normal,
        Inputs::Positive,
        Inputs::Integer,
        Inputs::Wide,
        Inputs::Cancel,
        Inputs::Constant,
        Inputs::OneHot,
        Inputs::Denormal,
        Inputs::Special,
    ];

    /// Whether rounding errors of sums over these inputs behave like independent ones, so that
    /// the statistical error bound holds; otherwise the worst case does.
    pub fn errors_are_independent(self) -> bool {
        !matches!(self, Inputs::Constant | Inputs::Positive)
    }

    /// Whether sums of products of these inputs are exact in f32.
    pub fn sums_are_exact(self) -> bool {
        matches!(self, Inputs::Integer)
    }

    /// A buffer of `layout.span()` elements holding this family at the layout's positions and NaN
    /// (255 or −1 for integers) everywhere else.
    pub fn fill(self, seed: u64, dtype: DType, layout: &Layout) -> HostArray {
        let span = layout.span();
        let inner = layout.shape().last().copied().unwrap_or(1).max(1);
        let value = |i: usize| self.value(seed, i, inner, dtype);
        // Most families do not care which element is which: buffer order is fast for any layout
        // that leaves nothing out.
        let ordered = matches!(self, Inputs::Cancel | Inputs::OneHot);
        let whole = layout.len() == span && !layout.may_overlap();
        if whole && (!ordered || layout.is_contiguous()) {
            return HostArray::from_fn(dtype, span, value);
        }
        let stray = if dtype.is_float() { f64::NAN } else { 255.0 };
        let mut array = HostArray::from_fn(dtype, span, |_| stray);
        for_each_position(layout, |i, position| array.set(position, value(if ordered { i } else { position })));
        array
    }

    /// The value at index `i` of an array whose innermost dimension has `inner` elements.
    fn value(self, seed: u64, i: usize, inner: usize, dtype: DType) -> f64 {
        let h = hash(seed, i as u64);
        let unit = (h >> 11) as f64 / (1u64 << 53) as f64;
        match self {
            Inputs::Normal => normal(h),
            Inputs::Positive => 0.5 + 0.5 * unit,
            Inputs::Integer => match h % 8 {
                0 => 1.0,
                1 => -1.0,
                _ => 0.0,
            },
            Inputs::Wide => {
                let exponent = (h & 15) as i32 - 10;
                normal(hash(seed ^ 1, i as u64)) * 2f64.powi(exponent)
            }
            Inputs::Cancel => {
                let pair = (i / inner) as u64 * inner as u64 + ((i % inner) as u64 & !1);
                let sign = if (i % inner) & 1 == 0 { 1.0 } else { -1.0 };
                let base = 1.0 + (hash(seed, pair) >> 11) as f64 / (1u64 << 53) as f64;
                sign * base + normal(h) * 2f64.powi(-6)
            }
            Inputs::Constant => 0.5 + (hash(seed, 0) >> 11) as f64 / (1u64 << 54) as f64,
            Inputs::OneHot => {
                let hot = hash(seed, (i / inner) as u64) as usize % inner;
                if i % inner == hot { 1.0 } else { 0.0 }
            }
            Inputs::Denormal => {
                let tiny = match dtype {
                    DType::F16 => 2f64.powi(-22),
                    DType::F64 => 2f64.powi(-1040),
                    DType::E4M3 => 2f64.powi(-8),
                    DType::E5M2 => 2f64.powi(-15),
                    _ => 2f64.powi(-140),
                };
                if h & 3 == 0 { normal(h) } else { normal(h) * tiny }
            }
            Inputs::Special => match h % 509 {
                0 => f64::NAN,
                1 => f64::INFINITY,
                2 => f64::NEG_INFINITY,
                _ => normal(h),
            },
        }
    }
}

/// Calls `f(logical index, position in the buffer)` for every element of a layout.
pub fn for_each_position(layout: &Layout, mut f: impl FnMut(usize, usize)) {
    let shape = layout.shape();
    let mut index = [0usize; crate::layout::MAX_RANK];
    for i in 0..layout.len() {
        f(i, layout.at(&index[..shape.len()]));
        for d in (0..shape.len()).rev() {
            index[d] += 1;
            if index[d] < shape[d] {
                break;
            }
            index[d] = 0;
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014) as a counter-based generator.
#[inline(always)]
pub fn hash(seed: u64, counter: u64) -> u64 {
    let mut z = seed.wrapping_add(counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Sum of four uniform 16-bit parts, scaled to unit variance (Irwin–Hall): no transcendentals,
/// so the same bits everywhere.
fn normal(h: u64) -> f64 {
    let sum: u64 = (0..4).map(|i| (h >> (16 * i)) & 0xffff).sum();
    (sum as f64 / 65536.0 - 2.0) * 3f64.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_outside_the_layout_are_nan() {
        let layout = Layout::strided(&[3, 4], &[6, 1], 2).unwrap();
        let array = Inputs::Normal.fill(7, DType::F16, &layout);
        let mut inside = vec![false; array.len()];
        for_each_position(&layout, |_, p| inside[p] = true);
        for (p, inside) in inside.into_iter().enumerate() {
            assert_eq!(array.get(p).is_nan(), !inside, "position {p}");
        }
    }

    #[test]
    fn families_are_what_they_say() {
        let layout = Layout::contiguous(&[64, 512]).unwrap();
        let values = |inputs: Inputs| {
            let a = inputs.fill(3, DType::F32, &layout);
            (0..a.len()).map(|i| a.get(i)).collect::<Vec<_>>()
        };
        let normal = values(Inputs::Normal);
        let mean = normal.iter().sum::<f64>() / normal.len() as f64;
        let variance = normal.iter().map(|x| x * x).sum::<f64>() / normal.len() as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
        assert!(values(Inputs::Integer).iter().all(|x| [-1.0, 0.0, 1.0].contains(x)));
        assert!(values(Inputs::Positive).iter().all(|x| (0.5..=1.0).contains(x)));
        assert!(values(Inputs::Special).iter().any(|x| x.is_nan()));
        assert!(values(Inputs::Denormal).iter().any(|x| *x != 0.0 && x.abs() < 1e-38));
        assert_eq!(values(Inputs::OneHot).iter().sum::<f64>(), 64.0);
    }

    #[test]
    fn seeds_give_different_values() {
        let layout = Layout::contiguous(&[100]).unwrap();
        for inputs in Inputs::ALL {
            let [a, b] = [1, 2].map(|s| inputs.fill(s, DType::F64, &layout));
            assert!(inputs == Inputs::OneHot || a.as_bytes() != b.as_bytes(), "{inputs:?}");
        }
    }
}
