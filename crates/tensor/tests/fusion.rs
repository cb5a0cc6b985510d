//! What becomes one launch, and what the plan says of it.

use kernelsmith::{DType, Device, Tensor};

fn device() -> Device {
    Device::best().unwrap()
}

fn tensor(values: &[f32], shape: &[usize], device: &Device) -> Tensor {
    Tensor::from_vec(values.to_vec(), shape, device).unwrap()
}

#[test]
fn chains_are_one_launch() {
    let d = device();
    let a = tensor(&[1.0, -2.0, 3.0, -4.0], &[2, 2], &d);
    let b = tensor(&[0.5, 0.5, -9.0, 9.0], &[2, 2], &d);
    for (name, out, want) in [
        ("add+relu", a.add(&b).unwrap().relu().unwrap(), vec![1.5, 0.0, 0.0, 5.0]),
        ("mul+relu", a.mul(&b).unwrap().relu().unwrap(), vec![0.5, 0.0, 0.0, 0.0]),
        ("affine", a.mul(&b).unwrap().add(1.0).unwrap(), vec![1.5, 0.0, -26.0, -35.0]),
        ("transposed", a.t().unwrap().add(&b).unwrap().mul(2.0).unwrap(), vec![3.0, 7.0, -22.0, 10.0]),
    ] {
        let plan = out.plan().unwrap();
        assert_eq!(plan.len(), 1, "{name}\n{plan}");
        assert_eq!(out.to_vec::<f32>().unwrap(), want, "{name}");
    }
}

#[test]
fn products_finish_with_bias_and_activation() {
    let d = device();
    let x = tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3], &d);
    let w = tensor(&[1.0, 0.0, -1.0, -1.0, 0.5, 0.0], &[2, 3], &d);
    let b = tensor(&[0.5, 3.0], &[2], &d);
    let y = x.linear(&w, Some(&b)).unwrap().relu().unwrap();
    let plan = y.plan().unwrap();
    assert_eq!(plan.len(), 1, "{plan}");
    assert!(plan.steps()[0].problem.ends_with("epilogue=bias+relu"), "{plan}");
    assert!(plan.steps()[0].problem.contains("layout=nt"), "{plan}");
    assert_eq!(plan.steps()[0].fused, ["matmul", "add", "relu"]);
    assert_eq!(plan.copied_bytes(), 0);
    assert_eq!(y.to_vec::<f32>().unwrap(), [0.0, 3.0, 0.0, 1.5]);
}

#[test]
fn reductions_take_prologue_and_epilogue() {
    let d = device();
    let x = tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3], &d);
    let y = x.mul(&x).unwrap().mean(&[1]).unwrap().sqrt().unwrap();
    let plan = y.plan().unwrap();
    assert_eq!(plan.len(), 1, "{plan}");
    let want: Vec<f32> = [14.0f32 / 3.0, 77.0 / 3.0].iter().map(|x| x.sqrt()).collect();
    for (got, want) in y.to_vec::<f32>().unwrap().iter().zip(want) {
        assert!((got - want).abs() < 1e-5);
    }
    let columns = x.sum(&[0]).unwrap();
    assert_eq!(columns.to_vec::<f32>().unwrap(), [5.0, 7.0, 9.0]);
}

#[test]
fn what_two_steps_read_is_computed_once() {
    let d = device();
    let x = tensor(&[1.0, 2.0, 3.0, 4.0], &[2, 2], &d);
    let h = x.matmul(&x).unwrap().exp().unwrap().sin().unwrap();
    let y = h.matmul(&h).unwrap();
    let plan = y.plan().unwrap();
    assert_eq!(plan.len(), 2, "{plan}");
}

#[test]
fn a_policy_forbids_copies_by_name() {
    let d = device();
    let x = tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3], &d);
    let folded = x.t().unwrap().reshape(&[6]).unwrap();
    let plan = folded.plan().unwrap();
    assert_eq!((plan.len(), plan.copied_bytes()), (1, 24), "{plan}");
    d.forbid_copies(true);
    let error = folded.plan().unwrap_err().to_string();
    assert!(error.contains("reshape") && error.contains("24 bytes"), "{error}");
    assert!(x.t().unwrap().matmul(&x).unwrap().plan().is_ok());
    d.forbid_copies(false);
    assert_eq!(folded.to_vec::<f32>().unwrap(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
}

#[test]
fn batches_of_one_buffer_share_a_plan() {
    let d = device();
    let data = Tensor::arange(0.0, 1.0, 64, DType::F32, &d).unwrap();
    data.realize().unwrap();
    let plans: Vec<_> =
        (0..4).map(|i| data.slice(0, 16 * i..16 * (i + 1)).unwrap().mul(2.0).unwrap().plan().unwrap()).collect();
    assert!(plans.windows(2).all(|p| std::sync::Arc::ptr_eq(&p[0], &p[1])));
    let third = data.slice(0, 48..64).unwrap().mul(2.0).unwrap();
    assert_eq!(third.to_vec::<f32>().unwrap()[0], 96.0);
    // Two different views in one expression are two reads.
    let sum = data.slice(0, 0..4).unwrap().add(&data.slice(0, 16..20).unwrap()).unwrap();
    assert_eq!(sum.to_vec::<f32>().unwrap(), [16.0, 18.0, 20.0, 22.0]);
}

#[test]
fn joins_write_where_they_belong() {
    let d = device();
    let a = tensor(&[1.0, 2.0, 3.0, 4.0], &[2, 2], &d);
    let joined = Tensor::concat(&[&a, &a.mul(10.0).unwrap()], 1).unwrap();
    assert_eq!(joined.to_vec::<f32>().unwrap(), [1.0, 2.0, 10.0, 20.0, 3.0, 4.0, 30.0, 40.0]);
    let stacked = Tensor::stack(&[&a, &a.t().unwrap()], 0).unwrap();
    assert_eq!(stacked.to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0, 1.0, 3.0, 2.0, 4.0]);
    let padded = a.pad(0, 1, 0).unwrap();
    assert_eq!(padded.to_vec::<f32>().unwrap(), [0.0, 0.0, 1.0, 2.0, 3.0, 4.0]);
}

