//! Layer normalisation over the channels of each place, forward and backward (Ba, Kiros, Hinton, *Layer
//! Normalization*, 2016; with places for tokens, as in transformers).
//!
//! `y[c] = (x[c] - mean) / sqrt(variance + epsilon) * scale[c] + shift[c]`, mean and (biased) variance
//! over the channels of one place of one sample.
//!
//! A block goes row by row: a row of all channels is small enough to stay in a cache for all its
//! passes. The variance is summed around the mean, so nothing cancels. Nothing is kept for the backward
//! pass but the input: statistics are computed again. Blocks are the units of work; sums over them run in
//! block order.

use rayon::prelude::*;

use super::blocked::{Blocked, LANES};
use super::lanes::{Isa, Lanes, Task};
use super::norm_planes::{row, row_mut};

type Place = [f32; LANES];

/// A layer normalisation.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    /// Geometry of `x`.
    pub input: Blocked,
    /// Added to the variance.
    pub epsilon: f32,
}

/// The gradients that a layer norm reads and writes.
#[derive(Debug)]
pub struct LayerNormGradients<'a> {
    /// The gradient of `y`: zero in lanes past the last sample.
    pub dy: (&'a [f32], Blocked),
    /// The gradient of the scale, which is added to.
    pub dscale: &'a mut [f32],
    /// The gradient of the shift, which is added to.
    pub dshift: &'a mut [f32],
    /// The gradient of `x`.
    pub dx: (&'a mut [f32], Blocked),
    /// Whether the gradient of `x` is added to what is there.
    pub accumulate: bool,
}

/// Sums of one row, place by place.
#[derive(Clone)]
struct Rows {
    mean: Vec<Place>,
    inverse: Vec<Place>,
    first: Vec<Place>,
    second: Vec<Place>,
}

impl Rows {
    fn new(width: usize) -> Self {
        let zeros = vec![[0.0; LANES]; width];
        Self { mean: zeros.clone(), inverse: zeros.clone(), first: zeros.clone(), second: zeros }
    }
}

impl LayerNorm {
    /// Bytes that a thread needs while one of the passes runs.
    pub fn thread_bytes(&self) -> usize {
        (4 * self.input.width + 2 * self.input.channels) * size_of::<Place>()
    }

    /// Bytes of the sums of `blocks` blocks.
    pub fn scratch_bytes(&self, blocks: usize) -> usize {
        blocks * self.input.channels * size_of::<[f64; 2]>()
    }

    /// `y = normalised(x) * scale + shift`.
    pub fn forward(
        &self,
        isa: Isa,
        x: &[f32],
        [scale, shift]: [&[f32]; 2],
        (y, places): (&mut [f32], Blocked),
    ) {
        let blocks = y.par_chunks_exact_mut(places.block()).zip(x.par_chunks(self.input.block()));
        blocks.for_each_init(
            || Rows::new(self.input.width),
            |rows, (y, x)| isa.run(Forward { norm: self, x, scale, shift, y: (y, places), rows }),
        );
    }

    /// Adds to the gradients of scale and shift, and writes (or adds to) the gradient of `x`.
    pub fn backward(&self, isa: Isa, x: &[f32], scale: &[f32], to: LayerNormGradients<'_>) {
        let LayerNormGradients { dy: (dy, dy_places), dscale, dshift, dx, accumulate } = to;
        let (dx, dx_places) = dx;
        let units = dx
            .par_chunks_exact_mut(dx_places.block())
            .zip(x.par_chunks(self.input.block()))
            .zip(dy.par_chunks(dy_places.block()));
        let sums: Vec<Vec<[f64; 2]>> = units
            .map_init(
                || Rows::new(self.input.width),
                |rows, ((dx, x), dy)| {
                    let (dy, dx) = ((dy, dy_places), (dx, dx_places));
                    isa.run(Backward { norm: self, x, scale, dy, dx, accumulate, rows })
                },
            )
            .collect();
        for (channel, (dscale, dshift)) in dscale.iter_mut().zip(dshift).enumerate() {
            let total = |which: usize| sums.iter().map(|block| block[channel][which]).sum::<f64>();
            *dscale += total(0) as f32;
            *dshift += total(1) as f32;
        }
    }

    /// Mean, and one over the deviation, of each place of row `y` of a block.
    #[inline(always)]
    fn statistics<L: Lanes>(&self, x: &[f32], y: usize, rows: &mut Rows) {
        let planes = || x.chunks_exact(self.input.plane());
        let share = 1.0 / self.input.channels as f32;
        rows.mean.fill([0.0; LANES]);
        for plane in planes() {
            for (sum, x) in rows.mean.iter_mut().zip(row(plane, self.input, y)) {
                L::to(sum, L::add(L::of(sum), L::of(x)));
            }
        }
        rows.mean.iter_mut().flatten().for_each(|sum| *sum *= share);
        rows.inverse.fill([0.0; LANES]);
        for plane in planes() {
            let both = rows.inverse.iter_mut().zip(&rows.mean);
            for ((sum, mean), x) in both.zip(row(plane, self.input, y)) {
                let away = L::sub(L::of(x), L::of(mean));
                L::to(sum, L::fma(away, away, L::of(sum)));
            }
        }
        let inverse = |sum: &mut f32| *sum = 1.0 / (*sum * share + self.epsilon).sqrt();
        rows.inverse.iter_mut().flatten().for_each(inverse);
    }
}

/// Writes one block.
struct Forward<'a> {
    norm: &'a LayerNorm,
    x: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    y: (&'a mut [f32], Blocked),
    rows: &'a mut Rows,
}

impl Task for Forward<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { norm, x, scale, shift, y: (y, places), rows } = self;
        for line in 0..places.height {
            norm.statistics::<L>(x, line, rows);
            let planes = x.chunks_exact(norm.input.plane());
            let both = planes.zip(y.chunks_exact_mut(places.plane()));
            for ((x, y), (scale, shift)) in both.zip(scale.iter().zip(shift)) {
                let (scale, shift) = (L::splat(*scale), L::splat(*shift));
                let values = row(x, norm.input, line).iter().zip(row_mut(y, places, line));
                for ((x, y), (mean, inverse)) in values.zip(rows.mean.iter().zip(&rows.inverse)) {
                    let slope = L::fma(L::of(inverse), scale, L::splat(0.0));
                    L::to(y, L::fma(L::sub(L::of(x), L::of(mean)), slope, shift));
                }
            }
        }
    }
}

