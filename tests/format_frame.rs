//! Lies about sections, in files whose digests are all right.
//!
//! Remembers what broke other formats: counts that are allocated before they are bounded, sizes
//! that wrap, sections that overlap or hide bytes between them.

mod common;

use common::liar::*;
use common::model::everything;
use unlearn::base::hash::Digest;
use unlearn::format::*;

#[test]
fn sections_that_overlap_leave_a_gap_or_wrap_are_refused() {
    let entry = 64 + 64;
    told(&header_lie(|f| f[entry + 8] ^= 64), &["network description", "offset"]);
    told(&header_lie(|f| f[entry + 9] += 16), &["network description", "offset"]);
    told(&header_lie(|f| f[entry + 16..entry + 24].fill(0xff)), &["network description"]);
    told(&header_lie(|f| f[entry + 8..entry + 16].fill(0xff)), &["network description", "offset"]);
    told(&header_lie(|f| f[entry + 16..entry + 24].fill(0)), &["length is 0"]);
    told(&header_lie(|f| f[entry] = 0x10), &["must ascend"]);
    told(&header_lie(|f| f[entry + 24] = 1), &["reserved"]);
    told(&header_lie(|f| f[entry + 4] = 3), &["flags"]);
    told(&header_lie(|f| f[entry + 4] = 0), &["flags"]);
    told(&header_lie(|f| f.resize(f.len() + 64, 0)), &["claims"]);
    told(
        &header_lie(|f| {
            f.resize(f.len() + 64, 0);
            let len = f.len() as u64;
            f[24..32].copy_from_slice(&len.to_le_bytes());
        }),
        &["the end of the last section"],
    );
}

#[test]
fn padding_that_is_not_zero_is_refused_between_sections_and_between_payloads() {
    let bytes = everything();
    let file = ModelFile::from_bytes(bytes.clone()).unwrap();
    let mut tried = 0;
    for pair in file.sections().windows(2) {
        for at in pair[0].offset + pair[0].len..pair[1].offset {
            let mut changed = bytes.clone();
            changed[at as usize] = 1;
            let error = read_all(changed).unwrap_err();
            told(&error.to_string(), &["padding", &format!("offset {at}")]);
            tried += 1;
        }
    }
    assert!(tried > 100, "only {tried} bytes of padding");
    // conv2 has five bf16 values, 10 bytes; the next payload starts at a multiple of 4.
    let conv1 = file.tensor("conv1.weight").unwrap().nnz() * 2;
    let at = conv1.next_multiple_of(4) + 10;
    told(&lie(|p| p.section(SectionKind::PACKED)[at] = 1), &["packed values", "padding"]);
}

#[test]
fn counts_beyond_their_limits_are_refused() {
    told(&header_lie(|f| put(f, 20, 33)), &["33", "at most 32"]);
    told(&lie(|p| put(p.section(SectionKind::TABLE), 0, 65_537)), &["65537", "at most 65536"]);
    told(&lie(|p| put(p.section(SectionKind::TABLE), 0, 65_536)), &["length of the table"]);
    told(&lie(|p| put(p.section(SectionKind::TABLE), 4, u32::MAX)), &["length of the table"]);
    told(&lie(|p| p.section(SectionKind::TABLE).truncate(5)), &["length of the table"]);
    told(&lie(|p| put(p.section(SectionKind::SIGNATURES), 0, 9)), &["9", "at most 8"]);
    told(&lie(|p| put(p.section(SectionKind::SIGNATURES), 0, 3)), &["length"]);
    told(&lie(|p| *p.section(SectionKind::DESCRIPTION) = vec![b'x'; 262_145]), &["262145"]);
    told(&lie(|p| *p.section(SectionKind::DESCRIPTION) = vec![0xff]), &["UTF-8"]);
    for kind in [SectionKind::CLASSES, SectionKind::FACTS, SectionKind::CALIBRATION] {
        let name = kind.to_string();
        told(&lie(|p| *p.section(kind) = vec![0xff; 9]), &[&name, "decode"]);
        told(&lie(|p| p.section(kind).push(0)), &[&name, "follow"]);
        told(&lie(|p| shorten(p.section(kind))), &[&name]);
    }
    // A list of 2 spelt in two bytes.
    told(
        &lie(|p| drop(p.section(SectionKind::CLASSES).splice(0..1, [0x82, 0]))),
        &["classes", "shortest"],
    );
}

