//! How elements are read from and written to storage.
//!
//! A binding is an array of 32-bit words (of f64 for f64). Elements of one or two bytes lie several
//! to a word. Two invocations may own elements of one word, so a narrow element is written by two
//! atomic operations that touch its own bits only: clear, then set.

use kernelsmith_core::{DType, Operand};
use std::fmt::Write as _;

/// Whether elements share words.
pub fn is_narrow(dtype: DType) -> bool {
    dtype.bytes() < 4
}

/// Whether a binding is declared as f64.
fn is_double(dtype: DType, native: bool) -> bool {
    dtype == DType::F64 && native
}

pub fn binding(index: usize, operand: &Operand, output: bool, native: bool) -> String {
    let element = match operand.dtype {
        d if is_double(d, native) => "f64",
        d if output && is_narrow(d) => "atomic<u32>",
        _ => "u32",
    };
    format!("@group(0) @binding({index}) var<storage, read_write> {}_data: array<{element}>;\n", operand.name)
}

/// `load_NAME(at)` (an input's element in the arithmetic) and `raw_NAME(at)` (its bits), or for the
/// output `store_NAME(at, y)` and `put_NAME(at, bits)`; where elements share words also `bits_NAME(y)` and
/// `put_word_NAME(at, word)`, for an invocation that owns a whole one.
pub fn functions(operand: &Operand, output: bool, double: bool, native: bool) -> String {
    let (name, dtype) = (&operand.name, operand.dtype);
    let mut out = String::new();
    if is_double(dtype, native) {
        // Bits of f64 are moved as f64.
        let _ = if output {
            writeln!(
                out,
                "fn store_{name}(at: i32, y: Acc) {{ {name}_data[at] = f64(y); }}\n\
                 fn put_{name}(at: i32, y: f64) {{ {name}_data[at] = y; }}"
            )
        } else {
            writeln!(
                out,
                "fn load_{name}(at: i32) -> Acc {{ return Acc({name}_data[at]); }}\n\
                 fn raw_{name}(at: i32) -> f64 {{ return {name}_data[at]; }}"
            )
        };
        return out;
    }
    if dtype == DType::F64 {
        let _ = if output {
            writeln!(
                out,
                "fn put_{name}(at: i32, y: vec2<u32>) {{ {name}_data[2 * at] = y.x; {name}_data[2 * at + 1] = y.y; }}"
            )
        } else {
            writeln!(
                out,
                "fn raw_{name}(at: i32) -> vec2<u32> {{ return vec2<u32>({name}_data[2 * at], {name}_data[2 * at + 1]); }}"
            )
        };
        return out;
    }
    let (each, bits) = (4 / dtype.bytes(), 8 * dtype.bytes());
    let shift = each.trailing_zeros();
    if !output {
        let _ = if each == 1 {
            writeln!(out, "fn raw_{name}(at: i32) -> u32 {{ return {name}_data[at]; }}")
        } else {
            let mask = (1u32 << bits) - 1;
            writeln!(
                out,
                "fn raw_{name}(at: i32) -> u32 {{ return ({name}_data[at >> {shift}u] >> ({bits}u * (u32(at) & {}u))) & {mask}u; }}",
                each - 1
            )
        };
        let _ = writeln!(out, "fn load_{name}(at: i32) -> Acc {{ return {}; }}", decoded(dtype, &format!("raw_{name}(at)")));
        return out;
    }
    let _ = if each == 1 {
        writeln!(out, "fn put_{name}(at: i32, bits: u32) {{ {name}_data[at] = bits; }}")
    } else {
        let mask = (1u32 << bits) - 1;
        writeln!(
            out,
            "fn put_{name}(at: i32, bits: u32) {{\n    let shift = {bits}u * (u32(at) & {}u);\n    \
             atomicAnd(&{name}_data[at >> {shift}u], ~({mask}u << shift));\n    \
             atomicOr(&{name}_data[at >> {shift}u], bits << shift);\n}}",
            each - 1
        )
    };
    if is_narrow(dtype) {
        let bits = encoded(dtype, "y", double);
        let _ = writeln!(
            out,
            "fn bits_{name}(y: Acc) -> u32 {{ return {bits}; }}\n\
             fn put_word_{name}(at: i32, word: u32) {{ atomicStore(&{name}_data[at], word); }}"
        );
    }
    let _ = writeln!(out, "fn store_{name}(at: i32, y: Acc) {{ put_{name}(at, {}); }}", encoded(dtype, "y", double));
    out
}

/// Bits as a number of the arithmetic.
fn decoded(dtype: DType, bits: &str) -> String {
    match dtype {
        DType::F16 => format!("Acc(f16_to_f32({bits}))"),
        DType::BF16 => format!("Acc(bitcast<f32>({bits} << 16u))"),
        DType::I32 => format!("Acc(bitcast<i32>({bits}))"),
        DType::U8 | DType::Bool => format!("Acc({bits})"),
        DType::E4M3 | DType::E5M2 => "Acc(0)".to_string(),
        DType::F32 | DType::F64 => format!("Acc(bitcast<f32>({bits}))"),
    }
}

/// A number of the arithmetic as the bits that are stored, rounded as Rust's `as` does.
pub fn encoded(dtype: DType, y: &str, double: bool) -> String {
    let odd = if double { format!("round_to_odd({y})") } else { y.to_string() };
    match dtype {
        DType::F16 => format!("f32_to_f16({odd})"),
        DType::BF16 => format!("f32_to_bf16({odd})"),
        DType::I32 => format!("bitcast<u32>(to_i32({y}))"),
        DType::U8 => format!("to_u8({y})"),
        DType::Bool => format!("to_bool({y})"),
        DType::E4M3 | DType::E5M2 => "0u".to_string(),
        DType::F32 | DType::F64 => format!("bitcast<u32>(f32({y}))"),
    }
}
