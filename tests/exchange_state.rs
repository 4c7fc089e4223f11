//! State dicts in and out: PyTorch's give PyTorch's logits, and ours come back as the same model.

mod common;

use std::sync::Arc;

use common::exchange::{agrees, bytes, cifar, import_state, logits, resnet};
use unlearn::exchange::{Choice, ExchangeFault, Names, export_safetensors, import_safetensors};
use unlearn::format::{ClassesAndFeatures, Dtype, Entry, Facts, Features, ModelFile, Provenance};
use unlearn::model::{Description, Network, builtin, builtin_names, file};
use unlearn::sparse::Mask;

#[test]
fn state_dicts_of_pytorch_give_pytorchs_logits_under_their_own_names() {
    let imported = import_state(&bytes("cifar.safetensors"), &cifar()).unwrap();
    agrees("cifar.safetensors", &imported.network, "cifar");
    assert!(imported.notes.iter().any(|note| note.contains("normalize.mean agrees")));
    let imported = import_state(&bytes("resnet.safetensors"), &resnet()).unwrap();
    agrees("resnet.safetensors", &imported.network, "resnet");
}

/// A network of a description that comes with the program, thinned, with statistics of its own.
fn made(name: &str, classes: usize) -> Network {
    let description = Description::parse(builtin(name).unwrap(), name, classes).unwrap();
    let mut network = Network::new(Arc::new(description), 5);
    let thin = |p: &unlearn::model::Parameter| match p.prunable {
        true => Mask::from_fn(p.mask.len(), |i| i % 7 == 1),
        false => p.mask.clone(),
    };
    network.set_masks(network.parameters.iter().map(thin).collect());
    // A weight that exists and is 0 is another thing than one that does not.
    network.values[3] = 0.0;
    network
}

/// An extraction with a text that JSON must escape.
fn features() -> Features {
    let parameters = vec![Entry::new("mels", "40"), Entry::new("window", "\"hann\"\n")];
    Features { kind: "log-mel".into(), parameters }
}

fn written(network: &Network, classes: &[String], dtype: Dtype) -> ModelFile {
    let facts = Facts::new(Provenance::Population)
        .with("made_by", "a test")
        .with("recipe", r#"{"rate":0.1,"text":"\"quoted\""}"#)
        .with("data", "");
    let meaning = ClassesAndFeatures { classes: classes.to_vec(), features: Some(features()) };
    ModelFile::from_bytes(file::encode(network, &meaning, &facts, dtype, None, None).unwrap())
        .unwrap()
}

#[test]
fn what_was_exported_comes_back_as_the_same_model() {
    let classes: Vec<String> = (0..7).map(|class| format!("klasse \"{class}\" ü")).collect();
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        let before = written(&made("resnet20", 7), &classes, dtype);
        let artifact = file::read(&before, "before.esm".as_ref()).unwrap();
        let bytes = export_safetensors(&before, &artifact);
        assert_eq!(bytes, export_safetensors(&before, &artifact), "equal models, equal bytes");
        let back = import_safetensors(&bytes, &Choice::default()).unwrap();
        assert_eq!(back.network, artifact.network);
        assert_eq!(back.classes.as_deref(), Some(&classes[..]));
        assert_eq!((back.dtype, back.facts.as_ref()), (Some(dtype), Some(before.facts())));
        assert_eq!(back.id, Some(before.logical_id().to_string()));
        let facts = back.facts.unwrap();
        assert_eq!(back.features, Some(features()));
        let meaning = ClassesAndFeatures { classes: classes.clone(), features: back.features };
        let again = file::encode(&back.network, &meaning, &facts, dtype, None, None).unwrap();
        assert_eq!(ModelFile::from_bytes(again).unwrap().logical_id(), before.logical_id());
    }
}

