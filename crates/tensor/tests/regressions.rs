//! Faults that were found, each named after its cause.

use kernelsmith::{DType, Device, Tensor};

fn device() -> Device {
    Device::best().unwrap()
}

/// `detach` and `variable` of a contiguous view gave the whole buffer under its node's shape.
#[test]
fn a_detached_view_is_the_view_and_not_its_buffer() {
    let d = device();
    let x = Tensor::from_vec((0..12).map(f64::from).collect(), &[4, 3], &d).unwrap();
    for (view, want) in [
        (x.slice(0, 1..3).unwrap(), vec![3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
        (x.slice(0, 0..1).unwrap(), vec![0.0, 1.0, 2.0]),
        (x.reshape(&[2, 6]).unwrap(), (0..12).map(f64::from).collect()),
        (x.t().unwrap().slice(0, 1..2).unwrap(), vec![1.0, 4.0, 7.0, 10.0]),
    ] {
        for copy in [view.detach().unwrap(), view.variable().unwrap()] {
            assert_eq!(copy.shape(), view.shape());
            assert_eq!(copy.to_vec::<f64>().unwrap(), want);
        }
        let v = view.variable().unwrap();
        let g = v.mul(&v).unwrap().sum(&[]).unwrap().backward().unwrap();
        assert_eq!(g.get(&v).unwrap().shape(), view.shape());
        assert_eq!(g.get(&v).unwrap().to_vec::<f64>().unwrap(), want.iter().map(|x| 2.0 * x).collect::<Vec<_>>());
    }
    assert_eq!(x.slice(0, 2..2).unwrap().detach().unwrap().shape(), [0, 3]);
}

/// The launch of a product launched the product it reads, and so on down the stack.
#[test]
fn chains_of_products_are_planned_without_recursion() {
    let d = device();
    let one = Tensor::from_vec(vec![1.0f32], &[1, 1], &d).unwrap();
    let mut x = Tensor::from_vec(vec![1.5f32], &[1, 1], &d).unwrap();
    for _ in 0..20_000 {
        x = x.matmul(&one).unwrap();
    }
    std::thread::scope(|s| {
        let small = std::thread::Builder::new().stack_size(512 << 10);
        let planned = small.spawn_scoped(s, || x.plan().map(|p| p.len())).unwrap().join();
        assert_eq!(planned.unwrap().unwrap(), 20_000);
    });
}

/// Sizes were multiplied before anything asked whether they fit.
#[test]
fn sizes_beyond_the_address_range_are_errors() {
    let d = device();
    let huge = 1usize << 40;
    let one = Tensor::ones(&[1], DType::F64, &d).unwrap();
    let column = one.broadcast_to(&[huge, 1, 1]).unwrap();
    let row = one.broadcast_to(&[1, 1, huge]).unwrap();
    assert!(column.matmul(&row).is_err());
    assert!(one.broadcast_to(&[huge, 1, 1, 1]).unwrap().matmul(&one.broadcast_to(&[huge, 1, 1]).unwrap()).is_err());
    let long = one.broadcast_to(&[isize::MAX as usize]).unwrap();
    assert!(Tensor::concat(&[&long, &long, &long], 0).is_err());
    assert!(one.pad(0, 0, 1 << 61).unwrap().realize().is_err());
    d.forbid_copies(true);
    let copy = one.broadcast_to(&[2, 1 << 61]).unwrap().t().unwrap().contiguous().unwrap();
    assert!(copy.realize().is_err());
    d.forbid_copies(false);
    assert!(one.broadcast_to(&[1 << 50]).unwrap().to_vec::<f64>().is_err());
}

/// Positions and whole numbers beyond 2²⁴ were computed in f32 where no array said that they are wide.
#[test]
fn what_is_wide_in_the_middle_of_a_chain_stays_wide() {
    let d = device();
    let n = (1 << 24) + 8;
    // The same numbers, whatever part of them is asked for.
    let tail = |x: Tensor| x.slice(0, n - 6..).unwrap().mul(1.0).unwrap().to_vec::<f32>().unwrap();
    let numbers = tail(Tensor::rand(&[n], DType::F32, 5, &d).unwrap());
    assert!(numbers.windows(2).all(|w| w[0] != w[1]), "{numbers:?}");
    let whole = Tensor::arange(0.0, 1.0, n, DType::I32, &d).unwrap();
    let steps = whole.slice(0, n - 6..).unwrap().sub((n - 6) as i32).unwrap().cast(DType::F32).unwrap();
    assert_eq!(steps.to_vec::<f32>().unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let x = Tensor::from_vec(vec![16_777_216.0f32], &[1], &d).unwrap();
    let there_and_back =
        |t: DType| x.cast(t).unwrap().add(1).unwrap().sub(16_777_216).unwrap().cast(DType::F32).unwrap();
    assert_eq!(there_and_back(DType::I32).to_vec::<f32>().unwrap(), [1.0]);
    assert_eq!(there_and_back(DType::F64).to_vec::<f32>().unwrap(), [1.0]);
    let small = Tensor::arange(1.0, 1e-12, 3, DType::F64, &d).unwrap().sub(1.0).unwrap().cast(DType::F32).unwrap();
    assert!((small.to_vec::<f32>().unwrap()[2] - 2e-12).abs() < 1e-15);
    let corner = Tensor::eye(1 << 26, DType::F32, &d).unwrap();
    let corner = corner.slice(0, (1 << 26) - 3..).unwrap().slice(1, (1 << 26) - 3..).unwrap().mul(2.0).unwrap();
    assert_eq!(corner.to_vec::<f32>().unwrap(), [2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0]);
}

/// Gradients were kept by the address of a variable that could be gone.
#[test]
fn a_variable_has_no_gradient_of_another_that_lived_at_its_address() {
    let d = device();
    let x = Tensor::from_vec(vec![1.0f64, 2.0], &[2], &d).unwrap();
    let gradients = {
        let gone = x.variable().unwrap();
        gone.sum(&[]).unwrap().backward().unwrap()
    };
    for _ in 0..100 {
        let other = x.variable().unwrap();
        assert!(gradients.get(&other).is_none());
    }
}

/// The extreme was stored in f16 and compared with elements that were computed again in f32.
#[test]
fn the_gradient_of_max_finds_its_element_in_f16() {
    let d = device();
    for dtype in [DType::F16, DType::BF16] {
        let x = Tensor::from_vec(vec![0.3f32, 1.1, -0.7], &[3], &d).unwrap().cast(dtype).unwrap().variable().unwrap();
        for y in [x.mul(&x).unwrap().max(&[]).unwrap(), x.mul(1.7).unwrap().max(&[]).unwrap()] {
            let g = y.backward().unwrap();
            let g = g.get(&x).unwrap().cast(DType::F32).unwrap().to_vec::<f32>().unwrap();
            assert!(g[1] > 1.6 && g[0] == 0.0 && g[2] == 0.0, "{dtype}: {g:?}");
        }
    }
}

/// An index was looked for in its broadcast form, so the message named an element that does not exist.
#[test]
fn the_position_of_a_wrong_index_is_that_in_the_index() {
    let d = device();
    let table = Tensor::zeros(&[3, 4], DType::F32, &d).unwrap();
    let index = Tensor::from_vec(vec![0, 7], &[2], &d).unwrap();
    for error in [
        table.index_select(0, &index).unwrap_err().to_string(),
        table.embedding(&index).unwrap_err().to_string(),
        Tensor::zeros(&[5, 2], DType::F32, &d).unwrap().scatter_add(1, &index, 3).unwrap_err().to_string(),
    ] {
        assert!(error.contains("index 7 at element 1 is outside 0..3"), "{error}");
    }
    // A size beyond i64 was taken for a negative one.
    let error = index.one_hot(usize::MAX, DType::F32).unwrap_err().to_string();
    assert!(error.contains("address range"), "{error}");
}

/// The number of reduced elements was taken from the ratio of sizes, which is 0/0 here.
#[test]
fn the_mean_of_no_rows_is_no_rows() {
    let d = device();
    let x = Tensor::zeros(&[0, 3], DType::F32, &d).unwrap();
    assert_eq!(x.mean(&[1]).unwrap().shape(), [0]);
    assert_eq!(x.var(&[1], 1).unwrap().shape(), [0]);
    assert!(x.mean(&[0]).is_err());
}

/// Constants were compared as numbers: −0 was taken for 0.
#[test]
fn a_constant_of_minus_zero_is_not_zero() {
    let d = device();
    let x = Tensor::from_vec(vec![2.0f32], &[1], &d).unwrap();
    assert_eq!(x.mul(0.0).unwrap().recip().unwrap().to_vec::<f32>().unwrap(), [f32::INFINITY]);
    assert_eq!(x.mul(-0.0).unwrap().recip().unwrap().to_vec::<f32>().unwrap(), [f32::NEG_INFINITY]);
    let nan = x.mul(f64::NAN).unwrap();
    for _ in 0..3 {
        assert!(nan.mul(1.0).unwrap().to_vec::<f32>().unwrap()[0].is_nan());
    }
}
