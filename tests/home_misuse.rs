//! A home under misuse: each wrong thing is answered with what was wrong, where, and what to do, and
//! changes nothing.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use common::program::{Said, command, done, json, judged, refused, run};
use common::stage::{Server, Stage};
use serde_json::{Value, json as value};
use unlearn::base::disk::Lock;

/// Everything below a folder that a refusal may not change.
fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => all.extend(tree(&entry.path())),
            kind if kind.is_file() => all.push((entry.path(), fs::read(entry.path()).unwrap())),
            _ => {}
        }
    }
    all.sort();
    all
}

/// As [`refused`], and the home is to the byte what it was, but for the index, which a new transaction
/// may have begun.
fn refused_whole(stage: &Stage, words: &str, code: i32, phrases: &[&str]) {
    let kept = || {
        let mut files = tree(&stage.at("home"));
        files.retain(|(path, _)| !path.ends_with("vault.redb"));
        files
    };
    let before = (kept(), stage.status());
    refused(stage.path(), words, code, phrases);
    assert!(before.1 == stage.status(), "unlearn {words}: the home changed");
    let changed = before.0.iter().zip(kept()).find(|(a, b)| **a != *b);
    assert_eq!(changed.map(|(a, _)| &a.0), None, "unlearn {words}");
}

#[test]
fn one_process_has_a_home_at_a_time() {
    let stage = Stage::adapted();
    let lock = Lock::take(&stage.at("home/lock")).unwrap().unwrap();
    for words in ["status", "serve", "erase --subject h1", "ingest --input samples.jsonl", "gc"] {
        let (name, rest) = words.split_once(' ').unwrap_or((words, ""));
        refused(stage.path(), &format!("{name} --home home {rest}"), 4, &["another process"]);
    }
    drop(lock);
    let _server = Server::start(&stage);
    refused(stage.path(), "serve --home home", 4, &["another process"]);
    assert_eq!(stage.status()["receipts"], 0);
}

#[test]
fn keys_of_another_home_open_nothing_and_are_not_removed() {
    let (stage, other) = (Stage::new(), Stage::new());
    let key = "home/keys/device.1.key";
    let own = fs::read(stage.at(key)).unwrap();
    let foreign = fs::read(other.at(key)).unwrap();
    fs::write(stage.at(key), &foreign).unwrap();
    let words = ["keyring", "device key of its generation"];
    refused(stage.path(), "status --home home", 3, &words);
    fs::remove_file(stage.at(key)).unwrap();
    fs::write(stage.at("home/keys/device.7.key"), &foreign).unwrap();
    refused(stage.path(), "status --home home", 3, &["generation 1", "[7]", "another home"]);
    assert!(stage.at("home/keys/device.7.key").exists(), "it may be somebody's only one");
    fs::write(stage.at(key), &own[..20]).unwrap();
    refused(stage.path(), "status --home home", 3, &["device.1.key", "44 bytes"]);
    fs::write(stage.at(key), &own).unwrap();
    done(stage.path(), "status --home home");
}

#[test]
fn who_is_not_here_and_who_has_nothing() {
    let stage = Stage::new();
    let line = |subjects: Value, number: u8| {
        let mut bytes = vec![0; 256];
        bytes[7] = number;
        format!("{}\n", value!({ "subjects": subjects, "label": "one", "bytes": bytes }))
    };
    let text: String = (0..20).map(|n| line(value!(["h1", "guest"]), n)).collect();
    fs::write(stage.at("shared.jsonl"), text).unwrap();
    refused_whole(&stage, "erase --home home --subject h1", 2, &["h1", "nobody was taken in"]);
    done(stage.path(), "ingest --home home --input shared.jsonl");
    done(stage.path(), "adapt --home home --epochs 1");
    refused_whole(&stage, "erase --home home --subject Guest", 2, &["`Guest`", "guest, h1"]);
    refused_whole(&stage, "erase --home home --subject h1,nobody", 2, &["`nobody`"]);
    refused_whole(&stage, "erase --home home --subject h1,h1", 2, &["h1", "each subject once"]);
    let words = "erase --home home --subject h1 --nonce 00";
    refused_whole(&stage, words, 2, &["the nonce", "2 bytes", "64 hexadecimal digits"]);
    // What was shared goes with the first of them, and leaves the other without a sample.
    json(stage.path(), "erase --home home --subject h1");
    let status = stage.status();
    assert_eq!(
        status["subjects"],
        value!([
            { "name": "guest", "samples": 0, "held_out": 0, "bytes": 0 }
        ])
    );
    refused_whole(&stage, "adapt --home home", 5, &["nothing to adapt to", "unlearn ingest"]);
    let erased = json(stage.path(), "erase --home home --subject guest");
    assert_eq!(erased["erased"]["samples"], 0);
    assert_eq!(stage.status()["subjects"], value!([]));
    let list = json(stage.path(), "receipt list --home home");
    let files: Vec<&str> =
        list["receipts"].as_array().unwrap().iter().map(|r| r["file"].as_str().unwrap()).collect();
    let key = list["key"].as_str().unwrap();
    done(stage.path(), &format!("receipt verify {} --key {key}", files.join(" ")));
}

