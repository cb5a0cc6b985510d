//! Every CUDA variant of the ops other than products with its default config
//! against the oracle, on each op's edge cases. On a machine without a GPU each test says that it
//! did nothing.
#![cfg(feature = "cuda")]

use kernelsmith_core::inputs::{Inputs, for_each_position, hash};
use kernelsmith_core::ops::OracleBudget;
use kernelsmith_core::{HostArray, Problem};
use kernelsmith_device::executable::allocate_operands;
use kernelsmith_device::{Buffer, Device, DeviceId, Executable};
use kernelsmith_kernels::{Candidate, Catalogue};
use std::sync::Arc;

fn gpu() -> Option<Device> {
    match Device::open(DeviceId::Cuda(0)) {
        Ok(device) => Some(device),
        Err(error) => {
            println!("did nothing: {error}");
            None
        }
    }
}

const POISON: u8 = 0xa5;

fn upload(device: &Device, problem: &Problem, inputs: Inputs, seed: u64) -> (Vec<Buffer>, Vec<HostArray>) {
    let operands = allocate_operands(device, problem).unwrap();
    let fill = |(i, o): (usize, &kernelsmith_core::Operand)| o.fill(inputs, hash(seed, i as u64));
    let arrays: Vec<HostArray> = problem.inputs().iter().enumerate().map(fill).collect();
    for (buffer, array) in operands.iter().zip(&arrays) {
        device.queue().write(buffer, 0, array.as_bytes()).unwrap();
    }
    (operands, arrays)
}

/// What a launch leaves in the output, which held poison before.
fn run(device: &Device, executable: &Executable, problem: &Problem, operands: &[Buffer]) -> HostArray {
    let queue = device.queue();
    let output = operands.last().unwrap();
    queue.fill(output, POISON).unwrap();
    executable.launch(&queue, operands).unwrap();
    let mut out = HostArray::zeros(problem.output().dtype, problem.output().layout.span());
    queue.read(output, 0, out.as_bytes_mut()).unwrap();
    out
}

/// The first fault of a candidate on a problem, in words.
fn fault(device: &Device, executable: &Executable, problem: &Problem, inputs: Inputs) -> Option<String> {
    let (operands, arrays) = upload(device, problem, inputs, 0x6b73);
    let out = run(device, executable, problem, &operands);
    let reference = problem.reference(&arrays.iter().collect::<Vec<_>>(), inputs, OracleBudget::default());
    let compared = reference.compare(&out, &problem.output().layout);
    if !compared.passes() {
        return Some(format!("{} of {} wrong, {:?}", compared.wrong, compared.checked, compared.worst));
    }
    let again = run(device, executable, problem, &operands);
    if executable.is_deterministic() && out.as_bytes() != again.as_bytes() {
        return Some("two runs differ".to_string());
    }
    let size = out.dtype().bytes();
    let mut touched = vec![false; out.len()];
    for_each_position(&problem.output().layout, |_, p| touched[p] = true);
    let stray =
        (0..out.len()).find(|&p| !touched[p] && out.as_bytes()[p * size..(p + 1) * size].iter().any(|b| *b != POISON));
    if let Some(p) = stray {
        return Some(format!("element {p} outside the output was written"));
    }
    for (buffer, array) in operands.iter().zip(&arrays) {
        let mut after = HostArray::zeros(array.dtype(), array.len());
        device.queue().read(buffer, 0, after.as_bytes_mut()).unwrap();
        if after.as_bytes() != array.as_bytes() {
            return Some("an input was changed".to_string());
        }
    }
    None
}

