//! IDX files: the MNIST family (MNIST, Fashion-MNIST, KMNIST, EMNIST).
//!
//! # Source
//! Yann LeCun, *The MNIST database*, "file formats": big-endian words: a magic number whose third
//! byte is the type (8 = unsigned byte) and whose fourth is the number of dimensions, then one
//! size a dimension, then the bytes, row-major.
//!
//! Two types stand at the door: [`Claim`] is what a header says, [`Header`] what survived
//! [`Claim::check`]; only the second decides how much is read.

use std::path::{Path, PathBuf};

use super::dataset::{Dataset, Values};
use super::error::DataError;
use super::limits::{MAX_SAMPLES, MAX_SIDE, MAX_VALUES};
use super::open::{Kind, Parts, Reading};
use super::packed::{Packed, find};
use super::room::{Gather, Room};

const IMAGES: u32 = 0x0000_0803;
const LABELS: u32 = 0x0000_0801;

/// Names without their compression endings: images and labels of the two parts. Some mirrors
/// write `-idx3` with a dot.
const TRAIN: [[&str; 2]; 2] = [
    ["train-images-idx3-ubyte", "train-images.idx3-ubyte"],
    ["train-labels-idx1-ubyte", "train-labels.idx1-ubyte"],
];
const TEST: [[&str; 2]; 2] = [
    ["t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte"],
    ["t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte"],
];

/// How [`super::open`] knows this kind.
pub(super) const KIND: Kind = Kind {
    name: "IDX",
    looked_for: "IDX files (train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-..., plain or .gz)",
    takes: None,
    single: false,
    is_here,
    open,
};

/// Whether any file of the family lies in `folder`.
fn is_here(folder: &Path) -> bool {
    [TRAIN, TEST].iter().flatten().any(|names| pick(folder, names).is_some())
}

/// Reads the four files of `folder`. The classes are named by their numbers, and there are as
/// many as the training labels reach.
fn open(folder: &Path, how: &Reading) -> Result<Parts, DataError> {
    let (train_images, train_labels) = part(folder, &TRAIN)?;
    let (test_images, test_labels) = part(folder, &TEST)?;
    let train = images(&train_images, &how.room)?;
    let train_ys = labels(&train_labels)?;
    let classes = 1 + train_ys.iter().max().map_or(0, |&most| usize::from(most));
    let test = images(&test_images, &how.room)?;
    let test_ys = labels(&test_labels)?;
    let shape = train.0.shape();
    if test.0.shape() != shape {
        let found = test.0.shape();
        return Err(DataError::PartShape { file: test_images, found, expected: shape });
    }
    let train = join(train, (&train_images, &train_labels), &train_ys, classes)?;
    let test = join(test, (&test_images, &test_labels), &test_ys, classes)?;
    Ok(Parts::plain(train, test))
}

/// What an IDX header says. Trust nothing in here.
struct Claim {
    count: u32,
    rows: u32,
    columns: u32,
}

/// A header whose every number is within the limits.
struct Header {
    count: usize,
    rows: usize,
    columns: usize,
}

impl Claim {
    fn check(&self, file: &Path) -> Result<Header, DataError> {
        let rows = within(file, 8, "the number of rows", self.rows, MAX_SIDE)?;
        let columns = within(file, 12, "the number of columns", self.columns, MAX_SIDE)?;
        let most = MAX_SAMPLES.min(MAX_VALUES / (rows * columns));
        let count = within(file, 4, "the number of images", self.count, most)?;
        Ok(Header { count, rows, columns })
    }
}

impl Header {
    fn shape(&self) -> [usize; 3] {
        [1, self.rows, self.columns]
    }
}

fn within(
    file: &Path,
    offset: u64,
    field: &'static str,
    found: u32,
    limit: usize,
) -> Result<usize, DataError> {
    match usize::try_from(found) {
        Ok(value) if (1..=limit).contains(&value) => Ok(value),
        _ => Err(DataError::Header {
            file: file.to_path_buf(),
            offset,
            field,
            found: u64::from(found),
            limit: limit as u64,
        }),
    }
}

/// Bytes of pictures that are read at once.
const PIECE: usize = 1 << 20;

fn images(file: &Path, room: &Room) -> Result<(Header, Values), DataError> {
    let mut packed = Packed::open(file)?;
    let [count, rows, columns] = header::<3>(&mut packed, IMAGES, "IDX images")?;
    let header = Claim { count, rows, columns }.check(file)?;
    let (sample, mut left) = (header.rows * header.columns, header.count);
    let mut values = Gather::new(room);
    while left > 0 {
        let images = left.min((PIECE / sample).max(1));
        left -= images;
        values.push(&packed.exactly_of(
            (images * sample) as u64,
            left * sample,
            "the images",
        )?)?;
    }
    packed.end()?;
    Ok((header, values.finish()?))
}

fn labels(file: &Path) -> Result<Vec<u8>, DataError> {
    let mut packed = Packed::open(file)?;
    let [count] = header::<1>(&mut packed, LABELS, "IDX labels")?;
    let count = within(file, 4, "the number of labels", count, MAX_SAMPLES)?;
    let labels = packed.exactly(count as u64, "the labels")?;
    packed.end()?;
    Ok(labels)
}

/// The sizes of the dimensions, after the magic number.
fn header<const DIMENSIONS: usize>(
    packed: &mut Packed,
    magic: u32,
    what: &'static str,
) -> Result<[u32; DIMENSIONS], DataError> {
    let found = word(packed)?;
    if found != magic {
        let file = packed.file().to_path_buf();
        return Err(DataError::Magic { file, what, found, expected: magic });
    }
    let mut sizes = [0; DIMENSIONS];
    for size in &mut sizes {
        *size = word(packed)?;
    }
    Ok(sizes)
}

fn word(packed: &mut Packed) -> Result<u32, DataError> {
    let bytes = packed.exactly(4, "the header")?;
    Ok(bytes.iter().fold(0, |word, &byte| word << 8 | u32::from(byte)))
}

fn part(folder: &Path, names: &[[&str; 2]; 2]) -> Result<(PathBuf, PathBuf), DataError> {
    let found = |names: &[&str; 2]| {
        pick(folder, names).ok_or_else(|| DataError::PartMissing {
            folder: folder.to_path_buf(),
            kind: "an IDX set".to_string(),
            expected: vec![names[0].to_string(), format!("{}.gz", names[0])],
        })
    };
    Ok((found(&names[0])?, found(&names[1])?))
}

fn pick(folder: &Path, names: &[&str; 2]) -> Option<PathBuf> {
    names.iter().find_map(|name| find(folder, name))
}

fn join(
    (header, values): (Header, Values),
    (image_file, label_file): (&Path, &Path),
    labels: &[u8],
    classes: usize,
) -> Result<Dataset, DataError> {
    if header.count != labels.len() {
        return Err(DataError::PairCount {
            image_file: image_file.to_path_buf(),
            images: header.count,
            label_file: label_file.to_path_buf(),
            labels: labels.len(),
        });
    }
    if let Some(record) = labels.iter().position(|&label| usize::from(label) >= classes) {
        let (file, found) = (label_file.to_path_buf(), u32::from(labels[record]));
        return Err(DataError::FileLabel { file, record, found, classes });
    }
    Ok(Dataset {
        shape: header.shape(),
        values,
        labels: labels.iter().map(|&label| u32::from(label)).collect(),
        classes: (0..classes).map(|class| class.to_string()).collect(),
        subjects: Vec::new(),
        subject_names: Vec::new(),
        groups: Vec::new(),
    })
}
