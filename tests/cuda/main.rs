//! The CUDA kernels, run on the processor, and the emulator that runs them.

#[path = "../common/mod.rs"]
mod common;
#[path = "../emulator/mod.rs"]
mod emulator;

mod bed;
mod decode;
mod decode_spelling;
mod emulated;
mod engine;
mod file_engine;
mod homes;
mod layers;
mod learning;
mod norms;
mod pointwise;
mod sparse_layers;
mod tokens;
mod transformers;
