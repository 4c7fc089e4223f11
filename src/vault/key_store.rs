//! Device keys by generation, and where they are kept.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::VaultError;
use super::seal::Key;
use crate::base::disk::{Disk, DiskError, replace};
use crate::base::hash::Digest;

/// How far an erased key is out of reach: what a receipt may say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// Only the name is gone.
    L0,
    /// The key was in a file. Its blocks may outlive its name on a flash disk until they are reused.
    L1,
    /// The key was in a secure world that keeps its own files: out of reach of who takes the disk.
    L2,
    /// The key was in hardware that forgets.
    L3,
}

/// Keeps device keys. Each call that changes something is durable when it returns.
pub trait KeyStore: Send {
    /// The generations that are there, ascending.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn generations(&self, disk: &dyn Disk) -> Result<Vec<u64>, VaultError>;
    /// Makes a key. One of that generation that is there already, from an attempt that was cut short,
    /// is replaced.
    ///
    /// # Errors
    /// If it cannot be made.
    fn add(&mut self, disk: &mut dyn Disk, generation: u64) -> Result<(), VaultError>;
    /// Seals `text` under a key.
    ///
    /// # Errors
    /// If the key is not there.
    fn seal(
        &self,
        disk: &dyn Disk,
        generation: u64,
        about: &[u8],
        text: &[u8],
    ) -> Result<Vec<u8>, VaultError>;
    /// Opens what was sealed under a key; `None` if it does not open.
    ///
    /// # Errors
    /// If the key is not there.
    fn open(
        &self,
        disk: &dyn Disk,
        generation: u64,
        about: &[u8],
        sealed: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError>;
    /// Destroys a key. Nothing happens if it is not there.
    ///
    /// # Errors
    /// If it may be there still.
    fn remove(&mut self, disk: &mut dyn Disk, generation: u64) -> Result<(), VaultError>;
    /// How far out of reach a key is that was removed.
    fn level(&self) -> Level;
    /// Whether keys lie outside the home, so that a copy of the home lacks them.
    fn apart(&self) -> bool {
        false
    }
}

/// Where a new home keeps its device keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeyPlace {
    /// In files of the home.
    #[default]
    Files,
    /// In the TPM at this TCTI, as `device:/dev/tpmrm0`.
    Tpm(String),
}

impl KeyPlace {
    /// The TPM that Linux shares among those who want it.
    pub const TPM: &str = "device:/dev/tpmrm0";

    /// The store of a new home with its keys here; `folder` is for what lies in the home, and need not be
    /// there yet.
    ///
    /// # Errors
    /// If the TPM does not answer, this program was built without it, or an attempt that was cut short
    /// had its keys elsewhere.
    pub fn store(&self, disk: &dyn Disk, folder: &Path) -> Result<Box<dyn KeyStore>, VaultError> {
        let of_tpm = disk.exists(&settings_path(folder))?;
        match self {
            Self::Files if of_tpm => Err(VaultError::OtherKeys { path: settings_path(folder) }),
            Self::Files => Ok(Box::new(FileKeyStore::new(folder))),
            Self::Tpm(tcti) => {
                if disk.exists(folder)? {
                    let files = FileKeyStore::new(folder);
                    if let Some(generation) = files.generations(disk)?.first() {
                        return Err(VaultError::OtherKeys { path: files.path(*generation) });
                    }
                }
                in_tpm(disk, folder, Some(tcti))
            }
        }
    }

    /// The store of the home whose keys, or what is known of them, lie in `folder`.
    ///
    /// # Errors
    /// If they lie in a TPM that does not answer, or this program was built without it.
    pub fn found(disk: &dyn Disk, folder: &Path) -> Result<Box<dyn KeyStore>, VaultError> {
        match disk.exists(&settings_path(folder))? {
            true => in_tpm(disk, folder, None),
            false => Ok(Box::new(FileKeyStore::new(folder))),
        }
    }
}

/// What a home knows of its TPM.
fn settings_path(folder: &Path) -> PathBuf {
    folder.join("tpm")
}

