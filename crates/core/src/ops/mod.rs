//! Ops and their problems. An op is one file here, one folder in `kernels/` and one line in [`OPS`].

pub mod attention;
mod attention_edges;
mod attention_oracle;
pub mod fields;
pub mod gather;
mod gather_edges;
pub mod gemm;
mod gemm_edges;
mod gemm_oracle;
pub mod leaf;
pub mod map;
mod map_edges;
pub mod reduce;
mod reduce_edges;
pub mod row;
mod row_edges;

use crate::inputs::{Inputs, hash};
use crate::reference::Reference;
use crate::{DType, Expr, HostArray, Layout};
use std::any::Any;
use std::fmt;

use std::sync::Arc;

pub use leaf::Leaf;

/// The ops that exist.
pub static OPS: &[OpEntry] = &[
    OpEntry { name: "gemm", parse: gemm::parse_problem },
    OpEntry { name: "map", parse: map::parse_problem },
    OpEntry { name: "reduce", parse: reduce::parse_problem },
    OpEntry { name: "row", parse: row::parse_problem },
    OpEntry { name: "gather", parse: gather::parse_gather },
    OpEntry { name: "scatter_add", parse: gather::parse_scatter_add },
    OpEntry { name: "attention", parse: attention::parse_problem },
];

/// One line of the registry.
pub struct OpEntry {
    pub name: &'static str,
    /// Reads a problem from its text form (`m=1,n=9728,…`).
    pub parse: fn(&str) -> Result<Problem, ProblemError>,
}

/// A problem that could not be read or makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProblemError {
    #[error("unknown op `{0}`, expected one of {known}", known = op_names())]
    UnknownOp(String),
    #[error("`{found}` in problem `{problem}` is not key=value")]
    NotKeyValue { problem: String, found: String },
    #[error("unknown key `{key}` in problem `{problem}`, expected one of {expected}")]
    UnknownKey { problem: String, key: String, expected: String },
    #[error("key `{key}` is given twice in problem `{problem}`")]
    Twice { problem: String, key: String },
    #[error("key `{key}` is missing in problem `{problem}`")]
    Missing { problem: String, key: &'static str },
    #[error("{key}={found} in problem `{problem}`: expected {expected}")]
    Value { problem: String, key: String, found: String, expected: String },
    #[error("problem `{problem}`: {reason}")]
    Invalid { problem: String, reason: String },
}

fn op_names() -> String {
    OPS.iter().map(|o| o.name).collect::<Vec<_>>().join(", ")
}

/// A value that predicates and geometry expressions can name.
#[derive(Clone, Debug, PartialEq)]
pub enum Var {
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Var>),
    Map(Vec<(String, Var)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Input,
    Output,
}

/// One array that a problem reads or writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand {
    pub name: String,
    pub dtype: DType,
    /// The buffer must hold `layout.span()` elements.
    pub layout: Layout,
    pub role: Role,
    /// Holds whole numbers that select something: valid ones are below this.
    pub below: Option<usize>,
}

impl Operand {
    /// Bytes of the buffer behind the operand.
    pub fn bytes(&self) -> usize {
        self.layout.span() * self.dtype.bytes()
    }

    /// A buffer of this operand's size with test inputs of a family.
    pub fn fill(&self, inputs: Inputs, seed: u64) -> HostArray {
        let Some(below) = self.below else { return inputs.fill(seed, self.dtype, &self.layout) };
        let special = inputs == Inputs::Special;
        HostArray::from_fn(self.dtype, self.layout.span(), |i| {
            let h = hash(seed, i as u64);
            match h % 31 {
                // Just outside on either side, and often: there is one for each row only.
                0 if special => -1.0,
                1 if special => below as f64,
                _ => ((h >> 16) % below as u64) as f64,
            }
        })
    }
}

/// How much of an output the oracle computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OracleBudget {
    /// Products up to this many flops are checked at every element.
    pub full_flops: f64,
    /// Elements sampled above that.
    pub samples: usize,
}

impl Default for OracleBudget {
    fn default() -> Self {
        OracleBudget { full_flops: 2e9, samples: 4096 }
    }
}

/// What every op's problem tells the rest of the system.
pub trait OpProblem: fmt::Debug + Send + Sync + 'static {
    fn op(&self) -> &'static str;
    /// Canonical text; parses back to an equal problem.
    fn text(&self) -> String;
    /// Every array, inputs first, the output last.
    fn operands(&self) -> Vec<Operand>;
    /// Floating-point operations of the definition.
    fn flops(&self) -> f64;
    /// Fewest bytes that must cross device memory: each input read once, the output written once.
    fn bytes(&self) -> f64;
    /// The names that manifest expressions may use.
    fn variables(&self) -> Vec<(String, Var)>;
    /// The part of the tuned table's key that must match exactly for a near look-up.
    fn class(&self) -> String;
    /// The rest of the key as a point in log space.
    fn coordinates(&self) -> Vec<f64>;
    /// Element-wise work after the op, on `inputs` named by the operands that [`OpProblem::expr_operands`] lists.
    fn expr(&self) -> &Expr;
    /// Names of the operands that are the expression's inputs, in order.
    fn expr_operands(&self) -> Vec<String>;
    /// The f64 oracle. `arrays` are the input operands in order.
    fn reference(&self, arrays: &[&HostArray], inputs: Inputs, budget: OracleBudget) -> Reference;
    /// Neighbours of this problem that break kernels: odd sizes, tails, strides, offsets.
    fn edge_cases(&self) -> Vec<Problem>;
    /// A hash of everything that [`OpProblem::same_as`] compares, cheap enough for each launch.
    fn fingerprint(&self) -> u64;
    fn same_as(&self, other: &dyn OpProblem) -> bool;
    fn as_any(&self) -> &dyn Any;
}

/// A problem of any op; cheap to clone.
#[derive(Clone)]
pub struct Problem(Arc<dyn OpProblem>);

impl Problem {
    pub fn new(problem: impl OpProblem) -> Self {
        Problem(Arc::new(problem))
    }

    /// Reads `text` as a problem of `op`.
    pub fn parse(op: &str, text: &str) -> Result<Self, ProblemError> {
        let entry = OPS.iter().find(|o| o.name == op).ok_or_else(|| ProblemError::UnknownOp(op.to_string()))?;
        (entry.parse)(text)
    }

    /// The typed problem, if it is of type `P`.
    pub fn downcast<P: OpProblem>(&self) -> Option<&P> {
        self.0.as_any().downcast_ref()
    }

    /// Whether two problems are equal, without going through text.
    pub fn same_as(&self, other: &Problem) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.same_as(&*other.0)
    }

    pub fn inputs(&self) -> Vec<Operand> {
        self.operands().into_iter().filter(|o| o.role == Role::Input).collect()
    }

    pub fn output(&self) -> Operand {
        self.operands().pop().expect("every problem has an output operand")
    }
}

impl std::ops::Deref for Problem {
    type Target = dyn OpProblem;
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.op(), self.text())
    }
}

impl PartialEq for Problem {
    fn eq(&self, other: &Self) -> bool {
        self.same_as(other)
    }
}

impl Eq for Problem {}
