//! The file that an experiment is written in: TOML, short to write, and refused with line and column
//! where it says what is not understood.
//!
//! Shorthands are spelt out on the parsed text, whose parts know where they stood, so that a wrong
//! field of a method is told at its own place too.

use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue, ValueDeserializer};

use super::super::fault::Fault;
use super::super::setting::plain;
use super::cell;
use super::check::{Checked, Claimed, MAX_LIST, Wrong, at, checked};
use super::settings::{Entry, Experiment};
use crate::base::disk::read_at_most;
use crate::unlearn::Method;

/// The longest file that is read.
const MAX_BYTES: u64 = 1 << 20;
/// `Schedule::paper`, as a file spells it.
const MULTISTEP: &str = "{ multi-step = { milestones = [0.5, 0.75], factor = 0.1 } }";

/// Reads the experiment in the file at `path`.
///
/// # Errors
/// If it cannot be read, is no TOML, or says what is not understood: with line and column.
pub(super) fn read(path: &Path) -> Result<Experiment, Fault> {
    let bytes = read_at_most(path, MAX_BYTES).map_err(Fault::Given)?;
    let input =
        |at: String, why: String| Fault::Input { what: path.display().to_string(), at, why };
    let text = String::from_utf8(bytes).map_err(|fault| {
        let at = format!("byte {}", fault.utf8_error().valid_up_to());
        input(at, "this is not UTF-8; an experiment is TOML text".into())
    })?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    parse(&text, &stem).map_err(|(span, why)| {
        let at = span.map_or("taken together".into(), |span| place(&text, span.start));
        input(at, why)
    })
}

/// Where byte `at` of `text` stands, counted from 1.
fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    format!("line {line}, column {column}")
}

fn toml_error(error: toml::de::Error) -> Wrong {
    (error.span(), error.message().replace('\n', ": "))
}

/// Reads an experiment; one without a name is called `stem`.
pub(super) fn parse(text: &str, stem: &str) -> Checked<Experiment> {
    let root = DeTable::parse(text).map_err(toml_error)?;
    let whole = root.span();
    let mut root = root.into_inner();
    schedules(&mut root);
    for key in ["data", "model", "models", "scenario", "scenarios"] {
        root.get_mut(key).into_iter().for_each(listed);
    }
    masks(&mut root)?;
    let methods = match root.remove("methods") {
        Some(methods) => entries(methods)?,
        None => Vec::new(),
    };
    let root = Spanned::new(whole, DeValue::Table(root));
    let claimed = Claimed::deserialize(ValueDeserializer::from(root)).map_err(toml_error)?;
    checked(claimed, methods, stem)
}

/// `schedule = "multistep"` stands for the paper's milestones, wherever it stands.
fn schedules(table: &mut DeTable<'_>) {
    for (key, value) in table.iter_mut() {
        let span = value.span();
        match value.get_mut() {
            DeValue::String(word) if key.get_ref() == "schedule" && word == "multistep" => {
                if let Ok(paper) = DeValue::parse(MULTISTEP) {
                    *value = Spanned::new(span, paper.into_inner());
                }
            }
            DeValue::Table(inner) => schedules(inner),
            DeValue::Array(items) => items.iter_mut().for_each(|item| {
                if let DeValue::Table(inner) = item.get_mut() {
                    schedules(inner);
                }
            }),
            _ => {}
        }
    }
}

/// One for a list of one.
fn listed(value: &mut Spanned<DeValue<'_>>) {
    if matches!(value.get_ref(), DeValue::String(_)) {
        let span = value.span();
        let one = std::mem::replace(value, Spanned::new(span, DeValue::Array(DeArray::new())));
        if let DeValue::Array(list) = value.get_mut() {
            list.push(one);
        }
    }
}

