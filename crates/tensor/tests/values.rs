//! Every method against a naive model on the host: random shapes, views before and after.
//!
//! Bounds are those of the arithmetic: a unit roundoff for each rounding, n of them for a sum of n.

mod support;

use kernelsmith::{DType, Result, Tensor};
use proptest::prelude::{ProptestConfig, any, prop, proptest};
use support::*;

type Unary = (&'static str, fn(&Tensor) -> Result<Tensor>, fn(f64) -> f64, (f64, f64));

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

const UNARY: &[Unary] = &[
    ("abs", Tensor::abs, f64::abs, (-4.0, 4.0)),
    ("neg", Tensor::neg, |x| -x, (-4.0, 4.0)),
    ("exp", Tensor::exp, f64::exp, (-4.0, 4.0)),
    ("log", Tensor::log, f64::ln, (0.1, 9.0)),
    ("sqrt", Tensor::sqrt, f64::sqrt, (0.0, 9.0)),
    ("rsqrt", Tensor::rsqrt, |x| 1.0 / x.sqrt(), (0.1, 9.0)),
    ("recip", Tensor::recip, |x| 1.0 / x, (0.1, 9.0)),
    ("sin", Tensor::sin, f64::sin, (-9.0, 9.0)),
    ("cos", Tensor::cos, f64::cos, (-9.0, 9.0)),
    ("tanh", Tensor::tanh, f64::tanh, (-4.0, 4.0)),
    ("erf", Tensor::erf, libm::erf, (-3.0, 3.0)),
    ("sigmoid", Tensor::sigmoid, sigmoid, (-9.0, 9.0)),
    ("relu", Tensor::relu, |x| if x < 0.0 { 0.0 } else { x }, (-4.0, 4.0)),
    ("gelu", Tensor::gelu, |x| 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2), (-5.0, 5.0)),
    ("gelu_tanh", Tensor::gelu_tanh, gelu_tanh, (-5.0, 5.0)),
    ("silu", Tensor::silu, |x| x * sigmoid(x), (-9.0, 9.0)),
];

fn gelu_tanh(x: f64) -> f64 {
    x * sigmoid(2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x))
}

/// Results that are rounded once in the arithmetic's unit (a few ulps for a function) and once more when stored.
fn rounded(dtype: DType, m: &Model, extra: impl Fn(usize) -> f64) -> Vec<f64> {
    let u = arithmetic_unit(dtype);
    m.values.iter().enumerate().map(|(i, y)| u * (4.0 * y.abs() + extra(i)) + storing(dtype, *y)).collect()
}

fn unary_case(seed: u64, dtype: DType) {
    let (mut rng, d) = (Draws(seed), device());
    let (name, f, model, (low, high)) = rng.pick(UNARY);
    let shape = rng.shape(0..=5);
    let x = Pair::random(&mut rng, &shape, dtype, &d, low, high).views(&mut rng);
    let y = x.m.map(model);
    // 1 + erf(x) and the like cancel: their error is that of x, not of the result; sin and cos of
    // a rounded f32 argument are exact functions of it.
    let errors = rounded(dtype, &y, |i| 4.0 * x.m.values[i].abs());
    finish(&mut rng, &format!("{name} {dtype}"), &f(&x.t).unwrap(), y, errors);
}

