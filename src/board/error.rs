//! What can go wrong when a machine is asked what it is.

use std::path::PathBuf;

/// Why a profile, a folder or a log was refused. What a sensor does not answer is no error: it is left out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BoardError {
    /// A file or folder cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is longer than any of its kind.
    #[error("`{}` is longer than {most} bytes: no file of this kind is", path.display())]
    TooLong {
        /// Which.
        path: PathBuf,
        /// Bytes that are read at most.
        most: usize,
    },
    /// The text of a profile is no TOML, or has a field that is unknown, missing or of another kind.
    #[error("board profile {name}: {message}")]
    Syntax {
        /// The file, or the slug of one that comes with the program.
        name: String,
        /// Line, column, and what the reader of TOML found and expected.
        message: String,
    },
    /// A field of a profile makes no sense.
    #[error("board profile {name}: `{field}` is {found}, expected {expected}")]
    Field {
        /// The file, or the slug of one that comes with the program.
        name: String,
        /// The field, with its table.
        field: String,
        /// What it is.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// There is no profile of this name.
    #[error("there is no board `{slug}`; the program knows {known}; or give the file of a profile")]
    Unknown {
        /// What was asked for.
        slug: String,
        /// What there is.
        known: String,
    },
    /// A line of a log has nothing that `tegrastats` writes.
    #[error(
        "{name}, line {line}: expected a line of tegrastats, such as `RAM 1905/7620MB ... VDD_IN 4742mW/4742mW`, found `{found}`"
    )]
    Log {
        /// The file.
        name: String,
        /// The line, from 1.
        line: usize,
        /// How it begins.
        found: String,
    },
}
