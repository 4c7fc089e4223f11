//! What can go wrong in the vault.

use std::io;
use std::path::{Path, PathBuf};

use super::handle::Handle;
use crate::base::disk::DiskError;
use crate::base::entropy::EntropyError;

/// Why the vault refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// Reading or writing failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// No randomness, no key.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The index of samples failed.
    #[error("the index of samples `{}`: cannot {what}: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What was tried, as a verb.
        what: &'static str,
        /// What the database said.
        source: Box<redb::Error>,
    },
    /// A file is not what was written.
    #[error("`{}` is damaged: {what}; put back a copy of the whole home, or begin a new one", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The keyring is of another generation than the device key.
    #[error(
        "`{}` is of generation {found}, but the device keys here are of generations {known:?}: an older keyring or a device key of another home was put in its place; no older keyring can be opened any more, put back the newest",
        path.display()
    )]
    Generation {
        /// The keyring.
        path: PathBuf,
        /// Its generation.
        found: u64,
        /// What the key store has.
        known: Vec<u64>,
    },
    /// The keyring does not open under its device key.
    #[error("`{}` does not open under the device key of its generation, {generation}: the keyring was changed, or the key is another device's", path.display())]
    WrongKey {
        /// The keyring.
        path: PathBuf,
        /// Its generation.
        generation: u64,
    },
    /// A device key is not there, or is none.
    #[error("`{}` is no device key of generation {generation}: expected 44 bytes of ours, made by `unlearn init`", path.display())]
    DeviceKey {
        /// Where it should be.
        path: PathBuf,
        /// Its generation.
        generation: u64,
    },
    /// The TPM refused, or is not there.
    #[error("the TPM at `{tcti}`: cannot {what}: {why}; {advice}")]
    Tpm {
        /// Where it was looked for.
        tcti: String,
        /// What was tried, as a verb.
        what: &'static str,
        /// What it said.
        why: String,
        /// What to do.
        advice: &'static str,
    },
    /// A device key is not in the TPM, or is none.
    #[error(
        "the TPM at `{tcti}` has no device key of generation {generation} for this home: it was destroyed, or this is another TPM; what is sealed under it cannot be read without it"
    )]
    NoTpmKey {
        /// Where it was looked for.
        tcti: String,
        /// Its generation.
        generation: u64,
    },
    /// The program cannot speak to a TPM.
    #[error("the device keys belong into a TPM (`{}`), and this program was built without: build it with `cargo build --release --features tpm` (on Debian after `apt-get install libtss2-dev pkg-config`)", path.display())]
    BuiltWithout {
        /// What the home knows of its TPM, or would.
        path: PathBuf,
    },
    /// An attempt that was cut short had its keys elsewhere.
    #[error("`{}` is of an attempt to make a home here with its device keys elsewhere: choose the same place for keys again, or another folder", path.display())]
    OtherKeys {
        /// What it left behind.
        path: PathBuf,
    },
    /// A person who is not here.
    #[error("nobody here has the handle {handle}")]
    Unknown {
        /// The handle.
        handle: Handle,
    },
    /// A sample breaks a rule.
    #[error("sample {index}: {rule}")]
    Sample {
        /// Which of those that were given, from 0.
        index: usize,
        /// What was expected.
        rule: String,
    },
    /// There is no room left for more samples.
    #[error(
        "the quota of {what} is {most}, and {wanted} were wanted: erase somebody, or raise the quota"
    )]
    Quota {
        /// What is counted.
        what: &'static str,
        /// The most that may be.
        most: u64,
        /// What there would be.
        wanted: u64,
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
