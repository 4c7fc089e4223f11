//! The engine computes what PyTorch computes, and what candle's autograd computes over the same
//! network with its masks as zeros: forward, every gradient, running statistics, optimiser steps.
//! And it computes the same bytes for any number of threads.

#[path = "common/against.rs"]
mod against;
#[path = "common/pytorch.rs"]
mod pytorch;

use std::sync::Arc;

use against::{Batch, by_name, compare, compare_within, thin, values};
use candle_core::DType;
use pytorch::{DECAY, GAMMA, MOMENTUM, RATE, STEPS, Tiny, assert_gradients, assert_near, largest};
use unlearn::model::{Description, Engine, Mode, Network, Plan, builtin};
use unlearn::sparse::{Blocked, ConvPlan, ConvShape, Isa, L1, Mask, Step, update};

/// Tiny's network with PyTorch's weights, statistics and masks.
fn tiny_network(tiny: &Tiny) -> Network {
    let mut network = Network::new(Arc::new(tiny.network.clone()), 1);
    for (name, buffer) in tiny.group("buffer/") {
        network.buffers.iter_mut().find(|b| b.name == name).unwrap().values = values(&buffer);
    }
    let masks = tiny.group("mask/");
    let mask = |p: &unlearn::model::Parameter| match masks.get(&p.name) {
        Some(mask) => {
            let kept = values(mask);
            Mask::from_fn(kept.len(), |i| kept[i] != 0.0)
        }
        None => p.mask.clone(),
    };
    let all = network.parameters.iter().map(mask).collect();
    network.set_masks(all);
    for p in network.parameters.clone() {
        let dense = tiny.values(&format!("param/{}", p.name));
        network.values[p.range.clone()].copy_from_slice(&p.mask.pack(&dense));
    }
    network
}

fn tiny_batch(tiny: &Tiny, step: usize) -> Batch {
    let (samples, labels) = tiny.batch(step);
    let labels = labels.to_dtype(DType::U32).unwrap().to_vec1().unwrap();
    Batch { samples: values(&samples), labels }
}

#[test]
fn the_engine_gives_pytorchs_logits_loss_gradients_and_statistics() {
    let tiny = Tiny::load();
    for isa in Isa::available() {
        let mut network = tiny_network(&tiny);
        let batch = tiny_batch(&tiny, 0);
        let mut engine = Engine::new(&network, 7, Mode::Train, isa);
        let (logits, loss, gradient) = batch.run(&mut network, &mut engine);
        assert_near("logits", &logits, &tiny.values("train/logits"), 1e-5);
        assert_near("loss", &[loss as f32], &tiny.values("train/loss"), 1e-6);
        assert_gradients(&tiny, &by_name(&network, &gradient), 1e-4);
        for buffer in &network.buffers {
            let expected = tiny.values(&format!("train/buffer/{}", buffer.name));
            assert_near(&buffer.name, &buffer.values, &expected, 1e-6 * largest(&expected));
        }

        let mut network = tiny_network(&tiny);
        let mut engine = Engine::new(&network, 5, Mode::Evaluate, isa);
        let len: usize = tiny.network.nodes[0].shape.iter().product();
        engine.load(&network, 5, |i, out| out.copy_from_slice(&batch.samples[i * len..][..len]));
        engine.forward(&mut network);
        assert_near("eval logits", &engine.logits(), &tiny.values("eval/logits"), 1e-5);
    }
}

#[test]
fn three_steps_with_momentum_decay_and_l1_end_where_pytorch_ends() {
    let tiny = Tiny::load();
    let mut network = tiny_network(&tiny);
    let mut engine = Engine::new(&network, 5, Mode::Train, Isa::best());
    let mut momentum = vec![0.0; network.values.len()];
    for step in 0..STEPS {
        let (_, _, gradient) = tiny_batch(&tiny, step).run(&mut network, &mut engine);
        let step = Step {
            rate: RATE as f32,
            momentum: MOMENTUM as f32,
            decay: DECAY as f32,
            l1: L1::Subgradient { gamma: GAMMA as f32 },
        };
        update(Isa::best(), step, &mut network.values, &mut momentum, &gradient);
    }
    for (index, parameter) in network.parameters.iter().enumerate() {
        let expected = tiny.values(&format!("after/param/{}", parameter.name));
        let expected = parameter.mask.spread(&parameter.mask.pack(&expected));
        assert_near(&parameter.name, &network.dense(index), &expected, 2e-5 * largest(&expected));
    }
}

fn described(name: &str, classes: usize) -> Arc<Description> {
    Arc::new(Description::parse(builtin(name).unwrap(), name, classes).unwrap())
}

