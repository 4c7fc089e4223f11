//! One sample alone gives what it gives in a batch, for every network that is compiled in, whatever
//! share of the weights exists; and the same bytes for any number of threads.

use std::sync::Arc;

use unlearn::base::rng::Stream;
use unlearn::model::{
    Description, Engine, Mode, Network, ParamKind, Predictor, builtin, builtin_names,
};
use unlearn::sparse::{Isa, Mask};

/// Of the largest logit: the two paths sum in different orders, and one folds batch norms.
const TOLERANCE: f32 = 1e-4;

fn described(name: &str) -> Arc<Description> {
    // Those for large pictures take seconds each: smaller ones go through the same layers.
    let text = builtin(name).unwrap().replace("[3, 224, 224]", "[3, 64, 64]");
    Arc::new(Description::parse(&text, name, 10).unwrap())
}

/// A network of `density`, whose norms are not those of a fresh one.
fn made(description: &Arc<Description>, density: f64) -> Network {
    let mut network = Network::new(description.clone(), 3);
    let mut stream = Stream::new(5, "predictor");
    let masks = network.parameters.iter().map(|p| {
        let all = p.kind != ParamKind::Weight || !p.prunable || density == 1.0;
        if all { p.mask.clone() } else { Mask::from_fn(p.mask.len(), |_| stream.unit() < density) }
    });
    let masks = masks.collect();
    network.set_masks(masks);
    for p in network.parameters.clone() {
        if p.kind == ParamKind::Weight && density < 1.0 {
            // Sums over fewer terms: what remains is made larger, so that activations do not vanish.
            let gain = (1.0 / density.max(0.01)).sqrt() as f32;
            network.values[p.range].iter_mut().for_each(|v| *v *= gain);
        } else if p.kind != ParamKind::Weight {
            network.values[p.range].iter_mut().for_each(|v| *v += 0.2 * stream.normal() as f32);
        }
    }
    for buffer in &mut network.buffers {
        let variance = buffer.name.ends_with("running_var");
        for value in &mut buffer.values {
            *value +=
                if variance { 0.5 * stream.unit() as f32 } else { 0.1 * stream.normal() as f32 };
        }
    }
    network
}

fn sample(description: &Description) -> Vec<f32> {
    let mut stream = Stream::new(7, "sample");
    (0..description.input_shape().iter().product()).map(|_| stream.unit() as f32).collect()
}

/// Holds the path of one sample against the engine.
fn compare(description: &Arc<Description>, density: f64, isa: Isa) {
    let mut network = made(description, density);
    let sample = sample(description);
    let mut engine = Engine::new(&network, 1, Mode::Evaluate, isa);
    engine.load(&network, 1, |_, out| out.copy_from_slice(&sample));
    engine.forward(&mut network);
    let (expected, mut shares) = (engine.logits(), Vec::new());
    engine.probabilities(&mut shares);
    let mut predictor = Predictor::new(&network, isa);
    let largest = expected.iter().fold(0.0f32, |most, logit| most.max(logit.abs()));
    let name = &description.name;
    assert!(largest.is_finite() && largest > 0.0, "{name}: logits of no use, {largest}");
    // Twice: what the first prediction left behind must not reach the second.
    for _ in 0..2 {
        let logits = predictor.logits(|out| out.copy_from_slice(&sample));
        assert_eq!(logits.len(), expected.len());
        for (i, (logit, expected)) in logits.iter().zip(&expected).enumerate() {
            let off = (logit - expected).abs() / largest;
            assert!(
                off <= TOLERANCE,
                "{name}, density {density}, {isa:?}, logit {i}: {logit}, expected {expected}"
            );
        }
        let predicted = predictor.predict(|out| out.copy_from_slice(&sample));
        for (p, expected) in predicted.iter().zip(&shares) {
            assert!((p - expected).abs() <= TOLERANCE * largest.max(1.0), "{p} for {expected}");
        }
    }
}

#[test]
fn the_smallest_network_with_every_operation_gives_the_engines_logits() {
    let text = include_str!("reference/tiny.toml");
    let description = Arc::new(Description::parse(text, "tiny.toml", 5).unwrap());
    for density in [1.0, 0.3, 0.05, 0.0] {
        for isa in Isa::available() {
            compare(&description, density, isa);
        }
    }
}

#[test]
fn every_network_that_is_compiled_in_gives_the_engines_logits() {
    // Swin-T takes no smaller picture, and goes through the engine itself.
    for name in builtin_names().filter(|name| *name != "swin-t") {
        let description = described(name);
        let large = name.ends_with("-imagenet") || ["resnet50", "vit-tiny"].contains(&name);
        let isas = Isa::available();
        for &density in if large { &[0.05][..] } else { &[1.0, 0.3, 0.05, 0.0][..] } {
            for isa in if large { &isas[..1] } else { &isas[..] } {
                compare(&description, density, *isa);
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    for name in ["resnet18", "resnet20", "kws-dscnn", "vgg16-bn"] {
        let description = described(name);
        let (network, sample) = (made(&description, 0.1), sample(&description));
        let bytes = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut predictor = Predictor::new(&network, Isa::best());
                let logits = predictor.logits(|out| out.copy_from_slice(&sample));
                logits.iter().map(|logit| logit.to_bits()).collect::<Vec<_>>()
            })
        };
        let one = bytes(1);
        for threads in [2, 5] {
            assert_eq!(bytes(threads), one, "{name}, {threads} threads");
        }
    }
}
