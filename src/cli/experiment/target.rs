//! Which samples a trial forgets: those that the scenario names, or, to search a grid on, others of
//! the same kind that no table reports.

use serde_json::{Value, json};

use super::super::fault::Fault;
use crate::base::hash::Digest;
use crate::base::rng::Stream;
use crate::data::{Dataset, Partition, Scenario, Splits, Values};
use crate::evaluate::Sets;

/// The sets of a trial, and what they are.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub sets: Sets,
    /// In words: the scenario, or what stands in for it.
    pub told: String,
}

impl Target {
    /// The sets of `scenario` with `seed`; with `held_out`, those that stand in for it.
    ///
    /// # Errors
    /// If the scenario does not fit the data, or nothing can stand in for it.
    pub(super) fn new(
        scenario: &str,
        held_out: bool,
        data: &Splits,
        seed: u64,
    ) -> Result<Self, Fault> {
        let parsed = Scenario::parse(scenario)?;
        let sets = Sets::new(&parsed, data, seed)?;
        if !held_out {
            return Ok(Self { sets, told: scenario.to_string() });
        }
        match &parsed {
            Scenario::Class(_) => {
                let gone = labels_of(&data.train.labels, &sets.forget);
                let other = next(&data.train.classes, &data.train.labels, &gone);
                Self::named(other.map(|name| Scenario::Class(vec![name])), scenario, data, seed)
            }
            Scenario::Subject(_) => {
                let gone = labels_of(&data.train.subjects, &sets.forget);
                let other = next(&data.train.subject_names, &data.train.subjects, &gone);
                Self::named(other.map(|name| Scenario::Subject(vec![name])), scenario, data, seed)
            }
            _ => Self::drawn(sets, scenario, data, seed),
        }
    }

    fn named(
        other: Option<Scenario>,
        scenario: &str,
        data: &Splits,
        seed: u64,
    ) -> Result<Self, Fault> {
        let Some(other) = other else { return Err(nothing(scenario)) };
        let sets = Sets::new(&other, data, seed)?;
        Ok(Self { sets, told: format!("{other}, held out for {scenario}") })
    }

    /// As many samples as are to be forgotten, drawn from those that are kept. Groups stay whole.
    fn drawn(reported: Sets, scenario: &str, data: &Splits, seed: u64) -> Result<Self, Fault> {
        let share = reported.forget.len() as f64 / reported.retain.len() as f64;
        if !(share > 0.0 && share < 1.0) {
            return Err(nothing(scenario));
        }
        let draw = Stream::new(seed, "experiment/held-out").word();
        let kept = skeleton(&data.train, &reported.retain);
        let Partition { forget, .. } = Scenario::Random(share).forget_indices(&kept, draw)?;
        let forget: Vec<usize> = forget.into_iter().map(|index| reported.retain[index]).collect();
        let stays = |index: &usize| forget.binary_search(index).is_err();
        let retain = (0..data.train.len()).filter(stays).collect();
        let told = format!("{} other samples, held out for {scenario}", forget.len());
        Ok(Self { sets: Sets { forget, retain, test: reported.test }, told })
    }

    /// What figures depend on: the samples of each set.
    pub(super) fn key(&self) -> Value {
        let words = |of: &[usize]| -> Vec<u8> {
            of.iter().flat_map(|&index| (index as u64).to_le_bytes()).collect()
        };
        let Sets { forget, retain, test } = &self.sets;
        let parts = [words(forget), words(retain), words(test)];
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        json!(Digest::of_parts("unlearn experiment sets, version 1", &parts).to_string())
    }
}

/// Labels, groups and nothing else of some samples: what a draw looks at.
fn skeleton(set: &Dataset, indices: &[usize]) -> Dataset {
    let pick = |of: &[u32]| match of.is_empty() {
        true => Vec::new(),
        false => indices.iter().map(|&index| of[index]).collect(),
    };
    Dataset {
        shape: set.shape,
        values: Values::Bytes(Vec::new()),
        labels: pick(&set.labels),
        classes: set.classes.clone(),
        subjects: pick(&set.subjects),
        subject_names: set.subject_names.clone(),
        groups: pick(&set.groups),
    }
}

fn labels_of(of: &[u32], indices: &[usize]) -> Vec<u32> {
    let mut labels: Vec<u32> = indices.iter().map(|&index| of[index]).collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

/// The name after those that are gone, in order and round the end, of which there is a sample.
fn next(names: &[String], of: &[u32], gone: &[u32]) -> Option<String> {
    let count = names.len() as u32;
    let after = gone.iter().max()?;
    let others = (1..=count).map(|step| (after + step) % count);
    let other = others.filter(|label| !gone.contains(label)).find(|label| of.contains(label))?;
    names.get(other as usize).cloned()
}

fn nothing(scenario: &str) -> Fault {
    Fault::Usage(format!(
        "nothing can stand in for {scenario} to search a grid on: the data has no other samples of the kind; leave `grid` out"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Population;

    #[test]
    fn what_is_held_out_is_of_the_same_kind_and_shares_nothing_with_what_is_reported() {
        let data = Population::default().base();
        for scenario in ["class=3", "class=9", "random=0.1", "subject=p24"] {
            let reported = Target::new(scenario, false, &data, 5).unwrap();
            let held = Target::new(scenario, true, &data, 5).unwrap();
            let all = data.train.len();
            for Sets { forget, retain, .. } in [&reported.sets, &held.sets] {
                assert_eq!(forget.len() + retain.len(), all, "{scenario}");
            }
            let both = |index: &&usize| reported.sets.forget.contains(index);
            assert_eq!(held.sets.forget.iter().find(both), None, "{scenario}");
            let (one, two) = (reported.sets.forget.len(), held.sets.forget.len());
            assert!(two * 4 > one * 3 && one * 4 > two * 3, "{scenario}: {one} and {two}");
            assert_ne!(reported.key(), held.key());
            assert_eq!(held.key(), Target::new(scenario, true, &data, 5).unwrap().key());
        }
        let told = Target::new("class=9", true, &data, 5).unwrap().told;
        assert!(told.starts_with(&format!("class={}, held", data.train.classes[0])), "{told}");
    }
}
