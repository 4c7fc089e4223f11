//! Defends a run against the end of its process at any moment: what lies on the disk is whole, and
//! whoever resumes ends with the bytes of a run that nobody disturbed, on any number of threads.
//!
//! Remembers: a checkpoint that was resumed as another network, and weights for rewinding that were
//! never kept because the run died after the checkpoint of their epoch.
#![cfg(unix)]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use common::program::{Said, command, done, folder, judged, refused, run};
use tempfile::TempDir;
use unlearn::base::clock::Stopwatch;
use unlearn::base::rng::Stream;
use unlearn::format::{ClassesAndFeatures, Draft, Dtype, Role, Stored, TensorIn};

const TRAIN: &str = "train --model cnn16 --data made --epochs 4 --batch 64 --out run.esm";

/// `run.esm` and `run.rewind.esm` of [`TRAIN`] that nobody disturbed, on two threads.
fn undisturbed() -> &'static [Vec<u8>; 2] {
    static MADE: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    MADE.get_or_init(|| {
        let home = TempDir::new().unwrap();
        done(home.path(), &format!("{TRAIN} --threads 2"));
        assert!(!home.path().join("run.checkpoint.esm").exists(), "a checkpoint stays behind");
        both(home.path())
    })
}

fn both(home: &Path) -> [Vec<u8>; 2] {
    ["run.esm", "run.rewind.esm"].map(|name| fs::read(home.join(name)).unwrap())
}

