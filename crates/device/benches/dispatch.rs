//! What dispatch costs the host over the bare launch, interleaved in one run:
//! `cargo bench -p kernelsmith-device --bench dispatch [-- cuda:0]`.
//!
//! Bare is the driver's launch call on packed arguments (CUDA), or the kernel's function (CPU).
//! The problem is so small that the kernel's own time is little on the CPU, and on CUDA the
//! launches are asynchronous: what is timed is the host.

use kernelsmith_core::Problem;
use kernelsmith_device::executable::allocate_operands;
use kernelsmith_device::{Device, DeviceId, Dispatcher};
use kernelsmith_kernels::Catalogue;
use kernelsmith_kernels::tuned::TunedTable;
use std::sync::Arc;
use std::time::Instant;

const BLOCKS: usize = 400;
const CALLS: usize = 50;

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v[v.len() / 2]
}

fn measure(id: DeviceId) -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::open(id)?;
    let catalogue = Arc::new(Catalogue::builtin()?);
    println!("{id} {}", device.facts().name);
    println!("{:>44} {:>10} {:>12} {:>10}", "problem", "bare ns", "dispatch ns", "over ns");
    for text in
        ["m=4,n=4,k=4,dtype=f32", "m=1,n=16,k=16,dtype=f32,layout=nt,epilogue=bias", "batch=2,m=3,n=5,k=7,dtype=f16"]
    {
        let problem = Problem::parse("gemm", text)?;
        let dispatcher = Dispatcher::new(device.clone(), catalogue.clone(), TunedTable::default());
        let operands = allocate_operands(&device, &problem)?;
        let queue = device.queue();
        for buffer in &operands {
            queue.fill(buffer, 0)?;
        }
        dispatcher.run(&queue, &problem, &operands)?;
        let executable = dispatcher.executable(&problem)?;
        // SAFETY: this is the only thread, and no other launch runs during a bare one.
        let mut bare_launch = unsafe { executable.bare(&queue, &operands) }?;
        let (mut bare, mut through) = (Vec::new(), Vec::new());
        for block in 0..BLOCKS {
            for turn in 0..2 {
                queue.synchronize()?;
                let start = Instant::now();
                // Alternate who goes first.
                if (block + turn) % 2 == 0 {
                    for _ in 0..CALLS {
                        bare_launch()?;
                    }
                    bare.push(start.elapsed().as_nanos() as f64 / CALLS as f64);
                } else {
                    for _ in 0..CALLS {
                        dispatcher.run(&queue, &problem, &operands)?;
                    }
                    through.push(start.elapsed().as_nanos() as f64 / CALLS as f64);
                }
            }
        }
        queue.synchronize()?;
        let over: Vec<f64> = through.iter().zip(&bare).map(|(t, b)| t - b).collect();
        println!("{text:>44} {:>10.0} {:>12.0} {:>10.0}", median(bare), median(through), median(over));
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let named: Vec<DeviceId> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let devices = if named.is_empty() { Device::discover().0 } else { named };
    devices.into_iter().try_for_each(measure)
}
