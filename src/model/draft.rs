//! What is known of a description before any place is given out: which nodes become steps, what each
//! reads and writes, and what is done along with it.
//!
//! Knows neither masks nor batch.

use super::describe::{Description, Op};
use crate::sparse::ConvShape;

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
    pub fn new(description: &'a Description) -> Self {
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
    pub fn layer(&self, node: usize) -> usize {
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
}
