//! The inner loops of a layer over one sample: lists of weights past vectors of places, rows of
//! weights past tiles of filters, and single places as dot products.
//!
//! `out[f, place] = bias[f] + sum over k of value[f, k] * in[offset[f, k] + from(place)]`, then the
//! addend, then the rectifier. A vector is sixteen places of one plane that lie side by side, so a
//! weight is one broadcast; [`Spot`] says where the vector begins in each tensor.
//!
//! Terms are summed in list order, in as many interleaved sums as keep the multiplier busy: `P` where
//! a plane has few vectors. The number depends on shapes and instruction set alone.
//!
//! `unsafe` is allowed here: the loops read and write through pointers. [`super::layer::Layer`] holds,
//! when it is made, how far any of them reaches against the places that its tensors have.
#![allow(unsafe_code)]
#![allow(clippy::needless_range_loop)] // By index, as in `sparse::gather`.

use std::ops::Range;

use super::super::LANES;
use super::super::lanes::{Lanes, Task, sum_lanes};

/// Filters that a dense layer computes at once.
pub(super) const TILE: usize = 4;
/// Vectors of places that a sparse list streams past at once.
pub(super) const VECTORS: usize = 4;

/// A weight that exists: what it multiplies, and by what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    pub offset: u32,
    pub value: f32,
}

/// Where a vector of places begins, inside a plane of the output and of the addend, and behind a
/// term's offset in the input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    pub from: u32,
    pub to: u32,
    pub second: u32,
}

/// A layer's weights, as its kernel goes through them.
#[derive(Clone, Debug)]
pub(super) enum Weights {
    /// Lists, cut by input channels into `blocks` so that what a block reads stays in the nearest cache
    /// while all filters of a unit pass over it: `[unit][block][filter of the unit]`, list `i` from
    /// `starts[i]` to `starts[i + 1]`.
    Lists { blocks: usize, starts: Vec<u32>, terms: Vec<Term> },
    /// Every weight exists: offsets once, values by [`TILE`] filters, `[F / TILE][K][TILE]`.
    Tiles { offsets: Vec<u32>, values: Vec<f32> },
    /// Every weight exists and a filter has one place, whose inputs lie side by side: `[F][K]`.
    Rows { depth: usize, values: Vec<f32> },
}

/// Which block of the lists it is: sums begin with the bias in the first, and are finished in the last.
#[derive(Clone, Copy)]
struct Part {
    first: bool,
    last: bool,
}

/// What a unit of a layer reads and writes.
pub(super) struct Unit<'a> {
    pub weights: &'a Weights,
    pub bias: &'a [f32],
    pub spots: &'a [Spot],
    /// Lanes of each vector that are places of the output.
    pub lanes: usize,
    pub filters: Range<usize>,
    /// The input.
    pub from: &'a [f32],
    /// The planes of `filters`, and how far apart they are.
    pub to: &'a mut [f32],
    pub plane: usize,
    /// The addend's planes of `filters`, and how far apart they are.
    pub second: Option<(&'a [f32], usize)>,
    pub relu: bool,
}

impl Task for Unit<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self) {
        match self.weights {
            Weights::Lists { starts, terms, .. } if self.is_dot() => {
                for filter in self.filters.clone() {
                    let terms = &terms[starts[filter] as usize..starts[filter + 1] as usize];
                    // SAFETY: offsets of terms lie inside the input (module doc).
                    let sum = unsafe { dot(terms, self.from) };
                    self.put(filter, sum);
                }
            }
            Weights::Rows { depth, values } => {
                for filter in self.filters.clone() {
                    let sum = row::<L>(&values[filter * depth..][..*depth], self.from);
                    self.put(filter, sum);
                }
            }
            Weights::Lists { blocks, starts, terms } => {
                let filters = self.filters.len();
                let starts = &starts[self.filters.start * blocks..];
                for spots in self.spots.chunks(VECTORS) {
                    for block in 0..*blocks {
                        let part = Part { first: block == 0, last: block + 1 == *blocks };
                        let lists = (&starts[block * filters..][..filters + 1], &terms[..]);
                        // SAFETY: terms and spots lie inside the tensors (module doc).
                        unsafe {
                            match (spots.len(), L::WIDE) {
                                (1, false) => self.lists::<L, 1, 4>(spots, lists, part),
                                (1, true) => self.lists::<L, 1, 8>(spots, lists, part),
                                (2, false) => self.lists::<L, 2, 2>(spots, lists, part),
                                (2, true) => self.lists::<L, 2, 4>(spots, lists, part),
                                (3, false) => self.lists::<L, 3, 1>(spots, lists, part),
                                (3, true) => self.lists::<L, 3, 2>(spots, lists, part),
                                (_, false) => self.lists::<L, 4, 1>(spots, lists, part),
                                (_, true) => self.lists::<L, 4, 2>(spots, lists, part),
                            }
                        }
                    }
                }
            }
            Weights::Tiles { offsets, values } => {
                for spots in self.spots.chunks(if L::WIDE { 2 } else { 1 }) {
                    // SAFETY: offsets and spots lie inside the tensors (module doc).
                    unsafe {
                        match spots.len() {
                            1 => self.tiles::<L, 1>(spots, offsets, values),
                            _ => self.tiles::<L, 2>(spots, offsets, values),
                        }
                    }
                }
            }
        }
    }
}

