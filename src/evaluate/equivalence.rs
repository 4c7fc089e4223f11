//! Does a repaired model still treat a person's training samples otherwise than samples that it
//! never saw? An equivalence test with a stated margin, for which "inconclusive" is an answer.
//!
//! A significance test asks for proof of a leak, so that a person with five samples always passes.
//! Here the burden lies on the other side: a model passes only where the data exclude a leak of the
//! margin, and a person with five samples passes never.
//!
//! The quantity is a difference of differences. For each sample, the probability of its true label
//! under the candidate less that under the clean ancestor, a model that never learnt the person; and
//! of that, the mean over the samples that the contaminated model was trained on less the mean over
//! the person's holdouts. What a repair changes for everybody cancels; what is left is what training
//! on those samples left. It is 0 in expectation where both kinds of samples are forgotten alike, and
//! a leak moves it in either direction: to answer worse than a model that never knew them is a leak
//! too.
//!
//! # What is assumed
//! That samples were put into the holdout by chance, and that samples are drawn one by one. Windows of
//! one recording are not: count each recording once, with [`group_means`].
//!
//! # Source
//! Two one-sided tests: Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15, 1987. Each side's
//! interval: [`mean_bound`]. Their combination, `U = e + sqrt((u1 - e1)² + (e2 -
//! l2)²)` and likewise below: Newcombe, Statistics in Medicine 17, 1998, method 10, and Zou and
//! Donner, Statistics in Medicine 27, 2008.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::metrics::Metric;
use super::{EvaluateError, mean_bound};

/// What the gate is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The data exclude a leak of the margin: the whole interval lies inside it.
    Passed,
    /// The data show a leak, and their best estimate of it is the margin or more: the interval
    /// leaves 0 out and the estimate is not inside the margin.
    Failed,
    /// Neither. No proof of forgetting, and none of a leak.
    Inconclusive,
}

/// Why a test came to no answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Doubt {
    /// One side has fewer samples than can be compared at all.
    TooFew {
        /// Samples that were trained on.
        trained: usize,
        /// Samples that were not.
        held: usize,
        /// Samples that each side must have.
        least: usize,
    },
    /// With so few samples no outcome passes, not even one without any spread.
    CannotPass {
        /// What the interval reaches to either side of its estimate at best.
        reach: f64,
        /// The margin.
        margin: f64,
    },
    /// The interval reaches over the margin.
    Undecided,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFew { trained, held, least } => write!(
                f,
                "{trained} trained and {held} held-out samples: each side needs {least} or more"
            ),
            Self::CannotPass { reach, margin } => write!(
                f,
                "so few samples show nothing nearer than {reach:.3}, the margin is {margin}: keep \
                 more of them, or state a wider margin"
            ),
            Self::Undecided => f.write_str("the interval reaches over the margin"),
        }
    }
}

/// What two models said about the same samples, in the same order.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a, T> {
    /// The model that is judged.
    pub candidate: &'a [T],
    /// The clean ancestor.
    pub ancestor: &'a [T],
}

/// The test: which leak it looks for, and how sure it must be.
///
/// The default margin is 0.1: the probability of the true label moved by a tenth on average, or one
/// sample in ten answered as if it were known by heart. It is about the smallest that people's
/// amounts of data can decide: to exclude it, a side needs 29 samples even without any spread (`ln
/// 0.05 / ln 0.9`), and with 200 trained and 50 held-out samples a true replay passes in more than 80
/// of 100 draws (`tests/equivalence.rs` prints the rates). At half the margin the same takes four
/// times the samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Equivalence {
    /// The smallest difference that counts as a leak, above 0 and below 1.
    pub margin: f64,
    /// How often, at most, a leak of the margin may pass; the interval's level is `1 - 2 alpha`.
    pub alpha: f64,
}

impl Default for Equivalence {
    fn default() -> Self {
        Self { margin: 0.1, alpha: 0.05 }
    }
}

/// What a test found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// What follows.
    pub verdict: Verdict,
    /// Why, where nothing follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
    /// The difference of differences. Above 0: the trained samples are still known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<f64>,
    /// Its interval, of the level `1 - 2 alpha`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// The margin.
    pub margin: f64,
    /// How often, at most, a leak of the margin may pass.
    pub alpha: f64,
    /// Samples that were trained on.
    pub trained: usize,
    /// Samples that were not.
    pub held: usize,
    /// How likely a true replay would have passed: the chance that an estimate around 0 with the
    /// standard error of this one falls where an interval as wide as this one lies inside the margin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<f64>,
}

