//! l1-sparse unlearning in short: the penalty for the first epochs alone, then a long recovery.
//!
//! # Source
//! The l1-sparse baseline of CoUn (*Empowering Machine Unlearning via Contrastive Learning*, 2025): 50 epochs,
//! a cosine schedule, and the penalty of Jia et al. (NeurIPS 2023) in the first 4. Its authors searched rates
//! from 0.01 to 0.1 and alpha from 1e-4 to 0.1 for each task; 0.03 and 5e-4 lie within, and are ours.
//!
//! # Where we differ
//! The cosine ends at 0, theirs at 1e-4. Batch 128.

use super::fine_tune::FineTune;
use crate::train::{L1Recipe, Recipe, Schedule};
use serde::{Deserialize, Serialize};

/// l1-sparse unlearning with a short penalty and a long recovery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct L1Short {
    /// The fine-tuning.
    pub tuning: FineTune,
    /// Strength of the penalty at its strongest; it falls linearly, in the subgradient form, over all
    /// weights.
    pub alpha: f32,
    /// Epochs under it, the first ones.
    pub l1_epochs: usize,
}

impl Default for L1Short {
    fn default() -> Self {
        let schedule = Schedule::Cosine;
        let tuning = FineTune { epochs: 50, rate: 0.03, schedule, ..FineTune::default() };
        Self { tuning, alpha: 5e-4, l1_epochs: 4 }
    }
}

impl L1Short {
    /// The run that this method is.
    pub fn recipe(&self, seed: u64) -> Recipe {
        let free_epochs = self.tuning.epochs.saturating_sub(self.l1_epochs);
        let l1 = L1Recipe { alpha: self.alpha, free_epochs, ..L1Recipe::OFF };
        Recipe { l1, ..self.tuning.recipe(seed) }
    }
}
