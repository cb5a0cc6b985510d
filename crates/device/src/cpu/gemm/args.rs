//! A typed view of a call: what every product kernel starts from and how its rows are finished.

use super::element::{Accumulator, Element};
use crate::cpu::evaluator::Evaluator;
use crate::cpu::kernel::{CpuCall, CpuKernelError};
use crate::cpu::space::Space;
use crate::cpu::tape::lane::Values;
use crate::cpu::tape::level::Level;
use crate::cpu::{prepared, scratch};
use kernelsmith_core::ops::OpProblem;
use kernelsmith_core::ops::gemm::GemmProblem;
use kernelsmith_core::ops::leaf::{Leaf, MAX_INPUTS};
use kernelsmith_core::{Layout, Problem};
use kernelsmith_kernels::Config;
use std::marker::PhantomData;
use std::sync::{Arc, LazyLock};

/// Numbers that the epilogue works on at once, where rows are shorter.
const EPILOGUE_BLOCK: usize = 1024;

/// The operands of one product as typed slices. Making one checks every size, so positions that
/// come from the problem's layouts are inside the slices.
pub struct Args<'a, T: Element> {
    pub problem: &'a GemmProblem,
    pub config: &'a Config,
    pub a: &'a [T],
    pub b: &'a [T],
    /// Present when beta is not 0.
    pub c: Option<&'a [T]>,
    /// The epilogue's inputs, each with its layout over \[batch, m, n\].
    pub extra: Vec<(&'a [T], Layout)>,
    pub d: Output<'a, T>,
    /// What is done to sums, over \[batch, m, n\]; `None` where nothing is.
    epilogue: Option<Arc<Evaluator>>,
}

/// The problem of a call, or why the call is not a product.
pub fn problem<'a>(call: &CpuCall<'a>) -> Result<&'a GemmProblem, CpuKernelError> {
    call.problem
        .downcast::<GemmProblem>()
        .ok_or_else(|| CpuKernelError(format!("problem `{}` is not a matrix product", call.problem)))
}

/// Calls `$run::<T>(args)` with the element type of the call's problem.
macro_rules! for_element {
    ($call:expr, $run:ident) => {{
        use half::{bf16, f16};
        use kernelsmith_core::DType;
        let call: &mut $crate::cpu::kernel::CpuCall<'_> = $call;
        match $crate::cpu::gemm::args::problem(call)?.dtype {
            DType::F32 => $run::<f32>($crate::cpu::gemm::args::Args::new(call)?),
            DType::F64 => $run::<f64>($crate::cpu::gemm::args::Args::new(call)?),
            DType::F16 => $run::<f16>($crate::cpu::gemm::args::Args::new(call)?),
            DType::BF16 => $run::<bf16>($crate::cpu::gemm::args::Args::new(call)?),
            other => Err($crate::cpu::kernel::CpuKernelError(format!("products are not defined for dtype {other}"))),
        }
    }};
}
pub(super) use for_element;

/// The epilogue of a problem, compiled.
fn evaluator<T: Element>(problem: &Problem, p: &GemmProblem) -> Result<Arc<Evaluator>, CpuKernelError> {
    let plan = prepared::plan(problem, || {
        let leaves: Vec<Leaf> =
            p.epilogue_inputs().into_iter().map(|(_, layout)| Leaf::new(T::DTYPE, layout)).collect();
        if leaves.len() > MAX_INPUTS {
            return Err(CpuKernelError(format!("an epilogue of {} inputs, at most {MAX_INPUTS}", leaves.len())));
        }
        Ok(Arc::new(Evaluator::new(p.expr(), Space::new(&[p.batch, p.m, p.n]), &leaves)))
    })?;
    Ok(Arc::clone(&plan))
}

fn typed<'a, T: Element>(name: &str, bytes: &'a [u8], layout: &Layout) -> Result<&'a [T], CpuKernelError> {
    let slice: &[T] = bytemuck::try_cast_slice(bytes).map_err(|e| view_error::<T>(name, bytes.len(), e))?;
    check_span(name, slice.len(), layout)?;
    Ok(slice)
}

