//! Runs the built program in a folder of its own, with bounded waits.
#![allow(dead_code)] // each test program uses a part of it

pub mod runs;

use kernelsmith_kernels::{Catalogue, Target, Variant};
use serde_json::Value;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Small, with no size a multiple of a vector, a tile or a page.
pub const PROBLEM: &str = "m=33,n=40,k=57,dtype=f32";

/// Longest that any command may take before a test gives up on it; no test expects to come near.
const PATIENCE: Duration = Duration::from_secs(300);

/// A folder of kernels beside the tests, in which every built-in gemm variant of the CPU that it
/// does not replace is replaced by one that takes nothing.
pub fn kernels(name: &str) -> String {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    for op in std::fs::read_dir(own).unwrap().map(|entry| entry.unwrap()) {
        let mut text = std::fs::read_to_string(op.path().join("manifest.toml")).unwrap();
        if op.file_name() == "gemm" {
            let missing = built_in().into_iter().filter(|name| !text.contains(&format!("name = \"{name}\"")));
            text = missing.map(|name| stand_in(&name)).collect::<String>() + &text;
        }
        let to = folder.join(op.file_name());
        std::fs::create_dir_all(&to).unwrap();
        // Other tests read it: it appears whole, and always says the same.
        let whole = tempfile::NamedTempFile::new_in(&folder).unwrap();
        std::fs::write(whole.path(), text).unwrap();
        whole.persist(to.join("manifest.toml")).unwrap();
    }
    folder.display().to_string()
}

/// A variant of this name that takes no problem.
fn stand_in(name: &str) -> String {
    format!(
        "[[variant]]\nname = \"{name}\"\nabout = \"replaces the built-in: takes nothing\"\ntarget = \"cpu\"\n\
         source = \"blocked\"\nsupports = [\"m < 0\"]\ndeterministic = true\nparams = {{}}\ndefault = {{}}\n\n"
    )
}

/// The built-in gemm variants of the CPU, in the order of their manifest.
pub fn built_in() -> Vec<String> {
    let all = Catalogue::builtin().unwrap();
    let ours = |v: &&std::sync::Arc<Variant>| v.op == "gemm" && v.target == Target::Cpu;
    all.all().iter().filter(ours).map(|v| v.name.clone()).collect()
}

/// What a command left.
pub struct Done {
    /// None where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// Its standard output as JSON lines.
    pub fn json(&self) -> Vec<Value> {
        let parse = |l: &str| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e} in {l:?}\n{}", self.stderr));
        self.stdout.lines().map(parse).collect()
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Refused as bad usage or input, with each of `needles` in the message and nothing else said.
    #[track_caller]
    pub fn refused(self, needles: &[&str]) -> Self {
        let done = self.expect(2);
        assert_eq!(done.stdout, "", "nothing belongs on standard output");
        assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
        for needle in needles {
            assert!(done.stderr.contains(needle), "no `{needle}` in: {}", done.stderr);
        }
        done
    }
}

/// One test measures at a time: beside others the timer would rightly not trust itself.
static MEASURING: Mutex<()> = Mutex::new(());

/// A folder with everything that the program may write to inside it.
pub struct Place {
    folder: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Place {
    pub fn new() -> Self {
        let alone = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
        let place = Place { folder: tempfile::tempdir().unwrap(), _alone: alone };
        std::fs::create_dir(place.path("work")).unwrap();
        place
    }

    /// A path in it; commands run in `work`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// `program`, ready to run here in a process group of its own, as a terminal starts it.
    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.path("work")).process_group(0);
        // Mesa's layer that looks for a display says on stderr that there is none.
        command.env("NODEVICE_SELECT", "1");
        command.env("KERNELSMITH_TUNED", self.path("tuned")).env("KERNELSMITH_CACHE", self.path("cache"));
        command.env_remove("KERNELSMITH_KERNELS").env_remove("KERNELSMITH_DEVICE");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn start(&self, args: &[&str]) -> Child {
        self.command(env!("CARGO_BIN_EXE_smith"), args).spawn().unwrap()
    }

    /// Runs `smith` to its end.
    pub fn smith(&self, args: &[&str]) -> Done {
        self.run(|| self.start(args))
    }

    /// Runs `smith` to its end with one more variable in its environment.
    pub fn smith_with(&self, key: &str, value: &str, args: &[&str]) -> Done {
        self.run(|| self.command(env!("CARGO_BIN_EXE_smith"), args).env(key, value).spawn().unwrap())
    }

    /// Runs a line of shell to its end, with the program's path in `$SMITH`.
    pub fn shell(&self, line: &str) -> Done {
        self.run(|| self.command("sh", &["-c", line]).env("SMITH", env!("CARGO_BIN_EXE_smith")).spawn().unwrap())
    }

    fn run(&self, start: impl Fn() -> Child) -> Done {
        // On a machine that is busy with other work the timer may rightly not trust itself.
        for _ in 0..10 {
            let done = finish(start());
            if !done.stderr.contains("self-test failed") {
                return done;
            }
        }
        panic!("the timer's self-test failed ten times over");
    }

    /// A sweep of one small problem into `run`, on the kernels of a folder beside the tests.
    pub fn tune(&self, folder: &str, run: &str, more: &[&str]) -> Done {
        let run = self.path(run).display().to_string();
        let kernels = kernels(folder);
        let args =
            ["tune", "--problem", PROBLEM, "--device", "cpu", "--kernels", &kernels, "--budget", "1s", "--run", &run];
        self.smith(&[&args, more].concat())
    }

    /// The whole lines of a run's evidence: each must parse.
    pub fn evidence(&self, run: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(run).join("evidence.jsonl")).unwrap_or_default();
        let whole = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
        whole.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e} in {l:?}"))).collect()
    }
}

/// Waits for a process to end and reads what it said.
pub fn finish(mut child: Child) -> Done {
    let group = child.id();
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let read = |pipe: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            pipe.map(|mut p| p.read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let out = read(out.take().map(|p| Box::new(p) as _));
    let err = read(err.take().map(|p| Box::new(p) as _));
    let mut status = None;
    wait_until(
        "a command's end",
        || {
            status = child.try_wait().unwrap();
            status.is_some()
        },
        || signal("KILL", group),
    );
    Done { code: status.unwrap().code(), stdout: out.join().unwrap(), stderr: err.join().unwrap() }
}

/// Polls until something holds; cleans up and fails the test where it never does.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool, clean_up: impl Fn()) {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > PATIENCE {
            clean_up();
            panic!("waited {PATIENCE:?} for {what}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a signal to a process group.
pub fn signal(name: &str, group: u32) {
    let sent: Output = Command::new("sh").args(["-c", &format!("kill -s {name} -- -{group}")]).output().unwrap();
    let _ = sent.status;
}

/// Records of one kind.
pub fn of_kind<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().filter(|r| r["kind"] == kind).collect()
}

#[track_caller]
pub fn has_keys(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value.get(key).is_some(), "no `{key}` in {value}");
    }
}
