//! The audit of dispatch: how much slower than the best candidate is what dispatch picks?
//!
//! Candidates are searched as in a sweep, then the pick races with the best of them. The first
//! blocks of the race choose the best, the others say how far the pick is from it, so that luck in
//! the choice is not taken for regret.

use crate::evidence::{AuditRecord, RaceRecord, Record, Verdict};
use crate::race::{Contender, Finished, LONGEST, Purpose, Rules, race};
use crate::stats::{Interval, median, paired_ratio};
use crate::timer::Mode;
use crate::tune::{Explored, TuneError, Tuner, weight};
use crate::work::Work;
use kernelsmith_core::Problem;
use kernelsmith_device::Dispatcher;
use kernelsmith_kernels::Candidate;
use kernelsmith_kernels::tuned::{Match, TunedTable};
use std::time::{Duration, Instant};

/// Candidates of ours and configs of each vendor that race with the pick.
const OURS: usize = 3;
const VENDORS: usize = 2;
/// Dispatch reads the cold winners.
const MODE: Mode = Mode::Cold;

/// Whether the table holds this very problem.
pub fn is_tuned(table: &TunedTable, problem: &Problem) -> bool {
    table.lookup(problem, MODE.name()).iter().any(|choice| choice.how == Match::Exact)
}

impl Tuner<'_> {
    /// Audits every single problem that `before` has no record of; chains are left out, for
    /// dispatch never sees one. Returns all records.
    ///
    /// # Errors
    /// As a sweep. What is wrong with one problem is said in its record.
    pub fn audit(
        &mut self,
        work: &[Work],
        before: &[Record],
        dispatcher: &Dispatcher,
        table: &TunedTable,
    ) -> Result<Vec<AuditRecord>, TuneError> {
        let start = Instant::now();
        let singles: Vec<&Work> = work.iter().filter(|w| !w.is_chain()).collect();
        let mut out = Vec::new();
        for (i, item) in singles.iter().enumerate() {
            let text = item.to_string();
            let done = before.iter().rev().find_map(|r| match r {
                Record::Audit(a) if a.op == item.op() && a.problem == text => Some(a.clone()),
                _ => None,
            });
            if let Some(done) = done {
                out.push(done);
                continue;
            }
            self.check_stop()?;
            self.progress.problem(i, singles.len(), &text);
            let left = self.options.budget.saturating_sub(start.elapsed());
            let rest: f64 = singles[i..].iter().map(|w| weight(w)).sum();
            let share = left.mul_f64(weight(item) / rest).max(Duration::from_millis(300));
            let audited = self.audit_one(item, share, before, dispatcher, table);
            let record = audited.map_err(|e| match e {
                TuneError::Worker(crate::client::WorkerError::Stopped) => {
                    TuneError::Interrupted(self.options.run.clone())
                }
                other => other,
            })?;
            self.writer.append(&Record::Audit(record.clone()))?;
            self.progress.audited(&record);
            out.push(record);
        }
        Ok(out)
    }

    fn audit_one(
        &mut self,
        work: &Work,
        share: Duration,
        before: &[Record],
        dispatcher: &Dispatcher,
        table: &TunedTable,
    ) -> Result<AuditRecord, TuneError> {
        let problem = &work.steps()[0];
        let mut record = AuditRecord {
            op: work.op().to_string(),
            problem: work.to_string(),
            device: self.device.facts().name.clone(),
            mode: MODE.name().to_string(),
            pick: None,
            why: String::new(),
            tuned: is_tuned(table, problem),
            pick_us: None,
            best: None,
            best_us: None,
            regret: None,
            regret_low: None,
            regret_high: None,
            tried: 0,
            error: None,
        };
        let failed = |record: AuditRecord, error: String| Ok(AuditRecord { error: Some(error), ..record });
        let (pick, why) = match dispatcher.explain(problem) {
            Ok(found) => found,
            Err(error) => return failed(record, error.to_string()),
        };
        (record.pick, record.why) = (Some(pick.clone()), why);
        let Ok(candidate) = pick.parse::<Candidate>() else {
            return failed(record, format!("`{pick}` is no candidate"));
        };
        let Explored { search, screened, .. } = self.explore(work, share, before)?;
        record.tried = screened.len();
        self.progress.stage("gate");
        let is_vendor = |c: &Candidate| {
            let found = self.catalogue.variant(problem.op(), self.device.facts().target, &c.variant);
            found.is_ok_and(|v| v.vendor.is_some())
        };
        let (pick_is_vendors, (ours, vendors)) = (is_vendor(&candidate), search.finalists(8, VENDORS));
        let gated = self.gate(problem, &search, std::slice::from_ref(&candidate), 1)?;
        // A vendor's candidate needs the short gate only, as in a sweep.
        if gated.is_empty() && !pick_is_vendors {
            return failed(record, format!("the pick, {pick}, failed the gate"));
        }
        let others: Vec<Candidate> = ours.into_iter().filter(|c| *c != candidate).collect();
        let mut contenders = vec![Contender { steps: vec![candidate.clone()], role: "candidate" }];
        let passed = self.gate(problem, &search, &others, OURS)?;
        contenders.extend(passed.into_iter().map(|(c, _)| Contender { steps: vec![c], role: "candidate" }));
        let vendors = vendors.into_iter().filter(|c| *c != candidate);
        contenders.extend(vendors.map(|c| Contender { steps: vec![c], role: "baseline" }));
        self.check_stop()?;
        self.progress.stage("race");
        let rules = Rules { mode: MODE, budget: LONGEST.min(share), purpose: Purpose::Tune };
        let Finished { record: raced, notes, .. } = race(self.worker, self.device, work, &contenders, &[], rules)?;
        notes.iter().for_each(|note| self.progress.note(&format!("{work}: {note}")));
        let Some(raced) = raced else { return failed(record, "there was nobody to race".to_string()) };
        self.writer.append(&Record::Race(raced.clone()))?;
        match regret(&raced, &pick) {
            Ok(found) => Ok(AuditRecord {
                pick_us: Some(found.pick_us),
                best: Some(found.best),
                best_us: Some(found.best_us),
                regret: Some(found.regret.value),
                regret_low: Some(found.regret.low),
                regret_high: Some(found.regret.high),
                ..record
            }),
            Err(error) => failed(record, error),
        }
    }
}

