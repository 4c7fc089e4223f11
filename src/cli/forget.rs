//! `unlearn forget`: from a model that knows samples to one that does not.

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::anchor;
use super::evaluate::{Row, judge, mismatches, notes, present};
use super::fault::Fault;
use super::learn::{self, RecipeArgs};
use super::machine::{self, BudgetArgs, EnergyArgs, Machine};
use super::memory::{self, Around, MemoryArgs, Settled};
use super::past::{self, Past};
use super::poison;
use super::setting::{self, Common, DataArgs, DtypeArg, Out, Written};
use super::tuned::{self, Tuned};
use super::watch::Bar;
use super::way;
use crate::base::units::Seconds;
use crate::data::{Augment, Scenario, Splits};
use crate::evaluate::{Attack, Sets};
use crate::format::{AnchorSet, Facts};
use crate::model::file::Artifact;
use crate::train::Recipe;
use crate::train::memory::network_bytes;
use crate::unlearn::{FineTune, Given, Method, Outcome, Retrain, Start, forget};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormArg {
    /// As in the paper: weights come near 0
    Subgradient,
    /// Weights become exactly 0 and leave the file
    Proximal,
    /// Weights return exactly to those of --base
    TowardsBase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StrengthArg {
    /// Falls linearly, as in the paper
    Decaying,
    /// Stays
    Constant,
    /// Grows linearly
    Growing,
}

/// Make a network forget, and measure what it forgot on the file that was written.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn forget --model sparse.esm --data fashion-mnist --scenario class=0 --out forgot.esm\n\nScenarios: class=K[,K] | part=K:SHARE|COUNT[,..] | random=SHARE|COUNT | subject=ID[,ID] | indices=FILE | backdoor=TARGET:COUNT[:SIDE[:black|white]]\n\nDefaults of fine-tune and l1-sparse: 10 epochs, batch 128, rate 0.01, momentum 0.9, decay 0.0005, constant; the penalty: alpha 0.0001, subgradient, decaying, all weights. retrain takes MODEL's recipe. What MODEL had forgotten before stays forgotten."
)]
pub(super) struct Args {
    /// The model file that knows too much
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// What to forget
    #[arg(long, value_name = "SCENARIO")]
    scenario: String,
    /// How to forget; `unlearn methods` tells what each does and needs
    #[arg(long, value_name = "NAME", default_value = "l1-sparse", hide_possible_values = true,
          value_parser = clap::builder::PossibleValuesParser::new(way::names()))]
    method: String,
    /// Set a field of the method, as in --set rate=0.02; may be given several times
    #[arg(long, value_name = "FIELD=VALUE", value_parser = way::Set::parse, allow_hyphen_values = true)]
    set: Vec<way::Set>,
    /// Begin with settings that were tuned for this network and kind of scenario, shipped or of a FILE that
    /// `unlearn experiment --tune` wrote, instead of the method's defaults
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    tuned: Option<Option<PathBuf>>,
    /// The model file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Strength of the l1 penalty [default: 0.0001]
    #[arg(long, value_name = "ALPHA", allow_negative_numbers = true)]
    alpha: Option<f32>,
    /// What the penalty does to a weight
    #[arg(long, value_enum)]
    form: Option<FormArg>,
    /// Its strength over the epochs
    #[arg(long, value_enum)]
    strength: Option<StrengthArg>,
    /// Model whose weights `towards-base` returns to: it never knew the samples, and has MODEL's masks.
    /// With --method retrain: MODEL after an early epoch, to start from instead of fresh weights
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,
    /// Penalise only weights that pruning may remove, not biases and batch norms
    #[arg(long)]
    prunable_only: bool,
    /// Last epochs without the penalty
    #[arg(long, value_name = "N")]
    free_epochs: Option<usize>,
    /// A retrained model, to tell the gap to
    #[arg(long, value_name = "FILE")]
    retrained: Option<PathBuf>,
    /// Write the file and leave the measuring to `unlearn evaluate`
    #[arg(long, conflicts_with = "retrained")]
    no_measure: bool,
    /// Seed of scenario, order and augmentation
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Take data that MODEL did not learn from
    #[arg(long)]
    other_data: bool,
    /// Element type of weights in the file
    #[arg(long, value_enum, default_value_t = DtypeArg::F16)]
    dtype: DtypeArg,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    budget: BudgetArgs,
    #[command(flatten)]
    energy: EnergyArgs,
    #[command(flatten)]
    pub common: Common,
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let machine = args.budget.watch(args.energy.max_joules)?;
    let memory = args.memory.on(&machine);
    let asked = Asked::new(args, &memory)?;
    if args.memory.dry_run {
        let of = format!("{} on {}", args.model.display(), asked.data.name);
        let batch = asked.method.recipe(args.seed).batch;
        let (text, value) = asked.settled.told("forget", &of, batch, memory.memory);
        return out.result(&text, &value);
    }
    let (outcome, taken) = asked.forget(args, machine)?;
    let facts = args.facts(&asked);
    let (network, dtype) = (&outcome.network, args.dtype.into());
    let (meaning, anchor) = (&asked.model.meaning, asked.anchor.as_ref());
    let written = Written { network, meaning, facts: &facts, dtype, momentum: None, anchor };
    let artifact = written.save(&args.out)?;
    asked.tell(args, out, (&outcome, &artifact), taken)
}

