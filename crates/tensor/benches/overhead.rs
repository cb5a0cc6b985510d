//! What tensors cost the host beside the kernels: `cargo bench -p kernelsmith --bench overhead`.
//!
//! Medians over blocks, so that what else the machine does disturbs little. `KERNELSMITH_DEVICE`
//! picks the device of the last rows.

use kernelsmith::{Device, Result, Tensor};
use std::hint::black_box;
use std::time::Instant;

const BLOCKS: usize = 200;

/// Median and least nanoseconds of one call of `f`, which is called `calls` times a block.
fn time<T>(calls: usize, mut f: impl FnMut() -> T) -> (f64, f64) {
    let mut block = || {
        let start = Instant::now();
        for _ in 0..calls {
            // By reference: the result stays where it was made.
            black_box(&f());
        }
        start.elapsed().as_nanos() as f64 / calls as f64
    };
    block();
    let mut times: Vec<f64> = (0..BLOCKS).map(|_| block()).collect();
    times.sort_by(f64::total_cmp);
    (times[BLOCKS / 2], times[0])
}

fn row(what: &str, (median, least): (f64, f64), bar: Option<f64>) {
    let bar = bar.map_or(String::new(), |b| format!("{b:.0}{}", if median <= b { "" } else { "  missed" }));
    println!("{what:<52} {median:>10.1} {least:>10.1}   {bar}");
}

/// Ten element-wise ops over three inputs, one launch.
fn ten_ops(a: &Tensor, b: &Tensor, c: &Tensor) -> Result<Tensor> {
    let x = a.mul(b)?.add(c)?.relu()?.mul(0.5)?.sub(b)?;
    x.tanh()?.add(1.0)?.mul(&x)?.maximum(a)?.exp()
}

/// Ten ops of several launches: two linear layers, a norm, a loss.
fn ten_mixed(x: &Tensor, w: &Tensor, b: &Tensor) -> Result<Tensor> {
    let h = x.matmul(w)?.add(b)?.relu()?;
    let h = h.matmul(w)?.add(b)?.layer_norm(None, None, 1e-5)?;
    h.mul(&h)?.sum(&[1])?.sqrt()?.mean(&[])
}

fn main() -> Result<()> {
    let device = Device::best()?;
    println!("{:<52} {:>10} {:>10}   bar", device.raw().facts().name, "median ns", "least ns");
    let x = Tensor::from_vec(vec![1.0f32; 24], &[2, 3, 4], &device)?;
    let one = Tensor::from_vec(vec![1.0f32; 4], &[1, 4], &device)?;
    row("clone", time(2000, || black_box(&x).clone()), None);
    row("transpose", time(2000, || black_box(&x).transpose(0, 2)), Some(30.0));
    row("permute", time(2000, || black_box(&x).permute(&[2, 0, 1])), Some(30.0));
    row("slice", time(2000, || black_box(&x).slice(1, 1..3)), Some(30.0));
    row("flip", time(2000, || black_box(&x).flip(1)), Some(30.0));
    row("unsqueeze", time(2000, || black_box(&x).unsqueeze(1)), Some(30.0));
    row("broadcast_to", time(2000, || black_box(&one).broadcast_to(&[3, 4])), Some(30.0));
    row("view", time(2000, || black_box(&x).view(&[6, 4])), Some(30.0));
    let turned = x.transpose(0, 1)?;
    row("is_contiguous", time(20_000, || black_box(&x).is_contiguous()), Some(2.0));
    row("is_contiguous of a transposed one", time(20_000, || black_box(&turned).is_contiguous()), Some(2.0));

    let (a, b, c) = (
        Tensor::from_vec(vec![0.5f32; 64], &[8, 8], &device)?,
        Tensor::from_vec(vec![0.1f32; 64], &[8, 8], &device)?,
        Tensor::from_vec(vec![0.2f32; 8], &[8], &device)?,
    );
    row("build 10 element-wise ops", time(200, || ten_ops(&a, &b, &c)), None);
    row("build and plan 10 element-wise ops again", time(200, || ten_ops(&a, &b, &c)?.plan()), Some(5000.0));
    row("build 10 ops in 5 launches", time(200, || ten_mixed(&a, &b, &c)), None);
    row("build and plan 10 ops in 5 launches again", time(200, || ten_mixed(&a, &b, &c)?.plan()), Some(5000.0));
    let mut seed = 0.0;
    let mut fresh = || {
        seed += 1.0;
        ten_ops(&a, &b, &c)?.add(seed)?.plan()
    };
    row("plan 11 ops that were never seen", time(20, &mut fresh), None);

    row("realize one op on 64 elements", time(200, || a.add(&b)?.realize().map(|_| ())), None);
    row("realize 10 element-wise ops on 64 elements", time(100, || ten_ops(&a, &b, &c)?.realize().map(|_| ())), None);
    row("realize 10 ops in 5 launches", time(100, || ten_mixed(&a, &b, &c)?.realize().map(|_| ())), None);
    row("read a scalar", time(100, || a.sum(&[])?.to_scalar()), None);
    let v = a.variable()?;
    let step = || {
        let loss = v.matmul(&b)?.add(&c)?.relu()?.sum(&[])?;
        let g = kernelsmith::grad(&loss, &[&v])?;
        g[0].plan()
    };
    row("gradient of a layer, planned again", time(100, step), None);
    device.synchronize()?;
    Ok(())
}
