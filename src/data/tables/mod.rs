//! Samples in tables of numbers: NumPy arrays and CSV.
//!
//! Owns reading both kinds as streams, naming classes and subjects by what stands there, and the file
//! of words that says what a person means where names and shapes do not ([`settings`]). Knows no
//! pictures, no sound, no text. What is read lands in [`rows`], whichever kind it came from.

pub(super) mod arrays;
mod classes;
pub(super) mod csv;
pub(super) mod error;
mod layout;
mod lines;
mod names;
mod npy;
mod roles;
mod rows;
mod samples;
mod settings;
mod store;

use std::path::{Path, PathBuf};

/// The files in `folder` whose names end in one of `endings`, in order of name. None where there is no
/// such folder. Names that begin with a dot are passed over: they are what other systems leave behind.
fn ending_in(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let ends = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        !name.starts_with('.') && endings.iter().any(|ending| name.ends_with(ending))
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<PathBuf> = paths.filter(|path| ends(path) && path.is_file()).collect();
    found.sort_unstable();
    found
}

/// Whether `path` is a file whose name ends in one of `endings`.
fn is_file_ending_in(path: &Path, endings: &[&str]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    path.is_file() && endings.iter().any(|ending| name.ends_with(ending))
}

/// The folder in which the files lie that belong to `path`: itself, or the one around a file.
fn folder_of(path: &Path) -> &Path {
    if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) }
}
