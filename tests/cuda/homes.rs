//! A home that learns on a CUDA device: the same people are erased, the same is learnt, to rounding; cut short it
//! goes on to the same bytes; without its device, or when that fails, the processor does the work from the beginning.

use std::path::Path;

use tempfile::{TempDir, tempdir};
use unlearn::base::disk::FileDisk;
use unlearn::erase::receipt::Claimed;
use unlearn::erase::{Choice, Home, HomeError, Limits, Next, Served, Wish};
use unlearn::model::Device;
use unlearn::sparse::Isa;
use unlearn::sparse::cuda::{CudaError, Precision, open, opened};
use unlearn::train::{Control, Progress, TrainError};

use crate::common::home::{fresh, household, recipe, reopened};
use crate::emulator::{Emulator, Order};
use crate::learning::card;

fn ingested(folder: &TempDir, device: Device) -> Home {
    let mut home = fresh(Box::new(FileDisk), &folder.path().join("home"));
    home.compute_on(device);
    home.ingest(&household()).unwrap();
    home
}

fn again(home: Home, device: Device) -> Home {
    let path = home.folder().to_path_buf();
    drop(home);
    let mut home = reopened(&path);
    home.compute_on(device);
    home
}

fn id(home: &Home) -> String {
    home.live().unwrap().id.to_string()
}

fn weights(home: &Home) -> Vec<f32> {
    home.live().unwrap().network.values
}

fn apart(found: &[f32], right: &[f32]) -> f64 {
    assert_eq!(found.len(), right.len());
    let square = |v: f32| f64::from(v).powi(2);
    let off: f64 = found.iter().zip(right).map(|(f, r)| square(f - r)).sum();
    (off / right.iter().map(|&r| square(r)).sum::<f64>()).sqrt()
}

/// Stops in the middle of the second epoch.
fn cut(_: usize, _: usize, progress: Progress) -> Control {
    if progress.epoch == 1 { Control::Stop } else { Control::Continue }
}

fn failed(result: Result<impl std::fmt::Debug, HomeError>) {
    assert!(matches!(result, Err(HomeError::Train(TrainError::Device(_)))), "{result:?}");
}

/// A device at `ordinal` whose launch after `launches` more fails.
fn failing(ordinal: u32, launches: u64) {
    let mut emulator = Emulator::fast(Order::Forward).unwrap().unwrap();
    emulator.fail_after(launches);
    open(Box::new(emulator.with(|facts| facts.ordinal = ordinal)));
}

#[test]
fn a_person_is_erased_on_a_device_as_on_the_processor() {
    let Some(device) = card(70) else { return };
    let folders: [TempDir; 2] = std::array::from_fn(|_| tempdir().unwrap());
    let devices = [Isa::best().into(), device];
    let free = || opened(70).unwrap().lock().unwrap().free_memory().unwrap();
    let before = free();
    let [there, here] = [1, 0].map(|at| {
        let mut home = ingested(&folders[at], devices[at]);
        assert_eq!(home.device(), devices[at]);
        home.order_adapting(recipe()).unwrap();
        assert_eq!(home.state().pending.as_ref().unwrap().plan, {
            unlearn::train::Compute::from(devices[at]).name()
        });
        home.finish_adapting(&mut ()).unwrap();
        let adapted = weights(&home);
        home.receive(vec![Wish::new("h2")], true).unwrap();
        let erased = home.carry_out(Limits::default(), &mut ()).unwrap().unwrap();
        assert_eq!((erased.choice, erased.failures.len()), (Choice::ExactReplay, 0));
        let people: Vec<String> = home.people().unwrap().into_iter().map(|(_, p)| p.name).collect();
        assert_eq!(people, ["h1", "h3"]);
        let receipt = std::fs::read(home.receipt_path(erased.receipt)).unwrap();
        let key = home.signing_key().unwrap().public();
        Claimed::parse(&receipt).unwrap().verify(&key).unwrap();
        (adapted, weights(&home), id(&home))
    });
    assert_ne!(there.2, here.2, "the device learnt: it rounds otherwise");
    assert!(apart(&there.0, &here.0) < 1e-3, "{}", apart(&there.0, &here.0));
    assert!(apart(&there.1, &here.1) < 1e-3, "{}", apart(&there.1, &here.1));
    assert_eq!(free(), before, "everything was given back");
}

