//! What a file may at most claim. Constants: no file can raise them.

/// Sections in one file.
pub const MAX_SECTIONS: u32 = 32;
/// Tensors in one file.
pub const MAX_TENSORS: u32 = 65_536;
/// Bytes in the name of a tensor, a class or a calibration table.
pub const MAX_NAME: usize = 128;
/// Dimensions of a tensor.
pub const MAX_RANK: usize = 6;
/// Bytes of network description.
pub const MAX_DESCRIPTION: u64 = 256 * 1024;
/// Class names.
pub const MAX_CLASSES: usize = 65_536;
/// Facts, parameters of a feature extraction, calibration tables: entries of one list.
pub const MAX_ENTRIES: usize = 1024;
/// Bytes in the value of one fact or parameter.
pub const MAX_TEXT: usize = 4096;
/// Numbers in one calibration table.
pub const MAX_CALIBRATION_VALUES: usize = 65_536;
/// Samples in an anchor set.
pub const MAX_ANCHOR_SAMPLES: u32 = 1 << 20;
/// Signatures in one file.
pub const MAX_SIGNATURES: usize = 8;
/// Bytes in the name of a signer.
pub const MAX_SIGNER: usize = 62;

/// A section of at least this many bytes starts on a page, a smaller one on a cache line.
pub const PAGED_FROM: u64 = 64 * 1024;
/// A page, in bytes: what large sections are aligned to.
pub const PAGE: u64 = 4096;
/// A cache line, in bytes: what small sections and large payloads are aligned to.
pub const LINE: u64 = 64;
/// A payload of at least this many bytes starts on a cache line inside its section, a smaller one
/// on a multiple of [`WORD`].
pub const LINED_FROM: u64 = 1024;
/// What small payloads are aligned to.
pub const WORD: u64 = 4;

/// Where a section of `len` bytes starts when what precedes it ends at `end`.
pub(crate) fn section_start(end: u64, len: u64) -> Option<u64> {
    end.checked_next_multiple_of(if len >= PAGED_FROM { PAGE } else { LINE })
}

/// Where a payload of `len` bytes starts, inside its section, when what precedes it ends at `end`.
pub(crate) fn payload_start(end: u64, len: u64) -> Option<u64> {
    end.checked_next_multiple_of(if len >= LINED_FROM { LINE } else { WORD })
}
