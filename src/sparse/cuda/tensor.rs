//! Tensors in a device's memory, and how many blocks a launch takes.

use super::machine::{Address, Grid};

/// Threads of every block.
pub(super) const THREADS: usize = 256;

/// An activation or its gradient: `[samples][height][width][channels]` of `f32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Where it begins.
    pub at: Address,
    /// Samples.
    pub samples: usize,
    /// Channels, height and width of a sample.
    pub shape: [usize; 3],
}

impl Tensor {
    /// Values in it.
    pub fn len(&self) -> usize {
        self.samples * self.shape.iter().product::<usize>()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Places of all samples: rows of the matrix `[rows][channels]` that it is.
    pub fn rows(&self) -> usize {
        self.samples * self.shape[1] * self.shape[2]
    }

    /// Channels: columns of that matrix.
    pub fn channels(&self) -> usize {
        self.shape[0]
    }
}

/// As an argument. Engines refuse what has 2^31 values or more before they launch anything.
///
/// # Panics
/// If it is larger.
pub(super) fn word(value: usize) -> u32 {
    u32::try_from(value).unwrap_or_else(|_| panic!("{value} as an argument of a kernel"))
}

/// As a field of a structure.
///
/// # Panics
/// If it is larger than an `int`.
pub(super) fn int(value: usize) -> i32 {
    i32::try_from(value).unwrap_or_else(|_| panic!("{value} as an argument of a kernel"))
}

/// # Panics
/// If the tensors are not of one batch and shape.
pub(super) fn alike(tensors: &[Tensor]) {
    let like =
        |pair: &[Tensor]| (pair[0].shape, pair[0].samples) == (pair[1].shape, pair[1].samples);
    assert!(tensors.windows(2).all(like), "tensors of one shape: {tensors:?}");
}

/// A thread for each of `len`.
pub(super) fn each(len: usize) -> Grid {
    Grid { blocks: [word(len.div_ceil(THREADS)), 1, 1], threads: THREADS as u32 }
}

/// How rows of a matrix are cut for sums: parts, and rows in each. It depends on the number of rows alone.
pub(super) fn parts(rows: usize) -> (usize, usize) {
    // Enough parts to fill a large card, few enough that one thread adds up a channel's.
    let per_part = rows.div_ceil(256).max(512);
    (rows.div_ceil(per_part), per_part)
}

/// The most parts that up to `rows` rows are cut into.
pub(super) fn most_parts(rows: usize) -> usize {
    rows.div_ceil(512).min(256)
}

/// Blocks for sums over the rows of a matrix.
pub(super) fn columns(channels: usize, parts: usize) -> Grid {
    Grid { blocks: [word(channels.div_ceil(32)), word(parts), 1], threads: THREADS as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_all_rows_and_are_never_more_than_256() {
        for rows in [1, 511, 512, 513, 65_536, 131_072, 131_073, 40_000_000] {
            let (parts, per_part) = parts(rows);
            assert!((parts - 1) * per_part < rows && rows <= parts * per_part, "{rows}");
            assert!(parts <= most_parts(rows) && parts <= 256, "{rows}: {parts}");
        }
    }

    #[test]
    #[should_panic(expected = "4294967296 as an argument")]
    fn a_size_that_no_argument_holds_is_not_cut() {
        word(1 << 32);
    }
}
