//! The text form of expressions: `gelu(add(x0,mul(x1,0.5)))`.
//!
//! `v` is the op's result, `x2` the third input, `i0` the index along dimension 0, numbers are
//! constants, a dtype's name rounds to it, `uniform(seed,counter)` and `normal(seed,counter)` are
//! random numbers, `select(c,a,b)` picks. The rest are the functions in [`UNARY`] and [`BINARY`].

use crate::DType;
use crate::expr::{Binary, Expr, Stream, Unary};
use crate::random::Distribution;
use std::fmt;
use std::str::FromStr;

pub const UNARY: [(&str, Unary); 17] = [
    ("neg", Unary::Neg),
    ("abs", Unary::Abs),
    ("relu", Unary::Relu),
    ("gelu", Unary::Gelu),
    ("gelu_tanh", Unary::GeluTanh),
    ("silu", Unary::Silu),
    ("sigmoid", Unary::Sigmoid),
    ("tanh", Unary::Tanh),
    ("exp", Unary::Exp),
    ("log", Unary::Log),
    ("sqrt", Unary::Sqrt),
    ("recip", Unary::Recip),
    ("rsqrt", Unary::Rsqrt),
    ("sin", Unary::Sin),
    ("cos", Unary::Cos),
    ("erf", Unary::Erf),
    ("not", Unary::Not),
];

pub const BINARY: [(&str, Binary); 11] = [
    ("add", Binary::Add),
    ("sub", Binary::Sub),
    ("mul", Binary::Mul),
    ("div", Binary::Div),
    ("max", Binary::Max),
    ("min", Binary::Min),
    ("pow", Binary::Pow),
    ("lt", Binary::Lt),
    ("le", Binary::Le),
    ("eq", Binary::Eq),
    ("ne", Binary::Ne),
];

impl Unary {
    /// Its name in text forms and, after `ks_`, in kernels.
    pub fn name(self) -> &'static str {
        UNARY.iter().find(|(_, op)| *op == self).map_or("?", |(name, _)| name)
    }
}

impl Binary {
    /// Its name in text forms and, after `ks_`, in kernels.
    pub fn name(self) -> &'static str {
        BINARY.iter().find(|(_, op)| *op == self).map_or("?", |(name, _)| name)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Value => f.write_str("v"),
            Expr::Input(i) => write!(f, "x{i}"),
            Expr::Index(d) => write!(f, "i{d}"),
            Expr::Const(c) if c.is_nan() => f.write_str("nan"),
            Expr::Const(c) => write!(f, "{c:?}"),
            Expr::Unary(op, x) => write!(f, "{}({x})", op.name()),
            Expr::Binary(op, x, y) => write!(f, "{}({x},{y})", op.name()),
            Expr::Select(c, x, y) => write!(f, "select({c},{x},{y})"),
            Expr::Round(dtype, x) => write!(f, "{dtype}({x})"),
            Expr::Random(s, x) => write!(f, "{}({},{x})", s.distribution.name(), s.seed),
        }
    }
}

/// A text that is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expression `{text}`: at byte {at}, expected {expected}")]
pub struct ExprError {
    pub text: String,
    pub at: usize,
    pub expected: String,
}

/// Nesting that is read at most: deeper text is refused, not a stack overflow.
const MAX_DEPTH: usize = 200;

