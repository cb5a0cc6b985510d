//! A run of numbers to one: sums in many chains, extremes, positions. And the same element by
//! element of two runs, for columns.

use super::tape::convert::Stored;
use super::tape::level::{Job, Level, run};
use kernelsmith_core::ops::reduce::ReduceKind;

/// Chains of additions that go side by side.
const CHAINS: usize = 64;
/// Runs up to this length are one chain.
const SHORT: usize = 16;

/// Whether `x` takes the place of `best`: larger (`max`) or smaller, or the first NaN.
#[inline(always)]
pub fn is_better<N: PartialOrd + Copy>(max: bool, x: N, best: N) -> bool {
    let nan = |x: N| x.partial_cmp(&x).is_none();
    (if max { x > best } else { x < best }) || (nan(x) && !nan(best))
}

/// What [`is_better`] leaves, without the first of several NaN: fewer instructions.
#[inline(always)]
pub fn extreme<N: PartialOrd + Copy>(max: bool, best: N, x: N) -> N {
    let nan = x.partial_cmp(&x).is_none();
    if (if max { x > best } else { x < best }) || nan { x } else { best }
}

/// The worst number of all.
pub fn worst<N: Stored>(max: bool) -> N {
    N::of(if max { f64::NEG_INFINITY } else { f64::INFINITY })
}

struct Sum<'a, N>(&'a [N]);

impl<N: Stored> Job for Sum<'_, N> {
    type Output = N;
    #[inline(always)]
    fn run<const FMA: bool>(self) -> N {
        let x = self.0;
        if x.len() <= SHORT {
            return x.iter().fold(N::ZERO, |a, x| a + *x);
        }
        let mut sums = [N::ZERO; CHAINS];
        let (chunks, rest) = x.as_chunks::<CHAINS>();
        for chunk in chunks {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *sum = *sum + *x;
            }
        }
        for (sum, x) in sums.iter_mut().zip(rest) {
            *sum = *sum + *x;
        }
        fold_chains(sums, |a, b| a + b)
    }
}

#[inline(always)]
fn fold_chains<N: Copy>(mut chains: [N; CHAINS], f: impl Fn(N, N) -> N) -> N {
    let mut width = CHAINS / 2;
    while width > 0 {
        for i in 0..width {
            chains[i] = f(chains[i], chains[i + width]);
        }
        width /= 2;
    }
    chains[0]
}

/// The sum of a run.
pub fn sum<N: Stored>(level: Level, x: &[N]) -> N {
    run(level, Sum(x))
}

struct Extreme<'a, N>(bool, &'a [N]);

impl<N: Stored> Job for Extreme<'_, N> {
    type Output = N;
    #[inline(always)]
    fn run<const FMA: bool>(self) -> N {
        let Extreme(max, x) = self;
        // Two loops: which way is decided once.
        if max { extreme_of::<N, true>(x) } else { extreme_of::<N, false>(x) }
    }
}

#[inline(always)]
fn extreme_of<N: Stored, const MAX: bool>(x: &[N]) -> N {
    let first = worst::<N>(MAX);
    if x.len() <= SHORT {
        return x.iter().fold(first, |a, x| extreme(MAX, a, *x));
    }
    let mut best = [first; CHAINS];
    let (chunks, rest) = x.as_chunks::<CHAINS>();
    for chunk in chunks {
        for (best, x) in best.iter_mut().zip(chunk) {
            *best = extreme(MAX, *best, *x);
        }
    }
    for (best, x) in best.iter_mut().zip(rest) {
        *best = extreme(MAX, *best, *x);
    }
    fold_chains(best, |a, b| extreme(MAX, a, b))
}

/// The largest or smallest number of a run; NaN wins.
pub fn largest<N: Stored>(level: Level, max: bool, x: &[N]) -> N {
    run(level, Extreme(max, x))
}

/// The first place of what [`largest`] found.
pub fn first<N: Stored>(x: &[N], found: N) -> usize {
    let is_nan = found.partial_cmp(&found).is_none();
    let hit = |x: &N| if is_nan { x.partial_cmp(x).is_none() } else { *x == found };
    x.iter().position(hit).unwrap_or(0)
}

