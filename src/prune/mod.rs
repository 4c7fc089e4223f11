//! Choosing which weights exist.
//!
//! Owns scores (magnitude, random, SNIP, GraSP, SynFlow, norms of filters and channels), allocations
//! (global, uniform, ERK, N:M) and rewinding. One-shot and iterative pruning are the same choice, made once
//! or several times: whoever trains between is not here. Knows no data sets and no forgetting: samples that
//! scores are asked of are handed in, [`Samples`]. Imports `base`, `sparse`, `model`.
//!
//! # Source
//! OMP and IMP with rewinding as in Jia et al., *Model Sparsity Can Simplify Machine Unlearning*, NeurIPS
//! 2023, and its released code; ERK: Evci et al., *Rigging the Lottery*, ICML 2020; the other criteria
//! name theirs.

mod allocate;
mod choose;
mod criterion;
mod grasp;
mod rewind;
mod slope;
mod snip;
mod structured;
mod synflow;

pub use allocate::{Allocation, Budget, Pattern};
pub use choose::{Choice, gone_after, masks};
pub use criterion::Criterion;
pub use rewind::rewind;
pub use slope::Samples;
pub use synflow::ROUNDS as SYNFLOW_ROUNDS;

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
    /// Not an N:M pattern.
    #[error("`{found}` is no pattern: expected N:M with M of 2, 4, 8 or 16 and N from 1 below M")]
    Pattern {
        /// What was given.
        found: String,
    },
    /// A pattern says itself how much goes.
    #[error(
        "a pattern of {pattern} removes a share of {expected}, not {found}: leave the sparsity out"
    )]
    PatternSparsity {
        /// The pattern.
        pattern: Pattern,
        /// What was asked for.
        found: f64,
        /// What the pattern means.
        expected: f64,
    },
    /// No tensor can be cut into the pattern's groups.
    #[error("no prunable tensor of model `{model}` has inputs in groups of {}: {pattern} fits none", pattern.m())]
    PatternFitsNothing {
        /// The pattern.
        pattern: Pattern,
        /// The network's name.
        model: String,
    },
    /// A pattern keeps single weights of each group, in one go.
    #[error(
        "{criterion} does not go with a pattern of {pattern}: take magnitude, random, snip or grasp"
    )]
    Together {
        /// The pattern.
        pattern: Pattern,
        /// The criterion.
        criterion: &'static str,
    },
    /// A criterion has nothing to be asked of.
    #[error("{criterion} is asked of labelled samples, and there are none")]
    NoSamples {
        /// The criterion.
        criterion: &'static str,
    },
    /// Scores are not numbers.
    #[error(
        "{criterion}: a score is no finite number; the weights, or the samples, hold values that are too large"
    )]
    NotFinite {
        /// The criterion.
        criterion: &'static str,
    },
    /// The flow of SynFlow is beyond f32 whatever the scale.
    #[error(
        "synflow: what flows through `{model}` spans more than 32-bit numbers do; take another criterion"
    )]
    Flow {
        /// The network's name.
        model: String,
    },
}
