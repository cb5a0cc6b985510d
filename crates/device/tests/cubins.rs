//! Every CUDA variant compiles for Hopper, every config at least once, with no spills, no stack
//! and no serialised matrix instructions. Needs NVRTC, not a GPU.
#![cfg(feature = "cuda")]

use kernelsmith_core::Problem;
use kernelsmith_device::cache::CompileCache;
use kernelsmith_device::cuda::compile::{compile, resources, version};
use kernelsmith_kernels::{Catalogue, Config, DeviceFacts, Target, Variant, render};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Dtypes, layouts, alignments, epilogues and sizes that render differently.
const GEMM: [&str; 50] = [
    "m=4096,n=4096,k=4096,dtype=f16",
    "m=512,n=512,k=512,dtype=f32,layout=tn,epilogue=bias+gelu",
    "m=1,n=9728,k=896,dtype=f16,layout=nt",
    "m=64,n=64,k=64,dtype=f32,layout=nt",
    "m=256,n=256,k=1024,dtype=f32,compute=tf32,layout=tt",
    "m=2048,n=2048,k=2048,dtype=bf16,layout=tn,beta=1.0",
    "m=8,n=896,k=4864,dtype=f32,layout=nt,epilogue=bias+silu",
    "m=300,n=200,k=333,dtype=f16,layout=tt,epilogue=residual+relu",
    "m=4,n=1001,k=777,dtype=bf16",
    "m=256,n=256,k=256,dtype=f64",
    "m=2,n=512,k=4096,dtype=f64,layout=nt",
    "batch=14,m=1,n=64,k=67,dtype=f16,alpha=0.125,beta=1.0",
    "m=1024,n=1024,k=1024,dtype=f32,layout=nt",
    "m=128,n=128,k=8192,dtype=f16,layout=nt",
    "m=96,n=160,k=200,dtype=f16,a=1@0:300:2,b=0@0:1:256,d=1@0:1:96",
    "m=5,n=40,k=512,dtype=f32,b=3@0:97:2,epilogue=scale(0.5)+bias_row+gelu_tanh",
    "m=4096,n=4096,k=4096,dtype=f32,compute=tf32",
    "m=1,n=128256,k=4096,dtype=bf16,layout=nt",
    "m=64,n=96,k=128,dtype=f16,expr=select(lt(v,x0),sin(v),f16(mul(v,0.3))),x0=f16@0:0:0:1",
    "m=8,n=96,k=128,dtype=f64,expr=pow(abs(v),cos(v))",
    "m=256,n=128,k=784,dtype=f32,layout=nt,epilogue=bias+relu",
    "m=128,n=784,k=256,dtype=f32,layout=tn,expr=add(add(v,mul(x0,0.001)),mul(x1,0.9)),x0=f32,x1=f32",
    "m=10,n=128,k=256,dtype=f32,layout=tn,expr=add(add(v,mul(x0,0.001)),mul(x1,0.9)),x0=f32,x1=f32",
    "m=256,n=10,k=128,dtype=f32,layout=nt,epilogue=bias",
    "m=8192,n=8192,k=8192,dtype=f16,layout=nt",
    "m=512,n=512,k=512,dtype=bf16,layout=nt",
    "m=16,n=896,k=4864,dtype=f16,layout=nt",
    "m=64,n=9728,k=896,dtype=bf16,layout=nt,epilogue=bias",
    "m=64,n=64,k=64,dtype=f16,layout=tn",
    "batch=2,m=30,n=50,k=70,dtype=bf16,layout=nn,beta=0.5,epilogue=residual+relu",
    "m=1024,n=1024,k=1024,dtype=f16,layout=nn",
    "m=1000,n=776,k=200,dtype=bf16,layout=tt,epilogue=bias+gelu",
    "m=520,n=264,k=1096,dtype=f16,layout=tn,beta=0.5,d=0@0:1:520",
    "m=640,n=768,k=256,dtype=f16,layout=nt,epilogue=residual+relu",
    // What tensor copies cannot read.
    "m=1000,n=1001,k=1003,dtype=f16,layout=tn,epilogue=bias",
    "m=1024,n=2048,k=1023,dtype=bf16,layout=nt",
    "batch=2,m=3000,n=3000,k=600,dtype=f16,a=1@1800600:601:1,b=600@1800000:-1:600",
    "batch=3,m=200,n=136,k=264,dtype=bf16,layout=nt,epilogue=bias+relu",
    "m=4096,n=4096,k=4096,dtype=f32,compute=tf32,layout=nt",
    "m=512,n=512,k=512,dtype=f32,compute=tf32,layout=nt,beta=1.0,epilogue=bias+gelu",
    "m=4096,n=4096,k=4096,dtype=f32,compute=f32x3",
    "m=1000,n=776,k=200,dtype=f32,compute=f32x3,layout=tt,epilogue=bias+gelu,beta=1.0",
    "batch=2,m=300,n=201,k=333,dtype=f32,compute=f32x3,layout=tn,epilogue=residual+scale(0.5)",
    "m=512,n=512,k=512,dtype=f32,compute=f32x3,layout=nt,d=0@0:1:512",
    "m=4096,n=4096,k=4096,dtype=bf16,inputs=e4m3,compute=fast,layout=nt",
    "m=8192,n=8192,k=8192,dtype=f16,inputs=e4m3:e5m2,layout=nt,epilogue=bias+gelu",
    "m=4096,n=4096,k=4096,dtype=f32,inputs=e5m2:e4m3,compute=fast,layout=nt,epilogue=bias,beta=1.0",
    "batch=2,m=200,n=300,k=400,dtype=f16,inputs=e5m2,compute=fast,layout=nt,epilogue=residual+scale(0.5)",
    "m=520,n=264,k=1104,dtype=bf16,inputs=e4m3,layout=nt,d=0@0:1:520",
    "m=100,n=33,k=77,dtype=bf16,inputs=e4m3:e5m2,layout=nn,epilogue=bias",
];

