//! Loops over runs of numbers in f32 and f64: one step of a tape each.

use super::functions as f;
use super::level::{Job, Level, run};
use crate::cpu::operands::Arithmetic;
use kernelsmith_core::DType;
use kernelsmith_core::expr::{Binary, Number, Stream, Unary};
use kernelsmith_core::random::{Distribution, random};
use std::ops::{Add, Div, Mul, Sub};

/// The same number everywhere, or a run of them.
#[derive(Clone, Copy, Debug)]
pub enum Values<N> {
    One(N),
    /// The first of as many as the block has.
    Run(*const N),
}

/// A number that tapes compute in.
pub trait Lane:
    Arithmetic
    + bytemuck::Pod
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
{
    const ZERO: Self;
    const DTYPE: DType;

    fn of(x: f64) -> Self;
    /// Whether it is not 0; NaN is not.
    fn holds(self) -> bool;

    /// out\[i\] = op(x\[i\]).
    ///
    /// # Safety
    /// Here and below: `n` numbers can be read from each run and written to `out`, which is no
    /// run's memory.
    unsafe fn unary_run(level: Level, op: Unary, x: *const Self, out: *mut Self, n: usize);
    /// # Safety
    /// As [`Lane::unary_run`].
    unsafe fn binary_run(level: Level, op: Binary, x: Values<Self>, y: Values<Self>, out: *mut Self, n: usize);
    /// # Safety
    /// As [`Lane::unary_run`].
    unsafe fn round_run(level: Level, dtype: DType, x: *const Self, out: *mut Self, n: usize);

    /// # Safety
    /// As [`Lane::unary_run`].
    unsafe fn select_run(level: Level, [c, x, y]: [Values<Self>; 3], out: *mut Self, n: usize) {
        run(level, Select { c, x, y, out, n });
    }

    /// # Safety
    /// As [`Lane::unary_run`].
    unsafe fn random_run(level: Level, stream: Stream, x: *const Self, out: *mut Self, n: usize) {
        let Stream { distribution, seed } = stream;
        // SAFETY: the caller's promise.
        unsafe {
            match distribution {
                Distribution::Uniform => each(level, x, out, n, move |x| Self::draw(Distribution::Uniform, seed, x)),
                Distribution::Normal => each(level, x, out, n, move |x| Self::draw(Distribution::Normal, seed, x)),
            }
        }
    }

    /// The random number whose counter is given.
    fn draw(distribution: Distribution, seed: u64, counter: Self) -> Self;
}

/// out\[i\] = f(x\[i\]).
struct Each<N, M, F> {
    x: *const N,
    out: *mut M,
    n: usize,
    f: F,
}

impl<N: Copy, M, F: Fn(N) -> M> Job for Each<N, M, F> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        // SAFETY: made only in functions whose callers promise it.
        let (x, out) =
            unsafe { (std::slice::from_raw_parts(self.x, self.n), std::slice::from_raw_parts_mut(self.out, self.n)) };
        for (out, x) in out.iter_mut().zip(x) {
            *out = (self.f)(*x);
        }
    }
}

/// # Safety
/// As [`Lane::unary_run`].
#[inline(always)]
pub unsafe fn each<N: Copy, M>(level: Level, x: *const N, out: *mut M, n: usize, f: impl Fn(N) -> M) {
    run(level, Each { x, out, n, f });
}

/// out\[i\] = f(x\[i\], y\[i\]).
///
/// # Safety
/// As [`Lane::unary_run`].
#[inline(always)]
unsafe fn both<N: Copy>(x: Values<N>, y: Values<N>, out: *mut N, n: usize, f: impl Fn(N, N) -> N) {
    use std::slice::{from_raw_parts as slice, from_raw_parts_mut as slice_mut};
    // SAFETY: the caller's promise.
    unsafe {
        let out = slice_mut(out, n);
        match (x, y) {
            (Values::Run(x), Values::Run(y)) => {
                let (x, y) = (slice(x, n), slice(y, n));
                for i in 0..n {
                    out[i] = f(x[i], y[i]);
                }
            }
            (Values::Run(x), Values::One(y)) => {
                let x = slice(x, n);
                for i in 0..n {
                    out[i] = f(x[i], y);
                }
            }
            (Values::One(x), Values::Run(y)) => {
                let y = slice(y, n);
                for i in 0..n {
                    out[i] = f(x, y[i]);
                }
            }
            (Values::One(x), Values::One(y)) => out.fill(f(x, y)),
        }
    }
}

