//! Many files in one place, read alike: a folder with all below it, or a tar archive, plain or
//! compressed.
//!
//! An archive is read once, front to back, and nothing of it is written anywhere. Its names are
//! only names: none is ever looked up on the disk. Links and devices are passed over, in a folder
//! and in an archive whatever is hidden (its name starts with a dot) too. A folder is visited in
//! the order of its names, an archive in its own order, so whoever visits must not depend on it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::ops::ControlFlow::{self, Break, Continue};
use std::path::{Path, PathBuf};

use tar::{Archive, EntryType, PaxExtensions};

use super::error::SignalError;
use crate::data::error::DataError;
use crate::data::limits::MAX_SAMPLES;
use crate::data::packed::Packed;

/// Endings of archives.
const ARCHIVES: [&str; 4] = [".tar", ".tar.gz", ".tgz", ".tar.xz"];
/// The most bytes of one file.
pub(in crate::data) const MAX_FILE: u64 = 64 << 20;
/// The most folders above a file that is looked at.
const MAX_DEPTH: usize = 8;
/// The most bytes of the name of a file in an archive, and of a record that holds one.
const MAX_NAME: u64 = 4096;
const MAX_RECORD: u64 = 64 * 1024;
/// The most bytes of all names of a tree.
const MAX_NAMES: usize = 1 << 30;
/// The most padding behind the end of an archive.
const MAX_PADDING: u64 = 1 << 20;
/// The most names of [`Tree::names`].
const LISTED: usize = 1000;
const BLOCK: u64 = 512;

/// A folder or an archive.
#[derive(Clone, Debug)]
pub(in crate::data) struct Tree {
    path: PathBuf,
    packed: bool,
}

/// One file of a tree.
pub(in crate::data) struct Leaf {
    /// Its name below the tree, its parts parted by `/`.
    pub name: String,
    /// What messages call it.
    pub file: PathBuf,
    /// Its bytes, where they came out of an archive.
    held: Option<Vec<u8>>,
    limit: u64,
}

/// Whether to go on.
pub(in crate::data) type Step = Result<ControlFlow<()>, DataError>;

/// Why an archive was not read to its end.
enum Stopped {
    Stream(io::Error),
    Data(DataError),
}

impl From<io::Error> for Stopped {
    fn from(fault: io::Error) -> Self {
        Self::Stream(fault)
    }
}

impl From<DataError> for Stopped {
    fn from(fault: DataError) -> Self {
        Self::Data(fault)
    }
}

impl Leaf {
    /// Its bytes, at most the limit of the visit.
    pub(in crate::data) fn bytes(&mut self) -> Result<Vec<u8>, DataError> {
        if let Some(held) = self.held.take() {
            return Ok(held);
        }
        let refused = |source| DataError::Io { file: self.file.clone(), source };
        let mut bytes = Vec::new();
        let file = fs::File::open(&self.file).map_err(refused)?;
        file.take(self.limit + 1).read_to_end(&mut bytes).map_err(refused)?;
        if bytes.len() as u64 > self.limit {
            let (file, limit) = (self.file.clone(), self.limit);
            return Err(SignalError::FileTooLarge { file, limit }.into());
        }
        Ok(bytes)
    }

    /// Takes its bytes back, for whoever asks next.
    pub(in crate::data) fn give_back(&mut self, bytes: Vec<u8>) {
        self.held = Some(bytes);
    }

    /// How many bytes it takes in memory before it is read.
    pub(in crate::data) fn held(&self) -> usize {
        self.held.as_ref().map_or(0, Vec::len)
    }
}

impl Tree {
    /// The tree at `path`, if a folder or a file named as an archive lies there.
    pub(in crate::data) fn at(path: &Path) -> Option<Self> {
        let packed = is_archive(path);
        (packed || path.is_dir()).then(|| Self { path: path.to_path_buf(), packed })
    }

    /// The folder or archive.
    pub(in crate::data) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives each file whose name is `wanted` to `each`, until that says to stop. No file may have
    /// more than `limit` bytes.
    pub(in crate::data) fn visit(
        &self,
        limit: u64,
        wanted: &dyn Fn(&str) -> bool,
        each: &mut dyn FnMut(Leaf) -> Step,
    ) -> Result<(), DataError> {
        let (mut files, mut names) = (0, 0);
        let mut counted = |leaf: Leaf| {
            files += 1;
            names += leaf.name.len();
            if files > MAX_SAMPLES || names > MAX_NAMES {
                let path = self.path.clone();
                return Err(SignalError::TooManyFiles { path, limit: MAX_SAMPLES }.into());
            }
            each(leaf)
        };
        if !self.packed {
            let mut each = |name: String, file: PathBuf| {
                if !wanted(&name) {
                    return Ok(Continue(()));
                }
                counted(Leaf { name, file, held: None, limit })
            };
            return walk(&self.path, "", 0, &mut each).map(|_| ());
        }
        let mut packed = Packed::open(&self.path)?;
        match self.entries(&mut packed, limit, wanted, &mut counted) {
            Ok(Break(())) => Ok(()),
            Ok(Continue(())) => padding(packed),
            Err(Stopped::Stream(source)) => Err(packed.broken(source)),
            Err(Stopped::Data(fault)) => Err(fault),
        }
    }

