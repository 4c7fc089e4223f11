//! Batch normalisation, with the ReLU behind it where there is one, forward and backward.
//!
//! `y = (x - mean) / sqrt(variance + epsilon) * scale + shift`
//!
//! Training takes mean and (biased) variance over the samples and places of each channel, and moves
//! the running statistics by `momentum`, with the unbiased variance, as PyTorch does. Frozen and
//! evaluating networks take the running statistics. Sums run in `f32` within a plane's lanes and in
//! `f64` over planes; variance is taken around the mean in a second pass.

use rayon::prelude::*;

use super::blocked::{Blocked, LANES};
use super::lanes::{Isa, Lanes, Task};
use super::pointwise::Plane;

/// What one channel's backward pass needs to know of its forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Saved {
    /// The mean that was subtracted.
    pub mean: f32,
    /// One over the standard deviation that was divided by.
    pub inverse: f32,
}

/// A batch normalisation between two geometries.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm {
    /// Geometry of `x` and of its gradient.
    pub input: Blocked,
    /// Geometry of `y` and of its gradient.
    pub output: Blocked,
    /// Added to the variance.
    pub epsilon: f32,
    /// Whether `max(y, 0)` is written.
    pub relu: bool,
}

/// What is summed over a plane.
#[derive(Clone, Copy)]
enum Terms {
    /// `x`.
    Values,
    /// `(x - centre)^2`.
    Spread(f32),
    /// `y`, and `y * (x - centre)`.
    Products(f32),
}

/// Sums over one channel of `x`, and of `y` where [`Terms::Products`] asks for it.
fn sum_channel(
    [x, y]: [(&[f32], Blocked); 2],
    channel: usize,
    samples: usize,
    isa: Isa,
    terms: Terms,
) -> [f64; 2] {
    let mut sums = [0.0; 2];
    let blocks = x.0.chunks_exact(x.1.block()).zip(y.0.chunks_exact(y.1.block()));
    for (block, (a, b)) in blocks.enumerate() {
        let a = &a[channel * x.1.plane()..][..x.1.plane()];
        let b = &b[channel * y.1.plane()..][..y.1.plane()];
        let lanes = isa.run(SumPlane { x: (a, x.1), y: (b, y.1), terms });
        add_lanes(&mut sums, &lanes, Blocked::lanes_in(block, samples));
    }
    sums
}

/// Adds the lanes that hold samples.
fn add_lanes(sums: &mut [f64; 2], lanes: &[[f32; LANES]; 2], used: usize) {
    for (sum, lanes) in sums.iter_mut().zip(lanes) {
        *sum += lanes.iter().take(used).map(|lane| f64::from(*lane)).sum::<f64>();
    }
}

struct SumPlane<'a> {
    x: (&'a [f32], Blocked),
    y: (&'a [f32], Blocked),
    terms: Terms,
}

impl SumPlane<'_> {
    /// Calls `f(sums, x, y)` at every place.
    #[inline(always)]
    fn each<L: Lanes>(&self, f: impl Fn(&mut [L::V; 2], L::V, L::V)) -> [[f32; LANES]; 2] {
        let mut sums = [L::splat(0.0); 2];
        for row in 0..self.x.1.height {
            let x = self.x.0[self.x.1.interior(row)].as_chunks::<LANES>().0;
            let y = self.y.0[self.y.1.interior(row)].as_chunks::<LANES>().0;
            for (x, y) in x.iter().zip(y) {
                f(&mut sums, L::of(x), L::of(y));
            }
        }
        sums.map(L::array)
    }
}

impl Task for SumPlane<'_> {
    type Out = [[f32; LANES]; 2];

    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Out {
        match self.terms {
            Terms::Values => self.each::<L>(|sums, x, _| sums[0] = L::add(sums[0], x)),
            Terms::Spread(centre) => {
                let centre = L::splat(centre);
                self.each::<L>(|sums, x, _| {
                    let away = L::sub(x, centre);
                    sums[0] = L::fma(away, away, sums[0]);
                })
            }
            Terms::Products(centre) => {
                let centre = L::splat(centre);
                self.each::<L>(|sums, x, y| {
                    sums[0] = L::add(sums[0], y);
                    sums[1] = L::fma(y, L::sub(x, centre), sums[1]);
                })
            }
        }
    }
}

