//! What can be wrong with the numbers a measurement is given.

use super::mia::Feature;

/// A measurement that was refused. Nothing is measured in part.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// A set without samples has no share of anything.
    #[error("the {set} set is empty: a share of nothing is no number")]
    EmptySet {
        /// Which set, as the report names it.
        set: &'static str,
    },
    /// The matrix of probabilities and the list of labels do not belong together.
    #[error("{values} probabilities cannot be divided among {samples} samples")]
    Ragged {
        /// Values in the matrix.
        values: usize,
        /// Labels in the list.
        samples: usize,
    },
    /// A label outside the classes that probabilities are given for.
    #[error("sample {sample} has label {label}, but probabilities name {classes} classes")]
    LabelOutOfRange {
        /// Row of the matrix, from 0.
        sample: usize,
        /// The label found.
        label: u32,
        /// Columns of the matrix.
        classes: usize,
    },
    /// A probability that is infinite, not a number, or outside `[0, 1]`.
    #[error(
        "sample {sample} gives class {class} the probability {value}: expected a number in [0, 1]"
    )]
    NoProbability {
        /// Row of the matrix, from 0.
        sample: usize,
        /// Column of the matrix, from 0.
        class: usize,
        /// The value found.
        value: f32,
    },
    /// A row that is no distribution: most often logits were handed in.
    #[error("the probabilities of sample {sample} sum to {sum}: expected 1 within {tolerance}")]
    NoDistribution {
        /// Row of the matrix, from 0.
        sample: usize,
        /// The sum found.
        sum: f64,
        /// How far from 1 it may lie.
        tolerance: f64,
    },
    /// Two sets whose probabilities are over different numbers of classes.
    #[error("the {set} set has {found} classes where the forget set has {expected}")]
    ClassesDiffer {
        /// The set that differs.
        set: &'static str,
        /// Its classes.
        found: usize,
        /// Classes of the forget set.
        expected: usize,
    },
    /// No class occurs in both the retain set and the test set, so nothing can be drawn evenly.
    #[error("retain set and test set share no class: no shadow set can be drawn from them")]
    NoSharedClass,
    /// The reference's shadow set takes as many retained samples as there are test samples.
    #[error(
        "the compatible shadow set needs {needed} retained samples, one for each of the test set, \
         but there are {found}; use the stratified draw"
    )]
    TooFewRetained {
        /// Samples in the test set.
        needed: usize,
        /// Samples in the retain set.
        found: usize,
    },
    /// Features and labels of a classifier do not belong together.
    #[error("{values} features cannot be {samples} samples of {dims} features")]
    FeatureShape {
        /// Values handed in.
        values: usize,
        /// Labels handed in.
        samples: usize,
        /// Features of one sample, as claimed.
        dims: usize,
    },
    /// A feature that is infinite or not a number.
    #[error("feature {dim} of sample {sample} is {value}: expected a finite number")]
    FeatureNotFinite {
        /// Sample, from 0.
        sample: usize,
        /// Feature, from 0.
        dim: usize,
        /// The value found.
        value: f64,
    },
    /// A classifier needs both kinds of samples.
    #[error("all {samples} samples carry one label: there is nothing to tell apart")]
    OneClass {
        /// Samples handed in.
        samples: usize,
    },
    /// A setting outside its range.
    #[error("{name} is {value}: expected {expected}")]
    BadSetting {
        /// The setting's name.
        name: &'static str,
        /// The value found.
        value: f64,
        /// What would have been right.
        expected: &'static str,
    },
    /// The solver reached its limit of steps before its tolerance.
    #[error("no solution after {steps} steps: the optimality gap is {gap}, asked was {tolerance}")]
    NotConverged {
        /// Steps made.
        steps: u64,
        /// The gap that was left.
        gap: f64,
        /// The gap asked for.
        tolerance: f64,
    },
    /// An attack failed; the cause names the reason.
    #[error("membership attack `{feature}`")]
    Attack {
        /// The feature that the attack looked at.
        feature: Feature,
        /// Why it failed.
        source: Box<EvaluateError>,
    },
    /// Two lists that must tell of the same samples have different lengths.
    #[error(
        "{set} samples: {first} values of one kind, {second} of the other: each sample has both"
    )]
    Unpaired {
        /// Which samples.
        set: &'static str,
        /// Values in the first list.
        first: usize,
        /// Values in the second list.
        second: usize,
    },
    /// A probability of a true label that is not a number in `[0, 1]`.
    #[error("{set} sample {sample} has the value {value}: expected a number in [0, 1]")]
    NoShare {
        /// Which samples.
        set: &'static str,
        /// The sample, from 0.
        sample: usize,
        /// The value found.
        value: f64,
    },
    /// A matrix that has not one value for each model and sample.
    #[error("{what}: {values} values where {models} models and {samples} samples need one each")]
    Matrix {
        /// Which matrix.
        what: &'static str,
        /// Values handed in.
        values: usize,
        /// Rows that it should have.
        models: usize,
        /// Columns that it should have.
        samples: usize,
    },
    /// A score of a matrix that no attack can use.
    #[error("{what}: model {model} has {value} for sample {sample}: expected {expected}")]
    BadScore {
        /// Which matrix.
        what: &'static str,
        /// Row, from 0.
        model: usize,
        /// Column, from 0.
        sample: usize,
        /// The value found.
        value: f64,
        /// What would have been right.
        expected: &'static str,
    },
    /// Two models that are a pair must share the samples between them.
    #[error(
        "models {first} and {second} are a pair: sample {sample} must be a member of exactly one of them"
    )]
    NoPair {
        /// A model, from 0.
        first: usize,
        /// Its partner.
        second: usize,
        /// Sample, from 0.
        sample: usize,
    },
    /// Too few models saw, or did not see, a sample: nothing can be said of their answers' spread.
    #[error(
        "sample {sample}: {inside} models saw it and {outside} did not: the attack needs {least} of each"
    )]
    TooFewShadows {
        /// Sample, from 0.
        sample: usize,
        /// Models that saw it.
        inside: usize,
        /// Models that did not.
        outside: usize,
        /// How many of each there must be.
        least: usize,
    },
    /// The number of models is none that pairs can be made of.
    #[error("{models} shadow models: expected an even number, {least} or more")]
    ModelCount {
        /// Models handed in.
        models: usize,
        /// The fewest that do.
        least: usize,
    },
    /// A set is too small to give one half to learn from and another to judge.
    #[error(
        "{retain} retained and {test} test samples cannot be halved: an attack learns from one half and is judged on the other"
    )]
    TooFewToHalve {
        /// Samples in the retain set.
        retain: usize,
        /// Samples in the test set.
        test: usize,
    },
    /// A feature of which no threshold can be taken.
    #[error("`{feature}` has several values a sample: a threshold needs one")]
    NoThreshold {
        /// The feature.
        feature: Feature,
    },
    /// A figure of a report that is infinite, not a number, or impossible in its unit.
    #[error("{metric} is {value}: expected {expected}")]
    BadFigure {
        /// The figure's key in the report.
        metric: &'static str,
        /// The value found.
        value: f64,
        /// What would have been right.
        expected: &'static str,
    },
}
