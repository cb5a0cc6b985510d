//! One file a command.

pub mod audit;
pub mod bench;
pub mod bisect;
pub mod check;
pub mod compare;
pub mod devices;
pub mod export;
pub mod gate_test;
pub mod history;
pub mod import;
pub mod log;
pub mod plan;
pub mod predict;
pub mod regress;
pub mod replay;
pub mod report;
pub mod sensitivity;
pub mod train;
pub mod tune;
pub mod variants;
pub mod worker;

use kernelsmith_device::{Device, DeviceId};
use kernelsmith_lab::client::{Worker, WorkerCommand};
use kernelsmith_lab::work::Work;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub type Failure = Box<dyn std::error::Error>;

/// The device that was named, or the preferred one. Says in one line why no GPU is used.
pub fn open_device(name: Option<&str>, quiet: bool) -> Result<Device, Failure> {
    if let Some(name) = name {
        return Ok(Device::open(name.parse()?)?);
    }
    let (id, missing) = Device::preferred();
    if id == DeviceId::Cpu && !quiet && !missing.is_empty() {
        eprintln!("{}; going on with the CPU", missing.join("; "));
    }
    Ok(Device::open(id)?)
}

/// The device for tensors that was named, or the first that is there.
pub fn tensor_device(name: Option<&str>, kernels: Option<&Path>, quiet: bool) -> Result<kernelsmith::Device, Failure> {
    let id = open_device(name, quiet)?.id();
    Ok(kernelsmith::Device::with_kernels(id, kernels)?)
}

/// Starts a worker process of this same program.
pub fn start_worker(device: &Device, kernels: Option<&Path>, stop: Arc<AtomicBool>) -> Result<Worker, Failure> {
    Ok(Worker::start(worker_command(device, kernels, stop)?)?)
}

/// Starts a worker process that only gates.
pub fn start_gate(device: &Device, kernels: Option<&Path>) -> Result<Worker, Failure> {
    let command = worker_command(device, kernels, Default::default())?;
    Ok(Worker::start(WorkerCommand { untimed: true, ..command })?)
}

/// How a worker of this same program is started.
pub fn worker_command(
    device: &Device,
    kernels: Option<&Path>,
    stop: Arc<AtomicBool>,
) -> Result<WorkerCommand, Failure> {
    let kernels = kernels.map(std::path::absolute).transpose()?;
    let (program, args) = (std::env::current_exe()?, vec!["__worker".to_string()]);
    Ok(WorkerCommand { program, args, device: device.id().to_string(), kernels, untimed: false, stop })
}

/// Starts a worker process of another `smith`.
pub fn start_program(
    program: &Path,
    device: &Device,
    kernels: Option<&Path>,
    stop: Arc<AtomicBool>,
) -> Result<Worker, Failure> {
    let command = WorkerCommand { program: program.to_path_buf(), ..worker_command(device, kernels, stop)? };
    Ok(Worker::start(command).map_err(|e| format!("{}: {e}", program.display()))?)
}

/// A flag that Ctrl-C sets, for work that ends by itself when it is.
pub fn stop_on_interrupt() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))?;
    Ok(stop)
}

/// Says so where a piece of work cannot fit: the lab holds its operands twice at least.
pub fn check_fits(work: &Work, device: &Device) -> Result<(), Failure> {
    let (need, there) = (2.0 * work.buffer_bytes() as f64, device.facts().memory_bytes as f64);
    let gib = |bytes: f64| bytes / (1u64 << 30) as f64;
    // 0 is unknown.
    if need <= there || there == 0.0 {
        return Ok(());
    }
    Err(format!("{work} needs {:.1} GiB (its operands twice), {} has {:.1} GiB", gib(need), device.id(), gib(there))
        .into())
}
