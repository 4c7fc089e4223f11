//! Defends: no byte of a file can change, and no byte be lost, without being told where.

mod common;

use common::model::*;
use unlearn::format::*;

#[test]
fn every_flipped_byte_is_caught_and_the_message_says_where() {
    let bytes = everything();
    for at in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= bit;
            let file = ModelFile::from_bytes(changed);
            let error = file.and_then(|file| file.verify()).expect_err(&format!("byte {at}"));
            let told = error.to_string();
            assert!(told.contains("offset"), "byte {at}: `{told}` names no offset");
        }
    }
}

#[test]
fn a_file_cut_at_any_length_or_added_to_is_refused() {
    let bytes = everything();
    for len in 0..bytes.len() {
        assert!(ModelFile::from_bytes(bytes[..len].to_vec()).is_err(), "cut to {len}");
    }
    let longer = [&bytes[..], &[0]].concat();
    let error = ModelFile::from_bytes(longer).unwrap_err();
    assert!(matches!(error, FormatError::FileLength { .. }), "{error}");
}

#[test]
fn reading_a_tensor_catches_a_flip_in_that_tensor_without_verify() {
    let bytes = everything();
    let find = |kind| {
        let file = ModelFile::from_bytes(bytes.clone()).unwrap();
        let section = *file.sections().iter().find(|s| s.kind == kind).unwrap();
        section.offset as usize
    };
    for kind in [SectionKind::MASKS, SectionKind::PACKED] {
        let mut changed = bytes.clone();
        changed[find(kind) + 5] ^= 1;
        let file = ModelFile::from_bytes(changed).expect("large sections are not read by open");
        assert!(file.tensor("conv1.weight").unwrap().values().is_err(), "{kind}");
        assert!(file.tensor("fc.bias").unwrap().values().is_ok(), "another tensor still reads");
    }
}

#[test]
fn a_file_of_another_format_is_told_to_be_one() {
    for bytes in [&b""[..], b"GGUF\x03\0\0\0", b"\x89PNG\r\n\x1a\n", &[0; 4096]] {
        let error = ModelFile::from_bytes(bytes.to_vec()).unwrap_err();
        assert!(error.to_string().contains("not an .esm file"), "{error}");
    }
}
