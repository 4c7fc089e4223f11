//! NumPy arrays: samples, labels and what else is told about samples, each an array of its own, in
//! one `.npz` file or in the `.npy` files of a folder.
//!
//! An array is known by its name: `X` samples, `y` labels, and where there are any `subject`, `group`
//! and `test`, with the spellings of [`SAMPLES`] and its neighbours. With `_train` and `_test` behind
//! them (`x_train`, `y_test`) they are two parts. Arrays of other names are not read. What shapes mean
//! is in [`super::layout`]; how to say otherwise in [`super::settings`].
//!
//! Numbers of one unsigned byte stay bytes and are read as `byte / 255`. All others become 32-bit
//! floats: whole numbers above 2^24 and 64-bit floats are rounded.

use std::path::Path;

use crate::data::error::DataError;
use crate::data::limits::{MAX_SAMPLES, MAX_SIDE};
use crate::data::open::{Kind, Parts, Reading};
use crate::data::room::Room;

use super::classes::Naming;
use super::error::TableError;
use super::layout::{Arrangement, Layout, RULE};
use super::names::Names;
use super::npy;
use super::roles::{Role, find, need};
use super::rows::{Lists, Rows, Seen, finish};
use super::samples::{Narrow, column, stream};
use super::settings::Settings;
use super::store::{Array, Store};
use super::{ending_in, folder_of, is_file_ending_in};

const SAMPLES: Role = Role { name: "samples", known: &["X", "x", "data", "samples", "images"] };
const LABELS: Role = Role { name: "labels", known: &["y", "label", "labels", "target", "targets"] };
const SUBJECT: Role = Role { name: "subject", known: &["subject", "subjects"] };
const GROUP: Role = Role { name: "group", known: &["group", "groups", "segment", "segments"] };
const TEST: Role = Role { name: "test", known: &["test", "official_test", "is_test"] };
/// The array of class names.
const CLASSES: &str = "classes";

/// The most values of one sample: it lies in memory while it is turned.
const MAX_SAMPLE: usize = 1 << 26;

/// How [`crate::data::open()`] knows arrays.
pub(in crate::data) const KIND: Kind = Kind {
    name: "NumPy arrays",
    looked_for: "NumPy arrays (one .npz file, or a folder of .npy files, with arrays X and y, or \
                 X_train, y_train, X_test and y_test; if there are any also subject, group, test and \
                 classes; a file dataset.toml beside them may name others)",
    takes: None,
    single: true,
    is_here: |path| {
        is_file_ending_in(path, &[".npz"]) || !ending_in(path, &[".npz", ".npy"]).is_empty()
    },
    open,
};

/// The names of the arrays of one part.
struct Part {
    samples: String,
    labels: String,
    subject: Option<String>,
    group: Option<String>,
    test: Option<String>,
}

/// What the samples of a part are, by the header of their array.
#[derive(Clone, Copy)]
struct Form {
    samples: usize,
    arrangement: Arrangement,
    bytes: bool,
}

fn open(path: &Path, how: &Reading) -> Result<Parts, DataError> {
    let folder = folder_of(path);
    let settings = Settings::read(folder)?;
    settings.mean_nothing(KIND.name, &[("shape", settings.shape.is_some())])?;
    let mut store = Store::open(path)?;
    let parts = parts(&store, &settings)?;
    let naming = naming(folder, &settings, &mut store)?;
    let forms = parts.iter().map(|part| form(&mut store, part, settings.layout));
    let forms = forms.collect::<Result<Vec<Form>, _>>()?;
    let whole = Whole { store, parts, forms, naming };
    if whole.forms[0].bytes { whole.read::<u8>(&how.room) } else { whole.read::<f32>(&how.room) }
}

