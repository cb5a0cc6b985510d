//! OpenBLAS, the CPU's vendor library, opened at run time: a baseline, and a candidate like any other.
//!
//! Idea: none of ours. CALL = 0 is `cblas_?gemm`; CALL = 1 is `cblas_?gemv`, which OpenBLAS
//! itself is faster with where D is one row or one column. OpenBLAS takes no epilogue: it follows
//! in a second pass.
//!
//! Bound: the cores' fused multiply-adds for large products, the bytes of B for one row.
//!
//! `smith bench gemm --problem m=1,n=9728,k=896,dtype=f32,layout=nt --candidate openblas[CALL=1,THREADS=0]`

use super::args::Args;
use super::element::{Accumulator, Element};
use crate::cpu::kernel::{CpuCall, CpuKernelError};
use kernelsmith_core::{DType, Layout};
use libloading::Library;
use std::ffi::{CStr, c_char, c_int};
use std::sync::{LazyLock, Mutex, PoisonError};

type Gemm<E> = unsafe extern "C" fn(
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    E,
    *const E,
    c_int,
    *const E,
    c_int,
    E,
    *mut E,
    c_int,
);
type Gemv<E> = unsafe extern "C" fn(c_int, c_int, c_int, c_int, E, *const E, c_int, *const E, c_int, E, *mut E, c_int);

const ROW_MAJOR: c_int = 101;
const COLUMN_MAJOR: c_int = 102;
const PLAIN: c_int = 111;
const TRANSPOSED: c_int = 112;

struct OpenBlas {
    sgemm: Gemm<f32>,
    dgemm: Gemm<f64>,
    sgemv: Gemv<f32>,
    dgemv: Gemv<f64>,
    set_threads: unsafe extern "C" fn(c_int),
    config: String,
    /// The thread count that is set now. Held during calls: the count is the library's global.
    threads: Mutex<c_int>,
    _library: Library,
}

static OPENBLAS: LazyLock<Option<OpenBlas>> = LazyLock::new(open);

const NAMES: &[&str] = if cfg!(target_os = "macos") {
    &["libopenblas.0.dylib", "libopenblas.dylib", "/opt/homebrew/opt/openblas/lib/libopenblas.dylib"]
} else if cfg!(windows) {
    &["libopenblas.dll", "openblas.dll"]
} else {
    &["libopenblas.so.0", "libopenblas.so"]
};

/// The library's version and configuration, or `None` where it is not installed.
pub fn library() -> Option<&'static str> {
    OPENBLAS.as_ref().map(|b| b.config.as_str())
}

fn open() -> Option<OpenBlas> {
    // OpenBLAS takes some AVX-512 CPUs for Haswell ones and would run at half speed.
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && std::env::var_os("OPENBLAS_CORETYPE").is_none()
    {
        // SAFETY: on Unix a change of the environment races with C code that reads it at the same
        // time; Rust's own reads take the same lock. This runs once, before the library that reads
        // the variable is opened, and Kernelsmith's other threads call no C code that reads the
        // environment while a device is being opened.
        unsafe { std::env::set_var("OPENBLAS_CORETYPE", "SKYLAKEX") };
    }
    NAMES.iter().find_map(|name| {
        // SAFETY: opening OpenBLAS runs its start-up code, which only reads the CPU and its settings.
        let library = unsafe { Library::new(*name) }.ok()?;
        load(library)
    })
}

fn load(library: Library) -> Option<OpenBlas> {
    // SAFETY: the types are those of cblas.h with 32-bit integers, which libraries of these names
    // have (64-bit builds are named libopenblas64_). Function pointers are kept with the library.
    unsafe {
        let config: unsafe extern "C" fn() -> *const c_char = *library.get(b"openblas_get_config\0").ok()?;
        let core: Option<unsafe extern "C" fn() -> *const c_char> =
            library.get(b"openblas_get_corename\0").ok().map(|f| *f);
        let mut text = CStr::from_ptr(config()).to_string_lossy().trim().to_string();
        if let Some(core) = core {
            let name = CStr::from_ptr(core()).to_string_lossy();
            text = format!("{text}, kernels for {name}");
        }
        Some(OpenBlas {
            sgemm: *library.get(b"cblas_sgemm\0").ok()?,
            dgemm: *library.get(b"cblas_dgemm\0").ok()?,
            sgemv: *library.get(b"cblas_sgemv\0").ok()?,
            dgemv: *library.get(b"cblas_dgemv\0").ok()?,
            set_threads: *library.get(b"openblas_set_num_threads\0").ok()?,
            config: text,
            threads: Mutex::new(0),
            _library: library,
        })
    }
}

