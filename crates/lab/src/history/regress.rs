//! A run held to a baseline file.

use super::baseline::{BaselineFile, Held};
use super::metric::Metric;
use super::paired::{Call, Judged};

/// What a number of a run is beside the one that it is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Worse than the threshold for a regression.
    Regressed,
    /// Worse than the threshold for a warning.
    Warning,
    Same,
    /// Better by more than the threshold for a regression.
    Improved,
    /// Asked for and not measured: a failure like a regression.
    Missing,
    /// It looked worse, and a paired race saw no difference.
    Refuted,
}

impl Standing {
    pub fn name(self) -> &'static str {
        match self {
            Standing::Regressed => "regressed",
            Standing::Warning => "warning",
            Standing::Same => "same",
            Standing::Improved => "improved",
            Standing::Missing => "missing",
            Standing::Refuted => "refuted",
        }
    }

    pub fn fails(self) -> bool {
        matches!(self, Standing::Regressed | Standing::Missing)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub held: Held,
    pub found: Option<Metric>,
    /// Share worse than expected; below 0 is better.
    pub change: Option<f64>,
    pub standing: Standing,
    /// What a paired race said, or why there was none.
    pub confirmation: Option<Result<Judged, String>>,
}

impl Row {
    /// Whether a race should be asked.
    pub fn is_suspect(&self) -> bool {
        matches!(self.standing, Standing::Regressed | Standing::Warning)
    }

    /// What a race says replaces what the runs said; one that cannot tell changes nothing.
    pub fn confirm(&mut self, answer: Result<Judged, String>) {
        if let Ok(judged) = &answer {
            self.standing = match judged.call {
                Call::Regressed => Standing::Regressed,
                Call::Warning => Standing::Warning,
                Call::Same | Call::Improved => Standing::Refuted,
                Call::Unclear => self.standing,
            };
        }
        self.confirmation = Some(answer);
    }
}

/// A row for each number that is asked for, in the order of the file. What the run has beyond it
/// is not judged.
pub fn regress(file: &BaselineFile, found: &[Metric]) -> Vec<Row> {
    let row = |held: &Held| {
        let metric = found.iter().find(|m| m.key == held.key);
        let change = metric.map(|m| held.direction.worse(held.value, m.value));
        let standing = match change {
            None => Standing::Missing,
            Some(c) if c > held.regress => Standing::Regressed,
            Some(c) if c > held.warn => Standing::Warning,
            Some(c) if c < -held.regress => Standing::Improved,
            Some(_) => Standing::Same,
        };
        Row { held: held.clone(), found: metric.cloned(), change, standing, confirmation: None }
    };
    file.metrics.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::metric::{Direction, of_run};
    use crate::report::sample;

    fn standing(direction: Direction, change: f64) -> Standing {
        let metrics = of_run(&sample::run("a", 1, 20).records);
        let mut file = BaselineFile::of_run("d", "a", None, &metrics[..1]);
        file.metrics[0] = Held { direction, warn: 0.01, regress: 0.03, ..file.metrics[0].clone() };
        let mut found = metrics[..1].to_vec();
        found[0].value *= match direction {
            Direction::Lower => 1.0 + change,
            Direction::Higher => 1.0 / (1.0 + change),
        };
        regress(&file, &found)[0].standing
    }

    #[test]
    fn thresholds_hold_in_both_directions() {
        for direction in [Direction::Lower, Direction::Higher] {
            assert_eq!(standing(direction, 0.05), Standing::Regressed);
            assert_eq!(standing(direction, 0.02), Standing::Warning);
            assert_eq!(standing(direction, 0.0), Standing::Same);
            assert_eq!(standing(direction, -0.05), Standing::Improved);
        }
    }

    #[test]
    fn a_race_has_the_last_word_unless_it_cannot_tell() {
        let metrics = of_run(&sample::run("a", 1, 20).records);
        let file = BaselineFile::of_run("d", "a", None, &metrics[..1]);
        let mut found = metrics[..1].to_vec();
        found[0].value *= 1.2;
        let judged = |call| Judged { change: 0.0, low: 0.0, high: 0.0, pairs: 20, call };
        for (answer, standing) in [
            (Ok(judged(Call::Regressed)), Standing::Regressed),
            (Ok(judged(Call::Same)), Standing::Refuted),
            (Ok(judged(Call::Unclear)), Standing::Regressed),
            (Err("no".to_string()), Standing::Regressed),
        ] {
            let mut row = regress(&file, &found).remove(0);
            assert!(row.is_suspect());
            row.confirm(answer);
            assert_eq!(row.standing, standing);
        }
    }

    #[test]
    fn what_is_not_there_fails() {
        let metrics = of_run(&sample::run("a", 2, 20).records);
        let file = BaselineFile::of_run("d", "a", None, &metrics);
        let rows = regress(&file, &metrics[1..]);
        assert_eq!(rows[0].standing, Standing::Missing);
        assert!(rows[0].standing.fails() && rows[1..].iter().all(|r| r.standing == Standing::Same));
    }
}
