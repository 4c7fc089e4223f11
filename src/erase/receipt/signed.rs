//! From a receipt to a file and back: [`Signed`], [`Claimed`], [`Verified`].

use super::error::ReceiptError;
use super::fields::{Receipt, VERSION};
use super::frame::{self, Frame, Kind};
use super::hex::Hex;
use super::key::{PublicKey, SigningKey};
use crate::base::hash::Digest;

/// A receipt that was just signed.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The file.
    pub bytes: Vec<u8>,
    /// What it says.
    pub receipt: Receipt,
    /// The BLAKE3 digest of the file, which the next receipt names.
    pub hash: Digest,
}

impl Receipt {
    /// Signs the receipt. The same receipt and key give the same bytes.
    ///
    /// # Errors
    /// What [`Receipt::check`] finds; and if the file would not verify, which would be a fault here or
    /// of the machine: nobody should get such a receipt.
    pub fn sign(self, key: &SigningKey) -> Result<Signed, ReceiptError> {
        self.check()?;
        let bytes = frame::seal(Kind::Receipt, &frame::encode(&self)?, key)?;
        let verified = Claimed::parse(&bytes)?.verify(&key.public())?;
        Ok(Signed { receipt: verified.receipt, hash: verified.hash, bytes })
    }
}

/// A receipt as a file claims it: well-formed, and anybody may have written it.
pub struct Claimed {
    frame: Frame,
    receipt: Receipt,
    hash: Digest,
}

impl Claimed {
    /// Reads a file.
    ///
    /// # Errors
    /// If it is none, is too long, is spelt otherwise than [`Receipt::sign`] spells, or says what a
    /// receipt may not say.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        Self::of(frame::open(bytes)?, bytes)
    }

    pub(super) fn of(frame: Frame, bytes: &[u8]) -> Result<Self, ReceiptError> {
        let frame = frame.expect(Kind::Receipt)?;
        let receipt: Receipt = frame::decode(&frame.payload, VERSION)?;
        receipt.check()?;
        Ok(Self { frame, receipt, hash: Digest::of(bytes) })
    }

    /// What it says. Nobody vouches for it.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// The id of the key that it says it is signed under.
    pub fn key_id(&self) -> Hex<8> {
        self.frame.key
    }

    /// The BLAKE3 digest of the file.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// Holds the signature against the key of the device.
    ///
    /// # Errors
    /// If it names another key, or its signature does not hold.
    pub fn verify(self, key: &PublicKey) -> Result<Verified, ReceiptError> {
        self.frame.verify(key)?;
        Ok(Verified { receipt: self.receipt, hash: self.hash, key: *key })
    }
}

/// A receipt that the holder of a key signed. Only [`Claimed::verify`] makes one.
#[derive(Clone, Debug)]
pub struct Verified {
    receipt: Receipt,
    hash: Digest,
    key: PublicKey,
}

impl Verified {
    /// What it says, on the word of whoever holds the key.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// The key whose signature holds.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The BLAKE3 digest of the file.
    pub fn hash(&self) -> Digest {
        self.hash
    }
}
