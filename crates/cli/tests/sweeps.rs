//! Sweeps: what they print, what they leave, and how they go on after a stop of any kind.

mod support;

use std::path::Path;
use support::*;

const RESULT_KEYS: &[&str] = &[
    "op",
    "problem",
    "device",
    "candidate",
    "mode",
    "us",
    "ratio",
    "ratio_low",
    "ratio_high",
    "baseline",
    "verdict",
    "gaps",
];

/// A sweep that stands still at its hang, three candidates done, for longer than any test waits.
fn stuck(place: &Place, run: &str) -> std::process::Child {
    let folder = place.path(run).display().to_string();
    let overlay = kernels("faulty-kernels");
    let args =
        ["tune", "--problem", PROBLEM, "--device", "cpu", "--kernels", &overlay, "--run", &folder, "--limit", "1h"];
    loop {
        let mut child = place.start(&args);
        let group = child.id();
        let mut early = false;
        wait_until(
            "the hang",
            || {
                early = child.try_wait().unwrap().is_some();
                early || of_kind(&place.evidence(run), "candidate").len() == 3
            },
            || signal("KILL", group),
        );
        if !early {
            return child;
        }
        let done = finish(child);
        assert!(done.stderr.contains("self-test failed"), "it ended: {}", done.stderr);
    }
}

/// Goes on with a run on the faulty kernels, this time with a limit that ends the hang.
fn resume(place: &Place, run: &str) -> Done {
    let folder = place.path(run).display().to_string();
    let overlay = kernels("faulty-kernels");
    let args =
        ["tune", "--problem", PROBLEM, "--device", "cpu", "--kernels", &overlay, "--resume", &folder, "--limit", "5s"];
    place.smith(&[&args[..], &["--budget", "1s", "--json"]].concat())
}

#[test]
fn results_have_their_stable_keys_and_nothing_else_is_printed() {
    let place = Place::new();
    let done = place.tune("sound-kernels", "run", &["--json"]).expect(0);
    let results = done.json();
    assert_eq!(results.iter().map(|r| r["mode"].as_str().unwrap()).collect::<Vec<_>>(), ["cold", "hot"]);
    for result in &results {
        has_keys(result, RESULT_KEYS);
        assert_eq!(result["op"], "gemm");
        assert_eq!(result["problem"], format!("{PROBLEM},layout=nn"));
        let mut gaps: Vec<&str> =
            result["gaps"].as_array().unwrap().iter().map(|g| g["variant"].as_str().unwrap()).collect();
        gaps.sort_unstable();
        let mut replaced = built_in();
        replaced.retain(|name| name != "gemm_crate");
        replaced.sort();
        assert_eq!(gaps, replaced, "the overlay replaces these");
        let of = |key: &str| result[key].as_f64().unwrap();
        assert!(of("us") > 0.0 && of("ratio_low") <= of("ratio") && of("ratio") <= of("ratio_high"), "{result}");
    }
    // For people: a table, and no bar where there is no terminal.
    let done = place.tune("sound-kernels", "run", &[]).expect(0);
    assert!(done.stdout.contains("geometric mean") && done.stdout.contains("evidence "), "{}", done.stdout);
    assert!(!done.stderr.contains('\r') && !done.stderr.contains('\u{1b}'), "{:?}", done.stderr);
}

#[test]
fn a_killed_sweep_goes_on_where_it_was() {
    let place = Place::new();
    let child = stuck(&place, "run");
    // Only the sweep itself is killed: its worker hangs in the candidate and must end with it.
    let worker = child_of(child.id());
    let killed =
        std::process::Command::new("sh").args(["-c", &format!("kill -s KILL {}", child.id())]).status().unwrap();
    assert!(killed.success());
    assert_eq!(finish(child).code, None);
    let before = std::fs::read_to_string(place.path("run/evidence.jsonl")).unwrap();
    assert!(before.ends_with('\n') && !place.path("run/tuned.toml").exists());
    if let Some(worker) = worker {
        wait_until("the worker's end", || !is_running(worker), || signal("KILL", worker));
    }

    let results = resume(&place, "run").expect(0).json();
    assert_eq!(results.len(), 2);
    let after = std::fs::read_to_string(place.path("run/evidence.jsonl")).unwrap();
    assert!(after.starts_with(&before), "what was there is kept as it was");
    let records = place.evidence("run");
    let screened: Vec<&str> = of_kind(&records, "candidate").iter().map(|r| r["candidate"].as_str().unwrap()).collect();
    let mut once = screened.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(screened.len(), once.len(), "a candidate was screened twice: {screened:?}");
    assert_eq!(screened[3], "fault_hangs", "the candidate in flight is tried again");
    assert_eq!((screened.len(), results[0]["tried"].as_u64()), (17, Some(17)));
    assert_eq!(of_kind(&records, "session").len(), 2);
    assert_eq!(of_kind(&records, "result").len(), 2);
    assert!(place.path("run/tuned.toml").exists());
}

