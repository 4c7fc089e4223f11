//! The weight gradient of a dense layer, band by band of places.
//!
//! What eight rows have of the output gradient at a band is copied side by side and stays in the first cache: planes
//! of one size would fall on one another there. All terms visit a band before the next; what a term reads of the input
//! is there for its neighbours and for all eight rows, and the lanes' sums of each tile of rows by terms wait in
//! memory meanwhile. A lane's places are added in their order however they are cut into bands.
//!
//! `unsafe` is allowed here, on the same ground as in [`super::gather`].
#![allow(unsafe_code)]
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use super::LANES;
use super::lanes::{Lanes, array_of};
use super::strip::Strip;
use super::weight_gradient::Unit;

/// Rows of a unit.
pub(super) const ROWS: usize = 8;
/// Places of a band: what eight rows have there is 16 KiB.
pub(super) const BAND: usize = 32;
/// Terms whose sums wait at once: those of eight rows are 144 KiB.
const PART: usize = 288;

/// The places of a band.
struct Band {
    /// Where each lies in the input.
    input: [usize; BAND],
    /// Place by place and row by row, what the output gradient has there.
    dout: [[f32; LANES]; BAND * ROWS],
    count: usize,
}

/// Sums of some terms, those of a term's rows side by side.
struct Sums<'a> {
    terms: Range<usize>,
    rows: usize,
    lanes: &'a mut [[f32; LANES]],
}

