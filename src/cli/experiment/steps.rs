//! Steps that make the models before: the dense network, and what pruning leaves of it.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::super::learn;
use super::super::memory::Settled;
use super::super::prune::masks_plan;
use super::super::setting::{self, Written, plain};
use super::cell;
use super::graph::Step;
use super::looker::Looker;
use super::settings::{Masking, Rewind};
use super::store::{Kept, Key, Model};
use super::world::{Extra, Made, World, description_key, interrupted};
use crate::format::{Dtype, Facts, Provenance};
use crate::model::Network;
use crate::model::file::Artifact;
use crate::prune::rewind;
use crate::sparse::Mask;
use crate::train::{Recipe, State};

/// A run that makes a product.
struct Learning<'a> {
    what: String,
    pair: usize,
    key: &'a Key,
    recipe: &'a Recipe,
    settled: &'a Settled,
    facts: Facts,
    /// Early epochs to keep, each with the product that it is.
    early: &'a [(usize, Key)],
    /// The epoch that is enough.
    until: Option<usize>,
    /// Whether a checkpoint of an earlier run may be taken.
    resumes: bool,
}

impl World<'_> {
    /// Makes what a step is for, or takes what is kept.
    pub(super) fn perform(&self, index: usize, given: &[Arc<Made>]) -> Result<Made, Fault> {
        let step = &self.graph.steps[index].0;
        let made = match (step, given) {
            (Step::Base { pair, seed }, _) => self.base(*pair, *seed),
            (Step::Choose(trial, entry), given) => self.choose(trial, *entry, given),
            (_, [first, rest @ ..]) => match &**first {
                Made::Failed(why) => Ok(Made::Failed(why.clone())),
                Made::Model { model, name, path } => match step {
                    Step::Mask { pair, seed, mask } => {
                        self.mask((*pair, *seed, *mask), (&model.id, path), name)
                    }
                    Step::Forget(trial, how) => self.forget(trial, *how, rest, path),
                    _ => self.measure(step, path),
                },
                Made::Missing => Ok(Made::Missing),
                Made::Figures(_) | Made::Choice(_) => {
                    Ok(Made::Failed("it starts from no model".into()))
                }
            },
            _ => Ok(Made::Failed("it starts from nothing".into())),
        }?;
        let word = match made {
            Made::Missing => return Ok(made),
            Made::Failed(_) => "failed",
            _ => "done",
        };
        let all = self.graph.steps.len();
        self.out.say(&format!("[{}/{all}] {}: {word}", index + 1, self.told(step)));
        Ok(made)
    }

    /// The product that the weights of an early epoch of a dense training are.
    fn early(base: &str, epoch: usize) -> Key {
        Key::new("early", json!({ "base": base, "epoch": epoch }))
    }

    /// The epochs that masks rewind to, ascending.
    fn early_epochs(&self) -> Vec<usize> {
        let masks = self.experiment.masks.iter().filter(|mask| !mask.dense());
        let mut epochs: Vec<usize> = masks.map(|mask| mask.rewind.epoch()).collect();
        epochs.sort_unstable();
        epochs.dedup();
        epochs.retain(|&epoch| epoch > 0);
        epochs
    }

    /// The weights of early epochs that masks rewind to and that are not there.
    fn missing(&self, base: &str) -> Result<Vec<(usize, Key)>, Fault> {
        let mut missing = Vec::new();
        for epoch in self.early_epochs() {
            let product = Self::early(base, epoch);
            if self.store.take(&product)?.is_none() {
                missing.push((epoch, product));
            }
        }
        Ok(missing)
    }

    fn base(&self, pair: usize, seed: u64) -> Result<Made, Fault> {
        let (recipe, data) = (self.training(seed), self.data(pair));
        let description = &self.pairs[pair].description;
        let network = Network::new(description.clone(), seed);
        let settled = self.settle(&network, &recipe, data.splits.train.len(), BASE)?;
        let key = Key::new(
            "base",
            json!({
                "plan": learn::plan(settled.compute), "data": data.digest.to_string(),
                "network": description_key(description), "recipe": plain(&recipe),
            }),
        );
        let early = self.missing(key.name())?;
        let kept = self.store.take(&key)?;
        let until = kept.as_ref().and_then(|_| early.last().map(|(epoch, _)| *epoch));
        let resumes = kept.is_none();
        let learning = Learning {
            what: self.told(&Step::Base { pair, seed }),
            pair,
            key: &key,
            recipe: &recipe,
            settled: &settled,
            facts: self.facts(pair, &recipe, &settled),
            early: &early,
            until,
            resumes,
        };
        let start = || Ok(State::new(network.clone()));
        if matches!(kept, Some(Kept::Model(_))) && !early.is_empty() {
            if self.store.only_looks() {
                return Ok(Made::Missing);
            }
            // Only the weights of an early epoch are missing.
            self.learn(&learning, start)?;
        }
        self.product(&key, || self.trained(&learning, start, Dtype::F32))
    }

    /// Prunes and trains, in as many rounds as the mask has. Each is a product of its own.
    fn mask(
        &self,
        of: (usize, u64, usize),
        (parent, path): (&str, &Path),
        base: &str,
    ) -> Result<Made, Fault> {
        let mut made = self.round(of, 1, (parent, path), base)?;
        for round in 2..=self.experiment.masks[of.2].iterations {
            let Made::Model { model, path, .. } = &made else { return Ok(made) };
            made = self.round(of, round, (&model.id, path), base)?;
        }
        Ok(made)
    }

    /// A round, from the dense network or from what the round before left, at `path`.
    fn round(
        &self,
        (pair, seed, mask): (usize, u64, usize),
        round: usize,
        (parent, path): (&str, &Path),
        base: &str,
    ) -> Result<Made, Fault> {
        let rounds = self.experiment.masks[mask].iterations;
        let masking = &self.experiment.masks[mask].round(round);
        // What later rounds go on from is not rounded.
        let last = round == rounds;
        let dtype = if last { self.experiment.dtype.into() } else { Dtype::F32 };
        let recipe = self.recipe(mask, seed);
        let dense = setting::open_model(path)?;
        let data = self.data(pair);
        let full = dense.network.masks();
        let start = match masking.criterion.before_training() {
            true => self.rewound(pair, seed, masking.rewind, base, &dense.network, full)?,
            false => dense.network.clone(),
        };
        let chosen = match cell::choose(&start, masking, &data.splits, seed) {
            Err(fault) if cell::is_result(&fault) => return Ok(Made::Failed(fault.to_string())),
            chosen => chosen?,
        };
        let network = self.rewound(pair, seed, masking.rewind, base, &dense.network, chosen)?;
        let choosing = Some(("choosing masks", 20 * dense.network.values.len() as u64));
        let extra = Extra { models: 1, before: choosing, ..BASE };
        let settled = self.settle(&network, &recipe, data.splits.train.len(), extra)?;
        let by = masks_plan(masking.criterion, settled.compute);
        let key = Key::new(
            "mask",
            json!({
                "plan": learn::plan(settled.compute), "data": data.digest.to_string(),
                "parent": parent, "mask": mask_key(masking, by.as_deref()), "recipe": plain(&recipe),
                "dtype": if last { plain(&self.experiment.dtype) } else { json!("f32") },
            }),
        );
        let facts = self.facts(pair, &recipe, &settled);
        let facts = by.iter().fold(facts, |facts, plan| facts.with("masks_plan", plan.clone()));
        let facts = facts
            .with("init_seed", seed.to_string())
            .with("parent", parent)
            .with("sparsity", masking.sparsity.to_string())
            .with("allocation", masking.allocation.name())
            .with("criterion", masking.criterion.name());
        let learning = Learning {
            what: match rounds {
                1 => self.told(&Step::Mask { pair, seed, mask }),
                _ => format!("{}, {round}/{rounds}", self.told(&Step::Mask { pair, seed, mask })),
            },
            pair,
            key: &key,
            recipe: &recipe,
            settled: &settled,
            facts,
            early: &[],
            until: None,
            resumes: true,
        };
        let epoch = masking.rewind.epoch();
        let start = || {
            Ok(State { momentum: vec![0.0; network.values.len()], network: network.clone(), epoch })
        };
        self.product(&key, || self.trained(&learning, start, dtype))
    }

    /// The weights that training under masks begins with.
    fn rewound(
        &self,
        pair: usize,
        seed: u64,
        to: Rewind,
        base: &str,
        dense: &Network,
        masks: Vec<Mask>,
    ) -> Result<Network, Fault> {
        let name = &dense.description.name;
        Ok(match to {
            Rewind::None => {
                let mut network = dense.clone();
                network.set_masks(masks);
                network
            }
            Rewind::Init => {
                rewind(&Network::new(self.pairs[pair].description.clone(), seed), masks, name)?
            }
            Rewind::Epoch(epoch) => {
                let early = setting::open_model(&self.store.model(&Self::early(base, epoch)))?;
                rewind(&early.network, masks, name)?
            }
        })
    }

    /// What the file of a model of this experiment says of its making.
    fn facts(&self, pair: usize, recipe: &Recipe, settled: &Settled) -> Facts {
        let data = self.data(pair);
        let (splits, compute) = (&data.splits, settled.compute);
        learn::facts("experiment", Provenance::Undeclared, splits, data.digest, recipe, compute)
    }

    /// Trains to the end and writes the model file.
    fn trained(
        &self,
        of: &Learning<'_>,
        start: impl FnOnce() -> Result<State, Fault>,
        dtype: Dtype,
    ) -> Result<Kept, Fault> {
        let (state, seconds) = self.learn(of, start)?;
        let facts = of.facts.clone().with("epoch", state.epoch.to_string());
        let artifact =
            self.save(of.pair, &state.network, &facts, dtype, &self.store.model(of.key))?;
        self.store.clear(&self.store.checkpoint(of.key))?;
        Ok(Kept::Model(self.record(&artifact, seconds, of.settled)))
    }

    /// Trains from `start`, or from the checkpoint of a run that was ended.
    fn learn(
        &self,
        of: &Learning<'_>,
        start: impl FnOnce() -> Result<State, Fault>,
    ) -> Result<(State, f64), Fault> {
        let (mut state, before) = match self.resumed(of)? {
            Some(resumed) => resumed,
            None => (start()?, 0.0),
        };
        let _permit = self.budget.take(self.own(of.settled));
        let mut keep = |state: &State, seconds: f64, due: bool| -> Result<(), Fault> {
            for (_, product) in of.early.iter().filter(|(epoch, _)| *epoch == state.epoch) {
                self.keep_early(of, state, seconds, product)?;
            }
            match due && of.resumes && state.epoch < of.recipe.epochs {
                true => self.checkpoint(of, state, seconds),
                false => Ok(()),
            }
        };
        let mut looker = Looker::new(&of.what, self.experiment.jobs == 1);
        looker.keep = Some(&mut keep);
        (looker.until, looker.seconds) = (of.until, before);
        let data = &self.data(of.pair).splits;
        let done = cell::train(&mut state, data, of.recipe, of.settled.compute, &mut looker);
        looker.finish();
        let seconds = looker.seconds;
        done?;
        match state.epoch >= of.until.unwrap_or(of.recipe.epochs) {
            true => Ok((state, seconds)),
            false => Err(interrupted()),
        }
    }

    fn keep_early(
        &self,
        of: &Learning<'_>,
        state: &State,
        seconds: f64,
        product: &Key,
    ) -> Result<(), Fault> {
        let facts = of.facts.clone().with("epoch", state.epoch.to_string());
        let path = self.store.model(product);
        let artifact = self.save(of.pair, &state.network, &facts, Dtype::F32, &path)?;
        self.store.keep(product, &Kept::Model(self.record(&artifact, seconds, of.settled)))
    }

    fn checkpoint(&self, of: &Learning<'_>, state: &State, seconds: f64) -> Result<(), Fault> {
        let facts = of
            .facts
            .clone()
            .with("epoch", state.epoch.to_string())
            .with("seconds", seconds.to_string())
            .with("product", of.key.name());
        let meaning = setting::meaning_of(&self.data(of.pair).splits);
        let written = Written {
            network: &state.network,
            meaning: &meaning,
            facts: &facts,
            dtype: Dtype::F32,
            momentum: Some(&state.momentum),
            anchor: None,
        };
        written.save(&self.store.checkpoint(of.key))?;
        Ok(())
    }

    /// The state that an ended run of the same product left, and the seconds that it took; nothing if
    /// there is none, or it is past an epoch that must be kept.
    fn resumed(&self, of: &Learning<'_>) -> Result<Option<(State, f64)>, Fault> {
        let path = self.store.checkpoint(of.key);
        if !of.resumes || !path.exists() {
            return Ok(None);
        }
        let Ok(artifact) = setting::open_model(&path) else { return Ok(None) };
        let Artifact { network, facts, momentum, .. } = artifact;
        let number = |fact: &str| facts.get(fact).and_then(|text| text.parse::<f64>().ok());
        let same = facts.get("product") == Some(of.key.name());
        let (Some(epoch), Some(seconds), Some(momentum), true) =
            (number("epoch"), number("seconds"), momentum, same)
        else {
            return Ok(None);
        };
        // A whole number that this program wrote.
        let epoch = epoch as usize;
        let passed = of.early.iter().any(|(early, _)| *early <= epoch);
        Ok((!passed).then_some((State { network, momentum, epoch }, seconds)))
    }

    /// Writes a model file and opens it again.
    pub(super) fn save(
        &self,
        pair: usize,
        network: &Network,
        facts: &Facts,
        dtype: Dtype,
        path: &Path,
    ) -> Result<Artifact, Fault> {
        let meaning = &setting::meaning_of(&self.data(pair).splits);
        Written { network, meaning, facts, dtype, momentum: None, anchor: None }.save(path)
    }

    /// What the record of a model says.
    pub(super) fn record(&self, artifact: &Artifact, seconds: f64, settled: &Settled) -> Model {
        Model {
            id: artifact.id.to_string(),
            bytes: artifact.bytes,
            seconds,
            beside: self.beside(),
            plan: learn::plan(settled.compute),
            peak: settled.peak.as_ref().map_or(0, super::super::memory::Peak::total),
            notes: settled.notes.clone(),
        }
    }
}

/// What a mask depends on, for keys.
fn mask_key(masking: &Masking, by: Option<&str>) -> Value {
    let mut of = masking.value();
    // A name in tables changes nothing of what is made.
    of.as_object_mut().map(|of| of.remove("label"));
    if let Some(by) = by {
        of["chosen_by"] = json!(by);
    }
    of
}

/// A training of the whole set has checkpoints, and nothing else around it.
const BASE: Extra =
    Extra { kept: 0, models: 0, checkpoint: true, answers: 0, shadow: 0, before: None };
