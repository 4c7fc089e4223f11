//! The engine on a CUDA device gives what it gives on the processor: logits, losses, every gradient,
//! running statistics, steps with each l1 term; and the same bytes in whatever order threads run.

use std::sync::Arc;

use unlearn::base::rng::Stream;
use unlearn::model::{Description, Device, Engine, Mode, Network, Plan, builtin};
use unlearn::prune::{Allocation, Criterion, masks};
use unlearn::sparse::cuda::{Card, CudaError, Machine, Modules, Precision, open};
use unlearn::sparse::{Isa, L1, Mask, Step, update};

use crate::emulator::{Emulator, Order};

/// Every operation that has kernels, every kind of layer: strides that meet each place and some that
/// skip places, groups, a kernel that covers its input, channels that are multiples of 16 and not.
const NETWORK: &str = r#"
    name = "all"
    summary = "Every operation that runs on a CUDA device."
    [input]
    shape = [3, 9, 11]
    mean = [0.4, 0.5, 0.6]
    std = [0.2, 0.25, 0.3]
    [[op]]
    name = "conv1"
    kind = "conv"
    filters = 16
    kernel = 3
    padding = 1
    [[op]]
    name = "bn1"
    kind = "batch-norm"
    [[op]]
    name = "relu1"
    kind = "relu"
    [[op]]
    name = "conv2"
    kind = "conv"
    filters = 16
    kernel = 3
    padding = 1
    [[op]]
    name = "bn2"
    kind = "batch-norm"
    [[op]]
    name = "add1"
    kind = "add"
    from = ["bn2", "relu1"]
    [[op]]
    name = "relu2"
    kind = "relu"
    [[op]]
    name = "down"
    kind = "conv"
    filters = 20
    kernel = 1
    stride = 2
    [[op]]
    name = "down_bn"
    kind = "batch-norm"
    [[op]]
    name = "short"
    kind = "pad-shortcut"
    from = "relu2"
    channels = 20
    stride = 2
    [[op]]
    name = "add2"
    kind = "add"
    from = ["down_bn", "short"]
    [[op]]
    name = "pool"
    kind = "max-pool"
    kernel = 3
    stride = 2
    padding = 1
    [[op]]
    name = "grouped"
    kind = "conv"
    filters = 12
    kernel = [3, 2]
    padding = [1, 1]
    groups = 2
    bias = true
    [[op]]
    name = "relu3"
    kind = "relu"
    [[op]]
    name = "strided"
    kind = "conv"
    from = "pool"
    filters = 12
    kernel = 3
    stride = 2
    padding = 1
    bias = true
    [[op]]
    name = "mean"
    kind = "avg-pool"
    from = "relu3"
    kernel = 2
    [[op]]
    name = "fc1"
    kind = "linear"
    from = "mean"
    outputs = 10
    [[op]]
    name = "fc2"
    kind = "linear"
    from = "strided"
    outputs = 10
    bias = false
    [[op]]
    name = "sum"
    kind = "add"
    from = ["fc1", "fc2"]
    [[op]]
    name = "relu4"
    kind = "relu"
    [[op]]
    name = "head"
    kind = "linear"
    outputs = "classes"
"#;

const CLASSES: usize = 5;

pub fn network(keep: f64) -> Network {
    let description = Description::parse(NETWORK, "all.toml", CLASSES).unwrap();
    let mut network = Network::new(Arc::new(description), 3);
    thin(&mut network, keep);
    network
}

/// Leaves a share of the prunable weights; biases, scales and shifts become no round numbers.
pub fn thin(network: &mut Network, keep: f64) {
    let mut stream = Stream::new(5, "cuda test");
    let mask = |p: &unlearn::model::Parameter, stream: &mut Stream| {
        Mask::from_fn(p.mask.len(), |_| !p.prunable || stream.unit() < keep)
    };
    let masks = network.parameters.iter().map(|p| mask(p, &mut stream)).collect();
    network.set_masks(masks);
    network.values.iter_mut().for_each(|value| *value += stream.between(-0.05, 0.05) as f32);
}

pub struct Samples {
    pub values: Vec<Vec<f32>>,
    pub labels: Vec<u32>,
}

