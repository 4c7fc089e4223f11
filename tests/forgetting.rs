//! Defends the methods of forgetting: the mask holds, what left stays away, and nothing but the
//! retained samples has a say in the bytes that come out.
//!
//! Remembers: forgetting with no epochs passed for forgetting, and a set with a label out of range
//! or a NaN reached the engine.

mod common;

use common::network::{cnn16, digest, few, scribbled};
use unlearn::data::{Augment, DataError, Dataset, Scenario, Values};
use unlearn::evaluate::Sets;
use unlearn::format::{ClassesAndFeatures, Dtype, Facts, Provenance};
use unlearn::model::{Network, file};
use unlearn::prune::{Allocation, Criterion, masks};
use unlearn::sparse::{Isa, Mask};
use unlearn::train::{L1Form, L1Reach, L1Schedule, Quiet, Recipe, State, TrainError, run, score};
use unlearn::unlearn::{FineTune, Given, L1Sparse, Method, Outcome, Retrain, Start, forget};

const FORMS: [L1Form; 3] = [L1Form::Subgradient, L1Form::Proximal, L1Form::TowardsBase];

/// A network at 80 % sparsity that learnt all samples of [`few`].
fn learnt() -> Network {
    let mut network = cnn16(1);
    let kept = masks(&network, 0.8, Allocation::Erk, Criterion::Magnitude, 1).unwrap();
    network.set_masks(kept);
    let mut state = State::new(network);
    let recipe = Recipe { epochs: 2, batch: 32, ..Recipe::default() };
    run(&mut state, &few().train, &recipe, None, Isa::best(), &mut Quiet).unwrap();
    state.network
}

fn tuning() -> FineTune {
    FineTune { epochs: 2, batch: 32, ..FineTune::default() }
}

fn l1(form: L1Form) -> Method {
    // Strong enough that some weights reach their centre in a few steps.
    let (alpha, strength) = (2.0, L1Schedule::Constant);
    Method::L1Sparse(L1Sparse { tuning: tuning(), alpha, form, strength, ..L1Sparse::default() })
}

fn retrain(seed: u64) -> Method {
    let start = Start::Seed(seed);
    Method::Retrain(Retrain { epochs: 2, batch: 32, start, ..Retrain::default() })
}

fn methods() -> Vec<Method> {
    let l1 = FORMS.into_iter().map(l1);
    [retrain(1), Method::FineTune(tuning())].into_iter().chain(l1).collect()
}

fn forgotten(method: &Method, network: &Network, retain: &Dataset) -> Outcome {
    let augment = Augment::default();
    let given = Given { base: Some(network), ..Given::only(retain) };
    forget(method, network, given, augment, 1, Isa::best(), &mut Quiet).unwrap()
}

fn without_p01() -> (Dataset, Sets) {
    let data = few();
    let sets = Sets::new(&Scenario::parse("subject=p01").unwrap(), &data, 1).unwrap();
    (data.train, sets)
}

fn within(inner: &Mask, outer: &Mask) -> bool {
    let mut exists = vec![false; outer.len()];
    outer.iter().for_each(|p| exists[p] = true);
    inner.len() == outer.len() && inner.iter().all(|p| exists[p])
}

#[test]
fn no_method_brings_back_a_weight_that_pruning_removed() {
    let (network, (train, sets)) = (learnt(), without_p01());
    let retain = train.subset(&sets.retain);
    for method in methods() {
        let outcome = forgotten(&method, &network, &retain);
        for (i, p) in network.parameters.iter().enumerate() {
            let mask = &outcome.network.parameters[i].mask;
            assert!(within(mask, &p.mask), "{method:?}: {}", p.name);
            assert!(p.prunable || *mask == p.mask, "{method:?}: {}", p.name);
            let dense = outcome.network.dense(i);
            let outside = p.mask.pack(&dense).iter().map(|v| f64::from(v.abs())).sum::<f64>();
            let all = dense.iter().map(|v| f64::from(v.abs())).sum::<f64>();
            assert!((outside - all).abs() < 1e-9, "{method:?}: {} holds weights outside", p.name);
        }
        let left = network.values.len() - outcome.network.values.len();
        assert_eq!(left, outcome.dropped, "{method:?}");
        let proximal = matches!(&method, Method::L1Sparse(l1) if l1.form == L1Form::Proximal);
        assert_eq!(outcome.dropped > 0, proximal, "{method:?}");
        assert!(outcome.complete && outcome.epochs.len() == 2, "{method:?}");
    }
}

#[test]
fn the_samples_to_forget_have_no_say_in_any_byte() {
    let (network, (train, sets)) = (learnt(), without_p01());
    let scribbled = scribbled(&train, &sets.forget);
    assert_ne!(train, scribbled);
    for method in methods() {
        let [one, other] =
            [&train, &scribbled].map(|set| forgotten(&method, &network, &set.subset(&sets.retain)));
        assert_eq!(digest(&one.network), digest(&other.network), "{method:?}");
        let whole = forgotten(&method, &network, &train);
        assert_ne!(digest(&one.network), digest(&whole.network), "{method:?} heeds no sample");
    }
}

