//! The order in which a data set is walked.

use kernelsmith_core::inputs::hash;

/// A permutation of 0..`len` (Fisher, Yates; Durstenfeld 1964): the same for a seed everywhere.
/// The data itself is reordered on its device, by [`crate::Tensor::index_select`].
pub fn permutation(len: usize, seed: u64) -> Vec<i32> {
    let mut order: Vec<i32> = (0..len as i32).collect();
    let seed = kernelsmith_core::random::spread(seed);
    for i in (1..len).rev() {
        // A bias of len/2⁶⁴ is none that anyone can see.
        let j = ((u128::from(hash(seed, i as u64)) * (i as u128 + 1)) >> 64) as usize;
        order.swap(i, j);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_is_there_once_and_seeds_differ() {
        let a = permutation(1000, 1);
        let mut sorted = a.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..1000));
        assert_eq!(a, permutation(1000, 1));
        assert_ne!(a, permutation(1000, 2));
        let fixed = a.iter().enumerate().filter(|(i, x)| *i as i32 == **x).count();
        assert!(fixed < 10, "{fixed} stayed where they were");
    }
}
