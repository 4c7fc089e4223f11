//! Every file of `models/` is what it says: it parses, is named after itself, and has the counts
//! that the literature gives for its network. A changed count is a changed network.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use unlearn::model::{Description, Op, ParamKind, builtin, builtin_names};

struct Counts {
    name: &'static str,
    classes: usize,
    parameters: usize,
    prunable: usize,
    macs: u64,
}

const fn counts(
    name: &'static str,
    classes: usize,
    parameters: usize,
    prunable: usize,
    macs: u64,
) -> Counts {
    Counts { name, classes, parameters, prunable, macs }
}

/// - ResNet-18 and ResNet-50 for ImageNet, VGG-16-BN: what torchvision's networks count, 11,689,512,
///   25,557,032 and 138,365,992 parameters at 1.81, 4.09 and 15.47 billion multiply-accumulates.
///   With a 3x3 stem and ten classes torchvision's ResNets have 11,173,962 and 23,520,842 parameters.
/// - ResNet-20: 267,696 convolution weights + 650 in the head + 1,376 in batch normalisations. One
///   block more in each stage adds 96,768 + 448, and 14,155,776 multiply-accumulates: ResNet-44 has
///   four more, ResNet-56 six (He et al., table 6: 0.27, 0.66 and 0.85 million parameters).
/// - VGG-16's second form: the first form's 14,710,464 convolution weights + 4,224 biases + 8,448 in
///   batch normalisations + 5,130 in the head.
/// - HAR: 4,032 + 40,960 + 81,920 + 49,152 weights, seen at 64, 32, 16 and 8 places, + 896 + 774.
/// - Keyword CNN: 800 + 18,432 + 55,296 + 110,592 weights, at 640, 160, 40 and 12 places, + 640 +
///   1,290. DS-CNN: 5,120 + 4 * (576 + 4,096) weights, all at 320 places, + 1,152 + 650.
/// - Swin-T: what torchvision's counts, 28,288,354 parameters; 4.5 billion multiply-accumulates (Liu et
///   al., table 1), those of queries with keys and of probabilities with values among them.
/// - ViT: 9,216 + 6 * (110,592 + 36,864 + 2 * 73,728) weights at 64 places, six times 2 * 192 * 64 * 64 in
///   its attentions, + 192 + 12,288 in patches and positions, 6 * (576 + 192 + 384 + 192 + 768) + 384 in
///   biases and norms, + 1,930.
/// - Intents, at CLINC150's 150 classes: 2,048 * 256 weights + 512 + 257 * 150.
const COUNTS: [Counts; 19] = [
    counts("cnn16", 10, 33_338, 32_400, 553_600),
    counts("cnn28", 10, 249_210, 244_368, 5_462_016),
    counts("har-cnn", 6, 177_734, 176_064, 3_273_472),
    counts("intent-mlp", 150, 563_350, 524_288, 562_688),
    counts("kws-cnn", 10, 187_050, 185_120, 7_001_344),
    counts("kws-dscnn", 10, 25_610, 21_504, 7_619_200),
    counts("mlp", 10, 235_146, 233_472, 234_752),
    counts("resnet18", 10, 11_173_962, 11_159_232, 555_422_720),
    counts("resnet18-imagenet", 1000, 11_689_512, 11_166_912, 1_814_073_344),
    counts("resnet20", 10, 269_722, 267_696, 40_551_040),
    counts("resnet44", 10, 658_586, 654_768, 97_174_144),
    counts("resnet50", 10, 23_520_842, 23_447_232, 1_297_829_888),
    counts("resnet50-imagenet", 1000, 25_557_032, 23_454_912, 4_089_184_256),
    counts("resnet56", 10, 853_018, 848_304, 125_485_696),
    counts("swin-t", 1000, 28_288_354, 27_431_424, 4_490_566_656),
    counts("vgg16-bn", 10, 15_311_818, 14_710_464, 313_788_928),
    counts("vgg16-bn-imagenet", 1000, 138_365_992, 14_710_464, 15_470_264_320),
    counts("vgg16-bn-lth", 10, 14_728_266, 14_710_464, 313_201_664),
    counts("vit-tiny", 10, 1_806_154, 1_778_688, 123_275_136),
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
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), builtin(&stem).unwrap());
        assert_eq!(described(&stem).name, stem);
        found.insert(stem);
    }
    assert_eq!(found, builtin_names().map(str::to_owned).collect());
}

#[test]
fn every_network_has_the_counts_of_its_literature() {
    assert!(COUNTS.iter().map(|counts| counts.name).eq(builtin_names()));
    for expected in COUNTS {
        let text = builtin(expected.name).unwrap();
        let network = Description::parse(text, expected.name, expected.classes).unwrap();
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

/// Names and shapes by network, as `tests/reference/torchvision_names.py` wrote them.
fn torchvision() -> BTreeMap<String, BTreeMap<String, Vec<usize>>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    let text = std::fs::read_to_string(folder.join("torchvision_names.txt")).unwrap();
    let mut found: BTreeMap<String, BTreeMap<_, _>> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (network, name) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
        let shape = words.map(|side| side.parse().unwrap()).collect();
        found.entry(network).or_default().insert(name, shape);
    }
    found
}

#[test]
fn names_and_shapes_are_those_of_torchvision() {
    let all = torchvision();
    let held = |name: &str, classes: usize| -> BTreeMap<String, Vec<usize>> {
        let network = Description::parse(builtin(name).unwrap(), name, classes).unwrap();
        let parameters = network.parameters().into_iter().map(|p| (p.name, p.shape));
        parameters
            .chain(network.buffers().into_iter().map(|b| (b.name, vec![b.channels])))
            .collect()
    };
    for (name, theirs) in [
        ("resnet18-imagenet", "resnet18"),
        ("resnet50-imagenet", "resnet50"),
        ("vgg16-bn-imagenet", "vgg16_bn"),
    ] {
        assert_eq!(held(name, 1000), all[theirs], "{name}");
    }
    for name in ["resnet18", "resnet50"] {
        let mut theirs = all[name].clone();
        theirs.insert("conv1.weight".into(), vec![64, 3, 3, 3]);
        assert_eq!(held(name, 1000), theirs, "{name} has a 3x3 stem");
    }
}