type Binary =
    (&'static str, fn(&Tensor, &Tensor) -> Result<Tensor>, fn(&Tensor, f64) -> Result<Tensor>, fn(f64, f64) -> f64);

fn truth(b: bool) -> f64 {
    f64::from(u8::from(b))
}

const ARITHMETIC: &[Binary] = &[
    ("add", |a, b| a.add(b), |a, b| a.add(b), |a, b| a + b),
    ("sub", |a, b| a.sub(b), |a, b| a.sub(b), |a, b| a - b),
    ("mul", |a, b| a.mul(b), |a, b| a.mul(b), |a, b| a * b),
    ("div", |a, b| a.div(b), |a, b| a.div(b), |a, b| a / b),
    ("maximum", |a, b| a.maximum(b), |a, b| a.maximum(b), f64::max),
    ("minimum", |a, b| a.minimum(b), |a, b| a.minimum(b), f64::min),
];

const COMPARISONS: &[Binary] = &[
    ("lt", |a, b| a.lt(b), |a, b| a.lt(b), |a, b| truth(a < b)),
    ("le", |a, b| a.le(b), |a, b| a.le(b), |a, b| truth(a <= b)),
    ("gt", |a, b| a.gt(b), |a, b| a.gt(b), |a, b| truth(a > b)),
    ("ge", |a, b| a.ge(b), |a, b| a.ge(b), |a, b| truth(a >= b)),
    ("eq", |a, b| a.eq(b), |a, b| a.eq(b), |a, b| truth(a == b)),
    ("ne", |a, b| a.ne(b), |a, b| a.ne(b), |a, b| truth(a != b)),
];

/// A shape that broadcasts with another.
fn partner(rng: &mut Draws, shape: &[usize]) -> Vec<usize> {
    let from = rng.below(shape.len() + 1);
    shape[from..].iter().map(|n| if rng.chance(3) { 1 } else { *n }).collect()
}

fn whole(rng: &mut Draws, shape: &[usize], dtype: DType, d: &kernelsmith::Device) -> Pair {
    let low: i64 = if dtype == DType::I32 { -9 } else { 0 };
    let high = if dtype == DType::Bool { 2 } else { 10 };
    let x = Model::from_fn(shape, |_| (low + rng.below((high - low) as usize) as i64) as f64);
    Pair::of(x, dtype, d)
}

fn binary_case(seed: u64, dtype: DType) {
    let (mut rng, d) = (Draws(seed), device());
    let a = rng.shape(0..=5);
    let b = partner(&mut rng, &a);
    let (a, b) = if rng.chance(2) { (a, b) } else { (b, a) };
    let shape = broadcast(&a, &b).unwrap();
    let make = |rng: &mut Draws, shape: &[usize]| {
        if !dtype.is_float() { whole(rng, shape, dtype, &d) } else { Pair::arranged(rng, shape, dtype, &d, -4.0, 4.0) }
    };
    let (x, y) = (make(&mut rng, &a), make(&mut rng, &b));
    let comparing = rng.chance(3);
    let (name, with, with_number, model) = rng.pick(if comparing { COMPARISONS } else { ARITHMETIC });
    let to = if comparing { DType::Bool } else { dtype };
    let what = format!("{name} {dtype}");
    // Whole numbers are truncated and clamped as they are stored.
    let model = |a: f64, b: f64| if to.is_float() { model(a, b) } else { to.round(model(a, b)) };
    let z = x.m.zip(&y.m, model);
    assert_eq!(z.shape, shape);
    let bound = |z: &Model| if to.is_float() { rounded(to, z, |_| 0.0) } else { vec![0.0; z.len()] };
    finish(&mut rng, &what, &with(&x.t, &y.t).unwrap(), z.clone(), bound(&z));
    // Numbers that every dtype has.
    let c: f64 = rng.pick(&[0.0, 1.0, 2.0, 5.0, 0.5]);
    if dtype.is_float() || c.fract() == 0.0 {
        let z = x.m.map(|x| model(x, c));
        finish(&mut rng, &format!("{what} {c}"), &with_number(&x.t, c).unwrap(), z.clone(), bound(&z));
    }
}

fn pow_case(seed: u64, dtype: DType) {
    let (mut rng, d) = (Draws(seed), device());
    let shape = rng.shape(0..=3);
    let x = Pair::arranged(&mut rng, &shape, dtype, &d, 0.2, 3.0);
    let other = partner(&mut rng, &shape);
    let y = Pair::arranged(&mut rng, &other, dtype, &d, -2.0, 2.0);
    let z = x.m.zip(&y.m, f64::powf);
    let errors = rounded(dtype, &z, |i| 4.0 * z.values[i].abs());
    finish(&mut rng, "pow", &x.t.pow(&y.t).unwrap(), z, errors);
    let z = x.m.map(|x| x * x);
    let errors = rounded(dtype, &z, |_| 0.0);
    finish(&mut rng, "pow 2", &x.t.pow(2).unwrap(), z, errors);
}

fn choice_case(seed: u64, dtype: DType) {
    let (mut rng, d) = (Draws(seed), device());
    let shape = rng.shape(0..=4);
    let (a, b) = (partner(&mut rng, &shape), partner(&mut rng, &shape));
    let c = whole(&mut rng, &shape, DType::Bool, &d);
    let make = |rng: &mut Draws, s: &[usize]| {
        if dtype.is_float() { Pair::arranged(rng, s, dtype, &d, -4.0, 4.0) } else { whole(rng, s, dtype, &d) }
    };
    let (x, y) = (make(&mut rng, &a), make(&mut rng, &b));
    let zero = Model::new(&[], vec![0.0]);
    let pick = |y: &Model| {
        let shape = broadcast(&broadcast(&c.m.shape, &x.m.shape).unwrap(), &y.shape).unwrap();
        let (c, x, y) = (c.m.broadcast(&shape), x.m.broadcast(&shape), y.broadcast(&shape));
        let one = |i: usize| if c.values[i] != 0.0 { x.values[i] } else { y.values[i] };
        Model::new(&shape, (0..c.len()).map(one).collect())
    };
    let none = |m: &Model| vec![0.0; m.len()];
    let z = pick(&y.m);
    finish(&mut rng, "where", &c.t.where_(&x.t, &y.t).unwrap(), z.clone(), none(&z));
    let z = pick(&zero);
    finish(&mut rng, "where 0", &c.t.where_(&x.t, 0).unwrap(), z.clone(), none(&z));
    let z = x.m.map(|x| x.clamp(-1.0, 2.0));
    finish(&mut rng, "clamp", &x.t.clamp(-1.0, 2.0).unwrap(), z.clone(), none(&z));
    let z = c.m.map(|x| 1.0 - x);
    finish(&mut rng, "logical_not", &c.t.logical_not().unwrap(), z.clone(), none(&z));
}

fn cast_case(seed: u64) {
    let (mut rng, d) = (Draws(seed), device());
    let (from, through, to) = (rng.pick(&DType::ALL), rng.pick(&DType::ALL), rng.pick(&DType::ALL));
    let shape = rng.shape(0..=4);
    let scale = rng.pick(&[1.0, 10.0, 1000.0, 1e6, 1e11]);
    let x = Pair::random(&mut rng, &shape, from, &d, -scale, scale).views(&mut rng);
    let what = format!("{from} to {through} to {to} of up to {scale}");
    let z = x.m.map(|x| through.round(x));
    exact(&what, &x.t.cast(through).unwrap(), &z);
    // One launch; what the middle dtype loses stays lost.
    let z = z.map(|x| to.round(x));
    finish(&mut rng, &what, &x.t.cast(through).unwrap().cast(to).unwrap(), z.clone(), vec![0.0; z.len()]);
}

fn view_case(seed: u64) {
    let (mut rng, d) = (Draws(seed), device());
    let dtype = rng.pick(&DType::ALL);
    let shape = rng.shape(0..=5);
    let mut p = if dtype.is_float() {
        Pair::random(&mut rng, &shape, dtype, &d, -9.0, 9.0)
    } else {
        whole(&mut rng, &shape, dtype, &d)
    };
    for _ in 0..rng.below(10) {
        p = p.view(&mut rng);
    }
    exact("to_vec", &p.t, &p.m);
    exact("contiguous", &p.t.contiguous().unwrap(), &p.m);
    assert!(p.t.contiguous().unwrap().is_contiguous());
    exact("detach", &p.t.detach().unwrap(), &p.m);
    exact("flatten", &p.t.flatten().unwrap(), &p.m.reshape(&[p.m.len()]));
    if dtype.is_float() {
        exact("variable", &p.t.variable().unwrap(), &p.m);
    }
    if let Some(d) = (0..p.m.shape.len()).find(|d| p.m.shape[*d] > 0) {
        let i = rng.below(p.m.shape[d]);
        let mut m = p.m.along(d, 1, |_| i);
        m.shape.remove(d);
        exact("select", &p.t.select(d as isize, i).unwrap(), &m);
    }
}

fn axes(rng: &mut Draws, rank: usize) -> (Vec<isize>, Vec<usize>) {
    let axes: Vec<usize> = rng.permutation(rank).into_iter().take(rng.below(rank + 1)).collect();
    let signed = axes.iter().map(|d| if rng.chance(2) { *d as isize - rank as isize } else { *d as isize }).collect();
    // An empty list means all.
    (signed, if axes.is_empty() { (0..rank).collect() } else { axes })
}

fn reduce_case(seed: u64, dtype: DType) {
    let (mut rng, d) = (Draws(seed), device());
    let shape = rng.shape(0..=5);
    let x = if dtype.is_float() {
        Pair::random(&mut rng, &shape, dtype, &d, -2.0, 3.0)
    } else {
        whole(&mut rng, &shape, dtype, &d)
    };
    let x = x.views(&mut rng);
    let (signed, plain) = axes(&mut rng, x.m.shape.len());
    let (outer, groups) = x.m.groups(&plain);
    let of = |f: &dyn Fn(&[f64]) -> f64| Model::new(&outer, groups.iter().map(|g| f(g)).collect());
    let count: usize = plain.iter().map(|d| x.m.shape[*d]).product();
    let (ua, n) = (arithmetic_unit(dtype), count as f64);
    let magnitude = |g: &[f64]| g.iter().map(|x| x.abs()).sum::<f64>();
    let sum = of(&|g| g.iter().sum());
    let to = if matches!(dtype, DType::U8 | DType::Bool) { DType::I32 } else { dtype };
    let errors = |m: &Model, f: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
        m.values.iter().zip(&groups).map(|(y, g)| f(g) + storing(to, *y)).collect()
    };
    let of_sum = errors(&sum, &|g| if dtype.is_float() { n * ua * magnitude(g) } else { 0.0 });
    let got = x.t.sum(&signed).unwrap();
    assert_eq!(got.dtype(), to);
    finish(&mut rng, &format!("sum {dtype} {signed:?} of {:?}", x.m.shape), &got, sum, of_sum);
    if count == 0 {
        assert!(x.t.max(&signed).is_err() && (!dtype.is_float() || x.t.mean(&signed).is_err()));
        return;
    }
    let max = of(&|g| g.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    let none = vec![0.0; max.len()];
    finish(&mut rng, &format!("max {dtype}"), &x.t.max(&signed).unwrap(), max, none.clone());
    let min = of(&|g| g.iter().copied().fold(f64::INFINITY, f64::min));
    finish(&mut rng, &format!("min {dtype}"), &x.t.min(&signed).unwrap(), min, none);
    if let Some(axis) = (0..x.m.shape.len()).find(|_| rng.chance(2)).filter(|d| x.m.shape[*d] > 0) {
        let (outer, groups) = x.m.groups(&[axis]);
        let first = |g: &[f64], better: fn(f64, f64) -> bool| {
            let mut best = 0;
            (1..g.len()).for_each(|i| {
                if better(g[i], g[best]) {
                    best = i
                }
            });
            best as f64
        };
        for (name, got, better) in [
            ("argmax", x.t.argmax(axis as isize), (|a, b| a > b) as fn(f64, f64) -> bool),
            ("argmin", x.t.argmin(axis as isize), |a, b| a < b),
        ] {
            let m = Model::new(&outer, groups.iter().map(|g| first(g, better)).collect());
            let zeros = vec![0.0; m.len()];
            finish(&mut rng, &format!("{name} {dtype}"), &got.unwrap(), m, zeros);
        }
    }
    if !dtype.is_float() {
        return;
    }
    let mean = of(&|g| g.iter().sum::<f64>() / n);
    let of_mean = errors(&mean, &|g| (n + 3.0) * ua * magnitude(g) / n);
    finish(&mut rng, &format!("mean {dtype}"), &x.t.mean(&signed).unwrap(), mean, of_mean);
    let correction = rng.below(2);
    if count <= correction {
        assert!(x.t.var(&signed, correction).is_err());
        return;
    }
    let divisor = (count - correction) as f64;
    let squares = |g: &[f64]| {
        let mean = g.iter().sum::<f64>() / n;
        g.iter().map(|x| (x - mean).powi(2)).sum::<f64>()
    };
    let var = of(&|g| squares(g) / divisor);
    let ud = dtype.unit_roundoff();
    let of_var = errors(&var, &|g| {
        // The mean is stored, and so is each distance from it.
        let mean = g.iter().sum::<f64>() / n;
        let shift = (n + 3.0) * ua * magnitude(g) / n + 2.0 * ud * mean.abs();
        let spread = squares(g);
        (spread * (n * ua + 6.0 * ud) + n * shift * shift + 2.0 * shift * ud * magnitude(g)) / divisor
            + n * f64::from(f32::MIN_POSITIVE)
            + dtype.underflow_error() * 4.0
    });
    finish(&mut rng, &format!("var {dtype}"), &x.t.var(&signed, correction).unwrap(), var, of_var);
}

fn row_case(seed: u64, dtype: DType) {
    let (mut rng, d) = (Draws(seed), device());
    let mut shape = rng.shape(1..=4);
    let last = shape.len() - 1;
    shape[last] = shape[last].max(1);
    let x = Pair::arranged(&mut rng, &shape, dtype, &d, -4.0, 4.0);
    let (ua, ud) = (arithmetic_unit(dtype), dtype.unit_roundoff());
    let n = shape[last] as f64;
    let rows = |m: &Model, f: &dyn Fn(&[f64]) -> Vec<f64>| -> Model {
        let values =
            if m.len() == 0 { vec![] } else { m.values.chunks(*m.shape.last().unwrap()).flat_map(f).collect() };
        Model::new(&m.shape, values)
    };
    let top = |r: &[f64]| r.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // Softmax along any axis: the model has it last.
    let axis = rng.below(shape.len());
    if shape[axis] > 0 {
        let mut order: Vec<usize> = (0..shape.len()).collect();
        order.swap(axis, last);
        let turned = x.m.permute(&order);
        let width = turned.shape[last] as f64;
        let softmax = rows(&turned, &|r| {
            let sum: f64 = r.iter().map(|x| (x - top(r)).exp()).sum();
            r.iter().map(|x| (x - top(r)).exp() / sum).collect()
        });
        let relative = rows(&turned, &|r| r.iter().map(|x| 3.0 * (x - top(r)).abs() + width + 12.0).collect());
        let errors = |y: &Model, r: &Model| -> Vec<f64> {
            let e = y.values.iter().zip(&r.values).map(|(y, r)| ua * r * y.abs() + storing(dtype, *y)).collect();
            Model::new(&y.shape, e).permute(&order).values
        };
        let what = format!("softmax {dtype} {axis}");
        finish(
            &mut rng,
            &what,
            &x.t.softmax(axis as isize).unwrap(),
            softmax.permute(&order),
            errors(&softmax, &relative),
        );
        let log = softmax.map(f64::ln);
        let e: Vec<f64> = log
            .values
            .iter()
            .zip(&relative.values)
            .map(|(y, r)| ua * (r + 4.0 * y.abs()) + storing(dtype, *y))
            .collect();
        let e = Model::new(&log.shape, e).permute(&order).values;
        let axis = axis as isize - shape.len() as isize;
        finish(&mut rng, "log_softmax", &x.t.log_softmax(axis).unwrap(), log.permute(&order), e);
    }
    // Norms.
    let weight = rng.chance(2).then(|| Pair::arranged(&mut rng, &shape[last..], dtype, &d, -2.0, 2.0));
    let bias = rng.chance(2).then(|| Pair::arranged(&mut rng, &shape[last..], dtype, &d, -2.0, 2.0));
    let eps = 1e-3;
    for layer in [true, false] {
        let centre = |r: &[f64]| if layer { r.iter().sum::<f64>() / n } else { 0.0 };
        let scale = |r: &[f64]| {
            let c = centre(r);
            1.0 / (r.iter().map(|x| (x - c).powi(2)).sum::<f64>() / n + eps).sqrt()
        };
        let normal = rows(&x.m, &|r| r.iter().map(|x| (x - centre(r)) * scale(r)).collect());
        let bound = rows(&x.m, &|r| {
            let shift = (n + 2.0) * ua * r.iter().map(|x| x.abs()).sum::<f64>() / n * scale(r);
            r.iter()
                .map(|x| {
                    let y = ((x - centre(r)) * scale(r)).abs();
                    shift * (1.0 + y) + ua * (n + 8.0) * y
                })
                .collect()
        });
        let ones = Model::new(&shape[last..], vec![1.0; shape[last]]);
        let w = weight.as_ref().map_or(&ones, |w| &w.m);
        let mut y = normal.zip(w, |y, w| y * w);
        let mut e = bound.zip(w, |e, w| e * w.abs());
        // Rounded in between where it is stored, and in the arithmetic where it is not.
        e = e.zip(&y.map(|y| 3.0 * ud * y.abs()), |e, r| e + r);
        if let (Some(b), true) = (&bias, layer) {
            y = y.zip(&b.m, |y, b| y + b);
            e = e.zip(&b.m.map(|b| 2.0 * ua * b.abs()), |e, r| e + r);
        }
        let e: Vec<f64> = e.values.iter().zip(&y.values).map(|(e, y)| e + storing(dtype, *y)).collect();
        let w = weight.as_ref().map(|w| &w.t);
        let got = if layer { x.t.layer_norm(w, bias.as_ref().map(|b| &b.t), eps) } else { x.t.rms_norm(w, eps) };
        finish(&mut rng, if layer { "layer_norm" } else { "rms_norm" }, &got.unwrap(), y, e);
    }
    // Cross-entropy.
    let labels = Pair::of(Model::from_fn(&shape[..last], |_| rng.below(shape[last]) as f64), DType::I32, &d);
    let index = points(&shape[..last]);
    let loss = |i: usize| {
        let row: Vec<f64> = (0..shape[last]).map(|c| x.m.at(&[&index[i][..], &[c]].concat())).collect();
        let sum: f64 = row.iter().map(|x| (x - top(&row)).exp()).sum();
        top(&row) + sum.ln() - row[labels.m.values[i] as usize]
    };
    let losses = Model::new(&shape[..last], (0..index.len()).map(loss).collect());
    let e: Vec<f64> = losses.values.iter().map(|y| ua * (n + 40.0 + 4.0 * y.abs()) + storing(dtype, *y)).collect();
    let total = e.iter().sum::<f64>();
    finish(&mut rng, "cross_entropy_rows", &x.t.cross_entropy_rows(&labels.t).unwrap(), losses.clone(), e);
    let got = x.t.cross_entropy(&labels.t);
    if losses.len() == 0 {
        assert!(got.is_err());
        return;
    }
    let (rows, sum) = (losses.len() as f64, losses.values.iter().sum::<f64>());
    let m = Model::new(&[], vec![sum / rows]);
    let e = (total + (rows + 3.0) * (ua + ud) * sum.abs()) / rows + storing(dtype, sum / rows);
    finish(&mut rng, "cross_entropy", &got.unwrap(), m, vec![e]);
}

/// The last two axes multiplied, the ones before broadcast, with Σ|a·b| beside the product.
fn product(a: &Model, b: &Model) -> (Model, Model) {
    let (ra, rb) = (a.shape.len(), b.shape.len());
    let (m, k, n) = (a.shape[ra - 2], a.shape[ra - 1], b.shape[rb - 1]);
    let mut shape = broadcast(&a.shape[..ra - 2], &b.shape[..rb - 2]).unwrap();
    let batch = shape.len();
    let spread = |x: &Model, rows: usize, columns: usize| x.broadcast(&[&shape[..], &[rows, columns]].concat());
    let (a, b) = (spread(a, m, k), spread(b, k, n));
    shape.extend([m, n]);
    let sum = |f: fn(f64) -> f64| {
        Model::from_fn(&shape, |p| {
            let (lead, i, j) = (&p[..batch], p[batch], p[batch + 1]);
            (0..k).map(|l| f(a.at(&[lead, &[i, l]].concat()) * b.at(&[lead, &[l, j]].concat()))).sum()
        })
    };
    (sum(|x| x), sum(f64::abs))
}

fn matmul_case(seed: u64, dtype: DType) {
    let (mut rng, d) = (Draws(seed), device());
    let size = |rng: &mut Draws| if rng.chance(40) { 0 } else { 1 + rng.below(6) };
    let (m, k, n) = (size(&mut rng), size(&mut rng), size(&mut rng));
    let batch: Vec<usize> = (0..rng.below(4)).map(|_| 1 + rng.below(3)).collect();
    let (lead_a, lead_b) = (partner(&mut rng, &batch), partner(&mut rng, &batch));
    let mut a = [&lead_a[..], &[m, k]].concat();
    let mut b = [&lead_b[..], &[k, n]].concat();
    let (row, column) = (rng.chance(8), rng.chance(8));
    if row {
        a = vec![k];
    }
    if column {
        b = vec![k];
    }
    let x = Pair::arranged(&mut rng, &a, dtype, &d, -1.0, 1.0);
    let y = Pair::arranged(&mut rng, &b, dtype, &d, -1.0, 1.0);
    let am = if row { x.m.reshape(&[1, k]) } else { x.m.clone() };
    let bm = if column { y.m.reshape(&[k, 1]) } else { y.m.clone() };
    let (mut z, magnitude) = product(&am, &bm);
    if column {
        z.shape.pop();
    }
    if row {
        let at = z.shape.len() - if column { 1 } else { 2 };
        z.shape.remove(at);
    }
    let ua = arithmetic_unit(dtype);
    let e: Vec<f64> =
        z.values.iter().zip(&magnitude.values).map(|(y, s)| (k + 1) as f64 * ua * s + storing(dtype, *y)).collect();
    finish(&mut rng, &format!("matmul {dtype} {a:?} {b:?}"), &x.t.matmul(&y.t).unwrap(), z, e);

    let w = Pair::arranged(&mut rng, &[n, k], dtype, &d, -1.0, 1.0);
    let bias = rng.chance(2).then(|| Pair::arranged(&mut rng, &[n], dtype, &d, -1.0, 1.0));
    let (mut z, mut magnitude) = product(&am, &w.m.permute(&[1, 0]));
    if let Some(b) = &bias {
        z = z.zip(&b.m, |z, b| z + b);
        magnitude = magnitude.zip(&b.m, |s, b| s + b.abs());
    }
    if row {
        z.shape.remove(z.shape.len() - 2);
    }
    let activated = rng.chance(2);
    let e: Vec<f64> = z
        .values
        .iter()
        .zip(&magnitude.values)
        .map(|(y, s)| (k + 2) as f64 * ua * s + 2.0 * storing(dtype, *y) + dtype.unit_roundoff() * s)
        .collect();
    let mut got = x.t.linear(&w.t, bias.as_ref().map(|b| &b.t)).unwrap();
    if activated {
        got = got.relu().unwrap();
        z = z.map(|z| z.max(0.0));
    }
    finish(&mut rng, &format!("linear {dtype} {a:?} {n}"), &got, z, e);
}

fn join_case(seed: u64) {
    let (mut rng, d) = (Draws(seed), device());
    let dtype = rng.pick(&DType::ALL);
    let make = |rng: &mut Draws, s: &[usize]| {
        if dtype.is_float() { Pair::arranged(rng, s, dtype, &d, -4.0, 4.0) } else { whole(rng, s, dtype, &d) }
    };
    let shape = rng.shape(1..=4);
    let rank = shape.len();
    let axis = rng.below(rank);
    let sized = |n: usize| {
        let mut s = shape.clone();
        s[axis] = n;
        s
    };
    let parts: Vec<Pair> = (0..1 + rng.below(4))
        .map(|_| {
            let n = rng.below(4);
            make(&mut rng, &sized(n))
        })
        .collect();
    // Parts that are not computed yet are laid in place.
    let lazy: Vec<Tensor> = parts
        .iter()
        .map(|p| if dtype.is_float() && rng.chance(2) { p.t.mul(1.0).unwrap() } else { p.t.clone() })
        .collect();
    let total = parts.iter().map(|p| p.m.shape[axis]).sum();
    let joined = Model::from_fn(&sized(total), |p| {
        let mut index = p.to_vec();
        for part in &parts {
            if index[axis] < part.m.shape[axis] {
                return part.m.at(&index);
            }
            index[axis] -= part.m.shape[axis];
        }
        unreachable!()
    });
    let signed = if rng.chance(2) { axis as isize } else { axis as isize - rank as isize };
    let none = |m: &Model| vec![0.0; m.len()];
    let got = Tensor::concat(&lazy.iter().collect::<Vec<_>>(), signed).unwrap();
    finish(&mut rng, &format!("concat {dtype}"), &got, joined.clone(), none(&joined));

    let parts: Vec<Pair> = (0..1 + rng.below(3)).map(|_| make(&mut rng, &shape)).collect();
    let at = rng.below(rank + 1);
    let mut stacked = shape.clone();
    stacked.insert(at, parts.len());
    let m = Model::from_fn(&stacked, |p| {
        let mut index = p.to_vec();
        let i = index.remove(at);
        parts[i].m.at(&index)
    });
    let signed = if rng.chance(2) { at as isize } else { at as isize - rank as isize - 1 };
    let got = Tensor::stack(&parts.iter().map(|p| &p.t).collect::<Vec<_>>(), signed).unwrap();
    finish(&mut rng, &format!("stack {dtype} {signed}"), &got, m.clone(), none(&m));

    let (before, after) = (rng.below(3), rng.below(3));
    let m = Model::from_fn(&sized(shape[axis] + before + after), |p| {
        let mut index = p.to_vec();
        if index[axis] < before || index[axis] >= before + shape[axis] {
            return 0.0;
        }
        index[axis] -= before;
        parts[0].m.at(&index)
    });
    finish(
        &mut rng,
        &format!("pad {dtype}"),
        &parts[0].t.pad(axis as isize, before, after).unwrap(),
        m.clone(),
        none(&m),
    );
}

fn index_case(seed: u64) {
    let (mut rng, d) = (Draws(seed), device());
    let dtype = rng.pick(&DType::ALL);
    let mut shape = rng.shape(1..=4);
    let axis = rng.below(shape.len());
    shape[axis] = shape[axis].max(1);
    let x = if dtype.is_float() {
        Pair::arranged(&mut rng, &shape, dtype, &d, -4.0, 4.0)
    } else {
        whole(&mut rng, &shape, dtype, &d)
    };
    let size = shape[axis];
    let indices = |rng: &mut Draws, s: &[usize], below: usize| {
        let p = Pair::of(Model::from_fn(s, |_| rng.below(below) as f64), DType::I32, &d);
        // Now and then one that the device has computed.
        if rng.chance(2) { Pair { t: p.t.add(1).unwrap().sub(1).unwrap(), m: p.m } } else { p }
    };
    let none = |m: &Model| vec![0.0; m.len()];
    let n = rng.below(7);
    let i = indices(&mut rng, &[n], size);
    let m = x.m.along(axis, n, |j| i.m.values[j] as usize);
    finish(&mut rng, "index_select", &x.t.index_select(axis as isize, &i.t).unwrap(), m.clone(), none(&m));

    let mut space = shape.clone();
    space[axis] = rng.below(5);
    let i = indices(&mut rng, &space, size);
    let m = Model::from_fn(&space, |p| {
        let mut index = p.to_vec();
        index[axis] = i.m.at(p) as usize;
        x.m.at(&index)
    });
    finish(&mut rng, "gather", &x.t.gather(axis as isize, &i.t).unwrap(), m.clone(), none(&m));

    let rows = 1 + rng.below(5);
    let table = Pair::arranged(&mut rng, &[rows, 3], DType::F32, &d, -1.0, 1.0);
    let at = rng.shape(0..=3);
    let i = indices(&mut rng, &at, rows).views(&mut rng);
    let m = Model::from_fn(&[&i.m.shape[..], &[3]].concat(), |p| {
        table.m.at(&[i.m.at(&p[..p.len() - 1]) as usize, p[p.len() - 1]])
    });
    finish(&mut rng, "embedding", &table.t.embedding(&i.t).unwrap(), m.clone(), none(&m));

    let classes = rows + rng.below(2);
    let to = rng.pick(&DType::ALL);
    let m = Model::from_fn(&[&i.m.shape[..], &[classes]].concat(), |p| {
        truth(i.m.at(&p[..p.len() - 1]) == p[p.len() - 1] as f64)
    });
    finish(&mut rng, "one_hot", &i.t.one_hot(classes, to).unwrap(), m.clone(), none(&m));

    if !dtype.is_float() {
        return;
    }
    let wide = 1 + rng.below(5);
    let from = partner(&mut rng, &shape);
    let i = indices(&mut rng, &from, wide);
    let spread = i.m.broadcast(&shape);
    let mut sized = shape.clone();
    sized[axis] = wide;
    let (mut sums, mut sizes) = (vec![0.0; sized.iter().product()], vec![0.0; sized.iter().product()]);
    for p in points(&shape) {
        let mut to = p.clone();
        to[axis] = spread.at(&p) as usize;
        let at = to.iter().zip(&sized).fold(0, |at, (i, n)| at * n + i);
        sums[at] += x.m.at(&p);
        sizes[at] += x.m.at(&p).abs();
    }
    let u = size as f64 * arithmetic_unit(dtype);
    let e = sums.iter().zip(&sizes).map(|(y, s)| u * s + storing(dtype, *y)).collect();
    let got = x.t.scatter_add(axis as isize, &i.t, wide).unwrap();
    finish(&mut rng, "scatter_add", &got, Model::new(&sized, sums), e);
}

fn create_case(seed: u64) {
    let (mut rng, d) = (Draws(seed), device());
    let dtype = rng.pick(&DType::ALL);
    let shape = rng.shape(0..=5);
    let none = |m: &Model| vec![0.0; m.len()];
    let value = rng.pick(&[0.0, 1.0, 2.5, -3.0, 1e-3, 300.0]);
    let m = Model::from_fn(&shape, |_| dtype.round(value));
    finish(&mut rng, "full", &Tensor::full(value, &shape, dtype, &d).unwrap(), m.clone(), none(&m));
    let (start, step, n) = (rng.pick(&[0.0, 1.0, 0.3]), rng.pick(&[1.0, 2.0, 0.1]), rng.below(20));
    let m = Model::from_fn(&[n], |p| start + step * p[0] as f64);
    let (m, e) = if dtype.is_float() {
        let e = rounded(dtype, &m, |_| 0.0);
        (m, e)
    } else {
        let (start, step) = (dtype.round(start), dtype.round(step).max(1.0));
        let m = Model::from_fn(&[n], |p| dtype.round(start + step * p[0] as f64));
        let zeros = none(&m);
        (m, zeros)
    };
    let (start, step) = if dtype.is_float() { (start, step) } else { (dtype.round(start), dtype.round(step).max(1.0)) };
    finish(&mut rng, "arange", &Tensor::arange(start, step, n, dtype, &d).unwrap(), m, e);
    let size = rng.below(6);
    let m = Model::from_fn(&[size, size], |p| truth(p[0] == p[1]));
    finish(&mut rng, "eye", &Tensor::eye(size, dtype, &d).unwrap(), m.clone(), none(&m));
    if !dtype.is_float() {
        assert!(Tensor::rand(&shape, dtype, 1, &d).is_err() && Tensor::randn(&shape, dtype, 1, &d).is_err());
        return;
    }
    // The numbers depend on the seed and the position alone, whatever is asked for and how.
    let seed = rng.next();
    for make in [Tensor::rand, Tensor::randn] {
        let whole = make(&shape, DType::F32, seed, &d).unwrap().to_vec::<f32>().unwrap();
        let m = Model::new(&shape, whole.iter().map(|x| dtype.round(f64::from(*x))).collect());
        finish(&mut rng, "rand", &make(&shape, dtype, seed, &d).unwrap(), m.clone(), none(&m));
        let flat = make(&[whole.len()], DType::F32, seed, &d).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(flat, whole);
        if whole.len() > 3 {
            assert_ne!(make(&shape, DType::F32, seed ^ 1, &d).unwrap().to_vec::<f32>().unwrap(), whole);
        }
    }
}

macro_rules! over_floats {
    ($($name:ident: $case:ident;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(96))]
            $(#[test]
            fn $name(seed in any::<u64>(), dtype in prop::sample::select(&FLOATS[..])) {
                $case(seed, dtype);
            })*
        }
    };
}

