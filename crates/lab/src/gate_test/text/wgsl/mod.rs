//! Faults in the text of WGSL kernels.
//!
//! Storage is read and written, and a product is finished, by functions that are rendered, not by text: their
//! faults are put where a kernel calls them.
//!
//! Two kinds of barrier have no fault. After a tree's last step only the invocation that took it, or its own
//! subgroup, has to see the sum before the next barrier: an adapter that runs subgroups in order, as lavapipe
//! does, never shows that it is missing. The one before the next member of a batch is passed once a workgroup
//! in every grid that there is room for.

mod attention;
mod gemm;
mod map;
mod movement;
mod reduce;
mod row;
mod small_m;
mod vectors;

use super::Mutation;

pub fn mutations() -> impl Iterator<Item = &'static Mutation> {
    let products = [gemm::MUTATIONS, small_m::MUTATIONS, vectors::MUTATIONS];
    let rest = [map::MUTATIONS, reduce::MUTATIONS, row::MUTATIONS, movement::MUTATIONS, attention::MUTATIONS];
    products.into_iter().chain(rest).flatten()
}
