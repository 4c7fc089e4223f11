//! Forward and input gradient over packed patches: eight places of one row at a time.
//!
//! `out[row, place] = bias[row] + sum over k of value[row, k] * patch[point[row, k] + place]`
//!
//! Terms are summed in list order; between chunks the sums wait in a buffer.
//!
//! `unsafe` is allowed here: the inner loops read and write through pointers. [`Packed::new`] holds
//! every place of every row inside the output and every point inside the patch.
#![allow(unsafe_code)]
#![allow(clippy::needless_range_loop)] // As in `gather`.

use std::ops::Range;

use rayon::prelude::*;

use super::blocked::{Blocked, LANES};
use super::gather::{Call, Shared, Walk};
use super::lanes::{Isa, Lanes, Task, array_of};
use super::rows::UNITS;
use super::strip::{SUMS, Strip};
use super::tiles::{Chunks, Pile, Term, Tiles, scratch};

/// Bytes of packed input that the window of a chunk should take: a first cache of 32 KiB.
const WINDOW: f64 = 30e3;
/// Terms of a chunk, at the fewest and at the most.
const CHUNK: [usize; 2] = [8, 32];
/// Rows below which a layer is not shared out among units: each unit packs for itself.
const SHARE: usize = 256;

/// The reuse of a pass in which so many terms read so many planes, as [`super::table`] counts it.
pub(super) fn reuse(tiles: &Tiles, terms: usize, planes: usize) -> f64 {
    let reuse = terms as f64 / planes.max(1) as f64 * tiles.used();
    let amplification = tiles.window() as f64 / (tiles.size[0] * tiles.size[1]) as f64;
    reuse / (amplification / 3.0)
}

/// A sweep over packed patches.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    pub(super) tiles: Tiles,
    pub(super) chunks: Chunks,
    /// Where the first place of row 0 lies in a block of the output, and how far a row is from it.
    origin: usize,
    plane: usize,
    /// Values between places of the output.
    step: [usize; 2],
    planes: usize,
    pub(super) reuse: f64,
}

impl Packed {
    /// A sweep of `lists` over `from`, writing places `walk` from `origin` on in each of `planes`
    /// planes. Nothing if planes are reused less than `least`.
    pub(super) fn new(
        from: Blocked,
        lists: &[Vec<(Term, u32)>],
        walk: &Walk,
        steps: [usize; 2],
        (origin, plane): (usize, usize),
        least: f64,
    ) -> Option<Self> {
        let terms = || lists.iter().flatten().map(|(term, _)| *term);
        let tiles = Tiles::new(from, terms(), walk.places, steps, SUMS);
        let count = terms().count();
        let reuse = reuse(&tiles, count, from.channels);
        if reuse < least {
            return None;
        }
        let window = WINDOW / (tiles.window() * 32) as f64;
        let each = count as f64 / (lists.len() * from.channels) as f64;
        let chunk = ((window * each) as usize / 4 * 4).clamp(CHUNK[0], CHUNK[1]);
        let piles = UNITS.div_ceil(tiles.patches()).min(lists.len() / SHARE).max(1);
        let chunks = Chunks::new(&tiles, lists, chunk, piles)?;
        let last = |d: usize| (walk.places[d] - 1) * walk.output[d];
        let furthest = origin + last(0) + last(1) + LANES;
        assert!(furthest <= plane, "a row writes {furthest} values into a plane of {plane}");
        let planes = lists.len();
        Some(Self { tiles, chunks, origin, plane, step: walk.output, planes, reuse })
    }

    /// Values that a thread needs while it runs.
    pub(super) fn scratch(&self) -> usize {
        let deep = self.chunks.piles.iter().map(|pile| pile.rows.len()).max().unwrap_or(0);
        (self.tiles.points() + deep * SUMS) * LANES
    }

