//! Plans: fused or not the numbers are the same, plans are shared by structure and nothing else,
//! depth costs no stack, memory comes back.

mod support;

use kernelsmith::{DType, Device, Tensor, grad};
use proptest::prelude::{ProptestConfig, any, proptest};
use std::sync::Arc;
use std::time::Instant;
use support::*;

fn tensor(values: &[f32], d: &Device) -> Tensor {
    Tensor::from_vec(values.to_vec(), &[values.len()], d).unwrap()
}

/// The nodes of a random graph over `inputs`; `each` sees every one as it is made.
fn graph(seed: u64, inputs: &[Tensor], each: impl Fn(&Tensor)) -> Vec<Tensor> {
    let mut rng = Draws(seed);
    let mut pool = inputs.to_vec();
    for _ in 0..3 + rng.below(14) {
        let dtype = inputs[0].dtype();
        let a = pool[rng.below(pool.len())].clone();
        let mut b = pool[rng.below(pool.len())].clone();
        let mut p = Pair { m: Model::from_fn(a.shape(), |_| 0.0), t: a };
        for _ in 0..rng.below(3) {
            let next = p.clone().view(&mut rng);
            if (1..200).contains(&next.m.len()) {
                p = next;
            }
        }
        let a = p.t;
        if rng.chance(4) {
            b = a.clone();
        }
        let last = a.rank() as isize - 1;
        let axis = if a.rank() > 0 { rng.below(a.rank()) as isize } else { 0 };
        let fits = broadcast(a.shape(), b.shape()).is_some_and(|s| s.iter().product::<usize>() < 400);
        let next = match rng.below(16) {
            0 if fits => a.add(&b),
            1 if fits => a.mul(&b).unwrap().tanh(),
            2 if fits => a.maximum(&b),
            3 => a.sin().unwrap().mul(0.5),
            4 => a.relu(),
            5 if last >= 0 => a.sum(&[axis]).unwrap().tanh(),
            6 => a.mean(&[]),
            7 if last >= 0 => a.softmax(axis),
            8 if last >= 0 => a.layer_norm(None, None, 0.1),
            9 if last >= 1 => a.matmul(&a.t().unwrap()).unwrap().tanh(),
            10 if last >= 0 => Tensor::concat(&[&a, &a.cos().unwrap()], axis),
            11 if last >= 0 => a.pad(axis, 1, 0),
            12 => a.abs().unwrap().add(1.0).unwrap().log(),
            13 if last >= 0 => {
                let index = Tensor::arange(0.0, 1.0, a.shape()[axis as usize], DType::I32, a.device()).unwrap();
                a.index_select(axis, &index.flip(0).unwrap())
            }
            14 if last >= 0 => a.max(&[axis]),
            15 => Ok(Tensor::full(0.25, a.shape(), dtype, a.device()).unwrap().sub(&a).unwrap()),
            _ => a.mul(&a).unwrap().clamp(-1.0, 2.0),
        };
        let next = next.unwrap();
        each(&next);
        if (1..400).contains(&next.len()) {
            pool.push(next);
        }
    }
    pool
}

fn inputs(rng: &mut Draws, d: &Device, dtype: DType) -> Vec<Tensor> {
    let one = |_| {
        let rank = rng.below(4);
        let shape: Vec<usize> = (0..rank).map(|_| 1 + rng.below(4)).collect();
        Pair::random(rng, &shape, dtype, d, -1.0, 1.0).t
    };
    (0..2).map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn fused_and_step_by_step_agree(seed in any::<u64>()) {
        let d = device();
        let mut rng = Draws(seed);
        let x = inputs(&mut rng, &d, DType::F64);
        let s = rng.next();
        let lazy = graph(s, &x, |_| {});
        let eager = graph(s, &x, |t| {
            t.realize().unwrap();
        });
        // All at once, or one after the other from the last one back.
        if rng.chance(2) {
            Tensor::realize_all(&lazy.iter().collect::<Vec<_>>()).unwrap();
        }
        for (a, b) in lazy.iter().zip(&eager).rev() {
            assert_eq!(a.shape(), b.shape());
            let (a, b) = (a.to_vec::<f64>().unwrap(), b.to_vec::<f64>().unwrap());
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() <= 1e-11 * b.abs().max(1.0), "{a} fused, {b} step by step");
            }
        }
    }

    #[test]
    fn the_same_structure_has_the_same_plan(seed in any::<u64>()) {
        let d = device();
        let mut rng = Draws(seed);
        let x = inputs(&mut rng, &d, DType::F32);
        let y: Vec<Tensor> = x.iter().map(|t| t.detach().unwrap()).collect();
        let s = rng.next();
        let (a, b) = (graph(s, &x, |_| {}).pop().unwrap(), graph(s, &y, |_| {}).pop().unwrap());
        let plan = a.plan().unwrap();
        if !plan.is_empty() {
            assert!(Arc::ptr_eq(&plan, &b.plan().unwrap()));
            // Printing needs no device and names what runs.
            assert!(plan.to_string().contains("launches"));
        }
    }
}

