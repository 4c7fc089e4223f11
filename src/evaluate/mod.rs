//! What was forgotten, what it cost.
//!
//! Takes what a network said about a set of samples ([`Scores`]) and tells the paper's figures:
//! unlearning accuracy, retained accuracy, test accuracy, membership inference, run time
//! ([`Report`]), and how far they lie from those of a network trained anew ([`Gap`]). Judges for the
//! gate of an erasure whether a person's samples are still told apart from samples that were never
//! learnt ([`Equivalence`]), and whether those who stay are answered as before ([`retained()`]). Only
//! [`measure()`] and [`attack_success()`] know networks: they ask one what it says of a scenario's sets. Imports `base`,
//! `sparse`, `data`, `model`, `train`.

mod attack_success;
pub mod equivalence;
mod error;
pub mod mean_bound;
mod measure;
pub mod metrics;
pub mod mia;
pub mod retained;
mod scores;
pub mod svc;

pub use attack_success::{AttackSuccess, attack_success};
pub use equivalence::{Doubt, Equivalence, ErrorEvidence, Evidence, Pairs, Verdict};
pub use error::EvaluateError;
pub use measure::{MeasureError, Measured, Sets, measure};
pub use metrics::{Gap, Metric, Report, Unit};
pub use mia::{Attack, Feature, Membership, Shadow};
pub use retained::{AccuracyDrop, RetainedVerdict, SubjectDrop, retained, retained_by_subject};
pub use scores::Scores;
