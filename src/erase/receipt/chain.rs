//! Receipts in a row: none missing, none swapped, none replaced.
//!
//! What a chain cannot show is that its end is the end: a ledger whose last receipts are withheld is a
//! chain still. Who needs to know asks the device for its [`Head`], or keeps the last one seen.

use super::error::ReceiptError;
use super::hex::Hex;
use super::key::PublicKey;
use super::key_change::VerifiedKeyChange;
use super::signed::Verified;
use crate::base::hash::Digest;

/// The end of a chain: what the next receipt must follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the last receipt.
    pub sequence: u64,
    /// The digest of its file.
    pub hash: Digest,
    /// The device.
    pub device: Hex<16>,
    /// The key that signs the next one.
    pub key: PublicKey,
}

/// A chain from its first receipt on, as far as it was followed.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    sequence: u64,
    hash: Option<Digest>,
    device: Option<Hex<16>>,
    key: Option<PublicKey>,
}

impl Chain {
    /// The chain with the next receipt.
    ///
    /// # Errors
    /// If it is not the next one: another number, another file before it, another device or another
    /// key. The chain is then as it was.
    pub fn receipt(&mut self, next: &Verified) -> Result<(), ReceiptError> {
        let receipt = next.receipt();
        let (expected, found) = (self.sequence.saturating_add(1), receipt.sequence);
        let what = || format!("receipt {found}");
        self.same_owner(receipt.device, next.key(), &what)?;
        if found > expected {
            return Err(ReceiptError::Missing { expected, found });
        }
        if found < expected {
            return Err(ReceiptError::OutOfOrder { expected, found });
        }
        self.follows(receipt.previous, &what)?;
        let (device, key) = (Some(receipt.device), Some(*next.key()));
        *self = Self { sequence: found, hash: Some(next.hash()), device, key };
        Ok(())
    }

    /// The chain with a change of keys behind its last receipt.
    ///
    /// # Errors
    /// If it stands behind another receipt, is another device's, or takes back another key.
    pub fn key_change(&mut self, change: &VerifiedKeyChange) -> Result<(), ReceiptError> {
        let said = change.change();
        let what = || format!("the change of keys after receipt {}", said.after);
        self.same_owner(said.device, change.old(), &what)?;
        let (after, here) = (said.after, self.sequence);
        if after > here {
            return Err(ReceiptError::Missing { expected: here.saturating_add(1), found: after });
        }
        if after < here {
            return Err(ReceiptError::OutOfOrder { expected: here, found: after });
        }
        self.follows(said.previous, &what)?;
        (self.device, self.key) = (Some(said.device), Some(*change.new_key()));
        Ok(())
    }

    /// Its end; none before the first receipt.
    pub fn head(&self) -> Option<Head> {
        let (hash, device, key) = (self.hash?, self.device?, self.key?);
        Some(Head { sequence: self.sequence, hash, device, key })
    }

    /// Refuses another device's file, and another key's.
    fn same_owner(
        &self,
        device: Hex<16>,
        key: &PublicKey,
        what: &dyn Fn() -> String,
    ) -> Result<(), ReceiptError> {
        match self.device {
            Some(expected) if expected != device => {
                return Err(ReceiptError::OtherDevice { what: what(), expected, found: device });
            }
            _ => {}
        }
        match self.key {
            Some(due) if due != *key => {
                let (expected, found) = (due.id(), key.id());
                Err(ReceiptError::OtherKeyInChain { what: what(), expected, found })
            }
            _ => Ok(()),
        }
    }

    /// Refuses a file that follows another than the last one.
    fn follows(
        &self,
        previous: Option<Hex<32>>,
        what: &dyn Fn() -> String,
    ) -> Result<(), ReceiptError> {
        match (self.hash.map(Hex::from), previous) {
            (Some(actual), Some(claimed)) if actual != claimed => {
                Err(ReceiptError::OtherPrevious { what: what(), claimed, actual })
            }
            // That only the first follows none was checked in each file, and its number above.
            _ => Ok(()),
        }
    }
}

/// Holds receipts against each other, in the order in which they were made and under one key. A chain
/// over a change of keys is followed with [`Chain`].
///
/// # Errors
/// Where it breaks: the first receipt that is missing, out of its place, follows another file than the
/// one before it, or is of another device or key. No receipts are no chain.
pub fn verify_chain(receipts: &[Verified]) -> Result<Head, ReceiptError> {
    let mut chain = Chain::default();
    for (index, next) in receipts.iter().enumerate() {
        chain.receipt(next).map_err(|error| match error {
            ReceiptError::Missing { expected, found }
                if receipts[index..].iter().any(|later| later.receipt().sequence == expected) =>
            {
                ReceiptError::OutOfOrder { expected, found }
            }
            error => error,
        })?;
    }
    chain.head().ok_or(ReceiptError::Empty)
}
