//! What can be wrong with sound, text and pictures, and with the names that say what they are.

use std::path::PathBuf;

use crate::data::extraction::{Extraction, LogMel, Picture};

/// Why files of sound, text or pictures were refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// A file larger than files of its kind may be.
    #[error("`{}` holds more than {limit} bytes, the most that is accepted of one file", file.display())]
    FileTooLarge {
        /// The file; one inside an archive is named below the archive.
        file: PathBuf,
        /// The most bytes.
        limit: u64,
    },

    /// More files than a set may have samples.
    #[error("`{}` holds more than {limit} files; give a smaller set", path.display())]
    TooManyFiles {
        /// The folder or archive.
        path: PathBuf,
        /// The most files.
        limit: usize,
    },

    /// An archive with one name twice.
    #[error("`{}` is there twice; make the archive anew, each file once", file.display())]
    Twice {
        /// The file.
        file: PathBuf,
    },

    /// A name that says no class.
    #[error("`{}` has no class: {expected}", file.display())]
    NoClass {
        /// The file.
        file: PathBuf,
        /// Where it should lie or how it should be named.
        expected: &'static str,
    },

    /// A test part that no training part goes with.
    #[error("`{}` holds a part `{part}` and none to learn from; add a part `train`", path.display())]
    NoTraining {
        /// The folder or archive.
        path: PathBuf,
        /// The part that is there.
        part: String,
    },

    /// A line of a list that cannot be used.
    #[error("`{}` line {line}: {why}; expected {expected}", file.display())]
    ListLine {
        /// The list.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
        /// What a line should be.
        expected: &'static str,
    },

    /// A list that names a file that is not there.
    #[error("`{}` names `{name}`, which is not there", list.display())]
    ListedMissing {
        /// The list.
        list: PathBuf,
        /// The name.
        name: String,
    },

    /// A sound file that cannot be read.
    #[error(
        "`{}` is no WAV file that can be read ({source}); give PCM of 8, 16, 24 or 32 bits, or \
         floats of 32 bits",
        file.display()
    )]
    Sound {
        /// The file.
        file: PathBuf,
        /// What the decoder says.
        source: hound::Error,
    },

    /// A sound file whose length is out of bounds.
    #[error(
        "`{}` says that it holds {found} samples of sound at {rate} Hz; accepted are 1 sample to \
         {limit} seconds",
        file.display()
    )]
    SoundLength {
        /// The file.
        file: PathBuf,
        /// Samples of one channel.
        found: u64,
        /// Samples a second.
        rate: u32,
        /// The most seconds.
        limit: u32,
    },

    /// A sample of sound that is not a number, or infinite.
    #[error("`{}` sample {position} is {found}; every sample must be finite", file.display())]
    SoundValue {
        /// The file.
        file: PathBuf,
        /// The sample, counted from 0 over all channels.
        position: usize,
        /// Its value.
        found: f32,
    },

    /// A sampling rate beyond what is accepted.
    #[error("`{}` has {found} samples a second; accepted are 1000 to 384000", file.display())]
    RateLimit {
        /// The file.
        file: PathBuf,
        /// Its rate.
        found: u32,
    },

    /// A sound file of another rate than the features are made for.
    #[error(
        "`{}` has {found} samples a second, the others or the settings {expected}; nothing is \
         resampled here: bring all files to one rate, then leave the settings out or give \
         `--features {}`",
        file.display(), Extraction::LogMel(LogMel::for_rate(*found))
    )]
    Rate {
        /// The file.
        file: PathBuf,
        /// Its rate.
        found: u32,
        /// The rate that the features are made for.
        expected: u32,
    },

    /// Text that is not what it should be.
    #[error(
        "`{}` line {line} column {column}: {why}; expected {expected}",
        file.display()
    )]
    Json {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1 in bytes.
        column: usize,
        /// What is wrong there, with the entry.
        why: String,
        /// What the file should hold.
        expected: &'static str,
    },

    /// A MATLAB file that is not what its set has.
    #[error("`{}` at offset {offset}: {found}; expected {expected}", file.display())]
    Matlab {
        /// The file.
        file: PathBuf,
        /// Where, in bytes; within an array that is compressed, of its uncompressed contents.
        offset: u64,
        /// What is there.
        found: String,
        /// What should be.
        expected: &'static str,
    },

    /// A picture that cannot be read.
    #[error("`{}` is no picture that can be read: {why}", file.display())]
    Picture {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },

    /// A picture unlike the first one.
    #[error(
        "`{}` is {}, the first picture {}; bring all to one size with `--features {}`",
        file.display(), told(found), told(expected), Extraction::Picture(*expected)
    )]
    PictureShape {
        /// The file.
        file: PathBuf,
        /// Its size and channels.
        found: Picture,
        /// Those of the first picture.
        expected: Picture,
    },
}

/// A size, as people say it.
fn told(of: &Picture) -> String {
    let colour = if of.channels == 1 { "grey" } else { "colour" };
    format!("{} x {} in {colour}", of.width, of.height)
}
