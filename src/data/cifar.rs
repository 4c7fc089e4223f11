//! CIFAR, binary versions: records of one or two label bytes and 3,072 bytes, the red, green and blue
//! planes of 32 x 32 pixels.
//!
//! # Source
//! Alex Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009, and the data
//! sets' page ("binary version"). Three sets of names are known: CIFAR-10's `data_batch_1.bin` to
//! `data_batch_5.bin` and `test_batch.bin`, in the folder or in `cifar-10-batches-bin/` below it; a
//! cut-down pair of the same form, `small_train.bin` and `small_test.bin`; and CIFAR-100's
//! `train.bin` and `test.bin`, in the folder or in `cifar-100-binary/` below it. Each may be plain,
//! `.gz` or `.xz`. Class names come from the file of names that belongs to the set, where it is there.
//!
//! A record of CIFAR-100 has a coarse label before the fine one. Classes are the fine labels; the
//! coarse one, one of 20 groups of classes, is passed over.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::dataset::Dataset;
use super::error::DataError;
use super::open::{Kind, Parts};
use super::packed::{Packed, find, lines};
use super::room::{Gather, Room};

mod names;

const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = 3 * 32 * 32;
/// The most records one file may have: all of a set. Bounds what is decompressed.
const MAX_RECORDS: usize = 60_000;
/// The most bytes of a file of class names.
const MAX_NAMES: u64 = 4096;

/// One way in which such sets are stored.
struct Form {
    /// What it is called in messages.
    kind: &'static str,
    /// Its short name.
    name: &'static str,
    train: &'static [&'static str],
    test: &'static [&'static str],
    /// The folder in which the archive of the set keeps its files.
    below: Option<&'static str>,
    /// The file of class names.
    names_file: &'static str,
    /// The names where that file is not there.
    names: &'static [&'static str],
    /// Label bytes before the pixels. The last of them is the class.
    labels: usize,
}

const OFFICIAL: Form = Form {
    kind: "CIFAR-10",
    name: "cifar10",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: &["test_batch.bin"],
    below: Some("cifar-10-batches-bin"),
    names_file: "batches.meta.txt",
    names: &names::TEN,
    labels: 1,
};
const SMALL: Form = Form {
    name: "cifar10-small",
    train: &["small_train.bin"],
    test: &["small_test.bin"],
    below: None,
    ..OFFICIAL
};
const HUNDRED: Form = Form {
    kind: "CIFAR-100",
    name: "cifar100",
    train: &["train.bin"],
    test: &["test.bin"],
    below: Some("cifar-100-binary"),
    names_file: "fine_label_names.txt",
    names: &names::HUNDRED,
    labels: 2,
};

/// How [`super::open`] knows the official files of CIFAR-10.
pub(super) const KIND: Kind = Kind {
    name: "CIFAR-10",
    looked_for: "CIFAR-10 binary files (data_batch_1.bin to data_batch_5.bin and test_batch.bin, \
                 here or in cifar-10-batches-bin/; plain, .gz or .xz)",
    takes: None,
    single: false,
    is_here: |folder| OFFICIAL.is_here(folder),
    open: |folder, how| OFFICIAL.open(folder, &how.room),
};
/// How [`super::open`] knows the cut-down pair.
pub(super) const SMALL_KIND: Kind = Kind {
    name: "a small CIFAR-10",
    looked_for: "a small CIFAR-10 (small_train.bin and small_test.bin; plain, .gz or .xz)",
    takes: None,
    single: false,
    is_here: |folder| SMALL.is_here(folder),
    open: |folder, how| SMALL.open(folder, &how.room),
};
/// How [`super::open`] knows CIFAR-100.
pub(super) const HUNDRED_KIND: Kind = Kind {
    name: "CIFAR-100",
    looked_for: "CIFAR-100 binary files (train.bin and test.bin, here or in cifar-100-binary/; \
                 plain, .gz or .xz)",
    takes: None,
    single: false,
    is_here: |folder| HUNDRED.is_here(folder),
    open: |folder, how| HUNDRED.open(folder, &how.room),
};