impl Unit<'_> {
    fn is_dot(&self) -> bool {
        self.lanes == 1 && self.spots.len() == 1
    }

    /// Writes the one place of `filter`.
    #[inline(always)]
    fn put(&mut self, filter: usize, sum: f32) {
        let (spot, index) = (self.spots[0], filter - self.filters.start);
        let mut sum = sum + self.bias[filter];
        if let Some((second, plane)) = self.second {
            sum += second[index * plane + spot.second as usize];
        }
        // As the vectors do it: a NaN stays one.
        let shut = self.relu && sum < 0.0;
        self.to[index * self.plane + spot.to as usize] = if shut { 0.0 } else { sum };
    }

    /// `T` vectors of places of each filter, in `P` interleaved sums.
    ///
    /// # Safety
    /// Terms and spots lie inside the tensors, sixteen values from each on; if the lists go on in
    /// another block, inside the output too.
    #[inline(always)]
    unsafe fn lists<L: Lanes, const T: usize, const P: usize>(
        &mut self,
        spots: &[Spot],
        (starts, terms): (&[u32], &[Term]),
        part: Part,
    ) {
        let mut from = [self.from.as_ptr(); T];
        for (from, spot) in from.iter_mut().zip(spots) {
            // SAFETY: the caller vouches for it.
            *from = unsafe { from.add(spot.from as usize) };
        }
        for filter in self.filters.clone() {
            let index = filter - self.filters.start;
            let terms = &terms[starts[index] as usize..starts[index + 1] as usize];
            let mut sums = [[L::splat(0.0); T]; P];
            if part.first {
                sums[0] = [L::splat(self.bias[filter]); T];
            } else {
                for (sum, spot) in sums[0].iter_mut().zip(spots) {
                    let at = index * self.plane + spot.to as usize;
                    // SAFETY: the caller vouches for it, and the block before wrote there.
                    *sum = unsafe { L::load(self.to.as_ptr().add(at)) };
                }
            }
            let (whole, rest) = terms.as_chunks::<P>();
            for terms in whole {
                for p in 0..P {
                    // SAFETY: the caller vouches for it.
                    unsafe { take::<L, T>(&terms[p], &from, &mut sums[p]) };
                }
            }
            // Fewer than `P`.
            for p in 0..rest.len() {
                // SAFETY: the caller vouches for it.
                unsafe { take::<L, T>(&rest[p], &from, &mut sums[p]) };
            }
            let mut sum = sums[0];
            for p in 1..P {
                for t in 0..T {
                    sum[t] = L::add(sum[t], sums[p][t]);
                }
            }
            for (spot, sum) in spots.iter().zip(sum) {
                // SAFETY: the caller vouches for it; where there are blocks, all lanes are places.
                unsafe {
                    if part.last {
                        self.store::<L>(filter, *spot, sum);
                    } else {
                        let at = index * self.plane + spot.to as usize;
                        L::store(self.to.as_mut_ptr().add(at), sum);
                    }
                }
            }
        }
    }

    /// `T` vectors of places of each tile of filters.
    ///
    /// # Safety
    /// As [`Unit::lists`].
    #[inline(always)]
    unsafe fn tiles<L: Lanes, const T: usize>(
        &mut self,
        spots: &[Spot],
        offsets: &[u32],
        values: &[f32],
    ) {
        let mut from = [self.from.as_ptr(); T];
        for (from, spot) in from.iter_mut().zip(spots) {
            // SAFETY: the caller vouches for it.
            *from = unsafe { from.add(spot.from as usize) };
        }
        for first in self.filters.clone().step_by(TILE) {
            let mut sums = [[L::splat(0.0); T]; TILE];
            for (sums, bias) in sums.iter_mut().zip(&self.bias[first..]) {
                *sums = [L::splat(*bias); T];
            }
            let values = &values[first * offsets.len()..][..TILE * offsets.len()];
            for (&offset, values) in offsets.iter().zip(values.as_chunks::<TILE>().0) {
                let mut x = [L::splat(0.0); T];
                for t in 0..T {
                    // SAFETY: the caller vouches for it.
                    x[t] = unsafe { L::load(from[t].add(offset as usize)) };
                }
                for row in 0..TILE {
                    let value = L::splat(values[row]);
                    for t in 0..T {
                        sums[row][t] = L::fma(value, x[t], sums[row][t]);
                    }
                }
            }
            for (filter, sums) in (first..self.filters.end).zip(sums) {
                for (spot, sum) in spots.iter().zip(sums) {
                    // SAFETY: the caller vouches for it.
                    unsafe { self.store::<L>(filter, *spot, sum) };
                }
            }
        }
    }

    /// Adds the addend, rectifies and writes.
    ///
    /// # Safety
    /// The spot lies inside the addend, sixteen values from it on, and inside the output, as many
    /// values as are places.
    #[inline(always)]
    unsafe fn store<L: Lanes>(&mut self, filter: usize, spot: Spot, mut sum: L::V) {
        let index = filter - self.filters.start;
        if let Some((second, plane)) = self.second {
            // SAFETY: the caller vouches for it.
            let addend =
                unsafe { L::load(second.as_ptr().add(index * plane + spot.second as usize)) };
            sum = L::add(sum, addend);
        }
        if self.relu {
            sum = L::relu(sum);
        }
        let to = index * self.plane + spot.to as usize;
        if self.lanes == LANES {
            // SAFETY: the caller vouches for it.
            unsafe { L::store(self.to.as_mut_ptr().add(to), sum) };
        } else {
            self.to[to..to + self.lanes].copy_from_slice(&L::array(sum)[..self.lanes]);
        }
    }
}

