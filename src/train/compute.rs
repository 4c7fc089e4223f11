//! How a run computes, as a text that checkpoints and journals keep.

use super::stepper::Compute;
use crate::sparse::Isa;

/// Between instruction set and piece.
const PIECE: &str = " micro-batch=";

impl Compute {
    /// `cpu/avx2`, `cpu/avx2 micro-batch=16`. Whether activations are computed again changes no byte and is
    /// not in it.
    pub fn name(self) -> String {
        let piece = self.micro_batch.map_or(String::new(), |piece| format!("{PIECE}{piece}"));
        format!("cpu/{}{piece}", self.isa.name())
    }

    /// What `name` stands for, if this machine can compute so.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.strip_prefix("cpu/")?;
        let (isa, micro_batch) = match name.split_once(PIECE) {
            Some((isa, piece)) => (isa, Some(piece.parse().ok().filter(|&piece| piece > 0)?)),
            None => (name, None),
        };
        Some(Self { micro_batch, ..Isa::named(isa)?.into() })
    }
}
