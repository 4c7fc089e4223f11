//! The shortcut without parameters of CIFAR's residual networks.

use rayon::prelude::*;

use super::blocked::Blocked;
use super::pool::{fill_interior, place, place_mut};

/// Every `stride[0]`-th row and `stride[1]`-th column, with zero channels before and behind (option A of ResNet).
#[derive(Clone, Copy, Debug)]
pub struct PadShortcut {
    /// Geometry of the input.
    pub input: Blocked,
    /// Geometry of the output.
    pub output: Blocked,
    /// Step in height and width.
    pub stride: [usize; 2],
}

impl PadShortcut {
    fn before(&self) -> usize {
        (self.output.channels - self.input.channels) / 2
    }

    /// `y[before + c, i, j] = x[c, stride[0] * i, stride[1] * j]`, zero elsewhere.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) {
        let (from, to) = (self.input, self.output);
        y.par_chunks_exact_mut(to.plane()).enumerate().for_each(|(plane, y)| {
            let (block, channel) = (plane / to.channels, plane % to.channels);
            let source = channel.wrapping_sub(self.before());
            if source >= from.channels {
                return fill_interior(y, to, 0.0);
            }
            let x = &x[(block * from.channels + source) * from.plane()..][..from.plane()];
            for i in 0..to.height {
                for j in 0..to.width {
                    *place_mut(y, to.at(0, i, j)) =
                        *place(x, from.at(0, i * self.stride[0], j * self.stride[1]));
                }
            }
        });
    }

    /// Hands the gradient back to the places that were taken.
    pub fn backward(
        &self,
        (dy, from): (&[f32], Blocked),
        (dx, to): (&mut [f32], Blocked),
        accumulate: bool,
    ) {
        dx.par_chunks_exact_mut(to.plane()).enumerate().for_each(|(plane, dx)| {
            let (block, channel) = (plane / to.channels, plane % to.channels);
            if !accumulate {
                fill_interior(dx, to, 0.0);
            }
            let dy = &dy[(block * from.channels + channel + self.before()) * from.plane()..];
            for i in 0..from.height {
                for j in 0..from.width {
                    let d = place(dy, from.at(0, i, j));
                    let at = place_mut(dx, to.at(0, i * self.stride[0], j * self.stride[1]));
                    for (to, d) in at.iter_mut().zip(d) {
                        *to += d;
                    }
                }
            }
        });
    }
}