#[test]
fn what_was_cut_short_goes_on_where_it_was_computed_and_else_begins_anew() {
    let Some(device) = card(71) else { return };
    let cpu = Device::from(Isa::best());
    let whole = |device| {
        let folder = tempdir().unwrap();
        let mut home = ingested(&folder, device);
        home.adapt(recipe(), &mut ()).unwrap();
        id(&home)
    };
    let [there, here] = [device, cpu].map(whole);
    let begun = |folder: &TempDir| {
        let mut home = ingested(folder, device);
        let stopped = home.adapt(recipe(), &mut cut).unwrap_err();
        assert!(matches!(stopped, HomeError::Interrupted), "{stopped}");
        home
    };
    let epochs = |home: &mut Home| {
        let mut first = None;
        let mut look = |_: usize, _: usize, progress: Progress| {
            first.get_or_insert(progress.epoch);
            Control::Continue
        };
        home.finish_adapting(&mut look).unwrap();
        first.unwrap()
    };
    let folder = tempdir().unwrap();
    let mut home = again(begun(&folder), device);
    assert_eq!((epochs(&mut home), id(&home)), (1, there.clone()), "from the last whole epoch on");
    // Without the device; cut short there, it goes on there.
    let folder = tempdir().unwrap();
    let mut home = again(begun(&folder), cpu);
    assert!(home.finish_adapting(&mut cut).is_err());
    let mut home = again(home, cpu);
    assert_eq!((epochs(&mut home), id(&home)), (1, here));
    // What the processor began in its place, the device does not go on with.
    let folder = tempdir().unwrap();
    let mut home = again(begun(&folder), cpu);
    assert!(home.finish_adapting(&mut cut).is_err());
    let mut home = again(home, device);
    assert_eq!((epochs(&mut home), id(&home)), (0, there));
    // One that is open under this number, and is another.
    let Device::Cuda { ordinal, precision, sparse, .. } = device else { panic!() };
    let other = Device::Cuda { ordinal, capability: [8, 7], precision, sparse };
    let folder = tempdir().unwrap();
    let mut home = ingested(&folder, other);
    failed(home.adapt(recipe(), &mut ()));
    assert!(home.state().pending.is_none());
}

#[test]
fn a_device_that_fails_leaves_the_home_as_it_was_and_the_processor_can_finish() {
    let Some(device) = card(72) else { return };
    let (cpu, folder) = (Device::from(Isa::best()), tempdir().unwrap());
    let erased_here = {
        let folder = tempdir().unwrap();
        let mut home = ingested(&folder, cpu);
        home.adapt(recipe(), &mut ()).unwrap();
        home.receive(vec![Wish::new("h2")], true).unwrap();
        home.carry_out(Limits::default(), &mut ()).unwrap();
        id(&home)
    };
    let mut home = ingested(&folder, device);
    let base = id(&home);
    failing(72, 60);
    failed(home.adapt(recipe(), &mut ()));
    assert_eq!((id(&home), home.served()), (base.clone(), Served::Base));
    assert!(home.state().models.is_empty(), "nothing was adopted");
    let mut home = again(home, cpu);
    home.finish_adapting(&mut ()).unwrap();
    // While steps are timed, then in the run.
    home.compute_on(device);
    home.receive(vec![Wish::new("h2")], true).unwrap();
    let next = |home: &Home| home.job().unwrap().next();
    while next(&home) != Next::Decide {
        let job = home.job().unwrap();
        home.step(&job, Limits::default(), &mut ()).unwrap();
    }
    failing(72, 10);
    let job = home.job().unwrap();
    failed(home.step(&job, Limits::default(), &mut ()));
    assert!(home.job().unwrap().failures.is_empty() && next(&home) == Next::Decide);
    card(72).unwrap();
    while next(&home) != Next::Unlearn {
        let job = home.job().unwrap();
        home.step(&job, Limits::default(), &mut ()).unwrap();
    }
    failing(72, 60);
    let job = home.job().unwrap();
    failed(home.step(&job, Limits::default(), &mut ()));
    assert!(home.job().unwrap().failures.is_empty() && next(&home) == Next::Unlearn);
    assert_eq!(home.served(), Served::Base, "who knew them does not answer");
    assert_eq!(home.serving().unwrap().id.to_string(), base);
    let mut home = again(home, cpu);
    let erased = home.carry_out(Limits::default(), &mut ()).unwrap().unwrap();
    assert_eq!((erased.choice, id(&home)), (Choice::ExactReplay, erased_here));
}

#[test]
fn a_device_without_room_is_told_and_the_erasure_waits() {
    let Some(emulator) = Emulator::fast(Order::Forward).unwrap() else { return };
    let (capability, precision) = ([9, 0], Precision::F32);
    let device = Device::Cuda { ordinal: 73, capability, precision, sparse: None };
    let total = emulator.with(|facts| facts.ordinal = 73);
    open(Box::new(total));
    let folder = tempdir().unwrap();
    let mut home = ingested(&folder, Isa::best().into());
    home.adapt(recipe(), &mut ()).unwrap();
    home.receive(vec![Wish::new("h2")], true).unwrap();
    let all = {
        let shared = opened(73).unwrap();
        let mut machine = shared.lock().unwrap();
        let free = machine.free_memory().unwrap();
        machine.allocate(free - 4096).unwrap()
    };
    home.compute_on(device);
    let full = home.carry_out(Limits::default(), &mut ()).unwrap_err();
    let HomeError::Train(TrainError::Device(CudaError::Memory { needed, free, .. })) = full else {
        panic!("{full}")
    };
    assert!(needed > free);
    opened(73).unwrap().lock().unwrap().release(all);
    let erased = home.carry_out(Limits::default(), &mut ()).unwrap().unwrap();
    assert_eq!(erased.choice, Choice::ExactReplay, "and no weaker way was taken");
    assert!(Path::new(home.folder()).exists());
}
