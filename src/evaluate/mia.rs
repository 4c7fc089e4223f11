//! Membership inference: would an attacker still take the forgotten samples for training data?
//!
//! The attack learns, from samples that were trained on (the retain set) and samples that never
//! were (the test set), what the network's answers look like for each. It is then shown the
//! forget set. **MIA-efficacy** is the share of it that the attack takes for never trained on.
//! More is not better: the aim is the share that a network trained without the forget set gets.
//!
//! # Source
//! Jia et al., *Model Sparsity Can Simplify Machine Unlearning*, NeurIPS 2023, appendix C.3;
//! `evaluation/SVC_MIA.py` of Unlearn-Sparse (OPTML-Group). The feature `m_entropy` is from Song, Mittal,
//! *Systematic Evaluation of Privacy Risks of Machine Learning Models*, USENIX Security 2021.
//!
//! # Where we differ
//! - Shadow members are drawn at random and as many of each class as the non-members have, because
//!   the first samples of a sorted set are all of one class. [`Shadow::FirstN`] is the
//!   reference's choice.
//! - `m_entropy` is the published formula. [`Feature::MEntropyReleased`] is what the reference
//!   computes instead: it indexes whole columns by all labels of the set at once, and takes
//!   `log p` where `log (1 - p)` is meant.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::metrics::wilson95;
use super::scores::answer;
use super::svc::{Params, Svc};
use super::{EvaluateError, Scores};
use crate::base::rng::Stream;

/// What the attack looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// 1 where the answer is the true label, else 0.
    Correctness,
    /// The probability of the true label: the paper's choice.
    Confidence,
    /// `-sum_j p_j log p_j`, in nats.
    Entropy,
    /// `-(1 - p_y) log p_y - sum_{j != y} p_j log(1 - p_j)`, in nats.
    MEntropy,
    /// What the reference computes under the name of `m_entropy`: `-sum_j q_j log p_j`, where
    /// `q_j` is `1 - p_j` for each class `j` that occurs in the set and `p_j` for the others. The
    /// label of the sample itself plays no part.
    MEntropyReleased,
    /// All probabilities.
    Prob,
}

impl Feature {
    /// The reference's five, in its order, with `m_entropy` as published.
    pub const ALL: [Feature; 5] =
        [Self::Correctness, Self::Confidence, Self::Entropy, Self::MEntropy, Self::Prob];

    /// The name in results and settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Correctness => "correctness",
            Self::Confidence => "confidence",
            Self::Entropy => "entropy",
            Self::MEntropy => "m_entropy",
            Self::MEntropyReleased => "m_entropy_released",
            Self::Prob => "prob",
        }
    }

    /// The feature of each sample of `scores`, row-major, and how many numbers one sample has.
    pub fn of(self, scores: &Scores) -> (Vec<f64>, usize) {
        if self == Self::Prob {
            let values = scores.rows().flat_map(|(row, _)| row).map(|&p| f64::from(p));
            return (values.collect(), scores.classes());
        }
        let occurs = occurring(scores);
        let value = |(row, label): (&[f32], usize)| match self {
            Self::Correctness => f64::from(u8::from(answer(row) == label)),
            Self::Confidence | Self::Prob => f64::from(row[label]),
            Self::Entropy => row.iter().map(|&p| entropy_term(f64::from(p))).sum(),
            Self::MEntropy => modified_entropy(row, label),
            Self::MEntropyReleased => released_entropy(row, &occurs),
        };
        (scores.rows().map(value).collect(), 1)
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which samples stand for members and non-members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Shadow {
    /// Of each class as many retained as test samples, drawn without replacement from the stream
    /// `mia/shadow` of `seed`; a class that one of the sets lacks is left out.
    Stratified {
        /// Seed of the draw.
        seed: u64,
    },
    /// The first `n` retained samples and all `n` test samples, as the reference does.
    FirstN,
}

/// An attack: what it looks at and what it learns from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Attack {
    /// What the attack looks at.
    pub feature: Feature,
    /// Which samples it learns from.
    pub shadow: Shadow,
    /// `C` of the classifier. The reference's is 3.
    pub c: f64,
}

impl Attack {
    /// The paper's attack: confidence, `C = 3`, a stratified draw with `seed`.
    pub fn paper(seed: u64) -> Self {
        Self { feature: Feature::Confidence, shadow: Shadow::Stratified { seed }, c: 3.0 }
    }

    /// The attack exactly as released: confidence, `C = 3`, the first retained samples.
    pub fn released() -> Self {
        Self { shadow: Shadow::FirstN, ..Self::paper(0) }
    }

    /// The same attack on another feature.
    pub fn on(self, feature: Feature) -> Self {
        Self { feature, ..self }
    }

    /// Learns from `retain` and `test`, and judges `forget`.
    ///
    /// Deterministic: equal input gives equal output. Time grows with the square of the shadow
    /// samples; memory is that of [`Svc::fit`].
    ///
    /// # Errors
    /// If the sets have different numbers of classes, no shadow set can be drawn, or the
    /// classifier refuses ([`EvaluateError::Attack`] names the feature).
    pub fn run(
        &self,
        retain: &Scores,
        test: &Scores,
        forget: &Scores,
    ) -> Result<Membership, EvaluateError> {
        let expected = forget.classes();
        for (set, scores) in [("retain", retain), ("test", test)] {
            let found = scores.classes();
            if found != expected {
                return Err(EvaluateError::ClassesDiffer { set, found, expected });
            }
        }
        let (members, outsiders) = self.shadow.draw(retain, test)?;
        self.judge(&members, &outsiders, forget).map_err(|source| EvaluateError::Attack {
            feature: self.feature,
            source: Box::new(source),
        })
    }

