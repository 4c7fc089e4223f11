//! The gate gates: a candidate that lost too much never serves, windows of one recording count once, and
//! what is too late goes back to the ancestor.

mod common;

use std::path::Path;

use common::home::{adapted, base_of, fresh, household, of, recipe, reopened};
use unlearn::base::disk::FileDisk;
use unlearn::base::rng::Stream;
use unlearn::erase::receipt::{Claimed, Guarantee, Lapse, Policy, Receipt, Verdict};
use unlearn::erase::{
    Bounds, Choice, Erased, Gated, Given, Home, HomeError, Limits, Next, Served, Setup, Wish,
    file_keys,
};
use unlearn::evaluate::equivalence;
use unlearn::format::{ClassesAndFeatures, Dtype, Facts, Provenance};
use unlearn::model::{Network, file};
use unlearn::vault::Values;

fn wish(subject: &str, policy: Policy, method: Option<Choice>) -> Wish {
    Wish { policy, method, ..Wish::new(subject) }
}

fn receipt(home: &Home, number: u64) -> Receipt {
    Claimed::parse(&home.receipt_bytes(number).unwrap()).unwrap().receipt().clone()
}

fn live(home: &Home) -> String {
    home.live().unwrap().id.to_string()
}

/// Goes on until `next` is to be done.
fn until(home: &mut Home, next: Next) {
    loop {
        let job = home.job().unwrap();
        if job.next() == next {
            return;
        }
        let ended = home.step(&job, Limits::default(), &mut ()).unwrap();
        assert_eq!(ended, None, "it ended before {next:?}");
    }
}

/// Puts an untrained network in the candidate's place, sealed as the candidate is.
fn spoils(home: &Home) {
    let job = home.job().unwrap();
    let slot = job.decision.unwrap().1.work.unwrap().slot;
    let name = format!("{slot}.slot");
    let key = home.keyring().named(&format!("slot/{slot}")).unwrap();
    let network = Network::new(home.base().network.description.clone(), 99);
    let meaning = ClassesAndFeatures::plain(home.base().meaning.classes.clone());
    let facts = Facts::new(Provenance::Enrolled).with("command", "adapt");
    let bytes = file::encode(&network, &meaning, &facts, Dtype::F16, None, None).unwrap();
    let sealed = key.seal("unlearn home: slot, version 1", name.as_bytes(), &bytes).unwrap();
    let file = [&b"unlearns"[..], &sealed].concat();
    std::fs::write(home.folder().join("slots").join(name), file).unwrap();
}

fn reopened_names(home: Home, path: &Path) -> Vec<String> {
    drop(home);
    reopened(path).people().unwrap().into_iter().map(|(_, person)| person.name).collect()
}

fn finish(home: &mut Home) -> Erased {
    home.carry_out(Limits::default(), &mut ()).unwrap().unwrap()
}

#[test]
fn what_fails_the_gate_falls_back_to_a_replay_and_then_to_a_reset() {
    for policy in [Policy::ShredFirst, Policy::AuditFirst] {
        for spoilt in [1, 2] {
            let folder = tempfile::tempdir().unwrap();
            let mut home = adapted(&folder.path().join("home"));
            let base = home.base().id.to_string();
            home.receive(vec![wish("h2", policy, Some(Choice::L1Sparse))], true).unwrap();
            for number in 1..=spoilt {
                until(&mut home, Next::Gate);
                spoils(&home);
                let job = home.job().unwrap();
                home.step(&job, Limits::default(), &mut ()).unwrap();
                assert_eq!(home.job().unwrap().failures.len(), number);
                // Neither what knew them nor what failed answers.
                assert_eq!(home.served(), Served::Base);
                assert_eq!(home.serving().unwrap().id.to_string(), base);
            }
            let erased = finish(&mut home);
            assert!(erased.failures[0].contains("l1-sparse did not pass the gate"), "{erased:?}");
            let told = receipt(&home, 1);
            if spoilt == 1 {
                assert_eq!(erased.choice, Choice::ExactReplay);
                assert_eq!(told.gate.accuracies.len(), 2);
                assert_ne!(live(&home), base);
            } else {
                assert!(erased.failures[1].contains("exact-replay did not pass"), "{erased:?}");
                assert_eq!((erased.choice, &*erased.guarantee), (Choice::Reset, "reset"));
                assert_eq!(told.gate.verdict, Verdict::NotMeasured);
                assert_eq!(live(&home), base);
            }
            assert_eq!(told.method.name, erased.choice.name());
            let failed: Vec<&str> = told.method.failed_before.iter().map(|w| &*w.name).collect();
            assert_eq!(failed, ["l1-sparse", "exact-replay"][..spoilt]);
            assert!(told.method.failed_before.iter().all(|way| way.at == Lapse::Gate));
            let each = told.gate.worst_off.map(|each| each.verdict);
            assert_eq!(each, (spoilt == 1).then_some(Verdict::Passed));
            let slots = std::fs::read_dir(home.folder().join("slots")).unwrap().count();
            assert_eq!(slots, 2 - spoilt, "no slot is left that does not serve");
        }
    }
}

