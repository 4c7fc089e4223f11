//! The one kernel behind every convolution and linear layer, forward and back to the input.
//!
//! `out[row, p, q] = sum over k of value[row, k] * in[offset[row, k] + p * in_row + q * in_col]`
//!
//! A row is an output channel (forward) or an input channel (input gradient); each weight that
//! exists is one constant offset in the blocked layout. Accumulators stay in registers while the
//! list of weights streams by. Terms are summed in list order. A layer with one place has the blocks of
//! the batch for places.
//!
//! Layers with many weights for each plane they read are [`super::packed`]'s.
//!
//! `unsafe` is allowed here: the inner loops read and write through pointers. [`Sweep::new`] computes
//! how far any of them reaches, and [`Sweep::run`] asserts that the slices are that long.
//! Tiles loop over indices: iterators over arrays by value are functions that may not be inlined, and then
//! every sum goes through memory (`lanes::array_of`).
#![allow(unsafe_code)]
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use rayon::prelude::*;

use super::LANES;
use super::lanes::{Isa, Lanes, Task, array_of};
use super::rows::{Rows, UNITS};

/// The places a sweep visits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// Places in each direction.
    pub places: [usize; 2],
    /// Values between places in the input, along rows and columns.
    pub input: [usize; 2],
    /// Values between places in the output, along rows and columns.
    pub output: [usize; 2],
}

impl Walk {
    fn reach(&self, step: [usize; 2]) -> usize {
        let last = |d: usize| self.places[d].saturating_sub(1) * step[d];
        last(0) + last(1) + LANES
    }

    /// The walk over `blocks` blocks of an input and an output, and how many it is done for: where a
    /// block has one place, all blocks' places are one line.
    pub(super) fn over(self, blocks: usize, input: usize, output: usize) -> (Self, usize) {
        if self.places != [1, 1] {
            return (self, blocks);
        }
        (Self { places: [1, blocks], input: [0, input], output: [0, output] }, 1)
    }
}

/// A list of weights and the places they are applied at.
#[derive(Clone, Debug)]
pub(super) struct Sweep {
    pub(super) rows: Rows,
    pub(super) walk: Walk,
    /// Where, inside its block, each row's first place lies in the output.
    targets: Vec<u32>,
    rows_per_plane: usize,
    /// Values in one plane of the output.
    plane: usize,
    /// Values of an input block that are read.
    pub(super) reach: usize,
}

impl Sweep {
    /// A sweep whose row `r` writes plane `r / rows_per_plane` from `targets[r]` on.
    ///
    /// # Panics
    /// If a target's places do not lie inside a plane, lines of places meet, or there is not one
    /// target for each row.
    pub(super) fn new(
        rows: Rows,
        walk: Walk,
        targets: Vec<u32>,
        per_plane: usize,
        plane: usize,
    ) -> Self {
        assert_eq!(rows.count(), targets.len(), "one target for each row");
        assert_eq!(targets.len() % per_plane, 0, "whole planes");
        let furthest = targets.iter().max().map_or(0, |&t| t as usize + walk.reach(walk.output));
        assert!(furthest <= plane, "a row writes {furthest} values into a plane of {plane}");
        let line = Walk { places: [1, walk.places[1]], ..walk }.reach(walk.output);
        let apart = walk.places[0] <= 1 || (per_plane == 1 && line <= walk.output[0]);
        assert!(apart, "lines of places meet in the output");
        let offsets = match &rows {
            Rows::Uniform { offsets, .. } | Rows::Ragged { offsets, .. } => offsets,
        };
        let reach = offsets.iter().max().map_or(0, |&o| o as usize + walk.reach(walk.input));
        let place = |(row, target): (usize, u32)| (row / per_plane * plane) as u32 + target;
        let targets = targets.into_iter().enumerate().map(place).collect();
        Self { rows, walk, targets, rows_per_plane: per_plane, plane, reach }
    }

