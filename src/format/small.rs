//! The small structured sections: class names and feature extraction, facts, calibration tables.
//!
//! They are postcard. A list grows only as its entries are read, so a count that lies costs
//! nothing, and a section that would not be written the way it is read is refused.

use serde::de::{DeserializeOwned, Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::error::FormatError;
use super::limits::{MAX_CALIBRATION_VALUES, MAX_CLASSES, MAX_ENTRIES, MAX_NAME, MAX_TEXT};
use super::types::SectionKind;

/// A key or a name and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The key: 1 to 128 bytes, once per list.
    #[serde(deserialize_with = "text::<_, MAX_NAME>")]
    pub key: String,
    /// The value: at most 4096 bytes.
    #[serde(deserialize_with = "text::<_, MAX_TEXT>")]
    pub value: String,
}

impl Entry {
    /// An entry of these two.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

/// Whose data the model was made from, as its maker declares it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Provenance {
    /// Nobody said.
    #[default]
    Undeclared,
    /// No subject of the device is in it.
    Population,
    /// People of this site are in it.
    Enrolled,
}

/// How the model came about: an ordered list of named texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Whose data the model was made from.
    pub provenance: Provenance,
    #[serde(deserialize_with = "list::<_, _, MAX_ENTRIES>")]
    entries: Vec<Entry>,
}

impl Facts {
    /// No facts yet, but the provenance.
    pub fn new(provenance: Provenance) -> Self {
        Self { provenance, entries: Vec::new() }
    }

    /// Sets a fact: in its old place if the key is known, else last. Limits are held on writing.
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let entry = Entry::new(key, value);
        match self.entries.iter_mut().find(|e| e.key == entry.key) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
        self
    }

    /// The value of a fact.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|e| e.key == key).map(|e| &*e.value)
    }

    /// All facts, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// How samples become what the network takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// The method: `log-mel`, `hashed-ngrams`.
    #[serde(deserialize_with = "text::<_, MAX_NAME>")]
    pub kind: String,
    /// Its parameters, in order.
    #[serde(deserialize_with = "list::<_, _, MAX_ENTRIES>")]
    pub parameters: Vec<Entry>,
}

/// What the outputs are called, and how samples become inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassesAndFeatures {
    /// Class names in label order: at most 65,536, each 1 to 128 bytes.
    #[serde(deserialize_with = "names")]
    pub classes: Vec<String>,
    /// The feature extraction; `None` where samples are taken as they are.
    pub features: Option<Features>,
}

impl ClassesAndFeatures {
    /// These classes, of samples that are taken as they are.
    pub fn plain(classes: Vec<String>) -> Self {
        Self { classes, features: None }
    }
}

/// Named rows of numbers, as a quantised or calibrated network needs them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The tables, in order, each name once.
    #[serde(deserialize_with = "list::<_, _, MAX_ENTRIES>")]
    pub tables: Vec<CalibrationTable>,
}

/// One named row of numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationTable {
    /// What the numbers are: 1 to 128 bytes.
    #[serde(deserialize_with = "text::<_, MAX_NAME>")]
    pub name: String,
    /// The numbers: at most 65,536, all finite.
    #[serde(deserialize_with = "list::<_, _, MAX_CALIBRATION_VALUES>")]
    pub values: Vec<f32>,
}

/// A section that is one postcard value, with the rules its types alone cannot keep.
pub(crate) trait Small: Serialize + DeserializeOwned + PartialEq {
    /// Where it lies.
    const SECTION: SectionKind;

    /// Names that must differ.
    fn names(&self) -> Vec<&str>;

    /// A rule that is broken, if any.
    fn fault(&self) -> Option<&'static str> {
        None
    }
}

impl Small for Facts {
    const SECTION: SectionKind = SectionKind::FACTS;
    fn names(&self) -> Vec<&str> {
        self.entries.iter().map(|e| &*e.key).collect()
    }
    fn fault(&self) -> Option<&'static str> {
        self.names().contains(&"").then_some("a key is empty")
    }
}

