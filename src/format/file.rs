//! A model file that was opened: its header, table and small sections held against each other.

use std::collections::BTreeMap;
use std::path::Path;

use super::anchor::AnchorSet;
use super::error::FormatError;
use super::limits::{MAX_DESCRIPTION, payload_start};
use super::map::FileBytes;
use super::record::Record;
use super::sign::{self, Signatures};
use super::small::{self, Calibration, ClassesAndFeatures, Facts};
use super::table::Table;
use super::tensor::Tensor;
use super::types::{Kind, Section, SectionKind};
use super::{id, layout};
use crate::base::hash::Digest;

/// A model file.
///
/// Opening held the preamble, the directory, the tensor table and the small sections against their
/// digests and against each other. Reading a tensor holds that tensor against its digest.
/// [`ModelFile::verify`] holds every byte.
#[derive(Debug)]
pub struct ModelFile {
    bytes: FileBytes,
    sections: Vec<Section>,
    table: Table,
    description: String,
    classes: ClassesAndFeatures,
    facts: Facts,
    calibration: Option<Calibration>,
    signatures: Signatures,
    logical_id: Digest,
}

impl ModelFile {
    /// Maps and opens the file at `path`. Nobody may write into it while it is open: replace it
    /// with [`crate::base::disk::replace`], which leaves the open one as it was.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        Self::check(FileBytes::map(path)?)
    }

    /// Opens a file that is in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, FormatError> {
        Self::check(FileBytes::Owned(bytes))
    }

    fn check(bytes: FileBytes) -> Result<Self, FormatError> {
        let sections = layout::check(&bytes)?;
        let read = Sections { bytes: &bytes, sections: &sections };
        let table = read.required(SectionKind::TABLE)?;
        let table = Table::check(table.0, table.1, &sections)?;
        let description = read.description()?;
        let (classes, at) = read.required(SectionKind::CLASSES)?;
        let classes = small::decode(classes, at)?;
        let (facts, at) = read.required(SectionKind::FACTS)?;
        let facts = small::decode(facts, at)?;
        let calibration = read.checked(SectionKind::CALIBRATION)?;
        let calibration = calibration.map(|(b, at)| small::decode(b, at)).transpose()?;
        let signatures = read.checked(SectionKind::SIGNATURES)?;
        let signatures = signatures.map(|(b, at)| sign::decode(b, at)).transpose()?;
        let signatures = signatures.unwrap_or_default();
        let logical_id = id::logical(table.in_order().map(|record| &record.leaf), &sections);
        #[rustfmt::skip]
        let file = Self {
            bytes, sections, table, description, classes, facts, calibration, signatures,
            logical_id,
        };
        Ok(file)
    }

    /// Holds every byte: all sections and tensors against their digests and rules, and all padding
    /// against zero.
    pub fn verify(&self) -> Result<(), FormatError> {
        // Again, because a mapped file may have been changed since it was opened.
        layout::check(&self.bytes)?;
        layout::check_padding(&self.bytes, &self.sections)?;
        let read = self.read();
        for section in &self.sections {
            read.checked(section.kind)?;
        }
        self.check_payload_padding()?;
        let mut masks = BTreeMap::new();
        for tensor in self.tensors() {
            tensor.check(&mut masks)?;
        }
        self.anchor().map(drop)
    }

    /// Holds the bytes between payloads, which must be zero, against that.
    fn check_payload_padding(&self) -> Result<(), FormatError> {
        type Place = fn(&Record) -> (u64, u64);
        let mask: Place = |r| (r.mask_at, r.mask_len());
        let values: Place = |r| (r.values_at, r.values_len());
        let dense = |r: &Record| r.kind == Kind::Dense;
        for (section, place) in [
            (SectionKind::MASKS, mask),
            (SectionKind::PACKED, values),
            (SectionKind::DENSE, values),
        ] {
            let Some((bytes, at)) = self.read().raw(section) else { continue };
            let mut end = 0;
            for record in self.table.in_order() {
                let (start, len) = place(record);
                let here = section == SectionKind::MASKS
                    || dense(record) == (section == SectionKind::DENSE);
                if !here || len == 0 {
                    continue;
                }
                debug_assert_eq!(payload_start(end, len), Some(start));
                let between = &bytes[end as usize..start as usize];
                if let Some(i) = between.iter().position(|&byte| byte != 0) {
                    let (offset, claimed) = (at + end + i as u64, between[i].into());
                    let what = "the padding between payloads";
                    return Err(FormatError::Claim { section, offset, what, claimed, expected: 0 });
                }
                end = start + len;
            }
        }
        Ok(())
    }

    /// What the model means, as one digest: names, types, shapes, masks and values of all tensors,
    /// and the sections that carry meaning. Another spelling of the masks or another signature
    /// leaves it as it is. The signatures are over [`super::signed_message`] of it.
    pub fn logical_id(&self) -> Digest {
        self.logical_id
    }

    /// The length of the file.
    pub fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The network, as text.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Class names and feature extraction.
    pub fn classes(&self) -> &ClassesAndFeatures {
        &self.classes
    }

    /// How the model came about.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The calibration tables, if there are any.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// The signatures, read and well-formed. Whether they hold is not known here.
    pub fn signatures(&self) -> &Signatures {
        &self.signatures
    }

    /// The anchor set, if there is one, held against its digest.
    pub fn anchor(&self) -> Result<Option<AnchorSet>, FormatError> {
        let section = self.read().checked(SectionKind::ANCHOR)?;
        let classes = self.classes.classes.len();
        section.map(|(bytes, at)| AnchorSet::decode(bytes, at, classes)).transpose()
    }

    /// All sections, unknown ones included, in the order of the file.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// All tensors, in arena order.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = Tensor<'_>> {
        self.table.in_order().map(|record| Tensor { file: self, record })
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        self.table.find(name).map(|record| Tensor { file: self, record })
    }

    /// The bytes of the same model with these signatures in the place of its own; unknown sections
    /// are kept. The logical id stays.
    pub fn with_signatures(&self, signatures: &Signatures) -> Vec<u8> {
        let mut sections: Vec<(SectionKind, Vec<u8>)> = Vec::new();
        for section in self.sections.iter().filter(|s| s.kind != SectionKind::SIGNATURES) {
            let bytes = self.read().raw(section.kind).map_or(&[][..], |(bytes, _)| bytes);
            sections.push((section.kind, bytes.to_vec()));
        }
        if !signatures.is_empty() {
            sections.push((SectionKind::SIGNATURES, sign::encode(signatures)));
        }
        sections.sort_by_key(|(kind, _)| *kind);
        layout::assemble(&sections)
    }

    pub(super) fn file_bytes(&self) -> &FileBytes {
        &self.bytes
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// The bytes at `at` of a section and where they are in the file.
    pub(super) fn payload(&self, section: SectionKind, at: u64, len: u64) -> (&[u8], u64) {
        // The table was held against the sections: only a payload without bytes has no place.
        let Some((bytes, start)) = self.read().raw(section) else { return (&[], 0) };
        (bytes.get(at as usize..(at + len) as usize).unwrap_or_default(), start + at)
    }

    fn read(&self) -> Sections<'_> {
        Sections { bytes: &self.bytes, sections: &self.sections }
    }
}

