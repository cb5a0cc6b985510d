//! Manifests: what a variant's author declares. Every field is read by something; an unknown
//! one is an error.

use crate::formula::Formula;
use crate::render::{Rendered, hex};
use crate::{Config, facts::Target};
use sha2::{Digest, Sha256};
use std::fmt;
use toml::{Table, Value};

/// A variant as declared.
#[derive(Debug)]
pub struct Variant {
    pub op: String,
    pub name: String,
    pub about: String,
    pub target: Target,
    /// File beside the manifest, or for the CPU and for vendor libraries a registered name.
    pub source: String,
    /// Text of the source file; empty where `source` is a registered name.
    pub text: String,
    /// The vendor whose library this variant calls: such a variant is a baseline.
    pub vendor: Option<String>,
    /// What the device must have.
    pub requires: Vec<Formula>,
    /// What the problem must be like.
    pub supports: Vec<Formula>,
    pub deterministic: bool,
    /// Whether a WGSL kernel moves what lies in vectors of 16 bytes by whole ones: such operands are bound as
    /// arrays of four words.
    pub quads: bool,
    /// Parameters with their values, in file order.
    pub params: Vec<(String, Vec<i64>)>,
    /// Named expressions, each may use those before it.
    pub lets: Vec<(String, Formula)>,
    /// What a config must satisfy.
    pub constraints: Vec<Formula>,
    pub default: Config,
    pub launches: Vec<LaunchSpec>,
    /// `let` and the launches as declared, for the source hash; empty without launches.
    geometry: String,
    /// Where it was declared.
    pub origin: Origin,
}

/// One kernel launch of a variant.
#[derive(Debug)]
pub struct LaunchSpec {
    pub entry: String,
    pub grid: [Formula; 3],
    pub block: [Formula; 3],
    pub cluster: Option<[Formula; 3]>,
    pub shared: Formula,
    pub args: Vec<ArgSpec>,
    /// Launched only where this holds.
    pub when: Option<Formula>,
    /// Whether the launch may start before the one ahead of it ends (programmatic dependent launch).
    pub overlap: bool,
}

/// One kernel argument.
#[derive(Debug)]
pub enum ArgSpec {
    /// `Matrix` struct of an operand: pointer and strides.
    Matrix(String),
    /// Pointer to an operand's first element.
    Buffer(String),
    I32(Formula),
    I64(Formula),
    F32(Formula),
    /// A number in the accumulator's type.
    Acc(Formula),
    /// The rendered `Epilogue` struct.
    Epilogue,
    /// The rendered `Arrays` struct: every operand, the space and the expressions' constants.
    Arrays,
    /// Scratch of this many bytes.
    Workspace(Formula),
    /// This many u32 counters, zeroed once; a kernel leaves them zero.
    Counters(Formula),
    /// 1 where no launch that may still be running writes the operand, else 0: what an overlapping launch may
    /// read before it waits for those before it.
    Settled(String),
    TensorMap(TensorMapSpec),
}

/// A TMA descriptor of an operand.
#[derive(Debug)]
pub struct TensorMapSpec {
    pub operand: String,
    /// Box sizes in elements, innermost (contiguous) dimension first.
    pub box_sizes: Vec<Formula>,
    /// Bytes of the swizzle pattern: 0, 32, 64 or 128.
    pub swizzle: u32,
    /// Whether f32 elements are rounded to tf32 on the way to shared memory.
    pub tf32: bool,
    /// Where the operand was packed to: the byte in the workspace and the strides there, in elements.
    pub packed: Option<Vec<Formula>>,
}

/// File and line of a declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub file: String,
    pub line: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A manifest that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("{file}:{line}: {reason}")]
    Syntax { file: String, line: usize, reason: String },
    #[error("{origin}: variant `{variant}`: {reason}")]
    Variant { origin: Origin, variant: String, reason: String },
    #[error("{origin}: variant `{variant}`: source `{source_file}` was not found beside the manifest")]
    NoSource { origin: Origin, variant: String, source_file: String },
}

