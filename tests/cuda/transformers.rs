//! Transformers on a CUDA device give what they give on the processor: logits, losses, every gradient; and
//! the same bytes in whatever order threads run.

use std::fmt::Write as _;
use std::sync::Arc;

use unlearn::model::{Description, Device, Engine, Mode, Network, Plan};
use unlearn::sparse::Isa;
use unlearn::sparse::cuda::{CudaError, Precision};

use crate::emulator::Order;
use crate::engine::{Seen, assert_gradients, assert_near, device, on, pass, samples, thin};

/// A description, operation by operation.
struct Text(String);

impl Text {
    fn new(shape: &str) -> Self {
        let head =
            "name = \"t\"\nsummary = \"A transformer.\"\n[input]\nmean = [0.5]\nstd = [0.25]";
        Self(format!("{head}\nshape = {shape}\n"))
    }

    fn op(mut self, name: &str, kind: &str, keys: &str) -> Self {
        let keys = keys.replace("; ", "\n");
        writeln!(self.0, "[[op]]\nname = \"{name}\"\nkind = \"{kind}\"\n{keys}").unwrap();
        self
    }

    /// A block of `width` channels behind `from`, with `keys` for its attention.
    fn block(self, name: &str, from: &str, width: usize, keys: &str) -> Self {
        let of = |part: &str| format!("{name}.{part}");
        let conv = |filters: usize| format!("filters = {filters}; kernel = 1; bias = true");
        self.op(&of("norm1"), "layer-norm", &format!("from = \"{from}\""))
            .op(&of("qkv"), "conv", &conv(3 * width))
            .op(&of("attention"), "attention", keys)
            .op(&of("projection"), "conv", &conv(width))
            .op(&of("add1"), "add", &format!("from = [\"{name}.projection\", \"{from}\"]"))
            .op(&of("norm2"), "layer-norm", "epsilon = 0.001")
            .op(&of("mlp1"), "conv", &conv(2 * width))
            .op(&of("gelu"), "gelu", "")
            .op(&of("mlp2"), "conv", &conv(width))
            .op(&of("add2"), "add", &format!("from = [\"{name}.mlp2\", \"{name}.add1\"]"))
    }

    fn network(self, keep: f64) -> Network {
        let text = self.op("norm", "layer-norm", "").op("pool", "global-avg-pool", "");
        let text = text.op("fc", "linear", "outputs = \"classes\"").0;
        let description = Description::parse(&text, "t.toml", 5).unwrap();
        let mut network = Network::new(Arc::new(description), 3);
        thin(&mut network, keep);
        network
    }
}

/// Patches, positions, and two blocks over all places.
fn vit(keep: f64) -> Network {
    Text::new("[1, 6, 10]")
        .op("patches", "conv", "filters = 12; kernel = 2; stride = 2; bias = true")
        .op("positions", "position", "")
        .block("block1", "positions", 12, "heads = 3")
        .block("block2", "block1.add2", 12, "heads = 2")
        .network(keep)
}

/// Windows, windows that are moved, and squares that become channels, as Swin transformers have them.
fn swin(keep: f64) -> Network {
    Text::new("[1, 12, 12]")
        .op("patches", "conv", "filters = 6; kernel = 2; stride = 2; bias = true")
        .op("norm0", "layer-norm", "")
        .block("block1", "norm0", 6, "heads = 2; window = 3")
        .block("block2", "block1.add2", 6, "heads = 2; window = 3; shift = 1")
        .op("squares", "space-to-depth", "side = 2")
        .op("norm3", "layer-norm", "")
        .op("reduction", "conv", "filters = 8; kernel = 1")
        .block("block3", "reduction", 8, "heads = 4; window = 3; shift = 1")
        .network(keep)
}

fn agree(make: fn(f64) -> Network, ordinal: u32) {
    let Some(card) = device(ordinal, Precision::F32, Order::Forward) else { return };
    for (keep, recompute) in [(1.0, false), (0.4, true)] {
        let (mut left, mut right) = (make(keep), make(keep));
        let samples = samples(&left, 4);
        let mut reference = on(&left, 4, Mode::Train, Device::Cpu(Isa::best()), recompute);
        let mut engine = on(&right, 4, Mode::Train, card, recompute);
        // The first as it is, the second recorded, the third from the recording; then another size.
        for count in [4, 4, 4, 3] {
            let expected = pass(&mut reference, &mut left, &samples, count);
            let found = pass(&mut engine, &mut right, &samples, count);
            let case = format!("keep {keep} of {count}");
            assert_near(&format!("{case} logits"), &found.logits, &expected.logits, 2e-5);
            assert_near(&case, &[found.loss as f32], &[expected.loss as f32], 2e-5);
            assert_eq!(found.correct, expected.correct, "{case}");
            assert_gradients(&left, &found.gradient, &expected.gradient, 4e-4);
        }
    }
}

