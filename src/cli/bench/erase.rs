//! `unlearn bench erase`: one person leaves a household, by each way, on real samples.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::device::HomeDeviceArgs;
use super::super::fault::Fault;
use super::super::learn;
use super::super::machine::{BudgetArgs, Machine};
use super::super::setting::{self, Common, DataArgs, Out};
use super::super::table::Table;
use crate::base::clock::Stopwatch;
use crate::base::disk::{FileDisk, read_at_most};
use crate::base::units::{Bytes, Seconds};
use crate::data::{Dataset, Holdout, Splits, Values as Stored, holdout};
use crate::erase::receipt::{Claimed, Policy};
use crate::erase::{
    Choice, Erased, Given, Home, HomeError, Limits, Plan, Setup, Wish, default_recipe, file_keys,
};
use crate::evaluate::{Attack, Measured, Sets, measure};
use crate::model::Device;
use crate::model::file::Artifact;
use crate::train::Recipe;
use crate::vault::Values;

/// One person leaves a household, by each way: what is forgotten, what it takes, what was foretold.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn bench erase --base package.esm --data fsdd --household george,theo \\\n             --leaves george --out homes\n\nThe base must not know the household: make it with `train --without subject=...` and `prune --anchor N`. UA, MIA-efficacy are of the samples that the one who leaves was learnt from, RA of those of the others, TA of the others' test samples. The gap is to exact replay. A home for each way is left in --out."
)]
pub(super) struct Args {
    /// The base, a package with an anchor set
    #[arg(long, value_name = "FILE")]
    base: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// Subjects of the data set that make the household
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', required = true)]
    household: Vec<String>,
    /// The one of them who leaves
    #[arg(long, value_name = "NAME")]
    leaves: String,
    /// Passes of adapting
    #[arg(long, value_name = "N", default_value_t = 10)]
    epochs: usize,
    /// Learning rate of adapting
    #[arg(long, value_name = "RATE", default_value_t = 0.01)]
    rate: f32,
    /// Which layers adapt: head, last=K or all
    #[arg(long, value_name = "LAYERS", default_value = "last=2")]
    train: String,
    /// Seed of holdouts, orders and new heads
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The folder for the homes, which is not there yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    device: HomeDeviceArgs,
    #[command(flatten)]
    budget: BudgetArgs,
    #[command(flatten)]
    pub common: Common,
}

/// The ways, with what is asked for.
const WAYS: [(&str, Option<Choice>); 4] = [
    ("before", None),
    ("exact-replay", Some(Choice::ExactReplay)),
    ("l1-sparse", Some(Choice::L1Sparse)),
    ("reset", Some(Choice::Reset)),
];

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let device = args.device.open()?.device;
    let mut machine = args.budget.watch(None)?;
    let package = read_at_most(&args.base, 4 << 30).map_err(Fault::Given)?;
    let base = setting::open_model(&args.base)?;
    let household = household(args, &base)?;
    std::fs::create_dir(&args.out).map_err(|error| {
        Fault::Given(crate::base::disk::DiskError::from_io("make the folder", &args.out, error))
    })?;
    let mut rows = Vec::new();
    for (name, choice) in WAYS {
        out.say(&format!("{name}: taking in, adapting, erasing"));
        machine.turn()?;
        let folder = args.out.join(name);
        rows.push(one(args, (&machine, device), (&package, &household), &folder, (name, choice))?);
    }
    let gaps = rows[1].measured.report.clone();
    let mut table = Table::new([
        "way",
        "guarantee",
        "UA %",
        "RA %",
        "TA %",
        "MIA %",
        "gap",
        "planned",
        "took",
        "memory",
    ]);
    let mut told = Vec::new();
    for row in &rows {
        let gap = row.measured.report.gap(&gaps);
        table.row(row.cells(gap.average));
        told.push(row.json(&gap));
    }
    let sizes = json!({
        "forget": household.sets.forget.len(), "retain": household.sets.retain.len(),
        "test": household.sets.test.len(),
    });
    let text = format!(
        "{} leaves {} on {}: {} samples to forget, {} to keep, {} to test\n\n{table}",
        args.leaves,
        args.household.join(", "),
        household.splits.name,
        household.sets.forget.len(),
        household.sets.retain.len(),
        household.sets.test.len(),
    );
    let mut value = json!({
        "command": "bench erase", "data": household.splits.name, "household": args.household,
        "leaves": args.leaves, "seed": args.seed, "epochs": args.epochs, "train": args.train,
        "plan": learn::plan(device),
        "samples": sizes, "adapt_seconds": rows[0].adapting, "rows": told,
    });
    let took = machine.seal(&mut value);
    out.result(&(text + &took), &value)
}

/// The household's part of a data set, and the sets that are measured on.
struct Household {
    splits: Splits,
    sets: Sets,
}

