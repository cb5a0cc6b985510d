//! Runs over time: a baseline file, a run that is held to it, the experiment log, steps, races that
//! confirm, the commit that did it.

mod support;

use support::runs::{DEVICE, Figure, write_run};
use support::*;

const A: &str = "m=1,n=2,k=3,dtype=f32,layout=nn";
const B: &str = "m=4,n=5,k=6,dtype=f32,layout=nn";

fn run(place: &Place, name: &str, figures: &[(&str, f64)]) -> String {
    let figures: Vec<Figure> =
        figures.iter().map(|(problem, us)| Figure { problem, us: *us, candidate: "ours" }).collect();
    write_run(place, name, "2026-11-01T00:00:00Z", DEVICE, &figures)
}

fn standings(done: Done) -> Vec<(String, String, String)> {
    let text = |v: &serde_json::Value, key: &str| v[key].as_str().unwrap().to_string();
    done.json().iter().map(|r| (text(r, "problem"), text(r, "metric"), text(r, "standing"))).collect()
}

#[test]
fn a_run_is_held_to_a_baseline_file() {
    let place = Place::new();
    let before = run(&place, "runs/before", &[(A, 10.0), (B, 20.0)]);
    let made = place.smith(&["regress", &before, "--write-baseline", "base.toml", "--json"]).expect(0).json();
    assert_eq!((made[0]["metrics"].as_u64(), made[0]["baseline"].as_str()), (Some(4), Some("base.toml")));
    // It is not written over by accident.
    place.smith(&["regress", &before, "--write-baseline", "base.toml"]).refused(&["base.toml", "--force"]);
    place.smith(&["regress", &before, "--write-baseline", "base.toml", "--force"]).expect(0);

    let judge = |figures: &[(&str, f64)], code: i32| {
        let after = run(&place, "runs/after", figures);
        standings(place.smith(&["regress", &after, "--baseline", "base.toml", "--json"]).expect(code))
    };
    let row = |p: &str, metric: &str, standing: &str| (p.to_string(), metric.to_string(), standing.to_string());
    let same = [row(A, "us", "same"), row(A, "ratio", "same"), row(B, "us", "same"), row(B, "ratio", "same")];
    assert_eq!(judge(&[(A, 10.0), (B, 20.0)], 0), same);
    assert_eq!(judge(&[(A, 10.5), (B, 20.0)], 1)[..2], [row(A, "us", "regressed"), row(A, "ratio", "regressed")]);
    assert_eq!(judge(&[(A, 10.2), (B, 20.0)], 0)[..2], [row(A, "us", "warning"), row(A, "ratio", "warning")]);
    assert_eq!(judge(&[(A, 9.0), (B, 20.0)], 0)[..2], [row(A, "us", "improved"), row(A, "ratio", "improved")]);
    assert_eq!(judge(&[(A, 10.0)], 1)[2..], [row(B, "us", "missing"), row(B, "ratio", "missing")]);

    // A person edits it: another threshold, an entry that is no longer asked for.
    let text = std::fs::read_to_string(place.path("work/base.toml")).unwrap();
    let first = text.find("[[metric]]").unwrap();
    let second = first + 1 + text[first + 1..].find("[[metric]]").unwrap();
    let edited = text[..second].replace("regress = 0.025", "regress = 0.2");
    place.write("work/base.toml", &edited);
    assert_eq!(judge(&[(A, 11.0)], 0), [row(A, "us", "warning")]);

    // A run is as good as a file, and people get a table.
    let after = run(&place, "runs/after", &[(A, 10.5), (B, 20.0)]);
    let done = place.smith(&["regress", &after, "--baseline", &before]).expect(1);
    assert!(done.stdout.contains("2 regressed, 0 missing"), "{}", done.stdout);
    let rows = place.smith(&["regress", &after, "--baseline", &before, "--json"]).expect(1).json();
    has_keys(&rows[0], &["op", "problem", "mode", "metric", "direction", "expected", "found", "change"]);
    has_keys(&rows[0], &["warn", "regress", "standing"]);
}

