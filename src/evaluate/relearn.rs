//! How soon a network knows again what it forgot.
//!
//! What was only hidden comes back after a few steps; what was forgotten takes as long as it takes a
//! network that never knew it.
//!
//! # Source
//! Relearn time: Golatkar, Achille, Soatto, *Eternal Sunshine of the Spotless Net*, CVPR 2020. In steps,
//! up to a margin below the original network's accuracy, and as the quotient to a retrained network's
//! ([`anamnesis`]): Chundawat, Tarun, Mandal, Kankanhalli, *Zero-Shot Machine Unlearning*, IEEE TIFS 18,
//! 2023.
//!
//! # Where we differ
//! Learns the forget set alone, in several orders: one order is one draw of a figure that varies much.

use serde::{Deserialize, Serialize};

use super::measure::MeasureError;
use super::metrics::accuracy;
use super::{EvaluateError, Scores};
use crate::data::{Dataset, Order};
use crate::model::Network;
use crate::train::{Compute, Recipe, Schedule, Stepper, score};

/// How a network learns again, and when it counts as having done so.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Relearning {
    /// Learning rate, constant.
    pub rate: f32,
    /// Momentum of SGD.
    pub momentum: f32,
    /// Samples in a step.
    pub batch: usize,
    /// Percentage points below the original's accuracy at which it counts.
    pub margin: f64,
    /// Steps after which one gives up.
    pub most_steps: usize,
    /// Orders in which the samples are seen, each from the same start.
    pub orders: usize,
    /// Seed of the first order; each further one has the next seed.
    pub seed: u64,
}

/// A rate of 0.01 and momentum of 0.9 are those of fine-tuning in Jia et al.; the margin is ours.
impl Default for Relearning {
    fn default() -> Self {
        let (rate, momentum, batch) = (0.01, 0.9, 64);
        Self { rate, momentum, batch, margin: 5.0, most_steps: 1000, orders: 3, seed: 1 }
    }
}

/// One order.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RelearningRun {
    /// Seed of the order.
    pub seed: u64,
    /// The first step after which accuracy was looked at and found high enough; 0 if it was so from
    /// the start. `None` if it never was.
    pub steps: Option<usize>,
    /// The last step before it after which accuracy was looked at. Looked at is each of the first
    /// eight, then after an eighth more steps each time.
    pub after: usize,
}

/// What learning again came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relearnt {
    /// Accuracy on the forget set that counts, in percent.
    pub goal: f64,
    /// Accuracy before the first step, in percent.
    pub start: f64,
    /// Steps of one pass over the forget set.
    pub epoch_steps: usize,
    /// The mean of steps over the orders; `None` if one of them did not get there.
    pub mean_steps: Option<f64>,
    /// Fewest and most steps over the orders: a range, not a confidence interval. `None` as before.
    pub range: Option<[usize; 2]>,
    /// Each order.
    pub runs: Vec<RelearningRun>,
}

/// Teaches copies of `network` the `forget` set until they answer it as `original` does, up to the
/// margin. `stop` is asked after each step.
///
/// Deterministic, whatever the number of threads. Accuracy is that of evaluation: running statistics,
/// which learning moves.
///
/// # Errors
/// If the set is empty or does not fit the networks, a setting makes no sense, or `stop` says so.
pub fn relearn(
    network: &Network,
    original: &Network,
    forget: &Dataset,
    settings: &Relearning,
    compute: Compute,
    stop: &dyn Fn() -> bool,
) -> Result<Relearnt, MeasureError> {
    settings.check()?;
    let goal = known(original, forget, compute)? - settings.margin;
    let start = known(network, forget, compute)?;
    let mut runs = Vec::new();
    for seed in (0..settings.orders as u64).map(|order| settings.seed.wrapping_add(order)) {
        runs.push(match start >= goal {
            true => RelearningRun { seed, steps: Some(0), after: 0 },
            false => again(network, forget, settings, seed, goal, compute, stop)?,
        });
    }
    let steps: Option<Vec<usize>> = runs.iter().map(|run| run.steps).collect();
    let range = steps.as_ref().and_then(|all| Some([*all.iter().min()?, *all.iter().max()?]));
    let mean = |all: Vec<usize>| all.iter().sum::<usize>() as f64 / all.len() as f64;
    Ok(Relearnt {
        goal,
        start,
        epoch_steps: forget.len().div_ceil(settings.batch),
        mean_steps: steps.map(mean),
        range,
        runs,
    })
}

/// Steps of a network that forgot over those of one that never knew: 1 is forgotten, near 0 hidden.
/// `None` where one of them did not get there, or the retrained one was there from the start.
pub fn anamnesis(unlearnt: &Relearnt, retrained: &Relearnt) -> Option<f64> {
    let (steps, of) = (unlearnt.mean_steps?, retrained.mean_steps?);
    (of > 0.0).then(|| steps / of)
}

impl Relearning {
    fn check(&self) -> Result<(), EvaluateError> {
        let bad = |name, value, expected| Err(EvaluateError::BadSetting { name, value, expected });
        if !(0.0..=100.0).contains(&self.margin) {
            return bad("margin", self.margin, "percentage points from 0 to 100");
        }
        for (name, value) in [("orders", self.orders), ("most_steps", self.most_steps)] {
            if value == 0 || value > 1_000_000 {
                return bad(name, value as f64, "1 to 1000000");
            }
        }
        Ok(())
    }

    /// How the samples are learnt in the order of `seed`.
    pub fn recipe(&self, seed: u64) -> Recipe {
        Recipe {
            rate: self.rate,
            momentum: self.momentum,
            decay: 0.0,
            batch: self.batch,
            schedule: Schedule::Constant,
            seed,
            ..Recipe::default()
        }
    }
}

/// Accuracy on the set, in percent.
fn known(network: &Network, set: &Dataset, compute: Compute) -> Result<f64, MeasureError> {
    let all: Vec<usize> = (0..set.len()).collect();
    let probabilities = score(network, set, &all, compute)?;
    Ok(accuracy(&Scores::new("forget", probabilities, set.labels.clone())?, "forget").value)
}

fn again(
    network: &Network,
    set: &Dataset,
    settings: &Relearning,
    seed: u64,
    goal: f64,
    compute: Compute,
    stop: &dyn Fn() -> bool,
) -> Result<RelearningRun, MeasureError> {
    let recipe = settings.recipe(seed);
    recipe.check()?;
    let mut network = network.clone();
    let mut momentum = vec![0.0; network.values.len()];
    let batch = settings.batch.min(set.len());
    let mut stepper = Stepper::new(&network, batch, &recipe, None, compute);
    let (mut step, mut after, mut look) = (0, 0, 1);
    for epoch in 0..settings.most_steps {
        for batch in Order::new(set.len(), seed, epoch).batches(batch) {
            let labels: Vec<u32> = batch.iter().map(|&index| set.labels[index]).collect();
            stepper.learn(&mut network, &labels, |i, out| set.read(batch[i], out));
            stepper.update(&mut network, &mut momentum, recipe.rate, 0.0);
            stepper.trouble()?;
            step += 1;
            if stop() {
                return Err(MeasureError::Stopped);
            }
            if step == look || step == settings.most_steps {
                set.trouble().map_err(crate::train::TrainError::from)?;
                if known(&network, set, compute)? >= goal {
                    return Ok(RelearningRun { seed, steps: Some(step), after });
                }
                after = step;
                look = (step + 1).max(step + step / 8);
            }
            if step == settings.most_steps {
                return Ok(RelearningRun { seed, steps: None, after });
            }
        }
    }
    Ok(RelearningRun { seed, steps: None, after })
}
