//! A run's records joined: which race, gate, candidates and gaps stand behind each result.

use super::Run;
use crate::evidence::{AuditRecord, CandidateRecord, GapRecord, GateRecord, RaceRecord, Record, ResultRecord, Session};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A record and its line in the evidence file, counted from 1.
pub struct Lined<'a, T> {
    pub line: usize,
    pub record: &'a T,
}

// By hand: a derive would ask the record itself to be `Copy`.
impl<T> Clone for Lined<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Lined<'_, T> {}

/// Everything recorded about one problem, in the order of the file.
#[derive(Default)]
pub struct About<'a> {
    pub candidates: Vec<Lined<'a, CandidateRecord>>,
    pub gates: Vec<Lined<'a, GateRecord>>,
    pub races: Vec<Lined<'a, RaceRecord>>,
    pub gaps: Vec<Lined<'a, GapRecord>>,
}

/// A result with the evidence behind it.
pub struct Row<'a> {
    pub line: usize,
    pub result: &'a ResultRecord,
    /// The line of a later result of the same problem and mode.
    pub superseded_by: Option<usize>,
    pub race: Option<Lined<'a, RaceRecord>>,
    /// Screened before the result was written.
    pub candidates: Vec<Lined<'a, CandidateRecord>>,
    pub gates: Vec<Lined<'a, GateRecord>>,
    pub gaps: Vec<Gap<'a>>,
}

/// A gap as the result states it, with the line of its own record where there is one.
pub struct Gap<'a> {
    pub variant: &'a str,
    pub reason: &'a str,
    pub line: Option<usize>,
}

pub struct Index<'a> {
    /// Place of the run in the report, from 1.
    pub number: usize,
    pub name: &'a str,
    pub records: usize,
    pub sessions: Vec<Lined<'a, Session>>,
    pub candidates: Vec<Lined<'a, CandidateRecord>>,
    pub gaps: Vec<Lined<'a, GapRecord>>,
    pub rows: Vec<Row<'a>>,
    /// Each with the race that its figures are from.
    pub audits: Vec<(Lined<'a, AuditRecord>, Option<Lined<'a, RaceRecord>>)>,
}

/// Figures of one timing mode over the results that no later one supersedes.
#[derive(Default)]
pub struct ModeSummary<'a> {
    pub problems: usize,
    pub verdicts: BTreeMap<&'a str, usize>,
    /// Geometric mean of the ratios with the baseline.
    pub ratio: Option<f64>,
    /// How many results have a ratio.
    pub compared: usize,
}

/// Keeps the newest result of each problem, mode and device only.
pub fn keep_newest(indexes: &mut [Index]) {
    type Key<'a> = (Option<&'a str>, &'a str, &'a str, &'a str);
    let mut newest: HashMap<Key, (&str, usize, usize)> = HashMap::new();
    for (i, index) in indexes.iter().enumerate() {
        for row in &index.rows {
            let key = (index.device(), row.result.op.as_str(), row.result.problem.as_str(), row.result.mode.as_str());
            let place = (index.time(), i, row.line);
            let best = newest.entry(key).or_insert(place);
            *best = (*best).max(place);
        }
    }
    let shown: HashSet<(usize, usize)> = newest.values().map(|(_, run, line)| (*run, *line)).collect();
    for (i, index) in indexes.iter_mut().enumerate() {
        index.rows.retain(|row| shown.contains(&(i, row.line)));
    }
}

impl<'a> Index<'a> {
    pub fn new(number: usize, run: &'a Run) -> Self {
        let mut sessions = Vec::new();
        let mut candidates = Vec::new();
        let mut gaps = Vec::new();
        let mut results = Vec::new();
        let mut audits = Vec::new();
        let mut about: HashMap<(&str, &str), About> = HashMap::new();
        for (i, record) in run.records.iter().enumerate() {
            let line = i + 1;
            match record {
                Record::Session(record) => sessions.push(Lined { line, record }),
                Record::Gap(record) => {
                    gaps.push(Lined { line, record });
                    about.entry((&record.op, &record.problem)).or_default().gaps.push(Lined { line, record });
                }
                Record::Candidate(record) => {
                    candidates.push(Lined { line, record });
                    about.entry((&record.op, &record.problem)).or_default().candidates.push(Lined { line, record });
                }
                // How the search chose is no result.
                Record::Search(_) => {}
                Record::Audit(record) => audits.push(Lined { line, record }),
                Record::Gate(record) => {
                    about.entry((&record.op, &record.problem)).or_default().gates.push(Lined { line, record });
                }
                Record::Race(record) => {
                    about.entry((&record.op, &record.problem)).or_default().races.push(Lined { line, record });
                }
                Record::Result(record) => results.push(Lined { line, record }),
            }
        }
        let mut last: HashMap<(&str, &str, &str), usize> = HashMap::new();
        for Lined { line, record } in &results {
            last.insert((&record.op, &record.problem, &record.mode), *line);
        }
        let nothing = About::default();
        let race_of = |audit: &Lined<'a, AuditRecord>| {
            let about = about.get(&(audit.record.op.as_str(), audit.record.problem.as_str()))?;
            about.races.iter().rfind(|race| race.line < audit.line).copied()
        };
        let audits = audits.into_iter().map(|audit| (audit, race_of(&audit))).collect();
        let rows = results
            .iter()
            .map(|lined| {
                let result = lined.record;
                let latest = last[&(result.op.as_str(), result.problem.as_str(), result.mode.as_str())];
                let about = about.get(&(result.op.as_str(), result.problem.as_str())).unwrap_or(&nothing);
                Row::new(*lined, (latest != lined.line).then_some(latest), about)
            })
            .collect();
        Index { number, name: &run.name, records: run.records.len(), sessions, candidates, gaps, rows, audits }
    }

    /// The device of the run, from its sessions or else from its results.
    pub fn device(&self) -> Option<&'a str> {
        let named = self.sessions.last().map(|s| s.record.facts.name.as_str());
        named.or_else(|| self.rows.first().map(|row| row.result.device.as_str()))
    }

    /// When its first session began, RFC 3339; empty without one.
    pub fn time(&self) -> &'a str {
        self.sessions.first().map_or("", |s| s.record.time.as_str())
    }

    /// The id of a row in the page.
    pub fn row_id(&self, line: usize) -> String {
        format!("run{}-line{line}", self.number)
    }

    pub fn modes(&self) -> BTreeMap<&'a str, ModeSummary<'a>> {
        modes(&self.rows)
    }
}

