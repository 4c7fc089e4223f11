//! Where named arrays lie: in one `.npz` archive, or one a file in a folder.
//!
//! An [`Array`] is a stream. Its header was held against the bytes that are really there (the length of
//! the file) or that the archive declares; what is decompressed beyond them is an error, so that a small
//! entry cannot become a large one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use zip::{CompressionMethod, ZipArchive};

use crate::data::error::DataError;

use super::ending_in;
use super::error::TableError;
use super::npy::{Fault, Header, START, header, length_bytes, text_length};

/// The most entries of an archive, and of arrays in a folder.
const MAX_ENTRIES: usize = 1 << 12;
/// What is reserved before the first byte arrives, at most.
const FIRST_RESERVE: usize = 64 * 1024;
const BUFFER: usize = 256 * 1024;

/// Named arrays.
pub(super) enum Store {
    Archive {
        file: PathBuf,
        archive: ZipArchive<BufReader<File>>,
        entries: BTreeMap<String, usize>,
    },
    Folder {
        folder: PathBuf,
        files: BTreeMap<String, PathBuf>,
    },
}

/// One array, its header read and checked.
pub(super) struct Array<'a> {
    pub header: Header,
    from: Source<'a>,
}

/// The bytes of one array, and where they come from.
struct Source<'a> {
    file: PathBuf,
    name: String,
    from: Box<dyn Read + 'a>,
    /// Bytes that were read.
    given: u64,
}

impl Store {
    /// The arrays at `path`: an archive, a folder with one, or a folder of `.npy` files.
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        if path.is_file() {
            return Self::archive(path);
        }
        match &ending_in(path, &[".npz"])[..] {
            [] => Self::folder(path),
            [file] => Self::archive(file),
            several => {
                let name = |file: &PathBuf| {
                    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
                };
                let found = several.iter().map(name).collect();
                let expected = "one .npz file";
                Err(TableError::SeveralFiles { folder: path.to_path_buf(), found, expected }.into())
            }
        }
    }

    fn archive(file: &Path) -> Result<Self, DataError> {
        let archive = ZipArchive::new(BufReader::with_capacity(BUFFER, opened(file)?))
            .map_err(|fault| broken(file, fault))?;
        let entry = |entry: &str, why: &str| {
            let (file, entry, why) = (file.to_path_buf(), entry.to_string(), why.to_string());
            TableError::Entry { file, entry, why }
        };
        if archive.len() > MAX_ENTRIES {
            return Err(broken(file, "it has more than 4096 entries"));
        }
        let mut entries = BTreeMap::new();
        for index in 0..archive.len() {
            let about = archive.by_index_data(index).map_err(|fault| broken(file, fault))?;
            let name = about.name().map_err(|fault| broken(file, fault))?;
            let Some(array) = name.strip_suffix(".npy") else { continue };
            if !matches!(
                about.compression(),
                CompressionMethod::Stored | CompressionMethod::Deflated
            ) {
                return Err(entry(&name, "expected it stored or deflated").into());
            }
            if about.encrypted() {
                return Err(entry(&name, "it is encrypted").into());
            }
            if entries.insert(array.to_string(), index).is_some() {
                return Err(entry(&name, "it is there twice").into());
            }
        }
        if archive.has_duplicate_names() {
            return Err(broken(file, "two of its entries have one name"));
        }
        Ok(Self::Archive { file: file.to_path_buf(), archive, entries })
    }

    fn folder(folder: &Path) -> Result<Self, DataError> {
        let found = ending_in(folder, &[".npy"]).into_iter().take(MAX_ENTRIES);
        let name =
            |file: &PathBuf| file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let files = found.map(|file| (name(&file), file)).collect();
        Ok(Self::Folder { folder: folder.to_path_buf(), files })
    }

    /// The archive, or the folder.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Archive { file, .. } => file,
            Self::Folder { folder, .. } => folder,
        }
    }

    /// The names of all arrays, in order.
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::Archive { entries, .. } => entries.keys().cloned().collect(),
            Self::Folder { files, .. } => files.keys().cloned().collect(),
        }
    }

    /// Opens the array `name`, which [`Store::names`] gave.
    pub(super) fn array(&mut self, name: &str) -> Result<Array<'_>, DataError> {
        let none = |path: &Path| TableError::NoRole {
            file: path.to_path_buf(),
            role: "samples",
            expected: name.to_string(),
            found: Vec::new(),
        };
        match self {
            Self::Archive { file, archive, entries } => {
                let index = *entries.get(name).ok_or_else(|| none(file))?;
                let entry = archive.by_index(index).map_err(|fault| broken(file, fault))?;
                let len = entry.size();
                Array::begin(file.clone(), name, Box::new(entry), len)
            }
            Self::Folder { folder, files } => {
                let file = files.get(name).ok_or_else(|| none(folder))?;
                let opened = opened(file)?;
                let about = opened.metadata();
                let about = about.map_err(|source| DataError::Io { file: file.clone(), source })?;
                let from = Box::new(BufReader::with_capacity(BUFFER, opened));
                Array::begin(file.clone(), name, from, about.len())
            }
        }
    }
}

