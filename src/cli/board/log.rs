//! A log of `tegrastats`, told as a table.

use std::path::Path;

use serde_json::{Value, json};

use super::page::size;
use crate::base::units::Seconds;
use crate::board::tegrastats::{Figure, Kind, Log};
use crate::cli::fault::Fault;
use crate::cli::setting::{Out, told};
use crate::cli::table::Table;

pub(super) fn run(path: &Path, out: &Out) -> Result<(), Fault> {
    let log = Log::open(path)?;
    out.result(&text(path, &log), &value(path, &log))
}

/// The unit in which a person reads a figure, what it is scaled by, and its digits.
fn unit(kind: Kind) -> (&'static str, f64, usize) {
    match kind {
        Kind::Rail => ("W", 1.0, 3),
        Kind::Zone => ("°C", 1.0, 1),
        Kind::Load => ("% busy", 100.0, 1),
        Kind::Clock => ("MHz", 1e-6, 0),
        Kind::Memory => ("MiB", 1.0 / (1u64 << 20) as f64, 0),
    }
}

fn row(figure: &Figure) -> Vec<String> {
    let (unit, scale, digits) = unit(figure.kind);
    let number = |value: f64| format!("{:.digits$}", value * scale);
    let joules = figure.joules.map_or(String::new(), |joules| format!("{joules:.1}"));
    vec![
        figure.name.clone(),
        unit.into(),
        number(figure.min),
        number(figure.mean),
        number(figure.max),
        joules,
        figure.lines.to_string(),
    ]
}

fn text(path: &Path, log: &Log) -> String {
    let mut table = Table::new(["figure", "unit", "least", "mean", "most", "joules", "lines"]);
    log.figures.iter().for_each(|figure| table.row(row(figure)));
    let time = match log.seconds {
        Some(seconds) => format!("{} from the first to the last", Seconds(seconds as f64)),
        None => "without times, so that no joules follow".into(),
    };
    let memory = log.memory.map(|bytes| format!("\n{} of memory", size(bytes)));
    let unknown: Vec<String> =
        log.unknown.iter().map(|(word, times)| format!("{word} ({times})")).collect();
    let beware = match unknown.len() {
        0 => String::new(),
        count => {
            let shown = unknown[..count.min(12)].join(", ");
            let more = if count > 12 { ", and others" } else { "" };
            format!("\nbeware: words that are not known were left out: {shown}{more}\n")
        }
    };
    format!(
        "{}\n{} lines of tegrastats, {time}{}\n\n{table}{beware}\nJoules are mean watts by seconds. Rails hang on one another: add only those\nthat make up the whole.\n",
        path.display(),
        log.lines,
        memory.unwrap_or_default()
    )
}

fn value(path: &Path, log: &Log) -> Value {
    json!({
        "command": "board", "log": told(path), "lines": log.lines, "seconds": log.seconds,
        "memory": log.memory, "figures": log.figures, "unknown": log.unknown,
    })
}
