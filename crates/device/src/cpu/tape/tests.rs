//! Tapes against the tree, on every instruction set.

use super::lane::Values;
use super::level::Level;
use super::{Leaves, Registers, Tape};
use crate::cpu::tape::convert::Stored;
use kernelsmith_core::DType;
use kernelsmith_core::expr::{Bounded, Expr, Stream};
use kernelsmith_core::expr_text::{BINARY, UNARY};
use kernelsmith_core::random::Distribution;
use proptest::prelude::*;

const N: usize = 77;

fn any_expr() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        Just(Expr::Value),
        (0usize..4).prop_map(Expr::Input),
        (0usize..2).prop_map(Expr::Index),
        prop::sample::select(&[0.0, -0.0, 1.0, -0.5, 2.0, 3.25][..]).prop_map(Expr::Const),
    ];
    leaf.prop_recursive(6, 48, 3, |inner| {
        prop_oneof![
            (prop::sample::select(&UNARY[..]), inner.clone()).prop_map(|((_, op), x)| Expr::unary(op, x)),
            (prop::sample::select(&BINARY[..]), inner.clone(), inner.clone())
                .prop_map(|((_, op), x, y)| Expr::binary(op, x, y)),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(c, x, y)| Expr::select(c, x, y)),
            (prop::sample::select(&DType::ALL[..]), inner.clone()).prop_map(|(d, x)| Expr::Round(d, Box::new(x))),
            (any::<u64>(), prop::sample::select(&Distribution::ALL[..]), 0usize..2).prop_map(
                |(seed, distribution, d)| { Expr::Random(Stream { distribution, seed }, Box::new(Expr::Index(d))) }
            ),
        ]
    })
}

/// The numbers that leaves hold at point `i`; input 3 is one number.
fn leaf(which: usize, i: usize) -> f64 {
    let h = kernelsmith_core::inputs::hash(which as u64, i as u64);
    match h % 40 {
        _ if which == 3 => 0.75,
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => f64::NEG_INFINITY,
        3 => 0.0,
        _ => ((h >> 8) as f64 / (1u64 << 54) as f64 - 2.0) as f32 as f64,
    }
}

fn position(d: usize, i: usize) -> usize {
    if d == 0 { 5 } else { 100 + i }
}

fn evaluate<T: Stored>(level: Level, expr: &Expr, to_out: bool) -> Vec<f64> {
    let tape = Tape::new(expr);
    let run = |which: usize| (0..N).map(|i| T::of(leaf(which, i))).collect::<Vec<T>>();
    let runs = [run(0), run(1), run(2), run(9)];
    let ramp: Vec<T> = (0..N).map(|i| T::of(position(1, i) as f64)).collect();
    let [a, b, c, v] = &runs;
    let inputs = [a, b, c].map(|r| Values::Run(r.as_ptr()));
    let inputs = [inputs[0], inputs[1], inputs[2], Values::One(T::of(0.75))];
    let indices = [Values::One(T::of(5.0)), Values::Run(ramp.as_ptr())];
    let leaves = Leaves { value: Values::Run(v.as_ptr()), inputs: &inputs, indices: &indices };
    let mut room = vec![T::of(f64::NAN); tape.registers * N];
    let mut values = vec![Values::One(T::ZERO); tape.registers];
    let mut out = vec![T::of(-77.0); N];
    let mut registers = Registers { start: room.as_mut_ptr(), block: N, values: &mut values };
    // SAFETY: every run has N numbers and there are as many registers as the tape says.
    let found = unsafe { tape.run(level, N, &leaves, &mut registers, to_out.then_some(out.as_mut_ptr())) };
    match found {
        Values::One(x) => vec![x.into(); N],
        // SAFETY: a run of N numbers in memory that is still there.
        Values::Run(x) => unsafe { std::slice::from_raw_parts(x, N) }.iter().map(|x| (*x).into()).collect(),
    }
}

/// Every point within the bound of the f64 tree.
fn compare(expr: &Expr, got: &[f64], unit: f64) -> Result<(), TestCaseError> {
    for (i, got) in got.iter().enumerate() {
        let exact = |x: f64| Bounded::exact(x, unit);
        let want = expr.eval_at(exact(leaf(9, i)), &|j| exact(leaf(j, i)), &|d| position(d, i));
        let same = want.error == f64::INFINITY
            || *got == want.value
            || (got.is_nan() && want.value.is_nan())
            || (got - want.value).abs() <= want.error * 1.001 + f64::from(f32::from_bits(1));
        prop_assert!(same, "{} at {}: {:e}, expected {:?}", expr, i, got, want);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn a_tape_computes_what_the_tree_says(expr in any_expr(), to_out in any::<bool>()) {
        for level in Level::all() {
            compare(&expr, &evaluate::<f32>(level, &expr, to_out), DType::F32.unit_roundoff())?;
            compare(&expr, &evaluate::<f64>(level, &expr, to_out), DType::F64.unit_roundoff())?;
        }
    }
}

#[test]
fn equal_parts_are_computed_once() {
    let text = "add(mul(exp(x0),exp(x0)),div(exp(x0),add(mul(exp(x0),exp(x0)),1.0)))";
    let tape = Tape::new(&text.parse().unwrap());
    assert_eq!(tape.steps.len(), 5);
    assert!(tape.registers <= 4, "{}", tape.registers);
}

#[test]
fn random_numbers_have_the_same_bits() {
    for distribution in Distribution::ALL {
        let stream = Stream { distribution, seed: 0x1234_5678_9abc };
        let expr = Expr::Random(stream, Box::new(Expr::Index(1)));
        for level in Level::all() {
            for (i, x) in evaluate::<f32>(level, &expr, false).into_iter().enumerate() {
                let want = kernelsmith_core::random::random(distribution, stream.seed, position(1, i) as u64);
                assert_eq!(x.to_bits(), f64::from(want).to_bits(), "{level:?} {distribution:?} {i}");
            }
        }
    }
}

#[test]
fn every_level_converts_alike() {
    let values: Vec<f32> = (0..70_000u32).map(|i| f32::from_bits(i.wrapping_mul(61_357))).collect();
    for dtype in DType::ALL {
        for level in Level::all() {
            for stride in [1, 3] {
                let n = values.len();
                let mut bytes = vec![0u64; n * 3];
                let mut back = vec![0f32; n];
                // SAFETY: the memory is large enough for three times as many of the largest elements.
                unsafe {
                    f32::store(level, dtype, values.as_ptr(), bytes.as_mut_ptr().cast(), stride, n);
                    f32::load(level, dtype, bytes.as_ptr().cast(), stride, back.as_mut_ptr(), n);
                }
                for (x, got) in values.iter().zip(&back) {
                    let want = dtype.round(f64::from(*x)) as f32;
                    assert!(
                        *got == want || (got.is_nan() && want.is_nan()),
                        "{dtype} {level:?}: {x:e} {got:e} {want:e}"
                    );
                }
            }
        }
    }
}
