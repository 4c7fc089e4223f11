//! Recipes from words, and runs with a bar, checkpoints and a clean end.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::base::hash::Digest;

use super::device;
use super::fault::Fault;
use super::past::Past;
use super::setting::plain;
use super::watch::{Bar, Checkpoint};
use super::way::Set;
use crate::data::{Augment, Dataset, Splits};
use crate::evaluate::metrics::accuracy;
use crate::evaluate::{Metric, Scores};
use crate::exchange::SUBJECTS;
use crate::format::{Facts, Provenance};
use crate::model::Network;
use crate::model::file::Artifact;
use crate::train::{Compute, EpochReport, Recipe, Schedule, State, Trained, run, score};

/// The learning rate over the epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ScheduleArg {
    /// The same in every epoch
    Constant,
    /// Times 0.1 after 50 % and 75 % of the epochs, as in the paper
    Multistep,
    /// Half a cosine down to 0
    Cosine,
}

impl From<ScheduleArg> for Schedule {
    fn from(arg: ScheduleArg) -> Self {
        match arg {
            ScheduleArg::Constant => Self::Constant,
            ScheduleArg::Multistep => Self::paper(),
            ScheduleArg::Cosine => Self::Cosine,
        }
    }
}

/// How to learn. What is not given keeps the command's default.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "How to learn", allow_negative_numbers = true)]
pub(super) struct RecipeArgs {
    /// Passes over the samples
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Samples in a step
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Learning rate at its highest
    #[arg(long, value_name = "RATE")]
    pub rate: Option<f32>,
    /// Momentum of SGD
    #[arg(long, value_name = "SHARE")]
    pub momentum: Option<f32>,
    /// Weight decay
    #[arg(long, value_name = "DECAY")]
    pub decay: Option<f32>,
    /// Learning rate over the epochs
    #[arg(long, value_name = "NAME")]
    pub schedule: Option<ScheduleArg>,
    /// Random crops after padding by N zeros on each side
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=64))]
    pub crop: Option<u16>,
    /// Random horizontal flips: yes or no
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    pub flip: Option<bool>,
    /// Layers that learn: head (the last linear layer), last=K (the last K convolutions and linear
    /// layers, each with the batch norm behind it) or all; the others keep every byte
    #[arg(long, value_name = "head|last=K|all", value_parser = Trained::parse)]
    pub train: Option<Trained>,
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("expected yes or no".into()),
    }
}

impl RecipeArgs {
    /// `recipe` with what was given.
    pub(super) fn over(&self, recipe: Recipe) -> Recipe {
        Recipe {
            epochs: self.epochs.unwrap_or(recipe.epochs),
            batch: self.batch.unwrap_or(recipe.batch),
            rate: self.rate.unwrap_or(recipe.rate),
            momentum: self.momentum.unwrap_or(recipe.momentum),
            decay: self.decay.unwrap_or(recipe.decay),
            schedule: self.schedule.map_or(recipe.schedule, Schedule::from),
            augment: self.augment(recipe.augment),
            trained: self.train.unwrap_or(recipe.trained),
            ..recipe
        }
    }

    /// What was given, as fields of a method of forgetting.
    pub(super) fn sets(&self) -> Vec<Set> {
        let schedule = self.schedule.map(|schedule| plain(&Schedule::from(schedule)));
        let trained = self.train.map(|trained| plain(&trained));
        let given = [
            ("epochs", self.epochs.map(Value::from)),
            ("batch", self.batch.map(Value::from)),
            ("rate", self.rate.map(Value::from)),
            ("momentum", self.momentum.map(Value::from)),
            ("decay", self.decay.map(Value::from)),
            ("schedule", schedule),
        ];
        let given = given.into_iter().filter_map(|(field, value)| {
            value.map(|value| Set::new(&format!("--{field}"), field, value))
        });
        let trained = trained.map(|trained| Set::new("--train", "trained", trained));
        given.chain(trained).collect()
    }

    /// `augment` with what was given.
    pub(super) fn augment(&self, augment: Augment) -> Augment {
        Augment {
            crop_padding: self.crop.map_or(augment.crop_padding, usize::from),
            flip: self.flip.unwrap_or(augment.flip),
        }
    }
}

/// A run: what learns from what, how, and where its whole states are kept.
pub(super) struct Job<'a> {
    pub what: &'a str,
    pub data: &'a Dataset,
    pub recipe: &'a Recipe,
    pub compute: Compute,
    pub checkpoint: Option<Checkpoint>,
}

impl Job<'_> {
    /// Runs to the end.
    ///
    /// # Errors
    /// [`Fault::Interrupted`] if somebody stopped it; the checkpoint of the last whole epoch stays.
    pub(super) fn run(self, state: &mut State) -> Result<Vec<EpochReport>, Fault> {
        let kept = self.checkpoint.as_ref().map(|checkpoint| checkpoint.path.clone());
        let mut bar = Bar::new(self.what, self.checkpoint);
        let reports = run(state, self.data, self.recipe, None, self.compute, &mut bar);
        bar.finish();
        let reports = reports?;
        if state.epoch < self.recipe.epochs {
            return Err(interrupted(state.epoch, self.recipe.epochs, kept.as_deref()));
        }
        Ok(reports)
    }
}

