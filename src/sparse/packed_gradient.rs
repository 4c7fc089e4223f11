//! The gradient of weights over packed patches: eight weights of one row at a time.
//!
//! `grad[row, k] += sum over blocks, tiles, places, lanes of
//!  dout[row, place] * patch[point[row, k] + place]`
//!
//! `unsafe` is allowed here, on the same ground as in [`super::packed`].
#![allow(unsafe_code)]
#![allow(clippy::needless_range_loop)] // As in `gather`.

use std::ops::Range;

use rayon::prelude::*;

use super::blocked::{Blocked, LANES};
use super::gather::Walk;
use super::lanes::{Isa, Lanes, Task, array_of};
use super::packed::reuse;
use super::rows::{PRIVATE, UNITS};
use super::strip::{SUMS, Strip};
use super::tiles::{Chunks, Pile, Term, Tiles, scratch};
use super::weight_gradient::OutputPlaces;

/// Places of a tile: enough that a weight's sum over lanes at its end weighs little.
const PLACES: usize = 16;
/// Rows of a pile where they may not: each pile packs for itself.
const PILE: usize = 256;

/// The pass made ready.
#[derive(Clone, Debug)]
pub(super) struct PackedGradient {
    tiles: Tiles,
    chunks: Chunks,
    /// Where each pile's weights begin, and the end of the last.
    starts: Vec<usize>,
    pub(super) reuse: f64,
}

impl PackedGradient {
    /// Nothing if planes are reused less than `least`.
    pub(super) fn new(
        from: Blocked,
        lists: &[Vec<(Term, u32)>],
        walk: &Walk,
        steps: [usize; 2],
        least: f64,
    ) -> Option<Self> {
        let terms = || lists.iter().flatten().map(|(term, _)| *term);
        let tiles = Tiles::new(from, terms(), walk.places, steps, PLACES);
        let count = terms().count();
        let reuse = reuse(&tiles, count, from.channels);
        if reuse < least {
            return None;
        }
        let piles = if count <= PRIVATE { 1 } else { (lists.len() / PILE).clamp(1, UNITS) };
        let chunks = Chunks::new(&tiles, lists, SUMS, piles)?;
        let mut starts = vec![0];
        for pile in &chunks.piles {
            let terms: usize = lists[pile.rows.clone()].iter().map(Vec::len).sum();
            starts.push(starts[starts.len() - 1] + terms);
        }
        Some(Self { tiles, chunks, starts, reuse })
    }

    pub(super) fn told(&self) -> String {
        self.tiles.told(SUMS)
    }

    /// Bytes of the lists.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.bytes() + size_of_val(&self.starts[..])
    }

    /// Bytes of the sums that it makes while it runs on `blocks` blocks.
    pub(super) fn sums_bytes(&self, blocks: usize) -> usize {
        4 * self.groups(blocks * self.tiles.patches()).1 * self.chunks.points.len()
    }

    /// Patches of a group, of `all`, and groups: each has sums of its own.
    fn groups(&self, all: usize) -> (usize, usize) {
        // Units depend on shapes alone.
        let most = if self.chunks.points.len() <= PRIVATE { UNITS } else { 1 };
        let each = all.div_ceil(most).max(1);
        (each, all.div_ceil(each))
    }

    /// Values that a thread needs while it runs.
    pub(super) fn scratch(&self) -> usize {
        let deep = self.chunks.piles.iter().map(|pile| pile.rows.len()).max().unwrap_or(0);
        (self.tiles.points() + deep * PLACES) * LANES
    }

    /// Adds the gradient of each weight to `grad`.
    pub(super) fn run(
        &self,
        isa: Isa,
        places: OutputPlaces,
        dout: &[f32],
        input: &[f32],
        grad: &mut [f32],
    ) {
        let blocks = dout.len() / places.block;
        let all = blocks * self.tiles.patches();
        assert_eq!(grad.len(), self.chunks.points.len(), "one gradient for each term");
        let (each, groups) = self.groups(all);
        // In the order of visits, which is the order that tiles write them in: a weight's own place is
        // far from the last one's.
        let mut own = vec![0.0; groups * grad.len()];
        let mut units = Vec::new();
        for (group, mut own) in own.chunks_exact_mut(grad.len().max(1)).enumerate() {
            for (pile, ends) in self.chunks.piles.iter().zip(self.starts.windows(2)) {
                let (part, later) = std::mem::take(&mut own).split_at_mut(ends[1] - ends[0]);
                own = later;
                units.push((group * each..((group + 1) * each).min(all), pile, part));
            }
        }
        units.into_par_iter().for_each(|(patches, pile, own)| {
            scratch(self.scratch(), |scratch| {
                let work = Work { pass: self, places, dout, input, blocks };
                isa.run(Unit { work, patches, pile, own, scratch });
            });
        });
        for own in own.chunks_exact(grad.len().max(1)) {
            for (own, at) in own.iter().zip(self.chunks.order()) {
                grad[at] += own;
            }
        }
    }
}

/// What all units share.
#[derive(Clone, Copy)]
struct Work<'a> {
    pass: &'a PackedGradient,
    places: OutputPlaces,
    dout: &'a [f32],
    input: &'a [f32],
    blocks: usize,
}

