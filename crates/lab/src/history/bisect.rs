//! Which commit between two made a measure worse: each is built in a worktree of its own and
//! measured in turns with the good one.

use super::paired::{Call, Judged, Rules, judge, median_interval};
use super::sides::{CommandSide, Patience, Reading, SideError, run_command, take_turns, until_narrow};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum BisectError {
    #[error("git {args}: {reason}")]
    Git { args: String, reason: String },
    #[error("{good} is not an ancestor of {bad}, expected a history that leads from the one to the other")]
    NotAncestor { good: String, bad: String },
    #[error("{commit} does not build: {source}")]
    Build { commit: String, source: SideError },
    #[error("{commit} cannot be measured: {source}")]
    Measure { commit: String, source: SideError },
    #[error("{bad} is not worse than {good}: {call} ({change:+.1} %, {pairs} pairs); nothing to look for")]
    NoDifference { good: String, bad: String, call: &'static str, change: f64, pairs: usize },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Stopped(SideError),
}

/// What to build, what to measure, how long.
pub struct Plan {
    pub repository: PathBuf,
    pub good: String,
    pub bad: String,
    /// Shell commands, run in a worktree's top folder. `None` where nothing needs building.
    pub build: Option<String>,
    pub measure: String,
    pub reading: Reading,
    /// Whether a higher number is better.
    pub higher: bool,
    pub rules: Rules,
    /// Time to measure one commit at most, and for one build or one sample.
    pub budget: Duration,
    pub limit: Duration,
    pub stop: Arc<AtomicBool>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub hash: String,
    pub subject: String,
}

/// What was found of a commit.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// As the good one.
    Good(Judged),
    /// As the bad one.
    Bad(Judged),
    /// It does not build, cannot be measured, or scatters too much.
    Skipped(String),
}

/// The first commit that is bad; several where those between could not be told apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub commits: Vec<Commit>,
    /// The change from the good commit to the bad one.
    pub change: Judged,
}

/// Worktrees below a temporary folder, removed when dropped.
struct Trees<'a> {
    plan: &'a Plan,
    folder: tempfile::TempDir,
    built: HashMap<String, PathBuf>,
}

/// Bisects. `said` is told of each commit as it is measured.
pub fn bisect(plan: &Plan, said: &mut dyn FnMut(&Commit, &Finding)) -> Result<Found, BisectError> {
    let repository = &plan.repository;
    let good = resolve(repository, &plan.good)?;
    let commits = between(repository, &good, &resolve(repository, &plan.bad)?)?;
    let Some(bad) = commits.last().cloned() else {
        return Err(BisectError::NotAncestor { good: plan.good.clone(), bad: plan.bad.clone() });
    };
    let folder = tempfile::tempdir().map_err(|source| BisectError::Io { path: std::env::temp_dir(), source })?;
    let mut trees = Trees { plan, folder, built: HashMap::new() };
    let start = trees.build(&good)?;
    let end = trees.build(&bad.hash)?;
    let change = trees.ends(&start, &end, &bad.hash)?;
    if change.call != Call::Regressed {
        return Err(BisectError::NoDifference {
            good: plan.good.clone(),
            bad: plan.bad.clone(),
            call: change.call.name(),
            change: change.change * 100.0,
            pairs: change.pairs,
        });
    }
    said(&bad, &Finding::Bad(change));
    // `low` is how many of the commits are known to be good, `high` the place of the first known to
    // be bad; what was skipped between them is never tried again.
    let (mut low, mut high) = (0, commits.len() - 1);
    let mut skipped = vec![false; commits.len()];
    loop {
        let middle = low + (high - low) / 2;
        let open = (low..high).filter(|i| !skipped[*i]).min_by_key(|i| i.abs_diff(middle));
        let Some(at) = open else { break };
        let finding = trees.judge(&start, &commits[at], change.change)?;
        said(&commits[at], &finding);
        match finding {
            Finding::Good(_) => low = at + 1,
            Finding::Bad(_) => high = at,
            Finding::Skipped(_) => skipped[at] = true,
        }
        trees.drop_tree(&commits[at].hash);
    }
    Ok(Found { commits: commits[low..=high].to_vec(), change })
}

