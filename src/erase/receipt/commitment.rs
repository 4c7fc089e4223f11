//! Who was erased, told to nobody but them.
//!
//! A receipt proves that somebody was in a model, so it must not say who; and a plain digest of a name
//! says it to everybody who can list names. So it holds
//!
//! `commitment = BLAKE3-derive(context, len(nonce) ‖ nonce ‖ len(name) ‖ name)`
//!
//! with a nonce of 32 random bytes that the subject gets and the device forgets. Without the nonce a
//! guess of the name cannot be tested. With it, the subject shows an auditor, who is told both, that a
//! receipt is theirs; no other name and nonce open it. A nonce serves one request: two commitments under
//! one nonce and one name are equal, which would link them.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::error::ReceiptError;
use super::hex::Hex;
use crate::base::entropy::{self, EntropyError};
use crate::base::hash::Digest;

const CONTEXT: &str = "unlearn 2026-11 erasure receipt, commitment to a subject, version 1";

/// 32 random bytes that open one commitment. Wiped when dropped; [`Nonce::reveal`] tells them.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Nonce([u8; 32]);

impl Nonce {
    /// A new one.
    ///
    /// # Errors
    /// If the system has no random bytes to give.
    pub fn draw() -> Result<Self, EntropyError> {
        entropy::bytes().map(Self)
    }

    /// The nonce of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The nonce in `text`, 64 hexadecimal digits.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn parse(text: &str) -> Result<Self, ReceiptError> {
        text.parse::<Hex<32>>().map(|hex| Self(hex.0))
    }

    /// Its 64 hexadecimal digits, for the subject's eyes.
    pub fn reveal(&self) -> String {
        Hex(self.0).to_string()
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(hidden)")
    }
}

/// The commitment to the subject `name` under `nonce`.
pub fn commit(nonce: &Nonce, name: &str) -> Hex<32> {
    Digest::of_parts(CONTEXT, &[&nonce.0, name.as_bytes()]).into()
}

/// Whether `commitment` is to `name` under `nonce`, in a time that does not depend on the answer.
pub fn opens(commitment: &Hex<32>, nonce: &Nonce, name: &str) -> bool {
    Digest::from(commit(nonce, name)).same_in_constant_time(&Digest::from(*commitment))
}
