//! Planted faults: each gets its verdict, and the sweep goes on.

mod support;

use serde_json::Value;
use support::*;

/// Each fault with its verdict, words of its detail, and where a sweep finds it: the short gate that
/// every candidate goes through, or the full gate, which has more input families and edge cases.
const FAULTS: &[(&str, &str, &str, Stage)] = &[
    ("writes_nothing", "wrong", "Normal inputs", Stage::Screen),
    ("skips_k_tail", "wrong", "Normal inputs", Stage::Screen),
    ("returns_zeros", "wrong", "is 0e0", Stage::Screen),
    ("hangs", "timeout", "no answer within", Stage::Screen),
    ("crashes", "launch", "the worker died: signal: 6", Stage::Screen),
    ("panics", "launch", "it panicked: planted", Stage::Screen),
    ("changes_input", "wrong", "changed its input `a`", Stage::Screen),
    // A guard page stands behind the operands of some edge cases only.
    ("reads_out_of_bounds", "launch", "the worker died: signal: 11", Stage::Gate),
    ("needs_poison", "wrong", "the output held zeros before", Stage::Screen),
    // On most sizes its stray write falls inside the output: m = 1 has no next row.
    ("writes_outside", "wrong", "wrote past the end of `d`", Stage::Gate),
    ("differs_each_run", "nondeterministic", "two runs on the same inputs differ", Stage::Screen),
    ("swallows_nan", "wrong", "Special inputs", Stage::Gate),
    ("partial_write", "wrong", "33 of 1320 checks fail", Stage::Screen),
    ("half_accumulation", "wrong", "checks fail", Stage::Screen),
    // Which stage sees it depends on whether the second set of inputs lands on the first's address.
    ("caches_result", "wrong", "", Stage::Either),
];

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Screen,
    Gate,
    Either,
}

fn verdict<'a>(records: &'a [Value], kind: &str, candidate: &str) -> Option<&'a Value> {
    of_kind(records, kind).into_iter().rfind(|r| r["candidate"] == candidate)
}

#[test]
fn a_sweep_gives_each_fault_its_verdict_and_goes_on() {
    let place = Place::new();
    let done = place.tune("faulty-kernels", "run", &["--json", "--limit", "5s"]).expect(0);
    let records = place.evidence("run");
    for (name, expected, detail, stage) in FAULTS {
        let candidate = format!("fault_{name}");
        let screened = verdict(&records, "candidate", &candidate).unwrap_or_else(|| panic!("{name} was not screened"));
        let gated = verdict(&records, "gate", &candidate);
        let found = match gated {
            Some(gated) if screened["verdict"] == "ok" => {
                assert!(*stage != Stage::Screen, "the short gate let {name} pass: {gated}");
                gated
            }
            _ => {
                assert!(*stage != Stage::Gate, "{name}: {screened}");
                screened
            }
        };
        assert_eq!(found["verdict"], *expected, "{found}");
        assert!(found["detail"].as_str().unwrap().contains(detail), "{found}");
        assert_eq!(of_kind(&records, "candidate").iter().filter(|r| r["candidate"] == candidate.as_str()).count(), 1);
    }
    // Sound kernels that came after the hang, the crash and the spoiled inputs were measured.
    for sound in ["sound", "gemm_crate[THREADS=1]"] {
        let screened = verdict(&records, "candidate", sound).unwrap();
        assert_eq!(screened["verdict"], "ok", "{screened}");
        assert!(!screened["samples_us"].as_array().unwrap().is_empty());
    }
    assert_eq!(verdict(&records, "gate", "sound").unwrap()["verdict"], "ok");
    // And only those raced.
    for race in of_kind(&records, "race") {
        for contender in race["contenders"].as_array().unwrap() {
            let name = contender["candidate"].as_str().unwrap();
            assert!(!name.starts_with("fault_"), "{name} raced");
        }
    }
    let results = done.json();
    assert_eq!(results.len(), 2, "one a mode");
    for result in results {
        let winner = result["candidate"].as_str().unwrap();
        assert!(["sound", "gemm_crate[THREADS=1]"].contains(&winner), "{winner}");
        assert_eq!(result["baseline"], "gemm_crate[THREADS=1]");
        assert_eq!(result["tried"].as_u64(), Some(FAULTS.len() as u64 + 2));
    }
}

