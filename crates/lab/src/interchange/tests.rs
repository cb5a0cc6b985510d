//! Round trips, and files that are not what they should be.

use super::*;
use crate::evidence::{Record, Verdict};
use proptest::prelude::*;
use serde_json::json;

const CACHEFILE: &str = r#"{"device_name": "NVIDIA A100", "kernel_name": "k", "problem_size": [64, 64],
"tune_params_keys": ["bx", "pad", "kind"], "tune_params": {"bx": [16, 32], "pad": [0, 1], "kind": ["row", "col"]},
"objective": "time", "cache": {
"16,0,row": {"bx": 16, "pad": 0, "kind": "row", "time": 2.5, "times": [2.4, 2.6], "compile_time": 100.5, "timestamp": "2024-01-01T00:00:00"},
"32,1,col": {"bx": 32, "pad": 1, "kind": "col", "time": "CompilationFailedConfig", "times": []},
"32,0,col": {"bx": 32, "pad": 0, "kind": "col", "time": 1.25, "__error__": "RuntimeFailedConfig"}}}"#;

const T4: &str = r#"{"metadata": {"timeunit": "miliseconds"}, "schema_version": "1.0.0", "results": [
{"configuration": {"z": 16, "a": true}, "times": {"compilation": 892.0, "runtimes": [5.0, 7.0]}, "invalidity": "correct", "correctness": 1, "measurements": [{"name": "time", "value": 6.0, "unit": ""}], "objectives": ["time"]},
{"configuration": {"z": 32, "a": false}, "times": {"compilation_time": 8.0, "runtimes": []}, "invalidity": "correct", "correctness": 0, "measurements": [{"name": "time", "value": 0.1, "unit": "us"}], "objectives": ["time"]},
{"configuration": {"z": 64, "a": false}, "times": {}, "invalidity": "timeout", "correctness": 0, "measurements": []}]}"#;

fn path() -> &'static Path {
    Path::new("folder/some.json")
}

#[test]
fn a_cachefile_is_read() {
    let r = parse(path(), CACHEFILE.as_bytes()).unwrap();
    assert_eq!((r.device.as_str(), r.kernel.as_str(), r.trials.len()), ("NVIDIA A100", "k", 3));
    assert_eq!(r.trials[0].outcome, Ok(2.5));
    assert_eq!((r.trials[0].samples.as_slice(), r.trials[0].compile), (&[2.4, 2.6][..], 100.5));
    assert_eq!(r.trials[1].outcome, Err(Failure::Compile));
    assert_eq!(r.trials[2].outcome, Err(Failure::Runtime), "an error beside a time is an error");
    let (space, outcomes) = r.space().unwrap();
    assert_eq!((space.len(), outcomes.len()), (3, 3));
    assert!(space.parameters()[2].names && !space.parameters()[0].names);
}

#[test]
fn a_cachefile_left_open_is_closed() {
    let open = CACHEFILE.strip_suffix("}}").unwrap();
    for text in [format!("{open},"), open.to_string(), format!("{open},\n")] {
        assert_eq!(parse(path(), text.as_bytes()).unwrap().trials.len(), 3);
    }
}

#[test]
fn t4_is_read_with_its_quirks() {
    let r = parse(path(), T4.as_bytes()).unwrap();
    assert_eq!(r.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["z", "a"]);
    assert_eq!((r.trials[0].outcome, r.trials[0].compile, r.trials[1].compile), (Ok(6.0), 892.0, 8.0));
    assert_eq!(r.trials[1].outcome, Err(Failure::Correctness), "what is not right has no time");
    assert_eq!(r.trials[2].outcome, Err(Failure::Timeout));
    assert_eq!((r.device.as_str(), r.kernel.as_str()), ("some", "some"), "named after the file");
}

#[test]
fn files_come_back_as_they_were_written() {
    let mut r = parse(path(), CACHEFILE.as_bytes()).unwrap();
    assert_eq!(parse(path(), cachefile::write(&r).as_bytes()).unwrap(), r);
    // What a cachefile's errors cannot say, T4's can.
    r.trials[1].outcome = Err(Failure::Correctness);
    r.trials[1].verdict = Some("wrong".into());
    r.trials[0].error_over_bound = Some(0.25);
    assert_eq!(parse(path(), t4::write(&r).as_bytes()).unwrap(), r);
}

