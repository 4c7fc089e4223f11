//! What PyTorch computed, for the engine and its reference to be held against.
//!
//! `tests/reference/pytorch_resnet.py` made the numbers and says what each is.

#![allow(dead_code)] // Each test takes in what it needs.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use unlearn::model::Description;

/// Samples of one step.
pub const BATCH: usize = 5;
/// Steps of SGD behind the tensors called `after/`.
pub const STEPS: usize = 3;
/// Learning rate of those steps.
pub const RATE: f64 = 0.05;
/// Their momentum.
pub const MOMENTUM: f64 = 0.9;
/// Their weight decay.
pub const DECAY: f64 = 5e-4;
/// Factor of `sum |p|` in their loss.
pub const GAMMA: f64 = 1e-3;

/// A small network that has every kind of operation, and all that PyTorch says of it.
pub struct Tiny {
    pub network: Description,
    tensors: BTreeMap<String, Tensor>,
}

impl Tiny {
    pub fn load() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
        let text = std::fs::read_to_string(folder.join("tiny.toml")).unwrap();
        let network = Description::parse(&text, "tiny.toml", 5).unwrap();
        let path = folder.join("tiny.safetensors");
        let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        Self { network, tensors: tensors.into_iter().collect() }
    }

    /// The tensor stored as `name`.
    pub fn tensor(&self, name: &str) -> &Tensor {
        self.tensors.get(name).unwrap_or_else(|| panic!("tiny.safetensors has no {name}"))
    }

    /// The values of the tensor stored as `name`, row-major.
    pub fn values(&self, name: &str) -> Vec<f32> {
        self.tensor(name).flatten_all().unwrap().to_vec1().unwrap()
    }

    /// The tensors whose names begin with `prefix`, by the rest of their names.
    pub fn group(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let rest = |(name, tensor): (&String, &Tensor)| {
            Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()))
        };
        self.tensors.iter().filter_map(rest).collect()
    }

    /// Samples and labels of the batch of `step`, in `0..STEPS`.
    pub fn batch(&self, step: usize) -> (Tensor, Tensor) {
        let cut = |name| self.tensor(name).narrow(0, step * BATCH, BATCH).unwrap();
        (cut("samples").contiguous().unwrap(), cut("labels").contiguous().unwrap())
    }
}

/// The largest of the absolute values.
pub fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, value| most.max(value.abs()))
}

/// Holds `found` against `expected`: no value may be further off than `tolerance`.
#[track_caller]
pub fn assert_near(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = (found - expected).abs();
        assert!(
            off <= tolerance,
            "{what}[{index}] is {found}, PyTorch has {expected}: {off:.1e} off, {tolerance:.1e} allowed"
        );
    }
}

/// Holds gradients by name against PyTorch's of `tiny`: each within `share` of the largest value of
/// its tensor. A tensor that is tiny beside the others is held to a hundredth of theirs, because the
/// bias of a convolution before a batch normalisation has no gradient but rounding.
#[track_caller]
pub fn assert_gradients(tiny: &Tiny, found: &BTreeMap<String, Vec<f32>>, share: f32) {
    let expected = tiny.group("grad/");
    let names: Vec<_> = expected.keys().collect();
    assert_eq!(found.keys().collect::<Vec<_>>(), names);
    let of = |name: &str| tiny.values(&format!("grad/{name}"));
    let most = expected.keys().map(|name| largest(&of(name))).fold(0.0, f32::max);
    for (name, found) in found {
        let expected = of(name);
        assert_near(name, found, &expected, share * largest(&expected).max(most / 100.0));
    }
}
