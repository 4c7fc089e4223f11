//! Whole filters and whole input channels.
//!
//! The score of a filter or channel is the sum of `|w|` over its weights; across tensors of different size
//! means are compared. What is counted are weights: a tensor keeps the number of whole filters nearest to
//! its share, at least one, because a layer without any would end the network. Sparsity is, as everywhere,
//! the share of prunable weights that do not exist.
//!
//! Biases and batch norms of a filter that is gone stay: its plane holds a constant.
//!
//! # Source
//! Li et al., *Pruning Filters for Efficient ConvNets*, ICLR 2017, for filters; the channels are those of
//! PyTorch's `ln_structured` along dimension 1, as in Unlearn-Sparse.

use super::allocate::Budget;
use super::criterion::Criterion;
use crate::model::{Network, Parameter};
use crate::sparse::Mask;

/// One filter or channel of which something exists.
struct Unit {
    /// Index of its parameter.
    parameter: usize,
    /// Its weights, as indices into the existing ones of the parameter.
    entries: Vec<usize>,
    /// Mean of `|w|`, of weights that are gone too.
    score: f64,
}

/// The masks with whole filters or channels that come nearest to `budget`.
pub(super) fn masks(network: &Network, budget: &Budget, criterion: Criterion) -> Vec<Mask> {
    let mut kept = vec![Vec::new(); network.parameters.len()];
    let mut fill = budget.total;
    let mut spare = Vec::new();
    for (index, parameter) in network.parameters.iter().enumerate().filter(|(_, p)| p.prunable) {
        let mut units = units(network, index, criterion);
        let (all, size) = (units.len(), parameter.mask.len() / sides(parameter, criterion));
        units.sort_by(|a, b| b.score.total_cmp(&a.score));
        let least = match budget.each[index] {
            Some(each) => ((each as f64 / size as f64).round() as usize).max(1),
            // Where all tensors compete, one of each is safe.
            None => 1,
        };
        let rest = units.split_off(least.min(all));
        for unit in units {
            fill = fill.saturating_sub(unit.entries.len());
            kept[index].extend(unit.entries);
        }
        if budget.each[index].is_none() {
            spare.extend(rest);
        }
    }
    // Stable: of equal ones the earlier.
    spare.sort_by(|a: &Unit, b: &Unit| b.score.total_cmp(&a.score));
    for unit in spare {
        match fill.checked_sub(unit.entries.len()) {
            Some(left) => fill = left,
            None => break,
        }
        kept[unit.parameter].extend(unit.entries);
    }
    let parameters = network.parameters.iter().zip(kept);
    parameters
        .map(|(parameter, mut kept)| {
            kept.sort_unstable();
            if parameter.prunable { parameter.mask.narrow(&kept) } else { parameter.mask.clone() }
        })
        .collect()
}

/// How many filters or channels a tensor has.
fn sides(parameter: &Parameter, criterion: Criterion) -> usize {
    let dimension = if criterion == Criterion::FilterL1 { 0 } else { 1 };
    parameter.shape.get(dimension).copied().unwrap_or(1).max(1)
}

fn units(network: &Network, index: usize, criterion: Criterion) -> Vec<Unit> {
    let parameter = &network.parameters[index];
    let sides = sides(parameter, criterion);
    let inner: usize = parameter.shape.iter().skip(2).product();
    let mut units: Vec<Unit> =
        (0..sides).map(|_| Unit { parameter: index, entries: Vec::new(), score: 0.0 }).collect();
    let size = (parameter.mask.len() / sides).max(1) as f64;
    let values = network.packed(index).iter().zip(parameter.mask.iter());
    for (entry, (value, position)) in values.enumerate() {
        let side = match criterion {
            Criterion::FilterL1 => position / (parameter.mask.len() / sides),
            _ => position / inner % sides,
        };
        units[side].entries.push(entry);
        units[side].score += f64::from(value.abs()) / size;
    }
    units.retain(|unit| !unit.entries.is_empty());
    units
}
