//! Bad input is a typed error with the shapes, dtypes or sizes in it; nothing panics, nothing is
//! allocated for it.

use kernelsmith::{DType, Device, Error, Result, Tensor};
use kernelsmith_device::DeviceError;

fn device() -> Device {
    Device::best().unwrap()
}

fn zeros(shape: &[usize], d: &Device) -> Tensor {
    Tensor::zeros(shape, DType::F32, d).unwrap()
}

fn indices(values: &[i32], d: &Device) -> Tensor {
    Tensor::from_vec(values.to_vec(), &[values.len()], d).unwrap()
}

/// The error of what must fail, whose message has all of `parts` in it.
#[track_caller]
fn fails<T>(found: Result<T>, parts: &[&str]) -> Error {
    let error = match found {
        Ok(_) => panic!("there is no error"),
        Err(error) => error,
    };
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in `{text}`");
    }
    error
}

macro_rules! is {
    ($kind:pat, $found:expr, $($part:expr),*) => {{
        let error = fails($found, &[$($part),*]);
        assert!(matches!(error, $kind), "{error:?}");
    }};
}

#[test]
fn shapes_that_do_not_fit() {
    let d = device();
    let (a, b) = (zeros(&[2, 3], &d), zeros(&[4, 5], &d));
    is!(Error::Shape { .. }, a.add(&b), "add", "[2, 3]", "[4, 5]");
    is!(Error::Shape { .. }, a.lt(&b), "lt", "[2, 3]", "[4, 5]");
    is!(Error::Shape { .. }, a.gt(&b), "gt", "[2, 3]", "[4, 5]");
    is!(Error::Shape { .. }, a.gt(0.0).unwrap().where_(&b, &b), "where", "[2, 3]", "[4, 5]");
    is!(Error::Shape { .. }, a.matmul(&b), "matmul", "[2, 3]", "[4, 5]");
    is!(Error::Shape { .. }, zeros(&[], &d).matmul(&a), "matmul", "[]", "[2, 3]");
    is!(Error::Shape { .. }, zeros(&[2, 2, 3], &d).matmul(&zeros(&[4, 3, 2], &d)), "[2, 2, 3]", "[4, 3, 2]");
    is!(Error::Shape { .. }, a.linear(&b, None), "[2, 3]");
    is!(Error::Shape { .. }, a.linear(&zeros(&[3], &d), None), "linear", "[3]");
    is!(Error::Shape { .. }, a.linear(&zeros(&[5, 3], &d), Some(&zeros(&[4], &d))), "linear", "[5, 3]", "[4]");
    is!(Error::Shape { .. }, Tensor::concat(&[&a, &b], 0), "concat", "[2, 3]", "[4, 5]");
    is!(Error::Shape { .. }, Tensor::concat(&[&a, &zeros(&[3], &d)], 0), "concat", "[2, 3]", "[3]");
    is!(Error::Shape { .. }, Tensor::stack(&[&a, &b], 0), "[1, 2, 3]", "[1, 4, 5]");
    is!(Error::Invalid { .. }, Tensor::concat(&[], 0), "concat", "no tensors");
    is!(Error::Invalid { .. }, Tensor::stack(&[], 0), "no tensors");
    is!(Error::Shape { .. }, a.layer_norm(Some(&zeros(&[2], &d)), None, 1e-5), "layer_norm", "[2, 3]", "[2]");
    is!(Error::Shape { .. }, a.layer_norm(None, Some(&zeros(&[3, 1], &d)), 1e-5), "[3, 1]");
    is!(Error::Shape { .. }, a.rms_norm(Some(&zeros(&[1], &d)), 1e-5), "rms_norm", "[1]");
    is!(Error::Shape { .. }, zeros(&[], &d).layer_norm(None, None, 1e-5), "layer_norm", "[]");
    is!(Error::Shape { .. }, a.cross_entropy(&indices(&[0, 1, 2], &d)), "cross_entropy", "[2, 3]", "[3]");
    is!(Error::Shape { .. }, zeros(&[2, 0], &d).softmax(1), "softmax", "[2, 0]");
    is!(Error::Shape { .. }, zeros(&[2, 0], &d).max(&[1]), "max", "[2, 0]");
    is!(Error::Shape { .. }, zeros(&[2, 0], &d).mean(&[]), "mean", "[2, 0]");
    is!(Error::Shape { .. }, zeros(&[0], &d).argmax(0), "argmax", "[0]");
    is!(Error::Shape { .. }, a.gather(0, &Tensor::zeros(&[2, 2], DType::I32, &d).unwrap()), "[2, 3]", "[2, 2]");
    is!(Error::Shape { .. }, a.gather(0, &indices(&[0], &d)), "gather", "[2, 3]", "[1]");
    is!(Error::Shape { .. }, a.index_select(0, &Tensor::zeros(&[1, 1], DType::I32, &d).unwrap()), "[1, 1]");
    is!(Error::Shape { .. }, zeros(&[2], &d).embedding(&indices(&[0], &d)), "embedding", "[2]");
    is!(Error::Layout { .. }, a.scatter_add(0, &indices(&[0, 1], &d), 2), "scatter_add", "[2]", "[2, 3]");
    is!(Error::Shape { .. }, Tensor::from_vec(vec![1.0f32; 5], &[2, 3], &d), "[2, 3]", "5 elements");
    is!(Error::Shape { .. }, a.to_scalar(), "to_scalar", "[2, 3]");
    is!(Error::Shape { .. }, a.variable().unwrap().backward(), "backward", "[2, 3]");
    is!(Error::Invalid { .. }, a.var(&[1], 3), "var", "3");
}