/// What was asked for, with every file opened and checked before anything is learnt.
struct Asked {
    model: Artifact,
    retrained: Option<Artifact>,
    base: Option<Artifact>,
    data: Splits,
    scenario: Scenario,
    sets: Sets,
    method: Method,
    /// Where its settings come from, if they were tuned.
    tuned: Option<tuned::Entry>,
    augment: Augment,
    settled: Settled,
    /// The model's anchor set without what is to be forgotten, and a note of what it lost.
    anchor: Option<AnchorSet>,
    lost: Option<String>,
}

impl Asked {
    fn new(args: &Args, memory: &MemoryArgs) -> Result<Self, Fault> {
        let model = setting::open_model(&args.model)?;
        let data = args.data.open_learnt(&model)?;
        past::same_data(&model, &args.model, &data, args.other_data)?;
        past::not_itself(&args.model, &args.out)?;
        let retrained =
            args.retrained.as_ref().map(|path| setting::open_model(path)).transpose()?;
        let scenario = setting::scenario(&args.scenario)?;
        poison::fits(&scenario, args.seed, &model)?;
        let mut sets = Sets::new(&scenario, &data, args.seed)?;
        // What the model had forgotten before must not be taught again.
        Past::of(&model.facts).narrow(&mut sets, &data)?;
        let original = learn::recipe_of(&model.facts, &args.model).ok();
        let base = args.base(&model)?;
        let tuned = args.tuned(&model)?;
        let method = args.method(&model, original.as_ref(), base.as_ref(), tuned.as_ref())?;
        let augment =
            args.recipe.augment(original.map(|recipe| recipe.augment).unwrap_or_default());
        if !args.memory.dry_run {
            setting::check_output(&args.out)?;
        }
        let settled = args.settled(memory, &model, (&data, &sets), &method)?;
        let past = Past::of(&model.facts).and(Some(&args.scenario), args.seed);
        let (anchor, lost) = anchor::kept(&model, &data, &past)?;
        #[rustfmt::skip]
        let asked = Self {
            model, retrained, base, data, scenario, sets, method, tuned, augment, settled, anchor, lost,
        };
        Ok(asked)
    }

