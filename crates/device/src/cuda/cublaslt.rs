//! cuBLASLt, the vendor's product: each algorithm of its heuristic list is one config
//! (`ALGO` = place in the list).
//!
//! cuBLASLt is column-major; a row-major D = A·B is computed as Dᵀ = Bᵀ·Aᵀ on the same memory.

use super::{CudaDevice, RawStream};
use crate::dataflow::Region;
use crate::device::Buffer;
use crate::error::{DeviceError, Result};
use cudarc::cublaslt::sys::{self as lt, cublasStatus_t};
use kernelsmith_core::expr::Unary;
use kernelsmith_core::ops::OpProblem;
use kernelsmith_core::ops::gemm::{Compute, GemmProblem, Step};
use kernelsmith_core::{DType, Layout, Problem};
use kernelsmith_kernels::Candidate;
use std::ffi::c_void;
use std::panic::catch_unwind;
use std::sync::{Mutex, PoisonError};

/// Scratch that the library may use, in bytes: its documentation's advice for Hopper.
const WORKSPACE: usize = 32 << 20;
/// Algorithms asked for.
const LIST: usize = 64;

fn status(call: &'static str, s: cublasStatus_t) -> Result<()> {
    if s == cublasStatus_t::CUBLAS_STATUS_SUCCESS {
        Ok(())
    } else {
        Err(DeviceError::Driver { call, reason: format!("{s:?}") })
    }
}

/// The library's handle and scratch for one device.
pub struct Handle {
    handle: lt::cublasLtHandle_t,
    version: usize,
    workspace: u64,
}

// SAFETY: cuBLASLt handles may be used from any thread.
unsafe impl Send for Handle {}
// SAFETY: as above, concurrently too.
unsafe impl Sync for Handle {}

impl Handle {
    pub(super) fn new(device: &CudaDevice) -> std::result::Result<Handle, String> {
        // SAFETY: only tries to open the library.
        if !unsafe { lt::is_culib_present() } {
            return Err("libcublasLt was not found".to_string());
        }
        device.bind().map_err(|e| e.to_string())?;
        // SAFETY: a library that is there; the call has no arguments and reads a constant.
        let version = catch_unwind(|| unsafe { lt::cublasLtGetVersion() })
            .map_err(|_| "libcublasLt lacks a symbol".to_string())?;
        let handle = catch_unwind(cudarc::cublaslt::result::create_handle)
            .map_err(|_| "libcublasLt lacks a symbol".to_string())?
            .map_err(|e| format!("{e:?}"))?;
        let workspace = device.allocate(WORKSPACE).ok_or("no memory for cuBLASLt's workspace")?;
        Ok(Handle { handle, version, workspace })
    }

    pub(super) fn version(&self) -> usize {
        self.version
    }

    pub(super) fn close(&self, device: &CudaDevice) {
        // SAFETY: called once, when the device is dropped and drained.
        let _ = unsafe { cudarc::cublaslt::result::destroy_handle(self.handle) };
        device.free(self.workspace);
    }
}

/// A product with its algorithm chosen.
pub struct CublasLtProduct {
    description: Mutex<Description>,
    layouts: [MatrixLayout; 4],
    algorithm: lt::cublasLtMatmulAlgo_t,
    alpha: f64,
    beta: f64,
    double: bool,
    /// Whether the algorithm says that it adds up parts of sums in a 16-bit output's type.
    rounds_parts: bool,
    /// Operand indices and byte offsets of the library's A, B, C (D where there is no C), bias, D.
    operands: Operands,
}

impl CublasLtProduct {
    /// What the library says of its algorithm that explains an error beyond f32 accumulation's.
    pub fn remark(&self) -> Option<&'static str> {
        self.rounds_parts.then_some("the library says that it adds up parts of sums in the output's type")
    }
}

struct Operands {
    first: (usize, usize),
    second: (usize, usize),
    c: (usize, usize),
    bias: Option<usize>,
    d: (usize, usize),
}

struct Description(lt::cublasLtMatmulDesc_t);
struct MatrixLayout(lt::cublasLtMatrixLayout_t);

