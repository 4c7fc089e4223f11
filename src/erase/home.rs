//! A home: one folder, its files, and who opens them.
//!
//! | file | holds |
//! |---|---|
//! | `keyring` | every key, and the state: which models there are, which is served, who is gone |
//! | `keys/device.N.key` | the device key of generation N (with a file store) |
//! | `base.esm` | the base, if it is of a population; an enrolled one lies in a slot |
//! | `vault.redb` | samples, sealed |
//! | `slots/NAME.slot` | a model, sealed under a key of its own |
//! | `slots/NAME.work` | the last whole epoch of a run, sealed under the key of the slot it will fill |
//! | `journal` | the erasure that is under way |
//! | `receipts/N.receipt` | what was erased |
//! | `lock` | nothing: whoever holds its lock has the home |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::anchor::unpacked;
use super::error::HomeError;
use super::journal::{Job, Journal};
use super::receipt::{Guarantee, SigningKey};
use super::slot;
use super::state::{Base, State};
use crate::base::disk::{Disk, replace};
use crate::base::entropy;
use crate::data::{Anchor, Dataset};
use crate::format::{AnchorPart, Dtype, ModelFile, Provenance};
use crate::model::file::{self, Artifact};
use crate::vault::{FileKeyStore, Key, KeyStore, Keyring, Level, Quota, Store};

/// The name of the key that signs receipts.
pub(super) const SIGNING: &str = "signing";

/// How a new home is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setup {
    /// Seed of all that is drawn.
    pub seed: u64,
    /// Share of each person's groups that only measures, 0 to 0.5.
    pub holdout: f64,
    /// How much may be kept.
    pub quota: Quota,
}

impl Default for Setup {
    fn default() -> Self {
        let quota = Quota { samples: 200_000, bytes: 4 << 30 };
        Self { seed: 1, holdout: 0.2, quota }
    }
}

/// A home, open. One at a time: whoever opens one holds its lock.
pub struct Home {
    pub(super) disk: Box<dyn Disk + Send>,
    pub(super) folder: PathBuf,
    pub(super) keys: Box<dyn KeyStore>,
    pub(super) keyring: Keyring,
    pub(super) state: State,
    /// Closed while a worker reads it.
    pub(super) store: Option<Store>,
    pub(super) base: Artifact,
    /// Its anchor set, in two parts.
    pub(super) anchor: Option<Anchor>,
    /// The element type of weights in the base, in which every model here is written.
    pub(super) dtype: Dtype,
    pub(super) journal: Journal,
    /// Bytes of memory that a run may take.
    pub(super) memory: Option<u64>,
    /// Whether it works for another process, which has the home.
    pub(super) attends: bool,
}

impl std::fmt::Debug for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Home").field("folder", &self.folder).finish_non_exhaustive()
    }
}

fn keyring_path(folder: &Path) -> PathBuf {
    folder.join("keyring")
}

/// The file whose lock stands for the home.
pub fn lock_path(folder: &Path) -> PathBuf {
    folder.join("lock")
}

/// The key store in the home itself.
pub fn file_keys(folder: &Path) -> Box<dyn KeyStore> {
    Box::new(FileKeyStore::new(&folder.join("keys")))
}

impl Home {
    /// Makes a home in `folder`, which is empty or not there, for the base in `package`.
    ///
    /// A base of a population is kept as it is. One that people of this site are in is sealed, under a
    /// key that can be destroyed. The home is there when the keyring is: whatever an interrupted attempt
    /// left behind is replaced.
    ///
    /// # Errors
    /// If the folder holds something, or the package is damaged, does not say whose data is in it, or
    /// has no anchor set.
    pub fn init(
        mut disk: Box<dyn Disk + Send>,
        folder: &Path,
        mut keys: Box<dyn KeyStore>,
        package: Vec<u8>,
        of: &Path,
        setup: Setup,
    ) -> Result<Self, HomeError> {
        if !(0.0..=0.5).contains(&setup.holdout) {
            let (field, found) = ("the holdout share", setup.holdout.to_string());
            return Err(HomeError::Setting { field, found, expected: "0 to 0.5" });
        }
        let damaged = |source| HomeError::Base { path: of.to_path_buf(), source };
        let opened = ModelFile::from_bytes(package.clone()).map_err(damaged)?;
        opened.verify().map_err(damaged)?;
        fit(&opened, of)?;
        if disk.exists(&keyring_path(folder))? {
            return Err(HomeError::HomeThere { path: folder.to_path_buf() });
        }
        disk.make_folder(folder)?;
        empty_enough(disk.as_ref(), folder)?;
        for inner in ["keys", "slots", "receipts"] {
            disk.make_folder(&folder.join(inner))?;
        }
        disk.sync_folder(folder)?;
        let provenance = opened.facts().provenance;
        let mut named = BTreeMap::from([(SIGNING.to_string(), Key::fresh()?)]);
        let slot = match provenance {
            Provenance::Enrolled => {
                let (name, key) = (slot::fresh_name()?, Key::fresh()?);
                slot::write(disk.as_mut(), &slot::path_of(folder, &name), &key, &package)?;
                named.insert(slot::key_name(&name), key);
                Some(name)
            }
            _ => {
                replace(disk.as_mut(), &folder.join("base.esm"), &package)?;
                None
            }
        };
        let (id, class) = (opened.logical_id().0, Guarantee::NeverLearnt);
        let base = Base { id, provenance, slot, dead: false, class };
        let state = State::new(entropy::bytes()?, setup.seed, setup.holdout, setup.quota, base);
        // The index first: from the keyring on, the home is there.
        drop(Store::open(disk.as_mut(), &folder.join("vault.redb"))?);
        let path = keyring_path(folder);
        Keyring::create(disk.as_mut(), &path, keys.as_mut(), state.encode(), named)?;
        Self::open(disk, folder, keys)
    }

