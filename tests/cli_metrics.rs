//! Defends `unlearn shadow`: however its jobs are spread, killed and begun again, the merge gives the same
//! bytes; what is missing, damaged or of other settings is told. And what `unlearn evaluate` tells where
//! more is asked for.
#![cfg(unix)]

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::program::{Said, command, folder, json, judged};
use serde_json::Value;
use tempfile::TempDir;
use unlearn::base::clock::Stopwatch;
use unlearn::sparse::cuda::{Card, CudaError};

/// A small network for the made population.
const NETWORK: &str = r#"
name = "small"
summary = "One hidden layer."
[input]
shape = [1, 16, 16]
mean = [0.5]
std = [0.25]
[[op]]
name = "fc1"
kind = "linear"
outputs = 24
[[op]]
name = "relu1"
kind = "relu"
[[op]]
name = "fc2"
kind = "linear"
outputs = "classes"
"#;

const SETTINGS: &str = r#"
data = "made"
model = "small.toml"
seed = 3
shadow_models = 8
audited = 60
population = 40
[train]
epochs = 6
batch = 32
rate = 0.05
[methods.tuned.fine-tune]
epochs = 1
[methods.anew.retrain]
epochs = 6
batch = 32
rate = 0.05
"#;

/// Variables by which a batch system that runs these tests would speak.
const SPOKEN: [&str; 5] = [
    "SLURM_ARRAY_TASK_ID",
    "JOB_COMPLETION_INDEX",
    "PBS_ARRAY_INDEX",
    "SGE_TASK_ID",
    "PARALLEL_SEQ",
];

fn home() -> TempDir {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("small.toml"), NETWORK).unwrap();
    fs::write(home.path().join("run.toml"), SETTINGS).unwrap();
    home
}

fn words(home: &Path, words: &str) -> Command {
    let mut command = command(home, words);
    SPOKEN.iter().for_each(|name| _ = command.env_remove(name));
    command
}

fn said(home: &Path, text: &str) -> Said {
    words(home, text).output().unwrap().into()
}

fn done(home: &Path, text: &str) -> String {
    let said = said(home, text);
    assert_eq!((said.code, &said.err[..]), (Some(0), ""), "unlearn {text}: {said:?}");
    said.out
}

fn told(home: &Path, text: &str) -> Value {
    serde_json::from_str(&done(home, &format!("{text} --json"))).unwrap()
}

/// Results in a folder, without locks.
fn results(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    found.retain(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.'));
    found.sort();
    found
}

#[test]
fn jobs_spread_killed_and_begun_again_merge_to_the_bytes_of_one_process() {
    let home = home();
    let home = home.path();
    let one = told(home, "shadow run.toml");
    assert_eq!(one["trained"], serde_json::json!([0, 1, 2, 3, 4, 5, 6, 7]));
    let merged = done(home, "shadow run.toml --merge --json");
    let table = done(home, "shadow run.toml --merge");

    // Two jobs, the second killed as soon as it has left something.
    let spread = home.join("spread");
    let killed = "shadow run.toml --out spread --job 2/2";
    let mut child =
        words(home, killed).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let watch = Stopwatch::start();
    while results(&spread).is_empty() {
        assert!(watch.seconds() < 60.0, "no result ever came");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let _ = child.kill();
    child.wait().unwrap();
    let kept = results(&spread);
    let inode = fs::metadata(&kept[0]).unwrap().ino();
    let merge = "shadow run.toml --out spread --merge";
    let early = said(home, merge);
    judged(merge, &early, 1, &["of 8 shadow models are missing", "0, ", "mod N + 1"]);

    // Eight jobs in another order, as a batch system would begin them; the killed one's first.
    for task in [6, 2, 8, 1, 7, 3, 5, 4] {
        let mut job = words(home, "shadow run.toml --out spread --json");
        job.env("SLURM_ARRAY_TASK_ID", (task + 10).to_string());
        job.env("SLURM_ARRAY_TASK_MIN", "11").env("SLURM_ARRAY_TASK_COUNT", "8");
        let said = Said::from(job.output().unwrap());
        assert_eq!((said.code, &said.err[..]), (Some(0), ""), "{said:?}");
        let value: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!((&value["job"], &value["jobs"]), (&task.into(), &8.into()));
        let touched = ["trained", "found"].map(|key| value[key].as_array().unwrap().len());
        assert_eq!(touched.iter().sum::<usize>(), 1, "{value}");
    }
    assert_eq!(fs::metadata(&kept[0]).unwrap().ino(), inode, "a finished model is trained again");
    assert_eq!(done(home, &format!("{merge} --json")), merged);
    assert_eq!(done(home, merge), table);
    let here = results(&home.join("run.shadow"));
    assert_eq!(here.len(), 8);
    for (one, other) in here.iter().zip(results(&spread)) {
        assert_eq!(one.file_name(), other.file_name());
        assert_eq!(fs::read(one).unwrap(), fs::read(other).unwrap());
    }
    let locks = fs::read_dir(&spread).unwrap().filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "lock")
    });
    assert!(locks.count() <= 1, "locks stay behind");
}

