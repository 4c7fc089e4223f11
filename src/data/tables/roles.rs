//! Which array, or column, is what: by the name it has, or by the name that settings give.

use std::path::Path;

use super::error::TableError;

/// The most names that a message tells.
const NAMES_TOLD: usize = 12;

/// One thing that a table holds about its samples.
pub(super) struct Role {
    /// What it is called in messages and in `dataset.toml`.
    pub name: &'static str,
    /// Names by which it is known.
    pub known: &'static [&'static str],
}

/// Finds `role` among `names`: what settings `said`, or the one known name that is there.
///
/// # Errors
/// If what was said is not there, or several known names are.
pub(super) fn find(
    file: &Path,
    role: &Role,
    said: Option<&str>,
    names: &[String],
) -> Result<Option<usize>, TableError> {
    if let Some(said) = said {
        let found = names.iter().position(|name| name == said);
        return found.map(Some).ok_or_else(|| TableError::NoRole {
            file: file.to_path_buf(),
            role: role.name,
            expected: format!("`{said}`, which dataset.toml names"),
            found: told(names),
        });
    }
    let mut known = (0..names.len()).filter(|&at| role.known.contains(&&*names[at]));
    match (known.next(), known.next()) {
        (Some(first), Some(second)) => Err(TableError::TwoForRole {
            file: file.to_path_buf(),
            role: role.name,
            first: names[first].clone(),
            second: names[second].clone(),
        }),
        (first, _) => Ok(first),
    }
}

/// As [`find`], for what must be there.
pub(super) fn need(
    file: &Path,
    role: &Role,
    said: Option<&str>,
    names: &[String],
) -> Result<usize, TableError> {
    find(file, role, said, names)?.ok_or_else(|| TableError::NoRole {
        file: file.to_path_buf(),
        role: role.name,
        expected: role.known.join(", "),
        found: told(names),
    })
}

/// The first names, and how many more there are.
fn told(names: &[String]) -> Vec<String> {
    let mut told: Vec<String> = names.iter().take(NAMES_TOLD).cloned().collect();
    if names.len() > NAMES_TOLD {
        told.push(format!("and {} more", names.len() - NAMES_TOLD));
    }
    told
}
