//! Pruning while unlearning: weights leave between epochs of fine-tuning over the retained samples, or of
//! gradient ascent on the samples to forget.
//!
//! With `E` epochs there are `n = floor(E / 2)` events, at the start of those epochs `e`, from 0, for which
//! `E - e` is even. A model of which a share `s0` of the prunable weights is gone keeps, after event `k` of
//! `n`, `(1 - s0) * ((1 - sparsity) / (1 - s0))^(k / n)` of them: each event removes the same share of
//! what is left. Scores rank all prunable tensors together.
//!
//! # Source
//! `FT_prune_bi` of the code of Jia et al., NeurIPS 2023 (AO-sparse in its first README), there with 5 events
//! in 10 epochs; magnitude, or a random choice. With `ascend`, `GA_prune_bi` of that code's early history: the same
//! events, between epochs up the loss of what is forgotten (see [`super::GradientAscent`] for its rates, which are
//! a hundredth of fine-tuning's).
//!
//! # Where we differ
//! - For an odd `E` the released code counts one event more than it has, and ends above its target: of 9
//!   epochs, 4 events by the fifth root. Here the root is that of the events that there are.
//! - `sparsity` is the share of all prunable weights that is gone at the end, whatever was gone before;
//!   there it is the share of what was left.
//! - What left exists no more: its momentum goes too, and the file shrinks.

use super::course::{Course, wrong};
use super::fine_tune::FineTune;
use crate::base::rng::Stream;
use crate::model::Network;
use crate::prune::{Allocation, Criterion, masks};
use crate::sparse::Mask;
use crate::train::{EpochReport, Objective, Pass, State, TrainError, Watch, epochs};
use serde::{Deserialize, Serialize};

/// Fine-tuning or ascent, with weights that leave between epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PruneWhile {
    /// The steps between events.
    pub tuning: FineTune,
    /// Whether they go up the loss of the samples to forget, not down that of those that are kept.
    pub ascend: bool,
    /// Share of all prunable weights that is gone at the end.
    pub sparsity: f64,
    /// What makes a weight worth keeping: magnitude, or random.
    pub criterion: Criterion,
}

impl Default for PruneWhile {
    fn default() -> Self {
        let (tuning, criterion) = (FineTune::default(), Criterion::Magnitude);
        Self { tuning, ascend: false, sparsity: 0.95, criterion }
    }
}

impl PruneWhile {
    /// The sparsity after the event at the start of `epoch`, from 0, of a model that began at `before`;
    /// `None` where there is no event.
    pub fn event(&self, epoch: usize, before: f64) -> Option<f64> {
        let (epochs, count) = (self.tuning.epochs, self.tuning.epochs / 2);
        if epoch >= epochs || (epochs - epoch) % 2 == 1 {
            return None;
        }
        let done = (epoch / 2 + 1) as f64 / count as f64;
        // The last event is the target itself, without the rounding of a power.
        if done == 1.0 {
            return Some(self.sparsity);
        }
        Some(1.0 - (1.0 - before) * ((1.0 - self.sparsity) / (1.0 - before)).powf(done))
    }

    pub(super) fn run(
        &self,
        state: &mut State,
        course: Course<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Vec<EpochReport>, TrainError> {
        if self.tuning.epochs < 2 {
            return Err(wrong("epochs", self.tuning.epochs, "2 or more, to prune between them"));
        }
        further(course.original, self.sparsity)?;
        let (before, seed) = (course.original.sparsity(), course.recipe.seed);
        let (sets, order, weight) = match self.ascend {
            true => ([course.forget()?], course.forget_seed(), -1.0),
            false => ([course.given.retain], seed, 1.0),
        };
        let pass = Pass { sets: &sets, seed: order, batch: course.recipe.batch };
        let mut stepper = course.stepper(&state.network, &sets)?;
        epochs(state, course.recipe, watch, |state, epoch| {
            if let Some(sparsity) = self.event(epoch.number, before) {
                let seed = Stream::new(seed, &format!("prune-while/{}", epoch.number)).word();
                let kept = thinner(&state.network, sparsity, self.criterion, seed)?;
                state.set_masks(kept);
                // A plan holds the masks of its making.
                stepper = course.stepper(&state.network, &sets)?;
            }
            epoch.of = sets[0].len();
            epoch.pass(pass, &mut stepper, state, |stepper, network, batch| {
                stepper.add_batch(network, batch, &batch.labels(), Objective::times(weight))
            })
        })
    }
}

/// Refuses a sparsity that `network` is beyond, or that is none.
pub(super) fn further(network: &Network, sparsity: f64) -> Result<(), TrainError> {
    if !(sparsity > 0.0 && sparsity < 1.0) {
        return Err(wrong("sparsity", sparsity, "a share above 0, below 1"));
    }
    if sparsity <= network.sparsity() {
        let found = format!("{sparsity}, of a model that is at {}", network.sparsity());
        return Err(wrong("sparsity", found, "more than the model has"));
    }
    Ok(())
}

/// The masks that leave a share `1 - sparsity` of the prunable weights, ranked over all tensors.
pub(super) fn thinner(
    network: &Network,
    sparsity: f64,
    criterion: Criterion,
    seed: u64,
) -> Result<Vec<Mask>, TrainError> {
    let kept = masks(network, sparsity, Allocation::Global, criterion, seed);
    kept.map_err(|fault| TrainError::Prune(fault.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(epochs: usize, sparsity: f64, before: f64) -> Vec<(usize, f64)> {
        let tuning = FineTune { epochs, ..FineTune::default() };
        let method = PruneWhile { tuning, sparsity, ..PruneWhile::default() };
        (0..epochs).filter_map(|e| Some((e, method.event(e, before)?))).collect()
    }

    #[test]
    fn events_are_at_every_second_epoch_and_end_at_the_target() {
        let even = events(10, 0.95, 0.0);
        assert_eq!(even.iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>(), [0, 2, 4, 6, 8]);
        // Each removes 1 - 0.05^(1/5) = 45.07 % of what is left, as in the released code.
        let share = 1.0 - 0.05f64.powf(0.2);
        for (k, (_, sparsity)) in even.iter().enumerate() {
            let expected = 1.0 - (1.0 - share).powi(k as i32 + 1);
            assert!((sparsity - expected).abs() < 1e-12, "event {k}: {sparsity} for {expected}");
        }
        // Four events, by the fourth root: the released code takes the fifth, and ends at 90.9 %.
        let odd = events(9, 0.95, 0.0);
        assert_eq!(odd.iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>(), [1, 3, 5, 7]);
        assert!((odd[0].1 - (1.0 - 0.05f64.powf(0.25))).abs() < 1e-12);
        assert_eq!([odd[3].1, even[4].1], [0.95; 2]);
        let further = events(4, 0.95, 0.8);
        assert!((further[0].1 - 0.9).abs() < 1e-12 && further[1].1 == 0.95, "{further:?}");
        assert!(events(1, 0.95, 0.0).is_empty());
    }
}
