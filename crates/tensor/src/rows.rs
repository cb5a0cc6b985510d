//! Operations along the last axis: softmax, norms, cross-entropy.

use crate::error::{Error, Result};
use crate::node::NodeOp;
use crate::tensor::Tensor;
use kernelsmith_core::DType;
use kernelsmith_core::ops::row::RowKind;

impl Tensor {
    pub(crate) fn row(&self, name: &'static str, kind: RowKind, eps: f64, label: Option<&Tensor>) -> Result<Tensor> {
        self.float(name)?;
        if self.rank() == 0 || self.shape()[self.rank() - 1] == 0 {
            let expected = "a last axis with at least one element".to_string();
            return Err(Error::Shape { op: name, shapes: vec![self.shape().to_vec()], expected });
        }
        if eps.is_nan() || eps < 0.0 || eps.is_infinite() {
            return Err(Error::Invalid {
                op: name,
                reason: format!("eps is {eps}, expected a number that is not negative"),
            });
        }
        let rows = &self.shape()[..self.rank() - 1];
        if let Some(label) = label {
            Tensor::same_device(name, &[self, label])?;
            if label.dtype() != DType::I32 {
                return Err(Error::DType { op: name, found: label.dtype(), expected: "i32 labels".to_string() });
            }
            if label.shape() != rows {
                let shapes = vec![self.shape().to_vec(), label.shape().to_vec()];
                let expected = "one label a row".to_string();
                return Err(Error::Shape { op: name, shapes, expected });
            }
        }
        let shape = if kind.reduces() { rows } else { self.shape() };
        let op = NodeOp::Row { kind, eps, input: self.clone(), label: label.cloned() };
        Tensor::lazy(name, self.dtype(), shape, self.device(), op)
    }

    /// Along an axis instead of the last one, through views.
    fn along(&self, axis: isize, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let at = self.axis("softmax", axis)? as isize;
        if at as usize == self.rank() - 1 {
            return f(self);
        }
        f(&self.transpose(at, -1)?)?.transpose(at, -1)
    }

    /// exp(x − max) / Σ exp(x − max) along an axis.
    ///
    /// # Errors
    /// An axis that does not exist or is empty, a dtype that is not floating-point.
    pub fn softmax(&self, axis: isize) -> Result<Tensor> {
        self.along(axis, |x| x.row("softmax", RowKind::Softmax, 0.0, None))
    }

    /// ln softmax along an axis.
    ///
    /// # Errors
    /// As [`Tensor::softmax`].
    pub fn log_softmax(&self, axis: isize) -> Result<Tensor> {
        self.along(axis, |x| x.row("log_softmax", RowKind::LogSoftmax, 0.0, None))
    }

    /// (x − mean) / √(variance + eps) along the last axis, then · weight + bias where given
    /// (vectors of the last axis).
    ///
    /// # Errors
    /// A dtype that is not floating-point, weights of another shape or dtype, a negative eps.
    pub fn layer_norm(&self, weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
        self.row("layer_norm", RowKind::LayerNorm, eps, None)?.scaled("layer_norm", weight, bias)
    }

    /// x / √(mean of x² + eps) along the last axis, then · weight where given.
    ///
    /// # Errors
    /// As [`Tensor::layer_norm`].
    pub fn rms_norm(&self, weight: Option<&Tensor>, eps: f64) -> Result<Tensor> {
        self.row("rms_norm", RowKind::RmsNorm, eps, None)?.scaled("rms_norm", weight, None)
    }

    fn scaled(self, op: &'static str, weight: Option<&Tensor>, bias: Option<&Tensor>) -> Result<Tensor> {
        let columns = &self.shape()[self.rank() - 1..];
        for vector in [weight, bias].into_iter().flatten() {
            if vector.shape() != columns {
                let shapes = vec![self.shape().to_vec(), vector.shape().to_vec()];
                return Err(Error::Shape { op, shapes, expected: "a vector of the last axis".to_string() });
            }
        }
        let scaled = match weight {
            Some(w) => self.mul(w)?,
            None => self,
        };
        match bias {
            Some(b) => scaled.add(b),
            None => Ok(scaled),
        }
    }

    /// The mean over rows of ln Σ exp(x) − x\[label\]: the cross-entropy of logits (last axis:
    /// classes) with i32 labels, one a row. A label outside the classes is an error where labels
    /// are known, else gives NaN.
    ///
    /// # Errors
    /// Logits without classes, labels of another shape or dtype, a label outside the classes.
    pub fn cross_entropy(&self, labels: &Tensor) -> Result<Tensor> {
        self.cross_entropy_rows(labels)?.mean(&[])
    }

    /// [`Tensor::cross_entropy`] of each row.
    ///
    /// # Errors
    /// As [`Tensor::cross_entropy`].
    pub fn cross_entropy_rows(&self, labels: &Tensor) -> Result<Tensor> {
        let out = self.row("cross_entropy", RowKind::CrossEntropy, 0.0, Some(labels))?;
        labels.check_index("cross_entropy", self.shape()[self.rank() - 1])?;
        Ok(out)
    }
}
