//! A home through the program: its whole life in commands, through the socket, under kills, and nothing
//! of who was erased in any file or in the memory of the process that goes on.

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::home::{base, base_of, household};
use common::program::{command, done, json, judged, refused, run};
use common::stage::{Server, Stage, lines};
use serde_json::{Value, json as value};
use unlearn::base::disk::FileDisk;
use unlearn::erase::Given;
use unlearn::format::Provenance;
use unlearn::vault::{FileKeyStore, Keyring, Values};

#[test]
fn a_life_in_commands() {
    let stage = Stage::new();
    let taken = json(stage.path(), "ingest --home home --input samples.jsonl");
    assert_eq!((&taken["samples"], &taken["enrolled"]), (&value!(180), &value!(3)));
    let base = stage.status()["served"].clone();
    done(stage.path(), "adapt --home home --epochs 3 --batch 16");
    let status = stage.status();
    assert_ne!(status["served"], base);
    refused(
        stage.path(),
        "export --home home --subject h2 --out h2.jsonl",
        2,
        &["--personal-data"],
    );
    done(stage.path(), "export --home home --subject h2 --personal-data --out h2.jsonl");
    assert_eq!(fs::read_to_string(stage.at("h2.jsonl")).unwrap().lines().count(), 60);
    let again = json(stage.path(), "ingest --home home --input h2.jsonl");
    assert_eq!((&again["samples"], &again["duplicates"]), (&value!(0), &value!(60)));
    let dry = done(stage.path(), "erase --home home --subject h2 --dry-run");
    assert!(dry.contains("exact-replay") && dry.contains("taken"), "{dry}");
    assert_eq!(stage.status(), status, "a dry run changes nothing");
    let erased = json(stage.path(), "erase --home home --subject h2 --ticket ticket.json");
    assert_eq!(erased["erased"]["guarantee"], "exact-replay");
    let ticket: Value =
        serde_json::from_slice(&fs::read(stage.at("ticket.json")).unwrap()).unwrap();
    assert_eq!(ticket, erased["tickets"]);
    let list = json(stage.path(), "receipt list --home home");
    let (key, file) =
        (list["key"].as_str().unwrap(), list["receipts"][0]["file"].as_str().unwrap());
    let nonce = ticket[0]["nonce"].as_str().unwrap();
    done(stage.path(), &format!("receipt verify {file} --key {key} --nonce {nonce} --subject h2"));
    let other = run(
        stage.path(),
        &format!("receipt verify {file} --key {key} --nonce {nonce} --subject h1"),
    );
    assert_eq!(other.code, Some(1), "{other:?}");
    let kept = done(stage.path(), "gc --home home");
    assert!(kept.contains("vault.redb") && !kept.contains("h2"), "{kept}");
    let asked = run(stage.path(), "predict --home home --input samples.jsonl --device auto");
    assert_eq!(asked.code, Some(0), "{asked:?}");
    let said = "note: --device auto: the processor computed, because: nothing is learnt here";
    assert!(asked.err.starts_with(said) && asked.err.lines().count() == 1, "{asked:?}");
    let names: Vec<String> = stage.status()["subjects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|person| person["name"].as_str().unwrap().to_string())
        .collect();
    assert_eq!(names, ["h1", "h3"]);
}

#[test]
fn what_was_noted_can_be_taken_back_or_carried_out() {
    let stage = Stage::adapted();
    let noted = json(stage.path(), "erase --home home --subject h1 --later");
    let request = noted["tickets"][0]["request"].as_str().unwrap();
    done(stage.path(), &format!("cancel --home home --request {request}"));
    let none = done(stage.path(), "resume --home home");
    assert!(none.contains("nothing was under way"), "{none}");
    done(stage.path(), "erase --home home --subject h1 --later");
    let done = json(stage.path(), "resume --home home");
    assert_eq!(done["erased"][0]["samples"], 60);
}

#[test]
fn wrong_words_change_nothing_and_say_what_to_do() {
    let stage = Stage::adapted();
    let path = stage.path();
    refused(path, "erase --home home --subject nobody", 2, &["nobody", "h1, h2, h3"]);
    refused(path, "status --home elsewhere", 2, &["elsewhere", "unlearn init"]);
    refused(path, "init --home home --base base.esm", 2, &["a home already"]);
    fs::create_dir(stage.at("full")).unwrap();
    fs::write(stage.at("full/letter.txt"), "dear").unwrap();
    refused(path, "init --home full --base base.esm", 2, &["not empty", "letter.txt"]);
    refused(path, "cancel --home home --request 00", 2, &["no request is open"]);
    refused(path, "adapt --home home --rate 0", 2, &["rate"]);
    refused(path, "adapt --home home --memory 1MiB", 5, &["bytes"]);
    fs::write(
        stage.at("bad.jsonl"),
        "{\"subject\": \"h9\", \"label\": \"one\", \"bytes\": [1, 2]}\n",
    )
    .unwrap();
    refused(path, "ingest --home home --input bad.jsonl", 3, &["sample 0", "2 values", "256"]);
    fs::write(stage.at("worse.jsonl"), "\n{\"subject\": 3}\n").unwrap();
    refused(path, "ingest --home home --input worse.jsonl", 3, &["line 2", "expected"]);
    refused(path, "ingest --home home --input none.jsonl", 3, &["none.jsonl"]);
    let undeclared = base_of(Provenance::Undeclared);
    fs::write(stage.at("undeclared.esm"), undeclared).unwrap();
    refused(path, "init --home new --base undeclared.esm", 3, &["--provenance"]);
    fs::write(stage.at("torn.esm"), &base()[..base().len() / 2]).unwrap();
    refused(path, "init --home new --base torn.esm", 3, &["torn.esm"]);
    let journal = stage.at("home/journal");
    fs::write(&journal, b"unlearnj and noise").unwrap();
    refused(path, "predict --home home --input samples.jsonl", 3, &["journal", "byte"]);
}

#[test]
fn another_process_that_has_the_home_answers() {
    let stage = Stage::adapted();
    let server = Server::start(&stage);
    let status = stage.status();
    assert_eq!(status["subjects"].as_array().unwrap().len(), 3);
    let model = status["served"].clone();
    let sample = value!({ "bytes": vec![0; 256] });
    let ask = value!({ "command": "predict", "samples": [sample] });
    assert_eq!(Server::ask(&stage, &ask)["result"]["model"], model);
    let second = run(stage.path(), "serve --home home");
    judged("serve", &second, 4, &["another process"]);
    let wrong = Server::ask(&stage, &value!({ "command": "sing" }));
    assert_eq!((&wrong["ok"], &wrong["code"]), (&value!(false), &value!(2)));
    let erased = json(stage.path(), "erase --home home --subject h3 --policy audit-first");
    assert_eq!(erased["erased"]["guarantee"], "exact-replay");
    assert!(erased["stopped_seconds"].as_f64().unwrap() < 60.0);
    let now = Server::ask(&stage, &ask)["result"]["model"].clone();
    assert!(now != model && now == stage.status()["served"], "{now}");
    let adapted = json(stage.path(), "adapt --home home --epochs 1");
    assert_eq!(adapted["people"], 2);
    assert_eq!(Server::ask(&stage, &ask)["result"]["model"], adapted["id"]);
    drop(server);
    assert_eq!(
        stage.status()["served"],
        adapted["id"],
        "the home is whole when its process is killed"
    );
}

#[test]
fn the_python_example_of_the_readme_speaks_to_the_socket() {
    let readme = include_str!("../README.md");
    let Some((_, rest)) = readme.split_once("```python\n") else { panic!("no example") };
    let example = rest.split("```").next().unwrap();
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no python3 here, the example was not run");
        return;
    }
    let stage = Stage::adapted();
    let _server = Server::start(&stage);
    let said = std::process::Command::new("python3")
        .args(["-c", example])
        .current_dir(stage.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && text.contains("exact-replay"), "{said:?}");
}

