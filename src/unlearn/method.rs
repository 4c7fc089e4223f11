//! One door to all methods.

use super::fine_tune::FineTune;
use super::l1_sparse::L1Sparse;
use super::retrain::{Retrain, Start};
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
}

impl Method {
    /// The run that the method is. A retraining keeps the original's order, not `seed`'s: what differs
    /// is the samples alone.
    pub fn recipe(&self, seed: u64) -> Recipe {
        match self {
            Self::Retrain(method) => method.recipe(method.order),
            Self::FineTune(method) => method.recipe(seed),
            Self::L1Sparse(method) => method.recipe(seed),
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
pub const METHODS: [MethodInfo; 3] = [
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

/// Makes `network` forget everything but `retain`.
///
/// Reads no sample that is to be forgotten. Deterministic as [`run`] is. After
/// [`L1Form::Proximal`], weights that are exactly 0 have left the masks. `base` is what
/// [`L1Form::TowardsBase`] pulls to, a model that never knew the samples; it has the same masks.
///
/// # Errors
/// As [`run`], and if the method has no epochs: what learns nothing forgets nothing.
pub fn forget(
    method: &Method,
    network: &Network,
    base: Option<&Network>,
    retain: &Dataset,
    augment: Augment,
    seed: u64,
    compute: impl Into<Compute>,
    watch: &mut dyn Watch,
) -> Result<Outcome, TrainError> {
    let started = Stopwatch::start();
    let mut recipe = method.recipe(seed);
    let start = match method {
        Method::Retrain(method) => {
            let Start::Seed(init) = method.start;
            let mut fresh = Network::new(network.description.clone(), init);
            fresh.set_masks(network.masks());
            fresh
        }
        Method::FineTune(_) | Method::L1Sparse(_) => network.clone(),
    };
    if recipe.epochs == 0 {
        let found = recipe.epochs.to_string();
        return Err(TrainError::Recipe { field: "epochs", found, expected: "1 or more" });
    }
    recipe.augment = augment;
    let base = match (recipe.l1.form, base) {
        (L1Form::TowardsBase, None) => return Err(no_base()),
        (L1Form::TowardsBase, Some(base)) => Some(&base.values[..]),
        _ => None,
    };
    let mut state = State::new(start);
    let epochs = run(&mut state, retain, &recipe, base, compute, watch)?;
    let complete = state.epoch == recipe.epochs;
    let mut network = state.network;
    let proximal = recipe.l1.alpha > 0.0 && recipe.l1.form == L1Form::Proximal;
    let dropped = if proximal { network.drop_zeros() } else { 0 };
    Ok(Outcome { network, epochs, complete, seconds: started.seconds(), dropped })
}
