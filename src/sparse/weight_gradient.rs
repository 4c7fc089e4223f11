//! The gradient of each weight that exists, and of no other.
//!
//! `grad[row, k] += sum over blocks, p, q, lanes of
//!  dout[row, p, q] * in[offset[row, k] + p * in_row + q * in_col]`
//!
//! Where all rows have one list, a unit of work is a range of rows over all blocks, and a tile of
//! rows by terms sums places in registers: all of them where they are few, else band by band
//! ([`super::dense_gradient`]). Where lists differ, a unit is a range of rows at some
//! bands of places: all its terms visit one band before the next, so that the band stays in cache.
//! Units that share rows have sums of their own, which are added in the order of units.
//!
//! `unsafe` is allowed here, on the same ground as in [`super::gather`].
#![allow(unsafe_code)]
#![allow(clippy::needless_range_loop)] // As in `gather`.

use std::ops::Range;

use rayon::prelude::*;

use super::LANES;
use super::dense_gradient::ROWS;
use super::gather::{Sweep, Walk};
use super::lanes::{Isa, Lanes, Task, array_of};
use super::rows::{PRIVATE, Rows, UNITS};

/// Where the output gradient of the sweep's rows lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutputPlaces {
    /// Values of one block.
    pub block: usize,
    /// Values from one row's plane to the next.
    pub plane: usize,
    /// Where the first place lies in its plane.
    pub origin: usize,
    /// Values between places, along rows and columns.
    pub step: [usize; 2],
}

impl OutputPlaces {
    /// Those of all blocks, where a block has one place.
    fn over(self) -> Self {
        Self { step: [0, self.block], ..self }
    }
}

/// Adds the gradient of each of the sweep's values to `grad`.
///
/// `dout` and `input` hold the same number of blocks.
pub(super) fn weight_gradient(
    isa: Isa,
    sweep: &Sweep,
    places: OutputPlaces,
    dout: &[f32],
    input: &[f32],
    grad: &mut [f32],
) {
    let blocks = dout.len() / places.block;
    if blocks == 0 || sweep.walk.places.contains(&0) {
        return;
    }
    let rows = sweep.rows.count();
    assert_eq!(grad.len(), sweep.rows.terms(), "one gradient for each term");
    assert_eq!(input.len() % blocks, 0, "input and output gradient hold the same blocks");
    assert!(sweep.reach <= input.len() / blocks, "the sweep reads beyond a block");
    let last = |d: usize| (sweep.walk.places[d] - 1) * places.step[d];
    let furthest = (rows - 1) * places.plane + places.origin + last(0) + last(1) + LANES;
    assert!(furthest <= places.block, "the output gradient's rows reach beyond a block");
    let (walk, over) = sweep.walk.over(blocks, input.len() / blocks, 0);
    let places = if over == blocks { places } else { places.over() };
    let work = Work { sweep, walk, places, dout, input, blocks: over };
    match sweep.rows {
        Rows::Uniform { .. } => work.dense(isa, grad),
        Rows::Ragged { .. } => work.sparse(isa, grad),
    }
}

/// Places of a band, if planes are that large: enough that a term's sum over lanes at the end of
/// each weighs little, few enough that what all rows read of a band stays in cache.
const BAND: usize = 32;

/// Places in all up to which a dense layer's sums stay in registers.
const FEW: usize = 64;

/// What all units share.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub sweep: &'a Sweep,
    pub walk: Walk,
    pub places: OutputPlaces,
    pub dout: &'a [f32],
    pub input: &'a [f32],
    pub blocks: usize,
}

impl Work<'_> {
    /// Units of eight rows.
    fn dense(self, isa: Isa, grad: &mut [f32]) {
        let units: Vec<_> = self.deal(ROWS, grad).collect();
        let bands = 0..self.blocks;
        let lines = self.walk.places[0];
        units.into_par_iter().for_each(|(rows, grad)| {
            isa.run(Unit { work: self, rows, bands: bands.clone(), lines, grad });
        });
    }

    /// Units of bands and rows: bands first, because all rows share what they read of a band.
    fn sparse(self, isa: Isa, grad: &mut [f32]) {
        let [height, width] = self.walk.places;
        let lines = BAND.div_ceil(width).min(height);
        let bands = self.blocks * height.div_ceil(lines);
        let most = if grad.len() <= PRIVATE { UNITS } else { 1 };
        let each = bands.div_ceil(bands.min(most));
        let piles = bands.div_ceil(each);
        let rows = self.sweep.rows.count();
        let deep = rows.div_ceil(rows.min(UNITS.div_ceil(piles)));
        if piles == 1 {
            let units: Vec<_> = self.deal(deep, grad).collect();
            units.into_par_iter().for_each(|(rows, grad)| {
                isa.run(Unit { work: self, rows, bands: 0..bands, lines, grad });
            });
            return;
        }
        let mut sums = vec![0.0; piles * grad.len()];
        let units: Vec<_> = sums
            .chunks_exact_mut(grad.len().max(1))
            .enumerate()
            .flat_map(|(pile, sums)| self.deal(deep, sums).map(move |unit| (pile, unit)))
            .collect();
        units.into_par_iter().for_each(|(pile, (rows, grad))| {
            let bands = pile * each..((pile + 1) * each).min(bands);
            isa.run(Unit { work: self, rows, bands, lines, grad });
        });
        for sums in sums.chunks_exact(grad.len().max(1)) {
            for (grad, sum) in grad.iter_mut().zip(sums) {
                *grad += sum;
            }
        }
    }

    /// Ranges of `deep` rows, each with its part of `grad`.
    fn deal(
        self,
        deep: usize,
        grad: &mut [f32],
    ) -> impl Iterator<Item = (Range<usize>, &mut [f32])> {
        let rows = self.sweep.rows.count();
        let mut rest = grad;
        (0..rows).step_by(deep).map(move |first| {
            let end = (first + deep).min(rows);
            let (list, from) = self.sweep.rows.list(end - 1);
            let terms = from + list.len() - self.sweep.rows.list(first).1;
            let (own, later) = std::mem::take(&mut rest).split_at_mut(terms);
            rest = later;
            (first..end, own)
        })
    }
}