/// A process that another one started, where the system says.
fn child_of(parent: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// Neither gone nor a zombie that nobody has waited for.
fn is_running(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

#[test]
fn ctrl_c_stops_cleanly_and_a_folder_takes_one_sweep_at_a_time() {
    let place = Place::new();
    let child = stuck(&place, "run");
    let before = place.evidence("run");
    // A second sweep in the folder is refused and changes nothing.
    place
        .tune("sound-kernels", "run", &[])
        .refused(&[&place.path("run").display().to_string(), "in use by another tune"]);
    assert_eq!(place.evidence("run"), before);

    // A terminal sends it to the whole group. The candidate in flight has an hour: nobody waits for it.
    signal("INT", child.id());
    let done = finish(child).expect(1);
    let hint = done
        .stderr
        .lines()
        .find(|l| l.contains("go on with: smith tune"))
        .unwrap_or_else(|| panic!("no hint: {}", done.stderr));
    assert!(hint.contains(&format!("--resume {}", place.path("run").display())), "{hint}");
    assert!(hint.contains(&format!("--problem {PROBLEM}")) && !hint.contains("--run"), "{hint}");
    assert_eq!(place.evidence("run"), before, "the candidate in flight has no verdict");
    assert!(!place.path("run/tuned.toml").exists() && !place.path("run/report.html").exists());
    resume(&place, "run").expect(0);
}

#[test]
fn a_stopped_sweep_keeps_the_winners_it_had() {
    let place = Place::new();
    let spec = place.write(
        "spec.toml",
        "name = \"four\"\nbudget_s = 60\n[[problems]]\nproblem = \"m={m},n=96,k=96,dtype=f32\"\nm = [8, 200, 300, 400]\n",
    );
    let (run, overlay) = (place.path("run").display().to_string(), kernels("sound-kernels"));
    let child = place.start(&["tune", "--spec", &spec, "--device", "cpu", "--kernels", &overlay, "--run", &run]);
    let group = child.id();
    let first = || of_kind(&place.evidence("run"), "result").len() >= 2;
    wait_until("the first result", first, || signal("KILL", group));
    // What ends a service or a batch job, not a terminal's interrupt.
    signal("TERM", group);
    finish(child).expect(1);
    let tuned = std::fs::read_to_string(place.path("run/tuned.toml")).unwrap();
    assert!(tuned.contains("m=8,n=96,k=96") && !tuned.contains("m=400"), "{tuned}");
    assert!(place.path("run/report.html").exists());
}

/// A file size limit stops a write in its middle as a full disk does, wherever the test runs.
#[test]
fn a_full_disk_loses_nothing() {
    let place = Place::new();
    let (run, overlay) = (place.path("run").display().to_string(), kernels("sound-kernels"));
    let line = format!(
        "trap '' XFSZ; ulimit -f 4; exec \"$SMITH\" tune --problem {PROBLEM} --device cpu --budget 1s --kernels '{overlay}' --run '{run}'"
    );
    place.shell(&line).refused(&["evidence.jsonl", "File too large"]);
    let before = std::fs::read_to_string(place.path("run/evidence.jsonl")).unwrap();
    assert!(before.ends_with('\n'), "half a line was left: {before:?}");
    assert!(!of_kind(&place.evidence("run"), "session").is_empty());
    // With room again the same command finishes it.
    place.tune("sound-kernels", "run", &["--json"]).expect(0);
    assert!(std::fs::read_to_string(place.path("run/evidence.jsonl")).unwrap().starts_with(&before));

    // Results that cannot be printed are no success.
    if Path::new("/dev/full").exists() {
        place.shell("exec \"$SMITH\" devices --json > /dev/full").refused(&["standard output"]);
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let place = Place::new();
    // Below a regular file nobody can write, the superuser included.
    let file = place.write("file", "");
    let below = format!("{file}/run");
    place.smith(&["tune", "--problem", PROBLEM, "--device", "cpu", "--run", &below]).refused(&[&below]);
    let out = format!("{file}/report.html");
    place.tune("sound-kernels", "run", &["--json"]).expect(0);
    let run = place.path("run").display().to_string();
    place.smith(&["report", &run, "--out", &out]).refused(&[&out]);

    // The winners' table cannot be installed: that is said, and the sweep is not lost.
    let tune =
        ["tune", "--problem", PROBLEM, "--device", "cpu", "--resume", &run, "--kernels", &kernels("sound-kernels")];
    let tuned = format!("{file}/tuned");
    place.smith_with("KERNELSMITH_TUNED", &tuned, &tune).refused(&[&tuned]);
    assert_eq!(of_kind(&place.evidence("run"), "result").len(), 2);

    use std::os::unix::fs::PermissionsExt;
    let closed = place.path("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).unwrap();
    // The superuser can write here all the same.
    if std::fs::write(closed.join("probe"), "").is_err() {
        let run = closed.join("run").display().to_string();
        place.smith(&["tune", "--problem", PROBLEM, "--device", "cpu", "--run", &run]).refused(&[&run]);
    }
}