#[test]
fn whole_networks_agree_with_candles_autograd() {
    for (name, samples) in [
        ("mlp", 19),
        ("cnn28", 18),
        ("cnn16", 33),
        ("resnet20", 3),
        ("har-cnn", 18),
        ("kws-cnn", 5),
        ("intent-mlp", 19),
    ] {
        for dense in [true, false] {
            compare(&described(name, 10), samples, dense, Mode::Train, Isa::best());
        }
    }
    compare(&described("cnn16", 7), 5, false, Mode::Frozen, Isa::best());
}

#[test]
fn large_networks_agree_with_candles_autograd() {
    // Their last planes are so small that few samples make no statistics: they are compared frozen.
    for (name, samples) in [("resnet18", 2), ("vgg16-bn", 2), ("vgg16-bn-lth", 1)] {
        compare(&described(name, 10), samples, false, Mode::Frozen, Isa::best());
    }
}

#[test]
fn networks_agree_with_candles_autograd_on_smaller_samples_than_theirs() {
    let (cifar, imagenet) = (("[3, 32, 32]", "[3, 16, 16]"), ("[3, 224, 224]", "[3, 40, 40]"));
    let spectrogram = ("[1, 40, 64]", "[1, 16, 12]");
    // Among so many rectifiers one is so near 0 that it opens in f32 and not in f64: its gradient is
    // all there or not at all. A kernel that is wrong is off by the whole.
    let share = 2e-2;
    for (name, (theirs, smaller), samples, mode) in [
        ("kws-dscnn", spectrogram, 5, Mode::Train),
        ("resnet44", cifar, 2, Mode::Frozen),
        ("resnet50", cifar, 2, Mode::Frozen),
        ("resnet56", cifar, 2, Mode::Frozen),
        ("resnet18-imagenet", imagenet, 1, Mode::Frozen),
        ("resnet50-imagenet", imagenet, 1, Mode::Frozen),
        ("vgg16-bn-imagenet", imagenet, 1, Mode::Frozen),
    ] {
        let text = builtin(name).unwrap().replace(theirs, smaller);
        assert!(text.contains(smaller), "{name} has no shape {theirs}");
        let description = Arc::new(Description::parse(&text, name, 10).unwrap());
        compare_within(&description, samples, false, mode, Isa::best(), share);
    }
}

#[test]
fn every_instruction_set_agrees_with_candles_autograd() {
    let tiny = Arc::new(Tiny::load().network);
    for isa in Isa::available() {
        for samples in [2, 16, 17, 40] {
            compare(&tiny, samples, true, Mode::Train, isa);
            compare(&tiny, samples, false, Mode::Train, isa);
            compare(&tiny, samples, false, Mode::Frozen, isa);
        }
    }
}

/// A network of one layer between a flattening head and the sample.
fn layer(height: usize, width: usize, conv: &str) -> Arc<Description> {
    let text = format!(
        "name = \"layer\"\nsummary = \"one layer\"\n[input]\nshape = [4, {height}, {width}]\n\
         mean = [0.5, 0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25, 0.25]\n\
         [[op]]\nname = \"first\"\nkind = \"conv\"\nfilters = 8\nkernel = 1\n\
         [[op]]\nname = \"layer\"\nkind = \"conv\"\n{conv}\n\
         [[op]]\nname = \"relu\"\nkind = \"relu\"\n\
         [[op]]\nname = \"fc\"\nkind = \"linear\"\noutputs = \"classes\"\nprunable = true\n"
    );
    Arc::new(Description::parse(&text, "layer.toml", 5).unwrap())
}

#[test]
fn convolutions_of_every_shape_agree_with_candles_autograd() {
    let shapes = [
        "filters = 12\nkernel = 3\npadding = 1",
        "filters = 12\nkernel = 3\nstride = 2\npadding = 1",
        "filters = 5\nkernel = 1\nstride = 2",
        "filters = 9\nkernel = 5\npadding = 2\nbias = true",
        "filters = 4\nkernel = 7\nstride = 2\npadding = 3",
        "filters = 8\nkernel = 3\npadding = 1\ngroups = 8",
        "filters = 12\nkernel = 3\nstride = 2\npadding = 1\ngroups = 4\nbias = true",
        "filters = 6\nkernel = [1, 5]\npadding = [0, 2]",
        "filters = 7\nkernel = 2\nstride = 3",
        "filters = 7\nkernel = 3",
        "filters = 6\nkernel = 3\nstride = [2, 1]\npadding = [0, 2]",
        "filters = 6\nkernel = [2, 5]\nstride = [1, 3]\npadding = [1, 2]\nbias = true",
        // A step longer than the input is never taken.
        "filters = 6\nkernel = 2\nstride = [1000, 30]",
    ];
    for conv in shapes {
        for (height, width) in [(9, 8), (7, 13)] {
            for dense in [true, false] {
                compare(&layer(height, width, conv), 6, dense, Mode::Train, Isa::best());
            }
        }
    }
}

