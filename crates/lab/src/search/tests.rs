//! What holds for every strategy, and what a prior may do to a search.

use super::prior::Source;
use super::*;
use std::collections::HashSet;

/// A space of 5 × 6 × 7 × 2 with holes.
fn space() -> Arc<Space> {
    let parameter = |name: &str, count: u32| Parameter {
        name: name.into(),
        values: (0..count).map(|i| f64::from(1 << i)).collect(),
        names: false,
    };
    let parameters = vec![parameter("a", 5), parameter("b", 6), parameter("c", 7), parameter("d", 2)];
    let mut points = Vec::new();
    for i in 0..5 * 6 * 7 * 2u16 {
        let point = vec![i % 5, i / 5 % 6, i / 30 % 7, i / 210];
        // A constraint, as real spaces have.
        if point[0] + point[1] + point[2] <= 11 && (point[2] + point[3]) % 7 != 3 {
            points.push(point);
        }
    }
    Arc::new(Space::new(parameters, &points).unwrap())
}

/// A valley with a ridge: the best is where a·b = 16 and c is large; some points fail.
fn outcome(space: &Space, point: usize) -> Outcome {
    let p: Vec<f64> = space.places(point).iter().map(|x| f64::from(*x)).collect();
    if p[0] + p[2] > 9.0 {
        return Outcome::Failed;
    }
    let ridge = if p[3] == 1.0 && p[1] < 2.0 { 0.8 } else { 0.0 };
    Outcome::Time((0.3 * (p[0] + p[1] - 4.0).abs() + 0.15 * (5.0 - p[2]).abs() + ridge + 0.01 * p[0]).exp())
}

fn optimum(space: &Space) -> f64 {
    (0..space.len()).map(|p| outcome(space, p).cost()).fold(f64::INFINITY, f64::min)
}

/// Fraction of the optimum after each of `budget` evaluations.
fn search(name: &str, prior: &Prior, budget: usize, seed: u64) -> (Vec<f64>, Vec<usize>, Option<PriorCheck>) {
    let space = space();
    let setting = Setting { space: space.clone(), prior: prior.clone(), seed };
    let mut strategy = strategy(name, setting).unwrap();
    let (mut best, mut fraction, mut asked) = (f64::INFINITY, Vec::new(), Vec::new());
    while fraction.len() < budget {
        let Some(point) = strategy.ask(1, fraction.len() as f64 / budget as f64).first().copied() else { break };
        let outcome = outcome(&space, point);
        best = best.min(outcome.cost());
        strategy.tell(point, outcome);
        fraction.push(optimum(&space) / best);
        asked.push(point);
    }
    (fraction, asked, strategy.prior_check())
}

fn mean(name: &str, prior: &Prior, budget: usize) -> f64 {
    (0..10).map(|seed| search(name, prior, budget, seed).0[budget - 1]).sum::<f64>() / 10.0
}

fn prior_of(slowdown: impl Fn(f64) -> f64) -> Prior {
    let space = space();
    let best = optimum(&space);
    let mut prior = Prior::default();
    let slowdown = (0..space.len()).map(|p| slowdown((outcome(&space, p).cost() / best).ln())).collect();
    prior.add(Source { name: "other".into(), weight: 1.0, slowdown });
    prior
}

#[test]
fn every_strategy_asks_for_each_point_once_and_then_ends() {
    let space = space();
    for entry in STRATEGIES {
        for batch in [1, 7] {
            let setting = Setting { space: space.clone(), prior: prior_of(|s| s), seed: 3 };
            let mut strategy = (entry.make)(setting);
            let mut seen = HashSet::new();
            loop {
                let asked = strategy.ask(batch, seen.len() as f64 / space.len() as f64);
                assert!(asked.len() <= batch);
                if asked.is_empty() {
                    break;
                }
                for point in asked {
                    assert!(seen.insert(point), "{} asked twice for {point}", entry.name);
                    strategy.tell(point, outcome(&space, point));
                }
            }
            assert_eq!(seen.len(), space.len(), "{} with batches of {batch}", entry.name);
        }
    }
}