pub fn samples(network: &Network, count: usize) -> Samples {
    let len: usize = network.description.nodes[0].shape.iter().product();
    let mut stream = Stream::new(9, "samples");
    let values = (0..count).map(|_| (0..len).map(|_| stream.unit() as f32).collect()).collect();
    let classes = network.description.classes as u32;
    Samples { values, labels: (0..count as u32).map(|i| (i * 7 + 1) % classes).collect() }
}

/// An emulated device that is open under a number of its own.
pub fn device(ordinal: u32, precision: Precision, order: Order) -> Option<Device> {
    let emulator = Emulator::new(order).unwrap()?.with(|facts| facts.ordinal = ordinal);
    open(Box::new(emulator));
    Some(Device::Cuda { ordinal, capability: [9, 0], precision, sparse: None })
}

pub fn on(network: &Network, batch: usize, mode: Mode, device: Device, recompute: bool) -> Engine {
    let all = vec![true; network.description.nodes.len()];
    let plan = match device {
        Device::Cpu(_) => Plan::partial(network, batch, mode, recompute, &all),
        Device::Cuda { .. } => Plan::for_card(network, batch, mode, recompute, &all),
    };
    Engine::on(network, plan, device)
}

/// What a pass gives.
#[derive(Debug, PartialEq)]
pub struct Seen {
    pub logits: Vec<f32>,
    pub loss: f64,
    pub correct: usize,
    pub gradient: Vec<f32>,
    pub buffers: Vec<f32>,
}

pub fn pass(engine: &mut Engine, network: &mut Network, samples: &Samples, count: usize) -> Seen {
    engine.load(network, count, |i, out| out.copy_from_slice(&samples.values[i]));
    engine.forward(network);
    let logits = engine.logits();
    let mut gradient = vec![0.0; network.values.len()];
    let loss = engine.backward(network, &samples.labels[..count], &mut gradient);
    engine.trouble().unwrap();
    let buffers = network.buffers.iter().flat_map(|buffer| buffer.values.clone()).collect();
    Seen { logits, loss: loss.sum, correct: loss.correct, gradient, buffers }
}

pub fn assert_near(what: &str, found: &[f32], right: &[f32], tolerance: f32) {
    assert_eq!(found.len(), right.len(), "{what}");
    assert!(found.iter().chain(right).all(|value| value.is_finite()), "{what}: no numbers");
    let largest = right.iter().fold(0.0f32, |all, v| all.max(v.abs())).max(1e-6);
    let apart = found.iter().zip(right).map(|(f, r)| (f - r).abs()).fold(0.0f32, f32::max);
    assert!(apart <= tolerance * largest, "{what}: {apart} apart where the largest is {largest}");
    assert!(largest > 1e-4, "{what}: nothing to compare");
}

/// Every parameter's gradient against its own largest.
pub fn assert_gradients(network: &Network, found: &[f32], right: &[f32], tolerance: f32) {
    for p in &network.parameters {
        assert_near(&p.name, &found[p.range.clone()], &right[p.range.clone()], tolerance);
    }
}

/// The device that the driver finds first, if there is one.
pub fn card_of_this_machine(precision: Precision) -> Option<Device> {
    let card = match Card::open(0, &Modules::default()) {
        Ok(card) => card,
        Err(why) => {
            eprintln!("\nSKIPPED, no CUDA device: {why}\n");
            return None;
        }
    };
    let (name, capability) = (card.facts().name.clone(), card.facts().capability);
    if precision.fits(card.facts()).is_err() {
        eprintln!("\nSKIPPED, {name} has no {}\n", precision.name());
        return None;
    }
    open(Box::new(card));
    Some(Device::Cuda { ordinal: 0, capability, precision, sparse: None })
}

fn agree(precision: Precision, ordinal: u32, mode: Mode, tolerance: f32) {
    if let Some(card) = device(ordinal, precision, Order::Forward) {
        agree_on(card, precision, mode, tolerance);
    }
}

