//! Defends whoever gives the program something wrong: one message that says what, where and what to
//! do, the exit code that scripts rely on, and every file as it was.
//!
//! Remembers: a panic on a path that is no UTF-8, a panic where nobody reads standard error, a
//! device that was replaced by a model, a pipe that was waited for, rewinding that panicked on a
//! network of the same name.

mod common;

use std::fs;
use std::path::Path;

use common::program::{command, done, folder, judged, refused, run};
use unlearn::sparse::cuda::{Card, CudaError};

/// Writes an IDX set of 16x16 pictures with these labels for both parts.
fn idx(folder: &Path, labels: &[u8]) {
    fs::create_dir_all(folder).unwrap();
    let count = (labels.len() as u32).to_be_bytes();
    for part in ["train", "t10k"] {
        let pixels: Vec<u8> = (0..labels.len() * 256).map(|i| (i % 251) as u8).collect();
        let header = [&[0, 0, 8, 3][..], &count, &[0, 0, 0, 16, 0, 0, 0, 16]].concat();
        let images = [&header[..], &pixels].concat();
        fs::write(folder.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
        let labels = [&[0, 0, 8, 1][..], &count, labels].concat();
        fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
    }
}

fn cut(file: &Path, bytes: usize) {
    let whole = fs::read(file).unwrap();
    fs::write(file, &whole[..whole.len() - bytes]).unwrap();
}

const TRAIN: &str = "train --model cnn16 --epochs 1 --out out.esm --data";
const FORGET: &str = "forget --model base.esm --data made --epochs 1 --out out.esm";

#[test]
fn a_model_that_is_missing_damaged_or_none_is_refused_by_name() {
    let home = folder();
    let at = |name: &str| home.path().join(name);
    let whole = fs::read(at("base.esm")).unwrap();
    fs::write(at("cut.esm"), &whole[..whole.len() / 2]).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    fs::write(at("flipped.esm"), flipped).unwrap();
    fs::write(at("text.esm"), "name = \"cnn16\"\n").unwrap();
    fs::write(at("empty.esm"), "").unwrap();
    fs::create_dir(at("folder.esm")).unwrap();
    let wrong = [
        ("missing.esm", "`missing.esm`: it does not exist; check"),
        ("cut.esm", "cut.esm: preamble, offset 24"),
        ("flipped.esm", "the file was changed or damaged, get it again"),
        ("text.esm", "text.esm: preamble, offset 0: this is not an .esm file"),
        ("empty.esm", "empty.esm: preamble"),
        ("folder.esm", "`folder.esm` is not a file: it is a folder"),
    ];
    for (name, phrase) in wrong {
        refused(home.path(), &format!("inspect {name}"), 3, &[name, phrase]);
        let words = format!("evaluate --model {name} --data made --scenario class=0");
        refused(home.path(), &words, 3, &[name, phrase]);
        let words = format!("{} --scenario class=0", FORGET.replace("base.esm", name));
        refused(home.path(), &words, 3, &[name, phrase]);
        let words = format!("prune --model {name} --data made --sparsity 0.5 --out out.esm");
        refused(home.path(), &words, 3, &[name, phrase]);
    }
    let said = run(home.path(), "verify missing.esm");
    assert_eq!((said.code, said.err.as_str()), (Some(1), "unlearn: 1 of 1 files failed\n"));
}

#[test]
fn data_that_is_missing_damaged_or_contradicts_itself_is_refused_by_name() {
    let home = folder();
    let at = |name: &str| home.path().join(name);
    fs::create_dir(at("empty")).unwrap();
    for name in ["cut", "lying", "cutlabels"] {
        idx(&at(name), &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
    cut(&at("cut/train-images-idx3-ubyte"), 7);
    cut(&at("cutlabels/t10k-labels-idx1-ubyte"), 3);
    idx(&at("nine"), &[0; 9]);
    fs::copy(at("nine/train-labels-idx1-ubyte"), at("lying/train-labels-idx1-ubyte")).unwrap();
    idx(&at("far"), &[0, 1, 2]);
    let far = [&[0, 0, 8, 1, 0, 0, 0, 3][..], &[0, 1, 200]].concat();
    fs::write(at("far/t10k-labels-idx1-ubyte"), far).unwrap();
    for name in ["small_train.bin", "small_test.bin"] {
        fs::create_dir_all(at("cifar")).unwrap();
        fs::write(at("cifar").join(name), [3u8; 3073]).unwrap();
    }
    cut(&at("cifar/small_test.bin"), 1);
    let wrong: [(&str, &[&str]); 8] = [
        ("nowhere", &["no data at `nowhere`", "UNLEARN_DATA", "made"]),
        ("base.esm", &["`base.esm` is a file of no known kind"]),
        ("empty", &["`empty` is empty", "IDX", "CIFAR-10"]),
        ("cut", &["cut/train-images-idx3-ubyte"]),
        ("cutlabels", &["cutlabels/t10k-labels-idx1-ubyte"]),
        ("lying", &["10", "9", "train-labels-idx1-ubyte"]),
        ("far", &["far/t10k-labels-idx1-ubyte", "200"]),
        ("cifar", &["cifar/small_test.bin"]),
    ];
    for (name, phrases) in wrong {
        refused(home.path(), &format!("{TRAIN} {name}"), 3, phrases);
        let words = format!("evaluate --model base.esm --data {name} --scenario class=0");
        refused(home.path(), &words, 3, phrases);
    }
    refused(home.path(), &format!("{TRAIN} made:x"), 2, &["made:x"]);
    let mut elsewhere = command(home.path(), &format!("{TRAIN} nowhere"));
    let said = elsewhere.env("UNLEARN_DATA", home.path()).output().unwrap().into();
    judged("train, with UNLEARN_DATA", &said, 3, &["no data at `nowhere`"]);
}

#[test]
fn a_scenario_that_cannot_be_is_refused_and_says_what_could_be() {
    let home = folder();
    for (name, text) in
        [("text", "1\ntwo\n"), ("far", "1\n1920\n"), ("none", "\n"), ("same", "4\n4\n")]
    {
        fs::write(home.path().join(name), text).unwrap();
    }
    let all = "class=0,1,2,3,4,5,6,7,8,9";
    let wrong: [(&str, i32, &[&str]); 13] = [
        ("class=77", 2, &["`77`", "zero, one, two"]),
        ("subject=h1", 2, &["`h1`", "p01, p02"]),
        ("people=p01", 2, &["`people=p01`", "class=K[,K]", "indices=FILE"]),
        ("p01", 2, &["`p01`", "subject=NAME"]),
        ("random=0", 2, &["`0`", "above 0 and below 1"]),
        ("random=1.5", 2, &["`1.5`", "above 0 and below 1"]),
        ("random=0.0001", 2, &["leaves the forget set empty"]),
        (all, 2, &["leaves the retain set empty"]),
        ("indices=text", 3, &["`text` line 2: `two`"]),
        ("indices=far", 3, &["`far` line 2: index 1920", "1920 training samples"]),
        ("indices=same", 3, &["`same` line 2: index 4 stands on line 1"]),
        ("indices=none", 2, &["leaves the forget set empty"]),
        ("indices=nowhere", 3, &["`nowhere`"]),
    ];
    for (scenario, code, phrases) in wrong {
        refused(home.path(), &format!("{FORGET} --scenario {scenario}"), code, phrases);
    }
    let evaluate = "evaluate --model base.esm --data made --scenario class=77";
    refused(home.path(), evaluate, 2, &["`77`"]);
    refused(home.path(), &format!("{TRAIN} made --without class=77"), 2, &["`77`"]);
}

#[test]
fn a_model_and_data_that_do_not_fit_are_refused_with_both_sizes() {
    let home = folder();
    idx(&home.path().join("five"), &[0, 1, 2, 3, 4]);
    let shapes = ["`cnn28`", "[1, 28, 28]", "[1, 16, 16]"];
    refused(home.path(), "train --model cnn28 --data made --out out.esm", 2, &shapes);
    let evaluate = "evaluate --model base.esm --data five --scenario class=0";
    let classes = ["10 classes", "the data has 5"];
    refused(home.path(), evaluate, 2, &classes);
    refused(
        home.path(),
        "prune --model base.esm --data five --sparsity 0.5 --out out.esm",
        2,
        &classes,
    );
    let forget = format!("{} --scenario class=0", FORGET.replace("made", "five"));
    refused(home.path(), &forget, 2, &classes);
    let base = "--form towards-base --base base.esm";
    refused(home.path(), &format!("{forget} {base}"), 2, &classes);
}

#[test]
fn a_description_that_describes_nothing_is_refused_by_file_and_line() {
    let home = folder();
    let cnn16 = include_str!("../models/cnn16.toml");
    let wrong = [
        ("std = [0.25]", "std = [nan]", "line.toml:8:", "`std`"),
        ("std = [0.25]", "std = [0.0]", "line.toml:8:", "above 0"),
        ("padding = 1", "padding = 1\npaddling = 2", "line.toml:17:", "`paddling`"),
        ("name = \"cnn16\"", "name = \"cnn 16\"", "line.toml:2:", "`cnn 16`"),
        ("kind = \"relu\"", "kind = \"ruled\"", "line.toml:", "`ruled`"),
        ("[input]", "[input", "line.toml:5:", ""),
    ];
    for (from, to, place, phrase) in wrong {
        fs::write(home.path().join("line.toml"), cnn16.replacen(from, to, 1)).unwrap();
        let words = "train --model line.toml --data made --out out.esm";
        refused(home.path(), words, 3, &[place, phrase]);
    }
    fs::write(home.path().join("bytes.toml"), [b'#', 0xff]).unwrap();
    refused(home.path(), "train --model bytes.toml --data made --out out.esm", 2, &["byte 1"]);
    let unknown = "train --model cnn99 --data made --out out.esm";
    refused(home.path(), unknown, 2, &["`cnn99`", "compiled in are", "cnn16"]);
}

#[test]
fn numbers_that_make_no_sense_are_refused_before_anything_is_done() {
    let home = folder();
    let train = |words: &str| format!("train --model cnn16 --data made --out out.esm {words}");
    let forget = |words: &str| format!("{FORGET} --scenario class=0 {words}");
    let prune = |words: &str| format!("prune --model base.esm --data made --out out.esm {words}");
    let wrong: [(String, &[&str]); 27] = [
        (prune("--sparsity 1.0"), &["sparsity is 1", "not including, 1"]),
        (prune("--sparsity=-0.1"), &["sparsity is -0.1"]),
        (prune("--sparsity nan"), &["sparsity is NaN"]),
        (prune("--sparsity 0.5 --epochs 1"), &["epoch 1 of 1", "--epochs above 1"]),
        (prune("--sparsity 0.5 --rewind nowhere.esm"), &["nowhere.esm does not exist"]),
        (train("--epochs 0"), &["--epochs is 0"]),
        (train("--epochs 100001"), &["`epochs` is 100001", "at most"]),
        (train("--epochs=-1"), &["--epochs"]),
        (train("--batch 0"), &["`batch` is 0", "1 to 65536"]),
        (train("--rate 0"), &["`rate` is 0", "above 0"]),
        (train("--rate nan"), &["`rate` is NaN"]),
        (train("--rate=-1"), &["`rate` is -1"]),
        (train("--rate fast"), &["--rate"]),
        (train("--momentum 1"), &["`momentum` is 1"]),
        (train("--decay=-1"), &["`decay` is -1"]),
        (train("--threads 0"), &["--threads", "1..=1024"]),
        (train("--seed=-1"), &["--seed"]),
        (train("--flip maybe"), &["yes or no"]),
        (forget("--batch 0"), &["`batch` is 0"]),
        (FORGET.replace("--epochs 1", "--epochs 0") + " --scenario class=0", &["`epochs` is 0"]),
        (forget("--alpha=-1"), &["`alpha` is -1"]),
        (forget("--alpha nan"), &["`alpha` is not a finite number"]),
        (forget("--set alpha"), &["expected FIELD=VALUE"]),
        (forget("--set colour=red"), &["no such field", "alpha, form"]),
        (forget("--method retrain --alpha 1"), &["--alpha", "l1-sparse"]),
        (forget("--method amnesia"), &["amnesia", "l1-sparse"]),
        (forget("--base base.esm"), &["--base belongs to --form towards-base"]),
    ];
    for (words, phrases) in wrong {
        refused(home.path(), &words, 2, phrases);
    }
    assert_eq!(run(home.path(), "").code, Some(2));
    refused(home.path(), "forgive", 2, &["forgive"]);
}

#[test]
fn words_for_a_device_that_are_wrong_or_that_nothing_answers_to_are_refused() {
    let home = folder();
    for wrong in ["gpu", "cuda:", "cuda:x", "cuda:0/fp8", "cpu/f32", "cuda1"] {
        let words = format!("{TRAIN} made --device {wrong}");
        refused(home.path(), &words, 2, &[wrong, "--device", "expected cpu, auto, or cuda"]);
    }
    // What learns nothing is refused before it looks at anything.
    for words in ["init --home home --base base.esm", "predict --home home"] {
        let why = ["nothing is learnt here", "use --device cpu"];
        refused(home.path(), &format!("{words} --device cuda"), 2, &why);
        refused(home.path(), &format!("{words} --device gpu"), 2, &["expected cpu, auto"]);
    }
    // So is what learns, where the device cannot be had: before it looks at the home, of which there is none.
    let learning = [
        "adapt --home home",
        "erase --home home --subject anna --ticket ticket.json",
        "resume --home home",
        "serve --home home",
        "worker --home home",
        "bench erase --base base.esm --data made --household p01,p02 --leaves p01 --out homes",
    ];
    for words in learning {
        refused(home.path(), &format!("{words} --device gpu"), 2, &["expected cpu, auto"]);
    }
    refused(home.path(), "bench tune --out k.toml --device cuda", 2, &["--device"]);
    match Card::count() {
        Err(CudaError::NoDriver { .. }) => {}
        _ => return eprintln!("\nSKIPPED: this machine has a CUDA driver\n"),
    }
    let none = ["no CUDA driver", "libcuda.so.1", "--device cpu"];
    refused(home.path(), &format!("{TRAIN} made --device cuda"), 4, &none);
    refused(home.path(), &format!("{FORGET} --scenario class=0 --device cuda:0/f32"), 4, &none);
    let evaluate = "evaluate --model base.esm --data made --scenario class=0 --device cuda";
    refused(home.path(), evaluate, 4, &none);
    for words in learning {
        refused(home.path(), &format!("{words} --device cuda:0/f32"), 4, &none);
    }
    for made in ["home", "homes", "ticket.json"] {
        assert!(!home.path().join(made).exists(), "{made} was made");
    }
    for words in [
        "bench step --model cnn16 --batch 4",
        "bench latency --model cnn16",
        "bench load --model base.esm",
        "demo --out told",
        "prune --model base.esm --data made --sparsity 0.5 --epochs 2 --out sparse.esm",
        "evaluate --model base.esm --data made --scenario class=0 --relearn base.esm --attacks",
        "experiment run.toml --out results",
    ] {
        let run = "data = \"made\"\nmodel = \"cnn16\"\nscenarios = [\"class=0\"]\n";
        fs::write(home.path().join("run.toml"), run).unwrap();
        refused(home.path(), &format!("{words} --device cuda"), 4, &none);
    }
    for folder in ["told", "results"] {
        assert!(!home.path().join(folder).exists(), "{folder} was made");
    }

    done(home.path(), "train --model cnn16 --epochs 1 --out cpu.esm --data made");
    let fallen = |words: &str| {
        let said = run(home.path(), &format!("{words} --device auto --json"));
        let told: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        let notes = if told["warnings"].is_array() { "warnings" } else { "notes" };
        let note = told[notes][0].as_str().unwrap().to_string();
        assert!(note.contains("the processor computed") && note.contains(none[0]), "{note}");
        assert_eq!((said.code, said.err), (Some(0), format!("note: {note}\n")), "said once");
        assert!(told["plan"].as_str().is_none_or(|plan| plan.starts_with("cpu/")), "{told}");
    };
    fallen("train --model cnn16 --epochs 1 --out auto.esm --data made");
    fallen("evaluate --model base.esm --data made --scenario class=0");
    fallen("bench latency --model cnn16 --repetitions 2");
    fallen("bench load --model base.esm --repetitions 2");
    let bytes = |name: &str| fs::read(home.path().join(name)).unwrap();
    assert!(
        bytes("auto.esm") == bytes("cpu.esm"),
        "auto is the processor where there is no device"
    );
}
