//! Steps of transformers by launches on a device, as [`crate::model::tokens`] takes them.

use super::walk::Walk;
use crate::model::plan::{Handing, Plan, StepPlan, Work};
use crate::sparse::cuda::{
    self, Address, Attention, AttentionBackward, CudaError, RowNorm, RowNormBackward, Tensor,
};

/// The attention of a step, without places.
fn attention(plan: &Plan, step: &StepPlan) -> Option<Attention> {
    let Work::Attention { heads, windows, .. } = &step.work else { return None };
    Some(Attention::new(*heads, plan.shape(step.output), windows))
}

/// Values of the scratch that a step needs, for engines that learn or do not.
pub(super) fn scratch(plan: &Plan, step: &StepPlan, learns: bool) -> usize {
    let [channels, height, width] = plan.shape(step.inputs[0]);
    match step.work {
        Work::LayerNorm { .. } if learns => RowNorm::scratch(plan.batch * height * width, channels),
        _ => attention(plan, step).map_or(0, |attention| attention.scratch(plan.batch, learns)),
    }
}

/// Whether launches can count what a step of a transformer has to; others are none of ours.
pub(super) fn fits(plan: &Plan, step: &StepPlan) -> bool {
    match step.work {
        Work::LayerNorm { .. } | Work::Gelu | Work::Position { .. } | Work::SpaceToDepth { .. } => {
            // What goes in is as large as what comes out.
            let size =
                plan.shape(step.inputs[0]).into_iter().try_fold(plan.batch, usize::checked_mul);
            size.is_some_and(|size| i32::try_from(size).is_ok())
        }
        _ => attention(plan, step).is_none_or(|attention| attention.fits(plan.batch)),
    }
}

impl Walk<'_> {
    /// The attention of a step, with its places.
    fn attention(&self, step: &StepPlan) -> Option<Attention> {
        let Work::Attention { bias, .. } = &step.work else { return None };
        let bias = bias.map_or(Address::default(), |bias| self.value(bias));
        let scratch = self.places.partials;
        Some(Attention { bias, scratch, ..attention(self.plan, step)? })
    }

    fn row_norm(&self, scale: usize, epsilon: f32) -> RowNorm {
        RowNorm { scale: self.value(scale), shift: self.value(scale + 1), epsilon }
    }

    /// Runs a step forward.
    pub(super) fn tokens_forward(
        &mut self,
        step: &StepPlan,
        x: Tensor,
        y: Tensor,
    ) -> Result<(), CudaError> {
        match &step.work {
            &Work::LayerNorm { scale, epsilon } => {
                self.row_norm(scale, epsilon).forward(self.machine, x, y)
            }
            Work::Gelu => cuda::gelu(self.machine, x, y),
            &Work::Position { added, .. } => {
                let added = self.value(added);
                cuda::add_position(self.machine, x, added, y)
            }
            &Work::SpaceToDepth { side } => cuda::merge(self.machine, x, y, side),
            _ => match self.attention(step) {
                Some(attention) => attention.forward(self.machine, x, y),
                None => Ok(()),
            },
        }
    }

    /// The gradients of a layer norm's or an attention's parameters, and of what it reads.
    pub(super) fn tokens_backward(&mut self, step: &StepPlan, dy: Tensor) -> Result<(), CudaError> {
        let Some(dx) = self.gradient(step.inputs[0]) else { return Ok(()) };
        let x = self.kept(step.inputs[0]);
        let accumulate = step.gradients[0] == Handing::Add;
        let scratch = self.places.partials;
        match step.work {
            Work::LayerNorm { scale, epsilon } => {
                let parameters =
                    self.learns(scale).then(|| [self.slope(scale), self.slope(scale + 1)]);
                let to = RowNormBackward { x, dy, dx, parameters, accumulate, scratch };
                self.row_norm(scale, epsilon).backward(self.machine, &to)
            }
            Work::Attention { bias, learns, .. } => {
                let Some(attention) = self.attention(step) else { return Ok(()) };
                let dbias = bias.filter(|_| learns).map(|bias| self.slope(bias));
                let to = AttentionBackward { x, dy, dx, dbias, accumulate };
                attention.backward(self.machine, &to)
            }
            _ => Ok(()),
        }
    }

    /// The gradient of the input of a step that has no other, or whose parameters have theirs.
    pub(super) fn tokens_input_gradient(
        &mut self,
        step: &StepPlan,
        dy: Tensor,
        dx: Tensor,
    ) -> Result<(), CudaError> {
        let accumulate = step.gradients[0] == Handing::Add;
        match step.work {
            Work::Gelu => {
                let x = self.kept(step.inputs[0]);
                cuda::gelu_backward(self.machine, x, dy, dx, accumulate)
            }
            Work::Position { .. } => cuda::copy_or_add(self.machine, dy, dx, accumulate),
            Work::SpaceToDepth { side } => {
                cuda::merge_backward(self.machine, dy, dx, side, accumulate)
            }
            _ => Ok(()),
        }
    }
}
