//! The envelope: COSE_Sign1 (RFC 9052), tagged, with one spelling.
//!
//! Protected header: algorithm EdDSA (RFC 9053, Ed25519), content type, key id. Unprotected header:
//! empty. What is signed also holds a context of ours as external additional data, so that no signature
//! made for another purpose is taken for one of these. The envelope is put together anew from what was
//! read and must give the same bytes: a bit that nobody signed has nowhere to be.

use coset::{
    Algorithm, ContentType, CoseError, CoseSign1, CoseSign1Builder, Header, HeaderBuilder,
    TaggedCborSerializable, iana,
};
use serde::{Serialize, de::DeserializeOwned};

use super::error::ReceiptError;
use super::hex::Hex;
use super::key::{PublicKey, SigningKey};
use super::limits::MAX_FILE;

/// Characters that are told of what somebody else's parser says.
const MAX_REASON: usize = 160;

/// What an envelope is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Receipt,
    KeyChange,
}

impl Kind {
    fn content_type(self) -> &'static str {
        match self {
            Self::Receipt => "application/vnd.unlearn.receipt-v1+json",
            Self::KeyChange => "application/vnd.unlearn.key-change-v1+json",
        }
    }

    fn context(self) -> &'static [u8] {
        match self {
            Self::Receipt => b"unlearn erasure receipt, version 1",
            Self::KeyChange => b"unlearn change of receipt keys, version 1",
        }
    }

    fn told(self) -> &'static str {
        match self {
            Self::Receipt => "an erasure receipt",
            Self::KeyChange => "a change of keys",
        }
    }

    fn header(self, key: Hex<8>) -> Header {
        HeaderBuilder::new()
            .algorithm(iana::Algorithm::EdDSA)
            .content_type(self.content_type().into())
            .key_id(key.0.into())
            .build()
    }
}

/// An envelope whose spelling was checked, and whose signature was not.
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) payload: Vec<u8>,
    pub(super) key: Hex<8>,
    signed: Vec<u8>,
    signature: [u8; 64],
}

/// Puts `payload` into an envelope under `key`.
pub(super) fn seal(kind: Kind, payload: &[u8], key: &SigningKey) -> Result<Vec<u8>, ReceiptError> {
    let header = kind.header(key.public().id());
    let envelope = CoseSign1Builder::new().protected(header).payload(payload.into());
    let envelope = envelope.create_signature(kind.context(), |signed| key.sign(signed).into());
    let bytes = envelope.build().to_tagged_vec().map_err(not_cose)?;
    bounded(&bytes)?;
    Ok(bytes)
}

/// Takes an envelope apart.
pub(super) fn open(bytes: &[u8]) -> Result<Frame, ReceiptError> {
    bounded(bytes)?;
    let envelope = CoseSign1::from_tagged_slice(bytes).map_err(not_cose)?;
    let (kind, key) = read_header(&envelope)?;
    let header = |rule| ReceiptError::Header { rule };
    let signed = envelope.tbs_data(kind.context());
    let payload = envelope.payload.ok_or_else(|| header("stands over no payload"))?;
    let signature: Result<[u8; 64], _> = envelope.signature.as_slice().try_into();
    let signature = signature.map_err(|_| header("is followed by no signature of 64 bytes"))?;
    let again = CoseSign1Builder::new().protected(kind.header(key)).payload(payload.clone());
    let again = again.signature(signature.into()).build().to_tagged_vec().map_err(not_cose)?;
    if again != bytes {
        return Err(ReceiptError::NotCanonical { part: "the envelope" });
    }
    Ok(Frame { kind, payload, key, signed, signature })
}

impl Frame {
    /// Refuses an envelope of another kind.
    pub(super) fn expect(self, kind: Kind) -> Result<Self, ReceiptError> {
        let (found, expected) = (self.kind.told(), kind.told());
        if self.kind == kind { Ok(self) } else { Err(ReceiptError::OtherKind { found, expected }) }
    }

    /// Holds the signature against `key`.
    pub(super) fn verify(&self, key: &PublicKey) -> Result<(), ReceiptError> {
        let (named, given) = (self.key, key.id());
        if named != given {
            return Err(ReceiptError::OtherKey { named, given });
        }
        match key.verifies(&self.signed, &self.signature) {
            true => Ok(()),
            false => Err(ReceiptError::Signature),
        }
    }
}

fn bounded(bytes: &[u8]) -> Result<(), ReceiptError> {
    match bytes.len() {
        0..=MAX_FILE => Ok(()),
        found => Err(ReceiptError::TooLong { found }),
    }
}

/// What the headers say, which must be what ours say and nothing else.
fn read_header(envelope: &CoseSign1) -> Result<(Kind, Hex<8>), ReceiptError> {
    let wrong = |rule| Err(ReceiptError::Header { rule });
    if !envelope.unprotected.is_empty() {
        return wrong("has parameters outside of what is signed");
    }
    let Header { alg, content_type, key_id, crit, iv, partial_iv, counter_signatures, rest } =
        &envelope.protected.header;
    if alg.as_ref() != Some(&Algorithm::Assigned(iana::Algorithm::EdDSA)) {
        return wrong("names another algorithm than EdDSA, or none");
    }
    let others = [crit.is_empty(), iv.is_empty(), partial_iv.is_empty()];
    if others.contains(&false) || !counter_signatures.is_empty() || !rest.is_empty() {
        return wrong("has a parameter that no receipt has");
    }
    let Some(ContentType::Text(content)) = content_type else {
        return wrong("names no content type");
    };
    let kinds = [Kind::Receipt, Kind::KeyChange];
    let Some(kind) = kinds.into_iter().find(|kind| kind.content_type() == content) else {
        return wrong("names a content type that this program does not know");
    };
    match key_id.as_slice().try_into() {
        Ok(id) => Ok((kind, Hex(id))),
        Err(_) => wrong("names no key by eight bytes"),
    }
}

fn not_cose(error: CoseError) -> ReceiptError {
    match error {
        CoseError::DuplicateMapKey => ReceiptError::DuplicateHeader,
        other => ReceiptError::NotCose { reason: shown(&other.to_string()) },
    }
}

/// Foreign words, which may quote the file, fit for a terminal.
fn shown(text: &str) -> String {
    text.chars().take(MAX_REASON).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn unreadable(error: &serde_json::Error) -> ReceiptError {
    ReceiptError::Payload { column: error.column(), reason: shown(&error.to_string()) }
}

/// The bytes of a payload: JSON without white space, fields in the order of their declaration.
pub(super) fn encode(value: &impl Serialize) -> Result<Vec<u8>, ReceiptError> {
    serde_json::to_vec(value).map_err(|error| unreadable(&error))
}

/// The value that a payload of version `known` spells, if it has the one spelling that there is.
pub(super) fn decode<T: Serialize + DeserializeOwned>(
    payload: &[u8],
    known: u32,
) -> Result<T, ReceiptError> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u64,
    }
    // Before the fields: a later version may have others.
    let versioned: Versioned = serde_json::from_slice(payload).map_err(|e| unreadable(&e))?;
    if versioned.version != u64::from(known) {
        return Err(ReceiptError::Version { found: versioned.version, known });
    }
    let value: T = serde_json::from_slice(payload).map_err(|e| unreadable(&e))?;
    match encode(&value)? == payload {
        true => Ok(value),
        false => Err(ReceiptError::NotCanonical { part: "the payload" }),
    }
}