/// Reads one manifest of `op`. `file` is used in errors; `read` gives the text of a source file.
pub fn parse(op: &str, file: &str, text: &str, read: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Variant>> {
    let table: Table = text.parse().map_err(|e: toml::de::Error| {
        let at = e.span().map_or(0, |s| s.start);
        ManifestError::Syntax { file: file.to_string(), line: line_at(text, at), reason: e.message().to_string() }
    })?;
    let top = |reason: String| ManifestError::Syntax { file: file.to_string(), line: 1, reason };
    if let Some(key) = table.keys().find(|k| *k != "variant") {
        return Err(top(format!("unknown key `{key}`, expected [[variant]] entries")));
    }
    let Some(entries) = table.get("variant") else { return Ok(Vec::new()) };
    let entries = entries.as_array().ok_or_else(|| top("`variant` must be written [[variant]]".to_string()))?;
    let mut starts = text.lines().enumerate().filter(|(_, l)| l.trim() == "[[variant]]").map(|(i, _)| i + 1);
    let mut out: Vec<Variant> = Vec::new();
    for entry in entries {
        let origin = Origin { file: file.to_string(), line: starts.next().unwrap_or(1) };
        let name = entry.get("name").and_then(Value::as_str).unwrap_or("?").to_string();
        let reader = Reader { text, origin: origin.clone(), variant: name };
        let variant = reader.variant(op, entry, read)?;
        if out.iter().any(|v| (&v.name, v.target) == (&variant.name, variant.target)) {
            return Err(reader.fail("declared twice in this manifest"));
        }
        out.push(variant);
    }
    Ok(out)
}

/// What decides a variant's launches, in one form whatever its spacing and comments.
fn geometry(entry: &Value) -> String {
    ["let", "launch"].iter().filter_map(|key| entry.get(key)).map(|v| v.to_string() + "\n").collect()
}

impl Variant {
    /// Hash of what a measured time of this variant depends on: its rendered source and how it is
    /// launched. A tuned entry with another one is stale.
    pub fn source_hash(&self, rendered: &Rendered) -> String {
        if self.geometry.is_empty() {
            return rendered.hash.clone();
        }
        hex(&Sha256::new().chain_update(&rendered.hash).chain_update(&self.geometry).finalize())
    }
}

fn line_at(text: &str, byte: usize) -> usize {
    1 + text.as_bytes()[..byte.min(text.len())].iter().filter(|b| **b == b'\n').count()
}

/// Reads the fields of one entry, with errors that say where.
struct Reader<'a> {
    text: &'a str,
    origin: Origin,
    variant: String,
}

type Result<T> = std::result::Result<T, ManifestError>;

const FIELDS: [&str; 14] = [
    "name",
    "about",
    "target",
    "source",
    "vendor",
    "requires",
    "supports",
    "deterministic",
    "quads",
    "params",
    "let",
    "where",
    "default",
    "launch",
];

