//! The prelude of attention: numbers of a head, whether keys hide, places of elements.

use kernelsmith_core::ops::OpProblem;
use kernelsmith_core::ops::attention::AttentionProblem;
use std::fmt::Write as _;

pub fn prelude(p: &AttentionProblem) -> String {
    let mut out = format!("const HEAD: u32 = {}u;\nconst CAUSAL: bool = {};\n", p.shape.head, p.causal);
    for operand in p.operands() {
        let name = operand.name;
        let _ = writeln!(
            out,
            "fn {name}_at(batch: u32, head: u32, row: u32, col: u32) -> i32 {{ return args.{name}_offset + i32(batch) * args.{name}_batch + i32(head) * args.{name}_head + i32(row) * args.{name}_row + i32(col) * args.{name}_col; }}"
        );
    }
    out
}
