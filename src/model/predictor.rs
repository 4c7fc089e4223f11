//! A network made ready to predict one sample at a time.
//!
//! Owns the fusing of a description's operations: a batch norm that alone reads a convolution or a
//! linear layer is folded into its weights, an addition into the later of the steps it adds, a
//! rectifier into the step before it. What computes is [`Single`].
//!
//! `w' = w * scale / sqrt(var + epsilon)`, `b' = (b - mean) * scale / sqrt(var + epsilon) + shift`.
//! Where that rounds, it rounds otherwise than [`Engine`] does: results agree to some millionths of the
//! largest logit, not to the bit.
//!
//! [`Single`] has no operations of transformers. A network with one goes through the engine, alone in a
//! batch, which takes the time of sixteen samples, and gives the engine's bytes.

use super::describe::{Node, Op};
use super::draft::conv_shape;
use super::engine::Engine;
use super::network::Network;
use super::plan::Mode;
use crate::sparse::Isa;
use crate::sparse::single::{Operation, Single, Work};

/// A network that predicts one sample, with running statistics as constants.
///
/// It holds the weights as they were when it was made: after they change, a new one is needed.
#[derive(Clone, Debug)]
pub struct Predictor {
    way: Way,
    input: [usize; 3],
    logits: Vec<f32>,
    probabilities: Vec<f32>,
}

/// What computes.
#[derive(Clone, Debug)]
enum Way {
    Single(Single),
    Engine(Box<Alone>),
}

/// A sample alone in a batch.
struct Alone {
    network: Network,
    engine: Engine,
    isa: Isa,
    sample: Vec<f32>,
}

impl Alone {
    fn new(network: Network, isa: Isa) -> Self {
        let engine = Engine::new(&network, 1, Mode::Evaluate, isa);
        let sample = vec![0.0; network.description.input_shape().iter().product()];
        Self { network, engine, isa, sample }
    }
}

impl Clone for Alone {
    fn clone(&self) -> Self {
        Self::new(self.network.clone(), self.isa)
    }
}

impl std::fmt::Debug for Alone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = &self.network.description.name;
        f.debug_struct("Alone").field("network", name).field("isa", &self.isa).finish()
    }
}

impl Way {
    /// The logits of the sample that `fill` writes.
    fn run(&mut self, fill: impl FnOnce(&mut [f32]), logits: &mut Vec<f32>) {
        logits.clear();
        match self {
            Self::Single(single) => logits.extend_from_slice(single.run(fill)),
            Self::Engine(alone) => {
                let Alone { network, engine, sample, .. } = &mut **alone;
                fill(sample);
                engine.load(network, 1, |_, out| out.copy_from_slice(sample));
                engine.forward(network);
                logits.extend(engine.logits());
            }
        }
    }
}

impl Predictor {
    /// Makes `network` ready.
    pub fn new(network: &Network, isa: Isa) -> Self {
        let input = network.description.input_shape();
        let way = match Fusing::new(network).operations() {
            Some(operations) => Way::Single(Single::new(input, operations, isa)),
            None => Way::Engine(Box::new(Alone::new(network.clone(), isa))),
        };
        let classes = network.description.classes;
        Self {
            way,
            input,
            logits: Vec::with_capacity(classes),
            probabilities: Vec::with_capacity(classes),
        }
    }

    /// The logits of the sample that `fill` writes as `[C, H, W]`, before normalisation.
    ///
    /// Allocates nothing where steps are fused. The same bytes for any number of threads.
    pub fn logits(&mut self, fill: impl FnOnce(&mut [f32])) -> &[f32] {
        self.way.run(fill, &mut self.logits);
        &self.logits
    }

    /// Whether the network is fused into steps for one sample; else it goes through the engine.
    pub fn fuses(&self) -> bool {
        matches!(self.way, Way::Single(_))
    }

