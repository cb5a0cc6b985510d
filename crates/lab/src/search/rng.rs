//! Random numbers of a strategy: a seed and a counter, so that a search can be run again.

use kernelsmith_core::inputs::hash;

#[derive(Clone, Debug)]
pub struct Rng {
    seed: u64,
    counter: u64,
}

impl Rng {
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not share a stream.
        Rng { seed: hash(seed, 0x5ea7c4), counter: 0 }
    }

    pub fn bits(&mut self) -> u64 {
        self.counter += 1;
        hash(self.seed, self.counter)
    }

    /// Uniform in 0..bound; 0 where the bound is.
    pub fn below(&mut self, bound: usize) -> usize {
        // The high half of the product: no division, and a bias under 2⁻³² for any space.
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Near to normal, of mean 0 and deviation 1: the sum of four uniform numbers (Irwin–Hall).
    pub fn normal(&mut self) -> f64 {
        ((0..4).map(|_| self.unit()).sum::<f64>() - 2.0) * 3f64.sqrt()
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}