// SAFETY: descriptors are plain heap data of the library; a mutex guards the one that is changed.
unsafe impl Send for Description {}
// SAFETY: as above.
unsafe impl Send for MatrixLayout {}
// SAFETY: not changed after creation.
unsafe impl Sync for MatrixLayout {}

impl Drop for Description {
    fn drop(&mut self) {
        // SAFETY: created by us, dropped once.
        let _ = unsafe { cudarc::cublaslt::result::destroy_matmul_desc(self.0) };
    }
}

impl Drop for MatrixLayout {
    fn drop(&mut self) {
        // SAFETY: created by us, dropped once.
        let _ = unsafe { cudarc::cublaslt::result::destroy_matrix_layout(self.0) };
    }
}

impl Description {
    fn set<T>(&self, attribute: lt::cublasLtMatmulDescAttributes_t, value: &T) -> Result<()> {
        let bytes = std::mem::size_of::<T>();
        // SAFETY: the descriptor is alive; the library copies `bytes` bytes.
        let s =
            unsafe { lt::cublasLtMatmulDescSetAttribute(self.0, attribute, std::ptr::from_ref(value).cast(), bytes) };
        status("cublasLtMatmulDescSetAttribute", s)
    }
}

/// A stored matrix as the library sees it: `rows` contiguous, `ld` between columns.
struct Stored {
    rows: u64,
    columns: u64,
    ld: i64,
    batch_stride: i64,
}

impl Stored {
    /// A \[batch, rows, columns\] operand: its contiguous dimension becomes the library's rows.
    /// Returns whether the row-major form had columns contiguous.
    fn of(layout: &Layout) -> Option<(Stored, bool)> {
        let (shape, strides) = (layout.shape(), layout.strides());
        let columns_inner = match GemmProblem::inner(layout) {
            0 => true,
            1 => false,
            _ => return None,
        };
        let (rows, columns, ld) =
            if columns_inner { (shape[2], shape[1], strides[1]) } else { (shape[1], shape[2], strides[2]) };
        // A single column has no next one: any leading dimension will do.
        let ld = if columns == 1 { rows as isize } else { ld };
        let stored =
            Stored { rows: rows as u64, columns: columns as u64, ld: ld as i64, batch_stride: strides[0] as i64 };
        (ld >= rows as isize && strides[0] >= 0).then_some((stored, columns_inner))
    }

    fn layout(&self, dtype: lt::cudaDataType, batch: usize) -> Result<MatrixLayout> {
        let made = cudarc::cublaslt::result::create_matrix_layout(dtype, self.rows, self.columns, self.ld);
        let layout = MatrixLayout(
            made.map_err(|e| DeviceError::Driver { call: "cublasLtMatrixLayoutCreate", reason: format!("{e:?}") })?,
        );
        use lt::cublasLtMatrixLayoutAttribute_t::*;
        let count = batch as i32;
        let set = |attribute, value: *const c_void, bytes| {
            // SAFETY: the layout is alive; the library copies `bytes` bytes.
            status("cublasLtMatrixLayoutSetAttribute", unsafe {
                lt::cublasLtMatrixLayoutSetAttribute(layout.0, attribute, value, bytes)
            })
        };
        set(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, std::ptr::from_ref(&count).cast(), 4)?;
        set(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, std::ptr::from_ref(&self.batch_stride).cast(), 8)?;
        Ok(layout)
    }
}

impl CudaDevice {
    /// The workspace that every product of the library shares.
    pub fn cublaslt_workspace(&self) -> Option<Region> {
        let handle = self.cublaslt_handle().ok()?;
        Some(Region { from: handle.workspace, to: handle.workspace + WORKSPACE as u64 })
    }

