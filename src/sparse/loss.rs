//! Softmax and cross-entropy over logits in the blocked layout.

use super::blocked::{Blocked, LANES};

/// What a batch's logits were worth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// The sum over samples of `-ln p(label)`.
    pub sum: f64,
    /// Samples whose largest logit is the label's; of equal ones the first counts.
    pub correct: usize,
}

/// The softmax probabilities of each sample, row-major `[samples, classes]`.
///
/// `logits` has one place a channel, `places` its geometry.
pub fn softmax(logits: &[f32], places: Blocked, samples: usize, out: &mut Vec<f32>) {
    for sample in 0..samples {
        let start = sample / LANES * places.block() + sample % LANES;
        softmax_of(places.channels, |class| logits[start + places.at(class, 0, 0)], out);
    }
}

/// Appends the softmax probabilities of one sample, whose logits `logit` tells.
pub fn softmax_of(classes: usize, logit: impl Fn(usize) -> f32, out: &mut Vec<f32>) {
    let largest = (0..classes).map(&logit).fold(f32::NEG_INFINITY, f32::max);
    let start = out.len();
    let mut total = 0.0f64;
    for class in 0..classes {
        let weight = f64::from(logit(class) - largest).exp();
        total += weight;
        out.push(weight as f32);
    }
    for p in &mut out[start..] {
        *p = (f64::from(*p) / total) as f32;
    }
}

/// The mean cross-entropy's gradient, written to `dlogits`, and the loss itself.
///
/// `dlogits[sample, class] = (softmax - [class = label]) / samples`, zero past the last sample.
///
/// # Panics
/// If a label is not below the number of channels of `places`.
pub fn cross_entropy(
    (logits, places): (&[f32], Blocked),
    labels: &[u32],
    (dlogits, dplaces): (&mut [f32], Blocked),
) -> Loss {
    let (classes, samples) = (places.channels, labels.len());
    dlogits.fill(0.0);
    let mut loss = Loss::default();
    let mut weights = vec![0.0f64; classes];
    for (sample, &label) in labels.iter().enumerate() {
        let (block, lane, label) = (sample / LANES, sample % LANES, label as usize);
        assert!(label < classes, "label {label} of {classes} classes");
        let logit = |c: usize| logits[block * places.block() + places.at(c, 0, 0) + lane];
        let mut best = 0;
        for class in 1..classes {
            if logit(class) > logit(best) {
                best = class;
            }
        }
        let largest = logit(best);
        for (class, weight) in weights.iter_mut().enumerate() {
            *weight = f64::from(logit(class) - largest).exp();
        }
        let total: f64 = weights.iter().sum();
        loss.sum += total.ln() - f64::from(logit(label) - largest);
        loss.correct += usize::from(best == label);
        for (class, weight) in weights.iter().enumerate() {
            let target = if class == label { 1.0 } else { 0.0 };
            let at = block * dplaces.block() + dplaces.at(class, 0, 0) + lane;
            dlogits[at] = ((weight / total - target) / samples as f64) as f32;
        }
    }
    loss
}
