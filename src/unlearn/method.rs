//! One door to all methods.

use super::closed::{self, Closed};
use super::fine_tune::FineTune;
use super::fisher::Fisher;
use super::influence::Influence;
use super::l1_sparse::L1Sparse;
use super::retrain::{Retrain, Start};
use super::ssd::Ssd;
use crate::base::clock::Stopwatch;
use crate::data::{Augment, Dataset};
use crate::model::Network;
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

    /// Bytes that the method keeps besides what a run of its recipe takes, with `retain` samples kept.
    pub fn kept_bytes(&self, network: &Network, retain: usize) -> u64 {
        let vector = 8 * network.values.len() as u64;
        match self {
            Self::Fisher(_) => vector,
            Self::Ssd(_) => 2 * vector,
            Self::Influence(method) => method.kept_bytes(network, retain),
            _ => 0,
        }
    }
}

/// What a method is, costs and needs.
#[derive(Clone, Copy, Debug)]
pub struct MethodInfo {
    /// Its name in commands.
    pub name: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// Whether it reads the samples to forget.
    pub needs_forget: bool,
    /// Whether it reads the samples to keep.
    pub needs_retain: bool,
}

/// Every method.
pub const METHODS: [MethodInfo; 6] = [
    MethodInfo {
        name: "retrain",
        summary: "train again from scratch on what is kept, under the model's mask: the yardstick, and exact if the mask never saw the rest",
        needs_forget: false,
        needs_retain: true,
    },
    MethodInfo {
        name: "fine-tune",
        summary: "go on training on what is kept",
        needs_forget: false,
        needs_retain: true,
    },
    MethodInfo {
        name: "l1-sparse",
        summary: "go on training on what is kept, under an l1 penalty (proximal: weights become 0 and leave)",
        needs_forget: false,
        needs_retain: true,
    },
    MethodInfo {
        name: "fisher",
        summary: "noise on each weight, the more the less what is kept depends on it; one pass over what is kept, some passes back each",
        needs_forget: false,
        needs_retain: true,
    },
    MethodInfo {
        name: "influence",
        summary: "a Newton step away from what is forgotten; one pass over all, and the gradients of 1000 samples one by one",
        needs_forget: true,
        needs_retain: true,
    },
    MethodInfo {
        name: "ssd",
        summary: "damps weights that matter much more to what is forgotten; one pass over all, some passes back each",
        needs_forget: true,
        needs_retain: true,
    },
];

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
    /// Weights that became exactly 0 and exist no more.
    pub dropped: usize,
}

/// What a method may read.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The samples that are kept.
    pub retain: &'a Dataset,
    /// The samples to forget, where they are still there. Only methods that say so read them
    /// ([`MethodInfo::needs_forget`]); on a device they are shredded before anything is repaired.
    pub forget: Option<&'a Dataset>,
    /// What [`L1Form::TowardsBase`] pulls to: a model that never knew the samples, with the same
    /// masks.
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
    let start = match method {
        Method::Retrain(method) => {
            let Start::Seed(init) = method.start;
            let mut fresh = Network::new(network.description.clone(), init);
            fresh.set_masks(network.masks());
            fresh
        }
        _ => network.clone(),
    };
    if recipe.epochs == 0 {
        let found = recipe.epochs.to_string();
        return Err(TrainError::Recipe { field: "epochs", found, expected: "1 or more" });
    }
    recipe.augment = augment;
    let base = match (recipe.l1.form, given.base) {
        (L1Form::TowardsBase, None) => return Err(no_base()),
        (L1Form::TowardsBase, Some(base)) => Some(&base.values[..]),
        _ => None,
    };
    let mut state = State::new(start);
    let epochs = run(&mut state, given.retain, &recipe, base, compute, watch)?;
    let complete = state.epoch == recipe.epochs;
    let mut network = state.network;
    let proximal = recipe.l1.alpha > 0.0 && recipe.l1.form == L1Form::Proximal;
    let dropped = if proximal { network.drop_zeros() } else { 0 };
    Ok(Outcome { network, epochs, complete, seconds: started.seconds(), dropped })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_by_its_name_and_has_defaults() {
        for info in &METHODS {
            let method = Method::named(info.name).unwrap_or_else(|| panic!("{}", info.name));
            assert_eq!(method.name(), info.name);
        }
        assert_eq!(Method::named("amnesia"), None);
    }
}
