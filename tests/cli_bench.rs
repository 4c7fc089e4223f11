//! Defends what scripts read from `unlearn bench`, and that what is measured is what was asked for.

mod common;

use std::fs;

use common::program::{Said, command, done, folder, json, judged, refused};
use serde_json::Value;

fn same_keys(value: &Value, expected: &str) {
    let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("no number `{key}` in {value}"))
}

#[test]
fn the_keys_of_every_measurement_stay_what_scripts_know() {
    let home = folder();
    let step = "bench step --model cnn16 --batch 17 --sparsity 0.9 --repetitions 3 --threads 1";
    let step = json(home.path(), step);
    same_keys(
        &step,
        "command model device threads batch micro_batch recompute train sparsity_percent \
         sparsity_of allocation method plan instruction_set warm_up repetitions step_seconds \
         step_seconds_min step_seconds_max peak_bytes memory measured_peak_bytes device_bytes \
         weights macs macs_dense notes void machine",
    );
    same_keys(
        &step["machine"],
        "board power_mode seconds readings joules energy_covers hottest_celsius throttled held_back paused_seconds",
    );
    same_keys(&step["memory"], "activations indices weights gradient momentum undo samples");
    let latency = json(home.path(), "bench latency --model base.esm --repetitions 3");
    same_keys(
        &latency,
        "command model device threads batch sparsity_percent sparsity_of allocation plan \
         instruction_set warm_up repetitions median_ns p95_ns p99_ns min_ns max_ns \
         peak_bytes device_bytes macs macs_dense notes void machine",
    );
    let load = json(home.path(), "bench load --model base.esm --repetitions 3");
    same_keys(
        &load,
        "command file file_bytes device threads plan warm_up repetitions load_seconds \
         load_seconds_min load_seconds_max first_prediction_seconds phase_seconds \
         device_seconds ways notes void machine",
    );
    same_keys(&load["phase_seconds"], "open verify read plan first_prediction");
    assert!(latency["device_bytes"].is_null() && load["device_seconds"].is_null());
    for told in [&latency, &load] {
        assert_eq!(told["device"], "cpu");
        assert!(told["plan"].as_str().unwrap().starts_with("cpu/"), "{told}");
    }
    assert_eq!(load["file_bytes"], fs::metadata(home.path().join("base.esm")).unwrap().len());
    for word in ["step", "latency", "load"] {
        let help = done(home.path(), &format!("bench {word} --help"));
        assert!(help.contains(&format!("Example: unlearn bench {word}")), "{help}");
    }
}

#[test]
fn durations_are_in_order_and_the_peak_is_the_sum_of_its_kinds() {
    let home = folder();
    let step = json(home.path(), "bench step --model cnn16 --batch 32 --repetitions 5");
    assert!(number(&step, "step_seconds_min") > 0.0);
    assert!(number(&step, "step_seconds_min") <= number(&step, "step_seconds"));
    assert!(number(&step, "step_seconds") <= number(&step, "step_seconds_max"));
    let kinds = step["memory"].as_object().unwrap().values();
    let sum: u64 = kinds.map(|bytes| bytes.as_u64().unwrap()).sum();
    assert_eq!(step["peak_bytes"], sum);
    let latency = json(home.path(), "bench latency --model cnn16 --repetitions 20");
    let [min, median, p95, p99, max] =
        ["min_ns", "median_ns", "p95_ns", "p99_ns", "max_ns"].map(|key| number(&latency, key));
    assert!(0.0 < min && min <= median && median <= p95 && p95 <= p99 && p99 <= max, "{latency}");
}

