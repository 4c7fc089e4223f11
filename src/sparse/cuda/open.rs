//! Devices that are open: one machine each, which whoever computes on it shares.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::error::CudaError;
use super::machine::Machine;

/// A device that several engines compute on, one after another.
pub type Shared = Arc<Mutex<Box<dyn Machine>>>;

static OPEN: Mutex<BTreeMap<u32, Shared>> = Mutex::new(BTreeMap::new());

/// The open device `ordinal`.
///
/// # Errors
/// [`CudaError::NotOpen`] if nobody opened it.
pub fn opened(ordinal: u32) -> Result<Shared, CudaError> {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.get(&ordinal).cloned().ok_or(CudaError::NotOpen { ordinal })
}

/// Opens `machine` under its ordinal for the rest of the process; one that was open before stays with
/// those who have it.
pub fn open(machine: Box<dyn Machine>) -> Shared {
    let ordinal = machine.facts().ordinal;
    let shared: Shared = Arc::new(Mutex::new(machine));
    OPEN.lock().unwrap_or_else(PoisonError::into_inner).insert(ordinal, shared.clone());
    shared
}
