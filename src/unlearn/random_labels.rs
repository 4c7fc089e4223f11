//! Random labels: the samples to forget are learnt under labels that say nothing of them.
//!
//! Each epoch draws a fresh label for each sample to forget, uniformly over all classes, its own among
//! them; goes once over those samples, then once over those that are kept under their own labels.
//! [`Salun`] does the same to the weights alone that the samples to forget pull at most.
//!
//! ```text
//! saliency = |sum over batches of d CE(forget batch) / d theta|       at the model that is given
//! learns   = the top `share` of all weights by saliency, biases and batch norms among them
//! theta    = learns * (theta_given + change) + (1 - learns) * theta_given
//! ```
//!
//! # Source
//! Fan et al., *SalUn: Empowering Machine Unlearning via Gradient-Based Weight Saliency*, ICLR 2024, and its
//! released code: rate 0.013, 10 epochs, half of the weights. Saliency is taken in evaluation mode; ranks
//! are over all parameters together. For data sets of many classes that code joins and shuffles both
//! sets: [`RandomLabels::shuffled`].
//!
//! # Where we differ
//! - Batch 128 instead of 256, as in [`super::FineTune`].
//! - Saliency is taken over the samples as they are, in their order; the released code crops and mirrors
//!   them at random.
//! - Weights of equal saliency are ranked by their place. Ranks are over weights that learn at all.
//! - A weight that is held keeps every byte. The released code let momentum and decay move it until
//!   February 2026.

use super::course::{Course, wrong};
use super::fine_tune::FineTune;
use crate::base::rng::Stream;
use crate::data::Augment;
use crate::train::{
    Batch, Control, EpochReport, Held, Objective, Pass, Recipe, State, Stepper, TrainError, Watch,
    check, epochs,
};
use serde::{Deserialize, Serialize};

/// Random labels for the samples to forget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomLabels {
    /// The steps; an epoch passes over both sets.
    pub tuning: FineTune,
    /// Whether both sets are shuffled into one, instead of one after the other.
    pub shuffled: bool,
}

impl Default for RandomLabels {
    fn default() -> Self {
        let tuning = FineTune { epochs: 10, rate: 0.013, ..FineTune::default() };
        Self { tuning, shuffled: false }
    }
}

/// SalUn: random labels, for the most salient weights alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Salun {
    /// The steps; an epoch passes over both sets.
    pub tuning: FineTune,
    /// Whether both sets are shuffled into one, instead of one after the other.
    pub shuffled: bool,
    /// Share of the weights that learn, above 0 up to 1.
    pub share: f64,
}

impl Default for Salun {
    fn default() -> Self {
        let RandomLabels { tuning, shuffled } = RandomLabels::default();
        Self { tuning, shuffled, share: 0.5 }
    }
}

impl RandomLabels {
    pub(super) fn run(
        &self,
        state: &mut State,
        course: Course<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Vec<EpochReport>, TrainError> {
        relabelled(self.shuffled, None, state, course, watch)
    }
}

impl Salun {
    pub(super) fn run(
        &self,
        state: &mut State,
        course: Course<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Vec<EpochReport>, TrainError> {
        let learns = salient(course, self.share)?;
        let held = Held { learns: &learns, values: &course.original.values };
        relabelled(self.shuffled, Some(held), state, course, watch)
    }
}

/// The run of both methods.
fn relabelled(
    shuffled: bool,
    held: Option<Held<'_>>,
    state: &mut State,
    course: Course<'_>,
    watch: &mut dyn Watch,
) -> Result<Vec<EpochReport>, TrainError> {
    let (forget, retain, seed) = (course.forget()?, course.given.retain, course.recipe.seed);
    let sets = [forget, retain];
    let mut stepper = course.stepper(&state.network, &sets)?.holding(held);
    let pass = |sets, seed| Pass { sets, seed, batch: course.recipe.batch };
    let passes = match shuffled {
        true => vec![pass(&sets[..], seed)],
        false => vec![pass(&sets[..1], course.forget_seed()), pass(&sets[1..], seed)],
    };
    epochs(state, course.recipe, watch, |state, epoch| {
        epoch.of = Batch::all(&sets);
        let fresh = fresh_labels(forget.len(), forget.classes.len(), seed, epoch.number);
        for (which, pass) in passes.iter().enumerate() {
            let control = epoch.pass(*pass, &mut stepper, state, |stepper, network, batch| {
                let mut labels = batch.labels();
                // The samples to forget come first, where they come at all.
                let relabelled = if which == 0 { &fresh[..] } else { &[] };
                for (label, &index) in labels.iter_mut().zip(batch.indices) {
                    *label = relabelled.get(index).copied().unwrap_or(*label);
                }
                stepper.add_batch(network, batch, &labels, Objective::PLAIN)
            })?;
            if control == Control::Stop {
                return Ok(control);
            }
        }
        Ok(Control::Continue)
    })
}

/// A label for each sample to forget, uniform over all classes, stream `labels/{epoch}`.
fn fresh_labels(samples: usize, classes: usize, seed: u64, epoch: usize) -> Vec<u32> {
    let mut stream = Stream::new(seed, &format!("labels/{epoch}"));
    (0..samples).map(|_| stream.index(classes) as u32).collect()
}

/// For each weight, whether it is among the most salient `share`.
fn salient(course: Course<'_>, share: f64) -> Result<Vec<bool>, TrainError> {
    if !(share > 0.0 && share <= 1.0) {
        return Err(wrong("share", share, "a share above 0, up to 1"));
    }
    let saliency = saliency(course)?;
    let trained = course.recipe.trained.nodes(&course.original.description);
    let parameters = course.original.parameters.iter().filter(|p| trained[p.node]);
    let mut ranked: Vec<usize> = parameters.flat_map(|p| p.range.clone()).collect();
    let kept = (share * ranked.len() as f64) as usize;
    let order = |a: &usize, b: &usize| saliency[*b].total_cmp(&saliency[*a]).then(a.cmp(b));
    if kept < ranked.len() {
        ranked.select_nth_unstable_by(kept, order);
    }
    let mut learns = vec![false; saliency.len()];
    ranked[..kept].iter().for_each(|&weight| learns[weight] = true);
    Ok(learns)
}

/// `|sum over batches of the gradient of the batch's mean cross-entropy|` of each weight, over the samples
/// to forget, with running statistics taken as constants. 0 where a weight does not learn.
fn saliency(course: Course<'_>) -> Result<Vec<f32>, TrainError> {
    let sets = [course.forget()?];
    check(course.original, course.recipe, &sets)?;
    let recipe = Recipe { frozen_norm: true, ..course.recipe.clone() };
    let size = recipe.batch.min(sets[0].len());
    let mut network = course.original.clone();
    let mut stepper = Stepper::new(&network, size, &recipe, None, course.compute);
    let all: Vec<usize> = (0..sets[0].len()).collect();
    stepper.clear();
    for indices in all.chunks(size) {
        let augment = Augment::default();
        let batch = Batch { sets: &sets, indices, augment, seed: recipe.seed, epoch: 0 };
        stepper.add_batch(&mut network, &batch, &batch.labels(), Objective::PLAIN)?;
    }
    let gradient = stepper.gradient();
    let untrained = vec![0.0; network.values.len() - gradient.len()];
    Ok(untrained.into_iter().chain(gradient.iter().map(|g| g.abs())).collect())
}
