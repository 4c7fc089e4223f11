//! Convolution and linear layers: from shape and mask to the sweeps of the three passes.

use rayon::prelude::*;

use super::blocked::{Blocked, LANES};
use super::gather::Call;
use super::lanes::{Isa, sum_lanes};
use super::mask::Mask;
use super::passes::{GradientPass, Kernels, Pass, forward_passes, phase_pass, taps, whole_sweep};
use super::table::KernelTable;
use super::weight_gradient::{OutputPlaces, weight_gradient};

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

/// A convolution made ready for one mask and one geometry: the three passes.
#[derive(Clone, Debug)]
pub struct ConvPlan {
    shape: ConvShape,
    input: Blocked,
    output: Blocked,
    /// Geometry of the output's gradient.
    dout: Blocked,
    forward: Pass,
    gradient: GradientPass,
    /// Passes of the input gradient: one for each phase of the stride.
    backward: Vec<Pass>,
    /// Which packed value each term of the backward passes takes.
    order: Vec<u32>,
    existing: usize,
    /// Values of a block of the input's gradient.
    dinput_block: usize,
}

impl ConvPlan {
    /// As [`ConvPlan::by`], by the table in force.
    ///
    /// # Panics
    /// As [`ConvPlan::by`].
    pub fn new(
        shape: ConvShape,
        mask: &Mask,
        input: Blocked,
        output: Blocked,
        dout: Blocked,
        dinput: Option<Blocked>,
    ) -> Self {
        Self::by(KernelTable::in_force(), shape, mask, (input, output, dout, dinput))
    }

    /// Makes the passes of `shape` over `input`, for the weights in `mask`, by the kernels of `table`.
    ///
    /// `output`, `dout` and `dinput` are the geometries of the output, of its gradient and of the
    /// input's gradient. Without `dinput`, [`ConvPlan::input_gradient`] may not be called.
    ///
    /// # Panics
    /// If the geometries do not fit the shape, a halo is smaller than [`ConvShape::input_halo`] or
    /// [`ConvShape::output_halo`] say, or the mask is not one of this layer's weights.
    pub fn by(
        table: KernelTable,
        shape: ConvShape,
        mask: &Mask,
        (input, output, dout, dinput): (Blocked, Blocked, Blocked, Option<Blocked>),
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
        let (forward, gradient) = forward_passes(table, &shape, &taps, input, output);
        let (mut passes, mut order) = (Vec::new(), Vec::new());
        if let Some(dinput) = dinput.filter(|_| shape.covers(size)) {
            passes.push(Pass::Streamed(whole_sweep(&taps, dinput, dout, &mut order)));
        } else if let Some(dinput) = dinput {
            assert!(
                reaches(dout.halo, shape.output_halo(size)),
                "the output gradient's halo is too small"
            );
            let [rows, columns] = shape.stride;
            for phase in 0..rows * columns {
                let phase = [phase / columns, phase % columns];
                passes.push(phase_pass(table, &shape, &taps, dinput, dout, phase, &mut order));
            }
        }
        let dinput_block = dinput.map_or(0, |dinput| dinput.block());
        let existing = taps.len();
        let backward = passes;
        Self {
            shape,
            input,
            output,
            dout,
            forward,
            gradient,
            backward,
            order,
            existing,
            dinput_block,
        }
    }

    /// This plan without the lists of the weight gradient, for a layer that does not learn:
    /// [`ConvPlan::weight_gradient`] may not be called.
    pub fn without_weight_gradient(self) -> Self {
        Self { gradient: GradientPass::Unasked, ..self }
    }

    /// Weights that exist.
    pub fn existing(&self) -> usize {
        self.existing
    }

    /// Which kernels the passes take.
    pub fn kernels(&self) -> Kernels {
        let mut phases: Vec<String> = Vec::new();
        for told in self.backward.iter().map(Pass::told) {
            if !phases.contains(&told) {
                phases.push(told);
            }
        }
        Kernels {
            forward: self.forward.told(),
            input_gradient: phases.join(", "),
            weight_gradient: self.gradient.told(&self.forward),
        }
    }

    /// How often the forward pass, the input's gradient (its first phase) and the weights' gradient read what
    /// they pack, as [`KernelTable`] counts it; none for a pass that does not pack.
    pub fn reuse(&self) -> [Option<f64>; 3] {
        let gradient = match &self.gradient {
            GradientPass::Packed(packed) => Some(packed.reuse),
            _ => None,
        };
        [self.forward.reuse(), self.backward.first().and_then(Pass::reuse), gradient]
    }

