//! The expression IR: element-wise arithmetic on an op's result and further inputs.
//!
//! One tree, three uses: the oracle evaluates it in f64 with a running error bound, the CPU
//! kernels evaluate it on slices, and the renderers print it as source code. `expr_text.rs` is
//! its text form.

use crate::DType;
use crate::random::{Distribution, random};

/// Functions of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    Neg,
    Abs,
    Relu,
    /// x·Φ(x) through erf.
    Gelu,
    /// The tanh approximation of GELU (Hendrycks & Gimpel 2016).
    GeluTanh,
    Silu,
    Sigmoid,
    Tanh,
    Exp,
    Log,
    Sqrt,
    Recip,
    Rsqrt,
    Sin,
    Cos,
    Erf,
    /// 1 where the number is 0, else 0.
    Not,
}

/// Functions of two numbers. Comparisons give 1 or 0; with NaN all but `Ne` give 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Max,
    Min,
    Pow,
    Lt,
    Le,
    Eq,
    Ne,
}

/// A stream of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stream {
    pub distribution: Distribution,
    pub seed: u64,
}

/// An element-wise expression over an index space.
#[derive(Clone, Debug)]
pub enum Expr {
    /// The result of the op that the expression follows.
    Value,
    /// The element of the i-th further input at the same position.
    Input(usize),
    Const(f64),
    /// The index along a dimension of the space.
    Index(usize),
    Unary(Unary, Box<Expr>),
    Binary(Binary, Box<Expr>, Box<Expr>),
    /// The second where the first is not 0 (NaN is not), else the third.
    Select(Box<Expr>, Box<Expr>, Box<Expr>),
    /// The number rounded to a dtype: a cast there and back.
    Round(DType, Box<Expr>),
    /// The random number whose counter is given: a whole number, exact in the arithmetic.
    Random(Stream, Box<Expr>),
}

/// Constants are equal when their bits are: a plan for 0 is none for −0, and one for NaN is found again.
impl PartialEq for Expr {
    fn eq(&self, other: &Expr) -> bool {
        match (self, other) {
            (Expr::Value, Expr::Value) => true,
            (Expr::Input(i), Expr::Input(j)) | (Expr::Index(i), Expr::Index(j)) => i == j,
            (Expr::Const(a), Expr::Const(b)) => a.to_bits() == b.to_bits(),
            (Expr::Unary(f, x), Expr::Unary(g, y)) => f == g && x == y,
            (Expr::Binary(f, a, b), Expr::Binary(g, c, d)) => f == g && a == c && b == d,
            (Expr::Select(a, b, c), Expr::Select(x, y, z)) => a == x && b == y && c == z,
            (Expr::Round(d, x), Expr::Round(e, y)) => d == e && x == y,
            (Expr::Random(s, x), Expr::Random(t, y)) => s == t && x == y,
            _ => false,
        }
    }
}

/// Arithmetic that an [`Expr`] can be evaluated in.
pub trait Number: Copy {
    fn constant(x: f64) -> Self;
    fn unary(op: Unary, x: Self) -> Self;
    fn binary(op: Binary, x: Self, y: Self) -> Self;
    fn select(condition: Self, x: Self, y: Self) -> Self;
    fn round(dtype: DType, x: Self) -> Self;
    fn random(stream: Stream, counter: Self) -> Self;
}

impl Expr {
    pub fn unary(op: Unary, x: Expr) -> Expr {
        Expr::Unary(op, Box::new(x))
    }

    pub fn binary(op: Binary, x: Expr, y: Expr) -> Expr {
        Expr::Binary(op, Box::new(x), Box::new(y))
    }

    /// Whether the expression is the op's result itself.
    pub fn is_identity(&self) -> bool {
        matches!(self, Expr::Value)
    }

    pub fn select(condition: Expr, x: Expr, y: Expr) -> Expr {
        Expr::Select(Box::new(condition), Box::new(x), Box::new(y))
    }

