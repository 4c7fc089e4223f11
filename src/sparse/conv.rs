//! Convolution and linear layers: from shape and mask to the sweeps of the three passes.

use super::blocked::{Blocked, LANES};
use super::gather::{Call, Sweep, Walk};
use super::lanes::{Isa, sum_lanes};
use super::mask::Mask;
use super::rows::{Cut, Rows, pile};
use super::weight_gradient::{OutputPlaces, weight_gradient};
use rayon::prelude::*;

/// The shape of a convolution. A linear layer is one whose kernel covers the whole input.
///
/// Weight `[filters, channels / groups, kh, kw]`, row-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Output channels.
    pub filters: usize,
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Step in height and width.
    pub stride: [usize; 2],
    /// Zeros added on each side, in height and width.
    pub padding: [usize; 2],
    /// Channel groups.
    pub groups: usize,
}

impl ConvShape {
    /// Output height and width.
    pub fn output(&self, [_, height, width]: [usize; 3]) -> [usize; 2] {
        let side = |size: usize, d: usize| {
            (size + 2 * self.padding[d]).saturating_sub(self.kernel[d]) / self.stride[d] + 1
        };
        [side(height, 0), side(width, 1)]
    }

    /// Whether the kernel covers the whole input, so that each weight meets one place only.
    fn covers(&self, [_, height, width]: [usize; 3]) -> bool {
        self.kernel == [height, width] && self.padding == [0, 0] && self.groups == 1
    }

    /// The halo that the input needs, in height and width.
    pub fn input_halo(&self) -> [usize; 2] {
        self.padding
    }

    /// The halo that the gradient of the output needs, in height and width.
    pub fn output_halo(&self, input: [usize; 3]) -> [usize; 2] {
        if self.covers(input) {
            return [0, 0];
        }
        let [height, width] = self.output(input);
        let need = |d: usize, size: usize, places: usize| {
            let (k, p, s) =
                (self.kernel[d] as isize, self.padding[d] as isize, self.stride[d] as isize);
            let (low, high) = ((p - k + 1).div_euclid(s), (size as isize - 1 + p).div_euclid(s));
            (-low).max(high - (places as isize - 1)).max(0) as usize
        };
        [need(0, input[1], height), need(1, input[2], width)]
    }

    /// Weights in the layer, existing or not.
    pub fn weights(&self, channels: usize) -> usize {
        self.filters * channels / self.groups * self.kernel[0] * self.kernel[1]
    }
}

/// A weight that exists, taken apart.
#[derive(Clone, Copy)]
struct Tap {
    filter: usize,
    channel: usize,
    y: usize,
    x: usize,
}

/// A convolution made ready for one mask and one geometry: the three passes.
#[derive(Clone, Debug)]
pub struct ConvPlan {
    shape: ConvShape,
    input: Blocked,
    output: Blocked,
    /// Geometry of the output's gradient.
    dout: Blocked,
    forward: Sweep,
    /// Sweeps of the input gradient: one for each phase of the stride.
    backward: Vec<Sweep>,
    /// Which packed value each term of the backward sweeps takes.
    order: Vec<u32>,
}

impl ConvPlan {
    /// Makes the passes of `shape` over `input`, for the weights in `mask`.
    ///
    /// `output`, `dout` and `dinput` are the geometries of the output, of its gradient and of the
    /// input's gradient. Without `dinput`, [`ConvPlan::input_gradient`] may not be called.
    ///
    /// # Panics
    /// If the geometries do not fit the shape, a halo is smaller than [`ConvShape::input_halo`] or
    /// [`ConvShape::output_halo`] say, or the mask is not one of this layer's weights.
    pub fn new(
        shape: ConvShape,
        mask: &Mask,
        input: Blocked,
        output: Blocked,
        dout: Blocked,
        dinput: Option<Blocked>,
    ) -> Self {
        let all = [Some(input), Some(output), Some(dout), dinput];
        assert!(all.iter().flatten().all(Blocked::fits), "a block exceeds 32 bits");
        let size = [input.channels, input.height, input.width];
        for (stride, side, halo) in [
            (shape.stride[0], input.height, input.halo[0]),
            (shape.stride[1], input.width, input.halo[1]),
        ] {
            let whole = side + 2 * halo;
            assert!((1..=whole).contains(&stride), "the stride is no step within the input");
        }
        let as_input = |d: &Blocked| [d.channels, d.height, d.width] == size;
        assert!(dinput.as_ref().is_none_or(as_input), "the input's gradient has its shape");
        let [height, width] = shape.output(size);
        assert_eq!([output.channels, output.height, output.width], [shape.filters, height, width]);
        assert_eq!([dout.channels, dout.height, dout.width], [shape.filters, height, width]);
        assert_eq!(mask.len(), shape.weights(input.channels), "the mask is another layer's");
        assert!(reaches(input.halo, shape.input_halo()), "the input's halo is too small");
        let taps = taps(&shape, mask, input.channels);
        let forward = forward_sweep(&shape, &taps, input, output);
        let (mut sweeps, mut order) = (Vec::new(), Vec::new());
        if let Some(dinput) = dinput.filter(|_| shape.covers(size)) {
            sweeps.push(whole_sweep(&taps, dinput, dout, &mut order));
        } else if let Some(dinput) = dinput {
            assert!(
                reaches(dout.halo, shape.output_halo(size)),
                "the output gradient's halo is too small"
            );
            let [rows, columns] = shape.stride;
            for phase in 0..rows * columns {
                let phase = [phase / columns, phase % columns];
                sweeps.push(phase_sweep(&shape, &taps, dinput, dout, phase, &mut order));
            }
        }
        Self { shape, input, output, dout, forward, backward: sweeps, order }
    }

