//! The page: tables, plots, settings, and the words that make it again.

use super::super::device::Wanted;
use super::super::report::{
    Across, Cell, Cloud, Fact, Look, Page, Radar, Radars, Scatter, Table, number,
};
use super::line::{Line, ORIGINAL, RETRAIN};
use super::summary::{Group, Mean, Row, Summary};
use super::table::{self, HEADS};
use super::world::World;
use serde_json::Value;
use std::collections::BTreeSet;

/// What each figure is, for whoever sees the page alone.
const TERMS: [(&str, &str); 8] = [
    ("UA", "unlearning accuracy: 100 minus the accuracy on the samples to forget, in percent"),
    ("RA", "retained accuracy: accuracy on the training samples that are kept, in percent"),
    ("TA", "test accuracy, without classes that are forgotten, in percent"),
    (
        "MIA-E",
        "MIA-efficacy: share of the samples to forget that a membership attack takes for never seen, in percent",
    ),
    ("RTE", "run-time efficiency: wall time of the unlearning call, in seconds"),
    (
        "gap",
        "distance to retrain under the same mask, in points; smaller is better, and no figure is better for being higher",
    ),
    ("disparity", "mean of the four gaps between means over seeds, as in the paper's table"),
    ("average gap", "mean of the four gaps of one seed; told as its mean over seeds"),
];

