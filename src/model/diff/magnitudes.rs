//! How far entries moved, counted by powers of ten.

use super::Moved;

/// Counts of entries by `log10 |b - a|`, in bins of a fifth of a power of ten.
///
/// An entry whose difference is 0 is in no bin. What lies outside the bins is counted in the first
/// or the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Magnitudes {
    /// Entries that exist in both.
    pub changed: Vec<u64>,
    /// Entries that left: `|a|`.
    pub left: Vec<u64>,
    /// Entries that came: `|b|`.
    pub came: Vec<u64>,
}

impl Magnitudes {
    /// The power of ten at which the first bin begins.
    pub const FIRST: i32 = -12;
    /// The power of ten at which the last bin ends.
    pub const LAST: i32 = 4;
    /// Bins of one power of ten.
    pub const BINS: u32 = 5;

    pub(super) fn add(&mut self, entry: &Moved) {
        let by = entry.by().abs();
        if by == 0.0 {
            return;
        }
        let bins = match (entry.a, entry.b) {
            (Some(_), Some(_)) => &mut self.changed,
            (Some(_), None) => &mut self.left,
            (None, _) => &mut self.came,
        };
        let place = ((by.log10() - f64::from(Self::FIRST)) * f64::from(Self::BINS)).floor();
        // Between two finite numbers; the conversion clamps below 0.
        let last = bins.len() - 1;
        bins[(place as usize).min(last)] += 1;
    }
}

impl Default for Magnitudes {
    fn default() -> Self {
        let bins = vec![0; (Self::LAST - Self::FIRST) as usize * Self::BINS as usize];
        Self { changed: bins.clone(), left: bins.clone(), came: bins }
    }
}