/// Spells masks out: `"dense"`, a number, or a table, each with what `[mask]` says of all.
fn masks(root: &mut DeTable<'_>) -> Checked<()> {
    let common = match root.remove("mask").map(|common| (common.span(), common.into_inner())) {
        None => DeTable::new(),
        Some((_, DeValue::Table(table))) => table,
        Some((span, _)) => return at(span, "`mask` is a table of what all masks share"),
    };
    let Some(list) = root.get_mut("masks") else { return Ok(()) };
    let span = list.span();
    let DeValue::Array(list) = list.get_mut() else {
        return at(span, "`masks` is a list, like [\"dense\", 0.95]");
    };
    for mask in list.iter_mut() {
        let span = mask.span();
        let value = std::mem::replace(mask.get_mut(), DeValue::Boolean(false));
        let mut table = match value {
            DeValue::Table(table) => table,
            DeValue::String(word) if word == "dense" => {
                one("sparsity", DeValue::parse("0.0"), &span)
            }
            number @ (DeValue::Integer(_) | DeValue::Float(_)) => {
                one("sparsity", Ok(Spanned::new(span.clone(), number)), &span)
            }
            _ => {
                return at(
                    span,
                    "a mask is \"dense\", a share like 0.95, or a table with `sparsity`",
                );
            }
        };
        for (key, value) in &common {
            if !table.contains_key(key) {
                table.insert(key.clone(), value.clone());
            }
        }
        rewinds(&mut table);
        *mask.get_mut() = DeValue::Table(table);
    }
    Ok(())
}

fn one<'i>(
    key: &'static str,
    value: Result<Spanned<DeValue<'i>>, toml::de::Error>,
    span: &Range<usize>,
) -> DeTable<'i> {
    let key = Spanned::new(span.clone(), key.into());
    value
        .into_iter()
        .map(|value| (key.clone(), Spanned::new(span.clone(), value.into_inner())))
        .collect()
}

/// An epoch to rewind to as a word, and the paper's word for magnitude.
fn rewinds(table: &mut DeTable<'_>) {
    if let Some(value) = table.get_mut("rewind") {
        let word = match value.get_ref() {
            DeValue::Integer(epoch) => Some(epoch.as_str().to_string()),
            _ => None,
        };
        if let Some(word) = word {
            *value.get_mut() = DeValue::String(word.into());
        }
    }
    if let Some(value) = table.get_mut("criterion")
        && value.get_ref().as_str() == Some("omp")
    {
        *value.get_mut() = DeValue::String("magnitude".into());
    }
}

/// The methods of the list `methods`.
fn entries(list: Spanned<DeValue<'_>>) -> Checked<Vec<Entry>> {
    let span = list.span();
    match list.into_inner() {
        DeValue::Array(items) => items.into_iter().map(entry).collect(),
        _ => at(
            span,
            "`methods` is a list, like [\"fine-tune\", { name = \"l1-sparse\", alpha = 1e-4 }]",
        ),
    }
}

fn entry(value: Spanned<DeValue<'_>>) -> Checked<Entry> {
    let span = value.span();
    let expected = "a method is a name, or a table with `name` and fields of the method";
    let mut table = match value.into_inner() {
        DeValue::Table(table) => table,
        DeValue::String(name) => {
            one("name", Ok(Spanned::new(span.clone(), DeValue::String(name))), &span)
        }
        _ => return at(span, expected),
    };
    let Some(name) = take::<String>(&mut table, "name")? else { return at(span, expected) };
    if name.get_ref() == "retrain" {
        return at(
            name.span(),
            "a retraining is made in any case, as the yardstick; settings of its own go under [retrain]",
        );
    }
    let label = take::<String>(&mut table, "label")?.map(Spanned::into_inner);
    let scenarios = match table.get_mut("scenarios") {
        Some(only) => {
            listed(only);
            take::<Vec<String>>(&mut table, "scenarios")?.map(Spanned::into_inner)
        }
        None => None,
    };
    let points = match table.remove("grid") {
        Some(grid) => grid_of(grid)?,
        None => Vec::new(),
    };
    let method = method(&name, table.clone(), &span)?;
    let mut candidates = Vec::new();
    for point in product(&points) {
        let mut table = table.clone();
        let mut special = serde_json::Map::new();
        for (key, value) in point {
            special.insert(key.get_ref().to_string(), json_of(value));
            table.insert(key.clone(), value.clone());
        }
        candidates.push((Value::Object(special), self::method(&name, table, &span)?));
    }
    let grid = points
        .iter()
        .map(|(key, values)| (key.get_ref().to_string(), values.iter().map(json_of).collect()));
    Ok(Entry {
        label: label.unwrap_or_else(|| name.get_ref().clone()),
        method,
        scenarios: scenarios.unwrap_or_default(),
        grid: grid.collect(),
        candidates,
    })
}