fn view_error<T: Element>(name: &str, bytes: usize, error: bytemuck::PodCastError) -> CpuKernelError {
    CpuKernelError(format!("operand {name}: {bytes} bytes cannot be viewed as {}: {error}", T::DTYPE))
}

fn check_span(name: &str, have: usize, layout: &Layout) -> Result<(), CpuKernelError> {
    if have < layout.span() {
        let need = layout.span();
        return Err(CpuKernelError(format!("operand {name} has {have} elements, its layout reaches {need}")));
    }
    Ok(())
}

impl<'a, T: Element> Args<'a, T> {
    /// Checks the call's buffers against its problem.
    pub fn new(call: &'a mut CpuCall<'_>) -> Result<Self, CpuKernelError> {
        let problem = problem(call)?;
        let (bt, m, n, k) = (problem.batch, problem.m, problem.n, problem.k);
        let operands = [
            ("a", &problem.a, [bt, m, k]),
            ("b", &problem.b, [bt, k, n]),
            ("c", &problem.c, [bt, m, n]),
            ("d", &problem.d, [bt, m, n]),
        ];
        for (name, layout, shape) in operands {
            if layout.shape() != shape {
                let found = layout.shape();
                return Err(CpuKernelError(format!("operand {name} has shape {found:?}, expected {shape:?}")));
            }
        }
        if problem.d.may_overlap() {
            return Err(CpuKernelError("the output's elements overlap".to_string()));
        }
        let layouts = problem.epilogue_inputs();
        let first = if problem.has_beta() { 3 } else { 2 };
        if call.inputs.len() != first + layouts.len() {
            let (found, expected) = (call.inputs.len(), first + layouts.len());
            return Err(CpuKernelError(format!("{found} inputs were given, expected {expected}")));
        }
        let c = problem.has_beta().then(|| typed("c", call.inputs[2], &problem.c)).transpose()?;
        let extra = layouts
            .into_iter()
            .zip(&call.inputs[first..])
            .map(|((name, layout), bytes)| Ok((typed(&name, bytes, &layout)?, layout)))
            .collect::<Result<Vec<_>, CpuKernelError>>()?;
        let epilogue = if problem.expr().is_identity() { None } else { Some(evaluator::<T>(call.problem, problem)?) };
        let size = call.output.len();
        let d: &mut [T] = bytemuck::try_cast_slice_mut(call.output).map_err(|e| view_error::<T>("d", size, e))?;
        check_span("d", d.len(), &problem.d)?;
        Ok(Args {
            problem,
            config: call.config,
            a: typed("a", call.inputs[0], &problem.a)?,
            b: typed("b", call.inputs[1], &problem.b)?,
            c,
            extra,
            d: Output { start: d.as_mut_ptr(), len: d.len(), borrow: PhantomData },
            epilogue,
        })
    }

    /// A parameter of the config, or `default` where the config does not name it.
    pub fn param(&self, name: &str, default: usize) -> usize {
        self.config.get(name).and_then(|x| usize::try_from(x).ok()).unwrap_or(default)
    }

    /// The THREADS parameter with 0 read as every core.
    pub fn threads(&self) -> usize {
        // Asking the system reads files: once is enough.
        static CORES: LazyLock<usize> = LazyLock::new(|| std::thread::available_parallelism().map_or(1, |n| n.get()));
        match self.param("THREADS", 1) {
            0 => *CORES,
            n => n,
        }
    }

    /// alpha in the accumulator's type.
    pub fn alpha(&self) -> T::Acc {
        T::Acc::from_f64(self.problem.alpha)
    }

