//! Defends README's table of the paper's rows: every command that it lists does what it says, on the
//! model of its first row. The depth of each row is in a test of its own; this holds that each is
//! reachable as README tells.

mod common;

use std::fs;
use std::path::Path;

use common::program::{folder, json};
use serde_json::Value;

/// The commands of row `number`, as README lists them, without the name of the program.
fn commands(number: usize) -> Vec<String> {
    let readme = include_str!("../README.md");
    let start = format!("| {number} | ");
    let row = readme.lines().find(|line| line.starts_with(&start)).unwrap();
    row.split('`').filter_map(|code| code.strip_prefix("unlearn ")).map(String::from).collect()
}

/// Runs the commands of a row beside the first row's model, and gives what each told.
fn row(number: usize) -> (tempfile::TempDir, Vec<Value>) {
    let home = folder();
    prepare(home.path());
    let told: Vec<Value> = commands(number).iter().map(|words| json(home.path(), words)).collect();
    assert!(!told.is_empty(), "README lists no command in row {number}");
    (home, told)
}

/// What the table's commands find beside them: SVHN's layout, another task, an experiment.
fn prepare(home: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::create_dir(home.join("svhn")).unwrap();
    for name in ["train_32x32.mat", "test_32x32.mat"] {
        fs::copy(root.join("tests/reference/svhn").join(name), home.join("svhn").join(name))
            .unwrap();
    }
    common::stripes::write(&home.join("stripes"));
    // The ready file, with one seed and one mask less.
    let text = fs::read_to_string(root.join("benches/experiments/made.toml")).unwrap();
    let text = text.replace("seeds = [1, 2]", "seeds = [1]");
    fs::write(home.join("made.toml"), text).unwrap();
}

fn sparsity(home: &Path, file: &str) -> f64 {
    json(home, &format!("inspect {file}"))["sparsity_percent"].as_f64().unwrap()
}

/// A figure of the model after forgetting, in percent.
fn figure(told: &Value, name: &str, figure: &str) -> f64 {
    let models = told["models"].as_array().unwrap();
    let model = models.iter().find(|model| model["name"] == name).unwrap();
    model["report"][figure]["value"].as_f64().unwrap()
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 0.1, "{found}, expected {expected}");
}

#[test]
fn row_01_dense_training() {
    let (_home, told) = row(1);
    assert_eq!(told[0]["epochs"].as_array().unwrap().len(), 2);
    assert!(told[0]["test_accuracy"]["value"].as_f64().unwrap() > 20.0);
}

#[test]
fn row_02_one_shot_and_iterative_magnitude() {
    let (home, _) = row(2);
    near(sparsity(home.path(), "omp.esm"), 90.0);
    near(sparsity(home.path(), "imp.esm"), 36.0);
}

#[test]
fn row_03_synflow() {
    let (home, _) = row(3);
    near(sparsity(home.path(), "synflow.esm"), 90.0);
}

#[test]
fn row_04_random_masks() {
    let (home, _) = row(4);
    near(sparsity(home.path(), "random.esm"), 90.0);
}

#[test]
fn row_05_snip_grasp_structured_and_patterns() {
    let (home, _) = row(5);
    near(sparsity(home.path(), "snip.esm"), 90.0);
    near(sparsity(home.path(), "grasp.esm"), 50.0);
    assert!((30.0..70.0).contains(&sparsity(home.path(), "filters.esm")));
    assert!((30.0..=50.0).contains(&sparsity(home.path(), "pattern.esm")));
}

#[test]
fn row_06_retraining() {
    let (_home, told) = row(6);
    assert_eq!(figure(&told[0], "after", "ua"), 100.0, "{}", told[0]);
    // An early epoch knew the class, so a rewound start is no retraining from scratch.
    assert!(figure(&told[1], "after", "ua") > figure(&told[1], "before", "ua"), "{}", told[1]);
}

#[test]
fn row_07_fine_tuning() {
    let (_home, told) = row(7);
    assert!(figure(&told[0], "after", "ua") >= figure(&told[0], "before", "ua"));
    assert_eq!(told[0]["epochs"].as_array().unwrap().len(), 1);
}

#[test]
fn row_08_gradient_ascent() {
    let (_home, told) = row(8);
    assert!(told[0]["method"]["gradient-ascent"]["alpha"].as_f64().unwrap() > 0.0);
}

#[test]
fn row_09_fisher() {
    let (_home, told) = row(9);
    // A class that is wholly gone loses its row of the head.
    assert_eq!(figure(&told[0], "after", "ua"), 100.0, "{}", told[0]);
}

