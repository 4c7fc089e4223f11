//! Signatures: their place in the file and what they are over. Made and verified elsewhere.

use super::error::FormatError;
use super::limits::{MAX_SIGNATURES, MAX_SIGNER};
use super::types::SectionKind;
use crate::base::bytes::{Reader, ShortRead};
use crate::base::hash::Digest;

const SECTION: SectionKind = SectionKind::SIGNATURES;
const HEAD: usize = 8;
const RECORD: usize = 8 + 32 + 64 + 2 + MAX_SIGNER;
const CONTEXT: &[u8] = b"unlearn esm signature, version 1\0";

/// One signature, Ed25519-shaped. That it is there says nothing: see [`signed_message`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The key that made it.
    pub public_key: [u8; 32],
    /// The signature over [`signed_message`].
    pub bytes: [u8; 64],
    /// Who says to have made it: at most 62 bytes.
    pub signer: heapless::String<MAX_SIGNER>,
}

/// The signatures of one file.
pub type Signatures = heapless::Vec<Signature, MAX_SIGNATURES>;

/// What a signature of the model with this logical id is over.
pub fn signed_message(logical_id: &Digest) -> Vec<u8> {
    [CONTEXT, &logical_id.0].concat()
}

impl Signature {
    /// The first eight bytes of the digest of the public key.
    pub fn key_id(&self) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = Digest::of(&self.public_key).0;
        [a, b, c, d, e, f, g, h]
    }

    fn read(bytes: &[u8], offset: u64) -> Result<Self, FormatError> {
        let malformed = |rule| FormatError::Malformed { section: SECTION, offset, rule };
        let short = |_: ShortRead| malformed("a record is cut");
        let mut reader = Reader::new(bytes);
        let key_id: [u8; 8] = reader.array().map_err(short)?;
        let public_key = reader.array().map_err(short)?;
        let signature = reader.array().map_err(short)?;
        let len = usize::from(reader.u16().map_err(short)?);
        let name = reader.take(MAX_SIGNER).map_err(short)?;
        let (name, padding) =
            name.split_at_checked(len).ok_or_else(|| malformed("a signer's name is too long"))?;
        if padding.iter().any(|&byte| byte != 0) {
            return Err(malformed("the padding after a signer's name is not zero"));
        }
        let name = std::str::from_utf8(name);
        let signer = name.ok().and_then(|name| heapless::String::try_from(name).ok());
        let signer = signer.ok_or_else(|| malformed("a signer's name is not UTF-8"))?;
        let read = Self { public_key, bytes: signature, signer };
        if read.key_id() != key_id {
            return Err(malformed("a key id is not that of its public key"));
        }
        Ok(read)
    }
}

pub(crate) fn encode(signatures: &[Signature]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + signatures.len() * RECORD);
    // At most eight.
    out.extend((signatures.len() as u32).to_le_bytes());
    out.extend([0; 4]);
    for signature in signatures {
        out.extend(signature.key_id());
        out.extend(signature.public_key);
        out.extend(signature.bytes);
        out.extend((signature.signer.len() as u16).to_le_bytes());
        out.extend(signature.signer.as_bytes());
        out.resize(out.len() + MAX_SIGNER - signature.signer.len(), 0);
    }
    out
}

/// The signatures that the section in `bytes`, at `at`, holds.
pub(crate) fn decode(bytes: &[u8], at: u64) -> Result<Signatures, FormatError> {
    let malformed = |rule| FormatError::Malformed { section: SECTION, offset: at, rule };
    let mut reader = Reader::new(bytes);
    let count = reader.u32().map_err(|_| malformed("its head is cut"))?;
    if reader.u32() != Ok(0) {
        return Err(malformed("the reserved word is not zero"));
    }
    if count as usize > MAX_SIGNATURES {
        let (what, most) = ("the number of signatures", MAX_SIGNATURES as u64);
        let (section, claimed) = (SECTION, count.into());
        return Err(FormatError::TooMuch { section, offset: at, what, claimed, most });
    }
    let (claimed, expected) = (bytes.len() as u64, (HEAD + count as usize * RECORD) as u64);
    if claimed != expected {
        let what = "the length";
        return Err(FormatError::Claim { section: SECTION, offset: at, what, claimed, expected });
    }
    let records = bytes[HEAD..].chunks_exact(RECORD).zip(0u64..);
    records.map(|(b, i)| Signature::read(b, at + HEAD as u64 + i * RECORD as u64)).collect()
}