impl Reader<'_> {
    fn fail(&self, reason: impl Into<String>) -> ManifestError {
        ManifestError::Variant { origin: self.origin.clone(), variant: self.variant.clone(), reason: reason.into() }
    }

    /// An error at the line that holds `needle`, from the entry's start on.
    fn fail_at(&self, needle: &str, reason: impl Into<String>) -> ManifestError {
        let skip: usize = self.text.lines().take(self.origin.line - 1).map(|l| l.len() + 1).sum();
        let rest = self.text.get(skip..).unwrap_or("");
        let line = rest.find(needle).map_or(self.origin.line, |at| line_at(self.text, skip + at));
        ManifestError::Variant {
            origin: Origin { file: self.origin.file.clone(), line },
            variant: self.variant.clone(),
            reason: reason.into(),
        }
    }

    fn formula(&self, field: &str, value: &Value) -> Result<Formula> {
        let source = match value {
            Value::String(s) => s.clone(),
            Value::Integer(i) => i.to_string(),
            other => return Err(self.fail(format!("`{field}` must be an expression, found {}", other.type_str()))),
        };
        Formula::parse(&source).map_err(|e| self.fail_at(&source, format!("`{field}`: {e}")))
    }

    /// One expression or a list of them.
    fn formulas(&self, field: &str, value: Option<&Value>) -> Result<Vec<Formula>> {
        match value {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(|v| self.formula(field, v)).collect(),
            Some(one) => Ok(vec![self.formula(field, one)?]),
        }
    }

    fn triple(&self, field: &str, value: &Value) -> Result<[Formula; 3]> {
        let mut items = match value {
            Value::Array(items) if (1..=3).contains(&items.len()) => {
                items.iter().map(|v| self.formula(field, v)).collect::<Result<Vec<_>>>()?
            }
            Value::Array(items) => {
                return Err(self.fail(format!("`{field}` has {} parts, expected 1 to 3", items.len())));
            }
            one => vec![self.formula(field, one)?],
        };
        while items.len() < 3 {
            items.push(self.formula(field, &Value::Integer(1))?);
        }
        items.try_into().map_err(|_| self.fail(format!("`{field}` must have three parts")))
    }

    fn text_field(&self, entry: &Value, field: &str) -> Result<String> {
        let value = entry.get(field).ok_or_else(|| self.fail(format!("`{field}` is missing")))?;
        value.as_str().map(str::to_string).ok_or_else(|| self.fail_at(field, format!("`{field}` must be a string")))
    }

    fn known(&self, table: &Table, known: &[&str], place: &str) -> Result<()> {
        match table.keys().find(|k| !known.contains(&k.as_str())) {
            None => Ok(()),
            Some(key) => {
                Err(self.fail_at(key, format!("unknown key `{key}` in {place}, expected one of {}", known.join(", "))))
            }
        }
    }

    fn variant(&self, op: &str, entry: &Value, read: &dyn Fn(&str) -> Option<String>) -> Result<Variant> {
        let table = entry.as_table().ok_or_else(|| self.fail("must be a table"))?;
        self.known(table, &FIELDS, "a variant")?;
        let name = self.text_field(entry, "name")?;
        if name.is_empty() || name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            return Err(self.fail("a name is letters, digits and underscores"));
        }
        let target = match self.text_field(entry, "target")?.as_str() {
            "cpu" => Target::Cpu,
            "cuda" => Target::Cuda,
            "wgsl" => Target::Wgsl,
            other => return Err(self.fail_at("target", format!("target `{other}`, expected cpu, cuda or wgsl"))),
        };
        let source = self.text_field(entry, "source")?;
        let is_file = source.contains('.');
        let text = if is_file {
            read(&source).ok_or_else(|| ManifestError::NoSource {
                origin: self.origin.clone(),
                variant: name.clone(),
                source_file: source.clone(),
            })?
        } else {
            String::new()
        };
        let params = self.params(entry)?;
        let default = self.default(entry, &params)?;
        let launches = match entry.get("launch") {
            None => Vec::new(),
            Some(Value::Array(items)) => items.iter().map(|l| self.launch(l)).collect::<Result<_>>()?,
            Some(_) => return Err(self.fail("launches are written [[variant.launch]]")),
        };
        if is_file && launches.is_empty() {
            return Err(self.fail("a variant with a source file needs at least one [[variant.launch]]"));
        }
        let lets = match entry.get("let") {
            None => Vec::new(),
            Some(Value::Table(t)) => {
                t.iter().map(|(k, v)| Ok((k.clone(), self.formula(k, v)?))).collect::<Result<_>>()?
            }
            Some(_) => return Err(self.fail("`let` must be a table of expressions")),
        };
        let flag = |field: &str| match entry.get(field) {
            None => Ok(false),
            Some(v) => v.as_bool().ok_or_else(|| self.fail_at(field, format!("`{field}` must be true or false"))),
        };
        Ok(Variant {
            op: op.to_string(),
            about: self.text_field(entry, "about")?,
            target,
            source,
            text,
            vendor: entry.get("vendor").map(|_| self.text_field(entry, "vendor")).transpose()?,
            requires: self.formulas("requires", entry.get("requires"))?,
            supports: self.formulas("supports", entry.get("supports"))?,
            deterministic: flag("deterministic")?,
            quads: flag("quads")?,
            params,
            lets,
            constraints: self.formulas("where", entry.get("where"))?,
            default,
            geometry: if launches.is_empty() { String::new() } else { geometry(entry) },
            launches,
            origin: self.origin.clone(),
            name,
        })
    }

    fn params(&self, entry: &Value) -> Result<Vec<(String, Vec<i64>)>> {
        let Some(value) = entry.get("params") else { return Ok(Vec::new()) };
        let table = value.as_table().ok_or_else(|| self.fail("`params` must be a table of lists"))?;
        let list = |(name, v): (&String, &Value)| {
            let values: Option<Vec<i64>> = v.as_array().and_then(|a| a.iter().map(Value::as_integer).collect());
            match values {
                Some(values) if !values.is_empty() => Ok((name.clone(), values)),
                _ => Err(self.fail_at(name, format!("parameter `{name}` must be a list of at least one whole number"))),
            }
        };
        table.iter().map(list).collect()
    }

    fn default(&self, entry: &Value, params: &[(String, Vec<i64>)]) -> Result<Config> {
        let empty = Table::new();
        let table = match entry.get("default") {
            None => &empty,
            Some(v) => v.as_table().ok_or_else(|| self.fail("`default` must be a table"))?,
        };
        for (name, values) in params {
            let value = table.get(name).and_then(Value::as_integer);
            if !value.is_some_and(|v| values.contains(&v)) {
                return Err(self.fail_at(
                    "default",
                    format!("`default` must give parameter `{name}` one of its values {values:?}"),
                ));
            }
        }
        if let Some(extra) = table.keys().find(|k| !params.iter().any(|(n, _)| n == *k)) {
            return Err(self.fail_at("default", format!("`default` gives `{extra}`, which is not a parameter")));
        }
        Ok(Config::new(table.iter().filter_map(|(k, v)| Some((k.clone(), v.as_integer()?)))))
    }

    fn launch(&self, value: &Value) -> Result<LaunchSpec> {
        let table = value.as_table().ok_or_else(|| self.fail("a launch must be a table"))?;
        self.known(table, &["entry", "grid", "block", "cluster", "shared", "args", "when", "overlap"], "a launch")?;
        let need = |field: &str| table.get(field).ok_or_else(|| self.fail(format!("a launch needs `{field}`")));
        let zero = Value::Integer(0);
        let args = need("args")?.as_array().ok_or_else(|| self.fail("`args` must be a list"))?;
        Ok(LaunchSpec {
            entry: self.text_field(value, "entry")?,
            grid: self.triple("grid", need("grid")?)?,
            block: self.triple("block", need("block")?)?,
            cluster: table.get("cluster").map(|v| self.triple("cluster", v)).transpose()?,
            shared: self.formula("shared", table.get("shared").unwrap_or(&zero))?,
            args: args.iter().map(|a| self.arg(a)).collect::<Result<_>>()?,
            when: table.get("when").map(|v| self.formula("when", v)).transpose()?,
            overlap: table.get("overlap").and_then(Value::as_bool).unwrap_or(false),
        })
    }

    fn arg(&self, value: &Value) -> Result<ArgSpec> {
        let table = value.as_table().ok_or_else(|| self.fail("an argument must be a table like { i32 = \"m\" }"))?;
        if table.contains_key("tensor_map") {
            return self.tensor_map(value, table);
        }
        let (kind, v) = match table.iter().next() {
            Some(pair) if table.len() == 1 => pair,
            _ => return Err(self.fail("an argument has exactly one key")),
        };
        let name = || v.as_str().map(str::to_string).ok_or_else(|| self.fail(format!("`{kind}` names an operand")));
        let formula = || self.formula(kind, v);
        Ok(match kind.as_str() {
            "matrix" => ArgSpec::Matrix(name()?),
            "buffer" => ArgSpec::Buffer(name()?),
            "i32" => ArgSpec::I32(formula()?),
            "i64" => ArgSpec::I64(formula()?),
            "f32" => ArgSpec::F32(formula()?),
            "acc" => ArgSpec::Acc(formula()?),
            "workspace" => ArgSpec::Workspace(formula()?),
            "counters" => ArgSpec::Counters(formula()?),
            "settled" => ArgSpec::Settled(name()?),
            "epilogue" => ArgSpec::Epilogue,
            "arrays" => ArgSpec::Arrays,
            other => {
                let known =
                    "matrix, buffer, i32, i64, f32, acc, workspace, counters, settled, epilogue, arrays, tensor_map";
                return Err(self.fail_at(other, format!("unknown argument kind `{other}`, expected one of {known}")));
            }
        })
    }

    fn tensor_map(&self, value: &Value, table: &Table) -> Result<ArgSpec> {
        self.known(table, &["tensor_map", "box", "swizzle", "tf32", "packed"], "a tensor map")?;
        let swizzle = table.get("swizzle").and_then(Value::as_integer).unwrap_or(0);
        if ![0, 32, 64, 128].contains(&swizzle) {
            return Err(self.fail_at("swizzle", format!("swizzle {swizzle}, expected 0, 32, 64 or 128 bytes")));
        }
        let box_sizes = self.formulas("box", table.get("box"))?;
        if !(1..=5).contains(&box_sizes.len()) {
            return Err(self.fail_at("box", format!("a tensor map has 1 to 5 box sizes, found {}", box_sizes.len())));
        }
        let operand = self.text_field(value, "tensor_map")?;
        let tf32 = match table.get("tf32") {
            None => false,
            Some(v) => v.as_bool().ok_or_else(|| self.fail_at("tf32", "`tf32` must be true or false"))?,
        };
        let packed = table.get("packed").map(|v| self.formulas("packed", Some(v))).transpose()?;
        Ok(ArgSpec::TensorMap(TensorMapSpec { operand, box_sizes, swizzle: swizzle as u32, tf32, packed }))
    }
}