#[test]
fn different_structures_have_different_plans() {
    let d = device();
    let (x, y) = (tensor(&[1.0, 2.0, 3.0, 4.0], &d), tensor(&[5.0, 6.0, 7.0, 8.0], &d));
    let m = x.reshape(&[2, 2]).unwrap();
    let row = x.slice(0, ..2).unwrap();
    let label = Tensor::from_vec(vec![0, 1], &[2], &d).unwrap();
    let all = [
        x.mul(&x).unwrap(),
        x.mul(&y).unwrap(),
        x.add(&y).unwrap(),
        x.mul(2.0).unwrap(),
        x.mul(3.0).unwrap(),
        x.mul(0.0).unwrap(),
        x.mul(-0.0).unwrap(),
        x.mul(&x.flip(0).unwrap()).unwrap(),
        x.flip(0).unwrap().mul(&x).unwrap(),
        x.mul(&y.flip(0).unwrap()).unwrap(),
        m.mul(&m.t().unwrap()).unwrap(),
        m.mul(2.0).unwrap(),
        x.slice(0, 1..).unwrap().mul(2.0).unwrap(),
        x.slice_step(0, .., 2).unwrap().mul(2.0).unwrap(),
        x.cast(DType::F64).unwrap().mul(2.0).unwrap(),
        x.sum(&[]).unwrap(),
        x.max(&[]).unwrap(),
        m.sum(&[0]).unwrap(),
        m.sum(&[1]).unwrap(),
        m.softmax(1).unwrap(),
        m.layer_norm(None, None, 1e-5).unwrap(),
        m.layer_norm(None, None, 1e-6).unwrap(),
        m.cross_entropy_rows(&label).unwrap(),
        m.matmul(&m).unwrap(),
        m.matmul(&m.t().unwrap()).unwrap(),
        m.matmul(&row.unsqueeze(1).unwrap()).unwrap(),
        m.index_select(0, &label).unwrap(),
        m.index_select(1, &label).unwrap(),
        m.scatter_add(0, &label, 2).unwrap(),
        m.pad(0, 1, 0).unwrap(),
        m.pad(0, 0, 1).unwrap(),
        Tensor::rand(&[4], DType::F32, 1, &d).unwrap(),
        Tensor::rand(&[4], DType::F32, 2, &d).unwrap(),
        Tensor::randn(&[4], DType::F32, 1, &d).unwrap(),
    ];
    let plans: Vec<_> = all.iter().map(|t| t.plan().unwrap()).collect();
    for i in 0..plans.len() {
        for j in 0..i {
            assert!(!Arc::ptr_eq(&plans[i], &plans[j]), "{i} and {j} share\n{}", plans[i]);
        }
    }
    // Which of several is asked for is part of the structure.
    let h = x.exp().unwrap();
    let z = h.sin().unwrap();
    let one = Tensor::plan_all(&[&h, &z]).unwrap();
    let other = Tensor::plan_all(&[&z, &h]).unwrap();
    assert!(!Arc::ptr_eq(&one, &other));
    Tensor::realize_all(&[&z, &h]).unwrap();
    for (i, x) in [1.0f32, 2.0, 3.0, 4.0].iter().enumerate() {
        assert!((h.to_vec::<f32>().unwrap()[i] - x.exp()).abs() < 1e-4);
        assert!((z.to_vec::<f32>().unwrap()[i] - x.exp().sin()).abs() < 1e-4);
    }
}

