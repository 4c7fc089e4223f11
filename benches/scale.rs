//! A home of many: `cargo bench --bench scale -- [--json FILE] [--people N] [--samples N]`.
//!
//! 1,000 people with 100,000 made samples of 16x16 bytes in all, most taken in person by person and the
//! rest in one batch. What a person takes besides samples, and how long everything takes that is asked
//! of such a home: opening it, a first prediction, a request until what knows the person has stopped, a
//! plan, an erasure of somebody no model knows, one by exact replay of an adaptation of the head, and
//! writing the keyring under a new device key. Ends with an error where the slowest of 20 requests takes
//! 100 ms, or a person takes 1 kB.
//!
//! The network is tiny and not trained. Files lie below the target folder, on the disk that it is on.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Map, Value, json};
use unlearn::base::clock::Stopwatch;
use unlearn::base::disk::FileDisk;
use unlearn::erase::{Choice, Home, Limits, Served, Wish, default_recipe, file_keys};
use unlearn::model::Predictor;
use unlearn::sparse::Isa;
use unlearn::train::{Recipe, Trained};
use unlearn::vault::Keyring;

mod common;

const LEN: usize = 256;
/// Requests that are timed.
const REQUESTS: usize = 20;

/// What was measured, as it is printed and as it is kept.
#[derive(Default)]
struct Told(Map<String, Value>);

impl Told {
    fn tell(&mut self, what: &str, unit: &str, value: f64) {
        println!("| {what} | {value:.3} | {unit} |");
        self.0.insert(format!("{what}, {unit}"), json!(value));
    }
}

fn timed<T>(run: impl FnOnce() -> T) -> (T, f64) {
    let watch = Stopwatch::start();
    let out = run();
    (out, watch.seconds())
}

fn bytes(path: &Path) -> f64 {
    std::fs::metadata(path).map_or(0.0, |about| about.len() as f64)
}

fn middle(mut all: Vec<f64>) -> [f64; 2] {
    all.sort_by(f64::total_cmp);
    [all[all.len() / 2], all[all.len() - 1]]
}

