//! The one kernel behind every convolution and linear layer, forward and back to the input.
//!
//! `out[row, p, q] = sum over k of value[row, k] * in[offset[row, k] + p * in_row + q * in_col]`
//!
//! A row is an output channel (forward) or an input channel (input gradient); each weight that
//! exists is one constant offset in the blocked layout. Eight (sparse) or four by four (dense)
//! vectors of accumulators stay in registers while the list of weights streams by. Terms are summed
//! in list order.
//!
//! `unsafe` is allowed here: the inner loops read through pointers. [`Sweep::new`] computes how far
//! any of them reaches, and [`Sweep::run`] asserts that the slices are that long.
#![allow(unsafe_code)]

use rayon::prelude::*;

use super::LANES;
use super::lanes::{Isa, Lanes, Task};

/// The weights of each row, as offsets into a block of the input.
#[derive(Clone, Debug)]
pub(super) enum Rows {
    /// Every row has the same list: the layer is dense.
    Uniform {
        /// How many rows.
        rows: usize,
        /// Their common list.
        offsets: Vec<u32>,
    },
    /// Row `r` has `offsets[starts[r]..starts[r + 1]]`.
    Ragged {
        /// Where each row begins; one more than there are rows.
        starts: Vec<u32>,
        /// All lists, one after another.
        offsets: Vec<u32>,
    },
}

impl Rows {
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Uniform { rows, .. } => *rows,
            Self::Ragged { starts, .. } => starts.len() - 1,
        }
    }

    pub(super) fn terms(&self) -> usize {
        match self {
            Self::Uniform { rows, offsets } => rows * offsets.len(),
            Self::Ragged { offsets, .. } => offsets.len(),
        }
    }

    /// The list of row `row`, and where its values begin.
    #[inline(always)]
    pub(super) fn list(&self, row: usize) -> (&[u32], usize) {
        match self {
            Self::Uniform { offsets, .. } => (offsets, row * offsets.len()),
            Self::Ragged { starts, offsets } => {
                let start = starts[row] as usize;
                (&offsets[start..starts[row + 1] as usize], start)
            }
        }
    }

    /// Makes rows of lists, uniform if all lists are equal.
    pub(super) fn of(lists: Vec<Vec<u32>>) -> Self {
        let same = lists.windows(2).all(|pair| pair[0] == pair[1]);
        if same && !lists.is_empty() {
            return Self::Uniform { rows: lists.len(), offsets: lists[0].clone() };
        }
        let mut starts = vec![0];
        let mut offsets = Vec::new();
        for list in lists {
            offsets.extend_from_slice(&list);
            starts.push(offsets.len() as u32);
        }
        Self::Ragged { starts, offsets }
    }
}

/// How a sweep walks over places.
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
}

/// A list of weights and the places they are applied at.
#[derive(Clone, Debug)]
pub(super) struct Sweep {
    pub(super) rows: Rows,
    pub(super) walk: Walk,
    /// Where, inside its plane, each row's first place lies in the output.
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
    /// If a target's places do not lie inside a plane, or there is not one target for each row.
    pub(super) fn new(
        rows: Rows,
        walk: Walk,
        targets: Vec<u32>,
        per_plane: usize,
        plane: usize,
    ) -> Self {
        assert_eq!(rows.count(), targets.len(), "one target for each row");
        let furthest = targets.iter().max().map_or(0, |&t| t as usize + walk.reach(walk.output));
        assert!(furthest <= plane, "a row writes {furthest} values into a plane of {plane}");
        let offsets = match &rows {
            Rows::Uniform { offsets, .. } | Rows::Ragged { offsets, .. } => offsets,
        };
        let reach = offsets.iter().max().map_or(0, |&o| o as usize + walk.reach(walk.input));
        Self { rows, walk, targets, rows_per_plane: per_plane, plane, reach }
    }

