//! Vector registers of the instruction sets that kernels are compiled for.
//!
//! A kernel is written once over [`Lanes`] and instantiated inside `#[target_feature]` functions;
//! everything here is `#[inline(always)]`, so the instructions are chosen there.

use super::element::{Accumulator, Element};
#[cfg(target_arch = "x86_64")]
use half::{bf16, f16};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Arithmetic on a register of accumulators.
pub trait Lanes<A: Accumulator>: Copy + 'static {
    type Vector: Copy;
    const WIDTH: usize;
    /// # Safety
    /// All functions: the CPU has this instruction set; `load` reads and `store` writes WIDTH elements.
    unsafe fn splat(x: A) -> Self::Vector;
    unsafe fn load(from: *const A) -> Self::Vector;
    unsafe fn store(to: *mut A, x: Self::Vector);
    /// x·y + z.
    unsafe fn multiply_add(x: Self::Vector, y: Self::Vector, z: Self::Vector) -> Self::Vector;
    unsafe fn add(x: Self::Vector, y: Self::Vector) -> Self::Vector;
    /// The sum of the lanes, in a fixed order.
    unsafe fn sum(x: Self::Vector) -> A;

    /// Turns a square of WIDTH × WIDTH numbers whose rows follow one another; rows of the result are
    /// `to_stride` apart.
    ///
    /// # Safety
    /// The CPU has this instruction set; the square can be read, the result's rows can be written.
    #[inline(always)]
    unsafe fn transpose(from: *const A, to: *mut A, to_stride: usize) {
        for i in 0..Self::WIDTH {
            for j in 0..Self::WIDTH {
                // SAFETY: both are inside their squares.
                unsafe { to.add(i * to_stride + j).write(from.add(j * Self::WIDTH + i).read()) };
            }
        }
    }
}

/// Loads of stored elements, widened to accumulators.
pub trait Widen<T: Element>: Lanes<T::Acc> {
    /// # Safety
    /// The CPU has this instruction set; WIDTH elements can be read.
    unsafe fn widen(from: *const T) -> Self::Vector;

    /// Asks for the cache line at an address, which need not exist.
    #[inline(always)]
    fn prefetch(at: *const T) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: part of every x86-64 CPU; a prefetch never faults.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(at.cast());
        }
        let _ = at;
    }

    /// The first `count` < WIDTH elements, zeros after them; reads nothing beyond.
    ///
    /// # Safety
    /// The CPU has this instruction set; `count` elements can be read.
    #[inline(always)]
    unsafe fn widen_first(from: *const T, count: usize) -> Self::Vector {
        const MOST: usize = 16;
        let mut whole = [T::ZERO; MOST];
        debug_assert!(count < Self::WIDTH && Self::WIDTH <= MOST);
        // SAFETY: the caller vouches for `count` elements and `whole` has more; then WIDTH of them exist.
        unsafe {
            std::ptr::copy_nonoverlapping(from, whole.as_mut_ptr(), count);
            Self::widen(whole.as_ptr())
        }
    }
}

/// Eight lanes of plain Rust, for CPUs without a hand-written instance (and every other architecture).
#[derive(Clone, Copy)]
pub struct Portable;

impl<A: Accumulator> Lanes<A> for Portable {
    type Vector = [A; 8];
    const WIDTH: usize = 8;
    #[inline(always)]
    unsafe fn splat(x: A) -> [A; 8] {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load(from: *const A) -> [A; 8] {
        // SAFETY: the caller vouches for eight elements.
        unsafe { from.cast::<[A; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut A, x: [A; 8]) {
        // SAFETY: the caller vouches for eight elements.
        unsafe { to.cast::<[A; 8]>().write_unaligned(x) }
    }
    #[inline(always)]
    unsafe fn multiply_add(x: [A; 8], y: [A; 8], z: [A; 8]) -> [A; 8] {
        std::array::from_fn(|i| x[i].multiply_add(y[i], z[i]))
    }
    #[inline(always)]
    unsafe fn add(x: [A; 8], y: [A; 8]) -> [A; 8] {
        std::array::from_fn(|i| x[i] + y[i])
    }
    #[inline(always)]
    unsafe fn sum(x: [A; 8]) -> A {
        ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]))
    }
}