    /// Turns sums of one row into output elements: alpha, beta·C, the epilogue, one rounding.
    /// `sums` are Σ a·b of columns `column, column + 1, …` and are overwritten.
    pub fn finish_row(&mut self, batch: usize, row: usize, column: usize, sums: &mut [T::Acc]) {
        // SAFETY: `&mut self` means that nobody else writes the output now.
        unsafe { self.finish_row_shared(batch, row, column, sums) }
    }

    /// [`Args::finish_row`] for several threads at once. Where D's rows follow one another and there
    /// is no C, it may be several whole rows.
    ///
    /// # Safety
    /// No two threads may finish the same element at the same time, and nobody may read the output.
    pub unsafe fn finish_row_shared(&self, batch: usize, row: usize, column: usize, sums: &mut [T::Acc]) {
        let p = self.problem;
        let at = |layout: &Layout| (layout.at(&[batch, row, column]), layout.strides()[2]);
        let alpha = self.alpha();
        if alpha != T::Acc::ONE {
            sums.iter_mut().for_each(|x| *x = alpha * *x);
        }
        if let Some(c) = self.c {
            let beta = T::Acc::from_f64(p.beta);
            let (start, stride) = at(&p.c);
            for (j, x) in sums.iter_mut().enumerate() {
                *x += beta * c[(start as isize + j as isize * stride) as usize].widen();
            }
        }
        self.apply_epilogue(batch, row, column, sums);
        let (start, stride) = at(&p.d);
        // SAFETY: the caller keeps other threads away from these elements; they are distinct and
        // inside the buffer because `new` checked the layout.
        unsafe { self.d.write_row(start, stride, sums) }
    }

    /// [`Args::finish_row_shared`] for `rows` rows of `columns` columns; their sums are `stride` apart.
    ///
    /// # Safety
    /// As there.
    pub unsafe fn finish_block_shared(
        &self,
        batch: usize,
        (row, rows): (usize, usize),
        (column, columns): (usize, usize),
        sums: &mut [T::Acc],
        stride: usize,
    ) {
        let p = self.problem;
        // Whole rows that follow one another are one run for the epilogue, where nothing else is done.
        let plain = p.d.strides()[2] == 1 && p.d.strides()[1] == p.n as isize && self.c.is_none();
        let together = if columns == p.n && stride == p.n && plain { (EPILOGUE_BLOCK / p.n).max(1) } else { 1 };
        for first in (0..rows).step_by(together) {
            let rows = together.min(rows - first);
            let count = (rows - 1) * stride + columns;
            // SAFETY: the caller's promise.
            unsafe { self.finish_row_shared(batch, row + first, column, &mut sums[first * stride..][..count]) };
        }
    }

    /// Copies C to D, for libraries that add beta·D. Nothing where beta is 0.
    pub fn copy_c(&mut self) {
        let (p, Some(c)) = (self.problem, self.c) else { return };
        let d = self.d.as_mut_slice();
        for batch in 0..p.batch {
            for row in 0..p.m {
                let (from, to) = (p.c.at(&[batch, row, 0]), p.d.at(&[batch, row, 0]));
                let (from_stride, to_stride) = (p.c.strides()[2], p.d.strides()[2]);
                if (from_stride, to_stride) == (1, 1) {
                    d[to..to + p.n].copy_from_slice(&c[from..from + p.n]);
                    continue;
                }
                for j in 0..p.n as isize {
                    d[(to as isize + j * to_stride) as usize] = c[(from as isize + j * from_stride) as usize];
                }
            }
        }
    }

    /// The epilogue over all of D, in place, for libraries that do not have one. Only where D
    /// has the accumulator's precision.
    pub fn epilogue_over_d(&mut self) {
        let p = self.problem;
        if p.expr().is_identity() {
            return;
        }
        let mut values = vec![T::Acc::ZERO; p.n];
        for batch in 0..p.batch {
            for row in 0..p.m {
                let (start, stride) = (p.d.at(&[batch, row, 0]), p.d.strides()[2]);
                gather(self.d.as_mut_slice(), start, stride, &mut values);
                self.apply_epilogue(batch, row, 0, &mut values);
                // SAFETY: `&mut self` means that nobody else uses the output; `new` checked the layout.
                unsafe { self.d.write_row(start, stride, &values) };
            }
        }
    }

