//! What an experiment is, with every default filled in, and the text that says it all again.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::setting::plain;
use crate::base::units::Bytes;
use crate::data::Augment;
use crate::format::Dtype;
use crate::prune::{Allocation, Criterion, gone_after};
use crate::train::{Recipe, Schedule};
use crate::unlearn::Method;

/// How to learn, as far as it is said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Learning {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flip: Option<bool>,
}

impl Learning {
    /// `recipe` with what is said here.
    pub(super) fn over(&self, recipe: &Recipe) -> Recipe {
        Recipe {
            epochs: self.epochs.unwrap_or(recipe.epochs),
            batch: self.batch.unwrap_or(recipe.batch),
            rate: self.rate.unwrap_or(recipe.rate),
            momentum: self.momentum.unwrap_or(recipe.momentum),
            decay: self.decay.unwrap_or(recipe.decay),
            schedule: self.schedule.clone().unwrap_or_else(|| recipe.schedule.clone()),
            augment: Augment {
                crop_padding: self.crop.unwrap_or(recipe.augment.crop_padding),
                flip: self.flip.unwrap_or(recipe.augment.flip),
            },
            ..recipe.clone()
        }
    }

    /// All that a recipe says, as it is written in a file.
    fn of(recipe: &Recipe) -> Self {
        Self {
            epochs: Some(recipe.epochs),
            batch: Some(recipe.batch),
            rate: Some(recipe.rate),
            momentum: Some(recipe.momentum),
            decay: Some(recipe.decay),
            schedule: Some(recipe.schedule.clone()),
            crop: Some(recipe.augment.crop_padding),
            flip: Some(recipe.augment.flip),
        }
    }
}

/// What the weights that stay begin with when the others are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rewind {
    /// The weights after this epoch of the dense training, and its place in the schedule.
    Epoch(usize),
    /// The weights before the first epoch.
    Init,
    /// The trained weights.
    None,
}

impl Rewind {
    /// Reads `init`, `none` or a number.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "init" => Some(Self::Init),
            "none" => Some(Self::None),
            number => number.parse().ok().map(|epoch| match epoch {
                0 => Self::Init,
                epoch => Self::Epoch(epoch),
            }),
        }
    }

    /// The epoch that training goes on after.
    pub(super) fn epoch(self) -> usize {
        if let Self::Epoch(epoch) = self { epoch } else { 0 }
    }

    fn value(self) -> Value {
        match self {
            Self::Epoch(epoch) => json!(epoch),
            Self::Init => json!("init"),
            Self::None => json!("none"),
        }
    }
}

/// Which weights exist, and how they came to be chosen.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Masking {
    /// Its name in tables: `dense`, `95 %`.
    pub label: String,
    /// Share of the prunable weights that are gone; 0 is the dense network.
    pub sparsity: f64,
    pub criterion: Criterion,
    pub allocation: Allocation,
    pub rewind: Rewind,
    /// Rounds of pruning and training; the same share of what is left goes in each.
    pub iterations: usize,
    /// How the weights that stay are trained; its seed is filled in for each trial.
    pub recipe: Recipe,
}

impl Masking {
    /// What round `round` of `iterations` does, from 1 on, as if it were the only one.
    pub(super) fn round(&self, round: usize) -> Self {
        let sparsity = gone_after(round, self.iterations, 0.0, self.sparsity);
        Self { sparsity, iterations: 1, ..self.clone() }
    }

    /// Whether nothing is removed.
    pub(super) fn dense(&self) -> bool {
        self.sparsity == 0.0
    }

    /// As a file says it.
    pub(super) fn value(&self) -> Value {
        if self.dense() {
            return json!({ "sparsity": 0.0, "label": self.label });
        }
        let mut value = json!({
            "sparsity": self.sparsity, "label": self.label,
            "criterion": plain(&self.criterion), "allocation": plain(&self.allocation),
            "rewind": self.rewind.value(), "train": plain(&Learning::of(&self.recipe)),
        });
        if self.iterations > 1 {
            value["iterations"] = json!(self.iterations);
        }
        value
    }
}

