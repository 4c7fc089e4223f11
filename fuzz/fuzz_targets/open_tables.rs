//! Any bytes, as a table of numbers of one kind or another, are read or refused with an error: never a
//! panic, and never a set that does not hold together.
//!
//! The first byte says what the rest is: an archive of arrays, an array of samples beside sound labels,
//! a table, a packed table, or settings beside a sound table.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use unlearn::data::{Reading, Room, open};

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

const TABLE: &[u8] = b"label,a,b,c,d,test\nx,1,2,3,4,0\ny,5,6,7,8,1\n";

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let folder = FOLDER.path();
    let put = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("a file");
    match kind % 5 {
        0 => put("set.npz", bytes),
        1 => {
            put("X.npy", bytes);
            put("y.npy", &labels());
        }
        2 => put("set.csv", bytes),
        3 => put("set.csv.gz", bytes),
        _ => {
            put("set.csv", TABLE);
            put("dataset.toml", bytes);
        }
    }
    // Small enough that a large claim goes to the scratch file, or is refused.
    let room = Room { memory: 1 << 20, folder: None };
    if let Ok(splits) = open(folder, &Reading { room, extraction: None }) {
        splits.train.check().expect("a sound training part");
        splits.test.check().expect("a sound test part");
    }
    for entry in fs::read_dir(folder).expect("the folder") {
        fs::remove_file(entry.expect("an entry").path()).expect("a file");
    }
});

/// Labels of four samples, as `numpy.save` writes them.
fn labels() -> Vec<u8> {
    let text = format!("{:<117}\n", "{'descr': '|u1', 'fortran_order': False, 'shape': (4,), }");
    [b"\x93NUMPY\x01\x00\x76\x00", text.as_bytes(), &[0, 1, 0, 1]].concat()
}
