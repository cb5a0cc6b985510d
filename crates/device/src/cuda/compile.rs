//! NVRTC: rendered CUDA C++ to a cubin. Needs no GPU and no toolkit headers.

use crate::cache::{CompileCache, Compiled};
use crate::error::{DeviceError, Result};
use crate::libraries::preload;
use cudarc::nvrtc::sys::{self, nvrtcResult};
use kernelsmith_kernels::render::Rendered;
use std::ffi::{CString, c_char};
use std::panic::catch_unwind;
use std::sync::OnceLock;

/// NVRTC's version, or why it cannot be used.
pub fn version() -> std::result::Result<(i32, i32), String> {
    static VERSION: OnceLock<std::result::Result<(i32, i32), String>> = OnceLock::new();
    VERSION
        .get_or_init(|| {
            // NVRTC opens its builtins by plain name: they must be open already.
            preload(&["libnvrtc-builtins.so.13", "libnvrtc-builtins.so"]);
            if !preload(&["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"]) {
                return Err("libnvrtc was not found".to_string());
            }
            let (mut major, mut minor) = (0, 0);
            // SAFETY: writes two ints.
            let status = catch_unwind(|| {
                let mut v = (0, 0);
                let s = unsafe { sys::nvrtcVersion(&mut v.0, &mut v.1) };
                (s, v)
            });
            match status {
                Ok((nvrtcResult::NVRTC_SUCCESS, v)) => {
                    (major, minor) = v;
                    Ok((major, minor))
                }
                Ok((other, _)) => Err(format!("{other:?} ({major}.{minor})")),
                Err(_) => Err("libnvrtc lacks a symbol".to_string()),
            }
        })
        .clone()
}

/// The architecture name for a compute capability: `sm_90a` gives Hopper's own instructions.
pub fn architecture(cc: i64) -> String {
    if cc >= 90 { format!("sm_{cc}a") } else { format!("sm_{cc}") }
}

/// The options of every compilation.
pub fn options(cc: i64) -> Vec<String> {
    vec![
        format!("--gpu-architecture={}", architecture(cc)),
        "--std=c++17".to_string(),
        "--ptxas-options=-v".to_string(),
        "--generate-line-info".to_string(),
    ]
}

/// What the assembler said of a kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    pub registers: u32,
    pub stack_bytes: u32,
    pub spill_bytes: u32,
    /// Lines with a C75xx warning: matrix instructions serialised or setmaxnreg ignored.
    pub serialised: u32,
}

/// Reads the log of a successful compilation.
pub fn resources(log: &str) -> Resources {
    let before = |line: &str, word: &str| -> u32 {
        let Some(at) = line.find(word) else { return 0 };
        let digits: Vec<char> = line[..at].trim_end().chars().rev().take_while(char::is_ascii_digit).collect();
        digits.into_iter().rev().collect::<String>().parse().unwrap_or(0)
    };
    let mut out = Resources::default();
    for line in log.lines() {
        out.stack_bytes = out.stack_bytes.max(before(line, "bytes stack frame"));
        out.spill_bytes =
            out.spill_bytes.max(before(line, "bytes spill stores").max(before(line, "bytes spill loads")));
        out.registers = out.registers.max(before(line, "registers"));
        out.serialised += u32::from(line.contains("C75"));
    }
    out
}

/// Compiles rendered source for a compute capability, or takes it from the cache. A cache that
/// cannot be written is not an error of the compilation: the second value says what happened.
pub fn compile(
    rendered: &Rendered,
    cc: i64,
    name: &str,
    cache: Option<&CompileCache>,
) -> Result<(Compiled, Option<String>)> {
    let fail = |log: String| DeviceError::Compile { what: name.to_string(), log };
    let (major, minor) = version().map_err(&fail)?;
    let options = options(cc);
    let key = CompileCache::key(&rendered.hash, &format!("nvrtc {major}.{minor}"), &options);
    if let Some(found) = cache.and_then(|c| c.get(&key)) {
        return Ok((found, None));
    }
    let compiled = run(rendered, &options, name)?;
    let warning =
        cache.and_then(|c| c.put(&key, &compiled).err()).map(|e| format!("the compile cache was not written: {e}"));
    Ok((compiled, warning))
}

