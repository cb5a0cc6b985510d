//! The gate's own test, end to end: faults in real kernels, each found; attacks on the timer, each named.

mod support;

use support::*;

#[test]
fn every_fault_of_products_is_found_and_every_attack_named() {
    let place = Place::new();
    let lines = place.smith(&["gate-test", "gemm", "--device", "cpu", "--json", "--clean", "60"]).expect(0).json();
    assert_eq!(lines.len(), 1);
    let report = &lines[0];
    has_keys(report, &["injected", "killed", "survivors", "tallies", "attacks", "clean", "false_alarms", "untested"]);
    let count = |key: &str| report[key].as_u64().unwrap();
    assert!(count("injected") > 100, "{}", count("injected"));
    assert_eq!(count("injected"), count("killed"));
    for empty in ["survivors", "untested", "false_alarms"] {
        assert!(report[empty].as_array().unwrap().is_empty(), "{}", report[empty]);
    }
    let attacks = report["attacks"].as_array().unwrap();
    assert!(attacks.len() >= 8);
    for attack in attacks {
        assert_eq!(attack["named"], true, "{attack}");
    }
    assert_eq!(report["clean"]["problems"], 60);
    assert!(report["clean"]["alarms"].as_array().unwrap().is_empty(), "{}", report["clean"]);
    // By op, kernel and class, and the sums agree.
    let sum: u64 = report["tallies"].as_array().unwrap().iter().map(|t| t["killed"].as_u64().unwrap()).sum();
    assert_eq!(sum, count("killed"));
}

#[test]
fn an_unknown_op_is_bad_usage() {
    let place = Place::new();
    place.smith(&["gate-test", "conv9d", "--device", "cpu"]).refused(&["unknown op `conv9d`", "gemm"]);
}