#[test]
fn the_network_is_as_sparse_as_was_asked_for_and_a_file_brings_its_masks() {
    let home = folder();
    for allocation in ["uniform", "erk", "global"] {
        let words = format!(
            "bench step --model cnn16 --batch 16 --sparsity 0.9 --repetitions 1 --allocation {allocation}"
        );
        let step = json(home.path(), &words);
        assert!((number(&step, "sparsity_percent") - 90.0).abs() < 0.5, "{step}");
        assert!(number(&step, "macs") < 0.5 * number(&step, "macs_dense"), "{step}");
        // What a magnitude over chance means is said where it stands.
        let noted = step["notes"].as_array().unwrap().len();
        assert_eq!(noted, usize::from(allocation == "global"), "{step}");
    }
    let dense = json(home.path(), "bench step --model cnn16 --batch 16 --repetitions 1");
    assert_eq!(dense["macs"], dense["macs_dense"]);
    let words = "prune --model base.esm --data made --sparsity 0.8 --rewind none --epochs 0";
    done(home.path(), &format!("{words} --out p.esm"));
    let seen = json(home.path(), "inspect p.esm");
    for words in ["--model p.esm", "--model cnn16 --sparsity 0.8 --allocation p.esm"] {
        let step = json(home.path(), &format!("bench step {words} --batch 16 --repetitions 1"));
        for key in ["macs", "macs_dense", "sparsity_percent"] {
            assert_eq!(step[key], seen[key], "{words}: {key}");
        }
        assert_eq!(step["allocation"], "p.esm");
    }
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let home = folder();
    for (words, code, phrases) in [
        ("step --model cnn16 --device gpu", 2, &["gpu", "cuda"][..]),
        ("step --model cnn16 --batch 0", 2, &["--batch is 0"]),
        ("step --model cnn16 --repetitions 0", 2, &["--repetitions is 0"]),
        ("step --model cnn16 --batch 16 --micro-batch 17", 2, &["--micro-batch is 17", "16"]),
        ("step --model cnn17", 2, &["cnn17", "cnn16"]),
        ("step --model cnn16 --allocation random", 2, &["random", "uniform", "erk"]),
        ("step --model cnn16 --allocation nowhere.esm", 3, &["nowhere.esm"]),
        ("step --model mlp --allocation base.esm", 2, &["cnn16", "mlp"]),
        ("step --model cnn16 --sparsity 0.9 --allocation base.esm", 2, &["0.9", "0.0000"]),
        ("step --model cnn16 --sparsity nan", 2, &["sparsity", "NaN"]),
        ("latency --model cnn16 --sparsity 1", 2, &["sparsity is 1"]),
        ("load --model cnn16", 3, &["cnn16"]),
        ("load --model out.esm", 3, &["out.esm"]),
    ] {
        refused(home.path(), &format!("bench {words}"), code, phrases);
    }
}

/// A result of `bench all` with one row, as far as `compare` reads it.
fn result(board: &str, seconds: f64, void: bool) -> String {
    let words = "bench step --model kws-cnn --batch 32 --sparsity 0.9";
    serde_json::json!({
        "command": "bench all", "version": "0.1.0", "threads": 2,
        "board": { "slug": board, "name": "A board", "power": { "mode": "15W" },
                   "cpu": { "governor": "performance", "isa": "neon" } },
        "rows": [{ "words": words, "void": void,
                   "result": { "command": "bench step", "step_seconds": seconds, "peak_bytes": 1000 } }],
    })
    .to_string()
}

#[test]
fn two_results_are_put_side_by_side_with_what_makes_them_different() {
    let home = folder();
    let write = |name: &str, text: &str| fs::write(home.path().join(name), text).unwrap();
    write("a.json", &result("one", 0.2, false));
    write("b.json", &result("one", 0.1, false));
    write("void.json", &result("two", 0.1, true));
    let told = json(home.path(), "bench compare a.json b.json");
    assert_eq!(told["differences"], serde_json::json!([]));
    assert_eq!((&told["rows"][0]["ratio"], &told["rows"][1]["ratio"]), (&0.5.into(), &1.0.into()));
    let told = json(home.path(), "bench compare a.json void.json");
    assert_eq!(told["differences"], serde_json::json!(["board: A one, B two"]));
    assert!(told["rows"][0]["ratio"].is_null(), "a void row is compared with nothing: {told}");
    let page = done(home.path(), "bench compare a.json b.json");
    assert!(page.contains("200.000 ms  100.000 ms  0.500"), "{page}");
    write("other.json", &result("one", 0.1, false).replace("kws-cnn", "har-cnn"));
    let told = json(home.path(), "bench compare a.json other.json");
    assert_eq!(told["alone"].as_array().unwrap().len(), 4, "{told}");
    write("no.json", "{}");
    for (words, code, phrases) in [
        ("compare a.json no.json", 2, &["no.json", "bench all"][..]),
        ("compare a.json base.esm", 2, &["base.esm", "bench all"]),
        ("compare a.json nowhere.json", 3, &["nowhere.json"]),
        ("all --quick --out out.esm", 4, &["out.esm"]),
    ] {
        refused(home.path(), &format!("bench {words}"), code, phrases);
    }
}

