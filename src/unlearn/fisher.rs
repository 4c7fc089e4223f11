//! Fisher forgetting: noise on each weight, the more the less what is kept depends on it.
//!
//! `w <- w + sqrt(alpha * min(1 / (F + 1e-8), limit)) * n`, `n` standard normal, `F` the diagonal of the Fisher
//! information over the retained samples. A class of which nothing is retained is taken out of the head: its
//! row is drawn anew around 0, with variance 1e-4.
//!
//! # Source
//! Golatkar, Achille, Soatto, *Eternal Sunshine of the Spotless Net*, CVPR 2020, as in the `FF` of Jia et
//! al., NeurIPS 2023, whose code has `alpha / F` for the variance too. Its author advises an `alpha` near 1e-9
//! (issue 5 of its repository); the 0.2 of its examples destroys any model.
//!
//! # Where we differ
//! - The information is that of single samples; the code squares gradients of batches of 32, which is
//!   smaller and mixes samples.
//! - The class rule follows from the retained samples; the code asks whether 4,500 were to be forgotten.
//! - `compat` gives the released form: `fisher_new` for [`Labels::Expected`], with batches, one variance for
//!   all inputs of an output and kernel place, ten times as much for head, biases and batch norms, and a limit
//!   of 100 in the head; `fisher` for [`Labels::True`], with a largest deviation of 1e-3, ten times that
//!   where the last dimension is the number of classes, and no class rule. Both name the head by its place,
//!   and both leave out of means what does not exist.
//! - A weight that does not exist gets no noise. Every tensor has a stream of its own, `fisher/<name>`.

use serde::{Deserialize, Serialize};

use super::closed::{Closed, Halt, Slope, above_zero, loss_of};
use super::diagonal::{Asked, Labels, diagonal, exact};
use super::method::Given;
use crate::base::rng::Stream;
use crate::data::Dataset;
use crate::model::{Network, ParamKind, Parameter};
use crate::sparse::LANES;
use crate::train::{Recipe, TrainError};

/// Variance of a head's row whose class is forgotten.
const CLASS: f64 = 1e-4;
/// What keeps `1 / F` finite.
const TINY: f64 = 1e-8;
/// Samples in a batch of the released form.
const BATCH: usize = 32;

/// Fisher forgetting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fisher {
    /// Strength of the noise: its variance is `alpha / F`.
    pub alpha: f32,
    /// Which labels the information is asked of.
    pub labels: Labels,
    /// Passes back for sixteen samples; 0 takes one for each sample and label and is exact.
    pub draws: usize,
    /// The most that `1 / F` counts.
    pub limit: f32,
    /// The released code's form and constants.
    pub compat: bool,
}

impl Default for Fisher {
    fn default() -> Self {
        let labels = Labels::Expected;
        Self { alpha: 1e-9, labels, draws: 4, limit: 1e3, compat: false }
    }
}

impl Fisher {
    /// The steps that this method takes, for plans: it has no rate.
    pub fn recipe(&self, seed: u64) -> Recipe {
        let batch = match (self.compat, self.labels) {
            (true, Labels::Expected) => BATCH,
            (true, Labels::True) => 1,
            (false, _) if self.draws == 0 => 1,
            (false, _) => LANES,
        };
        Recipe { epochs: 1, batch, frozen_norm: true, seed, ..Recipe::default() }
    }
}

impl Closed for Fisher {
    fn check(&self) -> Result<(), TrainError> {
        above_zero("alpha", self.alpha)?;
        above_zero("limit", self.limit)
    }

    fn passes(&self) -> usize {
        1
    }

    fn moved(&self, slope: &mut Slope<'_>, given: Given<'_>, seed: u64) -> Result<Vec<f32>, Halt> {
        let Self { labels, draws, .. } = *self;
        let information = match (self.compat, labels) {
            (true, Labels::Expected) => released(slope, given.retain)?,
            (true, Labels::True) => released_empirical(slope, given.retain)?,
            (false, _) => {
                let stream = "fisher/signs";
                diagonal(slope, given.retain, Asked { labels, draws, seed, stream })?
            }
        };
        let network = &slope.network;
        let rows = Rows::of(network, given.retain);
        let mut values = network.values.clone();
        for (index, parameter) in network.parameters.iter().enumerate() {
            let mut stream = Stream::new(seed, &format!("fisher/{}", parameter.name));
            let spread = self.variances(parameter, &information[parameter.range.clone()], &rows);
            let own = values[parameter.range.clone()].iter_mut().zip(spread);
            for ((value, variance), position) in own.zip(parameter.mask.iter()) {
                if self.has_class_rule() && rows.gone(index, position) {
                    *value = 0.0;
                }
                *value = (f64::from(*value) + variance.sqrt() * stream.normal()) as f32;
            }
        }
        Ok(values)
    }
}

impl Fisher {
    fn has_class_rule(&self) -> bool {
        !(self.compat && self.labels == Labels::True)
    }

