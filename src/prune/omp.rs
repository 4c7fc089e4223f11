//! One-shot pruning: a mask from scores, and weights from an early epoch under it.

use super::PruneError;
use super::allocate::{Allocation, Budget};
use crate::base::rng::Stream;
use crate::model::Network;
use crate::sparse::Mask;
use serde::{Deserialize, Serialize};

/// What makes a weight worth keeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// Its size: one-shot magnitude pruning, OMP.
    Magnitude,
    /// A draw of the stream `prune/random`.
    Random,
}

impl Criterion {
    /// Its name in commands and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Magnitude => "magnitude",
            Self::Random => "random",
        }
    }
}

/// The masks that leave a share `1 - sparsity` of the prunable weights of `network`.
///
/// The weights with the highest scores stay; of equal ones the earlier, in the network's order.
/// Weights that do not exist yet stay out, so pruning a sparse model prunes further. Sparsity counts
/// all prunable weights, existing or not.
///
/// # Errors
/// As [`Budget::new`].
pub fn masks(
    network: &Network,
    sparsity: f64,
    allocation: Allocation,
    criterion: Criterion,
    seed: u64,
) -> Result<Vec<Mask>, PruneError> {
    let budget = Budget::new(network, sparsity, allocation)?;
    let mut stream = Stream::new(seed, "prune/random");
    let scores: Vec<f32> = match criterion {
        Criterion::Magnitude => network.values.iter().map(|value| value.abs()).collect(),
        Criterion::Random => network.values.iter().map(|_| stream.unit() as f32).collect(),
    };
    let prunable = |i: &usize| network.parameters[*i].prunable;
    let groups: Vec<(Vec<usize>, usize)> = if allocation == Allocation::Global {
        vec![((0..network.parameters.len()).filter(prunable).collect(), budget.total)]
    } else {
        let each = budget.each.iter().enumerate();
        each.filter_map(|(i, keep)| keep.map(|keep| (vec![i], keep))).collect()
    };
    let mut masks = network.masks();
    for (parameters, keep) in groups {
        let mut entries: Vec<usize> =
            parameters.iter().flat_map(|&i| network.parameters[i].range.clone()).collect();
        entries.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        entries.truncate(keep);
        entries.sort_unstable();
        for &i in &parameters {
            let range = network.parameters[i].range.clone();
            let own = entries.partition_point(|&e| e < range.start)
                ..entries.partition_point(|&e| e < range.end);
            let kept: Vec<usize> = entries[own].iter().map(|entry| entry - range.start).collect();
            masks[i] = network.parameters[i].mask.narrow(&kept);
        }
    }
    Ok(masks)
}

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