/// A table that packs from this reuse on, in every pass.
fn table(least: &str) -> String {
    let isa = unlearn::sparse::Isa::best().name();
    format!(
        "isa = \"{isa}\"\n[packs-from]\nforward = {least}\ninput-gradient = {least}\nweight-gradient = {least}\n"
    )
}

#[test]
fn a_machine_measures_a_table_of_kernels_and_every_command_goes_by_it() {
    let home = folder();
    let tuned = json(home.path(), "bench tune --out kernels.toml --repetitions 1");
    same_keys(&tuned, "command what file plan threads before packs_from cells void machine");
    let cells = tuned["cells"].as_array().unwrap();
    assert!(cells.len() > 50, "{tuned}");
    for cell in cells {
        same_keys(cell, "layer density pass reuse streamed_seconds packed_seconds packed");
        let key = cell["pass"].as_str().unwrap().replace(' ', "_");
        let least = tuned["packs_from"][&key].as_f64().unwrap_or(f64::INFINITY);
        assert_eq!(cell["packed"], number(cell, "reuse") >= least, "{cell}");
    }
    // Names a table, then runs.
    let under = |file: &str, words: &str| -> Said {
        command(home.path(), words).env("UNLEARN_KERNELS", file).output().unwrap().into()
    };
    assert_eq!(under("kernels.toml", "inspect base.esm").code, Some(0));
    done(
        home.path(),
        "prune --model base.esm --data made --sparsity 0.5 --epochs 0 --rewind none --out p.esm",
    );
    let mut plans = Vec::new();
    for (file, least) in [("all.toml", "0.0"), ("none.toml", "inf")] {
        fs::write(home.path().join(file), table(least)).unwrap();
        let said = under(file, "inspect p.esm --plan --json");
        let told: Value = serde_json::from_str(&said.out).unwrap();
        let kernels = told["layers"].to_string();
        assert_eq!(kernels.contains("packed"), least == "0.0", "{told}");
        let words = "forget --model p.esm --data made --scenario class=0 --method fine-tune --epochs 1 --no-measure";
        let said = under(file, &format!("{words} --out {least}.esm"));
        assert_eq!(said.code, Some(0), "{said:?}");
        let facts = json(home.path(), &format!("inspect {least}.esm"));
        plans.push(facts["facts"]["plan"].as_str().unwrap_or_else(|| panic!("{facts}")).to_owned());
    }
    assert!(
        plans[0].ends_with(" kernels=0/0/0") && plans[1].ends_with(" kernels=inf/inf/inf"),
        "{plans:?}"
    );

    for (text, phrases) in [
        (
            table("27.0").replace("isa = ", "isa = \"mips\" # "),
            &["wrong.toml", "mips", "bench tune"][..],
        ),
        (table("-1.0"), &["wrong.toml", "packs-from.forward", "-1"]),
        (table("27.0").replace("weight-gradient", "weight"), &["wrong.toml", "line 5", "weight"]),
    ] {
        fs::write(home.path().join("wrong.toml"), text).unwrap();
        judged("methods", &under("wrong.toml", "methods"), 2, phrases);
    }
    judged("methods", &under("nowhere.toml", "methods"), 2, &["UNLEARN_KERNELS", "nowhere.toml"]);
    refused(home.path(), "bench tune --out p.esm", 2, &["p.esm", ".toml"]);
}
