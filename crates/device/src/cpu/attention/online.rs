//! Attention over blocks of keys with a running maximum.
//!
//! Idea: ROWS queries that read the same keys (of one head, or of all heads of a group) go over the keys in
//! blocks of KEYS. A block of K is turned, so that scores of all its keys are one vector loop over the
//! head's numbers; V stays as it lies, so that results are one over the keys. What was summed up so far
//! is scaled by exp(old maximum − new maximum) when a block brings a larger score (Milakov & Gimelshein 2018).
//! Keys that a query does not see are never touched by it. Tiles of queries are independent: THREADS share them.
//!
//! Bound: arithmetic, four flops for each query, key and number of a head; for few queries the reading of K and V.
//!
//! `smith bench attention --problem heads=16,queries=512,keys=512,head=64,dtype=f32,causal=1 --candidate online`

use crate::cpu::fold::{extreme, largest, sum};
use crate::cpu::kernel::{CpuCall, CpuKernelError};
use crate::cpu::launch::{self, Buffers, Checks};
use crate::cpu::tape::convert::Stored;
use crate::cpu::tape::lane::{Lane, Values};
use crate::cpu::tape::level::{Job, Level, run as at_level};
use crate::cpu::{operands, prepared, scratch};
use kernelsmith_core::expr::{Binary, Unary};
use kernelsmith_core::ops::OpProblem;
use kernelsmith_core::ops::attention::AttentionProblem;

/// Queries of a tile.
const ROWS: usize = 16;
/// Keys of a block.
const KEYS: usize = 64;
/// Flops that are worth another thread.
const GRAIN: usize = 1 << 20;

struct Plan {
    checks: Checks,
    problem: AttentionProblem,
    level: Level,
}

pub fn run(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    let problem: &AttentionProblem = operands::problem(call, "attention")?;
    let plan = prepared::plan(call.problem, || {
        Ok(Plan { checks: Checks::new(problem.operands())?, problem: problem.clone(), level: Level::best() })
    })?;
    let buffers = plan.checks.buffers(call)?;
    plan.run(&buffers, launch::threads(call));
    Ok(())
}

/// A tile's memory.
struct Room<'a> {
    q: &'a mut [f32],
    /// \[head\]\[KEYS\].
    k: &'a mut [f32],
    /// \[KEYS\]\[head\].
    v: &'a mut [f32],
    out: &'a mut [f32],
    line: &'a mut [f32],
}

impl Plan {
    /// Queries that read the same keys: those of a group of heads.
    fn sharing(&self) -> usize {
        let s = self.problem.shape;
        s.heads / s.kv_heads * s.queries
    }

    fn run(&self, buffers: &Buffers, threads: usize) {
        let s = self.problem.shape;
        let tiles = self.sharing().div_ceil(ROWS);
        let flops = 4 * ROWS.min(self.sharing()) * s.keys * s.head;
        launch::share(threads, s.batch * s.kv_heads * tiles, GRAIN / flops.max(1), &|from, to| {
            let line = s.head.next_multiple_of(16);
            let sizes = [ROWS * s.head, KEYS * s.head, KEYS * s.head, ROWS * s.head, line];
            scratch::with::<f32, ()>(sizes.iter().sum(), |room| {
                let (q, rest) = room.split_at_mut(sizes[0]);
                let (k, rest) = rest.split_at_mut(sizes[1]);
                let (v, rest) = rest.split_at_mut(sizes[2]);
                let (out, line) = rest.split_at_mut(sizes[3]);
                let mut room = Room { q, k, v, out, line: &mut line[..s.head] };
                for unit in from..to {
                    let (tile, of_keys) = (unit % tiles, unit / tiles);
                    let rows = tile * ROWS..self.sharing().min((tile + 1) * ROWS);
                    self.tile(buffers, of_keys / s.kv_heads, of_keys % s.kv_heads, rows, &mut room);
                }
            });
        });
    }