impl Trees<'_> {
    /// A worktree of the commit, built.
    fn build(&mut self, commit: &str) -> Result<PathBuf, BisectError> {
        let folder = self.folder.path().join(&commit[..commit.len().min(16)]);
        let path = folder.display().to_string();
        git(&self.plan.repository, &["worktree", "add", "--detach", "--quiet", &path, commit])?;
        self.built.insert(commit.to_string(), folder.clone());
        if let Some(build) = &self.plan.build {
            run_command(build, &folder, self.plan.limit, &self.plan.stop).map_err(|source| match source {
                SideError::Stopped => BisectError::Stopped(source),
                source => BisectError::Build { commit: commit.to_string(), source },
            })?;
        }
        Ok(folder)
    }

    fn side(&self, folder: &Path) -> CommandSide {
        CommandSide {
            command: self.plan.measure.clone(),
            folder: folder.to_path_buf(),
            reading: self.plan.reading.clone(),
            limit: self.plan.limit,
            stop: self.plan.stop.clone(),
        }
    }

    /// Above 0 is worse.
    fn turned(&self, mut pairs: Vec<f64>) -> Vec<f64> {
        if self.plan.higher {
            pairs.iter_mut().for_each(|p| *p = -*p);
        }
        pairs
    }

    fn ends(&self, good: &Path, bad: &Path, commit: &str) -> Result<Judged, BisectError> {
        let patience = Patience { budget: self.plan.budget, stop: &self.plan.stop };
        let (mut before, mut after) = (self.side(good), self.side(bad));
        let pairs = until_narrow(&mut before, &mut after, &patience, crate::secret::seed(), &self.plan.rules);
        let pairs = pairs.map_err(|source| measure_error(commit, source))?;
        Ok(judge(&self.turned(pairs), &self.plan.rules))
    }

    /// Good or bad: on which side of half the whole change a commit lies. Pairs are added until
    /// the interval leaves that line, or is narrow enough.
    fn judge(&mut self, good: &Path, commit: &Commit, whole: f64) -> Result<Finding, BisectError> {
        let folder = match self.build(&commit.hash) {
            Ok(folder) => folder,
            Err(error @ BisectError::Build { .. }) => return Ok(Finding::Skipped(error.to_string())),
            Err(error) => return Err(error),
        };
        let (line, rules) = (whole.ln_1p() / 2.0, self.plan.rules);
        let sign = if self.plan.higher { -1.0 } else { 1.0 };
        let is_done = |pairs: &[f64]| {
            let turned: Vec<f64> = pairs.iter().map(|p| sign * p).collect();
            let i = median_interval(&turned);
            pairs.len() >= rules.most || (pairs.len() >= rules.least && (i.low > line || i.high < line))
        };
        let patience = Patience { budget: self.plan.budget, stop: &self.plan.stop };
        let (mut before, mut after) = (self.side(good), self.side(&folder));
        let pairs = match take_turns(&mut before, &mut after, &patience, crate::secret::seed(), &is_done) {
            Ok(pairs) => self.turned(pairs),
            Err(error @ SideError::Stopped) => return Err(BisectError::Stopped(error)),
            Err(error) => return Ok(Finding::Skipped(measure_error(&commit.hash, error).to_string())),
        };
        let (judged, i) = (judge(&pairs, &rules), median_interval(&pairs));
        Ok(if i.low > line {
            Finding::Bad(judged)
        } else if i.high < line {
            Finding::Good(judged)
        } else {
            Finding::Skipped(format!("{} pairs do not say: {:+.1} % worse", pairs.len(), judged.change * 100.0))
        })
    }

    fn drop_tree(&mut self, commit: &str) {
        if let Some(folder) = self.built.remove(commit) {
            // What git cannot remove goes with the temporary folder.
            let _ = git(&self.plan.repository, &["worktree", "remove", "--force", &folder.display().to_string()]);
        }
    }
}

impl Drop for Trees<'_> {
    fn drop(&mut self) {
        let commits: Vec<String> = self.built.keys().cloned().collect();
        commits.iter().for_each(|c| self.drop_tree(c));
    }
}

fn measure_error(commit: &str, source: SideError) -> BisectError {
    match source {
        SideError::Stopped => BisectError::Stopped(source),
        source => BisectError::Measure { commit: commit.to_string(), source },
    }
}

fn git(repository: &Path, args: &[&str]) -> Result<String, BisectError> {
    let fail = |reason: String| BisectError::Git { args: args.join(" "), reason };
    let output = Command::new("git").arg("-C").arg(repository).args(args).output().map_err(|e| fail(e.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_string());
    }
    Err(fail(String::from_utf8_lossy(&output.stderr).trim().replace('\n', ", ")))
}

fn resolve(repository: &Path, name: &str) -> Result<String, BisectError> {
    git(repository, &["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{name}^{{commit}}")]).map_err(
        |error| match error {
            BisectError::Git { args, reason } if reason.is_empty() => {
                BisectError::Git { args, reason: format!("`{name}` names no commit of {}", repository.display()) }
            }
            other => other,
        },
    )
}

/// The commits after `good` up to `bad`, along first parents where that reaches `good`.
fn between(repository: &Path, good: &str, bad: &str) -> Result<Vec<Commit>, BisectError> {
    let refused = || BisectError::NotAncestor { good: good.to_string(), bad: bad.to_string() };
    git(repository, &["merge-base", "--is-ancestor", good, bad]).map_err(|error| match error {
        BisectError::Git { reason, .. } if reason.is_empty() => refused(),
        other => other,
    })?;
    let range = format!("{good}..{bad}");
    let text = git(
        repository,
        &["rev-list", "--first-parent", "--reverse", "--format=%H%x09%s", "--no-commit-header", &range],
    )?;
    let commit = |line: &str| {
        let (hash, subject) = line.split_once('\t').unwrap_or((line, ""));
        Commit { hash: hash.to_string(), subject: subject.to_string() }
    };
    Ok(text.lines().filter(|l| !l.is_empty()).map(commit).collect())
}
