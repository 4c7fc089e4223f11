//! Masks and kernels on plain slices: the arithmetic of a network whose weights mostly do not exist.
//!
//! Owns the mask, the blocked layout of activations, and every forward and backward kernel. Knows
//! no network, no file and no sample. Imports [`crate::base`] alone.
//!
//! # Layout
//!
//! Activations are `[N / 16][C][H + 2h][W + 2w][16]`: sixteen samples side by side in the innermost
//! place, and a halo of zeros around each plane, `h` high and `w` wide, that stays zero for ever. So
//! one weight that exists is one constant offset, every load is one aligned vector, and no kernel of
//! a convolution tests an edge.
//! Lanes past the last sample of a ragged batch hold numbers nobody reads: gradients there are zero.
//!
//! # Order of sums
//!
//! A kernel's work is cut into units whose number depends on shapes alone, each unit owns what it
//! writes, and each output sums its terms in one stated order. Threads change nothing.
//! The instruction set does (a fused multiply-add rounds once): see [`Isa`].

mod attention;
mod attention_rows;
mod blocked;
mod conv;
pub mod cuda;
mod dense_gradient;
mod gather;
mod gelu;
#[cfg(test)]
mod kernel_tests;
mod lanes;
#[cfg(test)]
mod lanes_tests;
mod layer_norm;
mod loss;
mod mask;
mod merge;
mod norm;
mod norm_planes;
mod packed;
mod packed_gradient;
mod passes;
mod pointwise;
mod pool;
mod position;
mod rows;
mod shortcut;
pub mod single;
mod strip;
mod table;
mod tiles;
mod update;
mod weight_gradient;
mod windows;

pub use attention::{Attention, AttentionGradients};
pub use blocked::{Blocked, LANES};
pub use conv::{ConvPlan, ConvShape};
pub use gelu::{gelu, gelu_backward};
pub use lanes::Isa;
pub use layer_norm::{LayerNorm, LayerNormGradients};
pub use loss::{Loss, cross_entropy, softmax, softmax_of};
pub use mask::{Mask, MaskError};
pub use merge::Merge;
pub use norm::{BatchNorm, NormGradients, Operands, Running, Saved, Target};
pub use passes::Kernels;
pub use pointwise::{add, copy_or_add, relu, relu_backward};
pub use pool::{AvgPool, MaxPool};
pub use position::{add_position, position_gradient};
pub use shortcut::PadShortcut;
pub use table::KernelTable;
pub use update::{L1, Step, UpdateStatistics, update};
pub use windows::Windows;