#[test]
fn one_plan_serves_other_buffers_and_other_batches() {
    let d = device();
    let data = Tensor::from_vec((0..64).map(|i| i as f32).collect(), &[16, 4], &d).unwrap();
    let work = |x: &Tensor, y: &Tensor| x.mul(2.0).unwrap().add(y).unwrap();
    let plan = work(&data.slice(0, 0..4).unwrap(), &data.slice(0, 4..8).unwrap()).plan().unwrap();
    for (i, j) in [(2, 1), (3, 0), (1, 3)] {
        let (x, y) = (data.slice(0, 4 * i..4 * i + 4).unwrap(), data.slice(0, 4 * j..4 * j + 4).unwrap());
        let z = work(&x, &y);
        assert!(Arc::ptr_eq(&plan, &z.plan().unwrap()));
        let (x, y) = (x.to_vec::<f32>().unwrap(), y.to_vec::<f32>().unwrap());
        let want: Vec<f32> = x.iter().zip(&y).map(|(x, y)| 2.0 * x + y).collect();
        assert_eq!(z.to_vec::<f32>().unwrap(), want);
    }
    // The same batch twice is one read: another plan.
    let x = data.slice(0, 4..8).unwrap();
    assert!(!Arc::ptr_eq(&plan, &work(&x, &x).plan().unwrap()));
    assert_eq!(work(&x, &x).to_vec::<f32>().unwrap()[0], 48.0);
}

#[test]
fn deep_graphs_need_no_stack_and_linear_time() {
    let d = device();
    let seconds = |n: usize| {
        let x = tensor(&[1.0, -1.0], &d);
        let start = Instant::now();
        let mut y = x.clone();
        for i in 0..n {
            y = if i % 2 == 0 { y.add(1.0).unwrap() } else { y.sub(1.0).unwrap() };
        }
        std::thread::scope(|s| {
            let small = std::thread::Builder::new().stack_size(512 << 10);
            small.spawn_scoped(s, || assert_eq!(y.to_vec::<f32>().unwrap(), [1.0, -1.0])).unwrap();
        });
        start.elapsed().as_secs_f64()
    };
    let (short, long) = (seconds(10_000), seconds(100_000));
    // Quadratic would be a hundred times; a busy machine is allowed for.
    assert!(long < 45.0 * short.max(0.02), "{short} s and {long} s");
}

#[test]
fn deep_graphs_are_dropped_without_recursion() {
    let d = device();
    let small = std::thread::Builder::new().stack_size(256 << 10);
    let work = move || {
        let x = Tensor::from_vec(vec![1.0f32], &[1, 1], &d).unwrap().variable().unwrap();
        for keep in [false, true] {
            let mut y = x.clone();
            let mut middle = None;
            for i in 0..100_000 {
                y = if i % 3 == 0 { y.softmax(-1).unwrap() } else { y.mul(1.0).unwrap() };
                if i == 50_000 && keep {
                    middle = Some(y.clone());
                }
            }
            drop(y);
            drop(middle);
        }
    };
    small.spawn(work).unwrap().join().unwrap();
}

/// A node with many inputs is looked at once, not once for each of them.
#[test]
fn wide_graphs_take_linear_time() {
    let d = device();
    let seconds = |n: usize| {
        let x = tensor(&[1.0], &d);
        let parts: Vec<Tensor> = (0..n).map(|i| x.mul(i as f64).unwrap()).collect();
        let whole = Tensor::concat(&parts.iter().collect::<Vec<_>>(), 0).unwrap();
        let start = Instant::now();
        assert_eq!(whole.plan().unwrap().len(), n);
        start.elapsed().as_secs_f64()
    };
    let (short, long) = (seconds(500), seconds(8000));
    assert!(long < 100.0 * short.max(0.002), "{short} s and {long} s");
}

#[test]
fn what_was_realized_is_read_and_not_computed_again() {
    let d = device();
    let x = tensor(&[1.0, 2.0], &d);
    let h = x.exp().unwrap();
    assert!(!h.is_realized() && !h.flip(0).unwrap().is_realized());
    assert!(h.realize().unwrap().is_realized());
    assert!(h.plan().unwrap().is_empty());
    let y = h.flip(0).unwrap().add(&h).unwrap();
    let plan = y.plan().unwrap();
    assert_eq!(plan.len(), 1);
    assert!(!plan.steps()[0].problem.contains("exp("), "{plan}");
    let sum = 1f32.exp() + 2f32.exp();
    assert!(y.to_vec::<f32>().unwrap().iter().all(|y| (y - sum).abs() < 1e-5));
    // Views of what was asked for, the same root twice, an empty one.
    let v = x.sin().unwrap();
    let empty = v.slice(0, 1..1).unwrap().mul(2.0).unwrap();
    Tensor::realize_all(&[&v, &v.flip(0).unwrap(), &v, &empty]).unwrap();
    assert_eq!(v.flip(0).unwrap().to_vec::<f32>().unwrap()[1], v.to_vec::<f32>().unwrap()[0]);
    assert_eq!(empty.to_vec::<f32>().unwrap(), Vec::<f32>::new());
    Tensor::realize_all(&[]).unwrap_or_else(|e| panic!("nothing to realize: {e}"));
}

