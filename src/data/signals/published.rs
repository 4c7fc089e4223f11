//! Pictures as well-known sets lay them out, told by a list that only they have.
//!
//! | set | the list | class | part |
//! |---|---|---|---|
//! | Oxford-IIIT Pet (Parkhi et al. 2012) | `annotations/trainval.txt`, `annotations/test.txt` | the name without its number | the list that names it |
//! | SUN397 (Xiao et al. 2010) | `ClassName.txt`; `Training_01.txt`, `Testing_01.txt` if they are there | the folder that it names | the list that names it |
//! | Tiny ImageNet | `val/val_annotations.txt` | the folder below `train`, or the list's | `val` tests, `test` has no labels |
//!
//! ImageNet itself is class folders in `train` and `val`, which needs no list.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::error::SignalError;
use super::layout::{Part, Place};
use super::lists::{find, folder_of};
use crate::data::error::DataError;

const PETS_TRAIN: &str = "trainval.txt";
const PETS_TEST: &str = "test.txt";
const SUN_CLASSES: &str = "ClassName.txt";
const SUN_TRAIN: &str = "Training_01.txt";
const SUN_TEST: &str = "Testing_01.txt";
const TINY_VALIDATION: &str = "val_annotations.txt";

type Places = Vec<Option<Place>>;
type Lists = [(String, Vec<u8>)];

/// Whether a file is a list of one of these sets.
pub(super) fn is_list(name: &str) -> bool {
    let own = name.rsplit('/').next().unwrap_or(name);
    let pets = [PETS_TRAIN, PETS_TEST].contains(&own) && in_annotations(name);
    pets || [SUN_CLASSES, SUN_TRAIN, SUN_TEST, TINY_VALIDATION].contains(&own)
}

fn in_annotations(name: &str) -> bool {
    let folder = folder_of(name).trim_end_matches('/');
    folder.rsplit('/').next() == Some("annotations")
}

/// Whether a picture is none of the sets' samples, going by its name: outlines of pets, and what one
/// system leaves beside files.
pub(super) fn is_aside(name: &str) -> bool {
    name.split('/').any(|part| part == "trimaps" || part.starts_with("._"))
}

/// The places of `names`, if `lists` are those of a set that is known.
pub(super) fn places(
    path: &Path,
    lists: &Lists,
    names: &[String],
) -> Result<Option<Places>, DataError> {
    if let Some((name, bytes)) = find(lists, TINY_VALIDATION) {
        return tiny(path, (name, bytes), names).map(Some);
    }
    if let Some(list) = find(lists, SUN_CLASSES) {
        return sun(path, list, lists, names).map(Some);
    }
    match find(lists, PETS_TRAIN).or(find(lists, PETS_TEST)) {
        Some(_) => pets(path, lists, names).map(Some),
        None => Ok(None),
    }
}

