//! Defends `unlearn diff`: what was planted is what is told, equal files are called equal, and
//! whatever is no model is refused by name.

mod common;

use std::fs;
use std::path::Path;

use common::program::{done, folder, json, refused, run};
use serde_json::Value;
use unlearn::format::{ClassesAndFeatures, Dtype, Entry, Features};
use unlearn::model::Network;
use unlearn::model::file::{self, Artifact};
use unlearn::sparse::Mask;

fn keys(value: &Value, expected: &str) {
    let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
}

/// Writes `base.esm` again as `name`, after `change`.
fn written(home: &Path, name: &str, change: impl FnOnce(&mut Network, &mut ClassesAndFeatures)) {
    let Artifact { mut network, mut meaning, facts, .. } =
        file::open(&home.join("base.esm")).unwrap();
    change(&mut network, &mut meaning);
    let bytes = file::encode(&network, &meaning, &facts, Dtype::F32, None, None).unwrap();
    fs::write(home.join(name), bytes).unwrap();
}

/// The tensor of this name in a result.
fn tensor<'v>(told: &'v Value, name: &str) -> &'v Value {
    told["tensors"].as_array().unwrap().iter().find(|tensor| tensor["name"] == name).unwrap()
}

#[test]
fn planted_differences_are_told_exactly() {
    let home = folder();
    written(home.path(), "b.esm", |network, meaning| {
        let conv2 = network.parameters.iter().position(|p| p.name == "conv2.weight").unwrap();
        let start = network.parameters[conv2].range.start;
        // conv2.weight is [32, 16, 3, 3]: the first is [3,1,0,2], the second [0,0,0,0].
        network.values[start + 443] = 9.5;
        network.values[start] = -4.25;
        let mut masks = network.masks();
        masks[conv2] = Mask::from_fn(masks[conv2].len(), |position| position < 4600);
        network.set_masks(masks);
        network.buffers[0].values[2] += 1.0;
        meaning.classes[3] = "drei".into();
        let parameters = vec![Entry::new("bands", "40")];
        meaning.features = Some(Features { kind: "log-mel".into(), parameters });
    });
    let told = json(home.path(), "diff base.esm b.esm --moved 2");
    let conv2 = &tensor(&told, "conv2.weight")["compared"];
    for (key, expected) in [("in_both", 4600), ("left", 8), ("came", 0), ("changed", 2)] {
        assert_eq!(conv2[key], expected, "{key}");
    }
    let moved = told["moved"].as_array().unwrap();
    assert_eq!(moved.len(), 2);
    assert_eq!(
        (&moved[0]["entry"], &moved[0]["b"]),
        (&"conv2.weight[3,1,0,2]".into(), &9.5.into())
    );
    assert_eq!(
        (&moved[1]["entry"], &moved[1]["b"]),
        (&"conv2.weight[0,0,0,0]".into(), &(-4.25).into())
    );
    assert_eq!(conv2["union"]["largest"], moved[0]);
    assert_eq!(told["totals"]["parameters"]["changed"], 2);
    assert_eq!(told["totals"]["buffers"]["changed"], 1);
    assert_eq!(tensor(&told, "conv2.weight")["b"]["kind"], "bitmap");
    let renamed = &told["classes"]["renamed"][0];
    assert_eq!((&renamed["a"], &renamed["b"]), (&"three".into(), &"drei".into()));
    assert_eq!(
        (&told["same_model"], &told["description"]["same_text"]),
        (&false.into(), &true.into())
    );
    let text = done(home.path(), "diff base.esm b.esm --moved 1");
    for phrase in [
        "description: the same text",
        "renamed: three → drei",
        "kind   – → log-mel",
        "dense f32 → bitmap f32",
        "conv2.weight[3,1,0,2]",
        "The 1 of 10 changed, left or new parameter entries",
        "20 tensors are equal, bit by bit",
    ] {
        assert!(text.contains(phrase), "no `{phrase}` in {text}");
    }
}

