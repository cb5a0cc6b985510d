//! Gradients against central differences, in f64 from end to end.

mod support;

use kernelsmith::{DType, Device, Error, Result, Tensor, grad, value_and_grad};
use proptest::prelude::{ProptestConfig, any, proptest};
use support::*;

/// A scalar function of tensors.
type Function<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

fn value(f: Function<'_>, inputs: &[Tensor]) -> f64 {
    f(inputs).unwrap().to_scalar().unwrap()
}

/// ∂f/∂ every element of every input, by central differences.
fn differences(f: Function<'_>, inputs: &[Tensor], h: f64) -> Vec<Vec<f64>> {
    let one = |i: usize| {
        let x = inputs[i].to_vec::<f64>().unwrap();
        let moved = |j: usize, by: f64| {
            let mut x = x.clone();
            x[j] += by;
            let mut inputs = inputs.to_vec();
            inputs[i] = Tensor::from_vec(x, inputs[i].shape(), inputs[i].device()).unwrap();
            value(f, &inputs)
        };
        (0..x.len()).map(|j| (moved(j, h) - moved(j, -h)) / (2.0 * h)).collect()
    };
    (0..inputs.len()).map(one).collect()
}

/// Compares gradients with differences. The truncation error is h²/6 times the third derivative,
/// the rounding error ε/h times the value: both are below 1e-6 of what the tests' functions reach.
fn agree(what: &str, f: Function<'_>, inputs: &[Tensor]) {
    let (_, found) = value_and_grad(|x| f(x), inputs).unwrap_or_else(|e| panic!("{what}: {e}"));
    let want = differences(f, inputs, 1e-5);
    let size = value(f, inputs).abs();
    for (i, (found, want)) in found.iter().zip(&want).enumerate() {
        assert_eq!(found.shape(), inputs[i].shape(), "{what}");
        assert_eq!(found.dtype(), DType::F64, "{what}");
        let largest = want.iter().fold(1.0 + size, |m: f64, x| m.max(x.abs()));
        for (j, (got, want)) in found.to_vec::<f64>().unwrap().iter().zip(want).enumerate() {
            assert!(
                (got - want).abs() < 2e-6 * largest,
                "{what}: input {i}, element {j}: {got} and by differences {want}"
            );
        }
    }
}

fn input(rng: &mut Draws, shape: &[usize], d: &Device, low: f64, high: f64) -> Tensor {
    let n: usize = shape.iter().product();
    Tensor::from_vec((0..n).map(|_| rng.real(low, high)).collect(), shape, d).unwrap()
}

/// A scalar that depends on every element differently: Σ x·w for fixed random w.
fn weigh(x: &Tensor, seed: u64) -> Result<Tensor> {
    let mut rng = Draws(seed);
    let w = input(&mut rng, x.shape(), x.device(), -1.0, 1.0);
    x.mul(&w)?.sum(&[])
}

/// A small shape without empty axes.
fn small(rng: &mut Draws, ranks: std::ops::RangeInclusive<usize>) -> Vec<usize> {
    let rank = ranks.start() + rng.below(ranks.end() - ranks.start() + 1);
    (0..rank).map(|_| 1 + rng.below(3)).collect()
}

/// Random views of a tensor, the same for a seed.
fn viewed(x: &Tensor, seed: u64) -> Tensor {
    let mut rng = Draws(seed);
    let mut p = Pair { t: x.clone(), m: Model::from_fn(x.shape(), |_| 0.0) };
    for _ in 0..rng.below(4) {
        let next = p.clone().view(&mut rng);
        // Broadcasts can make it large, slices empty.
        if (1..40).contains(&next.m.len()) {
            p = next;
        }
    }
    p.t
}

