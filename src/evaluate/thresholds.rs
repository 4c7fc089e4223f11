//! Attacks that need no classifier: a sample is a member if one number of it reaches a threshold.
//!
//! # Source
//! Song, Mittal, *Systematic Evaluation of Privacy Risks of Machine Learning Models*, USENIX Security
//! 2021, section 3: a threshold for each class, chosen for the best `(TPR + TNR) / 2` on samples whose
//! membership is known. Correctness has no threshold: what is answered rightly is called a member.
//!
//! # Where we differ
//! - Any number of classes; a class of which one side has no sample to learn from takes the threshold
//!   of all classes together. The released code gives it a threshold of 0.
//! - Members and non-members to learn from are halves of this network's retain and test set, not
//!   answers of a shadow network.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::metrics::{mean_share95, wilson95};
use super::mia::Feature;
use super::privacy::balanced;
use super::{EvaluateError, Halves, Scores};

/// What a threshold attack found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdAttack {
    /// What the attack looked at.
    pub feature: Feature,
    /// `(hits among members / members + hits among non-members / non-members) / 2` over the judged
    /// halves, all classes together, in `[0, 1]`. A coin's is 0.5.
    pub balanced_accuracy: f64,
    /// Its 95 % interval over the choice of judged samples ([`mean_share95`]).
    pub interval95: [f64; 2],
    /// Judged members that were called so, and judged members.
    pub members: [usize; 2],
    /// Judged non-members that were called so, and judged non-members.
    pub non_members: [usize; 2],
    /// The share of the forget set that is called a non-member, in `[0, 1]`. The aim is a retrained
    /// network's.
    pub efficacy: f64,
    /// Wilson's 95 % interval of `efficacy`; the thresholds are taken as given.
    pub efficacy_interval95: [f64; 2],
    /// Forget samples that are called non-members, and forget samples.
    pub forgotten: [usize; 2],
    /// Classes that took the threshold of all, because one side had no sample of them.
    pub shared: Vec<u32>,
}

/// Learns a threshold for each class from one half of `halves`, and judges the other and `forget`.
///
/// Entropies count as their negatives, so that a high value always speaks for a member. The candidates
/// for a threshold are the values themselves, members' first; of equals the first stays, as in the
/// released code. Deterministic; time `n log n`.
///
/// # Errors
/// For [`Feature::Prob`], which is no single number, and if `forget` has other classes.
pub fn threshold_attack(
    feature: Feature,
    halves: &Halves,
    forget: &Scores,
) -> Result<ThresholdAttack, EvaluateError> {
    if feature == Feature::Prob {
        return Err(EvaluateError::NoThreshold { feature });
    }
    let (found, expected) = (halves.target_members.classes(), forget.classes());
    if found != expected {
        return Err(EvaluateError::ClassesDiffer { set: "retain", found, expected });
    }
    let (bars, shared) = match feature {
        // Right is 1, wrong is 0.
        Feature::Correctness => (vec![0.5; expected], Vec::new()),
        _ => bars(feature, &halves.shadow_members, &halves.shadow_non_members),
    };
    let called = |scores: &Scores| {
        let values = values(feature, scores);
        let reach = values.iter().zip(scores.labels());
        reach.filter(|(value, label)| **value >= bars[**label as usize]).count()
    };
    let (inside, outside) = (&halves.target_members, &halves.target_non_members);
    let members = [called(inside), inside.len()];
    let non_members = [outside.len() - called(outside), outside.len()];
    let forgotten = [forget.len() - called(forget), forget.len()];
    Ok(ThresholdAttack {
        feature,
        balanced_accuracy: balanced(members, non_members),
        interval95: mean_share95(members, non_members),
        members,
        non_members,
        efficacy: forgotten[0] as f64 / forgotten[1] as f64,
        efficacy_interval95: wilson95(forgotten[0], forgotten[1]),
        forgotten,
        shared,
    })
}

/// One number a sample; higher speaks for a member.
fn values(feature: Feature, scores: &Scores) -> Vec<f64> {
    let (values, _) = feature.of(scores);
    match feature {
        Feature::Entropy | Feature::MEntropy | Feature::MEntropyReleased => {
            values.into_iter().map(|value| -value).collect()
        }
        _ => values,
    }
}

/// The threshold of each class, and the classes that have none of their own.
fn bars(feature: Feature, members: &Scores, others: &Scores) -> (Vec<f64>, Vec<u32>) {
    let (inside, outside) = (values(feature, members), values(feature, others));
    let of = |values: &[f64], scores: &Scores, class: u32| -> Vec<f64> {
        let both = values.iter().zip(scores.labels());
        both.filter(|(_, label)| **label == class).map(|(value, _)| *value).collect()
    };
    let whole = best(&inside, &outside);
    let mut shared = Vec::new();
    let bar = |class: u32| {
        let (inside, outside) = (of(&inside, members, class), of(&outside, others, class));
        if inside.is_empty() || outside.is_empty() {
            shared.push(class);
            return whole;
        }
        best(&inside, &outside)
    };
    let bars = (0..members.classes() as u32).map(bar).collect();
    (bars, shared)
}

/// The value with the best `(share of members at or above + share of others below) / 2`. Neither side
/// is empty.
fn best(members: &[f64], others: &[f64]) -> f64 {
    let sorted = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted
    };
    let (inside, outside) = (sorted(members), sorted(others));
    let below = |sorted: &[f64], bar: f64| {
        sorted.partition_point(|value| value.partial_cmp(&bar) == Some(Ordering::Less))
    };
    let (mut bar, mut most) = (f64::INFINITY, 0.0);
    for &value in members.iter().chain(others) {
        let hits = (inside.len() - below(&inside, value)) as f64 / inside.len() as f64;
        let passes = below(&outside, value) as f64 / outside.len() as f64;
        let accuracy = 0.5 * (hits + passes);
        if accuracy > most {
            (bar, most) = (value, accuracy);
        }
    }
    bar
}
