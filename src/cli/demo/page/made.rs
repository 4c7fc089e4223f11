//! How it was made: commands, definitions, settings, promises, and what this is not.

use serde_json::Value;

use super::super::super::report::{Cell, Look, Page, Table};
use super::super::Chapter;
use super::Told;
use super::words::{Reading, figures};

/// Whose leaving the settings were chosen on.
const CHOSEN_ON: [&str; 7] = ["p01", "p02", "p03", "p04", "p05", "h1", "h2"];

/// Adds the last sections to the page.
pub(super) fn section(page: Page, told: &Told) -> Page {
    let definitions = definitions(told.first);
    let settings: Vec<(String, String)> =
        [told.first, told.second].into_iter().flat_map(settings).collect();
    let page = page
        .section("Do it again")
        .text(
            "The same seed and plan give the same bytes in every model file, whatever the number \
             of threads; only the times differ. The second command measures one of the files by \
             itself.",
        )
        .code(&commands(told))
        .section("What the figures mean")
        .terms(definitions.iter().map(|(term, meaning)| (&term[..], &meaning[..])))
        .text(&Reading::new(told.first).attack())
        .text(&Reading::new(told.second).attack())
        .section("Files and promises")
        .table(&promises(told))
        .section("Settings")
        .terms(settings.iter().map(|(term, meaning)| (&term[..], &meaning[..])));
    limits(page, told)
}

/// What to type to see the same.
fn commands(told: &Told) -> String {
    let cast = told.cast;
    let (seed, person, member) = (cast.seed, &cast.person, &cast.member);
    let yardstick = told.first.rows.last().map(|row| file_name(&row.file)).unwrap_or_default();
    format!(
        "unlearn demo --out DIR --seed {seed} --person {person} --member {member}\n\
         unlearn evaluate --model DIR/base-sparse.esm --data made:{seed} \\\n    \
         --scenario subject={person} --retrained DIR/{yardstick} --seed {seed}\n\
         unlearn inspect DIR/base-sparse.esm\n\
         unlearn verify DIR/*.esm"
    )
}

/// What nobody should take from this page.
fn limits(page: Page, told: &Told) -> Page {
    page.section("What this is not")
        .text(
            "The data is made, small and clean, and this is one seed: take it as a picture of how \
             forgetting is measured, not as a benchmark. Intervals cover the choice of samples \
             alone. Times are one run on one machine.",
        )
        .text(
            "An approximate method promises nothing about what a stronger attack would find: the \
             figures show what these four looked for. Where a promise is needed, retrain without \
             the person from a base and a mask that never knew them.",
        )
        .text(&chosen(told))
}

/// On whom the settings were chosen, and whether that touches the people shown.
fn chosen(told: &Told) -> String {
    let among = |who: &str| CHOSEN_ON.contains(&who);
    let touched: Vec<&str> =
        [&told.first.who[..], &told.second.who[..]].into_iter().filter(|who| among(who)).collect();
    let said = "The settings were chosen by letting p01 to p05, and h1 and h2, leave";
    match touched[..] {
        [] => format!(
            "{said}: other people than those shown here. Those trials kept everybody else’s \
             samples, as any device would."
        ),
        _ => format!(
            "{said}. Among them: {}. So these figures flatter the methods: take somebody else to \
             judge them.",
            touched.join(" and ")
        ),
    }
}

/// The four figures and the gap, as the report defines them.
fn definitions(chapter: &Chapter) -> Vec<(String, String)> {
    let names = [
        "UA, unlearning accuracy",
        "RA, retained accuracy",
        "TA, test accuracy",
        "MIA, efficacy of a membership attack",
    ];
    let report = chapter.rows.last().map(|row| &row.judged.measured.report);
    let metrics = report.map(figures).into_iter().flatten();
    let mut all: Vec<(String, String)> = names
        .into_iter()
        .zip(metrics)
        .filter_map(|(name, metric)| {
            let metric = metric?;
            let samples = metric.samples.map_or(String::new(), |n| format!(" ({n} samples)"));
            Some((name.to_string(), format!("{}{samples}", metric.definition)))
        })
        .collect();
    let gap = "mean of the four distances to the yardstick, in percentage points";
    all.push(("gap, average gap".into(), gap.into()));
    all.push(("time".into(), "wall time from the call to the network that forgot".into()));
    all
}

fn promises(told: &Told) -> Table {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for chapter in [told.first, told.second] {
        for (row, promise) in chapter.rows.iter().zip(&chapter.promises) {
            rows.push(vec![
                Cell::new(format!("{}, {}", chapter.who, row.name), Look::Plain),
                (*promise).into(),
                file_name(&row.file).into(),
                row.judged.id.chars().take(8).collect::<String>().into(),
            ]);
        }
    }
    Table {
        title: "What each file promises about the one who left".into(),
        note: "approximate: measured, not proven. exact-replay: trained again from a start that \
               never knew them. never-learnt: they were never in it. A choice that was made with \
               somebody’s data, such as a mask, makes a replay approximate. The id is the \
               beginning of what unlearn verify prints."
            .into(),
        columns: ["model", "promise", "file", "id"].map(String::from).to_vec(),
        rows,
    }
}

fn file_name(path: &std::path::Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// How each model came about.
fn settings(chapter: &Chapter) -> Vec<(String, String)> {
    let told = chapter.rows.iter().zip(&chapter.how);
    told.map(|(row, how)| (format!("{}, {}", chapter.who, row.name), flat(how))).collect()
}

/// Settings as a person reads them: `rate 0.1, batch 64`. What does nothing is left out.
fn flat(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            // Settings are `f32`, and widened they would show digits that nobody chose.
            Some(float) if !number.is_u64() => (float as f32).to_string(),
            _ => number.to_string(),
        },
        Value::Array(all) => all.iter().map(flat).collect::<Vec<_>>().join(" and "),
        Value::Object(map) => {
            let told = map.iter().filter(|(key, value)| !does_nothing(key, value));
            let told = told.map(|(key, value)| match value {
                Value::Object(_) => format!("{key} ({})", flat(value)),
                _ => format!("{key} {}", flat(value)),
            });
            told.collect::<Vec<_>>().join(", ").replace('_', " ")
        }
        other => other.to_string(),
    }
}

/// Whether a setting is off.
fn does_nothing(key: &str, value: &Value) -> bool {
    let zero = |value: Option<&Value>| value.and_then(Value::as_f64) == Some(0.0);
    match key {
        "l1" => zero(value.get("alpha")),
        "augment" => zero(value.get("crop_padding")) && value.get("flip") == Some(&false.into()),
        "free_epochs" => zero(Some(value)),
        _ => value == &Value::Bool(false),
    }
}
