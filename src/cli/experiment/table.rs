//! The table for a terminal, in the paper's form: methods down, figures across, dense beside sparse.

use super::super::table::Table;
use super::line::Line;
use super::summary::{Group, Summary};
use super::world::World;

/// Figures and their heads, in the paper's order.
pub(super) const HEADS: [(&str, usize); 4] = [("UA", 0), ("RA", 1), ("TA", 2), ("MIA-E", 3)];
/// Masks that stand side by side; more stand below each other.
const ACROSS: usize = 2;

/// All tables, with what whoever reads them must know.
pub(super) fn text(world: &World<'_>, summaries: &[Summary<'_>], lines: &[Line]) -> String {
    let mut text = String::new();
    for summary in summaries {
        text += &format!("{}\n\n{}\n", heading(world, summary), tables(world, summary));
    }
    text + &notes(world, lines)
}

/// What a table is of.
pub(super) fn heading(world: &World<'_>, summary: &Summary<'_>) -> String {
    let pair = &world.pairs[summary.pair];
    let seeds: Vec<String> = world.experiment.seeds.iter().map(u64::to_string).collect();
    let scenario = &world.experiment.scenarios[summary.scenario];
    let many = if seeds.len() == 1 { "seed" } else { "seeds" };
    let data = &world.data(summary.pair).splits.name;
    format!("{} on {data}, {scenario}, {many} {}", pair.model, seeds.join(", "))
}

/// What a column is called, and what it says of a method under a mask.
type Column = (&'static str, fn(&Group<'_>) -> String);

/// The four figures, then what they come to: two tables, so that lines stay short.
const COLUMNS: [&[Column]; 2] = [
    &[
        ("UA %", |group| figure(group, 0)),
        ("RA %", |group| figure(group, 1)),
        ("TA %", |group| figure(group, 2)),
        ("MIA-E %", |group| figure(group, 3)),
    ],
    &[("disparity", disparity), ("avg gap", average), ("RTE s", rte)],
];

fn tables(world: &World<'_>, summary: &Summary<'_>) -> String {
    let masks = &world.experiment.masks;
    if masks.len() > ACROSS {
        return below(world, summary).to_string();
    }
    let mut text = Vec::new();
    for columns in COLUMNS {
        let mut head = vec!["method".to_string()];
        for (name, _) in columns {
            head.extend(masks.iter().map(|mask| match masks.len() {
                1 => name.to_string(),
                _ => format!("{name} {}", mask.label),
            }));
        }
        let mut table = Table::headed(head);
        for row in &summary.rows {
            let mut cells = vec![row.label.clone()];
            for (_, told) in columns {
                cells.extend(row.groups.iter().map(told));
            }
            table.row(cells);
        }
        text.push(table.to_string());
    }
    text.join("\n")
}

/// Masks below each other under each method: too many to stand side by side.
fn below(world: &World<'_>, summary: &Summary<'_>) -> Table {
    let columns = || COLUMNS.into_iter().flatten();
    let head = ["method", "mask"].into_iter().chain(columns().map(|(name, _)| *name));
    let mut table = Table::headed(head.map(String::from).collect());
    for row in &summary.rows {
        for group in &row.groups {
            let mask = world.experiment.masks[group.mask].label.clone();
            let mut cells = vec![row.label.clone(), mask];
            cells.extend(columns().map(|(_, told)| told(group)));
            table.row(cells);
        }
    }
    table
}

/// `mean±deviation (gap)`.
pub(super) fn figure(group: &Group<'_>, which: usize) -> String {
    match (group.figures, group.gaps) {
        (Some(figures), Some(gaps)) => {
            format!("{} ({:.2})", figures[which].told(2), gaps[which])
        }
        (Some(figures), None) => figures[which].told(2),
        (None, _) if group.lines.is_empty() => "-".into(),
        (None, _) => "failed".into(),
    }
}

/// The paper's average: of the gaps of means.
pub(super) fn disparity(group: &Group<'_>) -> String {
    group.disparity.map_or("-".into(), |disparity| format!("{disparity:.2}"))
}

/// The mean over seeds of each seed's average gap.
pub(super) fn average(group: &Group<'_>) -> String {
    group.average.map_or("-".into(), |average| average.told(2))
}

/// Seconds.
pub(super) fn rte(group: &Group<'_>) -> String {
    group.rte.map_or("-".into(), |rte| rte.told(2))
}

/// What the figures are, and what went wrong.
pub(super) fn notes(world: &World<'_>, lines: &[Line]) -> String {
    let mut notes = vec![spread(world)];
    notes.push("In brackets: the distance of the mean to retrain's under the same mask, in points; disparity: the mean of the four; avg gap: each seed's average gap, over seeds.".into());
    notes.push("None is better when higher: the aim is retrain. Every figure is of the written file, opened again.".into());
    notes.extend(tuned(world, lines));
    notes.extend(busy(lines));
    let mut seen = Vec::new();
    for line in lines {
        for note in line.value["notes"].as_array().into_iter().flatten() {
            let note = note.as_str().unwrap_or_default().to_string();
            if !seen.contains(&note) {
                seen.push(note);
            }
        }
    }
    notes.extend(seen);
    for line in lines {
        if let Err(why) = &line.report {
            notes.push(format!("failed: {}: {why}", named(world, line)));
        }
    }
    notes.iter().map(|note| format!("note: {note}\n")).collect()
}

/// How the spread is told.
fn spread(world: &World<'_>) -> String {
    match world.experiment.seeds.len() {
        1 => "one seed: no deviation over seeds is known; cells.jsonl has 95 % intervals over samples.".into(),
        many => format!("mean±sample standard deviation over {many} seeds; cells.jsonl has each seed, with 95 % intervals over samples."),
    }
}

/// A cell in words.
pub(super) fn named(world: &World<'_>, line: &Line) -> String {
    let trial = &line.cell.trial;
    let pair = &world.pairs[trial.pair];
    format!(
        "{} on {}, {}, seed {}, {}, {}",
        pair.model,
        world.experiment.data[pair.data],
        world.experiment.scenarios[trial.scenario],
        trial.seed,
        world.experiment.masks[trial.mask].label,
        line.label
    )
}

/// What was chosen on which samples.
pub(super) fn tuned(world: &World<'_>, lines: &[Line]) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for line in lines {
        let tuned = &line.value["tuned"];
        if tuned.is_null() {
            continue;
        }
        let trial = &line.cell.trial;
        let note = format!(
            "{} under {} for {}: {} chosen by the smallest average gap on {} (seed {})",
            line.label,
            world.experiment.masks[trial.mask].label,
            world.experiment.scenarios[trial.scenario],
            tuned["settings"],
            tuned["held_out"].as_str().unwrap_or_default(),
            tuned["seed"]
        );
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}

/// Times that were taken while other steps ran.
fn busy(lines: &[Line]) -> Option<String> {
    let most =
        lines.iter().filter_map(|line| line.value["timing"]["steps_at_once"].as_u64()).max()?;
    (most > 1).then(|| {
        format!("up to {most} steps ran at once: RTE is longer than that of a method alone")
    })
}