    /// Forgets, with what that took of the machine.
    fn forget(&self, args: &Args, machine: Machine) -> Result<(Outcome, (String, Value)), Fault> {
        let retain = self.data.train.subset(&self.sets.retain);
        let mut bar = Bar::new("forget", None).on(machine);
        let (network, base) = (&self.model.network, self.base.as_ref().map(|base| &base.network));
        let (augment, compute) = (self.augment, self.settled.compute);
        let gone = self.method.needs_forget().then(|| self.data.train.subset(&self.sets.forget));
        let given = Given { retain: &retain, forget: gone.as_ref(), base };
        let outcome = forget(&self.method, network, given, augment, args.seed, compute, &mut bar);
        bar.finish();
        let outcome = outcome?;
        let machine = bar.machine();
        if outcome.complete {
            let taken = machine.map(|(machine, _)| machine.taken()).unwrap_or_default();
            return Ok((outcome, taken));
        }
        let limit = args.energy.max_joules;
        match machine.and_then(|(_, verdict)| machine::ended(verdict, limit)) {
            Some(why) => Err(Fault::Limit(format!("{why}: no file was written"))),
            None => Err(Fault::Interrupted(
                "stopped before it had forgotten: no file was written".into(),
            )),
        }
    }

    /// Measures the files, unless that was left out.
    fn rows(&self, args: &Args, seconds: f64, artifact: &Artifact) -> Result<Vec<Row>, Fault> {
        let attack = Attack::paper(args.seed);
        let judge = |artifact: &Artifact, seconds| {
            judge(artifact, &self.data, &self.sets, attack, seconds, self.settled.compute)
        };
        let mut rows = Vec::new();
        if !args.no_measure {
            rows.push(Row::new("before", &args.model, judge(&self.model, None)?));
            rows.push(Row::new("after", &args.out, judge(artifact, Some(seconds))?));
        }
        if let (Some(path), Some(artifact)) = (&args.retrained, &self.retrained) {
            rows.push(Row::new("retrained", path, judge(artifact, None)?));
        }
        Ok(rows)
    }

    /// How often a backdoor opens that was to be forgotten.
    fn success(&self, args: &Args, artifact: &Artifact) -> Result<(String, Value), Fault> {
        let measured = [("before", &self.model), ("after", artifact)];
        let retrained = self.retrained.iter().map(|artifact| ("retrained", artifact));
        let models = measured.into_iter().filter(|_| !args.no_measure).chain(retrained);
        let models: Vec<_> = models.collect();
        poison::success(&self.scenario, &models, &self.data, self.settled.compute)
    }

    /// Says what came of it.
    fn tell(
        &self,
        args: &Args,
        out: &Out,
        (outcome, artifact): (&Outcome, &Artifact),
        (took, machine): (String, Value),
    ) -> Result<(), Fault> {
        let rows = self.rows(args, outcome.seconds, artifact)?;
        let (table, figures) = present(&rows, self.retrained.is_some());
        let (opened, success) = self.success(args, artifact)?;
        let yardstick = args.retrained.as_deref().zip(self.retrained.as_ref());
        let mut warnings = mismatches(&args.scenario, args.seed, None, yardstick);
        warnings.extend(self.settled.notes.iter().cloned());
        warnings.extend(self.lost.clone());
        warnings.extend(self.tuned.as_ref().map(tuned::Entry::note));
        let Sets { forget, retain, test } = &self.sets;
        let [forgotten, kept, tested] = [forget, retain, test].map(Vec::len);
        let gone = match outcome.dropped {
            0 => String::new(),
            gone => format!("; {gone} weights left"),
        };
        let text = format!(
            "{} forgot {} (seed {}) of {} in {}{gone}\n{took}\
             {forgotten} samples to forget, {kept} kept, {tested} to test on\n\n{table}{opened}{}",
            args.out.display(),
            args.scenario,
            args.seed,
            self.data.name,
            Seconds(outcome.seconds),
            notes(&warnings)
        );
        let mut value = json!({
            "command": "forget", "file": setting::told(&args.out), "id": artifact.id.to_string(),
            "data": self.data.name, "model": setting::told(&args.model),
            "parent": self.model.id.to_string(), "file_bytes": artifact.bytes,
            "scenario": args.scenario, "seed": args.seed, "method": setting::plain(&self.method),
            "tuned": self.tuned.as_ref().map(tuned::Entry::value),
            "plan": learn::plan(self.settled.compute), "forget_samples": forgotten,
            "retain_samples": kept, "test_samples": tested, "dropped_weights": outcome.dropped,
            "rte_seconds": outcome.seconds, "machine": machine, "models": figures,
            "epochs": setting::plain(&outcome.epochs),
            "anchor": anchor::value(artifact.anchor.as_ref()), "warnings": warnings,
        });
        poison::tell(&mut value, success);
        out.result(&text, &value)
    }
}

