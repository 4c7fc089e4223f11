//! What a network said about a set of samples: the one input of every measurement here.

use super::EvaluateError;

/// How far the sum of a row may lie from 1. A softmax in `f32` over a thousand classes stays
/// within a tenth of it; logits do not.
const SUM_TOLERANCE: f64 = 1e-3;

/// Class probabilities and true labels of a set of samples, checked when they were taken in.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    probabilities: Vec<f32>,
    labels: Vec<u32>,
    classes: usize,
}

impl Scores {
    /// Takes in an `n x C` matrix of probabilities, row-major, and `n` labels.
    ///
    /// `C` is `probabilities.len() / labels.len()`. `set` is what errors call the set.
    ///
    /// # Errors
    /// If the set is empty, the matrix does not divide, a label names no column, a value is not a
    /// number in `[0, 1]` or a row does not sum to 1 within 1e-3.
    pub fn new(
        set: &'static str,
        probabilities: Vec<f32>,
        labels: Vec<u32>,
    ) -> Result<Self, EvaluateError> {
        if labels.is_empty() {
            return Err(EvaluateError::EmptySet { set });
        }
        let (values, samples) = (probabilities.len(), labels.len());
        if values == 0 || values % samples != 0 {
            return Err(EvaluateError::Ragged { values, samples });
        }
        let classes = values / samples;
        for (sample, (row, &label)) in probabilities.chunks_exact(classes).zip(&labels).enumerate()
        {
            check_row(sample, row)?;
            if label as usize >= classes {
                return Err(EvaluateError::LabelOutOfRange { sample, label, classes });
            }
        }
        Ok(Self { probabilities, labels, classes })
    }

    /// As [`Scores::new`], from logits: each row becomes its softmax, computed in `f64` after the
    /// row's largest value was taken off.
    ///
    /// # Errors
    /// As [`Scores::new`]; a logit that is not finite shows as a probability that is not.
    pub fn from_logits(
        set: &'static str,
        mut logits: Vec<f32>,
        labels: Vec<u32>,
    ) -> Result<Self, EvaluateError> {
        if !labels.is_empty() && logits.len() >= labels.len() {
            let classes = logits.len() / labels.len();
            logits.chunks_exact_mut(classes).for_each(softmax);
        }
        Self::new(set, logits, labels)
    }

    /// The number of samples, at least 1.
    #[allow(clippy::len_without_is_empty)] // Never empty.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// The number of classes, at least 1.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The true label of each sample.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The rows: each sample's probabilities and its true label.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&[f32], usize)> {
        let labels = self.labels.iter().map(|&label| label as usize);
        self.probabilities.chunks_exact(self.classes).zip(labels)
    }

    /// The probability of the true label, of each sample in order.
    pub fn confidences(&self) -> Vec<f64> {
        self.rows().map(|(row, label)| f64::from(row[label])).collect()
    }

    /// The logit of the probability of the true label, of each sample in order: `ln p_y - ln sum_{j !=
    /// y} p_j`, the logit-scaled confidence of Carlini et al., *Membership Inference Attacks From First
    /// Principles*, S&P 2022. The sum is over the other classes, not `1 - p_y`, so that a certain
    /// answer keeps what tells it from the next; neither is taken to be below 1e-30, so that every
    /// logit is finite, within 70 of 0.
    pub fn logits(&self) -> Vec<f64> {
        const FLOOR: f64 = 1e-30;
        let logit = |(row, label): (&[f32], usize)| {
            let others = row.iter().enumerate().filter(|(class, _)| *class != label);
            let others: f64 = others.map(|(_, &p)| f64::from(p)).sum();
            f64::from(row[label]).max(FLOOR).ln() - others.max(FLOOR).ln()
        };
        self.rows().map(logit).collect()
    }

    /// The samples at `indices`, in that order.
    ///
    /// # Panics
    /// If `indices` is empty or names a sample that is not there.
    pub fn subset(&self, indices: &[usize]) -> Self {
        assert!(!indices.is_empty(), "a subset of scores has at least one sample");
        let row = |&i: &usize| &self.probabilities[i * self.classes..][..self.classes];
        Self {
            probabilities: indices.iter().flat_map(row).copied().collect(),
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
            classes: self.classes,
        }
    }

    /// Whether each sample has the highest probability at its true label, in order. Of equal
    /// probabilities the first class counts as the answer.
    pub fn right(&self) -> impl Iterator<Item = bool> + '_ {
        self.rows().map(|(row, label)| answer(row) == label)
    }

    /// How many samples have the highest probability at their true label. Of equal
    /// probabilities the first class counts as the answer.
    pub fn correct(&self) -> usize {
        self.rows().filter(|(row, label)| answer(row) == *label).count()
    }
}

/// The class of the highest probability, the first of equals.
pub(super) fn answer(row: &[f32]) -> usize {
    let mut best = 0;
    for (class, &value) in row.iter().enumerate() {
        if value > row[best] {
            best = class;
        }
    }
    best
}

fn check_row(sample: usize, row: &[f32]) -> Result<(), EvaluateError> {
    for (class, &value) in row.iter().enumerate() {
        // A softmax in `f32` may round to a little above 1.
        if !(0.0..=1.0 + SUM_TOLERANCE as f32).contains(&value) {
            return Err(EvaluateError::NoProbability { sample, class, value });
        }
    }
    let sum: f64 = row.iter().map(|&value| f64::from(value)).sum();
    if (sum - 1.0).abs() > SUM_TOLERANCE {
        return Err(EvaluateError::NoDistribution { sample, sum, tolerance: SUM_TOLERANCE });
    }
    Ok(())
}

fn softmax(row: &mut [f32]) {
    let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let raised = |value: f32| (f64::from(value) - f64::from(highest)).exp();
    // A NaN is passed over by `max`, but not by the sum.
    let sum: f64 = row.iter().map(|&value| raised(value)).sum();
    for value in row {
        *value = (raised(*value) / sum) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_distribution_is_refused() {
        let refuse = |values: &[f32], labels: &[u32]| {
            Scores::new("test", values.to_vec(), labels.to_vec()).unwrap_err()
        };
        assert_eq!(refuse(&[], &[]), EvaluateError::EmptySet { set: "test" });
        assert!(matches!(refuse(&[0.5, 0.5, 1.0], &[0, 1]), EvaluateError::Ragged { .. }));
        assert!(matches!(refuse(&[f32::NAN, 0.5], &[0]), EvaluateError::NoProbability { .. }));
        assert!(matches!(refuse(&[-0.1, 1.1], &[0]), EvaluateError::NoProbability { .. }));
        assert!(matches!(refuse(&[0.5, 0.4], &[0]), EvaluateError::NoDistribution { .. }));
        assert!(matches!(refuse(&[0.5, 0.5], &[2]), EvaluateError::LabelOutOfRange { .. }));
    }

    #[test]
    fn logits_become_probabilities_without_overflow() {
        let scores = Scores::from_logits("test", vec![1000.0, 1000.0, -1000.0, 0.0], vec![1, 0]);
        let scores = scores.unwrap();
        assert_eq!(scores.confidences(), [0.5, 0.0]);
        assert_eq!(scores.correct(), 0);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let refused = Scores::from_logits("test", vec![bad, bad], vec![0]);
            assert!(matches!(refused, Err(EvaluateError::NoProbability { .. })), "{bad}");
        }
    }
}
