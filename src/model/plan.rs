//! Description + masks + batch → a static plan: steps over one arena whose size is known before the
//! first byte is touched.
//!
//! A rectifier behind a convolution, a batch norm or an addition that nobody else reads is part of
//! that step. Every tensor gets a place in the arena for as long as somebody reads it; places that
//! several tensors share get their halo cleared before they are written anew.

use std::ops::Range;

use super::describe::{Description, Op};
use super::network::Network;
use crate::sparse::{Blocked, ConvPlan, ConvShape, LANES, Saved};

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
    pub gradient: Option<Place>,
}

/// What a step does; tensors are indices into [`Plan::tensors`], parameters into the network's.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Conv { plan: Box<ConvPlan>, weight: usize, bias: Option<usize> },
    BatchNorm { scale: usize, buffer: usize, epsilon: f32, momentum: f32, slot: usize },
    Relu,
    Add,
    MaxPool { kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2] },
    AvgPool { kernel: [usize; 2], stride: [usize; 2] },
    PadShortcut { stride: [usize; 2] },
}

/// One step of a plan.
#[derive(Clone, Debug)]
pub(super) struct StepPlan {
    pub work: Work,
    pub inputs: Vec<usize>,
    pub output: usize,
    pub relu: bool,
    /// For each input, whether its gradient was already written by a later step.
    pub accumulate: Vec<bool>,
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
        assert!(batch > 0, "a batch holds at least one sample");
        let shapes = Draft::new(&network.description);
        shapes.plan(network, batch, mode)
    }

    /// Bytes of the arena: all activations and gradients of activations.
    pub fn arena_bytes(&self) -> u64 {
        // An engine aligns its arena by up to a vector.
        4 * (self.arena + LANES) as u64
    }

    /// Bytes that steps take besides the arena: lists of offsets, one layer's weights in the order
    /// of the input gradient, and the statistics that a batch norm keeps for its backward pass.
    pub fn index_bytes(&self) -> u64 {
        let convs = || {
            self.steps.iter().filter_map(|step| match &step.work {
                Work::Conv { plan, .. } => Some(plan),
                _ => None,
            })
        };
        let lists: usize = convs().map(|plan| plan.index_bytes()).sum();
        let scratch = convs().map(|plan| plan.scratch_bytes()).max().unwrap_or(0);
        let saved = size_of::<Saved>() * self.slots.iter().sum::<usize>();
        (lists + scratch + saved) as u64
    }
}

/// What is known of a description before any place is given out.
struct Draft<'a> {
    description: &'a Description,
    /// The tensor that each node gives.
    tensor_of: Vec<usize>,
    /// The node that last writes each tensor.
    nodes: Vec<usize>,
    /// Nodes that become steps.
    steps: Vec<usize>,
    relu: Vec<bool>,
    activation_halo: Vec<[usize; 2]>,
    gradient_halo: Vec<[usize; 2]>,
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

