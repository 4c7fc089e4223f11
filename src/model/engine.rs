//! Runs a plan: forward, loss, backward, over one arena that is allocated once.

use std::ops::Range;

use rayon::prelude::*;

use super::network::Network;
use super::plan::{Mode, Place, Plan, StepPlan, Work};
use crate::sparse::{
    AvgPool, BatchNorm, Blocked, Isa, LANES, Loss, MaxPool, PadShortcut, Saved, add, copy_or_add,
    cross_entropy, relu, relu_backward, softmax,
};

/// A plan with its memory.
pub struct Engine {
    plan: Plan,
    isa: Isa,
    arena: Arena,
    saved: Vec<Vec<Saved>>,
    scratch: Vec<f32>,
    samples: usize,
}

/// Values that begin on a cache line, so that no vector of sixteen straddles two.
struct Arena {
    values: Vec<f32>,
    start: usize,
}

impl Arena {
    fn new(len: usize) -> Self {
        let values = vec![0.0; len + LANES];
        let start = values.as_ptr().align_offset(LANES * size_of::<f32>()).min(LANES);
        Self { values, start }
    }

    /// Several parts at once.
    ///
    /// # Panics
    /// If parts overlap: the plan never gives overlapping places to tensors alive together.
    fn parts<const N: usize>(&mut self, ranges: [Range<usize>; N]) -> [&mut [f32]; N] {
        let ranges = ranges.map(|range| range.start + self.start..range.end + self.start);
        match self.values.get_disjoint_mut(ranges) {
            Ok(parts) => parts,
            Err(fault) => unreachable!("the plan gave one place to two tensors: {fault}"),
        }
    }
}

impl Engine {
    /// An engine for `network` in batches of up to `batch` samples.
    ///
    /// The plan holds the masks of now: after a mask changes, a new engine is needed.
    ///
    /// # Panics
    /// If `batch` is 0.
    pub fn new(network: &Network, batch: usize, mode: Mode, isa: Isa) -> Self {
        let plan = Plan::new(network, batch, mode);
        let saved = plan.slots.iter().map(|&channels| vec![Saved::default(); channels]).collect();
        Self { arena: Arena::new(plan.arena), plan, isa, saved, scratch: Vec::new(), samples: 0 }
    }

    /// The plan that this engine runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Takes in a batch: `fill(i, out)` writes sample `i` as `[C, H, W]` before normalisation.
    ///
    /// # Panics
    /// If `samples` is 0 or more than the plan's batch.
    pub fn load(
        &mut self,
        network: &Network,
        samples: usize,
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        assert!((1..=self.plan.batch).contains(&samples), "a batch of {samples} samples");
        self.samples = samples;
        let description = &network.description;
        let place = &self.plan.tensors[0].activation;
        let geometry = place.geometry;
        let [values] = self.arena.parts([place.of(Blocked::blocks(samples))]);
        if place.shared {
            geometry.clear_halo(values);
        }
        let area = geometry.height * geometry.width;
        values.par_chunks_exact_mut(geometry.block()).enumerate().for_each(|(block, values)| {
            let mut sample = vec![0.0; geometry.channels * area];
            for lane in 0..LANES {
                if lane < Blocked::lanes_in(block, samples) {
                    fill(block * LANES + lane, &mut sample);
                } else {
                    // Past the last sample: the mean, so that nothing there grows large.
                    for (channel, mean) in sample.chunks_exact_mut(area).zip(&description.mean) {
                        channel.fill(*mean);
                    }
                }
                for (channel, from) in sample.chunks_exact(area).enumerate() {
                    let (mean, scale) = (description.mean[channel], 1.0 / description.std[channel]);
                    for (y, row) in from.chunks_exact(geometry.width).enumerate() {
                        let start = geometry.at(channel, y, 0) + lane;
                        for (x, value) in row.iter().enumerate() {
                            values[start + x * LANES] = (value - mean) * scale;
                        }
                    }
                }
            }
        });
    }

    /// Runs the loaded batch forward. In [`Mode::Train`], moves the batch norms' running statistics.
    pub fn forward(&mut self, network: &mut Network) {
        for index in 0..self.plan.steps.len() {
            self.forward_step(index, network);
        }
    }

    /// Appends the softmax probabilities of the batch, row-major `[samples, classes]`, to `out`.
    pub fn probabilities(&mut self, out: &mut Vec<f32>) {
        let place = &self.plan.tensors[self.plan.logits].activation;
        let [logits] = self.arena.parts([place.of(Blocked::blocks(self.samples))]);
        softmax(logits, place.geometry, self.samples, out);
    }

    /// The logits of the batch, row-major `[samples, classes]`.
    pub fn logits(&mut self) -> Vec<f32> {
        let place = &self.plan.tensors[self.plan.logits].activation;
        let geometry = place.geometry;
        let [logits] = self.arena.parts([place.of(Blocked::blocks(self.samples))]);
        let at = |i: usize| {
            let (sample, class) = (i / geometry.channels, i % geometry.channels);
            sample / LANES * geometry.block() + geometry.at(class, 0, 0) + sample % LANES
        };
        (0..self.samples * geometry.channels).map(|i| logits[at(i)]).collect()
    }

