//! What can go wrong while learning.

use crate::data::DataError;
use crate::sparse::cuda::CudaError;

/// Why a run did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// There is nothing to learn from.
    #[error("the training set is empty: there is nothing to learn from")]
    Empty,
    /// The set contradicts itself, or holds a value that is no number.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A CUDA device failed.
    #[error(transparent)]
    Device(#[from] CudaError),
    /// Samples do not fit the network's input.
    #[error(
        "model `{model}` takes samples of {expected:?} (channels, height, width), the data has {found:?}: choose a model made for samples of this shape"
    )]
    Shape {
        /// The network's name.
        model: String,
        /// What it takes.
        expected: [usize; 3],
        /// What the data has.
        found: [usize; 3],
    },
    /// The data has other classes than the network.
    #[error(
        "model `{model}` tells {expected} classes apart, the data has {found}: choose the data that it was made for"
    )]
    Classes {
        /// The network's name.
        model: String,
        /// What it tells apart.
        expected: usize,
        /// What the data has.
        found: usize,
    },
    /// Weights grew beyond all numbers.
    #[error(
        "training diverged in epoch {epoch}: `{tensor}` holds a number that is not finite; a smaller learning rate than {rate} is needed"
    )]
    Diverged {
        /// Epoch, counted from 1.
        epoch: usize,
        /// The tensor.
        tensor: String,
        /// The learning rate of that epoch.
        rate: f32,
    },
    /// A recipe's number makes no sense.
    #[error("recipe: `{field}` is {found}, expected {expected}")]
    Recipe {
        /// Which field.
        field: &'static str,
        /// Its value.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
    /// The base model of an l1 term has other weights.
    #[error("l1 towards a base: the base has {found} weights where the model has {expected}")]
    BaseDiffers {
        /// Weights of the model.
        expected: usize,
        /// Weights of the base.
        found: usize,
    },
    /// Masks could not be chosen, or weights do not fit under them: what pruning said.
    #[error(transparent)]
    Prune(Box<dyn std::error::Error + Send + Sync>),
    /// Whoever watched could not go on: a checkpoint could not be written.
    #[error(transparent)]
    Watch(Box<dyn std::error::Error + Send + Sync>),
}