    /// The softmax probabilities of the sample that `fill` writes as `[C, H, W]`.
    pub fn predict(&mut self, fill: impl FnOnce(&mut [f32])) -> &[f32] {
        let Self { way, logits, probabilities, .. } = self;
        way.run(fill, logits);
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        probabilities.clear();
        let mut total = 0.0;
        for logit in logits.iter() {
            let weight = f64::from(logit - largest).exp();
            total += weight;
            probabilities.push(weight as f32);
        }
        probabilities.iter_mut().for_each(|p| *p = (f64::from(*p) / total) as f32);
        probabilities
    }

    /// Channels, height and width of a sample.
    pub fn input_shape(&self) -> [usize; 3] {
        self.input
    }

    /// Bytes that a prediction takes: tensors, and weights in the order in which they are read.
    pub fn peak_bytes(&self) -> u64 {
        match &self.way {
            Way::Single(single) => (single.arena_bytes() + single.weight_bytes()) as u64,
            Way::Engine(alone) => {
                let plan = alone.engine.plan();
                let values = alone.network.values.len() + 2 * alone.sample.len();
                plan.arena_bytes() + plan.index_bytes() + 4 * values as u64
            }
        }
    }
}

/// Operations in the making.
struct Fusing<'a> {
    network: &'a Network,
    operations: Vec<Operation<'a>>,
    /// The tensor that holds what each node gives.
    tensors: Vec<usize>,
    /// How many nodes read each node.
    readers: Vec<usize>,
}

impl<'a> Fusing<'a> {
    fn new(network: &'a Network) -> Self {
        let nodes = &network.description.nodes;
        let mut readers = vec![0; nodes.len()];
        nodes.iter().flat_map(|node| &node.inputs).for_each(|&input| readers[input] += 1);
        Self { network, operations: Vec::new(), tensors: Vec::new(), readers }
    }

