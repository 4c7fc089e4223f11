//! SynFlow: weights stay through which most of what flows from all inputs to all outputs passes.
//!
//! `score = |w| * dR/d|w|`, `R` the sum of all outputs for an input of ones behind the normalisation,
//! every weight, bias, scale and shift replaced by its absolute value, and batch norms as they are before
//! training (mean 0, variance 1). It needs no sample. Scores are asked anew in each of [`ROUNDS`] rounds; after
//! round `k` a share `(1 - sparsity)^(k / ROUNDS)` is left, so that no layer loses all.
//!
//! # Large networks
//! `R` is the sum over paths of products of weights, and grows by about `sqrt(fan_in)` a layer: beyond f32
//! for a deep network. But it is homogeneous: with the input, all biases and all shifts times `c`, every
//! activation is `c` times what it was, and with the gradient of the outputs times `d`, every gradient of an
//! activation is `d` times, every score of a weight `c * d` times. Both are powers of 2, so that no
//! rounding moves: within the range of f32, scores keep their order exactly. `c` and `d` are the largest
//! with which everything is finite; a flow that spans more than the 76 decades of f32 is refused.
//!
//! # Source
//! Tanaka, Kunin, Yamins, Ganguli, *Pruning neural networks without any data by iteratively conserving
//! synaptic flow*, NeurIPS 2020, algorithm 1 with 100 rounds.
//!
//! # Where we differ
//! Running statistics of a network that was trained are not used: with them `R` is not homogeneous.

use std::sync::Arc;

use super::PruneError;
use crate::model::{BufferKind, Engine, Mode, Network, ParamKind};
use crate::sparse::Isa;

/// Rounds of SynFlow.
pub const ROUNDS: usize = 100;
/// One step down in scale.
const DOWN: f32 = 1.0 / 65_536.0;
/// Steps down before a flow is refused: to 2^-112, near the smallest normal number.
const STEPS: i32 = 7;

/// The share of weights that is gone after round `round` (from 1).
pub(super) fn sparsity_after(round: usize, sparsity: f64) -> f64 {
    1.0 - (1.0 - sparsity).powf(round as f64 / ROUNDS as f64)
}

/// The score of each packed weight; the highest are kept.
///
/// # Errors
/// [`PruneError::Flow`] if the flow does not fit f32.
pub(super) fn scores(network: &Network, isa: Isa) -> Result<Vec<f32>, PruneError> {
    let mut flow = Flow::new(network, isa);
    for input in (0..STEPS).map(|down| DOWN.powi(down)) {
        if !flow.forth(network, input) {
            continue;
        }
        for output in (0..STEPS).map(|down| DOWN.powi(down)) {
            let scores = flow.back(output);
            if scores.iter().all(|score| score.is_finite()) {
                return Ok(scores);
            }
        }
    }
    Err(PruneError::Flow { model: network.description.name.clone() })
}

/// The network with absolute values, and its engine.
struct Flow {
    engine: Engine,
    linear: Network,
    gradient: Vec<f32>,
}

impl Flow {
    fn new(network: &Network, isa: Isa) -> Self {
        let mut linear = network.clone();
        let mut description = (*network.description).clone();
        // Ones behind the normalisation.
        description.mean.fill(0.0);
        description.std.fill(1.0);
        linear.description = Arc::new(description);
        for (buffer, spec) in linear.buffers.iter_mut().zip(network.description.buffers()) {
            buffer.values.fill(if spec.kind == BufferKind::RunningVar { 1.0 } else { 0.0 });
        }
        let engine = Engine::new(&linear, 1, Mode::Frozen, isa);
        Self { engine, gradient: vec![0.0; linear.values.len()], linear }
    }

    /// Forward with what is added times `scale`. Whether all outputs are finite.
    fn forth(&mut self, network: &Network, scale: f32) -> bool {
        for parameter in &network.parameters {
            let added = matches!(parameter.kind, ParamKind::Bias | ParamKind::Shift);
            let factor = if added { scale } else { 1.0 };
            let range = parameter.range.clone();
            for (to, from) in
                self.linear.values[range.clone()].iter_mut().zip(&network.values[range])
            {
                *to = from.abs() * factor;
            }
        }
        self.engine.load(&self.linear, 1, |_, out| out.fill(scale));
        self.engine.forward(&mut self.linear);
        self.engine.logits().iter().all(|logit| logit.is_finite())
    }

    /// Scores, with the gradient of each output `scale`.
    fn back(&mut self, scale: f32) -> Vec<f32> {
        self.gradient.fill(0.0);
        let Self { engine, linear, gradient } = self;
        engine.backward_by(linear, gradient, |_, dlogits| dlogits.fill(scale));
        gradient.iter().zip(&linear.values).map(|(g, w)| g * w).collect()
    }
}
