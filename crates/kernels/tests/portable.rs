//! Every WGSL variant is translated to what the backends' drivers take: SPIR-V for Vulkan, MSL for Metal,
//! HLSL for DX12. Nothing runs here. SPIR-V is validated where `spirv-val` is installed, which
//! `KERNELSMITH_REQUIRE_SPIRV_VAL` makes a must.

#[path = "portable/snapshots.rs"]
mod snapshots;

use kernelsmith_core::Problem;
use kernelsmith_kernels::facts::Adapter;
use kernelsmith_kernels::render::wgsl::wgsl;
use kernelsmith_kernels::{Catalogue, Config, DeviceFacts, Target, Variant};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// An adapter of an API that has everything that a variant may ask for.
fn facts(api: &str) -> DeviceFacts {
    let texts = |list: &[&str]| list.iter().map(|s| s.to_string()).collect();
    DeviceFacts {
        target: Target::Wgsl,
        cc: 0,
        sms: 0,
        shared_max: 32 << 10,
        adapter: Adapter {
            api: api.into(),
            software: false,
            features: texts(&["f16", "f64", "int64", "subgroups", "timestamps", "matrices", "halves"]),
            subgroup_min: 32,
            subgroup_max: 32,
            block_max: 1024,
            binding_max: 1 << 30,
            bindings: 16,
            loop_max: 1 << 40,
            matrices: texts(&["16x16x16 f16>f32", "16x16x16 f16>f16", "8x8x8 f16>f32", "8x8x8 f32>f32"]),
        },
        ..DeviceFacts::h200()
    }
}

/// Problems that between them reach every variant, dtype and function.
const PROBLEMS: &[(&str, &str)] = &[
    ("gemm", "m=64,n=64,k=64,dtype=f32"),
    ("gemm", "m=64,n=64,k=64,dtype=f16,layout=nt,epilogue=bias+gelu"),
    ("gemm", "m=4,n=64,k=64,dtype=bf16,layout=nt,epilogue=bias+silu"),
    ("gemm", "m=1,n=64,k=64,dtype=f32,beta=0.5"),
    ("gemm", "m=64,n=64,k=64,dtype=f64"),
    ("gemm", "m=128,n=128,k=64,dtype=f16,layout=tn,epilogue=bias"),
    ("gemm", "m=128,n=128,k=64,dtype=f16,layout=nt"),
    ("map", "shape=8x64,expr=add(x0,mul(x1,i1)),x0=f16,x1=f16@0:1:0,out=f16"),
    ("map", "shape=8x16,expr=add(mul(x0,2.5),tanh(x1)),x0=f32,x1=f16@0:1:8,out=bf16"),
    ("map", "shape=128,expr=select(lt(x0,0),sin(x0),pow(abs(x0),0.3)),x0=u8,out=bool"),
    ("map", "shape=128,expr=gelu(silu(gelu_tanh(sigmoid(erf(exp(log(cos(x0)))))))),x0=f32,out=f32"),
    ("map", "shape=128,expr=add(normal(7,i0),uniform(8,i0)),out=f32"),
    ("map", "shape=128,expr=max(min(x0,3),i32(x0)),x0=i32,out=i32"),
    ("map", "shape=8x16,expr=x0,x0=u8@0:1:8,out=u8"),
    ("map", "shape=128,expr=pow(sin(x0),tanh(erf(x0))),x0=f64,out=f64"),
    ("reduce", "kind=sum,outer=8,inner=64,x0=f32,out=f32"),
    ("reduce", "kind=argmax,outer=scalar,inner=8192,x0=f16,out=i32"),
    ("reduce", "kind=argmax,outer=8,inner=64,x0=f16,out=i32"),
    ("reduce", "kind=max,outer=8,inner=64,x0=i32,out=i32"),
    ("row", "kind=softmax,rows=8,columns=64,x0=f32,out=f32"),
    ("row", "kind=layer_norm,rows=8,columns=64,x0=f16,out=f16"),
    ("gather", "shape=16x8,axis=0,size=32,x=f32,index=i32@0:1:0,out=f32"),
    ("scatter_add", "shape=16x8,axis=0,size=32,x=f32,index=i32@0:1:0,out=f32"),
    ("attention", "heads=4,kv_heads=2,queries=8,keys=32,head=16,dtype=f16,causal=1"),
];