#[test]
fn a_bad_baseline_file_is_named_by_file_and_line() {
    let place = Place::new();
    let before = run(&place, "runs/before", &[(A, 10.0)]);
    place.smith(&["regress", &before, "--write-baseline", "base.toml"]).expect(0);
    let good = std::fs::read_to_string(place.path("work/base.toml")).unwrap();
    for (from, to, needles) in [
        ("direction = \"lower\"", "direction = \"down\"", ["base.toml:", "`down`"]),
        ("value = 10.0", "value = 0.0", ["expected a number above 0", A]),
        ("value = 10.0", "value = ten", ["base.toml:", ""]),
        ("warn = ", "worn = ", ["unknown field `worn`", "warn"]),
        ("warn = 0.0125", "warn = 3.0", ["warn 3", "warn <= regress"]),
        ("format = 1", "format = 2", ["base.toml:1", "expected 1"]),
        ("a device", "another", ["its device is `another`", "`a device`"]),
    ] {
        place.write("work/bad/base.toml", &good.replacen(from, to, 1));
        place.smith(&["regress", &before, "--baseline", "bad/base.toml"]).refused(&needles);
    }
    place.smith(&["regress", &before]).refused(&["--baseline"]);
    place.smith(&["regress", &before, "--baseline", "nowhere"]).refused(&["nowhere", "No such file"]);
    place.write("work/empty/evidence.jsonl", "");
    place.smith(&["regress", "empty", "--write-baseline", "x.toml"]).refused(&["empty holds no session"]);
}

#[test]
fn the_log_keeps_what_was_done() {
    let place = Place::new();
    let done = place.smith(&["log"]).expect(0);
    assert!(done.stdout.contains("no entries yet"), "{}", done.stdout);
    let before = run(&place, "runs/before", &[(A, 10.0)]);
    let after = run(&place, "runs/after", &[(A, 11.0)]);
    place.smith(&["log", &before, "--note", "as it was"]).expect(0);
    let rows = place.smith(&["log", &after, "--baseline", &before, "--json"]).expect(0).json();
    has_keys(&rows[0], &["kind", "time", "run", "spec", "device", "commit", "branch", "dirty", "commands"]);
    has_keys(&rows[0], &["results", "baseline", "regressions", "notes"]);
    assert_eq!(rows[0]["regressions"].as_array().unwrap().len(), 2);

    let rows = place.smith(&["log", "--json"]).expect(0).json();
    assert_eq!(rows.iter().map(|r| r["run"].as_str().unwrap()).collect::<Vec<_>>(), ["before", "after"]);
    assert_eq!((rows[0]["branch"].as_str(), rows[0]["notes"].as_str()), (Some("main"), Some("as it was")));
    let done = place.smith(&["log"]).expect(0);
    assert!(done.stdout.contains("as it was") && done.stdout.contains("regressed: gemm"), "{}", done.stdout);

    // Half an entry is what a kill leaves; other damage is named and not written over.
    let path = place.path("work/runs/log.jsonl");
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    let done = place.smith(&["log", "--json"]).expect(0);
    assert!(done.stderr.contains("half an entry"), "{}", done.stderr);
    assert_eq!(done.json().len(), 1);
    std::fs::write(&path, whole.replacen("\"kind\":\"experiment\"", "\"kind\":\"rumour\"", 1)).unwrap();
    place.smith(&["log"]).refused(&["runs/log.jsonl:1:", "rumour"]);
    place.smith(&["log", &before]).refused(&["runs/log.jsonl:1:", "rumour"]);
    place.smith(&["log", "--note", "of nothing"]).refused(&["name a run folder"]);
    place.smith(&["log", "nowhere"]).refused(&["nowhere", "No such file"]);
}

