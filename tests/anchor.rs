//! Defends the anchor set of a package: what is drawn for it lies in the file byte for byte, commands
//! that make a new file of an old one keep it, and nobody who is to be forgotten stays in it.

mod common;

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use common::program::{done, files, json, refused, run};
use tempfile::TempDir;
use unlearn::data::{Anchor, Population, Splits};
use unlearn::erase::anchor::{packed, unpacked, without};
use unlearn::format::{AnchorSet, Provenance};
use unlearn::model::file::{self, Artifact};

const TRAIN: &str = "train --model cnn16 --data made --epochs 1 --rewind-epoch 0";

/// A folder with `base.esm`, an enrolled model with an anchor set of 400 samples.
fn base() -> TempDir {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let words = format!("{TRAIN} --provenance enrolled --anchor 400 --out base.esm");
        done(folder.path(), &words);
        folder
    });
    let folder = TempDir::new().unwrap();
    fs::copy(made.path().join("base.esm"), folder.path().join("base.esm")).unwrap();
    folder
}

fn made() -> Splits {
    Population::default().base()
}

fn opened(home: &Path, name: &str) -> Artifact {
    file::open(&home.join(name)).unwrap()
}

fn drawn(data: &Splits, samples: usize, seed: u64) -> AnchorSet {
    packed(&Anchor::draw(&data.train, &data.test, samples, seed).unwrap()).unwrap()
}

/// How many samples of `set` are those of a subject.
fn of_subject(set: &AnchorSet, data: &Splits, name: &str) -> usize {
    let whose = |set: &unlearn::data::Dataset| -> Vec<usize> {
        (0..set.len()).filter(|&i| set.subject_names[set.subjects[i] as usize] == name).collect()
    };
    let (train, test) = (whose(&data.train), whose(&data.test));
    without(set, &[(&data.train, &train), (&data.test, &test)]).unwrap().1
}

#[test]
fn what_was_drawn_lies_in_the_file_and_comes_back_as_data() {
    let home = base();
    let data = made();
    let artifact = opened(home.path(), "base.esm");
    let set = artifact.anchor.unwrap();
    assert_eq!(set, drawn(&data, 400, 1));
    assert_ne!(set, drawn(&data, 400, 2));
    let anchor = unpacked(&set, &artifact.meaning.classes).unwrap();
    assert_eq!((anchor.train.len(), anchor.calibrate.len()), (300, 100));
    for part in [&anchor.train, &anchor.calibrate] {
        let each = part.len() / 10;
        assert!((0..10).all(|c| part.labels.iter().filter(|&&label| label == c).count() == each));
    }
    assert_eq!(artifact.facts.provenance, Provenance::Enrolled);
}

#[test]
fn the_same_seed_gives_the_same_file_wherever_the_data_lies() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    done(home, &format!("{TRAIN} --anchor 200 --out a.esm"));
    done(home, &format!("{TRAIN} --anchor 200 --data-memory 1KiB --out b.esm"));
    assert!(fs::read(home.join("a.esm")).unwrap() == fs::read(home.join("b.esm")).unwrap());
    assert_eq!(opened(home, "a.rewind.esm").anchor, None);
    done(home, &format!("{TRAIN} --out c.esm"));
    let (with, bare) = (opened(home, "a.esm"), opened(home, "c.esm"));
    assert_eq!(with.network.values, bare.network.values, "an anchor set changes no weight");
    assert_ne!(with.id, bare.id);
}

#[test]
fn a_set_that_cannot_hold_every_class_is_refused_before_anything_is_learnt() {
    let home = base();
    let home = home.path();
    let (class, size) = (["class `", "every class in both parts"], ["10, one for each class"]);
    refused(home, &format!("{TRAIN} --anchor 400 --without class=0 --out f.esm"), 2, &class);
    refused(home, &format!("{TRAIN} --anchor 39 --out f.esm"), 2, &size);
    refused(home, &format!("{TRAIN} --anchor 100000 --out f.esm"), 2, &["1920, all there are"]);
    refused(home, &format!("{TRAIN} --anchor 0 --out f.esm"), 2, &["--anchor"]);
    let prune = "prune --model base.esm --data made --sparsity 0.5 --rewind none --epochs 1";
    refused(home, &format!("{prune} --anchor 39 --out f.esm"), 2, &size);
}

