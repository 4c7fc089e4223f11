//! Samples on their way from a table into a set: values in a [`Gather`], labels, subjects and groups
//! as numbers of texts that are put in order at the end.

use crate::data::dataset::Dataset;
use crate::data::error::DataError;
use crate::data::holdout::apart;
use crate::data::room::{Element, Gather, Room};

use super::classes::{Naming, classes};
use super::names::Names;

/// Labels, subjects and groups of the samples of one part. The last two are empty where there are none.
#[derive(Default)]
pub(super) struct Lists {
    pub labels: Vec<u32>,
    pub subjects: Vec<u32>,
    pub groups: Vec<u32>,
}

/// One part while it is read.
pub(super) struct Rows<T> {
    pub values: Gather<T>,
    pub lists: Lists,
}

impl<T: Element> Rows<T> {
    pub(super) fn new(room: &Room) -> Self {
        Self { values: Gather::new(room), lists: Lists::default() }
    }
}

/// The texts that the lists of both parts count.
#[derive(Default)]
pub(super) struct Seen {
    pub labels: Names,
    pub subjects: Names,
    pub groups: Names,
}

/// Both parts as sets. Without a test part, one is held out.
///
/// # Errors
/// If a label has no name, a part is empty, or a scratch file fails.
pub(super) fn finish<T: Element>(
    train: Rows<T>,
    test: Option<Rows<T>>,
    seen: Seen,
    naming: Option<Naming>,
    shape: [usize; 3],
) -> Result<(Dataset, Dataset), DataError> {
    let (class_names, class_of) = classes(seen.labels, naming)?;
    let (subject_names, subject_of) = seen.subjects.sorted();
    let (_, group_of) = seen.groups.sorted();
    let through = |list: Vec<u32>, of: &[u32]| -> Vec<u32> {
        list.into_iter().map(|number| of[number as usize]).collect()
    };
    let set = |rows: Rows<T>, what: &str| -> Result<Dataset, DataError> {
        if rows.lists.labels.is_empty() {
            return Err(DataError::NoSamples { what: what.to_string() });
        }
        Ok(Dataset {
            shape,
            values: rows.values.finish()?,
            labels: through(rows.lists.labels, &class_of),
            classes: class_names.clone(),
            subjects: through(rows.lists.subjects, &subject_of),
            subject_names: subject_names.clone(),
            groups: through(rows.lists.groups, &group_of),
        })
    };
    let train = set(train, "the training part")?;
    match test {
        Some(test) => Ok((train, set(test, "the test part")?)),
        None => apart(&train),
    }
}