    /// The expressions that this one is made of.
    pub fn parts(&self) -> impl Iterator<Item = &Expr> {
        let parts: [Option<&Expr>; 3] = match self {
            Expr::Value | Expr::Input(_) | Expr::Const(_) | Expr::Index(_) => [None; 3],
            Expr::Unary(_, x) | Expr::Round(_, x) | Expr::Random(_, x) => [Some(x), None, None],
            Expr::Binary(_, x, y) => [Some(x), Some(y), None],
            Expr::Select(c, x, y) => [Some(c), Some(x), Some(y)],
        };
        parts.into_iter().flatten()
    }

    /// Whether `test` holds for this or any part of it.
    pub fn any(&self, test: &impl Fn(&Expr) -> bool) -> bool {
        test(self) || self.parts().any(|p| p.any(test))
    }

    /// Number of nodes of the tree.
    pub fn size(&self) -> usize {
        1 + self.parts().map(Expr::size).sum::<usize>()
    }

    /// The expression with each leaf (`Value`, `Input`, `Index`, `Const`) replaced by what `leaf` says.
    pub fn replace(&self, leaf: &impl Fn(&Expr) -> Expr) -> Expr {
        let next = |x: &Expr| Box::new(x.replace(leaf));
        match self {
            Expr::Value | Expr::Input(_) | Expr::Const(_) | Expr::Index(_) => leaf(self),
            Expr::Unary(op, x) => Expr::Unary(*op, next(x)),
            Expr::Binary(op, x, y) => Expr::Binary(*op, next(x), next(y)),
            Expr::Select(c, x, y) => Expr::Select(next(c), next(x), next(y)),
            Expr::Round(d, x) => Expr::Round(*d, next(x)),
            Expr::Random(s, x) => Expr::Random(*s, next(x)),
        }
    }

    /// Evaluates at one element; `input(i)` gives the i-th further input there. An expression
    /// that asks for its position needs [`Expr::eval_at`]; here every index is 0.
    pub fn eval<N: Number>(&self, value: N, input: &impl Fn(usize) -> N) -> N {
        self.eval_at(value, input, &|_| 0)
    }

    /// Evaluates at one element of the space; `index(d)` is its position along dimension `d`.
    pub fn eval_at<N: Number>(&self, value: N, input: &impl Fn(usize) -> N, index: &impl Fn(usize) -> usize) -> N {
        let at = |x: &Expr| x.eval_at(value, input, index);
        match self {
            Expr::Value => value,
            Expr::Input(i) => input(*i),
            Expr::Const(c) => N::constant(*c),
            Expr::Index(d) => N::constant(index(*d) as f64),
            Expr::Unary(op, x) => N::unary(*op, at(x)),
            Expr::Binary(op, x, y) => N::binary(*op, at(x), at(y)),
            Expr::Select(c, x, y) => N::select(at(c), at(x), at(y)),
            Expr::Round(d, x) => N::round(*d, at(x)),
            Expr::Random(s, x) => N::random(*s, at(x)),
        }
    }

    /// Evaluates over a row in place: `values` holds the op's results and receives the
    /// expression's; `input(i, out)` fills `out` with the i-th further input along the row. For
    /// expressions that do not ask for their position.
    pub fn eval_row<N: Number>(&self, values: &mut [N], input: &mut dyn FnMut(usize, &mut [N])) {
        if !self.is_identity() {
            let result = self.row(values, input);
            values.copy_from_slice(&result);
        }
    }

