//! Matrix products of any views, batched and broadcast.

use crate::elementwise::broadcast_shape;
use crate::error::{Error, Result};
use crate::node::NodeOp;
use crate::tensor::Tensor;

impl Tensor {
    /// The matrix product over the last two axes; leading axes are batches, broadcast. A vector on
    /// the left is a row, on the right a column, and its axis goes away. Sums are in f32 (f64 for f64).
    ///
    /// # Errors
    /// Inner sizes that differ, batches that do not broadcast, different dtypes, a dtype that is
    /// not floating-point.
    pub fn matmul(&self, other: &Tensor) -> Result<Tensor> {
        const OP: &str = "matmul";
        self.float(OP)?;
        Tensor::same_device(OP, &[self, other])?;
        if self.dtype() != other.dtype() {
            let expected = format!("{}, the other operand's: cast one", other.dtype());
            return Err(Error::DType { op: OP, found: self.dtype(), expected });
        }
        let fail = |expected: &str| Error::Shape {
            op: OP,
            shapes: vec![self.shape().to_vec(), other.shape().to_vec()],
            expected: expected.to_string(),
        };
        if self.rank() == 0 || other.rank() == 0 {
            return Err(fail("at least one axis each"));
        }
        let a = if self.rank() == 1 { self.unsqueeze(0)? } else { self.clone() };
        let b = if other.rank() == 1 { other.unsqueeze(1)? } else { other.clone() };
        let (ra, rb) = (a.rank(), b.rank());
        let (m, k, n) = (a.shape()[ra - 2], a.shape()[ra - 1], b.shape()[rb - 1]);
        if b.shape()[rb - 2] != k {
            return Err(fail("the columns of the first to be the rows of the second"));
        }
        let batch = broadcast_shape(OP, &[&a.shape()[..ra - 2], &b.shape()[..rb - 2]])
            .map_err(|_| fail("batches that broadcast"))?;
        let mut shape = batch.clone();
        shape.extend([m, n]);
        let count: usize = batch.iter().product();
        let whole = if count * m * n == 0 || k == 0 {
            Tensor::zeros(&shape, self.dtype(), self.device())?
        } else if ra > 2 && rb == 2 {
            // One matrix for all batches: their rows are one tall matrix where strides allow it.
            match a.view(&[count * m, k]) {
                Ok(tall) => product(&tall.unsqueeze(0)?, &b.unsqueeze(0)?)?.view(&shape)?,
                Err(_) => batched(&a, &b, &batch)?.view(&shape)?,
            }
        } else {
            batched(&a, &b, &batch)?.view(&shape)?
        };
        let whole = if self.rank() == 1 { whole.squeeze(-2)? } else { whole };
        if other.rank() == 1 { whole.squeeze(-1) } else { Ok(whole) }
    }

    /// x · Wᵀ + bias for W `[out, in]` and a vector `bias` of `out`: a linear layer. One launch.
    ///
    /// # Errors
    /// As [`Tensor::matmul`]; a bias of another shape.
    pub fn linear(&self, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        if weight.rank() != 2 {
            let shapes = vec![self.shape().to_vec(), weight.shape().to_vec()];
            return Err(Error::Shape { op: "linear", shapes, expected: "weights [out, in]".to_string() });
        }
        let product = self.matmul(&weight.t()?)?;
        let Some(bias) = bias else { return Ok(product) };
        if bias.shape() != &weight.shape()[..1] {
            let shapes = vec![weight.shape().to_vec(), bias.shape().to_vec()];
            return Err(Error::Shape { op: "linear", shapes, expected: "a bias of [out]".to_string() });
        }
        product.add(bias)
    }
}

/// \[batch, m, n\] of operands broadcast to `batch`; a copy only where batch axes do not fold.
fn batched(a: &Tensor, b: &Tensor, batch: &[usize]) -> Result<Tensor> {
    let count: usize = batch.iter().product();
    let fold = |x: &Tensor| {
        let (rows, columns) = (x.shape()[x.rank() - 2], x.shape()[x.rank() - 1]);
        let mut shape = batch.to_vec();
        shape.extend([rows, columns]);
        let whole = x.broadcast_to(&shape)?;
        match whole.view(&[count, rows, columns]) {
            Ok(folded) => Ok(folded),
            Err(_) => whole.copied("matmul", "its batch axes do not fold into one")?.view(&[count, rows, columns]),
        }
    };
    product(&fold(a)?, &fold(b)?)
}

fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let shape = [a.shape()[0], a.shape()[1], b.shape()[2]];
    Tensor::lazy("matmul", a.dtype(), &shape, a.device(), NodeOp::Matmul { a: a.clone(), b: b.clone() })
}
