//! Defends the promise of a home: whatever the power does, and wherever the disk is full, an erasure that
//! was acknowledged comes to its end, nobody who stays loses anything, and nobody who went is back.

mod common;

use common::crash::{
    Ask, HOME, Scene, bare, each, end_of, family, made, open_gate, opened, resume, short, some,
    telling,
};
use common::sim::{Image, SimDisk};
use unlearn::base::rng::Stream;
use unlearn::erase::receipt::Policy;
use unlearn::erase::{Choice, Home, HomeError, Wish};
use unlearn::format::Provenance;

/// Images of a crash point.
const IMAGES: usize = 3;

fn live(home: &Home) -> String {
    home.live().unwrap().id.to_string()
}

#[test]
fn a_home_is_made_whole_or_not_at_all() {
    for provenance in [Provenance::Population, Provenance::Enrolled] {
        let disk = bare();
        disk.record(IMAGES);
        drop(made(&disk, provenance).unwrap());
        let acknowledged = disk.operations();
        let points = disk.recorded();
        let end = |disk: &SimDisk| {
            let end = end_of(&opened(disk).unwrap(), disk);
            (end.base, end.live)
        };
        let expected = end(&disk);
        each(&format!("init, {provenance:?} base"), &points, 24, |disk, point| {
            match opened(disk) {
                Ok(_) => {}
                Err(HomeError::NoHome { .. }) if point < acknowledged => {
                    made(disk, provenance).unwrap();
                }
                Err(error) => panic!("{error}"),
            }
            assert_eq!(end(disk), expected);
        });
    }
}

#[test]
fn samples_that_were_taken_in_are_there_and_what_is_learnt_from_them_is_the_same() {
    let disk = bare();
    drop(made(&disk, Provenance::Population).unwrap());
    let gifts = [some("h1", 0, 8), some("h2", 0, 8), some("h1", 8, 8), some("h3", 0, 8)];
    let mut home = opened(&disk).unwrap();
    disk.record(IMAGES);
    let mut told = Vec::new();
    for gift in &gifts {
        home.ingest(gift).unwrap();
        told.push(disk.operations());
    }
    drop(home);
    let points = disk.recorded();
    let mut home = opened(&disk).unwrap();
    home.adapt(short(), &mut ()).unwrap();
    let expected = (live(&home), end_of(&home, &disk).people);
    each("ingest", &points, 12, |disk, point| {
        let mut home = opened(disk).unwrap();
        let known = told.iter().filter(|at| **at <= point).count();
        let count = home.store().unwrap().count().unwrap().samples as usize;
        assert!(count.is_multiple_of(8) && count >= 8 * known, "{known} gifts, {count} samples");
        if home.state().adaptations == 0 {
            for gift in &gifts {
                home.ingest(gift).unwrap();
            }
            home.adapt(short(), &mut ()).unwrap();
        } else {
            // Power was lost for the second time after that.
            resume(&mut home).unwrap();
        }
        assert_eq!((live(&home), end_of(&home, disk).people), expected);
    });
}

#[test]
fn an_adaptation_goes_on_to_the_same_model_and_one_that_is_superseded_is_gone() {
    // The third adaptation drops the first model, under a new device key.
    let disk = SimDisk::from(&family(Provenance::Population));
    opened(&disk).unwrap().ingest(&some("h3", 16, 8)).unwrap();
    let mut home = opened(&disk).unwrap();
    let before = live(&home);
    disk.record(IMAGES);
    home.adapt(short(), &mut ()).unwrap();
    let acknowledged = disk.operations();
    drop(home);
    let points = disk.recorded();
    let expected = end_of(&opened(&disk).unwrap(), &disk);
    each("adapt", &points, 10, |disk, point| {
        let mut home = opened(disk).unwrap();
        assert!([Some(&before), expected.live.as_ref()].contains(&Some(&live(&home))));
        resume(&mut home).unwrap();
        if live(&home) == before {
            assert!(point < acknowledged, "an adaptation that was acknowledged is lost");
            home.adapt(short(), &mut ()).unwrap();
        }
        assert_eq!(end_of(&home, disk), expected);
        drop(home);
        assert_eq!(end_of(&opened(disk).unwrap(), disk), expected);
    });
}