const UNARY: &[(&str, fn(&Tensor) -> Result<Tensor>)] = &[
    ("abs", |x| x.abs()),
    ("neg", |x| x.neg()),
    ("exp", |x| x.exp()),
    ("log", |x| x.abs()?.add(0.5)?.log()),
    ("sqrt", |x| x.mul(x)?.add(0.5)?.sqrt()),
    ("rsqrt", |x| x.mul(x)?.add(0.5)?.rsqrt()),
    ("recip", |x| x.abs()?.add(0.5)?.recip()),
    ("sin", |x| x.sin()),
    ("cos", |x| x.cos()),
    ("tanh", |x| x.tanh()),
    ("erf", |x| x.erf()),
    ("sigmoid", |x| x.sigmoid()),
    ("relu", |x| x.relu()),
    ("gelu", |x| x.gelu()),
    ("gelu_tanh", |x| x.gelu_tanh()),
    ("silu", |x| x.silu()),
    ("pow 3", |x| x.pow(3)),
    ("pow 2.5", |x| x.abs()?.add(0.2)?.pow(2.5)),
    ("clamp", |x| x.clamp(-0.77, 0.91)),
];

const BINARY: &[(&str, fn(&Tensor, &Tensor) -> Result<Tensor>)] = &[
    ("add", |a, b| a.add(b)),
    ("sub", |a, b| a.sub(b)),
    ("mul", |a, b| a.mul(b)),
    ("div", |a, b| a.div(&b.mul(b)?.add(0.7)?)),
    ("maximum", |a, b| a.maximum(b)),
    ("minimum", |a, b| a.minimum(b)),
    ("pow", |a, b| a.abs()?.add(0.3)?.pow(b)),
    ("where", |a, b| a.lt(b)?.where_(&a.mul(a)?, &b.sin()?)),
];

fn unary_case(seed: u64) {
    let (mut rng, d) = (Draws(seed), device());
    let (name, f) = rng.pick(UNARY);
    let shape = small(&mut rng, 0..=3);
    let x = input(&mut rng, &shape, &d, -2.0, 2.0);
    let (s, v) = (rng.next(), rng.next());
    agree(name, &|x| weigh(&viewed(&f(&viewed(&x[0], v))?, v ^ 1), s), &[x]);
}

fn binary_case(seed: u64) {
    let (mut rng, d) = (Draws(seed), device());
    let (name, f) = rng.pick(BINARY);
    let shape = small(&mut rng, 0..=3);
    let from = rng.below(shape.len() + 1);
    let other: Vec<usize> = shape[from..].iter().map(|n| if rng.chance(2) { 1 } else { *n }).collect();
    let (a, b) = if rng.chance(2) { (&shape, &other) } else { (&other, &shape) };
    let inputs = [input(&mut rng, a, &d, -2.0, 2.0), input(&mut rng, b, &d, -2.0, 2.0)];
    let (s, v) = (rng.next(), rng.next());
    agree(name, &|x| weigh(&viewed(&f(&x[0], &x[1])?, v), s), &inputs);
}

fn reduce_case(seed: u64) {
    let (mut rng, d) = (Draws(seed), device());
    let shape = small(&mut rng, 0..=3);
    let x = input(&mut rng, &shape, &d, -2.0, 2.0);
    let (s, v, kind) = (rng.next(), rng.next(), rng.below(5));
    let f = move |x: &[Tensor]| {
        let x = viewed(&x[0], v);
        // Broadcast elements tie; each its own shift keeps the extremes apart.
        let mut shifts = Draws(v);
        let x = x.add(&input(&mut shifts, x.shape(), x.device(), -0.5, 0.5))?.sin()?;
        let rank = x.rank();
        let axes: Vec<isize> = (0..rank as isize).filter(|d| v >> d & 1 == 1).collect();
        let y = match kind {
            0 => x.sum(&axes)?,
            1 => x.mean(&axes)?,
            2 => x.max(&axes)?,
            3 => x.min(&axes)?,
            _ => x.var(&axes, 0)?,
        };
        weigh(&y.mul(&y)?, s)
    };
    agree(["sum", "mean", "max", "min", "var"][kind], &f, &[x]);
}

