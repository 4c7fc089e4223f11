//! What can be wrong with a foreign file, and what to do about it.

use std::path::PathBuf;

use super::onnx::SUPPORTED;
use crate::base::disk::DiskError;
use crate::model::DescribeError;

/// A foreign file that cannot be taken in, or a model that cannot be given out: which, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", file.display())]
pub struct ExchangeError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong.
    pub fault: Box<ExchangeFault>,
}

impl ExchangeFault {
    /// This fault, of the file at `path`.
    pub fn of(self, path: impl Into<PathBuf>) -> ExchangeError {
        ExchangeError { file: path.into(), fault: Box::new(self) }
    }
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeFault {
    /// A Python pickle, which is a program.
    #[error(
        "a pickle is a program that would run when it is opened, so it is never read; convert it \
         where you trust it:\n  \
         import torch, safetensors.torch\n  \
         safetensors.torch.save_file(torch.load(\"FILE\", map_location=\"cpu\", weights_only=True), \"FILE.safetensors\")"
    )]
    Pickle,
    /// The ending says neither safetensors nor ONNX.
    #[error("the ending tells no kind of file: it must be .safetensors or .onnx")]
    Ending,
    /// The bytes are no safetensors.
    #[error("offset {offset}: {what}; the file is damaged or no safetensors, get it again")]
    Safetensors {
        /// Where, in bytes from the start of the file.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// The header places a tensor where it cannot be.
    #[error(
        "tensor `{tensor}`: {rule} (shape {shape:?}, bytes {begin} to {end} of {have}); the file is damaged, get it again"
    )]
    Place {
        /// The tensor.
        tensor: String,
        /// The rule that is broken.
        rule: &'static str,
        /// Its shape as claimed.
        shape: Vec<u64>,
        /// Where its values begin, counted from the end of the header.
        begin: u64,
        /// Where they end.
        end: u64,
        /// Bytes behind the header.
        have: u64,
    },
    /// Values of a type that no network here has.
    #[error("tensor `{tensor}` holds {found}; read are {known}: convert it, or leave it out")]
    Dtype {
        /// The tensor.
        tensor: String,
        /// Its type.
        found: String,
        /// Types that are read.
        known: &'static str,
    },
    /// A value that is no finite number of single precision.
    #[error(
        "tensor `{tensor}`, value {index}: {value} is no finite f32; the model diverged or is damaged"
    )]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// Its flat position, row-major.
        index: usize,
        /// What stands there, as `f32`.
        value: f32,
    },
    /// A mask that says neither yes nor no.
    #[error("mask `{tensor}`, value {index}: {value} is neither 0 nor 1")]
    MaskValue {
        /// The mask.
        tensor: String,
        /// The flat position, row-major.
        index: usize,
        /// What stands there.
        value: f32,
    },
    /// A mask without its tensor, or of another shape.
    #[error("mask `{mask}` {rule}")]
    Mask {
        /// The mask.
        mask: String,
        /// The rule that is broken.
        rule: String,
    },
    /// A mask on a tensor that the description keeps dense.
    #[error(
        "tensor `{tensor}` has a mask, but `{model}` does not let it be pruned: give --model a copy of its \
         description with `prunable = true` there"
    )]
    NotPrunable {
        /// The tensor.
        tensor: String,
        /// The description.
        model: String,
    },
    /// Two tensors that would have one name.
    #[error("tensors `{first}` and `{second}` both become `{name}`; tell them apart with --names")]
    SameName {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// The name that both get.
        name: String,
    },
    /// The mapping of names cannot be used.
    #[error("line {line}: {what}")]
    Names {
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
    /// No description has these tensors.
    #[error(
        "no network that comes with the program has these tensors; nearest is `{model}`: {misfit}\n\
         give --model a description (TOML), or --names a mapping of names"
    )]
    NoFit {
        /// The nearest description.
        model: String,
        /// What differs.
        misfit: Misfit,
    },
    /// The description that was asked for has other tensors.
    #[error(
        "`{model}` has other tensors: {misfit}\ngive another --model, or --names a mapping of names"
    )]
    Misfit {
        /// The description.
        model: String,
        /// What differs.
        misfit: Misfit,
    },
    /// Several descriptions have these tensors.
    #[error("these tensors are those of {}: say which with --model", models.join(" and of "))]
    Ambiguous {
        /// Their names.
        models: Vec<String>,
    },
    /// The file normalises its input in another way than the description.
    #[error(
        "tensor `{tensor}` normalises by {found:?}, `{model}` by {expected:?}: give --model a description that agrees"
    )]
    Normalisation {
        /// The tensor.
        tensor: String,
        /// The file's values.
        found: Vec<f32>,
        /// The description.
        model: String,
        /// Its values.
        expected: Vec<f32>,
    },
    /// What the file says of itself beside its tensors cannot be read.
    #[error("metadata `{key}`: {what}; remove it, or export the model again")]
    Metadata {
        /// The key.
        key: &'static str,
        /// What is wrong.
        what: String,
    },
    /// The description describes no network.
    #[error("its network cannot be: {0}")]
    Describe(#[from] DescribeError),
    /// The bytes are no protobuf of a model.
    #[error("offset {offset}: {what}; the file is damaged or no ONNX, get it again")]
    Wire {
        /// Where, in bytes from the start of the file.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A tensor of an ONNX file that contradicts itself.
    #[error("tensor `{tensor}`: {what}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        what: String,
    },
    /// Values in another file that cannot be read.
    #[error("tensor `{tensor}` lies in `{location}`: {what}")]
    External {
        /// The tensor.
        tensor: String,
        /// The file as the tensor names it.
        location: String,
        /// What is wrong.
        what: String,
    },
    /// Values in another file, which the disk does not give.
    #[error("tensor `{tensor}` lies in another file: {source}")]
    ExternalDisk {
        /// The tensor.
        tensor: String,
        /// What the disk says.
        source: DiskError,
    },
    /// An operation that is not written to ONNX.
    #[error(
        "`{node}` is a {kind}, which is not written to ONNX: export a .safetensors, which has every tensor"
    )]
    NotOnnx {
        /// The operation's name.
        node: String,
        /// Its kind, as in a description.
        kind: &'static str,
    },
    /// The graph as a whole is not one that can be taken.
    #[error("the graph {what}")]
    Graph {
        /// What is wrong.
        what: String,
    },
    /// A node that no operation here can stand for.
    #[error("node `{node}` ({op}, domain `{domain}`): {what}; supported are {SUPPORTED}")]
    Node {
        /// The node, by its name or first output.
        node: String,
        /// Its operation.
        op: String,
        /// Where that comes from; ONNX's own is `ai.onnx`.
        domain: String,
        /// What is wrong.
        what: String,
    },
}

/// How the tensors of a file differ from those that a description asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misfit {
    /// Asked for and not there.
    pub missing: Vec<String>,
    /// There and not asked for.
    pub strange: Vec<String>,
    /// There in another shape: name, found, expected.
    pub shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Misfit {
    /// How many tensors differ.
    pub fn count(&self) -> usize {
        self.missing.len() + self.strange.len() + self.shapes.len()
    }
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// Names of one kind that are told.
        const TOLD: usize = 5;
        let shape = |(name, found, expected): &(String, Vec<usize>, Vec<usize>)| {
            format!("{name} ({found:?}, expected {expected:?})")
        };
        let shapes: Vec<String> = self.shapes.iter().map(shape).collect();
        let parts =
            [("missing", &self.missing), ("strange", &self.strange), ("of another shape", &shapes)];
        let told: Vec<String> = parts
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(word, names)| {
                let more = names.len().saturating_sub(TOLD);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let first: Vec<&str> = names.iter().take(TOLD).map(String::as_str).collect();
                format!("{} {word}: {}{more}", names.len(), first.join(", "))
            })
            .collect();
        f.write_str(&told.join("; "))
    }
}
