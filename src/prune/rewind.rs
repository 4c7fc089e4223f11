//! Early weights under late masks.

use super::PruneError;
use crate::model::Network;
use crate::sparse::Mask;

/// The `early` network under the masks of another: one-shot pruning's rewound start.
///
/// # Errors
/// If `early` is another network, or lacks weights that a mask keeps.
pub fn rewind(early: &Network, masks: Vec<Mask>, model: &str) -> Result<Network, PruneError> {
    let found = early.description.name.clone();
    if found != model || masks.len() != early.parameters.len() {
        return Err(PruneError::OtherNetwork { model: model.to_string(), found });
    }
    for (parameter, mask) in early.parameters.iter().zip(&masks) {
        let tensor = parameter.name.clone();
        if mask.len() != parameter.mask.len() {
            let (expected, found) = (mask.len(), parameter.mask.len());
            return Err(PruneError::OtherShape { tensor, expected, found });
        }
        let (expected, found) = (mask.existing(), shared(mask, &parameter.mask));
        if found < expected {
            return Err(PruneError::RewindSparse { tensor, expected, found });
        }
    }
    let mut network = early.clone();
    network.set_masks(masks);
    Ok(network)
}

/// How many positions exist in both masks of one tensor.
fn shared(one: &Mask, other: &Mask) -> usize {
    match (one.positions(), other.positions()) {
        (_, None) => one.existing(),
        (None, Some(_)) => other.existing(),
        (Some(one), Some(other)) => one.iter().filter(|p| other.binary_search(p).is_ok()).count(),
    }
}
