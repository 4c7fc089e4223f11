//! SVHN, cropped digits: two arrays in each of `train_32x32.mat` and `test_32x32.mat`.
//!
//! # Source
//! Netzer et al., *Reading Digits in Natural Images with Unsupervised Feature Learning*, 2011, "format
//! 2"; MATLAB's *MAT-File Format*, level 5. `X` is `uint8 [32, 32, 3, N]`, its first index running
//! fastest, so that a sample's 3,072 bytes lie together, each plane with its columns one after another;
//! `y` is `[N, 1]`, 1 to 9, and 10 for the digit 0. `extra_32x32.mat` is passed over.

use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::dataset::{Dataset, Values};
use super::error::DataError;
use super::limits::MAX_SAMPLES;
use super::open::{Kind, Parts};
use super::packed::Packed;
use super::room::{Gather, Room};
use super::signals::error::SignalError;

const TRAIN: &str = "train_32x32.mat";
const TEST: &str = "test_32x32.mat";
const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const PIXELS: usize = 3 * PLANE;

/// Types of elements, by the numbers of the format.
const INT8: u32 = 1;
const UINT8: u32 = 2;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// Where the elements begin: behind a text, a version, and the order of bytes.
const HEADER: u64 = 128;
const LITTLE_ENDIAN: [u8; 4] = [0x00, 0x01, b'I', b'M'];
/// The most elements of a file that are looked at, and the longest name of an array.
const MAX_ELEMENTS: usize = 64;
const MAX_NAME: u64 = 64;

/// How [`super::open`] knows it.
pub(super) const KIND: Kind = Kind {
    name: "SVHN",
    looked_for: "SVHN's cropped digits (train_32x32.mat and test_32x32.mat)",
    takes: None,
    single: false,
    is_here: |folder| [TRAIN, TEST].iter().any(|name| folder.join(name).is_file()),
    open: |folder, how| {
        let (train, test) = (part(folder, TRAIN, &how.room)?, part(folder, TEST, &how.room)?);
        Ok(Parts { name: Some("svhn"), ..Parts::plain(train, test) })
    },
};

fn part(folder: &Path, name: &str, room: &Room) -> Result<Dataset, DataError> {
    let file = folder.join(name);
    if !file.is_file() {
        let (folder, kind) = (folder.to_path_buf(), "SVHN".to_string());
        return Err(DataError::PartMissing { folder, kind, expected: vec![name.to_string()] });
    }
    let (mut images, mut labels) = (None, None);
    for element in elements(&file)? {
        let mut stream = element.open(&file)?;
        let array = Array::read(&mut stream)?;
        match array.name.as_str() {
            "X" => images = Some(pixels(&mut stream, &array, room)?),
            "y" => labels = Some(digits(&mut stream, &array)?),
            _ => continue,
        }
        // Up to eight bytes, then the checksum of a compressed array.
        stream.up_to(7)?;
        stream.end()?;
    }
    let missing = |name: &str| wrong(&file, HEADER, format!("no array `{name}`"), "arrays X and y");
    let (values, images) = images.ok_or_else(|| missing("X"))?;
    let labels = labels.ok_or_else(|| missing("y"))?;
    if labels.len() != images {
        let (image_file, label_file) = (file.clone(), file);
        let labels = labels.len();
        return Err(DataError::PairCount { image_file, images, label_file, labels });
    }
    Ok(Dataset {
        shape: [3, SIDE, SIDE],
        values,
        labels,
        classes: (0..10).map(|digit| digit.to_string()).collect(),
        subjects: Vec::new(),
        subject_names: Vec::new(),
        groups: Vec::new(),
    })
}

fn wrong(file: &Path, offset: u64, found: String, expected: &'static str) -> DataError {
    SignalError::Matlab { file: file.to_path_buf(), offset, found, expected }.into()
}

/// An element of a file: where its contents lie, and whether they are compressed.
struct Element {
    offset: u64,
    len: u64,
    packed: bool,
}

/// The arrays of a file, going by their tags.
fn elements(file: &Path) -> Result<Vec<Element>, DataError> {
    let trouble = |source: io::Error| DataError::Io { file: file.to_path_buf(), source };
    let mut opened = File::open(file).map_err(trouble)?;
    let size = opened.metadata().map_err(trouble)?.len();
    let mut stream = Packed::open(file)?;
    let header = stream.exactly(HEADER, "the header of a MATLAB file")?;
    if header[124..] != LITTLE_ENDIAN {
        let found = format!("version and order of bytes {:02x?}", &header[124..]);
        return Err(wrong(file, 124, found, "a level 5 file, little-endian: [00, 01, 49, 4d]"));
    }
    let (mut all, mut offset) = (Vec::new(), HEADER);
    while offset < size {
        opened.seek(SeekFrom::Start(offset)).map_err(trouble)?;
        let tag = opened.try_clone().map_err(trouble)?;
        let tag = Packed::over(file, BufReader::with_capacity(8, tag)).exactly(8, "a tag")?;
        let (kind, len) = (word(&tag, 0), u64::from(word(&tag, 4)));
        let end = offset + 8 + len;
        if ![MATRIX, COMPRESSED].contains(&kind) || end > size || all.len() == MAX_ELEMENTS {
            let found = format!("an element of type {kind} and {len} bytes, the file has {size}");
            let expected =
                "up to 64 arrays (14) or compressed arrays (15) that end within the file";
            return Err(wrong(file, offset, found, expected));
        }
        all.push(Element { offset: offset + 8, len, packed: kind == COMPRESSED });
        offset = end;
    }
    Ok(all)
}

