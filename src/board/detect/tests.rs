use std::fs;
use std::path::Path;

use super::*;

/// A made tree: each file with its bytes.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

const ORIN: &str = r#"
slug = "made-orin"
name = "A made Orin"
tier = "fixture"
[match]
modules = ["p3767-0003", "p3767-0005"]
soc = "tegra234"
[gpu]
architecture = "Ampere"
compute_capability = "8.7"
cores = 1024
tensor_cores = 32
usable = true
[memory]
size = "8GiB"
bandwidth_gbs = 68.0
[software]
l4t = [35, 36]
"#;

fn found(folder: &Path) -> Detected {
    among(&SysRoot::folder(folder), &[Profile::parse(ORIN, "made").unwrap()])
}

const COMPATIBLE: &str = "proc/device-tree/compatible";
const RELEASE: (&str, &str) = (
    "etc/nv_tegra_release",
    "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan\n",
);

#[test]
fn a_known_module_gives_its_board_on_any_carrier_and_with_any_ending() {
    for compatible in [
        "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0",
        "nvidia,p3767-0003\0nvidia,tegra234\0",
        "somebody,box\0nvidia,p3767-0005\0nvidia,tegra234\0",
        "somebody,p9999-0000+p3767-0003-b01\0nvidia,tegra234\0",
    ] {
        let model = "proc/device-tree/model";
        let files = [(COMPATIBLE, compatible), (model, "A Box\u{1b}[2J of Mine\0"), RELEASE];
        let found = found(tree(&files).path());
        assert_eq!(found.profile.slug, "made-orin", "{compatible:?}");
        assert_eq!(found.recognised, Recognised::Module(found.module.clone().unwrap()));
        assert_eq!(found.l4t.unwrap().to_string(), "R36.4.3");
        assert_eq!(found.model.as_deref(), Some("A Box [2J of Mine"), "a terminal would obey it");
        assert_eq!(found.warnings, []);
    }
}

#[test]
fn the_other_place_of_the_device_tree_does_as_well() {
    let compatible = "nvidia,p3767-0005\0nvidia,tegra234\0";
    let files = [("sys/firmware/devicetree/base/compatible", compatible), RELEASE];
    assert_eq!(found(tree(&files).path()).profile.slug, "made-orin");
}

#[test]
fn an_unknown_module_of_a_tegra_is_told_with_what_to_do() {
    let compatible = "nvidia,p3768-0000+p3999-0001-super\0nvidia,p3999-0001\0nvidia,tegra234\0";
    let found = found(tree(&[(COMPATIBLE, compatible), RELEASE]).path());
    assert_eq!(found.profile.slug, "generic-aarch64");
    let [warning] = &found.warnings[..] else { panic!("{:?}", found.warnings) };
    assert_eq!(warning.kind(), "unknown-module");
    let told = warning.to_string();
    for word in ["p3999-0001", "tegra234", "--board FILE", "boards/capture.sh"] {
        assert!(told.contains(word), "no {word} in {told}");
    }
}

#[test]
fn a_machine_that_is_no_jetson_gets_the_profile_of_its_processor_and_no_warning() {
    let arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 8\n";
    let x86 = "processor\t: 0\nvendor_id\t: GenuineIntel\n";
    let raspberry = (COMPATIBLE, "raspberrypi,4-model-b\0brcm,bcm2711\0");
    for (files, slug) in [
        (vec![("proc/cpuinfo", arm)], "generic-aarch64"),
        (vec![("proc/cpuinfo", arm), raspberry], "generic-aarch64"),
        (vec![("proc/cpuinfo", x86)], "generic-x86-64"),
    ] {
        let found = found(tree(&files).path());
        assert_eq!((found.profile.slug.as_str(), &found.warnings[..]), (slug, &[][..]));
    }
    let nothing = found(tree(&[]).path());
    assert!(nothing.profile.slug.starts_with("generic-") && nothing.warnings.is_empty());
}

#[test]
fn what_speaks_against_the_profile_is_told() {
    let files = [
        (COMPATIBLE, "nvidia,p3767-0005\0nvidia,tegra194\0"),
        ("etc/nv_tegra_release", "# R39 (release), REVISION: 2.0, GCID: 1\n"),
        ("proc/meminfo", "MemTotal:       16000000 kB\n"),
    ];
    let found = found(tree(&files).path());
    let kinds: Vec<&str> = found.warnings.iter().map(Warning::kind).collect();
    assert_eq!(kinds, ["other-soc", "other-release", "other-memory"]);
}

#[test]
fn a_release_that_is_not_told_is_none_and_a_warning_on_a_tegra_alone() {
    for text in
        ["", "R", "# R36", "# R36 (release), REVISION: , GCID", "# Rx, REVISION: 1", "\u{0}"]
    {
        let files = [
            (COMPATIBLE, "nvidia,p3767-0005\0nvidia,tegra234\0"),
            ("etc/nv_tegra_release", text),
            ("proc/version", "Linux version 5.15.148-tegra (buildbrain) (gcc) #1 SMP\n"),
        ];
        let found = found(tree(&files).path());
        assert_eq!(
            (found.l4t, found.kernel.as_deref()),
            (None, Some("5.15.148-tegra")),
            "{text:?}"
        );
        assert_eq!(found.warnings[0].kind(), "no-release");
        assert!(found.warnings[0].to_string().contains("5.15.148-tegra"));
    }
}

#[test]
fn a_profile_that_was_named_stands_and_the_machine_may_speak_against_it() {
    let profile = || Profile::parse(ORIN, "made").unwrap();
    let files = [(COMPATIBLE, "nvidia,p3701-0005\0nvidia,tegra234\0"), RELEASE];
    let folder = tree(&files);
    let found = detect_as(&SysRoot::folder(folder.path()), profile());
    assert_eq!((found.profile.slug.as_str(), found.recognised), ("made-orin", Recognised::Named));
    assert_eq!(found.warnings[0].kind(), "other-module");
    let bare = tree(&[]);
    assert_eq!(detect_as(&SysRoot::folder(bare.path()), profile()).warnings, []);
}

#[test]
fn the_gpu_is_believed_where_the_table_says_otherwise() {
    let files = [(COMPATIBLE, "nvidia,p3767-0005\0nvidia,tegra234\0"), RELEASE];
    let folder = tree(&files);
    let told = Capability { major: 8, minor: 7 };
    let facts = |capability, integrated, memory| GpuFacts {
        name: "Orin".into(),
        capability,
        integrated,
        unified_addressing: true,
        concurrent_managed_access: false,
        pageable_access: false,
        host_page_tables: false,
        memory,
    };
    let asked = |facts| found(folder.path()).probed(facts);
    assert_eq!(asked(None).capability(), Some(told), "the table, where nobody asked");
    let same = asked(Some(facts(told, true, 7_800_000_000)));
    assert_eq!((same.capability(), &same.warnings[..]), (Some(told), &[][..]));
    let newer = Capability { major: 11, minor: 0 };
    let other = asked(Some(facts(newer, true, 64 << 30)));
    let kinds: Vec<&str> = other.warnings.iter().map(Warning::kind).collect();
    assert_eq!(
        (other.capability(), kinds),
        (Some(newer), vec!["other-capability", "other-memory"])
    );
    let card = asked(Some(facts(told, false, 80 << 30)));
    assert_eq!(card.warnings[0].kind(), "not-integrated");
}
