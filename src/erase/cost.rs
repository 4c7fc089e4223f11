//! What learning takes on this device: seconds that are measured before anything is chosen, and bytes
//! that follow from sizes.
//!
//! The time of a way is a sum of parts, each measured here and now: the model is opened, the index gone
//! through, samples are opened, steps are taken, and after each pass a checkpoint is sealed and written.
//! Nothing is a constant of a device.

use std::cell::{Cell, RefCell};

use super::error::HomeError;
use super::gate::MOST;
use super::home::Home;
use super::slot;
use super::state::Leg;
use crate::base::clock::Stopwatch;
use crate::data::{Dataset, Values as Stored};
use crate::format::{AnchorPart, Dtype, Facts, Provenance};
use crate::model::file::{self, Artifact};
use crate::model::{Mode, Network, Plan};
use crate::sparse::{Isa, LANES};
use crate::train::memory::{PROGRAM, RunBytes, network_bytes};
use crate::train::{Compute, Recipe, Stepper, score};
use crate::vault::{Handle, Header, Key, Values};

/// Samples of the vault that are opened to see how long that takes.
const OPENED: u64 = 64;
/// Steps that are timed at most, after the first.
const STEPS: usize = 32;
/// Checkpoints that are written at most.
const WRITES: usize = 3;
/// Seconds after which nothing is timed once more.
const ENOUGH: f64 = 0.06;
/// Samples that are scored to see how long that takes.
const SCORED: usize = 128;
/// Bytes that are written at most to see how long that takes; more takes longer in proportion.
const WRITTEN: usize = 4 << 20;
/// Bytes of pages that the index keeps in memory, and what the engine has around them.
const INDEX: u64 = 10 << 20;

/// What is known of samples and device for one plan.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// For each bound, how many samples below it may be learnt from.
    learnable: Vec<(u64, u64)>,
    /// Samples of those who stay that only measure.
    held: u64,
    /// Seconds of going once through the index.
    scan: f64,
    /// Seconds of opening a sample.
    open: f64,
    /// Whether some sample is of floats.
    pub(super) floats: bool,
    /// What steps take, for each way to take them.
    steps: Vec<(String, Steps)>,
    /// Seconds of a checkpoint.
    checkpoint: Option<f64>,
    /// Seconds of asking about a sample.
    ask: Option<f64>,
}

/// Seconds of steps.
#[derive(Clone, Copy, Debug)]
struct Steps {
    /// What the first takes more than each: making ready, and memory that is touched first.
    first: f64,
    /// Each.
    each: f64,
    /// What a pass over the set takes besides: a CUDA device gets weights and gives them back.
    pass: f64,
}

impl Pace {
    /// Samples of the vault below `upto` that may be learnt from.
    pub(super) fn learnable(&self, upto: u64) -> u64 {
        self.learnable.iter().find(|(bound, _)| *bound == upto).map_or(0, |(_, count)| *count)
    }

    /// Seconds of going once through the index.
    pub(super) fn scan_seconds(&self) -> f64 {
        self.scan
    }

    /// Seconds of a checkpoint, as far as one was made.
    pub(super) fn checkpoint_seconds(&self) -> f64 {
        self.checkpoint.unwrap_or(0.0)
    }
}

/// What lies in memory around a run, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    /// Program, index, base, anchor set.
    standing: u64,
    /// The set that is learnt from.
    set: u64,
    /// Sets and answers of the gate.
    judging: u64,
}

impl Around {
    /// The fullest moment of a run and of judging what it came to.
    pub(super) fn peak(&self, network: &Network, run: &RunBytes) -> u64 {
        let each = 4 * network.values.len() as u64;
        // A checkpoint is in memory as the file, with its words before it, sealed, sealed behind its
        // mark, and as it is read back; the copy that undoes an epoch is gone by then.
        let writing = 5 * (run.weights + each);
        let steps = run.total() - run.undo + run.undo.max(writing);
        // Where it began, the file of the leg before, and the base that weights are pulled to.
        let learning = self.set + steps + 2 * network_bytes(network) + each;
        let asking = Plan::new(network, SCORED, Mode::Evaluate);
        let judging =
            self.judging + asking.arena_bytes() + asking.index_bytes() + 4 * network_bytes(network);
        self.standing + learning.max(judging)
    }
}

impl Home {
    /// How many samples there are to learn from below each of `bounds` without `people`, and how long
    /// they take to be found and opened.
    pub(super) fn pace(&self, bounds: &[u64], people: &[Handle]) -> Result<Pace, HomeError> {
        let learnable = RefCell::new(bounds.iter().map(|&bound| (bound, 0)).collect::<Vec<_>>());
        let held = Cell::new(0);
        let watch = Stopwatch::start();
        self.store()?.counted(|number, header| {
            if header.concerns(people) {
                return false;
            }
            held.set(held.get() + u64::from(header.held));
            for (bound, count) in learnable.borrow_mut().iter_mut() {
                *count += u64::from(number < *bound && !header.held);
            }
            true
        })?;
        let scan = watch.seconds();
        let (open, floats) = self.opening(people)?;
        let (learnable, held) = (learnable.into_inner(), held.get());
        Ok(Pace { learnable, held, scan, open, floats, ..Pace::default() })
    }