#[test]
fn a_retraining_takes_the_mask_of_the_model_and_nothing_of_its_weights() {
    let (network, (train, sets)) = (learnt(), without_p01());
    let retain = train.subset(&sets.retain);
    let mut other = network.clone();
    other.values.iter_mut().for_each(|v| *v = 0.25 - *v);
    other.buffers.iter_mut().for_each(|b| b.values.iter_mut().for_each(|v| *v += 1.0));
    let [one, two] = [&network, &other].map(|network| forgotten(&retrain(1), network, &retain));
    assert_eq!(digest(&one.network), digest(&two.network));
    assert_eq!(one.network.masks(), network.masks());
    let three = forgotten(&retrain(2), &network, &retain);
    assert_ne!(digest(&one.network), digest(&three.network), "another start, the same end");
}

#[test]
fn proximal_zeros_leave_the_file() {
    let (network, (train, sets)) = (learnt(), without_p01());
    let outcome = forgotten(&l1(L1Form::Proximal), &network, &train.subset(&sets.retain));
    let zeros = |network: &Network| {
        let prunable = network.parameters.iter().filter(|p| p.prunable);
        prunable.flat_map(|p| &network.values[p.range.clone()]).filter(|v| **v == 0.0).count()
    };
    assert!(outcome.dropped > 0 && zeros(&outcome.network) == 0, "{} dropped", outcome.dropped);
    let facts = Facts::new(Provenance::Undeclared);
    let meaning = ClassesAndFeatures::plain(train.classes.clone());
    let bytes =
        |network| file::encode(network, &meaning, &facts, Dtype::F32, None, None).unwrap().len();
    let (before, after) = (bytes(&network), bytes(&outcome.network));
    assert!(
        after + 3 * outcome.dropped < before,
        "{before} bytes before, {after} after {} left",
        outcome.dropped
    );
}

#[test]
fn towards_base_returns_weights_exactly_to_the_base() {
    let (network, (train, sets)) = (learnt(), without_p01());
    let retain = train.subset(&sets.retain);
    let mut base = cnn16(1);
    base.set_masks(network.masks());
    let away = |a: &Network| a.values.iter().zip(&base.values).filter(|(a, b)| a != b).count();
    let method = |reach| match l1(L1Form::TowardsBase) {
        Method::L1Sparse(l1) => Method::L1Sparse(L1Sparse { reach, ..l1 }),
        other => other,
    };
    let run = |method: &Method| {
        let augment = Augment::default();
        let base = Some(&base);
        let given = Given { base, ..Given::only(&retain) };
        forget(method, &network, given, augment, 1, Isa::best(), &mut Quiet).unwrap()
    };
    let outcome = run(&method(L1Reach::All));
    let returned = away(&network) - away(&outcome.network);
    assert!(returned > network.values.len() / 10, "{returned} weights returned");
    let counted = outcome.epochs.last().unwrap().at_centre;
    assert_eq!(network.values.len() - away(&outcome.network), counted);
    // Where the term does not reach, weights go their own way.
    let outcome = run(&method(L1Reach::Prunable));
    for p in outcome.network.parameters.iter().filter(|p| !p.prunable) {
        let at = p.range.clone();
        assert_ne!(outcome.network.values[at.clone()], base.values[at], "{}", p.name);
    }
}

#[test]
fn a_method_without_epochs_is_refused_and_not_called_forgetting() {
    let (network, data) = (cnn16(1), few().train);
    let tuning = FineTune { epochs: 0, ..tuning() };
    let l1 = L1Sparse { tuning: tuning.clone(), ..L1Sparse::default() };
    let none = Retrain { epochs: 0, ..Retrain::default() };
    for method in [Method::FineTune(tuning), Method::L1Sparse(l1), Method::Retrain(none)] {
        let augment = Augment::default();
        let refused =
            forget(&method, &network, Given::only(&data), augment, 1, Isa::best(), &mut Quiet);
        let error = refused.unwrap_err();
        assert!(matches!(error, TrainError::Recipe { field: "epochs", .. }), "{error}");
    }
}

#[test]
fn a_set_that_contradicts_itself_is_refused_before_it_is_learnt_or_scored() {
    let network = cnn16(1);
    let sound = few().train;
    let mut label = sound.clone();
    label.labels[7] = 10;
    let mut nan = sound.clone();
    let mut floats = vec![0.5; sound.len() * sound.sample_len()];
    floats[300] = f32::NAN;
    nan.values = Values::Floats(floats);
    for (set, wanted) in [(label, "sample 7: label 10"), (nan, "sample 1, value 44 is NaN")] {
        let mut state = State::new(network.clone());
        let recipe = Recipe { epochs: 1, ..Recipe::default() };
        let trained = run(&mut state, &set, &recipe, None, Isa::best(), &mut Quiet).map(drop);
        let scored = score(&network, &set, &[0], Isa::best()).map(drop);
        for refused in [trained, scored] {
            let error = refused.unwrap_err();
            let of_data = matches!(
                error,
                TrainError::Data(DataError::Reference { .. } | DataError::NotFinite { .. })
            );
            assert!(of_data && error.to_string().contains(wanted), "{error}");
        }
    }
}