    /// The product of `candidate`'s place in the heuristic list.
    ///
    /// # Errors
    /// [`DeviceError::NotOffered`] where the library does not take the problem or its list is shorter.
    pub fn cublaslt(&self, candidate: &Candidate, problem: &Problem) -> Result<CublasLtProduct> {
        let refuse = |reason: String| DeviceError::NotOffered { what: candidate.to_string(), reason };
        let p = problem.downcast::<GemmProblem>().ok_or_else(|| refuse("cuBLASLt has products only".to_string()))?;
        let handle = self.cublaslt_handle().map_err(&refuse)?;
        self.bind()?;
        let strided = || refuse("a layout that cuBLASLt cannot express".to_string());
        let (a, a_inner) = Stored::of(&p.a).ok_or_else(strided)?;
        let (b, b_inner) = Stored::of(&p.b).ok_or_else(strided)?;
        let (d, d_inner) = Stored::of(&p.d).ok_or_else(strided)?;
        let (c, c_inner) =
            if p.has_beta() { Stored::of(&p.c).ok_or_else(strided)? } else { Stored::of(&p.d).ok_or_else(strided)? };
        if c_inner != d_inner {
            return Err(strided());
        }
        use lt::cublasComputeType_t::*;
        use lt::cudaDataType as cuda;
        let (dtype, scale, compute) = match (p.dtype, p.compute) {
            (DType::F64, _) => (cuda::CUDA_R_64F, cuda::CUDA_R_64F, CUBLAS_COMPUTE_64F),
            (DType::F16, _) => (cuda::CUDA_R_16F, cuda::CUDA_R_32F, CUBLAS_COMPUTE_32F),
            (DType::BF16, _) => (cuda::CUDA_R_16BF, cuda::CUDA_R_32F, CUBLAS_COMPUTE_32F),
            (_, Compute::Tf32) => (cuda::CUDA_R_32F, cuda::CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32),
            _ => (cuda::CUDA_R_32F, cuda::CUDA_R_32F, CUBLAS_COMPUTE_32F),
        };
        let cuda_of = |of: DType| match of {
            DType::E4M3 => cuda::CUDA_R_8F_E4M3,
            DType::E5M2 => cuda::CUDA_R_8F_E5M2,
            _ => dtype,
        };
        let [a_type, b_type] = p.inputs;
        let made = cudarc::cublaslt::result::create_matmul_desc(compute, scale);
        let description = Description(made.map_err(|e| refuse(format!("{e:?}")))?);
        // Row-major D: compute Dᵀ = Bᵀ·Aᵀ, so the library's first matrix is our B. In the library's
        // eyes a columns-inner B (n rows contiguous) is Bᵀ already; column-major D swaps roles.
        let offset = |layout: &Layout, dtype: DType| layout.offset() * dtype.bytes();
        let c_index = 2;
        let d_index = problem.operands().len() - 1;
        let c_operand = if p.has_beta() { (c_index, offset(&p.c, p.dtype)) } else { (d_index, offset(&p.d, p.dtype)) };
        let (at_a, at_b) = ((0, offset(&p.a, a_type)), (1, offset(&p.b, b_type)));
        let (first, second, transpose, first_at, second_at) = if d_inner {
            ((&b, b_type), (&a, a_type), (!b_inner, !a_inner), at_b, at_a)
        } else {
            ((&a, a_type), (&b, b_type), (a_inner, b_inner), at_a, at_b)
        };
        use lt::cublasLtMatmulDescAttributes_t::*;
        // cublasOperation_t: 0 as stored, 1 transposed.
        let op = |t: bool| i32::from(t);
        description.set(CUBLASLT_MATMUL_DESC_TRANSA, &op(transpose.0))?;
        description.set(CUBLASLT_MATMUL_DESC_TRANSB, &op(transpose.1))?;
        if p.compute == Compute::Fast {
            description.set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, &1i8)?;
        }
        let (epilogue, has_bias) =
            epilogue(p, d_inner).ok_or_else(|| refuse("an epilogue that cuBLASLt does not fuse".to_string()))?;
        description.set(CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue)?;
        let bias = has_bias.then(|| if p.has_beta() { 3 } else { 2 });
        let layouts = [
            first.0.layout(cuda_of(first.1), p.batch)?,
            second.0.layout(cuda_of(second.1), p.batch)?,
            c.layout(dtype, p.batch)?,
            d.layout(dtype, p.batch)?,
        ];
        let list = heuristics(handle, &description, &layouts, p)?;
        let place = candidate.config.get("ALGO").unwrap_or(0) as usize;
        let algorithm =
            *list.get(place).ok_or_else(|| refuse(format!("its heuristic list has {} algorithms", list.len())))?;
        Ok(CublasLtProduct {
            description: Mutex::new(description),
            layouts,
            algorithm,
            alpha: p.alpha,
            beta: p.beta,
            double: p.dtype == DType::F64,
            rounds_parts: p.dtype.bytes() == 2 && reduces_in_output_type(&algorithm),
            operands: Operands {
                first: first_at,
                second: second_at,
                c: c_operand,
                bias,
                d: (d_index, offset(&p.d, p.dtype)),
            },
        })
    }

    /// Launches for `queue` on `stream`: the queue's own, or the one that captures for it.
    pub fn launch_cublaslt(
        &self,
        queue: u32,
        stream: RawStream,
        product: &CublasLtProduct,
        operands: &[Buffer],
    ) -> Result<()> {
        if queue != 0 {
            return Err(DeviceError::Launch {
                what: "cublaslt".to_string(),
                reason: "its workspace belongs to the default queue".to_string(),
            });
        }
        self.bind()?;
        let handle = self.cublaslt_handle().map_err(|reason| DeviceError::Driver { call: "cublasLtCreate", reason })?;
        let at = |(index, bytes): (usize, usize)| (operands[index].address() + bytes as u64) as *mut c_void;
        let o = &product.operands;
        let description = product.description.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bias) = o.bias {
            description.set(
                lt::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                &operands[bias].address(),
            )?;
        }
        let (alpha, beta) = ([product.alpha], [product.beta]);
        let (alpha32, beta32) = ([product.alpha as f32], [product.beta as f32]);
        let (alpha, beta): (*const c_void, *const c_void) = if product.double {
            (alpha.as_ptr().cast(), beta.as_ptr().cast())
        } else {
            (alpha32.as_ptr().cast(), beta32.as_ptr().cast())
        };
        let [first, second, c, d] = &product.layouts;
        // SAFETY: descriptors are alive and describe the buffers, which were checked against the
        // problem; scalars are host memory read during the call; the scratch has WORKSPACE bytes.
        let s = unsafe {
            lt::cublasLtMatmul(
                handle.handle,
                description.0,
                alpha,
                at(o.first),
                first.0,
                at(o.second),
                second.0,
                beta,
                at(o.c),
                c.0,
                at(o.d),
                d.0,
                &product.algorithm,
                handle.workspace as *mut c_void,
                WORKSPACE,
                stream.cast(),
            )
        };
        // A refusal is a failed launch: dispatch falls to the next candidate.
        status("cublasLtMatmul", s)
            .map_err(|e| DeviceError::Launch { what: "cublaslt".to_string(), reason: e.to_string() })
    }
}

