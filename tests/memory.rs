//! Defends the plan of memory: what is told before a run is what the run takes, a limit is held, and
//! a batch that goes in pieces is the same step.
//!
//! Peaks are read from Linux, which says how much of a process was in memory at its fullest.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::network::{cnn16, few};
use common::program::{command, done, files, folder, json, refused};
use serde_json::Value;
use tempfile::TempDir;
use unlearn::base::rng::Stream;
use unlearn::model::Network;
use unlearn::sparse::Isa;
use unlearn::train::{Compute, Quiet, Recipe, State, Stepper, run, score};

fn bytes(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no bytes: {value}"))
}

/// The gradient that one update with rate 1, without momentum, decay and l1, takes off the weights.
fn gradient(network: &Network, recipe: &Recipe, micro_batch: Option<usize>) -> Vec<f32> {
    let (data, mut network) = (few().train, network.clone());
    let before = network.values.clone();
    let compute = Compute { micro_batch, ..Isa::best().into() };
    let batch = 100;
    let mut stepper = Stepper::new(&network, batch, recipe, None, compute);
    let labels = &data.labels[..batch];
    stepper.learn(&mut network, labels, |i, out| data.read(i, out));
    let mut momentum = vec![0.0; before.len()];
    stepper.update(&mut network, &mut momentum, 1.0, 0.0);
    before.iter().zip(&network.values).map(|(a, b)| a - b).collect()
}

#[test]
fn pieces_of_a_batch_add_up_to_the_batch_where_norms_are_frozen() {
    let network = cnn16(3);
    let recipe = Recipe { momentum: 0.0, decay: 0.0, ..Recipe::default() };
    let frozen = Recipe { frozen_norm: true, ..recipe.clone() };
    let whole = gradient(&network, &frozen, None);
    let size = whole.iter().fold(0.0, |most: f32, g| most.max(g.abs()));
    let apart = |other: &[f32]| {
        whole.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / size
    };
    for piece in [16, 32, 48, 99] {
        let apart = apart(&gradient(&network, &frozen, Some(piece)));
        assert!(apart < 1e-5, "pieces of {piece} differ by {apart} of the largest gradient");
    }
    // The exception that help and results tell: each piece has statistics of its own.
    let trained = gradient(&network, &recipe, None);
    let pieces = gradient(&network, &recipe, Some(16));
    assert!(trained.iter().zip(&pieces).any(|(a, b)| (a - b).abs() > 1e-3 * size));
}

#[test]
fn a_run_in_pieces_gives_the_same_bytes_for_any_number_of_threads() {
    let data = few();
    let trained = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut state = State::new(cnn16(1));
            let recipe = Recipe { epochs: 1, batch: 64, ..Recipe::default() };
            let compute = Compute { micro_batch: Some(32), ..Isa::best().into() };
            run(&mut state, &data.train, &recipe, None, compute, &mut Quiet).unwrap();
            state.network
        })
    };
    let network = trained(1);
    assert_eq!(network.digest(), trained(3).digest());
    let all: Vec<usize> = (0..data.test.len()).collect();
    let scores = |micro_batch| {
        let compute = Compute { micro_batch, ..Isa::best().into() };
        score(&network, &data.test, &all, compute).unwrap()
    };
    assert_eq!(scores(None), scores(Some(16)), "answers depend on the piece");
}

#[test]
fn a_dry_run_tells_and_does_nothing() {
    let home = folder();
    let train = "train --model cnn16 --data made --out new.esm";
    let prune = "prune --model base.esm --data made --sparsity 0.9 --out new.esm";
    let forget = "forget --model base.esm --data made --scenario class=1 --out new.esm";
    for words in [train, prune, forget] {
        let before = files(home.path());
        let told = json(home.path(), &format!("{words} --dry-run"));
        assert!(files(home.path()) == before, "{words}: a dry run left something");
        let moments = told["moments"].as_object().unwrap();
        let fullest = moments.values().map(bytes).max().unwrap();
        assert_eq!(bytes(&told["peak_bytes"]), fullest, "{told}");
        let kinds = told["learning"].as_object().unwrap();
        assert_eq!(bytes(&moments["learning"]), kinds.values().map(bytes).sum::<u64>(), "{told}");
        for kind in ["activations", "indices", "weights", "gradient", "momentum", "data"] {
            assert!(bytes(&kinds[kind]) > 0, "{kind}: {told}");
        }
        assert_eq!(told["micro_batch"], Value::Null);
        let text = done(home.path(), &format!("{words} --dry-run"));
        assert!(text.contains("nothing was done") && text.contains("activations"), "{text}");
    }
}

