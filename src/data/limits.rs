//! What is accepted at the door: limits that no honest set reaches, and [`Dataset::check`].

use std::collections::BTreeMap;

use super::dataset::{Dataset, Values};
use super::error::DataError;

/// The most samples of one part.
pub const MAX_SAMPLES: usize = 1 << 24;
/// The most values of one part over all samples in memory (a value is a byte or a float).
pub const MAX_VALUES: usize = 1 << 30;
/// The most values of one part over all samples that lie in a file.
pub const MAX_FILED_VALUES: usize = 1 << 40;
/// The most channels, rows or columns of one sample.
pub const MAX_SIDE: usize = 1 << 14;
/// The most classes.
pub const MAX_CLASSES: usize = 1 << 16;
/// The most subjects.
pub const MAX_SUBJECTS: usize = 1 << 20;

impl Dataset {
    /// Holds every claim of the fields against each other: lengths agree, labels and subjects
    /// have names, names differ, all floats are finite, something is there, nothing is beyond
    /// the limits of this module.
    pub fn check(&self) -> Result<(), DataError> {
        self.check_sizes()?;
        self.check_lengths()?;
        names("class", &self.classes)?;
        names("subject", &self.subject_names)?;
        references("label", &self.labels, self.classes.len())?;
        references("subject", &self.subjects, self.subject_names.len())?;
        self.check_values()
    }

    fn check_sizes(&self) -> Result<(), DataError> {
        if self.is_empty() {
            return Err(DataError::NoSamples { what: "the data set".to_string() });
        }
        limit("the number of samples", self.len(), MAX_SAMPLES)?;
        limit("the number of channels", self.shape[0], MAX_SIDE)?;
        limit("the height", self.shape[1], MAX_SIDE)?;
        limit("the width", self.shape[2], MAX_SIDE)?;
        limit("the number of classes", self.classes.len(), MAX_CLASSES)?;
        if !self.subjects.is_empty() || !self.subject_names.is_empty() {
            limit("the number of subjects", self.subject_names.len(), MAX_SUBJECTS)?;
        }
        Ok(())
    }

    fn check_lengths(&self) -> Result<(), DataError> {
        let samples = self.len();
        let values = match &self.values {
            Values::Bytes(bytes) => bytes.len(),
            Values::Floats(floats) => floats.len(),
            Values::Filed(filed) => filed.values(self.sample_len()),
        };
        let filed = matches!(self.values, Values::Filed(_));
        let sample = self.shape.iter().try_fold(1usize, |all, &side| all.checked_mul(side));
        let expected = sample.and_then(|len| len.checked_mul(samples)).unwrap_or(usize::MAX);
        let most = if filed { MAX_FILED_VALUES } else { MAX_VALUES };
        limit("the number of values", expected, most)?;
        length("the list of values", values, expected)?;
        if !self.subjects.is_empty() || !self.subject_names.is_empty() {
            length("the list of subjects", self.subjects.len(), samples)?;
        }
        if !self.groups.is_empty() {
            length("the list of groups", self.groups.len(), samples)?;
        }
        Ok(())
    }

    /// Values in a file were checked as they were written, and nobody else can write there.
    fn check_values(&self) -> Result<(), DataError> {
        let Values::Floats(floats) = &self.values else { return Ok(()) };
        match floats.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(at) => {
                let (sample, position) = (at / self.sample_len(), at % self.sample_len());
                Err(DataError::NotFinite { sample, position, found: floats[at] })
            }
        }
    }
}

fn limit(what: &'static str, found: usize, limit: usize) -> Result<(), DataError> {
    if (1..=limit).contains(&found) {
        return Ok(());
    }
    Err(DataError::Limit { what, found, limit })
}

fn length(what: &'static str, found: usize, expected: usize) -> Result<(), DataError> {
    if found == expected { Ok(()) } else { Err(DataError::Length { what, found, expected }) }
}

fn names(what: &'static str, names: &[String]) -> Result<(), DataError> {
    let mut seen = BTreeMap::new();
    for (second, name) in names.iter().enumerate() {
        if let Some(first) = seen.insert(name, second) {
            return Err(DataError::SameName { what, name: name.clone(), first, second });
        }
    }
    Ok(())
}

fn references(what: &'static str, of: &[u32], names: usize) -> Result<(), DataError> {
    match of.iter().position(|&found| found as usize >= names) {
        None => Ok(()),
        Some(sample) => Err(DataError::Reference { what, sample, found: of[sample], names }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Dataset {
        Dataset {
            shape: [1, 1, 3],
            values: Values::Floats(vec![0.0; 6]),
            labels: vec![0, 1],
            classes: vec!["a".into(), "b".into()],
            subjects: vec![0, 0],
            subject_names: vec!["p".into()],
            groups: Vec::new(),
        }
    }

    #[test]
    fn a_sound_set_passes() {
        two().check().unwrap();
    }

    #[test]
    fn a_nan_is_named_by_sample_and_position() {
        let mut set = two();
        set.values = Values::Floats(vec![0.0, 0.0, 0.0, 0.0, f32::NAN, 0.0]);
        let error = set.check().unwrap_err();
        assert!(matches!(error, DataError::NotFinite { sample: 1, position: 1, .. }), "{error}");
        set.values = Values::Floats(vec![0.0, 0.0, f32::INFINITY, 0.0, 0.0, 0.0]);
        assert!(matches!(set.check(), Err(DataError::NotFinite { sample: 0, position: 2, .. })));
    }

    #[test]
    fn every_list_is_held_against_the_others() {
        type Break = fn(&mut Dataset);
        let breaks: [(&str, Break); 10] = [
            ("values", |set| set.values = Values::Bytes(vec![0; 5])),
            ("label 2", |set| set.labels[1] = 2),
            ("subject 1", |set| set.subjects[0] = 1),
            ("subjects", |set| set.subjects = vec![0]),
            ("subjects", |set| set.subjects = vec![]),
            ("groups", |set| set.groups = vec![0]),
            ("both named `a`", |set| set.classes[1] = "a".into()),
            ("no samples", |set| *set = set.subset(&[])),
            ("height", |set| set.shape = [1, 0, 3]),
            ("values", |set| set.shape = [1 << 14, 1 << 14, 1 << 14]),
        ];
        for (word, break_it) in breaks {
            let mut set = two();
            break_it(&mut set);
            let error = set.check().unwrap_err().to_string();
            assert!(error.contains(word), "expected `{word}` in `{error}`");
        }
    }
}
