//! How samples are made of what files hold: the settings of a feature extraction, and their one
//! spelling, `KIND:KEY=VALUE,...`.
//!
//! A model that was trained on extracted features holds the settings in its file, and whoever uses it
//! later extracts with those. The work itself is done by the loaders that take them.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::DataError;
use super::limits::MAX_SIDE;

/// How an extraction may be written, for messages.
pub(crate) const FORMS: &str = "log-mel:KEY=VALUE,..., hashed-ngrams:KEY=VALUE,... or \
     picture:KEY=VALUE,... (what is left out keeps its default)";

/// Settings of one feature extraction.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Extraction {
    /// Sound to a log-mel spectrogram.
    LogMel(LogMel),
    /// Text to counts of hashed n-grams.
    HashedNgrams(HashedNgrams),
    /// Pictures to one size and number of channels.
    Picture(Picture),
}

/// Sound to a spectrogram `[1, mels, frames]`, lowest band first: the logarithm of the power in bands
/// that are even on the mel scale.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogMel {
    /// Samples of sound a second that a file must have, in Hz. Default 8000.
    pub rate: u32,
    /// Length of one window, in samples of sound. Default 256.
    pub window: usize,
    /// From one window to the next, in samples of sound. Default 128.
    pub hop: usize,
    /// Bands. Default 40.
    pub mels: usize,
    /// Lower edge of the lowest band, in Hz. Default 40.
    pub low: f32,
    /// Upper edge of the highest band, in Hz; at most half of `rate`. Default 4000.
    pub high: f32,
    /// Windows in a sample: shorter sound is followed by silence, longer sound is cut. Default 64.
    pub frames: usize,
    /// Added to the power before the logarithm, so that silence stays finite. Default 1e-6.
    pub floor: f32,
    /// Whether each sample is brought to mean 0 and standard deviation 1. Default true.
    pub normalise: bool,
}

impl Default for LogMel {
    fn default() -> Self {
        Self {
            rate: 8000,
            window: 256,
            hop: 128,
            mels: 40,
            low: 40.0,
            high: 4000.0,
            frames: 64,
            floor: 1e-6,
            normalise: true,
        }
    }
}

/// Text to a vector `[dimensions, 1, 1]`: n-grams of words and of characters, each counted at the place
/// that its digest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HashedNgrams {
    /// Length of the vector. Default 2048.
    pub dimensions: usize,
    /// Words in the longest n-gram of words; 0 takes none. Default 2.
    pub words: usize,
    /// Characters in the shortest n-gram inside a word. Default 3.
    pub shortest: usize,
    /// Characters in the longest n-gram inside a word; 0 takes none. Default 4.
    pub longest: usize,
}

impl Default for HashedNgrams {
    fn default() -> Self {
        Self { dimensions: 2048, words: 2, shortest: 3, longest: 4 }
    }
}

/// Pictures to `[channels, height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Picture {
    /// 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl LogMel {
    /// What sound of `rate` samples a second gets where nothing is said: windows of 32 ms, half as far
    /// from one to the next, and bands up to 8 kHz or half of the rate.
    pub fn for_rate(rate: u32) -> Self {
        let window = rate as usize * 32 / 1000;
        let high = (rate as f32 / 2.0).min(8000.0);
        Self { rate, window, hop: window / 2, high, ..Self::default() }
    }
}

