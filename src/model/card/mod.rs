//! A plan on a CUDA device: what an engine uploads, launches and fetches.
//!
//! Weights, statistics and gradients live with the caller, and go to the device and back with each pass;
//! or they stay on the device from [`CardEngine::settle`] to [`CardEngine::fetch`], and nothing but samples,
//! labels and losses is copied: a step is then one recording, launched by [`CardEngine::update`], and while the
//! device runs it the caller lays out the next batch. After a failure nothing is launched any more, and what is asked for is no number:
//! [`super::Engine::trouble`] says why.

mod bytes;
mod losses;
mod memory;
mod pass;
mod sections;
mod settled;
mod tokens;
mod walk;

use rayon::prelude::*;

use self::bytes::{Bytes, reals};
use self::losses::{Losses, NO_LOSS};
pub use self::memory::CardBytes;
use self::memory::{Places, layers, sparse};
use self::pass::{Pass, Passes, Stretch};
use self::walk::Walk;
use super::network::Network;
use super::plan::{Mode, Place, Plan, Work};
use crate::sparse::cuda::{
    self, Address, CudaError, Fetched, Layer, Machine, MaskAt, MaskBits, Precision, Shared,
    SparseBelow, SparseLayer, Tensor,
};
use crate::sparse::{Loss, Mask};