pub fn agree_on(card: Device, precision: Precision, mode: Mode, tolerance: f32) {
    for (keep, count) in [(1.0, 5), (0.3, 7), (0.05, 1)] {
        for recompute in [false, true] {
            let (mut left, mut right) = (network(keep), network(keep));
            let samples = samples(&left, 7);
            let mut reference = on(&left, 7, mode, Device::Cpu(Isa::best()), recompute);
            let mut engine = on(&right, 7, mode, card, recompute);
            // The first as it is, the second recorded, the third from the recording; then another size.
            for count in [count, count, count, 3] {
                let expected = pass(&mut reference, &mut left, &samples, count);
                let found = pass(&mut engine, &mut right, &samples, count);
                let case = format!("{precision:?} {mode:?} keep {keep} of {count}");
                assert_near(&format!("{case} logits"), &found.logits, &expected.logits, tolerance);
                assert_near(&case, &[found.loss as f32], &[expected.loss as f32], tolerance);
                if precision == Precision::F32 {
                    assert_eq!(found.correct, expected.correct, "{case}");
                }
                assert_near(
                    &format!("{case} statistics"),
                    &found.buffers,
                    &expected.buffers,
                    tolerance,
                );
                assert_gradients(&left, &found.gradient, &expected.gradient, 20.0 * tolerance);
            }
        }
    }
}

#[test]
fn in_f32_a_learning_pass_gives_what_the_processor_gives() {
    agree(Precision::F32, 10, Mode::Train, 2e-5);
}

#[test]
fn in_f32_a_pass_with_frozen_statistics_gives_what_the_processor_gives() {
    agree(Precision::F32, 11, Mode::Frozen, 2e-5);
}

#[test]
fn a_card_gives_what_the_processor_gives_and_the_same_bytes_twice() {
    let Some(card) = card_of_this_machine(Precision::F32) else { return };
    agree_on(card, Precision::F32, Mode::Train, 2e-5);
    agree_on(card, Precision::F32, Mode::Frozen, 2e-5);
    for (precision, tolerance) in ROUNDING {
        let Some(card) = card_of_this_machine(precision) else { continue };
        stay_within(card, precision, tolerance);
        let twice = [(); 2].map(|()| {
            let mut network = network(0.3);
            let samples = samples(&network, 7);
            let mut engine = on(&network, 7, Mode::Train, card, false);
            pass(&mut engine, &mut network, &samples, 7)
        });
        assert_eq!(twice[0], twice[1], "{precision:?}");
    }
}

#[test]
fn the_order_of_threads_changes_no_byte() {
    let run = |ordinal, order| {
        let card = device(ordinal, Precision::F32, order)?;
        let mut network = network(0.3);
        let samples = samples(&network, 7);
        let mut engine = on(&network, 7, Mode::Train, card, false);
        Some(pass(&mut engine, &mut network, &samples, 7))
    };
    let Some(forward) = run(12, Order::Forward) else { return };
    assert_eq!(Some(forward), run(13, Order::Backward));
}

#[test]
fn settled_steps_end_where_steps_of_the_processor_end() {
    let Some(card) = device(14, Precision::F32, Order::Backward) else { return };
    let base: Vec<f32> = network(0.3).values.iter().map(|value| value * 0.9).collect();
    let gamma = 2e-3;
    for (form, l1) in [
        L1::Off,
        L1::Subgradient { gamma },
        L1::Proximal { gamma },
        L1::TowardsBase { gamma, base: &base },
    ]
    .into_iter()
    .enumerate()
    {
        let (mut left, mut right) = (network(0.3), network(0.3));
        let samples = samples(&left, 6);
        let len = left.values.len();
        let (mut kept, mut moved) = (vec![0.0; len], vec![0.0; len]);
        let step = Step { rate: 0.05, momentum: 0.9, decay: 5e-4, l1 };
        let mut reference = on(&left, 6, Mode::Train, Device::Cpu(Isa::best()), false);
        let mut engine = on(&right, 6, Mode::Train, card, false);
        engine.settle(&right, &moved, Some(&base));
        let mut centred = [0, 0];
        let mut sums = [Vec::new(), Vec::new()];
        for ticket in 0..6 {
            let mut gradient = vec![0.0; len];
            reference.load(&left, 6, |i, out| out.copy_from_slice(&samples.values[i]));
            reference.forward(&mut left);
            let expected = reference.backward(&left, &samples.labels, &mut gradient);
            let seen = update(Isa::best(), step, &mut left.values, &mut kept, &gradient);
            engine.clear();
            engine.load(&right, 6, |i, out| out.copy_from_slice(&samples.values[i]));
            // Every other step is one launch, and its loss is told one behind.
            if ticket % 2 == 0 {
                engine.learn(&right, &samples.labels, (6, 1.0), ticket);
                engine.update(&right, &[(0..len, step, true)]);
            } else {
                engine.forward(&mut right);
                let loss = engine.backward(&right, &samples.labels, &mut []);
                engine.update(&right, &[(0..len, step, true)]);
                sums[1].extend([engine.loss(&right, ticket - 1).sum, loss.sum]);
            }
            centred = [seen.at_centre, engine.at_centre()];
            sums[0].push(expected.sum);
        }
        for (found, expected) in sums[1].iter().zip(&sums[0]) {
            assert!((found - expected).abs() < 1e-3, "form {form}: {sums:?}");
        }
        assert!(engine.loss(&right, 4).sum.is_nan(), "a loss is told once");
        assert_eq!(right.values, network(0.3).values, "what has settled is not the caller's");
        engine.fetch(&mut right, &mut moved);
        engine.trouble().unwrap();
        assert_near(&format!("form {form} weights"), &right.values, &left.values, 1e-4);
        assert_near(&format!("form {form} momenta"), &moved, &kept, 2e-3);
        let buffers =
            |n: &Network| n.buffers.iter().flat_map(|b| b.values.clone()).collect::<Vec<_>>();
        assert_near("statistics", &buffers(&right), &buffers(&left), 1e-4);
        let apart = centred[0].abs_diff(centred[1]);
        assert!(apart <= 2, "form {form}: {centred:?} at the centre");
        assert_eq!(centred[0] > 0, form >= 2, "form {form}: {centred:?}");
    }
}

