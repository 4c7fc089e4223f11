//! Tiles of places, and the patch of the input that a tile reads, packed side by side.
//!
//! A plane's rows lie pages apart, and planes of one size fall on one another in a cache. What a tile
//! reads of all planes is therefore copied once into a buffer without gaps, and each weight is one
//! offset into it, the same for every tile. Lists are cut into chunks of equal length, which are gone
//! through in the order of the planes they begin at: so a window of a few planes moves over the
//! buffer and stays in the first cache.
//!
//! Knows no value and no place of the output.
//!
//! `unsafe` is allowed here: packing copies vectors through pointers, inside bounds that it asserts.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ops::Range;

use super::blocked::{Blocked, LANES};
use super::strip::Strip;

/// What a weight reads for the first place: a plane, and a point of it, halo included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub plane: u32,
    pub point: [u32; 2],
}

impl Term {
    /// As an offset into a block of `from`.
    pub(super) fn offset(self, from: Blocked) -> usize {
        let [plane, y, x] = [self.plane, self.point[0], self.point[1]].map(|at| at as usize);
        plane * from.plane() + y * from.row() + x * LANES
    }
}

/// How places are cut into tiles, and what a tile's patch is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    from: Blocked,
    places: [usize; 2],
    /// Places of a tile.
    pub size: [usize; 2],
    /// Tiles, in each direction.
    pub count: [usize; 2],
    /// Neighbouring tiles of a row that are packed together.
    run: usize,
    /// Points of a patch, in each direction.
    patch: [usize; 2],
    /// The point of the input at which the first patch begins.
    origin: [usize; 2],
    /// Points of the input from one point of a patch to the next.
    stride: [usize; 2],
    /// Points of a patch from one place to the next.
    step: [usize; 2],
    /// Points of the input from one tile to the next.
    advance: [usize; 2],
}

impl Tiles {
    /// Tiles of `total` places, which are `steps` points apart in `from`; of the shapes that hold
    /// them, the one that packs the least.
    pub(super) fn new(
        from: Blocked,
        terms: impl Iterator<Item = Term> + Clone,
        places: [usize; 2],
        steps: [usize; 2],
        total: usize,
    ) -> Self {
        let bound = |d: usize| {
            let points = || terms.clone().map(|term| term.point[d] as usize);
            (points().min().unwrap_or(0), points().max().unwrap_or(0))
        };
        let bounds = [bound(0), bound(1)];
        let shape = |rows: usize, run: usize| {
            let size = [rows, total / rows];
            let count = [0, 1].map(|d| places[d].div_ceil(size[d]));
            // Where all terms read one point of a line, what lies between places is left out.
            let single = [0, 1].map(|d| bounds[d].0 == bounds[d].1);
            let step = [0, 1].map(|d| if single[d] { 1 } else { steps[d] });
            let side =
                |d: usize, places: usize| (places - 1) * step[d] + bounds[d].1 - bounds[d].0 + 1;
            let patch = [side(0, size[0]), side(1, run * size[1])];
            let stride = [0, 1].map(|d| if single[d] { steps[d].max(1) } else { 1 });
            let advance = [0, 1].map(|d| size[d] * steps[d]);
            let origin = [bounds[0].0, bounds[1].0];
            Self { from, places, size, count, run, patch, origin, stride, step, advance }
        };
        let mut best = shape(1, 1);
        let mut rows = 2;
        while rows <= total {
            let other = shape(rows, 1);
            let cost = |tiles: &Self| tiles.tiles() * (tiles.plane() + total);
            if total.is_multiple_of(rows) && cost(&other) < cost(&best) {
                best = other;
            }
            rows *= 2;
        }
        let mut run = best.count[1].max(1);
        while run > 1 && shape(best.size[0], run).points() * LANES * 4 > PACKED {
            run = run.div_ceil(2);
        }
        shape(best.size[0], run)
    }

    /// For people: places of a tile, tiles of a patch, terms of a chunk.
    pub(super) fn told(&self, chunk: usize) -> String {
        let [rows, columns] = self.size;
        format!("packed {rows}x{columns}*{} by {chunk}", self.run)
    }

    /// Tiles of one block.
    fn tiles(&self) -> usize {
        self.count[0] * self.count[1]
    }