/// The element types that OpenBLAS multiplies.
trait Blas: Element<Acc = Self> + Accumulator {
    fn functions(blas: &OpenBlas) -> (Gemm<Self>, Gemv<Self>);
}

impl Blas for f32 {
    fn functions(blas: &OpenBlas) -> (Gemm<f32>, Gemv<f32>) {
        (blas.sgemm, blas.sgemv)
    }
}

impl Blas for f64 {
    fn functions(blas: &OpenBlas) -> (Gemm<f64>, Gemv<f64>) {
        (blas.dgemm, blas.dgemv)
    }
}

pub fn run(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    match super::args::problem(call)?.dtype {
        DType::F32 => product::<f32>(Args::new(call)?),
        DType::F64 => product::<f64>(Args::new(call)?),
        other => Err(CpuKernelError(format!("OpenBLAS has no product in dtype {other}"))),
    }
}

/// A matrix as BLAS sees it: what is contiguous, and the leading dimension.
#[derive(Clone, Copy)]
struct Stored {
    rows_contiguous: bool,
    leading: c_int,
}

impl Stored {
    /// `None` where BLAS has no words for the layout of this \[batch, rows, columns\] operand.
    fn of(layout: &Layout) -> Option<Stored> {
        let (shape, strides) = (layout.shape(), layout.strides());
        let leading = |outer: usize, inner: usize| {
            let least = shape[inner].max(1);
            // The stride over a single row is never used, but BLAS checks it.
            let stride = if shape[outer] <= 1 { least as isize } else { strides[outer] };
            c_int::try_from(stride).ok().filter(|&x| x as i64 >= least as i64)
        };
        let rows = || Some(Stored { rows_contiguous: true, leading: leading(1, 2)? });
        let columns = || Some(Stored { rows_contiguous: false, leading: leading(2, 1)? });
        let by_rows = if strides[2] == 1 || shape[2] <= 1 { rows() } else { None };
        by_rows.or_else(|| if strides[1] == 1 || shape[1] <= 1 { columns() } else { None })
    }
}

fn unsupported(name: &str, layout: &Layout) -> CpuKernelError {
    CpuKernelError(format!("BLAS cannot express operand {name} with strides {:?}", layout.strides()))
}

fn product<T: Blas>(mut args: Args<'_, T>) -> Result<(), CpuKernelError> {
    let Some(blas) = OPENBLAS.as_ref() else {
        return Err(CpuKernelError(format!("OpenBLAS was not found ({})", NAMES.join(", "))));
    };
    let p = args.problem;
    if p.alpha == 0.0 {
        return Err(CpuKernelError("OpenBLAS skips the product where alpha is 0, and with it NaN".to_string()));
    }
    let stored = |name: &str, layout| Stored::of(layout).ok_or_else(|| unsupported(name, layout));
    let (a, b, d) = (stored("a", &p.a)?, stored("b", &p.b)?, stored("d", &p.d)?);
    let vector = args.param("CALL", 0) == 1 && (p.m == 1 || p.n == 1);
    let threads = args.threads();

    if p.has_beta() {
        args.copy_c();
    }
    // What the library leaves out or does differently between versions: nothing to sum, and a
    // vector result that is scaled by 0 where it holds NaN.
    if !p.has_beta() && (vector || p.k == 0) {
        zero_d(&mut args);
    }
    if p.k > 0 {
        let mut set = blas.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if *set != threads as c_int {
            // SAFETY: any positive count is valid; the lock keeps calls apart.
            unsafe { (blas.set_threads)(threads as c_int) };
            *set = threads as c_int;
        }
        for batch in 0..p.batch {
            if vector { call_gemv(blas, &mut args, batch, a, b) } else { call_gemm(blas, &mut args, batch, a, b, d) }
        }
    } else if p.has_beta() {
        scale_d(&mut args);
    }
    args.epilogue_over_d();
    Ok(())
}

