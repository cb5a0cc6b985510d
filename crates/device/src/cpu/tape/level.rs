//! Instruction sets: loops are written once and compiled for each of them.

/// An instruction set that this process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What the program was compiled for.
    Portable,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
}

impl Level {
    /// The best one of this CPU.
    pub fn best() -> Level {
        Level::all().last().unwrap_or(Level::Portable)
    }

    /// Those that this CPU has, best last.
    pub fn all() -> impl Iterator<Item = Level> {
        [Level::Portable, Level::Avx2, Level::Avx512].into_iter().filter(|l| l.is_available())
    }

    fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            let avx2 = has!("avx2") && has!("fma") && has!("f16c");
            let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
            match self {
                Level::Portable => true,
                Level::Avx2 => avx2,
                Level::Avx512 => avx2 && avx512,
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self == Level::Portable
        }
    }
}

/// A loop to compile for every level. `run` must be `#[inline(always)]`.
pub trait Job {
    type Output;
    /// `FMA`: whether `mul_add` is one instruction.
    fn run<const FMA: bool>(self) -> Self::Output;
}

/// Runs a job with the instructions of `level`, which [`Level::all`] has listed.
#[inline(always)]
pub fn run<J: Job>(level: Level, job: J) -> J::Output {
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a level other than `Portable` comes from `Level::all`, which asked the CPU.
        Level::Avx512 => unsafe { avx512(job) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2 => unsafe { avx2(job) },
        // Where FMA is part of what is compiled for (AArch64), it is one instruction here too.
        _ => job.run::<{ cfg!(any(target_feature = "fma", target_arch = "aarch64")) }>(),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn avx512<J: Job>(job: J) -> J::Output {
    job.run::<true>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn avx2<J: Job>(job: J) -> J::Output {
    job.run::<true>()
}
