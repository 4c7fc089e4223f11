//! What a shadow model said, as a file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::fault::Fault;
use super::work::Work;
use crate::base::disk::{Disk, FileDisk, Lock, read_at_most, replace};
use crate::base::hash::Digest;

/// The longest result that is read: a million samples take less.
const MOST: u64 = 256 << 20;
/// The first word of a result. A change of what a file holds changes it.
const FORMAT: &str = "unlearn shadow result, version 1";

/// What one shadow model said. Holds no time and no place, so that equal work gives equal bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub format: String,
    /// Digest of all that the numbers depend on.
    pub settings_digest: String,
    /// Which shadow model, from 0.
    pub shadow: usize,
    /// How it was computed.
    pub plan: String,
    /// Training samples that are asked about.
    pub audited: Vec<usize>,
    /// Which of them it learnt, a `1` or a `0` each.
    pub members: String,
    /// What it said when it was trained, and after each method.
    pub answers: BTreeMap<String, Answers>,
}

/// What one network said of the true labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answers {
    /// Logits, of the audited samples.
    pub logits: Vec<f64>,
    /// Probabilities, of the audited samples.
    pub confidences: Vec<f32>,
    /// Whether each is answered rightly.
    pub right: String,
    /// Probabilities, of the population.
    pub population: Vec<f32>,
    /// Whether each of those is answered rightly.
    pub population_right: String,
}

/// Booleans as a text.
pub(super) fn bits(values: impl Iterator<Item = bool>) -> String {
    values.map(|value| if value { '1' } else { '0' }).collect()
}

/// A text as booleans.
pub(super) fn bools(bits: &str) -> impl Iterator<Item = bool> + '_ {
    bits.bytes().map(|bit| bit == b'1')
}

impl Record {
    pub(super) fn new(work: &Work, shadow: usize, answers: BTreeMap<String, Answers>) -> Self {
        Self {
            format: FORMAT.into(),
            settings_digest: work.digest.to_string(),
            shadow,
            plan: work.compute.name(),
            audited: work.audited.clone(),
            members: work.members(shadow),
            answers,
        }
    }

    /// What of it is not what `work` makes, if anything.
    fn unfit(&self, work: &Work, shadow: usize) -> Option<&'static str> {
        let count = |bits: &str| bits.bytes().all(|bit| b"01".contains(&bit)).then_some(bits.len());
        let (samples, population) = (work.audited.len(), work.population.len());
        let whole = |answers: &Answers| {
            let shares = answers.confidences.iter().chain(&answers.population);
            answers.logits.len() == samples
                && answers.confidences.len() == samples
                && count(&answers.right) == Some(samples)
                && answers.population.len() == population
                && count(&answers.population_right) == Some(population)
                && answers.logits.iter().all(|logit| logit.is_finite())
                && shares.into_iter().all(|share| (0.0..=1.01).contains(share))
        };
        let checks = [
            (self.format == FORMAT, "another format"),
            (self.settings_digest == work.digest.to_string(), "other settings"),
            (self.shadow == shadow, "another shadow model"),
            (self.audited == work.audited, "other audited samples"),
            (self.members == work.members(shadow), "other members"),
            (self.answers.keys().eq(work.networks().iter()), "other methods"),
            (self.answers.values().all(whole), "numbers that are missing or none"),
        ];
        checks.into_iter().find(|(holds, _)| !holds).map(|(_, what)| what)
    }
}

/// The files of results in their folder.
pub(super) struct Files {
    pub folder: PathBuf,
    pub digest: Digest,
}

impl Files {
    fn path(&self, model: usize, ending: &str) -> PathBuf {
        self.folder.join(format!("{}-{model:05}.{ending}", self.digest.short()))
    }

    /// The right to train a model; `None` if another process has it.
    pub(super) fn lock(&self, model: usize) -> Result<Option<Lock>, Fault> {
        Ok(Lock::take(&self.path(model, "lock"))?)
    }

    /// Gives it back. Whoever gets hold of the file in between looks for the result first.
    pub(super) fn unlock(&self, model: usize, lock: Lock) -> Result<(), Fault> {
        FileDisk.remove(&self.path(model, "lock"))?;
        drop(lock);
        Ok(())
    }

    /// The result of a model; `None` if there is none yet.
    ///
    /// # Errors
    /// If it cannot be read, or is not what this run would have written.
    pub(super) fn read(&self, model: usize, work: &Work) -> Result<Option<Record>, Fault> {
        let path = self.path(model, "json");
        if !FileDisk.exists(&path)? {
            return Ok(None);
        }
        let bytes = read_at_most(&path, MOST).map_err(Fault::Given)?;
        let wrong = |at: String, why: String| {
            let what = path.display().to_string();
            Fault::Input { what, at, why: format!("{why}: remove the file and run its job again") }
        };
        let record: Record = serde_json::from_slice(&bytes)
            .map_err(|fault| wrong(format!("line {}", fault.line()), fault.to_string()))?;
        match record.unfit(work, model) {
            None => Ok(Some(record)),
            Some(what) => Err(wrong("its contents".into(), format!("it holds {what}"))),
        }
    }

    /// Writes a result durably.
    pub(super) fn write(&self, model: usize, record: &Record) -> Result<(), Fault> {
        let mut text = serde_json::to_vec(record).map_err(|fault| {
            Fault::Usage(format!("shadow model {model} cannot be written as JSON: {fault}"))
        })?;
        text.push(b'\n');
        Ok(replace(&mut FileDisk, &self.path(model, "json"), &text)?)
    }
}
