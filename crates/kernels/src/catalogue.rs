//! The catalogue: every variant, which problems it can take, and its config space.
//!
//! The predicate here is the only one: the lab tries what it admits, dispatch picks what it admits.

use crate::embedded;
use crate::facts::{DeviceFacts, Target};
use crate::formula::{Formula, FormulaError, Scope};
use crate::manifest::{self, ManifestError, Variant};
use crate::{Candidate, Config};
use kernelsmith_core::Problem;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Every variant of every op, and the headers that sources include.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    variants: Vec<Arc<Variant>>,
    headers: BTreeMap<String, String>,
}

/// A variant that cannot take a problem, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub variant: String,
    pub reason: String,
}

#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("op `{op}` has no variant `{name}`, it has {known}")]
    UnknownVariant { op: String, name: String, known: String },
    #[error("variant `{variant}` ({origin}): {error}")]
    Formula { variant: String, origin: String, error: FormulaError },
    #[error("candidate {candidate}: {reason}")]
    Config { candidate: String, reason: String },
}

/// The text of a built-in file, named by its path below `kernels/`.
pub fn builtin_file(path: &str) -> Option<&'static str> {
    embedded::KERNELS.iter().find(|(name, _)| *name == path).map(|(_, text)| *text)
}

/// Configs enumerated at most for one variant and problem.
const MAX_SPACE: usize = 100_000;

impl Catalogue {
    /// The variants that are built in.
    ///
    /// # Errors
    /// A built-in manifest that does not parse; tests keep that from shipping.
    pub fn builtin() -> Result<Self, CatalogueError> {
        Catalogue::builtin_with("", "")
    }

    /// The same with another text of one file, named by its path below `kernels/`, as
    /// `gemm/naive.cu` or `include/gemm.cuh`.
    pub fn builtin_with(path: &str, text: &str) -> Result<Self, CatalogueError> {
        let mut out = Catalogue::default();
        let read =
            |file: &str| if file == path { Some(text.to_string()) } else { builtin_file(file).map(str::to_string) };
        for (path, _) in embedded::KERNELS {
            let text = read(path).unwrap_or_default();
            if let Some(op) = path.strip_suffix("/manifest.toml") {
                let file = format!("kernels/{path}");
                let variants = manifest::parse(op, &file, &text, &|source| read(&format!("{op}/{source}")))?;
                out.variants.extend(variants.into_iter().map(Arc::new));
            } else if let Some(header) = path.strip_prefix("include/") {
                out.headers.insert(header.to_string(), text);
            }
        }
        Ok(out)
    }

