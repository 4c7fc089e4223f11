//! What a run takes in memory, by kind, known before it begins.
//!
//! Every figure follows from description, masks, batch and mode, and from sizes of the data. What
//! stays uncounted is small and named in [`PROGRAM`]. A limit picks whether activations are computed
//! again, and the piece of the batch that goes through the network at once: [`fit`].

use super::recipe::Recipe;
use super::stepper::Compute;
use crate::model::{Device, Network, Plan};
use crate::sparse::LANES;

/// What the program itself takes, besides all that is counted by kind: its pages that were touched,
/// the stacks of its threads, names, tables and what the allocator keeps. Measured on x86-64 Linux:
/// 10 MB before anything is opened, 13 MB of its own pages once it trains, most of which the system may
/// take back; the rest is reserve.
pub const PROGRAM: u64 = 20 << 20;

/// Bytes that a network takes: weights, positions of those that exist, running statistics.
pub fn network_bytes(network: &Network) -> u64 {
    let masks = network.parameters.iter().filter_map(|p| p.mask.positions()).map(<[u32]>::len);
    let buffers = network.buffers.iter().map(|buffer| buffer.values.len());
    4 * (network.values.len() + masks.sum::<usize>() + buffers.sum::<usize>()) as u64
}

/// Bytes of a run between its first step and its last, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunBytes {
    /// Activations and their gradients: the engine's arena.
    pub activations: u64,
    /// What the kernels read besides: offsets of weights, and one layer's weights in the order of
    /// the input gradient.
    pub indices: u64,
    /// Weights, masks and running statistics.
    pub weights: u64,
    /// One gradient a weight, from the first that learns on.
    pub gradient: u64,
    /// One momentum a weight.
    pub momentum: u64,
    /// The copy of weights, masks, statistics and momentum from which an interrupted epoch is undone.
    pub undo: u64,
}

impl RunBytes {
    /// The bytes of training `network` over `plan`.
    pub fn of(network: &Network, plan: &Plan) -> Self {
        let (weights, each) = (network_bytes(network), 4 * network.values.len() as u64);
        Self {
            activations: plan.arena_bytes(),
            indices: plan.index_bytes(),
            weights,
            gradient: each - 4 * plan.untrained() as u64,
            momentum: each,
            undo: weights + each,
        }
    }

    /// The sum of all kinds.
    pub fn total(&self) -> u64 {
        let Self { activations, indices, weights, gradient, momentum, undo } = self;
        activations + indices + weights + gradient + momentum + undo
    }
}

/// The sizes of pieces that are worth a try for a batch of `batch` samples, the largest first: the
/// whole batch, then pieces that are as even as whole blocks of sixteen samples allow. A smaller
/// piece than a block takes no less memory than one.
fn pieces(batch: usize) -> impl Iterator<Item = usize> {
    let blocks = batch.div_ceil(LANES);
    let mut last = usize::MAX;
    (1..=blocks).filter_map(move |passes| {
        let piece = (blocks.div_ceil(passes) * LANES).min(batch);
        (std::mem::replace(&mut last, piece) != piece).then_some(piece)
    })
}

/// The ways to compute batches of `batch` samples, the best first: whole or in the largest pieces,
/// each without recomputation, which takes time, before with it. Pieces come last because batch norm
/// sees them.
pub fn ways(batch: usize, device: Device) -> impl Iterator<Item = Compute> {
    pieces(batch).flat_map(move |piece| {
        let micro_batch = (piece < batch).then_some(piece);
        kept_or_again(Compute { micro_batch, ..device.into() })
    })
}

/// `compute` without and with recomputation.
pub fn kept_or_again(compute: Compute) -> [Compute; 2] {
    [false, true].map(|recompute| Compute { recompute, ..compute })
}

/// The first of `ways` with which `peak` stays within `limit`.
///
/// `peak` gets a way and the bytes of a run by it, and says what the whole process takes. The network
/// is planned once for each way that is tried.
///
/// # Errors
/// The last of the ways, where none fits, or nothing if there is none.
pub fn fit(
    network: &Network,
    batch: usize,
    recipe: &Recipe,
    ways: impl IntoIterator<Item = Compute>,
    limit: u64,
    peak: impl Fn(Compute, &RunBytes) -> u64,
) -> Result<Compute, Option<Compute>> {
    let mut last = None;
    for way in ways {
        if peak(way, &planned(network, batch, recipe, way)) <= limit {
            return Ok(way);
        }
        last = Some(way);
    }
    Err(last)
}

/// The bytes of training `network` in batches of `batch` samples.
///
/// # Panics
/// If `batch` is 0.
pub fn planned(network: &Network, batch: usize, recipe: &Recipe, compute: Compute) -> RunBytes {
    RunBytes::of(network, &compute.plan(network, batch, recipe))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_whole_blocks_as_even_as_they_can_be() {
        let all = |batch| pieces(batch).collect::<Vec<_>>();
        assert_eq!(all(128), [128, 64, 48, 32, 16]);
        assert_eq!(all(100), [100, 64, 48, 32, 16]);
        assert_eq!(all(16), [16]);
        assert_eq!(all(3), [3]);
    }
}