    fn row<N: Number>(&self, values: &[N], input: &mut dyn FnMut(usize, &mut [N])) -> Vec<N> {
        match self {
            Expr::Value => values.to_vec(),
            Expr::Input(i) => {
                let mut out = vec![N::constant(0.0); values.len()];
                input(*i, &mut out);
                out
            }
            Expr::Const(c) => vec![N::constant(*c); values.len()],
            Expr::Index(_) => vec![N::constant(0.0); values.len()],
            Expr::Unary(op, x) => {
                let mut out = x.row(values, input);
                out.iter_mut().for_each(|v| *v = N::unary(*op, *v));
                out
            }
            Expr::Round(dtype, x) => {
                let mut out = x.row(values, input);
                out.iter_mut().for_each(|v| *v = N::round(*dtype, *v));
                out
            }
            Expr::Random(stream, x) => {
                let mut out = x.row(values, input);
                out.iter_mut().for_each(|v| *v = N::random(*stream, *v));
                out
            }
            Expr::Select(c, x, y) => {
                let condition = c.row(values, input);
                let mut out = x.row(values, input);
                let other = y.row(values, input);
                for ((v, c), w) in out.iter_mut().zip(condition).zip(other) {
                    *v = N::select(c, *v, w);
                }
                out
            }
            Expr::Binary(op, x, y) => {
                let mut out = x.row(values, input);
                let right = y.row(values, input);
                out.iter_mut().zip(right).for_each(|(v, w)| *v = N::binary(*op, *v, w));
                out
            }
        }
    }

    /// If the expression is `slope · Value + terms without Value`, the slope: sums over the
    /// output can then be checked against sums over the op's result.
    pub fn slope(&self) -> Option<f64> {
        match self {
            Expr::Value => Some(1.0),
            Expr::Input(_) | Expr::Const(_) | Expr::Index(_) => Some(0.0),
            Expr::Select(..) | Expr::Round(..) | Expr::Random(..) => {
                self.parts().all(|x| x.slope() == Some(0.0)).then_some(0.0)
            }
            Expr::Unary(Unary::Neg, x) => x.slope().map(|s| -s),
            Expr::Unary(_, x) => (x.slope() == Some(0.0)).then_some(0.0),
            Expr::Binary(op, x, y) => {
                let (s, t) = (x.slope()?, y.slope()?);
                match (op, &**x, &**y) {
                    (Binary::Add, ..) => Some(s + t),
                    (Binary::Sub, ..) => Some(s - t),
                    (Binary::Mul, _, Expr::Const(c)) => Some(s * c),
                    (Binary::Mul, Expr::Const(c), _) => Some(t * c),
                    _ => (s == 0.0 && t == 0.0).then_some(0.0),
                }
            }
        }
    }
}

macro_rules! float_number {
    ($t:ty, $erf:path, $tanh:path, $pow:path) => {
        impl Number for $t {
            fn constant(x: f64) -> Self {
                x as $t
            }

            fn unary(op: Unary, x: Self) -> Self {
                let sigmoid = |x: $t| {
                    // exp of a negative number only: no overflow on either side.
                    let e = (-x.abs()).exp();
                    if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
                };
                match op {
                    // The limit, where the formula would be −∞·0.
                    Unary::Gelu | Unary::GeluTanh | Unary::Silu if x == <$t>::NEG_INFINITY => -0.0,
                    Unary::Neg => -x,
                    Unary::Abs => x.abs(),
                    // Written so that NaN stays NaN.
                    Unary::Relu => {
                        if x < 0.0 {
                            0.0
                        } else {
                            x
                        }
                    }
                    Unary::Gelu => 0.5 * x * (1.0 + $erf(x * std::f64::consts::FRAC_1_SQRT_2 as $t)),
                    Unary::GeluTanh => {
                        // √(2/π)
                        let c = (std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2) as $t;
                        0.5 * x * (1.0 + $tanh(c * (x + 0.044715 * x * x * x)))
                    }
                    Unary::Silu => x * sigmoid(x),
                    Unary::Sigmoid => sigmoid(x),
                    Unary::Tanh => $tanh(x),
                    Unary::Exp => x.exp(),
                    Unary::Log => x.ln(),
                    Unary::Sqrt => x.sqrt(),
                    Unary::Recip => 1.0 / x,
                    Unary::Rsqrt => 1.0 / x.sqrt(),
                    Unary::Sin => x.sin(),
                    Unary::Cos => x.cos(),
                    Unary::Erf => $erf(x),
                    Unary::Not => <$t>::from(u8::from(x == 0.0)),
                }
            }

            fn select(condition: Self, x: Self, y: Self) -> Self {
                if condition != 0.0 { x } else { y }
            }

            fn round(dtype: DType, x: Self) -> Self {
                dtype.round(x as f64) as $t
            }

            fn random(stream: Stream, counter: Self) -> Self {
                random(stream.distribution, stream.seed, counter as u64) as $t
            }

            fn binary(op: Binary, x: Self, y: Self) -> Self {
                match op {
                    Binary::Add => x + y,
                    Binary::Sub => x - y,
                    Binary::Mul => x * y,
                    Binary::Div => x / y,
                    // Unlike f32::max, a NaN on either side wins.
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
                    Binary::Pow => $pow(x, y),
                    Binary::Lt => <$t>::from(u8::from(x < y)),
                    Binary::Le => <$t>::from(u8::from(x <= y)),
                    Binary::Eq => <$t>::from(u8::from(x == y)),
                    Binary::Ne => <$t>::from(u8::from(x != y)),
                }
            }
        }
    };
}
float_number!(f32, libm::erff, libm::tanhf, f32::powf);
float_number!(f64, libm::erf, libm::tanh, f64::powf);

