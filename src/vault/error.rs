//! What can be wrong with a vault.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::base::disk::DiskError;

/// What was tried, where, and what stood in the way.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The disk refused. What was committed before is still there: free space, or mend what the
    /// disk names, and open the vault again.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The database engine refused, for a reason of its own.
    #[error("cannot {what} `{}`: {source}; close the vault and open it again", path.display())]
    Database {
        /// The file of the database.
        path: PathBuf,
        /// What was tried, as a verb.
        what: &'static str,
        /// What the engine said.
        source: Box<redb::Error>,
    },
    /// A file of the vault is not what was written into it.
    #[error(
        "`{}` is damaged: {what}; it was changed, cut or worn since it was written: put back a \
         copy made before, or reset the device", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not hold.
        what: String,
    },
}

impl VaultError {
    /// Names an error of the database engine: what was tried (a verb) and in which file.
    pub(crate) fn from_redb(
        what: &'static str,
        path: &Path,
        error: impl Into<redb::Error>,
    ) -> Self {
        let path = path.to_path_buf();
        match error.into() {
            redb::Error::Corrupted(what) => Self::Damaged { path, what },
            // We never wrote an older format, so it is the byte of the format that is wrong.
            error @ redb::Error::UpgradeRequired(_) => {
                Self::Damaged { path, what: error.to_string() }
            }
            // The engine says so of a file with another beginning, and our disk of one that ends
            // before what its header promises.
            redb::Error::Io(error)
                if [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof]
                    .contains(&error.kind()) =>
            {
                Self::Damaged { path, what: error.to_string() }
            }
            redb::Error::Io(error) => Self::Disk(DiskError::from_io(what, &path, error)),
            source => Self::Database { path, what, source: Box::new(source) },
        }
    }
}
