//! An engine whose device decodes a model file gives the bytes of one that the processor made from it, and refuses what
//! that refuses; what changed in the file since it was verified is told with its tensor.

use unlearn::base::rng::Stream;
use unlearn::format::{ClassesAndFeatures, Dtype, Facts, Kind, ModelFile};
use unlearn::model::{Device, Engine, FileEngine, FileEngineError, Mode, Network, Plan, file};
use unlearn::sparse::cuda::{CudaError, Precision, SparseBelow, Tier, open, opened};
use unlearn::sparse::{Isa, Mask};

use crate::bed::BOTH;
use crate::decode::n_of_m;
use crate::emulator::{Emulator, Order};
use crate::engine::{device, network, samples};

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
            if device(ordinal, precision, order).is_none() {
                return;
            }
            // Lists of sparse passes are made of what the device decoded.
            let sparse = [None, None, Some(SparseBelow::ALWAYS), Some(SparseBelow::NEVER)][at];
            let card = Device::Cuda { ordinal, capability: [9, 0], precision, sparse };
            let free = || opened(ordinal).unwrap().lock().unwrap().free_memory().unwrap();
            let before = free();
            let mut engine =
                FileEngine::open(&file, "made".as_ref(), 7, card, Tier::Mapped).unwrap();
            assert_eq!(engine.tier(), Some(Tier::Staged), "a device that reads no mapped file");
            let found = logits(&network, &mut engine);
            assert!(found == through_the_processor(&file, card), "{dtype} {order:?}");
            let held = before - free();
            let all = vec![true; network.description.nodes.len()];
            let plan = Plan::for_card(&network, 7, Mode::Evaluate, false, &all);
            let planned = Engine::card_bytes(&network, &plan, card).unwrap().total();
            assert_eq!(held, planned, "the copy and the words of faults are given back");
            drop(engine);
            assert_eq!(free(), before);
        }
        let cpu = Device::Cpu(Isa::best());
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
    let (precision, capability) = (Precision::F32, [9, 0]);
    let card = Device::Cuda { ordinal: 50, capability, precision, sparse: None };
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
        let cpu = told(Device::Cpu(Isa::best()));
        assert_eq!(told(card), cpu);
    }
}
