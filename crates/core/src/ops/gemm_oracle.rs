//! The f64 oracle of the matrix product, independent of every kernel and vendor.
//!
//! Element bounds follow the running error analysis of inner products (Higham 2002, §3.1):
//! γ·Σ|aᵢbᵢ| with γ = K·ε in the worst case, or 6·√K·ε where rounding errors are independent;
//! then the epilogue's own propagation and one rounding to the output's dtype.

use super::gemm::{Compute, GemmProblem};
use super::{OpProblem, OracleBudget};
use crate::expr::{Bounded, Number};
use crate::inputs::{Inputs, hash};
use crate::reference::{Reference, RowIdentity, rounding_error};
use crate::{DType, HostArray, Layout};
use rayon::prelude::*;

/// What matrix units keep of a sum of eight-bit products: bits behind the leading one of the largest
/// number in it. Found on H100s and other Hopper (DeepSeek-V3, arXiv 2412.19437, §3.5.2: "around 14 bits";
/// SageAttention2, arXiv 2411.10958: "FP22", 13 bits of mantissa); the rest is cut off.
const FP8_SUM_BITS: i32 = 13;
/// k that an instruction takes, and k after which sums are added up in f32 unless fast ones are asked for.
const FP8_STEP: f64 = 32.0;
const FP8_PROMOTED: f64 = 128.0;

/// Columns of B that are converted to f64 at a time.
const BLOCK: usize = 8;

/// Σ ab, Σ|ab| and Σ(ab)² over k.
#[derive(Clone, Copy, Default)]
pub(super) struct Sums {
    pub(super) product: f64,
    pub(super) magnitude: f64,
    squares: f64,
}

/// Computes the reference for `arrays` (the input operands in order).
pub fn reference(problem: &GemmProblem, arrays: &[&HostArray], inputs: Inputs, budget: OracleBudget) -> Reference {
    let oracle = Oracle::new(problem, arrays, inputs);
    let linear = problem.expr().slope().is_some() && inputs != Inputs::Special;
    if problem.flops() <= budget.full_flops || !linear {
        return oracle.full();
    }
    oracle.sampled(budget.samples)
}

struct Oracle<'a> {
    p: &'a GemmProblem,
    a: &'a HostArray,
    b: &'a HostArray,
    c: Option<&'a HostArray>,
    extra: Vec<(&'a HostArray, Layout)>,
    inputs: Inputs,
    unit: f64,
}

