//! The planner: which way to forget, what it takes, and whether there is time and memory for it.
//!
//! It takes the strongest guarantee that fits the deadline and the memory: never-learnt where no model
//! knows them, else exact replay, else l1-sparse, else reset. What a way takes is measured on this device
//! before it is chosen: a few steps of its own run, times the steps that it has.

use serde::Serialize;

use super::error::HomeError;
use super::gather::new_labels;
use super::home::Home;
use super::journal::{Choice, Job};
use super::slot;
use super::state::{Leg, Model, Work};
use crate::base::clock::Stopwatch;
use crate::model::Network;
use crate::train::memory::planned;
use crate::train::{Compute, L1Form, Recipe, Stepper, Trained};
use crate::unlearn::{FineTune, L1Sparse};
use crate::vault::Handle;

/// Share of the time that is left which a plan may fill: what is measured is measured, what comes is not.
const SAFETY: f64 = 0.8;
/// Steps that are timed, after one that is not.
const TIMED: usize = 3;

/// One way, and what it takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Way {
    /// Which.
    pub choice: Choice,
    /// Seconds that it is expected to take.
    pub seconds: f64,
    /// Bytes of memory that it is expected to take at most.
    pub bytes: u64,
    /// Why it cannot be taken, where it cannot.
    pub obstacle: Option<String>,
    /// What is to be learnt.
    #[serde(skip)]
    pub work: Option<Work>,
}

/// All ways, and the one that is taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Samples that go, and those of them that only measured.
    pub samples: u64,
    /// Models that know them, by id.
    pub models: Vec<String>,
    /// Whether the base is one of them.
    pub base_holds: bool,
    /// The id of the clean ancestor.
    pub ancestor: String,
    /// Ways, the strongest guarantee first.
    pub ways: Vec<Way>,
    /// The one that is taken.
    pub choice: Choice,
}

impl Plan {
    /// The way that is taken.
    pub fn taken(&self) -> Option<&Way> {
        self.ways.iter().find(|way| way.choice == self.choice)
    }
}

/// How a home repairs by l1-sparse fine-tuning: five passes, weights pulled back to the base.
pub fn default_repair() -> L1Sparse {
    let tuning = FineTune { epochs: 5, batch: 32, decay: 0.0, ..FineTune::default() };
    L1Sparse { tuning, form: L1Form::TowardsBase, ..L1Sparse::default() }
}

impl Home {
    /// What erasing `people` would take, with `seconds` left for it. Changes nothing.
    ///
    /// # Errors
    /// If the vault or a model cannot be read.
    pub fn plan(
        &self,
        people: &[Handle],
        in_base: bool,
        asked: Option<Choice>,
        seconds: Option<f64>,
    ) -> Result<Plan, HomeError> {
        let holding: Vec<&Model> = self.state.holding(people).collect();
        let live = self.state.live_model().filter(|model| model.holds(people));
        let ancestor = self.clean_ancestor(people);
        let mut ways = Vec::new();
        if live.is_none() && !in_base {
            ways.push(still(Choice::NeverLearnt, None));
        } else {
            ways.push(self.replay(live, ancestor, people, in_base)?);
            ways.push(self.l1_sparse(people, in_base)?);
            ways.push(still(Choice::Reset, None));
        }
        for way in &mut ways {
            self.hold_against_limits(way, seconds);
        }
        let possible = |way: &&Way| way.obstacle.is_none();
        let wanted = asked.and_then(|asked| ways.iter().find(|way| way.choice == asked));
        let taken = wanted.filter(possible).or_else(|| ways.iter().find(possible));
        let choice = taken.map_or(Choice::Reset, |way| way.choice);
        Ok(Plan {
            samples: self.store()?.owned(people)?.samples,
            models: holding.iter().map(|model| model.id_text()).collect(),
            base_holds: in_base,
            ancestor: ancestor.map_or_else(|| self.base.id.to_string(), Model::id_text),
            ways,
            choice,
        })
    }

    /// The plan for an erasure that is under way.
    pub(super) fn plan_of(&self, job: &Job, now: u64) -> Result<Plan, HomeError> {
        let left = job.deadline().map(|deadline| deadline.saturating_sub(now) as f64);
        // What failed is not tried again: exact replay once more, then back to the ancestor.
        let asked = match job.failures.len() {
            0 => job.method(),
            1 => Some(Choice::ExactReplay),
            _ => Some(Choice::Reset),
        };
        self.plan(&job.people(), job.in_base(), asked, left)
    }

    fn hold_against_limits(&self, way: &mut Way, seconds: Option<f64>) {
        if way.obstacle.is_some() || way.work.is_none() {
            return;
        }
        if let Some(limit) = self.memory.filter(|limit| way.bytes > *limit) {
            way.obstacle = Some(format!("{} bytes of memory, {limit} are allowed", way.bytes));
        } else if let Some(left) = seconds.filter(|left| way.seconds > SAFETY * left) {
            way.obstacle =
                Some(format!("{:.1} s, {left:.0} s are left until the deadline", way.seconds));
        }
    }

