//! A network as its description says it: a directed acyclic graph of operations.

/// Channels, height, width of what a node gives for one sample.
pub type Shape = [usize; 3];

/// One operation, with its attributes.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The sample, normalised per channel: `(x - mean[c]) / std[c]`. Always node 0.
    Input,
    /// 2-D convolution, weight `[filters, C / groups, kh, kw]`, optional bias `[filters]`.
    Conv {
        /// Output channels.
        filters: usize,
        /// Kernel height and width.
        kernel: [usize; 2],
        /// Step in height and width.
        stride: [usize; 2],
        /// Zeros added on each side, in height and in width.
        padding: [usize; 2],
        /// Channel groups.
        groups: usize,
        /// Whether a bias is added.
        bias: bool,
    },
    /// `y = W x + b`, weight `[outputs, C * H * W]`, optional bias `[outputs]`. Gives `[outputs, 1, 1]`.
    Linear {
        /// Output features.
        outputs: usize,
        /// Whether a bias is added.
        bias: bool,
    },
    /// Batch normalisation per channel with scale and shift.
    BatchNorm {
        /// Added to the variance.
        epsilon: f32,
        /// Share of the new batch in the running statistics (PyTorch's meaning).
        momentum: f32,
    },
    /// `max(x, 0)`; its gradient at exactly 0 is 0.
    Relu,
    /// The sum of two inputs of one shape.
    Add,
    /// Largest value of each window.
    MaxPool {
        /// Window height and width.
        kernel: [usize; 2],
        /// Step in height and width.
        stride: [usize; 2],
        /// Places added on each side, in height and in width. They count as minus infinity; at most
        /// half of the kernel, so that no window lies in them alone.
        padding: [usize; 2],
    },
    /// Mean of each window; no padding.
    AvgPool {
        /// Window height and width.
        kernel: [usize; 2],
        /// Step in height and width.
        stride: [usize; 2],
    },
    /// Mean over height and width. Gives `[C, 1, 1]`.
    GlobalAvgPool,
    /// The parameter-free shortcut of CIFAR ResNets (option A): takes rows and columns
    /// `stride` apart and puts `(channels - C) / 2` zero channels before and behind.
    PadShortcut {
        /// Step in height and width.
        stride: [usize; 2],
        /// Output channels.
        channels: usize,
    },
    /// Normalisation over the channels of each place, with scale and shift.
    LayerNorm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// `x * P(X <= x)` for a standard normal `X`.
    Gelu,
    /// What is learnt for each channel and place is added; weight `[C, H, W]`.
    Position,
    /// Attention among places: of `3 C` channels, the queries, keys and values of `C` each, it gives `C`.
    Attention {
        /// How many share the channels, in runs of `C / heads`.
        heads: usize,
        /// Rows and columns of a window, within which a table of relative positions is added, bias
        /// `[heads, 2 * window - 1, 2 * window - 1]`; all places attend to all if there is none.
        window: Option<usize>,
        /// Rows and columns by which the windows are moved, round the edge.
        shift: usize,
    },
    /// The places of each square as channels of one: gives `[C * side * side, H / side, W / side]`.
    SpaceToDepth {
        /// Rows and columns of a square.
        side: usize,
    },
}

impl Op {
    /// The word for it in a description; `input` for the sample.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Conv { .. } => "conv",
            Self::Linear { .. } => "linear",
            Self::BatchNorm { .. } => "batch-norm",
            Self::Relu => "relu",
            Self::Add => "add",
            Self::MaxPool { .. } => "max-pool",
            Self::AvgPool { .. } => "avg-pool",
            Self::GlobalAvgPool => "global-avg-pool",
            Self::PadShortcut { .. } => "pad-shortcut",
            Self::LayerNorm { .. } => "layer-norm",
            Self::Gelu => "gelu",
            Self::Position => "position",
            Self::Attention { .. } => "attention",
            Self::SpaceToDepth { .. } => "space-to-depth",
        }
    }
}

/// One node of the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Unique name, `layer1.0.conv1`. Parameters are `<name>.weight`, `<name>.bias`; a batch norm
    /// also has `<name>.running_mean` and `<name>.running_var`.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// Indices of the nodes it reads, all smaller than its own.
    pub inputs: Vec<usize>,
    /// What it gives for one sample.
    pub shape: Shape,
    /// Whether pruning may remove weights here (convolutions and linear layers only; the head is not
    /// prunable unless the description says so).
    pub prunable: bool,
}

/// A checked description: every input exists, every shape fits.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// The network's name.
    pub name: String,
    /// Number of classes, the outputs of the last node.
    pub classes: usize,
    /// Per-channel mean that the input node subtracts.
    pub mean: Vec<f32>,
    /// Per-channel standard deviation that the input node divides by.
    pub std: Vec<f32>,
    /// Nodes in order of execution; node 0 is the input, the last gives the logits.
    pub nodes: Vec<Node>,
    /// The text it was read from, with which the file is written.
    pub source: String,
}
