//! Model files under a key of their own: what is in a slot can be read as long as its key is in the
//! keyring, and by nobody after.
//!
//! A sealed file is `unlearns | sealed`, with its name as associated data: it opens under its own name only.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::HomeError;
use crate::base::disk::{Disk, replace};
use crate::base::entropy;
use crate::vault::Key;

const MAGIC: &[u8; 8] = b"unlearns";
const CONTEXT: &str = "unlearn home: slot, version 1";

/// A new name for a slot: it says nothing.
///
/// # Errors
/// If the system gives no random bytes.
pub fn fresh_name() -> Result<String, HomeError> {
    let name: [u8; 8] = entropy::bytes()?;
    Ok(name.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Where a slot lies.
pub fn path_of(folder: &Path, slot: &str) -> PathBuf {
    folder.join("slots").join(format!("{slot}.slot"))
}

/// The name under which the keyring has the key of a slot.
pub fn key_name(slot: &str) -> String {
    format!("slot/{slot}")
}

/// Seals `bytes` into the file at `path`, durably.
///
/// # Errors
/// If it cannot be written; what was there is there then.
pub fn write(disk: &mut dyn Disk, path: &Path, key: &Key, bytes: &[u8]) -> Result<(), HomeError> {
    let sealed = key.seal(CONTEXT, about(path), bytes)?;
    Ok(replace(disk, path, &[&MAGIC[..], &sealed].concat())?)
}

/// What the file at `path` holds.
///
/// # Errors
/// If it cannot be read, or does not open under `key`.
pub fn read(disk: &dyn Disk, path: &Path, key: &Key) -> Result<Zeroizing<Vec<u8>>, HomeError> {
    let bytes = disk.read(path)?;
    let opened =
        bytes.strip_prefix(MAGIC).and_then(|sealed| key.open(CONTEXT, about(path), sealed));
    opened.ok_or_else(|| HomeError::Damaged {
        path: path.to_path_buf(),
        offset: 0,
        what: "it does not open under its key: it was changed, renamed, or is another home's; put back the newest copy of the whole home".into(),
    })
}

fn about(path: &Path) -> &[u8] {
    use std::os::unix::ffi::OsStrExt;
    path.file_name().map_or(&[], |name| name.as_bytes())
}
