//! `dataset.toml`: what a person says about tables whose names or shapes do not say it.
//!
//! It lies beside the tables, and every key is optional:
//!
//! ```toml
//! samples = "windows"      # arrays: the array of samples
//! labels = "activity"      # the array, or the column, of labels
//! subject = "person"       # ... of subjects
//! group = "recording"      # ... of groups
//! test = "held_out"        # ... that tells the test part
//! layout = "NTC"           # arrays: NL, NTC, NCT, NHW, NHWC or NCHW
//! shape = [1, 28, 28]      # CSV: channels, height, width
//! classes = ["sit", "run"] # names of labels 0, 1, ..., or the texts of labels in order
//! ```

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::data::error::DataError;
use crate::data::limits::MAX_SIDE;
use crate::data::packed::Packed;

use super::error::TableError;
use super::layout::Layout;

/// What the file is called.
pub(super) const FILE: &str = "dataset.toml";

/// The most bytes of it: as many names of classes as there may be.
const MAX_BYTES: u64 = 4 << 20;

/// What such a file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    pub samples: Option<String>,
    pub labels: Option<String>,
    pub subject: Option<String>,
    pub group: Option<String>,
    pub test: Option<String>,
    pub layout: Option<Layout>,
    pub shape: Option<Spanned<[usize; 3]>>,
    pub classes: Option<Spanned<Vec<String>>>,
    /// Where it lies.
    #[serde(skip)]
    pub file: PathBuf,
}

impl Settings {
    /// Reads the file in `folder`; says nothing where there is none.
    pub(super) fn read(folder: &Path) -> Result<Self, DataError> {
        let file = folder.join(FILE);
        if !file.is_file() {
            return Ok(Self { file, ..Self::default() });
        }
        let bytes = Packed::open(&file)?.up_to(MAX_BYTES + 1)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(DataError::TooLarge { file, limit: MAX_BYTES });
        }
        let text = String::from_utf8(bytes).map_err(|fault| {
            let good = &fault.as_bytes()[..fault.utf8_error().valid_up_to()];
            DataError::NotText { file: file.clone(), line: line(good) }
        })?;
        let wrong = |at: usize, why: String| {
            let line = line(&text.as_bytes()[..at.min(text.len())]);
            TableError::Settings { file: file.clone(), line, why }
        };
        let settings: Self = toml::from_str(&text).map_err(|fault| {
            wrong(fault.span().map_or(0, |span| span.start), fault.message().to_string())
        })?;
        if let Some(shape) = &settings.shape
            && let Some(side) = shape.get_ref().iter().find(|side| !(1..=MAX_SIDE).contains(side))
        {
            let why = format!("a side of shape is {side}; accepted are 1 to {MAX_SIDE}");
            return Err(wrong(shape.span().start, why).into());
        }
        let unfit = |name: &&String| name.is_empty() || name.contains(char::is_control);
        if let Some(names) = &settings.classes
            && let Some(name) = names.get_ref().iter().find(unfit)
        {
            let why = format!(
                "{name:?} is no name of a class: it is empty or holds a control \
                 character"
            );
            return Err(wrong(names.span().start, why).into());
        }
        Ok(Self { file, ..settings })
    }

    /// Holds that none of `keys`, each with whether it is said, is there. They mean nothing for `kind`.
    pub(super) fn mean_nothing(
        &self,
        kind: &'static str,
        keys: &[(&'static str, bool)],
    ) -> Result<(), DataError> {
        match keys.iter().find(|(_, said)| *said) {
            None => Ok(()),
            Some(&(key, _)) => {
                Err(TableError::SettingUnfit { file: self.file.clone(), key, kind }.into())
            }
        }
    }
}

/// The line on which the text after `before` begins, counted from 1.
fn line(before: &[u8]) -> usize {
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}
