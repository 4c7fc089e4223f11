//! The ground: what every room stands on.
//!
//! Owns seeded random streams, hashing, checked reads of little-endian bytes, durable writes, scratch
//! files, randomness for secrets, the clock and the units that results are told in. Knows no model, no sample and no erasure.
//! Imports nothing of this crate.

pub mod bytes;
pub mod clock;
pub mod disk;
pub mod entropy;
pub mod hash;
pub mod rng;
pub mod scratch;
pub mod scrub;
pub mod units;