struct Select<N> {
    c: Values<N>,
    x: Values<N>,
    y: Values<N>,
    out: *mut N,
    n: usize,
}

/// A slice of a run; a constant is the slice's fill.
enum Side<'a, N> {
    One(N),
    Run(&'a [N]),
}

impl<N: Copy> Side<'_, N> {
    #[inline(always)]
    unsafe fn new(values: Values<N>, n: usize) -> Self {
        match values {
            Values::One(x) => Side::One(x),
            // SAFETY: the caller of a lane function promises `n` numbers.
            Values::Run(x) => Side::Run(unsafe { std::slice::from_raw_parts(x, n) }),
        }
    }
}

impl<N: Lane> Job for Select<N> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let n = self.n;
        let pick = |c: N, x: N, y: N| if c.holds() { x } else { y };
        // SAFETY: `Lane::select_run`'s caller promises `n` numbers on each side.
        let (out, c, x, y) = unsafe {
            (
                std::slice::from_raw_parts_mut(self.out, n),
                Side::new(self.c, n),
                Side::new(self.x, n),
                Side::new(self.y, n),
            )
        };
        match (c, x, y) {
            (Side::One(c), x, y) => match if c.holds() { x } else { y } {
                Side::One(v) => out.fill(v),
                Side::Run(v) => out.copy_from_slice(v),
            },
            (Side::Run(c), Side::Run(x), Side::Run(y)) => (0..n).for_each(|i| out[i] = pick(c[i], x[i], y[i])),
            (Side::Run(c), Side::Run(x), Side::One(y)) => (0..n).for_each(|i| out[i] = pick(c[i], x[i], y)),
            (Side::Run(c), Side::One(x), Side::Run(y)) => (0..n).for_each(|i| out[i] = pick(c[i], x, y[i])),
            (Side::Run(c), Side::One(x), Side::One(y)) => (0..n).for_each(|i| out[i] = pick(c[i], x, y)),
        }
    }
}

/// [`Lane::binary_run`] as a job.
struct Two<N> {
    op: Binary,
    x: Values<N>,
    y: Values<N>,
    out: *mut N,
    n: usize,
}

impl<N: Lane + TwoArguments> Job for Two<N> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Two { op, x, y, out, n } = self;
        macro_rules! loops {
            ($($name:ident),*) => {
                match op {
                    // SAFETY: `Lane::binary_run`'s caller promises `n` numbers on each side.
                    $(Binary::$name => unsafe { both(x, y, out, n, |x, y| N::binary_op(Binary::$name, x, y)) },)*
                    // SAFETY: as above.
                    Binary::Pow => unsafe { both(x, y, out, n, N::power::<FMA>) },
                }
            };
        }
        loops!(Add, Sub, Mul, Div, Max, Min, Lt, Le, Eq, Ne);
    }
}

/// What the loops over two runs need of a number.
trait TwoArguments: Sized {
    fn binary_op(op: Binary, x: Self, y: Self) -> Self;
    fn power<const FMA: bool>(x: Self, y: Self) -> Self;
}

