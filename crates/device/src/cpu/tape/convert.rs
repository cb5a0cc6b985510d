//! Conversions between what arrays hold and what tapes compute in, run by run.

use super::lane::{Lane, each};
use super::level::Level;
use half::f16;
use kernelsmith_core::dtype::{bf16_of, f16_of};
use kernelsmith_core::{DType, fp8};

#[inline(always)]
pub fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Rounds to nearest, ties to even; a NaN stays one.
#[inline(always)]
pub fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16;
    if x.is_nan() { (bits >> 16) as u16 | 0x40 } else { rounded }
}

/// Widens a run of f16.
///
/// # Safety
/// `n` elements can be read and written; the CPU has the level.
unsafe fn widen_f16(level: Level, from: *const u16, to: *mut f32, n: usize) {
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the caller's promise; both levels have F16C.
        Level::Avx512 | Level::Avx2 => unsafe { x86::widen_f16(from, to, n) },
        // SAFETY: the caller's promise.
        _ => unsafe { each(level, from, to, n, |x| f16::from_bits(x).to_f32()) },
    }
}

/// Rounds a run to f16, ties to even.
///
/// # Safety
/// As [`widen_f16`].
unsafe fn narrow_f16(level: Level, from: *const f32, to: *mut u16, n: usize) {
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the caller's promise; both levels have F16C.
        Level::Avx512 | Level::Avx2 => unsafe { x86::narrow_f16(from, to, n) },
        // SAFETY: the caller's promise.
        _ => unsafe { each(level, from, to, n, |x| f16::from_f32(x).to_bits()) },
    }
}

/// Rounds a run to f16 and widens it again.
///
/// # Safety
/// As [`widen_f16`].
pub unsafe fn round_f16(level: Level, from: *const f32, to: *mut f32, n: usize) {
    let mut part = [0u16; 256];
    for start in (0..n).step_by(part.len()) {
        let count = part.len().min(n - start);
        // SAFETY: the caller's promise; `count` fits the buffer.
        unsafe {
            narrow_f16(level, from.add(start), part.as_mut_ptr(), count);
            widen_f16(level, part.as_ptr(), to.add(start), count);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use half::f16;
    use std::arch::x86_64::*;

    /// # Safety
    /// `n` elements can be read and written.
    #[target_feature(enable = "avx2,f16c")]
    pub unsafe fn widen_f16(from: *const u16, to: *mut f32, n: usize) {
        let whole = n / 8 * 8;
        // SAFETY: the caller's promise.
        unsafe {
            for i in (0..whole).step_by(8) {
                _mm256_storeu_ps(to.add(i), _mm256_cvtph_ps(_mm_loadu_si128(from.add(i).cast())));
            }
            for i in whole..n {
                *to.add(i) = f16::from_bits(*from.add(i)).to_f32();
            }
        }
    }

    /// # Safety
    /// `n` elements can be read and written.
    #[target_feature(enable = "avx2,f16c")]
    pub unsafe fn narrow_f16(from: *const f32, to: *mut u16, n: usize) {
        let whole = n / 8 * 8;
        // SAFETY: the caller's promise.
        unsafe {
            for i in (0..whole).step_by(8) {
                let x = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm256_loadu_ps(from.add(i)));
                _mm_storeu_si128(to.add(i).cast(), x);
            }
            for i in whole..n {
                *to.add(i) = f16::from_f32(*from.add(i)).to_bits();
            }
        }
    }
}

/// A number that arrays of every dtype can be read into and written from.
pub trait Stored: Lane {
    /// Reads `n` elements, `stride` apart from `from` on, exactly where the number can hold them.
    ///
    /// # Safety
    /// The elements can be read, `n` numbers can be written to `to`, and `from` is aligned.
    unsafe fn load(level: Level, dtype: DType, from: *const u8, stride: isize, to: *mut Self, n: usize);

    /// Rounds `n` numbers to `to` and on, `stride` elements apart, as [`DType::round`] says.
    ///
    /// # Safety
    /// As [`Stored::load`], the other way around.
    unsafe fn store(level: Level, dtype: DType, from: *const Self, to: *mut u8, stride: isize, n: usize);
}

/// # Safety
/// As [`Stored::load`].
#[inline(always)]
unsafe fn read<T: Copy, N>(level: Level, from: *const u8, stride: isize, to: *mut N, n: usize, f: impl Fn(T) -> N) {
    let from: *const T = from.cast();
    // SAFETY: the caller's promise.
    unsafe {
        if stride == 1 {
            return each(level, from, to, n, f);
        }
        for i in 0..n {
            *to.add(i) = f(*from.offset(i as isize * stride));
        }
    }
}

/// # Safety
/// As [`Stored::store`].
#[inline(always)]
unsafe fn write<N: Copy, T>(level: Level, from: *const N, to: *mut u8, stride: isize, n: usize, f: impl Fn(N) -> T) {
    let to: *mut T = to.cast();
    // SAFETY: the caller's promise.
    unsafe {
        if stride == 1 {
            return each(level, from, to, n, f);
        }
        for i in 0..n {
            *to.offset(i as isize * stride) = f(*from.add(i));
        }
    }
}

impl Stored for f32 {
    unsafe fn load(level: Level, dtype: DType, from: *const u8, stride: isize, to: *mut f32, n: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match dtype {
                DType::F32 if stride == 1 => std::ptr::copy_nonoverlapping(from.cast(), to, n),
                DType::F32 => read(level, from, stride, to, n, |x: f32| x),
                DType::F64 => read(level, from, stride, to, n, |x: f64| x as f32),
                DType::F16 if stride == 1 => widen_f16(level, from.cast(), to, n),
                DType::F16 => read(level, from, stride, to, n, |x: u16| f16::from_bits(x).to_f32()),
                DType::BF16 => read(level, from, stride, to, n, from_bf16),
                DType::I32 => read(level, from, stride, to, n, |x: i32| x as f32),
                DType::U8 | DType::Bool => read(level, from, stride, to, n, |x: u8| f32::from(x)),
                DType::E4M3 => read(Level::Portable, from, stride, to, n, |x: u8| fp8::E4M3.decode(x) as f32),
                DType::E5M2 => read(Level::Portable, from, stride, to, n, |x: u8| fp8::E5M2.decode(x) as f32),
            }
        }
    }

    unsafe fn store(level: Level, dtype: DType, from: *const f32, to: *mut u8, stride: isize, n: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match dtype {
                DType::F32 if stride == 1 => std::ptr::copy_nonoverlapping(from, to.cast(), n),
                DType::F32 => write(level, from, to, stride, n, |x: f32| x),
                DType::F64 => write(level, from, to, stride, n, |x: f32| f64::from(x)),
                DType::F16 if stride == 1 => narrow_f16(level, from, to.cast(), n),
                DType::F16 => write(level, from, to, stride, n, |x: f32| f16::from_f32(x).to_bits()),
                DType::BF16 => write(level, from, to, stride, n, to_bf16),
                DType::I32 => write(level, from, to, stride, n, |x: f32| x as i32),
                DType::U8 => write(level, from, to, stride, n, |x: f32| x as u8),
                DType::Bool => write(level, from, to, stride, n, |x: f32| u8::from(x != 0.0)),
                DType::E4M3 => write(Level::Portable, from, to, stride, n, |x: f32| fp8::E4M3.encode(f64::from(x))),
                DType::E5M2 => write(Level::Portable, from, to, stride, n, |x: f32| fp8::E5M2.encode(f64::from(x))),
            }
        }
    }
}

