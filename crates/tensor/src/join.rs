//! Several tensors in one buffer: concat, stack, pad.

use crate::error::{Error, Result};
use crate::node::NodeOp;
use crate::tensor::Tensor;
use kernelsmith_core::Layout;

impl Tensor {
    /// Tensors one after the other along an axis.
    ///
    /// # Errors
    /// No tensors, shapes that differ in more than the axis, different dtypes or devices.
    pub fn concat(tensors: &[&Tensor], axis: isize) -> Result<Tensor> {
        const OP: &str = "concat";
        let Some(first) = tensors.first() else {
            return Err(Error::Invalid { op: OP, reason: "no tensors were given".to_string() });
        };
        Tensor::same_device(OP, tensors)?;
        let at = first.axis(OP, axis)?;
        let shapes = || tensors.iter().map(|t| t.shape().to_vec()).collect::<Vec<_>>();
        let fits = |t: &&Tensor| {
            t.rank() == first.rank() && (0..first.rank()).all(|d| d == at || t.shape()[d] == first.shape()[d])
        };
        if !tensors.iter().all(fits) {
            return Err(Error::Shape {
                op: OP,
                shapes: shapes(),
                expected: "equal sizes but for the axis".to_string(),
            });
        }
        if let Some(other) = tensors.iter().find(|t| t.dtype() != first.dtype()) {
            let expected = format!("{}, the first operand's: cast one", first.dtype());
            return Err(Error::DType { op: OP, found: other.dtype(), expected });
        }
        let mut shape = first.shape().to_vec();
        shape[at] = tensors.iter().map(|t| t.shape()[at]).sum();
        let whole = Layout::contiguous(&shape).map_err(Error::layout(OP))?;
        let mut parts = Vec::new();
        let mut start = 0;
        for tensor in tensors {
            let end = start + tensor.shape()[at];
            if !tensor.is_empty() {
                let place = whole.slice(at, start, end, 1).map_err(Error::layout(OP))?;
                parts.push(((*tensor).clone(), place));
            }
            start = end;
        }
        Tensor::lazy(OP, first.dtype(), &shape, first.device(), NodeOp::Place { parts, covered: true })
    }

    /// Tensors of one shape along a new axis.
    ///
    /// # Errors
    /// As [`Tensor::concat`].
    pub fn stack(tensors: &[&Tensor], axis: isize) -> Result<Tensor> {
        let lifted = tensors.iter().map(|t| t.unsqueeze(axis)).collect::<Result<Vec<_>>>()?;
        Tensor::concat(&lifted.iter().collect::<Vec<_>>(), axis)
    }

    /// This tensor laid into zeros of `shape` at `layout`: the reverse of taking a view.
    pub(crate) fn placed(&self, name: &'static str, shape: &[usize], layout: Layout) -> Result<Tensor> {
        let covered = layout.len() == shape.iter().product::<usize>();
        let parts = vec![(self.clone(), layout)];
        Tensor::lazy(name, self.dtype(), shape, self.device(), NodeOp::Place { parts, covered })
    }

    /// Zeros before and after the elements of an axis.
    ///
    /// # Errors
    /// An axis that does not exist, sizes beyond the address range.
    pub fn pad(&self, axis: isize, before: usize, after: usize) -> Result<Tensor> {
        let at = self.axis("pad", axis)?;
        let mut shape = self.shape().to_vec();
        shape[at] = shape[at].saturating_add(before).saturating_add(after);
        let whole = Layout::contiguous(&shape).map_err(Error::layout("pad"))?;
        let place = whole.slice(at, before, before + self.shape()[at], 1).map_err(Error::layout("pad"))?;
        if self.is_empty() {
            return Tensor::zeros(&shape, self.dtype(), self.device());
        }
        self.placed("pad", &shape, place)
    }
}
