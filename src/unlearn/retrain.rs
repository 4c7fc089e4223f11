//! Retraining from scratch on the retained samples: what the other methods are measured against.
//!
//! # Source
//! `Retrain` of Jia et al., NeurIPS 2023: the original model's recipe, its mask, and fresh weights,
//! by default those that
//! the original, before pruning, started from.

use crate::train::{Recipe, Schedule};
use serde::{Deserialize, Serialize};

/// Where the weights of a retraining come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// The initial weights of this seed; the original's seed gives the original's start.
    Seed(u64),
}

/// Retraining: expensive, and exact where the mask was not chosen with the forgotten samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retrain {
    /// Passes over the retained samples.
    pub epochs: usize,
    /// Learning rate at its highest.
    pub rate: f32,
    /// The rate over the epochs.
    pub schedule: Schedule,
    /// Samples in a step.
    pub batch: usize,
    /// Momentum of SGD.
    pub momentum: f32,
    /// Weight decay.
    pub decay: f32,
    /// Where the weights start.
    pub start: Start,
    /// Seed of order and augmentation, by default the original's.
    pub order: u64,
}

impl Default for Retrain {
    fn default() -> Self {
        let Recipe { epochs, rate, schedule, batch, momentum, decay, .. } = Recipe::default();
        Self { epochs, rate, schedule, batch, momentum, decay, start: Start::Seed(1), order: 1 }
    }
}

impl Retrain {
    /// The run that this method is.
    pub fn recipe(&self, seed: u64) -> Recipe {
        Recipe {
            epochs: self.epochs,
            rate: self.rate,
            schedule: self.schedule.clone(),
            batch: self.batch,
            momentum: self.momentum,
            decay: self.decay,
            seed,
            ..Recipe::default()
        }
    }
}
