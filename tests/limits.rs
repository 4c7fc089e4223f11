//! What a command may take of the machine: heat, share of time, energy and memory, by the sensors of a folder that
//! stands for a board. A pause changes no byte; what cannot be held is refused; energy is measured or not told.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use common::program::{Said, command, done, folder, json, refused};
use common::stage::{Server, Stage};
use serde_json::{Value, json as value};

const FORGET: &str =
    "forget --model base.esm --data made --scenario class=0 --epochs 2 --no-measure";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let to = to.join(entry.file_name().unwrap());
        if entry.is_dir() { copy(&entry, &to) } else { _ = fs::copy(entry, to).unwrap() }
    }
}

/// The simulated board, in `folder`: it takes 5 W, and is at 50 degrees.
fn sim(folder: &Path) -> PathBuf {
    let root = folder.join("sim");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("boards/sim/fixture"), &root);
    root
}

fn heat(root: &Path, celsius: u32) {
    let zone = root.join("sys/class/thermal/thermal_zone0/temp");
    fs::write(zone, format!("{celsius}000\n")).unwrap();
}

fn near(found: &Value, expected: f64) {
    let found = found.as_f64().unwrap();
    assert!((found / expected - 1.0).abs() < 0.02, "{found} J, expected {expected}");
}

#[test]
fn an_over_temperature_pauses_and_the_bytes_are_the_same() {
    let folder = folder();
    let root = sim(folder.path());
    let cool = json(folder.path(), &format!("{FORGET} --out cool.esm --sysroot sim"));
    assert_eq!(cool["machine"]["board"], "sim");
    assert_eq!(cool["machine"]["paused_seconds"]["heat"], 0.0);
    assert_eq!(cool["machine"]["energy_covers"], "board (SIM_IN)");
    near(&cool["machine"]["joules"], 5.0 * cool["machine"]["seconds"].as_f64().unwrap());
    heat(&root, 90);
    let mut hot = command(folder.path(), &format!("{FORGET} --out hot.esm --sysroot sim --json"));
    let mut hot = hot.stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(4));
    assert!(hot.try_wait().unwrap().is_none(), "it went on at 90 degrees; the board allows 80");
    assert!(!folder.path().join("hot.esm").exists());
    // Below the limit, and not yet far enough below it.
    heat(&root, 78);
    std::thread::sleep(Duration::from_millis(500));
    assert!(hot.try_wait().unwrap().is_none(), "it went on at 78 degrees");
    heat(&root, 70);
    let said = Said::from(hot.wait_with_output().unwrap());
    assert_eq!(said.code, Some(0), "{said:?}");
    let said: Value = serde_json::from_str(&said.out).unwrap();
    assert!(said["machine"]["paused_seconds"]["heat"].as_f64().unwrap() > 1.0, "{said}");
    assert_eq!(said["machine"]["hottest_celsius"], 90.0);
    let bytes = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(bytes("hot.esm") == bytes("cool.esm"), "a pause changed the model");
}

#[test]
fn what_no_sensor_can_hold_is_refused_and_spent_energy_ends_a_run() {
    let folder = folder();
    let root = sim(folder.path());
    let forget = |more: &str| format!("{FORGET} --out out.esm {more}");
    refused(folder.path(), &forget("--sysroot sim --max-joules 0.01"), 5, &["0.01", "no file"]);
    refused(folder.path(), &forget("--sysroot sim --max-joules -1"), 2, &["joules above 0"]);
    refused(folder.path(), &forget("--sysroot sim --max-celsius 400"), 2, &["20 to 120"]);
    refused(folder.path(), &forget("--sysroot sim --duty 0"), 2, &["0.01 to 1"]);
    refused(folder.path(), &forget("--sysroot nowhere"), 2, &["nowhere", "not a folder"]);
    refused(folder.path(), &forget("--board jetson-orin-nona"), 2, &["jetson-orin-nona"]);
    for gone in ["sys/bus", "sys/class/thermal"] {
        fs::remove_dir_all(root.join(gone)).unwrap();
    }
    refused(folder.path(), &forget("--sysroot sim --max-joules 9"), 2, &["no sensor of power"]);
    refused(folder.path(), &forget("--sysroot sim --max-celsius 80"), 2, &["no sensor of heat"]);
    let blind = json(folder.path(), &format!("{FORGET} --out blind.esm --sysroot sim"));
    assert!(blind["machine"]["joules"].is_null(), "{blind}");
}

