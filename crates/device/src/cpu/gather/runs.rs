//! Gather and scatter-add by runs of elements that one index moves together.
//!
//! Idea: dimensions that every array steps through as one are merged, so that a row of a table is
//! one run: copied by memcpy, or added by one vector loop. THREADS share rows of the output
//! (gather), or a dimension other than the axis (scatter-add): each output is summed by one
//! thread in the order of the space, so the bits do not depend on THREADS.
//!
//! Bound: memory, each moved element read and written once.
//!
//! `smith bench gather --problem shape=256x784,axis=0,size=60000,x=f32,index=i32@0:1:0,out=f32 --candidate runs`

use super::walk::{Row, Walk};
use crate::cpu::kernel::{CpuCall, CpuKernelError};
use crate::cpu::launch::{self, Buffers, Checks};
use crate::cpu::tape::convert::Stored;
use crate::cpu::tape::lane::Lane;
use crate::cpu::tape::level::{Job, Level, run};
use crate::cpu::{operands, prepared, scratch};
use kernelsmith_core::inputs::for_each_position;
use kernelsmith_core::ops::OpProblem;
use kernelsmith_core::ops::gather::GatherProblem;
use kernelsmith_core::{DType, Layout};

/// Elements that are worth another thread.
const GRAIN: usize = 1 << 15;

struct Plan {
    checks: Checks,
    walk: Walk,
    dtype: DType,
    out: Layout,
    level: Level,
}

impl Plan {
    fn new(p: &GatherProblem) -> Result<Plan, CpuKernelError> {
        let (walk, dtype, out) = (Walk::new(p)?, p.x.dtype, p.out.layout);
        Ok(Plan { checks: Checks::new(p.operands())?, walk, dtype, out, level: Level::best() })
    }
}

pub fn gather(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    let problem: &GatherProblem = operands::problem(call, "gather")?;
    let plan = prepared::plan(call.problem, || Plan::new(problem))?;
    let buffers = plan.checks.buffers(call)?;
    let threads = launch::threads(call);
    match plan.dtype {
        DType::F64 => plan.gather(&buffers, threads, f64::NAN.to_bits()),
        DType::F32 => plan.gather(&buffers, threads, f32::NAN.to_bits()),
        DType::I32 => plan.gather(&buffers, threads, 0u32),
        DType::F16 => plan.gather(&buffers, threads, half::f16::NAN.to_bits()),
        DType::BF16 => plan.gather(&buffers, threads, half::bf16::NAN.to_bits()),
        DType::U8 | DType::Bool | DType::E4M3 | DType::E5M2 => plan.gather(&buffers, threads, 0u8),
    }
    Ok(())
}

pub fn scatter_add(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    let problem: &GatherProblem = operands::problem(call, "scatter_add")?;
    let plan = prepared::plan(call.problem, || Plan::new(problem))?;
    let buffers = plan.checks.buffers(call)?;
    let threads = launch::threads(call);
    match plan.dtype {
        DType::F64 => plan.scatter::<f64>(&buffers, threads),
        _ => plan.scatter::<f32>(&buffers, threads),
    }
    Ok(())
}

impl Plan {
    /// Moves elements of `T`'s size; `missing` is what an index outside the axis gives.
    fn gather<T: Copy + Send + Sync>(&self, buffers: &Buffers, threads: usize, missing: T) {
        let (walk, n) = (&self.walk, self.walk.row());
        launch::share(threads, walk.rows(), GRAIN / n, &|from, to| {
            let (x, index, out) =
                (buffers.inputs[0].cast::<T>(), buffers.inputs[1].cast::<i32>(), buffers.output.cast::<T>());
            walk.each(from, to, |[(x_at, x_step), (i_at, i_step), (o_at, o_step)]: Row| {
                // SAFETY: the buffers were checked against layouts that hold these positions, with
                // a valid index the one in x too; rows are disjoint in the output.
                unsafe {
                    let (x, out) = (x.offset(x_at), out.offset(o_at));
                    if i_step != 0 {
                        for i in 0..n as isize {
                            let element = match walk.shift(*index.offset(i_at + i * i_step)) {
                                Some(shift) => *x.offset(i * x_step + shift),
                                None => missing,
                            };
                            *out.offset(i * o_step) = element;
                        }
                        return;
                    }
                    match walk.shift(*index.offset(i_at)) {
                        Some(shift) if (x_step, o_step) == (1, 1) => {
                            std::ptr::copy_nonoverlapping(x.offset(shift), out, n);
                        }
                        Some(shift) => {
                            (0..n as isize).for_each(|i| *out.offset(i * o_step) = *x.offset(shift + i * x_step));
                        }
                        None => (0..n as isize).for_each(|i| *out.offset(i * o_step) = missing),
                    }
                }
            });
        });
    }

