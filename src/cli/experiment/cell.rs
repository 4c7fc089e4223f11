//! What an experiment asks of the rooms below: train, choose masks, forget, measure. Each call stands
//! here once.

use super::super::fault::Fault;
use super::super::prune::some_of_each;
use super::super::setting;
use super::settings::{Masking, Shadows};
use crate::data::{Augment, Splits};
use crate::evaluate::{Attack, MeasureError, Measured, Sets, measure};
use crate::model::Network;
use crate::prune::{Choice, Criterion, Samples, masks};
use crate::sparse::Mask;
use crate::train::{Compute, L1Form, Recipe, State, Watch, run};
use crate::unlearn::{Given, Method, Outcome, Retrain, Start, forget};

/// Why a method cannot be run by an experiment, whatever the data; nothing if it can.
pub(super) fn refused(method: &Method) -> Option<String> {
    let recipe = method.recipe(1);
    if recipe.l1.form == L1Form::TowardsBase && recipe.l1.alpha > 0.0 {
        return Some(
            "the form `towards-base` needs a model that never knew the samples, which an experiment does not have: take `subgradient` or `proximal`".into(),
        );
    }
    if recipe.epochs == 0 {
        return Some("epochs is 0: nothing would be forgotten; give 1 or more".into());
    }
    recipe.check().err().map(|error| error.to_string())
}

/// The yardstick: from the weights that the dense network began with, in the order of the original.
pub(super) fn retrain(recipe: &Recipe) -> Method {
    Method::Retrain(Retrain::like(recipe, Start::Seed(recipe.seed)))
}

/// Trains `state` from where it stands to the end of `recipe`, or until `watch` stops it.
pub(super) fn train(
    state: &mut State,
    data: &Splits,
    recipe: &Recipe,
    compute: Compute,
    watch: &mut dyn Watch,
) -> Result<(), Fault> {
    run(state, &data.train, recipe, None, compute, watch)?;
    Ok(())
}

/// Samples of each class that a criterion is asked of which reads some.
const ASKED: usize = 10;

/// The masks that a dense network gets, by the scores of its weights; on the processor, whatever learns.
pub(super) fn choose(
    network: &Network,
    masking: &Masking,
    data: &Splits,
    seed: u64,
) -> Result<Vec<Mask>, Fault> {
    let Masking { sparsity, allocation, criterion, .. } = *masking;
    let asked = match criterion.needs_samples() {
        true => some_of_each(&data.train, ASKED, seed),
        false => Vec::new(),
    };
    let labels: Vec<u32> = asked.iter().map(|&index| data.train.labels[index]).collect();
    let fill = |i: usize, out: &mut [f32]| data.train.read(asked[i], out);
    let samples = Some(Samples { labels: &labels, fill: &fill });
    let isa = setting::isa();
    let masks = Choice { sparsity, allocation, criterion, seed, samples, isa }.masks(network)?;
    // A sample that could not be read is scored as something else.
    data.train.trouble()?;
    Ok(masks)
}

/// Masks of the same density, chosen without training or samples: for what a run takes in memory.
pub(super) fn as_dense_as(
    network: &Network,
    masking: &Masking,
    seed: u64,
) -> Result<Vec<Mask>, Fault> {
    Ok(masks(network, masking.sparsity, masking.allocation, Criterion::Random, seed)?)
}

/// What forgetting needs to know.
pub(super) struct Forgetting<'a> {
    pub method: &'a Method,
    pub network: &'a Network,
    pub data: &'a Splits,
    pub sets: &'a Sets,
    pub augment: Augment,
    pub seed: u64,
    pub compute: Compute,
}

impl Forgetting<'_> {
    /// Forgets.
    pub(super) fn run(&self, watch: &mut dyn Watch) -> Result<Outcome, Fault> {
        let Self { method, network, data, sets, augment, seed, compute } = *self;
        let retain = data.train.subset(&sets.retain);
        let gone = method.needs_forget().then(|| data.train.subset(&sets.forget));
        let given = Given { retain: &retain, forget: gone.as_ref(), base: None };
        Ok(forget(method, network, given, augment, seed, compute, watch)?)
    }
}

/// The attack whose efficacy is told.
pub(super) fn attack(shadows: Shadows, seed: u64) -> Attack {
    match shadows {
        Shadows::Stratified => Attack::paper(seed),
        Shadows::Released => Attack::released(),
    }
}

/// Measures the network of a file that was written and opened again.
pub(super) fn figures(
    network: &Network,
    data: &Splits,
    sets: &Sets,
    attack: Attack,
    compute: Compute,
) -> Result<Measured, Fault> {
    Ok(measure(network, data, sets, attack, None, compute)?)
}

/// Whether a fault follows from the settings and will come again: it is a result of a cell, and the
/// others go on. What a device meets does not: another run may find it in order.
pub(super) fn is_result(fault: &Fault) -> bool {
    use crate::train::TrainError;
    match fault {
        Fault::Train(TrainError::Watch(_) | TrainError::Device(_)) => false,
        Fault::Measure(MeasureError::Score(TrainError::Device(_))) => false,
        Fault::Train(_) | Fault::Prune(_) | Fault::Evaluate(_) | Fault::Measure(_) => true,
        _ => false,
    }
}
