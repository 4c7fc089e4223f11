//! Sensors: found once, read as often as one likes.
//!
//! Where things lie differs between boards and releases, so [`Sensors::find`] looks for all of them and
//! keeps the paths of what is there; [`Sensors::sample`] reads those. Nothing here needs root, starts a process or
//! fails: what does not answer is left out of the [`Sample`].

mod clocks;
mod heat;
mod mode;
mod power;
mod sample;

pub(in crate::board) use clocks::read_memory;
pub use sample::{
    Clock, Cooling, Counter, CpuNow, EnergyCounter, GpuNow, MemoryNow, Rail, Sample, Watts, Zone,
};

use super::profile::{Power, Profile};
use super::sysroot::SysRoot;

/// The sensors of a machine.
#[derive(Clone, Debug)]
pub struct Sensors {
    root: SysRoot,
    power: Power,
    rails: Vec<power::Place>,
    energy: Vec<String>,
    zones: Vec<heat::ZonePlace>,
    counters: Vec<heat::Place>,
    sums: Vec<heat::Sum>,
    cooling: Vec<heat::Place>,
    gpu: clocks::GpuPlace,
    cpu: clocks::CpuPlace,
    modes: mode::Modes,
}

impl Sensors {
    /// Looks where the sensors are. `profile` says which rails make up the whole.
    pub fn find(root: &SysRoot, profile: &Profile) -> Self {
        Self {
            rails: power::find(root),
            energy: power::find_counters(root),
            zones: heat::find_zones(root, &profile.limits.ignore_zones),
            counters: heat::find_counters(root),
            sums: heat::find_sums(root),
            cooling: heat::find_cooling(root),
            gpu: clocks::find_gpu(root),
            cpu: clocks::find_cpu(root),
            modes: mode::Modes::find(root),
            power: profile.power.clone(),
            root: root.clone(),
        }
    }

    /// Names of the power modes that this machine offers, in the order of its configuration.
    pub fn modes(&self) -> impl Iterator<Item = &str> {
        self.modes.names()
    }

    /// Reads them now.
    pub fn sample(&self) -> Sample {
        let root = &self.root;
        let rails: Vec<Rail> = self.rails.iter().filter_map(|place| place.read(root)).collect();
        let mut throttle: Vec<Counter> =
            self.counters.iter().filter_map(|place| heat::read_counter(root, place)).collect();
        throttle.extend(self.sums.iter().filter_map(|sum| heat::read_sum(root, sum)));
        let energy = self.energy.iter().filter_map(|folder| power::read_counter(root, folder));
        Sample {
            total: sample::whole(&rails, &self.power.total, self.power.scope),
            rails,
            energy: energy.collect(),
            zones: self.zones.iter().filter_map(|place| heat::read_zone(root, place)).collect(),
            gpu: self.gpu.read(root),
            memory: clocks::read_memory(root),
            cpu: self.cpu.read(root),
            mode: self.modes.now(root),
            throttle,
            cooling: self.cooling.iter().filter_map(|at| heat::read_cooling(root, at)).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
