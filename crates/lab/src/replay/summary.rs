//! Means over seeds and spaces, with intervals.

use super::Curve;

/// One line of the outcome: a space, or all of them.
#[derive(Clone, Debug)]
pub struct Row {
    pub space: String,
    pub fraction: Vec<(usize, f64, f64, f64)>,
}

const COUNTS: [usize; 5] = [10, 25, 50, 100, 200];

pub fn rows(spaces: &[(String, Vec<Curve>)], budget: usize) -> Vec<Row> {
    let counts: Vec<usize> = COUNTS.into_iter().filter(|c| *c <= budget).collect();
    let mut out: Vec<Row> = Vec::new();
    for (name, curves) in spaces {
        let at = |c: usize| curves.iter().map(|v| v.fraction[c - 1]).sum::<f64>() / curves.len() as f64;
        out.push(Row { space: name.clone(), fraction: counts.iter().map(|c| (*c, at(*c), 0.0, 0.0)).collect() });
    }
    let all = counts.iter().enumerate().map(|(i, c)| {
        (*c, out.iter().map(|r| r.fraction[i].1).sum::<f64>() / out.len() as f64, 0.0, 0.0)
    }).collect();
    out.push(Row { space: "all".into(), fraction: all });
    out
}
