//! Lists of weights for the sparse kernels, made of a mask once, when an engine is made.
//!
//! A list holds offsets into what a block stages, so it belongs to a tile. Nothing of it comes from outside: positions
//! of a checked mask go in, and each offset is below the words that its tile stages.

use super::layer::Layer;
use super::pass::{Meeting, Pass};
use super::tile::{LANES, Tile};
use crate::sparse::Mask;

/// Written channels of a warp and of a block; filters of a unit, words from one to the next in what is staged of
/// `dy`, and weights of a unit. As in the sources.
const PER_WARP: usize = 8;
pub(super) const WRITTEN: usize = 64;
pub(super) const FILTERS: usize = 32;
pub(super) const DY_PITCH: usize = 132;
pub(super) const PER_UNIT: usize = 512;
/// Words of a unit: where its list begins, its first filter, its first channel.
const UNIT: usize = 3;
/// In place of a written channel, that there is none.
const NONE: u32 = u32::MAX;

/// Written channels of a pass in blocks of [`WRITTEN`], group by group.
pub(super) fn blocks(pass: &Pass) -> usize {
    pass.groups * pass.width.div_ceil(WRITTEN)
}

/// Words of the lists of one pass, without offsets and the order of weights.
pub(super) fn words_of(pass: &Pass, tile: &Tile) -> [usize; 2] {
    [pass.groups * pass.width * tile.chunks + 1, blocks(pass) * WRITTEN]
}

/// Lists of the passes of one direction, of which each weight takes part in one at most.
#[derive(Default)]
pub(super) struct Lists {
    /// For each pass: where the weights of each written channel and chunk begin, and which channels each block and
    /// warp writes.
    pub heads: Vec<u32>,
    /// Offset of each weight, in the order of the lists.
    pub offsets: Vec<u16>,
    /// Which of the packed weights it is.
    pub order: Vec<u32>,
}

impl Lists {
    /// Adds the lists of `pass`, behind those that are there.
    pub fn add(&mut self, layer: &Layer, mask: &Mask, pass: &Pass, tile: &Tile) {
        let found = meetings(layer, mask, pass);
        let rows = pass.groups * pass.width;
        let mut counts = vec![0u32; rows * tile.chunks + 1];
        for (Meeting { row, channel, tap }, index) in found {
            counts[row * tile.chunks + channel / tile.chunk + 1] += 1;
            self.offsets.push(tile.offset(channel % tile.chunk, tap) as u16);
            self.order.push(index);
        }
        counts[0] = (self.offsets.len() as u32) - counts.iter().sum::<u32>();
        counts.iter_mut().fold(0, |sum, count| {
            *count += sum;
            *count
        });
        let of_row = |row: usize| counts[(row + 1) * tile.chunks] - counts[row * tile.chunks];
        let dealt = (0..pass.groups).flat_map(|group| {
            let first = group * pass.width;
            let starts = (0..pass.width).step_by(WRITTEN);
            starts.flat_map(move |start| {
                deal(first + start..first + pass.width.min(start + WRITTEN), of_row)
            })
        });
        let dealt: Vec<u32> = dealt.collect();
        self.heads.extend(counts);
        self.heads.extend(dealt);
    }

    /// All of it as words: heads, offsets two by two, the order of weights if it is not the mask's.
    pub fn words(self, existing: usize, in_order: bool) -> Vec<u32> {
        let mut words = self.heads;
        words.extend(halves(&self.offsets));
        let missing = existing - self.offsets.len();
        words.extend(std::iter::repeat_n(0, existing.div_ceil(2) - self.offsets.len().div_ceil(2)));
        if !in_order {
            words.extend(self.order);
            // Weights that no place meets: their values are copied and not read.
            words.extend(std::iter::repeat_n(0, missing));
        }
        words
    }
}

/// Where each weight of `mask` belongs in `pass`, in the order of lists, and which of the packed weights it is.
fn meetings(layer: &Layer, mask: &Mask, pass: &Pass) -> Vec<(Meeting, u32)> {
    assert_eq!(mask.len(), layer.expanded(), "the mask of another layer");
    assert_eq!(mask.existing(), layer.existing, "the mask of another layer");
    let meeting = |(index, position)| Some((pass.meeting(layer, position)?, index as u32));
    let mut found: Vec<(Meeting, u32)> = mask.iter().enumerate().filter_map(meeting).collect();
    if !pass.in_order() {
        found.sort_unstable();
    }
    found
}

