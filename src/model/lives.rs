//! How long each tensor of a plan lives, and where it lies as long.
//!
//! Time 0 loads the input, time `1 + s` runs step `s`, `S + 1` the loss, `2 * S + 1 - s` step `s`
//! backward. Knows neither masks nor batch.
//!
//! Gradients flow as far as somebody learns from them: [`Flow`]. What no backward step reads dies
//! with its last reader forward.

use std::cmp::Reverse;
use std::ops::Range;

use super::describe::Op;
use super::draft::Draft;
use super::plan::{Handing, Mode};
use crate::sparse::Blocked;

/// What a life is of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of {
    Activation,
    /// The activation of a tensor, computed again for the backward pass.
    Again(usize),
    Gradient(usize),
}

/// When a tensor is in use: from the first write to the last read.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub of: Of,
    pub geometry: Blocked,
    from: usize,
    to: usize,
}

/// A tensor that is computed again.
struct Again {
    tensor: usize,
    /// The step that writes it.
    writer: usize,
    /// The first and the last step that read it backward; the last runs before the first.
    readers: [usize; 2],
}

/// The lives of all tensors, and what of a plan follows from them.
pub(super) struct Lives {
    /// All activations, tensor by tensor, then the others.
    pub all: Vec<Life>,
    /// The tensor whose gradient is that of each tensor too.
    pub gradient_of: Vec<usize>,
    /// For each step, how the gradients of its inputs come about.
    pub gradients: Vec<Vec<Handing>>,
    /// For each step, those that run forward again before it runs backward.
    pub again: Vec<Vec<usize>>,
}

/// How far gradients flow.
pub(super) struct Flow {
    /// For each step, whether its own parameters learn.
    pub learns: Vec<bool>,
    /// For each tensor, whether the step that gives it learns, or one that it descends from.
    needs: Vec<bool>,
}

impl Flow {
    /// Whether a step of these inputs hands its input `i` a gradient. A norm or attention that learns
    /// makes its own gradients together with its input's, even where nobody needs that one.
    fn hands(&self, draft: &Draft<'_>, step: usize, i: usize) -> bool {
        let node = draft.steps[step];
        let together = makes_together(draft.op(node));
        self.needs[draft.output(node)]
            && (self.needs[draft.inputs(node)[i]] || (together && i == 0 && self.learns[step]))
    }
}

/// Whether an operation makes its parameters' gradients along with that of its first input.
fn makes_together(op: &Op) -> bool {
    matches!(op, Op::BatchNorm { .. } | Op::LayerNorm { .. } | Op::Attention { .. })
}

/// Whether an operation has parameters.
fn has_parameters(op: &Op) -> bool {
    match op {
        Op::Conv { .. } | Op::Linear { .. } | Op::BatchNorm { .. } => true,
        Op::LayerNorm { .. } | Op::Position => true,
        Op::Attention { window, .. } => window.is_some(),
        _ => false,
    }
}

