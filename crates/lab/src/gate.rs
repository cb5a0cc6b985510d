//! The gate: what a candidate must pass before its time counts.

use crate::evidence::Verdict;
use crate::inspection::Trick;
use crate::late;
use crate::secret;
use kernelsmith_core::inputs::{Inputs, for_each_position, hash};
use kernelsmith_core::ops::OracleBudget;
use kernelsmith_core::reference::Reference;
use kernelsmith_core::{DType, HostArray, Operand, Problem};
use kernelsmith_device::{Buffer, Device, DeviceError, Executable, Queue};
use kernelsmith_kernels::{Candidate, Catalogue};
use std::sync::Arc;

/// Bytes of guard band on each side of an operand.
const GUARD: usize = 4096;
/// Guard of inputs: NaN in every float dtype, so that a stray read shows.
pub(crate) const NAN_BYTE: u8 = 0xff;

/// What a result may lose where numbers below 2⁻¹²⁶ are taken for 0: its last steps' parts of that size.
const FLUSHED: f64 = 4.0 * f32::MIN_POSITIVE as f64;

/// What an output holds before a launch.
enum Before<'a> {
    /// One byte throughout.
    Uniform(u8),
    /// What another result could have left; the byte is around it.
    Numbers(u8, &'a HostArray),
}

/// What the gate found.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub verdict: Verdict,
    pub detail: Option<String>,
    pub max_error_over_bound: f64,
    pub checks: usize,
    pub skipped: usize,
}

impl Outcome {
    fn pass() -> Self {
        Outcome { verdict: Verdict::Ok, detail: None, max_error_over_bound: 0.0, checks: 0, skipped: 0 }
    }

    fn fail(verdict: Verdict, detail: String) -> Self {
        Outcome { verdict, detail: Some(detail), ..Outcome::pass() }
    }

    /// Adds a later check's result. Returns whether checking goes on.
    fn absorb(&mut self, other: Outcome) -> bool {
        self.checks += other.checks;
        self.max_error_over_bound = self.max_error_over_bound.max(other.max_error_over_bound);
        if other.verdict != Verdict::Ok {
            self.verdict = other.verdict;
            self.detail = other.detail;
        }
        self.verdict == Verdict::Ok
    }
}

/// The verdict that an error of the device stands for.
pub fn verdict_of(error: &DeviceError) -> Verdict {
    match error {
        DeviceError::Compile { .. } => Verdict::Compile,
        DeviceError::NotOffered { .. } => Verdict::Unoffered,
        _ => Verdict::Launch,
    }
}

/// An operand between guard bands, or before a guard page.
struct Guarded {
    whole: Buffer,
    view: Buffer,
    guard: usize,
    operand: Operand,
}

impl Guarded {
    fn new(device: &Device, operand: Operand, fenced: bool) -> Result<Self, DeviceError> {
        let bytes = operand.bytes();
        // A fenced buffer ends at a page: it is aligned only if its size is.
        let may = fenced && bytes.is_multiple_of(64) && bytes > 0;
        if let Some(whole) = may.then(|| device.alloc_fenced(bytes)).flatten() {
            return Ok(Guarded { view: whole.clone(), whole, guard: 0, operand });
        }
        let whole = device.alloc(bytes + 2 * GUARD)?;
        let view = whole.slice(GUARD, bytes)?;
        Ok(Guarded { whole, view, guard: GUARD, operand })
    }

