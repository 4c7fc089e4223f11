//! The gate: whether what a repair came to may be served.
//!
//! Measured on the written file as it will be served, on the calibrating part of the anchor set and on the
//! holdouts of those who stay. Where the samples of those who go are still there, also whether the
//! candidate treats what it once learnt from them otherwise than what it never saw of them: an
//! equivalence test that may say "inconclusive". Windows of one recording count once there, as their mean.

use serde::{Deserialize, Serialize};

use super::error::HomeError;
use super::gather::{Frame, gather};
use super::home::Home;
use super::job::Job;
use crate::data::Dataset;
use crate::evaluate::equivalence::{Pairs, group_means};
use crate::evaluate::{Equivalence, Evidence, RetainedVerdict, Scores, SubjectDrop};
use crate::evaluate::{retained, retained_by_subject};
use crate::format::AnchorPart;
use crate::model::file::Artifact;
use crate::sparse::Isa;
use crate::train::score;
use crate::vault::{Handle, Header};

/// The most samples of a set that are asked about.
pub(super) const MOST: usize = 8192;

/// What the gate holds a candidate against.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// Percentage points of accuracy that may be lost on what is retained.
    pub drop: f64,
    /// Percentage points that each person who stays may lose for sure: their holdouts are few, and one
    /// answer moves much, so it is the lower end of the 95 % interval of the drop that must not be above.
    pub worst: f64,
    /// The test for what is left of somebody.
    pub equivalence: Equivalence,
}

impl Default for Limits {
    fn default() -> Self {
        Self { drop: 5.0, worst: 20.0, equivalence: Equivalence::default() }
    }
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gated {
    /// Accuracy on the calibrating part of the anchor set.
    pub calibration: Option<RetainedVerdict>,
    /// Accuracy on the holdouts of those who stay.
    pub holdouts: Option<RetainedVerdict>,
    /// The one of them who lost most.
    pub worst_off: Option<SubjectDrop>,
    /// What was asked of everybody who stays, and whether it held; none in a record of before it was.
    #[serde(default)]
    pub each: Option<EachVerdict>,
    /// Whether their probability of the true label is as if it had never been learnt.
    pub memory: Option<Evidence>,
    /// The same of wrong answers.
    pub errors: Option<Evidence>,
    /// Whether accuracy was held against the clean ancestor's, not against that of the model before.
    pub beside_ancestor: bool,
    /// Whether the candidate may be served.
    pub passed: bool,
}

/// Whether nobody who stays lost too much for sure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EachVerdict {
    /// Whether it is so.
    pub passed: bool,
    /// The limit, in percentage points.
    pub limit: f64,
    /// The one whose loss is surest: of whom the interval of the drop begins highest.
    pub surest: SubjectDrop,
}

impl EachVerdict {
    /// Of the drops of everybody; `None` of nobody.
    fn of(drops: &[SubjectDrop], limit: f64) -> Option<Self> {
        let sure = |of: &SubjectDrop| of.drop.interval95[0];
        let surest = *drops.iter().max_by(|a, b| sure(a).total_cmp(&sure(b)))?;
        Some(Self { passed: sure(&surest) <= limit, limit, surest })
    }
}

