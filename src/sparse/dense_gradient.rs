//! The weight gradient of a dense layer, band by band of places.
//!
//! A tile of `R` rows by `K` terms reads `R` planes of the output gradient and as many of the input as its
//! terms have channels. All places at once, that is a hundred kilobytes a tile, from the second cache or beyond. Here
//! all terms visit a band before the next, so that the rows' part of it stays in the first cache, and the
//! lanes' sums of each tile wait in memory meanwhile. A lane's terms are added in the same order either way: the
//! same bytes.
//!
//! `unsafe` is allowed here, on the same ground as in [`super::gather`].
#![allow(unsafe_code)]
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use super::LANES;
use super::lanes::{Lanes, array_of};
use super::strip::Strip;
use super::weight_gradient::Unit;

/// Places of a band: a row's part of it is 4 KiB.
pub(super) const BAND: usize = 64;
/// Terms whose sums wait at once: those of eight rows are 288 KiB.
const PART: usize = 576;

/// The places of a band in one block.
#[derive(Clone)]
struct Band {
    block: usize,
    lines: Range<usize>,
    columns: Range<usize>,
}

impl Unit<'_> {
    /// All terms of as many rows from `row` on as make a tile, of `left`. Returns how many.
    #[inline(always)]
    pub(super) fn banded<L: Lanes>(&mut self, row: usize, left: usize) -> usize {
        match (L::WIDE, left) {
            (true, 8..) => self.tiles::<L, 8, 3>(row),
            // Thirty-two registers of four lanes.
            (false, 4..) if cfg!(target_arch = "aarch64") => self.tiles::<L, 4, 2>(row),
            (_, 4..) => self.tiles::<L, 4, 3>(row),
            (_, 2..) => self.tiles::<L, 2, 4>(row),
            _ => self.tiles::<L, 1, 8>(row),
        }
    }

    #[inline(always)]
    fn tiles<L: Lanes, const R: usize, const K: usize>(&mut self, row: usize) -> usize {
        let rows = &self.work.sweep.rows;
        let (terms, from) = (rows.list(row).0.len(), rows.list(row).1);
        let base = from - rows.list(self.rows.start).1;
        let parts = terms.div_ceil(PART);
        let mut sums = Vec::new();
        for part in 0..parts {
            let (first, end) = (part * terms / parts, (part + 1) * terms / parts);
            sums.clear();
            sums.resize(R * (end - first), [0.0; LANES]);
            self.part::<L, R, K>(row, first..end, &mut sums);
            for (i, sum) in sums.iter().enumerate() {
                let (k, r) = (first + i / R, i % R);
                self.grad[base + r * terms + k] += L::sum(L::of(sum));
            }
        }
        R
    }

    /// Adds what all bands give to the sums of some terms, those of a term's rows side by side.
    #[inline(always)]
    fn part<L: Lanes, const R: usize, const K: usize>(
        &self,
        row: usize,
        terms: Range<usize>,
        sums: &mut [[f32; LANES]],
    ) {
        let [height, width] = self.work.walk.places;
        let wide = width.min(BAND);
        let high = (BAND / wide).max(1);
        let tiles = terms.len().div_ceil(K);
        for block in self.bands.clone() {
            for line in (0..height).step_by(high) {
                for column in (0..width).step_by(wide) {
                    let band = Band {
                        block,
                        lines: line..(line + high).min(height),
                        columns: column..(column + wide).min(width),
                    };
                    for tile in 0..tiles {
                        let (k, end) =
                            (tile * terms.len() / tiles, (tile + 1) * terms.len() / tiles);
                        let sums = &mut sums[k * R..end * R];
                        let k = terms.start + k;
                        match end - (k - terms.start) {
                            8 if K >= 8 => self.band::<L, R, 8>(row, k, &band, sums),
                            7 if K >= 7 => self.band::<L, R, 7>(row, k, &band, sums),
                            6 if K >= 6 => self.band::<L, R, 6>(row, k, &band, sums),
                            5 if K >= 5 => self.band::<L, R, 5>(row, k, &band, sums),
                            4 if K >= 4 => self.band::<L, R, 4>(row, k, &band, sums),
                            3 if K >= 3 => self.band::<L, R, 3>(row, k, &band, sums),
                            2 if K >= 2 => self.band::<L, R, 2>(row, k, &band, sums),
                            _ => self.band::<L, R, 1>(row, k, &band, sums),
                        }
                    }
                }
            }
        }
    }

    /// Terms `k..k + K` of rows `row..row + R` at one band, a strip of the lanes after the other.
    #[inline(always)]
    fn band<L: Lanes, const R: usize, const K: usize>(
        &self,
        row: usize,
        k: usize,
        band: &Band,
        sums: &mut [[f32; LANES]],
    ) {
        let work = &self.work;
        let list = work.sweep.rows.list(row).0;
        let (block, dout_block) = (work.input.len() / work.blocks, work.dout.len() / work.blocks);
        let input = work.input[band.block * block..][..block].as_ptr();
        let dout = work.dout[band.block * dout_block..][..dout_block].as_ptr();
        let offsets: [usize; K] = array_of(|i| list[k + i] as usize);
        assert_eq!(sums.len(), K * R, "a sum for each row and term");
        let sums = sums.as_mut_ptr().cast::<f32>();
        let width = <L::Strip as Strip>::WIDTH;
        for strip in (0..LANES).step_by(width) {
            let sum = |r: usize, i: usize| sums.wrapping_add((i * R + r) * LANES + strip);
            let mut held = [[L::Strip::splat(0.0); K]; R];
            for r in 0..R {
                for i in 0..K {
                    // SAFETY: `sums` holds sixteen lanes for each of `K * R`, as asserted.
                    held[r][i] = unsafe { L::Strip::load(sum(r, i)) };
                }
            }
            for p in band.lines.clone() {
                for q in band.columns.clone() {
                    let x = p * work.walk.input[0] + q * work.walk.input[1] + strip;
                    let y = work.places.origin + p * work.places.step[0] + q * work.places.step[1];
                    // SAFETY: `offset + x + 16 <= reach <= block` for the place's first lane, and the
                    // furthest place of the last row lies in the output gradient's block:
                    // `weight_gradient` asserts both. A strip lies within the sixteen lanes.
                    unsafe {
                        let x: [_; K] = array_of(|i| L::Strip::load(input.add(offsets[i] + x)));
                        for r in 0..R {
                            let at = y + (row + r) * work.places.plane + strip;
                            let d = L::Strip::load(dout.add(at));
                            for i in 0..K {
                                held[r][i] = L::Strip::fma(d, x[i], held[r][i]);
                            }
                        }
                    }
                }
            }
            for r in 0..R {
                for i in 0..K {
                    // SAFETY: as where they were read.
                    unsafe { L::Strip::store(sum(r, i), held[r][i]) };
                }
            }
        }
    }
}