    /// Reads the operand, and reports a guard byte that is not `byte`.
    fn read(&self, queue: &Queue, byte: u8) -> Result<(HostArray, Option<String>), DeviceError> {
        let bytes = self.operand.bytes();
        let mut array = HostArray::zeros(self.operand.dtype, self.operand.layout.span());
        queue.read(&self.view, 0, array.as_bytes_mut())?;
        let mut guard = vec![0u8; self.guard];
        let name = &self.operand.name;
        queue.read(&self.whole, 0, &mut guard)?;
        if let Some(at) = guard.iter().position(|b| *b != byte) {
            return Ok((array, Some(format!("wrote {} bytes before the start of `{name}`", self.guard - at))));
        }
        // Without guard bands the buffer ends at a page that cannot be touched.
        let end = (self.guard + bytes).min(self.whole.bytes() - guard.len());
        queue.read(&self.whole, end, &mut guard)?;
        let fault = guard.iter().position(|b| *b != byte);
        Ok((array, fault.map(|at| format!("wrote past the end of `{name}`, within {} bytes of it", at + 1))))
    }
}

/// One set of inputs on the device with what must come out.
pub struct Fixture {
    problem: Problem,
    inputs: Vec<Guarded>,
    arrays: Vec<HostArray>,
    output: Guarded,
    reference: Reference,
    family: Inputs,
    /// Positions of the output's buffer that belong to the layout; `None` when all do.
    inside: Option<Vec<bool>>,
}

impl Fixture {
    /// Fresh inputs of a family, uploaded, and the oracle's answer. `fenced` puts guard pages
    /// after operands where the device has them.
    pub fn new(
        device: &Device,
        problem: &Problem,
        family: Inputs,
        budget: OracleBudget,
        fenced: bool,
    ) -> Result<Self, DeviceError> {
        let queue = device.queue();
        let (mut inputs, mut arrays) = (Vec::new(), Vec::new());
        for operand in problem.inputs() {
            let array = operand.fill(family, secret::seed());
            inputs.push(Guarded::new(device, operand, fenced)?);
            arrays.push(array);
        }
        let output = Guarded::new(device, problem.output(), fenced)?;
        let refs: Vec<&HostArray> = arrays.iter().collect();
        let mut reference = problem.reference(&refs, family, budget);
        if device.facts().flushes_subnormals() {
            reference.bounds.iter_mut().for_each(|bound| *bound += FLUSHED);
        }
        let layout = output.operand.layout;
        let inside = (layout.len() != layout.span()).then(|| {
            let mut inside = vec![false; layout.span()];
            for_each_position(&layout, |_, at| inside[at] = true);
            inside
        });
        let fixture = Fixture { problem: problem.clone(), inputs, arrays, output, reference, family, inside };
        fixture.upload(&queue)?;
        Ok(fixture)
    }

    fn upload(&self, queue: &Queue) -> Result<(), DeviceError> {
        for (guarded, array) in self.inputs.iter().zip(&self.arrays) {
            queue.fill(&guarded.whole, NAN_BYTE)?;
            queue.write(&guarded.view, 0, array.as_bytes())?;
        }
        Ok(())
    }

    fn operands(&self) -> Vec<Buffer> {
        self.inputs.iter().chain(std::iter::once(&self.output)).map(|g| g.view.clone()).collect()
    }

    /// Fresh numbers at the output's positions, `byte` between its rows.
    fn numbers(&self, byte: u8) -> HostArray {
        let (dtype, span) = (self.output.operand.dtype, self.output.operand.layout.span());
        let mut array = HostArray::zeros(dtype, span);
        let (seed, size) = (secret::seed(), dtype.bytes());
        for (i, b) in array.as_bytes_mut().iter_mut().enumerate() {
            let inside = self.inside.as_ref().is_none_or(|inside| inside[i / size]);
            *b = if inside { (hash(seed, i as u64) >> 20) as u8 & 1 } else { byte };
        }
        array
    }

