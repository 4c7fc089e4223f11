//! CSV: one sample a line, one value a column, and columns that tell label, subject, group and part.
//!
//! The first line names the columns. `label` (or `class`, `target`, and where there is none of these
//! `y`) must be there; `subject`, `group` or `segment`, and `split` or `test` may be, in any case of
//! letters. Every other column is a value. Their order is the order of a sample, `[values, 1, 1]` or the
//! shape that `dataset.toml` gives.
//!
//! One file, alone in its folder or given by itself, is one part or, with a column `split`, two;
//! `train.csv` and `test.csv` are two. Plain, `.gz` or `.xz`; tabs separate where the name says `.tsv`.

use std::path::{Path, PathBuf};

use crate::data::error::DataError;
use crate::data::limits::{MAX_CLASSES, MAX_SAMPLES, MAX_SIDE};
use crate::data::open::{Kind, Parts, Reading};
use crate::data::signals::LIST;

use super::classes::Naming;
use super::error::TableError;
use super::lines::Lines;
use super::names::Names;
use super::roles::{Role, find, need};
use super::rows::{Rows, Seen, finish};
use super::settings::Settings;
use super::{ending_in, folder_of, is_file_ending_in};

const ENDINGS: [&str; 6] = [".csv", ".csv.gz", ".csv.xz", ".tsv", ".tsv.gz", ".tsv.xz"];

const LABELS: Role = Role { name: "labels", known: &["label", "class", "target"] };
/// A label where none of [`LABELS`] is there. Beside one it is a value: the second of three axes.
const LAST_LABELS: Role = Role { name: "labels", known: &["y"] };
const SUBJECT: Role = Role { name: "subject", known: &["subject"] };
const GROUP: Role = Role { name: "group", known: &["group", "segment"] };
const TEST: Role = Role { name: "test", known: &["split", "test"] };

/// The most characters of a field that a message tells.
const TOLD: usize = 40;

/// How [`crate::data::open()`] knows CSV.
pub(in crate::data) const KIND: Kind = Kind {
    name: "CSV",
    looked_for: "CSV (one .csv or .tsv file, or train.csv and test.csv; plain, .gz or .xz; its first \
                 line names the columns: label, if there are any subject, group and split, all others \
                 are values)",
    takes: None,
    single: true,
    is_here,
    open,
};

/// Whether `path` is such a file or holds one. A list of sound or pictures is none.
fn is_here(path: &Path) -> bool {
    let table = |file: &PathBuf| file.file_name().is_none_or(|name| name != LIST);
    is_file_ending_in(path, &ENDINGS) || ending_in(path, &ENDINGS).iter().any(table)
}

fn open(path: &Path, how: &Reading) -> Result<Parts, DataError> {
    let settings = Settings::read(folder_of(path))?;
    let unfit = [("samples", settings.samples.is_some()), ("layout", settings.layout.is_some())];
    settings.mean_nothing(KIND.name, &unfit)?;
    let (file, test_file) = files(path)?;
    let naming = Naming::beside(folder_of(path), &settings)?;

    let mut table = Table::open(&file, &settings)?;
    let mut seen = Seen::default();
    let mut rows = [Rows::new(&how.room), Rows::new(&how.room)];
    table.read(&mut seen, &mut rows)?;
    let mut two = table.columns.test.is_some();
    if let Some(test_file) = test_file {
        let mut other = Table::open(&test_file, &settings)?;
        table.columns.same(&file, &other.columns, &test_file)?;
        rows.reverse();
        other.read(&mut seen, &mut rows)?;
        rows.reverse();
        two = true;
    }
    let shape = table.shape(&settings)?;
    let [train, test] = rows;
    let (train, test) = finish(train, two.then_some(test), seen, naming, shape)?;
    Ok(Parts::plain(train, test))
}

/// The one file, or the files of both parts.
fn files(path: &Path) -> Result<(PathBuf, Option<PathBuf>), DataError> {
    if path.is_file() {
        return Ok((path.to_path_buf(), None));
    }
    let found = ending_in(path, &ENDINGS);
    let name = |file: &PathBuf| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let of = |stem: &str| {
        let named = |file: &&PathBuf| name(file).to_lowercase().split('.').next() == Some(stem);
        found.iter().find(named).cloned()
    };
    match (&found[..], of("train"), of("test")) {
        ([file], _, _) => Ok((file.clone(), None)),
        ([_, _], Some(train), Some(test)) => Ok((train, Some(test))),
        _ => Err(TableError::SeveralFiles {
            folder: path.to_path_buf(),
            found: found.iter().map(name).collect(),
            expected: "one table, or train.csv and test.csv",
        }
        .into()),
    }
}

