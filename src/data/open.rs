//! From what a person writes after `--data` to samples.

use std::path::{Path, PathBuf};

use super::dataset::Splits;
use super::error::DataError;
use super::made::Population;
use super::{cifar, idx};

/// The most names of a folder that a message tells.
const NAMES_TOLD: usize = 8;

/// One kind of data set that a folder may hold.
struct Kind {
    name: &'static str,
    looked_for: &'static str,
    is_here: fn(&Path) -> bool,
    open: fn(&Path) -> Result<Splits, DataError>,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "an IDX set",
        looked_for: idx::LOOKED_FOR,
        is_here: idx::is_here,
        open: idx::open,
    },
    Kind {
        name: "CIFAR-10",
        looked_for: cifar::LOOKED_FOR,
        is_here: cifar::is_here,
        open: cifar::open,
    },
    Kind {
        name: "a small CIFAR-10",
        looked_for: cifar::SMALL_LOOKED_FOR,
        is_here: cifar::is_small_here,
        open: cifar::open_small,
    },
];

/// Opens what `text` names: `made` or `made:SEED` is the made population; anything else is a
/// folder, or, where there is no such path, a folder of that name below `root`.
pub fn open_source(text: &str, root: Option<&Path>) -> Result<Splits, DataError> {
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
        Some(path) => open(path),
        None => Err(DataError::Missing { asked: text.to_string(), looked_at }),
    }
}

/// Opens the folder at `path`, recognising what it holds by the names of its files. Both parts
/// of what is returned have passed [`Dataset::check`](super::Dataset::check).
pub fn open(path: &Path) -> Result<Splits, DataError> {
    if !path.exists() {
        let asked = path.display().to_string();
        return Err(DataError::Missing { asked, looked_at: vec![path.to_path_buf()] });
    }
    if !path.is_dir() {
        return Err(DataError::NotAFolder { path: path.to_path_buf() });
    }
    let here: Vec<&Kind> = KINDS.iter().filter(|kind| (kind.is_here)(path)).collect();
    match here[..] {
        [] => Err(nothing_known(path)?),
        [kind] => {
            let splits = (kind.open)(path)?;
            splits.train.check()?;
            splits.test.check()?;
            Ok(splits)
        }
        _ => {
            let kinds = here.iter().map(|kind| kind.name.to_string()).collect();
            Err(DataError::SeveralKinds { path: path.to_path_buf(), kinds })
        }
    }
}

/// The error that tells what was looked for and what lies there instead.
fn nothing_known(path: &Path) -> Result<DataError, DataError> {
    let refused = |source| DataError::Io { file: path.to_path_buf(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(refused)? {
        found.push(entry.map_err(refused)?.file_name().to_string_lossy().into_owned());
    }
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

/// The name of a folder as a set's short name, or `otherwise` where it has none.
pub(crate) fn folder_name(folder: &Path, otherwise: &str) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    whole.file_name().map_or(otherwise.to_string(), |name| name.to_string_lossy().into_owned())
}
