//! What a GPU answers when it is asked itself.

use super::profile::{Capability, Profile};
use super::warning::Warning;

/// What a GPU answered. Whoever can ask one fills this in; the room itself loads no driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuFacts {
    /// Its name.
    pub name: String,
    /// Its compute capability.
    pub capability: Capability,
    /// Whether it shares the processor's memory.
    pub integrated: bool,
    /// Whether pointers mean the same to both.
    pub unified_addressing: bool,
    /// Whether both may touch managed memory at once.
    pub concurrent_managed_access: bool,
    /// Whether it reads memory that nobody registered, such as a mapped file.
    pub pageable_access: bool,
    /// Whether it does so through the processor's page tables.
    pub host_page_tables: bool,
    /// Bytes of memory that it counts.
    pub memory: u64,
}

impl GpuFacts {
    /// What of this speaks against a profile.
    pub(super) fn against(&self, profile: &Profile) -> Vec<Warning> {
        let mut found = Vec::new();
        let Some(gpu) = &profile.gpu else { return found };
        if gpu.capability != self.capability {
            let (found_now, expected) = (self.capability, gpu.capability);
            found.push(Warning::OtherCapability { found: found_now, expected });
        }
        if !self.integrated {
            found.push(Warning::NotIntegrated { name: self.name.clone() });
        }
        if let Some(memory) = profile.memory.as_ref().filter(|_| self.integrated) {
            found.extend(Warning::of_memory(memory, self.memory));
        }
        found
    }
}