impl TwoArguments for f32 {
    #[inline(always)]
    fn binary_op(op: Binary, x: f32, y: f32) -> f32 {
        match op {
            Binary::Add => x + y,
            Binary::Sub => x - y,
            Binary::Mul => x * y,
            Binary::Div => x / y,
            // A NaN on either side wins.
            Binary::Max => {
                if x > y || x.is_nan() {
                    x
                } else {
                    y
                }
            }
            Binary::Min => {
                if x < y || x.is_nan() {
                    x
                } else {
                    y
                }
            }
            Binary::Lt => {
                if x < y {
                    1.0
                } else {
                    0.0
                }
            }
            Binary::Le => {
                if x <= y {
                    1.0
                } else {
                    0.0
                }
            }
            Binary::Eq => {
                if x == y {
                    1.0
                } else {
                    0.0
                }
            }
            Binary::Ne => {
                if x != y {
                    1.0
                } else {
                    0.0
                }
            }
            Binary::Pow => x.powf(y),
        }
    }
    #[inline(always)]
    fn power<const FMA: bool>(x: f32, y: f32) -> f32 {
        f::pow::<FMA>(x, y)
    }
}

impl TwoArguments for f64 {
    #[inline(always)]
    fn binary_op(op: Binary, x: f64, y: f64) -> f64 {
        match op {
            Binary::Add => x + y,
            Binary::Sub => x - y,
            Binary::Mul => x * y,
            Binary::Div => x / y,
            Binary::Max => {
                if x > y || x.is_nan() {
                    x
                } else {
                    y
                }
            }
            Binary::Min => {
                if x < y || x.is_nan() {
                    x
                } else {
                    y
                }
            }
            Binary::Lt => {
                if x < y {
                    1.0
                } else {
                    0.0
                }
            }
            Binary::Le => {
                if x <= y {
                    1.0
                } else {
                    0.0
                }
            }
            Binary::Eq => {
                if x == y {
                    1.0
                } else {
                    0.0
                }
            }
            Binary::Ne => {
                if x != y {
                    1.0
                } else {
                    0.0
                }
            }
            Binary::Pow => x.powf(y),
        }
    }
    #[inline(always)]
    fn power<const FMA: bool>(x: f64, y: f64) -> f64 {
        x.powf(y)
    }
}

/// [`Lane::unary_run`] in f32 as a job.
struct One {
    op: Unary,
    x: *const f32,
    out: *mut f32,
    n: usize,
}

impl Job for One {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let One { op, x, out, n } = self;
        macro_rules! loops {
            ($($name:ident => $f:expr),* $(,)?) => {
                match op { $(Unary::$name => Each { x, out, n, f: $f }.run::<FMA>()),* }
            };
        }
        loops! {
            Neg => |x: f32| -x,
            Abs => |x: f32| x.abs(),
            // Written so that NaN stays NaN.
            Relu => |x: f32| if x < 0.0 { 0.0 } else { x },
            Gelu => |x| f::gelu::<FMA>(x),
            GeluTanh => |x| f::gelu_tanh::<FMA>(x),
            Silu => |x| f::silu::<FMA>(x),
            Sigmoid => |x| f::sigmoid::<FMA>(x),
            Tanh => |x| f::tanh::<FMA>(x),
            Exp => |x| f::exp::<FMA>(x),
            Log => |x| f::log::<FMA>(x),
            Sqrt => |x: f32| x.sqrt(),
            Recip => |x: f32| 1.0 / x,
            Rsqrt => |x: f32| 1.0 / x.sqrt(),
            Sin => |x| f::sin::<FMA>(x),
            Cos => |x| f::cos::<FMA>(x),
            Erf => |x| f::erf::<FMA>(x),
            Not => |x: f32| if x == 0.0 { 1.0 } else { 0.0 },
        }
    }
}

impl Lane for f32 {
    const ZERO: f32 = 0.0;
    const DTYPE: DType = DType::F32;

    #[inline(always)]
    fn of(x: f64) -> f32 {
        x as f32
    }

    #[inline(always)]
    fn holds(self) -> bool {
        self != 0.0
    }

    #[inline(always)]
    fn draw(distribution: Distribution, seed: u64, counter: Self) -> Self {
        random(distribution, seed, counter as u64)
    }

