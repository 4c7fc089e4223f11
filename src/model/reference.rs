//! The reference: the same network as a masked dense graph of candle tensors, with autograd.
//!
//! Slow, obvious, and independent of the engine: every kernel and the engine as a whole are tested
//! against it, and it is tested against PyTorch (`tests/reference_graph.rs`). It computes in the
//! type of the parameters it is given: `f32`, or `f64` where a test wants the true value.
//!
//! A masked weight enters as `weight * mask`, so its gradient is 0 where the mask is.
//!
//! # Where we go round candle 0.11.1
//! - The gradient of its ReLU at exactly 0 is 1; here it is 0, as in PyTorch.
//! - Its convolution's backward pass takes one padding and one remainder for height and width, and
//!   its max-pool's scales by the window; here both gather their windows and reduce them.
//! - Its errors carry backtraces; here they carry the layer's name and operation.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor, Var};

use super::describe::{Description, Node, Op};
use super::plan::Mode;
use super::reference_fault::{ReferenceError, of_candle};
use super::reference_ops as ops;

/// What a forward pass gives.
#[derive(Clone, Debug)]
pub struct Forward {
    /// `[batch, classes]`.
    pub logits: Tensor,
    /// The buffers after the pass, by name: moved in [`Mode::Train`], as given otherwise.
    pub buffers: BTreeMap<String, Tensor>,
}

/// What a forward and a backward pass give.
#[derive(Clone, Debug)]
pub struct Gradients {
    /// Mean cross-entropy of the batch, a scalar.
    pub loss: Tensor,
    /// `[batch, classes]`.
    pub logits: Tensor,
    /// Gradient of the loss by each parameter, by name; 0 where a mask is 0.
    pub by_name: BTreeMap<String, Tensor>,
    /// The buffers after the pass, by name.
    pub buffers: BTreeMap<String, Tensor>,
}

/// A network as a masked dense graph.
#[derive(Debug)]
pub struct Reference<'a> {
    description: &'a Description,
    parameters: BTreeMap<String, Var>,
    buffers: BTreeMap<String, Tensor>,
    masks: BTreeMap<String, Tensor>,
}

impl<'a> Reference<'a> {
    /// A network with copies of these parameters and buffers. A weight without an entry in `masks`
    /// is dense; a mask has its weight's shape and is 1 where the weight exists, else 0.
    ///
    /// # Errors
    /// If a tensor is missing, unknown or of another shape than the description says.
    pub fn new(
        description: &'a Description,
        parameters: &BTreeMap<String, Tensor>,
        buffers: &BTreeMap<String, Tensor>,
        masks: &BTreeMap<String, Tensor>,
    ) -> Result<Self, ReferenceError> {
        let specs = description.parameters();
        let shapes = specs.iter().map(|p| (p.name.clone(), p.shape.clone())).collect();
        let prunable = specs.iter().filter(|p| p.prunable);
        let maskable = prunable.map(|p| (p.name.clone(), p.shape.clone())).collect();
        let buffer_shapes =
            description.buffers().into_iter().map(|b| (b.name, vec![b.channels])).collect();
        check_all("parameter", parameters, &shapes, true)?;
        check_all("buffer", buffers, &buffer_shapes, true)?;
        check_all("mask", masks, &maskable, false)?;
        let mut variables = BTreeMap::new();
        for (name, tensor) in parameters {
            let copy = Var::from_tensor(&tensor.detach());
            variables.insert(name.clone(), copy.map_err(of_candle(name, "copying"))?);
        }
        Ok(Self {
            description,
            parameters: variables,
            buffers: buffers.clone(),
            masks: masks.clone(),
        })
    }

    /// The parameter called `name`.
    pub fn parameter(&self, name: &str) -> Option<&Tensor> {
        self.parameters.get(name).map(Var::as_tensor)
    }

