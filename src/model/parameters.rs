//! What a network learns: its parameters, in one order, under one set of names.
//!
//! The order is that of the nodes, and within a node weight before bias, scale before shift. Names
//! are PyTorch's: `<node>.weight` and `<node>.bias`, for a normalisation too; what a `position` adds is its
//! weight, an attention's table of relative positions its bias.

use super::describe::{Description, Op, Shape};
use super::shapes::weight_shape;

/// What a parameter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParamKind {
    /// Weights of a convolution or a linear layer; the only kind that a mask may thin.
    Weight,
    /// What a convolution or a linear layer adds to each output channel.
    Bias,
    /// What a batch or layer normalisation multiplies each channel by (PyTorch's `weight`).
    Scale,
    /// What a batch or layer normalisation adds to each channel (PyTorch's `bias`).
    Shift,
    /// What is added at each place, or to the score of two places of an attention.
    Position,
}

/// One parameter tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamSpec {
    /// `conv1.weight`.
    pub name: String,
    /// Index of the node that it belongs to.
    pub node: usize,
    /// What it does.
    pub kind: ParamKind,
    /// Its dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Whether pruning may remove single values of it.
    pub prunable: bool,
    /// How many inputs each output sums over: `C / groups * kh * kw` or `C * H * W`, for the bias of
    /// such an operation too; 1 for all others. Initialisation scales by it.
    pub fan_in: usize,
}

impl ParamSpec {
    /// How many values it has.
    pub fn values(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Which running statistic a buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BufferKind {
    /// Mean of each channel; starts at 0.
    RunningMean,
    /// Unbiased variance of each channel; starts at 1.
    RunningVar,
}

/// One buffer: kept with the parameters, but moved by the batches instead of the gradient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BufferSpec {
    /// `bn1.running_mean`.
    pub name: String,
    /// Index of the node that it belongs to.
    pub node: usize,
    /// Which statistic it holds.
    pub kind: BufferKind,
    /// Its length.
    pub channels: usize,
}

impl Description {
    /// The shape of one sample.
    pub fn input_shape(&self) -> Shape {
        self.nodes[0].shape
    }

    /// All parameters, in the order in which they are initialised, flattened and written.
    pub fn parameters(&self) -> Vec<ParamSpec> {
        (0..self.nodes.len()).flat_map(|node| self.parameters_of(node)).collect()
    }

    /// The parameters of one node; none for most kinds.
    pub fn parameters_of(&self, node: usize) -> Vec<ParamSpec> {
        let op = &self.nodes[node].op;
        match *op {
            Op::Conv { bias, .. } | Op::Linear { bias, .. } => {
                let input = self.nodes[self.nodes[node].inputs[0]].shape;
                weight_shape(op, input)
                    .map_or_else(Vec::new, |shape| self.weight_and_bias(node, shape, bias))
            }
            Op::BatchNorm { .. } | Op::LayerNorm { .. } => {
                let one = |kind, word| ParamSpec {
                    name: format!("{}.{word}", self.nodes[node].name),
                    node,
                    kind,
                    shape: vec![self.nodes[node].shape[0]],
                    prunable: false,
                    fan_in: 1,
                };
                vec![one(ParamKind::Scale, "weight"), one(ParamKind::Shift, "bias")]
            }
            Op::Position => vec![self.position(node, "weight", self.nodes[node].shape.to_vec())],
            Op::Attention { heads, window: Some(window), .. } => {
                let across = 2 * window - 1;
                vec![self.position(node, "bias", vec![heads, across, across])]
            }
            _ => Vec::new(),
        }
    }

    fn position(&self, node: usize, word: &str, shape: Vec<usize>) -> ParamSpec {
        let name = format!("{}.{word}", self.nodes[node].name);
        ParamSpec { name, node, kind: ParamKind::Position, shape, prunable: false, fan_in: 1 }
    }

    fn weight_and_bias(&self, node: usize, shape: Vec<usize>, bias: bool) -> Vec<ParamSpec> {
        let owner = &self.nodes[node];
        let fan_in = shape[1..].iter().product();
        let outputs = shape[0];
        let mut found = vec![ParamSpec {
            name: format!("{}.weight", owner.name),
            node,
            kind: ParamKind::Weight,
            shape,
            prunable: owner.prunable,
            fan_in,
        }];
        if bias {
            found.push(ParamSpec {
                name: format!("{}.bias", owner.name),
                node,
                kind: ParamKind::Bias,
                shape: vec![outputs],
                prunable: false,
                fan_in,
            });
        }
        found
    }

    /// All buffers, in the order of the nodes; of each batch normalisation the mean, then the
    /// variance.
    pub fn buffers(&self) -> Vec<BufferSpec> {
        let mut found = Vec::new();
        for (node, owner) in self.nodes.iter().enumerate() {
            if !matches!(owner.op, Op::BatchNorm { .. }) {
                continue;
            }
            for (kind, word) in
                [(BufferKind::RunningMean, "running_mean"), (BufferKind::RunningVar, "running_var")]
            {
                let name = format!("{}.{word}", owner.name);
                found.push(BufferSpec { name, node, kind, channels: owner.shape[0] });
            }
        }
        found
    }

    /// Multiplications with a weight that each node does for one sample, if no weight were removed; of
    /// an attention, those of queries with keys and of probabilities with values.
    /// Border windows count in full, as if the padding were data.
    pub fn macs(&self) -> Vec<u64> {
        let of_node = |node: usize| {
            if let Op::Attention { window, .. } = self.nodes[node].op {
                let [channels, height, width] = self.nodes[node].shape.map(|side| side as u64);
                let seen = window.map_or(height * width, |window| (window * window) as u64);
                return 2 * channels * height * width * seen;
            }
            let places = (self.nodes[node].shape[1] * self.nodes[node].shape[2]) as u64;
            self.parameters_of(node)
                .iter()
                .filter(|parameter| parameter.kind == ParamKind::Weight)
                .map(|weight| weight.values() as u64 * places)
                .sum()
        };
        (0..self.nodes.len()).map(of_node).collect()
    }
}
