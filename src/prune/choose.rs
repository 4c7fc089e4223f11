//! From scores to masks.

use super::PruneError;
use super::allocate::{Allocation, Budget, Pattern};
use super::criterion::Criterion;
use super::slope::Samples;
use super::{grasp, slope, snip, structured, synflow};
use crate::base::rng::Stream;
use crate::model::Network;
use crate::sparse::{Isa, Mask};

/// A choice of the weights that exist.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// Share of the prunable weights that goes.
    pub sparsity: f64,
    /// How those that stay are shared out over tensors.
    pub allocation: Allocation,
    /// What makes a weight worth keeping.
    pub criterion: Criterion,
    /// Seed of [`Criterion::Random`].
    pub seed: u64,
    /// What [`Criterion::Snip`] and [`Criterion::Grasp`] are asked of.
    pub samples: Option<Samples<'a>>,
    /// Instruction set of the scores that the network computes.
    pub isa: Isa,
}

/// The masks that leave a share `1 - sparsity` of the prunable weights of `network`, by a criterion that
/// needs no samples.
///
/// # Errors
/// As [`Choice::masks`].
pub fn masks(
    network: &Network,
    sparsity: f64,
    allocation: Allocation,
    criterion: Criterion,
    seed: u64,
) -> Result<Vec<Mask>, PruneError> {
    let isa = Isa::best();
    Choice { sparsity, allocation, criterion, seed, samples: None, isa }.masks(network)
}

impl Choice<'_> {
    /// The masks of this choice for `network`.
    ///
    /// The weights with the highest scores stay; of equal ones the earlier, in the network's order.
    /// Weights that do not exist yet stay out, so pruning a sparse model prunes further. Sparsity counts
    /// all prunable weights, existing or not. Deterministic, for any number of threads.
    ///
    /// # Errors
    /// As [`Budget::new`]; if samples are missing that the criterion needs; if criterion and allocation
    /// do not go together; and if a score is no number or a flow too large.
    pub fn masks(&self, network: &Network) -> Result<Vec<Mask>, PruneError> {
        let budget = Budget::new(network, self.sparsity, self.allocation)?;
        let rounds = self.criterion == Criterion::SynFlow;
        if let Allocation::Pattern(pattern) = self.allocation
            && (rounds || self.criterion.structured())
        {
            return Err(PruneError::Together { pattern, criterion: self.criterion.name() });
        }
        if self.criterion.structured() {
            return Ok(structured::masks(network, &budget, self.criterion));
        }
        if !rounds {
            return Ok(kept(network, &self.scores(network)?, &budget, self.allocation));
        }
        let mut network = network.clone();
        for round in 1..=synflow::ROUNDS {
            let sparsity = synflow::sparsity_after(round, self.sparsity);
            let budget = Budget::new(&network, sparsity, self.allocation)?;
            let scores = self.scores(&network)?;
            let masks = kept(&network, &scores, &budget, self.allocation);
            network.set_masks(masks);
        }
        Ok(network.masks())
    }

    /// The score of each packed weight of `network`; the highest stay. Of [`Criterion::SynFlow`] those of
    /// one round; of whole filters and channels the sizes that their norms are made of.
    ///
    /// # Errors
    /// As [`Choice::masks`].
    pub fn scores(&self, network: &Network) -> Result<Vec<f32>, PruneError> {
        let criterion = self.criterion.name();
        let samples = || {
            self.samples
                .filter(|samples| !samples.labels.is_empty())
                .ok_or(PruneError::NoSamples { criterion })
        };
        let scores = match self.criterion {
            Criterion::Magnitude | Criterion::FilterL1 | Criterion::ChannelL1 => {
                network.values.iter().map(|value| value.abs()).collect()
            }
            Criterion::Random => {
                let mut stream = Stream::new(self.seed, "prune/random");
                network.values.iter().map(|_| stream.unit() as f32).collect()
            }
            Criterion::Snip => snip::scores(network, samples()?, self.isa),
            Criterion::Grasp => grasp::scores(network, samples()?, self.isa),
            Criterion::SynFlow => synflow::scores(network, self.isa)?,
        };
        match scores.iter().all(|score| score.is_finite()) {
            true => Ok(scores),
            false => Err(PruneError::NotFinite { criterion }),
        }
    }

    /// Bytes that choosing takes besides the network, with `samples` samples to ask.
    pub fn bytes(&self, network: &Network, samples: usize) -> u64 {
        // A score and an index of eight bytes for each weight, sorted beside a copy.
        let sorting = 20 * network.values.len() as u64;
        let scoring = match self.criterion {
            Criterion::Snip | Criterion::Grasp => slope::bytes(network, samples),
            Criterion::SynFlow => slope::bytes(network, 1),
            _ => 0,
        };
        sorting + scoring
    }
}

/// The masks that keep the highest `scores` within `budget`.
fn kept(network: &Network, scores: &[f32], budget: &Budget, allocation: Allocation) -> Vec<Mask> {
    if let Allocation::Pattern(pattern) = allocation {
        return patterned(network, scores, pattern);
    }
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
    masks
}

/// The masks that keep the highest `scores` of each group of a pattern.
fn patterned(network: &Network, scores: &[f32], pattern: Pattern) -> Vec<Mask> {
    let one = |parameter: &crate::model::Parameter| {
        if !pattern.fits(parameter) {
            return parameter.mask.clone();
        }
        let mut groups = vec![Vec::new(); parameter.mask.len() / pattern.m()];
        for (entry, position) in parameter.mask.iter().enumerate() {
            groups[pattern.group(&parameter.shape, position)].push(entry);
        }
        let own = &scores[parameter.range.clone()];
        let mut kept: Vec<usize> = Vec::with_capacity(groups.len() * pattern.n());
        for mut group in groups {
            group.sort_by(|&a, &b| own[b].total_cmp(&own[a]).then(a.cmp(&b)));
            kept.extend(group.into_iter().take(pattern.n()));
        }
        kept.sort_unstable();
        parameter.mask.narrow(&kept)
    };
    network.parameters.iter().map(one).collect()
}
/// The share of weights that is gone after round `round` of `rounds`, from 1 on, where `before` of them were gone at
/// the start and `sparsity` are at the end: the same share of what is left goes in each round (iterative
/// magnitude pruning, Frankle and Carbin, ICLR 2019).
pub fn gone_after(round: usize, rounds: usize, before: f64, sparsity: f64) -> f64 {
    if round == rounds {
        return sparsity;
    }
    let left = (1.0 - sparsity) / (1.0 - before);
    1.0 - (1.0 - before) * left.powf(round as f64 / rounds as f64)
}
