//! The share of a population over which a sample stands out.
//!
//! # Source
//! Zarifzadeh, Liu, Shokri, *Low-Cost High-Power Membership Inference Attacks*, ICML 2024, offline
//! form: reference models that did not see the sample, and samples `z` that nobody learnt. Defaults are
//! those of their released code (`ml_privacy_meter`).
//!
//! # Where we differ
//! The released code averages the largest half of the reference models' probabilities of a `z`, which
//! raises them; we average all.

use serde::{Deserialize, Serialize};

use super::{EvaluateError, Shadows, finite, matrix, share};

/// A probability is not taken to be smaller where it divides.
const FLOOR: f64 = 1e-30;

/// The settings of the attack.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rmia {
    /// A likelihood ratio above this counts. 1 in the released code.
    pub gamma: f64,
    /// How models that did not see a sample stand for all: `p(x) = ((1 + a) p_out(x) + 1 - a) / 2`,
    /// `a` from 0 to 1. 0.3 in the released code, for CIFAR-10.
    pub offline_a: f64,
}

impl Default for Rmia {
    fn default() -> Self {
        Self { gamma: 1.0, offline_a: 0.3 }
    }
}

impl Rmia {
    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// [`EvaluateError::BadSetting`] names the first.
    pub fn check(&self) -> Result<(), EvaluateError> {
        let bad = |name, value, expected| Err(EvaluateError::BadSetting { name, value, expected });
        if !(self.gamma.is_finite() && self.gamma > 0.0) {
            return bad("gamma", self.gamma, "a finite number above 0");
        }
        if !(0.0..=1.0).contains(&self.offline_a) {
            return bad("offline_a", self.offline_a, "a number from 0 to 1");
        }
        Ok(())
    }

    /// `p(x)` from the mean of the models that did not see `x`.
    fn marginal(&self, outside: f64) -> f64 {
        (0.5 * ((1.0 + self.offline_a) * outside + 1.0 - self.offline_a)).max(FLOOR)
    }
}

/// The attack on one model: for each sample `x` the share of the population's `z` with
/// `[p(x | target) / p(x)] / [p(z | target) / p(z)] > gamma`. Between 0 and 1; higher speaks for a
/// member.
///
/// `target` and `references` hold probabilities of the true label, of the same samples;
/// `population_target` and `population` those of the population, which no model learnt: one row in the
/// first, one row a reference model in the second. Deterministic; sums in the models' order.
///
/// # Errors
/// If a matrix has another size, a value is no probability, the population is empty, a setting makes
/// no sense, or a sample was seen by every reference model.
pub fn rmia(
    target: &[f64],
    references: &Shadows,
    population_target: &[f64],
    population: &[f64],
    settings: Rmia,
) -> Result<Vec<f64>, EvaluateError> {
    settings.check()?;
    let (models, samples) = (references.models, references.samples);
    matrix("the target's probabilities", target, 1, samples, share)?;
    matrix("reference probabilities", &references.values, models, samples, share)?;
    let size = population_target.len();
    matrix("the target's probabilities of the population", population_target, 1, size, share)?;
    matrix("reference probabilities of the population", population, models, size, share)?;
    let beaten = |z: usize| {
        let mean = (0..models).map(|model| population[model * size + z]).sum::<f64>();
        let own = population_target[z].max(FLOOR);
        settings.gamma * own / settings.marginal(mean / models as f64)
    };
    let mut bars: Vec<f64> = (0..size).map(beaten).collect();
    bars.sort_by(f64::total_cmp);
    let score = |(sample, &own): (usize, &f64)| {
        let outside = references.column(sample, false).count();
        if outside == 0 {
            let inside = models;
            return Err(EvaluateError::TooFewShadows { sample, inside, outside, least: 1 });
        }
        let mean = references.column(sample, false).sum::<f64>() / outside as f64;
        let ratio = own / settings.marginal(mean);
        Ok(bars.partition_point(|&bar| bar < ratio) as f64 / size as f64)
    };
    let scores = target.iter().enumerate().map(score).collect::<Result<Vec<_>, _>>()?;
    matrix("scores", &scores, 1, samples, finite)?;
    Ok(scores)
}
