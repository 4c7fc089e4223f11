//! `unlearn evaluate`: what a network has forgotten.

mod more;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::device::DeviceArgs;
use super::fault::Fault;
use super::past::{self, Past};
use super::poison;
use super::setting::{self, Common, DataArgs, Out};
use super::table::Table;
use crate::base::units::{Bytes, Seconds};
use crate::data::Splits;
use crate::evaluate::{Answers, Attack, Measured, Metric, Scores, Sets};
use crate::model::file::Artifact;
use crate::train::{Compute, score};

/// Measure a model file: UA, RA, TA, MIA-efficacy, and the gap to a retrained one.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn evaluate --model forgot.esm --data fashion-mnist --scenario class=0 --retrained retrained.esm\n\nUA   100 minus the accuracy on the samples to forget\nRA   accuracy on the training samples that are kept\nTA   accuracy on the test set, without the classes that are forgotten\nVA   accuracy on the samples of --validation, which MODEL never learnt from\nMIA  share of the samples to forget that an attack takes for never seen\nNone of them is better when higher: the aim is the retrained model's.\n\n--attacks adds: MIA by correctness, confidence, entropy, modified entropy and all probabilities; whether kept samples are told from unseen ones (a coin: 50 %); thresholds a class (Song and Mittal). Attacks with shadow models: unlearn shadow.\n\nScenarios: class=K[,K] | part=K:SHARE|COUNT[,..] | random=SHARE|COUNT | subject=ID[,ID] | indices=FILE | backdoor=TARGET:COUNT[:SIDE[:black|white]]"
)]
pub(super) struct Args {
    /// The model file
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// What was to be forgotten
    #[arg(long, value_name = "SCENARIO")]
    scenario: String,
    /// A retrained model, to tell the gap to
    #[arg(long, value_name = "FILE")]
    retrained: Option<PathBuf>,
    /// Attack as the paper's released code does: the first retained samples for members, no draw
    #[arg(long)]
    compat: bool,
    /// Measure VA too, the accuracy on training samples that MODEL was trained --without and that are not to
    /// be forgotten, like random=0.1
    #[arg(long, value_name = "SCENARIO")]
    validation: Option<String>,
    /// Run every attack that the model's answers are enough for, on samples forgotten and kept
    #[arg(long)]
    attacks: bool,
    /// Measure how soon the samples are learnt again, up to the accuracy of FILE, the model that knew them
    #[arg(long, value_name = "FILE")]
    relearn: Option<PathBuf>,
    /// Seed of scenario and attack [default: the one with which MODEL forgot it, else 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Take data that MODEL did not learn from
    #[arg(long)]
    other_data: bool,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    pub common: Common,
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let model = setting::open_model(&args.model)?;
    let data = args.data.open_learnt(&model)?;
    let retrained = args.retrained.as_ref().map(|path| setting::open_model(path)).transpose()?;
    let original = args.relearn.as_ref().map(|path| setting::open_model(path)).transpose()?;
    past::same_data(&model, &args.model, &data, args.other_data)?;
    let past = Past::of(&model.facts);
    let seed = args.seed.or(past.seed_of(&args.scenario)).unwrap_or(1);
    let scenario = setting::scenario(&args.scenario)?;
    poison::fits(&scenario, seed, &model)?;
    let mut sets = Sets::new(&scenario, &data, seed)?;
    past.narrow(&mut sets, &data)?;
    let attack = if args.compat { Attack::released() } else { Attack::paper(seed) };
    let networks = std::iter::once(("model", &args.model, &model))
        .chain(args.retrained.as_ref().zip(retrained.as_ref()).map(|(p, a)| ("retrained", p, a)));
    let (device, mut fallen) = args.device.device.open(&model.network)?;
    let (mut rows, mut more) = (Vec::new(), more::More::default());
    for (name, path, artifact) in networks {
        let answers = ask(artifact, &data, &sets, device)?;
        let mut judged = Judged::of(artifact, &answers, attack, None)?;
        if let Some(scenario) = &args.validation {
            judged.validate(artifact, path, scenario, (&data, &sets), device)?;
        }
        rows.push(Row::new(name, path, judged));
        if args.attacks {
            more.attack(name, attack, &answers)?;
        }
    }
    if let Some(retrained) = &retrained {
        more.distance(&retrained.network, &model.network);
    }
    if let Some(original) = &original {
        let networks = [Some(("model", &model)), retrained.as_ref().map(|r| ("retrained", r))];
        let networks = networks.into_iter().flatten().map(|(name, a)| (name, &a.network));
        let forget = data.train.subset(&sets.forget);
        let wanted = args.device.device;
        let fell = more.relearn(networks, &original.network, &forget, seed, wanted)?;
        fallen = fallen.or(fell);
    }
    let (table, figures) = present(&rows, retrained.is_some());
    let beside = retrained.iter().map(|artifact| ("retrained", artifact));
    let models: Vec<_> = [("model", &model)].into_iter().chain(beside).collect();
    let (opened, success) = poison::success(&scenario, &models, &data, device)?;
    let yardstick = args.retrained.as_deref().zip(retrained.as_ref());
    let mut warnings = mismatches(&args.scenario, seed, Some((&args.model, &model)), yardstick);
    warnings.extend(fallen);
    let asked = args.told(&data, &sets, seed);
    let text = format!("{asked}\n\n{table}{opened}{}{}", more.text, notes(&warnings));
    let mut value = json!({
        "command": "evaluate", "data": data.name, "scenario": args.scenario, "seed": seed,
        "forget_samples": sets.forget.len(), "retain_samples": sets.retain.len(),
        "test_samples": sets.test.len(), "attack": attack, "models": figures, "warnings": warnings,
    });
    if let Value::Object(value) = &mut value {
        value.extend(more.values);
    }
    poison::tell(&mut value, success);
    out.result(&text, &value)
}

