//! Retraining on the retained samples, from scratch or from an early epoch: what the other methods are
//! measured against.
//!
//! With `smoothing`, a share of each label is spread evenly over all classes. With `sam`, each step goes
//! along the gradient of a place nearby where the loss is higher:
//!
//! ```text
//! g  = d L(theta) / d theta
//! e  = sam * theta^2 * g / |theta * g|_2        all products weight by weight, the norm over all weights
//! theta -= rate * (d L(theta + e) / d theta + decay * theta)          with momentum
//! ```
//!
//! # Source
//! `Retrain` of Jia et al., NeurIPS 2023: the original model's recipe, its mask, and fresh weights,
//! by default those that the original, before pruning, started from; `retrain_ls` (smoothing 0.1) and
//! `retrain_sam` (adaptive, 2.0) of its released code. Adaptive sharpness-aware minimisation: Kwon et al.,
//! *ASAM*, ICML 2021.
//!
//! # Where we differ
//! - The released `retrain_sam` makes a new optimiser each epoch, so that momentum starts at 0 and the rate
//!   never falls. Here momentum and schedule go on through all epochs.
//! - Batch norm's running statistics move by the pass at `theta`, not by the one nearby as well.
//! - [`Start::Rewound`] keeps what the early epochs learnt, of the samples to forget too: it is no
//!   retraining from scratch, and not exact.

use super::course::{Course, wrong};
use crate::model::Network;
use crate::prune::rewind;
use crate::train::{
    Batch, BatchLoss, EpochReport, Objective, Pass, Recipe, Schedule, State, Stepper, TrainError,
    Watch, epochs,
};
use serde::{Deserialize, Serialize};

/// Where the weights of a retraining come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// The initial weights of this seed; the original's seed gives the original's start.
    Seed(u64),
    /// The weights of [`super::Given::base`], which is the original after this many epochs. The schedule
    /// goes on from there.
    Rewound(usize),
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
    /// Share of each label that is spread over all classes; 0 is none, the paper's is 0.1.
    pub smoothing: f32,
    /// How far the place nearby is, in weights' own sizes; 0 is none, the paper's is 2.
    pub sam: f32,
}

impl Default for Retrain {
    fn default() -> Self {
        let Recipe { epochs, rate, schedule, batch, momentum, decay, .. } = Recipe::default();
        let (start, order, smoothing, sam) = (Start::Seed(1), 1, 0.0, 0.0);
        Self { epochs, rate, schedule, batch, momentum, decay, start, order, smoothing, sam }
    }
}

impl Retrain {
    /// A retraining as `recipe` trained, in its order, from `start`.
    pub fn like(recipe: &Recipe, start: Start) -> Self {
        let Recipe { epochs, rate, schedule, batch, momentum, decay, seed: order, .. } =
            recipe.clone();
        let (smoothing, sam) = (0.0, 0.0);
        Self { epochs, rate, schedule, batch, momentum, decay, start, order, smoothing, sam }
    }

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

    /// The network that learns, under the masks of `original`.
    pub(super) fn start(
        &self,
        original: &Network,
        base: Option<&Network>,
    ) -> Result<State, TrainError> {
        match self.start {
            Start::Seed(seed) => {
                let mut fresh = Network::new(original.description.clone(), seed);
                fresh.set_masks(original.masks());
                Ok(State::new(fresh))
            }
            Start::Rewound(epoch) => {
                let expected = "the model as it was after an early epoch";
                let base = base.ok_or_else(|| wrong("base", "missing", expected))?;
                if epoch >= self.epochs {
                    return Err(wrong("start", format!("epoch {epoch}"), "before the last epoch"));
                }
                let early = rewind(base, original.masks(), &original.description.name);
                let early = early.map_err(|fault| TrainError::Prune(fault.into()))?;
                Ok(State { epoch, ..State::new(early) })
            }
        }
    }

    pub(super) fn run(
        &self,
        state: &mut State,
        course: Course<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Vec<EpochReport>, TrainError> {
        if !(0.0..1.0).contains(&self.smoothing) {
            return Err(wrong("smoothing", self.smoothing, "0 or more, below 1"));
        }
        if !(0.0..=1e3).contains(&self.sam) {
            return Err(wrong("sam", self.sam, "between 0 and 1000"));
        }
        let sets = [course.given.retain];
        let mut stepper = course.stepper(&state.network, &sets)?;
        if self.sam > 0.0 {
            stepper = stepper.exposing();
        }
        let objective = Objective { smoothing: self.smoothing, ..Objective::PLAIN };
        let pass = Pass { sets: &sets, seed: course.recipe.seed, batch: course.recipe.batch };
        epochs(state, course.recipe, watch, |state, epoch| {
            epoch.of = sets[0].len();
            epoch.pass(pass, &mut stepper, state, |stepper, network, batch| match self.sam {
                0.0 => stepper.add_batch(network, batch, &batch.labels(), objective),
                rho => nearby(stepper, network, batch, objective, rho),
            })
        })
    }
}

/// The gradient at the place nearby; the loss is that of where the weights are.
fn nearby(
    stepper: &mut Stepper<'_>,
    network: &mut Network,
    batch: &Batch<'_>,
    objective: Objective<'_>,
    rho: f32,
) -> Result<BatchLoss, TrainError> {
    let labels = batch.labels();
    let loss = stepper.add_batch(network, batch, &labels, objective)?;
    let (values, buffers) = (network.values.clone(), network.buffers.clone());
    for (value, away) in network.values.iter_mut().zip(away(&values, stepper.gradient(), rho)) {
        *value += away;
    }
    stepper.clear();
    stepper.add_batch(network, batch, &labels, objective)?;
    (network.values, network.buffers) = (values, buffers);
    Ok(loss)
}

/// `rho * w^2 * g / |w * g|_2`, weight by weight; 0 where the norm is.
fn away(values: &[f32], gradient: &[f32], rho: f32) -> Vec<f32> {
    let pairs = || values.iter().zip(gradient);
    let square = |(w, g): (&f32, &f32)| (f64::from(*w) * f64::from(*g)).powi(2);
    let scale = f64::from(rho) / (pairs().map(square).sum::<f64>().sqrt() + 1e-12);
    let one = |(w, g): (&f32, &f32)| (f64::from(*w).powi(2) * f64::from(*g) * scale) as f32;
    pairs().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_the_place_nearby_is_the_formulas() {
        // |w * g| = |(-1, 2, 0)| = sqrt(5).
        let found = away(&[2.0, -1.0, 3.0], &[-0.5, -2.0, 0.0], 2.0);
        let scale = 2.0 / 5f32.sqrt();
        for (found, expected) in found.iter().zip([-2.0 * scale, -2.0 * scale, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
        }
        assert_eq!(away(&[2.0], &[0.0], 2.0), [0.0]);
    }
}