    /// Applies the sweep to every block of `input`, writing (or adding to) the interior of `output`.
    ///
    /// `values` holds each row's values in list order. `input` and `output` hold the same number of
    /// blocks.
    pub(super) fn run(&self, isa: Isa, call: Call<'_>, output: &mut [f32]) {
        let planes = self.rows.count() / self.rows_per_plane;
        let blocks = output.len() / (planes * self.plane).max(1);
        if blocks == 0 || self.walk.places.contains(&0) {
            return;
        }
        assert_eq!(output.len(), blocks * planes * self.plane, "the output holds whole blocks");
        assert_eq!(call.values.len(), self.rows.terms(), "one value for each term");
        assert_eq!(call.input.len() % blocks, 0, "input and output hold the same blocks");
        assert!(call.bias.is_none_or(|bias| bias.len() == self.rows.count()), "one bias a row");
        let block = call.input.len() / blocks;
        assert!(self.reach <= block, "the sweep reads {} of a block of {block}", self.reach);
        let (walk, blocks) = self.walk.over(blocks, block, planes * self.plane);
        let block = call.input.len() / blocks;
        // Units depend on shapes alone.
        let share = |all: usize, units: usize| all.div_ceil(UNITS.div_ceil(units).min(all));
        let deep = match &self.rows {
            Rows::Uniform { .. } => share(planes, blocks).next_multiple_of(12),
            Rows::Ragged { .. } => share(planes, blocks * walk.places[0]),
        } * self.rows_per_plane;
        let piles = self.rows.count().div_ceil(deep);
        let lines = share(walk.places[0], blocks * piles);
        let bands = walk.places[0].div_ceil(lines);
        let (to, step) = (Shared(output.as_mut_ptr()), planes * self.plane);
        (0..blocks * bands * piles).into_par_iter().for_each(|unit| {
            let (b, band, pile) = (unit / piles / bands, unit / piles % bands, unit % piles);
            let p = band * lines..((band + 1) * lines).min(walk.places[0]);
            let input = &call.input[b * block..][..block];
            let rows = pile * deep..((pile + 1) * deep).min(self.rows.count());
            isa.run(Unit { sweep: self, call, input, to, base: b * step, walk, p, rows });
        });
    }
}

/// What a sweep is applied to.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    /// Values of all rows, in list order.
    pub values: &'a [f32],
    /// One addend a row.
    pub bias: Option<&'a [f32]>,
    /// All blocks of the input.
    pub input: &'a [f32],
    /// Whether to add to the output instead of overwriting it.
    pub accumulate: bool,
    /// Whether to write `max(sum, 0)`.
    pub relu: bool,
}

/// The output, of which each unit writes places that no other unit touches.
#[derive(Clone, Copy)]
pub(super) struct Shared(*mut f32);

impl Shared {
    pub(super) fn new(output: &mut [f32]) -> Self {
        Self(output.as_mut_ptr())
    }

    /// Value `at` of the output.
    ///
    /// # Safety
    /// It must lie in the output, and what is written from there on must belong to the caller.
    pub(super) unsafe fn at(self, at: usize) -> *mut f32 {
        // SAFETY: the caller vouches for it.
        unsafe { self.0.add(at) }
    }
}

// SAFETY: units differ in block, plane or line of places, and `Sweep::new` holds that these lie
// apart; the output is borrowed mutably for as long as units run.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// Rows that go along a line of places together.
const FEW: usize = 8;

/// Some lines of places of some rows of one block.
struct Unit<'a> {
    sweep: &'a Sweep,
    call: Call<'a>,
    input: &'a [f32],
    to: Shared,
    /// Where the block begins in the output.
    base: usize,
    walk: Walk,
    p: Range<usize>,
    rows: Range<usize>,
}

