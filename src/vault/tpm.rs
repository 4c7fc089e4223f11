//! Device keys in a TPM 2.0: one NV index a generation, so that removing it is the end of the key.
//!
//! An index lies in the owner's part of the handles, in the range `0x018F5500` to `0x018F553F`, which all
//! homes of a device share; each has one index, two for the moment of a rotation. Its data are
//! `key (32) | check (4)`. It is read and written with an authorisation value of 32 random bytes, never
//! locks anybody out, and is defined and undefined with that of the owner, which must be empty. Its policy
//! allows nothing; it is a label that anybody may read: `unlearnk | home (16) | generation (u64,
//! big-endian)`. So the generations are found without a key, and no home touches another's.
//!
//! `keys/tpm` in the home holds `unlearnt | home (16) | authorisation (32) | check (4) | TCTI`. Without it
//! the TPM gives nothing, without the TPM it opens nothing. It is durable before the first key is made.
//!
//! # What it does not do
//! The key leaves the chip to seal and to open: whoever may read the memory of the process, or be it, may
//! have it. It is in memory of the C library for a moment, which is not overwritten. The authorisation is
//! sent in clear when an index is made, so that who listens on the wires of a chip of its own just then
//! hears keys later. Whoever has the owner's authorisation can destroy the keys, not read them.
//!
//! A connection lasts for one call, so that a worker and the process it works for take turns. Under the
//! filter of system calls that those have, a TCTI may open a device or a Unix socket: `device:/dev/tpmrm0`
//! does, and `tabrmd` speaks to the system bus through one; `swtpm` and `mssim` want the network and end
//! the process.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use tss_esapi::attributes::NvIndexAttributesBuilder;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
use tss_esapi::constants::{CapabilityType, PropertyTag};
use tss_esapi::handles::{NvIndexHandle, NvIndexTpmHandle, ObjectHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::{NvAuth, Provision};
use tss_esapi::structures::{Auth, CapabilityData, Digest, MaxNvBuffer, NvPublic};
use tss_esapi::tcti_ldr::TctiNameConf;
use tss_esapi::{Context, Error};
use zeroize::Zeroizing;

use super::error::VaultError;
use super::key_store::{CONTEXT, KeyStore, Level, MAGIC, check_of};
use super::seal::Key;
use crate::base::disk::{Disk, replace};
use crate::base::entropy;
use crate::base::hash;

/// The first handle of the range.
const FIRST: u32 = 0x018F_5500;
/// How many handles the range has.
const HANDLES: u32 = 64;
/// Bytes of an index: a key and its check.
const SIZE: u16 = 36;
const SETTINGS: &[u8; 8] = b"unlearnt";
/// Makers of chips that are nothing but a TPM, as they name themselves.
const DISCRETE: [&[u8; 4]; 5] = [b"IFX\0", b"STM ", b"NTC\0", b"NTZ\0", b"ATML"];
/// Makers of a TPM that is a program, with its state in a file.
const PROGRAMS: [&[u8; 4]; 2] = [b"IBM\0", b"IBM "];

/// Device keys in a TPM.
///
/// Its [`Level`] is what the TPM says of its maker: [`Level::L3`] where that makes chips of their own,
/// [`Level::L1`] where it is a program with a file, and [`Level::L2`], as for a part of the firmware,
/// where nothing is known.
#[derive(Clone, Debug)]
pub struct TpmKeyStore {
    path: PathBuf,
    tcti: String,
    home: [u8; 16],
    auth: Key,
    /// Whether its settings are in the home already.
    kept: bool,
    level: Level,
}

/// An index of ours.
struct Index {
    handle: NvIndexHandle,
    generation: u64,
}

impl TpmKeyStore {
    /// A store for a new home: its keys go into the TPM at `tcti`, and what leads to them into the file at
    /// `path`. What an interrupted attempt left there is used again, so that its keys are found.
    ///
    /// # Errors
    /// If the TPM does not answer.
    pub fn create(disk: &dyn Disk, path: PathBuf, tcti: &str) -> Result<Self, VaultError> {
        let mut store = match disk.exists(&path)? {
            true => Self::settings(disk, path)?,
            false => {
                let (home, auth, tcti) = (entropy::bytes()?, Key::fresh()?, tcti.to_string());
                Self { path, tcti, home, auth, kept: false, level: Level::L1 }
            }
        };
        store.kept &= store.tcti == tcti;
        store.tcti = tcti.to_string();
        store.level = store.level_of(&mut store.connect(disk)?)?;
        Ok(store)
    }

    /// The store that the file at `path` leads to.
    ///
    /// # Errors
    /// If it is damaged, or the TPM does not answer.
    pub fn open(disk: &dyn Disk, path: PathBuf) -> Result<Self, VaultError> {
        let mut store = Self::settings(disk, path)?;
        store.level = store.level_of(&mut store.connect(disk)?)?;
        Ok(store)
    }

    fn settings(disk: &dyn Disk, path: PathBuf) -> Result<Self, VaultError> {
        let bytes = Zeroizing::new(disk.read(&path)?);
        let parsed = || {
            let rest = bytes.strip_prefix(SETTINGS)?;
            let (home, rest) = rest.split_first_chunk::<16>()?;
            let (auth, rest) = rest.split_first_chunk::<32>()?;
            let (check, tcti) = rest.split_first_chunk::<4>()?;
            let tcti = std::str::from_utf8(tcti).ok()?;
            (*check == check_of_settings(home, auth, tcti)).then(|| (*home, *auth, tcti.into()))
        };
        let Some((home, auth, tcti)) = parsed() else {
            let what = "it is not what was written about the TPM".into();
            return Err(VaultError::Damaged { path, what });
        };
        let auth = Key::of_bytes(&auth);
        Ok(Self { path, tcti, home, auth, kept: true, level: Level::L1 })
    }

    fn keep_settings(&mut self, disk: &mut dyn Disk) -> Result<(), VaultError> {
        if !self.kept {
            let check = check_of_settings(&self.home, self.auth.bytes(), &self.tcti);
            let parts = [&SETTINGS[..], &self.home, self.auth.bytes(), &check];
            let bytes = Zeroizing::new([&parts.concat(), self.tcti.as_bytes()].concat());
            replace(disk, &self.path, &bytes)?;
            self.kept = true;
        }
        Ok(())
    }

    /// A connection for one call.
    fn connect(&self, disk: &dyn Disk) -> Result<Context, VaultError> {
        let refused = |why: String, advice| VaultError::Tpm {
            tcti: self.tcti.clone(),
            what: "reach it",
            why,
            advice,
        };
        let name = TctiNameConf::from_str(&self.tcti).map_err(|_| {
            let why = "this is no TCTI that is known".to_string();
            refused(why, "write `tpm:device:/dev/tpmrm0`, or `tpm` for the same")
        })?;
        if let Some(device) = self.tcti.strip_prefix("device:")
            && !disk.exists(Path::new(device))?
        {
            let why = format!("there is no `{device}`");
            return Err(refused(
                why,
                "is the TPM switched on in the firmware, and its driver loaded?",
            ));
        }
        Context::new(name).map_err(|error| {
            refused(
                error.to_string(),
                "may this user read and write the device (group `tss`), and does nobody else hold it? `/dev/tpmrm0` is shared, `/dev/tpm0` is not",
            )
        })
    }

    /// What the TPM's own word on its maker is worth.
    fn level_of(&self, tpm: &mut Context) -> Result<Level, VaultError> {
        let maker = tpm.get_tpm_property(PropertyTag::Manufacturer);
        let maker = maker.map_err(|error| self.failed("ask for its maker", error))?;
        let maker = maker.unwrap_or(0).to_be_bytes();
        Ok(match maker {
            _ if DISCRETE.contains(&&maker) => Level::L3,
            _ if PROGRAMS.contains(&&maker) => Level::L1,
            _ => Level::L2,
        })
    }

    fn failed(&self, what: &'static str, error: Error) -> VaultError {
        let kind = match error {
            Error::Tss2Error(code) => code.kind(),
            Error::WrapperError(_) => None,
        };
        let advice = match kind {
            Some(Kind::Lockout) => {
                "it is locked after wrong authorisations: wait until it lets go, or clear that with `tpm2_dictionarylockout --clear-lockout`; no key was lost"
            }
            Some(Kind::NvSpace) => {
                "it has no room for another key: undefine indexes that nobody needs (`tpm2_getcap handles-nv-index`, `tpm2_nvundefine`); what was there is there still"
            }
            Some(Kind::NvRate | Kind::Retry | Kind::Testing | Kind::Yielded) => {
                "it asks for patience: do the same again in a while"
            }
            Some(Kind::BadAuth | Kind::AuthFail) => {
                "its owner has set an authorisation, and the empty one is expected; or `keys/tpm` in the home is another home's"
            }
            Some(Kind::Initialize) => {
                "it was not started: the firmware does so, or `tpm2_startup -c`"
            }
            _ => {
                "do the same again; if it stays so, see what `tpm2_getcap properties-variable` says"
            }
        };
        VaultError::Tpm { tcti: self.tcti.clone(), what, why: error.to_string(), advice }
    }

    /// The home's indexes, and handles of the range that nobody has.
    fn look(&self, tpm: &mut Context) -> Result<(Vec<Index>, Vec<u32>), VaultError> {
        let failed = |error| self.failed("list its indexes", error);
        let (found, _) =
            tpm.get_capability(CapabilityType::Handles, FIRST, HANDLES).map_err(failed)?;
        let mut free: Vec<u32> = (FIRST..FIRST + HANDLES).collect();
        let mut ours = Vec::new();
        let CapabilityData::Handles(found) = found else { return Ok((ours, free)) };
        for handle in found.into_inner() {
            let number = u32::from(handle);
            if !(FIRST..FIRST + HANDLES).contains(&number) {
                continue;
            }
            free.retain(|one| *one != number);
            let index = tpm.tr_from_tpm_public(handle).map_err(failed)?.into();
            // One whose description we cannot read is not of ours.
            let Ok((public, _)) = tpm.nv_read_public(index) else { continue };
            if let Some(generation) = self.generation(&public) {
                ours.push(Index { handle: index, generation });
            }
        }
        ours.sort_by_key(|index| index.generation);
        Ok((ours, free))
    }

    /// The generation in a label of this home's.
    fn generation(&self, public: &NvPublic) -> Option<u64> {
        let label = public.authorization_policy().value().strip_prefix(MAGIC)?;
        let generation = label.strip_prefix(&self.home)?;
        (public.data_size() == usize::from(SIZE)).then_some(())?;
        Some(u64::from_be_bytes(generation.try_into().ok()?))
    }

    /// What a new index of `generation` is.
    fn public(&self, number: u32, generation: u64) -> Result<NvPublic, Error> {
        let label = [&MAGIC[..], &self.home, &generation.to_be_bytes()].concat();
        let attributes = NvIndexAttributesBuilder::new()
            .with_auth_read(true)
            .with_auth_write(true)
            .with_no_da(true)
            .build()?;
        NvPublic::builder()
            .with_nv_index(NvIndexTpmHandle::new(number)?)
            .with_index_name_algorithm(HashingAlgorithm::Sha256)
            .with_index_attributes(attributes)
            .with_index_auth_policy(Digest::try_from(label)?)
            .with_data_area_size(SIZE.into())
            .build()
    }

    /// Makes an index at the first handle that is free.
    fn define(
        &self,
        tpm: &mut Context,
        free: &[u32],
        generation: u64,
    ) -> Result<NvIndexHandle, VaultError> {
        let failed = |error| self.failed("make an index for a key", error);
        for number in free {
            let public = self.public(*number, generation).map_err(failed)?;
            let auth = Auth::try_from(self.auth.bytes().to_vec()).map_err(failed)?;
            let defined = tpm.execute_with_nullauth_session(|tpm| {
                tpm.nv_define_space(Provision::Owner, Some(auth), public)
            });
            match defined {
                // Another home was faster.
                Err(Error::Tss2Error(code)) if code.kind() == Some(Kind::NvDefined) => {}
                defined => return defined.map_err(failed),
            }
        }
        Err(VaultError::Tpm {
            tcti: self.tcti.clone(),
            what: "make an index for a key",
            why: format!("all {HANDLES} handles from {FIRST:#x} on are taken"),
            advice: "undefine those of homes that are gone (`tpm2_nvreadpublic`, `tpm2_nvundefine`)",
        })
    }

    fn authorise(&self, tpm: &mut Context, handle: NvIndexHandle) -> Result<(), Error> {
        let auth = Auth::try_from(self.auth.bytes().to_vec())?;
        tpm.tr_set_auth(ObjectHandle::from(handle), auth)
    }

    fn write(&self, tpm: &mut Context, handle: NvIndexHandle, key: &Key) -> Result<(), Error> {
        self.authorise(tpm, handle)?;
        let bytes = Zeroizing::new([&key.bytes()[..], &check_of(key.bytes())].concat());
        let data = MaxNvBuffer::try_from(bytes.to_vec())?;
        tpm.execute_with_nullauth_session(|tpm| {
            tpm.nv_write(NvAuth::NvIndex(handle), handle, data, 0)
        })
    }

    /// The key in an index; `None` if it holds none of ours.
    fn read(&self, tpm: &mut Context, handle: NvIndexHandle) -> Result<Option<Key>, Error> {
        self.authorise(tpm, handle)?;
        let data = tpm.execute_with_nullauth_session(|tpm| {
            tpm.nv_read(NvAuth::NvIndex(handle), handle, SIZE, 0)
        })?;
        let parts = data.value().split_first_chunk::<32>();
        let whole = parts.filter(|(key, check)| *check == check_of(key));
        Ok(whole.map(|(key, _)| Key::of_bytes(key)))
    }

    fn undefine(&self, tpm: &mut Context, handle: NvIndexHandle) -> Result<(), VaultError> {
        tpm.execute_with_nullauth_session(|tpm| tpm.nv_undefine_space(Provision::Owner, handle))
            .map_err(|error| self.failed("destroy a key", error))
    }

    fn key(&self, disk: &dyn Disk, generation: u64) -> Result<Key, VaultError> {
        let mut tpm = self.connect(disk)?;
        let (ours, _) = self.look(&mut tpm)?;
        let gone = || VaultError::NoTpmKey { tcti: self.tcti.clone(), generation };
        let index = ours.iter().find(|index| index.generation == generation).ok_or_else(gone)?;
        let key = self.read(&mut tpm, index.handle);
        key.map_err(|error| self.failed("read a key", error))?.ok_or_else(gone)
    }
}

fn check_of_settings(home: &[u8; 16], auth: &[u8; 32], tcti: &str) -> [u8; 4] {
    let parts: [&[u8]; 3] = [home, auth, tcti.as_bytes()];
    let digest = hash::Digest::of_parts("unlearn vault: settings of a TPM, version 1", &parts).0;
    [digest[0], digest[1], digest[2], digest[3]]
}

impl KeyStore for TpmKeyStore {
    fn generations(&self, disk: &dyn Disk) -> Result<Vec<u64>, VaultError> {
        let (ours, _) = self.look(&mut self.connect(disk)?)?;
        let mut generations: Vec<u64> = ours.iter().map(|index| index.generation).collect();
        generations.dedup();
        Ok(generations)
    }

    fn add(&mut self, disk: &mut dyn Disk, generation: u64) -> Result<(), VaultError> {
        self.keep_settings(disk)?;
        self.remove(disk, generation)?;
        let mut tpm = self.connect(disk)?;
        let (_, free) = self.look(&mut tpm)?;
        let key = Key::fresh()?;
        let handle = self.define(&mut tpm, &free, generation)?;
        let written = self.write(&mut tpm, handle, &key);
        let kept = match written.and_then(|()| self.read(&mut tpm, handle)) {
            Ok(found) if found.as_ref() == Some(&key) => return Ok(()),
            Ok(_) => VaultError::NoTpmKey { tcti: self.tcti.clone(), generation },
            Err(error) => self.failed("write a key", error),
        };
        // The first fault is the one to tell; what stays is replaced by the next attempt.
        let _ = self.undefine(&mut tpm, handle);
        Err(kept)
    }

    fn seal(
        &self,
        disk: &dyn Disk,
        generation: u64,
        about: &[u8],
        text: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        Ok(self.key(disk, generation)?.seal(CONTEXT, about, text)?)
    }

    fn open(
        &self,
        disk: &dyn Disk,
        generation: u64,
        about: &[u8],
        sealed: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        Ok(self.key(disk, generation)?.open(CONTEXT, about, sealed))
    }

    fn remove(&mut self, disk: &mut dyn Disk, generation: u64) -> Result<(), VaultError> {
        let mut tpm = self.connect(disk)?;
        let (ours, _) = self.look(&mut tpm)?;
        let mut doomed = ours.into_iter().filter(|index| index.generation == generation);
        doomed.try_for_each(|index| self.undefine(&mut tpm, index.handle))
    }

    fn level(&self) -> Level {
        self.level
    }

    fn apart(&self) -> bool {
        true
    }
}
