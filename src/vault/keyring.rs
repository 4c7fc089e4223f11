//! The keyring: every key of a home, and the state that must change together with them.
//!
//! The file is `unlearnr | version (u32) | generation (u64) | sealed`, little-endian, sealed under the
//! device key of that generation with the header as associated data. It is replaced whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::VaultError;
use super::handle::Handle;
use super::key_store::KeyStore;
use super::seal::Key;
use crate::base::bytes::{Reader, ShortRead};
use crate::base::disk::{Disk, beside, replace};

const MAGIC: &[u8; 8] = b"unlearnr";
const VERSION: u32 = 1;
const HEADER: usize = 20;
/// The most people.
pub const MAX_PEOPLE: usize = 1 << 16;
/// The most keys besides those of people.
const MAX_NAMED: usize = 4096;
/// The longest name of a key.
const MAX_NAME: usize = 64;
/// The most bytes of state.
const MAX_STATE: usize = 8 << 20;
/// The longest file that is read.
const MAX_FILE: u64 = (HEADER + MAX_PEOPLE * 48 + MAX_NAMED * 97 + MAX_STATE + 64) as u64;

/// The keys of a home, in memory.
#[derive(Clone, Debug)]
pub struct Keyring {
    path: PathBuf,
    generation: u64,
    people: BTreeMap<Handle, Key>,
    named: BTreeMap<String, Key>,
    state: Zeroizing<Vec<u8>>,
}

impl Keyring {
    /// An empty keyring under a first device key, durably at `path`. Device keys that an interrupted
    /// attempt left behind are destroyed.
    ///
    /// # Errors
    /// If something cannot be written.
    pub fn create(
        disk: &mut dyn Disk,
        path: &Path,
        store: &mut dyn KeyStore,
        state: Vec<u8>,
        named: BTreeMap<String, Key>,
    ) -> Result<Self, VaultError> {
        for stale in store.generations(disk)? {
            store.remove(disk, stale)?;
        }
        store.add(disk, 1)?;
        let (people, state) = (BTreeMap::new(), Zeroizing::new(state));
        let keyring = Self { path: path.to_path_buf(), generation: 1, people, named, state };
        keyring.write(disk, store)?;
        Ok(keyring)
    }

    /// Opens the keyring at `path` under the device key of its generation, and destroys every other
    /// device key: a rotation that was cut short ends here, forwards or backwards.
    ///
    /// # Errors
    /// If the keyring is damaged, or the key of its generation is gone: then it is an older one.
    pub fn open(
        disk: &mut dyn Disk,
        path: &Path,
        store: &mut dyn KeyStore,
    ) -> Result<Self, VaultError> {
        let keyring = Self::read(disk, path, store)?;
        keyring.destroy_others(disk, store)?;
        Ok(keyring)
    }

    /// Destroys every device key but that of this keyring, which is the one at its path.
    ///
    /// # Errors
    /// If one may be there still.
    pub fn destroy_others(
        &self,
        disk: &mut dyn Disk,
        store: &mut dyn KeyStore,
    ) -> Result<(), VaultError> {
        let mut others = store.generations(disk)?;
        others.retain(|generation| *generation != self.generation);
        if !others.is_empty() {
            // Whoever was cut short may have renamed it, and no more: no loss of power may bring back a
            // keyring whose key is gone.
            disk.sync_folder(&beside(&self.path)?.1)?;
        }
        others.into_iter().try_for_each(|other| store.remove(disk, other))
    }

