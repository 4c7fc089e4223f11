//! NegGrad+: down the loss of what is kept and up the loss of what is forgotten, in one step.
//!
//! `theta -= rate * d (beta * CE(retain batch) - (1 - beta) * CE(forget batch)) / d theta`, with momentum and
//! decay. An epoch is one pass over the retained samples; the batches to forget go round beside them.
//! Each batch goes through the network by itself, and both move batch norm's running statistics.
//!
//! # Source
//! Kurmanji et al., *Towards Unbounded Machine Unlearning*, NeurIPS 2023, and its released code. The code
//! sets `beta` (there `alpha`) anew for each task; 0.95, 10 epochs and a rate of 0.01 are ours, and are to
//! be tuned.
//!
//! # Where we differ
//! The batches to forget are shuffled anew in every epoch, and begin again within one when they run out.

use super::course::{Course, wrong};
use super::fine_tune::FineTune;
use crate::data::Order;
use crate::train::{Batch, EpochReport, Objective, Pass, State, TrainError, Watch, epochs};
use serde::{Deserialize, Serialize};

/// Descent on what is kept, ascent on what is forgotten.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NegGradPlus {
    /// The steps; passes are over the retained samples.
    pub tuning: FineTune,
    /// Weight of the retained samples, in `[0, 1]`; the samples to forget have the rest.
    pub beta: f32,
}

impl Default for NegGradPlus {
    fn default() -> Self {
        Self { tuning: FineTune::default(), beta: 0.95 }
    }
}

impl NegGradPlus {
    pub(super) fn run(
        &self,
        state: &mut State,
        course: Course<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Vec<EpochReport>, TrainError> {
        if !(0.0..=1.0).contains(&self.beta) {
            return Err(wrong("beta", self.beta, "between 0 and 1"));
        }
        let (retain, forget) = ([course.given.retain], [course.forget()?]);
        let mut stepper = course.stepper(&state.network, &[retain[0], forget[0]])?;
        let (batch, seed, forget_seed) =
            (course.recipe.batch, course.recipe.seed, course.forget_seed());
        let augment = course.recipe.augment;
        epochs(state, course.recipe, watch, |state, epoch| {
            epoch.of = retain[0].len();
            let number = epoch.number;
            let order = Order::new(forget[0].len(), forget_seed, number);
            let mut round = order.batches(batch).collect::<Vec<_>>().into_iter().cycle();
            let pass = Pass { sets: &retain, seed, batch };
            epoch.pass(pass, &mut stepper, state, |stepper, network, batch| {
                let (down, up) = (Objective::times(self.beta), Objective::times(self.beta - 1.0));
                let loss = stepper.add_batch(network, batch, &batch.labels(), down)?;
                let indices = round.next().unwrap_or_default();
                let gone =
                    Batch { sets: &forget, indices, augment, seed: forget_seed, epoch: number };
                stepper.add_batch(network, &gone, &gone.labels(), up)?;
                Ok(loss)
            })
        })
    }
}