impl Form {
    /// Whether any file of the set lies in `folder`, or where its archive puts it.
    fn is_here(&self, folder: &Path) -> bool {
        self.any(folder) || self.below.is_some_and(|below| self.any(&folder.join(below)))
    }

    fn any(&self, folder: &Path) -> bool {
        self.train.iter().chain(self.test).any(|name| find(folder, name).is_some())
    }

    fn open(&self, folder: &Path, room: &Room) -> Result<Parts, DataError> {
        let folder = match self.below {
            Some(below) if !self.any(folder) => folder.join(below),
            _ => folder.to_path_buf(),
        };
        let files = |names: &[&str]| -> Result<Vec<PathBuf>, DataError> {
            names.iter().map(|name| self.file(&folder, name)).collect()
        };
        let (train_files, test_files) = (files(self.train)?, files(self.test)?);
        let classes = self.class_names(&folder)?;
        let train = self.part(&train_files, room, &classes)?;
        let test = self.part(&test_files, room, &classes)?;
        Ok(Parts { name: Some(self.name), ..Parts::plain(train, test) })
    }

    fn file(&self, folder: &Path, name: &str) -> Result<PathBuf, DataError> {
        find(folder, name).ok_or_else(|| DataError::PartMissing {
            folder: folder.to_path_buf(),
            kind: self.kind.to_string(),
            expected: vec![name.to_string(), format!("{name}.gz"), format!("{name}.xz")],
        })
    }

    /// The names in the set's file of names, or the well-known ones where there is no such file.
    fn class_names(&self, folder: &Path) -> Result<Vec<String>, DataError> {
        let file = folder.join(self.names_file);
        if !file.is_file() {
            return Ok(self.names.iter().map(|name| name.to_string()).collect());
        }
        let mut names = Vec::new();
        lines(&file, MAX_NAMES, |_, line| {
            names.extend(Some(line.trim().to_string()).filter(|name| !name.is_empty()));
            Ok(())
        })?;
        let found = names.iter().collect::<BTreeSet<_>>().len();
        let expected = self.names.len();
        if found != expected || names.len() != expected {
            return Err(DataError::ClassNames { file, found, expected });
        }
        Ok(names)
    }

    fn part(
        &self,
        files: &[PathBuf],
        room: &Room,
        classes: &[String],
    ) -> Result<Dataset, DataError> {
        let (mut values, mut labels) = (Gather::new(room), Vec::new());
        for file in files {
            self.records(file, &mut values, &mut labels)?;
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
    fn records(
        &self,
        file: &Path,
        values: &mut Gather<u8>,
        labels: &mut Vec<u32>,
    ) -> Result<(), DataError> {
        let len = self.labels + PIXELS;
        let mut packed = Packed::open(file)?;
        for number in 0..=MAX_RECORDS {
            let record = packed.up_to(len as u64)?;
            if record.is_empty() && number == 0 {
                return Err(DataError::NoSamples { what: format!("`{}`", file.display()) });
            }
            if record.is_empty() {
                return Ok(());
            }
            let label = record.get(self.labels - 1).copied().map(u32::from);
            if let Some(found) = label.filter(|&label| label as usize >= self.names.len()) {
                let (file, classes) = (file.to_path_buf(), self.names.len());
                return Err(DataError::FileLabel { file, record: number, found, classes });
            }
            let (Some(found), true) = (label, record.len() == len) else {
                return Err(DataError::Truncated {
                    file: file.to_path_buf(),
                    what: "a record of label and 3072 pixel bytes",
                    found: (number * len + record.len()) as u64,
                    expected: ((number + 1) * len) as u64,
                });
            };
            values.push(&record[self.labels..])?;
            labels.push(found);
        }
        Err(DataError::TooLarge { file: file.to_path_buf(), limit: (MAX_RECORDS * len) as u64 })
    }
}
