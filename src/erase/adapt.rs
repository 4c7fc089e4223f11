//! Adapting: from the model that is served, over anchor set and vault, to one that knows the people here.

use serde::Serialize;

use super::cost::Around;
use super::energy::Task;
use super::error::HomeError;
use super::home::Home;
use super::learn::{Done, Onlooker};
use super::slot;
use super::state::{Leg, Model, Work, chained};
use crate::base::hash::Digest;
use crate::model::{Device, Network};
use crate::train::memory::{RunBytes, planned, ways};
use crate::train::room::{Room, alike};
use crate::train::{Compute, Recipe, Schedule, TrainError, Trained};
use crate::vault::Key;

/// What came of adapting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Adapted {
    /// The logical id of the model that is served now.
    pub id: String,
    /// Bytes of its file.
    pub bytes: u64,
    /// People whose samples it learnt from.
    pub people: usize,
    /// Seconds of learning.
    pub seconds: f64,
    /// Energy that the whole machine took meanwhile, in joules; none where it was not measured throughout.
    pub joules: Option<f64>,
}

/// How a home adapts unless it is told otherwise: few, small steps, the last two layers, batch norm as
/// it is.
pub fn default_recipe() -> Recipe {
    Recipe {
        epochs: 10,
        batch: 32,
        rate: 0.01,
        momentum: 0.9,
        decay: 0.0,
        schedule: Schedule::Constant,
        frozen_norm: true,
        trained: Trained::Last(2),
        ..Recipe::default()
    }
}

impl Home {
    /// Learns from all that may be learnt from, and serves what came of it.
    ///
    /// Cut short at any instant, it goes on with [`Home::finish_adapting`] and gives the same bytes.
    ///
    /// # Errors
    /// If something else is under way, there is nothing to learn from, memory does not suffice, or a run
    /// failed. The model that was served is served then.
    pub fn adapt(
        &mut self,
        recipe: Recipe,
        onlooker: &mut dyn Onlooker,
    ) -> Result<Adapted, HomeError> {
        self.order_adapting(recipe)?;
        self.finish_adapting(onlooker)
    }

    /// Notes, durably, what is to be learnt.
    ///
    /// # Errors
    /// As [`Home::adapt`].
    pub fn order_adapting(&mut self, recipe: Recipe) -> Result<(), HomeError> {
        if self.job().is_some() {
            return Err(HomeError::UnderWay { what: "an erasure" });
        }
        self.gauge(Task::Adapting);
        if self.state.pending.is_some() {
            return Err(HomeError::UnderWay { what: "an adaptation" });
        }
        self.open_store()?;
        if self.state.base.dead && self.state.live.is_none() {
            let why =
                "the base knew somebody who was erased, and is gone: install another in a new home";
            return Err(HomeError::Method { method: "adapting", why: why.into() });
        }
        let upto = self.store()?.next()?;
        if self.store()?.learners(upto, &[])?.is_empty() {
            return Err(HomeError::NothingToLearn);
        }
        let number = self.state.adaptations + 1;
        let recipe = Recipe { seed: self.state.seed.wrapping_add(number.into()), ..recipe };
        recipe.check()?;
        let leg = Leg::new(number, upto, false, &recipe);
        let compute = match (self.memory, self.device) {
            (None, Device::Cpu(_)) => self.device.into(),
            _ => {
                let network = self.model(self.state.live.as_deref())?.network;
                let around = self.around(self.of_floats()?)?;
                self.ways_for(std::slice::from_ref(&leg), &network, around, "adapting")?
            }
        };
        let work = Work {
            slot: slot::fresh_name()?,
            start: self.state.live.clone(),
            legs: vec![leg],
            plan: compute.name(),
            adapts: true,
            roots: false,
        };
        let mut keyring = self.keyring.clone();
        keyring.put(&slot::key_name(&work.slot), Key::fresh()?);
        let mut state = self.state.clone();
        (state.pending, state.adaptations) = (Some(work), number);
        self.keep(keyring, state, false)
    }

    /// Finishes an adaptation that was ordered.
    ///
    /// # Errors
    /// As [`Home::adapt`]; and if none was ordered.
    pub fn finish_adapting(&mut self, onlooker: &mut dyn Onlooker) -> Result<Adapted, HomeError> {
        let Some(work) = self.state.pending.clone().filter(|work| work.adapts) else {
            return Err(HomeError::NothingToLearn);
        };
        let done = self.execute(&work, onlooker)?;
        self.adopt(&work, &done)
    }

