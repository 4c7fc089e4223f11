//! Numbers as the bytes that are copied to a device and back.

use crate::sparse::cuda::{Address, CudaError, Machine};

/// Bytes on their way to or from the device, which every copy uses again.
#[derive(Default)]
pub(super) struct Bytes(Vec<u8>);

impl Bytes {
    /// Copies numbers to the device.
    pub fn give<const N: usize, T: Copy>(
        &mut self,
        machine: &mut dyn Machine,
        to: Address,
        values: &[T],
        bytes: impl Fn(T) -> [u8; N],
    ) -> Result<(), CudaError> {
        self.0.resize(N * values.len(), 0);
        for (to, &value) in self.0.as_chunks_mut::<N>().0.iter_mut().zip(values) {
            *to = bytes(value);
        }
        machine.upload(to, &self.0)
    }

    /// The bytes on the device from `from` on.
    pub fn take(
        &mut self,
        machine: &mut dyn Machine,
        from: Address,
        bytes: usize,
    ) -> Result<&[u8], CudaError> {
        self.0.resize(bytes, 0);
        machine.download(from, &mut self.0)?;
        Ok(&self.0)
    }

    /// Copies `f32`s from the device.
    pub fn reals(
        &mut self,
        machine: &mut dyn Machine,
        from: Address,
        to: &mut [f32],
    ) -> Result<(), CudaError> {
        let bytes = self.take(machine, from, 4 * to.len())?;
        to.iter_mut().zip(reals(bytes)).for_each(|(to, value)| *to = value);
        Ok(())
    }
}

pub(super) fn reals(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
}
