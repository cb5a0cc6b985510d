//! What the CPU's kernels of the ops beside gemm cost: nanoseconds a launch where the work is
//! small, bytes a second where it is large, against a copy of as many bytes by memcpy:
//! `cargo bench -p kernelsmith-device --no-default-features --bench ops [-- TEXT]` (those whose
//! line holds TEXT).

use kernelsmith_core::Problem;
use kernelsmith_core::inputs::Inputs;
use kernelsmith_device::executable::allocate_operands;
use kernelsmith_device::{Device, DeviceId, Executable};
use kernelsmith_kernels::{Candidate, Catalogue, Target};
use std::time::Instant;

/// Medians of batches of calls that last about a millisecond.
fn nanoseconds(mut call: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut calls = 0u32;
    while start.elapsed().as_micros() < 2000 {
        call();
        calls += 1;
    }
    let batch = (calls / 2).max(1);
    let mut samples: Vec<f64> = (0..15)
        .map(|_| {
            let start = Instant::now();
            (0..batch).for_each(|_| call());
            start.elapsed().as_nanos() as f64 / f64::from(batch)
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

const PROBLEMS: &[(&str, &str)] = &[
    ("map", "shape=2560,expr=add(x0,x1),x0=f32,x1=f32,out=f32"),
    ("map", "shape=256x10,expr=add(x0,x1),x0=f32,x1=f32@0:0:1,out=f32"),
    ("map", "shape=256x128,expr=relu(add(x0,x1)),x0=f32,x1=f32@0:0:1,out=f32"),
    ("map", "shape=100352,expr=sub(x0,mul(x1,0.1)),x0=f32,x1=f32,out=f32"),
    ("reduce", "kind=sum,outer=10,inner=256,x0=f32@0:1:10,out=f32"),
    ("reduce", "kind=sum,outer=128,inner=256,x0=f32@0:1:128,out=f32"),
    ("reduce", "kind=argmax,outer=256,inner=10,x0=f32,out=i32"),
    ("reduce", "kind=sum,outer=scalar,inner=256,x0=f32,out=f32"),
    ("row", "kind=softmax,rows=256,columns=10,x0=f32,out=f32"),
    ("row", "kind=softmax,rows=256,columns=10,post=mul(v,0.00390625),label=1,x0=f32,x1=i32@0:1:0,out=f32"),
    ("row", "kind=cross_entropy,rows=256,columns=10,label=1,x0=f32,x1=i32@0:1:0,out=f32"),
    ("gather", "shape=256x784,axis=0,size=60000,x=f32,index=i32@0:1:0,out=f32"),
    ("gather", "shape=256x784,axis=0,size=60000,x=u8,index=i32@0:1:0,out=u8"),
    ("scatter_add", "shape=256x128,axis=0,size=1000,x=f32,index=i32@0:1:0,out=f32"),
    ("map", "shape=1048576,expr=add(x0,x1),x0=f32,x1=f32,out=f32"),
    ("map", "shape=16777216,expr=x0,x0=f32,out=f32"),
    ("map", "shape=16777216,expr=add(x0,x1),x0=f32,x1=f32,out=f32"),
    ("map", "shape=16777216,expr=add(x0,x1),x0=f16,x1=f16,out=f16"),
    ("map", "shape=16777216,expr=add(mul(x0,x1),x2),x0=f32,x1=f32,x2=f32,out=f32"),
    ("map", "shape=16777216,expr=gelu(x0),x0=f32,out=f32"),
    ("map", "shape=16777216,expr=gelu(x0),x0=f16,out=f16"),
    ("map", "shape=16777216,expr=normal(7,i0),out=f32"),
    ("map", "shape=4096x4096,expr=x0,x0=f32@0:1:4096,out=f32"),
    ("map", "shape=16777216,expr=x0,x0=u8,out=f32"),
    ("reduce", "kind=sum,outer=scalar,inner=16777216,x0=f32,out=f32"),
    ("reduce", "kind=max,outer=scalar,inner=16777216,x0=f32,out=f32"),
    ("reduce", "kind=sum,outer=scalar,inner=16777216,x0=f16,out=f16"),
    ("reduce", "kind=sum,outer=4096,inner=4096,x0=f32@0:1:4096,out=f32"),
    ("row", "kind=softmax,rows=4096,columns=4096,x0=f32,out=f32"),
    ("row", "kind=softmax,rows=16384,columns=1024,x0=f16,out=f16"),
    ("row", "kind=layer_norm,rows=4096,columns=4096,eps=1e-5,x0=f32,out=f32"),
    ("row", "kind=rms_norm,rows=512,columns=32768,eps=1e-5,x0=f32,out=f32"),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let device = Device::open(DeviceId::Cpu)?;
    let catalogue = Catalogue::builtin()?;
    println!("{}", device.facts().name);
    println!("{:>10} {:>8} {:>8}  problem", "µs", "GB/s", "of copy");
    let mut copies: Vec<(usize, f64)> = Vec::new();
    for (op, text) in PROBLEMS {
        let line = format!("{op} {text}");
        if !filter.is_empty() && !filter.iter().any(|f| line.contains(f.as_str())) {
            continue;
        }
        let problem = Problem::parse(op, text)?;
        let queue = device.queue();
        let operands = allocate_operands(&device, &problem)?;
        for (i, (buffer, operand)) in operands.iter().zip(problem.operands()).enumerate() {
            queue.write(buffer, 0, operand.fill(Inputs::Normal, i as u64).as_bytes())?;
        }
        let variant = catalogue.variants(op, Target::Cpu).next().ok_or("no variant")?;
        let candidate = Candidate { variant: variant.name.clone(), config: variant.default.clone() };
        let executable = Executable::prepare(&device, &catalogue, &candidate, &problem)?;
        let ns = nanoseconds(|| executable.launch(&queue, &operands).expect("it launches"));
        // Half as many bytes copied: as many move.
        let half = (problem.bytes() / 2.0) as usize;
        let copy = match copies.iter().find(|(n, _)| *n == half) {
            Some((_, ns)) => *ns,
            None => {
                let (from, mut to) = (vec![1u8; half], vec![0u8; half]);
                let ns = nanoseconds(|| std::hint::black_box(&mut to).copy_from_slice(std::hint::black_box(&from)));
                copies.push((half, ns));
                ns
            }
        };
        println!("{:>10.2} {:>8.2} {:>7.0}%  {line}", ns / 1e3, problem.bytes() / ns, 100.0 * copy / ns);
    }
    Ok(())
}
