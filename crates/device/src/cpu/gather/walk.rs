//! What both movements walk over: the index's space with the moving array as if its axis had one
//! element, in as few dimensions as the layouts allow. Where the index sends a point is the
//! position in that array plus index · stride of the axis.

use crate::cpu::kernel::CpuKernelError;
use kernelsmith_core::Layout;
use kernelsmith_core::layout::MAX_RANK;
use kernelsmith_core::ops::gather::{GatherProblem, Movement};
use kernelsmith_core::ops::leaf::collapse;

/// Positions and strides of the three arrays along one row: x, index, out.
pub type Row = [(isize, isize); 3];

#[derive(Clone, Debug)]
pub struct Walk {
    /// At least one dimension.
    pub shape: Vec<usize>,
    offsets: [isize; 3],
    pub strides: [[isize; MAX_RANK]; 3],
    /// Elements of the moving array between neighbours along the axis.
    pub axis_stride: isize,
    /// What an index must be below.
    pub size: usize,
}

impl Walk {
    pub fn new(p: &GatherProblem) -> Result<Walk, CpuKernelError> {
        let moving = if p.movement == Movement::Gather { &p.x.layout } else { &p.out.layout };
        let mut strides = moving.strides().to_vec();
        let axis_stride = std::mem::take(&mut strides[p.axis]);
        let fixed = Layout::strided(p.shape(), &strides, moving.offset()).map_err(|e| CpuKernelError(e.to_string()))?;
        let layouts = match p.movement {
            Movement::Gather => [fixed, p.index.layout, p.out.layout],
            Movement::ScatterAdd => [p.x.layout, p.index.layout, fixed],
        };
        let (layouts, _, _) = collapse(&layouts, &[], &[p.shape().len()]);
        let mut walk = Walk {
            shape: layouts[0].shape().to_vec(),
            offsets: [0; 3],
            strides: [[0; MAX_RANK]; 3],
            axis_stride,
            size: p.size(),
        };
        if walk.shape.is_empty() {
            walk.shape.push(1);
        }
        for (i, layout) in layouts.iter().enumerate() {
            walk.offsets[i] = layout.offset() as isize;
            walk.strides[i][..layout.rank()].copy_from_slice(layout.strides());
        }
        Ok(walk)
    }

    pub fn row(&self) -> usize {
        self.shape[self.shape.len() - 1]
    }

    pub fn rows(&self) -> usize {
        self.shape[..self.shape.len() - 1].iter().product()
    }

    /// The same walk over `from..to` of one dimension.
    pub fn band(&self, dimension: usize, from: usize, to: usize) -> Walk {
        let mut band = self.clone();
        band.shape[dimension] = to - from;
        for (offset, strides) in band.offsets.iter_mut().zip(&self.strides) {
            *offset += from as isize * strides[dimension];
        }
        band
    }

    /// Calls `f` for rows `from..to`, in order.
    pub fn each(&self, from: usize, to: usize, mut f: impl FnMut(Row)) {
        let last = self.shape.len() - 1;
        let mut index = [0; MAX_RANK];
        let mut rest = from;
        for d in (0..last).rev() {
            index[d] = rest % self.shape[d];
            rest /= self.shape[d];
        }
        let at = |i: usize, index: &[usize; MAX_RANK]| {
            self.offsets[i] + (0..last).map(|d| index[d] as isize * self.strides[i][d]).sum::<isize>()
        };
        for _ in from..to {
            f([0, 1, 2].map(|i| (at(i, &index), self.strides[i][last])));
            for d in (0..last).rev() {
                index[d] += 1;
                if index[d] < self.shape[d] {
                    break;
                }
                index[d] = 0;
            }
        }
    }

    /// Steps along the axis of the moving array, if the index is valid.
    #[inline(always)]
    pub fn shift(&self, index: i32) -> Option<isize> {
        usize::try_from(index).ok().filter(|i| *i < self.size).map(|i| i as isize * self.axis_stride)
    }
}
