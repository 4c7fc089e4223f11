//! What a repair cost those who stay: the drop of accuracy on the same samples, before and after.
//!
//! Answers of two models to the same samples are not two samples: most agree. The drop is counted
//! from those that changed, and its interval knows how the two hang together.
//!
//! # Source
//! Newcombe, *Improved confidence intervals for the difference between binomial proportions based on
//! paired data*, Statistics in Medicine 17, 1998, method 10.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::EvaluateError;
use super::metrics::wilson95;

/// A drop of accuracy between two models on the same samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccuracyDrop {
    /// Accuracy before less accuracy after, in percentage points. Below 0: it rose.
    pub points: f64,
    /// Its 95 % interval over the choice of samples, in points.
    pub interval95: [f64; 2],
    /// Samples.
    pub samples: usize,
    /// Samples that were answered rightly before.
    pub right_before: usize,
    /// Samples that were answered rightly before and no longer are.
    pub lost: usize,
    /// Samples that were answered wrongly before and no longer are.
    pub gained: usize,
}

/// Whether accuracy was retained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetainedVerdict {
    /// Whether the drop is within the limit. The estimate decides, not the interval's end: with few
    /// samples no repair would pass otherwise, and the interval tells how little is known.
    pub passed: bool,
    /// The limit, in points.
    pub limit: f64,
    /// The drop.
    pub drop: AccuracyDrop,
}

/// The drop of one subject.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectDrop {
    /// The subject's number.
    pub subject: u32,
    /// The drop on the subject's samples.
    pub drop: AccuracyDrop,
}

/// Holds the drop of accuracy against `limit`, in percentage points. `before` and `after` tell of
/// each sample whether it was answered rightly. Deterministic.
///
/// # Errors
/// [`EvaluateError::EmptySet`] without samples, [`EvaluateError::Unpaired`] if there is not one answer
/// after for each before, [`EvaluateError::BadSetting`] if the limit is not between 0 and 100.
pub fn retained(
    before: &[bool],
    after: &[bool],
    limit: f64,
) -> Result<RetainedVerdict, EvaluateError> {
    if !(0.0..=100.0).contains(&limit) {
        let (name, expected) = ("limit", "percentage points from 0 to 100");
        return Err(EvaluateError::BadSetting { name, value: limit, expected });
    }
    let drop = drop_of(before, after)?;
    // Compared as counts, so that a drop of exactly the limit passes whatever its rounding.
    let lost = drop.lost as f64 - drop.gained as f64;
    let passed = 100.0 * lost <= limit * drop.samples as f64;
    Ok(RetainedVerdict { passed, limit, drop })
}

/// The drop of each subject, the worst off first; of equals, the one with more samples, then the one
/// with the lower number. Whoever has few samples has a wide interval: one answer moves much.
///
/// # Errors
/// As [`retained`]; also if there is not one subject for each sample.
pub fn retained_by_subject(
    before: &[bool],
    after: &[bool],
    subjects: &[u32],
) -> Result<Vec<SubjectDrop>, EvaluateError> {
    if subjects.len() != before.len() {
        let (first, second) = (before.len(), subjects.len());
        return Err(EvaluateError::Unpaired { set: "retain", first, second });
    }
    let mut answers: BTreeMap<u32, (Vec<bool>, Vec<bool>)> = BTreeMap::new();
    same_length(before, after)?;
    for ((&before, &after), &subject) in before.iter().zip(after).zip(subjects) {
        let of = answers.entry(subject).or_default();
        of.0.push(before);
        of.1.push(after);
    }
    let drops = answers.into_iter().map(|(subject, (before, after))| {
        drop_of(&before, &after).map(|drop| SubjectDrop { subject, drop })
    });
    let mut drops = drops.collect::<Result<Vec<_>, _>>()?;
    // Stable: equals stay in the order of their numbers.
    drops.sort_by(|a, b| {
        b.drop.points.total_cmp(&a.drop.points).then(b.drop.samples.cmp(&a.drop.samples))
    });
    Ok(drops)
}

fn same_length(before: &[bool], after: &[bool]) -> Result<(), EvaluateError> {
    match before.len() == after.len() {
        true => Ok(()),
        false => {
            let (first, second) = (before.len(), after.len());
            Err(EvaluateError::Unpaired { set: "retain", first, second })
        }
    }
}

fn drop_of(before: &[bool], after: &[bool]) -> Result<AccuracyDrop, EvaluateError> {
    same_length(before, after)?;
    if before.is_empty() {
        return Err(EvaluateError::EmptySet { set: "retain" });
    }
    let count = |was: bool, is: bool| {
        before.iter().zip(after).filter(|&(&b, &a)| b == was && a == is).count()
    };
    let table = [count(true, true), count(true, false), count(false, true), count(false, false)];
    let samples = before.len();
    let [both, lost, gained, _] = table;
    let share = |count: usize| count as f64 / samples as f64;
    Ok(AccuracyDrop {
        points: 100.0 * (share(lost) - share(gained)),
        interval95: paired95(table).map(|bound| 100.0 * bound),
        samples,
        right_before: both + lost,
        lost,
        gained,
    })
}

/// The 95 % interval of `p1 - p2`, where of each unit two answers are known: `both` yes, the first
/// alone, the second alone, neither.
fn paired95([both, first, second, neither]: [usize; 4]) -> [f64; 2] {
    let samples = both + first + second + neither;
    let share = |hits: usize| hits as f64 / samples as f64;
    let [one, two] = [both + first, both + second];
    let ([l1, u1], [l2, u2]) = (wilson95(one, samples), wilson95(two, samples));
    let phi = correlation([both, first, second, neither]);
    let (p1, p2) = (share(one), share(two));
    let reach = |a: f64, b: f64| (a * a - 2.0 * phi * a * b + b * b).max(0.0).sqrt();
    let difference = p1 - p2;
    [difference - reach(p1 - l1, u2 - p2), difference + reach(u1 - p1, p2 - l2)]
}

/// How the two answers hang together, shrunk for continuity where it is positive.
fn correlation([both, first, second, neither]: [usize; 4]) -> f64 {
    let [a, b, c, d] = [both, first, second, neither].map(|count| count as f64);
    let product = (a + b) * (c + d) * (a + c) * (b + d);
    if product == 0.0 {
        return 0.0;
    }
    let cross = a * d - b * c;
    let shrunk = if cross > 0.0 { (cross - (a + b + c + d) / 2.0).max(0.0) } else { cross };
    shrunk / product.sqrt()
}

#[cfg(test)]
mod tests;
