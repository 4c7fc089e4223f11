//! Pooling: the largest value of each window, or its mean.

use std::ops::Range;

use rayon::prelude::*;

use super::blocked::{Blocked, LANES};
use super::lanes::{Isa, Lanes, Task};

type Place = [f32; LANES];

pub(super) fn place(plane: &[f32], at: usize) -> &Place {
    &plane[at..].as_chunks::<LANES>().0[0]
}

pub(super) fn place_mut(plane: &mut [f32], at: usize) -> &mut Place {
    &mut plane[at..].as_chunks_mut::<LANES>().0[0]
}

pub(super) fn fill_interior(plane: &mut [f32], places: Blocked, value: f32) {
    for y in 0..places.height {
        plane[places.interior(y)].fill(value);
    }
}

/// The largest value of each window. Of equal ones the first counts, row by row, as in PyTorch.
///
/// Padded places never win: a window is cut to what of it lies in the input, and its padding is at
/// most half of it, so that something always does.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool {
    /// Geometry of the input.
    pub input: Blocked,
    /// Geometry of the output.
    pub output: Blocked,
    /// Window height and width.
    pub kernel: [usize; 2],
    /// Step in height and width.
    pub stride: [usize; 2],
    /// Places added on each side, in height and width; at most half of the kernel.
    pub padding: [usize; 2],
}

impl MaxPool {
    /// `y = max over the window of x`.
    pub fn forward(&self, isa: Isa, x: &[f32], y: &mut [f32]) {
        y.par_chunks_exact_mut(self.output.plane()).enumerate().for_each(|(plane, y)| {
            let x = &x[plane * self.input.plane()..][..self.input.plane()];
            isa.run(Largest { pool: self, x, y });
        });
    }

    /// Hands the gradient of each window to its largest value.
    ///
    /// Geometries of `dy` and `dx` are their own.
    pub fn backward(
        &self,
        isa: Isa,
        x: &[f32],
        (dy, dy_places): (&[f32], Blocked),
        (dx, dx_places): (&mut [f32], Blocked),
        accumulate: bool,
    ) {
        dx.par_chunks_exact_mut(dx_places.plane()).enumerate().for_each(|(plane, dx)| {
            let x = &x[plane * self.input.plane()..][..self.input.plane()];
            let dy = &dy[plane * dy_places.plane()..][..dy_places.plane()];
            if !accumulate {
                fill_interior(dx, dx_places, 0.0);
            }
            isa.run(ToLargest { pool: self, x, dy: (dy, dy_places), dx: (dx, dx_places) });
        });
    }

    /// Rows and columns of the input that the window of output place `(oy, ox)` covers.
    fn window(&self, oy: usize, ox: usize) -> [Range<usize>; 2] {
        let side = |d: usize, place: usize, size: usize| {
            let start = place * self.stride[d];
            let end = start + self.kernel[d] - self.padding[d];
            start.saturating_sub(self.padding[d])..end.min(size)
        };
        [side(0, oy, self.input.height), side(1, ox, self.input.width)]
    }
}

/// The largest value of each window of a plane.
struct Largest<'a> {
    pool: &'a MaxPool,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Task for Largest<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { pool, x, y } = self;
        for oy in 0..pool.output.height {
            for ox in 0..pool.output.width {
                let [rows, columns] = pool.window(oy, ox);
                let mut best = [f32::NEG_INFINITY; LANES];
                for iy in rows {
                    for ix in columns.clone() {
                        let values = place(x, pool.input.at(0, iy, ix));
                        for (best, &value) in best.iter_mut().zip(values) {
                            *best = if value > *best || value.is_nan() { value } else { *best };
                        }
                    }
                }
                *place_mut(y, pool.output.at(0, oy, ox)) = best;
            }
        }
    }
}