over_floats! {
    functions_of_one_number: unary_case;
    powers: pow_case;
    rows_are_normalised: row_case;
    products: matmul_case;
}

macro_rules! over_dtypes {
    ($($name:ident: $case:ident;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(160))]
            $(#[test]
            fn $name(seed in any::<u64>(), dtype in prop::sample::select(&DType::ALL[..])) {
                $case(seed, dtype);
            })*
        }
    };
}

over_dtypes! {
    functions_of_two_numbers: binary_case;
    choices: choice_case;
    reductions: reduce_case;
}

macro_rules! over_seeds {
    ($($name:ident: $case:ident;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(128))]
            $(#[test]
            fn $name(seed in any::<u64>()) {
                $case(seed);
            })*
        }
    };
}

over_seeds! {
    casts: cast_case;
    views: view_case;
    joins: join_case;
    indices: index_case;
    creations: create_case;
}

#[test]
fn special_values_are_those_of_the_host() {
    let d = device();
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.0, -1.0, 30000.0, -30000.0];
    let n = special.len();
    for dtype in FLOATS {
        let x = Pair::of(Model::new(&[n], special.to_vec()), dtype, &d);
        for (name, f, model, _) in UNARY {
            // The limits, where the formula is 0·∞.
            let model = |x: f64| match (*name, x) {
                ("gelu" | "gelu_tanh" | "silu", f64::NEG_INFINITY) => 0.0,
                _ => model(x),
            };
            let y = x.m.map(model);
            let errors =
                rounded(dtype, &y, |i| if x.m.values[i].is_finite() { 4.0 * x.m.values[i].abs() } else { 0.0 });
            check(&format!("{name} {dtype} of special values"), &f(&x.t).unwrap(), &y, |i| errors[i]);
        }
        let (a, b) = (x.t.unsqueeze(1).unwrap(), x.t.unsqueeze(0).unwrap());
        let (am, bm) = (x.m.reshape(&[n, 1]), x.m.reshape(&[1, n]));
        let nan_wins =
            |f: fn(f64, f64) -> f64| move |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { f(a, b) };
        for (name, f, _, model) in ARITHMETIC {
            let y = am.zip(&bm, nan_wins(*model));
            let errors = rounded(dtype, &y, |_| 0.0);
            check(&format!("{name} {dtype} of special values"), &f(&a, &b).unwrap(), &y, |i| errors[i]);
        }
        for (name, f, with_number, model) in COMPARISONS {
            exact(&format!("{name} {dtype}"), &f(&a, &b).unwrap(), &am.zip(&bm, model));
            for c in special {
                exact(&format!("{name} {dtype} {c}"), &with_number(&x.t, c).unwrap(), &x.m.map(|x| model(x, c)));
            }
        }
        let clamped = x.m.map(|x| if x.is_nan() { x } else { x.clamp(-1.0, f64::INFINITY) });
        exact("clamp", &x.t.clamp(-1.0, f64::INFINITY).unwrap(), &clamped);
        let chosen = x.t.ne(&x.t).unwrap().where_(&x.t.mul(0.0).unwrap(), &x.t).unwrap();
        exact("where", &chosen, &x.m);
        assert!(x.t.max(&[]).unwrap().to_scalar().unwrap().is_nan());
        assert!(x.t.min(&[]).unwrap().to_scalar().unwrap().is_nan());
        assert_eq!(x.t.slice(0, 1..).unwrap().max(&[]).unwrap().to_scalar().unwrap(), f64::INFINITY);
        assert_eq!(x.t.flip(0).unwrap().argmax(0).unwrap().to_scalar().unwrap(), (n - 1) as f64);
        let truths = x.m.map(|x| truth(x != 0.0));
        exact("cast to bool", &x.t.cast(DType::Bool).unwrap(), &truths);
        exact("cast to i32", &x.t.cast(DType::I32).unwrap(), &x.m.map(|x| DType::I32.round(x)));
        exact("cast to u8", &x.t.cast(DType::U8).unwrap(), &x.m.map(|x| DType::U8.round(x)));
    }
}