    /// Passes `samples` (`[batch, C, H, W]`, not yet normalised) through the network.
    ///
    /// # Errors
    /// If the samples have another shape than the input node, or candle fails.
    pub fn forward(&self, samples: &Tensor, mode: Mode) -> Result<Forward, ReferenceError> {
        let shape = self.description.input_shape();
        let found = samples.dims().to_vec();
        if found.len() != 4 || found[1..] != shape {
            let expected = vec![0, shape[0], shape[1], shape[2]];
            return Err(ReferenceError::Shape { name: "samples".into(), expected, found });
        }
        let mut buffers = self.buffers.clone();
        let mut given: Vec<Tensor> = Vec::with_capacity(self.description.nodes.len());
        for index in 0..self.description.nodes.len() {
            let output = self.node(index, samples, &given, &mut buffers, mode)?;
            given.push(output);
        }
        let head = &self.description.nodes[given.len() - 1].name;
        let logits =
            given[given.len() - 1].flatten_from(1).map_err(of_candle(head, "flattening"))?;
        Ok(Forward { logits, buffers })
    }

    /// Passes `samples` forward and the mean cross-entropy with `labels`
    /// (`u32`, one a sample) backward.
    ///
    /// # Errors
    /// As [`Self::forward`]; also if a label is no class.
    pub fn gradients(
        &self,
        samples: &Tensor,
        labels: &Tensor,
        mode: Mode,
    ) -> Result<Gradients, ReferenceError> {
        let Forward { logits, buffers } = self.forward(samples, mode)?;
        let loss = loss(&logits, labels)?;
        let found = loss.backward().map_err(of_candle("loss", "the backward pass"))?;
        let mut by_name = BTreeMap::new();
        for (name, parameter) in &self.parameters {
            let gradient = match found.get(parameter) {
                Some(gradient) => gradient.clone(),
                None => parameter.zeros_like().map_err(of_candle(name, "making zeros"))?,
            };
            by_name.insert(name.clone(), gradient);
        }
        Ok(Gradients { loss: loss.detach(), logits: logits.detach(), by_name, buffers })
    }

    fn node(
        &self,
        index: usize,
        samples: &Tensor,
        given: &[Tensor],
        buffers: &mut BTreeMap<String, Tensor>,
        mode: Mode,
    ) -> Result<Tensor, ReferenceError> {
        let node = &self.description.nodes[index];
        let name = node.name.as_str();
        let input = |which: usize| &given[node.inputs[which]];
        match node.op {
            Op::Input => {
                let Description { mean, std, .. } = self.description;
                let kind = self.parameters.values().next().map_or(DType::F32, |var| var.dtype());
                ops::normalise(samples, mean, std, kind).map_err(of_candle(name, "normalising"))
            }
            Op::Conv { kernel, stride, padding, groups, .. } => {
                let (weight, bias) = (self.weight(name)?, self.optional(name, "bias"));
                ops::conv(input(0), &weight, bias, ops::Window { kernel, stride, padding }, groups)
                    .map_err(of_candle(name, "convolution"))
            }
            Op::Linear { .. } => {
                ops::linear(input(0), &self.weight(name)?, self.optional(name, "bias"))
                    .map_err(of_candle(name, "linear layer"))
            }
            Op::BatchNorm { epsilon, momentum } => {
                self.batch_norm(name, input(0), buffers, mode, [epsilon, momentum])
            }
            Op::Relu => ops::relu(input(0)).map_err(of_candle(name, "ReLU")),
            Op::Add => (input(0) + input(1)).map_err(of_candle(name, "addition")),
            Op::MaxPool { kernel, stride, padding } => {
                ops::max_pool(input(0), ops::Window { kernel, stride, padding })
                    .map_err(of_candle(name, "max-pool"))
            }
            Op::AvgPool { kernel, stride } => {
                ops::avg_pool(input(0), ops::Window { kernel, stride, padding: [0; 2] })
                    .map_err(of_candle(name, "average pool"))
            }
            Op::GlobalAvgPool => {
                input(0).mean_keepdim((2, 3)).map_err(of_candle(name, "average pool"))
            }
            Op::LayerNorm { .. } | Op::Gelu | Op::Position => self.tokens(node, input(0)),
            Op::Attention { .. } | Op::SpaceToDepth { .. } => self.tokens(node, input(0)),
            Op::PadShortcut { stride, channels } => ops::pad_shortcut(input(0), stride, channels)
                .map_err(of_candle(name, "padded shortcut")),
        }
    }