#[test]
fn the_other_way_round_what_left_came() {
    let home = folder();
    done(home.path(), "prune --model base.esm --data made --sparsity 0.9 --out p.esm");
    let there = json(home.path(), "diff base.esm p.esm");
    let back = json(home.path(), "diff p.esm base.esm");
    let [there_all, back_all] = [&there, &back].map(|told| &told["totals"]["parameters"]);
    assert!(there_all["left"].as_u64().unwrap() > 20_000);
    assert_eq!((&there_all["left"], &there_all["came"]), (&back_all["came"], &back_all["left"]));
    for way in ["both", "union"] {
        for key in ["l2", "l1", "cosine"] {
            assert_eq!(there_all[way][key], back_all[way][key], "{way} {key}");
        }
        assert_eq!(there_all[way]["norm_a"], back_all[way]["norm_b"]);
    }
    // What inspect counts in one file is what diff finds in both.
    let weights = json(home.path(), "inspect p.esm")["weights"].as_u64().unwrap();
    let layers =
        there["tensors"].as_array().unwrap().iter().filter(|t| {
            t["part"] == "parameter" && t["a"]["shape"].as_str().unwrap().contains('x')
        });
    let kept: u64 = layers.map(|t| t["compared"]["in_both"].as_u64().unwrap()).sum();
    assert_eq!(kept, weights);
}

#[test]
fn equal_files_are_told_in_one_line_and_only_a_difference_fails_where_asked() {
    let home = folder();
    fs::copy(home.path().join("base.esm"), home.path().join("copy.esm")).unwrap();
    let text = done(home.path(), "diff base.esm copy.esm --exit-code");
    assert!(text.starts_with("base.esm and copy.esm are equal, byte by byte; id "), "{text}");
    assert_eq!(text.lines().count(), 1);
    let told = json(home.path(), "diff base.esm copy.esm");
    assert_eq!((&told["same_file"], &told["same_model"]), (&true.into(), &true.into()));
    assert_eq!(told["moved"], Value::Array(vec![]));
    done(home.path(), "diff base.esm base.rewind.esm");
    let said = run(home.path(), "diff base.esm base.rewind.esm --exit-code --json");
    assert_eq!((said.code, said.err.as_str()), (Some(1), "unlearn: the models differ\n"));
    let told: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(told["same_model"], false);
}

#[test]
fn the_keys_stay_what_scripts_know() {
    let home = folder();
    let told = json(home.path(), "diff base.esm base.rewind.esm");
    keys(
        &told,
        "command a b same_file same_model description classes features facts sections tensors \
         totals moved plot",
    );
    keys(&told["a"], "file id model file_bytes");
    keys(&told["description"], "same_text same_structure only_a only_b changed");
    keys(&told["classes"], "same gone added renamed moved");
    keys(&told["facts"][0], "key a b");
    keys(&told["tensors"][0], "name part prunable a b compared");
    keys(&told["tensors"][0]["a"], "shape weights dtype kind");
    keys(&told["totals"], "parameters prunable buffers momentum");
    let sums = "in_both left came jaccard equal changed both union";
    keys(&told["tensors"][0]["compared"], sums);
    keys(&told["totals"]["prunable"], sums);
    let distance = "entries l2 l1 norm_a norm_b relative_l2 cosine largest";
    keys(&told["totals"]["prunable"]["both"], distance);
    keys(&told["moved"][0], "entry a b difference");
}

#[test]
fn the_momentum_of_a_checkpoint_is_told_as_what_only_that_file_has() {
    let home = folder();
    let base = file::open(&home.path().join("base.esm")).unwrap();
    let momentum = vec![0.5; base.network.values.len()];
    let Artifact { network, meaning, facts, .. } = &base;
    let bytes = file::encode(network, meaning, facts, Dtype::F32, Some(&momentum), None).unwrap();
    fs::write(home.path().join("going.esm"), bytes).unwrap();
    let text = done(home.path(), "diff base.esm going.esm");
    assert!(text.contains("tensors only in B (14): momentum/conv1.weight, "), "{text}");
    assert!(text.contains(" and 6 more"), "{text}");
}

