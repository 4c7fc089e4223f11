//! A home: one folder, its files, and who opens them.
//!
//! | file | holds |
//! |---|---|
//! | `keyring` | every key, and the state: which models there are, which is served, who is gone |
//! | `keys/device.N.key` | the device key of generation N, where it is a file |
//! | `keys/tpm` | which TPM has the device keys, and what it gives them for, where it has them |
//! | `base.esm` | the base, if it is of a population; an enrolled one lies in a slot |
//! | `vault.redb` | samples, sealed |
//! | `slots/NAME.slot` | a model, sealed under a key of its own |
//! | `slots/NAME.work` | the last whole epoch of a run, sealed under the key of the slot it will fill |
//! | `journal` | the erasure that is under way |
//! | `receipts/N.receipt` | what was erased |
//! | `ballast` | noise: room for an erasure on a full disk |
//! | `lock` | nothing: whoever holds its lock has the home |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::energy::Energy;
use super::error::HomeError;
use super::files::{
    Opened, decoded, empty_enough, fit, journal_of, open_base, open_slot, sync_above,
};
use super::job::Job;
use super::journal::{Journal, Stands};
use super::receipt::{Guarantee, SigningKey};
use super::slot;
use super::state::{Base, Model, State};
use super::upkeep::spend_ballast;
use super::witness::{Missing, heed};
use crate::base::disk::{Disk, replace};
use crate::base::entropy;
use crate::data::{Anchor, Dataset};
use crate::format::{AnchorPart, Dtype, Facts, ModelFile, Provenance};
use crate::model::file::{self, Artifact};
use crate::model::{Device, Network};
use crate::sparse::Isa;
use crate::vault::{FileKeyStore, Handle, Key, KeyPlace, KeyStore, Keyring, Level, Quota, Store};

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
    /// What learning computes on.
    pub(super) device: Device,
    /// What is known of the energy that is taken.
    pub(super) energy: Energy,
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

/// The key store of a new home with its keys at `place`.
///
/// # Errors
/// If it is a TPM that does not answer, or this program was built without.
pub fn new_keys(
    disk: &dyn Disk,
    folder: &Path,
    place: &KeyPlace,
) -> Result<Box<dyn KeyStore>, HomeError> {
    Ok(place.store(disk, &folder.join("keys"))?)
}

