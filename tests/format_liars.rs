//! Lies about tensors, in files whose digests are all right. Each was made by changing one thing
//! and making every digest above it right again, so that only the lie is left to find.
//!
//! Remembers what broke other formats: sizes that wrap, names that are there twice, and, our own
//! class, masks that would lead a kernel outside its tensor.

mod common;

use common::liar::*;
use unlearn::base::hash::Digest;
use unlearn::format::*;

/// Where a record has its count of existing positions, and whose mask it uses.
const COUNT: usize = 48;
const SAME_AS: usize = 52;

#[test]
fn a_mask_with_more_or_fewer_positions_than_claimed_is_refused() {
    // Bit 1 of the bitmap of conv1 is 0, bit 0 is 1; four bytes of running count precede.
    told(&lie(|p| p.section(SectionKind::MASKS)[4] |= 2), &["`conv1.weight`", "positions exist"]);
    told(&lie(|p| p.section(SectionKind::MASKS)[4] &= !1), &["`conv1.weight`", "positions exist"]);
}

#[test]
fn a_count_that_does_not_fit_the_values_is_refused() {
    for count in [0, 1, 95, 96, 97, u32::MAX] {
        told(&lie(|p| put(p.record("conv1.weight"), COUNT, count)), &["expected"]);
    }
    told(&lie(|p| put(p.record("fc.bias"), COUNT, 3)), &["`fc.bias`", "is 3, expected 4"]);
}

/// Where the indices of conv2 (3, 77, 255 | 0, 255) start in the masks: after the bitmap of conv1
/// (4 + 12 bytes), a running count of 4, marks of full tiles of 2, counts of 2.
const INDICES: usize = 16 + 4 + 2 + 2;

#[test]
fn tile_indices_that_do_not_ascend_are_refused() {
    for (at, index) in [(0, 77), (0, 78), (1, 3), (2, 77), (4, 0)] {
        let error = lie(|p| p.section(SectionKind::MASKS)[INDICES + at] = index);
        told(&error, &["`conv2.weight`", "ascending"]);
    }
}

#[test]
fn tile_counts_prefixes_and_full_marks_that_lie_are_refused() {
    let masks = |at: usize, value: u8| lie(|p| p.section(SectionKind::MASKS)[at] = value);
    told(&masks(INDICES - 2, 4), &["`conv2.weight`"]);
    told(&masks(INDICES - 2, 2), &["`conv2.weight`"]);
    told(&masks(INDICES - 1, 0), &["`conv2.weight`", "positions exist"]);
    told(&masks(INDICES - 1, 255), &["`conv2.weight`", "positions exist"]);
    told(&masks(INDICES - 4, 1), &["`conv2.weight`", "marked full"]);
    told(&masks(INDICES - 4, 4), &["`conv2.weight`", "unused byte"]);
    told(&masks(INDICES - 8, 1), &["`conv2.weight`", "group 0 claims 1"]);
    told(&masks(0, 1), &["`conv1.weight`", "group 0 claims 1"]);
}

#[test]
fn an_index_beyond_the_end_of_the_tensor_is_refused() {
    // Indices 0 and 255 of the last tile; with 448 positions that tile ends at 191.
    let error = lie(|p| {
        put(p.record("conv2.weight"), 24, 7);
        put(p.record("conv2.importance"), 24, 7);
    });
    told(&error, &["`conv2.weight`", "position 511", "448"]);
}

#[test]
fn n_of_m_indices_that_repeat_are_refused() {
    // fc.weight: fields of two bits, 0 and 1 in turn: byte 0b0100_0100.
    let at = INDICES + 5 + 3;
    let mut seen = 0;
    let error = lie(|p| {
        seen = p.section(SectionKind::MASKS)[at];
        p.section(SectionKind::MASKS)[at] = 0b0100_0101;
    });
    assert_eq!(seen, 0b0100_0100, "this is where the mask of fc.weight starts");
    told(&error, &["`fc.weight`", "ascending"]);
    for (n, m) in [(0, 4), (4, 4), (1, 4), (2, 3), (2, 0), (200, 255), (4, 16)] {
        let error = lie(|p| p.record("fc.weight")[17..19].copy_from_slice(&[n, m]));
        told(&error, &["`fc.weight`", "n and m"]);
    }
    told(&lie(|p| p.record("conv1.weight")[17] = 1), &["n and m are given"]);
}

