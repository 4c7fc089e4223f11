//! What can be wrong with a receipt, a key or a chain.

use thiserror::Error;

use super::hex::Hex;
use super::limits::MAX_FILE;

/// Why a receipt is none, says nothing that can be believed, or fits no chain.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Text that is not so many lower-case hexadecimal digits.
    #[error(
        "expected {digits} hexadecimal digits in lower case, found {found} bytes that are not that"
    )]
    NotHex {
        /// Digits that were expected.
        digits: usize,
        /// Bytes of the text.
        found: usize,
    },
    /// Text that is no public key.
    #[error("this is no public key; one is written `unlearn-key-v1:` and 64 hexadecimal digits")]
    NotAKey,
    /// Bytes that are no public key.
    #[error("these 32 bytes are no public key of Ed25519, or one that anybody can sign under")]
    NotAPoint,
    /// A file longer than any receipt.
    #[error("{found} bytes, a receipt has at most {MAX_FILE}: this is something else")]
    TooLong {
        /// Bytes of the file.
        found: usize,
    },
    /// A file that is no COSE_Sign1.
    #[error(
        "this is no signed receipt, or it is damaged (COSE_Sign1, RFC 9052: {reason}); get it again"
    )]
    NotCose {
        /// What the reader of COSE met.
        reason: String,
    },
    /// A header parameter that is missing, unknown or where it must not be.
    #[error("the header {rule}: the file was changed, or another program made it")]
    Header {
        /// What is wrong, as the rest of a sentence about the header.
        rule: &'static str,
    },
    /// A header parameter that is there twice.
    #[error("a header parameter is there twice: the file was changed")]
    DuplicateHeader,
    /// Something of ours that is signed, and not what was expected.
    #[error("this is {found}, expected {expected}")]
    OtherKind {
        /// What it is.
        found: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// Bytes that say the same as others would.
    #[error(
        "{part} is not spelt as this program spells it: the file was changed after it was made"
    )]
    NotCanonical {
        /// Which part of the file.
        part: &'static str,
    },
    /// A payload that is not what it should be.
    #[error("the payload is not right at column {column}: {reason}")]
    Payload {
        /// Where, counted from 1.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A version that this program does not know.
    #[error("version {found}, this program knows version {known}: a newer one can read it")]
    Version {
        /// The version that is claimed.
        found: u64,
        /// The one that is known.
        known: u32,
    },
    /// More of something than may be.
    #[error("{found} {what}, at most {most} may be")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many may be.
        most: usize,
    },
    /// A text that may not be shown.
    #[error("`{field}` {rule}")]
    Text {
        /// Which field.
        field: &'static str,
        /// What is wrong, as the rest of a sentence.
        rule: &'static str,
    },
    /// Hyper-parameters that cannot stand in a receipt.
    #[error("the method's settings cannot stand in a receipt: {rule}")]
    Settings {
        /// Why.
        rule: &'static str,
    },
    /// Fields that cannot be true together.
    #[error("it contradicts itself: {rule}")]
    Contradiction {
        /// In what.
        rule: &'static str,
    },
    /// A receipt that names another key than the one given.
    #[error("signed under key {named}, not under {given}: give the key of the device that made it")]
    OtherKey {
        /// The id of the key that the file names.
        named: Hex<8>,
        /// The id of the key that was given.
        given: Hex<8>,
    },
    /// A signature that does not hold.
    #[error("the signature does not hold: what is signed was changed, or somebody else made it")]
    Signature,
    /// No receipt at all.
    #[error("there is no receipt, so there is no chain")]
    Empty,
    /// A receipt that is not there.
    #[error("receipt {expected} is missing: the next one given is {found}")]
    Missing {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// A receipt that comes too late or too early.
    #[error(
        "receipt {found} stands where {expected} is due: two were swapped, or one is there twice"
    )]
    OutOfOrder {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// A receipt that follows another one than the one before it.
    #[error(
        "{what} follows a file with digest {claimed}, but the receipt before it has digest {actual}: \
         one of the two was replaced"
    )]
    OtherPrevious {
        /// Which file.
        what: String,
        /// The digest that it names.
        claimed: Hex<32>,
        /// The digest of the receipt before.
        actual: Hex<32>,
    },
    /// A receipt of another device.
    #[error("{what} is of device {found}, those before it are of {expected}")]
    OtherDevice {
        /// Which file.
        what: String,
        /// The device of those before.
        expected: Hex<16>,
        /// The device that it names.
        found: Hex<16>,
    },
    /// A receipt under a key that nobody handed over to.
    #[error("{what} is under key {found}, due is {expected}, and no change of keys stands between")]
    OtherKeyInChain {
        /// Which file.
        what: String,
        /// The id of the key that was due.
        expected: Hex<8>,
        /// The id of the key that signed.
        found: Hex<8>,
    },
}