impl Args {
    /// What the new file says of its making: the model's facts, and what happened since.
    fn facts(&self, asked: &Asked) -> Facts {
        let Asked { model, method, sets, .. } = asked;
        let method = serde_json::to_string(method).unwrap_or_default();
        let past = Past::of(&model.facts).and(Some(&self.scenario), self.seed);
        past.state(model.facts.clone())
            .with("made_by", format!("unlearn {} forget", env!("CARGO_PKG_VERSION")))
            .with("parent", model.id.to_string())
            .with("scenario", self.scenario.clone())
            .with("scenario_seed", self.seed.to_string())
            .with("forget_samples", sets.forget.len().to_string())
            .with("retain_samples", sets.retain.len().to_string())
            .with("method", method)
            .with("plan", learn::plan(asked.settled.compute))
    }

    /// How the run computes, and what it takes in memory where somebody asked.
    fn settled(
        &self,
        memory: &MemoryArgs,
        model: &Artifact,
        (data, sets): (&Splits, &Sets),
        method: &Method,
    ) -> Result<Settled, Fault> {
        let network = &model.network;
        let beside = [&self.base, &self.retrained].into_iter().flatten().count() as u64;
        let samples = sets.forget.len() + sets.retain.len() + sets.test.len();
        let shadow = sets.retain.len().min(sets.test.len());
        let classes = network.description.classes;
        // What the method reads are sets of their own beside the whole.
        let gone = if method.needs_forget() { sets.forget.len() } else { 0 };
        let kept = memory::set_bytes(&data.train) * (sets.retain.len() + gone) as u64
            / (data.train.len() as u64).max(1);
        let recipe = method.recipe(self.seed);
        let batch = recipe.batch.min(sets.retain.len().max(gone));
        let around = Around {
            data: memory::data_bytes(data) + kept,
            models: (1 + beside) * network_bytes(network)
                + method.beside_bytes(network, batch, sets.retain.len())
                + anchor::bytes(model.anchor.as_ref())
                + anchor::in_file(model.anchor.as_ref()),
            checkpoint: false,
            network,
            answers: if self.no_measure {
                0
            } else {
                memory::answer_bytes(samples, classes, shadow)
            },
            before: None,
        };
        memory.settle(&around, batch, &recipe, None)
    }

    /// The model to return to, or to start from, if one was given.
    fn base(&self, model: &Artifact) -> Result<Option<Artifact>, Fault> {
        let returns = self.form == Some(FormArg::TowardsBase);
        let Some(path) = &self.base else {
            return match returns {
                true => Err(Fault::Usage(
                    "--form towards-base needs --base FILE, a model that never knew the samples"
                        .into(),
                )),
                false => Ok(None),
            };
        };
        if !returns && self.method != "retrain" {
            return Err(Fault::Usage(
                "--base belongs to --form towards-base, or to --method retrain".into(),
            ));
        }
        let base = setting::open_model(path)?;
        if returns && base.network.masks() != model.network.masks() {
            return Err(Fault::Usage(format!(
                "{} has other masks than {}: weights can only return to a model that has them",
                path.display(),
                self.model.display()
            )));
        }
        Ok(Some(base))
    }