impl Task for Unit<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        match &self.sweep.rows {
            Rows::Uniform { .. } => self.dense::<L>(),
            Rows::Ragged { .. } => {
                // A few rows go along a line of places before the next: what they read of it stays in
                // the second cache, beside what they write.
                for first in self.rows.clone().step_by(FEW) {
                    for p in self.p.clone() {
                        for row in first..(first + FEW).min(self.rows.end) {
                            let (rows, all) = (row..row + 1, Part::whole(&self.sweep.rows, row));
                            if L::WIDE {
                                self.lines::<L, 1, 8>(rows, all, p..p + 1);
                            } else {
                                self.lines::<L, 1, 4>(rows, all, p..p + 1);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Terms of a common list that all rows visit at a place before the next place: what they read there
/// stays in the first cache, beside the values of a tile's rows.
const DEEP: usize = 256;

/// Some terms of a list.
#[derive(Clone, Copy)]
struct Part<'a> {
    offsets: &'a [u32],
    /// Where their values begin, from a row's first on.
    at: usize,
    /// Whether nothing of the sum was written yet, and whether all of it is with these.
    ends: [bool; 2],
}

impl<'a> Part<'a> {
    fn whole(rows: &'a Rows, row: usize) -> Self {
        Self { offsets: rows.list(row).0, at: 0, ends: [true, true] }
    }

    /// A list in parts of nearly one size, at most [`DEEP`] terms each. One that is empty is one part, which
    /// writes what sums begin with.
    fn each(offsets: &'a [u32]) -> impl Iterator<Item = Self> {
        let (terms, parts) = (offsets.len(), offsets.len().div_ceil(DEEP).max(1));
        (0..parts).map(move |part| {
            let (at, end) = (part * terms / parts, (part + 1) * terms / parts);
            Self { offsets: &offsets[at..end], at, ends: [part == 0, part + 1 == parts] }
        })
    }
}

impl Unit<'_> {
    /// Rows of one common list: more rows at fewer places, because the list is read once for all.
    #[inline(always)]
    fn dense<L: Lanes>(&self) {
        let Range { start: mut row, end } = self.rows;
        let narrow = self.walk.places[1] < 4;
        while row < end {
            let left = end - row;
            row += match (L::WIDE, narrow) {
                (true, false) if left >= 4 => self.rows::<L, 4, 4>(row, left),
                (true, true) if left >= 8 => self.rows::<L, 8, 2>(row, left),
                (true, _) => self.rows::<L, 1, 8>(row, left),
                (false, _) if left >= 6 => self.rows::<L, 6, 1>(row, left),
                (false, _) if left >= 4 => self.rows::<L, 4, 1>(row, left),
                (false, _) if left >= 2 => self.rows::<L, 2, 2>(row, left),
                (false, _) => self.rows::<L, 1, 4>(row, left),
            };
        }
    }

    /// As many rows of a common list as are whole tiles of `R`, of `left` from `row` on, at all places of the unit.
    /// Returns how many.
    #[inline(always)]
    fn rows<L: Lanes, const R: usize, const T: usize>(&self, row: usize, left: usize) -> usize {
        let rows = left / R * R;
        for part in Part::each(self.sweep.rows.list(row).0) {
            self.lines::<L, R, T>(row..row + rows, part, self.p.clone());
        }
        rows
    }

    /// A part of the terms of `rows`, which are whole tiles of `R` rows with a common list, at all places of some
    /// lines: `T` places at a time, then what is left of each line in smaller tiles.
    #[inline(always)]
    fn lines<L: Lanes, const R: usize, const T: usize>(
        &self,
        rows: Range<usize>,
        part: Part<'_>,
        lines: Range<usize>,
    ) {
        let end = self.walk.places[1];
        for p in lines {
            let mut q = 0;
            while q + T <= end {
                self.tiles::<L, R, T>(&rows, part, [p, q]);
                q += T;
            }
            if T > 4 && q + 4 <= end {
                self.tiles::<L, R, 4>(&rows, part, [p, q]);
                q += 4;
            }
            if T > 2 && q + 2 <= end {
                self.tiles::<L, R, 2>(&rows, part, [p, q]);
                q += 2;
            }
            while q < end {
                self.tiles::<L, R, 1>(&rows, part, [p, q]);
                q += 1;
            }
        }
    }

    #[inline(always)]
    fn tiles<L: Lanes, const R: usize, const T: usize>(
        &self,
        rows: &Range<usize>,
        part: Part<'_>,
        place: [usize; 2],
    ) {
        let mut row = rows.start;
        while row < rows.end {
            self.tile::<L, R, T>(row, part, place);
            row += R;
        }
    }

    /// `R` rows at `T` neighbouring places: adds a part of their terms to the bias, or to what the output
    /// holds.
    #[inline(always)]
    fn tile<L: Lanes, const R: usize, const T: usize>(
        &self,
        row: usize,
        Part { offsets, at, ends: [first, last] }: Part<'_>,
        [p, q]: [usize; 2],
    ) {
        let Self { walk, sweep: Sweep { targets, rows, .. }, .. } = self;
        let (list, from) = rows.list(row);
        let (terms, apart) = (offsets.len(), list.len());
        let to: [*mut f32; R] = array_of(|r| {
            let target = targets[row + r] as usize;
            // SAFETY: inside the block `base` begins: `Sweep::new` held every target's places
            // against the plane, and `run` the planes against the output.
            unsafe { self.to.0.add(self.base + target + p * walk.output[0] + q * walk.output[1]) }
        });
        let mut sums = [[L::splat(0.0); T]; R];
        if let Some(bias) = self.call.bias {
            for r in 0..R {
                sums[r] = [L::splat(bias[row + r]); T];
            }
        }
        if self.call.accumulate || !first {
            for r in 0..R {
                for t in 0..T {
                    // SAFETY: these places are the unit's own, and lie in the output, as said above.
                    sums[r][t] = unsafe { L::load(to[r].add(t * walk.output[1])) };
                }
            }
        }
        let input = self.input[p * walk.input[0] + q * walk.input[1]..].as_ptr();
        let values = self.call.values[from + at..from + (R - 1) * apart + at + terms].as_ptr();
        for (k, &offset) in offsets.iter().enumerate() {
            // SAFETY: `offset + p * input[0] + (q + T - 1) * input[1] + 16 <= reach`, which `run`
            // held against the block; `k < terms`, so `r * apart + k` lies in the slice above.
            unsafe {
                let at = input.add(offset as usize);
                let x: [L::V; T] = array_of(|t| L::load(at.add(t * walk.input[1])));
                for r in 0..R {
                    let value = L::splat(*values.add(r * apart + k));
                    for t in 0..T {
                        sums[r][t] = L::fma(value, x[t], sums[r][t]);
                    }
                }
            }
        }
        let relu = self.call.relu && last;
        for r in 0..R {
            for t in 0..T {
                // SAFETY: as where the sums began.
                unsafe {
                    let sum = if relu { L::relu(sums[r][t]) } else { sums[r][t] };
                    L::store(to[r].add(t * walk.output[1]), sum);
                }
            }
        }
    }
}
