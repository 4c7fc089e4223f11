//! Space to depth: the places of each square become channels of one place.

use rayon::prelude::*;

use super::blocked::{Blocked, LANES};
use super::norm_planes::row;
use super::pool::{place, place_mut};

/// The places of each `side` by `side` square as channels: output channel
/// `(side * dx + dy) * C + c` is input channel `c` at row `side * y + dy`, column `side * x + dx`. The
/// order is that in which Swin transformers merge patches: down each column of the square, then right.
#[derive(Clone, Copy, Debug)]
pub struct Merge {
    /// Geometry of the input.
    pub input: Blocked,
    /// Geometry of the output.
    pub output: Blocked,
    /// Rows and columns of a square.
    pub side: usize,
}

impl Merge {
    /// `y = the squares of x`.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) {
        y.par_chunks_exact_mut(self.output.plane()).enumerate().for_each(|(index, y)| {
            let (block, channel) = (index / self.output.channels, index % self.output.channels);
            let [source, down, right] = self.from(channel);
            let x = &x[block * self.input.block() + source * self.input.plane()..];
            for line in 0..self.output.height {
                let values = row(x, self.input, self.side * line + down);
                for column in 0..self.output.width {
                    *place_mut(y, self.output.at(0, line, column)) =
                        values[self.side * column + right];
                }
            }
        });
    }

    /// Hands each gradient back to the place it came from. Geometries of `dy` and `dx` are their own.
    pub fn backward(
        &self,
        (dy, dy_places): (&[f32], Blocked),
        (dx, dx_places): (&mut [f32], Blocked),
        accumulate: bool,
    ) {
        dx.par_chunks_exact_mut(dx_places.plane()).enumerate().for_each(|(index, dx)| {
            let (block, source) = (index / dx_places.channels, index % dx_places.channels);
            let dy = &dy[block * dy_places.block()..][..dy_places.block()];
            for y in 0..dx_places.height {
                for x in 0..dx_places.width {
                    let which = x % self.side * self.side + y % self.side;
                    let channel = which * dx_places.channels + source;
                    let from = place(dy, dy_places.at(channel, y / self.side, x / self.side));
                    let to = place_mut(dx, dx_places.at(0, y, x));
                    for lane in 0..LANES {
                        to[lane] = from[lane] + if accumulate { to[lane] } else { 0.0 };
                    }
                }
            }
        });
    }

    /// The input channel of an output channel, and where in its square it comes from.
    fn from(&self, channel: usize) -> [usize; 3] {
        let (which, source) = (channel / self.input.channels, channel % self.input.channels);
        [source, which % self.side, which / self.side]
    }
}
