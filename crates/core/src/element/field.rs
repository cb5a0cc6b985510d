//! One field of a record, and the view of it.

use super::Element;
use crate::layout::MAX_RANK;
use crate::{DType, Layout, LayoutError};

/// Highest rank of a field: one dimension of a view is the records'.
pub const MAX_FIELD_RANK: usize = MAX_RANK - 1;

/// A number, or an array of numbers, in every record.
///
/// Arrays are one field with a shape. A field of a struct within an array has the array's
/// dimensions in front of its own: `[Vec3; 4]` named `corners` gives `corners.x` of shape `[4]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Path from the record: `mass`, `position.x`; a tuple struct's fields are `0`, `1`, …
    pub name: &'static str,
    pub dtype: DType,
    /// Bytes from the record's start to the field's first number, a multiple of the dtype's size.
    pub offset: usize,
    rank: u8,
    shape: [usize; MAX_FIELD_RANK],
    strides: [usize; MAX_FIELD_RANK],
}

/// No such field, or no such view of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error("no field `{path}`, the record has {}", fields.join(", "))]
    Unknown { path: String, fields: Vec<String> },
    #[error("`{path}`: index {index} is out of range, dimension {dim} of `{field}` has size {size}")]
    Index { path: String, field: &'static str, dim: usize, index: usize, size: usize },
    #[error("`{path}`: `{field}` has shape {shape:?}, which {indices} indices are too many for")]
    Indices { path: String, field: &'static str, shape: Vec<usize>, indices: usize },
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl Field {
    /// A field without name and dimensions: what a scalar consists of.
    pub(super) const fn scalar(dtype: DType) -> Self {
        Field { name: "", dtype, offset: 0, rank: 0, shape: [1; MAX_FIELD_RANK], strides: [0; MAX_FIELD_RANK] }
    }

    /// Sizes of an array field, outermost first; empty for a number.
    pub const fn shape(&self) -> &[usize] {
        self.shape.split_at(self.rank as usize).0
    }

    /// Distances of an array's entries in bytes, outermost first.
    pub const fn strides(&self) -> &[usize] {
        self.strides.split_at(self.rank as usize).0
    }

    /// This field of each of `records` records of `size` bytes: shape `[records, …field's shape]`,
    /// strides and offset in elements of the field's dtype. O(1).
    ///
    /// # Errors
    /// The buffer is beyond the address range.
    pub fn layout(&self, records: usize, size: usize) -> Result<Layout, LayoutError> {
        let bytes = self.dtype.bytes();
        let rank = self.rank as usize + 1;
        let mut shape = [records; MAX_RANK];
        let mut strides = [0; MAX_RANK];
        shape[1..rank].copy_from_slice(self.shape());
        strides[0] = isize::try_from(size / bytes).map_err(|_| LayoutError::TooLarge)?;
        for (to, &from) in strides[1..rank].iter_mut().zip(self.strides()) {
            *to = isize::try_from(from / bytes).map_err(|_| LayoutError::TooLarge)?;
        }
        Layout::strided(&shape[..rank], &strides[..rank], self.offset / bytes)
    }

    /// This field as a part of an outer record: `name` and `offset` there, with the dimensions of the
    /// array that holds the inner record in front.
    pub(super) const fn within(mut self, name: &'static str, offset: usize, dims: &[usize], size: usize) -> Self {
        let inner = self.rank as usize;
        assert!(dims.len() + inner <= MAX_FIELD_RANK, "a field has at most 7 dimensions, all nested arrays counted");
        let mut d = inner;
        while d > 0 {
            d -= 1;
            self.shape[d + dims.len()] = self.shape[d];
            self.strides[d + dims.len()] = self.strides[d];
        }
        let mut step = size;
        let mut d = dims.len();
        while d > 0 {
            d -= 1;
            self.shape[d] = dims[d];
            self.strides[d] = step;
            step *= dims[d];
        }
        self.rank = (dims.len() + inner) as u8;
        self.name = name;
        self.offset += offset;
        self
    }

    /// Entry `index` of the first dimension, which goes away.
    fn entry(mut self, index: usize) -> Self {
        self.offset += index * self.strides[0];
        self.shape.rotate_left(1);
        self.strides.rotate_left(1);
        self.rank -= 1;
        self
    }
}

/// The field of `E` at `path`: a name as in [`Element::FIELDS`], which may be followed by indices of
/// its dimensions: `v` is the whole array, `v.0` its first entry.
///
/// # Errors
/// An unknown name, an index out of range, more indices than dimensions.
pub fn field<E: Element>(path: &str) -> Result<Field, FieldError> {
    if let Some(field) = E::FIELDS.iter().find(|f| f.name == path) {
        return Ok(*field);
    }
    for found in E::FIELDS {
        let Some(rest) = path.strip_prefix(found.name).and_then(|rest| rest.strip_prefix('.')) else { continue };
        let Ok(indices) = rest.split('.').map(str::parse::<usize>).collect::<Result<Vec<_>, _>>() else { continue };
        if indices.len() > found.shape().len() {
            return Err(FieldError::Indices {
                path: path.to_string(),
                field: found.name,
                shape: found.shape().to_vec(),
                indices: indices.len(),
            });
        }
        let mut field = *found;
        for (dim, index) in indices.into_iter().enumerate() {
            let size = field.shape[0];
            if index >= size {
                return Err(FieldError::Index { path: path.to_string(), field: found.name, dim, index, size });
            }
            field = field.entry(index);
        }
        return Ok(field);
    }
    let fields = E::FIELDS.iter().map(|f| if f.name.is_empty() { "no fields".into() } else { f.name.into() }).collect();
    Err(FieldError::Unknown { path: path.to_string(), fields })
}
