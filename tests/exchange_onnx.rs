//! ONNX in and out: PyTorch's exports give PyTorch's logits and learn, and ours come back as they were.

mod common;

use std::sync::Arc;

use common::exchange::{agrees, bytes, furthest, import_onnx, logits, told};
use unlearn::exchange::onnx;
use unlearn::format::{ClassesAndFeatures, Dtype, Facts, Provenance};
use unlearn::model::file::{self, Artifact};
use unlearn::model::{Description, Engine, Mode, Network, Op, builtin};
use unlearn::sparse::{Isa, Mask};

const CASES: [&str; 5] = ["cnn", "mlp", "cnn1d", "cifar", "resnet"];

#[test]
fn both_exporters_of_pytorch_give_a_network_with_pytorchs_logits() {
    for case in CASES {
        for exporter in ["script", "dynamo"] {
            let name = format!("{case}.{exporter}.onnx");
            let imported =
                import_onnx(&bytes(&name)).unwrap_or_else(|fault| panic!("{name}: {fault}"));
            agrees(&name, &imported.network, case);
        }
    }
}

#[test]
fn an_export_in_training_mode_keeps_its_batch_norms() {
    let imported = import_onnx(&bytes("cnn.training.onnx")).unwrap();
    agrees("cnn.training.onnx", &imported.network, "training");
    let norm = imported.network.description.nodes.iter().find_map(|node| match node.op {
        Op::BatchNorm { epsilon, momentum } => Some((epsilon, momentum)),
        _ => None,
    });
    assert_eq!(norm, Some((1e-3, 0.2)));
    assert!(imported.notes.iter().any(|note| note.contains("LogSoftmax")), "{:?}", imported.notes);
}