impl<T: Element> Widen<T> for Portable {
    #[inline(always)]
    unsafe fn widen(from: *const T) -> [T::Acc; 8] {
        // SAFETY: the caller vouches for eight elements.
        let x = unsafe { from.cast::<[T; 8]>().read_unaligned() };
        x.map(T::widen)
    }
}

/// 512-bit registers: AVX-512F.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Avx512;
/// 256-bit registers: AVX2, FMA and F16C.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Avx2;

/// `impl Lanes` from the names of the instructions.
#[cfg(target_arch = "x86_64")]
macro_rules! lanes {
    ($set:ty, $acc:ty, $vector:ty, $width:expr, $splat:ident, $load:ident, $store:ident, $fma:ident, $add:ident, $sum:expr $(, $transpose:ident)?) => {
        impl Lanes<$acc> for $set {
            type Vector = $vector;
            const WIDTH: usize = $width;
            #[inline(always)]
            unsafe fn splat(x: $acc) -> $vector {
                // SAFETY: the caller checked the CPU.
                unsafe { $splat(x) }
            }
            #[inline(always)]
            unsafe fn load(from: *const $acc) -> $vector {
                // SAFETY: the caller checked the CPU and vouches for the elements.
                unsafe { $load(from) }
            }
            #[inline(always)]
            unsafe fn store(to: *mut $acc, x: $vector) {
                // SAFETY: the caller checked the CPU and vouches for the elements.
                unsafe { $store(to, x) }
            }
            #[inline(always)]
            unsafe fn multiply_add(x: $vector, y: $vector, z: $vector) -> $vector {
                // SAFETY: the caller checked the CPU.
                unsafe { $fma(x, y, z) }
            }
            #[inline(always)]
            unsafe fn add(x: $vector, y: $vector) -> $vector {
                // SAFETY: the caller checked the CPU.
                unsafe { $add(x, y) }
            }
            #[inline(always)]
            unsafe fn sum(x: $vector) -> $acc {
                // SAFETY: the caller checked the CPU.
                unsafe { $sum(x) }
            }
            $(#[inline(always)]
            unsafe fn transpose(from: *const $acc, to: *mut $acc, to_stride: usize) {
                // SAFETY: the caller checked the CPU and vouches for the squares.
                unsafe { $transpose(from, to, to_stride) }
            })?
        }
    };
}

