//! What is to be written: a draft, and the one verb that makes a file of it.

use super::anchor::AnchorSet;
use super::error::FormatError;
use super::limits::{MAX_DESCRIPTION, MAX_TENSORS};
use super::prepare::{Prepared, prepare};
use super::sign::{self, Signatures};
use super::small::{self, Calibration, ClassesAndFeatures, Facts};
use super::table::Placer;
use super::types::{Kind, SectionKind, TensorIn};
use super::{layout, record};

/// A model on its way into a file. Equal drafts give equal bytes.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    description: &'a str,
    tensors: Vec<TensorIn<'a>>,
    classes: ClassesAndFeatures,
    facts: Facts,
    anchor: Option<AnchorSet>,
    calibration: Option<Calibration>,
    signatures: Signatures,
}

impl<'a> Draft<'a> {
    /// A model of the network that `description` says: 1 byte to 256 KiB of text.
    pub fn new(description: &'a str) -> Self {
        Self {
            description,
            tensors: Vec::new(),
            classes: ClassesAndFeatures::default(),
            facts: Facts::default(),
            anchor: None,
            calibration: None,
            signatures: Signatures::new(),
        }
    }

    /// Adds the next tensor in arena order. It is looked at by [`Draft::encode`].
    pub fn tensor(mut self, tensor: TensorIn<'a>) -> Self {
        self.tensors.push(tensor);
        self
    }

    /// Sets class names and feature extraction.
    pub fn classes(mut self, classes: ClassesAndFeatures) -> Self {
        self.classes = classes;
        self
    }

    /// Sets the training facts.
    pub fn facts(mut self, facts: Facts) -> Self {
        self.facts = facts;
        self
    }

    /// Sets the anchor set.
    pub fn anchor(mut self, anchor: AnchorSet) -> Self {
        self.anchor = Some(anchor);
        self
    }

    /// Sets the calibration tables.
    pub fn calibration(mut self, calibration: Calibration) -> Self {
        self.calibration = Some(calibration);
        self
    }

    /// Sets the signatures, which the logical id does not depend on.
    pub fn signatures(mut self, signatures: Signatures) -> Self {
        self.signatures = signatures;
        self
    }

    /// The bytes of the file. Refuses whatever a reader would refuse.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        self.check_sizes()?;
        let prepared = prepare(&self.tensors)?;
        let (table, [masks, packed, dense]) = lay_out(prepared)?;
        let classes = self.classes.classes.len();
        let anchor = self.anchor.as_ref().map(|set| set.encode(classes)).transpose()?;
        let calibration = self.calibration.as_ref().map(small::encode).transpose()?;
        let signed = !self.signatures.is_empty();
        let signatures = signed.then(|| sign::encode(&self.signatures));
        let sections = [
            (SectionKind::TABLE, table),
            (SectionKind::DESCRIPTION, self.description.as_bytes().to_vec()),
            (SectionKind::CLASSES, small::encode(&self.classes)?),
            (SectionKind::FACTS, small::encode(&self.facts)?),
            (SectionKind::CALIBRATION, calibration.unwrap_or_default()),
            (SectionKind::SIGNATURES, signatures.unwrap_or_default()),
            (SectionKind::MASKS, masks),
            (SectionKind::PACKED, packed),
            (SectionKind::DENSE, dense),
            (SectionKind::ANCHOR, anchor.unwrap_or_default()),
        ];
        let present: Vec<_> = sections.into_iter().filter(|(_, b)| !b.is_empty()).collect();
        Ok(layout::assemble(&present))
    }

    fn check_sizes(&self) -> Result<(), FormatError> {
        let too_much = |section, what, claimed, most| {
            Err(FormatError::TooMuch { section, offset: 0, what, claimed, most })
        };
        let len = self.description.len() as u64;
        if len > MAX_DESCRIPTION {
            return too_much(SectionKind::DESCRIPTION, "the length", len, MAX_DESCRIPTION);
        }
        if len == 0 {
            let (section, rule) = (SectionKind::DESCRIPTION, "it is empty");
            return Err(FormatError::Malformed { section, offset: 0, rule });
        }
        let (tensors, most) = (self.tensors.len() as u64, u64::from(MAX_TENSORS));
        if tensors > most {
            return too_much(SectionKind::TABLE, "the number of tensors", tensors, most);
        }
        Ok(())
    }
}

/// The table, and the sections of masks, packed and dense values.
fn lay_out(mut prepared: Vec<Prepared>) -> Result<(Vec<u8>, [Vec<u8>; 3]), FormatError> {
    let [mut masks, mut packed, mut dense] = [const { Vec::new() }; 3];
    let mut placer = Placer::default();
    for Prepared { record, mask, values, .. } in &mut prepared {
        let rule = "the file would be longer than 2^64 bytes";
        let tensor = || record.name.to_string();
        let too_long = || FormatError::TensorRule { tensor: tensor(), offset: 0, rule };
        let (values_at, mask_at) = placer.place(record).ok_or_else(too_long)?;
        (record.values_at, record.mask_at) = (values_at, mask_at);
        let section = if record.kind == Kind::Dense { &mut dense } else { &mut packed };
        append(section, values_at, values);
        append(&mut masks, mask_at, mask);
    }
    let hash = |p: &Prepared| record::name_hash(&p.record.name);
    prepared.sort_by(|a, b| (hash(a), &a.record.name).cmp(&(hash(b), &b.record.name)));
    let names: String = prepared.iter().map(|p| &*p.record.name).collect();
    let mut table = Vec::new();
    // At most 65,536 tensors, and names of at most 128 bytes: both fit 32 bits.
    table.extend((prepared.len() as u32).to_le_bytes());
    table.extend((names.len() as u32).to_le_bytes());
    let mut name_at = 0;
    for Prepared { record, .. } in &prepared {
        record.write(name_at, &mut table);
        name_at += record.name.len() as u32;
    }
    table.extend(names.as_bytes());
    Ok((table, [masks, packed, dense]))
}

fn append(section: &mut Vec<u8>, at: u64, payload: &[u8]) {
    if !payload.is_empty() {
        section.resize(at as usize, 0);
        section.extend(payload);
    }
}
