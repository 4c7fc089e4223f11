//! Removing whoever has no key any more.

use redb::{ReadableDatabase, ReadableTable, WriteTransaction};

use super::error::VaultError;
use super::handle::Handle;
use super::keyring::Keyring;
use super::samples::{Count, Header};
use super::store::{
    FACTS, MARKS, OWNERS, PEOPLE, SAMPLES, Store, mark, number_of, owner, seal_person,
};

impl Store {
    /// Removes whoever has no key in `keyring` any more, and every sample that is also theirs. Says how
    /// many samples went, and what they took.
    ///
    /// # Errors
    /// If the index cannot be read or written.
    pub fn purge(&self, keyring: &Keyring) -> Result<Count, VaultError> {
        let gone = self.strangers(keyring)?;
        let mut numbers = std::collections::BTreeSet::new();
        for handle in &gone {
            numbers.extend(self.numbers_of(*handle)?);
        }
        let doomed = self.headers(&numbers)?;
        if doomed.is_empty() && gone.is_empty() {
            return Ok(Count::default());
        }
        let write = self.begin()?;
        let lost = self.step("remove samples", || remove(&write, &doomed, &gone))?;
        for (handle, lost) in self.bereaved(keyring, &doomed) {
            self.lessen(&write, keyring, handle, lost)?;
        }
        self.commit(write)?;
        Ok(lost)
    }

    /// Header and length of the records of these numbers.
    pub(super) fn headers(
        &self,
        numbers: &std::collections::BTreeSet<u64>,
    ) -> Result<Vec<(u64, Header, u64)>, VaultError> {
        let table = self.step("read", || Ok(self.database.begin_read()?.open_table(SAMPLES)?))?;
        let mut found = Vec::new();
        for &number in numbers {
            let record = self.step("read", || Ok(table.get(number)?))?;
            let Some(record) = record else { continue };
            let (header, _) = Header::decode(record.value())
                .ok_or_else(|| self.damaged(format!("record {number} has no header")))?;
            found.push((number, header, record.value().len() as u64));
        }
        Ok(found)
    }

    /// Handles in the index whose key is gone.
    fn strangers(&self, keyring: &Keyring) -> Result<Vec<Handle>, VaultError> {
        self.step("read", || {
            let people = self.database.begin_read()?.open_table(PEOPLE)?;
            let mut gone = Vec::new();
            for row in people.iter()? {
                let handle = Handle(row?.0.value());
                if keyring.person(&handle).is_none() {
                    gone.push(handle);
                }
            }
            Ok(gone)
        })
    }

    /// What those who stay lose of what they shared.
    fn bereaved(
        &self,
        keyring: &Keyring,
        doomed: &[(u64, Header, u64)],
    ) -> std::collections::BTreeMap<Handle, Count> {
        let mut lost = std::collections::BTreeMap::<Handle, Count>::new();
        for (_, header, bytes) in doomed {
            for person in header.people.iter().filter(|p| keyring.person(p).is_some()) {
                let count = lost.entry(*person).or_default();
                count.samples += 1;
                count.held += u64::from(header.held);
                count.bytes += bytes;
            }
        }
        lost
    }

    fn lessen(
        &self,
        write: &WriteTransaction,
        keyring: &Keyring,
        handle: Handle,
        lost: Count,
    ) -> Result<(), VaultError> {
        let mut table = self.step("write", || Ok(write.open_table(PEOPLE)?))?;
        let sealed = self.step("read", || Ok(table.get(handle.0)?.map(|s| s.value().to_vec())))?;
        let Some(sealed) = sealed else { return Ok(()) };
        let mut person = self.open_person(keyring, handle, &sealed)?;
        person.count.samples -= lost.samples.min(person.count.samples);
        person.count.held -= lost.held.min(person.count.held);
        person.count.bytes -= lost.bytes.min(person.count.bytes);
        person.first_learnable = self.first_learnable(write, handle)?;
        let sealed = seal_person(keyring, handle, &person)?;
        self.step("write", || table.insert(handle.0, &sealed[..]).map(drop).map_err(Into::into))
    }

    fn first_learnable(
        &self,
        write: &WriteTransaction,
        handle: Handle,
    ) -> Result<Option<u64>, VaultError> {
        self.step("read", || {
            let (owners, samples) = (write.open_table(OWNERS)?, write.open_table(SAMPLES)?);
            for row in owners.range(owner(handle, 0)..=owner(handle, u64::MAX))? {
                let number = number_of(&row?.0.value());
                let record = samples.get(number)?;
                let header = record.and_then(|record| Header::decode(record.value()).map(|h| h.0));
                if header.is_some_and(|header| !header.held) {
                    return Ok(Some(number));
                }
            }
            Ok(None)
        })
    }
}

fn remove(
    write: &WriteTransaction,
    doomed: &[(u64, Header, u64)],
    gone: &[Handle],
) -> Result<Count, redb::Error> {
    let (mut samples, mut owners) = (write.open_table(SAMPLES)?, write.open_table(OWNERS)?);
    let (mut marks, mut people) = (write.open_table(MARKS)?, write.open_table(PEOPLE)?);
    let mut lost = Count::default();
    let mut sets = std::collections::BTreeSet::new();
    for (number, header, bytes) in doomed {
        samples.remove(number)?;
        for person in &header.people {
            owners.remove(owner(*person, *number))?;
        }
        sets.insert(Header::set(&header.people));
        lost.samples += 1;
        lost.held += u64::from(header.held);
        lost.bytes += bytes;
    }
    for set in sets {
        marks.retain_in(mark(set, [0; 16])..=mark(set, [255; 16]), |_, _| false)?;
    }
    for handle in gone {
        people.remove(handle.0)?;
    }
    let mut facts = write.open_table(FACTS)?;
    for (name, less) in [("samples", lost.samples), ("held", lost.held), ("bytes", lost.bytes)] {
        let now = facts.get(name)?.map_or(0, |fact| fact.value());
        facts.insert(name, now.saturating_sub(less))?;
    }
    Ok(lost)
}
