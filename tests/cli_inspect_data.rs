//! Defends `unlearn inspect --data`: what is counted is what lies there, whoever reads it finds what
//! to beware of, and data that is none is refused by name.

mod common;

use std::fs;
use std::path::Path;

use common::program::{done, folder, json, refused};
use serde_json::{Value, json as value};
use tempfile::TempDir;

fn keys(value: &Value, expected: &str) {
    let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
}

/// Writes one part of an IDX set of 2x2 pictures, each of one shade.
fn idx(folder: &Path, part: &str, labels: &[u8], shades: &[u8]) {
    fs::create_dir_all(folder).unwrap();
    let count = (labels.len() as u32).to_be_bytes();
    let pixels: Vec<u8> = shades.iter().flat_map(|&shade| [shade; 4]).collect();
    let images = [&[0, 0, 8, 3][..], &count, &[0, 0, 0, 2, 0, 0, 0, 2], &pixels].concat();
    fs::write(folder.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
    let labels = [&[0, 0, 8, 1][..], &count, labels].concat();
    fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
}

#[test]
fn the_made_population_is_told_with_its_people_and_the_networks_that_take_it() {
    let home = TempDir::new().unwrap();
    let told = json(home.path(), "inspect --data made");
    keys(
        &told,
        "command data name kind extraction shape element train test data_digest classes \
         missing_in_test missing_in_train subjects channels repeats networks picture",
    );
    keys(&told["train"], "samples value_bytes kept_in groups");
    keys(&told["channels"][0], "low high mean std");
    keys(&told["repeats"], "test_in_train of_another_class within_train");
    assert_eq!(
        (&told["kind"], &told["shape"]),
        (&value!("the made population"), &value!([1, 16, 16]))
    );
    assert_eq!(
        (&told["train"]["samples"], &told["test"]["samples"]),
        (&value!(1920), &value!(960))
    );
    assert_eq!(told["classes"][0], value!({ "name": "zero", "train": 192, "test": 96 }));
    assert_eq!(told["subjects"].as_array().unwrap().len(), 24);
    assert_eq!(told["subjects"][10], value!({ "name": "p11", "train": 80, "test": 40 }));
    assert!(told["networks"].as_array().unwrap().contains(&value!("cnn16")), "{told}");
    let text = done(home.path(), "inspect --data made");
    for phrase in ["made: the made population", "1 x 16 x 16", "and 4 more", "cnn16", "p20"] {
        assert!(text.contains(phrase), "no `{phrase}` in {text}");
    }
    assert!(!text.contains("beware") && !text.contains("p21"), "{text}");
}

#[test]
fn the_digest_is_the_one_that_model_files_state() {
    let home = folder();
    let told = json(home.path(), "inspect --data made");
    let model = json(home.path(), "inspect base.esm");
    assert_eq!(told["data_digest"], model["facts"]["data_digest"]);
}

#[test]
fn what_to_beware_of_is_counted() {
    let home = TempDir::new().unwrap();
    // Class 2 is in no test sample. Test sample 0 is train sample 1, test sample 1 is train sample 0
    // under another label; train sample 3 is train sample 0.
    idx(&home.path().join("set"), "train", &[0, 1, 2, 0], &[10, 20, 30, 10]);
    idx(&home.path().join("set"), "t10k", &[1, 1, 0], &[20, 10, 40]);
    let told = json(home.path(), "inspect --data set");
    let repeats = value!({ "test_in_train": 2, "of_another_class": 1, "within_train": 1 });
    assert_eq!(told["repeats"], repeats);
    assert_eq!(told["missing_in_test"], value!([told["classes"][2]["name"]]));
    let channel = &told["channels"][0];
    assert_eq!(channel["high"].as_f64().unwrap() as f32, 30.0 / 255.0);
    assert!((channel["mean"].as_f64().unwrap() - 17.5 / 255.0).abs() < 1e-7);
    assert!((channel["std"].as_f64().unwrap() - 68.75f64.sqrt() / 255.0).abs() < 1e-7);
    assert_eq!(told["networks"], value!([]));
    let text = done(home.path(), "inspect --data set");
    for phrase in [
        "2 test samples are equal to a training sample",
        "1 of them have another class there",
        "test has no sample of",
        "subjects: nobody is named",
        "none that is compiled in takes samples of this shape",
    ] {
        assert!(text.contains(phrase), "no `{phrase}` in {text}");
    }
}

#[test]
fn a_set_in_a_file_is_told_as_the_set_in_memory_is() {
    let home = TempDir::new().unwrap();
    fs::create_dir(home.path().join("set")).unwrap();
    for (name, count) in [("small_train.bin", 20u8), ("small_test.bin", 5)] {
        let record = |index: u8| {
            (0..3073u32).map(move |at| if at == 0 { index % 10 } else { (at as u8) ^ index })
        };
        let bytes: Vec<u8> = (0..count).flat_map(record).collect();
        fs::write(home.path().join("set").join(name), bytes).unwrap();
    }
    let page = |memory: &str, name: &str| {
        let words = format!("inspect --data set --data-memory {memory} --picture {name}");
        (json(home.path(), &words), fs::read(home.path().join(name)).unwrap())
    };
    let ((mut held, one), (mut filed, two)) = (page("1MB", "one.html"), page("7kB", "two.html"));
    assert_eq!(
        (&held["train"]["kept_in"], &filed["train"]["kept_in"]),
        (&value!("memory"), &value!("file"))
    );
    assert_eq!(filed["element"], "bytes");
    for told in [&mut held, &mut filed] {
        told["picture"] = Value::Null;
        for part in ["train", "test"] {
            told[part]["kept_in"] = Value::Null;
        }
    }
    assert_eq!(held, filed);
    assert!(one == two, "the page depends on where values lie");
}

#[test]
fn the_page_shows_samples_of_each_class_and_needs_nothing_from_elsewhere() {
    let home = TempDir::new().unwrap();
    let told = json(home.path(), "inspect --data made --picture made.html --threads 1");
    assert_eq!(told["picture"], "made.html");
    let html = fs::read_to_string(home.path().join("made.html")).unwrap();
    // Four of each of ten classes.
    assert_eq!(html.matches("<img ").count(), 40);
    for phrase in ["Samples of each class", "sample 0, p01", "Samples of each subject", "</html>"] {
        assert!(html.contains(phrase), "no `{phrase}` on the page");
    }
    for outside in ["http://", "https://", "<script", "<link", "NaN"] {
        assert!(!html.contains(outside), "the page holds `{outside}`");
    }
    done(home.path(), "inspect --data made --picture again.html --threads 2");
    assert!(html == fs::read_to_string(home.path().join("again.html")).unwrap());
}

#[test]
fn words_and_data_that_cannot_be_are_refused_by_name() {
    let home = folder();
    fs::create_dir(home.path().join("empty")).unwrap();
    fs::create_dir(home.path().join("folder.html")).unwrap();
    let wrong: [(&str, i32, &[&str]); 9] = [
        ("inspect", 2, &["FILE"]),
        ("inspect base.esm --data made", 2, &["--data"]),
        ("inspect base.esm --picture x.html", 2, &["--picture", "--data"]),
        ("inspect --data nowhere", 3, &["no data at `nowhere`"]),
        ("inspect --data empty", 3, &["`empty` is empty"]),
        ("inspect --data made --features log-mel", 2, &["log-mel"]),
        ("inspect --data made --features mfcc", 2, &["mfcc", "not known"]),
        ("inspect --data made --picture base.esm", 2, &["--picture is base.esm", "ends in .html"]),
        ("inspect --data made --picture folder.html", 2, &["--picture names a file"]),
    ];
    for (words, code, phrases) in wrong {
        refused(home.path(), words, code, phrases);
    }
}