/// The lines of a list, counted from 1, without empty ones and those that begin with `#`.
fn lines<'a>(
    file: &'a Path,
    bytes: &'a [u8],
) -> impl Iterator<Item = Result<(usize, &'a str), DataError>> + 'a {
    let text = |(line, bytes): (usize, &'a [u8])| match std::str::from_utf8(bytes) {
        Ok(text) => Ok((line, text.trim())),
        Err(_) => Err(DataError::NotText { file: file.to_path_buf(), line }),
    };
    let said = |line: &Result<(usize, &str), _>| {
        line.as_ref().map_or(true, |(_, text)| !text.is_empty() && !text.starts_with('#'))
    };
    (1..).zip(bytes.split(|&byte| byte == b'\n')).map(text).filter(said)
}

/// The first list that names what is not there.
fn missing(list: &Path, name: &str) -> DataError {
    SignalError::ListedMissing { list: list.to_path_buf(), name: name.to_string() }.into()
}

fn unfit(file: &Path, line: usize, why: String, expected: &'static str) -> DataError {
    let (file, line) = (file.to_path_buf(), line as u64);
    SignalError::ListLine { file, line, why, expected }.into()
}

/// `images/BREED_NUMBER.jpg`, where a list has a line `BREED_NUMBER CLASS SPECIES BREED`.
fn pets(path: &Path, lists: &Lists, names: &[String]) -> Result<Places, DataError> {
    const EXPECTED: &str = "NAME_NUMBER CLASS SPECIES BREED, each picture once";
    let mut parts = BTreeMap::new();
    let mut root = String::new();
    for (own, part) in [(PETS_TRAIN, Part::Train), (PETS_TEST, Part::Test)] {
        let Some((list, bytes)) = find(lists, own) else { continue };
        let folder = folder_of(list);
        root = folder.strip_suffix("annotations/").unwrap_or(folder).to_string();
        let file = path.join(list);
        for line in lines(&file, bytes) {
            let (line, text) = line?;
            let name = text.split_whitespace().next().unwrap_or(text).to_string();
            let numbered = name.rsplit_once('_').is_some_and(|(class, _)| !class.is_empty());
            if !numbered || parts.insert(name, (part, file.clone())).is_some() {
                return Err(unfit(&file, line, format!("it says `{text}`"), EXPECTED));
            }
        }
    }
    let mut places = Vec::with_capacity(names.len());
    for name in names {
        let own = name.strip_prefix(&*root).and_then(|name| name.strip_prefix("images/"));
        let own = own.and_then(|own| own.rsplit_once('.')).map(|(stem, _)| stem);
        let place = own.and_then(|own| {
            let (part, _) = parts.remove(own)?;
            let class = own.rsplit_once('_')?.0.to_string();
            Some(Place { class, subject: None, part: Some(part) })
        });
        places.push(place);
    }
    match parts.into_iter().next() {
        Some((name, (_, list))) => Err(missing(&list, &format!("{root}images/{name}.jpg"))),
        None => Ok(places),
    }
}

/// `/a/abbey/NAME.jpg`, where `ClassName.txt` has a line `/a/abbey`.
fn sun(
    path: &Path,
    (list, bytes): (&str, &[u8]),
    lists: &Lists,
    names: &[String],
) -> Result<Places, DataError> {
    let root = folder_of(list);
    let set = |own: &str| -> Result<Option<BTreeSet<String>>, DataError> {
        let Some((name, bytes)) = find(lists, own) else { return Ok(None) };
        let file = path.join(name);
        let below = |line: Result<(usize, &str), DataError>| {
            line.map(|(_, text)| text.trim_start_matches('/').to_string())
        };
        lines(&file, bytes).map(below).collect::<Result<_, _>>().map(Some)
    };
    let mut classes = BTreeSet::new();
    let file = path.join(list);
    for line in lines(&file, bytes) {
        let (line, text) = line?;
        let class = text.trim_matches('/');
        if class.is_empty() || !classes.insert(class.to_string()) {
            let expected = "the folder of a class, as /a/abbey, each once";
            return Err(unfit(&file, line, format!("it says `{text}`"), expected));
        }
    }
    let (train, test) = (set(SUN_TRAIN)?, set(SUN_TEST)?);
    let listed = |set: &Option<BTreeSet<String>>, own: &str| {
        set.as_ref().is_some_and(|set| set.contains(own))
    };
    let place = |name: &String| -> Option<Place> {
        let own = name.strip_prefix(root)?;
        let folder = folder_of(own).trim_end_matches('/');
        // The letter that begins a path only sorts it.
        let class = classes.get(folder)?.split_once('/').map_or(folder, |(_, class)| class);
        let part = match (listed(&train, own), listed(&test, own)) {
            _ if train.is_none() || test.is_none() => None,
            (_, true) => Some(Part::Test),
            (true, false) => Some(Part::Train),
            (false, false) => Some(Part::Left),
        };
        Some(Place { class: class.to_string(), subject: None, part })
    };
    Ok(names.iter().map(place).collect())
}

/// `train/CLASS/images/NAME`, `val/images/NAME` with a line `NAME CLASS X Y W H`, `test/images/NAME`.
fn tiny(path: &Path, (list, bytes): (&str, &[u8]), names: &[String]) -> Result<Places, DataError> {
    let validation = folder_of(list);
    let root = validation.strip_suffix("val/").unwrap_or_default();
    let file = path.join(list);
    let mut told = BTreeMap::new();
    for line in lines(&file, bytes) {
        let (line, text) = line?;
        let mut words = text.split_whitespace();
        let (Some(name), Some(class)) = (words.next(), words.next()) else {
            let expected = "NAME CLASS X Y WIDTH HEIGHT, separated by tabs";
            return Err(unfit(&file, line, format!("it says `{text}`"), expected));
        };
        told.insert(format!("{validation}images/{name}"), class.to_string());
    }
    let train = format!("{root}train/");
    let place = |name: &String| {
        if let Some(class) = told.remove(name) {
            return Some(Place { class, subject: None, part: Some(Part::Test) });
        }
        let class = name.strip_prefix(&*train)?.split_once('/')?.0.to_string();
        Some(Place { class, subject: None, part: Some(Part::Train) })
    };
    let places = names.iter().map(place).collect();
    match told.into_keys().next() {
        Some(name) => Err(missing(&file, &name)),
        None => Ok(places),
    }
}