impl BatchNorm {
    /// The statistics of a batch: fills `saved`, and moves `running` = (mean, variance).
    pub fn statistics(
        &self,
        isa: Isa,
        x: &[f32],
        samples: usize,
        saved: &mut [Saved],
        running: (&mut [f32], &mut [f32]),
        momentum: f32,
    ) {
        let places = (samples * self.input.height * self.input.width) as f64;
        let pair = [(x, self.input); 2];
        let channels =
            saved.par_iter_mut().zip(running.0.par_iter_mut().zip(running.1.par_iter_mut()));
        channels.enumerate().for_each(|(channel, (saved, (mean, variance)))| {
            let total = sum_channel(pair, channel, samples, isa, Terms::Values)[0];
            let centre = (total / places) as f32;
            let spread = sum_channel(pair, channel, samples, isa, Terms::Spread(centre))[0];
            let biased = spread / places;
            let unbiased = spread / (places - 1.0).max(1.0);
            *saved = Saved {
                mean: centre,
                inverse: (1.0 / (biased + f64::from(self.epsilon)).sqrt()) as f32,
            };
            *mean += momentum * (centre - *mean);
            *variance += momentum * (unbiased as f32 - *variance);
        });
    }

    /// `saved` from the running statistics instead of a batch's.
    pub fn frozen(&self, saved: &mut [Saved], mean: &[f32], variance: &[f32]) {
        for ((saved, &mean), &variance) in saved.iter_mut().zip(mean).zip(variance) {
            let inverse = 1.0 / (f64::from(variance) + f64::from(self.epsilon)).sqrt();
            *saved = Saved { mean, inverse: inverse as f32 };
        }
    }

    /// `y = normalised(x) * scale + shift`, then the ReLU if there is one.
    pub fn forward(
        &self,
        isa: Isa,
        x: &[f32],
        saved: &[Saved],
        affine: (&[f32], &[f32]),
        y: &mut [f32],
    ) {
        let relu = self.relu;
        y.par_chunks_exact_mut(self.output.plane()).enumerate().for_each(|(plane, y)| {
            let channel = plane % self.output.channels;
            let x = &x[plane * self.input.plane()..][..self.input.plane()];
            let slope = saved[channel].inverse * affine.0[channel];
            let start = affine.1[channel] - saved[channel].mean * slope;
            let a = (x, self.input);
            isa.run(Plane {
                a,
                b: a,
                to: (y, self.output),
                f: |_, x: f32, _| {
                    let y = x * slope + start;
                    if relu && y < 0.0 { 0.0 } else { y }
                },
            });
        });
    }