    /// The variance of the noise on each existing weight of a parameter.
    fn variances(&self, parameter: &Parameter, information: &[f64], rows: &Rows) -> Vec<f64> {
        let alpha = f64::from(self.alpha);
        if self.compat && self.labels == Labels::True {
            let factor = if parameter.shape.last() == Some(&rows.classes) { 100.0 } else { 1.0 };
            return information.iter().map(|f| factor * (alpha / f).min(1e-6)).collect();
        }
        let head = rows.head == Some(parameter.node);
        let most = match self.compat {
            true if head => 1e2,
            true => 1e3,
            false => f64::from(self.limit),
        };
        let mut all: Vec<f64> =
            information.iter().map(|f| alpha * (1.0 / (f + TINY)).min(most)).collect();
        if self.compat && parameter.shape.len() > 1 {
            level(parameter, &mut all);
        }
        for (variance, position) in all.iter_mut().zip(parameter.mask.iter()) {
            if head && rows.absent[position / (parameter.mask.len() / parameter.shape[0])] {
                *variance = CLASS;
            }
        }
        if self.compat && (head || parameter.shape.len() == 1) {
            all.iter_mut().for_each(|variance| *variance *= 10.0);
        }
        all
    }
}

/// Gives the existing weights of each output and kernel place the mean of their variances.
fn level(parameter: &Parameter, variances: &mut [f64]) {
    let inner: usize = parameter.shape[2..].iter().product();
    let group = |position: usize| position / inner / parameter.shape[1] * inner + position % inner;
    let mut sums = vec![(0.0, 0usize); parameter.shape[0] * inner];
    for (variance, position) in variances.iter().zip(parameter.mask.iter()) {
        let (sum, count) = &mut sums[group(position)];
        *sum += variance;
        *count += 1;
    }
    for (variance, position) in variances.iter_mut().zip(parameter.mask.iter()) {
        let (sum, count) = sums[group(position)];
        *variance = sum / count as f64;
    }
}

/// Which rows of the head are of classes that nothing is retained of.
struct Rows {
    classes: usize,
    /// Node of the last layer with weights, if it has a row a class.
    head: Option<usize>,
    absent: Vec<bool>,
    /// Parameters of the head, with weights a row.
    tensors: Vec<(usize, usize)>,
}

impl Rows {
    fn of(network: &Network, retain: &Dataset) -> Self {
        let classes = network.description.classes;
        let mut absent = vec![true; classes];
        retain.labels.iter().for_each(|&label| absent[label as usize] = false);
        let last = network.parameters.iter().rfind(|p| p.kind == ParamKind::Weight);
        let head = last.filter(|p| p.shape[0] == classes).map(|p| p.node);
        let parameters = network.parameters.iter().enumerate();
        let tensors = parameters.filter(|(_, p)| Some(p.node) == head);
        let tensors = tensors.map(|(index, p)| (index, p.mask.len() / classes)).collect();
        Self { classes, head, absent, tensors }
    }

    /// Whether a weight belongs to a class that is gone.
    fn gone(&self, parameter: usize, position: usize) -> bool {
        let of = self.tensors.iter().find(|(index, _)| *index == parameter);
        of.is_some_and(|(_, row)| self.absent[position / row])
    }
}

/// Squares of the gradients of batches, as `fisher_new` of the released code has them.
fn released(slope: &mut Slope<'_>, data: &Dataset) -> Result<Vec<f64>, Halt> {
    slope.pass();
    let classes = slope.network.description.classes;
    let mut sum = vec![0.0f64; slope.network.values.len()];
    let mut gradient = slope.zeros();
    let all: Vec<usize> = (0..data.len()).collect();
    for batch in all.chunks(BATCH) {
        let share = 1.0 / batch.len() as f64;
        // Where memory is short a batch goes in pieces.
        let pieces: Vec<&[usize]> = batch.chunks(slope.batch()).collect();
        let mut weights = vec![0.0f64; classes];
        for label in 0..classes {
            gradient.fill(0.0);
            for piece in &pieces {
                if label > 0 {
                    slope.again(data, piece);
                } else {
                    slope.forth(data, piece, all.len())?;
                    let p = slope.probabilities();
                    p.chunks_exact(classes)
                        .flat_map(|p| p.iter().enumerate())
                        .for_each(|(class, p)| weights[class] += share * p);
                }
                slope.back(&mut gradient, |_, p, out| loss_of(label as u32, share, p, out));
            }
            for (sum, &g) in sum.iter_mut().zip(&gradient) {
                *sum += weights[label] * f64::from(g).powi(2);
            }
        }
    }
    let batches = all.len().div_ceil(BATCH) as f64;
    sum.iter_mut().for_each(|value| *value /= batches);
    Ok(sum)
}

/// Squares of the gradients of single samples, each moved by 1e-8, as `fisher` of the released code has
/// them.
fn released_empirical(slope: &mut Slope<'_>, data: &Dataset) -> Result<Vec<f64>, Halt> {
    slope.pass();
    let mut sum = vec![0.0f64; slope.network.values.len()];
    exact(slope, data, Labels::True, |_, gradient| {
        for (sum, &g) in sum.iter_mut().zip(gradient) {
            *sum += (f64::from(g) + TINY).powi(2);
        }
    })?;
    sum.iter_mut().for_each(|value| *value /= data.len() as f64);
    Ok(sum)
}