    /// Rows `rows` of those that read one head's keys.
    fn tile(&self, buffers: &Buffers, batch: usize, kv_head: usize, rows: std::ops::Range<usize>, room: &mut Room<'_>) {
        let (p, s, level) = (&self.problem, self.problem.shape, self.level);
        let (first, size) = (kv_head * (s.heads / s.kv_heads), p.dtype.bytes());
        // A row's head and query.
        let place = |row: usize| (first + row / s.queries, row % s.queries);
        let count = rows.len();
        for (i, row) in rows.clone().enumerate() {
            let (head, query) = place(row);
            let at = p.q.at(&[batch, head, query, 0]) * size;
            let to = &mut room.q[i * s.head..][..s.head];
            // SAFETY: the buffer was checked against a layout that holds these positions.
            unsafe { f32::load(level, p.dtype, buffers.inputs[0].add(at), p.q.strides()[3], to.as_mut_ptr(), s.head) };
        }
        room.out[..count * s.head].fill(0.0);
        let (mut maxima, mut sums) = ([f32::NEG_INFINITY; ROWS], [0.0f64; ROWS]);
        let most = rows.clone().map(|row| p.visible(place(row).1)).max().unwrap_or(0);
        for start in (0..most).step_by(KEYS) {
            let keys = KEYS.min(most - start);
            for j in 0..keys {
                let at = [batch, kv_head, start + j, 0];
                // SAFETY: as above, for K and V.
                unsafe {
                    let k = buffers.inputs[1].add(p.k.at(&at) * size);
                    f32::load(level, p.dtype, k, p.k.strides()[3], room.line.as_mut_ptr(), s.head);
                    let v = buffers.inputs[2].add(p.v.at(&at) * size);
                    f32::load(level, p.dtype, v, p.v.strides()[3], room.v[j * s.head..].as_mut_ptr(), s.head);
                }
                room.line.iter().enumerate().for_each(|(d, x)| room.k[d * KEYS + j] = *x);
            }
            for (i, row) in rows.clone().enumerate() {
                let seen = p.visible(place(row).1).saturating_sub(start).min(keys);
                if seen == 0 {
                    continue;
                }
                let q = &room.q[i * s.head..][..s.head];
                let scores = at_level(level, Scores { q, k: room.k, scale: p.scale as f32 });
                let max = extreme(true, maxima[i], largest(level, true, &scores[..seen]));
                // Where all scores are −∞ so far, weights are 0 and not NaN.
                let shift = if max == f32::NEG_INFINITY { 0.0 } else { max };
                let (mut shifted, mut weights) = ([0.0f32; KEYS], [0.0f32; KEYS]);
                let mut decay = [maxima[i] - shift];
                // SAFETY: `seen` numbers, or one, on each side, in different places.
                unsafe {
                    let scores = Values::Run(scores.as_ptr());
                    f32::binary_run(level, Binary::Sub, scores, Values::One(shift), shifted.as_mut_ptr(), seen);
                    f32::unary_run(level, Unary::Exp, shifted.as_ptr(), weights.as_mut_ptr(), seen);
                    let exponent = decay;
                    f32::unary_run(level, Unary::Exp, exponent.as_ptr(), decay.as_mut_ptr(), 1);
                }
                let weights = &weights[..seen];
                maxima[i] = max;
                sums[i] = sums[i] * f64::from(decay[0]) + f64::from(sum(level, weights));
                let out = &mut room.out[i * s.head..][..s.head];
                at_level(level, Weigh { weights, v: room.v, out, decay: decay[0] });
            }
        }
        for (i, row) in rows.enumerate() {
            let (head, query) = place(row);
            let out = &mut room.out[i * s.head..][..s.head];
            let sum = sums[i] as f32;
            out.iter_mut().for_each(|x| *x /= sum);
            let at = p.out.at(&[batch, head, query, 0]) * size;
            // SAFETY: as above, for the output; tiles are disjoint there.
            unsafe {
                f32::store(level, p.dtype, out.as_ptr(), buffers.output.add(at), p.out.strides()[3], s.head);
            }
        }
    }
}

/// Scores of a query with a block of keys.
struct Scores<'a> {
    q: &'a [f32],
    k: &'a [f32],
    scale: f32,
}

impl Job for Scores<'_> {
    type Output = [f32; KEYS];
    #[inline(always)]
    fn run<const FMA: bool>(self) -> [f32; KEYS] {
        let mut sums = [0.0f32; KEYS];
        for (q, k) in self.q.iter().zip(self.k.as_chunks::<KEYS>().0) {
            for (sum, k) in sums.iter_mut().zip(k) {
                *sum = if FMA { q.mul_add(*k, *sum) } else { *sum + q * k };
            }
        }
        sums.map(|s| s * self.scale)
    }
}

/// out ← out·decay + Σ weights·v.
struct Weigh<'a> {
    weights: &'a [f32],
    v: &'a [f32],
    out: &'a mut [f32],
    decay: f32,
}

impl Job for Weigh<'_> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        const LANES: usize = 64;
        let Weigh { weights, v, out, decay } = self;
        let head = out.len();
        let add = |sum: f32, w: f32, v: f32| if FMA { w.mul_add(v, sum) } else { sum + w * v };
        let (whole, rest) = out.as_chunks_mut::<LANES>();
        for (i, out) in whole.iter_mut().enumerate() {
            let mut sums = out.map(|x| x * decay);
            for (w, v) in weights.iter().zip(v.chunks_exact(head)) {
                let v: &[f32; LANES] = v[i * LANES..].first_chunk().expect("as long as the output");
                for (sum, v) in sums.iter_mut().zip(v) {
                    *sum = add(*sum, *w, *v);
                }
            }
            *out = sums;
        }
        let at = head - rest.len();
        rest.iter_mut().for_each(|x| *x *= decay);
        for (w, v) in weights.iter().zip(v.chunks_exact(head)) {
            for (sum, v) in rest.iter_mut().zip(&v[at..]) {
                *sum = add(*sum, *w, *v);
            }
        }
    }
}
