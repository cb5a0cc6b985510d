//! How elements are read from and written to storage.
//!
//! A binding is an array of 32-bit words (of f64 for f64). An operand that is longer than the adapter binds
//! is bound in several windows. Elements of one or two bytes lie several to a word. Two invocations may own
//! elements of one word, so a narrow element is written by two atomic operations that touch its own bits
//! only: clear, then set.

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

/// How an operand is bound: whole, or where it is longer than one binding may be, in windows of the
/// same length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    pub count: usize,
    pub bytes: usize,
}

/// Bytes that a binding may start before its operand: the largest alignment that an adapter asks for.
const SLACK: usize = 256;

impl Windows {
    /// `most` is what the adapter binds at once, in bytes; 0 is no limit.
    pub fn of(operand: &Operand, most: usize) -> Windows {
        let (needed, bytes) = (operand.bytes() + SLACK, most / SLACK * SLACK);
        if bytes == 0 || needed <= bytes {
            Windows { count: 1, bytes: usize::MAX }
        } else {
            Windows { count: needed.div_ceil(bytes), bytes }
        }
    }
}

/// What a binding is an array of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// 32-bit words (f64 for f64); atomic ones for outputs of narrow elements.
    Word,
    /// Vectors of four words: then one invocation owns a whole vector, and nothing is atomic.
    Quad,
    /// Pieces of 16 bytes, of elements of a cooperative matrix: `Piece`.
    Pieces,
}

/// How an operand is held.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub windows: Windows,
    pub output: bool,
    pub unit: Unit,
}

pub fn binding(first: usize, operand: &Operand, held: Held, native: bool) -> String {
    let (name, Held { windows, output, unit }) = (&operand.name, held);
    let element = match operand.dtype {
        _ if unit == Unit::Pieces => "Piece",
        d if is_double(d, native) => "f64",
        _ if unit == Unit::Quad => "vec4<u32>",
        d if output && is_narrow(d) => "atomic<u32>",
        _ => "u32",
    };
    let mut out = String::new();
    let mut declare = |index: usize, name: &str| {
        let _ = writeln!(out, "@group(0) @binding({index}) var<storage, read_write> {name}: array<{element}>;");
    };
    if windows.count == 1 {
        declare(first, &format!("{name}_data"));
        return out;
    }
    (0..windows.count).for_each(|w| declare(first + w, &format!("{name}_data_{w}")));
    // One function an access that is made of it: which window an index lies in is found out there.
    if unit == Unit::Quad {
        quad_windows(&mut out, name, windows, output);
        return out;
    }
    let length = windows.bytes / if element == "f64" { 8 } else { 4 };
    let mut function = |head: &str, body: &dyn Fn(&str) -> String| {
        let _ = writeln!(out, "{head} {{\n    let w = u32(i);");
        for w in 0..windows.count {
            let place = format!("{name}_data_{w}[w - {}u]", w * length);
            let last = w + 1 == windows.count;
            let test = if last { String::new() } else { format!("if (w < {}u) ", (w + 1) * length) };
            let _ = writeln!(out, "    {test}{{ {} }}", body(&place));
        }
        out.push_str("}\n");
    };
    match (output, element) {
        (false, _) => {
            function(&format!("fn word_{name}(i: i32) -> {element}"), &|place| format!("return {place};"));
        }
        (true, "atomic<u32>") => {
            function(&format!("fn clear_{name}(i: i32, x: u32)"), &|p| format!("atomicAnd(&{p}, x); return;"));
            function(&format!("fn join_{name}(i: i32, x: u32)"), &|p| format!("atomicOr(&{p}, x); return;"));
            function(&format!("fn set_{name}(i: i32, x: u32)"), &|p| format!("atomicStore(&{p}, x); return;"));
        }
        (true, _) => function(&format!("fn set_{name}(i: i32, x: {element})"), &|p| format!("{p} = x; return;")),
    }
    out
}

