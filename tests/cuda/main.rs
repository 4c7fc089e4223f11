//! The CUDA kernels, run on the processor, and the emulator that runs them.

#[path = "../emulator/mod.rs"]
mod emulator;

mod bed;
mod emulated;
mod engine;
mod layers;
mod norms;
mod pointwise;
mod tokens;
mod transformers;