/// A value in f64 with a bound on how far a computation in `unit` arithmetic may be from it
/// (forward error analysis, Higham, Accuracy and Stability of Numerical Algorithms, ch. 2–3).
#[derive(Clone, Copy, Debug)]
pub struct Bounded {
    pub value: f64,
    pub error: f64,
    /// Unit roundoff of the arithmetic whose error is bounded.
    pub unit: f64,
}

impl Bounded {
    pub fn exact(value: f64, unit: f64) -> Self {
        Bounded { value, error: 0.0, unit }
    }

    /// A result that is rounded once, as the arithmetic stores it.
    fn rounded(value: f64, error: f64, unit: f64) -> Self {
        Self::stored(value, error + own_unit(unit) * value.abs(), unit)
    }

    /// A result as the arithmetic stores it: infinite beyond its range, with an absolute error
    /// below it. An infinite error means that nothing is known, not even whether it is a number.
    pub(crate) fn stored(value: f64, error: f64, unit: f64) -> Self {
        // What is computed from constants and positions alone may be in f32 or in f64.
        let (unsure, single) = (unit == 0.0, unit == 0.0 || unit > DType::F64.unit_roundoff());
        // Infinities and NaN are compared exactly, and are as exact when computed with.
        if !value.is_finite() {
            return Bounded { value, error: 0.0, unit };
        }
        if single && ((value.abs() + error) as f32).is_infinite() {
            let surely = (value.abs() - error) as f32 == f32::INFINITY;
            return if surely && !unsure {
                Bounded { value: value.signum() * f64::INFINITY, error: 0.0, unit }
            } else {
                Bounded { value, error: f64::INFINITY, unit }
            };
        }
        let (smallest, spacing) = if single {
            (f64::from(f32::MIN_POSITIVE), f64::from(f32::from_bits(1)))
        } else {
            (f64::MIN_POSITIVE, f64::from_bits(1))
        };
        let underflow = if value != 0.0 && value.abs() < 2.0 * smallest { spacing } else { 0.0 };
        Bounded { value, error: error + underflow, unit }
    }

    /// Whether the number may lie on either side of zero.
    fn near_zero(self) -> bool {
        self.error > 0.0 && self.value.abs() <= self.error
    }
}

impl Number for Bounded {
    fn constant(x: f64) -> Self {
        // A constant is rounded to the arithmetic's precision when it is written into a kernel.
        let error = if x == x as f32 as f64 { 0.0 } else { x.abs() / (1u64 << 24) as f64 };
        Bounded { value: x, error, unit: 0.0 }
    }

