//! One set of labelled samples, as the rest of the house sees it.

use crate::base::hash::Digest;

/// Sample values as stored. Bytes stand for `value / 255`.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Eight-bit pictures; a value is read as `byte / 255`.
    Bytes(Vec<u8>),
    /// Values as they are.
    Floats(Vec<f32>),
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

    /// A digest over shape, values, labels, subjects and groups.
    pub fn digest(&self) -> Digest {
        let words = |of: &[u32]| of.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
        let shape: Vec<u8> = self.shape.iter().flat_map(|d| (*d as u64).to_le_bytes()).collect();
        let values = match &self.values {
            Values::Bytes(bytes) => bytes.clone(),
            Values::Floats(floats) => floats.iter().flat_map(|f| f.to_le_bytes()).collect(),
        };
        let names = self.classes.join("\0");
        let parts = [
            &shape[..],
            &values,
            &words(&self.labels),
            &words(&self.subjects),
            &words(&self.groups),
            names.as_bytes(),
        ];
        Digest::of_parts("unlearn data set, version 1", &parts)
    }
}