    /// Applies the sweep to every block, with values in the order of visits.
    pub(super) fn run(&self, isa: Isa, call: Call<'_>, blocks: usize, to: Shared) {
        assert_eq!(call.values.len(), self.chunks.points.len(), "one value for each term");
        let each = self.tiles.patches();
        let (all, piles) = (blocks * each, &self.chunks.piles);
        // Units depend on shapes alone.
        let group = all.div_ceil(4 * UNITS).max(1);
        let groups = all.div_ceil(group);
        (0..groups * piles.len()).into_par_iter().for_each(|unit| {
            let first = unit / piles.len() * group;
            let patches = first..(first + group).min(all);
            let pile = &piles[unit % piles.len()];
            scratch(self.scratch(), |scratch| {
                isa.run(Unit { sweep: self, call, to, patches, pile, blocks, scratch });
            });
        });
    }
}

/// Some patches of one pile of rows.
struct Unit<'a> {
    sweep: &'a Packed,
    call: Call<'a>,
    to: Shared,
    /// Counted over all blocks.
    patches: Range<usize>,
    pile: &'a Pile,
    blocks: usize,
    scratch: &'a mut [f32],
}

impl Task for Unit<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { sweep, call, to, pile, blocks, .. } = self;
        let tiles = &sweep.tiles;
        let (each, points) = (tiles.patches(), tiles.points());
        let (patch, sums) = self.scratch.split_at_mut(points * LANES);
        let block = call.input.len() / blocks;
        let width = L::Strip::WIDTH;
        for index in self.patches {
            let input = &call.input[index / each * block..][..block];
            tiles.pack::<L::Strip>(input, index % each, patch);
            let (row, run) = tiles.of(index % each);
            for tile in run {
                let (first, live, start) = tiles.tile([row, tile]);
                let at = index / each * sweep.planes * sweep.plane
                    + sweep.origin
                    + first[0] * sweep.step[0]
                    + first[1] * sweep.step[1];
                for part in 0..LANES / width {
                    let patch = &patch[part * points * width..][start * width..points * width];
                    // SAFETY: the output holds all blocks, and `Packed::new` held the places inside.
                    let to = unsafe { to.at(at + part * width) };
                    let tile = Tile::new::<L::Strip>(sweep, call, patch, live, to);
                    tile.run::<L::Strip>(pile, sums);
                }
            }
        }
    }
}

/// One tile.
struct Tile<'a> {
    sweep: &'a Packed,
    call: Call<'a>,
    patch: &'a [f32],
    /// Where the tile begins in the plane of row 0.
    to: *mut f32,
    /// Values of the patch from the first place to each.
    reads: [usize; SUMS],
    /// Values of the output from the first place to each.
    writes: [usize; SUMS],
    exist: [bool; SUMS],
    whole: bool,
}

impl<'a> Tile<'a> {
    #[inline(always)]
    fn new<S: Strip>(
        sweep: &'a Packed,
        call: Call<'a>,
        patch: &'a [f32],
        live: [usize; 2],
        to: *mut f32,
    ) -> Self {
        let width = sweep.tiles.size[1];
        let place = |i: usize| [i / width, i % width];
        let reads = array_of(|i| sweep.tiles.place(place(i)) * S::WIDTH);
        let writes = array_of(|i| {
            let [y, x] = place(i);
            y * sweep.step[0] + x * sweep.step[1]
        });
        let exist = array_of(|i| place(i)[0] < live[0] && place(i)[1] < live[1]);
        let whole = live == sweep.tiles.size;
        Self { sweep, call, patch, to, reads, writes, exist, whole }
    }

