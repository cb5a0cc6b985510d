//! Element-wise methods. Each makes a node with one expression; the planner fuses chains of them.

use crate::error::{Error, Result};
use crate::node::NodeOp;
use crate::tensor::Tensor;
use kernelsmith_core::expr::{Binary, Unary};
use kernelsmith_core::layout::MAX_RANK;
use kernelsmith_core::{DType, Expr};

/// The second operand of an element-wise method: a tensor, broadcast, or a number.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    Tensor(&'a Tensor),
    Number(f64),
}

impl<'a> From<&'a Tensor> for Operand<'a> {
    fn from(x: &'a Tensor) -> Self {
        Operand::Tensor(x)
    }
}

macro_rules! number {
    ($($t:ty),*) => {$(
        impl From<$t> for Operand<'_> {
            fn from(x: $t) -> Self {
                Operand::Number(f64::from(x))
            }
        }
    )*};
}
number!(f32, f64, i32, u8);

/// The shape that several broadcast to.
pub(crate) fn broadcast_shape(op: &'static str, shapes: &[&[usize]]) -> Result<Vec<usize>> {
    let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut out = vec![1; rank];
    for shape in shapes {
        for (d, &n) in shape.iter().enumerate() {
            let at = &mut out[rank - shape.len() + d];
            if *at == 1 {
                *at = n;
            } else if n != 1 && n != *at {
                return Err(Error::Shape {
                    op,
                    shapes: shapes.iter().map(|s| s.to_vec()).collect(),
                    expected: "sizes that are equal, or 1".to_string(),
                });
            }
        }
    }
    debug_assert!(rank <= MAX_RANK);
    Ok(out)
}

impl Tensor {
    /// A node of `expr` over inputs that are broadcast together.
    pub(crate) fn map(name: &'static str, expr: Expr, inputs: &[&Tensor], dtype: DType) -> Result<Tensor> {
        Tensor::same_device(name, inputs)?;
        let first = inputs[0];
        if inputs.iter().all(|t| t.shape() == first.shape()) {
            let inputs = inputs.iter().map(|t| (*t).clone()).collect();
            return Tensor::lazy(name, dtype, first.shape(), first.device(), NodeOp::Map { expr, inputs });
        }
        let shapes: Vec<&[usize]> = inputs.iter().map(|t| t.shape()).collect();
        let shape = broadcast_shape(name, &shapes)?;
        let spread = |t: &&Tensor| {
            if t.shape() == shape { Ok((*t).clone()) } else { t.broadcast_to(&shape) }
        };
        let spread = inputs.iter().map(spread).collect::<Result<Vec<_>>>()?;
        Tensor::lazy(name, dtype, &shape, first.device(), NodeOp::Map { expr, inputs: spread })
    }

    fn unary(&self, name: &'static str, op: Unary) -> Result<Tensor> {
        self.float(name)?;
        Tensor::map(name, Expr::unary(op, Expr::Input(0)), &[self], self.dtype())
    }

    fn binary<'a>(
        &self,
        name: &'static str,
        op: Binary,
        other: impl Into<Operand<'a>>,
        to: Option<DType>,
    ) -> Result<Tensor> {
        let dtype = to.unwrap_or(self.dtype());
        let finish = |e: Expr| {
            // A quotient of whole numbers is truncated before anything else sees it.
            if dtype == DType::I32 || dtype == DType::U8 { Expr::Round(dtype, Box::new(e)) } else { e }
        };
        match other.into() {
            Operand::Number(c) => {
                Tensor::map(name, finish(Expr::binary(op, Expr::Input(0), Expr::Const(c))), &[self], dtype)
            }
            Operand::Tensor(other) => {
                if self.dtype() != other.dtype() {
                    let expected = format!("{}, the other operand's: cast one", other.dtype());
                    return Err(Error::DType { op: name, found: self.dtype(), expected });
                }
                let expr = finish(Expr::binary(op, Expr::Input(0), Expr::Input(1)));
                Tensor::map(name, expr, &[self, other], dtype)
            }
        }
    }
}

macro_rules! unary_methods {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// A dtype that is not floating-point.
            pub fn $name(&self) -> Result<Tensor> {
                self.unary(stringify!($name), Unary::$op)
            }
        )*}
    };
}

unary_methods! {
    /// |x|.
    abs => Abs;
    /// −x.
    neg => Neg;
    /// eˣ.
    exp => Exp;
    /// ln x.
    log => Log;
    /// √x.
    sqrt => Sqrt;
    /// 1/√x.
    rsqrt => Rsqrt;
    /// 1/x.
    recip => Recip;
    /// sin x.
    sin => Sin;
    /// cos x.
    cos => Cos;
    /// tanh x.
    tanh => Tanh;
    /// The error function.
    erf => Erf;
    /// 1/(1 + e⁻ˣ).
    sigmoid => Sigmoid;
    /// max(x, 0); NaN stays NaN.
    relu => Relu;
    /// x·Φ(x), through erf.
    gelu => Gelu;
    /// The tanh approximation of GELU (Hendrycks & Gimpel 2016).
    gelu_tanh => GeluTanh;
    /// x·sigmoid(x).
    silu => Silu;
}

macro_rules! binary_methods {
    ($($(#[$doc:meta])* $name:ident => $op:ident, $to:expr;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            ///
            /// The operand is a tensor of the same dtype, broadcast, or a number.
            ///
            /// # Errors
            /// Shapes that do not broadcast, different dtypes or devices.
            pub fn $name<'a>(&self, other: impl Into<Operand<'a>>) -> Result<Tensor> {
                self.binary(stringify!($name), Binary::$op, other, $to)
            }
        )*}
    };
}

