//! Every model as the target in turn.

use super::{EvaluateError, Rmia, Shadows, Spread, lira, matrix, rmia, shaped, share};

/// The fewest models: a target, its partner, and for pooled variances two pairs that judge them.
const LEAST: usize = 6;

/// What an even number of models said of the samples that are asked about and of a population.
///
/// Models 2j and 2j + 1 are a pair (see the [module](super)).
#[derive(Clone, Debug, PartialEq)]
pub struct Trials {
    logits: Shadows,
    confidences: Shadows,
    population: Vec<f64>,
    size: usize,
}

impl Trials {
    /// Takes in what `models` models said: logits and probabilities of the true label, and
    /// memberships, `[models x samples]`; probabilities of the true label of a population of `size`
    /// samples that no model learnt, `[models x size]`.
    ///
    /// # Errors
    /// If the number of models is odd or below 6, a matrix has another size, a value is not what it
    /// should be, or a sample is a member of both models of a pair, or of neither.
    pub fn new(
        models: usize,
        logits: Vec<f64>,
        confidences: Vec<f64>,
        members: Vec<bool>,
        population: Vec<f64>,
    ) -> Result<Self, EvaluateError> {
        if models < LEAST || models % 2 == 1 {
            return Err(EvaluateError::ModelCount { models, least: LEAST });
        }
        let (samples, size) = (members.len() / models, population.len() / models);
        shaped("memberships", members.len(), models, samples)?;
        matrix("probabilities of the population", &population, models, size, share)?;
        let logits = Shadows::new(models, samples, logits, members.clone())?;
        matrix("probabilities", &confidences, models, samples, share)?;
        let confidences = Shadows::new(models, samples, confidences, members)?;
        for first in (0..models).step_by(2) {
            let both = logits.members_of(first).iter().zip(logits.members_of(first + 1));
            if let Some(sample) = both.into_iter().position(|(a, b)| a == b) {
                return Err(EvaluateError::NoPair { first, second: first + 1, sample });
            }
        }
        Ok(Self { logits, confidences, population, size })
    }

    /// The number of models.
    pub fn models(&self) -> usize {
        self.logits.models
    }

    /// The number of samples that are asked about.
    pub fn samples(&self) -> usize {
        self.logits.samples
    }

    /// Logits of model `model`, one a sample.
    ///
    /// # Panics
    /// If there is no such model.
    pub fn logits_of(&self, model: usize) -> &[f64] {
        self.logits.values_of(model)
    }

    /// Memberships, `[models x samples]`.
    pub fn members(&self) -> &[bool] {
        &self.logits.members
    }

    /// Scores of [`lira()`], `[models x samples]`: each model judged by all others but its partner.
    ///
    /// # Errors
    /// As [`lira()`].
    pub fn lira(&self, spread: Spread) -> Result<Vec<f64>, EvaluateError> {
        let mut scores = Vec::with_capacity(self.logits.values.len());
        for target in 0..self.models() {
            let shadows = self.logits.without_pair_of(target);
            scores.extend(lira(self.logits.values_of(target), &shadows, spread)?);
        }
        Ok(scores)
    }

    /// Scores of [`rmia()`], `[models x samples]`: each model judged by all others but its partner.
    ///
    /// # Errors
    /// As [`rmia()`].
    pub fn rmia(&self, settings: Rmia) -> Result<Vec<f64>, EvaluateError> {
        let mut scores = Vec::with_capacity(self.logits.values.len());
        let row = |model: usize| &self.population[model * self.size..][..self.size];
        for target in 0..self.models() {
            let references = self.confidences.without_pair_of(target);
            let others = (0..self.models()).filter(|other| other / 2 != target / 2);
            let population: Vec<f64> = others.flat_map(row).copied().collect();
            let own = self.confidences.values_of(target);
            scores.extend(rmia(own, &references, row(target), &population, settings)?);
        }
        Ok(scores)
    }
}
