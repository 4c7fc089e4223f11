//! What can go wrong in a home.

use std::path::PathBuf;

use super::energy::Overrun;
use crate::base::disk::DiskError;
use crate::base::entropy::EntropyError;
use crate::evaluate::EvaluateError;
use crate::format::FormatError;
use crate::model::GrowError;
use crate::model::file::FileError;
use crate::train::TrainError;
use crate::vault::VaultError;

/// Why a home refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// Reading or writing failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The vault refused.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// No randomness, no key.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// A model file is wrong.
    #[error(transparent)]
    Model(Box<FileError>),
    /// The network cannot tell more classes apart.
    #[error("a new class cannot be learnt: {0}")]
    Grow(#[from] GrowError),
    /// A run failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Scores could not be judged.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// A receipt could not be made or read.
    #[error(transparent)]
    Receipt(#[from] super::receipt::ReceiptError),
    /// The base cannot be opened.
    #[error("{}", source.of_file(path))]
    Base {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<FormatError>,
    },
    /// The folder is no home.
    #[error("`{}` is no home: it has no keyring; make one with `unlearn init --home DIR --base FILE`", path.display())]
    NoHome {
        /// The folder.
        path: PathBuf,
    },
    /// The folder is a home already.
    #[error("`{}` is a home already: choose another folder, nothing was changed", path.display())]
    HomeThere {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds something else.
    #[error("`{}` is not empty, and what it holds is no home (`{}`): choose another folder", path.display(), found.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// One of the things in it.
        found: PathBuf,
    },
    /// Another process has the home.
    #[error("another process has the home `{}`: wait for it, or speak to it through its socket", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// The base says too little to be installed.
    #[error("{}: {rule}", path.display())]
    Unfit {
        /// The base's file.
        path: PathBuf,
        /// What a base needs.
        rule: String,
    },
    /// A file of the home is not what was written.
    #[error("`{}` is damaged at byte {offset}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong, and what to do.
        what: String,
    },
    /// What was put back is older than what is known to have been.
    #[error("`{}` was put back from an older copy: it ends before sample {found}, a model here learnt from samples up to {known}; put back the newest copy of the whole home", path.display())]
    RolledBack {
        /// The file.
        path: PathBuf,
        /// The next number it would give.
        found: u64,
        /// The number that is known.
        known: u64,
    },
    /// The home as a whole was put back.
    #[error("the home `{}` is older than its witness `{}` ({found} marks, the witness has seen {known}): it was put back from a copy, and with it whoever was erased since; nothing of it is opened, put back the newest copy of the whole home", folder.display(), path.display())]
    PutBack {
        /// The home.
        folder: PathBuf,
        /// The witness.
        path: PathBuf,
        /// Marks of the home.
        found: u64,
        /// Marks that the witness knows of.
        known: u64,
    },
    /// The witness is not where the home left it.
    #[error("the witness `{}` of the home `{}` is not there: mount the disk it lies on, or put it back; if it is lost for good, `unlearn witness --home DIR --at FILE` makes another, which knows nothing of copies that were put back before", path.display(), folder.display())]
    NoWitness {
        /// The home.
        folder: PathBuf,
        /// Where the witness was.
        path: PathBuf,
    },
    /// A file cannot be the witness.
    #[error("`{}` cannot be the witness of this home: {rule}", path.display())]
    Witness {
        /// The file.
        path: PathBuf,
        /// Why not.
        rule: String,
    },
    /// Nobody has this name.
    #[error("nobody here is called `{name}`{hint}")]
    UnknownPerson {
        /// The name.
        name: String,
        /// Who is, if anybody.
        hint: String,
    },
    /// A sample does not fit.
    #[error("sample {index}: {rule}")]
    Sample {
        /// Which, from 0.
        index: usize,
        /// What was expected.
        rule: String,
    },
    /// There is nothing to learn from.
    #[error(
        "there is nothing to adapt to: nobody has a sample that may be learnt from; `unlearn ingest` takes some in"
    )]
    NothingToLearn,
    /// Something else is under way.
    #[error("{what} is under way: `unlearn resume --home DIR` finishes it")]
    UnderWay {
        /// What.
        what: &'static str,
    },
    /// No such request can be cancelled.
    #[error("request {request} cannot be cancelled: {why}")]
    NotCancelled {
        /// The request.
        request: String,
        /// Why not.
        why: &'static str,
    },
    /// Nothing may answer now.
    #[error(
        "no answer is given: the model that was served knows somebody who asked to be erased, and there is no other; wait for the repair (`unlearn resume`)"
    )]
    Unavailable,
    /// The method cannot do it.
    #[error("{method} is not possible here: {why}")]
    Method {
        /// The method.
        method: &'static str,
        /// Why not.
        why: String,
    },
    /// It needs more memory than it may take.
    #[error("{what} needs {needed} bytes, {limit} are allowed: allow more, or train fewer layers")]
    Memory {
        /// What.
        what: &'static str,
        /// Bytes that the smallest way takes.
        needed: u64,
        /// The limit.
        limit: u64,
    },
    /// A setting makes no sense.
    #[error("{field} is {found}, expected {expected}")]
    Setting {
        /// Which.
        field: &'static str,
        /// Its value.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
    /// Somebody stopped a run; it goes on from its last checkpoint.
    #[error("stopped: `unlearn resume --home DIR` goes on from the last whole epoch")]
    Interrupted,
    /// A run was ended because of a limit; it goes on from its last checkpoint.
    #[error("{0}: `unlearn resume --home DIR` goes on from the last whole epoch")]
    Overrun(Overrun),
}

impl HomeError {
    /// Whether a file is not what was written, or is gone: what it held must come from elsewhere.
    pub(super) fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. }
                | Self::Base { .. }
                | Self::Model(_)
                | Self::Disk(DiskError::NotFound { .. })
        )
    }

    /// Whether there was no room on the disk.
    pub(super) fn is_full(&self) -> bool {
        let of = match self {
            Self::Disk(error) | Self::Vault(VaultError::Disk(error)) => error,
            _ => return false,
        };
        matches!(of, DiskError::Full { .. })
    }
}

impl From<FileError> for HomeError {
    fn from(error: FileError) -> Self {
        Self::Model(Box::new(error))
    }
}