/// `impl Widen` from an expression of the pointer.
#[cfg(target_arch = "x86_64")]
macro_rules! widen {
    ($set:ty, $t:ty, $vector:ty, $from:ident => $load:expr) => {
        impl Widen<$t> for $set {
            #[inline(always)]
            unsafe fn widen($from: *const $t) -> $vector {
                // SAFETY: the caller checked the CPU and vouches for the elements.
                unsafe { $load }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;

    #[inline(always)]
    unsafe fn sum8(x: __m256) -> f32 {
        // SAFETY: the caller checked the CPU for AVX.
        unsafe {
            let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps::<1>(x, x)))
        }
    }

    #[inline(always)]
    unsafe fn sum4(x: __m256d) -> f64 {
        // SAFETY: the caller checked the CPU for AVX.
        unsafe {
            let x = _mm_add_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd::<1>(x));
            _mm_cvtsd_f64(_mm_add_sd(x, _mm_unpackhi_pd(x, x)))
        }
    }

    /// 16 × 16 numbers: squares of two and of four within the quarters of registers, then the quarters.
    #[inline(always)]
    unsafe fn transpose16(from: *const f32, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller checked the CPU for AVX-512F and vouches for the squares.
        unsafe {
            let row = |i: usize| _mm512_loadu_ps(from.add(16 * i));
            // fours[4·g + c]: of rows 4·g … 4·g + 3 what is in column c of each quarter.
            let mut fours = [_mm512_setzero_ps(); 16];
            for g in 0..4 {
                let [a, b, c, d] = [row(4 * g), row(4 * g + 1), row(4 * g + 2), row(4 * g + 3)];
                let (ab, cd) = (_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
                let (ab_high, cd_high) = (_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
                let low = |x, y| _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(x), _mm512_castps_pd(y)));
                let high = |x, y| _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(x), _mm512_castps_pd(y)));
                fours[4 * g] = low(ab, cd);
                fours[4 * g + 1] = high(ab, cd);
                fours[4 * g + 2] = low(ab_high, cd_high);
                fours[4 * g + 3] = high(ab_high, cd_high);
            }
            // 0x88 takes quarters 0 and 2 of both, 0xdd quarters 1 and 3.
            for c in 0..4 {
                let [p, q, r, s] = [fours[c], fours[4 + c], fours[8 + c], fours[12 + c]];
                let (even, even_2) = (_mm512_shuffle_f32x4::<0x88>(p, q), _mm512_shuffle_f32x4::<0x88>(r, s));
                let (odd, odd_2) = (_mm512_shuffle_f32x4::<0xdd>(p, q), _mm512_shuffle_f32x4::<0xdd>(r, s));
                _mm512_storeu_ps(to.add(c * to_stride), _mm512_shuffle_f32x4::<0x88>(even, even_2));
                _mm512_storeu_ps(to.add((4 + c) * to_stride), _mm512_shuffle_f32x4::<0x88>(odd, odd_2));
                _mm512_storeu_ps(to.add((8 + c) * to_stride), _mm512_shuffle_f32x4::<0xdd>(even, even_2));
                _mm512_storeu_ps(to.add((12 + c) * to_stride), _mm512_shuffle_f32x4::<0xdd>(odd, odd_2));
            }
        }
    }

    lanes!(
        Avx512,
        f32,
        __m512,
        16,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_fmadd_ps,
        _mm512_add_ps,
        |x| _mm512_reduce_add_ps(x),
        transpose16
    );
    lanes!(
        Avx512,
        f64,
        __m512d,
        8,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_fmadd_pd,
        _mm512_add_pd,
        |x| _mm512_reduce_add_pd(x)
    );
    lanes!(
        Avx2,
        f32,
        __m256,
        8,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_fmadd_ps,
        _mm256_add_ps,
        |x| sum8(x)
    );
    lanes!(
        Avx2,
        f64,
        __m256d,
        4,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_fmadd_pd,
        _mm256_add_pd,
        |x| sum4(x)
    );

    widen!(Avx512, f32, __m512, from => _mm512_loadu_ps(from));
    widen!(Avx512, f64, __m512d, from => _mm512_loadu_pd(from));
    widen!(Avx512, f16, __m512, from => _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())));
    // A bf16 is the upper half of an f32.
    widen!(Avx512, bf16, __m512, from => _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast())))));
    widen!(Avx2, f32, __m256, from => _mm256_loadu_ps(from));
    widen!(Avx2, f64, __m256d, from => _mm256_loadu_pd(from));
    widen!(Avx2, f16, __m256, from => _mm256_cvtph_ps(_mm_loadu_si128(from.cast())));
    widen!(Avx2, bf16, __m256, from => _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast())))));
}

/// The instruction sets that kernels choose between at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructionSet {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl InstructionSet {
    /// The best one that this CPU has.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 =
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
            if avx2 {
                let avx512 = is_x86_feature_detected!("avx512f");
                return if avx512 { InstructionSet::Avx512 } else { InstructionSet::Avx2 };
            }
        }
        InstructionSet::Portable
    }

    /// The best one below AVX-512 on a CPU whose best is `self`.
    #[cfg(test)]
    pub fn without_avx512(self) -> Self {
        match self {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => InstructionSet::Avx2,
            other => other,
        }
    }
}