const MAP: [&str; 24] = [
    "shape=268435456,expr=gelu(x0),x0=f32,out=f32",
    "shape=268435456,expr=relu(add(x0,x1)),x0=f16,x1=f16,out=f16",
    "shape=1001,expr=add(mul(x0,x1),x2),x0=f32@3:1,x1=f32@1:1,x2=f32@0:0,out=f32@2:1",
    "shape=60000x784,expr=mul(x0,0.00392156862745098),x0=u8,out=f32",
    "shape=1000003,expr=div(sub(x0,x1),sqrt(add(x2,1e-8))),x0=bf16,x1=f32,x2=f32,out=bf16@5:1",
    "shape=4096x1000,expr=add(x0,x1),x0=f16@0:1024:1,x1=f16@0:0:1,out=f16",
    "shape=4096x1001,expr=add(x0,x1),x0=f32,x1=f32@0:1:0,out=f32",
    "shape=512x512,expr=x0,x0=f32@0:1:512,out=f32",
    "shape=3x5x7x11x2x2x2x3,expr=add(x0,i7),x0=f64@0:1:3:15:105:1155:2310:4620:9240,out=f32",
    "shape=777x33,expr=x0,x0=bool@2400:-3:5,out=i32@0:1:777",
    "shape=4096,expr=select(lt(x0,x1),x2,neg(x0)),x0=i32,x1=i32,x2=i32,out=i32",
    "shape=100000,expr=not(ne(x0,le(x1,eq(x0,0)))),x0=u8,x1=u8,out=bool",
    "shape=64x64,expr=select(lt(uniform(3,add(mul(i0,64),i1)),0.1),0,mul(x0,1.1111)),x0=f16,out=f16",
    "shape=65536x300,expr=normal(11,add(mul(i0,300),i1)),out=f32",
    "shape=1x1,expr=normal(5,i1),out=f64",
    "shape=scalar,expr=1e-3,out=f32",
    "shape=5000,expr=f16(bf16(i32(u8(bool(f64(f32(x0))))))),x0=f64,out=bf16",
    "shape=5000,expr=bf16(f16(x0)),x0=f64,out=f16",
    "shape=4096,expr=max(min(abs(x0),neg(x1)),silu(sigmoid(tanh(x0)))),x0=f32,x1=f32,out=u8",
    "shape=4096,expr=add(gelu_tanh(x0),add(exp(x0),add(log(x0),add(recip(x0),add(rsqrt(x0),erf(x0)))))),x0=f32,out=f32",
    "shape=4096,expr=add(sin(x0),mul(cos(x0),pow(x0,x1))),x0=f64,x1=f64,out=f64",
    "shape=4096,expr=add(sin(x0),mul(cos(x0),pow(x0,x1))),x0=f16,x1=f32,out=f32",
    "shape=4096,expr=add(gelu_tanh(x0),add(gelu(x0),add(log(x0),add(recip(x0),add(rsqrt(x0),erf(x0)))))),x0=f64,out=f64",
    "shape=9999,expr=add(x0,add(x1,add(x2,add(x3,add(x4,add(x5,add(x6,add(x7,add(x8,add(x9,add(x10,x11))))))))))),\
     x0=f32,x1=f32,x2=f32,x3=f32,x4=f32,x5=f32,x6=f32,x7=f32,x8=f16,x9=f16,x10=bf16,x11=u8,out=f32",
];