#[test]
fn views_that_do_not_exist() {
    let d = device();
    let a = zeros(&[2, 3], &d);
    is!(Error::Layout { .. }, a.slice(1, 2..5), "slice", "2..5", "size 3");
    is!(Error::Layout { .. }, a.slice(1, 4..), "slice", "4..3");
    #[allow(clippy::reversed_empty_ranges)]
    {
        is!(Error::Layout { .. }, a.slice(1, 2..1), "slice", "2..1");
    }
    is!(Error::Layout { .. }, a.slice(1, ..=usize::MAX), "slice", "size 3");
    is!(Error::Layout { .. }, a.slice_step(1, .., 0), "step 0");
    assert_eq!(a.slice_step(1, .., usize::MAX).unwrap().shape(), [2, 1]);
    is!(Error::Layout { .. }, a.select(1, 3), "3..4", "size 3");
    is!(Error::Layout { .. }, a.select(1, usize::MAX), "size 3");
    is!(Error::Axis { .. }, a.slice(2, ..), "axis 2", "rank 2");
    is!(Error::Axis { .. }, a.slice(-3, ..), "axis -3", "rank 2");
    is!(Error::Axis { .. }, a.transpose(0, isize::MIN), "transpose", "rank 2");
    is!(Error::Axis { .. }, a.transpose(0, isize::MAX), "transpose", "rank 2");
    is!(Error::Axis { .. }, zeros(&[3], &d).t(), "rank 1");
    is!(Error::Axis { .. }, zeros(&[], &d).flip(0), "flip", "rank 0");
    is!(Error::Axis { .. }, a.softmax(2), "axis 2");
    is!(Error::Axis { .. }, a.sum(&[0, 5]), "sum", "axis 5");
    is!(Error::Invalid { .. }, a.sum(&[0, -2]), "sum", "twice");
    is!(Error::Axis { .. }, a.pad(2, 1, 1), "pad", "axis 2");
    is!(Error::Layout { .. }, a.permute(&[0, 0]), "permute", "[0, 0]");
    is!(Error::Layout { .. }, a.permute(&[0]), "permute", "[0]");
    is!(Error::Layout { .. }, a.squeeze(1), "squeeze", "size 3");
    is!(Error::Layout { .. }, a.unsqueeze(4), "unsqueeze", "4", "rank 2");
    is!(Error::Axis { .. }, a.unsqueeze(-4), "unsqueeze", "-4");
    is!(Error::Axis { .. }, a.unsqueeze(isize::MIN), "unsqueeze");
    is!(Error::Layout { .. }, a.broadcast_to(&[3, 3]), "[2, 3]", "[3, 3]");
    is!(Error::Layout { .. }, a.broadcast_to(&[3]), "[2, 3]", "[3]");
    is!(Error::Layout { .. }, a.view(&[7]), "[2, 3]", "[7]", "6 elements");
    is!(Error::Layout { .. }, a.reshape(&[4, 2]), "reshape", "[2, 3]", "[4, 2]");
    is!(Error::Layout { .. }, a.t().unwrap().view(&[6]), "view", "[3, 2]", "[6]", "copy");
    is!(Error::Layout { .. }, a.split(1, 0), "split", "size 0");
}

