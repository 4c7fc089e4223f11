//! The loop itself.

use super::epoch::{Pass, epochs};
use super::error::TrainError;
use super::objective::Objective;
use super::recipe::Recipe;
use super::stepper::{Compute, Phases, Stepper};
use crate::data::Dataset;
use crate::model::{Network, Parameter};
use crate::sparse::Mask;

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

    /// Gives the network new masks, one a parameter, as [`Network::set_masks`] does. Momentum goes with
    /// the weights: what leaves takes its own along, what comes has none.
    ///
    /// # Panics
    /// If a mask is not of its parameter's size.
    pub fn set_masks(&mut self, masks: Vec<Mask>) {
        let of = |p: &Parameter| p.mask.spread(&self.momentum[p.range.clone()]);
        let dense: Vec<Vec<f32>> = self.network.parameters.iter().map(of).collect();
        self.network.set_masks(masks);
        let packed = self.network.parameters.iter().zip(&dense);
        self.momentum = packed.flat_map(|(p, dense)| p.mask.pack(dense)).collect();
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
    /// Mean cross-entropy over the epoch's batches, in nats, without the l1 term and whatever the
    /// objective; of the labels as they were learnt.
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
    check(&state.network, recipe, &[data])?;
    // Equal lengths are what a slice can show; equal masks are the caller's promise.
    if let Some(base) = base.filter(|base| base.len() != state.network.values.len()) {
        let expected = state.network.values.len();
        return Err(TrainError::BaseDiffers { expected, found: base.len() });
    }
    let batch = recipe.batch.min(data.len());
    let mut stepper = Stepper::new(&state.network, batch, recipe, base, compute.into());
    let sets = [data];
    epochs(state, recipe, watch, |state, epoch| {
        epoch.of = data.len();
        let pass = Pass { sets: &sets, seed: recipe.seed, batch: recipe.batch };
        epoch.pass(pass, &mut stepper, state, |stepper, network, batch| {
            stepper.add_batch(network, batch, &batch.labels(), Objective::PLAIN)
        })
    })
}

/// Refuses a recipe that makes no sense, or does not fit `network`, and sets that do not.
///
/// # Errors
/// If a set is empty or does not fit, or a number of the recipe makes no sense.
pub fn check(network: &Network, recipe: &Recipe, sets: &[&Dataset]) -> Result<(), TrainError> {
    recipe.check()?;
    recipe.trained.fits(&network.description)?;
    sets.iter().try_for_each(|set| fits(network, set))
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
