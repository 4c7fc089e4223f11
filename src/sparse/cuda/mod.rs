//! CUDA devices: the engine's kernels there, what launches them, and the door to the driver.
//!
//! Owns the kernels (`kernels/*.cu`), their launchers, the door to NVIDIA's driver and compiler, and the cache of
//! compiled kernels. Both libraries are looked for when the program runs: it is built without a toolkit, and runs
//! where there is no driver. Knows no network: whoever computes one holds a plan and calls launchers in its order.
//! What launches kernels sees a [`Machine`].
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

mod arguments;
mod attention;
pub mod cache;
mod card;
mod choice;
mod compile;
mod decode;
mod driver;
mod error;
mod fetching;
mod index;
mod kernel;
mod layer;
mod library;
mod machine;
mod mask_bits;
mod norm;
mod nvrtc;
mod open;
mod pass;
mod pointwise;
mod precision;
mod product;
mod sparse;
mod staging;
mod tensor;
mod tile;
mod tokens;

pub use attention::{Attention, AttentionBackward};
pub use card::Card;
pub use choice::SparseBelow;
pub use compile::{Embedded, Form, Modules, Target, Unit};
pub use decode::{Encoded, FAULT_BYTES, Source, Spelling, Values, broken_rule};
pub use error::CudaError;
pub use kernel::{ARCHITECTURES, Kernel, OPTIONS, SOURCES, source};
pub use layer::Layer;
pub use machine::{
    Address, Arg, Capability, CardFacts, Fetched, Grid, Machine, Reads, Recording, Tier,
};
pub use mask_bits::{MaskAt, MaskBits};
pub use norm::{Norm, NormBackward};
pub use nvrtc::Nvrtc;
pub use open::{Shared, open, opened};
pub use pointwise::{
    LossAt, Pool, Stepped, UpdateForm, add, copy_or_add, cross_entropy, load, pad_shortcut,
    pad_shortcut_backward, rates, relu, relu_backward, update,
};
pub use precision::Precision;
pub use sparse::SparseLayer;
pub use tensor::Tensor;
pub use tokens::{
    RowNorm, RowNormBackward, add_position, gelu, gelu_backward, merge, merge_backward,
    position_gradient,
};