/// Two to a word, the first below.
fn halves(offsets: &[u16]) -> impl Iterator<Item = u32> + '_ {
    offsets
        .chunks(2)
        .map(|pair| u32::from(pair[0]) | pair.get(1).map_or(0, |&second| u32::from(second) << 16))
}

/// The written channels of a block, eight for each warp: the longest lists go round the warps first.
fn deal(rows: std::ops::Range<usize>, length: impl Fn(usize) -> u32) -> [u32; WRITTEN] {
    let mut rows: Vec<usize> = rows.collect();
    rows.sort_by_key(|&row| std::cmp::Reverse(length(row)));
    let warps = WRITTEN / PER_WARP;
    let mut dealt = [NONE; WRITTEN];
    for (at, row) in rows.into_iter().enumerate() {
        let (round, turn) = (at / warps, at % warps);
        let warp = if round.is_multiple_of(2) { turn } else { warps - 1 - turn };
        dealt[warp * PER_WARP + round] = row as u32;
    }
    dealt
}

/// The most units of the weight gradient of a layer.
pub(super) fn most_units(layer: &Layer, pass: &Pass, tile: &Tile) -> usize {
    let regions = pass.groups * pass.width.div_ceil(FILTERS) * tile.chunks;
    regions.min(layer.existing) + layer.existing / PER_UNIT
}

/// Words of the lists of the weight gradient.
pub(super) fn gradient_words(layer: &Layer, pass: &Pass, tile: &Tile) -> usize {
    UNIT * (most_units(layer, pass, tile) + 1) + layer.existing
}

/// Units of the weight gradient and their lists: words, and how many units there are.
pub(super) fn units(layer: &Layer, mask: &Mask, pass: &Pass, tile: &Tile) -> (Vec<u32>, usize) {
    // By group, filters, chunk; within, filter by filter, so that what is loaded of `dy` serves several.
    let mut entries: Vec<([usize; 3], usize, u32)> = meetings(layer, mask, pass)
        .into_iter()
        .map(|(Meeting { row, channel, tap }, _)| {
            let (group, filter) = (row / pass.width, row % pass.width);
            let region = [group, filter / FILTERS, channel / tile.chunk];
            let offset = tile.offset(channel % tile.chunk, tap);
            (region, row, ((filter % FILTERS * DY_PITCH) << 16 | offset) as u32)
        })
        .collect();
    entries.sort_unstable();
    let mut heads = Vec::new();
    let mut start = 0;
    for region in entries.chunk_by(|left, right| left.0 == right.0) {
        let [group, filters, chunk] = region[0].0;
        // Of one length, about, so that no block has little to do.
        let pieces = region.len().div_ceil(PER_UNIT);
        for piece in region.chunks(region.len().div_ceil(pieces)) {
            let (filter, channel) = (group * pass.width + filters * FILTERS, chunk * tile.chunk);
            heads.extend([start, filter, channel].map(|word| word as u32));
            start += piece.len();
        }
    }
    let count = heads.len() / UNIT;
    heads.extend([start as u32, 0, 0]);
    let most = UNIT * (most_units(layer, pass, tile) + 1);
    assert!(heads.len() <= most, "{count} units of a layer that has fewer");
    heads.resize(most, 0);
    heads.extend(entries.into_iter().map(|(_, _, entry)| entry));
    (heads, count)
}

/// Loads from shared memory, in warps' worth, that a pass of `sparse_conv` takes over a batch.
pub(super) fn loads(layer: &Layer, pass: &Pass, tile: &Tile, samples: usize) -> u64 {
    let tiles = tile.count(samples, pass.lattice.places).iter().product::<usize>() as u64;
    let existing = existing_of(layer, pass);
    let (blocks, lines) = (blocks(pass) as u64, tile.lines() as u64);
    let (depth, chunks) = (pass.depth as u64, tile.chunks as u64);
    let sums = existing * (lines * tile.conflicts() + 2);
    // Where, from the input, and into shared memory; begin and end of each list; and out again.
    let staged = blocks * depth * (3 * tile.values() as u64).div_ceil(LANES as u64);
    let lists = blocks * pass.width.min(WRITTEN) as u64 * (2 * chunks + 3 * lines);
    tiles * (sums + staged + lists)
}