/// A limit a byte too low for `words` in whole batches, even where activations are computed again.
fn below_recomputation(home: &Path, words: &str) -> u64 {
    let whole = json(home, &format!("{words} --dry-run"));
    let limit = bytes(&whole["peak_bytes"]) - 1;
    let told = json(home, &format!("{words} --dry-run --memory {limit}"));
    assert_eq!((&told["micro_batch"], &told["recompute"]), (&Value::Null, &Value::Bool(true)));
    let note = told["warnings"][0].as_str().unwrap();
    assert!(note.contains("computed again") && note.contains(" MB instead of "), "{note}");
    let activations = |told: &Value| bytes(&told["learning"]["activations"]);
    assert!(activations(&told) < activations(&whole), "{told}");
    bytes(&told["peak_bytes"]) - 1
}

#[test]
fn a_limit_that_recomputation_keeps_changes_no_byte_of_the_model() {
    let home = folder();
    let words = "train --model cnn16 --data made --epochs 2 --batch 256";
    done(home.path(), &format!("{words} --out kept.esm"));
    let limit = below_recomputation(home.path(), &format!("{words} --out again.esm")) + 1;
    let trained = json(home.path(), &format!("{words} --out again.esm --memory {limit}"));
    assert!(trained["warnings"][0].as_str().unwrap().contains("computed again"), "{trained}");
    let [kept, again] = ["kept.esm", "again.esm"].map(|name| fs::read(home.path().join(name)));
    assert!(kept.unwrap() == again.unwrap(), "recomputation changed the model");
}

#[test]
fn a_limit_is_kept_by_pieces_that_the_plan_names() {
    let home = folder();
    let words = "train --model cnn16 --data made --epochs 1 --batch 256 --rewind-epoch 9";
    let whole = json(home.path(), &format!("{words} --out w.esm --dry-run"));
    let peak = bytes(&whole["peak_bytes"]);
    let told = json(home.path(), &format!("{words} --out w.esm --dry-run --memory {peak}"));
    assert_eq!(told["micro_batch"], Value::Null, "what fits goes whole");
    assert_eq!(told["recompute"], false, "what fits is kept");
    let limit = below_recomputation(home.path(), &format!("{words} --out w.esm"));
    let told = json(home.path(), &format!("{words} --out w.esm --dry-run --memory {limit}"));
    assert_eq!(told["micro_batch"], 128, "the largest even pieces that fit: {told}");
    assert!(bytes(&told["peak_bytes"]) <= limit);
    let trained = json(home.path(), &format!("{words} --out w.esm --memory {limit}"));
    let plan = trained["plan"].as_str().unwrap();
    assert!(plan.ends_with(" micro-batch=128"), "{plan}");
    let warned = trained["warnings"][0].as_str().unwrap();
    assert!(warned.contains("batch norm") && warned.contains("128"), "{warned}");
    assert_eq!(json(home.path(), "inspect w.esm")["facts"]["plan"], plan);
    let least = "17MiB";
    let words = format!("{words} --out w.esm --memory {least}");
    refused(home.path(), &words, 2, &["17.8 MB is too little", "pieces of 16", "measuring"]);
}

#[test]
fn a_resumed_run_keeps_the_pieces_of_its_checkpoint() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    let words = "train --model cnn16 --data made --epochs 6 --batch 256 --out r.esm";
    let limit = below_recomputation(home, words);
    done(home, &format!("{words} --memory {limit}"));
    let whole = fs::read(home.join("r.esm")).unwrap();
    for name in ["r.esm", "r.rewind.esm"] {
        fs::remove_file(home.join(name)).unwrap();
    }
    let mut disturbed = command(home, &format!("{words} --memory {limit}"));
    let mut disturbed = disturbed.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !home.join("r.checkpoint.esm").exists() {
        assert!(disturbed.try_wait().unwrap().is_none(), "it ended before its first checkpoint");
        std::thread::sleep(Duration::from_millis(1));
    }
    disturbed.kill().unwrap();
    disturbed.wait().unwrap();
    let little = format!("{words} --resume --memory 20MiB");
    refused(home, &little, 2, &["21.0 MB is too little", "pieces of 128"]);
    done(home, &format!("{words} --resume"));
    assert!(fs::read(home.join("r.esm")).unwrap() == whole, "resumed and undisturbed differ");
}