    /// One run on an output that holds `before`: guards, gaps and values.
    fn run(
        &self,
        queue: &Queue,
        executable: &Executable,
        launch: &dyn Fn() -> Result<(), DeviceError>,
        before: &Before,
    ) -> Result<(Outcome, HostArray), DeviceError> {
        let (Before::Uniform(byte) | Before::Numbers(byte, _)) = *before;
        queue.fill(&self.output.whole, byte)?;
        // NaN in every float dtype: a sum that takes a part before it was written is none.
        executable.poison(queue, NAN_BYTE)?;
        if let Before::Numbers(_, numbers) = before {
            queue.write(&self.output.view, 0, numbers.as_bytes())?;
        }
        launch()?;
        queue.synchronize()?;
        let (array, fault) = self.output.read(queue, byte)?;
        let name = format!("{} with {:?} inputs", self.problem, self.family);
        if let Some(fault) = fault {
            return Ok((Outcome::fail(Verdict::Wrong, format!("{name}: it {fault}")), array));
        }
        if let Some(inside) = &self.inside {
            let size = self.output.operand.dtype.bytes();
            let stray = array
                .as_bytes()
                .chunks(size)
                .zip(inside)
                .position(|(c, inside)| !inside && c.iter().any(|b| *b != byte));
            if let Some(at) = stray {
                return Ok((
                    Outcome::fail(
                        Verdict::Wrong,
                        format!("{name}: it wrote element {at}, which is between the output's rows"),
                    ),
                    array,
                ));
            }
        }
        let comparison = self.reference.compare(&array, &self.output.operand.layout);
        let mut outcome =
            Outcome { checks: 1, max_error_over_bound: comparison.max_error_over_bound, ..Outcome::pass() };
        if !comparison.passes() {
            outcome.verdict = Verdict::Wrong;
            let worst = comparison.worst.unwrap_or_default();
            outcome.detail =
                Some(format!("{name}: {} of {} checks fail; {worst}", comparison.wrong, comparison.checked));
        }
        Ok((outcome, array))
    }

    /// The whole check: a poisoned run, a run on zeros, equal results, inputs unchanged.
    pub fn check(&self, device: &Device, executable: &Arc<Executable>) -> Outcome {
        let queue = device.queue();
        let fail = |error: DeviceError| Outcome::fail(verdict_of(&error), error.to_string());
        let outcome = self.try_check(device, &queue, executable).unwrap_or_else(fail);
        if outcome.verdict != Verdict::Ok {
            // It may have written to the inputs, which the next candidate is checked with.
            if let Err(error) = self.upload(&queue) {
                return fail(error);
            }
        }
        outcome
    }

    /// How the inputs differ from what was uploaded, if they do.
    fn changed_input(&self, queue: &Queue) -> Result<Option<String>, DeviceError> {
        for (guarded, array) in self.inputs.iter().zip(&self.arrays) {
            let (now, fault) = guarded.read(queue, NAN_BYTE)?;
            let changed =
                (now.as_bytes() != array.as_bytes()).then(|| format!("changed its input `{}`", guarded.operand.name));
            if let Some(fault) = fault.or(changed) {
                return Ok(Some(format!("{}: it {fault}", self.problem)));
            }
        }
        Ok(None)
    }

