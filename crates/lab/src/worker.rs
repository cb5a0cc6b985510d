//! The worker process: reads requests from standard input, answers on standard output.

use crate::bench_session::BenchSession;
use crate::evidence::Verdict;
use crate::gate::Outcome;
use crate::gate_test;
use crate::protocol::{Answer, MARK, Request};
use crate::timer::Mode;
use crate::work::Work;
use kernelsmith_core::Problem;
use kernelsmith_device::{Device, DeviceId};
use kernelsmith_kernels::{Candidate, Catalogue, DeviceFacts};
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Duration;

type Failure = Box<dyn std::error::Error>;

/// The built-in catalogue with a folder laid over it.
pub fn catalogue(kernels: Option<&Path>) -> Result<Catalogue, kernelsmith_kernels::CatalogueError> {
    let builtin = Catalogue::builtin()?;
    kernels.map_or(Ok(builtin.clone()), |folder| builtin.overlay(folder))
}

/// Serves requests until the input ends.
pub fn serve(input: impl BufRead, mut output: impl Write) -> std::io::Result<()> {
    let mut session: Option<BenchSession> = None;
    let mut bare = Bare::default();
    for line in input.lines() {
        let answer = match serde_json::from_str::<Request>(&line?) {
            Ok(request) => {
                handle(&mut session, &mut bare, request).unwrap_or_else(|e| Answer::Refused { reason: e.to_string() })
            }
            Err(error) => Answer::Refused { reason: format!("a request that does not parse: {error}") },
        };
        // JSON has no infinities: what holds one becomes null and is refused by the reader.
        let text = serde_json::to_string(&answer)?;
        writeln!(output, "{MARK}{text}")?;
        output.flush()?;
    }
    Ok(())
}

/// A device that nothing is timed on.
#[derive(Default)]
struct Bare(Option<Device>);

impl Bare {
    fn device(&mut self, id: &str) -> Result<&Device, Failure> {
        if self.0.is_none() {
            self.0 = Some(Device::open(id.parse::<DeviceId>()?)?);
        }
        Ok(self.0.as_ref().ok_or("no device")?)
    }
}

fn handle(session: &mut Option<BenchSession>, bare: &mut Bare, request: Request) -> Result<Answer, Failure> {
    if let Request::Open { device, kernels, untimed } = request {
        let device = Device::open(device.parse::<DeviceId>()?)?;
        let catalogue = catalogue(kernels.as_deref())?;
        let opened =
            if untimed { BenchSession::untimed(device, catalogue) } else { BenchSession::new(device, catalogue)? };
        let answer = Answer::Opened { facts: opened.device().facts().clone(), timer: opened.timer().record.clone() };
        *session = Some(opened);
        return Ok(answer);
    }
    if let Request::Compile { facts, kernels, op, problem, candidates } = request {
        let catalogue = catalogue(kernels.as_deref())?;
        let candidates = candidates.iter().map(|c| c.parse()).collect::<Result<Vec<Candidate>, _>>()?;
        let warnings = compile(&catalogue, &facts, &Problem::parse(&op, &problem)?, &candidates);
        return Ok(Answer::Compiled { warnings });
    }
    if let Request::Inject { device, fault, sound } = &request {
        return Ok(gated(gate_test::run::inject(bare.device(device)?, fault, *sound)?));
    }
    if let Request::Attack { device, name } = &request {
        return Ok(gate_test::attack::run(bare.device(device)?, name)?);
    }
    if let Request::Clean { device, op, seed, count } = &request {
        let device = bare.device(device)?;
        let result = gate_test::clean::batch(device, &Catalogue::builtin()?, op.as_deref(), *seed, *count)?;
        return Ok(Answer::Cleaned { result });
    }
    let session = session.as_mut().ok_or("the first request must open a device")?;
    if matches!(request, Request::Screen { .. } | Request::Race { .. }) && !session.timer().record.tested() {
        return Err("opened for the gate alone: the timer was not tested".into());
    }
    Ok(match request {
        Request::Open { .. }
        | Request::Compile { .. }
        | Request::Inject { .. }
        | Request::Clean { .. }
        | Request::Attack { .. } => Answer::Refused { reason: "handled above".to_string() },
        Request::Screen { op, problem, candidate, best_us } => {
            let result = session.screen(&Problem::parse(&op, &problem)?, &candidate.parse()?, best_us);
            Answer::Screened { result }
        }
        Request::Gate { op, problem, candidate, brief } => {
            gated(session.gate(&Problem::parse(&op, &problem)?, &candidate.parse()?, brief))
        }
        Request::Race { op, problem, contenders, peers, mode, budget_ms, seed } => {
            let work = Work::parse(&op, &problem)?;
            let parse = |steps: &Vec<String>| steps.iter().map(|c| c.parse()).collect::<Result<Vec<Candidate>, _>>();
            let contenders = contenders.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
            let mode = if mode == "hot" { Mode::Hot } else { Mode::Cold };
            let result = session.race(&work, &contenders, &peers, mode, Duration::from_millis(budget_ms), seed)?;
            Answer::Raced { result }
        }
    })
}