    unsafe fn unary_run(level: Level, op: Unary, x: *const f32, out: *mut f32, n: usize) {
        run(level, One { op, x, out, n });
        if matches!(op, Unary::Sin | Unary::Cos) {
            // Angles that the loop's reduction is not made for: in f64, one by one.
            // SAFETY: the caller's promise.
            let (x, out) = unsafe { (std::slice::from_raw_parts(x, n), std::slice::from_raw_parts_mut(out, n)) };
            for (out, x) in out.iter_mut().zip(x).filter(|(_, x)| x.abs() > f::LARGEST_ANGLE) {
                *out = <f64 as Number>::unary(op, f64::from(*x)) as f32;
            }
        }
    }

    unsafe fn binary_run(level: Level, op: Binary, x: Values<f32>, y: Values<f32>, out: *mut f32, n: usize) {
        if op != Binary::Pow {
            return run(level, Two { op, x, y, out, n });
        }
        if let (Values::Run(x), Values::One(2.0)) = (x, y) {
            // SAFETY: the caller's promise.
            return unsafe { each(level, x, out, n, |x: f32| x * x) };
        }
        run(level, Two { op, x, y, out, n });
        // SAFETY: the caller's promise, for `i` below `n`.
        let at = |v: Values<f32>, i: usize| unsafe {
            match v {
                Values::One(x) => x,
                Values::Run(x) => *x.add(i),
            }
        };
        for i in 0..n {
            let (x, y) = (at(x, i), at(y, i));
            if !f::pow_is_plain(x, y) {
                // SAFETY: as above.
                unsafe { *out.add(i) = x.powf(y) };
            }
        }
    }

    unsafe fn round_run(level: Level, dtype: DType, x: *const f32, out: *mut f32, n: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match dtype {
                DType::F32 | DType::F64 => std::ptr::copy_nonoverlapping(x, out, n),
                DType::BF16 => {
                    each(level, x, out, n, |x| super::convert::from_bf16(super::convert::to_bf16(x)));
                }
                DType::F16 => super::convert::round_f16(level, x, out, n),
                DType::I32 => each(level, x, out, n, |x: f32| x as i32 as f32),
                DType::U8 => each(level, x, out, n, |x: f32| f32::from(x as u8)),
                DType::Bool => each(level, x, out, n, |x: f32| if x != 0.0 { 1.0 } else { 0.0 }),
                DType::E4M3 | DType::E5M2 => {
                    each(Level::Portable, x, out, n, |x: f32| dtype.round(f64::from(x)) as f32);
                }
            }
        }
    }
}

impl Lane for f64 {
    const ZERO: f64 = 0.0;
    const DTYPE: DType = DType::F64;

    #[inline(always)]
    fn of(x: f64) -> f64 {
        x
    }

    #[inline(always)]
    fn holds(self) -> bool {
        self != 0.0
    }

    #[inline(always)]
    fn draw(distribution: Distribution, seed: u64, counter: Self) -> Self {
        f64::from(random(distribution, seed, counter as u64))
    }

    unsafe fn unary_run(level: Level, op: Unary, x: *const f64, out: *mut f64, n: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match op {
                Unary::Neg => each(level, x, out, n, |x: f64| -x),
                Unary::Abs => each(level, x, out, n, |x: f64| x.abs()),
                Unary::Relu => each(level, x, out, n, |x: f64| if x < 0.0 { 0.0 } else { x }),
                Unary::Sqrt => each(level, x, out, n, |x: f64| x.sqrt()),
                Unary::Recip => each(level, x, out, n, |x: f64| 1.0 / x),
                Unary::Rsqrt => each(level, x, out, n, |x: f64| 1.0 / x.sqrt()),
                other => each(Level::Portable, x, out, n, |x| <f64 as Number>::unary(other, x)),
            }
        }
    }

    unsafe fn binary_run(level: Level, op: Binary, x: Values<f64>, y: Values<f64>, out: *mut f64, n: usize) {
        run(level, Two { op, x, y, out, n });
    }

    unsafe fn round_run(_level: Level, dtype: DType, x: *const f64, out: *mut f64, n: usize) {
        // SAFETY: the caller's promise.
        unsafe { each(Level::Portable, x, out, n, |x| dtype.round(x)) }
    }
}
