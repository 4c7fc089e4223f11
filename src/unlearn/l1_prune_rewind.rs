//! The first form of l1-sparse unlearning: the penalty chooses a mask, and the model learns under it anew.
//!
//! 1. Fine-tuning over the retained samples under a decaying l1 penalty, as [`super::L1Sparse`], for
//!    `l1_epochs` epochs.
//! 2. The prunable weights that are smallest then, over all tensors together, leave, up to `sparsity`.
//! 3. Those that stay go back to what they were before step 1, with biases, batch norms and running
//!    statistics, and without momentum.
//! 4. Fine-tuning for the other epochs of `tuning`.
//!
//! # Source
//! `FT_prune` in the first commits of the code of Jia et al., NeurIPS 2023 (January 2023); the released method
//! of that name prunes nothing. Its numbers are not stated: 5 of 10 epochs under the penalty and a sparsity
//! of 0.95 are ours.

use super::course::{Course, wrong};
use super::fine_tune::FineTune;
use super::prune_while::{further, thinner};
use crate::prune::Criterion;
use crate::train::{
    EpochReport, L1Recipe, Objective, Pass, Recipe, State, TrainError, Watch, epochs,
};
use serde::{Deserialize, Serialize};

/// An l1 penalty chooses a mask; the original weights learn under it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct L1PruneRewind {
    /// Both fine-tunings together.
    pub tuning: FineTune,
    /// Strength of the penalty at its strongest.
    pub alpha: f32,
    /// Epochs under it, the first ones.
    pub l1_epochs: usize,
    /// Share of all prunable weights that is gone at the end.
    pub sparsity: f64,
}

impl Default for L1PruneRewind {
    fn default() -> Self {
        Self { tuning: FineTune::default(), alpha: 1e-4, l1_epochs: 5, sparsity: 0.95 }
    }
}

impl L1PruneRewind {
    /// The run that this method is.
    pub fn recipe(&self, seed: u64) -> Recipe {
        let free_epochs = self.tuning.epochs.saturating_sub(self.l1_epochs);
        let l1 = L1Recipe { alpha: self.alpha, free_epochs, ..L1Recipe::OFF };
        Recipe { l1, ..self.tuning.recipe(seed) }
    }

    pub(super) fn run(
        &self,
        state: &mut State,
        course: Course<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Vec<EpochReport>, TrainError> {
        if self.l1_epochs == 0 || self.l1_epochs >= self.tuning.epochs {
            return Err(wrong("l1_epochs", self.l1_epochs, "1 or more, fewer than `epochs`"));
        }
        further(course.original, self.sparsity)?;
        let sets = [course.given.retain];
        let seed = course.recipe.seed;
        let pass = Pass { sets: &sets, seed, batch: course.recipe.batch };
        let mut stepper = course.stepper(&state.network, &sets)?;
        epochs(state, course.recipe, watch, |state, epoch| {
            if epoch.number == self.l1_epochs {
                let kept = thinner(&state.network, self.sparsity, Criterion::Magnitude, seed)?;
                let epoch = state.epoch;
                *state = State { epoch, ..State::new(course.original.clone()) };
                state.set_masks(kept);
                stepper = course.stepper(&state.network, &sets)?;
            }
            epoch.of = sets[0].len();
            epoch.pass(pass, &mut stepper, state, |stepper, network, batch| {
                stepper.add_batch(network, batch, &batch.labels(), Objective::PLAIN)
            })
        })
    }
}