fn row_case(seed: u64) {
    let (mut rng, d) = (Draws(seed), device());
    let mut shape = small(&mut rng, 1..=3);
    let n = 2 + rng.below(3);
    *shape.last_mut().unwrap() = n;
    let inputs = [
        input(&mut rng, &shape, &d, -2.0, 2.0),
        input(&mut rng, &[n], &d, -1.0, 1.0),
        input(&mut rng, &[n], &d, -1.0, 1.0),
    ];
    let (s, kind, axis) = (rng.next(), rng.below(8), rng.below(shape.len()) as isize);
    let rows = &shape[..shape.len() - 1];
    let labels: Vec<i32> = (0..rows.iter().product::<usize>()).map(|_| rng.below(n) as i32).collect();
    let labels = Tensor::from_vec(labels, rows, &d).unwrap();
    let f = move |x: &[Tensor]| {
        let (x, w, b) = (&x[0], &x[1], &x[2]);
        let y = match kind {
            0 => x.softmax(axis)?,
            1 => x.log_softmax(axis)?,
            2 => x.layer_norm(Some(w), Some(b), 1e-3)?,
            3 => x.layer_norm(None, None, 1e-3)?,
            4 => x.rms_norm(Some(w), 1e-3)?,
            5 => x.rms_norm(None, 1e-3)?,
            6 => x.sin()?.cross_entropy_rows(&labels)?,
            _ => x.mul(w)?.cross_entropy(&labels)?,
        };
        weigh(&y.mul(&y)?, s)
    };
    agree(&format!("row operation {kind}"), &f, &inputs);
}

fn product_case(seed: u64) {
    let (mut rng, d) = (Draws(seed), device());
    let (m, k, n) = (1 + rng.below(3), 1 + rng.below(3), 1 + rng.below(3));
    let batch = small(&mut rng, 0..=2);
    let lead = |rng: &mut Draws| -> Vec<usize> {
        let from = rng.below(batch.len() + 1);
        batch[from..].iter().map(|n| if rng.chance(2) { 1 } else { *n }).collect()
    };
    let (la, lb) = (lead(&mut rng), lead(&mut rng));
    let (ta, tb) = (rng.chance(2), rng.chance(2));
    let matrix = |t: bool, r: usize, c: usize| if t { [c, r] } else { [r, c] };
    let a = input(&mut rng, &[&la[..], &matrix(ta, m, k)].concat(), &d, -1.0, 1.0);
    let b = input(&mut rng, &[&lb[..], &matrix(tb, k, n)].concat(), &d, -1.0, 1.0);
    let (bias, vector) = (input(&mut rng, &[n], &d, -1.0, 1.0), input(&mut rng, &[n], &d, -1.0, 1.0));
    let (s, kind) = (rng.next(), rng.below(3));
    let f = move |x: &[Tensor]| {
        let a = if ta { x[0].t()? } else { x[0].clone() };
        let b = if tb { x[1].t()? } else { x[1].clone() };
        let b = if kind == 1 { b.flip(-1)? } else { b };
        let y = a.matmul(&b)?.add(&x[2])?.tanh()?;
        weigh(&if kind == 2 { y.matmul(&x[3])? } else { y }, s)
    };
    agree("matmul", &f, &[a, b, bias, vector]);
}

fn movement_case(seed: u64) {
    let (mut rng, d) = (Draws(seed), device());
    let shape = small(&mut rng, 1..=3);
    let axis = rng.below(shape.len());
    let inputs = [input(&mut rng, &shape, &d, -2.0, 2.0), input(&mut rng, &shape, &d, -2.0, 2.0)];
    let (s, kind) = (rng.next(), rng.below(7));
    let ints = |rng: &mut Draws, s: &[usize], below: usize| {
        let n: usize = s.iter().product();
        Tensor::from_vec((0..n).map(|_| rng.below(below) as i32).collect(), s, &d).unwrap()
    };
    let vector = ints(&mut rng, &[4], shape[axis]);
    let mut space = shape.clone();
    space[axis] = 3;
    let elements = ints(&mut rng, &space, shape[axis]);
    let targets = ints(&mut rng, &shape, 3);
    let at = axis as isize;
    let f = move |x: &[Tensor]| {
        let (a, b) = (x[0].sin()?, &x[1]);
        let y = match kind {
            0 => Tensor::concat(&[&a, b, &a], at)?,
            1 => Tensor::stack(&[&a, &b.mul(b)?], at)?,
            2 => a.pad(at, 1, 2)?,
            3 => a.index_select(at, &vector)?,
            4 => a.gather(at, &elements)?,
            5 => a.scatter_add(at, &targets, 3)?,
            _ => a.flatten()?.reshape(&[a.len(), 1])?.embedding(&vector.mul(0)?)?.mul(&b.sum(&[])?)?,
        };
        weigh(&y.mul(&y)?, s)
    };
    agree(&format!("movement {kind}"), &f, &inputs);
}

