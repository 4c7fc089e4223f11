//! Batch normalisation, with the addition and the ReLU behind it where there are any, forward and
//! backward.
//!
//! `y = (x - mean) / sqrt(variance + epsilon) * scale + shift (+ addend)`
//!
//! Training takes mean and (biased) variance over the samples and places of each channel, and moves
//! the running statistics by `momentum`, with the unbiased variance, as PyTorch does. Frozen and
//! evaluating networks take the running statistics. Sums run in `f32` within a plane's lanes and in
//! `f64` over planes. A plane's spread is summed around its first value, in the pass that sums its
//! values, and planes are put together by the rule of Chan, Golub and LeVeque (*Updating Formulae and
//! a Pairwise Algorithm for Computing Sample Variances*, 1979): no second pass, no cancellation.
//!
//! A channel goes through all of its passes before the next: what the first pass read, the second
//! finds in a near cache.
//!
//! Backward, whether the rectifier was open is computed from `x` again: `y` is not read. Only behind
//! an addition it is; `dy` is then closed in place, and what is left is the addend's gradient too.

use rayon::prelude::*;

use super::blocked::Blocked;
use super::lanes::Isa;
use super::norm_planes::{
    Affine, Backward, Closing, Forward, Moments, Plane, Products, close_lanes, live,
};

/// What one channel's backward pass needs to know of its forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Saved {
    /// The mean that was subtracted.
    pub mean: f32,
    /// One over the standard deviation that was divided by.
    pub inverse: f32,
}

/// A batch normalisation.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm {
    /// Geometry of `x`.
    pub input: Blocked,
    /// Added to the variance.
    pub epsilon: f32,
    /// Whether `max(y, 0)` is written.
    pub relu: bool,
}

/// What a batch norm reads in both directions.
#[derive(Clone, Copy, Debug)]
pub struct Operands<'a> {
    /// What is normalised.
    pub x: &'a [f32],
    /// One factor a channel.
    pub scale: &'a [f32],
    /// One summand a channel.
    pub shift: &'a [f32],
}

/// A tensor whose interior is written.
#[derive(Debug)]
pub struct Target<'a> {
    /// Its values.
    pub values: &'a mut [f32],
    /// Where they lie.
    pub places: Blocked,
    /// Whether its halo is to be zeroed: another tensor may have lain there.
    pub clear: bool,
}

/// Running statistics, to be moved by those of a batch.
#[derive(Debug)]
pub struct Running<'a> {
    /// One mean a channel.
    pub mean: &'a mut [f32],
    /// One variance a channel.
    pub variance: &'a mut [f32],
    /// The weight of the batch, from 0 to 1.
    pub momentum: f32,
}

/// The gradients that a batch norm reads and writes.
#[derive(Debug)]
pub struct NormGradients<'a> {
    /// The gradient of `y`: zero in lanes past the last sample.
    pub dy: (&'a mut [f32], Blocked),
    /// `y`, where a rectifier stands behind an addition: `dy` is closed in place where it was shut.
    pub y: Option<(&'a [f32], Blocked)>,
    /// The gradient of the scale, which is added to.
    pub dscale: &'a mut [f32],
    /// The gradient of the shift, which is added to.
    pub dshift: &'a mut [f32],
    /// The gradient of `x`: zero in lanes past the last sample.
    pub dx: Target<'a>,
    /// Whether the gradient of `x` is added to what is there.
    pub accumulate: bool,
}

/// Plane `index` of `values`.
fn plane(values: &[f32], places: Blocked, index: usize) -> Plane<'_> {
    (&values[index * places.plane()..][..places.plane()], places)
}

/// The planes of `values`, channel by channel, those of all blocks together.
fn by_channel(values: &mut [f32], places: Blocked) -> Vec<&mut [f32]> {
    let mut blocks: Vec<_> = values
        .chunks_exact_mut(places.block())
        .map(|block| block.chunks_exact_mut(places.plane()))
        .collect();
    let mut planes = Vec::with_capacity(blocks.len() * places.channels);
    for _ in 0..places.channels {
        planes.extend(blocks.iter_mut().filter_map(Iterator::next));
    }
    planes
}

impl Saved {
    fn affine(self, scale: f32, shift: f32) -> Affine {
        let slope = self.inverse * scale;
        Affine { slope, start: shift - self.mean * slope }
    }

    /// `slope * (dy - shift - (x - mean) * inverse * spread)`, with the constants drawn together:
    /// what `dy` is multiplied by, and what of `x` is added.
    fn tilt(self, scale: f32, [shift, spread]: [f32; 2]) -> (f32, Affine) {
        let Self { mean, inverse } = self;
        let slope = inverse * scale;
        let tilt = Affine {
            slope: -slope * inverse * spread,
            start: slope * (mean * inverse * spread - shift),
        };
        (slope, tilt)
    }
}

impl BatchNorm {
    /// `saved` from the running statistics instead of a batch's.
    pub fn frozen(&self, saved: &mut [Saved], mean: &[f32], variance: &[f32]) {
        for ((saved, &mean), &variance) in saved.iter_mut().zip(mean).zip(variance) {
            let inverse = 1.0 / (f64::from(variance) + f64::from(self.epsilon)).sqrt();
            *saved = Saved { mean, inverse: inverse as f32 };
        }
    }

    /// `y = normalised(x) * scale + shift (+ addend)`, then the ReLU if there is one, by the
    /// statistics in `saved`.
    pub fn forward(
        &self,
        isa: Isa,
        of: Operands<'_>,
        addend: Option<(&[f32], Blocked)>,
        saved: &[Saved],
        to: Target<'_>,
    ) {
        let (places, clear) = (to.places, to.clear);
        to.values.par_chunks_exact_mut(places.plane()).enumerate().for_each(|(index, y)| {
            let saved = saved[index % places.channels];
            self.normalise(isa, of, addend, saved, index, (y, places, clear));
        });
    }