    /// As [`Keyring::open`], but changes nothing: for whoever only looks.
    ///
    /// # Errors
    /// As [`Keyring::open`].
    pub fn read(disk: &dyn Disk, path: &Path, store: &dyn KeyStore) -> Result<Self, VaultError> {
        let damaged =
            |what: &str| VaultError::Damaged { path: path.to_path_buf(), what: what.into() };
        let bytes = disk.read(path)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(damaged("it is longer than any keyring"));
        }
        let Some((header, sealed)) = bytes.split_first_chunk::<HEADER>() else {
            return Err(damaged("it ends within its header of 20 bytes"));
        };
        let mut reader = Reader::new(header);
        let short = |_: ShortRead| damaged("it ends within its header of 20 bytes");
        if reader.take(8).map_err(short)? != MAGIC {
            return Err(damaged("it does not begin with `unlearnr`"));
        }
        let version = reader.u32().map_err(short)?;
        if version != VERSION {
            return Err(damaged(&format!(
                "it is of version {version}, this program reads {VERSION}"
            )));
        }
        let generation = reader.u64().map_err(short)?;
        let known = store.generations(disk)?;
        if !known.contains(&generation) {
            let path = path.to_path_buf();
            return Err(VaultError::Generation { path, found: generation, known });
        }
        let Some(text) = store.open(disk, generation, header, sealed)? else {
            return Err(VaultError::WrongKey { path: path.to_path_buf(), generation });
        };
        let (people, named, state) =
            decode(&text).map_err(|_| damaged("its sealed part does not decode"))?;
        Ok(Self { path: path.to_path_buf(), generation, people, named, state })
    }

    /// Writes the keyring under the same device key: for what only adds. Keys that were taken out stay
    /// readable in the old file; that takes [`Keyring::rotate`].
    ///
    /// # Errors
    /// If it cannot be written; the old file is there then.
    pub fn save(&self, disk: &mut dyn Disk, store: &dyn KeyStore) -> Result<(), VaultError> {
        self.write(disk, store)
    }

    /// Writes the keyring under a new device key and destroys the old one: no older keyring opens from
    /// then on.
    ///
    /// The order is: add key `n + 1`, replace the keyring, remove key `n`, each durable before the next.
    /// A loss of power between any two loses nothing and brings back nobody: [`Keyring::open`] ends it.
    /// A key that is there is never replaced: the keyring on the disk may be sealed under it.
    ///
    /// # Errors
    /// If something cannot be written. Which keyring is at the path is then for [`Keyring::open`] to say.
    pub fn rotate(
        &mut self,
        disk: &mut dyn Disk,
        store: &mut dyn KeyStore,
    ) -> Result<(), VaultError> {
        let newest = store.generations(disk)?.into_iter().fold(self.generation, u64::max);
        store.add(disk, newest + 1)?;
        self.generation = newest + 1;
        self.write(disk, store)?;
        self.destroy_others(disk, store)
    }

    fn write(&self, disk: &mut dyn Disk, store: &dyn KeyStore) -> Result<(), VaultError> {
        let mut file = Vec::with_capacity(HEADER);
        file.extend(MAGIC);
        file.extend(VERSION.to_le_bytes());
        file.extend(self.generation.to_le_bytes());
        let sealed = store.seal(disk, self.generation, &file, &self.encode()?)?;
        file.extend(sealed);
        Ok(replace(disk, &self.path, &file)?)
    }

    fn encode(&self) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let too_many = |what, most: usize, wanted: usize| {
            Err(VaultError::Quota { what, most: most as u64, wanted: wanted as u64 })
        };
        if self.people.len() > MAX_PEOPLE {
            return too_many("people", MAX_PEOPLE, self.people.len());
        }
        if self.named.len() > MAX_NAMED {
            return too_many("keys", MAX_NAMED, self.named.len());
        }
        if self.state.len() > MAX_STATE {
            return too_many("bytes of state", MAX_STATE, self.state.len());
        }
        let names: usize = self.named.keys().map(|name| name.len() + 33).sum();
        let size = 12 + self.people.len() * 48 + names + self.state.len();
        // Of its final size at once: a vector that grows leaves keys behind.
        let mut out = Zeroizing::new(Vec::with_capacity(size));
        out.extend((self.people.len() as u32).to_le_bytes());
        for (handle, key) in &self.people {
            out.extend(handle.0);
            out.extend(key.bytes());
        }
        out.extend((self.named.len() as u32).to_le_bytes());
        for (name, key) in &self.named {
            out.push(name.len() as u8);
            out.extend(name.as_bytes());
            out.extend(key.bytes());
        }
        out.extend((self.state.len() as u32).to_le_bytes());
        out.extend(&self.state[..]);
        Ok(out)
    }

    /// The generation of its device key: the epoch in which records are written now.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Handles of all people, in order.
    pub fn people(&self) -> impl Iterator<Item = Handle> + '_ {
        self.people.keys().copied()
    }

    /// A person's key.
    pub fn person(&self, handle: &Handle) -> Option<&Key> {
        self.people.get(handle)
    }

    /// Takes in a person with a key of their own.
    pub fn enrol(&mut self, handle: Handle, key: Key) {
        self.people.insert(handle, key);
    }

    /// Leaves out a person's key; durable and out of reach after [`Keyring::rotate`]. Says whether it
    /// was there.
    pub fn forget(&mut self, handle: &Handle) -> bool {
        self.people.remove(handle).is_some()
    }

    /// The key called `name`.
    pub fn named(&self, name: &str) -> Option<&Key> {
        self.named.get(name)
    }

    /// Names of the keys that are not people's.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str)
    }

    /// Takes in a key under a name of at most 64 bytes.
    ///
    /// # Panics
    /// If the name is longer.
    pub fn put(&mut self, name: &str, key: Key) {
        assert!(name.len() <= MAX_NAME, "a short name");
        self.named.insert(name.to_string(), key);
    }

    /// Leaves out the key called `name`; as [`Keyring::forget`].
    pub fn drop_named(&mut self, name: &str) -> bool {
        self.named.remove(name).is_some()
    }

    /// The state that changes together with the keys.
    pub fn state(&self) -> &[u8] {
        &self.state
    }

    /// Sets that state.
    pub fn set_state(&mut self, state: Vec<u8>) {
        self.state = Zeroizing::new(state);
    }

    /// The one key that opens a record of these people; the handles are in order.
    ///
    /// # Errors
    /// If one of them is not here.
    pub fn key_of(&self, people: &[Handle]) -> Result<Key, VaultError> {
        let keys = people
            .iter()
            .map(|handle| self.person(handle).ok_or(VaultError::Unknown { handle: *handle }))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Key::of_all(keys))
    }
}

