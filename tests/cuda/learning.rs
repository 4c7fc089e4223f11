//! Runs and methods of forgetting on a CUDA device learn what they learn on the processor, and a run that
//! goes on from a state ends where the whole run ends, to the byte.

use unlearn::data::{Augment, Dataset, Scenario};
use unlearn::evaluate::{Relearning, Sets, attack_success, relearn};
use unlearn::model::{Device, Network};
use unlearn::prune::{Allocation, Criterion, masks};
use unlearn::sparse::Isa;
use unlearn::sparse::cuda::{CudaError, Precision, open};
use unlearn::train::{
    Compute, Control, EpochReport, L1Form, L1Recipe, Quiet, Recipe, State, TrainError, Trained,
    Watch, run, score,
};
use unlearn::unlearn::{
    FineTune, Fisher, Given, GradientAscent, L1Sparse, Method, NegGradPlus, PruneWhile,
    RandomLabels, Retrain, Salun, Scrub, forget,
};

use crate::common::network::{cnn16, few};
use crate::emulator::{Emulator, Order};
use crate::engine::card_of_this_machine;

pub fn card(ordinal: u32) -> Option<Device> {
    let emulator = Emulator::fast(Order::Forward).unwrap()?;
    open(Box::new(emulator.with(|facts| facts.ordinal = ordinal)));
    Some(Device::Cuda { ordinal, capability: [9, 0], precision: Precision::F32, sparse: None })
}

fn thinned() -> Network {
    let mut network = cnn16(1);
    let kept = masks(&network, 0.8, Allocation::Erk, Criterion::Magnitude, 1).unwrap();
    network.set_masks(kept);
    network
}

fn ran(compute: Compute, recipe: &Recipe, data: &Dataset) -> (State, Vec<EpochReport>) {
    let mut state = State::new(thinned());
    let base: Vec<f32> = state.network.values.iter().map(|value| value * 0.5).collect();
    let base = (recipe.l1.form == L1Form::TowardsBase).then_some(&base[..]);
    let reports = run(&mut state, data, recipe, base, compute, &mut Quiet).unwrap();
    (state, reports)
}

/// The length of the difference, as a share of the length.
fn apart(found: &[f32], right: &[f32]) -> f64 {
    assert_eq!(found.len(), right.len());
    let square =
        |all: &mut dyn Iterator<Item = f32>| all.map(|v| f64::from(v).powi(2)).sum::<f64>();
    let off = square(&mut found.iter().zip(right).map(|(f, r)| f - r));
    (off / square(&mut right.iter().copied())).sqrt()
}

fn recipes() -> Vec<(&'static str, Recipe)> {
    let plain = Recipe { epochs: 2, batch: 24, rate: 0.02, ..Recipe::default() };
    let l1 = |form| L1Recipe { form, alpha: 1e-3, ..L1Recipe::OFF };
    vec![
        ("plain", plain.clone()),
        ("frozen", Recipe { frozen_norm: true, ..plain.clone() }),
        ("head", Recipe { trained: Trained::Head, ..plain.clone() }),
        ("subgradient", Recipe { l1: l1(L1Form::Subgradient), ..plain.clone() }),
        ("proximal", Recipe { l1: l1(L1Form::Proximal), ..plain.clone() }),
        ("towards the base", Recipe { l1: l1(L1Form::TowardsBase), ..plain }),
    ]
}

#[test]
fn runs_learn_what_they_learn_on_the_processor() {
    if let Some(card) = card(30) {
        learn_the_same(card);
    }
}

#[test]
fn runs_on_a_card_learn_what_they_learn_on_the_processor() {
    if let Some(card) = card_of_this_machine(Precision::F32) {
        learn_the_same(card);
    }
}

fn learn_the_same(card: Device) {
    let data = few();
    for (name, recipe) in recipes() {
        let pieces: &[Option<usize>] = if name == "plain" { &[None, Some(16)] } else { &[None] };
        for &micro_batch in pieces {
            let on = |device: Device| Compute { micro_batch, ..device.into() };
            let (left, expected) = ran(on(Isa::best().into()), &recipe, &data.train);
            let (right, found) = ran(on(card), &recipe, &data.train);
            let off = apart(&right.network.values, &left.network.values);
            assert!(off < 1e-3, "{name}, pieces {micro_batch:?}: {off}");
            assert!(apart(&right.momentum, &left.momentum) < 1e-2, "{name}: momenta");
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found.loss - expected.loss).abs() < 1e-3 * expected.loss, "{name}");
                let centred = found.at_centre.abs_diff(expected.at_centre);
                assert!(centred * 50 <= expected.at_centre.max(50), "{name}: {found:?}");
            }
            let all: Vec<usize> = (0..data.test.len()).collect();
            let answers =
                |network, device: Device| score(network, &data.test, &all, device).unwrap();
            let off =
                apart(&answers(&right.network, card), &answers(&right.network, Isa::best().into()));
            assert!(off < 1e-5, "{name}: answers {off} apart");
        }
    }
}