#[test]
fn a_mask_of_itself_of_nobody_or_of_another_size_is_refused() {
    let twin = |order| lie(|p| put(p.record("conv2.importance"), SAME_AS, order));
    told(&twin(5), &["`conv2.importance`", "no mask of its own"]);
    told(&twin(99), &["`conv2.importance`", "not there"]);
    told(&twin(u32::MAX), &["`conv2.importance`", "not there"]);
    told(&twin(0), &["`conv2.importance`", "another size"]);
    told(&twin(1), &["`conv2.importance`", "no mask of its own"]);
    told(&lie(|p| put(p.record("conv1.weight"), SAME_AS, 2)), &["`conv1.weight`", "is its own"]);
}

#[test]
fn the_place_of_a_mask_in_the_base_is_held_to_its_rules() {
    let based = |change: fn(&mut [u8])| {
        lie(|p| {
            let masks = p.section(SectionKind::MASKS);
            let start = masks.len() - 200;
            change(&mut masks[start..]);
        })
    };
    told(&based(|m| m[64] = 200), &["`overlay`", "too long"]);
    told(&based(|m| m[64] = 0), &["`overlay`"]);
    told(&based(|m| m[65] = 1), &["`overlay`", "padding"]);
    told(&based(|m| m[199] = 1), &["`overlay`", "padding"]);
    told(&based(|m| m[72] = 0xff), &["`overlay`", "UTF-8"]);
    told(&based(|m| m[40] ^= 1), &["`overlay`", "digest"]);
}

#[test]
fn names_that_are_twice_empty_or_misplaced_are_refused() {
    // The record of one tensor over that of another: the name has its hash, and is there twice.
    let error = lie(|p| {
        let table = p.section(SectionKind::TABLE);
        let count = half(table, 0) as usize;
        let (first, second) = (8, 8 + 104);
        let (names, len) = (8 + count * 104, table[first + 12] as usize);
        let other = table[second + 12] as usize;
        let name = table[names..names + len].to_vec();
        table.copy_within(first..first + 13, second);
        put(table, second + 8, len as u32);
        table.splice(names + len..names + len + other, name);
        let total = half(table, 4) as usize - other + len;
        put(table, 4, total as u32);
        let mut at = 0;
        for record in 0..count {
            put(table, 8 + record * 104 + 8, at);
            at += u32::from(table[8 + record * 104 + 12]);
        }
    });
    told(&error, &["twice"]);
    told(&lie(|p| p.record("fc.bias")[12] = 0), &["a name must have"]);
    told(&lie(|p| p.record("fc.bias")[0] ^= 1), &["`fc.bias`", "hash"]);
    told(&lie(|p| p.record("fc.bias")[8] ^= 1), &["offset of a name"]);
}

#[test]
fn records_with_unknown_types_shapes_or_orders_are_refused() {
    for (at, value, word) in [
        (13, 2, "role"),
        (14, 4, "type"),
        (15, 6, "kind"),
        (16, 7, "dimensions"),
        (16, 0, "rank is not 0"),
        (19, 1, "reserved"),
        (20, 3, "order number"),
        (20, 200, "order number"),
        (24, 0, "dimension"),
    ] {
        told(&lie(|p| p.record("fc.bias")[at] = value), &[word]);
    }
    told(&lie(|p| p.record("conv2.weight")[27] = 0xff), &["2^32"]);
}

#[test]
fn payloads_that_are_not_where_the_rule_puts_them_are_refused() {
    for at in [56, 64] {
        told(&lie(|p| p.record("conv2.weight")[at] ^= 4), &["`conv2.weight`", "offset of its"]);
        told(&lie(|p| p.record("conv2.weight")[at + 3] = 0xff), &["`conv2.weight`", "offset of"]);
    }
}

#[test]
fn a_value_that_is_not_finite_is_refused_though_every_digest_is_right() {
    // The digest of the tensor is made right by the letter of `FORMAT.md`.
    let error = lie(|p| {
        let values = p.section(SectionKind::DENSE);
        values[4..8].copy_from_slice(&f32::INFINITY.to_le_bytes());
        let values = values[..16].to_vec();
        let full = Digest::of_parts("unlearn esm mask, version 1", &[b"every position"]);
        let parts = [b"bn1.mean", &[1, 0][..], &4u64.to_le_bytes(), &full.0, &values];
        let leaf = Digest::of_parts("unlearn esm tensor, version 1", &parts);
        p.record("bn1.mean")[72..].copy_from_slice(&leaf.0);
    });
    told(&error, &["`bn1.mean`", "value 1", "inf"]);
}

#[test]
fn a_tensor_swapped_for_another_of_its_size_is_refused() {
    let error = lie(|p| p.section(SectionKind::DENSE)[0] ^= 1);
    told(&error, &["`bn1.mean`", "digest"]);
}