#[test]
fn another_reader_finds_the_exported_tensors() {
    let network = made("cnn16", 4);
    let classes: Vec<String> = (0..4).map(|class| class.to_string()).collect();
    let file = written(&network, &classes, Dtype::F32);
    let artifact = file::read(&file, "made.esm".as_ref()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.safetensors");
    std::fs::write(&path, export_safetensors(&file, &artifact)).unwrap();
    let found = candle_core::safetensors::load(&path, &candle_core::Device::Cpu).unwrap();
    for (index, parameter) in network.parameters.iter().enumerate() {
        let tensor = &found[&parameter.name];
        assert_eq!(tensor.dims(), parameter.shape);
        assert_eq!(tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap(), network.dense(index));
        let mask = found.get(&format!("{}.mask", parameter.name));
        assert_eq!(mask.is_some(), parameter.prunable);
        if let Some(mask) = mask {
            let ones = mask.flatten_all().unwrap().to_vec1::<u8>().unwrap();
            assert_eq!(ones.iter().filter(|&&one| one == 1).count(), parameter.mask.existing());
        }
    }
}

/// A state dict under the names of `name`, as PyTorch would save it.
fn state_of(name: &str, classes: usize) -> (Network, Vec<u8>) {
    let description = Description::parse(builtin(name).unwrap(), name, classes).unwrap();
    let network = Network::new(Arc::new(description), 1);
    let mut tensors = Vec::new();
    for (index, parameter) in network.parameters.iter().enumerate() {
        tensors.push((parameter.name.clone(), parameter.shape.clone(), network.dense(index)));
    }
    for buffer in &network.buffers {
        tensors.push((buffer.name.clone(), vec![buffer.values.len()], buffer.values.clone()));
    }
    let bytes = safetensors(&tensors);
    (network, bytes)
}

/// A safetensors file, written here again by the letter of the format.
fn safetensors(tensors: &[(String, Vec<usize>, Vec<f32>)]) -> Vec<u8> {
    let (mut header, mut values) = (Vec::new(), Vec::new());
    for (name, shape, floats) in tensors {
        let begin = values.len();
        values.extend(floats.iter().flat_map(|value| value.to_le_bytes()));
        header.push(format!(
            "\"{name}\":{{\"dtype\":\"F32\",\"shape\":{shape:?},\"data_offsets\":[{begin},{}]}}",
            values.len()
        ));
    }
    let header = format!("{{{}}}", header.join(","));
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &values].concat()
}

#[test]
fn every_small_network_of_the_program_is_known_by_its_tensors() {
    for name in builtin_names() {
        let large =
            ["resnet18", "resnet50", "swin", "vgg16"].iter().any(|large| name.starts_with(large));
        if large {
            continue;
        }
        let (network, bytes) = state_of(name, 6);
        let imported = import_safetensors(&bytes, &Choice::default());
        let imported = imported.unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!(imported.network, network, "{name}");
    }
}

#[test]
fn tensors_that_fit_nothing_are_told_by_the_nearest_network() {
    let (network, _) = state_of("cnn16", 6);
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    for (index, parameter) in network.parameters.iter().enumerate() {
        let (name, mut shape) = (parameter.name.clone(), parameter.shape.clone());
        match name.as_str() {
            "bn1.bias" => continue,
            "bn1.weight" => shape.push(1),
            _ => {}
        }
        tensors.push((name, shape, network.dense(index)));
    }
    for buffer in &network.buffers {
        tensors.push((buffer.name.clone(), vec![buffer.values.len()], buffer.values.clone()));
    }
    tensors.push(("extra".into(), vec![1], vec![0.0]));
    let told =
        import_safetensors(&safetensors(&tensors), &Choice::default()).unwrap_err().to_string();
    for phrase in [
        "nearest is `cnn16`",
        "1 missing: bn1.bias",
        "1 strange: extra",
        "bn1.weight ([",
        "--model",
    ] {
        assert!(told.contains(phrase), "no `{phrase}` in {told}");
    }
}

#[test]
fn masks_of_pytorchs_pruning_stay_masks_and_half_precision_is_widened() {
    let imported = import_state(&bytes("pruned.safetensors"), &cifar()).unwrap();
    let first = &imported.network.parameters[0];
    assert_eq!(
        (first.name.as_str(), first.mask.existing(), first.mask.len()),
        ("conv1.weight", 54, 108)
    );
    assert!(imported.network.packed(0).iter().all(|value| *value != 0.0));
}