/// What has been reduced so far of one output.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    pub value: f64,
    pub at: f64,
}

impl Running {
    pub fn new(kind: ReduceKind) -> Running {
        let value = match kind {
            ReduceKind::Sum => 0.0,
            ReduceKind::Max | ReduceKind::ArgMax => f64::NEG_INFINITY,
            ReduceKind::Min | ReduceKind::ArgMin => f64::INFINITY,
        };
        Running { value, at: 0.0 }
    }

    /// Takes in a run whose first element has position `at`.
    pub fn take<N: Stored>(&mut self, level: Level, kind: ReduceKind, at: usize, x: &[N]) {
        let max = matches!(kind, ReduceKind::Max | ReduceKind::ArgMax);
        if kind == ReduceKind::Sum {
            self.value += sum(level, x).into();
            return;
        }
        let found = largest(level, max, x);
        if is_better(max, found.into(), self.value) {
            self.value = found.into();
            if kind.is_position() {
                self.at = (at + first(x, found)) as f64;
            }
        }
    }

    /// Takes in what comes after it.
    pub fn join(&mut self, kind: ReduceKind, next: Running) {
        let max = matches!(kind, ReduceKind::Max | ReduceKind::ArgMax);
        if kind == ReduceKind::Sum {
            self.value += next.value;
        } else if is_better(max, next.value, self.value) {
            *self = next;
        }
    }
}

/// A row of columns that rows are taken into, one number (and position) a column.
struct Columns<'a, N> {
    kind: ReduceKind,
    best: &'a mut [N],
    at: &'a mut [u32],
    rows: &'a [N],
    first: u32,
}

impl<N: Stored> Job for Columns<'_, N> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Columns { kind, best, at, rows, first } = self;
        let width = best.len();
        for (r, row) in rows.chunks_exact(width).enumerate() {
            match kind {
                ReduceKind::Sum => best.iter_mut().zip(row).for_each(|(a, x)| *a = *a + *x),
                ReduceKind::Max => best.iter_mut().zip(row).for_each(|(a, x)| *a = extreme(true, *a, *x)),
                ReduceKind::Min => best.iter_mut().zip(row).for_each(|(a, x)| *a = extreme(false, *a, *x)),
                ReduceKind::ArgMax => arg_row::<N, true>(best, at, row, first + r as u32),
                ReduceKind::ArgMin => arg_row::<N, false>(best, at, row, first + r as u32),
            }
        }
    }
}

#[inline(always)]
fn arg_row<N: Stored, const MAX: bool>(best: &mut [N], at: &mut [u32], row: &[N], position: u32) {
    for ((best, at), x) in best.iter_mut().zip(at).zip(row) {
        let better = is_better(MAX, *x, *best);
        *best = if better { *x } else { *best };
        *at = if better { position } else { *at };
    }
}

/// Takes whole rows of `best.len()` columns into `best`; `at` holds positions where the kind has
/// them, the first row's is `first`.
pub fn take_rows<N: Stored>(
    level: Level,
    kind: ReduceKind,
    (best, at): (&mut [N], &mut [u32]),
    rows: &[N],
    first: usize,
) {
    run(level, Columns { kind, best, at, rows, first: first as u32 });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_on_every_level() {
        for level in Level::all() {
            for n in 1..300usize {
                let x: Vec<f32> = (0..n).map(|i| ((i * 37) % 101) as f32 - 50.0).collect();
                assert_eq!(sum(level, &x), x.iter().sum::<f32>(), "{n}");
                let max = largest(level, true, &x);
                assert_eq!(max, x.iter().copied().fold(f32::MIN, f32::max));
                assert_eq!(first(&x, max), x.iter().position(|v| *v == max).unwrap());
                let mut with_nan = x.clone();
                with_nan[n / 2] = f32::NAN;
                with_nan[n - 1] = f32::NAN;
                let nan = largest(level, false, &with_nan);
                assert!(nan.is_nan() && first(&with_nan, nan) == (n / 2).min(n - 1));
            }
        }
    }
}