    /// The network's operations; `None` if there is none for one of its nodes.
    fn operations(mut self) -> Option<Vec<Operation<'a>>> {
        for index in 0..self.network.description.nodes.len() {
            let tensor = self.node(index)?;
            self.tensors.push(tensor);
        }
        Some(self.operations)
    }

    /// Takes in a node, and says which tensor holds what it gives.
    fn node(&mut self, index: usize) -> Option<usize> {
        let network = self.network;
        let node = &network.description.nodes[index];
        let fused = match node.op {
            Op::BatchNorm { .. } => self.fold(index, node),
            Op::Add => self.join(node),
            Op::Relu => self.rectify(node),
            _ => None,
        };
        if fused.is_some() {
            return fused;
        }
        let (work, inputs) = self.work(index, node)?;
        let second = (node.op == Op::Add).then(|| inputs[1]);
        let relu = node.op == Op::Relu;
        self.operations.push(Operation { work, input: inputs[0], second, relu, shape: node.shape });
        Some(self.operations.len())
    }

    /// A node as an operation of its own, where there is one.
    fn work(&self, index: usize, node: &Node) -> Option<(Work<'a>, Vec<usize>)> {
        let (network, nodes) = (self.network, &self.network.description.nodes);
        let inputs: Vec<usize> = node.inputs.iter().map(|&input| self.tensors[input]).collect();
        let channels = node.shape[0];
        let work = match node.op {
            Op::Input => {
                let description = &network.description;
                let each = description.mean.iter().zip(&description.std);
                let scale = description.std.iter().map(|std| 1.0 / std).collect();
                let shift = each.map(|(mean, std)| -mean / std).collect();
                return Some((Work::Affine { scale, shift }, vec![0]));
            }
            Op::Conv { bias, .. } | Op::Linear { bias, .. } => {
                let from = nodes[node.inputs[0]].shape;
                // Every convolution and linear layer has a shape; the arm admits nothing else.
                let Some(shape) = conv_shape(&node.op, from) else {
                    unreachable!("a layer without a shape")
                };
                let weight = network.first_parameter(index);
                let bias =
                    if bias { network.packed(weight + 1).to_vec() } else { vec![0.0; channels] };
                let values = network.packed(weight).to_vec();
                Work::Layer { shape, mask: &network.parameters[weight].mask, values, bias }
            }
            Op::BatchNorm { epsilon, .. } => {
                let (scale, shift) = affine(network, index, epsilon);
                Work::Affine { scale, shift }
            }
            Op::Relu | Op::Add => {
                Work::Affine { scale: vec![1.0; channels], shift: vec![0.0; channels] }
            }
            Op::MaxPool { kernel, stride, padding } => Work::MaxPool { kernel, stride, padding },
            Op::AvgPool { kernel, stride } => Work::AvgPool { kernel, stride },
            Op::GlobalAvgPool => {
                let [_, height, width] = nodes[node.inputs[0]].shape;
                Work::AvgPool { kernel: [height, width], stride: [1, 1] }
            }
            Op::PadShortcut { stride, .. } => Work::PadShortcut { stride },
            Op::LayerNorm { .. } | Op::Gelu | Op::Position => return None,
            Op::Attention { .. } | Op::SpaceToDepth { .. } => return None,
        };
        Some((work, inputs))
    }

    /// The operation that gives node `input`, if nobody else reads it and nothing was done behind it
    /// that must stay the last.
    fn open(&mut self, input: usize) -> Option<&mut Operation<'a>> {
        let alone = self.readers[input] == 1;
        let operation = self.operations.get_mut(self.tensors[input].checked_sub(1)?)?;
        let carries = matches!(operation.work, Work::Layer { .. } | Work::Affine { .. });
        (alone && carries && !operation.relu).then_some(operation)
    }

    /// Folds a batch norm into the layer before it.
    fn fold(&mut self, index: usize, node: &Node) -> Option<usize> {
        let Op::BatchNorm { epsilon, .. } = node.op else { return None };
        let (scale, shift) = affine(self.network, index, epsilon);
        let operation = self.open(node.inputs[0]).filter(|operation| operation.second.is_none())?;
        let Work::Layer { mask, values, bias, .. } = &mut operation.work else { return None };
        let taps = mask.len() / scale.len();
        for (position, value) in mask.iter().zip(values) {
            *value *= scale[position / taps];
        }
        for (bias, (scale, shift)) in bias.iter_mut().zip(scale.iter().zip(shift)) {
            *bias = *bias * scale + shift;
        }
        Some(self.tensors[node.inputs[0]])
    }

    /// Joins an addition to the later of the steps that give its operands: the other has run by then.
    fn join(&mut self, node: &Node) -> Option<usize> {
        let (a, b) = (node.inputs[0], node.inputs[1]);
        let (early, late) = if self.tensors[a] < self.tensors[b] { (a, b) } else { (b, a) };
        let (early, tensor) = (self.tensors[early], self.tensors[late]);
        let operation = self.open(late).filter(|operation| operation.second.is_none())?;
        (early < tensor).then(|| {
            operation.second = Some(early);
            tensor
        })
    }

    fn rectify(&mut self, node: &Node) -> Option<usize> {
        self.open(node.inputs[0])?.relu = true;
        Some(self.tensors[node.inputs[0]])
    }
}

/// A batch norm with running statistics, as `scale * x + shift`.
fn affine(network: &Network, index: usize, epsilon: f32) -> (Vec<f32>, Vec<f32>) {
    let (parameter, buffer) = (network.first_parameter(index), network.first_buffer(index));
    let (scale, shift) = (network.packed(parameter), network.packed(parameter + 1));
    let (mean, variance) = (&network.buffers[buffer].values, &network.buffers[buffer + 1].values);
    let inverse = |variance: f32| 1.0 / (f64::from(variance) + f64::from(epsilon)).sqrt();
    let scale: Vec<f32> = scale
        .iter()
        .zip(variance)
        .map(|(scale, &variance)| (f64::from(*scale) * inverse(variance)) as f32)
        .collect();
    let each = scale.iter().zip(shift).zip(mean);
    let shift = each.map(|((scale, shift), mean)| shift - mean * scale).collect();
    (scale, shift)
}