    fn try_check(&self, device: &Device, queue: &Queue, executable: &Arc<Executable>) -> Result<Outcome, DeviceError> {
        let operands = self.operands();
        let alone = || executable.launch(queue, &operands);
        let (mut outcome, first) = self.run(queue, executable, &alone, &Before::Uniform(secret::poison()))?;
        if outcome.verdict != Verdict::Ok {
            return Ok(outcome);
        }
        // Before the second run: that one could put back what the first has changed. Reading back
        // gigabytes twice is left to the smaller problems of the full gate.
        if !is_large(&self.problem)
            && let Some(fault) = self.changed_input(queue)?
        {
            return Ok(Outcome::fail(Verdict::Wrong, fault));
        }
        // Launches that may overlap run behind others from here on: first the one that makes their first input, as
        // in a network, with the rest there already.
        let staged = if executable.overlaps() { self.staged(device)? } else { Vec::new() };
        let behind = |late: &[(usize, Buffer)]| match executable.overlaps() {
            true => late::run(queue, executable, &operands, late),
            false => alone(),
        };
        let one = || behind(&staged[..staged.len().min(1)]);
        // A kernel that adds to its output, or works only on poisoned memory, shows here.
        let (again, second) = self.run(queue, executable, &one, &Before::Uniform(0))?;
        if !outcome.absorb(again) {
            let held = if executable.overlaps() { "behind other launches, " } else { "" };
            outcome.detail = outcome.detail.map(|d| format!("{d} ({held}the output held zeros before)"));
            return Ok(outcome);
        }
        if executable.is_deterministic() && !self.same_bits(&first, &second) {
            outcome.verdict = Verdict::Nondeterministic;
            outcome.detail = Some(format!("{}: two runs on the same inputs differ", self.problem));
            return Ok(outcome);
        }
        // And here one that can tell poison from what a result looks like.
        if self.family == Inputs::Normal && !is_large(&self.problem) {
            let byte = secret::poison();
            let numbers = self.numbers(byte);
            let all = || behind(&staged);
            let (third, left) = self.run(queue, executable, &all, &Before::Numbers(byte, &numbers))?;
            if !outcome.absorb(third) {
                let untouched = left.as_bytes() == numbers.as_bytes();
                let name = if untouched { format!(": {}", Trick::NeedsPoison.name()) } else { String::new() };
                outcome.detail = outcome.detail.map(|d| format!("{d} (the output held other numbers before{name})"));
                return Ok(outcome);
            }
        }
        // And behind none that makes an input: all of it may be read ahead.
        if !staged.is_empty() {
            let none = || behind(&[]);
            let (fourth, _) = self.run(queue, executable, &none, &Before::Uniform(secret::poison()))?;
            if !outcome.absorb(fourth) {
                return Ok(outcome);
            }
        }
        if let Some(fault) = self.changed_input(queue)? {
            return Ok(Outcome::fail(Verdict::Wrong, fault));
        }
        Ok(outcome)
    }

    /// The inputs once more, for launches that write them late; of a large problem the first one alone.
    fn staged(&self, device: &Device) -> Result<Vec<(usize, Buffer)>, DeviceError> {
        let copy = |(i, array): (usize, &HostArray)| {
            let buffer = device.alloc(array.as_bytes().len())?;
            device.queue().write(&buffer, 0, array.as_bytes())?;
            Ok((i, buffer))
        };
        let large = is_large(&self.problem);
        let wanted = |(i, array): &(usize, &HostArray)| {
            let bytes = array.as_bytes().len();
            bytes > 0 && (!large || *i == 0 && bytes <= LATE_BYTES)
        };
        self.arrays.iter().enumerate().filter(wanted).map(copy).collect()
    }

    fn same_bits(&self, a: &HostArray, b: &HostArray) -> bool {
        match &self.inside {
            None => a.as_bytes() == b.as_bytes(),
            Some(inside) => {
                let size = a.dtype().bytes();
                let pairs = a.as_bytes().chunks(size).zip(b.as_bytes().chunks(size));
                pairs.zip(inside).all(|((x, y), inside)| !inside || x == y)
            }
        }
    }
}

/// Families for the short gate that every candidate goes through.
pub fn screen(problem: &Problem) -> &'static [Inputs] {
    if is_large(problem) { &[Inputs::Normal] } else { &[Inputs::Normal, Inputs::Integer] }
}

/// Families for edge cases.
const EDGE: [Inputs; 3] = [Inputs::Normal, Inputs::Integer, Inputs::Special];
/// Input families that are prepared side by side.
const MOST_AT_ONCE: usize = 4;
/// Above this the full gate keeps to the families that the oracle can sample, and takes the others
/// in turn on the edge cases.
const LARGE_FLOPS: f64 = 2e9;
/// As above, for work that moves much and computes little.
const LARGE_BYTES: f64 = 64e6;

/// Bytes of a large problem's first input that one launch may write late: some milliseconds.
const LATE_BYTES: usize = 64 << 20;

fn is_large(problem: &Problem) -> bool {
    problem.flops() > LARGE_FLOPS || problem.bytes() > LARGE_BYTES
}