impl Args {
    /// What was asked, of which samples.
    fn told(&self, data: &Splits, sets: &Sets, seed: u64) -> String {
        let attack = if self.compat { ", attacked as the released code does" } else { "" };
        let [forget, retain, test] = [&sets.forget, &sets.retain, &sets.test].map(Vec::len);
        format!(
            "{} on {}, {} (seed {seed}){attack}\n{forget} samples to forget, {retain} kept, {test} to test on",
            self.model.display(),
            data.name,
            self.scenario
        )
    }
}

/// Why the files may not fit the question that is asked.
pub(super) fn mismatches(
    scenario: &str,
    seed: u64,
    model: Option<(&Path, &Artifact)>,
    retrained: Option<(&Path, &Artifact)>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for ((path, artifact), yardstick) in
        model.map(|m| (m, false)).into_iter().chain(retrained.map(|r| (r, true)))
    {
        let past = Past::of(&artifact.facts);
        let path = path.display();
        if past.is_empty() && yardstick {
            warnings.push(format!("{path} was not trained without these samples: the gap is to a model that knows them"));
        } else if !past.is_empty() && !past.holds(scenario, seed) {
            warnings.push(format!("{path} forgot {}, not {scenario} (seed {seed})", past.told()));
        }
    }
    warnings
}

/// Warnings as lines.
pub(super) fn notes(warnings: &[String]) -> String {
    warnings.iter().map(|warning| format!("note: {warning}\n")).collect()
}

/// A file with its figures.
pub(super) struct Judged {
    pub measured: Measured,
    pub bytes: u64,
    pub sparsity: f64,
    pub id: String,
}

impl Judged {
    /// The figures of what the network of a file answered.
    fn of(
        artifact: &Artifact,
        answers: &Answers,
        attack: Attack,
        seconds: Option<f64>,
    ) -> Result<Self, Fault> {
        let measured = answers.measure(attack, seconds)?;
        let (bytes, sparsity) = (artifact.bytes, artifact.network.sparsity());
        Ok(Self { measured, bytes, sparsity, id: artifact.id.to_string() })
    }

