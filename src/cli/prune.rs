//! `unlearn prune`: remove weights, rewind the others, train what is left.

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::json;

use super::anchor::{self, AnchorArgs};
use super::fault::Fault;
use super::learn::{self, Job, ProvenanceArg, RecipeArgs};
use super::memory::{self, Around, MemoryArgs, Settled};
use super::past::{self, Past};
use super::poison::Poison;
use super::setting::{self, Common, DataArgs, DtypeArg, Out, Written};
use crate::base::units::{Bytes, Seconds};
use crate::data::Splits;
use crate::format::{AnchorSet, Provenance};
use crate::model::Network;
use crate::model::file::Artifact;
use crate::prune::{Allocation, Criterion, masks, rewind};
use crate::sparse::Mask;
use crate::train::memory::network_bytes;
use crate::train::{EpochReport, Recipe, State};

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

impl From<MethodArg> for Criterion {
    fn from(arg: MethodArg) -> Self {
        match arg {
            MethodArg::Omp => Self::Magnitude,
            MethodArg::Random => Self::Random,
        }
    }
}

impl From<AllocationArg> for Allocation {
    fn from(arg: AllocationArg) -> Self {
        match arg {
            AllocationArg::Global => Self::Global,
            AllocationArg::Uniform => Self::Uniform,
            AllocationArg::Erk => Self::Erk,
        }
    }
}

/// Remove weights, rewind the others to an early epoch, and train them again.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn prune --model base.esm --data fashion-mnist --sparsity 0.95 --out sparse.esm\n\nThe recipe is the one of MODEL, from the rewound epoch on, unless words here say otherwise.\n\nScenarios (--without): class=K[,K] | part=K:SHARE|COUNT[,..] | random=SHARE|COUNT | subject=ID[,ID] |\nindices=FILE | backdoor=TARGET:COUNT[:SIDE[:black|white]]"
)]
pub(super) struct Args {
    /// The trained model file
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    #[command(flatten)]
    data: DataArgs,
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
    /// Train on what a scenario retains, besides what MODEL had forgotten
    #[arg(long, value_name = "SCENARIO")]
    without: Option<String>,
    /// Take data that MODEL did not learn from
    #[arg(long)]
    other_data: bool,
    /// Element type of weights in the file
    #[arg(long, value_enum, default_value_t = DtypeArg::F16)]
    dtype: DtypeArg,
    /// Whose data the model is made from, as you declare it [default: as MODEL says]
    #[arg(long, value_enum)]
    provenance: Option<ProvenanceArg>,
    #[command(flatten)]
    anchor: AnchorArgs,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    pub common: Common,
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let model = setting::open_model(&args.model)?;
    let mut data = args.data.open_learnt(&model)?;
    let mut recipe = args.start_recipe(&model)?;
    recipe.seed = args.seed.unwrap_or(recipe.seed);
    let recipe = args.recipe.over(recipe);
    recipe.check()?;
    if !args.memory.dry_run {
        setting::check_output(&args.out)?;
    }
    past::same_data(&model, &args.model, &data, args.other_data)?;
    past::not_itself(&args.model, &args.out)?;
    let digest = data.train.digest();
    // What the model had forgotten stays forgotten.
    let past = Past::of(&model.facts).and(args.without.as_deref(), recipe.seed);
    let (anchor, lost) = args.anchor(&model, &mut data, &past, recipe.seed)?;
    let (allocation, criterion) = (Allocation::from(args.allocation), Criterion::from(args.method));
    let masks = masks(&model.network, args.sparsity, allocation, criterion, recipe.seed)?;
    let (network, epoch, rewound) = start(args, &model, masks)?;
    if epoch > 0 && epoch >= recipe.epochs {
        return Err(Fault::Usage(format!(
            "rewound to epoch {epoch} of {}: nothing is left to train; give --epochs above {epoch}, or --rewind init or none",
            recipe.epochs
        )));
    }
    let mut state = State { momentum: vec![0.0; network.values.len()], network, epoch };
    let settled = args.settled(&data, &model, &state.network, &recipe, anchor.as_ref())?;
    if args.memory.dry_run {
        let of = format!("{} on {}", args.model.display(), data.name);
        let (text, value) = settled.told("prune", &of, recipe.batch, args.memory.memory);
        return out.result(&text, &value);
    }
    let compute = settled.compute;
    let job = Job { what: "prune", data: &data.train, recipe: &recipe, compute, checkpoint: None };
    let reports = job.run(&mut state)?;
    let seed = model.facts.get("init_seed").or(model.facts.get("seed")).unwrap_or("unknown");
    let provenance = args.provenance.map_or(model.facts.provenance, Provenance::from);
    let poison = Poison::of(&model.facts)?;
    let facts = learn::facts("prune", provenance, &data, digest, &recipe, compute);
    let facts = poison.iter().fold(facts, |facts, poison| poison.state(facts));
    let facts = past
        .state(facts)
        .with("init_seed", seed)
        .with("parent", model.id.to_string())
        .with("sparsity", args.sparsity.to_string())
        .with("allocation", allocation.name())
        .with("criterion", criterion.name())
        .with("rewind", rewound.clone());
    let (network, meaning, dtype) = (&state.network, &model.meaning, args.dtype.into());
    let written =
        Written { network, meaning, facts: &facts, dtype, momentum: None, anchor: anchor.as_ref() };
    let artifact = written.save(&args.out)?;
    let (before, after, recipe, reports) = (&model, &artifact, &recipe, &reports[..]);
    Pruned { before, after, rewound, recipe, reports, settled: &settled, lost }
        .tell(args, out, &data)
}