#[test]
fn limits_that_were_asked_for_hold_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("home");
    let mut home = adapted(&path);
    let bounds = |drop, worst| Bounds { drop: Some(drop), worst: Some(worst) };
    let asking = |bounds| Wish { bounds, ..wish("h2", Policy::ShredFirst, Some(Choice::L1Sparse)) };
    let error = home.receive(vec![asking(bounds(5.0, 101.0))], true).unwrap_err().to_string();
    assert!(error.contains("one person") && error.contains("0 to 100"), "{error}");
    home.receive(vec![asking(bounds(100.0, 100.0))], true).unwrap();
    until(&mut home, Next::Gate);
    spoils(&home);
    drop(home);
    // By the limits of whoever goes on with it, this would not pass.
    let mut home = reopened(&path);
    let erased = finish(&mut home);
    assert_eq!((erased.choice, erased.failures.len()), (Choice::L1Sparse, 0));
    assert_eq!(receipt(&home, 1).gate.worst_off.unwrap().limit.0, 1_000_000);
    // Of two, the narrower holds for both.
    let wide = Wish { bounds: bounds(100.0, 100.0), ..Wish::new("h1") };
    let narrow = Wish { bounds: Bounds { drop: Some(3.0), worst: None }, ..Wish::new("h3") };
    home.receive(vec![wide, narrow], true).unwrap();
    let limits = home.job().unwrap().limits(Limits::default());
    assert_eq!((limits.drop, limits.worst), (3.0, 100.0));
}

#[test]
fn a_deadline_that_passed_is_kept_by_a_reset_and_the_receipt_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut home = adapted(&folder.path().join("home"));
    let base = home.base().id.to_string();
    let late = Wish { deadline: Some(0), ..Wish::new("h1") };
    home.receive(vec![late], true).unwrap();
    let erased = finish(&mut home);
    assert_eq!((erased.choice, &*erased.guarantee), (Choice::Reset, "reset"));
    assert_eq!(live(&home), base);
    let told = receipt(&home, 1);
    assert_eq!((&*told.method.name, told.method.guarantee), ("reset", Guarantee::Reset));
    assert!(told.requests[0].deadline.unwrap() <= told.times.committed);
    assert_eq!(told.method.epochs, 0);
}

/// What the gate said of an erasure of `name`, its samples still there.
fn audited(home: &mut Home, name: &str, method: Option<Choice>) -> (Gated, Receipt) {
    home.receive(vec![wish(name, Policy::AuditFirst, method)], true).unwrap();
    until(home, Next::Shred);
    let gated = serde_json::from_str(&home.job().unwrap().gated.unwrap().1.told).unwrap();
    finish(home);
    (gated, receipt(home, home.state().receipts))
}

#[test]
fn an_audit_says_what_it_found_and_the_receipt_holds_no_figure_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut home = adapted(&folder.path().join("home"));
    let (gated, told) = audited(&mut home, "h3", None);
    let (memory, errors) = (gated.memory.unwrap(), gated.errors.unwrap());
    assert!(memory.estimate.is_some() && errors.interval.is_some());
    assert_eq!(memory.trained + memory.held, 60);
    let probes = serde_json::to_value(&told.gate.probes).unwrap();
    let probes = probes.as_array().unwrap();
    assert_eq!(probes.len(), 2);
    for (probe, name) in probes.iter().zip(["mia", "ua"]) {
        let keys: Vec<&String> = probe.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["probe", "verdict", "margin", "power"]);
        assert_eq!(probe["probe"], name);
        assert!(["passed", "inconclusive"].contains(&probe["verdict"].as_str().unwrap()));
    }
    let text = serde_json::to_string(&told).unwrap();
    for figure in [memory.estimate, errors.estimate, memory.power] {
        let figure = figure.unwrap().abs();
        assert!(figure < 1e-3 || !text.contains(&format!("{figure:.4}")[..6]), "{text}");
    }
    // Shred-first has nothing left to ask about.
    home.receive(vec![wish("h1", Policy::ShredFirst, None)], true).unwrap();
    finish(&mut home);
    assert!(receipt(&home, 2).gate.probes.is_empty());
}

/// Each sample of the household as four windows of one recording that overlap: nearly the same bytes.
fn windows() -> Vec<Given> {
    let mut stream = Stream::new(5, "windows");
    let mut all = Vec::new();
    for (number, given) in household().into_iter().enumerate().filter(|(number, _)| number % 3 == 0)
    {
        for _ in 0..4 {
            let mut window = Given { group: Some(format!("recording {number}")), ..given.clone() };
            if let Values::Bytes(bytes) = &mut window.values {
                bytes[stream.below(256) as usize] ^= 1;
                bytes[stream.below(256) as usize] ^= 2;
            }
            all.push(window);
        }
    }
    all
}

