//! The loop over epochs, whatever is done in one: what is undone, reported, watched and refused.

use super::batch::Batch;
use super::error::TrainError;
use super::recipe::Recipe;
use super::run::{Control, EpochReport, Progress, State, Watch};
use super::stepper::{BatchLoss, Phases, Stepper};
use crate::base::clock::Stopwatch;
use crate::data::{Dataset, Order};
use crate::model::{Network, Parameter};
use crate::sparse::Loss;

/// An epoch under way.
pub struct Epoch<'a> {
    recipe: &'a Recipe,
    watch: &'a mut dyn Watch,
    /// Its number, from 0.
    pub number: usize,
    /// Learning rate.
    pub rate: f32,
    /// Strength of the l1 term.
    pub gamma: f32,
    /// Samples that it will see, for whoever watches.
    pub of: usize,
    phases: Phases,
    loss: Loss,
    samples: usize,
    at_centre: usize,
}

/// One pass over sets: which, in which order, in batches of how many.
#[derive(Clone, Copy, Debug)]
pub struct Pass<'a> {
    /// The sets, seen as one.
    pub sets: &'a [&'a Dataset],
    /// Seed of order and augmentation.
    pub seed: u64,
    /// Samples in a batch.
    pub batch: usize,
}

impl Epoch<'_> {
    /// Goes once through sets in random order, with a step for each batch along what `gradient` adds up
    /// in the cleared stepper. Several passes may make an epoch. `gradient` returns the batch's loss; where a
    /// device still computes it, it is told when the next batch is on its way.
    ///
    /// # Errors
    /// What `gradient` says.
    pub fn pass<'s>(
        &mut self,
        pass: Pass<'_>,
        stepper: &mut Stepper<'s>,
        state: &mut State,
        mut gradient: impl FnMut(
            &mut Stepper<'s>,
            &mut Network,
            &Batch<'_>,
        ) -> Result<BatchLoss, TrainError>,
    ) -> Result<Control, TrainError> {
        let Pass { sets, seed, batch: size } = pass;
        let (augment, epoch) = (self.recipe.augment, self.number);
        let State { network, momentum, .. } = state;
        let order = Order::new(Batch::all(sets), seed, epoch);
        let (mut control, mut waiting) = (Control::Continue, None);
        stepper.begin(network, momentum);
        for indices in order.batches(size) {
            stepper.clear();
            let batch = Batch { sets, indices, augment, seed, epoch };
            let loss = gradient(stepper, network, &batch)?;
            stepper.update(network, momentum, self.rate, self.gamma);
            let due = match loss {
                BatchLoss::Known(_) => Some((loss, indices.len())),
                BatchLoss::Asked(_) => waiting.replace((loss, indices.len())),
            };
            if let Some((loss, samples)) = due {
                control = self.tell(stepper.loss(network, loss), samples);
            }
            if control == Control::Stop {
                break;
            }
        }
        if let (Some((loss, samples)), Control::Continue) = (waiting, control) {
            control = self.tell(stepper.loss(network, loss), samples);
        }
        self.at_centre = stepper.at_centre();
        stepper.end(network, momentum);
        stepper.trouble()?;
        self.phases += stepper.take_phases();
        Ok(control)
    }

    /// Takes a batch's loss in.
    fn tell(&mut self, loss: Loss, samples: usize) -> Control {
        self.loss.sum += loss.sum;
        self.loss.correct += loss.correct;
        self.samples += samples;
        let (epoch, epochs) = (self.number, self.recipe.epochs);
        let (samples, of) = (self.samples, self.of);
        let loss = self.loss.sum / samples as f64;
        self.watch.batch(Progress { epoch, epochs, samples, of, loss })
    }

    fn report(&self, seconds: f64) -> EpochReport {
        let samples = self.samples.max(1) as f64;
        EpochReport {
            epoch: self.number + 1,
            loss: self.loss.sum / samples,
            accuracy: 100.0 * self.loss.correct as f64 / samples,
            rate: self.rate,
            gamma: self.gamma,
            at_centre: self.at_centre,
            seconds,
            phase_seconds: self.phases,
        }
    }
}

/// Runs the epochs of `recipe` that `state` has not done yet, each by `one`, until all are done or
/// `watch` stops it. An epoch that is stopped within is undone.
///
/// # Errors
/// What `one` or `watch` says, and [`TrainError::Diverged`] if a number is not finite after an epoch.
pub fn epochs(
    state: &mut State,
    recipe: &Recipe,
    watch: &mut dyn Watch,
    mut one: impl FnMut(&mut State, &mut Epoch<'_>) -> Result<Control, TrainError>,
) -> Result<Vec<EpochReport>, TrainError> {
    let mut reports = Vec::new();
    while state.epoch < recipe.epochs {
        let (before, started, number) = (state.clone(), Stopwatch::start(), state.epoch);
        let rate = recipe.rate * recipe.schedule.share(number, recipe.epochs);
        let gamma = recipe.l1.gamma(number, recipe.epochs);
        let (loss, phases) = (Loss::default(), Phases::default());
        #[rustfmt::skip]
        let mut epoch = Epoch {
            recipe, watch, number, rate, gamma, of: 0, phases, loss, samples: 0, at_centre: 0,
        };
        if one(state, &mut epoch)? == Control::Stop {
            // Stopped within an epoch: what was begun is undone, so that the state is whole.
            *state = before;
            break;
        }
        let report = epoch.report(started.seconds());
        if let Some(tensor) = first_not_finite(state) {
            let tensor = tensor.to_string();
            return Err(TrainError::Diverged { epoch: number + 1, tensor, rate });
        }
        state.epoch += 1;
        // Whoever watches may need as much memory again to write the state down.
        drop(before);
        reports.push(report);
        if watch.epoch(state, &report)? == Control::Stop {
            break;
        }
    }
    Ok(reports)
}

/// The first tensor with a weight, statistic or momentum that is no finite number. A soft threshold turns
/// a weight that is none into its centre: its momentum still tells.
fn first_not_finite(state: &State) -> Option<&str> {
    let wild = |p: &&Parameter| state.momentum[p.range.clone()].iter().any(|v| !v.is_finite());
    let momentum = || state.network.parameters.iter().find(wild).map(|p| p.name.as_str());
    state.network.first_not_finite().or_else(momentum)
}