/// A random graph of several layers, whose nodes are read more than once.
fn graph(x: &[Tensor], seed: u64) -> Result<Tensor> {
    let mut rng = Draws(seed);
    let mut pool: Vec<Tensor> = x.to_vec();
    for _ in 0..7 {
        let a = viewed(&pool[rng.below(pool.len())], rng.next());
        let b = pool[rng.below(pool.len())].clone();
        let next = match rng.below(8) {
            0 => UNARY[rng.below(UNARY.len())].1(&a.tanh()?)?,
            1 if broadcast(a.shape(), b.shape()).is_some() => BINARY[rng.below(BINARY.len())].1(&a, &b)?,
            2 if a.rank() > 0 => a.sum(&[rng.below(a.rank()) as isize])?.sin()?,
            3 if a.rank() > 0 => a.softmax(rng.below(a.rank()) as isize)?,
            4 if a.rank() > 1 => a.matmul(&a.t()?)?.tanh()?,
            5 if a.rank() > 0 => Tensor::concat(&[&a, &a.cos()?], 0)?,
            6 if a.rank() > 0 => a.layer_norm(None, None, 0.1)?,
            _ => a.sigmoid()?.mul(&b.mean(&[])?)?,
        };
        pool.push(next);
    }
    let mut total = Tensor::zeros(&[], DType::F64, x[0].device())?;
    for (i, t) in pool.iter().enumerate() {
        total = total.add(&weigh(t, seed ^ i as u64)?)?;
    }
    Ok(total)
}

fn graph_case(seed: u64) {
    let (mut rng, d) = (Draws(seed), device());
    let inputs: Vec<Tensor> = (0..2)
        .map(|_| {
            let shape = small(&mut rng, 0..=3);
            input(&mut rng, &shape, &d, -1.0, 1.0)
        })
        .collect();
    let s = rng.next();
    agree("a random graph", &move |x| graph(x, s), &inputs);
}

macro_rules! over_seeds {
    ($cases:expr; $($name:ident: $case:ident;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases($cases))]
            $(#[test]
            fn $name(seed in any::<u64>()) {
                $case(seed);
            })*
        }
    };
}

over_seeds! {
    80;
    of_functions_of_one_number: unary_case;
    of_functions_of_two_numbers: binary_case;
    of_reductions: reduce_case;
    of_row_operations: row_case;
    of_products: product_case;
    of_movements: movement_case;
}

over_seeds! {
    40;
    of_random_graphs: graph_case;
}

