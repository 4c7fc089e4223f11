//! What is told of each cell: one object with all that it was made from and all that was measured.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::setting::{self, plain};
use super::super::tuned::{self, Chosen, Entry, Tuned};
use super::graph::{Cell, How};
use super::store::Model;
use super::world::{Made, World};
use crate::evaluate::{Gap, Metric, Report};

/// What the model before forgetting, and the yardstick, are called.
pub(super) const ORIGINAL: &str = "original";
pub(super) const RETRAIN: &str = "retrain";
/// What a figure may be of.
pub(super) const METRICS: [&str; 4] = ["ua", "ra", "ta", "mia_efficacy"];

/// A cell with its figures.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub cell: Cell,
    /// The method's name in tables.
    pub label: String,
    /// The figures, or why there are none.
    pub report: Result<Report, String>,
    /// To the retrained model of the same seed and mask.
    pub gap: Option<Gap>,
    /// Seconds that forgetting took.
    pub rte: Option<f64>,
    /// All of it.
    pub value: Value,
}

impl Line {
    /// UA, RA, TA and MIA-efficacy, where they were measured.
    pub(super) fn figures(&self) -> Option<[f64; 4]> {
        self.report.as_ref().ok().and_then(figures)
    }
}

/// UA, RA, TA and MIA-efficacy of a report.
fn figures(report: &Report) -> Option<[f64; 4]> {
    let value = |metric: &Option<Metric>| metric.as_ref().map(|metric| metric.value);
    Some([value(&report.ua)?, value(&report.ra)?, value(&report.ta)?, value(&report.mia_efficacy)?])
}

/// The lines of all cells, in the order of the table.
pub(super) fn lines(world: &World<'_>, made: &[Arc<Made>]) -> Vec<Line> {
    world.graph.cells.iter().map(|cell| line(world, cell, made)).collect()
}

fn line(world: &World<'_>, cell: &Cell, made: &[Arc<Made>]) -> Line {
    let report = match &*made[cell.measure] {
        Made::Failed(why) => Err(why.clone()),
        made => super::tune::report(made).ok_or_else(|| "it was not measured".to_string()),
    };
    let yardstick = super::tune::report(&made[cell.yardstick]);
    let gap = match (&report, &yardstick, cell.how) {
        (Ok(report), Some(yardstick), how) if how != Some(How::Retrain) => {
            Some(report.gap(yardstick))
        }
        _ => None,
    };
    let rte = cell.forget.and_then(|step| model(made, step)).map(|(model, _)| model.seconds);
    let label = match cell.how {
        None => ORIGINAL.to_string(),
        Some(How::Retrain) => RETRAIN.to_string(),
        Some(How::Method(entry) | How::Candidate(entry, _) | How::Chosen(entry)) => {
            world.entry(entry).label.clone()
        }
    };
    let mut value = place(world, cell, &label);
    told_method(&mut value, world, cell, made);
    value["status"] = json!(if report.is_ok() { "done" } else { "failed" });
    value["error"] = json!(report.as_ref().err());
    told_figures(&mut value, &made[cell.measure]);
    value["gap_to_retrain"] = json!(gap);
    told_model(&mut value, world, cell, made);
    Line { cell: *cell, label, report, gap, rte, value }
}

/// The model that a step has made.
fn model(made: &[Arc<Made>], step: usize) -> Option<(&Model, &Path)> {
    match &*made[step] {
        Made::Model { model, path, .. } => Some((model, path)),
        _ => None,
    }
}

fn told_method(value: &mut Value, world: &World<'_>, cell: &Cell, made: &[Arc<Made>]) {
    let choice = cell.choice.and_then(|step| match &*made[step] {
        Made::Choice(choice) => Some(choice),
        _ => None,
    });
    let method = cell.how.and_then(|how| world.method(&cell.trial, how, choice.map(|c| c.point)));
    value["settings"] = method.as_ref().map_or(Value::Null, |(method, _)| plain(method));
    value["augment"] = method.as_ref().map_or(Value::Null, |(_, augment)| plain(augment));
    value["tuned"] = choice.map_or(Value::Null, |c| c.value(world.experiment.tune_seed));
}

fn told_figures(value: &mut Value, made: &Made) {
    let none = json!({});
    let figures = if let Made::Figures(figures) = made { figures } else { &none };
    for key in ["forget_samples", "retain_samples", "test_samples"] {
        value[key] = figures[key].clone();
    }
    value["metrics"] = figures["report"].clone();
    value["membership"] = figures["membership"].clone();
    value["sparsity_percent"] = figures["sparsity_percent"].clone();
    value["sparsity_of"] = json!("prunable weights");
    value["timing"] = json!({ "measure_seconds": figures["seconds"] });
}

/// Where in the experiment a cell stands.
fn place(world: &World<'_>, cell: &Cell, label: &str) -> Value {
    let trial = &cell.trial;
    let pair = &world.pairs[trial.pair];
    let masking = &world.experiment.masks[trial.mask];
    json!({
        "experiment": world.experiment.name, "model": pair.model,
        "data": world.experiment.data[pair.data],
        "data_digest": world.data(trial.pair).digest.to_string(),
        "scenario": world.experiment.scenarios[trial.scenario], "seed": trial.seed,
        "mask": masking.value(), "method": label,
    })
}

