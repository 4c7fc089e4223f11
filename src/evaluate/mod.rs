//! What was forgotten, what it cost.
//!
//! Takes what a network said about a set of samples ([`Scores`]) and tells the paper's figures:
//! unlearning accuracy, retained accuracy, test accuracy, membership inference, run time
//! ([`Report`]), and how far they lie from those of a network trained anew ([`Gap`]). Only
//! [`measure()`] knows networks: it asks one for the scores of a scenario's sets. Imports `base`,
//! `sparse`, `data`, `model`, `train`.

mod error;
mod measure;
pub mod metrics;
pub mod mia;
mod scores;
pub mod svc;

pub use error::EvaluateError;
pub use measure::{MeasureError, Measured, Sets, measure};
pub use metrics::{Gap, Metric, Report, Unit};
pub use mia::{Attack, Feature, Membership, Shadow};
pub use scores::Scores;
