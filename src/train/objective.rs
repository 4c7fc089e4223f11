//! What a step goes down: a function of a batch's logits and labels.
//!
//! ```text
//! f = labels * CE(smoothed labels, softmax(z)) + weight * T^2 * KL(softmax(t / T) || softmax(z / T))
//! df/dz = labels * (softmax(z) - smoothed) + weight * T * (softmax(z / T) - softmax(t / T))
//! smoothed[c] = (1 - smoothing) * [c = label] + smoothing / classes
//! ```
//!
//! `z` are the network's logits, `t` a teacher's. The mean over the batch is taken. A weight below 0 goes
//! up instead. Computed in `f64`, class by class in order, so that the number of threads changes nothing.
//!
//! # Source
//! Label smoothing: Szegedy et al., *Rethinking the Inception Architecture*, CVPR 2016. Distillation and its
//! factor `T^2`: Hinton, Vinyals, Dean, *Distilling the Knowledge in a Neural Network*, 2015.

use crate::sparse::Loss;

/// What a step goes down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective<'a> {
    /// Weight of the cross-entropy with the labels; below 0, the step goes up it.
    pub labels: f32,
    /// Share of each label that is spread evenly over all classes, in `[0, 1]`.
    pub smoothing: f32,
    /// Another network's answers to the same batch.
    pub teacher: Option<Teacher<'a>>,
}

/// Another network's answers to a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Teacher<'a> {
    /// Weight of the divergence from them; below 0, the step goes away from them.
    pub weight: f32,
    /// What logits are divided by before the softmax; above 0.
    pub temperature: f32,
    /// Its logits, row-major `[samples, classes]`.
    pub logits: &'a [f32],
}

impl<'a> Objective<'a> {
    /// Mean cross-entropy: what training goes down.
    pub const PLAIN: Self = Self { labels: 1.0, smoothing: 0.0, teacher: None };

    /// Mean cross-entropy, `weight` times.
    pub fn times(weight: f32) -> Self {
        Self { labels: weight, ..Self::PLAIN }
    }

    /// How many times the mean cross-entropy it is, if it is nothing else.
    pub(super) fn multiple(&self) -> Option<f32> {
        (self.smoothing == 0.0 && self.teacher.is_none()).then_some(self.labels)
    }

    /// The same over the samples from `first` on, of `classes` classes.
    pub(super) fn from(self, first: usize, classes: usize) -> Self {
        let rest = |teacher: Teacher<'a>| Teacher {
            logits: &teacher.logits[first * classes..],
            ..teacher
        };
        Self { teacher: self.teacher.map(rest), ..self }
    }

    /// Writes the derivative by each logit of a batch, or of a part of one of `of` samples, to
    /// `dlogits`. Returns the plain cross-entropy, whatever the weights.
    ///
    /// # Panics
    /// If a label is no class, or slices do not fit.
    pub fn derive(&self, logits: &[f32], labels: &[u32], of: usize, dlogits: &mut [f32]) -> Loss {
        assert_eq!(logits.len(), dlogits.len(), "one derivative a logit");
        let classes = logits.len() / labels.len();
        let mut loss = Loss::default();
        for (sample, (&label, to)) in labels.iter().zip(dlogits.chunks_mut(classes)).enumerate() {
            let row = sample * classes..(sample + 1) * classes;
            let (own, label) = (softmax(&logits[row.clone()], 1.0), label as usize);
            loss.sum -= log_probability(&logits[row.clone()], label);
            loss.correct += usize::from(first_largest(&logits[row.clone()]) == label);
            let (weight, smoothing) = (f64::from(self.labels), f64::from(self.smoothing));
            let mut slope: Vec<f64> = Vec::with_capacity(classes);
            for (class, p) in own.iter().enumerate() {
                let one = if class == label { 1.0 - smoothing } else { 0.0 };
                slope.push(weight * (p - one - smoothing / classes as f64));
            }
            if let Some(teacher) = self.teacher {
                let temperature = f64::from(teacher.temperature);
                let theirs = softmax(&teacher.logits[row.clone()], temperature);
                let own = softmax(&logits[row], temperature);
                for (slope, (own, theirs)) in slope.iter_mut().zip(own.iter().zip(&theirs)) {
                    *slope += f64::from(teacher.weight) * temperature * (own - theirs);
                }
            }
            for (to, slope) in to.iter_mut().zip(slope) {
                *to = (slope / of as f64) as f32;
            }
        }
        loss
    }
}

