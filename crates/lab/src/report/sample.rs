//! A made-up run that looks like a real one, for the tests and for looking at the page.

use super::Run;
use crate::evidence::*;
use kernelsmith_kernels::DeviceFacts;

/// A small repeatable source of numbers from 0 to 1.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / (1u64 << 24) as f64
    }

    /// Samples around a time, the odd one far out.
    fn samples(&mut self, us: f64, count: usize) -> Vec<f64> {
        let one = |noise: &mut Self| {
            let spread = (noise.next() + noise.next() - 1.0) * 0.012;
            us * (1.0 + spread + if noise.next() > 0.97 { 0.05 } else { 0.0 })
        };
        (0..count).map(|_| one(self)).collect()
    }
}

const VARIANTS: [&str; 5] = ["sm90_ws", "sm80_pipe", "split_k", "gemv_warp", "naive"];
const EPILOGUES: [&str; 4] = ["none", "bias", "bias+gelu", "scale(0.5)+residual"];

/// A run of `problems` problems with `candidates` candidates each, raced cold and hot.
pub fn run(name: &str, problems: usize, candidates: usize) -> Run {
    let mut noise = Noise(7 + problems as u64);
    let mut records = vec![Record::Session(session(problems))];
    for i in 0..problems {
        let (m, n, k) = ([1, 8, 64, 512, 4096][i % 5], [896, 4864, 9728][i % 3], [896, 4864, 128][(i / 2) % 3]);
        let problem = format!("m={m},n={n},k={k},dtype=f16,layout=nt,epilogue={},case={i}", EPILOGUES[i % 4]);
        problem_records(&mut records, &mut noise, i, &problem, 2.0 * f64::from(m * n) * f64::from(k), candidates);
    }
    Run { name: name.to_string(), records }
}

fn session(seed: usize) -> Session {
    let facts = DeviceFacts { driver: "580.82.07".into(), toolchain: "nvrtc 13.0.88".into(), ..DeviceFacts::h200() };
    Session {
        time: "2026-03-24T10:28:17Z".into(),
        device: "cuda:0".into(),
        facts,
        command: ["smith", "tune", "gemm", "--spec", "specs/qwen2.5 decode.toml", "--budget", "60s"]
            .map(String::from)
            .to_vec(),
        version: "0.1.0".into(),
        git_commit: Some("d54951e0c1f3a9b7".into()),
        git_dirty: Some(true),
        git_branch: Some("main".into()),
        host: "h200-04".into(),
        timer: TimerRecord {
            checks: vec![(1_000, 1.02), (10_000, 10.03), (1_000_000, 1000.4)],
            empty_us: 1.87,
            clock_held: false,
        },
        spec: "qwen2.5-decode".into(),
        budget_s: 60.0,
        seed: seed as u64,
    }
}

fn problem_records(
    records: &mut Vec<Record>,
    noise: &mut Noise,
    i: usize,
    problem: &str,
    flops: f64,
    candidates: usize,
) {
    let op = "gemm".to_string();
    let gap = GapRecord {
        op: op.clone(),
        problem: problem.into(),
        variant: "sm90_fp8".into(),
        reason: "supports: dtype in ['e4m3','e5m2'] is false (dtype = f16)".into(),
    };
    records.push(Record::Gap(gap.clone()));
    let vendor_us = flops / 4e8 + 2.6;
    let failed = i % 13 == 12;
    let alone = i % 11 == 10;
    let mut best: Option<(String, f64)> = None;
    for j in 0..candidates {
        let vendor = j < 3 && !alone;
        let name = if vendor {
            format!("cublaslt[ALGO={j}]")
        } else {
            format!(
                "{}[BM={},BN={},STAGES={},SPLIT_K={}]",
                VARIANTS[j % 5],
                64 << (j % 3),
                64 << (j % 4),
                3 + j % 4,
                1 << (j % 4)
            )
        };
        let verdict = match j % 17 {
            _ if vendor => Verdict::Ok,
            _ if failed => Verdict::Wrong,
            5 => Verdict::Compile,
            9 => Verdict::Wrong,
            13 => [Verdict::Timeout, Verdict::Launch, Verdict::Implausible][i % 3],
            _ => Verdict::Ok,
        };
        let us = vendor_us * (0.9 + 1.6 * noise.next() * noise.next() + 0.03 * (i % 7) as f64);
        if verdict == Verdict::Ok && !vendor && best.as_ref().is_none_or(|(_, b)| us < *b) {
            best = Some((name.clone(), us));
        }
        records.push(Record::Candidate(CandidateRecord {
            time: "2026-03-24T10:29:00Z".into(),
            op: op.clone(),
            problem: problem.into(),
            candidate: name,
            vendor: vendor.then(|| "cuBLASLt".into()),
            verdict,
            detail: detail(verdict),
            max_error_over_bound: (verdict == Verdict::Ok).then(|| 0.05 + 0.2 * noise.next()),
            samples_us: if verdict == Verdict::Ok { noise.samples(us, 7) } else { Vec::new() },
            launches_per_sample: 20,
            source_hash: Some("5f0c9a1e".into()),
            registers: (!vendor).then_some(96 + 8 * (j % 12) as u32),
            spill_bytes: (!vendor).then_some(if j % 19 == 7 { 48 } else { 0 }),
            telemetry: telemetry(i),
            seconds: 0.7,
        }));
    }
    if let Some((candidate, _)) = &best {
        records.push(Record::Gate(GateRecord {
            op: op.clone(),
            problem: problem.into(),
            candidate: candidate.clone(),
            verdict: Verdict::Ok,
            detail: None,
            max_error_over_bound: 0.231,
            checks: 84,
            skipped: 3,
            seconds: 0.0,
        }));
    }
    for mode in ["cold", "hot"] {
        let scale = if mode == "hot" { 0.8 } else { 1.0 };
        let baseline = (!alone).then_some(vendor_us * scale);
        mode_records(
            records,
            noise,
            i,
            &gap,
            mode,
            best.as_ref().map(|(name, us)| (name.as_str(), us * scale)),
            baseline,
            flops,
            candidates,
        );
    }
}

