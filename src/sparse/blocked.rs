//! The blocked layout: where a value of a sample lies.

use std::ops::Range;

use rayon::prelude::*;

/// Samples side by side in the innermost place.
pub const LANES: usize = 16;

/// The geometry of one activation: `[N / 16][C][H + 2h][W + 2w][16]`. All sizes are in `f32`s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Channels.
    pub channels: usize,
    /// Rows of the interior.
    pub height: usize,
    /// Columns of the interior.
    pub width: usize,
    /// Zeros on each side of the interior, in height and in width.
    pub halo: [usize; 2],
}

impl Blocked {
    /// The geometry of a `[C, H, W]` sample with a halo.
    pub fn new([channels, height, width]: [usize; 3], halo: [usize; 2]) -> Self {
        Self { channels, height, width, halo }
    }

    /// Whether a block has at most `u32::MAX` values, so that no size of it can overflow.
    pub fn fits(&self) -> bool {
        let side = |side: usize, halo: usize| halo.checked_mul(2)?.checked_add(side);
        let values = || {
            let [rows, columns] = self.halo;
            let places = side(self.height, rows)?.checked_mul(side(self.width, columns)?)?;
            places.checked_mul(LANES)?.checked_mul(self.channels)
        };
        values().is_some_and(|values| u32::try_from(values).is_ok())
    }

    /// Values from one row to the next.
    pub fn row(&self) -> usize {
        (self.width + 2 * self.halo[1]) * LANES
    }

    /// Values of one channel of one block.
    pub fn plane(&self) -> usize {
        (self.height + 2 * self.halo[0]) * self.row()
    }

    /// Values of one block of sixteen samples.
    pub fn block(&self) -> usize {
        self.channels * self.plane()
    }

    /// Where, inside its block, the sixteen values of an interior place begin.
    pub fn at(&self, channel: usize, y: usize, x: usize) -> usize {
        let [above, left] = self.halo;
        channel * self.plane() + (y + above) * self.row() + (x + left) * LANES
    }

    /// The interior of row `y`, inside its plane.
    pub fn interior(&self, y: usize) -> Range<usize> {
        let start = self.at(0, y, 0);
        start..start + self.width * LANES
    }

    /// Blocks that hold `samples`.
    pub fn blocks(samples: usize) -> usize {
        samples.div_ceil(LANES)
    }

    /// Samples in block `block` of a batch of `samples`.
    pub fn lanes_in(block: usize, samples: usize) -> usize {
        (samples - block * LANES).min(LANES)
    }

    /// Zeroes the halo of every plane in `values`, which another tensor may have used before.
    pub fn clear_halo(&self, values: &mut [f32]) {
        if self.halo != [0, 0] {
            values.par_chunks_exact_mut(self.plane()).for_each(|plane| self.clear_halo_of(plane));
        }
    }

    /// Zeroes the halo of one plane.
    pub fn clear_halo_of(&self, plane: &mut [f32]) {
        if self.halo == [0, 0] {
            return;
        }
        let mut done = 0;
        for y in 0..self.height {
            let row = self.interior(y);
            plane[done..row.start].fill(0.0);
            done = row.end;
        }
        plane[done..].fill(0.0);
    }
}
