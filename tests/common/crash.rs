//! A home on the simulated disk: erasures that lose power, and what must hold when it is back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use unlearn::erase::receipt::{Claimed, Policy, verify_chain};
use unlearn::erase::{
    Choice, Erased, Given, Home, HomeError, Limits, Served, Setup, Wish, file_keys,
};
use unlearn::format::Provenance;
use unlearn::train::{Control, Progress, Recipe};
use unlearn::vault::Handle;

use super::home::{base, base_of, household};
use super::sim::{Image, Point, SimDisk};

/// Where the home lies on the simulated disk.
pub const HOME: &str = "house/home";

/// A disk with room for a home.
pub fn bare() -> SimDisk {
    SimDisk::with_folders(&["house"])
}

/// Makes a home.
pub fn made(disk: &SimDisk, provenance: Provenance) -> Result<Home, HomeError> {
    static ENROLLED: OnceLock<Vec<u8>> = OnceLock::new();
    let package = match provenance {
        Provenance::Population => base().to_vec(),
        other => ENROLLED.get_or_init(|| base_of(other)).clone(),
    };
    let (disk, folder) = (Box::new(disk.clone()), Path::new(HOME));
    Home::init(disk, folder, file_keys(folder), package, Path::new("base"), Setup::default())
}

/// Opens it.
pub fn opened(disk: &SimDisk) -> Result<Home, HomeError> {
    let folder = Path::new(HOME);
    Home::open(Box::new(disk.clone()), folder, file_keys(folder))
}

/// The first `count` samples of `name`, behind `skip` of them.
pub fn some(name: &str, skip: usize, count: usize) -> Vec<Given> {
    let of = household().into_iter().filter(|given| given.subjects == [name]);
    of.skip(skip).take(count).collect()
}

/// A short adaptation: two checkpoints.
pub fn short() -> Recipe {
    Recipe { epochs: 2, ..super::home::recipe() }
}

/// What the home of three people holds, each adapted to as they came; closed in order.
pub fn family(provenance: Provenance) -> Image {
    let disk = bare();
    let mut home = made(&disk, provenance).unwrap();
    home.ingest(&[some("h1", 0, 16), some("h2", 0, 16)].concat()).unwrap();
    home.adapt(short(), &mut ()).unwrap();
    home.ingest(&some("h3", 0, 16)).unwrap();
    home.adapt(short(), &mut ()).unwrap();
    drop(home);
    disk.live()
}

/// The gate lets everything pass: what it measures is tested elsewhere.
pub fn open_gate() -> Limits {
    Limits { drop: 100.0, worst: 100.0, ..Limits::default() }
}

/// Finishes what is open, as `unlearn resume` does.
pub fn resume(home: &mut Home) -> Result<Vec<Erased>, HomeError> {
    let adapts = home.state().pending.as_ref().is_some_and(|work| work.adapts);
    if home.job().is_none() && adapts {
        home.finish_adapting(&mut ())?;
    }
    home.note_resumed()?;
    let mut erased = Vec::new();
    while let Some(one) = home.carry_out(open_gate(), &mut ())? {
        erased.push(one);
    }
    Ok(erased)
}

/// What a home has come to, with nothing under way.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// The model that is served, and those that are kept.
    pub live: Option<String>,
    pub models: Vec<String>,
    pub base: String,
    /// Who stays, with how many samples.
    pub people: Vec<(String, u64)>,
    pub erased: BTreeSet<Handle>,
    /// Of each receipt: requests, samples of training and holdouts that went, the method.
    pub receipts: Vec<(usize, u64, u64, String)>,
}

