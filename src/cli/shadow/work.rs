//! A shadow model: half of the training samples, learnt; then what is asked about, forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::device::{self, Wanted};
use super::super::fault::Fault;
use super::super::setting::{self, DataArgs};
use super::super::watch::Bar;
use super::record::{Answers, Record, bits};
use super::settings::{Settings, TRAINED};
use crate::base::hash::Digest;
use crate::base::rng::Stream;
use crate::base::units::Bytes;
use crate::data::{Dataset, Splits};
use crate::evaluate::Scores;
use crate::model::{Description, Network};
use crate::train::{Compute, Recipe, State, run, score};
use crate::unlearn::{Given, Method, Outcome, forget};

/// Memory that the values of each part may take.
const DATA_MEMORY: Bytes = Bytes(1 << 30);

/// All that every shadow model shares.
pub(super) struct Work {
    pub settings: Settings,
    pub compute: Compute,
    /// Of everything that a result depends on, save the plan: a result tells its own.
    pub digest: Digest,
    /// Training samples that are asked about, ascending.
    pub audited: Vec<usize>,
    /// Test samples that RMIA compares with, ascending.
    pub population: Vec<usize>,
    data: Splits,
    description: Arc<Description>,
    /// Samples that must not be split, those that are asked about first.
    units: Units,
}

/// Samples in lots that are learnt whole or not at all: groups, or single samples.
struct Units {
    audited: Vec<Vec<usize>>,
    others: Vec<Vec<usize>>,
}

impl Work {
    /// Opens data and network, and draws what is asked about. Nothing is computed on another device than
    /// the processor before [`Work::on`].
    ///
    /// # Errors
    /// If the settings do not fit the data, or either cannot be opened.
    pub(super) fn open(settings: Settings) -> Result<Self, Fault> {
        let data = DataArgs { data: settings.data.clone(), data_memory: DATA_MEMORY }.open(None)?;
        let description = setting::describe(&settings.model, data.train.classes.len())?;
        let wanted = [
            ("audited", settings.audited, data.train.len(), "training"),
            ("population", settings.population, data.test.len(), "test"),
        ];
        for (key, asked, there, part) in wanted {
            if asked > there {
                return Err(Fault::Usage(format!(
                    "`{key}` is {asked}, but {} has {there} {part} samples: ask for fewer",
                    data.name
                )));
            }
        }
        let compute = setting::isa().into();
        let units = Units::draw(&data.train, settings.audited, settings.seed);
        let mut audited = units.audited.concat();
        audited.sort_unstable();
        let mut population =
            Stream::new(settings.seed, "shadow/population").permutation(data.test.len());
        population.truncate(settings.population);
        population.sort_unstable();
        let digest = digest(&settings, &data, &description);
        #[rustfmt::skip]
        let work =
            Self { settings, compute, digest, audited, population, data, description, units };
        Ok(work)
    }

    /// The same, computed as the settings' `plan` says, or as `wanted` does.
    ///
    /// # Errors
    /// If both say something, the device cannot be had, or its memory is too little.
    pub(super) fn on(self, wanted: Option<Wanted>) -> Result<Self, Fault> {
        let planned = self.settings.plan.as_deref().and_then(Compute::named);
        let compute = match (planned, wanted) {
            (Some(_), Some(wanted)) => {
                return Err(Fault::Usage(format!(
                    "--device {wanted}: the settings have a `plan` too: leave one of them out"
                )));
            }
            (Some(planned), None) => device::exactly(planned)?,
            (None, wanted) => self.within(wanted.unwrap_or_default())?,
        };
        Ok(Self { compute, ..self })
    }

    /// How every run is computed alike: one plan for a whole result.
    fn within(&self, wanted: Wanted) -> Result<Compute, Fault> {
        let network = Network::new(self.description.clone(), self.settings.seed);
        let methods = self.settings.methods.values().map(|method| method.recipe(1));
        let recipes: Vec<Recipe> =
            std::iter::once(self.settings.train.recipe(1)).chain(methods).collect();
        let samples = self.data.train.len();
        let runs: Vec<_> = recipes.iter().map(|r| (r.batch.min(samples), r)).collect();
        Ok(wanted.learning_each(&network, &runs)?.0)
    }

    /// The names of the networks whose answers a result holds, in their order.
    pub(super) fn networks(&self) -> Vec<String> {
        let mut names: Vec<String> = self.settings.methods.keys().cloned().collect();
        names.push(TRAINED.into());
        names.sort_unstable();
        names
    }

    /// The training samples of a shadow model, ascending: of its pair it gets every lot that its
    /// partner does not.
    fn learnt(&self, model: usize) -> Vec<usize> {
        let mut stream = Stream::new(self.settings.seed, &format!("shadow/pair/{}", model / 2));
        let mut learnt = Vec::new();
        // Apart, so that half of what is asked about is learnt by either.
        for lots in [&self.units.audited, &self.units.others] {
            let order = stream.permutation(lots.len());
            let (first, second) = order.split_at(lots.len() / 2);
            let own = if model.is_multiple_of(2) { first } else { second };
            learnt.extend(own.iter().flat_map(|&lot| &lots[lot]));
        }
        learnt.sort_unstable();
        learnt
    }

