//! A plan on a CUDA device: what an engine uploads, launches and fetches.
//!
//! Weights, statistics and gradients live with the caller, and go to the device and back with each pass;
//! or they stay on the device from [`CardEngine::settle`] to [`CardEngine::fetch`], and nothing but samples,
//! labels and losses is copied. Launches of a pass are recorded when it is run for the second time, and
//! replayed from then on. After a failure nothing is launched any more, and what is asked for is no number:
//! [`super::Engine::trouble`] says why.

mod memory;
mod tokens;
mod walk;

use rayon::prelude::*;

pub use self::memory::CardBytes;
use self::memory::{Places, layers, sparse};
use self::walk::Walk;
use super::network::Network;
use super::plan::{Mode, Place, Plan, Work};
use crate::sparse::cuda::{
    self, Address, CudaError, Layer, LossAt, Machine, MaskAt, MaskBits, Precision, Recording,
    Shared, SparseBelow, SparseLayer, Stepped, Tensor,
};
use crate::sparse::{L1, Loss, Step};

/// A pass that may be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Forward { samples: usize },
    Backward { samples: usize, of: usize },
    Descend { samples: usize },
}

/// Passes that are remembered at once: those of whole batches, of the last of an epoch, and of pieces.
const RECORDINGS: usize = 12;

/// A plan's memory on a device.
pub(super) struct CardEngine {
    machine: Shared,
    precision: Precision,
    places: Places,
    /// The piece of memory that all places lie in, and those that came later.
    memory: Vec<Address>,
    layers: Vec<Option<Layer>>,
    sparse: Vec<Option<SparseLayer>>,
    /// Passes that ran, with what was recorded of them.
    passes: Vec<(Pass, Option<Recording>)>,
    staging: Vec<f32>,
    bytes: Bytes,
    samples: usize,
    weights: usize,
    settled: bool,
    fault: Option<CudaError>,
}

/// Bytes on their way to or from the device, which every copy uses again.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    /// Copies numbers to the device.
    fn give<const N: usize, T: Copy>(
        &mut self,
        machine: &mut dyn Machine,
        to: Address,
        values: &[T],
        bytes: impl Fn(T) -> [u8; N],
    ) -> Result<(), CudaError> {
        self.0.resize(N * values.len(), 0);
        for (to, &value) in self.0.as_chunks_mut::<N>().0.iter_mut().zip(values) {
            *to = bytes(value);
        }
        machine.upload(to, &self.0)
    }

    /// The bytes on the device from `from` on.
    fn take(
        &mut self,
        machine: &mut dyn Machine,
        from: Address,
        bytes: usize,
    ) -> Result<&[u8], CudaError> {
        self.0.resize(bytes, 0);
        machine.download(from, &mut self.0)?;
        Ok(&self.0)
    }

    /// Copies `f32`s from the device.
    fn reals(
        &mut self,
        machine: &mut dyn Machine,
        from: Address,
        to: &mut [f32],
    ) -> Result<(), CudaError> {
        let bytes = self.take(machine, from, 4 * to.len())?;
        to.iter_mut().zip(reals(bytes)).for_each(|(to, value)| *to = value);
        Ok(())
    }
}

fn reals(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
}

impl CardEngine {
    /// The memory that `plan` takes on a device.
    ///
    /// # Errors
    /// If the plan has a size that no kernel can count.
    pub fn bytes(
        network: &Network,
        plan: &Plan,
        below: SparseBelow,
    ) -> Result<CardBytes, CudaError> {
        let layers = layers(network, plan)?;
        let sparse = sparse(plan, &layers, below);
        Ok(Places::of(network, plan, plan.mode, (&layers, &sparse)).bytes)
    }

    /// Takes the memory, and uploads masks.
    pub fn new(
        network: &Network,
        plan: &Plan,
        ordinal: u32,
        (precision, below): (Precision, SparseBelow),
    ) -> Result<Self, CudaError> {
        let machine = cuda::opened(ordinal)?;
        let mut layers = layers(network, plan)?;
        let mut sparse = sparse(plan, &layers, below);
        let places = Places::of(network, plan, plan.mode, (&layers, &sparse));
        let mut held = lock(&machine);
        precision.fits(held.facts())?;
        let first = held.allocate(places.bytes.total())?;
        let places = places.from(first);
        let mut engine = Self {
            machine: machine.clone(),
            precision,
            memory: vec![first],
            layers: Vec::new(),
            sparse: Vec::new(),
            passes: Vec::new(),
            staging: Vec::new(),
            bytes: Bytes::default(),
            samples: 0,
            weights: network.values.len(),
            settled: false,
            fault: None,
            places,
        };
        let uploaded =
            engine.upload_masks(&mut **held, network, plan, &mut layers).and_then(|at| {
                engine.upload_lists(&mut **held, network, (plan, at), (&layers, &mut sparse))
            });
        drop(held);
        uploaded?;
        (engine.layers, engine.sparse) = (layers, sparse);
        Ok(engine)
    }