#[test]
fn a_run_comes_back_as_it_was() {
    let run = crate::evidence::read(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runs/2026-11-21T1133-nvidia-h200-seeds").as_path(),
    )
    .unwrap();
    let recordings = run::recordings(&run.records);
    assert!(recordings.len() > 77, "a recording for each problem and variant: {}", recordings.len());
    let screened: std::collections::HashSet<(&str, &str)> = run
        .records
        .iter()
        .filter_map(|r| match r {
            Record::Candidate(c) => Some((c.problem.as_str(), c.candidate.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(recordings.iter().map(|r| r.trials.len()).sum::<usize>(), screened.len());
    let last = |problem: &str, candidate: &str| {
        run.records.iter().rev().find_map(|r| match r {
            Record::Candidate(c) if c.problem == problem && c.candidate == candidate => Some(c),
            _ => None,
        })
    };
    for recording in recordings.iter().step_by(7) {
        for text in [cachefile::write(recording), t4::write(recording)] {
            let again = parse(path(), text.as_bytes()).unwrap();
            // A JSON reader may be off by the last bit of a number.
            assert_eq!(
                (&again.kernel, &again.problem, &again.columns),
                (&recording.kernel, &recording.problem, &recording.columns)
            );
            assert_eq!(again.trials.len(), recording.trials.len());
            for record in run::records(&again).unwrap() {
                let Record::Candidate(c) = record else { panic!("{record:?}") };
                let before = last(&c.problem, &c.candidate).unwrap();
                assert_eq!(
                    (&c.op, c.verdict, c.max_error_over_bound),
                    (&before.op, before.verdict, before.max_error_over_bound)
                );
                assert_eq!(c.samples_us.len(), before.samples_us.len());
                assert!(c.samples_us.iter().zip(&before.samples_us).all(|(a, b)| (a / b - 1.0).abs() < 1e-12));
            }
        }
    }
}

#[test]
fn a_foreign_recording_says_that_no_gate_saw_it() {
    let r = parse(path(), T4.as_bytes()).unwrap();
    let records = run::records(&r).unwrap();
    let Record::Candidate(first) = &records[0] else { panic!() };
    assert_eq!(
        (first.op.as_str(), first.candidate.as_str(), first.verdict),
        (run::EXTERNAL, "some[a=1,z=16]", Verdict::Ok)
    );
    assert!(first.detail.as_ref().unwrap().contains("not put through the gate"));
    assert_eq!(first.samples_us, [5000.0, 7000.0]);
    let names = parse(path(), CACHEFILE.as_bytes()).unwrap();
    let error = run::records(&names).unwrap_err().to_string();
    assert!(error.contains("`kind` is \"row\"") && error.contains("whole numbers"), "{error}");
}

#[test]
fn a_space_is_written_with_what_its_conditions_leave() {
    let r = parse(path(), CACHEFILE.as_bytes()).unwrap();
    let text = t1::write(&r);
    let t1 = t1::parse(path(), text.as_bytes()).unwrap();
    assert_eq!(t1.columns, r.columns);
    assert_eq!(t1.conditions, ["(bx, pad, kind) in [(16, 0, \"row\"), (32, 1, \"col\"), (32, 0, \"col\")]"]);
    let whole = t1::T1 { columns: r.columns[..2].to_vec(), ..t1.clone() };
    let manifest = whole.manifest().unwrap();
    let parsed = kernelsmith_kernels::manifest::parse("gemm", "m", &manifest, &|_| Some(String::new()));
    assert!(parsed.is_err() || parsed.unwrap().len() == 1, "{manifest}");
    assert!(manifest.contains("bx = [16, 32]") && manifest.contains("# a condition in Python"), "{manifest}");
    assert!(t1.manifest().unwrap_err().contains("`kind`"));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (text, from, to, needles) in [
        (CACHEFILE, "\"time\": 2.5", "\"time\": -1", &["entry `16,0,row`, `time`", "above 0", "-1"][..]),
        (CACHEFILE, "\"time\": 2.5, ", "", &["entry `16,0,row`, `time`", "found none"]),
        (CACHEFILE, "\"bx\": 16, ", "", &["entry `16,0,row`, `bx`", "found none"]),
        (CACHEFILE, "\"bx\": 16, ", "\"bx\": {}, ", &["entry `16,0,row`, `bx`", "a number or a name", "{}"]),
        (CACHEFILE, "[\"bx\"", "[7", &["tune_params_keys", "7"]),
        (CACHEFILE, "[\"bx\", \"pad\"", "[\"bx\", \"bx\"", &["tune_params_keys", "each once"]),
        (CACHEFILE, "\"objective\": \"time\"", "\"objective\": \"GFLOP/s\"", &["objective", "GFLOP/s"]),
        (CACHEFILE, "\"cache\": {", "\"cache\": 3, \"x\": {", &["some.json:3:", "entry a config"]),
        (CACHEFILE, "\"cache\"", "\"cash\"", &["cache", "found none"]),
        (CACHEFILE, "[16, 32]", "[16, 32", &["some.json:2:"]),
        (
            T4,
            "\"invalidity\": \"timeout\"",
            "\"invalidity\": \"tired\"",
            &["results[2].invalidity", "timeout", "tired"],
        ),
        (T4, "\"value\": 6.0", "\"value\": \"fast\"", &["results[0].measurements", "fast"]),
        (T4, "miliseconds", "fortnights", &["metadata.timeunit", "fortnights"]),
        (T4, "{\"z\": 32, ", "{", &["results[1]", "z", "none"]),
        (T4, "\"configuration\": {\"z\": 64, \"a\": false}", "\"q\": 1", &["results[2].configuration", "none"]),
    ] {
        assert!(text.contains(from), "{from}");
        let error = parse(path(), text.replacen(from, to, 1).as_bytes()).unwrap_err().to_string();
        assert!(error.contains("some.json"), "{error}");
        for needle in needles {
            assert!(error.contains(needle), "no `{needle}` in: {error}");
        }
    }
    for (text, needle) in [
        ("{}", "TuningParameters"),
        (r#"{"ConfigurationSpace":{"TuningParameters":[{"Name":"a","Type":"int","Values":"[1, x]"}]}}"#, "[0].Values"),
        (r#"{"ConfigurationSpace":{"TuningParameters":[],"Conditions":3}}"#, "Conditions"),
    ] {
        let error = t1::parse(path(), text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(needle), "{error}");
    }
    assert!(read(Path::new("nowhere.json")).unwrap_err().to_string().contains("nowhere.json"));
}

proptest! {
    #[test]
    fn mangled_files_never_panic(which in 0usize..3, at in 0usize..900, byte in any::<u8>(), cut in 0usize..900, twice in any::<bool>()) {
        let t1 = t1::write(&parse(path(), CACHEFILE.as_bytes()).unwrap());
        let mut bytes = [CACHEFILE, T4, &t1][which].as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        if twice {
            let piece = bytes[at / 2..at].to_vec();
            bytes.splice(at..at, piece);
        }
        bytes.truncate(bytes.len().max(cut) - cut.min(bytes.len() / 2));
        if let Ok(r) = parse(path(), &bytes) {
            let _ = (r.space(), run::records(&r), cachefile::write(&r), t4::write(&r), t1::write(&r));
        }
        if let Ok(space) = t1::parse(path(), &bytes) {
            let _ = space.manifest();
        }
    }

    #[test]
    fn any_json_is_taken_or_refused(depth in 0usize..3, x in any::<f64>(), text in ".{0,12}") {
        let mut value = json!({"time": x, "configuration": text, "a": [text, x]});
        for key in ["cache", "results", "tune_params"].iter().take(depth + 1) {
            value = json!({*key: value, "tune_params_keys": ["time"], "objective": "time"});
        }
        let _ = parse(path(), value.to_string().as_bytes());
        let _ = t1::parse(path(), value.to_string().as_bytes());
    }
}