    /// The operations of transformers; any other gives back what it reads.
    fn tokens(&self, node: &Node, x: &Tensor) -> Result<Tensor, ReferenceError> {
        let name = node.name.as_str();
        match node.op {
            Op::LayerNorm { epsilon } => {
                let affine = [self.required(name, "weight")?, self.required(name, "bias")?];
                ops::layer_norm(x, affine, epsilon).map_err(of_candle(name, "layer normalisation"))
            }
            Op::Gelu => ops::gelu(x).map_err(of_candle(name, "GELU")),
            Op::Position => x
                .broadcast_add(self.required(name, "weight")?)
                .map_err(of_candle(name, "adding positions")),
            Op::Attention { heads, window, shift } => {
                let bias = self.optional(name, "bias");
                ops::attention(x, heads, window.map(|window| (window, shift)), bias)
                    .map_err(of_candle(name, "attention"))
            }
            Op::SpaceToDepth { side } => {
                ops::space_to_depth(x, side).map_err(of_candle(name, "moving space to depth"))
            }
            _ => Ok(x.clone()),
        }
    }

    fn batch_norm(
        &self,
        name: &str,
        input: &Tensor,
        buffers: &mut BTreeMap<String, Tensor>,
        mode: Mode,
        [epsilon, momentum]: [f32; 2],
    ) -> Result<Tensor, ReferenceError> {
        let names = ["running_mean", "running_var"].map(|word| format!("{name}.{word}"));
        let running = [&self.buffers[&names[0]], &self.buffers[&names[1]]];
        let affine = [self.required(name, "weight")?, self.required(name, "bias")?];
        let failed = of_candle(name, "batch normalisation");
        if mode != Mode::Train {
            return ops::scale_and_shift(input, running, affine, epsilon).map_err(failed);
        }
        if input.elem_count() == input.dims()[1] {
            return Err(ReferenceError::SingleValue { node: name.into() });
        }
        let batch = ops::statistics(input).map_err(&failed)?;
        let moved = ops::moved(running, &batch, input, momentum).map_err(&failed)?;
        buffers.extend(names.into_iter().zip(moved));
        ops::scale_and_shift(input, [&batch[0], &batch[1]], affine, epsilon).map_err(failed)
    }

    /// The weight of a layer, with its mask applied.
    fn weight(&self, node: &str) -> Result<Tensor, ReferenceError> {
        let weight = self.required(node, "weight")?;
        match self.masks.get(&format!("{node}.weight")) {
            None => Ok(weight.clone()),
            Some(mask) => mask
                .to_dtype(weight.dtype())
                .and_then(|mask| weight * mask)
                .map_err(of_candle(node, "masking")),
        }
    }

    fn required(&self, node: &str, word: &str) -> Result<&Tensor, ReferenceError> {
        let name = format!("{node}.{word}");
        self.parameter(&name).ok_or(ReferenceError::Missing { name })
    }

    fn optional(&self, node: &str, word: &str) -> Option<&Tensor> {
        self.parameter(&format!("{node}.{word}"))
    }
}

/// Mean over the batch of `-log softmax(logits)[label]`, a scalar.
///
/// # Errors
/// If there are not as many labels as logits, or a label is no class.
pub fn loss(logits: &Tensor, labels: &Tensor) -> Result<Tensor, ReferenceError> {
    candle_nn::loss::cross_entropy(logits, labels).map_err(of_candle("loss", "cross-entropy"))
}

fn check_all(
    role: &'static str,
    given: &BTreeMap<String, Tensor>,
    wanted: &BTreeMap<String, Vec<usize>>,
    all: bool,
) -> Result<(), ReferenceError> {
    if let Some(name) = wanted.keys().find(|name| all && !given.contains_key(*name)) {
        return Err(ReferenceError::Missing { name: name.clone() });
    }
    for (name, tensor) in given {
        let Some(expected) = wanted.get(name) else {
            return Err(ReferenceError::Unknown { name: name.clone(), role });
        };
        if tensor.dims() != expected {
            let (expected, found) = (expected.clone(), tensor.dims().to_vec());
            return Err(ReferenceError::Shape { name: name.clone(), expected, found });
        }
    }
    Ok(())
}
