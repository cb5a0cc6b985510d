//! The prior's quick microbenchmark: one candidate of each tile on a miniature of the product, which
//! takes a small part of the time of the product itself, and what its configs may cost there.
//!
//! A tile is what a launch's geometry says of a config: its variant, grid, block and shared memory.
//! The miniature fills a GPU about twice and is long enough to be more than its ends. What a tile took
//! there, beside a launch's own time, is scaled by how full of it the device is here and there.

use super::analytic::{LAUNCH_US, share};
use super::prior::Source;
use kernelsmith_core::Problem;
use kernelsmith_kernels::{Candidate, Catalogue, CatalogueError, DeviceFacts, Variant};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Sizes of a miniature, at most: m, n, k.
const MINIATURE: [(&str, usize); 3] = [("m", 2048), ("n", 2048), ("k", 512)];
/// The product is at least this many times the miniature's work; else it is measured itself.
const WORTH: f64 = 8.0;
/// Tiles that are tried, at most.
const MOST: usize = 24;
/// Beside a sibling's records at a distance of one power of two, which count 0.25.
const WEIGHT: f64 = 0.3;

/// What a launch's geometry says of a config.
type Tile = (String, [u32; 3], [u32; 3], u32);

/// The tiles of one product, and what was measured of them.
#[derive(Debug)]
pub struct Tiles {
    pub miniature: Problem,
    /// One candidate of each tile that is tried, the analytic model's best first.
    pub tried: Vec<Candidate>,
    tile_of: BTreeMap<Candidate, Tile>,
    /// Shares of the device that a tile keeps busy: in the miniature, and in the product.
    busy: BTreeMap<Tile, (f64, f64)>,
    us: BTreeMap<Tile, f64>,
}

/// A smaller product of the same class; none where the problem is no large plain product.
pub fn miniature(problem: &Problem) -> Option<Problem> {
    let text = problem.text();
    // A view with strides of its own would lose them.
    if problem.op() != "gemm" || text.contains('@') {
        return None;
    }
    let sized = |part: &str| {
        let (key, size) = part.split_once('=')?;
        let (_, most) = MINIATURE.iter().find(|(k, _)| *k == key)?;
        Some(format!("{key}={}", size.parse::<usize>().ok()?.min(*most)))
    };
    let parts: Vec<String> = text.split(',').map(|p| sized(p).unwrap_or_else(|| p.to_string())).collect();
    let small = Problem::parse("gemm", &parts.join(",")).ok()?;
    (problem.flops() >= WORTH * small.flops()).then_some(small)
}

impl Tiles {
    /// The tiles of a product's candidates that exist in its miniature too; none where the device has no
    /// multiprocessors to fill, as a CPU, or a miniature would not be much smaller.
    ///
    /// # Errors
    /// A manifest's expression cannot be evaluated.
    pub fn new(
        catalogue: &Catalogue,
        variants: &[Arc<Variant>],
        problem: &Problem,
        facts: &DeviceFacts,
    ) -> Result<Option<Self>, CatalogueError> {
        let Some(small) = miniature(problem).filter(|_| facts.sms > 0) else { return Ok(None) };
        let able = catalogue.capable(&small, facts)?.0;
        let is_able = |v: &&Arc<Variant>| v.vendor.is_none() && able.iter().any(|a| a.name == v.name);
        let (mut tile_of, mut busy) = (BTreeMap::new(), BTreeMap::new());
        let mut first: Vec<(f64, Candidate)> = Vec::new();
        for variant in variants.iter().filter(is_able) {
            let there = variant.space(&small, facts)?;
            for config in variant.space(problem, facts)? {
                let Some(large) = variant.launches(&config, problem, facts)?.pop() else { continue };
                let tile = (variant.name.clone(), large.grid, large.block, large.shared);
                let candidate = Candidate { variant: variant.name.clone(), config };
                if !busy.contains_key(&tile) && there.contains(&candidate.config) {
                    let Some(launch) = variant.launches(&candidate.config, &small, facts)?.pop() else { continue };
                    let shares = (share(&launch, facts), share(&large, facts));
                    first.push((shares.1, candidate.clone()));
                    busy.insert(tile.clone(), shares);
                }
                tile_of.insert(candidate, tile);
            }
        }
        first.sort_by(|a, b| b.0.total_cmp(&a.0));
        let tried: Vec<Candidate> = first.into_iter().map(|(_, c)| c).take(MOST).collect();
        Ok((!tried.is_empty()).then_some(Tiles { miniature: small, tried, tile_of, busy, us: BTreeMap::new() }))
    }

    /// The miniature's time with a candidate; infinite where it failed.
    pub fn learn(&mut self, candidate: &Candidate, us: f64) {
        if let Some(tile) = self.tile_of.get(candidate) {
            self.us.insert(tile.clone(), us);
        }
    }