fn told_model(value: &mut Value, world: &World<'_>, cell: &Cell, made: &[Arc<Made>]) {
    let file = model(made, cell.forget.unwrap_or(cell.start));
    // Beside the results, wherever the folder is moved to.
    let beside = |path: &Path| {
        setting::told(&Path::new("products").join(path.file_name().unwrap_or_default()))
    };
    value["file"] = json!(file.map(|(_, path)| beside(path)));
    value["id"] = json!(file.map(|(model, _)| &model.id));
    value["file_bytes"] = json!(file.map(|(model, _)| model.bytes));
    value["dtype"] = plain(&world.experiment.dtype);
    value["plan"] = json!(file.map(|(model, _)| &model.plan));
    value["planned_peak_bytes"] = json!(file.map(|(model, _)| model.peak));
    value["notes"] = json!(file.map_or(&[][..], |(model, _)| &model.notes));
    value["parent_id"] = json!(model(made, cell.start).map(|(model, _)| &model.id));
    value["base_id"] = json!(model(made, cell.base).map(|(model, _)| &model.id));
    let seconds = |step: usize| model(made, step).map(|(model, _)| model.seconds);
    let pruned = (cell.start != cell.base).then(|| seconds(cell.start)).flatten();
    let timing = &mut value["timing"];
    timing["rte_seconds"] = json!(cell.forget.and_then(seconds));
    timing["base_seconds"] = json!(seconds(cell.base));
    timing["mask_seconds"] = json!(pruned);
    timing["steps_at_once"] = json!(file.map(|(model, _)| model.beside[0]));
    timing["threads"] = json!(file.map(|(model, _)| model.beside[1]));
}

/// What was chosen by searching, once for each network, kind of scenario and sparsity.
pub(super) fn tuned(world: &World<'_>, lines: &[Line]) -> Tuned {
    let mut tuned: Vec<Entry> = Vec::new();
    // A network of a file is found again by its name.
    let name = |line: &Line| &world.pairs[line.cell.trial.pair].description.name;
    for entry in lines.iter().filter_map(|line| chosen(name(line), &line.value)) {
        // Lines of other seeds tell the same choice again.
        if !tuned.contains(&entry) {
            tuned.push(entry);
        }
    }
    Tuned { tuned }
}

fn chosen(model: &str, value: &Value) -> Option<Entry> {
    let choice = &value["tuned"];
    let text = |value: &Value| value.as_str().map(String::from);
    let gaps = choice["tried"].as_array()?.iter().filter_map(|point| point["average_gap"].as_f64());
    Some(Entry {
        model: model.into(),
        scenario: tuned::kind(value["scenario"].as_str()?).into(),
        sparsity: value["mask"]["sparsity"].as_f64()?,
        method: serde_json::from_value(value["settings"].clone()).ok()?,
        chosen: Chosen {
            experiment: text(&value["experiment"])?,
            version: env!("CARGO_PKG_VERSION").into(),
            data: text(&value["data"])?,
            held_out: text(&choice["held_out"])?,
            seed: choice["seed"].as_u64()?,
            points: choice["tried"].as_array()?.len(),
            average_gap: gaps.min_by(f64::total_cmp)?,
        },
    })
}

/// One JSON object a line.
pub(super) fn jsonl(lines: &[Line]) -> String {
    lines.iter().map(|line| format!("{}\n", line.value)).collect()
}

/// The same as a table for spreadsheets: one row a cell, one column a figure.
pub(super) fn csv(lines: &[Line]) -> String {
    let mut head: Vec<String> =
        ["model", "data", "scenario", "seed", "mask", "sparsity", "method", "status"]
            .map(String::from)
            .to_vec();
    for metric in METRICS {
        head.extend(["", "_low95", "_high95"].map(|end| format!("{metric}{end}")));
    }
    head.extend(METRICS.map(|metric| format!("gap_{metric}")));
    head.extend(
        [
            "gap_average",
            "rte_seconds",
            "sparsity_percent",
            "file_bytes",
            "planned_peak_bytes",
            "id",
            "error",
        ]
        .map(String::from),
    );
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut row = |cells: &[String]| {
        // Into memory: nothing to fail.
        let _ = writer.write_record(cells);
    };
    row(&head);
    for line in lines {
        row(&csv_row(&line.value));
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

fn csv_row(value: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut cells: Vec<String> =
        ["model", "data", "scenario", "seed"].map(|key| text(&value[key])).to_vec();
    cells.extend(["label", "sparsity"].map(|key| text(&value["mask"][key])));
    cells.extend(["method", "status"].map(|key| text(&value[key])));
    for metric in METRICS {
        let metric = &value["metrics"][metric];
        let bounds = &metric["interval95"];
        cells.extend([&metric["value"], &bounds[0], &bounds[1]].map(text));
    }
    cells.extend(METRICS.map(|metric| text(&value["gap_to_retrain"][metric])));
    cells.push(text(&value["gap_to_retrain"]["average"]));
    cells.push(text(&value["timing"]["rte_seconds"]));
    cells.extend(
        ["sparsity_percent", "file_bytes", "planned_peak_bytes", "id", "error"]
            .map(|key| text(&value[key])),
    );
    cells
}
