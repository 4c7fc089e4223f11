//! A convolution or linear layer made ready for one sample: where its weights and its places lie.
//!
//! Owns the choice of reading: a layer whose rows are long reads the plain planes, one with short
//! rows or a stride reads a [`Lowering`], one with a single place per filter is a dot product.

use super::super::LANES;
use super::super::conv::ConvShape;
use super::super::mask::Mask;
use super::kernel::{Spot, TILE, Term, VECTORS, Weights};
use super::layout::{Layout, Lowering, inside};

/// How a layer reads its input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reading {
    /// A filter has one place: each tap is one value of the plain tensor.
    Dot,
    /// The plain planes, with a halo as wide as the padding.
    Plain,
    /// Copies.
    Lowered(Lowering),
}

impl Reading {
    /// How `shape` had better read `input`.
    ///
    /// Copies cost a write for each kernel column, and their planes take as many times the room of
    /// the cache, so they are for rows that are shorter than a vector, and for strides, which the
    /// plain planes cannot serve.
    pub fn of(shape: &ConvShape, input: [usize; 3]) -> Self {
        let [height, width] = shape.output(input);
        let narrow = shape.kernel[1] == 1 && shape.padding[1] == 0;
        if height * width == 1 {
            Self::Dot
        } else if shape.stride == [1, 1] && (width >= LANES || narrow) {
            Self::Plain
        } else {
            Self::Lowered(Lowering::of(shape, input))
        }
    }
}

/// Where a layer's input lies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// A plain tensor, each filter having one place.
    Dot(Layout),
    /// A plain tensor.
    Plain(Layout),
    /// Copies that serve the layer, whose kernel begins so many rows and columns inside theirs.
    Lowered(Lowering, [usize; 2]),
}

impl Source {
    /// Values from one row of places to the next.
    fn row(&self, output: Layout) -> usize {
        match self {
            Self::Dot(layout) | Self::Plain(layout) => layout.row(),
            Self::Lowered(..) => output.width,
        }
    }

    /// Where tap `(y, x)` of `channel` reads for the first place; nothing if that is padding, which
    /// matters where there is no other place.
    fn at(&self, shape: &ConvShape, channel: usize, [y, x]: [usize; 2]) -> Option<usize> {
        Some(match self {
            Self::Dot(layout) => {
                let place = |d: usize, k: usize, size: usize| {
                    let (places, first) = inside(k, shape.stride[d], shape.padding[d], size, 1);
                    (places == (0..1)).then_some(first)
                };
                let (y, x) = (place(0, y, layout.height)?, place(1, x, layout.width)?);
                channel * layout.plane() + layout.at(y, x)
            }
            Self::Plain(layout) => {
                let origin = layout.at(0, 0) + y * layout.row() + x;
                let [top, left] = shape.padding;
                channel * layout.plane() + origin - top * layout.row() - left
            }
            Self::Lowered(lowering, [down, right]) => {
                channel * lowering.plane() + lowering.at(y + down, x + right)
            }
        })
    }

    fn channels(&self) -> usize {
        match self {
            Self::Dot(layout) | Self::Plain(layout) => layout.channels,
            Self::Lowered(lowering, _) => lowering.channels,
        }
    }

    /// Values from one channel to the next.
    fn plane(&self) -> usize {
        match self {
            Self::Dot(layout) | Self::Plain(layout) => layout.plane(),
            Self::Lowered(lowering, _) => lowering.plane(),
        }
    }

    fn values(&self) -> usize {
        self.channels() * self.plane()
    }
}

/// A layer made ready.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub weights: Weights,
    pub bias: Vec<f32>,
    pub spots: Vec<Spot>,
    /// Lanes of each vector that are places.
    pub lanes: usize,
}