    fn upload_masks(
        &mut self,
        machine: &mut dyn Machine,
        network: &Network,
        plan: &Plan,
        layers: &mut [Option<Layer>],
    ) -> Result<Address, CudaError> {
        let mut at = self.places.masks;
        for (layer, step) in layers.iter_mut().zip(&plan.steps) {
            let (Some(layer), Work::Conv { weight, .. }) = (layer, &step.work) else { continue };
            let mask = MaskBits::of(&network.parameters[*weight].mask);
            if mask.bits.is_empty() {
                continue;
            }
            layer.mask = MaskAt { bits: at, before: at.at(mask.bits.len()) };
            self.bytes.give(machine, layer.mask.bits, &mask.bits, u32::to_le_bytes)?;
            self.bytes.give(machine, layer.mask.before, &mask.before, u32::to_le_bytes)?;
            at = at.at(2 * mask.bits.len());
        }
        let description = &network.description;
        let scales: Vec<f32> = description.std.iter().map(|std| 1.0 / std).collect();
        let normal = self.places.normal;
        self.bytes.give(machine, normal, &description.mean, f32::to_le_bytes)?;
        let behind = normal.at(description.mean.len());
        self.bytes.give(machine, behind, &scales, f32::to_le_bytes)?;
        Ok(at)
    }

    /// Uploads the lists of sparse passes, from `at` on.
    fn upload_lists(
        &mut self,
        machine: &mut dyn Machine,
        network: &Network,
        (plan, mut at): (&Plan, Address),
        (layers, sparse): (&[Option<Layer>], &mut [Option<SparseLayer>]),
    ) -> Result<(), CudaError> {
        for ((layer, sparse), step) in layers.iter().zip(sparse).zip(&plan.steps) {
            let (Some(layer), Some(sparse)) = (layer, sparse) else { continue };
            let Work::Conv { weight, .. } = &step.work else { continue };
            let words = sparse.put(*layer, &network.parameters[*weight].mask, at);
            self.bytes.give(machine, at, &words, u32::to_le_bytes)?;
            at = at.at(words.len());
        }
        Ok(())
    }

    pub fn fault(&self) -> Option<&CudaError> {
        self.fault.as_ref()
    }

    /// Does something on the device, unless something failed before; keeps what fails.
    fn attempt<T>(
        &mut self,
        work: impl FnOnce(&mut Self, &mut dyn Machine) -> Result<T, CudaError>,
    ) -> Option<T> {
        if self.fault.is_some() {
            return None;
        }
        let machine = self.machine.clone();
        let mut held = lock(&machine);
        match work(self, &mut **held) {
            Ok(done) => Some(done),
            Err(fault) => {
                self.fault = Some(fault);
                None
            }
        }
    }

