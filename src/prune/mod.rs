//! Choosing which weights exist.
//!
//! Owns scores (magnitude, random), allocations (global, uniform, ERK) and one-shot magnitude
//! pruning with rewinding. Knows no data and no forgetting. Imports `base`, `sparse`, `model`.
//!
//! # Source
//! OMP with rewinding as in Jia et al., *Model Sparsity Can Simplify Machine Unlearning*, NeurIPS
//! 2023, and its released code; ERK: Evci et al., *Rigging the Lottery*, ICML 2020.

mod allocate;
mod omp;

pub use allocate::{Allocation, Budget};
pub use omp::{Criterion, masks, rewind};

/// What can go wrong while pruning.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// The share to remove is not one.
    #[error("sparsity is {found}, expected a share from 0 up to, but not including, 1")]
    Sparsity {
        /// What was asked for.
        found: f64,
    },
    /// No weight may be removed.
    #[error("model `{model}` has no prunable weights: its description marks none")]
    NothingPrunable {
        /// The network's name.
        model: String,
    },
    /// The early weights are another network's.
    #[error(
        "the weights to rewind to are of `{found}`, the model is `{model}`: give the file that `train` wrote beside the model"
    )]
    OtherNetwork {
        /// The network's name.
        model: String,
        /// The other's name.
        found: String,
    },
    /// The early weights are laid out otherwise.
    #[error(
        "the weights to rewind to have room for {found} weights in `{tensor}`, the model for {expected}: give the file that `train` wrote beside the model"
    )]
    OtherShape {
        /// The tensor.
        tensor: String,
        /// Weights of the model's tensor, existing or not.
        expected: usize,
        /// Weights of the early tensor.
        found: usize,
    },
    /// The early weights lack some that the mask keeps.
    #[error(
        "the weights to rewind to have {found} of the {expected} weights in `{tensor}`: rewinding needs a dense model"
    )]
    RewindSparse {
        /// The tensor.
        tensor: String,
        /// Weights that the mask keeps.
        expected: usize,
        /// How many of them exist there.
        found: usize,
    },
}