fn for_each_of_d<T: Element>(args: &mut Args<'_, T>, change: impl Fn(&mut T)) {
    let p = args.problem;
    let d = args.d.as_mut_slice();
    for batch in 0..p.batch {
        for row in 0..p.m {
            for column in 0..p.n {
                change(&mut d[p.d.at(&[batch, row, column])]);
            }
        }
    }
}

fn zero_d<T: Element>(args: &mut Args<'_, T>) {
    for_each_of_d(args, |x| *x = T::ZERO);
}

fn scale_d<T: Blas>(args: &mut Args<'_, T>) {
    let beta = T::from_f64(args.problem.beta);
    for_each_of_d(args, |x| *x = beta * *x);
}

fn call_gemm<T: Blas>(blas: &OpenBlas, args: &mut Args<'_, T>, batch: usize, a: Stored, b: Stored, d: Stored) {
    let p = args.problem;
    let order = if d.rows_contiguous { ROW_MAJOR } else { COLUMN_MAJOR };
    let transpose = |x: Stored| if x.rows_contiguous == d.rows_contiguous { PLAIN } else { TRANSPOSED };
    let at = |layout: &Layout| layout.at(&[batch, 0, 0]);
    let (alpha, beta) = (args.alpha(), T::from_f64(p.beta));
    // SAFETY: `Args` checked that every position of the layouts is inside the buffers, and `Stored`
    // that BLAS reads and writes exactly those; sizes fit 32 bits.
    unsafe {
        (T::functions(blas).0)(
            order,
            transpose(a),
            transpose(b),
            p.m as c_int,
            p.n as c_int,
            p.k as c_int,
            alpha,
            args.a.as_ptr().add(at(&p.a)),
            a.leading,
            args.b.as_ptr().add(at(&p.b)),
            b.leading,
            beta,
            args.d.as_mut_ptr().add(at(&p.d)),
            d.leading,
        );
    }
}

/// y = M·x with the matrix that is not a vector; transposed views make it B for one row of D.
fn call_gemv<T: Blas>(blas: &OpenBlas, args: &mut Args<'_, T>, batch: usize, a: Stored, b: Stored) {
    let p = args.problem;
    let at = |layout: &Layout| layout.at(&[batch, 0, 0]);
    let (pa, pb) = (args.a.as_ptr().wrapping_add(at(&p.a)), args.b.as_ptr().wrapping_add(at(&p.b)));
    // Rows and columns of the matrix under its own storage order, and its vectors.
    let (matrix, transpose, stored, x, x_stride, y_stride, sizes) = if p.m == 1 {
        // Row-major storage of B is k × n, of its transpose n × k.
        let (transpose, sizes) = if b.rows_contiguous { (TRANSPOSED, (p.k, p.n)) } else { (PLAIN, (p.n, p.k)) };
        (pb, transpose, b, pa, p.a.strides()[2], p.d.strides()[2], sizes)
    } else {
        let (transpose, sizes) = if a.rows_contiguous { (PLAIN, (p.m, p.k)) } else { (TRANSPOSED, (p.k, p.m)) };
        (pa, transpose, a, pb, p.b.strides()[1], p.d.strides()[1], sizes)
    };
    let outputs = if p.m == 1 { p.n } else { p.m };
    // The stride over a single element is never used, but BLAS checks it.
    let stride = |s: isize, size: usize| if size <= 1 { 1 } else { s as c_int };
    let (alpha, beta) = (args.alpha(), T::from_f64(p.beta));
    // SAFETY: as for `call_gemm`; a vector's stride is at least 1 wherever it has two elements.
    unsafe {
        (T::functions(blas).1)(
            ROW_MAJOR,
            transpose,
            sizes.0 as c_int,
            sizes.1 as c_int,
            alpha,
            matrix,
            stored.leading,
            x,
            stride(x_stride, p.k),
            beta,
            args.d.as_mut_ptr().add(at(&p.d)),
            stride(y_stride, outputs),
        );
    }
}
