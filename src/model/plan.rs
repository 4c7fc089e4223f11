//! Description + masks + batch → a static plan: steps over one arena whose size is known before the
//! first byte is touched.
//!
//! A rectifier behind a convolution, a batch norm or an addition that nobody else reads is part of
//! that step, and so is a batch norm that only an addition reads. Every tensor gets a place in the
//! arena for as long as somebody reads it ([`super::lives`]); places that several tensors share get
//! their halo cleared before they are written anew.

use std::ops::Range;

use super::describe::Op;
use super::draft::{Draft, conv_shape};
use super::lives::{Flow, Of, give_out};
use super::network::Network;
use crate::sparse::{
    Attention, Blocked, ConvPlan, ConvShape, Kernels, LANES, LayerNorm, Mask, Saved, Windows,
};

/// What an engine is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Gradients; batch norm uses and moves its statistics by the batch.
    Train,
    /// Gradients; batch norm keeps its running statistics as constants.
    Frozen,
    /// Forward only, with running statistics.
    Evaluate,
}

/// A tensor's place in the arena.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub geometry: Blocked,
    pub range: Range<usize>,
    /// Whether other tensors use the same values at other times.
    pub shared: bool,
}

impl Place {
    /// The part of the place that a batch of `blocks` blocks takes.
    pub(super) fn of(&self, blocks: usize) -> Range<usize> {
        self.range.start..self.range.start + blocks * self.geometry.block()
    }
}

/// An activation and, where one is needed, its gradient.
#[derive(Clone, Debug)]
pub(super) struct TensorPlan {
    pub activation: Place,
    /// Where the activation is computed again for the backward pass.
    pub again: Option<Place>,
    pub gradient: Option<Place>,
}

impl TensorPlan {
    /// Where the backward pass finds the activation.
    pub fn kept(&self) -> &Place {
        self.again.as_ref().unwrap_or(&self.activation)
    }
}

/// What a step does; tensors are indices into [`Plan::tensors`], parameters into the network's.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Conv {
        shape: ConvShape,
        /// Lists and kernels of the passes, in a plan for the processor.
        plan: Option<Box<ConvPlan>>,
        weight: usize,
        bias: Option<usize>,
        /// Whether weight and bias learn.
        learns: bool,
    },
    /// A second input is added before the rectifier.
    BatchNorm {
        scale: usize,
        buffer: usize,
        epsilon: f32,
        momentum: f32,
        slot: usize,
        /// Whether it uses, and moves its running statistics by, those of the batch.
        batch: bool,
    },
    Relu,
    Add,
    MaxPool {
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
    },
    AvgPool {
        kernel: [usize; 2],
        stride: [usize; 2],
    },
    PadShortcut {
        stride: [usize; 2],
    },
    LayerNorm {
        scale: usize,
        epsilon: f32,
    },
    Gelu,
    Position {
        added: usize,
        /// Whether what is added learns.
        learns: bool,
    },
    Attention {
        heads: usize,
        windows: Box<Windows>,
        bias: Option<usize>,
        /// Whether the bias learns.
        learns: bool,
    },
    SpaceToDepth {
        side: usize,
    },
}

/// One step of a plan.
#[derive(Clone, Debug)]
pub(super) struct StepPlan {
    pub work: Work,
    pub inputs: Vec<usize>,
    pub output: usize,
    pub relu: bool,
    /// For each input, how its gradient comes about.
    pub gradients: Vec<Handing>,
    /// Steps that run forward again before this one runs backward: it reads what they write.
    pub again: Vec<usize>,
}

/// How a step's backward pass hands a gradient to an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handing {
    /// Nothing is there yet.
    Write,
    /// A later step has written its part.
    Add,
    /// The gradient of the output is that of the input, and lies in the same place.
    Same,
    /// Not at all: nothing learns that the input descends from.
    Nothing,
}

/// A network's steps for batches of up to `batch` samples.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) batch: usize,
    pub(super) mode: Mode,
    /// Packed weights before the first that learns.
    pub(super) before: usize,
    pub(super) tensors: Vec<TensorPlan>,
    pub(super) steps: Vec<StepPlan>,
    pub(super) arena: usize,
    pub(super) slots: Vec<usize>,
    pub(super) logits: usize,
    /// The node that last writes each tensor.
    pub(super) nodes: Vec<usize>,
}

