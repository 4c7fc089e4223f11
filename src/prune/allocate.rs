//! How many weights each tensor keeps.

use super::PruneError;
use crate::model::{Network, Parameter};
use serde::{Deserialize, Serialize};

/// How the weights that stay are shared out over tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allocation {
    /// The highest scores of all tensors together stay. Keeps early layers dense.
    Global,
    /// Each tensor keeps the same share.
    Uniform,
    /// Each tensor keeps a share in proportion to (sum of dimensions) / (product of dimensions),
    /// at most all of it: the Erdős-Rényi kernel rule.
    Erk,
}

impl Allocation {
    /// Its name in commands and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Uniform => "uniform",
            Self::Erk => "erk",
        }
    }
}

/// How many weights each parameter keeps: `None` where the scores of all decide, or nothing is
/// removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Weights that stay, over all prunable tensors.
    pub total: usize,
    /// Weights that stay in each parameter, in the network's order.
    pub each: Vec<Option<usize>>,
}

impl Budget {
    /// The budget that leaves a share `1 - sparsity` of the prunable weights.
    ///
    /// Shares are rounded to whole weights; under [`Allocation::Uniform`] and [`Allocation::Erk`],
    /// tensor by tensor.
    ///
    /// # Errors
    /// If `sparsity` is not in `[0, 1)`, or nothing is prunable.
    pub fn new(
        network: &Network,
        sparsity: f64,
        allocation: Allocation,
    ) -> Result<Self, PruneError> {
        if !(0.0..1.0).contains(&sparsity) {
            return Err(PruneError::Sparsity { found: sparsity });
        }
        let sizes: Vec<(usize, f64)> =
            network.parameters.iter().map(|p| (p.mask.len(), erk_weight(p))).collect();
        let prunable: Vec<bool> = network.parameters.iter().map(|p| p.prunable).collect();
        let all: usize = (0..sizes.len()).filter(|&i| prunable[i]).map(|i| sizes[i].0).sum();
        if all == 0 {
            return Err(PruneError::NothingPrunable { model: network.description.name.clone() });
        }
        let total = ((1.0 - sparsity) * all as f64).round() as usize;
        let density = match allocation {
            Allocation::Global => return Ok(Self { total, each: vec![None; sizes.len()] }),
            Allocation::Uniform => vec![1.0 - sparsity; sizes.len()],
            Allocation::Erk => erk(&sizes, &prunable, total as f64),
        };
        let keep = |i: usize| ((density[i] * sizes[i].0 as f64).round() as usize).min(sizes[i].0);
        let each: Vec<_> = (0..sizes.len()).map(|i| prunable[i].then(|| keep(i))).collect();
        Ok(Self { total: each.iter().flatten().sum(), each })
    }
}

/// The sum of a tensor's dimensions over their product.
fn erk_weight(parameter: &Parameter) -> f64 {
    let product: usize = parameter.shape.iter().product();
    parameter.shape.iter().sum::<usize>() as f64 / product.max(1) as f64
}

/// Densities `min(1, scale * weight)` that keep `total` weights. Tensors that would exceed 1 stay
/// dense, and the scale is found anew for the others.
fn erk(sizes: &[(usize, f64)], prunable: &[bool], total: f64) -> Vec<f64> {
    let mut dense = vec![false; sizes.len()];
    loop {
        let free: Vec<usize> = (0..sizes.len()).filter(|&i| prunable[i] && !dense[i]).collect();
        let taken: f64 = (0..sizes.len()).filter(|&i| dense[i]).map(|i| sizes[i].0 as f64).sum();
        let weight: f64 = free.iter().map(|&i| sizes[i].0 as f64 * sizes[i].1).sum();
        let scale = if weight > 0.0 { ((total - taken) / weight).max(0.0) } else { 0.0 };
        let full: Vec<usize> = free.into_iter().filter(|&i| scale * sizes[i].1 > 1.0).collect();
        if full.is_empty() {
            return (0..sizes.len())
                .map(|i| if dense[i] { 1.0 } else { scale * sizes[i].1 })
                .collect();
        }
        full.into_iter().for_each(|i| dense[i] = true);
    }
}
