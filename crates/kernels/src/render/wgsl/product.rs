//! The prelude of products: layout class, places of elements, and the epilogue.

use super::access::lane_of;
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

/// For kernels that read A and B by vectors of 16 bytes: `low_a(q)` and `high_a(q)`, the first four elements of a
/// vector and the next, and how many it has.
pub fn vectors(p: &GemmProblem) -> String {
    let mut out = String::new();
    for (name, dtype) in [("a", p.inputs[0]), ("b", p.inputs[1])] {
        let each = 16 / dtype.bytes();
        let _ = writeln!(out, "const {}_EACH: u32 = {each}u;", name.to_uppercase());
        for (part, from) in [("low", 0), ("high", 4)] {
            let pair = |w: usize| format!("{dtype}_pair(q[{w}])");
            let lanes: Vec<String> = match dtype {
                DType::F16 | DType::BF16 => (from / 2..from / 2 + 2).map(pair).collect(),
                _ => (from..from + 4).map(|i| lane_of(dtype, "q", i % each)).collect(),
            };
            let _ = writeln!(
                out,
                "fn {part}_{name}(q: vec4<u32>) -> vec4<Acc> {{ return vec4<Acc>({}); }}",
                lanes.join(", ")
            );
        }
    }
    out
}

/// For kernels of cooperative matrices: the elements of a piece, what slices in workgroup memory are arrays of, of
/// which a piece takes SPREAD; how a piece gets there, and how two neighbours of D leave.
pub fn matrices(p: &GemmProblem, by_vectors: bool) -> String {
    let each = 16 / p.dtype.bytes();
    // Metal's matrices are read from single elements.
    let (spread, stored) = if by_vectors { (each / 4, "vec4<Part>") } else { (each, "Part") };
    let mut out = format!("const EACH: u32 = {each}u;\nconst SPREAD: u32 = {spread}u;\nalias Stored = {stored};\n");
    let parts = || ["low", "high"].into_iter().take(each / 4).enumerate();
    for name in ["a", "b"] {
        let one = |(i, part): (usize, &str)| {
            if by_vectors {
                return format!("slice_{name}[at * SPREAD + {i}u] = x.{part};");
            }
            let lane = |(j, c): (usize, char)| format!("slice_{name}[at * SPREAD + {}u] = x.{part}.{c};", 4 * i + j);
            "xyzw".chars().enumerate().map(lane).collect::<Vec<_>>().join(" ")
        };
        let body = parts().map(one).collect::<Vec<_>>().join(" ");
        let _ = writeln!(out, "fn keep_{name}(at: u32, x: Piece) {{ {body} }}");
    }
    let each = "store_d(at, y); store_d(next, z);";
    let body = if p.dtype.bytes() == 2 {
        format!(
            "if (next != at + 1 || (at & 1) != 0) {{ {each} return; }}\n    put_word_d(at >> 1u, bits_d(y) | (bits_d(z) << 16u));"
        )
    } else {
        each.to_string()
    };
    let _ = writeln!(out, "fn store_pair(at: i32, next: i32, y: Acc, z: Acc) {{\n    {body}\n}}");
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