impl FromStr for Expr {
    type Err = ExprError;
    fn from_str(text: &str) -> Result<Self, ExprError> {
        let mut parser = Parser { text, at: 0 };
        let expr = parser.expr(0)?;
        if parser.at != text.len() {
            return Err(parser.fail("the end"));
        }
        Ok(expr)
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn fail(&self, expected: &str) -> ExprError {
        ExprError { text: self.text.to_string(), at: self.at, expected: expected.to_string() }
    }

    /// The characters up to the next of `(`, `)`, `,` or the end.
    fn word(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest.find(['(', ')', ',']).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn take(&mut self, c: char) -> Result<(), ExprError> {
        if !self.text[self.at..].starts_with(c) {
            return Err(self.fail(&format!("`{c}`")));
        }
        self.at += c.len_utf8();
        Ok(())
    }

    fn expr(&mut self, depth: usize) -> Result<Expr, ExprError> {
        if depth > MAX_DEPTH {
            return Err(self.fail(&format!("at most {MAX_DEPTH} levels")));
        }
        let start = self.at;
        let word = self.word();
        if !self.text[self.at..].starts_with('(') {
            self.at = start;
            let leaf = leaf(word).ok_or_else(|| self.fail("v, x0…, i0…, a number or a function"))?;
            self.at = start + word.len();
            return Ok(leaf);
        }
        self.take('(')?;
        let next = |p: &mut Self| p.expr(depth + 1);
        let expr = if let Some((_, op)) = UNARY.iter().find(|(name, _)| *name == word) {
            Expr::unary(*op, next(self)?)
        } else if let Some((_, op)) = BINARY.iter().find(|(name, _)| *name == word) {
            let x = next(self)?;
            self.take(',')?;
            Expr::binary(*op, x, next(self)?)
        } else if word == "select" {
            let c = next(self)?;
            self.take(',')?;
            let x = next(self)?;
            self.take(',')?;
            Expr::select(c, x, next(self)?)
        } else if let Some(distribution) = Distribution::ALL.into_iter().find(|d| d.name() == word) {
            let seed = self.word().parse().map_err(|_| self.fail("a seed, a whole number"))?;
            self.take(',')?;
            Expr::Random(Stream { distribution, seed }, Box::new(next(self)?))
        } else if let Ok(dtype) = word.parse::<DType>() {
            Expr::Round(dtype, Box::new(next(self)?))
        } else {
            self.at = start;
            let names: Vec<&str> = UNARY.iter().map(|(n, _)| *n).chain(BINARY.iter().map(|(n, _)| *n)).collect();
            return Err(self.fail(&format!("one of {}, select, uniform, normal or a dtype", names.join(", "))));
        };
        self.take(')')?;
        Ok(expr)
    }
}

fn leaf(word: &str) -> Option<Expr> {
    let numbered = |prefix: char| {
        let digits = word.strip_prefix(prefix).filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))?;
        digits.parse::<usize>().ok()
    };
    if word == "v" {
        return Some(Expr::Value);
    }
    if let Some(i) = numbered('x') {
        return Some(Expr::Input(i));
    }
    if let Some(d) = numbered('i') {
        return Some(Expr::Index(d));
    }
    word.parse().ok().map(Expr::Const)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tables_are_complete_and_read_back() {
        for (name, op) in UNARY {
            let expr = Expr::unary(op, Expr::Input(3));
            assert_eq!(expr.to_string(), format!("{name}(x3)"));
            assert_eq!(expr.to_string().parse(), Ok(expr));
        }
        for (_, op) in BINARY {
            let expr = Expr::binary(op, Expr::Value, Expr::Const(1e-5));
            assert_eq!(expr.to_string().parse(), Ok(expr));
        }
    }

    #[test]
    fn errors_name_the_place() {
        for (text, at, needle) in [
            ("", 0, "v, x0"),
            ("relu(x0", 7, "`)`"),
            ("add(x0)", 6, "`,`"),
            ("frelu(x0)", 0, "one of neg"),
            ("add(x0,y1)", 7, "v, x0"),
            ("x0)", 2, "the end"),
            ("uniform(a,i0)", 9, "a seed"),
        ] {
            let error = text.parse::<Expr>().unwrap_err();
            assert!(error.at == at && error.expected.contains(needle), "{text}: {error}");
        }
        let deep = "neg(".repeat(100_000);
        assert!(deep.parse::<Expr>().unwrap_err().expected.contains("levels"));
    }

    fn any_expr() -> impl Strategy<Value = Expr> {
        let leaf = prop_oneof![
            Just(Expr::Value),
            (0usize..9).prop_map(Expr::Input),
            (0usize..8).prop_map(Expr::Index),
            any::<f64>().prop_filter("NaN is not equal to itself", |x| !x.is_nan()).prop_map(Expr::Const),
        ];
        leaf.prop_recursive(6, 64, 3, |inner| {
            prop_oneof![
                (prop::sample::select(&UNARY[..]), inner.clone()).prop_map(|((_, op), x)| Expr::unary(op, x)),
                (prop::sample::select(&BINARY[..]), inner.clone(), inner.clone())
                    .prop_map(|((_, op), x, y)| Expr::binary(op, x, y)),
                (inner.clone(), inner.clone(), inner.clone()).prop_map(|(c, x, y)| Expr::select(c, x, y)),
                (prop::sample::select(&DType::ALL[..]), inner.clone()).prop_map(|(d, x)| Expr::Round(d, Box::new(x))),
                (any::<u64>(), inner).prop_map(|(seed, x)| {
                    Expr::Random(Stream { distribution: Distribution::Normal, seed }, Box::new(x))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_expression_reads_back(expr in any_expr()) {
            prop_assert_eq!(expr.to_string().parse::<Expr>(), Ok(expr));
        }

        #[test]
        fn any_text_is_an_expression_or_an_error(text in "[a-z0-9(),.x-]{0,40}") {
            let _ = text.parse::<Expr>();
        }
    }
}
