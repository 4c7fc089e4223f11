//! `unlearn prune`: remove weights, rewind the others, train what is left.

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::json;

use super::fault::Fault;
use super::learn::{self, Job, RecipeArgs};
use super::setting::{self, Common, DtypeArg, Out, Written};
use super::train::interval;
use crate::base::units::{Bytes, Seconds};
use crate::evaluate::Scores;
use crate::evaluate::metrics::accuracy;
use crate::model::Network;
use crate::model::file::Artifact;
use crate::prune::{Allocation, Criterion, masks, rewind};
use crate::sparse::Mask;
use crate::train::{State, score};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MethodArg {
    /// One-shot magnitude pruning
    Omp,
    /// A random choice
    Random,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AllocationArg {
    /// The largest scores of all tensors together stay
    Global,
    /// Each tensor keeps the same share
    Uniform,
    /// Small tensors keep more (Erdős-Rényi kernel)
    Erk,
}

/// Remove weights, rewind the others to an early epoch, and train them again.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn prune --model base.esm --data fashion-mnist --sparsity 0.95 --out sparse.esm\n\nThe recipe is the one of MODEL, from the rewound epoch on, unless words here say otherwise."
)]
pub(super) struct Args {
    /// The trained model file
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// The data set that it was trained on
    #[arg(long, value_name = "PATH")]
    data: String,
    /// The model file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Share of the prunable weights to remove
    #[arg(long, value_name = "SHARE")]
    sparsity: f64,
    /// What makes a weight worth keeping
    #[arg(long, value_enum, default_value_t = MethodArg::Omp)]
    method: MethodArg,
    /// How the weights that stay are shared out
    #[arg(long, value_enum, default_value_t = AllocationArg::Global)]
    allocation: AllocationArg,
    /// Weights to rewind to: `init`, `none` (keep the trained ones) or a file [default: MODEL.rewind.esm]
    #[arg(long, value_name = "init|none|FILE")]
    rewind: Option<String>,
    /// Seed of a random choice, order and augmentation [default: the model's]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Train on what a scenario retains
    #[arg(long, value_name = "SCENARIO")]
    without: Option<String>,
    /// Element type of weights in the file
    #[arg(long, value_enum, default_value_t = DtypeArg::F16)]
    dtype: DtypeArg,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    pub common: Common,
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let mut data = setting::open_data(&args.data)?;
    let model = setting::open_model(&args.model)?;
    let mut recipe = learn::recipe_of(&model.facts, &args.model)?;
    recipe.seed = args.seed.unwrap_or(recipe.seed);
    let recipe = args.recipe.over(recipe);
    recipe.check()?;
    setting::check_output(&args.out)?;
    if let Some(without) = &args.without {
        let kept = setting::scenario(without)?.forget_indices(&data.train, recipe.seed)?.retain;
        data.train = data.train.subset(&kept);
    }
    let allocation = match args.allocation {
        AllocationArg::Global => Allocation::Global,
        AllocationArg::Uniform => Allocation::Uniform,
        AllocationArg::Erk => Allocation::Erk,
    };
    let criterion = match args.method {
        MethodArg::Omp => Criterion::Magnitude,
        MethodArg::Random => Criterion::Random,
    };
    let masks = masks(&model.network, args.sparsity, allocation, criterion, recipe.seed)?;
    let (network, epoch, rewound) = start(args, &model, masks)?;
    let epoch = epoch.min(recipe.epochs);
    let mut state = State { momentum: vec![0.0; network.values.len()], network, epoch };
    let isa = setting::isa();
    let job = Job { what: "prune", data: &data.train, recipe: &recipe, isa, checkpoint: None };
    let reports = job.run(&mut state)?;
    let facts = learn::facts("prune", &data, &recipe, isa)
        .with(
            "init_seed",
            model.facts.get("init_seed").or(model.facts.get("seed")).unwrap_or("unknown"),
        )
        .with("parent", model.id.to_string())
        .with("sparsity", args.sparsity.to_string())
        .with("allocation", allocation.name())
        .with("criterion", if criterion == Criterion::Random { "random" } else { "magnitude" })
        .with("rewind", rewound.clone());
    let written = Written {
        network: &state.network,
        classes: &model.classes,
        facts: &facts,
        dtype: args.dtype.into(),
        momentum: None,
    };
    let artifact = written.save(&args.out)?;
    let of = |network: &Network| -> Result<_, Fault> {
        let all: Vec<usize> = (0..data.test.len()).collect();
        let probabilities = score(network, &data.test, &all, isa)?;
        Ok(accuracy(&Scores::new("test", probabilities, data.test.labels.clone())?, "test"))
    };
    let (before, after) = (of(&model.network)?, of(&artifact.network)?);
    let sparsity = 100.0 * artifact.network.sparsity();
    let seconds: f64 = reports.iter().map(|report| report.seconds).sum();
    let text = format!(
        "{}: {:.2} % of the prunable weights removed ({} allocation), rewound to {rewound}, {} epochs in {}\ntest accuracy {:.2} % (95 % interval {}), {:.2} % before\nid {}, {} ({} before)\n",
        args.out.display(),
        sparsity,
        allocation.name(),
        reports.len(),
        Seconds(seconds),
        after.value,
        interval(after.interval95),
        before.value,
        artifact.id,
        Bytes(artifact.bytes),
        Bytes(model.bytes),
    );
    let value = json!({
        "command": "prune", "file": args.out, "id": artifact.id.to_string(), "file_bytes": artifact.bytes,
        "parent": model.id.to_string(), "parent_bytes": model.bytes, "data": data.name,
        "sparsity_percent": sparsity, "sparsity_of": "prunable weights",
        "allocation": allocation.name(), "rewind": rewound, "recipe": recipe, "plan": learn::plan(isa),
        "test_accuracy": after, "test_accuracy_before": before, "seconds": seconds,
        "epochs": learn::epochs_json(&reports),
    });
    out.result(&text, &value);
    Ok(())
}

/// The pruned network before training, the epoch it stands at, and what it was rewound to.
fn start(
    args: &Args,
    model: &Artifact,
    masks: Vec<Mask>,
) -> Result<(Network, usize, String), Fault> {
    let name = &model.network.description.name;
    match args.rewind.as_deref() {
        Some("none") => {
            let mut network = model.network.clone();
            network.set_masks(masks);
            Ok((network, 0, "nothing".into()))
        }
        Some("init") => {
            let seed = model.facts.get("seed").and_then(|seed| seed.parse().ok());
            let Some(seed) = seed else {
                return Err(Fault::Usage(format!(
                    "{} does not state its seed: it cannot be rewound to its start",
                    args.model.display()
                )));
            };
            let early = Network::new(model.network.description.clone(), seed);
            Ok((rewind(&early, masks, name)?, 0, "its initial weights".into()))
        }
        file => {
            let path = file.map_or_else(|| setting::beside(&args.model, "rewind"), PathBuf::from);
            if !path.exists() {
                return Err(Fault::Usage(format!(
                    "{} does not exist: `unlearn train` writes the weights of an early epoch there; give --rewind FILE, init or none",
                    path.display()
                )));
            }
            let early = setting::open_model(&path)?;
            let epoch = early.facts.get("epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
            Ok((rewind(&early.network, masks, name)?, epoch, format!("epoch {epoch}")))
        }
    }
}
