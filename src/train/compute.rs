//! How a run computes, as a text that checkpoints and journals keep.

use super::stepper::Compute;
use crate::model::Device;
use crate::sparse::KernelTable;

/// Between what it computes on and the piece.
const PIECE: &str = " micro-batch=";
/// Between the instruction set and the table of kernels, where that is not the shipped one.
const KERNELS: &str = " kernels=";

/// The table of kernels in force, as a plan for the processor names it.
fn table() -> String {
    match KernelTable::in_force() {
        KernelTable::SHIPPED => String::new(),
        table => format!("{KERNELS}{table}"),
    }
}

impl Compute {
    /// `cpu/avx2`, `cpu/avx2 micro-batch=16`, `cpu/avx2 kernels=14/9.5/20`, `cuda:0/8.7/tf32`. Whether
    /// activations are computed again changes no byte and is not in it.
    pub fn name(self) -> String {
        let piece = self.micro_batch.map_or(String::new(), |piece| format!("{PIECE}{piece}"));
        let table = if matches!(self.device, Device::Cpu(_)) { table() } else { String::new() };
        format!("{}{table}{piece}", self.device.name())
    }

    /// What `name` stands for, if this process can compute so, which goes by one table of kernels; of a CUDA
    /// device, if it looks like one.
    pub fn named(name: &str) -> Option<Self> {
        let (device, micro_batch) = match name.split_once(PIECE) {
            Some((device, piece)) => (device, Some(piece.parse().ok().filter(|&piece| piece > 0)?)),
            None => (name, None),
        };
        let device = match device.starts_with("cpu/") {
            true => device.strip_suffix(&table())?,
            false => device,
        };
        Some(Self { micro_batch, ..Device::named(device)?.into() })
    }
}
