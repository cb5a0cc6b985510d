//! Specs: lists of problems to tune, with a time budget.

use crate::work::Work;
use kernelsmith_kernels::embedded;
use std::path::Path;
use toml::{Table, Value};

/// A spec that was read and expanded.
#[derive(Clone, Debug)]
pub struct Spec {
    pub name: String,
    /// Seconds for the whole run.
    pub budget_s: f64,
    pub work: Vec<Work>,
}

#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    #[error("{file}: {source}")]
    Io { file: String, source: std::io::Error },
    #[error("{file}:{line}: {reason}")]
    Malformed { file: String, line: usize, reason: String },
}

/// Problems one spec may expand to.
const MAX_PROBLEMS: usize = 10_000;

impl Spec {
    /// Reads a file, or a built-in spec where `path` names one (`starter`, `specs/seeds.toml`).
    pub fn load(path: &str) -> Result<Spec, SpecError> {
        if Path::new(path).is_file() {
            let text =
                std::fs::read_to_string(path).map_err(|source| SpecError::Io { file: path.to_string(), source })?;
            return Spec::parse(path, &text);
        }
        let name = path.strip_prefix("specs/").unwrap_or(path);
        let name = name.strip_suffix(".toml").unwrap_or(name);
        let found = embedded::SPECS.iter().find(|(n, _)| n.strip_suffix(".toml") == Some(name));
        match found {
            Some((n, text)) => Spec::parse(&format!("specs/{n}"), text),
            None => {
                let known: Vec<&str> = embedded::SPECS.iter().map(|(n, _)| *n).collect();
                let reason = format!("no such file, and no built-in spec of that name ({})", known.join(", "));
                Err(SpecError::Io {
                    file: path.to_string(),
                    source: std::io::Error::new(std::io::ErrorKind::NotFound, reason),
                })
            }
        }
    }

    /// A spec of one piece of work.
    pub fn single(work: Work, budget_s: f64) -> Spec {
        Spec { name: "single".to_string(), budget_s, work: vec![work] }
    }

    /// Reads a spec's text. `file` is used in errors.
    pub fn parse(file: &str, text: &str) -> Result<Spec, SpecError> {
        let line_of = |needle: &str| text.find(needle).map_or(1, |at| 1 + text[..at].matches('\n').count());
        let fail = |line: usize, reason: String| SpecError::Malformed { file: file.to_string(), line, reason };
        let table: Table = text.parse().map_err(|e: toml::de::Error| {
            let at = e.span().map_or(0, |s| s.start.min(text.len()));
            fail(1 + text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count(), e.message().to_string())
        })?;
        if let Some(key) = table.keys().find(|k| !["name", "budget_s", "problems"].contains(&k.as_str())) {
            return Err(fail(line_of(key), format!("unknown key `{key}`, expected name, budget_s, [[problems]]")));
        }
        let name = table.get("name").and_then(Value::as_str).ok_or_else(|| fail(1, "`name` is missing".to_string()))?;
        let budget = table.get("budget_s").map(|v| v.as_float().or(v.as_integer().map(|i| i as f64)));
        let budget_s = match budget {
            None => 120.0,
            Some(Some(b)) if b > 0.0 && b.is_finite() => b,
            _ => return Err(fail(line_of("budget_s"), "`budget_s` must be a number of seconds above 0".to_string())),
        };
        let entries = table.get("problems").and_then(Value::as_array);
        let entries = entries.ok_or_else(|| fail(1, "there are no [[problems]]".to_string()))?;
        let mut work: Vec<Work> = Vec::new();
        for entry in entries {
            let entry =
                entry.as_table().ok_or_else(|| fail(1, "`problems` must be written [[problems]]".to_string()))?;
            let template = entry.get("problem").and_then(Value::as_str);
            let template = template
                .ok_or_else(|| fail(line_of("[[problems]]"), "an entry needs `problem = \"…\"`".to_string()))?;
            let line = line_of(template);
            let op = match entry.get("op") {
                None => "gemm",
                Some(v) => v.as_str().ok_or_else(|| fail(line, "`op` must be a string".to_string()))?,
            };
            for text in expand(entry, template).map_err(|reason| fail(line, reason))? {
                let one = Work::parse(op, &text).map_err(|e| fail(line, e.to_string()))?;
                if !work.contains(&one) {
                    work.push(one);
                }
                if work.len() > MAX_PROBLEMS {
                    return Err(fail(line, format!("more than {MAX_PROBLEMS} problems")));
                }
            }
        }
        if work.is_empty() {
            return Err(fail(1, "there are no problems".to_string()));
        }
        Ok(Spec { name: name.to_string(), budget_s, work })
    }
}

