//! The likelihood ratio of one sample under two normal distributions.
//!
//! # Source
//! LiRA: Carlini, Chien, Nasr, Song, Terzis, Tramèr, *Membership Inference Attacks From First
//! Principles*, S&P 2022, online form with one query. Over models that forgot what they are asked about
//! it is U-LiRA: Hayes et al., arXiv:2403.01218, 2024.
//!
//! # Where we differ
//! - With few models, their released code takes the variance of all values about one common mean, in
//!   which the difference between samples drowns that between models. [`Spread::Pooled`] takes each
//!   value about the mean of its sample.
//! - The centre is the mean, as in the paper, not the median of the released code.

use serde::{Deserialize, Serialize};

use super::{EvaluateError, Shadows, finite, matrix};

/// A variance is not taken to be smaller: where a float has no room left for a difference, models that
/// agree to the last bit prove nothing.
const LEAST_VARIANCE: f64 = 1e-6;

/// Models of each kind from which each sample can have a variance of its own: Carlini et al. go over to
/// a common one below 64 shadow models, half of which saw a sample.
const OWN_VARIANCE_FROM: usize = 32;

/// How the spread of a sample's logits is estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spread {
    /// [`Spread::PerExample`] where every sample has 32 models of each kind, else [`Spread::Pooled`].
    #[default]
    Auto,
    /// Each sample has variances of its own, in and out, with `n - 1` in the denominator.
    PerExample,
    /// All samples share two variances, in and out: squared deviations from each sample's own mean,
    /// over `values - samples`.
    Pooled,
}

/// The attack on one model: for each sample `ln N(t; m_in, v_in) - ln N(t; m_out, v_out)`, where `t`
/// is the `target`'s logit ([`Scores::logits`](crate::evaluate::Scores::logits)) and the means and
/// variances are those of the shadow models that learnt the sample and of those that did not. Above 0
/// speaks for a member. Natural logarithms; deterministic; sums in the models' order.
///
/// # Errors
/// If `target` has not one finite logit a sample, or a sample lacks models of either kind: one of each
/// where variances are pooled, two where they are not.
pub fn lira(target: &[f64], shadows: &Shadows, spread: Spread) -> Result<Vec<f64>, EvaluateError> {
    matrix("the target's logits", target, 1, shadows.samples, finite)?;
    let inside = Fits::of(shadows, true);
    let outside = Fits::of(shadows, false);
    let fewest = |fits: &Fits| fits.0.iter().map(|fit| fit.count).min().unwrap_or(0);
    let own = match spread {
        Spread::Auto => fewest(&inside).min(fewest(&outside)) >= OWN_VARIANCE_FROM,
        Spread::PerExample => true,
        Spread::Pooled => false,
    };
    let least = if own { 2 } else { 1 };
    for (sample, (inside, outside)) in inside.0.iter().zip(&outside.0).enumerate() {
        let (inside, outside) = (inside.count, outside.count);
        if inside.min(outside) < least {
            return Err(EvaluateError::TooFewShadows { sample, inside, outside, least });
        }
    }
    let pooled = if own { None } else { Some((inside.variance()?, outside.variance()?)) };
    let ratio = |(sample, &value): (usize, &f64)| {
        let (inside, outside) = (inside.0[sample], outside.0[sample]);
        let own = || {
            (
                inside.squares / (inside.count - 1) as f64,
                outside.squares / (outside.count - 1) as f64,
            )
        };
        let (v_in, v_out) = pooled.unwrap_or_else(own);
        log_density(value, inside.mean, v_in) - log_density(value, outside.mean, v_out)
    };
    Ok(target.iter().enumerate().map(ratio).collect())
}

/// `ln N(x; mean, variance)` without the constant `-ln(2 pi) / 2`.
fn log_density(x: f64, mean: f64, variance: f64) -> f64 {
    let variance = variance.max(LEAST_VARIANCE);
    -0.5 * ((x - mean).powi(2) / variance + variance.ln())
}

/// Count, mean and sum of squared deviations of one sample's values.
#[derive(Clone, Copy)]
struct Fit {
    count: usize,
    mean: f64,
    squares: f64,
}

struct Fits(Vec<Fit>);

impl Fits {
    fn of(shadows: &Shadows, member: bool) -> Self {
        let fit = |sample| {
            let count = shadows.column(sample, member).count();
            let mean = shadows.column(sample, member).sum::<f64>() / count.max(1) as f64;
            let squares = shadows.column(sample, member).map(|v| (v - mean).powi(2)).sum();
            Fit { count, mean, squares }
        };
        Self((0..shadows.samples).map(fit).collect())
    }

    /// The variance that all samples share.
    fn variance(&self) -> Result<f64, EvaluateError> {
        let values: usize = self.0.iter().map(|fit| fit.count).sum();
        let free = values.saturating_sub(self.0.len());
        if free == 0 {
            // Each sample has one model of this kind: no two values tell how far they spread.
            let (inside, outside) = (1, 1);
            return Err(EvaluateError::TooFewShadows { sample: 0, inside, outside, least: 2 });
        }
        Ok(self.0.iter().map(|fit| fit.squares).sum::<f64>() / free as f64)
    }
}
