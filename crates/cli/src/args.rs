//! The command line.

use clap::{Args, Parser, Subcommand};
use kernelsmith_lab::timer::Mode;
use std::path::PathBuf;
use std::time::Duration;

/// Kernels compete, the winner runs.
#[derive(Parser)]
#[command(name = "smith", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// List devices with their facts, and say why a backend is missing
    Devices(DevicesArgs),
    /// List kernel variants; with a problem, what each can do with it and the gaps with reasons
    Variants(VariantsArgs),
    /// Find the fastest right candidate for each problem of a spec
    Tune(TuneArgs),
    /// How far is what dispatch picks from the best candidate, on problems that it may never have seen?
    Audit(AuditArgs),
    /// Time one candidate beside the vendor's best, paired and interleaved
    Bench(BenchArgs),
    /// Put candidates through the full gate
    Check(CheckArgs),
    /// Put faults into the kernels that ship and see whether the gate finds every one
    GateTest(GateTestArgs),
    /// Compare the results of two runs
    Compare(CompareArgs),
    /// Hold a run to a baseline file, or make one from a run
    Regress(RegressArgs),
    /// Find the commit between two that made a measure worse
    Bisect(BisectArgs),
    /// Show what runs measured over time, with the steps in it
    History(HistoryArgs),
    /// Race a kernel with itself and with itself slowed: how often is each called?
    Sensitivity(SensitivityArgs),
    /// Read the experiment log, or write a run into it
    Log(LogArgs),
    /// Write a self-contained HTML page for runs
    Report(ReportArgs),
    /// Write what a run or a file holds in another tuner's format
    Export(ExportArgs),
    /// Take files of other tuners into a run folder, or their spaces into a manifest
    Import(ImportArgs),
    /// Run a search strategy on spaces that were measured before, and say how near it comes
    Replay(ReplayArgs),
    /// Train a network on a data set
    Train(TrainArgs),
    /// Say what a trained network sees in the images of a file
    Predict(PredictArgs),
    /// Print the launches that an expression of tensors becomes, without running them
    Plan(PlanArgs),
    /// Measure on behalf of another smith process
    #[command(name = "__worker", hide = true)]
    Worker,
}

#[derive(Args)]
pub struct Common {
    /// Print one JSON object a line, with stable keys
    #[arg(long)]
    pub json: bool,
    /// Lay a folder of kernels over the built-in ones
    #[arg(long, env = "KERNELSMITH_KERNELS", value_name = "DIR")]
    pub kernels: Option<PathBuf>,
}

