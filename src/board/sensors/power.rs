//! Where power is measured: three makes of sensors, and the energy counters of x86.

use super::sample::{EnergyCounter, Rail};
use crate::board::sysroot::SysRoot;

/// Watts that a rail of such a machine can carry; what is told beyond is no measurement.
const SANE: std::ops::RangeInclusive<f64> = -10.0..=2000.0;

/// One rail and the files that tell of it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    name: String,
    power: Power,
    /// Milliamperes, and the limit of them at which it warns.
    current: Option<(String, String)>,
}

/// Which files give the power.
#[derive(Clone, Debug)]
enum Power {
    /// Millivolts and milliamperes (ina3221 as hwmon: JetPack 5 and later).
    Product(String, String),
    /// Milliwatts (ina3221x as iio: JetPack 4).
    Milliwatts(String),
    /// Microwatts (ina238: the supply of the Thor kit).
    Microwatts(String),
}

/// Looks for rails.
pub(super) fn find(root: &SysRoot) -> Vec<Place> {
    let mut places = Vec::new();
    for folder in hwmons(root, "ina3221") {
        places.extend((1..=6).filter_map(|channel| ina3221(root, &folder, channel)));
    }
    for folder in hwmons(root, "ina238") {
        places.extend(ina238(root, &folder));
    }
    for folder in below(root, "sys/bus/i2c/drivers/ina3221x", |name| name.starts_with("iio:device"))
    {
        places.extend((0..=2).filter_map(|channel| ina3221x(root, &folder, channel)));
    }
    places
}

/// Folders below the devices of a driver, `DRIVER/DEVICE/FOLDER`.
fn below(root: &SysRoot, driver: &str, wanted: fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for device in root.names(driver) {
        let folder = format!("{driver}/{device}");
        let names = root.names(&folder).into_iter().filter(|name| wanted(name));
        found.extend(names.map(|name| format!("{folder}/{name}")));
    }
    found
}

/// The hwmon folders of a make of sensor: by its driver, or else by name among all.
fn hwmons(root: &SysRoot, make: &str) -> Vec<String> {
    let mut found = Vec::new();
    for folder in below(root, &format!("sys/bus/i2c/drivers/{make}"), |name| name == "hwmon") {
        found.extend(root.names(&folder).iter().map(|name| format!("{folder}/{name}")));
    }
    if found.is_empty() {
        let all = root.names("sys/class/hwmon");
        let all = all.iter().map(|name| format!("sys/class/hwmon/{name}"));
        found.extend(all.filter(|f| root.text(&format!("{f}/name")).as_deref() == Some(make)));
    }
    found
}

/// Whether a channel has a name and is connected. The sum of all channels, number 7, is not asked for.
fn named(root: &SysRoot, path: &str) -> Option<String> {
    root.label(path).filter(|name| !name.split([' ', '_']).any(|word| word == "NC"))
}

fn ina3221(root: &SysRoot, folder: &str, channel: u32) -> Option<Place> {
    let name = named(root, &format!("{folder}/in{channel}_label"))?;
    let (volts, amperes) =
        (format!("{folder}/in{channel}_input"), format!("{folder}/curr{channel}_input"));
    // Channels 4 to 6 tell the voltage over a shunt and have no current of their own.
    if !root.has(&amperes) {
        return None;
    }
    let limit = format!("{folder}/curr{channel}_max");
    let current = Some((amperes.clone(), limit));
    Some(Place { name, power: Power::Product(volts, amperes), current })
}

fn ina238(root: &SysRoot, folder: &str) -> Option<Place> {
    let power = format!("{folder}/power1_input");
    if !root.has(&power) {
        return None;
    }
    let labels = ["power1_label", "in1_label", "label"];
    let label = labels.iter().find_map(|label| named(root, &format!("{folder}/{label}")));
    // The driver of the mainline kernel names no channel; tegrastats calls this one so.
    let name = label.unwrap_or_else(|| "VIN".into());
    let current = Some((format!("{folder}/curr1_input"), format!("{folder}/curr1_max")));
    Some(Place { name, power: Power::Microwatts(power), current })
}

fn ina3221x(root: &SysRoot, folder: &str, channel: u32) -> Option<Place> {
    let name = named(root, &format!("{folder}/rail_name_{channel}"))?;
    let current = Some((
        format!("{folder}/in_current{channel}_input"),
        format!("{folder}/warn_current_limit_{channel}"),
    ));
    let power = format!("{folder}/in_power{channel}_input");
    let power = if root.has(&power) {
        Power::Milliwatts(power)
    } else {
        let volts = format!("{folder}/in_voltage{channel}_input");
        Power::Product(volts, format!("{folder}/in_current{channel}_input"))
    };
    Some(Place { name, power, current })
}

impl Place {
    /// What the rail carries now.
    pub(super) fn read(&self, root: &SysRoot) -> Option<Rail> {
        let number = |path: &String| root.number(path).map(|number| number as f64);
        let watts = match &self.power {
            Power::Product(volts, amperes) => number(volts)? * number(amperes)? / 1e6,
            Power::Milliwatts(path) => number(path)? / 1e3,
            Power::Microwatts(path) => number(path)? / 1e6,
        };
        let over = |(amperes, limit): &(String, String)| {
            let limit = root.number(limit).filter(|&limit| limit > 0)?;
            Some(root.number(amperes)? >= limit)
        };
        SANE.contains(&watts).then(|| Rail {
            name: self.name.clone(),
            watts,
            over_current: self.current.as_ref().and_then(over),
        })
    }
}

/// Folders of the energy counters of whole packages. Most systems let root alone read them.
pub(super) fn find_counters(root: &SysRoot) -> Vec<String> {
    const ALL: &str = "sys/class/powercap";
    let names = root.names(ALL);
    // `intel-rapl:0` is a package (AMD's too), `intel-rapl:0:0` a part of it, counted there already.
    let whole = |name: &&String| {
        let number = name.strip_prefix("intel-rapl:");
        number.is_some_and(|number| number.chars().all(|c| c.is_ascii_digit()))
    };
    let folder = |name: &String| format!("{ALL}/{name}");
    let folders = names.iter().filter(whole).map(folder);
    let package = |folder: &String| read_counter(root, folder).is_some();
    folders.filter(package).collect()
}

/// What the counter in `folder` tells, if it is one of a package.
pub(super) fn read_counter(root: &SysRoot, folder: &str) -> Option<EnergyCounter> {
    let name = root.label(&format!("{folder}/name")).filter(|name| name.starts_with("package"))?;
    let count = |file: &str| u64::try_from(root.number(&format!("{folder}/{file}"))?).ok();
    let microjoules = count("energy_uj")?;
    let range = count("max_energy_range_uj").filter(|&range| range >= microjoules)?;
    Some(EnergyCounter { name, microjoules, range })
}
