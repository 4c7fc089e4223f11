//! What the sensors said at one moment.

use serde::Serialize;

use crate::board::profile::{Scope, Total};

/// One supply rail.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rail {
    /// Its name, as the board spells it, such as `VDD_IN`.
    pub name: String,
    /// What goes through it, in watts. A little below 0 is the offset of a sensor on an idle rail.
    pub watts: f64,
    /// Whether its current is at or above the warning limit; `None` where no limit is set.
    pub over_current: Option<bool>,
}

/// The power of the whole, and what that is the whole of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Watts {
    /// Watts.
    pub watts: f64,
    /// What they cover.
    pub scope: Scope,
    /// The rails that were added.
    pub of: Vec<String>,
}

/// A counter of energy, as x86 processors have one a package (RAPL). It covers the package alone: no memory
/// modules, no board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EnergyCounter {
    /// Its name, such as `package-0`.
    pub name: String,
    /// Microjoules since some moment before.
    pub microjoules: u64,
    /// The count at which it begins again at 0.
    pub range: u64,
}

impl EnergyCounter {
    /// Joules since `before`, if that is the same counter: at most one turn is seen, so that samples have to
    /// be closer than it takes (minutes under full load).
    pub fn joules_since(&self, before: &Self) -> Option<f64> {
        if (&self.name, self.range) != (&before.name, before.range) {
            return None;
        }
        let passed = match self.microjoules.checked_sub(before.microjoules) {
            Some(passed) => passed,
            None => self.range.checked_sub(before.microjoules)?.checked_add(self.microjoules)?,
        };
        Some(passed as f64 / 1e6)
    }
}

/// A place whose temperature is measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Zone {
    /// Its name, such as `tj-thermal`.
    pub name: String,
    /// Degrees Celsius.
    pub celsius: f64,
    /// Whether it is known to tell one number for ever, hot or cold.
    pub constant: bool,
}

/// The GPU.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GpuNow {
    /// The share of time that it worked, 0 to 1.
    pub load: Option<f64>,
    /// Its clock; `None` also while it is powered off.
    pub hertz: Option<u64>,
}

/// Memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemoryNow {
    /// Bytes that a program can have without others being swapped out.
    pub available: Option<u64>,
    /// Bytes that the kernel manages.
    pub total: Option<u64>,
    /// The clock of the memory controller, where it may be read.
    pub hertz: Option<u64>,
}

/// The clock of a group of cores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Clock {
    /// The group, such as `policy0`, after its first core.
    pub name: String,
    /// What it is now; `None` while the group is off.
    pub hertz: Option<u64>,
    /// The most that the power mode, or somebody, allows.
    pub allowed: Option<u64>,
    /// The most that it is built for.
    pub built: Option<u64>,
}

/// The processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CpuNow {
    /// What it calls itself; most Arm processors say nothing.
    pub model: Option<String>,
    /// Cores that run.
    pub online: Option<u32>,
    /// Who chooses the clocks.
    pub governor: Option<String>,
    /// Clocks, one for each group of cores that share one.
    pub clocks: Vec<Clock>,
}

/// A counter of moments at which the machine held itself back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counter {
    /// Its name, such as `soctherm_oc oc1_event_cnt`.
    pub name: String,
    /// Moments since it was switched on.
    pub count: u64,
}

/// How far something is being held back against heat. Fans are not told: they hold nothing back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cooling {
    /// What, such as `cpu-throttle-alert`.
    pub name: String,
    /// How far: 0 is not at all.
    pub state: u64,
}

/// What the sensors said at one moment. What is not there, or did not answer, is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// Supply rails, as they are found.
    pub rails: Vec<Rail>,
    /// The power of the whole: `None` unless every rail that it is made of answered, and sensibly.
    pub total: Option<Watts>,
    /// Counters of energy.
    pub energy: Vec<EnergyCounter>,
    /// Temperatures.
    pub zones: Vec<Zone>,
    /// The GPU.
    pub gpu: GpuNow,
    /// Memory.
    pub memory: MemoryNow,
    /// The processor.
    pub cpu: CpuNow,
    /// The power mode, by name.
    pub mode: Option<String>,
    /// Counters of throttling.
    pub throttle: Vec<Counter>,
    /// What is held back now.
    pub cooling: Vec<Cooling>,
}

impl Sample {
    /// The hottest zone of those that tell of heat.
    pub fn hottest(&self) -> Option<&Zone> {
        let real = |zone: &&Zone| !zone.constant;
        self.zones.iter().filter(real).max_by(|a, b| a.celsius.total_cmp(&b.celsius))
    }

    /// What is held back against heat now.
    pub fn held(&self) -> impl Iterator<Item = &Cooling> {
        self.cooling.iter().filter(|cooling| cooling.state > 0)
    }
}

/// The power of the whole, made of `rails` as `total` says.
pub(super) fn whole(rails: &[Rail], total: &Total, scope: Scope) -> Option<Watts> {
    let of = match total {
        Total::Rail(name) => std::slice::from_ref(name),
        Total::Sum(names) => names,
        Total::Unknown => return None,
    };
    let watts = |name: &String| Some(rails.iter().find(|rail| rail.name == *name)?.watts);
    let watts = of.iter().map(watts).sum::<Option<f64>>()?;
    // A rail that idles may seem to give a little; no machine runs on less than nothing.
    if watts < 0.0 {
        return None;
    }
    Some(Watts { watts, scope, of: of.to_vec() })
}
