//! One set of labelled samples, as the rest of the house sees it.

use crate::base::hash::{Digest, Parts};

use super::error::DataError;
use super::extraction::Extraction;
use super::room::Filed;

/// Sample values as stored. Bytes stand for `value / 255`.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Eight-bit pictures; a value is read as `byte / 255`.
    Bytes(Vec<u8>),
    /// Values as they are.
    Floats(Vec<f32>),
    /// Either of them in a file: the set is larger than the memory that it may take.
    Filed(Filed),
}

/// Labelled samples of one shape, with optional subjects and groups.
///
/// Sample `i` is `values[i * len .. (i + 1) * len]` with `len = C * H * W`, row-major `[C, H, W]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Channels, height, width of one sample.
    pub shape: [usize; 3],
    /// All samples, one after another.
    pub values: Values,
    /// The class of each sample, an index into `classes`.
    pub labels: Vec<u32>,
    /// Class names, in label order.
    pub classes: Vec<String>,
    /// Whose each sample is: an index into `subject_names`. Empty where nobody is named.
    pub subjects: Vec<u32>,
    /// Names of subjects. Empty where nobody is named.
    pub subject_names: Vec<String>,
    /// Samples of one group must not be split (overlapping windows of one recording). Empty where
    /// each sample stands alone.
    pub groups: Vec<u32>,
}

/// What a `--data PATH` holds: a part to learn from and a part that is never learnt from.
#[derive(Clone, Debug)]
pub struct Splits {
    /// A short name: `fashion-mnist`, `cifar10-small`, `made`.
    pub name: String,
    /// What it was recognised as: `CIFAR-10`, `CSV`.
    pub kind: &'static str,
    /// How samples were made of what the files hold; `None` where they are taken as they are.
    pub extraction: Option<Extraction>,
    /// The part to learn from.
    pub train: Dataset,
    /// The part that only measures.
    pub test: Dataset,
}

impl Dataset {
    /// The number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Values in one sample, `C * H * W`.
    pub fn sample_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Writes sample `index` as floats into `out`, in `[C, H, W]` order.
    ///
    /// # Panics
    /// If `index >= len()` or `out.len() != sample_len()`.
    pub fn read(&self, index: usize, out: &mut [f32]) {
        let range = index * out.len()..(index + 1) * out.len();
        assert_eq!(out.len(), self.sample_len(), "a sample has {} values", self.sample_len());
        match &self.values {
            Values::Bytes(bytes) => {
                for (to, &from) in out.iter_mut().zip(&bytes[range]) {
                    *to = f32::from(from) / 255.0;
                }
            }
            Values::Floats(floats) => out.copy_from_slice(&floats[range]),
            Values::Filed(filed) => filed.read(index, out),
        }
    }

    /// Whether every sample that was asked for since the set was opened could be read. Whoever reads
    /// many asks this after them.
    ///
    /// # Errors
    /// [`DataError::Lost`] if the file behind a large set failed.
    pub fn trouble(&self) -> Result<(), DataError> {
        match &self.values {
            Values::Filed(filed) => filed.trouble(),
            Values::Bytes(_) | Values::Floats(_) => Ok(()),
        }
    }

    /// The samples at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not below `len()`.
    pub fn subset(&self, indices: &[usize]) -> Self {
        let len = self.sample_len();
        let pick = |of: &[u32]| -> Vec<u32> {
            if of.is_empty() { Vec::new() } else { indices.iter().map(|&i| of[i]).collect() }
        };
        let values = match &self.values {
            Values::Bytes(all) => Values::Bytes(
                indices.iter().flat_map(|&i| &all[i * len..][..len]).copied().collect(),
            ),
            Values::Floats(all) => Values::Floats(
                indices.iter().flat_map(|&i| &all[i * len..][..len]).copied().collect(),
            ),
            Values::Filed(filed) => Values::Filed(filed.subset(indices)),
        };
        Self {
            shape: self.shape,
            values,
            labels: pick(&self.labels),
            classes: self.classes.clone(),
            subjects: pick(&self.subjects),
            subject_names: self.subject_names.clone(),
            groups: pick(&self.groups),
        }
    }