#[test]
fn memory_comes_back() {
    let d = device();
    let w = Tensor::randn(&[64, 64], DType::F32, 1, &d).unwrap().variable().unwrap();
    let x = Tensor::randn(&[32, 64], DType::F32, 2, &d).unwrap();
    x.realize().unwrap();
    let step = || {
        let h = x.matmul(&w).unwrap().relu().unwrap();
        let joined = Tensor::concat(&[&h, &h.softmax(-1).unwrap()], 0).unwrap();
        let loss = joined.mul(&joined).unwrap().mean(&[]).unwrap();
        let g = grad(&loss, &[&w]).unwrap().remove(0);
        Tensor::realize_all(&[&loss, &g]).unwrap();
        // One that is never computed, and one whose elements are read.
        let _ = g.add(&w).unwrap().t().unwrap();
        g.to_vec::<f32>().unwrap()
    };
    let first = step();
    let before = d.pool_stats();
    for _ in 0..100 {
        assert_eq!(step(), first);
    }
    let after = d.pool_stats();
    assert_eq!(after.bytes_live, before.bytes_live);
    assert_eq!((after.bytes_held, after.misses), (before.bytes_held, before.misses), "every block is used again");
    drop((w, x));
    assert_eq!(d.pool_stats().bytes_live, 0);
    assert_eq!(d.shrink_to_fit(), after.bytes_held + before.bytes_live);
    assert_eq!(d.pool_stats().bytes_held, 0);
}

#[test]
fn temporaries_share_memory() {
    let d = device();
    let x = Tensor::randn(&[64, 64], DType::F32, 1, &d).unwrap();
    x.realize().unwrap();
    let base = d.pool_stats().bytes_peak;
    let mut y = x.clone();
    for _ in 0..50 {
        y = y.matmul(&x).unwrap().softmax(-1).unwrap();
    }
    y.realize().unwrap();
    let grown = d.pool_stats().bytes_peak - base;
    assert!(grown <= 4 * 64 * 64 * 4, "{grown} bytes for a chain that needs two buffers at a time");
}

#[test]
fn threads_realize_what_they_share() {
    let d = device();
    for round in 0..20 {
        let x = Tensor::randn(&[16, 16], DType::F32, round, &d).unwrap();
        let h = x.matmul(&x).unwrap().tanh().unwrap();
        let y = h.matmul(&h).unwrap().sum(&[]).unwrap();
        let found: Vec<(Vec<f32>, f64)> = std::thread::scope(|s| {
            let work = |i: usize| {
                let (h, y) = (&h, &y);
                move || {
                    if i.is_multiple_of(2) {
                        let v = h.to_vec::<f32>().unwrap();
                        (v, y.to_scalar().unwrap())
                    } else {
                        let s = y.to_scalar().unwrap();
                        (h.to_vec::<f32>().unwrap(), s)
                    }
                }
            };
            let threads: Vec<_> = (0..4).map(|i| s.spawn(work(i))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(found.windows(2).all(|w| w[0].0 == w[1].0));
        assert!(found.windows(2).all(|w| (w[0].1 - w[1].1).abs() <= 1e-3 * w[0].1.abs().max(1.0)), "{found:?}");
    }
}

#[test]
fn threads_build_and_drop_on_one_device() {
    let d = device();
    let shared = Tensor::randn(&[32], DType::F32, 1, &d).unwrap();
    shared.realize().unwrap();
    let before = d.pool_stats().bytes_live;
    std::thread::scope(|s| {
        for t in 0..4 {
            let shared = &shared;
            s.spawn(move || {
                for i in 0..100 {
                    let y = shared.mul(f64::from(i % 7)).unwrap().add(f64::from(t)).unwrap();
                    let abandoned = y.sin().unwrap().sum(&[]).unwrap();
                    if i % 2 == 0 {
                        let z = y.sub(f64::from(t)).unwrap().sum(&[]).unwrap().to_scalar().unwrap();
                        let want = shared.sum(&[]).unwrap().to_scalar().unwrap() * f64::from(i % 7);
                        assert!((z - want).abs() < 1e-3);
                    }
                    drop(abandoned);
                }
            });
        }
    });
    assert_eq!(d.pool_stats().bytes_live, before);
}
