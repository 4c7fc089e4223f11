//! A network: description, masks, and one arena of the weights that exist.

use std::ops::Range;
use std::sync::Arc;

use super::describe::{Description, Op};
use super::parameters::{BufferKind, BufferSpec, ParamKind, ParamSpec};
use crate::base::hash::Digest;
use crate::base::rng::Stream;
use crate::sparse::Mask;

/// One parameter tensor of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// `conv1.weight`.
    pub name: String,
    /// Index of its node in the description.
    pub node: usize,
    /// What it does.
    pub kind: ParamKind,
    /// Its dimensions, as if every weight existed.
    pub shape: Vec<usize>,
    /// Whether pruning may remove weights of it.
    pub prunable: bool,
    /// Inputs that each output sums over.
    pub fan_in: usize,
    /// Which of its weights exist.
    pub mask: Mask,
    /// Where its existing weights lie in [`Network::values`].
    pub range: Range<usize>,
}

impl Parameter {
    /// That of a description, with its mask and place.
    pub(super) fn of(spec: ParamSpec, mask: Mask, range: Range<usize>) -> Self {
        let ParamSpec { name, node, kind, shape, prunable, fan_in } = spec;
        Self { name, node, kind, shape, prunable, fan_in, mask, range }
    }
}

/// One buffer of a network: running statistics of a batch norm.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    /// `bn1.running_mean`.
    pub name: String,
    /// Index of its node in the description.
    pub node: usize,
    /// One value a channel.
    pub values: Vec<f32>,
}

impl Buffer {
    /// That of a description, of zeros.
    pub(super) fn of(spec: BufferSpec) -> Self {
        Self { name: spec.name, node: spec.node, values: vec![0.0; spec.channels] }
    }
}

/// A network whose parameter is the packed vector [`Network::values`].
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// What it computes.
    pub description: Arc<Description>,
    /// Its parameters, in the description's order.
    pub parameters: Vec<Parameter>,
    /// Every weight that exists, parameter by parameter, in mask order.
    pub values: Vec<f32>,
    /// Its buffers, in the description's order.
    pub buffers: Vec<Buffer>,
}

/// A fresh value of a parameter, as [`Network::new`] says.
pub(super) fn fresh(kind: ParamKind, fan_in: usize, stream: &mut Stream) -> f32 {
    let fan_in = fan_in as f64;
    match kind {
        ParamKind::Weight => (stream.normal() * (2.0 / fan_in).sqrt()) as f32,
        ParamKind::Bias => stream.between(-1.0, 1.0) as f32 / fan_in.sqrt() as f32,
        ParamKind::Scale => 1.0,
        ParamKind::Shift => 0.0,
        ParamKind::Position => (0.02 * stream.normal()) as f32,
    }
}

impl Network {
    /// A network without weights, for a reader to fill in: every mask is empty.
    pub(super) fn empty(description: Arc<Description>) -> Self {
        let parameters = description.parameters().into_iter().map(|spec| {
            let mask = Mask::from_fn(spec.shape.iter().product(), |_| false);
            Parameter::of(spec, mask, 0..0)
        });
        let parameters = parameters.collect();
        let buffers = description.buffers().into_iter().map(Buffer::of).collect();
        Self { description, parameters, values: Vec::new(), buffers }
    }

    /// The network of these parts: mask and existing weights of each parameter, values of each
    /// buffer, all in the description's order.
    ///
    /// # Panics
    /// If a part is missing or not of its parameter's or buffer's size: whoever reads parts from a
    /// file checks them there.
    pub fn of_parts(
        description: Arc<Description>,
        parameters: Vec<(Mask, Vec<f32>)>,
        buffers: Vec<Vec<f32>>,
    ) -> Self {
        let mut network = Self::empty(description);
        assert_eq!(parameters.len(), network.parameters.len(), "one part a parameter");
        assert_eq!(buffers.len(), network.buffers.len(), "one part a buffer");
        for (parameter, (mask, values)) in network.parameters.iter_mut().zip(parameters) {
            assert_eq!(mask.len(), parameter.mask.len(), "a mask of the parameter's size");
            assert_eq!(mask.existing(), values.len(), "one value for each existing weight");
            let start = network.values.len();
            network.values.extend(values);
            parameter.mask = mask;
            parameter.range = start..network.values.len();
        }
        for (buffer, values) in network.buffers.iter_mut().zip(buffers) {
            assert_eq!(buffer.values.len(), values.len(), "values of the buffer's size");
            buffer.values = values;
        }
        network
    }

    /// A dense network with fresh weights.
    ///
    /// Weights are normal with variance `2 / fan_in` (He et al. 2015), biases uniform within
    /// `1 / sqrt(fan_in)`, scales 1, shifts 0, positions normal with a deviation of 0.02. The paper's ResNet-18 draws convolutions by fan-out and
    /// its head as PyTorch does; its ResNet-20 draws as here. Each tensor has
    /// a stream of its own, `init/<name>`, so the same seed gives the same weights whatever else
    /// the network holds.
    pub fn new(description: Arc<Description>, seed: u64) -> Self {
        let mut network = Self::empty(description);
        for parameter in &mut network.parameters {
            let mut stream = Stream::new(seed, &format!("init/{}", parameter.name));
            let (start, fan_in) = (network.values.len(), parameter.fan_in);
            let (len, kind) = (parameter.mask.len(), parameter.kind);
            network.values.extend((0..len).map(|_| fresh(kind, fan_in, &mut stream)));
            parameter.mask = Mask::full(parameter.mask.len());
            parameter.range = start..network.values.len();
        }
        let kinds = network.description.buffers();
        for (buffer, spec) in network.buffers.iter_mut().zip(kinds) {
            buffer.values.fill(if spec.kind == BufferKind::RunningVar { 1.0 } else { 0.0 });
        }
        network
    }

