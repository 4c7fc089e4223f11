//! Which places of a plane attend to one another: all of them, or those of one window.
//!
//! Owns the places of each window, shifted or not, and which entry of a table of relative positions
//! belongs to a pair of them. Knows no values.

/// The windows of a plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Rows and columns of a window.
    sides: [usize; 2],
    /// Row and column of each place, window by window, row by row within.
    places: Vec<[usize; 2]>,
    /// The region of each place: only places of one region attend to one another.
    regions: Vec<u8>,
}

/// One window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<'a> {
    pub places: &'a [[usize; 2]],
    pub regions: &'a [u8],
    sides: [usize; 2],
}

impl Windows {
    /// One window of all places.
    pub fn whole(height: usize, width: usize) -> Self {
        let row = |y: usize| (0..width).map(move |x| [y, x]);
        let places: Vec<_> = (0..height).flat_map(row).collect();
        Self { sides: [height, width], regions: vec![0; places.len()], places }
    }

    /// Windows of `side` rows and columns, `shift` rows down and columns right, round the edge (Liu et
    /// al., *Swin Transformer*, 2021). Places that only the way round the edge brings together do not
    /// attend to one another.
    ///
    /// # Panics
    /// If the plane is not cut evenly, or the shift is not less than the side.
    pub fn cut([height, width]: [usize; 2], side: usize, shift: usize) -> Self {
        let even = height.is_multiple_of(side) && width.is_multiple_of(side);
        assert!(even && shift < side, "{height} x {width} in windows of {side}, moved by {shift}");
        // Before the last row of windows, in it, and what came round the edge.
        let region = |at: usize, size: usize| match at {
            at if shift == 0 || at < size - side => 0u8,
            at if at < size - shift => 1,
            _ => 2,
        };
        let (mut places, mut regions) = (Vec::new(), Vec::new());
        for (top, left) in pairs(height / side, width / side) {
            for (y, x) in pairs(side, side) {
                let (y, x) = (top * side + y, left * side + x);
                places.push([(y + shift) % height, (x + shift) % width]);
                regions.push(3 * region(y, height) + region(x, width));
            }
        }
        Self { sides: [side; 2], places, regions }
    }

    /// Places of a window.
    pub fn tokens(&self) -> usize {
        self.sides[0] * self.sides[1]
    }

    /// Rows and columns of a window.
    pub fn sides(&self) -> [usize; 2] {
        self.sides
    }

    /// How far the windows are moved down and right.
    pub fn shift(&self) -> usize {
        // That far down is the first place of the first window: a shift is less than a side.
        self.places.first().map_or(0, |place| place[0])
    }

    /// Bytes of the lists.
    pub fn bytes(&self) -> usize {
        self.places.len() * (size_of::<[usize; 2]>() + 1)
    }

    /// Entries of a table of relative positions.
    pub fn relations(&self) -> usize {
        (2 * self.sides[0] - 1) * (2 * self.sides[1] - 1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Window<'_>> {
        let (tokens, sides) = (self.tokens(), self.sides);
        let both = self.places.chunks_exact(tokens).zip(self.regions.chunks_exact(tokens));
        both.map(move |(places, regions)| Window { places, regions, sides })
    }
}

impl Window<'_> {
    /// The entry of a table of relative positions for query `t` and key `u`: row-major by how far the
    /// query is below the key and right of it.
    #[inline(always)]
    pub fn relation(&self, t: usize, u: usize) -> usize {
        let [rows, columns] = self.sides;
        let down = t / columns + rows - 1 - u / columns;
        let right = t % columns + columns - 1 - u % columns;
        down * (2 * columns - 1) + right
    }

    /// Whether places `t` and `u` attend to each other.
    #[inline(always)]
    pub fn joined(&self, t: usize, u: usize) -> bool {
        self.regions[t] == self.regions[u]
    }
}

fn pairs(first: usize, second: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..first).flat_map(move |a| (0..second).map(move |b| (a, b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_each_place_once_and_only_neighbours_attend() {
        for (size, side, shift) in [([4, 8], 4, 0), ([4, 8], 4, 2), ([6, 6], 3, 1), ([7, 7], 7, 3)]
        {
            let windows = Windows::cut(size, side, shift);
            let mut all = windows.places.clone();
            all.sort_unstable();
            assert_eq!(all, Windows::whole(size[0], size[1]).places);
            for window in windows.iter() {
                for (t, u) in pairs(side * side, side * side) {
                    let [a, b] = [window.places[t], window.places[u]];
                    let near = (0..2).all(|d| a[d].abs_diff(b[d]) < side);
                    // What lies on one side of the edge is near in the plane too.
                    assert!(near || !window.joined(t, u), "{a:?} and {b:?}");
                    if window.joined(t, u) {
                        let [down, right] = [0, 1].map(|d| a[d] + side - 1 - b[d]);
                        assert_eq!(window.relation(t, u), down * (2 * side - 1) + right);
                    }
                }
                assert!(window.relation(0, side * side - 1) == 0);
            }
        }
        assert_eq!(Windows::whole(2, 3).relations(), 15);
    }
}
