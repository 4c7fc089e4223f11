//! The gradient of each weight that exists, and of no other.
//!
//! `grad[row, k] += sum over blocks, p, q, lanes of
//!  dout[row, p, q] * in[offset[row, k] + p * in_row + q * in_col]`
//!
//! Sums run over blocks, then `p`, then `q`, in sixteen lanes that are added at the end. A unit of
//! work is a range of rows over all blocks, so no partial sums need a second place.
//!
//! `unsafe` is allowed here, on the same ground as in [`super::gather`].
#![allow(unsafe_code)]

use rayon::prelude::*;

use super::LANES;
use super::gather::{Rows, Sweep};
use super::lanes::{Isa, Lanes, Task, sum_lanes};

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

/// Adds the gradient of each of the sweep's values to `grad`, and of each row's bias to `bias`.
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

    // Rows in groups of eight: shapes alone decide.
    let mut rest = grad;
    let mut units = Vec::new();
    for first in (0..rows).step_by(8) {
        let end = (first + 8).min(rows);
        let start = sweep.rows.list(first).1;
        let (list, from) = sweep.rows.list(end - 1);
        let (own, later) = rest.split_at_mut(from + list.len() - start);
        rest = later;
        units.push(Unit { sweep, places, dout, input, blocks, rows: [first, end], grad: own });
    }
    units.into_par_iter().for_each(|unit| isa.run(unit));
}

struct Unit<'a> {
    sweep: &'a Sweep,
    places: OutputPlaces,
    dout: &'a [f32],
    input: &'a [f32],
    blocks: usize,
    rows: [usize; 2],
    grad: &'a mut [f32],
}

impl Task for Unit<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self) {
        let [mut row, end] = self.rows;
        if matches!(self.sweep.rows, Rows::Uniform { .. }) {
            if L::WIDE {
                // Eight rows share each load of the input, which is what misses the cache.
                while row + 8 <= end {
                    self.rows::<L, 8, 3>(row);
                    row += 8;
                }
                while row + 4 <= end {
                    self.rows::<L, 4, 4>(row);
                    row += 4;
                }
            } else {
                while row + 2 <= end {
                    self.rows::<L, 2, 2>(row);
                    row += 2;
                }
            }
        }
        for row in row..end {
            if L::WIDE { self.rows::<L, 1, 8>(row) } else { self.rows::<L, 1, 4>(row) }
        }
    }
}

impl Unit<'_> {
    /// All terms of `R` rows, `K` at a time.
    #[inline(always)]
    fn rows<L: Lanes, const R: usize, const K: usize>(&mut self, row: usize) {
        let terms = self.sweep.rows.list(row).0.len();
        let mut k = 0;
        while k + K <= terms {
            self.tile::<L, R, K>(row, k);
            k += K;
        }
        while k < terms {
            self.tile::<L, R, 1>(row, k);
            k += 1;
        }
    }

    /// Terms `k..k + K` of rows `row..row + R`.
    #[inline(always)]
    fn tile<L: Lanes, const R: usize, const K: usize>(&mut self, row: usize, k: usize) {
        let Sweep { rows, walk, .. } = self.sweep;
        let (list, from) = rows.list(row);
        let (terms, base) = (list.len(), rows.list(self.rows[0]).1);
        let offsets: [usize; K] = std::array::from_fn(|i| list[k + i] as usize);
        let block = self.input.len() / self.blocks;
        let mut sums: [[L::V; K]; R] = [[L::splat(0.0); K]; R];
        for b in 0..self.blocks {
            let input = self.input[b * block..][..block].as_ptr();
            let dout = self.dout[b * self.places.block..][..self.places.block].as_ptr();
            for p in 0..walk.places[0] {
                for q in 0..walk.places[1] {
                    let x = p * walk.input[0] + q * walk.input[1];
                    let y = self.places.origin + p * self.places.step[0] + q * self.places.step[1];
                    // SAFETY: `offset + x + 16 <= reach <= block`, and the furthest place of the
                    // last row lies in the output gradient's block: `weight_gradient` asserts both.
                    unsafe {
                        let d: [L::V; R] = std::array::from_fn(|r| {
                            L::load(dout.add(y + (row + r) * self.places.plane))
                        });
                        let x: [L::V; K] =
                            std::array::from_fn(|i| L::load(input.add(offsets[i] + x)));
                        for (sums, d) in sums.iter_mut().zip(d) {
                            for i in 0..K {
                                sums[i] = L::fma(d, x[i], sums[i]);
                            }
                        }
                    }
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (i, sum) in sums.into_iter().enumerate() {
                let mut lanes = [0.0; LANES];
                // SAFETY: `lanes` holds sixteen values.
                unsafe { L::store(lanes.as_mut_ptr(), sum) };
                self.grad[from - base + r * terms + k + i] += sum_lanes(lanes);
            }
        }
    }
}
