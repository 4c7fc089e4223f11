//! The loop itself.

use super::error::TrainError;
use super::recipe::Recipe;
use super::stepper::{Compute, Phases, Stepper};
use crate::base::clock::Stopwatch;
use crate::data::{Dataset, Order};
use crate::model::{Network, Parameter};
use crate::sparse::Loss;

/// A network on its way: what a checkpoint holds.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The network.
    pub network: Network,
    /// One momentum for each existing weight.
    pub momentum: Vec<f32>,
    /// Epochs that are done.
    pub epoch: usize,
}

impl State {
    /// The state before the first epoch.
    pub fn new(network: Network) -> Self {
        Self { momentum: vec![0.0; network.values.len()], network, epoch: 0 }
    }
}

/// Whether a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// It does.
    Continue,
    /// It ends now; the epoch under way is lost.
    Stop,
}

/// Where a run stands, within an epoch.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The epoch under way, from 0.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Samples seen in this epoch.
    pub samples: usize,
    /// Samples of an epoch.
    pub of: usize,
    /// The mean loss of this epoch so far.
    pub loss: f64,
}

/// What an epoch came to.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct EpochReport {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Mean cross-entropy over the epoch's batches, in nats, without the l1 term.
    pub loss: f64,
    /// Share of samples named rightly as they were trained on, in percent.
    pub accuracy: f64,
    /// Learning rate.
    pub rate: f32,
    /// Strength of the l1 term.
    pub gamma: f32,
    /// Weights that exist and are exactly 0 (or exactly the base's), in parameters that learn under
    /// l1.
    pub at_centre: usize,
    /// Seconds.
    pub seconds: f64,
    /// Where they went; what is left over are order, labels and checks.
    pub phase_seconds: Phases,
}

/// Somebody who watches a run and may stop it.
pub trait Watch {
    /// After each batch.
    fn batch(&mut self, _progress: Progress) -> Control {
        Control::Continue
    }
    /// After each epoch, with what a checkpoint needs.
    ///
    /// # Errors
    /// [`TrainError::Watch`] if a checkpoint could not be written; the run ends.
    fn epoch(&mut self, _state: &State, _report: &EpochReport) -> Result<Control, TrainError> {
        Ok(Control::Continue)
    }
}

/// Nobody watches.
pub struct Quiet;
impl Watch for Quiet {}

/// Trains `state` from its epoch on, until `recipe.epochs` are done or `watch` stops it.
///
/// Returns the reports of the epochs that were run. Deterministic: equal arguments give equal bytes,
/// whatever the number of threads, and a run resumed from the state after any epoch ends where the
/// whole run ends. `base` holds the weights that [`super::L1Form::TowardsBase`] pulls to. `compute` is
/// an instruction set, or one with a piece of the batch where memory is short. What
/// [`Recipe::trained`] leaves out keeps every byte, momentum and running statistics included.
///
/// # Errors
/// If the set is empty or does not fit, a number of the recipe makes no sense, or weights diverge.
pub fn run(
    state: &mut State,
    data: &Dataset,
    recipe: &Recipe,
    base: Option<&[f32]>,
    compute: impl Into<Compute>,
    watch: &mut dyn Watch,
) -> Result<Vec<EpochReport>, TrainError> {
    recipe.check()?;
    recipe.trained.fits(&state.network.description)?;
    fits(&state.network, data)?;
    // Equal lengths are what a slice can show; equal masks are the caller's promise.
    if let Some(base) = base.filter(|base| base.len() != state.network.values.len()) {
        let expected = state.network.values.len();
        return Err(TrainError::BaseDiffers { expected, found: base.len() });
    }
    let batch = recipe.batch.min(data.len());
    let stepper = Stepper::new(&state.network, batch, recipe, base, compute.into());
    let mut run = Run { data, recipe, stepper };
    let mut reports = Vec::new();
    while state.epoch < recipe.epochs {
        let before = state.clone();
        let Some(report) = run.epoch(state, watch)? else {
            // Stopped within an epoch: what was begun is undone, so that the state is whole.
            *state = before;
            break;
        };
        // Whoever watches may need as much memory again to write the state down.
        drop(before);
        reports.push(report);
        if watch.epoch(state, &report)? == Control::Stop {
            break;
        }
    }
    Ok(reports)
}

