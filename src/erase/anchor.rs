//! The anchor set of a base, as sets.

use crate::data::{Dataset, Values};
use crate::format::{AnchorPart, AnchorSet, AnchorValues};

/// The samples of one part, with the classes of the base.
pub fn part(set: &AnchorSet, part: AnchorPart, classes: &[String]) -> Dataset {
    let shape = set.shape.map(|dim| dim as usize);
    let len: usize = shape.iter().product();
    let picked: Vec<usize> = (0..set.labels.len()).filter(|&i| set.parts[i] == part).collect();
    let values = match &set.values {
        AnchorValues::Bytes(all) => {
            Values::Bytes(picked.iter().flat_map(|&i| &all[i * len..][..len]).copied().collect())
        }
        AnchorValues::Floats(all) => {
            Values::Floats(picked.iter().flat_map(|&i| &all[i * len..][..len]).copied().collect())
        }
    };
    Dataset {
        shape,
        values,
        labels: picked.iter().map(|&i| set.labels[i]).collect(),
        classes: classes.to_vec(),
        subjects: Vec::new(),
        subject_names: Vec::new(),
        groups: Vec::new(),
    }
}
