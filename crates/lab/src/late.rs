//! Launches behind others that are late. A kernel that overlaps with those ahead of it may read what they write
//! only once it has waited for them. Here inputs are written by launches that let the next one begin at once and
//! then take their time: what is read too early is still poison.

use crate::gate::NAN_BYTE;
use kernelsmith_core::Problem;
use kernelsmith_device::{Buffer, DeviceError, Executable, Queue};
use kernelsmith_kernels::{Candidate, Catalogue, CatalogueError, Config, manifest};
use std::sync::{Arc, OnceLock};

const MANIFEST: &str = r#"
[[variant]]
name = "late"
about = "copies bytes, after the launches behind it had time to begin"
target = "cuda"
source = "late.cu"
[[variant.launch]]
entry = "late"
grid = "min(cdiv(n, 4096), 32)"
block = "256"
args = [{ buffer = "x0" }, { buffer = "out" }, { i64 = "n" }]
overlap = true
[[variant]]
name = "late"
about = "copies bytes"
target = "cpu"
source = "map_reference"
"#;

/// 20 µs are several times what a launch takes to begin.
const SOURCE: &str = r#"
__device__ __forceinline__ unsigned long long now() {
    unsigned long long t;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
    return t;
}
extern "C" __global__ void late(const unsigned char* from, unsigned char* to, long long n) {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
    const unsigned long long start = now();
    while (now() - start < 20000) { }
    for (long long i = blockIdx.x * 256ll + threadIdx.x; i < n; i += gridDim.x * 256ll) to[i] = from[i];
}
"#;

/// The built-in catalogue with the kernel in it.
pub fn catalogue() -> Result<&'static Catalogue, DeviceError> {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    if let Some(known) = CATALOGUE.get() {
        return Ok(known);
    }
    let read = |name: &str| (name == "late.cu").then(|| SOURCE.to_string());
    let variants = manifest::parse("map", "the gate's kernel", MANIFEST, &read).map_err(CatalogueError::from)?;
    let made = Catalogue::builtin()?.with(variants);
    Ok(CATALOGUE.get_or_init(|| made))
}

/// Runs `executable` behind launches that write the inputs in `late`, from the copies that go with them: those
/// inputs hold poison until then. Behind none it runs twice, the second time behind itself. (Behind others it must
/// not: the second launch would put right what the first left wrong.)
///
/// # Errors
/// A device that gives no memory or fails.
pub fn run(
    queue: &Queue,
    executable: &Arc<Executable>,
    operands: &[Buffer],
    late: &[(usize, Buffer)],
) -> Result<(), DeviceError> {
    let device = queue.device();
    let mut launches = Vec::new();
    for (input, staged) in late {
        let text = format!("shape={},expr=x0,x0=u8,out=u8", staged.bytes());
        let problem = Problem::parse("map", &text)
            .map_err(|e| DeviceError::NotOffered { what: "the gate's kernel".to_string(), reason: e.to_string() })?;
        let candidate = Candidate { variant: "late".to_string(), config: Config::new([]) };
        let copy = Arc::new(Executable::prepare(device, catalogue()?, &candidate, &problem)?);
        queue.fill(&operands[*input], NAN_BYTE)?;
        launches.push((copy, vec![staged.clone(), operands[*input].clone()]));
    }
    let times = if late.is_empty() { 2 } else { 1 };
    launches.extend((0..times).map(|_| (executable.clone(), operands.to_vec())));
    let graph = queue.capture(launches)?;
    queue.replay(&graph)?;
    // The graph must outlive its replay.
    queue.synchronize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernelsmith_core::{DType, HostArray};
    use kernelsmith_device::{Device, DeviceId};
    use kernelsmith_kernels::Target;

    /// Whatever the inputs held: what runs behind has them whole, and they are left as they should be.
    #[test]
    fn late_inputs_are_there_when_they_are_waited_for() {
        let device = Device::open(DeviceId::Cpu).unwrap();
        let builtin = Catalogue::builtin().unwrap();
        let problem = Problem::parse("map", "shape=5,expr=add(x0,x1),x0=f32,x1=f32,out=f32").unwrap();
        let variant = builtin.variant("map", Target::Cpu, "reference").unwrap();
        let config = variant.fallback(&problem, device.facts()).unwrap().unwrap();
        let candidate = Candidate { variant: "reference".into(), config };
        let sum = Arc::new(Executable::prepare(&device, &builtin, &candidate, &problem).unwrap());
        let operands = kernelsmith_device::executable::allocate_operands(&device, &problem).unwrap();
        let queue = device.queue();
        let stage = |(i, scale): (usize, f32)| {
            let staged = device.alloc(20).unwrap();
            let values: Vec<f32> = (1..6).map(|x| scale * x as f32).collect();
            queue.write(&staged, 0, HostArray::F32(values).as_bytes()).unwrap();
            (i, staged)
        };
        let late: Vec<(usize, Buffer)> = [1.0, 10.0].into_iter().enumerate().map(stage).collect();
        let read = |buffer: &Buffer| {
            let mut got = HostArray::zeros(DType::F32, 5);
            queue.read(buffer, 0, got.as_bytes_mut()).unwrap();
            (0..5).map(|i| got.get(i)).collect::<Vec<f64>>()
        };
        for late in [&late[..], &[]] {
            run(&queue, &sum, &operands, late).unwrap();
            assert_eq!(read(&operands[2]), [11.0, 22.0, 33.0, 44.0, 55.0]);
            assert_eq!(read(&operands[0]), [1.0, 2.0, 3.0, 4.0, 5.0]);
        }
    }
}
