//! Description to plan: networks, ordered parameters.
//!
//! A network comes from a text (`models/*.toml`, or the description section of a model file). The
//! text is read into unchecked types and checked into a [`Description`], in which every input
//! exists and every shape fits; nothing else in the crate makes one from bytes.
//!
//! # The text
//!
//! ```
//! # use unlearn::model::Description;
//! let text = r#"
//!     name = "example"
//!     summary = "One line for people."
//!
//!     [input]
//!     shape = [1, 28, 28]            # channels, height, width
//!     mean = [0.286]                 # one a channel, or one for all: the network normalises its
//!     std = [0.353]                  # input itself
//!
//!     [[op]]
//!     name = "conv1"                 # 1 to 64 of a-z 0-9 . _ -
//!     kind = "conv"
//!     filters = 16
//!     kernel = 3                     # or [height, width]
//!     padding = 1
//!
//!     [[op]]
//!     name = "relu1"
//!     kind = "relu"
//!     from = "conv1"                 # default: the operation above
//!
//!     [[op]]
//!     name = "fc"
//!     kind = "linear"
//!     outputs = "classes"            # as many as the data has
//! "#;
//! let network = Description::parse(text, "example.toml", 10)?;
//! assert_eq!(network.parameters()[0].name, "conv1.weight");
//! # Ok::<(), unlearn::model::DescribeError>(())
//! ```
//!
//! | kind | keys, and what they are if left out |
//! |---|---|
//! | `conv` | `filters`, `kernel`, `stride` 1, `padding` 0 (less than the kernel), `groups` 1, `bias` false, `prunable` true |
//! | `linear` | `outputs`, `bias` true, `prunable` false |
//! | `batch-norm` | `epsilon` 1e-5, `momentum` 0.1 |
//! | `relu`, `global-avg-pool` | |
//! | `add` | `from` names two different operations |
//! | `max-pool` | `kernel`, `stride` as the kernel, `padding` 0 (at most half of the kernel) |
//! | `avg-pool` | `kernel`, `stride` as the kernel |
//! | `pad-shortcut` | `channels`, `stride` 1 |
//! | `layer-norm` | `epsilon` 1e-5; over the channels of each place |
//! | `gelu`, `position` | |
//! | `attention` | `heads`; `window` (all places attend to all), `shift` 0 (less than the window) |
//! | `space-to-depth` | `side` |
//!
//! `kernel`, `stride` and `padding` are one number, or `[height, width]`. A layer over a sequence is
//! one of height 1: `kernel = [1, 5]`, `padding = [0, 2]`.
//!
//! In a transformer a place is a token: patches are a convolution whose stride is its kernel, what acts on
//! each token is a convolution of kernel 1, and an attention reads the `3 C` channels of one.
//!
//! An operation reads from those above it or from `input`; all but the last must be read.

mod attributes;
mod builtin;
mod card;
mod check;
mod describe;
mod device;
pub mod diff;
mod draft;
mod engine;
mod fault;
pub mod file;
mod file_engine;
mod grow;
mod lives;
mod network;
mod outline;
mod parameters;
mod plan;
mod predictor;
mod reference;
mod reference_fault;
mod reference_ops;
mod shapes;
mod text;
mod tokens;
mod walk;

#[cfg(test)]
mod check_tests;

pub use attributes::MAX_WINDOW;
pub use builtin::{builtin, builtin_names};
pub use card::CardBytes;
pub use check::{INPUT, MAX_NAME, MAX_NODES, MAX_TEXT};
pub use describe::{Description, Node, Op, Shape};
pub use device::Device;
pub use engine::Engine;
pub use fault::{DescribeError, DescribeFault};
pub use file_engine::{FileEngine, FileEngineError};
pub use grow::GrowError;
pub use network::{Buffer, Network, Parameter};
pub use parameters::{BufferKind, BufferSpec, ParamKind, ParamSpec};
pub use plan::{Mode, Plan};
pub use predictor::Predictor;
pub use reference::{Forward, Gradients, Reference, loss};
pub use reference_fault::ReferenceError;
pub use shapes::{MAX_CHANNELS, MAX_VALUES, MAX_WEIGHTS};