impl Extraction {
    /// Reads what [`fmt::Display`] writes; keys that are left out keep their default.
    ///
    /// # Errors
    /// If the kind or a key is not known, a value is none of its key's, or the settings make no sense.
    pub fn parse(text: &str) -> Result<Self, DataError> {
        let (kind, settings) = text.split_once(':').unwrap_or((text, ""));
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=')?;
            Some((key.trim().to_string(), value.trim().to_string()))
        };
        let pairs: Option<Vec<_>> =
            settings.split(',').filter(|text| !text.trim().is_empty()).map(pair).collect();
        let Some(pairs) = pairs else {
            return Err(wrong(text, "a setting has no `=`"));
        };
        Self::of(kind, pairs.iter().map(|(key, value)| (&**key, &**value)))
    }

    /// The extraction called `kind` with these settings.
    ///
    /// # Errors
    /// As [`Extraction::parse`].
    pub fn of<'a>(
        kind: &str,
        settings: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, DataError> {
        let mut map = Map::new();
        let mut asked = kind.to_string();
        for (place, (key, value)) in settings.enumerate() {
            asked += &format!("{}{key}={value}", if place == 0 { ':' } else { ',' });
            // Numbers and truth values are spelt as in JSON; anything else is refused by the field.
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
            if map.insert(key.to_string(), value).is_some() {
                return Err(wrong(&asked, &format!("`{key}` is there twice")));
            }
        }
        let found = match kind {
            "log-mel" => Self::LogMel(read(map, &asked)?),
            "hashed-ngrams" => Self::HashedNgrams(read(map, &asked)?),
            "picture" => Self::Picture(read(map, &asked)?),
            _ => return Err(wrong(&asked, "its kind is not known")),
        };
        found.check().map_err(|why| wrong(&asked, why))?;
        Ok(found)
    }

    /// `log-mel`, `hashed-ngrams` or `picture`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::LogMel(_) => "log-mel",
            Self::HashedNgrams(_) => "hashed-ngrams",
            Self::Picture(_) => "picture",
        }
    }

    /// Every setting with its value, in a fixed order.
    pub fn settings(&self) -> Vec<(String, String)> {
        // By way of the text: an `f32` of 0.1 is told as 0.1.
        let text = match self {
            Self::LogMel(settings) => serde_json::to_string(settings),
            Self::HashedNgrams(settings) => serde_json::to_string(settings),
            Self::Picture(settings) => serde_json::to_string(settings),
        };
        let map: Map<String, Value> =
            serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default();
        map.into_iter().map(|(key, value)| (key, value.to_string())).collect()
    }

    /// The shape of a sample.
    pub fn shape(&self) -> [usize; 3] {
        match self {
            Self::LogMel(settings) => [1, settings.mels, settings.frames],
            Self::HashedNgrams(settings) => [settings.dimensions, 1, 1],
            Self::Picture(settings) => [settings.channels, settings.height, settings.width],
        }
    }

    /// What makes no sense in the settings, if anything does.
    fn check(&self) -> Result<(), &'static str> {
        let [channels, height, width] = self.shape();
        let sides = [channels, height, width].iter().all(|side| (1..=MAX_SIDE).contains(side));
        let rules: &[(bool, &'static str)] = match self {
            Self::LogMel(s) => &[
                (sides, "mels and frames are 1 to 16384"),
                ((1000..=384_000).contains(&s.rate), "rate is 1000 to 384000 Hz"),
                ((16..=1 << 16).contains(&s.window), "window is 16 to 65536 samples"),
                ((1..=s.window).contains(&s.hop), "hop is 1 to the window"),
                (s.low >= 0.0 && s.low < s.high, "low is 0 or more, and below high"),
                (f64::from(s.high) <= f64::from(s.rate) / 2.0, "high is at most half of rate"),
                (s.floor > 0.0 && s.floor.is_finite(), "floor is above 0"),
            ],
            Self::HashedNgrams(s) => &[
                (sides, "dimensions is 1 to 16384"),
                (s.words <= 5 && s.longest <= 10, "words is at most 5, longest at most 10"),
                (s.words > 0 || s.longest > 0, "words or longest is above 0"),
                (
                    s.longest == 0 || (1..=s.longest).contains(&s.shortest),
                    "shortest is 1 to longest",
                ),
            ],
            Self::Picture(_) => &[
                (sides, "height and width are 1 to 16384"),
                (channels == 1 || channels == 3, "channels is 1 or 3"),
            ],
        };
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, why)| Err(why))
    }
}

impl fmt::Display for Extraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings: Vec<String> =
            self.settings().iter().map(|(key, value)| format!("{key}={value}")).collect();
        write!(f, "{}:{}", self.kind(), settings.join(","))
    }
}

fn read<T: DeserializeOwned>(map: Map<String, Value>, asked: &str) -> Result<T, DataError> {
    serde_json::from_value(Value::Object(map)).map_err(|fault| wrong(asked, &fault.to_string()))
}

fn wrong(asked: &str, why: &str) -> DataError {
    DataError::Extraction { asked: asked.chars().take(200).collect(), why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extraction_is_read_as_it_is_written() {
        let all = [
            Extraction::LogMel(LogMel { floor: 0.1, normalise: false, ..LogMel::default() }),
            Extraction::HashedNgrams(HashedNgrams::default()),
            Extraction::Picture(Picture { channels: 3, height: 32, width: 48 }),
        ];
        for extraction in all {
            let text = extraction.to_string();
            assert_eq!(Extraction::parse(&text).unwrap(), extraction, "{text}");
            let settings = extraction.settings();
            let pairs = settings.iter().map(|(key, value)| (&**key, &**value));
            assert_eq!(Extraction::of(extraction.kind(), pairs).unwrap(), extraction);
        }
        let LogMel { floor, .. } = LogMel { floor: 0.1, ..LogMel::default() };
        let text = Extraction::LogMel(LogMel { floor, ..LogMel::default() }).to_string();
        assert!(text.contains("floor=0.1,"), "{text}");
    }

    #[test]
    fn every_rate_has_settings_that_make_sense() {
        assert_eq!(LogMel::for_rate(8000), LogMel::default());
        for rate in [1000, 8000, 11_025, 16_000, 44_100, 48_000, 384_000] {
            let text = Extraction::LogMel(LogMel::for_rate(rate)).to_string();
            Extraction::parse(&text).unwrap();
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_rule() {
        for (text, word) in [
            ("", "not known"),
            ("mfcc", "not known"),
            ("log-mel:mels", "no `=`"),
            ("log-mel:mels=40,mels=41", "twice"),
            ("log-mel:bands=40", "unknown field"),
            ("log-mel:mels=-1", "invalid"),
            ("log-mel:mels=forty", "invalid"),
            ("log-mel:mels=0", "1 to 16384"),
            ("log-mel:high=5000", "half of rate"),
            ("log-mel:hop=300", "hop"),
            ("log-mel:floor=0", "floor"),
            ("log-mel:floor=1e400", "floor"),
            ("hashed-ngrams:words=0,longest=0", "above 0"),
            ("hashed-ngrams:dimensions=99999999999999999999", "invalid"),
            ("picture:channels=2,height=3,width=3", "1 or 3"),
            ("picture:channels=1", "height"),
        ] {
            let error = Extraction::parse(text).unwrap_err().to_string();
            assert!(error.contains(word), "`{text}` gave `{error}`, expected `{word}`");
        }
    }
}