impl Gated {
    /// In words: what fell by how much, and what is still known.
    pub fn told(&self) -> String {
        let drop = |what: &str, of: &Option<RetainedVerdict>| {
            of.as_ref().map(|of| {
                format!("{what} {:+.1} points on {} samples", -of.drop.points, of.drop.samples)
            })
        };
        let known = |what: &str, of: &Option<Evidence>| {
            of.as_ref().map(|of| format!("{what} {:?}", of.verdict).to_lowercase())
        };
        let one = self.worst_off.map(|of| {
            format!("worst-off person {:+.1} points on {}", -of.drop.points, of.drop.samples)
        });
        let parts = [
            drop("calibration", &self.calibration),
            drop("holdouts", &self.holdouts),
            one,
            known("what is remembered:", &self.memory),
            known("errors:", &self.errors),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// Sets on which a model is held against the one before.
pub(super) struct Probes {
    calibration: Option<Dataset>,
    holdouts: Option<Dataset>,
}

impl Home {
    /// The sets that are measured, with labels as `classes` say; only samples whose label is in `common`.
    pub(super) fn probes(
        &self,
        classes: &[String],
        common: &[String],
        leaving: &[Handle],
    ) -> Result<Probes, HomeError> {
        let some = |set: Dataset| (!set.is_empty()).then_some(set);
        let calibration = self.anchor(AnchorPart::Calibrate).map(|set| of_classes(set, classes));
        let held = |_: u64, header: &Header| header.held && !header.concerns(leaving);
        let holdouts = some(self.pick(classes, common, held)?);
        Ok(Probes { calibration, holdouts })
    }

    fn pick(
        &self,
        classes: &[String],
        common: &[String],
        picked: impl Fn(u64, &Header) -> bool,
    ) -> Result<Dataset, HomeError> {
        let shape = self.base.network.description.input_shape();
        let frame = Frame { shape, classes: classes.to_vec() };
        let known = |sample: &crate::vault::Sample| common.contains(&sample.label);
        gather(self.store()?, &self.keyring, frame, None, known, picked)
    }

    /// Whether `model` answers each sample of the probes rightly: calibration first, then holdouts. What
    /// it has no name for it answers wrongly.
    pub(super) fn answers(
        &self,
        model: &Artifact,
        common: &[String],
        leaving: &[Handle],
    ) -> Result<Vec<bool>, HomeError> {
        let probes = self.probes(common, common, leaving)?;
        let mut all = Vec::new();
        for set in [probes.calibration, probes.holdouts].into_iter().flatten() {
            let (set, known) = renamed(set, &model.meaning.classes);
            let (right, _) = asked(model, &set)?;
            all.extend(right.into_iter().zip(known).map(|(right, known)| right && known));
        }
        Ok(all)
    }

    /// Judges `candidate` against how the model before answered, and, where their samples are still here,
    /// against the clean ancestor. Where the base itself knows them there is none, and nothing to tell
    /// forgetting by.
    pub(super) fn judge(
        &self,
        candidate: &Artifact,
        ancestor: Option<&Artifact>,
        before: &[bool],
        job: &Job,
        limits: Limits,
    ) -> Result<Gated, HomeError> {
        let leaving = job.people();
        let common = &candidate.meaning.classes;
        let probes = self.probes(common, common, &leaving)?;
        let split = probes.calibration.as_ref().map_or(0, |set| set.len().min(MOST));
        let (calibrated, held) = before.split_at(split.min(before.len()));
        let (mut calibration, mut holdouts) = (None, None);
        if let Some(set) = &probes.calibration {
            let (right, _) = asked(candidate, set)?;
            calibration = Some(retained(calibrated, &right, limits.drop)?);
        }
        let (mut worst, mut each) = (None, None);
        if let Some(set) = &probes.holdouts {
            let (right, _) = asked(candidate, set)?;
            holdouts = Some(retained(held, &right, limits.drop)?);
            let subjects: Vec<u32> = set.subjects.iter().copied().take(MOST).collect();
            let drops = retained_by_subject(held, &right, &subjects)?;
            (worst, each) = (drops.first().copied(), EachVerdict::of(&drops, limits.worst));
        }
        let (memory, errors) = match ancestor {
            Some(ancestor) => self.probe([candidate, ancestor], &leaving, limits)?,
            None => (None, None),
        };
        let kept = |of: &Option<RetainedVerdict>| of.as_ref().is_none_or(|verdict| verdict.passed);
        let failed = crate::evaluate::equivalence::Verdict::Failed;
        let known = [&memory, &errors].into_iter().flatten().any(|e| e.verdict == failed);
        let nobody = each.is_none_or(|each| each.passed);
        let passed = kept(&calibration) && kept(&holdouts) && nobody && !known;
        let beside_ancestor = false;
        Ok(Gated {
            calibration,
            holdouts,
            worst_off: worst,
            each,
            memory,
            errors,
            beside_ancestor,
            passed,
        })
    }

    /// What is left of those who go, as far as their samples are still here: how the candidate and the
    /// clean ancestor answer them.
    fn probe(
        &self,
        models: [&Artifact; 2],
        leaving: &[Handle],
        limits: Limits,
    ) -> Result<(Option<Evidence>, Option<Evidence>), HomeError> {
        let upto = self.state.holding(leaving).flat_map(|model| &model.steps);
        let upto = upto.map(|step| step.leg.upto).max().unwrap_or(0);
        // What came after the last adaptation was learnt by nobody.
        let learnt = |number: u64, header: &Header| {
            number < upto && !header.held && header.concerns(leaving)
        };
        let trained = self.side("trained", models, learnt)?;
        if trained.is_empty() {
            return Ok((None, None));
        }
        let never = |_: u64, header: &Header| header.held && header.concerns(leaving);
        let held = self.side("held-out", models, never)?;
        let test = |of: fn(&Side) -> &[Vec<f64>; 2]| {
            let [trained, held] = [&trained, &held].map(|side| {
                let [candidate, ancestor] = of(side);
                Pairs { candidate, ancestor }
            });
            limits.equivalence.of_confidences(trained, held)
        };
        Ok((Some(test(|side| &side.confidences)?), Some(test(|side| &side.errors)?)))
    }

    /// What `models` say of the samples that `picked` picks, one value for each group.
    fn side(
        &self,
        name: &'static str,
        models: [&Artifact; 2],
        picked: impl Fn(u64, &Header) -> bool,
    ) -> Result<Side, HomeError> {
        let base = &self.base.meaning.classes;
        let mut set = self.pick(base, base, picked)?;
        let mut side = Side::default();
        if set.is_empty() {
            return Ok(side);
        }
        for (at, model) in models.into_iter().enumerate() {
            // New classes come behind those of the base: labels stay what they are.
            set.classes.clone_from(&model.meaning.classes);
            let (right, confidences) = asked(model, &set)?;
            let groups = &set.groups[..right.len()];
            let wrong: Vec<f64> = right.iter().map(|&right| f64::from(!right)).collect();
            side.confidences[at] = group_means(name, &confidences, groups)?;
            side.errors[at] = group_means(name, &wrong, groups)?;
        }
        Ok(side)
    }
}

/// What candidate and clean ancestor say of one kind of samples: a mean for each group.
#[derive(Default)]
struct Side {
    /// Probabilities of the true label.
    confidences: [Vec<f64>; 2],
    /// Shares of wrong answers.
    errors: [Vec<f64>; 2],
}

impl Side {
    fn is_empty(&self) -> bool {
        self.errors[0].is_empty()
    }
}

/// The set with its labels among more classes.
fn of_classes(set: &Dataset, classes: &[String]) -> Dataset {
    // New classes come behind those of the base: labels stay what they are.
    Dataset { classes: classes.to_vec(), ..set.clone() }
}

/// The set with its labels as `classes` count them, and whether they have the label of each sample.
fn renamed(set: Dataset, classes: &[String]) -> (Dataset, Vec<bool>) {
    let places: Vec<Option<u32>> = set
        .classes
        .iter()
        .map(|name| classes.iter().position(|class| class == name).map(|at| at as u32))
        .collect();
    let found: Vec<Option<u32>> =
        set.labels.iter().map(|label| places.get(*label as usize).copied().flatten()).collect();
    let known = found.iter().map(Option::is_some).collect();
    let labels = found.into_iter().map(Option::unwrap_or_default).collect();
    (Dataset { classes: classes.to_vec(), labels, ..set }, known)
}

/// Of each sample, whether it is answered rightly, and the probability of its true label.
fn asked(model: &Artifact, set: &Dataset) -> Result<(Vec<bool>, Vec<f64>), HomeError> {
    let indices: Vec<usize> = (0..set.len().min(MOST)).collect();
    let probabilities = score(&model.network, set, &indices, Isa::best())?;
    let labels = indices.iter().map(|&index| set.labels[index]).collect();
    let scores = Scores::new("retain", probabilities, labels)?;
    let right = scores.rows().map(|(row, label)| {
        // The first of equals, as everywhere.
        let best =
            row.iter().enumerate().fold(0, |best, (i, p)| if *p > row[best] { i } else { best });
        best == label
    });
    Ok((right.collect(), scores.confidences()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_who_loses_for_sure_fails_and_one_who_may_have_does_not() {
        let answers = |lost: usize, of: usize| {
            let (before, after): (Vec<bool>, Vec<bool>) =
                (0..of).map(|at| (true, at >= lost)).unzip();
            (before, after)
        };
        let verdict = |people: &[(usize, usize)], limit| {
            let (mut before, mut after, mut subjects) = (Vec::new(), Vec::new(), Vec::new());
            for (subject, (lost, of)) in people.iter().enumerate() {
                let (was, is) = answers(*lost, *of);
                before.extend(was);
                after.extend(is);
                subjects.extend(vec![subject as u32; *of]);
            }
            let drops = retained_by_subject(&before, &after, &subjects).unwrap();
            EachVerdict::of(&drops, limit).unwrap()
        };
        // One answer of three is a third of them, and tells next to nothing.
        let unsure = verdict(&[(0, 50), (1, 3)], 20.0);
        assert!(unsure.passed && unsure.surest.drop.interval95[0] < 20.0, "{unsure:?}");
        // Most of forty is no accident, however well the others are off.
        let sure = verdict(&[(0, 50), (1, 3), (24, 40)], 20.0);
        assert!(!sure.passed && sure.surest.subject == 2, "{sure:?}");
        assert!(verdict(&[(24, 40)], 100.0).passed);
        assert!(EachVerdict::of(&[], 20.0).is_none());
    }
}