#[test]
fn zeros_are_removed_weights_where_that_was_asked_for() {
    let text = "name = \"n\"\nsummary = \"s\"\n[input]\nshape = [1, 1, 4]\nmean = [0.0]\nstd = [1.0]\n\
        [[op]]\nname = \"a\"\nkind = \"linear\"\noutputs = 2\nprunable = true\n\
        [[op]]\nname = \"b\"\nkind = \"linear\"\noutputs = \"classes\"\n";
    let tensors = [
        ("a.weight".into(), vec![2, 4], vec![1.0, 0.0, 2.0, -0.0, 0.0, 0.0, 3.0, 4.0]),
        ("a.bias".into(), vec![2], vec![0.0, 1.0]),
        ("b.weight".into(), vec![3, 2], vec![0.0; 6]),
        ("b.bias".into(), vec![3], vec![0.0; 3]),
    ];
    let bytes = safetensors(&tensors);
    let choice = Choice { model: Some(("told", text)), zeros_are_pruned: true, names: None };
    let network = import_safetensors(&bytes, &choice).unwrap().network;
    assert_eq!(network.parameters[0].mask.positions(), Some(&[0, 2, 6, 7][..]));
    assert_eq!(network.parameters[2].mask.positions(), None, "the head may not be pruned");
    let dense = import_state(&bytes, text).unwrap().network;
    assert_eq!(dense.parameters[0].mask.positions(), None);
    assert_eq!(logits(&network, &[1.0; 4]), logits(&dense, &[1.0; 4]));
}

#[test]
fn a_mapping_renames_and_leaves_out() {
    let (network, _) = state_of("cnn16", 6);
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> =
        vec![("teacher.w".into(), vec![1], vec![f32::NAN])];
    for (index, p) in network.parameters.iter().enumerate() {
        tensors.push((
            format!("net.{}", p.name.replace("fc.", "head.out.")),
            p.shape.clone(),
            network.dense(index),
        ));
    }
    for buffer in &network.buffers {
        tensors.push((
            format!("net.{}", buffer.name),
            vec![buffer.values.len()],
            buffer.values.clone(),
        ));
    }
    let names = Names::parse("[names]\n\"net.*\" = \"*\"\n\"net.head.out.*\" = \"fc.*\"\n[ignore]\nnames = [\"teacher.*\"]\n").unwrap();
    let choice = Choice { names: Some(&names), ..Choice::default() };
    let imported = import_safetensors(&safetensors(&tensors), &choice).unwrap();
    assert_eq!(imported.network, network);
}

#[test]
fn what_no_network_can_use_is_refused_by_tensor_and_place() {
    let (network, whole) = state_of("cnn16", 6);
    let refused = |bytes: &[u8]| import_safetensors(bytes, &Choice::default()).unwrap_err();
    let values = whole.len()
        - 4 * (network.values.len()
            + network.buffers.iter().map(|b| b.values.len()).sum::<usize>());
    let mut nan = whole.clone();
    nan[values + 8..values + 12].copy_from_slice(&f32::INFINITY.to_le_bytes());
    assert!(
        matches!(refused(&nan), ExchangeFault::NotFinite { tensor, index: 2, .. } if tensor == "conv1.weight")
    );
    let text = String::from_utf8_lossy(&whole[8..values]).into_owned();
    let with = |from: &str, to: &str| {
        let header = text.replacen(from, to, 1);
        assert_ne!(header, text, "{from}");
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &whole[values..]].concat()
    };
    let told = refused(&with("\"F32\"", "\"I32\"")).to_string();
    assert!(
        told.contains("conv1.weight") && told.contains("I32") && told.contains("BF16"),
        "{told}"
    );
    let told = refused(&with("\"conv1.weight\"", "\"module.bn1.weight\"")).to_string();
    assert!(
        told.contains("`bn1.weight` and `module.bn1.weight`") || told.contains("both become"),
        "{told}"
    );
}

#[test]
fn a_normalisation_that_disagrees_is_refused_with_both() {
    let mut bytes = bytes("cifar.safetensors");
    let mean = 0.4914f32.to_le_bytes();
    let at = (0..bytes.len() - 4).rfind(|&at| bytes[at..at + 4] == mean).unwrap();
    bytes[at..at + 4].copy_from_slice(&0.5f32.to_le_bytes());
    let told = import_state(&bytes, &cifar()).unwrap_err().to_string();
    assert!(
        told.contains("normalize.mean") && told.contains("0.5,") && told.contains("0.4914"),
        "{told}"
    );
}
