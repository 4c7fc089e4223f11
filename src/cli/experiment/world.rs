//! All that steps share: data, networks, products, memory.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::device::Wanted;
use super::super::fault::Fault;
use super::super::memory::{self, Around, MemoryArgs, Settled};
use super::super::setting::{self, DataArgs, Out};
use super::super::watch::stopped;
use super::cell;
use super::graph::{Graph, How, Step, Trial};
use super::settings::{Entry, Experiment};
use super::store::{Kept, Key, Model, Store};
use super::work::Budget;
use crate::base::hash::Digest;
use crate::data::{Extraction, Splits};
use crate::model::{Description, Network};
use crate::train::Recipe;
use crate::train::memory::{PROGRAM, network_bytes};

/// A data set that was opened.
pub(super) struct Opened {
    pub splits: Splits,
    /// Of its training part.
    pub digest: Digest,
}

/// A network on a data set.
pub(super) struct Pair {
    /// Which of the data sets.
    pub data: usize,
    /// As the file names it.
    pub model: String,
    pub description: Arc<Description>,
}

/// What a step has made.
#[derive(Clone, Debug)]
pub(super) enum Made {
    /// A network, in the file at `path`, a product called `name`.
    Model { model: Model, name: String, path: PathBuf },
    /// Figures.
    Figures(Value),
    /// A point of a grid.
    Choice(super::tune::Choice),
    /// Nothing, and why.
    Failed(String),
    /// Nothing yet: nothing is to be done.
    Missing,
}

/// All that steps share.
pub(super) struct World<'a> {
    pub experiment: &'a Experiment,
    pub opened: Vec<Opened>,
    pub pairs: Vec<Pair>,
    pub graph: Graph,
    pub store: Store,
    pub budget: Budget,
    pub limits: MemoryArgs,
    pub out: &'a Out,
}

impl<'a> World<'a> {
    /// Opens every data set and holds every network against it, before anything is learnt.
    pub(super) fn open(
        experiment: &'a Experiment,
        store: Store,
        device: Wanted,
        out: &'a Out,
    ) -> Result<Self, Fault> {
        let features = experiment.features.as_deref().map(Extraction::parse).transpose()?;
        let mut opened = Vec::new();
        for data in &experiment.data {
            let args = DataArgs { data: data.clone(), data_memory: experiment.data_memory };
            let splits = args.open(features.clone())?;
            let digest = splits.train.digest();
            opened.push(Opened { splits, digest });
        }
        let mut pairs = Vec::new();
        for (data, set) in opened.iter().enumerate() {
            for model in &experiment.models {
                pairs.push(pair(model, data, set)?);
            }
        }
        reach(device, &pairs)?;
        let graph = Graph::new(experiment, pairs.len());
        // `dry_run` asks for the figures, which go into the results.
        let memory = experiment.memory;
        let limits = MemoryArgs { dry_run: true, memory, device, ..MemoryArgs::default() };
        let shared =
            PROGRAM + opened.iter().map(|set| memory::data_bytes(&set.splits)).sum::<u64>();
        let budget = Budget::new(experiment.memory.map(|limit| limit.0.saturating_sub(shared)));
        let world = Self { experiment, opened, pairs, graph, store, budget, limits, out };
        world.scenarios()?;
        Ok(world)
    }

    /// Refuses a scenario that does not fit the data, before hours of training.
    fn scenarios(&self) -> Result<(), Fault> {
        let mut seen = std::collections::BTreeSet::new();
        for (step, _) in &self.graph.steps {
            let Step::Forget(trial, _) = step else { continue };
            if seen.insert((trial.pair, trial.scenario, trial.held_out)) {
                self.target(trial)?;
            }
        }
        Ok(())
    }

    /// The data of a pair.
    pub(super) fn data(&self, pair: usize) -> &Opened {
        &self.opened[self.pairs[pair].data]
    }

    /// Bytes that lie in memory whatever step runs.
    pub(super) fn shared(&self) -> u64 {
        PROGRAM + self.opened.iter().map(|set| memory::data_bytes(&set.splits)).sum::<u64>()
    }

    /// How the dense network of a trial is trained.
    pub(super) fn training(&self, seed: u64) -> Recipe {
        Recipe { seed, ..self.experiment.train.clone() }
    }

    /// How the model before it forgets was trained last.
    pub(super) fn recipe(&self, mask: usize, seed: u64) -> Recipe {
        let masking = &self.experiment.masks[mask];
        Recipe { seed, ..masking.recipe.clone() }
    }

    /// A method of the list.
    pub(super) fn entry(&self, index: usize) -> &Entry {
        &self.experiment.methods[index]
    }

    /// How a step learns: in which plan, and what that takes.
    pub(super) fn settle(
        &self,
        network: &Network,
        recipe: &Recipe,
        samples: usize,
        extra: Extra,
    ) -> Result<Settled, Fault> {
        let classes = network.description.classes;
        let around = Around {
            data: self.shared() - PROGRAM + extra.kept,
            models: extra.models * network_bytes(network),
            checkpoint: extra.checkpoint,
            network,
            answers: memory::answer_bytes(extra.answers, classes, extra.shadow),
            before: extra.before,
        };
        self.limits.settle(&around, recipe.batch.min(samples), recipe, None)
    }