#[test]
fn row_10_influence() {
    let (home, told) = row(10);
    let id = |file: &str| json(home.path(), &format!("inspect {file}"))["id"].clone();
    assert_ne!(id("influence.esm"), id("released.esm"));
    assert_eq!(told[1]["method"]["influence"]["compat"], true);
}

#[test]
fn row_11_l1_sparse() {
    let (_home, told) = row(11);
    assert!(told[0]["dropped_weights"].as_u64().unwrap() > 0, "{}", told[0]);
}

#[test]
fn row_12_pruning_while_forgetting() {
    let (home, told) = row(12);
    assert!(told[0]["dropped_weights"].as_u64().unwrap() > 0, "{}", told[0]);
    assert!(sparsity(home.path(), "pruned.esm") > 10.0);
}

#[test]
fn row_13_earlier_and_later_methods() {
    let (home, told) = row(13);
    assert!(sparsity(home.path(), "rewind.esm") > 10.0);
    near(sparsity(home.path(), "ascended.esm"), 95.0);
    let names = ["l1-prune-rewind", "prune-while", "salun", "scrub", "ssd"];
    for (told, name) in told.iter().zip(names) {
        assert!(told["method"][name].is_object(), "{told}");
    }
}

#[test]
fn row_14_smoothed_and_flat_retraining() {
    let (_home, told) = row(14);
    for told in told {
        assert_eq!(figure(&told, "after", "ua"), 100.0, "{told}");
    }
}

#[test]
fn row_15_prune_first_then_forget() {
    let (home, _) = row(15);
    // The mask outlives every update.
    near(sparsity(home.path(), "gone.esm"), 90.0);
}

#[test]
fn row_16_scenarios() {
    let (_home, told) = row(16);
    let counts: Vec<_> = told.iter().map(|told| told["forget_samples"].as_u64().unwrap()).collect();
    // Of 1,920 samples in ten classes.
    assert!((380..390).contains(&counts[0]) && (46..51).contains(&counts[1]), "{counts:?}");
    assert_eq!(counts[2], 100);
}

#[test]
fn row_17_data_sets() {
    let (_home, told) = row(17);
    assert!(told[0].to_string().contains("SVHN"), "{}", told[0]);
}

#[test]
fn row_18_networks() {
    let (_home, told) = row(18);
    assert!(told[0]["step_seconds"].as_f64().unwrap() > 0.0);
    let known: Vec<&str> = unlearn::model::builtin_names().collect();
    for name in [
        "resnet18", "resnet20", "resnet44", "resnet50", "resnet56", "vgg16-bn", "vit-tiny",
        "swin-t",
    ] {
        assert!(known.contains(&name), "{name} is not among {known:?}");
    }
}

#[test]
fn row_19_metrics() {
    let (_home, told) = row(19);
    let text = told[0].to_string();
    for word in ["correctness", "confidence", "entropy", "m_entropy", "prob", "privacy"] {
        assert!(text.contains(word), "no {word} in {text}");
    }
    assert_eq!(told[2]["models"][0]["report"]["va"]["of"], "validation");
}

#[test]
fn row_20_gaps_over_seeds() {
    let (home, _) = row(20);
    let table = fs::read_to_string(home.path().join("table/table.txt")).unwrap();
    assert!(table.contains("l1-sparse") && table.contains("retrain"), "{table}");
}

#[test]
fn row_21_thresholds_and_distances() {
    let (_home, told) = row(21);
    let text = told[1].to_string();
    assert!(text.contains("thresholds") && text.contains("weight_distance"), "{text}");
}

#[test]
fn row_22_cleansing_a_backdoor() {
    let (_home, told) = row(22);
    assert!(told[1]["attack_success"].to_string().contains("others"), "{}", told[1]);
}

#[test]
fn row_23_transfer() {
    let (_home, told) = row(23);
    assert!(told[0]["test_accuracy"]["value"].as_f64().unwrap() > 50.0, "{}", told[0]);
}

#[test]
fn row_24_checkpoints() {
    let (home, _) = row(24);
    assert!(home.path().join("kept.rewind.esm").exists());
    assert!(!home.path().join("kept.checkpoint.esm").exists(), "it is gone once the file is there");
}

#[test]
fn row_25_seconds_and_memory() {
    let (_home, told) = row(25);
    assert!(told[0]["step_seconds"].as_f64().unwrap() > 0.0);
    assert!(told[0]["peak_bytes"].as_u64().unwrap() > 0);
}

#[test]
fn row_26_reference_numbers() {
    let results = include_str!("../benches/RESULTS.md");
    assert!(results.contains("From the released code's checkpoint"), "their row is missing");
}
