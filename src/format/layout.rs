//! The preamble and the directory: which sections there are and where.
//!
//! [`RawSection`] is what the bytes claim; a [`Section`] was held against the file.

use super::error::FormatError;
use super::limits::{MAX_SECTIONS, section_start};
use super::types::{Section, SectionKind};
use crate::base::bytes::{Reader, ShortRead};
use crate::base::hash::Digest;

/// The first bytes of every file. The high bit and the line ends show what a text channel spoilt.
pub const MAGIC: [u8; 8] = [0x89, b'E', b'S', b'M', 0x0d, 0x0a, 0x1a, 0x0a];
/// The version that this program writes and reads.
pub const VERSION: u16 = 1;

const PREAMBLE: usize = 64;
const ENTRY: usize = 64;
/// The flag of a section that a reader must understand.
const REQUIRED: u32 = 1;

/// A directory entry as the bytes claim it.
struct RawSection {
    kind: u32,
    flags: u32,
    offset: u64,
    len: u64,
    reserved: u64,
    digest: Digest,
}

impl RawSection {
    fn read(reader: &mut Reader<'_>) -> Result<Self, ShortRead> {
        Ok(Self {
            kind: reader.u32()?,
            flags: reader.u32()?,
            offset: reader.u64()?,
            len: reader.u64()?,
            reserved: reader.u64()?,
            digest: Digest(reader.array()?),
        })
    }

    /// Holds the entry at `at` against the section before it, which ends at `end`.
    fn check(self, at: u64, before: Option<u32>, end: u64) -> Result<Section, FormatError> {
        let kind = SectionKind(self.kind);
        let claim = |what, claimed, expected| {
            Err(FormatError::Claim { section: kind, offset: at, what, claimed, expected })
        };
        if let Some(before) = before.filter(|before| *before >= self.kind) {
            let after = u64::from(before).saturating_add(1);
            return claim("number of the section, which must ascend,", self.kind.into(), after);
        }
        let required = match kind.known() {
            Some((_, required)) => u32::from(required),
            None if self.flags & REQUIRED != 0 => {
                return Err(FormatError::UnknownSection { kind: self.kind, offset: self.offset });
            }
            None => 0,
        };
        if self.flags != required {
            return claim("flags", self.flags.into(), required.into());
        }
        if self.reserved != 0 {
            return claim("the reserved word", self.reserved, 0);
        }
        if self.len == 0 {
            return claim("length", 0, 1);
        }
        let expected = section_start(end, self.len).unwrap_or(u64::MAX);
        if self.offset != expected {
            return claim("offset", self.offset, expected);
        }
        Ok(Section { kind, offset: self.offset, len: self.len, digest: self.digest })
    }
}

/// Holds preamble and directory against the whole file, and gives its sections.
///
/// The bytes of a section are not looked at. Every section lies inside the file, after the one
/// before it, with nothing between them but padding.
pub(crate) fn check(file: &[u8]) -> Result<Vec<Section>, FormatError> {
    check_magic(file)?;
    let short = |_: ShortRead| FormatError::FileLength { claimed: 0, actual: file.len() as u64 };
    let mut reader = Reader::new(file);
    reader.take(MAGIC.len()).map_err(short)?;
    let (version, reserved) = (reader.u16().map_err(short)?, reader.u16().map_err(short)?);
    if version != VERSION {
        return Err(FormatError::Version { found: version, known: VERSION });
    }
    if reserved != 0 {
        return Err(FormatError::Reserved { found: reserved });
    }
    let features = reader.u32().map_err(short)?;
    if features != 0 {
        return Err(FormatError::Features { bits: features });
    }
    // Bits of compatible features: a reader that does not know them loses nothing.
    reader.u32().map_err(short)?;
    let sections = reader.u32().map_err(short)?;
    let claimed = reader.u64().map_err(short)?;
    if claimed != file.len() as u64 {
        return Err(FormatError::FileLength { claimed, actual: file.len() as u64 });
    }
    let (section, offset, most) = (SectionKind::TABLE, 20, MAX_SECTIONS.into());
    if sections > MAX_SECTIONS {
        let (what, claimed) = ("the number of sections", sections.into());
        return Err(FormatError::TooMuch { section, offset, what, claimed, most });
    }
    let digest = Digest(reader.array().map_err(short)?);
    let directory = reader.take(sections as usize * ENTRY).map_err(short)?;
    let actual = header_digest(&file[..32], directory);
    if digest != actual {
        return Err(FormatError::HeaderDigest { claimed: digest, actual });
    }
    check_directory(directory, file.len() as u64)
}

