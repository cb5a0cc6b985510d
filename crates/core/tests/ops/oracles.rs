//! Oracles accept the definition computed in the problem's arithmetic, on every family of inputs,
//! and reject faults.

use super::naive::{self, Fault, arrays};
use super::problems;
use kernelsmith_core::inputs::Inputs;
use kernelsmith_core::ops::OracleBudget;
use kernelsmith_core::ops::attention::AttentionProblem;
use kernelsmith_core::ops::map::MapProblem;
use kernelsmith_core::ops::reduce::ReduceProblem;
use kernelsmith_core::ops::row::RowProblem;
use kernelsmith_core::reference::Comparison;
use kernelsmith_core::{HostArray, Problem};
use proptest::prelude::*;

const ALL: OracleBudget = OracleBudget { full_flops: f64::INFINITY, samples: 0 };

fn run(problem: &Problem, x: &[HostArray], fault: Fault) -> HostArray {
    if let Some(p) = problem.downcast::<MapProblem>() {
        naive::map(p, x, fault)
    } else if let Some(p) = problem.downcast::<ReduceProblem>() {
        naive::reduce(p, x, fault)
    } else if let Some(p) = problem.downcast::<AttentionProblem>() {
        naive::attention(p, x, fault)
    } else {
        naive::row(problem.downcast::<RowProblem>().unwrap(), x, fault)
    }
}

fn judge(problem: &Problem, family: Inputs, fault: Fault, budget: OracleBudget) -> Comparison {
    let x = arrays(&problem.operands(), family, 5);
    let refs: Vec<&HostArray> = x.iter().collect();
    problem.reference(&refs, family, budget).compare(&run(problem, &x, fault), &problem.output().layout)
}

const ARITHMETIC: [&str; 4] = ["f32", "f64", "f16", "bf16"];

fn problems_with_faults() -> Vec<(Problem, &'static [Fault])> {
    let mut out = Vec::new();
    let mut push = |op: &str, text: String, faults: &'static [Fault]| {
        out.push((Problem::parse(op, &text).unwrap_or_else(|e| panic!("{e}")), faults));
    };
    for d in ARITHMETIC {
        push(
            "map",
            format!("shape=30x50,expr=gelu(add(x0,x1)),x0={d},x1={d}@0:0:1,out={d}"),
            &[Fault::SkipsLast, Fault::WrongRow],
        );
        push(
            "map",
            format!("shape=1500,expr=add(mul(x0,x1),x2),x0={d},x1={d},x2={d},out={d}"),
            &[Fault::SkipsLast, Fault::WrongRow],
        );
        for kind in ["sum", "max", "min"] {
            let faults: &[Fault] = if kind == "sum" {
                &[Fault::SkipsLast, Fault::WrongRow, Fault::NoPost, Fault::HalfSum, Fault::ShortSum]
            } else {
                &[Fault::SkipsLast, Fault::WrongRow, Fault::NoPost]
            };
            push(
                "reduce",
                format!("kind={kind},outer=20,inner=300,post=add(mul(v,0.25),x1),x0={d},x1=f32@0:1:0,out={d}"),
                faults,
            );
        }
        push(
            "reduce",
            format!("kind=argmax,outer=20,inner=300,post=add(v,1.0),x0={d},out=i32"),
            &[Fault::SkipsLast, Fault::WrongRow, Fault::NoPost],
        );
        for kind in ["softmax", "log_softmax", "layer_norm", "rms_norm"] {
            let eps = if kind.ends_with("norm") { ",eps=1e-5" } else { "" };
            push(
                "row",
                format!(
                    "kind={kind},rows=20,columns=300{eps},post=add(mul(v,x1),x2),x0={d},x1={d}@0:0:1,x2={d}@0:0:1,out={d}"
                ),
                &[Fault::SkipsLast, Fault::WrongRow, Fault::NoPost, Fault::HalfSum],
            );
        }
        push(
            "row",
            format!("kind=cross_entropy,rows=20,columns=300,post=mul(v,0.5),label=1,x0={d},x1=i32@0:1:0,out={d}"),
            &[Fault::SkipsLast, Fault::WrongRow, Fault::NoPost, Fault::HalfSum],
        );
    }
    for d in ["f32", "f16", "bf16"] {
        let faults = &[
            Fault::SkipsLast,
            Fault::WrongRow,
            Fault::HalfSum,
            Fault::ShortSum,
            Fault::NoScale,
            Fault::SeesOneMore,
            Fault::WrongHead,
        ];
        let text = format!("batch=2,heads=4,kv_heads=2,queries=20,keys=90,head=32,dtype={d},causal=1,order=bshd");
        push("attention", text, faults);
        push("attention", format!("heads=3,queries=20,keys=500,head=64,dtype={d}"), &faults[..4]);
    }
    out
}

