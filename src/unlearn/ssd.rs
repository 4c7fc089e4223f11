//! Selective synaptic dampening: weights that matter to what is forgotten much more than to everything
//! are made smaller.
//!
//! With `F_f` the diagonal of the empirical Fisher information over the samples to forget and `F_d` over all
//! samples, a weight with `F_f > select * F_d` is multiplied by `min(damp * F_d / F_f, 1)`. Nothing is trained,
//! and no other weight moves.
//!
//! # Source
//! Foster, Schoepf, Brintrup, *Fast Machine Unlearning Without Retraining Through Selective Synaptic
//! Dampening*, AAAI 2024: equations 6 and 7; 10 and 1 are its values for a class of CIFAR.
//!
//! # Where we differ
//! - Its code squares gradients of whole batches, which mixes samples; these are of single samples,
//!   by signs ([`Ssd::draws`]).
//! - A weight that does not exist has no importance, and none comes back.

use serde::{Deserialize, Serialize};

use super::closed::{Closed, Halt, Slope, above_zero, to_forget};
use super::diagonal::{Asked, Labels, diagonal};
use super::method::Given;
use crate::sparse::LANES;
use crate::train::{Recipe, TrainError};

/// Selective synaptic dampening.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ssd {
    /// How many times more a weight matters to what is forgotten, to be chosen (`alpha` of the paper).
    pub select: f32,
    /// How strongly a chosen weight is damped (`lambda` of the paper): less is stronger.
    pub damp: f32,
    /// Passes back for sixteen samples; 0 takes one for each sample and is exact.
    pub draws: usize,
}

impl Default for Ssd {
    fn default() -> Self {
        Self { select: 10.0, damp: 1.0, draws: 4 }
    }
}

impl Ssd {
    /// The steps that this method takes, for plans: it has no rate.
    pub fn recipe(&self, seed: u64) -> Recipe {
        let batch = if self.draws == 0 { 1 } else { LANES };
        Recipe { epochs: 1, batch, frozen_norm: true, seed, ..Recipe::default() }
    }
}

impl Closed for Ssd {
    fn check(&self) -> Result<(), TrainError> {
        above_zero("select", self.select)?;
        above_zero("damp", self.damp)
    }

    fn passes(&self) -> usize {
        2
    }

    fn moved(&self, slope: &mut Slope<'_>, given: Given<'_>, seed: u64) -> Result<Vec<f32>, Halt> {
        let forget = to_forget(given)?;
        let asked = |stream| Asked { labels: Labels::True, draws: self.draws, seed, stream };
        let gone = diagonal(slope, forget, asked("ssd/forget"))?;
        let kept = diagonal(slope, given.retain, asked("ssd/retain"))?;
        let all = (forget.len() + given.retain.len()) as f64;
        let [share, rest] = [forget.len() as f64 / all, given.retain.len() as f64 / all];
        let mut values = slope.network.values.clone();
        for ((value, gone), kept) in values.iter_mut().zip(gone).zip(kept) {
            let of_all = share * gone + rest * kept;
            if gone > f64::from(self.select) * of_all {
                *value *= (f64::from(self.damp) * of_all / gone).min(1.0) as f32;
            }
        }
        Ok(values)
    }
}
