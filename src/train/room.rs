//! What a CUDA device that is open has room for: how a run goes through it, whole or in pieces.

use std::sync::PoisonError;

use super::l1::L1Form;
use super::memory::{RunBytes, fit, planned, ways};
use super::recipe::Recipe;
use super::stepper::Compute;
use crate::model::{Device, Engine, Network};
use crate::sparse::cuda::{CudaError, opened};

/// The memory of a CUDA device, as it is when this is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    device: Device,
    free: u64,
    total: u64,
    /// Whether it is the processor's memory too.
    shared: bool,
}

impl Room {
    /// The room of `device`; `None` for the processor.
    ///
    /// # Errors
    /// [`CudaError::NotOpen`] if that very device is not open here, or what it says itself.
    pub fn of(device: Device) -> Result<Option<Self>, CudaError> {
        let Device::Cuda { ordinal, capability, .. } = device else { return Ok(None) };
        let machine = opened(ordinal)?;
        let machine = machine.lock().unwrap_or_else(PoisonError::into_inner);
        let facts = machine.facts();
        if facts.capability != capability {
            return Err(CudaError::NotOpen { ordinal });
        }
        let (total, shared) = (facts.memory, facts.integrated);
        Ok(Some(Self { device, free: machine.free_memory()?, total, shared }))
    }

    /// Bytes that training `network` in batches of `batch` samples takes of the device.
    ///
    /// # Errors
    /// If the network is larger than its kernels can count.
    pub fn bytes(
        &self,
        network: &Network,
        batch: usize,
        recipe: &Recipe,
        way: Compute,
    ) -> Result<u64, CudaError> {
        let base = match recipe.l1.form {
            L1Form::TowardsBase => 4 * network.values.len() as u64,
            _ => 0,
        };
        let bytes = Engine::card_bytes(network, &way.plan(network, batch, recipe), self.device)?;
        Ok(bytes.total() + base)
    }

    /// What the same run takes of the processor's memory. What driver and context take is not known.
    ///
    /// # Errors
    /// As [`Room::bytes`].
    pub fn beside(
        &self,
        network: &Network,
        batch: usize,
        recipe: &Recipe,
        way: Compute,
    ) -> Result<RunBytes, CudaError> {
        let there = self.bytes(network, batch, recipe, way)?;
        let activations = if self.shared { there } else { 0 };
        Ok(RunBytes { activations, indices: 0, ..planned(network, batch, recipe, way) })
    }

    /// The first of the [`ways`] that the free memory has room for and that `allows` lets pass.
    ///
    /// # Errors
    /// As [`Room::bytes`]; [`CudaError::Memory`] if none is.
    pub fn fit(
        &self,
        network: &Network,
        batch: usize,
        recipe: &Recipe,
        allows: impl Fn(Compute) -> bool,
    ) -> Result<Compute, CudaError> {
        let (device, free, total) = (self.device, self.free, self.total);
        // What no kernel can count is told before what has no room.
        self.bytes(network, batch, recipe, device.into())?;
        let bytes = |way| self.bytes(network, batch, recipe, way).unwrap_or(u64::MAX);
        let wanted = ways(batch, device).filter(|&way| allows(way));
        let found = fit(network, batch, recipe, wanted, free, |way, _| bytes(way));
        found.map_err(|last| {
            let needed = bytes(last.unwrap_or(device.into()));
            CudaError::Memory { needed, free, total }
        })
    }
}

/// Two ways of one device as one that does for both.
#[must_use]
pub fn alike(one: Compute, other: Compute) -> Compute {
    let pieces = [one.micro_batch, other.micro_batch];
    Compute {
        micro_batch: pieces.into_iter().flatten().min(),
        recompute: one.recompute || other.recompute,
        ..one
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparse::Isa;
    use crate::sparse::cuda::Precision;

    #[test]
    fn runs_that_are_computed_alike_go_in_the_smallest_pieces_of_any() {
        let way = |micro_batch, recompute| Compute { micro_batch, recompute, ..Isa::best().into() };
        let [whole, big, small] = [way(None, false), way(Some(48), false), way(Some(16), true)];
        assert_eq!(alike(whole, whole), whole);
        assert_eq!(alike(whole, big), big);
        assert_eq!(alike(small, big), small);
        assert_eq!(alike(way(None, true), big), way(Some(48), true));
    }

    #[test]
    fn the_processor_is_no_such_room_and_what_is_not_open_is_told() {
        assert_eq!(Room::of(Isa::best().into()), Ok(None));
        let (capability, precision) = ([9, 0], Precision::F32);
        let closed = Device::Cuda { ordinal: 4021, capability, precision, sparse: None };
        assert_eq!(Room::of(closed), Err(CudaError::NotOpen { ordinal: 4021 }));
    }
}
