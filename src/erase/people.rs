//! People and their samples: who is here, taking samples in, and giving a person's samples out.

use std::collections::BTreeMap;

use serde::Serialize;

use super::error::HomeError;
use super::home::Home;
use crate::vault::{
    Added, Handle, Key, MAX_OWNERS, NewSample, Person, Sample, Values, VaultError, broken_rule,
};

/// Samples that are taken in by one transaction.
const BATCH: usize = 1024;

/// A sample as an assistant gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// Names of those whose sample it is.
    pub subjects: Vec<String>,
    /// The name of its class.
    pub label: String,
    /// What it must not be parted from.
    pub group: Option<String>,
    /// Its numbers, `[C, H, W]` row-major, as the base takes them.
    pub values: Values,
}

/// What came of taking samples in.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Taken {
    /// The samples.
    #[serde(flatten)]
    pub added: Added,
    /// People who were not here before.
    pub enrolled: u64,
}

impl Home {
    /// Everybody here, by name.
    ///
    /// # Errors
    /// If the vault cannot be read.
    pub fn people(&self) -> Result<Vec<(Handle, Person)>, HomeError> {
        let mut people = self.store()?.people(&self.keyring)?;
        people.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        Ok(people)
    }

    /// The handle of who is called `name`.
    ///
    /// # Errors
    /// If nobody is.
    pub fn handle_of(&self, name: &str) -> Result<Handle, HomeError> {
        let people = self.people()?;
        let found = people.iter().find(|(_, person)| person.name == name);
        found.map(|(handle, _)| *handle).ok_or_else(|| {
            let names: Vec<&str> = people.iter().take(8).map(|(_, p)| &*p.name).collect();
            let more = if people.len() > 8 { " and others" } else { "" };
            let hint = match names.is_empty() {
                true => ": nobody was taken in yet".into(),
                false => format!("; here are {}{more}", names.join(", ")),
            };
            HomeError::UnknownPerson { name: name.into(), hint }
        })
    }

    /// Takes samples in. People who are not here yet are enrolled, each with a key of their own.
    /// In pieces of 1,024 samples, each of which is there wholly or not at all.
    ///
    /// # Errors
    /// If a sample does not fit the base or breaks a rule (the pieces before it are there), an erasure is
    /// under way, or the disk is full.
    pub fn ingest(&mut self, samples: &[Given]) -> Result<Taken, HomeError> {
        if self.job().is_some_and(|job| job.stopped.is_some()) {
            return Err(HomeError::UnderWay { what: "an erasure" });
        }
        self.open_store()?;
        let shape = self.base.network.description.input_shape();
        for (index, sample) in samples.iter().enumerate() {
            if let Some(rule) = fault_of(sample, shape) {
                return Err(HomeError::Sample { index, rule });
            }
        }
        let mut known: BTreeMap<String, Handle> =
            self.people()?.into_iter().map(|(handle, person)| (person.name, handle)).collect();
        let mut taken = Taken::default();
        for (piece, samples) in samples.chunks(BATCH).enumerate() {
            let new = self.enrol(samples, &mut known)?;
            let added = self.take_in(piece, samples, &known);
            if added.is_err() && !new.is_empty() {
                // Who came with samples that were not taken in is not here. Where this fails too, they
                // are here without a sample; what went wrong first is what is told.
                let _ = self.forget_enrolled(&new);
            }
            let added = added?;
            taken.enrolled += new.len() as u64;
            taken.added.samples += added.samples;
            taken.added.held += added.held;
            taken.added.duplicates += added.duplicates;
        }
        Ok(taken)
    }

    fn take_in(
        &mut self,
        piece: usize,
        samples: &[Given],
        known: &BTreeMap<String, Handle>,
    ) -> Result<Added, HomeError> {
        let rules = (self.state.seed, self.state.holdout);
        let new: Vec<NewSample> = samples.iter().map(|sample| handled(sample, known)).collect();
        let quota = self.state.quota;
        let added = self.change_index(|store, keyring| store.add(keyring, rules, quota, &new));
        added.map_err(|error| match error {
            HomeError::Vault(VaultError::Sample { index, rule }) => {
                HomeError::Sample { index: piece * BATCH + index, rule }
            }
            other => other,
        })
    }