/// Takes a value out of a table.
fn take<'i, T: Deserialize<'i>>(table: &mut DeTable<'i>, key: &str) -> Checked<Option<Spanned<T>>> {
    let Some(value) = table.remove(key) else { return Ok(None) };
    let value = Spanned::<T>::deserialize(ValueDeserializer::from(value));
    value.map(Some).map_err(toml_error)
}

type Points<'i> = Vec<(Spanned<DeString<'i>>, Vec<Spanned<DeValue<'i>>>)>;

/// The lists of `grid = { rate = [..], alpha = [..] }`.
fn grid_of(grid: Spanned<DeValue<'_>>) -> Checked<Points<'_>> {
    let span = grid.span();
    let expected = "`grid` is a table of lists, like { rate = [0.01, 0.1], alpha = [1e-4, 1e-3] }";
    let DeValue::Table(table) = grid.into_inner() else { return at(span, expected) };
    let mut points = Vec::new();
    let mut many = 1usize;
    for (key, values) in table {
        let span = values.span();
        match values.into_inner() {
            DeValue::Array(values) if !values.is_empty() => {
                many = many.saturating_mul(values.len());
                points.push((key, values.into_iter().collect()));
            }
            _ => return at(span, expected),
        }
    }
    match many {
        0..=MAX_LIST => Ok(points),
        _ => at(span, format!("the grid has {many} points, at most {MAX_LIST} are tried")),
    }
}

type Point<'a, 'i> = Vec<(&'a Spanned<DeString<'i>>, &'a Spanned<DeValue<'i>>)>;

/// Every choice of one value of each list, the last list changing first; nothing of no list.
fn product<'a, 'i>(points: &'a Points<'i>) -> Vec<Point<'a, 'i>> {
    let mut all: Vec<Point<'a, 'i>> = if points.is_empty() { Vec::new() } else { vec![Vec::new()] };
    for (key, values) in points {
        let longer = |point: &Point<'a, 'i>| -> Vec<Point<'a, 'i>> {
            values
                .iter()
                .map(|value| point.iter().copied().chain([(key, value)]).collect())
                .collect()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

/// A value of the file as JSON.
fn json_of(value: &Spanned<DeValue<'_>>) -> Value {
    let value = toml::Value::deserialize(ValueDeserializer::from(value.clone()));
    value.map_or(Value::Null, |value| plain(&value))
}

/// The method called `name` with the fields of `table`. Fields of its fine-tuning may stand among its
/// own.
fn method<'i>(
    name: &Spanned<String>,
    mut table: DeTable<'i>,
    span: &Range<usize>,
) -> Checked<Method> {
    let default = serde_json::from_value::<Method>(json!({ name.get_ref().as_str(): {} }));
    if let Ok(default) = default {
        let default = plain(&default);
        lift(&default[name.get_ref()], &mut table, span);
    }
    let key: Spanned<DeString<'i>> = Spanned::new(name.span(), name.get_ref().clone().into());
    let inner = Spanned::new(span.clone(), DeValue::Table(table));
    let outer: DeTable<'i> = [(key, inner)].into_iter().collect();
    let outer = Spanned::new(span.clone(), DeValue::Table(outer));
    let method = Method::deserialize(ValueDeserializer::from(outer)).map_err(toml_error)?;
    match cell::refused(&method) {
        Some(why) => at(span.clone(), why),
        None => Ok(method),
    }
}

/// Moves fields that only the `tuning` of a method has into it.
fn lift<'i>(fields: &Value, table: &mut DeTable<'i>, span: &Range<usize>) {
    let Some(tuning) = fields["tuning"].as_object() else { return };
    // What is left out of texts where it is the default.
    let inner =
        |key: &str| fields.get(key).is_none() && (tuning.contains_key(key) || key == "trained");
    let keys: Vec<_> = table.keys().filter(|key| inner(key.get_ref())).cloned().collect();
    if keys.is_empty() {
        return;
    }
    let moved: Vec<_> = keys.into_iter().filter_map(|key| table.remove_entry(&key)).collect();
    let own = table.remove("tuning").map(Spanned::into_inner);
    let mut inside = match own {
        Some(DeValue::Table(inside)) => inside,
        _ => DeTable::new(),
    };
    inside.extend(moved);
    let key = Spanned::new(span.clone(), "tuning".into());
    table.insert(key, Spanned::new(span.clone(), DeValue::Table(inside)));
}

#[cfg(test)]
mod tests;
