//! Receipts: what an auditor can check, offline, with a public key and nothing else.
//!
//! A [`Receipt`] says what a device did about requests to erase: when, by what method, with what
//! guarantee, on how strong evidence, and what it does not cover. It says nothing of the person: each is
//! a [commitment](commit) that only the nonce they were handed opens. A file is a COSE_Sign1 envelope
//! (RFC 9052, EdDSA) around JSON with one spelling, and any COSE library can check it: content type
//! `application/vnd.unlearn.receipt-v1+json`, external additional data `unlearn erasure receipt, version
//! 1`, key id the first eight bytes of the BLAKE3 digest of the public key.
//!
//! Two types stand at the door: [`Claimed`] is what a file says, [`Verified`] what the holder of a key
//! said. Receipts are numbered from 1 and each names the digest of the file before it, so that none can
//! be left out or replaced within a [`Chain`]. Imports `base`, and `format` for the types of weights.
//!
//! # How a third party comes to trust the key
//!
//! A signature proves that the key's holder said something, not that it is true, nor whose key it is.
//!
//! - **Enrolment.** The key is made on the device when its home is. The operator reads the public key
//!   off the device where nobody can change it on the way (at the bench, before the device is handed
//!   over), notes it with the device's id, and publishes that list under a name of the operator's own.
//!   An auditor takes the key from the list, never from whoever shows the receipt. Where nobody did
//!   this, the first key seen may be kept and later ones held against it: that detects a change, and does
//!   not tell who had the key at first.
//! - **Rotation.** A [`KeyChange`] names the new key and is signed by the old one. It stands in the chain
//!   behind the last receipt under the old key, so that an old key that leaks later cannot add a change
//!   behind a receipt that others have already seen followed. Who trusts the old key follows it.
//! - **Loss.** A key that is gone signs no change. Receipts made under it stay as good as they were. The
//!   device makes a new home with a new id, and the operator enrols it anew and says so: a break that is
//!   visible is better than a second way to replace a key.
//! - **Theft.** Whoever has the key can sign anything, past dates included. Receipts that others hold
//!   (the subjects, the operator, a witness) stay evidence, because no other chain has their digests.
//!   The operator strikes the key from the list, with the number of the last receipt known to be good.
//! - **What the key cannot show.** A device that lies, or whose software was changed, signs lies. The
//!   receipt names the program's version; that it ran is for an attestation outside of this file.
//!
//! # What time means without a clock battery
//!
//! Moments are the device's word. Many boards start in 1970 or at the time of their last shutdown until
//! the network sets the clock. So the order of receipts is in their numbers and digests, not in their
//! moments. If the clock was seen to go backwards during an erasure, the receipt says so and no order is
//! demanded of its moments; a jump forwards cannot be told from time without power. A deadline is kept by
//! that same clock. An upper bound on when a receipt was made is whenever somebody else first saw its
//! digest: hand the receipt over at once, or have a service of time stamps (RFC 3161) sign its digest.

mod chain;
mod check;
mod commitment;
mod error;
mod fields;
mod frame;
mod hex;
mod key;
mod key_change;
pub mod limits;
mod signed;
mod told;
mod words;

pub use chain::{Chain, Head, verify_chain};
pub use commitment::{Nonce, commit, opens};
pub use error::ReceiptError;
pub use fields::{
    Accuracy, Bounded, Destroyed, EarlierModel, Estimate, FailedWay, Gate, Lineage, Method, Models,
    Probed, Receipt, Request, Software, Times, VERSION, settings,
};
pub use hex::Hex;
pub use key::{PublicKey, SigningKey};
pub use key_change::{ClaimedKeyChange, KEY_CHANGE_VERSION, KeyChange, VerifiedKeyChange};
pub use signed::{Claimed, Signed, Verified};
pub use told::{Standing, told, told_claim, told_key_change, value};
pub use words::{
    Evidence, Fate, Guarantee, Lapse, MeasuredOn, Policy, Power, Ppm, Probe, Rollback, Verdict,
    Weights,
};

/// What a file claims to be.
pub enum Document {
    /// A receipt.
    Receipt(Box<Claimed>),
    /// A change of keys.
    KeyChange(Box<ClaimedKeyChange>),
}

impl Document {
    /// Reads either.
    ///
    /// # Errors
    /// As [`Claimed::parse`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let frame = frame::open(bytes)?;
        match frame.kind {
            frame::Kind::Receipt => {
                Claimed::of(frame, bytes).map(|claimed| Self::Receipt(Box::new(claimed)))
            }
            frame::Kind::KeyChange => {
                ClaimedKeyChange::of(frame).map(|claimed| Self::KeyChange(Box::new(claimed)))
            }
        }
    }
}
