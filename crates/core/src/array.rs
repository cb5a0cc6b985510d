//! Typed values in host memory: what the lab feeds to kernels and what the oracle reads.

use crate::dtype::{bf16_of, f16_of};
use crate::{DType, fp8};
use half::{bf16, f16};

/// A flat host array of one dtype.
#[derive(Clone, Debug, PartialEq)]
pub enum HostArray {
    F32(Vec<f32>),
    F64(Vec<f64>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
    I32(Vec<i32>),
    U8(Vec<u8>),
    /// One byte each, 0 or 1.
    Bool(Vec<u8>),
    /// Codes of [`fp8::E4M3`].
    E4M3(Vec<u8>),
    /// Codes of [`fp8::E5M2`].
    E5M2(Vec<u8>),
}

/// Runs `$body` with `$v` bound to the typed vector of `$array`.
#[macro_export]
macro_rules! with_values {
    ($array:expr, $v:ident => $body:expr) => {
        match $array {
            $crate::HostArray::F32($v) => $body,
            $crate::HostArray::F64($v) => $body,
            $crate::HostArray::F16($v) => $body,
            $crate::HostArray::BF16($v) => $body,
            $crate::HostArray::I32($v) => $body,
            $crate::HostArray::U8($v) => $body,
            $crate::HostArray::Bool($v) => $body,
            $crate::HostArray::E4M3($v) => $body,
            $crate::HostArray::E5M2($v) => $body,
        }
    };
}

impl HostArray {
    /// `len` zeros of `dtype`.
    pub fn zeros(dtype: DType, len: usize) -> Self {
        match dtype {
            DType::F32 => HostArray::F32(vec![0.0; len]),
            DType::F64 => HostArray::F64(vec![0.0; len]),
            DType::F16 => HostArray::F16(vec![f16::ZERO; len]),
            DType::BF16 => HostArray::BF16(vec![bf16::ZERO; len]),
            DType::I32 => HostArray::I32(vec![0; len]),
            DType::U8 => HostArray::U8(vec![0; len]),
            DType::Bool => HostArray::Bool(vec![0; len]),
            DType::E4M3 => HostArray::E4M3(vec![0; len]),
            DType::E5M2 => HostArray::E5M2(vec![0; len]),
        }
    }

    /// `len` values of `dtype`, each `f(index)` rounded to it.
    pub fn from_fn(dtype: DType, len: usize, f: impl Fn(usize) -> f64 + Sync) -> Self {
        use rayon::prelude::*;
        let parallel = len >= 1 << 16;
        macro_rules! make {
            ($round:expr) => {
                if parallel {
                    (0..len).into_par_iter().map(|i| $round(f(i))).collect()
                } else {
                    (0..len).map(|i| $round(f(i))).collect()
                }
            };
        }
        match dtype {
            DType::F32 => HostArray::F32(make!(|x: f64| x as f32)),
            DType::F64 => HostArray::F64(make!(|x: f64| x)),
            DType::F16 => HostArray::F16(make!(f16_of)),
            DType::BF16 => HostArray::BF16(make!(bf16_of)),
            DType::I32 => HostArray::I32(make!(|x: f64| x as i32)),
            DType::U8 => HostArray::U8(make!(|x: f64| x as u8)),
            DType::Bool => HostArray::Bool(make!(|x: f64| u8::from(x != 0.0))),
            DType::E4M3 => HostArray::E4M3(make!(|x: f64| fp8::E4M3.encode(x))),
            DType::E5M2 => HostArray::E5M2(make!(|x: f64| fp8::E5M2.encode(x))),
        }
    }

    pub fn dtype(&self) -> DType {
        match self {
            HostArray::F32(_) => DType::F32,
            HostArray::F64(_) => DType::F64,
            HostArray::F16(_) => DType::F16,
            HostArray::BF16(_) => DType::BF16,
            HostArray::I32(_) => DType::I32,
            HostArray::U8(_) => DType::U8,
            HostArray::Bool(_) => DType::Bool,
            HostArray::E4M3(_) => DType::E4M3,
            HostArray::E5M2(_) => DType::E5M2,
        }
    }

    pub fn len(&self) -> usize {
        with_values!(self, v => v.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element `i` in f64 (exact for every dtype).
    pub fn get(&self, i: usize) -> f64 {
        match self {
            HostArray::F32(v) => v[i] as f64,
            HostArray::F64(v) => v[i],
            HostArray::F16(v) => v[i].to_f64(),
            HostArray::BF16(v) => v[i].to_f64(),
            HostArray::I32(v) => v[i] as f64,
            HostArray::U8(v) | HostArray::Bool(v) => v[i] as f64,
            HostArray::E4M3(v) => fp8::E4M3.decode(v[i]),
            HostArray::E5M2(v) => fp8::E5M2.decode(v[i]),
        }
    }

    /// Reads `out.len()` elements, `stride` apart from `start` on, in f64.
    pub fn gather(&self, start: usize, stride: isize, out: &mut [f64]) {
        macro_rules! read {
            ($v:expr, $convert:expr) => {
                for (i, x) in out.iter_mut().enumerate() {
                    *x = $convert($v[(start as isize + i as isize * stride) as usize]);
                }
            };
        }
        match self {
            HostArray::F32(v) => read!(v, f64::from),
            HostArray::F64(v) => read!(v, |x| x),
            HostArray::F16(v) => read!(v, f16::to_f64),
            HostArray::BF16(v) => read!(v, bf16::to_f64),
            HostArray::I32(v) => read!(v, f64::from),
            HostArray::U8(v) | HostArray::Bool(v) => read!(v, f64::from),
            HostArray::E4M3(v) => read!(v, |x| fp8::E4M3.decode(x)),
            HostArray::E5M2(v) => read!(v, |x| fp8::E5M2.decode(x)),
        }
    }

    /// Sets element `i` to `x` rounded to the dtype.
    pub fn set(&mut self, i: usize, x: f64) {
        match self {
            HostArray::F32(v) => v[i] = x as f32,
            HostArray::F64(v) => v[i] = x,
            HostArray::F16(v) => v[i] = f16_of(x),
            HostArray::BF16(v) => v[i] = bf16_of(x),
            HostArray::I32(v) => v[i] = x as i32,
            HostArray::U8(v) => v[i] = x as u8,
            HostArray::Bool(v) => v[i] = u8::from(x != 0.0),
            HostArray::E4M3(v) => v[i] = fp8::E4M3.encode(x),
            HostArray::E5M2(v) => v[i] = fp8::E5M2.encode(x),
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        with_values!(self, v => bytemuck::cast_slice(v))
    }

    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        with_values!(self, v => bytemuck::cast_slice_mut(v))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_to_their_dtype() {
        for d in [DType::F32, DType::F64, DType::F16, DType::BF16, DType::E4M3, DType::E5M2] {
            let a = HostArray::from_fn(d, 5, |i| i as f64 + 0.1);
            assert_eq!((a.dtype(), a.len(), a.as_bytes().len()), (d, 5, 5 * d.bytes()));
            assert!((a.get(3) - 3.1).abs() <= 3.1 * d.unit_roundoff());
        }
    }
}
