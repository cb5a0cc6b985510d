//! Runs over time: a baseline file, a run that is held to it, the experiment log.

mod support;

use support::runs::{Figure, write_run};
use support::*;

const A: &str = "m=1,n=2,k=3,dtype=f32,layout=nn";
const B: &str = "m=4,n=5,k=6,dtype=f32,layout=nn";

fn run(place: &Place, name: &str, figures: &[(&str, f64)]) -> String {
    let figures: Vec<Figure> = figures.iter().map(|(problem, us)| Figure { problem, us: *us }).collect();
    write_run(place, name, "2026-11-01T00:00:00Z", &figures)
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
