//! A device's home: from the request of a person to a receipt, whatever the power does.
//!
//! Owns the home's folder, the state machine and its journal, adapting and repairing, the gate and the
//! receipts. Knows no terminal and no socket. Imports everything below.

pub mod anchor;
pub mod receipt;
