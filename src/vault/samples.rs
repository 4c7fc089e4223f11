//! One sample, as it comes, and as a record of the index.
//!
//! A record is `epoch (u64) | held (u8) | people (u8) | handles (16 each, in order) | sealed`. The sealed
//! part holds label, group and values; all before it, and the sample's number, are its associated data.

use zeroize::{Zeroize, Zeroizing};

use super::handle::Handle;
use super::seal::Key;
use crate::base::bytes::{Reader, ShortRead};
use crate::base::entropy::EntropyError;
use crate::base::hash::Digest;

/// The most people of one sample.
pub const MAX_OWNERS: usize = 16;
/// The longest label or group, in bytes.
pub const MAX_WORD: usize = 128;
/// The most values of one sample.
pub const MAX_VALUES: usize = 1 << 22;

const CONTEXT: &str = "unlearn vault: sample, version 1";

/// The numbers of a sample. Overwritten when dropped: they are somebody's.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Bytes that stand for `byte / 255`.
    Bytes(Vec<u8>),
    /// Numbers as they are.
    Floats(Vec<f32>),
}

impl Values {
    /// Bytes that they take.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Floats(floats) => 4 * floats.len() as u64,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Floats(floats) => floats.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for Values {
    fn drop(&mut self) {
        match self {
            Self::Bytes(bytes) => bytes.zeroize(),
            Self::Floats(floats) => floats.zeroize(),
        }
    }
}

/// A sample on its way in.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSample {
    /// Whose it is: one to sixteen people, each once.
    pub people: Vec<Handle>,
    /// What it shows, the name of a class: 1 to 128 bytes, no control characters.
    pub label: String,
    /// What it must not be parted from, written likewise: windows of one recording have one group.
    pub group: Option<String>,
    /// Its numbers.
    pub values: Values,
}

/// A sample that was opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its number: samples are counted as they come, and no number comes twice.
    pub number: u64,
    /// Whose it is, in order.
    pub people: Vec<Handle>,
    /// Whether it only measures and is never learnt from.
    pub held: bool,
    /// The name of its class.
    pub label: String,
    /// What it must not be parted from.
    pub group: Option<String>,
    /// Its numbers.
    pub values: Values,
}

/// How many samples, and what they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Count {
    /// All samples.
    pub samples: u64,
    /// Those of them that only measure.
    pub held: u64,
    /// Bytes of their records.
    pub bytes: u64,
}

impl NewSample {
    /// Which rule it breaks, if any.
    pub(super) fn fault(&self) -> Option<String> {
        if self.people.is_empty() || self.people.len() > MAX_OWNERS {
            let found = self.people.len();
            return Some(format!("it has {found} subjects, expected 1 to {MAX_OWNERS}"));
        }
        if self.people.windows(2).any(|two| two[0] >= two[1]) {
            return Some("a subject is named twice".into());
        }
        broken_rule(&self.label, self.group.as_deref(), &self.values)
    }

    /// The sealed part before it is sealed.
    pub(super) fn text(&self) -> Zeroizing<Vec<u8>> {
        let group = self.group.as_deref().unwrap_or_default();
        let bytes = match &self.values {
            Values::Bytes(bytes) => bytes.len(),
            Values::Floats(floats) => 4 * floats.len(),
        };
        let size = 3 + self.label.len() + group.len() + bytes;
        let mut out = Zeroizing::new(Vec::with_capacity(size));
        for word in [&self.label, group] {
            // At most 128 bytes: it was checked.
            out.push(word.len() as u8);
            out.extend(word.as_bytes());
        }
        match &self.values {
            Values::Bytes(bytes) => {
                out.push(0);
                out.extend(bytes);
            }
            Values::Floats(floats) => {
                out.push(1);
                out.extend(floats.iter().flat_map(|value| value.to_le_bytes()));
            }
        }
        out
    }
}

