//! Two sides measured in turns.

use super::paired::{Rules, is_enough};
use kernelsmith_core::inputs::hash;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug, thiserror::Error)]
pub enum SideError {
    #[error("`{command}` in {folder}: {reason}")]
    Command { command: String, folder: PathBuf, reason: String },
    #[error(transparent)]
    Worker(#[from] crate::client::WorkerError),
    #[error("{candidate} was disqualified: {reason}")]
    Disqualified { candidate: String, reason: String },
    #[error("stopped")]
    Stopped,
}

/// What gives one sample when asked.
pub trait Side {
    fn sample(&mut self) -> Result<f64, SideError>;
}

/// How long to measure at most, and what ends it from outside.
pub struct Patience<'a> {
    pub budget: Duration,
    pub stop: &'a AtomicBool,
}

impl Patience<'_> {
    pub fn check(&self) -> Result<(), SideError> {
        if self.stop.load(Ordering::Relaxed) { Err(SideError::Stopped) } else { Ok(()) }
    }
}

/// ln(after / before) of pairs taken in turns, each pair in a random order. One pair warms up and
/// is thrown away.
pub fn take_turns(
    before: &mut dyn Side,
    after: &mut dyn Side,
    patience: &Patience,
    seed: u64,
    is_done: &dyn Fn(&[f64]) -> bool,
) -> Result<Vec<f64>, SideError> {
    let start = Instant::now();
    let mut pairs = Vec::new();
    let mut warm = false;
    for block in 0u64.. {
        patience.check()?;
        let (b, a) = if hash(seed, block).is_multiple_of(2) {
            let b = before.sample()?;
            (b, after.sample()?)
        } else {
            let a = after.sample()?;
            (before.sample()?, a)
        };
        if warm {
            pairs.push((a / b).ln());
        }
        warm = true;
        if is_done(&pairs) || (!pairs.is_empty() && start.elapsed() > patience.budget) {
            break;
        }
    }
    Ok(pairs)
}

/// As `take_turns`, until the interval is narrow enough.
pub fn until_narrow(
    before: &mut dyn Side,
    after: &mut dyn Side,
    patience: &Patience,
    seed: u64,
    rules: &Rules,
) -> Result<Vec<f64>, SideError> {
    take_turns(before, after, patience, seed, &|pairs| is_enough(pairs, rules))
}

/// What of a command is the sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The seconds that it takes.
    Wall,
    /// The number on its last line.
    Number,
    /// A key of the JSON objects that it prints, one a line: the geometric mean over the lines that
    /// have it.
    Key(String),
}

impl Reading {
    /// `wall`, `number`, or the name of a key.
    pub fn parse(text: &str) -> Reading {
        match text {
            "wall" => Reading::Wall,
            "number" => Reading::Number,
            key => Reading::Key(key.to_string()),
        }
    }

    /// The sample in what a command printed.
    ///
    /// # Errors
    /// What was expected and is not there.
    pub fn read(&self, output: &str, seconds: f64) -> Result<f64, String> {
        let last = output.lines().map(str::trim).rfind(|l| !l.is_empty());
        let number = match self {
            Reading::Wall => seconds,
            Reading::Number => {
                let last = last.ok_or("it printed nothing, expected a number on its last line")?;
                last.parse().map_err(|_| format!("its last line is `{}`, expected a number", shortened(last)))?
            }
            Reading::Key(key) => {
                let values = output.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
                let logs: Vec<f64> = values.filter_map(|v| v.get(key)?.as_f64()).map(f64::ln).collect();
                if logs.is_empty() {
                    let last = shortened(last.unwrap_or_default());
                    return Err(format!("no JSON line with a number `{key}`; its last line is `{last}`"));
                }
                (logs.iter().sum::<f64>() / logs.len() as f64).exp()
            }
        };
        if number.is_finite() && number > 0.0 {
            Ok(number)
        } else {
            Err(format!("{number}, expected a number above 0"))
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(120).collect()
}

/// A command line, run by the shell in a folder.
pub struct CommandSide {
    pub command: String,
    pub folder: PathBuf,
    pub reading: Reading,
    pub limit: Duration,
    pub stop: Arc<AtomicBool>,
}

impl Side for CommandSide {
    fn sample(&mut self) -> Result<f64, SideError> {
        let fail =
            |reason: String| SideError::Command { command: self.command.clone(), folder: self.folder.clone(), reason };
        let start = Instant::now();
        let output = shell(self)?;
        self.reading.read(&output, start.elapsed().as_secs_f64()).map_err(fail)
    }
}

/// How often a wait looks whether to stop.
const TICK: Duration = Duration::from_millis(2);

/// Runs the command to its end and returns what it printed.
fn shell(side: &CommandSide) -> Result<String, SideError> {
    let fail =
        |reason: String| SideError::Command { command: side.command.clone(), folder: side.folder.clone(), reason };
    let mut command = Command::new("sh");
    command.args(["-c", &side.command]).current_dir(&side.folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own: what it starts ends with it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().map_err(|e| fail(e.to_string()))?;
    let (out, err) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let start = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|e| fail(e.to_string()))? {
            Some(status) => break status,
            None if side.stop.load(Ordering::Relaxed) => {
                end(&mut child);
                return Err(SideError::Stopped);
            }
            None if start.elapsed() > side.limit => {
                end(&mut child);
                return Err(fail(format!("not done after {} s", side.limit.as_secs_f64())));
            }
            None => std::thread::sleep(TICK),
        }
    };
    let text = |reader: std::thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
    };
    let (out, err) = (text(out), text(err));
    if status.success() {
        return Ok(out);
    }
    let said =
        err.lines().rev().find(|l| !l.trim().is_empty()).map_or(String::new(), |l| format!(": {}", shortened(l)));
    Err(fail(format!("{status}{said}")))
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before a failure is what there is.
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn end(child: &mut Child) {
    #[cfg(unix)]
    let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).stderr(Stdio::null()).status();
    let _ = child.kill();
    let _ = child.wait();
}

