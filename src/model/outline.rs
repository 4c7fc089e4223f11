//! A model file as a device decodes it: what there is and where it lies, and no weight.

use std::path::Path;
use std::sync::Arc;

use super::describe::Description;
use super::file::{FileError, located, no_strangers};
use super::network::{Buffer, Network, Parameter};
use crate::format::{ModelFile, Raw};
use crate::sparse::Mask;

/// A network without weights, masks and statistics, for engines whose device has them; and where the file holds those.
///
/// Names, shapes, ranges and lengths of buffers are the network's. Its vector of values is empty, and every mask looks
/// whole: how many weights of a parameter exist is the length of its range. So it goes to nobody outside.
pub(super) struct Outline {
    pub network: Network,
    /// Of each parameter.
    pub parameters: Vec<Raw>,
    /// Of each buffer.
    pub buffers: Vec<Raw>,
}

impl Outline {
    /// The outline of an opened file; `path` is for error messages.
    ///
    /// # Errors
    /// As [`super::file::read`], but for what masks and values alone could break.
    pub fn of(file: &ModelFile, path: &Path) -> Result<Self, FileError> {
        let classes = file.classes().classes.len();
        let place = path.display().to_string();
        let description = Description::parse(file.description(), &place, classes)
            .map_err(|source| FileError::Description { path: path.to_path_buf(), source })?;
        let (specs, statistics) = (description.parameters(), description.buffers());
        no_strangers(file, path, |name| {
            specs.iter().any(|p| p.name == name) || statistics.iter().any(|b| b.name == name)
        })?;
        let mut parameters = Vec::with_capacity(specs.len());
        let mut network = Network {
            description: Arc::new(description),
            parameters: Vec::new(),
            values: Vec::new(),
            buffers: Vec::new(),
        };
        let mut end = 0;
        for spec in specs {
            let raw = find(file, path, &spec.name, &spec.shape, spec.prunable)?;
            let range = end..end + raw.nnz;
            end = range.end;
            network.parameters.push(Parameter::of(spec, Mask::full(raw.numel), range));
            parameters.push(raw);
        }
        let mut buffers = Vec::with_capacity(statistics.len());
        for spec in statistics {
            buffers.push(find(file, path, &spec.name, &[spec.channels], false)?);
            network.buffers.push(Buffer::of(spec));
        }
        Ok(Self { network, parameters, buffers })
    }
}

/// Where the file holds a tensor of this name and shape, which has a mask only if it may have one.
fn find(
    file: &ModelFile,
    path: &Path,
    name: &str,
    expected: &[usize],
    prunable: bool,
) -> Result<Raw, FileError> {
    let found = located(file, path, name, expected)?;
    let (path, tensor) = (path.to_path_buf(), name.to_string());
    if found.nnz() < found.numel() && !prunable {
        return Err(FileError::NotPrunable { path, tensor });
    }
    found.raw().map_err(|source| FileError::Format { path, source })
}
