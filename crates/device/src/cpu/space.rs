//! The walk over a kernel's index space in blocks, and what its arrays look like in each.

use super::tape::convert::Stored;
use super::tape::lane::Values;
use super::tape::level::Level;
use kernelsmith_core::layout::MAX_RANK;
use kernelsmith_core::{DType, Layout};

/// Rows of a tile: what they hold of a cache line is used at once.
const TILE: usize = 16;

/// An index space; its last dimension is walked first. At least one dimension.
#[derive(Clone, Debug)]
pub struct Space {
    shape: [usize; MAX_RANK],
    rank: usize,
    /// Points of it.
    pub len: usize,
}

/// An array over a space.
#[derive(Clone, Debug)]
pub struct Access {
    pub dtype: DType,
    offset: isize,
    strides: [isize; MAX_RANK],
    /// The one stride that leads through the whole space, where there is one.
    linear: Option<isize>,
    /// Whether every row is the same.
    periodic: bool,
}

/// A part of a row, whole rows one after the other, or the same part of a few rows.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Number of the first point.
    pub start: usize,
    /// Its index.
    index: [usize; MAX_RANK],
    /// Points.
    pub n: usize,
    /// Points of each row.
    width: usize,
}

/// How a space is cut into blocks.
#[derive(Clone, Copy, Debug)]
pub struct Blocks {
    row: usize,
    /// Points of a full block within a row; or of a block of whole rows.
    step: usize,
    parts: usize,
    rows: bool,
    /// Rows of a block that takes the same part of each.
    tile: usize,
    len: usize,
    pub count: usize,
}

impl Space {
    pub fn new(shape: &[usize]) -> Space {
        let mut space = Space { shape: [1; MAX_RANK], rank: shape.len().max(1), len: shape.iter().product() };
        space.shape[..shape.len()].copy_from_slice(shape);
        space
    }

    /// Points of the last dimension.
    pub fn row(&self) -> usize {
        self.shape[self.rank - 1]
    }

    /// An array over this space.
    pub fn access(&self, dtype: DType, layout: &Layout) -> Access {
        let mut strides = [0; MAX_RANK];
        strides[..layout.rank()].copy_from_slice(layout.strides());
        let last = self.rank - 1;
        let mut stride = 0;
        let (mut linear, mut reach) = (true, 0);
        for d in (0..self.rank).rev().filter(|d| self.shape[*d] > 1) {
            if reach == 0 {
                (stride, reach) = (strides[d], self.shape[d] as isize);
            } else {
                linear &= strides[d] == stride * reach;
                reach *= self.shape[d] as isize;
            }
        }
        Access {
            dtype,
            offset: layout.offset() as isize,
            strides,
            linear: linear.then_some(stride),
            periodic: (0..last).all(|d| self.shape[d] == 1 || strides[d] == 0),
        }
    }

    /// Blocks of about `block` points: parts of long rows, or several short rows.
    pub fn blocks(&self, block: usize) -> Blocks {
        let (row, block) = (self.row(), block.max(1));
        if row > block / 2 || row == self.len {
            let parts = row.div_ceil(block);
            // Equal parts, but for the last one.
            let step = row.div_ceil(parts).next_multiple_of(16).min(row);
            let parts = row.div_ceil(step);
            return Blocks { row, step, parts, rows: false, tile: 1, len: self.len, count: self.len / row * parts };
        }
        let step = block / row * row;
        Blocks { row, step, parts: 1, rows: true, tile: 1, len: self.len, count: self.len.div_ceil(step) }
    }

    /// Blocks of the same part of up to [`TILE`] rows, for arrays whose neighbours lie along the
    /// dimension before the last; `None` where rows are too short to be cut.
    pub fn tiles(&self, block: usize) -> Option<Blocks> {
        let row = self.row();
        let step = (block / TILE).clamp(16, row.max(16));
        if self.rank < 2 || row < 2 * step {
            return None;
        }
        let (parts, height) = (row.div_ceil(step), self.shape[self.rank - 2]);
        let bands = height.div_ceil(TILE);
        let count = self.len / row / height * bands * parts;
        Some(Blocks { row, step, parts, rows: false, tile: TILE, len: self.len, count })
    }

    /// Whether an array's neighbours lie along the dimension before the last one.
    pub fn is_turned(&self, access: &Access) -> bool {
        let last = self.rank - 1;
        last > 0 && access.strides[last].unsigned_abs() > 8 && access.strides[last - 1].unsigned_abs() == 1
    }