#[test]
fn nobody_whom_the_model_is_to_lack_is_in_its_anchor_set() {
    let home = TempDir::new().unwrap();
    let data = made();
    let words = format!("{TRAIN} --anchor 2320 --without subject=p01,p07 --out w.esm");
    done(home.path(), &words);
    let set = opened(home.path(), "w.esm").anchor.unwrap();
    assert_eq!(set.labels.len(), 2320);
    for (name, there) in [("p01", false), ("p07", false), ("p02", true)] {
        assert_eq!(of_subject(&set, &data, name) > 0, there, "{name}");
    }
}

#[test]
fn prune_keeps_the_set_and_the_provenance_or_takes_new_ones() {
    let home = base();
    let home = home.path();
    let data = made();
    let old = opened(home, "base.esm").anchor.unwrap();
    let prune = "prune --model base.esm --data made --sparsity 0.5 --rewind none --epochs 1";
    done(home, &format!("{prune} --out kept.esm"));
    let kept = opened(home, "kept.esm");
    assert_eq!((kept.anchor.as_ref(), kept.facts.provenance), (Some(&old), Provenance::Enrolled));

    let words = format!("{prune} --anchor 40 --seed 5 --provenance population --out new.esm");
    done(home, &words);
    let new = opened(home, "new.esm");
    assert_eq!(new.anchor, Some(drawn(&data, 40, 5)));
    assert_eq!(new.facts.provenance, Provenance::Population);

    let told = json(home, &format!("{prune} --without subject=p03 --out less.esm"));
    let less = opened(home, "less.esm").anchor.unwrap();
    let lost = of_subject(&old, &data, "p03");
    assert!(lost > 0, "a draw that has somebody to lose");
    assert_eq!((less.labels.len(), of_subject(&less, &data, "p03")), (400 - lost, 0));
    assert_eq!(told["anchor"]["samples"], 400 - lost);
    let warned = told["warnings"].to_string();
    assert!(warned.contains(&format!("{lost} of 400 samples left the anchor set")), "{warned}");
}

#[test]
fn forget_keeps_the_set_without_those_who_leave() {
    let home = base();
    let home = home.path();
    let data = made();
    let old = opened(home, "base.esm").anchor.unwrap();
    let forget = "forget --model base.esm --data made --epochs 1 --no-measure";
    let told = json(home, &format!("{forget} --scenario subject=p05 --out f.esm"));
    let set = opened(home, "f.esm").anchor.unwrap();
    let lost = of_subject(&old, &data, "p05");
    assert!(lost > 0, "a draw that has somebody to lose");
    assert_eq!((set.labels.len(), of_subject(&set, &data, "p05")), (400 - lost, 0));
    assert_eq!(told["anchor"]["samples"], 400 - lost);

    // A class that is forgotten leaves both parts.
    json(home, &format!("{forget} --scenario class=3 --out g.esm"));
    let set = opened(home, "g.esm").anchor.unwrap();
    assert_eq!((set.labels.len(), set.labels.contains(&3)), (360, false));
}

#[test]
fn inspect_tells_the_set_and_the_provenance() {
    let home = base();
    let home = home.path();
    let side = made().train.shape[1];
    let told = done(home, "inspect base.esm");
    let line = format!("provenance enrolled; anchor set: 400 samples of 1x{side}x{side} bytes");
    assert!(told.contains(&line), "{told}");
    assert!(told.contains(": 300 to train, 100 to calibrate"), "{told}");
    let value = json(home, "inspect base.esm");
    assert_eq!(value["provenance"], "enrolled");
    let expected = serde_json::json!({
        "samples": 400, "train": 300, "calibrate": 100, "shape": [1, side, side],
        "values": "bytes", "value_bytes": 400 * side * side,
    });
    assert_eq!(value["anchor"], expected);

    let words = format!("{TRAIN} --out bare.esm");
    assert!(!done(home, &words).contains("anchor"), "nothing was said of what was not asked for");
    assert!(done(home, "inspect bare.esm").contains("provenance undeclared; anchor set: none"));
    assert_eq!(json(home, "inspect bare.esm")["anchor"], serde_json::Value::Null);
}

#[test]
fn whoever_names_people_is_told_that_samples_can_be_read() {
    let home = base();
    let home = home.path();
    let before = files(home).len();
    let said = run(home, &format!("{TRAIN} --anchor 40 --out told.esm"));
    assert!(said.out.contains("anchor set: 40 samples"), "{said:?}");
    assert!(said.out.contains("whoever has the file can read them"), "{said:?}");
    assert_eq!(files(home).len(), before + 2, "the model and the weights of an early epoch");
}
