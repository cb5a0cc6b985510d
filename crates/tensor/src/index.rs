//! Indices: gather, embedding, scatter-add, one-hot. Index tensors are i32.

use crate::error::{Error, Result};
use crate::node::NodeOp;
use crate::tensor::Tensor;
use kernelsmith_core::expr::Binary;
use kernelsmith_core::layout::MAX_RANK;
use kernelsmith_core::{DType, Expr};

impl Tensor {
    /// Checks that this index tensor stays inside 0..`size`. Bounds that are known are used;
    /// elements that are on the device are read once. What is not computed yet is not looked at:
    /// kernels themselves never read or write outside.
    pub(crate) fn check_index(&self, op: &'static str, size: usize) -> Result<()> {
        if self.dtype() != DType::I32 {
            return Err(Error::DType { op, found: self.dtype(), expected: "i32 indices".to_string() });
        }
        if self.is_empty() {
            return Ok(());
        }
        let inside = |(low, high): (i64, i64)| low >= 0 && high < size as i64;
        if self.node().range.get().is_some_and(|r| inside(*r)) {
            return Ok(());
        }
        if !self.is_realized() {
            return Ok(());
        }
        let values: Vec<i32> = self.to_vec()?;
        match values.iter().position(|v| !inside((i64::from(*v), i64::from(*v)))) {
            Some(at) => Err(Error::Index { op, at, found: i64::from(values[at]), size }),
            None => Ok(()),
        }
    }

    /// Rows of this tensor: element `i` of the result's axis is element `index[i]` of this one's.
    /// `index` is a vector.
    ///
    /// # Errors
    /// An axis that does not exist, an index that is no i32 vector, an element outside the axis.
    pub fn index_select(&self, axis: isize, index: &Tensor) -> Result<Tensor> {
        const OP: &str = "index_select";
        let at = self.axis(OP, axis)?;
        if index.rank() != 1 {
            let shapes = vec![self.shape().to_vec(), index.shape().to_vec()];
            return Err(Error::Shape { op: OP, shapes, expected: "a vector of indices".to_string() });
        }
        let mut shape = self.shape().to_vec();
        shape[at] = index.len();
        let mut spread = index.clone();
        for d in 0..self.rank() {
            if d != at {
                spread = spread.unsqueeze(if d < at { 0 } else { -1 })?;
            }
        }
        self.gathered(OP, at, &spread.broadcast_to(&shape)?)
    }

    /// Single elements: result\[p\] = self\[p with its `axis` replaced by index\[p\]\]. `index` has this
    /// tensor's shape but for the axis.
    ///
    /// # Errors
    /// An axis that does not exist, an index of another shape or dtype, an element outside the axis.
    pub fn gather(&self, axis: isize, index: &Tensor) -> Result<Tensor> {
        const OP: &str = "gather";
        let at = self.axis(OP, axis)?;
        let fits =
            index.rank() == self.rank() && (0..self.rank()).all(|d| d == at || index.shape()[d] == self.shape()[d]);
        if !fits {
            let shapes = vec![self.shape().to_vec(), index.shape().to_vec()];
            return Err(Error::Shape { op: OP, shapes, expected: "equal sizes but for the axis".to_string() });
        }
        self.gathered(OP, at, index)
    }

    fn gathered(&self, op: &'static str, axis: usize, index: &Tensor) -> Result<Tensor> {
        Tensor::same_device(op, &[self, index])?;
        index.check_index(op, self.shape()[axis])?;
        if self.shape()[axis] == 0 && !index.is_empty() {
            let shapes = vec![self.shape().to_vec(), index.shape().to_vec()];
            return Err(Error::Shape { op, shapes, expected: "an axis with elements to pick".to_string() });
        }
        let gather = NodeOp::Gather { axis, x: self.clone(), index: index.clone() };
        let out = Tensor::lazy(op, self.dtype(), index.shape(), self.device(), gather)?;
        if let Some(range) = self.node().range.get() {
            let _ = out.node().range.set(*range);
        }
        Ok(out)
    }

    /// Rows of a table `[entries, width]` for indices of any shape: the result is `[…, width]`.
    ///
    /// # Errors
    /// A table that is no matrix, an index outside it.
    pub fn embedding(&self, index: &Tensor) -> Result<Tensor> {
        if self.rank() != 2 || index.rank() + 1 > MAX_RANK {
            let shapes = vec![self.shape().to_vec(), index.shape().to_vec()];
            return Err(Error::Shape { op: "embedding", shapes, expected: "a table [entries, width]".to_string() });
        }
        let mut shape = index.shape().to_vec();
        shape.push(self.shape()[1]);
        self.index_select(0, &index.flatten()?)?.reshape(&shape)
    }

    /// Adds the elements of this tensor up in a tensor of zeros whose `axis` has `size` elements:
    /// result\[p with its axis replaced by index\[p\]\] += self\[p\]. `index` is broadcast to this shape.
    ///
    /// # Errors
    /// An axis that does not exist, an index of another shape or dtype, an element outside 0..`size`.
    pub fn scatter_add(&self, axis: isize, index: &Tensor, size: usize) -> Result<Tensor> {
        const OP: &str = "scatter_add";
        self.float(OP)?;
        Tensor::same_device(OP, &[self, index])?;
        let at = self.axis(OP, axis)?;
        let index = index.broadcast_to(self.shape())?;
        index.check_index(OP, size)?;
        let mut shape = self.shape().to_vec();
        shape[at] = size;
        if self.is_empty() || size == 0 {
            return Tensor::zeros(&shape, self.dtype(), self.device());
        }
        let op = NodeOp::ScatterAdd { axis: at, x: self.clone(), index };
        Tensor::lazy(OP, self.dtype(), &shape, self.device(), op)
    }

    /// 1 at each index along a new last axis of `classes`, 0 elsewhere.
    ///
    /// # Errors
    /// A dtype that is no i32, an index outside 0..`classes`.
    pub fn one_hot(&self, classes: usize, dtype: DType) -> Result<Tensor> {
        self.check_index("one_hot", classes)?;
        let mut shape = self.shape().to_vec();
        shape.push(classes);
        let spread = self.unsqueeze(-1)?.broadcast_to(&shape)?;
        let expr = Expr::binary(Binary::Eq, Expr::Input(0), Expr::Index(shape.len() - 1));
        let device = self.device().clone();
        Tensor::lazy("one_hot", dtype, &shape, &device, NodeOp::Map { expr, inputs: vec![spread] })
    }
}