#[test]
fn dtypes_that_do_not_fit() {
    let d = device();
    let (a, i) = (zeros(&[2], &d), indices(&[0, 1], &d));
    let wide = Tensor::zeros(&[2], DType::F64, &d).unwrap();
    is!(Error::DType { .. }, a.add(&wide), "add", "f32", "f64");
    is!(Error::DType { .. }, a.ge(&i), "ge", "f32", "i32");
    is!(Error::DType { .. }, a.matmul(&wide), "matmul", "f32", "f64");
    is!(Error::DType { .. }, i.matmul(&i), "matmul", "i32");
    is!(Error::DType { .. }, i.exp(), "exp", "i32");
    is!(Error::DType { .. }, i.mean(&[]), "mean", "i32");
    is!(Error::DType { .. }, i.softmax(0), "softmax", "i32");
    is!(Error::DType { .. }, i.scatter_add(0, &i, 2), "scatter_add", "i32");
    is!(Error::DType { .. }, i.variable(), "variable", "i32");
    is!(Error::DType { .. }, a.where_(&a, &a), "where", "f32", "bool");
    is!(Error::DType { .. }, a.gt(0.0).unwrap().where_(&a, &wide), "where", "f32", "f64");
    is!(Error::DType { .. }, a.logical_not(), "logical_not", "f32", "bool");
    is!(Error::DType { .. }, Tensor::concat(&[&a, &wide], 0), "concat", "f64", "f32");
    is!(Error::DType { .. }, a.to_vec::<f64>(), "to_vec", "f32", "f64");
    is!(Error::DType { .. }, a.index_select(0, &a), "index_select", "f32", "i32");
    is!(Error::DType { .. }, a.gather(0, &wide), "gather", "f64", "i32");
    is!(Error::DType { .. }, a.one_hot(3, DType::F32), "one_hot", "f32", "i32");
    is!(Error::DType { .. }, zeros(&[2, 3], &d).cross_entropy(&a), "cross_entropy", "f32", "i32");
    is!(Error::DType { .. }, a.reshape(&[1, 2]).unwrap().layer_norm(Some(&wide), None, 0.1), "f32", "f64");
    is!(Error::DType { .. }, Tensor::rand(&[2], DType::I32, 1, &d), "rand", "i32");
    is!(Error::DType { .. }, i.sum(&[]).unwrap().backward(), "backward", "i32");
    is!(Error::Invalid { .. }, a.clamp(1.0, 0.0), "clamp", "1", "0");
    is!(Error::Invalid { .. }, a.clamp(f64::NAN, 0.0), "clamp", "NaN");
    for eps in [-1.0, f64::NAN, f64::INFINITY] {
        is!(Error::Invalid { .. }, a.layer_norm(None, None, eps), "layer_norm", "eps");
    }
}

#[test]
fn tensors_of_two_openings_do_not_mix() {
    let (d, e) = (Device::open("cpu").unwrap(), Device::open("cpu").unwrap());
    let (a, b) = (zeros(&[2, 2], &d), zeros(&[2, 2], &e));
    let i = indices(&[0, 1], &e);
    is!(Error::DeviceMismatch { .. }, a.add(&b), "add", "cpu", "to_device");
    is!(Error::DeviceMismatch { .. }, a.matmul(&b), "matmul");
    is!(Error::DeviceMismatch { .. }, a.linear(&b, None), "matmul");
    is!(Error::DeviceMismatch { .. }, a.gt(0.0).unwrap().where_(&a, &b), "where");
    is!(Error::DeviceMismatch { .. }, Tensor::concat(&[&a, &b], 0), "concat");
    is!(Error::DeviceMismatch { .. }, Tensor::stack(&[&a, &b], 0), "concat");
    is!(Error::DeviceMismatch { .. }, a.index_select(0, &i), "index_select");
    is!(Error::DeviceMismatch { .. }, a.gather(0, &b.cast(DType::I32).unwrap()), "gather");
    is!(Error::DeviceMismatch { .. }, a.embedding(&i), "index_select");
    is!(Error::DeviceMismatch { .. }, a.scatter_add(1, &i, 2), "scatter_add");
    is!(Error::DeviceMismatch { .. }, a.cross_entropy(&i), "cross_entropy");
    is!(Error::DeviceMismatch { .. }, a.layer_norm(Some(&b.select(0, 0).unwrap()), None, 0.1), "mul");
    is!(Error::DeviceMismatch { .. }, Tensor::realize_all(&[&a, &b]), "realize");
    is!(Error::DeviceMismatch { .. }, Tensor::plan_all(&[&a, &b]), "realize");
    assert!(a.add(&b.to_device(&d).unwrap()).is_ok());
}