#[test]
fn sequences_are_images_of_height_one() {
    let shapes = [
        "filters = 12\nkernel = [1, 5]\npadding = [0, 2]",
        "filters = 12\nkernel = [1, 5]\nstride = 2\npadding = [0, 2]",
        "filters = 12\nkernel = [1, 8]\nstride = [1, 4]\npadding = [0, 3]\ngroups = 4",
        "filters = 8\nkernel = [1, 3]\nstride = 2\npadding = [0, 1]\ngroups = 8",
    ];
    for conv in shapes {
        for dense in [true, false] {
            compare(&layer(1, 31, conv), 18, dense, Mode::Train, Isa::best());
        }
    }
}

#[test]
fn pools_of_every_shape_agree_with_candles_autograd() {
    let pools = [
        "max-pool\"\nkernel = 2",
        "max-pool\"\nkernel = 3\nstride = 2\npadding = 1",
        "max-pool\"\nkernel = [1, 4]\nstride = [2, 1]\npadding = [0, 2]",
        "max-pool\"\nkernel = 5\nstride = 3\npadding = [2, 0]",
        "max-pool\"\nkernel = 2\nstride = 40\npadding = 1",
        "avg-pool\"\nkernel = 2",
        "avg-pool\"\nkernel = [3, 4]\nstride = [1, 2]",
        "avg-pool\"\nkernel = 2\nstride = 40",
    ];
    for pool in pools {
        // Read twice: the second gradient is added to the first.
        let text = format!(
            "name = \"pool\"\nsummary = \"a pool\"\n[input]\nshape = [4, 9, 8]\n\
             mean = [0.5, 0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25, 0.25]\n\
             [[op]]\nname = \"first\"\nkind = \"conv\"\nfilters = 8\nkernel = 3\npadding = 1\n\
             [[op]]\nname = \"one\"\nkind = \"{pool}\n\
             [[op]]\nname = \"flat\"\nkind = \"linear\"\noutputs = \"classes\"\n\
             [[op]]\nname = \"two\"\nkind = \"{pool}\nfrom = \"first\"\n\
             [[op]]\nname = \"other\"\nkind = \"linear\"\noutputs = \"classes\"\n\
             [[op]]\nname = \"sum\"\nkind = \"add\"\nfrom = [\"flat\", \"other\"]\n"
        );
        let description = Arc::new(Description::parse(&text, "pool.toml", 5).unwrap());
        compare(&description, 18, true, Mode::Train, Isa::best());
    }
}

/// A batch norm that reads the sample beside a convolution: the sample's gradient has two writers,
/// and the one that runs last must still find its place.
#[test]
fn a_batch_norm_on_the_sample_agrees_with_candles_autograd() {
    let text = "name = \"twice\"\nsummary = \"two readers of the sample\"\n\
         [input]\nshape = [3, 8, 8]\nmean = [0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25]\n\
         [[op]]\nname = \"a\"\nkind = \"conv\"\nfilters = 3\nkernel = 3\npadding = 1\n\
         [[op]]\nname = \"r\"\nkind = \"conv\"\nfilters = 3\nkernel = 3\npadding = 1\n\
         [[op]]\nname = \"b\"\nkind = \"batch-norm\"\nfrom = \"input\"\n\
         [[op]]\nname = \"sum\"\nkind = \"add\"\nfrom = [\"r\", \"b\"]\n\
         [[op]]\nname = \"fc\"\nkind = \"linear\"\noutputs = \"classes\"\n";
    let twice = Arc::new(Description::parse(text, "twice.toml", 5).unwrap());
    compare(&twice, 6, true, Mode::Train, Isa::best());
    compare(&twice, 18, false, Mode::Frozen, Isa::best());
}