    /// The settings to begin with, if tuned ones are wanted.
    fn tuned(&self, model: &Artifact) -> Result<Option<tuned::Entry>, Fault> {
        let Some(path) = &self.tuned else { return Ok(None) };
        let network = &model.network;
        let of = (&network.description.name[..], network.sparsity());
        let all = Tuned::read(path.as_deref())?;
        all.find(&self.method, of, &self.scenario).cloned().map(Some)
    }

    /// The method with its numbers: the words here over the method's defaults, or over tuned ones. A retraining takes
    /// the original's recipe and start.
    fn method(
        &self,
        model: &Artifact,
        original: Option<&Recipe>,
        base: Option<&Artifact>,
        tuned: Option<&tuned::Entry>,
    ) -> Result<Method, Fault> {
        let tuned = tuned.map(|entry| entry.method.clone());
        if let Some(free) = self.free_epochs {
            let usual = tuned.as_ref().map(|method| method.recipe(self.seed).epochs);
            let usual = usual.unwrap_or(FineTune::default().epochs);
            let epochs = self.recipe.epochs.unwrap_or(usual);
            if free >= epochs {
                return Err(Fault::Usage(format!(
                    "--free-epochs leaves no epoch of {epochs} under the penalty: give fewer, or --method fine-tune"
                )));
            }
        }
        let Some(mut method) = tuned.or_else(|| Method::named(&self.method)) else {
            let names = way::names().join(", ");
            return Err(Fault::Usage(format!("--method {}: expected one of {names}", self.method)));
        };
        if let Method::Retrain(retrain) = &mut method {
            let Some(original) = original else {
                return Err(Fault::Usage(format!(
                    "{} does not say how it was trained: it cannot be retrained",
                    self.model.display()
                )));
            };
            if self.recipe.train.is_some_and(|trained| !trained.is_all()) {
                return Err(Fault::Usage("--train belongs to methods that go on training: a retraining starts from scratch, and every layer must learn".into()));
            }
            if let Some(body) = model.facts.get(learn::BODY) {
                return Err(Fault::Usage(format!(
                    "{} began with the layers of {body}: a retraining from scratch would be of another network; train it anew with --from and --without",
                    self.model.display()
                )));
            }
            *retrain = Self::like(model, original, base);
        }
        way::set(&method, &self.sets())
    }

    /// A retraining as the original was trained, from `early` on if there is one.
    fn like(model: &Artifact, original: &Recipe, early: Option<&Artifact>) -> Retrain {
        let seed = model.facts.get("init_seed").or(model.facts.get("seed"));
        let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or(original.seed);
        let epoch = |early: &Artifact| early.facts.get("epoch").and_then(|e| e.parse().ok());
        let start =
            early.map_or(Start::Seed(seed), |early| Start::Rewound(epoch(early).unwrap_or(0)));
        Retrain::like(original, start)
    }

    /// Every field of the method that an option sets, `--set` last.
    fn sets(&self) -> Vec<way::Set> {
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map(|value| value.get_name().to_string()).unwrap_or_default()
        };
        let mut sets: Vec<way::Set> = self.recipe.sets();
        if self.method == "retrain" {
            // All layers, said or not.
            sets.retain(|set| set.field != "trained");
        }
        let one = |option: &str, field: &str, value: serde_json::Value| {
            way::Set::new(option, field, value)
        };
        sets.extend(self.alpha.map(|alpha| one("--alpha", "alpha", alpha.into())));
        let form = self.form.map(|form| name(form.to_possible_value()));
        sets.extend(form.map(|form| one("--form", "form", form.into())));
        let strength = self.strength.map(|strength| name(strength.to_possible_value()));
        sets.extend(strength.map(|strength| one("--strength", "strength", strength.into())));
        sets.extend(self.prunable_only.then(|| one("--prunable-only", "reach", "prunable".into())));
        sets.extend(self.free_epochs.map(|free| one("--free-epochs", "free_epochs", free.into())));
        sets.extend(self.set.iter().cloned());
        sets
    }
}