    /// Opens a home. A rotation that was cut short ends here; samples that an older copy brought back
    /// are removed again.
    ///
    /// # Errors
    /// If it is none, or a file of it is not what was written.
    pub fn open(
        mut disk: Box<dyn Disk + Send>,
        folder: &Path,
        mut keys: Box<dyn KeyStore>,
    ) -> Result<Self, HomeError> {
        let path = keyring_path(folder);
        if !disk.exists(&path)? {
            return Err(HomeError::NoHome { path: folder.to_path_buf() });
        }
        let keyring = Keyring::open(disk.as_mut(), &path, keys.as_mut())?;
        let state = decoded(&keyring, &path)?;
        let journal = Journal::open(disk.as_ref(), &folder.join("journal"))?;
        let store = Store::open(disk.as_mut(), &folder.join("vault.redb"))?;
        let Opened { artifact: base, anchor, dtype } =
            open_base(disk.as_ref(), folder, &keyring, &state)?;
        let folder = folder.to_path_buf();
        let memory = None;
        let mut home = Self {
            disk,
            folder,
            keys,
            keyring,
            state,
            store: Some(store),
            base,
            anchor,
            dtype,
            journal,
            memory,
            attends: false,
        };
        home.hold_against_state()?;
        home.sweep()?;
        Ok(home)
    }

    /// Holds the index against what is known, and removes what does not belong.
    fn hold_against_state(&mut self) -> Result<(), HomeError> {
        let (found, known) = (self.store()?.next()?, self.state.learnt_upto());
        if found < known {
            let path = self.folder.join("vault.redb");
            return Err(HomeError::RolledBack { path, found, known });
        }
        self.store()?.purge(&self.keyring)?;
        // Whoever has a key and no entry was being enrolled when the power went.
        let known: Vec<_> =
            self.store()?.people(&self.keyring)?.into_iter().map(|(h, _)| h).collect();
        let cut: Vec<_> =
            self.keyring.people().filter(|h| known.binary_search(h).is_err()).collect();
        if !cut.is_empty() {
            let mut keyring = self.keyring.clone();
            cut.iter().for_each(|handle| _ = keyring.forget(handle));
            keyring.save(self.disk.as_mut(), self.keys.as_ref())?;
            self.keyring = keyring;
        }
        Ok(())
    }

    pub(super) fn reload_base(&mut self) -> Result<(), HomeError> {
        let opened = open_base(self.disk.as_ref(), &self.folder, &self.keyring, &self.state)?;
        (self.base, self.anchor, self.dtype) = (opened.artifact, opened.anchor, opened.dtype);
        Ok(())
    }

    /// Removes files whose key is gone, and what a cut-short write left behind. Says which.
    pub(super) fn sweep(&mut self) -> Result<Vec<PathBuf>, HomeError> {
        let mut doomed = Vec::new();
        for path in self.disk.list(&self.folder.join("slots"))? {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let slot = name.as_deref().and_then(|name| name.split_once('.')).map(|(slot, _)| slot);
            let known =
                slot.is_some_and(|slot| self.keyring.named(&slot::key_name(slot)).is_some());
            if !known {
                doomed.push(path);
            }
        }
        for folder in ["", "receipts", "keys"] {
            let folder = self.folder.join(folder);
            let hidden = |path: &PathBuf| {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                name.is_some_and(|name| name.starts_with('.') && name.ends_with(".new"))
            };
            doomed.extend(self.disk.list(&folder)?.into_iter().filter(hidden));
        }
        for path in &doomed {
            self.disk.remove(path)?;
        }
        if !doomed.is_empty() {
            for folder in ["slots", "receipts", "keys"] {
                self.disk.sync_folder(&self.folder.join(folder))?;
            }
            self.disk.sync_folder(&self.folder)?;
        }
        Ok(doomed)
    }

