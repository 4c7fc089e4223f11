//! Digests: BLAKE3, 32 bytes, written in hexadecimal.

use std::fmt;

/// A BLAKE3 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The digest of `parts`, each preceded by its length, under `context`, so that two different
    /// lists of parts, or two uses, never share a digest.
    pub fn of_parts(context: &str, parts: &[&[u8]]) -> Self {
        let mut all = Parts::new(context);
        parts.iter().for_each(|part| all.part(part.len() as u64, [part]));
        all.finish()
    }

    /// Whether both are equal, in a time that does not depend on where they differ: for digests that an
    /// attacker may offer.
    pub fn same_in_constant_time(&self, other: &Self) -> bool {
        blake3::Hash::from(self.0) == blake3::Hash::from(other.0)
    }

    /// The first eight bytes in hexadecimal: enough for a person to tell two apart.
    pub fn short(&self) -> String {
        hex(&self.0[..8])
    }
}

/// [`Digest::of_parts`] over parts that are not all in memory at once.
pub struct Parts(blake3::Hasher);

impl Parts {
    /// No parts yet.
    pub fn new(context: &str) -> Self {
        Self(blake3::Hasher::new_derive_key(context))
    }

    /// Adds a part of `len` bytes, which come in `pieces`.
    pub fn part<P: AsRef<[u8]>>(&mut self, len: u64, pieces: impl IntoIterator<Item = P>) {
        self.0.update(&len.to_le_bytes());
        for piece in pieces {
            self.0.update(piece.as_ref());
        }
    }

    /// The digest of all parts.
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}
