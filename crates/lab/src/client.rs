//! The tuning side's handle on its worker: starts it, asks, and ends it at the time limit.

use crate::evidence::TimerRecord;
use crate::protocol::{Answer, MARK, Request};
use kernelsmith_kernels::DeviceFacts;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How to start a worker.
#[derive(Clone, Debug)]
pub struct WorkerCommand {
    pub program: PathBuf,
    pub args: Vec<String>,
    pub device: String,
    pub kernels: Option<PathBuf>,
    /// For the gate alone: a busy machine, on which no time can be trusted, is no hindrance.
    pub untimed: bool,
    /// Set from outside to give up on whatever is being waited for.
    pub stop: Arc<AtomicBool>,
}

#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error("the worker did not start: {0}")]
    Start(String),
    #[error("the worker gave no answer within {0:?}")]
    Timeout(Duration),
    #[error("the worker died: {0}")]
    Died(String),
    #[error("{0}")]
    Refused(String),
    #[error("the worker's answer does not parse: {0}")]
    Answer(String),
    #[error("stopped")]
    Stopped,
}

/// A worker process, started again after it died.
pub struct Worker {
    command: WorkerCommand,
    running: Option<Running>,
    pub facts: DeviceFacts,
    pub timer: TimerRecord,
    /// Times a worker was started.
    pub starts: usize,
}

struct Running {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    stop: Arc<AtomicBool>,
}

/// Opening a device compiles the timer's kernel and tests the timer.
const OPEN_LIMIT: Duration = Duration::from_secs(60);
/// Times that a worker may fail to come back: on a busy machine the timer's self-test can fail.
const STARTS: u32 = 5;
/// Pause before the second start; each one after it is a pause longer.
const PAUSE: Duration = Duration::from_millis(500);
/// How often a wait looks whether to stop.
const TICK: Duration = Duration::from_millis(50);

impl Worker {
    pub fn start(command: WorkerCommand) -> Result<Worker, WorkerError> {
        let (running, facts, timer) = Running::start(&command)?;
        Ok(Worker { command, running: Some(running), facts, timer, starts: 1 })
    }

    /// How this worker was started.
    pub fn command(&self) -> &WorkerCommand {
        &self.command
    }

    /// Ends the process: a failed launch can leave a GPU context that fails everything after it.
    /// The next request starts another.
    pub fn retire(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }

    /// Asks and waits at most `limit`. A worker that dies or is late is ended; the next request
    /// starts another.
    pub fn ask(&mut self, request: &Request, limit: Duration) -> Result<Answer, WorkerError> {
        if self.running.is_none() {
            // None of these failures is the candidate's, which has not been asked for yet.
            let mut started = Running::start(&self.command);
            for again in 1..STARTS {
                if !matches!(started, Err(WorkerError::Refused(_) | WorkerError::Died(_) | WorkerError::Timeout(_))) {
                    break;
                }
                std::thread::sleep(PAUSE * again);
                started = Running::start(&self.command);
            }
            let (running, facts, timer) = started.map_err(|e| match e {
                WorkerError::Start(_) | WorkerError::Stopped => e,
                other => WorkerError::Start(other.to_string()),
            })?;
            (self.running, self.facts, self.timer) = (Some(running), facts, timer);
            self.starts += 1;
        }
        let Some(running) = &mut self.running else { return Err(WorkerError::Start("no process".to_string())) };
        match running.ask(request, limit) {
            Ok(Answer::Refused { reason }) => Err(WorkerError::Refused(reason)),
            Ok(answer) => Ok(answer),
            Err(error) => {
                let error = running.end(error);
                self.running = None;
                Err(error)
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.retire();
    }
}

/// A process that times nothing: it needs no self-test, and several may run side by side.
pub struct Untimed {
    command: WorkerCommand,
    running: Option<Running>,
}

impl Untimed {
    /// None is started before the first request.
    pub fn new(command: WorkerCommand) -> Self {
        Untimed { command, running: None }
    }

    /// Ends the process: the next request starts another.
    pub fn retire(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }

    /// Asks and waits at most `limit`. A process that dies or is late is ended.
    pub fn ask(&mut self, request: &Request, limit: Duration) -> Result<Answer, WorkerError> {
        let mut running = match self.running.take() {
            Some(running) => running,
            None => Running::spawn(&self.command)?,
        };
        match running.ask(request, limit) {
            Ok(answer) => {
                self.running = Some(running);
                match answer {
                    Answer::Refused { reason } => Err(WorkerError::Refused(reason)),
                    answer => Ok(answer),
                }
            }
            Err(error) => Err(running.end(error)),
        }
    }
}

impl Drop for Untimed {
    fn drop(&mut self) {
        self.retire();
    }
}

/// Processes that compile: NVRTC serves one compilation at a time in a process.
pub struct Compilers {
    command: WorkerCommand,
    running: Vec<Running>,
}

/// Longest that one process may take for its share of a batch.
const COMPILE_LIMIT: Duration = Duration::from_secs(120);

impl Compilers {
    /// None are started before the first batch.
    pub fn new(command: WorkerCommand) -> Self {
        Compilers { command, running: Vec::new() }
    }

    /// The processes, leaving none here.
    pub fn take(&mut self) -> Self {
        Compilers { command: self.command.clone(), running: std::mem::take(&mut self.running) }
    }

    /// Compiles candidates into the cache on disk, all processes at once. Returns warnings; a
    /// candidate that does not compile says so when it is screened.
    pub fn compile(&mut self, facts: &DeviceFacts, op: &str, problem: &str, candidates: &[String]) -> Vec<String> {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        while self.running.len() < cores.min(candidates.len()) {
            match Running::spawn(&self.command) {
                Ok(running) => self.running.push(running),
                Err(_) => break,
            }
        }
        if self.running.is_empty() {
            return vec!["no compiling process could be started".to_string()];
        }
        let processes = self.running.len();
        let kernels = &self.command.kernels;
        let answers: Vec<Result<Answer, WorkerError>> = std::thread::scope(|scope| {
            let mut threads = Vec::new();
            for (i, running) in self.running.iter_mut().enumerate() {
                let request = Request::Compile {
                    facts: Box::new(facts.clone()),
                    kernels: kernels.clone(),
                    op: op.to_string(),
                    problem: problem.to_string(),
                    candidates: candidates.iter().skip(i).step_by(processes).cloned().collect(),
                };
                threads.push(scope.spawn(move || running.ask(&request, COMPILE_LIMIT)));
            }
            threads.into_iter().filter_map(|t| t.join().ok()).collect()
        });
        let mut warnings = Vec::new();
        if answers.iter().any(Result::is_err) {
            // A compiler that died is not asked again; what it had compiles when it is screened.
            self.end();
        }
        for answer in answers {
            if let Ok(Answer::Compiled { warnings: more }) = answer {
                warnings.extend(more);
            }
        }
        warnings.sort();
        warnings.dedup();
        warnings
    }

    fn end(&mut self) {
        for mut running in self.running.drain(..) {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

impl Drop for Compilers {
    fn drop(&mut self) {
        self.end();
    }
}

impl Running {
    fn start(command: &WorkerCommand) -> Result<(Running, DeviceFacts, TimerRecord), WorkerError> {
        let mut running = Running::spawn(command)?;
        let open = Request::Open {
            device: command.device.clone(),
            kernels: command.kernels.clone(),
            untimed: command.untimed,
        };
        match running.ask(&open, OPEN_LIMIT) {
            Ok(Answer::Opened { facts, timer }) => Ok((running, facts, timer)),
            Ok(Answer::Refused { reason }) => Err(WorkerError::Refused(reason)),
            Ok(other) => Err(running.end(WorkerError::Answer(format!("{other:?}")))),
            Err(error) => Err(running.end(error)),
        }
    }

    fn spawn(command: &WorkerCommand) -> Result<Running, WorkerError> {
        let fail = |e: std::io::Error| WorkerError::Start(format!("{}: {e}", command.program.display()));
        let mut child = Command::new(&command.program)
            .args(&command.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(fail)?;
        let stdin = child.stdin.take().ok_or_else(|| WorkerError::Start("no input".to_string()))?;
        let stdout = child.stdout.take().ok_or_else(|| WorkerError::Start("no output".to_string()))?;
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(answer) = line.strip_prefix(MARK)
                    && send.send(answer.to_string()).is_err()
                {
                    break;
                }
            }
        });
        Ok(Running { child, stdin, lines, stop: command.stop.clone() })
    }

    fn ask(&mut self, request: &Request, limit: Duration) -> Result<Answer, WorkerError> {
        let line = serde_json::to_string(request).map_err(|e| WorkerError::Answer(e.to_string()))?;
        let sent = writeln!(self.stdin, "{line}").and_then(|()| self.stdin.flush());
        sent.map_err(|e| WorkerError::Died(e.to_string()))?;
        let start = Instant::now();
        loop {
            let left = limit.saturating_sub(start.elapsed());
            match self.lines.recv_timeout(left.min(TICK)) {
                Ok(text) => return serde_json::from_str(&text).map_err(|e| WorkerError::Answer(e.to_string())),
                Err(RecvTimeoutError::Disconnected) => return Err(WorkerError::Died(String::new())),
                Err(RecvTimeoutError::Timeout) if self.stop.load(Ordering::Relaxed) => {
                    return Err(WorkerError::Stopped);
                }
                Err(RecvTimeoutError::Timeout) if left <= TICK => return Err(WorkerError::Timeout(limit)),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Ends the process and says how it went.
    fn end(&mut self, error: WorkerError) -> WorkerError {
        let died = matches!(error, WorkerError::Died(_));
        if !died {
            let _ = self.child.kill();
        }
        match (died, self.child.wait()) {
            (true, Ok(status)) => WorkerError::Died(status.to_string()),
            _ => error,
        }
    }
}
