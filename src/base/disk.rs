//! Durable writes: a file is replaced whole or not at all.
//!
//! Every durable write of the house goes through the [`Disk`] trait, so that a test may stand in
//! for the disk and take the power away before any operation.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// What went wrong at the disk, where, and what to do about it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DiskError {
    /// There is no such file or folder.
    #[error("cannot {action} `{}`: it does not exist; check the path and its spelling", path.display())]
    NotFound {
        /// What was tried, as a verb.
        action: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// The place may not be written, or the file may not be read.
    #[error(
        "cannot {action} `{}`: permission denied or the file system is read-only; \
         choose another folder or change its permissions", path.display()
    )]
    ReadOnly {
        /// What was tried, as a verb.
        action: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// There is no room left.
    #[error("cannot {action} `{}`: the disk or the quota is full; free some space and try again", path.display())]
    Full {
        /// What was tried, as a verb.
        action: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// The path names no file, so nothing can be written beside it.
    #[error("`{}` names no file; give a path that ends in a file name", path.display())]
    NoFileName {
        /// The path as given.
        path: PathBuf,
    },
    /// A folder or a device lies where a file is expected.
    #[error("`{}` is not a file: it is a folder, a pipe or a device; give the path of a file", path.display())]
    NotAFile {
        /// The path as given.
        path: PathBuf,
    },
    /// A file is longer than any that is read.
    #[error("`{}` has {bytes} bytes, at most {most} are read", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The longest that is read.
        most: u64,
    },
    /// What was read back is not what was written.
    #[error(
        "`{}` reads back other than it was written; the disk may be failing, \
         the old file was left as it was", path.display()
    )]
    ReadBackDiffers {
        /// The file that was being replaced.
        path: PathBuf,
    },
    /// Anything else that the operating system reports.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl DiskError {
    /// Names an error of the operating system: what was tried (a verb) and where.
    pub fn from_io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { action, path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { action, path }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { action, path }
            }
            _ => Self::Io { action, path, source },
        }
    }
}

/// The few things that durable writing asks of a disk.
///
/// Contents are durable after [`Disk::sync_file`], names after [`Disk::sync_folder`]. Until then
/// a loss of power may undo, tear or reorder them.
pub trait Disk {
    /// The whole contents of a file.
    fn read(&self, path: &Path) -> Result<Vec<u8>, DiskError>;
    /// Makes a file that does not exist yet and writes `bytes` into it. Not durable.
    fn write_new(&mut self, path: &Path, bytes: &[u8]) -> Result<(), DiskError>;
    /// Makes the contents of a file durable.
    fn sync_file(&mut self, path: &Path) -> Result<(), DiskError>;
    /// Gives a file another name, over whatever had it. Atomic, not durable.
    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), DiskError>;
    /// Makes the names in a folder durable.
    fn sync_folder(&mut self, folder: &Path) -> Result<(), DiskError>;
    /// Removes a file. Not durable.
    fn remove(&mut self, path: &Path) -> Result<(), DiskError>;
    /// Whether something has this name, be it a dangling link.
    fn exists(&self, path: &Path) -> Result<bool, DiskError>;
    /// What lies in a folder, in order of name.
    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, DiskError>;
    /// Makes a folder, if it is not there yet. Not durable before its parent is synced.
    fn make_folder(&mut self, folder: &Path) -> Result<(), DiskError>;
    /// Opens a file to be read and written in place; makes it if it is not there yet.
    fn open(&mut self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError>;
}

/// A file that is read and written in place. What is written is durable after [`DiskFile::sync`];
/// until then a loss of power may undo or tear any part of it.
pub trait DiskFile: Send + Sync + std::fmt::Debug {
    /// Its length in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Fills `out` with the bytes from `offset` on.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    /// Writes `bytes` from `offset` on. The file grows if they reach beyond its end.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the file, or makes it longer by zeros.
    fn set_size(&self, size: u64) -> io::Result<()>;
    /// Makes contents and length durable.
    fn sync(&self) -> io::Result<()>;
}

impl DiskFile for File {
    fn size(&self) -> io::Result<u64> {
        self.metadata().map(|about| about.len())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(out, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }
}

/// The right to be the only one: held until it is dropped, or the process ends in any way.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "holding it is its purpose")] File);

impl Lock {
    /// Takes the lock of the file at `path`, which is made if need be; `None` if another holds it.
    ///
    /// # Errors
    /// If the file cannot be made or locked.
    pub fn take(path: &Path) -> Result<Option<Self>, DiskError> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|error| DiskError::from_io("lock", path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(DiskError::from_io("lock", path, error)),
        }
    }
}

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileDisk;