const REDUCE: [&str; 22] = [
    "kind=sum,outer=scalar,inner=268435456,x0=f32,out=f32",
    "kind=sum,outer=scalar,inner=1048576,expr=mul(x0,x0),post=sqrt(v),x0=f16,out=f32",
    "kind=max,outer=scalar,inner=268435456,x0=f16,out=f16",
    "kind=min,outer=4,inner=1000003,x0=bf16,out=bf16",
    "kind=sum,outer=4096,inner=4096,x0=f32,out=f32",
    "kind=sum,outer=60000,inner=10,x0=f32,out=f32",
    "kind=argmax,outer=256,inner=10,x0=f32,out=i32",
    "kind=argmax,outer=10000,inner=151936,x0=f16,out=i32",
    "kind=argmin,outer=3,inner=70001,x0=f64,out=i32",
    "kind=argmin,outer=2x3,inner=5x7,post=mul(v,0.5),x0=u8,out=f32",
    "kind=sum,outer=784,inner=256,x0=f32@0:1:784,out=f32",
    "kind=sum,outer=10,inner=60000,expr=mul(x0,x1),x0=f16@0:1:10,x1=f32@0:0:1,out=f16",
    "kind=max,outer=5x128,inner=40,x0=f16@0:5120:1:128,out=f16",
    "kind=argmax,outer=1000,inner=33,x0=bf16@0:1:1000,out=i32",
    "kind=sum,outer=64,inner=64x4096,x0=f32@0:1:262144:64,out=f32",
    "kind=sum,outer=128,inner=32x16x16,post=mul(add(v,x1),0.1),x0=bf16@0:16:2048:128:1,x1=bf16@0:1:0:0:0,out=bf16",
    "kind=sum,outer=7x3,inner=scalar,expr=sin(add(x0,i1)),x0=f32,out=f64",
    "kind=sum,outer=100,inner=1000,expr=x0,x0=i32@1:1001:1,out=i32",
    "kind=max,outer=33,inner=1001,expr=x0,x0=f32@3:1003:1,out=f32@0:2",
    "kind=sum,outer=8,inner=99999,expr=exp(sub(x0,x1)),post=log(v),x0=f64,x1=f64@0:1:0,out=f64",
    "kind=sum,outer=512,inner=1024,expr=ne(x0,0),x0=bool,out=i32",
    "kind=max,outer=3x5x2,inner=7x11x2x2x3,x0=u8@0:1:3:15:30:210:2310:4620:9240,out=u8",
];

