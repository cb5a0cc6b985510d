//! Reductions over any axes. Sums and means of f16 and bf16 are in f32.

use crate::error::{Error, Result};
use crate::node::NodeOp;
use crate::tensor::Tensor;
use kernelsmith_core::DType;
use kernelsmith_core::ops::reduce::ReduceKind;

impl Tensor {
    /// Reduces `axes` (all of them where the list is empty). Kept axes are in order, reduced ones gone.
    fn reduce(&self, name: &'static str, kind: ReduceKind, axes: &[isize], dtype: DType) -> Result<Tensor> {
        let mut reduced = vec![axes.is_empty(); self.rank()];
        for &axis in axes {
            let at = self.axis(name, axis)?;
            if std::mem::replace(&mut reduced[at], true) {
                return Err(Error::Invalid { op: name, reason: format!("axis {axis} is given twice") });
            }
        }
        let kept: Vec<usize> = (0..self.rank()).filter(|d| !reduced[*d]).collect();
        let shape: Vec<usize> = kept.iter().map(|d| self.shape()[*d]).collect();
        let order: Vec<usize> = kept.iter().copied().chain((0..self.rank()).filter(|d| reduced[*d])).collect();
        let count: usize = order[kept.len()..].iter().map(|d| self.shape()[*d]).product();
        if count == 0 {
            if kind != ReduceKind::Sum {
                let expected = "at least one element along the reduced axes".to_string();
                return Err(Error::Shape { op: name, shapes: vec![self.shape().to_vec()], expected });
            }
            return Tensor::full(0.0, &shape, dtype, self.device());
        }
        let input = self.permute(&order)?;
        let out = Tensor::lazy(name, dtype, &shape, self.device(), NodeOp::Reduce { kind, outer: kept.len(), input })?;
        if kind.is_position() {
            let _ = out.node().range.set((0, count as i64 - 1));
        }
        Ok(out)
    }

    /// Σ over `axes`; negative axes count from the back, no axes mean all.
    ///
    /// # Errors
    /// An axis that does not exist or is given twice.
    pub fn sum(&self, axes: &[isize]) -> Result<Tensor> {
        let dtype = if self.dtype() == DType::Bool || self.dtype() == DType::U8 { DType::I32 } else { self.dtype() };
        self.reduce("sum", ReduceKind::Sum, axes, dtype)
    }

    /// The mean over `axes`.
    ///
    /// # Errors
    /// As [`Tensor::sum`], a dtype that is not floating-point, no elements.
    pub fn mean(&self, axes: &[isize]) -> Result<Tensor> {
        self.float("mean")?;
        let sum = self.reduce("mean", ReduceKind::Sum, axes, self.dtype())?;
        let count = self.len() / sum.len().max(1);
        if count == 0 {
            let expected = "at least one element along the reduced axes".to_string();
            return Err(Error::Shape { op: "mean", shapes: vec![self.shape().to_vec()], expected });
        }
        sum.mul(1.0 / count as f64)
    }

    /// The largest over `axes`; NaN wins.
    ///
    /// # Errors
    /// As [`Tensor::sum`], no elements.
    pub fn max(&self, axes: &[isize]) -> Result<Tensor> {
        self.reduce("max", ReduceKind::Max, axes, self.dtype())
    }

    /// The smallest over `axes`; NaN wins.
    ///
    /// # Errors
    /// As [`Tensor::sum`], no elements.
    pub fn min(&self, axes: &[isize]) -> Result<Tensor> {
        self.reduce("min", ReduceKind::Min, axes, self.dtype())
    }

    /// The position of the first largest element along an axis, as i32; the first NaN wins.
    ///
    /// # Errors
    /// An axis that does not exist, no elements.
    pub fn argmax(&self, axis: isize) -> Result<Tensor> {
        self.reduce("argmax", ReduceKind::ArgMax, &[axis], DType::I32)
    }

    /// The position of the first smallest element along an axis, as i32; the first NaN wins.
    ///
    /// # Errors
    /// An axis that does not exist, no elements.
    pub fn argmin(&self, axis: isize) -> Result<Tensor> {
        self.reduce("argmin", ReduceKind::ArgMin, &[axis], DType::I32)
    }

    /// The variance over `axes`, divided by count − `correction`: two passes, so that large means
    /// cost no accuracy.
    ///
    /// # Errors
    /// As [`Tensor::mean`], and a correction that leaves nothing to divide by.
    pub fn var(&self, axes: &[isize], correction: usize) -> Result<Tensor> {
        let mean = self.mean(axes)?;
        let count = self.len() / mean.len().max(1);
        if count <= correction {
            let reason = format!("{count} elements and a correction of {correction}");
            return Err(Error::Invalid { op: "var", reason });
        }
        let mut kept = mean;
        let mut reduced = vec![axes.is_empty(); self.rank()];
        for &axis in axes {
            reduced[self.axis("var", axis)?] = true;
        }
        for d in (0..self.rank()).filter(|d| reduced[*d]) {
            kept = kept.unsqueeze(d as isize)?;
        }
        let centred = self.sub(&kept)?;
        centred
            .mul(&centred)?
            .reduce("var", ReduceKind::Sum, axes, self.dtype())?
            .mul(1.0 / (count - correction) as f64)
    }
}
