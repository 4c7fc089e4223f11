//! Sums over the entries of two tensors of one shape.

use super::Moved;

/// How far the entries of B lie from those of A.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distance {
    /// How many entries were compared.
    pub entries: u64,
    /// Sum of `|b - a|`.
    pub l1: f64,
    /// The entry that moved most; of several the first. `None` where all differences are 0.
    pub largest: Option<Moved>,
    /// Sums of `(b - a)²`, `a²`, `b²` and `a b`.
    squares: f64,
    squares_a: f64,
    squares_b: f64,
    product: f64,
}

/// Masks and values of a tensor, or of several.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compared {
    /// Entries that exist in A and not in B.
    pub left: u64,
    /// Entries that exist in B and not in A.
    pub came: u64,
    /// Entries that exist in both and have the same value, bit by bit.
    pub equal: u64,
    /// Over entries that exist in both.
    pub both: Distance,
    /// Over entries that exist in either, a missing one being 0.
    pub union: Distance,
}

impl Distance {
    /// Adds one entry.
    pub(super) fn add(&mut self, entry: Moved) {
        let [a, b] = [entry.a, entry.b].map(|value| f64::from(value.unwrap_or(0.0)));
        let by = b - a;
        self.entries += 1;
        self.l1 += by.abs();
        self.squares += by * by;
        self.squares_a += a * a;
        self.squares_b += b * b;
        self.product += a * b;
        if by.abs() > self.largest.map_or(0.0, |largest| largest.by().abs()) {
            self.largest = Some(entry);
        }
    }

    pub(super) fn and(mut self, other: &Self) -> Self {
        self.entries += other.entries;
        self.l1 += other.l1;
        self.squares += other.squares;
        self.squares_a += other.squares_a;
        self.squares_b += other.squares_b;
        self.product += other.product;
        let further = other.largest.filter(|other| {
            other.by().abs() > self.largest.map_or(0.0, |largest| largest.by().abs())
        });
        self.largest = further.or(self.largest);
        self
    }

    /// `||b - a||`, the square root of the sum of squares.
    pub fn l2(&self) -> f64 {
        self.squares.sqrt()
    }

    /// `||a||` and `||b||`.
    pub fn norms(&self) -> [f64; 2] {
        [self.squares_a.sqrt(), self.squares_b.sqrt()]
    }

    /// `||b - a|| / ||a||`; `None` where `||a||` is 0.
    pub fn relative(&self) -> Option<f64> {
        (self.squares_a > 0.0).then(|| (self.squares / self.squares_a).sqrt())
    }

    /// `a b / (||a|| ||b||)`, 1 where both point the same way; `None` where either norm is 0.
    pub fn cosine(&self) -> Option<f64> {
        // One root of the product: it is exact where the vectors are equal, two roots are not.
        let norms = (self.squares_a * self.squares_b).sqrt();
        (norms > 0.0).then(|| (self.product / norms).clamp(-1.0, 1.0))
    }
}

impl Compared {
    /// Adds one entry, which exists in at least one of the two.
    pub(super) fn add(&mut self, entry: Moved) {
        match (entry.a, entry.b) {
            (Some(a), Some(b)) => {
                self.equal += u64::from(a.to_bits() == b.to_bits());
                self.both.add(entry);
            }
            (Some(_), None) => self.left += 1,
            (None, _) => self.came += 1,
        }
        self.union.add(entry);
    }

    /// This and `other` together.
    pub(super) fn and(self, other: &Self) -> Self {
        Self {
            left: self.left + other.left,
            came: self.came + other.came,
            equal: self.equal + other.equal,
            both: self.both.and(&other.both),
            union: self.union.and(&other.union),
        }
    }

    /// Entries that exist in both and whose values differ in at least one bit.
    pub fn changed(&self) -> u64 {
        self.both.entries - self.equal
    }

    /// Overlap of the masks: entries in both over entries in either; 1 where there are none.
    pub fn jaccard(&self) -> f64 {
        match self.union.entries {
            0 => 1.0,
            all => self.both.entries as f64 / all as f64,
        }
    }

    /// Whether masks and values are the same, bit by bit.
    pub fn is_same(&self) -> bool {
        self.equal == self.union.entries
    }
}