    /// Writes keys and state: under the same device key where they only grew, under a new one where
    /// something must be out of reach.
    ///
    /// # Errors
    /// If they cannot be written; what is in memory is then what is on the disk.
    pub(super) fn keep(
        &mut self,
        mut keyring: Keyring,
        state: State,
        rotate: bool,
    ) -> Result<(), HomeError> {
        keyring.set_state(state.encode());
        let (disk, keys) = (self.disk.as_mut(), self.keys.as_mut());
        let kept = match rotate {
            true => keyring.rotate(disk, keys),
            false => keyring.save(disk, keys),
        };
        match kept {
            Ok(()) => (self.keyring, self.state) = (keyring, state),
            Err(error) => {
                // Either may be on the disk now; what is in memory must be the same.
                if let Ok(found) = Keyring::open(disk, &keyring_path(&self.folder), keys)
                    && let Some(state) = State::decode(found.state())
                {
                    (self.keyring, self.state) = (found, state);
                }
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Sets how many bytes of memory a run may take; `None` for no limit.
    pub fn limit_memory(&mut self, bytes: Option<u64>) {
        self.memory = bytes;
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is known of it.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The base.
    pub fn base(&self) -> &Artifact {
        &self.base
    }

    /// The erasure that is under way.
    pub fn job(&self) -> Option<Job> {
        Job::of(self.journal.events())
    }

    /// The generation of the device key.
    pub fn generation(&self) -> u64 {
        self.keyring.generation()
    }

    /// How far an erased key is out of reach here.
    pub fn level(&self) -> Level {
        self.keys.level()
    }

    /// The index of samples.
    ///
    /// # Errors
    /// If it is closed, because a worker reads it.
    pub fn store(&self) -> Result<&Store, HomeError> {
        self.store.as_ref().ok_or(HomeError::UnderWay { what: "a run" })
    }

    /// Closes the index, for another process to read it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn close_store(&mut self) -> Result<(), HomeError> {
        match self.store.take() {
            Some(store) => Ok(store.close()?),
            None => Ok(()),
        }
    }

    /// Opens the index, if it was closed.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open_store(&mut self) -> Result<(), HomeError> {
        if self.store.is_none() {
            let path = self.folder.join("vault.redb");
            self.store = Some(Store::open(self.disk.as_mut(), &path)?);
        }
        Ok(())
    }

    /// Gives freed pages of the index back to the disk.
    pub(super) fn compact(&mut self) -> Result<(), HomeError> {
        match &mut self.store {
            Some(store) => Ok(store.compact()?),
            None => Err(HomeError::UnderWay { what: "a run" }),
        }
    }

    /// Opens a home for a worker of the process that has it: to do the work that is ordered, and change
    /// nothing else.
    ///
    /// # Errors
    /// As [`Home::open`].
    pub fn attend(
        mut disk: Box<dyn Disk + Send>,
        folder: &Path,
        keys: Box<dyn KeyStore>,
    ) -> Result<Self, HomeError> {
        let path = keyring_path(folder);
        if !disk.exists(&path)? {
            return Err(HomeError::NoHome { path: folder.to_path_buf() });
        }
        let keyring = Keyring::read(disk.as_ref(), &path, keys.as_ref())?;
        let state = decoded(&keyring, &path)?;
        let journal = Journal::open(disk.as_ref(), &folder.join("journal"))?;
        let store = Some(Store::open(disk.as_mut(), &folder.join("vault.redb"))?);
        let Opened { artifact: base, anchor, dtype } =
            open_base(disk.as_ref(), folder, &keyring, &state)?;
        let (folder, memory, attends) = (folder.to_path_buf(), None, true);
        Ok(Self {
            disk,
            folder,
            keys,
            keyring,
            state,
            store,
            base,
            anchor,
            dtype,
            journal,
            memory,
            attends,
        })
    }

    /// The keys.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The key that signs receipts.
    ///
    /// # Errors
    /// If it is not in the keyring.
    pub fn signing_key(&self) -> Result<SigningKey, HomeError> {
        let key = self.keyring.named(SIGNING).ok_or_else(|| HomeError::Damaged {
            path: keyring_path(&self.folder),
            offset: 20,
            what: "the key that signs receipts is missing".into(),
        })?;
        Ok(SigningKey::from_bytes(key.bytes()))
    }

    /// The model in `slot`, or the base.
    ///
    /// # Errors
    /// If the slot has no key any more, or is damaged.
    pub(super) fn model(&self, slot: Option<&str>) -> Result<Artifact, HomeError> {
        match slot {
            None => Ok(self.base.clone()),
            Some(slot) => open_slot(self.disk.as_ref(), &self.folder, &self.keyring, slot)
                .map(|opened| opened.artifact),
        }
    }

    /// Whether the model in `slot`, or the base, can still be read.
    pub(super) fn readable(&self, slot: Option<&str>) -> bool {
        match slot {
            Some(slot) => self.keyring.named(&slot::key_name(slot)).is_some(),
            None => !self.state.base.dead,
        }
    }

    /// A part of the anchor set, where there is one.
    pub(super) fn anchor(&self, of: AnchorPart) -> Option<&Dataset> {
        let anchor = self.anchor.as_ref()?;
        Some(match of {
            AnchorPart::Train => &anchor.train,
            AnchorPart::Calibrate => &anchor.calibrate,
        })
    }
}

fn decoded(keyring: &Keyring, path: &Path) -> Result<State, HomeError> {
    State::decode(keyring.state()).ok_or_else(|| HomeError::Damaged {
        path: path.to_path_buf(),
        offset: 20,
        what: "its state is of another version of the program".into(),
    })
}

/// Whether a package can be a base.
fn fit(file: &ModelFile, path: &Path) -> Result<(), HomeError> {
    let unfit = |rule: &str| HomeError::Unfit { path: path.to_path_buf(), rule: rule.into() };
    if file.facts().provenance == Provenance::Undeclared {
        return Err(unfit(
            "the base does not say whose data is in it: make it with `--provenance population` if nobody of this device is in it, else with `--provenance enrolled`",
        ));
    }
    let anchor =
        file.anchor().map_err(|source| HomeError::Base { path: path.to_path_buf(), source })?;
    let has = |part| anchor.as_ref().is_some_and(|set| set.parts.contains(&part));
    if !has(AnchorPart::Train) || !has(AnchorPart::Calibrate) {
        return Err(unfit(
            "the base has no anchor set to train and to measure on: make it with `unlearn prune --anchor N`",
        ));
    }
    Ok(())
}

/// Refuses a folder that holds something other than a home that was begun.
fn empty_enough(disk: &dyn Disk, folder: &Path) -> Result<(), HomeError> {
    let ours = ["keys", "slots", "receipts", "base.esm", "vault.redb", "lock", "socket"];
    for found in disk.list(folder)? {
        let name = found.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        if !ours.contains(&&*name) && !name.starts_with('.') {
            return Err(HomeError::NotEmpty { path: folder.to_path_buf(), found });
        }
    }
    Ok(())
}

fn open_base(
    disk: &dyn Disk,
    folder: &Path,
    keyring: &Keyring,
    state: &State,
) -> Result<Opened, HomeError> {
    let path = folder.join("base.esm");
    let opened = match &state.base.slot {
        Some(slot) => open_slot(disk, folder, keyring, slot)?,
        None => {
            let damaged = |source| HomeError::Base { path: path.clone(), source };
            let file = ModelFile::from_bytes(disk.read(&path)?).map_err(damaged)?;
            file.verify().map_err(damaged)?;
            Opened::of(&file, &path)?
        }
    };
    let artifact = &opened.artifact;
    if artifact.id.0 != state.base.id {
        return Err(HomeError::Damaged {
            path,
            offset: 0,
            what: format!(
                "it is model {}, another than was installed; put back the one that was",
                artifact.id.short()
            ),
        });
    }
    Ok(opened)
}

pub(super) fn open_slot(
    disk: &dyn Disk,
    folder: &Path,
    keyring: &Keyring,
    slot: &str,
) -> Result<Opened, HomeError> {
    let path = slot::path_of(folder, slot);
    let Some(key) = keyring.named(&slot::key_name(slot)) else {
        return Err(HomeError::Damaged {
            path,
            offset: 0,
            what: "its key was destroyed: it cannot be read any more, and should not be".into(),
        });
    };
    let mut bytes = slot::read(disk, &path, key)?;
    let damaged = |source| HomeError::Base { path: path.clone(), source };
    let file = ModelFile::from_bytes(std::mem::take(&mut *bytes)).map_err(damaged)?;
    Opened::of(&file, &path)
}

/// What a model file holds, the anchor set in two parts.
pub(super) struct Opened {
    pub artifact: Artifact,
    pub anchor: Option<Anchor>,
    pub dtype: Dtype,
}

impl Opened {
    fn of(file: &ModelFile, path: &Path) -> Result<Self, HomeError> {
        let artifact = file::read(file, path)?;
        let classes = &artifact.meaning.classes;
        let anchor = artifact.anchor.as_ref().map(|set| unpacked(set, classes)).transpose();
        let anchor = anchor.map_err(|error| HomeError::Unfit {
            path: path.to_path_buf(),
            rule: error.to_string(),
        })?;
        let weight = artifact.network.parameters.iter().find(|p| p.shape.len() > 1);
        let dtype = weight.and_then(|p| file.tensor(&p.name)).map_or(Dtype::F32, |t| t.dtype());
        Ok(Self { artifact, anchor, dtype })
    }
}