#[test]
fn a_receipt_of_another_device_breaks_the_chain() {
    let (stage, other) = (Stage::adapted(), Stage::adapted());
    for (stage, name) in [(&stage, "h1"), (&other, "h1"), (&other, "h2")] {
        json(stage.path(), &format!("erase --home home --subject {name} --method reset"));
    }
    let key = stage.status()["key"].as_str().unwrap().to_string();
    fs::copy(other.at("home/receipts/000002.receipt"), stage.at("foreign.receipt")).unwrap();
    let words = format!("receipt verify home/receipts/000001.receipt foreign.receipt --key {key}");
    let said = run(stage.path(), &words);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!((said.out + &said.err).contains("foreign.receipt"));
}

/// `samples` as the bytes of a postcard frame.
fn frame(subject: &str, label: &str, group: Option<&str>, values: &[f32]) -> Vec<u8> {
    #[derive(serde::Serialize)]
    enum Numbers<'a> {
        #[allow(dead_code)]
        Bytes(&'a [u8]),
        Floats(&'a [f32]),
    }
    let body = (vec![subject], Some(label), group, Numbers::Floats(values));
    let body = postcard::to_allocvec(&body).unwrap();
    [&(body.len() as u32).to_le_bytes()[..], &body].concat()
}

#[test]
fn frames_and_lines_that_lie_are_refused_with_their_place() {
    let stage = Stage::new();
    let good = frame("anna", "one", None, &[0.25; 256]);
    let after = format!("byte {}", good.len());
    let claims = [&good[..], &u32::MAX.to_le_bytes()].concat();
    let inner = {
        let mut lying = good.clone();
        // The count of values, behind variant 1: four gigabytes of them.
        let at = good.len() - 4 * 256 - 2;
        lying.splice(at..at + 2, [0xff, 0xff, 0xff, 0xff, 0x0f]);
        let len = lying.len() as u32 - 4;
        lying[..4].copy_from_slice(&len.to_le_bytes());
        lying
    };
    let cases: [(&str, Vec<u8>, Vec<&str>); 5] = [
        ("claims", claims, vec![&after, "claims 4294967295 bytes"]),
        ("torn", good[..100].to_vec(), vec!["byte 0", "has 96"]),
        ("inner", inner, vec!["byte 0", "does not decode"]),
        ("json", b"{\"subject\": \"anna\"}".to_vec(), vec!["byte 0", "claims"]),
        ("short", frame("anna", "one", None, &[1.0; 3]), vec!["sample 0", "3 values", "256"]),
    ];
    for (name, bytes, phrases) in &cases {
        fs::write(stage.at(name), bytes).unwrap();
        let words = format!("ingest --home home --format postcard --input {name}");
        refused_whole(&stage, &words, 3, phrases);
    }
    fs::write(stage.at("long"), vec![b'['; 10 << 20]).unwrap();
    refused_whole(&stage, "ingest --home home --input long", 3, &["line 1", "expected"]);
    refused_whole(&stage, "predict --home home --input long", 3, &["line 1"]);
    fs::write(stage.at("long"), [&[b' '; 10 << 20][..], b"?"].concat()).unwrap();
    refused_whole(&stage, "ingest --home home --input long", 3, &["line 1"]);
    refused_whole(&stage, "ingest --home home --input base.esm", 3, &["line 1"]);
    refused_whole(&stage, "ingest --home home --input home", 3, &["home"]);
}

#[test]
fn words_and_numbers_that_break_a_rule_enrol_nobody() {
    let stage = Stage::new();
    let long = "x".repeat(300);
    let fine = [0.5f32; 256];
    let mut wrong = fine;
    let mut cases: Vec<(Vec<u8>, &str)> = vec![
        (frame("", "one", None, &fine), "a subject of it has 0 bytes"),
        (frame(&long, "one", None, &fine), "a subject of it has 300 bytes"),
        (frame("a\u{1b}[2J", "one", None, &fine), "without control characters"),
        (frame("anna", "", None, &fine), "its label has 0 bytes"),
        (frame("anna", &long, None, &fine), "its label has 300 bytes"),
        (frame("anna", "one\n", None, &fine), "its label has 4 bytes, some of them control"),
        (frame("anna", "one", Some(""), &fine), "its group has 0 bytes"),
        (frame("anna", "one", Some(&long), &fine), "its group has 300 bytes"),
        (frame("anna", "one", Some("\0"), &fine), "its group has 1 bytes, some of them control"),
    ];
    for value in [f32::NAN, f32::INFINITY] {
        wrong[9] = value;
        cases.push((frame("anna", "one", None, &wrong), "value 9 is"));
    }
    for (bytes, phrase) in cases {
        // Behind a good one: none of them is taken in.
        fs::write(stage.at("frames"), [frame("bert", "one", None, &fine), bytes].concat()).unwrap();
        let words = "ingest --home home --format postcard --input frames";
        refused_whole(&stage, words, 3, &["sample 1", phrase]);
    }
    let numbers = |what: &str| {
        let zeros = vec!["0"; 255].join(",");
        format!("{{\"subject\": \"anna\", \"label\": \"one\", \"values\": [{what},{zeros}]}}\n")
    };
    for (what, phrase) in [("NaN", "line 1"), ("1e39", "value 0 is inf"), ("1e999", "line 1")] {
        fs::write(stage.at("lines"), numbers(what)).unwrap();
        refused_whole(&stage, "ingest --home home --input lines", 3, &[phrase]);
    }
    let twice = "{\"subjects\": [\"anna\", \"anna\"], \"label\": \"one\", \"bytes\": [1]}\n";
    let nobody = "{\"label\": \"one\", \"bytes\": [1]}\n";
    let both = "{\"subject\": \"anna\", \"label\": \"one\", \"bytes\": [1], \"values\": [1]}\n";
    let none = "{\"subject\": \"anna\", \"bytes\": [1]}\n";
    let full = "1,".repeat(255) + "1";
    for (line, phrase) in
        [(twice, "twice"), (nobody, "0 subjects"), (both, "either"), (none, "no `label`")]
    {
        fs::write(
            stage.at("lines"),
            line.replace("\"bytes\": [1]", &format!("\"bytes\": [{full}]")),
        )
        .unwrap();
        refused_whole(&stage, "ingest --home home --input lines", 3, &["sample 0", phrase]);
    }
    assert_eq!(stage.status()["subjects"], value!([]));
}

#[test]
fn a_class_that_the_base_does_not_have_is_learnt_beside_its_own() {
    let stage = Stage::adapted();
    let line = |number: usize| {
        let bytes: Vec<u8> = (0..256).map(|at| ((at * 7 + number * number) % 256) as u8).collect();
        format!("{}\n", value!({ "subject": "anna", "label": "wave", "bytes": bytes }))
    };
    fs::write(stage.at("new.jsonl"), (0..40).map(line).collect::<String>()).unwrap();
    done(stage.path(), "ingest --home home --input new.jsonl");
    done(stage.path(), "adapt --home home --epochs 20 --batch 16 --rate 0.05");
    let answers = json(stage.path(), "predict --home home --input new.jsonl");
    let waves = |answers: &Value| {
        let all = answers["answers"].as_array().unwrap();
        all.iter().filter(|answer| answer["label"] == "wave").count()
    };
    assert!(waves(&answers) >= 30, "{answers}");
    // Nobody else taught it: it goes with her.
    let erased = json(stage.path(), "erase --home home --subject anna --method l1-sparse");
    assert_eq!(erased["erased"]["choice"], "exact-replay");
    assert_eq!(waves(&json(stage.path(), "predict --home home --input new.jsonl")), 0);
}

#[test]
fn a_quota_that_is_exceeded_midway_takes_whole_pieces_and_enrols_nobody_behind() {
    let stage = Stage::new();
    done(stage.path(), "init --home small --base base.esm --max-samples 1050");
    let line = |number: usize| {
        let mut bytes = vec![0; 256];
        (bytes[0], bytes[1]) = ((number % 256) as u8, (number / 256) as u8);
        let subject = if number < 1024 { "anna" } else { "bert" };
        format!("{}\n", value!({ "subject": subject, "label": "one", "bytes": bytes }))
    };
    fs::write(stage.at("many.jsonl"), (0..1100).map(line).collect::<String>()).unwrap();
    let words = "ingest --home small --input many.jsonl";
    refused(stage.path(), words, 4, &["quota of samples is 1050", "1100 were wanted"]);
    let status = json(stage.path(), "status --home small");
    let people = status["subjects"].as_array().unwrap();
    assert_eq!(people.len(), 1, "{people:?}");
    assert_eq!((&people[0]["name"], &people[0]["samples"]), (&value!("anna"), &value!(1024)));
    done(stage.path(), "erase --home small --subject anna");
    refused(stage.path(), "status --home small --subject anna", 2, &["--subject"]);
}

#[test]
fn a_home_that_is_a_file_or_cannot_be_written() {
    let stage = Stage::adapted();
    fs::write(stage.at("file"), "dear").unwrap();
    refused(stage.path(), "status --home file", 2, &["`file` is no home"]);
    refused(stage.path(), "serve --home file", 2, &["`file` is no home"]);
    let said = run(stage.path(), "init --home file --base base.esm");
    judged(
        "init --home file",
        &said,
        said.code.filter(|code| [3, 4].contains(code)).unwrap_or(4),
        &["file"],
    );
    assert_eq!(fs::read(stage.at("file")).unwrap(), b"dear");
    let before = stage.status();
    read_only(&stage, true);
    for words in [
        "ingest --home home --input new.jsonl",
        "erase --home home --subject h1",
        "adapt --home home",
    ] {
        fs::write(
            stage.at("new.jsonl"),
            format!("{}\n", value!({ "subject": "anna", "label": "one", "bytes": vec![1; 256] })),
        )
        .unwrap();
        let said = as_its_owner(&stage, words);
        judged(words, &said, 4, &["home/", "denied"]);
    }
    read_only(&stage, false);
    assert_eq!(stage.status(), before);
    done(stage.path(), "erase --home home --subject h1");
}

const NOBODY: u32 = 65534;

/// Takes the right to write away from the folders of a home, and from root, who needs none, its ownership.
fn read_only(stage: &Stage, yes: bool) {
    let root = fs::metadata(stage.path()).unwrap().uid() == 0;
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(stage.path(), 0o755);
    let owner = root.then_some(if yes { NOBODY } else { 0 });
    for (path, _) in tree(&stage.at("home")) {
        chown(&path, owner, None).unwrap();
    }
    for folder in ["home/keys", "home/slots", "home/receipts", "home"] {
        chown(stage.at(folder), owner, None).unwrap();
        mode(&stage.at(folder), if yes { 0o555 } else { 0o755 });
    }
}

fn as_its_owner(stage: &Stage, words: &str) -> Said {
    let mut command = command(stage.path(), words);
    if fs::metadata(stage.path()).unwrap().uid() == 0 {
        command.uid(NOBODY);
    }
    command.output().unwrap().into()
}

#[test]
fn clients_that_break_off_or_flood_leave_the_server_answering() {
    let stage = Stage::adapted();
    let _server = Server::start(&stage);
    let connect = || UnixStream::connect(stage.at("home/socket")).unwrap();
    let asks = |line: &[u8]| -> Value {
        for _ in 0..1000 {
            let mut stream = connect();
            // One that is turned away may be closed before it has said all.
            let _ = stream.write_all(line);
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).unwrap();
            // Those that broke off are still being taken leave of.
            if !answer.contains("too many connections") {
                return serde_json::from_str(&answer).unwrap();
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("connections that broke off keep their place");
    };
    for _ in 0..100 {
        let _ = connect().write_all(b"{\"command\": \"erase\", \"subjects\": [\"h1\"");
        drop(connect());
    }
    // Asked, and gone before the answer.
    for _ in 0..20 {
        let _ = connect().write_all(b"{\"command\": \"status\"}\n");
    }
    let wrong: [&[u8]; 5] =
        [b"\n", b"\xff\xfe\n", b"[1,2\n", b"{\"command\": \"erase\"}\n", b"null\n"];
    for line in wrong {
        let reply = asks(line);
        assert_eq!((&reply["ok"], &reply["code"]), (&value!(false), &value!(2)), "{reply}");
    }
    let deep = [b"{\"command\":\"predict\",\"samples\":".to_vec(), vec![b'['; 1 << 20]].concat();
    assert_eq!(asks(&[&deep[..], b"\n"].concat())["code"], 2);
    assert_eq!(stage.status()["receipts"], 0, "half a request is none");
    // Connections that say nothing: so many, and no more.
    let mut silent: Vec<UnixStream> = (0..64).map(|_| connect()).collect();
    let mut one_more = connect();
    let mut answer = String::new();
    one_more.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("too many connections"), "{answer}");
    let said = run(stage.path(), "status --home home");
    judged("status", &said, 4, &["too many connections"]);
    silent.truncate(10);
    let mut tries = 0..200;
    while run(stage.path(), "status --home home").code != Some(0) {
        assert!(tries.next().is_some(), "no connection becomes free");
    }
}

/// Workers of the server, by their parent.
fn workers(server: u32) -> Vec<i32> {
    let parent = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        (fields.next()? != "Z").then(|| fields.next()?.parse::<u32>().ok()).flatten()
    };
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str().map(String::from));
    pids.filter(|pid| parent(pid) == Some(server)).filter_map(|pid| pid.parse().ok()).collect()
}

