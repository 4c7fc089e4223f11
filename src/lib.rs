//! `unlearn` keeps a neural network in a compact sparse-masked file, trains it, and makes it forget.
//!
//! Three principles:
//!
//! 1. **The parameter is the packed vector.** A weight that a mask removed does not exist: not in
//!    the file, not in memory, not in the gradient, not in the optimiser.
//! 2. **Same seed, same bytes.** Every use of chance is a named stream, every sum has a stated
//!    order, and the number of threads changes nothing.
//! 3. **A number says what it is.** Metric, unit, data, seed; what was not measured is not printed.
//!
//! # The house
//!
//! | floor | rooms | own |
//! |---|---|---|
//! | 0 ground | [`base`] | units, seeded random streams, hashing, checked reads, durable replace, clock |
//! | 1 things | [`board`] [`mod@format`] [`sparse`] [`vault`] | boards and sensors · the model file · masks and kernels on plain slices · samples of people, and their keys |
//! | 2 learning | [`data`] [`model`] [`exchange`] [`train`] [`prune`] [`unlearn`] [`evaluate`] | data sets · description to plan · other people's model files · the loop · choosing masks · forgetting · what was forgotten |
//! | 3 service | [`erase`] | a device's home: from a request to a receipt, whatever the power does |
//! | 4 door | [`cli`] | one file a command; nothing below prints, reads the environment or exits |
//!
//! A room imports only from the floors below it, and from those of its own floor that
//! `tests/layers.rs` names. `ARCHITECTURE.md` tells the reasons.

#![deny(missing_docs, unsafe_code)]
#![warn(clippy::too_many_lines, clippy::print_stdout, clippy::print_stderr, clippy::exit)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used))]

pub mod base;
pub mod board;
pub mod cli;
pub mod data;
pub mod erase;
pub mod evaluate;
pub mod exchange;
pub mod format;
pub mod model;
pub mod prune;
pub mod sparse;
pub mod train;
pub mod unlearn;
pub mod vault;
