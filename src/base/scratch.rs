//! A file without a name, for what does not fit into memory.
//!
//! It is gone when its owner is: after an error, a kill or a loss of power nothing of it is left to
//! find by name. It is not durable and not meant to be. Its blocks are given back, not overwritten, and
//! may be read from the raw disk later: what must be erased for good has no place in it.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::disk::DiskError;

/// Bytes that are gathered before the system is asked to write them.
const GATHERED: usize = 1 << 20;

/// A growing file that only its owner can reach.
#[derive(Debug)]
pub struct Scratch {
    file: File,
    folder: PathBuf,
    waiting: Vec<u8>,
}

/// What was written to a [`Scratch`], for many readers at once.
#[derive(Debug)]
pub struct Written {
    file: File,
    len: u64,
}

impl Scratch {
    /// An empty one on the file system of `folder`.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn new(folder: &Path) -> Result<Self, DiskError> {
        let file = tempfile::tempfile_in(folder)
            .map_err(|error| DiskError::from_io("write a scratch file in", folder, error))?;
        Ok(Self { file, folder: folder.to_path_buf(), waiting: Vec::new() })
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// If the system refuses, as it does on a full disk.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= GATHERED { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        let written = self.file.write_all(&self.waiting);
        self.waiting.clear();
        written.map_err(|error| DiskError::from_io("write a scratch file in", &self.folder, error))
    }

    /// Ends the writing.
    ///
    /// # Errors
    /// As [`Scratch::append`].
    pub fn finish(mut self) -> Result<Written, DiskError> {
        self.flush()?;
        let len = self.file.metadata().map(|about| about.len());
        let len =
            len.map_err(|error| DiskError::from_io("look at a file in", &self.folder, error))?;
        Ok(Written { file: self.file, len })
    }
}

impl Written {
    /// Fills `out` with the bytes from `offset` on.
    ///
    /// # Errors
    /// If the system cannot read them, or they lie behind the end.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_is_read_at_any_place_and_leaves_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(folder.path()).unwrap();
        let piece: Vec<u8> = (0..=255).cycle().take(700_001).collect();
        (0..3).for_each(|_| scratch.append(&piece).unwrap());
        let written = scratch.finish().unwrap();
        assert_eq!(written.len(), 2_100_003);
        let mut out = [0; 300];
        written.read(700_001 + 5, &mut out).unwrap();
        assert_eq!(out[..], piece[5..305]);
        assert!(written.read(2_100_000, &mut out).is_err(), "reads behind the end");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Scratch::new(Path::new("/no/such/folder")).unwrap_err().to_string();
        assert!(error.contains("/no/such/folder"), "{error}");
    }
}
