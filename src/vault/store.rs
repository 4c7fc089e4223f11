//! The index of samples: one database file on a [`Disk`], everything in it sealed but handles, numbers
//! and sizes.
//!
//! | table | key | value |
//! |---|---|---|
//! | `samples` | number | record |
//! | `owners` | handle, number (big-endian) | nothing |
//! | `marks` | set of people, mark under their key | groups that were met, duplicates, counters |
//! | `people` | handle | name and counts, sealed under the person's key |
//! | `facts` | name | the next number |

use std::path::{Path, PathBuf};

use redb::{
    Database, ReadableDatabase, ReadableTable, TableDefinition, TableHandle, WriteTransaction,
};
use serde::{Deserialize, Serialize};

use super::adding::Adding;
use super::backend::{begin_write, compact, open_database};
use super::error::VaultError;
use super::handle::Handle;
use super::keyring::Keyring;
use super::samples::{Count, Header, NewSample, Sample};
use crate::base::disk::Disk;
use crate::base::hash::{Digest, Parts};

pub(super) const SAMPLES: TableDefinition<u64, &[u8]> = TableDefinition::new("samples");
pub(super) const OWNERS: TableDefinition<[u8; 24], ()> = TableDefinition::new("owners");
pub(super) const MARKS: TableDefinition<[u8; 32], u64> = TableDefinition::new("marks");
pub(super) const PEOPLE: TableDefinition<[u8; 16], &[u8]> = TableDefinition::new("people");
pub(super) const FACTS: TableDefinition<&str, u64> = TableDefinition::new("facts");

pub(super) const NEXT: &str = "next";
const PERSON: &str = "unlearn vault: person, version 1";
pub(super) const MARK: &str = "unlearn vault: mark, version 1";

/// What is known of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The name, at most 256 bytes: whatever the owner of the device calls them.
    pub name: String,
    /// Their samples.
    pub count: Count,
    /// The number of their first sample that may be learnt from.
    pub first_learnable: Option<u64>,
}

/// The longest name of a person, in bytes.
pub const MAX_PERSON_NAME: usize = 256;

/// How much may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Samples in all.
    pub samples: u64,
    /// Bytes of records in all.
    pub bytes: u64,
}

/// What came of adding samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Added {
    /// Samples that are new.
    pub samples: u64,
    /// Those of them that only measure.
    pub held: u64,
    /// Samples that were there already and were passed over.
    pub duplicates: u64,
}

/// The index, open.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    pub(super) database: Database,
}

impl Store {
    /// Opens the index at `path`; makes an empty one if there is none.
    ///
    /// # Errors
    /// If it cannot be read or is damaged.
    pub fn open(disk: &mut dyn Disk, path: &Path) -> Result<Self, VaultError> {
        let database = open_database(disk, path)?;
        let store = Self { path: path.to_path_buf(), database };
        let there = store.step("read", || {
            Ok(store.database.begin_read()?.list_tables()?.any(|table| table.name() == "facts"))
        })?;
        if there {
            return Ok(store);
        }
        let write = store.begin()?;
        store.step("make its tables", || {
            write.open_table(SAMPLES)?;
            write.open_table(OWNERS)?;
            write.open_table(MARKS)?;
            write.open_table(PEOPLE)?;
            write.open_table(FACTS)?;
            Ok(())
        })?;
        store.commit(write)?;
        Ok(store)
    }

    pub(super) fn begin(&self) -> Result<WriteTransaction, VaultError> {
        begin_write(&self.database, &self.path)
    }

    pub(super) fn commit(&self, write: WriteTransaction) -> Result<(), VaultError> {
        self.step("commit", || Ok(write.commit()?))
    }

    pub(super) fn step<T>(
        &self,
        what: &'static str,
        run: impl FnOnce() -> Result<T, redb::Error>,
    ) -> Result<T, VaultError> {
        run().map_err(|error| VaultError::from_redb(what, &self.path, error))
    }

    pub(super) fn damaged(&self, what: String) -> VaultError {
        VaultError::Damaged { path: self.path.clone(), what }
    }

