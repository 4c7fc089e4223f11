//! One record of the tensor table.
//!
//! [`RawRecord`] is what the bytes claim, [`Record`] what survived [`RawRecord::check`].

use super::error::FormatError;
use super::limits::{MAX_NAME, MAX_RANK};
use super::mask;
use super::types::{Dtype, Kind, Role};
use crate::base::bytes::{Reader, ShortRead};
use crate::base::hash::Digest;

/// Bytes of a record.
pub(crate) const RECORD: usize = 104;
/// Bytes in the mask section of a mask that is in the base file: base id, digest of the mask,
/// length of the name, seven zeros, the name padded with zeros.
pub(crate) const BASE_MASK: u64 = 32 + 32 + 8 + MAX_NAME as u64;
/// In the place of an order number where there is none.
pub(crate) const NOBODY: u32 = u32::MAX;

/// A record as the bytes claim it. Trust nothing in here.
pub(crate) struct RawRecord {
    pub(crate) name_hash: u64,
    pub(crate) name_at: u32,
    pub(crate) name_len: u8,
    pub(crate) role: u8,
    pub(crate) dtype: u8,
    pub(crate) kind: u8,
    pub(crate) rank: u8,
    pub(crate) n: u8,
    pub(crate) m: u8,
    pub(crate) reserved: u8,
    pub(crate) order: u32,
    pub(crate) dims: [u32; MAX_RANK],
    pub(crate) nnz: u32,
    pub(crate) same_as: u32,
    pub(crate) values_at: u64,
    pub(crate) mask_at: u64,
    pub(crate) leaf: Digest,
}

/// A record whose claims agree with each other; where it lies is for the table to check.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) name: heapless::String<MAX_NAME>,
    pub(crate) role: Role,
    pub(crate) dtype: Dtype,
    pub(crate) kind: Kind,
    pub(crate) order: u32,
    pub(crate) shape: heapless::Vec<usize, MAX_RANK>,
    pub(crate) numel: u64,
    pub(crate) nnz: u64,
    pub(crate) values_at: u64,
    pub(crate) mask_at: u64,
    pub(crate) leaf: Digest,
}

/// What the table is sorted by: the first eight bytes of the digest of the name.
pub(crate) fn name_hash(name: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = Digest::of(name.as_bytes()).0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Holds a name against the rules for names.
pub(crate) fn check_name(name: &str) -> Result<heapless::String<MAX_NAME>, &'static str> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err("a name must have at least one character and no control character");
    }
    heapless::String::try_from(name).map_err(|_| "a name must have at most 128 bytes")
}

/// The number of positions in a shape, if it keeps the rules for shapes.
pub(crate) fn numel(shape: &[usize]) -> Result<u64, &'static str> {
    if shape.len() > MAX_RANK {
        return Err("a tensor must have at most 6 dimensions");
    }
    if shape.contains(&0) {
        return Err("no dimension of a tensor may be 0");
    }
    let product = shape.iter().try_fold(1u32, |product, &dim| {
        u32::try_from(dim).ok().and_then(|dim| product.checked_mul(dim))
    });
    product.map(u64::from).ok_or("a tensor must have at most 2^32 - 1 positions")
}

impl RawRecord {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, ShortRead> {
        let (name_hash, name_at, name_len) = (reader.u64()?, reader.u32()?, reader.u8()?);
        let (role, dtype, kind) = (reader.u8()?, reader.u8()?, reader.u8()?);
        let (rank, n, m, reserved) = (reader.u8()?, reader.u8()?, reader.u8()?, reader.u8()?);
        let order = reader.u32()?;
        let mut dims = [0; MAX_RANK];
        for dim in &mut dims {
            *dim = reader.u32()?;
        }
        let (nnz, same_as) = (reader.u32()?, reader.u32()?);
        let (values_at, mask_at) = (reader.u64()?, reader.u64()?);
        let leaf = Digest(reader.array()?);
        #[rustfmt::skip]
        let raw = Self {
            name_hash, name_at, name_len, role, dtype, kind, rank, n, m, reserved, order, dims,
            nnz, same_as, values_at, mask_at, leaf,
        };
        Ok(raw)
    }