    fn judge(
        &self,
        members: &Scores,
        outsiders: &Scores,
        forget: &Scores,
    ) -> Result<Membership, EvaluateError> {
        let learnt = self.learn(members, outsiders)?;
        let hits_in = (members.len() - learnt.taken_out(members)) as f64 / members.len() as f64;
        let hits_out = learnt.taken_out(outsiders) as f64 / outsiders.len() as f64;
        let non_members = learnt.taken_out(forget);
        Ok(Membership {
            feature: self.feature,
            efficacy: non_members as f64 / forget.len() as f64,
            interval95: wilson95(non_members, forget.len()),
            non_members,
            samples: forget.len(),
            shadow_members: members.len(),
            shadow_non_members: outsiders.len(),
            shadow_accuracy: (hits_in + hits_out) / 2.0,
        })
    }

    /// What the attack learns from samples whose membership it is told.
    pub(super) fn learn(
        &self,
        members: &Scores,
        outsiders: &Scores,
    ) -> Result<Learnt, EvaluateError> {
        let (mut features, dims) = self.feature.of(members);
        features.extend(self.feature.of(outsiders).0);
        let mut labels = vec![true; members.len()];
        labels.resize(members.len() + outsiders.len(), false);
        let svc = Svc::fit(&features, dims, &labels, Params { c: self.c, ..Params::paper(dims) })?;
        Ok(Learnt { feature: self.feature, svc })
    }
}

/// An attack that has learnt.
pub(super) struct Learnt {
    feature: Feature,
    svc: Svc,
}

impl Learnt {
    /// How many of some samples it takes for never trained on.
    pub(super) fn taken_out(&self, scores: &Scores) -> usize {
        let (features, dims) = self.feature.of(scores);
        features.chunks_exact(dims).filter(|sample| !self.svc.predict(sample)).count()
    }
}

/// What an attack found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Membership {
    /// What the attack looked at.
    pub feature: Feature,
    /// The share of the forget set taken for never trained on, in `[0, 1]`.
    pub efficacy: f64,
    /// Wilson's 95 % interval of `efficacy` over the choice of forget samples. The attack itself
    /// is taken as given: a different shadow set moves the share further than this says.
    pub interval95: [f64; 2],
    /// Forget samples taken for never trained on.
    pub non_members: usize,
    /// Samples in the forget set.
    pub samples: usize,
    /// Retained samples that the attack learnt from.
    pub shadow_members: usize,
    /// Test samples that the attack learnt from.
    pub shadow_non_members: usize,
    /// How well the attack tells the samples it learnt from apart: the mean of its hit rates on
    /// members and non-members. Near 0.5 it sees no difference, and `efficacy` says little.
    pub shadow_accuracy: f64,
}

impl Shadow {
    /// The members out of `retain` and the non-members out of `test`.
    ///
    /// # Errors
    /// If the sets share no class, or `FirstN` finds fewer retained than test samples.
    pub fn draw(&self, retain: &Scores, test: &Scores) -> Result<(Scores, Scores), EvaluateError> {
        match *self {
            Self::FirstN => {
                let (needed, found) = (test.len(), retain.len());
                if found < needed {
                    return Err(EvaluateError::TooFewRetained { needed, found });
                }
                let first: Vec<usize> = (0..needed).collect();
                Ok((retain.subset(&first), test.clone()))
            }
            Self::Stratified { seed } => stratified(retain, test, seed),
        }
    }
}

fn stratified(
    retain: &Scores,
    test: &Scores,
    seed: u64,
) -> Result<(Scores, Scores), EvaluateError> {
    let mut stream = Stream::new(seed, "mia/shadow");
    let (mut members, mut outsiders) = (Vec::new(), Vec::new());
    for class in 0..retain.classes().min(test.classes()) as u32 {
        let of = |scores: &Scores| -> Vec<usize> {
            (0..scores.len()).filter(|&i| scores.labels()[i] == class).collect()
        };
        let (mut inside, mut outside) = (of(retain), of(test));
        stream.shuffle(&mut inside);
        stream.shuffle(&mut outside);
        let both = inside.len().min(outside.len());
        members.extend_from_slice(&inside[..both]);
        outsiders.extend_from_slice(&outside[..both]);
    }
    if members.is_empty() {
        return Err(EvaluateError::NoSharedClass);
    }
    members.sort_unstable();
    outsiders.sort_unstable();
    Ok((retain.subset(&members), test.subset(&outsiders)))
}

/// The floor of Song and Mittal under what a logarithm is taken of.
const FLOOR: f64 = 1e-30;

fn entropy_term(p: f64) -> f64 {
    if p > 0.0 { -p * p.ln() } else { 0.0 }
}

fn modified_entropy(row: &[f32], label: usize) -> f64 {
    let terms = row.iter().enumerate().map(|(class, &p)| {
        // A softmax in `f32` may round to a little above 1.
        let p = f64::from(p).min(1.0);
        if class == label { -(1.0 - p) * p.max(FLOOR).ln() } else { -p * (1.0 - p).max(FLOOR).ln() }
    });
    terms.sum()
}

fn released_entropy(row: &[f32], occurs: &[bool]) -> f64 {
    let terms = row.iter().zip(occurs).map(|(&p, &occurs)| {
        let p = f64::from(p);
        let log = if p > 0.0 { p.ln() } else { FLOOR.ln() };
        -(if occurs { 1.0 - p } else { p }) * log
    });
    terms.sum()
}

fn occurring(scores: &Scores) -> Vec<bool> {
    let mut occurs = vec![false; scores.classes()];
    scores.labels().iter().for_each(|&label| occurs[label as usize] = true);
    occurs
}

#[cfg(test)]
mod tests;
