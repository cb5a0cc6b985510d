//! The inspection: whether the work of timed launches was done in them, and if not, by which trick it seemed to be.
//!
//! Nothing here is timed for a result. The launches of one set are replayed as in a sample, but each
//! time one thing is another: the inputs are fresh at the same addresses, the output holds the last
//! result, or poison, or other numbers. Work that was done elsewhere gives a stale result then, or
//! takes longer.

use crate::secret;
use crate::timer::{Bench, Sets, Timer};
use kernelsmith_core::HostArray;
use kernelsmith_core::inputs::{Inputs, hash};
use kernelsmith_core::ops::OracleBudget;
use kernelsmith_device::{Buffer, DeviceError, DeviceId, Graph, Queue};
use std::time::{Duration, Instant};

/// A way to seem faster than one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trick {
    /// On another stream or thread: it goes on after the end event.
    Elsewhere,
    ChangedInput,
    /// Computes only where the output holds poison.
    NeedsPoison,
    /// In launches outside of the timed window.
    OutsideWindow,
    /// One call does the work of all.
    FoldedCalls,
    CachedResult,
    MemoisedAddress,
    MemoisedContent,
}

impl Trick {
    pub const ALL: [Trick; 8] = [
        Trick::Elsewhere,
        Trick::ChangedInput,
        Trick::NeedsPoison,
        Trick::OutsideWindow,
        Trick::FoldedCalls,
        Trick::CachedResult,
        Trick::MemoisedAddress,
        Trick::MemoisedContent,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Trick::Elsewhere => "work on another stream or thread",
            Trick::ChangedInput => "an input changed in place",
            Trick::NeedsPoison => "computes only on a poisoned output",
            Trick::OutsideWindow => "work outside of the timed window",
            Trick::FoldedCalls => "several calls folded into one",
            Trick::CachedResult => "a cached result",
            Trick::MemoisedAddress => "a result remembered by its inputs' address",
            Trick::MemoisedContent => "a result remembered by its inputs' content",
        }
    }

    /// What is known of it, in a line.
    pub fn evidence(self) -> &'static str {
        match self {
            Trick::Elsewhere => "the output changed after the end event",
            Trick::ChangedInput => "a timed launch wrote to what it may only read",
            Trick::NeedsPoison => "an output that held other numbers was not written",
            Trick::OutsideWindow => "on a poisoned output the result is of inputs that are gone",
            Trick::FoldedCalls => "an output that still held the last result was not written",
            Trick::CachedResult => "other inputs at another address gave the same result",
            Trick::MemoisedAddress => "other inputs at the same address gave the same result",
            Trick::MemoisedContent => "inputs that were not seen before take far longer",
        }
    }
}

impl std::fmt::Display for Trick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name(), self.evidence())
    }
}

/// Sets of more bytes than this get fewer looks: fresh numbers for them take long.
pub const LARGE_SET: usize = 64 << 20;
/// Fresh inputs that take this much longer than known ones were not computed with before.
const SLOWER: f64 = 3.0;
/// Times that this must be seen.
const ROUNDS: usize = 5;

/// A wait as long as this was given up: something still runs.
const STILL_BUSY: Duration = Duration::from_millis(50);
/// Launches of another set before the two are compared: an attack may be honest at first.
const AGAIN: usize = 8;

/// What an output holds before a launch, and after one that left it alone.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    LastResult,
    Poison,
    Numbers,
}

/// What a launch with fresh inputs did.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Launch {
    Right,
    Stale,
    /// Nothing new was there at the end, and something was a moment later.
    Late,
}

struct Inspection<'a> {
    sets: &'a Sets,
    timer: &'a Timer,
    queue: Queue,
    graph: Graph,
    output: Buffer,
    /// Inputs of set 0 as they are now.
    inputs: Vec<HostArray>,
    last: Vec<u8>,
    first: Vec<u8>,
}

/// Looks for tricks in the launches of one set, and leaves its inputs as they were.
///
/// # Errors
/// A launch that fails, a device that gives no memory.
pub fn inspect(timer: &Timer, bench: &Bench, sets: &Sets) -> Result<Option<Trick>, DeviceError> {
    let queue = timer.queue();
    let Some(output) = sets.output(0).cloned() else { return Ok(None) };
    let graph = queue.capture(sets.launches(0, bench.steps()))?;
    let mut inspection =
        Inspection { sets, timer, queue, graph, output, inputs: Vec::new(), last: Vec::new(), first: Vec::new() };
    // What samples before have left running.
    inspection.settle();
    if sets.changed_input(&inspection.queue, 0)?.is_some() {
        sets.restore(&inspection.queue, 0)?;
        return Ok(Some(Trick::ChangedInput));
    }
    let found = inspection.look(bench);
    inspection.settle();
    sets.restore(&inspection.queue, 0)?;
    found
}