fn household(args: &Args, base: &Artifact) -> Result<Household, Fault> {
    let mut splits = args.data.open_for(base)?;
    let names = &splits.train.subject_names;
    let missing = args.household.iter().find(|name| !names.contains(name));
    if let Some(name) = missing {
        return Err(Fault::Usage(format!("{} has no subject `{name}`", splits.name)));
    }
    if !args.household.contains(&args.leaves) || args.household.len() < 2 {
        return Err(Fault::Usage(
            "--leaves names one of --household, which has two or more".into(),
        ));
    }
    let of = |set: &Dataset, wanted: &dyn Fn(&str) -> bool| -> Vec<usize> {
        let name = |i: usize| &*set.subject_names[set.subjects[i] as usize];
        (0..set.len()).filter(|&i| wanted(name(i))).collect()
    };
    let here = |name: &str| args.household.iter().any(|known| known == name);
    splits.train = splits.train.subset(&of(&splits.train, &here));
    splits.test = splits.test.subset(&of(&splits.test, &here));
    if splits.test.is_empty() {
        // A data set whose test part is of other people: a fifth of the household's groups measures.
        let Holdout { learn, held } = holdout(&splits.train, 0.2, args.seed)?;
        splits.test = splits.train.subset(&held);
        splits.train = splits.train.subset(&learn);
    }
    let leaves = |name: &str| name == args.leaves;
    let stays = |name: &str| name != args.leaves;
    let sets = Sets {
        forget: of(&splits.train, &leaves),
        retain: of(&splits.train, &stays),
        test: of(&splits.test, &stays),
    };
    let empty = sets.forget.is_empty() || sets.retain.is_empty() || sets.test.is_empty();
    match empty {
        true => Err(Fault::Usage(format!(
            "a set is empty: {} to forget, {} to keep, {} to test; does {} have test samples of the household?",
            sets.forget.len(),
            sets.retain.len(),
            sets.test.len(),
            splits.name
        ))),
        false => Ok(Household { splits, sets }),
    }
}

/// What came of one way.
struct Row {
    name: &'static str,
    erased: Option<Erased>,
    plan: Option<Plan>,
    adapting: f64,
    seconds: f64,
    receipt: u64,
    measured: Measured,
}

fn one(
    args: &Args,
    (machine, device): (&Machine, Device),
    (package, household): (&[u8], &Household),
    folder: &Path,
    (name, choice): (&'static str, Option<Choice>),
) -> Result<Row, Fault> {
    let setup = Setup { seed: args.seed, ..Setup::default() };
    let disk = Box::new(FileDisk);
    let mut home =
        Home::init(disk, folder, file_keys(folder), package.to_vec(), &args.base, setup)?;
    home.set_gauge(machine.gauge());
    home.compute_on(device);
    home.ingest(&given(&household.splits.train))?;
    let trained = crate::train::Trained::parse(&args.train)?;
    let recipe = Recipe { epochs: args.epochs, rate: args.rate, trained, ..default_recipe() };
    let adapted = home.adapt(recipe, &mut ())?;
    let (mut erased, mut plan, mut receipt) = (None, None, 0);
    let watch = Stopwatch::start();
    if choice.is_some() {
        let person = home.handle_of(&args.leaves)?;
        plan = Some(home.plan(&[person], false, choice, None)?);
        let wish = Wish { policy: Policy::AuditFirst, method: choice, ..Wish::new(&args.leaves) };
        home.receive(vec![wish], true)?;
        // The gate's limit is wide open: a way that fails is a figure here, not a reason for another.
        let limits = Limits { drop: 100.0, worst: 100.0, ..Limits::default() };
        erased = home.carry_out(limits, &mut ())?;
        let bytes = home.receipt_bytes(1)?;
        receipt = bytes.len() as u64;
        let checked = Claimed::parse(&bytes).and_then(|claimed| {
            let key = home.signing_key().map(|key| key.public());
            key.map_or(Ok(()), |key| claimed.verify(&key).map(drop))
        });
        checked.map_err(HomeError::from)?;
    }
    let seconds = watch.seconds();
    let attack = Attack::paper(args.seed);
    let network = home.live()?.network;
    let (splits, sets) = (&household.splits, &household.sets);
    let measured = measure(&network, splits, sets, attack, None, setting::isa())?;
    Ok(Row { name, erased, plan, adapting: adapted.seconds, seconds, receipt, measured })
}

fn given(set: &Dataset) -> Vec<Given> {
    let len = set.sample_len();
    let one = |index: usize| {
        let values = match &set.values {
            Stored::Bytes(all) => Values::Bytes(all[index * len..][..len].to_vec()),
            _ => {
                let mut values = vec![0.0; len];
                set.read(index, &mut values);
                Values::Floats(values)
            }
        };
        Given {
            subjects: vec![set.subject_names[set.subjects[index] as usize].clone()],
            label: set.classes[set.labels[index] as usize].clone(),
            group: set.groups.get(index).map(u32::to_string),
            values,
        }
    };
    (0..set.len()).map(one).collect()
}

impl Row {
    fn planned(&self) -> (f64, u64) {
        let taken = self.plan.as_ref().and_then(Plan::taken);
        taken.map_or((0.0, 0), |way| (way.seconds, way.bytes))
    }

    fn cells(&self, gap: Option<f64>) -> Vec<String> {
        let report = &self.measured.report;
        let figure = |metric: &Option<crate::evaluate::Metric>| {
            metric.as_ref().map_or("-".into(), |metric| format!("{:.1}", metric.value))
        };
        let (seconds, bytes) = self.planned();
        let learnt = self.erased.as_ref().map_or(0.0, |erased| erased.seconds);
        let cost = |text: String| if bytes == 0 { "-".to_string() } else { text };
        vec![
            self.name.into(),
            self.erased.as_ref().map_or("-".into(), |erased| erased.guarantee.clone()),
            figure(&report.ua),
            figure(&report.ra),
            figure(&report.ta),
            figure(&report.mia_efficacy),
            gap.map_or("-".into(), |gap| format!("{gap:.1}")),
            cost(Seconds(seconds).to_string()),
            cost(Seconds(learnt).to_string()),
            cost(Bytes(bytes).to_string()),
        ]
    }

    fn json(&self, gap: &crate::evaluate::Gap) -> Value {
        let (seconds, bytes) = self.planned();
        json!({
            "way": self.name, "report": setting::plain(&self.measured.report), "gap": setting::plain(gap),
            "erased": self.erased, "plan": self.plan, "planned_seconds": seconds, "planned_bytes": bytes,
            "learnt_seconds": self.erased.as_ref().map(|erased| erased.seconds),
            "whole_seconds": self.seconds, "receipt_bytes": self.receipt,
        })
    }
}
