//! Made-up runs: evidence without a measurement.

use super::Place;
use kernelsmith_kernels::{DeviceFacts, Target};
use kernelsmith_lab::evidence::*;

/// One problem's cold result: its winner's time and the samples behind it.
pub struct Figure<'a> {
    pub problem: &'a str,
    pub us: f64,
    pub candidate: &'a str,
}

/// The device that made-up runs are of, unless a test needs this machine's.
pub const DEVICE: &str = "a device";

/// Writes a run folder below `work`, made at `time` on `device`. Returns its path.
pub fn write_run(place: &Place, name: &str, time: &str, device: &str, figures: &[Figure]) -> String {
    let mut records = vec![Record::Session(session(time, device))];
    for figure in figures {
        records.extend(figure_records(figure));
    }
    let lines: Vec<String> = records.iter().map(|r| serde_json::to_string(r).unwrap() + "\n").collect();
    place.write(&format!("work/{name}/evidence.jsonl"), &lines.concat());
    name.to_string()
}

fn session(time: &str, device: &str) -> Session {
    let facts = DeviceFacts {
        target: Target::Cpu,
        name: device.to_string(),
        driver: "1".to_string(),
        toolchain: "2".to_string(),
        adapter: Default::default(),
        ..DeviceFacts::h200()
    };
    Session {
        time: time.to_string(),
        device: "cpu".to_string(),
        facts,
        command: vec!["smith".to_string(), "tune".to_string()],
        version: "0.1.0".to_string(),
        git_commit: Some("0123456789abcdef".to_string()),
        git_dirty: Some(false),
        git_branch: Some("main".to_string()),
        host: "host".to_string(),
        timer: TimerRecord::default(),
        spec: "starter".to_string(),
        budget_s: 1.0,
        seed: 1,
    }
}

fn figure_records(figure: &Figure) -> Vec<Record> {
    // Half a percent to each side, so that the run's own noise is known and small.
    let samples = |us: f64| (0..30).map(|i| us * (1.0 + 0.005 * f64::from(i % 3 - 1))).collect::<Vec<f64>>();
    let contender = |candidate: &str, role: &str, us: f64| ContenderRecord {
        candidate: candidate.to_string(),
        role: role.to_string(),
        samples_us: samples(us),
    };
    let (op, problem) = ("gemm".to_string(), figure.problem.to_string());
    let race = RaceRecord {
        op: op.clone(),
        problem: problem.clone(),
        mode: "cold".to_string(),
        contenders: vec![
            contender(figure.candidate, "candidate", figure.us),
            contender("theirs", "baseline", 12.0),
            contender("theirs", "control", 12.0),
        ],
        selection_blocks: 10,
        launches_per_sample: 1,
        sets: 2,
        set_bytes: 1,
        flushed: false,
        telemetry: TelemetryRecord::default(),
        disqualified: Vec::new(),
        error: None,
        seconds: 0.0,
    };
    let ratio = 12.0 / figure.us;
    let result = ResultRecord {
        op,
        problem,
        device: DEVICE.to_string(),
        candidate: Some(figure.candidate.to_string()),
        mode: "cold".to_string(),
        us: Some(figure.us),
        gflops: Some(1.0),
        roofline: Some(0.5),
        baseline: Some("theirs".to_string()),
        baseline_us: Some(12.0),
        ratio: Some(ratio),
        ratio_low: Some(ratio * 0.995),
        ratio_high: Some(ratio * 1.005),
        noise_low: Some(0.995),
        noise_high: Some(1.005),
        verdict: "faster".to_string(),
        gaps: Vec::new(),
        max_error_over_bound: Some(0.1),
        vendor_error: None,
        tried: 1,
        passed: 1,
        source_hash: Some("00".to_string()),
    };
    vec![Record::Race(race), Record::Result(result)]
}
