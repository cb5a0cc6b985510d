//! External programs as contenders: what a user would pick instead, in the same race.
//!
//! A peer is a program that the worker starts. It gets one JSON object a line on its standard input
//! and answers with one on its standard output; lines that do not begin with `{` are its own chatter.
//!
//! | line | answer |
//! |---|---|
//! | `{"ask":"prepare", "device", "op", "problem", "mode", "cold_bytes", "hot_bytes", "operands":[…]}` | `{"answer":"prepared", "name"}` or `{"answer":"unsupported", "reason"}` |
//! | `{"ask":"run", "inputs":[paths], "output":path}` | `{"answer":"ran"}`: the output's buffer for these inputs' buffers, as raw little-endian files |
//! | `{"ask":"sample"}` | `{"answer":"sample", "us"}`: µs a launch, measured as the lab does |
//!
//! `operands` lists name, dtype, shape, strides, offset and span, in elements, the output last. A
//! peer times by device events around a recorded graph where it can, and in `cold` mode rotates
//! inputs that fill `cold_bytes` together; each launch has an output of its own, in `hot` mode as
//! long as these fill no more than `hot_bytes`. Its result is compared with the oracle once a race;
//! samples below the floor of the device disqualify it like anyone.

use crate::secret;
use crate::timer::Mode;
use kernelsmith_core::inputs::Inputs;
use kernelsmith_core::ops::OracleBudget;
use kernelsmith_core::{HostArray, Operand, Problem};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Longest that a peer may take for an answer: its first one loads libraries.
const LIMIT: Duration = Duration::from_secs(90);
/// Outputs up to this many bytes are compared with the oracle.
const CHECKED_BYTES: usize = 256 << 20;

#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    #[error("peer `{command}` did not start: {reason}")]
    Start { command: String, reason: String },
    #[error("peer `{command}` ended or gave no answer within {LIMIT:?} to {asked}")]
    Silent { command: String, asked: String },
    #[error("peer `{command}` answered {asked} with `{answer}`, expected {expected}")]
    Answer { command: String, asked: String, answer: String, expected: &'static str },
    #[error("peer `{command}` does not do this: {reason}")]
    Unsupported { command: String, reason: String },
    #[error("peer `{command}`: {reason}")]
    Files { command: String, reason: String },
}

#[derive(Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
enum Answer {
    Prepared { name: String },
    Unsupported { reason: String },
    Ran,
    Sample { us: f64 },
}

/// What a race says of a peer that took part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerReport {
    /// What it calls what it ran.
    pub name: String,
    /// Largest error over its bound, where its result was compared.
    pub error_over_bound: Option<f64>,
}

