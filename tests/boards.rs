//! Every folder of `boards/` is what it says: its profile is compiled in and parses, each figure has a source, its
//! tree of files fits its profile and holds nothing of one machine alone. What is no profile is refused with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use unlearn::board::{BoardError, Profile, Tier, Total, builtin, builtin_slugs};

fn boards() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("boards")
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        fs::read_dir(of).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.is_dir());
    all.sort();
    all
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn profile(slug: &str) -> Profile {
    Profile::parse(builtin(slug).unwrap(), slug).unwrap()
}

/// Every file under `folder`, relative to it.
fn files(folder: &Path) -> Files {
    let (mut found, mut open) = (BTreeMap::new(), vec![folder.to_path_buf()]);
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            assert!(!path.is_symlink(), "{} is a link", path.display());
            if path.is_dir() {
                open.push(path);
            } else {
                let relative = path.strip_prefix(folder).unwrap().to_str().unwrap().to_string();
                found.insert(relative, fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches(['\n', '\0']).to_string()
}

#[test]
fn the_list_and_the_folders_are_the_same() {
    let slugs: Vec<&str> = builtin_slugs().collect();
    let mut folders = folders(&boards());
    folders.retain(|path| path.join("board.toml").exists());
    assert_eq!(slugs, folders.iter().map(|path| name(path)).collect::<Vec<_>>());
    for (slug, folder) in slugs.iter().zip(&folders) {
        assert_eq!(builtin(slug).unwrap(), fs::read_to_string(folder.join("board.toml")).unwrap());
        assert_eq!(profile(slug).slug, *slug);
    }
    assert!(slugs.is_sorted() && builtin("").is_none() && builtin("../sim").is_none());
}

#[test]
fn a_module_is_in_one_profile_and_no_board_claims_hardware() {
    let mut modules = BTreeMap::new();
    for slug in builtin_slugs() {
        let profile = profile(slug);
        assert_ne!(profile.tier, Tier::Hardware, "{slug}: nobody ran it there");
        for module in profile.modules {
            let other = modules.insert(module.clone(), slug);
            assert_eq!(other, None, "{module} is in {slug} as well");
        }
        if slug.starts_with("jetson") {
            let gpu = profile.gpu.unwrap();
            let major: u32 =
                profile.software.cuda.unwrap().split('.').next().unwrap().parse().unwrap();
            assert_eq!(gpu.usable, major >= 12, "{slug}: CUDA 12 is the floor");
            assert!(profile.soc.unwrap().starts_with("tegra") && profile.limits.celsius.is_some());
        }
    }
}

/// Fields of a profile's text that have no source, and sources that belong to no field.
fn unsourced(text: &str) -> Vec<String> {
    let table: toml::Table = text.parse().unwrap();
    let sources = table.get("sources").and_then(|of| of.as_table()).cloned().unwrap_or_default();
    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    for (name, fields) in &table {
        let Some(fields) = fields.as_table().filter(|_| name != "sources") else { continue };
        for field in fields.keys() {
            let own = format!("{name}.{field}");
            let key = [&own, name].into_iter().find(|key| sources.contains_key(*key)).cloned();
            if key.is_none() {
                wrong.push(own);
            }
            used.extend(key);
        }
    }
    wrong.extend(sources.keys().filter(|key| !used.contains(*key)).cloned());
    wrong
}

#[test]
fn no_figure_stands_without_a_source() {
    for slug in builtin_slugs() {
        assert_eq!(unsourced(builtin(slug).unwrap()), Vec::<String>::new(), "{slug}");
    }
    let some = builtin("jetson-nano").unwrap();
    let less = some.replace("\"limits.celsius\" =", "\"limits.heat\" =");
    assert_eq!(unsourced(&less), ["limits.celsius", "limits.heat"]);
}

/// The labels of the rails in a tree; what an INA238 measures is called `VIN`.
fn rails(files: &Files) -> BTreeSet<String> {
    let label = |(path, bytes): (&String, &Vec<u8>)| {
        let file = path.rsplit('/').next().unwrap();
        let labelled =
            (file.starts_with("in") && file.ends_with("_label")) || file.starts_with("rail_name");
        let vin = path.contains("/ina238/") && file == "power1_input";
        (labelled || vin).then(|| if vin { "VIN".to_string() } else { text(bytes) })
    };
    files.iter().filter_map(label).collect()
}

fn holds_nothing_of_one_machine(slug: &str, path: &str, content: &str) {
    let hex = |text: &str| text.len() == 2 && text.chars().all(|c| c.is_ascii_hexdigit());
    for word in content.split(|c: char| c.is_whitespace() || c == '\0' || c == ',') {
        let address = word.split(':').filter(|part| hex(part)).count() >= 6;
        let uuid = word.len() >= 36 && word.split('-').count() >= 5;
        let long = word.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() >= 11);
        assert!(!address && !uuid && !long, "{slug}: {path} holds {word}");
    }
}

type Files = BTreeMap<String, Vec<u8>>;

/// The profiles that have a tree of files, with it.
fn trees() -> Vec<(Profile, Files)> {
    let tree = |slug: &str| {
        let (profile, folder) = (profile(slug), boards().join(slug));
        let there = folder.join("fixture").exists();
        assert!(there || profile.tier == Tier::Spec, "{slug} has no fixture");
        assert_eq!(there, folder.join("expect.toml").exists(), "{slug}");
        there.then(|| (profile, files(&folder.join("fixture"))))
    };
    builtin_slugs().filter_map(tree).collect()
}

#[test]
fn a_tree_is_small_says_where_it_is_from_and_holds_nothing_of_one_machine() {
    for (Profile { slug, .. }, files) in trees() {
        assert!(files["SOURCES.md"].len() > 50, "{slug}");
        for (path, bytes) in files.iter().filter(|(path, _)| *path != "SOURCES.md") {
            assert!(bytes.len() <= 4096, "{slug}: {path} is long");
            holds_nothing_of_one_machine(&slug, path, &String::from_utf8_lossy(bytes));
        }
    }
}

#[test]
fn a_tree_has_the_module_the_release_and_the_memory_of_its_profile() {
    for (profile, files) in trees() {
        let (slug, Some(soc)) = (&profile.slug, &profile.soc) else { continue };
        let compatible = String::from_utf8(files["proc/device-tree/compatible"].clone()).unwrap();
        assert!(
            compatible.ends_with('\0') && profile.modules.iter().any(|m| compatible.contains(m))
        );
        assert!(compatible.split('\0').any(|entry| entry.ends_with(soc)), "{slug}");
        let release = text(&files["etc/nv_tegra_release"]);
        let major = release.strip_prefix("# R").unwrap().split(' ').next().unwrap();
        assert!(profile.software.l4t.contains(&major.parse().unwrap()), "{slug}");
        let meminfo = text(&files["proc/meminfo"]);
        let total: u64 = meminfo.split_whitespace().nth(1).unwrap().parse().unwrap();
        let built = profile.memory.unwrap().built(total * 1024) as f64;
        let share = total as f64 * 1024.0 / built;
        assert!((0.80..1.0).contains(&share), "{slug}: the kernel counts {share} of {built}");
    }
}

#[test]
fn a_tree_has_the_rails_the_modes_and_the_zones_of_its_profile() {
    for (Profile { slug, power, limits, .. }, files) in trees() {
        let needed = match power.total {
            Total::Rail(rail) => vec![rail],
            Total::Sum(rails) => rails,
            Total::Unknown => Vec::new(),
        };
        assert!(needed.iter().all(|rail| rails(&files).contains(rail)), "{slug}: {needed:?}");
        if let Some(conf) = files.get("etc/nvpmodel.conf").map(|bytes| text(bytes)) {
            let modes: BTreeMap<u32, &str> = conf.lines().filter_map(mode).collect();
            assert!(modes.values().all(|mode| power.modes.iter().any(|m| m == mode)), "{slug}");
            let now = text(&files["var/lib/nvpmodel/status"]);
            assert!(modes.contains_key(&now.strip_prefix("pmode:").unwrap().parse().unwrap()));
        }
        for zone in &limits.ignore_zones {
            assert!(
                files.iter().any(|(path, bytes)| path.ends_with("/type") && text(bytes) == *zone)
            );
        }
    }
}

/// Number and name of a line such as `< POWER_MODEL ID=2 NAME=MAXN_SUPER >`.
fn mode(line: &str) -> Option<(u32, &str)> {
    let rest = line.strip_prefix("< POWER_MODEL ID=")?.strip_suffix(" >")?;
    let (id, name) = rest.split_once(" NAME=")?;
    Some((id.parse().unwrap(), name))
}

#[test]
fn what_is_expected_of_a_tree_is_well_said() {
    let known = ["what", "profile", "module", "soc", "mode", "celsius", "watts", "load", "absent"];
    let readme = fs::read_to_string(boards().join("hostile/README.md")).unwrap();
    let hostile = folders(&boards().join("hostile"));
    let own = builtin_slugs().map(|slug| boards().join(slug));
    let mut seen = 0;
    for folder in own.chain(hostile.iter().cloned()) {
        let Ok(expected) = fs::read_to_string(folder.join("expect.toml")) else { continue };
        let expected: toml::Table = expected.parse().unwrap();
        let slug = expected["profile"].as_str().unwrap();
        assert!(slug == "none" || builtin(slug).is_some(), "{}", folder.display());
        assert!(expected.keys().all(|key| known.contains(&key.as_str())), "{}", folder.display());
        let absent =
            expected.get("absent").and_then(|of| of.as_array()).cloned().unwrap_or_default();
        assert!(absent.iter().all(|of| !expected.contains_key(of.as_str().unwrap())));
        seen += 1;
    }
    assert_eq!(seen, hostile.len() + trees().len());
    assert!(hostile.iter().all(|folder| readme.contains(&format!("| `{}` |", name(folder)))));
}

#[test]
fn the_readme_names_each_board_with_its_tier_and_logs_are_logs() {
    let readme = fs::read_to_string(boards().join("README.md")).unwrap();
    for slug in builtin_slugs() {
        let profile = profile(slug);
        let tier = format!("{:?}", profile.tier).to_lowercase();
        let row = format!("| `{slug}` | {} | {tier} |", profile.name);
        assert!(readme.contains(&row), "no row {row}");
        let Ok(log) = fs::read_to_string(boards().join(slug).join("tegrastats.log")) else {
            continue;
        };
        assert!(
            (10..=30).contains(&log.lines().count()) && log.lines().all(|l| l.contains("RAM "))
        );
        let sources = fs::read_to_string(boards().join(slug).join("fixture/SOURCES.md")).unwrap();
        assert!(sources.contains("`tegrastats.log`"), "{slug}");
    }
}

#[test]
fn sizes_that_the_kernel_counts_choose_among_those_sold() {
    let memory = profile("jetson-agx-xavier").memory.unwrap();
    let gib = |count: u64| count << 30;
    let built = [0, 15, 16, 17, 31, 60, 64, 900].map(|count| memory.built(gib(count)) >> 30);
    assert_eq!(built, [16, 16, 16, 32, 32, 64, 64, 64]);
    assert_eq!((memory.bytes, memory.also), (gib(16), vec![gib(32), gib(64)]));
}

const SMALL: &str = r#"slug = "small"
name = "Small"
tier = "spec"

[match]
modules = ["p1234-5678"]
soc = "tegra999"

[cpu]
cores = 4

[gpu]
architecture = "Ampere"
compute_capability = "8.7"
cores = 128
tensor_cores = 0
usable = true

[memory]
size = "4GiB"
also = ["8GiB"]
bandwidth_gbs = 10.0

[power]
total_rail = "IN"
scope = "module"
modes = ["LOW", "HIGH"]
bench_mode = "LOW"

[keys]
evidence = 2

[software]
l4t = [35, 36]
cuda = "12.6"

[limits]
memory = "2GiB"
celsius = 80.0
ignore_zones = ["PMIC-Die"]

[sources]
cpu = "nowhere"
"#;

/// Replaces a piece of [`SMALL`] and gives what the profile is refused with.
fn refused(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    match Profile::parse(&SMALL.replacen(from, to, 1), "some.toml") {
        Ok(_) => panic!("`{to}` in the place of `{from}` is taken"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_no_profile_is_refused_with_its_place() {
    Profile::parse(SMALL, "some.toml").unwrap();
    let syntax = [
        ("cores = 4", "cors = 4", "unknown field `cors`"),
        ("tier = \"spec\"", "tier = \"spec\"\ncolour = 1", "unknown field `colour`"),
        ("[match]\nmodules", "[match]\nmodul", "unknown field `modul`"),
        ("celsius = 80.0", "celsius = \"hot\"", "invalid type"),
        ("cores = 4", "cores = -4", "invalid value"),
        ("cores = 4", "cores = 4.5", "invalid type"),
        ("l4t = [35, 36]", "l4t = 36", "invalid type"),
        ("usable = true", "usable = \"yes\"", "invalid type"),
        ("tier = \"spec\"", "tier = \"gold\"", "unknown variant `gold`"),
        ("scope = \"module\"", "scope = \"room\"", "unknown variant `room`"),
        ("size = \"4GiB\"\n", "", "missing field `size`"),
        ("slug = \"small\"\n", "", "missing field `slug`"),
        ("[cpu]", "[cpu", "unclosed"),
        ("cores = 4", "cores = 4\ncores = 5", "duplicate key"),
    ];
    for (from, to, message) in syntax {
        let error = refused(from, to);
        assert!(error.starts_with("board profile some.toml: line "), "{error}");
        assert!(error.contains(message), "{to}: {error}");
    }
    let error = refused("cores = 4", "cores = 4\ncolour = 1");
    assert!(error.contains("line 11, column 1: unknown field `colour`, expected"), "{error}");
    // What a file holds does not steer the terminal, and does not fill it.
    let error = refused("cores = 4", &format!("\"\\u001b[2J{}\" = 4", "x".repeat(50_000)));
    assert!(!error.chars().any(char::is_control) && error.len() < 1_000, "{error}");
}

#[test]
fn values_that_cannot_be_are_refused_by_field() {
    let cases = [
        ("slug = \"small\"", "slug = \"Small board\"", "`slug` is `Small board`"),
        ("slug = \"small\"", "slug = \"../etc\"", "`slug` is `../etc`"),
        ("name = \"Small\"", "name = \"\"", "`name` is ``"),
        ("name = \"Small\"", "name = \"\\u001b[2J\"", "`name` is `\\u{1b}[2J`"),
        ("\"p1234-5678\"", "\"p1234-567\"", "`match.modules` is `p1234-567`"),
        ("\"p1234-5678\"", "\"p1234-5678\", \"p1234-5678\"", "each entry once"),
        ("soc = \"tegra999\"", "soc = \"te gra\"", "`match.soc`"),
        ("cores = 4", "cores = 0", "`cpu.cores` is `0`, expected 1 to 4096"),
        ("cores = 4", "cores = 4000000000", "`cpu.cores`"),
        ("\"8.7\"", "\"eight\"", "`gpu.compute_capability` is `eight`"),
        ("\"8.7\"", "\"8.7.1\"", "`gpu.compute_capability`"),
        ("\"8.7\"", "\"+8.7\"", "`gpu.compute_capability`"),
        ("cores = 128", "cores = 4000000000", "`gpu.cores`"),
        ("\"4GiB\"", "\"4 elephants\"", "`memory.size` is `4 elephants`"),
        ("\"4GiB\"", "\"0GiB\"", "`memory.size`"),
        ("\"4GiB\"", "\"9000TiB\"", "`memory.size`"),
        ("also = [\"8GiB\"]", "also = [\"4GiB\"]", "`memory.also`"),
        ("also = [\"8GiB\"]", "also = [\"8GiB\", \"6GiB\"]", "`memory.also`"),
        ("bandwidth_gbs = 10.0", "bandwidth_gbs = nan", "`memory.bandwidth_gbs` is `NaN`"),
        ("bandwidth_gbs = 10.0", "bandwidth_gbs = -1.0", "`memory.bandwidth_gbs`"),
        ("bandwidth_gbs = 10.0", "bandwidth_gbs = 1e300", "`memory.bandwidth_gbs`"),
        ("total_rail = \"IN\"", "total_rail = \"IN\"\nsum_rails = [\"A\"]", "`power.sum_rails`"),
        ("total_rail = \"IN\"", "sum_rails = []", "`power.sum_rails`"),
        ("scope = \"module\"\n", "", "`power.scope`"),
        ("bench_mode = \"LOW\"", "bench_mode = \"MIDDLE\"", "`power.bench_mode` is `MIDDLE`"),
        ("evidence = 2", "evidence = 4", "`keys.evidence` is `4`"),
        ("l4t = [35, 36]", "l4t = [36, 35]", "`software.l4t`"),
        ("cuda = \"12.6\"", "cuda = \"twelve\"", "`software.cuda` is `twelve`"),
        (
            "memory = \"2GiB\"",
            "memory = \"5GiB\"",
            "`limits.memory` is `5GiB`, expected no more than",
        ),
        ("celsius = 80.0", "celsius = 8000.0", "`limits.celsius` is `8000`, expected 20 to 120"),
        ("celsius = 80.0", "celsius = nan", "`limits.celsius`"),
        ("cpu = \"nowhere\"", "cpu = \"\"", "`sources.\"cpu\"`"),
    ];
    for (from, to, message) in cases {
        let error = refused(from, to);
        assert!(error.contains(message), "{to}: {error}");
        assert!(!error.chars().any(|c| c.is_control()), "{error:?}");
    }
}

#[test]
fn a_text_of_any_length_or_kind_is_refused_and_breaks_nothing() {
    let long = format!("{SMALL}# {}\n", "x".repeat(70_000));
    let error = Profile::parse(&long, "some.toml").unwrap_err();
    assert!(matches!(error, BoardError::TooLong { most: 65_536, .. }), "{error}");
    let many =
        |count: usize| (0..count).map(|at| format!("\"m{at}\"")).collect::<Vec<_>>().join(", ");
    assert!(refused("\"LOW\", \"HIGH\"", &many(65)).contains("65 entries"));
    assert!(
        refused("\"HIGH\"", &format!("\"{}\"", "M".repeat(101))).contains("1 to 100 characters")
    );
    for deep in ["[".repeat(60_000), "a = ".to_string() + &"[".repeat(60_000), "{".repeat(60_000)] {
        assert!(Profile::parse(&deep, "some.toml").is_err());
    }
    // Cut short anywhere, or with a byte that is another: refused or taken, never a panic.
    for at in 0..SMALL.len() {
        drop(Profile::parse(&SMALL[..at], "cut"));
        let mut bytes = SMALL.as_bytes().to_vec();
        bytes[at] = b"\"[]=\n0x\0"[at % 8];
        drop(Profile::parse(std::str::from_utf8(&bytes).unwrap(), "another byte"));
    }
}

#[cfg(unix)]
mod capture {
    use super::{boards, files};
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::process::Command;

    fn capture(root: &Path, out: &Path) -> (bool, String) {
        let script = boards().join("capture.sh");
        let run = Command::new("sh").arg(script).arg(root).arg(out).output().unwrap();
        (run.status.success(), String::from_utf8(run.stdout).unwrap())
    }

    #[test]
    fn a_tree_that_is_captured_again_is_the_same() {
        for slug in ["jetson-orin-nano-8gb", "jetson-nano"] {
            let root = boards().join(slug).join("fixture");
            let folder = tempfile::tempdir().unwrap();
            let out = folder.path().join("out");
            assert!(capture(&root, &out).0);
            let (mut before, mut after) = (files(&root), files(&out));
            assert!(before.remove("SOURCES.md").is_some() && after.remove("SOURCES.md").is_some());
            assert_eq!(before, after, "{slug}");
            assert!(!capture(&root, &out).0, "a folder that is there is not written into");
        }
    }

    #[test]
    fn links_become_folders_and_what_is_of_one_machine_stays_behind() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let write = |path: &str, content: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        write("proc/device-tree/model", "Box 00:04:4b:0a:b1:c2\0");
        write("proc/device-tree/compatible", "nvidia,p3767-0005\0nvidia,serial-1421234567890\0");
        write("proc/device-tree/serial-number", "1421234567890\0");
        write("etc/nv_tegra_release", "# R36 (release) 123e4567-e89b-12d3-a456-426614174000\n");
        write(
            "etc/nvpmodel.conf",
            "# a comment\n< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n",
        );
        write("etc/hostname", "kitchen\n");
        write("proc/cpuinfo", "CPU part\t: 0xd42\n\nSerial\t\t: 10000000abcdef12\n");
        write("sys/devices/i2c/1-0040/hwmon/hwmon3/in1_label", "VDD_IN\n");
        fs::create_dir_all(root.join("sys/bus/i2c/drivers/ina3221")).unwrap();
        let link = root.join("sys/bus/i2c/drivers/ina3221/1-0040");
        symlink("../../../../devices/i2c/1-0040", link).unwrap();
        let out = folder.path().join("out");
        let (done, told) = capture(&root, &out);
        assert!(done && told.contains("sys/class/devfreq/*/cur_freq: not there"), "{told}");
        let files = files(&out);
        let text = |path: &str| String::from_utf8(files[path].clone()).unwrap();
        assert_eq!(text("proc/device-tree/model"), "Box removed-address\0");
        assert_eq!(
            text("proc/device-tree/compatible"),
            "nvidia,p3767-0005\0nvidia,serial-removed-number\0"
        );
        assert_eq!(text("etc/nv_tegra_release"), "# R36 (release) removed-uuid\n");
        assert_eq!(text("etc/nvpmodel.conf"), "< POWER_MODEL ID=0 NAME=15W >\n");
        assert_eq!(text("sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3/in1_label"), "VDD_IN\n");
        assert_eq!(text("proc/cpuinfo"), "CPU part\t: 0xd42\n");
        assert_eq!(files.len(), 7, "and SOURCES.md: {:?}", files.keys());
        assert!(told.contains("replaced in:\n  proc/device-tree/compatible"), "{told}");
    }
}
