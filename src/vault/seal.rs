//! Sealing: XChaCha20-Poly1305, a nonce drawn at random before each use.
//!
//! A sealed text is `nonce (24) | ciphertext | tag (16)`. What the text is, and where it belongs, is its
//! associated data: a sealed text that was moved, renamed or rolled back does not open.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::base::entropy::{self, EntropyError};
use crate::base::hash::Digest;

const NONCE: usize = 24;
const TAG: usize = 16;
/// Bytes that sealing adds.
pub const OVERHEAD: usize = NONCE + TAG;

/// A key of 32 bytes, overwritten when it is dropped. It has no text form, also not for debugging.
///
/// Its bytes lie behind a pointer: whoever moves a key moves no secret, and leaves none on a stack or in the
/// place of a map from which the key was taken.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize)]
#[zeroize(drop)]
pub struct Key(Box<[u8; 32]>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// A new one.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn fresh() -> Result<Self, EntropyError> {
        let mut key = Box::new([0; 32]);
        entropy::fill(&mut key[..])?;
        Ok(Self(key))
    }

    /// The key of these bytes.
    pub fn of_bytes(bytes: &[u8; 32]) -> Self {
        let mut key = Box::new([0; 32]);
        key.copy_from_slice(bytes);
        Self(key)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key that only who holds all of `keys` can derive.
    pub fn of_all<'a>(keys: impl IntoIterator<Item = &'a Key>) -> Self {
        let keys: Zeroizing<Vec<u8>> =
            Zeroizing::new(keys.into_iter().flat_map(|key| key.0.iter().copied()).collect());
        let digest =
            Digest::of_parts("unlearn vault: a key of several people, version 1", &[&keys]);
        Self::of_bytes(&digest.0)
    }

    /// A digest of `parts` that nobody without the key can compute or test a guess against.
    pub fn mark(&self, context: &str, parts: &[&[u8]]) -> Digest {
        let mut all = vec![&self.0[..]];
        all.extend(parts);
        Digest::of_parts(context, &all)
    }

    /// Seals `text`, for opening with the same `context` and `about` only.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn seal(&self, context: &str, about: &[u8], text: &[u8]) -> Result<Vec<u8>, EntropyError> {
        let nonce: [u8; NONCE] = entropy::bytes()?;
        // Made long enough at once: a vector that grows leaves copies of the text behind.
        let mut sealed = Vec::with_capacity(text.len() + OVERHEAD);
        sealed.extend(nonce);
        sealed.extend(text);
        let cipher = XChaCha20Poly1305::new((&*self.0).into());
        let (_, body) = sealed.split_at_mut(NONCE);
        let tag = cipher
            .encrypt_inout_detached(&XNonce::from(nonce), &bound(context, about), body.into())
            // Only a text of more than 256 GiB is refused.
            .unwrap_or_default();
        sealed.extend(tag);
        Ok(sealed)
    }

    /// The text of `sealed`, or `None` if it was sealed under another key, for another use, or changed.
    pub fn open(&self, context: &str, about: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>()?;
        let (body, tag) = rest.split_last_chunk::<TAG>()?;
        let mut text = Zeroizing::new(body.to_vec());
        let cipher = XChaCha20Poly1305::new((&*self.0).into());
        let opened = cipher.decrypt_inout_detached(
            &XNonce::from(*nonce),
            &bound(context, about),
            text.as_mut_slice().into(),
            &(*tag).into(),
        );
        opened.ok().map(|()| text)
    }
}

/// Context and associated data as one unmistakable text.
fn bound(context: &str, about: &[u8]) -> Vec<u8> {
    [&(context.len() as u64).to_le_bytes()[..], context.as_bytes(), about].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_with_the_same_key_and_words_only() {
        let (key, other) = (Key::fresh().unwrap(), Key::fresh().unwrap());
        let sealed = key.seal("use", b"place", b"a secret").unwrap();
        assert_eq!(sealed.len(), 8 + OVERHEAD);
        assert_eq!(&key.open("use", b"place", &sealed).unwrap()[..], b"a secret");
        assert!(other.open("use", b"place", &sealed).is_none());
        assert!(key.open("usage", b"place", &sealed).is_none());
        assert!(key.open("use", b"places", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open("use", b"place", &changed).is_none(), "byte {at}");
            assert!(key.open("use", b"place", &sealed[..at]).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn a_key_of_several_needs_each_of_them() {
        let [a, b, c] = std::array::from_fn(|_| Key::fresh().unwrap());
        assert_eq!(Key::of_all([&a, &b]), Key::of_all([&a, &b]));
        assert_ne!(Key::of_all([&a, &b]), Key::of_all([&a, &c]));
        assert_ne!(Key::of_all([&a]), a);
        assert_eq!(format!("{a:?}"), "Key(..)");
    }
}