    fn unary(op: Unary, x: Self) -> Self {
        let value = f64::unary(op, x.value);
        let (v, e, u) = (x.value.abs(), x.error, own_unit(x.unit));
        let stored = |error: f64| Bounded::stored(value, error, x.unit);
        if !e.is_finite() {
            return Bounded { value, error: f64::INFINITY, unit: x.unit };
        }
        if !v.is_finite() {
            return Bounded { value, error: 0.0, unit: x.unit };
        }
        if matches!(op, Unary::Log | Unary::Sqrt | Unary::Rsqrt | Unary::Recip) && x.near_zero() {
            return Bounded { value, error: f64::INFINITY, unit: x.unit };
        }
        // (slope bound · input error) + error of the function's own evaluation in a few ulps.
        let error = match op {
            Unary::Neg | Unary::Abs | Unary::Relu => e,
            Unary::Gelu | Unary::GeluTanh => 1.13 * e + 6.0 * u * v,
            Unary::Silu => 1.1 * e + 6.0 * u * v,
            Unary::Sigmoid => 0.25 * e + 4.0 * u,
            Unary::Tanh => e + 4.0 * u * value.abs(),
            Unary::Exp => value * (e.exp_m1() + 4.0 * u * (1.0 + v)),
            Unary::Log => e / (v - e).max(f64::MIN_POSITIVE) + 4.0 * u * (1.0 + value.abs()),
            Unary::Sqrt => e / value.max(f64::MIN_POSITIVE) + 2.0 * u * value,
            Unary::Recip => e / (v * (v - e).max(f64::MIN_POSITIVE)) + 2.0 * u * value.abs(),
            Unary::Rsqrt => e * value.abs() / (2.0 * (v - e).max(f64::MIN_POSITIVE)) + 4.0 * u * value.abs(),
            Unary::Sin | Unary::Cos => e + 4.0 * u,
            Unary::Erf => 1.13 * e + 4.0 * u * value.abs(),
            Unary::Not => jump(x.near_zero()),
        };
        match op {
            Unary::Neg | Unary::Abs | Unary::Relu | Unary::Not => Bounded { value, error, unit: x.unit },
            _ => stored(error),
        }
    }

    fn binary(op: Binary, x: Self, y: Self) -> Self {
        let unit = x.unit.max(y.unit);
        let value = f64::binary(op, x.value, y.value);
        let (a, b) = (x.value.abs(), y.value.abs());
        if !x.error.is_finite() || !y.error.is_finite() || (op == Binary::Div && y.near_zero()) {
            return Bounded { value, error: f64::INFINITY, unit };
        }
        // Infinity times what may have become 0 may be no number.
        if op == Binary::Mul && (a.is_infinite() && y.near_zero() || b.is_infinite() && x.near_zero()) {
            return Bounded { value, error: f64::INFINITY, unit };
        }
        if matches!(op, Binary::Add | Binary::Sub | Binary::Mul | Binary::Div) && is_exact(x, y, value, unit) {
            return Bounded { value, error: 0.0, unit };
        }
        match op {
            Binary::Add | Binary::Sub => Bounded::rounded(value, x.error + y.error, unit),
            Binary::Mul => Bounded::rounded(value, a * y.error + b * x.error + x.error * y.error, unit),
            Binary::Div => {
                let floor = (b - y.error).max(f64::MIN_POSITIVE);
                Bounded::rounded(value, (x.error + value.abs() * y.error) / floor, unit)
            }
            Binary::Max | Binary::Min => Bounded { value, error: x.error.max(y.error), unit },
            // A power of a negative number is one only for whole exponents, which this may not be.
            Binary::Pow if x.value < 0.0 && y.error > 0.0 => Bounded { value, error: f64::INFINITY, unit },
            Binary::Pow if a == 0.0 || b == 0.0 || !value.is_finite() => {
                let exact = x.error == 0.0 && y.error == 0.0;
                Bounded { value, error: if exact { 0.0 } else { f64::INFINITY }, unit }
            }
            Binary::Pow => {
                // d(x^y) = x^y · (y/x dx + ln x dy), and a few ulps scaled by |y ln x|.
                let log = a.ln().abs();
                let relative = b * x.error / (a - x.error).max(f64::MIN_POSITIVE) + log * y.error;
                let own = 8.0 * own_unit(unit) * (1.0 + b * log);
                let error = value.abs() * (relative.exp_m1() + own);
                Bounded::stored(value, if error.is_nan() { f64::INFINITY } else { error }, unit)
            }
            Binary::Lt | Binary::Le | Binary::Eq | Binary::Ne => {
                let error = x.error + y.error;
                Bounded { value, error: jump(error > 0.0 && (x.value - y.value).abs() <= error), unit }
            }
        }
    }