binary_methods! {
    /// x + y.
    add => Add, None;
    /// x − y.
    sub => Sub, None;
    /// x · y.
    mul => Mul, None;
    /// x / y, truncated for whole numbers.
    div => Div, None;
    /// The larger; NaN wins.
    maximum => Max, None;
    /// The smaller; NaN wins.
    minimum => Min, None;
    /// xʸ.
    pow => Pow, None;
    /// x < y, as bool.
    lt => Lt, Some(DType::Bool);
    /// x ≤ y, as bool.
    le => Le, Some(DType::Bool);
    /// x = y, as bool.
    eq => Eq, Some(DType::Bool);
    /// x ≠ y, as bool.
    ne => Ne, Some(DType::Bool);
}

impl Tensor {
    /// x > y, as bool. The operand is a tensor of the same dtype, broadcast, or a number.
    ///
    /// # Errors
    /// Shapes that do not broadcast, different dtypes or devices.
    pub fn gt<'a>(&self, other: impl Into<Operand<'a>>) -> Result<Tensor> {
        self.reversed("gt", Binary::Lt, other.into())
    }

    /// x ≥ y, as bool. The operand is a tensor of the same dtype, broadcast, or a number.
    ///
    /// # Errors
    /// Shapes that do not broadcast, different dtypes or devices.
    pub fn ge<'a>(&self, other: impl Into<Operand<'a>>) -> Result<Tensor> {
        self.reversed("ge", Binary::Le, other.into())
    }

    fn reversed(&self, name: &'static str, op: Binary, other: Operand<'_>) -> Result<Tensor> {
        match other {
            Operand::Tensor(other) => other.binary(name, op, self, Some(DType::Bool)),
            Operand::Number(c) => {
                Tensor::map(name, Expr::binary(op, Expr::Const(c), Expr::Input(0)), &[self], DType::Bool)
            }
        }
    }

    /// 1 − x for bool: true where this is false.
    ///
    /// # Errors
    /// Another dtype than bool.
    pub fn logical_not(&self) -> Result<Tensor> {
        if self.dtype() != DType::Bool {
            return Err(Error::DType { op: "logical_not", found: self.dtype(), expected: "bool".to_string() });
        }
        Tensor::map("logical_not", Expr::unary(Unary::Not, Expr::Input(0)), &[self], DType::Bool)
    }

    /// x limited to \[low, high\]; NaN stays NaN.
    ///
    /// # Errors
    /// `low` over `high`.
    pub fn clamp(&self, low: f64, high: f64) -> Result<Tensor> {
        if low.is_nan() || high.is_nan() || low > high {
            let reason = format!("the lower bound {low} is not below the upper bound {high}");
            return Err(Error::Invalid { op: "clamp", reason });
        }
        let expr = Expr::binary(Binary::Max, Expr::Input(0), Expr::Const(low));
        Tensor::map("clamp", Expr::binary(Binary::Min, expr, Expr::Const(high)), &[self], self.dtype())
    }

    /// `x` where this bool tensor is true, else `y`; all three are broadcast.
    ///
    /// # Errors
    /// A condition that is not bool, `x` and `y` of different dtypes, shapes that do not broadcast.
    pub fn where_<'a>(&self, x: &Tensor, y: impl Into<Operand<'a>>) -> Result<Tensor> {
        if self.dtype() != DType::Bool {
            return Err(Error::DType { op: "where", found: self.dtype(), expected: "a bool condition".to_string() });
        }
        match y.into() {
            Operand::Number(c) => {
                let expr = Expr::select(Expr::Input(0), Expr::Input(1), Expr::Const(c));
                Tensor::map("where", expr, &[self, x], x.dtype())
            }
            Operand::Tensor(y) => {
                if x.dtype() != y.dtype() {
                    let expected = format!("{}, the other operand's: cast one", y.dtype());
                    return Err(Error::DType { op: "where", found: x.dtype(), expected });
                }
                let expr = Expr::select(Expr::Input(0), Expr::Input(1), Expr::Input(2));
                Tensor::map("where", expr, &[self, x, y], x.dtype())
            }
        }
    }

    /// The elements as another dtype: rounded to nearest; whole numbers are truncated and clamped
    /// to the range (NaN to 0), bool is whether the element is not 0.
    ///
    /// # Errors
    /// None that a valid tensor can have.
    pub fn cast(&self, dtype: DType) -> Result<Tensor> {
        if dtype == self.dtype() {
            return Ok(self.clone());
        }
        let out = Tensor::map("cast", Expr::Round(dtype, Box::new(Expr::Input(0))), &[self], dtype)?;
        if let (false, Some(range)) = (dtype.is_float(), self.node().range.get()) {
            let _ = out.node().range.set(*range);
        }
        Ok(out)
    }
}

macro_rules! operators {
    ($($trait:ident, $method:ident, $call:ident);*) => {$(
        impl<'a, R: Into<Operand<'a>>> std::ops::$trait<R> for &Tensor {
            /// An error for shapes that do not broadcast, different dtypes or devices.
            type Output = Result<Tensor>;
            fn $method(self, other: R) -> Result<Tensor> {
                self.$call(other)
            }
        }
    )*};
}
operators!(Add, add, add; Sub, sub, sub; Mul, mul, mul; Div, div, div);
