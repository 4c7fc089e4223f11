//! CUDA devices: what they are, and what they can do for the engine.
//!
//! Owns the door to NVIDIA's driver and compiler, the kernels, and the cache of compiled ones. Both libraries are
//! looked for when the program runs: it is built without a toolkit, and runs where there is no driver. Only here is
//! anything known of CUDA; what launches kernels sees a [`Machine`].

mod arguments;
pub mod cache;
mod card;
mod compile;
mod driver;
mod error;
mod kernel;
mod library;
mod machine;
mod nvrtc;
mod staging;

pub use card::Card;
pub use compile::{ARCHITECTURES, Form, Modules, OPTIONS, Target, Unit};
pub use error::CudaError;
pub use kernel::{Kernel, source};
pub use machine::{Address, Arg, Capability, CardFacts, Grid, Machine, Recording};
pub use nvrtc::Nvrtc;
