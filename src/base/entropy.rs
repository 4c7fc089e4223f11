//! Randomness that nobody can guess or repeat: for keys, nonces and handles, never for training.

use thiserror::Error;

/// The system gives no random bytes.
#[derive(Clone, Copy, Debug, Error)]
#[error("the system gives no random bytes ({0}): no key can be made")]
pub struct EntropyError(getrandom::Error);

/// `N` random bytes of the operating system's.
///
/// # Errors
/// If it has none to give, as early in the start of a machine.
pub fn bytes<const N: usize>() -> Result<[u8; N], EntropyError> {
    let mut out = [0; N];
    fill(&mut out)?;
    Ok(out)
}

/// Fills `out` with random bytes of the operating system's: for what must not be moved by value.
///
/// # Errors
/// As [`bytes`].
pub fn fill(out: &mut [u8]) -> Result<(), EntropyError> {
    getrandom::fill(out).map_err(EntropyError)
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_draws_differ() {
        assert_ne!(super::bytes::<16>().unwrap(), super::bytes::<16>().unwrap());
    }
}