/// Adds the gradient of each window of a plane to the place of its largest value.
struct ToLargest<'a> {
    pool: &'a MaxPool,
    x: &'a [f32],
    dy: (&'a [f32], Blocked),
    dx: (&'a mut [f32], Blocked),
}

impl Task for ToLargest<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { pool, x, dy: (dy, dy_places), dx: (dx, dx_places) } = self;
        for oy in 0..pool.output.height {
            for ox in 0..pool.output.width {
                let [rows, columns] = pool.window(oy, ox);
                let mut best = *place(x, pool.input.at(0, rows.start, columns.start));
                // Which place of the window wins in each lane, counted row by row.
                let (mut winners, mut count) = ([0u32; LANES], 0);
                for iy in rows.clone() {
                    for ix in columns.clone() {
                        let values = place(x, pool.input.at(0, iy, ix));
                        for lane in 0..LANES {
                            let wins = values[lane] > best[lane];
                            best[lane] = if wins { values[lane] } else { best[lane] };
                            winners[lane] = if wins { count } else { winners[lane] };
                        }
                        count += 1;
                    }
                }
                let d = place(dy, dy_places.at(0, oy, ox));
                count = 0;
                for iy in rows {
                    for ix in columns.clone() {
                        let to = place_mut(dx, dx_places.at(0, iy, ix));
                        for lane in 0..LANES {
                            to[lane] += if winners[lane] == count { d[lane] } else { 0.0 };
                        }
                        count += 1;
                    }
                }
            }
        }
    }
}

/// The mean of each window. There is no padding.
#[derive(Clone, Copy, Debug)]
pub struct AvgPool {
    /// Geometry of the input.
    pub input: Blocked,
    /// Geometry of the output.
    pub output: Blocked,
    /// Window height and width.
    pub kernel: [usize; 2],
    /// Step in height and width.
    pub stride: [usize; 2],
}

impl AvgPool {
    fn share(&self) -> f32 {
        1.0 / (self.kernel[0] * self.kernel[1]) as f32
    }

    /// `y = mean over the window of x`. Sums run row by row.
    pub fn forward(&self, isa: Isa, x: &[f32], y: &mut [f32]) {
        y.par_chunks_exact_mut(self.output.plane()).enumerate().for_each(|(plane, y)| {
            let x = &x[plane * self.input.plane()..][..self.input.plane()];
            isa.run(Means { pool: self, x, y });
        });
    }

    /// Hands each place of a window its share of the window's gradient.
    ///
    /// Geometries of `dy` and `dx` are their own.
    pub fn backward(
        &self,
        isa: Isa,
        (dy, dy_places): (&[f32], Blocked),
        (dx, dx_places): (&mut [f32], Blocked),
        accumulate: bool,
    ) {
        dx.par_chunks_exact_mut(dx_places.plane()).enumerate().for_each(|(plane, dx)| {
            let dy = &dy[plane * dy_places.plane()..][..dy_places.plane()];
            if !accumulate {
                fill_interior(dx, dx_places, 0.0);
            }
            isa.run(Shares { pool: self, dy: (dy, dy_places), dx: (dx, dx_places) });
        });
    }

    /// Row `row` of the window of output place `(oy, ox)`, inside a plane of `places`.
    fn row(&self, places: Blocked, oy: usize, ox: usize, row: usize) -> Range<usize> {
        let start = places.at(0, oy * self.stride[0] + row, ox * self.stride[1]);
        start..start + self.kernel[1] * LANES
    }
}

/// The mean of each window of a plane.
struct Means<'a> {
    pool: &'a AvgPool,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Task for Means<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { pool, x, y } = self;
        for oy in 0..pool.output.height {
            for ox in 0..pool.output.width {
                let mut sums = L::splat(0.0);
                for row in 0..pool.kernel[0] {
                    for values in x[pool.row(pool.input, oy, ox, row)].as_chunks::<LANES>().0 {
                        sums = L::add(sums, L::of(values));
                    }
                }
                *place_mut(y, pool.output.at(0, oy, ox)) =
                    L::array(sums).map(|sum| sum * pool.share());
            }
        }
    }
}

/// Adds to each place of a plane its share of the gradients of the windows that it is in.
struct Shares<'a> {
    pool: &'a AvgPool,
    dy: (&'a [f32], Blocked),
    dx: (&'a mut [f32], Blocked),
}

impl Task for Shares<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { pool, dy: (dy, dy_places), dx: (dx, dx_places) } = self;
        for oy in 0..pool.output.height {
            for ox in 0..pool.output.width {
                let share = place(dy, dy_places.at(0, oy, ox)).map(|d| d * pool.share());
                let share = L::of(&share);
                for row in 0..pool.kernel[0] {
                    let to = &mut dx[pool.row(dx_places, oy, ox, row)];
                    for to in to.as_chunks_mut::<LANES>().0 {
                        L::to(to, L::add(L::of(to), share));
                    }
                }
            }
        }
    }
}