/// Which arrays make one part, or two: to learn from, and to measure.
fn parts(store: &Store, settings: &Settings) -> Result<Vec<Part>, DataError> {
    let names = store.names();
    let stems = |suffix: &str| -> Vec<String> {
        names.iter().filter_map(|name| name.strip_suffix(suffix)).map(str::to_string).collect()
    };
    let (train, test) = (stems("_train"), stems("_test"));
    let said = settings.samples.as_deref();
    // What was said may be the name of an array or of a pair.
    let pair = |said: &str| train.iter().any(|stem| stem == said);
    let known = |stem: &String| SAMPLES.known.contains(&&**stem);
    let two = said.map_or_else(|| train.iter().any(known), pair);
    if !two {
        return Ok(vec![part(store, settings, &names, "")?]);
    }
    if let (None, Some(at)) = (said, find(store.path(), &SAMPLES, None, &names)?) {
        let file = store.path().to_path_buf();
        let second = train.iter().find(|stem| known(stem));
        let second = format!("{}_train", second.map_or("", String::as_str));
        let (role, first) = (SAMPLES.name, names[at].clone());
        return Err(TableError::TwoForRole { file, role, first, second }.into());
    }
    let parts =
        vec![part(store, settings, &train, "_train")?, part(store, settings, &test, "_test")?];
    if parts[0].subject.is_some() != parts[1].subject.is_some() {
        let has = |part: &Part| match &part.subject {
            Some(_) => "subjects".to_string(),
            None => "no subjects".to_string(),
        };
        return Err(differ(store, has(&parts[0]), has(&parts[1])));
    }
    Ok(parts)
}

fn part(
    store: &Store,
    settings: &Settings,
    names: &[String],
    suffix: &str,
) -> Result<Part, DataError> {
    let path = store.path();
    let full = |at: usize| format!("{}{suffix}", names[at]);
    let must = |role, said: &Option<String>| need(path, role, said.as_deref(), names).map(full);
    let may = |role, said: &Option<String>| {
        find(path, role, said.as_deref(), names).map(|found| found.map(full))
    };
    Ok(Part {
        samples: must(&SAMPLES, &settings.samples)?,
        labels: must(&LABELS, &settings.labels)?,
        subject: may(&SUBJECT, &settings.subject)?,
        group: may(&GROUP, &settings.group)?,
        // Two parts are told apart already.
        test: if suffix.is_empty() { may(&TEST, &settings.test)? } else { None },
    })
}

fn differ(store: &Store, train_has: String, test_has: String) -> DataError {
    let path = store.path().to_path_buf();
    let (train, test) = (path.clone(), path);
    TableError::PartsDiffer { test, found: test_has, train, expected: train_has }.into()
}

/// Names of classes: what settings say, the array of names, a file of names.
fn naming(
    folder: &Path,
    settings: &Settings,
    store: &mut Store,
) -> Result<Option<Naming>, DataError> {
    if settings.classes.is_some() || !store.names().iter().any(|name| name == CLASSES) {
        return Naming::beside(folder, settings);
    }
    let from = format!("the array `{CLASSES}` of `{}`", store.path().display());
    let mut names = Vec::new();
    column(store.array(CLASSES)?, |name| names.push(name.to_string()))?;
    Ok(Some(Naming::listed(from, names)))
}

/// Holds the shape of a part's samples against what is taken.
fn form(store: &mut Store, part: &Part, layout: Option<Layout>) -> Result<Form, DataError> {
    let array = store.array(&part.samples)?;
    let bytes = array.header.kind == npy::Kind::U8;
    if matches!(array.header.kind, npy::Kind::Bytes(_) | npy::Kind::Text(_)) {
        let (file, array) = (array.file(), array.name());
        let (found, expected) = ("texts".to_string(), "numbers, because it holds samples");
        return Err(TableError::ArrayType { file, array, found, expected }.into());
    }
    let sides = sides(&array)?;
    let Some((&samples, sample)) = sides.split_first() else { return Err(array.shape(RULE)) };
    let arrangement = layout
        .or_else(|| Layout::of(sample, bytes))
        .and_then(|layout| layout.arrangement(sample))
        .ok_or_else(|| match layout {
            Some(layout) => {
                array.shape(format!("what the layout {layout:?} says; known are {RULE}"))
            }
            None => array.shape(RULE),
        })?;
    Ok(Form { samples, arrangement, bytes })
}

/// The dimensions of an array of samples, all within the limits.
fn sides(array: &Array<'_>) -> Result<Vec<usize>, DataError> {
    let limits = std::iter::once(MAX_SAMPLES).chain(std::iter::repeat(MAX_SIDE));
    let sides =
        array.header.shape.iter().zip(limits).map(|(&side, limit)| {
            usize::try_from(side).ok().filter(|side| (1..=limit).contains(side))
        });
    let Some(sides) = sides.collect::<Option<Vec<usize>>>() else {
        let expected = format!("1 to {MAX_SAMPLES} samples, and sides of 1 to {MAX_SIDE}");
        return Err(array.shape(expected));
    };
    let values = sides.iter().skip(1).try_fold(1usize, |all, &side| all.checked_mul(side));
    if values.is_none_or(|values| values > MAX_SAMPLE) {
        return Err(array.shape(format!("samples of at most {MAX_SAMPLE} values")));
    }
    Ok(sides)
}

