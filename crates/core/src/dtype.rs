//! Element types.

use crate::fp8;
use std::fmt;
use std::str::FromStr;

/// An element type. `I32`, `U8` and `Bool` carry data (indices, images, masks); products are in the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    F32,
    F64,
    F16,
    BF16,
    I32,
    U8,
    /// One byte, 0 or 1.
    Bool,
    /// Eight-bit floats ([`fp8`]): only operands of products have them.
    E4M3,
    E5M2,
}

/// The dtype's name was not one that Kernelsmith has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown dtype `{0}`, expected one of f32, f64, f16, bf16, i32, u8, bool")]
pub struct UnknownDType(pub String);

impl DType {
    /// What arrays of every op can be.
    pub const ALL: [DType; 7] = [DType::F32, DType::F64, DType::F16, DType::BF16, DType::I32, DType::U8, DType::Bool];

    pub const FP8: [DType; 2] = [DType::E4M3, DType::E5M2];

    /// Whether it is an eight-bit float.
    pub const fn is_fp8(self) -> bool {
        matches!(self, DType::E4M3 | DType::E5M2)
    }

    /// Size of one element in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            DType::U8 | DType::Bool | DType::E4M3 | DType::E5M2 => 1,
            DType::F16 | DType::BF16 => 2,
            DType::F32 | DType::I32 => 4,
            DType::F64 => 8,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::I32 => "i32",
            DType::U8 => "u8",
            DType::Bool => "bool",
            DType::E4M3 => "e4m3",
            DType::E5M2 => "e5m2",
        }
    }

    pub const fn is_float(self) -> bool {
        !matches!(self, DType::I32 | DType::U8 | DType::Bool)
    }

    /// Unit roundoff u: the largest relative error of rounding to nearest, 0 for integers.
    pub const fn unit_roundoff(self) -> f64 {
        match self {
            DType::F32 => 1.0 / (1u64 << 24) as f64,
            DType::F64 => 1.0 / (1u64 << 53) as f64,
            DType::F16 => 1.0 / 2048.0,
            DType::BF16 => 1.0 / 256.0,
            DType::E4M3 => 1.0 / 16.0,
            DType::E5M2 => 1.0 / 8.0,
            DType::I32 | DType::U8 | DType::Bool => 0.0,
        }
    }

    /// Half the spacing of the smallest subnormals: the absolute error that rounding can add near zero.
    pub fn underflow_error(self) -> f64 {
        match self {
            DType::F32 => 2f64.powi(-150),
            DType::F64 => 0.0,
            DType::F16 => 2f64.powi(-25),
            DType::BF16 => 2f64.powi(-134),
            DType::E4M3 => 2f64.powi(-10),
            DType::E5M2 => 2f64.powi(-17),
            DType::I32 | DType::U8 | DType::Bool => 0.0,
        }
    }

    /// Largest finite value.
    pub const fn max_finite(self) -> f64 {
        match self {
            DType::F32 => f32::MAX as f64,
            DType::F64 => f64::MAX,
            DType::F16 => 65504.0,
            DType::BF16 => 3.389_531_389_251_535_5e38,
            DType::E4M3 => fp8::E4M3.largest,
            DType::E5M2 => fp8::E5M2.largest,
            DType::I32 => i32::MAX as f64,
            DType::U8 => 255.0,
            DType::Bool => 1.0,
        }
    }

    /// The value that storing `x` and reading it back gives: rounded to nearest ([`fp8`] saturates), whole numbers
    /// truncated and clamped to the range (NaN to 0), `Bool` whether it is not 0.
    pub fn round(self, x: f64) -> f64 {
        match self {
            DType::F32 => x as f32 as f64,
            DType::F64 => x,
            DType::F16 => f16_of(x).to_f64(),
            DType::BF16 => bf16_of(x).to_f64(),
            DType::E4M3 => fp8::E4M3.decode(fp8::E4M3.encode(x)),
            DType::E5M2 => fp8::E5M2.decode(fp8::E5M2.encode(x)),
            DType::I32 => x as i32 as f64,
            DType::U8 => x as u8 as f64,
            DType::Bool => f64::from(u8::from(x != 0.0)),
        }
    }

    /// The type that products and sums of this type accumulate in.
    pub const fn accumulator(self) -> DType {
        match self {
            DType::F64 => DType::F64,
            DType::I32 | DType::U8 | DType::Bool => DType::I32,
            _ => DType::F32,
        }
    }
}

/// The nearest f16, ties to even. (`f16::from_f64` drops the lower half of the bits first, or
/// rounds twice, so that what lies next to a tie may go the wrong way.)
pub fn f16_of(x: f64) -> half::f16 {
    half::f16::from_f32(odd(x))
}

/// The nearest bf16, ties to even.
pub fn bf16_of(x: f64) -> half::bf16 {
    half::bf16::from_f32(odd(x))
}

/// `x` in f32, rounded to odd where it is not exact: rounding that again to fewer than 22 bits
/// gives what rounding `x` once would (Boldo & Melquiond 2008).
fn odd(x: f64) -> f32 {
    let near = x as f32;
    if f64::from(near) == x || !near.is_finite() || near.to_bits() & 1 == 1 {
        return near;
    }
    if f64::from(near) < x { near.next_up() } else { near.next_down() }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DType {
    type Err = UnknownDType;
    fn from_str(s: &str) -> Result<Self, UnknownDType> {
        DType::ALL.into_iter().find(|d| d.name() == s).ok_or_else(|| UnknownDType(s.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        for d in DType::ALL {
            assert_eq!(d.name().parse::<DType>(), Ok(d));
        }
        assert!("float".parse::<DType>().is_err());
        // No op but the product takes them, and it reads them itself.
        assert!(DType::FP8.into_iter().all(|d| d.name().parse::<DType>().is_err() && d.is_fp8()));
    }

    #[test]
    fn numbers_next_to_a_tie_go_to_their_side() {
        let [above, below] = [f64::EPSILON, -f64::EPSILON];
        // The tie between 1 and the next bf16 (1 + 2⁻⁷), and of f16 (1 + 2⁻¹⁰).
        for (dtype, step) in [(DType::BF16, 2f64.powi(-7)), (DType::F16, 2f64.powi(-10))] {
            let tie = 1.0 + step / 2.0;
            assert_eq!(dtype.round(tie), 1.0);
            assert_eq!(dtype.round(tie + above), 1.0 + step, "{dtype}");
            assert_eq!(dtype.round(tie + below), 1.0, "{dtype}");
            assert_eq!(dtype.round(-(tie + above)), -1.0 - step, "{dtype}");
        }
        assert_eq!(DType::BF16.round(738.000_37), 740.0);
        assert!(DType::F16.round(f64::NAN).is_nan() && DType::F16.round(65520.0).is_infinite());
        assert_eq!(DType::F16.round(65_519.999_999), 65504.0);
    }

    #[test]
    fn constants_match_half() {
        assert_eq!(DType::F16.max_finite(), half::f16::MAX.to_f64());
        assert_eq!(DType::BF16.max_finite(), half::bf16::MAX.to_f64());
        assert_eq!(DType::F16.unit_roundoff() * 2.0, half::f16::EPSILON.to_f64());
        assert_eq!(DType::BF16.unit_roundoff() * 2.0, half::bf16::EPSILON.to_f64());
    }
}