#[cfg(feature = "tpm")]
fn in_tpm(
    disk: &dyn Disk,
    folder: &Path,
    tcti: Option<&str>,
) -> Result<Box<dyn KeyStore>, VaultError> {
    use super::tpm::TpmKeyStore;
    let path = settings_path(folder);
    Ok(Box::new(match tcti {
        Some(tcti) => TpmKeyStore::create(disk, path, tcti)?,
        None => TpmKeyStore::open(disk, path)?,
    }))
}

#[cfg(not(feature = "tpm"))]
fn in_tpm(_: &dyn Disk, folder: &Path, _: Option<&str>) -> Result<Box<dyn KeyStore>, VaultError> {
    Err(VaultError::BuiltWithout { path: settings_path(folder) })
}

/// Device keys as files that only their owner may read, `device.1.key` and so on: [`Level::L1`].
///
/// A file is `unlearnk | key (32) | check (4)`; the check is the start of the key's digest, so that a
/// damaged key is told from a foreign one.
#[derive(Clone, Debug)]
pub struct FileKeyStore {
    folder: PathBuf,
}

pub(super) const MAGIC: &[u8; 8] = b"unlearnk";
pub(super) const CONTEXT: &str = "unlearn vault: keyring, version 1";

impl FileKeyStore {
    /// The store in `folder`, which is there.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    fn path(&self, generation: u64) -> PathBuf {
        self.folder.join(format!("device.{generation}.key"))
    }

    fn key(&self, disk: &dyn Disk, generation: u64) -> Result<Key, VaultError> {
        let path = self.path(generation);
        let bytes = Zeroizing::new(disk.read(&path)?);
        let wrong = || VaultError::DeviceKey { path: path.clone(), generation };
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(wrong)?;
        let (key, check) = rest.split_first_chunk::<32>().ok_or_else(wrong)?;
        if check != check_of(key) {
            return Err(wrong());
        }
        Ok(Key::of_bytes(key))
    }
}

pub(super) fn check_of(key: &[u8; 32]) -> [u8; 4] {
    let digest = Digest::of_parts("unlearn vault: check of a device key, version 1", &[key]).0;
    [digest[0], digest[1], digest[2], digest[3]]
}

/// The generation in a file's name, spelt as we spell it.
fn generation_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let number = name.strip_prefix("device.")?.strip_suffix(".key")?;
    let generation = number.parse::<u64>().ok()?;
    (generation.to_string() == number).then_some(generation)
}

impl KeyStore for FileKeyStore {
    fn generations(&self, disk: &dyn Disk) -> Result<Vec<u64>, VaultError> {
        let mut found: Vec<u64> =
            disk.list(&self.folder)?.iter().filter_map(|path| generation_of(path)).collect();
        found.sort_unstable();
        Ok(found)
    }

    fn add(&mut self, disk: &mut dyn Disk, generation: u64) -> Result<(), VaultError> {
        let key = Key::fresh()?;
        let bytes = Zeroizing::new([&MAGIC[..], key.bytes(), &check_of(key.bytes())].concat());
        let path = self.path(generation);
        replace(disk, &path, &bytes)?;
        Ok(())
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
        let path = self.path(generation);
        if disk.exists(&path)? {
            // Where a disk writes in place, this is the end of the key; on flash it is an attempt.
            let file = disk.open(&path)?;
            let failed = |e| DiskError::from_io("overwrite", &path, e);
            let size = file.size().map_err(failed)?;
            let zeros = vec![0; usize::try_from(size).unwrap_or(0).min(4096)];
            match file.write_at(0, &zeros).and_then(|()| file.sync()).map_err(failed) {
                // Some file systems write nothing in place, and a full one has no room to write
                // elsewhere. Removing needs none.
                Ok(()) | Err(DiskError::Full { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            drop(file);
            disk.remove(&path)?;
        }
        // Also where it is gone already: its removal may not have been durable yet.
        Ok(disk.sync_folder(&self.folder)?)
    }

    fn level(&self) -> Level {
        Level::L1
    }
}