    fn select(condition: Self, x: Self, y: Self) -> Self {
        let (picked, other) = if condition.value != 0.0 { (x, y) } else { (y, x) };
        let unit = x.unit.max(y.unit);
        if condition.error == 0.0 {
            return Bounded { unit, ..picked };
        }
        // Either may be picked.
        let apart = (x.value - y.value).abs() + picked.error.max(other.error);
        Bounded { value: picked.value, error: if apart.is_nan() { f64::INFINITY } else { apart }, unit }
    }

    fn round(dtype: DType, x: Self) -> Self {
        let value = dtype.round(x.value);
        if x.error == f64::INFINITY {
            return Bounded { value, ..x };
        }
        if !dtype.is_float() {
            // A number near a whole one may be truncated to either side; a large one is rounded to
            // what the arithmetic holds.
            let exact = x.error == 0.0 || !x.value.is_finite();
            let held =
                if x.unit == 0.0 || x.unit > DType::F64.unit_roundoff() { f64::from(value as f32) } else { value };
            let error = if exact { 0.0 } else { x.error + 1.0 };
            return Bounded { value, error: error + (held - value).abs(), unit: x.unit };
        }
        let own =
            if x.error == 0.0 { 0.0 } else { dtype.unit_roundoff() * 2.0 * x.value.abs() + dtype.underflow_error() };
        let [low, high] = [-x.error, x.error].map(|e| dtype.round(x.value.abs() + e) == f64::INFINITY);
        let error = match (low, high) {
            (false, false) => x.error + own,
            (true, true) => 0.0,
            _ => f64::INFINITY,
        };
        Bounded { value, error: if value.is_nan() { 0.0 } else { error }, unit: x.unit }
    }

    fn random(stream: Stream, counter: Self) -> Self {
        Bounded { value: f64::random(stream, counter.value), error: 0.0, unit: counter.unit }
    }
}

/// The roundoff of one operation. What is computed from constants alone does not know its
/// arithmetic (its unit is 0): f32 at worst.
fn own_unit(unit: f64) -> f64 {
    if unit == 0.0 { DType::F32.unit_roundoff() } else { unit }
}

/// Whether a correctly rounded operation on exact numbers gives `value` itself.
fn is_exact(x: Bounded, y: Bounded, value: f64, unit: f64) -> bool {
    if x.error != 0.0 || y.error != 0.0 || !value.is_finite() {
        return false;
    }
    // In f64 the value does not tell whether it was rounded; of whole numbers its size does.
    let whole = |x: f64| x.fract() == 0.0 && x.abs() < 9e15;
    let in_double = whole(x.value) && whole(y.value) && whole(value);
    let in_single = f64::from(value as f32) == value && value.abs() >= f64::from(f32::MIN_POSITIVE) || value == 0.0;
    if unit > DType::F64.unit_roundoff() { in_single } else { in_double && in_single }
}

