//! The anchor set between a model file and the data sets that training and measuring take.
//!
//! `format` knows bytes and no data set, `data` knows no file: here they meet. Bytes stay bytes, which
//! stand for `byte / 255` on both sides.

use std::collections::BTreeSet;

use crate::base::hash::Digest;
use crate::data::{Anchor, DataError, Dataset, Values};
use crate::format::{AnchorPart, AnchorSet, AnchorValues};

/// The set as a model file holds it: first what trains, then what calibrates. Parts of which only one
/// is bytes become floats. Subjects and groups are left behind.
///
/// # Errors
/// If a part is no sound data set, the two have different shapes, or one lies in a file and could not
/// be read.
pub fn packed(anchor: &Anchor) -> Result<AnchorSet, DataError> {
    let Anchor { train, calibrate } = anchor;
    train.check()?;
    calibrate.check()?;
    if train.shape != calibrate.shape {
        let (found, expected) = (calibrate.sample_len(), train.sample_len());
        let what = "a sample that calibrates, beside one that trains,";
        return Err(DataError::Length { what, found, expected });
    }
    let (train, calibrate) = (train.held()?, calibrate.held()?);
    let values = match (&train.values, &calibrate.values) {
        (Values::Bytes(a), Values::Bytes(b)) => AnchorValues::Bytes([&a[..], b].concat()),
        _ => AnchorValues::Floats([floats(&train), floats(&calibrate)].concat()),
    };
    let part = |part, set: &Dataset| std::iter::repeat_n(part, set.len());
    Ok(AnchorSet {
        // A checked set has sides far below 2^32.
        shape: train.shape.map(|side| side as u32),
        labels: [&train.labels[..], &calibrate.labels].concat(),
        parts: part(AnchorPart::Train, &train)
            .chain(part(AnchorPart::Calibrate, &calibrate))
            .collect(),
        values,
    })
}

fn floats(set: &Dataset) -> Vec<f32> {
    let mut out = vec![0.0; set.len() * set.sample_len()];
    for (index, sample) in out.chunks_exact_mut(set.sample_len().max(1)).enumerate() {
        set.read(index, sample);
    }
    out
}

/// The two parts of a set, of the model's `classes`.
///
/// # Errors
/// If a part is empty, or the set does not fit itself or the classes.
pub fn unpacked(set: &AnchorSet, classes: &[String]) -> Result<Anchor, DataError> {
    let samples = set.labels.len();
    let length = |what, found, expected| match found == expected {
        true => Ok(()),
        false => Err(DataError::Length { what, found, expected }),
    };
    length("the list of parts of the anchor set", set.parts.len(), samples)?;
    // A file was held against this when it was opened; a set that somebody made was not.
    let sample = set.shape.iter().try_fold(1usize, |all, &side| all.checked_mul(side as usize));
    let expected = sample.and_then(|len| len.checked_mul(samples)).unwrap_or(usize::MAX);
    length("the list of values of the anchor set", value_count(set), expected)?;
    let part = |part, what: &str| -> Result<Dataset, DataError> {
        let chosen: Vec<usize> = (0..samples).filter(|&index| set.parts[index] == part).collect();
        if chosen.is_empty() {
            return Err(DataError::NoSamples { what: what.to_string() });
        }
        let dataset = Dataset {
            shape: set.shape.map(|side| side as usize),
            values: picked(set, &chosen),
            labels: chosen.iter().map(|&index| set.labels[index]).collect(),
            classes: classes.to_vec(),
            subjects: Vec::new(),
            subject_names: Vec::new(),
            groups: Vec::new(),
        };
        dataset.check()?;
        Ok(dataset)
    };
    Ok(Anchor {
        train: part(AnchorPart::Train, "the training part of the anchor set")?,
        calibrate: part(AnchorPart::Calibrate, "the calibrating part of the anchor set")?,
    })
}

fn value_count(set: &AnchorSet) -> usize {
    match &set.values {
        AnchorValues::Bytes(bytes) => bytes.len(),
        AnchorValues::Floats(floats) => floats.len(),
    }
}

fn picked(set: &AnchorSet, chosen: &[usize]) -> Values {
    let len = value_count(set) / set.labels.len().max(1);
    fn pick<T: Copy>(all: &[T], chosen: &[usize], len: usize) -> Vec<T> {
        chosen.iter().flat_map(|&index| &all[index * len..][..len]).copied().collect()
    }
    match &set.values {
        AnchorValues::Bytes(bytes) => Values::Bytes(pick(bytes, chosen, len)),
        AnchorValues::Floats(floats) => Values::Floats(pick(floats, chosen, len)),
    }
}

