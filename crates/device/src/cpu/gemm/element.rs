//! Element types of products and the type that each accumulates in.

use crate::cpu::tape::convert::Stored;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use kernelsmith_core::DType;
use std::fmt::Debug;
use std::ops::{Add, AddAssign, Mul};

/// The arithmetic of sums: f32, or f64 for f64 elements.
pub trait Accumulator:
    Stored + bytemuck::Pod + Debug + PartialEq + Add<Output = Self> + AddAssign + Mul<Output = Self> + Send + Sync
{
    const ZERO: Self;
    const ONE: Self;
    fn from_f64(x: f64) -> Self;
    /// self·y + z, in one rounding where the compilation target has an instruction for it.
    fn multiply_add(self, y: Self, z: Self) -> Self;
}

macro_rules! accumulator {
    ($t:ty) => {
        impl Accumulator for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn multiply_add(self, y: Self, z: Self) -> Self {
                // Without the instruction `mul_add` is a slow library call.
                if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
                    self.mul_add(y, z)
                } else {
                    self * y + z
                }
            }
        }
    };
}
accumulator!(f32);
accumulator!(f64);

/// A type that matrices are stored in.
pub trait Element: bytemuck::Pod + Debug + Send + Sync {
    type Acc: Accumulator;
    const DTYPE: DType;
    const ZERO: Self;
    /// Exact.
    fn widen(self) -> Self::Acc;
    /// Rounds to nearest, ties to even.
    fn narrow(x: Self::Acc) -> Self;
    /// Widens a whole slice into one of the same length.
    fn widen_slice(from: &[Self], to: &mut [Self::Acc]);
    /// Rounds a whole slice into one of the same length.
    fn narrow_slice(from: &[Self::Acc], to: &mut [Self]);
}

macro_rules! full_width {
    ($t:ty, $dtype:expr) => {
        impl Element for $t {
            type Acc = $t;
            const DTYPE: DType = $dtype;
            const ZERO: Self = 0.0;
            #[inline(always)]
            fn widen(self) -> $t {
                self
            }
            #[inline(always)]
            fn narrow(x: $t) -> $t {
                x
            }
            fn widen_slice(from: &[$t], to: &mut [$t]) {
                to.copy_from_slice(from);
            }
            fn narrow_slice(from: &[$t], to: &mut [$t]) {
                to.copy_from_slice(from);
            }
        }
    };
}
full_width!(f32, DType::F32);
full_width!(f64, DType::F64);

macro_rules! half_width {
    ($t:ty, $dtype:expr) => {
        impl Element for $t {
            type Acc = f32;
            const DTYPE: DType = $dtype;
            const ZERO: Self = <$t>::ZERO;
            #[inline(always)]
            fn widen(self) -> f32 {
                self.to_f32()
            }
            #[inline(always)]
            fn narrow(x: f32) -> $t {
                <$t>::from_f32(x)
            }
            fn widen_slice(from: &[$t], to: &mut [f32]) {
                from.convert_to_f32_slice(to);
            }
            fn narrow_slice(from: &[f32], to: &mut [$t]) {
                to.convert_from_f32_slice(from);
            }
        }
    };
}
half_width!(f16, DType::F16);
half_width!(bf16, DType::BF16);