    /// Runs a pass: as it is, recording it, or from its recording.
    fn pass(
        &mut self,
        (plan, network): (&Plan, &Network),
        machine: &mut dyn Machine,
        pass: Pass,
        work: impl FnOnce(&mut Walk<'_>) -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        let known = self.passes.iter().position(|(known, _)| *known == pass);
        if let Some((_, Some(recording))) = known.map(|at| self.passes[at]) {
            return machine.replay(recording);
        }
        let records = known.is_some() && machine.record().is_ok();
        let Self { places, layers, sparse, precision, samples, .. } = &*self;
        let (precision, samples) = (*precision, *samples);
        let mut walk = Walk { plan, network, places, layers, sparse, precision, machine, samples };
        let done = work(&mut walk);
        match known {
            Some(at) if records => {
                let recording = machine.recorded();
                done?;
                let recording = recording?;
                self.passes[at].1 = Some(recording);
                machine.replay(recording)
            }
            _ => {
                done?;
                if known.is_none() && self.passes.len() < RECORDINGS {
                    self.passes.push((pass, None));
                }
                Ok(())
            }
        }
    }

    /// Takes in a batch, as [`super::Engine::load`] does.
    pub fn load(
        &mut self,
        plan: &Plan,
        network: &Network,
        samples: usize,
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        self.samples = samples;
        let size: usize = network.description.input_shape().iter().product();
        self.staging.resize(samples * size, 0.0);
        self.staging.par_chunks_exact_mut(size).enumerate().for_each(|(i, to)| fill(i, to));
        let staging = std::mem::take(&mut self.staging);
        self.attempt(|engine, machine| {
            let Places { raw, normal, .. } = engine.places;
            engine.bytes.give(machine, raw, &staging, f32::to_le_bytes)?;
            let to = engine.tensor(&plan.tensors[0].activation, samples);
            cuda::load(machine, raw, [normal, normal.at(network.description.mean.len())], to)
        });
        self.staging = staging;
    }

    fn tensor(&self, place: &Place, samples: usize) -> Tensor {
        let geometry = place.geometry;
        let shape = [geometry.channels, geometry.height, geometry.width];
        Tensor { at: self.places.arena.at(place.range.start), samples, shape }
    }

    /// Runs the loaded batch forward, as [`super::Engine::forward`] does.
    pub fn forward(&mut self, plan: &Plan, network: &mut Network) {
        let samples = self.samples;
        let moves = plan.mode == Mode::Train && !self.settled;
        self.attempt(|engine, machine| {
            if !engine.settled {
                engine.upload_weights(machine, network)?;
            }
            engine.pass((plan, network), machine, Pass::Forward { samples }, |walk| {
                (0..walk.plan.steps.len()).try_for_each(|step| walk.forward(step))
            })?;
            match moves {
                true => engine.fetch_buffers(machine, network),
                false => Ok(()),
            }
        });
    }

    fn upload_weights(
        &mut self,
        machine: &mut dyn Machine,
        network: &Network,
    ) -> Result<(), CudaError> {
        self.bytes.give(machine, self.places.values, &network.values, f32::to_le_bytes)?;
        let mut at = self.places.buffers;
        for buffer in &network.buffers {
            self.bytes.give(machine, at, &buffer.values, f32::to_le_bytes)?;
            at = at.at(buffer.values.len());
        }
        Ok(())
    }

    fn fetch_buffers(
        &mut self,
        machine: &mut dyn Machine,
        network: &mut Network,
    ) -> Result<(), CudaError> {
        let count = network.buffers.iter().map(|buffer| buffer.values.len()).sum::<usize>();
        let bytes = self.bytes.take(machine, self.places.buffers, 4 * count)?;
        let to = network.buffers.iter_mut().flat_map(|buffer| &mut buffer.values);
        to.zip(reals(bytes)).for_each(|(to, value)| *to = value);
        Ok(())
    }

    /// The logits of the batch, row-major `[samples, classes]`; no numbers after a failure.
    pub fn logits(&mut self, plan: &Plan) -> Vec<f32> {
        let tensor = self.tensor(&plan.tensors[plan.logits].activation, self.samples);
        let mut logits = vec![f32::NAN; tensor.len()];
        self.attempt(|engine, machine| engine.bytes.reals(machine, tensor.at, &mut logits));
        logits
    }

    /// The batch's logits and their gradient.
    fn ends(&self, plan: &Plan) -> [Tensor; 2] {
        let tensor = &plan.tensors[plan.logits];
        let Some(place) = &tensor.gradient else {
            unreachable!("an evaluating engine has no gradients")
        };
        [&tensor.activation, place].map(|place| self.tensor(place, self.samples))
    }

    /// The loss of the loaded batch, and the gradients of the mean over `of` samples; added to
    /// `gradient`, or, settled, to those on the device.
    pub fn backward(
        &mut self,
        plan: &Plan,
        network: &Network,
        labels: &[u32],
        of: usize,
        gradient: &mut [f32],
    ) -> Loss {
        let classes = network.description.classes;
        for &label in labels {
            assert!((label as usize) < classes, "label {label} of {classes} classes");
        }
        let (samples, ends) = (self.samples, self.ends(plan));
        let loss = self.attempt(|engine, machine| {
            let Places { labels: at, losses, right, .. } = engine.places;
            engine.bytes.give(machine, at, labels, u32::to_le_bytes)?;
            engine.clear_unless_settled(machine, gradient.len())?;
            let loss = LossAt { labels: at, losses, right };
            let pass = Pass::Backward { samples, of };
            engine.pass((plan, network), machine, pass, |walk| {
                cuda::cross_entropy(walk.machine, ends[0], ends[1], loss, of)?;
                (0..walk.plan.steps.len()).rev().try_for_each(|step| walk.backward(step))
            })?;
            engine.loss(machine)
        });
        self.give_gradient(gradient);
        loss.unwrap_or(Loss { sum: f64::NAN, correct: 0 })
    }

    fn loss(&mut self, machine: &mut dyn Machine) -> Result<Loss, CudaError> {
        // The losses of a whole batch, then what was named rightly: one copy, one wait.
        let all = (self.places.right.0 - self.places.losses.0) as usize;
        let bytes = self.bytes.take(machine, self.places.losses, all + 4 * self.samples)?;
        let (losses, right) = bytes.split_at(all);
        let losses = losses.as_chunks::<8>().0.iter().take(self.samples);
        let right = right.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
        let sum = losses.map(|bytes| f64::from_le_bytes(*bytes)).sum();
        Ok(Loss { sum, correct: right.sum::<u32>() as usize })
    }

    /// The gradients from a derivative by the logits, row-major `[samples, classes]`.
    pub fn backward_by(
        &mut self,
        plan: &Plan,
        network: &Network,
        derivative: &[f32],
        gradient: &mut [f32],
    ) {
        let (samples, [_, dlogits]) = (self.samples, self.ends(plan));
        self.attempt(|engine, machine| {
            engine.bytes.give(machine, dlogits.at, derivative, f32::to_le_bytes)?;
            engine.clear_unless_settled(machine, gradient.len())?;
            engine.pass((plan, network), machine, Pass::Descend { samples }, |walk| {
                (0..walk.plan.steps.len()).rev().try_for_each(|step| walk.backward(step))
            })
        });
        self.give_gradient(gradient);
    }

    fn clear_unless_settled(&self, machine: &mut dyn Machine, len: usize) -> Result<(), CudaError> {
        match self.settled {
            true => Ok(()),
            false => machine.clear(self.places.gradient, 4 * len as u64),
        }
    }

    /// Adds the device's gradient to the caller's, unless it is to stay there.
    fn give_gradient(&mut self, gradient: &mut [f32]) {
        if self.settled {
            return;
        }
        let added = self.attempt(|engine, machine| {
            let bytes = engine.bytes.take(machine, engine.places.gradient, 4 * gradient.len())?;
            gradient.iter_mut().zip(reals(bytes)).for_each(|(to, g)| *to += g);
            Ok(())
        });
        if added.is_none() {
            gradient.fill(f32::NAN);
        }
    }

    /// Takes weights, statistics and momenta over: until [`CardEngine::fetch`] they are the device's, and
    /// `network` stands for names and masks alone. `base` holds what an l1 term pulls to.
    pub fn settle(&mut self, network: &Network, momentum: &[f32], base: Option<&[f32]>) {
        self.attempt(|engine, machine| {
            engine.upload_weights(machine, network)?;
            engine.bytes.give(machine, engine.places.momenta, momentum, f32::to_le_bytes)?;
            if let Some(base) = base {
                if engine.places.base == Address::default() {
                    engine.places.base = machine.allocate(4 * base.len() as u64)?;
                    engine.memory.push(engine.places.base);
                }
                engine.bytes.give(machine, engine.places.base, base, f32::to_le_bytes)?;
            }
            engine.settled = true;
            Ok(())
        });
    }

    pub fn settled(&self) -> bool {
        self.settled
    }

    /// Zeroes the device's gradient, of which `before` weights have none.
    pub fn clear(&mut self, before: usize) {
        let bytes = 4 * (self.weights - before) as u64;
        self.attempt(|engine, machine| machine.clear(engine.places.gradient, bytes));
    }

    /// One optimiser step of the weights in `range`; says how many are at the centre where `counts`.
    pub fn update(
        &mut self,
        before: usize,
        range: std::ops::Range<usize>,
        step: Step<'_>,
        counts: bool,
    ) -> usize {
        let counted = self.attempt(|engine, machine| {
            let places = &engine.places;
            let counter = if counts { places.counter } else { Address::default() };
            if counts {
                machine.clear(counter, 4)?;
            }
            let on = Stepped {
                values: places.values.at(range.start),
                momenta: places.momenta.at(range.start),
                gradient: places.gradient.at(range.start - before),
                base: match step.l1 {
                    L1::TowardsBase { .. } => places.base.at(range.start),
                    _ => Address::default(),
                },
                learns: Address::default(),
                at_centre: counter,
                len: range.len(),
            };
            cuda::update(machine, step, on)?;
            let mut count = [0; 4];
            if counts {
                machine.download(counter, &mut count)?;
            }
            Ok(u32::from_le_bytes(count) as usize)
        });
        counted.unwrap_or(0)
    }

    /// Gives weights, statistics and momenta back.
    pub fn fetch(&mut self, network: &mut Network, momentum: &mut [f32]) {
        self.attempt(|engine, machine| {
            engine.bytes.reals(machine, engine.places.values, &mut network.values)?;
            engine.bytes.reals(machine, engine.places.momenta, momentum)?;
            engine.fetch_buffers(machine, network)
        });
        self.settled = false;
    }
}

fn lock(machine: &Shared) -> std::sync::MutexGuard<'_, Box<dyn Machine>> {
    machine.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Drop for CardEngine {
    fn drop(&mut self) {
        let mut machine = lock(&self.machine);
        for recording in self.passes.iter().filter_map(|(_, recording)| *recording) {
            machine.forget(recording);
        }
        for &address in &self.memory {
            machine.release(address);
        }
    }
}
