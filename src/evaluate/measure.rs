//! A network's figures on the sets of a scenario.

use super::{Attack, EvaluateError, Membership, Report, Scores};
use crate::data::{DataError, Dataset, Scenario, Splits};
use crate::model::Network;
use crate::train::{Compute, TrainError, score};

/// Why a network could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// The data does not fit the network.
    #[error(transparent)]
    Score(#[from] TrainError),
    /// Scores or attack were refused.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// Whoever asked stopped it.
    #[error("the measurement was stopped")]
    Stopped,
}

/// The sets of a scenario: indices into the training set, and into the test set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sets {
    /// Training samples to forget.
    pub forget: Vec<usize>,
    /// Training samples to keep.
    pub retain: Vec<usize>,
    /// Test samples that count: without the forgotten classes.
    pub test: Vec<usize>,
}

impl Sets {
    /// The sets that `scenario` makes of `data`.
    ///
    /// # Errors
    /// If the scenario does not fit the data, or would leave a set empty.
    pub fn new(scenario: &Scenario, data: &Splits, seed: u64) -> Result<Self, DataError> {
        let partition = scenario.forget_indices(&data.train, seed)?;
        let test = scenario.test_indices(&data.test)?;
        Ok(Self { forget: partition.forget, retain: partition.retain, test })
    }
}

/// What was measured of a network.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The figures.
    pub report: Report,
    /// The attack behind MIA-efficacy.
    pub membership: Membership,
    /// Probability of the true label, of each forgotten sample.
    pub forget_confidences: Vec<f64>,
    /// Probability of the true label, of each test sample.
    pub test_confidences: Vec<f64>,
}

/// What a network said of the sets of a scenario.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Of the samples to forget.
    pub forget: Scores,
    /// Of the samples to keep.
    pub retain: Scores,
    /// Of the test samples that count.
    pub test: Scores,
}

impl Answers {
    /// Asks `network`.
    ///
    /// # Errors
    /// If the data does not fit, or a set is empty.
    pub fn of(
        network: &Network,
        data: &Splits,
        sets: &Sets,
        compute: impl Into<Compute>,
    ) -> Result<Self, MeasureError> {
        let compute = compute.into();
        let of = |name, set: &Dataset, indices: &[usize]| -> Result<Scores, MeasureError> {
            let probabilities = score(network, set, indices, compute)?;
            let labels = indices.iter().map(|&index| set.labels[index]).collect();
            Ok(Scores::new(name, probabilities, labels)?)
        };
        Ok(Self {
            forget: of("forget", &data.train, &sets.forget)?,
            retain: of("retain", &data.train, &sets.retain)?,
            test: of("test", &data.test, &sets.test)?,
        })
    }

    /// The figures: UA on the forget set, RA on the retain set, TA on the test set, MIA-efficacy of
    /// `attack`. `seconds` is what forgetting took, where it is known.
    ///
    /// # Errors
    /// If the attack finds no shadow set.
    pub fn measure(&self, attack: Attack, seconds: Option<f64>) -> Result<Measured, EvaluateError> {
        let Self { forget, retain, test } = self;
        let membership = attack.run(retain, test, forget)?;
        let mut report =
            Report::new().forget(forget).retain(retain).test(test).membership(&membership);
        if let Some(seconds) = seconds {
            report = report.seconds(seconds);
        }
        Ok(Measured {
            report: report.check()?,
            membership,
            forget_confidences: forget.confidences(),
            test_confidences: test.confidences(),
        })
    }
}

/// Measures `network`: UA on the forget set, RA on the retain set, TA on the test set, MIA-efficacy
/// of `attack`. `seconds` is what forgetting took, where it is known.
///
/// # Errors
/// If the data does not fit, a set is empty, or the attack finds no shadow set.
pub fn measure(
    network: &Network,
    data: &Splits,
    sets: &Sets,
    attack: Attack,
    seconds: Option<f64>,
    compute: impl Into<Compute>,
) -> Result<Measured, MeasureError> {
    Ok(Answers::of(network, data, sets, compute)?.measure(attack, seconds)?)
}