impl Layer {
    /// The layer `shape` whose existing weights, at `mask`, are `values`, in units of `share` filters.
    ///
    /// # Panics
    /// If layouts do not fit the shape, or mask, values or bias are of another layer.
    pub fn new(
        shape: ConvShape,
        (mask, values): (&Mask, &[f32]),
        bias: Vec<f32>,
        source: Source,
        (output, share): (Layout, usize),
        second: Option<Layout>,
    ) -> Self {
        assert_eq!(mask.existing(), values.len(), "one value for each weight that exists");
        assert_eq!([bias.len(), output.channels], [shape.filters; 2], "one bias a filter");
        let (spots, lanes) = spots(source, output, second);
        let blocks = if lanes < LANES { 1 } else { blocks(&shape, values.len(), source, output) };
        let lists = lists(&shape, (mask, values), source);
        let furthest = lists.terms().iter().map(|term| term.offset as usize).max();
        let place = spots.iter().map(|spot| spot.from as usize).max().unwrap_or(0);
        // A vector that is not all places reads on into the slack behind the tensor.
        let end = furthest.map_or(0, |term| term + place + lanes);
        assert!(end <= source.values(), "a tap reads {end} of {} values", source.values());
        let all = mask.existing() == mask.len() && shape.groups == 1;
        let weights = match (all, source) {
            (true, Source::Dot(_)) => lists.rows(shape.filters),
            (true, _) => lists.tiles(shape.filters),
            _ => lists.cut(source.channels().div_ceil(blocks) * source.plane(), blocks, share),
        };
        let mut bias = bias;
        bias.resize(shape.filters.next_multiple_of(TILE), 0.0);
        Self { weights, bias, spots, lanes }
    }

    /// Bytes of weights and of where they lie.
    pub fn bytes(&self) -> usize {
        let weights = match &self.weights {
            Weights::Lists { starts, terms, .. } => {
                size_of_val(starts.as_slice()) + size_of_val(terms.as_slice())
            }
            Weights::Tiles { offsets, values } => {
                size_of_val(offsets.as_slice()) + size_of_val(values.as_slice())
            }
            Weights::Rows { values, .. } => size_of_val(values.as_slice()),
        };
        weights + size_of_val(self.bias.as_slice()) + size_of_val(self.spots.as_slice())
    }
}

/// A number that indexes a tensor of one sample.
///
/// # Panics
/// If it exceeds 32 bits: the checks of a description keep every tensor far below.
fn index(at: usize) -> u32 {
    assert!(u32::try_from(at).is_ok(), "a tensor of one sample exceeds 32 bits");
    at as u32
}

/// The vectors of places of a plane, and how many lanes of each are places.
///
/// The last vector of a line is moved back until it is full; what it shares with the one before is
/// computed twice, alike.
fn spots(source: Source, output: Layout, second: Option<Layout>) -> (Vec<Spot>, usize) {
    let width = output.width;
    let flat = [Some(source.row(output)), Some(output.row()), second.map(|layout| layout.row())];
    let flat = flat.iter().flatten().all(|&row| row == width);
    let (lines, line) = if flat { (1, output.height * width) } else { (output.height, width) };
    if let Source::Dot(_) = source {
        let second = second.map_or(0, |layout| index(layout.at(0, 0)));
        return (vec![Spot { from: 0, to: index(output.at(0, 0)), second }], 1);
    }
    let mut spots = Vec::new();
    for y in 0..lines {
        for start in (0..line).step_by(LANES) {
            let start = start.min(line.saturating_sub(LANES));
            let (y, x) = (y + start / width, start % width);
            spots.push(Spot {
                from: index(y * source.row(output) + x),
                to: index(output.at(y, x)),
                second: second.map_or(0, |layout| index(layout.at(y, x))),
            });
        }
    }
    (spots, line.min(LANES))
}

/// Bytes of the nearest cache that a block of input channels may take.
const NEAR: usize = 20 << 10;
/// Terms that a list must have in a block for its sums to be worth writing and reading in between.
const FEW: usize = 16;

