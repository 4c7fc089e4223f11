//! Which weights each row has, and the order in which their lists are gone through.
//!
//! Long lists are cut into parts of some input channels each, and all rows of a pile visit a part at
//! a run of places before the next: what they read of it stays in the second cache. Between parts
//! the accumulators wait in the output, so that the order of terms does not change. Knows no value,
//! no place of the output and no instruction set.

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
        /// Where each row begins, and the end of the last.
        starts: Vec<u32>,
        /// All lists, one after another.
        offsets: Vec<u32>,
        /// The order in which parts of lists are gone through.
        route: Route,
    },
}

/// Parts of lists: pile after pile of rows, in each part after part of the lists, and there the
/// shortest first. Neighbours of one length take the same branches, which the processor foresees.
#[derive(Clone, Debug)]
pub(super) struct Route {
    visits: Vec<Visit>,
    /// Where the visits of each part of each pile begin, and the end of the last.
    starts: Vec<u32>,
    pub(super) parts: usize,
    /// Places that a visit computes, if a line has as many.
    pub(super) run: usize,
}

/// Part of one row's list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit {
    pub row: u32,
    /// Where it begins among all offsets.
    pub start: u32,
    pub terms: u32,
}

/// How rows are cut into piles, and lists into parts by planes of what they read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Values in a plane.
    pub plane: usize,
    /// Planes.
    pub planes: usize,
    /// Vectors of a plane that [`Cut::PLACES`] neighbouring places read.
    pub vectors: usize,
    /// Rows of a pile.
    pub pile: usize,
    /// Rows of a pile where lists are whole: few, because what they write takes second cache too.
    pub few: usize,
}

impl Cut {
    /// Places that a part of a list visits at once.
    pub const PLACES: usize = 16;
    /// Vectors that a part may read there: 250 KiB, half of a usual second cache. Parts for the
    /// first cache were slower: seven terms do not pay for the accumulators' way to the output and
    /// back, and thirty do.
    const CACHED: usize = 4000;
    /// Terms of a part below which that way would be felt.
    const TERMS: usize = 16;

    /// Planes in a part, where `rows` rows have `terms` terms.
    fn planes(self, rows: usize, terms: usize) -> usize {
        let cached = Self::CACHED / self.vectors.max(1);
        let worth = (Self::TERMS * rows * self.planes).div_ceil(terms.max(1));
        let most = cached.max(worth).clamp(1, self.planes.max(1));
        // As many parts as that takes, of equal size.
        self.planes.div_ceil(self.planes.div_ceil(most).max(1)).max(1)
    }
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
            Self::Ragged { starts, offsets, .. } => {
                let start = starts[row] as usize;
                (&offsets[start..starts[row + 1] as usize], start)
            }
        }
    }

    /// Makes rows of lists, uniform if all lists are equal. Each list ascends from plane to plane.
    pub(super) fn of(lists: Vec<Vec<u32>>, cut: Cut) -> Self {
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
        let route = Route::new(&starts, &offsets, cut);
        Self::Ragged { starts, offsets, route }
    }
}

impl Route {
    fn new(starts: &[u32], offsets: &[u32], cut: Cut) -> Self {
        let rows = starts.len() - 1;
        let width = cut.planes(rows, offsets.len()) * cut.plane;
        let parts = (cut.planes * cut.plane).div_ceil(width.max(1)).max(1);
        let (run, pile) = if parts == 1 { (usize::MAX, cut.few) } else { (Cut::PLACES, cut.pile) };
        let pile = pile.min(cut.pile).min(rows).max(1);
        let mut route = Self { visits: Vec::new(), starts: vec![0], parts, run };
        for first in (0..rows).step_by(pile) {
            for part in 0..parts {
                let from = route.visits.len();
                for row in first..(first + pile).min(rows) {
                    let list = &offsets[starts[row] as usize..starts[row + 1] as usize];
                    let at = |part: usize| list.partition_point(|&o| (o as usize) < part * width);
                    let (start, end) = (at(part), at(part + 1));
                    // Every row begins in the first part and ends in the last, even without terms.
                    if start < end || part == 0 || part + 1 == parts {
                        let (row, terms) = (row as u32, (end - start) as u32);
                        route.visits.push(Visit {
                            row,
                            start: starts[row as usize] + start as u32,
                            terms,
                        });
                    }
                }
                route.visits[from..].sort_by_key(|visit| visit.terms);
                route.starts.push(route.visits.len() as u32);
            }
        }
        route
    }

    /// How many 32-bit numbers it takes.
    pub(super) fn numbers(&self) -> usize {
        3 * self.visits.len() + self.starts.len()
    }

    pub(super) fn piles(&self) -> usize {
        (self.starts.len() - 1) / self.parts
    }

    #[inline(always)]
    pub(super) fn visits(&self, pile: usize, part: usize) -> &[Visit] {
        let at = pile * self.parts + part;
        &self.visits[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

/// The rows of a pile, if a sweep over so many lines of places is to have [`UNITS`] units.
pub(super) fn pile(planes: usize, lines: usize) -> usize {
    planes.div_ceil(UNITS.div_ceil(lines.max(1))).max(1)
}

/// Units that a call is cut into, if its shape allows.
pub(super) const UNITS: usize = 8;
