//! Passes of a layer as the sparse kernels see them: which channels are read and written over which places, and
//! where in that each weight of the mask belongs.

use super::layer::Layer;
use super::machine::Address;
use super::product::Lattice;
use super::tensor::{Tensor, int};
use crate::sparse::ConvShape;

/// What a pass makes of a weight's position.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Written channels are filters.
    Ahead,
    /// Written channels are the input's, at places that taps `first`, `first + stride`, ... meet.
    Behind { first: [usize; 2] },
    /// The kernel covers its input: one place, whose channels are (tap, channel).
    Whole,
    /// The same, backward.
    WholeBehind,
}

/// A pass.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    /// `in_start` is where the window of the first place begins.
    pub lattice: Lattice,
    pub taps: [usize; 2],
    pub groups: usize,
    /// Of a group: channels that are read, and channels that are written.
    pub depth: usize,
    pub width: usize,
    kind: Kind,
}

/// Where in a pass a weight belongs: what it writes, counted over all groups; what it reads, within its group; and
/// how far into the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Meeting {
    pub row: usize,
    pub channel: usize,
    pub tap: [usize; 2],
}

fn one_place(channels: usize) -> Lattice {
    Lattice {
        places: [1, 1],
        out: [channels, 1, 1],
        out_start: [0, 0],
        out_step: [1, 1],
        input: [0, 1, 1],
        in_start: [0, 0],
        in_step: [1, 1],
        tap_step: 1,
    }
}

impl Pass {
    /// From input to output.
    pub fn forward(layer: &Layer) -> Self {
        let filters = layer.shape.filters;
        if layer.covers() {
            let all: usize = layer.input.iter().product();
            let lattice = Lattice { input: [all, 1, 1], ..one_place(filters) };
            let kind = Kind::Whole;
            return Self { lattice, taps: [1, 1], groups: 1, depth: all, width: filters, kind };
        }
        let [height, width] = layer.output();
        let lattice = Lattice {
            places: [height, width],
            out: [filters, height, width],
            out_start: [0, 0],
            out_step: [1, 1],
            input: layer.input,
            in_start: layer.shape.padding.map(|padding| -int(padding)),
            in_step: layer.shape.stride,
            tap_step: 1,
        };
        Self {
            lattice,
            taps: layer.shape.kernel,
            groups: layer.shape.groups,
            depth: layer.depth(),
            width: layer.filters_of_group(),
            kind: Kind::Ahead,
        }
    }

    /// From the output's gradient to the input's: one for each phase of the stride that has places and taps.
    pub fn input_gradient(layer: &Layer) -> Vec<Self> {
        let filters = layer.shape.filters;
        if layer.covers() {
            let all: usize = layer.input.iter().product();
            let lattice = Lattice { input: [filters, 1, 1], ..one_place(all) };
            let kind = Kind::WholeBehind;
            return vec![Self {
                lattice,
                taps: [1, 1],
                groups: 1,
                depth: filters,
                width: all,
                kind,
            }];
        }
        let [height, width] = layer.output();
        let tensor = |shape| Tensor { at: Address::default(), samples: 1, shape };
        let (dy, dx) = (tensor([filters, height, width]), tensor(layer.input));
        let [rows, columns] = layer.shape.stride;
        let phases = (0..rows * columns).map(|phase| [phase / columns, phase % columns]);
        let of = |phase: [usize; 2]| {
            let (mut lattice, matrix) = layer.phase(phase, dy, dx)?;
            for (start, taps) in lattice.in_start.iter_mut().zip(matrix.taps) {
                *start -= int(taps - 1);
            }
            Some(Self {
                lattice,
                taps: matrix.taps,
                groups: layer.shape.groups,
                depth: matrix.depth,
                width: matrix.width,
                kind: Kind::Behind { first: matrix.start },
            })
        };
        phases.filter_map(of).collect()
    }

    /// Where the weight at `position` of the mask belongs, if it takes part.
    pub fn meeting(&self, layer: &Layer, position: usize) -> Option<Meeting> {
        let ConvShape { kernel, stride, .. } = layer.shape;
        let (area, depth, filters) = (layer.area(), layer.depth(), layer.filters_of_group());
        let (tap, rest) = (position % area, position / area);
        let (channel, filter) = (rest % depth, rest / depth);
        let (group, whole) = (filter / filters, tap * depth + channel);
        let tap = [tap / kernel[1], tap % kernel[1]];
        let meeting = match self.kind {
            Kind::Ahead => Meeting { row: filter, channel, tap },
            Kind::Whole => Meeting { row: filter, channel: whole, tap: [0, 0] },
            Kind::WholeBehind => Meeting { row: whole, channel: filter, tap: [0, 0] },
            Kind::Behind { first } => {
                let step = |d: usize| {
                    let ahead = tap[d].checked_sub(first[d])?;
                    (ahead % stride[d] == 0).then(|| self.taps[d] - 1 - ahead / stride[d])
                };
                let tap = [step(0)?, step(1)?];
                Meeting { row: group * depth + channel, channel: filter % filters, tap }
            }
        };
        Some(meeting)
    }

    /// Whether lists are in the order of the mask.
    pub fn in_order(&self) -> bool {
        matches!(self.kind, Kind::Ahead)
    }

    /// Whether one place has all of the input.
    pub fn is_whole(&self) -> bool {
        matches!(self.kind, Kind::Whole)
    }

    /// Weights of the pass if all exist.
    pub fn weights(&self) -> u64 {
        (self.groups * self.depth * self.width * self.taps[0] * self.taps[1]) as u64
    }

    /// Warps' worth of places of a batch, rounded up.
    pub fn products(&self, samples: usize) -> u64 {
        let places = samples * self.lattice.places[0] * self.lattice.places[1];
        (self.weights() * places as u64).div_ceil(super::tile::LANES as u64)
    }
}
