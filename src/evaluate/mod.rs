//! What was forgotten, what it cost.
//!
//! Takes what a network said about a set of samples ([`Scores`]) and tells the paper's figures:
//! unlearning accuracy, retained accuracy, test accuracy, membership inference, run time
//! ([`Report`]), and how far they lie from those of a network trained anew ([`Gap`]). Judges for the
//! gate of an erasure whether a person's samples are still told apart from samples that were never
//! learnt ([`Equivalence`]), and whether those who stay are answered as before ([`retained()`]).
//!
//! | asks | by | in |
//! |---|---|---|
//! | are forgotten samples taken for never seen? | a support vector classifier on five features | [`mia`] |
//! | are retained samples told from unseen ones? | the same classifier | [`Privacy`] |
//! | both | a threshold a class | [`threshold_attack`] |
//! | the same of each sample by itself | shadow models | [`per_example`] |
//! | how soon is it known again? | learning it again | [`relearn()`] |
//! | does a backdoor still open? | the trigger on test samples | [`attack_success()`] |
//!
//! Only [`measure()`], [`attack_success()`] and [`relearn()`] know networks: the first two ask one for the
//! scores of samples, the last trains a copy. Imports `base`, `sparse`, `data`, `model`, `train`.

mod attack_success;
mod attacks;
pub mod equivalence;
mod error;
mod halves;
pub mod mean_bound;
mod measure;
pub mod metrics;
pub mod mia;
pub mod per_example;
mod privacy;
mod relearn;
pub mod retained;
mod scores;
pub mod svc;
mod thresholds;

pub use attack_success::{AttackSuccess, attack_success};
pub use attacks::Attacks;
pub use equivalence::{Doubt, Equivalence, ErrorEvidence, Evidence, Pairs, Verdict};
pub use error::EvaluateError;
pub use halves::Halves;
pub use measure::{Answers, MeasureError, Measured, Sets, measure};
pub use metrics::{Gap, Metric, Report, Unit};
pub use mia::{Attack, Feature, Membership, Shadow};
pub use privacy::Privacy;
pub use relearn::{Relearning, RelearningRun, Relearnt, anamnesis, relearn};
pub use retained::{AccuracyDrop, RetainedVerdict, SubjectDrop, retained, retained_by_subject};
pub use scores::Scores;
pub use thresholds::{ThresholdAttack, threshold_attack};
