//! Attacks that know each sample by itself, by what shadow models said of it.
//!
//! An attack on a whole set asks what members look like. These ask what *this* sample looks like to a
//! model that learnt it, against one that did not, and so find the few samples that a method of
//! forgetting leaves exposed while the average looks forgotten.
//!
//! Everything here is arithmetic on matrices; nothing knows networks. A matrix has one row a model and
//! one column a sample, row-major. [`lira()`] and [`rmia()`] attack one target with given shadow models.
//! [`Trials`] plays the game with every model as the target in turn.
//!
//! # Unlearning
//! Let each shadow model learn half of the samples and then be made to forget those of them that are
//! asked about. A *member* is then a sample that the model learnt and forgot, and an attack that tells
//! members from samples that were never learnt has found what forgetting left behind: U-LiRA of Hayes,
//! Shumailov, Triantafillou, Khalifa, Papernot, *Inexact Unlearning Needs More Careful Evaluations to
//! Avoid a False Sense of Privacy*, arXiv:2403.01218, 2024. What passes for exact unlearning gets a
//! coin's figures: AUC 0.5, balanced accuracy 50 %.
//!
//! # Pairs
//! Models 2j and 2j + 1 share the samples between them: each is a member of exactly one. Whichever is
//! the target, its partner is left out with it. So the shadow models of a target saw each sample as
//! often as not, and of a target that has nothing to show, whichever of the pair it is, the attack
//! judges by the very same models: a coin stays a coin. Leaving out the target alone would tell its
//! membership by the number of those that are left.

mod figures;
mod lira;
mod rmia;
mod trials;

pub use figures::{Exposed, Figure, Figures, Threshold, judge};
pub use lira::{Spread, lira};
pub use rmia::{Rmia, rmia};
pub use trials::Trials;

use super::EvaluateError;

/// What some models said of some samples, and which of the samples each of them learnt.
#[derive(Clone, Debug, PartialEq)]
pub struct Shadows {
    models: usize,
    samples: usize,
    values: Vec<f64>,
    members: Vec<bool>,
}

impl Shadows {
    /// Takes in a matrix of `values` and one of memberships, both `[models x samples]`, row-major.
    ///
    /// # Errors
    /// If there is no model or no sample, a matrix has another size, or a value is not finite.
    pub fn new(
        models: usize,
        samples: usize,
        values: Vec<f64>,
        members: Vec<bool>,
    ) -> Result<Self, EvaluateError> {
        matrix("scores", &values, models, samples, finite)?;
        shaped("memberships", members.len(), models, samples)?;
        Ok(Self { models, samples, values, members })
    }

    /// The number of models, at least 1.
    pub fn models(&self) -> usize {
        self.models
    }

    /// The number of samples, at least 1.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// What model `model` said, a value a sample.
    ///
    /// # Panics
    /// If there is no such model.
    pub fn values_of(&self, model: usize) -> &[f64] {
        &self.values[model * self.samples..][..self.samples]
    }

    /// Which samples model `model` learnt.
    ///
    /// # Panics
    /// If there is no such model.
    pub fn members_of(&self, model: usize) -> &[bool] {
        &self.members[model * self.samples..][..self.samples]
    }

    /// Values of the sample at `sample`, of the models that learnt it or of those that did not, in the
    /// models' order.
    fn column(&self, sample: usize, member: bool) -> impl Iterator<Item = f64> + '_ {
        let at = (0..self.models).map(move |model| model * self.samples + sample);
        at.filter(move |&at| self.members[at] == member).map(|at| self.values[at])
    }

    /// These models without the pair that `model` belongs to.
    fn without_pair_of(&self, model: usize) -> Self {
        let kept = |other: &usize| other / 2 != model / 2;
        let rows = || (0..self.models).filter(kept);
        Self {
            models: rows().count(),
            samples: self.samples,
            values: rows().flat_map(|row| self.values_of(row)).copied().collect(),
            members: rows().flat_map(|row| self.members_of(row)).copied().collect(),
        }
    }
}

fn finite(value: f64) -> Result<(), &'static str> {
    if value.is_finite() { Ok(()) } else { Err("a finite number") }
}

fn share(value: f64) -> Result<(), &'static str> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err("a probability, 0 to 1") }
}

/// Holds the size of a matrix, and each of its values, against what they must be.
fn matrix(
    what: &'static str,
    values: &[f64],
    models: usize,
    samples: usize,
    check: fn(f64) -> Result<(), &'static str>,
) -> Result<(), EvaluateError> {
    shaped(what, values.len(), models, samples)?;
    for (at, &value) in values.iter().enumerate() {
        check(value).map_err(|expected| {
            let (model, sample) = (at / samples, at % samples);
            EvaluateError::BadScore { what, model, sample, value, expected }
        })?;
    }
    Ok(())
}

fn shaped(
    what: &'static str,
    values: usize,
    models: usize,
    samples: usize,
) -> Result<(), EvaluateError> {
    if values == 0 {
        return Err(EvaluateError::EmptySet { set: what });
    }
    match models.checked_mul(samples) == Some(values) {
        true => Ok(()),
        false => Err(EvaluateError::Matrix { what, values, models, samples }),
    }
}

#[cfg(test)]
mod tests;