/// The error of a result that is 0 or 1 and may be on either side.
fn jump(uncertain: bool) -> f64 {
    if uncertain { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gelu_plus_input() -> Expr {
        Expr::binary(Binary::Add, Expr::unary(Unary::Gelu, Expr::Value), Expr::Input(0))
    }

    #[test]
    fn row_and_element_agree() {
        let e = gelu_plus_input();
        let mut row = [-2.0f32, -0.5, 0.0, 1.0, 30.0];
        let want: Vec<f32> = row.iter().map(|&v| e.eval(v, &|_| 0.25)).collect();
        e.eval_row(&mut row, &mut |_, out| out.fill(0.25));
        assert_eq!(row.to_vec(), want);
    }

    #[test]
    fn nan_passes_through_activations() {
        for op in [Unary::Relu, Unary::Gelu, Unary::GeluTanh, Unary::Silu] {
            assert!(f32::unary(op, f32::NAN).is_nan(), "{op:?}");
        }
        assert!(f32::binary(Binary::Max, 1.0, f32::NAN).is_nan());
        assert!(f32::binary(Binary::Min, f32::NAN, 1.0).is_nan());
    }

    #[test]
    fn f32_stays_within_the_error_bound_of_f64() {
        let ops = [Unary::Relu, Unary::Gelu, Unary::GeluTanh, Unary::Silu, Unary::Sigmoid, Unary::Tanh, Unary::Exp];
        let u = crate::DType::F32.unit_roundoff();
        for op in ops {
            for i in -4000..4000 {
                let x = i as f32 / 200.0;
                let b = Bounded::unary(op, Bounded::exact(x as f64, u));
                let err = (f32::unary(op, x) as f64 - b.value).abs();
                assert!(err <= b.error + 1e-45, "{op:?}({x}): error {err:e} over {:e}", b.error);
            }
        }
    }

    #[test]
    fn a_power_of_a_negative_number_is_unknown_unless_the_exponent_is_sure() {
        let u = crate::DType::F32.unit_roundoff();
        let three = Bounded::binary(Binary::Pow, Bounded::exact(3.0, u), Bounded::exact(1.0, u));
        assert!(three.error > 0.0, "f32 may be next to 3, and no whole number");
        let base = Bounded::exact(-0.5, u);
        assert_eq!(Bounded::binary(Binary::Pow, base, three).error, f64::INFINITY);
        let sure = Bounded::binary(Binary::Pow, base, Bounded::exact(3.0, u));
        assert!(sure.error < 1e-6 && sure.value == -0.125);
    }

    #[test]
    fn infinity_times_what_may_underflow_is_unknown() {
        let u = crate::DType::F32.unit_roundoff();
        let tiny = Bounded::binary(Binary::Pow, Bounded::exact(0.1, u), Bounded::exact(104.0, u));
        assert_eq!(0.1f32.powf(104.0), 0.0, "f32 has lost it");
        let infinite = Bounded::exact(f64::INFINITY, u);
        for product in [Bounded::binary(Binary::Mul, tiny, infinite), Bounded::binary(Binary::Mul, infinite, tiny)] {
            assert_eq!(product.error, f64::INFINITY);
        }
        let sure = Bounded::binary(Binary::Mul, Bounded::exact(0.5, u), infinite);
        assert_eq!((sure.value, sure.error), (f64::INFINITY, 0.0));
    }

    #[test]
    fn slope_tells_affine_from_not() {
        let scaled = Expr::binary(Binary::Mul, Expr::Value, Expr::Const(0.5));
        let affine = Expr::binary(Binary::Add, scaled, Expr::Input(0));
        assert_eq!(affine.slope(), Some(0.5));
        assert_eq!(gelu_plus_input().slope(), None);
        assert_eq!(Expr::binary(Binary::Mul, Expr::Value, Expr::Input(0)).slope(), None);
    }
}