const ROW: [&str; 20] = [
    "kind=softmax,rows=4096,columns=4096,x0=f16,out=f16",
    "kind=softmax,rows=32768,columns=1024,x0=f32,out=f32",
    "kind=softmax,rows=8192,columns=32768,x0=f32,out=f32",
    "kind=softmax,rows=8192,columns=32768,x0=f16,out=f16",
    "kind=layer_norm,rows=4096,columns=4096,eps=1e-5,post=add(mul(v,x1),x2),x0=f16,x1=f16@0:0:1,x2=f16@0:0:1,out=f16",
    "kind=layer_norm,rows=8192,columns=32768,eps=1e-5,x0=f32,out=f32",
    "kind=rms_norm,rows=32768,columns=1024,eps=1e-6,expr=add(x0,x1),post=mul(v,x2),x0=bf16,x1=bf16,x2=bf16@0:0:1,out=bf16",
    "kind=rms_norm,rows=8192,columns=32768,eps=1e-6,x0=f16,out=f16",
    "kind=cross_entropy,rows=256,columns=10,label=1,x0=f32,x1=i32@0:1:0,out=f32",
    "kind=cross_entropy,rows=4096,columns=151936,label=1,post=mul(v,0.25),x0=bf16,x1=i32@0:1:0,out=f32",
    "kind=softmax,rows=256,columns=10,label=1,post=mul(v,0.00390625),x0=f32,x1=i32@0:1:0,out=f32",
    "kind=log_softmax,rows=100,columns=1001,x0=f32,out=f16",
    "kind=log_softmax,rows=33,columns=70,x0=f64,out=f64",
    "kind=softmax,rows=8x12x128,columns=128,expr=select(x1,mul(x0,0.125),-inf),x0=f16,x1=bool@0:0:0:128:1,out=f16",
    "kind=layer_norm,rows=45,columns=70,eps=1e-5,x0=f32@0:1:45,out=f32@0:1:45",
    "kind=layer_norm,rows=64,columns=4096,eps=1e-5,x0=f64,out=f64",
    "kind=cross_entropy,rows=5,columns=33000,x0=f16@1:33001:1,out=f64",
    "kind=rms_norm,rows=3,columns=1000003,eps=1e-6,x0=f32,out=f32",
    "kind=softmax,rows=1,columns=1,x0=u8,out=f32",
    "kind=softmax,rows=1024,columns=2048,expr=mul(gelu(add(x0,x1)),x2),x0=f32,x1=f32,x2=f32,out=f32",
];

const GATHER: [&str; 8] = [
    "shape=256x784,axis=0,size=60000,x=f32,index=i32@0:1:0,out=f32",
    "shape=256,axis=0,size=60000,x=i32,index=i32,out=i32",
    "shape=8192x896,axis=0,size=151936,x=bf16,index=i32@0:1:0,out=bf16",
    "shape=256x784,axis=0,size=60000,x=u8,index=i32@0:1:0,out=u8",
    "shape=31x129,axis=1,size=17,x=f64,index=i32,out=f64",
    "shape=3x11x7,axis=1,size=40,x=f16,index=i32,out=f16",
    "shape=45x70,axis=0,size=23,x=bool@1:73:1,index=i32@0:1:0,out=bool@0:1:45",
    "shape=64x3x70,axis=0,size=301,x=f32,index=i32@0:1:0:0,out=f32@2:300:80:1",
];

const SCATTER_ADD: [&str; 6] = [
    "shape=8192x896,axis=0,size=1000,x=bf16,index=i32@0:1:0,out=bf16",
    "shape=256x128,axis=0,size=1000,x=f32,index=i32@0:1:0,out=f32",
    "shape=97,axis=0,size=13,x=f64,index=i32,out=f64",
    "shape=31x129,axis=1,size=17,x=f16,index=i32,out=f16",
    "shape=3x11x7,axis=1,size=40,x=f32,index=i32,out=f32@1:300:7:1",
    "shape=45x70,axis=0,size=23,x=f32@0:1:45,index=i32@0:1:0,out=f32@0:1:23",
];

