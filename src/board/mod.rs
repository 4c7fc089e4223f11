//! The machine under our feet: which board this is, what it allows, and what its sensors say.
//!
//! Owns: the profiles of `boards/`, detection, sensors, limits on heat, energy and time. Everything it knows of
//! the machine it reads through one [`SysRoot`], so that a folder of captured files stands for a board.
//! Must not know: networks, samples, homes, the terminal.

mod builtin;
mod catalogue;
mod claimed;
mod detect;
mod error;
mod governor;
mod gpu;
mod module;
mod observer;
mod profile;
mod sensors;
mod sysroot;
pub mod tegrastats;
mod warning;

pub use builtin::{builtin, builtin_slugs};
pub use catalogue::{catalogue, chosen, named};
pub use detect::{Detected, Recognised, Release, detect, detect_as};
pub use error::BoardError;
pub use governor::{Budget, Governor, Pauses, Taken, Verdict};
pub use gpu::GpuFacts;
pub use observer::{Observer, Reading, Seen, Sense};
pub use profile::{
    Capability, Cpu, Gpu, Keys, Limits, Memory, Power, Profile, Scope, Software, Storage, Tier,
    Total,
};
pub use sensors::{
    Clock, Cooling, Counter, CpuNow, EnergyCounter, GpuNow, MemoryNow, Rail, Sample, Sensors,
    Watts, Zone,
};
pub use sysroot::SysRoot;
pub use warning::Warning;