/// What others read too is computed in its place, not copied there; once, where it is joined twice.
#[test]
fn parts_that_others_read_are_computed_where_they_are_joined() {
    let d = device();
    let numbers: Vec<f32> = (0..24).map(|i| i as f32 / 7.0 - 1.5).collect();
    let x = tensor(&numbers, &[6, 4], &d);
    let (a, b) = (x.softmax(1).unwrap(), x.slice(0, ..2).unwrap().softmax(1).unwrap());
    let values = |t: &Tensor| t.to_vec::<f32>().unwrap();
    let wanted: Vec<f32> =
        [values(&a), values(&b), values(&b).into_iter().map(|x| 2.0 * x).collect()].into_iter().flatten().collect();
    // Two softmaxes, two sums, the doubled part; it reads a piece of what is joined first, so that
    // this one is not a piece of what the doubled part is written to: one copy.
    let replay = kernelsmith::Replay::record(&d, &[], std::slice::from_ref(&x), |_, inputs| {
        let x = &inputs[0];
        let (a, b) = (x.softmax(1)?, x.slice(0, ..2)?.softmax(1)?);
        let joined = Tensor::concat(&[&a, &b], 0)?;
        let nested = Tensor::concat(&[&joined, &b.mul(2.0)?], 0)?;
        Ok(kernelsmith::Traced { state: Vec::new(), outputs: vec![a.sum(&[1])?, nested.sum(&[1])?, nested] })
    })
    .unwrap();
    assert_eq!(replay.launches(), 6);
    for round in 0..2 {
        replay.run(std::slice::from_ref(&x)).unwrap();
        let [sums, last, nested] = replay.outputs() else { panic!("three outputs") };
        assert_eq!(values(nested), wanted, "round {round}");
        let rows: Vec<f32> = wanted.chunks(4).map(|r| r.iter().sum()).collect();
        assert!(values(last).iter().zip(&rows).all(|(x, y)| (x - y).abs() < 1e-6));
        assert!(values(sums).iter().all(|x| (x - 1.0).abs() < 1e-6));
    }
    // Without a graph, where the part is asked for itself: it keeps a buffer of its own.
    let joined = Tensor::concat(&[&a.mul(1.0).unwrap(), &b], 0).unwrap();
    assert_eq!(values(&joined.slice(0, ..8).unwrap().contiguous().unwrap()), wanted[..32]);
    let part = x.exp().unwrap();
    let both = Tensor::concat(&[&part, &part], 0).unwrap();
    Tensor::realize_all(&[&part, &both]).unwrap();
    assert_eq!(values(&both), [values(&part), values(&part)].concat());
    // Joined twice: it keeps its own buffer and is copied to both places.
    let (part, other) = (x.softmax(1).unwrap(), x.log_softmax(1).unwrap());
    let twice = Tensor::concat(&[&part, &other, &part], 0).unwrap();
    assert_eq!(twice.plan().unwrap().len(), 4);
    assert_eq!(values(&twice)[48..], values(&part));
}

#[test]
fn whole_numbers_stay_whole_inside_a_chain() {
    let d = device();
    let a = Tensor::from_vec(vec![7i32, -7, 9], &[3], &d).unwrap();
    let q = a.div(2).unwrap().mul(2).unwrap();
    assert_eq!(q.plan().unwrap().len(), 1);
    assert_eq!(q.to_vec::<i32>().unwrap(), [6, -6, 8]);
    let f = tensor(&[1.7, -1.7, 300.0], &[3], &d);
    assert_eq!(f.cast(DType::I32).unwrap().cast(DType::F32).unwrap().to_vec::<f32>().unwrap(), [1.0, -1.0, 300.0]);
    assert_eq!(f.cast(DType::U8).unwrap().to_vec::<u8>().unwrap(), [1, 0, 255]);
}
