//! CIFAR-10, binary version: records of one label byte and 3,072 bytes, the red, green and blue
//! planes of 32 x 32 pixels.
//!
//! # Source
//! Alex Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009, and the data
//! set's page ("binary version"). Two sets of names are known: the official
//! `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`, in the folder or in
//! `cifar-10-batches-bin/` below it; and a cut-down pair `small_train.bin`, `small_test.bin`.
//! Each may be plain, `.gz` or `.xz`. Class names come from `batches.meta.txt` where it is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::dataset::Dataset;
use super::error::DataError;
use super::open::{Kind, Parts, Reading};
use super::packed::{Packed, find, lines};
use super::room::{Gather, Room};

const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = 3 * 32 * 32;
const RECORD: usize = 1 + PIXELS;
const CLASSES: usize = 10;
/// The most records one file may have: all of CIFAR-10. Bounds what is decompressed.
const MAX_RECORDS: usize = 60_000;
/// The most bytes of a file of class names.
const MAX_NAMES: u64 = 4096;

const NAMES: [&str; CLASSES] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
const TRAIN: [&str; 5] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
];
const TEST: [&str; 1] = ["test_batch.bin"];
const BELOW: &str = "cifar-10-batches-bin";
const SMALL_TRAIN: [&str; 1] = ["small_train.bin"];
const SMALL_TEST: [&str; 1] = ["small_test.bin"];

/// How [`super::open`] knows the official files.
pub(super) const KIND: Kind = Kind {
    name: "CIFAR-10",
    looked_for: "CIFAR-10 binary files (data_batch_1.bin to data_batch_5.bin and test_batch.bin, \
                 here or in cifar-10-batches-bin/; plain, .gz or .xz)",
    takes: None,
    single: false,
    is_here,
    open,
};
/// How [`super::open`] knows the cut-down pair.
pub(super) const SMALL_KIND: Kind = Kind {
    name: "a small CIFAR-10",
    looked_for: "a small CIFAR-10 (small_train.bin and small_test.bin; plain, .gz or .xz)",
    takes: None,
    single: false,
    is_here: is_small_here,
    open: open_small,
};

/// Whether any official file lies in `folder`.
fn is_here(folder: &Path) -> bool {
    [folder.to_path_buf(), folder.join(BELOW)].iter().any(|folder| any(folder, &TRAIN, &TEST))
}

/// Whether a file of the cut-down pair lies in `folder`.
fn is_small_here(folder: &Path) -> bool {
    any(folder, &SMALL_TRAIN, &SMALL_TEST)
}

fn any(folder: &Path, train: &[&str], test: &[&str]) -> bool {
    train.iter().chain(test).any(|name| find(folder, name).is_some())
}

/// Reads the official files.
fn open(folder: &Path, how: &Reading) -> Result<Parts, DataError> {
    let here = any(folder, &TRAIN, &TEST);
    let folder = if here { folder.to_path_buf() } else { folder.join(BELOW) };
    read(&folder, &how.room, "cifar10", &TRAIN, &TEST)
}

/// Reads the cut-down pair.
fn open_small(folder: &Path, how: &Reading) -> Result<Parts, DataError> {
    read(folder, &how.room, "cifar10-small", &SMALL_TRAIN, &SMALL_TEST)
}

fn read(
    folder: &Path,
    room: &Room,
    name: &'static str,
    train: &[&str],
    test: &[&str],
) -> Result<Parts, DataError> {
    let files = |names: &[&str]| -> Result<Vec<PathBuf>, DataError> {
        names.iter().map(|name| file(folder, name)).collect()
    };
    let (train_files, test_files) = (files(train)?, files(test)?);
    let classes = class_names(folder)?;
    let train = part(&train_files, room, &classes)?;
    let test = part(&test_files, room, &classes)?;
    Ok(Parts { name: Some(name), ..Parts::plain(train, test) })
}

fn file(folder: &Path, name: &str) -> Result<PathBuf, DataError> {
    find(folder, name).ok_or_else(|| DataError::PartMissing {
        folder: folder.to_path_buf(),
        kind: "CIFAR-10".to_string(),
        expected: vec![name.to_string(), format!("{name}.gz"), format!("{name}.xz")],
    })
}

/// The names in `batches.meta.txt`, or the well-known ones where there is no such file.
fn class_names(folder: &Path) -> Result<Vec<String>, DataError> {
    let file = folder.join("batches.meta.txt");
    if !file.is_file() {
        return Ok(NAMES.map(str::to_string).to_vec());
    }
    let mut names = Vec::new();
    lines(&file, MAX_NAMES, |_, line| {
        names.extend(Some(line.trim().to_string()).filter(|name| !name.is_empty()));
        Ok(())
    })?;
    let found = names.iter().collect::<BTreeSet<_>>().len();
    if found != CLASSES || names.len() != CLASSES {
        return Err(DataError::ClassNames { file, found, expected: CLASSES });
    }
    Ok(names)
}

fn part(files: &[PathBuf], room: &Room, classes: &[String]) -> Result<Dataset, DataError> {
    let (mut values, mut labels) = (Gather::new(room), Vec::new());
    for file in files {
        records(file, &mut values, &mut labels)?;
    }
    Ok(Dataset {
        shape: SHAPE,
        values: values.finish()?,
        labels,
        classes: classes.to_vec(),
        subjects: Vec::new(),
        subject_names: Vec::new(),
        groups: Vec::new(),
    })
}

/// Appends the records of one file: to its end, which must be the end of a record.
fn records(file: &Path, values: &mut Gather<u8>, labels: &mut Vec<u32>) -> Result<(), DataError> {
    let mut packed = Packed::open(file)?;
    for number in 0..=MAX_RECORDS {
        let record = packed.up_to(RECORD as u64)?;
        let Some((&label, pixels)) = record.split_first() else {
            if number == 0 {
                return Err(DataError::NoSamples { what: format!("`{}`", file.display()) });
            }
            return Ok(());
        };
        let found = u32::from(label);
        if usize::from(label) >= CLASSES {
            let (file, record) = (file.to_path_buf(), number);
            return Err(DataError::FileLabel { file, record, found, classes: CLASSES });
        }
        if pixels.len() < PIXELS {
            return Err(DataError::Truncated {
                file: file.to_path_buf(),
                what: "a record of 3073 bytes",
                found: (number * RECORD + record.len()) as u64,
                expected: ((number + 1) * RECORD) as u64,
            });
        }
        values.push(pixels)?;
        labels.push(found);
    }
    Err(DataError::TooLarge { file: file.to_path_buf(), limit: (MAX_RECORDS * RECORD) as u64 })
}
