//! The network that is measured: from a name and a sparsity, or from a trained file.

use std::path::Path;

use super::super::fault::Fault;
use super::super::setting;
use crate::base::rng::Stream;
use crate::model::Network;
use crate::prune::{Allocation, Criterion, masks};

/// How far a file's sparsity may lie from the one that was asked for.
const TOLERANCE: f64 = 0.005;

/// Which network to measure.
#[derive(clap::Args, Debug)]
pub(super) struct SubjectArgs {
    /// A compiled-in network, a TOML file, or a model file (its weights and masks)
    #[arg(long, value_name = "NAME|FILE")]
    pub model: String,
    /// Share of the prunable weights that do not exist [default: 0, or the file's]
    #[arg(long, value_name = "SHARE")]
    pub sparsity: Option<f64>,
    /// How the weights that exist are shared out: uniform, erk, global, or a model file, whose masks
    /// and weights are then taken. global over weights that nobody trained says little
    #[arg(long, value_name = "NAME|FILE.esm", default_value = "uniform")]
    pub allocation: String,
    /// Classes that a network which is no model file tells apart
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub classes: usize,
    /// Seed of weights, masks and samples
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

/// A network to measure.
pub(super) struct Subject {
    pub network: Network,
    /// Where the masks are from, for results.
    pub allocation: String,
    pub notes: Vec<String>,
}

impl SubjectArgs {
    /// Makes or opens it.
    pub(super) fn open(&self) -> Result<Subject, Fault> {
        let trained = is_model_file(&self.model);
        let mut network = if trained {
            setting::open_model(Path::new(&self.model))?.network
        } else {
            Network::new(setting::describe(&self.model, self.classes)?, self.seed)
        };
        let allocation = match self.allocation.as_str() {
            "uniform" => Allocation::Uniform,
            "erk" => Allocation::Erk,
            "global" => Allocation::Global,
            file if is_model_file(file) => return self.masked_as(file, &network),
            other => {
                return Err(Fault::Usage(format!(
                    "--allocation is `{other}`, expected uniform, erk, global or a model file (.esm)"
                )));
            }
        };
        let mut notes = Vec::new();
        let Some(sparsity) = self.sparsity.filter(|&sparsity| sparsity != 0.0) else {
            let from = if trained { self.model.clone() } else { "none".into() };
            return Ok(Subject { network, allocation: from, notes });
        };
        let global = allocation == Allocation::Global;
        if global && !trained {
            notes.push("global magnitude over weights that nobody trained: which layers stay dense is the doing of their initial scale; a trained mask is `--allocation FILE.esm`".into());
        }
        // Which of a layer's untrained weights are large is chance too; a draw is the plainer one.
        let criterion = if trained || global { Criterion::Magnitude } else { Criterion::Random };
        let kept = masks(&network, sparsity, allocation, criterion, self.seed)?;
        network.set_masks(kept);
        Ok(Subject { network, allocation: allocation.name(), notes })
    }

    /// The network of `file`, which must be `model`'s and as sparse as was asked for.
    fn masked_as(&self, file: &str, model: &Network) -> Result<Subject, Fault> {
        let network = setting::open_model(Path::new(file))?.network;
        let [found, expected] = [&network, model].map(|network| &network.description.name);
        if found != expected {
            return Err(Fault::Usage(format!(
                "--allocation {file} holds `{found}`, --model names `{expected}`: give the same network"
            )));
        }
        let sparsity = network.sparsity();
        let differs = |asked: &f64| asked.is_nan() || (asked - sparsity).abs() > TOLERANCE;
        match self.sparsity.filter(differs) {
            None => Ok(Subject { network, allocation: file.into(), notes: Vec::new() }),
            Some(asked) => Err(Fault::Usage(format!(
                "--sparsity is {asked}, {file} has {sparsity:.4}: leave --sparsity out, or give the file's"
            ))),
        }
    }
}

fn is_model_file(text: &str) -> bool {
    Path::new(text).extension().is_some_and(|end| end.eq_ignore_ascii_case("esm"))
}

/// Samples that nobody took: values uniform in `[0, 1)`, stream `bench/samples`, and labels.
pub(super) struct Samples {
    values: Vec<f32>,
    pub labels: Vec<u32>,
}

impl Samples {
    pub(super) fn new(network: &Network, samples: usize, seed: u64) -> Self {
        let len: usize = network.description.input_shape().iter().product();
        let mut stream = Stream::new(seed, "bench/samples");
        let classes = network.description.classes as u64;
        let labels = (0..samples).map(|_| stream.below(classes) as u32).collect();
        let values = (0..samples * len).map(|_| stream.unit() as f32).collect();
        Self { values, labels }
    }

    /// Writes sample `index` into `out`.
    pub(super) fn read(&self, index: usize, out: &mut [f32]) {
        out.copy_from_slice(&self.values[index * out.len()..][..out.len()]);
    }

    pub(super) fn bytes(&self) -> u64 {
        4 * (self.values.len() + self.labels.len()) as u64
    }
}