/// The gradient of Σ gradient·w is compared with differences of the gradient.
#[test]
fn of_gradients() {
    let (mut rng, d) = (Draws(3), device());
    let functions: &[(&str, fn(&Tensor) -> Result<Tensor>)] = &[
        ("product of functions", |x| x.sin()?.mul(&x.exp()?)?.sum(&[])),
        ("pow", |x| x.mul(x)?.add(0.5)?.pow(1.5)?.sum(&[])),
        ("gelu", |x| x.gelu()?.mul(x)?.sum(&[])),
        ("silu of a view", |x| x.t()?.silu()?.mul(&x.t()?)?.sum(&[])),
        ("matmul", |x| x.matmul(&x.t()?)?.tanh()?.sum(&[])),
        ("softmax", |x| x.softmax(-1)?.mul(x)?.sum(&[])),
        ("log_softmax", |x| x.log_softmax(0)?.mul(&x.sin()?)?.sum(&[])),
        ("layer_norm", |x| x.layer_norm(None, None, 0.1)?.mul(&x.mul(x)?)?.sum(&[])),
        ("rms_norm", |x| x.rms_norm(None, 0.1)?.mul(&x.exp()?)?.sum(&[])),
        ("max", |x| x.mul(x)?.max(&[0])?.exp()?.sum(&[])),
        ("var", |x| x.sin()?.var(&[1], 1)?.exp()?.sum(&[])),
        ("slices", |x| x.slice(1, 1..)?.mul(&x.slice(1, ..2)?)?.exp()?.sum(&[])),
        ("concat", |x| Tensor::concat(&[x, &x.exp()?], 0)?.sin()?.mul(&Tensor::concat(&[&x.cos()?, x], 0)?)?.sum(&[])),
        ("gather", |x| {
            let index = Tensor::from_vec(vec![1, 1, 0], &[3], x.device())?;
            x.index_select(0, &index)?.pow(3)?.sum(&[])
        }),
        ("cross_entropy", |x| x.mul(x)?.cross_entropy(&Tensor::from_vec(vec![2, 0], &[2], x.device())?)),
    ];
    let x = input(&mut rng, &[2, 3], &d, 0.2, 1.5);
    for (name, f) in functions {
        let first = |x: &[Tensor]| -> Result<Tensor> {
            let g = grad(&f(&x[0])?, &[&x[0]])?;
            weigh(&g[0], 9)
        };
        // The differences need variables too.
        let second = |x: &[Tensor]| first(&[if x[0].is_realized() { x[0].variable()? } else { x[0].clone() }]);
        let v = x.variable().unwrap();
        let found = grad(&first(std::slice::from_ref(&v)).unwrap(), &[&v]).unwrap()[0].to_vec::<f64>().unwrap();
        let want = &differences(&second, std::slice::from_ref(&x), 1e-5)[0];
        for (got, want) in found.iter().zip(want) {
            assert!((got - want).abs() < 1e-5 * want.abs().max(1.0), "{name}: {got} and by differences {want}");
        }
    }
}

