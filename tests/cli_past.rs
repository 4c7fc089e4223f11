//! Defends those who left before: what one command forgot, no later command teaches again, and no
//! command takes data for another's.
//!
//! Remembers: a second `forget`, and a `prune`, trained on the samples that the first had excluded,
//! and a model was measured on data that it never saw, without a word.

mod common;

use common::program::{done, folder, json, refused};
use common::stripes;

fn forgotten(home: &std::path::Path, file: &str) -> Option<String> {
    json(home, &format!("inspect {file}"))["facts"]["forgotten"].as_str().map(str::to_string)
}

#[test]
fn what_was_forgotten_stays_forgotten_through_forget_and_prune() {
    let home = folder();
    let home = home.path();
    let forget = "forget --data made --epochs 1 --no-measure";
    done(home, &format!("{forget} --model base.esm --scenario subject=p01 --out one.esm"));
    let words = format!("{forget} --model one.esm --scenario subject=p02 --seed 3 --out two.esm");
    let second = json(home, &words);
    // 80 of 1,920 samples are each subject's: both are kept out, one is new.
    assert_eq!((&second["forget_samples"], &second["retain_samples"]), (&80.into(), &1760.into()));
    assert_eq!(forgotten(home, "two.esm").unwrap(), "1 subject=p01\n3 subject=p02");
    done(
        home,
        "prune --model two.esm --data made --sparsity 0.5 --rewind none --epochs 1 --out p.esm",
    );
    assert_eq!(forgotten(home, "p.esm").unwrap(), "1 subject=p01\n3 subject=p02");
    assert_eq!(forgotten(home, "base.esm"), None);

    let words = "train --model cnn16 --data made --epochs 1 --without subject=p01 --out w.esm";
    done(home, words);
    let words = format!("{forget} --model w.esm --scenario class=0 --out w2.esm");
    assert_eq!(json(home, &words)["retain_samples"], 1656);
    let nothing = format!("{forget} --model one.esm --scenario indices=rest --out x.esm");
    std::fs::write(home.join("rest"), (80..1920).map(|i| format!("{i}\n")).collect::<String>())
        .unwrap();
    refused(home, &nothing, 2, &["nothing is left", "subject=p01 (seed 1)"]);
}

#[test]
fn evaluate_asks_what_the_file_was_told_and_says_where_it_was_told_otherwise() {
    let home = folder();
    let home = home.path();
    let forget = "forget --model base.esm --data made --epochs 1 --no-measure";
    done(home, &format!("{forget} --scenario random=0.1 --seed 7 --out f.esm"));
    let told = json(home, "evaluate --model f.esm --data made --scenario random=0.1");
    assert_eq!((&told["seed"], &told["warnings"]), (&7.into(), &serde_json::json!([])));
    let other = "evaluate --model f.esm --data made --scenario class=1 --retrained base.esm";
    let warnings = json(home, other)["warnings"].to_string();
    assert!(warnings.contains("f.esm forgot random=0.1 (seed 7), not class=1"), "{warnings}");
    assert!(warnings.contains("base.esm was not trained without"), "{warnings}");
}

#[test]
fn data_that_the_model_did_not_learn_from_is_refused_unless_it_is_meant() {
    let home = folder();
    let home = home.path();
    for words in [
        "forget --model base.esm --data made:2 --scenario subject=p02 --out f.esm",
        "evaluate --model base.esm --data made:2 --scenario subject=p02",
        "prune --model base.esm --data made:2 --sparsity 0.9 --out f.esm",
    ] {
        refused(home, words, 2, &["base.esm learnt from other data (made", "--other-data"]);
    }
    done(home, "evaluate --model base.esm --data made:2 --scenario subject=p02 --other-data");
    let itself = "forget --model base.esm --data made --scenario class=0 --out base.esm";
    refused(home, itself, 2, &["--out names the model that is read"]);
}

#[test]
fn a_body_serves_another_task_and_what_it_forgot_is_told() {
    let home = folder();
    let home = home.path();
    stripes::write(&home.join("stripes"));
    let forget = "forget --model base.esm --data made --epochs 1 --no-measure --scenario class=3,4";
    done(home, &format!("{forget} --out source.esm"));
    let train = "train --from source.esm --data stripes --epochs 20 --batch 16";
    let probe = json(home, &format!("{train} --rate 0.05 --train head --out probe.esm"));
    assert!(probe["test_accuracy"]["value"].as_f64().unwrap() > 90.0, "{probe}");
    let facts = &json(home, "inspect probe.esm")["facts"];
    assert_eq!(facts["body"], json(home, "inspect source.esm")["id"], "{facts}");
    assert_eq!(facts["body_forgot"], "class=3,4 (seed 1)");
    assert_eq!(facts["forgotten"], serde_json::Value::Null);
    // A probe moves nothing but the head; fine-tuning moves the rest too.
    let moved = |file: &str| {
        let open = |name: &str| unlearn::model::file::open(&home.join(name)).unwrap().network;
        let (body, new) = (open("source.esm"), open(file));
        let pairs = body.parameters.iter().enumerate();
        let moved = pairs.filter(|(i, _)| body.packed(*i) != new.packed(*i));
        moved.map(|(_, p)| p.name.clone()).collect::<Vec<_>>()
    };
    let head = moved("probe.esm");
    assert!(head.len() <= 2 && head.iter().all(|n| n.starts_with("fc")), "{head:?}");
    done(home, &format!("{train} --rate 0.01 --out full.esm"));
    assert!(moved("full.esm").len() > head.len());

    refused(home, &format!("{train} --model cnn16 --out x.esm"), 2, &["--model", "--from"]);
    let again = "forget --model full.esm --data stripes --scenario class=0 --method retrain";
    refused(home, &format!("{again} --out x.esm"), 2, &["began with the layers of", "--from"]);
    refused(home, "train --data stripes --out x.esm", 2, &["--model"]);
}
