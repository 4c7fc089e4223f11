//! Batch normalisation, with the ReLU behind it where there is one, forward and backward.
//!
//! `y = (x - mean) / sqrt(variance + epsilon) * scale + shift`
//!
//! Training takes mean and (biased) variance over the samples and places of each channel, and moves
//! the running statistics by `momentum`, with the unbiased variance, as PyTorch does. Frozen and
//! evaluating networks take the running statistics. Sums run in `f32` within a plane's lanes and in
//! `f64` over planes. A plane's spread is summed around its first value, in the pass that sums its
//! values, and planes are put together by the rule of Chan, Golub and LeVeque (*Updating Formulae and
//! a Pairwise Algorithm for Computing Sample Variances*, 1979): no second pass, no cancellation.
//!
//! Backward, whether the rectifier was open is computed from `x` again: `y` is not read.

use rayon::prelude::*;

use super::blocked::{Blocked, LANES};
use super::lanes::{Isa, Lanes, Task};

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

/// The sum of lanes that hold samples.
fn live(lanes: &[f32; LANES], used: usize) -> f64 {
    lanes.iter().take(used).map(|lane| f64::from(*lane)).sum()
}

/// Sums over a plane of `x - centre` and of its square, by lane.
struct Spread<'a> {
    x: &'a [f32],
    places: Blocked,
    centre: f32,
}

impl Task for Spread<'_> {
    type Out = [[f32; LANES]; 2];

    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Out {
        let centre = L::splat(self.centre);
        let mut sums = [L::splat(0.0); 2];
        for row in 0..self.places.height {
            for x in self.x[self.places.interior(row)].as_chunks::<LANES>().0 {
                let away = L::sub(L::of(x), centre);
                sums = [L::add(sums[0], away), L::fma(away, away, sums[1])];
            }
        }
        sums.map(L::array)
    }
}

/// Mean and spread of values seen so far.
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    /// The sum of squared distances from the mean.
    spread: f64,
}

impl Moments {
    /// Those of a plane's samples.
    fn of(isa: Isa, x: &[f32], places: Blocked, used: usize) -> Self {
        let count = (used * places.height * places.width) as f64;
        let centre = x.get(places.at(0, 0, 0)).copied().unwrap_or_default();
        let sums = isa.run(Spread { x, places, centre });
        let [first, second] = sums.map(|lanes| live(&lanes, used));
        let spread = (second - first * first / count).max(0.0);
        Self { count, mean: f64::from(centre) + first / count, spread }
    }

    /// Those of both.
    fn with(self, other: Self) -> Self {
        if self.count == 0.0 {
            return other;
        }
        let count = self.count + other.count;
        let apart = other.mean - self.mean;
        let spread = self.spread + other.spread + apart * apart * self.count * other.count / count;
        Self { count, mean: self.mean + apart * other.count / count, spread }
    }
}

/// What a channel's values are multiplied by, and what is added then.
#[derive(Clone, Copy)]
struct Affine {
    slope: f32,
    start: f32,
}

impl Affine {
    fn of(saved: Saved, scale: f32, shift: f32) -> Self {
        let slope = saved.inverse * scale;
        Self { slope, start: shift - saved.mean * slope }
    }
}

/// `y = x * slope + start`, then the rectifier if there is one.
struct Forward<'a> {
    x: (&'a [f32], Blocked),
    y: (&'a mut [f32], Blocked),
    affine: Affine,
    relu: bool,
}

impl Task for Forward<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let (slope, start) = (L::splat(self.affine.slope), L::splat(self.affine.start));
        for row in 0..self.x.1.height {
            let x = self.x.0[self.x.1.interior(row)].as_chunks::<LANES>().0;
            let y = self.y.0[self.y.1.interior(row)].as_chunks_mut::<LANES>().0;
            for (x, y) in x.iter().zip(y) {
                let value = L::fma(L::of(x), slope, start);
                L::to(y, if self.relu { L::relu(value) } else { value });
            }
        }
    }
}

/// Sums over a plane, by lane, of `dy` where the rectifier was open, and of it times `x - centre`.
struct Products<'a> {
    x: (&'a [f32], Blocked),
    dy: (&'a [f32], Blocked),
    centre: f32,
    /// What decides whether the rectifier was open, if there is one.
    open: Option<Affine>,
}

impl Products<'_> {
    #[inline(always)]
    fn each<L: Lanes, const OPEN: bool>(&self, affine: Affine) -> [[f32; LANES]; 2] {
        let centre = L::splat(self.centre);
        let (slope, start) = (L::splat(affine.slope), L::splat(affine.start));
        let mut sums = [L::splat(0.0); 2];
        for row in 0..self.x.1.height {
            let x = self.x.0[self.x.1.interior(row)].as_chunks::<LANES>().0;
            let dy = self.dy.0[self.dy.1.interior(row)].as_chunks::<LANES>().0;
            for (x, dy) in x.iter().zip(dy) {
                let (x, mut dy) = (L::of(x), L::of(dy));
                if OPEN {
                    dy = L::open(dy, L::fma(x, slope, start));
                }
                sums = [L::add(sums[0], dy), L::fma(dy, L::sub(x, centre), sums[1])];
            }
        }
        sums.map(L::array)
    }
}

impl Task for Products<'_> {
    type Out = [[f32; LANES]; 2];

    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Out {
        match self.open {
            Some(affine) => self.each::<L, true>(affine),
            None => self.each::<L, false>(Affine { slope: 0.0, start: 0.0 }),
        }
    }
}

