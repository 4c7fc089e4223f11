//! The figures of `bench all` as a person reads them: one a row, with its unit.

use serde_json::Value;

use super::super::table::Table;

/// One figure of one row.
pub(super) struct Figure {
    /// Of which row, by its words.
    pub words: String,
    /// What it is.
    pub name: String,
    /// How much, in seconds or bytes.
    pub value: f64,
    /// Whether it is in bytes.
    pub bytes: bool,
    /// Whether the machine held itself back meanwhile.
    pub void: bool,
}

impl Figure {
    /// The value with its unit.
    pub(super) fn told(&self) -> String {
        match self.bytes {
            true => crate::base::units::Bytes(self.value as u64).to_string(),
            false if self.value < 1e-3 => format!("{:.1} µs", self.value * 1e6),
            false if self.value < 1.0 => format!("{:.3} ms", self.value * 1e3),
            false => format!("{:.3} s", self.value),
        }
    }
}

/// Rows of a result of `bench all`.
pub(super) fn rows(value: &Value) -> &[Value] {
    value["rows"].as_array().map_or(&[], Vec::as_slice)
}

/// What is compared of each row: medians, and the planned peak of a step.
pub(super) fn figures(value: &Value) -> Vec<Figure> {
    let mut all = Vec::new();
    for row in rows(value) {
        let (words, void) = (row["words"].as_str().unwrap_or_default(), row["void"] == true);
        let result = &row["result"];
        let mut add = |name: String, value: Option<f64>, bytes: bool| {
            let figure = |value| Figure { words: words.into(), name, value, bytes, void };
            all.extend(value.map(figure));
        };
        match result["command"].as_str().unwrap_or_default() {
            "bench step" => {
                add("step".into(), result["step_seconds"].as_f64(), false);
                add("step, memory".into(), result["peak_bytes"].as_f64(), true);
            }
            "bench latency" => {
                let seconds = |field: &str| result[field].as_f64().map(|ns| ns / 1e9);
                add("prediction".into(), seconds("median_ns"), false);
                add("prediction, 99 %".into(), seconds("p99_ns"), false);
            }
            "bench load" => add("load".into(), result["load_seconds"].as_f64(), false),
            "bench erase" => {
                for way in result["rows"].as_array().map_or(&[][..], Vec::as_slice) {
                    let name = way["way"].as_str().unwrap_or_default();
                    if name != "before" {
                        add(format!("erase, {name}"), way["whole_seconds"].as_f64(), false);
                    }
                }
            }
            _ => {}
        }
    }
    all
}

/// What the words say beside the name of the figure: network, batch, sparsity.
pub(super) fn of(words: &str) -> String {
    let mut parts = Vec::new();
    let mut words = words.split(' ').skip(2);
    while let (Some(option), Some(value)) = (words.next(), words.next()) {
        match option {
            "--model" | "--base" => parts.push(value.to_string()),
            "--batch" => parts.push(format!("batch {value}")),
            "--sparsity" => parts.push(format!("sparsity {value}")),
            _ => {}
        }
    }
    parts.join(", ")
}

/// The machine in a line.
pub(super) fn machine(value: &Value) -> String {
    let board = &value["board"];
    let text = |value: &Value| value.as_str().unwrap_or("not known").to_string();
    format!(
        "{} ({}), power mode {}, {} threads, unlearn {}\n",
        text(&board["name"]),
        text(&board["slug"]),
        text(&board["power"]["mode"]),
        value["threads"],
        text(&value["version"]),
    )
}

/// All figures in a table.
pub(super) fn table(value: &Value) -> String {
    let mut table = Table::new(["what", "of", "median", ""]);
    for figure in figures(value) {
        let void = if figure.void { "VOID" } else { "" };
        table.row(vec![figure.name.clone(), of(&figure.words), figure.told(), void.into()]);
    }
    table.to_string()
}

/// What is to be said of rows that are void.
pub(super) fn voids(value: &Value) -> String {
    match rows(value).iter().filter(|row| row["void"] == true).count() {
        0 => String::new(),
        count => format!(
            "{count} rows are VOID: the machine throttled while they were measured; let it cool, or take another power mode\n"
        ),
    }
}
