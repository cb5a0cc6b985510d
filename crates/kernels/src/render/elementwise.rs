//! The prelude of ops over an index space: the shape's class, the arrays' types and how they lie,
//! and the expressions as inline functions with their loads.

use crate::frame::{Frame, Function};
use kernelsmith_core::DType;
use std::fmt::Write as _;

/// What goes before `elementwise.cuh`.
pub fn prelude(f: &Frame) -> String {
    let mut out = String::new();
    let (constants, seeds) = f.room();
    let _ = writeln!(out, "#define WIDE {}", u8::from(f.wide));
    out.push_str("#include \"cast.cuh\"\n");
    let acc = if f.arithmetic == DType::F64 { "double" } else { "float" };
    let _ = writeln!(out, "using Acc = {acc};");
    let mut constant = |name: &str, value: i64| {
        let _ = writeln!(out, "[[maybe_unused]] constexpr int {name} = {value};");
    };
    constant("RANK", f.shape.len() as i64);
    constant("OUTER", f.outer as i64);
    constant("ARRAYS", f.arrays.len() as i64);
    constant("OUT", f.out as i64);
    constant("CONSTANTS", constants as i64);
    constant("SEEDS", seeds as i64);
    constant("LANES", f.lanes as i64);
    constant("SHIFT", f.shift as i64);
    if let Some(lanes) = f.column_lanes {
        constant("COLUMN_LANES", lanes as i64);
    }
    f.named.iter().for_each(|(name, value)| constant(name, *value));
    out.push_str("template <int I> struct Array;\ntemplate <int I, int D> struct Walk;\n");
    for (i, array) in f.arrays.iter().enumerate() {
        let dtype = if array.dtype == DType::Bool { "boolean" } else { array.dtype.name() };
        let _ = writeln!(out, "template <> struct Array<{i}> {{ using Type = {dtype}; }};");
        let mut walk = |dim: usize, lanes: usize, shift: usize| {
            let (step, piece) = (f.step(i, dim), f.piece(i, dim, lanes, shift));
            let _ = writeln!(
                out,
                "template <> struct Walk<{i}, {dim}> {{ static constexpr int STEP = {step}, PIECE = {piece}; }};"
            );
        };
        walk(f.last(), f.lanes, f.shift);
        if let Some(lanes) = f.column_lanes {
            walk(f.outer - 1, lanes, 0);
        }
    }
    out
}

/// The expressions, after `elementwise.cuh`.
pub fn functions(f: &Frame) -> String {
    f.functions.iter().map(function).collect()
}

fn function(f: &Function) -> String {
    let mut name = f.name.to_string();
    name[..1].make_ascii_uppercase();
    let mut out = format!("template <int COUNT, int DIM>\nstruct {name}Inputs {{\n");
    for i in &f.inputs {
        let _ = writeln!(out, "    Lanes<Array<{i}>::Type, held<{i}, DIM>(COUNT)> x{i};");
    }
    let _ = writeln!(out, "}};\ntemplate <int COUNT, int DIM>");
    let _ = writeln!(
        out,
        "__device__ __forceinline__ void load({name}Inputs<COUNT, DIM>& in, const Arrays& a, const Place& p) {{"
    );
    for i in &f.inputs {
        let _ = writeln!(out, "    load_array<{i}, COUNT, DIM>(in.x{i}, a, p);");
    }
    let _ = writeln!(out, "}}\ntemplate <int COUNT, int DIM>");
    let _ = writeln!(
        out,
        "__device__ __forceinline__ void put({name}Inputs<COUNT, DIM>& to, int j, const {name}Inputs<1, DIM>& from) {{"
    );
    for i in &f.inputs {
        let _ = writeln!(out, "    to.x{i}.set(held<{i}, DIM>(COUNT) == 1 ? 0 : j, from.x{i}.get(0));");
    }
    let value = if f.takes_value { ", Acc v" } else { "" };
    let _ = writeln!(out, "}}\ntemplate <int COUNT, int DIM>");
    let _ = writeln!(
        out,
        "__device__ __forceinline__ Acc {}(const {name}Inputs<COUNT, DIM>& in, int j, const Arrays& a, const Place& p{value}) {{",
        f.name
    );
    for i in &f.inputs {
        let _ = writeln!(out, "    const Acc x{i} = lane<{i}, DIM>(in.x{i}, j);");
    }
    for d in &f.indices {
        let _ = writeln!(out, "    const Acc i{d} = index_at<{d}, DIM>(p, j);");
    }
    let _ = writeln!(out, "    return {};\n}}", f.body);
    out
}
