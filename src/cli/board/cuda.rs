//! The CUDA devices of this machine, as its driver tells them.

use serde_json::{Value, json};

use super::page::{line, size};
use crate::board::{Capability, GpuFacts};
use crate::sparse::cuda::{ARCHITECTURES, Card, CardFacts, CudaError};

/// What the driver tells.
pub(super) struct Cuda {
    devices: Vec<CardFacts>,
    /// Why there are none, or not all.
    why: Option<CudaError>,
}

impl Cuda {
    /// Asks the driver, if there is one.
    pub(super) fn look() -> Self {
        let mut seen = Self { devices: Vec::new(), why: None };
        match Card::count() {
            Ok(count) => {
                for facts in (0..count).map(Card::facts_of) {
                    match facts {
                        Ok(facts) => seen.devices.push(facts),
                        Err(error) => seen.why = Some(error),
                    }
                }
            }
            Err(error) => seen.why = Some(error),
        }
        seen
    }

    /// The first device, for whoever knows boards: a board has one.
    pub(super) fn first(&self) -> Option<GpuFacts> {
        let facts = self.devices.first()?;
        let [major, minor] = facts.capability;
        Some(GpuFacts {
            name: facts.name.clone(),
            capability: Capability { major, minor },
            integrated: facts.integrated,
            unified_addressing: facts.unified_addressing,
            concurrent_managed_access: facts.concurrent_managed_access,
            pageable_access: facts.pageable_access,
            host_page_tables: facts.host_page_tables,
            memory: facts.memory,
        })
    }

    /// A line of the page for each device, or one that says why there are none.
    pub(super) fn text(&self) -> String {
        let mut text: String = self.devices.iter().map(device).collect();
        match &self.why {
            None => {}
            Some(CudaError::NoDriver { .. }) => text += &line("cuda", "no driver"),
            Some(CudaError::NoDevice) => text += &line("cuda", "a driver, and no device"),
            Some(other) => text += &line("cuda", &other.to_string()),
        }
        text
    }

    /// The same for a program.
    pub(super) fn value(&self) -> Value {
        let devices: Vec<Value> = self.devices.iter().map(told).collect();
        json!({ "devices": devices, "why": self.why.as_ref().map(ToString::to_string) })
    }
}

/// Two numbers with a dot between.
fn dotted([major, minor]: [u32; 2]) -> String {
    format!("{major}.{minor}")
}

/// Whether kernels are made for it.
fn usable(facts: &CardFacts) -> bool {
    facts.capability >= ARCHITECTURES[0]
}

fn device(facts: &CardFacts) -> String {
    let memory = if facts.integrated { "shared with the processor" } else { "of its own" };
    let old = if usable(facts) { "" } else { "; too old for any kernel of this program" };
    let words = format!(
        "{}, compute capability {}, {} multiprocessors, {} {memory}, driver of CUDA {}{old}",
        facts.name,
        dotted(facts.capability),
        facts.multiprocessors,
        size(facts.memory),
        dotted(facts.driver)
    );
    line(&format!("cuda:{}", facts.ordinal), &words)
}

fn told(facts: &CardFacts) -> Value {
    json!({
        "ordinal": facts.ordinal, "name": facts.name,
        "compute_capability": dotted(facts.capability), "usable": usable(facts),
        "driver": dotted(facts.driver), "memory_bytes": facts.memory,
        "multiprocessors": facts.multiprocessors, "integrated": facts.integrated,
        "unified_addressing": facts.unified_addressing,
        "concurrent_managed_access": facts.concurrent_managed_access,
        "pageable_access": facts.pageable_access, "host_page_tables": facts.host_page_tables,
    })
}
