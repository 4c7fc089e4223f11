//! From the names of files to what they are samples of: class, subject, part.
//!
//! Knows no file's contents but those of lists that name others (in [`super::lists`]).

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::ControlFlow::Break;
use std::path::Path;

use super::error::SignalError;
use super::tree::{MAX_FILE, Tree};
use crate::data::dataset::{Dataset, Values};
use crate::data::error::DataError;
use crate::data::holdout::apart;

const CLASS_FOLDER: &str = "it should lie in a folder that is named as its class (CLASS/NAME, or \
     train/CLASS/NAME and test/CLASS/NAME), or stand in a `list.csv`";

/// The most files that are looked at to learn what lies in a tree.
const LOOKED_AT: usize = 1 << 16;

/// The part that a sample belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// To learn from.
    Train,
    /// To measure with.
    Test,
    /// In neither: it is for choosing settings.
    Left,
}

/// What a name says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub class: String,
    pub subject: Option<String>,
    /// Without one, the set comes in one part.
    pub part: Option<Part>,
}

/// What lies in a tree, going by the first ending that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// `.wav`.
    Sound,
    /// `.jpg`, `.jpeg` or `.png`.
    Picture,
}

impl Media {
    /// What the ending of `name` says.
    pub(super) fn of(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "wav" => Some(Self::Sound),
            "jpg" | "jpeg" | "png" => Some(Self::Picture),
            _ => None,
        }
    }

    /// What lies at `path`: the first file of a known ending decides. Nothing where it cannot be
    /// read, or where there are too many other files before it.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let (found, seen) = (Cell::new(None), Cell::new(0));
        let wanted = |name: &str| {
            seen.set(seen.get() + 1);
            found.set(Self::of(name));
            found.get().is_some() || seen.get() > LOOKED_AT
        };
        // What cannot be read is told by whoever reads the whole.
        let _ = Tree::at(path)?.visit(MAX_FILE, &wanted, &mut |_| Ok(Break(())));
        found.get()
    }
}

/// The part that a word names, as `train` and `val` do.
pub(super) fn part_named(word: &str) -> Option<Part> {
    match word.to_ascii_lowercase().as_str() {
        "train" | "training" => Some(Part::Train),
        "test" | "testing" => Some(Part::Test),
        "val" | "valid" | "validation" => Some(Part::Left),
        _ => None,
    }
}

/// How long the folders are that all `names` lie in, with the slash behind them.
pub(super) fn shared_root(names: &[String]) -> usize {
    let Some(first) = names.first() else { return 0 };
    let ends = first.char_indices().filter(|&(_, letter)| letter == '/').map(|(at, _)| at + 1);
    ends.take_while(|&end| names.iter().all(|name| name.starts_with(&first[..end])))
        .last()
        .unwrap_or(0)
}

/// The places of files in class folders: `CLASS/NAME`, or `PART/CLASS/NAME` with parts `train`,
/// `test` and `val`. Folders that all of them lie in do not count. Where there is no test part,
/// the validation part is it.
pub(super) fn by_folders(path: &Path, names: &[String]) -> Result<Vec<Place>, DataError> {
    let mut root = shared_root(names);
    if names.iter().any(|name| !name[root..].contains('/')) {
        root = names[0][..root.saturating_sub(1)].rfind('/').map_or(0, |slash| slash + 1);
    }
    let split = |name: &str| -> Option<(Part, String)> {
        let (part, rest) = name.split_once('/')?;
        Some((part_named(part)?, rest.split_once('/')?.0.to_string()))
    };
    let parted: Option<Vec<(Part, String)>> =
        names.iter().map(|name| split(&name[root..])).collect();
    if let Some(parted) = parted {
        let tests = parted.iter().any(|(part, _)| *part == Part::Test);
        let place = |(part, class)| {
            let part = if part == Part::Left && !tests { Part::Test } else { part };
            Place { class, subject: None, part: Some(part) }
        };
        return Ok(parted.into_iter().map(place).collect());
    }
    let place = |name: &String| match name[root..].split_once('/') {
        Some((class, _)) => Ok(Place { class: class.to_string(), subject: None, part: None }),
        None => Err(SignalError::NoClass { file: path.join(name), expected: CLASS_FOLDER }.into()),
    };
    names.iter().map(place).collect()
}

/// Files in the order in which they were read, with their samples.
pub(super) struct Files {
    pub names: Vec<String>,
    /// Where each belongs; nowhere where it is no sample.
    pub places: Vec<Option<Place>>,
    pub values: Values,
    pub shape: [usize; 3],
}

impl Files {
    /// The two parts of the set, each in the order of its names. Classes and subjects are numbered
    /// in the order of their names.
    pub(super) fn parts(self, path: &Path) -> Result<(Dataset, Dataset), DataError> {
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        order.sort_by(|&a, &b| self.names[a].cmp(&self.names[b]));
        if let Some(pair) = order.windows(2).find(|pair| self.names[pair[0]] == self.names[pair[1]])
        {
            return Err(SignalError::Twice { file: path.join(&self.names[pair[0]]) }.into());
        }
        let part = |index: usize| self.places[index].as_ref().map(|place| place.part);
        order.retain(|&index| part(index).is_some_and(|part| part != Some(Part::Left)));
        if order.is_empty() {
            return Err(DataError::NoSamples { what: format!("`{}`", path.display()) });
        }
        let is_test = |&index: &usize| part(index) == Some(Some(Part::Test));
        let (test, train): (Vec<usize>, Vec<usize>) =
            order.iter().partition(|index| is_test(index));
        let all = self.whole(&order);
        match (train.is_empty(), test.is_empty()) {
            (true, _) => {
                let part = "test".to_string();
                Err(SignalError::NoTraining { path: path.to_path_buf(), part }.into())
            }
            (false, true) => apart(&all.subset(&train)),
            (false, false) => Ok((all.subset(&train), all.subset(&test))),
        }
    }

    /// All files as one set, in the order in which they were read; those that are no samples with a
    /// label of 0. Only `order` counts for classes and subjects.
    fn whole(self, order: &[usize]) -> Dataset {
        let placed = || order.iter().filter_map(|&index| self.places[index].as_ref());
        let classes: BTreeSet<&String> = placed().map(|place| &place.class).collect();
        let subjects: BTreeSet<&String> =
            placed().filter_map(|place| place.subject.as_ref()).collect();
        let classes: Vec<String> = classes.into_iter().cloned().collect();
        let subject_names: Vec<String> = subjects.into_iter().cloned().collect();
        let number = |of: &[String], name: Option<&String>| {
            name.and_then(|name| of.binary_search(name).ok()).unwrap_or(0) as u32
        };
        let labels =
            self.places.iter().map(|place| number(&classes, place.as_ref().map(|p| &p.class)));
        let subject = |place: &Option<Place>| {
            number(&subject_names, place.as_ref().and_then(|place| place.subject.as_ref()))
        };
        let subjects = match subject_names.is_empty() {
            true => Vec::new(),
            false => self.places.iter().map(subject).collect(),
        };
        let labels = labels.collect();
        let groups = Vec::new();
        let (shape, values) = (self.shape, self.values);
        Dataset { shape, values, labels, classes, subjects, subject_names, groups }
    }
}
