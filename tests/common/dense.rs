//! A small network twice: as the engine has it, and as a dense graph in f64 that says the truth slowly.

#![allow(dead_code)] // Each test takes in what it needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use unlearn::base::rng::Stream;
use unlearn::data::{Dataset, Values};
use unlearn::model::{Description, Mode, Network, ParamKind, Reference, loss};
use unlearn::sparse::Mask;

const TEXT: &str = r#"
    name = "small"
    summary = "two convolutions and a head, small enough to invert its Hessian"
    [input]
    shape = [2, 6, 5]
    mean = [0.5, 0.4]
    std = [0.25, 0.2]
    [[op]]
    name = "conv1"
    kind = "conv"
    filters = 4
    kernel = 3
    padding = 1
    bias = true
    [[op]]
    name = "bn1"
    kind = "batch-norm"
    [[op]]
    name = "relu1"
    kind = "relu"
    [[op]]
    name = "conv2"
    kind = "conv"
    filters = 6
    kernel = 3
    stride = 2
    padding = 1
    [[op]]
    name = "bn2"
    kind = "batch-norm"
    [[op]]
    name = "relu2"
    kind = "relu"
    [[op]]
    name = "gap"
    kind = "global-avg-pool"
    [[op]]
    name = "fc"
    kind = "linear"
    outputs = "classes"
"#;

/// Classes of the small network.
pub const CLASSES: usize = 3;

/// The small network with weights, statistics and, where `sparse`, masks by `seed`.
pub fn small(seed: u64, sparse: bool) -> Network {
    let description = Arc::new(Description::parse(TEXT, "small.toml", CLASSES).unwrap());
    let mut network = Network::new(description, seed);
    let mut stream = Stream::new(seed, "small");
    if sparse {
        let masks = network.parameters.iter().map(|p| match p.prunable {
            true => Mask::from_fn(p.mask.len(), |_| stream.unit() < 0.5),
            false => p.mask.clone(),
        });
        let masks = masks.collect();
        network.set_masks(masks);
    }
    // Fresh scales, shifts and statistics hide mistakes: they are all 1 and 0.
    for p in network.parameters.clone() {
        if matches!(p.kind, ParamKind::Scale | ParamKind::Shift) {
            network.values[p.range].iter_mut().for_each(|v| *v += 0.2 * stream.normal() as f32);
        }
    }
    for buffer in &mut network.buffers {
        buffer.values.iter_mut().for_each(|v| *v += 0.3 * stream.unit() as f32);
    }
    network
}

/// `samples` samples for a network, every class among them.
pub fn made(network: &Network, samples: usize, seed: u64) -> Dataset {
    let mut stream = Stream::new(seed, "samples");
    let shape = network.description.input_shape();
    let len: usize = shape.iter().product();
    let classes = network.description.classes;
    Dataset {
        shape,
        values: Values::Floats((0..samples * len).map(|_| stream.unit() as f32).collect()),
        labels: (0..samples).map(|i| (i % classes) as u32).collect(),
        classes: (0..classes).map(|class| format!("class {class}")).collect(),
        subjects: Vec::new(),
        subject_names: Vec::new(),
        groups: Vec::new(),
    }
}

/// The network as a graph in f64.
pub struct Dense<'a> {
    network: &'a Network,
    reference: Reference<'a>,
}

fn tensor(values: Vec<f64>, shape: &[usize]) -> Tensor {
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

impl<'a> Dense<'a> {
    pub fn of(network: &'a Network) -> Self {
        Self::at(network, &network.values.iter().map(|&v| v.into()).collect::<Vec<f64>>())
    }

    /// With other packed values.
    pub fn at(network: &'a Network, values: &[f64]) -> Self {
        let spread = |mask: &Mask, packed: &[f64]| {
            let mut dense = vec![0.0; mask.len()];
            mask.iter().zip(packed).for_each(|(p, &v)| dense[p] = v);
            dense
        };
        let parameters = network
            .parameters
            .iter()
            .map(|p| (p.name.clone(), tensor(spread(&p.mask, &values[p.range.clone()]), &p.shape)));
        let buffers = network.buffers.iter().map(|b| {
            let values = b.values.iter().map(|&v| v.into()).collect();
            (b.name.clone(), tensor(values, &[b.values.len()]))
        });
        let masks = network.parameters.iter().filter(|p| p.prunable).map(|p| {
            let ones = vec![1.0; p.mask.existing()];
            (p.name.clone(), tensor(spread(&p.mask, &ones), &p.shape))
        });
        let (parameters, buffers, masks) =
            (parameters.collect(), buffers.collect(), masks.collect::<BTreeMap<_, _>>());
        let reference =
            Reference::new(&network.description, &parameters, &buffers, &masks).unwrap();
        Self { network, reference }
    }

    fn batch(&self, data: &Dataset, indices: &[usize]) -> (Tensor, Tensor) {
        let [c, h, w] = data.shape;
        let mut values = vec![0.0f32; indices.len() * data.sample_len()];
        for (out, &index) in values.chunks_exact_mut(data.sample_len()).zip(indices) {
            data.read(index, out);
        }
        let labels: Vec<u32> = indices.iter().map(|&index| data.labels[index]).collect();
        let x = Tensor::from_vec(values, (indices.len(), c, h, w), &Device::Cpu).unwrap();
        let y = Tensor::from_vec(labels, indices.len(), &Device::Cpu).unwrap();
        (x.to_dtype(DType::F64).unwrap(), y)
    }

    /// The logits of samples, row-major.
    pub fn logits(&self, data: &Dataset, indices: &[usize], mode: Mode) -> Tensor {
        let (x, _) = self.batch(data, indices);
        self.reference.forward(&x, mode).unwrap().logits
    }

    /// The gradient of a scalar, in the order of the packed values.
    pub fn gradient_of(&self, scalar: &Tensor) -> Vec<f64> {
        let found = scalar.backward().unwrap();
        let mut packed = Vec::new();
        for p in &self.network.parameters {
            let parameter = self.reference.parameter(&p.name).unwrap();
            let dense: Vec<f64> = match found.get(parameter) {
                Some(gradient) => gradient.flatten_all().unwrap().to_vec1().unwrap(),
                None => vec![0.0; p.mask.len()],
            };
            packed.extend(p.mask.iter().map(|position| dense[position]));
        }
        packed
    }

    /// The gradient of the mean cross-entropy with `labels`, of logits divided by `temperature`.
    pub fn loss_gradient(
        &self,
        data: &Dataset,
        indices: &[usize],
        labels: Option<u32>,
        temperature: f64,
        mode: Mode,
    ) -> Vec<f64> {
        let (_, own) = self.batch(data, indices);
        let labels = labels.map_or(own, |label| {
            Tensor::from_vec(vec![label; indices.len()], indices.len(), &Device::Cpu).unwrap()
        });
        let logits = (self.logits(data, indices, mode) / temperature).unwrap();
        self.gradient_of(&loss(&logits, &labels).unwrap())
    }
}

/// The length of the difference as a share of the length of `expected`.
pub fn off(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let difference = found.iter().zip(expected).map(|(&f, e)| (f64::from(f) - e).powi(2));
    let (difference, length) =
        (difference.sum::<f64>(), expected.iter().map(|e| e * e).sum::<f64>());
    (difference / length).sqrt()
}
