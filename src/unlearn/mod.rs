//! Forgetting: from a model that knows samples to one that does not.
//!
//! Owns the methods. Each is a struct with public fields whose defaults cite their source; some learn
//! from the retained samples alone; one that reads the samples to forget says so, and gets them
//! through [`Given`]. What learns in steps builds its epochs of passes ([`crate::train::Epoch::pass`]).
//! Knows nothing of subjects, files or metrics. Imports `base`, `sparse`, `data`, `model`, `train`, `prune`.

mod closed;
mod course;
mod diagonal;
mod fine_tune;
mod fisher;
mod gradient_ascent;
mod influence;
mod info;
mod l1_prune_rewind;
mod l1_short;
mod l1_sparse;
mod method;
mod neg_grad_plus;
mod prune_while;
mod random_labels;
mod retrain;
mod scrub;
mod ssd;

pub use diagonal::Labels;
pub use fine_tune::FineTune;
pub use fisher::Fisher;
pub use gradient_ascent::GradientAscent;
pub use influence::Influence;
pub use info::{METHODS, MethodInfo};
pub use l1_prune_rewind::L1PruneRewind;
pub use l1_short::L1Short;
pub use l1_sparse::L1Sparse;
pub use method::{Given, Method, Outcome, forget};
pub use neg_grad_plus::NegGradPlus;
pub use prune_while::PruneWhile;
pub use random_labels::{RandomLabels, Salun};
pub use retrain::{Retrain, Start};
pub use scrub::{Scrub, Turns};
pub use ssd::Ssd;
