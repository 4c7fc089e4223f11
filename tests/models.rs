//! Every file of `models/` is what it says: it parses, is named after itself, and has the counts
//! that the literature gives for its network. A changed count is a changed network.

use std::collections::BTreeSet;
use std::path::Path;

use unlearn::model::{Description, Op, ParamKind, builtin, builtin_names};

struct Counts {
    name: &'static str,
    parameters: usize,
    prunable: usize,
    macs: u64,
}

/// At ten classes. ResNet-18: torchvision's layers with a 3x3 stem, 11,173,962 parameters.
/// ResNet-20: 267,696 convolution weights + 650 in the head + 1,376 in batch normalisations.
const COUNTS: [Counts; 6] = [
    Counts { name: "cnn16", parameters: 33_338, prunable: 32_400, macs: 553_600 },
    Counts { name: "cnn28", parameters: 249_210, prunable: 244_368, macs: 5_462_016 },
    Counts { name: "mlp", parameters: 235_146, prunable: 233_472, macs: 234_752 },
    Counts { name: "resnet18", parameters: 11_173_962, prunable: 11_159_232, macs: 555_422_720 },
    Counts { name: "resnet20", parameters: 269_722, prunable: 267_696, macs: 40_551_040 },
    Counts { name: "vgg16-bn", parameters: 15_311_818, prunable: 14_710_464, macs: 313_788_928 },
];

fn described(name: &str) -> Description {
    Description::parse(builtin(name).unwrap(), name, 10).unwrap()
}

#[test]
fn every_file_of_the_folder_is_compiled_in_and_named_after_itself() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), builtin(&stem).unwrap());
        assert_eq!(described(&stem).name, stem);
        found.insert(stem);
    }
    assert_eq!(found, builtin_names().map(str::to_owned).collect());
}

#[test]
fn every_network_has_the_counts_of_its_literature() {
    for expected in COUNTS {
        let network = described(expected.name);
        let parameters = network.parameters();
        let all: usize = parameters.iter().map(|parameter| parameter.values()).sum();
        let prunable: usize =
            parameters.iter().filter(|p| p.prunable).map(|parameter| parameter.values()).sum();
        let macs: u64 = network.macs().iter().sum();
        assert_eq!(
            (all, prunable, macs),
            (expected.parameters, expected.prunable, expected.macs),
            "{}: parameters, prunable weights, multiply-accumulates",
            expected.name
        );
    }
}

#[test]
fn the_head_is_dense_and_follows_the_number_of_classes() {
    for name in builtin_names() {
        let network = Description::parse(builtin(name).unwrap(), name, 37).unwrap();
        let last = network.nodes.last().unwrap();
        assert_eq!(last.shape, [37, 1, 1], "{name}");
        assert!(!last.prunable && matches!(last.op, Op::Linear { outputs: 37, .. }), "{name}");
    }
}

#[test]
fn names_are_unique_and_in_the_order_of_the_nodes() {
    for name in builtin_names() {
        let network = described(name);
        let parameters = network.parameters();
        assert!(parameters.is_sorted_by_key(|parameter| parameter.node), "{name}");
        let mut names: BTreeSet<_> = parameters.iter().map(|p| p.name.clone()).collect();
        let buffers = network.buffers();
        names.extend(buffers.iter().map(|buffer| buffer.name.clone()));
        assert_eq!(names.len(), parameters.len() + buffers.len(), "{name}");
    }
    let first: Vec<_> =
        described("resnet20").parameters().into_iter().take(4).map(|p| (p.name, p.kind)).collect();
    let expected = [
        ("conv1.weight", ParamKind::Weight),
        ("bn1.weight", ParamKind::Scale),
        ("bn1.bias", ParamKind::Shift),
        ("layer1.0.conv1.weight", ParamKind::Weight),
    ];
    assert_eq!(first, expected.map(|(name, kind)| (name.to_owned(), kind)));
}