#[test]
fn steps_are_shown_with_what_races_said_of_them() {
    let place = Place::new();
    for day in 1..=20 {
        let us = if day <= 10 { 10.0 } else { 11.0 } + 0.01 * f64::from(day % 3);
        let figures = [Figure { problem: A, us, candidate: "ours" }];
        write_run(&place, &format!("runs/day{day:02}"), &format!("2026-11-{day:02}T00:00:00Z"), DEVICE, &figures);
    }
    let series = |place: &Place| place.smith(&["history", "--only", "cold us", "--json"]).expect(0).json();
    let found = series(&place);
    assert_eq!(found.len(), 1);
    has_keys(&found[0], &["op", "problem", "mode", "metric", "device", "direction", "points", "changes"]);
    let change = &found[0]["changes"][0];
    has_keys(change, &["before_run", "after_run", "before", "after", "worse", "chance", "status"]);
    assert_eq!((change["before_run"].as_str(), change["after_run"].as_str()), (Some("day10"), Some("day11")));
    assert_eq!(change["status"], "suspected");
    let said = format!(
        "{{\"kind\":\"confirmation\",\"time\":\"2026-11-21T00:00:00Z\",\"device\":\"{DEVICE}\",\"metric\":\"gemm {A} cold us\",\
         \"before\":\"day09\",\"after\":\"day20\",\"call\":\"regressed\",\"change\":0.1,\"low\":0.09,\"high\":0.11,\"pairs\":20}}\n"
    );
    place.write("work/runs/log.jsonl", &said);
    assert_eq!(series(&place)[0]["changes"][0]["status"], "confirmed");
    let text = place.smith(&["history"]).expect(0).stdout;
    assert!(text.contains("worse from day11 on (confirmed)") && text.contains("(suspected)"), "{text}");
    assert!(place.smith(&["log"]).expect(0).stdout.contains("regressed (+10.0 %, 20 pairs)"));
    // The page says it too, and is of all runs.
    let done = place.smith(&["report", "--all", "--json"]).expect(0).json();
    assert_eq!((done[0]["report"].as_str(), done[0]["runs"].as_u64()), (Some("runs/report.html"), Some(20)));
    let page = std::fs::read_to_string(place.path("work/runs/report.html")).unwrap();
    assert!(page.contains(">confirmed<") && page.contains("History"));
}

/// A product with a planted slow-down: its name and the folder that holds it.
fn slowed(place: &Place) -> (impl Fn(u32) -> String + use<>, String) {
    let manifest = "[[variant]]\nname = \"slowed\"\nabout = \"planted\"\ntarget = \"cpu\"\nsource = \"slowed_tiled\"\n\
        supports = [\"m >= 4\"]\ndeterministic = true\nparams = { PERCENT = [0, 20], MC = [12], NC = [1024], KC = [1024], PACK_A = [0], THREADS = [1] }\n\
        default = { PERCENT = 0, MC = 12, NC = 1024, KC = 1024, PACK_A = 0, THREADS = 1 }\n";
    place.write("kernels/gemm/manifest.toml", manifest);
    let name = |percent: u32| format!("slowed[KC=1024,MC=12,NC=1024,PACK_A=0,PERCENT={percent},THREADS=1]");
    (name, place.path("kernels").display().to_string())
}

/// Timing decides no test: that there was a race, what it said in which form and where, does.
#[test]
fn a_race_confirms_or_says_why_there_was_none() {
    let place = Place::new();
    let devices = place.smith(&["devices", "--json"]).expect(0).json();
    let here = devices.iter().find(|d| d["device"] == "cpu").unwrap()["name"].as_str().unwrap().to_string();
    let (name, kernels) = slowed(&place);
    let made = |run: &str, us: f64, percent: u32| {
        let figures = [Figure { problem: PROBLEM, us, candidate: &name(percent) }];
        write_run(&place, run, "2026-11-01T00:00:00Z", &here, &figures)
    };
    let before = made("runs/before", 10.0, 0);
    let after = made("runs/after", 12.0, 20);
    let again = made("runs/again", 12.0, 0);
    let smith = env!("CARGO_BIN_EXE_smith");
    let ask = |run: &str, more: &[&str]| {
        let args = ["regress", run, "--baseline", &before, "--confirm", "--kernels", &kernels, "--device", "cpu"];
        place.smith(&[&args, more, &["--budget", "5s", "--json"]].concat())
    };
    // The same kernel in the same program: there is nothing to race.
    let rows = ask(&again, &[]).expect(1).json();
    assert!(rows[0]["unconfirmed"].as_str().unwrap().contains("the same kernel on both sides"), "{rows:?}");
    assert_eq!((rows[0]["standing"].as_str(), rows[0]["confirmation"].is_null()), (Some("regressed"), true));
    // Its source is not what it was, as far as the runs say.
    let rows = ask(&after, &[]).expect(1).json();
    assert!(rows[0]["unconfirmed"].as_str().unwrap().contains("--before PROGRAM"), "{rows:?}");
    assert!(!place.path("work/runs/log.jsonl").exists());
    // Another program: both are raced.
    let done = ask(&after, &["--before", smith]);
    let rows = done.json();
    let confirmation = &rows[0]["confirmation"];
    has_keys(confirmation, &["call", "change", "low", "high", "pairs"]);
    let call = confirmation["call"].as_str().unwrap();
    assert!(["regressed", "warning", "same", "improved", "unclear"].contains(&call), "{call}");
    assert_eq!(rows[0]["confirmation"], rows[1]["confirmation"], "one race for both numbers");
    let log = place.smith(&["log", "--json"]).expect(0).json();
    assert_eq!(log.len(), 2);
    assert_eq!((log[0]["kind"].as_str(), log[0]["before"].as_str()), (Some("confirmation"), Some("before")));
    // What cannot be: another device's file, a program that is none.
    let elsewhere = run(&place, "runs/elsewhere", &[(PROBLEM, 5.0)]);
    let slow = run(&place, "runs/slow", &[(PROBLEM, 9.0)]);
    place
        .smith(&["regress", &slow, "--baseline", &elsewhere, "--confirm", "--device", "cpu"])
        .refused(&[DEVICE, &here]);
    ask(&after, &["--before", "/nowhere/smith"]).refused(&["/nowhere/smith"]);
}