impl Stored for f64 {
    unsafe fn load(level: Level, dtype: DType, from: *const u8, stride: isize, to: *mut f64, n: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match dtype {
                DType::F32 => read(level, from, stride, to, n, |x: f32| f64::from(x)),
                DType::F64 if stride == 1 => std::ptr::copy_nonoverlapping(from.cast(), to, n),
                DType::F64 => read(level, from, stride, to, n, |x: f64| x),
                DType::F16 => read(Level::Portable, from, stride, to, n, |x: u16| f16::from_bits(x).to_f64()),
                DType::BF16 => read(level, from, stride, to, n, |x: u16| f64::from(from_bf16(x))),
                DType::I32 => read(level, from, stride, to, n, |x: i32| f64::from(x)),
                DType::U8 | DType::Bool => read(level, from, stride, to, n, |x: u8| f64::from(x)),
                DType::E4M3 => read(Level::Portable, from, stride, to, n, |x: u8| fp8::E4M3.decode(x)),
                DType::E5M2 => read(Level::Portable, from, stride, to, n, |x: u8| fp8::E5M2.decode(x)),
            }
        }
    }

    unsafe fn store(level: Level, dtype: DType, from: *const f64, to: *mut u8, stride: isize, n: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match dtype {
                DType::F32 => write(level, from, to, stride, n, |x: f64| x as f32),
                DType::F64 if stride == 1 => std::ptr::copy_nonoverlapping(from, to.cast(), n),
                DType::F64 => write(level, from, to, stride, n, |x: f64| x),
                DType::F16 => write(Level::Portable, from, to, stride, n, |x: f64| f16_of(x).to_bits()),
                DType::BF16 => write(Level::Portable, from, to, stride, n, |x: f64| bf16_of(x).to_bits()),
                DType::I32 => write(level, from, to, stride, n, |x: f64| x as i32),
                DType::U8 => write(level, from, to, stride, n, |x: f64| x as u8),
                DType::Bool => write(level, from, to, stride, n, |x: f64| u8::from(x != 0.0)),
                DType::E4M3 => write(Level::Portable, from, to, stride, n, |x: f64| fp8::E4M3.encode(x)),
                DType::E5M2 => write(Level::Portable, from, to, stride, n, |x: f64| fp8::E5M2.encode(x)),
            }
        }
    }
}
