//! Pooling: the largest value of each window, or its mean.

use std::ops::Range;

use rayon::prelude::*;

use super::blocked::{Blocked, LANES};

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
    pub fn forward(&self, x: &[f32], y: &mut [f32]) {
        y.par_chunks_exact_mut(self.output.plane()).enumerate().for_each(|(plane, y)| {
            let x = &x[plane * self.input.plane()..][..self.input.plane()];
            for oy in 0..self.output.height {
                for ox in 0..self.output.width {
                    let [rows, columns] = self.window(oy, ox);
                    let mut best = [f32::NEG_INFINITY; LANES];
                    for iy in rows {
                        for ix in columns.clone() {
                            for (best, value) in
                                best.iter_mut().zip(place(x, self.input.at(0, iy, ix)))
                            {
                                *best =
                                    if *value > *best || value.is_nan() { *value } else { *best };
                            }
                        }
                    }
                    *place_mut(y, self.output.at(0, oy, ox)) = best;
                }
            }
        });
    }

    /// Hands the gradient of each window to its largest value.
    ///
    /// Geometries of `dy` and `dx` are their own.
    pub fn backward(
        &self,
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
            for oy in 0..self.output.height {
                for ox in 0..self.output.width {
                    let d = place(dy, dy_places.at(0, oy, ox));
                    let winners = self.winners(x, dx_places, oy, ox);
                    for (lane, (at, d)) in winners.into_iter().zip(d).enumerate() {
                        dx[at + lane] += d;
                    }
                }
            }
        });
    }

    /// Where in `dx` the largest value of the window of output place `(oy, ox)` lies, for each lane.
    fn winners(&self, x: &[f32], dx: Blocked, oy: usize, ox: usize) -> [usize; LANES] {
        let [rows, columns] = self.window(oy, ox);
        let mut best = *place(x, self.input.at(0, rows.start, columns.start));
        let mut winners = [dx.at(0, rows.start, columns.start); LANES];
        for iy in rows {
            for ix in columns.clone() {
                let (values, at) = (place(x, self.input.at(0, iy, ix)), dx.at(0, iy, ix));
                for lane in 0..LANES {
                    if values[lane] > best[lane] {
                        (best[lane], winners[lane]) = (values[lane], at);
                    }
                }
            }
        }
        winners
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
    pub fn forward(&self, x: &[f32], y: &mut [f32]) {
        y.par_chunks_exact_mut(self.output.plane()).enumerate().for_each(|(plane, y)| {
            let x = &x[plane * self.input.plane()..][..self.input.plane()];
            for oy in 0..self.output.height {
                for ox in 0..self.output.width {
                    let mut sums = [0.0; LANES];
                    for row in 0..self.kernel[0] {
                        for values in x[self.row(self.input, oy, ox, row)].as_chunks::<LANES>().0 {
                            for (sum, value) in sums.iter_mut().zip(values) {
                                *sum += value;
                            }
                        }
                    }
                    *place_mut(y, self.output.at(0, oy, ox)) = sums.map(|sum| sum * self.share());
                }
            }
        });
    }

    /// Hands each place of a window its share of the window's gradient.
    ///
    /// Geometries of `dy` and `dx` are their own.
    pub fn backward(
        &self,
        (dy, dy_places): (&[f32], Blocked),
        (dx, dx_places): (&mut [f32], Blocked),
        accumulate: bool,
    ) {
        dx.par_chunks_exact_mut(dx_places.plane()).enumerate().for_each(|(plane, dx)| {
            let dy = &dy[plane * dy_places.plane()..][..dy_places.plane()];
            if !accumulate {
                fill_interior(dx, dx_places, 0.0);
            }
            for oy in 0..self.output.height {
                for ox in 0..self.output.width {
                    let d = place(dy, dy_places.at(0, oy, ox)).map(|d| d * self.share());
                    for row in 0..self.kernel[0] {
                        let to = &mut dx[self.row(dx_places, oy, ox, row)];
                        for to in to.as_chunks_mut::<LANES>().0 {
                            for (to, d) in to.iter_mut().zip(d) {
                                *to += d;
                            }
                        }
                    }
                }
            }
        });
    }

    /// Row `row` of the window of output place `(oy, ox)`, inside a plane of `places`.
    fn row(&self, places: Blocked, oy: usize, ox: usize, row: usize) -> Range<usize> {
        let start = places.at(0, oy * self.stride[0] + row, ox * self.stride[1]);
        start..start + self.kernel[1] * LANES
    }
}
