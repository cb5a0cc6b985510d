//! A recording: the outcomes of many configs of one kernel on one device, as files hold them.

use crate::search::{Outcome, Parameter, Space, space::SpaceError};
use serde_json::Value;
use std::collections::HashMap;

/// A parameter and its values in the file's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: String,
    pub values: Vec<Value>,
}

/// Why a config has no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It breaks a constraint.
    Constraints,
    Compile,
    Runtime,
    Timeout,
    /// Its output is wrong.
    Correctness,
}

/// One config and its outcome. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// A value for each column.
    pub config: Vec<Value>,
    /// The time that the file's objective names, or why there is none.
    pub outcome: Result<f64, Failure>,
    pub samples: Vec<f64>,
    /// Where the time went, as far as the file says.
    pub compile: f64,
    pub benchmark: f64,
    pub framework: f64,
    pub strategy: f64,
    pub verification: f64,
    /// RFC 3339 or as the file has it.
    pub timestamp: Option<String>,
    /// Our gate's verdict and the largest error over its bound; none in files that are not ours.
    pub verdict: Option<String>,
    pub error_over_bound: Option<f64>,
}

/// Everything of one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    pub device: String,
    pub kernel: String,
    pub problem: Value,
    pub columns: Vec<Column>,
    pub trials: Vec<Trial>,
}

/// Two ways to write a number are one value.
pub fn same(a: &Value, b: &Value) -> bool {
    a == b || matches!((number(a), number(b)), (Some(x), Some(y)) if x == y)
}

/// A number, or a truth value as one.
pub fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_bool().map(|b| f64::from(u8::from(b))))
}

/// A value as a key of look-ups: numbers by value, the rest by text.
pub fn key(value: &Value) -> String {
    match number(value) {
        Some(x) => x.to_string(),
        None => value.to_string(),
    }
}

impl Column {
    /// The column as a parameter, and the place of each of its values there.
    fn parameter(&self) -> (Parameter, HashMap<String, u16>) {
        let numbers: Option<Vec<f64>> = self.values.iter().map(number).collect();
        let mut place = HashMap::new();
        let values = match &numbers {
            Some(numbers) => {
                let mut sorted = numbers.clone();
                sorted.sort_by(f64::total_cmp);
                sorted.dedup();
                for value in &self.values {
                    let at = number(value).map_or(0, |x| sorted.partition_point(|y| *y < x));
                    place.insert(key(value), at as u16);
                }
                sorted
            }
            None => {
                for value in &self.values {
                    let next = place.len() as u16;
                    place.entry(key(value)).or_insert(next);
                }
                (0..place.len()).map(|i| i as f64).collect()
            }
        };
        (Parameter { name: self.name.clone(), values, names: numbers.is_none() }, place)
    }
}

impl Trial {
    /// 1 where the gate, or whoever made the file, holds the output for right, else 0.
    pub fn correctness(&self) -> f64 {
        if self.outcome.is_ok() { 1.0 } else { 0.0 }
    }
}

impl Recording {
    /// A trial's config as a cachefile's key: its values in the order of the columns.
    pub fn key(&self, trial: &Trial) -> String {
        let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_string);
        trial.config.iter().map(text).collect::<Vec<_>>().join(",")
    }

    /// The space of the recorded configs with their outcomes in point order. Of a config recorded
    /// twice the first outcome counts.
    ///
    /// # Errors
    /// More points than a space may hold.
    pub fn space(&self) -> Result<(Space, Vec<Outcome>), SpaceError> {
        let (parameters, places): (Vec<_>, Vec<_>) = self.columns.iter().map(Column::parameter).unzip();
        let mut points: Vec<Vec<u16>> = Vec::with_capacity(self.trials.len());
        let mut outcomes = Vec::with_capacity(self.trials.len());
        let mut seen = std::collections::HashSet::with_capacity(self.trials.len());
        for trial in &self.trials {
            let at = |(value, place): (&Value, &HashMap<String, u16>)| place.get(&key(value)).copied().unwrap_or(0);
            let point: Vec<u16> = trial.config.iter().zip(&places).map(at).collect();
            if seen.insert(point.clone()) {
                points.push(point);
                outcomes.push(trial.outcome.map_or(Outcome::Failed, Outcome::Time));
            }
        }
        Ok((Space::new(parameters, &points)?, outcomes))
    }

    /// Adds to each column the values of its trials that it does not list.
    pub(super) fn complete_columns(&mut self) {
        for (i, column) in self.columns.iter_mut().enumerate() {
            let mut seen: std::collections::HashSet<String> = column.values.iter().map(key).collect();
            for trial in &self.trials {
                if let Some(value) = trial.config.get(i)
                    && seen.insert(key(value))
                {
                    column.values.push(value.clone());
                }
            }
        }
    }
}
