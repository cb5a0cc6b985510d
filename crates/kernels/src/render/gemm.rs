//! The prelude of products: dtype, layout class, and the epilogue as an inline function.

use super::expression::{Leaves, expression};
use kernelsmith_core::ops::gemm::{Compute, GemmProblem};
use kernelsmith_core::{DType, Expr};
use std::fmt::Write as _;

/// What goes before and after the shared headers.
pub fn prelude(p: &GemmProblem) -> String {
    let mut out = String::new();
    let dtype = match p.dtype {
        DType::F64 => "F64",
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        _ => "F32",
    };
    let flag = |b: bool| u8::from(b);
    let _ = writeln!(out, "#define DTYPE_{dtype} 1");
    let _ = writeln!(out, "#define COMPUTE_TF32 {}", flag(p.compute == Compute::Tf32));
    let _ = writeln!(out, "#define HAS_BETA {}", flag(p.has_beta()));
    // Only where they differ: other sources stay what they were.
    if p.is_fp8() {
        for (name, dtype) in [("A", p.inputs[0]), ("B", p.inputs[1])] {
            let _ = writeln!(out, "#define {name}_E4M3 {}", flag(dtype == DType::E4M3));
        }
    }
    let [of_a, of_b] = p.inputs;
    let operands = [("A", &p.a, of_a), ("B", &p.b, of_b), ("C", &p.c, p.dtype), ("D", &p.d, p.dtype)];
    for (name, layout, dtype) in operands {
        let _ = writeln!(out, "#define {name}_INNER {}", GemmProblem::inner(layout));
        let _ = writeln!(out, "[[maybe_unused]] constexpr int {name}_VEC = {};", GemmProblem::vector(layout, dtype).1);
    }
    out
}

/// Constants as literals, inputs as loads.
struct Literals;

impl Leaves for Literals {
    fn input(&mut self, i: usize) -> String {
        format!("ks_load(e.in{i}, batch, row, col)")
    }
    fn constant(&mut self, c: f64) -> String {
        match (c.is_nan(), c.is_infinite()) {
            (true, _) => "Acc(__int_as_float(0x7fffffff))".to_string(),
            (_, true) => format!("Acc({}__int_as_float(0x7f800000))", if c < 0.0 { "-" } else { "" }),
            _ => format!("Acc({c:?})"),
        }
    }
    fn index(&mut self, d: usize) -> String {
        format!("Acc({})", ["batch", "row", "col"].get(d).unwrap_or(&"0"))
    }
    fn seed(&mut self, seed: u64) -> String {
        format!("{seed}ull")
    }
}

pub fn epilogue(expr: &Expr, inputs: usize) -> String {
    let mut out = String::from("struct Epilogue {");
    for i in 0..inputs {
        let _ = write!(out, " Matrix<const T> in{i};");
    }
    if inputs == 0 {
        out.push_str(" int unused;");
    }
    out.push_str(" };\n__device__ __forceinline__ Acc epilogue_apply(Acc v, const Epilogue& e, long long batch, long long row, long long col) {\n    return ");
    out.push_str(&expression(expr, &mut Literals));
    out.push_str(";\n}\n");
    out
}