    /// Which audited samples a shadow model learns.
    pub(super) fn members(&self, model: usize) -> String {
        let learnt = self.learnt(model);
        bits(self.audited.iter().map(|sample| learnt.binary_search(sample).is_ok()))
    }

    /// Trains a shadow model, lets it forget by each method, and asks all of them.
    ///
    /// # Errors
    /// If a run fails, or somebody stops it.
    pub(super) fn shadow(&self, model: usize) -> Result<Record, Fault> {
        let learnt = self.learnt(model);
        // Each shadow model has weights and an order of its own.
        let seed = Stream::new(self.settings.seed, &format!("shadow/model/{model}")).word();
        let recipe = self.settings.train.recipe(seed);
        let mut state = State::new(Network::new(self.description.clone(), seed));
        let set = self.data.train.subset(&learnt);
        let mut bar = Bar::new(&format!("shadow {model}"), None);
        let reports = run(&mut state, &set, &recipe, None, self.compute, &mut bar);
        bar.finish();
        reports?;
        whole(state.epoch == recipe.epochs, model)?;
        let mut answers = BTreeMap::from([(TRAINED.to_string(), self.answers(&state.network)?)]);
        let asked = |sample: &usize| self.audited.binary_search(sample).is_ok();
        let (gone, kept): (Vec<usize>, Vec<usize>) = learnt.into_iter().partition(asked);
        let sets = [&gone, &kept].map(|indices| self.data.train.subset(indices));
        for (name, method) in &self.settings.methods {
            let outcome = self.forget(method, &state.network, &sets, seed, model)?;
            answers.insert(name.clone(), self.answers(&outcome.network)?);
        }
        Ok(Record::new(self, model, answers))
    }

    /// Lets a network forget the first of two sets; the second is what it keeps.
    fn forget(
        &self,
        method: &Method,
        network: &Network,
        [gone, kept]: &[Dataset; 2],
        seed: u64,
        model: usize,
    ) -> Result<Outcome, Fault> {
        let mut bar = Bar::new(&format!("shadow {model} forgets"), None);
        let augment = self.settings.train.augment;
        let given = Given { retain: kept, forget: Some(gone), base: None };
        let outcome = forget(method, network, given, augment, seed, self.compute, &mut bar);
        bar.finish();
        let outcome = outcome?;
        whole(outcome.complete, model)?;
        Ok(outcome)
    }

    /// What a network says of the samples that are asked about, and of the population.
    fn answers(&self, network: &Network) -> Result<Answers, Fault> {
        let of = |name, set: &Dataset, indices: &[usize]| -> Result<Scores, Fault> {
            let probabilities = score(network, set, indices, self.compute)?;
            let labels = indices.iter().map(|&index| set.labels[index]).collect();
            Ok(Scores::new(name, probabilities, labels)?)
        };
        let audited = of("audited", &self.data.train, &self.audited)?;
        let population = of("population", &self.data.test, &self.population)?;
        let confidences = |scores: &Scores| scores.rows().map(|(row, label)| row[label]).collect();
        Ok(Answers {
            logits: audited.logits(),
            confidences: confidences(&audited),
            right: bits(audited.right()),
            population: confidences(&population),
            population_right: bits(population.right()),
        })
    }
}

/// Refuses to go on with a network that somebody stopped on its way.
fn whole(complete: bool, model: usize) -> Result<(), Fault> {
    match complete {
        true => Ok(()),
        false => Err(Fault::Interrupted(format!(
            "stopped within shadow model {model}: those before it are kept, the same words go on from there"
        ))),
    }
}

/// Of everything that a result depends on: the settings that reach a model, the description, the data.
fn digest(settings: &Settings, data: &Splits, description: &Description) -> Digest {
    let Settings { seed, audited, population, train, methods, .. } = settings;
    let numbers = serde_json::json!({
        "made_by": env!("CARGO_PKG_VERSION"), "seed": seed, "audited": audited,
        "population": population, "train": setting::plain(train), "methods": setting::plain(methods),
    });
    let parts = [
        numbers.to_string(),
        description.source.to_string(),
        data.train.digest().to_string(),
        data.test.digest().to_string(),
    ];
    let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
    Digest::of_parts("unlearn shadow settings, version 1", &parts)
}

impl Units {
    /// At least `audited` samples to ask about: lots in the order of the stream `shadow/audited` of
    /// `seed`, until there are as many.
    fn draw(train: &Dataset, audited: usize, seed: u64) -> Self {
        let mut lots: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for sample in 0..train.len() {
            let lot = train.groups.get(sample).map_or(sample, |&group| group as usize);
            lots.entry(lot).or_default().push(sample);
        }
        let lots: Vec<Vec<usize>> = lots.into_values().collect();
        let (mut units, mut drawn) = (Self { audited: Vec::new(), others: Vec::new() }, 0);
        for lot in Stream::new(seed, "shadow/audited").permutation(lots.len()) {
            let to = if drawn < audited { &mut units.audited } else { &mut units.others };
            drawn += lots[lot].len();
            to.push(lots[lot].clone());
        }
        units
    }
}
