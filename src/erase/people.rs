//! People and their samples: who is here, taking samples in, and giving a person's samples out.

use serde::Serialize;

use super::error::HomeError;
use super::home::Home;
use crate::vault::{Added, Handle, Key, NewSample, Person, Sample, Values, VaultError};

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
        let expected: usize = self.base.network.description.input_shape().iter().product();
        for (index, sample) in samples.iter().enumerate() {
            let found = sample.values.len();
            if found != expected {
                let shape = self.base.network.description.input_shape();
                let rule = format!(
                    "it has {found} values, the base takes {expected} ({shape:?}: channels, height, width)"
                );
                return Err(HomeError::Sample { index, rule });
            }
            if sample.subjects.is_empty() {
                let rule = "it has no subject, expected 1 to 16 names".into();
                return Err(HomeError::Sample { index, rule });
            }
            sample.subjects.iter().try_for_each(|name| named(name))?;
        }
        let mut known: std::collections::BTreeMap<String, Handle> =
            self.people()?.into_iter().map(|(handle, person)| (person.name, handle)).collect();
        let mut taken = Taken { enrolled: self.enrol(samples, &mut known)?, ..Taken::default() };
        let rules = (self.state.seed, self.state.holdout);
        for (piece, samples) in samples.chunks(BATCH).enumerate() {
            let new: Vec<NewSample> =
                samples.iter().map(|sample| handled(sample, &known)).collect();
            let quota = self.state.quota;
            let added = self.change_index(|store, keyring| store.add(keyring, rules, quota, &new));
            let added = added.map_err(|error| match error {
                HomeError::Vault(VaultError::Sample { index, rule }) => {
                    HomeError::Sample { index: piece * BATCH + index, rule }
                }
                other => other,
            })?;
            taken.added.samples += added.samples;
            taken.added.held += added.held;
            taken.added.duplicates += added.duplicates;
        }
        Ok(taken)
    }

    /// Gives everybody a key who has none. The key is durable before anything is sealed under it.
    fn enrol(
        &mut self,
        samples: &[Given],
        known: &mut std::collections::BTreeMap<String, Handle>,
    ) -> Result<u64, HomeError> {
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
        Ok(new.len() as u64)
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
        let names: std::collections::BTreeMap<Handle, String> =
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

fn named(name: &str) -> Result<(), HomeError> {
    let well = (1..=256).contains(&name.len()) && !name.chars().any(char::is_control);
    if well { Ok(()) } else { Err(HomeError::BadName { bytes: name.len() }) }
}

fn handled(sample: &Given, known: &std::collections::BTreeMap<String, Handle>) -> NewSample {
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
