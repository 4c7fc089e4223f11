//! What decodes a model file's bytes on a device gives what the processor reads of them, and bytes that lie are told
//! of and reach past no buffer: the emulator stops a kernel that does, and every source, mask and vector of values is
//! an allocation of its own.

use half::{bf16, f16};
use unlearn::base::rng::Stream;
use unlearn::sparse::Mask;
use unlearn::sparse::cuda::{
    Address, Encoded, FAULT_BYTES, Machine, MaskAt, MaskBits, Source, Spelling, Values, broken_rule,
};

use crate::bed::{BOTH, Bed};
use crate::decode_spelling::{bits, read, spell};

/// What a device made of a tensor's bytes.
#[derive(Debug, PartialEq)]
struct Decoded {
    bits: Vec<u32>,
    before: Vec<u32>,
    /// As bits.
    values: Vec<u32>,
    rule: Option<&'static str>,
}

/// A tensor's bytes.
struct Bytes<'a> {
    positions: usize,
    existing: usize,
    mask: Option<(Spelling, &'a [u8])>,
    values: (Values, &'a [u8]),
}

fn source(bed: &mut Bed, bytes: &[u8]) -> Source {
    let at = bed.device.allocate(bytes.len() as u64).unwrap();
    bed.device.upload(at, bytes).unwrap();
    Source { at, len: bytes.len() }
}

/// Decodes between pages that nobody may touch.
fn decode(bed: &mut Bed, bytes: &Bytes<'_>) -> Decoded {
    let mask = bytes.mask.map(|(spelling, bytes)| (spelling, source(bed, bytes)));
    let values = (bytes.values.0, source(bed, bytes.values.1));
    let encoded = Encoded { positions: bytes.positions, existing: bytes.existing, mask, values };
    let words = encoded.mask_words();
    let at = MaskAt { bits: bed.scratch(words), before: bed.scratch(words) };
    let to = bed.scratch(bytes.existing);
    let faults = bed.words(&[0; FAULT_BYTES / 4]);
    encoded.decode(&mut bed.device, at, to, faults).unwrap();
    let mut said = vec![0; FAULT_BYTES];
    bed.device.download(faults, &mut said).unwrap();
    let decoded = Decoded {
        bits: bed.read_words(at.bits, words),
        before: bed.read_words(at.before, words),
        values: bed.read_words(to, bytes.existing),
        rule: broken_rule(&said),
    };
    let sources = mask.iter().map(|(_, source)| source.at).chain([values.1.at]);
    let all = sources.chain([at.bits, at.before, to, faults]).collect::<Vec<Address>>();
    all.into_iter().for_each(|address| bed.device.release(address));
    bed.device.wait().unwrap();
    decoded
}

/// Both devices, and what they make of the same bytes: the same.
struct Both([Bed; 2]);

impl Both {
    fn new() -> Option<Self> {
        Some(Self([Bed::new(BOTH[0])?, Bed::new(BOTH[1])?]))
    }

    fn decode(&mut self, bytes: &Bytes<'_>) -> Decoded {
        let [forward, backward] = self.0.each_mut().map(|bed| decode(bed, bytes));
        assert_eq!(forward, backward, "the order of threads shows");
        forward
    }
}

fn le(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Masks that hurt.
fn masks(numel: usize, stream: &mut Stream) -> Vec<Vec<u32>> {
    let all = 0..numel as u32;
    let mut masks = vec![
        Vec::new(),
        all.clone().collect(),
        vec![0],
        vec![numel as u32 - 1],
        vec![numel as u32 / 2],
        all.clone().filter(|p| p / 256 % 2 == 0).collect(),
        all.clone().filter(|p| p / 256 % 3 == 1 || *p == numel as u32 - 1).collect(),
        all.clone().skip(1).collect(),
    ];
    for share in [0.01, 0.2, 0.9] {
        masks.push(all.clone().filter(|_| stream.unit() < share).collect());
    }
    masks
}

#[test]
fn masks_of_every_size_and_density_become_bits_and_ranks() {
    let Some(mut devices) = Both::new() else { return };
    let mut stream = Stream::new(1, "decode/masks");
    for numel in [1, 31, 32, 33, 255, 256, 257, 512, 4095, 4096, 4097, 9000] {
        for positions in masks(numel, &mut stream) {
            let values: Vec<f32> = positions.iter().map(|&p| p as f32 + 0.5).collect();
            let mask = Mask::new(numel, positions.clone()).unwrap();
            let expected = bits(numel, &positions);
            if positions.len() < numel {
                let own = MaskBits::of(&mask);
                assert_eq!([own.bits, own.before], expected, "the processor's own");
            }
            for spelling in [Spelling::Bitmap, Spelling::Tiles] {
                let bytes = spell(spelling, numel, &positions);
                assert_eq!(read(spelling, numel, positions.len(), &bytes), Some(positions.clone()));
                let found = devices.decode(&Bytes {
                    positions: numel,
                    existing: positions.len(),
                    mask: Some((spelling, &bytes)),
                    values: (Values::F32, &le(&values)),
                });
                let what = format!("{spelling:?} of {} of {numel}", positions.len());
                assert_eq!(found.rule, None, "{what}");
                assert!([&found.bits, &found.before] == expected.each_ref(), "{what}");
                assert!(found.values.into_iter().eq(values.iter().map(|v| v.to_bits())), "{what}");
            }
        }
    }
}

/// Every group of `m` keeps `n`.
pub fn n_of_m(numel: usize, n: usize, m: usize, stream: &mut Stream) -> Vec<u32> {
    (0..numel / m)
        .flat_map(|group| {
            let mut own: Vec<usize> = (0..m).collect();
            while own.len() > n {
                own.remove(stream.below(own.len() as u64) as usize);
            }
            own.into_iter().map(move |index| (group * m + index) as u32)
        })
        .collect()
}

#[test]
fn n_of_m_becomes_bits_and_ranks() {
    let Some(mut devices) = Both::new() else { return };
    let mut stream = Stream::new(2, "decode/n of m");
    for m in [2, 4, 8, 16] {
        for (n, numel) in (1..m).flat_map(|n| [(n, m), (n, 3 * m), (n, 128), (n, 144 * m)]) {
            let positions = n_of_m(numel, n, m, &mut stream);
            let spelling = Spelling::NOfM { n, m };
            let bytes = spell(spelling, numel, &positions);
            let values = le(&vec![1.0; positions.len()]);
            let found = devices.decode(&Bytes {
                positions: numel,
                existing: positions.len(),
                mask: Some((spelling, &bytes)),
                values: (Values::F32, &values),
            });
            assert_eq!(found.rule, None, "{n} of {m}, {numel}");
            assert!([found.bits, found.before] == bits(numel, &positions), "{n}:{m}, {numel}");
        }
    }
}

#[test]
fn every_half_becomes_its_single_and_none_that_is_not_finite_passes() {
    let Some(mut devices) = Both::new() else { return };
    type Convert = fn(u16) -> f32;
    let kinds: [(Values, Convert); 2] = [
        (Values::F16, |bits| f16::from_bits(bits).to_f32()),
        (Values::Bf16, |bits| bf16::from_bits(bits).to_f32()),
    ];
    for (kind, convert) in kinds {
        for finite in [true, false] {
            let halves: Vec<u16> =
                (0..=u16::MAX).filter(|&bits| convert(bits).is_finite() == finite).collect();
            let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
            let found = devices.decode(&Bytes {
                positions: halves.len(),
                existing: halves.len(),
                mask: None,
                values: (kind, &bytes),
            });
            if finite {
                let expected = halves.iter().map(|&half| convert(half).to_bits());
                assert!(found.rule.is_none() && found.values.into_iter().eq(expected), "{kind:?}");
            } else {
                assert_eq!(found.rule, Some("a value is not a finite number"), "{kind:?}");
            }
        }
    }
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0, 1e-45] {
        let bytes = le(&[1.0, value]);
        let bytes = Bytes { positions: 2, existing: 2, mask: None, values: (Values::F32, &bytes) };
        let found = devices.decode(&bytes);
        assert_eq!(found.rule.is_none(), value.is_finite(), "{value}");
        assert_eq!(found.values, [1.0f32.to_bits(), value.to_bits()]);
    }
}

/// Scales, then signed bytes.
fn int8(scales: &[f32], values: &[i8]) -> Vec<u8> {
    [le(scales), values.iter().map(|value| value.to_le_bytes()[0]).collect()].concat()
}

#[test]
fn signed_bytes_take_the_scale_of_their_channel() {
    let Some(mut devices) = Both::new() else { return };
    let mut stream = Stream::new(3, "decode/int8");
    for (channels, length, share) in
        [(1, 1, 1.0), (3, 11, 1.0), (3, 11, 0.4), (70, 3, 0.7), (5, 1000, 0.1), (300, 1, 0.5)]
    {
        let numel = channels * length;
        let positions: Vec<u32> = (0..numel as u32).filter(|_| stream.unit() < share).collect();
        let scales: Vec<f32> = (0..channels).map(|_| stream.between(1e-3, 2.0) as f32).collect();
        let values: Vec<i8> = positions.iter().map(|_| stream.below(255) as i8 ^ 127).collect();
        let values: Vec<i8> = values.into_iter().map(|v| v.max(-127)).collect();
        let bytes = int8(&scales, &values);
        let whole = positions.len() == numel;
        for spelling in [Spelling::Bitmap, Spelling::Tiles] {
            let mask = spell(spelling, numel, &positions);
            let found = devices.decode(&Bytes {
                positions: numel,
                existing: positions.len(),
                mask: (!whole).then_some((spelling, &mask[..])),
                values: (Values::Int8 { channels }, &bytes),
            });
            let expected = positions
                .iter()
                .zip(&values)
                .map(|(&p, &v)| (f32::from(v) * scales[p as usize / length]).to_bits());
            assert_eq!(found.rule, None);
            assert!(found.values.into_iter().eq(expected), "{channels} of {length}, {share}");
        }
    }
    for (scale, value, rule) in [
        (1.0, -127, None),
        (f32::MIN_POSITIVE, 127, None),
        (f32::MAX / 128.0, 1, None),
        (1.0, -128, Some("a value is -128")),
        (0.0, 1, Some("a scale is not a positive normal number, or too large")),
        (-1.0, 1, Some("a scale is not a positive normal number, or too large")),
        (1e-40, 1, Some("a scale is not a positive normal number, or too large")),
        (f32::MAX / 126.0, 1, Some("a scale is not a positive normal number, or too large")),
        (f32::INFINITY, 1, Some("a scale is not a positive normal number, or too large")),
        (f32::NAN, 1, Some("a scale is not a positive normal number, or too large")),
    ] {
        // The last channel has no value at all, as one that was pruned whole.
        for scales in [[1.0, scale, 1.0], [1.0, 1.0, scale]] {
            let mask = spell(Spelling::Bitmap, 6, &[1, 3]);
            let bytes = int8(&scales, &[5, value]);
            let found = devices.decode(&Bytes {
                positions: 6,
                existing: 2,
                mask: Some((Spelling::Bitmap, &mask)),
                values: (Values::Int8 { channels: 3 }, &bytes),
            });
            assert_eq!(found.rule, rule, "{scales:?} {value}");
        }
    }
}

/// Changes bytes as a lie, a bad cell or a torn page would.
fn corrupt(bytes: &mut [u8], stream: &mut Stream) {
    if bytes.is_empty() {
        return;
    }
    match stream.below(6) {
        0 => bytes.iter_mut().for_each(|byte| *byte = stream.word() as u8),
        1 => bytes.fill([0, 255][stream.below(2) as usize]),
        2 => {
            let at = stream.below(bytes.len() as u64) as usize;
            bytes[at..].rotate_left(1);
        }
        _ => {
            for _ in 0..=stream.below(3) {
                let at = stream.below(bytes.len() as u64) as usize;
                bytes[at] = match stream.below(3) {
                    0 => stream.word() as u8,
                    1 => bytes[at].wrapping_add(1),
                    _ => bytes[at] ^ 1 << stream.below(8),
                };
            }
        }
    }
}

#[test]
fn bytes_that_lie_are_told_of_and_reach_past_no_buffer() {
    let Some(mut devices) = Both::new() else { return };
    let mut stream = Stream::new(4, "decode/lies");
    let (mut lies, mut innocent) = (0, 0);
    for round in 0..240 {
        let numel = [40, 256, 300, 4096, 4100, 8192 + 300][round % 6];
        let (spelling, positions) = match round / 6 % 3 {
            0 => (Spelling::Bitmap, masks(numel, &mut stream)),
            1 => (Spelling::Tiles, masks(numel, &mut stream)),
            _ => {
                let (n, m) = [(1, 4), (2, 4), (1, 2), (3, 4)][stream.below(4) as usize];
                (Spelling::NOfM { n, m }, vec![n_of_m(numel, n, m, &mut stream)])
            }
        };
        let positions = &positions[stream.below(positions.len() as u64) as usize];
        let mut bytes = spell(spelling, numel, positions);
        corrupt(&mut bytes, &mut stream);
        let said = read(spelling, numel, positions.len(), &bytes);
        // With scales, so that what the mask says is used at once.
        let values = int8(&[1.0; 2], &vec![3; positions.len()]);
        let found = devices.decode(&Bytes {
            positions: numel,
            existing: positions.len(),
            mask: Some((spelling, &bytes)),
            values: (Values::Int8 { channels: 2 }, &values),
        });
        let what = format!("{spelling:?}, {} of {numel}, round {round}", positions.len());
        match said {
            Some(positions) => {
                innocent += 1;
                assert_eq!(found.rule, None, "{what}");
                assert!([found.bits, found.before] == bits(numel, &positions), "{what}");
            }
            None => {
                lies += 1;
                assert!(found.rule.is_some(), "{what}");
            }
        }
    }
    println!("{lies} lies, {innocent} that were none");
    assert!(lies > 100 && innocent > 10);
}

/// Neighbours that lie by as much agree with each other: only the first and the last count give them away, and what
/// they point to is far outside.
#[test]
fn running_counts_that_lie_alike_are_told_of_and_followed_nowhere() {
    let Some(mut devices) = Both::new() else { return };
    let numel = 4 * 4096;
    let positions: Vec<u32> = (0..numel as u32).filter(|p| p % 5 == 0).collect();
    let values = int8(&[1.0; 2], &vec![3; positions.len()]);
    for spelling in [Spelling::Bitmap, Spelling::Tiles] {
        for by in [1, 1 << 20, i32::MAX as u32, u32::MAX - 900, u32::MAX] {
            let mut bytes = spell(spelling, numel, &positions);
            for count in bytes[4..16].chunks_exact_mut(4) {
                let lie = u32::from_le_bytes((&*count).try_into().unwrap()).wrapping_add(by);
                count.copy_from_slice(&lie.to_le_bytes());
            }
            let found = devices.decode(&Bytes {
                positions: numel,
                existing: positions.len(),
                mask: Some((spelling, &bytes)),
                values: (Values::Int8 { channels: 2 }, &values),
            });
            let rule = "a running count is not the number of positions before its group";
            assert_eq!(found.rule, Some(rule), "{spelling:?} by {by}");
            let ranks = found.bits.iter().zip(&found.before).filter(|(bits, _)| **bits != 0);
            let largest = ranks.map(|(bits, before)| before + bits.count_ones()).max();
            assert!(largest.unwrap_or(0) as usize <= positions.len(), "{spelling:?} by {by}");
        }
    }
}

#[test]
fn each_rule_is_told_by_its_name() {
    let Some(mut devices) = Both::new() else { return };
    let mut rule = |spelling, numel, existing: usize, bytes: &[u8]| {
        let values = le(&vec![1.0; existing]);
        let mask = Some((spelling, bytes));
        let values = (Values::F32, &values[..]);
        devices.decode(&Bytes { positions: numel, existing, mask, values }).rule.unwrap_or("none")
    };
    let bitmap = |count: u32, bits: &[u8]| [&count.to_le_bytes()[..], bits].concat();
    let count = "a running count is not the number of positions before its group";
    assert_eq!(rule(Spelling::Bitmap, 12, 2, &bitmap(0, &[3, 0])), "none");
    assert_eq!(rule(Spelling::Bitmap, 12, 3, &bitmap(0, &[3, 0])), count);
    assert_eq!(rule(Spelling::Bitmap, 12, 1, &bitmap(0, &[3, 0])), count);
    assert_eq!(rule(Spelling::Bitmap, 12, 2, &bitmap(1, &[3, 0])), count);
    assert_eq!(rule(Spelling::Bitmap, 12, 2, &bitmap(u32::MAX, &[3, 0])), count);
    let padded = "the padding after the mask is not zero";
    assert_eq!(rule(Spelling::Bitmap, 12, 2, &bitmap(0, &[3, 16])), padded);
    // A running count, full tiles, a count for each of two tiles, indices.
    let tiles = |full: u16, counts: [u8; 2], indices: &[u8]| {
        [&[0; 4], &full.to_le_bytes()[..], &counts, indices].concat()
    };
    let mut of = |full, counts, indices: &[u8], existing| {
        rule(Spelling::Tiles, 300, existing, &tiles(full, counts, indices))
    };
    assert_eq!(of(0, [2, 1], &[4, 9, 43], 3), "none");
    let ascending = "an index is not larger than the one before it";
    assert_eq!(of(0, [2, 1], &[9, 4, 43], 3), ascending);
    assert_eq!(of(0, [2, 1], &[9, 9, 43], 3), ascending);
    assert_eq!(of(0, [2, 1], &[4, 9, 44], 3), "an index lies outside the tensor");
    assert_eq!(of(0, [2, 2], &[4, 9, 43], 3), count);
    assert_eq!(of(0, [255, 255], &[4, 9, 43], 3), count);
    assert_eq!(of(4, [2, 1], &[4, 9, 43], 3), padded);
    let mut all: Vec<u8> = (0..=255).collect();
    all.push(7);
    assert_eq!(of(1, [0, 1], &all, 257), "none");
    assert_eq!(of(1, [9, 1], &all, 257), "a full tile has a count");
    all.swap(3, 4);
    assert_eq!(of(1, [0, 1], &all, 257), ascending);
    let two_of_four = Spelling::NOfM { n: 2, m: 4 };
    assert_eq!(rule(two_of_four, 4, 2, &[0b1000]), "none");
    assert_eq!(rule(two_of_four, 4, 2, &[0b0010]), ascending);
    assert_eq!(rule(two_of_four, 4, 2, &[0b1_1000]), padded);
}

#[test]
#[should_panic(expected = "bytes of a mask")]
fn a_length_that_lies_reaches_no_kernel() {
    let Some(mut devices) = Both::new() else { panic!("bytes of a mask") };
    let mask = Some((Spelling::Bitmap, &[0u8; 5][..]));
    let values = (Values::F32, &[0u8; 4][..]);
    devices.decode(&Bytes { positions: 9, existing: 1, mask, values });
}