#[test]
fn a_home_pauses_counts_energy_and_falls_back_when_none_is_left() {
    let (free, paced) = (Stage::new(), Stage::new());
    for stage in [&free, &paced] {
        sim(stage.path());
        done(stage.path(), "ingest --home home --input samples.jsonl");
    }
    let plain = json(free.path(), "adapt --home home --epochs 3 --batch 16 --sysroot sim");
    let words = "adapt --home home --epochs 3 --batch 16 --sysroot sim --duty 0.05";
    let slow = json(paced.path(), words);
    assert_eq!(plain["id"], slow["id"], "a pause changed the model");
    let pause = |value: &Value| value["machine"]["paused_seconds"]["duty"].as_f64().unwrap();
    assert!(pause(&plain) == 0.0 && pause(&slow) > 0.02, "{slow}");
    assert!(slow["joules"].as_f64().unwrap() > 0.0);
    let dry = "erase --home home --subject h2 --dry-run --sysroot sim";
    let plan = json(paced.path(), dry);
    for way in plan["plan"]["ways"].as_array().unwrap() {
        let seconds = ["seconds", "judging", "settling"].map(|part| way[part].as_f64().unwrap());
        near(&way["joules"], 5.0 * seconds.iter().sum::<f64>());
    }
    let told = done(paced.path(), &format!("{dry} --max-joules 0.001"));
    assert!(told.contains("may still be taken"), "{told}");
    let words = "erase --home home --subject h2 --sysroot sim --max-joules 0.001";
    let erased = json(paced.path(), words);
    assert_eq!(erased["erased"]["choice"], "reset");
    assert!(erased["erased"]["joules"].as_f64().unwrap() > 0.0, "{erased}");
    let list = json(paced.path(), "receipt list --home home");
    let file = list["receipts"][0]["file"].as_str().unwrap();
    let shown = done(paced.path(), &format!("receipt show {file}"));
    assert!(shown.contains(" J, board (SIM_IN)"), "{shown}");
    // Without sensors nothing is told, and no limit is taken.
    let erased = json(free.path(), "erase --home home --subject h2 --sysroot home --board sim");
    assert!(erased["erased"]["joules"].is_null(), "{erased}");
    let words = "erase --home home --subject h3 --sysroot home --max-joules 5";
    refused(free.path(), words, 2, &["--max-joules", "no sensor of power"]);
}

#[test]
fn who_has_the_home_keeps_to_its_own_limits() {
    let stage = Stage::new();
    sim(stage.path());
    done(stage.path(), "ingest --home home --input samples.jsonl");
    let mut server = command(stage.path(), "serve --home home --sysroot sim --duty 0.5");
    let server = Server::begin(server.stderr(Stdio::inherit()));
    let refusal = "adapt --home home --epochs 3 --batch 16 --duty 0.5";
    refused(stage.path(), refusal, 2, &["unlearn serve"]);
    let adapted = json(stage.path(), "adapt --home home --epochs 3 --batch 16");
    assert!(adapted["joules"].as_f64().unwrap() > 0.0, "{adapted}");
    let erased = Server::ask(&stage, &value!({ "command": "erase", "subjects": ["h2"] }));
    assert!(erased["result"]["erased"]["joules"].as_f64().unwrap() > 0.0, "{erased}");
    drop(server);
    let free = Stage::new();
    done(free.path(), "ingest --home home --input samples.jsonl");
    let plain = json(free.path(), "adapt --home home --epochs 3 --batch 16");
    assert_eq!(plain["id"], adapted["id"], "a worker that pauses makes other bytes");
}

#[test]
fn a_small_board_refuses_what_it_cannot_hold_with_the_numbers() {
    let folder = folder();
    let step = "bench step --model resnet50 --batch 256 --board jetson-orin-nano-4gb";
    let phrases = ["activations", "jetson-orin-nano-4gb lets a run have", "--micro-batch"];
    refused(folder.path(), step, 2, &phrases);
    let forget = format!("{FORGET} --out out.esm --memory 1MiB");
    refused(folder.path(), &forget, 2, &["--memory 1048.6 kB is too little"]);
    let dry = format!("{FORGET} --out new.esm --board jetson-orin-nano-4gb --dry-run");
    let told = json(folder.path(), &dry);
    assert!(told.to_string().contains("2147483648"), "{told}");
}

#[test]
fn a_row_during_which_the_machine_throttled_is_void() {
    let folder = folder();
    let root = sim(folder.path());
    let words = "bench latency --model cnn16 --repetitions 1500 --duty 0.05 --sysroot sim --json";
    let measure = || command(folder.path(), words).stdout(Stdio::piped()).spawn().unwrap();
    let told = |child: std::process::Child| -> Value {
        let said = Said::from(child.wait_with_output().unwrap());
        assert_eq!(said.code, Some(0), "{said:?}");
        serde_json::from_str(&said.out).unwrap()
    };
    let whole = told(measure());
    assert_eq!((&whole["void"], &whole["machine"]["throttled"]), (&value!(false), &value!([])));
    let counter = root.join("sys/class/hwmon/hwmon1/oc1_event_cnt");
    let count: u64 = fs::read_to_string(&counter).unwrap().trim().parse().unwrap();
    let mut child = measure();
    std::thread::sleep(Duration::from_millis(400));
    assert!(child.try_wait().unwrap().is_none(), "too short to be disturbed");
    fs::write(&counter, format!("{}\n", count + 2)).unwrap();
    let void = told(child);
    assert_eq!(void["void"], true, "{void}");
    assert_eq!(void["machine"]["throttled"][0]["count"], 2, "{void}");
    fs::write(root.join("sys/class/thermal/cooling_device0/cur_state"), "1\n").unwrap();
    let void = told(measure());
    assert_eq!(
        (&void["void"], &void["machine"]["held_back"]),
        (&value!(true), &value!(["cpufreq-cpu0"]))
    );
}
