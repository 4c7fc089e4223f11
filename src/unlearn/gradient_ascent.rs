//! Gradient ascent: up the loss of the samples to forget.
//!
//! `theta -= rate * (-d CE(forget batch) / d theta + decay * theta + alpha * sign(theta))`, with momentum.
//! Batch norm learns as in training, so its running statistics move towards those of the forgotten
//! samples: for a whole class that alone forgets most of it.
//!
//! # Source
//! `GA` and, with `alpha` above 0, `GA_l1` of Jia et al., NeurIPS 2023, and its released code: 5 epochs, rate
//! 1e-4, weight decay on. Its authors say (issue 5 of that code) that 1e-4 is for one class of CIFAR-10
//! under ResNet-18 alone, and that for random samples they searched from 1e-5 to 0.1 for the smallest gap
//! to retraining: there is no rate that fits all.
//!
//! # Where we differ
//! Batch 128 instead of 256, as in [`super::FineTune`]. Weights that a mask removed take no part in the l1
//! term.

use super::course::Course;
use super::fine_tune::FineTune;
use crate::train::{
    EpochReport, L1Form, L1Recipe, L1Schedule, Objective, Pass, Recipe, State, TrainError, Watch,
    epochs,
};
use serde::{Deserialize, Serialize};

/// Gradient ascent on the samples to forget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GradientAscent {
    /// The steps; passes are over the samples to forget.
    pub tuning: FineTune,
    /// Strength of an l1 penalty on all weights, the same in every epoch; 0 is none.
    pub alpha: f32,
}

impl Default for GradientAscent {
    fn default() -> Self {
        Self { tuning: FineTune { epochs: 5, rate: 1e-4, ..FineTune::default() }, alpha: 0.0 }
    }
}

impl GradientAscent {
    /// The run that this method is.
    pub fn recipe(&self, seed: u64) -> Recipe {
        let (form, schedule) = (L1Form::Subgradient, L1Schedule::Constant);
        let l1 = L1Recipe { alpha: self.alpha, form, schedule, ..L1Recipe::OFF };
        Recipe { l1, ..self.tuning.recipe(seed) }
    }

    pub(super) fn run(
        state: &mut State,
        course: Course<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Vec<EpochReport>, TrainError> {
        let sets = [course.forget()?];
        let mut stepper = course.stepper(&state.network, &sets)?;
        let pass = Pass { sets: &sets, seed: course.forget_seed(), batch: course.recipe.batch };
        epochs(state, course.recipe, watch, |state, epoch| {
            epoch.of = sets[0].len();
            epoch.pass(pass, &mut stepper, state, |stepper, network, batch| {
                stepper.add_batch(network, batch, &batch.labels(), Objective::times(-1.0))
            })
        })
    }
}
