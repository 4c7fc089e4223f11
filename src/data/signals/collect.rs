//! Samples out of the files of a tree: read one after another, decoded many at a time, kept in the
//! order in which they were read. Which part a file belongs to is known only when all names are, so
//! the memory that [`Room`] allows to one part is here that of both.

use std::ops::ControlFlow::Continue;
use std::path::Path;

use rayon::prelude::*;

use super::tree::{Leaf, MAX_FILE, Tree};
use crate::data::dataset::Values;
use crate::data::error::DataError;
use crate::data::extraction::Extraction;
use crate::data::room::{Element, Gather, Room};

/// How many files are decoded at a time, how many values they may give, and how many bytes of files
/// out of an archive may wait.
const TOGETHER: usize = 512;
const TOGETHER_VALUES: usize = 1 << 24;
const TOGETHER_BYTES: usize = 32 << 20;

/// What the files of a tree gave.
pub(super) struct Collected {
    /// Names in the order in which they were read.
    pub names: Vec<String>,
    pub values: Values,
    /// What makes a sample of a file.
    pub extraction: Extraction,
    /// Names and contents of the files that are lists.
    pub lists: Vec<(String, Vec<u8>)>,
}

/// What is looked for in a tree.
pub(super) struct Wanted {
    /// Whether a name is a sample's.
    pub sample: fn(&str) -> bool,
    /// Whether a name is a list's.
    pub list: fn(&str) -> bool,
}

/// Reads the samples of a tree, and the lists besides. `fit` sees the first sample's file before any
/// is decoded, and says how all are; `sample` decodes one.
///
/// # Errors
/// [`DataError::NoSamples`] if there is none; else the first error in the order of reading.
pub(super) fn collect<T: Element + Send, F: Sync>(
    tree: &Tree,
    room: &Room,
    wanted: &Wanted,
    fit: impl Fn(&Path, &[u8]) -> Result<(F, Extraction), DataError>,
    sample: impl Fn(&F, &Path, &[u8]) -> Result<Vec<T>, DataError> + Sync,
) -> Result<Collected, DataError> {
    let (mut names, mut lists) = (Vec::new(), Vec::new());
    let (mut gather, mut fitted) = (Gather::new(room), None);
    let (mut waiting, mut held) = (Vec::new(), 0);
    let mut decode = |waiting: &mut Vec<Leaf>, fitted: &F| -> Result<(), DataError> {
        let one = |leaf: &mut Leaf| {
            let bytes = leaf.bytes()?;
            sample(fitted, &leaf.file, &bytes)
        };
        let samples: Vec<Result<Vec<T>, DataError>> = waiting.par_iter_mut().map(one).collect();
        for (leaf, values) in waiting.drain(..).zip(samples) {
            gather.push(&values?)?;
            names.push(leaf.name);
        }
        Ok(())
    };
    let either = |name: &str| (wanted.sample)(name) || (wanted.list)(name);
    tree.visit(MAX_FILE, &either, &mut |mut leaf| {
        if (wanted.list)(&leaf.name) {
            lists.push((leaf.name.clone(), leaf.bytes()?));
            return Ok(Continue(()));
        }
        let fitted = match &mut fitted {
            Some(fitted) => fitted,
            none => {
                let bytes = leaf.bytes()?;
                let found = fit(&leaf.file, &bytes)?;
                leaf.give_back(bytes);
                none.insert(found)
            }
        };
        held += leaf.held();
        waiting.push(leaf);
        let (fitted, extraction) = fitted;
        let values: usize = extraction.shape().iter().product();
        let together = (TOGETHER_VALUES / values).clamp(1, TOGETHER);
        if waiting.len() >= together || held >= TOGETHER_BYTES {
            held = 0;
            decode(&mut waiting, fitted)?;
        }
        Ok(Continue(()))
    })?;
    let Some((fitted, extraction)) = fitted else {
        return Err(DataError::NoSamples { what: format!("`{}`", tree.path().display()) });
    };
    decode(&mut waiting, &fitted)?;
    let values = gather.finish()?;
    Ok(Collected { names, values, extraction, lists })
}
