//! The prelude of ops over an index space: its constants, a place in it, and the expressions.

use super::access::{self, Held, Unit};
use crate::frame::{Frame, Function};
use kernelsmith_core::{DType, Operand};
use std::fmt::Write as _;

/// `bare`: without the expressions, for a copy of what the adapter cannot compute with.
pub fn prelude(f: &Frame, operands: &[Operand], bare: bool) -> String {
    let mut out = String::new();
    let mut constant = |name: &str, value: i64| {
        let _ = writeln!(out, "const {name}: i32 = {value};");
    };
    constant("RANK", f.shape.len() as i64);
    constant("OUTER", f.outer as i64);
    constant("ARRAYS", f.arrays.len() as i64);
    f.named.iter().for_each(|(name, value)| constant(name, *value));
    for (name, dtype) in [("X", operands[0].dtype), ("OUT", operands[operands.len() - 1].dtype)] {
        constant(&format!("{name}_IS_I32"), i64::from(dtype == DType::I32));
        constant(&format!("{name}_IS_FLOAT"), i64::from(dtype.is_float()));
    }
    constant("OUT_EACH", 4 / operands[f.out].dtype.bytes().min(4) as i64);
    constant("OUT_DENSE", i64::from(is_dense(f)));
    // A point of the space, and where each array has it.
    let _ =
        writeln!(out, "struct Place {{ at: array<u32, {}>, offset: array<i32, {}> }}", f.shape.len(), f.arrays.len());
    let ranges = [("all", 0, f.shape.len()), ("outer", 0, f.outer), ("inner", f.outer, f.shape.len())];
    out.push_str("fn origin() -> Place {\n    var p: Place;\n");
    for (i, operand) in operands.iter().enumerate() {
        let _ = writeln!(out, "    p.offset[{i}] = args.{}_offset;", operand.name);
    }
    out.push_str("    return p;\n}\n");
    for (name, from, to) in ranges {
        enter(&mut out, f, operands, name, from, to);
    }
    along_last(&mut out, f, operands);
    let last = &operands[f.out].name;
    if f.copies {
        let first = &operands[0].name;
        let _ = writeln!(out, "fn move_one(p: Place) {{ put_{last}(p.offset[{}], raw_{first}(p.offset[0])); }}", f.out);
    }
    if bare {
        return out;
    }
    let _ = writeln!(out, "fn store_out_at(p: Place, y: Acc) {{ store_{last}(p.offset[{}], y); }}", f.out);
    for function in &f.functions {
        out.push_str(&expression(function, operands));
    }
    out.push_str(&position(&operands[f.out], f));
    named(&mut out, f, operands);
    out
}

/// What the constants that an op names stand for: the addend under a norm's root, a row's label, the axis
/// that an index replaces.
fn named(out: &mut String, f: &Frame, operands: &[Operand]) {
    let _ = writeln!(out, "fn row_length() -> u32 {{ return args.size{}; }}", f.last());
    let value = |name: &str| f.named.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    if let Some(at) = value("EPS") {
        let _ = writeln!(out, "fn epsilon() -> Acc {{ return args.c{at}; }}");
    }
    if let Some(label) = value("LABEL") {
        let body = match usize::try_from(label) {
            Ok(i) => format!("bitcast<i32>(raw_{}(p.offset[{i}]))", operands[i].name),
            Err(_) => "-1".to_string(),
        };
        let _ = writeln!(out, "fn label_of(p: Place) -> i32 {{ return {body}; }}");
    }
    if let Some(axis) = value("AXIS").and_then(|a| usize::try_from(a).ok()) {
        for operand in operands {
            let _ = writeln!(out, "fn {0}_axis() -> i32 {{ return args.{0}_s{axis}; }}", operand.name);
        }
        let below: Vec<String> = (axis + 1..f.shape.len()).map(|d| format!("args.size{d}")).collect();
        let below = if below.is_empty() { "1u".to_string() } else { below.join(" * ") };
        let _ = writeln!(out, "fn axis_size() -> u32 {{ return args.size{axis}; }}");
        let _ = writeln!(out, "fn axis_below() -> u32 {{ return {below}; }}");
    }
}

/// Whether the output's elements lie one after the other in the order of the space.
fn is_dense(f: &Frame) -> bool {
    let mut step = 1;
    f.shape.iter().zip(&f.arrays[f.out].strides).rev().all(|(n, stride)| {
        let dense = *n == 1 || *stride == step;
        step *= *n as isize;
        dense
    })
}

/// `enter_NAME(p, linear)`: p, at 0 along these dimensions, moved to their `linear`-th point.
fn enter(out: &mut String, f: &Frame, operands: &[Operand], name: &str, from: usize, to: usize) {
    let _ = writeln!(
        out,
        "fn enter_{name}(start: Place, linear: u32) -> Place {{\n    var p = start;\n    var rest = linear;"
    );
    for d in (from..to).rev() {
        if d > from {
            let _ = writeln!(
                out,
                "    let q{d} = rest / args.size{d};\n    p.at[{d}] = rest - q{d} * args.size{d};\n    rest = q{d};"
            );
        } else {
            let _ = writeln!(out, "    p.at[{d}] = rest;");
        }
        for (i, operand) in operands.iter().enumerate() {
            if f.arrays[i].strides[d] != 0 {
                let _ = writeln!(out, "    p.offset[{i}] += i32(p.at[{d}]) * args.{}_s{d};", operand.name);
            }
        }
    }
    out.push_str("    return p;\n}\n");
}

