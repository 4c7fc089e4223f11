//! The anchor set: a small public set of samples inside the model file.

use super::error::FormatError;
use super::limits::MAX_ANCHOR_SAMPLES;
use super::types::SectionKind;
use crate::base::bytes::{Reader, ShortRead};

const SECTION: SectionKind = SectionKind::ANCHOR;
const HEAD: u64 = 32;

/// What an anchor sample is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnchorPart {
    /// It trains.
    Train,
    /// It calibrates and measures, and is never trained on.
    Calibrate,
}

/// The values of all anchor samples, one sample after another, each `[C, H, W]`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum AnchorValues {
    /// Bytes that stand for `byte / 255`.
    Bytes(Vec<u8>),
    /// Numbers as they are, all finite.
    Floats(Vec<f32>),
}

/// A small public set of labelled samples.
#[derive(Clone, Debug, PartialEq)]
pub struct AnchorSet {
    /// Channels, height, width of one sample.
    pub shape: [u32; 3],
    /// The class of each sample.
    pub labels: Vec<u32>,
    /// What each sample is for.
    pub parts: Vec<AnchorPart>,
    /// The samples.
    pub values: AnchorValues,
}

fn claim(offset: u64, what: &'static str, claimed: u64, expected: u64) -> FormatError {
    FormatError::Claim { section: SECTION, offset, what, claimed, expected }
}

/// Values of `samples` samples of this shape.
fn value_count(shape: [u32; 3], samples: u64) -> Option<u64> {
    shape.iter().try_fold(samples, |product, &dim| product.checked_mul(dim.into()))
}

impl AnchorSet {
    /// Holds counts, labels and values against each other; `classes` is 0 where none are named.
    fn check(&self, at: u64, classes: usize) -> Result<(), FormatError> {
        let samples = self.labels.len() as u64;
        if samples > MAX_ANCHOR_SAMPLES.into() {
            let (what, most) = ("the number of samples", MAX_ANCHOR_SAMPLES.into());
            let (section, claimed) = (SECTION, samples);
            return Err(FormatError::TooMuch { section, offset: at, what, claimed, most });
        }
        if self.parts.len() as u64 != samples {
            return Err(claim(at, "the number of parts", self.parts.len() as u64, samples));
        }
        let values = match &self.values {
            AnchorValues::Bytes(bytes) => bytes.len(),
            AnchorValues::Floats(floats) => floats.len(),
        } as u64;
        let expected = value_count(self.shape, samples).unwrap_or(u64::MAX);
        if values != expected {
            return Err(claim(at, "the number of values", values, expected));
        }
        let outside = |&&label: &&u32| classes > 0 && label as usize >= classes;
        if let Some(&label) = self.labels.iter().find(outside) {
            let (what, claimed, most) = ("a label", label.into(), classes as u64 - 1);
            return Err(FormatError::TooMuch { section: SECTION, offset: at, what, claimed, most });
        }
        if let AnchorValues::Floats(floats) = &self.values
            && let Some(index) = floats.iter().position(|v| !v.is_finite())
        {
            let tensor = SECTION.to_string();
            return Err(FormatError::NotFinite { tensor, index, value: floats[index] });
        }
        Ok(())
    }

    pub(crate) fn encode(&self, classes: usize) -> Result<Vec<u8>, FormatError> {
        self.check(0, classes)?;
        let kind = u32::from(matches!(self.values, AnchorValues::Floats(_)));
        let [channels, height, width] = self.shape;
        // The count was held against its limit.
        let head = [kind, channels, height, width, self.labels.len() as u32, 0, 0, 0];
        let mut out: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).collect();
        out.extend(self.labels.iter().flat_map(|label| label.to_le_bytes()));
        out.extend(self.parts.iter().map(|part| u8::from(*part == AnchorPart::Calibrate)));
        out.resize(out.len().next_multiple_of(4), 0);
        match &self.values {
            AnchorValues::Bytes(bytes) => out.extend(bytes),
            AnchorValues::Floats(floats) => out.extend(floats.iter().flat_map(|v| v.to_le_bytes())),
        }
        Ok(out)
    }

    /// The set that the section in `bytes`, at `at`, holds.
    pub(crate) fn decode(bytes: &[u8], at: u64, classes: usize) -> Result<Self, FormatError> {
        let short =
            |e: ShortRead| claim(at, "the length", e.end, e.offset.saturating_add(e.wanted));
        let mut reader = Reader::new(bytes);
        let mut head = [0u32; 8];
        for word in &mut head {
            *word = reader.u32().map_err(short)?;
        }
        let [kind, channels, height, width, samples, reserved @ ..] = head;
        if kind > 1 || reserved != [0; 3] {
            let rule = "the type of its values is unknown, or a reserved word is not zero";
            return Err(FormatError::Malformed { section: SECTION, offset: at, rule });
        }
        let shape = [channels, height, width];
        let count = u64::from(samples);
        let size = if kind == 1 { 4 } else { 1 };
        let expected = value_count(shape, count)
            .and_then(|values| values.checked_mul(size))
            .and_then(|len| len.checked_add(HEAD + count * 4 + count.next_multiple_of(4)))
            .unwrap_or(u64::MAX);
        if bytes.len() as u64 != expected {
            return Err(claim(at, "the length", bytes.len() as u64, expected));
        }
        // From here on every count is backed by bytes.
        let samples = samples as usize;
        let words = reader.take(samples * 4).map_err(short)?.chunks_exact(4);
        let labels = words.map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let marks = reader.take(samples.next_multiple_of(4)).map_err(short)?;
        let parts = read_parts(marks, samples, at)?;
        let rest = reader.take(reader.remaining()).map_err(short)?;
        let words = rest.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let values = match kind {
            0 => AnchorValues::Bytes(rest.to_vec()),
            _ => AnchorValues::Floats(words.collect()),
        };
        let set = Self { shape, labels, parts, values };
        set.check(at, classes)?;
        Ok(set)
    }
}

fn read_parts(marks: &[u8], samples: usize, at: u64) -> Result<Vec<AnchorPart>, FormatError> {
    let (marks, padding) = marks.split_at(samples);
    if let Some(&byte) = padding.iter().find(|&&byte| byte != 0) {
        return Err(claim(at, "the padding after the parts", byte.into(), 0));
    }
    marks
        .iter()
        .map(|mark| match mark {
            0 => Ok(AnchorPart::Train),
            1 => Ok(AnchorPart::Calibrate),
            _ => {
                let (what, claimed) = ("a part", u64::from(*mark));
                Err(FormatError::TooMuch { section: SECTION, offset: at, what, claimed, most: 1 })
            }
        })
        .collect()
}
