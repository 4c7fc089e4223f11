//! One door to all methods.

use super::closed::{self, Closed};
use super::course::Course;
use super::fine_tune::FineTune;
use super::fisher::Fisher;
use super::gradient_ascent::GradientAscent;
use super::influence::Influence;
use super::info::{METHODS, MethodInfo};
use super::l1_prune_rewind::L1PruneRewind;
use super::l1_short::L1Short;
use super::l1_sparse::L1Sparse;
use super::neg_grad_plus::NegGradPlus;
use super::prune_while::PruneWhile;
use super::random_labels::{RandomLabels, Salun};
use super::retrain::Retrain;
use super::scrub::Scrub;
use super::ssd::Ssd;
use crate::base::clock::Stopwatch;
use crate::data::{Augment, Dataset};
use crate::model::{Mode, Network, Plan};
use crate::train::memory::network_bytes;
use crate::train::{Compute, EpochReport, L1Form, Recipe, State, TrainError, Watch, run};
use serde::{Deserialize, Serialize};

/// A way to forget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Method {
    /// From scratch, on the retained samples.
    Retrain(Retrain),
    /// Fine-tuning on the retained samples.
    FineTune(FineTune),
    /// Fine-tuning under an l1 penalty.
    L1Sparse(L1Sparse),
    /// Noise where what is kept depends little on a weight.
    Fisher(Fisher),
    /// A Newton step away from what is forgotten.
    Influence(Influence),
    /// Damping of the weights that matter to what is forgotten.
    Ssd(Ssd),
    /// The same for the first epochs alone, then a long recovery.
    L1Short(L1Short),
    /// An l1 penalty chooses a mask; the original weights learn under it.
    L1PruneRewind(L1PruneRewind),
    /// Weights leave between epochs of fine-tuning.
    PruneWhile(PruneWhile),
    /// Up the loss of the samples to forget.
    GradientAscent(GradientAscent),
    /// Down the loss of what is kept, up that of what is not.
    NegGradPlus(NegGradPlus),
    /// Random labels for the samples to forget.
    RandomLabels(RandomLabels),
    /// The same for the weights alone that those samples pull at most.
    Salun(Salun),
    /// A student that leaves its teacher on the samples to forget.
    Scrub(Scrub),
}

impl Method {
    /// The method of this name, with its defaults.
    pub fn named(name: &str) -> Option<Self> {
        let info = METHODS.iter().find(|info| info.name == name)?;
        let fields = serde_json::Map::new();
        serde_json::from_value(serde_json::json!({ info.name: fields })).ok()
    }

    /// Its name in commands and files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Retrain(_) => "retrain",
            Self::FineTune(_) => "fine-tune",
            Self::L1Sparse(_) => "l1-sparse",
            Self::Fisher(_) => "fisher",
            Self::Influence(_) => "influence",
            Self::Ssd(_) => "ssd",
            Self::L1Short(_) => "l1-short",
            Self::L1PruneRewind(_) => "l1-prune-rewind",
            Self::PruneWhile(_) => "prune-while",
            Self::GradientAscent(_) => "gradient-ascent",
            Self::NegGradPlus(_) => "neg-grad-plus",
            Self::RandomLabels(_) => "random-labels",
            Self::Salun(_) => "salun",
            Self::Scrub(_) => "scrub",
        }
    }

    /// The run that the method is. A retraining keeps the original's order, not `seed`'s: what differs
    /// is the samples alone.
    pub fn recipe(&self, seed: u64) -> Recipe {
        match self {
            Self::Retrain(method) => method.recipe(method.order),
            Self::FineTune(method) => method.recipe(seed),
            Self::L1Sparse(method) => method.recipe(seed),
            Self::Fisher(method) => method.recipe(seed),
            Self::Influence(method) => method.recipe(seed),
            Self::Ssd(method) => method.recipe(seed),
            Self::L1Short(method) => method.recipe(seed),
            Self::L1PruneRewind(method) => method.recipe(seed),
            Self::PruneWhile(method) => method.tuning.recipe(seed),
            Self::GradientAscent(method) => method.recipe(seed),
            Self::NegGradPlus(method) => method.tuning.recipe(seed),
            Self::RandomLabels(method) => method.tuning.recipe(seed),
            Self::Salun(method) => method.tuning.recipe(seed),
            Self::Scrub(method) => method.tuning.recipe(seed),
        }
    }

    /// The method as one without epochs, if it is.
    fn closed(&self) -> Option<&dyn Closed> {
        match self {
            Self::Fisher(method) => Some(method),
            Self::Influence(method) => Some(method),
            Self::Ssd(method) => Some(method),
            _ => None,
        }
    }

    /// What it is, costs and needs.
    pub fn info(&self) -> &'static MethodInfo {
        let name = self.name();
        // Every name is in the list: a test goes through them.
        METHODS.iter().find(|info| info.name == name).unwrap_or(&METHODS[0])
    }

    /// Whether it reads the samples to forget, as it is set.
    pub fn needs_forget(&self) -> bool {
        matches!(self, Self::PruneWhile(PruneWhile { ascend: true, .. }))
            || self.info().needs_forget
    }

    /// Bytes that it keeps while it learns from `retain` samples in batches of `batch`, besides model,
    /// samples and what the run itself takes.
    pub fn beside_bytes(&self, network: &Network, batch: usize, retain: usize) -> u64 {
        let weights = network.values.len() as u64;
        match self {
            // The weights and statistics to come back to, and the way to the place nearby.
            Self::Retrain(method) if method.sam > 0.0 => network_bytes(network) + 4 * weights,
            // An index and a score for each weight, sorted, or the dense momentum that is packed anew.
            Self::PruneWhile(_) | Self::L1PruneRewind(_) => 20 * weights,
            // Which weights learn, and before that their ranks.
            Self::Salun(_) => 13 * weights,
            // The teacher, and what it computes.
            Self::Scrub(_) => {
                let plan = Plan::new(network, batch.max(1), Mode::Evaluate);
                network_bytes(network) + plan.arena_bytes() + plan.index_bytes()
            }
            // Sums in double precision for each weight.
            Self::Fisher(_) => 8 * weights,
            Self::Ssd(_) => 16 * weights,
            Self::Influence(method) => method.kept_bytes(network, retain),
            _ => 0,
        }
    }
}

