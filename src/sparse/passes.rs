//! From shape and mask to the passes of a convolution: which weights each row of a pass reads, where,
//! and whether what they read is packed.
//!
//! Knows no values.

use super::blocked::{Blocked, LANES};
use super::conv::ConvShape;
use super::gather::{Call, Shared, Sweep, Walk};
use super::lanes::Isa;
use super::mask::Mask;
use super::packed::Packed;
use super::packed_gradient::PackedGradient;
use super::rows::Rows;
use super::table::KernelTable;
use super::tiles::Term;

/// A weight that exists, taken apart.
#[derive(Clone, Copy)]
pub(super) struct Tap {
    filter: u32,
    channel: u32,
    y: u32,
    x: u32,
}

/// A forward pass, or a phase of an input gradient.
#[derive(Clone, Debug)]
pub(super) enum Pass {
    Streamed(Sweep),
    Packed(Box<Packed>),
}

/// How the gradient of the weights is made.
#[derive(Clone, Debug)]
pub(super) enum GradientPass {
    /// With the forward pass's lists.
    Forward,
    /// With lists of its own, where only the forward pass is packed.
    Streamed(Sweep),
    Packed(Box<PackedGradient>),
    /// Nobody asks for it.
    Unasked,
}

/// The kernels that a layer's passes take, for people: `dense` has no list of its own for a row, `streamed`
/// reads the input where it lies, `packed` copies what a run of tiles reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernels {
    /// Of the forward pass.
    pub forward: String,
    /// Of the gradient of the input, phase by phase where they differ; empty if nobody asks for it.
    pub input_gradient: String,
    /// Of the gradient of the weights; empty if nobody asks for it.
    pub weight_gradient: String,
}

fn told(rows: &Rows) -> String {
    match rows {
        Rows::Uniform { .. } => "dense".into(),
        Rows::Ragged { .. } => "streamed".into(),
    }
}

impl GradientPass {
    pub(super) fn told(&self, forward: &Pass) -> String {
        match self {
            Self::Forward => forward.told(),
            Self::Streamed(sweep) => told(&sweep.rows),
            Self::Packed(packed) => packed.told(),
            Self::Unasked => String::new(),
        }
    }
}

impl Pass {
    pub(super) fn told(&self) -> String {
        match self {
            Self::Streamed(sweep) => told(&sweep.rows),
            Self::Packed(packed) => packed.tiles.told(packed.chunks.chunk),
        }
    }

    /// How often it reads what it packs, if it packs.
    pub(super) fn reuse(&self) -> Option<f64> {
        match self {
            Self::Streamed(_) => None,
            Self::Packed(packed) => Some(packed.reuse),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Streamed(sweep) => sweep.rows.bytes(),
            Self::Packed(packed) => packed.chunks.bytes(),
        }
    }

    pub(super) fn terms(&self) -> usize {
        match self {
            Self::Streamed(sweep) => sweep.rows.terms(),
            Self::Packed(packed) => packed.chunks.points.len(),
        }
    }

    /// `call.values` are in this pass's order of terms.
    pub(super) fn run(&self, isa: Isa, call: Call<'_>, blocks: usize, output: &mut [f32]) {
        match self {
            Self::Streamed(sweep) => sweep.run(isa, call, output),
            Self::Packed(packed) => packed.run(isa, call, blocks, Shared::new(output)),
        }
    }
}

/// All weights that exist, in mask order.
pub(super) fn taps(shape: &ConvShape, mask: &Mask, channels: usize) -> Vec<Tap> {
    let [kh, kw] = shape.kernel;
    let depth = channels / shape.groups;
    let per_group = shape.filters / shape.groups;
    mask.iter()
        .map(|position| {
            let (x, rest) = (position % kw, position / kw);
            let (y, rest) = (rest % kh, rest / kh);
            let (channel, filter) = (rest % depth, rest / depth);
            let channel = filter / per_group * depth + channel;
            // A mask's length fits into 32 bits, and so do all parts of a position in it.
            let [filter, channel, y, x] = [filter, channel, y, x].map(|part| part as u32);
            Tap { filter, channel, y, x }
        })
        .collect()
}

/// Lists of `rows` rows that have room for `terms` terms in all, if each has as many.
fn lists(rows: usize, terms: usize) -> Vec<Vec<(Term, u32)>> {
    (0..rows).map(|_| Vec::with_capacity(terms.div_ceil(rows.max(1)))).collect()
}