    /// Applies the sweep to every block of `input`, writing (or adding to) the interior of `output`.
    ///
    /// `values` holds each row's values in list order. `input` and `output` hold the same number of
    /// blocks; `planes_per_unit` shapes the units of work.
    pub(super) fn run(&self, isa: Isa, call: Call<'_>, output: &mut [f32]) {
        let planes = self.rows.count() / self.rows_per_plane;
        let blocks = output.len() / (planes * self.plane).max(1);
        if blocks == 0 || self.walk.places.contains(&0) {
            return;
        }
        assert_eq!(call.values.len(), self.rows.terms(), "one value for each term");
        assert_eq!(call.input.len() % blocks, 0, "input and output hold the same blocks");
        assert!(call.bias.is_none_or(|bias| bias.len() == self.rows.count()), "one bias a row");
        let block = call.input.len() / blocks;
        assert!(self.reach <= block, "the sweep reads {} of a block of {block}", self.reach);
        // Units depend on shapes alone: whole blocks where there are many, else parts of them.
        let parts = if blocks >= 16 { 1 } else { 8usize.min(planes) };
        let per_unit = planes.div_ceil(parts);
        let units: Vec<(usize, &mut [f32])> = output
            .chunks_exact_mut(planes * self.plane)
            .flat_map(|out| out.chunks_mut(per_unit * self.plane))
            .enumerate()
            .collect();
        let parts = planes.div_ceil(per_unit);
        units.into_par_iter().for_each(|(unit, output)| {
            let first = unit % parts * per_unit;
            let input = &call.input[unit / parts * block..][..block];
            isa.run(Unit { sweep: self, call, input, output, first });
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

/// Some planes of one block.
struct Unit<'a> {
    sweep: &'a Sweep,
    call: Call<'a>,
    input: &'a [f32],
    output: &'a mut [f32],
    first: usize,
}

impl Task for Unit<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self) {
        let per_plane = self.sweep.rows_per_plane;
        let planes = self.output.len() / self.sweep.plane;
        let (start, end) = (self.first * per_plane, (self.first + planes) * per_plane);
        let uniform = matches!(self.sweep.rows, Rows::Uniform { .. });
        for p in 0..self.sweep.walk.places[0] {
            let mut row = start;
            if uniform {
                let narrow = self.sweep.walk.places[1] < 4;
                let tall = if !L::WIDE {
                    2
                } else if narrow {
                    8
                } else {
                    4
                };
                while row + tall <= end {
                    match (L::WIDE, narrow) {
                        (false, _) => self.line::<L, 2, 2>(row, p),
                        (true, false) => self.line::<L, 4, 4>(row, p),
                        (true, true) => self.line::<L, 8, 2>(row, p),
                    }
                    row += tall;
                }
            }
            for row in row..end {
                if L::WIDE {
                    self.line::<L, 1, 8>(row, p);
                } else {
                    self.line::<L, 1, 4>(row, p);
                }
            }
        }
    }
}

impl Unit<'_> {
    /// One line of places of `R` rows, `T` places at a time, then what is left in smaller tiles.
    #[inline(always)]
    fn line<L: Lanes, const R: usize, const T: usize>(&mut self, row: usize, p: usize) {
        let width = self.sweep.walk.places[1];
        let mut q = 0;
        while q + T <= width {
            self.tile::<L, R, T>(row, p, q);
            q += T;
        }
        if T > 4 && q + 4 <= width {
            self.tile::<L, R, 4>(row, p, q);
            q += 4;
        }
        if T > 2 && q + 2 <= width {
            self.tile::<L, R, 2>(row, p, q);
            q += 2;
        }
        if T > 1 && q < width {
            self.tile::<L, R, 1>(row, p, q);
        }
    }

    /// `R` rows at `T` neighbouring places.
    #[inline(always)]
    fn tile<L: Lanes, const R: usize, const T: usize>(&mut self, row: usize, p: usize, q: usize) {
        let Sweep { rows, walk, targets, rows_per_plane, plane, .. } = self.sweep;
        let (offsets, from) = rows.list(row);
        let terms = offsets.len();
        let target = |r: usize| {
            let row = row + r;
            (row / rows_per_plane - self.first) * plane
                + targets[row] as usize
                + p * walk.output[0]
                + q * walk.output[1]
        };
        let targets: [usize; R] = std::array::from_fn(target);
        let bias = |r: usize| self.call.bias.map_or(0.0, |bias| bias[row + r]);
        let mut sums: [[L::V; T]; R] = std::array::from_fn(|r| [L::splat(bias(r)); T]);
        let input = self.input[p * walk.input[0] + q * walk.input[1]..].as_ptr();
        let values = self.call.values[from..from + R * terms].as_ptr();
        for (k, &offset) in offsets.iter().enumerate() {
            // SAFETY: `offset + p * input[0] + (q + T - 1) * input[1] + 16 <= reach`, which `run`
            // held against the block; `k < terms`, so `r * terms + k` lies in the slice above.
            unsafe {
                let at = input.add(offset as usize);
                let x: [L::V; T] = std::array::from_fn(|t| L::load(at.add(t * walk.input[1])));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let value = L::splat(*values.add(r * terms + k));
                    for t in 0..T {
                        sums[t] = L::fma(value, x[t], sums[t]);
                    }
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            let last = targets[r] + (T - 1) * walk.output[1] + LANES;
            assert!(last <= self.output.len(), "a tile reaches beyond its planes");
            for (t, mut sum) in sums.into_iter().enumerate() {
                // SAFETY: the furthest of these places was just held against the slice.
                unsafe {
                    let at = self.output.as_mut_ptr().add(targets[r] + t * walk.output[1]);
                    if self.call.accumulate {
                        sum = L::add(L::load(at), sum);
                    }
                    L::store(at, if self.call.relu { L::relu(sum) } else { sum });
                }
            }
        }
    }
}
