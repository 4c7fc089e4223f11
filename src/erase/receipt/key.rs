//! The key that signs a device's receipts, and its public half.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer, VerifyingKey};

use super::error::ReceiptError;
use super::hex::Hex;
use crate::base::hash::Digest;

/// How the text of a public key begins.
const PREFIX: &str = "unlearn-key-v1:";

/// A device's public key for receipts (Ed25519, 32 bytes).
///
/// Its text is `unlearn-key-v1:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// The key in these 32 bytes.
    ///
    /// # Errors
    /// If they are no point of the curve, or one of the few under which anybody can sign.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, ReceiptError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| ReceiptError::NotAPoint)?;
        if key.is_weak() { Err(ReceiptError::NotAPoint) } else { Ok(Self(key)) }
    }

    /// Its 32 bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The first eight bytes of the BLAKE3 digest of its 32: what a receipt names its key by.
    pub fn id(&self) -> Hex<8> {
        let [a, b, c, d, e, f, g, h, ..] = Digest::of(self.0.as_bytes()).0;
        Hex([a, b, c, d, e, f, g, h])
    }

    /// Whether `signature` over `message` is this key's. Strict: one signature has one spelling.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", Hex(self.to_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

impl FromStr for PublicKey {
    type Err = ReceiptError;

    fn from_str(text: &str) -> Result<Self, ReceiptError> {
        let digits = text.strip_prefix(PREFIX).ok_or(ReceiptError::NotAKey)?;
        Self::from_bytes(&digits.parse::<Hex<32>>()?.0)
    }
}

/// The secret key that signs a device's receipts. Wiped from memory when it is dropped; never printed.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of these 32 secret bytes, which are the caller's to draw ([`crate::base::entropy`]), to
    /// keep sealed and to wipe.
    pub fn from_bytes(secret: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(secret))
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The signature over `message`: the same for the same message.
    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().id())
    }
}
