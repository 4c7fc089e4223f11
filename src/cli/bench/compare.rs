//! `unlearn bench compare`: two results of `bench all` side by side.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::super::setting::{Common, Out};
use super::super::table::Table;
use super::figures::{self, Figure, figures, of};
use crate::base::disk::read_at_most;

/// Bytes of the longest result that is read.
const MOST: u64 = 16 << 20;

/// Compare two results of `bench all`, figure by figure.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn bench compare before/bench.json after/bench.json\n\nThe ratio is B to A: below 1, B is faster or smaller. Rows are matched by their words; figures that only one of them has are listed. A void row is compared with nothing."
)]
pub(super) struct Args {
    /// The result to compare with
    #[arg(value_name = "A.json")]
    a: PathBuf,
    /// The result that is compared
    #[arg(value_name = "B.json")]
    b: PathBuf,
    #[command(flatten)]
    pub common: Common,
}

fn read(path: &Path) -> Result<Value, Fault> {
    let bytes = read_at_most(path, MOST).map_err(Fault::Given)?;
    let wrong = |what: String| {
        Fault::Usage(format!(
            "{}: {what}; expected a bench.json that `unlearn bench all --out DIR` wrote",
            path.display()
        ))
    };
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    match value["command"] == "bench all" && !figures::rows(&value).is_empty() {
        true => Ok(value),
        false => Err(wrong("this JSON is no result of a bench".into())),
    }
}

/// What makes two results results of different things.
fn differences(a: &Value, b: &Value) -> Vec<String> {
    let fields = [
        ("board", "/board/slug"),
        ("power mode", "/board/power/mode"),
        ("CPU governor", "/board/cpu/governor"),
        ("instruction set", "/board/cpu/isa"),
        ("threads", "/threads"),
        ("version", "/version"),
    ];
    let told = |value: &Value, pointer: &str| match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(value) if !value.is_null() => value.to_string(),
        _ => "not known".into(),
    };
    let differs = |(name, pointer): (&str, &str)| {
        let (a, b) = (told(a, pointer), told(b, pointer));
        (a != b).then(|| format!("{name}: A {a}, B {b}"))
    };
    fields.into_iter().filter_map(differs).collect()
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let differences = differences(&a, &b);
    let (left, right) = (figures(&a), figures(&b));
    let same = |x: &Figure, y: &Figure| x.words == y.words && x.name == y.name;
    let mut table = Table::new(["what", "of", "A", "B", "B / A"]);
    let (mut rows, mut alone) = (Vec::new(), Vec::new());
    for x in &left {
        let Some(y) = right.iter().find(|y| same(x, y)) else {
            alone.push(format!("only in A: {}, {}", x.name, of(&x.words)));
            continue;
        };
        let ratio = (!x.void && !y.void && x.value > 0.0).then(|| y.value / x.value);
        let told = ratio.map_or("VOID".into(), |ratio| format!("{ratio:.3}"));
        table.row(vec![x.name.clone(), of(&x.words), x.told(), y.told(), told]);
        rows.push(json!({
            "figure": x.name, "words": x.words, "a": x.value, "b": y.value, "ratio": ratio,
            "unit": if x.bytes { "bytes" } else { "seconds" },
        }));
    }
    for y in right.iter().filter(|y| !left.iter().any(|x| same(x, y))) {
        alone.push(format!("only in B: {}, {}", y.name, of(&y.words)));
    }
    let list = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let head = match differences.is_empty() {
        true => "same board, power mode, governor, instruction set, threads and version\n".into(),
        false => format!("DIFFERS in\n{}", list(&differences)),
    };
    let text = format!(
        "A {}B {}{head}\n{table}{}",
        figures::machine(&a),
        figures::machine(&b),
        list(&alone)
    );
    let value = json!({
        "command": "bench compare", "a": args.a.display().to_string(), "b": args.b.display().to_string(),
        "differences": differences, "rows": rows, "alone": alone,
    });
    out.result(&text, &value)
}