#[test]
fn models_of_different_networks_are_compared_where_they_agree() {
    let home = folder();
    let narrow = include_str!("../models/cnn16.toml").replacen("filters = 64", "filters = 48", 1);
    fs::write(home.path().join("narrow.toml"), narrow).unwrap();
    done(home.path(), "train --model narrow.toml --data made --epochs 1 --out narrow.esm");
    let text = done(home.path(), "diff base.esm narrow.esm");
    for phrase in [
        "description: another network",
        "operations that differ: conv4",
        "conv4.weight 64x32x3x3 → 48x32x3x3",
        "conv1.weight",
    ] {
        assert!(text.contains(phrase), "no `{phrase}` in {text}");
    }
    let told = json(home.path(), "diff base.esm narrow.esm");
    assert_eq!(tensor(&told, "conv4.weight")["compared"], Value::Null);
}

#[test]
fn the_page_is_whole_and_the_same_for_any_number_of_threads() {
    let home = folder();
    let page = |threads: usize, name: &str| {
        let words = format!("diff base.esm base.rewind.esm --plot {name} --threads {threads}");
        let told = json(home.path(), &words);
        assert_eq!(told["plot"], name);
        fs::read_to_string(home.path().join(name)).unwrap()
    };
    let html = page(1, "one.html");
    assert_eq!(html, page(3, "three.html"));
    for phrase in [
        "relative distance, % of the length of A",
        "share of the entries that exist in either, %",
        "|difference|, in units of the weight, logarithmic",
        "conv4.weight",
        "</html>",
    ] {
        assert!(html.contains(phrase), "no `{phrase}` on the page");
    }
    for outside in ["http://", "https://", "<script", "<link", "NaN"] {
        assert!(!html.contains(outside), "the page holds `{outside}`");
    }
    for table in html.split("<table>").skip(1) {
        let (head, body) = table.split_once("<tbody>").unwrap();
        let heads = head.matches("<th ").count();
        let mut rows = body[..body.find("</tbody>").unwrap()].split("<tr>").skip(1);
        assert!(rows.all(|row| row.matches("<td").count() == heads), "cells without a head");
    }
}

#[test]
fn what_is_no_model_is_refused_by_name_on_either_side() {
    let home = folder();
    let whole = fs::read(home.path().join("base.esm")).unwrap();
    fs::write(home.path().join("cut.esm"), &whole[..whole.len() / 2]).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    fs::write(home.path().join("flipped.esm"), flipped).unwrap();
    fs::write(home.path().join("text.esm"), "name = \"cnn16\"\n").unwrap();
    for (name, phrase) in [
        ("missing.esm", "`missing.esm`: it does not exist; check"),
        ("cut.esm", "cut.esm: preamble, offset 24"),
        ("flipped.esm", "the file was changed or damaged, get it again"),
        ("text.esm", "text.esm: preamble, offset 0: this is not an .esm file"),
    ] {
        refused(home.path(), &format!("diff base.esm {name}"), 3, &[name, phrase]);
        let words = format!("diff {name} base.esm --plot out.html --json");
        refused(home.path(), &words, 3, &[name, phrase]);
    }
}

#[test]
fn words_that_fit_badly_are_refused_before_anything_is_written() {
    let home = folder();
    fs::create_dir(home.path().join("folder.html")).unwrap();
    let diff = "diff base.esm base.rewind.esm";
    let wrong: [(&str, i32, &[&str]); 6] = [
        ("diff base.esm", 2, &["<B>"]),
        ("diff base.esm base.rewind.esm out.esm", 2, &["out.esm"]),
        ("--moved=-1", 2, &["--moved"]),
        ("--plot folder.html", 2, &["folder.html is a folder; --plot names a file"]),
        ("--plot nowhere/x.html", 2, &["nowhere is not a folder", "another --plot"]),
        ("--plot base.rewind.esm", 2, &["--plot is base.rewind.esm", "ends in .html"]),
    ];
    for (words, code, phrases) in wrong {
        let words =
            if words.starts_with("diff") { words.to_string() } else { format!("{diff} {words}") };
        refused(home.path(), &words, code, phrases);
    }
}
