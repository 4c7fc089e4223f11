//! A value learnt for each channel and place, added to every sample.

use rayon::prelude::*;

use super::blocked::Blocked;
use super::lanes::{Isa, Lanes, Task, sum_lanes};
use super::norm_planes::{row, row_mut};

/// `y[c, place] = x[c, place] + added[c, place]`; `added` is row-major `[C, H, W]`.
pub fn add_position(
    isa: Isa,
    (x, x_places): (&[f32], Blocked),
    added: &[f32],
    (y, y_places): (&mut [f32], Blocked),
) {
    let area = y_places.height * y_places.width;
    y.par_chunks_exact_mut(y_places.plane()).enumerate().for_each(|(index, y)| {
        let x = &x[index * x_places.plane()..][..x_places.plane()];
        let added = &added[index % y_places.channels * area..][..area];
        isa.run(Added { x: (x, x_places), added, y: (y, y_places) });
    });
}

/// Adds one plane.
struct Added<'a> {
    x: (&'a [f32], Blocked),
    added: &'a [f32],
    y: (&'a mut [f32], Blocked),
}

impl Task for Added<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { x: (x, x_places), added, y: (y, y_places) } = self;
        for (line, added) in added.chunks_exact(y_places.width).enumerate() {
            let values = row(x, x_places, line).iter().zip(row_mut(y, y_places, line));
            for ((x, y), added) in values.zip(added) {
                L::to(y, L::add(L::of(x), L::splat(*added)));
            }
        }
    }
}

/// Adds to `gradient`, row-major `[C, H, W]`, the sum of `dy` over samples: lanes first, then blocks in
/// their order. `dy` is zero in lanes past the last sample.
pub fn position_gradient((dy, places): (&[f32], Blocked), gradient: &mut [f32]) {
    let area = places.height * places.width;
    gradient.par_chunks_exact_mut(area).enumerate().for_each(|(channel, gradient)| {
        for block in dy.chunks_exact(places.block()) {
            let plane = &block[channel * places.plane()..][..places.plane()];
            for (line, sums) in gradient.chunks_exact_mut(places.width).enumerate() {
                for (sum, lanes) in sums.iter_mut().zip(row(plane, places, line)) {
                    *sum += sum_lanes(*lanes);
                }
            }
        }
    });
}