#[test]
fn of_products_copy_nothing() {
    let (mut rng, d) = (Draws(4), device());
    let w = input(&mut rng, &[5, 4], &d, -1.0, 1.0).variable().unwrap();
    let b = input(&mut rng, &[5], &d, -1.0, 1.0).variable().unwrap();
    for x in [
        input(&mut rng, &[3, 4], &d, -1.0, 1.0),
        input(&mut rng, &[4, 3], &d, -1.0, 1.0).t().unwrap(),
        input(&mut rng, &[2, 3, 4], &d, -1.0, 1.0),
        input(&mut rng, &[6, 8], &d, -1.0, 1.0).slice(1, 2..6).unwrap(),
    ] {
        let x = x.variable().unwrap();
        let loss = x.linear(&w, Some(&b)).unwrap().relu().unwrap().sum(&[]).unwrap();
        let gradients = grad(&loss, &[&x, &w, &b]).unwrap();
        let plan = Tensor::plan_all(&gradients.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(plan.copied_bytes(), 0, "{plan}");
        d.forbid_copies(true);
        assert!(Tensor::realize_all(&gradients.iter().collect::<Vec<_>>()).is_ok());
        d.forbid_copies(false);
    }
    let a = input(&mut rng, &[2, 3, 4], &d, -1.0, 1.0).variable().unwrap();
    let b = input(&mut rng, &[2, 4, 3], &d, -1.0, 1.0).variable().unwrap();
    let loss = a.matmul(&b).unwrap().sin().unwrap().sum(&[]).unwrap();
    let gradients = grad(&loss, &[&a, &b]).unwrap();
    let plan = Tensor::plan_all(&[&gradients[0], &gradients[1]]).unwrap();
    assert_eq!(plan.copied_bytes(), 0, "{plan}");
}

#[test]
fn a_missing_gradient_is_loud_and_names_the_op() {
    let d = device();
    let x = Tensor::from_vec(vec![1.5f64, -2.5, 0.5], &[3], &d).unwrap();
    let v = x.variable().unwrap();
    let told = |t: Result<Tensor>| {
        let error = match t.unwrap().sum(&[]).unwrap().backward() {
            Ok(_) => panic!("there is a gradient"),
            Err(error) => error,
        };
        assert!(matches!(error, Error::NoGradient { .. }), "{error}");
        error.to_string()
    };
    let argmax = v.argmax(0).unwrap().cast(DType::F64).unwrap().mul(&v);
    assert!(told(argmax).contains("argmax"));
    let whole = v.cast(DType::I32).unwrap().cast(DType::F64).unwrap().mul(&v);
    assert!(told(whole).contains("cast"));
    let bytes = v.cast(DType::U8).unwrap().cast(DType::F64);
    assert!(told(bytes).contains("cast"));
    // More than one element, and what is not floating-point.
    let error = v.mul(2.0).unwrap().backward().err().unwrap().to_string();
    assert!(error.contains("[3]") && error.contains("scalar"), "{error}");
    assert!(v.argmax(0).unwrap().backward().is_err());
    assert!(Tensor::from_vec(vec![1i32], &[1], &d).unwrap().variable().is_err());
    // What is no variable.
    let y = v.mul(&x).unwrap().sum(&[]).unwrap();
    let error = grad(&y, &[&v, &x]).unwrap_err().to_string();
    assert!(error.contains("input 1") && error.contains("[3]"), "{error}");
    assert!(y.backward().unwrap().get(&x).is_none());
    // What it does not depend on.
    let other = x.variable().unwrap();
    assert_eq!(grad(&y, &[&other]).unwrap()[0].to_vec::<f64>().unwrap(), [0.0; 3]);
    assert!(y.backward().unwrap().get(&other).is_none());
}

#[test]
fn comparisons_pass_no_gradient_and_detach_stops_it() {
    let d = device();
    let x = Tensor::from_vec(vec![1.5f64, -2.5, 0.5], &[3], &d).unwrap().variable().unwrap();
    let mask = x.gt(0.0).unwrap().cast(DType::F64).unwrap();
    let y = mask.mul(&x).unwrap().sum(&[]).unwrap();
    assert_eq!(grad(&y, &[&x]).unwrap()[0].to_vec::<f64>().unwrap(), [1.0, 0.0, 1.0]);
    let y = x.detach().unwrap().mul(&x).unwrap().sum(&[]).unwrap();
    assert_eq!(grad(&y, &[&x]).unwrap()[0].to_vec::<f64>().unwrap(), [1.5, -2.5, 0.5]);
    // Where one side is chosen, what the other would give does not matter.
    let safe = x.gt(0.0).unwrap().where_(&x.sqrt().unwrap(), 0.0).unwrap().sum(&[]).unwrap();
    let g = grad(&safe, &[&x]).unwrap()[0].to_vec::<f64>().unwrap();
    assert!((g[0] - 0.5 / 1.5f64.sqrt()).abs() < 1e-12 && g[2].is_finite(), "{g:?}");
}

#[test]
fn realizing_in_between_changes_no_gradient() {
    let d = device();
    let x = Tensor::from_vec(vec![0.3f64, -0.6, 0.9, 1.2], &[2, 2], &d).unwrap();
    let gradient = |realize: bool| {
        let v = x.variable().unwrap();
        let h = v.matmul(&v).unwrap().tanh().unwrap();
        let y = h.softmax(0).unwrap().mul(&h).unwrap().sum(&[]).unwrap();
        if realize {
            h.realize().unwrap();
            y.realize().unwrap();
        }
        y.backward().unwrap().get(&v).unwrap().to_vec::<f64>().unwrap()
    };
    for (a, b) in gradient(false).iter().zip(gradient(true)) {
        assert!((a - b).abs() < 1e-14);
    }
}

/// A chain that nobody would write by hand, back and forth without recursion.
#[test]
fn deep_chains_have_gradients() {
    let d = device();
    let v = Tensor::from_vec(vec![0.5f64], &[1], &d).unwrap().variable().unwrap();
    let mut x = v.clone();
    for _ in 0..20_000 {
        x = x.mul(1.0).unwrap();
    }
    let g = grad(&x, &[&v]).unwrap();
    assert_eq!(g[0].to_vec::<f64>().unwrap(), [1.0]);
}