/// The checked directory and what it is about.
#[derive(Clone, Copy)]
struct Sections<'a> {
    bytes: &'a [u8],
    sections: &'a [Section],
}

/// The bytes of a section and where it starts.
type Found<'a> = (&'a [u8], u64);

impl<'a> Sections<'a> {
    fn raw(self, kind: SectionKind) -> Option<Found<'a>> {
        let section = self.sections.iter().find(|section| section.kind == kind)?;
        // Inside the file, which is in memory: `layout::check` held it.
        let (start, end) = (section.offset as usize, (section.offset + section.len) as usize);
        Some((&self.bytes[start..end], section.offset))
    }

    /// A section, held against its digest.
    fn checked(self, kind: SectionKind) -> Result<Option<Found<'a>>, FormatError> {
        let Some(section) = self.sections.iter().find(|section| section.kind == kind) else {
            return Ok(None);
        };
        let found = self.raw(kind);
        let actual = Digest::of(found.map_or(&[], |(bytes, _)| bytes));
        if actual != section.digest {
            let (section, offset, claimed) = (kind, section.offset, section.digest);
            return Err(FormatError::SectionDigest { section, offset, claimed, actual });
        }
        Ok(found)
    }

    fn required(self, kind: SectionKind) -> Result<Found<'a>, FormatError> {
        self.checked(kind)?.ok_or(FormatError::MissingSection { section: kind })
    }

    fn description(self) -> Result<String, FormatError> {
        let (bytes, offset) = self.required(SectionKind::DESCRIPTION)?;
        let section = SectionKind::DESCRIPTION;
        let (what, claimed, most) = ("the length", bytes.len() as u64, MAX_DESCRIPTION);
        if claimed > most {
            return Err(FormatError::TooMuch { section, offset, what, claimed, most });
        }
        let rule = "it is not UTF-8";
        let text = std::str::from_utf8(bytes);
        let text = text.map_err(|_| FormatError::Malformed { section, offset, rule })?;
        Ok(text.to_owned())
    }
}
