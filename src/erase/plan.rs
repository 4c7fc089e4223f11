//! The planner: which way to forget, what it takes, and whether there is time and memory for it.
//!
//! It takes the strongest guarantee that fits the deadline, the memory and the energy: never-learnt where no model
//! knows them, else exact replay, else l1-sparse, else reset. What a way takes is measured on this device
//! before it is chosen: [`super::cost`] says how. A CUDA device that has no room, or fails while it is timed, is
//! an error and no way less: the processor may have room for the stronger guarantee.

use serde::Serialize;

use super::cost::Pace;
use super::energy::Gauged;
use super::error::HomeError;
use super::home::Home;
use super::job::Job;
use super::journal::Choice;
use super::slot;
use super::state::{Leg, Model, Work};
use crate::base::clock::Stopwatch;
use crate::train::{L1Form, Recipe, Trained};
use crate::unlearn::{FineTune, L1Sparse};
use crate::vault::Handle;

/// Share of the time or energy that is left which a plan may fill: what is measured is measured, what comes is not.
const SAFETY: f64 = 0.8;

/// Why there is no replay where it would end where it begins.
const NOTHING_TO_REPLAY: &str =
    "nobody else taught what is to be replayed: the clean ancestor is what is left";

/// One way, and what it takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Way {
    /// Which.
    pub choice: Choice,
    /// Seconds of learning that it is expected to take.
    pub seconds: f64,
    /// Seconds of judging what it comes to.
    pub judging: f64,
    /// Seconds of what else there is to do: keys and samples destroyed, the receipt, the index made smaller;
    /// where something is learnt, also asking the model that was served, which the gate holds it against.
    pub settling: f64,
    /// Bytes of memory that it is expected to take at most.
    pub bytes: u64,
    /// Energy that the whole machine is expected to take meanwhile, in joules: seconds times the power that
    /// was measured while steps were timed; none where no sensor answers.
    pub joules: Option<f64>,
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

impl Way {
    /// Seconds of all of it.
    pub fn whole(&self) -> f64 {
        self.seconds + self.judging + self.settling
    }
}

impl Plan {
    /// The way that is taken.
    pub fn taken(&self) -> Option<&Way> {
        self.ways.iter().find(|way| way.choice == self.choice)
    }
}

/// How a home repairs by l1-sparse fine-tuning: five passes, weights pulled back to the base.
///
/// Rate and alpha were chosen by the gap to exact replay of one person of FSDD, seed 1, among nine pairs:
/// at the paper's alpha of 1e-4 next to nothing is forgotten, from 1e-2 on the others are too.
pub fn default_repair() -> L1Sparse {
    let tuning = FineTune { epochs: 5, rate: 0.03, batch: 32, decay: 0.0, ..FineTune::default() };
    L1Sparse { tuning, alpha: 3e-3, form: L1Form::TowardsBase, ..L1Sparse::default() }
}

impl Home {
    /// What erasing `people` would take, with `seconds` left for it. Changes nothing: what is written to
    /// see how long that takes is removed again.
    ///
    /// # Errors
    /// If the vault or a model cannot be read.
    pub fn plan(
        &mut self,
        people: &[Handle],
        in_base: bool,
        asked: Option<Choice>,
        seconds: Option<f64>,
    ) -> Result<Plan, HomeError> {
        let models = self.state.holding(people).map(Model::id_text).collect();
        let live = self.state.live_model().filter(|model| model.holds(people)).cloned();
        let ancestor = self.clean_ancestor(people).cloned();
        let mut ways = Vec::new();
        let began = self.gauged();
        let settling;
        if live.is_none() && !in_base {
            settling = self.settling_seconds(self.pace(&[], people)?.scan_seconds())?;
            ways.push(still(Choice::NeverLearnt, None));
        } else {
            let steps = live.iter().flat_map(|model| &model.steps);
            let mut bounds: Vec<u64> = steps.map(|step| step.leg.upto).collect();
            bounds.push(self.state.learnt_upto());
            let mut pace = self.pace(&bounds, people)?;
            settling = self.settling_seconds(pace.scan_seconds())?;
            let (live, ancestor) = (live.as_ref(), ancestor.as_ref());
            let replay = self.replay(&mut pace, live, ancestor, in_base)?;
            let approximate = self.l1_sparse(&mut pace, people, in_base)?;
            let reset = still(Choice::Reset, None);
            // Where nobody else taught anything, what a replay comes to is the ancestor: it costs nothing.
            let nothing = replay.obstacle.as_deref() == Some(NOTHING_TO_REPLAY);
            ways.push(replay);
            ways.extend(if nothing { [reset, approximate] } else { [approximate, reset] });
        }
        // By the sensors' own clock: another would count what passes between the two.
        let power = |(now, then): (Gauged, Gauged)| {
            let seconds = now.seconds - then.seconds;
            (seconds > 0.0).then(|| (now.joules - then.joules) / seconds)
        };
        let watts = self.gauged().zip(began).and_then(power);
        for way in &mut ways {
            way.settling = settling + way.judging;
            way.joules = watts.map(|watts| watts * way.whole());
            self.hold_against_limits(way, seconds);
        }
        let possible = |way: &&Way| way.obstacle.is_none();
        let wanted = asked.and_then(|asked| ways.iter().find(|way| way.choice == asked));
        let taken = wanted.filter(possible).or_else(|| ways.iter().find(possible));
        let choice = taken.map_or(Choice::Reset, |way| way.choice);
        Ok(Plan {
            samples: self.store()?.owned(people)?.samples,
            models,
            base_holds: in_base,
            ancestor: ancestor.map_or_else(|| self.base.id.to_string(), |model| model.id_text()),
            ways,
            choice,
        })
    }

