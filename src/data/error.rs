//! What can be wrong with data: one enum, each variant with the place, what was found, what was
//! expected and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::base::disk::DiskError;

use super::anchor::AnchorError;
use super::signals::error::SignalError;
use super::tables::error::TableError;

/// Why data was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Nothing lies at a path.
    #[error(
        "no data at `{asked}` (looked at {}); give a folder, a folder's name below \
         UNLEARN_DATA, or `made[:SEED]`",
        list(looked_at)
    )]
    Missing {
        /// What was asked for.
        asked: String,
        /// Every path that was tried.
        looked_at: Vec<PathBuf>,
    },

    /// The seed after `made:` is not a number.
    #[error(
        "`{asked}`: `{found}` is not a seed; write `made` or `made:SEED` with a whole number \
         from 0 to 18446744073709551615"
    )]
    Seed {
        /// What was asked for.
        asked: String,
        /// The text where a seed should be.
        found: String,
    },

    /// A file that is no data set by itself.
    #[error(
        "`{}` is a file of no known kind; give a folder that holds the data files, or one of\n  {}",
        path.display(), expected.join("\n  ")
    )]
    UnknownFile {
        /// The path.
        path: PathBuf,
        /// What a single file may be.
        expected: Vec<String>,
    },

    /// A folder that holds nothing.
    #[error("`{}` is empty; expected one of\n  {}", path.display(), expected.join("\n  "))]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
        /// What was looked for.
        expected: Vec<String>,
    },

    /// A folder in which no known kind of data was found.
    #[error(
        "no data set known in `{}`, which holds {}; looked for\n  {}",
        path.display(), found.join(", "), expected.join("\n  ")
    )]
    Unrecognised {
        /// The folder.
        path: PathBuf,
        /// What was looked for.
        expected: Vec<String>,
        /// The first names in the folder.
        found: Vec<String>,
    },

    /// A folder that holds more than one kind of data.
    #[error("`{}` holds {}; keep one kind in a folder", path.display(), kinds.join(" and "))]
    SeveralKinds {
        /// The folder.
        path: PathBuf,
        /// The kinds found.
        kinds: Vec<String>,
    },

    /// One file of a data set is absent.
    #[error(
        "`{}` holds part of {kind}, but neither of {}; add the missing file",
        folder.display(), expected.join(", ")
    )]
    PartMissing {
        /// The folder.
        folder: PathBuf,
        /// The kind of data set.
        kind: String,
        /// Names that would do.
        expected: Vec<String>,
    },

    /// The system refused to open or read.
    #[error("cannot read `{}`: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },

    /// Values take more memory than they may, and there is no folder for a scratch file.
    #[error(
        "the values of this data take more than {limit} bytes of memory, and no folder for a \
         scratch file was named; name one, or allow more memory"
    )]
    NoRoom {
        /// The most bytes of memory.
        limit: u64,
    },

    /// A scratch file could not be written.
    #[error("{0}; data that is larger than memory is kept there while it is used")]
    Scratch(#[from] DiskError),

    /// A sample could not be read back from the scratch file.
    #[error(
        "a sample could not be read back from its scratch file ({fault}): the disk may be failing"
    )]
    Lost {
        /// What the system said.
        fault: String,
    },

    /// A feature extraction that is not written in one of the known ways.
    #[error("`{asked}` is no feature extraction: {why}; write {}", super::extraction::FORMS)]
    Extraction {
        /// What was asked for.
        asked: String,
        /// What is wrong with it.
        why: String,
    },

    /// A feature extraction that this kind of data has no use for.
    #[error(
        "`{}` holds {kind}, which takes {takes}; the model or the words ask for `{asked}`",
        path.display()
    )]
    ExtractionUnfit {
        /// What was opened.
        path: PathBuf,
        /// What it was recognised as.
        kind: &'static str,
        /// What that kind takes.
        takes: &'static str,
        /// What was asked for.
        asked: String,
    },

    /// A compressed stream is damaged.
    #[error(
        "`{}` is damaged {offset} bytes into its uncompressed contents ({source}); fetch it \
         again",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Uncompressed bytes read before.
        offset: u64,
        /// What the decoder says.
        source: io::Error,
    },

    /// A file ends before what its header or format promises.
    #[error(
        "`{}` ends after {found} bytes, within {what}, which needs {expected}; fetch it again",
        file.display()
    )]
    Truncated {
        /// The file.
        file: PathBuf,
        /// What was being read.
        what: &'static str,
        /// Uncompressed bytes there are.
        found: u64,
        /// Uncompressed bytes needed.
        expected: u64,
    },

    /// A file goes on after its end.
    #[error(
        "`{}` goes on after byte {expected}, where its contents end; it is not what its \
         header says",
        file.display()
    )]
    TrailingBytes {
        /// The file.
        file: PathBuf,
        /// Where it should end, uncompressed.
        expected: u64,
    },

    /// The first four bytes are not those of this kind of file.
    #[error(
        "`{}` starts with {found:#010x} where {what} start with {expected:#010x}; is it \
         another kind of file?",
        file.display()
    )]
    Magic {
        /// The file.
        file: PathBuf,
        /// What the file should hold.
        what: &'static str,
        /// The number found, big-endian.
        found: u32,
        /// The number expected.
        expected: u32,
    },

    /// A header field beyond what is accepted.
    #[error(
        "`{}` at offset {offset}: {field} is {found}; accepted are 1 to {limit}",
        file.display()
    )]
    Header {
        /// The file.
        file: PathBuf,
        /// Where the field lies.
        offset: u64,
        /// The field.
        field: &'static str,
        /// Its value.
        found: u64,
        /// The largest value accepted.
        limit: u64,
    },

    /// More bytes than the format ever needs.
    #[error(
        "`{}` holds more than {limit} bytes uncompressed, the most that is accepted",
        file.display()
    )]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// The limit, in uncompressed bytes.
        limit: u64,
    },

    /// A label that is no class.
    #[error(
        "`{}` record {record} (counted from 0): label {found} is no class; there are \
         {classes}, labels 0 to {}",
        file.display(), classes.saturating_sub(1)
    )]
    FileLabel {
        /// The file.
        file: PathBuf,
        /// The record, counted from 0.
        record: usize,
        /// The label.
        found: u32,
        /// How many classes there are.
        classes: usize,
    },

    /// Pictures and labels do not belong together.
    #[error(
        "`{}` holds {images} images, `{}` {labels} labels; they are not of one set",
        image_file.display(), label_file.display()
    )]
    PairCount {
        /// The file of images.
        image_file: PathBuf,
        /// Images in it.
        images: usize,
        /// The file of labels.
        label_file: PathBuf,
        /// Labels in it.
        labels: usize,
    },

    /// Train and test parts differ in shape.
    #[error(
        "samples of `{}` are {found:?}, those of the training part {expected:?} (channels, \
         height, width)",
        file.display()
    )]
    PartShape {
        /// The file of the test part.
        file: PathBuf,
        /// Its shape.
        found: [usize; 3],
        /// The training part's shape.
        expected: [usize; 3],
    },

    /// A text file with a line that is not UTF-8.
    #[error("`{}` line {line} is not UTF-8 text", file.display())]
    NotText {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },

    /// A list of class names that does not fit the labels.
    #[error(
        "`{}` names {found} classes, expected {expected}, one a line, each once",
        file.display()
    )]
    ClassNames {
        /// The file.
        file: PathBuf,
        /// Different names in it.
        found: usize,
        /// How many there should be.
        expected: usize,
    },

    /// A data set without samples.
    #[error("{what} holds no samples")]
    NoSamples {
        /// Which set.
        what: String,
    },

    /// Parallel lists of a data set differ in length.
    #[error("{what} has {found} entries, expected {expected}")]
    Length {
        /// Which list.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length it should have.
        expected: usize,
    },

    /// A quantity beyond what is accepted.
    #[error("{what} is {found}; accepted are 1 to {limit}")]
    Limit {
        /// Which quantity.
        what: &'static str,
        /// Its value.
        found: usize,
        /// The largest accepted.
        limit: usize,
    },

    /// A sample refers to a class or subject that does not exist.
    #[error("sample {sample}: {what} {found}, but there are {names}, numbered from 0")]
    Reference {
        /// `label` or `subject`.
        what: &'static str,
        /// The sample.
        sample: usize,
        /// The number found.
        found: u32,
        /// How many there are.
        names: usize,
    },

    /// Two classes or subjects of one name.
    #[error("{what} {first} and {second} are both named `{name}`; names tell them apart")]
    SameName {
        /// `class` or `subject`.
        what: &'static str,
        /// The name.
        name: String,
        /// The first so named.
        first: usize,
        /// The second so named.
        second: usize,
    },

    /// A value that is not a number, or infinite.
    #[error("sample {sample}, value {position} is {found}; every value must be finite")]
    NotFinite {
        /// The sample.
        sample: usize,
        /// The position inside the sample.
        position: usize,
        /// The value.
        found: f32,
    },

    /// A scenario that is not written in one of the known ways.
    #[error(
        "`{asked}` is no scenario: {why}; write class=K[,K], random=SHARE|COUNT, \
         part=K:SHARE|COUNT[,K:..], subject=NAME[,NAME], indices=FILE or \
         backdoor=TARGET:COUNT[:SIDE[:black|white]]"
    )]
    Scenario {
        /// What was asked for.
        asked: String,
        /// What is wrong with it.
        why: &'static str,
    },

    /// A share that is not between 0 and 1.
    #[error(
        "`{found}` is not a share; give a number above 0 and below 1, such as 0.1, or for a scenario \
         a count of 2 or more"
    )]
    Share {
        /// The text or number.
        found: String,
    },

    /// A class or subject that the data does not have.
    #[error("no {what} is named `{asked}`; known are {}", known.join(", "))]
    Unknown {
        /// `class` or `subject`.
        what: &'static str,
        /// The name asked for.
        asked: String,
        /// All names there are.
        known: Vec<String>,
    },

    /// A line of an index file that is no number.
    #[error(
        "`{}` line {line}: `{found}` is not a sample index; write one whole number a line",
        file.display()
    )]
    IndexText {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The text found.
        found: String,
    },

    /// An index of a sample that does not exist.
    #[error(
        "`{}` line {line}: index {found}, but there are {len} training samples, numbered \
         from 0",
        file.display()
    )]
    IndexRange {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The index.
        found: u64,
        /// Training samples.
        len: usize,
    },

    /// An index that stands in the file twice.
    #[error(
        "`{}` line {line}: index {found} stands on line {first_line} already; name each \
         sample once",
        file.display()
    )]
    IndexRepeated {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The index.
        found: u64,
        /// Where it stood first.
        first_line: usize,
    },

    /// A scenario that leaves nothing on one side.
    #[error(
        "`{scenario}` leaves the {side} set empty ({samples} training samples); forget some, \
         not none and not all"
    )]
    EmptySide {
        /// The scenario.
        scenario: String,
        /// `forget`, `retain` or `test`.
        side: &'static str,
        /// Samples there are in all.
        samples: usize,
    },

    /// An anchor set could not be drawn.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// Sound, text or pictures were refused.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// NumPy arrays or a CSV file are wrong.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// The most names told in one message; the rest is counted.
pub(crate) const NAMES_TOLD: usize = 200;

fn list(paths: &[PathBuf]) -> String {
    let told: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    told.join(", ")
}