/// Figures by timing mode.
pub fn modes<'a: 'b, 'b>(rows: impl IntoIterator<Item = &'b Row<'a>>) -> BTreeMap<&'a str, ModeSummary<'a>> {
    let mut modes: BTreeMap<&str, (ModeSummary, f64)> = BTreeMap::new();
    for row in rows.into_iter().filter(|row| row.superseded_by.is_none()) {
        let (mode, logs) = modes.entry(&row.result.mode).or_default();
        mode.problems += 1;
        *mode.verdicts.entry(&row.result.verdict).or_default() += 1;
        if let Some(ratio) = row.result.ratio.filter(|r| r.is_finite() && *r > 0.0) {
            mode.compared += 1;
            *logs += ratio.ln();
        }
    }
    let mean = |(mut mode, logs): (ModeSummary<'a>, f64)| {
        mode.ratio = (mode.compared > 0).then(|| (logs / mode.compared as f64).exp());
        mode
    };
    modes.into_iter().map(|(name, both)| (name, mean(both))).collect()
}

impl<'a> Row<'a> {
    fn new(lined: Lined<'a, ResultRecord>, superseded_by: Option<usize>, about: &About<'a>) -> Self {
        let Lined { line, record: result } = lined;
        let race = about.races.iter().rfind(|race| race.record.mode == result.mode && race.line < line).copied();
        let candidates = about.candidates.iter().filter(|c| c.line < line).copied().collect();
        let gates = about.gates.iter().filter(|gate| gate.line < line).copied().collect();
        let mut gaps: Vec<Gap> =
            result.gaps.iter().map(|gap| Gap { variant: &gap.variant, reason: &gap.reason, line: None }).collect();
        for Lined { line, record } in &about.gaps {
            match gaps.iter_mut().find(|gap| gap.variant == record.variant && gap.reason == record.reason) {
                Some(gap) => gap.line = Some(*line),
                None => gaps.push(Gap { variant: &record.variant, reason: &record.reason, line: Some(*line) }),
            }
        }
        Row { line, result, superseded_by, race, candidates, gates, gaps }
    }
}

/// The variant of a candidate: its name up to the config.
pub fn variant(candidate: &str) -> &str {
    candidate.split_once('[').map_or(candidate, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_later_result_supersedes_an_earlier_one() {
        let mut run = sample::run("a", 1, 4);
        let again = run.records.iter().find(|r| matches!(r, Record::Result(_))).unwrap().clone();
        run.records.push(again);
        let index = Index::new(1, &run);
        assert_eq!(index.rows[0].superseded_by, Some(run.records.len()));
        assert_eq!(index.rows.last().unwrap().superseded_by, None);
        assert_eq!(index.modes()["cold"].problems, 1);
    }

    #[test]
    fn lines_count_from_one_and_rows_find_their_race() {
        let run = sample::run("a", 3, 5);
        let index = Index::new(1, &run);
        assert_eq!(index.sessions[0].line, 1);
        for row in index.rows.iter().filter(|row| row.result.ratio.is_some()) {
            let race = row.race.unwrap();
            assert_eq!(race.record.mode, row.result.mode);
            assert_eq!(run.records[race.line - 1], Record::Race(race.record.clone()));
        }
    }

    #[test]
    fn the_geometric_mean_is_over_the_results_with_a_ratio() {
        let mut run = sample::run("a", 2, 3);
        let mut ratios = [Some(2.0), Some(0.5), Some(8.0), None].into_iter();
        for record in &mut run.records {
            if let Record::Result(result) = record {
                result.mode = "cold".to_string();
                result.problem = format!("p{:?}", ratios.len());
                result.ratio = ratios.next().unwrap();
            }
        }
        let index = Index::new(1, &run);
        let cold = &index.modes()["cold"];
        assert_eq!((cold.problems, cold.compared), (4, 3));
        assert!((cold.ratio.unwrap() - 2.0).abs() < 1e-12);
    }
}