    /// Bytes of the indices that the three passes read.
    pub fn index_bytes(&self) -> usize {
        let gradient = match &self.gradient {
            GradientPass::Forward | GradientPass::Unasked => 0,
            GradientPass::Streamed(sweep) => sweep.rows.bytes(),
            GradientPass::Packed(packed) => packed.bytes(),
        };
        let backward: usize = self.backward.iter().map(Pass::bytes).sum();
        self.forward.bytes() + gradient + backward + 4 * self.order.len()
    }

    /// Bytes that one pass fills, besides what each thread needs: values in the order of the pass, or
    /// sums of gradients of `blocks` blocks.
    pub fn scratch_bytes(&self, blocks: usize) -> usize {
        let forward = match self.forward {
            Pass::Packed(_) => self.existing,
            Pass::Streamed(_) => 0,
        };
        let sums = match &self.gradient {
            GradientPass::Packed(packed) => packed.sums_bytes(blocks),
            _ => 0,
        };
        4 * self.order.len().max(forward) + sums
    }

    /// Bytes that each thread needs besides, while a pass runs.
    pub fn thread_bytes(&self) -> usize {
        let gradient = match &self.gradient {
            GradientPass::Packed(packed) => packed.scratch(),
            _ => 0,
        };
        let passes = self.backward.iter().chain([&self.forward]).map(|pass| match pass {
            Pass::Packed(packed) => packed.scratch(),
            Pass::Streamed(_) => 0,
        });
        4 * passes.max().unwrap_or(0).max(gradient)
    }

    /// `output = conv(input, values) + bias`, then `max(·, 0)` if `relu`.
    ///
    /// `values` are packed in mask order. Terms are summed in mask order, the bias first. `scratch`
    /// keeps the values in the order of this pass between calls, so that nothing is allocated in the
    /// steady state.
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
        scratch: &mut Vec<f32>,
    ) {
        let blocks = input.len() / self.input.block();
        assert_eq!(input.len(), blocks * self.input.block(), "the input holds whole blocks");
        assert_eq!(output.len(), blocks * self.output.block(), "one block of output for each");
        assert!(bias.is_none_or(|bias| bias.len() == self.shape.filters), "one bias a filter");
        let values = match &self.forward {
            Pass::Streamed(_) => values,
            Pass::Packed(packed) => {
                assert_eq!(values.len(), self.existing, "one value for each weight");
                scratch.clear();
                for visit in &packed.chunks.visits {
                    scratch
                        .extend_from_slice(&values[visit.first as usize..][..visit.terms as usize]);
                }
                scratch
            }
        };
        let call = Call { values, bias, input, accumulate: false, relu };
        self.forward.run(isa, call, blocks, output);
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
        let blocks = dout.len() / self.dout.block();
        assert_eq!(dout.len(), blocks * self.dout.block(), "the gradient holds whole blocks");
        assert_eq!(dinput.len(), blocks * self.dinput_block, "one block of input for each");
        let mut from = 0;
        for pass in &self.backward {
            let terms = pass.terms();
            let values = &scratch[from..from + terms];
            from += terms;
            let call = Call { values, bias: None, input: dout, accumulate, relu: false };
            pass.run(isa, call, blocks, dinput);
        }
    }

    /// Adds the gradient of each existing weight to `grad`, packed in mask order.
    ///
    /// # Panics
    /// If a slice does not fit the plan, or the plan is one without weight gradient.
    pub fn weight_gradient(&self, isa: Isa, dout: &[f32], input: &[f32], grad: &mut [f32]) {
        let asked = !matches!(self.gradient, GradientPass::Unasked);
        assert!(asked, "this plan was made without a weight gradient");
        let places = OutputPlaces {
            block: self.dout.block(),
            plane: self.dout.plane(),
            origin: self.dout.at(0, 0, 0),
            step: [self.dout.row(), LANES],
        };
        assert_eq!(dout.len() % places.block, 0, "the gradient holds whole blocks");
        let blocks = dout.len() / places.block;
        assert_eq!(input.len(), blocks * self.input.block(), "one block of input for each");
        match (&self.gradient, &self.forward) {
            (GradientPass::Packed(packed), _) => packed.run(isa, places, dout, input, grad),
            (GradientPass::Streamed(sweep), _) | (GradientPass::Forward, Pass::Streamed(sweep)) => {
                weight_gradient(isa, sweep, places, dout, input, grad);
            }
            (GradientPass::Forward, Pass::Packed(_)) => unreachable!("it has lists of its own"),
            (GradientPass::Unasked, _) => {}
        }
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
