//! Foreign models of full size, which are not in the tree.
//!
//! `UNLEARN_REFERENCE`: the reference code's ResNet-20s comes in under its own names, and gives its
//! logits and its figures. `UNLEARN_EXCHANGE`: a folder that `tests/reference/check_exchange.py`
//! fills with imported models and what PyTorch computes with them. SKIPPED where they are not set.

mod common;

use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use common::exchange::{NEAR, furthest, logits};
use unlearn::data::{Dataset, Reading, open_source};
use unlearn::evaluate::metrics::accuracy;
use unlearn::evaluate::{Attack, Scores};
use unlearn::exchange::{Choice, import_safetensors};
use unlearn::model::{Network, file};
use unlearn::sparse::Isa;
use unlearn::train::score;

fn folder(variable: &str, below: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(|folder| Path::new(&folder).join(below));
    let found = found.filter(|folder| folder.is_dir());
    if found.is_none() {
        eprintln!("SKIPPED: {variable} names no folder that holds {below}");
    }
    found
}

fn npy(path: &Path) -> Vec<f32> {
    let tensor = Tensor::read_npy(path).unwrap().to_dtype(DType::F32).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn models_of_full_size_give_pytorchs_logits() {
    let Some(cases) = folder("UNLEARN_EXCHANGE", "") else { return };
    let mut found: Vec<PathBuf> = std::fs::read_dir(&cases)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("model.esm").is_file())
        .collect();
    found.sort();
    assert!(!found.is_empty(), "{} holds no cases", cases.display());
    for case in found {
        let network = file::open(&case.join("model.esm")).unwrap().network;
        let expected = npy(&case.join("logits.npy"));
        let off = furthest(&logits(&network, &npy(&case.join("input.npy"))), &expected);
        eprintln!("{}: largest difference {off:.2e}", case.file_name().unwrap().display());
        assert!(off <= NEAR, "{}: {off:.1e} off", case.display());
    }
}

/// The reference's trained network, and the small CIFAR-10 that it was trained on.
fn reference() -> Option<(Network, Dataset, Dataset, PathBuf)> {
    let vectors = folder("UNLEARN_REFERENCE", "vectors")?;
    let data = folder("UNLEARN_DATA", "cifar10")?;
    let data = open_source("cifar10", data.parent(), &Reading::default()).unwrap();
    let bytes = std::fs::read(vectors.join("s1_dense.safetensors")).unwrap();
    let imported = import_safetensors(&bytes, &Choice::default()).unwrap();
    assert_eq!(imported.network.description.name, "resnet20");
    Some((imported.network, data.train, data.test, vectors))
}

#[test]
fn the_references_checkpoint_gives_its_logits_under_its_own_names() {
    let Some((network, _, test, vectors)) = reference() else { return };
    let len = test.sample_len();
    let mut samples = vec![0.0; 64 * len];
    for (index, sample) in samples.chunks_exact_mut(len).enumerate() {
        test.read(index, sample);
    }
    let off = furthest(&logits(&network, &samples), &npy(&vectors.join("s1_dense_logits64.npy")));
    eprintln!("s1_dense: largest difference {off:.2e}");
    assert!(off <= NEAR, "{off:.1e} off");
}

#[test]
fn the_references_checkpoint_gives_its_figures() {
    let Some((network, train, test, vectors)) = reference() else { return };
    let text = std::fs::read_to_string(vectors.join("s1_split.json")).unwrap();
    let split: serde_json::Value = serde_json::from_str(&text).unwrap();
    let list = |name: &str| -> Vec<usize> {
        split[name].as_array().unwrap().iter().map(|i| i.as_u64().unwrap() as usize).collect()
    };
    let classes = train.classes.len();
    let all = |set: &Dataset| {
        let indices: Vec<usize> = (0..set.len()).collect();
        score(&network, set, &indices, Isa::best()).unwrap()
    };
    let (learnt, unseen) = (all(&train), all(&test));
    let scores = |name, set: &Dataset, probabilities: &[f32], indices: &[usize]| {
        let row = |&index: &usize| &probabilities[index * classes..][..classes];
        let rows: Vec<f32> = indices.iter().flat_map(row).copied().collect();
        let labels = indices.iter().map(|&index| set.labels[index]).collect();
        Scores::new(name, rows, labels).unwrap()
    };
    let validation = list("val");
    for (scenario, [ua, ra, ta, mia]) in
        [("class0", [24.22, 74.52, 68.89, 28.00]), ("rand10", [23.67, 74.46, 68.80, 27.67])]
    {
        let gone = list(&format!("forget_{scenario}"));
        let kept: Vec<usize> = (0..train.len())
            .filter(|index| !gone.contains(index) && !validation.contains(index))
            .collect();
        let tested: Vec<usize> =
            (0..test.len()).filter(|&i| scenario != "class0" || test.labels[i] != 0).collect();
        let forget = scores("forget", &train, &learnt, &gone);
        let retain = scores("retain", &train, &learnt, &kept);
        let test = scores("test", &test, &unseen, &tested);
        let found = [
            (100.0 - accuracy(&forget, "forget").value, ua, forget.len()),
            (accuracy(&retain, "retain").value, ra, retain.len()),
            (accuracy(&test, "test").value, ta, test.len()),
        ];
        let attack = Attack::released().run(&retain, &test, &forget).unwrap();
        eprintln!("{scenario}: {found:?}, MIA {:.2} for {mia}", 100.0 * attack.efficacy);
        for (found, expected, samples) in found {
            // The table has two digits; a sample near a boundary may fall to the other side.
            let allowed = 100.0 / samples as f64 + 0.005;
            assert!((found - expected).abs() <= allowed, "{scenario}: {found} for {expected}");
        }
        let off = (100.0 * attack.efficacy - mia).abs() / 100.0 * forget.len() as f64;
        assert!(off <= 5.0, "{scenario}: the attack differs in {off} samples");
    }
}
