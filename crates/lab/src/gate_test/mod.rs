//! The gate's own test: faults put into the kernels that ship, of which the gate must find every one,
//! random problems on which it must find none, and attacks on the timer that must be named.
//!
//! A fault on a GPU is a change of the source's *text*: compiled and launched like any kernel. On the CPU
//! kernels are compiled with the program: there a fault is a *call* of the real kernel that makes its
//! result wrong as a bug would (`crates/device/src/cpu/faulted`).

pub mod attack;
pub mod call;
pub mod clean;
pub mod run;
pub mod text;

use crate::evidence::Verdict;
use kernelsmith_core::{Problem, ProblemError};
use kernelsmith_kernels::catalogue::builtin_file;
use kernelsmith_kernels::{Candidate, Catalogue, CatalogueError, DeviceFacts, Target};
use std::fmt;

/// What a fault does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Part of a sum or of the elements is left out.
    Tail,
    /// A guard that lets in one too many, or keeps out one too many.
    Guard,
    /// An operand is read or written in the wrong place.
    Stride,
    Offset,
    Batch,
    /// Operands or dimensions are taken for each other.
    Swap,
    /// Alpha, beta, a constant.
    Scale,
    Epilogue,
    /// A sum is rounded on the way, or loses or repeats terms.
    Accumulation,
    Split,
    Rounding,
    /// A barrier or fence is missing: wrong now and then.
    Race,
    /// Something is not written, or where it does not belong.
    Write,
    /// The result depends on what was there before.
    Stale,
    /// NaN and infinities get lost.
    Nan,
    /// What a reduction starts from.
    Identity,
    Index,
    /// A function other than the one asked for.
    Function,
    /// What a kernel may not touch.
    Memory,
    Nondeterminism,
}

impl Class {
    pub fn name(self) -> &'static str {
        match self {
            Class::Tail => "tail",
            Class::Guard => "guard",
            Class::Stride => "stride",
            Class::Offset => "offset",
            Class::Batch => "batch",
            Class::Swap => "swap",
            Class::Scale => "scale",
            Class::Epilogue => "epilogue",
            Class::Accumulation => "accumulation",
            Class::Split => "split",
            Class::Rounding => "rounding",
            Class::Race => "race",
            Class::Write => "write",
            Class::Stale => "stale",
            Class::Nan => "nan",
            Class::Identity => "identity",
            Class::Index => "index",
            Class::Function => "function",
            Class::Memory => "memory",
            Class::Nondeterminism => "nondeterminism",
        }
    }

    /// Full gates that a fault of the class gets before it counts as a survivor.
    pub fn tries(self) -> usize {
        if self == Class::Race { 5 } else { 1 }
    }
}

/// A fault in one kernel, and the problem that the gate is run on.
#[derive(Clone, Debug)]
pub struct Fault {
    pub op: &'static str,
    /// The variant that has it.
    pub kernel: String,
    pub name: &'static str,
    pub class: Class,
    problem: &'static str,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    Text(&'static text::Mutation),
    Call(call::Numbers),
}

#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    #[error("there is no fault `{0}`")]
    Unknown(String),
    #[error("{fault}: `{file}` holds the text to replace {found} times, expected once")]
    Text { fault: String, file: String, found: usize },
    #[error("{fault}: {reason}")]
    Refused { fault: String, reason: String },
    #[error(transparent)]
    Problem(#[from] ProblemError),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

/// `gemm/tiled/skips_last_k/m=…`: names a fault among all.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.op, self.kernel, self.name, self.problem)
    }
}

/// Every fault for the device's kind of kernels, of one op or of all.
///
/// # Errors
/// A built-in problem or manifest that does not parse.
pub fn faults(facts: &DeviceFacts, op: Option<&str>) -> Result<Vec<Fault>, FaultError> {
    let mut faults = match facts.target {
        Target::Cpu => call::faults(facts)?,
        Target::Cuda | Target::Wgsl => text::faults(facts.target),
    };
    faults.retain(|f| op.is_none_or(|op| f.op == op));
    if facts.target == Target::Wgsl {
        // Adapters differ: a kernel that one is not offered, or text that is not rendered for it, cannot be tried.
        let (catalogue, halves) = (Catalogue::builtin()?, facts.adapter.features.iter().any(|f| f == "halves"));
        faults.retain(|f| {
            let How::Text(mutation) = &f.how else { return true };
            let unused = if halves { "include/halves_in_words.wgsl" } else { "include/halves.wgsl" };
            let offered = catalogue.variant(f.op, facts.target, &f.kernel).is_ok_and(|v| v.is_offered(facts));
            mutation.file != unused && offered
        });
    }
    Ok(faults)
}

/// The fault with this name.
pub fn find(facts: &DeviceFacts, name: &str) -> Result<Fault, FaultError> {
    let fault = faults(facts, None)?.into_iter().find(|f| f.to_string() == name);
    fault.ok_or_else(|| FaultError::Unknown(name.to_string()))
}

impl Fault {
    /// Kernel, problem and config: what the gate is run on, whatever the fault.
    pub fn place(&self) -> String {
        let config = match &self.how {
            How::Text(mutation) => mutation.config,
            How::Call(_) => None,
        };
        format!("{}/{}/{}/{config:?}", self.op, self.kernel, self.problem)
    }

    pub fn problem(&self) -> Result<Problem, FaultError> {
        Ok(Problem::parse(self.op, self.problem)?)
    }

    /// The built-in catalogue with the fault in it: the kernel keeps its name.
    pub fn catalogue(&self) -> Result<Catalogue, FaultError> {
        match &self.how {
            How::Text(mutation) => mutation.catalogue(&self.to_string()),
            How::Call(numbers) => call::catalogue(self.op, &self.kernel, *numbers),
        }
    }

    /// The candidate that the gate gets: the kernel's default config, or the one the fault shows in.
    pub fn candidate(&self, catalogue: &Catalogue, facts: &DeviceFacts) -> Result<Candidate, FaultError> {
        let problem = self.problem()?;
        let refused = |reason: String| FaultError::Refused { fault: self.to_string(), reason };
        let variant = catalogue.variant(self.op, facts.target, &self.kernel)?;
        let mut candidate = Candidate { variant: self.kernel.clone(), config: variant.default.clone() };
        match &self.how {
            How::Text(text::Mutation { config: Some(config), .. }) => {
                for (name, value) in *config {
                    candidate.config = candidate.config.with(name, *value);
                }
            }
            _ => {
                let config = variant.fallback(&problem, facts)?;
                candidate.config = config.ok_or_else(|| refused("no config is valid here".to_string()))?;
            }
        }
        catalogue.admit(&candidate, &problem, facts)?;
        Ok(candidate)
    }
}

/// Whether a verdict says that the gate found something. What does not compile was not tested.
pub fn kills(verdict: Verdict) -> bool {
    !matches!(verdict, Verdict::Ok | Verdict::Compile | Verdict::Unoffered)
}

/// A built-in file's text with one piece of it replaced; how often the piece is there, where not once.
fn replaced(file: &str, find: &str, by: &str) -> Result<String, usize> {
    let text = builtin_file(file).unwrap_or_default();
    match text.matches(find).count() {
        1 => Ok(text.replacen(find, by, 1)),
        other => Err(other),
    }
}
