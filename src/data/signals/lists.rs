//! Files that say what other files are: `list.csv`, and the lists of the Speech Commands set.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};

use super::error::SignalError;
use super::layout::{Part, Place, part_named};
use crate::data::error::DataError;

/// The name of a list of samples.
pub(in crate::data) const LIST: &str = "list.csv";
/// The names of the lists of Speech Commands.
pub(super) const TESTING: &str = "testing_list.txt";
pub(super) const VALIDATION: &str = "validation_list.txt";

const COLUMNS: &str = "columns `path` and `label`, and, if wished, `subject` and `split` (train, test \
     or val), named in the first line; each path once";

/// Whether a file is a list, wherever it lies.
pub(super) fn is_list(name: &str) -> bool {
    let own = name.rsplit('/').next().unwrap_or(name);
    [LIST, TESTING, VALIDATION].contains(&own)
}

/// The folder of a file, with the slash behind it.
pub(super) fn folder_of(name: &str) -> &str {
    &name[..name.rfind('/').map_or(0, |slash| slash + 1)]
}

/// The list called `own` among `lists`, with its name.
pub(super) fn find<'a>(lists: &'a [(String, Vec<u8>)], own: &str) -> Option<(&'a str, &'a [u8])> {
    let is = |name: &str| name.strip_suffix(own).is_some_and(|folder| folder == folder_of(name));
    // The uppermost one, so that what is found does not depend on the order of an archive.
    let mut named: Vec<&(String, Vec<u8>)> = lists.iter().filter(|(name, _)| is(name)).collect();
    named.sort_by_key(|(name, _)| (name.matches('/').count(), name.clone()));
    named.first().map(|(name, bytes)| (name.as_str(), &bytes[..]))
}

/// The places of `names` as a `list.csv` called `list` says; those that it does not name are no
/// samples.
pub(super) fn by_list(
    path: &Path,
    (list, bytes): (&str, &[u8]),
    names: &[String],
) -> Result<Vec<Option<Place>>, DataError> {
    let mut rows = rows(&path.join(list), folder_of(list), bytes)?;
    let places = names.iter().map(|name| rows.remove(name)).collect();
    match rows.into_keys().next() {
        None => Ok(places),
        Some(name) => Err(SignalError::ListedMissing { list: path.join(list), name }.into()),
    }
}

/// The rows of a list by the name of their file.
fn rows(file: &Path, folder: &str, bytes: &[u8]) -> Result<BTreeMap<String, Place>, DataError> {
    let wrong = |line: u64, why: String| -> DataError {
        SignalError::ListLine { file: file.to_path_buf(), line, why, expected: COLUMNS }.into()
    };
    let broken = |fault: csv::Error| {
        let line = fault.position().map_or(1, csv::Position::line);
        wrong(line, fault.to_string())
    };
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(bytes);
    let header = reader.headers().map_err(broken)?.clone();
    let column = |name: &str| header.iter().position(|title| title.eq_ignore_ascii_case(name));
    let (Some(path), Some(label)) = (column("path"), column("label")) else {
        return Err(wrong(1, format!("the columns are {header:?}")));
    };
    let (subject, split) = (column("subject"), column("split"));
    let mut rows = BTreeMap::new();
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(broken)? {
        let line = record.position().map_or(0, csv::Position::line);
        let cell =
            |at: Option<usize>| at.and_then(|at| record.get(at)).filter(|text| !text.is_empty());
        let (Some(own), Some(class)) = (cell(Some(path)), cell(Some(label))) else {
            return Err(wrong(line, "the path or the label is empty".to_string()));
        };
        let part = match cell(split) {
            None => None,
            Some(word) => match part_named(word) {
                None => return Err(wrong(line, format!("`{word}` is no part"))),
                part => part,
            },
        };
        let name = format!("{folder}{}", own.trim_start_matches("./"));
        if subject.is_some() && cell(subject).is_none() {
            return Err(wrong(line, "the subject is empty".to_string()));
        }
        let place =
            Place { class: class.to_string(), subject: cell(subject).map(str::to_string), part };
        if rows.insert(name, place).is_some() {
            return Err(wrong(line, format!("`{own}` stands there twice")));
        }
    }
    Ok(rows)
}

/// The parts of Speech Commands: what its lists name, by names below `folder`.
pub(super) struct Listed<'a> {
    folder: &'a str,
    test: BTreeSet<&'a str>,
    left: BTreeSet<&'a str>,
}

impl<'a> Listed<'a> {
    /// The two lists, if one of them is there.
    pub(super) fn of(
        path: &Path,
        lists: &'a [(String, Vec<u8>)],
    ) -> Result<Option<Self>, DataError> {
        let (test, left) = (find(lists, TESTING), find(lists, VALIDATION));
        let Some((name, _)) = test.or(left) else { return Ok(None) };
        let lines = |list: Option<(&str, &'a [u8])>| -> Result<BTreeSet<&'a str>, DataError> {
            let Some((name, bytes)) = list else { return Ok(BTreeSet::new()) };
            let mut lines = BTreeSet::new();
            for (line, text) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
                let text = std::str::from_utf8(text)
                    .map_err(|_| DataError::NotText { file: path.join(name), line })?;
                lines.insert(text.trim());
            }
            Ok(lines)
        };
        Ok(Some(Self { folder: folder_of(name), test: lines(test)?, left: lines(left)? }))
    }

    /// The part of the file called `name`.
    pub(super) fn part(&self, name: &str) -> Option<Part> {
        let own = name.strip_prefix(self.folder).unwrap_or(name);
        match (self.test.contains(own), self.left.contains(own)) {
            (true, _) => Some(Part::Test),
            (false, true) => Some(Part::Left),
            (false, false) => None,
        }
    }
}
