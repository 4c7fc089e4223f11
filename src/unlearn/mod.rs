//! Forgetting: from a model that knows samples to one that does not.
//!
//! Owns the methods. Each is a struct with public fields whose defaults cite their source; most
//! learn from the retained samples alone; one that reads the samples to forget says so, and gets them
//! through [`Given`]. Knows nothing of subjects, files or metrics. Imports `base`, `sparse`, `data`, `model`, `train`.

mod closed;
mod diagonal;
mod fine_tune;
mod fisher;
mod influence;
mod l1_sparse;
mod method;
mod retrain;
mod ssd;

pub use diagonal::Labels;
pub use fine_tune::FineTune;
pub use fisher::Fisher;
pub use influence::Influence;
pub use l1_sparse::L1Sparse;
pub use method::{Given, METHODS, Method, MethodInfo, Outcome, forget};
pub use retrain::{Retrain, Start};
pub use ssd::Ssd;