/// The first of the largest.
fn first_largest(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best })
}

/// `softmax(row / temperature)`.
fn softmax(row: &[f32], temperature: f64) -> Vec<f64> {
    let largest = f64::from(row[first_largest(row)]);
    let mut all: Vec<f64> =
        row.iter().map(|&z| ((f64::from(z) - largest) / temperature).exp()).collect();
    let total: f64 = all.iter().sum();
    all.iter_mut().for_each(|p| *p /= total);
    all
}

/// `ln softmax(row)[class]`.
fn log_probability(row: &[f32], class: usize) -> f64 {
    let largest = f64::from(row[first_largest(row)]);
    let total: f64 = row.iter().map(|&z| (f64::from(z) - largest).exp()).sum();
    f64::from(row[class]) - largest - total.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 6] = [0.3, -1.2, 0.9, 2.0, 0.1, -0.4];
    const THEIRS: [f32; 6] = [1.0, 0.0, -0.5, 0.2, 0.4, 0.6];
    const LABELS: [u32; 2] = [1, 0];

    /// The function itself, written down anew from its formula.
    fn value(objective: Objective<'_>, logits: &[f64]) -> f64 {
        let spread = |row: &[f64], temperature: f64| -> Vec<f64> {
            let all: Vec<f64> = row.iter().map(|z| (z / temperature).exp()).collect();
            all.iter().map(|p| p / all.iter().sum::<f64>()).collect()
        };
        let (eps, mut sum) = (f64::from(objective.smoothing), 0.0);
        for (sample, row) in logits.chunks(3).enumerate() {
            let p = spread(row, 1.0);
            let even: f64 = p.iter().map(|p| -p.ln()).sum::<f64>() / 3.0;
            let own = -p[LABELS[sample] as usize].ln();
            sum += f64::from(objective.labels) * ((1.0 - eps) * own + eps * even);
            if let Some(teacher) = objective.teacher {
                let t = f64::from(teacher.temperature);
                let row64: Vec<f64> =
                    teacher.logits[sample * 3..][..3].iter().map(|&z| f64::from(z)).collect();
                let (theirs, own) = (spread(&row64, t), spread(row, t));
                let kl: f64 = theirs.iter().zip(&own).map(|(a, b)| a * (a / b).ln()).sum();
                sum += f64::from(teacher.weight) * t * t * kl;
            }
        }
        sum / 2.0
    }

    #[test]
    fn the_derivative_is_the_functions_by_finite_differences() {
        let teacher = Some(Teacher { weight: 0.7, temperature: 4.0, logits: &THEIRS });
        let away = Some(Teacher { weight: -1.0, temperature: 2.0, logits: &THEIRS });
        for objective in [
            Objective::PLAIN,
            Objective::times(-0.05),
            Objective { smoothing: 0.1, ..Objective::PLAIN },
            Objective { labels: 0.99, smoothing: 0.0, teacher },
            Objective { labels: 0.0, smoothing: 0.0, teacher: away },
        ] {
            let mut found = [0.0; 6];
            let loss = objective.derive(&LOGITS, &LABELS, 2, &mut found);
            let exact = LOGITS.map(f64::from);
            for i in 0..6 {
                let at = |step: f64| {
                    let mut moved = exact;
                    moved[i] += step;
                    value(objective, &moved)
                };
                let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
                let off = (f64::from(found[i]) - expected).abs();
                assert!(off < 1e-6, "{objective:?}, logit {i}: {} for {expected}", found[i]);
            }
            let plain = value(Objective::PLAIN, &exact);
            assert!((loss.sum / 2.0 - plain).abs() < 1e-12 && loss.correct == 1, "{loss:?}");
        }
    }

    #[test]
    fn the_derivatives_of_parts_are_those_of_the_whole() {
        let teacher = Some(Teacher { weight: 0.5, temperature: 2.0, logits: &THEIRS });
        let objective = Objective { labels: 1.0, smoothing: 0.1, teacher };
        let (mut whole, mut parts) = ([0.0; 6], [0.0; 6]);
        objective.derive(&LOGITS, &LABELS, 2, &mut whole);
        for sample in 0..2 {
            let row = sample * 3..sample * 3 + 3;
            let labels = &LABELS[sample..=sample];
            let part = objective.from(sample, 3);
            part.derive(&LOGITS[row.clone()], labels, 2, &mut parts[row]);
        }
        assert_eq!(whole, parts);
    }
}
