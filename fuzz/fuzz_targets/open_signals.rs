//! Any bytes are a sound, a picture, texts or an archive of them, or are refused with an error: never a
//! panic, and never a set that does not hold together.
//!
//! The first byte picks what the rest is opened as.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use unlearn::data::{Reading, open};

const NAMES: [&str; 8] = [
    "train/a/1.wav",
    "train/a/1.jpg",
    "train/a/1.png",
    "set.json",
    "set.jsonl",
    "set.tar",
    "set.tar.gz",
    "set.tar.xz",
];

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    let name = NAMES[usize::from(kind) % NAMES.len()];
    let Ok(folder) = tempfile::tempdir() else { return };
    let put = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(name);
        file.parent().is_some_and(|above| fs::create_dir_all(above).is_ok())
            && fs::write(file, bytes).is_ok()
    };
    // A part to learn from and one to measure with, so that what can be read is a whole set.
    let beside = name.replace("train/", "test/");
    if !put(name, bytes) || (beside != name && !put(&beside, bytes)) {
        return;
    }
    if let Ok(splits) = open(folder.path(), &Reading::default()) {
        assert!(splits.train.check().is_ok() && splits.test.check().is_ok());
    }
});
