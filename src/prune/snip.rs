//! SNIP: a weight is worth what the loss would feel of its absence, to first order.
//!
//! `score = |g * w|`, `g` the gradient of the mean cross-entropy over a few samples, batch norms as in
//! training.
//!
//! # Source
//! Lee, Ajanthan, Torr, *SNIP: Single-shot Network Pruning based on Connection Sensitivity*, ICLR 2019,
//! equation 6, of which the sum over all weights that it divides by changes no order.
//!
//! # Where we differ
//! - Unlearn-Sparse has a function of this name that scores `|g|` alone and that no command reaches; this
//!   is the paper's.
//! - The paper draws one batch; here it is a number of samples of each class, as for GraSP.

use super::slope::{Samples, Slope};
use crate::model::Network;
use crate::sparse::Isa;

/// The score of each packed weight; the highest are kept.
pub(super) fn scores(network: &Network, samples: Samples<'_>, isa: Isa) -> Vec<f32> {
    let gradient = Slope::new(network, samples, 1.0, isa).at(&mut network.clone());
    gradient.iter().zip(&network.values).map(|(g, w)| (g * w).abs()).collect()
}
