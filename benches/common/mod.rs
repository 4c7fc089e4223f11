//! What benches of homes share: bases that nobody trained, made samples, and copies of a home.
#![allow(dead_code)]

use std::path::Path;
use std::sync::Arc;

use unlearn::base::disk::FileDisk;
use unlearn::base::rng::Stream;
use unlearn::erase::{Given, Home, Setup, file_keys};
use unlearn::format::{
    AnchorPart, AnchorSet, AnchorValues, ClassesAndFeatures, Dtype, Facts, Provenance,
};
use unlearn::model::{Description, Network, file};
use unlearn::sparse::Mask;
use unlearn::vault::{Quota, Values};

/// One hidden layer, for grey images of 16x16.
pub const TINY: &str = r#"
name = "tiny"
summary = "One hidden layer."
[input]
shape = [1, 16, 16]
mean = [0.5]
std = [0.25]
[[op]]
name = "fc1"
kind = "linear"
outputs = 64
prunable = true
[[op]]
name = "relu1"
kind = "relu"
[[op]]
name = "fc2"
kind = "linear"
outputs = "classes"
"#;

/// Classes of every base here.
pub const CLASSES: usize = 6;
const ANCHOR: [usize; 2] = [96, 64];

/// A base by the description in `text`, in which of every prunable parameter a drawn share of `density`
/// exists, with an anchor set of made samples: bytes, or floats where `floats` says so.
pub fn base(text: &str, density: f64, floats: bool) -> Vec<u8> {
    let description = Arc::new(Description::parse(text, "made", CLASSES).unwrap());
    let mut network = Network::new(description, 1);
    let mut stream = Stream::new(1, "bench/mask");
    if density < 1.0 {
        let thin = |p: &unlearn::model::Parameter| match p.prunable {
            true => Mask::from_fn(p.mask.len(), |_| stream.unit() < density),
            false => p.mask.clone(),
        };
        let masks = network.parameters.iter().map(thin).collect();
        network.set_masks(masks);
    }
    let shape = network.description.input_shape();
    let (len, count): (usize, usize) = (shape.iter().product(), ANCHOR.iter().sum());
    let labels: Vec<u32> = (0..count).map(|i| (i % CLASSES) as u32).collect();
    let mut all = Vec::new();
    let mut bytes = Vec::new();
    for (index, label) in labels.iter().enumerate() {
        match values("anchor", index, *label as usize, len, floats) {
            Values::Floats(ref floats) => all.extend(floats),
            Values::Bytes(ref part) => bytes.extend(part),
        }
    }
    let parts = [vec![AnchorPart::Train; ANCHOR[0]], vec![AnchorPart::Calibrate; ANCHOR[1]]];
    let values = if floats { AnchorValues::Floats(all) } else { AnchorValues::Bytes(bytes) };
    let shape = shape.map(|side| side as u32);
    let anchor = AnchorSet { shape, labels, parts: parts.concat(), values };
    let meaning = ClassesAndFeatures::plain((0..CLASSES).map(|c| format!("class {c}")).collect());
    let facts = Facts::new(Provenance::Population).with("command", "train");
    file::encode(&network, &meaning, &facts, Dtype::F16, None, Some(&anchor)).unwrap()
}

/// The numbers of one sample: noise, and more of it where its class lies.
pub fn values(of: &str, index: usize, class: usize, len: usize, floats: bool) -> Values {
    let mut stream = Stream::new(index as u64, &format!("bench/{of}"));
    let near = |place: usize| place * CLASSES / len == class;
    if floats {
        let value = |place| stream.normal() as f32 + if near(place) { 1.0 } else { 0.0 };
        return Values::Floats((0..len).map(value).collect());
    }
    let byte = |place| (stream.word() >> 57) as u8 + if near(place) { 96 } else { 0 };
    Values::Bytes((0..len).map(byte).collect())
}

/// `each` samples of each of `people` people, from person `first` on.
pub fn given(first: usize, people: usize, each: usize, len: usize, floats: bool) -> Vec<Given> {
    let one = |person: usize, i: usize| Given {
        subjects: vec![name(person)],
        label: format!("class {}", i % CLASSES),
        group: None,
        values: values(&name(person), i, i % CLASSES, len, floats),
    };
    (first..first + people).flat_map(|p| (0..each).map(move |i| one(p, i))).collect()
}

/// What a person is called.
pub fn name(person: usize) -> String {
    format!("person {person:04}")
}

/// A new home.
pub fn fresh(folder: &Path, base: Vec<u8>) -> Home {
    let setup = Setup { quota: Quota { samples: 1 << 20, bytes: 4 << 30 }, ..Setup::default() };
    let (disk, keys) = (Box::new(FileDisk), file_keys(folder));
    Home::init(disk, folder, keys, base, Path::new("base.esm"), setup).unwrap()
}

/// The home in `folder`.
pub fn opened(folder: &Path) -> Home {
    Home::open(Box::new(FileDisk), folder, file_keys(folder)).unwrap()
}

/// A copy of a home that nobody has open.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    let permissions = std::fs::metadata(from).unwrap().permissions();
    std::fs::set_permissions(to, permissions).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// The most memory that this process had at once, in bytes.
pub fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok());
    kilobytes.map_or(0, |kilobytes: u64| kilobytes << 10)
}