type Parts = (BTreeMap<Handle, Key>, BTreeMap<String, Key>, Zeroizing<Vec<u8>>);

/// The parts of the sealed text. It was authenticated, so a fault means that another version wrote it.
fn decode(text: &[u8]) -> Result<Parts, ()> {
    let mut reader = Reader::new(text);
    let mut people = BTreeMap::new();
    for _ in 0..count(&mut reader, MAX_PEOPLE)? {
        let handle = Handle(reader.array().map_err(drop)?);
        people.insert(handle, key(&mut reader)?);
    }
    let mut named = BTreeMap::new();
    for _ in 0..count(&mut reader, MAX_NAMED)? {
        let len = usize::from(reader.u8().map_err(drop)?);
        let name = std::str::from_utf8(reader.take(len).map_err(drop)?).map_err(drop)?;
        named.insert(name.to_string(), key(&mut reader)?);
    }
    let len = count(&mut reader, MAX_STATE)?;
    let state = Zeroizing::new(reader.take(len).map_err(drop)?.to_vec());
    if reader.remaining() > 0 { Err(()) } else { Ok((people, named, state)) }
}

fn key(reader: &mut Reader) -> Result<Key, ()> {
    let bytes = reader.take(32).map_err(drop)?;
    bytes.try_into().map(Key::of_bytes).map_err(drop)
}

fn count(reader: &mut Reader, most: usize) -> Result<usize, ()> {
    let count = reader.u32().map_err(drop)? as usize;
    if count > most { Err(()) } else { Ok(count) }
}
