//! Description + masks + batch → a static plan: steps over one arena whose size is known before the
//! first byte is touched.
//!
//! A rectifier behind a convolution, a batch norm or an addition that nobody else reads is part of
//! that step, and so is a batch norm that only an addition reads. Every tensor gets a place in the
//! arena for as long as somebody reads it ([`super::lives`]); places that several tensors share get
//! their halo cleared before they are written anew.

use std::ops::Range;

use super::describe::{Description, Op};
use super::lives::{Of, give_out};
use super::network::Network;
use crate::sparse::{Blocked, ConvPlan, ConvShape, Kernels, LANES, Saved};

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
        plan: Box<ConvPlan>,
        weight: usize,
        bias: Option<usize>,
    },
    /// A second input is added before the rectifier.
    BatchNorm {
        scale: usize,
        buffer: usize,
        epsilon: f32,
        momentum: f32,
        slot: usize,
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
}

/// A network's steps for batches of up to `batch` samples.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) mode: Mode,
    pub(super) batch: usize,
    pub(super) tensors: Vec<TensorPlan>,
    pub(super) steps: Vec<StepPlan>,
    pub(super) arena: usize,
    pub(super) slots: Vec<usize>,
    pub(super) logits: usize,
}

impl Plan {
    /// Plans `network` for batches of up to `batch` samples.
    ///
    /// # Panics
    /// If `batch` is 0.
    pub fn new(network: &Network, batch: usize, mode: Mode) -> Self {
        Self::of(network, batch, mode, false)
    }

    /// As [`Plan::new`], but what a batch norm without an addition gives is dropped after its last
    /// reader, and computed again for the backward pass from the norm's input, which is kept anyway:
    /// less memory with all networks that have usual layers, one more pass over each such tensor, and
    /// the same bytes.
    ///
    /// # Panics
    /// If `batch` is 0.
    pub fn recomputing(network: &Network, batch: usize, mode: Mode) -> Self {
        Self::of(network, batch, mode, true)
    }

    fn of(network: &Network, batch: usize, mode: Mode, recompute: bool) -> Self {
        assert!(batch > 0, "a batch holds at least one sample");
        let draft = Draft::new(&network.description);
        draft.plan(network, batch, mode, recompute)
    }

    /// The kernels of each convolution and linear layer, with the parameter that holds its weights.
    pub fn kernels(&self) -> Vec<(usize, Kernels)> {
        let steps = self.steps.iter();
        steps
            .filter_map(|step| match &step.work {
                Work::Conv { plan, weight, .. } => Some((*weight, plan.kernels())),
                _ => None,
            })
            .collect()
    }

    /// Bytes of the arena: all activations and gradients of activations.
    pub fn arena_bytes(&self) -> u64 {
        // An engine aligns its arena by up to a vector.
        4 * (self.arena + LANES) as u64
    }

    /// Bytes that steps take besides the arena: lists of offsets, one layer's weights in the order
    /// of a pass, what each thread packs, and the statistics that a batch norm keeps for its backward
    /// pass.
    pub fn index_bytes(&self) -> u64 {
        let convs = || {
            self.steps.iter().filter_map(|step| match &step.work {
                Work::Conv { plan, .. } => Some(plan),
                _ => None,
            })
        };
        let blocks = Blocked::blocks(self.batch);
        let lists: usize = convs().map(|plan| plan.index_bytes()).sum();
        let scratch = convs().map(|plan| plan.scratch_bytes(blocks)).max().unwrap_or(0);
        let thread = convs().map(|plan| plan.thread_bytes()).max().unwrap_or(0);
        let threads = rayon::current_num_threads() * thread;
        let saved = size_of::<Saved>() * self.slots.iter().sum::<usize>();
        (lists + scratch + threads + saved) as u64
    }
}

