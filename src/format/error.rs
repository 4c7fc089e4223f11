//! What can be wrong with a model file, or with what is to be written into one.

use std::path::Path;

use thiserror::Error;

use super::fault::MaskFault;
use super::types::{Dtype, SectionKind};
use crate::base::disk::DiskError;
use crate::base::hash::Digest;

/// What is wrong, where, what was claimed and what was expected. Offsets are bytes from the start
/// of the file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The file could not be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The file is of another format.
    #[error(
        "preamble, offset 0: this is not an .esm file: it begins with {found:02x?}, expected {expected:02x?}"
    )]
    NotEsm {
        /// The first bytes.
        found: Vec<u8>,
        /// The first bytes of every .esm file.
        expected: [u8; 8],
    },
    /// The file is of a version that this program does not know.
    #[error(
        "preamble, offset 8: the file is of version {found}, this program reads version {known}; use a newer program"
    )]
    Version {
        /// The version that the file claims.
        found: u16,
        /// The version that this program reads.
        known: u16,
    },
    /// A word beside the version, zero in every file that this program knows, is not.
    #[error(
        "preamble, offset 10: {found} where every file has 0; the file was changed or damaged, get it again"
    )]
    Reserved {
        /// What is there.
        found: u16,
    },
    /// The file needs something that this program does not know.
    #[error(
        "preamble, offset 12: the file needs features {bits:#x}, which this program does not know; use a newer program"
    )]
    Features {
        /// The unknown bits.
        bits: u32,
    },
    /// The file is shorter or longer than it says.
    #[error(
        "preamble, offset 24: the file claims {claimed} bytes, expected the {actual} that it has; it was cut or added to"
    )]
    FileLength {
        /// What the preamble claims (0 where the preamble itself is cut).
        claimed: u64,
        /// What is there.
        actual: u64,
    },
    /// The preamble or the directory was changed.
    #[error(
        "preamble and directory, offset 0: digest {actual} differs from {claimed}, which offset 32 claims; the file was changed or damaged, get it again"
    )]
    HeaderDigest {
        /// The digest that the preamble claims.
        claimed: Digest,
        /// The digest of what is there.
        actual: Digest,
    },
    /// A section was changed.
    #[error(
        "section `{section}`, offset {offset}: digest {actual} differs from {claimed}, which the directory claims; the file was changed or damaged, get it again"
    )]
    SectionDigest {
        /// The section.
        section: SectionKind,
        /// Where it starts.
        offset: u64,
        /// The digest that the directory claims.
        claimed: Digest,
        /// The digest of what is there.
        actual: Digest,
    },
    /// A section that must be understood is not known.
    #[error(
        "section {kind:#x}, offset {offset}: a required section that this program does not know; use a newer program"
    )]
    UnknownSection {
        /// Its number.
        kind: u32,
        /// Where it starts.
        offset: u64,
    },
    /// A section that every file has is not there.
    #[error("directory, offset 64: no section `{section}`, expected one")]
    MissingSection {
        /// The section.
        section: SectionKind,
    },
    /// A number in a section is not what it must be.
    #[error("section `{section}`, offset {offset}: {what} is {claimed}, expected {expected}")]
    Claim {
        /// The section.
        section: SectionKind,
        /// Where the claim or what it is about stands.
        offset: u64,
        /// What is claimed.
        what: &'static str,
        /// The value that is there.
        claimed: u64,
        /// The value that must be there.
        expected: u64,
    },
    /// A number is beyond its limit.
    #[error("section `{section}`, offset {offset}: {what} is {claimed}, expected at most {most}")]
    TooMuch {
        /// The section.
        section: SectionKind,
        /// Where the claim stands; 0 in what is to be written.
        offset: u64,
        /// What is claimed.
        what: &'static str,
        /// The value that is there.
        claimed: u64,
        /// The limit.
        most: u64,
    },
    /// A structured section does not decode.
    #[error("section `{section}`, offset {offset}: {rule}")]
    Malformed {
        /// The section.
        section: SectionKind,
        /// Where the section, or the fault where it is known, starts; 0 in what is to be written.
        offset: u64,
        /// The rule that is broken.
        rule: &'static str,
    },
    /// A number in the record or the payload of a tensor is not what it must be.
    #[error("tensor `{tensor}`, offset {offset}: {what} is {claimed}, expected {expected}")]
    TensorClaim {
        /// The tensor.
        tensor: String,
        /// Where its record or payload starts.
        offset: u64,
        /// What is claimed.
        what: &'static str,
        /// The value that is there.
        claimed: u64,
        /// The value that must be there.
        expected: u64,
    },
    /// A tensor breaks a rule.
    #[error("tensor `{tensor}`, offset {offset}: {rule}")]
    TensorRule {
        /// The tensor.
        tensor: String,
        /// Where its record or payload starts; 0 in what is to be written.
        offset: u64,
        /// The rule that is broken.
        rule: &'static str,
    },
    /// A mask lies.
    #[error("tensor `{tensor}`, mask at offset {offset}: {fault}")]
    Mask {
        /// The tensor.
        tensor: String,
        /// Where its mask starts; 0 in what is to be written.
        offset: u64,
        /// The lie.
        fault: MaskFault,
    },
    /// The bytes of a tensor were changed.
    #[error(
        "tensor `{tensor}`, values at offset {offset}: digest {actual} differs from {claimed}, which the tensor table claims; the file was changed or damaged, get it again"
    )]
    TensorDigest {
        /// The tensor.
        tensor: String,
        /// Where its values start.
        offset: u64,
        /// The digest that the table claims.
        claimed: Digest,
        /// The digest of what is there.
        actual: Digest,
    },
    /// A value is not a finite number.
    #[error("tensor `{tensor}`: value {index} is {value}, expected a finite number")]
    NotFinite {
        /// The tensor, or the section.
        tensor: String,
        /// Which of its stored values.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A value is finite, but not in the type it is to be stored in.
    #[error(
        "tensor `{tensor}`: value {index} is {value}, which {dtype} cannot hold; store the tensor as f32 or bf16"
    )]
    Overflow {
        /// The tensor.
        tensor: String,
        /// Which of its stored values.
        index: usize,
        /// The value.
        value: f32,
        /// The type.
        dtype: Dtype,
    },
    /// The scale of an output channel is of no use.
    #[error(
        "tensor `{tensor}`, values at offset {offset}: the scale of channel {channel} is {scale}, expected a positive normal number that is finite times 127"
    )]
    Scale {
        /// The tensor.
        tensor: String,
        /// Where its values start.
        offset: u64,
        /// The channel.
        channel: usize,
        /// Its scale.
        scale: f32,
    },
    /// Two things have the same name.
    #[error("section `{section}`: the name `{name}` is there twice")]
    Duplicate {
        /// Where names must differ.
        section: SectionKind,
        /// The name.
        name: String,
    },
    /// The mask of a tensor is in another file.
    #[error(
        "tensor `{tensor}`: its mask is that of `{base_tensor}` in the base {base}; read it with that file"
    )]
    NeedsBase {
        /// The tensor.
        tensor: String,
        /// The logical id of the base.
        base: Digest,
        /// The tensor of the base.
        base_tensor: String,
    },
    /// A file was offered as the base that is not.
    #[error("tensor `{tensor}`: its mask is in the base {expected}, the file offered is {found}")]
    WrongBase {
        /// The tensor.
        tensor: String,
        /// The logical id of the base.
        expected: Digest,
        /// The logical id of the file offered.
        found: Digest,
    },
}

impl FormatError {
    /// The message for the file at `path`, which is named once.
    pub fn of_file(&self, path: &Path) -> String {
        match self {
            Self::Disk(error) => error.to_string(),
            _ => format!("{}: {self}", path.display()),
        }
    }
}