/// Arrays that are known by name and shape, and not read yet.
struct Whole {
    store: Store,
    parts: Vec<Part>,
    forms: Vec<Form>,
    naming: Option<Naming>,
}

impl Whole {
    fn read<T: Narrow>(mut self, room: &Room) -> Result<Parts, DataError> {
        let mut seen = Seen::default();
        let (mut train, mut test) = (Rows::<T>::new(room), Rows::<T>::new(room));
        let first = &self.parts[0];
        let shape = self.forms[0].arrangement.shape;
        read_part(&mut self.store, first, self.forms[0], &mut seen, [&mut train, &mut test])?;
        let mut two = first.test.is_some();
        if let (Some(second), Some(&form)) = (self.parts.get(1), self.forms.get(1)) {
            let has = |form: Form| {
                let numbers = if form.bytes { "bytes" } else { "floats" };
                format!("samples of {numbers} in the shape {:?}", form.arrangement.shape)
            };
            if has(self.forms[0]) != has(form) {
                return Err(differ(&self.store, has(self.forms[0]), has(form)));
            }
            // Without flags, the first of the two takes all.
            read_part(&mut self.store, second, form, &mut seen, [&mut test, &mut train])?;
            two = true;
        }
        let (train, test) = finish(train, two.then_some(test), seen, self.naming, shape)?;
        Ok(Parts::plain(train, test))
    }
}

/// Reads the arrays of a part. What its flags call test goes to the second of `rows`, the rest to the
/// first.
fn read_part<T: Narrow>(
    store: &mut Store,
    part: &Part,
    form: Form,
    seen: &mut Seen,
    [train, test]: [&mut Rows<T>; 2],
) -> Result<(), DataError> {
    let mut is_test = Vec::new();
    if let Some(name) = &part.test {
        is_test = flags(of_length(store, name, part, form.samples)?)?;
    }
    let mut list =
        |name: &Option<String>, which: fn(&mut Lists) -> &mut Vec<u32>, names: &mut Names| {
            let Some(name) = name else { return Ok(()) };
            let mut at = 0;
            column(of_length(store, name, part, form.samples)?, |text| {
                let rows = if is_test.get(at) == Some(&true) { &mut *test } else { &mut *train };
                which(&mut rows.lists).push(names.number(text));
                at += 1;
            })
        };
    list(&Some(part.labels.clone()), |lists| &mut lists.labels, &mut seen.labels)?;
    list(&part.subject, |lists| &mut lists.subjects, &mut seen.subjects)?;
    list(&part.group, |lists| &mut lists.groups, &mut seen.groups)?;
    let array = store.array(&part.samples)?;
    stream(array, form.arrangement, &is_test, &mut train.values, &mut test.values)
}

/// The array `name`, which must have one entry for each sample.
fn of_length<'a>(
    store: &'a mut Store,
    name: &str,
    part: &Part,
    expected: usize,
) -> Result<Array<'a>, DataError> {
    let array = store.array(name)?;
    let found = array.header.shape.first().map_or(1, |&entries| entries as usize);
    if found == expected {
        return Ok(array);
    }
    let (file, array, samples) = (array.file(), array.name(), part.samples.clone());
    Err(TableError::ArrayLength { file, array, found, samples, expected }.into())
}

/// Which samples are of the test part: entries 0 and 1, or False and True.
fn flags(array: Array<'_>) -> Result<Vec<bool>, DataError> {
    let (file, name) = (array.file(), array.name());
    let (mut flags, mut wrong) = (Vec::new(), None);
    column(array, |text| {
        if text != "0" && text != "1" {
            wrong.get_or_insert((flags.len(), text.to_string()));
        }
        flags.push(text == "1");
    })?;
    match wrong {
        None => Ok(flags),
        Some((at, found)) => Err(TableError::ArrayValue {
            file,
            array: name,
            at: vec![at],
            found,
            expected: "0 or 1, or a truth value: 1 is the test part",
        }
        .into()),
    }
}
