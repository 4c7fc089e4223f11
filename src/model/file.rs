//! Network ⇄ model file.
//!
//! Weights are written in the element type that is asked for; biases, batch norms and running
//! statistics stay `f32`, because they are few and rounding them moves every output. A checkpoint
//! is a model file whose buffers also hold the momentum, one tensor `momentum/<parameter>` each,
//! under the mask of its parameter. A package also carries its anchor set, which is read with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::describe::Description;
use super::fault::DescribeError;
use super::network::Network;
use super::parameters::ParamKind;
use crate::base::hash::Digest;
use crate::format::{
    AnchorSet, ClassesAndFeatures, Draft, Dtype, Facts, FormatError, ModelFile, Role, Stored,
    Tensor, TensorIn,
};
use crate::sparse::{Mask, MaskError};

/// Why a model file is not a network, or a network not a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file is damaged or no model file.
    #[error("{}", source.of_file(path))]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: FormatError,
    },
    /// The network cannot be written.
    #[error("the model cannot be written: {0}")]
    Encode(#[from] FormatError),
    /// Its description describes no network.
    #[error("{}: network description: {source}", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: DescribeError,
    },
    /// A tensor is not there.
    #[error("{}: tensor `{tensor}` is missing: the description asks for it", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// A tensor has another shape than the description says.
    #[error("{}: tensor `{tensor}` has shape {found:?}, the description says {expected:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
        /// The description's.
        expected: Vec<usize>,
    },
    /// A tensor is there that the description does not know.
    #[error("{}: tensor `{tensor}` is not part of the network that the file describes", path.display())]
    Stranger {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// A mask lies on a tensor that the description does not allow to be pruned.
    #[error("{}: tensor `{tensor}` has a mask, but the description does not mark it prunable", path.display())]
    NotPrunable {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// The momentum of a checkpoint is of other weights than its parameter.
    #[error("{}: tensor `{tensor}` has another mask than its parameter: no run can go on from it", path.display())]
    OtherMask {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// A mask is none.
    #[error("{}: tensor `{tensor}`: {source}", path.display())]
    Mask {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong.
        source: MaskError,
    },
}

/// What a model file holds, as a network.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The network, weights read back to `f32`.
    pub network: Network,
    /// Class names in label order, and how samples become what the network takes.
    pub meaning: ClassesAndFeatures,
    /// How it came about.
    pub facts: Facts,
    /// The momentum of a checkpoint.
    pub momentum: Option<Vec<f32>>,
    /// The small public set of a package.
    pub anchor: Option<AnchorSet>,
    /// The logical id of the file.
    pub id: Digest,
    /// Bytes of the file.
    pub bytes: u64,
}

/// What the name of a momentum begins with.
pub(super) const MOMENTUM: &str = "momentum/";

/// The bytes of a model file.
///
/// # Errors
/// If a value is not finite or does not fit `weights`, a limit of the format is exceeded, or `anchor`
/// does not fit itself or the classes.
pub fn encode(
    network: &Network,
    meaning: &ClassesAndFeatures,
    facts: &Facts,
    weights: Dtype,
    momentum: Option<&[f32]>,
    anchor: Option<&AnchorSet>,
) -> Result<Vec<u8>, FileError> {
    let stored = |p: &'_ super::network::Parameter| p.mask.positions().is_some();
    let mut draft =
        Draft::new(&network.description.source).classes(meaning.clone()).facts(facts.clone());
    if let Some(anchor) = anchor {
        draft = draft.anchor(anchor.clone());
    }
    for parameter in &network.parameters {
        draft = draft.tensor(TensorIn {
            name: &parameter.name,
            role: Role::Parameter,
            shape: &parameter.shape,
            dtype: if parameter.kind == ParamKind::Weight { weights } else { Dtype::F32 },
            stored: parameter.mask.positions().map_or(Stored::Dense, Stored::Masked),
            values: &network.values[parameter.range.clone()],
        });
    }
    let shapes: Vec<[usize; 1]> = network.buffers.iter().map(|b| [b.values.len()]).collect();
    for (buffer, shape) in network.buffers.iter().zip(&shapes) {
        draft = draft.tensor(TensorIn {
            name: &buffer.name,
            role: Role::Buffer,
            shape,
            dtype: Dtype::F32,
            stored: Stored::Dense,
            values: &buffer.values,
        });
    }
    let names: Vec<String> =
        network.parameters.iter().map(|p| format!("{MOMENTUM}{}", p.name)).collect();
    for (parameter, name) in network.parameters.iter().zip(&names) {
        let Some(momentum) = momentum else { break };
        draft = draft.tensor(TensorIn {
            name,
            role: Role::Buffer,
            shape: &parameter.shape,
            dtype: Dtype::F32,
            stored: if stored(parameter) { Stored::MaskOf(&parameter.name) } else { Stored::Dense },
            values: &momentum[parameter.range.clone()],
        });
    }
    Ok(draft.encode()?)
}

/// Opens and verifies the model file at `path`, and reads its network.
///
/// # Errors
/// If the file is damaged, or its tensors are not those of its description.
pub fn open(path: &Path) -> Result<Artifact, FileError> {
    let damaged = |source| FileError::Format { path: path.to_path_buf(), source };
    let file = ModelFile::open(path).map_err(damaged)?;
    file.verify().map_err(damaged)?;
    read(&file, path)
}

/// Reads the network of an opened file; `path` is for error messages.
///
/// # Errors
/// As [`open`].
pub fn read(file: &ModelFile, path: &Path) -> Result<Artifact, FileError> {
    let meaning = file.classes().clone();
    let place = path.display().to_string();
    let description = Description::parse(file.description(), &place, meaning.classes.len())
        .map_err(|source| FileError::Description { path: path.to_path_buf(), source })?;
    let mut network = Network::empty(Arc::new(description));
    no_strangers(file, path, |name| {
        network.parameters.iter().any(|p| p.name == name)
            || network.buffers.iter().any(|b| b.name == name)
    })?;
    let reader = Reader { file, path };
    let mut values = Vec::new();
    for parameter in &mut network.parameters {
        let (mask, packed) = reader.tensor(&parameter.name, &parameter.shape)?;
        if mask.positions().is_some() && !parameter.prunable {
            let tensor = parameter.name.clone();
            return Err(FileError::NotPrunable { path: path.to_path_buf(), tensor });
        }
        parameter.range = values.len()..values.len() + packed.len();
        parameter.mask = mask;
        values.extend(packed);
    }
    network.values = values;
    for buffer in &mut network.buffers {
        buffer.values = reader.tensor(&buffer.name, &[buffer.values.len()])?.1;
    }
    let momentum = match network.parameters.first() {
        Some(first) if file.tensor(&format!("{MOMENTUM}{}", first.name)).is_some() => {
            let mut all = Vec::with_capacity(network.values.len());
            for p in &network.parameters {
                let tensor = format!("{MOMENTUM}{}", p.name);
                let (mask, packed) = reader.tensor(&tensor, &p.shape)?;
                if mask != p.mask {
                    return Err(FileError::OtherMask { path: path.to_path_buf(), tensor });
                }
                all.extend(packed);
            }
            Some(all)
        }
        _ => None,
    };
    let damaged = |source| FileError::Format { path: path.to_path_buf(), source };
    let anchor = file.anchor().map_err(damaged)?;
    let (facts, id, bytes) = (file.facts().clone(), file.logical_id(), file.len_bytes());
    Ok(Artifact { network, meaning, facts, momentum, anchor, id, bytes })
}

/// Refuses a file with a tensor that its description does not know; `known` says which those are.
pub(super) fn no_strangers(
    file: &ModelFile,
    path: &Path,
    known: impl Fn(&str) -> bool,
) -> Result<(), FileError> {
    let known = |name: &str| known(name.strip_prefix(MOMENTUM).unwrap_or(name));
    match file.tensors().find(|tensor| !known(tensor.name())) {
        Some(tensor) => {
            Err(FileError::Stranger { path: path.to_path_buf(), tensor: tensor.name().to_string() })
        }
        None => Ok(()),
    }
}

/// The tensor of this name, whose shape is `expected`.
pub(super) fn located<'a>(
    file: &'a ModelFile,
    path: &Path,
    name: &str,
    expected: &[usize],
) -> Result<Tensor<'a>, FileError> {
    let (path, tensor) = (path.to_path_buf(), name.to_string());
    let Some(found) = file.tensor(name) else {
        return Err(FileError::Missing { path, tensor });
    };
    if found.shape() != expected {
        let (found, expected) = (found.shape().to_vec(), expected.to_vec());
        return Err(FileError::Shape { path, tensor, found, expected });
    }
    Ok(found)
}

struct Reader<'a> {
    file: &'a ModelFile,
    path: &'a Path,
}

impl Reader<'_> {
    fn tensor(&self, name: &str, expected: &[usize]) -> Result<(Mask, Vec<f32>), FileError> {
        let found = located(self.file, self.path, name, expected)?;
        let (path, tensor) = (self.path.to_path_buf(), name.to_string());
        let (positions, values) =
            found.read().map_err(|source| FileError::Format { path: path.clone(), source })?;
        let mask = match positions {
            Some(positions) => Mask::new(found.numel(), positions)
                .map_err(|source| FileError::Mask { path, tensor, source })?,
            None => Mask::full(found.numel()),
        };
        Ok((mask, values))
    }
}