    /// Serves what an adaptation came to. Models that are neither served now nor were before lose their
    /// keys.
    ///
    /// # Errors
    /// If it cannot be written down.
    pub fn adopt(&mut self, work: &Work, done: &Done) -> Result<Adapted, HomeError> {
        let mut state = self.state.clone();
        let before = state.live_model().cloned();
        let class = before.as_ref().map_or(state.base.class, |model| model.class);
        let steps = chained(before.map_or_else(Vec::new, |model| model.steps), &done.steps);
        let people = done.steps.iter().flat_map(|step| &step.people).count();
        let model = Model { slot: work.slot.clone(), id: done.id, steps, class, bytes: done.bytes };
        let mut keyring = self.keyring.clone();
        let kept = [state.live.clone(), Some(work.slot.clone())];
        let mut dropped = false;
        state.models.retain(|model| {
            let stays = kept.iter().flatten().any(|slot| *slot == model.slot);
            if !stays {
                dropped |= keyring.drop_named(&slot::key_name(&model.slot));
            }
            stays
        });
        state.models.push(model);
        state.live = Some(work.slot.clone());
        state.pending = None;
        self.keep(keyring, state, dropped)?;
        self.sweep()?;
        let (id, bytes) = (Digest(done.id).to_string(), done.bytes);
        let joules = self.joules_taken();
        self.gauge_ended();
        Ok(Adapted { id, bytes, people, seconds: done.seconds, joules })
    }

    /// Gives an adaptation up that cannot be finished. What was served is served.
    ///
    /// # Errors
    /// If it cannot be written down.
    pub fn give_up_adapting(&mut self) -> Result<(), HomeError> {
        let Some(work) = self.state.pending.clone().filter(|work| work.adapts) else {
            return Ok(());
        };
        let (mut keyring, mut state) = (self.keyring.clone(), self.state.clone());
        keyring.drop_named(&slot::key_name(&work.slot));
        state.pending = None;
        self.keep(keyring, state, true)?;
        self.sweep().map(drop)
    }

    /// How legs are computed within the memory that is allowed: as the first of them needs on the processor;
    /// on a CUDA device all alike, in pieces that its free memory has room for too.
    ///
    /// # Errors
    /// If even the smallest way takes more; of the device's memory that is [`TrainError::Device`].
    pub(super) fn ways_for(
        &self,
        legs: &[Leg],
        network: &Network,
        around: Around,
        what: &'static str,
    ) -> Result<Compute, HomeError> {
        let (whole, mut found) = (Compute::from(self.device), None);
        let judged = match self.device {
            Device::Cpu(_) => &legs[..legs.len().min(1)],
            Device::Cuda { .. } => legs,
        };
        for leg in judged {
            let recipe = leg.recipe()?;
            let way = self.way_within(&recipe, network, around, what)?;
            found = Some(found.map_or(way, |found| alike(found, way)));
        }
        Ok(found.unwrap_or(whole))
    }

    fn way_within(
        &self,
        recipe: &Recipe,
        network: &Network,
        around: Around,
        what: &'static str,
    ) -> Result<Compute, HomeError> {
        let (device, batch) = (self.device, recipe.batch);
        let first = match Room::of(device).map_err(TrainError::from)? {
            Some(room) => room.fit(network, batch, recipe, |_| true).map_err(TrainError::from)?,
            None => device.into(),
        };
        let Some(limit) = self.memory else { return Ok(first) };
        let mut needed = 0;
        // Ways that the device has no room for came before the first that it has.
        for way in ways(batch, device).skip_while(|&way| way != first) {
            needed = around.peak(network, &self.run_bytes(network, recipe, way)?);
            if needed <= limit {
                return Ok(way);
            }
        }
        Err(HomeError::Memory { what, needed, limit })
    }

    /// What a run takes of the processor's memory.
    pub(super) fn run_bytes(
        &self,
        network: &Network,
        recipe: &Recipe,
        way: Compute,
    ) -> Result<RunBytes, HomeError> {
        let room = Room::of(way.device).map_err(TrainError::from)?;
        Ok(match room {
            Some(room) => {
                room.beside(network, recipe.batch, recipe, way).map_err(TrainError::from)?
            }
            None => planned(network, recipe.batch, recipe, way),
        })
    }
}
