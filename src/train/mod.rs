//! The loop: batches, loss, optimiser, schedule, checkpoints.
//!
//! Owns how a network learns from a set. Knows not why: `prune` and `unlearn` run the same loop with
//! their own recipes. Imports `base`, `sparse`, `data`, `model`.

mod batch;
mod compute;
mod epoch;
mod error;
mod l1;
pub mod memory;
mod objective;
mod recipe;
pub mod room;
mod run;
mod score;
mod stepper;
mod trained;

pub use batch::Batch;
pub use epoch::{Epoch, Pass, epochs};
pub use error::TrainError;
pub use l1::{L1Form, L1Reach, L1Recipe, L1Schedule};
pub use objective::{Objective, Teacher};
pub use recipe::{Recipe, Schedule};
pub use run::{Control, EpochReport, Progress, Quiet, State, Watch, check, fits, run};
pub use score::score;
pub use stepper::{BatchLoss, Compute, Held, Phases, Stepper};
pub use trained::Trained;
