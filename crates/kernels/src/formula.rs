//! The manifest's expressions: Common Expression Language, parsed once.

use cel::{Context, Program, Value};
use kernelsmith_core::Var;
use std::collections::HashMap;
use std::fmt;

/// A parsed expression.
pub struct Formula {
    source: String,
    program: Program,
}

/// An expression that does not parse or does not evaluate to what its place needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expression `{source_text}`: {reason}")]
pub struct FormulaError {
    pub source_text: String,
    pub reason: String,
}

/// Longest expression accepted, in bytes: the parser recurses.
const MAX_LENGTH: usize = 1000;
/// Deepest nesting accepted.
const MAX_DEPTH: usize = 32;

impl Formula {
    pub fn parse(source: &str) -> Result<Self, FormulaError> {
        let fail = |reason: String| FormulaError { source_text: source.to_string(), reason };
        if source.len() > MAX_LENGTH {
            return Err(fail(format!("longer than {MAX_LENGTH} bytes")));
        }
        let depth = source.chars().scan(0usize, |d, c| {
            match c {
                '(' | '[' | '{' | '!' | '-' => *d += 1,
                ')' | ']' | '}' => *d = d.saturating_sub(1),
                _ => {}
            }
            Some(*d)
        });
        if depth.max().unwrap_or(0) > MAX_DEPTH {
            return Err(fail(format!("nested more than {MAX_DEPTH} deep")));
        }
        let program = Program::compile(source).map_err(|e| fail(e.to_string().replace('\n', " ")))?;
        Ok(Formula { source: source.to_string(), program })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// Names of the variables it reads.
    pub fn variables(&self) -> Vec<String> {
        let references = self.program.references();
        references.variables().iter().map(|v| v.to_string()).collect()
    }

    fn fail(&self, reason: impl fmt::Display) -> FormulaError {
        FormulaError { source_text: self.source.clone(), reason: reason.to_string() }
    }

    fn eval(&self, scope: &Scope) -> Result<Value, FormulaError> {
        self.program.execute(&scope.context).map_err(|e| self.fail(e))
    }

    /// Evaluates to a truth value.
    pub fn bool(&self, scope: &Scope) -> Result<bool, FormulaError> {
        match self.eval(scope)? {
            Value::Bool(b) => Ok(b),
            other => Err(self.fail(format!("expected true or false, found {other:?}"))),
        }
    }

    /// Evaluates to a whole number.
    pub fn int(&self, scope: &Scope) -> Result<i64, FormulaError> {
        match self.eval(scope)? {
            Value::Int(i) => Ok(i),
            Value::UInt(u) => i64::try_from(u).map_err(|_| self.fail("over the range of i64")),
            other => Err(self.fail(format!("expected a whole number, found {other:?}"))),
        }
    }

    /// Evaluates to a number.
    pub fn float(&self, scope: &Scope) -> Result<f64, FormulaError> {
        match self.eval(scope)? {
            Value::Float(f) => Ok(f),
            Value::Int(i) => Ok(i as f64),
            other => Err(self.fail(format!("expected a number, found {other:?}"))),
        }
    }
}

impl fmt::Debug for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Formula({})", self.source)
    }
}

/// The names an expression can use.
pub struct Scope {
    context: Context<'static, 'static>,
}

impl Default for Scope {
    fn default() -> Self {
        let mut context = Context::default();
        let defined = [
            context.add_function("min", |a: i64, b: i64| a.min(b)),
            context.add_function("max", |a: i64, b: i64| a.max(b)),
            // Division by zero gives 0 blocks, which every launch refuses.
            context.add_function("cdiv", |a: i64, b: i64| {
                a.checked_sub(1).and_then(|x| x.checked_add(b)).and_then(|x| x.checked_div(b)).unwrap_or(0)
            }),
        ];
        debug_assert!(defined.iter().all(Result::is_ok), "the standard library took one of our names");
        Scope { context }
    }
}

impl Scope {
    pub fn set(&mut self, name: &str, var: &Var) {
        self.context.add_variable_from_value(name, value(var));
    }

    pub fn set_int(&mut self, name: &str, x: i64) {
        self.context.add_variable_from_value(name, Value::Int(x));
    }
}

fn value(var: &Var) -> Value {
    match var {
        Var::Int(i) => Value::Int(*i),
        Var::Float(f) => Value::Float(*f),
        Var::Text(s) => Value::from(s.as_str()),
        Var::List(items) => Value::from(items.iter().map(value).collect::<Vec<Value>>()),
        Var::Map(fields) => {
            let map: HashMap<String, Value> = fields.iter().map(|(k, v)| (k.clone(), value(v))).collect();
            Value::from(map)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scope() -> Scope {
        let mut s = Scope::default();
        s.set_int("k", 67);
        s.set("dtype", &Var::Text("f16".into()));
        s.set("a", &Var::Map(vec![("align".into(), Var::Int(16))]));
        s.set("libraries", &Var::List(vec![Var::Text("openblas".into())]));
        s
    }

    #[test]
    fn evaluates_the_forms_that_manifests_use() {
        let s = scope();
        let b = |t: &str| Formula::parse(t).unwrap().bool(&s).unwrap();
        assert!(b("dtype in ['f16','bf16'] && k % 8 == 3 && a.align >= 16"));
        assert!(b("'openblas' in libraries"));
        let i = |t: &str| Formula::parse(t).unwrap().int(&s).unwrap();
        assert_eq!(
            (i("(k + 63) / 64"), i("cdiv(k, 64)"), i("min(k, 5) * max(1, 2)"), i("k > 3 ? 1 : 2")),
            (2, 2, 10, 1)
        );
        assert_eq!(i("cdiv(k, 0)"), 0);
    }

    #[test]
    fn errors_name_the_expression() {
        let parse = Formula::parse("k +").unwrap_err().to_string();
        assert!(parse.contains("`k +`"), "{parse}");
        let missing = Formula::parse("zebra > 1").unwrap().bool(&scope()).unwrap_err().to_string();
        assert!(missing.contains("zebra"), "{missing}");
        assert!(Formula::parse("k").unwrap().bool(&scope()).is_err());
        assert!(Formula::parse("k / 0").unwrap().int(&scope()).is_err());
        assert!(Formula::parse("9223372036854775807 + k").unwrap().int(&scope()).is_err());
        assert!(Formula::parse(&"(".repeat(500)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_an_error_or_a_formula(text in "[a-z0-9+*/%()<>=&|!?:,.'\\[\\] -]{0,40}") {
            if let Ok(f) = Formula::parse(&text) {
                let _ = f.bool(&scope());
                let _ = f.int(&scope());
            }
        }
    }
}