/// The same of `sparse_gradient`.
pub(super) fn gradient_loads(layer: &Layer, pass: &Pass, tile: &Tile, samples: usize) -> u64 {
    let tiles = tile.count(samples, pass.lattice.places).iter().product::<usize>() as u64;
    let existing = layer.existing as u64;
    let regions = (pass.groups * pass.width.div_ceil(FILTERS) * tile.chunks) as u64;
    let units = regions + existing / PER_UNIT as u64;
    let runs = existing.min(regions * pass.width.min(FILTERS) as u64);
    let lines = 4;
    let sums = existing * (lines * tile.conflicts() + 1) + runs * lines;
    let values = tile.chunk.min(pass.depth) * tile.values() + pass.width.min(FILTERS) * 128;
    tiles * (sums + units * (3 * values as u64).div_ceil(LANES as u64))
}

/// Weights that exist and take part in a pass, about: as many as its share of the taps.
fn existing_of(layer: &Layer, pass: &Pass) -> u64 {
    let all = layer.expanded().max(1) as u64;
    (layer.existing as u64 * pass.weights()).div_ceil(all)
}

#[cfg(test)]
mod tests {
    use super::super::mask_bits::MaskAt;
    use super::super::tile::{Asked, WORDS};
    use super::*;
    use crate::sparse::ConvShape;

    fn layer(groups: usize, stride: usize, keep: usize) -> (Layer, Mask) {
        let shape =
            ConvShape { filters: 70, kernel: [3, 3], stride: [stride; 2], padding: [1, 1], groups };
        let mask = Mask::from_fn(shape.weights(50), |position| position % keep == 0);
        let existing = mask.existing();
        (Layer { shape, input: [50, 9, 7], existing, mask: MaskAt::default() }, mask)
    }

    fn tile(pass: &Pass, most: usize, words: usize) -> Tile {
        let (places, step) = (pass.lattice.places, pass.lattice.in_step);
        let depth = pass.depth;
        let asked = Asked { samples: 5, places, step, taps: pass.taps, depth, most, words };
        Tile::best(&asked, |_| 1).unwrap()
    }

    #[test]
    fn each_weight_is_in_one_list_once_and_reads_what_is_staged() {
        for (groups, stride, keep) in [(1, 1, 1), (1, 2, 7), (10, 2, 3), (1, 3, 1000)] {
            let (layer, mask) = layer(groups, stride, keep);
            let mut lists = Lists::default();
            for pass in Pass::input_gradient(&layer) {
                let tile = tile(&pass, 256, WORDS);
                let before = lists.offsets.len();
                lists.add(&layer, &mask, &pass, &tile);
                let staged = tile.chunk * tile.pitch;
                assert!(lists.offsets[before..].iter().all(|&at| usize::from(at) < staged));
            }
            let mut order = lists.order.clone();
            order.sort_unstable();
            assert_eq!(order, (0..layer.existing as u32).collect::<Vec<u32>>());
            let pass = Pass::forward(&layer);
            let tile = tile(&pass, 128, WORDS - FILTERS * DY_PITCH);
            let (words, count) = units(&layer, &mask, &pass, &tile);
            assert_eq!(words.len(), gradient_words(&layer, &pass, &tile));
            let heads: Vec<&[u32]> = words.chunks(UNIT).take(count + 1).collect();
            assert_eq!((heads[0][0], heads[count][0] as usize), (0, layer.existing));
            for pair in heads.windows(2) {
                assert!((1..=PER_UNIT as u32).contains(&(pair[1][0] - pair[0][0])));
            }
            let list = &words[words.len() - layer.existing..];
            let staged = tile.chunk * tile.pitch;
            assert!(list.iter().all(|entry| ((entry & 0xffff) as usize) < staged));
            assert!(list.iter().all(|entry| ((entry >> 16) as usize) < FILTERS * DY_PITCH));
        }
    }

    #[test]
    fn written_channels_are_dealt_so_that_warps_have_as_much_to_do() {
        let dealt = deal(100..164, |row| row as u32);
        let mut rows = dealt;
        rows.sort_unstable();
        assert!(rows.iter().copied().eq(100..164));
        let sums: Vec<u32> = dealt.chunks(PER_WARP).map(|rows| rows.iter().sum()).collect();
        assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
        let few = deal(3..6, |_| 1);
        assert_eq!(few.iter().filter(|row| **row != NONE).count(), 3);
    }
}
