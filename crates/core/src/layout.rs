//! Layouts: shape, strides and offset in elements. Every view here is O(1) and allocates nothing.

use std::fmt;

/// Highest rank of a layout.
pub const MAX_RANK: usize = 8;

/// How a tensor's elements lie in its buffer: element `[i0, i1, …]` is at
/// `offset + Σ i_d · strides[d]`. Strides may be negative (flip) or zero (broadcast).
#[derive(Clone, Copy)]
pub struct Layout {
    rank: u8,
    shape: [usize; MAX_RANK],
    strides: [isize; MAX_RANK],
    offset: usize,
}

/// A view that cannot be made. The input layout is never returned in its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    #[error("rank {0} is over the limit of {MAX_RANK}")]
    Rank(usize),
    #[error("dimension {dim} does not exist in a layout of rank {rank}")]
    Dimension { dim: usize, rank: usize },
    #[error("permutation {axes:?} is not a permutation of 0..{rank}")]
    Permutation { axes: Vec<usize>, rank: usize },
    #[error("slice {start}..{end} step {step} does not fit dimension {dim} of size {size}")]
    Slice { dim: usize, start: usize, end: usize, step: usize, size: usize },
    #[error("dimension {dim} has size {size} and cannot be squeezed, only size 1 can")]
    Squeeze { dim: usize, size: usize },
    #[error("shape {from:?} does not broadcast to {to:?}")]
    Broadcast { from: Vec<usize>, to: Vec<usize> },
    #[error("shape {from:?} has {have} elements, {to:?} has {want}")]
    Count { from: Vec<usize>, to: Vec<usize>, have: usize, want: usize },
    #[error("shape {from:?} with strides {strides:?} cannot be reshaped to {to:?} without a copy")]
    Reshape { from: Vec<usize>, strides: Vec<isize>, to: Vec<usize> },
    #[error("dimension {dim} of size {size} cannot be split into pieces of size {chunk}")]
    Split { dim: usize, size: usize, chunk: usize },
    #[error("{strides} strides were given for a shape of rank {shape}")]
    StrideCount { shape: usize, strides: usize },
    #[error("the layout reaches element {0}, before the start of its buffer")]
    BeforeStart(isize),
    #[error("the layout's size in elements is over the address range")]
    TooLarge,
}

type Result<T> = std::result::Result<T, LayoutError>;

impl Layout {
    /// Row-major contiguous layout of `shape` at offset 0.
    #[inline]
    pub fn contiguous(shape: &[usize]) -> Result<Self> {
        let mut strides = [0isize; MAX_RANK];
        if shape.len() > MAX_RANK {
            return Err(LayoutError::Rank(shape.len()));
        }
        let mut step: usize = 1;
        for d in (0..shape.len()).rev() {
            strides[d] = isize::try_from(step).map_err(|_| LayoutError::TooLarge)?;
            step = step.checked_mul(shape[d].max(1)).ok_or(LayoutError::TooLarge)?;
        }
        isize::try_from(step).map_err(|_| LayoutError::TooLarge)?;
        Self::strided(shape, &strides[..shape.len()], 0)
    }

    /// A layout with explicit strides and offset, in elements.
    ///
    /// # Errors
    /// Too many dimensions, a stride count that differs from the rank, an element before the
    /// buffer's start, or a size beyond the address range.
    #[inline]
    pub fn strided(shape: &[usize], strides: &[isize], offset: usize) -> Result<Self> {
        if shape.len() > MAX_RANK {
            return Err(LayoutError::Rank(shape.len()));
        }
        if shape.len() != strides.len() {
            return Err(LayoutError::StrideCount { shape: shape.len(), strides: strides.len() });
        }
        let mut layout = Layout { rank: shape.len() as u8, shape: [1; MAX_RANK], strides: [0; MAX_RANK], offset };
        layout.shape[..shape.len()].copy_from_slice(shape);
        layout.strides[..shape.len()].copy_from_slice(strides);
        layout.check_range()?;
        Ok(layout)
    }

