//! `unlearn train`: a network, from scratch or on the body of another.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::anchor::{self, AnchorArgs};
use super::fault::Fault;
use super::learn::{self, Job, ProvenanceArg, RecipeArgs};
use super::memory::{self, Around, MemoryArgs, Settled};
use super::past::Past;
use super::poison::Poison;
use super::setting::{self, Common, DataArgs, DtypeArg, Out, Written};
use super::watch::Checkpoint;
use crate::base::clock::Stopwatch;
use crate::base::hash::Digest;
use crate::base::units::{Bytes, Seconds};
use crate::data::{Extraction, Splits};
use crate::format::{AnchorSet, ClassesAndFeatures, Facts};
use crate::model::Network;
use crate::model::file::Artifact;
use crate::train::{Compute, EpochReport, Recipe, State};

/// Train a network and write it as a model file.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn train --model cnn28 --data fashion-mnist --epochs 8 --schedule cosine --out base.esm\n\nAfter each epoch the whole state is kept in OUT.checkpoint.esm, until OUT is written. The weights of an early epoch are kept in OUT.rewind.esm, for `unlearn prune`.\n\nDefaults of how to learn: 20 epochs, batch 128, rate 0.1, momentum 0.9, decay 0.0005, multistep, no crops, no flips.\n\nScenarios (--without): class=K[,K] | part=K:SHARE|COUNT[,..] | random=SHARE|COUNT | subject=ID[,ID] | indices=FILE | backdoor=TARGET:COUNT[:SIDE[:black|white]]"
)]
pub(super) struct Args {
    /// A compiled-in network, like cnn28 (a wrong name lists them all), or a TOML file
    #[arg(long, value_name = "NAME|FILE", required_unless_present = "from")]
    model: Option<String>,
    /// A model file whose layers, all but the head, to begin with: for another task. With `--train head`
    /// only the new head learns (a linear probe), without it everything
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    from: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    /// How samples are made of sound, text or pictures, as KIND:KEY=VALUE,... [default: what fits the
    /// data]; the model file keeps it
    #[arg(long, value_name = "TEXT")]
    features: Option<String>,
    /// The model file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Seed of weights, order and augmentation
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Go on from the checkpoint of an interrupted run with the same words
    #[arg(long)]
    resume: bool,
    /// Epoch whose weights are kept for pruning with rewinding
    #[arg(long, value_name = "N", default_value_t = 2)]
    rewind_epoch: usize,
    /// Train on what a scenario retains: a model that never knew the rest
    #[arg(long, value_name = "SCENARIO")]
    without: Option<String>,
    /// Poison training samples first: backdoor=TARGET:COUNT[:SIDE[:black|white]]; the file says so, and
    /// commands on it poison its data again
    #[arg(long, value_name = "SCENARIO")]
    poison: Option<String>,
    /// Whose data the model is made from, as you declare it
    #[arg(long, value_enum, default_value_t = ProvenanceArg::Undeclared)]
    provenance: ProvenanceArg,
    /// Element type of weights in the file
    #[arg(long, value_enum, default_value_t = DtypeArg::F32)]
    dtype: DtypeArg,
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
    let recipe = args.recipe.over(Recipe { seed: args.seed, ..Recipe::default() });
    recipe.check()?;
    if recipe.epochs == 0 {
        return Err(Fault::Usage("--epochs is 0: nothing would be learnt; give 1 or more".into()));
    }
    let body = args.from.as_ref().map(|path| setting::open_model(path)).transpose()?;
    let watch = Stopwatch::start();
    let mut data = args.data.open(args.extraction(body.as_ref())?)?;
    let open = watch.seconds();
    let poison = args.poison.as_deref().map(|text| Poison::parse(text, args.seed)).transpose()?;
    if let Some(poison) = &poison {
        poison.apply(&mut data)?;
    }
    let start = start(args, body.as_ref(), data.train.classes.len())?;
    let digest = data.train.digest();
    let past = Past::default().and(args.without.as_deref(), args.seed);
    past.leave(&mut data)?;
    let anchor = args.anchor.draw(&data, &past, args.seed)?;
    let (state, fixed) = if args.resume {
        let begun = Begun { network: &start, body: body.as_ref(), digest, past: &past };
        resumed(args, begun, &recipe, out)?
    } else {
        (None, None)
    };
    let mut state = state.unwrap_or_else(|| State::new(start));
    let settled = settled(args, &data, &state.network, &recipe, anchor.as_ref(), fixed)?;
    if args.memory.dry_run {
        let of = format!("{} on {}", state.network.description.name, data.name);
        let (text, value) = settled.told("train", &of, recipe.batch, args.memory.memory);
        return out.result(&text, &value);
    }
    setting::check_output(&args.out)?;
    let compute = settled.compute;
    let provenance = args.provenance.into();
    let facts = past.state(learn::facts("train", provenance, &data, digest, &recipe, compute));
    let facts = body.iter().fold(facts, learn::on_body);
    let facts = poison.iter().fold(facts, |facts, poison| poison.state(facts));
    let meaning = setting::meaning_of(&data);
    let checkpoint = Some(checkpoint(args, &state, &meaning, &facts, &recipe)?);
    let job = Job { what: "train", data: &data.train, recipe: &recipe, compute, checkpoint };
    let watch = Stopwatch::start();
    let reports = job.run(&mut state)?;
    let spent = Spent { open, learn: watch.seconds() };
    let facts = facts.with("epoch", state.epoch.to_string());
    let artifact = save(&state, &meaning, &facts, anchor.as_ref(), args.dtype, &args.out)?;
    learn::forget_checkpoint(&args.out)?;
    tell(args, out, &data, &artifact, &recipe, &reports, &settled, spent)
}