impl Draft<'_> {
    /// How far gradients flow where the nodes in `trained` learn.
    pub fn flow(&self, trained: impl Fn(usize) -> bool) -> Flow {
        let mut flow = Flow { learns: Vec::new(), needs: vec![false; self.nodes.len()] };
        for &node in &self.steps {
            let learns = has_parameters(self.op(node)) && trained(self.layer(node));
            let above = self.inputs(node).into_iter().any(|input| flow.needs[input]);
            flow.learns.push(learns);
            flow.needs[self.output(node)] = learns || above;
        }
        flow
    }

    fn backward(&self, step: usize) -> usize {
        2 * self.steps.len() + 1 - step
    }

    /// Lives in `mode`, with gradients as far as they flow; `recompute` as in
    /// [`super::plan::Plan::recomputing`].
    pub fn lives(&self, mode: Mode, flow: &Flow, recompute: bool) -> Lives {
        let mut all = self.activations(flow);
        let again = if recompute { self.shorten(&mut all, flow) } else { Vec::new() };
        let mut lives = Lives {
            all,
            gradient_of: (0..self.nodes.len()).collect(),
            gradients: vec![Vec::new(); self.steps.len()],
            again: vec![Vec::new(); self.steps.len()],
        };
        for Again { tensor, writer, readers: [first, last] } in again {
            let geometry = lives.all[tensor].geometry;
            let (from, to) = (self.backward(last), self.backward(first));
            lives.all.push(Life { of: Of::Again(tensor), geometry, from, to });
            lives.again[last].push(writer);
        }
        let mut gradients = vec![None; self.nodes.len()];
        if mode != Mode::Evaluate {
            gradients = self.gradients(flow);
            self.hand_on(&mut gradients, &mut lives, flow);
        }
        lives.all.extend(gradients.into_iter().flatten());
        lives
    }

    /// Whether the backward pass of a step reads input `i`.
    fn reads_back(&self, step: usize, i: usize, flow: &Flow) -> bool {
        match self.op(self.steps[step]) {
            Op::Conv { .. } | Op::Linear { .. } => flow.learns[step],
            Op::MaxPool { .. } | Op::Gelu => flow.hands(self, step, i),
            op if makes_together(op) => i == 0 && flow.hands(self, step, i),
            _ => false,
        }
    }

    fn activations(&self, flow: &Flow) -> Vec<Life> {
        let life = |tensor| Life {
            of: Of::Activation,
            geometry: Blocked::new(self.shape(tensor), self.activation_halo[tensor]),
            from: 0,
            to: 0,
        };
        let mut lives: Vec<Life> = (0..self.nodes.len()).map(life).collect();
        for (step, &node) in self.steps.iter().enumerate() {
            let (op, output, inputs) = (self.op(node), self.output(node), self.inputs(node));
            lives[output].from = step + 1;
            // A batch norm asks its input whether the rectifier was open, unless something was added.
            let asks_input = matches!(op, Op::BatchNorm { .. }) && inputs.len() == 1;
            let rectified = *op == Op::Relu || (self.relu[output] && !asks_input);
            let closes = rectified && flow.needs[output];
            let to = if closes { self.backward(step) } else { step + 1 };
            lives[output].to = lives[output].to.max(to);
            for (i, input) in inputs.into_iter().enumerate() {
                let to =
                    if self.reads_back(step, i, flow) { self.backward(step) } else { step + 1 };
                lives[input].to = lives[input].to.max(to);
            }
        }
        let last = self.last();
        lives[last].to = lives[last].to.max(self.steps.len() + 1);
        lives
    }

    /// Ends the lives of what batch norms write, and can write again, after the forward pass.
    /// Returns those that the backward pass reads.
    fn shorten(&self, lives: &mut [Life], flow: &Flow) -> Vec<Again> {
        let (mut ends, mut readers) = (vec![0; lives.len()], vec![None; lives.len()]);
        for (step, &node) in self.steps.iter().enumerate() {
            for (i, input) in self.inputs(node).into_iter().enumerate() {
                ends[input] = step + 1;
                if self.reads_back(step, i, flow) {
                    let [first, _] = readers[input].unwrap_or([step, step]);
                    readers[input] = Some([first, step]);
                }
            }
        }
        let (mut again, mut gone) = (Vec::new(), vec![false; lives.len()]);
        for (writer, &node) in self.steps.iter().enumerate() {
            let (tensor, inputs) = (self.output(node), self.inputs(node));
            let is_norm = matches!(self.op(node), Op::BatchNorm { .. }) && inputs.len() == 1;
            // What is gone itself cannot be normalised again, and what does not learn keeps nothing.
            let kept = self.reads_back(writer, 0, flow) && !gone[inputs[0]];
            if is_norm && kept && tensor != self.last() {
                gone[tensor] = true;
                lives[tensor].to = ends[tensor];
                again.extend(readers[tensor].map(|readers| Again { tensor, writer, readers }));
            }
        }
        again
    }

    /// A gradient for each tensor that one flows through, by tensor.
    fn gradients(&self, flow: &Flow) -> Vec<Option<Life>> {
        let mut gradients: Vec<Option<Life>> = vec![None; self.nodes.len()];
        let life = |tensor: usize, at: usize| {
            let halo = if flow.needs[tensor] { self.gradient_halo[tensor] } else { [0, 0] };
            let geometry = Blocked::new(self.shape(tensor), halo);
            Life { of: Of::Gradient(tensor), geometry, from: at, to: at }
        };
        for (step, &node) in self.steps.iter().enumerate() {
            let (at, output) = (self.backward(step), self.output(node));
            for (i, input) in self.inputs(node).into_iter().enumerate() {
                if flow.hands(self, step, i) {
                    // Only what makes its own along hands one to a tensor that has none.
                    let life = gradients[input].get_or_insert_with(|| life(input, at));
                    life.from = life.from.min(at);
                }
            }
            if flow.needs[output] {
                gradients[output] = Some(life(output, at));
            }
        }
        // The loss writes it, even where nobody learns.
        let (last, loss) = (self.last(), self.steps.len() + 1);
        gradients[last].get_or_insert_with(|| life(last, loss)).from = loss;
        gradients
    }

    /// Says how each step hands gradients to its inputs. Where it would copy one as the input's
    /// first, both are one tensor: whoever adds to it later does so after its last other reader.
    fn hand_on(&self, gradients: &mut [Option<Life>], lives: &mut Lives, flow: &Flow) {
        let mut written = vec![false; self.nodes.len()];
        for (step, &node) in self.steps.iter().enumerate().rev() {
            let root = lives.gradient_of[self.output(node)];
            let mut given = false;
            for (i, input) in self.inputs(node).into_iter().enumerate() {
                if !flow.hands(self, step, i) {
                    lives.gradients[step].push(Handing::Nothing);
                    continue;
                }
                let first = !std::mem::replace(&mut written[input], true);
                let copies = match self.op(node) {
                    Op::Add | Op::Relu | Op::Position => true,
                    Op::BatchNorm { .. } => i == 1,
                    _ => false,
                };
                let place = |life: &Option<Life>| life.as_ref().map(|life| life.geometry);
                let fits = place(&gradients[input]) == place(&gradients[root]);
                if !(first && copies && fits) || given {
                    lives.gradients[step].push(if first { Handing::Write } else { Handing::Add });
                    continue;
                }
                given = true;
                lives.gradients[step].push(Handing::Same);
                lives.gradient_of[input] = root;
                let own = gradients[input].take();
                if let (Some(root), Some(own)) = (&mut gradients[root], own) {
                    (root.from, root.to) = (root.from.min(own.from), root.to.max(own.to));
                }
            }
        }
    }
}

/// Gives each life a start in the arena. Returns starts and the arena's size: the smallest that one
/// of a few orders gives, for none is the best with every network.
pub(super) fn give_out(lives: &[Life], sizes: &[usize]) -> (Vec<usize>, usize) {
    let span = |i: usize| lives[i].to - lives[i].from;
    let keys: [&dyn Fn(usize) -> (usize, usize); 4] =
        [&|i| (sizes[i], 0), &|i| (sizes[i], span(i)), &|i| (span(i), sizes[i]), &|i| {
            (span(i).saturating_mul(sizes[i]), 0)
        }];
    let given = keys.map(|key| {
        let mut order: Vec<usize> = (0..lives.len()).collect();
        order.sort_by_key(|&i| (Reverse(key(i)), i));
        give_out_by(&order, lives, sizes)
    });
    given.into_iter().min_by_key(|(_, end)| *end).unwrap_or_default()
}

/// Gives each life, in `order`, the lowest place that is free for as long as it lives.
fn give_out_by(order: &[usize], lives: &[Life], sizes: &[usize]) -> (Vec<usize>, usize) {
    let mut starts = vec![0; lives.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut end = 0;
    for &i in order {
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