/// Accesses of whole vectors and of words to an operand that is bound in several windows.
fn quad_windows(out: &mut String, name: &str, windows: Windows, output: bool) {
    let length = windows.bytes / 16;
    let mut function = |head: &str, index: &str, body: &dyn Fn(&str) -> String| {
        let _ = writeln!(out, "{head} {{\n    let w = {index};");
        for w in 0..windows.count {
            let place = format!("{name}_data_{w}[w - {}u]", w * length);
            let last = w + 1 == windows.count;
            let test = if last { String::new() } else { format!("if (w < {}u) ", (w + 1) * length) };
            let _ = writeln!(out, "    {test}{{ {} }}", body(&place));
        }
        out.push_str("}\n");
    };
    let (whole, part) = ("u32(i)", "u32(i) >> 2u");
    function(&format!("fn quad_{name}(i: i32) -> vec4<u32>"), whole, &|p| format!("return {p};"));
    function(&format!("fn word_{name}(i: i32) -> u32"), part, &|p| format!("return {p}[u32(i) & 3u];"));
    if output {
        function(&format!("fn put_quad_{name}(i: i32, x: vec4<u32>)"), whole, &|p| format!("{p} = x; return;"));
        function(&format!("fn set_{name}(i: i32, x: u32)"), part, &|p| format!("{p}[u32(i) & 3u] = x; return;"));
    }
}

