//! A person is erased: samples, key, and influence on the weights; those who stay lose nothing.

mod common;

use std::path::Path;

use common::home::{adapted, base_of, fresh, household, of, recipe, reopened};
use unlearn::base::disk::FileDisk;
use unlearn::erase::receipt::{Claimed, Guarantee, Nonce, Policy, opens, verify_chain};
use unlearn::erase::{Choice, Home, HomeError, Limits, Served, Setup, Wish, Work, file_keys};
use unlearn::format::Provenance;

fn wish(subject: &str, policy: Policy, method: Option<Choice>) -> Wish {
    Wish { policy, method, ..Wish::new(subject) }
}

fn names(home: &Home) -> Vec<String> {
    home.people().unwrap().into_iter().map(|(_, person)| person.name).collect()
}

fn live(home: &Home) -> String {
    home.live().unwrap().id.to_string()
}

#[test]
fn a_replay_gives_the_bytes_of_a_home_that_never_had_them() {
    let folders: [tempfile::TempDir; 3] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let mut never = fresh(Box::new(FileDisk), &folders[0].path().join("home"));
    never.ingest(&of(&["h1", "h3"])).unwrap();
    never.adapt(recipe(), &mut ()).unwrap();
    for (folder, policy) in folders[1..].iter().zip([Policy::ShredFirst, Policy::AuditFirst]) {
        let mut home = adapted(&folder.path().join("home"));
        assert_ne!(live(&home), live(&never));
        home.receive(vec![wish("h2", policy, None)], true).unwrap();
        assert_eq!(home.served(), Served::Base, "what knows them answers no more");
        let erased = home.carry_out(Limits::default(), &mut ()).unwrap().unwrap();
        assert_eq!((erased.choice, &*erased.guarantee), (Choice::ExactReplay, "exact-replay"));
        assert_eq!(live(&home), live(&never), "{policy:?}");
        assert_eq!(names(&home), ["h1", "h3"]);
        assert_eq!(erased.samples, 60);
        assert!(matches!(home.handle_of("h2"), Err(HomeError::UnknownPerson { .. })));
    }
}

#[test]
fn each_method_ends_with_a_receipt_that_verifies_and_a_chain() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("home");
    let mut home = adapted(&path);
    let contaminated = home.state().live_model().unwrap().clone();
    let base = home.base().id.to_string();
    let mut tickets = Vec::new();
    let choices = [
        (Policy::AuditFirst, Choice::L1Sparse, Guarantee::Approximate),
        (Policy::ShredFirst, Choice::ExactReplay, Guarantee::ExactReplay),
        (Policy::ShredFirst, Choice::Reset, Guarantee::Reset),
    ];
    for ((policy, choice, guarantee), name) in choices.into_iter().zip(["h1", "h2", "h3"]) {
        tickets.extend(home.receive(vec![wish(name, policy, Some(choice))], true).unwrap());
        let erased = home
            .carry_out(Limits { drop: 100.0, worst: 100.0, ..Limits::default() }, &mut ())
            .unwrap();
        let erased = erased.unwrap();
        assert_eq!(erased.choice, choice, "{:?}", erased.failures);
        assert_eq!(erased.guarantee, guarantee.to_string());
        home = reopened(&path);
        assert!(home.job().is_none());
    }
    assert_eq!(live(&home), base);
    assert!(names(&home).is_empty());
    assert!(home.state().erased_models.contains(&contaminated.id));
    assert_eq!(home.state().erased_people.len(), 3);
    let key = home.signing_key().unwrap().public();
    let receipts: Vec<_> = (1..=3)
        .map(|number| std::fs::read(home.receipt_path(number)).unwrap())
        .map(|bytes| Claimed::parse(&bytes).unwrap().verify(&key).unwrap())
        .collect();
    assert_eq!(verify_chain(&receipts).unwrap().sequence, 3);
    for (ticket, receipt) in tickets.iter().zip(&receipts) {
        let nonce = Nonce::parse(&ticket.nonce).unwrap();
        let subject = &receipt.receipt().requests[0].subject;
        assert!(opens(subject, &nonce, &ticket.subject));
        assert!(!opens(subject, &nonce, "somebody"));
    }
}

#[test]
fn who_was_never_learnt_from_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut home = fresh(Box::new(FileDisk), &folder.path().join("home"));
    home.ingest(&of(&["h1"])).unwrap();
    home.adapt(recipe(), &mut ()).unwrap();
    home.ingest(&of(&["h2"])).unwrap();
    let before = live(&home);
    home.receive(vec![Wish::new("h2")], true).unwrap();
    assert!(matches!(home.served(), Served::Slot(_)), "nothing knows them: it answers on");
    let erased = home.carry_out(Limits::default(), &mut ()).unwrap().unwrap();
    assert_eq!((erased.choice, live(&home)), (Choice::NeverLearnt, before));
}

