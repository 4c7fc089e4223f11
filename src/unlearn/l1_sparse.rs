//! l1-sparse unlearning: fine-tuning over the retained samples under an l1 penalty.
//!
//! `theta_u = argmin L(theta; retain) + gamma * |theta|_1`, `gamma` falling linearly from `alpha`.
//!
//! # Source
//! Jia et al., *Model Sparsity Can Simplify Machine Unlearning*, NeurIPS 2023, and its released
//! code (`FT_l1`): 10 epochs at a constant rate of 0.01, over all parameters, biases and batch norm
//! included. Alpha of 1e-4 is the value in the code's history and in third-party runs; the released
//! default of 0.2 destroys a model.
//!
//! # Where we differ
//! - A weight that a mask removed takes no part: neither penalty, decay nor momentum brings it back.
//! - [`L1Form::Proximal`] applies the penalty as a soft threshold, which makes true zeros; they then
//!   leave the mask and the file. The subgradient form of the paper makes none.
//! - [`L1Form::TowardsBase`] penalises the distance to the model that is given, so that weights
//!   return to it exactly: for overlays over a base that never knew the forgotten.

use super::fine_tune::FineTune;
use crate::train::{L1Form, L1Reach, L1Recipe, L1Schedule, Recipe};
use serde::{Deserialize, Serialize};

/// l1-sparse unlearning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct L1Sparse {
    /// The fine-tuning under the penalty.
    pub tuning: FineTune,
    /// Strength of the penalty at its strongest.
    pub alpha: f32,
    /// What it does to a weight.
    pub form: L1Form,
    /// Its strength over the epochs.
    pub strength: L1Schedule,
    /// Which weights it reaches.
    pub reach: L1Reach,
    /// Last epochs without it.
    pub free_epochs: usize,
}

impl Default for L1Sparse {
    fn default() -> Self {
        Self {
            tuning: FineTune::default(),
            alpha: 1e-4,
            form: L1Form::Subgradient,
            strength: L1Schedule::Decaying,
            reach: L1Reach::All,
            free_epochs: 0,
        }
    }
}

impl L1Sparse {
    /// The run that this method is.
    pub fn recipe(&self, seed: u64) -> Recipe {
        let l1 = L1Recipe {
            alpha: self.alpha,
            form: self.form,
            schedule: self.strength,
            reach: self.reach,
            free_epochs: self.free_epochs,
        };
        Recipe { l1, ..self.tuning.recipe(seed) }
    }
}
