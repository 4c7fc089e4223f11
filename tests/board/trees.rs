//! Every tree of files below `boards/` against the `expect.toml` beside it, and against damage.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tempfile::TempDir;
use unlearn::base::rng::Stream;
use unlearn::board::tegrastats::{Line, Log};
use unlearn::board::{Detected, Sample, Sensors, SysRoot, Total, detect};

/// What must come out of a tree; `boards/README.md` says what the fields mean.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    what: String,
    profile: String,
    module: Option<String>,
    soc: Option<String>,
    mode: Option<String>,
    celsius: Option<f64>,
    watts: Option<f64>,
    load: Option<f64>,
    #[serde(default)]
    absent: Vec<String>,
}

fn boards() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("boards")
}

/// Folders in `folder`, in the order of their names.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

/// Each tree with what must come out of it: name, root, expectation.
fn trees() -> Vec<(String, PathBuf, Expected)> {
    let mut found = Vec::new();
    for folder in folders(&boards()).into_iter().chain(folders(&boards().join("hostile"))) {
        let Ok(text) = fs::read_to_string(folder.join("expect.toml")) else { continue };
        let fixture = folder.join("fixture");
        let root = if fixture.is_dir() { fixture } else { folder.clone() };
        let name = folder.file_name().unwrap().to_str().unwrap().to_string();
        let expected = toml::from_str(&text).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        found.push((name, root, expected));
    }
    assert!(found.len() >= 45, "trees were lost: {}", found.len());
    found
}

fn look(root: &Path) -> (Detected, Sample) {
    let root = SysRoot::folder(root);
    let found = detect(&root);
    let sample = Sensors::find(&root, &found.profile).sample();
    (found, sample)
}

/// Holds one figure against what is expected of it, and against being absent.
fn holds<T: PartialEq + std::fmt::Debug>(
    name: &str,
    (field, found): (&str, Option<T>),
    expected: Option<T>,
    absent: &[String],
) {
    if absent.iter().any(|word| word == field) {
        assert_eq!(found, None, "{name}: {field}");
    } else if expected.is_some() {
        assert_eq!(found, expected, "{name}: {field}");
    }
}

#[test]
fn every_tree_gives_what_stands_beside_it() {
    for (name, root, expected) in trees() {
        let (found, sample) = look(&root);
        let slug = match found.profile.modules.as_slice() {
            [] => "none",
            _ => &found.profile.slug,
        };
        assert_eq!(slug, expected.profile, "{name}: {}", expected.what);
        let figure = |value: f64| (value * 1e6).round() / 1e6;
        let absent = &expected.absent;
        holds(&name, ("module", found.module.clone()), expected.module, absent);
        holds(&name, ("soc", found.soc.clone()), expected.soc, absent);
        holds(&name, ("mode", sample.mode.clone()), expected.mode, absent);
        let celsius = sample.hottest().map(|zone| zone.celsius);
        holds(&name, ("celsius", celsius), expected.celsius, absent);
        let watts = sample.total.as_ref().map(|total| figure(total.watts));
        holds(&name, ("watts", watts), expected.watts, absent);
        let load = sample.gpu.load.map(|load| figure(100.0 * load));
        holds(&name, ("load", load), expected.load, absent);
        holds(&name, ("memory", sample.memory.available), None, absent);
        let unknown = found.warnings.iter().any(|warning| warning.kind() == "unknown-module");
        assert_eq!(unknown, slug == "none" && found.soc.is_some(), "{name}: {:?}", found.warnings);
    }
}

