//! Transformers in the engine: what candle's autograd, a script without tensors and finite differences
//! say of every gradient and logit; the same bytes for any number of threads; and a small one that
//! learns, is pruned and forgets as convolutional networks do.

#[path = "common/against.rs"]
mod against;
#[path = "common/pytorch.rs"]
mod pytorch;

use std::path::Path;
use std::sync::Arc;

use against::{Batch, by_name, compare, compare_within, thin};
use candle_core::{DType, Device, Tensor};
use pytorch::assert_near;
use unlearn::base::rng::Stream;
use unlearn::data::{Augment, Dataset, Population, Scenario};
use unlearn::evaluate::Sets;
use unlearn::model::{
    Description, Engine, Mode, Network, ParamKind, Plan, Predictor, Reference, builtin, loss,
};
use unlearn::prune::{Allocation, Criterion, masks};
use unlearn::sparse::{Isa, Mask};
use unlearn::train::{Quiet, Recipe, State, Trained, run, score};
use unlearn::unlearn::{FineTune, Given, L1Sparse, Method, forget};

fn input(shape: &str) -> String {
    format!(
        "name = \"tokens\"\nsummary = \"s\"\n[input]\nshape = {shape}\nmean = [0.5]\nstd = [0.25]\n"
    )
}

fn described(text: &str) -> Arc<Description> {
    Arc::new(Description::parse(text, "tokens.toml", 5).unwrap())
}

fn op(name: &str, kind: &str, keys: &str) -> String {
    let keys = keys.replace("; ", "\n");
    format!("[[op]]\nname = \"{name}\"\nkind = \"{kind}\"\n{keys}\n")
}

/// The network of `tests/reference/transformer.py`.
fn reference_text() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    std::fs::read_to_string(folder.join("transformer.toml")).unwrap()
}

#[test]
fn a_transformer_gives_the_logits_of_a_script_that_goes_token_by_token() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    let text = std::fs::read_to_string(folder.join("transformer.json")).unwrap();
    let expected: Vec<Vec<f64>> = serde_json::from_str(&text).unwrap();
    let expected: Vec<f32> = expected.iter().flatten().map(|logit| *logit as f32).collect();
    let made = |number: usize, index: usize| {
        (((number * 7919 + index * 104_729) % 2003) as f64 / 2003.0 - 0.5) as f32
    };
    let mut network = Network::new(described(&reference_text()), 1);
    for (number, parameter) in network.parameters.clone().into_iter().enumerate() {
        let values = network.values[parameter.range].iter_mut().enumerate();
        values.for_each(|(index, value)| *value = made(number, index));
    }
    for isa in Isa::available() {
        let mut engine = Engine::new(&network, 3, Mode::Evaluate, isa);
        engine.load(&network, 3, |sample, out| {
            let values = out.iter_mut().enumerate();
            values.for_each(|(i, value)| *value = made(1000, sample * 128 + i));
        });
        engine.forward(&mut network);
        assert_near("logits", &engine.logits(), &expected, 1e-5);
        let mut predictor = Predictor::new(&network, isa);
        let logits = predictor.logits(|out| {
            out.iter_mut().enumerate().for_each(|(i, value)| *value = made(1000, i));
        });
        assert_near("one sample", logits, &expected[..5], 1e-5);
        assert!(!predictor.fuses() && predictor.clone().peak_bytes() > 0);
    }
}

#[test]
fn transformers_agree_with_candles_autograd() {
    let network = described(&reference_text());
    for isa in Isa::available() {
        for samples in [2, 17, 40] {
            compare(&network, samples, true, Mode::Train, isa);
            compare(&network, samples, false, Mode::Train, isa);
        }
    }
    let vit = Description::parse(builtin("vit-tiny").unwrap(), "vit-tiny", 10).unwrap();
    compare(&Arc::new(vit), 2, false, Mode::Train, Isa::best());
}

