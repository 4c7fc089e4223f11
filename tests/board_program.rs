//! Defends `unlearn board`: a machine is told as its files say it, from a folder as from `/`; a log of
//! tegrastats is told with its energy; and what cannot be looked at is refused by name.

mod board {
    mod trees;
}
mod common;

use std::fs;
use std::path::Path;

use common::program::{done, json, refused};
use serde_json::{Value, json as value};
use tempfile::TempDir;

fn keys(value: &Value, expected: &str) {
    let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
}

/// A folder in which `boards` is the repository's.
fn home() -> TempDir {
    let home = TempDir::new().unwrap();
    let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("boards");
    std::os::unix::fs::symlink(boards, home.path().join("boards")).unwrap();
    home
}

#[test]
fn a_board_is_told_from_its_files() {
    let home = home();
    let told = json(home.path(), "board --sysroot boards/jetson-orin-nano-8gb/fixture");
    keys(
        &told,
        "command slug name tier recognised module soc model l4t kernel sysroot warnings cpu gpu cuda \
         memory storage keys software limits power thermal throttle",
    );
    keys(&told["cpu"], "cores model online governor clocks isa");
    keys(&told["gpu"], "architecture compute_capability cores tensor_cores usable used load hertz");
    keys(&told["memory"], "built_bytes bandwidth_gbs total_bytes available_bytes hertz");
    keys(&told["power"], "mode modes bench_mode measured watts scope of rails energy");
    keys(&told["power"]["rails"][0], "name watts over_current");
    keys(&told["thermal"], "hottest zones");
    keys(&told["thermal"]["hottest"], "name celsius constant");
    keys(&told["throttle"], "counters cooling");
    assert_eq!(
        (&told["slug"], &told["module"], &told["soc"], &told["warnings"]),
        (&value!("jetson-orin-nano-8gb"), &value!("p3767-0005"), &value!("tegra234"), &value!([]))
    );
    assert_eq!(told["l4t"], value!({ "major": 36, "revision": "4.3" }));
    assert_eq!(told["recognised"]["by"], "module");
    assert_eq!(told["cuda"], Value::Null, "another machine's driver cannot be asked");
    let power = &told["power"];
    assert_eq!(
        (&power["watts"], &power["scope"], &power["of"], &power["mode"]),
        (&value!(7.55136), &value!("module"), &value!(["VDD_IN"]), &value!("MAXN_SUPER"))
    );
    assert_eq!(power["modes"], value!(["15W", "25W", "MAXN_SUPER", "7W"]));
    assert_eq!(told["memory"]["built_bytes"], 8u64 << 30);
    assert_eq!((&told["gpu"]["used"], &told["gpu"]["load"]), (&value!(true), &value!(0.999)));
}

#[test]
fn the_page_fits_80_columns_and_says_what_matters() {
    let home = home();
    let page = |words: &str| {
        let text = done(home.path(), &format!("board {words}"));
        for line in text.lines() {
            assert!(
                line.chars().count() <= 80,
                "{words}: {} columns: {line}",
                line.chars().count()
            );
        }
        text
    };
    let says = |text: &str, phrases: &[&str]| {
        // Where a line is broken does not matter.
        let text: Vec<&str> = text.split_whitespace().collect();
        let text = text.join(" ");
        for phrase in phrases {
            assert!(text.contains(phrase), "no `{phrase}` in {text}");
        }
    };
    says(
        &page("--sysroot boards/jetson-agx-orin-devkit/fixture"),
        &["VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0", "9.428 W for the module", "evidence level"],
    );
    let thor = page("--sysroot boards/jetson-t5000/fixture");
    says(&thor, &["27.422 W for the whole board: VIN", "120W, in which", "50.8 °C at tj-thermal"]);
    says(
        &page("--sysroot boards/hostile/no-power-monitor"),
        &["no power sensor: joules are not measured", "not on a board"],
    );
    says(&page("--sysroot boards/hostile/rail-missing"), &["no sum: not all of"]);
    let unknown = page("--sysroot boards/hostile/module-unknown");
    says(&unknown, &["beware", "--board FILE", "boards/capture.sh", "profile does not say which"]);
    for tree in fs::read_dir(home.path().join("boards/hostile")).unwrap() {
        let tree = tree.unwrap();
        if tree.path().is_dir() {
            page(&format!("--sysroot boards/hostile/{}", tree.file_name().to_str().unwrap()));
        }
    }
}

