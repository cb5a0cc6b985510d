//! The worker process: reads requests from standard input, answers on standard output.

use crate::bench_session::BenchSession;
use crate::evidence::Verdict;
use crate::protocol::{Answer, MARK, Request};
use crate::timer::Mode;
use crate::work::Work;
use kernelsmith_core::Problem;
use kernelsmith_device::{Device, DeviceId};
use kernelsmith_kernels::{Candidate, Catalogue};
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
    for line in input.lines() {
        let answer = match serde_json::from_str::<Request>(&line?) {
            Ok(request) => handle(&mut session, request).unwrap_or_else(|e| Answer::Refused { reason: e.to_string() }),
            Err(error) => Answer::Refused { reason: format!("a request that does not parse: {error}") },
        };
        // JSON has no infinities: what holds one becomes null and is refused by the reader.
        let text = serde_json::to_string(&answer)?;
        writeln!(output, "{MARK}{text}")?;
        output.flush()?;
    }
    Ok(())
}

fn handle(session: &mut Option<BenchSession>, request: Request) -> Result<Answer, Failure> {
    if let Request::Open { device, kernels } = request {
        let device = Device::open(device.parse::<DeviceId>()?)?;
        let opened = BenchSession::new(device, catalogue(kernels.as_deref())?)?;
        let answer = Answer::Opened { facts: opened.device().facts().clone(), timer: opened.timer().record.clone() };
        *session = Some(opened);
        return Ok(answer);
    }
    let session = session.as_mut().ok_or("the first request must open a device")?;
    Ok(match request {
        Request::Open { .. } => Answer::Refused { reason: "already open".to_string() },
        Request::Prefetch { op, problem, candidates } => {
            let candidates = candidates.iter().map(|c| c.parse()).collect::<Result<Vec<Candidate>, _>>()?;
            session.prefetch(&Problem::parse(&op, &problem)?, &candidates);
            Answer::Prefetched { warnings: session.device().take_warnings() }
        }
        Request::Screen { op, problem, candidate, best_us } => {
            let result = session.screen(&Problem::parse(&op, &problem)?, &candidate.parse()?, best_us);
            Answer::Screened { result }
        }
        Request::Gate { op, problem, candidate } => {
            let o = session.gate(&Problem::parse(&op, &problem)?, &candidate.parse()?);
            // An infinite ratio is a mask mismatch; its place in JSON is a large number.
            let ratio = if o.max_error_over_bound.is_finite() { o.max_error_over_bound } else { f64::MAX };
            Answer::Gated { verdict: o.verdict, detail: o.detail, max_error_over_bound: ratio, checks: o.checks, skipped: o.skipped }
        }
        Request::Race { op, problem, contenders, mode, budget_ms, seed } => {
            let work = Work::parse(&op, &problem)?;
            let parse = |steps: &Vec<String>| steps.iter().map(|c| c.parse()).collect::<Result<Vec<Candidate>, _>>();
            let contenders = contenders.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
            let mode = if mode == "hot" { Mode::Hot } else { Mode::Cold };
            let result = session.race(&work, &contenders, mode, Duration::from_millis(budget_ms), seed)?;
            Answer::Raced { result }
        }
    })
}

/// What a dead or silent worker means for the candidate it had.
pub fn death(reason: &crate::client::WorkerError) -> (Verdict, String) {
    match reason {
        crate::client::WorkerError::Timeout(limit) => (Verdict::Timeout, format!("no answer within {:.1} s", limit.as_secs_f64())),
        other => (Verdict::Launch, other.to_string()),
    }
}
