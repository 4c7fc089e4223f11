//! Where heat is measured, and what holds back against it.

use super::sample::{Cooling, Counter, Zone};
use crate::board::sysroot::SysRoot;

/// What the zone of a part that is switched off may tell, whatever the unit.
const OFF: i64 = -256;
/// Temperatures that such a machine can have.
const SANE: std::ops::RangeInclusive<f64> = -40.0..=150.0;
/// Words in names of what is held back; what bears none of them is a fan, a screen or a setting.
const HELD_BACK: [&str; 9] =
    ["cpu", "gpu", "throttle", "alert", "processor", "powerclamp", "devfreq", "balanced", "tegra"];
const CPUS: &str = "sys/devices/system/cpu";

/// How zones of regulators begin that tell a constant of 100 or 50 °C on boards of before Orin.
const CONSTANT: &str = "pmic";

/// A name, and the file that tells its figure.
#[derive(Clone, Debug)]
pub(super) struct Place {
    name: String,
    path: String,
}

/// A zone, and whether it is known to be constant.
#[derive(Clone, Debug)]
pub(super) struct ZonePlace {
    place: Place,
    constant: bool,
}

/// Looks for zones. Those that `ignored` names are kept as constant.
pub(super) fn find_zones(root: &SysRoot, ignored: &[String]) -> Vec<ZonePlace> {
    let mut places = Vec::new();
    for all in ["sys/class/thermal", "sys/devices/virtual/thermal"] {
        for name in root.names(all).iter().filter(|name| name.starts_with("thermal_zone")) {
            let folder = format!("{all}/{name}");
            let Some(name) = root.label(&format!("{folder}/type")) else { continue };
            places.push(Place { name, path: format!("{folder}/temp") });
        }
        // Both hold the same zones.
        if !places.is_empty() {
            break;
        }
    }
    for (folder, name) in hwmons(root, |name| ["coretemp", "k10temp"].contains(&name)) {
        let path = format!("{folder}/temp1_input");
        if root.has(&path) {
            places.push(Place { name, path });
        }
    }
    let judged = |place: Place| {
        let constant = place.name.to_lowercase().starts_with(CONSTANT);
        ZonePlace { constant: constant || ignored.contains(&place.name), place }
    };
    places.into_iter().map(judged).collect()
}

/// Looks for counters of throttling by current.
pub(super) fn find_counters(root: &SysRoot) -> Vec<Place> {
    let mut places = Vec::new();
    for (folder, name) in hwmons(root, |name| name.contains("soctherm_oc")) {
        let counts = |file: &&String| file.starts_with("oc") && file.ends_with("_event_cnt");
        for file in root.names(&folder).iter().filter(counts) {
            let path = format!("{folder}/{file}");
            places.push(Place { name: format!("{name} {file}"), path });
        }
    }
    places
}

/// Looks for what is held back against heat.
pub(super) fn find_cooling(root: &SysRoot) -> Vec<Place> {
    const ALL: &str = "sys/class/thermal";
    let mut places: Vec<Place> = Vec::new();
    for device in root.names(ALL).iter().filter(|name| name.starts_with("cooling_device")) {
        let Some(name) = root.label(&format!("{ALL}/{device}/type")) else { continue };
        let lower = name.to_lowercase();
        if !lower.contains("fan") && HELD_BACK.iter().any(|word| lower.contains(word)) {
            places.push(Place { name, path: format!("{ALL}/{device}/cur_state") });
        }
    }
    places
}

/// hwmon folders whose name is `wanted`.
fn hwmons(root: &SysRoot, wanted: fn(&str) -> bool) -> Vec<(String, String)> {
    let folder = |name: &String| format!("sys/class/hwmon/{name}");
    let named = |folder: String| {
        let name = root.label(&format!("{folder}/name"))?;
        wanted(&name).then_some((folder, name))
    };
    root.names("sys/class/hwmon").iter().map(folder).filter_map(named).collect()
}

/// Reads a zone; one that fails is left out, not the others.
pub(super) fn read_zone(root: &SysRoot, zone: &ZonePlace) -> Option<Zone> {
    let celsius = root.number(&zone.place.path).filter(|&number| number != OFF)? as f64 / 1e3;
    let name = || zone.place.name.clone();
    SANE.contains(&celsius).then(|| Zone { name: name(), celsius, constant: zone.constant })
}

/// Reads a counter.
pub(super) fn read_counter(root: &SysRoot, place: &Place) -> Option<Counter> {
    let count = u64::try_from(root.number(&place.path)?).ok()?;
    Some(Counter { name: place.name.clone(), count })
}

/// Reads how far something is held back; -1 stands for not at all.
pub(super) fn read_cooling(root: &SysRoot, place: &Place) -> Option<Cooling> {
    let state = u64::try_from(root.number(&place.path)?.max(0)).ok()?;
    Some(Cooling { name: place.name.clone(), state })
}

/// A counter of an x86 processor, and the files of its cores.
#[derive(Clone, Debug)]
pub(super) struct Sum {
    name: &'static str,
    paths: Vec<String>,
}

/// Looks for counts of throttling by heat of an x86 processor.
pub(super) fn find_sums(root: &SysRoot) -> Vec<Sum> {
    let cores = root.names(CPUS);
    let sum = |name| {
        let path = |core: &String| format!("{CPUS}/{core}/thermal_throttle/{name}");
        Sum { name, paths: cores.iter().map(path).filter(|path| root.has(path)).collect() }
    };
    let sums = ["core_throttle_count", "package_throttle_count"].map(sum);
    sums.into_iter().filter(|sum| !sum.paths.is_empty()).collect()
}

/// Reads a counter over all cores that tell it.
pub(super) fn read_sum(root: &SysRoot, sum: &Sum) -> Option<Counter> {
    let read = |path: &String| u64::try_from(root.number(path)?).ok();
    let counts: Vec<u64> = sum.paths.iter().filter_map(read).collect();
    let count = counts.iter().fold(0, |all: u64, &count| all.saturating_add(count));
    (!counts.is_empty()).then(|| Counter { name: sum.name.to_string(), count })
}