    /// What the tiles say of `candidates`.
    pub fn source(&self, candidates: &[&Candidate]) -> Source {
        let cost = |tile: &Tile| {
            let (us, (there, here)) = (self.us.get(tile)?, self.busy.get(tile)?);
            // A quarter at least is the tile's own, however short the miniature.
            Some((us - LAUNCH_US).max(us / 4.0) * there / here)
        };
        let costs: Vec<f64> =
            candidates.iter().map(|c| self.tile_of.get(c).and_then(cost).unwrap_or(f64::NAN)).collect();
        let best = costs.iter().copied().filter(|c| !c.is_nan()).fold(f64::INFINITY, f64::min);
        let slowdown = if best.is_finite() { costs.iter().map(|c| (c / best).ln()).collect() } else { Vec::new() };
        Source { name: format!("tiles on {}", self.miniature), weight: WEIGHT, slowdown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernelsmith_kernels::Target;

    fn gemm(text: &str) -> Problem {
        Problem::parse("gemm", text).unwrap()
    }

    fn tiles(text: &str, facts: &DeviceFacts) -> Option<Tiles> {
        let catalogue = Catalogue::builtin().unwrap();
        let problem = gemm(text);
        let (able, _) = catalogue.capable(&problem, facts).unwrap();
        Tiles::new(&catalogue, &able, &problem, facts).unwrap()
    }

    #[test]
    fn a_miniature_is_of_the_same_class_and_a_small_part_of_the_work() {
        let small = miniature(&gemm("m=4096,n=8192,k=4096,dtype=f16,layout=tn,epilogue=bias+gelu")).unwrap();
        assert_eq!(small, gemm("m=2048,n=2048,k=512,dtype=f16,layout=tn,epilogue=bias+gelu"));
        let few = miniature(&gemm("m=16,n=151936,k=4096,dtype=f16,layout=nt")).unwrap();
        assert_eq!(few, gemm("m=16,n=2048,k=512,dtype=f16,layout=nt"));
        // An expression has commas of its own.
        let text = "m=9000,n=9000,k=9000,dtype=f32,expr=max(v,mul(x0,2.0)),x0=f32";
        assert!(miniature(&gemm(text)).is_some_and(|p| p.text().contains("expr=max(v,mul(x0,2.0))")));
        assert!(miniature(&gemm("m=1024,n=1024,k=1024,dtype=f16")).is_none(), "as quick itself");
        assert!(miniature(&gemm("m=9000,n=9000,k=9000,dtype=f16,d=0@0:1:9000")).is_none());
        assert!(miniature(&Problem::parse("map", "shape=268435456,expr=x0,x0=f32,out=f32").unwrap()).is_none());
    }

    #[test]
    fn each_tile_is_tried_once_and_speaks_for_its_configs() {
        let mut tiles = tiles("m=4096,n=4096,k=4096,dtype=f16,layout=nt", &DeviceFacts::h200()).unwrap();
        assert!(tiles.tried.len() <= MOST && tiles.tried.len() > 8, "{}", tiles.tried.len());
        let distinct: std::collections::BTreeSet<&Tile> = tiles.tried.iter().map(|c| &tiles.tile_of[c]).collect();
        assert_eq!(distinct.len(), tiles.tried.len());
        // The first took a tenth of the others' time.
        for (i, candidate) in tiles.tried.clone().iter().enumerate() {
            tiles.learn(candidate, if i == 0 { 20.0 } else { 200.0 });
        }
        let all: Vec<Candidate> = tiles.tile_of.keys().cloned().collect();
        let source = tiles.source(&all.iter().collect::<Vec<_>>());
        let mut known = 0;
        for (candidate, slowdown) in all.iter().zip(&source.slowdown) {
            let tile = &tiles.tile_of[candidate];
            assert_eq!(slowdown.is_nan(), !tiles.us.contains_key(tile), "{candidate}");
            known += usize::from(!slowdown.is_nan());
            if *tile == tiles.tile_of[&tiles.tried[0]] {
                assert_eq!(*slowdown, 0.0, "{candidate}");
            }
        }
        assert!(known > tiles.tried.len(), "{known}");
    }

    #[test]
    fn failures_are_known_and_nothing_measured_says_nothing() {
        let mut tiles = tiles("m=4096,n=4096,k=4096,dtype=f16,layout=nt", &DeviceFacts::h200()).unwrap();
        let all: Vec<Candidate> = tiles.tried.clone();
        let of = |tiles: &Tiles| tiles.source(&all.iter().collect::<Vec<_>>()).slowdown;
        assert!(of(&tiles).is_empty());
        tiles.learn(&all[0], f64::INFINITY);
        assert!(of(&tiles).is_empty(), "no best");
        tiles.learn(&all[1], 50.0);
        assert_eq!(of(&tiles)[0], f64::INFINITY);
        assert_eq!(of(&tiles)[1], 0.0);
        assert!(of(&tiles)[2].is_nan());
    }

    #[test]
    fn a_cpu_has_no_tiles() {
        let mut facts = DeviceFacts::h200();
        (facts.target, facts.sms) = (Target::Cpu, 0);
        assert!(tiles("m=4096,n=4096,k=4096,dtype=f32", &facts).is_none());
    }
}