impl Small for ClassesAndFeatures {
    const SECTION: SectionKind = SectionKind::CLASSES;
    fn names(&self) -> Vec<&str> {
        self.classes.iter().map(|c| &**c).collect()
    }
    fn fault(&self) -> Option<&'static str> {
        let features = self.features.iter();
        let mut keys: Vec<&str> =
            features.flat_map(|f| f.parameters.iter().map(|e| &*e.key)).collect();
        if keys.contains(&"") || self.names().contains(&"") {
            return Some("a name is empty");
        }
        keys.sort_unstable();
        keys.windows(2).any(|k| k[0] == k[1]).then_some("a parameter is there twice")
    }
}

impl Small for Calibration {
    const SECTION: SectionKind = SectionKind::CALIBRATION;
    fn names(&self) -> Vec<&str> {
        self.tables.iter().map(|t| &*t.name).collect()
    }
    fn fault(&self) -> Option<&'static str> {
        if self.names().contains(&"") {
            return Some("a name is empty");
        }
        let finite = self.tables.iter().flat_map(|t| &t.values).all(|v| v.is_finite());
        (!finite).then_some("a number is not finite")
    }
}

/// Holds a value against the rules of its section.
fn check<S: Small>(value: &S, offset: u64) -> Result<(), FormatError> {
    if let Some(rule) = value.fault() {
        return Err(FormatError::Malformed { section: S::SECTION, offset, rule });
    }
    let mut names = value.names();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            Err(FormatError::Duplicate { section: S::SECTION, name: pair[0].to_string() })
        }
        None => Ok(()),
    }
}

/// The section that holds `value`. What a reader would refuse is not written.
pub(crate) fn encode<S: Small>(value: &S) -> Result<Vec<u8>, FormatError> {
    let rule = "it does not encode";
    let failed = |_| FormatError::Malformed { section: S::SECTION, offset: 0, rule };
    let bytes = postcard::to_allocvec(value).map_err(failed)?;
    decode::<S>(&bytes, 0).map_err(|error| match error {
        FormatError::Malformed { section, offset, rule: DECODE } => {
            let rule = "a list or a text is longer than its limit";
            FormatError::Malformed { section, offset, rule }
        }
        other => other,
    })?;
    Ok(bytes)
}

const DECODE: &str = "it does not decode: it is cut, or a list or text is longer than its limit";

/// The value that the section in `bytes`, at `offset`, holds.
pub(crate) fn decode<S: Small>(bytes: &[u8], offset: u64) -> Result<S, FormatError> {
    let malformed = |rule| FormatError::Malformed { section: S::SECTION, offset, rule };
    let (value, rest) = postcard::take_from_bytes::<S>(bytes).map_err(|_| malformed(DECODE))?;
    if !rest.is_empty() {
        return Err(malformed("bytes follow its end"));
    }
    check(&value, offset)?;
    // One value, one spelling: postcard itself reads numbers with needless zeros.
    let again = postcard::to_allocvec(&value).map_err(|_| malformed(DECODE))?;
    if again != bytes { Err(malformed("it is not spelt the shortest way")) } else { Ok(value) }
}

fn text<'de, D: Deserializer<'de>, const MOST: usize>(from: D) -> Result<String, D::Error> {
    // Borrowed first, so that a text too long is never copied.
    let text = <&str>::deserialize(from)?;
    if text.len() > MOST { Err(D::Error::custom("too long")) } else { Ok(text.to_owned()) }
}

struct Bounded<T, const MOST: usize>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Bounded<T, MOST> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a list of at most {MOST}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Vec<T>, A::Error> {
        if from.size_hint().is_some_and(|claimed| claimed > MOST) {
            return Err(A::Error::custom("too many"));
        }
        let mut list = Vec::new();
        while let Some(item) = from.next_element()? {
            list.push(item);
        }
        Ok(list)
    }
}

fn list<'de, D, T, const MOST: usize>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    from.deserialize_seq(Bounded::<T, MOST>(std::marker::PhantomData))
}

/// A name on its way into a list.
#[derive(Deserialize)]
struct Name(#[serde(deserialize_with = "text::<_, MAX_NAME>")] String);

fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(list::<D, Name, MAX_CLASSES>(from)?.into_iter().map(|name| name.0).collect())
}
