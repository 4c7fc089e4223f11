//! The anchor set of a package: drawn for a new model, kept from an old one, told to a person.

use serde_json::{Value, json};

use super::fault::Fault;
use super::past::Past;
use crate::base::units::Bytes;
use crate::data::{Anchor, Splits};
use crate::erase::anchor;
use crate::format::{AnchorPart, AnchorSet, AnchorValues};
use crate::model::file::Artifact;

/// Options of commands that make packages.
#[derive(clap::Args, Debug, Clone)]
#[command(next_help_heading = "Package")]
pub(super) struct AnchorArgs {
    /// Put N samples into the file as its anchor set, every class in both parts: three quarters from
    /// the training part, to repair a device's model with, the rest from the test part, to measure it.
    /// Whoever has the file can read them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub anchor: Option<u32>,
}

impl AnchorArgs {
    /// The set that was asked for, of data that `past` left already. Nobody whom `past` names is in
    /// it, not with a test sample either.
    pub(super) fn draw(
        &self,
        data: &Splits,
        past: &Past,
        seed: u64,
    ) -> Result<Option<AnchorSet>, Fault> {
        let Some(samples) = self.anchor else { return Ok(None) };
        let gone = past.gone_tests(&data.test)?;
        let stays: Vec<usize> =
            (0..data.test.len()).filter(|index| gone.binary_search(index).is_err()).collect();
        let test = data.test.subset(&stays);
        let drawn = Anchor::draw(&data.train, &test, samples as usize, seed)?;
        Ok(Some(anchor::packed(&drawn)?))
    }
}

/// The set of a model without the samples that `past` names, and a note if it lost some.
pub(super) fn kept(
    model: &Artifact,
    data: &Splits,
    past: &Past,
) -> Result<(Option<AnchorSet>, Option<String>), Fault> {
    let Some(set) = &model.anchor else { return Ok((None, None)) };
    if past.is_empty() {
        return Ok((Some(set.clone()), None));
    }
    let (gone, tests) = (past.gone(&data.train)?, past.gone_tests(&data.test)?);
    let (left, lost) = anchor::without(set, &[(&data.train, &gone), (&data.test, &tests)])?;
    let note = match (lost, &left) {
        (0, _) => None,
        (_, Some(_)) => Some(format!(
            "{lost} of {} samples left the anchor set: they were to be forgotten",
            set.labels.len()
        )),
        (_, None) => Some(
            "the anchor set left the file: what was to be forgotten was all that a part of it held"
                .to_string(),
        ),
    };
    Ok((left, note))
}

/// A note where people are named in data of which samples go into a file.
pub(super) fn people(set: Option<&AnchorSet>, data: &Splits) -> Option<String> {
    let named = !data.train.subjects.is_empty() || !data.test.subjects.is_empty();
    (set.is_some() && named).then(|| {
        "the anchor set holds samples of people whom the data names: whoever has the file can read \
         them"
            .to_string()
    })
}

/// Bytes of a set in memory.
pub(super) fn bytes(set: Option<&AnchorSet>) -> u64 {
    set.map_or(0, |set| 5 * set.labels.len() as u64 + value_bytes(set))
}

/// Bytes that a set takes from its draw until it lies in a written file that was read back: itself, and
/// what the file is put together from.
pub(super) fn in_file(set: Option<&AnchorSet>) -> u64 {
    4 * bytes(set)
}

fn value_bytes(set: &AnchorSet) -> u64 {
    match &set.values {
        AnchorValues::Bytes(bytes) => bytes.len() as u64,
        AnchorValues::Floats(floats) => 4 * floats.len() as u64,
    }
}

fn part(set: &AnchorSet, part: AnchorPart) -> usize {
    set.parts.iter().filter(|&&found| found == part).count()
}

fn kind(set: &AnchorSet) -> &'static str {
    match &set.values {
        AnchorValues::Bytes(_) => "bytes",
        AnchorValues::Floats(_) => "floats",
    }
}

/// The set in words.
pub(super) fn told(set: Option<&AnchorSet>) -> String {
    let Some(set) = set else { return "none".into() };
    let [channels, height, width] = set.shape;
    format!(
        "{} samples of {channels}x{height}x{width} {}, {}: {} to train, {} to calibrate",
        set.labels.len(),
        kind(set),
        Bytes(value_bytes(set)),
        part(set, AnchorPart::Train),
        part(set, AnchorPart::Calibrate),
    )
}

/// A line about the set, where there is one.
pub(super) fn line(set: Option<&AnchorSet>) -> String {
    set.map_or_else(String::new, |_| format!("anchor set: {}\n", told(set)))
}

/// The set as JSON.
pub(super) fn value(set: Option<&AnchorSet>) -> Value {
    let Some(set) = set else { return Value::Null };
    json!({
        "samples": set.labels.len(), "train": part(set, AnchorPart::Train),
        "calibrate": part(set, AnchorPart::Calibrate), "shape": set.shape, "values": kind(set),
        "value_bytes": value_bytes(set),
    })
}
