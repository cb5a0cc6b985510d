//! Faults that were found, each named after its cause.

use kernelsmith::{Device, Tensor};

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