    /// Adds to the gradients of scale and shift, and writes (or adds to) the gradient of `x`.
    ///
    /// `dy` is zero in lanes past the last sample; so is what is written. With the ReLU, `y` says
    /// where it was open. `frozen` takes the statistics as constants.
    #[allow(clippy::too_many_arguments)]
    pub fn backward(
        &self,
        isa: Isa,
        (x, y, dy): (&[f32], &[f32], &[f32]),
        dy_places: Blocked,
        samples: usize,
        saved: &[Saved],
        scale: &[f32],
        (dscale, dshift): (&mut [f32], &mut [f32]),
        (dx, dx_places, accumulate): (&mut [f32], Blocked, bool),
        frozen: bool,
    ) {
        let places = (samples * self.input.height * self.input.width) as f32;
        let relu = self.relu;
        let sums: Vec<[f32; 2]> = (0..self.input.channels)
            .into_par_iter()
            .map(|channel| self.gradient_sums(isa, (x, y, dy), dy_places, samples, channel, saved))
            .collect();
        for (channel, [shift, scale]) in sums.iter().enumerate() {
            dshift[channel] += shift;
            dscale[channel] += scale;
        }
        dx.par_chunks_exact_mut(dx_places.plane()).enumerate().for_each(|(plane, dx)| {
            let (block, channel) = (plane / self.input.channels, plane % self.input.channels);
            let live = Blocked::lanes_in(block, samples);
            let slope = saved[channel].inverse * scale[channel];
            let [shift, spread] = if frozen { [0.0; 2] } else { sums[channel].map(|s| s / places) };
            let (mean, inverse) = (saved[channel].mean, saved[channel].inverse);
            let x = (&x[plane * self.input.plane()..][..self.input.plane()], self.input);
            let dy = (&dy[plane * dy_places.plane()..][..dy_places.plane()], dy_places);
            let mut open = Vec::new();
            let dy = if relu {
                let y = (&y[plane * self.output.plane()..][..self.output.plane()], self.output);
                open_gradient(isa, dy, y, &mut open)
            } else {
                dy
            };
            // slope * (dy - shift - (x - mean) * inverse * spread), with the constants drawn together.
            let (tilt, start) =
                (-slope * inverse * spread, slope * (mean * inverse * spread - shift));
            let to = (&mut *dx, dx_places);
            if accumulate {
                let f = |before, x, dy| before + (slope * dy + (x * tilt + start));
                isa.run(Plane { a: x, b: dy, to, f });
            } else {
                isa.run(Plane { a: x, b: dy, to, f: |_, x, dy| slope * dy + (x * tilt + start) });
            }
            close_lanes(dx, dx_places, live);
        });
    }

    /// The sums over a channel of `dy` and of `dy * normalised(x)`.
    fn gradient_sums(
        &self,
        isa: Isa,
        (x, y, dy): (&[f32], &[f32], &[f32]),
        dy_places: Blocked,
        samples: usize,
        channel: usize,
        saved: &[Saved],
    ) -> [f32; 2] {
        let Saved { mean, inverse } = saved[channel];
        let terms = Terms::Products(mean);
        let mut sums = [0.0; 2];
        if self.relu {
            let mut open = Vec::new();
            for block in 0..x.len() / self.input.block() {
                let plane = block * self.input.channels + channel;
                let x = (&x[plane * self.input.plane()..][..self.input.plane()], self.input);
                let y = (&y[plane * self.output.plane()..][..self.output.plane()], self.output);
                let dy = (&dy[plane * dy_places.plane()..][..dy_places.plane()], dy_places);
                let y = open_gradient(isa, dy, y, &mut open);
                let lanes = isa.run(SumPlane { x, y, terms });
                add_lanes(&mut sums, &lanes, Blocked::lanes_in(block, samples));
            }
        } else {
            sums = sum_channel([(x, self.input), (dy, dy_places)], channel, samples, isa, terms);
        }
        [sums[0] as f32, (sums[1] * f64::from(inverse)) as f32]
    }
}

/// Zeroes the lanes of a plane past the `live` first: no sample is there.
fn close_lanes(plane: &mut [f32], places: Blocked, live: usize) {
    if live == LANES {
        return;
    }
    for row in 0..places.height {
        for place in plane[places.interior(row)].as_chunks_mut::<LANES>().0 {
            place[live..].fill(0.0);
        }
    }
}

/// The plane `dy` where `y > 0`, zero elsewhere, in `open`, without a halo.
fn open_gradient<'a>(
    isa: Isa,
    dy: (&[f32], Blocked),
    y: (&[f32], Blocked),
    open: &'a mut Vec<f32>,
) -> (&'a [f32], Blocked) {
    let flat = Blocked { channels: 1, halo: [0, 0], ..y.1 };
    open.resize(flat.plane(), 0.0);
    let f = |_: f32, dy: f32, y: f32| if y > 0.0 { dy } else { 0.0 };
    isa.run(Plane { a: dy, b: y, to: (&mut open[..], flat), f });
    (open, flat)
}