#[test]
fn bisect_names_the_commit() {
    let place = Place::new();
    let git = "git -c user.name=a -c user.email=a@b -c commit.gpgsign=false";
    let commits = format!(
        "git init -q -b main . && for i in 1 2 3 4 5 6; do echo $((i < 4 ? 100 : 110)) >time; {git} add time; {git} commit -qm \"number $i\" --allow-empty; done"
    );
    place.shell(&commits).expect(0);
    let args = ["bisect", "main~5", "main", "--build", "cp time built", "--measure", "cat built", "--metric", "number"];
    let rows = place.smith(&[&args, &["--json", "--log", "log.jsonl"][..]].concat()).expect(0).json();
    let last = rows.last().unwrap();
    assert_eq!((last["kind"].as_str(), last["commits"].as_array().unwrap().len()), (Some("culprit"), 1));
    assert_eq!(last["commits"][0]["subject"], "number 4");
    for row in &rows[..rows.len() - 1] {
        has_keys(row, &["kind", "commit", "subject", "finding", "change", "reason"]);
    }
    assert_eq!(place.smith(&["log", "--log", "log.jsonl", "--json"]).expect(0).json()[0]["kind"], "culprit");
    let done = place.smith(&args).expect(0);
    assert!(done.stdout.contains("the first that is worse") && done.stdout.contains("number 4"), "{}", done.stdout);
    // A run names the commit of its program.
    let run = run(&place, "runs/before", &[(A, 10.0)]);
    let done = place.smith(&["bisect", &run, "main", "--measure", "cat time"]);
    done.refused(&["`0123456789abcdef` names no commit"]);
    let same = ["bisect", "main~5", "main~4", "--measure", "cat time", "--metric", "number"];
    let done = place.smith(&same).expect(1);
    assert!(done.stderr.contains("is not worse than"), "{}", done.stderr);
    place.smith(&["bisect", "nothing", "main", "--measure", "true"]).refused(&["`nothing` names no commit"]);
    place.smith(&["bisect", "main~5", "main", "--measure", "false"]).refused(&["cannot be measured", "`false`"]);
    place
        .smith(&["bisect", "main~5", "main", "--measure", "true", "--threshold", "0"])
        .refused(&["`0` is not a share"]);
}

