//! How the mask of a tensor can lie.

use thiserror::Error;

/// How a mask lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MaskFault {
    /// It marks more or fewer positions than the record says.
    #[error("{counted} positions exist, expected {claimed}")]
    Count {
        /// What the record, or the number of values, claims.
        claimed: u64,
        /// What the mask marks.
        counted: u64,
    },
    /// Positions do not ascend.
    #[error("position {found} follows {before}, expected strictly ascending positions")]
    NotIncreasing {
        /// A position.
        before: u32,
        /// What follows it.
        found: u32,
    },
    /// A position is not in the tensor.
    #[error("position {position} is claimed, expected one below {numel}")]
    Outside {
        /// The position.
        position: u64,
        /// Positions of the tensor.
        numel: u64,
    },
    /// A running count is wrong.
    #[error("group {group} claims {claimed} positions before it, expected {expected}")]
    Prefix {
        /// The group of 4096 positions.
        group: u64,
        /// What is claimed.
        claimed: u64,
        /// What the groups before it hold.
        expected: u64,
    },
    /// A bit or byte that means nothing is not zero.
    #[error("unused byte {byte} of the mask is not zero")]
    Padding {
        /// The byte, from the start of the mask.
        byte: u64,
    },
    /// A tile is called full, but its count is not that of a full tile.
    #[error("tile {tile} is marked full with a count of {count}, expected 0 (for 256)")]
    FullTile {
        /// The tile.
        tile: u64,
        /// Its count.
        count: u8,
    },
    /// The mask has not the length that its kind and counts give.
    #[error("the mask has {claimed} bytes, expected {expected}")]
    Length {
        /// What is there.
        claimed: u64,
        /// What must be there.
        expected: u64,
    },
}
