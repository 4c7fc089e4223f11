//! A device's home: from the request of a person to a receipt, whatever the power does.
//!
//! Owns the home's folder, the state machine and its journal, adapting and repairing, the gate and the
//! receipts. Knows no terminal and no socket. Imports everything below.
//!
//! ```no_run
//! use std::path::Path;
//! use unlearn::base::disk::FileDisk;
//! use unlearn::erase::{Given, Home, HomeError, Limits, Setup, Wish, default_recipe, file_keys};
//! use unlearn::vault::Values;
//!
//! # fn main() -> Result<(), HomeError> {
//! let folder = Path::new("home");
//! let package = std::fs::read("package.esm").unwrap_or_default();
//! let keys = file_keys(folder);
//! let mut home = Home::init(
//!     Box::new(FileDisk), folder, keys, package, Path::new("package.esm"), Setup::default(),
//! )?;
//! let subjects = vec!["anna".to_string()];
//! let values = Values::Floats(vec![0.0; 40 * 64]);
//! home.ingest(&[Given { subjects, label: "yes".into(), group: None, values }])?;
//! home.adapt(default_recipe(), &mut ())?;
//! let tickets = home.receive(vec![Wish::new("anna")], true)?; // answers no more from here on
//! let erased = home.carry_out(Limits::default(), &mut ())?; // shredded, repaired, judged, receipt
//! # let _ = (tickets, erased);
//! # Ok(())
//! # }
//! ```

mod adapt;
pub mod anchor;
mod closure;
mod cost;
mod energy;
mod error;
mod files;
mod gate;
mod gather;
mod home;
mod index;
mod issue;
mod job;
mod journal;
mod learn;
mod machine;
mod people;
mod plan;
pub mod receipt;
mod request;
mod settling;
mod slot;
mod state;
mod upkeep;
mod witness;

pub use adapt::{Adapted, default_recipe};
pub use closure::{Collected, Derived};
pub use energy::{Gauge, Gauged, Overrun};
pub use error::HomeError;
pub use gate::{EachVerdict, Gated, Limits};
pub use home::{Home, Setup, file_keys, keys_of, lock_path, new_keys};
pub use job::{Failed, Job, Next, Open};
pub use journal::{Bounds, Choice, Decision, Event, Request};
pub use learn::{Done, Onlooker};
pub use machine::Erased;
pub use people::{Given, Taken};
pub use plan::{Plan, Way, default_repair};
pub use request::{Served, Ticket, Wish};
pub use state::{Base, Leg, Model, State, Step, Work};
