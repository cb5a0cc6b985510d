//! The CUDA backend on a GPU: tensor maps, clusters, overlap, counters, graphs, queues, the pool.
//! On a machine without one each test says that it did nothing.
#![cfg(feature = "cuda")]

use kernelsmith_core::inputs::Inputs;
use kernelsmith_core::{DType, HostArray, Problem};
use kernelsmith_device::executable::allocate_operands;
use kernelsmith_device::{Buffer, Device, DeviceError, DeviceId, Executable};
use kernelsmith_kernels::{Candidate, Catalogue};
use std::path::Path;
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

fn prepare(device: &Device, name: &str, problem: &Problem) -> Result<Executable, DeviceError> {
    // The folder beside this file, also where the test program was carried to another machine.
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels");
    let folder = if built.exists() { built } else { Path::new("crates/device/tests/kernels").to_path_buf() };
    let catalogue = Catalogue::builtin().unwrap().overlay(&folder).unwrap();
    let variant = catalogue.variant("gemm", device.facts().target, name).unwrap();
    let config = variant.fallback(problem, device.facts()).unwrap().unwrap();
    Executable::prepare(device, &catalogue, &Candidate { variant: name.to_string(), config }, problem)
}

fn upload(device: &Device, problem: &Problem) -> (Vec<Buffer>, Vec<HostArray>) {
    let operands = allocate_operands(device, problem).unwrap();
    let inputs = problem.inputs();
    let arrays: Vec<HostArray> =
        inputs.iter().enumerate().map(|(i, o)| Inputs::Normal.fill(i as u64, o.dtype, &o.layout)).collect();
    for (buffer, array) in operands.iter().zip(&arrays) {
        device.queue().write(buffer, 0, array.as_bytes()).unwrap();
    }
    (operands, arrays)
}

fn read_f32(device: &Device, buffer: &Buffer, count: usize) -> Vec<f64> {
    let mut out = HostArray::zeros(DType::F32, count);
    device.queue().read(buffer, 0, out.as_bytes_mut()).unwrap();
    (0..count).map(|i| out.get(i)).collect()
}

#[test]
fn tensor_maps_clusters_and_overlap_reach_the_kernel() {
    let Some(device) = gpu() else { return };
    if device.facts().cc < 90 {
        println!("did nothing: tensor maps need compute capability 9.0");
        return;
    }
    // Odd tile counts, and rows and columns that the last box overhangs.
    let problem = Problem::parse("gemm", "m=21,n=100,k=100,dtype=f32").unwrap();
    let executable = prepare(&device, "tma_copy", &problem).unwrap();
    let (operands, arrays) = upload(&device, &problem);
    executable.launch(&device.queue(), &operands).unwrap();
    let got = read_f32(&device, &operands[2], 2100);
    assert!(got.iter().enumerate().all(|(i, x)| *x == 2.0 * arrays[0].get(i)), "the copy differs from twice A");
}

#[test]
fn launches_run_in_order_and_counters_start_and_stay_at_zero() {
    let Some(device) = gpu() else { return };
    let problem = Problem::parse("gemm", "m=2,n=2,k=2,dtype=f32").unwrap();
    let executable = Arc::new(prepare(&device, "two_launches", &problem).unwrap());
    let (operands, _) = upload(&device, &problem);
    let queue = device.queue();
    for _ in 0..3 {
        executable.launch(&queue, &operands).unwrap();
        assert_eq!(read_f32(&device, &operands[2], 1), [256.0]);
    }
    let graph = queue.capture(vec![(executable.clone(), operands.clone()); 5]).unwrap();
    queue.fill(&operands[2], 0).unwrap();
    queue.replay(&graph).unwrap();
    assert_eq!(read_f32(&device, &operands[2], 1), [256.0]);
    let other = device.new_queue().unwrap();
    let error = executable.launch(&other, &operands).unwrap_err().to_string();
    assert!(error.contains("default queue"), "scratch was shared between queues: {error}");
}

#[test]
fn a_graph_keeps_its_buffers_alive() {
    let Some(device) = gpu() else { return };
    let problem = Problem::parse("gemm", "m=64,n=64,k=64,dtype=f32").unwrap();
    let executable = Arc::new(prepare(&device, "naive", &problem).unwrap());
    let (operands, _) = upload(&device, &problem);
    let output = operands[2].clone();
    let queue = device.queue();
    let graph = queue.capture(vec![(executable, operands)]).unwrap();
    device.trim();
    // Memory of the same class must be other memory.
    let others: Vec<Buffer> = (0..8).map(|_| device.alloc(64 * 64 * 4).unwrap()).collect();
    others.iter().for_each(|b| queue.fill(b, 0xff).unwrap());
    queue.replay(&graph).unwrap();
    assert!(read_f32(&device, &output, 64 * 64).iter().all(|x| x.is_finite()));
}

#[test]
fn launches_of_other_threads_are_no_part_of_a_capture() {
    let Some(device) = gpu() else { return };
    let problem = Problem::parse("gemm", "m=4,n=4,k=4,dtype=f32").unwrap();
    let executable = Arc::new(prepare(&device, "naive", &problem).unwrap());
    let (captured, _) = upload(&device, &problem);
    let (launched, _) = upload(&device, &problem);
    let queue = device.queue();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                executable.launch(&queue, &launched).unwrap();
            }
        });
        for _ in 0..50 {
            let launches = vec![(executable.clone(), captured.clone()); 20];
            drop(queue.capture(launches).unwrap());
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let graph = queue.capture(vec![(executable, captured.clone())]).unwrap();
    queue.fill(&launched[2], 0xff).unwrap();
    queue.replay(&graph).unwrap();
    assert!(read_f32(&device, &launched[2], 16).iter().all(|x| x.is_nan()), "the graph holds another thread's launch");
    assert!(read_f32(&device, &captured[2], 16).iter().all(|x| x.is_finite()));
}

#[test]
fn events_are_ordered_and_the_pool_counts() {
    let Some(device) = gpu() else { return };
    let queue = device.queue();
    let before = device.pool_stats();
    let buffer = device.alloc(10 << 20).unwrap();
    let start = queue.record().unwrap();
    (0..10).for_each(|_| queue.fill(&buffer, 1).unwrap());
    let end = queue.record().unwrap();
    assert!(end.us_since(&start).unwrap() > 0.0);
    drop(buffer);
    let again = device.alloc(10 << 20).unwrap();
    let after = device.pool_stats();
    assert_eq!((after.misses - before.misses, after.hits - before.hits), (1, 1));
    drop(again);
    assert!(device.trim() >= 10 << 20);
    assert_eq!(device.pool_stats().bytes_held, 0);
    let huge = device.facts().memory_bytes as usize;
    assert!(matches!(device.alloc(huge * 2), Err(DeviceError::OutOfMemory { .. })));
}

#[test]
fn faults_before_the_launch_are_errors_with_a_name() {
    let Some(device) = gpu() else { return };
    let problem = Problem::parse("gemm", "m=2,n=2,k=2,dtype=f32").unwrap();
    let error = prepare(&device, "no_compile", &problem).map(|_| ()).unwrap_err();
    assert!(matches!(error, DeviceError::Compile { .. }) && error.to_string().contains("no_compile.cu"), "{error}");
    let error = prepare(&device, "no_entry", &problem).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("entry `gone`"), "{error}");
}
