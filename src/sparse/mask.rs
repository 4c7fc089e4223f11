//! Which weights exist.

use std::ops::Range;

/// Why positions are not a mask.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MaskError {
    /// A position lies outside the tensor.
    #[error("mask position {position} lies outside the tensor of {len} weights")]
    Outside {
        /// The position.
        position: u32,
        /// Weights in the tensor.
        len: usize,
    },
    /// A position is not larger than the one before it.
    #[error("mask position {position} at index {index} does not come after {before}")]
    NotAscending {
        /// Where in the list.
        index: usize,
        /// The position there.
        position: u32,
        /// The position before it.
        before: u32,
    },
    /// A tensor is too large for 32-bit positions.
    #[error("a tensor of {len} weights is too large: at most {} are supported", u32::MAX)]
    TooLarge {
        /// Weights in the tensor.
        len: usize,
    },
}

/// The positions of a tensor's weights that exist, ascending, or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    len: usize,
    positions: Option<Vec<u32>>,
}

impl Mask {
    /// The mask of a tensor of `len` weights that all exist.
    pub fn full(len: usize) -> Self {
        Self { len, positions: None }
    }

    /// The mask of a tensor of `len` weights of which those at `positions` exist.
    ///
    /// # Errors
    /// If positions do not ascend strictly, or one is not below `len`.
    pub fn new(len: usize, positions: Vec<u32>) -> Result<Self, MaskError> {
        if u32::try_from(len).is_err() {
            return Err(MaskError::TooLarge { len });
        }
        for (index, pair) in positions.windows(2).enumerate() {
            let (before, position) = (pair[0], pair[1]);
            if position <= before {
                return Err(MaskError::NotAscending { index: index + 1, position, before });
            }
        }
        if let Some(&position) = positions.last().filter(|&&p| p as usize >= len) {
            return Err(MaskError::Outside { position, len });
        }
        Ok(Self::of(len, positions))
    }

    /// The mask in which position `p` exists if `keep(p)`.
    ///
    /// # Panics
    /// If `len` exceeds 32 bits.
    pub fn from_fn(len: usize, mut keep: impl FnMut(usize) -> bool) -> Self {
        let end = u32::try_from(len);
        assert!(end.is_ok(), "a tensor of {len} weights exceeds 32-bit positions");
        let positions = (0..end.unwrap_or(0)).filter(|&p| keep(p as usize)).collect();
        Self::of(len, positions)
    }

    /// A mask of checked positions: that all exist has one spelling.
    fn of(len: usize, positions: Vec<u32>) -> Self {
        Self { len, positions: (positions.len() < len).then_some(positions) }
    }

    /// Weights in the tensor, existing or not.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the tensor has no weights at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many weights exist.
    pub fn existing(&self) -> usize {
        self.positions.as_ref().map_or(self.len, Vec::len)
    }

    /// The ascending positions of existing weights, or `None` if all exist.
    pub fn positions(&self) -> Option<&[u32]> {
        self.positions.as_deref()
    }

    /// Iterates over the positions that exist, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let all: Range<usize> = if self.positions.is_some() { 0..0 } else { 0..self.len };
        self.positions.iter().flatten().map(|&p| p as usize).chain(all)
    }

    /// Keeps only what is at `kept`, indices into the existing weights (not positions), ascending.
    ///
    /// # Panics
    /// If an index is not below `existing()`, or they do not ascend.
    pub fn narrow(&self, kept: &[usize]) -> Self {
        assert!(kept.windows(2).all(|pair| pair[0] < pair[1]), "indices ascend");
        assert!(kept.last().is_none_or(|&last| last < self.existing()), "an index beyond the mask");
        let positions = match &self.positions {
            Some(positions) => kept.iter().map(|&k| positions[k]).collect(),
            None => kept.iter().map(|&k| k as u32).collect(),
        };
        Self::of(self.len, positions)
    }

    /// The packed `values` laid out dense, zero where no weight exists.
    ///
    /// # Panics
    /// If `values.len() != existing()`.
    pub fn spread(&self, values: &[f32]) -> Vec<f32> {
        assert_eq!(values.len(), self.existing(), "one value for each existing weight");
        let mut dense = vec![0.0; self.len];
        for (position, &value) in self.iter().zip(values) {
            dense[position] = value;
        }
        dense
    }

    /// The packed values of a `dense` tensor.
    ///
    /// # Panics
    /// If `dense.len() != len()`.
    pub fn pack(&self, dense: &[f32]) -> Vec<f32> {
        assert_eq!(dense.len(), self.len, "one value for each weight");
        self.iter().map(|p| dense[p]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_that_are_no_mask_are_refused() {
        assert_eq!(Mask::new(4, vec![4]), Err(MaskError::Outside { position: 4, len: 4 }));
        let twice = Mask::new(4, vec![1, 1]);
        assert_eq!(twice, Err(MaskError::NotAscending { index: 1, position: 1, before: 1 }));
    }

    #[test]
    fn packing_and_spreading_are_inverse_on_what_exists() {
        let mask = Mask::new(5, vec![0, 3]).unwrap();
        let dense = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(mask.pack(&dense), [1.0, 4.0]);
        assert_eq!(mask.spread(&[1.0, 4.0]), [1.0, 0.0, 0.0, 4.0, 0.0]);
        assert_eq!(mask.narrow(&[1]).positions(), Some(&[3u32][..]));
        assert_eq!(Mask::full(3).iter().collect::<Vec<_>>(), [0, 1, 2]);
    }
}
