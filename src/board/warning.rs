//! What one should know of a machine that is not as its profile says.

use std::fmt;

use super::profile::{Capability, Memory};
use crate::base::units::Bytes;

/// Least share of the memory as built that is counted: firmware takes some before anybody counts.
const COUNTED: f64 = 0.6;

/// What is not as expected. None of it stops anything.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The chip is a Tegra, and no profile has the module.
    UnknownModule {
        /// The number that the device tree gives, if it gives one.
        module: Option<String>,
        /// The chip.
        soc: String,
    },
    /// The profile that was named is of another module.
    OtherModule {
        /// The machine's.
        found: String,
        /// The profile's slug.
        board: String,
    },
    /// The chip is another than the profile's.
    OtherSoc {
        /// The machine's.
        found: String,
        /// The profile's.
        expected: String,
    },
    /// A Tegra that does not say which release of Jetson Linux it runs.
    NoRelease {
        /// Its kernel.
        kernel: Option<String>,
    },
    /// A release that the profile does not know.
    OtherRelease {
        /// The machine's.
        found: String,
        /// Major numbers of the profile's.
        expected: Vec<u32>,
    },
    /// More memory than the profile says, or much less.
    OtherMemory {
        /// Bytes that the machine counts.
        found: u64,
        /// Bytes that the profile says were built in.
        expected: u64,
    },
    /// The GPU has another compute capability.
    OtherCapability {
        /// What it answered.
        found: Capability,
        /// What the profile says.
        expected: Capability,
    },
    /// The GPU has memory of its own, where the profile's shares the processor's.
    NotIntegrated {
        /// Its name.
        name: String,
    },
}

impl Warning {
    /// Holds bytes that were counted against what the profile says was built in.
    pub(super) fn of_memory(memory: &Memory, found: u64) -> Option<Self> {
        let expected = memory.built(found);
        let counted = found as f64 / expected as f64;
        let fits = (COUNTED..=1.0).contains(&counted);
        (!fits).then_some(Self::OtherMemory { found, expected })
    }

    /// A word for scripts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UnknownModule { .. } => "unknown-module",
            Self::OtherModule { .. } => "other-module",
            Self::OtherSoc { .. } => "other-soc",
            Self::NoRelease { .. } => "no-release",
            Self::OtherRelease { .. } => "other-release",
            Self::OtherMemory { .. } => "other-memory",
            Self::OtherCapability { .. } => "other-capability",
            Self::NotIntegrated { .. } => "not-integrated",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownModule { module, soc } => {
                match module {
                    Some(module) => write!(f, "no profile has the module {module} ({soc})")?,
                    None => write!(f, "the device tree names {soc}, and no module")?,
                }
                write!(
                    f,
                    ": what stands here holds for any machine of this processor; give a profile with \
                     --board FILE, and collect what a new one needs with boards/capture.sh"
                )
            }
            Self::OtherModule { found, board } => {
                write!(f, "the module is {found}, which the profile `{board}` is not of")
            }
            Self::OtherSoc { found, expected } => {
                write!(f, "the chip is {found}, the profile's is {expected}")
            }
            Self::NoRelease { kernel } => {
                let kernel = kernel.as_deref().unwrap_or("unknown");
                write!(
                    f,
                    "/etc/nv_tegra_release does not say which Jetson Linux this is (kernel {kernel})"
                )
            }
            Self::OtherRelease { found, expected } => {
                let known: Vec<String> = expected.iter().map(|major| format!("R{major}")).collect();
                write!(
                    f,
                    "Jetson Linux {found} is none that the profile knows ({})",
                    known.join(", ")
                )
            }
            Self::OtherMemory { found, expected } => write!(
                f,
                "the machine counts {} of memory, where the profile says {}: it may be of another module",
                Bytes(*found),
                Bytes(*expected)
            ),
            Self::OtherCapability { found, expected } => write!(
                f,
                "the GPU answers compute capability {found}, the profile says {expected}: the GPU is believed"
            ),
            Self::NotIntegrated { name } => {
                write!(
                    f,
                    "the GPU {name} has memory of its own, the profile's shares the processor's"
                )
            }
        }
    }
}