#[test]
fn a_request_during_a_repair_joins_it_and_one_can_be_taken_back_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut home = adapted(&folder.path().join("home"));
    let ticket = home.receive(vec![Wish::new("h1")], false).unwrap().remove(0);
    assert!(matches!(home.served(), Served::Slot(_)), "received is not stopped");
    home.cancel(&ticket.request).unwrap();
    assert!(home.job().is_none());
    home.receive(vec![wish("h1", Policy::AuditFirst, None)], true).unwrap();
    let mut batches = 0;
    let mut stop = |_: usize, _: usize, _: unlearn::train::Progress| {
        batches += 1;
        if batches > 3 { unlearn::train::Control::Stop } else { unlearn::train::Control::Continue }
    };
    let stopped = home.carry_out(Limits::default(), &mut stop).unwrap_err();
    assert!(matches!(stopped, HomeError::Interrupted), "{stopped}");
    let second = home.receive(vec![wish("h2", Policy::AuditFirst, None)], true).unwrap().remove(0);
    assert!(matches!(home.cancel(&second.request), Err(HomeError::NotCancelled { .. })));
    assert!(matches!(home.receive(vec![Wish::new("h2")], true), Err(HomeError::Setting { .. })));
    let erased = home.carry_out(Limits::default(), &mut ()).unwrap().unwrap();
    assert_eq!((erased.receipt, erased.samples), (1, 120));
    assert_eq!(names(&home), ["h3"]);
    let bytes = std::fs::read(home.receipt_path(1)).unwrap();
    assert_eq!(Claimed::parse(&bytes).unwrap().receipt().requests.len(), 2);
}

#[test]
fn a_shared_sample_goes_with_any_of_its_people_and_duplicates_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut home = fresh(Box::new(FileDisk), &folder.path().join("home"));
    let mut samples = household();
    samples.iter_mut().take(10).for_each(|given| given.subjects.push("h3".into()));
    let taken = home.ingest(&samples).unwrap();
    assert_eq!((taken.added.samples, taken.enrolled, taken.added.duplicates), (180, 3, 0));
    assert_eq!(home.ingest(&samples).unwrap().added.duplicates, 180);
    let held = taken.added.held;
    assert!((30..=42).contains(&held), "{held}: about a fifth of 180 only measures");
    home.receive(vec![Wish::new("h3")], true).unwrap();
    home.carry_out(Limits::default(), &mut ()).unwrap().unwrap();
    let people = home.people().unwrap();
    let counts: Vec<u64> = people.iter().map(|(_, person)| person.count.samples).collect();
    assert_eq!(counts, [50, 60]);
    assert_eq!(home.samples_of("h1", |_, names| assert_eq!(names, ["h1"])).unwrap(), 50);
}

#[test]
fn an_enrolled_base_that_knew_them_dies() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("home");
    let package = base_of(Provenance::Enrolled);
    let keys = file_keys(&path);
    let mut home =
        Home::init(Box::new(FileDisk), &path, keys, package, Path::new("b"), Setup::default())
            .unwrap();
    assert!(!path.join("base.esm").exists(), "it is sealed");
    home.ingest(&household()).unwrap();
    home.adapt(recipe(), &mut ()).unwrap();
    let old = home.base().id;
    home.receive(vec![Wish::new("h1")], true).unwrap();
    assert_eq!(home.served(), Served::Nobody);
    assert!(matches!(home.serving(), Err(HomeError::Unavailable)));
    let erased =
        home.carry_out(Limits { drop: 100.0, worst: 100.0, ..Limits::default() }, &mut ()).unwrap();
    assert_eq!(erased.unwrap().choice, Choice::L1Sparse);
    let home = reopened(&path);
    assert_ne!(home.base().id, old);
    assert!(home.state().erased_models.contains(&old.0));
    assert_eq!(std::fs::read_dir(path.join("slots")).unwrap().count(), 1);
    home.serving().unwrap();
}

#[test]
fn an_old_keyring_put_back_does_not_open_and_an_old_vault_is_erased_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("home");
    let mut home = adapted(&path);
    drop(home);
    let keyring = std::fs::read(path.join("keyring")).unwrap();
    let vault = std::fs::read(path.join("vault.redb")).unwrap();
    let slots: Vec<_> = std::fs::read_dir(path.join("slots")).unwrap().flatten().collect();
    let old: Vec<_> = slots.iter().map(|e| (e.path(), std::fs::read(e.path()).unwrap())).collect();
    home = reopened(&path);
    home.receive(vec![Wish::new("h2")], true).unwrap();
    home.carry_out(Limits::default(), &mut ()).unwrap();
    let clean = live(&home);
    drop(home);
    std::fs::write(path.join("vault.redb"), vault).unwrap();
    old.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    let home = reopened(&path);
    assert_eq!((names(&home), live(&home)), (vec!["h1".into(), "h3".into()], clean));
    assert_eq!(home.store().unwrap().count().unwrap().samples, 120);
    assert!(old.iter().all(|(path, _)| !path.exists()), "slots without a key are removed");
    drop(home);
    std::fs::write(path.join("keyring"), keyring).unwrap();
    let error = Home::open(Box::new(FileDisk), &path, file_keys(&path)).unwrap_err();
    assert!(error.to_string().contains("an older keyring"), "{error}");
}

#[test]
fn work_that_names_a_cuda_device_begins_anew_on_the_processor() {
    let folder = tempfile::tempdir().unwrap();
    let mut home = fresh(Box::new(FileDisk), &folder.path().join("home"));
    home.ingest(&household()).unwrap();
    home.order_adapting(recipe()).unwrap();
    let work = home.state().pending.clone().unwrap();
    assert!(work.plan.starts_with("cpu/"), "{}", work.plan);
    let elsewhere = Work { plan: "cuda:0/8.7/tf32".into(), ..work.clone() };
    let [here, there] = [work, elsewhere].map(|work| home.execute(&work, &mut ()).unwrap().id);
    assert_eq!(here, there, "this home computes on the processor");
}
