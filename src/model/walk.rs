//! One step of a plan, forward or backward, over the arena.

use super::engine::Arena;
use super::network::Network;
use super::plan::{Handing, Place, Plan, StepPlan, Work};
use crate::sparse::{
    AvgPool, BatchNorm, Blocked, Isa, MaxPool, Merge, NormGradients, Operands, PadShortcut,
    Running, Saved, Target, add, copy_or_add, gelu_backward, position_gradient, relu,
    relu_backward,
};

/// What steps work on. The plan is borrowed apart, so that a step can be read while values change.
pub(super) struct Walk<'a> {
    pub plan: &'a Plan,
    pub isa: Isa,
    pub arena: &'a mut Arena,
    pub saved: &'a mut [Vec<Saved>],
    pub scratch: &'a mut Vec<f32>,
    pub samples: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn blocks(&self) -> usize {
        Blocked::blocks(self.samples)
    }

    pub(super) fn activation(&self, tensor: usize) -> &'a Place {
        &self.plan.tensors[tensor].activation
    }

    pub(super) fn gradient(&self, tensor: usize) -> Option<&'a Place> {
        self.plan.tensors[tensor].gradient.as_ref()
    }

    /// Runs a step forward. A batch norm that takes the batch's statistics moves its running ones.
    pub fn forward(&mut self, step: &StepPlan, network: &mut Network) {
        if let Work::BatchNorm { .. } = step.work {
            return self.norm_forward(step, network);
        }
        let (blocks, isa) = (self.blocks(), self.isa);
        let (from, to) = (self.activation(step.inputs[0]), self.activation(step.output));
        let (input, output) = (from.geometry, to.geometry);
        let [x, y] = self.arena.parts([from.of(blocks), to.of(blocks)]);
        let x = &*x;
        if to.shared {
            output.clear_halo(y);
        }
        match &step.work {
            Work::Conv { plan, weight, bias, .. } => {
                let Some(plan) = plan else { return };
                let bias = bias.map(|bias| network.packed(bias));
                let values = network.packed(*weight);
                plan.forward(isa, values, bias, x, y, step.relu, self.scratch);
            }
            Work::Relu => relu(isa, (x, input), (y, output)),
            Work::Add => {
                let other = self.activation(step.inputs[1]);
                let ranges = [from.of(blocks), other.of(blocks), to.of(blocks)];
                let [a, b, y] = self.arena.parts(ranges);
                add(isa, (a, input), (b, other.geometry), (y, output), step.relu);
            }
            &Work::MaxPool { kernel, stride, padding } => {
                MaxPool { input, output, kernel, stride, padding }.forward(isa, x, y);
            }
            &Work::AvgPool { kernel, stride } => {
                AvgPool { input, output, kernel, stride }.forward(isa, x, y);
            }
            &Work::PadShortcut { stride } => {
                PadShortcut { input, output, stride }.forward(x, y);
            }
            Work::BatchNorm { .. } => {}
            Work::LayerNorm { .. }
            | Work::Gelu
            | Work::Position { .. }
            | Work::Attention { .. }
            | Work::SpaceToDepth { .. } => self.tokens_forward(step, network),
        }
    }

    fn norm_forward(&mut self, step: &StepPlan, network: &mut Network) {
        let &Work::BatchNorm { scale, buffer, epsilon, momentum, slot, batch } = &step.work else {
            return;
        };
        let blocks = self.blocks();
        let (from, to) = (self.activation(step.inputs[0]), self.activation(step.output));
        let addend = step.inputs.get(1).map(|&tensor| self.activation(tensor));
        let (x, addend, y) = self.arena.normed(blocks, from, addend, to);
        let norm = BatchNorm { input: from.geometry, epsilon, relu: step.relu };
        let saved = &mut self.saved[slot];
        let ([scale, shift], [mean, variance]) = network.norm(scale, buffer);
        let of = Operands { x, scale, shift };
        if batch {
            let running = Running { mean, variance, momentum };
            norm.train(self.isa, of, addend, self.samples, saved, running, y);
        } else {
            norm.frozen(saved, mean, variance);
            norm.forward(self.isa, of, addend, saved, y);
        }
    }

    /// Writes a batch norm's output for the backward pass: the bytes that it had forward.
    fn again(&mut self, step: &StepPlan, network: &Network) {
        let &Work::BatchNorm { scale, epsilon, slot, .. } = &step.work else { return };
        let (from, to) = (self.activation(step.inputs[0]), self.plan.tensors[step.output].kept());
        let (x, addend, y) = self.arena.normed(self.blocks(), from, None, to);
        let norm = BatchNorm { input: from.geometry, epsilon, relu: step.relu };
        let of = Operands { x, scale: network.packed(scale), shift: network.packed(scale + 1) };
        norm.forward(self.isa, of, addend, &self.saved[slot], y);
    }

    /// Runs a step backward: adds the gradients of its parameters to `gradient`, and hands its
    /// inputs theirs. `gradient` begins with the first weight that learns. Nothing is done where no
    /// gradient flows.
    pub fn backward(&mut self, step: &StepPlan, network: &Network, gradient: &mut [f32]) {
        if step.gradients.is_empty() {
            return;
        }
        for &writer in &step.again {
            self.again(&self.plan.steps[writer], network);
        }
        let (blocks, isa) = (self.blocks(), self.isa);
        let Some(dy) = self.gradient(step.output) else { return };
        // These make their parameters' gradients along with their input's.
        let is_norm = matches!(step.work, Work::BatchNorm { .. });
        let together =
            is_norm || matches!(step.work, Work::LayerNorm { .. } | Work::Attention { .. });
        if is_norm && step.gradients[0] != Handing::Nothing {
            self.norm_backward(step, network, gradient);
        } else if together && step.gradients[0] != Handing::Nothing {
            self.tokens_backward(step, network, gradient);
        } else if step.relu || matches!(step.work, Work::Relu) {
            let y = self.activation(step.output);
            let [y_values, dy_values] = self.arena.parts([y.of(blocks), dy.of(blocks)]);
            relu_backward(isa, (y_values, y.geometry), (dy_values, dy.geometry));
        }
        self.parameter_gradient(step, network, gradient);
        for (i, &input) in step.inputs.iter().enumerate() {
            let done = matches!(step.gradients[i], Handing::Same | Handing::Nothing);
            if done || (together && i == 0) {
                continue;
            }
            let Some(dx) = self.gradient(input) else { continue };
            if dx.shared && step.gradients[i] == Handing::Write {
                let [values] = self.arena.parts([dx.of(blocks)]);
                dx.geometry.clear_halo(values);
            }
            self.input_gradient(step, i, network, (dy, dx));
        }
    }

    /// Gradients of a convolution's weight and bias, and of positions.
    fn parameter_gradient(&mut self, step: &StepPlan, network: &Network, gradient: &mut [f32]) {
        let blocks = self.blocks();
        let Some(dy) = self.gradient(step.output) else { return };
        if let &Work::Position { added, learns: true } = &step.work {
            let [values] = self.arena.parts([dy.of(blocks)]);
            let added = self.plan.gradient_of(network, added);
            return position_gradient((values, dy.geometry), &mut gradient[added]);
        }
        let Work::Conv { plan: Some(plan), weight, bias, learns: true, .. } = &step.work else {
            return;
        };
        let x = self.plan.tensors[step.inputs[0]].kept();
        let [x, dy] = self.arena.parts([x.of(blocks), dy.of(blocks)]);
        let weight = self.plan.gradient_of(network, *weight);
        plan.weight_gradient(self.isa, dy, x, &mut gradient[weight]);
        if let Some(bias) = bias {
            plan.bias_gradient(dy, &mut gradient[self.plan.gradient_of(network, *bias)]);
        }
    }

    /// The gradient of input `i`, unless it is what a batch norm normalises.
    fn input_gradient(
        &mut self,
        step: &StepPlan,
        i: usize,
        network: &Network,
        (dy_place, dx_place): (&Place, &Place),
    ) {
        let (blocks, isa) = (self.blocks(), self.isa);
        let accumulate = step.gradients[i] == Handing::Add;
        let x_place = self.plan.tensors[step.inputs[i]].kept();
        let (input, output) = (x_place.geometry, self.activation(step.output).geometry);
        let ranges = [dy_place.of(blocks), dx_place.of(blocks)];
        let (from, to) = (dy_place.geometry, dx_place.geometry);
        if let &Work::MaxPool { kernel, stride, padding } = &step.work {
            let [dy_range, dx_range] = ranges;
            let [x, dy, dx] = self.arena.parts([x_place.of(blocks), dy_range, dx_range]);
            let pool = MaxPool { input, output, kernel, stride, padding };
            return pool.backward(isa, x, (dy, from), (dx, to), accumulate);
        }
        if let Work::Gelu = step.work {
            let [dy_range, dx_range] = ranges;
            let [x, dy, dx] = self.arena.parts([x_place.of(blocks), dy_range, dx_range]);
            return gelu_backward(isa, (x, input), (dy, from), (dx, to), accumulate);
        }
        let [dy, dx] = self.arena.parts(ranges);
        match &step.work {
            Work::Conv { plan, weight, .. } => {
                let Some(plan) = plan else { return };
                let values = network.packed(*weight);
                plan.input_gradient(isa, values, dy, dx, accumulate, self.scratch);
            }
            // What a batch norm reads besides its input is added, and it has closed `dy`.
            Work::Relu | Work::Add | Work::Position { .. } | Work::BatchNorm { .. } => {
                copy_or_add(isa, (dy, from), (dx, to), accumulate);
            }
            &Work::AvgPool { kernel, stride } => {
                let pool = AvgPool { input, output, kernel, stride };
                pool.backward(isa, (dy, from), (dx, to), accumulate);
            }
            &Work::PadShortcut { stride } => {
                let shortcut = PadShortcut { input, output, stride };
                shortcut.backward((dy, from), (dx, to), accumulate);
            }
            &Work::SpaceToDepth { side } => {
                Merge { input, output, side }.backward((dy, from), (dx, to), accumulate);
            }
            Work::MaxPool { .. } | Work::Gelu => {}
            Work::LayerNorm { .. } | Work::Attention { .. } => {}
        }
    }

    /// The gradients of a batch norm's parameters, and of what it normalises.
    fn norm_backward(&mut self, step: &StepPlan, network: &Network, gradient: &mut [f32]) {
        let &Work::BatchNorm { scale, epsilon, slot, batch, .. } = &step.work else { return };
        let blocks = self.blocks();
        let (x, y) = (self.plan.tensors[step.inputs[0]].kept(), self.activation(step.output));
        let Some((dx, dy)) = self.gradient(step.inputs[0]).zip(self.gradient(step.output)) else {
            return;
        };
        let asks_output = step.relu && step.inputs.len() > 1;
        let ranges = [x.of(blocks), dy.of(blocks), dx.of(blocks)];
        let (x_values, y_values, dy_values, dx_values) = if asks_output {
            let [x, dy, dx] = ranges;
            let [x, y, dy, dx] = self.arena.parts([x, y.of(blocks), dy, dx]);
            (&*x, Some(&*y), dy, dx)
        } else {
            let [x, dy, dx] = self.arena.parts(ranges);
            (&*x, None, dy, dx)
        };
        let [dscale, dshift] =
            [scale, scale + 1].map(|parameter| self.plan.gradient_of(network, parameter));
        let (before, after) = gradient.split_at_mut(dshift.start);
        let accumulate = step.gradients[0] == Handing::Add;
        let to = NormGradients {
            dy: (dy_values, dy.geometry),
            y: y_values.map(|values| (values, y.geometry)),
            dscale: &mut before[dscale],
            dshift: &mut after[..dshift.len()],
            dx: Target { values: dx_values, places: dx.geometry, clear: dx.shared && !accumulate },
            accumulate,
        };
        let (scale, shift) = (network.packed(scale), network.packed(scale + 1));
        let of = Operands { x: x_values, scale, shift };
        let norm = BatchNorm { input: x.geometry, epsilon, relu: step.relu };
        norm.backward(self.isa, of, self.samples, &self.saved[slot], !batch, to);
    }
}

impl Arena {
    /// What a batch norm reads, adds and writes.
    #[allow(clippy::type_complexity)]
    fn normed(
        &mut self,
        blocks: usize,
        x: &Place,
        addend: Option<&Place>,
        y: &Place,
    ) -> (&[f32], Option<(&[f32], Blocked)>, Target<'_>) {
        let target = |values| Target { values, places: y.geometry, clear: y.shared };
        match addend {
            Some(addend) => {
                let ranges = [x.of(blocks), addend.of(blocks), y.of(blocks)];
                let [x, more, y] = self.parts(ranges);
                (x, Some((more, addend.geometry)), target(y))
            }
            None => {
                let [x, y] = self.parts([x.of(blocks), y.of(blocks)]);
                (x, None, target(y))
            }
        }
    }
}
