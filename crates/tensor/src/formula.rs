//! Expressions of tensors as text: `relu(linear(x, w, b))`, for `smith plan` and for tests.
//!
//! Names are tensors, numbers are numbers, functions are the methods of [`Tensor`] of the same
//! name with the tensor first; axes follow as whole numbers.

use crate::error::{Error, Result};
use crate::tensor::Tensor;
use std::collections::BTreeMap;

/// Nesting that is read at most.
const MAX_DEPTH: usize = 100;

/// An argument: a tensor or a number.
enum Value {
    Tensor(Tensor),
    Number(f64),
}

/// Builds the tensor that `text` describes from named ones.
///
/// # Errors
/// Text that does not parse (with the place), a name or function that does not exist, and what the
/// methods themselves fail with.
pub fn parse(text: &str, names: &BTreeMap<String, Tensor>) -> Result<Tensor> {
    let mut parser = Parser { text, at: 0, names };
    let value = parser.value(0)?;
    parser.space();
    if parser.at != text.len() {
        return Err(parser.fail("the end"));
    }
    match value {
        Value::Tensor(t) => Ok(t),
        Value::Number(_) => Err(parser.fail("a tensor, not a number alone")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    names: &'a BTreeMap<String, Tensor>,
}

impl Parser<'_> {
    fn fail(&self, expected: &str) -> Error {
        Error::Invalid { op: "formula", reason: format!("`{}` at byte {}: expected {expected}", self.text, self.at) }
    }

    fn space(&mut self) {
        self.at = self.text.len() - self.text[self.at..].trim_start().len();
    }

    fn takes(&mut self, c: char) -> bool {
        self.space();
        let found = self.text[self.at..].starts_with(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn value(&mut self, depth: usize) -> Result<Value> {
        if depth > MAX_DEPTH {
            return Err(self.fail("fewer levels"));
        }
        self.space();
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| "(), ".contains(c)).unwrap_or(rest.len());
        let (start, word) = (self.at, &rest[..end]);
        if word.is_empty() {
            return Err(self.fail("a name, a number or a function"));
        }
        self.at += end;
        if !self.takes('(') {
            if let Ok(number) = word.parse() {
                return Ok(Value::Number(number));
            }
            if let Some(tensor) = self.names.get(word) {
                return Ok(Value::Tensor(tensor.clone()));
            }
            self.at = start;
            let known: Vec<&str> = self.names.keys().map(String::as_str).collect();
            return Err(self.fail(&format!("a number or one of the tensors {}", known.join(", "))));
        }
        let mut args = Vec::new();
        if !self.takes(')') {
            loop {
                args.push(self.value(depth + 1)?);
                if self.takes(')') {
                    break;
                }
                if !self.takes(',') {
                    return Err(self.fail("`,` or `)`"));
                }
            }
        }
        let tensor = apply(word, &args)?;
        tensor.map(Value::Tensor).ok_or_else(|| {
            self.at = start;
            self.fail("a method of Tensor with arguments that fit it")
        })
    }
}

/// The function by name; `None` where there is no such one, or the arguments are not its own.
fn apply(name: &str, args: &[Value]) -> Result<Option<Tensor>> {
    let (Some(Value::Tensor(x)), rest) = (args.first(), args.get(1..).unwrap_or_default()) else { return Ok(None) };
    let tensors: Vec<&Tensor> =
        rest.iter().filter_map(|v| if let Value::Tensor(t) = v { Some(t) } else { None }).collect();
    let numbers: Vec<f64> =
        rest.iter().filter_map(|v| if let Value::Number(n) = v { Some(*n) } else { None }).collect();
    let axes: Vec<isize> = numbers.iter().map(|n| *n as isize).collect();
    let axis = axes.first().copied().unwrap_or(-1);
    macro_rules! binary {
        ($method:ident) => {
            match rest {
                [Value::Tensor(y)] => x.$method(y)?,
                [Value::Number(c)] => x.$method(*c)?,
                _ => return Ok(None),
            }
        };
    }
    Ok(Some(match (name, tensors.as_slice()) {
        ("add", _) => binary!(add),
        ("sub", _) => binary!(sub),
        ("mul", _) => binary!(mul),
        ("div", _) => binary!(div),
        ("maximum", _) => binary!(maximum),
        ("minimum", _) => binary!(minimum),
        ("pow", _) => binary!(pow),
        ("matmul", [y]) => x.matmul(y)?,
        ("linear", [w]) => x.linear(w, None)?,
        ("linear", [w, b]) => x.linear(w, Some(b))?,
        ("cross_entropy", [labels]) => x.cross_entropy(labels)?,
        ("layer_norm", []) => x.layer_norm(None, None, 1e-5)?,
        ("layer_norm", [w, b]) => x.layer_norm(Some(w), Some(b), 1e-5)?,
        ("rms_norm", []) => x.rms_norm(None, 1e-6)?,
        ("rms_norm", [w]) => x.rms_norm(Some(w), 1e-6)?,
        ("embedding", [index]) => x.embedding(index)?,
        ("concat", more) => {
            let all: Vec<&Tensor> = std::iter::once(x).chain(more.iter().copied()).collect();
            Tensor::concat(&all, axis)?
        }
        ("t", []) => x.t()?,
        ("transpose", []) if axes.len() == 2 => x.transpose(axes[0], axes[1])?,
        ("reshape", []) => x.reshape(&axes.iter().map(|a| a.unsigned_abs()).collect::<Vec<_>>())?,
        ("slice", []) if axes.len() == 3 => x.slice(axes[0], axes[1].unsigned_abs()..axes[2].unsigned_abs())?,
        ("sum", []) => x.sum(&axes)?,
        ("mean", []) => x.mean(&axes)?,
        ("max", []) => x.max(&axes)?,
        ("min", []) => x.min(&axes)?,
        ("var", []) => x.var(&axes, 0)?,
        ("argmax", []) => x.argmax(axis)?,
        ("softmax", []) => x.softmax(axis)?,
        ("log_softmax", []) => x.log_softmax(axis)?,
        ("relu", []) => x.relu()?,
        ("gelu", []) => x.gelu()?,
        ("gelu_tanh", []) => x.gelu_tanh()?,
        ("silu", []) => x.silu()?,
        ("sigmoid", []) => x.sigmoid()?,
        ("tanh", []) => x.tanh()?,
        ("exp", []) => x.exp()?,
        ("log", []) => x.log()?,
        ("sqrt", []) => x.sqrt()?,
        ("rsqrt", []) => x.rsqrt()?,
        ("sin", []) => x.sin()?,
        ("cos", []) => x.cos()?,
        ("abs", []) => x.abs()?,
        ("neg", []) => x.neg()?,
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, Device};

    #[test]
    fn text_builds_what_methods_build() {
        let device = Device::open("cpu").unwrap();
        let named = |name: &str, shape: &[usize], seed| {
            (name.to_string(), Tensor::rand(shape, DType::F32, seed, &device).unwrap())
        };
        let names = BTreeMap::from([named("x", &[3, 4], 1), named("w", &[5, 4], 2), named("b", &[5], 3)]);
        let got = parse("relu( linear(x, w, b) )", &names).unwrap();
        let want = names["x"].linear(&names["w"], Some(&names["b"])).unwrap().relu().unwrap();
        assert_eq!(got.to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap());
        assert_eq!(parse("sum(mul(x, 2), 0)", &names).unwrap().shape(), [4]);
        for (text, needle) in [
            ("", "a name"),
            ("relu(y)", "one of the tensors b, w, x"),
            ("relu(x", "`,` or `)`"),
            ("frobnicate(x)", "a method of Tensor"),
            ("x x", "the end"),
            ("matmul(x, w)", "[3, 4]"),
            ("3", "not a number alone"),
        ] {
            let error = parse(text, &names).unwrap_err().to_string();
            assert!(error.contains(needle), "{text}: {error}");
        }
    }
}