/// `along_last(p, by)`: p moved along the last dimension.
fn along_last(out: &mut String, f: &Frame, operands: &[Operand]) {
    let d = f.last();
    let _ = writeln!(out, "fn along_last(start: Place, by: u32) -> Place {{\n    var p = start;\n    p.at[{d}] += by;");
    for (i, operand) in operands.iter().enumerate() {
        if f.arrays[i].strides[d] != 0 {
            let _ = writeln!(out, "    p.offset[{i}] += i32(by) * args.{}_s{d};", operand.name);
        }
    }
    out.push_str("    return p;\n}\n");
}

/// For kernels that move vectors: `LANES` neighbours along the last dimension at once. A place is the first of
/// them, `expr_lanes(p)` the values, `store_lanes(p, y)` their way out; for a reduction `fold_lanes(s, p, at)`
/// takes them into a state, `at` being the first one's number.
pub fn vectors(f: &Frame, operands: &[Operand], held: &[Held]) -> String {
    let (lanes, last) = (f.lanes, f.last());
    let mut out = format!("const LANES: u32 = {lanes}u;\n");
    for function in f.functions.iter().filter(|f| !f.takes_value) {
        let names: Vec<String> = function.inputs.iter().map(|i| format!(", x{i}: Acc")).collect();
        let _ = writeln!(out, "fn {}_lane(p: Place, by: u32{}) -> Acc {{", function.name, names.concat());
        for d in &function.indices {
            let by = if *d == last { " + by" } else { "" };
            let _ = writeln!(out, "    let i{d} = Acc(p.at[{d}]{by});");
        }
        let _ = writeln!(out, "    return {};\n}}", function.body);
        let _ = writeln!(out, "fn {}_lanes(p: Place) -> array<Acc, LANES> {{", function.name);
        for i in &function.inputs {
            let name = &operands[*i].name;
            let _ = if held[*i].unit == Unit::Quad {
                writeln!(out, "    let q{i} = quad_{name}(p.offset[{i}] / {lanes});")
            } else {
                writeln!(out, "    let x{i} = load_{name}(p.offset[{i}]);")
            };
        }
        let _ = writeln!(out, "    return array<Acc, LANES>(");
        for lane in 0..lanes {
            let value = |i: &usize| {
                if held[*i].unit != Unit::Quad {
                    return format!(", x{i}");
                }
                format!(", {}", access::lane_of(operands[*i].dtype, &format!("q{i}"), lane))
            };
            let values: Vec<String> = function.inputs.iter().map(value).collect();
            let _ = writeln!(out, "        {}_lane(p, {lane}u{}),", function.name, values.concat());
        }
        out.push_str("    );\n}\n");
    }
    let output = &operands[f.out];
    if held[f.out].unit == Unit::Quad {
        let _ = writeln!(out, "fn store_lanes(p: Place, y: array<Acc, LANES>) {{");
        let each = lanes / 4;
        let bits = 32 / each;
        let word = |w: usize| {
            let part = |j: usize| {
                let bits_of = access::encoded(output.dtype, &format!("y[{}]", w * each + j), false);
                if j == 0 { bits_of } else { format!("({bits_of} << {}u)", bits * j) }
            };
            (0..each).map(part).collect::<Vec<_>>().join(" | ")
        };
        let words: Vec<String> = (0..4).map(word).collect();
        let (name, at) = (&output.name, f.out);
        let _ = writeln!(out, "    put_quad_{name}(p.offset[{at}] / {lanes}, vec4<u32>({}));\n}}", words.join(", "));
    }
    if f.named.iter().any(|(name, _)| *name == "POST_IS_VALUE") {
        out.push_str("fn fold_lanes(start: State, p: Place, at: u32) -> State {\n    let y = expr_lanes(p);\n");
        out.push_str("    var s = start;\n");
        for lane in 0..lanes {
            let _ = writeln!(out, "    s = merged(s, State(y[{lane}], at + {lane}u));");
        }
        out.push_str("    return s;\n}\n");
    }
    out
}

fn expression(function: &Function, operands: &[Operand]) -> String {
    let value = if function.takes_value { ", v: Acc" } else { "" };
    let mut out = format!("fn {}(p: Place{value}) -> Acc {{\n", function.name);
    for i in &function.inputs {
        let _ = writeln!(out, "    let x{i} = load_{}(p.offset[{i}]);", operands[*i].name);
    }
    for d in &function.indices {
        let _ = writeln!(out, "    let i{d} = Acc(p.at[{d}]);");
    }
    let _ = writeln!(out, "    return {};\n}}", function.body);
    out
}

/// `store_position(p, at)`: a whole number stored as it is, never by way of f32.
fn position(operand: &Operand, f: &Frame) -> String {
    let (name, at) = (&operand.name, f.out);
    let double = f.arithmetic == DType::F64;
    let body = match operand.dtype {
        DType::I32 => format!("put_{name}(p.offset[{at}], min(i, 0x7fffffffu));"),
        DType::U8 => format!("put_{name}(p.offset[{at}], min(i, 255u));"),
        DType::F64 => format!("put_{name}(p.offset[{at}], f64(i));"),
        dtype => format!("put_{name}(p.offset[{at}], {});", access::encoded(dtype, "Acc(i)", double)),
    };
    format!("fn store_position(p: Place, i: u32) {{ {body} }}\n")
}