#[derive(Args)]
pub struct DevicesArgs {
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct VariantsArgs {
    /// Op whose variants to list
    #[arg(default_value = "gemm")]
    pub op: String,
    /// Say what each variant can do with this problem
    #[arg(long)]
    pub problem: Option<String>,
    /// Device to ask for: cpu, cuda:N, wgpu:N
    #[arg(long, env = "KERNELSMITH_DEVICE")]
    pub device: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
pub struct TuneArgs {
    /// Ops to tune; all of the spec's when none is given
    pub op: Vec<String>,
    /// A spec file, or the name of a built-in one
    #[arg(long, default_value = "starter")]
    pub spec: String,
    /// Tune this problem instead of a spec
    #[arg(long, conflicts_with = "spec")]
    pub problem: Option<String>,
    /// Device to tune on: cpu, cuda:N, wgpu:N; the first CUDA device when there is one, else a GPU
    /// through wgpu, else the CPU
    #[arg(long, env = "KERNELSMITH_DEVICE")]
    pub device: Option<String>,
    /// Time for the whole run, as 90s or 5m; the spec's when not given
    #[arg(long, value_parser = duration)]
    pub budget: Option<Duration>,
    /// Go on with a run that was stopped
    #[arg(long, value_name = "RUN", conflicts_with = "run")]
    pub resume: Option<PathBuf>,
    /// Folder for the run; runs/<time>-<device>-<spec> when not given
    #[arg(long, value_name = "DIR")]
    pub run: Option<PathBuf>,
    /// Search strategy: default, exhaustive, random, descent, annealing, genetic, surrogate
    #[arg(long, default_value = "default")]
    pub strategy: String,
    /// Start without a prior: no cost from the problem and the device, no records below runs/, no
    /// tuned table
    #[arg(long)]
    pub no_prior: bool,
    /// Seed of the search
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Longest a candidate may take
    #[arg(long, value_parser = duration, default_value = "30s")]
    pub limit: Duration,
    /// Serve the report on this machine's loopback address while the sweep runs; any free port when
    /// none is named
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    pub live: Option<u16>,
    /// Leave the tuned table in the platform's data folder as it is
    #[arg(long)]
    pub no_install: bool,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
pub struct AuditArgs {
    /// Ops to audit; all of the spec's when none is given
    pub op: Vec<String>,
    /// A spec file, or the name of a built-in one
    #[arg(long)]
    pub spec: String,
    #[arg(long, env = "KERNELSMITH_DEVICE")]
    pub device: Option<String>,
    /// Time for the whole audit, as 90s or 5m; the spec's when not given
    #[arg(long, value_parser = duration)]
    pub budget: Option<Duration>,
    /// Folder for the run; runs/<time>-<device>-audit-<spec> when not given. What it holds already is kept
    #[arg(long, value_name = "DIR")]
    pub run: Option<PathBuf>,
    /// Seed of the search
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Longest a candidate may take
    #[arg(long, value_parser = duration, default_value = "30s")]
    pub limit: Duration,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
pub struct BenchArgs {
    /// Op of the problem, or the one to take from the spec
    pub op: Option<String>,
    /// The problem, as m=1,n=9728,k=896,dtype=f16,layout=nt
    #[arg(long, required_unless_present = "spec")]
    pub problem: Option<String>,
    /// Each problem of a spec file, or of a built-in one
    #[arg(long, conflicts_with_all = ["problem", "candidate"])]
    pub spec: Option<String>,
    /// The candidate, as name or name[A=1,B=2]; what dispatch picks when not given
    #[arg(long)]
    pub candidate: Option<String>,
    /// What to race against: `baseline` (the vendors' best) or a candidate
    #[arg(long, default_value = "baseline")]
    pub vs: String,
    /// A program to race against as well, as "python3 tools/peer_torch.py"
    #[arg(long, value_name = "COMMAND")]
    pub peer: Vec<String>,
    /// Only this mode, cold or hot; both when not given
    #[arg(long, value_parser = mode)]
    pub mode: Option<Mode>,
    /// Keep the evidence in this folder, which is made
    #[arg(long, value_name = "DIR")]
    pub run: Option<PathBuf>,
    #[arg(long, env = "KERNELSMITH_DEVICE")]
    pub device: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
pub struct CheckArgs {
    /// Op of the problem
    pub op: String,
    #[arg(long)]
    pub problem: String,
    /// Only this candidate; the default of every capable variant when not given
    #[arg(long)]
    pub candidate: Option<String>,
    #[arg(long, env = "KERNELSMITH_DEVICE")]
    pub device: Option<String>,
    /// Longest a candidate may take
    #[arg(long, value_parser = duration, default_value = "120s")]
    pub limit: Duration,
    /// The problem alone on a few families of inputs, without its edge cases: for tools that slow kernels down
    #[arg(long)]
    pub brief: bool,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
pub struct GateTestArgs {
    /// Only the kernels of this op
    pub op: Option<String>,
    #[arg(long, env = "KERNELSMITH_DEVICE")]
    pub device: Option<String>,
    /// Also gate this many random problems on every kernel that ships, where nothing may be found
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub clean: usize,
    /// Gates side by side; as many as there are cores, at most eight, when not given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub processes: Option<u16>,
    /// Print one JSON object, with stable keys
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct CompareArgs {
    /// The run to compare with
    pub before: PathBuf,
    /// The run to judge
    pub after: PathBuf,
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct RegressArgs {
    /// The run to judge
    pub run: PathBuf,
    /// What it is held to: a baseline file, or another run
    #[arg(long, value_name = "FILE", required_unless_present = "write_baseline")]
    pub baseline: Option<PathBuf>,
    /// Make a baseline file from the run instead
    #[arg(long, value_name = "FILE", conflicts_with = "baseline")]
    pub write_baseline: Option<PathBuf>,
    /// Write over a baseline file that is there
    #[arg(long, requires = "write_baseline")]
    pub force: bool,
    /// Race what seems worse with what it was, paired and interleaved, before it is called
    #[arg(long, requires = "baseline")]
    pub confirm: bool,
    /// The smith that the baseline was measured with, where this one has not its kernels
    #[arg(long, value_name = "PROGRAM", requires = "confirm")]
    pub before: Option<PathBuf>,
    /// Time for each race at most
    #[arg(long, value_parser = duration, default_value = "60s")]
    pub budget: Duration,
    #[arg(long, env = "KERNELSMITH_DEVICE")]
    pub device: Option<String>,
    /// Lay a folder of kernels over the built-in ones
    #[arg(long, env = "KERNELSMITH_KERNELS", value_name = "DIR")]
    pub kernels: Option<PathBuf>,
    /// The log, which gets what races say
    #[arg(long, value_name = "FILE", default_value = "runs/log.jsonl")]
    pub log: PathBuf,
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct BisectArgs {
    /// A commit where the measure was good, or a run of it
    pub good: String,
    /// A later one where it is worse, or a run of that
    pub bad: String,
    /// Shell command that builds a commit, run in its own worktree; none where nothing needs building
    #[arg(long, value_name = "COMMAND")]
    pub build: Option<String>,
    /// Shell command that measures a built commit once
    #[arg(long, value_name = "COMMAND")]
    pub measure: String,
    /// What of it counts: `wall` (its seconds), `number` (on its last line), or a key of the JSON lines that it prints
    #[arg(long, default_value = "wall")]
    pub metric: String,
    /// Which way is better
    #[arg(long, value_enum, default_value = "lower")]
    pub direction: Better,
    /// A change by less than this share is not looked for
    #[arg(long, value_name = "SHARE", default_value_t = 0.025, value_parser = share)]
    pub threshold: f64,
    /// Time to measure each commit at most
    #[arg(long, value_parser = duration, default_value = "60s")]
    pub budget: Duration,
    /// Time for one build or one sample at most
    #[arg(long, value_parser = duration, default_value = "30m")]
    pub limit: Duration,
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub repository: PathBuf,
    /// The log, which gets what was found; none when not given
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Better {
    Lower,
    Higher,
}

#[derive(Args)]
pub struct HistoryArgs {
    /// Run folders; all below runs/ when none is given
    pub runs: Vec<PathBuf>,
    /// Only numbers whose name has this in it, as "m=1," or "cold us"
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
    /// The log, which knows what races said of a step
    #[arg(long, value_name = "FILE", default_value = "runs/log.jsonl")]
    pub log: PathBuf,
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct SensitivityArgs {
    /// A product of at least four rows
    #[arg(long, default_value = "m=256,n=256,k=256,dtype=f32")]
    pub problem: String,
    /// How much longer the planted kernel takes, in percent
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub slowdown: u32,
    /// Races with and without the slow-down
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub trials: u32,
    /// Time for each race at most
    #[arg(long, value_parser = duration, default_value = "60s")]
    pub budget: Duration,
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct LogArgs {
    /// Run folders to write into the log; the log is printed when none is given
    pub runs: Vec<PathBuf>,
    /// What a reader should know of the run
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Note which numbers are worse than this baseline file's
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// The log
    #[arg(long, value_name = "FILE", default_value = "runs/log.jsonl")]
    pub log: PathBuf,
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct ReportArgs {
    /// Run folders; the newest below runs/ when none is given
    pub runs: Vec<PathBuf>,
    /// All runs below runs/
    #[arg(long, conflicts_with = "runs")]
    pub all: bool,
    /// The log, which knows what races said of a step; log.jsonl beside the first run when not given
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// File to write; report.html in the first run's folder when not given
    #[arg(long, short)]
    pub out: Option<PathBuf>,
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Kernel Tuner's cachefile
    Cachefile,
    /// Results of a tuner
    T4,
    /// A space for a tuner to search
    T1,
}

#[derive(Args)]
pub struct ExportArgs {
    /// A run folder, a cachefile or T4 results
    pub source: PathBuf,
    #[arg(long, value_enum, default_value = "cachefile")]
    pub format: Format,
    /// Folder for the files: one for each problem and variant of a run
    #[arg(long, short, value_name = "DIR", default_value = "export")]
    pub out: PathBuf,
    /// Only this op
    #[arg(long)]
    pub op: Option<String>,
    /// Only this problem
    #[arg(long)]
    pub problem: Option<String>,
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct ImportArgs {
    /// Cachefiles, T4 results or T1 spaces, plain or gzip
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Folder for the run that the results become; there must be none yet
    #[arg(long, value_name = "DIR", required_unless_present = "manifest")]
    pub run: Option<PathBuf>,
    /// Print T1 spaces as entries of a manifest instead
    #[arg(long, conflicts_with = "run")]
    pub manifest: bool,
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct ReplayArgs {
    /// Spaces: Kernel Tuner cachefiles or T4 results, plain or gzip
    #[arg(required = true, value_name = "CACHEFILE")]
    pub files: Vec<PathBuf>,
    /// Strategy: default, exhaustive, random, descent, annealing, genetic, surrogate
    #[arg(long, default_value = "default")]
    pub strategy: String,
    /// Evaluations of a search; a config that failed is one too
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub budget: u32,
    /// Searches of each space, with seeds from 0 on
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub seeds: u32,
    /// Files of other devices, for a prior. For each space those of the same parameters count, of
    /// its own vendor where there is one; a file with the space's own times does not
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub prior: Vec<PathBuf>,
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub enum DataSet {
    Mnist,
}

#[derive(Args)]
pub struct TrainArgs {
    /// The data set
    pub set: DataSet,
    /// Folder with its files, as they are published: plain or gzip
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: u32,
    /// Images that one step learns from
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: u32,
    /// Decides the first parameters and the order of the images
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print what an epoch launches, and train nothing
    #[arg(long)]
    pub plan: bool,
    /// First tune the launches of an epoch where they run, for 90 s or as long as is said
    #[arg(long, value_name = "BUDGET", value_parser = duration, num_args = 0..=1, require_equals = true, default_missing_value = "90s")]
    pub tune: Option<Duration>,
    /// With --tune, the folder for its evidence; runs/<time>-<device>-mnist-in-place when not given
    #[arg(long, value_name = "DIR", requires = "tune")]
    pub run: Option<PathBuf>,
    /// File for the trained network
    #[arg(long, short, value_name = "FILE", default_value = "mnist.safetensors")]
    pub out: PathBuf,
    #[arg(long, env = "KERNELSMITH_DEVICE")]
    pub device: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
pub struct PredictArgs {
    /// A network that `smith train` wrote
    pub model: PathBuf,
    /// An IDX file of 28 x 28 images, plain or gzip
    pub images: PathBuf,
    #[arg(long, env = "KERNELSMITH_DEVICE")]
    pub device: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
pub struct PlanArgs {
    /// The expression, as relu(linear(x, w, b)): methods of Tensor, the tensor first
    pub expression: String,
    /// Its tensors, as x=f32:256x784; `s=f32:scalar` is a scalar
    #[arg(value_name = "NAME=DTYPE:SHAPE")]
    pub tensors: Vec<String>,
    /// Plan the gradients of its sum for every floating-point tensor as well
    #[arg(long)]
    pub gradients: bool,
    /// A plan that copies to change a layout is an error
    #[arg(long)]
    pub forbid_copies: bool,
    #[arg(long, env = "KERNELSMITH_DEVICE")]
    pub device: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

/// `90s`, `5m`, `250ms`, `1h`.
fn mode(text: &str) -> Result<Mode, String> {
    let known = Mode::ALL.into_iter().find(|m| m.name() == text);
    known.ok_or_else(|| format!("expected {}", Mode::ALL.map(Mode::name).join(" or ")))
}

fn duration(text: &str) -> Result<Duration, String> {
    let fail = || format!("`{text}` is not a time: expected a number above 0 with ms, s, m or h");
    let split = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(fail)?;
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(fail()),
    };
    let seconds = number.parse::<f64>().map_err(|_| fail())? * scale;
    if seconds > 0.0 && seconds < 1e7 { Ok(Duration::from_secs_f64(seconds)) } else { Err(fail()) }
}

fn share(text: &str) -> Result<f64, String> {
    let fail = || format!("`{text}` is not a share; expected a number above 0 and at most 10, as 0.025");
    let share: f64 = text.parse().map_err(|_| fail())?;
    if share > 0.0 && share <= 10.0 { Ok(share) } else { Err(fail()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        for bad in ["", "90", "s", "-3s", "0s", "3 weeks", "nans", "infs"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
