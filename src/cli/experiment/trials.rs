//! Steps of a trial: forgetting, and measuring the file that was written.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::super::learn;
use super::super::memory::{self, Settled};
use super::super::past::Past;
use super::super::setting::{self, plain};
use super::cell::{self, Forgetting};
use super::graph::{How, Step, Trial};
use super::looker::Looker;
use super::store::{Kept, Key};
use super::target::Target;
use super::world::{Extra, Made, World, interrupted};
use crate::base::clock::Stopwatch;
use crate::data::Augment;
use crate::evaluate::Measured;
use crate::format::Facts;
use crate::model::Network;
use crate::model::file::Artifact;
use crate::unlearn::Method;

impl World<'_> {
    /// The samples of a trial.
    pub(super) fn target(&self, trial: &Trial) -> Result<Target, Fault> {
        let scenario = &self.experiment.scenarios[trial.scenario];
        Target::new(scenario, trial.held_out, &self.data(trial.pair).splits, trial.seed)
    }

    /// How a trial forgets, and with which crops and flips.
    pub(super) fn method(
        &self,
        trial: &Trial,
        how: How,
        choice: Option<usize>,
    ) -> Option<(Method, Augment)> {
        let original = self.recipe(trial.mask, trial.seed);
        let method = match how {
            How::Retrain => {
                let recipe = self.experiment.retrain.over(&original);
                return Some((cell::retrain(&recipe), recipe.augment));
            }
            How::Method(entry) => self.entry(entry).method.clone(),
            How::Candidate(entry, point) => self.entry(entry).candidates.get(point)?.1.clone(),
            How::Chosen(entry) => self.entry(entry).candidates.get(choice?)?.1.clone(),
        };
        Some((method, original.augment))
    }

    pub(super) fn forget(
        &self,
        trial: &Trial,
        how: How,
        rest: &[Arc<Made>],
        path: &Path,
    ) -> Result<Made, Fault> {
        let choice = match rest.first().map(|choice| &**choice) {
            Some(Made::Choice(choice)) => Some(choice.point),
            Some(Made::Failed(why)) => return Ok(Made::Failed(why.clone())),
            _ => None,
        };
        let Some((method, augment)) = self.method(trial, how, choice) else {
            return Ok(Made::Failed("no settings were chosen".into()));
        };
        let before = setting::open_model(path)?;
        let target = self.target(trial)?;
        let settled = self.settled(trial, &before.network, &target, &method)?;
        let data = self.data(trial.pair);
        let key = Key::new(
            "forgot",
            json!({
                "plan": learn::plan(settled.compute), "data": data.digest.to_string(),
                "parent": before.id.to_string(), "sets": target.key(), "method": plain(&method),
                "augment": plain(&augment), "seed": trial.seed, "scenario": target.told,
                "dtype": plain(&self.experiment.dtype),
            }),
        );
        self.product(&key, || {
            let _permit = self.budget.take(self.own(&settled));
            let mut looker =
                Looker::new(&self.told(&Step::Forget(*trial, how)), self.experiment.jobs == 1);
            let forgetting = Forgetting {
                method: &method,
                network: &before.network,
                data: &data.splits,
                sets: &target.sets,
                augment,
                seed: trial.seed,
                compute: settled.compute,
            };
            let outcome = forgetting.run(&mut looker);
            looker.finish();
            let outcome = outcome?;
            if !outcome.complete {
                return Err(interrupted());
            }
            let facts = self.forgot(trial, &before, &target, &method, &settled);
            let (network, dtype) = (&outcome.network, self.experiment.dtype.into());
            let artifact =
                self.save(trial.pair, network, &facts, dtype, &self.store.model(&key))?;
            Ok(Kept::Model(self.record(&artifact, outcome.seconds, &settled)))
        })
    }

    /// How a method computes, and what it takes.
    pub(super) fn settled(
        &self,
        trial: &Trial,
        network: &Network,
        target: &Target,
        method: &Method,
    ) -> Result<Settled, Fault> {
        let train = &self.data(trial.pair).splits.train;
        let sets = &target.sets;
        // What the method reads are sets of their own beside the whole.
        let gone = if method.needs_forget() { sets.forget.len() } else { 0 };
        let own = (sets.retain.len() + gone) as u64;
        let recipe = method.recipe(trial.seed);
        let batch = recipe.batch.min(sets.retain.len().max(gone));
        let kept = memory::set_bytes(train) * own / (train.len() as u64).max(1)
            + method.beside_bytes(network, batch, sets.retain.len());
        let extra = Extra {
            kept,
            models: 1,
            answers: sets.forget.len() + sets.retain.len() + sets.test.len(),
            shadow: sets.retain.len().min(sets.test.len()),
            ..Extra::default()
        };
        self.settle(network, &recipe, sets.retain.len(), extra)
    }

    /// What the new file says of its making.
    fn forgot(
        &self,
        trial: &Trial,
        before: &Artifact,
        target: &Target,
        method: &Method,
        settled: &Settled,
    ) -> Facts {
        let scenario = &self.experiment.scenarios[trial.scenario];
        let facts = match trial.held_out {
            true => {
                before.facts.clone().with("held_out", "forgot samples that stand in for others")
            }
            false => {
                let past = Past::of(&before.facts).and(Some(scenario), trial.seed);
                past.state(before.facts.clone())
            }
        };
        facts
            .with("parent", before.id.to_string())
            .with("scenario", target.told.clone())
            .with("scenario_seed", trial.seed.to_string())
            .with("forget_samples", target.sets.forget.len().to_string())
            .with("retain_samples", target.sets.retain.len().to_string())
            .with("method", plain(method).to_string())
            .with("plan", learn::plan(settled.compute))
    }

    pub(super) fn measure(&self, step: &Step, path: &Path) -> Result<Made, Fault> {
        let Step::Measure(trial, _) = step else {
            return Ok(Made::Failed("this is not measured".into()));
        };
        let artifact = setting::open_model(path)?;
        let target = self.target(trial)?;
        let attack = cell::attack(self.experiment.shadows, trial.seed);
        let data = self.data(trial.pair);
        let (device, _) = self.limits.device.open(&artifact.network)?;
        let key = Key::new(
            "figures",
            json!({
                "plan": learn::plan(device), "data": data.digest.to_string(),
                "model": artifact.id.to_string(), "sets": target.key(), "attack": plain(&attack),
            }),
        );
        self.product(&key, || {
            let answers =
                target.sets.forget.len() + target.sets.retain.len() + target.sets.test.len();
            let shadow = target.sets.retain.len().min(target.sets.test.len());
            let network = &artifact.network;
            let bytes = memory::answer_bytes(answers, network.description.classes, shadow)
                + 3 * crate::train::memory::network_bytes(network);
            let _permit = self.budget.take(bytes);
            let watch = Stopwatch::start();
            let measured =
                cell::figures(network, &data.splits, &target.sets, attack, device.into())?;
            Ok(Kept::Figures(figures(&measured, &artifact, &target, watch.seconds())))
        })
    }
}

/// What the record of a measurement says.
fn figures(measured: &Measured, artifact: &Artifact, target: &Target, seconds: f64) -> Value {
    let sets = &target.sets;
    json!({
        "report": measured.report, "membership": measured.membership,
        "sparsity_percent": 100.0 * artifact.network.sparsity(),
        "forget_samples": sets.forget.len(), "retain_samples": sets.retain.len(),
        "test_samples": sets.test.len(), "scenario": target.told, "seconds": seconds,
    })
}