/// What a test of wrong answers found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorEvidence {
    /// Unlearning accuracy of the candidate: the share of trained samples that it answers wrongly.
    pub candidate: Metric,
    /// The same of the ancestor.
    pub ancestor: Metric,
    /// The test on the difference of differences of these shares. Below 0: the trained samples are
    /// still known.
    pub difference: Evidence,
}

/// Samples that each side must have.
const LEAST: usize = 2;

/// How far above 1 a probability may lie that was rounded in `f32`, as in a softmax.
const ROUNDED: f64 = 1e-3;

impl Equivalence {
    /// Tests probabilities of true labels: of the samples that were trained on, and of the person's
    /// holdouts. Deterministic.
    ///
    /// # Errors
    /// [`EvaluateError::Unpaired`] if the two models were asked about different numbers of samples,
    /// [`EvaluateError::NoShare`] if a value is no probability, [`EvaluateError::BadSetting`] if
    /// margin or alpha are out of range. Too few samples are no error but an inconclusive answer.
    pub fn of_confidences(
        &self,
        trained: Pairs<'_, f64>,
        held: Pairs<'_, f64>,
    ) -> Result<Evidence, EvaluateError> {
        self.check()?;
        Ok(self.judge(&differences("trained", trained)?, &differences("held-out", held)?))
    }

    /// Tests wrong answers (`true` is wrong): the same rule on the share of errors, with UA of both
    /// models on the trained samples and Wilson's intervals.
    ///
    /// # Errors
    /// As [`Equivalence::of_confidences`]; [`EvaluateError::EmptySet`] if there is no trained sample.
    pub fn of_errors(
        &self,
        trained: Pairs<'_, bool>,
        held: Pairs<'_, bool>,
    ) -> Result<ErrorEvidence, EvaluateError> {
        let number = |of: &[bool]| of.iter().map(|&wrong| f64::from(wrong)).collect::<Vec<f64>>();
        let [tc, ta, hc, ha] =
            [trained.candidate, trained.ancestor, held.candidate, held.ancestor].map(number);
        let difference = self.of_confidences(
            Pairs { candidate: &tc, ancestor: &ta },
            Pairs { candidate: &hc, ancestor: &ha },
        )?;
        if tc.is_empty() {
            return Err(EvaluateError::EmptySet { set: "trained" });
        }
        let share = |of: &[bool], whose: &str| {
            let wrong = of.iter().filter(|&&wrong| wrong).count();
            let what = format!("share of the forget set that {whose} answers wrongly");
            Metric::share(wrong, of.len(), "forget", &what)
        };
        let candidate = share(trained.candidate, "the candidate");
        let ancestor = share(trained.ancestor, "the clean ancestor");
        Ok(ErrorEvidence { candidate, ancestor, difference })
    }

    /// How far the interval of `trained` and `held` samples reaches to either side of its estimate at
    /// the very least: where no two samples of a side differ. What is not below the margin can never
    /// pass.
    pub fn reach(&self, trained: usize, held: usize) -> f64 {
        let blind = |samples: usize| 1.0 - self.alpha.powf(1.0 / samples as f64);
        blind(trained).hypot(blind(held))
    }

    fn check(&self) -> Result<(), EvaluateError> {
        let inside = |value: f64, end: f64| value > 0.0 && value < end;
        let (name, value, expected) = if !inside(self.margin, 1.0) {
            ("margin", self.margin, "a number above 0 and below 1")
        } else if !inside(self.alpha, 0.36) {
            ("alpha", self.alpha, "a number above 0 and below 0.36")
        } else {
            return Ok(());
        };
        Err(EvaluateError::BadSetting { name, value, expected })
    }