    /// Weights that exist.
    pub fn existing(&self) -> usize {
        self.forward.rows.terms()
    }

    /// Bytes of the indices that the three passes read.
    pub fn index_bytes(&self) -> usize {
        let rows = |sweep: &Sweep| match &sweep.rows {
            Rows::Uniform { offsets, .. } => offsets.len(),
            Rows::Ragged { starts, offsets, route } => {
                starts.len() + offsets.len() + route.numbers()
            }
        };
        4 * (rows(&self.forward) + self.backward.iter().map(rows).sum::<usize>() + self.order.len())
    }

    /// Bytes of the scratch that [`ConvPlan::input_gradient`] fills.
    pub fn scratch_bytes(&self) -> usize {
        4 * self.order.len()
    }

    /// `output = conv(input, values) + bias`, then `max(·, 0)` if `relu`.
    ///
    /// `values` are packed in mask order. Terms are summed in mask order, the bias first.
    ///
    /// # Panics
    /// If a slice does not fit the plan.
    pub fn forward(
        &self,
        isa: Isa,
        values: &[f32],
        bias: Option<&[f32]>,
        input: &[f32],
        output: &mut [f32],
        relu: bool,
    ) {
        assert_eq!(input.len() / self.input.block(), output.len() / self.output.block());
        self.forward.run(isa, Call { values, bias, input, accumulate: false, relu }, output);
    }

    /// `dinput (+)= conv^T(dout, values)`. `scratch` keeps the values in the order of this pass
    /// between calls, so that nothing is allocated in the steady state.
    ///
    /// # Panics
    /// If a slice does not fit the plan, or the plan was made without `dinput`.
    pub fn input_gradient(
        &self,
        isa: Isa,
        values: &[f32],
        dout: &[f32],
        dinput: &mut [f32],
        accumulate: bool,
        scratch: &mut Vec<f32>,
    ) {
        assert!(!self.backward.is_empty(), "this plan was made without an input gradient");
        scratch.clear();
        scratch.extend(self.order.iter().map(|&k| values[k as usize]));
        let mut from = 0;
        for sweep in &self.backward {
            let terms = sweep.rows.terms();
            let values = &scratch[from..from + terms];
            from += terms;
            let call = Call { values, bias: None, input: dout, accumulate, relu: false };
            sweep.run(isa, call, dinput);
        }
    }

    /// Adds the gradient of each existing weight to `grad`, packed in mask order.
    ///
    /// # Panics
    /// If a slice does not fit the plan.
    pub fn weight_gradient(&self, isa: Isa, dout: &[f32], input: &[f32], grad: &mut [f32]) {
        let places = OutputPlaces {
            block: self.dout.block(),
            plane: self.dout.plane(),
            origin: self.dout.at(0, 0, 0),
            step: [self.dout.row(), LANES],
        };
        weight_gradient(isa, &self.forward, places, dout, input, grad);
    }

    /// Adds the gradient of each filter's bias to `grad`: the sum of `dout` over samples and places.
    pub fn bias_gradient(&self, dout: &[f32], grad: &mut [f32]) {
        let geometry = self.dout;
        grad.par_iter_mut().enumerate().for_each(|(filter, grad)| {
            let mut lanes = [0.0; LANES];
            for block in dout.chunks_exact(geometry.block()) {
                let plane = &block[filter * geometry.plane()..][..geometry.plane()];
                for y in 0..geometry.height {
                    for place in plane[geometry.interior(y)].as_chunks::<LANES>().0 {
                        for (sum, value) in lanes.iter_mut().zip(place) {
                            *sum += value;
                        }
                    }
                }
            }
            *grad += sum_lanes(lanes);
        });
    }

    /// Multiply-accumulates of the forward pass for one sample, over the weights that exist.
    pub fn macs(&self) -> usize {
        let [height, width] =
            self.shape.output([self.input.channels, self.input.height, self.input.width]);
        self.existing() * height * width
    }
}

/// Whether a halo is as wide as is needed, in both directions.
fn reaches(halo: [usize; 2], needed: [usize; 2]) -> bool {
    halo[0] >= needed[0] && halo[1] >= needed[1]
}

