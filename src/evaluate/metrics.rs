//! The paper's figures, each with its unit, its set, its size and its interval.
//!
//! # Source
//! Jia et al., NeurIPS 2023, section 5.1. The interval is Wilson's, *Probable Inference*, JASA
//! 22, 1927.

use serde::{Deserialize, Serialize};

use super::{EvaluateError, Membership, Scores};

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Hundredths of a whole, 0 to 100.
    Percent,
    /// Seconds of wall time.
    Seconds,
}

/// One figure of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// The figure, in `unit`.
    pub value: f64,
    /// What it counts.
    pub unit: Unit,
    /// The set it was measured on: `forget`, `retain`, `test`, `validation`. None for a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Samples in that set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<usize>,
    /// Wilson's 95 % interval over the choice of samples, in `unit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval95: Option<[f64; 2]>,
    /// What was computed, in a sentence.
    pub definition: String,
}

impl Metric {
    /// The share `hits / samples` of the set `of`, told in percent with its interval.
    ///
    /// # Panics
    /// If `samples` is 0 or below `hits`: a set of scores is never empty.
    pub fn share(hits: usize, samples: usize, of: &str, definition: &str) -> Self {
        Self {
            value: 100.0 * hits as f64 / samples as f64,
            unit: Unit::Percent,
            of: Some(of.into()),
            samples: Some(samples),
            interval95: Some(wilson95(hits, samples).map(|bound| 100.0 * bound)),
            definition: definition.into(),
        }
    }

    fn check(&self, metric: &'static str) -> Result<(), EvaluateError> {
        let (range, expected) = match self.unit {
            Unit::Percent => (0.0..=100.0, "a percentage from 0 to 100"),
            Unit::Seconds => (0.0..=f64::MAX, "a finite number of seconds, 0 or more"),
        };
        let bounds = self.interval95.iter().flatten();
        match [self.value].iter().chain(bounds).find(|value| !range.contains(value)) {
            Some(&value) => Err(EvaluateError::BadFigure { metric, value, expected }),
            None => Ok(()),
        }
    }
}

/// Top-1 accuracy: the share of `scores` whose highest probability is at the true label.
pub fn accuracy(scores: &Scores, of: &str) -> Metric {
    let definition = format!("share of the {of} set that is answered with its true label");
    Metric::share(scores.correct(), scores.len(), of, &definition)
}

/// The paper's figures of one network. What was not measured is absent, also from the JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Unlearning accuracy: the share of the forget set that is answered wrongly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ua: Option<Metric>,
    /// Retained accuracy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ra: Option<Metric>,
    /// Test accuracy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ta: Option<Metric>,
    /// Validation accuracy, where part of the training set was kept from the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub va: Option<Metric>,
    /// Share of the forget set that the membership attack takes for never trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mia_efficacy: Option<Metric>,
    /// Run-time efficiency: seconds of wall time that forgetting took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rte: Option<Metric>,
}

impl Report {
    /// A report that holds nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds UA, as measured on the forget set.
    pub fn forget(mut self, scores: &Scores) -> Self {
        let wrong = scores.len() - scores.correct();
        let definition = "100 minus the accuracy on the forget set";
        self.ua = Some(Metric::share(wrong, scores.len(), "forget", definition));
        self
    }

    /// Adds RA, as measured on the retain set.
    pub fn retain(mut self, scores: &Scores) -> Self {
        self.ra = Some(accuracy(scores, "retain"));
        self
    }

    /// Adds TA, as measured on the test set. When whole classes are forgotten, the paper leaves
    /// them out of this set; that is the caller's choice.
    pub fn test(mut self, scores: &Scores) -> Self {
        self.ta = Some(accuracy(scores, "test"));
        self
    }

    /// Adds VA, as measured on training samples that the network never learnt from and is not to forget. No
    /// gap counts it.
    pub fn validation(mut self, scores: &Scores) -> Self {
        self.va = Some(accuracy(scores, "validation"));
        self
    }

    /// Adds MIA-efficacy.
    pub fn membership(mut self, found: &Membership) -> Self {
        let definition = format!(
            "share of the forget set that an attack on `{}`, learnt from {} retained and {} test \
             samples, takes for never trained on",
            found.feature, found.shadow_members, found.shadow_non_members
        );
        let metric = Metric::share(found.non_members, found.samples, "forget", &definition);
        self.mia_efficacy = Some(metric);
        self
    }

