//! What a GPU engineer expects of a config before anything is known of it, by the names of its
//! parameters: a weak prior, each part of which is unlearned where measurements speak against it.
//!
//! The parts are those of the vendors' guides (CUDA C++ Best Practices Guide, "Execution
//! configuration optimizations" and "Coalesced access to global memory"; AMD's HIP performance
//! guidelines): whole warps, blocks of 128 to 256 threads to start from, rows that fill a warp, a few
//! results a thread, and sizes that are powers of two. The figures are round numbers: how much each
//! may cost, not a fit to anything measured.

use super::Space;
use super::features::odd_part;
use std::sync::Arc;

/// Threads of a warp; half of AMD's wavefronts of 64.
const WARP: f64 = 32.0;
/// Threads of a block between which more or fewer are no matter.
const THREADS: (f64, f64) = (128.0, 256.0);
/// Results a thread that hide latency and leave registers.
const WORK: f64 = 4.0;

/// One expectation: a quantity of a config, and what a unit of it adds to the logarithm of the time.
#[derive(Clone, Copy, Debug)]
struct Part {
    of: Quantity,
    mean: f64,
    /// How unsure that is.
    deviation: f64,
}

#[derive(Clone, Copy, Debug)]
enum Quantity {
    /// 1 where this parameter's value is no power of two.
    Odd(usize),
    /// Logarithm of the lanes that start over those that work.
    IdleLanes,
    /// How often the block would have to be doubled, or halved.
    FewThreads,
    ManyThreads,
    /// How often the block's rows, along this parameter, would have to be doubled to fill a warp.
    NarrowRows(usize),
    /// Powers of two between the results of a thread and a few.
    Work,
}

#[derive(Clone, Debug)]
pub struct Expectation {
    space: Arc<Space>,
    parts: Vec<Part>,
    /// Parameters whose product is the threads of a block.
    block: Vec<usize>,
    /// Parameters whose product is the results of a thread.
    work: Vec<usize>,
}

/// Names, or what they contain, of a block's extent: Kernel Tuner's, CLBlast's, and usual ones.
const BLOCK: &[&str] = &[
    "block_size",
    "block_dim",
    "blockdim",
    "blocksize",
    "workgroup",
    "work_group",
    "local_size",
    "wg_size",
    "threads",
    "mdimc",
    "ndimc",
];
/// The same of a thread's share.
const SHARE: &[&str] = &["tile_size", "per_thread", "thread_tile", "coarsen", "items", "wpt"];

impl Expectation {
    pub fn new(space: &Arc<Space>) -> Self {
        let parameters = space.parameters();
        let counts = |d: &usize| !parameters[*d].names && parameters[*d].values.iter().all(|v| *v >= 1.0);
        let called = |d: &usize, words: &[&str]| {
            let name = parameters[*d].name.to_ascii_lowercase();
            words.iter().any(|w| name.contains(w))
        };
        let sizes: Vec<usize> = (0..parameters.len()).filter(counts).collect();
        let work: Vec<usize> = sizes.iter().copied().filter(|d| called(d, SHARE)).collect();
        let block: Vec<usize> = sizes.iter().copied().filter(|d| called(d, BLOCK) && !work.contains(d)).collect();
        let mut parts = Vec::new();
        let mut expect = |of, mean, deviation| parts.push(Part { of, mean, deviation });
        for d in sizes.iter().copied().filter(|d| parameters[*d].values.len() > 2) {
            let odd = parameters[d].values.iter().filter(|v| odd_part(**v) > 1.0).count();
            if 0 < odd && odd < parameters[d].values.len() {
                expect(Quantity::Odd(d), 0.1, 0.3);
            }
        }
        if !block.is_empty() {
            expect(Quantity::IdleLanes, 1.0, 0.3);
            expect(Quantity::FewThreads, 0.2, 0.2);
            expect(Quantity::ManyThreads, 0.1, 0.2);
            let first = |d: &&usize| parameters[**d].name.to_ascii_lowercase().ends_with(['x', '0']);
            if block.len() > 1
                && let Some(x) = block.iter().find(first)
            {
                expect(Quantity::NarrowRows(*x), 0.1, 0.2);
            }
        }
        if !work.is_empty() {
            expect(Quantity::Work, 0.1, 0.2);
        }
        Expectation { space: space.clone(), parts, block, work }
    }

    /// The logarithm that is expected of a point, on a scale without a zero. Appends each part's
    /// deviation there: the products of two points' deviations are their covariance.
    pub fn append(&self, point: usize, deviations: &mut Vec<f64>) -> f64 {
        let places = self.space.places(point);
        let value = |d: usize| self.space.parameters()[d].values[usize::from(places[d])];
        let threads: f64 = self.block.iter().map(|d| value(*d)).product();
        let work: f64 = self.work.iter().map(|d| value(*d)).product();
        let quantity = |of| match of {
            Quantity::Odd(d) => f64::from(u8::from(odd_part(value(d)) > 1.0)),
            Quantity::IdleLanes => ((threads / WARP).ceil() * WARP / threads).ln(),
            Quantity::FewThreads => (THREADS.0 / threads).log2().max(0.0),
            Quantity::ManyThreads => (threads / THREADS.1).log2().max(0.0),
            Quantity::NarrowRows(x) => (WARP / value(x)).log2().max(0.0),
            Quantity::Work => (work / WORK).log2().abs(),
        };
        let mut expected = 0.0;
        for part in &self.parts {
            let x = quantity(part.of);
            expected += part.mean * x;
            deviations.push(part.deviation * x);
        }
        expected
    }
}

#[cfg(test)]
mod tests {
    use super::super::Parameter;
    use super::*;

    fn expectation(parameters: &[(&str, &[f64])]) -> Expectation {
        let parameters: Vec<Parameter> = parameters
            .iter()
            .map(|(name, values)| Parameter { name: (*name).into(), values: values.to_vec(), names: false })
            .collect();
        // Every value of the first parameter, with the first of the others.
        let point = |i| (0..parameters.len()).map(|d| if d == 0 { i } else { 0 }).collect();
        let points: Vec<Vec<u16>> = (0..parameters[0].values.len() as u16).map(point).collect();
        Expectation::new(&Arc::new(Space::new(parameters, &points).unwrap()))
    }

    fn all(e: &Expectation) -> Vec<f64> {
        (0..e.space.len()).map(|p| e.append(p, &mut Vec::new())).collect()
    }

    #[test]
    fn whole_warps_and_blocks_of_middle_size_are_expected_to_be_fast() {
        let e = expectation(&[("block_size_x", &[1.0, 16.0, 40.0, 128.0, 256.0, 1024.0])]);
        let t = all(&e);
        assert!(t[0] > t[1] && t[1] > t[2] && t[2] > t[3] && t[3] == t[4] && t[4] < t[5], "{t:?}");
        assert_eq!((t[3], t[5]), (0.0, 0.2));
    }

    #[test]
    fn work_is_a_few_results_a_thread_and_no_thread() {
        let e = expectation(&[("work_per_thread_x", &[1.0, 4.0, 16.0])]);
        assert_eq!(all(&e), [0.2, 0.0, 0.2]);
        assert!(e.block.is_empty());
    }

    #[test]
    fn of_names_that_say_nothing_only_powers_of_two_are_expected() {
        let e = expectation(&[("P", &[2.0, 3.0, 4.0, 8.0]), ("Q", &[0.0, 1.0, 2.0])]);
        assert_eq!((all(&e), e.parts.len()), (vec![0.0, 0.1, 0.0, 0.0], 1));
    }
}
