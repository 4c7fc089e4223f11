//! From labels as they stand in a table to classes with names.
//!
//! Names are looked for in `dataset.toml`, in an array `classes`, and in `classes.txt` or
//! `activity_labels.txt` beside the tables, in this order. Without any, a class is called as its label
//! is. A text file holds one name a line, for labels 0, 1, ...; or, where every line begins with a whole
//! number, the label and its name, as `1 WALKING`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::data::error::DataError;
use crate::data::packed::lines;

use super::error::TableError;
use super::names::Names;
use super::settings::Settings;

/// The most bytes of a file of names.
const MAX_BYTES: u64 = 4 << 20;

/// Files of names.
const FILES: [&str; 2] = ["classes.txt", "activity_labels.txt"];

/// Names of classes.
pub(super) struct Naming {
    /// Where they come from, for messages.
    from: String,
    names: Vec<String>,
    /// The place of a label among the names.
    places: BTreeMap<String, u32>,
}

impl Naming {
    /// Names by place: label `k` is the class `names[k]`, and so is the label that spells that name.
    pub(super) fn listed(from: String, names: Vec<String>) -> Self {
        let numbers = (0..).zip(&names).map(|(place, _)| (place.to_string(), place));
        // A name wins over a number, so that names which are numbers mean what they say.
        let own = names.iter().cloned().zip(0..);
        let places = numbers.chain(own).collect();
        Self { from, names, places }
    }

    /// Names by label, in the order of the labels.
    fn numbered(from: String, pairs: BTreeMap<i64, String>) -> Self {
        let places = pairs.keys().map(i64::to_string).zip(0..).collect();
        Self { from, names: pairs.into_values().collect(), places }
    }

    /// The names that settings or a file in `folder` give.
    pub(super) fn beside(folder: &Path, settings: &Settings) -> Result<Option<Self>, DataError> {
        if let Some(names) = &settings.classes {
            let from = format!("`{}`", settings.file.display());
            return Ok(Some(Self::listed(from, names.get_ref().clone())));
        }
        let file = FILES.iter().map(|name| folder.join(name)).find(|file| file.is_file());
        let Some(file) = file else { return Ok(None) };
        let (mut names, mut pairs, mut count) = (Vec::new(), BTreeMap::new(), 0);
        lines(&file, MAX_BYTES, |number, line| {
            let line = line.trim();
            if line.is_empty() {
                return Ok(());
            }
            if line.contains(char::is_control) {
                let why = "a name holds a control character".to_string();
                return Err(TableError::Settings { file: file.clone(), line: number, why }.into());
            }
            count += 1;
            names.push(line.to_string());
            if let Some((label, name)) = line.split_once(char::is_whitespace)
                && let Ok(label) = label.parse::<i64>()
                && pairs.insert(label, name.trim().to_string()).is_some()
            {
                let why = format!("the label {label} is named twice");
                return Err(TableError::Settings { file: file.clone(), line: number, why }.into());
            }
            Ok(())
        })?;
        let from = format!("`{}`", file.display());
        let numbered = count > 0 && pairs.len() == count;
        Ok(Some(if numbered { Self::numbered(from, pairs) } else { Self::listed(from, names) }))
    }
}

/// The names of classes, and for each number that `found` gave the class it is.
///
/// With names, every one of them is a class, whether or not it has samples: a cut-down set keeps the
/// classes of the whole.
pub(super) fn classes(
    found: Names,
    naming: Option<Naming>,
) -> Result<(Vec<String>, Vec<u32>), DataError> {
    let (labels, places) = found.sorted();
    let Some(naming) = naming else { return Ok((labels, places)) };
    let of_label: Vec<u32> = labels
        .into_iter()
        .map(|label| match naming.places.get(&label) {
            Some(&place) => Ok(place),
            None => Err(TableError::LabelWithoutName {
                label,
                from: naming.from.clone(),
                names: naming.names.len(),
            }),
        })
        .collect::<Result<_, _>>()?;
    let classes = places.iter().map(|&place| of_label[place as usize]).collect();
    Ok((naming.names, classes))
}
