//! Runs a plan: forward, loss, backward, over one arena that is allocated once.

use std::ops::Range;

use rayon::prelude::*;

use super::network::Network;
use super::plan::{Mode, Plan};
use super::walk::Walk;
use crate::sparse::{Blocked, Isa, LANES, Loss, Saved, cross_entropy, softmax};

/// A plan with its memory.
pub struct Engine {
    plan: Plan,
    isa: Isa,
    arena: Arena,
    saved: Vec<Vec<Saved>>,
    scratch: Vec<f32>,
    samples: usize,
}

/// Values that begin on a cache line, so that no vector of sixteen straddles two.
pub(super) struct Arena {
    values: Vec<f32>,
    start: usize,
}

impl Arena {
    fn new(len: usize) -> Self {
        let values = vec![0.0; len + LANES];
        let start = values.as_ptr().align_offset(LANES * size_of::<f32>()).min(LANES);
        Self { values, start }
    }

    /// Several parts at once.
    ///
    /// # Panics
    /// If parts overlap: the plan never gives overlapping places to tensors alive together.
    pub(super) fn parts<const N: usize>(&mut self, ranges: [Range<usize>; N]) -> [&mut [f32]; N] {
        let ranges = ranges.map(|range| range.start + self.start..range.end + self.start);
        match self.values.get_disjoint_mut(ranges) {
            Ok(parts) => parts,
            Err(fault) => unreachable!("the plan gave one place to two tensors: {fault}"),
        }
    }
}

impl Engine {
    /// An engine for `network` in batches of up to `batch` samples.
    ///
    /// The plan holds the masks of now: after a mask changes, a new engine is needed.
    ///
    /// # Panics
    /// If `batch` is 0.
    pub fn new(network: &Network, batch: usize, mode: Mode, isa: Isa) -> Self {
        Self::of(Plan::new(network, batch, mode), isa)
    }

    /// An engine for a plan. It may run the network that the plan was made for, and those with the
    /// same description and masks.
    pub fn of(plan: Plan, isa: Isa) -> Self {
        let saved = plan.slots.iter().map(|&channels| vec![Saved::default(); channels]).collect();
        Self { arena: Arena::new(plan.arena), plan, isa, saved, scratch: Vec::new(), samples: 0 }
    }

    /// The plan that this engine runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Takes in a batch: `fill(i, out)` writes sample `i` as `[C, H, W]` before normalisation.
    ///
    /// # Panics
    /// If `samples` is 0 or more than the plan's batch.
    pub fn load(
        &mut self,
        network: &Network,
        samples: usize,
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        assert!((1..=self.plan.batch).contains(&samples), "a batch of {samples} samples");
        self.samples = samples;
        let description = &network.description;
        let place = &self.plan.tensors[0].activation;
        let geometry = place.geometry;
        let [values] = self.arena.parts([place.of(Blocked::blocks(samples))]);
        if place.shared {
            geometry.clear_halo(values);
        }
        let area = geometry.height * geometry.width;
        values.par_chunks_exact_mut(geometry.block()).enumerate().for_each(|(block, values)| {
            let mut sample = vec![0.0; geometry.channels * area];
            for lane in 0..LANES {
                if lane < Blocked::lanes_in(block, samples) {
                    fill(block * LANES + lane, &mut sample);
                } else {
                    // Past the last sample: the mean, so that nothing there grows large.
                    for (channel, mean) in sample.chunks_exact_mut(area).zip(&description.mean) {
                        channel.fill(*mean);
                    }
                }
                for (channel, from) in sample.chunks_exact(area).enumerate() {
                    let (mean, scale) = (description.mean[channel], 1.0 / description.std[channel]);
                    for (y, row) in from.chunks_exact(geometry.width).enumerate() {
                        let start = geometry.at(channel, y, 0) + lane;
                        for (x, value) in row.iter().enumerate() {
                            values[start + x * LANES] = (value - mean) * scale;
                        }
                    }
                }
            }
        });
    }

    /// Runs the loaded batch forward. In [`Mode::Train`], moves the running statistics of batch norms
    /// that learn.
    pub fn forward(&mut self, network: &mut Network) {
        let mut walk = self.walk();
        for step in &walk.plan.steps {
            walk.forward(step, network);
        }
    }

    /// Appends the softmax probabilities of the batch, row-major `[samples, classes]`, to `out`.
    pub fn probabilities(&mut self, out: &mut Vec<f32>) {
        let place = &self.plan.tensors[self.plan.logits].activation;
        let [logits] = self.arena.parts([place.of(Blocked::blocks(self.samples))]);
        softmax(logits, place.geometry, self.samples, out);
    }

