//! What every kernel over arrays does first: check the buffers, and share blocks among threads.

use super::gemm::team;
use super::kernel::{CpuCall, CpuKernelError};
use super::operands::check_size;
use kernelsmith_core::ops::Operand;
use kernelsmith_core::ops::leaf::MAX_INPUTS;
use std::marker::PhantomData;
use std::sync::LazyLock;

/// The operands of a problem, as a launch checks them.
#[derive(Debug)]
pub struct Checks(Vec<Operand>);

/// A launch's buffers, each as long as its operand's layout reaches, and aligned.
pub struct Buffers {
    pub inputs: [*const u8; MAX_INPUTS],
    pub output: *mut u8,
}

// SAFETY: inputs are only read; kernels write disjoint elements of the output.
unsafe impl Sync for Buffers {}

/// A slice whose elements several threads write, each its own.
pub struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: an exclusive borrow of a slice; its functions' contracts keep threads on disjoint elements.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T: Copy> Shared<'a, T> {
    pub fn new(slice: &'a mut [T]) -> Self {
        Shared { start: slice.as_mut_ptr(), len: slice.len(), borrow: PhantomData }
    }

    /// # Safety
    /// Nobody else uses element `at` now.
    pub unsafe fn set(&self, at: usize, x: T) {
        assert!(at < self.len);
        // SAFETY: inside the slice, and the caller's promise.
        unsafe { self.start.add(at).write(x) };
    }

    /// # Safety
    /// Nobody writes element `at` now.
    pub unsafe fn get(&self, at: usize) -> T {
        assert!(at < self.len);
        // SAFETY: inside the slice, and the caller's promise.
        unsafe { self.start.add(at).read() }
    }
}

impl Checks {
    pub fn new(operands: Vec<Operand>) -> Result<Checks, CpuKernelError> {
        match operands.last() {
            _ if operands.len() > MAX_INPUTS + 1 => Err(CpuKernelError(format!("more than {MAX_INPUTS} inputs"))),
            Some(out) if out.layout.may_overlap() => Err(CpuKernelError("the output's elements overlap".to_string())),
            Some(_) => Ok(Checks(operands)),
            None => Err(CpuKernelError("there is no output".to_string())),
        }
    }

    /// Checks number, sizes and alignment of a call's buffers.
    pub fn buffers(&self, call: &mut CpuCall<'_>) -> Result<Buffers, CpuKernelError> {
        let (found, expected) = (call.inputs.len(), self.0.len() - 1);
        if found != expected {
            return Err(CpuKernelError(format!("{found} inputs were given, expected {expected}")));
        }
        let lens = call.inputs.iter().map(|b| (b.len(), b.as_ptr() as usize));
        for (operand, (len, address)) in
            self.0.iter().zip(lens.chain([(call.output.len(), call.output.as_ptr() as usize)]))
        {
            check_size(&operand.name, operand.dtype, &operand.layout, len)?;
            if !address.is_multiple_of(operand.dtype.bytes()) {
                return Err(CpuKernelError(format!("operand {} is not aligned to its elements", operand.name)));
            }
        }
        let mut inputs = [std::ptr::null(); MAX_INPUTS];
        inputs.iter_mut().zip(call.inputs).for_each(|(to, from)| *to = from.as_ptr());
        Ok(Buffers { inputs, output: call.output.as_mut_ptr() })
    }
}

/// The value of a parameter that is at least 1.
pub fn parameter(call: &CpuCall<'_>, name: &str, default: usize) -> usize {
    call.config.get(name).and_then(|v| usize::try_from(v).ok()).filter(|v| *v > 0).unwrap_or(default)
}

/// THREADS of a call: 0, or none, are all cores.
pub fn threads(call: &CpuCall<'_>) -> usize {
    static CORES: LazyLock<usize> = LazyLock::new(|| std::thread::available_parallelism().map_or(1, |n| n.get()));
    parameter(call, "THREADS", *CORES)
}

/// Calls `work(from, to)` for pieces of `each` of `count` blocks, on up to `threads` threads.
/// Pieces do not depend on the number of threads.
pub fn share(threads: usize, count: usize, each: usize, work: &(impl Fn(usize, usize) + Sync)) {
    let each = each.max(1).max(count.div_ceil(1 << 20));
    let pieces = count.div_ceil(each);
    let piece = |i: usize| work(i * each, count.min((i + 1) * each));
    if threads <= 1 || pieces <= 1 {
        return (0..pieces).for_each(piece);
    }
    team::share(threads, pieces, &piece);
}