/// Into how many blocks of input channels the lists are cut.
fn blocks(shape: &ConvShape, existing: usize, source: Source, output: Layout) -> usize {
    let tile = VECTORS * LANES;
    let values = match source {
        Source::Dot(_) => return 1,
        Source::Plain(layout) => {
            let rows = tile.div_ceil(output.width) + shape.kernel[0] - 1;
            layout.plane().min(rows * layout.row())
        }
        Source::Lowered(lowering, _) => {
            let run = tile + (shape.kernel[0] - 1) / shape.stride[0] * output.width;
            lowering.plane().min(run * shape.kernel[1] * shape.stride[0].min(shape.kernel[0]))
        }
    };
    if shape.groups > 1 {
        return 1;
    }
    let bytes = size_of::<f32>() * values * source.channels();
    bytes.div_ceil(NEAR).min(existing / shape.filters / FEW).max(1)
}

/// A list of terms for each filter.
struct Lists {
    starts: Vec<u32>,
    terms: Vec<Term>,
}

fn lists(shape: &ConvShape, (mask, values): (&Mask, &[f32]), source: Source) -> Lists {
    let [kh, kw] = shape.kernel;
    let per_group = shape.filters / shape.groups;
    let taps = mask.len() / shape.filters;
    let mut lists = Lists { starts: vec![0], terms: Vec::with_capacity(values.len()) };
    for (position, &value) in mask.iter().zip(values) {
        let (filter, tap) = (position / taps, position % taps);
        let (channel, y, x) = (tap / (kh * kw), tap / kw % kh, tap % kw);
        let channel = filter / per_group * (taps / (kh * kw)) + channel;
        lists.end_before(filter);
        if let Some(at) = source.at(shape, channel, [y, x]) {
            lists.terms.push(Term { offset: index(at), value });
        }
    }
    lists.end_before(shape.filters);
    lists
}

impl Lists {
    /// Closes the lists of all filters before `filter`.
    fn end_before(&mut self, filter: usize) {
        let end = index(self.terms.len());
        self.starts.resize(self.starts.len().max(filter + 1), end);
    }

    fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// As tiles of filters, all of which have the same offsets.
    fn tiles(self, filters: usize) -> Weights {
        let depth = self.terms.len() / filters;
        let offsets = self.terms[..depth].iter().map(|term| term.offset).collect();
        let mut values = vec![0.0; filters.next_multiple_of(TILE) * depth];
        for (at, term) in self.terms.iter().enumerate() {
            let (filter, k) = (at / depth, at % depth);
            values[(filter / TILE * depth + k) * TILE + filter % TILE] = term.value;
        }
        Weights::Tiles { offsets, values }
    }

    /// As rows, if what they multiply lies side by side.
    fn rows(self, filters: usize) -> Weights {
        let depth = self.terms.len() / filters;
        let side_by_side =
            self.terms[..depth].iter().enumerate().all(|(k, term)| term.offset as usize == k);
        if side_by_side {
            let values = self.terms.iter().map(|term| term.value).collect();
            Weights::Rows { depth, values }
        } else {
            Weights::Lists { blocks: 1, starts: self.starts, terms: self.terms }
        }
    }

    /// Each list in `blocks` parts, a part reading `values` of the input, by units of `share` filters.
    fn cut(self, values: usize, blocks: usize, share: usize) -> Weights {
        let filters = self.starts.len() - 1;
        let (mut starts, mut terms) = (vec![0], Vec::with_capacity(self.terms.len()));
        for first in (0..filters).step_by(share) {
            for block in 0..blocks {
                for filter in first..(first + share).min(filters) {
                    let list = self.starts[filter] as usize..self.starts[filter + 1] as usize;
                    let list = &self.terms[list];
                    let end = |block: usize| {
                        list.partition_point(|term| (term.offset as usize) < block * values)
                    };
                    terms.extend_from_slice(&list[end(block)..end(block + 1)]);
                    starts.push(index(terms.len()));
                }
            }
        }
        Weights::Lists { blocks, starts, terms }
    }
}
