//! The engine's kernels on CUDA devices: sources, launchers, and the door to the driver.
//!
//! Owns the kernels (`kernels/*.cu`), what launches them, and how a device is asked for anything
//! ([`Machine`]). Knows no network: who computes one holds a plan and calls launchers in its order.
//!
//! # Layout
//!
//! Activations are `[samples][height][width][channels]` without a halo. Weights, gradients and momenta are
//! packed vectors in mask order. One layer at a time is laid out dense in a scratch that all share.
//!
//! # Order of sums
//!
//! As on the CPU, no sum depends on the order in which anything runs: parts of a sum are cut by shapes
//! alone and added in order by a launch of their own. Equal devices give equal bytes, run by run.

mod error;
mod kernel;
mod layer;
mod machine;
mod norm;
mod open;
mod pointwise;
mod precision;
mod tensor;

pub use error::CudaError;
pub use kernel::{Kernel, SOURCES, source};
pub use layer::{Layer, MaskAt, MaskBits};
pub use machine::{Address, Arg, Capability, CardFacts, Grid, Machine, Recording};
pub use norm::{Norm, NormBackward};
pub use open::{Shared, open, opened};
pub use pointwise::{
    LossAt, Pool, Stepped, add, copy_or_add, cross_entropy, load, pad_shortcut,
    pad_shortcut_backward, relu, relu_backward, update,
};
pub use precision::Precision;
pub use tensor::Tensor;
