//! The logical id: what the model means, whatever way its masks are spelt and whoever signed it.

use super::types::{Dtype, Role, Section, SectionKind};
use crate::base::hash::Digest;

/// Sections that carry meaning, besides the tensors.
const MEANING: [SectionKind; 5] = [
    SectionKind::DESCRIPTION,
    SectionKind::CLASSES,
    SectionKind::FACTS,
    SectionKind::CALIBRATION,
    SectionKind::ANCHOR,
];

/// The digest of one tensor: a leaf under the logical id.
pub(crate) fn leaf(
    (name, role, dtype, shape): (&str, Role, Dtype, &[usize]),
    mask: &Digest,
    values: &[u8],
) -> Digest {
    let dims: Vec<u8> = shape.iter().flat_map(|&dim| (dim as u64).to_le_bytes()).collect();
    let types = [role.code(), dtype.code()];
    let parts = [name.as_bytes(), &types, &dims, &mask.0, values];
    Digest::of_parts("unlearn esm tensor, version 1", &parts)
}

/// The logical id over the leaves in arena order and the sections that carry meaning.
pub(crate) fn logical<'a>(
    leaves: impl Iterator<Item = &'a Digest>,
    sections: &[Section],
) -> Digest {
    let leaves: Vec<u8> = leaves.flat_map(|leaf| leaf.0).collect();
    let meaning = MEANING.map(|kind| sections.iter().find(|section| section.kind == kind));
    let mut parts = vec![&leaves[..]];
    // A section that is not there is no bytes, which no digest is.
    parts.extend(meaning.iter().map(|found| found.map_or(&[][..], |s| &s.digest.0[..])));
    Digest::of_parts("unlearn esm logical id, version 1", &parts)
}