#[test]
fn every_board_with_a_tree_is_found_in_it_without_a_warning_and_with_sane_figures() {
    let mut seen = 0;
    for folder in folders(&boards()).iter().filter(|folder| folder.join("fixture").is_dir()) {
        let slug = folder.file_name().unwrap().to_str().unwrap();
        let (found, sample) = look(&folder.join("fixture"));
        // Nothing in that tree says which processor it is: the one that asks is taken.
        if slug != "generic-x86-64" || cfg!(target_arch = "x86_64") {
            assert_eq!(found.profile.slug, slug);
        }
        assert_eq!(found.warnings, [], "{slug}");
        let told: Vec<f64> = sample.rails.iter().map(|rail| rail.watts).collect();
        assert!(told.iter().all(|watts| (-1.0..200.0).contains(watts)), "{slug}: {told:?}");
        let total = sample.total.as_ref().map(|total| total.watts);
        let sum = |names: &[String]| {
            let of = sample.rails.iter().filter(|rail| names.contains(&rail.name));
            Some(of.map(|rail| rail.watts).sum::<f64>())
        };
        let expected = match &found.profile.power.total {
            Total::Rail(name) => sum(std::slice::from_ref(name)),
            Total::Sum(names) => sum(names),
            Total::Unknown => None,
        };
        assert_eq!(total, expected, "{slug}");
        if let Some(mode) = &sample.mode {
            assert!(found.profile.power.modes.contains(mode), "{slug}: {mode}");
        }
        assert!(sample.memory.available.unwrap() <= sample.memory.total.unwrap(), "{slug}");
        assert!(sample.held().next().is_none(), "{slug}: {:?}", sample.cooling);
        seen += 1;
    }
    assert!(seen >= 15, "{seen} boards have a tree");
}

#[test]
fn the_serial_number_is_not_read() {
    let home = TempDir::new().unwrap();
    copy(&boards().join("jetson-orin-nano-8gb/fixture"), home.path());
    let before = look(home.path());
    let secret = "1424721012345";
    for place in ["proc/device-tree/serial-number", "sys/devices/soc0/serial_number"] {
        let path = home.path().join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, secret).unwrap();
    }
    let after = look(home.path());
    assert_eq!(before, after);
    assert!(!format!("{after:?}").contains(secret));
}

/// Copies a tree; its files.
fn copy(from: &Path, to: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir_all(&target).unwrap();
            files.extend(copy(&path, &target));
        } else {
            fs::copy(&path, &target).unwrap();
            files.push(target);
        }
    }
    files
}

#[test]
fn no_damage_to_any_file_of_a_tree_makes_it_panic() {
    let mut stream = Stream::new(11, "board/trees/damage");
    for slug in ["jetson-orin-nano-8gb", "jetson-nano", "generic-x86-64"] {
        let home = TempDir::new().unwrap();
        let files = copy(&boards().join(slug).join("fixture"), home.path());
        assert!(files.len() > 10, "{slug}");
        let root = SysRoot::folder(home.path());
        let profile = detect(&root).profile;
        for file in files {
            let whole = fs::read(&file).unwrap();
            // What is below `sys` has no say in what the machine is, and most of it is one number.
            let of_sensors = file.starts_with(home.path().join("sys"));
            let step = if of_sensors { 1 + whole.len() / 2 } else { 1 + whole.len() / 60 };
            let mut damaged: Vec<Vec<u8>> =
                (0..whole.len()).step_by(step).map(|end| whole[..end].to_vec()).collect();
            for _ in 0..if of_sensors { 1 } else { 4 } {
                let mut bytes = [&whole[..], &[0; 4]].concat();
                for _ in 0..3 {
                    let at = stream.index(bytes.len());
                    bytes[at] = stream.word() as u8;
                }
                damaged.push(bytes);
            }
            for bytes in damaged {
                fs::write(&file, &bytes).unwrap();
                if of_sensors {
                    Sensors::find(&root, &profile).sample();
                } else {
                    look(home.path());
                }
            }
            fs::write(&file, &whole).unwrap();
        }
        assert_eq!(look(home.path()).0.profile, profile, "{slug}: the tree is whole again");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
    let home = TempDir::new().unwrap();
    copy(&boards().join("jetson-orin-nano-8gb/fixture"), home.path());
    let temp = home.path().join("sys/class/thermal/thermal_zone0/temp");
    fs::remove_file(&temp).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&temp).status().unwrap();
    assert!(made.success());
    let (_, sample) = look(home.path());
    assert!(sample.zones.iter().all(|zone| zone.name != "cpu-thermal") && !sample.zones.is_empty());
}