/// Pulling a model to itself would keep what it is to forget.
fn no_base() -> TrainError {
    let expected = "a model that never knew the samples, with the same masks";
    TrainError::Recipe { field: "base", found: "missing".into(), expected }
}

/// What came of forgetting.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The network that forgot.
    pub network: Network,
    /// What each epoch came to.
    pub epochs: Vec<EpochReport>,
    /// Whether all epochs were run.
    pub complete: bool,
    /// Seconds from the call to the network: run-time efficiency, RTE.
    pub seconds: f64,
    /// Weights that exist no more: they became exactly 0, or were pruned.
    pub dropped: usize,
}

/// What a method may read.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The samples that are kept.
    pub retain: &'a Dataset,
    /// The samples to forget, where they are still there. Only methods that say so read them
    /// ([`Method::needs_forget`]); on a device they are shredded before anything is repaired.
    pub forget: Option<&'a Dataset>,
    /// What [`L1Form::TowardsBase`] pulls to: a model that never knew the samples, with the same
    /// masks. Or what [`super::Start::Rewound`] starts from: the model after an early epoch.
    pub base: Option<&'a Network>,
}

impl<'a> Given<'a> {
    /// The samples that are kept, and nothing else.
    pub fn only(retain: &'a Dataset) -> Self {
        Self { retain, forget: None, base: None }
    }
}

/// Makes `network` forget everything but the retained samples.
///
/// Deterministic as [`run`] is. After [`L1Form::Proximal`], weights that are exactly 0 have left the
/// masks.
///
/// # Errors
/// As [`run`]; if the method has no epochs, since what learns nothing forgets nothing; and if something
/// that it needs was not given.
pub fn forget(
    method: &Method,
    network: &Network,
    given: Given<'_>,
    augment: Augment,
    seed: u64,
    compute: impl Into<Compute>,
    watch: &mut dyn Watch,
) -> Result<Outcome, TrainError> {
    let started = Stopwatch::start();
    let mut recipe = method.recipe(seed);
    if let Some(form) = method.closed() {
        return closed::forget(form, network, given, seed, (&recipe, compute.into()), watch);
    }
    if recipe.epochs == 0 {
        let found = recipe.epochs.to_string();
        return Err(TrainError::Recipe { field: "epochs", found, expected: "1 or more" });
    }
    recipe.augment = augment;
    let mut state = match method {
        Method::Retrain(method) => method.start(network, given.base)?,
        _ => State::new(network.clone()),
    };
    let before = state.network.values.len();
    let course = Course { recipe: &recipe, original: network, given, compute: compute.into() };
    let epochs = learn(method, &mut state, course, watch)?;
    let complete = state.epoch == recipe.epochs;
    let mut network = state.network;
    if recipe.l1.alpha > 0.0 && recipe.l1.form == L1Form::Proximal {
        network.drop_zeros();
    }
    let dropped = before - network.values.len();
    Ok(Outcome { network, epochs, complete, seconds: started.seconds(), dropped })
}

/// The run that a method is, from `state` on.
fn learn(
    method: &Method,
    state: &mut State,
    course: Course<'_>,
    watch: &mut dyn Watch,
) -> Result<Vec<EpochReport>, TrainError> {
    let Course { recipe, given, compute, .. } = course;
    let base = match (recipe.l1.form, given.base) {
        (L1Form::TowardsBase, None) => return Err(no_base()),
        (L1Form::TowardsBase, Some(base)) => Some(&base.values[..]),
        _ => None,
    };
    match method {
        Method::FineTune(_) | Method::L1Sparse(_) | Method::L1Short(_) => {
            run(state, given.retain, recipe, base, compute, watch)
        }
        Method::Retrain(method) => method.run(state, course, watch),
        Method::L1PruneRewind(method) => method.run(state, course, watch),
        Method::PruneWhile(method) => method.run(state, course, watch),
        Method::GradientAscent(_) => GradientAscent::run(state, course, watch),
        Method::NegGradPlus(method) => method.run(state, course, watch),
        Method::RandomLabels(method) => method.run(state, course, watch),
        Method::Salun(method) => method.run(state, course, watch),
        Method::Scrub(method) => method.run(state, course, watch),
        Method::Fisher(_) | Method::Influence(_) | Method::Ssd(_) => {
            unreachable!("closed forms have no epochs")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_by_its_name_and_has_defaults() {
        for info in &METHODS {
            let method = Method::named(info.name).unwrap_or_else(|| panic!("{}", info.name));
            assert_eq!([method.name(), method.info().name], [info.name; 2]);
        }
        assert_eq!(Method::named("amnesia"), None);
    }
}