#[test]
fn the_definition_passes_on_every_family() {
    for (problem, _) in problems_with_faults() {
        for family in Inputs::ALL {
            let found = judge(&problem, family, Fault::None, ALL);
            assert!(found.passes(), "{problem:?}, {family:?}: {found:?}");
        }
    }
}

#[test]
fn faults_do_not_pass() {
    for (problem, faults) in problems_with_faults() {
        for fault in faults {
            // What shows on both of the short gate's families, or on one that is made for it.
            let caught = [Inputs::Normal, Inputs::Integer, Inputs::Positive]
                .map(|family| !judge(&problem, family, *fault, ALL).passes());
            assert!(caught[0] || caught[2], "{problem:?}: {fault:?} passed: {caught:?}");
            if *fault == Fault::SkipsLast {
                assert_eq!(caught, [true; 3], "{problem:?}: an element that was not written");
            }
        }
    }
}

#[test]
fn bounds_are_tight_where_sums_are_exact() {
    let problem = Problem::parse("reduce", "kind=sum,outer=20,inner=3000,x0=f32,out=f32").unwrap();
    assert!(!judge(&problem, Inputs::Integer, Fault::ShortSum, ALL).passes());
    let found = judge(&problem, Inputs::Integer, Fault::None, ALL);
    assert_eq!(found.max_error_over_bound, 0.0);
}

#[test]
fn a_sample_covers_what_is_too_much() {
    let few = OracleBudget { full_flops: 1e4, samples: 512 };
    for (op, text) in [
        ("map", "shape=100000,expr=exp(x0),x0=f32,out=f32"),
        ("reduce", "kind=sum,outer=3000,inner=50,x0=f32,out=f32"),
        ("row", "kind=softmax,rows=3000,columns=20,x0=f32,out=f32"),
        ("attention", "heads=2,queries=700,keys=20,head=16,dtype=f32"),
    ] {
        let problem = Problem::parse(op, text).unwrap();
        let found = judge(&problem, Inputs::Normal, Fault::None, few);
        assert!(found.passes() && found.checked < problem.output().layout.len(), "{text}: {found:?}");
        assert!(found.checked >= 100, "{text}: {found:?}");
        assert!(!judge(&problem, Inputs::Normal, Fault::SkipsLast, few).passes(), "{text}");
        assert!(!judge(&problem, Inputs::Normal, Fault::WrongRow, few).passes(), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn the_definition_of_any_problem_passes(seed in any::<u64>(), family in prop::sample::select(&Inputs::ALL[..])) {
        let problem = match seed % 4 {
            0 => Problem::new(problems::map(seed)),
            1 => Problem::new(problems::reduce(seed)),
            2 => Problem::new(problems::attention(seed)),
            _ => Problem::new(problems::row(seed)),
        };
        let found = judge(&problem, family, Fault::None, ALL);
        prop_assert!(found.wrong == 0, "{:?}, {:?}: {:?}", problem, family, found);
    }
}
