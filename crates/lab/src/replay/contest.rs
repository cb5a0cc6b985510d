//! A strategy on many spaces and seeds.

use super::known::prior;
use super::{Curve, Known, KnownError, Row, rows, run};
use crate::search::UnknownStrategy;
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ContestError {
    #[error(transparent)]
    Known(#[from] KnownError),
    #[error(transparent)]
    Strategy(#[from] UnknownStrategy),
}

/// What a contest came to.
#[derive(Clone, Debug)]
pub struct Contest {
    pub rows: Vec<Row>,
    /// For each space the files that its prior is from.
    pub priors: Vec<Vec<String>>,
    /// What was left out of priors, and why.
    pub notes: Vec<String>,
}

/// Searches every space of `files` once for each seed from 0 on, with a prior from `others`.
pub fn contest(
    files: &[PathBuf],
    others: &[PathBuf],
    strategy: &str,
    budget: usize,
    seeds: u64,
) -> Result<Contest, ContestError> {
    crate::search::find(strategy)?;
    // A file may be a space and another's prior.
    let mut paths: Vec<&Path> = files.iter().chain(others).map(PathBuf::as_path).collect();
    paths.sort_unstable();
    paths.dedup();
    let loaded: Vec<Known> = paths.iter().map(|p| Known::load(p)).collect::<Result<_, _>>()?;
    let by_path: HashMap<&Path, &Known> = paths.into_iter().zip(&loaded).collect();
    let find =
        |paths: &[PathBuf]| -> Vec<&Known> { paths.iter().filter_map(|p| by_path.get(p.as_path()).copied()).collect() };
    let (spaces, others) = (find(files), find(others));
    let (priors, notes): (Vec<_>, Vec<_>) = spaces.iter().map(|s| prior(s, others.iter().copied())).unzip();
    let jobs: Vec<(usize, u64)> = (0..spaces.len()).flat_map(|i| (0..seeds).map(move |s| (i, s))).collect();
    let curves: Vec<Curve> = jobs
        .into_par_iter()
        .map(|(i, seed)| run(spaces[i], strategy, &priors[i], budget, seed))
        .collect::<Result<_, _>>()?;
    let of_space = curves.chunks(seeds.max(1) as usize).map(<[Curve]>::to_vec);
    let named: Vec<(String, Vec<Curve>)> = spaces.iter().map(|s| s.name.clone()).zip(of_space).collect();
    let names = |p: &crate::search::Prior| p.sources().iter().map(|s| s.name.clone()).collect();
    Ok(Contest {
        rows: rows(&named, budget),
        priors: priors.iter().map(names).collect(),
        notes: notes.into_iter().flatten().collect(),
    })
}