    /// Seconds of opening a sample, the mean of some; and whether one of them is of floats.
    fn opening(&self, people: &[Handle]) -> Result<(f64, bool), HomeError> {
        let stride = self.store()?.next()?.div_ceil(OPENED).max(1);
        let begun = Cell::new(Stopwatch::start());
        let wanted = |number: u64, header: &Header| {
            begun.set(Stopwatch::start());
            number.is_multiple_of(stride) && !header.concerns(people)
        };
        let (mut seconds, mut floats) = (Vec::new(), false);
        self.store()?.each(&self.keyring, wanted, |sample| {
            seconds.push(begun.get().seconds());
            floats |= matches!(sample.values, Values::Floats(_));
        })?;
        Ok((mean(&seconds), floats))
    }

    /// Which of `classes` no sample below `upto` shows that may be learnt from and is not of `people`.
    pub(super) fn untaught(
        &self,
        classes: Vec<String>,
        upto: u64,
        people: &[Handle],
    ) -> Result<Vec<String>, HomeError> {
        if classes.is_empty() {
            return Ok(classes);
        }
        let missing = RefCell::new(classes);
        // Nothing is opened any more once all were seen.
        let wanted = |number: u64, header: &Header| {
            let open = number < upto && !header.held && !header.concerns(people);
            open && !missing.borrow().is_empty()
        };
        self.store()?.each(&self.keyring, wanted, |sample| {
            missing.borrow_mut().retain(|class| *class != sample.label);
        })?;
        Ok(missing.into_inner())
    }

    /// What a run takes besides itself.
    pub(super) fn around(&self, floats: bool) -> Result<Around, HomeError> {
        let count = self.store()?.count()?;
        let network = &self.base.network;
        let values: u64 =
            network.description.input_shape().iter().map(|&side| side as u64).product();
        let (trains, calibrates) = match &self.anchor {
            Some(anchor) => (&anchor.train, &anchor.calibrate),
            None => return Ok(Around { standing: PROGRAM, set: 0, judging: 0 }),
        };
        let anchor = trains.value_bytes() + calibrates.value_bytes();
        let floats = floats || matches!(trains.values, Stored::Floats(_));
        // A set that grows is there twice for a moment. Label and owner are words.
        let sized = |samples: u64| 2 * samples * (values * if floats { 4 } else { 1 } + 8);
        let classes = network.description.classes as u64;
        let answers = |samples: u64| samples.min(MOST as u64) * (20 * classes + 32);
        let calibrating = calibrates.len() as u64;
        // The base has the anchor set as it was read, the home in two parts; a copy of the base is
        // where a run begins.
        let standing =
            PROGRAM + INDEX.min((2 << 20) + 2 * count.bytes) + network_bytes(network) + 3 * anchor;
        let set = sized(trains.len() as u64 + count.samples - count.held.min(count.samples));
        let judging = 2 * anchor + sized(count.held) + answers(calibrating) + answers(count.held);
        // Who goes may be asked about too.
        Ok(Around { standing, set, judging: judging + sized(count.samples.min(MOST as u64)) })
    }

    /// Whether samples of the vault are of floats, as far as some that are opened show.
    pub(super) fn of_floats(&self) -> Result<bool, HomeError> {
        self.opening(&[]).map(|(_, floats)| floats)
    }

    /// Seconds that a leg takes from a model like `start` on.
    pub(super) fn leg_seconds(
        &mut self,
        pace: &mut Pace,
        start: &Artifact,
        leg: &Leg,
        compute: Compute,
    ) -> Result<f64, HomeError> {
        let recipe = leg.recipe()?;
        let kept = pace.learnable(leg.upto);
        let samples = self.anchor(AnchorPart::Train).map_or(0, Dataset::len) + kept as usize;
        let batch = recipe.batch.min(samples).max(1);
        let form = (recipe.l1.alpha > 0.0).then_some(recipe.l1.form);
        let way = format!("{batch} {} {} {form:?}", recipe.trained, compute.name());
        let known = pace.steps.iter().find(|(known, _)| *known == way).map(|(_, steps)| *steps);
        let Steps { first, each, pass } = match known {
            Some(steps) => steps,
            None => {
                let set = self.anchor(AnchorPart::Train);
                let steps = time_steps(start, set, &recipe, batch, compute)?;
                pace.steps.push((way, steps));
                steps
            }
        };
        let checkpoint = match pace.checkpoint {
            Some(seconds) => seconds,
            None => *pace.checkpoint.insert(self.time_checkpoint(start)?),
        };
        // A rest is computed in whole blocks of lanes.
        let rest = (samples % batch).div_ceil(LANES) * LANES;
        let steps = (samples / batch) as f64 + rest.min(batch) as f64 / batch as f64;
        // Who taught, which classes there are, and the set: the last two open every sample.
        let set = 3.0 * pace.scan + 2.0 * kept as f64 * pace.open;
        Ok(set + first + recipe.epochs as f64 * (steps * each + pass + checkpoint))
    }

