//! What a person reads when something went wrong, and the exit code that a script reads.

use std::path::PathBuf;

use crate::base::disk::DiskError;
use crate::data::DataError;
use crate::evaluate::{EvaluateError, MeasureError};
use crate::format::FormatError;
use crate::model::DescribeError;
use crate::model::file::FileError;
use crate::prune::PruneError;
use crate::train::TrainError;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// Words that fit together badly.
    #[error("{0}")]
    Usage(String),
    /// The data is missing or wrong.
    #[error("{0}")]
    Data(#[from] DataError),
    /// A description is wrong.
    #[error("{0}")]
    Describe(#[from] DescribeError),
    /// A model file is wrong.
    #[error("{0}")]
    Model(#[from] FileError),
    /// A file is damaged.
    #[error("{}: {source}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: FormatError,
    },
    /// Reading or writing failed.
    #[error("{0}")]
    Disk(#[from] DiskError),
    /// A run failed.
    #[error("{0}")]
    Train(#[from] TrainError),
    /// Pruning is not possible.
    #[error("{0}")]
    Prune(#[from] PruneError),
    /// Scores could not be judged.
    #[error("{0}")]
    Evaluate(#[from] EvaluateError),
    /// A network could not be measured.
    #[error("{0}")]
    Measure(#[from] MeasureError),
    /// A run was stopped; what is whole was kept.
    #[error("{0}")]
    Interrupted(String),
    /// The program was asked to check, and a check failed.
    #[error("{0}")]
    CheckFailed(String),
}

impl Fault {
    /// The exit code: stable, scripts depend on it.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::CheckFailed(_) => 1,
            Self::Usage(_) | Self::Prune(_) => 2,
            Self::Train(TrainError::Recipe { .. }) => 2,
            Self::Data(_) | Self::Describe(_) | Self::Model(_) | Self::Format { .. } => 3,
            Self::Disk(_) | Self::Train(TrainError::Watch(_)) => 4,
            Self::Train(_) | Self::Evaluate(_) | Self::Measure(_) => 5,
            Self::Interrupted(_) => 130,
        }
    }
}