/// Reads what a home has come to, and holds it against what is always so.
pub fn end_of(home: &Home, disk: &SimDisk) -> End {
    assert!(home.job().is_none() && home.state().pending.is_none(), "something is under way");
    let state = home.state();
    let erased: BTreeSet<Handle> = state.erased_people.iter().copied().collect();
    assert_eq!(erased.len(), state.erased_people.len(), "somebody is noted twice");
    let people = home.people().unwrap();
    let handles: BTreeSet<Handle> = people.iter().map(|(handle, _)| *handle).collect();
    assert_eq!(home.keyring().people().collect::<BTreeSet<_>>(), handles, "keys and entries");
    let store = home.store().unwrap();
    for handle in &erased {
        assert!(!handles.contains(handle), "an erased person is there");
        assert!(store.numbers_of(*handle).unwrap().is_empty(), "an erased person has samples");
        assert!(state.holding(&[*handle]).next().is_none(), "a model knows an erased person");
    }
    for (handle, person) in &people {
        let numbers = store.numbers_of(*handle).unwrap().len() as u64;
        assert_eq!(numbers, person.count.samples, "{}", person.name);
    }
    let all: u64 = people.iter().map(|(_, person)| person.count.samples).sum();
    assert_eq!(store.count().unwrap().samples, all);
    let mut opens = 0;
    store.each(home.keyring(), |_, _| true, |_| opens += 1).unwrap();
    assert_eq!(opens, all, "every sample opens, and no other is there");
    files(home, disk);
    let live = match (home.serving(), home.served()) {
        (Ok(model), _) => Some(model.id.to_string()),
        (Err(HomeError::Unavailable), Served::Nobody) => None,
        (Err(error), _) => panic!("{error}"),
    };
    End {
        live,
        models: state.models.iter().map(|model| model.id_text()).collect(),
        base: home.base().id.to_string(),
        people: people.into_iter().map(|(_, p)| (p.name, p.count.samples)).collect(),
        erased,
        receipts: receipts(home),
    }
}

/// Every file has a place, and every key a file.
fn files(home: &Home, disk: &SimDisk) {
    let (state, home_at) = (home.state(), PathBuf::from(HOME));
    let slots: BTreeSet<String> =
        state.models.iter().map(|m| m.slot.clone()).chain(state.base.slot.clone()).collect();
    let keys: BTreeSet<String> = home.keyring().names().map(String::from).collect();
    let mut wanted: BTreeSet<String> = slots.iter().map(|slot| format!("slot/{slot}")).collect();
    wanted.insert("signing".into());
    assert_eq!(keys, wanted, "keys");
    let mut names = ["keyring", "vault.redb", "ballast"].map(String::from).to_vec();
    names.push(format!("keys/device.{}.key", home.generation()));
    names.extend(slots.iter().map(|slot| format!("slots/{slot}.slot")));
    names.extend((1..=state.receipts).map(|number| format!("receipts/{number:06}.receipt")));
    names.extend(state.base.slot.is_none().then(|| "base.esm".to_string()));
    let expected: BTreeSet<PathBuf> = names.iter().map(|name| home_at.join(name)).collect();
    let mut found: BTreeSet<PathBuf> = disk.live().files().map(Path::to_path_buf).collect();
    found.remove(&home_at.join("journal"));
    // What lies outside is no part of the home.
    found.retain(|path| path.starts_with(&home_at));
    assert_eq!(found, expected, "files");
}

fn receipts(home: &Home) -> Vec<(usize, u64, u64, String)> {
    let key = home.signing_key().unwrap().public();
    let verified: Vec<_> = (1..=home.state().receipts)
        .map(|number| home.receipt_bytes(number).unwrap())
        .map(|bytes| Claimed::parse(&bytes).unwrap().verify(&key).unwrap())
        .collect();
    if !verified.is_empty() {
        verify_chain(&verified).unwrap();
    }
    let told = verified.iter().map(|verified| {
        let (receipt, lineage) = (verified.receipt(), &verified.receipt().lineage);
        let (training, holdout) = (lineage.destroyed_training, lineage.destroyed_holdout);
        (receipt.requests.len(), training, holdout, receipt.method.name.clone())
    });
    told.collect()
}