/// Loses power everywhere in a scene.
fn erasing(name: &'static str, start: &Image, asks: Vec<Ask>) {
    let scene = Scene::new(name, start.clone(), asks);
    let disk = SimDisk::from(&scene.start);
    let mut home = opened(&disk).unwrap();
    disk.record(IMAGES);
    let (told, result) = scene.act(&disk, &mut home, scene.asks.len());
    result.unwrap();
    drop(home);
    let points = disk.recorded();
    scene.at_the_end(&opened(&disk).unwrap(), &disk, scene.asks.len());
    each(name, &points, 24, |disk, point| {
        let (asked, done) = scene.before(&told, point);
        if done {
            let home = opened(disk).unwrap();
            scene.at_the_end(&home, disk, asked);
        }
        scene.comes_to_its_end(disk, asked, done);
    });
}

const FIRST: Policy = Policy::ShredFirst;
const AUDIT: Policy = Policy::AuditFirst;

#[test]
fn an_erasure_by_exact_replay_comes_to_its_end() {
    let start = family(Provenance::Population);
    erasing("exact replay, shred first", &start, vec![Ask::of("h1", FIRST, Choice::ExactReplay)]);
    erasing("exact replay, audit first", &start, vec![Ask::of("h3", AUDIT, Choice::ExactReplay)]);
}

#[test]
fn an_erasure_by_l1_sparse_comes_to_its_end() {
    let start = family(Provenance::Population);
    erasing("l1-sparse, shred first", &start, vec![Ask::of("h1", FIRST, Choice::L1Sparse)]);
    erasing("l1-sparse, audit first", &start, vec![Ask::of("h2", AUDIT, Choice::L1Sparse)]);
}

#[test]
fn an_erasure_by_reset_or_of_who_was_never_learnt_comes_to_its_end() {
    let start = family(Provenance::Population);
    erasing("reset, shred first", &start, vec![Ask::of("h3", FIRST, Choice::Reset)]);
    erasing("reset, audit first", &start, vec![Ask::of("h1", AUDIT, Choice::Reset)]);
    let disk = bare();
    let mut home = made(&disk, Provenance::Population).unwrap();
    home.ingest(&some("h1", 0, 16)).unwrap();
    home.adapt(short(), &mut ()).unwrap();
    home.ingest(&some("h2", 0, 16)).unwrap();
    drop(home);
    let never = [FIRST, AUDIT].map(|policy| Ask::of("h2", policy, Choice::NeverLearnt));
    erasing("never learnt, shred first", &disk.live(), vec![never[0]]);
    erasing("never learnt, audit first", &disk.live(), vec![never[1]]);
}

#[test]
fn an_erasure_from_an_enrolled_base_comes_to_its_end() {
    let start = family(Provenance::Enrolled);
    erasing("enrolled, l1-sparse", &start, vec![Ask::of("h1", FIRST, Choice::L1Sparse)]);
    erasing("enrolled, reset", &start, vec![Ask::of("h3", FIRST, Choice::Reset)]);
    erasing("enrolled, reset, audit first", &start, vec![Ask::of("h2", AUDIT, Choice::Reset)]);
}