/// What is known of a description before any place is given out.
pub(super) struct Draft<'a> {
    pub description: &'a Description,
    /// The tensor that each node gives.
    tensor_of: Vec<usize>,
    /// The node that last writes each tensor.
    pub nodes: Vec<usize>,
    /// Nodes that become steps.
    pub steps: Vec<usize>,
    /// For each node, the batch norm that it does along.
    norm: Vec<Option<usize>>,
    pub relu: Vec<bool>,
    pub activation_halo: Vec<[usize; 2]>,
    pub gradient_halo: Vec<[usize; 2]>,
}

/// The convolution that an operation is, a linear layer being one that covers its input.
pub(super) fn conv_shape(op: &Op, input: [usize; 3]) -> Option<ConvShape> {
    match *op {
        Op::Conv { filters, kernel, stride, padding, groups, .. } => {
            // A step longer than the padded input is never taken, so it may as well be as long.
            let step = |d: usize| stride[d].min(input[1 + d] + 2 * padding[d]);
            Some(ConvShape { filters, kernel, stride: [step(0), step(1)], padding, groups })
        }
        Op::Linear { outputs, .. } => Some(ConvShape {
            filters: outputs,
            kernel: [input[1], input[2]],
            stride: [1, 1],
            padding: [0, 0],
            groups: 1,
        }),
        _ => None,
    }
}

/// For each node, the batch norm that it does along: an addition one of its inputs, which nobody else
/// reads. Of two it is the later, whose input is nearer in the caches.
fn norms_within(description: &Description, readers: &[usize]) -> Vec<Option<usize>> {
    let nodes = &description.nodes;
    let within = |inputs: &[usize]| {
        let alone = |&norm: &usize| {
            let is_norm = matches!(nodes[norm].op, Op::BatchNorm { .. });
            // Normalised and added in one step, a tensor would be borrowed twice.
            is_norm && readers[norm] == 1 && !inputs.contains(&nodes[norm].inputs[0])
        };
        inputs.iter().copied().filter(alone).max()
    };
    nodes.iter().map(|node| (node.op == Op::Add).then(|| within(&node.inputs)).flatten()).collect()
}

impl<'a> Draft<'a> {
    fn new(description: &'a Description) -> Self {
        let nodes = &description.nodes;
        let mut readers = vec![0; nodes.len()];
        nodes.iter().flat_map(|node| &node.inputs).for_each(|&input| readers[input] += 1);
        let norm = norms_within(description, &readers);
        let mut draft = Self {
            description,
            tensor_of: Vec::new(),
            nodes: Vec::new(),
            steps: Vec::new(),
            relu: Vec::new(),
            activation_halo: Vec::new(),
            gradient_halo: Vec::new(),
            norm,
        };
        for (index, node) in nodes.iter().enumerate() {
            if draft.norm.contains(&Some(index)) {
                // Its addition writes what it would write; nobody asks for a tensor of its own.
                draft.tensor_of.push(usize::MAX);
                continue;
            }
            let before = node.inputs.first().map(|&i| &nodes[i].op);
            let carries = matches!(
                before,
                Some(Op::Conv { .. } | Op::Linear { .. } | Op::BatchNorm { .. } | Op::Add)
            );
            if node.op == Op::Relu && carries && readers[node.inputs[0]] == 1 {
                let tensor = draft.tensor_of[node.inputs[0]];
                draft.tensor_of.push(tensor);
                if let Some(relu) = draft.relu.get_mut(tensor) {
                    *relu = true;
                }
                continue;
            }
            draft.tensor_of.push(draft.nodes.len());
            draft.nodes.push(index);
            draft.relu.push(false);
            draft.activation_halo.push([0, 0]);
            draft.gradient_halo.push([0, 0]);
            if index > 0 {
                draft.steps.push(index);
            }
            if let (Some(&from), tensor) = (node.inputs.first(), draft.tensor_of[index])
                && let Some(shape) = conv_shape(&node.op, nodes[from].shape)
            {
                let [rows, columns] = shape.input_halo();
                let [above, left] = draft.activation_halo[draft.tensor_of[from]];
                draft.activation_halo[draft.tensor_of[from]] = [above.max(rows), left.max(columns)];
                draft.gradient_halo[tensor] = shape.output_halo(nodes[from].shape);
            }
        }
        draft
    }

