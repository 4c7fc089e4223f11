//! All attacks that one network's answers are enough for.

use serde::{Deserialize, Serialize};

use super::{
    Attack, EvaluateError, Feature, Halves, Membership, Privacy, Scores, Shadow, ThresholdAttack,
    threshold_attack,
};

/// What every attack found, in the order of [`Feature::ALL`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attacks {
    /// The classifier, on the forget set: MIA-efficacy by each feature.
    pub efficacy: Vec<Membership>,
    /// The classifier, on the samples that were kept: MIA-privacy by each feature.
    pub privacy: Vec<Privacy>,
    /// Thresholds a class, on both; all features but `prob`.
    pub thresholds: Vec<ThresholdAttack>,
}

impl Attacks {
    /// Runs all of them, with shadow sets and `C` as `attack` has them. Under [`Shadow::FirstN`] the
    /// classifiers look at [`Feature::MEntropyReleased`] where others look at the published formula;
    /// thresholds always look at the published one.
    ///
    /// Deterministic. Takes about eight times as long as one [`Attack::run`].
    ///
    /// # Errors
    /// As [`Attack::run`] and [`Halves::new`].
    pub fn run(
        attack: Attack,
        retain: &Scores,
        test: &Scores,
        forget: &Scores,
    ) -> Result<Self, EvaluateError> {
        let feature = |feature| match (feature, attack.shadow) {
            (Feature::MEntropy, Shadow::FirstN) => Feature::MEntropyReleased,
            _ => feature,
        };
        let halves = Halves::new(attack.shadow, retain, test)?;
        let on = Feature::ALL.map(|each| attack.on(feature(each)));
        let single = Feature::ALL.into_iter().filter(|&feature| feature != Feature::Prob);
        Ok(Self {
            efficacy: on
                .iter()
                .map(|attack| attack.run(retain, test, forget))
                .collect::<Result<_, _>>()?,
            privacy: on.iter().map(|attack| attack.privacy(&halves)).collect::<Result<_, _>>()?,
            thresholds: single
                .map(|feature| threshold_attack(feature, &halves, forget))
                .collect::<Result<_, _>>()?,
        })
    }
}
