//! Expressions as source text: CUDA C++, and with other leaves WGSL.

use kernelsmith_core::expr::{Binary, Expr, Stream};

/// How a leaf of an expression is written.
pub trait Leaves {
    fn input(&mut self, i: usize) -> String;
    fn constant(&mut self, c: f64) -> String;
    fn index(&mut self, d: usize) -> String;
    fn seed(&mut self, seed: u64) -> String;
    /// A random number of a distribution, from the texts of its seed and counter.
    fn random(&self, distribution: &str, seed: &str, counter: &str) -> String {
        format!("Acc(ks_{distribution}({seed}, (unsigned long long)({counter})))")
    }
}

/// `expr` as source text; the op's result is `v`.
pub fn expression(expr: &Expr, leaves: &mut impl Leaves) -> String {
    match expr {
        Expr::Value => "v".to_string(),
        Expr::Input(i) => leaves.input(*i),
        Expr::Const(c) => leaves.constant(*c),
        Expr::Index(d) => leaves.index(*d),
        Expr::Unary(op, x) => format!("ks_{}({})", op.name(), expression(x, leaves)),
        Expr::Binary(op, x, y) => {
            let (x, y) = (expression(x, leaves), expression(y, leaves));
            match op {
                Binary::Add => format!("({x} + {y})"),
                Binary::Sub => format!("({x} - {y})"),
                Binary::Mul => format!("({x} * {y})"),
                Binary::Div => format!("({x} / {y})"),
                _ => format!("ks_{}({x}, {y})", op.name()),
            }
        }
        Expr::Select(c, x, y) => {
            let (c, x, y) = (expression(c, leaves), expression(x, leaves), expression(y, leaves));
            format!("ks_select({c}, {x}, {y})")
        }
        Expr::Round(dtype, x) => format!("ks_round_{dtype}({})", expression(x, leaves)),
        Expr::Random(Stream { distribution, seed }, x) => {
            let (seed, x) = (leaves.seed(*seed), expression(x, leaves));
            leaves.random(distribution.name(), &seed, &x)
        }
    }
}