/// Whether an algorithm splits its sums and keeps their parts in the output's type, in its place (scheme 1) or in
/// the workspace (4); scheme 2 keeps them in f32. An algorithm that does not say is taken for one that does not.
fn reduces_in_output_type(algorithm: &lt::cublasLtMatmulAlgo_t) -> bool {
    use lt::cublasLtMatmulAlgoConfigAttributes_t::{
        CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, CUBLASLT_ALGO_CONFIG_SPLITK_NUM,
    };
    let read = |attribute| {
        let (mut value, mut written) = (0u32, 0usize);
        // SAFETY: the algorithm is plain data from the library's own list; at most four bytes are written.
        let s = unsafe {
            lt::cublasLtMatmulAlgoConfigGetAttribute(
                algorithm,
                attribute,
                std::ptr::from_mut(&mut value).cast(),
                size_of::<u32>(),
                &mut written,
            )
        };
        if s == cublasStatus_t::CUBLAS_STATUS_SUCCESS { value } else { 0 }
    };
    matches!(read(CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME), 1 | 4) && read(CUBLASLT_ALGO_CONFIG_SPLITK_NUM) > 1
}

/// The library's epilogue for a chain, and whether it reads a bias.
fn epilogue(p: &GemmProblem, d_inner: bool) -> Option<(lt::cublasLtEpilogue_t, bool)> {
    use lt::cublasLtEpilogue_t::*;
    // The library's bias runs along its rows: columns of a row-major D, rows of a column-major one.
    let bias = if d_inner { Step::Bias } else { Step::BiasRow };
    let steps = p.steps.as_slice();
    if steps.is_empty() && !p.expr().is_identity() {
        return None;
    }
    let (has_bias, rest) = match steps.split_first() {
        Some((first, rest)) if *first == bias => (true, rest),
        _ => (false, steps),
    };
    let kind = match (has_bias, rest) {
        (false, []) => CUBLASLT_EPILOGUE_DEFAULT,
        (true, []) => CUBLASLT_EPILOGUE_BIAS,
        (false, [Step::Activation(Unary::Relu)]) => CUBLASLT_EPILOGUE_RELU,
        (true, [Step::Activation(Unary::Relu)]) => CUBLASLT_EPILOGUE_RELU_BIAS,
        (false, [Step::Activation(Unary::GeluTanh)]) => CUBLASLT_EPILOGUE_GELU,
        (true, [Step::Activation(Unary::GeluTanh)]) => CUBLASLT_EPILOGUE_GELU_BIAS,
        _ => return None,
    };
    Some((kind, has_bias))
}

