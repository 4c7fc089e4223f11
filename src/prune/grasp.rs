//! GraSP: weights stay without which the gradient would flow worse.
//!
//! To first order, removing `w` changes the squared norm of the gradient `g` by `-2 w * (H g)`, `H` the
//! Hessian of the loss. The paper removes the weights with the highest `-w * (H g)`; the score that is
//! kept here is its negative, `w * (H g)`. Both `g` and `H` are of weights of convolutions and linear layers
//! alone, as in the paper's code.
//!
//! `H g` is a central difference of gradients: `(g(w + e g) - g(w - e g)) / 2e` with `e = 1e-3 |w| / |g|`.
//! In f32 that leaves about 1e-4 of rounding and 1e-6 of curvature.
//!
//! # Source
//! Wang, Zhang, Grosse, *Picking Winning Tickets Before Training by Preserving Gradient Flow*, ICLR 2020:
//! equation 8 and algorithm 1; ten samples a class; logits divided by 200, as in its code.
//!
//! # Where we differ
//! - Automatic differentiation takes rectifiers as they stand; a step of finite length passes some that
//!   change sides, and their change of the gradient counts. On a network of a few hundred weights and 30
//!   samples that part was several times the rest in the first layer. What is kept is thus what preserves the
//!   flow over the step, and not the paper's number; an exact product needs a second derivative in the engine.
//! - Unlearn-Sparse hands the scores to a function that takes their absolute value and removes the
//!   smallest, which is another rule; the rule here is the paper's.

use super::slope::{Samples, Slope};
use crate::model::{Network, ParamKind};
use crate::sparse::Isa;

/// What logits are divided by.
const TEMPERATURE: f64 = 200.0;
/// The length of the step, as a share of the weights' own length.
const STEP: f64 = 1e-3;

/// The score of each packed weight; the highest are kept. All 0 where there is no gradient.
pub(super) fn scores(network: &Network, samples: Samples<'_>, isa: Isa) -> Vec<f32> {
    let mut slope = Slope::new(network, samples, TEMPERATURE, isa);
    let mut moved = network.clone();
    let mut direction = slope.at(&mut moved);
    for p in network.parameters.iter().filter(|p| p.kind != ParamKind::Weight) {
        direction[p.range.clone()].fill(0.0);
    }
    let norm = |values: &[f32]| values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let step = STEP * norm(&network.values) / norm(&direction);
    if !step.is_finite() {
        return vec![0.0; network.values.len()];
    }
    let mut side = |sign: f64| {
        for ((to, &w), &d) in moved.values.iter_mut().zip(&network.values).zip(&direction) {
            *to = (f64::from(w) + sign * step * f64::from(d)) as f32;
        }
        slope.at(&mut moved)
    };
    let (ahead, behind) = (side(1.0), side(-1.0));
    let product = |i: usize| f64::from(ahead[i]) - f64::from(behind[i]);
    let score = |(i, &w): (usize, &f32)| (f64::from(w) * product(i) / (2.0 * step)) as f32;
    network.values.iter().enumerate().map(score).collect()
}
