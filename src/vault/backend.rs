//! The database engine on our disk: its file is read and written through [`Disk`], so that a
//! simulated disk may stand in and lose power anywhere.
//!
//! # What is asked of redb
//!
//! - **Two-phase commits** ([`begin_write`]). With one phase the engine writes a commit and the
//!   mark that makes it the newest in one sync, and after a crash falls back to the commit before
//!   if a checksum fails. It does so as well if a page of a commit that *was* acknowledged rots: a
//!   person who was erased would be back, and nobody told. After two phases that is an error.
//! - **Every page checked when a database is opened.** Otherwise the engine trusts its file after
//!   an orderly close, and where that is damaged answers with other data, or panics. Costs one read
//!   of the pages in use, and a commit. What rots while the database is open is found when it is
//!   opened next.
//! - **One process.** The lock of a home is taken before; the engine is given no locks of its own.
//!
//! The checks are sums, not seals: they find wear and cuts. Whoever can write the file can make
//! sums that hold, or put an older file back: what is kept in it is sealed by its owner.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{Builder, Database, Durability, StorageBackend, WriteTransaction};

use super::error::VaultError;
use crate::base::disk::{Disk, DiskError, DiskFile, beside};

/// Bytes of pages that an open database keeps in memory. The engine's own default is 1 GiB, more
/// than some boards have to spare; the index of a household's samples is a few megabytes.
const CACHE_BYTES: usize = 8 << 20;

/// A file of our disk, as the database engine wants to see it.
#[derive(Debug)]
pub struct Backend(Box<dyn DiskFile>);

impl Backend {
    /// The engine's view of `file`.
    pub fn new(file: Box<dyn DiskFile>) -> Self {
        Self(file)
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_size(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, data)
    }
}

/// Opens the database at `path`, or makes an empty one if there is no such file. Its folder must
/// exist.
///
/// Every page is held against its checksum, which reads the whole file. A commit that was cut off
/// by a loss of power is undone; each that returned `Ok` is there.
///
/// # Errors
/// [`VaultError::Damaged`] if the file is no database or its pages do not hold what was written;
/// nothing is repaired by leaving something out. [`VaultError::Disk`] if the disk refuses.
pub fn open_database(disk: &mut dyn Disk, path: &Path) -> Result<Database, VaultError> {
    if !disk.exists(path)? {
        make(disk, path)?;
    }
    let file = disk.open(path)?;
    let length = file.size().map_err(|error| DiskError::from_io("open", path, error))?;
    if length == 0 {
        // The engine would take it for a new one. Ours are never empty: something was cut.
        let what = "it is empty, where a database should be".into();
        return Err(VaultError::Damaged { path: path.to_path_buf(), what });
    }
    start(file, path)
}

/// Makes an empty database, whole or not at all: a file whose making was cut off is refused by the
/// engine for ever, so it is made beside, under a name that nobody opens.
fn make(disk: &mut dyn Disk, path: &Path) -> Result<(), VaultError> {
    let (hidden, folder) = beside(path)?;
    if disk.exists(&hidden)? {
        disk.remove(&hidden)?;
    }
    let database = start(disk.open(&hidden)?, path)?;
    // Closing commits, and syncs the file.
    database.close().map_err(|error| VaultError::from_redb("close", path, error))?;
    disk.rename(&hidden, path)?;
    Ok(disk.sync_folder(&folder)?)
}

/// Opens the engine on `file`; errors name `path`.
fn start(file: Box<dyn DiskFile>, path: &Path) -> Result<Database, VaultError> {
    let backend = Backend::new(file);
    let open = || {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
        builder.create_with_backend(backend)
    };
    // The engine promises an error for every damage that its check finds, and no damage that our
    // tests make had it panic. It still has assertions, more of them in debug builds: should one
    // be in the way, the file is no less damaged, and whoever serves must not fall over it.
    // Nothing of the half-opened database outlives the panic.
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(opened) => opened.map_err(|error| VaultError::from_redb("open", path, error)),
        Err(_) => Err(VaultError::Damaged {
            path: path.to_path_buf(),
            what: "the database engine gave up on what it found".into(),
        }),
    }
}

/// Begins a change of `database`, whose file is at `path`. After its commit returned `Ok`, it
/// survives a loss of power; until then all of it may be undone, and never a part.
///
/// # Errors
/// If the disk refused before: then close the database and open it again.
pub fn begin_write(database: &Database, path: &Path) -> Result<WriteTransaction, VaultError> {
    let begun = database.begin_write();
    let mut change = begun.map_err(|error| VaultError::from_redb("change", path, error))?;
    change.set_two_phase_commit(true);
    change
        .set_durability(Durability::Immediate)
        .map_err(|error| VaultError::from_redb("change", path, error))?;
    Ok(change)
}

/// Gives the pages that nothing uses any more back to the disk; whether there were any. Removed
/// values lie in such pages until then, and a remnant may lie in those that the file keeps: that
/// they cannot be read is the work of their seal.
///
/// # Errors
/// If the disk refuses, or somebody still reads or writes.
pub fn compact(database: &mut Database, path: &Path) -> Result<bool, VaultError> {
    database.compact().map_err(|error| VaultError::from_redb("compact", path, error))
}