    /// As [`BatchNorm::forward`], by the statistics of the `samples` samples in `x`: fills `saved`,
    /// and moves `running`.
    #[allow(clippy::too_many_arguments)]
    pub fn train(
        &self,
        isa: Isa,
        of: Operands<'_>,
        addend: Option<(&[f32], Blocked)>,
        samples: usize,
        saved: &mut [Saved],
        running: Running<'_>,
        to: Target<'_>,
    ) {
        let (places, clear) = (to.places, to.clear);
        let mut planes = by_channel(to.values, places);
        let blocks = planes.len() / places.channels;
        let (mean, variance) = (running.mean.par_iter_mut(), running.variance.par_iter_mut());
        let learnt = saved.par_iter_mut().zip(mean.zip(variance));
        let channels = planes.par_chunks_exact_mut(blocks).zip(learnt).enumerate();
        channels.for_each(|(channel, (planes, (saved, (mean, variance))))| {
            let moments = self.moments(isa, of.x, channel, samples);
            let (centre, biased) = (moments.mean as f32, moments.spread / moments.count);
            let unbiased = moments.spread / (moments.count - 1.0).max(1.0);
            *saved = Saved {
                mean: centre,
                inverse: (1.0 / (biased + f64::from(self.epsilon)).sqrt()) as f32,
            };
            *mean += running.momentum * (centre - *mean);
            *variance += running.momentum * (unbiased as f32 - *variance);
            for (block, y) in planes.iter_mut().enumerate() {
                let index = block * places.channels + channel;
                self.normalise(isa, of, addend, *saved, index, (y, places, clear));
            }
        });
    }

    /// Mean and spread of a channel.
    fn moments(&self, isa: Isa, x: &[f32], channel: usize, samples: usize) -> Moments {
        let blocks = 0..x.len() / self.input.block();
        blocks.fold(Moments::default(), |all, block| {
            let x = plane(x, self.input, block * self.input.channels + channel);
            all.with(Moments::of(isa, x, Blocked::lanes_in(block, samples)))
        })
    }

    /// Writes one plane.
    fn normalise(
        &self,
        isa: Isa,
        of: Operands<'_>,
        addend: Option<(&[f32], Blocked)>,
        saved: Saved,
        index: usize,
        (y, places, clear): (&mut [f32], Blocked, bool),
    ) {
        if clear {
            places.clear_halo_of(y);
        }
        let channel = index % places.channels;
        let affine = saved.affine(of.scale[channel], of.shift[channel]);
        let x = plane(of.x, self.input, index);
        let addend = addend.map(|(values, places)| plane(values, places, index));
        isa.run(Forward { x, addend, y: (y, places), affine, relu: self.relu });
    }

    /// Adds to the gradients of scale and shift, and writes (or adds to) the gradient of `x`.
    /// `frozen` takes the statistics as constants.
    pub fn backward(
        &self,
        isa: Isa,
        of: Operands<'_>,
        samples: usize,
        saved: &[Saved],
        frozen: bool,
        to: NormGradients<'_>,
    ) {
        let NormGradients { dy: (dy, dy_places), y, dscale, dshift, dx, accumulate } = to;
        let (dx_places, clear) = (dx.places, dx.clear);
        let (mut dy, mut dx) = (by_channel(dy, dy_places), by_channel(dx.values, dx_places));
        let blocks = dy.len() / self.input.channels;
        let gradients = dscale.par_iter_mut().zip(dshift.par_iter_mut());
        let planes = dy.par_chunks_exact_mut(blocks).zip(dx.par_chunks_exact_mut(blocks));
        planes.zip(gradients).enumerate().for_each(|(channel, ((dy, dx), (dscale, dshift)))| {
            let (saved, factor) = (saved[channel], of.scale[channel]);
            let open = (self.relu && y.is_none()).then(|| saved.affine(factor, of.shift[channel]));
            let index = |block: usize| block * self.input.channels + channel;
            let x = |block: usize| plane(of.x, self.input, index(block));
            let mut sums = [0.0; 2];
            for (block, dy) in dy.iter_mut().enumerate() {
                let (x, centre) = (x(block), saved.mean);
                let lanes = match y {
                    Some((y, places)) => {
                        let (y, dy) = (plane(y, places, index(block)), (&mut **dy, dy_places));
                        isa.run(Closing { x, y, dy, centre })
                    }
                    None => isa.run(Products { x, dy: (&**dy, dy_places), centre, open }),
                };
                for (sum, lanes) in sums.iter_mut().zip(&lanes) {
                    *sum += live(lanes, Blocked::lanes_in(block, samples));
                }
            }
            let sums = [sums[0] as f32, (sums[1] * f64::from(saved.inverse)) as f32];
            *dshift += sums[0];
            *dscale += sums[1];
            let places = (samples * self.input.height * self.input.width) as f32;
            let share = if frozen { [0.0; 2] } else { sums.map(|sum| sum / places) };
            let (slope, tilt) = saved.tilt(factor, share);
            for (block, (dy, dx)) in dy.iter().zip(dx).enumerate() {
                if clear {
                    dx_places.clear_halo_of(dx);
                }
                let (dy, to) = ((&**dy, dy_places), (&mut **dx, dx_places));
                isa.run(Backward { x: x(block), dy, dx: to, slope, tilt, open, accumulate });
                close_lanes((dx, dx_places), Blocked::lanes_in(block, samples));
            }
        });
    }
}