/// Writes the gradient of one block's input. Gives what the block adds to scale and shift, by channel.
struct Backward<'a> {
    norm: &'a LayerNorm,
    x: &'a [f32],
    scale: &'a [f32],
    dy: (&'a [f32], Blocked),
    dx: (&'a mut [f32], Blocked),
    accumulate: bool,
    rows: &'a mut Rows,
}

impl Task for Backward<'_> {
    type Out = Vec<[f64; 2]>;

    #[inline(always)]
    fn run<L: Lanes>(mut self) -> Self::Out {
        let channels = self.norm.input.channels;
        let mut sums = vec![[[0.0; LANES]; 2]; channels];
        for line in 0..self.dx.1.height {
            self.norm.statistics::<L>(self.x, line, self.rows);
            self.sum::<L>(line, &mut sums);
            self.write::<L>(line);
        }
        let total = |lanes: &Place| lanes.iter().map(|lane| f64::from(*lane)).sum::<f64>();
        sums.iter().map(|[scale, shift]| [total(scale), total(shift)]).collect()
    }
}

impl Backward<'_> {
    /// Sums over a row's channels of `dy * scale` and of its product with the normalised input, as
    /// means; and over its places of `dy` and of its product with the normalised input.
    #[inline(always)]
    fn sum<L: Lanes>(&mut self, line: usize, sums: &mut [[Place; 2]]) {
        let Self { norm, x, scale, dy: (dy, dy_places), rows, .. } = self;
        let zero = L::splat(0.0);
        rows.first.fill([0.0; LANES]);
        rows.second.fill([0.0; LANES]);
        let planes =
            x.chunks_exact(norm.input.plane()).zip(dy.chunks_exact(dy_places.plane())).enumerate();
        for (channel, (x, dy)) in planes {
            let factor = L::splat(scale[channel]);
            let mut own = [L::of(&sums[channel][0]), L::of(&sums[channel][1])];
            let (x, dy) = (row(x, norm.input, line), row(dy, *dy_places, line));
            for place in 0..x.len() {
                let (mean, inverse) = (L::of(&rows.mean[place]), L::of(&rows.inverse[place]));
                let normal = L::fma(L::sub(L::of(&x[place]), mean), inverse, zero);
                let dy = L::of(&dy[place]);
                own = [L::fma(dy, normal, own[0]), L::add(own[1], dy)];
                let slope = L::fma(dy, factor, zero);
                let (first, second) = (&mut rows.first[place], &mut rows.second[place]);
                L::to(first, L::add(L::of(first), slope));
                L::to(second, L::fma(slope, normal, L::of(second)));
            }
            sums[channel] = [L::array(own[0]), L::array(own[1])];
        }
        let share = 1.0 / norm.input.channels as f32;
        rows.first.iter_mut().chain(&mut rows.second).flatten().for_each(|sum| *sum *= share);
    }

    /// `dx = (dy * scale - mean(dy * scale) - normalised * mean(dy * scale * normalised)) * inverse`.
    #[inline(always)]
    fn write<L: Lanes>(&mut self, line: usize) {
        let Self { norm, x, scale, dy: (dy, dy_places), dx: (dx, dx_places), accumulate, rows } =
            self;
        let zero = L::splat(0.0);
        let planes = x.chunks_exact(norm.input.plane()).zip(dy.chunks_exact(dy_places.plane()));
        for (((x, dy), dx), scale) in
            planes.zip(dx.chunks_exact_mut(dx_places.plane())).zip(scale.iter())
        {
            let factor = L::splat(*scale);
            let (x, dy) = (row(x, norm.input, line), row(dy, *dy_places, line));
            for (place, dx) in row_mut(dx, *dx_places, line).iter_mut().enumerate() {
                let (mean, inverse) = (L::of(&rows.mean[place]), L::of(&rows.inverse[place]));
                let normal = L::fma(L::sub(L::of(&x[place]), mean), inverse, zero);
                let along = L::fma(normal, L::of(&rows.second[place]), L::of(&rows.first[place]));
                let slope = L::sub(L::fma(L::of(&dy[place]), factor, zero), along);
                let before = if *accumulate { L::of(dx) } else { zero };
                L::to(dx, L::fma(slope, inverse, before));
            }
        }
    }
}
