//! Compiled kernels kept in files: one file for each target, replaced when anything that it was made from changes.
//!
//! A file is: magic (8 bytes), key (32), length of the code (8, little-endian), digest of the code (32), code. It is
//! believed only whole: what is damaged, cut, longer, or of another key is passed over, and replaced.

use std::path::{Path, PathBuf};

use super::compile::{Target, Unit};
use crate::base::bytes::Reader;
use crate::base::disk::{Disk, DiskError, read_at_most, replace};
use crate::base::hash::Digest;

const MAGIC: &[u8; 8] = b"ULRNCU\x00\x01";
const HEADER: usize = 8 + 32 + 8 + 32;
/// The longest code that is kept or read.
const MOST: u64 = 64 << 20;

/// The digest of all that a compiled unit depends on: sources, options, target, and versions of compiler and driver.
#[must_use]
pub fn key(
    source: &str,
    options: &[&str],
    target: Target,
    nvrtc: [u32; 2],
    driver: [u32; 2],
) -> Digest {
    let version = |version: [u32; 2]| version.map(u32::to_le_bytes).concat();
    let (target, nvrtc, driver) = (target.name(), version(nvrtc), version(driver));
    let mut parts = vec![source.as_bytes(), target.as_bytes(), &nvrtc, &driver];
    parts.extend(options.iter().map(|option| option.as_bytes()));
    Digest::of_parts("unlearn 2026 compiled CUDA kernels", &parts)
}

fn digest(key: &Digest, code: &[u8]) -> Digest {
    Digest::of_parts("unlearn 2026 code of CUDA kernels", &[&key.0, code])
}

/// The file of a target in `folder`.
#[must_use]
pub fn path(folder: &Path, target: Target) -> PathBuf {
    folder.join(format!("kernels-{}.bin", target.name()))
}

/// A unit as the bytes of its file.
fn file(key: &Digest, code: &[u8]) -> Vec<u8> {
    let length = (code.len() as u64).to_le_bytes();
    [&MAGIC[..], &key.0, &length, &digest(key, code).0, code].concat()
}

/// The code in the bytes of a file, if they are whole and of this key.
fn code<'a>(bytes: &'a [u8], expected: &Digest) -> Option<&'a [u8]> {
    let mut reader = Reader::new(bytes);
    let magic = reader.take(MAGIC.len()).ok()?;
    let key = Digest(reader.array().ok()?);
    let length = reader.u64().ok()?;
    let claimed = Digest(reader.array().ok()?);
    let fits = magic == MAGIC && key == *expected && length == reader.remaining() as u64;
    let code = reader.take(reader.remaining()).ok()?;
    (fits && !code.is_empty() && digest(&key, code) == claimed).then_some(code)
}

/// What is kept in `folder` for a target under this key; `None` if nothing is, or what is there is not whole.
///
/// # Errors
/// If something is there that cannot be read.
pub fn load(folder: &Path, target: Target, key: &Digest) -> Result<Option<Unit>, DiskError> {
    match read_at_most(&path(folder, target), MOST + HEADER as u64) {
        Ok(bytes) => Ok(code(&bytes, key).map(|code| Unit { target, code: code.to_vec() })),
        Err(DiskError::NotFound { .. } | DiskError::TooLong { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keeps a unit in `folder`, durably, in place of what was there for its target. One that is too long is not kept.
///
/// # Errors
/// If it cannot be written.
pub fn store(
    disk: &mut dyn Disk,
    folder: &Path,
    key: &Digest,
    unit: &Unit,
) -> Result<(), DiskError> {
    match unit.code.len() as u64 {
        ..=MOST => replace(disk, &path(folder, unit.target), &file(key, &unit.code)),
        _ => Ok(()),
    }
}
