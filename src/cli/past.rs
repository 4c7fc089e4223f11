//! What a model was told to forget, and the data it learnt from. Every file states both, and every
//! command that learns holds to them: what one command forgot, the next must not teach again.

use std::collections::BTreeSet;
use std::path::Path;

use super::fault::Fault;
use super::setting;
use crate::data::{Dataset, Scenario, Splits};
use crate::evaluate::Sets;
use crate::format::Facts;
use crate::model::file::Artifact;

/// The fact that lists what was forgotten: one `SEED SCENARIO` a line.
const FORGOTTEN: &str = "forgotten";

/// What was forgotten on the way to a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Past(Vec<(u64, String)>);

impl Past {
    /// The past that a file states.
    pub(super) fn of(facts: &Facts) -> Self {
        let lines = facts.get(FORGOTTEN).unwrap_or_default().lines();
        let entry = |line: &str| {
            let (seed, scenario) = line.split_once(' ')?;
            Some((seed.parse().ok()?, scenario.to_string()))
        };
        Self(lines.filter_map(entry).collect())
    }

    /// This past, and a scenario more.
    pub(super) fn and(mut self, scenario: Option<&str>, seed: u64) -> Self {
        if let Some(scenario) = scenario.filter(|scenario| !self.holds(scenario, seed)) {
            self.0.push((seed, scenario.to_string()));
        }
        self
    }

    /// Whether a scenario is part of it.
    pub(super) fn holds(&self, scenario: &str, seed: u64) -> bool {
        self.0.iter().any(|(s, text)| *s == seed && text == scenario)
    }

    /// The seed with which a scenario was forgotten.
    pub(super) fn seed_of(&self, scenario: &str) -> Option<u64> {
        self.0.iter().rev().find(|(_, text)| text == scenario).map(|(seed, _)| *seed)
    }

    /// Whether nothing was forgotten.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The past in words.
    pub(super) fn told(&self) -> String {
        let one = |(seed, scenario): &(u64, String)| format!("{scenario} (seed {seed})");
        self.0.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// `facts`, stating this past.
    pub(super) fn state(&self, facts: Facts) -> Facts {
        if self.0.is_empty() {
            return facts;
        }
        let lines: Vec<String> = self.0.iter().map(|(s, text)| format!("{s} {text}")).collect();
        facts.with(FORGOTTEN, lines.join("\n"))
    }

    /// Takes what was forgotten out of what is retained and tested on.
    ///
    /// # Errors
    /// If a scenario does not fit the data, or nothing would be left to retain or to test on.
    pub(super) fn narrow(&self, sets: &mut Sets, data: &Splits) -> Result<(), Fault> {
        for (seed, scenario) in &self.0 {
            let scenario = Scenario::parse(scenario)?;
            let gone = scenario.forget_indices(&data.train, *seed)?.forget;
            sets.retain.retain(|index| gone.binary_search(index).is_err());
            let tested = scenario.test_indices(&data.test)?;
            sets.test.retain(|index| tested.binary_search(index).is_ok());
        }
        match sets.retain.is_empty() || sets.test.is_empty() {
            true => Err(Fault::Usage(format!(
                "nothing is left: the model had already forgotten {}",
                self.told()
            ))),
            false => Ok(()),
        }
    }

    /// Samples to validate on: those of a scenario of this past, less what `sets` is to forget.
    ///
    /// # Errors
    /// If the model of the file `path` was not trained without them, or none is left.
    pub(super) fn held(
        &self,
        scenario: &str,
        path: &Path,
        sets: &Sets,
        train: &Dataset,
    ) -> Result<Vec<usize>, Fault> {
        let Some(seed) = self.seed_of(scenario) else {
            let told = match self.is_empty() {
                true => "on everything".into(),
                false => format!("without {} only", self.told()),
            };
            return Err(Fault::Usage(format!(
                "--validation {scenario}: {} may have learnt from these samples; it was trained {told}; train it with --without {scenario}",
                path.display()
            )));
        };
        let mut held = Scenario::parse(scenario)?.forget_indices(train, seed)?.forget;
        held.retain(|index| sets.forget.binary_search(index).is_err());
        match held.is_empty() {
            true => Err(Fault::Usage(format!(
                "--validation {scenario}: all of these samples are to be forgotten, none is left to validate on"
            ))),
            false => Ok(held),
        }
    }

    /// Samples of the whole training set that were forgotten, ascending.
    ///
    /// # Errors
    /// If a scenario does not fit the data.
    pub(super) fn gone(&self, train: &Dataset) -> Result<Vec<usize>, Fault> {
        let mut gone = BTreeSet::new();
        for (seed, scenario) in &self.0 {
            gone.extend(Scenario::parse(scenario)?.forget_indices(train, *seed)?.forget);
        }
        Ok(gone.into_iter().collect())
    }

    /// Test samples of what was forgotten, ascending: of its classes, and of its people.
    ///
    /// # Errors
    /// If a scenario does not fit the data.
    pub(super) fn gone_tests(&self, test: &Dataset) -> Result<Vec<usize>, Fault> {
        let mut gone = BTreeSet::new();
        for (_, scenario) in &self.0 {
            let scenario = Scenario::parse(scenario)?;
            let stays = scenario.test_indices(test)?;
            gone.extend((0..test.len()).filter(|index| stays.binary_search(index).is_err()));
            let Scenario::Subject(names) = scenario else { continue };
            let whose = |index: &usize| &test.subject_names[test.subjects[*index] as usize];
            gone.extend((0..test.subjects.len()).filter(|index| names.contains(whose(index))));
        }
        Ok(gone.into_iter().collect())
    }

    /// Takes what was forgotten out of the training set.
    ///
    /// # Errors
    /// As [`Past::narrow`].
    pub(super) fn leave(&self, data: &mut Splits) -> Result<(), Fault> {
        let (retain, test) = ((0..data.train.len()).collect(), (0..data.test.len()).collect());
        let mut sets = Sets { forget: Vec::new(), retain, test };
        self.narrow(&mut sets, data)?;
        if sets.retain.len() < data.train.len() {
            data.train = data.train.subset(&sets.retain);
        }
        Ok(())
    }
}

/// Refuses data that the model did not learn from: figures on it would look right and mean nothing.
pub(super) fn same_data(
    model: &Artifact,
    path: &Path,
    data: &Splits,
    other_data: bool,
) -> Result<(), Fault> {
    let description = &model.network.description;
    let fits = description.classes == data.train.classes.len()
        && description.input_shape() == data.train.shape;
    if !fits {
        // Said with both shapes where the network meets the samples.
        return Ok(());
    }
    let found = data.train.digest().to_string();
    match model.facts.get("data_digest") {
        Some(then) if then != found && !other_data => Err(Fault::Usage(format!(
            "{} learnt from other data ({}, digest {then}) than {} (digest {found}): give that, or --other-data if this is meant",
            path.display(),
            model.facts.get("data").unwrap_or("unknown"),
            data.name
        ))),
        _ => Ok(()),
    }
}

/// Refuses to write over the file that is read.
pub(super) fn not_itself(model: &Path, out: &Path) -> Result<(), Fault> {
    let same =
        model.canonicalize().ok().filter(|model| out.canonicalize().ok().as_ref() == Some(model));
    match same {
        Some(_) => Err(Fault::Usage(format!(
            "--out names the model that is read, {}: choose another file",
            setting::told(model)
        ))),
        None => Ok(()),
    }
}