    /// The plan for an erasure that is under way.
    pub(super) fn plan_of(&mut self, job: &Job, now: u64) -> Result<Plan, HomeError> {
        let left = job.deadline().map(|deadline| deadline.saturating_sub(now) as f64);
        // What failed is not tried again: the same replay would give the same bytes.
        let asked = match job.failures.len() {
            0 => job.method(),
            1 if !job.tried(Choice::ExactReplay) => Some(Choice::ExactReplay),
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
            return;
        }
        let fills = |joules: f64, left: f64| joules > SAFETY * left;
        if let (Some(joules), Some(left)) = (way.joules, self.joules_left())
            && fills(joules, left)
        {
            way.obstacle = Some(format!("{joules:.1} J, {left:.1} J may still be taken"));
            return;
        }
        let whole = way.whole();
        if let Some(left) = seconds.filter(|left| fills(whole, *left)) {
            way.obstacle = Some(format!("{whole:.1} s, {left:.0} s are left until the deadline"));
        }
    }

    /// The same adaptations without them, from the clean ancestor on.
    fn replay(
        &mut self,
        pace: &mut Pace,
        live: Option<&Model>,
        ancestor: Option<&Model>,
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
            if pace.learnable(step.leg.upto) > 0 {
                legs.push(step.leg.clone());
            }
        }
        if legs.is_empty() {
            return Ok(still(choice, Some(NOTHING_TO_REPLAY)));
        }
        self.way(pace, choice, ancestor.map(|model| model.slot.clone()), legs, false)
    }

    /// Fine-tuning what is served over what is retained, under an l1 term.
    fn l1_sparse(
        &mut self,
        pace: &mut Pace,
        people: &[Handle],
        in_base: bool,
    ) -> Result<Way, HomeError> {
        let choice = Choice::L1Sparse;
        if !self.readable(self.state.live.as_deref()) {
            return Ok(still(
                choice,
                Some("the model that was served is destroyed already, or damaged"),
            ));
        }
        let mut classes = self.model(self.state.live.as_deref())?.meaning.classes;
        let upto = self.state.learnt_upto();
        classes.retain(|class| !self.base.meaning.classes.contains(class));
        if let Some(class) = self.untaught(classes, upto, people)?.first() {
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
        self.way(pace, choice, self.state.live.clone(), vec![leg], in_base)
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
        &mut self,
        pace: &mut Pace,
        choice: Choice,
        start: Option<String>,
        legs: Vec<Leg>,
        roots: bool,
    ) -> Result<Way, HomeError> {
        let watch = Stopwatch::start();
        let model = self.model(start.as_deref())?;
        let opened = watch.seconds();
        let around = self.around(pace.floats)?;
        let compute = match self.ways_for(&legs, &model.network, around, choice.name()) {
            Ok(compute) => compute,
            Err(HomeError::Memory { needed, limit, .. }) => {
                let why = format!("{needed} bytes of memory, {limit} are allowed");
                return Ok(still(choice, Some(&why)));
            }
            Err(error) => return Err(error),
        };
        // What was learnt is written, and opened again.
        let (mut seconds, mut bytes) = (2.0 * opened, 0);
        for leg in &legs {
            let recipe = leg.recipe()?;
            seconds += self.leg_seconds(pace, &model, leg, compute)?;
            let run = self.run_bytes(&model.network, &recipe, compute)?;
            bytes = bytes.max(around.peak(&model.network, &run));
        }
        seconds += pace.checkpoint_seconds();
        let judging = self.judging_seconds(pace, &model)?;
        let plan = compute.name();
        let work = Work { slot: slot::fresh_name()?, start, legs, plan, adapts: false, roots };
        let (settling, joules, obstacle) = (0.0, None, None);
        Ok(Way { choice, seconds, judging, settling, bytes, joules, obstacle, work: Some(work) })
    }
}

fn still(choice: Choice, obstacle: Option<&str>) -> Way {
    let obstacle = obstacle.map(str::to_string);
    let (seconds, judging, settling) = (0.0, 0.0, 0.0);
    Way { choice, seconds, judging, settling, bytes: 0, joules: None, obstacle, work: None }
}