#[test]
fn windows_of_one_recording_count_once_in_the_audit() {
    let folder = tempfile::tempdir().unwrap();
    let mut home = fresh(Box::new(FileDisk), &folder.path().join("home"));
    let taken = home.ingest(&windows()).unwrap().added;
    assert_eq!(taken.samples, 240);
    assert_eq!(taken.held % 4, 0, "a recording is held out whole or not at all");
    home.adapt(recipe(), &mut ()).unwrap();
    // What came after the last adaptation was learnt by nobody: it is not asked about.
    let mut late = windows();
    late.retain(|given| given.subjects[0] == "h1");
    for (number, given) in late.iter_mut().enumerate() {
        given.group = None;
        if let Values::Bytes(bytes) = &mut given.values {
            (bytes[0], bytes[1]) = (77, number as u8);
        }
    }
    late.truncate(30);
    let late = home.ingest(&late).unwrap().added;
    assert_eq!(late.samples, 30);
    let (gated, told) = audited(&mut home, "h1", None);
    let people = |of: equivalence::Evidence| (of.trained, of.held);
    let (trained, held) = people(gated.memory.unwrap());
    assert_eq!((trained, held), people(gated.errors.unwrap()));
    let count = told.lineage.destroyed_holdout;
    assert_eq!(count, 4 * (held as u64 - late.held) + late.held);
    assert_eq!(trained + held - late.held as usize, 20, "twenty recordings of eighty windows");
}

#[test]
fn an_enrolled_base_that_knew_them_takes_every_model_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("home");
    let package = base_of(Provenance::Enrolled);
    let setup = Setup::default();
    let (disk, keys) = (Box::new(FileDisk), file_keys(&path));
    let mut home = Home::init(disk, &path, keys, package, Path::new("b"), setup).unwrap();
    home.ingest(&of(&["h1"])).unwrap();
    home.adapt(recipe(), &mut ()).unwrap();
    home.ingest(&of(&["h2", "h3"])).unwrap();
    home.adapt(recipe(), &mut ()).unwrap();
    assert_eq!(home.state().models.len(), 2);
    // The base that takes its place had to forget somebody: it is approximate, and so is what follows.
    let (gated, told) = audited(&mut home, "h3", None);
    assert_eq!((&gated.memory, &gated.errors), (&None, &None), "nothing is clean to ask beside");
    assert_eq!((&*told.method.name, told.method.guarantee), ("l1-sparse", Guarantee::Approximate));
    home.adapt(recipe(), &mut ()).unwrap();
    assert_eq!(home.state().live_model().unwrap().class, Guarantee::Approximate);
    let elsewhere = Wish { not_in_base: true, ..Wish::new("h2") };
    home.receive(vec![elsewhere], true).unwrap();
    let erased = finish(&mut home);
    assert_eq!((erased.choice, &*erased.guarantee), (Choice::ExactReplay, "approximate"));
    home.ingest(&of(&["h2"])).unwrap();
    home.adapt(recipe(), &mut ()).unwrap();
    let ids: Vec<_> = home.state().models.iter().map(|model| model.id).collect();
    assert_eq!(ids.len(), 2);
    // A reset: of the base nothing may be left, nor of the model beside it that never met them.
    home.receive(vec![wish("h2", Policy::ShredFirst, Some(Choice::Reset))], true).unwrap();
    assert_eq!(home.served(), Served::Nobody);
    let erased = finish(&mut home);
    assert_eq!((&*erased.guarantee, erased.model), ("reset", None));
    assert!(ids.iter().all(|id| home.state().erased_models.contains(id)));
    let slots = |home: &Home| home.keyring().names().filter(|n| n.starts_with("slot/")).count();
    assert_eq!(slots(&home), 0, "an untrained base lies plain, and is not served");
    assert_eq!(std::fs::read_dir(path.join("slots")).unwrap().count(), 0);
    assert!(path.join("base.esm").exists());
    let told = receipt(&home, home.state().receipts);
    assert_eq!(told.models.child, unlearn::erase::receipt::Hex([0; 32]));
    drop(home);
    // Whoever is still here can be told of, and erased.
    let mut home = reopened(&path);
    assert_eq!(home.served(), Served::Nobody);
    assert!(matches!(home.adapt(recipe(), &mut ()), Err(HomeError::Method { .. })));
    home.receive(vec![Wish::new("h1")], true).unwrap();
    assert_eq!(finish(&mut home).samples, 60);
    assert_eq!(reopened_names(home, &path), [""; 0]);
}

#[test]
fn a_clock_that_was_set_back_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("home");
    let mut home = adapted(&path);
    home.receive(vec![Wish::new("h1")], true).unwrap();
    until(&mut home, Next::Shred);
    drop(home);
    common::journal::later(&path, 86_400);
    let mut home = reopened(&path);
    finish(&mut home);
    assert!(receipt(&home, 1).times.clock_went_backwards);
    home.receive(vec![Wish::new("h2")], true).unwrap();
    finish(&mut home);
    assert!(!receipt(&home, 2).times.clock_went_backwards);
}
