//! Fine-tuning over the retained samples.
//!
//! # Source
//! `FT` of Jia et al., *Model Sparsity Can Simplify Machine Unlearning*, NeurIPS 2023: 10 epochs at
//! a constant rate of 0.01, momentum 0.9, weight decay 5e-4, batch 256.
//!
//! # Where we differ
//! Batch 128, as the paper's table says and its code does not.

use crate::train::{Recipe, Schedule, Trained};
use serde::{Deserialize, Serialize};

/// Fine-tuning: forgetting by not being reminded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FineTune {
    /// Passes over the retained samples.
    pub epochs: usize,
    /// Learning rate.
    pub rate: f32,
    /// The rate over the epochs.
    pub schedule: Schedule,
    /// Samples in a step.
    pub batch: usize,
    /// Momentum of SGD.
    pub momentum: f32,
    /// Weight decay.
    pub decay: f32,
    /// Which layers learn: after an adaptation of some layers, those are enough. Left out of texts
    /// where it is all.
    #[serde(skip_serializing_if = "Trained::is_all")]
    pub trained: Trained,
}

impl Default for FineTune {
    fn default() -> Self {
        Self {
            epochs: 10,
            rate: 0.01,
            schedule: Schedule::Constant,
            batch: 128,
            momentum: 0.9,
            decay: 5e-4,
            trained: Trained::All,
        }
    }
}

impl FineTune {
    /// The run that this method is.
    pub fn recipe(&self, seed: u64) -> Recipe {
        Recipe {
            epochs: self.epochs,
            rate: self.rate,
            schedule: self.schedule.clone(),
            batch: self.batch,
            momentum: self.momentum,
            decay: self.decay,
            trained: self.trained,
            seed,
            ..Recipe::default()
        }
    }
}