/// The whole heuristic list, best guess first.
fn heuristics(
    handle: &Handle,
    description: &Description,
    layouts: &[MatrixLayout; 4],
    p: &GemmProblem,
) -> Result<Vec<lt::cublasLtMatmulAlgo_t>> {
    struct Preference(lt::cublasLtMatmulPreference_t);
    impl Drop for Preference {
        fn drop(&mut self) {
            // SAFETY: created below, dropped once.
            let _ = unsafe { cudarc::cublaslt::result::destroy_matmul_pref(self.0) };
        }
    }
    let made = cudarc::cublaslt::result::create_matmul_pref();
    let preference = Preference(
        made.map_err(|e| DeviceError::Driver { call: "cublasLtMatmulPreferenceCreate", reason: format!("{e:?}") })?,
    );
    use lt::cublasLtMatmulPreferenceAttributes_t::*;
    let align = |layout: &Layout, dtype: DType| {
        let bytes = layout.offset() * dtype.bytes();
        if bytes == 0 { 256u32 } else { 1 << bytes.trailing_zeros().min(8) }
    };
    let (a, b) = (align(&p.a, p.inputs[0]), align(&p.b, p.inputs[1]));
    let d_row_major = GemmProblem::inner(&p.d) == 0;
    let (first, second) = if d_row_major { (b, a) } else { (a, b) };
    let settings: [(lt::cublasLtMatmulPreferenceAttributes_t, Vec<u8>); 5] = [
        (CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, WORKSPACE.to_ne_bytes().to_vec()),
        (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, first.to_ne_bytes().to_vec()),
        (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, second.to_ne_bytes().to_vec()),
        (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, align(&p.c, p.dtype).to_ne_bytes().to_vec()),
        (CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, align(&p.d, p.dtype).to_ne_bytes().to_vec()),
    ];
    for (attribute, value) in &settings {
        // SAFETY: the preference is alive; the library copies the value.
        let s = unsafe {
            lt::cublasLtMatmulPreferenceSetAttribute(preference.0, *attribute, value.as_ptr().cast(), value.len())
        };
        status("cublasLtMatmulPreferenceSetAttribute", s)?;
    }
    // SAFETY: results are plain data; the library fills `count` of them.
    let mut results: [lt::cublasLtMatmulHeuristicResult_t; LIST] = unsafe { std::mem::zeroed() };
    let mut count = 0;
    // SAFETY: every descriptor is alive; there is room for LIST results.
    let s = unsafe {
        lt::cublasLtMatmulAlgoGetHeuristic(
            handle.handle,
            description.0,
            layouts[0].0,
            layouts[1].0,
            layouts[2].0,
            layouts[3].0,
            preference.0,
            LIST as i32,
            results.as_mut_ptr(),
            &mut count,
        )
    };
    if s == cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED {
        return Ok(Vec::new());
    }
    status("cublasLtMatmulAlgoGetHeuristic", s)?;
    let usable = |r: &&lt::cublasLtMatmulHeuristicResult_t| r.state == cublasStatus_t::CUBLAS_STATUS_SUCCESS;
    Ok(results[..count as usize].iter().filter(usable).map(|r| r.algo).collect())
}
