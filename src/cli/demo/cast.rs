//! Who plays: the population, the network, the folder.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::fault::Fault;
use super::super::learn;
use super::super::setting::{self, Written};
use super::super::watch::Bar;
use super::Args;
use crate::data::{Dataset, Population, Splits};
use crate::format::{Dtype, Facts, Provenance};
use crate::model::file::Artifact;
use crate::model::{Description, Network};
use crate::train::{Compute, EpochReport, Recipe, State, run};
use crate::unlearn::{Given, Method, Outcome, forget};

/// Everybody and everything on stage.
pub(super) struct Cast {
    pub base: Splits,
    pub household: Splits,
    pub description: Arc<Description>,
    pub folder: PathBuf,
    pub person: String,
    pub member: String,
    pub seed: u64,
    pub compute: Compute,
    /// Why it is not the device that `auto` looks for.
    pub fallen: Option<String>,
}

impl Cast {
    pub(super) fn new(args: &Args) -> Result<Self, Fault> {
        let population = Population { seed: args.seed, ..Population::default() };
        let (base, household) = (population.base(), population.household());
        let description = setting::describe("cnn16", base.train.classes.len())?;
        let known = |names: &[String], name: &str| match names.contains(&name.to_string()) {
            true => Ok(()),
            false => Err(Fault::Usage(format!(
                "`{name}` is nobody here; there are {}",
                names.join(", ")
            ))),
        };
        known(&base.train.subject_names, &args.person)?;
        known(&household.train.subject_names, &args.member)?;
        let (device, fallen) =
            args.device.device.open(&Network::new(description.clone(), args.seed))?;
        Ok(Self {
            base,
            household,
            description,
            folder: args.out.clone(),
            person: args.person.clone(),
            member: args.member.clone(),
            seed: args.seed,
            compute: device.into(),
            fallen,
        })
    }

    /// Trains `state` by `recipe` on `data`.
    pub(super) fn train(
        &self,
        what: &str,
        state: &mut State,
        data: &Dataset,
        recipe: &Recipe,
    ) -> Result<Vec<EpochReport>, Fault> {
        let mut bar = Bar::new(what, None);
        let reports = run(state, data, recipe, None, self.compute, &mut bar);
        bar.finish();
        let reports = reports?;
        match state.epoch == recipe.epochs {
            true => Ok(reports),
            false => Err(Fault::Interrupted("stopped: the story was not told".into())),
        }
    }

    /// Makes `network` forget everything but `retain`.
    pub(super) fn forget(
        &self,
        what: &str,
        method: &Method,
        network: &Network,
        base: Option<&Network>,
        retain: &Dataset,
    ) -> Result<Outcome, Fault> {
        let mut bar = Bar::new(what, None);
        let outcome = forget(
            method,
            network,
            Given { base, ..Given::only(retain) },
            Default::default(),
            self.seed,
            self.compute,
            &mut bar,
        );
        bar.finish();
        let outcome = outcome?;
        match outcome.complete {
            true => Ok(outcome),
            false => Err(Fault::Interrupted("stopped: the story was not told".into())),
        }
    }

    /// Writes a model file and opens it again.
    pub(super) fn save(
        &self,
        name: &str,
        network: &Network,
        dtype: Dtype,
        told: &str,
    ) -> Result<Artifact, Fault> {
        let facts = Facts::new(Provenance::Undeclared)
            .with("made_by", format!("unlearn {} demo", env!("CARGO_PKG_VERSION")))
            .with("data", self.base.name.clone())
            .with("seed", self.seed.to_string())
            .with("plan", learn::plan(self.compute))
            .with("method", told);
        let meaning = setting::meaning_of(&self.base);
        let written = Written {
            network,
            meaning: &meaning,
            facts: &facts,
            dtype,
            momentum: None,
            anchor: None,
        };
        written.save(&self.folder.join(name))
    }
}
