use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::board::{Profile, Scope, Total, catalogue, named};

fn fixture(slug: &str) -> SysRoot {
    SysRoot::folder(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("boards").join(slug).join("fixture"),
    )
}

fn write(root: &Path, path: &str, text: &str) {
    let path: PathBuf = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A made tree with the profile for any x86-64 machine, whose power is told as `total`.
fn sample(files: &[(&str, &str)], total: Total) -> Sample {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(path, text)| write(folder.path(), path, text));
    let mut profile = named("generic-x86-64").unwrap();
    profile.power.total = total;
    Sensors::find(&SysRoot::folder(folder.path()), &profile).sample()
}

fn of(slug: &str) -> (Profile, Sample) {
    let profile = named(slug).unwrap();
    let sample = Sensors::find(&fixture(slug), &profile).sample();
    (profile, sample)
}

fn watts(sample: &Sample) -> Vec<(&str, f64)> {
    sample.rails.iter().map(|rail| (rail.name.as_str(), rail.watts)).collect()
}

#[test]
fn an_orin_nano_is_read_as_its_files_say() {
    let (profile, sample) = of("jetson-orin-nano-8gb");
    assert_eq!(
        watts(&sample),
        [("VDD_IN", 7.55136), ("VDD_CPU_GPU_CV", 8.84864), ("VDD_SOC", 2.46016)],
        "millivolts by milliamperes; neither shunts nor their sum are rails"
    );
    let total = sample.total.clone().unwrap();
    assert_eq!(
        (total.watts, total.scope, &total.of[..]),
        (7.55136, Scope::Module, &["VDD_IN".to_string()][..])
    );
    assert_eq!(sample.hottest().unwrap().celsius, 50.906);
    assert!(sample.zones.iter().all(|zone| zone.celsius > 0.0), "a zone at -256 is switched off");
    assert_eq!((sample.gpu.load, sample.gpu.hertz), (Some(0.999), Some(1_020_000_000)));
    assert_eq!(sample.memory.available, Some(4_023_972 * 1024));
    assert_eq!(sample.mode.as_deref(), Some("MAXN_SUPER"));
    assert!(profile.power.modes.contains(sample.mode.as_ref().unwrap()));
    let names: Vec<&str> = sample.throttle.iter().map(|counter| counter.name.as_str()).collect();
    assert_eq!(names, ["oc1", "oc2", "oc3"].map(|oc| format!("soctherm_oc {oc}_event_cnt")));
    assert!(sample.cooling.iter().all(|c| c.state == 0 && !c.name.contains("fan")), "a fan runs");
    assert_eq!(sample.cpu.clocks[0].hertz, Some(1_728_000_000));
}

#[test]
fn a_nano_of_jetpack_4_is_read_through_its_own_driver() {
    let (_, sample) = of("jetson-nano");
    let rails = [("POM_5V_IN", 2.132), ("POM_5V_GPU", 0.078), ("POM_5V_CPU", 0.275)];
    assert_eq!(watts(&sample), rails);
    assert_eq!(sample.total.as_ref().unwrap().watts, 2.132);
    let pmic = sample.zones.iter().find(|zone| zone.name == "PMIC-Die").unwrap();
    assert!(pmic.constant && pmic.celsius == 100.0);
    assert_eq!(sample.hottest().unwrap().name, "AO-therm", "the constant 100 is no heat");
    assert_eq!(sample.gpu.load, Some(0.0));
}

#[test]
fn the_supply_of_a_thor_is_read_in_microwatts_and_its_gpu_has_a_clock_alone() {
    let (_, sample) = of("jetson-t5000");
    let total = sample.total.as_ref().unwrap();
    assert_eq!((total.watts, total.scope), (27.422, Scope::Board));
    assert_eq!(sample.rails.len(), 4);
    assert_eq!(sample.rails[0].over_current, Some(false), "240 mA of 5060");
    assert_eq!((sample.gpu.load, sample.gpu.hertz), (None, Some(315_000_000)));
    assert_eq!((sample.mode.as_deref(), sample.memory.hertz), (Some("120W"), Some(4_266_000_000)));
}

const INA: &str = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1";

#[test]
fn a_sum_needs_each_of_its_rails_and_what_is_not_connected_is_none() {
    let files: Vec<(String, &str)> = [
        ("in1_label", "VDD_A\n"),
        ("in1_input", "5000\n"),
        ("curr1_input", "1000\n"),
        ("curr1_max", "900\n"),
        ("in2_label", "NC\n"),
        ("in2_input", "5000\n"),
        ("curr2_input", "10\n"),
        ("in3_label", "VDD_B\n"),
        ("in3_input", "5000\n"),
        ("curr3_input", "-8\n"),
    ]
    .map(|(file, text)| (format!("{INA}/{file}"), text))
    .to_vec();
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    let sum = |names: &[&str]| Total::Sum(names.iter().map(|name| name.to_string()).collect());
    let whole = sample(&files, sum(&["VDD_A", "VDD_B"]));
    assert_eq!(watts(&whole), [("VDD_A", 5.0), ("VDD_B", -0.04)]);
    assert_eq!(whole.total.unwrap().watts, 4.96);
    assert_eq!(whole.rails[0].over_current, Some(true));
    assert_eq!(whole.rails[1].over_current, None, "no limit is set");
    assert_eq!(sample(&files, sum(&["VDD_A", "VDD_C"])).total, None);
    assert_eq!(sample(&files, Total::Rail("VDD_C".into())).total, None);
    assert_eq!(sample(&files, Total::Unknown).total, None);
}

