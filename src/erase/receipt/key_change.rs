//! The old key's word for a new one.

use serde::{Deserialize, Serialize};

use super::error::ReceiptError;
use super::frame::{self, Frame, Kind};
use super::hex::Hex;
use super::key::{PublicKey, SigningKey};

/// The version of changes of keys that this program writes and reads.
pub const KEY_CHANGE_VERSION: u32 = 1;

/// That a device signs its receipts under another key from now on. The old key signs it: whoever trusts
/// that one has reason to trust the new. It has its place in the chain behind the receipt `after`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyChange {
    /// The version of this layout: [`KEY_CHANGE_VERSION`].
    pub version: u32,
    /// The device.
    pub device: Hex<16>,
    /// The number of the last receipt under the old key; 0 where there is none.
    pub after: u64,
    /// The BLAKE3 digest of that receipt's file.
    pub previous: Option<Hex<32>>,
    /// When, in seconds since 1970 in UTC by the device's clock.
    pub at: u64,
    /// The old public key.
    pub old: Hex<32>,
    /// The new public key.
    pub new: Hex<32>,
}

impl KeyChange {
    /// The file of this change, signed by the old key.
    ///
    /// # Errors
    /// If `old` is not `key`'s public half, `new` is no key or the old one, or `after` and `previous` do
    /// not go together.
    pub fn sign(&self, key: &SigningKey) -> Result<Vec<u8>, ReceiptError> {
        self.check()?;
        let bytes = frame::seal(Kind::KeyChange, &frame::encode(self)?, key)?;
        ClaimedKeyChange::parse(&bytes)?.verify(&key.public())?;
        Ok(bytes)
    }

    fn check(&self) -> Result<PublicKey, ReceiptError> {
        let contradiction = |rule| Err(ReceiptError::Contradiction { rule });
        if self.version != KEY_CHANGE_VERSION {
            let (found, known) = (self.version.into(), KEY_CHANGE_VERSION);
            return Err(ReceiptError::Version { found, known });
        }
        if (self.after == 0) != self.previous.is_none() {
            return contradiction("a change of keys names a receipt by number and digest, or none");
        }
        if self.old == self.new {
            return contradiction("the new key is the old one");
        }
        PublicKey::from_bytes(&self.new.0)
    }
}

/// A change of keys as a file claims it.
pub struct ClaimedKeyChange {
    frame: Frame,
    change: KeyChange,
    new: PublicKey,
}

impl ClaimedKeyChange {
    /// Reads a file.
    ///
    /// # Errors
    /// As [`super::Claimed::parse`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        Self::of(frame::open(bytes)?)
    }

    pub(super) fn of(frame: Frame) -> Result<Self, ReceiptError> {
        let frame = frame.expect(Kind::KeyChange)?;
        let change: KeyChange = frame::decode(&frame.payload, KEY_CHANGE_VERSION)?;
        let new = change.check()?;
        Ok(Self { frame, change, new })
    }

    /// What it says. Nobody vouches for it.
    pub fn change(&self) -> &KeyChange {
        &self.change
    }

    /// The id of the key that it says it is signed under.
    pub fn key_id(&self) -> Hex<8> {
        self.frame.key
    }

    /// Holds the signature against the old key.
    ///
    /// # Errors
    /// If it names another key, or its signature does not hold.
    pub fn verify(self, old: &PublicKey) -> Result<VerifiedKeyChange, ReceiptError> {
        self.frame.verify(old)?;
        if self.change.old.0 != old.to_bytes() {
            let rule = "a change of keys is signed by another key than the one that it takes back";
            return Err(ReceiptError::Contradiction { rule });
        }
        Ok(VerifiedKeyChange { change: self.change, old: *old, new: self.new })
    }
}

/// A change of keys that the old key signed. Only [`ClaimedKeyChange::verify`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedKeyChange {
    change: KeyChange,
    old: PublicKey,
    new: PublicKey,
}

impl VerifiedKeyChange {
    /// What it says.
    pub fn change(&self) -> &KeyChange {
        &self.change
    }

    /// The key whose signature holds.
    pub fn old(&self) -> &PublicKey {
        &self.old
    }

    /// The key that signs from now on.
    pub fn new_key(&self) -> &PublicKey {
        &self.new
    }
}
