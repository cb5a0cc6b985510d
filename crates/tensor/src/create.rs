//! Tensors from nothing: constants, ranges, random numbers. All lazy, all without host memory.

use crate::device::Device;
use crate::error::{Error, Result};
use crate::node::NodeOp;
use crate::tensor::Tensor;
use kernelsmith_core::expr::{Binary, Stream};
use kernelsmith_core::ops::leaf::affine;
use kernelsmith_core::random::{Distribution, spread};
use kernelsmith_core::{DType, Expr};

impl Tensor {
    fn generated(name: &'static str, expr: Expr, shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        Tensor::lazy(name, dtype, shape, device, NodeOp::Map { expr, inputs: Vec::new() })
    }

    /// Every element `value`, rounded to `dtype`.
    ///
    /// # Errors
    /// A rank over 8, a shape beyond the address range.
    pub fn full(value: f64, shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        let out = Self::generated("full", Expr::Const(dtype.round(value)), shape, dtype, device)?;
        if !dtype.is_float() {
            let whole = dtype.round(value) as i64;
            let _ = out.node().range.set((whole, whole));
        }
        Ok(out)
    }

    /// # Errors
    /// As [`Tensor::full`].
    pub fn zeros(shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        Self::full(0.0, shape, dtype, device)
    }

    /// # Errors
    /// As [`Tensor::full`].
    pub fn ones(shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        Self::full(1.0, shape, dtype, device)
    }

    /// `count` numbers `start, start + step, …`.
    ///
    /// # Errors
    /// As [`Tensor::full`].
    pub fn arange(start: f64, step: f64, count: usize, dtype: DType, device: &Device) -> Result<Tensor> {
        let out = Self::generated("arange", affine(Expr::Index(0), step, start), &[count], dtype, device)?;
        if !dtype.is_float() && count > 0 {
            let (a, b) = (dtype.round(start) as i64, dtype.round(start + step * (count - 1) as f64) as i64);
            let _ = out.node().range.set((a.min(b), a.max(b)));
        }
        Ok(out)
    }

    /// The identity matrix.
    ///
    /// # Errors
    /// As [`Tensor::full`].
    pub fn eye(size: usize, dtype: DType, device: &Device) -> Result<Tensor> {
        let expr = Expr::binary(Binary::Eq, Expr::Index(0), Expr::Index(1));
        Self::generated("eye", expr, &[size, size], dtype, device)
    }

    /// Uniform numbers in \[0, 1): the same for a seed on every device.
    ///
    /// # Errors
    /// As [`Tensor::full`], and a dtype that is not floating-point.
    pub fn rand(shape: &[usize], dtype: DType, seed: u64, device: &Device) -> Result<Tensor> {
        Self::random("rand", Distribution::Uniform, shape, dtype, seed, device)
    }

    /// Normal numbers, mean 0 and variance 1: the same for a seed on every device.
    ///
    /// # Errors
    /// As [`Tensor::rand`].
    pub fn randn(shape: &[usize], dtype: DType, seed: u64, device: &Device) -> Result<Tensor> {
        Self::random("randn", Distribution::Normal, shape, dtype, seed, device)
    }

    fn random(
        name: &'static str,
        distribution: Distribution,
        shape: &[usize],
        dtype: DType,
        seed: u64,
        device: &Device,
    ) -> Result<Tensor> {
        if !dtype.is_float() {
            let expected = "f32, f64, f16 or bf16".to_string();
            return Err(Error::DType { op: name, found: dtype, expected });
        }
        let stream = Stream { distribution, seed: spread(seed) };
        let expr = Expr::Random(stream, Box::new(flat_position(shape)));
        Self::generated(name, expr, shape, dtype, device)
    }

    /// This shape's uniform numbers for `seed`, moved on by `step` whole draws: a step in a
    /// captured training loop gets numbers of its own. `step` is an i32 scalar.
    pub(crate) fn rand_step(shape: &[usize], dtype: DType, seed: u64, step: &Tensor) -> Result<Tensor> {
        let draws: usize = shape.iter().product();
        let stream = Stream { distribution: Distribution::Uniform, seed: spread(seed) };
        let shift = Expr::binary(Binary::Mul, Expr::Input(0), Expr::Const(draws as f64));
        let counter = Expr::binary(Binary::Add, flat_position(shape), shift);
        let step = step.broadcast_to(shape)?;
        let expr = Expr::Random(stream, Box::new(counter));
        let device = step.device().clone();
        Tensor::lazy("rand_step", dtype, shape, &device, NodeOp::Map { expr, inputs: vec![step] })
    }
}

/// The row-major position of a point of `shape`, as an expression of its indices.
fn flat_position(shape: &[usize]) -> Expr {
    let mut stride = 1.0;
    let mut out: Option<Expr> = None;
    for d in (0..shape.len()).rev().filter(|d| shape[*d] != 1) {
        let term = affine(Expr::Index(d), stride, 0.0);
        out = Some(match out {
            Some(sum) => Expr::binary(Binary::Add, sum, term),
            None => term,
        });
        stride *= shape[d] as f64;
    }
    out.unwrap_or(Expr::Const(0.0))
}
