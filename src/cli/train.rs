//! `unlearn train`: a network, from scratch.

use std::path::PathBuf;

use serde_json::json;

use super::fault::Fault;
use super::learn::{self, Job, RecipeArgs};
use super::setting::{self, Common, DtypeArg, Out, Written};
use super::watch::Checkpoint;
use crate::base::units::{Bytes, Seconds};
use crate::data::Splits;
use crate::evaluate::Scores;
use crate::evaluate::metrics::accuracy;
use crate::model::Network;
use crate::sparse::Isa;
use crate::train::{Recipe, State, score};

/// Train a network and write it as a model file.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn train --model cnn28 --data fashion-mnist --epochs 8 --schedule cosine --out base.esm\n\nAfter each epoch the whole state is kept in OUT.checkpoint.esm, until OUT is written. The weights of\nan early epoch are kept in OUT.rewind.esm, for `unlearn prune`."
)]
pub(super) struct Args {
    /// A compiled-in network (mlp, cnn16, cnn28, resnet20, resnet18, vgg16-bn) or a TOML file
    #[arg(long, value_name = "NAME|FILE")]
    model: String,
    /// The data set
    #[arg(long, value_name = "PATH")]
    data: String,
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
    /// Element type of weights in the file
    #[arg(long, value_enum, default_value_t = DtypeArg::F32)]
    dtype: DtypeArg,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    pub common: Common,
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let mut data = setting::open_data(&args.data)?;
    let description = setting::describe(&args.model, data.train.classes.len())?;
    if let Some(without) = &args.without {
        let scenario = setting::scenario(without)?;
        let kept = scenario.forget_indices(&data.train, args.seed)?.retain;
        data.train = data.train.subset(&kept);
    }
    let recipe = args.recipe.over(Recipe { seed: args.seed, ..Recipe::default() });
    recipe.check()?;
    setting::check_output(&args.out)?;
    let (mut state, isa) = match args.resume {
        true => resumed(args, &data, &recipe, out)?,
        false => (None, setting::isa()),
    }
    .or_fresh(|| State::new(Network::new(description, args.seed)));
    let mut facts = learn::facts("train", &data, &recipe, isa);
    if let Some(without) = &args.without {
        facts = facts.with("without", without.clone());
    }
    let classes = data.train.classes.clone();
    let checkpoint = Checkpoint {
        path: learn::checkpoint_path(&args.out),
        classes: classes.clone(),
        facts: facts.clone(),
        rewind: Some((args.rewind_epoch, setting::beside(&args.out, "rewind"))),
    };
    if state.epoch == 0 && args.rewind_epoch == 0 {
        let early = Written {
            network: &state.network,
            classes: &classes,
            facts: &facts,
            dtype: DtypeArg::F32.into(),
            momentum: None,
        };
        early.save(&setting::beside(&args.out, "rewind"))?;
    }
    let job = Job {
        what: "train",
        data: &data.train,
        recipe: &recipe,
        isa,
        checkpoint: Some(checkpoint),
    };
    let reports = job.run(&mut state)?;
    let facts = facts.with("epoch", state.epoch.to_string());
    let written = Written {
        network: &state.network,
        classes: &classes,
        facts: &facts,
        dtype: args.dtype.into(),
        momentum: None,
    };
    let artifact = written.save(&args.out)?;
    learn::forget_checkpoint(&args.out)?;

    let all: Vec<usize> = (0..data.test.len()).collect();
    let probabilities = score(&artifact.network, &data.test, &all, isa)?;
    let test = accuracy(&Scores::new("test", probabilities, data.test.labels.clone())?, "test");
    let seconds: f64 = reports.iter().map(|report| report.seconds).sum();
    let loss = reports.last().map(|report| report.loss);
    let text = format!(
        "{}: {} on {}, {} epochs in {}\ntest accuracy {:.2} % ({} samples, 95 % interval {}), training loss {}\nid {}, {}\n",
        args.out.display(),
        artifact.network.description.name,
        data.name,
        state.epoch,
        Seconds(seconds),
        test.value,
        data.test.len(),
        interval(test.interval95),
        loss.map_or("unknown".into(), |loss| format!("{loss:.4}")),
        artifact.id,
        Bytes(artifact.bytes),
    );
    let value = json!({
        "command": "train", "file": args.out, "id": artifact.id.to_string(), "file_bytes": artifact.bytes,
        "model": artifact.network.description.name, "data": data.name, "seed": args.seed,
        "recipe": recipe, "plan": learn::plan(isa), "test_accuracy": test,
        "seconds": seconds, "epochs": learn::epochs_json(&reports),
    });
    out.result(&text, &value);
    Ok(())
}

/// An interval as text.
pub(super) fn interval(interval: Option<[f64; 2]>) -> String {
    interval.map_or("unknown".into(), |[low, high]| format!("{low:.2} to {high:.2}"))
}

/// A state that may have to be begun.
trait OrFresh {
    fn or_fresh(self, fresh: impl FnOnce() -> State) -> (State, Isa);
}

impl OrFresh for (Option<State>, Isa) {
    fn or_fresh(self, fresh: impl FnOnce() -> State) -> (State, Isa) {
        (self.0.unwrap_or_else(fresh), self.1)
    }
}

/// The state that the checkpoint holds, and its instruction set. No state where the machine lacks
/// that set: the run begins anew, because other rounding would be another run.
fn resumed(
    args: &Args,
    data: &Splits,
    recipe: &Recipe,
    out: &Out,
) -> Result<(Option<State>, Isa), Fault> {
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
    let digest = data.train.digest().to_string();
    let then = artifact.facts.get("data_digest").unwrap_or("unknown");
    if then != digest {
        return Err(differs("data", then, &digest));
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
        Some(isa) => Ok((Some(State { network: artifact.network, momentum, epoch }), isa)),
        None => {
            out.say("the checkpoint's instruction set is not here: beginning anew");
            Ok((None, setting::isa()))
        }
    }
}