/// A board, rails of the first line of its log in watts, and cores that it lists.
type First = (&'static str, &'static [(&'static str, f64)], usize);

/// Figures as the logs spell them.
const FIRST: [First; 10] = [
    ("jetson-nano", &[("POM_5V_IN", 2.132), ("POM_5V_GPU", 0.078), ("POM_5V_CPU", 0.275)], 4),
    ("jetson-tx2", &[("VDD_IN", 1.876), ("VDD_SYS_DDR", 0.134)], 6),
    ("jetson-agx-xavier", &[("CPU", 0.311), ("SYS5V", 1.482)], 8),
    ("jetson-xavier-nx", &[("VDD_IN", 14.703), ("VDD_SOC", 1.405)], 6),
    ("jetson-agx-orin-devkit", &[("VDD_GPU_SOC", 4.788), ("VDDQ_VDD2_1V8AO", 0.707)], 12),
    ("jetson-agx-orin-64gb", &[("VDD_GPU_SOC", 2.792), ("VDD_CPU_CV", 0.0)], 2),
    ("jetson-orin-nx-16gb", &[("VDD_IN", 5.299)], 8),
    ("jetson-orin-nano-8gb", &[("VDD_IN", 4.742), ("VDD_CPU_GPU_CV", 0.482)], 6),
    ("jetson-t5000", &[("VIN", 19.78), ("VDD_CPU_SOC_MSS", 5.887)], 14),
    ("jetson-t5000", &[("VDD_GPU", 1.962), ("VIN_SYS_5V0", 5.635)], 14),
];

#[test]
fn logs_of_every_generation_are_read_as_they_are_written() {
    for (slug, rails, cores) in FIRST {
        let text = fs::read_to_string(boards().join(slug).join("tegrastats.log")).unwrap();
        let line = Line::parse(text.lines().next().unwrap()).unwrap();
        assert_eq!(line.cores.len(), cores, "{slug}");
        for (name, watts) in rails {
            let rail = line.rails.iter().find(|rail| rail.name == *name);
            assert_eq!(rail.map(|rail| rail.watts), Some(*watts), "{slug}: {name}");
        }
        assert!(line.memory.is_some_and(|memory| memory.used < memory.total), "{slug}");
        assert!(!line.zones.is_empty() && line.gpu.is_some(), "{slug}");
    }
    let mut logs = 0;
    for folder in folders(&boards()) {
        let Ok(text) = fs::read_to_string(folder.join("tegrastats.log")) else { continue };
        let log = Log::parse(&text, "log").unwrap_or_else(|fault| panic!("{folder:?}: {fault}"));
        assert_eq!(log.lines, text.lines().count(), "{folder:?}");
        assert!(log.unknown.is_empty(), "{folder:?}: {:?}", log.unknown);
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)).step_by(7) {
            let _ = Log::parse(&text[..end], "log");
        }
        logs += 1;
    }
    assert!(logs >= 9, "{logs} logs");
}

/// The rails of a line, found without looking at anything else: a name, and behind it figures with
/// strokes or `mW`.
fn stated(line: &str) -> Vec<(String, f64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let rail = |two: &[&str]| {
        let first = two[1].split('/').next()?;
        let plain = two[1].chars().all(|c| c.is_ascii_digit() || "/mW".contains(c));
        let told = plain && (two[1].contains('/') || two[1].ends_with("mW"));
        let milliwatts: f64 = first.trim_end_matches("mW").parse().ok()?;
        (told && two[0] != "NC").then(|| (two[0].to_string(), milliwatts / 1e3))
    };
    words.windows(2).filter_map(rail).collect()
}

#[test]
fn lines_that_others_published_are_read_to_the_last_word() {
    let text = fs::read_to_string(boards().join("tegrastats-lines.txt")).unwrap();
    let mut seen = 0;
    for text in text.lines().filter(|line| !line.starts_with('#')) {
        let line = Line::parse(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(line.unknown, [""; 0], "{text}");
        let rails: Vec<(String, f64)> =
            line.rails.iter().map(|rail| (rail.name.clone(), rail.watts)).collect();
        assert_eq!(rails, stated(text), "{text}");
        let zones =
            text.split_whitespace().filter(|word| word.ends_with('C') && word.contains('@'));
        let on = zones.filter(|word| !word.contains("@-256C")).count();
        assert_eq!(line.zones.len(), on, "{text}");
        let cores = text.split_once("CPU [").unwrap().1.split_once(']').unwrap().0;
        assert_eq!(line.cores.len(), cores.split(',').count(), "{text}");
        assert_eq!(line.gpu.is_some(), text.contains("GR3D_FREQ"), "{text}");
        seen += 1;
    }
    assert!(seen >= 15, "{seen} lines");
}