    #[inline]
    fn check_range(&self) -> Result<()> {
        let mut low = isize::try_from(self.offset).map_err(|_| LayoutError::TooLarge)?;
        let mut high = low;
        let mut count: usize = 1;
        for d in 0..self.rank() {
            let Some(more) = count.checked_mul(self.shape[d]) else { return Err(LayoutError::TooLarge) };
            count = more;
        }
        if count == 0 {
            return Ok(());
        }
        for d in 0..self.rank() {
            let last = isize::try_from(self.shape[d] - 1).map_err(|_| LayoutError::TooLarge)?;
            let Some(reach) = last.checked_mul(self.strides[d]) else { return Err(LayoutError::TooLarge) };
            let side = if reach < 0 { &mut low } else { &mut high };
            let Some(end) = side.checked_add(reach) else { return Err(LayoutError::TooLarge) };
            *side = end;
        }
        if low < 0 { Err(LayoutError::BeforeStart(low)) } else { Ok(()) }
    }

    #[inline]
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// Sizes, outermost first.
    #[inline]
    pub fn shape(&self) -> &[usize] {
        &self.shape[..self.rank()]
    }

    /// Strides in elements, outermost first.
    #[inline]
    pub fn strides(&self) -> &[isize] {
        &self.strides[..self.rank()]
    }