struct Program(sys::nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: created by `run`, dropped once.
        unsafe { sys::nvrtcDestroyProgram(&mut self.0) };
    }
}

impl Program {
    /// Reads one of the program's byte outputs.
    fn output(
        &self,
        size: unsafe fn(sys::nvrtcProgram, *mut usize) -> nvrtcResult,
        get: unsafe fn(sys::nvrtcProgram, *mut c_char) -> nvrtcResult,
    ) -> std::result::Result<Vec<u8>, nvrtcResult> {
        let mut bytes = 0;
        // SAFETY: the program is alive; writes one size.
        let status = unsafe { size(self.0, &mut bytes) };
        if status != nvrtcResult::NVRTC_SUCCESS {
            return Err(status);
        }
        let mut out = vec![0u8; bytes];
        // SAFETY: the buffer has the size that was asked for.
        let status = unsafe { get(self.0, out.as_mut_ptr().cast()) };
        if status == nvrtcResult::NVRTC_SUCCESS { Ok(out) } else { Err(status) }
    }
}

fn run(rendered: &Rendered, options: &[String], name: &str) -> Result<Compiled> {
    let fail = |log: String| DeviceError::Compile { what: name.to_string(), log };
    let text = |s: &str| CString::new(s).map_err(|_| fail("the source holds a zero byte".to_string()));
    let source = text(&rendered.source)?;
    let names: Vec<CString> = rendered.headers.iter().map(|(n, _)| text(n)).collect::<Result<_>>()?;
    let bodies: Vec<CString> = rendered.headers.iter().map(|(_, t)| text(t)).collect::<Result<_>>()?;
    let name_pointers: Vec<*const c_char> = names.iter().map(|s| s.as_ptr()).collect();
    let body_pointers: Vec<*const c_char> = bodies.iter().map(|s| s.as_ptr()).collect();
    let options: Vec<CString> = options.iter().map(|o| text(o)).collect::<Result<_>>()?;
    let option_pointers: Vec<*const c_char> = options.iter().map(|s| s.as_ptr()).collect();
    let mut handle = std::ptr::null_mut();
    // SAFETY: every pointer is a zero-terminated string that outlives the program.
    let status = unsafe {
        sys::nvrtcCreateProgram(
            &mut handle,
            source.as_ptr(),
            c"kernel.cu".as_ptr(),
            names.len() as i32,
            body_pointers.as_ptr(),
            name_pointers.as_ptr(),
        )
    };
    if status != nvrtcResult::NVRTC_SUCCESS {
        return Err(fail(format!("nvrtcCreateProgram: {status:?}")));
    }
    let program = Program(handle);
    // SAFETY: the program is alive, the options are strings.
    let status = unsafe { sys::nvrtcCompileProgram(program.0, option_pointers.len() as i32, option_pointers.as_ptr()) };
    let log = program.output(sys::nvrtcGetProgramLogSize, sys::nvrtcGetProgramLog).unwrap_or_default();
    let log = String::from_utf8_lossy(&log).trim_end_matches('\0').trim().to_string();
    if status != nvrtcResult::NVRTC_SUCCESS {
        return Err(fail(if log.is_empty() { format!("{status:?}") } else { log }));
    }
    let binary = program
        .output(sys::nvrtcGetCUBINSize, sys::nvrtcGetCUBIN)
        .map_err(|e| fail(format!("nvrtcGetCUBIN: {e:?}")))?;
    Ok(Compiled { binary, log })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_read_from_the_log() {
        let log = "ptxas info : Compiling entry function 'gemm' for 'sm_90a'\nptxas info : Function properties for gemm\n    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads\nptxas info : Used 128 registers, used 1 barriers\nptxas info (C7517) : serialised";
        assert_eq!(resources(log), Resources { registers: 128, stack_bytes: 8, spill_bytes: 12, serialised: 1 });
    }

    #[test]
    fn hopper_gets_its_own_instructions() {
        assert_eq!((architecture(90), architecture(86)), ("sm_90a".to_string(), "sm_86".to_string()));
    }
}