/// Odd sides, one and several heads, windows that are the whole plane, and planes of one place.
#[test]
fn attentions_of_every_shape_agree_with_candles_autograd() {
    let shapes = [
        ("[2, 3, 5]", "heads = 3"),
        ("[2, 1, 7]", "heads = 1"),
        ("[2, 1, 1]", "heads = 2"),
        ("[2, 6, 9]", "heads = 2; window = 3"),
        ("[2, 6, 9]", "heads = 1; window = 3; shift = 1"),
        ("[2, 4, 4]", "heads = 6; window = 4; shift = 2"),
        ("[2, 4, 6]", "heads = 2; window = 1"),
    ];
    for (shape, keys) in shapes {
        // A second reader of its input, so that one gradient is added to another.
        let text = input(shape)
            + &op("qkv", "conv", "filters = 18; kernel = 1; bias = true")
            + &op("attention", "attention", keys)
            + &op("other", "conv", "filters = 6; kernel = 1; from = \"qkv\"")
            + &op("sum", "add", "from = [\"attention\", \"other\"]")
            + &op("fc", "linear", "outputs = \"classes\"");
        let network = described(&text);
        for samples in [3, 18] {
            compare(&network, samples, true, Mode::Train, Isa::best());
        }
    }
}

/// Every operation between convolutions that need a rim of zeros around what they read, and around the
/// gradient of what they write; and each read twice.
#[test]
fn tokens_within_convolutions_agree_with_candles_autograd() {
    let conv = "filters = 6; kernel = 3; padding = 1";
    let text = input("[2, 4, 6]")
        + &op("first", "conv", conv)
        + &op("norm", "layer-norm", "epsilon = 0.001")
        + &op("conv1", "conv", conv)
        + &op("gelu", "gelu", "from = \"norm\"")
        + &op("conv2", "conv", conv)
        + &op("sum1", "add", "from = [\"conv1\", \"conv2\"]")
        + &op("place", "position", "")
        + &op("conv3", "conv", conv)
        + &op("relu", "relu", "")
        + &op("gelu2", "gelu", "from = \"sum1\"")
        + &op("sum2", "add", "from = [\"relu\", \"gelu2\"]")
        + &op("bn", "batch-norm", "")
        + &op("sum3", "add", "from = [\"bn\", \"place\"]")
        + &op("attention", "attention", "heads = 2; window = 2; shift = 1")
        + &op("conv4", "conv", "filters = 4; kernel = 3; padding = 1")
        + &op("squares", "space-to-depth", "side = 2; from = \"conv4\"")
        + &op("conv5", "conv", "filters = 5; kernel = 3; padding = 1")
        + &op("squares2", "space-to-depth", "side = 2; from = \"attention\"")
        + &op("norm2", "layer-norm", "from = \"squares2\"")
        + &op("conv6", "conv", "filters = 5; kernel = 3; padding = 1")
        + &op("sum4", "add", "from = [\"conv5\", \"conv6\"]")
        + &op("pool", "global-avg-pool", "")
        + &op("norm3", "layer-norm", "")
        + &op("fc", "linear", "outputs = \"classes\"");
    let network = described(&text);
    for isa in Isa::available() {
        for (samples, dense) in [(3, true), (18, false), (33, true)] {
            compare_within(&network, samples, dense, Mode::Train, isa, 5e-3);
            compare_within(&network, samples, dense, Mode::Frozen, isa, 5e-3);
        }
    }
}

/// The engine's gradient along random directions, one a parameter, is what the loss of the forward
/// graph in f64 changes by: candle's backward pass has no part in it.
#[test]
fn gradients_are_those_of_finite_differences() {
    let description = described(&reference_text());
    let mut network = Network::new(description.clone(), 3);
    thin(&mut network, 7);
    let batch = Batch::made(&description, 4, 2);
    let mut engine = Engine::new(&network, 4, Mode::Train, Isa::best());
    let (_, _, gradient) = batch.run(&mut network, &mut engine);
    let found = by_name(&network, &gradient);
    let tensor = |values: Vec<f64>, shape: &[usize]| Tensor::from_vec(values, shape, &Device::Cpu);
    let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
    let samples = tensor(wide(&batch.samples), &[4, 2, 8, 8]).unwrap();
    let labels = Tensor::from_vec(batch.labels.clone(), 4, &Device::Cpu).unwrap();
    let at = |moved: usize, by: f64, way: &[f64]| -> f64 {
        let parameters = network.parameters.iter().enumerate().map(|(i, p)| {
            let mut values = wide(&network.dense(i));
            if i == moved {
                values.iter_mut().zip(way).for_each(|(value, way)| *value += by * way);
            }
            (p.name.clone(), tensor(values, &p.shape).unwrap())
        });
        let none = Default::default();
        let graph = Reference::new(&description, &parameters.collect(), &none, &none).unwrap();
        let logits = graph.forward(&samples, Mode::Train).unwrap().logits;
        loss(&logits, &labels).unwrap().to_dtype(DType::F64).unwrap().to_scalar().unwrap()
    };
    let mut stream = Stream::new(1, "directions");
    for (index, parameter) in network.parameters.iter().enumerate() {
        let kept = parameter.mask.spread(&vec![1.0; parameter.mask.existing()]);
        let way: Vec<f64> = kept.iter().map(|kept| f64::from(*kept) * stream.normal()).collect();
        let step = 1e-5;
        let expected = (at(index, step, &way) - at(index, -step, &way)) / (2.0 * step);
        let own = &found[&parameter.name];
        let along: f64 = own.iter().zip(&way).map(|(g, way)| f64::from(*g) * way).sum();
        let size = own.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        let off = (along - expected).abs();
        assert!(off < 1e-3 * size + 1e-6, "{}: {along}, not {expected}", parameter.name);
    }
}