    /// The epilogue alone over part of a row, in place.
    pub fn apply_epilogue(&self, batch: usize, row: usize, column: usize, values: &mut [T::Acc]) {
        let Some(epilogue) = &self.epilogue else { return };
        let (p, count) = (self.problem, values.len());
        let place = epilogue.space.place((batch * p.m + row) * p.n + column, count);
        let mut buffers = [std::ptr::null(); MAX_INPUTS];
        for (buffer, (slice, _)) in buffers.iter_mut().zip(&self.extra) {
            *buffer = slice.as_ptr().cast::<u8>();
        }
        scratch::with((epilogue.blocks() + 1) * count, |room: &mut [T::Acc]| {
            let (out, room) = room.split_at_mut(count);
            let (room, out) = ((room.as_mut_ptr(), count), Some(out.as_mut_ptr()));
            let sums = Values::Run(values.as_ptr());
            // SAFETY: `new` checked the inputs against their layouts, a slice of `T` is aligned, and
            // there are as many blocks of `count` numbers as it needs.
            match unsafe { epilogue.evaluate(Level::best(), &buffers, &place, sums, room, out) } {
                Values::One(x) => values.fill(x),
                // SAFETY: a run has as many numbers as the place; it may be `values` itself.
                Values::Run(from) => unsafe { std::ptr::copy(from, values.as_mut_ptr(), count) },
            }
        });
    }

    /// Widens row `row` of A into `out` (k elements).
    pub fn row_of_a(&self, batch: usize, row: usize, out: &mut [T::Acc]) {
        let layout = &self.problem.a;
        if !out.is_empty() {
            gather(self.a, layout.at(&[batch, row, 0]), layout.strides()[2], out);
        }
    }
}

/// Widens `out.len()` elements of `from`, `stride` apart from `start` on.
pub fn gather<T: Element>(from: &[T], start: usize, stride: isize, out: &mut [T::Acc]) {
    if stride == 1 {
        T::widen_slice(&from[start..start + out.len()], out);
        return;
    }
    for (i, x) in out.iter_mut().enumerate() {
        *x = from[(start as isize + i as isize * stride) as usize].widen();
    }
}

/// The output buffer. Threads write disjoint elements of it through a shared reference.
pub struct Output<'a, T> {
    start: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: it is an exclusive borrow of a slice of `T: Send`; its writes are unsafe functions
// whose contract keeps threads on disjoint elements.
unsafe impl<T: Send> Send for Output<'_, T> {}
// SAFETY: as above; there is no way to read through a shared reference.
unsafe impl<T: Send> Sync for Output<'_, T> {}

impl<T: Element> Output<'_, T> {
    /// The first element of the buffer, for libraries that take pointers.
    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.start
    }

    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: `start` and `len` come from the slice that is borrowed for as long as `self`.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }

    /// Rounds `values` to `start, start + stride, …`.
    ///
    /// # Safety
    /// The positions are inside the buffer and no other thread uses them now.
    pub unsafe fn write_row(&self, start: usize, stride: isize, values: &[T::Acc]) {
        if values.is_empty() {
            return;
        }
        let last = start as isize + (values.len() as isize - 1) * stride;
        debug_assert!(start < self.len && (0..self.len as isize).contains(&last));
        if stride == 1 {
            // SAFETY: the caller gives these elements to this thread alone.
            let to = unsafe { std::slice::from_raw_parts_mut(self.start.add(start), values.len()) };
            T::narrow_slice(values, to);
            return;
        }
        for (j, x) in values.iter().enumerate() {
            // SAFETY: as above; the position lies between the first and the last one.
            unsafe { self.start.offset(start as isize + j as isize * stride).write(T::narrow(*x)) };
        }
    }
}
