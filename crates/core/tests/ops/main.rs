//! The ops beside gemm: text forms, canonical forms, and oracles that accept what is right and
//! reject what is not.

mod canonical;
mod naive;
mod oracles;
mod problems;
mod text;
