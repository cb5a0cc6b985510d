//! A space that was measured before, and what others like it say of it.

use super::optimum;
use crate::interchange::{self, InterchangeError, Recording};
use crate::search::prior::Source;
use crate::search::{Outcome, Prior, Space, space::SpaceError};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A measured space.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its file's name.
    pub name: String,
    pub device: String,
    pub kernel: String,
    pub problem: Value,
    pub space: Arc<Space>,
    pub outcomes: Vec<Outcome>,
    /// The best time.
    pub optimum: f64,
}

#[derive(Debug, thiserror::Error)]
pub enum KnownError {
    #[error(transparent)]
    Interchange(#[from] InterchangeError),
    #[error("{path}: {source}")]
    Space { path: PathBuf, source: SpaceError },
    #[error("{0}: no config passed, so there is no optimum to find")]
    Nothing(PathBuf),
}

impl Known {
    /// Reads a cachefile or T4 results.
    pub fn load(path: &Path) -> Result<Known, KnownError> {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let name = name.strip_suffix(".json").unwrap_or(name).to_string();
        Known::new(name, path, &interchange::read(path)?)
    }

    fn new(name: String, path: &Path, recording: &Recording) -> Result<Known, KnownError> {
        let (space, outcomes) =
            recording.space().map_err(|source| KnownError::Space { path: path.to_path_buf(), source })?;
        let optimum = optimum(&outcomes);
        if !optimum.is_finite() {
            return Err(KnownError::Nothing(path.to_path_buf()));
        }
        Ok(Known {
            name,
            device: recording.device.clone(),
            kernel: recording.kernel.clone(),
            problem: recording.problem.clone(),
            space: Arc::new(space),
            outcomes,
            optimum,
        })
    }

    /// Whether another space holds the very times of this one: as a prior it would give away what is
    /// to be found.
    fn is_same_measurement(&self, other: &Known) -> bool {
        let Some(costs) = self.costs_from(other) else { return false };
        let passed = |c: &f64| c.is_finite();
        let both: Vec<(f64, f64)> =
            self.outcomes.iter().map(|o| o.cost()).zip(costs).filter(|(a, b)| passed(a) && passed(b)).collect();
        !both.is_empty() && 2 * both.iter().filter(|(a, b)| a == b).count() > both.len()
    }

    /// What another space's outcomes are at this one's points, not a number where it has none; none
    /// where it is of something else.
    fn costs_from(&self, other: &Known) -> Option<Vec<f64>> {
        let names = |k: &Known| k.space.parameters().iter().map(|p| p.name.clone()).collect::<Vec<_>>();
        let (mine, theirs) = (names(self), names(other));
        let place: Option<Vec<usize>> = mine.iter().map(|n| theirs.iter().position(|t| t == n)).collect();
        let place = place.filter(|_| mine.len() == theirs.len())?;
        let value = |k: &Known, point: usize, d: usize| {
            k.space.parameters()[d].values[usize::from(k.space.places(point)[d])].to_bits()
        };
        let mut known: HashMap<Vec<u64>, f64> = HashMap::with_capacity(other.outcomes.len());
        for (i, outcome) in other.outcomes.iter().enumerate() {
            known.insert(place.iter().map(|d| value(other, i, *d)).collect(), outcome.cost());
        }
        let at = |i: usize| {
            let key: Vec<u64> = (0..mine.len()).map(|d| value(self, i, d)).collect();
            known.get(&key).copied().unwrap_or(f64::NAN)
        };
        let costs: Vec<f64> = (0..self.space.len()).map(at).collect();
        costs.iter().any(|c| !c.is_nan()).then_some(costs)
    }

