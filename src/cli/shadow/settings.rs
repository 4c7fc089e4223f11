//! The settings of a run of shadow models, as TOML.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::fault::Fault;
use crate::base::disk::read_at_most;
use crate::data::Augment;
use crate::evaluate::per_example::{Rmia, Spread};
use crate::train::{Compute, Recipe, Schedule};
use crate::unlearn::Method;

/// The longest file of settings.
const MOST: u64 = 1 << 20;
/// The name under which answers of models that forgot nothing are kept.
pub(super) const TRAINED: &str = "trained";

/// What is attacked, and with how many shadow models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// The data set, as after `--data`.
    pub data: String,
    /// The network, as after `--model` of `unlearn train`.
    pub model: String,
    /// Fixes every draw.
    #[serde(default = "one")]
    pub seed: u64,
    /// How many models are trained: an even number. More can be asked for later; those that are
    /// there stay.
    pub shadow_models: usize,
    /// Training samples that are asked about, and that models forget where they learnt them.
    pub audited: usize,
    /// Test samples that RMIA compares with.
    pub population: usize,
    /// How to compute, like `cpu/avx2` or `cuda:0/8.7/tf32`: for jobs that run on unlike machines.
    #[serde(default)]
    pub plan: Option<String>,
    /// How a shadow model learns.
    #[serde(default)]
    pub train: Learning,
    /// Ways to forget, by a name of one's choice.
    #[serde(default)]
    pub methods: BTreeMap<String, Method>,
    /// The attacks.
    #[serde(default)]
    pub attack: Attacks,
}

/// How a shadow model learns; what is left out is `unlearn train`'s default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Learning {
    pub epochs: usize,
    pub batch: usize,
    pub rate: f32,
    pub momentum: f32,
    pub decay: f32,
    pub schedule: Schedule,
    pub augment: Augment,
}

/// The settings of the attacks. They change no shadow model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Attacks {
    /// How U-LiRA estimates variances.
    pub spread: Spread,
    pub rmia: Rmia,
}

fn one() -> u64 {
    1
}

impl Default for Learning {
    fn default() -> Self {
        let Recipe { epochs, batch, rate, momentum, decay, schedule, augment, .. } =
            Recipe::default();
        Self { epochs, batch, rate, momentum, decay, schedule, augment }
    }
}

impl Learning {
    /// The run of the shadow model whose draws `seed` fixes.
    pub(super) fn recipe(&self, seed: u64) -> Recipe {
        let Self { epochs, batch, rate, momentum, decay, schedule, augment } = self.clone();
        Recipe {
            epochs,
            batch,
            rate,
            momentum,
            decay,
            schedule,
            augment,
            seed,
            ..Recipe::default()
        }
    }
}

/// Reads and checks a file of settings.
///
/// # Errors
/// [`Fault::Given`] if it cannot be read, [`Fault::Input`] if it is not what is expected.
pub(super) fn read(path: &Path) -> Result<Settings, Fault> {
    let bytes = read_at_most(path, MOST).map_err(Fault::Given)?;
    let wrong =
        |at: String, why: String| Fault::Input { what: path.display().to_string(), at, why };
    let text = String::from_utf8(bytes).map_err(|fault| {
        let at = format!("byte {}", fault.utf8_error().valid_up_to());
        wrong(at, "it is not UTF-8; settings are TOML text".into())
    })?;
    let settings: Settings = toml::from_str(&text).map_err(|fault| {
        let line = fault.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        wrong(format!("line {line}"), fault.message().to_string())
    })?;
    check(&settings).map_err(|(key, why)| wrong(format!("`{key}`"), why))?;
    Ok(settings)
}

/// The key that makes no sense, and why.
fn check(settings: &Settings) -> Result<(), (&'static str, String)> {
    let models = settings.shadow_models;
    if models < 6 || models % 2 == 1 || models > 100_000 {
        return Err((
            "shadow_models",
            format!("{models}: expected an even number from 6 to 100000"),
        ));
    }
    if settings.audited < 2 {
        return Err(("audited", format!("{}: expected 2 or more", settings.audited)));
    }
    if settings.population == 0 {
        return Err(("population", "0: expected 1 or more".into()));
    }
    if settings.methods.contains_key(TRAINED) {
        return Err((
            "methods",
            format!("`{TRAINED}` is what models before forgetting are called"),
        ));
    }
    if settings.train.epochs == 0 {
        return Err(("train.epochs", "0: nothing would be learnt; give 1 or more".into()));
    }
    settings.train.recipe(1).check().map_err(|fault| ("train", fault.to_string()))?;
    settings.attack.rmia.check().map_err(|fault| ("attack.rmia", fault.to_string()))?;
    match settings.plan.as_deref().filter(|plan| Compute::named(plan).is_none()) {
        None => Ok(()),
        Some(plan) => Err((
            "plan",
            format!(
                "`{plan}` is not to be had on this machine: expected one like cpu/avx2, cpu/portable or cuda:0/8.7/tf32"
            ),
        )),
    }
}