/// Somebody who asks to be erased while `steps` of what was asked before are done, and `batches` of
/// the one behind them.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    pub steps: usize,
    pub batches: usize,
    pub name: &'static str,
    pub policy: Policy,
    pub choice: Option<Choice>,
}

impl Ask {
    pub fn of(name: &'static str, policy: Policy, choice: Choice) -> Self {
        Self { steps: 0, batches: 0, name, policy, choice: Some(choice) }
    }

    pub fn wish(&self) -> Wish {
        Wish { policy: self.policy, method: self.choice, ..Wish::new(self.name) }
    }
}

/// Erasures out of a home that is there.
pub struct Scene {
    pub name: &'static str,
    pub start: Image,
    pub asks: Vec<Ask>,
    /// Handles of those who ask, and of those who were erased before.
    handles: Vec<Handle>,
    gone: BTreeSet<Handle>,
    /// Models that must answer no more when the first so many have asked.
    contaminated: Vec<BTreeSet<String>>,
    /// What it comes to when the first so many have asked.
    pub ends: Vec<End>,
}

/// How many operations were done when something was acknowledged.
#[derive(Debug, Default)]
pub struct Acknowledged {
    pub asked: Vec<usize>,
    pub done: Option<usize>,
}

impl Scene {
    pub fn new(name: &'static str, start: Image, asks: Vec<Ask>) -> Self {
        let disk = SimDisk::from(&start);
        let home = opened(&disk).unwrap();
        let handles: Vec<_> = asks.iter().map(|ask| home.handle_of(ask.name).unwrap()).collect();
        let enrolled = home.state().base.provenance == Provenance::Enrolled;
        let contaminated = (0..=asks.len()).map(|count| {
            let holding = home.state().holding(&handles[..count]).map(|model| model.id_text());
            let mut ids: BTreeSet<String> = holding.collect();
            if enrolled && count > 0 {
                ids.extend(home.state().models.iter().map(|model| model.id_text()));
                ids.insert(home.base().id.to_string());
            }
            ids
        });
        let contaminated = contaminated.collect();
        let gone = home.state().erased_people.iter().copied().collect();
        drop(home);
        let mut scene = Self { name, start, asks, handles, gone, contaminated, ends: Vec::new() };
        for count in 0..=scene.asks.len() {
            let disk = SimDisk::from(&scene.start);
            scene.act(&disk, &mut opened(&disk).unwrap(), count).1.unwrap();
            scene.ends.push(end_of(&opened(&disk).unwrap(), &disk));
        }
        scene
    }

    /// What the first `count` ask for, to the end; and what was acknowledged on the way.
    pub fn act(
        &self,
        disk: &SimDisk,
        home: &mut Home,
        count: usize,
    ) -> (Acknowledged, Result<(), HomeError>) {
        let mut told = Acknowledged::default();
        let mut run = || -> Result<(), HomeError> {
            for ask in &self.asks[..count] {
                for _ in 0..ask.steps {
                    let job = home.job().expect("a job that is not at its end");
                    assert!(home.step(&job, open_gate(), &mut ())?.is_none(), "too many steps");
                }
                if ask.batches > 0 {
                    let (mut left, job) = (ask.batches, home.job().unwrap());
                    let mut stop = |_: usize, _: usize, _: Progress| {
                        left -= 1;
                        if left == 0 { Control::Stop } else { Control::Continue }
                    };
                    match home.step(&job, open_gate(), &mut stop) {
                        Err(HomeError::Interrupted) => {}
                        other => return other.map(|_| panic!("it was not stopped")),
                    }
                }
                home.receive(vec![ask.wish()], true)?;
                told.asked.push(disk.operations());
            }
            while home.carry_out(open_gate(), &mut ())?.is_some() {}
            told.done = Some(disk.operations());
            Ok(())
        };
        let result = run();
        (told, result)
    }