    /// Adds RTE.
    pub fn seconds(mut self, seconds: f64) -> Self {
        self.rte = Some(Metric {
            value: seconds,
            unit: Unit::Seconds,
            of: None,
            samples: None,
            interval95: None,
            definition: "wall time of the unlearning call".into(),
        });
        self
    }

    /// Holds each figure against its unit: nothing infinite, no percentage outside 0 to 100.
    ///
    /// # Errors
    /// [`EvaluateError::BadFigure`] names the first that fails, in the order of the fields.
    pub fn check(self) -> Result<Self, EvaluateError> {
        let all = [
            ("ua", &self.ua),
            ("ra", &self.ra),
            ("ta", &self.ta),
            ("va", &self.va),
            ("mia_efficacy", &self.mia_efficacy),
            ("rte", &self.rte),
        ];
        for (name, metric) in all {
            metric.as_ref().map_or(Ok(()), |metric| metric.check(name))?;
        }
        Ok(self)
    }

    /// How far the figures lie from those of `retrained`, a network that never saw the forget
    /// set.
    pub fn gap(&self, retrained: &Report) -> Gap {
        let apart = |a: &Option<Metric>, b: &Option<Metric>| {
            a.as_ref().zip(b.as_ref()).map(|(a, b)| (a.value - b.value).abs())
        };
        let ua = apart(&self.ua, &retrained.ua);
        let ra = apart(&self.ra, &retrained.ra);
        let ta = apart(&self.ta, &retrained.ta);
        let mia_efficacy = apart(&self.mia_efficacy, &retrained.mia_efficacy);
        let all = [ua, ra, ta, mia_efficacy].into_iter().collect::<Option<Vec<f64>>>();
        let average = all.map(|all| all.iter().sum::<f64>() / all.len() as f64);
        Gap { ua, ra, ta, mia_efficacy, average }
    }
}

/// Absolute differences to a retrained network, in percentage points. Smaller is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// `|UA - UA of retrained|`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ua: Option<f64>,
    /// `|RA - RA of retrained|`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ra: Option<f64>,
    /// `|TA - TA of retrained|`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ta: Option<f64>,
    /// `|MIA-efficacy - MIA-efficacy of retrained|`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mia_efficacy: Option<f64>,
    /// The paper's average gap: the mean of the four, where all four were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<f64>,
}

/// Wilson's 95 % score interval of the share `hits / samples`, within `[0, 1]`.
///
/// # Panics
/// If `samples` is 0 or below `hits`.
pub fn wilson95(hits: usize, samples: usize) -> [f64; 2] {
    assert!(samples > 0 && hits <= samples, "{hits} of {samples} is no share");
    const Z: f64 = 1.959_963_984_540_054; // the normal distribution's 97.5 % quantile
    let (n, share) = (samples as f64, hits as f64 / samples as f64);
    let shrink = 1.0 + Z * Z / n;
    let middle = (share + Z * Z / (2.0 * n)) / shrink;
    let half = Z / shrink * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    [(middle - half).clamp(0.0, share), (middle + half).clamp(share, 1.0)]
}

/// The 95 % interval of the mean of two independent shares, `(a / m + b / n) / 2`, within `[0, 1]`:
/// of a balanced accuracy, whose two rates are counted on different samples.
///
/// With Wilson's bounds `[l, u]` of each share `p`, the lower bound is `mean - sqrt((p1 - l1)² + (p2 -
/// l2)²) / 2`, the upper one likewise: Zou and Donner, *Construction of confidence limits about effect
/// measures*, Statistics in Medicine 27, 2008. The two are given as `[hits, samples]`.
///
/// # Panics
/// As [`wilson95`].
pub fn mean_share95(one: [usize; 2], two: [usize; 2]) -> [f64; 2] {
    let share = |[hits, samples]: [usize; 2]| hits as f64 / samples as f64;
    let ([p1, p2], mean) = ([share(one), share(two)], 0.5 * (share(one) + share(two)));
    let ([l1, u1], [l2, u2]) = (wilson95(one[0], one[1]), wilson95(two[0], two[1]));
    let half = |a: f64, b: f64| 0.5 * a.hypot(b);
    [(mean - half(p1 - l1, p2 - l2)).max(0.0), (mean + half(u1 - p1, u2 - p2)).min(1.0)]
}

#[cfg(test)]
mod tests;
