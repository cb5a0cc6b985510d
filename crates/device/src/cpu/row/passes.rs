//! The passes over one row: each a loop that vectorises.

use crate::cpu::fold::{largest, sum};
use crate::cpu::tape::convert::Stored;
use crate::cpu::tape::lane::Values;
use crate::cpu::tape::level::{Job, Level, run};
use kernelsmith_core::expr::{Binary, Unary};
use kernelsmith_core::ops::row::RowKind;

/// Numbers of a block between passes over the first-level cache.
const BLOCK: usize = 1024;

/// What a row operation needs besides the row.
pub struct Statistics {
    pub kind: RowKind,
    pub eps: f64,
    pub level: Level,
}

impl Statistics {
    /// The results `y` of the row `x`, as long, for kinds that do not reduce; without the label.
    pub fn row<N: Stored>(&self, x: &[N], y: &mut [N]) {
        let (level, n) = (self.level, N::of(x.len() as f64));
        match self.kind {
            RowKind::Softmax => {
                let max = largest(level, true, x);
                let total = exponentials(level, x, max, Some(y));
                run(level, Scale { y, factor: N::of(1.0) / total });
            }
            RowKind::LogSoftmax | RowKind::CrossEntropy => {
                let max = largest(level, true, x);
                let log = logarithm(level, exponentials(level, x, max, None));
                run(level, LogSoftmax { x, y, max, log });
            }
            RowKind::LayerNorm => {
                let mean = N::of(x.chunks(BLOCK).map(|b| sum(level, b).into()).sum()) / n;
                let variance = run(level, Squares { x, mean }) / n;
                run(level, Affine { x, y, mean, factor: self.rsqrt(variance) });
            }
            RowKind::RmsNorm => {
                let square = run(level, Squares { x, mean: N::ZERO }) / n;
                run(level, Affine { x, y, mean: N::ZERO, factor: self.rsqrt(square) });
            }
        }
    }

    fn rsqrt<N: Stored>(&self, x: N) -> N {
        one(self.level, Unary::Rsqrt, x + N::of(self.eps))
    }
}

/// A function of one number, by the same loop as that of many.
fn one<N: Stored>(level: Level, op: Unary, x: N) -> N {
    let mut y = N::ZERO;
    // SAFETY: one number each.
    unsafe { N::unary_run(level, op, &raw const x, &raw mut y, 1) };
    y
}

fn logarithm<N: Stored>(level: Level, x: N) -> N {
    one(level, Unary::Log, x)
}

/// (max − x\[label\]) + ln Σ exp(x − max); max + ln Σ without a label; NaN for one outside the row.
pub fn cross_entropy<N: Stored>(level: Level, x: &[N], label: Option<i32>) -> N {
    let max = largest(level, true, x);
    let log = logarithm(level, exponentials(level, x, max, None));
    match label {
        None => max + log,
        Some(l) => match usize::try_from(l).ok().and_then(|l| x.get(l)) {
            Some(hit) => (max - *hit) + log,
            None => N::of(f64::NAN),
        },
    }
}

/// Σ exp(x − max); the terms go to `y` where it is given.
fn exponentials<N: Stored>(level: Level, x: &[N], max: N, mut y: Option<&mut [N]>) -> N {
    let mut total = 0.0;
    let mut block = [N::ZERO; BLOCK];
    let mut shifted = [N::ZERO; BLOCK];
    for (i, part) in x.chunks(BLOCK).enumerate() {
        let terms = match &mut y {
            Some(y) => &mut y[i * BLOCK..][..part.len()],
            None => &mut block[..part.len()],
        };
        // SAFETY: `part.len()` numbers each, in three different places.
        unsafe {
            let run = Values::Run(part.as_ptr());
            N::binary_run(level, Binary::Sub, run, Values::One(max), shifted.as_mut_ptr(), part.len());
            N::unary_run(level, Unary::Exp, shifted.as_ptr(), terms.as_mut_ptr(), part.len());
        }
        total += sum(level, terms).into();
    }
    N::of(total)
}

/// y ← y·factor.
struct Scale<'a, N> {
    y: &'a mut [N],
    factor: N,
}

impl<N: Stored> Job for Scale<'_, N> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let factor = self.factor;
        self.y.iter_mut().for_each(|y| *y = *y * factor);
    }
}

/// y ← (x − max) − log.
struct LogSoftmax<'a, N> {
    x: &'a [N],
    y: &'a mut [N],
    max: N,
    log: N,
}

impl<N: Stored> Job for LogSoftmax<'_, N> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let (max, log) = (self.max, self.log);
        self.y.iter_mut().zip(self.x).for_each(|(y, x)| *y = (*x - max) - log);
    }
}

/// y ← (x − mean)·factor.
struct Affine<'a, N> {
    x: &'a [N],
    y: &'a mut [N],
    mean: N,
    factor: N,
}

impl<N: Stored> Job for Affine<'_, N> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let (mean, factor) = (self.mean, self.factor);
        self.y.iter_mut().zip(self.x).for_each(|(y, x)| *y = (*x - mean) * factor);
    }
}

/// Σ (x − mean)², in 32 chains.
struct Squares<'a, N> {
    x: &'a [N],
    mean: N,
}

impl<N: Stored> Job for Squares<'_, N> {
    type Output = N;
    #[inline(always)]
    fn run<const FMA: bool>(self) -> N {
        const CHAINS: usize = 32;
        let mean = self.mean;
        let square = |x: N| (x - mean) * (x - mean);
        if self.x.len() <= 16 {
            return self.x.iter().fold(N::ZERO, |a, x| a + square(*x));
        }
        let mut total = 0.0;
        // Blocks, so that no chain is long.
        for block in self.x.chunks(BLOCK) {
            let mut sums = [N::ZERO; CHAINS];
            let (chunks, rest) = block.as_chunks::<CHAINS>();
            for chunk in chunks {
                for (sum, x) in sums.iter_mut().zip(chunk) {
                    *sum = *sum + square(*x);
                }
            }
            for (sum, x) in sums.iter_mut().zip(rest) {
                *sum = *sum + square(*x);
            }
            let mut width = CHAINS / 2;
            while width > 0 {
                for i in 0..width {
                    sums[i] = sums[i] + sums[i + width];
                }
                width /= 2;
            }
            total += sums[0].into();
        }
        N::of(total)
    }
}
