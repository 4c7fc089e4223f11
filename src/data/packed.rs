//! Files that may be compressed, read within stated bounds.
//!
//! A [`Packed`] gives uncompressed bytes and knows how many it gave, so that every error has an
//! offset. Nothing is reserved on the word of a header alone: a buffer grows with the bytes that
//! really arrive, and never beyond the limit that its reader asks for.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use lzma_rust2::XzReader;

use super::error::DataError;

/// The most memory an xz stream may ask for: `xz -9` needs 65 MiB.
const XZ_MEMORY_KIB: u32 = 96 * 1024;

/// What is reserved before the first byte arrives, at most.
const FIRST_RESERVE: u64 = 64 * 1024;

/// Names that a file may have beside its own: as it is, gzip, xz.
const ENDINGS: [&str; 3] = ["", ".gz", ".xz"];

/// The file `name` in `folder`, plain or compressed; the plain one where both are there.
pub(crate) fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    ENDINGS.iter().map(|end| folder.join(format!("{name}{end}"))).find(|path| path.is_file())
}

/// A stream of uncompressed bytes of one file.
pub(crate) struct Packed {
    file: PathBuf,
    from: Box<dyn Read>,
    given: u64,
    /// Whether an error of the reader means damage (a decoder) or trouble with the disk.
    decodes: bool,
}

impl Packed {
    /// Opens `file`; the ending of its name says how it is compressed.
    pub(crate) fn open(file: &Path) -> Result<Self, DataError> {
        let opened = File::open(file)
            .map_err(|source| DataError::Io { file: file.to_path_buf(), source })?;
        Ok(Self::over(file, BufReader::new(opened)))
    }

    /// Reads `bytes` as if `file` held them.
    pub(crate) fn over(file: &Path, bytes: impl BufRead + 'static) -> Self {
        let ending = file.extension().and_then(|ending| ending.to_str());
        let (from, decodes): (Box<dyn Read>, bool) = match ending {
            Some("gz" | "tgz") => (Box::new(MultiGzDecoder::new(bytes)), true),
            Some("xz") => (Box::new(XzReader::new_mem_limit(bytes, true, XZ_MEMORY_KIB)), true),
            _ => (Box::new(bytes), false),
        };
        Self { file: file.to_path_buf(), from, given: 0, decodes }
    }

    /// Reads the zlib stream `bytes`, which is a part of `file`.
    pub(crate) fn inflating(file: &Path, bytes: impl BufRead + 'static) -> Self {
        let from = Box::new(ZlibDecoder::new(bytes));
        Self { file: file.to_path_buf(), from, given: 0, decodes: true }
    }

    /// How many uncompressed bytes were read.
    pub(crate) fn given(&self) -> u64 {
        self.given
    }

    /// The error that `source` is, where it arose while the bytes were taken apart.
    pub(crate) fn broken(&self, source: io::Error) -> DataError {
        let (file, offset) = (self.file.clone(), self.given);
        match source.raw_os_error() {
            Some(_) => DataError::Io { file, source },
            None => DataError::Damaged { file, offset, source },
        }
    }

    /// The file that is read.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Reads up to `limit` bytes: all there are, if fewer.
    pub(crate) fn up_to(&mut self, limit: u64) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::with_capacity(limit.min(FIRST_RESERVE) as usize);
        if limit == 0 {
            return Ok(bytes);
        }
        let read = (&mut self.from).take(limit).read_to_end(&mut bytes);
        self.given += bytes.len() as u64;
        match read {
            Ok(_) => Ok(bytes),
            Err(source) => Err(self.failed(source)),
        }
    }

    /// Replaces what is in `bytes` by the next `limit` bytes: fewer, or none, where the file ends.
    pub(crate) fn refill(&mut self, limit: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        bytes.clear();
        let read = (&mut self.from).take(limit as u64).read_to_end(bytes);
        self.given += bytes.len() as u64;
        read.map(|_| ()).map_err(|source| self.failed(source))
    }

    /// Reads exactly `len` bytes, which are `what`.
    pub(crate) fn exactly(&mut self, len: u64, what: &'static str) -> Result<Vec<u8>, DataError> {
        self.exactly_of(len, 0, what)
    }

    /// Reads exactly `len` bytes of `what`, of which `rest` more follow.
    pub(crate) fn exactly_of(
        &mut self,
        len: u64,
        rest: usize,
        what: &'static str,
    ) -> Result<Vec<u8>, DataError> {
        let expected = self.given.saturating_add(len).saturating_add(rest as u64);
        let bytes = self.up_to(len)?;
        if (bytes.len() as u64) < len {
            let file = self.file.clone();
            return Err(DataError::Truncated { file, what, found: self.given, expected });
        }
        Ok(bytes)
    }

    /// Holds that nothing follows, and that the checksum of a compressed stream is right.
    pub(crate) fn end(mut self) -> Result<(), DataError> {
        let expected = self.given;
        if self.up_to(1)?.is_empty() {
            return Ok(());
        }
        Err(DataError::TrailingBytes { file: self.file, expected })
    }

    fn failed(&self, source: io::Error) -> DataError {
        let file = self.file.clone();
        if self.decodes {
            DataError::Damaged { file, offset: self.given, source }
        } else {
            DataError::Io { file, source }
        }
    }
}

impl Read for Packed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(out)?;
        self.given += read as u64;
        Ok(read)
    }
}

/// Gives each line of a UTF-8 text file of at most `limit` bytes, counted from 1 and without its
/// end, to `each`.
pub(crate) fn lines(
    file: &Path,
    limit: u64,
    mut each: impl FnMut(usize, &str) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let bytes = Packed::open(file)?.up_to(limit + 1)?;
    if bytes.len() as u64 > limit {
        return Err(DataError::TooLarge { file: file.to_path_buf(), limit });
    }
    for (line, text) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        let text = std::str::from_utf8(text)
            .map_err(|_| DataError::NotText { file: file.to_path_buf(), line })?;
        each(line, text.trim_end_matches('\r'))?;
    }
    Ok(())
}
