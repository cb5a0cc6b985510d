//! Derivatives of expressions, as expressions.

use kernelsmith_core::expr::{Binary, Expr, Unary};

/// 0 times anything and 1 times anything need no multiplication.
pub(super) fn mul(x: Expr, y: Expr) -> Expr {
    match (&x, &y) {
        (Expr::Const(c), _) if *c == 0.0 => Expr::Const(0.0),
        (_, Expr::Const(c)) if *c == 0.0 => Expr::Const(0.0),
        (Expr::Const(c), _) if *c == 1.0 => y,
        (_, Expr::Const(c)) if *c == 1.0 => x,
        (Expr::Const(a), Expr::Const(b)) => Expr::Const(a * b),
        _ => Expr::binary(Binary::Mul, x, y),
    }
}

fn add(x: Expr, y: Expr) -> Expr {
    match (&x, &y) {
        (Expr::Const(c), _) if *c == 0.0 => y,
        (_, Expr::Const(c)) if *c == 0.0 => x,
        _ => Expr::binary(Binary::Add, x, y),
    }
}

fn sub(x: Expr, y: Expr) -> Expr {
    match (&x, &y) {
        (_, Expr::Const(c)) if *c == 0.0 => x,
        (Expr::Const(c), _) if *c == 0.0 => mul(Expr::Const(-1.0), y),
        _ => Expr::binary(Binary::Sub, x, y),
    }
}

pub(super) fn is_zero(x: &Expr) -> bool {
    matches!(x, Expr::Const(c) if *c == 0.0)
}

fn constant(x: f64) -> Expr {
    Expr::Const(x)
}

/// ∂`expr`/∂ input `i`. `y` stands for `expr` itself, which is there already.
pub(super) fn derivative(expr: &Expr, i: usize, y: &Expr) -> Expr {
    let inner = |e: &Expr| derivative(e, i, e);
    match expr {
        Expr::Input(j) if *j == i => constant(1.0),
        Expr::Input(_) | Expr::Value | Expr::Const(_) | Expr::Index(_) | Expr::Random(..) => constant(0.0),
        // Rounding to a floating-point dtype is the identity but for its error; what is rounded to
        // a whole number is constant almost everywhere, and the caller refuses whole numbers.
        Expr::Round(_, x) => inner(x),
        Expr::Select(c, a, b) => {
            let (a, b) = (inner(a), inner(b));
            if is_zero(&a) && is_zero(&b) { constant(0.0) } else { Expr::select((**c).clone(), a, b) }
        }
        Expr::Unary(op, x) => {
            let dx = inner(x);
            if is_zero(&dx) { dx } else { mul(dx, slope(*op, x, y)) }
        }
        Expr::Binary(op, a, b) => {
            let (da, db) = (inner(a), inner(b));
            if is_zero(&da) && is_zero(&db) {
                return constant(0.0);
            }
            let (a, b) = ((**a).clone(), (**b).clone());
            match op {
                Binary::Add => add(da, db),
                Binary::Sub => sub(da, db),
                Binary::Mul => add(mul(da, b), mul(a, db)),
                Binary::Div => Expr::binary(Binary::Div, sub(da, mul(y.clone(), db)), b),
                Binary::Pow => {
                    let lower = match &b {
                        Expr::Const(c) => constant(c - 1.0),
                        b => sub(b.clone(), constant(1.0)),
                    };
                    let base = mul(da, mul(b, Expr::binary(Binary::Pow, a.clone(), lower)));
                    let exponent = mul(db, mul(y.clone(), Expr::unary(Unary::Log, a)));
                    add(base, exponent)
                }
                Binary::Max | Binary::Min => {
                    // Ties share the gradient.
                    let half = mul(constant(0.5), add(da.clone(), db.clone()));
                    let tie = Expr::select(Expr::binary(Binary::Eq, a.clone(), b.clone()), half, db);
                    let first = if *op == Binary::Max { (b, a) } else { (a, b) };
                    Expr::select(Expr::binary(Binary::Lt, first.0, first.1), da, tie)
                }
                Binary::Lt | Binary::Le | Binary::Eq | Binary::Ne => constant(0.0),
            }
        }
    }
}