impl Element {
    /// Its contents, from the array's flags on.
    fn open(&self, file: &Path) -> Result<Packed, DataError> {
        let trouble = |source: io::Error| DataError::Io { file: file.to_path_buf(), source };
        let mut opened = File::open(file).map_err(trouble)?;
        opened.seek(SeekFrom::Start(self.offset)).map_err(trouble)?;
        let bytes = BufReader::new(io::Read::take(opened, self.len));
        if !self.packed {
            return Ok(Packed::over(file, bytes));
        }
        let mut stream = Packed::inflating(file, bytes);
        let tag = stream.exactly(8, "a tag")?;
        match word(&tag, 0) {
            MATRIX => Ok(stream),
            kind => {
                Err(wrong(file, self.offset, format!("an element of type {kind}"), "an array (14)"))
            }
        }
    }
}

/// What an array says of itself before its values.
struct Array {
    name: String,
    /// Dimensions, the fastest first.
    shape: Vec<usize>,
}

impl Array {
    fn read(stream: &mut Packed) -> Result<Self, DataError> {
        let at = stream.given();
        let flags = small(stream, UINT32, 8)?;
        let shape = small(stream, INT32, 4 * 8)?;
        let name = small(stream, INT8, MAX_NAME)?;
        let side = |bytes: &[u8]| word(bytes, 0) as usize;
        let shape: Vec<usize> = shape.chunks_exact(4).map(side).collect();
        let file: PathBuf = stream.file().to_path_buf();
        if flags.len() != 8 || shape.len() < 2 || flags[1] & 0b1000 != 0 {
            let expected = "flags, two dimensions or more, a name, and no imaginary part";
            return Err(wrong(&file, at, format!("an array of shape {shape:?}"), expected));
        }
        Ok(Self { name: String::from_utf8_lossy(&name).into_owned(), shape })
    }

    /// Opens the values, which must be as many bytes as the shape says.
    fn values(&self, stream: &mut Packed, expected: usize) -> Result<(), DataError> {
        let at = stream.given();
        let tag = stream.exactly(8, "the tag of an array's values")?;
        let (kind, len) = (word(&tag, 0), word(&tag, 4) as usize);
        if kind == UINT8 && len == expected {
            return Ok(());
        }
        let found = format!("`{}` with {len} bytes of type {kind} for {:?}", self.name, self.shape);
        let file = stream.file().to_path_buf();
        Err(wrong(&file, at, found, "one byte (type 2) a value; save it as uint8"))
    }
}

/// A small element: in a tag of its own, with its bytes inside where there are up to four.
fn small(stream: &mut Packed, kind: u32, most: u64) -> Result<Vec<u8>, DataError> {
    let at = stream.given();
    let tag = stream.exactly(8, "a tag")?;
    let (found, inside) = (word(&tag, 0) & 0xffff, word(&tag, 0) >> 16);
    let len = if inside > 0 { u64::from(inside) } else { u64::from(word(&tag, 4)) };
    if found != kind || len > most || inside > 4 {
        let file = stream.file().to_path_buf();
        let found = format!("an element of type {found} and {len} bytes");
        return Err(wrong(
            &file,
            at,
            found,
            "flags (6), dimensions (5) and a name (1), each short",
        ));
    }
    if inside > 0 {
        return Ok(tag[4..4 + inside as usize].to_vec());
    }
    let mut bytes = stream.exactly(len.next_multiple_of(8), "a short element")?;
    bytes.truncate(len as usize);
    Ok(bytes)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// The samples of `X`, with their number.
fn pixels(stream: &mut Packed, array: &Array, room: &Room) -> Result<(Values, usize), DataError> {
    let count = match array.shape[..] {
        [SIDE, SIDE, 3, count] if (1..=MAX_SAMPLES).contains(&count) => count,
        [SIDE, SIDE, 3] => 1,
        _ => {
            let file = stream.file().to_path_buf();
            let found = format!("`X` of shape {:?}", array.shape);
            return Err(wrong(&file, stream.given(), found, "[32, 32, 3, N], N up to 16777216"));
        }
    };
    array.values(stream, count * PIXELS)?;
    let mut gather = Gather::new(room);
    let mut rows = [0; PIXELS];
    for _ in 0..count {
        let columns = stream.exactly(PIXELS as u64, "a picture of 3072 bytes")?;
        for (at, value) in rows.iter_mut().enumerate() {
            let (plane, y, x) = (at / PLANE, at % PLANE / SIDE, at % SIDE);
            *value = columns[plane * PLANE + x * SIDE + y];
        }
        gather.push(&rows)?;
    }
    Ok((gather.finish()?, count))
}

/// The labels of `y`.
fn digits(stream: &mut Packed, array: &Array) -> Result<Vec<u32>, DataError> {
    let file = stream.file().to_path_buf();
    let count = match array.shape[..] {
        [count, 1] | [1, count] if (1..=MAX_SAMPLES).contains(&count) => count,
        _ => {
            let found = format!("`y` of shape {:?}", array.shape);
            return Err(wrong(&file, stream.given(), found, "[N, 1], N up to 16777216"));
        }
    };
    // Up to four bytes lie in the tag itself.
    let bytes = match count {
        ..=4 => small(stream, UINT8, 4)?,
        _ => {
            array.values(stream, count)?;
            stream.exactly(count as u64, "a byte a label")?
        }
    };
    match bytes.iter().position(|label| !(1..=10).contains(label)) {
        Some(record) => {
            let found = format!("label {} of sample {record}", bytes[record]);
            Err(wrong(&file, stream.given(), found, "1 to 9, and 10 for the digit 0"))
        }
        None => Ok(bytes.iter().map(|&label| u32::from(label) % 10).collect()),
    }
}
