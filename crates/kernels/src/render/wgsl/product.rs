//! The prelude of products: layout class, places of elements, and the epilogue.

use crate::render::expression::{Leaves, expression};
use kernelsmith_core::ops::gemm::GemmProblem;
use kernelsmith_core::{DType, Problem};
use std::fmt::Write as _;

pub fn prelude(p: &GemmProblem, problem: &Problem) -> String {
    let mut out = String::new();
    let operands = [("A", &p.a, p.inputs[0]), ("B", &p.b, p.inputs[1]), ("C", &p.c, p.dtype), ("D", &p.d, p.dtype)];
    for (name, layout, dtype) in operands {
        let _ = writeln!(out, "const {name}_INNER: i32 = {};", GemmProblem::inner(layout));
        let _ = writeln!(out, "const {name}_VEC: i32 = {};", GemmProblem::vector(layout, dtype).1);
    }
    let element = |out: &mut String, name: &str| {
        let _ = writeln!(
            out,
            "fn {name}_at(batch: u32, row: u32, col: u32) -> i32 {{ return args.{name}_offset + i32(batch) * args.{name}_batch + i32(row) * args.{name}_row + i32(col) * args.{name}_col; }}"
        );
    };
    for operand in problem.operands() {
        element(&mut out, &operand.name);
    }
    // D = epilogue(alpha * acc + beta * C).
    out.push_str("fn finish(acc: Acc, batch: u32, row: u32, col: u32) -> Acc {\n    var v = args.alpha * acc;\n");
    if p.has_beta() {
        out.push_str("    v += args.beta * load_c(c_at(batch, row, col));\n");
    }
    let mut leaves = Literals { names: problem.expr_operands(), double: p.dtype == DType::F64 };
    let text = expression(problem.expr(), &mut leaves);
    let _ = writeln!(out, "    return {text};\n}}");
    out
}

/// Constants as literals that the compiler cannot see through, inputs as loads.
struct Literals {
    names: Vec<String>,
    double: bool,
}

impl Leaves for Literals {
    fn input(&mut self, i: usize) -> String {
        let name = &self.names[i];
        format!("load_{name}({name}_at(batch, row, col))")
    }
    fn constant(&mut self, c: f64) -> String {
        let single = c as f32;
        if self.double && f64::from(single) != c && !c.is_nan() {
            return format!("f64({c:?}lf)");
        }
        format!("Acc(bitcast<f32>({}u ^ args.zero))", single.to_bits())
    }
    fn index(&mut self, d: usize) -> String {
        format!("Acc({})", ["batch", "row", "col"].get(d).unwrap_or(&"0"))
    }
    fn seed(&mut self, seed: u64) -> String {
        format!("vec2<u32>({}u, {}u)", seed as u32, seed >> 32)
    }
    fn random(&self, distribution: &str, seed: &str, counter: &str) -> String {
        format!("Acc(ks_{distribution}({seed}, counter_of({counter})))")
    }
}