    pub fn shape(&self, tensor: usize) -> [usize; 3] {
        self.description.nodes[self.nodes[tensor]].shape
    }

    /// The tensor that a node writes.
    pub fn output(&self, node: usize) -> usize {
        self.tensor_of[node]
    }

    /// The tensors that a step reads; where it is a batch norm, the one that is normalised first.
    pub fn inputs(&self, node: usize) -> Vec<usize> {
        let nodes = &self.description.nodes;
        let inputs = nodes[node].inputs.iter();
        match self.norm[node] {
            Some(norm) => {
                let addends = inputs.filter(|&&input| input != norm);
                nodes[norm].inputs.iter().chain(addends).map(|&i| self.tensor_of[i]).collect()
            }
            None => inputs.map(|&i| self.tensor_of[i]).collect(),
        }
    }

    /// The node whose parameters a step has.
    fn layer(&self, node: usize) -> usize {
        self.norm[node].unwrap_or(node)
    }

    /// What a step does, besides an addition and a rectifier behind a batch norm.
    pub fn op(&self, node: usize) -> &'a Op {
        &self.description.nodes[self.layer(node)].op
    }

    /// The tensor of the logits.
    pub fn last(&self) -> usize {
        self.tensor_of[self.tensor_of.len() - 1]
    }

    fn plan(&self, network: &Network, batch: usize, mode: Mode, recompute: bool) -> Plan {
        let lives = self.lives(mode, recompute);
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
            mode,
            batch,
            tensors,
            steps: Vec::new(),
            arena,
            slots: Vec::new(),
            logits: self.last(),
        };
        for (step, (gradients, again)) in lives.gradients.into_iter().zip(lives.again).enumerate() {
            let planned = self.step(network, self.steps[step], &mut plan);
            plan.steps.push(StepPlan { gradients, again, ..planned });
        }
        plan
    }

    fn step(&self, network: &Network, node: usize, plan: &mut Plan) -> StepPlan {
        let (inputs, output) = (self.inputs(node), self.output(node));
        let op = self.op(node);
        let work = match *op {
            Op::Conv { .. } | Op::Linear { .. } => {
                let from = self.shape(inputs[0]);
                let shape = conv_shape(op, from);
                let weight = network.first_parameter(node);
                let place = &plan.tensors[output];
                let dout = place.gradient.as_ref().unwrap_or(&place.activation).geometry;
                let dinput = plan.tensors[inputs[0]].gradient.as_ref().map(|place| place.geometry);
                let conv = shape.map(|shape| {
                    ConvPlan::new(
                        shape,
                        &network.parameters[weight].mask,
                        plan.tensors[inputs[0]].activation.geometry,
                        place.activation.geometry,
                        dout,
                        dinput,
                    )
                });
                let bias =
                    matches!(op, Op::Conv { bias: true, .. } | Op::Linear { bias: true, .. });
                // Every Conv and Linear has a shape; the arm above admits nothing else.
                let Some(conv) = conv else { unreachable!("a layer without a shape") };
                Work::Conv { plan: Box::new(conv), weight, bias: bias.then_some(weight + 1) }
            }
            Op::BatchNorm { epsilon, momentum } => {
                plan.slots.push(self.shape(output)[0]);
                Work::BatchNorm {
                    scale: network.first_parameter(self.layer(node)),
                    buffer: network.first_buffer(self.layer(node)),
                    epsilon,
                    momentum,
                    slot: plan.slots.len() - 1,
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
        };
        let (gradients, again) = (Vec::new(), Vec::new());
        StepPlan { work, inputs, output, relu: self.relu[output], gradients, again }
    }
}