#[test]
fn indices_outside_their_axis() {
    let d = device();
    let table = zeros(&[3, 2], &d);
    for bad in [3, -1, i32::MIN, i32::MAX] {
        let i = indices(&[0, 2, bad], &d);
        let found = format!("index {bad} at element 2 is outside 0..3");
        is!(Error::Index { .. }, table.index_select(0, &i), "index_select", &found);
        is!(Error::Index { .. }, table.embedding(&i), &found);
        is!(Error::Index { .. }, i.one_hot(3, DType::F32), "one_hot", &found);
        is!(Error::Index { .. }, zeros(&[3, 3], &d).cross_entropy(&i), "cross_entropy", &found);
        is!(Error::Index { .. }, zeros(&[2, 3], &d).scatter_add(1, &i, 3), "scatter_add", &found);
        let whole = i.unsqueeze(1).unwrap().broadcast_to(&[3, 2]).unwrap();
        is!(Error::Index { .. }, table.gather(0, &whole), "gather", "outside 0..3");
        // Computed and on the device.
        let computed = i.maximum(i32::MIN).unwrap();
        computed.realize().unwrap();
        is!(Error::Index { .. }, table.index_select(0, &computed), &found);
        // A view that leaves the bad one out is good, whether or not its bounds are known.
        assert!(table.index_select(0, &i.slice(0, ..2).unwrap()).is_ok());
        assert!(table.index_select(0, &computed.slice(0, ..2).unwrap()).is_ok());
    }
    is!(Error::Index { .. }, zeros(&[0, 2], &d).index_select(0, &indices(&[0], &d)), "outside 0..0");
    is!(
        Error::Index { .. },
        Tensor::full(7.0, &[2], DType::I32, &d).unwrap().realize().unwrap().one_hot(7, DType::F32),
        "7"
    );
}

/// What is not computed yet cannot be looked at: kernels stay inside by themselves.
#[test]
fn indices_that_turn_out_wrong_read_and_write_nothing() {
    let d = device();
    let table = Tensor::from_vec(vec![1.0f32, 2.0, 3.0], &[3], &d).unwrap();
    let i = indices(&[0, 1, 2, 3], &d).add(1).unwrap().sub(&indices(&[2, 1, 1, 1], &d)).unwrap();
    // −1, 1, 2, 3.
    let found = table.index_select(0, &i).unwrap().to_vec::<f32>().unwrap();
    assert!(found[0].is_nan() && found[1..3] == [2.0, 3.0] && found[3].is_nan(), "{found:?}");
    let i = indices(&[0, 1, 2, 3], &d).sub(1).unwrap();
    let sums = Tensor::ones(&[4], DType::F32, &d).unwrap().scatter_add(0, &i, 2).unwrap();
    assert_eq!(sums.to_vec::<f32>().unwrap(), [1.0, 1.0]);
    let i = indices(&[0, 1], &d).sub(1).unwrap();
    let loss = zeros(&[2, 2], &d).cross_entropy_rows(&i).unwrap().to_vec::<f32>().unwrap();
    assert!(loss[0].is_nan() && loss[1].is_finite());
    let i = indices(&[0, 1], &d).sub(1).unwrap();
    assert_eq!(i.one_hot(1, DType::I32).unwrap().to_vec::<i32>().unwrap(), [0, 1]);
}

#[test]
fn ranks_over_the_limit() {
    let d = device();
    let nine = [1; 9];
    is!(Error::Layout { .. }, Tensor::zeros(&nine, DType::F32, &d), "rank 9");
    is!(Error::Layout { .. }, Tensor::from_vec(vec![1.0f32], &nine, &d), "rank 9");
    is!(Error::Layout { .. }, Tensor::rand(&nine, DType::F32, 1, &d), "rank 9");
    let eight = zeros(&[1; 8], &d);
    is!(Error::Layout { .. }, eight.unsqueeze(0), "rank 9");
    is!(Error::Layout { .. }, eight.broadcast_to(&nine), "rank 9");
    is!(Error::Layout { .. }, eight.reshape(&nine), "rank 9");
    is!(Error::Layout { .. }, Tensor::stack(&[&eight], 0), "rank 9");
    is!(Error::Layout { .. }, eight.cast(DType::I32).unwrap().one_hot(1, DType::F32), "rank 9");
    is!(Error::Shape { .. }, zeros(&[1, 1], &d).embedding(&eight.cast(DType::I32).unwrap()), "embedding");
    // Eight is fine.
    assert_eq!(eight.add(&eight).unwrap().sum(&[]).unwrap().to_scalar().unwrap(), 0.0);
    assert_eq!(eight.matmul(&eight).unwrap().softmax(3).unwrap().rank(), 8);
}