/// A method with its settings, or several to choose from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Its name in tables.
    pub label: String,
    /// With the settings of the file, before any choice.
    pub method: Method,
    /// Scenarios that it is for; all of them if there is none.
    pub scenarios: Vec<String>,
    /// Settings to try, each name with its values.
    pub grid: Vec<(String, Vec<Value>)>,
    /// One method for each point of the grid, and what is special about it.
    pub candidates: Vec<(Value, Method)>,
}

impl Entry {
    /// Whether it is run on a scenario.
    pub(super) fn is_for(&self, scenario: &str) -> bool {
        self.scenarios.is_empty() || self.scenarios.iter().any(|only| only == scenario)
    }

    fn value(&self) -> Value {
        let mut all = Map::new();
        let method = plain(&self.method);
        let (name, fields) = match &method {
            Value::Object(one) => {
                one.iter().next().map_or(("", Value::Null), |(k, v)| (k, v.clone()))
            }
            _ => ("", Value::Null),
        };
        all.insert("name".into(), json!(name));
        all.insert("label".into(), json!(self.label));
        if !self.scenarios.is_empty() {
            all.insert("scenarios".into(), json!(self.scenarios));
        }
        if let Value::Object(fields) = fields {
            all.extend(fields);
        }
        if !self.grid.is_empty() {
            let grid = self.grid.iter().map(|(key, values)| (key.clone(), json!(values)));
            all.insert("grid".into(), Value::Object(grid.collect()));
        }
        Value::Object(all)
    }
}

/// Which samples the membership attack learns from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Shadows {
    /// A seeded, class-stratified draw.
    #[default]
    Stratified,
    /// The first retained samples, as the paper's released code does.
    Released,
}

/// Element type of weights in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kept {
    F32,
    #[default]
    F16,
    Bf16,
    Int8,
}

impl From<Kept> for Dtype {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::F32 => Self::F32,
            Kept::F16 => Self::F16,
            Kept::Bf16 => Self::Bf16,
            Kept::Int8 => Self::Int8,
        }
    }
}

/// An experiment with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Experiment {
    pub name: String,
    pub data: Vec<String>,
    pub models: Vec<String>,
    pub seeds: Vec<u64>,
    pub scenarios: Vec<String>,
    /// How the dense network is trained; its seed is filled in for each trial.
    pub train: Recipe,
    /// What a retraining does otherwise than the training of the model that is to forget.
    pub retrain: Learning,
    pub masks: Vec<Masking>,
    pub methods: Vec<Entry>,
    pub dtype: Kept,
    /// How samples are made of sound, text or pictures.
    pub features: Option<String>,
    pub shadows: Shadows,
    /// Seed on which grids are searched.
    pub tune_seed: u64,
    pub memory: Option<Bytes>,
    pub data_memory: Bytes,
    pub jobs: usize,
}

impl Experiment {
    /// As a file says it that leaves nothing to defaults.
    pub(super) fn value(&self) -> Value {
        let mut all = Map::new();
        let mut put = |key: &str, value: Value| all.insert(key.into(), value);
        put("name", json!(self.name));
        put("data", json!(self.data));
        put("models", json!(self.models));
        put("seeds", json!(self.seeds));
        put("scenarios", json!(self.scenarios));
        put("dtype", plain(&self.dtype));
        put("shadows", plain(&self.shadows));
        put("tune-seed", json!(self.tune_seed));
        put("jobs", json!(self.jobs));
        put("data-memory", json!(format!("{}B", self.data_memory.0)));
        if let Some(memory) = self.memory {
            put("memory", json!(format!("{}B", memory.0)));
        }
        if let Some(features) = &self.features {
            put("features", json!(features));
        }
        put("train", plain(&Learning::of(&self.train)));
        if self.retrain != Learning::default() {
            put("retrain", plain(&self.retrain));
        }
        put("masks", self.masks.iter().map(Masking::value).collect());
        put("methods", self.methods.iter().map(Entry::value).collect());
        Value::Object(all)
    }

    /// The file that leaves nothing to defaults.
    pub(super) fn text(&self) -> String {
        let text = toml::to_string(&self.value()).unwrap_or_default();
        format!(
            "# Every setting of the experiment, defaults filled in. It can be run as it is.\n{text}"
        )
    }
}