fn check_magic(file: &[u8]) -> Result<(), FormatError> {
    let found = &file[..file.len().min(MAGIC.len())];
    if found.is_empty() || found != &MAGIC[..found.len()] {
        return Err(FormatError::NotEsm { found: found.to_vec(), expected: MAGIC });
    }
    Ok(())
}

fn header_digest(preamble: &[u8], directory: &[u8]) -> Digest {
    Digest::of_parts("unlearn esm header, version 1", &[preamble, directory])
}

fn check_directory(directory: &[u8], file_len: u64) -> Result<Vec<Section>, FormatError> {
    let mut sections: Vec<Section> = Vec::with_capacity(directory.len() / ENTRY);
    let mut end = (PREAMBLE + directory.len()) as u64;
    for (i, entry) in directory.chunks_exact(ENTRY).enumerate() {
        let at = (PREAMBLE + i * ENTRY) as u64;
        let short = |_: ShortRead| FormatError::FileLength { claimed: file_len, actual: at };
        let raw = RawSection::read(&mut Reader::new(entry)).map_err(short)?;
        let before = sections.last().map(|section| section.kind.0);
        let section = raw.check(at, before, end)?;
        end = section.offset.saturating_add(section.len);
        if end > file_len {
            let (section, offset, claimed) = (section.kind, at, end);
            let what = "the end of the section";
            return Err(FormatError::TooMuch { section, offset, what, claimed, most: file_len });
        }
        sections.push(section);
    }
    if let Some(last) = sections.last().filter(|_| end != file_len) {
        let (section, what) = (last.kind, "the end of the last section");
        let (offset, claimed) = (last.offset, end);
        return Err(FormatError::Claim { section, offset, what, claimed, expected: file_len });
    }
    Ok(sections)
}

/// Holds the bytes between sections, which must be zero, against that.
pub(crate) fn check_padding(file: &[u8], sections: &[Section]) -> Result<(), FormatError> {
    let mut end = (PREAMBLE + sections.len() * ENTRY) as u64;
    for section in sections {
        // Both lie inside the file, which is in memory: `check` held them.
        let between = &file[end as usize..section.offset as usize];
        if let Some(i) = between.iter().position(|&byte| byte != 0) {
            return Err(FormatError::Claim {
                section: section.kind,
                offset: end + i as u64,
                what: "the padding before the section",
                claimed: between[i].into(),
                expected: 0,
            });
        }
        end = section.offset + section.len;
    }
    Ok(())
}

/// A file that holds `sections`, which ascend and are not empty.
pub(crate) fn assemble(sections: &[(SectionKind, Vec<u8>)]) -> Vec<u8> {
    let mut directory = Vec::with_capacity(sections.len() * ENTRY);
    let mut body: Vec<u8> = Vec::new();
    let first = (PREAMBLE + sections.len() * ENTRY) as u64;
    for (kind, bytes) in sections {
        let end = first + body.len() as u64;
        // Nothing that fits in memory comes near the end of a u64.
        let offset = section_start(end, bytes.len() as u64).unwrap_or(u64::MAX);
        body.resize((offset - first) as usize, 0);
        body.extend(bytes);
        let required = kind.known().is_some_and(|(_, required)| required);
        directory.extend(kind.0.to_le_bytes());
        directory.extend(u32::from(required).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend((bytes.len() as u64).to_le_bytes());
        directory.extend(0u64.to_le_bytes());
        directory.extend(Digest::of(bytes).0);
    }
    let mut file = Vec::with_capacity(PREAMBLE + directory.len() + body.len());
    file.extend(MAGIC);
    file.extend(VERSION.to_le_bytes());
    file.extend([0; 2 + 4 + 4]);
    file.extend((sections.len() as u32).to_le_bytes());
    file.extend((first + body.len() as u64).to_le_bytes());
    file.extend(header_digest(&file, &directory).0);
    file.extend(directory);
    file.extend(body);
    file
}