    #[inline(always)]
    fn run<S: Strip>(&self, pile: &Pile, sums: &mut [f32]) {
        let chunks = &self.sweep.chunks;
        let mut terms = Terms {
            patch: self.patch.as_ptr(),
            points: chunks.points[pile.terms..].as_ptr(),
            values: self.call.values[pile.terms..].as_ptr(),
            places: self.reads,
        };
        let wait = SUMS * S::WIDTH;
        assert!(sums.len() >= pile.rows.len() * wait, "all rows' sums can wait");
        let (waiting, first) = (sums.as_mut_ptr(), pile.rows.start);
        let place = |row: usize| waiting.wrapping_add((row - first) * wait);
        if !pile.full.is_empty() {
            for row in pile.rows.clone() {
                // SAFETY: the rows of the pile have their places, as asserted.
                unsafe { write::<S>(place(row), self.begin::<S>(row)) };
            }
            for visit in &chunks.visits[pile.full.clone()] {
                let place = place(visit.row as usize);
                // SAFETY: `place` is that of the row's sums, and the pile's visits have as many terms
                // as points and values follow: `Chunks::new`, and `Packed::run` for the values.
                unsafe { write::<S>(place, terms.add::<S, 4>(chunks.chunk, read::<S>(place))) };
            }
        }
        for visit in &chunks.visits[pile.rest.clone()] {
            let row = visit.row as usize;
            // SAFETY: as above.
            let held = unsafe {
                let held = match pile.full.is_empty() {
                    true => self.begin::<S>(row),
                    false => read::<S>(place(row)),
                };
                terms.add::<S, 1>(visit.terms as usize, held)
            };
            self.end::<S>(row, held);
        }
    }

    /// What a row's sums begin with.
    #[inline(always)]
    fn begin<S: Strip>(&self, row: usize) -> [S::V; SUMS] {
        let mut sums = [S::splat(self.call.bias.map_or(0.0, |bias| bias[row])); SUMS];
        if self.call.accumulate {
            let from = self.to.wrapping_add(row * self.sweep.plane);
            for (i, sum) in sums.iter_mut().enumerate() {
                if self.exist[i] {
                    // SAFETY: a place that exists lies in the output, and belongs to this unit.
                    *sum = unsafe { S::load(from.add(self.writes[i])) };
                }
            }
        }
        sums
    }

    #[inline(always)]
    fn end<S: Strip>(&self, row: usize, sums: [S::V; SUMS]) {
        let sums = if self.call.relu { array_of(|i| S::relu(sums[i])) } else { sums };
        let to = self.to.wrapping_add(row * self.sweep.plane);
        for i in 0..SUMS {
            if self.whole || self.exist[i] {
                // SAFETY: as in `begin`.
                unsafe { S::store(to.add(self.writes[i]), sums[i]) };
            }
        }
    }
}

/// # Safety
/// A row's sums must be readable at `from`.
#[inline(always)]
unsafe fn read<S: Strip>(from: *const f32) -> [S::V; SUMS] {
    // SAFETY: the caller vouches for it.
    array_of(|i| unsafe { S::load(from.add(i * S::WIDTH)) })
}

/// # Safety
/// A row's sums must be writable at `to`.
#[inline(always)]
unsafe fn write<S: Strip>(to: *mut f32, sums: [S::V; SUMS]) {
    for i in 0..SUMS {
        // SAFETY: the caller vouches for it.
        unsafe { S::store(to.add(i * S::WIDTH), sums[i]) };
    }
}

/// Terms still to come, of one tile.
struct Terms {
    patch: *const f32,
    points: *const u16,
    values: *const f32,
    places: [usize; SUMS],
}

impl Terms {
    /// Adds the next `count` terms to `sums`, `STEP` of them at a time; `STEP` divides `count`.
    ///
    /// # Safety
    /// As many points and values must follow, and each point, and all places from it, lie in the patch.
    #[inline(always)]
    unsafe fn add<S: Strip, const STEP: usize>(
        &mut self,
        count: usize,
        mut sums: [S::V; SUMS],
    ) -> [S::V; SUMS] {
        for k in (0..count).step_by(STEP) {
            for k in k..k + STEP {
                // SAFETY: the caller vouches for it. Points are read one by one: put together in a
                // vector, as a compiler would, they cost more to take apart than to read.
                unsafe {
                    let point = usize::from(self.points.add(k).read_volatile());
                    let at = self.patch.add(point * S::WIDTH);
                    let value = S::splat(*self.values.add(k));
                    // By index: in a build without optimisation across units `zip` stays a function, and
                    // what it is given leaves its registers.
                    for i in 0..SUMS {
                        sums[i] = S::fma(value, S::load(at.add(self.places[i])), sums[i]);
                    }
                }
            }
        }
        // SAFETY: as above.
        (self.points, self.values) = unsafe { (self.points.add(count), self.values.add(count)) };
        sums
    }
}