    fn forget_enrolled(&mut self, new: &[Handle]) -> Result<(), HomeError> {
        let mut keyring = self.keyring.clone();
        new.iter().for_each(|handle| _ = keyring.forget(handle));
        self.keep(keyring, self.state.clone(), true)?;
        self.change_index(|store, keyring| store.purge(keyring)).map(drop)
    }

    /// Gives everybody a key who has none, and says who they are. The key is durable before anything is
    /// sealed under it.
    fn enrol(
        &mut self,
        samples: &[Given],
        known: &mut BTreeMap<String, Handle>,
    ) -> Result<Vec<Handle>, HomeError> {
        let mut keyring = self.keyring.clone();
        let mut new = Vec::new();
        for name in samples.iter().flat_map(|sample| &sample.subjects) {
            if !known.contains_key(name) {
                let handle = Handle::fresh()?;
                keyring.enrol(handle, Key::fresh()?);
                known.insert(name.clone(), handle);
                new.push((handle, name.clone()));
            }
        }
        if !new.is_empty() {
            self.keep(keyring, self.state.clone(), false)?;
            self.change_index(|store, keyring| store.enrol(keyring, &new))?;
        }
        Ok(new.into_iter().map(|(handle, _)| handle).collect())
    }

    /// Every sample of a person, with the names of those it is shared with: for the right of access.
    ///
    /// # Errors
    /// If nobody has the name, or the vault cannot be read.
    pub fn samples_of(
        &self,
        name: &str,
        mut take: impl FnMut(&Sample, &[String]),
    ) -> Result<u64, HomeError> {
        let handle = self.handle_of(name)?;
        let names: BTreeMap<Handle, String> =
            self.people()?.into_iter().map(|(handle, person)| (handle, person.name)).collect();
        let mut count = 0;
        let numbers = self.store()?.numbers_of(handle)?;
        let wanted = |number: u64, _: &crate::vault::Header| numbers.binary_search(&number).is_ok();
        self.store()?.each(&self.keyring, wanted, |sample| {
            let of = |person| names.get(person).cloned().unwrap_or_default();
            take(&sample, &sample.people.iter().map(of).collect::<Vec<_>>());
            count += 1;
        })?;
        Ok(count)
    }
}

/// Which rule a sample breaks for a base that takes `shape`, if any.
fn fault_of(sample: &Given, shape: [usize; 3]) -> Option<String> {
    let (found, expected) = (sample.values.len(), shape.iter().product::<usize>());
    if found != expected {
        return Some(format!(
            "it has {found} values, the base takes {expected} ({shape:?}: channels, height, width)"
        ));
    }
    let names = &sample.subjects;
    if !(1..=MAX_OWNERS).contains(&names.len()) {
        return Some(format!("it has {} subjects, expected 1 to {MAX_OWNERS} names", names.len()));
    }
    if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        return Some(format!("it names the subject `{}` twice", twice.1.escape_debug()));
    }
    let well =
        |name: &&String| (1..=256).contains(&name.len()) && !name.chars().any(char::is_control);
    if let Some(name) = names.iter().find(|name| !well(name)) {
        let bytes = name.len();
        return Some(format!(
            "the name of a subject of it has {bytes} bytes, expected 1 to 256 without control characters"
        ));
    }
    broken_rule(&sample.label, sample.group.as_deref(), &sample.values)
}

fn handled(sample: &Given, known: &BTreeMap<String, Handle>) -> NewSample {
    let mut people: Vec<Handle> =
        sample.subjects.iter().filter_map(|name| known.get(name).copied()).collect();
    people.sort_unstable();
    NewSample {
        people,
        label: sample.label.clone(),
        group: sample.group.clone(),
        values: sample.values.clone(),
    }
}