impl<'a> Draft<'a> {
    fn new(description: &'a Description) -> Self {
        let nodes = &description.nodes;
        let readers = |node: usize| {
            nodes.iter().flat_map(|n| &n.inputs).filter(|&&input| input == node).count()
        };
        let mut draft = Self {
            description,
            tensor_of: Vec::new(),
            nodes: Vec::new(),
            steps: Vec::new(),
            relu: Vec::new(),
            activation_halo: Vec::new(),
            gradient_halo: Vec::new(),
        };
        for (index, node) in nodes.iter().enumerate() {
            let before = node.inputs.first().map(|&i| &nodes[i].op);
            let carries = matches!(
                before,
                Some(Op::Conv { .. } | Op::Linear { .. } | Op::BatchNorm { .. } | Op::Add)
            );
            if node.op == Op::Relu && carries && readers(node.inputs[0]) == 1 {
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

    fn shape(&self, tensor: usize) -> [usize; 3] {
        self.description.nodes[self.nodes[tensor]].shape
    }

    fn inputs(&self, node: usize) -> Vec<usize> {
        self.description.nodes[node].inputs.iter().map(|&i| self.tensor_of[i]).collect()
    }

    fn plan(&self, network: &Network, batch: usize, mode: Mode) -> Plan {
        let lives = self.lives(mode);
        let blocks = Blocked::blocks(batch);
        let sizes: Vec<usize> = lives.iter().map(|l| blocks * l.geometry.block()).collect();
        let (starts, arena) = give_out(&lives, &sizes);
        let place = |i: usize| {
            let range = starts[i]..starts[i] + sizes[i];
            let meets = |j: usize| starts[j] < range.end && starts[j] + sizes[j] > range.start;
            let shared = (0..lives.len()).any(|j| j != i && sizes[j] > 0 && meets(j));
            Place { geometry: lives[i].geometry, range, shared }
        };
        let mut tensors: Vec<TensorPlan> = Vec::new();
        for (i, life) in lives.iter().enumerate() {
            match life.of {
                Of::Activation => {
                    tensors.push(TensorPlan { activation: place(i), gradient: None });
                }
                Of::Gradient(tensor) => tensors[tensor].gradient = Some(place(i)),
            }
        }
        let mut plan = Plan {
            mode,
            batch,
            tensors,
            steps: Vec::new(),
            arena,
            slots: Vec::new(),
            logits: self.tensor_of[self.tensor_of.len() - 1],
        };
        for &node in &self.steps {
            let step = self.step(network, node, &mut plan);
            plan.steps.push(step);
        }
        let mut written = vec![false; plan.tensors.len()];
        for step in plan.steps.iter_mut().rev() {
            for &input in &step.inputs {
                step.accumulate.push(std::mem::replace(&mut written[input], true));
            }
        }
        plan
    }

    fn step(&self, network: &Network, node: usize, plan: &mut Plan) -> StepPlan {
        let (inputs, output) = (self.inputs(node), self.tensor_of[node]);
        let described = &self.description.nodes[node];
        let work = match described.op {
            Op::Conv { .. } | Op::Linear { .. } => {
                let from = self.shape(inputs[0]);
                let shape = conv_shape(&described.op, from);
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
                let bias = matches!(
                    described.op,
                    Op::Conv { bias: true, .. } | Op::Linear { bias: true, .. }
                );
                // Every Conv and Linear has a shape; the arm above admits nothing else.
                let Some(conv) = conv else { unreachable!("a layer without a shape") };
                Work::Conv { plan: Box::new(conv), weight, bias: bias.then_some(weight + 1) }
            }
            Op::BatchNorm { epsilon, momentum } => {
                plan.slots.push(described.shape[0]);
                Work::BatchNorm {
                    scale: network.first_parameter(node),
                    buffer: network.first_buffer(node),
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
        StepPlan { work, inputs, output, relu: self.relu[output], accumulate: Vec::new() }
    }

    /// How long each activation, then each gradient, is needed. Time 0 loads the input, time
    /// `1 + s` runs step `s`, `S + 1` the loss, `2 * S + 1 - s` step `s` backward.
    fn lives(&self, mode: Mode) -> Vec<Life> {
        let steps = self.steps.len();
        let backward = |step: usize| 2 * steps + 1 - step;
        let mut lives: Vec<Life> = (0..self.nodes.len())
            .map(|tensor| Life {
                of: Of::Activation,
                geometry: Blocked::new(self.shape(tensor), self.activation_halo[tensor]),
                from: 0,
                to: 0,
            })
            .collect();
        let mut gradients: Vec<Option<Life>> = vec![None; self.nodes.len()];
        for (step, &node) in self.steps.iter().enumerate() {
            let (op, output) = (&self.description.nodes[node].op, self.tensor_of[node]);
            lives[output].from = step + 1;
            let training = mode != Mode::Evaluate;
            let needs_output = self.relu[output] || *op == Op::Relu;
            let to = if training && needs_output { backward(step) } else { step + 1 };
            lives[output].to = lives[output].to.max(to);
            let needs_input = training
                && matches!(
                    op,
                    Op::Conv { .. } | Op::Linear { .. } | Op::BatchNorm { .. } | Op::MaxPool { .. }
                );
            for input in self.inputs(node) {
                // A batch norm's own gradients need a place for its input's, even if that is the
                // sample.
                if training && matches!(op, Op::BatchNorm { .. }) && gradients[input].is_none() {
                    let geometry = Blocked::new(self.shape(input), [0, 0]);
                    // Every reader adds to it, and the first reader runs backward last.
                    let (from, to) = (backward(step), backward(0));
                    gradients[input] = Some(Life { of: Of::Gradient(input), geometry, from, to });
                }
                let to = if needs_input { backward(step) } else { step + 1 };
                lives[input].to = lives[input].to.max(to);
                if let Some(life) = &mut gradients[input] {
                    life.from = life.from.min(backward(step));
                }
            }
            if training {
                let geometry = Blocked::new(self.shape(output), self.gradient_halo[output]);
                gradients[output] = Some(Life {
                    of: Of::Gradient(output),
                    geometry,
                    from: backward(step),
                    to: backward(step),
                });
            }
        }
        let last = self.tensor_of[self.tensor_of.len() - 1];
        lives[last].to = lives[last].to.max(steps + 1);
        if let Some(life) = &mut gradients[last] {
            life.from = steps + 1;
        }
        lives.extend(gradients.into_iter().flatten());
        lives
    }
}

/// What a life is of.
#[derive(Clone, Copy, Debug)]
enum Of {
    Activation,
    Gradient(usize),
}

/// When a tensor is in use: from the first write to the last read.
#[derive(Clone, Debug)]
struct Life {
    of: Of,
    geometry: Blocked,
    from: usize,
    to: usize,
}

/// Gives each life a start in the arena, the largest first, at the lowest place that is free for
/// as long as it lives. Returns starts and the arena's size.
fn give_out(lives: &[Life], sizes: &[usize]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(sizes[i]), i));
    let mut starts = vec![0; lives.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut end = 0;
    for i in order {
        let mut taken: Vec<Range<usize>> = placed
            .iter()
            .filter(|&&j| lives[j].from <= lives[i].to && lives[i].from <= lives[j].to)
            .map(|&j| starts[j]..starts[j] + sizes[j])
            .collect();
        taken.sort_by_key(|range| range.start);
        let mut start = 0;
        for range in taken {
            if range.start >= start + sizes[i] {
                break;
            }
            start = start.max(range.end);
        }
        starts[i] = start;
        end = end.max(start + sizes[i]);
        placed.push(i);
    }
    (starts, end)
}