/// The page as HTML.
pub(super) fn html(
    world: &World<'_>,
    lines: &[Line],
    summaries: &[Summary<'_>],
    warnings: &[String],
) -> String {
    let experiment = world.experiment;
    let mut page = Page::new(&experiment.name).lead(&lead(world)).facts(&facts(lines, summaries));
    for summary in summaries {
        page = section(page, world, summary);
    }
    page = page.section("Notes");
    let notes = table::notes(world, lines);
    for note in notes.lines().chain(warnings.iter().map(String::as_str)) {
        page = page.text(note.trim_start_matches("note: "));
    }
    page = page.section("What the figures are").terms(TERMS);
    page = settings(page.section("Settings"), &experiment.value());
    page.section("Once more")
        .text(
            "resolved.toml, beside this page, holds every setting with defaults filled in. The same \
             file, data, program and plan give the same figures, whatever the number of \
             threads and of steps at once; seconds differ.",
        )
        .code(&again(world))
        .footer(&format!(
            "unlearn {}, plan {}, {} cells.",
            env!("CARGO_PKG_VERSION"),
            plans(lines),
            lines.len()
        ))
        .html()
}

/// The words that make it again.
fn again(world: &World<'_>) -> String {
    let device = match world.limits.device {
        Wanted::Cpu => String::new(),
        wanted => format!(" --device {wanted}"),
    };
    format!("unlearn experiment resolved.toml --out AGAIN{device}")
}

/// How the cells were computed; more than one way where memory was short for some.
fn plans(lines: &[Line]) -> String {
    let plans = lines.iter().filter_map(|line| line.value["plan"].as_str());
    let plans: BTreeSet<&str> = plans.collect();
    match plans.is_empty() {
        true => "none".into(),
        false => plans.into_iter().collect::<Vec<_>>().join(", "),
    }
}

fn lead(world: &World<'_>) -> String {
    let experiment = world.experiment;
    let join = |list: &[String]| list.join(", ");
    let masks: Vec<String> = experiment.masks.iter().map(|mask| mask.label.clone()).collect();
    let methods: Vec<&str> =
        experiment.methods.iter().map(|method| method.label.as_str()).collect();
    let mut distinct: Vec<&str> = Vec::new();
    methods.into_iter().for_each(|m| {
        if !distinct.contains(&m) {
            distinct.push(m)
        }
    });
    format!(
        "{} on {}: {} under the masks {}, for {}. The yardstick is a network that was trained without \
         the samples. Every figure was measured on the model file as it was written.",
        join(&experiment.models),
        join(&experiment.data),
        distinct.join(", "),
        join(&masks),
        join(&experiment.scenarios)
    )
}

fn facts(lines: &[Line], summaries: &[Summary<'_>]) -> Vec<Fact> {
    let failed = lines.iter().filter(|line| line.report.is_err()).count();
    let note = match failed {
        0 => "none failed".to_string(),
        failed => format!("{failed} failed"),
    };
    let mut facts = vec![Fact::new("Cells", lines.len().to_string(), note)];
    for summary in summaries.iter().take(3) {
        let groups = summary.rows.iter().filter(|row| row.label != ORIGINAL).flat_map(|row| {
            row.groups.iter().filter_map(move |group| Some((row, group, group.average?)))
        });
        let best = groups.min_by(|a, b| a.2.mean.total_cmp(&b.2.mean));
        facts.extend(best.map(|(row, group, average)| {
            let line = group.lines.first();
            let place = |key: &str| line.map_or("", |line| line.value[key].as_str().unwrap_or(""));
            let mask = line.map_or("", |line| line.value["mask"]["label"].as_str().unwrap_or(""));
            Fact::new(
                format!("Nearest to retrain, {}", place("scenario")),
                format!("{} points", number(average.mean, 2)),
                format!("average gap of {}, {mask}", row.label),
            )
        }));
    }
    facts
}

fn section(page: Page, world: &World<'_>, summary: &Summary<'_>) -> Page {
    let mut page = page.section(&table::heading(world, summary)).table(&figures(world, summary));
    let names = across(world, summary);
    for (name, which) in HEADS {
        page = page.scatter(&metric(world, summary, &names, name, which));
    }
    page = page.scatter(&gaps(world, summary, &names));
    for mask in 0..world.experiment.masks.len() {
        let radars = radars(world, summary, mask);
        if !radars.radars.is_empty() {
            page = page.radars(&radars);
        }
    }
    page.scatter(&cost(world, summary))
}

/// Methods down, dense beside each sparsity.
fn figures(world: &World<'_>, summary: &Summary<'_>) -> Table {
    let mut columns: Vec<String> = vec!["method".into(), "mask".into()];
    columns.extend(HEADS.map(|(name, _)| name.to_string()));
    columns.extend(["disparity", "avg gap", "RTE, s"].map(String::from));
    let mut rows = Vec::new();
    for row in &summary.rows {
        for group in &row.groups {
            let look = if row.label == RETRAIN { Look::Strong } else { Look::Plain };
            let best = nearest(summary, group.mask) == Some(row.label.as_str());
            let mut cells: Vec<Cell> = vec![Cell::new(&row.label, look)];
            cells.push(world.experiment.masks[group.mask].label.clone().into());
            cells.extend(HEADS.map(|(_, which)| {
                let text = short(group, which);
                let failed = if text == "failed" { Look::Bad } else { Look::Plain };
                Cell::new(text, failed)
            }));
            cells.push(table::disparity(group).into());
            cells.push(Cell::new(
                table::average(group),
                if best { Look::Good } else { Look::Plain },
            ));
            cells.push(table::rte(group).into());
            rows.push(cells);
        }
    }
    Table {
        title: "Figures of each method".into(),
        note: format!(
            "Percent, {}; in brackets the gap to retrain, in points. Marked: the smallest average gap \
             under each mask. table.txt has two decimals.",
            match world.experiment.seeds.len() {
                1 => "one seed".into(),
                many => format!("mean ± sample standard deviation over {many} seeds"),
            }
        ),
        columns,
        rows,
    }
}

/// The method whose average gap is the smallest under a mask.
fn nearest<'a>(summary: &'a Summary<'_>, mask: usize) -> Option<&'a str> {
    let methods = summary.rows.iter().filter(|row| row.label != ORIGINAL);
    let of = methods.filter_map(|row| Some((row.label.as_str(), row.groups[mask].average?.mean)));
    of.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(label, _)| label)
}

fn short(group: &Group<'_>, which: usize) -> String {
    match (group.figures, group.gaps) {
        (Some(figures), Some(gaps)) => format!("{} ({:.1})", figures[which].told(1), gaps[which]),
        (Some(figures), None) => figures[which].told(1),
        (None, _) => table::figure(group, which),
    }
}

/// What stands side by side: masks, or, where there is one, the methods.
struct Places {
    names: Vec<String>,
    by_mask: bool,
    axis: String,
}

fn across(world: &World<'_>, summary: &Summary<'_>) -> Places {
    let masks = &world.experiment.masks;
    if masks.len() > 1 {
        return Places {
            names: masks.iter().map(|mask| mask.label.clone()).collect(),
            by_mask: true,
            axis: "sparsity: share of the prunable weights that are gone, evenly spaced".into(),
        };
    }
    Places {
        names: summary.rows.iter().map(|row| row.label.clone()).collect(),
        by_mask: false,
        axis: format!("method, under the mask {}", masks[0].label),
    }
}

/// A cloud for each method, over masks or over methods.
fn clouds(
    summary: &Summary<'_>,
    places: &Places,
    each: impl Fn(&Line) -> Option<f64>,
    middle: impl Fn(&Group<'_>) -> Option<f64>,
) -> Vec<Cloud> {
    let cloud = |(at, row): (usize, &Row<'_>)| {
        let place = |group: &Group<'_>| if places.by_mask { group.mask } else { at } as f64;
        let points = row.groups.iter().flat_map(|group| {
            group
                .lines
                .iter()
                .filter_map(|line| Some((place(group), each(line)?)))
                .collect::<Vec<_>>()
        });
        let middles = row.groups.iter().filter_map(|group| Some((place(group), middle(group)?)));
        Cloud { name: row.label.clone(), points: points.collect(), middles: middles.collect() }
    };
    summary.rows.iter().enumerate().map(cloud).collect()
}

const POINTS: &str = "Filled: mean over seeds; outlines: single seeds.";

fn metric(
    world: &World<'_>,
    summary: &Summary<'_>,
    places: &Places,
    name: &str,
    which: usize,
) -> Scatter {
    let against = if places.by_mask { "against sparsity" } else { "by method" };
    Scatter {
        title: format!("{name} {against}, {}", world.experiment.scenarios[summary.scenario]),
        note: format!("{POINTS} The aim is where retrain lies."),
        x: places.axis.clone(),
        y: format!("{name}, %"),
        across: Across::Names(places.names.clone()),
        clouds: clouds(
            summary,
            places,
            |line| line.figures().map(|four| four[which]),
            |group| group.figures.map(|four| four[which].mean),
        ),
    }
}

fn gaps(world: &World<'_>, summary: &Summary<'_>, places: &Places) -> Scatter {
    let against = if places.by_mask { "against sparsity" } else { "by method" };
    let clouds = clouds(summary, places, gap, middle_gap);
    Scatter {
        title: format!("Average gap {against}, {}", world.experiment.scenarios[summary.scenario]),
        note: format!("{POINTS} Retrain is at 0."),
        x: places.axis.clone(),
        y: "average gap to retrain, points".into(),
        across: Across::Names(places.names.clone()),
        clouds,
    }
}

/// The average gap of one seed; retrain's own is 0.
fn gap(line: &Line) -> Option<f64> {
    match line.label == RETRAIN {
        true => line.report.is_ok().then_some(0.0),
        false => line.gap?.average,
    }
}

/// The mean of [`gap`] over seeds.
fn middle_gap(group: &Group<'_>) -> Option<f64> {
    let gaps: Vec<f64> = group.lines.iter().filter_map(|line| gap(line)).collect();
    Mean::of(&gaps).map(|mean| mean.mean)
}

fn radars(world: &World<'_>, summary: &Summary<'_>, mask: usize) -> Radars {
    let of = |label: &str| {
        summary.rows.iter().find(|row| row.label == label).map(|row| &row.groups[mask])
    };
    let yardstick = of(RETRAIN);
    let whole = yardstick.and_then(|group| group.rte).map(|rte| rte.mean);
    let values = |group: &Group<'_>| -> Option<Vec<f64>> {
        let mut values: Vec<f64> = group.figures?.map(|mean| mean.mean).to_vec();
        let saved = 100.0 * (1.0 - group.rte?.mean / whole?);
        values.push(saved.max(0.0));
        Some(values)
    };
    let reference = yardstick.and_then(values).unwrap_or_default();
    let chart = |(colour, row): (usize, &Row<'_>)| {
        let values = values(&row.groups[mask])?;
        Some(Radar { name: row.label.clone(), colour, values, yardstick: reference.clone() })
    };
    let rows = summary.rows.iter().enumerate();
    let radars = rows.filter(|(_, row)| row.label != RETRAIN).filter_map(chart).collect();
    let label = &world.experiment.masks[mask].label;
    Radars {
        title: format!(
            "Each method beside retrain, {}, {label}",
            world.experiment.scenarios[summary.scenario]
        ),
        note: "A spoke ends at the largest value on it, told at its tip. Time saved: the share of \
               retrain’s seconds that the method does not take; retrain’s own is 0. A method does well \
               where its shape meets the dashed one, and reaches far along time saved."
            .into(),
        spokes: ["UA %", "RA %", "TA %", "MIA-E %", "time saved %"].map(String::from).to_vec(),
        yardstick: "retrain".into(),
        radars,
    }
}

fn cost(world: &World<'_>, summary: &Summary<'_>) -> Scatter {
    let cloud = |row: &Row<'_>| {
        // What did not forget has no cost; its place among the colours stays.
        let name = if row.label == ORIGINAL { String::new() } else { row.label.clone() };
        let lines = row.groups.iter().flat_map(|group| &group.lines);
        let points = lines.filter_map(|line| Some((line.rte?, gap(line)?))).collect();
        let middle = |group: &Group<'_>| Some((group.rte?.mean, middle_gap(group)?));
        Cloud { name, points, middles: row.groups.iter().filter_map(middle).collect() }
    };
    let clouds = summary.rows.iter().map(cloud).collect();
    let through = match world.experiment.masks.len() {
        1 => String::new(),
        _ => " A line leads from mask to mask, in the order of the table.".into(),
    };
    Scatter {
        title: format!("Cost against gap, {}", world.experiment.scenarios[summary.scenario]),
        note: format!(
            "{POINTS}{through} Near the lower left corner is good: fast, and like retrain."
        ),
        x: "wall time of forgetting, seconds, logarithmic".into(),
        y: "average gap to retrain, points".into(),
        across: Across::Powers,
        clouds,
    }
}

/// Every setting, one a row.
fn settings(page: Page, value: &Value) -> Page {
    let mut rows = Vec::new();
    flatten("", value, &mut rows);
    let rows = rows.into_iter().map(|(key, told)| vec![Cell::from(key), Cell::from(told)]);
    page.table(&Table {
        title: "Every setting, defaults filled in".into(),
        note: "As in resolved.toml.".into(),
        columns: ["setting", "value"].map(String::from).to_vec(),
        rows: rows.collect(),
    })
}

fn flatten(place: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    let below =
        |key: &str| if place.is_empty() { key.to_string() } else { format!("{place}.{key}") };
    match value {
        Value::Object(all) => all.iter().for_each(|(key, value)| flatten(&below(key), value, rows)),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items
                .iter()
                .enumerate()
                .for_each(|(at, item)| flatten(&below(&(at + 1).to_string()), item, rows));
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            rows.push((place.to_string(), items.join(", ")));
        }
        single => rows.push((place.to_string(), plain(single))),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}