/// Adds one term to `T` vectors.
///
/// # Safety
/// Sixteen values can be read from each of `from`, the term's offset on.
#[inline(always)]
unsafe fn take<L: Lanes, const T: usize>(
    term: &Term,
    from: &[*const f32; T],
    sums: &mut [L::V; T],
) {
    let value = L::splat(term.value);
    for t in 0..T {
        // SAFETY: the caller vouches for it.
        let x = unsafe { L::load(from[t].add(term.offset as usize)) };
        sums[t] = L::fma(value, x, sums[t]);
    }
}

/// The sum of scattered products, in four interleaved sums.
///
/// # Safety
/// Every offset lies inside `from`.
#[inline(always)]
unsafe fn dot(terms: &[Term], from: &[f32]) -> f32 {
    let mut sums = [0.0; 4];
    let (whole, rest) = terms.as_chunks::<4>();
    for terms in whole {
        for k in 0..4 {
            // SAFETY: the caller vouches for it.
            sums[k] += terms[k].value * unsafe { from.get_unchecked(terms[k].offset as usize) };
        }
    }
    for (sum, term) in sums.iter_mut().zip(rest) {
        *sum += term.value * from[term.offset as usize];
    }
    (sums[0] + sums[2]) + (sums[1] + sums[3])
}

/// The sum of products of neighbours, by vectors.
#[inline(always)]
fn row<L: Lanes>(values: &[f32], from: &[f32]) -> f32 {
    let ((whole, rest), (x, x_rest)) =
        (values.as_chunks::<LANES>(), from[..values.len()].as_chunks::<LANES>());
    let mut sums = [L::splat(0.0); 4];
    for (values, x) in whole.chunks(4).zip(x.chunks(4)) {
        for ((sum, values), x) in sums.iter_mut().zip(values).zip(x) {
            *sum = L::fma(L::of(values), L::of(x), *sum);
        }
    }
    let mut last = [0.0; LANES];
    for ((last, value), x) in last.iter_mut().zip(rest).zip(x_rest) {
        *last = value * x;
    }
    let sum = L::add(L::add(sums[0], sums[2]), L::add(sums[1], sums[3]));
    L::sum(sum) + sum_lanes(last)
}