#[test]
fn names_are_those_of_pytorchs_parameters_and_the_normalisation_is_the_descriptions() {
    let network = import_onnx(&bytes("cifar.dynamo.onnx")).unwrap().network;
    let names: Vec<&str> = network.parameters.iter().map(|p| p.name.as_str()).collect();
    for name in ["conv1.weight", "layer2.0.conv1.weight", "fc.weight", "fc.bias"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    let description = &network.description;
    assert_eq!(description.mean, [0.4914, 0.4822, 0.4465]);
    assert_eq!(description.std, [0.2470, 0.2435, 0.2616]);
    assert_eq!(description.input_shape(), [3, 16, 16]);
}

#[test]
fn an_imported_network_takes_a_training_step_that_lowers_its_loss() {
    for case in CASES {
        let mut network = import_onnx(&bytes(&format!("{case}.script.onnx"))).unwrap().network;
        let (samples, _) = told(case);
        let len: usize = network.description.input_shape().iter().product();
        let labels: Vec<u32> = (0..samples.len() / len).map(|i| i as u32 % 2).collect();
        let mut engine = Engine::new(&network, labels.len(), Mode::Train, Isa::best());
        let mut step = |network: &mut Network| {
            engine.load(network, labels.len(), |i, out| {
                out.copy_from_slice(&samples[i * len..][..len])
            });
            engine.forward(network);
            let mut gradient = vec![0.0; network.values.len()];
            let loss = engine.backward(network, &labels, &mut gradient);
            network
                .values
                .iter_mut()
                .zip(&gradient)
                .for_each(|(value, slope)| *value -= 0.01 * slope);
            loss.sum
        };
        let before = step(&mut network);
        let after = step(&mut network);
        assert!(after < before, "{case}: loss {before} became {after}");
    }
}

fn artifact(network: Network, classes: usize) -> Artifact {
    let names: Vec<String> = (0..classes).map(|class| format!("class {class}")).collect();
    let facts = Facts::new(Provenance::Population);
    let meaning = ClassesAndFeatures::plain(names);
    let bytes = file::encode(&network, &meaning, &facts, Dtype::F32, None, None).unwrap();
    let file = unlearn::format::ModelFile::from_bytes(bytes).unwrap();
    file::read(&file, "made.esm".as_ref()).unwrap()
}

#[test]
fn what_was_exported_comes_back_with_every_value_class_and_attribute() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    let tiny = std::fs::read_to_string(folder.join("tiny.toml")).unwrap();
    let texts = [
        ("tiny", tiny.as_str()),
        ("resnet20", builtin("resnet20").unwrap()),
        ("mlp", builtin("mlp").unwrap()),
    ];
    for (name, text) in texts {
        let description = Description::parse(text, name, 5).unwrap();
        let mut network = Network::new(Arc::new(description), 3);
        let thin = |p: &unlearn::model::Parameter| match p.prunable {
            true => Mask::from_fn(p.mask.len(), |i| i % 3 == 0),
            false => p.mask.clone(),
        };
        network.set_masks(network.parameters.iter().map(thin).collect());
        network.buffers.iter_mut().enumerate().for_each(|(i, buffer)| {
            buffer.values.iter_mut().for_each(|value| *value += 0.01 * i as f32);
        });
        let artifact = artifact(network, 5);
        let exported = onnx::export(&artifact).unwrap();
        assert_eq!(exported, onnx::export(&artifact).unwrap(), "{name}: equal models, equal bytes");
        let back = import_onnx(&exported).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let (ours, theirs) = (&artifact.network, &back.network);
        assert_eq!(back.classes.as_ref(), Some(&artifact.meaning.classes));
        assert_eq!(
            (&ours.description.mean, &ours.description.std),
            (&theirs.description.mean, &theirs.description.std)
        );
        let ops = |network: &Network| -> Vec<Op> {
            network.description.nodes.iter().map(|node| node.op.clone()).collect()
        };
        assert_eq!(ops(ours), ops(theirs), "{name}");
        for (index, parameter) in ours.parameters.iter().enumerate() {
            assert_eq!(parameter.name, theirs.parameters[index].name, "{name}");
            assert_eq!(ours.dense(index), theirs.dense(index), "{name}: {}", parameter.name);
        }
        assert_eq!(ours.buffers, theirs.buffers, "{name}");
        let len: usize = ours.description.input_shape().iter().product();
        let samples: Vec<f32> = (0..3 * len).map(|i| (i % 17) as f32 / 17.0).collect();
        assert_eq!(furthest(&logits(ours, &samples), &logits(theirs, &samples)), 0.0, "{name}");
    }
}

#[test]
fn weights_in_another_file_must_lie_in_the_folder_and_inside_the_file() {
    let whole = bytes("mlp.dynamo.onnx");
    import_onnx(&whole).unwrap();
    let renamed = |to: &[u8]| {
        let from = b"mlp.dynamo.onnx.data";
        assert_eq!(from.len(), to.len());
        let mut bytes = whole.clone();
        let places: Vec<usize> =
            (0..bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(from)).collect();
        assert!(!places.is_empty());
        places.iter().for_each(|&at| bytes[at..at + from.len()].copy_from_slice(to));
        import_onnx(&bytes).unwrap_err().to_string()
    };
    assert!(renamed(b"../p.dynamo.onnx.dat").contains("only a file in the folder"));
    assert!(renamed(b"/lp.dynamo.onnx.data").contains("only a file in the folder"));
    assert!(renamed(b"mlp.dynamo.onnx.dat_").contains("it does not exist"));
    let short = |_: &str| Ok(vec![0; 40]);
    let told = onnx::import(&whole, "mlp", &short, &unlearn::exchange::Choice::default());
    assert!(told.unwrap_err().to_string().contains("the file has 40"));
}

#[test]
fn a_transformer_is_refused_with_the_operation_that_onnx_does_not_get() {
    let description = Description::parse(builtin("vit-tiny").unwrap(), "vit-tiny", 5).unwrap();
    let artifact = artifact(Network::new(Arc::new(description), 1), 5);
    let fault = onnx::export(&artifact).unwrap_err().to_string();
    assert!(
        fault.contains("`positions` is a position") && fault.contains(".safetensors"),
        "{fault}"
    );
}