#[test]
fn this_machine_is_told_whatever_it_is() {
    let home = home();
    let told = json(home.path(), "board");
    assert_eq!(told["sysroot"], "/");
    assert!(told["memory"]["available_bytes"].as_u64().unwrap() > 0, "{told}");
    assert!(told["cpu"]["online"].as_u64().unwrap() > 0, "{told}");
    let page = done(home.path(), "board");
    assert!(page.contains("It allows"));
    // With a driver or without one: what is not there is said, and is no error.
    keys(&told["cuda"], "devices why");
    match told["cuda"]["why"].as_str() {
        Some(why) => assert!(!why.is_empty() && page.contains("\ncuda  "), "{why}\n{page}"),
        None => assert!(page.contains("\ncuda:0 "), "{page}"),
    }
}

#[test]
fn boards_are_listed_and_one_is_taken_by_name_or_from_a_file() {
    let home = home();
    let list = json(home.path(), "board --list");
    let list = list["boards"].as_array().unwrap().clone();
    assert!(list.iter().any(|board| board["slug"] == "sim" && board["tier"] == "fixture"));
    let text = done(home.path(), "board --list");
    assert_eq!(
        list.iter().filter(|b| text.contains(b["slug"].as_str().unwrap())).count(),
        list.len()
    );
    let fixture = "--sysroot boards/jetson-t5000/fixture";
    let named = json(home.path(), &format!("board {fixture} --board jetson-nano"));
    assert_eq!(
        (&named["slug"], &named["recognised"]["by"]),
        (&value!("jetson-nano"), &value!("named"))
    );
    let kinds: Vec<&str> =
        named["warnings"].as_array().unwrap().iter().map(|w| w["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["other-module", "other-soc", "other-release", "other-memory"]);
    assert_eq!(named["power"]["watts"], Value::Null, "a rail of the Nano is not there");
    let mine = "slug = \"mine\"\nname = \"Mine\"\ntier = \"spec\"\n[power]\ntotal_rail = \"VDD_GPU\"\nscope = \"module\"\n";
    fs::write(home.path().join("mine.toml"), mine).unwrap();
    let named = json(home.path(), &format!("board {fixture} --board mine.toml"));
    assert_eq!((&named["slug"], &named["power"]["of"]), (&value!("mine"), &value!(["VDD_GPU"])));
}

#[test]
fn a_log_is_told_with_the_energy_of_each_rail() {
    let home = home();
    let lines: String = [4000, 5000, 9000]
        .iter()
        .enumerate()
        .map(|(second, watts)| {
            format!("01-31-2026 23:59:5{second} RAM 1000/7620MB CPU [10%@1000,off] tj@46.5C VDD_IN {watts}mW/1mW\n")
        })
        .collect();
    fs::write(home.path().join("three.log"), &lines).unwrap();
    let told = json(home.path(), "board --import-tegrastats three.log");
    keys(&told, "command log lines seconds memory figures unknown");
    keys(&told["figures"][0], "kind name lines min mean max joules");
    assert_eq!((&told["lines"], &told["seconds"]), (&value!(3), &value!(2)));
    let rail = &told["figures"][0];
    assert_eq!(
        (&rail["kind"], &rail["name"], &rail["mean"], &rail["joules"]),
        (&value!("rail"), &value!("VDD_IN"), &value!(6.0), &value!(12.0))
    );
    let text = done(home.path(), "board --import-tegrastats three.log");
    assert!(text.contains("VDD_IN") && text.contains("12.0"), "{text}");
    fs::write(home.path().join("bad.log"), lines + "hello\n").unwrap();
    refused(home.path(), "board --import-tegrastats bad.log", 3, &["bad.log, line 4", "hello"]);
    refused(home.path(), "board --import-tegrastats none.log", 3, &["none.log"]);
}

#[test]
fn what_cannot_be_looked_at_is_refused_by_name() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("file"), "slug = 3\n").unwrap();
    let home = home.path();
    refused(home, "board --sysroot nowhere", 2, &["--sysroot nowhere", "not a folder"]);
    refused(home, "board --sysroot file", 2, &["not a folder"]);
    refused(
        home,
        "board --board jetson-nona",
        2,
        &["jetson-nona", "jetson-nano", "file of a profile"],
    );
    refused(home, "board --board file", 3, &["file", "line 1, column 8", "a string"]);
    refused(home, "board --list --sysroot x", 2, &["--list", "--sysroot"]);
}
