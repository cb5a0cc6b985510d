//! The text form that problems share: `key=value,key=value`, commas inside parentheses kept.

use super::{Leaf, ProblemError};
use crate::{DType, Expr, Layout};

/// The fields of one problem's text.
pub struct Fields<'a> {
    text: &'a str,
    fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Fields<'a> {
    /// Splits `text`; `known` says whether a key exists, `expected` lists those that do.
    pub fn parse(text: &'a str, known: impl Fn(&str) -> bool, expected: &str) -> Result<Self, ProblemError> {
        let problem = || text.to_string();
        let mut fields: Vec<(&str, &str)> = Vec::new();
        for part in split(text) {
            let part = part.trim();
            let (key, value) = part
                .split_once('=')
                .map(|(k, v)| (k.trim(), v.trim()))
                .ok_or_else(|| ProblemError::NotKeyValue { problem: problem(), found: part.to_string() })?;
            if !known(key) {
                let (key, expected) = (key.to_string(), expected.to_string());
                return Err(ProblemError::UnknownKey { problem: problem(), key, expected });
            }
            if fields.iter().any(|(k, _)| *k == key) {
                return Err(ProblemError::Twice { problem: problem(), key: key.to_string() });
            }
            fields.push((key, value));
        }
        Ok(Fields { text, fields })
    }

    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.fields.iter().find(|(k, _)| *k == key).map(|(_, v)| *v)
    }

    pub fn required(&self, key: &'static str) -> Result<&'a str, ProblemError> {
        self.get(key).ok_or_else(|| ProblemError::Missing { problem: self.text.to_string(), key })
    }

    pub fn bad(&self, key: &str, found: &str, expected: &str) -> ProblemError {
        ProblemError::Value {
            problem: self.text.to_string(),
            key: key.to_string(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    pub fn invalid(&self, reason: String) -> ProblemError {
        ProblemError::Invalid { problem: self.text.to_string(), reason }
    }

    /// A size from 1 to 2³¹ − 1; `default` where the key is absent.
    pub fn size(&self, key: &'static str, default: Option<usize>) -> Result<usize, ProblemError> {
        let Some(found) = self.get(key) else {
            return default.ok_or_else(|| ProblemError::Missing { problem: self.text.to_string(), key });
        };
        let fits = |x: &usize| (1..=i32::MAX as usize).contains(x);
        found.parse().ok().filter(fits).ok_or_else(|| self.bad(key, found, "a whole number from 1 to 2147483647"))
    }

    /// A whole number of any size.
    pub fn number(&self, key: &'static str) -> Result<usize, ProblemError> {
        let found = self.required(key)?;
        found.parse().map_err(|_| self.bad(key, found, "a whole number"))
    }

    pub fn real(&self, key: &str, default: f64) -> Result<f64, ProblemError> {
        let Some(found) = self.get(key) else { return Ok(default) };
        found.parse().ok().filter(|x: &f64| x.is_finite()).ok_or_else(|| self.bad(key, found, "a finite number"))
    }

    /// Sizes joined by `x`, as in `32x128`; none at all is `1`'s spelling `scalar`.
    pub fn shape(&self, key: &'static str) -> Result<Vec<usize>, ProblemError> {
        let found = self.required(key)?;
        if found == "scalar" {
            return Ok(Vec::new());
        }
        let sizes: Option<Vec<usize>> = found.split('x').map(|s| s.parse().ok()).collect();
        sizes.ok_or_else(|| self.bad(key, found, "sizes joined by x, as in 32x128, or scalar"))
    }

    /// An expression; `default` where the key is absent.
    pub fn expr(&self, key: &str, default: Expr) -> Result<Expr, ProblemError> {
        let Some(found) = self.get(key) else { return Ok(default) };
        found.parse().map_err(|e: crate::ExprError| self.bad(key, found, &format!("{} at byte {}", e.expected, e.at)))
    }

    /// An array over `shape`: `f32`, or `f32@offset:stride:stride` where it is not contiguous.
    pub fn leaf(&self, key: &str, found: &str, shape: &[usize]) -> Result<Leaf, ProblemError> {
        let expected = || {
            let strides = ":stride".repeat(shape.len());
            self.bad(key, found, &format!("a dtype, or dtype@offset{strides} in elements, inside the buffer"))
        };
        let (dtype, place) = found.split_once('@').map_or((found, None), |(d, p)| (d, Some(p)));
        let dtype: DType = dtype.parse().map_err(|_| expected())?;
        let layout = match place {
            None => Layout::contiguous(shape).map_err(|e| self.invalid(format!("operand {key}: {e}")))?,
            Some(place) => {
                let mut parts = place.split(':');
                let offset = parts.next().and_then(|s| s.parse().ok()).ok_or_else(expected)?;
                let strides: Option<Vec<isize>> = parts.map(|s| s.parse().ok()).collect();
                let strides = strides.filter(|s| s.len() == shape.len()).ok_or_else(expected)?;
                Layout::strided(shape, &strides, offset).map_err(|_| expected())?
            }
        };
        Ok(Leaf { dtype, layout })
    }

    /// The inputs `x0`, `x1`, … in order, without a hole.
    pub fn leaves(&self, shape: &[usize]) -> Result<Vec<Leaf>, ProblemError> {
        let mut out = Vec::new();
        while let Some(found) = self.get(&format!("x{}", out.len())) {
            out.push(self.leaf(&format!("x{}", out.len()), found, shape)?);
        }
        let have = self.fields.iter().filter(|(k, _)| is_input(k)).count();
        if have != out.len() {
            return Err(self.invalid(format!("inputs are x0 to x{}, without a hole", have.saturating_sub(1))));
        }
        Ok(out)
    }
}

/// Whether a key is an input's: `x0`, `x1`, ….
pub fn is_input(key: &str) -> bool {
    key.strip_prefix('x').is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
}

/// Splits at commas that are not inside parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut out, mut depth, mut start) = (Vec::new(), 0usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                out.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out
}

/// Sizes as [`Fields::shape`] reads them.
pub fn shape_text(shape: &[usize]) -> String {
    if shape.is_empty() {
        return "scalar".to_string();
    }
    shape.iter().map(|s| s.to_string()).collect::<Vec<_>>().join("x")
}