/// Erases `name`; seconds of the whole, and what was chosen. Each step is told.
fn erase(told: &mut Told, home: &mut Home, name: &str, what: &str, bar: Choice) {
    let whole = Stopwatch::start();
    home.receive(vec![Wish::new(name)], true).unwrap();
    let limits = Limits { drop: 100.0, worst: 100.0, ..Limits::default() };
    while let Some(job) = home.job() {
        let next = job.next();
        let (erased, seconds) = timed(|| home.step(&job, limits, &mut ()).unwrap());
        told.tell(&format!("{what}: {next:?}").to_lowercase(), "ms", 1e3 * seconds);
        if let Some(erased) = erased {
            assert_eq!(erased.choice, bar);
            assert!(erased.failures.is_empty(), "{:?}", erased.failures);
            break;
        }
    }
    told.tell(what, "ms", 1e3 * whole.seconds());
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let after = |flag: &str| words.iter().position(|word| word == flag).map(|at| &words[at + 1]);
    let count = |flag: &str, default: usize| {
        after(flag).map_or(default, |word| word.parse().expect("a whole number"))
    };
    let (people, samples) = (count("--people", 1000), count("--samples", 100_000));
    let each = samples / people;
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let folder = root.path().join("home");
    let mut told = Told::default();
    println!("{people} people, {each} samples each\n\n| what | | |\n|---|---|---|");
    let mut home = common::fresh(&folder, common::base(common::TINY, 1.0, false));

    // A tenth of the people come one by one, the others in one batch.
    let single = people / 10;
    let first = common::given(0, single, each, LEN, false);
    let watch = Stopwatch::start();
    for of in first.chunks(each) {
        home.ingest(of).unwrap();
    }
    told.tell("taking in, person by person", "samples/s", first.len() as f64 / watch.seconds());
    let rest = common::given(single, people - single - 1, each, LEN, false);
    let (_, seconds) = timed(|| home.ingest(&rest).unwrap());
    told.tell("taking in, one batch", "samples/s", rest.len() as f64 / seconds);
    drop((first, rest));
    // The last person comes to the full home.
    let last = common::given(people - 1, 1, each, LEN, false);
    let (_, seconds) = timed(|| home.ingest(&last).unwrap());
    told.tell("taking in the last person", "ms", 1e3 * seconds);

    let (vault, keyring) = (folder.join("vault.redb"), folder.join("keyring"));
    let counted = home.store().unwrap().count().unwrap();
    told.tell("vault on the disk", "bytes", bytes(&vault));
    told.tell("records, of it", "bytes", counted.bytes as f64);
    told.tell("values, of them", "bytes", (counted.samples as usize * LEN) as f64);
    told.tell("keyring", "bytes", bytes(&keyring));
    told.tell("peak of memory after taking in", "MiB", common::peak() as f64 / f64::from(1 << 20));
    drop(home);

    let (mut home, seconds) = timed(|| common::opened(&folder));
    told.tell("opening", "ms", 1e3 * seconds);
    let (model, seconds) = timed(|| home.serving().unwrap());
    let (_, predicting) = timed(|| {
        let mut predictor = Predictor::new(&model.network, Isa::best());
        predictor.predict(|sample| sample.fill(0.5)).to_vec()
    });
    told.tell("first prediction after opening", "ms", 1e3 * (seconds + predicting));
    let (_, seconds) = timed(|| home.people().unwrap());
    told.tell("listing people", "ms", 1e3 * seconds);
    let (_, seconds) = timed(|| home.handle_of(&common::name(people / 2)).unwrap());
    told.tell("finding one person", "ms", 1e3 * seconds);
    // People alone, without their samples, in a home of their own.
    let metadata = alone(root.path(), people);
    told.tell("keys and entry of a person", "bytes", metadata);

    erase(&mut told, &mut home, &common::name(1), "erasing, never learnt", Choice::NeverLearnt);
    let recipe = Recipe { epochs: 1, trained: Trained::Head, batch: 256, ..default_recipe() };
    let (_, seconds) = timed(|| home.adapt(recipe, &mut ()).unwrap());
    told.tell("adapting the head, one pass", "ms", 1e3 * seconds);
    told.tell("keyring after adapting", "bytes", bytes(&keyring));
    let (mut home, requests) = requests(home);
    told.tell("request until stopped, median of 20", "ms", requests[0]);
    told.tell("request until stopped, slowest of 20", "ms", requests[1]);
    let person = home.handle_of(&common::name(2)).unwrap();
    let (plan, seconds) = timed(|| home.plan(&[person], false, None, None).unwrap());
    told.tell("planning", "ms", 1e3 * seconds);
    told.tell("planned: learning", "ms", 1e3 * plan.taken().map_or(0.0, |way| way.seconds));
    erase(&mut told, &mut home, &common::name(2), "erasing, exact replay", Choice::ExactReplay);
    told.tell("vault on the disk, after both", "bytes", bytes(&vault));
    drop(home);
    let (_, seconds) = timed(|| common::opened(&folder));
    told.tell("opening again", "ms", 1e3 * seconds);
    told.tell("rotating the keyring", "ms", 1e3 * rotation(&folder));
    told.tell("peak of memory", "MiB", common::peak() as f64 / f64::from(1 << 20));
    if let Some(path) = after("--json") {
        let all =
            json!({ "bench": "scale", "people": people, "samples": samples, "figures": told.0 });
        std::fs::write(path, serde_json::to_vec_pretty(&all).unwrap()).unwrap();
    }
    let well = requests[1] < 100.0 && metadata < 1000.0;
    println!("\nslowest request under 100 ms, a person under 1 kB: {well}");
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Bytes of keyring and index that a person takes who has one sample, without the sample's record: the
/// difference between a home of `people` and one of two.
fn alone(root: &Path, people: usize) -> f64 {
    let size = |count: usize| {
        let folder = root.join(format!("alone {count}"));
        let mut home = common::fresh(&folder, common::base(common::TINY, 1.0, false));
        home.ingest(&common::given(0, count, 1, LEN, false)).unwrap();
        home.collect_garbage().unwrap();
        let records = home.store().unwrap().count().unwrap().bytes as f64;
        bytes(&folder.join("vault.redb")) + bytes(&folder.join("keyring")) - records
    };
    (size(people) - size(2)) / (people - 2) as f64
}

/// Median and slowest of requests, in ms, from the name to where what knows the person serves no more.
/// Each is of the same home: its journal is put back, and it is opened again.
fn requests(mut home: Home) -> (Home, [f64; 2]) {
    let folder = home.folder().to_path_buf();
    let journal = folder.join("journal");
    let before = std::fs::read(&journal).ok();
    let live = home.served();
    let mut all = Vec::new();
    for request in 0..REQUESTS {
        let wish = Wish::new(&common::name(3 + 7 * request));
        let (_, seconds) = timed(|| home.receive(vec![wish], true).unwrap());
        assert_ne!(home.served(), live);
        assert_eq!(home.served(), Served::Base);
        all.push(1e3 * seconds);
        drop(home);
        match &before {
            Some(bytes) => std::fs::write(&journal, bytes).unwrap(),
            None => std::fs::remove_file(&journal).unwrap(),
        }
        home = common::opened(&folder);
    }
    (home, middle(all))
}

/// Seconds of writing the keyring under a new device key.
fn rotation(folder: &Path) -> f64 {
    let (mut disk, mut keys) = (FileDisk, file_keys(folder));
    let path = folder.join("keyring");
    let mut keyring = Keyring::open(&mut disk, &path, keys.as_mut()).unwrap();
    timed(|| keyring.rotate(&mut disk, keys.as_mut()).unwrap()).1
}
