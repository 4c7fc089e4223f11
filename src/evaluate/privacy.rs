//! MIA-privacy: are the samples that a network keeps told from samples that it never saw?
//!
//! The counterpart of MIA-efficacy, which asks about the samples that it forgot. Here less is better,
//! and 50 % is a coin.
//!
//! # Source
//! Jia et al., NeurIPS 2023, appendix; `SVC_MIA_training_privacy` of the released code: an attack that
//! learnt from one half of retain and test set is judged on the other, by the mean of the shares of
//! members and of non-members that it calls rightly.
//!
//! # Where we differ
//! The released code learns from the first samples and judges the rest, so that a sorted set is learnt
//! from other classes than it is judged on; the default here draws each class evenly
//! ([`Halves::new`]).

use serde::{Deserialize, Serialize};

use super::metrics::mean_share95;
use super::mia::{Attack, Feature};
use super::{EvaluateError, Halves};

/// What an attack on the samples that a network keeps came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Privacy {
    /// What the attack looked at.
    pub feature: Feature,
    /// `(hits among members / members + hits among non-members / non-members) / 2`, in `[0, 1]`.
    pub balanced_accuracy: f64,
    /// Its 95 % interval over the choice of judged samples ([`mean_share95`]); the attack itself is
    /// taken as given.
    pub interval95: [f64; 2],
    /// Judged members that were called so, and judged members.
    pub members: [usize; 2],
    /// Judged non-members that were called so, and judged non-members.
    pub non_members: [usize; 2],
    /// Members, and as many non-members or nearly so, that the attack learnt from.
    pub shadow: [usize; 2],
}

impl Attack {
    /// Learns from one half of retain and test set and judges the other. Deterministic; time and
    /// memory as [`Attack::run`] on half the samples.
    ///
    /// # Errors
    /// If the classifier refuses ([`EvaluateError::Attack`] names the feature).
    pub fn privacy(&self, halves: &Halves) -> Result<Privacy, EvaluateError> {
        let Halves { shadow_members, shadow_non_members, target_members, target_non_members } =
            halves;
        let learnt = self.learn(shadow_members, shadow_non_members).map_err(|source| {
            EvaluateError::Attack { feature: self.feature, source: Box::new(source) }
        })?;
        let all = target_members.len();
        let members = [all - learnt.taken_out(target_members), all];
        let non_members = [learnt.taken_out(target_non_members), target_non_members.len()];
        Ok(Privacy {
            feature: self.feature,
            balanced_accuracy: balanced(members, non_members),
            interval95: mean_share95(members, non_members),
            members,
            non_members,
            shadow: [shadow_members.len(), shadow_non_members.len()],
        })
    }
}

/// The mean of two shares, each as hits and samples.
pub(super) fn balanced(one: [usize; 2], two: [usize; 2]) -> f64 {
    let share = |[hits, samples]: [usize; 2]| hits as f64 / samples as f64;
    0.5 * (share(one) + share(two))
}