/// `load_NAME(at)` (an input's element in the arithmetic) and `raw_NAME(at)` (its bits), or for the
/// output `store_NAME(at, y)` and `put_NAME(at, bits)`; where elements share words also `bits_NAME(y)` and
/// `put_word_NAME(at, word)`, for an invocation that owns a whole one. Held as quads there are also
/// `quad_NAME(i)` and for the output `put_quad_NAME(i, quad)`: the i-th vector of the binding.
pub fn functions(operand: &Operand, held: Held, double: bool, native: bool) -> String {
    let (name, dtype, Held { windows, output, unit }) = (&operand.name, operand.dtype, held);
    if unit == Unit::Pieces {
        return format!("fn piece_{name}(i: i32) -> Piece {{ return {name}_data[i]; }}\n");
    }
    let (whole, quads) = (windows.count == 1, unit == Unit::Quad);
    let place =
        |at: &str| if quads { format!("{name}_data[({at}) >> 2u][({at}) & 3]") } else { format!("{name}_data[{at}]") };
    let read = |at: &str| if whole { place(at) } else { format!("word_{name}({at})") };
    let write =
        |at: &str, x: &str| if whole { format!("{} = {x}", place(at)) } else { format!("set_{name}({at}, {x})") };
    let mut out = String::new();
    if quads && whole {
        let _ = writeln!(out, "fn quad_{name}(i: i32) -> vec4<u32> {{ return {name}_data[i]; }}");
        if output {
            let _ = writeln!(out, "fn put_quad_{name}(i: i32, x: vec4<u32>) {{ {name}_data[i] = x; }}");
        }
    }
    if is_double(dtype, native) {
        // Bits of f64 are moved as f64.
        let _ = if output {
            writeln!(
                out,
                "fn store_{name}(at: i32, y: Acc) {{ {}; }}\n\
                 fn put_{name}(at: i32, y: f64) {{ {}; }}",
                write("at", "f64(y)"),
                write("at", "y")
            )
        } else {
            writeln!(
                out,
                "fn load_{name}(at: i32) -> Acc {{ return Acc({0}); }}\n\
                 fn raw_{name}(at: i32) -> f64 {{ return {0}; }}",
                read("at")
            )
        };
        return out;
    }
    if dtype == DType::F64 {
        let _ = if output {
            writeln!(
                out,
                "fn put_{name}(at: i32, y: vec2<u32>) {{ {}; {}; }}",
                write("2 * at", "y.x"),
                write("2 * at + 1", "y.y")
            )
        } else {
            writeln!(
                out,
                "fn raw_{name}(at: i32) -> vec2<u32> {{ return vec2<u32>({}, {}); }}",
                read("2 * at"),
                read("2 * at + 1")
            )
        };
        return out;
    }
    let (each, bits) = (4 / dtype.bytes(), 8 * dtype.bytes());
    let shift = each.trailing_zeros();
    if !output {
        let _ = if each == 1 {
            writeln!(out, "fn raw_{name}(at: i32) -> u32 {{ return {}; }}", read("at"))
        } else {
            let mask = (1u32 << bits) - 1;
            writeln!(
                out,
                "fn raw_{name}(at: i32) -> u32 {{ return ({} >> ({bits}u * (u32(at) & {}u))) & {mask}u; }}",
                read(&format!("at >> {shift}u")),
                each - 1
            )
        };
        let _ = writeln!(
            out,
            "fn load_{name}(at: i32) -> Acc {{ return {}; }}",
            decoded(dtype, &format!("raw_{name}(at)"))
        );
        return out;
    }
    let _ = if each == 1 {
        writeln!(out, "fn put_{name}(at: i32, bits: u32) {{ {}; }}", write("at", "bits"))
    } else if quads {
        let mask = (1u32 << bits) - 1;
        let word = format!("(at >> {shift}u)");
        let joined = format!("({} & ~({mask}u << shift)) | (bits << shift)", read(&word));
        writeln!(
            out,
            "fn put_{name}(at: i32, bits: u32) {{\n    let shift = {bits}u * (u32(at) & {}u);\n    {};\n}}",
            each - 1,
            write(&word, &joined)
        )
    } else {
        let mask = (1u32 << bits) - 1;
        let word = format!("at >> {shift}u");
        let atomic = |function: &str, own: &str, x: &str| {
            if whole { format!("{function}(&{name}_data[{word}], {x})") } else { format!("{own}_{name}({word}, {x})") }
        };
        writeln!(
            out,
            "fn put_{name}(at: i32, bits: u32) {{\n    let shift = {bits}u * (u32(at) & {}u);\n    {};\n    {};\n}}",
            each - 1,
            atomic("atomicAnd", "clear", &format!("~({mask}u << shift)")),
            atomic("atomicOr", "join", "bits << shift")
        )
    };
    if is_narrow(dtype) {
        let bits = encoded(dtype, "y", double);
        let _ = writeln!(
            out,
            "fn bits_{name}(y: Acc) -> u32 {{ return {bits}; }}\n\
             fn put_word_{name}(at: i32, word: u32) {{ {}; }}",
            if whole && !quads { format!("atomicStore(&{name}_data[at], word)") } else { write("at", "word") }
        );
    }
    let _ = writeln!(out, "fn store_{name}(at: i32, y: Acc) {{ put_{name}(at, {}); }}", encoded(dtype, "y", double));
    out
}

/// One element of a vector of four words, as a number of the arithmetic.
pub fn lane_of(dtype: DType, quad: &str, lane: usize) -> String {
    let bits = 8 * dtype.bytes();
    let (word, shift) = (lane * bits / 32, lane * bits % 32);
    let word = format!("{quad}[{word}]");
    let pair = ["x", "y"][shift / 16 % 2];
    match dtype {
        DType::F16 => return format!("Acc(f16_pair({word}).{pair})"),
        DType::BF16 => return format!("Acc(bf16_pair({word}).{pair})"),
        _ => {}
    }
    let raw = match (bits, shift) {
        (32, _) => word,
        (_, 0) => format!("({word} & {}u)", (1u32 << bits) - 1),
        _ if shift + bits == 32 => format!("({word} >> {shift}u)"),
        _ => format!("(({word} >> {shift}u) & {}u)", (1u32 << bits) - 1),
    };
    decoded(dtype, &raw)
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
