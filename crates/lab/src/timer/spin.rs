//! Kernels of known duration, for the timer's self-test.

use super::Timer;
use kernelsmith_core::Problem;
use kernelsmith_device::{DeviceError, Executable, Graph};
use kernelsmith_kernels::facts::Target;
use kernelsmith_kernels::{Candidate, Catalogue, Config, manifest};
use std::sync::Arc;

const SPIN: &str = r#"
[[variant]]
name = "spin_cpu"
about = "busy for a known time"
target = "cpu"
source = "spin"
params = { NANOSECONDS = [0, 30000, 60000, 260000, 1000000, 3000000] }
default = { NANOSECONDS = 60000 }
[[variant]]
name = "spin_cuda"
about = "busy for a known time"
target = "cuda"
source = "spin.cu"
params = { NANOSECONDS = [0, 30000, 60000, 260000, 1000000, 3000000] }
default = { NANOSECONDS = 60000 }
[[variant.launch]]
entry = "spin"
grid = "1"
block = "1"
args = []
"#;

const SPIN_CUDA: &str = r#"
__device__ __forceinline__ unsigned long long now() {
    unsigned long long t;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
    return t;
}
extern "C" __global__ void spin() {
    if (NANOSECONDS == 0) return;
    const unsigned long long start = now();
    while (now() - start < NANOSECONDS) { }
}
"#;

/// WGSL has no clock: the kernel counts, and what a round takes is measured by the host's clock. A round
/// is many steps, since a driver may end loops after 65535 iterations.
const SPIN_WGSL: &str = r#"
@compute @workgroup_size(1)
fn spin() {
    var x = u32(args.m) + args.zero;
    for (var i = 0u; i < ROUNDS; i++) { STEPS }
    if (x == 0u) { store_d(0, Acc(0)); }
}
"#;

/// One step of a round: each needs the one before it.
const STEP: &str = "x = (x ^ (x >> 15u)) * 1664525u + i; ";

/// Rounds of the two spins that a round's time is taken from.
const ROUNDS: [i64; 2] = [4_000, 20_000];

impl Timer {
    /// A kernel that counts so many rounds, for adapters.
    fn count(&self, rounds: i64, launches: usize) -> Result<Graph, DeviceError> {
        let read = |name: &str| (name == "spin.wgsl").then(|| SPIN_WGSL.replace("STEPS", &STEP.repeat(64)));
        let manifest = format!(
            r#"
[[variant]]
name = "spin_wgsl"
about = "busy for a known number of rounds"
target = "wgsl"
source = "spin.wgsl"
params = {{ ROUNDS = [{rounds}] }}
default = {{ ROUNDS = {rounds} }}
[[variant.launch]]
entry = "spin"
grid = "1"
block = "1"
args = [{{ matrix = "a" }}, {{ matrix = "b" }}, {{ matrix = "c" }}, {{ matrix = "d" }}, {{ i32 = "m" }}, {{ acc = "alpha" }}]
"#
        );
        self.repeat(&manifest, &read, "spin_wgsl", ("ROUNDS", rounds), launches)
    }

    /// Nanoseconds of a round by the host's clock: the difference of two spins, each at its fastest.
    pub(super) fn round_ns(&self) -> Result<f64, DeviceError> {
        let graphs = [self.count(ROUNDS[0], 1)?, self.count(ROUNDS[1], 1)?];
        let mut best = [f64::INFINITY; 2];
        let queue = self.device.queue();
        queue.synchronize()?;
        for _ in 0..9 {
            for (graph, best) in graphs.iter().zip(&mut best) {
                let start = std::time::Instant::now();
                queue.replay(graph)?;
                queue.synchronize()?;
                *best = best.min(start.elapsed().as_secs_f64() * 1e9);
            }
        }
        Ok((best[1] - best[0]) / (ROUNDS[1] - ROUNDS[0]) as f64)
    }

    /// A graph of launches that are busy for a known time. `round_ns` is what a round of counting takes.
    pub(super) fn busy(&self, nanoseconds: i64, launches: usize, round_ns: Option<f64>) -> Result<Graph, DeviceError> {
        match round_ns {
            Some(ns) => self.count((nanoseconds as f64 / ns) as i64, launches),
            None => self.spin(nanoseconds, launches),
        }
    }

    fn spin(&self, nanoseconds: i64, launches: usize) -> Result<Graph, DeviceError> {
        let read = |name: &str| (name == "spin.cu").then(|| SPIN_CUDA.to_string());
        let name = match self.device.facts().target {
            Target::Cpu => "spin_cpu",
            _ => "spin_cuda",
        };
        self.repeat(SPIN, &read, name, ("NANOSECONDS", nanoseconds), launches)
    }

    /// A graph of launches of one kernel of the timer's own, with its one parameter.
    fn repeat(
        &self,
        manifest: &str,
        read: &dyn Fn(&str) -> Option<String>,
        name: &str,
        (parameter, value): (&str, i64),
        launches: usize,
    ) -> Result<Graph, DeviceError> {
        let variants = manifest::parse("gemm", "the timer's kernel", manifest, read)
            .map_err(kernelsmith_kernels::CatalogueError::from)?;
        let catalogue = Catalogue::builtin()?.with(variants);
        let problem = Problem::parse("gemm", "m=1,n=1,k=1,dtype=f32")
            .map_err(|e| DeviceError::NotOffered { what: "the timer's kernel".to_string(), reason: e.to_string() })?;
        let config = Config::new([(parameter.to_string(), value)]);
        let candidate = Candidate { variant: name.to_string(), config };
        let executable = Arc::new(Executable::prepare(&self.device, &catalogue, &candidate, &problem)?);
        let operands = kernelsmith_device::executable::allocate_operands(&self.device, &problem)?;
        self.device.queue().capture((0..launches).map(|_| (executable.clone(), operands.clone())).collect())
    }
}
