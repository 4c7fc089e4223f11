//! Sets to learn from and to measure on: the anchor set of the base, and samples of the vault.

use std::collections::{BTreeMap, BTreeSet};

use super::error::HomeError;
use crate::data::{Dataset, Values as Stored};
use crate::vault::{Handle, Header, Keyring, Sample, Store, Values};

/// What a sample must be, and the classes that labels stand for.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Channels, height and width.
    pub shape: [usize; 3],
    /// Class names in label order.
    pub classes: Vec<String>,
}

/// A set in the making.
struct Growing {
    frame: Frame,
    bytes: Vec<u8>,
    floats: Vec<f32>,
    /// Whether every value so far came as a byte.
    whole: bool,
    labels: Vec<u32>,
    owners: Vec<u32>,
    groups: Vec<u32>,
    /// Numbers of groups that were met: of the same people, under the same name.
    met: BTreeMap<(Vec<Handle>, String), u32>,
    /// The number of the next group.
    next: u32,
}

impl Growing {
    fn new(frame: Frame) -> Self {
        Self {
            frame,
            bytes: Vec::new(),
            floats: Vec::new(),
            whole: true,
            labels: Vec::new(),
            owners: Vec::new(),
            groups: Vec::new(),
            met: BTreeMap::new(),
            next: 0,
        }
    }

    fn values(&mut self, of: &Values) {
        match of {
            Values::Bytes(bytes) if self.whole => self.bytes.extend(bytes),
            Values::Bytes(bytes) => self.floats.extend(bytes.iter().map(|b| f32::from(*b) / 255.0)),
            Values::Floats(floats) => {
                self.unwhole();
                self.floats.extend(floats);
            }
        }
    }

    /// A sample without a group stands alone.
    fn grouped(&mut self, of: Option<(Vec<Handle>, String)>) {
        let next = self.next;
        let number = match of {
            Some(group) => *self.met.entry(group).or_insert(next),
            None => next,
        };
        self.next += u32::from(number == next);
        self.groups.push(number);
    }

    fn unwhole(&mut self) {
        if self.whole {
            self.floats = self.bytes.iter().map(|b| f32::from(*b) / 255.0).collect();
            self.bytes = Vec::new();
            self.whole = false;
        }
    }

    fn finish(self, people: &[Handle]) -> Dataset {
        let values =
            if self.whole { Stored::Bytes(self.bytes) } else { Stored::Floats(self.floats) };
        Dataset {
            shape: self.frame.shape,
            values,
            labels: self.labels,
            classes: self.frame.classes,
            subjects: self.owners,
            subject_names: people.iter().map(ToString::to_string).collect(),
            groups: self.groups,
        }
    }
}

/// The samples that `wanted` picks, behind those of `first`, in order of number.
///
/// Samples with a label that is none of the classes are passed over. In the set, a sample counts to the
/// first of its people; those of `first` to a subject without samples of their own. Samples that the same
/// people gave as one group are one group in the set; every other sample stands alone.
///
/// # Errors
/// If the vault cannot be read, or a sample has another size than the frame says.
pub fn gather(
    store: &Store,
    keyring: &Keyring,
    frame: Frame,
    first: Option<&Dataset>,
    wanted: impl Fn(&Sample) -> bool,
    picked: impl Fn(u64, &Header) -> bool,
) -> Result<Dataset, HomeError> {
    let people: Vec<Handle> = keyring.people().collect();
    let mut set = Growing::new(frame);
    if let Some(first) = first {
        match &first.values {
            Stored::Bytes(bytes) => set.values(&Values::Bytes(bytes.clone())),
            Stored::Floats(floats) => set.values(&Values::Floats(floats.clone())),
            Stored::Filed(_) => {}
        }
        set.labels.extend(&first.labels);
        set.owners.extend(first.labels.iter().map(|_| people.len() as u32));
        first.labels.iter().for_each(|_| set.grouped(None));
    }
    let expected: usize = set.frame.shape.iter().product();
    let mut misfit = None;
    store.each(keyring, picked, |sample| {
        let label = set.frame.classes.iter().position(|class| *class == sample.label);
        let Some(label) = label.filter(|_| wanted(&sample)) else { return };
        if sample.values.len() != expected {
            misfit.get_or_insert((sample.number, sample.values.len()));
            return;
        }
        set.values(&sample.values);
        set.labels.push(label as u32);
        let owner = people.binary_search(&sample.people[0]).unwrap_or(people.len());
        set.owners.push(owner as u32);
        set.grouped(sample.group.map(|group| (sample.people, group)));
    })?;
    if let Some((number, found)) = misfit {
        let rule = format!("record {number} has {found} values, the base takes {expected}");
        return Err(HomeError::Sample { index: 0, rule });
    }
    let mut set = set.finish(&people);
    set.subject_names.push("anchor set".into());
    Ok(set)
}

/// Labels of samples below `upto` that may be learnt from, concern nobody who is leaving, and are none of
/// `classes`; in order.
///
/// # Errors
/// If the vault cannot be read.
pub fn new_labels(
    store: &Store,
    keyring: &Keyring,
    classes: &[String],
    upto: u64,
    leaving: &[Handle],
) -> Result<Vec<String>, HomeError> {
    let mut new = BTreeSet::new();
    let picked =
        |number: u64, header: &Header| number < upto && !header.held && !header.concerns(leaving);
    store.each(keyring, picked, |sample| {
        if !classes.contains(&sample.label) {
            new.insert(sample.label);
        }
    })?;
    Ok(new.into_iter().collect())
}