    /// Seconds of judging what a run came to, and of what is written at its end.
    pub(super) fn judging_seconds(
        &self,
        pace: &mut Pace,
        candidate: &Artifact,
    ) -> Result<f64, HomeError> {
        let Some(set) = self.anchor(AnchorPart::Calibrate) else { return Ok(0.0) };
        let ask = match pace.ask {
            Some(seconds) => seconds,
            None => *pace.ask.insert(ask_seconds(candidate, set)?),
        };
        let asked = (set.len() as u64).min(MOST as u64) + pace.held.min(MOST as u64);
        Ok(asked as f64 * ask + 3.0 * pace.scan + pace.held as f64 * pace.open)
    }

    /// Seconds of a checkpoint of a run that began with `start`: one is made, sealed under a key that
    /// nobody keeps, written, and removed. Nothing where the disk refuses.
    fn time_checkpoint(&mut self, start: &Artifact) -> Result<f64, HomeError> {
        let watch = Stopwatch::start();
        let momentum = vec![0.0; start.network.values.len()];
        let facts = Facts::new(Provenance::Enrolled).with("command", "adapt");
        let (network, meaning) = (&start.network, &start.meaning);
        let bytes = file::encode(network, meaning, &facts, Dtype::F32, Some(&momentum), None)?;
        let encoded = watch.seconds();
        // Whatever lies in this folder without a key is swept.
        let path = self.folder.join("slots").join("measure.work");
        let piece = &bytes[..bytes.len().min(WRITTEN)];
        let key = Key::fresh()?;
        let mut seconds = Vec::new();
        while seconds.len() < WRITES && seconds.iter().sum::<f64>() < ENOUGH {
            let watch = Stopwatch::start();
            if slot::write(self.disk.as_mut(), &path, &key, piece).is_err() {
                return Ok(encoded);
            }
            seconds.push(watch.seconds());
        }
        self.disk.remove(&path)?;
        Ok(encoded + mean(&seconds) * bytes.len() as f64 / piece.len().max(1) as f64)
    }
}

/// The mean, 0 of none: what is foretold is a sum, and whatever else the device does slows it as well.
fn mean(seconds: &[f64]) -> f64 {
    seconds.iter().sum::<f64>() / seconds.len().max(1) as f64
}

/// Seconds of steps of learning, on samples of the anchor set. What they are matters: the speed of a pass
/// depends on how many activations are zero. A CUDA device is waited for after each step; one that failed is an
/// error, because it would look fast.
fn time_steps(
    start: &Artifact,
    set: Option<&Dataset>,
    recipe: &Recipe,
    batch: usize,
    compute: Compute,
) -> Result<Steps, HomeError> {
    let (whole, mut seconds) = (Stopwatch::start(), Vec::new());
    let mut network = start.network.clone();
    let base = network.values.clone();
    let mut stepper = Stepper::new(&network, batch, recipe, Some(&base), compute);
    let mut momentum = vec![0.0; network.values.len()];
    let label = |i: usize| set.map_or(0, |set| set.labels[i % set.len()]);
    let labels: Vec<u32> = (0..batch).map(label).collect();
    let mut first = 0.0;
    stepper.begin(&network, &momentum);
    while seconds.is_empty() || (seconds.len() < STEPS && whole.seconds() - first < ENOUGH) {
        let watch = Stopwatch::start();
        let loss = stepper.learn(&mut network, &labels, |i, out| match set {
            Some(set) => set.read(i % set.len(), out),
            None => out.fill(0.0),
        });
        stepper.update(&mut network, &mut momentum, 0.0, recipe.l1.alpha);
        stepper.loss(&network, loss);
        stepper.at_centre();
        stepper.trouble()?;
        match first == 0.0 {
            true => first = whole.seconds(),
            false => seconds.push(watch.seconds()),
        }
    }
    let each = mean(&seconds);
    let watch = Stopwatch::start();
    stepper.end(&mut network, &mut momentum);
    stepper.begin(&network, &momentum);
    stepper.at_centre();
    let pass = watch.seconds();
    stepper.trouble()?;
    Ok(Steps { first: (first - each).max(0.0), each, pass })
}

/// Seconds of asking about a sample.
fn ask_seconds(candidate: &Artifact, set: &Dataset) -> Result<f64, HomeError> {
    let indices: Vec<usize> = (0..set.len().min(SCORED)).collect();
    // Classes that are new come behind those of the base.
    let classes = candidate.meaning.classes.clone();
    let set = Dataset { classes, ..set.clone() };
    let watch = Stopwatch::start();
    score(&candidate.network, &set, &indices, Isa::best())?;
    Ok(watch.seconds() / indices.len().max(1) as f64)
}