    /// The test on differences in `[-1, 1]`, candidate less ancestor.
    fn judge(&self, trained: &[f64], held: &[f64]) -> Evidence {
        let Self { margin, alpha } = *self;
        let mut evidence = Evidence {
            verdict: Verdict::Inconclusive,
            doubt: None,
            estimate: None,
            interval: None,
            margin,
            alpha,
            trained: trained.len(),
            held: held.len(),
            power: None,
        };
        if trained.len().min(held.len()) < LEAST {
            let (trained, held, least) = (trained.len(), held.len(), LEAST);
            evidence.doubt = Some(Doubt::TooFew { trained, held, least });
            return evidence;
        }
        let [trained, held] = [trained, held].map(|values| Side::of(values, alpha));
        let estimate = trained.mean - held.mean;
        let down = trained.down.hypot(held.up);
        let up = trained.up.hypot(held.down);
        let interval = [(estimate - down).max(-2.0), (estimate + up).min(2.0)];
        let error = (trained.error2 + held.error2).sqrt();
        evidence.verdict = if interval[0] > -margin && interval[1] < margin {
            Verdict::Passed
        } else if (interval[0] > 0.0 || interval[1] < 0.0) && estimate.abs() >= margin {
            Verdict::Failed
        } else {
            let reach = self.reach(evidence.trained, evidence.held);
            evidence.doubt = Some(match reach < margin {
                true => Doubt::Undecided,
                false => Doubt::CannotPass { reach, margin },
            });
            Verdict::Inconclusive
        };
        evidence.power = Some(power(margin - up, down - margin, error));
        evidence.estimate = Some(estimate);
        evidence.interval = Some(interval);
        evidence
    }
}

/// The mean of one side, what its bounds reach from there, and its squared standard error.
struct Side {
    mean: f64,
    down: f64,
    up: f64,
    error2: f64,
}

impl Side {
    fn of(values: &[f64], alpha: f64) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self {
            mean,
            down: mean - mean_bound::lower(values, alpha),
            up: mean_bound::upper(values, alpha) - mean,
            error2: squares / (count - 1.0) / count,
        }
    }
}

/// `P(low < X < high)` of a normal X around 0 with this standard error; 0 where nothing lies between.
fn power(high: f64, low: f64, error: f64) -> f64 {
    if low >= high {
        return 0.0;
    }
    match error > 0.0 {
        true => normal_cdf(high / error) - normal_cdf(low / error),
        false => f64::from(low < 0.0 && high > 0.0),
    }
}

/// The standard normal distribution function, to about 1e-15.
///
/// # Source
/// The series of Marsaglia, *Evaluating the Normal Distribution*, J. Statistical Software 11, 2004.
fn normal_cdf(x: f64) -> f64 {
    if x.abs() > 8.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let (mut term, mut sum, mut odd) = (x, x, 1.0);
    while term.abs() > 1e-17 * sum.abs() {
        odd += 2.0;
        term *= x * x / odd;
        sum += term;
    }
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    0.5 + density * sum
}

/// Candidate less ancestor, of each sample.
fn differences(set: &'static str, pairs: Pairs<'_, f64>) -> Result<Vec<f64>, EvaluateError> {
    let Pairs { candidate, ancestor } = pairs;
    if candidate.len() != ancestor.len() {
        let (candidate, ancestor) = (candidate.len(), ancestor.len());
        return Err(EvaluateError::Unpaired { set, first: candidate, second: ancestor });
    }
    for values in [candidate, ancestor] {
        let wrong = values.iter().position(|value| !(0.0..=1.0 + ROUNDED).contains(value));
        if let Some(sample) = wrong {
            return Err(EvaluateError::NoShare { set, sample, value: values[sample] });
        }
    }
    let both = candidate.iter().zip(ancestor);
    Ok(both.map(|(c, a)| c.min(1.0) - a.min(1.0)).collect())
}

/// The mean of each group, in the order of group numbers: one value for what was recorded at once.
///
/// # Errors
/// [`EvaluateError::Unpaired`] if there is not one group for each value.
pub fn group_means(
    set: &'static str,
    values: &[f64],
    groups: &[u32],
) -> Result<Vec<f64>, EvaluateError> {
    if values.len() != groups.len() {
        let (first, second) = (values.len(), groups.len());
        return Err(EvaluateError::Unpaired { set, first, second });
    }
    let mut sums: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    for (&value, &group) in values.iter().zip(groups) {
        let (sum, count) = sums.entry(group).or_default();
        *sum += value;
        *count += 1.0;
    }
    Ok(sums.into_values().map(|(sum, count)| sum / count).collect())
}

#[cfg(test)]
mod tests;
