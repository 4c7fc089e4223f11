//! candle's own masked dense step: the reference of this crate, timed.
//!
//! `cargo bench --bench candle_step -- --model resnet18 --batch 16 --sparsity 0.95` prints one line of
//! JSON; `benches/peers/step.py --candle` reads it. The step is forward and backward through candle's
//! autograd, and SGD with momentum 0.9, weight decay 5e-4 and the l1 subgradient on dense tensors, which
//! candle-nn does not have. The new weights are computed and not put back, which is in its favour.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use unlearn::base::clock::Stopwatch;
use unlearn::base::rng::Stream;
use unlearn::model::{Description, Mode, Network, Reference, builtin};
use unlearn::prune::{Allocation, Criterion, masks};

/// What the words of the command line say.
struct Asked {
    model: String,
    batch: usize,
    classes: usize,
    sparsity: f64,
    repetitions: usize,
}

impl Asked {
    fn of(words: &[String]) -> Result<Self, Box<dyn Error>> {
        let mut asked = Self {
            model: "resnet20".into(),
            batch: 16,
            classes: 10,
            sparsity: 0.0,
            repetitions: 3,
        };
        // `cargo bench` says of its own accord that this is one.
        let words: Vec<&String> = words.iter().filter(|word| *word != "--bench").collect();
        for pair in words.chunks(2) {
            let [key, value] = pair else {
                return Err(format!("`{}` has no value", pair[0]).into());
            };
            match key.as_str() {
                "--model" => asked.model = value.to_string(),
                "--batch" => asked.batch = value.parse()?,
                "--classes" => asked.classes = value.parse()?,
                "--sparsity" => asked.sparsity = value.parse()?,
                "--repetitions" => asked.repetitions = value.parse()?,
                _ => return Err(format!("`{key}` is not known").into()),
            }
        }
        match asked.batch > 0 && asked.repetitions > 0 {
            true => Ok(asked),
            false => Err("--batch and --repetitions are 1 or more".into()),
        }
    }
}

/// The network's tensors as candle's: parameters, buffers, masks.
type Tensors = BTreeMap<String, Tensor>;

fn tensors(network: &Network) -> Result<[Tensors; 3], Box<dyn Error>> {
    let mut all = [Tensors::new(), Tensors::new(), Tensors::new()];
    for (index, parameter) in network.parameters.iter().enumerate() {
        let shape = &parameter.shape[..];
        let dense = Tensor::from_vec(network.dense(index), shape, &Device::Cpu)?;
        all[0].insert(parameter.name.clone(), dense);
        if parameter.prunable {
            let ones = vec![1.0f32; parameter.mask.existing()];
            let mask = Tensor::from_vec(parameter.mask.spread(&ones), shape, &Device::Cpu)?;
            all[2].insert(parameter.name.clone(), mask);
        }
    }
    for buffer in &network.buffers {
        let len = buffer.values.len();
        let values = Tensor::from_vec(buffer.values.clone(), len, &Device::Cpu)?;
        all[1].insert(buffer.name.clone(), values);
    }
    Ok(all)
}

/// One step; returns the momentum after it.
fn step(
    reference: &Reference<'_>,
    momentum: &Tensors,
    samples: &Tensor,
    labels: &Tensor,
) -> Result<Tensors, Box<dyn Error>> {
    let gradients = reference.gradients(samples, labels, Mode::Train)?;
    let mut after = Tensors::new();
    for (name, gradient) in &gradients.by_name {
        let Some(weight) = reference.parameter(name) else { continue };
        let weight = weight.detach();
        let pulled = ((gradient + (&weight * 5e-4)?)? + (weight.sign()? * 1e-4)?)?;
        let moved = ((&momentum[name] * 0.9)? + pulled)?;
        std::hint::black_box((&weight - (&moved * 0.01)?)?);
        after.insert(name.clone(), moved);
    }
    Ok(after)
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let asked = Asked::of(&words)?;
    let text = builtin(&asked.model).ok_or_else(|| format!("no model `{}`", asked.model))?;
    let description = Arc::new(Description::parse(text, &asked.model, asked.classes)?);
    let mut network = Network::new(description.clone(), 1);
    if asked.sparsity > 0.0 {
        let kept = masks(&network, asked.sparsity, Allocation::Uniform, Criterion::Random, 1)?;
        network.set_masks(kept);
    }
    let [parameters, buffers, masks] = tensors(&network)?;
    let reference = Reference::new(&description, &parameters, &buffers, &masks)?;
    let mut stream = Stream::new(1, "bench/samples");
    let [channels, height, width] = description.input_shape();
    let values = (0..asked.batch * channels * height * width).map(|_| stream.unit() as f32);
    let shape = (asked.batch, channels, height, width);
    let samples = Tensor::from_vec(values.collect::<Vec<_>>(), shape, &Device::Cpu)?;
    let labels = (0..asked.batch).map(|i| (i % asked.classes) as u32).collect::<Vec<_>>();
    let labels = Tensor::from_vec(labels, asked.batch, &Device::Cpu)?;
    let mut momentum = Tensors::new();
    for (name, weight) in &parameters {
        momentum.insert(name.clone(), weight.zeros_like()?);
    }
    let mut seconds = Vec::new();
    for repetition in 0..=asked.repetitions {
        let watch = Stopwatch::start();
        momentum = step(&reference, &momentum, &samples, &labels)?;
        // The first one pays for pages that the others find.
        if repetition > 0 {
            seconds.push(watch.seconds());
        }
    }
    seconds.sort_by(f64::total_cmp);
    println!(
        "{{\"model\": \"{}\", \"batch\": {}, \"sparsity\": {}, \"repetitions\": {}, \"step_seconds\": {}}}",
        asked.model,
        asked.batch,
        network.sparsity(),
        asked.repetitions,
        seconds[seconds.len() / 2]
    );
    Ok(())
}
