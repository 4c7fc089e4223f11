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
use crate::model::Network;
use crate::sparse::Isa;
use crate::train::memory::{RunBytes, fit, planned, ways};
use crate::train::{Compute, Recipe, Schedule, Trained};
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
        let compute = match self.memory {
            Some(_) => {
                let network = self.model(self.state.live.as_deref())?.network;
                self.ways_for(&leg, &network, self.around(self.of_floats()?)?, "adapting")?
            }
            None => Isa::best().into(),
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

    /// How a leg is computed within the memory that is allowed.
    ///
    /// # Errors
    /// If even the smallest way takes more.
    pub(super) fn ways_for(
        &self,
        leg: &Leg,
        network: &Network,
        around: Around,
        what: &'static str,
    ) -> Result<Compute, HomeError> {
        let isa = Isa::best();
        let Some(limit) = self.memory else { return Ok(isa.into()) };
        let (recipe, batch) = (leg.recipe()?, leg.recipe()?.batch);
        let peak = |_, run: &RunBytes| around.peak(network, run);
        fit(network, batch, &recipe, ways(batch, isa.into()), limit, peak).map_err(|last| {
            let last = last.unwrap_or_else(|| isa.into());
            let needed = around.peak(network, &planned(network, batch, &recipe, last));
            HomeError::Memory { what, needed, limit }
        })
    }
}
