//! The arithmetic that makes samples of sound, text and pictures.
//!
//! Knows no files and no layouts: what comes in was decoded and bounded by a loader.

mod log_mel;
mod ngrams;
mod picture;

pub(super) use log_mel::Spectrogram;
pub(super) use ngrams::hashed_ngrams;
pub(super) use picture::Pixels;