/// Stops after the first epoch.
struct Once;

impl Watch for Once {
    fn epoch(&mut self, _: &State, _: &EpochReport) -> Result<Control, TrainError> {
        Ok(Control::Stop)
    }
}

#[test]
fn a_run_that_goes_on_ends_where_the_whole_run_ends() {
    let Some(card) = card(31) else { return };
    let (data, (_, recipe)) = (few(), recipes().swap_remove(4));
    let (whole, _) = ran(card.into(), &recipe, &data.train);
    let mut state = State::new(thinned());
    run(&mut state, &data.train, &recipe, None, card, &mut Once).unwrap();
    assert_eq!(state.epoch, 1);
    run(&mut state, &data.train, &recipe, None, card, &mut Quiet).unwrap();
    assert!(state == whole);
}

#[test]
fn methods_forget_what_they_forget_on_the_processor() {
    let Some(card) = card(32) else { return };
    let data = few();
    let recipe = Recipe { epochs: 3, batch: 32, ..Recipe::default() };
    let (state, _) = ran(Isa::best().into(), &recipe, &data.train);
    let sets = Sets::new(&Scenario::parse("subject=p01").unwrap(), &data, 1).unwrap();
    let (retain, gone) = (data.train.subset(&sets.retain), data.train.subset(&sets.forget));
    let tuning = || FineTune { epochs: 1, rate: 0.01, batch: 32, ..FineTune::default() };
    for method in [
        Method::FineTune(tuning()),
        Method::L1Sparse(L1Sparse { tuning: tuning(), ..L1Sparse::default() }),
        Method::GradientAscent(GradientAscent {
            tuning: FineTune { rate: 1e-3, ..tuning() },
            alpha: 1e-4,
        }),
        Method::NegGradPlus(NegGradPlus { tuning: tuning(), beta: 0.9 }),
        Method::RandomLabels(RandomLabels { tuning: tuning(), shuffled: true }),
        Method::Salun(Salun { tuning: tuning(), ..Salun::default() }),
        Method::Scrub(Scrub { tuning: tuning(), away: 1, ..Scrub::default() }),
        Method::PruneWhile(PruneWhile {
            tuning: FineTune { epochs: 2, ..tuning() },
            ..PruneWhile::default()
        }),
        Method::Retrain(Retrain { epochs: 1, batch: 32, sam: 0.5, ..Retrain::default() }),
        Method::Fisher(Fisher::default()),
    ] {
        let on = |device: Device| {
            let given = Given { forget: Some(&gone), ..Given::only(&retain) };
            forget(&method, &state.network, given, Augment::default(), 1, device, &mut Quiet)
                .unwrap()
        };
        let (left, right) = (on(Isa::best().into()), on(card));
        let name = method.name();
        // Where a method ranks weights, two that are equal up to rounding may change places.
        let same = left.network.masks() == right.network.masks();
        assert!(same || matches!(method, Method::PruneWhile(_)), "{name}: masks");
        if same {
            let off = apart(&right.network.values, &left.network.values);
            assert!(off < 5e-3, "{name}: {off} apart");
            assert!(off > 0.0, "{name}: a device rounds otherwise, and this ran elsewhere");
        }
        for (left, right) in left.epochs.iter().zip(&right.epochs) {
            assert!((left.loss - right.loss).abs() < 5e-3 * left.loss.abs(), "{name}: loss");
        }
    }
}

#[test]
fn what_is_learnt_again_takes_the_steps_that_it_takes_on_the_processor() {
    let Some(card) = card(34) else { return };
    let data = few();
    let recipe = Recipe { epochs: 6, batch: 32, rate: 0.05, ..Recipe::default() };
    let (state, _) = ran(Isa::best().into(), &recipe, &data.train);
    let sets = Sets::new(&Scenario::parse("subject=p01").unwrap(), &data, 1).unwrap();
    let forget = data.train.subset(&sets.forget);
    let (rate, batch, margin) = (0.05, 16, 30.0);
    let settings = Relearning { rate, batch, margin, orders: 2, ..Relearning::default() };
    let on = |device: Device| {
        relearn(&thinned(), &state.network, &forget, &settings, device.into(), &|| false).unwrap()
    };
    let (left, right) = (on(Isa::best().into()), on(card));
    assert_eq!((left.goal, left.start), (right.goal, right.start));
    assert!(
        left.runs.iter().all(|run| run.steps != Some(0)),
        "there was nothing to learn: {left:?}"
    );
    assert!(left.mean_steps.is_some(), "it was never learnt: {left:?}");
    // A step of which the accuracy lies on the edge may be one look earlier or later.
    for (left, right) in left.runs.iter().zip(&right.runs) {
        let (left_steps, right_steps) = (left.steps.unwrap(), right.steps.unwrap());
        assert!(left_steps.abs_diff(right_steps) <= 2, "{left:?} {right:?}");
    }
}