#[test]
fn shapes_beyond_the_address_range() {
    let d = device();
    let before = d.pool_stats().bytes_peak;
    let huge = [1 << 40, 1 << 40];
    is!(Error::Layout { .. }, Tensor::zeros(&huge, DType::F32, &d), "full", "address range");
    is!(Error::Layout { .. }, Tensor::arange(0.0, 1.0, usize::MAX, DType::F32, &d), "arange", "address range");
    is!(Error::Layout { .. }, Tensor::eye(1 << 40, DType::F32, &d), "eye", "address range");
    is!(Error::Layout { .. }, Tensor::from_vec(Vec::<f32>::new(), &huge, &d), "address range");
    let one = Tensor::from_vec(vec![1.0f32], &[1], &d).unwrap();
    is!(Error::Layout { .. }, one.broadcast_to(&huge), "address range");
    is!(Error::Layout { .. }, one.reshape(&[usize::MAX, 2]), "address range");
    is!(Error::Layout { .. }, one.pad(0, usize::MAX, usize::MAX), "pad", "address range");
    let long = one.broadcast_to(&[1 << 40]).unwrap();
    is!(Error::Layout { .. }, long.unsqueeze(1).unwrap().mul(&long), "address range");
    is!(Error::Layout { .. }, long.unsqueeze(1).unwrap().matmul(&long.unsqueeze(0).unwrap()), "address range");
    is!(
        Error::Layout { .. },
        Tensor::zeros(&[3], DType::I32, &d).unwrap().one_hot(usize::MAX, DType::F32),
        "address range"
    );
    is!(Error::Layout { .. }, zeros(&[3], &d).scatter_add(0, &indices(&[0, 0, 0], &d), usize::MAX), "address range");
    assert!(d.pool_stats().bytes_peak <= before + 4096, "nothing was allocated for them");
}

#[test]
fn tensors_larger_than_the_device() {
    let d = device();
    let keep = Tensor::ones(&[1024], DType::F32, &d).unwrap();
    keep.realize().unwrap();
    // Held for reuse: given back before the error.
    Tensor::ones(&[1 << 20], DType::F32, &d).unwrap().realize().unwrap();
    let n = 1usize << 45;
    for large in [
        Tensor::zeros(&[n], DType::F32, &d).unwrap(),
        keep.slice(0, ..1).unwrap().broadcast_to(&[n]).unwrap().exp().unwrap(),
        keep.slice(0, ..1).unwrap().broadcast_to(&[4, n / 4]).unwrap().t().unwrap().contiguous().unwrap(),
        keep.pad(0, 0, n - 1024).unwrap(),
    ] {
        let error = fails(large.realize(), &[&(4 * n).to_string(), "4096"]);
        let Error::Device(DeviceError::OutOfMemory { requested, live, held, .. }) = error else { panic!("{error:?}") };
        assert_eq!((requested, live, held), (4 * n, 4096, 0));
        assert!(!large.is_realized());
    }
    // Reducing what never has a buffer needs none.
    let wide = keep.slice(0, ..1).unwrap().broadcast_to(&[1 << 12]).unwrap();
    assert_eq!(wide.sum(&[]).unwrap().to_scalar().unwrap(), 4096.0);
    // The device goes on.
    assert_eq!(keep.add(1.0).unwrap().sum(&[]).unwrap().to_scalar().unwrap(), 2048.0);
    assert_eq!(d.pool_stats().bytes_live, 4096);
    // So large that bytes do not fit a number.
    for large in [1usize << 61, 1 << 62, isize::MAX as usize] {
        assert!(Tensor::zeros(&[large], DType::F64, &d).unwrap().realize().is_err());
        assert!(keep.pad(0, 0, large - 1024).unwrap().realize().is_err());
    }
}

#[test]
fn devices_that_are_not_there() {
    assert!(Device::open("tpu").unwrap_err().to_string().contains("tpu"));
    assert!(Device::open("cuda:x").is_err() && Device::open("cuda:99").is_err());
}
