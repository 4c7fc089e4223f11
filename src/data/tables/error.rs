//! What can be wrong with tables of numbers. Every variant names the place, what was found and what
//! was expected there.

use std::path::PathBuf;

/// Why NumPy arrays or CSV were refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// A folder that holds several files of which one was expected.
    #[error("`{}` holds {}; expected {expected}: name one of them", folder.display(), found.join(", "))]
    SeveralFiles {
        /// The folder.
        folder: PathBuf,
        /// Names of the files.
        found: Vec<String>,
        /// What was expected.
        expected: &'static str,
    },

    /// A zip archive that cannot be read.
    #[error("`{}` is no sound .npz archive ({fault}); write it again with numpy.savez", file.display())]
    Archive {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        fault: String,
    },

    /// An entry of an archive that cannot be taken.
    #[error("`{}` entry `{entry}`: {why}", file.display())]
    Entry {
        /// The file.
        file: PathBuf,
        /// The entry.
        entry: String,
        /// What is wrong with it.
        why: String,
    },

    /// A header that NumPy would not write.
    #[error(
        "`{}` array `{array}` at offset {offset}: found {found} where {expected} belongs; write it \
         again with numpy.save",
        file.display()
    )]
    ArrayHeader {
        /// The file.
        file: PathBuf,
        /// The array.
        array: String,
        /// Where in the array's own file, in bytes.
        offset: usize,
        /// What stands there.
        found: String,
        /// What should stand there.
        expected: String,
    },

    /// Numbers of a type, or in an order, that is not taken.
    #[error("`{}` array `{array}` holds {found}; expected {expected}", file.display())]
    ArrayType {
        /// The file.
        file: PathBuf,
        /// The array.
        array: String,
        /// What it holds.
        found: String,
        /// What is taken.
        expected: &'static str,
    },

    /// A shape that does not fit its use.
    #[error("`{}` array `{array}` has the shape {found:?}; expected {expected}", file.display())]
    ArrayShape {
        /// The file.
        file: PathBuf,
        /// The array.
        array: String,
        /// The shape.
        found: Vec<u64>,
        /// What is taken.
        expected: String,
    },

    /// An array that has fewer or more bytes than its shape says.
    #[error(
        "`{}` array `{array}` has {found} bytes of contents, its shape {shape:?} needs {expected}",
        file.display()
    )]
    ArraySize {
        /// The file.
        file: PathBuf,
        /// The array.
        array: String,
        /// The shape.
        shape: Vec<u64>,
        /// Bytes there are; of a compressed entry, as far as it was read.
        found: u64,
        /// Bytes that the shape needs.
        expected: u64,
    },

    /// No array, or no column, for something that a set cannot be without.
    #[error(
        "`{}` has no {role}: expected {expected}; found {}. A file dataset.toml beside it may say \
         which it is: {role} = \"NAME\"",
        file.display(), found.join(", ")
    )]
    NoRole {
        /// The file or folder.
        file: PathBuf,
        /// What is absent.
        role: &'static str,
        /// Names that would do.
        expected: String,
        /// The names there are.
        found: Vec<String>,
    },

    /// Two arrays, or two columns, that may both be meant.
    #[error(
        "`{}`: `{first}` and `{second}` may both be the {role}; a file dataset.toml beside it may \
         say which it is: {role} = \"{first}\"",
        file.display()
    )]
    TwoForRole {
        /// The file or folder.
        file: PathBuf,
        /// What they may both be.
        role: &'static str,
        /// One name.
        first: String,
        /// The other.
        second: String,
    },

    /// Arrays of one part that differ in length.
    #[error(
        "`{}` array `{array}` has {found} entries, `{samples}` {expected} samples; they are not of \
         one set",
        file.display()
    )]
    ArrayLength {
        /// The file.
        file: PathBuf,
        /// The array.
        array: String,
        /// Its length.
        found: usize,
        /// The array of samples.
        samples: String,
        /// Its length.
        expected: usize,
    },

    /// A value inside an array that is not taken.
    #[error("`{}` array `{array}` at {at:?}: found {found}; expected {expected}", file.display())]
    ArrayValue {
        /// The file.
        file: PathBuf,
        /// The array.
        array: String,
        /// The index of the value, one number for each dimension, counted from 0.
        at: Vec<usize>,
        /// The value.
        found: String,
        /// What is taken.
        expected: &'static str,
    },

    /// Parts of one set that differ.
    #[error("`{}` has {found}, `{}` {expected}; both parts must have the same", test.display(), train.display())]
    PartsDiffer {
        /// The file of the test part.
        test: PathBuf,
        /// What it has.
        found: String,
        /// The file of the training part.
        train: PathBuf,
        /// What that has.
        expected: String,
    },

    /// A file of settings that says what is not understood.
    #[error("`{}` line {line}: {why}", file.display())]
    Settings {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },

    /// A setting that this kind of data has no use for.
    #[error("`{}`: `{key}` means nothing for {kind}; remove it", file.display())]
    SettingUnfit {
        /// The file.
        file: PathBuf,
        /// The key.
        key: &'static str,
        /// What was opened.
        kind: &'static str,
    },

    /// A label that the names of classes do not cover.
    #[error("the label `{label}` has no name in {from}, which names {names} classes")]
    LabelWithoutName {
        /// The label.
        label: String,
        /// Where the names come from.
        from: String,
        /// How many names there are.
        names: usize,
    },

    /// A line of a table that has too few or too many fields.
    #[error(
        "`{}` line {line} has {found} fields, its first line names {expected} columns",
        file.display()
    )]
    Fields {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// Fields there are.
        found: usize,
        /// Columns.
        expected: usize,
    },

    /// A field that is not what its column holds.
    #[error(
        "`{}` line {line}, column `{column}`: found `{found}`; expected {expected}",
        file.display()
    )]
    Field {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The column.
        column: String,
        /// The text found, its beginning if it is long.
        found: String,
        /// What is taken.
        expected: &'static str,
    },

    /// A name in the first line that names no column.
    #[error("`{}` line 1, column {column}: found `{found}`; expected {expected}", file.display())]
    ColumnName {
        /// The file.
        file: PathBuf,
        /// The column, counted from 1.
        column: usize,
        /// The text found.
        found: String,
        /// What is taken.
        expected: &'static str,
    },

    /// No column of values, or more than a sample may have on one side.
    #[error(
        "`{}` has {found} columns of values; accepted are 1 to {limit} (more where dataset.toml \
         gives a shape = [channels, height, width])",
        file.display()
    )]
    Values {
        /// The file.
        file: PathBuf,
        /// Columns of values.
        found: usize,
        /// The most.
        limit: usize,
    },

    /// A shape that does not hold as many values as a line has.
    #[error(
        "`{}`: shape {shape:?} holds {product} values, a line of `{}` has {values}",
        settings.display(), file.display()
    )]
    ShapeProduct {
        /// The file of settings.
        settings: PathBuf,
        /// The shape.
        shape: [usize; 3],
        /// Values in it.
        product: usize,
        /// The table.
        file: PathBuf,
        /// Columns of values.
        values: usize,
    },

    /// More of something than is accepted.
    #[error("`{}` line {line}: more than {limit} {what}, the most that is accepted", file.display())]
    TooMany {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}
