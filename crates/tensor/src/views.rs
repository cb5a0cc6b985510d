//! Views: the same elements under another layout, O(1), without a node or a copy.

use crate::error::{Error, Result};
use crate::node::NodeOp;
use crate::tensor::Tensor;
use kernelsmith_core::layout::MAX_RANK;
use std::ops::{Bound, RangeBounds};

impl Tensor {
    /// Swaps two axes; negative ones count from the back.
    ///
    /// # Errors
    /// An axis that does not exist.
    pub fn transpose(&self, a: isize, b: isize) -> Result<Tensor> {
        let (a, b) = (self.axis("transpose", a)?, self.axis("transpose", b)?);
        self.viewed("transpose", self.layout().transpose(a, b))
    }

    /// The matrix transposed: the last two axes swapped.
    ///
    /// # Errors
    /// A tensor of rank below 2.
    pub fn t(&self) -> Result<Tensor> {
        self.transpose(-2, -1)
    }

    /// Reorders axes: axis `d` of the result is `axes[d]` of this tensor.
    ///
    /// # Errors
    /// A list that is no permutation of the axes.
    pub fn permute(&self, axes: &[usize]) -> Result<Tensor> {
        self.viewed("permute", self.layout().permute(axes))
    }

    /// The elements of an axis in a range, as in `x.slice(0, 2..10)`.
    ///
    /// # Errors
    /// An axis that does not exist, a range that is not inside it.
    pub fn slice(&self, axis: isize, range: impl RangeBounds<usize>) -> Result<Tensor> {
        self.slice_step(axis, range, 1)
    }

    /// Every `step`-th element of an axis in a range.
    ///
    /// # Errors
    /// As [`Tensor::slice`], and a step of 0.
    pub fn slice_step(&self, axis: isize, range: impl RangeBounds<usize>, step: usize) -> Result<Tensor> {
        let axis = self.axis("slice", axis)?;
        let start = match range.start_bound() {
            Bound::Included(s) => *s,
            Bound::Excluded(s) => s.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(e) => e.saturating_add(1),
            Bound::Excluded(e) => *e,
            Bound::Unbounded => self.shape()[axis],
        };
        self.viewed("slice", self.layout().slice(axis, start, end, step))
    }

    /// The `index`-th element of an axis, which goes away.
    ///
    /// # Errors
    /// An axis that does not exist, an index that is not inside it.
    pub fn select(&self, axis: isize, index: usize) -> Result<Tensor> {
        let at = self.axis("select", axis)?;
        self.slice(at as isize, index..index.saturating_add(1))?.squeeze(at as isize)
    }

    /// Removes an axis of size 1.
    ///
    /// # Errors
    /// An axis that does not exist or has another size.
    pub fn squeeze(&self, axis: isize) -> Result<Tensor> {
        let axis = self.axis("squeeze", axis)?;
        self.viewed("squeeze", self.layout().squeeze(axis))
    }

    /// Inserts an axis of size 1 before `axis`; −1 appends.
    ///
    /// # Errors
    /// An axis beyond the end, a rank over 8.
    pub fn unsqueeze(&self, axis: isize) -> Result<Tensor> {
        let rank = self.rank();
        let at = if axis < 0 { axis + rank as isize + 1 } else { axis };
        let at = usize::try_from(at).map_err(|_| Error::Axis { op: "unsqueeze", axis, rank })?;
        self.viewed("unsqueeze", self.layout().unsqueeze(at))
    }

    /// Repeats axes of size 1, and missing leading ones, up to `shape`.
    ///
    /// # Errors
    /// A shape that this one does not broadcast to.
    pub fn broadcast_to(&self, shape: &[usize]) -> Result<Tensor> {
        self.viewed("broadcast_to", self.layout().broadcast(shape))
    }

    /// Reverses an axis.
    ///
    /// # Errors
    /// An axis that does not exist.
    pub fn flip(&self, axis: isize) -> Result<Tensor> {
        let axis = self.axis("flip", axis)?;
        self.viewed("flip", self.layout().flip(axis))
    }

    /// Consecutive pieces of `size` along an axis; the last may be smaller.
    ///
    /// # Errors
    /// An axis that does not exist, a size of 0.
    pub fn split(&self, axis: isize, size: usize) -> Result<Vec<Tensor>> {
        let axis = self.axis("split", axis)?;
        let pieces = self.layout().split(axis, size).map_err(Error::layout("split"))?;
        Ok(pieces.map(|l| self.with_layout(l)).collect())
    }

    /// The same elements in the same order under another shape, as a view.
    ///
    /// # Errors
    /// Another number of elements; strides that would need a copy ([`Tensor::reshape`] makes it).
    pub fn view(&self, shape: &[usize]) -> Result<Tensor> {
        self.viewed("view", self.layout().reshape(shape))
    }

    /// The same elements in the same order under another shape: a view where strides allow it,
    /// else a copy, which the plan shows and a policy may forbid.
    ///
    /// # Errors
    /// Another number of elements.
    pub fn reshape(&self, shape: &[usize]) -> Result<Tensor> {
        match self.layout().reshape(shape) {
            Ok(layout) => Ok(self.with_layout(layout)),
            Err(kernelsmith_core::LayoutError::Reshape { .. }) => {
                let copy = self.copied("reshape", "its strides do not fold into the new shape")?;
                copy.layout().reshape(shape).map(|l| copy.with_layout(l)).map_err(Error::layout("reshape"))
            }
            Err(error) => Err(Error::layout("reshape")(error)),
        }
    }

    /// All elements along one axis.
    ///
    /// # Errors
    /// None; as [`Tensor::reshape`].
    pub fn flatten(&self) -> Result<Tensor> {
        self.reshape(&[self.len()])
    }

    /// This tensor where it is contiguous, else a contiguous copy.
    ///
    /// # Errors
    /// None that a valid tensor can have.
    pub fn contiguous(&self) -> Result<Tensor> {
        if self.layout().is_contiguous() {
            return Ok(self.clone());
        }
        self.copied("contiguous", "it was asked for")
    }

    pub(crate) fn copied(&self, name: &'static str, why: &'static str) -> Result<Tensor> {
        debug_assert!(self.rank() <= MAX_RANK);
        let op = NodeOp::Copy { input: self.clone(), why };
        Tensor::lazy(name, self.dtype(), self.shape(), self.device(), op)
    }
}
