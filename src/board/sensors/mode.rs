//! Power modes. Their numbers differ from board to board and from release to release: names are told.

use crate::board::sysroot::{SysRoot, label};

/// Modes that are kept at most; a configuration has a dozen.
const MOST: usize = 64;

/// Modes of this machine, by number and name.
#[derive(Clone, Debug, Default)]
pub(super) struct Modes(Vec<(u32, String)>);

impl Modes {
    /// Reads `/etc/nvpmodel.conf`: lines `< POWER_MODEL ID=2 NAME=MAXN_SUPER >`.
    pub(super) fn find(root: &SysRoot) -> Self {
        let text = root.text("etc/nvpmodel.conf").unwrap_or_default();
        Self(text.lines().filter_map(mode).take(MOST).collect())
    }

    /// The names, in the order of the file.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(_, name)| name.as_str())
    }

    /// The mode now: `/var/lib/nvpmodel/status` has `pmode:0002`.
    pub(super) fn now(&self, root: &SysRoot) -> Option<String> {
        let status = root.text("var/lib/nvpmodel/status")?;
        let number = status.split_once("pmode:")?.1;
        let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
        let number: u32 = number[..end].parse().ok()?;
        self.0.iter().find(|(id, _)| *id == number).map(|(_, name)| name.clone())
    }
}

fn mode(line: &str) -> Option<(u32, String)> {
    let line = line.trim().strip_prefix('<')?.trim_start().strip_prefix("POWER_MODEL")?;
    let value = |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key));
    let name = label(value("NAME=")?.trim_end_matches('>'));
    Some((value("ID=")?.trim_end_matches('>').parse().ok()?, name))
}