/// A folder of random pictures: Fashion-MNIST's files for `side` 28, CIFAR-10's for 32.
fn pictures(side: u32, train: usize, test: usize) -> TempDir {
    let folder = TempDir::new().unwrap();
    let mut stream = Stream::new(1, "pictures");
    let mut bytes = |count: usize| (0..count).map(|_| stream.word() as u8).collect::<Vec<u8>>();
    let put = |name: &str, contents: Vec<u8>| {
        fs::write(folder.path().join(name), contents).unwrap();
    };
    let label = |i: usize| (i % 10) as u8;
    if side == 32 {
        for (name, count) in [("small_train.bin", train), ("small_test.bin", test)] {
            let records = (0..count).flat_map(|i| [vec![label(i)], bytes(3072)].concat());
            put(name, records.collect());
        }
        return folder;
    }
    for (name, count) in [("train", train), ("t10k", test)] {
        let words = |words: &[u32]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<u8>>();
        let images = [words(&[0x803, count as u32, side, side]), bytes(count * 784)].concat();
        put(&format!("{name}-images-idx3-ubyte"), images);
        let labels = (0..count).map(label).collect();
        put(&format!("{name}-labels-idx1-ubyte"), [words(&[0x801, count as u32]), labels].concat());
    }
    folder
}

/// The most bytes that the program ever had in memory, as Linux counts them; it must succeed.
fn fullest(mut command: Command) -> u64 {
    let mut program = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", program.id());
    let mut peak = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(kib) = line.and_then(|line| line.trim().strip_suffix(" kB")) {
            peak = 1024 * kib.trim().parse::<u64>().unwrap();
        }
        if let Some(ended) = program.try_wait().unwrap() {
            assert!(ended.success(), "{:?}", program.wait_with_output());
            return peak;
        }
        // A peak never falls, so what is missed is what rises in the last millisecond.
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn linux() -> bool {
    let linux = Path::new("/proc/self/status").exists();
    if !linux {
        eprintln!("SKIPPED: peaks in memory, because there is no /proc/self/status");
    }
    linux
}

/// Runs `words` for real and holds its peak against what a dry run says: at most 5 % above.
/// The plan's own constant for the program stands in for a baseline.
fn held(home: &Path, words: &str) -> (u64, u64) {
    let planned = bytes(&json(home, &format!("{words} --dry-run"))["peak_bytes"]);
    let measured = fullest(command(home, words));
    let told = format!("{words}: planned {planned}, measured {measured}");
    eprintln!("{told}");
    assert!(measured as f64 <= 1.05 * planned as f64, "{told}");
    (planned, measured)
}

#[test]
fn no_training_takes_more_memory_than_was_planned() {
    if !linux() {
        return;
    }
    for (model, side, batches) in [
        ("cnn28", 28, [32, 128, 512]),
        ("resnet20", 32, [16, 64, 128]),
        ("resnet18", 32, [16, 32, 48]),
    ] {
        let most = batches[2];
        let home = pictures(side, most, 20);
        for batch in batches {
            let words = format!(
                "train --model {model} --data . --epochs 1 --batch {batch} --threads 2 --out m.esm"
            );
            let (planned, measured) = held(home.path(), &words);
            // A plan that says twice as much as is taken would refuse what fits.
            let loose = planned as f64 > 1.6 * measured as f64;
            assert!(batch < most || !loose, "{words}: planned {planned}, measured {measured}");
        }
    }
}

#[test]
fn recomputation_takes_the_memory_that_was_planned() {
    if !linux() {
        return;
    }
    let home = pictures(32, 128, 20);
    let words = "train --model resnet20 --data . --epochs 1 --batch 128 --threads 2 --out m.esm";
    let limit = below_recomputation(home.path(), words) + 1;
    held(home.path(), &format!("{words} --memory {limit}"));
}

#[test]
fn attention_takes_the_memory_that_was_planned() {
    if !linux() {
        return;
    }
    let home = pictures(32, 32, 10);
    let words = "train --model vit-tiny --data . --epochs 1 --batch 32 --threads 2 --out m.esm";
    let (planned, measured) = held(home.path(), words);
    assert!(planned as f64 <= 1.6 * measured as f64, "planned {planned}, measured {measured}");
}

#[test]
fn training_some_layers_takes_the_memory_that_was_planned() {
    if !linux() {
        return;
    }
    let home = pictures(32, 128, 20);
    let words = "train --model resnet20 --data . --epochs 1 --batch 128 --threads 2 --out m.esm";
    let (all, _) = held(home.path(), words);
    for part in ["head", "last=2"] {
        let (planned, _) = held(home.path(), &format!("{words} --train {part}"));
        assert!(2 * planned < all, "{part}: {planned} of {all}");
    }
}

#[test]
fn pruning_and_forgetting_stay_within_a_limit() {
    if !linux() {
        return;
    }
    let home = pictures(32, 128, 20);
    done(home.path(), "train --model resnet20 --data . --epochs 1 --rewind-epoch 1 --out m.esm");
    for words in [
        "prune --model m.esm --data . --sparsity 0.9 --rewind none --epochs 1 --out p.esm",
        "forget --model m.esm --data . --scenario random=0.2 --epochs 1 --out f.esm",
    ] {
        held(home.path(), words);
        held(home.path(), &format!("{words} --memory 64MiB"));
    }
}
