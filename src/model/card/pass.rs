//! What is launched in one go: a part of a step, or the whole of one. It is recorded when it runs for the
//! second time, and replayed from then on.

use std::ops::Range;

use super::memory::Places;
use super::walk::Walk;
use crate::sparse::cuda::{
    self, Address, CudaError, LossAt, Machine, Recording, Stepped, UpdateForm,
};

/// Parts of a step, which run in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pass {
    pub samples: usize,
    /// Zeroes the gradient.
    pub clears: bool,
    /// Normalises the samples that were uploaded.
    pub loads: bool,
    pub forward: bool,
    /// Each sample's loss, and the derivative of their mean over so many samples, so many times.
    pub loss: Option<(usize, f32)>,
    pub backward: bool,
    /// The optimiser's step, of all stretches.
    pub updates: bool,
}

/// Weights that the optimiser steps alike.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stretch {
    pub range: Range<usize>,
    pub form: UpdateForm,
    /// Whether those at the centre are counted.
    pub counts: bool,
}

/// Passes that are remembered at once: those of whole batches, of the last of an epoch, and of pieces.
const RECORDINGS: usize = 12;

/// Passes that ran, with what was recorded of them.
#[derive(Default)]
pub(super) struct Passes(Vec<(Pass, Option<Recording>)>);

impl Passes {
    /// Runs a pass: as it is, recording it, or from its recording.
    pub fn run(&mut self, pass: Pass, walk: &mut Walk<'_>) -> Result<(), CudaError> {
        let known = self.0.iter().position(|(known, _)| *known == pass);
        if let Some((_, Some(recording))) = known.map(|at| self.0[at]) {
            return walk.machine.replay(recording);
        }
        let records = known.is_some() && walk.machine.record().is_ok();
        let done = walk.run(&pass);
        match known {
            Some(at) if records => {
                let recording = walk.machine.recorded();
                done?;
                let recording = recording?;
                self.0[at].1 = Some(recording);
                walk.machine.replay(recording)
            }
            _ => {
                done?;
                if known.is_none() && self.0.len() < RECORDINGS {
                    self.0.push((pass, None));
                }
                Ok(())
            }
        }
    }

    /// Forgets the passes that step weights: they are stepped otherwise from now on.
    pub fn forget_updates(&mut self, machine: &mut dyn Machine) {
        self.0.retain(|(pass, recording)| {
            if let Some(recording) = recording.filter(|_| pass.updates) {
                machine.forget(recording);
            }
            !pass.updates
        });
    }

    /// Forgets everything.
    pub fn drain(&mut self, machine: &mut dyn Machine) {
        self.0.drain(..).filter_map(|(_, recording)| recording).for_each(|r| machine.forget(r));
    }
}

impl Walk<'_> {
    fn run(&mut self, pass: &Pass) -> Result<(), CudaError> {
        let Places { gradient, raw, normal, labels, losses, right, .. } = *self.places;
        if pass.clears {
            let len = self.network.values.len() - self.plan.before;
            self.machine.clear(gradient, 4 * len as u64)?;
        }
        if pass.loads {
            let to = self.tensor(&self.plan.tensors[0].activation);
            let scales = normal.at(self.network.description.mean.len());
            cuda::load(self.machine, raw, [normal, scales], to)?;
        }
        if pass.forward {
            (0..self.plan.steps.len()).try_for_each(|step| self.forward(step))?;
        }
        if let (Some((of, weight)), Some(place)) =
            (pass.loss, &self.plan.tensors[self.plan.logits].gradient)
        {
            let logits = self.tensor(&self.plan.tensors[self.plan.logits].activation);
            let (dlogits, at) = (self.tensor(place), LossAt { labels, losses, right });
            cuda::cross_entropy(self.machine, logits, dlogits, at, weight / of as f32)?;
        }
        if pass.backward {
            (0..self.plan.steps.len()).rev().try_for_each(|step| self.backward(step))?;
        }
        if pass.updates { self.update() } else { Ok(()) }
    }

    /// One step of the optimiser.
    fn update(&mut self) -> Result<(), CudaError> {
        let places = self.places;
        if self.stretches.iter().any(|stretch| stretch.counts) {
            self.machine.clear(places.counter, 4)?;
        }
        for Stretch { range, form, counts } in self.stretches {
            let on = Stepped {
                values: places.values.at(range.start),
                momenta: places.momenta.at(range.start),
                gradient: places.gradient.at(range.start - self.plan.before),
                base: match places.base {
                    Address(0) => places.base,
                    base => base.at(range.start),
                },
                learns: Address::default(),
                at_centre: if *counts { places.counter } else { Address::default() },
                rates: places.rates,
                len: range.len(),
            };
            cuda::update(self.machine, *form, on)?;
        }
        Ok(())
    }
}
