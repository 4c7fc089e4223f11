//! Foreign models for the tests of `exchange`, and what PyTorch computed with them.
//!
//! `tests/reference/exchange.py` made the files and says what each is.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use unlearn::base::disk::{DiskError, read_at_most};
use unlearn::exchange::{Choice, ExchangeFault, Imported, import_safetensors, onnx};
use unlearn::model::{Engine, Mode, Network};
use unlearn::sparse::Isa;

/// How far a logit may be from PyTorch's.
pub const NEAR: f32 = 1e-4;

/// The file called `name` among those that PyTorch made.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/exchange").join(name)
}

pub fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

/// Reads a file beside a model.
pub fn beside(name: &str) -> Result<Vec<u8>, DiskError> {
    read_at_most(&path(name), 1 << 20)
}

/// What PyTorch took and gave for `case`: samples and logits, row-major.
pub fn told(case: &str) -> (Vec<f32>, Vec<f32>) {
    let all = candle_core::safetensors::load(path("logits.safetensors"), &Device::Cpu).unwrap();
    let flat = |word: &str| -> Vec<f32> {
        let tensor: &Tensor = &all[&format!("{case}/{word}")];
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    };
    (flat("input"), flat("logits"))
}

pub fn import_onnx(bytes: &[u8]) -> Result<Imported, ExchangeFault> {
    onnx::import(bytes, "imported", &beside, &Choice::default())
}

/// The text of a description on its way.
struct Text(String);

impl Text {
    fn new(side: usize, mean: [f32; 3], std: [f32; 3]) -> Self {
        let input = format!("shape = [3, {side}, {side}]\nmean = {mean:?}\nstd = {std:?}\n");
        Self(format!("name = \"tiny\"\nsummary = \"Of exchange.py.\"\n\n[input]\n{input}"))
    }

    fn op(&mut self, name: &str, kind: &str, keys: &str) {
        self.0 += &format!("\n[[op]]\nname = \"{name}\"\nkind = \"{kind}\"\n{keys}\n");
    }

    /// Two convolutions beside a shortcut: none where `stride` is 1, else `down` or zero channels.
    fn block(
        &mut self,
        at: &str,
        above: &str,
        filters: usize,
        stride: usize,
        down: bool,
    ) -> String {
        let name = |word: &str| format!("{at}.{word}");
        let from = format!("from = \"{above}\"");
        let first =
            format!("filters = {filters}\nkernel = 3\nstride = {stride}\npadding = 1\n{from}");
        self.op(&name("conv1"), "conv", &first);
        self.op(&name("bn1"), "batch-norm", "");
        self.op(&name("relu1"), "relu", "");
        self.op(&name("conv2"), "conv", &format!("filters = {filters}\nkernel = 3\npadding = 1"));
        self.op(&name("bn2"), "batch-norm", "");
        let mut other = above.to_owned();
        if stride > 1 && down {
            let keys = format!("filters = {filters}\nkernel = 1\nstride = {stride}\n{from}");
            self.op(&name("downsample.0"), "conv", &keys);
            self.op(&name("downsample.1"), "batch-norm", "");
            other = name("downsample.1");
        } else if stride > 1 {
            let keys = format!("stride = {stride}\nchannels = {filters}\n{from}");
            self.op(&name("shortcut"), "pad-shortcut", &keys);
            other = name("shortcut");
        }
        self.op(&name("add"), "add", &format!("from = [\"{}\", \"{other}\"]", name("bn2")));
        self.op(&name("relu2"), "relu", "");
        name("relu2")
    }

    fn end(mut self) -> String {
        self.op("pool", "global-avg-pool", "");
        self.op("fc", "linear", "outputs = \"classes\"");
        self.0
    }
}

/// The network that `cifar.safetensors` and `pruned.safetensors` are of.
pub fn cifar() -> String {
    let mut text = Text::new(16, [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]);
    text.op("conv1", "conv", "filters = 4\nkernel = 3\npadding = 1");
    text.op("bn1", "batch-norm", "");
    text.op("relu1", "relu", "");
    let mut above = "relu1".to_owned();
    for (stage, filters) in [(1, 4), (2, 8), (3, 16)] {
        let stride = if stage == 1 { 1 } else { 2 };
        above = text.block(&format!("layer{stage}.0"), &above, filters, stride, false);
    }
    text.end()
}

/// The network that `resnet.safetensors` is of.
pub fn resnet() -> String {
    let mut text = Text::new(32, [0.0; 3], [1.0; 3]);
    text.op("conv1", "conv", "filters = 2\nkernel = 7\nstride = 2\npadding = 3");
    text.op("bn1", "batch-norm", "");
    text.op("relu", "relu", "");
    text.op("maxpool", "max-pool", "kernel = 3\nstride = 2\npadding = 1");
    let mut above = "maxpool".to_owned();
    for (stage, filters) in [(1, 2), (2, 4), (3, 8), (4, 16)] {
        let stride = if stage == 1 { 1 } else { 2 };
        above = text.block(&format!("layer{stage}.0"), &above, filters, stride, true);
    }
    text.end()
}

pub fn import_state(bytes: &[u8], text: &str) -> Result<Imported, ExchangeFault> {
    import_safetensors(bytes, &Choice { model: Some(("told", text)), ..Choice::default() })
}

/// The logits that `network` gives for `samples`.
pub fn logits(network: &Network, samples: &[f32]) -> Vec<f32> {
    let mut network = network.clone();
    let len: usize = network.description.input_shape().iter().product();
    let mut found = Vec::new();
    for batch in samples.chunks(16 * len) {
        let count = batch.len() / len;
        let mut engine = Engine::new(&network, count, Mode::Evaluate, Isa::best());
        engine.load(&network, count, |i, out| out.copy_from_slice(&batch[i * len..][..len]));
        engine.forward(&mut network);
        found.extend(engine.logits());
    }
    found
}

/// The largest difference between `found` and `expected`, as a share of the largest of `expected`
/// where that is above 1.
pub fn furthest(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len(), "as many logits");
    let largest = expected.iter().fold(1.0f32, |most, value| most.max(value.abs()));
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    off.fold(0.0, |most: f32, off| if off.is_nan() { f32::INFINITY } else { most.max(off) })
        / largest
}

/// Holds the logits of `network` against PyTorch's for `case`.
#[track_caller]
pub fn agrees(what: &str, network: &Network, case: &str) {
    let (samples, expected) = told(case);
    let off = furthest(&logits(network, &samples), &expected);
    eprintln!("{what}: largest difference {off:.1e}");
    assert!(off <= NEAR, "{what}: logits are {off:.1e} off PyTorch's");
}
