//! Holds the engine against candle's autograd over the same network with its masks as zeros.

#![allow(dead_code)] // Each test takes in what it needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use unlearn::base::rng::Stream;
use unlearn::model::{Description, Engine, Mode, Network, ParamKind, Reference};
use unlearn::sparse::{Isa, Mask};

use crate::pytorch::{assert_near, largest};

pub fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// A batch with its labels.
pub struct Batch {
    pub samples: Vec<f32>,
    pub labels: Vec<u32>,
}

impl Batch {
    pub fn made(description: &Description, samples: usize, seed: u64) -> Self {
        let mut stream = Stream::new(seed, "batch");
        let len: usize = description.nodes[0].shape.iter().product();
        let labels = (0..samples).map(|_| stream.below(description.classes as u64) as u32);
        let labels = labels.collect();
        Self { samples: (0..samples * len).map(|_| stream.unit() as f32).collect(), labels }
    }

    pub fn run(&self, network: &mut Network, engine: &mut Engine) -> (Vec<f32>, f64, Vec<f32>) {
        let len = self.samples.len() / self.labels.len();
        let fill = |i: usize, out: &mut [f32]| out.copy_from_slice(&self.samples[i * len..][..len]);
        engine.load(network, self.labels.len(), fill);
        engine.forward(network);
        let logits = engine.logits();
        let mut gradient = vec![0.0; network.values.len()];
        let loss = engine.backward(network, &self.labels, &mut gradient);
        (logits, loss.sum / self.labels.len() as f64, gradient)
    }
}

/// The gradient by parameter name, dense.
pub fn by_name(network: &Network, gradient: &[f32]) -> BTreeMap<String, Vec<f32>> {
    let dense = |p: &unlearn::model::Parameter| p.mask.spread(&gradient[p.range.clone()]);
    network.parameters.iter().map(|p| (p.name.clone(), dense(p))).collect()
}

/// Gives `network` random masks of mixed densities: empty and full rows among them.
pub fn thin(network: &mut Network, seed: u64) {
    let mut stream = Stream::new(seed, "mask");
    let masks = network.parameters.iter().map(|p| {
        if p.kind != ParamKind::Weight || !p.prunable {
            return p.mask.clone();
        }
        let rows: Vec<f64> =
            (0..p.shape[0]).map(|_| [0.0, 0.05, 0.3, 1.0][stream.index(4)]).collect();
        let row = p.mask.len() / p.shape[0];
        Mask::from_fn(p.mask.len(), |i| stream.unit() < rows[i / row])
    });
    let masks = masks.collect();
    network.set_masks(masks);
    // Fresh scales and shifts hide mistakes: they are all 1 and 0.
    for p in network.parameters.clone() {
        if matches!(p.kind, ParamKind::Scale | ParamKind::Shift) {
            network.values[p.range].iter_mut().for_each(|v| *v += 0.3 * stream.normal() as f32);
        }
    }
}

/// Holds the engine against the candle graph on one network and batch.
pub fn compare(description: &Arc<Description>, samples: usize, dense: bool, mode: Mode, isa: Isa) {
    compare_within(description, samples, dense, mode, isa, 2e-3);
}

/// As [`compare`]; a gradient may be off by `share` of the largest of its tensor.
pub fn compare_within(
    description: &Arc<Description>,
    samples: usize,
    dense: bool,
    mode: Mode,
    isa: Isa,
    share: f32,
) {
    let mut network = Network::new(description.clone(), 3);
    if !dense {
        thin(&mut network, 5);
    }
    // The graph runs in f64: what it says is the truth, and what differs is the engine's rounding.
    let tensor = |v: Vec<f32>, shape: &[usize]| {
        Tensor::from_vec(v, shape, &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap()
    };
    let parameters = network.parameters.iter().enumerate();
    let parameters: BTreeMap<_, _> =
        parameters.map(|(i, p)| (p.name.clone(), tensor(network.dense(i), &p.shape))).collect();
    let buffers = network.buffers.iter();
    let buffers: BTreeMap<_, _> =
        buffers.map(|b| (b.name.clone(), tensor(b.values.clone(), &[b.values.len()]))).collect();
    let masks: BTreeMap<_, _> = network
        .parameters
        .iter()
        .filter(|p| p.prunable)
        .map(|p| {
            let kept = p.mask.spread(&vec![1.0; p.mask.existing()]);
            (p.name.clone(), tensor(kept, &p.shape))
        })
        .collect();
    let reference = Reference::new(description, &parameters, &buffers, &masks).unwrap();
    let batch = Batch::made(description, samples, 11);
    let [c, h, w] = description.nodes[0].shape;
    let x = tensor(batch.samples.clone(), &[samples, c, h, w]);
    let y = Tensor::from_vec(batch.labels.clone(), samples, &Device::Cpu).unwrap();
    let expected = reference.gradients(&x, &y, mode).unwrap();

    // A capacity above the batch: the last blocks of the arena stay out of use.
    let mut engine = Engine::new(&network, samples + 20, mode, isa);
    let (logits, loss, gradient) = batch.run(&mut network, &mut engine);
    let name = &description.name;
    let logits_expected = values(&expected.logits);
    let scale = largest(&logits_expected).max(1.0);
    assert_near(&format!("{name}: logits"), &logits, &logits_expected, 1e-4 * scale);
    let loss_expected = expected.loss.to_vec0::<f64>().unwrap();
    assert!((loss - loss_expected).abs() < 1e-4, "{name}: loss {loss} {loss_expected}");
    let found = by_name(&network, &gradient);
    // A bias before a batch norm has no gradient but rounding: it is held to a share of the others'.
    let all = expected.by_name.values().map(|g| largest(&values(g))).fold(0.0, f32::max);
    for (p, found) in &found {
        let expected = values(&expected.by_name[p]);
        let most = largest(&expected).max(all / 30.0);
        assert_near(&format!("{name}: {p}"), found, &expected, share * most);
    }
    for buffer in &network.buffers {
        let expected = values(&expected.buffers[&buffer.name]);
        let most = 1e-4 * largest(&expected).max(1e-3);
        assert_near(&buffer.name, &buffer.values, &expected, most);
    }
}