/// The forward pass, and how the gradient of the weights is made.
pub(super) fn forward_passes(
    table: KernelTable,
    shape: &ConvShape,
    taps: &[Tap],
    input: Blocked,
    output: Blocked,
) -> (Pass, GradientPass) {
    let mut lists = lists(shape.filters, taps.len());
    for (k, tap) in taps.iter().enumerate() {
        // The padding is the part of the halo that this layer reads.
        let point = |d: usize, k: u32| (input.halo[d] - shape.padding[d]) as u32 + k;
        let point = [point(0, tap.y), point(1, tap.x)];
        lists[tap.filter as usize].push((Term { plane: tap.channel, point }, k as u32));
    }
    let walk = Walk {
        places: [output.height, output.width],
        input: [shape.stride[0] * input.row(), shape.stride[1] * LANES],
        output: [output.row(), LANES],
    };
    let origin = output.at(0, 0, 0);
    let streamed = || {
        let targets = vec![origin as u32; shape.filters];
        Sweep::new(streamed(&lists, input), walk, targets, 1, output.plane())
    };
    if walk.places == [1, 1] || shape.groups > 1 || taps.len() == shape.weights(input.channels) {
        return (Pass::Streamed(streamed()), GradientPass::Forward);
    }
    let packed =
        Packed::new(input, &lists, &walk, shape.stride, (origin, output.plane()), table.forward);
    let gradient = PackedGradient::new(input, &lists, &walk, shape.stride, table.weight_gradient);
    let gradient = gradient.map(|gradient| GradientPass::Packed(Box::new(gradient)));
    match (packed, gradient) {
        (None, gradient) => (Pass::Streamed(streamed()), gradient.unwrap_or(GradientPass::Forward)),
        (Some(packed), gradient) => {
            let gradient = gradient.unwrap_or_else(|| GradientPass::Streamed(streamed()));
            (Pass::Packed(Box::new(packed)), gradient)
        }
    }
}

/// The offsets of terms into a block of `from`.
fn streamed(lists: &[Vec<(Term, u32)>], from: Blocked) -> Rows {
    let offset = |&(term, _): &(Term, u32)| term.offset(from) as u32;
    Rows::of(lists.iter().map(|list| list.iter().map(offset).collect()).collect())
}

/// The input gradient of a layer that covers its whole input: a row for each input value.
pub(super) fn whole_sweep(
    taps: &[Tap],
    input: Blocked,
    dout: Blocked,
    order: &mut Vec<u32>,
) -> Sweep {
    let per_plane = input.height * input.width;
    let mut lists = lists(input.channels * per_plane, taps.len());
    for (k, tap) in taps.iter().enumerate() {
        let [channel, y, x] = [tap.channel, tap.y, tap.x].map(|part| part as usize);
        let point = dout.halo.map(|halo| halo as u32);
        lists[channel * per_plane + y * input.width + x]
            .push((Term { plane: tap.filter, point }, k as u32));
    }
    let targets = (0..lists.len())
        .map(|row| input.at(0, row % per_plane / input.width, row % input.width) as u32)
        .collect();
    let walk = Walk { places: [1, 1], input: [0, 0], output: [0, 0] };
    order.extend(lists.iter().flatten().map(|&(_, k)| k));
    Sweep::new(streamed(&lists, dout), walk, targets, per_plane, input.plane())
}

/// The input gradient at the places `phase`, `phase + stride`, ... of both directions.
pub(super) fn phase_pass(
    table: KernelTable,
    shape: &ConvShape,
    taps: &[Tap],
    input: Blocked,
    dout: Blocked,
    phase: [usize; 2],
    order: &mut Vec<u32>,
) -> Pass {
    // The place of the output that tap `k` reads for the first place of this phase, if any.
    let source = |d: usize, k: u32| -> Option<isize> {
        let ahead = (phase[d] + shape.padding[d]) as isize - k as isize;
        let stride = shape.stride[d] as isize;
        (ahead.rem_euclid(stride) == 0).then(|| ahead.div_euclid(stride))
    };
    let phases = shape.stride[0] * shape.stride[1];
    let mut lists = lists(input.channels, taps.len() / phases);
    for (k, tap) in taps.iter().enumerate() {
        let (Some(y), Some(x)) = (source(0, tap.y), source(1, tap.x)) else { continue };
        // The halo is as wide as the furthest of them needs.
        let point = |d: usize, at: isize| dout.halo[d].wrapping_add_signed(at) as u32;
        let term = Term { plane: tap.filter, point: [point(0, y), point(1, x)] };
        lists[tap.channel as usize].push((term, k as u32));
    }
    let places = |d: usize, size: usize| size.saturating_sub(phase[d]).div_ceil(shape.stride[d]);
    let walk = Walk {
        places: [places(0, input.height), places(1, input.width)],
        input: [dout.row(), LANES],
        output: [shape.stride[0] * input.row(), shape.stride[1] * LANES],
    };
    if walk.places.contains(&0) {
        lists.iter_mut().for_each(Vec::clear);
    }
    let first = if walk.places.contains(&0) { 0 } else { input.at(0, phase[0], phase[1]) };
    let whole = taps.len() == shape.weights(input.channels) || walk.places.contains(&0);
    if !whole && shape.groups == 1 {
        let to = (first, input.plane());
        if let Some(packed) = Packed::new(dout, &lists, &walk, [1, 1], to, table.input_gradient) {
            let all: Vec<u32> = lists.into_iter().flatten().map(|(_, k)| k).collect();
            order.extend(packed.chunks.order().map(|at| all[at]));
            return Pass::Packed(Box::new(packed));
        }
    }
    order.extend(lists.iter().flatten().map(|&(_, k)| k));
    let targets = vec![first as u32; input.channels];
    Pass::Streamed(Sweep::new(streamed(&lists, dout), walk, targets, 1, input.plane()))
}
