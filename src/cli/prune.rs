//! `unlearn prune`: remove weights, rewind the others, train what is left.

mod choice;
mod start;

use std::path::PathBuf;

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
use crate::format::{AnchorSet, Facts, Provenance};
use crate::model::Network;
use crate::model::file::Artifact;
use crate::prune::Allocation;
use crate::train::memory::network_bytes;
use crate::train::{EpochReport, Recipe, State};
use choice::{MethodArg, Plan, ScoreArg};
use start::Start;

pub(super) use choice::{masks_plan, some_of_each};

/// Remove weights, rewind the others to an early epoch, and train them again.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn prune --model base.esm --data fashion-mnist --sparsity 0.95 --out sparse.esm\nExample: unlearn prune --model base.esm --data fashion-mnist --iterations 10 --out imp.esm\nExample: unlearn prune --model base.esm --data fashion-mnist --method synflow --sparsity 0.9 --out s.esm\n\nThe recipe is the one of MODEL, from the rewound epoch on, unless words here say otherwise. Masks are chosen on the processor, whatever --device computes the training.\n\nScenarios (--without): class=K[,K] | part=K:SHARE|COUNT[,..] | random=SHARE|COUNT | subject=ID[,ID] | indices=FILE | backdoor=TARGET:COUNT[:SIDE[:black|white]]"
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
    /// Share of the prunable weights to remove, in all. Several iterations take a fifth of what is left
    /// each, unless this says otherwise; a pattern removes its share
    #[arg(long, value_name = "SHARE")]
    sparsity: Option<f64>,
    /// What makes a weight worth keeping
    #[arg(long, value_enum, default_value_t = MethodArg::Omp)]
    method: MethodArg,
    /// How the weights that stay are shared out: global (the largest scores of all tensors together
    /// stay), uniform (each tensor keeps the same share), erk (small tensors keep more: Erdős-Rényi
    /// kernel), or N:M (of M neighbours along the input dimension, N stay)
    #[arg(long, value_name = "global|uniform|erk|N:M", default_value = "global", value_parser = choice::allocation)]
    allocation: Allocation,
    /// Rounds of pruning and training: iterative magnitude pruning with --method omp
    #[arg(long, value_name = "K", default_value_t = 1)]
    iterations: usize,
    /// Weights to rewind to in each round: `init`, `early` (MODEL.rewind.esm), `last` (those of MODEL),
    /// `none` (keep those that the round before left), or a file [default: early; init for snip, grasp and
    /// synflow]
    #[arg(long, value_name = "init|early|last|none|FILE")]
    rewind: Option<String>,
    /// Weights that are scored [default: trained; start for snip, grasp and synflow]
    #[arg(long, value_enum)]
    score: Option<ScoreArg>,
    /// Samples of each class that snip and grasp read
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    samples_per_class: u32,
    /// Seed of a random choice, samples, order and augmentation [default: the model's]
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
    let plan = Plan::of(args, &model.network, &data.train, recipe.seed)?;
    let start = Start::of(args, &model, plan.criterion)?;
    let first = round(1, &plan, &start, (&model.network, &model.network), &data)?;
    if first.epoch > 0 && first.epoch >= recipe.epochs {
        return Err(Fault::Usage(format!(
            "rewound to epoch {} of {}: nothing is left to train; give --epochs above {}, or --rewind init or none",
            first.epoch, recipe.epochs, first.epoch
        )));
    }
    let settled =
        args.settled(&data, &model, (&plan, &start), &first.network, &recipe, anchor.as_ref())?;
    if args.memory.dry_run {
        let of = format!("{} on {}", args.model.display(), data.name);
        let (text, value) = settled.told("prune", &of, recipe.batch, args.memory.memory);
        return out.result(&text, &value);
    }
    let compute = settled.compute;
    let mut state = first;
    let mut reports = Vec::new();
    for number in 1..=plan.rounds {
        if number > 1 {
            state = round(number, &plan, &start, (&model.network, &state.network), &data)?;
        }
        let what = match plan.rounds {
            1 => "prune".into(),
            rounds => format!("prune {number}/{rounds}"),
        };
        let (data, recipe) = (&data.train, &recipe);
        let job = Job { what: &what, data, recipe, compute, checkpoint: None };
        reports.extend(job.run(&mut state)?);
    }
    let provenance = args.provenance.map_or(model.facts.provenance, Provenance::from);
    let poison = Poison::of(&model.facts)?;
    let facts = learn::facts("prune", provenance, &data, digest, &recipe, compute);
    let facts = poison.iter().fold(facts, |facts, poison| poison.state(facts));
    let chosen = masks_plan(plan.criterion, compute);
    let facts = chosen.iter().fold(facts, |facts, plan| facts.with("masks_plan", plan.clone()));
    let facts = stated(past.state(facts), &model, &plan, &start);
    let (network, meaning, dtype) = (&state.network, &model.meaning, args.dtype.into());
    let written =
        Written { network, meaning, facts: &facts, dtype, momentum: None, anchor: anchor.as_ref() };
    let artifact = written.save(&args.out)?;
    let (before, after, recipe, reports) = (&model, &artifact, &recipe, &reports[..]);
    let rewound = start.told();
    Pruned { before, after, plan: &plan, rewound, recipe, reports, settled: &settled, lost }
        .tell(args, out, &data)
}

