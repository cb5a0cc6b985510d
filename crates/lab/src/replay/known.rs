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

    /// What another space says of this one's points; none where it is of something else.
    pub fn source(&self, other: &Known) -> Option<Source> {
        let names = |k: &Known| k.space.parameters().iter().map(|p| p.name.clone()).collect::<Vec<_>>();
        let (mine, theirs) = (names(self), names(other));
        let place: Option<Vec<usize>> = mine.iter().map(|n| theirs.iter().position(|t| t == n)).collect();
        let place = place.filter(|_| mine.len() == theirs.len())?;
        let mut known: HashMap<Vec<u64>, f64> = HashMap::new();
        for (i, outcome) in other.outcomes.iter().enumerate() {
            let value = |d: &usize| {
                other.space.parameters()[*d].values[usize::from(other.space.places(i)[*d])].to_bits()
            };
            known.insert(place.iter().map(value).collect(), (outcome.cost() / other.optimum).ln());
        }
        let slowdown = (0..self.space.len()).map(|i| {
            let value = |(d, at): (usize, &u16)| self.space.parameters()[d].values[usize::from(*at)].to_bits();
            let key: Vec<u64> = self.space.places(i).iter().enumerate().map(value).collect();
            known.get(&key).copied().unwrap_or(f64::NAN)
        });
        Some(Source { name: other.name.clone(), weight: 1.0, slowdown: slowdown.collect() })
    }
}

/// The prior of a space from others.
pub fn prior(space: &Known, others: &[Known]) -> Prior {
    let mut prior = Prior::default();
    for other in others {
        prior.sources_from(space, other);
    }
    prior
}

impl Prior {
    fn sources_from(&mut self, space: &Known, other: &Known) {
        if let Some(source) = space.source(other) {
            self.add(source);
        }
    }
}
