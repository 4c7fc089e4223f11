//! Runs a plan: forward, loss, backward, over one arena that is allocated once.

use std::ops::Range;

use rayon::prelude::*;

use super::card::{CardBytes, CardEngine};
use super::device::Device;
use super::network::Network;
use super::outline::Outline;
use super::plan::{Mode, Plan};
use super::walk::Walk;
use crate::format::ModelFile;
use crate::sparse::cuda::{CudaError, Precision, SparseBelow, Tier};
use crate::sparse::{Blocked, Isa, LANES, Loss, Saved, Step, cross_entropy, softmax, softmax_of};

/// A plan with its memory.
///
/// What fails on a CUDA device is told by [`Engine::trouble`]: until it is asked, passes after the failure
/// do nothing, and what they give are no numbers.
pub struct Engine {
    plan: Plan,
    runs: Runs,
    samples: usize,
}

/// Where a plan runs.
enum Runs {
    Cpu {
        isa: Isa,
        arena: Arena,
        saved: Vec<Vec<Saved>>,
        scratch: Vec<f32>,
    },
    Card(Box<CardEngine>),
    /// On a device that could not be had.
    Nowhere(CudaError),
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
        let arena = Arena::new(plan.arena);
        Self { plan, runs: Runs::Cpu { isa, arena, saved, scratch: Vec::new() }, samples: 0 }
    }

    /// As [`Engine::of`], on `device`: a plan for a CUDA device is one of [`Plan::for_card`], and
    /// `network` the one that it was made for.
    pub fn on(network: &Network, plan: Plan, device: Device) -> Self {
        match device {
            Device::Cpu(isa) => Self::of(plan, isa),
            Device::Cuda { ordinal, precision, .. } => {
                let how = (precision, device.sparse_below());
                let runs = match CardEngine::new(network, &plan, ordinal, how) {
                    Ok(card) => Runs::Card(Box::new(card)),
                    Err(fault) => Runs::Nowhere(fault),
                };
                Self { plan, runs, samples: 0 }
            }
        }
    }

    /// An engine that only evaluates, on `device`, in batches of up to `batch` samples.
    ///
    /// # Panics
    /// If `batch` is 0.
    pub fn evaluating(network: &Network, batch: usize, device: Device) -> Self {
        Self::whole(network, batch, Mode::Evaluate, device)
    }

    /// An engine of [`Mode::Frozen`] on `device`, in batches of up to `batch` samples.
    ///
    /// # Panics
    /// If `batch` is 0.
    pub fn frozen(network: &Network, batch: usize, device: Device) -> Self {
        Self::whole(network, batch, Mode::Frozen, device)
    }

    fn whole(network: &Network, batch: usize, mode: Mode, device: Device) -> Self {
        let all = vec![true; network.description.nodes.len()];
        let plan = match device {
            Device::Cpu(_) => Plan::new(network, batch, mode),
            Device::Cuda { .. } => Plan::for_card(network, batch, mode, false, &all),
        };
        Self::on(network, plan, device)
    }

    /// An engine that only evaluates, on a CUDA device, which decodes the weights from a file.
    pub(super) fn of_file(
        outline: &Outline,
        batch: usize,
        on: (u32, (Precision, SparseBelow)),
        from: (&ModelFile, Tier),
    ) -> Result<(Self, Tier), CudaError> {
        let network = &outline.network;
        let all = vec![true; network.description.nodes.len()];
        let plan = Plan::for_card(network, batch, Mode::Evaluate, false, &all);
        let (card, tier) = CardEngine::of_file((outline, &plan), on, from)?;
        Ok((Self { plan, runs: Runs::Card(Box::new(card)), samples: 0 }, tier))
    }

    /// Whether all went well so far.
    ///
    /// # Errors
    /// What failed first on the device.
    pub fn trouble(&self) -> Result<(), CudaError> {
        let fault = match &self.runs {
            Runs::Cpu { .. } => None,
            Runs::Card(card) => card.fault(),
            Runs::Nowhere(fault) => Some(fault),
        };
        fault.map_or(Ok(()), |fault| Err(fault.clone()))
    }

    /// Bytes of the memory of `device`, a CUDA device, that `plan` takes.
    ///
    /// # Errors
    /// If no kernel can run it.
    pub fn card_bytes(
        network: &Network,
        plan: &Plan,
        device: Device,
    ) -> Result<CardBytes, CudaError> {
        CardEngine::bytes(network, plan, device.sparse_below())
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
        let arena = match &mut self.runs {
            Runs::Cpu { arena, .. } => arena,
            Runs::Card(card) => return card.load(&self.plan, network, samples, fill),
            Runs::Nowhere(_) => return,
        };
        let [values] = arena.parts([place.of(Blocked::blocks(samples))]);
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
        if let Runs::Card(card) = &mut self.runs {
            return card.forward(&self.plan, network);
        }
        let Some(mut walk) = self.walk() else { return };
        for step in &walk.plan.steps {
            walk.forward(step, network);
        }
    }

    /// Appends the softmax probabilities of the batch, row-major `[samples, classes]`, to `out`.
    pub fn probabilities(&mut self, out: &mut Vec<f32>) {
        let place = &self.plan.tensors[self.plan.logits].activation;
        match &mut self.runs {
            Runs::Cpu { arena, .. } => {
                let [logits] = arena.parts([place.of(Blocked::blocks(self.samples))]);
                softmax(logits, place.geometry, self.samples, out);
            }
            _ => {
                let classes = place.geometry.channels;
                append(Some(self.logits()), classes, out);
            }
        }
    }

    /// Takes the weights and statistics of `network` for those of every forward pass from now on: a CUDA
    /// device is given them once. Who changes them says so by another call. On the processor, nothing.
    pub fn keep(&mut self, network: &Network) {
        if let Runs::Card(card) = &mut self.runs {
            card.keep(network);
        }
    }

    /// Runs the loaded batch forward, and appends its softmax probabilities to `out`; on a CUDA device those
    /// of the batch before, so that the next may be laid out meanwhile: [`Engine::answered`] gives the last.
    pub fn answer(&mut self, network: &mut Network, out: &mut Vec<f32>) {
        self.forward(network);
        match &mut self.runs {
            Runs::Card(card) => {
                let logits = card.answers(&self.plan);
                append(logits, network.description.classes, out);
            }
            _ => self.probabilities(out),
        }
    }

    /// Appends what [`Engine::answer`] owes.
    pub fn answered(&mut self, out: &mut Vec<f32>) {
        let classes = self.plan.tensors[self.plan.logits].activation.geometry.channels;
        if let Runs::Card(card) = &mut self.runs {
            append(card.answered(), classes, out);
        }
    }

    /// The logits of the batch, row-major `[samples, classes]`.
    pub fn logits(&mut self) -> Vec<f32> {
        let place = &self.plan.tensors[self.plan.logits].activation;
        let geometry = place.geometry;
        let arena = match &mut self.runs {
            Runs::Cpu { arena, .. } => arena,
            Runs::Card(card) => return card.logits(&self.plan),
            Runs::Nowhere(_) => return vec![f32::NAN; self.samples * geometry.channels],
        };
        let [logits] = arena.parts([place.of(Blocked::blocks(self.samples))]);
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
        match &mut self.runs {
            Runs::Cpu { .. } => {}
            Runs::Card(card) => return card.backward(&self.plan, network, labels, of, gradient),
            Runs::Nowhere(_) => {
                gradient.fill(f32::NAN);
                return Loss { sum: f64::NAN, correct: 0 };
            }
        }
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
        match &mut self.runs {
            Runs::Cpu { .. } => {}
            Runs::Card(card) => {
                card.backward_by(&self.plan, network, &derivative, gradient);
                return told;
            }
            Runs::Nowhere(_) => {
                gradient.fill(f32::NAN);
                return told;
            }
        }
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

    /// Whether weights, statistics, momenta and gradients lie on a CUDA device
    /// ([`Engine::settle`]).
    pub fn settled(&self) -> bool {
        matches!(&self.runs, Runs::Card(card) if card.settled())
    }

    /// On a CUDA device: takes weights, statistics and momenta over, so that steps copy none of them.
    /// Until [`Engine::fetch`], those of `network` and `momentum` are old, gradients stay on the device
    /// ([`Engine::clear`], [`Engine::update`]), and what is given for them is not read or written. `base` holds what an l1 term
    /// pulls to. On the processor, nothing.
    pub fn settle(&mut self, network: &Network, momentum: &[f32], base: Option<&[f32]>) {
        if let Runs::Card(card) = &mut self.runs {
            card.settle(network, momentum, base);
        }
    }

    /// Zeroes the gradient on the device, where it has settled.
    pub fn clear(&mut self) {
        if let Runs::Card(card) = &mut self.runs {
            card.clear();
        }
    }

    /// The loaded batch forward and back on the device, where it has settled: adds `weight` times the
    /// gradient of the mean over `of` samples, of which the loaded ones are a part. It takes its turn on the
    /// device and is not waited for; [`Engine::loss`] tells the loss. Tickets rise, and parts of a batch
    /// that are to be added up have one. Elsewhere, nothing.
    ///
    /// # Panics
    /// If the engine only evaluates, or there is not one label a sample, below the number of classes.
    pub fn learn(
        &mut self,
        network: &Network,
        labels: &[u32],
        (of, weight): (usize, f32),
        ticket: u64,
    ) {
        assert_eq!(labels.len(), self.samples, "one label a sample");
        assert!(self.plan.mode != Mode::Evaluate, "an engine that only evaluates learns nothing");
        if let Runs::Card(card) = &mut self.runs {
            card.learn(&self.plan, network, labels, (of, weight), ticket);
        }
    }

    /// Waits for the loss that [`Engine::learn`] was asked for: of the last 64 tickets, and of none before
    /// one that was told. No number of any other, or after a failure.
    pub fn loss(&mut self, network: &Network, ticket: u64) -> Loss {
        match &mut self.runs {
            Runs::Card(card) => card.loss(&self.plan, network, ticket),
            _ => Loss { sum: f64::NAN, correct: 0 },
        }
    }

    /// A step along the gradient on the device, where it has settled: of the weights in each range, under
    /// one rate and strength; the flag says whether those at the centre are counted. Of
    /// [`crate::sparse::L1::TowardsBase`] only the strength is read. It is not waited for.
    pub fn update(&mut self, network: &Network, stretches: &[(Range<usize>, Step<'_>, bool)]) {
        if let Runs::Card(card) = &mut self.runs {
            card.update(&self.plan, network, stretches);
        }
    }

    /// How many of the weights that are counted are at the centre after the last [`Engine::update`].
    pub fn at_centre(&mut self) -> usize {
        match &mut self.runs {
            Runs::Card(card) => card.at_centre(),
            _ => 0,
        }
    }

    /// Gives weights, statistics and momenta back that [`Engine::settle`] took.
    pub fn fetch(&mut self, network: &mut Network, momentum: &mut [f32]) {
        if let Runs::Card(card) = &mut self.runs {
            card.fetch(&self.plan, network, momentum);
        }
    }

    /// The batch's logits and their gradient.
    fn ends(&mut self) -> [(&mut [f32], Blocked); 2] {
        let tensor = &self.plan.tensors[self.plan.logits];
        let Some(place) = &tensor.gradient else {
            unreachable!("an evaluating engine has no gradients")
        };
        let blocks = Blocked::blocks(self.samples);
        let ranges = [tensor.activation.of(blocks), place.of(blocks)];
        let Runs::Cpu { arena, .. } = &mut self.runs else {
            unreachable!("a device has its own ends")
        };
        let [logits, dlogits] = arena.parts(ranges);
        [(logits, tensor.activation.geometry), (dlogits, place.geometry)]
    }

    /// All steps backward, from the gradient of the logits on.
    fn descend(&mut self, network: &Network, gradient: &mut [f32]) {
        let learns = network.values.len() - self.plan.before;
        assert_eq!(gradient.len(), learns, "one gradient a weight");
        let Some(mut walk) = self.walk() else { return };
        for step in walk.plan.steps.iter().rev() {
            walk.backward(step, network, gradient);
        }
    }

    /// What the steps work on, on the processor.
    fn walk(&mut self) -> Option<Walk<'_>> {
        let Self { plan, runs, samples } = self;
        match runs {
            Runs::Cpu { isa, arena, saved, scratch } => {
                Some(Walk { plan, isa: *isa, arena, saved, scratch, samples: *samples })
            }
            _ => None,
        }
    }
}

/// Appends the softmax probabilities of rows of logits.
fn append(logits: Option<Vec<f32>>, classes: usize, out: &mut Vec<f32>) {
    for row in logits.unwrap_or_default().chunks_exact(classes) {
        softmax_of(classes, |class| row[class], out);
    }
}