fn gated(o: Outcome) -> Answer {
    // An infinite ratio is a mask mismatch; its place in JSON is a large number.
    let ratio = if o.max_error_over_bound.is_finite() { o.max_error_over_bound } else { f64::MAX };
    Answer::Gated {
        verdict: o.verdict,
        detail: o.detail,
        max_error_over_bound: ratio,
        checks: o.checks,
        skipped: o.skipped,
    }
}

/// Compiles candidates into the cache; what fails to compile fails again when it is screened.
#[cfg(feature = "cuda")]
fn compile(catalogue: &Catalogue, facts: &DeviceFacts, problem: &Problem, candidates: &[Candidate]) -> Vec<String> {
    use kernelsmith_device::cache::CompileCache;
    let cache = CompileCache::default_folder().map(CompileCache::at);
    let mut warnings = Vec::new();
    // Only CUDA's compiler can be asked without the device.
    if facts.target != kernelsmith_kernels::Target::Cuda {
        return warnings;
    }
    for candidate in candidates {
        let Ok(variant) = catalogue.admit(candidate, problem, facts) else { continue };
        let Ok(rendered) = kernelsmith_kernels::render::cuda(catalogue, &variant, &candidate.config, problem, facts)
        else {
            continue;
        };
        let name = candidate.to_string();
        if let Ok((_, Some(warning))) =
            kernelsmith_device::cuda::compile::compile(&rendered, facts.cc, &name, cache.as_ref())
            && !warnings.contains(&warning)
        {
            warnings.push(warning);
        }
    }
    warnings
}

#[cfg(not(feature = "cuda"))]
fn compile(_: &Catalogue, _: &DeviceFacts, _: &Problem, _: &[Candidate]) -> Vec<String> {
    Vec::new()
}

/// What a dead or silent worker means for the candidate it had.
pub fn death(reason: &crate::client::WorkerError) -> (Verdict, String) {
    match reason {
        crate::client::WorkerError::Timeout(limit) => {
            (Verdict::Timeout, format!("no answer within {:.1} s", limit.as_secs_f64()))
        }
        other => (Verdict::Launch, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A busy machine, whose timer cannot be trusted, once failed `smith check`, which times nothing.
    #[test]
    fn what_was_opened_for_the_gate_alone_gates_and_does_not_time() {
        let (op, problem, candidate) =
            ("gemm".to_string(), "m=3,n=5,k=7,dtype=f32".to_string(), "gemm_crate[THREADS=0]".to_string());
        let requests = [
            Request::Open { device: "cpu".to_string(), kernels: None, untimed: true },
            Request::Gate { op: op.clone(), problem: problem.clone(), candidate: candidate.clone(), brief: false },
            Request::Screen { op, problem, candidate, best_us: None },
        ];
        let input = requests.map(|r| serde_json::to_string(&r).unwrap() + "\n").concat();
        let mut output = Vec::new();
        serve(input.as_bytes(), &mut output).unwrap();
        let answers: Vec<Answer> = String::from_utf8(output)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line.strip_prefix(MARK).unwrap()).unwrap())
            .collect();
        let [Answer::Opened { timer, .. }, Answer::Gated { verdict, .. }, Answer::Refused { reason }] = &answers[..]
        else {
            panic!("{answers:?}");
        };
        assert!(!timer.tested());
        assert_eq!(*verdict, Verdict::Ok);
        assert!(reason.contains("the timer was not tested"), "{reason}");
    }
}