/// Kills the program at random moments of an erasure, restarts it, and holds what came of it.
#[test]
fn whatever_kills_it_the_next_start_ends_with_the_same_bytes() {
    let kills: u64 = std::env::var("UNLEARN_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let stage = Stage::adapted();
    copy(&stage.at("home"), &stage.at("before"));
    let calm = unlearn::base::clock::Stopwatch::start();
    let whole = json(stage.path(), "erase --home home --subject h2 --method exact-replay");
    let (model, span) = (whole["erased"]["model"].clone(), calm.elapsed());
    let mut stream = unlearn::base::rng::Stream::new(1, "kills");
    let mut hit = 0;
    for number in 0..kills {
        let _ = fs::remove_dir_all(stage.at("home"));
        copy(&stage.at("before"), &stage.at("home"));
        let policy = ["shred-first", "audit-first"][(number % 2) as usize];
        let words =
            format!("erase --home home --subject h2 --method exact-replay --policy {policy}");
        let mut child = command(stage.path(), &words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(span.mul_f64(stream.unit()));
        child.kill().unwrap();
        hit += u64::from(!child.wait().unwrap().success());
        // Killed again on the way back, half of the time.
        if stream.below(2) == 0 {
            let mut again = command(stage.path(), "resume --home home")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(span.mul_f64(0.5 * stream.unit()));
            let _ = again.kill();
            let _ = again.wait();
        }
        done(stage.path(), "resume --home home");
        let status = stage.status();
        let people = status["subjects"].as_array().unwrap().len();
        if people == 3 {
            // Killed before anything was asked for.
            assert_eq!(status["receipts"], 0);
            continue;
        }
        assert_eq!((&status["served"], people), (&model, 2), "kill {number}");
        assert_eq!(status["receipts"], 1);
        assert_eq!(status["subjects"][0]["samples"], 60);
        done(stage.path(), "receipt list --home home");
    }
    eprintln!("{kills} kills, {hit} of them before the end");
    assert!(hit > 0, "no kill came before the end");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false if entry.path().ends_with("socket") => {}
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// A marker that nothing else holds: in the values, the label's group and the name.
fn marked() -> (Vec<Given>, [u8; 48], String) {
    let mut stream = unlearn::base::rng::Stream::new(9, "marker");
    let marker: [u8; 48] = std::array::from_fn(|_| stream.below(256) as u8);
    let name = "canary-7f3a91c5".to_string();
    let mut samples = household();
    for given in samples.iter_mut().filter(|given| given.subjects[0] == "h2") {
        given.subjects = vec![name.clone()];
        if let Values::Bytes(bytes) = &mut given.values {
            bytes[100..148].copy_from_slice(&marker);
        }
    }
    (samples, marker, name)
}

#[test]
fn nothing_of_who_was_erased_is_in_a_file_or_in_the_memory_of_the_server() {
    let stage = Stage::new();
    let server = Server::start(&stage);
    let (samples, marker, name) = marked();
    for given in samples.chunks(20) {
        let lines: Vec<Value> =
            lines(given).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let reply = Server::ask(&stage, &value!({ "command": "ingest", "samples": lines }));
        assert_eq!(reply["ok"], true, "{reply}");
    }
    let keyring = fs::read(stage.at("home/keyring")).unwrap();
    let device = fs::read(stage.at("home/keys/device.1.key")).unwrap();
    let reply = Server::ask(&stage, &value!({ "command": "adapt", "epochs": 2 }));
    assert_eq!(reply["ok"], true, "{reply}");
    let keys = person_keys(&stage);
    let before = found(&stage, &server, &[&device[8..40]]);
    assert!(
        before.iter().any(|place| place.contains("device.1.key")),
        "the search finds a key: {before:?}"
    );
    let erase = value!({ "command": "erase", "subjects": [name], "policy": "audit-first" });
    let reply = Server::ask(&stage, &erase);
    assert_eq!(reply["ok"], true, "{reply}");
    // A few more requests run over the stacks that handled the one before.
    for _ in 0..4 {
        Server::ask(&stage, &value!({ "command": "status" }));
    }
    let left = person_keys(&stage);
    let gone: Vec<[u8; 32]> = keys.into_iter().filter(|key| !left.contains(key)).collect();
    assert_eq!(gone.len(), 1);
    let marks: [&[u8]; 5] = [&marker, &marker[..24], name.as_bytes(), &device[8..40], &gone[0]];
    let places = found(&stage, &server, &marks);
    assert_eq!(places, Vec::<String>::new(), "found where it should not be");
    drop(server);
    fs::write(stage.at("home/keyring"), keyring).unwrap();
    let said = run(stage.path(), "status --home home");
    judged("status", &said, 3, &["keyring", "older"]);
}

/// The keys of the people in a home, as its keyring has them now.
fn person_keys(stage: &Stage) -> Vec<[u8; 32]> {
    let store = FileKeyStore::new(&stage.at("home/keys"));
    let keyring = Keyring::read(&FileDisk, &stage.at("home/keyring"), &store).unwrap();
    keyring.people().map(|handle| *keyring.person(&handle).unwrap().bytes()).collect()
}

/// Where any of `marks` is found: files of the home, and memory of the server where root may look.
fn found(stage: &Stage, server: &Server, marks: &[&[u8]]) -> Vec<String> {
    let mut places = Vec::new();
    let mut folders = vec![stage.at("home")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && holds(&fs::read(entry.path()).unwrap(), marks) {
                places.push(entry.path().display().to_string());
            }
        }
    }
    match memory(server.0.id()) {
        Some(regions) => {
            for (region, bytes) in &regions {
                for (number, mark) in marks.iter().enumerate() {
                    let at = bytes.windows(mark.len()).position(|window| window == *mark);
                    let near = |at: usize| {
                        bytes[at.saturating_sub(160)..(at + 160).min(bytes.len())]
                            .escape_ascii()
                            .to_string()
                    };
                    places.extend(
                        at.map(|at| format!("mark {number} at {at:#x} of {region}: {}", near(at))),
                    );
                }
            }
        }
        None => eprintln!("SKIPPED: only root may read the memory of another process"),
    }
    places
}

fn holds(bytes: &[u8], marks: &[&[u8]]) -> bool {
    marks.iter().any(|mark| bytes.windows(mark.len()).any(|window| window == *mark))
}

/// Every readable and writable region of a process.
fn memory(process: u32) -> Option<Vec<(String, Vec<u8>)>> {
    use std::os::unix::fs::FileExt;
    let memory = fs::File::open(format!("/proc/{process}/mem")).ok()?;
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).ok()?;
    let mut regions = Vec::new();
    for line in
        maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|p| p.starts_with("rw")))
    {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        let mut bytes = vec![0; (to - from) as usize];
        if memory.read_exact_at(&mut bytes, from).is_ok() {
            regions.push((line.to_string(), bytes));
        }
    }
    std::thread::sleep(Duration::from_millis(1));
    (!regions.is_empty()).then_some(regions)
}
