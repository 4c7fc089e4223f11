//! Defends files that were written long ago. `tests/golden/v1.esm` was written once, by the first
//! version, and is never written again: today's reader must open it, and today's writer must make
//! the same bytes of the same model.

mod common;

use common::model::*;
use unlearn::format::*;

fn path() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1.esm")
}

fn v1() -> Vec<u8> {
    std::fs::read(path()).unwrap()
}

/// Not part of the suite: wrote the file, when there was none.
#[test]
#[ignore = "writes the golden file, which was done once"]
fn write_the_golden_file() {
    assert!(!path().exists(), "a golden file is never rewritten");
    std::fs::create_dir_all(path().parent().unwrap()).unwrap();
    std::fs::write(path(), everything()).unwrap();
}

#[test]
fn todays_reader_opens_version_1_and_finds_what_was_written() {
    let file = ModelFile::from_bytes(v1()).unwrap();
    file.verify().unwrap();
    assert_eq!(file.logical_id().to_string(), LOGICAL_ID);
    assert_eq!(file.description(), "network \"tiny\"\n");
    assert_eq!(file.facts().provenance, Provenance::Population);
    assert_eq!(file.facts().get("seed"), Some("7"));
    assert_eq!(file.classes().classes, ["yes", "no"]);
    assert_eq!(file.anchor().unwrap().unwrap().labels, [0, 1, 1]);
    assert_eq!(file.calibration().unwrap().tables[0].values, [-1.5, 2.25]);
    assert_eq!(file.signatures()[0].signer, "maker");
    let read = |name: &str| file.tensor(name).unwrap().read().unwrap();
    assert_eq!(read("conv2.weight"), (Some(vec![3, 77, 255, 256, 511]), CONV2.to_vec()));
    assert_eq!(read("bn1.mean"), (None, BN1.to_vec()));
    assert_eq!(read("conv2.importance").1, [0.5; 5]);
    assert_eq!(read("fc.weight").0.unwrap()[..4], [0, 1, 4, 5]);
    let base = file.tensor("overlay").unwrap().base_mask().unwrap().unwrap();
    assert_eq!(base.tensor, "conv9.weight");
}

#[test]
fn todays_writer_makes_the_bytes_of_version_1() {
    assert!(everything() == v1(), "the writer makes other bytes than it did for version 1");
}

const LOGICAL_ID: &str = "3b48228dab5ccad9d05142a566ec089dd8052fbc8ef0611912fd8bc11e161521";
// Read by the letter of `FORMAT.md` from the bytes of the file, without this crate.
const CONV2: [f32; 5] = [-0.35351562, 0.011047363, -2.09375, -2.046875, 0.16015625];
const BN1: [f32; 4] = [-0.15530916, 1.0300573, 0.9444248, -1.4388633];