#[test]
fn signatures_and_anchor_sets_that_lie_are_refused() {
    told(&lie(|p| p.section(SectionKind::SIGNATURES)[8] ^= 1), &["key id"]);
    told(&lie(|p| p.section(SectionKind::SIGNATURES)[4] = 1), &["reserved"]);
    told(&lie(|p| p.section(SectionKind::SIGNATURES)[8 + 104] = 63), &["too long"]);
    told(&lie(|p| p.section(SectionKind::SIGNATURES)[8 + 167] = 1), &["padding"]);
    let anchor = |at: usize, value| lie(|p| p.section(SectionKind::ANCHOR)[at] = value);
    told(&anchor(0, 2), &["anchor set", "type"]);
    told(&anchor(0, 1), &["anchor set", "length"]);
    told(&anchor(4, 2), &["anchor set", "length"]);
    told(&anchor(19, 0xff), &["anchor set", "length"]);
    told(&anchor(32, 2), &["anchor set", "label"]);
    told(&anchor(44, 2), &["anchor set", "part"]);
    told(&anchor(47, 1), &["anchor set", "padding"]);
    told(&lie(|p| p.section(SectionKind::ANCHOR)[4..16].fill(0xff)), &["anchor set", "length"]);
}

#[test]
fn an_unknown_optional_section_is_skipped_and_an_unknown_required_one_refused() {
    let with = |flags| {
        let mut parts = Parts::of(&everything());
        parts.0.push((0x7777, flags, b"from the future".to_vec()));
        ModelFile::from_bytes(parts.join())
    };
    let file = with(0).unwrap();
    file.verify().unwrap();
    let honest = ModelFile::from_bytes(everything()).unwrap();
    assert_eq!(file.logical_id(), honest.logical_id());
    assert_eq!(file.sections().last().unwrap().kind.to_string(), "unknown section 0x7777");
    // It survives another signature.
    let again = ModelFile::from_bytes(file.with_signatures(&Signatures::new())).unwrap();
    assert_eq!(again.sections().last().unwrap().digest, Digest::of(b"from the future"));
    told(&with(1).unwrap_err().to_string(), &["0x7777", "required", "newer program"]);
}

#[test]
fn unknown_versions_and_needed_features_are_refused_and_compatible_ones_are_not() {
    told(&header_lie(|f| f[8] = 2), &["version 2"]);
    told(&header_lie(|f| f[12] = 4), &["features 0x4"]);
    let mut file = everything();
    file[16] = 1;
    read_all(seal(file)).unwrap();
}

#[test]
fn a_file_without_a_section_that_every_file_has_is_refused() {
    for kind in
        [SectionKind::TABLE, SectionKind::DESCRIPTION, SectionKind::CLASSES, SectionKind::FACTS]
    {
        told(&lie(|p| p.0.retain(|(k, ..)| *k != kind.0)), &["no section", &kind.to_string()]);
    }
    let nothing = Parts(Vec::new()).join();
    told(&read_all(nothing).unwrap_err().to_string(), &["no section"]);
}

#[test]
fn sections_too_long_or_too_short_for_their_tensors_are_refused() {
    for kind in [SectionKind::MASKS, SectionKind::PACKED, SectionKind::DENSE] {
        told(&lie(|p| p.section(kind).push(0)), &["length", "expected"]);
        told(&lie(|p| shorten(p.section(kind))), &["length", "expected"]);
        told(&lie(|p| p.0.retain(|(k, ..)| *k != kind.0)), &["length is 0", "expected"]);
    }
}

#[test]
fn the_honest_file_taken_apart_and_joined_is_the_same_file() {
    assert_eq!(Parts::of(&everything()).join(), everything());
    read_all(everything()).unwrap();
}
