//! What a person reads when something went wrong, and the exit code that a script reads.

use std::io::ErrorKind;
use std::path::PathBuf;

use crate::base::disk::DiskError;
use crate::board::BoardError;
use crate::data::DataError;
use crate::erase::HomeError;
use crate::erase::receipt::ReceiptError;
use crate::evaluate::{EvaluateError, MeasureError};
use crate::exchange::{ExchangeError, ExchangeFault};
use crate::format::FormatError;
use crate::model::file::FileError;
use crate::model::{DescribeError, FileEngineError, GrowError};
use crate::prune::PruneError;
use crate::sparse::cuda::CudaError;
use crate::train::TrainError;
use crate::vault::VaultError;

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
    /// A network cannot take another head.
    #[error("{0}")]
    Head(#[from] GrowError),
    /// A model file is wrong.
    #[error("{0}")]
    Model(#[from] FileError),
    /// A foreign file cannot be taken in.
    #[error("{0}")]
    Exchange(#[from] ExchangeError),
    /// A profile or a log of a board is wrong, or there is none of that name.
    #[error("{0}")]
    Board(#[from] BoardError),
    /// A CUDA device cannot be had, or failed.
    #[error("{0}")]
    Cuda(#[from] CudaError),
    /// A file is damaged.
    #[error("{}", source.of_file(path))]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: FormatError,
    },
    /// A receipt, or a key for receipts, is damaged or none.
    #[error("{}: {source}", path.display())]
    Receipt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ReceiptError,
    },
    /// A home refused.
    #[error("{0}")]
    Home(#[from] HomeError),
    /// The process that has a home refused.
    #[error("{what}")]
    Refused {
        /// What it said.
        what: String,
        /// The exit code that goes with it.
        code: u8,
    },
    /// The socket of a home failed.
    #[error("{0}")]
    Socket(String),
    /// The system did not let the process confine itself.
    #[error("{0}: people's data is not touched without it")]
    Denied(String),
    /// What came through a pipe is not what was expected.
    #[error("{what}, {at}: {why}")]
    Input {
        /// The file.
        what: String,
        /// Where in it.
        at: String,
        /// What is wrong.
        why: String,
    },
    /// Reading or writing failed.
    #[error("{0}")]
    Disk(#[from] DiskError),
    /// A file that was given cannot be read, or is not there.
    #[error("{0}")]
    Given(DiskError),
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
    /// The result could not be told.
    #[error("the result cannot be written to standard output: {0}")]
    Told(std::io::Error),
    /// Some cells of an experiment failed; the others are there.
    #[error("{failed} of {cells} cells failed; {}/table.txt says which and why, the others are in it", folder.display())]
    Cells {
        /// Cells without figures.
        failed: usize,
        /// All cells.
        cells: usize,
        /// Where the results lie.
        folder: PathBuf,
    },
    /// A run was ended by a limit that was given.
    #[error("{0}")]
    Limit(String),
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
            Self::Home(error) => of_home(error),
            Self::Refused { code, .. } => *code,
            Self::Socket(_) | Self::Denied(_) => 4,
            Self::Input { .. } => 3,
            Self::CheckFailed(_) => 1,
            Self::Usage(_) | Self::Prune(_) | Self::Head(_) => 2,
            Self::Describe(_) | Self::Receipt { .. } => 3,
            Self::Disk(_) | Self::Told(_) => 4,
            Self::Given(error) => of_disk(error),
            Self::Data(error) => of_data(error),
            Self::Board(error) => of_board(error),
            Self::Cuda(error) => of_cuda(error),
            Self::Model(FileError::Format { source, .. }) | Self::Format { source, .. } => {
                of_format(source)
            }
            Self::Model(_) => 3,
            Self::Exchange(error) => match &*error.fault {
                ExchangeFault::ExternalDisk { source, .. } => of_disk(source),
                _ => 3,
            },
            Self::Train(error) | Self::Measure(MeasureError::Score(error)) => of_train(error),
            Self::Evaluate(_) | Self::Measure(_) | Self::Cells { .. } | Self::Limit(_) => 5,
            Self::Interrupted(_) => 130,
        }
    }
}

/// A scenario or a seed stands in the words; everything else in files.
fn of_data(error: &DataError) -> u8 {
    match error {
        DataError::Scenario { .. }
        | DataError::Share { .. }
        | DataError::Unknown { .. }
        | DataError::EmptySide { .. }
        | DataError::Seed { .. }
        | DataError::Extraction { .. }
        | DataError::ExtractionUnfit { .. }
        | DataError::Anchor(_) => 2,
        DataError::Scratch(_) | DataError::Lost { .. } => 4,
        DataError::Io { source, .. } if source.kind() != ErrorKind::NotFound => 4,
        _ => 3,
    }
}

/// A slug stands in the words, all else in files.
fn of_board(error: &BoardError) -> u8 {
    match error {
        BoardError::Unknown { .. } | BoardError::Limit { .. } => 2,
        BoardError::Read { source, .. } if source.kind() != ErrorKind::NotFound => 4,
        _ => 3,
    }
}

/// A file that is not there, or is no file, is a wrong one; one that cannot be read is not.
fn of_format(error: &FormatError) -> u8 {
    match error {
        FormatError::Disk(error) => of_disk(error),
        _ => 3,
    }
}

fn of_disk(error: &DiskError) -> u8 {
    match error {
        DiskError::NotFound { .. } | DiskError::NotAFile { .. } | DiskError::TooLong { .. } => 3,
        _ => 4,
    }
}

/// A number, a precision or a network stands in the words; all else is the machine's.
fn of_cuda(error: &CudaError) -> u8 {
    match error {
        CudaError::NoSuchDevice { .. } | CudaError::Precision { .. } | CudaError::Size { .. } => 2,
        CudaError::Decode { .. } => 3,
        _ => 4,
    }
}

impl From<FileEngineError> for Fault {
    fn from(error: FileEngineError) -> Self {
        match error {
            FileEngineError::File(error) => error.into(),
            FileEngineError::Cuda(error) => error.into(),
        }
    }
}

/// Data and model that do not fit were named together.
fn of_train(error: &TrainError) -> u8 {
    match error {
        TrainError::Recipe { .. }
        | TrainError::Shape { .. }
        | TrainError::Classes { .. }
        | TrainError::BaseDiffers { .. } => 2,
        TrainError::Data(_) => 3,
        TrainError::Watch(_) => 4,
        TrainError::Device(error) => of_cuda(error),
        _ => 5,
    }
}

/// Words name people and settings; files are of the home.
fn of_home(error: &HomeError) -> u8 {
    match error {
        HomeError::Disk(error) | HomeError::Vault(VaultError::Disk(error)) => of_disk(error),
        HomeError::Train(error) => of_train(error),
        HomeError::Base { source, .. } => of_format(source),
        HomeError::Interrupted => 130,
        HomeError::Overrun(_) => 5,
        HomeError::Busy { .. } | HomeError::Entropy(_) | HomeError::UnderWay { .. } => 4,
        HomeError::Vault(VaultError::Quota { .. } | VaultError::Tpm { .. }) => 4,
        HomeError::Vault(VaultError::BuiltWithout { .. } | VaultError::OtherKeys { .. }) => 2,
        HomeError::Unavailable
        | HomeError::Memory { .. }
        | HomeError::Evaluate(_)
        | HomeError::NothingToLearn => 5,
        HomeError::Vault(_)
        | HomeError::Model(_)
        | HomeError::Receipt(_)
        | HomeError::Damaged { .. }
        | HomeError::RolledBack { .. }
        | HomeError::PutBack { .. }
        | HomeError::NoWitness { .. }
        | HomeError::Witness { .. }
        | HomeError::Unfit { .. }
        | HomeError::Sample { .. }
        | HomeError::Grow(_) => 3,
        _ => 2,
    }
}