#[test]
fn nonsense_of_one_sensor_costs_that_sensor_alone() {
    let files = [
        ("sys/class/thermal/thermal_zone0/type", "cpu"),
        ("sys/class/thermal/thermal_zone0/temp", "45500"),
        ("sys/class/thermal/thermal_zone1/type", "gpu"),
        ("sys/class/thermal/thermal_zone1/temp", "-256000"),
        ("sys/class/thermal/thermal_zone2/type", "hot"),
        ("sys/class/thermal/thermal_zone2/temp", "9223372036854775807"),
        ("sys/class/thermal/thermal_zone3/type", "odd"),
        ("sys/class/thermal/thermal_zone3/temp", ""),
        ("sys/class/devfreq/17000000.gpu/device/load", ""),
        ("sys/class/devfreq/17000000.gpu/cur_freq", "0"),
        (
            "proc/meminfo",
            "MemTotal: 99999999999999999999 kB\nMemAvailable: 18446744073709551615 kB\n",
        ),
        ("var/lib/nvpmodel/status", "pmode:0009"),
        ("etc/nvpmodel.conf", "< POWER_MODEL ID=9x NAME=X >\n< POWER_MODEL >\n<>\n"),
    ];
    let sample = sample(&files, Total::Unknown);
    assert_eq!(sample.zones.len(), 1);
    assert_eq!(sample.hottest().unwrap().name, "cpu");
    assert_eq!((sample.gpu, sample.memory), (GpuNow::default(), MemoryNow::default()));
    assert_eq!(sample.mode, None);
}

#[test]
fn an_x86_machine_tells_energy_heat_and_throttling_where_it_lets_them_be_read() {
    let rapl = "sys/class/powercap/intel-rapl:0";
    let files = [
        (format!("{rapl}/name"), "package-0"),
        (format!("{rapl}/energy_uj"), "5000000"),
        (format!("{rapl}/max_energy_range_uj"), "262143328850"),
        (format!("{rapl}:0/name"), "core"),
        (format!("{rapl}:0/energy_uj"), "1"),
        (format!("{rapl}:0/max_energy_range_uj"), "262143328850"),
        ("sys/class/hwmon/hwmon0/name".into(), "k10temp"),
        ("sys/class/hwmon/hwmon0/temp1_input".into(), "51250"),
        ("sys/class/thermal/cooling_device0/type".into(), "Processor"),
        ("sys/class/thermal/cooling_device0/cur_state".into(), "2"),
        ("sys/class/thermal/cooling_device1/type".into(), "LCD"),
        ("sys/class/thermal/cooling_device1/cur_state".into(), "7"),
        ("sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count".into(), "3"),
        ("sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count".into(), "4"),
        ("sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq".into(), "2400000"),
        ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor".into(), "powersave"),
        ("sys/devices/system/cpu/online".into(), "0-1"),
        ("proc/cpuinfo".into(), "processor\t: 0\nmodel name\t: A Processor\nprocessor\t: 1\n"),
    ];
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    let sample = sample(&files, Total::Unknown);
    let [counter] = &sample.energy[..] else { panic!("{:?}", sample.energy) };
    assert_eq!((counter.name.as_str(), counter.microjoules), ("package-0", 5_000_000));
    assert_eq!(sample.hottest().unwrap().celsius, 51.25);
    assert_eq!(sample.throttle, [Counter { name: "core_throttle_count".into(), count: 7 }]);
    assert_eq!(sample.cooling, [Cooling { name: "Processor".into(), state: 2 }]);
    assert_eq!(sample.cpu.model.as_deref(), Some("A Processor"));
    assert_eq!((sample.cpu.online, sample.cpu.governor.as_deref()), (Some(2), Some("powersave")));
    assert_eq!(sample.cpu.clocks[0].hertz, Some(2_400_000_000));
}

#[test]
fn energy_is_counted_over_one_turn_of_its_counter() {
    let counter =
        |microjoules, range| EnergyCounter { name: "package-0".into(), microjoules, range };
    let joules = |now, before| counter(now, 10_000_000).joules_since(&counter(before, 10_000_000));
    assert_eq!(joules(5_000_000, 2_000_000), Some(3.0));
    assert_eq!(joules(1_000_000, 9_000_000), Some(2.0));
    assert_eq!(counter(1, 10).joules_since(&counter(1, 20)), None, "another counter");
}

#[test]
fn what_held_the_machine_back_is_named() {
    let at = |state| Sample {
        cooling: vec![Cooling { name: "cpu-throttle-alert".into(), state }],
        ..Sample::default()
    };
    assert_eq!(at(0).held().count(), 0);
    assert_eq!(at(1).held().next().unwrap().name, "cpu-throttle-alert");
}

#[test]
fn a_sample_of_this_very_machine_is_sane() {
    for profile in catalogue().iter().filter(|profile| profile.slug.starts_with("generic")) {
        let sample = Sensors::find(&SysRoot::machine(), profile).sample();
        let (available, total) = (sample.memory.available, sample.memory.total);
        assert!(available <= total && sample.zones.iter().all(|zone| zone.celsius.is_finite()));
    }
}