#[test]
fn a_gradient_that_was_cleared_is_not_stepped_along() {
    let Some(card) = device(17, Precision::F32, Order::Forward) else { return };
    let samples = samples(&network(0.3), 6);
    let step = Step { rate: 0.05, momentum: 0.9, decay: 0.0, l1: L1::Off };
    // Frozen statistics: a batch that was given up leaves nothing else behind.
    let ends = |given_up: &[u64], counts: bool| {
        let mut network = network(0.3);
        let mut momentum = vec![0.0; network.values.len()];
        let mut engine = on(&network, 6, Mode::Frozen, card, false);
        engine.settle(&network, &momentum, None);
        for &ticket in given_up {
            engine.load(&network, 6, |i, out| out.copy_from_slice(&samples.values[i]));
            engine.learn(&network, &samples.labels, (6, 1.0), ticket);
            engine.clear();
        }
        if counts {
            engine.load(&network, 6, |i, out| out.copy_from_slice(&samples.values[i]));
            engine.learn(&network, &samples.labels, (6, 1.0), 9);
        }
        engine.update(&network, &[(0..network.values.len(), step, false)]);
        let losses: Vec<f64> =
            given_up.iter().map(|&ticket| engine.loss(&network, ticket).sum).collect();
        engine.fetch(&mut network, &mut momentum);
        engine.trouble().unwrap();
        assert!(losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
        network.values
    };
    assert_eq!(ends(&[1, 2], true), ends(&[], true));
    assert_eq!(ends(&[1], false), network(0.3).values);
}

#[test]
fn tensor_core_precisions_stay_within_their_rounding() {
    for (ordinal, (precision, tolerance)) in (15..).zip(ROUNDING) {
        let Some(card) = device(ordinal, precision, Order::Forward) else { return };
        stay_within(card, precision, tolerance);
    }
}

/// Their own rounding of each factor, a few times over through the layers; f16 has TF32's mantissa.
const ROUNDING: [(Precision, f32); 3] =
    [(Precision::Tf32, 4e-3), (Precision::F16, 4e-3), (Precision::Bf16, 3e-2)];

fn stay_within(card: Device, precision: Precision, tolerance: f32) {
    let (mut left, mut right) = (network(0.5), network(0.5));
    let samples = samples(&left, 7);
    let mut reference = on(&left, 7, Mode::Frozen, Device::Cpu(Isa::best()), false);
    let mut engine = on(&right, 7, Mode::Frozen, card, false);
    let expected = pass(&mut reference, &mut left, &samples, 7);
    let found = pass(&mut engine, &mut right, &samples, 7);
    assert_near(precision.name(), &found.logits, &expected.logits, tolerance);
    assert!(found.logits != expected.logits, "{precision:?} rounds");
    // Where a rectifier is within rounding of its edge, a gradient may go another way: by length.
    for p in &left.parameters {
        let apart: f64 = p
            .range
            .clone()
            .map(|i| f64::from(found.gradient[i] - expected.gradient[i]).powi(2))
            .sum();
        let all: f64 = p.range.clone().map(|i| f64::from(expected.gradient[i]).powi(2)).sum();
        let share = (apart / all).sqrt();
        assert!(share < 10.0 * f64::from(tolerance), "{precision:?} {}: {share}", p.name);
    }
}

#[test]
fn a_device_that_fails_is_told_of_and_gives_no_numbers() {
    let Some(emulator) = Emulator::new(Order::Forward).unwrap() else { return };
    let mut emulator = emulator.with(|facts| facts.ordinal = 18);
    emulator.fail_after(4);
    open(Box::new(emulator));
    let card =
        Device::Cuda { ordinal: 18, capability: [9, 0], precision: Precision::F32, sparse: None };
    let mut network = network(0.3);
    let samples = samples(&network, 2);
    let mut engine = on(&network, 2, Mode::Train, card, false);
    engine.load(&network, 2, |i, out| out.copy_from_slice(&samples.values[i]));
    engine.forward(&mut network);
    let mut gradient = vec![0.0; network.values.len()];
    let loss = engine.backward(&network, &samples.labels, &mut gradient);
    assert!(matches!(engine.trouble(), Err(CudaError::Driver { .. })), "{:?}", engine.trouble());
    assert!(loss.sum.is_nan() && gradient.iter().all(|g| g.is_nan()));
    assert!(engine.logits().iter().all(|logit| logit.is_nan()));
}

#[test]
fn too_little_memory_and_a_device_that_is_not_open_are_refused_with_their_numbers() {
    let Some(emulator) = Emulator::new(Order::Forward).unwrap() else { return };
    open(Box::new(emulator.with(|facts| (facts.ordinal, facts.memory) = (19, 1 << 20))));
    let card =
        Device::Cuda { ordinal: 19, capability: [9, 0], precision: Precision::F32, sparse: None };
    let big = network(1.0);
    let refused = on(&big, 64, Mode::Train, card, false).trouble().unwrap_err();
    let plan =
        Plan::for_card(&big, 64, Mode::Train, false, &vec![true; big.description.nodes.len()]);
    let asked = Engine::card_bytes(&big, &plan, card).unwrap().total();
    assert!(
        matches!(refused, CudaError::Memory { needed, .. } if needed == asked),
        "{refused} where {asked} are planned"
    );
    let nobody =
        Device::Cuda { ordinal: 99, capability: [9, 0], precision: Precision::F32, sparse: None };
    let refused = on(&big, 1, Mode::Train, nobody, false).trouble().unwrap_err();
    assert_eq!(refused, CudaError::NotOpen { ordinal: 99 });
}

/// What PyTorch holds for the same network is weights, gradients and momenta in f32, all dense.
#[test]
fn a_sparse_network_takes_a_fraction_of_a_dense_ones_state_and_scratch() {
    let text = builtin("resnet18").unwrap();
    let description = Arc::new(Description::parse(text, "resnet18", 10).unwrap());
    let network = Network::new(description, 1);
    let dense = 3 * 4 * network.values.len() as u64;
    for allocation in [Allocation::Uniform, Allocation::Global] {
        let kept = masks(&network, 0.95, allocation, Criterion::Magnitude, 1).unwrap();
        let mut network = network.clone();
        network.set_masks(kept);
        let all = vec![true; network.description.nodes.len()];
        let plan = Plan::for_card(&network, 64, Mode::Train, false, &all);
        for (capability, precision) in [([9, 0], Precision::Tf32), ([7, 2], Precision::F32)] {
            let card = Device::Cuda { ordinal: 0, capability, precision, sparse: None };
            let bytes = Engine::card_bytes(&network, &plan, card).unwrap();
            let kept = bytes.weights + bytes.gradient + bytes.state;
            println!("{allocation:?} {}: {bytes:?} beside {dense}", card.name());
            assert!(8 * kept <= dense, "{allocation:?}: {kept} of {dense}");
            assert!(4 * (kept + bytes.scratch) <= dense, "{allocation:?}: {bytes:?} of {dense}");
        }
    }
}