    /// The same set with its values in memory, whatever room was set for it.
    ///
    /// # Errors
    /// [`DataError::Lost`] if the file behind a large set failed.
    pub fn held(&self) -> Result<Self, DataError> {
        let Values::Filed(filed) = &self.values else { return Ok(self.clone()) };
        let values = filed.held(self.len(), self.sample_len())?;
        // What is cloned of the old values is where they lie.
        Ok(Self { values, ..self.clone() })
    }

    /// The samples of `self`, then those of `other`, whose subjects follow those of `self`.
    ///
    /// # Panics
    /// If shapes, classes or kinds of values differ, or one names subjects or groups where the
    /// other does not.
    pub fn and(&self, other: &Self) -> Self {
        assert_eq!(self.shape, other.shape, "samples of one shape");
        assert_eq!(self.classes, other.classes, "samples of the same classes");
        assert_eq!(self.subjects.is_empty(), other.subjects.is_empty(), "subjects in both");
        assert!(self.groups.is_empty() && other.groups.is_empty(), "groups are not joined");
        let values = match (&self.values, &other.values) {
            (Values::Bytes(a), Values::Bytes(b)) => Values::Bytes([&a[..], b].concat()),
            (Values::Floats(a), Values::Floats(b)) => Values::Floats([&a[..], b].concat()),
            _ => panic!("values of one kind"),
        };
        let first = self.subject_names.len() as u32;
        let subjects = other.subjects.iter().map(|subject| subject + first);
        Self {
            shape: self.shape,
            values,
            labels: [&self.labels[..], &other.labels].concat(),
            classes: self.classes.clone(),
            subjects: self.subjects.iter().copied().chain(subjects).collect(),
            subject_names: [&self.subject_names[..], &other.subject_names].concat(),
            groups: Vec::new(),
        }
    }

    /// A digest over shape, values, labels, subjects and groups. The same wherever the values lie.
    pub fn digest(&self) -> Digest {
        let words = |of: &[u32]| of.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
        let shape: Vec<u8> = self.shape.iter().flat_map(|d| (*d as u64).to_le_bytes()).collect();
        let names = self.classes.join("\0");
        let mut digest = Parts::new("unlearn data set, version 1");
        digest.part(shape.len() as u64, [shape]);
        digest.part(self.value_bytes(), self.raw_samples());
        for list in [&self.labels, &self.subjects, &self.groups] {
            digest.part(4 * list.len() as u64, [words(list)]);
        }
        digest.part(names.len() as u64, [names.into_bytes()]);
        digest.finish()
    }

    /// Bytes that the values take, wherever they lie.
    pub fn value_bytes(&self) -> u64 {
        let of_bytes = match &self.values {
            Values::Bytes(_) => true,
            Values::Floats(_) => false,
            Values::Filed(filed) => filed.of_bytes(),
        };
        (self.len() * self.sample_len()) as u64 * if of_bytes { 1 } else { 4 }
    }

    /// Bytes that the values take in memory: none where they lie in a file.
    pub fn resident_bytes(&self) -> u64 {
        match &self.values {
            Values::Filed(_) => 0,
            Values::Bytes(_) | Values::Floats(_) => self.value_bytes(),
        }
    }

    /// The samples one after another, each as little-endian bytes.
    pub(super) fn raw_samples(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        let len = self.sample_len();
        (0..self.len()).map(move |index| match &self.values {
            Values::Bytes(bytes) => bytes[index * len..][..len].to_vec(),
            Values::Floats(floats) => {
                floats[index * len..][..len].iter().flat_map(|f| f.to_le_bytes()).collect()
            }
            Values::Filed(filed) => filed.raw(index, len),
        })
    }
}