const ATTENTION: [&str; 15] = [
    "batch=4,heads=16,queries=2048,keys=2048,head=128,dtype=f16,causal=1",
    "batch=4,heads=16,queries=2048,keys=2048,head=64,dtype=bf16",
    "batch=4,heads=16,queries=2048,keys=2048,head=128,dtype=bf16",
    "batch=4,heads=16,queries=2048,keys=2048,head=64,dtype=f16,causal=1,order=bshd",
    "heads=4,queries=300,keys=301,head=256,dtype=f16,causal=1",
    "heads=4,queries=300,keys=301,head=256,dtype=bf16",
    "heads=4,queries=300,keys=301,head=16,dtype=f16",
    "heads=4,queries=300,keys=301,head=80,dtype=bf16,causal=1",
    "heads=32,kv_heads=4,queries=1,keys=4096,head=256,dtype=f16",
    "heads=32,kv_heads=8,queries=1,keys=4096,head=128,dtype=f16",
    "heads=16,kv_heads=2,queries=1,keys=4096,head=128,dtype=f32,causal=1",
    "heads=16,kv_heads=2,queries=1,keys=4096,head=64,dtype=bf16",
    "heads=2,queries=30,keys=50,head=128,dtype=f32,causal=1",
    "heads=2,queries=30,keys=50,head=20,dtype=f32",
    "heads=2,queries=30,keys=50,head=1000,dtype=bf16,causal=1",
];

const PROBLEMS: [(&str, &[&str]); 7] = [
    ("gemm", &GEMM),
    ("map", &MAP),
    ("reduce", &REDUCE),
    ("row", &ROW),
    ("gather", &GATHER),
    ("scatter_add", &SCATTER_ADD),
    ("attention", &ATTENTION),
];

/// The candidates whose sources differ: each config of each variant once, and its default on every problem.
fn jobs(catalogue: &Catalogue, facts: &DeviceFacts, op: &str, problems: &[&str]) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    for variant in catalogue.variants(op, Target::Cuda).filter(|v| v.source.contains('.')) {
        let mut seen = BTreeSet::new();
        for text in problems {
            let problem = Problem::parse(op, text).unwrap_or_else(|e| panic!("{e}"));
            let (able, gaps) = catalogue.capable(&problem, facts).unwrap();
            assert!(!able.is_empty(), "nothing runs {op} {text}: {gaps:?}");
            if !able.iter().any(|v| v.name == variant.name) {
                continue;
            }
            let fallback = variant.fallback(&problem, facts).unwrap();
            for config in variant.space(&problem, facts).unwrap() {
                if seen.insert(config.to_string()) || fallback.as_ref() == Some(&config) {
                    jobs.push((variant.clone(), config, problem.clone()));
                }
            }
        }
        assert!(!seen.is_empty(), "no problem here reaches {op} {}", variant.name);
    }
    jobs
}

type Job = (Arc<Variant>, Config, Problem);

