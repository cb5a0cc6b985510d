//! How often the paired rule cries wolf, and how surely it finds a slow-down, on the A/A pairs that
//! the committed runs recorded: every race has its first baseline run twice in each block.
//!
//! The same seeds give the same figures. `smith sensitivity` is the real thing on a device.

use kernelsmith_core::inputs::hash;
use kernelsmith_lab::evidence::{self, Record};
use kernelsmith_lab::history::paired::{Call, Judged, Rules, is_enough, judge};
use std::path::{Path, PathBuf};

/// A race's pairs: ln(control / baseline), block by block.
struct Recorded {
    cpu: bool,
    pairs: Vec<f64>,
}

fn recorded() -> Vec<Recorded> {
    let runs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runs");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(runs).unwrap().map(|e| e.unwrap().path()).collect();
    folders.sort();
    let mut out = Vec::new();
    let has_evidence = |f: &&PathBuf| f.join("evidence.jsonl").exists() || f.join("evidence.jsonl.gz").exists();
    for folder in folders.iter().filter(has_evidence) {
        let records = evidence::read(folder).unwrap().records;
        let cpu = records.iter().any(|r| matches!(r, Record::Session(s) if s.device == "cpu"));
        for record in &records {
            let Record::Race(race) = record else { continue };
            let Some(control) = race.contenders.iter().find(|c| c.role == "control") else { continue };
            let twin = |c: &&evidence::ContenderRecord| c.role != "control" && c.candidate == control.candidate;
            let Some(baseline) = race.contenders.iter().find(twin) else { continue };
            let pairs: Vec<f64> =
                control.samples_us.iter().zip(&baseline.samples_us).map(|(c, b)| (c / b).ln()).collect();
            if !pairs.is_empty() {
                out.push(Recorded { cpu, pairs });
            }
        }
    }
    out
}

/// A long series like a recorded one: stretches of four neighbouring pairs, drawn at random, so that
/// what lasts longer than a block stays together. Which of two equal sides came first is a toss of a
/// coin in each block, so each pair may be turned: then there is surely no difference in it.
struct Endless<'a> {
    pairs: &'a [f64],
    seed: u64,
}

impl Endless<'_> {
    fn at(&self, i: usize) -> f64 {
        const STRETCH: usize = 4;
        let start = hash(self.seed, (i / STRETCH) as u64) as usize % self.pairs.len();
        let turned = hash(self.seed ^ 0x7124, i as u64).is_multiple_of(2);
        let pair = self.pairs[(start + i % STRETCH) % self.pairs.len()];
        if turned { -pair } else { pair }
    }

    /// As `confirm` does it: pairs are added until they are enough.
    fn judge(&self, slowdown: f64, rules: &Rules) -> Judged {
        let mut pairs = Vec::new();
        while !is_enough(&pairs, rules) {
            pairs.extend((pairs.len()..pairs.len() + 10).map(|i| self.at(i) + slowdown.ln_1p()));
        }
        judge(&pairs, rules)
    }
}

#[test]
fn recorded_pairs_of_equal_sides_are_rarely_called_different() {
    let recorded = recorded();
    for (name, cpu) in [("CPU", true), ("GPU", false)] {
        let (mut alarms, mut trials) = (0, 0);
        for r in recorded.iter().filter(|r| r.cpu == cpu) {
            // Either side may be taken for the one before.
            let call = judge(&r.pairs, &Rules::default()).call;
            alarms += usize::from(matches!(call, Call::Regressed | Call::Improved));
            trials += 2;
        }
        let rate = alarms as f64 / trials as f64;
        println!("{name}: {alarms} false alarms in {trials} trials of recorded A/A pairs ({:.2} %)", rate * 100.0);
        assert!(trials > 100 && rate < 0.01, "{name}: {alarms} of {trials}");
    }
}

#[test]
fn five_percent_is_found_and_nothing_is_not() {
    const ROUNDS: u64 = 20;
    let (recorded, rules) = (recorded(), Rules::default());
    for (name, cpu) in [("CPU", true), ("GPU", false)] {
        let (mut alarms, mut found, mut trials, mut pairs) = (0, 0, 0, 0);
        for (i, r) in recorded.iter().filter(|r| r.cpu == cpu).enumerate() {
            for round in 0..if cpu { ROUNDS } else { ROUNDS / 4 } {
                let series = Endless { pairs: &r.pairs, seed: hash(i as u64, round) };
                let nothing = series.judge(0.0, &rules);
                let planted = series.judge(0.05, &rules);
                alarms += usize::from(nothing.call == Call::Regressed);
                found += usize::from(planted.call == Call::Regressed);
                pairs += planted.pairs;
                trials += 1;
            }
        }
        let (false_rate, power) = (alarms as f64 / trials as f64, found as f64 / trials as f64);
        println!(
            "{name}: {trials} trials: {:.2} % false alarms, 5 % found in {:.2} %, {:.0} pairs each",
            false_rate * 100.0,
            power * 100.0,
            pairs as f64 / trials as f64
        );
        assert!(false_rate < 0.01, "{name}: {alarms} false alarms in {trials}");
        assert!(power >= 0.95, "{name}: found {found} of {trials}");
    }
}
