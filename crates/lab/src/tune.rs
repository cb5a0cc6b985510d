//! The sweep: for each problem screen candidates, gate the finalists, race them with the
//! baselines, publish the winner.

use crate::client::{Compilers, Worker, WorkerError};
use crate::evidence::*;
use crate::race::{AGAIN, Contender, Finished, LONGEST, Purpose, Rules, gate_one, race};
use crate::screen::{hash_of, screen_one};
use crate::search::candidates::{Plan, Search, SearchError};
use crate::search::siblings::Siblings;
use crate::search::tiles::Tiles;
use crate::stats::median;
use crate::timer::Mode;
use crate::work::Work;
use kernelsmith_core::Problem;
use kernelsmith_device::Device;
use kernelsmith_kernels::tuned::{TunedEntry, TunedTable};
use kernelsmith_kernels::{Candidate, Catalogue, CatalogueError, Target, Variant};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Limits and seeds of a sweep.
#[derive(Clone, Debug)]
pub struct TuneOptions {
    pub budget: Duration,
    /// Longest a candidate may take in all.
    pub candidate_limit: Duration,
    pub seed: u64,
    /// Name of the run, for tuned entries.
    pub run: String,
    /// Name of the search strategy.
    pub strategy: String,
    /// Whether the search starts from a prior.
    pub prior: bool,
}

/// Told as the sweep goes.
pub trait Progress {
    fn problem(&mut self, _index: usize, _count: usize, _problem: &str) {}
    fn candidate(&mut self, _tried: usize, _total: usize, _best_us: Option<f64>) {}
    fn stage(&mut self, _name: &str) {}
    fn result(&mut self, _result: &ResultRecord) {}
    fn audited(&mut self, _audit: &AuditRecord) {}
    fn note(&mut self, _text: &str) {}
}

