//! Defends what scripts read: the keys of each command's JSON, silence in a pipe, exit codes, and
//! that the figures told are those of the file that was written.
//!
//! Remembers: a full standard output passed for success, a closed standard error for a panic.

mod common;

use std::fs;
use std::process::Stdio;

use common::program::{Said, command, done, folder, json, run};
use serde_json::Value;

const COMMANDS: [&str; 25] = [
    "demo", "train", "prune", "forget", "evaluate", "shadow", "inspect", "diff", "verify",
    "methods", "board", "import", "export", "bench", "receipt", "init", "ingest", "adapt",
    "predict", "erase", "cancel", "resume", "status", "gc", "serve",
];

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn same_keys(value: &Value, expected: &str) {
    assert_eq!(keys(value), expected.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let home = folder();
    for word in COMMANDS {
        let help = done(home.path(), &format!("{word} --help"));
        assert!(help.contains(&format!("Example: unlearn {word}")), "{help}");
        assert!(help.contains("--json"), "{help}");
    }
    let help = done(home.path(), "--help");
    assert!(COMMANDS.iter().all(|word| help.contains(word)) && help.contains("Example:"));
}

#[test]
fn the_keys_of_every_result_stay_what_scripts_know() {
    let home = folder();
    let train = json(home.path(), "train --model cnn16 --data made --epochs 1 --out new.esm");
    same_keys(
        &train,
        "command file id file_bytes model data seed recipe plan test_accuracy seconds phase_seconds \
         epochs anchor warnings",
    );
    same_keys(&train["phase_seconds"], "open learn evaluate");
    let epoch = &train["epochs"][0];
    same_keys(epoch, "epoch loss accuracy rate gamma at_centre seconds phase_seconds");
    same_keys(&epoch["phase_seconds"], "load forward backward update");
    same_keys(&train["test_accuracy"], "value unit of samples interval95 definition");
    let prune = json(home.path(), "prune --model base.esm --data made --sparsity 0.9 --out p.esm");
    same_keys(
        &prune,
        "command file id file_bytes parent parent_bytes data sparsity_percent sparsity_of \
         allocation criterion iterations rewind recipe plan test_accuracy test_accuracy_before seconds epochs \
         anchor warnings",
    );
    let words = "forget --model p.esm --data made --scenario subject=p11 --epochs 1 --out f.esm";
    let forget = json(home.path(), words);
    same_keys(
        &forget,
        "command file id data model parent file_bytes scenario seed method tuned plan forget_samples \
         retain_samples test_samples dropped_weights rte_seconds machine models epochs anchor \
         warnings",
    );
    let words = "evaluate --model f.esm --data made --scenario subject=p11 --retrained p.esm";
    let evaluate = json(home.path(), words);
    same_keys(
        &evaluate,
        "command data scenario seed forget_samples retain_samples test_samples attack models \
         warnings weight_distance_to_retrained",
    );
    for model in [&forget["models"][1], &evaluate["models"][0]] {
        same_keys(
            model,
            "name file id file_bytes sparsity_percent sparsity_of report membership gap_to_retrained",
        );
    }
    let inspect = json(home.path(), "inspect p.esm");
    same_keys(
        &inspect,
        "command file id model classes file_bytes safetensors_f32_bytes weights weights_dense \
         sparsity_percent sparsity_of macs macs_dense layers sections facts provenance \
         anchor",
    );
    same_keys(
        &inspect["layers"][0],
        "name shape weights weights_dense density_percent macs macs_dense bytes kind dtype",
    );
    let verify = json(home.path(), "verify p.esm");
    same_keys(&verify, "command files");
    same_keys(&verify["files"][0], "file whole id file_bytes tensors signatures");
    let methods = json(home.path(), "methods");
    same_keys(&methods, "command methods");
    same_keys(&methods["methods"][0], "name summary needs_forget_data needs_retain_data passes");
}

#[test]
fn what_forget_told_is_what_evaluate_finds_in_the_file() {
    let home = folder();
    let scenario = "--data made --scenario random=0.1 --seed 3";
    let words = format!("forget --model base.esm {scenario} --epochs 1 --out f.esm");
    let mut told = json(home.path(), &words)["models"][1].clone();
    let found =
        json(home.path(), &format!("evaluate --model f.esm {scenario}"))["models"][0].clone();
    // Only `forget` knows how long it took.
    let report = told["report"].as_object_mut().unwrap();
    assert!(report.remove("rte").is_some());
    let mut measured = found["report"].clone();
    measured.as_object_mut().unwrap().remove("rte");
    assert_eq!(told["report"], measured);
    for key in ["id", "file", "file_bytes", "sparsity_percent", "membership"] {
        assert_eq!(told[key], found[key], "{key}");
    }
}

#[test]
fn inspect_shows_the_density_of_each_layer_and_they_add_up() {
    let home = folder();
    let words =
        "prune --model base.esm --data made --sparsity 0.9 --allocation uniform --out p.esm";
    done(home.path(), words);
    let seen = json(home.path(), "inspect p.esm");
    let layers = seen["layers"].as_array().unwrap();
    let sum = |key: &str| layers.iter().map(|layer| layer[key].as_u64().unwrap()).sum::<u64>();
    for key in ["weights", "weights_dense", "macs", "macs_dense"] {
        assert_eq!(seen[key].as_u64().unwrap(), sum(key), "{key}");
    }
    for layer in layers.iter().filter(|layer| layer["name"].as_str().unwrap().starts_with("conv")) {
        let density = layer["density_percent"].as_f64().unwrap();
        assert!((9.0..11.0).contains(&density), "{layer}");
    }
    let text = done(home.path(), "inspect p.esm");
    assert!(text.contains("density") && text.contains("conv4.weight"), "{text}");
}

#[test]
fn verify_passes_whole_files_and_fails_for_a_single_bit() {
    let home = folder();
    let mut bytes = fs::read(home.path().join("base.esm")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(home.path().join("bad.esm"), bytes).unwrap();
    let whole = done(home.path(), "verify base.esm base.rewind.esm");
    assert_eq!(whole.matches(": whole, ").count(), 2, "{whole}");
    let said = run(home.path(), "verify base.esm bad.esm --json");
    assert_eq!((said.code, said.err.as_str()), (Some(1), "unlearn: 1 of 2 files failed\n"));
    let told: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (&told["files"][0]["whole"], &told["files"][1]["whole"]),
        (&true.into(), &false.into())
    );
    same_keys(&told["files"][1], "file whole fault");
}

#[test]
fn whoever_stops_reading_causes_no_panic_and_a_full_output_is_a_fault() {
    let home = folder();
    for words in ["inspect base.esm", "methods --json", "verify base.esm", "inspect --help"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(home.path(), words).stdout(writer).stderr(Stdio::piped()).output();
        let said: Said = output.unwrap().into();
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{words}: {said:?}");
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command(home.path(), "inspect nowhere.esm").stderr(writer).output();
    assert_eq!(output.unwrap().status.code(), Some(3), "a closed standard error");
    let Ok(full) = fs::File::options().write(true).open("/dev/full") else {
        eprintln!("SKIPPED: a full output, because there is no /dev/full");
        return;
    };
    let output = command(home.path(), "inspect base.esm").stdout(full).output();
    let said: Said = output.unwrap().into();
    assert_eq!(said.code, Some(4), "{said:?}");
    assert!(said.err.contains("cannot be written to standard output"), "{said:?}");
}