#[test]
fn check_names_each_fault() {
    let place = Place::new();
    let overlay = kernels("faulty-kernels");
    let check = |name: &str, limit: &str| {
        let args = ["check", "gemm", "--problem", PROBLEM, "--device", "cpu", "--json", "--kernels", &overlay];
        place.smith(&[&args[..], &["--candidate", name, "--limit", limit]].concat())
    };
    for (name, expected, detail, _) in FAULTS {
        // Only the hang waits for its limit; the others must have time on a busy machine.
        let limit = if *name == "hangs" { "2s" } else { "60s" };
        let lines = check(&format!("fault_{name}"), limit).expect(1).json();
        assert_eq!(lines.len(), 1, "{name}");
        assert_eq!(lines[0]["verdict"], *expected, "{}", lines[0]);
        assert!(lines[0]["detail"].as_str().unwrap().contains(detail), "{}", lines[0]);
        // The vendor's error is known although the candidate failed, or ended the worker.
        assert!(lines[0]["vendor_error"].is_number(), "{}", lines[0]);
    }
    let lines = check("sound", "60s").expect(0).json();
    has_keys(&lines[0], &["candidate", "problem", "verdict", "max_error_over_bound", "vendor_error"]);
    assert_eq!(lines[0]["verdict"], "ok");
    let error = lines[0]["max_error_over_bound"].as_f64().unwrap();
    assert!(error > 0.0 && error <= 1.0, "{error}");
}

#[test]
fn check_names_the_faults_of_other_ops() {
    let place = Place::new();
    let overlay = kernels("faulty-kernels");
    for (op, problem, fault, detail) in [
        ("map", "shape=4000,expr=mul(x0,2.0),x0=f32,out=f32", "map_swallows_nan", "Special inputs"),
        ("reduce", "kind=sum,outer=30,inner=200,x0=f32,out=f32", "reduce_skips_tail", "Normal inputs: 30 of 30"),
        (
            "scatter_add",
            "shape=90x40,axis=0,size=7,x=f32,index=i32@0:1:0,out=f32",
            "scatter_overwrites",
            "Normal inputs",
        ),
    ] {
        let candidate = format!("fault_{fault}");
        let args = ["check", op, "--problem", problem, "--device", "cpu", "--json"];
        let faulty = [&args[..], &["--kernels", &overlay, "--candidate", &candidate]].concat();
        let lines = place.smith(&faulty).expect(1).json();
        assert_eq!(lines[0]["verdict"], "wrong", "{}", lines[0]);
        assert!(lines[0]["detail"].as_str().unwrap().contains(detail), "{}", lines[0]);
        let sound = place.smith(&args).expect(0).json();
        assert!(sound.iter().all(|l| l["verdict"] == "ok") && !sound.is_empty(), "{sound:?}");
        // The short gate has no edge cases, and sees what shows on the problem itself.
        let brief = place.smith(&[&args[..], &["--brief"]].concat()).expect(0).json();
        for (short, full) in brief.iter().zip(&sound) {
            assert!(short["checks"].as_u64() < full["checks"].as_u64(), "{short} {full}");
        }
        let seen = fault != "map_swallows_nan";
        place.smith(&[&faulty[..], &["--brief"]].concat()).expect(i32::from(seen));
    }
}

#[test]
fn bench_times_nothing_that_fails_the_gate() {
    let place = Place::new();
    let overlay = kernels("faulty-kernels");
    let args = ["bench", "gemm", "--problem", PROBLEM, "--device", "cpu", "--kernels", &overlay, "--json"];
    let done = place.smith(&[&args[..], &["--candidate", "fault_swallows_nan"]].concat()).expect(1);
    assert_eq!(done.stdout, "");
    assert!(done.stderr.contains("fault_swallows_nan failed the gate: wrong"), "{}", done.stderr);
}

/// A problem that no kernel gets right has no winner: that is a failed check, said in the results.
#[test]
fn a_sweep_without_a_sound_kernel_has_no_winner() {
    let place = Place::new();
    let zeros = "[[variant]]\nname = \"NAME\"\nabout = \"zeros\"\ntarget = \"cpu\"\nsource = \"fault_returns_zeros\"\n";
    let built_in = built_in();
    let manifest: String = built_in.iter().map(|n| zeros.replace("NAME", n)).collect();
    place.write("kernels/gemm/manifest.toml", &manifest);
    let kernels = place.path("kernels").display().to_string();
    let run = place.path("run").display().to_string();
    let args = [
        "tune",
        "--problem",
        PROBLEM,
        "--device",
        "cpu",
        "--budget",
        "1s",
        "--json",
        "--kernels",
        &kernels,
        "--run",
        &run,
    ];
    let results = place.smith(&args).expect(1).json();
    assert_eq!(results.len(), 2);
    for result in results {
        assert!(result["candidate"].is_null() && result["us"].is_null(), "{result}");
        assert_eq!(result["verdict"], "failed");
        assert_eq!((result["tried"].as_u64(), result["passed"].as_u64()), (Some(built_in.len() as u64), Some(0)));
    }
    let tuned = std::fs::read_to_string(place.path("run/tuned.toml")).unwrap();
    assert!(!tuned.contains("candidate"), "{tuned}");
}