/// What each column is.
struct Columns {
    names: Vec<String>,
    labels: usize,
    subject: Option<usize>,
    group: Option<usize>,
    test: Option<usize>,
    /// The columns of values, in order.
    values: Vec<usize>,
}

/// A table whose first line was read.
struct Table {
    lines: Lines,
    columns: Columns,
}

impl Table {
    fn open(file: &Path, settings: &Settings) -> Result<Self, DataError> {
        let mut lines = Lines::open(file)?;
        if !lines.advance()? {
            return Err(DataError::NoSamples { what: format!("`{}`", file.display()) });
        }
        let columns = Columns::of(&lines, settings)?;
        Ok(Self { lines, columns })
    }

    /// Reads all lines: of the part called test into the second of `rows`, others into the first.
    fn read(&mut self, seen: &mut Seen, rows: &mut [Rows<f32>; 2]) -> Result<(), DataError> {
        let mut values = Vec::with_capacity(self.columns.values.len());
        while self.lines.advance()? {
            let (found, expected) = (self.lines.count(), self.columns.names.len());
            if found != expected {
                let (file, line) = (self.lines.file().to_path_buf(), self.lines.line());
                return Err(TableError::Fields { file, line, found, expected }.into());
            }
            let is_test = self.columns.test.map_or(Ok(false), |column| self.flag(column))?;
            let part = &mut rows[usize::from(is_test)];
            self.values(&mut values)?;
            part.values.push(&values)?;
            let lists = &mut part.lists;
            lists.labels.push(self.name(self.columns.labels, &mut seen.labels, MAX_CLASSES)?);
            if let Some(column) = self.columns.subject {
                lists.subjects.push(self.name(column, &mut seen.subjects, MAX_SAMPLES)?);
            }
            if let Some(column) = self.columns.group {
                lists.groups.push(self.name(column, &mut seen.groups, MAX_SAMPLES)?);
            }
            if lists.labels.len() > MAX_SAMPLES {
                return Err(self.too_many("samples", MAX_SAMPLES));
            }
        }
        Ok(())
    }

    /// The values of the line, in order.
    fn values(&self, values: &mut Vec<f32>) -> Result<(), DataError> {
        values.clear();
        // One look at the whole line: field by field it took a tenth of the time of reading.
        let line = str::from_utf8(self.lines.all()).ok();
        for &column in &self.columns.values {
            let text = match line {
                Some(line) => line.get(self.lines.range(column)),
                None => str::from_utf8(self.lines.field(column)).ok(),
            };
            let value = text.and_then(|text| text.trim_ascii().parse::<f32>().ok());
            match value.filter(|value| value.is_finite()) {
                Some(value) => values.push(value),
                None => return Err(self.wrong(column, "a finite number, such as -1.5 or 2e-3")),
            }
        }
        Ok(())
    }

    /// The number of the name in `column`, of which there may be `most`.
    fn name(&self, column: usize, names: &mut Names, most: usize) -> Result<u32, DataError> {
        let text = str::from_utf8(self.lines.field(column)).ok();
        match text.filter(|text| !text.is_empty() && !text.contains(char::is_control)) {
            None => {
                Err(self
                    .wrong(column, "a UTF-8 text that is not empty and has no control characters"))
            }
            Some(text) => match names.number(text) {
                number if (number as usize) < most => Ok(number),
                _ => Err(self.too_many("different names in one column", most)),
            },
        }
    }

    fn flag(&self, column: usize) -> Result<bool, DataError> {
        let text = self.lines.field(column).to_ascii_lowercase();
        match &text[..] {
            b"train" | b"0" | b"false" => Ok(false),
            b"test" | b"1" | b"true" => Ok(true),
            _ => Err(self.wrong(column, "train or test, or 0 or 1")),
        }
    }

    fn wrong(&self, column: usize, expected: &'static str) -> DataError {
        let (file, line) = (self.lines.file().to_path_buf(), self.lines.line());
        let (column, found) = (self.columns.names[column].clone(), told(self.lines.field(column)));
        TableError::Field { file, line, column, found, expected }.into()
    }