/// The state from which a round trains.
fn round(
    number: usize,
    plan: &Plan,
    start: &Start,
    (model, now): (&Network, &Network),
    data: &Splits,
) -> Result<State, Fault> {
    let masks = plan.masks(number, start, (model, now), &data.train)?;
    let (network, epoch) = start.under(masks, model, now)?;
    Ok(State { momentum: vec![0.0; network.values.len()], network, epoch })
}

/// `facts`, with what pruning adds to them.
fn stated(facts: Facts, model: &Artifact, plan: &Plan, start: &Start) -> Facts {
    let seed = model.facts.get("init_seed").or(model.facts.get("seed")).unwrap_or("unknown");
    let facts = facts
        .with("init_seed", seed)
        .with("parent", model.id.to_string())
        .with("sparsity", plan.sparsity.to_string())
        .with("allocation", plan.allocation.name())
        .with("criterion", plan.criterion.name())
        .with("rewind", start.told());
    match plan.rounds {
        1 => facts,
        rounds => facts.with("iterations", rounds.to_string()),
    }
}

impl Args {
    /// How the run computes, and what it takes in memory where somebody asked.
    fn settled(
        &self,
        data: &Splits,
        model: &Artifact,
        (plan, start): (&Plan, &Start),
        network: &Network,
        recipe: &Recipe,
        anchor: Option<&AnchorSet>,
    ) -> Result<Settled, Fault> {
        let around = Around {
            data: memory::data_bytes(data),
            models: network_bytes(&model.network)
                + start.bytes()
                + anchor::bytes(model.anchor.as_ref())
                + anchor::in_file(anchor),
            checkpoint: false,
            network,
            answers: memory::answer_bytes(data.test.len(), network.description.classes, 0),
            before: Some(("choosing masks", plan.bytes(&model.network))),
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
    plan: &'a Plan,
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
        let Self { before, after, plan, rewound, recipe, reports, settled, lost } = self;
        let mut warnings = settled.notes.clone();
        warnings.extend(lost.clone());
        warnings.extend(anchor::people(after.anchor.as_ref(), data));
        let compute = settled.compute;
        let was = learn::test_accuracy(&before.network, data, compute)?;
        let test = learn::test_accuracy(&after.network, data, compute)?;
        let (allocation, criterion) = (plan.allocation.name(), plan.criterion.name());
        let sparsity = 100.0 * after.network.sparsity();
        let seconds: f64 = reports.iter().map(|report| report.seconds).sum();
        let rounds = match plan.rounds {
            1 => String::new(),
            rounds => format!(", {rounds} iterations"),
        };
        let text = format!(
            "{}: {sparsity:.2} % of the prunable weights removed ({criterion}, {allocation} allocation{rounds})\n\
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
            "allocation": allocation, "criterion": criterion, "iterations": plan.rounds, "rewind": rewound, "recipe": setting::plain(recipe), "plan": learn::plan(compute),
            "test_accuracy": test, "test_accuracy_before": was, "seconds": seconds, "epochs": setting::plain(reports),
            "anchor": anchor::value(after.anchor.as_ref()), "warnings": warnings,
        });
        out.result(&text, &value)
    }
}
