//! WGSL: a prelude of constants, arguments, bindings and accesses, the shared headers, then the
//! variant's file.
//!
//! Every operand is a storage binding, numbered as in `problem.operands()`; then come scratch and
//! counters where a launch uses them, and last `args`. Storage is read in whole words:
//! `access.rs` says how smaller elements lie in them.

mod access;
mod arguments;
mod attention;
mod product;
mod space;

pub use access::Windows;
use access::{Held, Unit};
pub use arguments::{Member, Value, pack};

use super::{Rendered, hex};
use crate::Config;
use crate::catalogue::{Catalogue, CatalogueError, scope};
use crate::facts::DeviceFacts;
use crate::frame::{Dialect, Frame};
use crate::geometry::Launch;
use crate::manifest::Variant;
use kernelsmith_core::ops::attention::AttentionProblem;
use kernelsmith_core::ops::gemm::GemmProblem;
use kernelsmith_core::{DType, Problem};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A candidate's module on a problem and what its launches pass.
#[derive(Clone, Debug)]
pub struct Portable {
    pub rendered: Rendered,
    /// One a launch, in order.
    pub launches: Vec<PortableLaunch>,
    /// How each operand is bound, in order: the first bindings.
    pub operands: Vec<Windows>,
    /// Which of them are bound as vectors of 16 bytes.
    pub quads: Vec<bool>,
    /// Bytes of scratch, a binding where it is not 0.
    pub workspace: usize,
    /// Number of u32 counters, a binding where it is not 0.
    pub counters: usize,
}

/// One dispatch.
#[derive(Clone, Debug)]
pub struct PortableLaunch {
    pub entry: String,
    /// Workgroups.
    pub grid: [u32; 3],
    /// The members of `args`, in the order of their declaration.
    pub arguments: Vec<Member>,
}

/// Renders one candidate and problem.
///
/// # Errors
/// What [`Variant::launches`] fails with, arguments that WGSL cannot hold, sizes that 32 bits cannot count.
pub fn wgsl(
    catalogue: &Catalogue,
    variant: &Variant,
    config: &Config,
    problem: &Problem,
    facts: &DeviceFacts,
) -> Result<Portable, CatalogueError> {
    let fail = |reason: String| CatalogueError::Config {
        candidate: variant.name.clone(),
        reason: format!("{reason} on {problem}"),
    };
    let mut scope = scope(problem, facts);
    variant.bind(&mut scope, config)?;
    let frame = Frame::with(problem, Dialect::Wgsl);
    let launches = variant.launches(config, problem, facts)?;
    let operands = problem.operands();
    let arguments = arguments::of(variant, &launches, problem, frame.as_ref(), &scope).map_err(fail)?;
    let (workspace, counters) = scratch(&launches);

    let has = |feature: &str| facts.adapter.features.iter().any(|f| f == feature);
    let mut source = format!("// Rendered from kernels/{}/{}.\n", variant.op, variant.source);
    source.push_str(&matrix_types(config, problem));
    for (name, value) in config.iter() {
        let _ = writeln!(source, "const {name}: u32 = {value}u;");
    }
    let double = match (&frame, problem.downcast::<GemmProblem>()) {
        (Some(frame), _) => frame.arithmetic == DType::F64,
        (None, Some(p)) => p.dtype == DType::F64,
        _ => false,
    };
    let native = has("f64");
    // What is only moved needs no arithmetic.
    let bare = double && !native && frame.as_ref().is_some_and(|f| f.copies);
    let double = double && !bare;
    if double && !native {
        return Err(fail("its arithmetic is f64, which the device does not have".to_string()));
    }
    let _ = writeln!(source, "alias Acc = {};", if double { "f64" } else { "f32" });
    source.push_str(&arguments::declaration(arguments.first().ok_or_else(|| fail("it has no launch".to_string()))?));
    let most = usize::try_from(facts.adapter.binding_max).unwrap_or(usize::MAX);
    let held: Vec<Held> = operands
        .iter()
        .enumerate()
        .map(|(i, o)| Held {
            windows: Windows::of(o, most),
            output: i + 1 == operands.len(),
            unit: unit_of(variant, config, problem, frame.as_ref(), i),
        })
        .collect();
    if held.iter().any(|h| h.unit == Unit::Pieces && h.windows.count > 1) {
        return Err(fail(format!("an operand is longer than the {most} bytes that are bound at once")));
    }
    let mut binding = 0;
    for (operand, held) in operands.iter().zip(&held) {
        source.push_str(&access::binding(binding, operand, *held, native));
        binding += held.windows.count;
    }
    if workspace > 0 {
        let _ = writeln!(source, "@group(0) @binding({binding}) var<storage, read_write> workspace: array<Acc>;");
        binding += 1;
    }
    if counters > 0 {
        let _ =
            writeln!(source, "@group(0) @binding({binding}) var<storage, read_write> counters: array<atomic<u32>>;");
        binding += 1;
    }
    source.push_str(&unused_scratch(&launches, workspace, counters));
    let space = arguments_space(facts.adapter.software);
    let _ = writeln!(source, "@group(0) @binding({binding}) var<{space}> args: Arguments;");
    let mut text = String::from("#include \"bits.wgsl\"\n");
    // The driver's own conversions, where it was seen that they round as they must.
    text.push_str(if has("halves") { "#include \"halves.wgsl\"\n" } else { "#include \"halves_in_words.wgsl\"\n" });
    text.push_str(if double { "#include \"double.wgsl\"\n" } else { "#include \"single.wgsl\"\n" });
    text.push_str("#include \"random.wgsl\"\n");
    for (operand, held) in operands.iter().zip(&held) {
        text.push_str(&access::functions(operand, *held, double, native));
    }
    if let Some(frame) = &frame {
        if frame.wide {
            return Err(fail("its indices need 64 bits, which WGSL does not have".to_string()));
        }
        text.push_str(&space::prelude(frame, &operands, bare));
        if variant.quads {
            text.push_str(&space::vectors(frame, &operands, &held));
        }
    } else if let Some(p) = problem.downcast::<GemmProblem>() {
        text.push_str(&product::prelude(p, problem));
        if variant.quads {
            text.push_str(&product::vectors(p));
        }
        if matrix_of(config).is_some() {
            text.push_str(&product::matrices(p, facts.adapter.api == "vulkan"));
        }
    } else if let Some(p) = problem.downcast::<AttentionProblem>() {
        text.push_str(&attention::prelude(p));
    }
    text.push_str(&variant.text);
    let mut seen = BTreeSet::new();
    expand(catalogue, &text, &mut seen, &mut source);
    let hash = hex(&Sha256::digest(source.as_bytes()));
    let grids = launches.iter().map(|l| (l.entry.clone(), l.grid));
    let launches =
        grids.zip(arguments).map(|((entry, grid), arguments)| PortableLaunch { entry, grid, arguments }).collect();
    let rendered = Rendered { source, headers: Vec::new(), hash };
    let operands = held.iter().map(|h| h.windows).collect();
    let quads = held.iter().map(|h| h.unit != Unit::Word).collect();
    Ok(Portable { rendered, launches, operands, quads, workspace, counters })
}

