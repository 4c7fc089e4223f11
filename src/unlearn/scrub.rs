//! SCRUB: a student that leaves its teacher where it is to forget, and stays with it where it is not.
//!
//! ```text
//! away:    theta goes up   T^2 KL(teacher || student) on the samples to forget
//! towards: theta goes down gamma * CE + alpha * T^2 KL(teacher || student) on the retained samples
//! ```
//!
//! Both softmaxes are at temperature `T`. The teacher is the model before, in evaluation mode, and sees
//! the pictures as the student does, cropped and mirrored alike.
//!
//! # Source
//! Kurmanji et al., *Towards Unbounded Machine Unlearning*, NeurIPS 2023, and its released code for small
//! sets: 3 epochs of which the first 2 begin with a pass away, alpha 0.001, gamma 0.99, temperature 4, rate
//! 5e-4, batches of 32 away and 128 towards. An epoch is its pass away, then its pass towards.
//!
//! # Where we differ
//! - [`Turns::First`] makes all passes away before the first pass towards, as the code of Unlearn-WorstCase
//!   (Fan et al. 2024) does: an epoch is one or the other.
//! - The rate stays; the released code lowers it at its own epochs. `schedule` does so here.
//! - No averaged copy of the weights is kept: the released code weighs it with 0.
//! - Rewinding (SCRUB+R) is left to whoever looks at the epochs.

use super::course::{Course, wrong};
use super::fine_tune::FineTune;
use crate::model::{Engine, Network};
use crate::train::{
    Batch, Compute, Control, EpochReport, Objective, Pass, State, Teacher, TrainError, Watch,
    epochs,
};
use serde::{Deserialize, Serialize};

/// How passes away from the teacher and towards it take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turns {
    /// Each of the first epochs is a pass away and a pass towards: the paper's.
    Alternating,
    /// The first epochs are passes away, the others passes towards.
    First,
}

/// A student that obeys its teacher selectively.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scrub {
    /// The steps; its batch is that of passes over the retained samples.
    pub tuning: FineTune,
    /// Epochs with a pass away from the teacher, the first ones (`msteps` of the released code).
    pub away: usize,
    /// How passes take turns.
    pub turns: Turns,
    /// Samples in a step away.
    pub forget_batch: usize,
    /// Weight of the divergence on the retained samples.
    pub alpha: f32,
    /// Weight of the cross-entropy on them.
    pub gamma: f32,
    /// What logits are divided by before the softmax.
    pub temperature: f32,
}

impl Default for Scrub {
    fn default() -> Self {
        Self {
            tuning: FineTune { epochs: 3, rate: 5e-4, ..FineTune::default() },
            away: 2,
            turns: Turns::Alternating,
            forget_batch: 32,
            alpha: 0.001,
            gamma: 0.99,
            temperature: 4.0,
        }
    }
}

impl Scrub {
    fn check(&self) -> Result<(), TrainError> {
        if self.away == 0 || self.away > self.tuning.epochs {
            return Err(wrong("away", self.away, "1 or more, at most `epochs`"));
        }
        if self.turns == Turns::First && self.away == self.tuning.epochs {
            return Err(wrong("away", self.away, "fewer than `epochs` where they come first"));
        }
        if self.forget_batch == 0 || self.forget_batch > self.tuning.batch {
            return Err(wrong("forget_batch", self.forget_batch, "1 or more, at most `batch`"));
        }
        for (field, value) in [("alpha", self.alpha), ("gamma", self.gamma)] {
            if !(0.0..=1e6).contains(&value) {
                return Err(wrong(field, value, "0 or more"));
            }
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Err(wrong("temperature", self.temperature, "a number above 0"));
        }
        Ok(())
    }

    /// Whether an epoch, from 0, passes away from the teacher, and whether it passes towards it.
    fn passes(&self, epoch: usize) -> [bool; 2] {
        let away = epoch < self.away;
        [away, !away || self.turns == Turns::Alternating]
    }

    pub(super) fn run(
        &self,
        state: &mut State,
        course: Course<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Vec<EpochReport>, TrainError> {
        self.check()?;
        let (retain, forget) = ([course.given.retain], [course.forget()?]);
        let mut stepper = course.stepper(&state.network, &[retain[0], forget[0]])?;
        let mut master = Master::new(course.original, course.recipe.batch, course.compute);
        let away = Pass { sets: &forget, seed: course.forget_seed(), batch: self.forget_batch };
        let towards = Pass { sets: &retain, seed: course.recipe.seed, batch: course.recipe.batch };
        // Weight of the divergence, and of the labels.
        let turns = [(away, -1.0, 0.0), (towards, self.alpha, self.gamma)];
        epochs(state, course.recipe, watch, |state, epoch| {
            let due: Vec<_> =
                turns.iter().zip(self.passes(epoch.number)).filter(|(_, due)| *due).collect();
            epoch.of = due.iter().map(|((pass, ..), _)| Batch::all(pass.sets)).sum();
            for ((pass, weight, labels), _) in due {
                let control =
                    epoch.pass(*pass, &mut stepper, state, |stepper, network, batch| {
                        let logits = master.logits(batch);
                        let temperature = self.temperature;
                        let teacher =
                            Some(Teacher { weight: *weight, temperature, logits: &logits });
                        let objective = Objective { labels: *labels, smoothing: 0.0, teacher };
                        stepper.add_batch(network, batch, &batch.labels(), objective)
                    })?;
                if control == Control::Stop {
                    return Ok(control);
                }
            }
            Ok(Control::Continue)
        })
    }
}

/// The model before, asked what it says of samples.
struct Master {
    network: Network,
    engine: Engine,
    piece: usize,
}

impl Master {
    fn new(network: &Network, batch: usize, compute: Compute) -> Self {
        let piece = compute.piece(batch);
        let mut engine = Engine::evaluating(network, piece, compute.device);
        engine.keep(network);
        Self { network: network.clone(), engine, piece }
    }

    /// Its logits for a batch, row-major `[samples, classes]`.
    fn logits(&mut self, batch: &Batch<'_>) -> Vec<f32> {
        let mut all = Vec::new();
        for (piece, part) in batch.indices.chunks(self.piece).enumerate() {
            let first = piece * self.piece;
            self.engine.load(&self.network, part.len(), |i, out| batch.fill(first + i, out));
            self.engine.forward(&mut self.network);
            all.extend(self.engine.logits());
        }
        all
    }
}
