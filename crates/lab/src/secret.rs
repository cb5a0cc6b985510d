//! Seeds that no kernel can guess.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// A fresh seed from the system's randomness.
pub fn seed() -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    RandomState::new().hash_one(CALLS.fetch_add(1, Ordering::Relaxed))
}

/// A fresh poison byte. No dtype reads a run of it as zero, NaN or an infinity, so an unwritten
/// element is neither a NaN that was expected nor a zero.
pub fn poison() -> u8 {
    0x11 + (seed() % 0x67) as u8
}

#[cfg(test)]
mod tests {
    use kernelsmith_core::{DType, HostArray};

    #[test]
    fn poison_reads_as_an_ordinary_number() {
        for byte in 0x11..0x78 {
            for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
                let mut a = HostArray::zeros(dtype, 1);
                a.as_bytes_mut().fill(byte);
                assert!(a.get(0).is_finite() && a.get(0) != 0.0, "{byte:x} {dtype}");
            }
        }
    }
}