    /// The existing weights of parameter `index`.
    pub fn packed(&self, index: usize) -> &[f32] {
        &self.values[self.parameters[index].range.clone()]
    }

    /// Parameter `index` laid out dense, zero where no weight exists.
    pub fn dense(&self, index: usize) -> Vec<f32> {
        self.parameters[index].mask.spread(self.packed(index))
    }

    /// Gives the network new masks, one a parameter. Weights that exist before and after keep their
    /// values; weights that come into existence are 0.
    ///
    /// # Panics
    /// If a mask is not of its parameter's size.
    pub fn set_masks(&mut self, masks: Vec<Mask>) {
        assert_eq!(masks.len(), self.parameters.len(), "one mask a parameter");
        let mut values = Vec::new();
        for (index, mask) in masks.into_iter().enumerate() {
            let start = values.len();
            if mask == self.parameters[index].mask {
                values.extend_from_slice(self.packed(index));
            } else {
                values.extend(mask.pack(&self.dense(index)));
            }
            self.parameters[index].mask = mask;
            self.parameters[index].range = start..values.len();
        }
        self.values = values;
    }

    /// The masks of all parameters.
    pub fn masks(&self) -> Vec<Mask> {
        self.parameters.iter().map(|parameter| parameter.mask.clone()).collect()
    }

    /// Takes weights that are exactly 0 out of existence, in prunable parameters. Says how many.
    pub fn drop_zeros(&mut self) -> usize {
        let before = self.values.len();
        let masks = (0..self.parameters.len())
            .map(|index| {
                let parameter = &self.parameters[index];
                if !parameter.prunable {
                    return parameter.mask.clone();
                }
                let kept: Vec<usize> = self
                    .packed(index)
                    .iter()
                    .enumerate()
                    .filter(|(_, v)| **v != 0.0)
                    .map(|(k, _)| k)
                    .collect();
                if kept.len() == parameter.mask.existing() {
                    parameter.mask.clone()
                } else {
                    parameter.mask.narrow(&kept)
                }
            })
            .collect();
        self.set_masks(masks);
        before - self.values.len()
    }

    /// The share of prunable weights that do not exist; 0 where nothing is prunable.
    pub fn sparsity(&self) -> f64 {
        let prunable = || self.parameters.iter().filter(|p| p.prunable);
        let all: usize = prunable().map(|p| p.mask.len()).sum();
        let existing: usize = prunable().map(|p| p.mask.existing()).sum();
        if all == 0 { 0.0 } else { 1.0 - existing as f64 / all as f64 }
    }

    /// Multiply-accumulates of one sample's forward pass in layers with weights, over those that
    /// exist, and as if all did; in both, those of attentions, which have none.
    pub fn macs(&self) -> [u64; 2] {
        let dense = self.description.macs();
        let layers = self.parameters.iter().filter(|p| p.kind == ParamKind::Weight);
        let nodes = self.description.nodes.iter().zip(&dense);
        let attentions = nodes.filter(|(node, _)| matches!(node.op, Op::Attention { .. }));
        let attended: u64 = attentions.map(|(_, macs)| macs).sum();
        layers.fold([attended; 2], |[macs, all], p| {
            // Every weight of a layer is applied at the same number of places.
            let places = dense[p.node] / (p.mask.len() as u64).max(1);
            [macs + places * p.mask.existing() as u64, all + dense[p.node]]
        })
    }

    /// Whether every weight and statistic is a finite number; else the first that is not.
    pub fn first_not_finite(&self) -> Option<&str> {
        let parameter = self
            .parameters
            .iter()
            .find(|p| self.values[p.range.clone()].iter().any(|v| !v.is_finite()));
        let buffer = || self.buffers.iter().find(|b| b.values.iter().any(|v| !v.is_finite()));
        parameter.map(|p| p.name.as_str()).or_else(|| buffer().map(|b| b.name.as_str()))
    }

    /// A digest over masks, weights and buffers.
    pub fn digest(&self) -> Digest {
        let floats =
            |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let mut parts = vec![floats(&self.values)];
        for parameter in &self.parameters {
            let positions = parameter.mask.iter().flat_map(|p| (p as u32).to_le_bytes());
            parts.push(positions.collect());
        }
        parts.extend(self.buffers.iter().map(|buffer| floats(&buffer.values)));
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        Digest::of_parts("unlearn network, version 1", &parts)
    }

    /// The first parameter of `node`: its weight or scale.
    pub(super) fn first_parameter(&self, node: usize) -> usize {
        self.parameters.partition_point(|parameter| parameter.node < node)
    }

    /// The first buffer of `node`: its running mean.
    pub(super) fn first_buffer(&self, node: usize) -> usize {
        self.buffers.partition_point(|buffer| buffer.node < node)
    }

    /// Scale and shift of a batch norm, and its running mean and variance to be moved.
    pub(super) fn norm(&mut self, scale: usize, buffer: usize) -> ([&[f32]; 2], [&mut [f32]; 2]) {
        let (before, after) = self.buffers.split_at_mut(buffer + 1);
        let packed = |index: usize| &self.values[self.parameters[index].range.clone()];
        let running = [&mut before[buffer].values[..], &mut after[0].values[..]];
        ([packed(scale), packed(scale + 1)], running)
    }
}