    /// Holds the record, which stands at `offset` of the file, against itself and its name.
    pub(crate) fn check(&self, name: &[u8], offset: u64) -> Result<Record, FormatError> {
        let shown = || String::from_utf8_lossy(name).into_owned();
        let rule = |rule| FormatError::TensorRule { tensor: shown(), offset, rule };
        let text = std::str::from_utf8(name).map_err(|_| rule("the name is not UTF-8"))?;
        let name = check_name(text).map_err(rule)?;
        let claim = |what, claimed, expected| FormatError::TensorClaim {
            tensor: shown(),
            offset,
            what,
            claimed,
            expected,
        };
        if self.name_hash != name_hash(text) {
            return Err(claim("the hash of its name", self.name_hash, name_hash(text)));
        }
        if self.reserved != 0 {
            return Err(claim("the reserved byte", self.reserved.into(), 0));
        }
        let role = Role::of_code(self.role).ok_or_else(|| rule("its role is unknown"))?;
        let dtype = Dtype::of_code(self.dtype).ok_or_else(|| rule("its type is unknown"))?;
        let shape = self.shape().map_err(rule)?;
        let numel = numel(&shape).map_err(rule)?;
        let kind = self.check_kind(numel).map_err(rule)?;
        let nnz = u64::from(self.nnz);
        if kind == Kind::Dense && nnz != numel {
            return Err(claim("the count of existing positions", nnz, numel));
        }
        if kind != Kind::Dense && nnz >= numel {
            return Err(claim("the count of existing positions of a mask", nnz, numel - 1));
        }
        let (order, leaf) = (self.order, self.leaf);
        let (values_at, mask_at) = (self.values_at, self.mask_at);
        #[rustfmt::skip]
        let record = Record {
            name, role, dtype, kind, order, shape, numel, nnz, values_at, mask_at, leaf,
        };
        Ok(record)
    }

    fn shape(&self) -> Result<heapless::Vec<usize, MAX_RANK>, &'static str> {
        let rank = usize::from(self.rank);
        let (dims, unused) =
            self.dims.split_at_checked(rank).ok_or("a tensor must have at most 6 dimensions")?;
        if unused.iter().any(|&dim| dim != 0) {
            return Err("a dimension beyond its rank is not 0");
        }
        // 32 bits fit a usize on every machine that candle runs on.
        Ok(dims.iter().map(|&dim| dim as usize).collect())
    }

    fn check_kind(&self, numel: u64) -> Result<Kind, &'static str> {
        let kind = match self.kind {
            0 => Kind::Dense,
            1 => Kind::Bitmap,
            2 => Kind::Tile256,
            3 => Kind::NOfM { n: self.n, m: self.m },
            4 => Kind::SameAs { order: self.same_as },
            5 => Kind::OfBase,
            _ => return Err("its kind of mask is unknown"),
        };
        if let Kind::NOfM { n, m } = kind {
            let groups = [2, 4, 8, 16].contains(&m) && n > 0 && n < m;
            if !groups || u64::from(self.nnz) * u64::from(m) != numel * u64::from(n) {
                return Err("n and m of its mask do not agree with its shape and count");
            }
        } else if (self.n, self.m) != (0, 0) {
            return Err("n and m are given for a mask that has none");
        }
        if !matches!(kind, Kind::SameAs { .. }) && self.same_as != NOBODY {
            return Err("another tensor is named for a mask that is its own");
        }
        Ok(kind)
    }
}

impl Record {
    /// Output channels: the first dimension.
    pub(crate) fn channels(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Bytes of its values, scales included.
    pub(crate) fn values_len(&self) -> u64 {
        let scales = if self.dtype == Dtype::Int8 { self.channels() as u64 * 4 } else { 0 };
        self.nnz * self.dtype.size() + scales
    }

    /// Bytes of its mask in the mask section.
    pub(crate) fn mask_len(&self) -> u64 {
        match self.kind {
            Kind::OfBase => BASE_MASK,
            kind => mask::encoded_len(kind, self.numel, self.nnz),
        }
    }

    /// The bytes of the record, given where its name starts.
    pub(crate) fn write(&self, name_at: u32, out: &mut Vec<u8>) {
        let (kind, n, m, same_as) = match self.kind {
            Kind::Dense => (0, 0, 0, NOBODY),
            Kind::Bitmap => (1, 0, 0, NOBODY),
            Kind::Tile256 => (2, 0, 0, NOBODY),
            Kind::NOfM { n, m } => (3, n, m, NOBODY),
            Kind::SameAs { order } => (4, 0, 0, order),
            Kind::OfBase => (5, 0, 0, NOBODY),
        };
        out.extend(name_hash(&self.name).to_le_bytes());
        out.extend(name_at.to_le_bytes());
        // Lengths, ranks and dimensions were held against their limits when the record was made.
        out.extend([self.name.len() as u8, self.role.code(), self.dtype.code(), kind]);
        out.extend([self.shape.len() as u8, n, m, 0]);
        out.extend(self.order.to_le_bytes());
        for axis in 0..MAX_RANK {
            out.extend((self.shape.get(axis).copied().unwrap_or(0) as u32).to_le_bytes());
        }
        out.extend((self.nnz as u32).to_le_bytes());
        out.extend(same_as.to_le_bytes());
        out.extend(self.values_at.to_le_bytes());
        out.extend(self.mask_at.to_le_bytes());
        out.extend(self.leaf.0);
    }
}