/// Some patches of one pile of rows.
struct Unit<'a> {
    work: Work<'a>,
    /// Counted over all blocks.
    patches: Range<usize>,
    pile: &'a Pile,
    /// A sum for each weight of the pile, in the order of visits.
    own: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl Task for Unit<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { work, pile, .. } = self;
        let tiles = &work.pass.tiles;
        let (each, points, width) = (tiles.patches(), tiles.points(), L::Strip::WIDTH);
        let (patch, douts) = self.scratch.split_at_mut(points * LANES);
        let block = work.input.len() / work.blocks;
        for index in self.patches {
            let input = &work.input[index / each * block..][..block];
            tiles.pack::<L::Strip>(input, index % each, patch);
            let dout = &work.dout[index / each * work.places.block..][..work.places.block];
            let (row, run) = tiles.of(index % each);
            for tile in run {
                let tile = tiles.tile([row, tile]);
                work.output_gradients::<L::Strip>(dout, tile, pile.rows.clone(), douts);
                for part in 0..LANES / width {
                    let patch = &patch[part * points * width..][..points * width];
                    let patch = &patch[tile.2 * width..];
                    let some = pile.rows.len() * PLACES * width;
                    let douts = &douts[part * some..][..some];
                    work.tile::<L::Strip>(pile, patch, douts, self.own);
                }
            }
        }
    }
}

impl Work<'_> {
    /// The output gradients of a tile's places, row after row: the first lanes of all, then the next.
    /// Zero where no place is.
    #[inline(always)]
    fn output_gradients<S: Strip>(
        &self,
        dout: &[f32],
        (first, live, _): ([usize; 2], [usize; 2], usize),
        rows: Range<usize>,
        to: &mut [f32],
    ) {
        let (places, [height, width]) = (self.places, self.pass.tiles.size);
        assert!(to.len() >= rows.len() * PLACES * LANES && height * width == PLACES);
        let at = places.origin + first[0] * places.step[0] + first[1] * places.step[1];
        let last = |d: usize| (live[d] - 1) * places.step[d];
        let last = (rows.end - 1) * places.plane + at + last(0) + last(1);
        assert!(last + LANES <= dout.len(), "a row reaches beyond a block");
        let some = rows.len() * PLACES * S::WIDTH;
        let mut to = to.as_mut_ptr();
        for row in rows {
            let from = dout.as_ptr().wrapping_add(row * places.plane + at);
            for y in 0..height {
                for x in 0..width {
                    let from = from.wrapping_add(y * places.step[0] + x * places.step[1]);
                    let exists = y < live[0] && x < live[1];
                    for part in 0..LANES / S::WIDTH {
                        // SAFETY: the places that exist end at `last`, and `to` has room for all.
                        unsafe {
                            let value = if exists {
                                S::load(from.add(part * S::WIDTH))
                            } else {
                                S::splat(0.0)
                            };
                            S::store(to.add(part * some), value);
                        }
                    }
                    to = to.wrapping_add(S::WIDTH);
                }
            }
        }
    }

    #[inline(always)]
    fn tile<S: Strip>(&self, pile: &Pile, patch: &[f32], douts: &[f32], mut own: &mut [f32]) {
        let chunks = &self.pass.chunks;
        let mut points = &chunks.points[pile.terms..];
        let whole = chunks.visits[pile.full.clone()].iter();
        for visit in whole.chain(&chunks.visits[pile.rest.clone()]) {
            let (now, later) = points.split_at(visit.terms as usize);
            points = later;
            let row = visit.row as usize - pile.rows.start;
            let douts = &douts[row * PLACES * S::WIDTH..][..PLACES * S::WIDTH];
            let sums = match visit.terms {
                8 => self.terms::<S, 8>(now, patch, douts),
                7 => self.terms::<S, 7>(now, patch, douts),
                6 => self.terms::<S, 6>(now, patch, douts),
                5 => self.terms::<S, 5>(now, patch, douts),
                4 => self.terms::<S, 4>(now, patch, douts),
                3 => self.terms::<S, 3>(now, patch, douts),
                2 => self.terms::<S, 2>(now, patch, douts),
                1 => self.terms::<S, 1>(now, patch, douts),
                _ => continue,
            };
            let (these, rest) = std::mem::take(&mut own).split_at_mut(now.len());
            own = rest;
            // By index, as in `packed`.
            for k in 0..these.len() {
                these[k] += sums[k];
            }
        }
    }

    /// The products of `K` terms, summed over places and lanes.
    #[inline(always)]
    fn terms<S: Strip, const K: usize>(
        &self,
        points: &[u16],
        patch: &[f32],
        douts: &[f32],
    ) -> [f32; SUMS] {
        let tiles = &self.pass.tiles;
        let at: [usize; K] = array_of(|k| usize::from(points[k]) * S::WIDTH);
        let [down, across] = [[1, 0], [0, 1]].map(|place| tiles.place(place) * S::WIDTH);
        let mut sums = [S::splat(0.0); SUMS];
        let mut dout = douts.as_ptr();
        let mut line = patch.as_ptr();
        for _ in 0..tiles.size[0] {
            let mut from = line;
            for _ in 0..tiles.size[1] {
                // SAFETY: `douts` holds a vector for each place, and `Tiles` holds every term's point,
                // at the last place too, inside the patch.
                unsafe {
                    let d = S::load(dout);
                    for k in 0..K {
                        sums[k] = S::fma(d, S::load(from.add(at[k])), sums[k]);
                    }
                    dout = dout.add(S::WIDTH);
                    from = from.wrapping_add(across);
                }
            }
            line = line.wrapping_add(down);
        }
        S::sums(sums)
    }
}
