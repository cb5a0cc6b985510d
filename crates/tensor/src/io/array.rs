//! What files hold: values in row-major order and their shape.

use kernelsmith_core::layout::MAX_RANK;
use kernelsmith_core::{DType, HostArray};

/// Values in row-major order (the last dimension varies fastest) with their shape, outermost
/// dimension first; an empty shape is one value.
#[derive(Clone, Debug, PartialEq)]
pub struct ShapedArray {
    shape: Vec<usize>,
    values: HostArray,
}

/// A shape that values cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    #[error("shape {0:?} has {rank} dimensions, at most {MAX_RANK} are possible", rank = .0.len())]
    Rank(Vec<usize>),
    #[error("shape {0:?} has more elements than memory has addresses")]
    Overflow(Vec<usize>),
    #[error("shape {shape:?} has {expected} elements, {found} values were given")]
    Count { shape: Vec<usize>, expected: usize, found: usize },
}

impl ShapedArray {
    /// # Errors
    /// More than 8 dimensions, or another number of values than the shape has elements.
    pub fn new(shape: Vec<usize>, values: HostArray) -> Result<Self, ShapeError> {
        let expected = element_count(&shape)?;
        if expected != values.len() {
            return Err(ShapeError::Count { shape, expected, found: values.len() });
        }
        Ok(ShapedArray { shape, values })
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub fn values(&self) -> &HostArray {
        &self.values
    }

    pub fn dtype(&self) -> DType {
        self.values.dtype()
    }

    pub fn into_parts(self) -> (Vec<usize>, HostArray) {
        (self.shape, self.values)
    }
}

/// Elements of `shape`, where a tensor of it can exist.
pub(crate) fn element_count(shape: &[usize]) -> Result<usize, ShapeError> {
    if shape.len() > MAX_RANK {
        return Err(ShapeError::Rank(shape.to_vec()));
    }
    // Zeros count as ones here: a shape whose other sizes overflow is no layout either.
    let extent = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size.max(1)));
    match extent {
        Some(n) if n <= isize::MAX as usize / 8 => Ok(if shape.contains(&0) { 0 } else { n }),
        _ => Err(ShapeError::Overflow(shape.to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_must_fill_their_shape() {
        let values = HostArray::zeros(DType::F32, 6);
        assert!(ShapedArray::new(vec![2, 3], values.clone()).is_ok());
        assert!(ShapedArray::new(vec![], HostArray::zeros(DType::U8, 1)).is_ok());
        assert!(ShapedArray::new(vec![5, 0], HostArray::zeros(DType::U8, 0)).is_ok());
        let error = ShapedArray::new(vec![2, 2], values.clone()).unwrap_err();
        assert_eq!(error.to_string(), "shape [2, 2] has 4 elements, 6 values were given");
        assert!(matches!(ShapedArray::new(vec![1; 9], values.clone()), Err(ShapeError::Rank(_))));
        assert!(matches!(ShapedArray::new(vec![usize::MAX, 2], values), Err(ShapeError::Overflow(_))));
    }
}