    /// Sums in `N`: in the output itself where it holds them, else beside it.
    fn scatter<N: Stored>(&self, buffers: &Buffers, threads: usize) {
        if self.dtype == N::DTYPE {
            let out = buffers.output.cast::<N>();
            // SAFETY: the layout's positions are inside the output.
            unsafe {
                if self.out.is_contiguous() {
                    std::slice::from_raw_parts_mut(out.add(self.out.offset()), self.out.len()).fill(N::ZERO);
                } else {
                    for_each_position(&self.out, |_, at| *out.add(at) = N::ZERO);
                }
            }
            return self.add(buffers, threads, Sums(out));
        }
        scratch::with::<N, ()>(self.out.span(), |sums| {
            sums.fill(N::ZERO);
            self.add(buffers, threads, Sums(sums.as_mut_ptr()));
            let size = self.dtype.bytes();
            if self.out.is_contiguous() {
                let (from, n) = (self.out.offset(), self.out.len());
                // SAFETY: the layout is `n` elements from its offset on, in both buffers.
                unsafe {
                    N::store(self.level, self.dtype, sums.as_ptr().add(from), buffers.output.add(from * size), 1, n);
                }
                return;
            }
            for_each_position(&self.out, |_, at| {
                // SAFETY: one element inside both buffers.
                unsafe { N::store(self.level, self.dtype, sums.as_ptr().add(at), buffers.output.add(at * size), 1, 1) };
            });
        });
    }

    fn add<N: Stored>(&self, buffers: &Buffers, threads: usize, sums: Sums<N>) {
        let walk = &self.walk;
        // Bands of a dimension along which the sums differ never meet.
        let apart = (0..walk.shape.len()).filter(|d| walk.strides[2][*d] != 0).max_by_key(|d| walk.shape[*d]);
        let points = walk.rows() * walk.row();
        match apart {
            Some(d) if threads > 1 && points > GRAIN => {
                let (size, bands) = (walk.shape[d], threads.min(points / GRAIN + 1).min(walk.shape[d]));
                launch::share(threads, bands, 1, &|from, to| {
                    let band = walk.band(d, from * size / bands, to * size / bands);
                    self.add_band(buffers, &band, &sums);
                });
            }
            _ => self.add_band(buffers, walk, &sums),
        }
    }

    fn add_band<N: Stored>(&self, buffers: &Buffers, walk: &Walk, sums: &Sums<N>) {
        const BLOCK: usize = 1024;
        let (n, size) = (walk.row(), self.dtype.bytes() as isize);
        let (x, index, sums) = (buffers.inputs[0], buffers.inputs[1].cast::<i32>(), sums.0);
        let mut block = [N::ZERO; BLOCK];
        walk.each(0, walk.rows(), |[(x_at, x_step), (i_at, i_step), (o_at, o_step)]: Row| {
            for first in (0..n).step_by(BLOCK) {
                let (first, count) = (first as isize, BLOCK.min(n - first));
                // SAFETY: the buffers were checked against layouts that hold these positions, with
                // a valid index the one of the sum too; bands are disjoint there.
                unsafe {
                    let whole = i_step == 0;
                    let shift = if whole { walk.shift(*index.offset(i_at)) } else { None };
                    if whole && shift.is_none() {
                        return;
                    }
                    let from = x.offset((x_at + first * x_step) * size);
                    N::load(self.level, self.dtype, from, x_step, block.as_mut_ptr(), count);
                    if let Some(shift) = shift {
                        let to = sums.offset(o_at + shift + first * o_step);
                        if o_step == 1 {
                            add_run(self.level, &block[..count], to);
                        } else {
                            (0..count).for_each(|i| {
                                let sum = to.offset(i as isize * o_step);
                                *sum = *sum + block[i];
                            });
                        }
                        continue;
                    }
                    for (i, x) in block[..count].iter().enumerate() {
                        let i = first + i as isize;
                        if let Some(shift) = walk.shift(*index.offset(i_at + i * i_step)) {
                            let sum = sums.offset(o_at + shift + i * o_step);
                            *sum = *sum + *x;
                        }
                    }
                }
            }
        });
    }
}

/// Where sums are taken; threads write bands of their own.
struct Sums<N>(*mut N);

// SAFETY: `Plan::add` keeps threads on disjoint elements.
unsafe impl<N: Send> Sync for Sums<N> {}

/// to\[i\] ← to\[i\] + x\[i\].
///
/// # Safety
/// As many numbers at `to`, which nobody else uses.
unsafe fn add_run<N: Lane>(level: Level, x: &[N], to: *mut N) {
    struct Add<'a, N>(&'a [N], &'a mut [N]);
    impl<N: Lane> Job for Add<'_, N> {
        type Output = ();
        #[inline(always)]
        fn run<const FMA: bool>(self) {
            self.1.iter_mut().zip(self.0).for_each(|(sum, x)| *sum = *sum + *x);
        }
    }
    // SAFETY: the caller's promise.
    let to = unsafe { std::slice::from_raw_parts_mut(to, x.len()) };
    run(level, Add(x, to));
}