/// Additions with a batch norm above or below the other input, with two, with one that reads the
/// other input, behind rectifiers and bare; and addends that others read before and after.
#[test]
fn additions_of_batch_norms_agree_with_candles_autograd() {
    let op = |name: &str, kind: &str, from: &str| {
        let (kind, more) = match kind {
            "conv" => ("conv", "filters = 4\nkernel = 3\npadding = 1\n"),
            "fc" => ("linear", "outputs = \"classes\"\n"),
            kind => (kind, ""),
        };
        let from = from.replace(' ', "\", \"");
        format!("[[op]]\nname = \"{name}\"\nkind = \"{kind}\"\nfrom = [\"{from}\"]\n{more}")
    };
    let ops = [
        ("c1", "conv", "input"),
        ("n1", "batch-norm", "c1"),
        ("s1", "add", "n1 c1"),
        ("r1", "relu", "s1"),
        ("c2", "conv", "r1"),
        ("n2", "batch-norm", "c2"),
        ("c3", "conv", "r1"),
        ("s2", "add", "n2 c3"),
        ("r2", "relu", "s2"),
        ("c4", "conv", "r2"),
        ("n4", "batch-norm", "c4"),
        ("s3", "add", "n4 r2"),
        ("c5", "conv", "r2"),
        ("n5", "batch-norm", "c5"),
        ("n6", "batch-norm", "s3"),
        ("s4", "add", "n5 n6"),
        ("r4", "relu", "s4"),
        ("n7", "batch-norm", "r4"),
        ("r7", "relu", "n7"),
        ("n8", "batch-norm", "r7"),
        ("s5", "add", "r7 n8"),
        ("r5", "relu", "r7"),
        ("s6", "add", "s5 r5"),
        ("fc", "fc", "s6"),
    ];
    let text = "name = \"sums\"\nsummary = \"sums\"\n[input]\nshape = [3, 6, 5]\n\
         mean = [0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25]\n";
    let ops: String = ops.iter().map(|(name, kind, from)| op(name, kind, from)).collect();
    let sums = Arc::new(Description::parse(&format!("{text}{ops}"), "sums.toml", 5).unwrap());
    for isa in Isa::available() {
        compare(&sums, 18, true, Mode::Train, isa);
        compare(&sums, 33, false, Mode::Frozen, isa);
    }
    assert_recomputed(&sums);
}

/// Holds a recomputing engine against one that keeps all: the same bytes. Returns the largest share
/// of its arena that it takes.
fn assert_recomputed(description: &Arc<Description>) -> f64 {
    let mut largest = 0.0f64;
    for mode in [Mode::Train, Mode::Frozen] {
        let run = |plan: fn(&Network, usize, Mode) -> Plan| {
            let mut network = Network::new(description.clone(), 3);
            thin(&mut network, 5);
            let plan = plan(&network, 40, mode);
            let bytes = plan.arena_bytes();
            let mut engine = Engine::of(plan, Isa::best());
            Batch::made(description, 40, 1).run(&mut network, &mut engine);
            let found = Batch::made(description, 37, 2).run(&mut network, &mut engine);
            (bytes, found, network.digest())
        };
        let (kept, again) = (run(Plan::new), run(Plan::recomputing));
        let name = &description.name;
        assert!((kept.1, kept.2) == (again.1, again.2), "{name}, {mode:?}: other bytes");
        largest = largest.max(again.0 as f64 / kept.0 as f64);
    }
    largest
}

#[test]
fn recomputation_changes_no_byte_and_takes_less_memory() {
    for name in ["cnn16", "resnet20", "kws-cnn", "kws-dscnn"] {
        let share = assert_recomputed(&described(name, 10));
        assert!(share < 0.9, "{name} takes {share} of the arena");
    }
}

/// Sizes whose product wraps would let a kernel read where nothing is.
#[test]
#[should_panic(expected = "a block exceeds 32 bits")]
fn a_geometry_too_large_for_its_offsets_is_refused() {
    let one = |width| Blocked { channels: 1, height: 1, width, halo: [0, 0] };
    let (kernel, padding) = ([1, 1], [0, 0]);
    let shape = ConvShape { filters: 1, kernel, stride: [1, 1 << 57], padding, groups: 1 };
    ConvPlan::new(shape, &Mask::full(1), one((1 << 60) + 1), one(9), one(9), None);
}

#[test]
fn one_and_two_threads_give_the_same_bytes() {
    for name in ["cnn16", "resnet20"] {
        let bytes = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let description = described(name, 10);
                let mut network = Network::new(description.clone(), 3);
                thin(&mut network, 5);
                let mut engine = Engine::new(&network, 40, Mode::Train, Isa::best());
                let batch = Batch::made(&description, 37, 2);
                let (logits, loss, gradient) = batch.run(&mut network, &mut engine);
                let mut momentum = vec![0.0; gradient.len()];
                let l1 = L1::Proximal { gamma: 1e-3 };
                let step = Step { rate: 0.1, momentum: 0.9, decay: 5e-4, l1 };
                update(Isa::best(), step, &mut network.values, &mut momentum, &gradient);
                (network.digest(), logits, loss, gradient)
            })
        };
        assert_eq!(bytes(1), bytes(2), "{name}");
        assert_eq!(bytes(1), bytes(5), "{name}");
    }
}

#[test]
fn an_engine_used_before_gives_the_bytes_of_a_fresh_one() {
    let description = described("resnet20", 10);
    let mut network = Network::new(description.clone(), 3);
    let mut used = Engine::new(&network, 20, Mode::Frozen, Isa::best());
    Batch::made(&description, 20, 1).run(&mut network, &mut used);
    let batch = Batch::made(&description, 9, 2);
    let again = batch.run(&mut network, &mut used);
    let mut fresh = Engine::new(&network, 20, Mode::Frozen, Isa::best());
    assert_eq!(again, batch.run(&mut network, &mut fresh));
}