    /// What another space says of this one's points; none where it is of something else.
    pub fn source(&self, other: &Known) -> Option<Source> {
        let slowdown = self.costs_from(other)?.into_iter().map(|c| (c / other.optimum).ln()).collect();
        Some(Source { name: other.name.clone(), weight: 1.0, slowdown })
    }
}

/// Who makes a device, as far as its name says.
fn vendor(device: &str) -> Option<&'static str> {
    let device = device.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|w| device.contains(w));
    // Makers and product lines; files that leave the device unnamed are called after a model.
    if says(&["nvidia", "geforce", "rtx", "tesla", "quadro", "a100", "a4000", "a6000", "v100", "h100", "h200"]) {
        Some("NVIDIA")
    } else if says(&["amd", "radeon", "instinct", "mi50", "mi100", "mi210", "mi250", "mi300", "gfx", "w6600", "w7800"])
    {
        Some("AMD")
    } else if says(&["intel", "xeon", "arc "]) {
        Some("Intel")
    } else {
        None
    }
}

/// The prior of a space from others, and in words what was left out of it: spaces of something
/// else, the space itself, and devices of other vendors where there is one of the same.
pub fn prior<'a>(space: &Known, others: impl IntoIterator<Item = &'a Known>) -> (Prior, Vec<String>) {
    let mut notes = Vec::new();
    let mut fitting: Vec<(&Known, Source)> = Vec::new();
    let mut given = 0;
    for other in others {
        given += 1;
        let Some(source) = space.source(other) else { continue };
        if space.is_same_measurement(other) {
            notes.push(format!("{}: no prior from {}, which holds the same times", space.name, other.name));
        } else if !fitting.iter().any(|(k, _)| k.is_same_measurement(other)) {
            fitting.push((other, source));
        }
    }
    if given > 0 && fitting.is_empty() {
        notes.push(format!("{}: no prior, no other file has its parameters and configs", space.name));
    }
    let mine = vendor(&space.device);
    let is_kin = |k: &Known| mine.is_some() && vendor(&k.device) == mine;
    let any_kin = fitting.iter().any(|(k, _)| is_kin(k));
    let mut prior = Prior::default();
    for (other, source) in fitting {
        if any_kin && !is_kin(other) {
            notes.push(format!("{}: no prior from {}, which is of another vendor", space.name, other.name));
        } else {
            prior.add(source);
        }
    }
    (prior, notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A space of eight points, `device` with its times.
    fn known(name: &str, device: &str, times: [f64; 8]) -> Known {
        let entry =
            |(i, t): (usize, &f64)| format!("\"{},{}\":{{\"a\":{},\"b\":{},\"time\":{t}}}", i / 4, i % 4, i / 4, i % 4);
        let cache: Vec<String> = times.iter().enumerate().map(entry).collect();
        let text = format!(
            "{{\"device_name\":\"{device}\",\"kernel_name\":\"k\",\"tune_params_keys\":[\"a\",\"b\"],\"cache\":{{{}}}}}",
            cache.join(",")
        );
        let path = Path::new("x.json");
        Known::new(name.into(), path, &interchange::parse(path, text.as_bytes()).unwrap()).unwrap()
    }

    const TIMES: [f64; 8] = [4.0, 3.0, 2.0, 1.0, 5.0, 6.0, 7.0, 8.0];

    #[test]
    fn a_prior_is_of_the_same_vendor_and_never_the_space_itself() {
        let double = TIMES.map(|t| 2.0 * t + 1.0);
        let mine = known("mine", "NVIDIA A100", TIMES);
        let others = [
            known("kin", "NVIDIA RTX A4000", double),
            known("foreign", "AMD Radeon PRO W6600", TIMES.map(|t| 3.0 * t + 1.0)),
            known("itself", "NVIDIA A100", TIMES),
        ];
        let (prior, notes) = prior(&mine, &others);
        assert_eq!(prior.sources().iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["kin"]);
        assert!(notes.iter().any(|n| n.contains("foreign, which is of another vendor")), "{notes:?}");
        assert!(notes.iter().any(|n| n.contains("itself, which holds the same times")), "{notes:?}");
        // Best at the same point, slower by the logarithm of 9 to 3 at the first.
        let slowdown = &prior.sources()[0].slowdown;
        assert_eq!(slowdown[3], 0.0);
        assert!((slowdown[0] - (9.0f64 / 3.0).ln()).abs() < 1e-12);
        let (foreign, _) = super::prior(&mine, &others[1..2]);
        assert_eq!(foreign.sources().len(), 1, "better than nothing");
    }
}