    /// The place of a block.
    #[inline]
    pub fn place_of(&self, blocks: &Blocks, block: usize) -> Place {
        if blocks.tile == 1 {
            let (start, n) = blocks.range(block);
            return self.place(start, n);
        }
        let height = self.shape[self.rank - 2];
        let bands = height.div_ceil(blocks.tile);
        // Parts change slowest within a slab: the next block goes on along the turned array's memory.
        let (band, rest) = (block % bands, block / bands);
        let (part, slab) = (rest % blocks.parts, rest / blocks.parts);
        let width = blocks.step.min(self.row() - part * blocks.step);
        let rows = blocks.tile.min(height - band * blocks.tile);
        let start = (slab * height + band * blocks.tile) * self.row() + part * blocks.step;
        Place { width, n: rows * width, ..self.place(start, width) }
    }

    /// The place of `n` points from number `start` on: inside a row, or whole rows.
    pub fn place(&self, start: usize, n: usize) -> Place {
        let mut index = [0; MAX_RANK];
        let mut rest = start;
        for d in (1..self.rank).rev() {
            if rest == 0 {
                break;
            }
            index[d] = rest % self.shape[d];
            rest /= self.shape[d];
        }
        index[0] = rest;
        let width = if index[self.rank - 1] + n <= self.row() { n } else { self.row() };
        Place { start, index, n, width }
    }

    /// Points of the first place of at most `block` points in `start..end`: up to the end of a row,
    /// or whole rows where they are short.
    pub fn cut(&self, start: usize, end: usize, block: usize) -> usize {
        let row = self.row();
        let (at, left) = (start % row, end - start);
        let whole = block.min(left) / row * row;
        if at == 0 && whole > 0 { whole } else { (row - at).min(block).min(left) }
    }

    /// Calls `f(first point of the row in the block, position in the array)` for each row of a place.
    #[inline(always)]
    fn rows(&self, access: &Access, place: &Place, mut f: impl FnMut(usize, isize)) {
        let mut index = place.index;
        let mut at = access.at(&index);
        for first in (0..place.n).step_by(place.width) {
            f(first, at);
            for d in (0..self.rank - 1).rev() {
                index[d] += 1;
                at += access.strides[d];
                if index[d] < self.shape[d] {
                    break;
                }
                at -= access.strides[d] * index[d] as isize;
                index[d] = 0;
            }
        }
    }

    /// Position of the first element and the stride to the next, where one stride leads through
    /// the whole place.
    #[inline(always)]
    fn line(&self, access: &Access, place: &Place) -> Option<(isize, isize)> {
        let whole = place.width == place.n || place.width == self.row();
        match access.linear {
            Some(stride) if whole => Some((access.offset + place.start as isize * stride, stride)),
            _ if place.width == place.n => Some((access.at(&place.index), access.strides[self.rank - 1])),
            // The same everywhere.
            Some(0) => Some((access.offset, 0)),
            _ => None,
        }
    }

    /// The array's elements at a place. `room` takes them where they must be gathered or converted.
    ///
    /// # Safety
    /// `from` is the array's buffer, checked against its layout and aligned; `room` has `place.n` numbers.
    #[inline]
    pub unsafe fn read<N: Stored>(
        &self,
        level: Level,
        access: &Access,
        from: *const u8,
        place: &Place,
        room: *mut N,
    ) -> Values<N> {
        let size = access.dtype.bytes() as isize;
        let Some((at, stride)) = self.line(access, place) else {
            // SAFETY: the caller's promise.
            return unsafe { self.read_rows(level, access, from, place, room) };
        };
        // SAFETY: the position is one of the layout's, so inside the buffer.
        let from = unsafe { from.offset(at * size) };
        if stride == 0 {
            let mut x = N::ZERO;
            // SAFETY: as above, for one element.
            unsafe { N::load(level, access.dtype, from, 1, &raw mut x, 1) };
            return Values::One(x);
        }
        if stride == 1 && access.dtype == N::DTYPE {
            return Values::Run(from.cast());
        }
        // SAFETY: all the positions are the layout's.
        unsafe { N::load(level, access.dtype, from, stride, room, place.n) };
        Values::Run(room)
    }