#[derive(Debug, thiserror::Error)]
pub enum TuneError {
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error(transparent)]
    Search(#[from] SearchError),
    #[error(transparent)]
    Worker(#[from] WorkerError),
    #[error("stopped; what was done is in {0}")]
    Interrupted(String),
}

/// A sweep in progress.
pub struct Tuner<'a> {
    pub worker: &'a mut Worker,
    pub writer: &'a mut Writer,
    pub catalogue: &'a Catalogue,
    /// For capability and peaks; the worker has its own.
    pub device: &'a Device,
    pub options: TuneOptions,
    pub progress: &'a mut dyn Progress,
    pub stop: &'a AtomicBool,
    /// Winners of single problems in this run, by problem and mode: the steps of chains.
    winners: HashMap<(&'static str, String, String), (Candidate, Candidate)>,
    compilers: Compilers,
    /// What is known from other problems and devices; this run's own problems join it.
    pub siblings: Siblings,
    /// What the microbenchmark of tiles measured so far: problems share miniatures.
    miniatures: Vec<CandidateRecord>,
    pub table: TunedTable,
}

/// A problem whose candidates have been screened.
pub(crate) struct Explored {
    pub search: Search,
    pub screened: Vec<CandidateRecord>,
    pub gaps: Vec<GapRecord>,
}

/// A problem's weight when the budget is shared out: a launch of a large one takes longer.
pub(crate) fn weight(work: &Work) -> f64 {
    1.0 + (work.flops() / 2e9 + work.bytes() / 1e9).sqrt()
}

/// Share of a problem's time for screening; the rest is for the gate and the races.
const SCREEN_SHARE: f64 = 0.4;
/// And of that, at most, for the microbenchmark of tiles.
const TILES_SHARE: f64 = 0.15;
/// Candidates of ours this much slower than one that has passed are neither gated nor raced.
const FAR: f64 = 2.0;
/// As those this much slower than the vendors' best, unless no vendor's candidate is left.
const HOPELESS: f64 = 4.0;
/// Microseconds from which a hopeless candidate costs the budget something: quicker ones are gated
/// all the same, since a fault that only the full gate finds should be known.
const COSTLY_US: f64 = 3000.0;
/// Candidates screened between two questions to the strategy: as many as compile at once, or as
/// need no compiler. One batch compiles while the one before it is screened.
const COMPILED: usize = 16;
const READY: usize = 4;

/// A winner as an entry of the tuned table; none where nothing won.
pub fn entry_of(r: &ResultRecord, device: &Device, run: &str) -> Option<TunedEntry> {
    let facts = device.facts();
    Some(TunedEntry {
        op: r.op.clone(),
        problem: r.problem.clone(),
        mode: r.mode.clone(),
        candidate: r.candidate.clone()?,
        us: r.us.unwrap_or(0.0),
        baseline: r.baseline.clone().unwrap_or_else(|| "none".to_string()),
        ratio: r.ratio.unwrap_or(1.0),
        error: r.max_error_over_bound.unwrap_or(0.0),
        vendor_error: r.vendor_error,
        source_hash: r.source_hash.clone().unwrap_or_default(),
        driver: facts.driver.clone(),
        toolchain: facts.toolchain.clone(),
        run: run.to_string(),
    })
}

impl<'a> Tuner<'a> {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        worker: &'a mut Worker,
        writer: &'a mut Writer,
        catalogue: &'a Catalogue,
        device: &'a Device,
        options: TuneOptions,
        progress: &'a mut dyn Progress,
        stop: &'a AtomicBool,
    ) -> Self {
        let compilers = Compilers::new(worker.command().clone());
        Tuner {
            worker,
            writer,
            catalogue,
            device,
            options,
            progress,
            stop,
            winners: HashMap::new(),
            compilers,
            siblings: Siblings::default(),
            miniatures: Vec::new(),
            table: TunedTable::default(),
        }
    }

    /// Tunes every piece of work that `before` has no results for. Returns all results.
    pub fn run(&mut self, work: &[Work], before: &[Record]) -> Result<Vec<ResultRecord>, TuneError> {
        let start = Instant::now();
        let mut results = Vec::new();
        let done: Vec<&ResultRecord> =
            before.iter().filter_map(|r| if let Record::Result(r) = r { Some(r) } else { None }).collect();
        for (i, item) in work.iter().enumerate() {
            let text = item.to_string();
            // The last of each mode: a run killed between the two has one of them twice.
            let of_mode = |m: &Mode| {
                done.iter().rev().copied().find(|r| r.op == item.op() && r.problem == text && r.mode == m.name())
            };
            let mine: Vec<&ResultRecord> = Mode::ALL.iter().filter_map(of_mode).collect();
            // A candidate whose source changed could do otherwise now.
            let stale = before.iter().any(|r| match r {
                Record::Candidate(c) => item.steps().iter().any(|p| c.problem == p.text() && !self.is_fresh(p, c)),
                _ => false,
            });
            if mine.len() == Mode::ALL.len() && !stale {
                for record in mine {
                    self.remember(item, record);
                    self.progress.result(record);
                    results.push(record.clone());
                }
                continue;
            }
            self.check_stop()?;
            self.progress.problem(i, work.len(), &text);
            let left = self.options.budget.saturating_sub(start.elapsed());
            let rest: f64 = work[i..].iter().map(weight).sum();
            let share = left.mul_f64(weight(item) / rest).max(Duration::from_millis(300));
            let tuned = if item.is_chain() { self.chain(item, share) } else { self.problem(item, share, before) };
            let tuned = tuned.map_err(|e| match e {
                TuneError::Worker(WorkerError::Stopped) => TuneError::Interrupted(self.options.run.clone()),
                other => other,
            })?;
            for record in tuned {
                self.writer.append(&Record::Result(record.clone()))?;
                self.remember(item, &record);
                self.progress.result(&record);
                results.push(record);
            }
        }
        Ok(results)
    }

    pub(crate) fn check_stop(&self) -> Result<(), TuneError> {
        if self.stop.load(Ordering::Relaxed) { Err(TuneError::Interrupted(self.options.run.clone())) } else { Ok(()) }
    }

    /// Keeps a winner for chains and for the tuned table.
    fn remember(&mut self, work: &Work, r: &ResultRecord) {
        let (Some(candidate), [_]) = (&r.candidate, work.steps()) else { return };
        let Ok(parsed) = candidate.parse::<Candidate>() else { return };
        let baseline = r.baseline.as_ref().and_then(|b| b.parse().ok()).unwrap_or(parsed.clone());
        self.winners.insert((work.op(), r.problem.clone(), r.mode.clone()), (parsed, baseline));
        entry_of(r, self.device, &self.options.run).into_iter().for_each(|e| self.table.insert(e));
    }

    fn problem(&mut self, work: &Work, share: Duration, before: &[Record]) -> Result<Vec<ResultRecord>, TuneError> {
        let start = Instant::now();
        let Explored { search, screened, gaps } = self.explore(work, share, before)?;
        self.finish(work, &search, &screened, gaps, share.saturating_sub(start.elapsed()))
    }

    /// Screens a problem's candidates for a part of its share of the time.
    pub(crate) fn explore(&mut self, work: &Work, share: Duration, before: &[Record]) -> Result<Explored, TuneError> {
        let start = Instant::now();
        let problem = &work.steps()[0];
        let (able, gaps) = self.catalogue.capable(problem, self.device.facts())?;
        let mut gaps: Vec<GapRecord> = gaps
            .into_iter()
            .map(|g| GapRecord {
                op: work.op().to_string(),
                problem: problem.text(),
                variant: g.variant,
                reason: g.reason,
            })
            .collect();
        let tiles = if self.options.prior {
            self.try_tiles(problem, &able, share.mul_f64(SCREEN_SHARE * TILES_SHARE), before)?
        } else {
            None
        };
        let siblings = self.options.prior.then_some(&self.siblings);
        let plan = Plan { strategy: &self.options.strategy, seed: self.options.seed, siblings, tiles: tiles.as_ref() };
        let mut search = Search::new(&able, problem, self.device.facts(), &plan)?;
        for variant in &able {
            if variant.space(problem, self.device.facts())?.is_empty() {
                let reason = "no config satisfies its constraints here".to_string();
                gaps.push(GapRecord {
                    op: work.op().to_string(),
                    problem: problem.text(),
                    variant: variant.name.clone(),
                    reason,
                });
            }
        }
        for record in gaps.iter().cloned().map(Record::Gap) {
            if !before.contains(&record) {
                self.writer.append(&record)?;
            }
        }
        let mut screened: Vec<CandidateRecord> = Vec::new();
        for record in before {
            if let Record::Candidate(c) = record
                && c.problem == problem.text()
                && self.is_fresh(problem, c)
            {
                self.learn(&mut search, c);
                screened.push(c.clone());
            }
        }
        self.screen_all(problem, &mut search, &mut screened, share.mul_f64(SCREEN_SHARE), start)?;
        self.writer.append(&Record::Search(self.searched(problem, &search, &screened)))?;
        for record in screened.iter().filter(|r| r.vendor.is_none()) {
            self.siblings.add_candidate(&self.device.facts().name, record);
        }
        Ok(Explored { search, screened, gaps })
    }

    /// The microbenchmark of a large product's tiles, for at most `time`. Its records are evidence like any
    /// other, of the miniature; what is there already is not measured again.
    fn try_tiles(
        &mut self,
        problem: &Problem,
        able: &[Arc<Variant>],
        time: Duration,
        before: &[Record],
    ) -> Result<Option<Tiles>, TuneError> {
        let Some(mut tiles) = Tiles::new(self.catalogue, able, problem, self.device.facts())? else { return Ok(None) };
        let start = Instant::now();
        let miniature = tiles.miniature.clone();
        let text = miniature.text();
        let recorded = before.iter().filter_map(|r| if let Record::Candidate(c) = r { Some(c) } else { None });
        let known: Vec<CandidateRecord> = recorded
            .chain(&self.miniatures)
            .filter(|c| c.problem == text && self.is_fresh(&miniature, c))
            .cloned()
            .collect();
        let known = |c: &Candidate| known.iter().find(|r| r.candidate == c.to_string());
        let new: Vec<Candidate> = tiles.tried.iter().filter(|c| known(c).is_none()).cloned().collect();
        self.compile(&miniature, &new);
        let mut best_us = None;
        for candidate in tiles.tried.clone() {
            self.check_stop()?;
            let record = match known(&candidate) {
                Some(record) => record.clone(),
                None if start.elapsed() > time => continue,
                None => {
                    let record = self.screen(&miniature, &candidate, best_us)?;
                    self.writer.append(&Record::Candidate(record.clone()))?;
                    self.miniatures.push(record.clone());
                    record
                }
            };
            let us = if record.verdict == Verdict::Ok { median(&record.samples_us) } else { f64::INFINITY };
            best_us = Some(best_us.map_or(us, |best: f64| best.min(us))).filter(|us| us.is_finite());
            tiles.learn(&candidate, us);
        }
        Ok(Some(tiles))
    }

    /// Whether a record is of what its candidate runs now.
    fn is_fresh(&self, problem: &Problem, record: &CandidateRecord) -> bool {
        let now = record.candidate.parse().ok().and_then(|c| hash_of(self.catalogue, self.device, problem, &c));
        now.is_some() && now == record.source_hash
    }

    fn learn(&self, search: &mut Search, record: &CandidateRecord) {
        let Ok(candidate) = record.candidate.parse::<Candidate>() else { return };
        search.learn(&candidate, (record.verdict == Verdict::Ok).then(|| median(&record.samples_us)));
        if record.verdict == Verdict::Unoffered {
            search.close(&candidate.variant);
        }
    }

    fn screen_all(
        &mut self,
        problem: &Problem,
        search: &mut Search,
        screened: &mut Vec<CandidateRecord>,
        time: Duration,
        start: Instant,
    ) -> Result<(), TuneError> {
        let mut batch = self.ask(search, time, start);
        self.compile(problem, &batch);
        while !batch.is_empty() {
            self.check_stop()?;
            // The next batch compiles while this one is measured.
            let next = self.ask(search, time, start);
            let texts = self.to_compile(problem, &next);
            let mut compilers = self.compilers.take();
            let (facts, op, text) = (self.device.facts().clone(), problem.op(), problem.text());
            let (screening, warnings) = std::thread::scope(|scope| {
                let compiling = (!texts.is_empty()).then(|| {
                    let compilers = &mut compilers;
                    let (facts, texts) = (&facts, &texts);
                    scope.spawn(move || compilers.compile(facts, op, &text, texts))
                });
                let screening = self.screen_batch(problem, search, screened, &batch, time, start);
                (screening, compiling.and_then(|c| c.join().ok()).unwrap_or_default())
            });
            self.compilers = compilers;
            // A failure here shows again, with its candidate's name, when that one is screened.
            warnings.iter().for_each(|w| self.progress.note(w));
            screening?;
            batch = next;
            if batch.is_empty() {
                // What was screened last may have given the strategy more to ask for.
                batch = self.ask(search, time, start);
                self.compile(problem, &batch);
            }
        }
        Ok(())
    }

    /// The next batch: none when the time is over, save what must be screened whatever the budget.
    fn ask(&self, search: &mut Search, time: Duration, start: Instant) -> Vec<Candidate> {
        let spent = start.elapsed().as_secs_f64() / time.as_secs_f64().max(1e-9);
        if spent > 1.0 && !search.owes() {
            return Vec::new();
        }
        let batch = if self.device.facts().target == Target::Cuda { COMPILED } else { READY };
        search.next(batch, spent.min(1.0))
    }

    fn screen_batch(
        &mut self,
        problem: &Problem,
        search: &mut Search,
        screened: &mut Vec<CandidateRecord>,
        batch: &[Candidate],
        time: Duration,
        start: Instant,
    ) -> Result<(), TuneError> {
        for candidate in batch {
            self.check_stop()?;
            // The vendor's list may have ended since the batch was made.
            let late = start.elapsed() > time && !search.is_must(candidate);
            if late || search.is_closed(&candidate.variant) {
                continue;
            }
            let record = self.screen(problem, candidate, search.best_us())?;
            self.learn(search, &record);
            self.writer.append(&Record::Candidate(record.clone()))?;
            screened.push(record);
            self.progress.candidate(screened.len(), search.len(), search.best_us());
        }
        Ok(())
    }

    /// What a search came to, for the evidence.
    fn searched(&self, problem: &Problem, search: &Search, screened: &[CandidateRecord]) -> SearchRecord {
        let check = search.prior_check();
        let correlation = |name: &str| {
            let found = check.as_ref().and_then(|c| c.sources.iter().find(|(n, _)| n == name));
            found.map(|(_, correlation)| *correlation)
        };
        let source = |s: &crate::search::prior::Source| SourceRecord {
            name: s.name.clone(),
            weight: s.weight,
            correlation: correlation(&s.name),
        };
        SearchRecord {
            op: problem.op().to_string(),
            problem: problem.text(),
            strategy: self.options.strategy.clone(),
            seed: self.options.seed,
            space: search.ours(),
            screened: screened.iter().filter(|r| r.vendor.is_none()).count(),
            sources: search.prior().sources().iter().map(source).collect(),
            known: check.as_ref().map_or(0, |c| c.points),
            correlation: check.as_ref().map(|c| c.correlation),
            trust: check.as_ref().map(|c| c.trust),
        }
    }

    /// Those of a batch that are compiled, as text.
    fn to_compile(&self, problem: &Problem, candidates: &[Candidate]) -> Vec<String> {
        let target = self.device.facts().target;
        let compiled = |c: &&Candidate| {
            let variant = self.catalogue.variant(problem.op(), target, &c.variant);
            target == Target::Cuda && variant.is_ok_and(|v| v.source.contains('.'))
        };
        candidates.iter().filter(compiled).map(|c| c.to_string()).collect()
    }

    /// Compiles the first batch, which has none before it.
    fn compile(&mut self, problem: &Problem, candidates: &[Candidate]) {
        let texts = self.to_compile(problem, candidates);
        if texts.is_empty() {
            return;
        }
        for warning in self.compilers.compile(self.device.facts(), problem.op(), &problem.text(), &texts) {
            self.progress.note(&warning);
        }
    }

    fn screen(
        &mut self,
        problem: &Problem,
        candidate: &Candidate,
        best_us: Option<f64>,
    ) -> Result<CandidateRecord, TuneError> {
        let limit = self.options.candidate_limit;
        Ok(screen_one(self.worker, self.catalogue, self.device, problem, candidate, best_us, limit)?)
    }

    /// Gates candidates in order until `want` have passed or the rest is far slower. Returns those
    /// that passed.
    pub(crate) fn gate(
        &mut self,
        problem: &Problem,
        search: &Search,
        candidates: &[Candidate],
        want: usize,
    ) -> Result<Vec<(Candidate, GateRecord)>, TuneError> {
        let mut passed: Vec<(Candidate, GateRecord)> = Vec::new();
        for candidate in candidates {
            if passed.first().is_some_and(|(first, _)| search.is_slower(candidate, FAR, first)) {
                break;
            }
            self.check_stop()?;
            let record = gate_one(self.worker, problem, candidate, false, self.options.candidate_limit * 4)?;
            self.writer.append(&Record::Gate(record.clone()))?;
            if record.verdict == Verdict::Ok {
                passed.push((candidate.clone(), record));
            } else {
                let detail = record.detail.unwrap_or_default();
                self.progress.note(&format!(
                    "{candidate} failed the full gate on {problem}: {} ({detail})",
                    record.verdict.name()
                ));
            }
            if passed.len() == want {
                break;
            }
        }
        Ok(passed)
    }

    fn finish(
        &mut self,
        work: &Work,
        search: &Search,
        screened: &[CandidateRecord],
        gaps: Vec<GapRecord>,
        left: Duration,
    ) -> Result<Vec<ResultRecord>, TuneError> {
        let problem = &work.steps()[0];
        let (ours, vendors) = search.finalists(8, 2);
        let costly = |c: &Candidate| search.us(c).is_some_and(|us| us > COSTLY_US);
        let is_hopeless =
            |c: &Candidate| costly(c) && vendors.first().is_some_and(|v| search.is_slower(c, HOPELESS, v));
        let (hopeless, ours): (Vec<Candidate>, Vec<Candidate>) = ours.into_iter().partition(is_hopeless);
        self.progress.stage("gate");
        let mut gated = self.gate(problem, search, &ours, 2)?;
        self.progress.stage("race");
        let mut contenders: Vec<Contender> =
            gated.iter().map(|(c, _)| Contender { steps: vec![c.clone()], role: "candidate" }).collect();
        contenders.extend(vendors.iter().map(|c| Contender { steps: vec![c.clone()], role: "baseline" }));
        let error_of = |c: &str| screened.iter().rev().find(|s| s.candidate == c).and_then(|s| s.max_error_over_bound);
        let hash_of = |c: &str| screened.iter().rev().find(|s| s.candidate == c).and_then(|s| s.source_hash.clone());
        let mut asked: Vec<Candidate> = Vec::new();
        let mut out = Vec::new();
        for mode in Mode::ALL {
            let mut result = self.race(work, &contenders, mode, left.div_f64(2.0))?;
            if result.candidate.is_none() && gated.is_empty() {
                // No vendor's candidate stood the race: what is slow and right is better than none.
                gated = self.gate(problem, search, &hopeless, 1)?;
                contenders.extend(gated.iter().map(|(c, _)| Contender { steps: vec![c.clone()], role: "candidate" }));
                result = self.race(work, &contenders, mode, left.div_f64(2.0))?;
            }
            // A vendor's candidate that is to run goes through the full gate too. It stays the
            // winner, since it is what the user has today, but what it fails at is named.
            let vendor = vendors.iter().find(|c| Some(c.to_string()) == result.candidate).cloned();
            if let Some(vendor) = vendor.filter(|v| !asked.contains(v)) {
                asked.push(vendor.clone());
                self.progress.stage("gate");
                gated.extend(self.gate(problem, search, &[vendor], 1)?);
                self.progress.stage("race");
            }
            result.gaps = gaps.clone();
            result.tried = screened.len();
            result.passed = screened.iter().filter(|s| s.verdict == Verdict::Ok).count();
            if let Some(winner) = &result.candidate {
                let gate = gated.iter().find(|(c, _)| c.to_string() == *winner).map(|(_, g)| g.max_error_over_bound);
                result.max_error_over_bound = gate.or_else(|| error_of(winner));
                result.source_hash = hash_of(winner);
            }
            result.vendor_error = result.baseline.as_deref().and_then(error_of);
            out.push(result);
        }
        Ok(out)
    }

    /// A chain runs its steps' winners against the vendor's best for each step.
    fn chain(&mut self, work: &Work, share: Duration) -> Result<Vec<ResultRecord>, TuneError> {
        let mut out = Vec::new();
        for step in work.steps() {
            if !self.winners.contains_key(&(step.op(), step.text(), "cold".to_string())) {
                let single = Work::from(step.clone());
                for record in self.problem(&single, share.div_f64(2.0 * work.steps().len() as f64), &[])? {
                    self.remember(&single, &record);
                }
            }
        }
        for mode in Mode::ALL {
            let find = |p: &Problem| self.winners.get(&(p.op(), p.text(), mode.name().to_string()));
            let picked: Option<Vec<&(Candidate, Candidate)>> = work.steps().iter().map(find).collect();
            let mut contenders = Vec::new();
            if let Some(picked) = picked {
                let ours: Vec<Candidate> = picked.iter().map(|p| p.0.clone()).collect();
                let theirs: Vec<Candidate> = picked.iter().map(|p| p.1.clone()).collect();
                contenders.push(Contender { steps: ours, role: "candidate" });
                contenders.push(Contender { steps: theirs, role: "baseline" });
            }
            out.push(self.race(work, &contenders, mode, share.div_f64(2.0))?);
        }
        Ok(out)
    }

    /// Races contenders in one mode and publishes the row. A race that cannot tell is followed by
    /// a longer one between the winner and the baseline, on fresh samples.
    fn race(
        &mut self,
        work: &Work,
        contenders: &[Contender],
        mode: Mode,
        budget: Duration,
    ) -> Result<ResultRecord, TuneError> {
        let published = self.race_once(work, contenders, mode, budget.min(LONGEST))?;
        if published.verdict != "ambiguous" {
            return Ok(published);
        }
        let named = |name: &Option<String>, role: &str| {
            let found = contenders.iter().find(|c| c.role == role && Some(c.name()) == *name);
            found.cloned()
        };
        let pair = [named(&published.candidate, "candidate"), named(&published.baseline, "baseline")];
        let [Some(winner), Some(baseline)] = pair else { return Ok(published) };
        // Dispatch reads the cold winners.
        let again = if mode == Mode::Cold { AGAIN } else { LONGEST };
        let again = self.race_once(work, &[winner, baseline], mode, again)?;
        Ok(if again.candidate.is_some() { again } else { published })
    }

    fn race_once(
        &mut self,
        work: &Work,
        contenders: &[Contender],
        mode: Mode,
        budget: Duration,
    ) -> Result<ResultRecord, TuneError> {
        self.check_stop()?;
        let rules = Rules { mode, budget, purpose: Purpose::Tune };
        let Finished { record, result, notes } = race(self.worker, self.device, work, contenders, &[], rules)?;
        notes.iter().for_each(|note| self.progress.note(&format!("{work}: {note}")));
        if let Some(record) = record {
            self.writer.append(&Record::Race(record))?;
        }
        Ok(result)
    }
}