    /// The same adaptations without them, from the clean ancestor on.
    fn replay(
        &self,
        live: Option<&Model>,
        ancestor: Option<&Model>,
        people: &[Handle],
        in_base: bool,
    ) -> Result<Way, HomeError> {
        let choice = Choice::ExactReplay;
        if in_base {
            return Ok(still(
                choice,
                Some("the base itself knows them, and what it was made from is not here"),
            ));
        }
        let done = ancestor.map_or(0, |model| model.steps.len());
        let steps = live.map_or(&[][..], |model| &model.steps[done.min(model.steps.len())..]);
        let mut legs = Vec::new();
        for step in steps.iter().filter(|step| !step.leg.repair) {
            // Without them there would have been no such adaptation.
            if !self.store()?.learners(step.leg.upto, people)?.is_empty() {
                legs.push(step.leg.clone());
            }
        }
        if legs.is_empty() {
            let why =
                "nobody else taught what is to be replayed: the clean ancestor is what is left";
            return Ok(still(choice, Some(why)));
        }
        self.way(choice, ancestor.map(|model| model.slot.clone()), legs, people, false)
    }

    /// Fine-tuning what is served over what is retained, under an l1 term.
    fn l1_sparse(&self, people: &[Handle], in_base: bool) -> Result<Way, HomeError> {
        let choice = Choice::L1Sparse;
        if !self.readable(self.state.live.as_deref()) {
            return Ok(still(
                choice,
                Some("the model that was served is destroyed already, or damaged"),
            ));
        }
        let live = self.model(self.state.live.as_deref())?;
        let upto = self.state.learnt_upto();
        let base = &self.base.meaning.classes;
        let new = new_labels(self.store()?, &self.keyring, base, upto, people)?;
        let known = |class: &String| base.contains(class) || new.contains(class);
        if let Some(class) = live.meaning.classes.iter().find(|class| !known(class)) {
            let why = format!("class `{class}` was taught by nobody else and must disappear");
            return Ok(still(choice, Some(&why)));
        }
        let mut method = default_repair();
        if in_base {
            // The base knows them: pulling towards it would keep what is to be forgotten.
            method.form = L1Form::Subgradient;
        }
        let number = self.state.adaptations;
        let seed = self.state.seed.wrapping_add(1 << 32).wrapping_add(number.into());
        let recipe = Recipe { frozen_norm: !in_base, ..method.recipe(seed) };
        let recipe = self.as_wide_as_before(recipe, in_base)?;
        let leg = Leg::new(number, upto, true, &recipe);
        self.way(choice, self.state.live.clone(), vec![leg], people, in_base)
    }

    /// A repair reaches every layer that some adaptation moved, or all where the base knows them.
    fn as_wide_as_before(&self, recipe: Recipe, in_base: bool) -> Result<Recipe, HomeError> {
        let mut trained = if in_base { Trained::All } else { Trained::Head };
        for step in self.state.live_model().iter().flat_map(|model| &model.steps) {
            trained = match (trained, step.leg.recipe()?.trained) {
                (Trained::All, _) | (_, Trained::All) => Trained::All,
                (Trained::Last(a), Trained::Last(b)) => Trained::Last(a.max(b)),
                (last @ Trained::Last(_), Trained::Head) | (Trained::Head, last) => last,
            };
        }
        Ok(Recipe { trained, ..recipe })
    }

    fn way(
        &self,
        choice: Choice,
        start: Option<String>,
        legs: Vec<Leg>,
        people: &[Handle],
        roots: bool,
    ) -> Result<Way, HomeError> {
        let network = self.model(start.as_deref())?.network;
        let compute = match self.ways_for(&legs[0], start.as_deref(), choice.name()) {
            Ok(compute) => compute,
            Err(HomeError::Memory { needed, limit, .. }) => {
                let why = format!("{needed} bytes of memory, {limit} are allowed");
                return Ok(still(choice, Some(&why)));
            }
            Err(error) => return Err(error),
        };
        let (mut seconds, mut bytes) = (0.0, 0);
        for leg in &legs {
            let recipe = leg.recipe()?;
            let anchor = self.anchor.as_ref().map_or(0, |set| set.train.len());
            let samples = anchor as u64
                + self.store()?.counted(|number, header| {
                    number < leg.upto && !header.held && !header.concerns(people)
                })?;
            let batch = recipe.batch.min(samples as usize).max(1);
            let steps = recipe.epochs as f64 * samples as f64 / batch as f64;
            seconds += steps * step_seconds(&network, &recipe, batch, compute);
            let run = planned(&network, batch, &recipe, compute).total();
            bytes = bytes.max(run + self.around(leg.upto)?);
        }
        let work = Work {
            slot: slot::fresh_name()?,
            start,
            legs,
            plan: compute.name(),
            adapts: false,
            roots,
        };
        Ok(Way { choice, seconds, bytes, obstacle: None, work: Some(work) })
    }
}

fn still(choice: Choice, obstacle: Option<&str>) -> Way {
    Way { choice, seconds: 0.0, bytes: 0, obstacle: obstacle.map(str::to_string), work: None }
}

/// Seconds of one step of learning, measured: the quickest of a few, on samples of zeros.
fn step_seconds(network: &Network, recipe: &Recipe, batch: usize, compute: Compute) -> f64 {
    let mut network = network.clone();
    let base = network.values.clone();
    let mut stepper = Stepper::new(&network, batch, recipe, Some(&base), compute);
    let (mut momentum, labels) = (vec![0.0; network.values.len()], vec![0; batch]);
    let mut quickest = f64::INFINITY;
    for step in 0..=TIMED {
        let watch = Stopwatch::start();
        stepper.learn(&mut network, &labels, |_, out| out.fill(0.0));
        stepper.update(&mut network, &mut momentum, 0.0, recipe.l1.alpha);
        if step > 0 {
            quickest = quickest.min(watch.seconds());
        }
    }
    quickest
}
