//! Description to plan: networks, ordered parameters.
//!
//! A network comes from a text (`models/*.toml`, or the description section of a model file). The
//! text is read into unchecked types and checked into a [`Description`], in which every input
//! exists and every shape fits; nothing else in the crate makes one from bytes.

mod attributes;
mod builtin;
mod check;
mod describe;
mod engine;
mod fault;
mod network;
mod parameters;
mod plan;
mod shapes;
mod text;

#[cfg(test)]
mod check_tests;

pub use attributes::MAX_WINDOW;
pub use builtin::{builtin, builtin_names};
pub use check::{INPUT, MAX_NAME, MAX_NODES, MAX_TEXT};
pub use describe::{Description, Node, Op, Shape};
pub use engine::Engine;
pub use fault::{DescribeError, DescribeFault};
pub use network::{Buffer, Network, Parameter};
pub use parameters::{BufferKind, BufferSpec, ParamKind, ParamSpec};
pub use plan::{Mode, Plan};
pub use shapes::{MAX_CHANNELS, MAX_VALUES, MAX_WEIGHTS};
