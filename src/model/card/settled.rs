//! Steps of weights that lie on the device.

use std::ops::Range;

use super::losses::NO_LOSS;
use super::pass::{Pass, Stretch};
use super::{CardEngine, known};
use crate::model::network::Network;
use crate::model::plan::Plan;
use crate::sparse::cuda::{self, Address, UpdateForm};
use crate::sparse::{L1, Loss, Step};

impl CardEngine {
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
            (engine.settled, engine.kept) = (true, false);
            Ok(())
        });
    }

    pub fn settled(&self) -> bool {
        self.settled
    }

    /// Zeroes the device's gradient before anything more is added to it.
    pub fn clear(&mut self) {
        self.cleared = true;
    }

    /// Asks for the loss of the loaded batch and `weight` times the gradients of the mean over `of`
    /// samples, which are added to those on the device. Launched with what comes next.
    pub fn learn(
        &mut self,
        plan: &Plan,
        network: &Network,
        labels: &[u32],
        (of, weight): (usize, f32),
        ticket: u64,
    ) {
        known(network, labels);
        self.flush((plan, network), false);
        let (clears, loss) = (self.clears(), Some((of, weight)));
        self.attempt(|engine, machine| {
            engine.bytes.give(machine, engine.places.labels, labels, u32::to_le_bytes)
        });
        let pass = Pass { clears, forward: true, loss, backward: true, ..self.begun() };
        self.asked = Some((pass, ticket));
    }

    /// Waits for the loss that was asked for under a ticket; no number after a failure.
    pub fn loss(&mut self, plan: &Plan, network: &Network, ticket: u64) -> Loss {
        if self.asked.is_some_and(|(_, asked)| asked <= ticket) {
            self.flush((plan, network), false);
        }
        let loss =
            self.attempt(|engine, machine| engine.losses.take(machine, &engine.places, ticket));
        loss.flatten().unwrap_or(NO_LOSS)
    }

    /// One optimiser step of the weights in `stretches`, which share rate and strength, behind all that was
    /// asked for; those of the centre are counted where a stretch says so.
    pub fn update(
        &mut self,
        plan: &Plan,
        network: &Network,
        stretches: &[(Range<usize>, Step<'_>, bool)],
    ) {
        let stretch = |(range, step, counts): &(Range<usize>, Step<'_>, bool)| Stretch {
            range: range.clone(),
            form: UpdateForm::of(*step),
            counts: *counts,
        };
        let pulled = stretches.iter().find(|(_, step, _)| step.l1 != L1::Off);
        let Some((_, step, _)) = pulled.or(stretches.first()) else {
            return self.flush((plan, network), false);
        };
        let rates = cuda::rates(*step);
        let same = stretches.iter().map(stretch).eq(self.stretches.iter().cloned());
        if !same {
            self.stretches = stretches.iter().map(stretch).collect();
        }
        self.attempt(|engine, machine| {
            if !same {
                engine.passes.forget_updates(machine);
            }
            if rates != engine.rates {
                engine.bytes.give(machine, engine.places.rates, &rates, f32::to_le_bytes)?;
                engine.rates = rates;
            }
            Ok(())
        });
        self.flush((plan, network), true);
    }

    /// Waits for the last step: how many weights are at the centre, of those that are counted.
    pub fn at_centre(&mut self) -> usize {
        if !self.stretches.iter().any(|stretch| stretch.counts) {
            return 0;
        }
        let count = self.attempt(|engine, machine| {
            let bytes = engine.bytes.take(machine, engine.places.counter, 4)?;
            Ok(bytes.iter().rev().fold(0, |count, byte| count << 8 | usize::from(*byte)))
        });
        count.unwrap_or(0)
    }

    /// Gives weights, statistics and momenta back.
    pub fn fetch(&mut self, plan: &Plan, network: &mut Network, momentum: &mut [f32]) {
        self.flush((plan, network), false);
        self.attempt(|engine, machine| {
            engine.bytes.reals(machine, engine.places.values, &mut network.values)?;
            engine.bytes.reals(machine, engine.places.momenta, momentum)?;
            engine.fetch_buffers(machine, network)
        });
        self.settled = false;
    }
}
