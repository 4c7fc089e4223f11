//! A copy of the whole home, put back, is refused by its witness; and no loss of power makes an honest home
//! look like one.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::crash::{
    Ask, HOME, Scene, bare, each, end_of, family, made, open_gate, opened, resume, short, some,
};
use common::program::{done, json, refused};
use common::sim::{Image, SimDisk};
use common::stage::Stage;
use unlearn::erase::receipt::{Claimed, Policy, Rollback};
use unlearn::erase::{Choice, Home, HomeError, Wish, file_keys};
use unlearn::format::Provenance;

const WITNESS: &str = "house/witness";

/// The household of [`family`] with a witness.
fn witnessed() -> Image {
    let disk = SimDisk::from(&family(Provenance::Population));
    opened(&disk).unwrap().set_witness(Some(PathBuf::from(WITNESS))).unwrap();
    disk.live()
}

/// How far a witness knows the home to be.
fn mark(image: &Image) -> u64 {
    let bytes = image.get(WITNESS).unwrap();
    u64::from_le_bytes(bytes[28..36].try_into().unwrap())
}

/// The home of `home`, the witness of `other`.
fn put_back(home: &Image, other: &Image) -> SimDisk {
    let mut image = home.clone();
    image.put(WITNESS, &other.get(WITNESS).unwrap());
    SimDisk::from(&image)
}

fn refuses(disk: &SimDisk) {
    let before = disk.live();
    match opened(disk).map(drop) {
        Err(error @ HomeError::PutBack { .. }) => {
            let said = error.to_string();
            assert!(said.contains(WITNESS) && said.contains("put back from a copy"), "{said}");
        }
        other => panic!("{other:?}"),
    }
    let files = |image: &Image| -> Vec<_> {
        image.files().map(|path| (path.to_path_buf(), image.get(path))).collect()
    };
    assert_eq!(files(&before), files(&disk.live()), "a refusal changes nothing");
}

#[test]
fn a_copy_of_the_whole_home_is_refused_from_the_stop_on() {
    let start = witnessed();
    let disk = SimDisk::from(&start);
    let mut home = opened(&disk).unwrap();
    home.receive(vec![Wish::new("h1")], false).unwrap();
    assert_eq!(mark(&disk.live()), mark(&start), "what can be taken back is no mark");
    home.stop_noted().unwrap();
    let stopped = disk.live();
    refuses(&put_back(&start, &stopped));
    opened(&put_back(&stopped, &start)).unwrap();
    resume(&mut home).unwrap();
    assert_eq!(home.rollback(), Rollback::Witness);
    let told = Claimed::parse(&home.receipt_bytes(1).unwrap()).unwrap();
    assert_eq!(told.receipt().rollback, Some(Rollback::Witness));
    let uncovered = told.receipt().not_covered.join("\n");
    assert!(uncovered.contains("together with its witness"), "{uncovered}");
    drop(home);
    let ended = disk.live();
    refuses(&put_back(&start, &ended));
    refuses(&put_back(&stopped, &ended));
    assert_eq!(end_of(&opened(&disk).unwrap(), &disk).people.len(), 2);
    // Two lives of one home, as long as each other: the witness knows which is its own.
    let other = SimDisk::from(&stopped);
    resume(&mut opened(&other).unwrap()).unwrap();
    assert_eq!(mark(&other.live()), mark(&ended));
    refuses(&put_back(&ended, &other.live()));
}

#[test]
fn a_witness_that_is_gone_or_another_is_told_and_can_be_named_anew() {
    let start = witnessed();
    let mut image = start.clone();
    image.take(WITNESS);
    let disk = SimDisk::from(&image);
    let said = opened(&disk).unwrap_err().to_string();
    assert!(said.contains(WITNESS) && said.contains("unlearn witness"), "{said}");
    let again = |disk: &SimDisk| {
        let folder = Path::new(HOME);
        Home::open_without_witness(Box::new(disk.clone()), folder, file_keys(folder))
    };
    let mut home = again(&disk).unwrap();
    let fault = |home: &mut Home, path: &str| match home.set_witness(Some(PathBuf::from(path))) {
        Err(HomeError::Witness { rule, .. }) => rule,
        other => panic!("{other:?}"),
    };
    assert!(fault(&mut home, "house/home/slots/witness").contains("in the home"));
    assert!(!disk.live().files().any(|path| path.ends_with("slots/witness")));
    home.set_witness(Some(PathBuf::from("house/other"))).unwrap();
    drop(home);
    opened(&disk).unwrap().set_witness(None).unwrap();
    assert_eq!(opened(&disk).unwrap().rollback(), Rollback::None);
    // Another home's, and something else.
    let young = bare();
    let mut home = made(&young, Provenance::Population).unwrap();
    home.set_witness(Some(PathBuf::from(WITNESS))).unwrap();
    drop(home);
    let foreign = put_back(&start, &young.live());
    assert!(opened(&foreign).unwrap_err().to_string().contains("another home's"));
    assert!(again(&foreign).unwrap_err().to_string().contains("another home's"));
    let mut image = start.clone();
    image.put(WITNESS, &[7; 76]);
    let disk = SimDisk::from(&image);
    assert!(opened(&disk).unwrap_err().to_string().contains("no witness, or damaged"));
    let disk = SimDisk::from(&start);
    let mut home = opened(&disk).unwrap();
    unlearn::base::disk::Disk::write_new(&mut disk.clone(), Path::new("house/letter"), b"dear")
        .unwrap();
    assert!(fault(&mut home, "house/letter").contains("no witness"));
}

