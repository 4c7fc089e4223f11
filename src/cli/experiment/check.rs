//! What an experiment's file claims, and whether it makes sense.

use std::ops::Range;

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

use super::line::{ORIGINAL, RETRAIN};
use super::settings::{Entry, Experiment, Kept, Learning, Masking, Rewind, Shadows};
use crate::base::units::Bytes;
use crate::data::Scenario;
use crate::prune::{Allocation, Criterion};
use crate::train::Recipe;

/// The most lists of an experiment hold: beyond, a slip of the keyboard is likelier than a wish.
pub(super) const MAX_LIST: usize = 10_000;
/// The memory that the values of each part of a data set may take, if nothing is said.
const DATA_MEMORY: u64 = 1 << 30;

/// The most rounds that a mask is made in: a fifth of what is left goes in each of the paper's.
const MAX_ROUNDS: usize = 100;

/// The epoch whose weights are kept for rewinding, if nothing is said, as `unlearn train` does.
const REWIND: usize = 2;
/// What is wrong, and where in the text.
pub(super) type Wrong = (Option<Range<usize>>, String);
pub(super) type Checked<T> = Result<T, Wrong>;

/// What the text claims, shorthands spelt out, without methods.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Claimed {
    name: Option<String>,
    data: Spanned<Vec<String>>,
    #[serde(alias = "model")]
    models: Spanned<Vec<String>>,
    seeds: Option<Spanned<Vec<u64>>>,
    #[serde(alias = "scenario")]
    scenarios: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    train: Option<Spanned<Learning>>,
    #[serde(default)]
    retrain: Learning,
    masks: Option<Vec<Spanned<ClaimedMask>>>,
    #[serde(default)]
    dtype: Kept,
    features: Option<String>,
    #[serde(default)]
    shadows: Shadows,
    tune_seed: Option<u64>,
    memory: Option<Spanned<String>>,
    data_memory: Option<Spanned<String>>,
    jobs: Option<Spanned<usize>>,
    /// Read before; here so that a message that lists the keys lists these too.
    #[serde(rename = "methods")]
    _methods: Option<IgnoredAny>,
    #[serde(rename = "mask")]
    _mask: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimedMask {
    sparsity: f64,
    label: Option<String>,
    #[serde(default = "magnitude")]
    criterion: Criterion,
    #[serde(default = "global")]
    allocation: Allocation,
    rewind: Option<Spanned<String>>,
    #[serde(default = "once")]
    iterations: usize,
    #[serde(default)]
    train: Learning,
}

fn magnitude() -> Criterion {
    Criterion::Magnitude
}

fn global() -> Allocation {
    Allocation::Global
}

fn once() -> usize {
    1
}

/// A fault at a place.
pub(super) fn at<T>(span: Range<usize>, why: impl Into<String>) -> Checked<T> {
    Err((Some(span), why.into()))
}

/// Holds what is claimed against what makes sense.
pub(super) fn checked(
    mut claimed: Claimed,
    methods: Vec<Entry>,
    stem: &str,
) -> Checked<Experiment> {
    let seeds = claimed.seeds.take().unwrap_or(Spanned::new(0..0, vec![1]));
    let scenarios: Vec<String> =
        claimed.scenarios.get_ref().iter().map(|s| s.get_ref().clone()).collect();
    named(&claimed, &seeds, &scenarios)?;
    let learning = claimed.train.unwrap_or(Spanned::new(0..0, Learning::default()));
    let train = learning.get_ref().over(&Recipe::default());
    sound(&train, &learning.span())?;
    let list = claimed.masks.unwrap_or_default();
    let mut masks =
        list.into_iter().map(|mask| masking(mask, &train)).collect::<Checked<Vec<_>>>()?;
    if masks.is_empty() {
        masks.push(dense(&train, None));
    }
    unique(masks.iter().map(|mask| mask.label.clone()), "mask")?;
    fitting(&methods, &scenarios)?;
    let size = |text: Option<Spanned<String>>| match text {
        None => Ok(None),
        Some(text) => Bytes::parse(text.get_ref()).map(Some).or_else(|why| at(text.span(), why)),
    };
    let jobs = claimed.jobs.unwrap_or(Spanned::new(0..0, 1));
    if !(1..=1024).contains(jobs.get_ref()) {
        return at(jobs.span(), format!("`jobs` is {}, expected 1 to 1024", jobs.get_ref()));
    }
    Ok(Experiment {
        name: claimed.name.unwrap_or_else(|| stem.to_string()),
        data: claimed.data.into_inner(),
        models: claimed.models.into_inner(),
        tune_seed: claimed.tune_seed.unwrap_or(seeds.get_ref()[0]),
        seeds: seeds.into_inner(),
        scenarios,
        train,
        retrain: claimed.retrain,
        masks,
        methods,
        dtype: claimed.dtype,
        features: claimed.features,
        shadows: claimed.shadows,
        memory: size(claimed.memory)?,
        data_memory: size(claimed.data_memory)?.unwrap_or(Bytes(DATA_MEMORY)),
        jobs: jobs.into_inner(),
    })
}