/// A running program.
pub struct Peer {
    command: String,
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Peer {
    /// Starts a command line, split at spaces.
    ///
    /// # Errors
    /// An empty command, or one that cannot be started.
    pub fn start(command: &str) -> Result<Peer, PeerError> {
        let failed = |reason: String| PeerError::Start { command: command.to_string(), reason };
        let mut words = command.split_whitespace();
        let program = words.next().ok_or_else(|| failed("an empty command".to_string()))?;
        let started = Command::new(program).args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.map_err(|e| failed(e.to_string()))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed("it has no standard input or output".to_string()));
        };
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.trim_start().starts_with('{') && sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Peer { command: command.to_string(), child, stdin, lines })
    }

    pub fn command(&self) -> &str {
        &self.command
    }

    fn ask(&mut self, request: &Value, expected: &'static str) -> Result<Answer, PeerError> {
        let command = self.command.clone();
        let asked = request["ask"].as_str().unwrap_or_default().to_string();
        let sent = writeln!(self.stdin, "{request}").and_then(|()| self.stdin.flush());
        let line = match sent.map(|()| self.lines.recv_timeout(LIMIT)) {
            Ok(Ok(line)) => line,
            Err(_) | Ok(Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout)) => {
                return Err(PeerError::Silent { command, asked });
            }
        };
        serde_json::from_str(&line).map_err(|_| PeerError::Answer { command, asked, answer: line, expected })
    }

    /// An answer of the wrong kind.
    fn unexpected<T>(&self, asked: &str, expected: &'static str) -> Result<T, PeerError> {
        let (command, asked) = (self.command.clone(), asked.to_string());
        Err(PeerError::Answer { command, asked, answer: "an answer to something else".to_string(), expected })
    }

    /// Gets ready for samples of a problem. Returns what the peer calls what it runs.
    ///
    /// # Errors
    /// A peer that cannot do the problem, or that does not answer as it should.
    pub fn prepare(
        &mut self,
        device: &str,
        problem: &Problem,
        mode: Mode,
        (cold_bytes, hot_bytes): (usize, usize),
    ) -> Result<String, PeerError> {
        let operands: Vec<Value> = problem.operands().iter().map(describe).collect();
        let request = json!({"ask": "prepare", "device": device, "op": problem.op(), "problem": problem.text(),
            "mode": mode.name(), "cold_bytes": cold_bytes, "hot_bytes": hot_bytes, "operands": operands});
        match self.ask(&request, "prepared or unsupported")? {
            Answer::Prepared { name } => Ok(name),
            Answer::Unsupported { reason } => Err(PeerError::Unsupported { command: self.command.clone(), reason }),
            _ => self.unexpected("prepare", "prepared or unsupported"),
        }
    }

    /// µs a launch of what was prepared last.
    ///
    /// # Errors
    /// A peer that does not answer as it should.
    pub fn sample(&mut self) -> Result<f64, PeerError> {
        match self.ask(&json!({"ask": "sample"}), "sample")? {
            Answer::Sample { us } => Ok(us),
            _ => self.unexpected("sample", "sample"),
        }
    }

    /// Compares what the peer makes of fresh inputs with the oracle: the largest error over its
    /// bound; `None` where the problem is too large to hand over.
    ///
    /// # Errors
    /// Files that cannot be written or read; a peer that does not answer as it should.
    pub fn check(&mut self, problem: &Problem) -> Result<Option<f64>, PeerError> {
        let output = problem.output();
        let bytes: usize = problem.operands().iter().map(Operand::bytes).sum();
        if bytes > CHECKED_BYTES {
            return Ok(None);
        }
        let command = self.command.clone();
        let failed = |e: std::io::Error| PeerError::Files { command: command.clone(), reason: e.to_string() };
        let folder = tempfile::tempdir().map_err(failed)?;
        let (mut arrays, mut paths) = (Vec::new(), Vec::new());
        for (i, operand) in problem.inputs().iter().enumerate() {
            let array = operand.fill(Inputs::Normal, secret::seed());
            let path = folder.path().join(format!("input{i}"));
            std::fs::write(&path, array.as_bytes()).map_err(failed)?;
            arrays.push(array);
            paths.push(path);
        }
        let to = folder.path().join("output");
        match self.ask(&json!({"ask": "run", "inputs": paths, "output": to}), "ran")? {
            Answer::Ran => {}
            _ => return self.unexpected("run", "ran"),
        }
        let found = std::fs::read(&to).map_err(failed)?;
        let mut got = HostArray::zeros(output.dtype, output.layout.span());
        if found.len() != got.as_bytes().len() {
            let reason = format!("its output has {} bytes, expected {}", found.len(), got.as_bytes().len());
            return Err(PeerError::Files { command, reason });
        }
        got.as_bytes_mut().copy_from_slice(&found);
        let refs: Vec<&HostArray> = arrays.iter().collect();
        let reference = problem.reference(&refs, Inputs::Normal, OracleBudget::default());
        // JSON has no infinity.
        Ok(Some(reference.compare(&got, &output.layout).max_error_over_bound.min(f64::MAX)))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn describe(operand: &Operand) -> Value {
    let layout = &operand.layout;
    json!({"name": operand.name, "dtype": operand.dtype.to_string(), "shape": layout.shape(),
        "strides": layout.strides(), "offset": layout.offset(), "span": layout.span(), "below": operand.below})
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A program that answers its n-th request with the n-th of these lines, after some chatter.
    fn program(answers: &[&str]) -> (tempfile::TempDir, Result<Peer, PeerError>) {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("peer.sh");
        let lines: Vec<String> = answers.iter().map(|a| format!("read line; echo loading; echo '{a}'\n")).collect();
        std::fs::write(&script, lines.concat()).unwrap();
        let peer = Peer::start(&format!("sh {}", script.display()));
        (folder, peer)
    }

    fn prepare(peer: &mut Peer) -> Result<String, PeerError> {
        let problem = Problem::parse("map", "shape=4,expr=neg(x0),x0=f32,out=f32").unwrap();
        peer.prepare("cpu", &problem, Mode::Hot, (1024, 128))
    }

    #[test]
    fn a_peer_is_asked_line_by_line() {
        let answers =
            [r#"{"answer":"prepared","name":"theirs"}"#, r#"{"answer":"sample","us":2.5}"#, r#"{"answer":"ran"}"#];
        let (_folder, peer) = program(&answers);
        let mut peer = peer.unwrap();
        assert_eq!(prepare(&mut peer).unwrap(), "theirs");
        assert_eq!(peer.sample().unwrap(), 2.5);
        // An answer, but not to this; then the program has ended.
        let wrong = peer.sample().unwrap_err().to_string();
        assert!(wrong.contains("sample") && wrong.contains("something else"), "{wrong}");
        assert!(matches!(peer.sample(), Err(PeerError::Silent { .. })));
    }

    #[test]
    fn what_a_peer_cannot_do_is_named() {
        let (_folder, peer) = program(&[r#"{"answer":"unsupported","reason":"no such op"}"#, "{not json"]);
        let mut peer = peer.unwrap();
        let refused = prepare(&mut peer).unwrap_err();
        assert!(matches!(&refused, PeerError::Unsupported { reason, .. } if reason == "no such op"), "{refused}");
        let garbled = prepare(&mut peer).unwrap_err().to_string();
        assert!(garbled.contains("{not json") && garbled.contains("prepared or unsupported"), "{garbled}");
        assert!(matches!(Peer::start("a-program-that-is-not-there"), Err(PeerError::Start { .. })));
        assert!(matches!(Peer::start(" "), Err(PeerError::Start { .. })));
    }

    /// A result that is not what the problem says shows in the comparison, one of another size is an error.
    #[test]
    fn a_peers_result_is_compared_with_the_oracle() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("peer.sh");
        let text = "read line; echo '{\"answer\":\"prepared\",\"name\":\"copies\"}'\n\
                    while read line; do\n\
                    to=$(echo \"$line\" | sed 's/.*\"output\":\"\\([^\"]*\\)\".*/\\1/')\n\
                    from=$(echo \"$line\" | sed 's/.*\"inputs\":\\[\"\\([^\"]*\\)\".*/\\1/')\n\
                    cp \"$from\" \"$to\"; echo '{\"answer\":\"ran\"}'\ndone\n";
        std::fs::write(&script, text).unwrap();
        let check = |problem: &str| {
            let problem = Problem::parse("map", problem).unwrap();
            let mut peer = Peer::start(&format!("sh {}", script.display())).unwrap();
            peer.prepare("cpu", &problem, Mode::Hot, (1024, 128)).unwrap();
            peer.check(&problem)
        };
        assert_eq!(check("shape=64,expr=x0,x0=f32,out=f32").unwrap(), Some(0.0));
        assert!(check("shape=64,expr=neg(x0),x0=f32,out=f32").unwrap().unwrap() > 1.0);
        let size = check("shape=64,expr=x0,x0=f32,out=f16").unwrap_err().to_string();
        assert!(size.contains("256 bytes, expected 128"), "{size}");
    }
}
