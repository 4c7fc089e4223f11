//! What an engine runs on.

use crate::sparse::Isa;
use crate::sparse::cuda::{Capability, Precision};

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
    },
}

/// Before a device's number.
const CUDA: &str = "cuda:";

impl Device {
    /// `cpu/avx2`, `cuda:0/8.7/tf32`.
    pub fn name(self) -> String {
        match self {
            Self::Cpu(isa) => format!("cpu/{}", isa.name()),
            Self::Cuda { ordinal, capability: [major, minor], precision } => {
                format!("{CUDA}{ordinal}/{major}.{minor}/{}", precision.name())
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
        let device = Self::Cuda {
            ordinal: ordinal.parse().ok()?,
            capability: [major.parse().ok()?, minor.parse().ok()?],
            precision: Precision::named(precision)?,
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
        let card = Device::Cuda { ordinal: 1, capability: [8, 7], precision: Precision::Tf32 };
        assert_eq!(card.name(), "cuda:1/8.7/tf32");
        for device in [card, Device::Cpu(Isa::best())] {
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
            "cpu/none",
        ] {
            assert_eq!(Device::named(wrong), None, "{wrong}");
        }
    }
}
