//! What an engine runs on.

use crate::sparse::Isa;
use crate::sparse::cuda::{Capability, Precision, SparseBelow};

/// What an engine runs on. Results are the same bytes on equal devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The processor, with this instruction set.
    Cpu(Isa),
    /// A CUDA device that [`crate::sparse::cuda::open`] opened.
    Cuda {
        /// Its number.
        ordinal: u32,
        /// Its compute capability: others round otherwise.
        capability: Capability,
        /// How factors are multiplied.
        precision: Precision,
        /// Which passes read the weights that exist alone, where somebody says so.
        sparse: Option<SparseBelow>,
    },
}

/// Before a device's number.
const CUDA: &str = "cuda:";
/// Before what says which passes are sparse.
const SPARSE: &str = "sparse=";

impl Device {
    /// `cpu/avx2`, `cuda:0/8.7/tf32`, `cuda:0/8.7/tf32/sparse=0.1`.
    pub fn name(self) -> String {
        match self {
            Self::Cpu(isa) => format!("cpu/{}", isa.name()),
            Self::Cuda { ordinal, capability: [major, minor], precision, sparse } => {
                let sparse = sparse.map_or(String::new(), |below| format!("/{SPARSE}{below}"));
                format!("{CUDA}{ordinal}/{major}.{minor}/{}{sparse}", precision.name())
            }
        }
    }

    /// Below which share of a dense pass's work a pass is sparse there: as somebody says, or as is predicted.
    pub fn sparse_below(self) -> SparseBelow {
        match self {
            Self::Cpu(_) => SparseBelow::NEVER,
            Self::Cuda { capability, precision, sparse, .. } => {
                sparse.unwrap_or_else(|| SparseBelow::predicted(precision, capability))
            }
        }
    }

    /// The instruction set for what the processor does itself.
    pub fn isa(self) -> Isa {
        match self {
            Self::Cpu(isa) => isa,
            Self::Cuda { .. } => Isa::best(),
        }
    }

    /// The device of this name, if it is one of this processor's instruction sets, or looks like a CUDA
    /// device; whether that is there shows when it is opened.
    pub fn named(name: &str) -> Option<Self> {
        if let Some(isa) = name.strip_prefix("cpu/") {
            return Some(Self::Cpu(Isa::named(isa)?));
        }
        let mut parts = name.strip_prefix(CUDA)?.split('/');
        let (ordinal, capability, precision) = (parts.next()?, parts.next()?, parts.next()?);
        let (major, minor) = capability.split_once('.')?;
        let sparse = match parts.next() {
            Some(text) => Some(SparseBelow::named(text.strip_prefix(SPARSE)?)?),
            None => None,
        };
        let device = Self::Cuda {
            ordinal: ordinal.parse().ok()?,
            capability: [major.parse().ok()?, minor.parse().ok()?],
            precision: Precision::named(precision)?,
            sparse,
        };
        parts.next().is_none().then_some(device)
    }
}

impl From<Isa> for Device {
    fn from(isa: Isa) -> Self {
        Self::Cpu(isa)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_found_by_its_name_and_by_no_other() {
        let card = |sparse| {
            let (capability, precision) = ([8, 7], Precision::Tf32);
            Device::Cuda { ordinal: 1, capability, precision, sparse }
        };
        let never = card(Some(SparseBelow::NEVER));
        assert_eq!(card(None).name(), "cuda:1/8.7/tf32");
        assert_eq!(never.name(), "cuda:1/8.7/tf32/sparse=0");
        assert_eq!(never.sparse_below(), SparseBelow::NEVER);
        assert_eq!(card(None).sparse_below().forward, 113);
        for device in [card(None), never, Device::Cpu(Isa::best())] {
            assert_eq!(Device::named(&device.name()), Some(device));
        }
        for wrong in [
            "",
            "cuda",
            "cuda:0",
            "cuda:0/8.7",
            "cuda:x/8.7/tf32",
            "cuda:0/8/tf32",
            "cuda:0/8.7/fp8",
            "cuda:0/8.7/tf32/x",
            "cuda:0/8.7/tf32/sparse=x",
            "cuda:0/8.7/tf32/sparse=0/x",
            "cpu/none",
        ] {
            assert_eq!(Device::named(wrong), None, "{wrong}");
        }
    }
}
