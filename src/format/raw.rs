//! Masks and values as the file holds them, for a device that decodes them itself.

use std::ops::Range;

use super::error::FormatError;
use super::file::ModelFile;
use super::record::Record;
use super::tensor::Tensor;
use super::types::{Dtype, Kind, SectionKind};

/// What sections 70, 80 and 90 hold of one tensor. Lengths are those that counts and kinds give; the bytes are
/// what [`ModelFile::verify`] held, if it was called, and nobody wrote into the file since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// How its mask is stored: where it is another tensor's of this file, as that one's.
    pub kind: Kind,
    /// Where its mask lies in [`ModelFile::payloads`]; nowhere if it is dense.
    pub mask: Range<usize>,
    /// How a value is stored.
    pub dtype: Dtype,
    /// Where its values lie in [`ModelFile::payloads`].
    pub values: Range<usize>,
    /// Length of the first dimension, 1 for a scalar: scales of int8.
    pub channels: usize,
    /// Positions of its shape.
    pub numel: usize,
    /// Positions that exist.
    pub nnz: usize,
}

impl ModelFile {
    /// The bytes of masks and values, one section after the other as they lie in the file: they begin at a multiple
    /// of 64, counted from its begin, and so in memory where the file is mapped.
    pub fn payloads(&self) -> &[u8] {
        let (start, end) = self.payload_range();
        &self.file_bytes()[start..end]
    }

    /// Gives memory back that reading a mapped file has taken: the system reads it again when it is asked for.
    pub fn release_pages(&self) {
        self.file_bytes().release();
    }

    fn payload_range(&self) -> (usize, usize) {
        let kinds = [SectionKind::MASKS, SectionKind::PACKED, SectionKind::DENSE];
        let sections = self.sections().iter().filter(|section| kinds.contains(&section.kind));
        // Inside the file, which is in memory; in its order, because kinds ascend.
        let ranges = sections.map(|s| (s.offset as usize, (s.offset + s.len) as usize));
        ranges.reduce(|(start, _), (_, end)| (start, end)).unwrap_or_default()
    }
}

impl Tensor<'_> {
    /// How it is stored, and where.
    ///
    /// # Errors
    /// [`FormatError::NeedsBase`] if its mask is in the base file.
    pub fn raw(&self) -> Result<Raw, FormatError> {
        let owner = self.mask_owner()?;
        let first = self.file.payload_range().0;
        let within = |(bytes, offset): (&[u8], u64)| {
            let start = (offset as usize).saturating_sub(first);
            start..start + bytes.len()
        };
        let Record { dtype, numel, nnz, .. } = *self.record;
        let mask = owner.map_or(0..0, |owner| within(owner.mask_bytes()));
        Ok(Raw {
            kind: owner.map_or(Kind::Dense, |owner| owner.record.kind),
            mask,
            dtype,
            values: within(self.value_bytes()),
            channels: self.record.channels(),
            numel: numel as usize,
            nnz: nnz as usize,
        })
    }
}
