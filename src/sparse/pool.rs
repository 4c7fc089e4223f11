//! Pooling, and the shortcut without parameters.

use rayon::prelude::*;

use super::blocked::{Blocked, LANES};

type Place = [f32; LANES];

fn place(plane: &[f32], at: usize) -> &Place {
    &plane[at..].as_chunks::<LANES>().0[0]
}

fn place_mut(plane: &mut [f32], at: usize) -> &mut Place {
    &mut plane[at..].as_chunks_mut::<LANES>().0[0]
}

fn fill_interior(plane: &mut [f32], places: Blocked, value: f32) {
    for y in 0..places.height {
        plane[places.interior(y)].fill(value);
    }
}

/// The largest value of each window. Of equal ones the first counts, row by row, as in PyTorch.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool {
    /// Geometry of the input.
    pub input: Blocked,
    /// Geometry of the output.
    pub output: Blocked,
    /// Window height and width.
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
}

impl MaxPool {
    /// `y = max over the window of x`.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) {
        y.par_chunks_exact_mut(self.output.plane()).enumerate().for_each(|(plane, y)| {
            let x = &x[plane * self.input.plane()..][..self.input.plane()];
            self.windows(|to, from| {
                let mut best = *place(x, from[0]);
                for &at in &from[1..] {
                    for (best, value) in best.iter_mut().zip(place(x, at)) {
                        *best = if *value > *best || value.is_nan() { *value } else { *best };
                    }
                }
                *place_mut(y, to) = best;
            });
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
                    let at = |i: usize| {
                        (oy * self.stride + i / self.kernel, ox * self.stride + i % self.kernel)
                    };
                    let mut best = *place(x, self.input.at(0, at(0).0, at(0).1));
                    let mut which = [0usize; LANES];
                    for i in 1..self.kernel * self.kernel {
                        let values = place(x, self.input.at(0, at(i).0, at(i).1));
                        for lane in 0..LANES {
                            if values[lane] > best[lane] {
                                (best[lane], which[lane]) = (values[lane], i);
                            }
                        }
                    }
                    for lane in 0..LANES {
                        let (y, x) = at(which[lane]);
                        dx[dx_places.at(0, y, x) + lane] += d[lane];
                    }
                }
            }
        });
    }

    /// Calls `f(output place, input places)` for each window of a plane.
    fn windows(&self, mut f: impl FnMut(usize, &[usize])) {
        let mut from = Vec::with_capacity(self.kernel * self.kernel);
        for oy in 0..self.output.height {
            for ox in 0..self.output.width {
                from.clear();
                for i in 0..self.kernel * self.kernel {
                    let (y, x) = (i / self.kernel, i % self.kernel);
                    from.push(self.input.at(0, oy * self.stride + y, ox * self.stride + x));
                }
                f(self.output.at(0, oy, ox), &from);
            }
        }
    }
}

/// The mean over height and width.
#[derive(Clone, Copy, Debug)]
pub struct GlobalAvgPool {
    /// Geometry of the input.
    pub input: Blocked,
    /// Geometry of the output, one place a channel.
    pub output: Blocked,
}

impl GlobalAvgPool {
    fn share(&self) -> f32 {
        1.0 / (self.input.height * self.input.width) as f32
    }

    /// `y[c] = mean of x[c]`. Sums run row by row.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) {
        y.par_chunks_exact_mut(self.output.plane()).enumerate().for_each(|(plane, y)| {
            let x = &x[plane * self.input.plane()..][..self.input.plane()];
            let mut sums = [0.0; LANES];
            for row in 0..self.input.height {
                for values in x[self.input.interior(row)].as_chunks::<LANES>().0 {
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum += value;
                    }
                }
            }
            *place_mut(y, self.output.at(0, 0, 0)) = sums.map(|sum| sum * self.share());
        });
    }

    /// Hands each place its share of the gradient.
    pub fn backward(
        &self,
        (dy, dy_places): (&[f32], Blocked),
        (dx, dx_places): (&mut [f32], Blocked),
        accumulate: bool,
    ) {
        dx.par_chunks_exact_mut(dx_places.plane()).enumerate().for_each(|(plane, dx)| {
            let dy = &dy[plane * dy_places.plane()..][..dy_places.plane()];
            let d = place(dy, dy_places.at(0, 0, 0)).map(|d| d * self.share());
            for row in 0..dx_places.height {
                for to in dx[dx_places.interior(row)].as_chunks_mut::<LANES>().0 {
                    for (to, d) in to.iter_mut().zip(d) {
                        *to = if accumulate { *to + d } else { d };
                    }
                }
            }
        });
    }
}

/// Every `stride`-th row and column, with zero channels before and behind (option A of ResNet).
#[derive(Clone, Copy, Debug)]
pub struct PadShortcut {
    /// Geometry of the input.
    pub input: Blocked,
    /// Geometry of the output.
    pub output: Blocked,
    /// Step in both directions.
    pub stride: usize,
}

impl PadShortcut {
    fn before(&self) -> usize {
        (self.output.channels - self.input.channels) / 2
    }

    /// `y[before + c, i, j] = x[c, stride * i, stride * j]`, zero elsewhere.
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
                        *place(x, from.at(0, i * self.stride, j * self.stride));
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
                    let at = place_mut(dx, to.at(0, i * self.stride, j * self.stride));
                    for (to, d) in at.iter_mut().zip(d) {
                        *to += d;
                    }
                }
            }
        });
    }
}
