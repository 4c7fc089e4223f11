//! The bytes of a file: mapped, or owned.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use crate::base::disk::DiskError;

/// The bytes of a model file.
#[derive(Debug)]
pub(crate) enum FileBytes {
    /// Pages of the file itself.
    Mapped(memmap2::Mmap),
    /// A copy.
    Owned(Vec<u8>),
}

impl FileBytes {
    /// Maps the file at `path`. An empty file, which cannot be mapped, is no bytes. What is no file
    /// is refused before it is opened: opening a pipe would wait for a writer.
    pub(crate) fn map(path: &Path) -> Result<Self, DiskError> {
        let failed = |action| move |error| DiskError::from_io(action, path, error);
        if !std::fs::metadata(path).map_err(failed("open"))?.is_file() {
            return Err(DiskError::NotAFile { path: path.to_path_buf() });
        }
        let file = File::open(path).map_err(failed("open"))?;
        if file.metadata().map_err(failed("open"))?.len() == 0 {
            return Ok(Self::Owned(Vec::new()));
        }
        map(&file).map(Self::Mapped).map_err(failed("map"))
    }

    /// Gives the process's pages of the file back; what is read later is read from the file again. A copy
    /// stays. That the system does not do it is no fault.
    pub(crate) fn release(&self) {
        #[cfg(unix)]
        if let Self::Mapped(bytes) = self {
            let _ = release(bytes);
        }
    }
}

// SAFETY: the pages are those of a file that is mapped for reading, so that none was changed here: what is read
// after this is what the file holds, as it was before.
#[cfg(unix)]
#[allow(unsafe_code)]
fn release(bytes: &memmap2::Mmap) -> std::io::Result<()> {
    unsafe { bytes.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) }
}

// SAFETY: the mapping is read-only and private to this process's view. Its bytes stay what they
// were checked to be as long as nobody writes the file in place: model files are only ever
// replaced by rename (`base::disk::replace`), which leaves the mapped one as it was.
#[allow(unsafe_code)]
fn map(file: &File) -> std::io::Result<memmap2::Mmap> {
    unsafe { memmap2::Mmap::map(file) }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}