    /// The number that the next sample gets: larger than any before, also of samples that are gone.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn next(&self) -> Result<u64, VaultError> {
        self.step("read", || {
            let facts = self.database.begin_read()?.open_table(FACTS)?;
            Ok(facts.get(NEXT)?.map_or(0, |next| next.value()))
        })
    }

    /// What is kept in all.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn count(&self) -> Result<Count, VaultError> {
        self.step("read", || {
            let facts = self.database.begin_read()?.open_table(FACTS)?;
            let of = |name| Ok::<_, redb::Error>(facts.get(name)?.map_or(0, |fact| fact.value()));
            Ok(Count { samples: of("samples")?, held: of("held")?, bytes: of("bytes")? })
        })
    }

    /// Notes people whose keys are in `keyring` already, with their names.
    ///
    /// # Errors
    /// If a key is not there, a name is none, or the index cannot be written.
    pub fn enrol(&self, keyring: &Keyring, new: &[(Handle, String)]) -> Result<(), VaultError> {
        let write = self.begin()?;
        for (index, (handle, name)) in new.iter().enumerate() {
            if !(1..=MAX_PERSON_NAME).contains(&name.len()) {
                let rule =
                    format!("a name has {} bytes, expected 1 to {MAX_PERSON_NAME}", name.len());
                return Err(VaultError::Sample { index, rule });
            }
            let (name, count) = (name.clone(), Count::default());
            let person = Person { name, count, first_learnable: None };
            let sealed = seal_person(keyring, *handle, &person)?;
            self.step("note a person", || {
                write.open_table(PEOPLE)?.insert(handle.0, &sealed[..])?;
                Ok(())
            })?;
        }
        self.commit(write)
    }

    /// Everybody whose key is in `keyring`, in order of handle. Whoever has a key and was never noted is
    /// not there: that enrolment was cut short.
    ///
    /// # Errors
    /// If the index cannot be read, or a person does not open.
    pub fn people(&self, keyring: &Keyring) -> Result<Vec<(Handle, Person)>, VaultError> {
        let sealed: Vec<(Handle, Vec<u8>)> = self.step("read", || {
            let people = self.database.begin_read()?.open_table(PEOPLE)?;
            let mut all = Vec::new();
            for row in people.iter()? {
                let (handle, sealed) = row?;
                all.push((Handle(handle.value()), sealed.value().to_vec()));
            }
            Ok(all)
        })?;
        let known = sealed.into_iter().filter(|(handle, _)| keyring.person(handle).is_some());
        known.map(|(handle, s)| Ok((handle, self.open_person(keyring, handle, &s)?))).collect()
    }

    pub(super) fn open_person(
        &self,
        keyring: &Keyring,
        handle: Handle,
        sealed: &[u8],
    ) -> Result<Person, VaultError> {
        let key = keyring.person(&handle).ok_or(VaultError::Unknown { handle })?;
        let opened = key.open(PERSON, &handle.0, sealed);
        opened
            .and_then(|text| postcard::from_bytes(&text).ok())
            .ok_or_else(|| self.damaged(format!("the entry of {handle} does not open")))
    }

    /// Takes in samples, all or none of them.
    ///
    /// A group, or a sample without one, is held out as its people's count of that label says: of each
    /// label about `share`, evenly spread, beginning at a place that `seed` draws. It depends on nobody
    /// else's samples. A sample that its people have already, label and values alike, is passed over.
    ///
    /// # Errors
    /// If a sample breaks a rule or a person is unknown, a quota would be exceeded, or the index cannot
    /// be written.
    pub fn add(
        &self,
        keyring: &Keyring,
        (seed, share): (u64, f64),
        quota: Quota,
        samples: &[NewSample],
    ) -> Result<Added, VaultError> {
        for (index, sample) in samples.iter().enumerate() {
            if let Some(rule) = sample.fault() {
                return Err(VaultError::Sample { index, rule });
            }
        }
        let write = self.begin()?;
        let mut adding = Adding::open(self, &write, keyring, (seed, share))?;
        for sample in samples {
            adding.one(sample)?;
        }
        let added = adding.finish(quota)?;
        self.commit(write)?;
        Ok(added)
    }

    /// Opens each sample that `wanted` picks by number and header, in order of number, and hands it to
    /// `take`.
    ///
    /// # Errors
    /// If the index cannot be read, or a record does not open.
    pub fn each(
        &self,
        keyring: &Keyring,
        wanted: impl Fn(u64, &Header) -> bool,
        mut take: impl FnMut(Sample),
    ) -> Result<(), VaultError> {
        self.records(|number, record| {
            let (header, sealed) = Header::decode(record)
                .ok_or_else(|| self.damaged(format!("record {number} has no header")))?;
            if wanted(number, &header) {
                let key = keyring.key_of(&header.people)?;
                let sample = header.open(&key, number, sealed);
                take(sample.ok_or_else(|| self.damaged(format!("record {number} does not open")))?);
            }
            Ok(())
        })
    }

    fn records(
        &self,
        mut take: impl FnMut(u64, &[u8]) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let table = self.step("read", || Ok(self.database.begin_read()?.open_table(SAMPLES)?))?;
        let rows = self.step("read", || Ok(table.iter()?))?;
        for row in rows {
            let (number, record) = self.step("read", || Ok(row?))?;
            take(number.value(), record.value())?;
        }
        Ok(())
    }

    /// A digest over the records that `wanted` picks, as they are sealed: it commits to them, and says
    /// nothing of them to who does not have them.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn root(&self, wanted: impl Fn(u64, &Header) -> bool) -> Result<(Digest, u64), VaultError> {
        let mut parts = Parts::new("unlearn vault: records, version 1");
        let mut count = 0;
        self.records(|number, record| {
            let header = Header::decode(record)
                .ok_or_else(|| self.damaged(format!("record {number} has no header")))?;
            if wanted(number, &header.0) {
                parts.part(record.len() as u64, [record]);
                count += 1;
            }
            Ok(())
        })?;
        Ok((parts.finish(), count))
    }

    /// Whose samples with numbers below `upto` may be learnt from, leaving out what concerns `leaving`.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn learners(&self, upto: u64, leaving: &[Handle]) -> Result<Vec<Handle>, VaultError> {
        let mut people = std::collections::BTreeSet::new();
        self.records(|number, record| {
            let header = Header::decode(record)
                .ok_or_else(|| self.damaged(format!("record {number} has no header")))?;
            if number < upto && !header.0.held && !header.0.concerns(leaving) {
                people.extend(header.0.people);
            }
            Ok(())
        })?;
        Ok(people.into_iter().collect())
    }

    /// What there is of these people, what they share counted once.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn owned(&self, people: &[Handle]) -> Result<Count, VaultError> {
        let mut numbers = std::collections::BTreeSet::new();
        for person in people {
            numbers.extend(self.numbers_of(*person)?);
        }
        let mut count = Count::default();
        for (_, header, bytes) in self.headers(&numbers)? {
            count.samples += 1;
            count.held += u64::from(header.held);
            count.bytes += bytes;
        }
        Ok(count)
    }

    /// How many records `wanted` picks.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn counted(&self, wanted: impl Fn(u64, &Header) -> bool) -> Result<u64, VaultError> {
        let mut count = 0;
        self.records(|number, record| {
            let (header, _) = Header::decode(record)
                .ok_or_else(|| self.damaged(format!("record {number} has no header")))?;
            count += u64::from(wanted(number, &header));
            Ok(())
        })?;
        Ok(count)
    }

    /// Numbers of the samples of a person, ascending.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn numbers_of(&self, handle: Handle) -> Result<Vec<u64>, VaultError> {
        self.step("read", || {
            let owners = self.database.begin_read()?.open_table(OWNERS)?;
            let rows = owners.range(owner(handle, 0)..=owner(handle, u64::MAX))?;
            rows.map(|row| Ok(number_of(&row?.0.value()))).collect()
        })
    }

    /// Closes it, orderly.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn close(self) -> Result<(), VaultError> {
        self.database.close().map_err(|error| VaultError::from_redb("close", &self.path, error))
    }

    /// Gives freed pages back to the disk.
    ///
    /// # Errors
    /// If the index cannot be written.
    pub fn compact(&mut self) -> Result<(), VaultError> {
        compact(&mut self.database, &self.path).map(drop)
    }
}

pub(super) fn owner(handle: Handle, number: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(&handle.0);
    key[16..].copy_from_slice(&number.to_be_bytes());
    key
}

pub(super) fn number_of(owner: &[u8; 24]) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&owner[16..]);
    u64::from_be_bytes(number)
}

pub(super) fn seal_person(
    keyring: &Keyring,
    handle: Handle,
    person: &Person,
) -> Result<Vec<u8>, VaultError> {
    let key = keyring.person(&handle).ok_or(VaultError::Unknown { handle })?;
    let text = zeroize::Zeroizing::new(postcard::to_allocvec(person).map_err(|error| {
        VaultError::Sample {
            index: 0,
            rule: format!("what is known of a person does not encode: {error}"),
        }
    })?);
    Ok(key.seal(PERSON, &handle.0, &text)?)
}

pub(super) fn mark(set: [u8; 16], of: [u8; 16]) -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(&set);
    key[16..].copy_from_slice(&of);
    key
}
