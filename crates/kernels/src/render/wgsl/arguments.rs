//! The uniform `args`: its members by name, and how they are packed.
//!
//! Members are scalars, the eight-byte ones first, so that every one lies at a multiple of its size
//! in WGSL as in the packed bytes.

use crate::formula::Scope;
use crate::frame::Frame;
use crate::geometry::{Arg, Launch, MatrixArg};
use crate::manifest::{ArgSpec, LaunchSpec, Variant};
use kernelsmith_core::{DType, Problem};
use std::fmt::Write as _;

/// One member.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub name: String,
    pub value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    U32(u32),
    I32(i32),
    F32(f32),
    F64(f64),
    /// Position of an operand's first element in its binding: this many elements after what the
    /// buffer's own place in the binding adds.
    Offset {
        operand: usize,
        elements: i32,
    },
}

impl Value {
    fn wgsl(self) -> &'static str {
        match self {
            Value::U32(_) => "u32",
            Value::I32(_) | Value::Offset { .. } => "i32",
            Value::F32(_) => "f32",
            Value::F64(_) => "f64",
        }
    }
}

/// Bytes of the arguments; `place` gives, for an operand, the elements by which its buffer starts
/// after its binding.
pub fn pack(members: &[Member], place: &dyn Fn(usize) -> i32) -> Vec<u8> {
    let mut out = Vec::with_capacity(members.len() * 4 + 12);
    for member in members {
        match member.value {
            Value::U32(x) => out.extend(x.to_le_bytes()),
            Value::I32(x) => out.extend(x.to_le_bytes()),
            Value::F32(x) => out.extend(x.to_le_bytes()),
            Value::F64(x) => out.extend(x.to_le_bytes()),
            Value::Offset { operand, elements } => out.extend((elements + place(operand)).to_le_bytes()),
        }
    }
    out.resize(out.len().next_multiple_of(16), 0);
    out
}

pub fn declaration(members: &[Member]) -> String {
    let mut out = String::from("struct Arguments {\n");
    for member in members {
        let _ = writeln!(out, "    {}: {},", member.name, member.value.wgsl());
    }
    out.push_str("}\n");
    out
}

/// The members of each launch: the same names and types for all launches of a variant.
pub fn of(
    variant: &Variant,
    launches: &[Launch],
    problem: &Problem,
    frame: Option<&Frame>,
    scope: &Scope,
) -> Result<Vec<Vec<Member>>, String> {
    let specs: Vec<&LaunchSpec> =
        variant.launches.iter().filter(|s| s.when.as_ref().is_none_or(|w| w.bool(scope).unwrap_or(false))).collect();
    let mut lists = Vec::new();
    for (spec, launch) in specs.iter().zip(launches) {
        // Never read as anything but 0 by the compiler's knowledge: it hides what must not be folded.
        let mut members = vec![Member { name: "zero".to_string(), value: Value::U32(0) }];
        for (position, (spec, arg)) in spec.args.iter().zip(&launch.args).enumerate() {
            add(&mut members, spec, arg, position, problem, frame)?;
        }
        lists.push(members);
    }
    // What another launch names is there too, so that one struct serves the module.
    let mut all: Vec<Member> = Vec::new();
    for member in lists.iter().flatten() {
        match all.iter().find(|m| m.name == member.name) {
            Some(known) if known.value.wgsl() != member.value.wgsl() => {
                return Err(format!("argument `{}` is of two types", member.name));
            }
            Some(_) => {}
            None => all.push(member.clone()),
        }
    }
    all.sort_by_key(|m| !matches!(m.value, Value::F64(_)));
    let own = |list: &Vec<Member>, m: &Member| list.iter().find(|o| o.name == m.name).unwrap_or(m).clone();
    Ok(lists.iter().map(|list| all.iter().map(|m| own(list, m)).collect()).collect())
}

