//! The portable backend on an adapter: the one that `KERNELSMITH_DEVICE` names, else `wgpu:0`.
//!
//! Where no adapter is named and none is there, nothing can be tested and the tests say so; where one
//! is named, a missing adapter fails them.
#![cfg(feature = "portable")]

use kernelsmith_core::inputs::Inputs;
use kernelsmith_core::ops::OracleBudget;
use kernelsmith_core::{DType, HostArray, Operand, Problem};
use kernelsmith_device::executable::allocate_operands;
use kernelsmith_device::{Buffer, Device, DeviceError, DeviceId, Executable};
use kernelsmith_kernels::{Candidate, Catalogue, manifest};
use std::sync::Arc;

fn device() -> Option<Device> {
    let named = std::env::var("KERNELSMITH_DEVICE").ok().filter(|n| n.starts_with("wgpu"));
    let name = named.clone().unwrap_or_else(|| "wgpu:0".to_string());
    match Device::open(name.parse::<DeviceId>().unwrap()) {
        Ok(device) => Some(device),
        Err(error) if named.is_none() => {
            eprintln!("NOT TESTED: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 7 + 3) as u8).collect()
}

fn read(buffer: &Buffer, offset: usize, n: usize) -> Vec<u8> {
    let mut out = vec![0; n];
    buffer.device().queue().read(buffer, offset, &mut out).unwrap();
    out
}

fn prepare(device: &Device, catalogue: &Catalogue, name: &str, problem: &Problem) -> Result<Executable, DeviceError> {
    let variant = catalogue.variant(problem.op(), device.facts().target, name)?;
    let config = variant.fallback(problem, device.facts())?.expect("a config");
    Executable::prepare(device, catalogue, &Candidate { variant: name.to_string(), config }, problem)
}

/// Buffers with fresh inputs, and what the oracle says of the output.
fn fill(device: &Device, problem: &Problem) -> (Vec<Buffer>, Vec<HostArray>) {
    let operands = allocate_operands(device, problem).unwrap();
    let arrays: Vec<HostArray> =
        problem.inputs().iter().enumerate().map(|(i, o)| o.fill(Inputs::Normal, 9 + i as u64)).collect();
    for (buffer, array) in operands.iter().zip(&arrays) {
        device.queue().write(buffer, 0, array.as_bytes()).unwrap();
    }
    (operands, arrays)
}

fn is_right(problem: &Problem, operands: &[Buffer], arrays: &[HostArray]) -> bool {
    let refs: Vec<&HostArray> = arrays.iter().collect();
    let reference = problem.reference(&refs, Inputs::Normal, OracleBudget::default());
    let output = problem.output();
    let mut got = HostArray::zeros(output.dtype, output.layout.span());
    got.as_bytes_mut().copy_from_slice(&read(operands.last().unwrap(), 0, output.bytes()));
    reference.compare(&got, &output.layout).passes()
}

#[test]
fn bytes_at_any_offset_come_back_and_their_neighbours_stay() {
    let Some(device) = device() else { return };
    let queue = device.queue();
    let buffer = device.alloc(64).unwrap();
    for (offset, n) in [(0, 64), (0, 1), (1, 1), (3, 2), (5, 3), (2, 9), (7, 20), (61, 3), (4, 8)] {
        queue.fill(&buffer, 0xee).unwrap();
        queue.write(&buffer, offset, &bytes(n)).unwrap();
        let mut want = vec![0xee; 64];
        want[offset..offset + n].copy_from_slice(&bytes(n));
        assert_eq!(read(&buffer, 0, 64), want, "{n} bytes at {offset}");
        assert_eq!(read(&buffer, offset, n), bytes(n));
    }
}

#[test]
fn a_fill_keeps_to_its_part() {
    let Some(device) = device() else { return };
    let queue = device.queue();
    let buffer = device.alloc(4096).unwrap();
    for (offset, n) in [(0, 4096), (1, 2), (3, 1030), (256, 512), (260, 3), (1000, 0)] {
        queue.fill(&buffer, 1).unwrap();
        queue.fill(&buffer.slice(offset, n).unwrap(), 0xab).unwrap();
        let mut want = vec![1; 4096];
        want[offset..offset + n].fill(0xab);
        assert_eq!(read(&buffer, 0, 4096), want, "{n} bytes at {offset}");
    }
}

#[test]
fn memory_is_used_again_in_queue_order() {
    let Some(device) = device() else { return };
    let first = device.alloc(1000).unwrap();
    device.queue().fill(&first, 7).unwrap();
    drop(first);
    let second = device.alloc(1000).unwrap();
    assert_eq!((device.pool_stats().hits, device.pool_stats().misses), (1, 1));
    device.queue().fill(&second, 9).unwrap();
    assert_eq!(read(&second, 0, 1000), vec![9; 1000]);
    drop(second);
    assert!(device.trim() >= 1000);
}

#[test]
fn a_kernel_that_does_not_validate_is_an_error_with_the_compilers_words() {
    let Some(device) = device() else { return };
    let manifest = r#"
[[variant]]
name = "broken"
about = "does not validate"
target = "wgsl"
source = "broken.wgsl"
[[variant.launch]]
entry = "gemm"
grid = "1"
block = "1"
args = [{ matrix = "a" }, { matrix = "b" }, { matrix = "c" }, { matrix = "d" }, { acc = "alpha" }]
"#;
    let problem = Problem::parse("gemm", "m=4,n=4,k=4,dtype=f32").unwrap();
    for (text, word) in [
        ("@compute @workgroup_size(1) fn gemm() { store_d(0, nothing_like_it); }", "nothing_like_it"),
        ("@compute @workgroup_size(1) fn gemm() { let x: u32 = 1.5; }", "u32"),
        ("@compute @workgroup_size(1) fn other() { }", "gemm"),
        ("@compute @workgroup_size(100000) fn gemm() { }", "Workgroup size"),
    ] {
        let read = |name: &str| (name == "broken.wgsl").then(|| text.to_string());
        let variants = manifest::parse("gemm", "a test's manifest", manifest, &read).unwrap();
        let catalogue = Catalogue::builtin().unwrap().with(variants);
        let error = prepare(&device, &catalogue, "broken", &problem).err().expect(text).to_string();
        assert!(error.contains(word) && error.contains("broken"), "{error}");
    }
    // The device still works.
    let catalogue = Catalogue::builtin().unwrap();
    let naive = prepare(&device, &catalogue, "naive", &problem).unwrap();
    let (operands, arrays) = fill(&device, &problem);
    naive.launch(&device.queue(), &operands).unwrap();
    assert!(is_right(&problem, &operands, &arrays));
}

#[test]
fn what_is_longer_than_a_binding_is_bound_in_windows() {
    let Some(device) = device() else { return };
    let most = device.facts().adapter.binding_max;
    // Where more is bound at once than this, there is nothing to test.
    if most <= 128 << 20 {
        let n = most as usize + 1000;
        let problem = Problem::parse("map", &format!("shape={n},expr=add(x0,1),x0=u8,out=u8")).unwrap();
        let executable = prepare(&device, &Catalogue::builtin().unwrap(), "words", &problem).unwrap();
        let operands = allocate_operands(&device, &problem).unwrap();
        let queue = device.queue();
        queue.fill(&operands[0], 6).unwrap();
        for at in [0, most as usize - 1, most as usize, n - 1] {
            queue.write(&operands[0], at, &[100]).unwrap();
        }
        executable.launch(&queue, &operands).unwrap();
        for (at, want) in [(0, 101), (1, 7), (most as usize - 1, 101), (most as usize, 101), (n - 2, 7), (n - 1, 101)] {
            assert_eq!(read(&operands[1], at, 1), [want], "at {at}");
        }
    }
    let error = device.alloc(1 << 50).err().unwrap().to_string();
    assert!(error.contains("1125899906842624"), "{error}");
}

#[test]
fn a_replayed_graph_does_what_its_launches_do() {
    let Some(device) = device() else { return };
    let catalogue = Catalogue::builtin().unwrap();
    let problem = Problem::parse("gemm", "m=33,n=20,k=17,dtype=f32,epilogue=bias+gelu").unwrap();
    let executable = Arc::new(prepare(&device, &catalogue, "naive", &problem).unwrap());
    let (operands, arrays) = fill(&device, &problem);
    let queue = device.queue();
    let graph = queue.capture(vec![(executable, operands.clone()); 3]).unwrap();
    for _ in 0..2 {
        queue.fill(operands.last().unwrap(), 0xff).unwrap();
        queue.replay(&graph).unwrap();
        assert!(is_right(&problem, &operands, &arrays));
    }
}

#[test]
fn time_stamps_are_in_order_and_grow_with_the_work() {
    let Some(device) = device() else { return };
    let catalogue = Catalogue::builtin().unwrap();
    let problem = Problem::parse("gemm", "m=64,n=64,k=64,dtype=f32").unwrap();
    let executable = Arc::new(prepare(&device, &catalogue, "naive", &problem).unwrap());
    let (operands, _) = fill(&device, &problem);
    let queue = device.queue();
    let time = |launches: usize| {
        let graph = queue.capture(vec![(executable.clone(), operands.clone()); launches]).unwrap();
        queue.replay(&graph).unwrap();
        let start = queue.record().unwrap();
        queue.replay(&graph).unwrap();
        queue.record().unwrap().us_since(&start).unwrap()
    };
    let (one, many) = (time(1), time(200));
    assert!(one > 0.0 && many > 5.0 * one, "{one} µs and {many} µs");
}

#[test]
fn operands_may_be_parts_of_one_buffer_at_any_element() {
    let Some(device) = device() else { return };
    let catalogue = Catalogue::builtin().unwrap();
    for (dtype, size) in [("f32", 4), ("f16", 2), ("u8", 1)] {
        let problem = Problem::parse("map", &format!("shape=13,expr=x0,x0={dtype},out={dtype}")).unwrap();
        let executable = prepare(&device, &catalogue, "strided", &problem).unwrap();
        let buffer = device.alloc(1000).unwrap();
        let queue = device.queue();
        queue.fill(&buffer, 0x22).unwrap();
        let ones = vec![0x11; 13 * size];
        queue.write(&buffer, 7 * size, &ones).unwrap();
        let part = |at: usize| buffer.slice(at * size, 13 * size).unwrap();
        executable.launch(&queue, &[part(7), part(75)]).unwrap();
        let mut want = vec![0x22; 1000];
        want[7 * size..20 * size].fill(0x11);
        want[75 * size..88 * size].fill(0x11);
        assert_eq!(read(&buffer, 0, 1000), want, "{dtype}");
    }
}

/// Problems of every op: dtypes, views that are padded, offset, flipped, transposed and broadcast, sizes that
/// no tile divides, every function of the expressions.
const PROBLEMS: &[(&str, &str)] = &[
    ("gemm", "m=33,n=20,k=17,dtype=f32"),
    ("gemm", "m=130,n=70,k=65,dtype=f32,layout=tn,epilogue=bias+gelu"),
    ("gemm", "m=5,n=67,k=129,dtype=f32,layout=nt,beta=0.5,alpha=-1.5"),
    ("gemm", "m=1,n=67,k=129,dtype=f32"),
    ("gemm", "m=33,n=21,k=17,dtype=f16,epilogue=bias+silu"),
    ("gemm", "m=33,n=21,k=17,dtype=bf16,layout=tt,batch=3"),
    ("gemm", "m=7,n=21,k=17,dtype=f64,layout=nt"),
    // Whole vectors of 16 bytes.
    ("gemm", "m=136,n=72,k=40,dtype=f32,epilogue=bias"),
    ("gemm", "m=136,n=72,k=40,dtype=f32,layout=tt,beta=0.5"),
    ("gemm", "m=200,n=136,k=72,dtype=f16,layout=nt,epilogue=bias+gelu"),
    ("gemm", "m=72,n=200,k=104,dtype=f16,layout=tn,alpha=-1.5"),
    ("gemm", "m=40,n=24,k=48,dtype=bf16,layout=nn,batch=2"),
    ("gemm", "m=128,n=256,k=64,dtype=f16,layout=tt,batch=2"),
    ("gemm", "m=3,n=67,k=136,dtype=f16,layout=nt,epilogue=bias"),
    ("gemm", "m=8,n=66,k=132,dtype=f32,layout=nt,beta=-2"),
    ("gemm", "m=1,n=130,k=72,dtype=bf16,layout=nt"),
    ("map", "shape=1003,expr=add(mul(x0,x1),i0),x0=f16,x1=f16,out=f16"),
    ("map", "shape=10x32,expr=add(mul(x0,x1),i1),x0=f32@0:32:1,x1=f32@0:1:0,out=f32"),
    ("map", "shape=6x64,expr=sub(x0,x1),x0=bf16@8:72:1,x1=bf16,out=bf16"),
    ("map", "shape=130,expr=not(x0),x0=u8,out=bool"),
    ("map", "shape=37x41,expr=x0,x0=i32@0:1:37,out=i32"),
    ("map", "shape=3x5x7,expr=x0,x0=f64@104:-35:-7:-1,out=f64"),
    ("map", "shape=37x41,expr=x0,x0=bf16@3:1:37,out=bf16@1:42:1"),
    ("reduce", "kind=sum,outer=scalar,inner=70003,x0=f32,out=f32"),
    ("reduce", "kind=argmax,outer=3,inner=40000,x0=f16,out=i32"),
    ("reduce", "kind=max,outer=70,inner=264,x0=bf16,out=bf16"),
    ("map", "shape=1001,expr=add(x0,x1),x0=f16@3:1,x1=f16@4:1,out=f16@11:1"),
    ("map", "shape=10x30,expr=mul(x0,2.5),x0=f32@0:34:1,out=f32@0:1:10"),
    ("map", "shape=5x6x7,expr=sub(x0,x1),x0=f32@209:-42:-7:-1,x1=f32@0:0:0:1,out=bf16"),
    ("map", "shape=257,expr=exp(x0),x0=f32,out=f32"),
    ("map", "shape=257,expr=log(x0),x0=f32,out=f32"),
    ("map", "shape=257,expr=sin(mul(x0,100)),x0=f32,out=f32"),
    ("map", "shape=257,expr=cos(mul(x0,100000)),x0=f32,out=f32"),
    ("map", "shape=257,expr=tanh(x0),x0=f32,out=f32"),
    ("map", "shape=257,expr=erf(x0),x0=f32,out=f32"),
    ("map", "shape=257,expr=pow(abs(x0),x1),x0=f32,x1=f32,out=f32"),
    ("map", "shape=257,expr=div(x0,x1),x0=f32,x1=f32,out=f32"),
    ("map", "shape=257,expr=rsqrt(abs(x0)),x0=f32,out=f32"),
    ("map", "shape=257,expr=sqrt(x0),x0=f32,out=f32"),
    ("map", "shape=257,expr=recip(x0),x0=f32,out=f32"),
    ("map", "shape=257,expr=gelu(x0),x0=f32,out=f32"),
    ("map", "shape=257,expr=gelu_tanh(x0),x0=f32,out=f32"),
    ("map", "shape=257,expr=silu(x0),x0=f32,out=f16"),
    ("map", "shape=257,expr=sigmoid(x0),x0=bf16,out=f32"),
    ("map", "shape=257,expr=relu(x0),x0=f16,out=f16"),
    ("map", "shape=257,expr=neg(x0),x0=f32,out=f32"),
    ("map", "shape=257,expr=max(x0,x1),x0=f32,x1=f32,out=f32"),
    ("map", "shape=257,expr=min(x0,x1),x0=f32,x1=f32,out=f32"),
    ("map", "shape=257,expr=select(lt(x0,x1),x0,x1),x0=f32,x1=f32,out=f32"),
    ("map", "shape=257,expr=ne(x0,x1),x0=f32,x1=f32,out=bool"),
    ("map", "shape=257,expr=le(x0,x1),x0=f32,x1=f32,out=u8"),
    ("map", "shape=257,expr=not(x0),x0=u8,out=bool"),
    ("map", "shape=257,expr=mul(x0,100),x0=f32,out=u8"),
    ("map", "shape=257,expr=mul(x0,1000000000),x0=f32,out=i32"),
    ("map", "shape=257,expr=add(mul(x0,x1),3),x0=i32,x1=i32,out=i32"),
    ("map", "shape=257,expr=x0,x0=i32,out=f32"),
    ("map", "shape=257,expr=exp(div(x0,100)),x0=i32,out=f32"),
    ("map", "shape=9x7,expr=add(mul(i0,7),i1),out=i32"),
    ("map", "shape=4097,expr=uniform(12345678901234,i0),out=f32"),
    ("map", "shape=4097,expr=normal(12345678901234,i0),out=f32"),
    ("map", "shape=257,expr=exp(x0),x0=f64,out=f64"),
    ("map", "shape=257,expr=log(x0),x0=f64,out=f64"),
    ("map", "shape=257,expr=sin(mul(x0,100)),x0=f64,out=f64"),
    ("map", "shape=257,expr=cos(mul(x0,100000000)),x0=f64,out=f64"),
    ("map", "shape=257,expr=tanh(x0),x0=f64,out=f64"),
    ("map", "shape=257,expr=erf(x0),x0=f64,out=f64"),
    ("map", "shape=257,expr=pow(abs(x0),x1),x0=f64,x1=f64,out=f64"),
    ("map", "shape=257,expr=gelu(x0),x0=f64,out=bf16"),
    ("map", "shape=257,expr=silu(x0),x0=f64,out=f16"),
    ("map", "shape=257,expr=x0,x0=f64,out=f32"),
    ("reduce", "kind=sum,outer=5x3,inner=70,x0=f32,out=f32"),
    ("reduce", "kind=sum,outer=7,inner=64x9,x0=f32@0:1:63:7,out=f16"),
    ("reduce", "kind=max,outer=300,inner=5,x0=f32,out=f32"),
    ("reduce", "kind=min,outer=3,inner=500,x0=f16,out=f16"),
    ("reduce", "kind=argmax,outer=9,inner=77,x0=f32,out=i32"),
    ("reduce", "kind=argmin,outer=9,inner=77,x0=bf16,out=i32"),
    ("reduce", "kind=sum,outer=4,inner=1000,x0=i32,out=i32"),
    ("reduce", "kind=sum,outer=4,inner=300,x0=f64,out=f64"),
    ("row", "kind=softmax,rows=9,columns=77,x0=f32,out=f32"),
    ("row", "kind=log_softmax,rows=9,columns=300,x0=f16,out=f16"),
    ("row", "kind=layer_norm,rows=9,columns=77,x0=f32,out=f32"),
    ("row", "kind=rms_norm,rows=3,columns=1000,x0=bf16,out=bf16"),
    ("row", "kind=cross_entropy,rows=9,columns=77,x0=f32,out=f32"),
    ("row", "kind=softmax,rows=4,columns=77,x0=f64,out=f64"),
    ("gather", "shape=16x9,axis=0,size=32,x=f32,index=i32@0:1:0,out=f32"),
    ("gather", "shape=16x9,axis=1,size=32,x=u8,index=i32,out=u8"),
    ("gather", "shape=16x9,axis=1,size=32,x=f64,index=i32,out=f64"),
    ("scatter_add", "shape=16x9,axis=0,size=32,x=f32,index=i32@0:1:0,out=f32"),
    ("scatter_add", "shape=16x9,axis=1,size=11,x=f16,index=i32,out=f16"),
    ("attention", "heads=4,kv_heads=2,queries=9,keys=77,head=24,dtype=f32,causal=1"),
    ("attention", "batch=2,heads=2,queries=5,keys=300,head=64,dtype=f16,order=bshd"),
    ("attention", "heads=2,queries=7,keys=9,head=300,dtype=bf16,causal=1"),
];

/// Configs of a variant that all run on one problem.
const MANY: usize = 6;

/// `KERNELSMITH_KERNELS` lays a folder over the catalogue, and `KERNELSMITH_ONLY` picks problems by a part of
/// their text.
#[test]
fn every_variant_is_right_in_every_config() {
    let Some(device) = device() else { return };
    let mut catalogue = Catalogue::builtin().unwrap();
    if let Some(folder) = std::env::var_os("KERNELSMITH_KERNELS") {
        catalogue = catalogue.overlay(folder.as_ref()).unwrap();
    }
    let only = std::env::var("KERNELSMITH_ONLY").unwrap_or_default();
    let queue = device.queue();
    let (mut wrong, mut checked) = (Vec::new(), 0);
    let picked = PROBLEMS.iter().filter(|(op, text)| format!("{op} {text}").contains(&only));
    for (turn, (op, text)) in picked.enumerate() {
        let problem = Problem::parse(op, text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let (able, gaps) = catalogue.capable(&problem, device.facts()).unwrap();
        let has_f64 = device.facts().adapter.features.iter().any(|f| f == "f64");
        assert!(!able.is_empty() || !has_f64, "{text}: {gaps:?}");
        let start = std::time::Instant::now();
        // Subnormal numbers are 0 to some devices.
        let is_small = |o: &Operand| matches!(o.dtype, DType::F32 | DType::BF16);
        let flushes = device.facts().flushes_subnormals() && problem.operands().iter().any(is_small);
        let families = [Inputs::Normal, Inputs::Integer, Inputs::Wide, Inputs::Special, Inputs::Denormal];
        for family in families.into_iter().take(if flushes { 4 } else { 5 }) {
            let arrays: Vec<HostArray> =
                problem.inputs().iter().enumerate().map(|(i, o)| o.fill(family, 9 + i as u64)).collect();
            let refs: Vec<&HostArray> = arrays.iter().collect();
            let reference = problem.reference(&refs, family, OracleBudget::default());
            let operands = allocate_operands(&device, &problem).unwrap();
            for (buffer, array) in operands.iter().zip(&arrays) {
                queue.write(buffer, 0, array.as_bytes()).unwrap();
            }
            for variant in &able {
                // Every config on ordinary numbers, of many a few in turn, the first on all others.
                let configs = variant.space(&problem, device.facts()).unwrap();
                let every = configs.len().div_ceil(MANY).max(1);
                let most = if family == Inputs::Normal { configs.len() } else { 1 };
                for config in configs.into_iter().skip(turn % every).step_by(every).take(most) {
                    let candidate = Candidate { variant: variant.name.clone(), config };
                    let what = format!("{op} {candidate} {text} {family:?}");
                    let executable = match Executable::prepare(&device, &catalogue, &candidate, &problem) {
                        Ok(executable) => executable,
                        Err(error) => {
                            wrong.push(format!("{what}: {error}"));
                            break;
                        }
                    };
                    queue.fill(operands.last().unwrap(), 0xa5).unwrap();
                    executable.launch(&queue, &operands).unwrap();
                    let output = problem.output();
                    let mut got = HostArray::zeros(output.dtype, output.layout.span());
                    queue.read(operands.last().unwrap(), 0, got.as_bytes_mut()).unwrap();
                    let comparison = reference.compare(&got, &output.layout);
                    checked += 1;
                    if !comparison.passes() {
                        wrong.push(format!("{what}: {}", comparison.worst.unwrap_or_default()));
                    }
                }
            }
        }
        println!("{:6.2} s, {} wrong so far: {op} {text}", start.elapsed().as_secs_f64(), wrong.len());
    }
    println!("{checked} checks on {}", device.facts().name);
    assert!(wrong.is_empty(), "{} of {checked}:\n{}", wrong.len(), wrong.join("\n"));
}
