//! Steps of transformers: norms of places, positions, attention, and what else goes place by place.

use super::network::Network;
use super::plan::{Handing, StepPlan, Work};
use super::walk::Walk;
use crate::sparse::{
    Attention, AttentionGradients, LayerNorm, LayerNormGradients, Merge, add_position, gelu,
};

impl Walk<'_> {
    /// Runs a step forward; the halo of its output is clear.
    pub(super) fn tokens_forward(&mut self, step: &StepPlan, network: &Network) {
        let (blocks, isa) = (self.blocks(), self.isa);
        let (from, to) = (self.activation(step.inputs[0]), self.activation(step.output));
        let (input, output) = (from.geometry, to.geometry);
        let [x, y] = self.arena.parts([from.of(blocks), to.of(blocks)]);
        let x = &*x;
        match &step.work {
            &Work::LayerNorm { scale, epsilon } => {
                let affine = [network.packed(scale), network.packed(scale + 1)];
                LayerNorm { input, epsilon }.forward(isa, x, affine, (y, output));
            }
            Work::Gelu => gelu(isa, (x, input), (y, output)),
            &Work::Position { added, .. } => {
                add_position(isa, (x, input), network.packed(added), (y, output));
            }
            Work::Attention { heads, windows, bias, .. } => {
                let bias = bias.map(|bias| network.packed(bias));
                let attention = Attention { input, output, heads: *heads, windows };
                attention.forward(isa, x, bias, y);
            }
            &Work::SpaceToDepth { side } => Merge { input, output, side }.forward(x, y),
            _ => {}
        }
    }

    /// The gradients of a layer norm's or an attention's parameters, and of what it reads.
    pub(super) fn tokens_backward(
        &mut self,
        step: &StepPlan,
        network: &Network,
        gradient: &mut [f32],
    ) {
        let (blocks, isa) = (self.blocks(), self.isa);
        let x = self.plan.tensors[step.inputs[0]].kept();
        let Some((dx, dy)) = self.gradient(step.inputs[0]).zip(self.gradient(step.output)) else {
            return;
        };
        let input = x.geometry;
        let accumulate = step.gradients[0] == Handing::Add;
        let [x, dy_values, dx_values] =
            self.arena.parts([x.of(blocks), dy.of(blocks), dx.of(blocks)]);
        if dx.shared && !accumulate {
            dx.geometry.clear_halo(dx_values);
        }
        let (dy, dx) = ((&*dy_values, dy.geometry), (dx_values, dx.geometry));
        match &step.work {
            &Work::LayerNorm { scale, epsilon } => {
                let [dscale, dshift] =
                    [scale, scale + 1].map(|parameter| self.plan.gradient_of(network, parameter));
                let (before, after) = gradient.split_at_mut(dshift.start);
                let (dscale, dshift) = (&mut before[dscale], &mut after[..dshift.len()]);
                let to = LayerNormGradients { dy, dscale, dshift, dx, accumulate };
                LayerNorm { input, epsilon }.backward(isa, x, network.packed(scale), to);
            }
            Work::Attention { heads, windows, bias, learns } => {
                let dbias = bias.filter(|_| *learns).map(|b| self.plan.gradient_of(network, b));
                let dbias = dbias.map(|range| &mut gradient[range]);
                let bias = bias.map(|bias| network.packed(bias));
                let output = self.plan.tensors[step.output].activation.geometry;
                let attention = Attention { input, output, heads: *heads, windows };
                let to = AttentionGradients { dy, dx, accumulate, dbias };
                attention.backward(isa, x, bias, to);
            }
            _ => {}
        }
    }
}