impl Args {
    /// How the run computes, and what it takes in memory where somebody asked.
    fn settled(
        &self,
        data: &Splits,
        model: &Artifact,
        network: &Network,
        recipe: &Recipe,
        anchor: Option<&AnchorSet>,
    ) -> Result<Settled, Fault> {
        let around = Around {
            data: memory::data_bytes(data),
            models: network_bytes(&model.network)
                + anchor::bytes(model.anchor.as_ref())
                + anchor::in_file(anchor),
            checkpoint: false,
            network,
            answers: memory::answer_bytes(data.test.len(), network.description.classes, 0),
            // A score and an index of eight bytes for each weight, sorted beside a copy.
            before: Some(("choosing masks", 20 * model.network.values.len() as u64)),
        };
        self.memory.settle(&around, recipe.batch.min(data.train.len()), recipe, None)
    }
}

impl Args {
    /// The anchor set of the new file: a new one where that was asked for, else MODEL's without what
    /// is to be forgotten, and a note of that. Takes what is to be forgotten out of the data.
    fn anchor(
        &self,
        model: &Artifact,
        data: &mut Splits,
        past: &Past,
        seed: u64,
    ) -> Result<(Option<AnchorSet>, Option<String>), Fault> {
        if self.anchor.anchor.is_some() {
            past.leave(data)?;
            return Ok((self.anchor.draw(data, past, seed)?, None));
        }
        // Looked for in the whole data, of which it is to be told apart.
        let kept = anchor::kept(model, data, past)?;
        past.leave(data)?;
        Ok(kept)
    }

    /// The recipe of MODEL. An imported model states none: then the words here must say enough.
    fn start_recipe(&self, model: &Artifact) -> Result<Recipe, Fault> {
        let stated = learn::recipe_of(&model.facts, &self.model);
        match self.recipe.epochs.and(self.recipe.rate) {
            Some(_) => Ok(stated.unwrap_or_default()),
            None => stated,
        }
    }
}

/// What came of pruning.
struct Pruned<'a> {
    before: &'a Artifact,
    after: &'a Artifact,
    rewound: String,
    recipe: &'a Recipe,
    reports: &'a [EpochReport],
    settled: &'a Settled,
    /// What the anchor set lost.
    lost: Option<String>,
}

impl Pruned<'_> {
    /// Measures both files and says what came of the run.
    fn tell(&self, args: &Args, out: &Out, data: &Splits) -> Result<(), Fault> {
        let Self { before, after, rewound, recipe, reports, settled, lost } = self;
        let mut warnings = settled.notes.clone();
        warnings.extend(lost.clone());
        warnings.extend(anchor::people(after.anchor.as_ref(), data));
        let compute = settled.compute;
        let was = learn::test_accuracy(&before.network, data, compute)?;
        let test = learn::test_accuracy(&after.network, data, compute)?;
        let allocation = Allocation::from(args.allocation).name();
        let sparsity = 100.0 * after.network.sparsity();
        let seconds: f64 = reports.iter().map(|report| report.seconds).sum();
        let text = format!(
            "{}: {sparsity:.2} % of the prunable weights removed ({allocation} allocation)\n\
             rewound to {rewound}, {} epochs in {}\n\
             test accuracy {}, {:.2} % before\n\
             id {}, {} ({} before)\n{}{}",
            args.out.display(),
            reports.len(),
            Seconds(seconds),
            learn::told(&test),
            was.value,
            after.id,
            Bytes(after.bytes),
            Bytes(before.bytes),
            anchor::line(after.anchor.as_ref()),
            super::evaluate::notes(&warnings),
        );
        let value = json!({
            "command": "prune", "file": setting::told(&args.out), "id": after.id.to_string(), "file_bytes": after.bytes,
            "parent": before.id.to_string(), "parent_bytes": before.bytes, "data": data.name,
            "sparsity_percent": sparsity, "sparsity_of": "prunable weights",
            "allocation": allocation, "rewind": rewound, "recipe": setting::plain(recipe), "plan": learn::plan(compute),
            "test_accuracy": test, "test_accuracy_before": was, "seconds": seconds, "epochs": setting::plain(reports),
            "anchor": anchor::value(after.anchor.as_ref()), "warnings": warnings,
        });
        out.result(&text, &value)
    }
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
            let seed = model.facts.get("init_seed").or(model.facts.get("seed"));
            let seed = seed.and_then(|seed| seed.parse().ok());
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
            let other = ["recipe", "data_digest"]
                .iter()
                .any(|fact| early.facts.get(fact) != model.facts.get(fact));
            if file.is_none() && other {
                return Err(Fault::Usage(format!(
                    "{} is of another run than {}: give --rewind FILE, init or none",
                    path.display(),
                    args.model.display()
                )));
            }
            let epoch = early.facts.get("epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
            Ok((rewind(&early.network, masks, name)?, epoch, format!("epoch {epoch}")))
        }
    }
}