/// A plan's memory on a device.
pub(super) struct CardEngine {
    machine: Shared,
    precision: Precision,
    places: Places,
    /// The piece of memory that all places lie in, and those that came later.
    memory: Vec<Address>,
    layers: Vec<Option<Layer>>,
    sparse: Vec<Option<SparseLayer>>,
    passes: Passes,
    losses: Losses,
    /// What the optimiser steps, and at which rates.
    stretches: Vec<Stretch>,
    rates: [f32; 3],
    /// Samples were uploaded and not normalised.
    loaded: bool,
    /// The gradient is to be zeroed before anything is added to it.
    cleared: bool,
    /// A pass that was asked for and not launched, and the ticket of its loss.
    asked: Option<(Pass, u64)>,
    staging: Vec<f32>,
    bytes: Bytes,
    samples: usize,
    settled: bool,
    /// The weights here stay what they are.
    kept: bool,
    /// Logits on their way, and how many.
    answers: Option<(Fetched, usize)>,
    fault: Option<CudaError>,
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
        how: (Precision, SparseBelow),
    ) -> Result<Self, CudaError> {
        let mut engine = Self::bare(network, plan, ordinal, how)?;
        let machine = engine.machine.clone();
        let mut held = lock(&machine);
        let uploaded = engine.upload_masks(&mut **held, network, plan).and_then(|at| {
            let mask = |parameter: usize| &network.parameters[parameter].mask;
            engine.upload_lists(&mut **held, (plan, at), mask)
        });
        drop(held);
        uploaded.map(|()| engine)
    }

    /// Takes the memory.
    fn bare(
        network: &Network,
        plan: &Plan,
        ordinal: u32,
        (precision, below): (Precision, SparseBelow),
    ) -> Result<Self, CudaError> {
        let machine = cuda::opened(ordinal)?;
        let layers = layers(network, plan)?;
        let sparse = sparse(plan, &layers, below);
        let places = Places::of(network, plan, plan.mode, (&layers, &sparse));
        let mut held = lock(&machine);
        precision.fits(held.facts())?;
        let first = held.allocate(places.bytes.total())?;
        let places = places.from(first);
        drop(held);
        Ok(Self {
            machine,
            precision,
            memory: vec![first],
            layers,
            sparse,
            passes: Passes::default(),
            losses: Losses::default(),
            stretches: Vec::new(),
            rates: [0.0; 3],
            loaded: false,
            cleared: false,
            asked: None,
            staging: Vec::new(),
            bytes: Bytes::default(),
            samples: 0,
            settled: false,
            kept: false,
            answers: None,
            fault: None,
            places,
        })
    }

    fn upload_masks(
        &mut self,
        machine: &mut dyn Machine,
        network: &Network,
        plan: &Plan,
    ) -> Result<Address, CudaError> {
        let mut at = self.places.masks;
        for (layer, step) in self.layers.iter_mut().zip(&plan.steps) {
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

    /// Uploads the lists of sparse passes, from `at` on; `mask` gives the mask of a parameter.
    fn upload_lists<'a>(
        &mut self,
        machine: &mut dyn Machine,
        (plan, mut at): (&Plan, Address),
        mask: impl Fn(usize) -> &'a Mask,
    ) -> Result<(), CudaError> {
        for ((layer, sparse), step) in self.layers.iter().zip(&mut self.sparse).zip(&plan.steps) {
            let (Some(layer), Some(sparse)) = (layer, sparse) else { continue };
            let Work::Conv { weight, .. } = &step.work else { continue };
            let words = sparse.put(*layer, mask(*weight), at);
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

    /// Runs a pass. What was asked for before it must have been launched.
    fn pass(
        &mut self,
        (plan, network): (&Plan, &Network),
        machine: &mut dyn Machine,
        pass: Pass,
    ) -> Result<(), CudaError> {
        let Self { places, layers, sparse, precision, stretches, passes, .. } = self;
        let (precision, samples) = (*precision, pass.samples);
        let mut walk =
            Walk { plan, network, places, layers, sparse, stretches, precision, machine, samples };
        passes.run(pass, &mut walk)
    }

    /// Launches what was asked for, with the optimiser's step behind it where `updates`.
    fn flush(&mut self, on: (&Plan, &Network), updates: bool) {
        // A gradient that is to be zeroed behind what was asked for is not stepped along.
        let together = updates && !self.cleared;
        if let Some((pass, ticket)) = self.asked.take() {
            self.attempt(|engine, machine| {
                engine.pass(on, machine, Pass { updates: together, ..pass })?;
                engine.losses.ask(machine, &engine.places, pass.samples, ticket)
            });
            if together {
                return;
            }
        }
        if updates {
            let clears = std::mem::take(&mut self.cleared);
            let pass = Pass { samples: self.samples, clears, updates, ..Pass::default() };
            self.attempt(|engine, machine| engine.pass(on, machine, pass));
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
        self.flush((plan, network), false);
        self.samples = samples;
        let size: usize = network.description.input_shape().iter().product();
        self.staging.resize(samples * size, 0.0);
        self.staging.par_chunks_exact_mut(size).enumerate().for_each(|(i, to)| fill(i, to));
        let staging = std::mem::take(&mut self.staging);
        self.attempt(|engine, machine| {
            engine.bytes.give(machine, engine.places.raw, &staging, f32::to_le_bytes)
        });
        (self.staging, self.loaded) = (staging, true);
    }

    fn tensor(&self, place: &Place, samples: usize) -> Tensor {
        let geometry = place.geometry;
        let shape = [geometry.channels, geometry.height, geometry.width];
        Tensor { at: self.places.arena.at(place.range.start), samples, shape }
    }

    /// Runs the loaded batch forward, as [`super::Engine::forward`] does.
    pub fn forward(&mut self, plan: &Plan, network: &mut Network) {
        let moves = plan.mode == Mode::Train && !self.settled;
        let pass = Pass { forward: true, ..self.begun() };
        self.attempt(|engine, machine| {
            if !engine.settled && !engine.kept {
                engine.upload_weights(machine, network)?;
            }
            engine.pass((plan, network), machine, pass)?;
            match moves {
                true => engine.fetch_buffers(machine, network),
                false => Ok(()),
            }
        });
    }

    /// A pass of the samples here, which normalises them unless that was done.
    fn begun(&mut self) -> Pass {
        let loads = std::mem::take(&mut self.loaded);
        Pass { samples: self.samples, loads, ..Pass::default() }
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

    /// Takes the weights of `network` for those of every forward pass from now on.
    pub fn keep(&mut self, network: &Network) {
        self.attempt(|engine, machine| engine.upload_weights(machine, network));
        self.kept = true;
    }

    /// Asks for the logits of the batch that was taken forward, and gives those that were asked for before;
    /// no numbers after a failure.
    pub fn answers(&mut self, plan: &Plan) -> Option<Vec<f32>> {
        let tensor = self.tensor(&plan.tensors[plan.logits].activation, self.samples);
        let asked = self.attempt(|_, machine| machine.fetch(tensor.at, 4 * tensor.len()));
        let before = self.answered();
        self.answers = asked.map(|fetched| (fetched, tensor.len()));
        before
    }

    /// The logits that were asked for last.
    pub fn answered(&mut self) -> Option<Vec<f32>> {
        let (fetched, len) = self.answers.take()?;
        let mut bytes = vec![0; 4 * len];
        let came = self.attempt(|_, machine| machine.collect(fetched, &mut bytes));
        Some(match came {
            Some(()) => reals(&bytes).collect(),
            None => vec![f32::NAN; len],
        })
    }

    /// The loss of the batch that was taken forward, and the gradients of the mean over `of` samples; added
    /// to `gradient`, or, settled, to those on the device.
    pub fn backward(
        &mut self,
        plan: &Plan,
        network: &Network,
        labels: &[u32],
        of: usize,
        gradient: &mut [f32],
    ) -> Loss {
        known(network, labels);
        let (samples, clears) = (self.samples, self.clears());
        let loss = self.attempt(|engine, machine| {
            engine.bytes.give(machine, engine.places.labels, labels, u32::to_le_bytes)?;
            let loss = Some((of, 1.0));
            let pass = Pass { samples, clears, loss, backward: true, ..Pass::default() };
            engine.pass((plan, network), machine, pass)?;
            let bytes = losses::bytes(&engine.places, samples);
            let bytes = engine.bytes.take(machine, engine.places.losses, bytes)?;
            Ok(losses::read(bytes, samples))
        });
        self.give_gradient(gradient);
        loss.unwrap_or(NO_LOSS)
    }

    /// The gradients from a derivative by the logits, row-major `[samples, classes]`.
    pub fn backward_by(
        &mut self,
        plan: &Plan,
        network: &Network,
        derivative: &[f32],
        gradient: &mut [f32],
    ) {
        let Some(place) = &plan.tensors[plan.logits].gradient else {
            unreachable!("an evaluating engine has no gradients")
        };
        let dlogits = self.tensor(place, self.samples);
        let (samples, clears) = (self.samples, self.clears());
        self.attempt(|engine, machine| {
            engine.bytes.give(machine, dlogits.at, derivative, f32::to_le_bytes)?;
            let pass = Pass { samples, clears, backward: true, ..Pass::default() };
            engine.pass((plan, network), machine, pass)
        });
        self.give_gradient(gradient);
    }

    /// Whether the next gradient is the first: where it settled, after [`CardEngine::clear`]; else always.
    fn clears(&mut self) -> bool {
        std::mem::take(&mut self.cleared) || !self.settled
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
}

/// Kernels take labels as they are.
fn known(network: &Network, labels: &[u32]) {
    let classes = network.description.classes;
    for &label in labels {
        assert!((label as usize) < classes, "label {label} of {classes} classes");
    }
}

fn lock(machine: &Shared) -> std::sync::MutexGuard<'_, Box<dyn Machine>> {
    machine.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Drop for CardEngine {
    fn drop(&mut self) {
        let mut machine = lock(&self.machine);
        self.losses.drain(&mut **machine);
        if let Some((fetched, _)) = self.answers.take() {
            machine.abandon(fetched);
        }
        self.passes.drain(&mut **machine);
        for &address in &self.memory {
            machine.release(address);
        }
    }
}