/// The derivative of a function at `x`, where its value is `y`.
fn slope(op: Unary, x: &Expr, y: &Expr) -> Expr {
    let (x, y) = (x.clone(), y.clone());
    let square = |e: Expr| mul(e.clone(), e);
    match op {
        Unary::Neg => constant(-1.0),
        Unary::Abs => {
            let negative = Expr::binary(Binary::Lt, x.clone(), constant(0.0));
            let positive = Expr::binary(Binary::Lt, constant(0.0), x);
            sub(positive, negative)
        }
        Unary::Relu => Expr::binary(Binary::Lt, constant(0.0), y),
        Unary::Gelu => {
            // Φ(x) + x·φ(x)
            let erf = Expr::unary(Unary::Erf, mul(constant(std::f64::consts::FRAC_1_SQRT_2), x.clone()));
            let cdf = add(constant(0.5), mul(constant(0.5), erf));
            let density = Expr::unary(Unary::Exp, mul(constant(-0.5), square(x.clone())));
            let scale = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2 * 0.5;
            add(cdf, mul(x, mul(constant(scale), density)))
        }
        Unary::GeluTanh => {
            // s + x·s·(1 − s)·2c·(1 + 3·0.044715·x²) with s = sigmoid(2c(x + 0.044715·x³)), c = √(2/π)
            let c = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
            let cube = mul(constant(0.044715), mul(x.clone(), square(x.clone())));
            let s = Expr::unary(Unary::Sigmoid, mul(constant(2.0 * c), add(x.clone(), cube)));
            let rate = mul(constant(2.0 * c), add(constant(1.0), mul(constant(3.0 * 0.044715), square(x.clone()))));
            let rise = mul(s.clone(), sub(constant(1.0), s.clone()));
            add(s, mul(x, mul(rise, rate)))
        }
        Unary::Silu => {
            let s = Expr::unary(Unary::Sigmoid, x.clone());
            mul(s.clone(), add(constant(1.0), mul(x, sub(constant(1.0), s))))
        }
        Unary::Sigmoid => mul(y.clone(), sub(constant(1.0), y)),
        Unary::Tanh => sub(constant(1.0), square(y)),
        Unary::Exp => y,
        Unary::Log => Expr::unary(Unary::Recip, x),
        Unary::Sqrt => mul(constant(0.5), Expr::unary(Unary::Recip, y)),
        Unary::Rsqrt => mul(constant(-0.5), mul(y.clone(), square(y))),
        Unary::Recip => mul(constant(-1.0), square(y)),
        Unary::Sin => Expr::unary(Unary::Cos, x),
        Unary::Cos => mul(constant(-1.0), Expr::unary(Unary::Sin, x)),
        Unary::Erf => {
            let density = Expr::unary(Unary::Exp, mul(constant(-1.0), square(x)));
            mul(constant(std::f64::consts::FRAC_2_SQRT_PI), density)
        }
        Unary::Not => constant(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_agree_with_central_differences() {
        let unary: Vec<&str> = vec![
            "neg",
            "abs",
            "relu",
            "gelu",
            "gelu_tanh",
            "silu",
            "sigmoid",
            "tanh",
            "exp",
            "log",
            "sqrt",
            "recip",
            "rsqrt",
            "sin",
            "cos",
            "erf",
        ];
        let mut texts: Vec<String> = unary.iter().map(|f| format!("{f}(add(mul(x0,x0),mul(0.3,x1)))")).collect();
        for f in ["add", "sub", "mul", "div", "max", "min", "pow"] {
            texts.push(format!("{f}(x0,x1)"));
            texts.push(format!("mul(x1,{f}(x1,exp(x0)))"));
        }
        texts.push("select(lt(x0,x1),mul(x0,x0),sin(x1))".to_string());
        texts.push("pow(x0,2.5)".to_string());
        let at = [0.7, 1.3];
        for text in texts {
            let expr: Expr = text.parse().unwrap();
            let value = |x: [f64; 2]| expr.eval(0.0, &|i| x[i]);
            for i in 0..2 {
                let h = 1e-6;
                let (mut up, mut down) = (at, at);
                up[i] += h;
                down[i] -= h;
                let want = (value(up) - value(down)) / (2.0 * h);
                // Input 2 is the value itself.
                let d = derivative(&expr, i, &Expr::Input(2));
                let got = d.eval(0.0, &|j| if j == 2 { value(at) } else { at[j] });
                assert!((got - want).abs() < 1e-6 * want.abs().max(1.0), "d {text} / d x{i}: {got} {want}");
            }
        }
    }
}
