//! `unlearn evaluate`: what a network has forgotten.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::fault::Fault;
use super::setting::{self, Common, Out};
use super::table::Table;
use crate::base::units::{Bytes, Seconds};
use crate::data::Splits;
use crate::evaluate::{Attack, Measured, Metric, Sets, measure};
use crate::model::file::Artifact;
use crate::sparse::Isa;

/// Measure a model file: UA, RA, TA, MIA-efficacy, and the gap to a retrained one.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn evaluate --model forgot.esm --data fashion-mnist --scenario class=0 --retrained retrained.esm\n\nUA   100 minus the accuracy on the samples to forget\nRA   accuracy on the training samples that are kept\nTA   accuracy on the test set, without the classes that are forgotten\nMIA  share of the samples to forget that an attack takes for never seen\nNone of them is better when higher: the aim is the retrained model's."
)]
pub(super) struct Args {
    /// The model file
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// The data set
    #[arg(long, value_name = "PATH")]
    data: String,
    /// What was to be forgotten
    #[arg(long, value_name = "SCENARIO")]
    scenario: String,
    /// A retrained model, to tell the gap to
    #[arg(long, value_name = "FILE")]
    retrained: Option<PathBuf>,
    /// Shadow sets as the released code draws them: the first retained samples
    #[arg(long)]
    compat: bool,
    /// Seed of scenario and attack
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    pub common: Common,
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let model = setting::open_model(&args.model)?;
    let data = setting::open_data(&args.data)?;
    let retrained = args.retrained.as_ref().map(|path| setting::open_model(path)).transpose()?;
    let sets = Sets::new(&setting::scenario(&args.scenario)?, &data, args.seed)?;
    let attack = if args.compat { Attack::released() } else { Attack::paper(args.seed) };
    let isa = setting::isa();
    let mut rows =
        vec![Row::new("model", &args.model, judge(&model, &data, &sets, attack, None, isa)?)];
    if let (Some(path), Some(artifact)) = (&args.retrained, &retrained) {
        rows.push(Row::new("retrained", path, judge(artifact, &data, &sets, attack, None, isa)?));
    }
    let (text, figures) = present(&rows, retrained.is_some());
    let value = json!({
        "command": "evaluate", "data": data.name, "scenario": args.scenario, "seed": args.seed,
        "forget_samples": sets.forget.len(), "retain_samples": sets.retain.len(),
        "test_samples": sets.test.len(), "attack": attack, "models": figures,
    });
    out.result(&text, &value)
}

/// A file with its figures.
pub(super) struct Judged {
    pub measured: Measured,
    pub bytes: u64,
    pub sparsity: f64,
    pub id: String,
}

/// Measures the network of a file.
pub(super) fn judge(
    artifact: &Artifact,
    data: &Splits,
    sets: &Sets,
    attack: Attack,
    seconds: Option<f64>,
    isa: Isa,
) -> Result<Judged, Fault> {
    let measured = measure(&artifact.network, data, sets, attack, seconds, isa)?;
    let (bytes, sparsity) = (artifact.bytes, artifact.network.sparsity());
    Ok(Judged { measured, bytes, sparsity, id: artifact.id.to_string() })
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
    let mut table =
        Table::new(["", "UA %", "RA %", "TA %", "MIA %", "avg gap", "seconds", "sparsity", "file"]);
    let retrained = rows.last().filter(|_| yardstick).map(|row| &row.judged.measured.report);
    let mut list = Vec::new();
    for row in rows {
        let Judged { measured, bytes, sparsity, id } = &row.judged;
        let report = &measured.report;
        let gap = retrained.map(|retrained| report.gap(retrained));
        let percent = |metric: &Option<Metric>| {
            metric.as_ref().map_or("-".into(), |metric| format!("{:.2}", metric.value))
        };
        let average = gap.as_ref().and_then(|gap| gap.average);
        table.row(vec![
            row.name.clone(),
            percent(&report.ua),
            percent(&report.ra),
            percent(&report.ta),
            percent(&report.mia_efficacy),
            average.map_or("-".into(), |average| format!("{average:.2}")),
            report.rte.as_ref().map_or("-".into(), |rte| Seconds(rte.value).to_string()),
            format!("{:.2} %", 100.0 * sparsity),
            Bytes(*bytes).to_string(),
        ]);
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
        "UA, RA, TA, MIA: none is better when higher, the aim is a model that never knew the samples.\n\
         The attack behind MIA tells its own shadow members apart in at most {:.1} % of cases (50 % is a coin).\n",
        100.0 * attack
    );
    (format!("{table}{note}"), json!(list))
}