#[test]
fn threads_and_pieces_of_the_plan_change_no_byte() {
    let description = described(&reference_text());
    let bytes = |threads: usize, plan: fn(&Network, usize, Mode) -> Plan| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut network = Network::new(description.clone(), 3);
            thin(&mut network, 5);
            let mut engine = Engine::of(plan(&network, 90, Mode::Train), Isa::best());
            Batch::made(&description, 90, 1).run(&mut network, &mut engine);
            let found = Batch::made(&description, 71, 2).run(&mut network, &mut engine);
            (found, network.digest())
        })
    };
    let one = bytes(1, Plan::new);
    assert!(one == bytes(2, Plan::new) && one == bytes(5, Plan::new), "threads");
    assert!(one == bytes(2, Plan::recomputing), "recomputation");
}

/// What learns in part has the gradients that it has where all learns.
#[test]
fn parts_of_a_transformer_have_the_gradients_of_the_whole() {
    let description = described(&reference_text());
    let mut network = Network::new(description.clone(), 3);
    let batch = Batch::made(&description, 20, 1);
    let nodes = description.nodes.len();
    let mut gradient = |trained: &[bool]| {
        let plan = Plan::partial(&network, 20, Mode::Train, false, trained);
        let before = plan.untrained();
        let mut engine = Engine::of(plan, Isa::best());
        let fill = |i: usize, out: &mut [f32]| {
            let len = out.len();
            out.copy_from_slice(&batch.samples[i * len..][..len]);
        };
        engine.load(&network, 20, fill);
        engine.forward(&mut network);
        let mut gradient = vec![0.0; network.values.len() - before];
        engine.backward(&network, &batch.labels, &mut gradient);
        (before, gradient)
    };
    let (_, whole) = gradient(&vec![true; nodes]);
    let parameters = network_parameters(&description);
    for first in [1, 2, 3, 5, 9, 14, 20, nodes - 1] {
        let trained: Vec<bool> = (0..nodes).map(|node| node >= first).collect();
        let (before, part) = gradient(&trained);
        for (node, range) in &parameters {
            if trained[*node] {
                let own = &part[range.start - before..range.end - before];
                assert_eq!(own, &whole[range.clone()], "from node {first}: node {node}");
            }
        }
    }
    let last = Trained::Last(2).nodes(&description);
    assert!(last[nodes - 1] && !last[0]);
}

fn network_parameters(description: &Arc<Description>) -> Vec<(usize, std::ops::Range<usize>)> {
    let network = Network::new(description.clone(), 1);
    network.parameters.iter().map(|p| (p.node, p.range.clone())).collect()
}

/// A vision transformer small enough for tests: 16 tokens of 32 features, two blocks, two heads.
fn small() -> Arc<Description> {
    let mut text = input("[1, 16, 16]")
        + &op("patches", "conv", "filters = 32; kernel = 4; stride = 4; bias = true")
        + &op("positions", "position", "");
    let mut source = "positions".to_owned();
    for block in ["a", "b"] {
        let name = |part: &str| format!("{block}.{part}");
        let sum = |part: &str, other: &str| format!("from = [\"{block}.{part}\", \"{other}\"]");
        text += &op(&name("norm1"), "layer-norm", &format!("from = \"{source}\""));
        text += &op(&name("qkv"), "conv", "filters = 96; kernel = 1; bias = true");
        text += &op(&name("attention"), "attention", "heads = 2");
        text += &op(&name("projection"), "conv", "filters = 32; kernel = 1; bias = true");
        text += &op(&name("add1"), "add", &sum("projection", &source));
        text += &op(&name("norm2"), "layer-norm", "");
        text += &op(&name("mlp1"), "conv", "filters = 64; kernel = 1; bias = true");
        text += &op(&name("gelu"), "gelu", "");
        text += &op(&name("mlp2"), "conv", "filters = 32; kernel = 1; bias = true");
        text += &op(&name("add2"), "add", &sum("mlp2", &name("add1")));
        source = name("add2");
    }
    text += &op("norm", "layer-norm", "");
    text += &op("pool", "global-avg-pool", "");
    text += &op("fc", "linear", "outputs = \"classes\"");
    Arc::new(Description::parse(&text, "small.toml", 10).unwrap())
}

