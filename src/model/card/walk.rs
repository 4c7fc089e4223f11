//! One step of a plan, forward or backward, by launches on a device. The order of what is done is that of
//! [`crate::model::walk`].

use super::memory::Places;
use super::pass::Stretch;
use crate::model::network::Network;
use crate::model::plan::{Handing, Place, Plan, StepPlan, Work};
use crate::sparse::cuda::{
    self, Address, CudaError, Layer, Machine, Norm, NormBackward, Pool, Precision, SparseLayer,
    Tensor,
};

/// What steps work on.
pub(super) struct Walk<'a> {
    pub plan: &'a Plan,
    /// For names and ranges alone: weights and statistics lie on the device.
    pub network: &'a Network,
    pub places: &'a Places,
    pub layers: &'a [Option<Layer>],
    pub sparse: &'a [Option<SparseLayer>],
    pub stretches: &'a [Stretch],
    pub precision: Precision,
    pub machine: &'a mut dyn Machine,
    pub samples: usize,
}

impl Walk<'_> {
    pub(super) fn tensor(&self, place: &Place) -> Tensor {
        let geometry = place.geometry;
        let shape = [geometry.channels, geometry.height, geometry.width];
        Tensor { at: self.places.arena.at(place.range.start), samples: self.samples, shape }
    }

    fn activation(&self, tensor: usize) -> Tensor {
        self.tensor(&self.plan.tensors[tensor].activation)
    }

    pub(super) fn kept(&self, tensor: usize) -> Tensor {
        self.tensor(self.plan.tensors[tensor].kept())
    }

    pub(super) fn gradient(&self, tensor: usize) -> Option<Tensor> {
        self.plan.tensors[tensor].gradient.as_ref().map(|place| self.tensor(place))
    }

    pub(super) fn value(&self, parameter: usize) -> Address {
        self.places.values.at(self.network.parameters[parameter].range.start)
    }

    /// Whether a parameter has a gradient: those below the first that learns have none.
    pub(super) fn learns(&self, parameter: usize) -> bool {
        self.network.parameters[parameter].range.start >= self.plan.before
    }

    pub(super) fn slope(&self, parameter: usize) -> Address {
        let start = self.plan.gradient_of(self.network, parameter).start;
        self.places.gradient.at(start)
    }

    fn norm(&self, step: &StepPlan) -> Option<(Norm, bool)> {
        let &Work::BatchNorm { scale, buffer, epsilon, momentum, slot, batch } = &step.work else {
            return None;
        };
        let before = |buffer: usize| {
            self.network.buffers[..buffer].iter().map(|b| b.values.len()).sum::<usize>()
        };
        let norm = Norm {
            scale: self.value(scale),
            shift: self.value(scale + 1),
            mean: self.places.buffers.at(before(buffer)),
            variance: self.places.buffers.at(before(buffer + 1)),
            saved: self.places.saved.at(2 * self.plan.slots[..slot].iter().sum::<usize>()),
            scratch: self.places.partials,
            epsilon,
            momentum,
            relu: step.relu,
        };
        Some((norm, batch))
    }

    /// Runs step `at` forward.
    pub fn forward(&mut self, at: usize) -> Result<(), CudaError> {
        let step = &self.plan.steps[at];
        let (x, y) = (self.activation(step.inputs[0]), self.activation(step.output));
        let other = step.inputs.get(1).map(|&tensor| self.activation(tensor));
        if let Some((norm, batch)) = self.norm(step) {
            if batch {
                norm.moments(self.machine, x)?;
            } else {
                norm.frozen(self.machine, x.channels())?;
            }
            return norm.forward(self.machine, x, other, y);
        }
        match &step.work {
            Work::Conv { weight, bias, .. } => {
                let Some(layer) = self.layers[at] else { return Ok(()) };
                let bias = bias.map_or(Address::default(), |bias| self.value(bias));
                let weights = [self.value(*weight), bias];
                let (precision, scratch) = (self.precision, self.places.scratch);
                if let Some(sparse) = &self.sparse[at]
                    && sparse.forward(self.machine, weights, (x, y), step.relu, scratch)?
                {
                    return Ok(());
                }
                layer.forward(self.machine, precision, weights, (x, y), step.relu, scratch)
            }
            Work::Relu => cuda::relu(self.machine, x, y),
            Work::Add => cuda::add(self.machine, [x, other.unwrap_or(x)], y, step.relu),
            &Work::MaxPool { kernel, stride, padding } => {
                Pool { kernel, stride, padding }.max(self.machine, x, y)
            }
            &Work::AvgPool { kernel, stride } => {
                Pool { kernel, stride, padding: [0, 0] }.mean(self.machine, x, y)
            }
            &Work::PadShortcut { stride } => cuda::pad_shortcut(self.machine, x, y, stride),
            _ => self.tokens_forward(step, x, y),
        }
    }

    /// Runs step `at` backward: adds the gradients of its parameters to those on the device, and hands
    /// its inputs theirs.
    pub fn backward(&mut self, at: usize) -> Result<(), CudaError> {
        let step = &self.plan.steps[at];
        if step.gradients.is_empty() {
            return Ok(());
        }
        for &writer in &step.again {
            self.again(writer)?;
        }
        let Some(dy) = self.gradient(step.output) else { return Ok(()) };
        // These make their parameters' gradients along with their input's.
        let is_norm = matches!(step.work, Work::BatchNorm { .. });
        let together =
            is_norm || matches!(step.work, Work::LayerNorm { .. } | Work::Attention { .. });
        if is_norm && step.gradients[0] != Handing::Nothing {
            self.norm_backward(step, dy)?;
        } else if together && step.gradients[0] != Handing::Nothing {
            self.tokens_backward(step, dy)?;
        } else if step.relu || matches!(step.work, Work::Relu) {
            let y = self.activation(step.output);
            cuda::relu_backward(self.machine, y, dy)?;
        }
        if let Work::Conv { weight, bias, learns: true, .. } = &step.work {
            self.weight_gradient(at, dy, *weight, *bias)?;
        }
        if let &Work::Position { added, learns: true } = &step.work {
            let to = self.slope(added);
            cuda::position_gradient(self.machine, dy, to)?;
        }
        for (i, &input) in step.inputs.iter().enumerate() {
            let done = matches!(step.gradients[i], Handing::Same | Handing::Nothing);
            if done || (together && i == 0) {
                continue;
            }
            if let Some(dx) = self.gradient(input) {
                self.input_gradient(at, i, dy, dx)?;
            }
        }
        Ok(())
    }

    /// Writes a batch norm's output for the backward pass.
    fn again(&mut self, at: usize) -> Result<(), CudaError> {
        let step = &self.plan.steps[at];
        let (x, y) = (self.activation(step.inputs[0]), self.kept(step.output));
        match self.norm(step) {
            Some((norm, _)) => norm.forward(self.machine, x, None, y),
            None => Ok(()),
        }
    }

    fn norm_backward(&mut self, step: &StepPlan, dy: Tensor) -> Result<(), CudaError> {
        let (Some((norm, batch)), Some(dx)) = (self.norm(step), self.gradient(step.inputs[0]))
        else {
            return Ok(());
        };
        let &Work::BatchNorm { scale, .. } = &step.work else { return Ok(()) };
        let learns = self.learns(scale);
        let asks_output = step.relu && step.inputs.len() > 1;
        let to = NormBackward {
            x: self.kept(step.inputs[0]),
            y: asks_output.then(|| self.activation(step.output)),
            dy,
            dx,
            parameters: learns.then(|| [self.slope(scale), self.slope(scale + 1)]),
            frozen: !batch,
            accumulate: step.gradients[0] == Handing::Add,
        };
        norm.backward(self.machine, &to)
    }

    fn weight_gradient(
        &mut self,
        at: usize,
        dy: Tensor,
        weight: usize,
        bias: Option<usize>,
    ) -> Result<(), CudaError> {
        let Some(layer) = self.layers[at] else { return Ok(()) };
        let x = self.kept(self.plan.steps[at].inputs[0]);
        let (precision, partials) = (self.precision, self.places.partials);
        let to = self.slope(weight);
        let done = match &self.sparse[at] {
            Some(sparse) => sparse.weight_gradient(self.machine, (dy, x), to, partials)?,
            None => false,
        };
        if !done {
            layer.weight_gradient(self.machine, precision, (dy, x), to, partials)?;
        }
        match bias {
            Some(bias) => {
                let to = self.slope(bias);
                layer.bias_gradient(self.machine, dy, to, partials)
            }
            None => Ok(()),
        }
    }

    /// The gradient of input `i`, unless it is what a batch norm normalises.
    fn input_gradient(
        &mut self,
        at: usize,
        i: usize,
        dy: Tensor,
        dx: Tensor,
    ) -> Result<(), CudaError> {
        let step = &self.plan.steps[at];
        let accumulate = step.gradients[i] == Handing::Add;
        match &step.work {
            Work::Conv { weight, .. } => {
                let Some(layer) = self.layers[at] else { return Ok(()) };
                let values = self.value(*weight);
                let (precision, scratch) = (self.precision, self.places.scratch);
                if let Some(sparse) = &self.sparse[at]
                    && sparse.input_gradient(self.machine, values, (dy, dx), accumulate, scratch)?
                {
                    return Ok(());
                }
                layer.input_gradient(self.machine, precision, values, (dy, dx), accumulate, scratch)
            }
            // What a batch norm reads besides its input is added, and it has closed `dy`.
            Work::Relu | Work::Add | Work::BatchNorm { .. } => {
                cuda::copy_or_add(self.machine, dy, dx, accumulate)
            }
            &Work::MaxPool { kernel, stride, padding } => {
                let x = self.kept(step.inputs[i]);
                Pool { kernel, stride, padding }.max_backward(self.machine, x, dy, dx, accumulate)
            }
            &Work::AvgPool { kernel, stride } => {
                let pool = Pool { kernel, stride, padding: [0, 0] };
                pool.mean_backward(self.machine, dy, dx, accumulate)
            }
            &Work::PadShortcut { stride } => {
                cuda::pad_shortcut_backward(self.machine, dy, dx, stride, accumulate)
            }
            _ => self.tokens_input_gradient(step, dy, dx),
        }
    }
}