    /// Patches of one block.
    pub(super) fn patches(&self) -> usize {
        self.count[0] * self.count[1].div_ceil(self.run)
    }

    /// The tiles of a patch: the row that they are in, and which of it.
    pub(super) fn of(&self, patch: usize) -> (usize, Range<usize>) {
        let across = self.count[1].div_ceil(self.run);
        let first = patch % across * self.run;
        (patch / across, first..(first + self.run).min(self.count[1]))
    }

    /// Points of a patch, of all planes.
    pub(super) fn points(&self) -> usize {
        self.from.channels * self.plane()
    }

    /// Points of a patch that one plane has.
    fn plane(&self) -> usize {
        self.patch[0] * self.patch[1]
    }

    /// Points of a plane that one tile reads.
    pub(super) fn window(&self) -> usize {
        self.patch[0] * (self.patch[1] - (self.run - 1) * self.size[1] * self.step[1])
    }

    /// The share of computed places that exist.
    pub(super) fn used(&self) -> f64 {
        let computed = self.tiles() * self.size[0] * self.size[1];
        (self.places[0] * self.places[1]) as f64 / computed.max(1) as f64
    }

    /// The point of a patch that `term` reads for a tile's first place.
    pub(super) fn point(&self, term: Term) -> usize {
        let [y, x] = [0, 1].map(|d| term.point[d] as usize - self.origin[d]);
        (term.plane as usize * self.patch[0] + y) * self.patch[1] + x
    }

    /// Points of a patch from a tile's first place to place `[i, j]`.
    pub(super) fn place(&self, [i, j]: [usize; 2]) -> usize {
        i * self.step[0] * self.patch[1] + j * self.step[1]
    }

    /// The first place of a tile, how many of its places exist in each direction, and the point of
    /// its patch at which it begins.
    pub(super) fn tile(&self, tile: [usize; 2]) -> ([usize; 2], [usize; 2], usize) {
        let first = [0, 1].map(|d| tile[d] * self.size[d]);
        let live = [0, 1].map(|d| self.size[d].min(self.places[d] - first[d]));
        (first, live, self.place([0, tile[1] % self.run * self.size[1]]))
    }

    /// Copies what the tiles of `patch` read of `block` into `to`: the first lanes of all points, then
    /// the next. What lies beyond the input is zero.
    #[inline(always)]
    pub(super) fn pack<S: Strip>(&self, block: &[f32], patch: usize, to: &mut [f32]) {
        let (row, tiles) = self.of(patch);
        let first = [
            self.origin[0] + row * self.advance[0],
            self.origin[1] + tiles.start * self.advance[1],
        ];
        let [above, left] = self.from.halo;
        let sides = [self.from.height + 2 * above, self.from.width + 2 * left];
        let inside = [0, 1]
            .map(|d| sides[d].saturating_sub(first[d]).div_ceil(self.stride[d]).min(self.patch[d]));
        let points = self.points();
        assert!(to.len() >= points * LANES && block.len() >= self.from.block());
        let (down, across) = (self.stride[0] * self.from.row(), self.stride[1] * LANES);
        let start = first[0] * self.from.row() + first[1] * LANES;
        let parts = LANES / S::WIDTH;
        let mut to = to.as_mut_ptr();
        for plane in 0..self.from.channels {
            for i in 0..self.patch[0] {
                let inside = if i < inside[0] { inside[1] } else { 0 };
                // SAFETY: points `[i, 0..inside]` lie inside the plane, halo included, and the block
                // holds all planes; `to` moves over `points` vectors, and `parts` times as many have
                // room. What is only foreseen need not be there.
                unsafe {
                    let from =
                        block.as_ptr().wrapping_add(plane * self.from.plane() + i * down + start);
                    for j in 0..inside {
                        let at = from.add(j * across);
                        S::foresee(at.wrapping_add(self.from.plane()));
                        for part in 0..parts {
                            let value = S::load(at.add(part * S::WIDTH));
                            S::store(to.add((part * points + j) * S::WIDTH), value);
                        }
                    }
                    for j in inside..self.patch[1] {
                        for part in 0..parts {
                            S::store(to.add((part * points + j) * S::WIDTH), S::splat(0.0));
                        }
                    }
                    to = to.add(self.patch[1] * S::WIDTH);
                }
            }
        }
    }
}