impl Disk for FileDisk {
    fn read(&self, path: &Path) -> Result<Vec<u8>, DiskError> {
        fs::read(path).map_err(|e| DiskError::from_io("read", path, e))
    }

    fn write_new(&mut self, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
        // `create_new` follows no link, so nobody can lead the write elsewhere.
        let mut options = OpenOptions::new();
        let open = options.write(true).create_new(true).open(path);
        open.and_then(|mut file| file.write_all(bytes))
            .map_err(|e| DiskError::from_io("write", path, e))
    }

    fn sync_file(&mut self, path: &Path) -> Result<(), DiskError> {
        File::open(path)
            .and_then(|file| file.sync_all())
            .map_err(|e| DiskError::from_io("sync", path, e))
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), DiskError> {
        fs::rename(from, to).map_err(|e| DiskError::from_io("rename a file to", to, e))
    }

    fn sync_folder(&mut self, folder: &Path) -> Result<(), DiskError> {
        self.sync_file(folder)
    }

    fn remove(&mut self, path: &Path) -> Result<(), DiskError> {
        fs::remove_file(path).map_err(|e| DiskError::from_io("remove", path, e))
    }

    fn exists(&self, path: &Path) -> Result<bool, DiskError> {
        match fs::symlink_metadata(path) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(DiskError::from_io("look at", path, e)),
        }
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, DiskError> {
        let entries = fs::read_dir(folder).and_then(|entries| {
            entries.map(|e| e.map(|e| e.path())).collect::<io::Result<Vec<_>>>()
        });
        let mut paths = entries.map_err(|e| DiskError::from_io("list", folder, e))?;
        paths.sort();
        Ok(paths)
    }

    fn make_folder(&mut self, folder: &Path) -> Result<(), DiskError> {
        match fs::DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
            made => made.map_err(|error| DiskError::from_io("make the folder", folder, error)),
        }
    }

    fn open(&mut self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        let mut options = OpenOptions::new();
        // Nobody else's business: what is written in place belongs to a home.
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).map_err(|error| DiskError::from_io("open", path, error))?;
        Ok(Box::new(file))
    }
}

/// The bytes of the file at `path`, which is somebody else's: at most `most`, and no pipe or device,
/// which would keep a reader waiting.
pub fn read_at_most(path: &Path, most: u64) -> Result<Vec<u8>, DiskError> {
    let failed = |error| DiskError::from_io("read", path, error);
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(DiskError::NotAFile { path: path.to_path_buf() });
    }
    let file = File::open(path).map_err(failed)?;
    let too_long = |bytes| DiskError::TooLong { path: path.to_path_buf(), bytes, most };
    let claimed = file.metadata().map_err(failed)?.len();
    if claimed > most {
        return Err(too_long(claimed));
    }
    // It may grow while it is read.
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 {
        read if read > most => Err(too_long(read)),
        _ => Ok(bytes),
    }
}

/// Where a file is made before it takes the name `path`: hidden, in the same folder, always the
/// same name, so that the next call finds what a crash left behind. And that folder.
pub(crate) fn beside(path: &Path) -> Result<(PathBuf, PathBuf), DiskError> {
    let Some(name) = path.file_name() else {
        return Err(DiskError::NoFileName { path: path.to_path_buf() });
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".new");
    // The parent of a bare file name is the empty path, which no system call understands.
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    Ok((path.with_file_name(hidden), folder))
}

/// Replaces the file at `path` by `bytes`, durably: after `Ok` they survive a loss of power.
///
/// Writes beside, syncs, reads back and compares, renames, syncs the folder. If power is lost at
/// any instant, the old or the new file is there, whole. After an error the same holds; the new
/// one only if the sync of the folder failed, which is the last step. One writer at a time: two
/// calls for the same path must not run at once. A link at `path` is replaced, not followed.
pub fn replace(disk: &mut dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let (hidden, folder) = beside(path)?;
    if disk.exists(&hidden)? {
        disk.remove(&hidden)?;
    }
    if let Err(error) = write_checked(disk, path, &hidden, bytes) {
        // The first fault is the one to tell; a temporary file that stays is cleaned next time.
        if let Ok(true) = disk.exists(&hidden) {
            let _ = disk.remove(&hidden);
        }
        return Err(error);
    }
    disk.sync_folder(&folder)
}

fn write_checked(
    disk: &mut dyn Disk,
    path: &Path,
    hidden: &Path,
    bytes: &[u8],
) -> Result<(), DiskError> {
    disk.write_new(hidden, bytes)?;
    disk.sync_file(hidden)?;
    if disk.read(hidden)? != bytes {
        return Err(DiskError::ReadBackDiffers { path: path.to_path_buf() });
    }
    disk.rename(hidden, path)
}