/// Holds the lists of an experiment against what they may hold.
fn named(claimed: &Claimed, seeds: &Spanned<Vec<u64>>, scenarios: &[String]) -> Checked<()> {
    let lists = [
        ("data", claimed.data.span(), distinct(claimed.data.get_ref())),
        ("models", claimed.models.span(), distinct(claimed.models.get_ref())),
        ("seeds", seeds.span(), distinct(seeds.get_ref())),
        ("scenarios", claimed.scenarios.span(), distinct(scenarios)),
    ];
    for (key, span, fine) in lists {
        if !fine {
            return at(span, format!("`{key}` is empty, names something twice, or is too long"));
        }
    }
    for scenario in claimed.scenarios.get_ref() {
        if let Err(error) = Scenario::parse(scenario.get_ref()) {
            return at(scenario.span(), error.to_string());
        }
    }
    Ok(())
}

/// Holds methods against each other and against the scenarios.
fn fitting(methods: &[Entry], scenarios: &[String]) -> Checked<()> {
    for scenario in scenarios {
        let own = [ORIGINAL, RETRAIN].map(String::from);
        let here = methods.iter().filter(|m| m.is_for(scenario)).map(|m| m.label.clone());
        unique(own.into_iter().chain(here), "method")?;
    }
    if let Some(stray) = methods.iter().flat_map(|m| &m.scenarios).find(|s| !scenarios.contains(s))
    {
        return Err((
            None,
            format!("a method is for the scenario `{stray}`, which `scenarios` does not list"),
        ));
    }
    Ok(())
}

/// Whether a list holds something, and nothing twice.
fn distinct<T: Ord>(list: &[T]) -> bool {
    let set: std::collections::BTreeSet<&T> = list.iter().collect();
    !list.is_empty() && list.len() <= MAX_LIST && set.len() == list.len()
}

/// Refuses a label that is there twice: a table could not tell the two apart.
fn unique(labels: impl Iterator<Item = String>, what: &str) -> Checked<()> {
    let mut seen = std::collections::BTreeSet::new();
    for label in labels {
        if !seen.insert(label.clone()) {
            return Err((
                None,
                format!("two entries are the {what} `{label}`: give one of them another `label`"),
            ));
        }
    }
    Ok(())
}

fn sound(recipe: &Recipe, span: &Range<usize>) -> Checked<()> {
    if recipe.epochs == 0 {
        return at(span.clone(), "epochs is 0: nothing would be learnt; give 1 or more");
    }
    recipe.check().or_else(|error| at(span.clone(), error.to_string()))
}

fn dense(train: &Recipe, label: Option<String>) -> Masking {
    Masking {
        label: label.unwrap_or_else(|| "dense".into()),
        sparsity: 0.0,
        criterion: magnitude(),
        allocation: global(),
        rewind: Rewind::None,
        iterations: 1,
        recipe: train.clone(),
    }
}

fn masking(mask: Spanned<ClaimedMask>, train: &Recipe) -> Checked<Masking> {
    let span = mask.span();
    let mask = mask.into_inner();
    if mask.sparsity == 0.0 {
        return Ok(dense(train, mask.label));
    }
    if !(mask.sparsity > 0.0 && mask.sparsity < 1.0) {
        return at(
            span,
            format!(
                "sparsity is {}, expected a share from 0 up to, but not including, 1",
                mask.sparsity
            ),
        );
    }
    iterated(&mask, &span)?;
    let recipe = mask.train.over(train);
    sound(&recipe, &span)?;
    let rewind = match &mask.rewind {
        None => Rewind::Epoch(REWIND.min(train.epochs).min(recipe.epochs - 1).max(1)),
        Some(word) => match Rewind::parse(word.get_ref()) {
            Some(rewind) => rewind,
            None => {
                return at(
                    word.span(),
                    format!(
                        "rewind is `{}`, expected \"init\", \"none\" or an epoch",
                        word.get_ref()
                    ),
                );
            }
        },
    };
    let rewind = if recipe.epochs == 1 && mask.rewind.is_none() { Rewind::Init } else { rewind };
    if rewind.epoch() >= recipe.epochs || rewind.epoch() > train.epochs {
        return at(
            span,
            format!(
                "rewound to epoch {} of {} (the dense training has {}): nothing is left to train, or the epoch never came",
                rewind.epoch(),
                recipe.epochs,
                train.epochs
            ),
        );
    }
    let percent = (mask.sparsity * 1e6).round() / 1e4;
    let usual = match mask.iterations {
        1 => format!("{percent} %"),
        rounds => format!("{percent} % in {rounds} rounds"),
    };
    Ok(Masking {
        label: mask.label.unwrap_or(usual),
        sparsity: mask.sparsity,
        criterion: mask.criterion,
        allocation: mask.allocation,
        rewind,
        iterations: mask.iterations,
        recipe,
    })
}

/// Whether pruning in rounds makes sense for a mask, if it is asked for.
fn iterated(mask: &ClaimedMask, span: &Range<usize>) -> Checked<()> {
    let whole = mask.criterion.before_training() || mask.allocation.sparsity().is_some();
    match mask.iterations {
        1 => Ok(()),
        2..=MAX_ROUNDS if !whole => Ok(()),
        2..=MAX_ROUNDS => at(
            span.clone(),
            "`iterations` prunes by steps, with training between: it belongs to criteria that score trained weights, and to no N:M pattern",
        ),
        rounds => at(span.clone(), format!("iterations is {rounds}, expected 1 to {MAX_ROUNDS}")),
    }
}
