//! A device's home: from the request of a person to a receipt, whatever the power does.
//!
//! Owns the home's folder, the state machine and its journal, adapting and repairing, the gate and the
//! receipts. Knows no terminal and no socket. Imports everything below.

mod adapt;
mod anchor;
mod closure;
mod error;
mod files;
mod gate;
mod gather;
mod home;
mod index;
mod issue;
mod journal;
mod learn;
mod machine;
mod people;
mod plan;
pub mod receipt;
mod request;
mod slot;
mod state;
mod upkeep;

pub use adapt::{Adapted, default_recipe};
pub use closure::{Collected, Derived};
pub use error::HomeError;
pub use gate::{Gated, Limits};
pub use home::{Home, Setup, file_keys, lock_path};
pub use journal::{Choice, Decision, Event, Job, Open, Request};
pub use learn::{Done, Onlooker};
pub use machine::{Erased, Next};
pub use people::{Given, Taken};
pub use plan::{Plan, Way, default_repair};
pub use request::{Served, Ticket, Wish};
pub use state::{Base, Leg, Model, State, Step, Work};
