//! What can be read about the processor.

use kernelsmith_kernels::{DeviceFacts, Target};

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|s| s.trim().to_string())
}

fn model() -> String {
    let info = read("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|l| l.starts_with("model name") || l.starts_with("Model"));
    let name = line.and_then(|l| l.split_once(':')).map(|(_, v)| v.trim().to_string());
    name.unwrap_or_else(|| std::env::consts::ARCH.to_string())
}

/// The largest cache that the first core reports, in bytes.
fn last_level_cache() -> Option<i64> {
    (0..8)
        .filter_map(|i| read(&format!("/sys/devices/system/cpu/cpu0/cache/index{i}/size")))
        .filter_map(|s| {
            let digits: String = s.chars().take_while(char::is_ascii_digit).collect();
            let unit = if s.ends_with('K') {
                1 << 10
            } else if s.ends_with('M') {
                1 << 20
            } else {
                1
            };
            digits.parse::<i64>().ok().map(|x| x * unit)
        })
        .max()
}

fn memory() -> Option<i64> {
    let info = read("/proc/meminfo")?;
    let line = info.lines().find(|l| l.starts_with("MemTotal"))?;
    line.split_whitespace().nth(1)?.parse::<i64>().ok().map(|kib| kib << 10)
}

/// Facts of this machine's processor.
pub fn facts() -> DeviceFacts {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()) as i64;
    let openblas = super::gemm::openblas::library();
    DeviceFacts {
        target: Target::Cpu,
        name: format!("{} ({threads} threads)", model()),
        cc: 0,
        sms: 0,
        shared_max: 0,
        l2_bytes: last_level_cache().unwrap_or(32 << 20),
        memory_bytes: memory().unwrap_or(8 << 30),
        memory_bandwidth: 0.0,
        threads,
        libraries: openblas.iter().map(|_| "openblas".to_string()).collect(),
        driver: openblas.unwrap_or("no vendor library").to_string(),
        toolchain: env!("KERNELSMITH_RUSTC").to_string(),
        adapter: Default::default(),
    }
}

/// The first core's clock in MHz, where the system tells.
pub fn clock_mhz() -> Option<f64> {
    let info = read("/proc/cpuinfo")?;
    let line = info.lines().find(|l| l.starts_with("cpu MHz"))?;
    line.split_once(':')?.1.trim().parse().ok()
}