#[test]
fn a_journal_without_a_stop_is_refused() {
    for start in [family(Provenance::Population), witnessed()] {
        let disk = SimDisk::from(&start);
        let mut home = opened(&disk).unwrap();
        home.receive(vec![Wish::new("h1")], true).unwrap();
        drop(home);
        let stopped = disk.live();
        let journal = Path::new(HOME).join("journal");
        let mut image = stopped.clone();
        image.take(&journal);
        let said = opened(&SimDisk::from(&image)).unwrap_err().to_string();
        assert!(said.contains("journal") && said.contains("stopped for"), "{said}");
        // One that was written before somebody else joined.
        opened(&disk).unwrap().receive(vec![Wish::new("h2")], true).unwrap();
        let mut image = disk.live();
        image.put(&journal, &stopped.get(&journal).unwrap());
        assert!(opened(&SimDisk::from(&image)).unwrap_err().to_string().contains("stopped for"));
    }
}

#[test]
fn no_loss_of_power_makes_an_honest_home_older_than_its_witness() {
    let asks = vec![Ask::of("h1", Policy::ShredFirst, Choice::Reset)];
    let scene = Scene::new("reset, with a witness", witnessed(), asks);
    let disk = SimDisk::from(&scene.start);
    let mut home = opened(&disk).unwrap();
    disk.record(2);
    let (told, result) = scene.act(&disk, &mut home, 1);
    result.unwrap();
    drop(home);
    let points = disk.recorded();
    let first = mark(&scene.start);
    each("with a witness", &points, 0, |disk, point| {
        let (asked, done) = scene.before(&told, point);
        // Whoever was told so is not forgotten by putting an older home back.
        assert!(asked == 0 || mark(&disk.live()) > first);
        assert!(!done || mark(&disk.live()) == first + 3);
        scene.comes_to_its_end(disk, asked, done);
        let home = opened(disk).unwrap();
        if !home.state().erased_people.is_empty() {
            assert_eq!(mark(&disk.live()), home.state().mark);
            refuses(&put_back(&scene.start, &disk.live()));
        }
    });
}

#[test]
fn naming_a_witness_and_adapting_with_one_survive_any_loss_of_power() {
    let disk = bare();
    let mut home = made(&disk, Provenance::Population).unwrap();
    home.ingest(&some("h1", 0, 8)).unwrap();
    disk.record(2);
    home.set_witness(Some(PathBuf::from(WITNESS))).unwrap();
    let named = disk.operations();
    drop(home);
    each("naming a witness", &disk.recorded(), 0, |disk, point| {
        let mut home = opened(disk).unwrap();
        assert!(point < named || home.witness().is_some());
        home.set_witness(Some(PathBuf::from(WITNESS))).unwrap();
        home.adapt(short(), &mut ()).unwrap();
        home.receive(vec![Wish::new("h1")], true).unwrap();
        home.carry_out(open_gate(), &mut ()).unwrap();
        drop(home);
        assert!(opened(disk).unwrap().state().mark > 0);
    });
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copied(&entry.path(), &target),
            false => _ = fs::copy(entry.path(), target).unwrap(),
        }
    }
}

#[test]
fn the_program_names_heeds_and_drops_a_witness() {
    let stage = Stage::new();
    let path = stage.path();
    let init = "init --home second --base base.esm --witness second.witness";
    assert_eq!(json(path, init)["rollback_cover"], "witness");
    done(path, "ingest --home second --input samples.jsonl");
    copied(&stage.at("second"), &stage.at("copy"));
    done(path, "erase --home second --subject h2");
    let shown = done(path, "receipt list --home second");
    assert!(shown.contains("\n1 receipt, a chain"), "{shown}");
    let told = done(path, "status --home second");
    assert!(told.contains("noticed by: witness (") && told.contains("second.witness"), "{told}");
    fs::rename(stage.at("second"), stage.at("newest")).unwrap();
    fs::rename(stage.at("copy"), stage.at("second")).unwrap();
    refused(path, "status --home second", 3, &["put back from a copy", "second.witness"]);
    refused(path, "witness --home second --none", 3, &["put back from a copy"]);
    fs::remove_dir_all(stage.at("second")).unwrap();
    fs::rename(stage.at("newest"), stage.at("second")).unwrap();
    fs::rename(stage.at("second.witness"), stage.at("moved.witness")).unwrap();
    refused(path, "status --home second", 3, &["is not there", "unlearn witness"]);
    refused(path, "witness --home second", 2, &["--at", "--none"]);
    let named = json(path, "witness --home second --at moved.witness");
    assert_eq!(named["rollback_cover"], "witness");
    done(path, "status --home second");
    assert_eq!(json(path, "witness --home second --none")["rollback_cover"], "none");
    #[cfg(not(feature = "tpm"))]
    refused(path, "init --home third --base base.esm --keys tpm", 2, &["--features tpm"]);
    refused(path, "init --home third --base base.esm --keys post-it", 2, &["tpm:TCTI"]);
}
