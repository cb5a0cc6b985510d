//! The vocabulary of Kernelsmith: dtypes, layouts, problems (each with its cost and its f64
//! oracle) and the expression IR. No I/O, no unsafe, no device.
#![forbid(unsafe_code)]

pub mod array;
pub mod dtype;
pub mod element;
pub mod expr;
pub mod expr_text;
pub mod fp8;
pub mod inputs;
pub mod layout;
pub mod ops;
pub mod random;
pub mod reference;

pub use array::HostArray;
pub use dtype::DType;
pub use element::Element;
pub use expr::Expr;
pub use expr_text::ExprError;
pub use layout::{Layout, LayoutError};
pub use ops::{Operand, Problem, ProblemError, Role, Var};