/// Every variant on every problem that it takes through an API, with its default config.
fn each(api: &str, mut visit: impl FnMut(&Variant, &Config, &Problem, &str, &[String])) {
    let (catalogue, facts) = (Catalogue::builtin().unwrap(), facts(api));
    for (op, text) in PROBLEMS {
        let problem = Problem::parse(op, text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let (able, _) = catalogue.capable(&problem, &facts).unwrap();
        assert!(!able.is_empty(), "{text}: no variant takes it");
        for variant in able {
            let Some(config) = variant.fallback(&problem, &facts).unwrap() else { continue };
            let portable = wgsl(&catalogue, &variant, &config, &problem, &facts).unwrap();
            let entries: Vec<String> = portable.launches.iter().map(|l| l.entry.clone()).collect();
            visit(&variant, &config, &problem, &portable.rendered.source, &entries);
        }
    }
}

fn parsed(source: &str, what: &str) -> (naga::Module, ModuleInfo) {
    let module =
        naga::front::wgsl::parse_str(source).unwrap_or_else(|e| panic!("{what}: {}", e.emit_to_string(source)));
    let info = Validator::new(ValidationFlags::all(), Capabilities::all())
        .validate(&module)
        .unwrap_or_else(|e| panic!("{what}: {}", e.emit_to_string(source)));
    (module, info)
}

#[test]
fn every_variant_is_reached() {
    let mut seen = Vec::new();
    each("vulkan", |variant, _, _, _, _| seen.push((variant.op.clone(), variant.name.clone())));
    for variant in Catalogue::builtin().unwrap().all().iter().filter(|v| v.target == Target::Wgsl) {
        assert!(seen.contains(&(variant.op.clone(), variant.name.clone())), "{}/{}", variant.op, variant.name);
    }
}

#[test]
fn every_variant_becomes_valid_spirv() {
    let validator = Command::new("spirv-val").arg("--version").output().is_ok();
    let must = std::env::var_os("KERNELSMITH_REQUIRE_SPIRV_VAL").is_some();
    assert!(validator || !must, "spirv-val is not installed");
    if !validator {
        eprintln!("NOT VALIDATED: spirv-val is not installed");
    }
    each("vulkan", |variant, _, problem, source, _| {
        let what = format!("{}/{} on {problem}", variant.op, variant.name);
        let (module, info) = parsed(source, &what);
        let options = naga::back::spv::Options { lang_version: (1, 3), ..Default::default() };
        let words =
            naga::back::spv::write_vec(&module, &info, &options, None).unwrap_or_else(|e| panic!("{what}: {e}"));
        if validator {
            let mut child = Command::new("spirv-val")
                .args(["--target-env", "vulkan1.1", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            child.stdin.take().unwrap().write_all(&bytes).unwrap();
            let out = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
            if said.contains("Invalid capability operand: 6022") {
                eprintln!("NOT VALIDATED: {what}: this spirv-val does not know cooperative matrices");
                return;
            }
            assert!(out.status.success(), "{what}: {}", String::from_utf8_lossy(&out.stderr));
        }
    });
}

/// Metal has no f64 and DX12 only parts of it: what is in f64 is for Vulkan alone.
fn has_f64(source: &str) -> bool {
    source.contains("alias Acc = f64") || source.contains("array<f64>")
}

#[test]
fn every_variant_becomes_msl() {
    let mut matrices = 0;
    each("metal", |variant, _, problem, source, _| {
        if has_f64(source) {
            return;
        }
        let what = format!("{}/{} on {problem}", variant.op, variant.name);
        let (module, info) = parsed(source, &what);
        let options = naga::back::msl::Options { lang_version: (3, 0), ..Default::default() };
        let pipeline = naga::back::msl::PipelineOptions::default();
        let (text, _) = naga::back::msl::write_string(&module, &info, &options, &pipeline)
            .unwrap_or_else(|e| panic!("{what} as MSL: {e}"));
        assert!(text.contains("kernel void"), "{what}");
        // Metal's matrices are 8 by 8 only.
        assert!(!source.contains("coop_mat16x16"), "{what}");
        matrices += usize::from(text.contains("simdgroup_half8x8") || text.contains("simdgroup_float8x8"));
    });
    assert!(matrices > 0);
}

/// DX12 has no cooperative matrices here, and is offered none.
#[test]
fn every_variant_becomes_hlsl() {
    each("dx12", |variant, _, problem, source, _| {
        if has_f64(source) {
            return;
        }
        let what = format!("{}/{} on {problem}", variant.op, variant.name);
        let (module, info) = parsed(source, &what);
        let options =
            naga::back::hlsl::Options { shader_model: naga::back::hlsl::ShaderModel::V6_6, ..Default::default() };
        let pipeline = naga::back::hlsl::PipelineOptions::default();
        let mut text = String::new();
        naga::back::hlsl::Writer::new(&mut text, &options, &pipeline)
            .write(&module, &info, None)
            .unwrap_or_else(|e| panic!("{what} as HLSL: {e}"));
        assert!(text.contains("numthreads"), "{what}");
    });
}

/// lavapipe compiled a kernel anew for every launch whose loops a uniform bounds.
#[test]
fn a_software_adapter_has_no_uniform_to_compile_in() {
    let (catalogue, mut facts) = (Catalogue::builtin().unwrap(), facts("vulkan"));
    let problem = Problem::parse("gemm", "m=64,n=64,k=64,dtype=f32").unwrap();
    let variant = catalogue.variant("gemm", Target::Wgsl, "naive").unwrap();
    for (software, space) in [(false, "var<uniform> args"), (true, "var<storage, read> args")] {
        facts.adapter.software = software;
        let config = variant.fallback(&problem, &facts).unwrap().unwrap();
        let source = wgsl(&catalogue, variant, &config, &problem, &facts).unwrap().rendered.source;
        assert!(source.contains(space), "software: {software}");
        parsed(&source, space);
    }
}