impl Inspection<'_> {
    /// Waits until nothing runs any more that was asked for.
    fn settle(&self) {
        let device = self.queue.device();
        if device.id() != DeviceId::Cpu {
            std::thread::sleep(Duration::from_millis(5));
        }
        for _ in 0..100 {
            let start = Instant::now();
            device.settle();
            if start.elapsed() < STILL_BUSY {
                break;
            }
        }
    }

    fn read(&self, buffer: &Buffer) -> Result<Vec<u8>, DeviceError> {
        let mut bytes = vec![0; buffer.bytes()];
        self.queue.read(buffer, 0, &mut bytes)?;
        Ok(bytes)
    }

    fn look(&mut self, bench: &Bench) -> Result<Option<Trick>, DeviceError> {
        self.queue.fill(&self.output, secret::poison())?;
        self.timer.time(&self.graph)?;
        let at_the_end = self.read(&self.output)?;
        self.settle();
        self.last = self.read(&self.output)?;
        if self.last != at_the_end {
            return Ok(Some(Trick::Elsewhere));
        }
        if self.sets.changed_input(&self.queue, 0)?.is_some() {
            return Ok(Some(Trick::ChangedInput));
        }
        self.first = self.last.clone();
        if self.sets.inputs(0).is_empty() {
            return Ok(None);
        }
        let large = self.sets.inputs(0).iter().map(|(b, ..)| b.bytes()).sum::<usize>() > LARGE_SET;
        let poisoned = self.with_fresh_inputs(Before::Poison)?;
        if large {
            return Ok(match poisoned {
                Launch::Right => None,
                Launch::Stale => Some(Trick::MemoisedAddress),
                Launch::Late => Some(Trick::Elsewhere),
            });
        }
        let numbers = self.with_fresh_inputs(Before::Numbers)?;
        let untouched = self.with_fresh_inputs(Before::LastResult)?;
        match (poisoned, numbers, untouched) {
            (Launch::Late, ..) | (_, Launch::Late, _) | (.., Launch::Late) => Ok(Some(Trick::Elsewhere)),
            (Launch::Stale, Launch::Right, _) => Ok(Some(Trick::OutsideWindow)),
            (Launch::Stale, Launch::Stale, _) => self.whose_result(bench).map(Some),
            (Launch::Right, Launch::Stale, _) => Ok(Some(Trick::NeedsPoison)),
            (Launch::Right, Launch::Right, Launch::Stale) => Ok(Some(Trick::FoldedCalls)),
            (Launch::Right, Launch::Right, Launch::Right) => self.slower_when_fresh(),
        }
    }

    /// Fresh inputs at the same addresses.
    fn refresh(&mut self) -> Result<(), DeviceError> {
        self.inputs.clear();
        for (buffer, operand, _) in self.sets.inputs(0) {
            let array = operand.fill(Inputs::Normal, secret::seed());
            self.queue.write(&buffer, 0, array.as_bytes())?;
            self.inputs.push(array);
        }
        Ok(())
    }

    /// One launch with fresh inputs, on an output that holds `before`.
    fn with_fresh_inputs(&mut self, before: Before) -> Result<Launch, DeviceError> {
        self.refresh()?;
        let held = match before {
            Before::LastResult => self.read(&self.output)?,
            Before::Poison => vec![secret::poison(); self.output.bytes()],
            Before::Numbers => {
                let seed = secret::seed();
                (0..self.output.bytes()).map(|i| (hash(seed, i as u64) >> 20) as u8 & 1).collect()
            }
        };
        self.queue.write(&self.output, 0, &held)?;
        self.queue.replay(&self.graph)?;
        self.queue.synchronize()?;
        let now = self.read(&self.output)?;
        // Bytes first: the oracle is asked only where they are suspicious.
        let suspicious = now == held || now == self.last || now == self.first;
        self.last = now;
        if !suspicious || self.is_right()? {
            return Ok(Launch::Right);
        }
        self.settle();
        Ok(if self.read(&self.output)? == self.last { Launch::Stale } else { Launch::Late })
    }

    /// Whether what the output holds is what the inputs of now give. A chain is taken at its word.
    fn is_right(&self) -> Result<bool, DeviceError> {
        let [problem] = self.sets.work().steps() else { return Ok(false) };
        let refs: Vec<&HostArray> = self.inputs.iter().collect();
        let budget = OracleBudget { full_flops: 2e8, samples: 1024 };
        let output = problem.output();
        let mut got = HostArray::zeros(output.dtype, output.layout.span());
        self.queue.read(&self.output, 0, got.as_bytes_mut())?;
        Ok(problem.reference(&refs, Inputs::Normal, budget).compare(&got, &output.layout).passes())
    }

    /// A stale result: whether it is one for all inputs, or one for each address.
    fn whose_result(&self, bench: &Bench) -> Result<Trick, DeviceError> {
        let Some(other) = self.sets.output(1) else { return Ok(Trick::CachedResult) };
        let graph = self.queue.capture(self.sets.launches(1, bench.steps()))?;
        for _ in 0..AGAIN {
            self.queue.fill(other, secret::poison())?;
            self.queue.replay(&graph)?;
        }
        self.queue.fill(&self.output, secret::poison())?;
        self.queue.replay(&self.graph)?;
        self.queue.synchronize()?;
        let same = self.read(other)? == self.read(&self.output)?;
        Ok(if same { Trick::CachedResult } else { Trick::MemoisedAddress })
    }

    /// The shortest of several launches, with inputs that are fresh each time or the same.
    fn shortest(&mut self, fresh: bool, launches: usize) -> Result<f64, DeviceError> {
        let mut least = f64::INFINITY;
        for _ in 0..launches {
            if fresh {
                self.refresh()?;
            }
            self.queue.fill(&self.output, secret::poison())?;
            least = least.min(self.timer.time(&self.graph)?);
        }
        Ok(least)
    }

    /// Only time tells here, and a busy machine makes anything slow: it must be so in every round.
    fn slower_when_fresh(&mut self) -> Result<Option<Trick>, DeviceError> {
        // A launch takes as long as this to begin, whatever it does.
        let slack = 30.0;
        let mut fresh = f64::INFINITY;
        for _ in 0..ROUNDS {
            let known = self.shortest(false, 5)?;
            fresh = fresh.min(self.shortest(true, 5)?);
            if fresh <= SLOWER * known + slack {
                return Ok(None);
            }
        }
        Ok(Some(Trick::MemoisedContent))
    }
}