impl<'a> Oracle<'a> {
    fn new(p: &'a GemmProblem, arrays: &[&'a HostArray], inputs: Inputs) -> Self {
        let c = p.has_beta().then(|| arrays[2]);
        let first = if p.has_beta() { 3 } else { 2 };
        let layouts = p.epilogue_inputs().into_iter().map(|(_, l)| l);
        let extra = arrays[first..].iter().copied().zip(layouts).collect();
        let unit = p.dtype.accumulator().unit_roundoff();
        Oracle { p, a: arrays[0], b: arrays[1], c, extra, inputs, unit }
    }

    fn row_of_a(&self, batch: usize, row: usize, out: &mut [f64]) {
        self.a.gather(self.p.a.at(&[batch, row, 0]), self.p.a.strides()[2], out);
    }

    fn column_of_b(&self, batch: usize, column: usize, out: &mut [f64]) {
        self.b.gather(self.p.b.at(&[batch, 0, column]), self.p.b.strides()[1], out);
    }

    /// γ of the error bound for one inner product of this problem's length.
    fn gamma(&self) -> f64 {
        if self.inputs.sums_are_exact() {
            return 0.0;
        }
        let k = self.p.k as f64;
        let epsilon = 2.0 * self.unit;
        // Products of half-precision numbers are exact in the accumulator; a product of two
        // full-width numbers rounds once more.
        let worst = (k + 2.0) * epsilon;
        if self.inputs.errors_are_independent() { worst.min((6.0 * k.sqrt() + 4.0) * epsilon) } else { worst }
    }

    /// Shares of a sum's size that cut-off sums of eight-bit products may lose, 0 for other inputs. The size
    /// is that of the largest number on the way: Σ|ab| at most, and about the spread of the sums where errors
    /// are independent. Then each of k products loses its own part of a unit, and each instruction's sum
    /// one in the same direction; else all of them may lose a whole one.
    fn cut_off(&self) -> f64 {
        if !self.p.is_fp8() || self.inputs.sums_are_exact() {
            return 0.0;
        }
        let k = self.p.k as f64;
        let within = if self.p.compute == Compute::Fast { k } else { k.min(FP8_PROMOTED) };
        let products = if self.inputs.errors_are_independent() { 2.0 * within.sqrt() } else { within };
        (within / FP8_STEP + products + 4.0) * 2f64.powi(-FP8_SUM_BITS)
    }

    /// What products below the accumulator's normal range can lose (Higham 2002, §2.1): half the
    /// spacing of its subnormals for each product.
    fn underflow(&self) -> f64 {
        let spacing = match (self.p.dtype, self.p.compute) {
            (DType::F64, _) => f64::from_bits(1),
            // Rounding inputs to tf32 may flush subnormal ones, each times a number of order one.
            (_, Compute::Tf32) => 2f64.powi(-123),
            // What is left of an input below the last bit of a bf16, 2⁻¹³⁴, times a number of order one.
            (_, Compute::F32x3) => 2f64.powi(-130),
            _ => 2f64.powi(-149),
        };
        if self.inputs.sums_are_exact() { 0.0 } else { (self.p.k as f64 + 4.0) * spacing }
    }

    /// Value and bound of one output element from its sums.
    fn element(&self, batch: usize, row: usize, column: usize, sums: Sums) -> (f64, f64) {
        let p = self.p;
        let mut error = self.gamma() * sums.magnitude + self.underflow();
        if p.compute == Compute::Tf32 && !self.inputs.sums_are_exact() {
            // Inputs lose 13 bits. Truncation shifts the sum by up to 2⁻⁹ of itself; the rest
            // behaves like independent errors of 2⁻¹⁰ each.
            let step = 2f64.powi(-10);
            error += 2.0 * step * sums.product.abs() + 6.0 * 2.0 * step * sums.squares.sqrt();
            if !self.inputs.errors_are_independent() {
                error += 2.0 * step * sums.magnitude;
            }
        }
        let size = if self.inputs.errors_are_independent() {
            sums.product.abs().max(3.0 * sums.squares.sqrt()).min(sums.magnitude)
        } else {
            sums.magnitude
        };
        error += self.cut_off() * size;
        // An infinite or NaN sum is compared exactly.
        let error = if sums.product.is_finite() { error } else { 0.0 };
        let mut x = Bounded { value: sums.product, error, unit: self.unit };
        if p.alpha != 1.0 {
            x = Bounded::binary(crate::expr::Binary::Mul, x, Bounded::constant(p.alpha));
        }
        if let Some(c) = self.c {
            let c = Bounded::exact(c.get(p.c.at(&[batch, row, column])), self.unit);
            let c = Bounded::binary(crate::expr::Binary::Mul, c, Bounded::constant(p.beta));
            x = Bounded::binary(crate::expr::Binary::Add, x, c);
        }
        let input = |i: usize| {
            let (array, layout) = &self.extra[i];
            Bounded::exact(array.get(layout.at(&[batch, row, column])), self.unit)
        };
        let x = p.expr().eval(x, &input);
        (x.value, x.error + rounding_error(p.dtype, x.value, x.error))
    }

    fn full(&self) -> Reference {
        let p = self.p;
        let blocks = p.n.div_ceil(BLOCK);
        let work = p.batch * blocks;
        let one = |w: usize| {
            let (batch, first) = (w / blocks, (w % blocks) * BLOCK);
            let width = BLOCK.min(p.n - first);
            let mut columns = vec![0.0; width * p.k];
            for j in 0..width {
                self.column_of_b(batch, first + j, &mut columns[j * p.k..][..p.k]);
            }
            let mut row = vec![0.0; p.k];
            let mut out = Vec::with_capacity(p.m * width);
            for i in 0..p.m {
                self.row_of_a(batch, i, &mut row);
                for j in 0..width {
                    let sums = dot(&row, &columns[j * p.k..][..p.k]);
                    let (value, bound) = self.element(batch, i, first + j, sums);
                    out.push((p.d.at(&[batch, i, first + j]), value, bound));
                }
            }
            out
        };
        let parts: Vec<Vec<(usize, f64, f64)>> = (0..work).into_par_iter().map(one).collect();
        Reference::collect(parts.into_iter().flatten().collect())
    }

    /// Corners and random elements one by one, and every row through random weights.
    fn sampled(&self, samples: usize) -> Reference {
        let p = self.p;
        let seed = self.secret();
        let pick = |i: usize, salt: u64, size: usize| match i % 16 {
            // Every sixteenth sample sits on the last or first index: tails break first.
            0 => size - 1,
            1 => 0,
            _ => (hash(seed ^ salt, i as u64) % size as u64) as usize,
        };
        let one = |i: usize| {
            let batch = (hash(seed ^ 3, i as u64) % p.batch as u64) as usize;
            let (row, column) = (pick(i, 1, p.m), pick(i / 16 + i % 16 * 257, 2, p.n));
            let (mut a, mut b) = (vec![0.0; p.k], vec![0.0; p.k]);
            self.row_of_a(batch, row, &mut a);
            self.column_of_b(batch, column, &mut b);
            let sums = dot(&a, &b);
            let (value, bound) = self.element(batch, row, column, sums);
            let share = if sums.magnitude > 0.0 { sums.product.abs() / sums.magnitude } else { 0.0 };
            (p.d.at(&[batch, row, column]), value, bound, share)
        };
        let picked: Vec<_> = (0..samples).into_par_iter().map(one).collect();
        let share = picked.iter().map(|x| x.3).fold(0.0, f64::max);
        let mut out = Reference::collect(picked.into_iter().map(|(at, value, bound, _)| (at, value, bound)).collect());
        out.identity = Some(self.identity(seed, share));
        out
    }

    /// D·w = slope·(alpha·A(B·w) + beta·C·w) + (what the epilogue adds)·w, row by row.
    fn identity(&self, seed: u64, share: f64) -> RowIdentity {
        let p = self.p;
        let weights: Vec<f64> = (0..p.n)
            .map(|j| {
                let h = hash(seed ^ 4, j as u64);
                let size = (1 + (h >> 1) % 1023) as f64;
                if h & 1 == 0 { size } else { -size }
            })
            .collect();
        // B·w and |B|·1, for each batch.
        let folded: Vec<(Vec<f64>, Vec<f64>)> = (0..p.batch).map(|b| self.fold_b(b, &weights)).collect();
        let norm = weights.iter().map(|w| w * w).sum::<f64>().sqrt();
        let slope = p.expr().slope().unwrap_or(1.0);
        let gamma = self.gamma();
        let row = |r: usize| {
            let (batch, i) = (r / p.m, r % p.m);
            let mut a = vec![0.0; p.k];
            self.row_of_a(batch, i, &mut a);
            let (bw, b1) = &folded[batch];
            let product: f64 = a.iter().zip(bw).map(|(x, y)| x * y).sum();
            let magnitude: f64 = a.iter().zip(b1).map(|(x, y)| x.abs() * y).sum::<f64>() * p.alpha.abs();
            let mut target = slope * p.alpha * product;
            let mut added = 0.0;
            if self.c.is_some() || !p.expr().is_identity() {
                for (j, w) in weights.iter().enumerate() {
                    // What the rest contributes where the product is 0.
                    let c = self.c.map_or(0.0, |c| p.beta * c.get(p.c.at(&[batch, i, j])));
                    let rest = p.expr().eval(c, &|e| {
                        let (array, layout) = &self.extra[e];
                        array.get(layout.at(&[batch, i, j]))
                    });
                    target += w * rest;
                    added += rest.abs();
                }
            }
            // Root of the summed squares of the elements' bounds, each taken as the row's mean.
            let n = p.n as f64;
            let tf32 = if p.compute == Compute::Tf32 { 2f64.powi(-9) } else { 0.0 };
            let cut_off = self.cut_off() * if self.inputs.errors_are_independent() { share } else { 1.0 };
            let size = slope.abs() * share * magnitude + added;
            let exact = self.inputs.sums_are_exact() && size / n < exact_integers(p.dtype) / 64.0;
            let mean = if exact {
                0.0
            } else {
                (slope.abs() * (gamma + tf32 * share + cut_off) * magnitude + p.dtype.unit_roundoff() * size) / n
            };
            (target, 8.0 * norm * mean + 1e-12 * (target.abs() + magnitude))
        };
        let rows: Vec<(f64, f64)> = (0..p.batch * p.m).into_par_iter().map(row).collect();
        let (targets, bounds) = rows.into_iter().unzip();
        RowIdentity { weights, targets, bounds }
    }

    fn fold_b(&self, batch: usize, weights: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let p = self.p;
        let one = |kk: usize| {
            let mut row = vec![0.0; p.n];
            self.b.gather(p.b.at(&[batch, kk, 0]), p.b.strides()[2], &mut row);
            let weighted = row.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>();
            (weighted, row.iter().map(|x| x.abs()).sum::<f64>())
        };
        (0..p.k).into_par_iter().map(one).unzip()
    }

    /// A seed that depends on the inputs' values, so the sample cannot be guessed without them.
    fn secret(&self) -> u64 {
        let bytes = self.a.as_bytes();
        bytes
            .chunks_exact(8)
            .take(64)
            .fold(0x5eed, |h, c| hash(h, u64::from_le_bytes(c.try_into().expect("chunks of eight bytes"))))
    }
}