#[test]
fn a_request_that_joins_a_repair_comes_to_its_end_with_it() {
    let start = family(Provenance::Population);
    let join =
        |steps, batches, name, choice| Ask { steps, batches, ..Ask::of(name, AUDIT, choice) };
    erasing(
        "joins a replay",
        &start,
        vec![Ask::of("h1", FIRST, Choice::ExactReplay), join(2, 3, "h3", Choice::ExactReplay)],
    );
    erasing(
        "joins an audit that has shredded",
        &start,
        vec![Ask::of("h1", AUDIT, Choice::L1Sparse), join(4, 0, "h2", Choice::L1Sparse)],
    );
    erasing(
        "joins before anything was done",
        &start,
        vec![Ask::of("h2", FIRST, Choice::L1Sparse), join(1, 0, "h1", Choice::Reset)],
    );
}

/// Loses power everywhere in the erasure that the first asks for; the second asks as soon as it is back.
fn asks_when_the_power_is_back(name: &'static str, start: &Image, asks: Vec<Ask>, same: bool) {
    let scene = Scene::new(name, start.clone(), asks);
    let disk = SimDisk::from(&scene.start);
    let mut home = opened(&disk).unwrap();
    disk.record(IMAGES);
    scene.act(&disk, &mut home, 1).1.unwrap();
    drop(home);
    let points = disk.recorded();
    let joined = &scene.ends[2];
    each(name, &points, 0, |disk, _| {
        let mut home = opened(disk).unwrap();
        if scene.asked(&home) == 0 {
            return;
        }
        home.receive(vec![scene.asks[1].wish()], true).unwrap();
        scene.holds_back(&home);
        resume(&mut home).unwrap();
        scene.holds_back(&home);
        let end = end_of(&home, disk);
        assert_eq!((&end.people, &end.erased), (&joined.people, &joined.erased));
        assert!(!same || end.live == joined.live);
        // With it, or behind it: nobody is in no receipt, and no sample is counted twice.
        let sums = |of: &[(usize, u64, u64, String)]| {
            of.iter().fold((0, 0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2))
        };
        assert_eq!(sums(&end.receipts), sums(&joined.receipts));
    });
}

#[test]
fn whoever_asks_when_the_power_is_back_is_erased_too() {
    let start = family(Provenance::Population);
    let join = |name, choice| Ask { steps: 1, ..Ask::of(name, AUDIT, choice) };
    let replay =
        |policy| vec![Ask::of("h1", policy, Choice::ExactReplay), join("h3", Choice::ExactReplay)];
    asks_when_the_power_is_back("asks behind a replay", &start, replay(FIRST), true);
    asks_when_the_power_is_back("asks behind an audit", &start, replay(AUDIT), true);
    let reset = vec![Ask::of("h3", FIRST, Choice::Reset), join("h1", Choice::Reset)];
    asks_when_the_power_is_back("asks behind a reset", &start, reset, true);
    let sparse = vec![Ask::of("h1", FIRST, Choice::L1Sparse), join("h2", Choice::L1Sparse)];
    asks_when_the_power_is_back("asks behind l1-sparse", &start, sparse, false);
    let start = family(Provenance::Enrolled);
    let sparse = vec![Ask::of("h1", FIRST, Choice::L1Sparse), join("h2", Choice::Reset)];
    asks_when_the_power_is_back("asks behind an enrolled base's", &start, sparse, false);
}

fn is_full(error: &HomeError) -> bool {
    let text = error.to_string();
    text.contains("is full") || text.contains("Previous I/O error")
}