/// All weights that exist, in mask order.
fn taps(shape: &ConvShape, mask: &Mask, channels: usize) -> Vec<Tap> {
    let [kh, kw] = shape.kernel;
    let depth = channels / shape.groups;
    let per_group = shape.filters / shape.groups;
    mask.iter()
        .map(|position| {
            let (x, rest) = (position % kw, position / kw);
            let (y, rest) = (rest % kh, rest / kh);
            let (channel, filter) = (rest % depth, rest / depth);
            Tap { filter, channel: filter / per_group * depth + channel, y, x }
        })
        .collect()
}

fn forward_sweep(shape: &ConvShape, taps: &[Tap], input: Blocked, output: Blocked) -> Sweep {
    let [top, left] = shape.padding;
    let mut lists = vec![Vec::new(); shape.filters];
    for tap in taps {
        let at = input.at(tap.channel, 0, 0) + tap.y * input.row() + tap.x * LANES;
        lists[tap.filter].push((at - top * input.row() - left * LANES) as u32);
    }
    let walk = Walk {
        places: [output.height, output.width],
        input: [shape.stride[0] * input.row(), shape.stride[1] * LANES],
        output: [output.row(), LANES],
    };
    let targets = vec![output.at(0, 0, 0) as u32; shape.filters];
    let cut = Cut {
        pile: pile(output.channels, walk.places[0]),
        ..cut(input, shape.kernel, shape.stride, walk.places)
    };
    Sweep::new(Rows::of(lists, cut), walk, targets, 1, output.plane())
}

/// The input gradient of a layer that covers its whole input: a row for each input value.
fn whole_sweep(taps: &[Tap], input: Blocked, dout: Blocked, order: &mut Vec<u32>) -> Sweep {
    let per_plane = input.height * input.width;
    let mut lists = vec![Vec::new(); input.channels * per_plane];
    for (k, tap) in taps.iter().enumerate() {
        let row = tap.channel * per_plane + tap.y * input.width + tap.x;
        lists[row].push((dout.at(tap.filter, 0, 0) as u32, k as u32));
    }
    let targets = (0..lists.len())
        .map(|row| input.at(0, row % per_plane / input.width, row % input.width) as u32)
        .collect();
    let walk = Walk { places: [1, 1], input: [0, 0], output: [0, 0] };
    let pile = pile(input.channels, 1) * per_plane;
    let cut = Cut { pile, few: pile, ..cut(dout, [1, 1], [1, 1], walk.places) };
    Sweep::new(split(lists, order, cut), walk, targets, per_plane, input.plane())
}

/// The input gradient at the places `phase`, `phase + stride`, ... of both directions.
fn phase_sweep(
    shape: &ConvShape,
    taps: &[Tap],
    input: Blocked,
    dout: Blocked,
    phase: [usize; 2],
    order: &mut Vec<u32>,
) -> Sweep {
    // The place of the output that tap `k` reads for the first place of this phase, if any.
    let source = |d: usize, k: usize| -> Option<isize> {
        let ahead = (phase[d] + shape.padding[d]) as isize - k as isize;
        let stride = shape.stride[d] as isize;
        (ahead.rem_euclid(stride) == 0).then(|| ahead.div_euclid(stride))
    };
    let mut lists = vec![Vec::new(); input.channels];
    for (k, tap) in taps.iter().enumerate() {
        let (Some(y), Some(x)) = (source(0, tap.y), source(1, tap.x)) else { continue };
        let at = dout.at(tap.filter, 0, 0) as isize;
        let at = at + y * dout.row() as isize + x * LANES as isize;
        lists[tap.channel].push((at as u32, k as u32));
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
    let targets = vec![first as u32; input.channels];
    let kernel = [0, 1].map(|d| shape.kernel[d].div_ceil(shape.stride[d]));
    let pile = pile(input.channels, walk.places[0]);
    let cut = Cut { pile, ..cut(dout, kernel, [1, 1], walk.places) };
    Sweep::new(split(lists, order, cut), walk, targets, 1, input.plane())
}

/// Parts lists of (offset, value index) into rows and, appended to `order`, value indices.
fn split(lists: Vec<Vec<(u32, u32)>>, order: &mut Vec<u32>, cut: Cut) -> Rows {
    order.extend(lists.iter().flatten().map(|&(_, k)| k));
    let offsets = |list: Vec<(u32, u32)>| list.into_iter().map(|(at, _)| at).collect();
    Rows::of(lists.into_iter().map(offsets).collect(), cut)
}

/// How the lists of a sweep over `from` are cut, whose terms spread over `kernel`; all rows are one
/// pile.
fn cut(from: Blocked, kernel: [usize; 2], stride: [usize; 2], places: [usize; 2]) -> Cut {
    let neighbours = places[1].clamp(1, Cut::PLACES) - 1;
    let vectors = kernel[0] * (neighbours * stride[1] + kernel[1]);
    Cut { plane: from.plane(), planes: from.channels, vectors, pile: usize::MAX, few: 8 }
}