    /// Lays a folder of the same form over the catalogue: variants of the same name are replaced,
    /// others added, headers likewise.
    pub fn overlay(mut self, folder: &Path) -> Result<Self, CatalogueError> {
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |source| CatalogueError::Io { path, source }
        };
        let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
            .map_err(io(folder))?
            .map(|e| e.map(|e| e.path()))
            .collect::<Result<_, _>>()
            .map_err(io(folder))?;
        entries.sort();
        for entry in entries.iter().filter(|e| e.is_dir()) {
            let name = entry.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if name == "include" {
                for file in std::fs::read_dir(entry).map_err(io(entry))? {
                    let path = file.map_err(io(entry))?.path();
                    let text = std::fs::read_to_string(&path).map_err(io(&path))?;
                    let header = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                    self.headers.insert(header, text);
                }
                continue;
            }
            let file = entry.join("manifest.toml");
            if !file.exists() {
                continue;
            }
            let text = std::fs::read_to_string(&file).map_err(io(&file))?;
            let read = |source: &str| std::fs::read_to_string(entry.join(source)).ok();
            self = self.with(manifest::parse(&name, &file.display().to_string(), &text, &read)?);
        }
        Ok(self)
    }

    /// Adds variants; those of the same op and name are replaced.
    pub fn with(mut self, variants: Vec<Variant>) -> Self {
        for variant in variants {
            self.variants.retain(|v| (&v.op, &v.name, v.target) != (&variant.op, &variant.name, variant.target));
            self.variants.push(Arc::new(variant));
        }
        self
    }

    /// The variants of `op` for `target`, in manifest order.
    pub fn variants(&self, op: &str, target: Target) -> impl Iterator<Item = &Arc<Variant>> {
        self.variants.iter().filter(move |v| v.op == op && v.target == target)
    }

    /// Every variant.
    pub fn all(&self) -> &[Arc<Variant>] {
        &self.variants
    }

    pub fn headers(&self) -> &BTreeMap<String, String> {
        &self.headers
    }

    /// A variant by name.
    pub fn variant(&self, op: &str, target: Target, name: &str) -> Result<&Arc<Variant>, CatalogueError> {
        self.variants(op, target).find(|v| v.name == name).ok_or_else(|| CatalogueError::UnknownVariant {
            op: op.to_string(),
            name: name.to_string(),
            known: self.variants(op, target).map(|v| v.name.clone()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Which variants can take `problem` on this device, and why the others cannot.
    pub fn capable(
        &self,
        problem: &Problem,
        facts: &DeviceFacts,
    ) -> Result<(Vec<Arc<Variant>>, Vec<Gap>), CatalogueError> {
        let scope = scope(problem, facts);
        let (mut able, mut gaps) = (Vec::new(), Vec::new());
        for variant in self.variants(problem.op(), facts.target) {
            match variant.refusal(&scope)? {
                None => able.push(variant.clone()),
                Some(reason) => gaps.push(Gap { variant: variant.name.clone(), reason }),
            }
        }
        Ok((able, gaps))
    }

    /// Checks a candidate against a problem: the same question for the lab and for dispatch.
    pub fn admit(
        &self,
        candidate: &Candidate,
        problem: &Problem,
        facts: &DeviceFacts,
    ) -> Result<Arc<Variant>, CatalogueError> {
        let variant = self.variant(problem.op(), facts.target, &candidate.variant)?;
        let mut scope = scope(problem, facts);
        let fail = |reason: String| CatalogueError::Config { candidate: candidate.to_string(), reason };
        if let Some(reason) = variant.refusal(&scope)? {
            return Err(fail(format!("{problem} is not supported: {reason}")));
        }
        for (name, values) in &variant.params {
            match candidate.config.get(name) {
                Some(v) if values.contains(&v) => {}
                Some(v) => return Err(fail(format!("{name}={v}, expected one of {values:?}"))),
                None => return Err(fail(format!("parameter {name} is missing, expected one of {values:?}"))),
            }
        }
        if let Some((extra, _)) = candidate.config.iter().find(|(n, _)| !variant.params.iter().any(|(p, _)| p == n)) {
            return Err(fail(format!("{extra} is not a parameter of {}", variant.name)));
        }
        if let Some(reason) = variant.violation(&mut scope, &candidate.config)? {
            return Err(fail(reason));
        }
        Ok(variant.clone())
    }
}

/// The names of the problem and the device.
pub fn scope(problem: &Problem, facts: &DeviceFacts) -> Scope {
    let mut scope = Scope::default();
    for (name, var) in problem.variables() {
        scope.set(&name, &var);
    }
    scope.set("device", &facts.variable());
    scope
}

impl Variant {
    fn formula_error(&self, error: FormulaError) -> CatalogueError {
        CatalogueError::Formula { variant: self.name.clone(), origin: self.origin.to_string(), error }
    }

    fn first_false(&self, clauses: &[Formula], scope: &Scope) -> Result<Option<String>, CatalogueError> {
        for clause in clauses {
            if !clause.bool(scope).map_err(|e| self.formula_error(e))? {
                return Ok(Some(clause.source().to_string()));
            }
        }
        Ok(None)
    }

    /// Whether the device has what the variant needs on any problem.
    pub fn is_offered(&self, facts: &DeviceFacts) -> bool {
        let mut scope = Scope::default();
        scope.set("device", &facts.variable());
        self.first_false(&self.requires, &scope).is_ok_and(|lacking| lacking.is_none())
    }

    /// Why the variant cannot take the problem in `scope`, if it cannot.
    pub fn refusal(&self, scope: &Scope) -> Result<Option<String>, CatalogueError> {
        if let Some(clause) = self.first_false(&self.requires, scope)? {
            return Ok(Some(format!("the device does not have: {clause}")));
        }
        Ok(self.first_false(&self.supports, scope)?.map(|clause| format!("not so: {clause}")))
    }

    /// Binds a config and the `let` values in `scope`.
    pub fn bind(&self, scope: &mut Scope, config: &Config) -> Result<Vec<(String, i64)>, CatalogueError> {
        for (name, value) in config.iter() {
            scope.set_int(name, value);
        }
        let mut lets = Vec::new();
        for (name, formula) in &self.lets {
            let value = formula.int(scope).map_err(|e| self.formula_error(e))?;
            scope.set_int(name, value);
            lets.push((name.clone(), value));
        }
        Ok(lets)
    }

    /// Why `config` breaks the variant's constraints in `scope`, if it does.
    pub fn violation(&self, scope: &mut Scope, config: &Config) -> Result<Option<String>, CatalogueError> {
        self.bind(scope, config)?;
        Ok(self.first_false(&self.constraints, scope)?.map(|clause| format!("config breaks: {clause}")))
    }

    /// Every config that satisfies the constraints for this problem, in parameter order. Where
    /// none does, the list is empty and the variant is a gap.
    pub fn space(&self, problem: &Problem, facts: &DeviceFacts) -> Result<Vec<Config>, CatalogueError> {
        let mut scope = scope(problem, facts);
        let mut out = Vec::new();
        let total: usize = self.params.iter().map(|(_, v)| v.len()).product();
        for index in 0..total.min(MAX_SPACE) {
            let mut rest = index;
            let config = Config::new(self.params.iter().rev().map(|(name, values)| {
                let value = values[rest % values.len()];
                rest /= values.len();
                (name.clone(), value)
            }));
            if self.violation(&mut scope, &config)?.is_none() {
                out.push(config);
            }
        }
        Ok(out)
    }

    /// The default config if it is valid here, else the first valid one.
    pub fn fallback(&self, problem: &Problem, facts: &DeviceFacts) -> Result<Option<Config>, CatalogueError> {
        let mut scope = scope(problem, facts);
        if self.violation(&mut scope, &self.default)?.is_none() {
            return Ok(Some(self.default.clone()));
        }
        Ok(self.space(problem, facts)?.into_iter().next())
    }
}