    /// Index of the first logical element in its buffer, in elements.
    #[inline]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Number of logical elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.shape().iter().product()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.shape().contains(&0)
    }

    /// Elements a buffer needs to hold this layout: one past the highest index reached.
    pub fn span(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        let reach: isize = (0..self.rank()).map(|d| (self.shape[d] as isize - 1) * self.strides[d].max(0)).sum();
        self.offset + reach as usize + 1
    }

    /// Position in the buffer of a logical index. The index must be inside the shape.
    pub fn at(&self, index: &[usize]) -> usize {
        debug_assert_eq!(index.len(), self.rank());
        let shift: isize = index.iter().zip(self.strides()).map(|(&i, &s)| i as isize * s).sum();
        (self.offset as isize + shift) as usize
    }

    /// Whether the logical order is the buffer's order with no gaps (dimensions of size 1 do not count).
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        let mut step = 1isize;
        for d in (0..self.rank()).rev() {
            if self.shape[d] == 0 {
                return true;
            }
            if self.shape[d] != 1 {
                if self.strides[d] != step {
                    return false;
                }
                step *= self.shape[d] as isize;
            }
        }
        true
    }

    /// Whether the last two dimensions are stored with the second to last contiguous (a transposed matrix).
    pub fn is_transposed(&self) -> bool {
        let r = self.rank();
        r >= 2 && self.strides[r - 2] == 1 && self.strides[r - 1] != 1 && self.shape[r - 1] > 1
    }

    /// Whether two logical elements can share a buffer element: a stride of 0 over more than one
    /// index, or strides that fold onto each other. Decided by sorting strides; may say `true`
    /// for exotic layouts that do not in fact overlap, never `false` for one that does.
    pub fn may_overlap(&self) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut dims = [(0usize, 0usize); MAX_RANK];
        let mut count = 0;
        for d in 0..self.rank() {
            if self.shape[d] > 1 {
                dims[count] = (self.strides[d].unsigned_abs(), self.shape[d]);
                count += 1;
            }
        }
        dims[..count].sort_unstable();
        let mut reach = 0usize;
        for &(stride, size) in &dims[..count] {
            if stride <= reach {
                return true;
            }
            reach += stride * (size - 1);
        }
        false
    }

    /// Largest power of two up to 16 that divides the byte position of the first element and every
    /// stride over more than one index, except `inner` (the dimension that vectors run along).
    pub fn alignment(&self, element_bytes: usize, inner: Option<usize>) -> usize {
        let mut bits = self.offset * element_bytes;
        for d in 0..self.rank() {
            if Some(d) != inner && self.shape[d] > 1 {
                bits |= self.strides[d].unsigned_abs() * element_bytes;
            }
        }
        if bits == 0 { 16 } else { 1usize << bits.trailing_zeros().min(4) }
    }

    #[inline]
    fn check_dim(&self, dim: usize) -> Result<()> {
        if dim < self.rank() { Ok(()) } else { Err(LayoutError::Dimension { dim, rank: self.rank() }) }
    }

    /// Swaps two dimensions.
    #[inline]
    pub fn transpose(&self, a: usize, b: usize) -> Result<Self> {
        self.check_dim(a)?;
        self.check_dim(b)?;
        let mut out = *self;
        out.shape.swap(a, b);
        out.strides.swap(a, b);
        Ok(out)
    }

    /// Reorders dimensions: dimension `d` of the result is `axes[d]` of the input.
    #[inline]
    pub fn permute(&self, axes: &[usize]) -> Result<Self> {
        let mut seen = [false; MAX_RANK];
        let valid = axes.len() == self.rank()
            && axes.iter().all(|&a| a < self.rank() && !std::mem::replace(&mut seen[a], true));
        if !valid {
            return Err(LayoutError::Permutation { axes: axes.to_vec(), rank: self.rank() });
        }
        let mut out = *self;
        for (d, &a) in axes.iter().enumerate() {
            out.shape[d] = self.shape[a];
            out.strides[d] = self.strides[a];
        }
        Ok(out)
    }

    /// Elements `start, start + step, …` below `end` of one dimension.
    #[inline]
    pub fn slice(&self, dim: usize, start: usize, end: usize, step: usize) -> Result<Self> {
        self.check_dim(dim)?;
        let size = self.shape[dim];
        if start > end || end > size || step == 0 {
            return Err(LayoutError::Slice { dim, start, end, step, size });
        }
        let mut out = *self;
        out.shape[dim] = (end - start).div_ceil(step);
        if !out.is_empty() {
            out.offset = (self.offset as isize + start as isize * self.strides[dim]) as usize;
        }
        // A step past the dimension leaves at most one element: its stride is never used.
        out.strides[dim] = self.strides[dim].saturating_mul(step.min(isize::MAX as usize) as isize);
        if out.shape[dim] <= 1 {
            out.strides[dim] = self.strides[dim];
        }
        Ok(out)
    }

    /// Removes a dimension of size 1.
    #[inline]
    pub fn squeeze(&self, dim: usize) -> Result<Self> {
        self.check_dim(dim)?;
        if self.shape[dim] != 1 {
            return Err(LayoutError::Squeeze { dim, size: self.shape[dim] });
        }
        let mut out = *self;
        out.shape.copy_within(dim + 1.., dim);
        out.strides.copy_within(dim + 1.., dim);
        out.rank -= 1;
        Ok(out)
    }

    /// Inserts a dimension of size 1 before `dim` (`dim == rank` appends).
    #[inline]
    pub fn unsqueeze(&self, dim: usize) -> Result<Self> {
        let rank = self.rank();
        if dim > rank {
            return Err(LayoutError::Dimension { dim, rank });
        }
        if rank == MAX_RANK {
            return Err(LayoutError::Rank(rank + 1));
        }
        let mut out = *self;
        out.shape.copy_within(dim..rank, dim + 1);
        out.strides.copy_within(dim..rank, dim + 1);
        out.shape[dim] = 1;
        out.strides[dim] = if dim < rank { self.shape[dim] as isize * self.strides[dim] } else { 1 };
        out.rank += 1;
        Ok(out)
    }

    /// Repeats dimensions of size 1 (and missing leading ones) with stride 0 up to `shape`.
    #[inline]
    pub fn broadcast(&self, shape: &[usize]) -> Result<Self> {
        if shape.len() > MAX_RANK {
            return Err(LayoutError::Rank(shape.len()));
        }
        let fail = || LayoutError::Broadcast { from: self.shape().to_vec(), to: shape.to_vec() };
        let lead = shape.len().checked_sub(self.rank()).ok_or_else(fail)?;
        let mut out = *self;
        out.rank = shape.len() as u8;
        for (d, &size) in shape.iter().enumerate() {
            out.shape[d] = size;
            out.strides[d] = 0;
            if d >= lead {
                let from = self.shape[d - lead];
                if from == size {
                    out.strides[d] = self.strides[d - lead];
                } else if from != 1 {
                    return Err(fail());
                }
            }
        }
        out.check_range()?;
        Ok(out)
    }

    /// The same elements in the same logical order under another shape, when strides allow it.
    ///
    /// # Errors
    /// [`LayoutError::Count`] when the sizes differ, [`LayoutError::Reshape`] when a copy would be needed.
    #[inline]
    pub fn reshape(&self, shape: &[usize]) -> Result<Self> {
        if shape.len() > MAX_RANK {
            return Err(LayoutError::Rank(shape.len()));
        }
        let product = shape.iter().try_fold(1usize, |p, &s| p.checked_mul(s));
        let Some(want) = product else { return Err(LayoutError::TooLarge) };
        if want != self.len() {
            return Err(LayoutError::Count { from: self.shape().to_vec(), to: shape.to_vec(), have: self.len(), want });
        }
        if want == 0 {
            let empty = Layout::contiguous(shape)?;
            return Ok(Layout { offset: self.offset, ..empty });
        }
        // Merge the input into maximal runs that are contiguous among themselves, innermost first,
        // then cut the new shape out of them.
        let mut runs = [(1usize, 1isize); MAX_RANK];
        let mut count = 0;
        for d in (0..self.rank()).rev() {
            if self.shape[d] == 1 {
                continue;
            }
            let joins = count > 0 && {
                let (size, stride) = runs[count - 1];
                self.strides[d] == stride * size as isize
            };
            if joins {
                runs[count - 1].0 *= self.shape[d];
            } else {
                runs[count] = (self.shape[d], self.strides[d]);
                count += 1;
            }
        }
        let mut out = *self;
        out.rank = shape.len() as u8;
        let mut run = 0;
        let (mut left, mut stride) = runs[0];
        for d in (0..shape.len()).rev() {
            out.shape[d] = shape[d];
            out.strides[d] = stride;
            if shape[d] == 1 {
                continue;
            }
            if left == 1 {
                run += 1;
                (left, stride) = runs[run];
                out.strides[d] = stride;
            }
            if left % shape[d] != 0 {
                return Err(LayoutError::Reshape {
                    from: self.shape().to_vec(),
                    strides: self.strides().to_vec(),
                    to: shape.to_vec(),
                });
            }
            left /= shape[d];
            stride *= shape[d] as isize;
        }
        Ok(out)
    }

    /// Consecutive pieces of size `chunk` along a dimension; the last may be smaller.
    pub fn split(&self, dim: usize, chunk: usize) -> Result<impl Iterator<Item = Layout> + use<>> {
        self.check_dim(dim)?;
        let size = self.shape[dim];
        if chunk == 0 {
            return Err(LayoutError::Split { dim, size, chunk });
        }
        let base = *self;
        Ok((0..size.div_ceil(chunk)).map(move |i| {
            let start = i * chunk;
            base.slice(dim, start, size.min(start + chunk), 1).expect("a piece of a checked dimension lies inside it")
        }))
    }

    /// Reverses a dimension.
    #[inline]
    pub fn flip(&self, dim: usize) -> Result<Self> {
        self.check_dim(dim)?;
        let mut out = *self;
        if !self.is_empty() {
            let last = self.shape[dim] as isize - 1;
            out.offset = (self.offset as isize + last * self.strides[dim]) as usize;
        }
        out.strides[dim] = -self.strides[dim];
        Ok(out)
    }

    /// The same view `elements` further into its buffer.
    pub fn shifted(&self, elements: usize) -> Result<Self> {
        let mut out = *self;
        out.offset = self.offset.checked_add(elements).ok_or(LayoutError::TooLarge)?;
        out.check_range()?;
        Ok(out)
    }
}

impl PartialEq for Layout {
    fn eq(&self, other: &Self) -> bool {
        self.offset == other.offset && self.shape() == other.shape() && self.strides() == other.strides()
    }
}

impl Eq for Layout {}

impl std::hash::Hash for Layout {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.shape().hash(state);
        self.strides().hash(state);
        self.offset.hash(state);
    }
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Layout{:?} strides {:?} offset {}", self.shape(), self.strides(), self.offset)
    }
}
