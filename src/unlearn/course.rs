//! What a method that learns in steps works with.

use super::method::Given;
use crate::base::rng::Stream;
use crate::data::Dataset;
use crate::model::Network;
use crate::train::{Compute, Recipe, Stepper, TrainError, check};

/// What a method that learns in steps works with.
#[derive(Clone, Copy)]
pub(super) struct Course<'a> {
    /// The run.
    pub recipe: &'a Recipe,
    /// The network before it forgets.
    pub original: &'a Network,
    /// The samples.
    pub given: Given<'a>,
    /// How it computes.
    pub compute: Compute,
}

impl<'a> Course<'a> {
    /// The samples to forget.
    ///
    /// # Errors
    /// If they were not given.
    pub(super) fn forget(&self) -> Result<&'a Dataset, TrainError> {
        self.given.forget.ok_or_else(|| wrong("forget", "missing", "the samples to forget"))
    }

    /// The seed of order and augmentation over the samples to forget: other draws than for those that
    /// are kept.
    pub(super) fn forget_seed(&self) -> u64 {
        Stream::new(self.recipe.seed, "forget").word()
    }

    /// A stepper for batches of `sets`, each alone.
    ///
    /// # Errors
    /// As [`check`].
    pub(super) fn stepper(
        &self,
        network: &Network,
        sets: &[&Dataset],
    ) -> Result<Stepper<'a>, TrainError> {
        check(network, self.recipe, sets)?;
        let largest = sets.iter().map(|set| set.len()).max().unwrap_or(1);
        let batch = self.recipe.batch.min(largest);
        Ok(Stepper::new(network, batch, self.recipe, None, self.compute))
    }
}

/// A number of a method that makes no sense.
pub(super) fn wrong(
    field: &'static str,
    found: impl ToString,
    expected: &'static str,
) -> TrainError {
    TrainError::Recipe { field, found: found.to_string(), expected }
}
