//! What decodes a model file's bytes on a device gives what the processor reads of them, and bytes that lie are told
//! of and reach past no buffer: the emulator stops a kernel that does, and every source, mask and vector of values is
//! an allocation of its own.

use half::{bf16, f16};
use unlearn::base::rng::Stream;
use unlearn::format::{ClassesAndFeatures, Dtype, Facts, Kind, ModelFile};
use unlearn::model::{Device, Engine, FileEngine, FileEngineError, Network, file};
use unlearn::sparse::Mask;
use unlearn::sparse::cuda::{
    Address, CudaError, Encoded, FAULT_BYTES, Machine, MaskAt, MaskBits, Precision, Source,
    Spelling, Tier, Values, broken_rule, open, opened,
};

use crate::bed::{BOTH, Bed};
use crate::decode_spelling::{bits, read, spell};
use crate::emulator::{Emulator, Order};
use crate::engine::{device, network, samples};

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
fn n_of_m(numel: usize, n: usize, m: usize, stream: &mut Stream) -> Vec<u32> {
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

fn model_file(network: &Network, weights: Dtype) -> Vec<u8> {
    let classes = (0..network.description.classes).map(|class| format!("class {class}"));
    let meaning = ClassesAndFeatures { classes: classes.collect(), ..Default::default() };
    file::encode(network, &meaning, &Facts::default(), weights, None, None).unwrap()
}

/// A network whose file has masks of every kind.
fn of_every_kind() -> Network {
    let mut network = network(0.3);
    let mut stream = Stream::new(6, "decode/kinds");
    let masks = network.parameters.iter().map(|p| {
        let len = p.mask.len();
        match p.name.as_str() {
            "conv1.weight" => Mask::new(len, n_of_m(len, 1, 4, &mut stream)).unwrap(),
            "conv2.weight" => Mask::from_fn(len, |_| stream.unit() < 0.04),
            "down.weight" => Mask::from_fn(len, |_| false),
            "strided.weight" => Mask::from_fn(len, |at| at == 77),
            _ => p.mask.clone(),
        }
    });
    let masks = masks.collect();
    network.set_masks(masks);
    network
}

fn logits(network: &Network, engine: &mut FileEngine) -> Vec<Vec<f32>> {
    let samples = samples(network, 7);
    let mut all = Vec::new();
    // As it is, recorded, from the recording, and another size.
    for count in [7, 7, 7, 2] {
        engine.load(count, |i, out| out.copy_from_slice(&samples.values[i]));
        engine.forward();
        all.push(engine.logits());
    }
    engine.trouble().unwrap();
    let mut probabilities = Vec::new();
    engine.probabilities(&mut probabilities);
    all.push(probabilities);
    all
}

fn through_the_processor(file: &ModelFile, device: Device) -> Vec<Vec<f32>> {
    let mut network = file::read(file, "made".as_ref()).unwrap().network;
    let mut engine = Engine::evaluating(&network, 7, device);
    let samples = samples(&network, 7);
    let mut all = Vec::new();
    for count in [7, 7, 7, 2] {
        engine.load(&network, count, |i, out| out.copy_from_slice(&samples.values[i]));
        engine.forward(&mut network);
        all.push(engine.logits());
    }
    engine.trouble().unwrap();
    let mut probabilities = Vec::new();
    engine.probabilities(&mut probabilities);
    all.push(probabilities);
    all
}

#[test]
fn an_engine_from_sections_gives_the_bytes_of_one_through_the_processor() {
    let network = of_every_kind();
    for (at, dtype) in [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::Int8].into_iter().enumerate() {
        let file = ModelFile::from_bytes(model_file(&network, dtype)).unwrap();
        file.verify().unwrap();
        let kinds = |kind: fn(Kind) -> bool| file.tensors().any(|tensor| kind(tensor.kind()));
        assert!(kinds(|kind| kind == Kind::Bitmap) && kinds(|kind| kind == Kind::Tile256));
        assert!(
            kinds(|kind| kind == Kind::Dense) && kinds(|kind| matches!(kind, Kind::NOfM { .. }))
        );
        for order in BOTH {
            let ordinal = 40 + 2 * at as u32 + u32::from(order == Order::Backward);
            let precision = if at == 0 { Precision::F32 } else { Precision::F16 };
            let Some(card) = device(ordinal, precision, order) else { return };
            let free = || opened(ordinal).unwrap().lock().unwrap().free_memory().unwrap();
            let before = free();
            let mut engine =
                FileEngine::open(&file, "made".as_ref(), 7, card, Tier::Mapped).unwrap();
            assert_eq!(engine.tier(), Some(Tier::Staged), "a device that reads no mapped file");
            let found = logits(&network, &mut engine);
            assert!(found == through_the_processor(&file, card), "{dtype} {order:?}");
            let held = before - free();
            let all = vec![true; network.description.nodes.len()];
            let evaluates = unlearn::model::Mode::Evaluate;
            let plan = unlearn::model::Plan::for_card(&network, 7, evaluates, false, &all);
            let planned = Engine::card_bytes(&network, &plan).unwrap().total();
            assert_eq!(held, planned, "the copy and the words of faults are given back");
            drop(engine);
            assert_eq!(free(), before);
        }
        let cpu = Device::Cpu(unlearn::sparse::Isa::best());
        let mut engine = FileEngine::open(&file, "made".as_ref(), 7, cpu, Tier::Mapped).unwrap();
        assert_eq!(engine.tier(), None);
        assert!(logits(&network, &mut engine) == through_the_processor(&file, cpu), "{dtype}");
    }
}

#[test]
fn a_device_that_reads_mapped_files_reads_this_one_in_place() {
    let Some(emulator) = Emulator::new(Order::Forward).unwrap() else { return };
    let maps = emulator.with(|facts| {
        facts.ordinal = 50;
        (facts.pageable_access, facts.host_page_tables) = (true, true);
    });
    open(Box::new(maps));
    let card = Device::Cuda { ordinal: 50, capability: [9, 0], precision: Precision::F32 };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.esm");
    std::fs::write(&path, model_file(&of_every_kind(), Dtype::F16)).unwrap();
    let file = ModelFile::open(&path).unwrap();
    file.verify().unwrap();
    let tier = |first| FileEngine::open(&file, &path, 2, card, first).unwrap().tier();
    assert_eq!(tier(Tier::Mapped), Some(Tier::Mapped));
    assert_eq!(tier(Tier::Staged), Some(Tier::Staged));
    // The pages were given back; what is read again is the same.
    file.verify().unwrap();
    assert_eq!(tier(Tier::Mapped), Some(Tier::Mapped));
}

#[test]
fn what_changed_after_it_was_verified_is_told_with_its_tensor() {
    let network = of_every_kind();
    let bytes = model_file(&network, Dtype::F16);
    let verified = ModelFile::from_bytes(bytes.clone()).unwrap();
    let payloads = verified.payloads();
    let begin = bytes.windows(payloads.len()).position(|window| window == payloads).unwrap();
    let Some(card) = device(51, Precision::F32, Order::Forward) else { return };
    let free = || opened(51).unwrap().lock().unwrap().free_memory().unwrap();
    let before = free();
    let refused = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[begin + at] = byte;
        // Header, table and small sections are as they were.
        let file = ModelFile::from_bytes(bytes).unwrap();
        file.verify().unwrap_err();
        match FileEngine::open(&file, "made".as_ref(), 7, card, Tier::Mapped).err() {
            Some(FileEngineError::Cuda(CudaError::Decode { tensor, rule })) => (tensor, rule),
            other => panic!("{other:?}"),
        }
    };
    let raw = |name: &str| verified.tensor(name).unwrap().raw().unwrap();
    let count = "a running count is not the number of positions before its group";
    assert_eq!(refused(raw("grouped.weight").mask.start, 1), ("grouped.weight".into(), count));
    let last = raw("conv2.weight").mask.end - 1;
    let ascending = "an index is not larger than the one before it";
    assert_eq!(refused(last, 0), ("conv2.weight".into(), ascending));
    // The upper byte of a half, and of a single of a running variance.
    let finite = "a value is not a finite number";
    assert_eq!(
        refused(raw("conv1.weight").values.start + 1, 0x7c),
        ("conv1.weight".into(), finite)
    );
    let variance = raw("bn1.running_var").values.start;
    assert_eq!(raw("bn1.running_var").dtype, Dtype::F32);
    let mut bytes = bytes.clone();
    bytes[begin + variance..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let file = ModelFile::from_bytes(bytes).unwrap();
    let told = FileEngine::open(&file, "made".as_ref(), 7, card, Tier::Mapped).err().unwrap();
    assert!(
        told.to_string().starts_with("tensor `bn1.running_var`, as the device read it: a value")
    );
    assert_eq!(free(), before, "nothing of them is left on the device");
}

#[test]
fn a_file_that_is_not_its_description_is_refused_as_it_is_on_the_processor() {
    let Some(card) = device(52, Precision::F32, Order::Forward) else { return };
    let network = of_every_kind();
    let mut renamed = network.clone();
    renamed.parameters[0].name = "conv9.weight".into();
    let mut reshaped = network.clone();
    reshaped.parameters[0].shape.swap(0, 1);
    for wrong in [renamed, reshaped] {
        let file = ModelFile::from_bytes(model_file(&wrong, Dtype::F32)).unwrap();
        let told = |device| {
            let refused = FileEngine::open(&file, "made".as_ref(), 1, device, Tier::Mapped);
            refused.err().unwrap().to_string()
        };
        let cpu = told(Device::Cpu(unlearn::sparse::Isa::best()));
        assert_eq!(told(card), cpu);
    }
}