    fn too_many(&self, what: &'static str, limit: usize) -> DataError {
        let (file, line) = (self.lines.file().to_path_buf(), self.lines.line());
        TableError::TooMany { file, line, what, limit }.into()
    }

    /// The shape of a sample.
    fn shape(&self, settings: &Settings) -> Result<[usize; 3], DataError> {
        let values = self.columns.values.len();
        let Some(shape) = settings.shape.as_ref().map(|shape| *shape.get_ref()) else {
            return Ok([values, 1, 1]);
        };
        // Each side was held against its limit: three of them cannot overflow.
        let product = shape.iter().product();
        if product == values {
            return Ok(shape);
        }
        let (settings, file) = (settings.file.clone(), self.lines.file().to_path_buf());
        Err(TableError::ShapeProduct { settings, shape, product, file, values }.into())
    }
}

impl Columns {
    /// Reads the first line.
    fn of(lines: &Lines, settings: &Settings) -> Result<Self, DataError> {
        let file = lines.file();
        let names = (0..lines.count()).map(|column| name(lines, column));
        let names = names.collect::<Result<Vec<String>, _>>()?;
        let small: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        let may = |role: &Role, said: &Option<String>| match said {
            Some(said) => find(file, role, Some(said), &names),
            None => find(file, role, None, &small),
        };
        let labels = match may(&LABELS, &settings.labels)?.or(may(&LAST_LABELS, &None)?) {
            Some(column) => column,
            None => need(file, &LABELS, None, &small)?,
        };
        let subject = may(&SUBJECT, &settings.subject)?;
        let group = may(&GROUP, &settings.group)?;
        let test = may(&TEST, &settings.test)?;
        let told = [Some(labels), subject, group, test];
        let values = (0..names.len()).filter(|&column| !told.contains(&Some(column))).collect();
        let columns = Self { names, labels, subject, group, test, values };
        // A shape holds the number of values to its own limits.
        let limit = if settings.shape.is_some() { usize::MAX } else { MAX_SIDE };
        match columns.values.len() {
            found if (1..=limit).contains(&found) => Ok(columns),
            found => Err(TableError::Values { file: file.to_path_buf(), found, limit }.into()),
        }
    }

    /// Holds that both tables have the same columns, but for the one that tells parts apart.
    fn same(&self, train: &Path, other: &Self, test: &Path) -> Result<(), DataError> {
        let all = |columns: &Self| -> Vec<String> {
            let about = [Some(columns.labels), columns.subject, columns.group];
            let told = about.iter().flatten().chain(&columns.values);
            told.map(|&column| columns.names[column].clone()).collect()
        };
        let (expected, found) = (all(self), all(other));
        let test_column = [(train, self), (test, other)]
            .into_iter()
            .find_map(|(file, columns)| Some((file, &columns.names[columns.test?])));
        if let Some((file, first)) = test_column {
            let (file, first) = (file.to_path_buf(), first.clone());
            let second = "two files".to_string();
            return Err(TableError::TwoForRole { file, role: TEST.name, first, second }.into());
        }
        if expected == found {
            return Ok(());
        }
        // The first difference is what a person looks for.
        let at = expected.iter().zip(&found).take_while(|(a, b)| a == b).count();
        let has = |names: &[String]| match names.get(at) {
            Some(name) => format!("{} columns, one of them `{name}`", names.len()),
            None => format!("{} columns", names.len()),
        };
        let (test, train) = (test.to_path_buf(), train.to_path_buf());
        let (found, expected) = (has(&found), has(&expected));
        Err(TableError::PartsDiffer { test, found, train, expected }.into())
    }
}

/// The name of a column.
fn name(lines: &Lines, column: usize) -> Result<String, DataError> {
    let field = lines.field(column);
    let wrong = |expected| TableError::ColumnName {
        file: lines.file().to_path_buf(),
        column: column + 1,
        found: told(field),
        expected,
    };
    match str::from_utf8(field) {
        Err(_) => Err(wrong("a name in UTF-8").into()),
        Ok("") => Err(wrong("a name (a column that only counts lines is left out)").into()),
        Ok(text) => Ok(text.to_string()),
    }
}

/// The beginning of a field, as a message shows it.
fn told(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field);
    let shown = text.chars().take(TOLD).flat_map(char::escape_debug).collect::<String>();
    if text.chars().count() > TOLD { format!("{shown}...") } else { shown }
}
