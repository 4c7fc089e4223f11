//! Seeded random streams: the same seed and name give the same numbers.
//!
//! Every use of chance has a stream of its own, named after what it is for
//! (`Stream::new(seed, "augment/epoch-3")`), so that adding a draw in one place moves no other.
//! ChaCha8 gives the words; its output is fixed by its specification. The distributions are our
//! own few lines, because those of a general crate may change between versions, and a changed
//! draw is a changed model. Whole and uniform numbers are the same on every machine; normal ones pass
//! through the platform's logarithm and cosine, whose last bit may differ between systems.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A named, seeded source of random numbers.
#[derive(Clone, Debug)]
pub struct Stream {
    words: ChaCha8Rng,
}

impl Stream {
    /// The stream called `name` of `seed`. Equal arguments give equal numbers.
    pub fn new(seed: u64, name: &str) -> Self {
        let mut key = blake3::Hasher::new_derive_key("unlearn random stream, version 1");
        key.update(&seed.to_le_bytes());
        key.update(name.as_bytes());
        Self { words: ChaCha8Rng::from_seed(*key.finalize().as_bytes()) }
    }

    /// A uniformly distributed 64-bit word.
    pub fn word(&mut self) -> u64 {
        self.words.next_u64()
    }

    /// A whole number in `0..below`, each equally likely (Lemire's method, with rejection).
    ///
    /// # Panics
    /// If `below` is 0.
    pub fn below(&mut self, below: u64) -> u64 {
        assert!(below > 0, "a number below 0 was asked for");
        let reject = below.wrapping_neg() % below;
        loop {
            let product = u128::from(self.word()) * u128::from(below);
            // The low half tells whether this draw lies in the part that would be uneven.
            if (product as u64) >= reject {
                return (product >> 64) as u64;
            }
        }
    }

    /// An index in `0..len`.
    ///
    /// # Panics
    /// If `len` is 0.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// A number in `[0, 1)` with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number in `[low, high)`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A draw of the standard normal distribution (Box and Muller, the cosine half).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Puts `items` in random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }

    /// `0..len` in random order.
    pub fn permutation(&mut self, len: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..len).collect();
        self.shuffle(&mut order);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_fixed_by_its_seed_and_name() {
        let draw = |seed, name| Stream::new(seed, name).word();
        assert_eq!(draw(7, "a"), draw(7, "a"));
        assert_ne!(draw(7, "a"), draw(7, "b"));
        assert_ne!(draw(7, "a"), draw(8, "a"));
        // Golden: a change here changes every model that was ever trained.
        assert_eq!(draw(7, "golden"), GOLDEN);
    }

    const GOLDEN: u64 = 3_593_325_225_512_190_826;

    #[test]
    fn a_permutation_holds_each_index_once() {
        let mut order = Stream::new(1, "order").permutation(1000);
        assert_ne!(order[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn normal_draws_have_mean_zero_and_variance_one() {
        let mut stream = Stream::new(3, "normal");
        let draws: Vec<f64> = (0..100_000).map(|_| stream.normal()).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.01, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.02, "variance {variance}");
    }
}