    /// Adds VA, on what the file at `path` was trained without and is not to forget.
    fn validate(
        &mut self,
        artifact: &Artifact,
        path: &Path,
        scenario: &str,
        (data, sets): (&Splits, &Sets),
        compute: impl Into<Compute>,
    ) -> Result<(), Fault> {
        let train = &data.train;
        let held = Past::of(&artifact.facts).held(scenario, path, sets, train)?;
        let probabilities = score(&artifact.network, train, &held, compute.into())?;
        let labels = held.iter().map(|&index| train.labels[index]).collect();
        let scores = Scores::new("validation", probabilities, labels)?;
        self.measured.report = std::mem::take(&mut self.measured.report).validation(&scores);
        Ok(())
    }
}

/// Asks the network of a file about the sets of a scenario.
fn ask(
    artifact: &Artifact,
    data: &Splits,
    sets: &Sets,
    compute: impl Into<Compute>,
) -> Result<Answers, Fault> {
    if super::watch::stopped() {
        return Err(Fault::Interrupted(
            "stopped before everything was measured; files that were written stay".into(),
        ));
    }
    Ok(Answers::of(&artifact.network, data, sets, compute)?)
}

/// Measures the network of a file.
pub(super) fn judge(
    artifact: &Artifact,
    data: &Splits,
    sets: &Sets,
    attack: Attack,
    seconds: Option<f64>,
    compute: impl Into<Compute>,
) -> Result<Judged, Fault> {
    Judged::of(artifact, &ask(artifact, data, sets, compute)?, attack, seconds)
}

/// A line of the table of figures.
pub(super) struct Row {
    pub name: String,
    pub file: PathBuf,
    pub judged: Judged,
}

impl Row {
    pub(super) fn new(name: &str, file: &Path, judged: Judged) -> Self {
        Self { name: name.into(), file: file.to_path_buf(), judged }
    }
}

/// The figures as a table and as JSON; with `yardstick`, the last row is the retrained model.
pub(super) fn present(rows: &[Row], yardstick: bool) -> (String, Value) {
    // Only where it was asked for.
    let validated = rows.iter().any(|row| row.judged.measured.report.va.is_some());
    let columns =
        ["", "UA %", "RA %", "TA %", "VA %", "MIA %", "avg gap", "seconds", "sparsity", "file"];
    let columns = columns.into_iter().filter(|name| validated || *name != "VA %");
    let mut table = Table::headed(columns.map(String::from).collect());
    let retrained = rows.last().filter(|_| yardstick).map(|row| &row.judged.measured.report);
    let mut list = Vec::new();
    for row in rows {
        let Judged { measured, bytes, sparsity, id } = &row.judged;
        let report = &measured.report;
        let gap = retrained.map(|retrained| report.gap(retrained));
        let percent = |metric: &Option<Metric>| {
            let half = |[low, high]: [f64; 2]| format!(" ±{:.1}", (high - low) / 2.0);
            metric.as_ref().map_or("-".into(), |metric| {
                format!("{:.1}{}", metric.value, metric.interval95.map_or(String::new(), half))
            })
        };
        let average = gap.as_ref().and_then(|gap| gap.average);
        let mut cells =
            vec![row.name.clone(), percent(&report.ua), percent(&report.ra), percent(&report.ta)];
        cells.extend(validated.then(|| percent(&report.va)));
        cells.extend([
            percent(&report.mia_efficacy),
            average.map_or("-".into(), |average| format!("{average:.1}")),
            report.rte.as_ref().map_or("-".into(), |rte| Seconds(rte.value).to_string()),
            format!("{:.2} %", 100.0 * sparsity),
            Bytes(*bytes).to_string(),
        ]);
        table.row(cells);
        list.push(json!({
            "name": row.name, "file": setting::told(&row.file), "id": id, "file_bytes": bytes,
            "sparsity_percent": 100.0 * sparsity, "sparsity_of": "prunable weights",
            "report": report, "membership": measured.membership, "gap_to_retrained": gap,
        }));
    }
    if rows.is_empty() {
        return (String::new(), json!([]));
    }
    let attack = rows.iter().map(|row| row.judged.measured.membership.shadow_accuracy);
    let attack = attack.fold(0.0, f64::max);
    let note = format!(
        "None is better when higher: the aim is a model that never knew the samples. ± is half the 95 % interval.\n\
         The attack behind MIA is right on at most {:.1} % of the samples it learnt from (a coin: 50 %).\n",
        100.0 * attack
    );
    (format!("{table}{note}"), json!(list))
}
