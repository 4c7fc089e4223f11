//! Sound in WAV files, one a sample, to log-mel spectrograms ([`LogMel`]).
//!
//! Channels are averaged to one. What a file is a sample of, its name says, in one of these ways:
//!
//! - a `list.csv` with columns `path` and `label`, and, if wished, `subject` and `split`;
//! - `DIGIT_SPEAKER_NUMBER.wav`, as in the Free Spoken Digit Dataset (Jackson et al.): the class is
//!   the digit, the subject the speaker, and numbers 0 to 4 are the test part, as that set says;
//! - `WORD/SPEAKER_nohash_NUMBER.wav`, as in Speech Commands (Warden, 2018): the subject is the
//!   speaker; what `testing_list.txt` names is the test part, what `validation_list.txt` names is in
//!   no part;
//! - `CLASS/NAME.wav`, or `train/CLASS/NAME.wav` and `test/CLASS/NAME.wav`.
//!
//! Without a test part, a fifth of each class becomes one. `_background_noise_` holds no samples.

use std::io;
use std::path::Path;

use hound::{SampleFormat, WavReader};

use super::collect::{Collected, Wanted, collect};
use super::error::SignalError;
use super::features::Spectrogram;
use super::layout::{Files, Media, Part, Place, by_folders, shared_root};
use super::lists::{LIST, Listed, by_list, find, is_list};
use super::tree::Tree;
use crate::data::error::DataError;
use crate::data::extraction::{Extraction, LogMel};
use crate::data::open::{Kind, Parts, Reading};

/// The most seconds of one file.
const MAX_SECONDS: u32 = 60;
/// Rates for which [`LogMel::for_rate`] makes sense.
const RATES: std::ops::RangeInclusive<u32> = 1000..=384_000;
const NOISE: &str = "_background_noise_";
/// Numbers of the Free Spoken Digit Dataset below this one are its test part.
const FIRST_TO_LEARN: u32 = 5;

/// How [`crate::data::open`] knows this kind.
pub(in crate::data) const KIND: Kind = Kind {
    name: "sound",
    looked_for: "WAV files (CLASS/NAME.wav, DIGIT_SPEAKER_NUMBER.wav or named in a list.csv; in a \
                 folder, or in a .tar, .tar.gz or .tar.xz)",
    takes: Some("log-mel"),
    single: true,
    is_here: |path| Media::at(path) == Some(Media::Sound),
    open,
};

fn open(path: &Path, how: &Reading) -> Result<Parts, DataError> {
    let Some(tree) = Tree::at(path) else {
        return Err(DataError::NoSamples { what: format!("`{}`", path.display()) });
    };
    let asked = match how.extraction {
        Some(Extraction::LogMel(settings)) => Some(settings),
        _ => None,
    };
    let wanted = Wanted { sample: is_sample, list: is_list };
    let fit = |file: &Path, bytes: &[u8]| {
        let settings = match asked {
            Some(settings) => settings,
            None => LogMel::for_rate(rate(file, bytes)?),
        };
        Ok((Spectrogram::new(&settings), Extraction::LogMel(settings)))
    };
    let sample = |spectrogram: &Spectrogram, file: &Path, bytes: &[u8]| {
        Ok(spectrogram.of(&heard(file, bytes, spectrogram.rate())?))
    };
    let Collected { names, values, extraction, lists } =
        collect(&tree, &how.room, &wanted, fit, sample)?;
    let places = places(path, &names, &lists)?;
    let files = Files { names, places, values, shape: extraction.shape() };
    let (train, test) = files.parts(path)?;
    Ok(Parts { extraction: Some(extraction), ..Parts::plain(train, test) })
}

fn is_sample(name: &str) -> bool {
    Media::of(name) == Some(Media::Sound) && name.split('/').all(|part| part != NOISE)
}

