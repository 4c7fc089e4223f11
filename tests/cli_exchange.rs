//! `import` and `export` as a person uses them: a model comes in, is measured, forgets, goes out
//! and comes back; what is personal stays unless that is said.

mod common;

use std::fs;

use common::exchange::{bytes, cifar};
use common::program::{done, folder, json, refused};
use unlearn::format::{Dtype, Facts, ModelFile, Provenance};
use unlearn::model::file;

#[test]
fn a_model_goes_out_and_comes_back_as_the_same_one() {
    let home = folder();
    let out = json(home.path(), "export --model base.esm --out base.safetensors --personal-data");
    let back = json(home.path(), "import base.safetensors --out back.esm");
    assert_eq!(out["id"], back["id"], "{out} {back}");
    let before = ModelFile::open(&home.path().join("base.esm")).unwrap();
    let after = ModelFile::open(&home.path().join("back.esm")).unwrap();
    assert_eq!((before.facts(), before.classes()), (after.facts(), after.classes()));

    // Under another element type it is another model, and says where it came from.
    let other = json(home.path(), "import base.safetensors --out other.esm --dtype f16");
    assert_ne!(other["id"], out["id"]);
    let facts = ModelFile::open(&home.path().join("other.esm")).unwrap().facts().clone();
    assert_eq!(facts.get("source"), Some("base.safetensors"));
    assert_eq!(facts.get("source_format"), Some("safetensors"));
}

#[test]
fn an_imported_model_is_measured_forgets_and_is_pruned() {
    let home = folder();
    done(home.path(), "export --model base.esm --out base.onnx --personal-data");
    done(home.path(), "import base.onnx --out in.esm --provenance population");
    let words = "--data made --scenario class=0";
    let there = json(home.path(), &format!("evaluate --model in.esm {words}"));
    let here = json(home.path(), &format!("evaluate --model base.esm {words} --seed 1"));
    for figure in ["ua", "ra", "ta"] {
        assert_eq!(there["models"][0]["report"][figure], here["models"][0]["report"][figure]);
    }
    done(
        home.path(),
        &format!("forget --model in.esm {words} --epochs 1 --no-measure --out gone.esm"),
    );
    let gone = ModelFile::open(&home.path().join("gone.esm")).unwrap();
    assert_eq!(gone.facts().provenance, Provenance::Population);
    assert_eq!(gone.facts().get("source"), Some("base.onnx"));
    assert_eq!(gone.facts().get("forgotten"), Some("1 class=0"));
    // What was forgotten stays so on the way out and in again, by either format.
    for format in ["onnx", "safetensors"] {
        done(home.path(), &format!("export --model gone.esm --out gone.{format}"));
        done(home.path(), &format!("import gone.{format} --out again.esm"));
        let again = ModelFile::open(&home.path().join("again.esm")).unwrap();
        assert_eq!(again.facts().get("forgotten"), Some("1 class=0"), "{format}");
        assert_eq!(again.facts().provenance, Provenance::Population, "{format}");
    }
    // A model of others does not say how it was trained: pruning asks for what it needs.
    let bare = file::open(&home.path().join("in.esm")).unwrap();
    let encoded =
        file::encode(&bare.network, &bare.meaning, &Facts::default(), Dtype::F32, None, None);
    fs::write(home.path().join("bare.esm"), encoded.unwrap()).unwrap();
    let prune = "prune --model bare.esm --data made --sparsity 0.5 --rewind none --out out.esm";
    refused(home.path(), prune, 2, &["does not say how it was trained: give --epochs and --rate"]);
    done(home.path(), &format!("{prune} --epochs 1 --rate 0.01"));
}

#[test]
fn files_that_are_no_models_are_refused_with_what_to_do() {
    let home = folder();
    let at = |name: &str| home.path().join(name);
    fs::write(at("x.pth"), b"\x80\x02}q\x00.").unwrap();
    fs::write(at("x.safetensors"), [9; 40]).unwrap();
    fs::write(at("x.onnx"), "no protobuf").unwrap();
    fs::write(at("x.bin2"), "").unwrap();
    fs::write(at("map.toml"), "[names]\n\"a\" = \"b\"\n\n[ignored]\n").unwrap();
    fs::write(at("cifar.safetensors"), bytes("cifar.safetensors")).unwrap();
    fs::write(at("three"), "a\nb\nc\n").unwrap();
    fs::write(at("cifar.toml"), cifar()).unwrap();
    let import = |words: &str| format!("import {words} --out out.esm");
    for (words, code, phrases) in [
        ("x.pth", 3, &["x.pth: a pickle is a program", "safetensors.torch.save_file"][..]),
        ("x.safetensors", 3, &["x.safetensors: offset 0", "claims"]),
        ("x.onnx", 3, &["x.onnx: offset"]),
        ("x.bin2", 3, &["must be .safetensors or .onnx"]),
        ("missing.onnx", 3, &["`missing.onnx`: it does not exist"]),
        ("x.onnx --model mlp", 2, &["--model and --names belong to .safetensors"]),
        ("cifar.safetensors", 3, &["nearest is `", "missing:"]),
        ("cifar.safetensors --model nothing", 2, &["neither a file nor compiled in"]),
        ("cifar.safetensors --model cifar.toml --names map.toml", 3, &["map.toml: line 4"]),
        (
            "cifar.safetensors --model cifar.toml --classes three",
            2,
            &["three: 3 lines for the 10 outputs"],
        ),
    ] {
        refused(home.path(), &import(words), code, phrases);
    }
    done(home.path(), "import cifar.safetensors --model cifar.toml --out fine.esm");
}

#[test]
fn personal_data_leaves_only_when_that_is_said() {
    let home = folder();
    let base = file::open(&home.path().join("base.esm")).unwrap();
    let write = |name: &str, facts: &Facts, momentum: Option<&[f32]>| {
        let (network, classes) = (&base.network, &base.meaning);
        let bytes = file::encode(network, classes, facts, Dtype::F32, momentum, None).unwrap();
        fs::write(home.path().join(name), bytes).unwrap();
    };
    let momentum = vec![0.0; base.network.values.len()];
    write("enrolled.esm", &Facts::new(Provenance::Enrolled), None);
    write("checkpoint.esm", &Facts::new(Provenance::Population), Some(&momentum));
    write("subjects.esm", &Facts::default().with("subjects", "12"), None);
    write("population.esm", &Facts::new(Provenance::Population).with("subjects", "12"), None);
    write("nobody.esm", &Facts::default().with("subjects", "0"), None);
    for (name, why) in [
        ("enrolled", "people of this site"),
        ("checkpoint", "momentum"),
        ("subjects", "12 named subjects"),
    ] {
        for ending in ["safetensors", "onnx"] {
            let words = format!("export --model {name}.esm --out {name}.{ending}");
            refused(home.path(), &words, 2, &["is personal data", why, "--personal-data"]);
            let told = json(home.path(), &format!("{words} --personal-data"));
            assert!(told["personal_data"].as_str().unwrap().contains(why));
        }
    }
    for name in ["population", "nobody"] {
        let told = json(home.path(), &format!("export --model {name}.esm --out {name}.onnx"));
        assert!(told["personal_data"].is_null());
    }
    let words = "export --model base.esm --out base.pt";
    refused(home.path(), words, 2, &["would be a pickle"]);
    refused(home.path(), "export --model base.esm --out base.esm", 2, &[".safetensors or .onnx"]);
}