    /// # Safety
    /// As [`Space::read`], for whole rows.
    unsafe fn read_rows<N: Stored>(
        &self,
        level: Level,
        access: &Access,
        from: *const u8,
        place: &Place,
        room: *mut N,
    ) -> Values<N> {
        let (row, size, stride) = (place.width, access.dtype.bytes() as isize, access.strides[self.rank - 1]);
        // SAFETY: every position is one of the layout's; `room` has as many numbers as the rows have.
        unsafe {
            if access.periodic {
                N::load(level, access.dtype, from.offset(access.at(&place.index) * size), stride, room, row);
                let mut done = row;
                while done < place.n {
                    let count = done.min(place.n - done);
                    std::ptr::copy_nonoverlapping(room, room.add(done), count);
                    done += count;
                }
                return Values::Run(room);
            }
            let rows = place.n / row;
            if rows <= TILE && row < self.row() && self.is_turned(access) {
                let (at, along) = (access.at(&place.index), access.strides[self.rank - 2]);
                let mut column = [N::ZERO; TILE];
                for c in 0..row {
                    let from = from.offset((at + c as isize * stride) * size);
                    N::load(level, access.dtype, from, along, column.as_mut_ptr(), rows);
                    column[..rows].iter().enumerate().for_each(|(r, x)| *room.add(r * row + c) = *x);
                }
                return Values::Run(room);
            }
            self.rows(access, place, |first, at| {
                let (from, room) = (from.offset(at * size), room.add(first));
                if stride == 0 {
                    let mut x = N::ZERO;
                    N::load(Level::Portable, access.dtype, from, 1, &raw mut x, 1);
                    std::slice::from_raw_parts_mut(room, row).fill(x);
                } else {
                    N::load(level, access.dtype, from, stride, room, row);
                }
            });
        }
        Values::Run(room)
    }

    /// Where a block's results can be written without a copy.
    ///
    /// # Safety
    /// `to` is the array's buffer, checked against its layout and aligned.
    #[inline]
    pub unsafe fn direct<N: Stored>(&self, access: &Access, to: *mut u8, place: &Place) -> Option<*mut N> {
        let (at, stride) = self.line(access, place)?;
        let fits = access.dtype == N::DTYPE && (stride == 1 || place.n == 1);
        // SAFETY: the position is one of the layout's.
        fits.then(|| unsafe { to.cast::<N>().offset(at) })
    }

    /// Rounds a block's results to the array.
    ///
    /// # Safety
    /// `to` is the array's buffer, checked against its layout and aligned, and nobody else uses the
    /// place's elements now; `from` has `place.n` numbers.
    #[inline]
    pub unsafe fn write<N: Stored>(&self, level: Level, access: &Access, from: *const N, place: &Place, to: *mut u8) {
        let size = access.dtype.bytes() as isize;
        let Some((at, stride)) = self.line(access, place) else {
            let (width, stride) = (place.width, access.strides[self.rank - 1]);
            // SAFETY: every position is one of the layout's; `from` has the rows' numbers.
            return self.rows(access, place, |first, at| unsafe {
                N::store(level, access.dtype, from.add(first), to.offset(at * size), stride, width);
            });
        };
        // SAFETY: as above.
        unsafe { N::store(level, access.dtype, from, to.offset(at * size), stride, place.n) };
    }

    /// The positions of a place along a dimension, as numbers.
    ///
    /// # Safety
    /// `room` has `place.n` numbers.
    pub unsafe fn positions<N: Stored>(&self, dimension: usize, place: &Place, room: *mut N) -> Values<N> {
        let last = self.rank - 1;
        if place.width == place.n {
            let first = place.index[dimension];
            if dimension != last {
                return Values::One(N::of(first as f64));
            }
            // SAFETY: the caller's promise.
            let room_slice = unsafe { std::slice::from_raw_parts_mut(room, place.n) };
            for (i, x) in room_slice.iter_mut().enumerate() {
                *x = N::of((first + i) as f64);
            }
            return Values::Run(room);
        }
        let mut unit = Access { dtype: N::DTYPE, offset: 0, strides: [0; MAX_RANK], linear: None, periodic: false };
        unit.strides[dimension] = 1;
        self.rows(&unit, place, |first, at| {
            // SAFETY: a row of the place.
            let row = unsafe { std::slice::from_raw_parts_mut(room.add(first), place.width) };
            for (i, x) in row.iter_mut().enumerate() {
                *x = N::of((at + if dimension == last { i as isize } else { 0 }) as f64);
            }
        });
        Values::Run(room)
    }
}

impl Access {
    #[inline]
    fn at(&self, index: &[usize; MAX_RANK]) -> isize {
        self.offset + index.iter().zip(&self.strides).map(|(i, s)| *i as isize * s).sum::<isize>()
    }

    /// Whether the whole array is one run in the order of the space.
    pub fn is_run(&self) -> bool {
        self.linear == Some(1)
    }

    /// Position of the first element.
    pub fn offset(&self) -> isize {
        self.offset
    }
}

impl Blocks {
    /// First point and number of points of a block.
    #[inline]
    pub fn range(&self, block: usize) -> (usize, usize) {
        if self.rows {
            let start = block * self.step;
            return (start, self.step.min(self.len - start));
        }
        if self.parts == 1 {
            return (block * self.row, self.row);
        }
        let (row, part) = (block / self.parts, block % self.parts);
        (row * self.row + part * self.step, self.step.min(self.row - part * self.step))
    }

    /// Points of the largest block.
    pub fn largest(&self) -> usize {
        if self.parts == 1 && !self.rows { self.row } else { (self.step * self.tile).min(self.len) }
    }
}