/// What the files are samples of, by the first of the ways above that fits.
fn places(
    path: &Path,
    names: &[String],
    lists: &[(String, Vec<u8>)],
) -> Result<Vec<Option<Place>>, DataError> {
    if let Some(list) = find(lists, LIST) {
        return by_list(path, list, names);
    }
    let root = shared_root(names);
    let digits: Option<Vec<Option<Place>>> =
        names.iter().map(|name| spoken_digit(&name[root..]).map(Some)).collect();
    if let Some(places) = digits {
        return Ok(places);
    }
    let mut places = by_folders(path, names)?;
    let speakers: Option<Vec<&str>> = names.iter().map(|name| speaker(name)).collect();
    for (place, speaker) in places.iter_mut().zip(speakers.unwrap_or_default()) {
        place.subject = Some(speaker.to_string());
    }
    if let Some(listed) = Listed::of(path, lists)? {
        let parts: Vec<Option<Part>> = names.iter().map(|name| listed.part(name)).collect();
        places.iter_mut().zip(parts).for_each(|(place, part)| place.part = part);
    }
    Ok(places.into_iter().map(Some).collect())
}

/// What `DIGIT_SPEAKER_NUMBER.wav` says.
fn spoken_digit(name: &str) -> Option<Place> {
    let mut words = name.rsplit_once('.')?.0.split('_');
    let (class, subject, number) = (words.next()?, words.next()?, words.next()?);
    let number: u32 = number.parse().ok()?;
    let is_one = class.len() == 1 && class.as_bytes()[0].is_ascii_digit();
    let fits = is_one && !subject.is_empty() && !name.contains('/') && words.next().is_none();
    let part = if number < FIRST_TO_LEARN { Part::Test } else { Part::Train };
    let place =
        || Place { class: class.to_string(), subject: Some(subject.to_string()), part: Some(part) };
    fits.then(place)
}

/// The speaker in `WORD/SPEAKER_nohash_NUMBER.wav`.
fn speaker(name: &str) -> Option<&str> {
    let own = name.rsplit('/').next()?;
    own.split_once("_nohash_").map(|(speaker, _)| speaker).filter(|speaker| !speaker.is_empty())
}

fn refused(file: &Path) -> impl Fn(hound::Error) -> DataError + '_ {
    move |source| SignalError::Sound { file: file.to_path_buf(), source }.into()
}

/// The rate of a file.
fn rate(file: &Path, bytes: &[u8]) -> Result<u32, DataError> {
    let found = WavReader::new(bytes).map_err(refused(file))?.spec().sample_rate;
    if RATES.contains(&found) {
        return Ok(found);
    }
    Err(SignalError::RateLimit { file: file.to_path_buf(), found }.into())
}

/// The sound of a file, its channels averaged, full scale at 1.
fn heard(file: &Path, bytes: &[u8], expected: u32) -> Result<Vec<f32>, DataError> {
    let found = rate(file, bytes)?;
    if found != expected {
        return Err(SignalError::Rate { file: file.to_path_buf(), found, expected }.into());
    }
    let mut reader = WavReader::new(bytes).map_err(refused(file))?;
    let (spec, length) = (reader.spec(), u64::from(reader.duration()));
    if length == 0 || length > u64::from(found) * u64::from(MAX_SECONDS) {
        let (file, rate, limit) = (file.to_path_buf(), found, MAX_SECONDS);
        return Err(SignalError::SoundLength { file, found: length, rate, limit }.into());
    }
    let channels = usize::from(spec.channels);
    let mut sound = Vec::new();
    match spec.sample_format {
        SampleFormat::Float => mix(reader.samples::<f32>(), channels, 1.0, &mut sound),
        SampleFormat::Int => {
            let scale = 0.5f32.powi(i32::from(spec.bits_per_sample) - 1);
            let samples = reader.samples::<i32>().map(|value| value.map(|value| value as f32));
            mix(samples, channels, scale, &mut sound)
        }
    }
    .map_err(refused(file))?;
    match sound.iter().position(|value| !value.is_finite()) {
        None => Ok(sound),
        Some(position) => {
            let (file, found) = (file.to_path_buf(), sound[position]);
            Err(SignalError::SoundValue { file, position, found }.into())
        }
    }
}

/// Appends the mean over the channels of each moment, times `scale`, in ascending channels.
fn mix(
    mut samples: impl Iterator<Item = Result<f32, hound::Error>>,
    channels: usize,
    scale: f32,
    out: &mut Vec<f32>,
) -> Result<(), hound::Error> {
    let scale = scale / channels as f32;
    while let Some(first) = samples.next() {
        let mut sum = first?;
        for _ in 1..channels {
            let cut = || hound::Error::IoError(io::ErrorKind::UnexpectedEof.into());
            sum += samples.next().ok_or_else(cut)??;
        }
        out.push(sum * scale);
    }
    Ok(())
}