    /// The loss of the loaded batch, after [`Engine::forward`]; adds the gradient of its mean to
    /// `gradient`, one entry for each packed weight of the network.
    ///
    /// # Panics
    /// If the engine only evaluates, or slices do not fit.
    pub fn backward(&mut self, network: &Network, labels: &[u32], gradient: &mut [f32]) -> Loss {
        self.backward_of(network, labels, labels.len(), gradient)
    }

    /// As [`Engine::backward`], but the mean is over `of` samples, of which the loaded ones are a
    /// part: the gradients of all parts add up to that of the whole.
    ///
    /// # Panics
    /// As [`Engine::backward`].
    pub fn backward_of(
        &mut self,
        network: &Network,
        labels: &[u32],
        of: usize,
        gradient: &mut [f32],
    ) -> Loss {
        assert_eq!(labels.len(), self.samples, "one label a sample");
        assert_eq!(gradient.len(), network.values.len(), "one gradient a weight");
        let tensor = &self.plan.tensors[self.plan.logits];
        let Some(place) = &tensor.gradient else {
            unreachable!("an evaluating engine has no gradients")
        };
        let blocks = Blocked::blocks(self.samples);
        let ranges = [tensor.activation.of(blocks), place.of(blocks)];
        let [logits, dlogits] = self.arena.parts(ranges);
        let logits = (&*logits, tensor.activation.geometry);
        let loss = cross_entropy(logits, labels, (&mut *dlogits, place.geometry));
        if of != labels.len() {
            let share = labels.len() as f32 / of as f32;
            dlogits.iter_mut().for_each(|value| *value *= share);
        }
        for index in (0..self.plan.steps.len()).rev() {
            self.backward_step(index, network, gradient);
        }
        loss
    }

    fn forward_step(&mut self, index: usize, network: &mut Network) {
        let blocks = Blocked::blocks(self.samples);
        let Self { plan, isa, arena, saved, scratch, .. } = self;
        let step = &plan.steps[index];
        let places: Vec<&Place> =
            step.inputs.iter().map(|&i| &plan.tensors[i].activation).collect();
        let (from, to) = (places[0], &plan.tensors[step.output].activation);
        let [x, y] = arena.parts([from.of(blocks), to.of(blocks)]);
        let x = &*x;
        if to.shared {
            to.geometry.clear_halo(y);
        }
        let (input, output) = (from.geometry, to.geometry);
        match &step.work {
            Work::Conv { plan, weight, bias } => {
                let bias = bias.map(|bias| network.packed(bias));
                let weight = network.packed(*weight);
                plan.forward(*isa, weight, bias, x, y, step.relu, scratch);
            }
            Work::BatchNorm { scale, buffer, epsilon, momentum, slot } => {
                let norm = BatchNorm { input, output, epsilon: *epsilon, relu: step.relu };
                let saved = &mut saved[*slot];
                let (mean, variance) = network.running(*buffer);
                if plan.mode == Mode::Train {
                    norm.statistics(*isa, x, self.samples, saved, (mean, variance), *momentum);
                } else {
                    norm.frozen(saved, mean, variance);
                }
                let affine = (network.packed(*scale), network.packed(*scale + 1));
                norm.forward(*isa, x, saved, affine, y);
            }
            Work::Relu => relu(*isa, (x, input), (y, output)),
            Work::Add => {
                let second = places[1];
                let ranges = [from.of(blocks), second.of(blocks), to.of(blocks)];
                let [a, b, y] = arena.parts(ranges);
                add(*isa, (a, input), (b, second.geometry), (y, output), step.relu);
            }
            &Work::MaxPool { kernel, stride, padding } => {
                MaxPool { input, output, kernel, stride, padding }.forward(x, y);
            }
            &Work::AvgPool { kernel, stride } => {
                AvgPool { input, output, kernel, stride }.forward(x, y);
            }
            &Work::PadShortcut { stride } => {
                PadShortcut { input, output, stride }.forward(x, y);
            }
        }
    }

    fn backward_step(&mut self, index: usize, network: &Network, gradient: &mut [f32]) {
        let blocks = Blocked::blocks(self.samples);
        let step = self.plan.steps[index].clone_light();
        let tensor = &self.plan.tensors[step.output];
        let Some(dy_place) = tensor.gradient.clone() else { return };
        let y_place = tensor.activation.clone();
        // A batch norm closes its own rectifier as it reads; others close it in place.
        if (step.relu && !step.norm) || step.is_relu {
            let [y, dy] = self.arena.parts([y_place.of(blocks), dy_place.of(blocks)]);
            relu_backward(self.isa, (y, y_place.geometry), (dy, dy_place.geometry));
        }
        self.parameter_gradient(index, network, gradient);
        for (i, &input) in step.inputs.iter().enumerate() {
            let Some(dx_place) = self.plan.tensors[input].gradient.clone() else { continue };
            if dx_place.shared && !step.accumulate[i] {
                let [dx] = self.arena.parts([dx_place.of(blocks)]);
                dx_place.geometry.clear_halo(dx);
            }
            self.input_gradient(index, i, network, &dx_place);
        }
        if step.norm {
            self.norm_gradient(index, network, gradient);
        }
    }