#[test]
fn a_backdoor_opens_as_often_as_on_the_processor() {
    let Some(card) = card(35) else { return };
    let data = few();
    let recipe = Recipe { epochs: 2, batch: 32, ..Recipe::default() };
    let (state, _) = ran(Isa::best().into(), &recipe, &data.train);
    let Scenario::Backdoor(backdoor) = Scenario::parse("backdoor=0:10").unwrap() else { panic!() };
    let on =
        |device: Device| attack_success(&state.network, &data.test, &backdoor, device).unwrap();
    assert_eq!(on(card), on(Isa::best().into()));
}

#[test]
fn a_device_that_fails_ends_a_run_with_its_words() {
    let Some(emulator) = Emulator::fast(Order::Forward).unwrap() else { return };
    let mut emulator = emulator.with(|facts| facts.ordinal = 33);
    emulator.fail_after(300);
    open(Box::new(emulator));
    let card =
        Device::Cuda { ordinal: 33, capability: [9, 0], precision: Precision::F32, sparse: None };
    let (data, (_, recipe)) = (few(), recipes().swap_remove(0));
    let mut state = State::new(thinned());
    let failed = run(&mut state, &data.train, &recipe, None, card, &mut Quiet).unwrap_err();
    assert!(matches!(failed, TrainError::Device(CudaError::Driver { .. })), "{failed}");
}

#[test]
fn a_step_is_one_launch_and_the_next_batch_is_laid_out_meanwhile() {
    let Some(emulator) = Emulator::fast(Order::Forward).unwrap() else { return };
    let (emulator, data) = (emulator.with(|facts| facts.ordinal = 34), few());
    let calls = emulator.calls();
    open(Box::new(emulator));
    let card =
        Device::Cuda { ordinal: 34, capability: [9, 0], precision: Precision::F32, sparse: None };
    let samples = data.train.len() / 16 * 16;
    let train = data.train.subset(&(0..samples).collect::<Vec<_>>());
    let recipe =
        Recipe { epochs: 1, batch: 16, l1: recipes().swap_remove(4).1.l1, ..Recipe::default() };
    ran(card.into(), &recipe, &train);
    let calls = calls.lock().unwrap().clone();
    // The first step is launched, the second recorded; from then on:
    let steady = calls.iter().rposition(|call| *call == "record").unwrap();
    let steps = samples / 16;
    let step = ["upload", "upload", "replay", "fetch", "collect"];
    let mut expected = vec!["record"];
    // What is recorded, then the second step, whose samples were there before.
    let recorded = calls[steady + 1..].iter().position(|call| *call == "replay").unwrap();
    expected.extend(&calls[steady + 1..steady + 1 + recorded]);
    expected.extend(["replay", "fetch", "collect"]);
    (2..steps).for_each(|_| expected.extend(step));
    // The last loss, what is at the centre; weights, momenta and statistics.
    expected.extend(["collect", "download", "download", "download", "download"]);
    assert_eq!(calls[steady..], expected[..]);
    let launches = &calls[steady + 1..steady + 1 + recorded];
    assert!(launches.iter().all(|call| ["launch", "clear", "copy"].contains(call)), "{launches:?}");
}

#[test]
fn an_evaluation_uploads_weights_once_and_asks_one_batch_behind() {
    let Some(emulator) = Emulator::fast(Order::Forward).unwrap() else { return };
    let (emulator, data) = (emulator.with(|facts| facts.ordinal = 35), few());
    let calls = emulator.calls();
    open(Box::new(emulator));
    let card =
        Device::Cuda { ordinal: 35, capability: [9, 0], precision: Precision::F32, sparse: None };
    let (network, all) = (thinned(), (0..12).collect::<Vec<usize>>());
    let pieces = Compute { micro_batch: Some(3), ..card.into() };
    let answers = score(&network, &data.test, &all, pieces).unwrap();
    let calls = calls.lock().unwrap().clone();
    let steady = calls.iter().rposition(|call| *call == "record").unwrap();
    let of_steps = calls[steady..].iter().filter(|call| !["launch", "clear"].contains(call));
    let step = ["upload", "replay", "fetch", "collect"];
    let expected = ["record", "replay", "fetch", "collect"];
    let expected = [&expected[..], &step, &step, &["collect"]].concat();
    assert_eq!(of_steps.copied().collect::<Vec<_>>(), expected);
    let right = score(&network, &data.test, &all, Isa::best()).unwrap();
    assert!(apart(&answers, &right) < 1e-5);
}
