//! The table of kernels that a machine measured for itself: the file that `bench tune` writes, and the
//! variable that names it.
//!
//! A variable, not an option: the table is the machine's, and must be the same in every command and worker.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::fault::Fault;
use super::setting::{isa, read_toml};
use crate::sparse::KernelTable;

/// The variable that names the file.
pub(super) const VARIABLE: &str = "UNLEARN_KERNELS";
/// The longest file that is read.
const MAX_BYTES: u64 = 1 << 16;

/// A file of a table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Kernels {
    /// The instruction set that it was measured with.
    pub isa: String,
    /// The least reuse from which a pass packs what it reads.
    pub packs_from: Reuse,
}

/// A number a pass.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Reuse {
    pub forward: f64,
    pub input_gradient: f64,
    pub weight_gradient: f64,
}

impl Kernels {
    /// `table`, as this machine measured it.
    pub(super) fn of(table: KernelTable) -> Self {
        let KernelTable { forward, input_gradient, weight_gradient } = table;
        let packs_from = Reuse { forward, input_gradient, weight_gradient };
        Self { isa: isa().name().into(), packs_from }
    }

    /// As a file, below what is said of its making.
    pub(super) fn text(&self, made: &str) -> String {
        let made = made.lines().fold(String::new(), |all, line| format!("{all}# {line}\n"));
        let Self { isa, packs_from: Reuse { forward, input_gradient, weight_gradient } } = self;
        // By hand: TOML writes an infinite number as Rust does, JSON has none.
        format!(
            "{made}isa = \"{isa}\"\n\n[packs-from]\nforward = {forward:?}\n\
             input-gradient = {input_gradient:?}\nweight-gradient = {weight_gradient:?}\n"
        )
    }

    /// The table, if it is one for this machine.
    ///
    /// # Errors
    /// If it is another instruction set's, or a number is none.
    fn checked(&self, path: &Path) -> Result<KernelTable, Fault> {
        let wrong = |at: &str, why: String| {
            Err(Fault::Input { what: path.display().to_string(), at: at.into(), why })
        };
        if self.isa != isa().name() {
            return wrong(
                "`isa`",
                format!(
                    "it is {}, and this machine computes with {}: run `unlearn bench tune` here, or unset the variable",
                    self.isa,
                    isa().name()
                ),
            );
        }
        let Reuse { forward, input_gradient, weight_gradient } = self.packs_from;
        let table = KernelTable { forward, input_gradient, weight_gradient };
        let names = ["forward", "input-gradient", "weight-gradient"];
        match names.into_iter().zip(table.passes()).find(|(_, least)| !(0.0..).contains(least)) {
            Some((name, least)) => wrong(
                &format!("`packs-from.{name}`"),
                format!("it is {least}, expected 0 or more, or inf"),
            ),
            None => Ok(table),
        }
    }
}

/// What [`VARIABLE`] says.
fn named() -> Option<OsString> {
    std::env::var_os(VARIABLE).filter(|name| !name.is_empty())
}

/// The variable, for a process that gets no other.
pub(super) fn inherited() -> Option<(&'static str, OsString)> {
    named().map(|name| (VARIABLE, name))
}

/// Puts the table in force that the variable names, if it names one.
///
/// # Errors
/// If it cannot be read, or is not for this machine.
pub(super) fn prepare() -> Result<(), Fault> {
    let Some(path) = named().map(PathBuf::from) else { return Ok(()) };
    let read = || read_toml::<Kernels>(&path, MAX_BYTES, "a table of kernels is")?.checked(&path);
    // Who reads the message may not know that the variable is set.
    let table = read().map_err(|fault| Fault::Usage(format!("{VARIABLE}: {fault}")))?;
    table.put_in_force().map_err(|there| {
        Fault::Usage(format!("{VARIABLE}: this process already computes by the table {there}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::setting::parse_toml;

    #[test]
    fn a_table_is_read_as_it_was_written_and_others_are_refused() {
        let table = KernelTable { weight_gradient: f64::INFINITY, ..KernelTable::SHIPPED };
        let kernels = Kernels::of(table);
        let text = kernels.text("made\nhere");
        assert!(text.starts_with("# made\n# here\n"), "{text}");
        assert_eq!(parse_toml::<Kernels>(&text, "k.toml").unwrap(), kernels);
        let path = Path::new("k.toml");
        assert_eq!(kernels.checked(path).unwrap(), table);
        let other = Kernels { isa: "mips".into(), ..kernels.clone() };
        let told = other.checked(path).unwrap_err().to_string();
        assert!(told.contains("k.toml") && told.contains("mips"), "{told}");
        for least in [-1.0, f64::NAN] {
            let packs_from = Reuse { input_gradient: least, ..kernels.packs_from };
            let told = Kernels { packs_from, ..kernels.clone() }.checked(path).unwrap_err();
            assert!(told.to_string().contains("packs-from.input-gradient"), "{told}");
        }
        let told = parse_toml::<Kernels>(&text.replace("forward", "foreward"), "k.toml");
        assert!(told.unwrap_err().to_string().contains("foreward"));
    }
}
