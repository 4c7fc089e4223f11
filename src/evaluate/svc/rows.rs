//! Rows of the kernel matrix: computed when needed, the last used ones kept.

/// The most bytes of kernel rows that one fit keeps: 200 MB, as scikit-learn.
pub const CACHE_BYTES: usize = 200_000_000;

/// `exp(-gamma * |a - b|^2)`, summed in the order of the features.
pub(super) fn kernel(a: &[f64], b: &[f64], gamma: f64) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
    (-gamma * squares.sum::<f64>()).exp()
}

/// Kernel rows of a set of points, least recently used out first.
///
/// Values are kept as `f32`. LIBSVM does so to halve the memory; it also hides the last bit in
/// which mathematical libraries of different machines disagree about `exp`.
pub(super) struct Rows<'a> {
    points: &'a [f64],
    dims: usize,
    gamma: f64,
    /// The slot that holds each row, if one does.
    slot_of: Vec<Option<usize>>,
    slots: Vec<Slot>,
    /// How many slots there may be.
    limit: usize,
    /// Counts lookups; a slot remembers its last.
    now: u64,
}

struct Slot {
    row: usize,
    used: u64,
    values: Vec<f32>,
}

impl<'a> Rows<'a> {
    /// Rows over `points`, of which at most `bytes` are kept, but never fewer than two rows.
    pub fn new(points: &'a [f64], dims: usize, gamma: f64, bytes: usize) -> Self {
        let samples = points.len() / dims;
        let limit = (bytes / (samples * size_of::<f32>())).max(2);
        let slot_of = vec![None; samples];
        Self { points, dims, gamma, slot_of, slots: Vec::new(), limit, now: 0 }
    }

    /// Makes sure that `row` is held and returns its slot. The slot asked for last before this
    /// one stays valid.
    pub fn hold(&mut self, row: usize) -> usize {
        self.now += 1;
        if let Some(slot) = self.slot_of[row] {
            self.slots[slot].used = self.now;
            return slot;
        }
        let slot = self.free_slot();
        let held = &mut self.slots[slot];
        (held.row, held.used) = (row, self.now);
        let at = &self.points[row * self.dims..][..self.dims];
        held.values.clear();
        if let [at] = *at {
            // One feature a sample, the usual attack: no inner loop.
            let gamma = -self.gamma;
            held.values
                .extend(self.points.iter().map(|p| (gamma * ((p - at) * (p - at))).exp() as f32));
        } else {
            let others = self.points.chunks_exact(self.dims);
            held.values.extend(others.map(|p| kernel(p, at, self.gamma) as f32));
        }
        self.slot_of[row] = Some(slot);
        slot
    }

    /// The row in `slot`.
    pub fn values(&self, slot: usize) -> &[f32] {
        &self.slots[slot].values
    }

    fn free_slot(&mut self) -> usize {
        let samples = self.slot_of.len();
        if self.slots.len() < self.limit {
            let values = Vec::with_capacity(samples);
            self.slots.push(Slot { row: samples, used: 0, values });
            return self.slots.len() - 1;
        }
        // `used` differs between slots, so the oldest is one and the same on every run.
        let oldest = (0..self.slots.len()).min_by_key(|&slot| self.slots[slot].used).unwrap_or(0);
        self.slot_of[self.slots[oldest].row] = None;
        oldest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_was_put_out_comes_back_the_same() {
        let points: Vec<f64> = (0..7).map(|i| f64::from(i) * 0.3).collect();
        let mut small = Rows::new(&points, 1, 0.5, 0);
        let mut large = Rows::new(&points, 1, 0.5, CACHE_BYTES);
        for row in [0, 3, 5, 0, 6, 3] {
            let (a, b) = (small.hold(row), large.hold(row));
            assert_eq!(small.values(a), large.values(b));
            assert_eq!(large.values(b)[row], 1.0);
        }
        assert_eq!(small.slots.len(), 2);
    }

    #[test]
    fn the_row_before_stays_valid() {
        let points: Vec<f64> = (0..9).map(f64::from).collect();
        let mut rows = Rows::new(&points, 1, 1.0, 0);
        for (i, j) in [(0, 1), (2, 3), (3, 4), (4, 2), (8, 8)] {
            let (a, b) = (rows.hold(i), rows.hold(j));
            assert_eq!((rows.slots[a].row, rows.slots[b].row), (i, j));
        }
    }
}