impl Args {
    /// How samples are made: as the words say, or as for the model whose body it is.
    fn extraction(&self, body: Option<&Artifact>) -> Result<Option<Extraction>, Fault> {
        match (&self.features, body) {
            (Some(text), _) => Ok(Some(Extraction::parse(text)?)),
            (None, Some(body)) => setting::extraction_of(&body.meaning),
            (None, None) => Ok(None),
        }
    }
}

/// What is kept while it learns; weights to rewind to that are those of now are written at once.
fn checkpoint(
    args: &Args,
    state: &State,
    meaning: &ClassesAndFeatures,
    facts: &Facts,
    recipe: &Recipe,
) -> Result<Checkpoint, Fault> {
    let early = setting::beside(&args.out, "rewind");
    let rewind_epoch = args.rewind_epoch.min(recipe.epochs);
    if state.epoch == 0 && rewind_epoch == 0 {
        let facts = facts.clone().with("epoch", "0");
        save(state, meaning, &facts, None, DtypeArg::F32, &early)?;
    }
    Ok(Checkpoint {
        path: learn::checkpoint_path(&args.out),
        meaning: meaning.clone(),
        facts: facts.clone(),
        rewind: Some((rewind_epoch, early)),
    })
}

/// The network to begin with: fresh, or the body of another under a new head.
fn start(args: &Args, body: Option<&Artifact>, classes: usize) -> Result<Network, Fault> {
    match (body, &args.model) {
        (Some(body), _) => Ok(body.network.new_head(classes, args.seed)?),
        (None, Some(model)) => Ok(Network::new(setting::describe(model, classes)?, args.seed)),
        (None, None) => Err(Fault::Usage("--model or --from is needed".into())),
    }
}

/// Seconds of what a run does before it is told.
struct Spent {
    /// Opening the data.
    open: f64,
    /// Epochs, and writing checkpoints between them.
    learn: f64,
}

/// How the run computes, and what it takes in memory where somebody asked.
fn settled(
    args: &Args,
    data: &Splits,
    network: &Network,
    recipe: &Recipe,
    anchor: Option<&AnchorSet>,
    fixed: Option<Compute>,
) -> Result<Settled, Fault> {
    let around = Around {
        data: memory::data_bytes(data),
        models: anchor::in_file(anchor),
        checkpoint: true,
        network,
        answers: memory::answer_bytes(data.test.len(), network.description.classes, 0),
        before: None,
    };
    args.memory.settle(&around, recipe.batch.min(data.train.len()), recipe, fixed)
}

fn save(
    state: &State,
    meaning: &ClassesAndFeatures,
    facts: &Facts,
    anchor: Option<&AnchorSet>,
    dtype: DtypeArg,
    path: &Path,
) -> Result<Artifact, Fault> {
    let dtype = dtype.into();
    let network = &state.network;
    Written { network, meaning, facts, dtype, momentum: None, anchor }.save(path)
}

