//! Plans for people.

use super::Plan;
use crate::device::Device;
use crate::error::Result;
use std::fmt;

/// One step of a plan, as it is printed.
#[derive(Clone, Debug, PartialEq)]
pub struct StepView {
    /// The op that runs: `gemm`, `map`, `reduce`, `row`, `gather`, `scatter_add`.
    pub op: &'static str,
    pub problem: String,
    /// The methods that were fused into this launch, in order.
    pub fused: Vec<&'static str>,
    /// Bytes copied only to change a layout, and why; 0 for other steps.
    pub copied_bytes: usize,
    pub copy_reason: Option<&'static str>,
    /// Buffers read and the one written, by number.
    pub reads: Vec<usize>,
    pub writes: usize,
}

impl Plan {
    /// The steps, in order.
    pub fn steps(&self) -> Vec<StepView> {
        let view = |s: &super::Step| StepView {
            op: s.problem.op(),
            problem: s.problem.text(),
            fused: s.ops.clone(),
            copied_bytes: if s.copy.is_some() { s.problem.output().bytes() } else { 0 },
            copy_reason: s.copy,
            reads: s.reads.iter().map(|r| r.slot).collect(),
            writes: s.writes,
        };
        self.steps.iter().map(view).collect()
    }

    /// Number of launches.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Bytes copied only to change layouts.
    pub fn copied_bytes(&self) -> usize {
        self.steps().iter().map(|s| s.copied_bytes).sum()
    }

    /// Reads that stayed views.
    pub fn views(&self) -> usize {
        self.views
    }

    /// Which candidate runs each step on `device`, and why. Kernels are compiled where they are
    /// not yet; nothing is launched.
    ///
    /// # Errors
    /// A step that no candidate takes.
    pub fn candidates(&self, device: &Device) -> Result<Vec<(String, String)>> {
        let explain = |s: &super::Step| Ok(device.0.dispatcher.explain(&s.problem)?);
        self.steps.iter().map(explain).collect()
    }

    /// The plan as text with the candidates of `device`.
    ///
    /// # Errors
    /// As [`Plan::candidates`].
    pub fn describe(&self, device: &Device) -> Result<String> {
        let mut out = String::new();
        for ((i, step), (candidate, why)) in self.steps().iter().enumerate().zip(self.candidates(device)?) {
            out.push_str(&format!("{}\n     runs {candidate}: {why}\n", line(i, step)));
        }
        out.push_str(&self.summary());
        Ok(out)
    }

    fn summary(&self) -> String {
        let temporary = self.slots.iter().filter(|s| s.source.is_none() && s.inside.is_none() && s.last_read.is_some());
        let bytes: usize = temporary.clone().map(|s| s.bytes).sum();
        format!(
            "{} launches; {} reads stayed views; {} bytes copied to change layouts; {} temporary buffers of {} bytes in all\n",
            self.len(),
            self.views,
            self.copied_bytes(),
            temporary.count(),
            bytes
        )
    }
}

fn line(i: usize, step: &StepView) -> String {
    let reads: Vec<String> = step.reads.iter().map(|r| format!("#{r}")).collect();
    let copy = step.copy_reason.map_or(String::new(), |why| format!("  copies {} bytes: {why}", step.copied_bytes));
    format!(
        "{:>3}. {} {}\n     #{} from {}  fused: {}{copy}",
        i + 1,
        step.op,
        step.problem,
        step.writes,
        if reads.is_empty() { "nothing".to_string() } else { reads.join(" ") },
        step.fused.join(" > "),
    )
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.steps().iter().enumerate() {
            writeln!(f, "{}", line(i, step))?;
        }
        f.write_str(&self.summary())
    }
}