pub(super) struct Unit<'a> {
    pub work: Work<'a>,
    pub rows: Range<usize>,
    /// Which bands: `lines` lines of places of one block each.
    pub bands: Range<usize>,
    lines: usize,
    pub grad: &'a mut [f32],
}

impl Task for Unit<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self) {
        match self.work.sweep.rows {
            Rows::Uniform { .. } => self.dense::<L>(),
            Rows::Ragged { .. } if L::WIDE => self.sparse::<L, 8>(),
            Rows::Ragged { .. } => self.sparse::<L, 6>(),
        }
    }
}

impl Unit<'_> {
    #[inline(always)]
    fn dense<L: Lanes>(&mut self) {
        let [height, width] = self.work.walk.places;
        if self.bands.len() * height * width > FEW {
            return self.banded::<L>();
        }
        let Range { start: mut row, end } = self.rows;
        while row < end {
            row += match (L::WIDE, end - row) {
                // Eight rows share each load of the input, which is what misses the cache.
                (true, 8..) => self.terms::<L, 8, 3>(row, &self.bands.clone()),
                (true, 4..) => self.terms::<L, 4, 4>(row, &self.bands.clone()),
                (true, _) => self.terms::<L, 1, 8>(row, &self.bands.clone()),
                (false, 2..) => self.terms::<L, 2, 2>(row, &self.bands.clone()),
                (false, _) => self.terms::<L, 1, 4>(row, &self.bands.clone()),
            };
        }
    }

    #[inline(always)]
    fn sparse<L: Lanes, const K: usize>(&mut self) {
        for band in self.bands.clone() {
            for row in self.rows.clone() {
                self.terms::<L, 1, K>(row, &(band..band + 1));
            }
        }
    }

    /// All terms of `R` rows at some bands, `K` terms at a time. Returns `R`.
    #[inline(always)]
    fn terms<L: Lanes, const R: usize, const K: usize>(
        &mut self,
        row: usize,
        bands: &Range<usize>,
    ) -> usize {
        let terms = self.work.sweep.rows.list(row).0.len();
        let tiles = terms.div_ceil(K);
        // Tiles of nearly one size: a small one would load as many output gradients for less.
        for tile in 0..tiles {
            let (k, end) = (tile * terms / tiles, (tile + 1) * terms / tiles);
            match end - k {
                8 if K >= 8 => self.tile::<L, R, 8>(row, k, bands),
                7 if K >= 7 => self.tile::<L, R, 7>(row, k, bands),
                6 if K >= 6 => self.tile::<L, R, 6>(row, k, bands),
                5 if K >= 5 => self.tile::<L, R, 5>(row, k, bands),
                4 if K >= 4 => self.tile::<L, R, 4>(row, k, bands),
                3 if K >= 3 => self.tile::<L, R, 3>(row, k, bands),
                2 if K >= 2 => self.tile::<L, R, 2>(row, k, bands),
                _ => self.tile::<L, R, 1>(row, k, bands),
            }
        }
        R
    }

    /// Terms `k..k + K` of rows `row..row + R`.
    #[inline(always)]
    fn tile<L: Lanes, const R: usize, const K: usize>(
        &mut self,
        row: usize,
        k: usize,
        bands: &Range<usize>,
    ) {
        let Work { sweep: Sweep { rows, .. }, walk, places, dout, input, blocks } = self.work;
        let (list, from) = rows.list(row);
        let (terms, base) = (list.len(), rows.list(self.rows.start).1);
        let offsets: [usize; K] = array_of(|i| list[k + i] as usize);
        let (block, dout_block) = (input.len() / blocks, dout.len() / blocks);
        let per_block = walk.places[0].div_ceil(self.lines);
        let mut sums: [[L::V; K]; R] = [[L::splat(0.0); K]; R];
        for band in bands.clone() {
            let (b, first) = (band / per_block, band % per_block * self.lines);
            let input = input[b * block..][..block].as_ptr();
            let dout = dout[b * dout_block..][..dout_block].as_ptr();
            for p in first..(first + self.lines).min(walk.places[0]) {
                for q in 0..walk.places[1] {
                    let x = p * walk.input[0] + q * walk.input[1];
                    let y = places.origin + p * places.step[0] + q * places.step[1];
                    // SAFETY: `offset + x + 16 <= reach <= block`, and the furthest place of the
                    // last row lies in the output gradient's block: `weight_gradient` asserts both.
                    unsafe {
                        let d: [L::V; R] =
                            array_of(|r| L::load(dout.add(y + (row + r) * places.plane)));
                        let x: [L::V; K] = array_of(|i| L::load(input.add(offsets[i] + x)));
                        for r in 0..R {
                            for i in 0..K {
                                sums[r][i] = L::fma(d[r], x[i], sums[r][i]);
                            }
                        }
                    }
                }
            }
        }
        for r in 0..R {
            for i in 0..K {
                self.grad[from - base + r * terms + k + i] += L::sum(sums[r][i]);
            }
        }
    }
}