fn start(home: &Path, words: &str) -> Child {
    command(home, words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(sent.unwrap().success(), "the run ended before the signal {name}");
}

fn ended(child: Child) -> Said {
    child.wait_with_output().unwrap().into()
}

/// Waits until `path` is there.
fn wait_for(path: &Path) {
    let started = Stopwatch::start();
    while !path.exists() {
        assert!(started.seconds() < 60.0, "{} never came", path.display());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn threads_and_interruptions_change_no_byte() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    done(home, &format!("{TRAIN} --threads 1"));
    assert!(both(home) == *undisturbed(), "one thread and two differ");
    fs::remove_file(home.join("run.rewind.esm")).unwrap();

    let child = start(home, TRAIN);
    wait_for(&home.join("run.checkpoint.esm"));
    signal(&child, "-INT");
    let said = ended(child);
    judged(
        TRAIN,
        &without_notice(said),
        130,
        &["run.checkpoint.esm holds it; go on with --resume"],
    );
    done(home, "verify run.checkpoint.esm");
    assert!(
        fs::read(home.join("run.esm")).unwrap() == undisturbed()[0],
        "an earlier file is touched"
    );

    fs::remove_file(home.join("run.esm")).unwrap();
    done(home, &format!("{TRAIN} --resume"));
    assert!(both(home) == *undisturbed(), "resumed and undisturbed differ");
    assert!(!home.join("run.checkpoint.esm").exists());
}

/// What was said, without the line that an interrupt is answered with at once.
fn without_notice(said: Said) -> Said {
    let notice = "\nunlearn: stopping after this batch (once more to stop at once)\n";
    assert!(said.err.starts_with(notice), "{said:?}");
    Said { err: said.err.replacen(notice, "", 1), ..said }
}

#[test]
fn a_run_that_is_killed_at_any_moment_leaves_whole_files_and_resumes_to_the_same_bytes() {
    let mut moments = Stream::new(1, "moments");
    for round in 0..5 {
        let home = TempDir::new().unwrap();
        let home = home.path();
        let child = start(home, TRAIN);
        if round > 0 {
            wait_for(&home.join("run.checkpoint.esm"));
        }
        std::thread::sleep(Duration::from_millis((400.0 * moments.unit()) as u64));
        let mut child = child;
        let _ = child.kill();
        drop(ended(child));
        for name in ["run.esm", "run.checkpoint.esm", "run.rewind.esm"] {
            if home.join(name).exists() {
                done(home, &format!("verify {name}"));
            }
        }
        let resume = if home.join("run.checkpoint.esm").exists() { "--resume" } else { "" };
        if resume.is_empty() && home.join("run.esm").exists() {
            continue;
        }
        done(home, &format!("{TRAIN} {resume}"));
        assert!(both(home) == *undisturbed(), "round {round}: resumed and undisturbed differ");
        let left: Vec<_> = fs::read_dir(home).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }
}

#[test]
fn resuming_another_run_or_none_is_refused() {
    let home = folder();
    let home = home.path();
    refused(home, &format!("{TRAIN} --resume"), 2, &["run.checkpoint.esm does not exist"]);
    fs::copy(home.join("base.esm"), home.join("run.checkpoint.esm")).unwrap();
    let same = "train --model cnn16 --data made --epochs 2 --out run.esm --resume";
    refused(home, same, 2, &["run.checkpoint.esm is a model, not a checkpoint"]);
    let child = start(home, TRAIN);
    let early = home.join("run.rewind.esm");
    wait_for(&early);
    signal(&child, "-INT");
    assert_eq!(ended(child).code, Some(130));
    let others = [
        (TRAIN.replace("--epochs 4", "--epochs 5"), "with recipe"),
        (format!("{TRAIN} --seed 2"), "with recipe"),
        (format!("{TRAIN} --train head"), "with recipe"),
        (TRAIN.replace("data made", "data made:2"), "with data"),
        (format!("{TRAIN} --without subject=p01"), "made with --without"),
        (TRAIN.replace("model cnn16", "model mlp.toml"), "with model cnn16"),
    ];
    // A multilayer perceptron that takes the same samples.
    let mlp = include_str!("../models/mlp.toml");
    fs::write(home.join("mlp.toml"), mlp.replace("28, 28", "16, 16")).unwrap();
    for (words, phrase) in others {
        refused(
            home,
            &format!("{words} --resume"),
            2,
            &["run.checkpoint.esm", phrase, "same words"],
        );
    }
    let mut damaged = fs::read(home.join("run.checkpoint.esm")).unwrap();
    damaged.truncate(1000);
    fs::write(home.join("run.checkpoint.esm"), damaged).unwrap();
    refused(home, &format!("{TRAIN} --resume"), 3, &["run.checkpoint.esm: preamble, offset 24"]);
}

#[test]
fn interrupted_forgetting_and_pruning_leave_no_file_and_keep_an_earlier_one() {
    let home = folder();
    let home = home.path();
    let runs = [
        "forget --model base.esm --data made --scenario class=0 --epochs 200 --out",
        "prune --model base.esm --data made --sparsity 0.5 --epochs 200 --out",
    ];
    let before = common::program::files(home);
    for words in runs {
        for (name, end) in [("out.esm", "-INT"), ("new.esm", "-TERM")] {
            let child = start(home, &format!("{words} {name}"));
            std::thread::sleep(Duration::from_millis(700));
            signal(&child, end);
            let said = without_notice(ended(child));
            judged(words, &said, 130, &["no file was written"]);
            assert!(common::program::files(home) == before, "{words} {name}");
        }
    }
}

#[test]
fn one_seed_gives_one_file_and_another_seed_another() {
    let home = folder();
    let home = home.path();
    let runs = [
        "train --model cnn16 --data made --epochs 1",
        "prune --model base.esm --data made --sparsity 0.9 --method random",
        "forget --model base.esm --data made --scenario random=0.1 --epochs 1",
        "forget --model base.esm --data made --scenario class=3 --epochs 1 --form proximal --alpha 0.1",
        "forget --model base.esm --data made --scenario class=3 --epochs 1 --method retrain",
    ];
    for words in runs {
        let file = |name: &str, more: &str| {
            let said = run(home, &format!("{words} --out {name} {more}"));
            assert_eq!(said.code, Some(0), "{words}: {said:?}");
            fs::read(home.join(name)).unwrap()
        };
        let first = file("a.esm", "--seed 5 --threads 1");
        assert!(first == file("b.esm", "--seed 5 --threads 2"), "{words}: the same seed");
        assert!(first != file("c.esm", "--seed 6"), "{words}: another seed");
    }
}

#[test]
fn a_checkpoint_whose_momentum_is_of_other_weights_is_refused() {
    let home = TempDir::new().unwrap();
    let text = "name = \"tiny\"\nsummary = \"One layer.\"\n[input]\nshape = [1, 1, 2]\nmean = [0.0]\n\
        std = [1.0]\n[[op]]\nname = \"fc\"\nkind = \"linear\"\noutputs = \"classes\"\nprunable = true\nbias = false\n";
    let classes = ["no", "yes"].map(str::to_string).to_vec();
    for (stored, code) in
        [(Stored::Dense, 3), (Stored::Masked(&[1, 2]), 3), (Stored::Masked(&[0, 3]), 0)]
    {
        let held = if matches!(stored, Stored::Dense) { 4 } else { 2 };
        let tensor = |name, role, stored, values| TensorIn {
            name,
            role,
            shape: &[2, 2],
            dtype: Dtype::F32,
            stored,
            values,
        };
        let weight = tensor("fc.weight", Role::Parameter, Stored::Masked(&[0, 3]), &[1.0, 2.0][..]);
        let momentum = tensor("momentum/fc.weight", Role::Buffer, stored, &[0.5; 4][..held]);
        let draft = Draft::new(text).tensor(weight).tensor(momentum);
        let draft = draft.classes(ClassesAndFeatures { classes: classes.clone(), features: None });
        fs::write(home.path().join("odd.esm"), draft.encode().unwrap()).unwrap();
        match code {
            0 => drop(done(home.path(), "inspect odd.esm")),
            _ => refused(
                home.path(),
                "inspect odd.esm",
                code,
                &["`momentum/fc.weight` has another mask"],
            ),
        }
    }
}
