//! Rows of a few columns, sixteen at a time: the columns of a group become registers, so that the
//! passes go down the rows and no loop is as short as a row.

use super::passes::Statistics;
use crate::cpu::fold::{extreme, worst};
use crate::cpu::tape::convert::Stored;
use crate::cpu::tape::level::{Job, Level, run};
use kernelsmith_core::expr::Unary;
use kernelsmith_core::ops::row::RowKind;

/// Rows of a group.
const ROWS: usize = 16;
/// Columns up to which rows are short.
pub const COLUMNS: usize = 32;

type Group<N> = [[N; ROWS]; COLUMNS];

/// Reads a group's columns; beyond the last row there is the last row again.
struct Load<'a, N> {
    x: &'a [N],
    columns: usize,
    to: &'a mut Group<N>,
}

impl<N: Stored> Job for Load<'_, N> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Load { x, columns, to } = self;
        let rows = x.len() / columns;
        for (c, to) in to[..columns].iter_mut().enumerate() {
            if rows >= ROWS {
                let from = &x[c..][..(ROWS - 1) * columns + 1];
                (0..ROWS).for_each(|r| to[r] = from[r * columns]);
            } else {
                (0..ROWS).for_each(|r| to[r] = x[r.min(rows - 1) * columns + c]);
            }
        }
    }
}

/// Writes a group's columns to as many rows as `y` has.
struct Store<'a, N> {
    from: &'a Group<N>,
    columns: usize,
    y: &'a mut [N],
}

impl<N: Stored> Job for Store<'_, N> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (r, row) in self.y.chunks_exact_mut(self.columns).enumerate() {
            row.iter_mut().zip(self.from).for_each(|(y, from)| *y = from[r]);
        }
    }
}

/// What is the same in a row: one number a row, folded over its columns.
struct Down<'a, N, F> {
    group: &'a [[N; ROWS]],
    start: N,
    step: F,
}

impl<N: Stored, F: Fn(N, N, usize) -> N> Job for Down<'_, N, F> {
    type Output = [N; ROWS];
    #[inline(always)]
    fn run<const FMA: bool>(self) -> [N; ROWS] {
        let mut found = [self.start; ROWS];
        for column in self.group {
            for (r, (found, x)) in found.iter_mut().zip(column).enumerate() {
                *found = (self.step)(*found, *x, r);
            }
        }
        found
    }
}

/// Changes every number of a group, given its row.
struct Change<'a, N, F> {
    group: &'a mut [[N; ROWS]],
    change: F,
}

impl<N: Stored, F: Fn(N, usize) -> N> Job for Change<'_, N, F> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for column in self.group {
            for (r, x) in column.iter_mut().enumerate() {
                *x = (self.change)(*x, r);
            }
        }
    }
}

/// A function of as many numbers as `x` has.
fn apply<N: Stored>(level: Level, op: Unary, x: &[N], y: &mut [N]) {
    assert_eq!(x.len(), y.len());
    // SAFETY: as many numbers, in two places.
    unsafe { N::unary_run(level, op, x.as_ptr(), y.as_mut_ptr(), x.len()) }
}

/// Maxima and logarithms of the sums of exponentials of a group whose numbers become x − max;
/// `terms` are the exponentials.
fn exponentials<N: Stored>(level: Level, group: &mut [[N; ROWS]], terms: &mut [[N; ROWS]]) -> ([N; ROWS], [N; ROWS]) {
    let max = run(level, Down { group, start: worst(true), step: |m, x, _| extreme(true, m, x) });
    run(level, Change { group, change: |x, r| x - max[r] });
    apply(level, Unary::Exp, group.as_flattened(), terms.as_flattened_mut());
    let sums = run(level, Down { group: terms, start: N::ZERO, step: |s, x, _| s + x });
    (max, sums)
}

/// [`Statistics::row`] of all the rows of `x`.
pub fn rows<N: Stored>(how: &Statistics, x: &[N], y: &mut [N], columns: usize) {
    let level = how.level;
    let (mut group, mut terms): (Group<N>, Group<N>) = ([[N::ZERO; ROWS]; COLUMNS], [[N::ZERO; ROWS]; COLUMNS]);
    let (count, eps) = (N::of(columns as f64), N::of(how.eps));
    for (x, y) in x.chunks(ROWS * columns).zip(y.chunks_mut(ROWS * columns)) {
        run(level, Load { x, columns, to: &mut group });
        let inside = &mut group[..columns];
        let terms_inside = &mut terms[..columns];
        match how.kind {
            RowKind::Softmax => {
                let (_, sums) = exponentials(level, inside, terms_inside);
                let factors = sums.map(|s| N::of(1.0) / s);
                run(level, Change { group: terms_inside, change: |x, r| x * factors[r] });
                run(level, Store { from: &terms, columns, y });
                continue;
            }
            RowKind::LogSoftmax | RowKind::CrossEntropy => {
                let (_, sums) = exponentials(level, inside, terms_inside);
                let mut logs = [N::ZERO; ROWS];
                apply(level, Unary::Log, &sums, &mut logs);
                run(level, Change { group: inside, change: |x, r| x - logs[r] });
            }
            RowKind::LayerNorm | RowKind::RmsNorm => {
                if how.kind == RowKind::LayerNorm {
                    let sums = run(level, Down { group: inside, start: N::ZERO, step: |s, x, _| s + x });
                    let means = sums.map(|s| s / count);
                    run(level, Change { group: inside, change: |x, r| x - means[r] });
                }
                let squares = run(level, Down { group: inside, start: N::ZERO, step: |s, x, _| s + x * x });
                let mut factors = [N::ZERO; ROWS];
                apply(level, Unary::Rsqrt, &squares.map(|s| s / count + eps), &mut factors);
                run(level, Change { group: inside, change: |x, r| x * factors[r] });
            }
        }
        run(level, Store { from: &group, columns, y });
    }
}

/// Cross-entropies of all the rows of `x`, one number each in `y`; `label(row)` is counted from
/// the first row here.
pub fn cross_entropy<N: Stored>(
    level: Level,
    x: &[N],
    y: &mut [N],
    columns: usize,
    label: &impl Fn(usize) -> Option<i32>,
) {
    let (mut group, mut terms): (Group<N>, Group<N>) = ([[N::ZERO; ROWS]; COLUMNS], [[N::ZERO; ROWS]; COLUMNS]);
    for (g, (x, y)) in x.chunks(ROWS * columns).zip(y.chunks_mut(ROWS)).enumerate() {
        run(level, Load { x, columns, to: &mut group });
        let (max, sums) = exponentials(level, &mut group[..columns], &mut terms[..columns]);
        let mut logs = [N::ZERO; ROWS];
        apply(level, Unary::Log, &sums, &mut logs);
        for (r, y) in y.iter_mut().enumerate() {
            *y = match label(g * ROWS + r) {
                None => max[r] + logs[r],
                // The group's numbers are x − max by now.
                Some(l) => match usize::try_from(l).ok().filter(|l| *l < columns) {
                    Some(l) => logs[r] - group[l][r],
                    None => N::of(f64::NAN),
                },
            };
        }
    }
}
