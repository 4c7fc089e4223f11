//! The one place through which the machine is seen.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes that are read of one file at most: no file of `/proc` or `/sys` that is asked for is as long.
const MOST: u64 = 256 << 10;
/// Names that are taken of one folder at most.
const MOST_NAMES: usize = 4096;

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
        let file = File::open(self.0.join(path)).ok()?;
        file.take(MOST).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// The text of the file at `path`, without white space at its ends; what is no UTF-8 is replaced.
    pub fn text(&self, path: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.bytes(path)?).trim().to_string();
        (!text.is_empty()).then_some(text)
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