/// Bytes of a patch beyond which fewer tiles are packed together: half of a usual second cache and a
/// little.
const PACKED: usize = 300 << 10;

/// A part of a row's list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit {
    pub row: u32,
    /// The place of its first term in the lists of all rows.
    pub first: u32,
    pub terms: u32,
}

/// Neighbouring rows, whose lists are gone through together.
#[derive(Clone, Debug)]
pub(super) struct Pile {
    pub rows: Range<usize>,
    /// Visits of whole chunks, in the order of their first points.
    pub full: Range<usize>,
    /// What is left of each row: its last visit, and only one if `full` is empty. The shortest come
    /// first, so that neighbours take the same branches.
    pub rest: Range<usize>,
    /// Where the terms of its visits begin.
    pub terms: usize,
}

/// Lists cut into chunks.
#[derive(Clone, Debug)]
pub(super) struct Chunks {
    /// Terms of a whole chunk.
    pub chunk: usize,
    pub visits: Vec<Visit>,
    /// The point of the patch that each term reads, in the order of visits.
    pub points: Vec<u16>,
    pub piles: Vec<Pile>,
}

impl Chunks {
    /// Cuts `lists`, of which each ascends from plane to plane, into chunks; rows into `piles`.
    ///
    /// Nothing if a point does not fit into 16 bits.
    pub(super) fn new(
        tiles: &Tiles,
        lists: &[Vec<(Term, u32)>],
        chunk: usize,
        piles: usize,
    ) -> Option<Self> {
        u16::try_from(tiles.points().saturating_sub(1)).ok()?;
        let mut starts = vec![0u32];
        starts.extend(lists.iter().scan(0u32, |sum, list| {
            *sum += list.len() as u32;
            Some(*sum)
        }));
        let deep = lists.len().div_ceil(piles.max(1)).max(1);
        let mut all = Self { chunk, visits: Vec::new(), points: Vec::new(), piles: Vec::new() };
        for first in (0..lists.len()).step_by(deep) {
            let rows = first..(first + deep).min(lists.len());
            let mut visits = Vec::new();
            let mut rest = Vec::new();
            for row in rows.clone() {
                // The last visit of a row has at least one term, if the row has one.
                let whole = lists[row].len().saturating_sub(1) / chunk;
                let visit = |i: usize, terms: usize| {
                    let first = starts[row] + (i * chunk) as u32;
                    Visit { row: row as u32, first, terms: terms as u32 }
                };
                visits.extend((0..whole).map(|i| visit(i, chunk)));
                rest.push(visit(whole, lists[row].len() - whole * chunk));
            }
            let term = |visit: &Visit, i: usize| {
                let row = visit.row as usize;
                tiles.point(lists[row][(visit.first - starts[row]) as usize + i].0)
            };
            visits.sort_by_key(|visit| term(visit, 0));
            rest.sort_by_key(|visit| visit.terms);
            let (at, terms) = (all.visits.len(), all.points.len());
            for visit in visits.iter().chain(&rest) {
                all.points.extend((0..visit.terms as usize).map(|i| term(visit, i) as u16));
            }
            let full = at..at + visits.len();
            let end = full.end + rest.len();
            all.piles.push(Pile { rows, rest: full.end..end, full, terms });
            all.visits.extend(visits);
            all.visits.extend(rest);
        }
        Some(all)
    }

    /// Bytes of the lists.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.visits[..]) + size_of_val(&self.points[..])
    }

    /// The place of each term in the lists of all rows, in the order of visits.
    pub(super) fn order(&self) -> impl Iterator<Item = usize> + '_ {
        self.visits.iter().flat_map(|v| v.first as usize..(v.first + v.terms) as usize)
    }
}

/// A cache line's worth of values, so that no vector straddles two lines.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LANES]);

thread_local! {
    static SCRATCH: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with `len` values of this thread, which hold anything.
pub(super) fn scratch<T>(len: usize, f: impl FnOnce(&mut [f32]) -> T) -> T {
    SCRATCH.with_borrow_mut(|lines| {
        let all = len.div_ceil(LANES);
        if lines.len() < all {
            lines.resize(all, Line([0.0; LANES]));
        }
        // SAFETY: a line is sixteen values in a row, without padding.
        let values = unsafe {
            std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<f32>(), lines.len() * LANES)
        };
        f(&mut values[..len])
    })
}