#[test]
fn a_worker_that_is_killed_again_and_again_does_not_keep_an_erasure_from_its_end() {
    for (most, choice) in [(1, "exact-replay"), (3, "reset")] {
        let stage = Stage::new();
        done(stage.path(), "ingest --home home --input samples.jsonl");
        done(stage.path(), "adapt --home home --epochs 300 --batch 16");
        let server = Server::start(&stage);
        let predict = value!({ "command": "predict", "samples": [{ "bytes": vec![0; 256] }] });
        let model =
            || Server::ask(&stage, &predict)["result"]["model"].as_str().unwrap().to_string();
        let (contaminated, over) = (model(), AtomicBool::new(false));
        let base = stage.status()["base"]["id"].as_str().unwrap().to_string();
        let (erased, kills, answered) = std::thread::scope(|scope| {
            let killer = scope.spawn(|| {
                let mut killed = BTreeSet::new();
                while !over.load(Ordering::Relaxed) && killed.len() < most {
                    for pid in workers(server.0.id()) {
                        let pid = rustix::process::Pid::from_raw(pid).unwrap();
                        let signal = rustix::process::Signal::KILL;
                        if rustix::process::kill_process(pid, signal).is_ok() {
                            killed.insert(pid.as_raw_nonzero());
                        }
                    }
                    std::thread::yield_now();
                }
                killed.len()
            });
            let mut first = UnixStream::connect(stage.at("home/socket")).unwrap();
            writeln!(first, "{}", value!({ "command": "erase", "subjects": ["h2"] })).unwrap();
            // From the first answer of the base on, what knew them is never heard of again.
            let asker = scope.spawn(|| {
                let mut answered = vec![model()];
                while !over.load(Ordering::Relaxed) {
                    answered.push(model());
                }
                answered
            });
            let mut reply = String::new();
            BufReader::new(first).read_line(&mut reply).unwrap();
            over.store(true, Ordering::Relaxed);
            let reply: Value = serde_json::from_str(&reply).unwrap();
            (reply, killer.join().unwrap(), asker.join().unwrap())
        });
        let told = &erased["result"]["erased"];
        assert_eq!(told["choice"], choice, "{erased}");
        assert_eq!(told["failures"].as_array().unwrap().len(), most.min(2), "{erased}");
        assert!(kills >= most.min(2), "{kills}");
        let last = told["model"].as_str().unwrap().to_string();
        assert_eq!(last == base, choice == "reset");
        let mut answered = answered.into_iter().skip_while(|id| *id == contaminated).peekable();
        assert!(answered.peek().is_some());
        assert!(answered.all(|id| id == base || id == last), "{choice}: what knew them answered");
        assert_eq!(stage.status()["subjects"].as_array().unwrap().len(), 2);
        done(stage.path(), "receipt list --home home");
    }
}