#[test]
fn a_seed_decides_the_whole_search() {
    for entry in STRATEGIES {
        let (_, first, _) = search(entry.name, &prior_of(|s| s), 60, 5);
        let (_, again, _) = search(entry.name, &prior_of(|s| s), 60, 5);
        assert_eq!(first, again, "{}", entry.name);
    }
    let differ = ["random", "descent", "annealing", "genetic", "surrogate", "default"];
    for name in differ {
        let (_, first, _) = search(name, &Prior::default(), 60, 5);
        assert_ne!(first, search(name, &Prior::default(), 60, 6).1, "{name}");
    }
}

#[test]
fn points_told_without_being_asked_for_are_known() {
    let space = space();
    for entry in STRATEGIES {
        let setting = Setting { space: space.clone(), prior: Prior::default(), seed: 1 };
        let mut strategy = (entry.make)(setting);
        (0..space.len() - 3).for_each(|p| strategy.tell(p, outcome(&space, p)));
        let mut left = strategy.ask(10, 0.5);
        // A descent waits for outcomes before it goes on.
        while left.len() < 3 {
            left.iter().for_each(|p| strategy.tell(*p, Outcome::Failed));
            let more = strategy.ask(10, 0.5);
            assert!(!more.is_empty(), "{}", entry.name);
            left.extend(more);
        }
        left.sort_unstable();
        assert_eq!(left, (space.len() - 3..space.len()).collect::<Vec<_>>(), "{}", entry.name);
    }
}

#[test]
fn a_search_where_all_fails_goes_on_to_the_end() {
    let space = space();
    for entry in STRATEGIES {
        let setting = Setting { space: space.clone(), prior: prior_of(|s| s), seed: 2 };
        let mut strategy = (entry.make)(setting);
        let mut count = 0;
        while let Some(point) = strategy.ask(1, 0.3).first() {
            strategy.tell(*point, Outcome::Failed);
            count += 1;
        }
        assert_eq!(count, space.len(), "{}", entry.name);
    }
}

#[test]
fn strategies_that_learn_beat_random_ones() {
    let none = Prior::default();
    let random = mean("random", &none, 40);
    for name in ["surrogate", "default"] {
        let found = mean(name, &none, 40);
        assert!(found > random + 0.05 && found > 0.97, "{name} {found}, random {random}");
    }
    for name in ["descent", "annealing", "genetic"] {
        let (found, random) = (mean(name, &none, 100), mean("random", &none, 100));
        assert!(found >= random - 0.02 && found > 0.9, "{name} {found}, random {random}");
    }
}

#[test]
fn a_good_prior_is_right_at_once_and_says_so() {
    let good = prior_of(|s| 0.8 * s + 0.1);
    assert!(mean("default", &good, 5) > 0.99);
    let check = search("default", &good, 60, 1).2.unwrap();
    assert!(check.correlation > 0.95 && check.trust > 0.9, "{check:?}");
    assert_eq!((check.points, check.sources.len()), (60, 1));
}

#[test]
fn no_prior_traps_the_search() {
    // The slowest first: as bad as a prior can be.
    let inverted = prior_of(|s| 3.0 - s.min(3.0));
    // The right order, but the best third of all is said to be hopeless.
    let trap = prior_of(|s| if s < 0.5 { 3.0 } else { s });
    let noise = {
        let mut prior = Prior::default();
        let slowdown = (0..space().len()).map(|p| (p * 7919 % 1000) as f64 / 500.0).collect();
        prior.add(Source { name: "noise".into(), weight: 1.0, slowdown });
        prior
    };
    for (what, prior) in [("inverted", inverted), ("trap", trap), ("noise", noise)] {
        let found = mean("default", &prior, 80);
        assert!(found > 0.97, "{what}: {found}");
    }
}

#[test]
fn an_inverted_prior_is_seen_through() {
    let check = search("default", &prior_of(|s| 3.0 - s.min(3.0)), 80, 1).2.unwrap();
    assert!(check.correlation < -0.5 && check.trust < 0.2, "{check:?}");
}

#[test]
fn an_unknown_strategy_is_named() {
    let error = find("clever").err().unwrap().to_string();
    assert!(error.contains("`clever`") && error.contains("annealing"), "{error}");
}

#[test]
fn nothing_to_search_is_nothing_to_ask_for() {
    let space = Arc::new(Space::new(Vec::new(), &[]).unwrap());
    for entry in STRATEGIES {
        let setting = Setting { space: space.clone(), prior: Prior::default(), seed: 1 };
        assert!((entry.make)(setting).ask(4, 0.0).is_empty(), "{}", entry.name);
    }
}