impl Unit<'_> {
    /// All terms of all rows, of which there are at most [`ROWS`].
    #[inline(always)]
    pub(super) fn banded<L: Lanes>(&mut self) {
        let rows = self.rows.len();
        assert!(rows <= ROWS, "a unit has eight rows");
        let [height, width] = self.work.walk.places;
        let terms = self.work.sweep.rows.list(self.rows.start).0.len();
        let parts = terms.div_ceil(PART);
        let (mut lanes, all) = (Vec::new(), self.bands.len() * height * width);
        let mut band = Band { input: [0; BAND], dout: [[0.0; LANES]; BAND * ROWS], count: 0 };
        for part in 0..parts {
            let (first, end) = (part * terms / parts, (part + 1) * terms / parts);
            lanes.clear();
            lanes.resize(rows * (end - first), [0.0; LANES]);
            let mut sums = Sums { terms: first..end, rows, lanes: &mut lanes };
            for place in (0..all).step_by(BAND) {
                self.pack(place..(place + BAND).min(all), &mut band);
                self.visit::<L>(&band, &mut sums);
            }
            for (i, sum) in lanes.iter().enumerate() {
                let (k, r) = (first + i / rows, i % rows);
                self.grad[r * terms + k] += L::sum(L::of(sum));
            }
        }
    }

    /// Makes the band of these places, counted over lines, columns and blocks.
    #[inline(always)]
    fn pack(&self, all: Range<usize>, band: &mut Band) {
        let work = &self.work;
        let [height, width] = work.walk.places;
        let (block, dout_block) = (work.input.len() / work.blocks, work.dout.len() / work.blocks);
        band.count = all.len();
        for (n, place) in all.enumerate() {
            let (q, line) = (place % width, place / width);
            let (p, b) = (line % height, self.bands.start + line / height);
            band.input[n] = b * block + p * work.walk.input[0] + q * work.walk.input[1];
            let y = work.places.origin + p * work.places.step[0] + q * work.places.step[1];
            for (r, row) in self.rows.clone().enumerate() {
                let from = b * dout_block + row * work.places.plane + y;
                band.dout[n * ROWS + r].copy_from_slice(&work.dout[from..from + LANES]);
            }
        }
    }

    /// Adds what a band gives, in tiles that fill the registers.
    #[inline(always)]
    fn visit<L: Lanes>(&self, band: &Band, sums: &mut Sums<'_>) {
        let rows = sums.rows;
        if L::WIDE && rows == ROWS {
            return self.tiles::<L, 8, 3>(band, 0..rows, sums);
        }
        let (fours, twos) = (rows / 4 * 4, rows / 2 * 2);
        // Of thirty-two registers of four lanes, four hold a strip.
        match cfg!(target_arch = "aarch64") {
            true => self.tiles::<L, 4, 2>(band, 0..fours, sums),
            false => self.tiles::<L, 4, 3>(band, 0..fours, sums),
        }
        self.tiles::<L, 2, 4>(band, fours..twos, sums);
        self.tiles::<L, 1, 8>(band, twos..rows, sums);
    }

    /// Tiles of `R` rows and at most `K` terms.
    #[inline(always)]
    fn tiles<L: Lanes, const R: usize, const K: usize>(
        &self,
        band: &Band,
        rows: Range<usize>,
        sums: &mut Sums<'_>,
    ) {
        let terms = sums.terms.len();
        let tiles = terms.div_ceil(K);
        for tile in 0..tiles {
            let (k, end) = (tile * terms / tiles, (tile + 1) * terms / tiles);
            // Rows inside: the input that these terms read is in the first cache by then.
            for row in rows.clone().step_by(R) {
                match end - k {
                    8 if K >= 8 => self.banded_tile::<L, R, 8>(band, row, k, sums),
                    7 if K >= 7 => self.banded_tile::<L, R, 7>(band, row, k, sums),
                    6 if K >= 6 => self.banded_tile::<L, R, 6>(band, row, k, sums),
                    5 if K >= 5 => self.banded_tile::<L, R, 5>(band, row, k, sums),
                    4 if K >= 4 => self.banded_tile::<L, R, 4>(band, row, k, sums),
                    3 if K >= 3 => self.banded_tile::<L, R, 3>(band, row, k, sums),
                    2 if K >= 2 => self.banded_tile::<L, R, 2>(band, row, k, sums),
                    _ => self.banded_tile::<L, R, 1>(band, row, k, sums),
                }
            }
        }
    }

    /// Terms `k..k + K` of rows `row..row + R`, a strip of the lanes after the other.
    #[inline(always)]
    fn banded_tile<L: Lanes, const R: usize, const K: usize>(
        &self,
        band: &Band,
        row: usize,
        k: usize,
        sums: &mut Sums<'_>,
    ) {
        let list = self.work.sweep.rows.list(self.rows.start).0;
        let offsets: [usize; K] = array_of(|i| list[sums.terms.start + k + i] as usize);
        assert!(row + R <= sums.rows && (k + K) * sums.rows <= sums.lanes.len(), "the tile's sums");
        let (lanes, rows) = (sums.lanes.as_mut_ptr().cast::<f32>(), sums.rows);
        let dout = band.dout[row..].as_ptr().cast::<f32>();
        for strip in (0..LANES).step_by(<L::Strip as Strip>::WIDTH) {
            let sum =
                |r: usize, i: usize| lanes.wrapping_add(((k + i) * rows + row + r) * LANES + strip);
            let input: [*const f32; K] =
                array_of(|i| self.work.input.as_ptr().wrapping_add(offsets[i] + strip));
            let mut held = [[L::Strip::splat(0.0); K]; R];
            for r in 0..R {
                for i in 0..K {
                    // SAFETY: `lanes` holds sixteen for each row of each term, as asserted.
                    held[r][i] = unsafe { L::Strip::load(sum(r, i)) };
                }
            }
            let places = &band.input[..band.count];
            for n in 0..places.len() {
                // SAFETY: `offset + place + 16 <= reach <= block` for every place of every block:
                // `weight_gradient` asserts it. A strip lies within the sixteen lanes. `dout` has `ROWS`
                // rows for each place of the band, and `row + R` is no more.
                unsafe {
                    // A loop, no closure: this one would stay a function (`array_of`).
                    let (mut x, place) = ([L::Strip::splat(0.0); K], places[n]);
                    for i in 0..K {
                        x[i] = L::Strip::load(input[i].add(place));
                    }
                    let dout = dout.add(n * ROWS * LANES + strip);
                    for r in 0..R {
                        let d = L::Strip::load(dout.add(r * LANES));
                        for i in 0..K {
                            held[r][i] = L::Strip::fma(d, x[i], held[r][i]);
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