/// Replaces `{key}` in the template by every value of the entry's lists: the product of them all.
fn expand(entry: &Table, template: &str) -> Result<Vec<String>, String> {
    let mut out = vec![template.to_string()];
    for (key, value) in entry.iter().filter(|(k, _)| !["op", "problem"].contains(&k.as_str())) {
        let place = format!("{{{key}}}");
        if !template.contains(&place) {
            return Err(format!("`{key}` is not used in the problem: write {place}"));
        }
        let values = value.as_array().ok_or_else(|| format!("`{key}` must be a list"))?;
        let texts: Vec<String> = values
            .iter()
            .map(|v| match v {
                Value::String(s) => Ok(s.clone()),
                Value::Integer(i) => Ok(i.to_string()),
                Value::Float(f) => Ok(f.to_string()),
                other => Err(format!("`{key}` holds {other}, expected numbers or strings")),
            })
            .collect::<Result<_, _>>()?;
        out = out.iter().flat_map(|t| texts.iter().map(|v| t.replace(&place, v))).collect();
        if out.len() > MAX_PROBLEMS {
            return Err(format!("more than {MAX_PROBLEMS} problems"));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "name = \"t\"\nbudget_s = 10\n[[problems]]\nproblem = \"m={n},n={n},k={n},dtype={dtype},layout={layout}\"\nn = [4, 8]\ndtype = [\"f32\", \"f16\"]\nlayout = [\"nn\", \"nt\", \"tn\", \"tt\"]\n[[problems]]\nproblem = \"m=1,n=2,k=3,dtype=f32 > m=1,n=4,k=2,dtype=f32\"\n";

    #[test]
    fn lists_expand_to_their_product() {
        let spec = Spec::parse("t.toml", TEXT).unwrap();
        assert_eq!((spec.work.len(), spec.budget_s), (17, 10.0));
        assert!(spec.work[16].is_chain());
    }

    #[test]
    fn errors_name_file_and_line() {
        for (from, to, needle) in [
            ("n = [4, 8]", "n = [4, 0]", "t.toml:4: m=0"),
            ("\"f16\"", "\"f17\"", "t.toml:4: dtype=f17"),
            ("n = [4, 8]", "q = [4, 8]", "t.toml:4: `q` is not used"),
            ("budget_s = 10", "budget_s = -1", "t.toml:2"),
            ("name = \"t\"", "name = ", "t.toml:1"),
            ("name", "nome", "unknown key `nome`"),
            ("[[problems]]\nproblem = \"m={n}", "[[problems]]\nop = \"conv\"\nproblem = \"m={n}", "unknown op `conv`"),
        ] {
            let error = Spec::parse("t.toml", &TEXT.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(needle), "{to}: {error}");
        }
        assert!(Spec::load("nowhere").unwrap_err().to_string().contains("starter.toml"));
    }

    #[test]
    fn every_built_in_spec_is_valid() {
        for (name, text) in embedded::SPECS {
            let spec = Spec::parse(name, text).unwrap();
            assert_eq!(format!("{}.toml", spec.name), *name);
        }
    }

    proptest! {
        #[test]
        fn a_damaged_spec_never_panics(at in 0usize..TEXT.len(), byte in 32u8..127) {
            let mut bytes = TEXT.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = Spec::parse("x", &String::from_utf8(bytes).unwrap());
            let _ = Spec::parse("x", &TEXT[..at]);
        }
    }
}
