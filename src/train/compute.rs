//! How a run computes, as a text that checkpoints and journals keep.

use super::stepper::Compute;
use crate::model::Device;

/// Between instruction set and piece.
const PIECE: &str = " micro-batch=";

impl Compute {
    /// `cpu/avx2`, `cpu/avx2 micro-batch=16`, `cuda:0/8.7/tf32`. Whether activations are computed again changes no byte and is
    /// not in it.
    pub fn name(self) -> String {
        let piece = self.micro_batch.map_or(String::new(), |piece| format!("{PIECE}{piece}"));
        format!("{}{piece}", self.device.name())
    }

    /// What `name` stands for, if this machine can compute so; of a CUDA device, if it looks like one.
    pub fn named(name: &str) -> Option<Self> {
        let (device, micro_batch) = match name.split_once(PIECE) {
            Some((device, piece)) => (device, Some(piece.parse().ok().filter(|&piece| piece > 0)?)),
            None => (name, None),
        };
        Some(Self { micro_batch, ..Device::named(device)?.into() })
    }
}