/// The key store that a home was made with.
///
/// # Errors
/// As [`new_keys`].
pub fn keys_of(disk: &dyn Disk, folder: &Path) -> Result<Box<dyn KeyStore>, HomeError> {
    Ok(KeyPlace::found(disk, &folder.join("keys"))?)
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
        let damaged = |source| HomeError::Base { path: of.to_path_buf(), source: Box::new(source) };
        let opened = ModelFile::from_bytes(package.clone()).map_err(damaged)?;
        opened.verify().map_err(damaged)?;
        fit(&opened, of)?;
        if disk.exists(&keyring_path(folder))? {
            return Err(HomeError::HomeThere { path: folder.to_path_buf() });
        }
        disk.make_folder(folder)?;
        sync_above(disk.as_mut(), folder)?;
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
        Keyring::create(disk.as_mut(), &path, keys.as_mut(), state.encode()?, named)?;
        Self::open(disk, folder, keys)
    }

    /// Opens a home. A rotation that was cut short ends here; samples that an older copy brought back
    /// are removed again.
    ///
    /// # Errors
    /// If it is none, a file of it is not what was written, or it is older than its witness.
    pub fn open(
        disk: Box<dyn Disk + Send>,
        folder: &Path,
        keys: Box<dyn KeyStore>,
    ) -> Result<Self, HomeError> {
        Self::open_witnessed(disk, folder, keys, Missing::Refuse)
    }

    /// As [`Home::open`], for a home whose witness is lost and is to be named anew. One that is there is
    /// heeded.
    ///
    /// # Errors
    /// As [`Home::open`].
    pub fn open_without_witness(
        disk: Box<dyn Disk + Send>,
        folder: &Path,
        keys: Box<dyn KeyStore>,
    ) -> Result<Self, HomeError> {
        Self::open_witnessed(disk, folder, keys, Missing::Pass)
    }

    fn open_witnessed(
        mut disk: Box<dyn Disk + Send>,
        folder: &Path,
        mut keys: Box<dyn KeyStore>,
        missing: Missing,
    ) -> Result<Self, HomeError> {
        let path = keyring_path(folder);
        if !disk.exists(&path)? {
            return Err(HomeError::NoHome { path: folder.to_path_buf() });
        }
        let keyring = Keyring::read(disk.as_ref(), &path, keys.as_ref())?;
        let state = decoded(&keyring, &path)?;
        // Before anything is changed: what was put back may be somebody's only copy.
        heed(disk.as_ref(), folder, &state, missing)?;
        keyring.destroy_others(disk.as_mut(), keys.as_mut())?;
        let journal = journal_of(disk.as_ref(), folder, &state)?;
        let index = folder.join("vault.redb");
        let store = match Store::open(disk.as_mut(), &index).map_err(HomeError::from) {
            // The engine writes before it reads.
            Err(error) if error.is_full() && spend_ballast(disk.as_mut(), folder)? => {
                Store::open(disk.as_mut(), &index)?
            }
            opened => opened?,
        };
        let Opened { artifact: base, anchor, dtype } =
            open_base(disk.as_ref(), folder, &keyring, &state)?;
        let folder = folder.to_path_buf();
        let (memory, device, energy) = (None, Isa::best().into(), Energy::default());
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
            device,
            energy,
            attends: false,
        };
        home.in_need(Self::hold_against_state)?;
        if missing == Missing::Refuse {
            home.bear_witness()?;
        }
        home.sweep()?;
        if home.job().is_none() {
            // Where there is no room now, there may be at the end of the next erasure.
            let _ = home.keep_ballast();
        }
        Ok(home)
    }

    pub(super) fn reload_base(&mut self) -> Result<(), HomeError> {
        let opened = open_base(self.disk.as_ref(), &self.folder, &self.keyring, &self.state)?;
        (self.base, self.anchor, self.dtype) = (opened.artifact, opened.anchor, opened.dtype);
        Ok(())
    }

    /// Writes keys and state: under the same device key where they only grew, under a new one where
    /// something must be out of reach. A new device key, and a stop that they did not know of, is a mark,
    /// of which the witness is told behind them.
    ///
    /// # Errors
    /// If they cannot be written; what is in memory is then what is on the disk.
    pub(super) fn keep(
        &mut self,
        mut keyring: Keyring,
        mut state: State,
        rotate: bool,
    ) -> Result<(), HomeError> {
        let stopped = match self.journal.stands(&state.journal) {
            Stands::Open => self.journal.last_stop(),
            _ => None,
        };
        let marks = rotate || (stopped.is_some() && stopped != state.stopped);
        state.stopped = stopped;
        if marks {
            state.advance()?;
        }
        keyring.set_state(state.encode()?);
        let (disk, keys) = (self.disk.as_mut(), self.keys.as_mut());
        let kept = match rotate {
            true => keyring.rotate(disk, keys),
            false => keyring.save(disk, keys),
        };
        match kept {
            Ok(()) => (self.keyring, self.state) = (keyring, state),
            Err(error) => {
                // Either may be on the disk now; what is in memory must be the same.
                if let Ok(found) = Keyring::read(disk, &keyring_path(&self.folder), keys)
                    && let Some(state) = State::decode(found.state())
                {
                    // A key that stays is destroyed by the next who rotates or opens.
                    let _ = found.destroy_others(disk, keys);
                    (self.keyring, self.state) = (found, state);
                }
                return Err(error.into());
            }
        }
        if marks { self.bear_witness() } else { Ok(()) }
    }

    /// Lets keyring and witness know of a stop, so that a journal without it is noticed. The stop itself
    /// is in the journal, and stands: where this fails, the next step does it.
    pub(super) fn mark_stop(&mut self) {
        let (keyring, state) = (self.keyring.clone(), self.state.clone());
        let _ = self.keep(keyring, state, false);
    }

    /// Sets how many bytes of memory a run may take; `None` for no limit.
    pub fn limit_memory(&mut self, bytes: Option<u64>) {
        self.memory = bytes;
    }

    /// Sets what learning computes on, and what the planner times; the processor, unless it is told. A CUDA
    /// device must be open. Models are judged, and answer, on the processor: that is few samples.
    pub fn compute_on(&mut self, device: Device) {
        self.device = device;
    }

    /// What learning computes on.
    pub fn device(&self) -> Device {
        self.device
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
        let journal = journal_of(disk.as_ref(), folder, &state)?;
        let store = Some(Store::open(disk.as_mut(), &folder.join("vault.redb"))?);
        let Opened { artifact: base, anchor, dtype } =
            open_base(disk.as_ref(), folder, &keyring, &state)?;
        let (folder, memory, attends) = (folder.to_path_buf(), None, true);
        let (device, energy) = (Isa::best().into(), Energy::default());
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
            device,
            energy,
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
            Some(slot) => self.model(Some(slot)).is_ok(),
            None => !self.state.base.dead,
        }
    }

    /// The newest model that learnt from none of `people` and can be read; the base where there is none.
    pub(super) fn clean_ancestor(&self, people: &[Handle]) -> Option<&Model> {
        let clean = |model: &&Model| !model.holds(people) && self.readable(Some(&model.slot));
        self.state.models.iter().rev().find(clean)
    }

    /// Writes what takes the place of a base that knew somebody and that nothing can repair: the same
    /// network as it is drawn, with nobody's data in it.
    pub(super) fn write_blank(&mut self) -> Result<Artifact, HomeError> {
        let network = Network::new(self.base.network.description.clone(), self.state.seed);
        let facts = Facts::new(Provenance::Population).with("command", "reset");
        let bytes = file::encode(&network, &self.base.meaning, &facts, self.dtype, None, None)?;
        let path = self.folder.join("base.esm");
        replace(self.disk.as_mut(), &path, &bytes)?;
        let damaged = |source| HomeError::Base { path: path.clone(), source: Box::new(source) };
        Ok(Opened::of(&ModelFile::from_bytes(bytes).map_err(damaged)?, &path)?.artifact)
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