#[expect(clippy::too_many_arguments)]
fn mode_records(
    records: &mut Vec<Record>,
    noise: &mut Noise,
    i: usize,
    gap: &GapRecord,
    mode: &str,
    best: Option<(&str, f64)>,
    baseline_us: Option<f64>,
    flops: f64,
    tried: usize,
) {
    let mut contenders = Vec::new();
    let mut add = |candidate: &str, role: &str, us: f64| {
        contenders.push(ContenderRecord {
            candidate: candidate.into(),
            role: role.into(),
            samples_us: noise.samples(us, 30),
        });
    };
    if let Some((name, us)) = best {
        add(name, "candidate", us);
        add("split_k[BM=128,BN=64,STAGES=4,SPLIT_K=8]", "candidate", us * 1.03);
    }
    if let Some(us) = baseline_us {
        add("cublaslt[ALGO=0]", "baseline", us);
        add("cublaslt[ALGO=0]", "control", us);
    }
    records.push(Record::Race(RaceRecord {
        op: gap.op.clone(),
        problem: gap.problem.clone(),
        mode: mode.into(),
        contenders,
        selection_blocks: 10,
        launches_per_sample: 20,
        sets: if mode == "cold" { 9 } else { 1 },
        set_bytes: 151_000_000,
        flushed: false,
        telemetry: telemetry(i),
        disqualified: Vec::new(),
        error: None,
        seconds: 0.0,
    }));
    let ratio = best.zip(baseline_us).map(|((_, us), baseline)| baseline / us);
    let verdict = match (best, ratio) {
        (None, _) => "failed",
        (_, None) => "alone",
        (_, Some(r)) if i % 9 == 5 && r > 1.0 => "ambiguous",
        (_, Some(r)) if r > 1.015 => "faster",
        (_, Some(r)) if r < 0.985 => "slower",
        _ => "same",
    };
    let wide = if verdict == "ambiguous" { 0.09 } else { 0.008 };
    records.push(Record::Result(ResultRecord {
        op: gap.op.clone(),
        problem: gap.problem.clone(),
        device: "NVIDIA H200".into(),
        candidate: best.map(|(name, _)| name.into()),
        mode: mode.into(),
        us: best.map(|(_, us)| us),
        gflops: best.map(|(_, us)| flops / us / 1e3),
        roofline: best.filter(|_| i % 3 != 1).map(|_| 0.4 + 0.5 * noise.next()),
        baseline: baseline_us.map(|_| "cublaslt[ALGO=0]".into()),
        baseline_us,
        ratio,
        ratio_low: ratio.map(|r| r * (1.0 - wide)),
        ratio_high: ratio.map(|r| r * (1.0 + wide)),
        noise_low: ratio.map(|_| 0.994),
        noise_high: ratio.map(|_| 1.005),
        verdict: verdict.into(),
        gaps: vec![gap.clone()],
        max_error_over_bound: best.map(|_| 0.231),
        vendor_error: baseline_us.map(|_| 0.198),
        tried,
        passed: if best.is_some() { tried - 3 * tried / 17 } else { 0 },
        source_hash: best.map(|_| "5f0c9a1e77aa01b2c3".into()),
    }));
}

fn detail(verdict: Verdict) -> Option<String> {
    let text = match verdict {
        Verdict::Compile => {
            "kernel.cu(118): error: static assertion failed: \"BM * BN accumulators exceed the register file\""
        }
        Verdict::Wrong => {
            "input family `large range`: element (17, 4031) is 3.2141 and should be 3.2188, 14.2 times its bound"
        }
        Verdict::Timeout => "no answer within 10 s; the worker was stopped",
        Verdict::Launch => "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES: too many resources requested for launch",
        Verdict::Implausible => "0.31 µs is below the floor of 1.12 µs",
        _ => return None,
    };
    Some(text.to_string())
}

fn telemetry(i: usize) -> TelemetryRecord {
    TelemetryRecord {
        clock_mhz: Some(if i % 8 == 7 { 1320.0 } else { 1965.0 }),
        clock_max_mhz: Some(1980.0),
        temperature_c: Some(47.0 + i as f64 % 9.0),
        power_w: Some(412.0),
        throttled: i % 8 == 7,
    }
}
