//! The main job on real data: Fashion-MNIST is learnt, pruned, written, read back and forgotten.
//!
//! Looks below the folder that `UNLEARN_DATA` names; says SKIPPED where it is not set. Small parts
//! of the set keep it to seconds: `benches/forgetting.py` measures the whole.

use std::path::Path;
use std::sync::Arc;

use unlearn::data::{Augment, Reading, Scenario, Splits, open_source};
use unlearn::evaluate::{Attack, Sets, measure};
use unlearn::format::{ClassesAndFeatures, Dtype, Facts};
use unlearn::model::{Description, Network, builtin, file};
use unlearn::prune::{Allocation, Criterion, masks};
use unlearn::sparse::Isa;
use unlearn::train::{Quiet, Recipe, Schedule, State, run};
use unlearn::unlearn::{FineTune, Given, L1Sparse, Method, forget};

/// The first samples of a real set, or nothing, said aloud.
fn real(name: &str, train: usize, test: usize) -> Option<Splits> {
    let Some(root) = std::env::var_os("UNLEARN_DATA").filter(|root| !root.is_empty()) else {
        eprintln!("SKIPPED: UNLEARN_DATA is not set, {name} was not looked at");
        return None;
    };
    let all = open_source(name, Some(Path::new(&root)), &Reading::default()).unwrap();
    let first = |n: usize| (0..n).collect::<Vec<_>>();
    let (train, test) = (all.train.subset(&first(train)), all.test.subset(&first(test)));
    Some(Splits { train, test, ..all })
}

fn learn(network: Network, data: &Splits, epochs: usize) -> Network {
    let recipe = Recipe { epochs, batch: 64, schedule: Schedule::Cosine, ..Recipe::default() };
    let mut state = State::new(network);
    run(&mut state, &data.train, &recipe, None, Isa::best(), &mut Quiet).unwrap();
    state.network
}

#[test]
fn a_class_of_fashion_mnist_is_learnt_pruned_kept_and_forgotten() {
    let Some(data) = real("fashion-mnist", 6000, 1000) else { return };
    let description = Description::parse(builtin("cnn28").unwrap(), "cnn28", 10).unwrap();
    let dense = learn(Network::new(Arc::new(description), 2), &data, 2);
    let masks = masks(&dense, 0.9, Allocation::Global, Criterion::Magnitude, 1).unwrap();
    let mut sparse = dense;
    sparse.set_masks(masks);
    let sparse = learn(sparse, &data, 2);

    let sets = Sets::new(&Scenario::parse("class=0").unwrap(), &data, 1).unwrap();
    let attack = Attack::paper(1);
    let isa = Isa::best();
    let before = measure(&sparse, &data, &sets, attack, None, isa).unwrap().report;
    assert!(before.ta.as_ref().unwrap().value > 75.0, "learnt {before:?}");
    assert!(before.ua.unwrap().value < 50.0, "the class was not learnt");

    let tuning = FineTune { epochs: 3, rate: 0.1, batch: 64, ..FineTune::default() };
    let method = Method::L1Sparse(L1Sparse { tuning, ..L1Sparse::default() });
    let retain = data.train.subset(&sets.retain);
    let augment = Augment::default();
    let outcome =
        forget(&method, &sparse, Given::only(&retain), augment, 2, isa, &mut Quiet).unwrap();

    // What is measured is what lies in the file, in half precision.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forgot.esm");
    let meaning = ClassesAndFeatures::plain(data.train.classes.clone());
    let bytes = file::encode(&outcome.network, &meaning, &Facts::default(), Dtype::F16, None, None);
    std::fs::write(&path, bytes.unwrap()).unwrap();
    let kept = file::open(&path).unwrap();
    assert_eq!(kept.network.masks(), sparse.masks());
    let after = measure(&kept.network, &data, &sets, attack, None, isa).unwrap().report;
    assert!(after.ua.unwrap().value > 95.0, "class 0 was not forgotten");
    assert!(after.ta.unwrap().value > 75.0, "the other classes were forgotten too");
    assert!(after.mia_efficacy.unwrap().value > 90.0, "the attack still tells it apart");
}

#[test]
fn a_small_cifar_teaches_resnet20_something() {
    let Some(data) = real("cifar10", 1000, 500) else { return };
    let description = Description::parse(builtin("resnet20").unwrap(), "resnet20", 10).unwrap();
    let network = learn(Network::new(Arc::new(description), 1), &data, 3);
    let indices: Vec<usize> = (0..data.train.len()).collect();
    let scores = unlearn::train::score(&network, &data.train, &indices, Isa::best()).unwrap();
    let right = |i: &usize| {
        let row = &scores[i * 10..][..10];
        let best = (0..10).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
        best as u32 == data.train.labels[*i]
    };
    let correct = indices.iter().filter(|i| right(i)).count();
    assert!(correct > 200, "{correct} of 1000 right: chance is 100");
}