fn whatever_the_order(make: fn(f64) -> Network, ordinals: [u32; 2]) {
    let run = |ordinal, order| -> Option<Seen> {
        let card = device(ordinal, Precision::F32, order)?;
        let mut network = make(0.4);
        let samples = samples(&network, 3);
        let mut engine = on(&network, 3, Mode::Train, card, false);
        Some(pass(&mut engine, &mut network, &samples, 3))
    };
    let [forward, backward] = [(ordinals[0], Order::Forward), (ordinals[1], Order::Backward)]
        .map(|(ordinal, order)| run(ordinal, order));
    assert_eq!(forward, backward);
}

#[test]
fn a_vision_transformer_gives_what_the_processor_gives() {
    agree(vit, 20);
}

#[test]
fn windows_of_attention_give_what_the_processor_gives() {
    agree(swin, 21);
}

#[test]
fn the_order_of_threads_changes_no_byte_of_a_transformer() {
    whatever_the_order(vit, [22, 23]);
    whatever_the_order(swin, [24, 25]);
}

#[test]
fn evaluation_and_what_does_not_learn_give_what_the_processor_gives() {
    let Some(card) = device(26, Precision::F32, Order::Backward) else { return };
    let (mut left, mut right) = (swin(0.4), swin(0.4));
    let samples = samples(&left, 3);
    // Of the second block's attention neither bias nor layers learn, nor what stands before it.
    let names = || left.description.nodes.iter().map(|node| node.name.clone());
    let trained: Vec<bool> = names()
        .map(|name| !name.starts_with("block2") && (name.contains("block1.m") || !early(&name)))
        .collect();
    let of = |network: &Network, card: bool| {
        let plan = if card { Plan::for_card } else { Plan::partial };
        plan(network, 3, Mode::Train, false, &trained)
    };
    let mut reference = Engine::on(&left, of(&left, false), Device::Cpu(Isa::best()));
    let mut engine = Engine::on(&right, of(&right, true), card);
    let before = of(&left, false).untrained();
    assert!(before > 0);
    let all = left.values.len();
    let give = |engine: &mut Engine, network: &mut Network| {
        engine.load(network, 3, |i, out| out.copy_from_slice(&samples.values[i]));
        engine.forward(network);
        let logits = engine.logits();
        let mut gradient = vec![0.0; all - before];
        engine.backward(network, &samples.labels[..3], &mut gradient);
        engine.trouble().unwrap();
        (logits, gradient)
    };
    let (expected, found) = (give(&mut reference, &mut left), give(&mut engine, &mut right));
    assert_near("logits", &found.0, &expected.0, 2e-5);
    assert_near("gradient", &found.1, &expected.1, 4e-4);

    let mut reference = on(&left, 3, Mode::Evaluate, Device::Cpu(Isa::best()), false);
    let mut engine = on(&right, 3, Mode::Evaluate, card, false);
    for (engine, network) in [(&mut reference, &mut left), (&mut engine, &mut right)] {
        engine.load(network, 3, |i, out| out.copy_from_slice(&samples.values[i]));
        engine.forward(network);
        engine.trouble().unwrap();
    }
    assert_near("evaluated", &engine.logits(), &reference.logits(), 2e-5);
}

/// Whether a node stands before the first that learns.
fn early(name: &str) -> bool {
    ["input", "patches", "norm0", "block1"].iter().any(|start| name.starts_with(start))
}

#[test]
fn what_no_index_counts_is_refused_with_its_name() {
    let Some(card) = device(27, Precision::F32, Order::Forward) else { return };
    for (kind, keys) in [("gelu", ""), ("layer-norm", ""), ("attention", "heads = 1")] {
        let network = Text::new("[3, 16, 16]").op("first", kind, keys).network(1.0);
        let refused = on(&network, 1 << 22, Mode::Evaluate, card, false).trouble().unwrap_err();
        let expected = CudaError::Size { node: "first".into(), batch: 1 << 22 };
        assert_eq!(refused, expected, "{kind}");
    }
    // A plane whose pairs of places are too many for any batch.
    let network = Text::new("[24, 128, 128]").op("wide", "attention", "heads = 8").network(1.0);
    let refused = on(&network, 1, Mode::Evaluate, card, false).trouble().unwrap_err();
    assert_eq!(refused, CudaError::Size { node: "wide".into(), batch: 1 });
}
