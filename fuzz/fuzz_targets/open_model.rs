//! Any bytes are opened, verified and read, or refused with an error: never a panic.
//!
//! A fuzzer does not guess digests. So each input is tried twice: as it is, and with the digests
//! of its sections, its preamble and its directory made right, which lets its lies through to the
//! checks that must find them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use unlearn::base::hash::Digest;
use unlearn::format::{FormatError, MAGIC, ModelFile};

fuzz_target!(|bytes: &[u8]| {
    read(bytes.to_vec());
    read(sealed(bytes.to_vec()));
});

fn read(bytes: Vec<u8>) {
    let Ok(file) = ModelFile::from_bytes(bytes) else { return };
    let verified = file.verify().is_ok();
    for tensor in file.tensors() {
        match tensor.read() {
            Ok((positions, values)) => {
                assert_eq!(values.len(), tensor.nnz());
                let positions = positions.unwrap_or_default();
                assert!(positions.windows(2).all(|pair| pair[0] < pair[1]));
                assert!(positions.last().is_none_or(|&last| (last as usize) < tensor.numel()));
            }
            Err(FormatError::NeedsBase { .. }) => {}
            Err(error) => assert!(!verified, "verified, but unreadable: {error}"),
        }
        // A file is its own base for once: the checks of that path are to be reached.
        let _ = tensor.read_with(&file);
    }
    let again = file.with_signatures(file.signatures());
    assert!(!verified || ModelFile::from_bytes(again).is_ok_and(|again| again.verify().is_ok()));
}

/// The bytes with magic, length and every digest of header and sections as they should be.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() < 64 {
        return bytes;
    }
    let len = bytes.len();
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[24..32].copy_from_slice(&(len as u64).to_le_bytes());
    let sections = usize::from(bytes[20]).min(32).min((len - 64) / 64);
    for entry in (0..sections).map(|i| 64 + i * 64) {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[entry + at..entry + at + 8]);
            usize::try_from(u64::from_le_bytes(word)).unwrap_or(usize::MAX)
        };
        let (start, length) = (word(8), word(16));
        let Some(section) = start.checked_add(length).and_then(|end| bytes.get(start..end)) else {
            continue;
        };
        let digest = Digest::of(section);
        bytes[entry + 32..entry + 64].copy_from_slice(&digest.0);
    }
    let header = [&bytes[..32], &bytes[64..64 + sections * 64]];
    let digest = Digest::of_parts("unlearn esm header, version 1", &header);
    bytes[32..64].copy_from_slice(&digest.0);
    bytes
}