/// What an operand's binding is an array of.
fn unit_of(variant: &Variant, config: &Config, problem: &Problem, frame: Option<&Frame>, i: usize) -> Unit {
    if let Some(p) = problem.downcast::<GemmProblem>() {
        let (layout, dtype) = match i {
            0 => (&p.a, p.inputs[0]),
            1 => (&p.b, p.inputs[1]),
            _ => return Unit::Word,
        };
        let whole = GemmProblem::inner(layout) < 2 && GemmProblem::vector(layout, dtype).1 * dtype.bytes() == 16;
        return match matrix_of(config) {
            Some(_) => Unit::Pieces,
            None if variant.quads && whole => Unit::Quad,
            None => Unit::Word,
        };
    }
    let whole = |f: &Frame| {
        let (array, last) = (&f.arrays[i], f.last());
        let all = f.piece(i, last, f.lanes, 0) == f.lanes;
        array.strides[last] == 1 && all && f.lanes * array.dtype.bytes() == 16
    };
    if variant.quads && frame.is_some_and(whole) { Unit::Quad } else { Unit::Word }
}

/// The size of the cooperative matrices that a kernel is made of.
fn matrix_of(config: &Config) -> Option<i64> {
    config.iter().find(|(name, _)| *name == "MATRIX").map(|(_, n)| n)
}

/// What a kernel calls its cooperative matrices, and their elements.
fn matrix_types(config: &Config, problem: &Problem) -> String {
    let Some(n) = matrix_of(config) else { return String::new() };
    let half = problem.operands()[0].dtype == DType::F16;
    let (enable, part, members) =
        if half { ("enable f16;\n", "f16", "low: vec4<f16>, high: vec4<f16>") } else { ("", "f32", "low: vec4<f32>") };
    format!(
        "{enable}enable wgpu_cooperative_matrix;\n\
         alias Part = {part};\n\
         struct Piece {{ {members} }}\n\
         alias MatrixA = coop_mat{n}x{n}<{part}, A>;\n\
         alias MatrixB = coop_mat{n}x{n}<{part}, B>;\n\
         alias MatrixC = coop_mat{n}x{n}<f32, C>;\n"
    )
}

/// Where `args` lies. lavapipe puts what a uniform holds into the code wherever it bounds a loop, and so compiles
/// a kernel anew for every launch: on an adapter of its kind they are storage, which it reads.
pub fn arguments_space(software: bool) -> &'static str {
    if software { "storage, read" } else { "uniform" }
}

/// Bytes of scratch and number of counters that the launches share.
fn scratch(launches: &[Launch]) -> (usize, usize) {
    use crate::geometry::Arg;
    let args = || launches.iter().flat_map(|l| &l.args);
    let bytes = args().filter_map(|a| if let Arg::Workspace(bytes) = a { Some(*bytes) } else { None }).max();
    let count = args().filter_map(|a| if let Arg::Counters(count) = a { Some(*count) } else { None }).max();
    (bytes.unwrap_or(0), count.unwrap_or(0))
}

/// What a kernel calls its scratch where a config needs none: the names must be there, memory need not.
fn unused_scratch(launches: &[Launch], workspace: usize, counters: usize) -> String {
    use crate::geometry::Arg;
    let has = |is: &dyn Fn(&Arg) -> bool| launches.iter().flat_map(|l| &l.args).any(is);
    let mut out = String::new();
    if workspace == 0 && has(&|a| matches!(a, Arg::Workspace(_))) {
        out.push_str("var<private> workspace: array<Acc, 1>;\n");
    }
    if counters == 0 && has(&|a| matches!(a, Arg::Counters(_))) {
        out.push_str("var<workgroup> counters: array<atomic<u32>, 1>;\n");
    }
    out
}

/// WGSL has no includes: a line that names a header becomes its text, the first time.
fn expand(catalogue: &Catalogue, text: &str, seen: &mut BTreeSet<String>, out: &mut String) {
    for line in text.lines() {
        let name = line.strip_prefix("#include \"").and_then(|rest| rest.strip_suffix('"'));
        match name.and_then(|n| catalogue.headers().get_key_value(n)) {
            Some((name, header)) => {
                if seen.insert(name.clone()) {
                    expand(catalogue, header, seen, out);
                }
            }
            // A name that is not known stays: the compiler then shows the line.
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
}