/// Largest n such that every integer up to n is exact in `dtype`.
fn exact_integers(dtype: DType) -> f64 {
    1.0 / dtype.unit_roundoff()
}

/// The three sums over k, with independent partial sums so that the compiler can use vectors.
pub(super) fn dot(a: &[f64], b: &[f64]) -> Sums {
    struct Dot<'a>(&'a [f64], &'a [f64]);
    impl pulp::NullaryFnOnce for Dot<'_> {
        type Output = Sums;
        #[inline(always)]
        fn call(self) -> Sums {
            const LANES: usize = 16;
            let (mut p, mut m, mut q) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
            let (a, a_tail) = self.0.as_chunks::<LANES>();
            let (b, b_tail) = self.1.as_chunks::<LANES>();
            for (x, y) in a.iter().zip(b) {
                for l in 0..LANES {
                    let xy = x[l] * y[l];
                    p[l] += xy;
                    m[l] += xy.abs();
                    q[l] += xy * xy;
                }
            }
            let mut out = Sums::default();
            for l in 0..LANES {
                out.product += p[l];
                out.magnitude += m[l];
                out.squares += q[l];
            }
            for (x, y) in a_tail.iter().zip(b_tail) {
                let xy = x * y;
                out.product += xy;
                out.magnitude += xy.abs();
                out.squares += xy * xy;
            }
            out
        }
    }
    pulp::Arch::new().dispatch(Dot(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gemm::parse;

    fn arrays(p: &GemmProblem, inputs: Inputs, seed: u64) -> Vec<HostArray> {
        let operands = p.operands();
        operands[..operands.len() - 1]
            .iter()
            .enumerate()
            .map(|(i, o)| inputs.fill(seed + i as u64, o.dtype, &o.layout))
            .collect()
    }

    /// A plain triple loop in f64, rounded to the dtype.
    fn naive(p: &GemmProblem, arrays: &[&HostArray], skip_k: usize) -> HostArray {
        let mut out = HostArray::from_fn(p.dtype, p.d.span(), |_| f64::NAN);
        let first = if p.has_beta() { 3 } else { 2 };
        let extra = p.epilogue_inputs();
        for b in 0..p.batch {
            for i in 0..p.m {
                for j in 0..p.n {
                    let mut x = 0.0;
                    for kk in 0..p.k - skip_k {
                        x += arrays[0].get(p.a.at(&[b, i, kk])) * arrays[1].get(p.b.at(&[b, kk, j]));
                    }
                    x *= p.alpha;
                    if p.has_beta() {
                        x += p.beta * arrays[2].get(p.c.at(&[b, i, j]));
                    }
                    let x = p.expr().eval(x, &|e| arrays[first + e].get(extra[e].1.at(&[b, i, j])));
                    out.set(p.d.at(&[b, i, j]), x);
                }
            }
        }
        out
    }

    const PROBLEMS: [&str; 9] = [
        "m=33,n=40,k=57,dtype=f32",
        "m=5,n=64,k=128,dtype=f16,layout=nt,epilogue=bias+gelu",
        "batch=3,m=9,n=17,k=31,dtype=bf16,layout=tn,alpha=0.5,beta=2.0",
        "m=20,n=20,k=20,dtype=f64,layout=tt,epilogue=residual+scale(0.5)+bias_row",
        "m=16,n=24,k=64,dtype=f32,compute=tf32",
        "m=33,n=24,k=70,dtype=f32,compute=f32x3,layout=tn",
        "m=33,n=24,k=70,dtype=bf16,inputs=e4m3,layout=nt",
        "m=17,n=40,k=50,dtype=f32,inputs=e5m2:e4m3,compute=fast,layout=nt",
        "m=7,n=8,k=9,dtype=f32,a=4@0:20:2,d=1@0:1:9,epilogue=relu",
    ];

    #[test]
    fn a_right_result_passes_and_a_missing_k_tail_does_not() {
        for text in PROBLEMS {
            let p = parse(text).unwrap();
            for budget in [OracleBudget::default(), OracleBudget { full_flops: 0.0, samples: 300 }] {
                for inputs in Inputs::ALL {
                    let owned = arrays(&p, inputs, 11);
                    let refs: Vec<&HostArray> = owned.iter().collect();
                    let want = reference(&p, &refs, inputs, budget);
                    let good = want.compare(&naive(&p, &refs, 0), &p.d);
                    assert!(good.passes(), "{text} {inputs:?}: {good:?}");
                    if matches!(inputs, Inputs::Positive | Inputs::Integer | Inputs::Normal) {
                        let bad = want.compare(&naive(&p, &refs, 1), &p.d);
                        assert!(!bad.passes(), "{text} {inputs:?} {budget:?} missed the tail: {bad:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn zeros_and_a_single_wrong_element_fail() {
        let p = parse("m=48,n=96,k=200,dtype=f16").unwrap();
        let owned = arrays(&p, Inputs::Integer, 5);
        let refs: Vec<&HostArray> = owned.iter().collect();
        for budget in [OracleBudget::default(), OracleBudget { full_flops: 0.0, samples: 16 }] {
            let want = reference(&p, &refs, Inputs::Integer, budget);
            assert!(!want.compare(&HostArray::zeros(DType::F16, p.d.span()), &p.d).passes());
            let mut out = naive(&p, &refs, 0);
            let x = out.get(1234);
            out.set(1234, x + 1.0);
            assert!(!want.compare(&out, &p.d).passes(), "one element off by one went unseen");
        }
    }

    #[test]
    fn empty_k_is_the_epilogue_of_beta_c() {
        let base = parse("m=4,n=4,k=1,dtype=f32,beta=1.5,epilogue=bias").unwrap();
        let case = base
            .edge_cases()
            .into_iter()
            .find_map(|p| p.downcast::<GemmProblem>().filter(|p| p.k == 0).cloned())
            .unwrap();
        let owned = arrays(&case, Inputs::Normal, 1);
        let refs: Vec<&HostArray> = owned.iter().collect();
        let want = reference(&case, &refs, Inputs::Normal, OracleBudget::default());
        assert!(want.compare(&naive(&case, &refs, 0), &case.d).passes());
    }
}
