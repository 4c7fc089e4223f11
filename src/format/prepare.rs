//! One tensor on its way into the file: checked, its kind of mask chosen, its bytes made.

use std::collections::BTreeMap;

use super::error::FormatError;
use super::fault::MaskFault;
use super::limits::MAX_NAME;
use super::record::{BASE_MASK, Record, check_name, numel};
use super::types::{Kind, SectionKind, Stored, TensorIn};
use super::values::{self, Channels, ValueFault};
use super::{id, mask};
use crate::base::hash::Digest;

/// A tensor whose bytes are made and whose place is not yet known.
pub(crate) struct Prepared {
    pub(crate) record: Record,
    pub(crate) mask: Vec<u8>,
    pub(crate) values: Vec<u8>,
}

/// Makes the bytes of all tensors, which are in arena order.
pub(crate) fn prepare(tensors: &[TensorIn<'_>]) -> Result<Vec<Prepared>, FormatError> {
    let mut orders = BTreeMap::new();
    for (order, tensor) in (0u32..).zip(tensors) {
        if orders.insert(tensor.name, order).is_some() {
            let (section, name) = (SectionKind::TABLE, tensor.name.to_string());
            return Err(FormatError::Duplicate { section, name });
        }
    }
    let one = |(order, tensor)| One { tensor, tensors, orders: &orders }.prepare(order);
    (0u32..).zip(tensors).map(one).collect()
}

/// One tensor among the others.
struct One<'a> {
    tensor: &'a TensorIn<'a>,
    tensors: &'a [TensorIn<'a>],
    orders: &'a BTreeMap<&'a str, u32>,
}

impl<'a> One<'a> {
    fn rule(&self, rule: &'static str) -> FormatError {
        FormatError::TensorRule { tensor: self.tensor.name.to_string(), offset: 0, rule }
    }

    fn mask_fault(&self, fault: MaskFault) -> FormatError {
        FormatError::Mask { tensor: self.tensor.name.to_string(), offset: 0, fault }
    }

    fn prepare(&self, order: u32) -> Result<Prepared, FormatError> {
        let TensorIn { role, dtype, shape, values, .. } = *self.tensor;
        let name = check_name(self.tensor.name).map_err(|rule| self.rule(rule))?;
        let numel = numel(shape).map_err(|rule| self.rule(rule))?;
        let positions = self.positions()?;
        let nnz = values.len() as u64;
        match positions {
            Some(positions) => mask::check(numel, positions, nnz),
            None if nnz != numel => Err(MaskFault::Count { claimed: nnz, counted: numel }),
            None => Ok(()),
        }
        .map_err(|fault| self.mask_fault(fault))?;
        // A full mask says what no mask says, in more bytes.
        let positions = positions.filter(|p| p.len() as u64 != numel);
        let digest = mask::digest(numel, positions);
        let kind = positions.map_or(Ok(Kind::Dense), |p| self.kind(numel, p))?;
        let mask = match (kind, self.tensor.stored) {
            (Kind::OfBase, Stored::MaskOfBase { base, tensor, .. }) => {
                base_mask(&base, &digest, tensor).map_err(|rule| self.rule(rule))?
            }
            (kind, _) => mask::encode(kind, numel, positions.unwrap_or_default()),
        };
        let channels = shape.first().copied().unwrap_or(1);
        let channels = Channels { channels, len: numel as usize / channels, positions };
        let bytes = values::encode(dtype, values, channels)
            .map_err(|fault| value_error(self.tensor.name, 0, dtype, fault))?;
        let leaf = id::leaf((&name, role, dtype, shape), &digest, &bytes);
        // The rank was held against its limit by `numel`.
        let shape = shape.iter().copied().collect();
        let (values_at, mask_at) = (0, 0);
        #[rustfmt::skip]
        let record = Record {
            name, role, dtype, kind, order, shape, numel, nnz, values_at, mask_at, leaf,
        };
        Ok(Prepared { record, mask, values: bytes })
    }

    /// The positions that exist, wherever the caller has them.
    fn positions(&self) -> Result<Option<&'a [u32]>, FormatError> {
        match self.tensor.stored {
            Stored::Dense => Ok(None),
            Stored::Masked(positions) | Stored::MaskOfBase { positions, .. } => Ok(Some(positions)),
            Stored::MaskOf(other) => match self.other(other)?.stored {
                Stored::Masked(positions) => Ok(Some(positions)),
                _ => Err(self.rule("its mask is that of a tensor that has no mask of its own")),
            },
        }
    }

    fn other(&self, name: &str) -> Result<&'a TensorIn<'a>, FormatError> {
        let missing = || self.rule("its mask is that of a tensor that is not there");
        let order = self.orders.get(name).ok_or_else(missing)?;
        let other = &self.tensors[*order as usize];
        let [mine, theirs] = [self.tensor.shape, other.shape].map(numel);
        if mine != theirs {
            return Err(self.rule("its mask is that of a tensor of another size"));
        }
        Ok(other)
    }

    fn kind(&self, numel: u64, positions: &[u32]) -> Result<Kind, FormatError> {
        Ok(match self.tensor.stored {
            Stored::Dense => Kind::Dense,
            Stored::Masked(_) => mask::choose(numel, positions),
            Stored::MaskOf(other) => Kind::SameAs { order: self.orders[other] },
            Stored::MaskOfBase { .. } => Kind::OfBase,
        })
    }
}

/// The place in the mask section of a mask that is in the base file.
fn base_mask(base: &Digest, mask: &Digest, tensor: &str) -> Result<Vec<u8>, &'static str> {
    let name = check_name(tensor)?;
    let mut out = Vec::with_capacity(BASE_MASK as usize);
    out.extend(base.0);
    out.extend(mask.0);
    // At most 128 bytes.
    out.extend([name.len() as u8, 0, 0, 0, 0, 0, 0, 0]);
    out.extend(name.as_bytes());
    out.resize(out.len() + MAX_NAME - name.len(), 0);
    Ok(out)
}

/// A fault of a value, with the tensor it is in and where its values start.
pub(crate) fn value_error(
    tensor: &str,
    offset: u64,
    dtype: super::types::Dtype,
    fault: ValueFault,
) -> FormatError {
    let tensor = tensor.to_string();
    match fault {
        ValueFault::NotFinite { index, value } => FormatError::NotFinite { tensor, index, value },
        ValueFault::Overflow { index, value } => {
            FormatError::Overflow { tensor, index, value, dtype }
        }
        ValueFault::Scale { channel, scale } => {
            FormatError::Scale { tensor, offset, channel, scale }
        }
        ValueFault::Int8 { index } => FormatError::TensorClaim {
            tensor,
            offset: offset + index as u64,
            what: "an int8 value",
            claimed: 0x80,
            expected: 0x81,
        },
    }
}
