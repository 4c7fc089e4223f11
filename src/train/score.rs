//! What a network says of samples, without learning from them.

use super::error::TrainError;
use super::run::fits;
use super::stepper::Compute;
use crate::data::Dataset;
use crate::model::{Engine, Network};

/// Samples in a batch of an evaluation.
const BATCH: usize = 128;

/// The softmax probabilities of the samples at `indices`, row-major `[samples, classes]`.
///
/// Evaluation mode: running statistics, no augmentation. Samples do not meet in it, so neither the
/// number of threads nor the piece that `compute` names changes a byte.
///
/// # Errors
/// If the set is empty or does not fit the network, or the device fails.
pub fn score(
    network: &Network,
    data: &Dataset,
    indices: &[usize],
    compute: impl Into<Compute>,
) -> Result<Vec<f32>, TrainError> {
    fits(network, data)?;
    let mut network = network.clone();
    let compute = compute.into();
    let batch = compute.piece(BATCH.min(indices.len()));
    let mut engine = Engine::evaluating(&network, batch, compute.device);
    engine.keep(&network);
    let mut out = Vec::with_capacity(indices.len() * network.description.classes);
    for batch in indices.chunks(batch) {
        engine.load(&network, batch.len(), |i, to| data.read(batch[i], to));
        data.trouble()?;
        engine.answer(&mut network, &mut out);
        engine.trouble()?;
    }
    engine.answered(&mut out);
    engine.trouble()?;
    Ok(out)
}
