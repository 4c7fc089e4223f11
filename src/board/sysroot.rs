//! The one place through which the machine is seen.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::BoardError;

/// Bytes that are read of one file at most: no file of `/proc` or `/sys` that is asked for is as long.
const MOST: u64 = 256 << 10;
/// Names that are taken of one folder at most.
const MOST_NAMES: usize = 4096;
/// Characters of the longest name that is told.
const MOST_LABEL: usize = 80;

/// The root of the files that tell of the machine: `/`, or a folder of captured ones.
///
/// Nothing here fails: a file that is missing, empty, not to be read, or gone in between gives `None`, as
/// sensors come and go while a machine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SysRoot(PathBuf);

impl SysRoot {
    /// The machine itself.
    pub fn machine() -> Self {
        Self(PathBuf::from("/"))
    }

    /// A folder that holds `proc`, `sys` and `etc` of a machine.
    pub fn folder(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Bytes of the file at `path`, relative to the root: the first 256 KiB.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let path = self.0.join(path);
        // Opening a pipe would wait for somebody to write into it.
        if !fs::metadata(&path).ok()?.is_file() {
            return None;
        }
        let file = File::open(path).ok()?;
        file.take(MOST).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// The text of the file at `path`, without white space and NULs at its ends (a device tree ends texts
    /// with NUL); what is no UTF-8 is replaced.
    pub fn text(&self, path: &str) -> Option<String> {
        let blank = |c: char| c.is_whitespace() || c == '\0';
        let text = String::from_utf8_lossy(&self.bytes(path)?).trim_matches(blank).to_string();
        (!text.is_empty()).then_some(text)
    }

    /// The text of the file at `path` as a name to be shown: one line of at most 80 characters, none of
    /// which a terminal would obey.
    pub fn label(&self, path: &str) -> Option<String> {
        Some(label(&self.text(path)?))
    }

    /// Whether there is anything at `path`.
    pub fn has(&self, path: &str) -> bool {
        self.0.join(path).exists()
    }

    /// The whole number in the file at `path`.
    pub fn number(&self, path: &str) -> Option<i64> {
        self.text(path)?.parse().ok()
    }

    /// The names in the folder at `path`, in the order of numbers within names: `in2` before `in10`.
    pub fn names(&self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.0.join(path)) else { return Vec::new() };
        let name =
            |entry: std::io::Result<fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
        let mut names: Vec<String> = entries.take(MOST_NAMES).filter_map(name).collect();
        names.sort_by_cached_key(|name| (split(name), name.clone()));
        names
    }
}

/// `text` as a name to be shown: see [`SysRoot::label`].
pub(super) fn label(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(MOST_LABEL).map(shown).collect::<String>().trim().to_string()
}

/// The text of a file that somebody named, at most `most` bytes of it.
pub(super) fn read(path: &Path, most: usize) -> Result<String, BoardError> {
    let fault = |source| BoardError::Read { path: path.to_path_buf(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(fault)?;
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(fault)?;
    if bytes.len() > most {
        return Err(BoardError::TooLong { path: path.to_path_buf(), most });
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A name as its letters and the number at its end.
fn split(name: &str) -> (String, u64) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem.to_string(), name[stem.len()..].parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_read_and_what_is_not_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let root = SysRoot::folder(folder.path());
        fs::create_dir(folder.path().join("zones")).unwrap();
        for name in ["zone10", "zone2", "type"] {
            fs::write(folder.path().join("zones").join(name), " 42000\n").unwrap();
        }
        fs::write(folder.path().join("zones/empty"), "").unwrap();
        assert_eq!(root.names("zones"), ["empty", "type", "zone2", "zone10"]);
        assert_eq!(root.number("zones/zone2"), Some(42_000));
        assert_eq!((root.text("zones/empty"), root.text("zones")), (None, None));
        assert!(root.names("nothing").is_empty() && root.bytes("nothing").is_none());
    }
}