    /// The names of the first files, sorted; an archive is read to its end.
    pub(in crate::data) fn names(&self) -> Result<Vec<String>, DataError> {
        let names = RefCell::new(BTreeSet::new());
        let keep = |name: &str| {
            let mut names = names.borrow_mut();
            if names.len() < LISTED {
                names.insert(name.to_string());
            }
            false
        };
        self.visit(MAX_FILE, &keep, &mut |_| Ok(Continue(())))?;
        Ok(names.into_inner().into_iter().collect())
    }

    /// Visits the entries of an archive, up to the mark of its end.
    fn entries(
        &self,
        packed: &mut Packed,
        limit: u64,
        wanted: &dyn Fn(&str) -> bool,
        each: &mut dyn FnMut(Leaf) -> Step,
    ) -> Result<ControlFlow<()>, Stopped> {
        let mut archive = Archive::new(&mut *packed);
        // Raw, because names that stand in records of their own would else be read unbounded.
        let entries = archive.entries()?.raw(true);
        let (mut long_name, mut end) = (None, 0);
        for entry in entries {
            let mut entry = entry?;
            let size = entry.header().entry_size()?;
            end = entry.raw_file_position() + size.div_ceil(BLOCK).saturating_mul(BLOCK);
            match entry.header().entry_type() {
                EntryType::GNULongName => {
                    let record = bounded(&mut entry, size, MAX_NAME)?;
                    long_name =
                        Some(record.split(|&byte| byte == 0).next().unwrap_or(&[]).to_vec());
                }
                EntryType::XHeader => {
                    let record = bounded(&mut entry, size, MAX_RECORD)?;
                    for pair in PaxExtensions::new(&record) {
                        let pair = pair?;
                        if pair.key_bytes() == b"path" {
                            long_name = Some(pair.value_bytes().to_vec());
                        }
                    }
                }
                EntryType::GNULongLink | EntryType::XGlobalHeader => {}
                kind => {
                    let name = long_name.take();
                    let name = name.unwrap_or_else(|| entry.path_bytes().into_owned());
                    let Some(name) = plain_name(&name).filter(|name| wanted(name)) else {
                        continue;
                    };
                    if kind.is_file() {
                        let file = self.path.join(&name);
                        if size > limit {
                            let fault = SignalError::FileTooLarge { file, limit };
                            return Err(Stopped::Data(fault.into()));
                        }
                        let held = Some(bounded(&mut entry, size, limit)?);
                        if each(Leaf { name, file, held, limit })?.is_break() {
                            return Ok(Break(()));
                        }
                    }
                }
            }
        }
        if packed.given() <= end {
            let (file, found) = (self.path.clone(), packed.given());
            let what = "the end of the archive";
            let fault = DataError::Truncated { file, what, found, expected: end + 2 * BLOCK };
            return Err(Stopped::Data(fault));
        }
        Ok(Continue(()))
    }
}

/// Whether `path` is a file named as an archive.
pub(in crate::data) fn is_archive(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    ARCHIVES.iter().any(|end| name.ends_with(end)) && path.is_file()
}

/// The one archive that lies in `folder`, if there is one and no other.
pub(in crate::data) fn only_archive(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let mut archives = entries.filter(|path| is_archive(path) && !is_hidden(path));
    archives.next().filter(|_| archives.next().is_none())
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().unwrap_or_default().as_encoded_bytes().starts_with(b".")
}

/// All `size` bytes of an entry, or an error where there are fewer, or more than `limit`.
fn bounded(entry: &mut impl Read, size: u64, limit: u64) -> io::Result<Vec<u8>> {
    if size > limit {
        let what = format!("a record of {size} bytes, where {limit} is the most");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let mut bytes = Vec::new();
    entry.take(size).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < size {
        let what = format!("an entry claims {size} bytes and has {}", bytes.len());
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
    }
    Ok(bytes)
}

/// A name in an archive without empty parts and `.`; none for a folder, for what is hidden and for
/// what lies too deep.
fn plain_name(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let parts: Vec<&str> =
        text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let hidden = parts.iter().any(|part| part.starts_with('.') && *part != "..");
    let fits = (1..=MAX_DEPTH + 1).contains(&parts.len());
    (fits && !hidden && !text.ends_with('/')).then(|| parts.join("/"))
}

/// Reads what pads an archive, and with it the checksum of a compressed one.
fn padding(mut packed: Packed) -> Result<(), DataError> {
    let end = packed.given();
    if packed.up_to(MAX_PADDING + 1)?.len() as u64 <= MAX_PADDING {
        return Ok(());
    }
    Err(DataError::TrailingBytes { file: packed.file().to_path_buf(), expected: end })
}

/// Gives every file below `folder`, in the order of names, with its name.
fn walk(
    folder: &Path,
    above: &str,
    depth: usize,
    each: &mut dyn FnMut(String, PathBuf) -> Step,
) -> Step {
    let refused = |source| DataError::Io { file: folder.to_path_buf(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(refused)? {
        let entry = entry.map_err(refused)?;
        let mut kind = entry.file_type().map_err(refused)?;
        let path = entry.path();
        if is_hidden(&path) {
            continue;
        }
        if kind.is_symlink() {
            let Ok(about) = fs::metadata(&path) else { continue };
            kind = about.file_type();
        }
        if kind.is_dir() && depth < MAX_DEPTH || kind.is_file() {
            paths.push((path, kind.is_dir()));
        }
    }
    paths.sort_unstable();
    for (path, is_folder) in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{above}{name}");
        let step = if is_folder {
            walk(&path, &format!("{name}/"), depth + 1, each)?
        } else {
            each(name, path)?
        };
        if step.is_break() {
            return Ok(Break(()));
        }
    }
    Ok(Continue(()))
}