/// Which rule a sample with this label, group and values breaks, if any, whosever it is.
pub fn broken_rule(label: &str, group: Option<&str>, values: &Values) -> Option<String> {
    let word = |what, word: &str| {
        let (bytes, well) = (word.len(), !word.chars().any(char::is_control));
        let fits = well && (1..=MAX_WORD).contains(&bytes);
        (!fits).then(|| {
            let control = if well { "" } else { ", some of them control characters" };
            let expected = format!("1 to {MAX_WORD} without control characters");
            format!("{what} has {bytes} bytes{control}, expected {expected}")
        })
    };
    if !(1..=MAX_VALUES).contains(&values.len()) {
        let found = values.len();
        return Some(format!("it has {found} values, expected 1 to {MAX_VALUES}"));
    }
    if let Values::Floats(floats) = values
        && let Some(at) = floats.iter().position(|value| !value.is_finite())
    {
        return Some(format!("value {at} is {}, expected a finite number", floats[at]));
    }
    word("its label", label).or_else(|| group.and_then(|group| word("its group", group)))
}

/// The part of a record that is not sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The generation of the keyring when it was written.
    pub epoch: u64,
    /// Whether it only measures.
    pub held: bool,
    /// Whose it is, in order.
    pub people: Vec<Handle>,
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut out = self.epoch.to_le_bytes().to_vec();
        out.extend([u8::from(self.held), self.people.len() as u8]);
        out.extend(self.people.iter().flat_map(|handle| handle.0));
        out
    }

    /// The header of a record, and the sealed part behind it. `None` if it is no record.
    pub(super) fn decode(record: &[u8]) -> Option<(Self, &[u8])> {
        let mut reader = Reader::new(record);
        let mut read = || -> Result<Self, ShortRead> {
            let epoch = reader.u64()?;
            let held = reader.u8()? != 0;
            let count = usize::from(reader.u8()?);
            let people =
                (0..count).map(|_| reader.array().map(Handle)).collect::<Result<_, _>>()?;
            Ok(Self { epoch, held, people })
        };
        let header = read().ok()?;
        let well = (1..=MAX_OWNERS).contains(&header.people.len());
        well.then(|| (header, &record[reader.position()..]))
    }

    /// Seals `text` behind this header, for the sample of this number.
    pub(super) fn seal(
        &self,
        key: &Key,
        number: u64,
        text: &[u8],
    ) -> Result<Vec<u8>, EntropyError> {
        let mut record = self.encode();
        let about = [&record[..], &number.to_le_bytes()].concat();
        record.extend(key.seal(CONTEXT, &about, text)?);
        Ok(record)
    }

    /// The sample that a record holds; `None` if it does not open or decode.
    pub(super) fn open(self, key: &Key, number: u64, sealed: &[u8]) -> Option<Sample> {
        let about = [&self.encode()[..], &number.to_le_bytes()].concat();
        let text = key.open(CONTEXT, &about, sealed)?;
        let mut reader = Reader::new(&text);
        let mut word = || {
            let len = usize::from(reader.u8().ok()?);
            Some(std::str::from_utf8(reader.take(len).ok()?).ok()?.to_string())
        };
        let (label, group) = (word()?, word()?);
        let kind = reader.u8().ok()?;
        let rest = reader.take(reader.remaining()).ok()?;
        let values = match kind {
            0 => Values::Bytes(rest.to_vec()),
            1 if rest.len().is_multiple_of(4) => Values::Floats(
                rest.chunks_exact(4)
                    .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                    .collect(),
            ),
            _ => return None,
        };
        let group = (!group.is_empty()).then_some(group);
        Some(Sample { number, people: self.people, held: self.held, label, group, values })
    }

    /// Whether it is a sample of one of `people`.
    pub fn concerns(&self, people: &[Handle]) -> bool {
        self.people.iter().any(|person| people.contains(person))
    }

    /// What stands for these people together in the index, whose other columns it does not open.
    pub(super) fn set(people: &[Handle]) -> [u8; 16] {
        let all: Vec<u8> = people.iter().flat_map(|handle| handle.0).collect();
        short(Digest::of_parts("unlearn vault: a set of people, version 1", &[&all]))
    }
}

/// The first half of a digest.
pub fn short(digest: Digest) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&digest.0[..16]);
    out
}