#[test]
fn the_figures_say_what_a_method_left_behind() {
    let home = home();
    let home = home.path();
    // Long enough to know some samples by heart.
    let long = SETTINGS.replace("audited = 60", "audited = 120");
    let long = long.replacen(
        "epochs = 6\nbatch = 32\nrate = 0.05",
        "epochs = 60\nbatch = 32\nrate = 0.01",
        1,
    );
    fs::write(home.join("run.toml"), &long).unwrap();
    done(home, "shadow run.toml");
    let merged = told(home, "shadow run.toml --merge");
    let names: Vec<&str> = merged["networks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|network| network["network"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["trained", "anew", "tuned"]);
    let auc = |network: usize, attack: &str| {
        let figure = &merged["networks"][network]["attacks"][attack]["auc"];
        (figure["value"].as_f64().unwrap(), figure["interval95"][0].as_f64().unwrap())
    };
    // What is known by heart is found; what was trained anew without it is a coin.
    let (known, low) = auc(0, "u-lira");
    assert!(known > 0.57 && low > 0.5, "{merged:#}");
    for attack in ["u-lira", "rmia"] {
        let (value, ..) = auc(1, attack);
        assert!((value - 0.5).abs() < 0.08, "{merged:#}");
    }
    let figures = &merged["networks"][0]["attacks"]["u-lira"];
    assert!(figures["tpr_at_1_percent"].is_null(), "60 non-members tell no rate at 1 %");
    let most = figures["most_exposed"][0]["sample"].as_u64().unwrap();
    assert!(most < 1920, "a number of the training set");

    // More models later: those that are there stay.
    let more = long.replace("shadow_models = 8", "shadow_models = 10");
    fs::write(home.join("run.toml"), more).unwrap();
    let value = told(home, "shadow run.toml --job 1/2");
    assert_eq!((&value["trained"], &value["found"]), (&[8].into(), &[0, 2, 4, 6].into()));
    // Another seed is another run.
    fs::write(home.join("run.toml"), long.replace("seed = 3", "seed = 4")).unwrap();
    let merge = "shadow run.toml --merge";
    judged(merge, &said(home, merge), 1, &["8 of 8 shadow models are missing"]);
}

#[test]
fn what_is_damaged_unknown_or_ambiguous_is_refused() {
    let home = home();
    let home = home.path();
    let refused = |text: &str, code: i32, phrases: &[&str]| {
        judged(text, &said(home, text), code, phrases);
    };
    let with = |name: &str, text: String| fs::write(home.join(name), text).unwrap();
    with("unknown.toml", SETTINGS.replace("epochs = 1\n", "epochs = 1\nepoch = 2\n"));
    refused("shadow unknown.toml", 3, &["unknown.toml, line ", "unknown field `epoch`"]);
    with("odd.toml", SETTINGS.replace("shadow_models = 8", "shadow_models = 7"));
    refused("shadow odd.toml", 3, &["`shadow_models`", "an even number from 6"]);
    with("many.toml", SETTINGS.replace("audited = 60", "audited = 6000"));
    refused("shadow many.toml", 2, &["`audited` is 6000", "1920 training samples"]);
    with("named.toml", SETTINGS.replace("[methods.tuned.", "[methods.trained."));
    refused("shadow named.toml", 3, &["`methods`", "before forgetting"]);
    with("plan.toml", SETTINGS.replace("seed = 3", "seed = 3\nplan = \"abacus\""));
    refused("shadow plan.toml", 3, &["`plan`", "`abacus`"]);
    let both = SETTINGS.replace("seed = 3", "seed = 3\nplan = \"cpu/portable\"");
    with("both.toml", both);
    refused("shadow both.toml --device cuda", 2, &["--device cuda:0", "`plan`", "leave one"]);
    refused("shadow run.toml --merge --device cpu", 2, &["--merge", "--device"]);
    if let Err(CudaError::NoDriver { .. }) = Card::count() {
        let none = ["no CUDA driver", "--device cpu"];
        refused("shadow run.toml --device cuda", 4, &none);
        let card = SETTINGS.replace("seed = 3", "seed = 3\nplan = \"cuda:0/8.7/tf32\"");
        with("card.toml", card);
        refused("shadow card.toml", 4, &none);
        // Whoever judges needs no device.
        refused("shadow card.toml --merge", 1, &["8 of 8 shadow models are missing"]);
        assert!(!home.join("card.shadow").exists(), "a refusal made a folder");
    }
    refused("shadow absent.toml", 3, &["absent.toml", "does not exist"]);
    refused("shadow run.toml --job 9/8", 2, &["I from 1 to N"]);
    refused("shadow run.toml --jobs 8", 2, &["give --job I/N"]);
    let mut job = words(home, "shadow run.toml");
    let said = Said::from(job.env("PARALLEL_SEQ", "1").output().unwrap());
    judged("shadow run.toml", &said, 2, &["GNU parallel", "give --jobs N"]);

    // A result that was cut off is told by the merge, and trained again by its job.
    done(home, "shadow run.toml --job 1/4");
    let cut = &results(&home.join("run.shadow"))[0];
    let whole = fs::read(cut).unwrap();
    fs::write(cut, &whole[..whole.len() / 2]).unwrap();
    refused(
        "shadow run.toml --merge",
        3,
        &[cut.file_name().unwrap().to_str().unwrap(), "remove the file"],
    );
    let again = words(home, "shadow run.toml --job 1/4").output().unwrap();
    assert!(String::from_utf8(again.stderr).unwrap().contains("training it again"));
    assert_eq!((again.status.code(), fs::read(cut).unwrap()), (Some(0), whole));
    // What was computed in two ways is not mixed.
    for job in 2..=4 {
        done(home, &format!("shadow run.toml --job {job}/4"));
    }
    let text = fs::read_to_string(cut).unwrap();
    let plan = text.split("\"plan\":\"").nth(1).unwrap().split('"').next().unwrap().to_string();
    fs::write(cut, text.replace(&plan, "cpu/abacus")).unwrap();
    refused("shadow run.toml --merge", 1, &["cpu/abacus", "set `plan`"]);
    refused("shadow run.toml --job 1/4", 2, &["shadow model 0", "cpu/abacus", "another --out"]);
}

#[test]
fn evaluate_tells_every_attack_the_distance_and_the_steps_to_learn_again() {
    let home = folder();
    let home = home.path();
    let words = "train --model cnn16 --data made --epochs 2 --without subject=p11 --out anew.esm";
    json(home, words);
    let words = "evaluate --model base.esm --data made --scenario subject=p11 --retrained anew.esm \
                 --attacks --relearn base.esm";
    let value = json(home, words);
    let attacks = value["attacks"].as_array().unwrap();
    assert_eq!(attacks.len(), 2);
    for of in attacks {
        let count = |key: &str| of[key].as_array().unwrap().len();
        assert_eq!((count("efficacy"), count("privacy"), count("thresholds")), (5, 5, 4));
    }
    // The paper's figure is the second feature of the five.
    let efficacy = &value["models"][0]["membership"];
    assert_eq!(&attacks[0]["efficacy"][1], efficacy);
    let distance = &value["weight_distance_to_retrained"];
    assert!(distance["l2"].as_f64().unwrap() > 0.0 && distance["layers"][0]["layer"] == "conv1");
    let relearning = &value["relearning"]["models"];
    assert_eq!(
        (&relearning[0]["name"], &relearning[1]["name"]),
        (&"model".into(), &"retrained".into())
    );
    assert_eq!(relearning[0]["relearnt"]["mean_steps"], 0.0, "the model itself knows them");
    let words = words.replace("--attacks --relearn base.esm", "--attacks");
    let text = common::program::done(home, &words);
    for phrase in ["classifier, m_entropy", "threshold, confidence", "The weights lie"] {
        assert!(text.contains(phrase), "no `{phrase}` in {text}");
    }
    let compat = json(home, &words.replace("--retrained anew.esm", "--compat"));
    assert_eq!(compat["attacks"][0]["efficacy"][3]["feature"], "m_entropy_released");
    assert!(compat.get("relearning").is_none());
}

#[test]
fn validation_is_measured_on_what_was_never_learnt_and_on_nothing_else() {
    let home = folder();
    let home = home.path();
    done(
        home,
        "train --model cnn16 --data made --epochs 2 --without random=0.1 --seed 4 --out held.esm",
    );
    let words = "evaluate --model held.esm --data made --scenario subject=p01";
    assert!(json(home, words)["models"][0]["report"].get("va").is_none());
    let value = json(home, &format!("{words} --validation random=0.1"));
    let va = &value["models"][0]["report"]["va"];
    // A tenth of 1,920 is 192, some of them p01's, who is to be forgotten.
    let samples = va["samples"].as_u64().unwrap();
    assert!((170..192).contains(&samples), "{samples}");
    assert_eq!(va["of"], "validation");
    let all = json(home, "evaluate --model held.esm --data made --scenario random=0.1");
    let never = 100.0 - all["models"][0]["report"]["ua"]["value"].as_f64().unwrap();
    assert!((va["value"].as_f64().unwrap() - never).abs() < 4.0, "{va} is not near {never}");
    let text = common::program::done(home, &format!("{words} --validation random=0.1"));
    assert!(text.contains("VA %"), "{text}");

    let learnt =
        "evaluate --model base.esm --data made --scenario subject=p01 --validation random=0.1";
    let refused = |words, code, phrases: &[&str]| judged(words, &said(home, words), code, phrases);
    refused(learnt, 2, &["base.esm may have learnt", "--without random=0.1"]);
    let forgotten =
        "evaluate --model held.esm --data made --scenario random=0.1 --validation random=0.1";
    refused(forgotten, 2, &["none is left to validate on"]);
}
