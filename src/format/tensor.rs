//! One tensor of an open file.

use std::collections::BTreeMap;

use super::error::FormatError;
use super::fault::MaskFault;
use super::file::ModelFile;
use super::prepare::value_error;
use super::record::{Record, check_name};
use super::types::{Dtype, Kind, Role, SectionKind};
use super::values::{self, Channels};
use super::{id, mask};
use crate::base::bytes::Reader;
use crate::base::hash::Digest;

/// One tensor of an open file. Its record was checked; its bytes are when they are read.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    pub(super) file: &'a ModelFile,
    pub(super) record: &'a Record,
}

/// Where a mask that is in the base file is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseMask {
    /// The logical id of the base file.
    pub base: Digest,
    /// The tensor of the base file.
    pub tensor: String,
    /// The digest of the mask.
    pub mask: Digest,
}

impl<'a> Tensor<'a> {
    /// Its name.
    pub fn name(&self) -> &'a str {
        &self.record.name
    }

    /// What it is to the network.
    pub fn role(&self) -> Role {
        self.record.role
    }

    /// Its dimensions.
    pub fn shape(&self) -> &'a [usize] {
        &self.record.shape
    }

    /// How a value is stored.
    pub fn dtype(&self) -> Dtype {
        self.record.dtype
    }

    /// How its mask is stored.
    pub fn kind(&self) -> Kind {
        self.record.kind
    }

    /// How many of its positions exist.
    pub fn nnz(&self) -> usize {
        self.record.nnz as usize
    }

    /// How many positions its shape has.
    pub fn numel(&self) -> usize {
        self.record.numel as usize
    }

    /// Bytes of its values and its mask.
    pub fn stored_bytes(&self) -> u64 {
        self.record.values_len() + self.record.mask_len()
    }

    /// Its place in the arena order.
    pub fn order(&self) -> u32 {
        self.record.order
    }

    /// Its digest: name, role, type, shape, mask and values.
    pub fn digest(&self) -> Digest {
        self.record.leaf
    }

    /// The flat positions that exist, ascending, held against the digest; `None` where all do.
    pub fn positions(&self) -> Result<Option<Vec<u32>>, FormatError> {
        let positions = self.decode_positions()?;
        self.check_leaf(&mask::digest(self.record.numel, positions.as_deref()))?;
        Ok(positions)
    }

    /// The values of existing positions, ascending by position, held against the digest.
    pub fn values(&self) -> Result<Vec<f32>, FormatError> {
        self.read().map(|(_, values)| values)
    }

    /// Positions and values at once, for the price of one check.
    pub fn read(&self) -> Result<(Option<Vec<u32>>, Vec<f32>), FormatError> {
        let positions = self.positions()?;
        let values = self.decode_values(positions.as_deref())?;
        Ok((positions, values))
    }

    /// As [`Tensor::read`], for a tensor whose mask may be in the file `base`.
    pub fn read_with(&self, base: &ModelFile) -> Result<(Option<Vec<u32>>, Vec<f32>), FormatError> {
        let Some(wanted) = self.base_mask()? else { return self.read() };
        if wanted.base != base.logical_id() {
            let (tensor, expected) = (self.name().to_string(), wanted.base);
            let found = base.logical_id();
            return Err(FormatError::WrongBase { tensor, expected, found });
        }
        let rule = |rule| {
            let (tensor, offset) = (self.name().to_string(), self.mask_bytes().1);
            FormatError::TensorRule { tensor, offset, rule }
        };
        let missing = || rule("its mask is that of a tensor that the base does not have");
        let positions = base.tensor(&wanted.tensor).ok_or_else(missing)?.positions()?;
        let digest = mask::digest(self.record.numel, positions.as_deref());
        let counted = positions.as_ref().map_or(self.record.numel, |p| p.len() as u64);
        // The digest names the positions, so the counts follow; they are held all the same,
        // because an index is computed from them.
        if digest != wanted.mask || counted != self.record.nnz {
            return Err(rule("the mask in the base is another than the one meant"));
        }
        mask::check(self.record.numel, positions.as_deref().unwrap_or_default(), counted)
            .map_err(|fault| self.mask_error(fault))?;
        self.check_leaf(&digest)?;
        let values = self.decode_values(positions.as_deref())?;
        Ok((positions, values))
    }

    /// Where its mask is, if that is in the base file.
    pub fn base_mask(&self) -> Result<Option<BaseMask>, FormatError> {
        if self.record.kind != Kind::OfBase {
            return Ok(None);
        }
        let (bytes, offset) = self.mask_bytes();
        let rule = |rule| {
            let tensor = self.name().to_string();
            FormatError::TensorRule { tensor, offset, rule }
        };
        let cut = |_| rule("the place of its mask is cut");
        let mut reader = Reader::new(bytes);
        let base = Digest(reader.array().map_err(cut)?);
        let mask = Digest(reader.array().map_err(cut)?);
        let [len, reserved @ ..] = reader.array::<8>().map_err(cut)?;
        let name = reader.take(reader.remaining()).map_err(cut)?.split_at_checked(len.into());
        let (name, padding) = name.ok_or_else(|| rule("the name in the base is too long"))?;
        if reserved.iter().chain(padding).any(|&byte| byte != 0) {
            return Err(rule("the padding after the name in the base is not zero"));
        }
        let name = std::str::from_utf8(name);
        let name = name.map_err(|_| rule("the name in the base is not UTF-8"))?;
        check_name(name).map_err(rule)?;
        Ok(Some(BaseMask { base, tensor: name.to_string(), mask }))
    }

    /// Holds the bytes against the digest and the rules, without the base where that has the mask.
    ///
    /// `masks` remembers the digests of masks by the order number of their tensor, so that a mask
    /// that many tensors use is decoded once: otherwise a short file could ask for hours.
    pub(super) fn check(&self, masks: &mut BTreeMap<u32, Digest>) -> Result<(), FormatError> {
        let Record { kind, order, dtype, numel, .. } = *self.record;
        let owner = if let Kind::SameAs { order } = kind { order } else { order };
        let digest = match (masks.get(&owner), self.base_mask()?) {
            (Some(known), _) => *known,
            (None, Some(base)) => base.mask,
            (None, None) => mask::digest(numel, self.decode_positions()?.as_deref()),
        };
        masks.insert(owner, digest);
        self.check_leaf(&digest)?;
        let (bytes, offset) = self.value_bytes();
        values::check(dtype, bytes, self.record.channels())
            .map_err(|fault| value_error(self.name(), offset, dtype, fault))
    }

    pub(super) fn mask_bytes(&self) -> (&'a [u8], u64) {
        self.file.payload(SectionKind::MASKS, self.record.mask_at, self.record.mask_len())
    }

    pub(super) fn value_bytes(&self) -> (&'a [u8], u64) {
        let dense = self.record.kind == Kind::Dense;
        let section = if dense { SectionKind::DENSE } else { SectionKind::PACKED };
        self.file.payload(section, self.record.values_at, self.record.values_len())
    }

    fn mask_error(&self, fault: MaskFault) -> FormatError {
        let (tensor, offset) = (self.name().to_string(), self.mask_bytes().1);
        FormatError::Mask { tensor, offset, fault }
    }

    /// The tensor of this file whose bytes spell its mask; none if it is dense.
    pub(super) fn mask_owner(&self) -> Result<Option<Self>, FormatError> {
        let record = match self.record.kind {
            Kind::Dense => return Ok(None),
            Kind::OfBase => {
                let tensor = self.name().to_string();
                let Some(BaseMask { base, tensor: base_tensor, .. }) = self.base_mask()? else {
                    return Ok(None);
                };
                return Err(FormatError::NeedsBase { tensor, base, base_tensor });
            }
            // The table check found it there, with a mask of its own.
            Kind::SameAs { order } => self.file.table().of_order(order).unwrap_or(self.record),
            _ => self.record,
        };
        Ok(Some(Self { file: self.file, record }))
    }

    fn decode_positions(&self) -> Result<Option<Vec<u32>>, FormatError> {
        let Some(owner) = self.mask_owner()? else { return Ok(None) };
        let Record { kind, numel, nnz, .. } = *owner.record;
        let positions = mask::decode(kind, numel, nnz, owner.mask_bytes().0);
        positions.map(Some).map_err(|fault| owner.mask_error(fault))
    }

    fn check_leaf(&self, mask: &Digest) -> Result<(), FormatError> {
        let Record { name, role, dtype, shape, leaf, .. } = self.record;
        let (bytes, offset) = self.value_bytes();
        let actual = id::leaf((name, *role, *dtype, shape), mask, bytes);
        if actual != *leaf {
            let tensor = self.name().to_string();
            return Err(FormatError::TensorDigest { tensor, offset, claimed: *leaf, actual });
        }
        Ok(())
    }

    fn decode_values(&self, positions: Option<&[u32]>) -> Result<Vec<f32>, FormatError> {
        let (bytes, offset) = self.value_bytes();
        let channels = self.record.channels();
        let len = self.record.numel as usize / channels;
        values::decode(self.record.dtype, bytes, Channels { channels, len, positions })
            .map_err(|fault| value_error(self.name(), offset, self.record.dtype, fault))
    }
}
