//! Small homes: a base of the made population, and a household.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use unlearn::base::disk::{Disk, FileDisk};
use unlearn::data::{Dataset, Population, Values as Stored};
use unlearn::erase::{Given, Home, Setup, default_recipe, file_keys};
use unlearn::format::{
    AnchorPart, AnchorSet, AnchorValues, ClassesAndFeatures, Dtype, Facts, Provenance,
};
use unlearn::model::{Description, Network, file};
use unlearn::sparse::Isa;
use unlearn::train::{Quiet, Recipe, State, run};
use unlearn::vault::Values;

const TINY: &str = r#"
name = "tiny"
summary = "One hidden layer for the made population."

[input]
shape = [1, 16, 16]
mean = [0.2]
std = [0.3]

[[op]]
name = "fc1"
kind = "linear"
outputs = 24
prunable = true

[[op]]
name = "relu1"
kind = "relu"

[[op]]
name = "fc2"
kind = "linear"
outputs = "classes"
"#;

fn population() -> Population {
    Population {
        subjects: 6,
        household: 3,
        train_samples: 6,
        test_samples: 2,
        ..Population::default()
    }
}

/// A base that nobody of the household is in, with an anchor set.
pub fn base() -> &'static [u8] {
    static BASE: OnceLock<Vec<u8>> = OnceLock::new();
    BASE.get_or_init(|| base_of(Provenance::Population))
}

/// The same, as its maker declares it.
pub fn base_of(provenance: Provenance) -> Vec<u8> {
    let data = population().base();
    let description = Arc::new(Description::parse(TINY, "tiny", 10).unwrap());
    let mut state = State::new(Network::new(description, 1));
    let recipe = Recipe { epochs: 15, batch: 32, rate: 0.05, ..Recipe::default() };
    run(&mut state, &data.train, &recipe, None, Isa::named("portable").unwrap(), &mut Quiet)
        .unwrap();
    let facts = Facts::new(provenance).with("command", "train");
    let meaning = ClassesAndFeatures::plain(data.train.classes.clone());
    let anchor = anchor(&data.train, 60, &data.test, 40);
    file::encode(&state.network, &meaning, &facts, Dtype::F16, None, Some(&anchor)).unwrap()
}

fn anchor(train: &Dataset, trains: usize, test: &Dataset, calibrates: usize) -> AnchorSet {
    let bytes = |of: &Dataset, count: usize| match &of.values {
        Stored::Bytes(bytes) => bytes[..count * of.sample_len()].to_vec(),
        _ => unreachable!("the made population is of bytes"),
    };
    AnchorSet {
        shape: [1, 16, 16],
        labels: [&train.labels[..trains], &test.labels[..calibrates]].concat(),
        parts: [vec![AnchorPart::Train; trains], vec![AnchorPart::Calibrate; calibrates]].concat(),
        values: AnchorValues::Bytes([bytes(train, trains), bytes(test, calibrates)].concat()),
    }
}

/// What the household gives: `h1`, `h2`, `h3`, sixty samples each.
pub fn household() -> Vec<Given> {
    given(&population())
}

/// What a larger household gives: `h1` and on, so many samples of each sign.
pub fn large_household(people: usize, samples: usize) -> Vec<Given> {
    given(&Population { household: people, train_samples: samples, ..population() })
}

fn given(of: &Population) -> Vec<Given> {
    let data = of.household().train;
    let Stored::Bytes(bytes) = &data.values else {
        unreachable!("the made population is of bytes")
    };
    let len = data.sample_len();
    let given = |i: usize| Given {
        subjects: vec![data.subject_names[data.subjects[i] as usize].clone()],
        label: data.classes[data.labels[i] as usize].clone(),
        group: None,
        values: Values::Bytes(bytes[i * len..][..len].to_vec()),
    };
    (0..data.len()).map(given).collect()
}

/// What `names` give.
pub fn of(names: &[&str]) -> Vec<Given> {
    let mut all = household();
    all.retain(|given| names.contains(&&*given.subjects[0]));
    all
}

/// A short adaptation.
pub fn recipe() -> Recipe {
    Recipe { epochs: 3, batch: 16, ..default_recipe() }
}

/// A new home in `folder`.
pub fn fresh(disk: Box<dyn Disk + Send>, folder: &Path) -> Home {
    try_fresh(disk, folder).unwrap()
}

/// As [`fresh`], which may fail.
pub fn try_fresh(
    disk: Box<dyn Disk + Send>,
    folder: &Path,
) -> Result<Home, unlearn::erase::HomeError> {
    let keys = file_keys(folder);
    Home::init(disk, folder, keys, base().to_vec(), Path::new("base.esm"), Setup::default())
}

/// The home in `folder`, opened again.
pub fn reopened(folder: &Path) -> Home {
    Home::open(Box::new(FileDisk), folder, file_keys(folder)).unwrap()
}

/// A home of the whole household, adapted to it.
pub fn adapted(folder: &Path) -> Home {
    let mut home = fresh(Box::new(FileDisk), folder);
    home.ingest(&household()).unwrap();
    home.adapt(recipe(), &mut ()).unwrap();
    home
}
