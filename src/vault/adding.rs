//! Taking samples in: one transaction.

use redb::{ReadableTable, Table, WriteTransaction};

use super::error::VaultError;
use super::handle::Handle;
use super::keyring::Keyring;
use super::samples::{Header, NewSample, short};
use super::seal::Key;
use super::store::{
    Added, FACTS, MARK, MARKS, NEXT, OWNERS, PEOPLE, Person, Quota, SAMPLES, Store, mark, owner,
    seal_person,
};
use crate::base::rng::Stream;

/// The tables of one transaction that takes in samples.
pub(super) struct Adding<'a> {
    store: &'a Store,
    keyring: &'a Keyring,
    seed: u64,
    share: f64,
    samples: Table<'a, u64, &'static [u8]>,
    owners: Table<'a, [u8; 24], ()>,
    marks: Table<'a, [u8; 32], u64>,
    people: Table<'a, [u8; 16], &'static [u8]>,
    facts: Table<'a, &'static str, u64>,
    next: u64,
    bytes: u64,
    added: Added,
    /// Whom it concerns, opened once.
    known: std::collections::BTreeMap<Handle, Person>,
    /// The key of the people of the sample before: most samples come in rows.
    last: Option<(Vec<Handle>, Key)>,
}

impl<'a> Adding<'a> {
    pub(super) fn open(
        store: &'a Store,
        write: &'a WriteTransaction,
        keyring: &'a Keyring,
        (seed, share): (u64, f64),
    ) -> Result<Self, VaultError> {
        store.step("open its tables", || {
            let facts = write.open_table(FACTS)?;
            let next = facts.get(NEXT)?.map_or(0, |next| next.value());
            Ok(Self {
                store,
                keyring,
                seed,
                share,
                samples: write.open_table(SAMPLES)?,
                owners: write.open_table(OWNERS)?,
                marks: write.open_table(MARKS)?,
                people: write.open_table(PEOPLE)?,
                facts,
                next,
                bytes: 0,
                added: Added::default(),
                known: std::collections::BTreeMap::new(),
                last: None,
            })
        })
    }

    pub(super) fn one(&mut self, sample: &NewSample) -> Result<(), VaultError> {
        let key = match &self.last {
            Some((people, key)) if *people == sample.people => key.clone(),
            _ => self.keyring.key_of(&sample.people)?,
        };
        self.last = Some((sample.people.clone(), key.clone()));
        let set = Header::set(&sample.people);
        let text = sample.text();
        let about = |kind: &[u8], of: &[u8]| mark(set, short(key.mark(MARK, &[kind, of])));
        // The group is no part of it: the same recording may come again under another name.
        let group_len = sample.group.as_deref().map_or(0, str::len);
        let label_end = 1 + sample.label.len();
        let values = &text[label_end + 1 + group_len..];
        let twin = about(b"duplicate", &[&text[..label_end], values].concat());
        if self.read_mark(twin)?.is_some() {
            self.added.duplicates += 1;
            return Ok(());
        }
        let group = sample.group.as_deref().map(|group| about(b"group", group.as_bytes()));
        let met = group.map_or(Ok(None), |group| self.read_mark(group))?;
        let held = match met {
            Some(held) => held != 0,
            None => self.draw(about(b"label", sample.label.as_bytes()), &sample.label)?,
        };
        let number = self.next;
        let header =
            Header { epoch: self.keyring.generation(), held, people: sample.people.clone() };
        let record = header.seal(&key, number, &text)?;
        self.store.step("add a sample", || {
            self.samples.insert(number, &record[..])?;
            for person in &sample.people {
                self.owners.insert(owner(*person, number), ())?;
            }
            self.marks.insert(twin, number)?;
            if let Some(group) = group {
                self.marks.insert(group, u64::from(held))?;
            }
            Ok(())
        })?;
        self.credit(sample, number, held, record.len() as u64)?;
        self.next += 1;
        self.bytes += record.len() as u64;
        self.added.samples += 1;
        self.added.held += u64::from(held);
        Ok(())
    }

    fn read_mark(&self, mark: [u8; 32]) -> Result<Option<u64>, VaultError> {
        self.store.step("read", || Ok(self.marks.get(mark)?.map(|value| value.value())))
    }

    /// Whether the next group of a label is held out, by systematic sampling from a drawn start.
    fn draw(&mut self, counter: [u8; 32], label: &str) -> Result<bool, VaultError> {
        let before = self.read_mark(counter)?.unwrap_or(0);
        let start = Stream::new(self.seed, &format!("vault/holdout/{label}")).unit();
        let upto = |count: u64| (count as f64 * self.share + start).floor();
        self.store
            .step("count a group", || Ok(self.marks.insert(counter, before + 1).map(drop)?))?;
        Ok(upto(before + 1) > upto(before))
    }

    fn credit(
        &mut self,
        sample: &NewSample,
        number: u64,
        held: bool,
        bytes: u64,
    ) -> Result<(), VaultError> {
        for handle in &sample.people {
            if !self.known.contains_key(handle) {
                let sealed = self.store.step("read", || {
                    Ok(self.people.get(handle.0)?.map(|sealed| sealed.value().to_vec()))
                })?;
                let sealed = sealed.ok_or(VaultError::Unknown { handle: *handle })?;
                let person = self.store.open_person(self.keyring, *handle, &sealed)?;
                self.known.insert(*handle, person);
            }
            if let Some(person) = self.known.get_mut(handle) {
                person.count.samples += 1;
                person.count.held += u64::from(held);
                person.count.bytes += bytes;
                if !held && person.first_learnable.is_none() {
                    person.first_learnable = Some(number);
                }
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self, quota: Quota) -> Result<Added, VaultError> {
        for (handle, person) in &self.known {
            let sealed = seal_person(self.keyring, *handle, person)?;
            self.store.step("note a person", || {
                Ok(self.people.insert(handle.0, &sealed[..]).map(drop)?)
            })?;
        }
        let adds = [
            ("samples", self.added.samples, quota.samples),
            ("held", self.added.held, u64::MAX),
            ("bytes", self.bytes, quota.bytes),
        ];
        for (what, more, most) in adds {
            let now =
                self.store.step("read", || Ok(self.facts.get(what)?.map_or(0, |f| f.value())))?;
            let wanted = now.saturating_add(more);
            if wanted > most && more > 0 {
                return Err(VaultError::Quota { what, most, wanted });
            }
            self.store.step("count", || Ok(self.facts.insert(what, wanted).map(drop)?))?;
        }
        self.store.step("count", || Ok(self.facts.insert(NEXT, self.next).map(drop)?))?;
        Ok(self.added)
    }
}