fn opened(file: &Path) -> Result<File, DataError> {
    File::open(file).map_err(|source| DataError::Io { file: file.to_path_buf(), source })
}

fn broken(file: &Path, fault: impl ToString) -> DataError {
    TableError::Archive { file: file.to_path_buf(), fault: fault.to_string() }.into()
}

impl<'a> Array<'a> {
    /// Reads the header of an array whose file has `len` bytes, if it is what it declares.
    fn begin(
        file: PathBuf,
        name: &str,
        from: Box<dyn Read + 'a>,
        len: u64,
    ) -> Result<Self, DataError> {
        let mut from = Source { file, name: name.to_string(), from, given: 0 };
        let mut bytes = Vec::new();
        from.more(START, &mut bytes)?;
        let length = length_bytes(&bytes).map_err(|fault| from.refused(fault))?;
        bytes.clear();
        from.more(length, &mut bytes)?;
        let text = text_length(&bytes).map_err(|fault| from.refused(fault))?;
        bytes.clear();
        from.more(text, &mut bytes)?;
        let offset = START + length;
        let header = header(&bytes, offset).map_err(|fault| from.refused(fault))?;
        let contents = len.saturating_sub((offset + text) as u64);
        from.given = 0;
        let array = Self { header, from };
        if contents == array.header.len { Ok(array) } else { Err(array.size(contents)) }
    }

    /// The file it lies in.
    pub(super) fn file(&self) -> PathBuf {
        self.from.file.clone()
    }

    /// What it is called.
    pub(super) fn name(&self) -> String {
        self.from.name.clone()
    }

    /// Replaces what is in `out` by the next `len` bytes of contents.
    pub(super) fn read(&mut self, len: usize, out: &mut Vec<u8>) -> Result<(), DataError> {
        out.clear();
        self.from.more(len, out)?;
        if out.len() == len { Ok(()) } else { Err(self.size(self.from.given)) }
    }

    /// Holds that the contents end here, and that the checksum of an entry is right.
    pub(super) fn end(mut self) -> Result<(), DataError> {
        let mut more = Vec::new();
        self.from.more(1, &mut more)?;
        if more.is_empty() { Ok(()) } else { Err(self.size(self.from.given)) }
    }

    /// The error that the contents are `found` bytes long.
    fn size(&self, found: u64) -> DataError {
        let (shape, expected) = (self.header.shape.clone(), self.header.len);
        let (file, array) = (self.file(), self.name());
        TableError::ArraySize { file, array, shape, found, expected }.into()
    }

    /// The error that the shape is none that is `expected`.
    pub(super) fn shape(&self, expected: impl ToString) -> DataError {
        let (file, array, found) = (self.file(), self.name(), self.header.shape.clone());
        TableError::ArrayShape { file, array, found, expected: expected.to_string() }.into()
    }

    /// The error that the value at `at` is not `expected`.
    pub(super) fn value(
        &self,
        at: Vec<usize>,
        found: impl ToString,
        expected: &'static str,
    ) -> DataError {
        let (file, array, found) = (self.file(), self.name(), found.to_string());
        TableError::ArrayValue { file, array, at, found, expected }.into()
    }
}

impl Source<'_> {
    /// Appends up to `len` bytes to `out`: fewer where the array ends.
    fn more(&mut self, len: usize, out: &mut Vec<u8>) -> Result<(), DataError> {
        out.reserve(len.min(FIRST_RESERVE));
        match (&mut self.from).take(len as u64).read_to_end(out) {
            Ok(read) => {
                self.given += read as u64;
                Ok(())
            }
            Err(source) => {
                let (file, offset) = (self.file.clone(), self.given);
                Err(DataError::Damaged { file, offset, source })
            }
        }
    }

    fn refused(&self, fault: Fault) -> DataError {
        let (file, array) = (self.file.clone(), self.name.clone());
        let error = match fault {
            Fault::Text { offset, found, expected } => {
                let expected = expected.to_string();
                TableError::ArrayHeader { file, array, offset, found, expected }
            }
            Fault::Kind { found, expected } => {
                TableError::ArrayType { file, array, found, expected }
            }
            Fault::Shape { found, expected } => {
                TableError::ArrayShape { file, array, found, expected: expected.to_string() }
            }
        };
        error.into()
    }
}
