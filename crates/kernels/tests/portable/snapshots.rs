//! What a few kernels become, kept as files: a change of a kernel, of its prelude or of the translator shows as
//! a change of text that someone reads. Functions that a kernel does not call are left out.
//!
//! `KERNELSMITH_WRITE_SNAPSHOTS=1 cargo test -p kernelsmith-kernels --test portable` writes them anew.

use super::{facts, parsed};
use kernelsmith_core::Problem;
use kernelsmith_kernels::Catalogue;
use kernelsmith_kernels::render::wgsl::wgsl;
use naga::Module;
use naga::compact::{KeepUnused, compact};
use naga::proc::BoundsCheckPolicies;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use std::fmt::Write as _;
use std::path::Path;

const GEMM: (&str, &str, &str) = ("gemm", "tiled", "m=64,n=64,k=64,dtype=f32,layout=nt,epilogue=bias+relu");
const MAP: (&str, &str, &str) =
    ("map", "strided", "shape=8x16,expr=relu(add(mul(x0,2.5),x1)),x0=f32,x1=f32@0:1:8,out=f32");
const REDUCE: (&str, &str, &str) = ("reduce", "general", "kind=argmax,outer=8,inner=64,x0=f32,out=i32");
const SUBGROUP: (&str, &str, &str) = ("reduce", "subgroup", "kind=max,outer=8,inner=64,x0=f32,out=f16");
const ROW: (&str, &str, &str) = ("row", "general", "kind=softmax,rows=8,columns=64,x0=f16,out=f16");

/// The variant's default config on the problem, without what it does not call.
fn module((op, variant, problem): (&str, &str, &str)) -> (Module, ModuleInfo) {
    let (catalogue, facts) = (Catalogue::builtin().unwrap(), facts("vulkan"));
    let problem = Problem::parse(op, problem).unwrap();
    let variant = catalogue.variant(op, facts.target, variant).unwrap();
    let config = variant.fallback(&problem, &facts).unwrap().unwrap();
    let source = wgsl(&catalogue, variant, &config, &problem, &facts).unwrap().rendered.source;
    let (mut module, _) = parsed(&source, op);
    compact(&mut module, KeepUnused::No);
    let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module).unwrap();
    (module, info)
}

/// Compares with the file, or writes it where that is asked for.
fn same(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/portable/snapshots").join(name);
    if std::env::var_os("KERNELSMITH_WRITE_SNAPSHOTS").is_some() {
        return std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let at = kept.lines().zip(text.lines()).position(|(a, b)| a != b);
    let at = at.unwrap_or(kept.lines().count().min(text.lines().count()));
    assert!(
        kept == text,
        "{name} is another from line {} on: `{}` was `{}`. KERNELSMITH_WRITE_SNAPSHOTS=1 writes it anew",
        at + 1,
        text.lines().nth(at).unwrap_or("the end"),
        kept.lines().nth(at).unwrap_or("the end"),
    );
}

/// Translated without the language's checks, as the backend has it.
fn metal(place: (&str, &str, &str)) -> String {
    let (module, info) = module(place);
    let options = naga::back::msl::Options {
        lang_version: (3, 0),
        force_loop_bounding: false,
        emit_int_div_checks: false,
        zero_initialize_workgroup_memory: false,
        bounds_check_policies: BoundsCheckPolicies::default(),
        ..Default::default()
    };
    naga::back::msl::write_string(&module, &info, &options, &Default::default()).unwrap().0
}

fn hlsl(place: (&str, &str, &str)) -> String {
    let (module, info) = module(place);
    let options = naga::back::hlsl::Options {
        shader_model: naga::back::hlsl::ShaderModel::V6_6,
        // Where the number of workgroups is, which HLSL does not know.
        special_constants_binding: Some(naga::back::hlsl::BindTarget::default()),
        force_loop_bounding: false,
        restrict_indexing: false,
        zero_initialize_workgroup_memory: false,
        ..Default::default()
    };
    let (mut text, pipeline) = (String::new(), Default::default());
    naga::back::hlsl::Writer::new(&mut text, &options, &pipeline).write(&module, &info, None).unwrap();
    text
}

/// Of SPIR-V what a driver must have and what runs together: capabilities, extensions, the workgroup's size,
/// and how many barriers and atomic operations there are.
fn spirv(place: (&str, &str, &str)) -> String {
    const EXTENSION: u32 = 10;
    const EXECUTION_MODE: u32 = 16;
    const CAPABILITY: u32 = 17;
    const BARRIER: u32 = 224;
    const ATOMIC: std::ops::RangeInclusive<u32> = 227..=242;
    let (module, info) = module(place);
    let options = naga::back::spv::Options {
        lang_version: (1, 3),
        force_loop_bounding: false,
        zero_initialize_workgroup_memory: naga::back::spv::ZeroInitializeWorkgroupMemoryMode::None,
        ..Default::default()
    };
    let words = naga::back::spv::write_vec(&module, &info, &options, None).unwrap();
    let (mut out, mut barriers, mut atomics, mut at) = (String::new(), 0, 0, 5);
    while at < words.len() {
        let (length, code) = ((words[at] >> 16) as usize, words[at] & 0xffff);
        let operands = &words[at + 1..at + length];
        let _ = match code {
            CAPABILITY => writeln!(out, "capability {}", operands[0]),
            EXTENSION => {
                let bytes: Vec<u8> = operands.iter().flat_map(|w| w.to_le_bytes()).take_while(|b| *b != 0).collect();
                writeln!(out, "extension {}", String::from_utf8_lossy(&bytes))
            }
            EXECUTION_MODE => writeln!(out, "execution mode {:?}", &operands[1..]),
            _ => Ok(()),
        };
        barriers += usize::from(code == BARRIER);
        atomics += usize::from(ATOMIC.contains(&code));
        at += length;
    }
    let _ = writeln!(out, "barriers {barriers}\natomic operations {atomics}");
    out
}

#[test]
fn a_few_kernels_become_what_they_were() {
    same("gemm_tiled.metal", &metal(GEMM));
    same("gemm_tiled.hlsl", &hlsl(GEMM));
    same("map_strided.metal", &metal(MAP));
    same("reduce_general.hlsl", &hlsl(REDUCE));
    same("reduce_subgroup.spirv.txt", &spirv(SUBGROUP));
    same("row_general.spirv.txt", &spirv(ROW));
}