/// Runs a command for its effect: a build.
pub fn run_command(
    command: &str,
    folder: &std::path::Path,
    limit: Duration,
    stop: &Arc<AtomicBool>,
) -> Result<(), SideError> {
    let side = CommandSide {
        command: command.to_string(),
        folder: folder.to_path_buf(),
        reading: Reading::Wall,
        limit,
        stop: stop.clone(),
    };
    shell(&side).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn side(command: &str, reading: &str) -> CommandSide {
        CommandSide {
            command: command.to_string(),
            folder: std::env::temp_dir(),
            reading: Reading::parse(reading),
            limit: Duration::from_secs(20),
            stop: Arc::default(),
        }
    }

    #[test]
    fn a_command_gives_a_number_or_says_why_not() {
        assert_eq!(side("echo noise; echo 12.5; echo", "number").sample().unwrap(), 12.5);
        let two = r#"echo '{"us": 2, "mode": "cold"}'; echo '{"us": 8}'; echo '{"n": 1}'"#;
        assert!((side(two, "us").sample().unwrap() - 4.0).abs() < 1e-12);
        assert!(side("true", "wall").sample().unwrap() > 0.0);
        for (command, reading, needle) in [
            ("true", "number", "printed nothing, expected a number"),
            ("echo fast", "number", "`fast`, expected a number"),
            ("echo -3", "number", "-3, expected a number above 0"),
            ("echo '{\"ms\":1}'", "us", "no JSON line with a number `us`"),
            ("echo oh no >&2; exit 3", "number", "3: oh no"),
        ] {
            let error = side(command, reading).sample().unwrap_err().to_string();
            assert!(error.contains(needle) && error.contains(command), "{error}");
        }
    }

    #[test]
    fn what_takes_too_long_or_is_stopped_ends() {
        let start = Instant::now();
        let late = CommandSide { limit: Duration::from_millis(50), ..side("sleep 30; true", "wall") }.sample();
        assert!(late.unwrap_err().to_string().contains("not done after 0.05 s"));
        let stopped = CommandSide { stop: Arc::new(AtomicBool::new(true)), ..side("sleep 30; true", "wall") }.sample();
        assert!(matches!(stopped, Err(SideError::Stopped)));
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    struct Fixed(f64, u64);

    impl Side for Fixed {
        fn sample(&mut self) -> Result<f64, SideError> {
            self.1 += 1;
            Ok(self.0 * (1.0 + 0.001 * (self.1 % 3) as f64))
        }
    }

    #[test]
    fn turns_end_when_the_interval_is_narrow() {
        let stop = AtomicBool::new(false);
        let patience = Patience { budget: Duration::from_secs(5), stop: &stop };
        let rules = Rules::default();
        let pairs = until_narrow(&mut Fixed(1.0, 0), &mut Fixed(1.05, 0), &patience, 1, &rules).unwrap();
        assert_eq!(pairs.len(), rules.least);
        assert!(pairs.iter().all(|p| (p - 1.05f64.ln()).abs() < 0.004));
        stop.store(true, Ordering::Relaxed);
        assert!(until_narrow(&mut Fixed(1.0, 0), &mut Fixed(1.0, 0), &patience, 1, &rules).is_err());
    }

    proptest! {
        #[test]
        fn any_output_is_a_number_or_an_error(output in ".{0,200}", key in "[a-z]{1,3}") {
            for reading in [Reading::Number, Reading::Key(key)] {
                if let Ok(x) = reading.read(&output, 1.0) {
                    prop_assert!(x.is_finite() && x > 0.0);
                }
            }
        }
    }
}