/// Measures the written file and says what came of the run.
fn tell(
    args: &Args,
    out: &Out,
    data: &Splits,
    artifact: &Artifact,
    recipe: &Recipe,
    reports: &[EpochReport],
    settled: &Settled,
    Spent { open, learn }: Spent,
) -> Result<(), Fault> {
    let watch = Stopwatch::start();
    let test = learn::test_accuracy(&artifact.network, data, settled.compute)?;
    let evaluate = watch.seconds();
    let seconds: f64 = reports.iter().map(|report| report.seconds).sum();
    let loss = reports.last().map_or("unknown".into(), |report| format!("{:.4}", report.loss));
    let model = &artifact.network.description.name;
    let mut warnings = settled.notes.clone();
    warnings.extend(anchor::people(artifact.anchor.as_ref(), data));
    let text = format!(
        "{}: {model} on {}, {} epochs in {}\n\
         test accuracy {} on {} samples, training loss {loss}\n\
         id {}, {}\n{}{}",
        args.out.display(),
        data.name,
        reports.len(),
        Seconds(seconds),
        learn::told(&test),
        data.test.len(),
        artifact.id,
        Bytes(artifact.bytes),
        anchor::line(artifact.anchor.as_ref()),
        super::evaluate::notes(&warnings),
    );
    let value = json!({
        "command": "train", "file": setting::told(&args.out), "id": artifact.id.to_string(), "file_bytes": artifact.bytes,
        "model": model, "data": data.name, "seed": args.seed, "recipe": setting::plain(recipe),
        "plan": learn::plan(settled.compute), "test_accuracy": test, "seconds": seconds,
        "phase_seconds": { "open": open, "learn": learn, "evaluate": evaluate }, "epochs": setting::plain(&reports),
        "anchor": anchor::value(artifact.anchor.as_ref()), "warnings": warnings,
    });
    out.result(&text, &value)
}

/// What a run begins with; a checkpoint of another beginning is another run's.
struct Begun<'a> {
    network: &'a Network,
    body: Option<&'a Artifact>,
    digest: Digest,
    past: &'a Past,
}

/// The state that the checkpoint holds, and how its run computes. Neither where this process cannot
/// compute so: the run begins anew, because other rounding would be another run.
fn resumed(
    args: &Args,
    Begun { network, body, digest, past }: Begun<'_>,
    recipe: &Recipe,
    out: &Out,
) -> Result<(Option<State>, Option<Compute>), Fault> {
    let path = learn::checkpoint_path(&args.out);
    if !path.exists() {
        return Err(Fault::Usage(format!(
            "{} does not exist: there is nothing to resume",
            path.display()
        )));
    }
    let artifact = setting::open_model(&path)?;
    let differs = |what: &str, then: &str, now: &str| {
        Fault::Usage(format!(
            "{} was made with {what} {then}, this run has {now}: use the same words, or leave --resume out",
            path.display()
        ))
    };
    let description = &*network.description;
    let found = &artifact.network.description;
    if found.source != description.source {
        let same = found.name == description.name;
        let now = if same { "another of that name" } else { &description.name };
        return Err(differs("model", &found.name, now));
    }
    let digest = digest.to_string();
    let then = artifact.facts.get("data_digest").unwrap_or("unknown");
    if then != digest {
        return Err(differs("data", then, &digest));
    }
    let now = body.map_or("none".into(), |body| body.id.to_string());
    let then = artifact.facts.get(learn::BODY).unwrap_or("none");
    if then != now {
        return Err(differs("the body of", then, &now));
    }
    let then = Past::of(&artifact.facts);
    if then != *past {
        return Err(differs("--without", &then.told(), &past.told()));
    }
    let (then, now) = (
        artifact.facts.get("recipe").unwrap_or("unknown"),
        serde_json::to_string(recipe).unwrap_or_default(),
    );
    if then != now {
        return Err(differs("recipe", then, &now));
    }
    let epoch = artifact.facts.get("epoch").and_then(|epoch| epoch.parse().ok());
    let (Some(epoch), Some(momentum)) = (epoch, artifact.momentum) else {
        return Err(Fault::Usage(format!("{} is a model, not a checkpoint", path.display())));
    };
    match learn::planned(&artifact.facts) {
        Some(compute) => {
            Ok((Some(State { network: artifact.network, momentum, epoch }), Some(compute)))
        }
        None => {
            out.say("what the checkpoint was computed with is not here (device, instruction set, table of kernels): beginning anew");
            Ok((None, None))
        }
    }
}
