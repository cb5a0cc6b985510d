//! One candidate screened on one problem, in the worker: a short gate, then a short cold timing.

use crate::bench_session::Screened;
use crate::client::{Worker, WorkerError};
use crate::evidence::{CandidateRecord, Verdict};
use crate::protocol::{Answer, Request};
use crate::provenance;
use crate::worker::death;
use kernelsmith_core::Problem;
use kernelsmith_device::Device;
use kernelsmith_device::executable::source_hash;
use kernelsmith_kernels::{Candidate, Catalogue};
use std::time::Duration;

/// The hash of what a candidate runs on a problem now; none where it cannot be told.
pub fn hash_of(catalogue: &Catalogue, device: &Device, problem: &Problem, candidate: &Candidate) -> Option<String> {
    let variant = catalogue.variant(problem.op(), device.facts().target, &candidate.variant).ok()?;
    source_hash(catalogue, variant, candidate, problem, device).ok()
}

/// Asks the worker, within `limit`. `best_us` is the fastest so far: what is far slower is sampled once.
///
/// # Errors
/// There is no worker to ask, or the wait was stopped. What a candidate does is no error.
pub fn screen_one(
    worker: &mut Worker,
    catalogue: &Catalogue,
    device: &Device,
    problem: &Problem,
    candidate: &Candidate,
    best_us: Option<f64>,
    limit: Duration,
) -> Result<CandidateRecord, WorkerError> {
    let request = Request::Screen {
        op: problem.op().to_string(),
        problem: problem.text(),
        candidate: candidate.to_string(),
        best_us,
    };
    let result = match worker.ask(&request, limit) {
        Ok(Answer::Screened { result }) => result,
        Ok(other) => return Err(WorkerError::Answer(format!("{other:?}"))),
        Err(error @ (WorkerError::Start(_) | WorkerError::Stopped)) => return Err(error),
        Err(error) => {
            let (verdict, detail) = death(&error);
            Screened::failed(verdict, detail)
        }
    };
    if result.verdict == Verdict::Launch {
        worker.retire();
    }
    let variant = catalogue.variant(problem.op(), device.facts().target, &candidate.variant);
    Ok(CandidateRecord {
        time: provenance::now(),
        op: problem.op().to_string(),
        problem: problem.text(),
        candidate: candidate.to_string(),
        vendor: variant.ok().and_then(|v| v.vendor.clone()),
        verdict: result.verdict,
        detail: result.detail,
        max_error_over_bound: result.max_error_over_bound,
        samples_us: result.samples_us,
        launches_per_sample: result.launches_per_sample,
        // A worker that died did not say.
        source_hash: result.source_hash.or_else(|| hash_of(catalogue, device, problem, candidate)),
        registers: result.registers,
        spill_bytes: result.spill_bytes,
        telemetry: result.telemetry,
        seconds: result.seconds,
    })
}
