//! A slow-down planted in a small repository is traced to its commit.

use kernelsmith_lab::history::bisect::{BisectError, Commit, Finding, Found, Plan, bisect};
use kernelsmith_lab::history::paired::Rules;
use kernelsmith_lab::history::sides::Reading;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

struct Repository(tempfile::TempDir);

impl Repository {
    /// A commit for each text of the program `work.sh`.
    fn new(versions: &[String]) -> Self {
        let repository = Repository(tempfile::tempdir().unwrap());
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        for (i, text) in versions.iter().enumerate() {
            std::fs::write(repository.path().join("work.sh"), text).unwrap();
            std::fs::write(repository.path().join("version"), i.to_string()).unwrap();
            repository.git(&["add", "."]);
            repository.git(&["commit", "--quiet", "-m", &format!("version {i}")]);
        }
        repository
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn git(&self, args: &[&str]) -> String {
        let who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"];
        let output = Command::new("git").arg("-C").arg(self.path()).args(who).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    }

    fn plan(&self, good: &str, bad: &str) -> Plan {
        Plan {
            repository: self.path().to_path_buf(),
            good: good.to_string(),
            bad: bad.to_string(),
            build: Some("cp work.sh built.sh".to_string()),
            measure: "sh built.sh".to_string(),
            reading: Reading::Number,
            higher: false,
            rules: Rules { most: 40, ..Rules::default() },
            budget: Duration::from_secs(30),
            limit: Duration::from_secs(20),
            stop: Arc::new(AtomicBool::new(false)),
        }
    }
}

/// Runs a bisection and notes what was said.
fn run(plan: &Plan) -> (Result<Found, BisectError>, Vec<(Commit, Finding)>) {
    let mut said = Vec::new();
    let found = bisect(plan, &mut |commit, finding| said.push((commit.clone(), finding.clone())));
    (found, said)
}

fn subjects(found: &Found) -> Vec<&str> {
    found.commits.iter().map(|c| c.subject.as_str()).collect()
}

/// A program whose time scatters by 2 % and is `us` on average.
fn program(us: f64) -> String {
    format!("od -An -N2 -tu2 /dev/urandom | awk '{{ print {us} * (0.98 + 0.04 * $1 / 65536) }}'\n")
}

#[test]
fn a_planted_slow_down_is_traced_to_its_commit() {
    let versions: Vec<String> = (0..12).map(|i| program(if i < 8 { 100.0 } else { 105.0 })).collect();
    let repository = Repository::new(&versions);
    let (found, said) = run(&repository.plan("main~11", "main"));
    let found = found.unwrap();
    assert_eq!(subjects(&found), ["version 8"]);
    assert!((found.change.change - 0.05).abs() < 0.02, "{:?}", found.change);
    assert!(said.len() <= 5, "{} commits were measured, 12 were there", said.len());
    // Nothing is left behind.
    assert_eq!(repository.git(&["worktree", "list"]).lines().count(), 1);
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
}

#[test]
fn a_higher_number_can_be_the_better_one() {
    let versions: Vec<String> = (0..5).map(|i| program(if i < 2 { 100.0 } else { 90.0 })).collect();
    let repository = Repository::new(&versions);
    let plan = Plan { higher: true, ..repository.plan("main~4", "main") };
    assert_eq!(subjects(&run(&plan).0.unwrap()), ["version 2"]);
}

#[test]
fn real_time_is_measured_too() {
    let versions: Vec<String> = (0..4).map(|i| format!("sleep 0.0{}\n", if i < 3 { 2 } else { 4 })).collect();
    let repository = Repository::new(&versions);
    let plan = Plan { reading: Reading::Wall, ..repository.plan("main~3", "main") };
    // On a busy machine the times may scatter too much to say; a wrong commit is never named.
    match run(&plan).0 {
        Ok(found) => assert!(subjects(&found).contains(&"version 3"), "{found:?}"),
        Err(error) => assert!(matches!(error, BisectError::NoDifference { call: "unclear", .. }), "{error}"),
    }
}

#[test]
fn commits_that_do_not_build_are_gone_round() {
    let text = |i: usize| {
        if (3..6).contains(&i) { "exit 1\n".to_string() } else { program(if i < 6 { 100.0 } else { 120.0 }) }
    };
    let repository = Repository::new(&(0..9).map(text).collect::<Vec<_>>());
    let plan = Plan {
        build: Some("sh work.sh >built.txt && cp work.sh built.sh".to_string()),
        ..repository.plan("main~8", "main")
    };
    let (found, said) = run(&plan);
    // Any of those that could not be built may be it.
    assert_eq!(subjects(&found.unwrap()), ["version 3", "version 4", "version 5", "version 6"]);
    let skipped =
        said.iter().filter(|(_, f)| matches!(f, Finding::Skipped(reason) if reason.contains("does not build")));
    assert_eq!(skipped.count(), 3);
}

#[test]
fn what_cannot_be_bisected_is_said() {
    let repository = Repository::new(&(0..3).map(|_| program(100.0)).collect::<Vec<_>>());
    let error = |plan: Plan| run(&plan).0.unwrap_err().to_string();
    assert!(error(repository.plan("main~2", "main")).contains("main is not worse than main~2: same"));
    assert!(error(repository.plan("nowhere", "main")).contains("`nowhere` names no commit"));
    assert!(error(repository.plan("main", "main~2")).contains("not an ancestor"));
    assert!(error(repository.plan("main", "main")).contains("not an ancestor"));
    let plan = Plan { build: Some("echo broken >&2; exit 7".to_string()), ..repository.plan("main~2", "main") };
    let text = error(plan);
    assert!(text.contains("does not build") && text.contains("broken"), "{text}");
    let plan = Plan { measure: "echo fast".to_string(), ..repository.plan("main~2", "main") };
    let text = error(plan);
    assert!(text.contains("cannot be measured") && text.contains("expected a number"), "{text}");
    let outside = tempfile::tempdir().unwrap();
    let plan = Plan { repository: outside.path().to_path_buf(), ..repository.plan("main~2", "main") };
    assert!(error(plan).contains("git "), "no repository");
    let plan = Plan { stop: Arc::new(AtomicBool::new(true)), ..repository.plan("main~2", "main") };
    assert!(error(plan).contains("stopped"));
    assert_eq!(repository.git(&["worktree", "list"]).lines().count(), 1);
}
