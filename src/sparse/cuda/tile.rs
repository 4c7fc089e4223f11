//! Tiles of the sparse kernels: which samples and places a block takes, and what it stages of a channel.

/// Words of shared memory that a block stages in, and values of a window. As in the sources.
pub(super) const WORDS: usize = 11_008;
const WINDOW: usize = 1024;
/// Threads of a warp, and banks of shared memory.
pub(super) const LANES: usize = 32;

/// What a pass asks of its tiles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Samples of a batch.
    pub samples: usize,
    /// Places of the pass, along height and width.
    pub places: [usize; 2],
    /// From what one place reads to what the next reads.
    pub step: [usize; 2],
    pub taps: [usize; 2],
    /// Channels that are read.
    pub depth: usize,
    /// Places of a tile, and words for what is staged of the input, at most.
    pub most: usize,
    pub words: usize,
}

/// A tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub samples: usize,
    pub places: [usize; 2],
    /// What its places read of a channel of a sample.
    pub window: [usize; 2],
    step: [usize; 2],
    /// Channels that are staged at once, how often, and words from one to the next.
    pub chunk: usize,
    pub chunks: usize,
    pub pitch: usize,
}

impl Tile {
    /// The tile with the least `loads`, the first of equals; none where a window is larger than any.
    pub fn best(asked: &Asked, loads: impl Fn(&Self) -> u64) -> Option<Self> {
        let [high, wide] = asked.places;
        let sides = |limit: usize| {
            let limit = limit.min(asked.most);
            let powers = (0..).map(|power| 1 << power).take_while(move |&side| side < limit);
            powers.chain([limit])
        };
        let mut best: Option<(u64, Self)> = None;
        for samples in sides(asked.samples) {
            for (y, x) in sides(high).flat_map(|y| sides(wide).map(move |x| (y, x))) {
                let Some(tile) = Self::of(asked, samples, [y, x]) else { continue };
                let loads = loads(&tile);
                if best.is_none_or(|(least, _)| loads < least) {
                    best = Some((loads, tile));
                }
            }
        }
        best.map(|(_, tile)| tile)
    }

    /// The tile of these samples and places, if there is room for it.
    fn of(asked: &Asked, samples: usize, places: [usize; 2]) -> Option<Self> {
        if samples * places[0] * places[1] > asked.most {
            return None;
        }
        let window = [0, 1].map(|d| (places[d] - 1) * asked.step[d] + asked.taps[d]);
        let values = samples.checked_mul(window[0])?.checked_mul(window[1])?;
        // The first that is four more than whole rounds of the banks.
        let pitch = values + (LANES + 4 - values % LANES) % LANES;
        let most = asked.words / pitch;
        if values > WINDOW || most == 0 {
            return None;
        }
        let chunks = asked.depth.div_ceil(most).max(1);
        let chunk = asked.depth.div_ceil(chunks).next_multiple_of(8).min(most);
        let chunks = asked.depth.div_ceil(chunk).max(1);
        Some(Self { samples, places, window, step: asked.step, chunk, chunks, pitch })
    }

    /// Where the window of place `at` of a tile begins, as in the sources.
    fn base(&self, at: usize) -> usize {
        let (s, place) = (at % self.samples, at / self.samples);
        let (x, y) = (place % self.places[1], place / self.places[1]);
        if y >= self.places[0] {
            return 0;
        }
        (y * self.step[0] * self.window[1] + x * self.step[1]) * self.samples + s
    }

    /// Loads that a warp's load of one weight takes: those of its lanes that fall on one bank.
    pub fn conflicts(&self) -> u64 {
        let mut bases: Vec<usize> = (0..LANES).map(|lane| self.base(lane)).collect();
        bases.sort_unstable();
        bases.dedup();
        let of_bank = |bank: usize| bases.iter().filter(|&&base| base % LANES == bank).count();
        (0..LANES).map(of_bank).max().unwrap_or(1) as u64
    }

    /// Values that are staged of a channel.
    pub fn values(&self) -> usize {
        self.samples * self.window[0] * self.window[1]
    }

    /// Warps' worth of places.
    pub fn lines(&self) -> usize {
        (self.samples * self.places[0] * self.places[1]).div_ceil(LANES)
    }

    /// How many cover a batch: of samples, along height, along width.
    pub fn count(&self, samples: usize, places: [usize; 2]) -> [usize; 3] {
        let along = |d: usize| places[d].div_ceil(self.places[d]);
        [samples.div_ceil(self.samples), along(0), along(1)]
    }

    /// Where in what is staged a weight reads: `channel` of a chunk, at `tap`.
    pub fn offset(&self, channel: usize, tap: [usize; 2]) -> usize {
        channel * self.pitch + (tap[0] * self.window[1] + tap[1]) * self.samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(samples: usize, places: [usize; 2], step: usize, taps: usize) -> Asked {
        let (step, taps) = ([step; 2], [taps; 2]);
        Asked { samples, places, step, taps, depth: 64, most: 256, words: WORDS }
    }

    /// About what a kernel takes for a weight in 20.
    fn loads(asked: &Asked, tile: &Tile) -> u64 {
        let count: usize = tile.count(asked.samples, asked.places).iter().product();
        let sums = (tile.lines() as u64 * tile.conflicts() + 2) * 29;
        count as u64 * (sums + 3 * tile.values() as u64 / 32)
    }

    #[test]
    fn the_best_tile_covers_its_places_and_fits_what_there_is() {
        for samples in [1, 5, 16, 64] {
            for places in [[1, 1], [4, 4], [7, 7], [32, 32], [3, 50]] {
                for (step, taps) in [(1, 1), (1, 3), (2, 3), (1, 7)] {
                    let asked = asked(samples, places, step, taps);
                    let tile = Tile::best(&asked, |tile| loads(&asked, tile)).unwrap();
                    let held = tile.samples * tile.places[0] * tile.places[1];
                    assert!((1..=256).contains(&held), "{tile:?}");
                    assert!(tile.values() <= tile.pitch && tile.values() <= WINDOW, "{tile:?}");
                    assert_eq!(tile.pitch % LANES, 4);
                    assert!(tile.chunk * tile.pitch <= WORDS && tile.chunk > 0, "{tile:?}");
                    assert!(tile.chunk * tile.chunks >= 64 && tile.chunk * (tile.chunks - 1) < 64);
                    let last = (0..held).map(|at| tile.base(at)).max().unwrap_or(0);
                    let reach = last + tile.offset(tile.chunk - 1, [taps - 1; 2]);
                    assert!(reach < tile.chunk * tile.pitch, "{tile:?}");
                }
            }
        }
    }

    #[test]
    fn a_large_plane_fills_the_lanes_and_no_two_of_them_meet_on_a_bank() {
        for (samples, side, step) in [(64, 32, 1), (64, 4, 1), (64, 16, 2), (1, 64, 1)] {
            let asked = asked(samples, [side; 2], step, 3);
            let tile = Tile::best(&asked, |tile| loads(&asked, tile)).unwrap();
            assert!(tile.lines() >= 4 && tile.conflicts() == 1, "{tile:?}");
        }
    }

    #[test]
    fn a_kernel_that_is_larger_than_any_window_has_no_tile() {
        assert_eq!(Tile::best(&asked(1, [1, 1], 1, 33), |_| 0), None);
        assert!(Tile::best(&asked(1, [1, 1], 1, 32), |_| 0).is_some());
    }
}
