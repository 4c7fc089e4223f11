//! The vocabulary of the file: element types, roles, kinds of mask, sections.

use std::fmt;

use crate::base::hash::Digest;

/// How one value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of a single.
    Bf16,
    /// A signed byte times the scale of its output channel (the first dimension).
    Int8,
}

impl Dtype {
    /// Bytes of one value, scales not counted.
    pub fn size(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Int8 => 1,
        }
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Bf16 => 2,
            Self::Int8 => 3,
        }
    }

    pub(crate) fn of_code(code: u8) -> Option<Self> {
        [Self::F32, Self::F16, Self::Bf16, Self::Int8].into_iter().find(|d| d.code() == code)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}

/// What a tensor is to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Learnt by gradient.
    Parameter,
    /// Kept beside the parameters, as the running statistics of batch normalisation are.
    Buffer,
}

impl Role {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Parameter => 0,
            Self::Buffer => 1,
        }
    }

    pub(crate) fn of_code(code: u8) -> Option<Self> {
        [Self::Parameter, Self::Buffer].into_iter().find(|r| r.code() == code)
    }
}

/// How the mask of a tensor is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// There is no mask: every position exists.
    Dense,
    /// One bit a position.
    Bitmap,
    /// One byte an existing position, its index in a tile of 256 positions.
    Tile256,
    /// Exactly `n` of every `m` consecutive positions exist.
    NOfM {
        /// Existing positions of a group.
        n: u8,
        /// Positions of a group: 2, 4, 8 or 16.
        m: u8,
    },
    /// The mask of another tensor of this file.
    SameAs {
        /// The order number of that tensor.
        order: u32,
    },
    /// The mask of a tensor of the base file.
    OfBase,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dense => f.write_str("dense"),
            Self::Bitmap => f.write_str("bitmap"),
            Self::Tile256 => f.write_str("tile-256"),
            Self::NOfM { n, m } => write!(f, "{n}:{m}"),
            Self::SameAs { order } => write!(f, "mask of tensor {order}"),
            Self::OfBase => f.write_str("mask of the base"),
        }
    }
}

/// Which positions of a tensor exist, as the writer is told.
///
/// A mask in which every position exists is stored as [`Kind::Dense`]: the two mean the same.
#[derive(Clone, Copy, Debug)]
pub enum Stored<'a> {
    /// Every position.
    Dense,
    /// These flat positions (row-major), ascending.
    Masked(&'a [u32]),
    /// The positions of another tensor of this file, which has a mask of its own.
    MaskOf(&'a str),
    /// The positions of a tensor of the base file.
    MaskOfBase {
        /// The logical id of the base file.
        base: Digest,
        /// The tensor of the base file.
        tensor: &'a str,
        /// The positions; checked and made a digest of, not stored.
        positions: &'a [u32],
    },
}

/// One tensor, as the writer is given it.
#[derive(Clone, Copy, Debug)]
pub struct TensorIn<'a> {
    /// Its name: 1 to 128 bytes, no control characters, once per file.
    pub name: &'a str,
    /// What it is to the network.
    pub role: Role,
    /// Its dimensions, none of them 0; a scalar has none.
    pub shape: &'a [usize],
    /// How a value is stored.
    pub dtype: Dtype,
    /// Which positions exist.
    pub stored: Stored<'a>,
    /// The values of existing positions, ascending by position.
    pub values: &'a [f32],
}

/// The type of a section, as the directory spells it. Files hold sections in ascending order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SectionKind(pub u32);

impl SectionKind {
    /// Records that say where each tensor lies.
    pub const TABLE: Self = Self(0x10);
    /// The network, as text.
    pub const DESCRIPTION: Self = Self(0x20);
    /// Class names and feature extraction.
    pub const CLASSES: Self = Self(0x30);
    /// Training facts.
    pub const FACTS: Self = Self(0x40);
    /// Calibration tables.
    pub const CALIBRATION: Self = Self(0x50);
    /// Signatures over the logical id.
    pub const SIGNATURES: Self = Self(0x60);
    /// Mask indices.
    pub const MASKS: Self = Self(0x70);
    /// Values of masked tensors, in arena order.
    pub const PACKED: Self = Self(0x80);
    /// Values of dense tensors, in arena order.
    pub const DENSE: Self = Self(0x90);
    /// The anchor set.
    pub const ANCHOR: Self = Self(0xa0);

    /// Its name and whether a reader must understand it; `None` where this version knows none.
    pub(crate) fn known(self) -> Option<(&'static str, bool)> {
        Some(match self {
            Self::TABLE => ("tensor table", true),
            Self::DESCRIPTION => ("network description", true),
            Self::CLASSES => ("classes", true),
            Self::FACTS => ("facts", true),
            Self::CALIBRATION => ("calibration", false),
            Self::SIGNATURES => ("signatures", false),
            Self::MASKS => ("masks", true),
            Self::PACKED => ("packed values", true),
            Self::DENSE => ("dense values", true),
            Self::ANCHOR => ("anchor set", false),
            _ => return None,
        })
    }
}

impl fmt::Display for SectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "unknown section {:#x}", self.0),
        }
    }
}

impl fmt::Debug for SectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SectionKind({self})")
    }
}

/// One entry of a checked directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// What it holds.
    pub kind: SectionKind,
    /// Where it starts, in bytes from the start of the file.
    pub offset: u64,
    /// How long it is, in bytes; the padding after it is not counted.
    pub len: u64,
    /// The BLAKE3 digest of its bytes.
    pub digest: Digest,
}
