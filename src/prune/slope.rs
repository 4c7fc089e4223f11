//! Gradients that scores are made of.

use crate::model::{Engine, Mode, Network};
use crate::sparse::Isa;

/// Samples that go through the network at once: batch norm sees so many.
const BATCH: usize = 64;

/// Labelled samples that scores are asked of. Whoever calls knows where they come from.
#[derive(Clone, Copy)]
pub struct Samples<'a> {
    /// The class of each.
    pub labels: &'a [u32],
    /// `fill(i, out)` writes sample `i` as `[C, H, W]`, before normalisation.
    pub fill: &'a (dyn Fn(usize, &mut [f32]) + Sync),
}

impl std::fmt::Debug for Samples<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Samples").field("labels", &self.labels.len()).finish_non_exhaustive()
    }
}

/// The gradient of a mean loss over samples, at any weights of one network.
pub(super) struct Slope<'a> {
    samples: Samples<'a>,
    /// Logits are divided by this before the softmax.
    temperature: f64,
    engine: Engine,
    batch: usize,
}

impl<'a> Slope<'a> {
    /// Makes ready for `network` under its masks of now. Batch norms use the statistics of their batch,
    /// as in training.
    pub(super) fn new(network: &Network, samples: Samples<'a>, temperature: f64, isa: Isa) -> Self {
        let batch = piece(samples.labels.len());
        let engine = Engine::new(network, batch, Mode::Train, isa);
        Self { samples, temperature, engine, batch }
    }

    /// The gradient at the weights of `network`, one entry a packed weight. Running statistics move.
    pub(super) fn at(&mut self, network: &mut Network) -> Vec<f32> {
        let mut gradient = vec![0.0; network.values.len()];
        let Samples { labels, fill } = self.samples;
        let (share, temperature) = (1.0 / labels.len() as f64, self.temperature);
        for (piece, part) in labels.chunks(self.batch).enumerate() {
            let first = piece * self.batch;
            self.engine.load(network, part.len(), |i, out| fill(first + i, out));
            self.engine.forward(network);
            self.engine.backward_by(network, &mut gradient, |logits, dlogits| {
                let classes = logits.len() / part.len();
                let rows = logits.chunks_exact(classes).zip(dlogits.chunks_exact_mut(classes));
                for ((logits, dlogits), &label) in rows.zip(part) {
                    cross_entropy(logits, label as usize, temperature, share, dlogits);
                }
            });
        }
        gradient
    }
}

/// Pieces of a set as even as they can be: none is a single sample, whose batch norm would be empty.
fn piece(samples: usize) -> usize {
    samples.div_ceil(samples.div_ceil(BATCH).max(1)).max(1)
}

/// Bytes that scoring `samples` samples takes besides the network: arena, lists, two gradients and
/// weights that were moved.
pub(super) fn bytes(network: &Network, samples: usize) -> u64 {
    let plan = crate::model::Plan::new(network, piece(samples), Mode::Train);
    plan.arena_bytes() + plan.index_bytes() + 4 * 4 * network.values.len() as u64
}

/// Writes the derivative of `share * -ln softmax(logits / temperature)[label]` by each logit.
fn cross_entropy(logits: &[f32], label: usize, temperature: f64, share: f64, out: &mut [f32]) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |logit: f32| (f64::from(logit - largest) / temperature).exp();
    let total: f64 = logits.iter().map(|&logit| weight(logit)).sum();
    for (class, (&logit, out)) in logits.iter().zip(out).enumerate() {
        let target = if class == label { 1.0 } else { 0.0 };
        *out = (share * (weight(logit) / total - target) / temperature) as f32;
    }
}