fn every_variant_is_right(op: &str, problems: &[&str]) {
    let Some(device) = gpu() else { return };
    let catalogue = Catalogue::builtin().unwrap();
    let (mut checked, mut faults) = (0, Vec::new());
    for text in problems {
        let base = Problem::parse(op, text).unwrap_or_else(|e| panic!("{e}"));
        let edges = base.edge_cases();
        for problem in std::iter::once(base).chain(edges) {
            let (able, gaps) = catalogue.capable(&problem, device.facts()).unwrap();
            assert!(!able.is_empty(), "nothing runs {op} {problem}: {gaps:?}");
            for variant in able {
                let Some(config) = variant.fallback(&problem, device.facts()).unwrap() else { continue };
                let candidate = Candidate { variant: variant.name.clone(), config };
                let executable = Executable::prepare(&device, &catalogue, &candidate, &problem)
                    .unwrap_or_else(|e| panic!("{op} {candidate} on {problem}: {e}"));
                for inputs in [Inputs::Normal, Inputs::Integer, Inputs::Special] {
                    checked += 1;
                    if let Some(fault) = fault(&device, &executable, &problem, inputs) {
                        faults.push(format!("{op} {candidate} on {problem}, {inputs:?}: {fault}"));
                    }
                }
            }
        }
    }
    println!("{op}: {checked} checks");
    assert!(faults.is_empty(), "{} of {checked}:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn map_is_right_at_its_edges() {
    every_variant_is_right(
        "map",
        &[
            "shape=70001,expr=add(mul(x0,x1),x2),x0=f32,x1=f32@0:0,x2=f32,out=f32",
            "shape=200x304,expr=relu(add(x0,x1)),x0=f16,x1=f16@0:0:1,out=f16",
            "shape=5000,expr=gelu(sub(x0,0.3)),x0=bf16,out=f32",
            "shape=5000,expr=mul(x0,0.00392156862745098),x0=u8,out=f16",
            "shape=64x96,expr=select(lt(x0,x1),x2,neg(x0)),x0=i32,x1=i32,x2=i32,out=i32",
            "shape=4096,expr=le(x0,x1),x0=f64,x1=f32,out=bool",
            "shape=4096,expr=mul(x0,40),x0=f32,out=u8",
            "shape=4096,expr=mul(x0,1e9),x0=f64,out=i32",
            "shape=3x50x70,expr=add(x0,add(mul(i0,1000),i2)),x0=f32@0:1:3:150,out=f32",
            "shape=300x200,expr=normal(42,add(mul(i0,200),i1)),out=f32",
            "shape=300x200,expr=select(lt(uniform(3,add(mul(i0,200),i1)),0.1),0,mul(x0,1.1111)),x0=f16,out=f16",
            "shape=2000,expr=add(sin(mul(x0,1000)),mul(cos(x0),pow(abs(x0),x1))),x0=f32,x1=f32,out=f32",
            "shape=2000,expr=add(sin(mul(x0,1e12)),mul(cos(x0),pow(abs(x0),x1))),x0=f64,x1=f64,out=f64",
            "shape=2000,expr=add(gelu_tanh(x0),add(silu(x0),add(erf(x0),rsqrt(abs(x0))))),x0=f32,out=f32",
            "shape=2000,expr=f16(bf16(x0)),x0=f64,out=bf16",
        ],
    );
}

#[test]
fn reduce_is_right_at_its_edges() {
    every_variant_is_right(
        "reduce",
        &[
            "kind=sum,outer=scalar,inner=1048576,expr=mul(x0,x0),post=sqrt(v),x0=f32,out=f32",
            "kind=sum,outer=96,inner=10000,x0=f16,out=f16",
            "kind=max,outer=3,inner=99999,x0=bf16,out=bf16",
            "kind=argmax,outer=5,inner=70001,x0=f32,out=i32",
            "kind=argmin,outer=784,inner=300,x0=f16@0:1:784,out=i32",
            "kind=sum,outer=784,inner=256,expr=mul(x0,x1),post=mul(v,0.1),x0=f32@0:1:784,x1=f32@0:0:1,out=f32",
            "kind=min,outer=10,inner=6000,x0=f64@0:1:10,out=f64",
            "kind=sum,outer=16,inner=8x40x9,post=add(v,x1),x0=f32@0:9:5760:144:1,x1=f32@0:1:0:0:0,out=f32",
            "kind=sum,outer=40,inner=1000,expr=ne(x0,0),x0=bool,out=i32",
        ],
    );
}

#[test]
fn row_is_right_at_its_edges() {
    every_variant_is_right(
        "row",
        &[
            "kind=softmax,rows=64,columns=4096,x0=f16,out=f16",
            "kind=softmax,rows=256,columns=10,label=1,post=mul(v,0.25),x0=f32,x1=i32@0:1:0,out=f32",
            "kind=log_softmax,rows=9,columns=5000,expr=mul(x0,0.7),x0=f32,out=f32",
            "kind=layer_norm,rows=40,columns=8192,eps=1e-5,post=add(mul(v,x1),x2),x0=bf16,x1=bf16@0:0:1,x2=bf16@0:0:1,out=bf16",
            "kind=rms_norm,rows=40,columns=33000,eps=1e-6,expr=add(x0,x1),x0=f32,x1=f32,out=f32",
            "kind=cross_entropy,rows=33,columns=32768,label=1,x0=f16,x1=i32@0:1:0,out=f32",
            "kind=cross_entropy,rows=7,columns=100,post=neg(v),x0=f64,out=f64",
            "kind=layer_norm,rows=40,columns=300,eps=1e-5,x0=f64,out=f64",
        ],
    );
}

#[test]
fn gather_is_right_at_its_edges() {
    every_variant_is_right(
        "gather",
        &[
            "shape=256x784,axis=0,size=600,x=f32,index=i32@0:1:0,out=f32",
            "shape=100x896,axis=0,size=1511,x=bf16,index=i32@0:1:0,out=bf16",
            "shape=31x129,axis=1,size=17,x=f64,index=i32,out=f64",
            "shape=50x16,axis=0,size=70,x=u8,index=i32@0:1:0,out=u8",
            "shape=500,axis=0,size=70,x=i32,index=i32,out=i32",
        ],
    );
}

#[test]
fn scatter_add_is_right_at_its_edges() {
    every_variant_is_right(
        "scatter_add",
        &[
            "shape=500x896,axis=0,size=100,x=bf16,index=i32@0:1:0,out=bf16",
            "shape=256x128,axis=0,size=1000,x=f32,index=i32@0:1:0,out=f32",
            "shape=31x129,axis=1,size=17,x=f64,index=i32,out=f64",
            "shape=3x11x7,axis=1,size=40,x=f16,index=i32,out=f16",
        ],
    );
}

#[test]
fn attention_is_right_at_its_edges() {
    every_variant_is_right(
        "attention",
        &[
            "batch=2,heads=4,kv_heads=2,queries=200,keys=333,head=128,dtype=f16,causal=1",
            "batch=2,heads=4,queries=200,keys=333,head=64,dtype=bf16",
            "heads=3,queries=70,keys=150,head=96,dtype=f32,causal=1,order=bshd",
            "heads=8,kv_heads=2,queries=1,keys=2000,head=256,dtype=f16",
        ],
    );
}

#[test]
fn launches_that_overlap_in_a_graph_see_what_those_before_wrote() {
    let Some(device) = gpu() else { return };
    let catalogue = Catalogue::builtin().unwrap();
    let n = 100_001;
    let problem = Problem::parse("map", &format!("shape={n},expr=add(x0,1),x0=f32,out=f32")).unwrap();
    let variant = catalogue.variant("map", device.facts().target, "vector").unwrap();
    let config = variant.fallback(&problem, device.facts()).unwrap().unwrap();
    let candidate = Candidate { variant: "vector".to_string(), config };
    let executable = Arc::new(Executable::prepare(&device, &catalogue, &candidate, &problem).unwrap());
    let queue = device.queue();
    let buffers: Vec<Buffer> = (0..2).map(|_| device.alloc(n * 4).unwrap()).collect();
    queue.fill(&buffers[0], 0).unwrap();
    let steps = (0..20).map(|i| (executable.clone(), vec![buffers[i % 2].clone(), buffers[(i + 1) % 2].clone()]));
    let graph = queue.capture(steps.collect()).unwrap();
    for _ in 0..50 {
        queue.replay(&graph).unwrap();
    }
    let mut out = HostArray::zeros(kernelsmith_core::DType::F32, n);
    queue.read(&buffers[0], 0, out.as_bytes_mut()).unwrap();
    let wrong = (0..n).find(|&i| out.get(i) != 1000.0);
    assert_eq!(wrong.map(|i| out.get(i)), None, "an addition was lost");
}