#[test]
fn an_audit_says_how_far_dispatch_is_from_the_best() {
    let place = Place::new();
    let spec = place.write(
        "spec.toml",
        "name = \"two\"\nbudget_s = 2\n[[problems]]\nproblem = \"m={m},n=40,k=57,dtype=f32\"\nm = [33, 34]\n",
    );
    let kernels = kernels("sound-kernels");
    let run = place.path("audit").display().to_string();
    // One problem is tuned, so the table holds it; the other has what is near.
    place.tune("sound-kernels", "run", &["--json"]).expect(0);
    let args = ["audit", "gemm", "--spec", &spec, "--device", "cpu", "--kernels", &kernels, "--run", &run];
    let rows = place.smith(&[&args, &["--json"][..]].concat()).expect(0).json();
    assert_eq!(
        rows.iter().map(|r| r["kind"].as_str().unwrap()).collect::<Vec<_>>(),
        ["audit", "audit", "audit_summary"]
    );
    has_keys(&rows[0], &["op", "problem", "device", "mode", "tuned", "pick", "why", "pick_us", "best", "best_us"]);
    has_keys(&rows[0], &["regret", "regret_low", "regret_high", "tried", "error"]);
    assert_eq!((rows[0]["tuned"].as_bool(), rows[1]["tuned"].as_bool()), (Some(true), Some(false)));
    assert!(rows[1]["why"].as_str().unwrap().contains("tuned for"), "{}", rows[1]);
    has_keys(&rows[2], &["problems", "tuned", "regret", "regret_tuned", "regret_untuned", "run"]);
    // It is kept: asking again measures nothing, and the page shows it.
    let before = of_kind(&place.evidence("audit"), "race").len();
    let done = place.smith(&args).expect(0);
    assert!(done.stdout.contains("geometric mean of the regret"), "{}", done.stdout);
    assert_eq!(of_kind(&place.evidence("audit"), "race").len(), before);
    assert!(std::fs::read_to_string(place.path("audit/report.html")).unwrap().contains("never tuned"));
    // A pick that is wrong has no regret, and says so.
    std::fs::remove_dir_all(place.path("tuned")).unwrap();
    let run = place.path("other").display().to_string();
    let args = ["audit", "gemm", "--spec", &spec, "--device", "cpu", "--kernels", &kernels, "--run", &run, "--json"];
    let rows = place.smith(&args).expect(1).json();
    assert!(rows[0]["error"].as_str().unwrap().contains("failed the gate"), "{}", rows[0]);
    place.smith(&["audit", "conv", "--spec", &spec]).refused(&["unknown op `conv`"]);
    place.smith(&["audit", "gemm", "--spec", "nowhere"]).refused(&["nowhere", "starter.toml"]);
    place.smith(&["audit", "map", "--spec", &spec, "--device", "cpu"]).refused(&["no problems of map"]);
}

#[test]
fn a_live_page_is_served_while_a_sweep_runs() {
    use std::io::{BufRead, BufReader, Read, Write};
    let place = Place::new();
    let kernels = kernels("sound-kernels");
    let run = place.path("run").display().to_string();
    let args =
        ["tune", "--problem", PROBLEM, "--device", "cpu", "--kernels", &kernels, "--budget", "3s", "--run", &run];
    // On a machine that is busy with other work the timer may rightly not trust itself.
    let mut started = (0..10).find_map(|_| {
        let mut child = place.start(&[&args, &["--live"][..]].concat());
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let url = lines.find_map(|l| l.strip_prefix("live report: ").map(str::to_string));
        match url {
            Some(url) => Some((child, lines, url)),
            None => {
                finish(child);
                None
            }
        }
    });
    let (child, lines, url) = started.take().expect("an address");
    let address = url.strip_prefix("http://").unwrap().trim_end_matches('/').to_string();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("data-live"), "{page}");
    // Its port is taken: another sweep says so before it leaves anything.
    let port = address.rsplit(':').next().unwrap();
    let args = ["tune", "--problem", PROBLEM, "--device", "cpu", "--no-install", &format!("--live={port}")];
    place.smith(&args).refused(&[port, "is in use"]);
    assert!(!place.path("work/runs").exists());
    drop(lines);
    finish(child);
    place.smith(&["tune", "--live=many"]).refused(&["--live", "many"]);
}

#[test]
fn sensitivity_races_a_planted_slow_down() {
    let place = Place::new();
    let args = ["sensitivity", "--problem", "m=33,n=40,k=57,dtype=f32", "--trials", "1", "--budget", "1s"];
    let rows = place.smith(&[&args, &["--json"][..]].concat()).expect(0).json();
    assert_eq!(rows.iter().map(|r| r["kind"].as_str().unwrap()).collect::<Vec<_>>(), ["trial", "trial", "sensitivity"]);
    has_keys(&rows[0], &["planted", "call", "change", "pairs", "seconds"]);
    has_keys(&rows[2], &["problem", "trials", "slowdown", "false_alarms", "found", "unclear"]);
    place.smith(&["sensitivity", "--problem", "m=1,n=40,k=57,dtype=f32"]).refused(&["m=1", "m >= 4"]);
    place.smith(&["sensitivity", "--slowdown", "0"]).refused(&["--slowdown", "0"]);
}
