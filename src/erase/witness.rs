//! The witness of a home: a small file outside of it that knows how far the home has come.
//!
//! A copy of a whole home, put back, agrees with itself in everything; only something that was not copied
//! can tell. The state counts marks: the stop of a request, and each new device key, which is what an
//! erasure rests on. The home writes each mark first, durably, and the witness behind it. So the witness
//! is at the home's mark, or before it where the power went in between, and a home that is behind its
//! witness was put back. What was acknowledged is never ahead of the witness: a receipt is given when the
//! witness knows of it.
//!
//! The file is `unlearnw | version (u32) | device (16) | mark (u64) | chain (32) | check (8)`,
//! little-endian; the chain tells two lives of one home apart that have as many marks. It holds nothing of
//! anybody, and no key: whoever can write it can put the home back unnoticed.

use std::path::{Path, PathBuf};

use super::error::HomeError;
use super::home::Home;
use super::state::{Id, State};
use crate::base::bytes::Reader;
use crate::base::disk::{Disk, replace};
use crate::base::hash::Digest;

const MAGIC: &[u8; 8] = b"unlearnw";
const VERSION: u32 = 1;
/// Bytes of the file.
const SIZE: usize = 76;

/// What to do about a witness that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// To refuse.
    Refuse,
    /// To go on: another is named next.
    Pass,
}

/// What a witness knows.
struct Seen {
    device: [u8; 16],
    mark: u64,
    chain: Id,
}

impl Seen {
    fn of(state: &State) -> Self {
        Self { device: state.device, mark: state.mark, chain: state.chain }
    }

    fn encode(&self) -> Vec<u8> {
        let (version, mark) = (VERSION.to_le_bytes(), self.mark.to_le_bytes());
        let body = [&MAGIC[..], &version, &self.device, &mark, &self.chain].concat();
        let check = check_of(&body);
        [body, check.to_vec()].concat()
    }

    /// What is in the file at `path`; `None` if there is none.
    fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Self>, HomeError> {
        if !disk.exists(path)? {
            return Ok(None);
        }
        let bytes = disk.read(path)?;
        let decoded = || {
            let (body, check) = bytes.split_last_chunk::<8>()?;
            let mut reader = Reader::new(body);
            let ours = reader.take(8).ok()? == MAGIC && reader.u32().ok()? == VERSION;
            let (device, mark) = (reader.array().ok()?, reader.u64().ok()?);
            let chain = reader.array().ok()?;
            (bytes.len() == SIZE && ours && *check == check_of(body)).then_some(())?;
            Some(Self { device, mark, chain })
        };
        let rule = "it is no witness, or damaged: name another file, or put back the one that was";
        decoded().map(Some).ok_or_else(|| wrong(path, rule))
    }
}

fn check_of(body: &[u8]) -> [u8; 8] {
    let digest = Digest::of_parts("unlearn witness: check, version 1", &[body]).0;
    std::array::from_fn(|at| digest[at])
}

fn wrong(path: &Path, rule: &str) -> HomeError {
    HomeError::Witness { path: path.to_path_buf(), rule: rule.into() }
}

/// Holds the state of the home in `folder` against what the witness at `path` saw.
fn hold(folder: &Path, path: &Path, state: &State, seen: &Seen) -> Result<(), HomeError> {
    if seen.device != state.device {
        return Err(wrong(path, "it is another home's witness: name the one of this home"));
    }
    let other = seen.mark == state.mark && seen.chain != state.chain;
    if seen.mark > state.mark || other {
        let (folder, path) = (folder.to_path_buf(), path.to_path_buf());
        return Err(HomeError::PutBack { folder, path, found: state.mark, known: seen.mark });
    }
    Ok(())
}

/// Refuses the home in `folder`, of which nothing was changed yet, if its witness knows of more.
pub(super) fn heed(
    disk: &dyn Disk,
    folder: &Path,
    state: &State,
    missing: Missing,
) -> Result<(), HomeError> {
    let Some(path) = &state.witness else { return Ok(()) };
    match Seen::read(disk, path)? {
        Some(seen) => hold(folder, path, state, &seen),
        None if missing == Missing::Pass => Ok(()),
        None => {
            Err(HomeError::NoWitness { folder: folder.to_path_buf(), path: path.to_path_buf() })
        }
    }
}

impl Home {
    /// The witness, where one was named.
    pub fn witness(&self) -> Option<&Path> {
        self.state.witness.as_deref()
    }

    /// Names the witness, or none: a file outside the home, on a disk that is not copied and put back
    /// together with it. It is written before the home names it. The one before is left where it is.
    ///
    /// # Errors
    /// If it lies in the home, is something else or another home's, or knows of more than this home does;
    /// if it cannot be written.
    pub fn set_witness(&mut self, path: Option<PathBuf>) -> Result<(), HomeError> {
        if let Some(path) = &path {
            if path.starts_with(&self.folder) {
                return Err(wrong(path, "it lies in the home, and would be put back with it"));
            }
            if path.to_str().is_none() {
                return Err(wrong(path, "its path is no UTF-8"));
            }
            if let Some(seen) = Seen::read(self.disk.as_ref(), path)? {
                hold(&self.folder, path, &self.state, &seen)?;
            }
            replace(self.disk.as_mut(), path, &Seen::of(&self.state).encode())?;
        }
        let mut state = self.state.clone();
        state.witness = path;
        self.keep(self.keyring.clone(), state, false)
    }

    /// Lets the witness know how far the home has come.
    ///
    /// # Errors
    /// If it cannot be written; what the home did stays done.
    pub(super) fn bear_witness(&mut self) -> Result<(), HomeError> {
        let Some(path) = &self.state.witness else { return Ok(()) };
        let newest = Seen::of(&self.state).encode();
        if self.disk.exists(path)? && self.disk.read(path)? == newest {
            return Ok(());
        }
        Ok(replace(self.disk.as_mut(), path, &newest)?)
    }
}