fn interrupted(epoch: usize, epochs: usize, kept: Option<&Path>) -> Fault {
    let kept = match kept.filter(|path| epoch > 0 && path.exists()) {
        Some(path) => format!("{} holds it; go on with --resume", path.display()),
        None => "no file was written".to_string(),
    };
    Fault::Interrupted(format!("stopped after {epoch} of {epochs} whole epochs: {kept}"))
}

/// Whose data a model is made from, as its maker declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ProvenanceArg {
    /// Nobody says
    Undeclared,
    /// Nobody of the device that will run it is in it
    Population,
    /// People of the site that will run it are in it
    Enrolled,
}

impl From<ProvenanceArg> for Provenance {
    fn from(arg: ProvenanceArg) -> Self {
        match arg {
            ProvenanceArg::Undeclared => Self::Undeclared,
            ProvenanceArg::Population => Self::Population,
            ProvenanceArg::Enrolled => Self::Enrolled,
        }
    }
}

/// Facts that every file of this program states. `digest` is of the whole training set.
pub(super) fn facts(
    made_by: &str,
    provenance: Provenance,
    data: &Splits,
    digest: Digest,
    recipe: &Recipe,
    compute: impl Into<Compute>,
) -> Facts {
    let recipe_text = serde_json::to_string(recipe).unwrap_or_default();
    let facts = Facts::new(provenance)
        .with("made_by", format!("unlearn {} {made_by}", env!("CARGO_PKG_VERSION")))
        .with("data", data.name.clone())
        .with("data_digest", digest.to_string())
        .with("seed", recipe.seed.to_string())
        .with("recipe", recipe_text)
        .with("plan", plan(compute));
    match data.train.subjects.iter().collect::<BTreeSet<_>>().len() {
        0 => facts,
        // Whoever exports the model must know that people are in it.
        subjects => facts.with(SUBJECTS, subjects.to_string()),
    }
}

/// The fact that names the model whose layers a network began with.
pub(super) const BODY: &str = "body";

/// `facts` of a network that began with the layers of `body`. What that had forgotten is told, not
/// listed as this network's past: its scenarios are about other data.
pub(super) fn on_body(facts: Facts, body: &Artifact) -> Facts {
    let people = facts.get(SUBJECTS).is_none().then(|| body.facts.get(SUBJECTS)).flatten();
    let facts = people.map(String::from).into_iter().fold(facts, |f, p| f.with(SUBJECTS, p));
    let facts = facts.with(BODY, body.id.to_string());
    match Past::of(&body.facts) {
        past if past.is_empty() => facts,
        past => facts.with("body_forgot", past.told()),
    }
}

/// The plan's device, instruction set and, where batches go in pieces, their piece, as files and
/// results name them.
pub(super) fn plan(compute: impl Into<Compute>) -> String {
    compute.into().name()
}

/// How a file's plan says that its run computes, if this machine can.
pub(super) fn planned(facts: &Facts) -> Option<Compute> {
    device::again(Compute::named(facts.get("plan")?)?)
}

/// The recipe that a file states.
pub(super) fn recipe_of(facts: &Facts, path: &Path) -> Result<Recipe, Fault> {
    let Some(text) = facts.get("recipe") else {
        return Err(Fault::Usage(format!(
            "{} does not say how it was trained: give --epochs and --rate",
            path.display()
        )));
    };
    serde_json::from_str(text).map_err(|fault| {
        Fault::Usage(format!(
            "{}: its recipe cannot be read ({fault}): give --epochs and --rate",
            path.display()
        ))
    })
}

/// The accuracy of a network on the test set.
pub(super) fn test_accuracy(
    network: &Network,
    data: &Splits,
    compute: impl Into<Compute>,
) -> Result<Metric, Fault> {
    let all: Vec<usize> = (0..data.test.len()).collect();
    let probabilities = score(network, &data.test, &all, compute)?;
    Ok(accuracy(&Scores::new("test", probabilities, data.test.labels.clone())?, "test"))
}

/// A share in percent with its interval.
pub(super) fn told(metric: &Metric) -> String {
    let [low, high] = metric.interval95.unwrap_or([f64::NAN; 2]);
    format!("{:.2} % (95 % interval {low:.2} to {high:.2})", metric.value)
}

/// Where a run keeps its checkpoint.
pub(super) fn checkpoint_path(out: &Path) -> PathBuf {
    super::setting::beside(out, "checkpoint")
}

/// Removes a checkpoint that is no longer needed.
pub(super) fn forget_checkpoint(out: &Path) -> Result<(), Fault> {
    use crate::base::disk::{Disk, FileDisk};
    let path = checkpoint_path(out);
    let mut disk = FileDisk;
    if disk.exists(&path)? {
        disk.remove(&path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparse::Isa;

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        for micro_batch in [None, Some(48)] {
            let compute = Compute { micro_batch, ..Isa::best().into() };
            let facts = Facts::new(Provenance::Undeclared).with("plan", plan(compute));
            assert_eq!(planned(&facts), Some(compute));
        }
        for wrong in [
            "cpu/",
            "cpu/abacus",
            "cpu/portable kernels=1/2/3",
            "cpu/portable micro-batch=0",
            "cpu/portable micro-batch=x",
        ] {
            let facts = Facts::new(Provenance::Undeclared).with("plan", wrong);
            assert_eq!(planned(&facts), None, "{wrong}");
        }
    }
}