    /// What a step takes besides what all share.
    pub(super) fn own(&self, settled: &Settled) -> u64 {
        let peak = settled.peak.as_ref().map_or(0, memory::Peak::total);
        peak.saturating_sub(self.shared())
    }

    /// What is kept under `key`, or what `make` makes, which is kept. A fault that follows from the
    /// settings is a result too.
    pub(super) fn product(
        &self,
        key: &Key,
        make: impl FnOnce() -> Result<Kept, Fault>,
    ) -> Result<Made, Fault> {
        let claim = self.store.claim(key);
        if let Some(kept) = self.store.take(key)? {
            return Ok(self.made(key, kept));
        }
        if self.store.only_looks() {
            return Ok(Made::Missing);
        }
        if stopped() {
            return Err(interrupted());
        }
        let kept = match make() {
            Err(fault) if cell::is_result(&fault) => Kept::Failed(fault.to_string()),
            kept => kept?,
        };
        self.store.keep(key, &kept)?;
        // As whoever resumes will read it: a number that went through its text may differ in its last
        // bit.
        let kept = self.store.take(key)?.unwrap_or(kept);
        drop(claim);
        Ok(self.made(key, kept))
    }

    /// A product as what a step has made.
    pub(super) fn made(&self, key: &Key, kept: Kept) -> Made {
        match kept {
            Kept::Model(model) => {
                Made::Model { model, name: key.name().to_string(), path: self.store.model(key) }
            }
            Kept::Figures(figures) => Made::Figures(figures),
            Kept::Failed(why) => Made::Failed(why),
        }
    }

    /// Steps at once, and threads: what a time was taken beside.
    pub(super) fn beside(&self) -> [usize; 2] {
        [self.experiment.jobs, rayon::current_num_threads()]
    }

    /// A step in words.
    pub(super) fn told(&self, step: &Step) -> String {
        let place = |pair: usize, seed: u64| {
            let Pair { data, model, .. } = &self.pairs[pair];
            format!("{model} on {}, seed {seed}", self.experiment.data[*data])
        };
        let of = |trial: &Trial| {
            let held = if trial.held_out { "held out for " } else { "" };
            format!(
                "{}, {}, {held}{}",
                place(trial.pair, trial.seed),
                self.experiment.masks[trial.mask].label,
                self.experiment.scenarios[trial.scenario]
            )
        };
        match step {
            Step::Base { pair, seed } => format!("train {}", place(*pair, *seed)),
            Step::Mask { pair, seed, mask } => {
                format!("prune {}, {}", place(*pair, *seed), self.experiment.masks[*mask].label)
            }
            Step::Forget(trial, how) => format!("forget {}, {}", of(trial), self.method_told(how)),
            Step::Measure(trial, how) => {
                let how = how.as_ref().map_or("original".into(), |how| self.method_told(how));
                format!("measure {}, {how}", of(trial))
            }
            Step::Choose(trial, entry) => {
                format!("choose {}, {}", of(trial), self.entry(*entry).label)
            }
        }
    }

    fn method_told(&self, how: &How) -> String {
        match how {
            How::Retrain => "retrain".into(),
            How::Method(entry) | How::Chosen(entry) => self.entry(*entry).label.clone(),
            How::Candidate(entry, point) => {
                let entry = self.entry(*entry);
                format!("{} {}", entry.label, entry.candidates[*point].0)
            }
        }
    }
}

/// What a run of a step has around it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extra {
    /// Bytes of samples that are held besides the sets.
    pub kept: u64,
    /// Networks that stay open.
    pub models: u64,
    /// Whether checkpoints are written.
    pub checkpoint: bool,
    /// Samples whose answers are held.
    pub answers: usize,
    /// Samples on each side of an attack.
    pub shadow: usize,
    /// Another moment that may be the fullest.
    pub before: Option<(&'static str, u64)>,
}

/// What whoever interrupts reads.
pub(super) fn interrupted() -> Fault {
    Fault::Interrupted("stopped: what is done is kept; the same words again make the rest".into())
}

/// Refuses a device that cannot be had, or a network that is too large for it, before anything is made.
fn reach(device: Wanted, pairs: &[Pair]) -> Result<(), Fault> {
    if device != Wanted::Cpu {
        for pair in pairs {
            device.open(&Network::new(pair.description.clone(), 1))?;
        }
    }
    Ok(())
}

fn pair(model: &str, data: usize, set: &Opened) -> Result<Pair, Fault> {
    let train = &set.splits.train;
    let description = setting::describe(model, train.classes.len())?;
    let takes = description.input_shape();
    if takes != train.shape {
        return Err(Fault::Usage(format!(
            "model `{model}` takes samples of {takes:?} (channels, height, width), {} has {:?}: every model of an experiment must fit all of its data; write two files otherwise",
            set.splits.name, train.shape
        )));
    }
    Ok(Pair { data, model: model.to_string(), description })
}

/// A network's text, for keys.
pub(super) fn description_key(description: &Description) -> Value {
    json!(Digest::of(description.source.as_bytes()).to_string())
}