/// Share of `data` that is answered rightly.
fn right(network: &Network, data: &Dataset) -> f64 {
    let all: Vec<usize> = (0..data.len()).collect();
    let scores = score(network, data, &all, Isa::best()).unwrap();
    let best = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    let hits = scores.chunks_exact(10).zip(&data.labels).filter(|(p, l)| best(p) == **l as usize);
    hits.count() as f64 / data.len() as f64
}

#[test]
fn a_small_vision_transformer_learns_is_pruned_and_forgets() {
    let population =
        Population { subjects: 8, train_samples: 6, test_samples: 2, ..Population::default() };
    let data = population.base();
    let mut state = State::new(Network::new(small(), 1));
    let recipe = Recipe { epochs: 30, batch: 32, rate: 0.05, decay: 1e-4, ..Recipe::default() };
    run(&mut state, &data.train, &recipe, None, Isa::best(), &mut Quiet).unwrap();
    let dense = right(&state.network, &data.test);
    assert!(dense > 0.5, "of ten classes {dense} right");

    let mut network = state.network;
    let kept = masks(&network, 0.8, Allocation::Global, Criterion::Magnitude, 1).unwrap();
    network.set_masks(kept);
    assert!((network.sparsity() - 0.8).abs() < 1e-3);
    let dense_weights = |p: &unlearn::model::Parameter| p.kind != ParamKind::Weight || !p.prunable;
    assert!(network.parameters.iter().all(|p| !dense_weights(p) || p.mask.positions().is_none()));
    let mut state = State::new(network);
    let tuning = Recipe { epochs: 15, rate: 0.02, ..recipe };
    run(&mut state, &data.train, &tuning, None, Isa::best(), &mut Quiet).unwrap();
    let sparse = right(&state.network, &data.test);
    assert!(sparse > 0.4, "at 80 % sparsity {sparse} right");

    let sets = Sets::new(&Scenario::parse("class=3").unwrap(), &data, 1).unwrap();
    let retain = data.train.subset(&sets.retain);
    let forgotten = data.train.subset(&sets.forget);
    let before = right(&state.network, &forgotten);
    let tuning = FineTune { epochs: 8, batch: 32, rate: 0.02, ..FineTune::default() };
    let method = Method::L1Sparse(L1Sparse { tuning, alpha: 1e-4, ..L1Sparse::default() });
    let given = Given::only(&retain);
    let augment = Augment::default();
    let outcome =
        forget(&method, &state.network, given, augment, 1, Isa::best(), &mut Quiet).unwrap();
    let after = right(&outcome.network, &forgotten);
    assert!(before > 0.7 && after < before / 2.0, "of class 3 {before}, then {after} right");
    assert!(right(&outcome.network, &retain) > 0.7);
    let within = |inner: &Mask, outer: &Mask| {
        let outer: Vec<usize> = outer.iter().collect();
        inner.iter().all(|position| outer.binary_search(&position).is_ok())
    };
    for (after, before) in outcome.network.parameters.iter().zip(&state.network.parameters) {
        assert!(within(&after.mask, &before.mask), "{} came back", after.name);
    }
}

#[test]
fn the_plan_counts_what_attention_takes_besides_the_arena() {
    let network = Network::new(small(), 1);
    let plan = Plan::new(&network, 32, Mode::Train);
    // Eight arrays of 16 tokens by 16 channels, and two of a tile of four queries by 16 keys.
    let thread = 64 * (8 * 16 * 16 + 2 * 4 * 16);
    assert!(plan.index_bytes() >= thread * rayon::current_num_threads() as u64);
    let macs: u64 = network.description.macs().iter().sum();
    // Of each block queries with keys and probabilities with values: 32 features, 16 by 16 pairs.
    let layers = 16 * (16 * 32 + 2 * (32 * 96 + 32 * 32 + 2 * 32 * 64)) + 320;
    assert_eq!(macs, layers + 2 * (2 * 32 * 16 * 16));
    assert_eq!(network.macs(), [macs, macs]);
}