/// Fills the disk up at steps of a scene.
fn filling(name: &'static str, start: &Image, asks: Vec<Ask>, stride: usize) {
    let scene = Scene::new(name, start.clone(), asks);
    let all = scene.asks.len();
    let (mut at, mut refused, mut shut) = (0, 0, 0);
    loop {
        let disk = SimDisk::from(&scene.start);
        let mut home = opened(&disk).unwrap();
        let full = disk.clone().full_from(disk.operations() + at);
        let (told, result) = scene.act(&disk, &mut home, all);
        let Err(error) = result else { break };
        refused += 1;
        telling(&format!("{name}: no room {at} operations on: {error}"), || {
            assert!(is_full(&error), "{error}");
            scene.holds_back(&home);
            let known = scene.asked(&home);
            assert!(known >= told.asked.len());
            match refused % 3 {
                // The same process goes on.
                0 => {
                    full.free();
                    resume(&mut home).unwrap();
                    scene.at_the_end(&home, &disk, known);
                }
                // Another one opens it, on the full disk and then on one with room.
                1 => {
                    drop(home);
                    match opened(&disk) {
                        Ok(home) => scene.holds_back(&home),
                        Err(error) => {
                            shut += 1;
                            assert!(is_full(&error), "{error}");
                        }
                    }
                    full.free();
                    scene.comes_to_its_end(&disk, told.asked.len(), false);
                }
                // The power goes as well.
                _ => {
                    for image in disk.images(at as u64, 3) {
                        let disk = SimDisk::from(&image);
                        scene.comes_to_its_end(&disk, told.asked.len(), false);
                    }
                }
            }
        });
        at += stride;
    }
    println!("{name}: a full disk at {refused} operations; {shut} times it could not be opened");
    assert!(refused > 10);
}

#[test]
fn an_erasure_on_a_full_disk_says_so_and_goes_on_when_there_is_room() {
    let start = family(Provenance::Population);
    let replay = vec![Ask::of("h1", FIRST, Choice::ExactReplay)];
    filling("full in a replay", &start, replay, 3);
    filling("full in l1-sparse", &start, vec![Ask::of("h2", AUDIT, Choice::L1Sparse)], 3);
    filling("full in a reset", &start, vec![Ask::of("h3", FIRST, Choice::Reset)], 3);
    let reset = vec![Ask::of("h3", FIRST, Choice::Reset)];
    filling("full in an enrolled reset", &family(Provenance::Enrolled), reset, 5);
}

#[test]
fn a_full_disk_still_has_room_to_stop_and_to_shred() {
    let start = family(Provenance::Population);
    let scene = Scene::new("full", start, vec![Ask::of("h1", FIRST, Choice::ExactReplay)]);
    for (reopens, ballast) in [(false, true), (true, true), (true, false)] {
        let mut image = scene.start.clone();
        let path = std::path::Path::new(HOME).join("ballast");
        if !ballast {
            image.take(&path).unwrap();
        }
        let disk = SimDisk::from(&image);
        let full = match reopens {
            true => disk.clone().full_but_for(0, 0),
            false => disk.clone(),
        };
        let mut home = opened(&disk).unwrap();
        let full = full.full_but_for(disk.operations(), 0);
        let asked = home.receive(vec![scene.asks[0].wish()], true);
        scene.holds_back(&home);
        if !ballast {
            assert!(is_full(&asked.unwrap_err()));
            assert_eq!(scene.asked(&home), 0);
            continue;
        }
        asked.unwrap();
        for _ in 0..2 {
            let job = home.job().unwrap();
            home.step(&job, open_gate(), &mut ()).unwrap();
        }
        assert!(home.job().unwrap().shredded.is_some(), "decided and shredded");
        assert!(home.handle_of("h1").is_err());
        full.free();
        resume(&mut home).unwrap();
        scene.at_the_end(&home, &disk, 1);
        assert!(disk.live().get(&path).is_some(), "the ballast is back");
    }
}

