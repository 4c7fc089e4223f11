//! From what a person writes after `--data` to samples.

use std::path::{Path, PathBuf};

use super::dataset::{Dataset, Splits};
use super::error::DataError;
use super::extraction::Extraction;
use super::made::Population;
use super::room::Room;
use super::signals::tree::{Tree, is_archive, only_archive};
use super::signals::{intents, pictures, sound};
use super::tables::{arrays, csv};
use super::{cifar, idx, svhn};

/// The most names of a folder that a message tells.
const NAMES_TOLD: usize = 8;

/// How a set is read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Where its values are kept.
    pub room: Room,
    /// How samples are made of what the files hold. Without one, a kind that needs one takes its own.
    pub extraction: Option<Extraction>,
}

/// One kind of data set that a folder, or a file, may hold.
pub(super) struct Kind {
    /// What it is called.
    pub name: &'static str,
    /// Where it is looked for, for messages.
    pub looked_for: &'static str,
    /// The kind of extraction that it takes, if it takes one.
    pub takes: Option<&'static str>,
    /// Whether a single file may be one.
    pub single: bool,
    /// Whether the path holds one, going by names alone.
    pub is_here: fn(&Path) -> bool,
    /// Reads it. [`open`] checks what comes of it and fills in name and kind.
    pub open: fn(&Path, &Reading) -> Result<Parts, DataError>,
}

/// The parts of a set as a loader gives them.
pub(super) struct Parts {
    pub train: Dataset,
    pub test: Dataset,
    pub extraction: Option<Extraction>,
    /// A short name, where the set has a better one than its folder.
    pub name: Option<&'static str>,
}

impl Parts {
    /// Parts that are taken as the files hold them.
    pub(super) fn plain(train: Dataset, test: Dataset) -> Self {
        Self { train, test, extraction: None, name: None }
    }
}

const KINDS: [Kind; 10] = [
    idx::KIND,
    cifar::KIND,
    cifar::SMALL_KIND,
    cifar::HUNDRED_KIND,
    svhn::KIND,
    arrays::KIND,
    csv::KIND,
    sound::KIND,
    intents::KIND,
    pictures::KIND,
];

/// Opens what `text` names: `made` or `made:SEED` is the made population; anything else is a
/// folder or a file, or, where there is no such path, one of that name below `root`.
pub fn open_source(text: &str, root: Option<&Path>, how: &Reading) -> Result<Splits, DataError> {
    let made = text == "made" || text.starts_with("made:");
    if made && let Some(asked) = &how.extraction {
        return Err(unfit(Path::new(text), "the made population", None, asked));
    }
    if text == "made" {
        return Ok(Population::default().base());
    }
    if let Some(found) = text.strip_prefix("made:") {
        let seed = found
            .parse()
            .map_err(|_| DataError::Seed { asked: text.to_string(), found: found.to_string() })?;
        return Ok(Population { seed, ..Population::default() }.base());
    }
    let mut looked_at = vec![PathBuf::from(text)];
    looked_at.extend(root.map(|root| root.join(text)));
    match looked_at.iter().find(|path| !text.is_empty() && path.exists()) {
        Some(path) => open(path, how),
        None => Err(DataError::Missing { asked: text.to_string(), looked_at }),
    }
}

/// Opens the folder or file at `path`, recognising what it holds by names. An archive that lies in a
/// folder counts only where it is alone and nothing else in the folder is known. Both parts of what
/// is returned have passed [`Dataset::check`].
pub fn open(path: &Path, how: &Reading) -> Result<Splits, DataError> {
    if !path.exists() {
        let asked = path.display().to_string();
        return Err(DataError::Missing { asked, looked_at: vec![path.to_path_buf()] });
    }
    let here: Vec<&Kind> = KINDS.iter().filter(|kind| (kind.is_here)(path)).collect();
    if here.is_empty()
        && let Some(archive) = only_archive(path)
    {
        // Nothing else here can hold a set: it is the folder's.
        return Ok(Splits { name: folder_name(path), ..open(&archive, how)? });
    }
    match here[..] {
        [] if path.is_dir() || is_archive(path) => Err(nothing_known(path)?),
        [] => {
            let single = KINDS.iter().filter(|kind| kind.single);
            let expected = single.map(|kind| kind.looked_for.to_string()).collect();
            Err(DataError::UnknownFile { path: path.to_path_buf(), expected })
        }
        [kind] => kind.splits(path, how),
        _ => {
            let kinds = here.iter().map(|kind| kind.name.to_string()).collect();
            Err(DataError::SeveralKinds { path: path.to_path_buf(), kinds })
        }
    }
}

impl Kind {
    fn splits(&self, path: &Path, how: &Reading) -> Result<Splits, DataError> {
        if let Some(asked) = how.extraction.as_ref().filter(|e| Some(e.kind()) != self.takes) {
            return Err(unfit(path, self.name, self.takes, asked));
        }
        let Parts { train, test, extraction, name } = (self.open)(path, how)?;
        train.check()?;
        test.check()?;
        let name = name.map_or_else(|| folder_name(path), str::to_string);
        Ok(Splits { name, kind: self.name, extraction, train, test })
    }
}

fn unfit(
    path: &Path,
    kind: &'static str,
    takes: Option<&'static str>,
    asked: &Extraction,
) -> DataError {
    let takes = takes.unwrap_or("samples as they are");
    DataError::ExtractionUnfit { path: path.to_path_buf(), kind, takes, asked: asked.to_string() }
}

/// The error that tells what was looked for and what lies there instead.
fn nothing_known(path: &Path) -> Result<DataError, DataError> {
    let mut found = names_in(path)?;
    let path = path.to_path_buf();
    let expected = KINDS.iter().map(|kind| kind.looked_for.to_string()).collect();
    if found.is_empty() {
        return Ok(DataError::EmptyFolder { path, expected });
    }
    found.sort_unstable();
    let more = found.len().saturating_sub(NAMES_TOLD);
    found.truncate(NAMES_TOLD);
    if more > 0 {
        found.push(format!("and {more} more"));
    }
    Ok(DataError::Unrecognised { path, expected, found })
}

/// The names in a folder, or of all files in an archive, which is read to its end.
fn names_in(path: &Path) -> Result<Vec<String>, DataError> {
    if let Some(archive) = Tree::at(path).filter(|_| !path.is_dir()) {
        return archive.names();
    }
    let refused = |source| DataError::Io { file: path.to_path_buf(), source };
    let entries = std::fs::read_dir(path).map_err(refused)?;
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        Ok(entry.map_err(refused)?.file_name().to_string_lossy().into_owned())
    };
    entries.map(name).collect()
}

/// The name of a folder, or of a file without its endings, as a set's short name.
fn folder_name(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let name = whole.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let short = if path.is_dir() { &*name } else { name.split('.').next().unwrap_or_default() };
    if short.is_empty() { "data".to_string() } else { short.to_string() }
}