/// The full gate: every input family on the problem, then the edge cases that the candidate
/// claims, with guard pages and guard bands in turn where there are pages.
pub fn full(device: &Device, catalogue: &Catalogue, candidate: &Candidate, problem: &Problem) -> Outcome {
    let mut outcome = Outcome::pass();
    let large = is_large(problem);
    let families: &[Inputs] = if large { &[Inputs::Normal, Inputs::Integer, Inputs::Positive] } else { &Inputs::ALL };
    if !check_problem(device, catalogue, candidate, problem, families, false, &mut outcome) {
        return outcome;
    }
    for (i, case) in problem.edge_cases().iter().enumerate() {
        if catalogue.admit(candidate, case, device.facts()).is_err() {
            outcome.skipped += 1;
            continue;
        }
        // Families that the problem was too large for go round the edge cases.
        let mut families = EDGE.to_vec();
        families.extend(large.then(|| Inputs::ALL[i % Inputs::ALL.len()]).filter(|f| !EDGE.contains(f)));
        if !check_problem(device, catalogue, candidate, case, &families, true, &mut outcome) {
            return outcome;
        }
    }
    outcome
}

/// The families that every candidate goes through, on the problem alone.
pub fn brief(device: &Device, catalogue: &Catalogue, candidate: &Candidate, problem: &Problem) -> Outcome {
    let mut outcome = Outcome::pass();
    check_problem(device, catalogue, candidate, problem, screen(problem), false, &mut outcome);
    outcome
}

/// Whether a device can be asked for results on a family: subnormal numbers mean nothing to one that takes
/// them for 0.
pub(crate) fn is_fair(device: &Device, problem: &Problem, family: Inputs) -> bool {
    let has_subnormals = |o: &Operand| matches!(o.dtype, DType::F32 | DType::BF16);
    let asks = family == Inputs::Denormal && problem.operands().iter().any(has_subnormals);
    !(asks && device.facts().flushes_subnormals())
}

/// Checks one problem over some families. Returns whether it passed.
fn check_problem(
    device: &Device,
    catalogue: &Catalogue,
    candidate: &Candidate,
    problem: &Problem,
    families: &[Inputs],
    fenced: bool,
    outcome: &mut Outcome,
) -> bool {
    let asked = families.len();
    let executable = match Executable::prepare(device, catalogue, candidate, problem) {
        Ok(executable) => Arc::new(executable),
        // A vendor's library may not offer an edge case: that is no fault.
        Err(DeviceError::NotOffered { .. }) if outcome.checks > 0 => {
            outcome.skipped += 1;
            return true;
        }
        Err(error) => return outcome.absorb(Outcome::fail(verdict_of(&error), format!("{problem}: {error}"))),
    };
    let families: Vec<Inputs> = families.iter().copied().filter(|f| is_fair(device, problem, *f)).collect();
    outcome.skipped += asked - families.len();
    // Inputs and the oracle's answers take longer than the checks: a few families at a time.
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(MOST_AT_ONCE);
    let numbered: Vec<(usize, Inputs)> = families.iter().copied().enumerate().collect();
    for families in numbered.chunks(threads) {
        // Pages see a stray read, bands a write on either side: every second family has pages.
        let make = |(i, family): (usize, Inputs)| {
            Fixture::new(device, problem, family, OracleBudget::default(), fenced && i % 2 == 0)
        };
        let fixtures: Vec<Result<Fixture, DeviceError>> = std::thread::scope(|s| {
            let handles: Vec<_> = families.iter().map(|f| s.spawn(move || make(*f))).collect();
            handles.into_iter().map(|h| h.join().unwrap_or_else(|p| std::panic::resume_unwind(p))).collect()
        });
        for fixture in fixtures {
            let passed = match fixture {
                Ok(fixture) => outcome.absorb(fixture.check(device, &executable)),
                Err(error) => outcome.absorb(Outcome::fail(verdict_of(&error), error.to_string())),
            };
            if !passed {
                return false;
            }
        }
    }
    true
}