#[test]
fn samples_and_adaptations_on_a_full_disk_are_refused_and_nothing_is_lost() {
    let start = family(Provenance::Population);
    let mut gifts = [some("h3", 16, 8), some("h2", 16, 8)];
    gifts[1].iter_mut().for_each(|given| given.subjects = vec!["h4".into()]);
    let act = |disk: &SimDisk, home: &mut Home, told: &mut usize| -> Result<(), HomeError> {
        for gift in &gifts {
            home.ingest(gift)?;
            *told += 1;
        }
        home.adapt(short(), &mut ())?;
        assert!(disk.operations() > 0);
        Ok(())
    };
    let disk = SimDisk::from(&start);
    let mut home = opened(&disk).unwrap();
    act(&disk, &mut home, &mut 0).unwrap();
    let expected = end_of(&home, &disk);
    let (mut at, mut refused) = (0, 0);
    loop {
        let disk = SimDisk::from(&start);
        let mut home = opened(&disk).unwrap();
        let before = live(&home);
        let full = disk.clone().full_from(disk.operations() + at);
        let mut told = 0;
        let Err(error) = act(&disk, &mut home, &mut told) else { break };
        refused += 1;
        telling(&format!("no room {at} operations on: {error}"), || {
            assert!(is_full(&error), "{error}");
            if refused % 2 == 0 {
                drop(home);
                full.free();
                home = opened(&disk).unwrap();
            }
            full.free();
            assert!([Some(&before), expected.live.as_ref()].contains(&Some(&live(&home))));
            let count = home.ingest(&[]).and_then(|_| Ok(home.store()?.count()?)).unwrap();
            assert!(count.samples >= 48 + 8 * told as u64);
            for gift in &gifts {
                home.ingest(gift).unwrap();
            }
            resume(&mut home).unwrap();
            if live(&home) == before {
                home.adapt(short(), &mut ()).unwrap();
            }
            drop(home);
            assert_eq!(end_of(&opened(&disk).unwrap(), &disk), expected);
        });
        at += 3;
    }
    println!("ingest and adapt: a full disk at {refused} operations");
    assert!(refused > 10);
}

/// A home in the middle of its second erasure, with a checkpoint of the repair.
fn in_the_middle() -> (Scene, Image) {
    let disk = SimDisk::from(&family(Provenance::Population));
    let mut home = opened(&disk).unwrap();
    home.receive(vec![Wish::new("h2")], true).unwrap();
    home.carry_out(open_gate(), &mut ()).unwrap();
    drop(home);
    let scene =
        Scene::new("in the middle", disk.live(), vec![Ask::of("h1", AUDIT, Choice::L1Sparse)]);
    let mut home = opened(&disk).unwrap();
    home.receive(vec![scene.asks[0].wish()], true).unwrap();
    let mut left = 12;
    let mut stop = |_: usize, _: usize, _: unlearn::train::Progress| {
        left -= 1;
        if left == 0 { unlearn::train::Control::Stop } else { unlearn::train::Control::Continue }
    };
    home.carry_out(open_gate(), &mut stop).unwrap_err();
    drop(home);
    (scene, disk.live())
}

fn damage(bytes: &mut Vec<u8>, stream: &mut Stream) -> String {
    match stream.index(4) {
        0 => {
            let to = stream.index(bytes.len());
            bytes.truncate(to);
            format!("cut to {to} bytes")
        }
        1 => {
            let at = stream.index(bytes.len().min(64));
            bytes[at] ^= 1 << stream.index(8);
            format!("a bit of byte {at}")
        }
        _ => {
            let at = stream.index(bytes.len());
            bytes[at] ^= 1 << stream.index(8);
            format!("a bit of byte {at}")
        }
    }
}