fn add(
    members: &mut Vec<Member>,
    spec: &ArgSpec,
    arg: &Arg,
    position: usize,
    problem: &Problem,
    frame: Option<&Frame>,
) -> Result<(), String> {
    let named = |f: &crate::formula::Formula| {
        let text = f.source();
        let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if plain { text.to_string() } else { format!("arg{position}") }
    };
    let operands = problem.operands();
    let mut push = |name: String, value: Value| {
        if !members.iter().any(|m| m.name == name) {
            members.push(Member { name, value });
        }
    };
    let narrow =
        |x: i64, what: &str| i32::try_from(x).map_err(|_| format!("`{what}` is {x}, which 32 bits do not hold"));
    let elements = |operand: usize, bytes: usize| narrow((bytes / operands[operand].dtype.bytes()) as i64, "an offset");
    let mut matrix = |name: &str, m: &MatrixArg| -> Result<(), String> {
        let offset = match m.operand {
            Some(operand) => Value::Offset { operand, elements: elements(operand, m.byte_offset)? },
            None => Value::I32(0),
        };
        push(format!("{name}_offset"), offset);
        let parts: &[&str] =
            if m.strides.len() == 4 { &["batch", "head", "row", "col"] } else { &["batch", "row", "col"] };
        for (part, stride) in parts.iter().zip(&m.strides) {
            push(format!("{name}_{part}"), Value::I32(narrow(*stride, "a stride")?));
        }
        Ok(())
    };
    match (spec, arg) {
        (ArgSpec::Matrix(name), Arg::Matrix(m)) => matrix(name, m)?,
        (ArgSpec::Epilogue, Arg::Epilogue(list)) => {
            for (name, m) in problem.expr_operands().iter().zip(list) {
                matrix(name, m)?;
            }
        }
        (ArgSpec::Buffer(name), Arg::Pointer { operand, byte_offset }) => {
            let elements = elements(*operand, *byte_offset)?;
            push(format!("{name}_offset"), Value::Offset { operand: *operand, elements });
        }
        (ArgSpec::I32(f) | ArgSpec::I64(f), Arg::I32(x)) => push(named(f), Value::I32(*x)),
        (ArgSpec::I32(f) | ArgSpec::I64(f), Arg::I64(x)) => push(named(f), Value::I32(narrow(*x, f.source())?)),
        (ArgSpec::F32(f) | ArgSpec::Acc(f), Arg::F32(x)) => push(named(f), Value::F32(*x)),
        (ArgSpec::F32(f) | ArgSpec::Acc(f), Arg::F64(x)) => push(named(f), Value::F64(*x)),
        (ArgSpec::Arrays, _) => {
            let frame = frame.ok_or("an `arrays` argument is not for this op")?;
            space(&mut push, problem, frame)?;
        }
        (ArgSpec::Workspace(_) | ArgSpec::Counters(_), _) => {}
        (ArgSpec::TensorMap(_), _) => return Err("WGSL has no tensor maps".to_string()),
        (ArgSpec::Settled(_), _) => return Err("launches of WGSL never overlap".to_string()),
        _ => return Err("an argument is not what was declared".to_string()),
    }
    Ok(())
}

/// Sizes, strides, offsets, constants and seeds of an index space.
fn space(push: &mut impl FnMut(String, Value), problem: &Problem, frame: &Frame) -> Result<(), String> {
    let operands = problem.operands();
    for (i, array) in frame.arrays.iter().enumerate() {
        let name = &operands[i].name;
        let elements = i32::try_from(array.offset).map_err(|_| format!("`{name}` starts beyond 31 bits"))?;
        push(format!("{name}_offset"), Value::Offset { operand: i, elements });
        for (d, stride) in array.strides.iter().enumerate() {
            let stride = i32::try_from(*stride).map_err(|_| format!("a stride of `{name}` is beyond 31 bits"))?;
            push(format!("{name}_s{d}"), Value::I32(stride));
        }
    }
    for (d, n) in frame.shape.iter().enumerate() {
        push(format!("size{d}"), Value::U32(*n as u32));
    }
    let product = |dims: &[usize]| dims.iter().product::<usize>() as u32;
    push("outer".to_string(), Value::U32(product(&frame.shape[..frame.outer])));
    push("inner".to_string(), Value::U32(product(&frame.shape[frame.outer..])));
    for (i, c) in frame.constants().iter().enumerate() {
        let value = if frame.arithmetic == DType::F64 { Value::F64(*c) } else { Value::F32(*c as f32) };
        push(format!("c{i}"), value);
    }
    for (i, seed) in frame.seeds().iter().enumerate() {
        push(format!("seed{i}_low"), Value::U32(*seed as u32));
        push(format!("seed{i}_high"), Value::U32((*seed >> 32) as u32));
    }
    Ok(())
}