    /// The logits of the batch, row-major `[samples, classes]`.
    pub fn logits(&mut self) -> Vec<f32> {
        let place = &self.plan.tensors[self.plan.logits].activation;
        let geometry = place.geometry;
        let [logits] = self.arena.parts([place.of(Blocked::blocks(self.samples))]);
        let at = |i: usize| {
            let (sample, class) = (i / geometry.channels, i % geometry.channels);
            sample / LANES * geometry.block() + geometry.at(class, 0, 0) + sample % LANES
        };
        (0..self.samples * geometry.channels).map(|i| logits[at(i)]).collect()
    }

    /// The loss of the loaded batch, after [`Engine::forward`]; adds the gradient of its mean to
    /// `gradient`, one entry for each packed weight of the network from the first that learns on
    /// ([`Plan::untrained`]). Entries of parameters that do not learn mean nothing.
    ///
    /// # Panics
    /// If the engine only evaluates, or slices do not fit.
    pub fn backward(&mut self, network: &Network, labels: &[u32], gradient: &mut [f32]) -> Loss {
        self.backward_of(network, labels, labels.len(), gradient)
    }

    /// As [`Engine::backward`], but the mean is over `of` samples, of which the loaded ones are a
    /// part: the gradients of all parts add up to that of the whole.
    ///
    /// # Panics
    /// As [`Engine::backward`].
    pub fn backward_of(
        &mut self,
        network: &Network,
        labels: &[u32],
        of: usize,
        gradient: &mut [f32],
    ) -> Loss {
        assert_eq!(labels.len(), self.samples, "one label a sample");
        let [(logits, places), (dlogits, dplaces)] = self.ends();
        let loss = cross_entropy((&*logits, places), labels, (&mut *dlogits, dplaces));
        if of != labels.len() {
            let share = labels.len() as f32 / of as f32;
            dlogits.iter_mut().for_each(|value| *value *= share);
        }
        self.descend(network, gradient);
        loss
    }

    /// The gradient of any function of the loaded batch's logits, after [`Engine::forward`], added to
    /// `gradient` as [`Engine::backward`] does. `objective(logits, dlogits)` is given the logits and
    /// writes the function's derivative by each of them, both row-major `[samples, classes]`. As
    /// after [`Engine::backward`], the batch must be loaded and taken forward anew before it is gone back
    /// through again: gradients lie where activations lay.
    ///
    /// # Panics
    /// If the engine only evaluates, or `gradient` does not fit.
    pub fn backward_by<T>(
        &mut self,
        network: &Network,
        gradient: &mut [f32],
        objective: impl FnOnce(&[f32], &mut [f32]) -> T,
    ) -> T {
        let logits = self.logits();
        let mut derivative = vec![0.0; logits.len()];
        let told = objective(&logits, &mut derivative);
        let [_, (dlogits, places)] = self.ends();
        dlogits.fill(0.0);
        for (sample, row) in derivative.chunks_exact(places.channels).enumerate() {
            let block = sample / LANES * places.block() + sample % LANES;
            for (class, &value) in row.iter().enumerate() {
                dlogits[block + places.at(class, 0, 0)] = value;
            }
        }
        self.descend(network, gradient);
        told
    }

    /// The batch's logits and their gradient.
    fn ends(&mut self) -> [(&mut [f32], Blocked); 2] {
        let tensor = &self.plan.tensors[self.plan.logits];
        let Some(place) = &tensor.gradient else {
            unreachable!("an evaluating engine has no gradients")
        };
        let blocks = Blocked::blocks(self.samples);
        let ranges = [tensor.activation.of(blocks), place.of(blocks)];
        let [logits, dlogits] = self.arena.parts(ranges);
        [(logits, tensor.activation.geometry), (dlogits, place.geometry)]
    }

    /// All steps backward, from the gradient of the logits on.
    fn descend(&mut self, network: &Network, gradient: &mut [f32]) {
        let learns = network.values.len() - self.plan.before;
        assert_eq!(gradient.len(), learns, "one gradient a weight");
        let mut walk = self.walk();
        for step in walk.plan.steps.iter().rev() {
            walk.backward(step, network, gradient);
        }
    }

    /// What the steps work on.
    fn walk(&mut self) -> Walk<'_> {
        let Self { plan, isa, arena, saved, scratch, samples } = self;
        Walk { plan, isa: *isa, arena, saved, scratch, samples: *samples }
    }
}