#[test]
fn a_damaged_file_is_named_and_nothing_that_knows_them_answers() {
    let (scene, image) = in_the_middle();
    let mut stream = Stream::new(6, "damage to a home");
    let mut outcomes = std::collections::BTreeMap::<String, [usize; 3]>::new();
    let files: Vec<_> = image.files().map(std::path::Path::to_path_buf).collect();
    assert!(files.iter().any(|path| path.to_string_lossy().ends_with(".work")));
    for path in &files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let kind = match name.split_once('.') {
            Some((_, end @ ("slot" | "work"))) => end.to_string(),
            _ => name.clone(),
        };
        for _ in 0..40 {
            let (mut image, mut bytes) = (image.clone(), image.get(path).unwrap());
            let how = damage(&mut bytes, &mut stream);
            image.put(path, &bytes);
            let disk = SimDisk::from(&image);
            let of_kind = outcomes.entry(kind.clone()).or_default();
            // A damaged receipt is found by whoever reads it; a keyring names itself or its key.
            let told = |error: &HomeError| {
                let text = error.to_string();
                let named =
                    text.contains(&name) || (kind.contains("device") && text.contains("keyring"));
                assert!(named, "{text}");
            };
            telling(&format!("{}: {how}", path.display()), || {
                let mut home = match opened(&disk) {
                    Ok(home) => home,
                    Err(error) => {
                        told(&error);
                        of_kind[0] += 1;
                        return;
                    }
                };
                scene.holds_back(&home);
                match resume(&mut home) {
                    Ok(_) if kind.ends_with("receipt") => of_kind[2] += 1,
                    Ok(_) => {
                        let end = end_of(&home, &disk);
                        let expected = &scene.ends[1];
                        assert_eq!(
                            (&end.people, &end.erased),
                            (&expected.people, &expected.erased)
                        );
                        of_kind[2] += 1;
                    }
                    Err(error) => {
                        told(&error);
                        of_kind[1] += 1;
                        let home = opened(&disk).unwrap();
                        assert_ne!(home.served(), unlearn::erase::Served::Nobody);
                    }
                }
            });
        }
    }
    for (kind, [shut, stuck, fine]) in &outcomes {
        println!("{kind}: {shut} not opened, {stuck} opened and not finished, {fine} finished");
    }
    assert_eq!(outcomes["keyring"][0], 40);
    assert_eq!(outcomes["journal"][0], 40);
    assert_eq!(outcomes["work"][2], 40, "a checkpoint only saves time");
    assert_eq!(outcomes["slot"][2], 40, "what cannot be read is passed by");
    assert_eq!(outcomes["000001.receipt"][2], 40, "an old receipt is in nobody's way");
}

#[test]
fn an_older_file_that_was_put_back_is_refused() {
    let path = |name: &str| std::path::Path::new(HOME).join(name);
    let refused = |image: &Image, name: &str| {
        let error = opened(&SimDisk::from(image)).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        println!("{error}");
    };
    let (_, middle) = in_the_middle();
    let disk = SimDisk::from(&middle);
    resume(&mut opened(&disk).unwrap()).unwrap();
    let ended = disk.live();
    // A journal of a job that has ended since, and none.
    let mut image = ended.clone();
    let mut journals = vec![middle.get(path("journal")).unwrap()];
    opened(&disk).unwrap().receive(vec![Wish::new("h3")], true).unwrap();
    let mut home = opened(&disk).unwrap();
    while home.state().erased_people.len() < 3 {
        let job = home.job().unwrap();
        home.step(&job, open_gate(), &mut ()).unwrap();
    }
    drop(home);
    let shredded = disk.live();
    resume(&mut opened(&disk).unwrap()).unwrap();
    journals.push(ended.get(path("journal")).unwrap());
    for journal in &journals {
        let mut image = disk.live();
        image.put(path("journal"), journal);
        refused(&image, "journal");
    }
    image.take(path("journal"));
    refused(&image, "journal");
    // A journal without a request whose samples are gone already.
    let mut image = shredded.clone();
    image.put(path("journal"), &ended.get(path("journal")).unwrap());
    refused(&image, "journal");
    // An index without samples that were learnt from.
    let young = bare();
    let mut home = made(&young, Provenance::Population).unwrap();
    home.ingest(&some("h1", 0, 16)).unwrap();
    drop(home);
    let before = young.live();
    let mut home = opened(&young).unwrap();
    home.ingest(&some("h1", 16, 8)).unwrap();
    home.order_adapting(short()).unwrap();
    drop(home);
    let mut image = young.live();
    image.put(path("vault.redb"), &before.get(path("vault.redb")).unwrap());
    refused(&image, "vault.redb");
}
