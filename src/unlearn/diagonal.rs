//! The diagonal of the Fisher information, sample by sample.
//!
//! `F[w] = 1/n sum_i sum_y p(y | x_i) (d ln p(y | x_i) / dw)^2` with the network's own probabilities, or with
//! the one label that each sample has ([`Labels`]).
//!
//! # Cost
//! Exactly, one pass forth and back for each sample and label, each as long as one of sixteen samples. By signs,
//! `draws` passes for sixteen samples: the square of the gradient of `sum_i sum_y s_iy sqrt(p) ln p`, `s` random
//! signs, is on average the sum of squares, because products of different terms cancel. Over `b` blocks of
//! sixteen its relative error is about `sqrt(2 / (b * draws))`: 6 % for 9,000 samples and one draw.
//!
//! # Source
//! Signs in place of sums of squares: Hutchinson, *A stochastic estimator of the trace of the influence
//! matrix for Laplacian smoothing splines*, 1989.

use serde::{Deserialize, Serialize};

use super::closed::{Halt, Slope};
use crate::base::rng::Stream;
use crate::data::Dataset;
use crate::sparse::LANES;

/// Which labels the Fisher information is asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Labels {
    /// All, each as likely as the network says: the Fisher information.
    Expected,
    /// The sample's own: the empirical one.
    True,
}

/// How it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub labels: Labels,
    /// Passes back a block; 0 is exact.
    pub draws: usize,
    pub seed: u64,
    /// What the stream of signs is for.
    pub stream: &'a str,
}

/// The diagonal over all of `data`, one entry a packed weight.
pub(super) fn diagonal(
    slope: &mut Slope<'_>,
    data: &Dataset,
    asked: Asked<'_>,
) -> Result<Vec<f64>, Halt> {
    slope.pass();
    let mut sum = vec![0.0f64; slope.network.values.len()];
    if asked.draws == 0 {
        exact(slope, data, asked.labels, |weight, gradient| {
            add_squares(&mut sum, gradient, weight);
        })?;
    } else {
        by_signs(slope, data, asked, &mut sum)?;
    }
    sum.iter_mut().for_each(|value| *value /= data.len() as f64);
    Ok(sum)
}

/// Calls `take` with the weight of each label of each sample and its gradient of `ln p`.
pub(super) fn exact(
    slope: &mut Slope<'_>,
    data: &Dataset,
    labels: Labels,
    mut take: impl FnMut(f64, &[f32]),
) -> Result<(), Halt> {
    let mut gradient = slope.zeros();
    for index in 0..data.len() {
        slope.forth(data, &[index], data.len())?;
        let p = slope.probabilities();
        let own = data.labels[index] as usize;
        let asked = match labels {
            Labels::Expected => 0..p.len(),
            Labels::True => own..own + 1,
        };
        for label in asked {
            slope.again(data, &[index]);
            gradient.fill(0.0);
            slope.back(&mut gradient, |_, p, out| ln_p(label, 1.0, p, out));
            take(if labels == Labels::True { 1.0 } else { p[label] }, &gradient);
        }
    }
    Ok(())
}

fn by_signs(
    slope: &mut Slope<'_>,
    data: &Dataset,
    Asked { labels, draws, seed, stream }: Asked<'_>,
    sum: &mut [f64],
) -> Result<(), Halt> {
    let mut signs = Stream::new(seed, stream);
    let mut gradient = slope.zeros();
    let all: Vec<usize> = (0..data.len()).collect();
    for block in all.chunks(LANES) {
        slope.forth(data, block, all.len())?;
        for draw in 0..draws {
            if draw > 0 {
                slope.again(data, block);
            }
            gradient.fill(0.0);
            slope.back(&mut gradient, |sample, p, out| {
                out.fill(0.0);
                let mut sign = || if signs.below(2) == 0 { 1.0 } else { -1.0 };
                match labels {
                    Labels::True => ln_p(data.labels[block[sample]] as usize, sign(), p, out),
                    Labels::Expected => {
                        (0..p.len())
                            .for_each(|label| ln_p(label, sign() * p[label].sqrt(), p, out));
                    }
                }
            });
            add_squares(sum, &gradient, 1.0 / draws as f64);
        }
    }
    Ok(())
}

/// Adds the derivative of `weight * ln p(label)` by the logits.
fn ln_p(label: usize, weight: f64, p: &[f64], out: &mut [f32]) {
    for (class, (p, out)) in p.iter().zip(out).enumerate() {
        let target = if class == label { 1.0 } else { 0.0 };
        *out += (weight * (target - p)) as f32;
    }
}

fn add_squares(sum: &mut [f64], gradient: &[f32], weight: f64) {
    for (sum, &g) in sum.iter_mut().zip(gradient) {
        *sum += weight * f64::from(g) * f64::from(g);
    }
}
