//! Masks on a device.

use super::machine::Address;
use crate::sparse::Mask;

/// Which weights of a layer exist, for a device: a bit for each, and for each word of bits how many are
/// before it. A whole mask has neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaskBits {
    /// Bits, the first position lowest.
    pub bits: Vec<u32>,
    /// Existing weights before each word.
    pub before: Vec<u32>,
}

impl MaskBits {
    /// The bits of `mask`.
    pub fn of(mask: &Mask) -> Self {
        if mask.positions().is_none() {
            return Self::default();
        }
        let mut bits = vec![0u32; mask.len().div_ceil(32)];
        for position in mask.iter() {
            bits[position / 32] |= 1 << (position % 32);
        }
        let before = bits.iter().scan(0, |sum, word| {
            let before = *sum;
            *sum += word.count_ones();
            Some(before)
        });
        Self { before: before.collect(), bits }
    }
}

/// Where a mask lies on the device; both are [`Address::default`] if it is whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaskAt {
    /// [`MaskBits::bits`].
    pub bits: Address,
    /// [`MaskBits::before`].
    pub before: Address,
}