/// Whether `data` is sound, and its samples are what `network` takes.
///
/// The fields of a set are public, so whoever learns from one or scores it holds it against itself
/// here: a label without a class would be a panic later, and a NaN would spoil every weight.
///
/// # Errors
/// If the set is empty, contradicts itself, or has samples or classes of another shape or number.
pub fn fits(network: &Network, data: &Dataset) -> Result<(), TrainError> {
    let description = &network.description;
    let model = description.name.clone();
    if data.is_empty() {
        return Err(TrainError::Empty);
    }
    let expected = description.nodes[0].shape;
    if expected != data.shape {
        return Err(TrainError::Shape { model, expected, found: data.shape });
    }
    let found = data.classes.len();
    if description.classes != found {
        return Err(TrainError::Classes { model, expected: description.classes, found });
    }
    Ok(data.check()?)
}

/// The first tensor with a weight, statistic or momentum that is no finite number. A soft threshold turns
/// a weight that is none into its centre: its momentum still tells.
fn first_not_finite(state: &State) -> Option<&str> {
    let wild = |p: &&Parameter| state.momentum[p.range.clone()].iter().any(|v| !v.is_finite());
    let momentum = || state.network.parameters.iter().find(wild).map(|p| p.name.as_str());
    state.network.first_not_finite().or_else(momentum)
}

struct Run<'a> {
    data: &'a Dataset,
    recipe: &'a Recipe,
    stepper: Stepper<'a>,
}

impl Run<'_> {
    /// One epoch, or `None` if it was stopped within.
    fn epoch(
        &mut self,
        state: &mut State,
        watch: &mut dyn Watch,
    ) -> Result<Option<EpochReport>, TrainError> {
        let started = Stopwatch::start();
        let (recipe, epoch) = (self.recipe, state.epoch);
        let rate = recipe.rate * recipe.schedule.share(epoch, recipe.epochs);
        let gamma = recipe.l1.gamma(epoch, recipe.epochs);
        let order = Order::new(self.data.len(), recipe.seed, epoch);
        let mut loss = Loss::default();
        let (mut samples, mut at_centre) = (0, 0);
        for batch in order.batches(recipe.batch) {
            let this = self.batch(state, batch, epoch);
            self.data.trouble()?;
            loss.sum += this.sum;
            loss.correct += this.correct;
            let State { network, momentum, .. } = &mut *state;
            at_centre = self.stepper.update(network, momentum, rate, gamma);
            samples += batch.len();
            let of = self.data.len();
            let mean = loss.sum / samples as f64;
            let progress = Progress { epoch, epochs: recipe.epochs, samples, of, loss: mean };
            if watch.batch(progress) == Control::Stop {
                return Ok(None);
            }
        }
        if let Some(tensor) = first_not_finite(state) {
            return Err(TrainError::Diverged {
                epoch: epoch + 1,
                tensor: tensor.to_string(),
                rate,
            });
        }
        state.epoch += 1;
        let loss_mean = loss.sum / samples as f64;
        let accuracy = 100.0 * loss.correct as f64 / samples as f64;
        let seconds = started.seconds();
        Ok(Some(EpochReport {
            epoch: epoch + 1,
            loss: loss_mean,
            accuracy,
            rate,
            gamma,
            at_centre,
            seconds,
            phase_seconds: self.stepper.take_phases(),
        }))
    }

    fn batch(&mut self, state: &mut State, batch: &[usize], epoch: usize) -> Loss {
        let (data, augment, seed) = (self.data, self.recipe.augment, self.recipe.seed);
        let labels: Vec<u32> = batch.iter().map(|&index| data.labels[index]).collect();
        self.stepper.learn(&mut state.network, &labels, |i, out| {
            data.read_augmented(batch[i], augment.draw(seed, epoch, batch[i]), out);
        })
    }
}
