//! Texts with what they ask for, in JSON, to hashed n-grams ([`HashedNgrams`]).
//!
//! # Source
//! The form of CLINC150 (Larson et al., *An Evaluation Dataset for Intent Classification and
//! Out-of-Scope Prediction*, EMNLP 2019): an object with lists `train`, `val` and `test` of pairs
//! `[text, intent]`. Beside it, a list of objects `{"text": .., "intent": ..}` (or `"label"`) with
//! `"subject"` and `"split"` if wished, in place of any of those lists, as the whole file, or, in a
//! `.jsonl`, one a line.
//!
//! What is for choosing settings (`val`) is in no part, and what is out of scope (`oos_...`) is not
//! read: it has no class. Without a test part, a fifth of each class becomes one.

use std::fs;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::ops::ControlFlow::Break;
use std::path::Path;

use serde_json::Deserializer;

use super::error::SignalError;
use super::layout::Media;
use super::tree::{MAX_FILE, Tree};
use crate::data::error::DataError;
use crate::data::extraction::Extraction;
use crate::data::open::{Kind, Parts, Reading};
use crate::data::packed::Packed;

mod entries;
mod gathered;

use entries::{Entry, Whole};
use gathered::Gathered;

/// The most bytes of a `.json` file, uncompressed.
const MAX_JSON: u64 = 64 << 20;
/// The most bytes of a line of a `.jsonl` file.
const MAX_LINE: u64 = 1 << 20;
const ENDINGS: [&str; 6] = [".json", ".jsonl", ".json.gz", ".jsonl.gz", ".json.xz", ".jsonl.xz"];
/// The name that wins where there are several.
const KNOWN: &str = "data_full.json";
/// A file of CLINC150 that is no set.
const DOMAINS: &str = "domains.json";
const FORM: &str = "lists `train`, `val` and `test`, or one list, of [TEXT, INTENT] or \
     {\"text\": TEXT, \"intent\": INTENT}; in a .jsonl one object a line";

/// How [`crate::data::open`] knows this kind.
pub(in crate::data) const KIND: Kind = Kind {
    name: "texts",
    looked_for: "texts with intents (data_full.json, or the only .json or .jsonl; plain, .gz or .xz)",
    takes: Some("hashed-ngrams"),
    single: true,
    is_here: |path| is_named(path) || Media::at(path).is_none() && chosen(path).is_some(),
    open,
};

fn is_named(path: &Path) -> bool {
    path.is_file() && is_text(&path.file_name().unwrap_or_default().to_string_lossy())
}

fn is_text(name: &str) -> bool {
    let own = name.rsplit('/').next().unwrap_or(name);
    ENDINGS.iter().any(|end| own.ends_with(end)) && !own.starts_with('.')
}

/// The name of the file of texts that lies right in a folder, or anywhere in an archive.
fn chosen(path: &Path) -> Option<String> {
    let names = if path.is_dir() {
        let entries = fs::read_dir(path).ok()?.filter_map(Result::ok);
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    } else {
        Tree::at(path)?.names().ok()?
    };
    let own = |name: &str| name.rsplit('/').next().unwrap_or(name).to_string();
    let mut texts: Vec<String> =
        names.into_iter().filter(|name| is_text(name) && !own(name).starts_with(DOMAINS)).collect();
    texts.sort_unstable();
    let known = texts.iter().find(|name| own(name).starts_with(KNOWN));
    known.or(texts.first().filter(|_| texts.len() == 1)).cloned()
}

fn open(path: &Path, how: &Reading) -> Result<Parts, DataError> {
    let settings = match how.extraction {
        Some(Extraction::HashedNgrams(settings)) => settings,
        _ => Default::default(),
    };
    let mut packed = find(path)?;
    let mut gathered = Gathered::new(&how.room, settings);
    let file = packed.file().to_path_buf();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    if name.contains(".jsonl") {
        lines(packed, &mut gathered)?;
    } else {
        let bytes = packed.up_to(MAX_JSON + 1)?;
        if bytes.len() as u64 > MAX_JSON {
            return Err(DataError::TooLarge { file, limit: MAX_JSON });
        }
        whole(&file, &bytes, &mut gathered)?;
    }
    let (train, test) = gathered.parts(&file)?;
    let extraction = Some(Extraction::HashedNgrams(settings));
    Ok(Parts { extraction, ..Parts::plain(train, test) })
}

/// The file of texts at, in, or packed into `path`.
fn find(path: &Path) -> Result<Packed, DataError> {
    if is_named(path) {
        return Packed::open(path);
    }
    let nothing = || DataError::NoSamples { what: format!("`{}`", path.display()) };
    let name = chosen(path).ok_or_else(nothing)?;
    if path.is_dir() {
        return Packed::open(&path.join(name));
    }
    let mut found = None;
    let tree = Tree::at(path).ok_or_else(nothing)?;
    tree.visit(MAX_FILE, &|other| other == name, &mut |mut leaf| {
        let bytes = leaf.bytes()?;
        found = Some(Packed::over(&leaf.file, Cursor::new(bytes)));
        Ok(Break(()))
    })?;
    found.ok_or_else(nothing)
}

fn whole(file: &Path, bytes: &[u8], gathered: &mut Gathered) -> Result<(), DataError> {
    let mut text = Deserializer::from_slice(bytes);
    let read =
        serde::de::DeserializeSeed::deserialize(Whole { gathered: &mut *gathered }, &mut text);
    let read = read.and_then(|()| text.end());
    read.map_err(|fault| gathered.trouble().unwrap_or_else(|| refused(file, 0, &fault)))
}

/// Reads one object a line; empty lines are passed over.
fn lines(packed: Packed, gathered: &mut Gathered) -> Result<(), DataError> {
    let file = packed.file().to_path_buf();
    let mut reader = BufReader::new(packed);
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let read = (&mut reader).take(MAX_LINE + 1).read_until(b'\n', &mut bytes);
        if let Err(source) = read {
            return Err(reader.get_ref().broken(source));
        }
        if bytes.len() as u64 > MAX_LINE {
            let why = format!("the line has more than {MAX_LINE} bytes");
            return Err(SignalError::Json { file, line, column: 1, why, expected: FORM }.into());
        }
        if bytes.is_empty() {
            break;
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let read: Result<Entry, _> = serde_json::from_slice(&bytes);
        let taken = read.and_then(|entry| {
            gathered.take(entry, None).map_err(<serde_json::Error as serde::de::Error>::custom)
        });
        taken
            .map_err(|fault| gathered.trouble().unwrap_or_else(|| refused(&file, line, &fault)))?;
    }
    Ok(())
}

/// What is wrong, at the place that the parser knows; `line` counts where it saw one line only.
fn refused(file: &Path, line: usize, fault: &serde_json::Error) -> DataError {
    let (own, column) = (fault.line(), fault.column());
    let why = fault.to_string();
    let why = why.trim_end_matches(&format!(" at line {own} column {column}")).to_string();
    let line = if line > 0 { line } else { own };
    SignalError::Json { file: file.to_path_buf(), line, column, why, expected: FORM }.into()
}
