//! A home that learns on a device which fails, by the program and the driver made in C: part of `tests/cuda_card.rs`.

use std::process::{Command, Stdio};

use crate::Fake;
use crate::common::program::{command, done, files, json};
use crate::common::stage::{Server, Stage};

#[test]
fn a_home_whose_device_fails_is_as_it_was_and_a_server_goes_on_without() {
    let fake = fake!();
    let served = |stage: &Stage| stage.status()["served"].clone();
    let on_the_processor = served(&Stage::adapted());
    let there = |stage: &Stage, words: &str| {
        let mut command = command(stage.path(), words);
        command.env("LD_LIBRARY_PATH", fake.path.parent().unwrap()).env("FAKE_FREE", "100000000");
        command
    };
    let fresh = || {
        let stage = Stage::new();
        done(stage.path(), "ingest --home home --input samples.jsonl");
        stage
    };
    // The stand-in opens, from within a process that closes itself then, and has no kernels of ours.
    let stage = fresh();
    let before = (files(&stage.at("home/slots")), served(&stage));
    let words = "adapt --home home --epochs 3 --batch 16 --device cuda/f32";
    let fails = |mut command: Command, code, word| {
        let failed = command.output().unwrap();
        let said = String::from_utf8_lossy(&failed.stderr);
        assert_eq!(failed.status.code(), Some(code), "{said}");
        assert!(said.contains(word), "{said}");
        assert!((files(&stage.at("home/slots")), served(&stage)) == before);
    };
    let mut small = there(&stage, words);
    small.env("FAKE_FREE", "1000");
    fails(small, 4, "1000 of");
    let under_way = || stage.status()["under_way"]["adaptation"].clone();
    assert!(under_way().is_null(), "nothing was ordered");
    fails(there(&stage, words), 4, "NVRTC");
    assert_eq!(under_way(), true);
    done(stage.path(), "resume --home home");
    assert_eq!(served(&stage), on_the_processor, "and not what the device began");
    // A server lets the processor learn, and says so: where a worker failed, and where steps were timed.
    let stage = fresh();
    for (words, named) in [
        ("adapt --home home --epochs 3 --batch 16", true),
        ("erase --home home --subject h2", false),
    ] {
        let mut serve = there(&stage, "serve --home home --device cuda/f32");
        let mut server = Server::begin(serve.stderr(Stdio::piped()));
        if named {
            let refused = there(&stage, &format!("{words} --device cuda/f32")).output().unwrap();
            let said = String::from_utf8_lossy(&refused.stderr);
            assert_eq!(refused.status.code(), Some(2), "{said}");
            assert!(said.contains("give --device to `unlearn serve`"), "{said}");
        }
        let told = json(stage.path(), words);
        match named {
            true => assert_eq!(served(&stage), on_the_processor),
            false => assert_eq!(told["erased"]["guarantee"], "exact-replay", "{told}"),
        }
        let mut log = server.0.stderr.take().unwrap();
        drop(server);
        let mut said = String::new();
        std::io::Read::read_to_string(&mut log, &mut said).unwrap();
        assert!(said.contains("cuda:0 failed; the processor learns from here on"), "{said}");
    }
}
