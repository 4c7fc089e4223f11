//! Description to plan: networks, ordered parameters.
//!
//! A network comes from a text (`models/*.toml`, or the description section of a model file). The
//! text is read into unchecked types and checked into a [`Description`], in which every input
//! exists and every shape fits; nothing else in the crate makes one from bytes.

mod attributes;
mod builtin;
mod check;
mod describe;
mod fault;
mod parameters;
mod reference;
mod reference_fault;
mod reference_ops;
mod shapes;
mod text;

#[cfg(test)]
mod check_tests;

pub use attributes::MAX_WINDOW;
pub use builtin::{builtin, builtin_names};
pub use check::{INPUT, MAX_NAME, MAX_NODES, MAX_TEXT};
pub use describe::{Description, Node, Op, Shape};
pub use fault::{DescribeError, DescribeFault};
pub use parameters::{BufferKind, BufferSpec, ParamKind, ParamSpec};
pub use reference::{Forward, Gradients, Mode, Reference, loss};
pub use reference_fault::ReferenceError;
pub use shapes::{MAX_CHANNELS, MAX_VALUES, MAX_WEIGHTS};