#[test]
fn random_numbers_have_the_moments_of_their_distribution() {
    let d = device();
    let n = 40_000;
    for (make, mean, variance) in [
        (Tensor::rand as fn(&[usize], DType, u64, &kernelsmith::Device) -> Result<Tensor>, 0.5, 1.0 / 12.0),
        (Tensor::randn, 0.0, 1.0),
    ] {
        let x = make(&[n], DType::F32, 11, &d).unwrap();
        // Four standard errors; the fourth moment of the uniform one is smaller.
        let standard = (variance / n as f64).sqrt();
        assert!((x.mean(&[]).unwrap().to_scalar().unwrap() - mean).abs() < 4.0 * standard);
        let found = x.var(&[], 1).unwrap().to_scalar().unwrap();
        assert!((found - variance).abs() < 4.0 * variance * (2.0 / n as f64).sqrt(), "{found}");
        // Neighbours and other seeds have nothing to do with it.
        let (a, b) = (x.slice(0, 1..).unwrap().sub(mean).unwrap(), x.slice(0, ..n - 1).unwrap().sub(mean).unwrap());
        let lag = a.mul(&b).unwrap().mean(&[]).unwrap().to_scalar().unwrap();
        let other = make(&[n], DType::F32, 12, &d).unwrap().sub(mean).unwrap();
        let cross = x.sub(mean).unwrap().mul(&other).unwrap().mean(&[]).unwrap().to_scalar().unwrap();
        for c in [lag, cross] {
            assert!(c.abs() < 4.0 * variance / (n as f64).sqrt(), "{c}");
        }
    }
}