    /// How many of those who ask are known to have asked.
    pub fn asked(&self, home: &Home) -> usize {
        let mut known: BTreeSet<Handle> = home.state().erased_people.iter().copied().collect();
        known.extend(home.job().iter().flat_map(unlearn::erase::Job::people));
        known.retain(|handle| !self.gone.contains(handle));
        let asked = self.handles.iter().take_while(|handle| known.contains(handle)).count();
        assert_eq!(known.len(), asked, "somebody else, or somebody out of order");
        asked
    }

    /// Nobody who knows somebody that asked answers.
    pub fn holds_back(&self, home: &Home) {
        let served = match home.served() {
            Served::Nobody => return,
            Served::Base => home.base().id.to_string(),
            Served::Slot(slot) => home.state().model(&slot).unwrap().id_text(),
        };
        let contaminated = &self.contaminated[self.asked(home)];
        assert!(!contaminated.contains(&served), "what answers knows somebody");
        assert_eq!(home.serving().unwrap().id.to_string(), served);
    }

    /// Opens the home on `disk`, finishes what is open, and holds it against what it must come to;
    /// `asked` had asked before the power went, and all was at its end if `done`.
    pub fn comes_to_its_end(&self, disk: &SimDisk, asked: usize, done: bool) {
        let mut home = opened(disk).unwrap();
        self.holds_back(&home);
        let known = self.asked(&home);
        assert!(known >= asked, "{asked} were acknowledged, {known} are known");
        let erased = resume(&mut home).unwrap();
        assert!(!done || erased.iter().all(|one| one.failures.is_empty()));
        self.at_the_end(&home, disk, known);
        drop(home);
        self.at_the_end(&opened(disk).unwrap(), disk, known);
    }

    pub fn at_the_end(&self, home: &Home, disk: &SimDisk, known: usize) {
        self.holds_back(home);
        let end = end_of(home, disk);
        assert_eq!(end, self.ends[known]);
    }

    /// What was acknowledged before this point.
    pub fn before(&self, told: &Acknowledged, point: usize) -> (usize, bool) {
        let asked = told.asked.iter().filter(|at| **at <= point).count();
        (asked, told.done.is_some_and(|at| at <= point))
    }
}

/// How much was looked at.
#[derive(Debug, Default)]
pub struct Looked {
    pub points: usize,
    pub images: usize,
    pub twice: usize,
}

impl Looked {
    pub fn say(&self, what: &str) {
        let Self { points, images, twice } = self;
        println!("{what}: {points} crash points, {images} images, {twice} of a second loss");
    }
}

/// Hands every image of every point to `check`, and of every `nth` image also those that a second loss
/// of power leaves, in every thirteenth point of `check` itself.
pub fn each(what: &str, points: &[Point], nth: usize, check: impl Fn(&SimDisk, usize)) -> Looked {
    let mut looked = Looked::default();
    for (point, images) in points {
        looked.points += 1;
        for (which, image) in images.iter().enumerate() {
            looked.images += 1;
            let whence = format!("{what}: power lost behind operation {point}, image {which}");
            let disk = SimDisk::from(image);
            if nth > 0 && looked.images.is_multiple_of(nth) {
                disk.record(2);
            }
            telling(&whence, || check(&disk, *point));
            for (again, images) in disk.recorded().iter().skip(looked.images % 13).step_by(13) {
                for (second, image) in images.iter().enumerate() {
                    looked.twice += 1;
                    let whence = format!("{whence}; again behind {again}, image {second}");
                    telling(&whence, || check(&SimDisk::from(image), *point));
                }
            }
        }
    }
    looked.say(what);
    looked
}

/// Says where, should `check` fail.
pub fn telling(whence: &str, check: impl FnOnce()) {
    let guarded = std::panic::AssertUnwindSafe(check);
    if let Err(cause) = std::panic::catch_unwind(guarded) {
        eprintln!("{whence}");
        std::panic::resume_unwind(cause);
    }
}