/// `dx (+)= slope * dy + (x * tilt.slope + tilt.start)`, with `dy` where the rectifier was open.
struct Backward<'a> {
    x: (&'a [f32], Blocked),
    dy: (&'a [f32], Blocked),
    dx: (&'a mut [f32], Blocked),
    slope: f32,
    tilt: Affine,
    open: Option<Affine>,
    accumulate: bool,
}

impl Task for Backward<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let scale = L::splat(self.slope);
        let (tilt, level) = (L::splat(self.tilt.slope), L::splat(self.tilt.start));
        let affine = self.open.unwrap_or(Affine { slope: 0.0, start: 0.0 });
        let (slope, start) = (L::splat(affine.slope), L::splat(affine.start));
        for row in 0..self.x.1.height {
            let x = self.x.0[self.x.1.interior(row)].as_chunks::<LANES>().0;
            let dy = self.dy.0[self.dy.1.interior(row)].as_chunks::<LANES>().0;
            let dx = self.dx.0[self.dx.1.interior(row)].as_chunks_mut::<LANES>().0;
            for ((x, dy), dx) in x.iter().zip(dy).zip(dx) {
                let (x, mut dy) = (L::of(x), L::of(dy));
                if self.open.is_some() {
                    dy = L::open(dy, L::fma(x, slope, start));
                }
                let value = L::fma(scale, dy, L::fma(x, tilt, level));
                L::to(dx, if self.accumulate { L::add(L::of(dx), value) } else { value });
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
        let plane = self.input.plane();
        let channels =
            saved.par_iter_mut().zip(running.0.par_iter_mut().zip(running.1.par_iter_mut()));
        channels.enumerate().for_each(|(channel, (saved, (mean, variance)))| {
            let mut moments = Moments::default();
            for (block, x) in x.chunks_exact(self.input.block()).enumerate() {
                let used = Blocked::lanes_in(block, samples);
                let x = &x[channel * plane..][..plane];
                moments = moments.with(Moments::of(isa, x, self.input, used));
            }
            let Moments { count: places, mean: centre, spread } = moments;
            let (centre, biased) = (centre as f32, spread / places);
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
        y.par_chunks_exact_mut(self.output.plane()).enumerate().for_each(|(plane, y)| {
            let channel = plane % self.output.channels;
            let x = &x[plane * self.input.plane()..][..self.input.plane()];
            let affine = Affine::of(saved[channel], affine.0[channel], affine.1[channel]);
            let (x, y) = ((x, self.input), (y, self.output));
            isa.run(Forward { x, y, affine, relu: self.relu });
        });
    }

    /// Adds to the gradients of scale and shift, and writes (or adds to) the gradient of `x`.
    ///
    /// `dy` is zero in lanes past the last sample; so is what is written. `frozen` takes the
    /// statistics as constants.
    #[allow(clippy::too_many_arguments)]
    pub fn backward(
        &self,
        isa: Isa,
        x: &[f32],
        (dy, dy_places): (&[f32], Blocked),
        samples: usize,
        saved: &[Saved],
        affine: (&[f32], &[f32]),
        (dscale, dshift): (&mut [f32], &mut [f32]),
        (dx, dx_places, accumulate): (&mut [f32], Blocked, bool),
        frozen: bool,
    ) {
        let places = (samples * self.input.height * self.input.width) as f32;
        let open = |channel: usize| {
            self.relu.then(|| Affine::of(saved[channel], affine.0[channel], affine.1[channel]))
        };
        let pair = |plane: usize| {
            let x = (&x[plane * self.input.plane()..][..self.input.plane()], self.input);
            (x, (&dy[plane * dy_places.plane()..][..dy_places.plane()], dy_places))
        };
        let sum = |channel: usize| {
            let Saved { mean: centre, inverse } = saved[channel];
            let mut sums = [0.0; 2];
            for block in 0..x.len() / self.input.block() {
                let (x, dy) = pair(block * self.input.channels + channel);
                let lanes = isa.run(Products { x, dy, centre, open: open(channel) });
                for (sum, lanes) in sums.iter_mut().zip(&lanes) {
                    *sum += live(lanes, Blocked::lanes_in(block, samples));
                }
            }
            [sums[0] as f32, (sums[1] * f64::from(inverse)) as f32]
        };
        let sums: Vec<[f32; 2]> = (0..self.input.channels).into_par_iter().map(sum).collect();
        for (channel, [shift, scale]) in sums.iter().enumerate() {
            dshift[channel] += shift;
            dscale[channel] += scale;
        }
        dx.par_chunks_exact_mut(dx_places.plane()).enumerate().for_each(|(plane, dx)| {
            let (block, channel) = (plane / self.input.channels, plane % self.input.channels);
            let Saved { mean, inverse } = saved[channel];
            let slope = inverse * affine.0[channel];
            let [shift, spread] = if frozen { [0.0; 2] } else { sums[channel].map(|s| s / places) };
            // slope * (dy - shift - (x - mean) * inverse * spread), with the constants drawn together.
            let tilt = Affine {
                slope: -slope * inverse * spread,
                start: slope * (mean * inverse * spread - shift),
            };
            let ((x, dy), open) = (pair(plane), open(channel));
            let to = (&mut *dx, dx_places);
            isa.run(Backward { x, dy, dx: to, slope, tilt, open, accumulate });
            close_lanes(dx, dx_places, Blocked::lanes_in(block, samples));
        });
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