/// What a plan is run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The processor: halos, and lists of what each pass reads.
    Lists,
    /// A CUDA device: neither.
    Card,
}

impl Plan {
    /// Plans `network` for batches of up to `batch` samples.
    ///
    /// # Panics
    /// If `batch` is 0.
    pub fn new(network: &Network, batch: usize, mode: Mode) -> Self {
        Self::partial(network, batch, mode, false, &vec![true; network.description.nodes.len()])
    }

    /// As [`Plan::new`], but what a batch norm without an addition gives is dropped after its last
    /// reader, and computed again for the backward pass from the norm's input, which is kept anyway:
    /// less memory with all networks that have usual layers, one more pass over each such tensor, and
    /// the same bytes.
    ///
    /// # Panics
    /// If `batch` is 0.
    pub fn recomputing(network: &Network, batch: usize, mode: Mode) -> Self {
        Self::partial(network, batch, mode, true, &vec![true; network.description.nodes.len()])
    }

    /// As [`Plan::new`], or [`Plan::recomputing`] where `recompute`, but of the description's nodes
    /// only those learn that `trained` says.
    ///
    /// The backward pass ends at the first of them: below it there are no gradients, and no
    /// activation outlives its last reader of the forward pass. Above it, a layer that does not learn
    /// hands gradients on and has no weight gradient. A batch norm that does not learn keeps its
    /// running statistics as constants, whatever the mode. Gradients of parameters that learn are
    /// those of a plan in which all learn, to the bit, if its batch norms take the same statistics.
    ///
    /// # Panics
    /// If `batch` is 0, or `trained` does not say one word a node.
    pub fn partial(
        network: &Network,
        batch: usize,
        mode: Mode,
        recompute: bool,
        trained: &[bool],
    ) -> Self {
        Self::of_kind(network, batch, mode, recompute, (trained, Kind::Lists))
    }

    /// As [`Plan::partial`], for a CUDA device: tensors have no halo, and layers no lists.
    ///
    /// # Panics
    /// As [`Plan::partial`].
    pub fn for_card(
        network: &Network,
        batch: usize,
        mode: Mode,
        recompute: bool,
        trained: &[bool],
    ) -> Self {
        Self::of_kind(network, batch, mode, recompute, (trained, Kind::Card))
    }

    fn of_kind(
        network: &Network,
        batch: usize,
        mode: Mode,
        recompute: bool,
        (trained, kind): (&[bool], Kind),
    ) -> Self {
        assert!(batch > 0, "a batch holds at least one sample");
        assert_eq!(trained.len(), network.description.nodes.len(), "one word a node");
        let mut draft = Draft::new(&network.description);
        if kind == Kind::Card {
            draft.activation_halo.fill([0, 0]);
            draft.gradient_halo.fill([0, 0]);
        }
        let flow = draft.flow(|node| mode != Mode::Evaluate && trained[node]);
        let mut plan = draft.plan(network, batch, (mode, &flow), (recompute, kind));
        let first = network.parameters.iter().find(|parameter| trained[parameter.node]);
        plan.before = first.map_or(network.values.len(), |parameter| parameter.range.start);
        plan
    }

    /// Where the gradient of a parameter lies in all of them. They flow no further than to the first
    /// parameter that learns.
    pub(super) fn gradient_of(&self, network: &Network, parameter: usize) -> Range<usize> {
        let range = &network.parameters[parameter].range;
        range.start - self.before..range.end - self.before
    }

    /// The layers that are convolutions: the parameter that holds their weights, and their passes.
    pub(super) fn convs(&self) -> impl Iterator<Item = (usize, Option<&ConvPlan>)> {
        self.steps.iter().filter_map(|step| match &step.work {
            Work::Conv { plan, weight, .. } => Some((*weight, plan.as_deref())),
            _ => None,
        })
    }

    /// Channels, height and width of a tensor.
    pub(super) fn shape(&self, tensor: usize) -> [usize; 3] {
        let geometry = self.tensors[tensor].activation.geometry;
        [geometry.channels, geometry.height, geometry.width]
    }