fn compiles_cleanly(ops: &[&str]) {
    if let Err(reason) = version() {
        assert!(std::env::var_os("KERNELSMITH_REQUIRE_NVRTC").is_none(), "NVRTC is required and not usable: {reason}");
        println!("skipped: {reason}");
        return;
    }
    let catalogue = Catalogue::builtin().unwrap();
    let facts = DeviceFacts::h200();
    let listed = PROBLEMS.iter().filter(|(op, _)| ops.contains(op));
    let mut jobs: Vec<Job> = listed.flat_map(|(op, problems)| jobs(&catalogue, &facts, op, problems)).collect();
    // For whoever writes a variant: KERNELSMITH_VARIANT=skinny cargo test --test cubins
    if let Ok(only) = std::env::var("KERNELSMITH_VARIANT") {
        jobs.retain(|(variant, ..)| variant.name == only);
    }
    let cache = CompileCache::at(env!("CARGO_TARGET_TMPDIR"));
    let faults: Vec<String> = jobs
        .par_iter()
        .filter_map(|(variant, config, problem)| {
            let name = format!("{} {}[{config}] on {problem}", variant.op, variant.name);
            let rendered = render::cuda(&catalogue, variant, config, problem, &facts).unwrap();
            match compile(&rendered, facts.cc, &name, Some(&cache)) {
                Err(error) => Some(error.to_string()),
                Ok((compiled, _)) => {
                    let r = resources(&compiled.log);
                    let clean = r.spill_bytes == 0 && r.stack_bytes == 0 && r.serialised == 0 && r.registers > 0;
                    (!clean).then(|| format!("{name}: {r:?}"))
                }
            }
        })
        .collect();
    println!("{} configs compiled", jobs.len());
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), jobs.len(), faults.join("\n"));
}

#[test]
fn every_product_compiles_without_spills_or_serialised_matrix_instructions() {
    compiles_cleanly(&["gemm"]);
}

#[test]
fn every_map_and_movement_compiles_without_spills() {
    compiles_cleanly(&["map", "gather", "scatter_add"]);
}

#[test]
fn every_reduction_compiles_without_spills() {
    compiles_cleanly(&["reduce"]);
}

#[test]
fn every_row_operation_compiles_without_spills() {
    compiles_cleanly(&["row"]);
}

#[test]
fn every_attention_compiles_without_spills_or_serialised_matrix_instructions() {
    compiles_cleanly(&["attention"]);
}

/// A changing constant or seed must not compile anything, nor must a changing size.
#[test]
fn numbers_and_sizes_are_arguments() {
    let catalogue = Catalogue::builtin().unwrap();
    let facts = DeviceFacts::h200();
    for (op, name, texts) in [
        (
            "map",
            "vector",
            [
                "shape=1000,expr=sub(x0,mul(x1,0.01)),x0=f32,x1=f32,out=f32",
                "shape=3000,expr=sub(x0,mul(x1,0.03)),x0=f32,x1=f32,out=f32",
            ],
        ),
        ("map", "strided", ["shape=10x20,expr=uniform(1,i1),out=f32", "shape=30x20,expr=uniform(2,i1),out=f32"]),
        (
            "row",
            "general",
            [
                "kind=rms_norm,rows=5,columns=64,eps=1e-5,x0=f32,out=f32",
                "kind=rms_norm,rows=9,columns=96,eps=1e-6,x0=f32,out=f32",
            ],
        ),
        ("reduce", "general", ["kind=sum,outer=9,inner=64,x0=f32,out=f32", "kind=sum,outer=7,inner=92,x0=f32,out=f32"]),
        (
            "attention",
            "flash",
            [
                "heads=8,kv_heads=2,queries=9,keys=64,head=64,dtype=f16,causal=1",
                "batch=3,heads=2,queries=70,keys=96,head=64,dtype=f16,causal=1,scale=0.3,order=bshd",
            ],
        ),
    ] {
        let variant = catalogue.variant(op, Target::Cuda, name).unwrap();
        let hash = |text: &str| {
            let problem = Problem::parse(op, text).unwrap();
            render::cuda(&catalogue, variant, &variant.default, &problem, &facts).unwrap().hash
        };
        assert_eq!(hash(texts[0]), hash(texts[1]), "{op} {name}");
    }
}

#[test]
fn a_compiler_error_names_the_candidate_and_carries_the_log() {
    if version().is_err() {
        return;
    }
    let rendered = render::Rendered { source: "__global__ void broken( {".into(), headers: vec![], hash: "x".into() };
    let error = compile(&rendered, 90, "broken[A=1]", None).unwrap_err().to_string();
    assert!(error.contains("broken[A=1]") && error.contains("error"), "{error}");
}