/// The set without the samples at the given places of the given sets, and how many it lost: what is to
/// be forgotten must not stay in the package. A sample is another's copy if label and every value are
/// equal. `None` where a part would be left with nothing.
///
/// # Errors
/// If a large set could not be read back.
pub fn without(
    set: &AnchorSet,
    gone: &[(&Dataset, &[usize])],
) -> Result<(Option<AnchorSet>, usize), DataError> {
    let mut prints = BTreeSet::new();
    for (dataset, indices) in gone {
        let mut sample = vec![0.0; dataset.sample_len()];
        for &index in *indices {
            dataset.read(index, &mut sample);
            prints.insert(print(dataset.labels[index], &sample));
        }
        dataset.trouble()?;
    }
    let stays: Vec<usize> = (0..set.labels.len())
        .filter(|&index| {
            let sample = match picked(set, &[index]) {
                Values::Bytes(bytes) => bytes.iter().map(|&b| f32::from(b) / 255.0).collect(),
                Values::Floats(floats) => floats,
                Values::Filed(_) => Vec::new(),
            };
            !prints.contains(&print(set.labels[index], &sample))
        })
        .collect();
    let lost = set.labels.len() - stays.len();
    let parts: Vec<AnchorPart> = stays.iter().map(|&index| set.parts[index]).collect();
    if ![AnchorPart::Train, AnchorPart::Calibrate].iter().all(|part| parts.contains(part)) {
        return Ok((None, lost));
    }
    let values = match picked(set, &stays) {
        Values::Bytes(bytes) => AnchorValues::Bytes(bytes),
        Values::Floats(floats) => AnchorValues::Floats(floats),
        Values::Filed(_) => return Ok((None, lost)),
    };
    let labels = stays.iter().map(|&index| set.labels[index]).collect();
    Ok((Some(AnchorSet { shape: set.shape, labels, parts, values }), lost))
}

/// What two samples share that are one.
fn print(label: u32, sample: &[f32]) -> [u8; 32] {
    let bytes: Vec<u8> = sample.iter().flat_map(|value| value.to_le_bytes()).collect();
    Digest::of_parts("unlearn anchor sample, version 1", &[&label.to_le_bytes(), &bytes]).0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(values: Values, labels: Vec<u32>) -> Dataset {
        let classes = vec!["a".into(), "b".into()];
        let (subjects, subject_names, groups) = (Vec::new(), Vec::new(), Vec::new());
        Dataset { shape: [1, 1, 2], values, labels, classes, subjects, subject_names, groups }
    }

    fn bytes() -> Anchor {
        Anchor {
            train: set(Values::Bytes(vec![0, 1, 2, 255, 4, 5]), vec![0, 1, 0]),
            calibrate: set(Values::Bytes(vec![6, 7, 8, 9]), vec![1, 0]),
        }
    }

    #[test]
    fn a_set_comes_back_as_it_was() {
        let floats = Anchor {
            train: set(Values::Floats(vec![0.5, -1.0]), vec![1]),
            calibrate: set(Values::Floats(vec![3.0, 0.25, 1e-9, 7.0]), vec![0, 1]),
        };
        for anchor in [bytes(), floats] {
            let packed = packed(&anchor).unwrap();
            assert_eq!(unpacked(&packed, &anchor.train.classes).unwrap(), anchor);
        }
        let mixed = Anchor { calibrate: set(Values::Floats(vec![0.5, 1.0]), vec![1]), ..bytes() };
        let AnchorValues::Floats(values) = packed(&mixed).unwrap().values else { panic!() };
        assert_eq!(values[3..], [1.0, 4.0 / 255.0, 5.0 / 255.0, 0.5, 1.0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let whole = packed(&bytes()).unwrap();
        let classes = bytes().train.classes;
        let refused = |change: &dyn Fn(&mut AnchorSet)| {
            let mut set = whole.clone();
            change(&mut set);
            unpacked(&set, &classes).unwrap_err()
        };
        assert!(matches!(refused(&|s| s.labels[0] = 2), DataError::Reference { .. }));
        assert!(matches!(refused(&|s| s.shape[0] = u32::MAX), DataError::Length { .. }));
        assert!(matches!(refused(&|s| s.parts.truncate(1)), DataError::Length { .. }));
        let empty = refused(&|s| s.parts.fill(AnchorPart::Train));
        assert!(empty.to_string().contains("calibrating part"), "{empty}");
        let mut other = bytes();
        other.calibrate.shape = [1, 2, 2];
        other.calibrate.labels.truncate(1);
        assert!(packed(&other).is_err());
    }

    #[test]
    fn what_is_to_be_forgotten_leaves_the_set_wherever_it_lies() {
        let whole = packed(&bytes()).unwrap();
        // The second sample by its values and label; the same values under another label stay.
        let known = set(Values::Floats(vec![2.0 / 255.0, 1.0, 0.0, 1.0 / 255.0]), vec![1, 1]);
        let (left, lost) = without(&whole, &[(&known, &[0, 1])]).unwrap();
        let left = unpacked(&left.unwrap(), &known.classes).unwrap();
        assert_eq!((lost, &left.train.labels[..]), (1, &[0, 0][..]));
        assert_eq!(left.calibrate, bytes().calibrate);
        assert_eq!(without(&whole, &[(&known, &[1])]).unwrap(), (Some(whole.clone()), 0));
        let (train, all) = (bytes().train, [0, 1, 2]);
        assert_eq!(without(&whole, &[(&train, &all)]).unwrap(), (None, 3));
    }
}