    /// Packed weights of the network before the first that learns: they have no gradient.
    pub fn untrained(&self) -> usize {
        self.before
    }

    /// The kernels of each convolution and linear layer, with the parameter that holds its weights.
    pub fn kernels(&self) -> Vec<(usize, Kernels)> {
        let passes = self.convs().filter_map(|(weight, plan)| Some((weight, plan?.kernels())));
        passes.collect()
    }

    /// Bytes of the arena: all activations and gradients of activations.
    pub fn arena_bytes(&self) -> u64 {
        // An engine aligns its arena by up to a vector.
        4 * (self.arena + LANES) as u64
    }

    /// Bytes that steps take besides the arena: lists of offsets and places, one layer's weights in the
    /// order of a pass, sums of blocks, what each thread packs, and the statistics that a batch norm
    /// keeps for its backward pass.
    pub fn index_bytes(&self) -> u64 {
        let blocks = Blocked::blocks(self.batch);
        let besides = self.steps.iter().map(|step| self.besides(step, blocks));
        let all = besides.fold([0; 3], |[lists, scratch, thread], own| {
            [lists + own[0], scratch.max(own[1]), thread.max(own[2])]
        });
        let threads = rayon::current_num_threads() * all[2];
        let saved = size_of::<Saved>() * self.slots.iter().sum::<usize>();
        (all[0] + all[1] + threads + saved) as u64
    }

    /// Bytes that a step takes besides the arena: for ever, while it runs, and for each thread while it
    /// runs.
    fn besides(&self, step: &StepPlan, blocks: usize) -> [usize; 3] {
        let input = self.tensors[step.inputs[0]].activation.geometry;
        match &step.work {
            Work::Conv { plan: Some(plan), .. } => {
                [plan.index_bytes(), plan.scratch_bytes(blocks), plan.thread_bytes()]
            }
            &Work::LayerNorm { epsilon, .. } => {
                let norm = LayerNorm { input, epsilon };
                [0, norm.scratch_bytes(blocks), norm.thread_bytes()]
            }
            Work::Attention { heads, windows, bias, .. } => {
                let output = self.tensors[step.output].activation.geometry;
                let attention = Attention { input, output, heads: *heads, windows };
                let sums = bias.map_or(0, |_| attention.scratch_bytes(blocks));
                [windows.bytes(), sums, attention.thread_bytes()]
            }
            _ => [0; 3],
        }
    }
}