#[derive(Debug)]
struct Regret {
    pick_us: f64,
    best: String,
    best_us: f64,
    /// The pick's time over the best's.
    regret: Interval,
}

/// What a race says of the pick.
fn regret(race: &RaceRecord, pick: &str) -> Result<Regret, String> {
    if let Some(error) = &race.error {
        return Err(error.clone());
    }
    let out = |name: &str| race.disqualified.iter().find(|d| d.candidate == name);
    if let Some(d) = out(pick) {
        let verdict: Verdict = d.verdict;
        return Err(format!("the pick, {pick}, is {}: {}", verdict.name(), d.reason));
    }
    let raced = race.contenders.iter().filter(|c| c.role != "control" && out(&c.candidate).is_none());
    let selection = race.selection_blocks;
    let select = |samples: &[f64]| median(&samples[..selection.max(1).min(samples.len())]);
    let best = raced.clone().min_by(|a, b| select(&a.samples_us).total_cmp(&select(&b.samples_us)));
    let (Some(best), Some(picked)) = (best, raced.clone().find(|c| c.candidate == pick)) else {
        return Err("the race has no samples of the pick".to_string());
    };
    let rest = |samples: &'_ [f64]| samples[selection.min(samples.len())..].to_vec();
    let (fast, ours) = (rest(&best.samples_us), rest(&picked.samples_us));
    if fast.is_empty() || ours.is_empty() {
        return Err("the race has too few samples".to_string());
    }
    let itself = Interval { value: 1.0, low: 1.0, high: 1.0 };
    let regret = if best.candidate == pick { itself } else { paired_ratio(&ours, &fast) };
    let finite = |x: f64| if x.is_finite() { x } else { f64::MAX };
    let regret = Interval { high: finite(regret.high), ..regret };
    Ok(Regret { pick_us: median(&ours), best: best.candidate.clone(), best_us: median(&fast), regret })
}

/// The geometric mean of the regrets of problems that are tuned, or of those that are not; none
/// where there are none.
pub fn mean_regret(records: &[AuditRecord], tuned: Option<bool>) -> Option<f64> {
    let of = records.iter().filter(|r| tuned.is_none_or(|t| r.tuned == t));
    let logs: Vec<f64> = of.filter_map(|r| r.regret).map(f64::ln).filter(|l| l.is_finite()).collect();
    (!logs.is_empty()).then(|| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{ContenderRecord, DisqualifiedRecord, TelemetryRecord};

    fn race(contenders: &[(&str, &str, f64)]) -> RaceRecord {
        let samples = |us: f64| (0..30).map(|i| us * (1.0 + 0.004 * f64::from(i % 3 - 1))).collect();
        let contender = |(candidate, role, us): &(&str, &str, f64)| ContenderRecord {
            candidate: candidate.to_string(),
            role: role.to_string(),
            samples_us: samples(*us),
        };
        RaceRecord {
            op: "gemm".into(),
            problem: "m=1".into(),
            mode: "cold".into(),
            contenders: contenders.iter().map(contender).collect(),
            selection_blocks: 10,
            launches_per_sample: 1,
            sets: 1,
            set_bytes: 1,
            flushed: false,
            telemetry: TelemetryRecord::default(),
            disqualified: Vec::new(),
            error: None,
            seconds: 0.0,
        }
    }

    #[test]
    fn regret_is_the_picks_time_over_the_bests() {
        let r = race(&[("pick", "candidate", 12.0), ("other", "candidate", 10.0), ("vendor", "baseline", 15.0)]);
        let found = regret(&r, "pick").unwrap();
        assert_eq!(found.best, "other");
        assert!((found.regret.value - 1.2).abs() < 1e-9 && (found.pick_us - 12.0).abs() < 0.1);
        let found = regret(&r, "other").unwrap();
        assert_eq!((found.best.as_str(), found.regret.value), ("other", 1.0));
        // The vendor's is what a user has too.
        assert_eq!(regret(&race(&[("pick", "candidate", 12.0), ("v", "baseline", 6.0)]), "pick").unwrap().best, "v");
    }

    #[test]
    fn what_was_disqualified_is_not_the_best() {
        let mut r = race(&[("pick", "candidate", 12.0), ("wrong", "candidate", 1.0)]);
        let d = |name: &str| DisqualifiedRecord { candidate: name.into(), verdict: Verdict::Wrong, reason: "x".into() };
        r.disqualified = vec![d("wrong")];
        assert_eq!(regret(&r, "pick").unwrap().regret.value, 1.0);
        r.disqualified = vec![d("pick")];
        assert!(regret(&r, "pick").unwrap_err().contains("is wrong: x"));
        assert!(regret(&r, "absent").is_err());
        r = race(&[("pick", "candidate", 12.0)]);
        r.contenders[0].samples_us.clear();
        assert!(regret(&r, "pick").is_err());
    }
}