    /// Gradients of a convolution's weight and bias.
    fn parameter_gradient(&mut self, index: usize, network: &Network, gradient: &mut [f32]) {
        let blocks = Blocked::blocks(self.samples);
        let step = &self.plan.steps[index];
        let Work::Conv { plan, weight, bias } = &step.work else { return };
        let Some(dy) = &self.plan.tensors[step.output].gradient else { return };
        let x = &self.plan.tensors[step.inputs[0]].activation;
        let [x, dy] = self.arena.parts([x.of(blocks), dy.of(blocks)]);
        plan.weight_gradient(
            self.isa,
            dy,
            x,
            &mut gradient[network.parameters[*weight].range.clone()],
        );
        if let Some(bias) = bias {
            plan.bias_gradient(dy, &mut gradient[network.parameters[*bias].range.clone()]);
        }
    }

    /// The gradient of input `i` of a step that has no statistics of its own.
    fn input_gradient(&mut self, index: usize, i: usize, network: &Network, dx_place: &Place) {
        let blocks = Blocked::blocks(self.samples);
        let Self { plan, isa, arena, scratch, .. } = self;
        let step = &plan.steps[index];
        let accumulate = step.accumulate[i];
        let x_place = &plan.tensors[step.inputs[i]].activation;
        let output = plan.tensors[step.output].activation.geometry;
        let Some(dy_place) = &plan.tensors[step.output].gradient else { return };
        let ranges = [dy_place.of(blocks), dx_place.of(blocks)];
        let (input, to) = (x_place.geometry, dx_place.geometry);
        match &step.work {
            Work::Conv { plan, weight, .. } => {
                let [dy, dx] = arena.parts(ranges);
                plan.input_gradient(*isa, network.packed(*weight), dy, dx, accumulate, scratch);
            }
            &Work::MaxPool { kernel, stride, padding } => {
                let [dy_range, dx_range] = ranges;
                let [x, dy, dx] = arena.parts([x_place.of(blocks), dy_range, dx_range]);
                let pool = MaxPool { input, output, kernel, stride, padding };
                pool.backward(x, (dy, dy_place.geometry), (dx, to), accumulate);
            }
            Work::Relu | Work::Add => {
                let [dy, dx] = arena.parts(ranges);
                copy_or_add(*isa, (dy, dy_place.geometry), (dx, to), accumulate);
            }
            &Work::AvgPool { kernel, stride } => {
                let [dy, dx] = arena.parts(ranges);
                let pool = AvgPool { input, output, kernel, stride };
                pool.backward((dy, dy_place.geometry), (dx, to), accumulate);
            }
            &Work::PadShortcut { stride } => {
                let [dy, dx] = arena.parts(ranges);
                let shortcut = PadShortcut { input, output, stride };
                shortcut.backward((dy, dy_place.geometry), (dx, to), accumulate);
            }
            Work::BatchNorm { .. } => {}
        }
    }

    /// All gradients of a batch norm.
    fn norm_gradient(&mut self, index: usize, network: &Network, gradient: &mut [f32]) {
        let blocks = Blocked::blocks(self.samples);
        let Self { plan, isa, arena, saved, .. } = self;
        let step = &plan.steps[index];
        let Work::BatchNorm { scale, epsilon, slot, .. } = &step.work else { return };
        let (from, out) = (&plan.tensors[step.inputs[0]], &plan.tensors[step.output]);
        let (x, y) = (&from.activation, &out.activation);
        let (Some(dx), Some(dy)) = (&from.gradient, &out.gradient) else { return };
        let norm =
            BatchNorm { input: x.geometry, output: y.geometry, epsilon: *epsilon, relu: step.relu };
        let (dx_places, dy_places) = (dx.geometry, dy.geometry);
        let [x, dy, dx] = arena.parts([x.of(blocks), dy.of(blocks), dx.of(blocks)]);
        let [dscale, dshift] = [*scale, *scale + 1].map(|p| network.parameters[p].range.clone());
        let (before, after) = gradient.split_at_mut(dshift.start);
        norm.backward(
            *isa,
            x,
            (dy, dy_places),
            self.samples,
            &saved[*slot],
            (network.packed(*scale), network.packed(*scale + 1)),
            (&mut before[dscale], &mut after[..dshift.len()]),
            (dx, dx_places, step.accumulate[0]),
            plan.mode == Mode::Frozen,
        );
    }
}

/// What the backward pass asks of a step before it borrows the arena.
struct StepOutline {
    inputs: Vec<usize>,
    output: usize,
    relu: bool,
    accumulate: Vec<bool>,
    norm: bool,
    is_relu: bool,
}

impl StepPlan {
    fn clone_light(&self) -> StepOutline {
        StepOutline {
            inputs: self.inputs.clone(),
            output: self.output,
            relu: self.relu,
            accumulate: self.accumulate.clone(),
            norm: matches!(self.work, Work::BatchNorm { .. }),
            is_relu: matches!(self.work, Work::Relu),
        }
    }
}