impl Draft<'_> {
    fn plan(
        &self,
        network: &Network,
        batch: usize,
        (mode, flow): (Mode, &Flow),
        (recompute, kind): (bool, Kind),
    ) -> Plan {
        let lives = self.lives(mode, flow, recompute);
        let blocks = Blocked::blocks(batch);
        let sizes: Vec<usize> = lives.all.iter().map(|l| blocks * l.geometry.block()).collect();
        let (starts, arena) = give_out(&lives.all, &sizes);
        let place = |i: usize| {
            let range = starts[i]..starts[i] + sizes[i];
            let meets = |j: usize| starts[j] < range.end && starts[j] + sizes[j] > range.start;
            let shared = (0..starts.len()).any(|j| j != i && sizes[j] > 0 && meets(j));
            Place { geometry: lives.all[i].geometry, range, shared }
        };
        let mut tensors: Vec<TensorPlan> = Vec::new();
        for (i, life) in lives.all.iter().enumerate() {
            match life.of {
                Of::Activation => {
                    tensors.push(TensorPlan { activation: place(i), again: None, gradient: None });
                }
                Of::Again(tensor) => tensors[tensor].again = Some(place(i)),
                Of::Gradient(tensor) => tensors[tensor].gradient = Some(place(i)),
            }
        }
        for (tensor, &root) in lives.gradient_of.iter().enumerate() {
            tensors[tensor].gradient = tensors[root].gradient.clone();
        }
        let mut plan = Plan {
            batch,
            mode,
            before: 0,
            tensors,
            steps: Vec::new(),
            arena,
            slots: Vec::new(),
            logits: self.last(),
            nodes: self.nodes.clone(),
        };
        for (step, (gradients, again)) in lives.gradients.into_iter().zip(lives.again).enumerate() {
            let learns = flow.learns[step];
            let work =
                self.work(network, self.steps[step], (mode, learns, kind), &gradients, &mut plan);
            let node = self.steps[step];
            let (inputs, output) = (self.inputs(node), self.output(node));
            let relu = self.relu[output];
            plan.steps.push(StepPlan { work, inputs, output, relu, gradients, again });
        }
        plan
    }

    fn work(
        &self,
        network: &Network,
        node: usize,
        (mode, learns, kind): (Mode, bool, Kind),
        gradients: &[Handing],
        plan: &mut Plan,
    ) -> Work {
        let (inputs, output) = (self.inputs(node), self.output(node));
        match *self.op(node) {
            Op::Conv { bias, .. } | Op::Linear { bias, .. } => {
                let weight = network.first_parameter(node);
                let hands = gradients.first().is_some_and(|handing| *handing != Handing::Nothing);
                let conv = (kind == Kind::Lists).then(|| {
                    let tensors = [&plan.tensors[inputs[0]], &plan.tensors[output]];
                    let conv = self.conv(node, &network.parameters[weight].mask, tensors, hands);
                    Box::new(if learns { conv } else { conv.without_weight_gradient() })
                });
                let bias = bias.then_some(weight + 1);
                Work::Conv { shape: self.layer_shape(node), plan: conv, weight, bias, learns }
            }
            Op::BatchNorm { epsilon, momentum } => {
                plan.slots.push(self.shape(output)[0]);
                Work::BatchNorm {
                    scale: network.first_parameter(self.layer(node)),
                    buffer: network.first_buffer(self.layer(node)),
                    epsilon,
                    momentum,
                    slot: plan.slots.len() - 1,
                    batch: learns && mode == Mode::Train,
                }
            }
            Op::Input | Op::Relu => Work::Relu,
            Op::Add => Work::Add,
            Op::MaxPool { kernel, stride, padding } => Work::MaxPool { kernel, stride, padding },
            Op::AvgPool { kernel, stride } => Work::AvgPool { kernel, stride },
            Op::GlobalAvgPool => {
                let [_, height, width] = self.shape(inputs[0]);
                Work::AvgPool { kernel: [height, width], stride: [1, 1] }
            }
            Op::PadShortcut { stride, .. } => Work::PadShortcut { stride },
            Op::LayerNorm { epsilon } => {
                Work::LayerNorm { scale: network.first_parameter(node), epsilon }
            }
            Op::Gelu => Work::Gelu,
            Op::Position => Work::Position { added: network.first_parameter(node), learns },
            Op::Attention { heads, window, shift } => {
                let [_, height, width] = self.shape(output);
                let windows = match window {
                    Some(window) => Windows::cut([height, width], window, shift),
                    None => Windows::whole(height, width),
                };
                let bias = window.map(|_| network.first_parameter(node));
                Work::Attention { heads, windows: Box::new(windows), bias, learns }
            }
            Op::SpaceToDepth { side } => Work::SpaceToDepth { side },
        }
    }

    /// The passes of a convolution or a linear layer; `hands` says whether its input gets a gradient.
    fn conv(
        &self,
        node: usize,
        mask: &Mask,
        [from, to]: [&TensorPlan; 2],
        hands: bool,
    ) -> ConvPlan {
        let shape = self.layer_shape(node);
        let (input, output) = (from.activation.geometry, to.activation.geometry);
        let dout = to.gradient.as_ref().map_or(output, |place| place.geometry);
        let dinput = from.gradient.as_ref().filter(|_| hands).map(|place| place.geometry);
        ConvPlan::new(shape, mask, input, output, dout, dinput)
    }

    /// The shape of a convolution or a linear layer.
    fn layer_shape(&self, node: usize) -> ConvShape {
        let size = self.shape(self.inputs(node)[0]);
        // Every convolution and linear layer has a shape; nothing else is given here.
        let Some(shape) = conv_shape(self.op(node), size) else {
            unreachable!("a layer without a shape")
        };
        shape
    }
}
