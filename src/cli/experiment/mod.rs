//! `unlearn experiment`: model x data x scenario x mask x method x seed, from one file to the paper's
//! table and a page.
//!
//! `file` reads what is asked for, `graph` makes steps and cells of it, `work` runs the steps, `steps`,
//! `trials` and `tune` are the steps, `cell` is what they ask of the rooms below, and `store` keeps
//! what they make. `line`, `summary`, `table` and `page` tell what came of it.

mod cell;
mod check;
mod dry;
mod file;
mod graph;
mod line;
mod looker;
mod page;
mod settings;
mod steps;
mod store;
mod summary;
mod table;
mod target;
mod trials;
mod tune;
mod work;
mod world;

use std::path::PathBuf;

use serde_json::{Value, json};

use super::device::{self, Wanted};
use super::fault::Fault;
use super::setting::{self, Common, Out, plain};
use crate::base::clock::Stopwatch;
use crate::base::disk::{FileDisk, replace};
use crate::base::units::{Bytes, Seconds};
use line::Line;
use settings::Experiment;
use store::Store;
use summary::Summary;
use world::World;

/// Run an experiment: every method under every mask, over seeds, to the paper's table and a page.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn experiment benches/experiments/ten-minutes.toml --out out\n\nThe shortest file that says something:\n\n  data = \"fashion-mnist\"\n  model = \"cnn28\"\n  scenarios = [\"class=0\", \"random=0.1\"]\n  masks = [\"dense\", 0.95]\n  methods = [\"fine-tune\", { name = \"l1-sparse\", alpha = 1e-4 }]\n  seeds = [1, 2, 3]\n\nFurther keys: name, [train] and [retrain] (epochs, batch, rate, momentum, decay, schedule, crop, flip), [mask] (what all masks share: criterion, allocation, rewind, iterations, train), dtype, features, shadows, memory, data-memory, jobs, tune-seed. A method takes any of its fields, and label, scenarios, grid. `unlearn methods` lists methods. Retraining is always measured, as the yardstick.\n\nWrites into DIR: table.txt, cells.jsonl, cells.csv, report.html, resolved.toml (every setting, defaults filled in), with --tune tuned.toml (for `unlearn forget --tuned=FILE`), and products/ with every model and figure. Killed at any time, the same words make what is missing. Exit code 5: some cells failed, the others are there."
)]
pub(super) struct Args {
    /// The experiment
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
    /// The folder of results and products; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Search the grids of methods on a held-out forget set, and run them with what came nearest to
    /// retraining there
    #[arg(long)]
    tune: bool,
    /// Steps to run at once; no figure but time depends on it [default: the file's, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// The most memory that the program may take: a step is computed within it, and only as many run
    /// at once as fit [default: the file's, else no limit]
    #[arg(long, value_name = "SIZE", value_parser = Bytes::parse)]
    memory: Option<Bytes>,
    /// What training, forgetting and measuring compute on; masks are chosen on the processor
    #[arg(long, value_name = device::HELP, default_value_t, value_parser = Wanted::parse)]
    device: Wanted,
    /// List the steps, which are there already, and what they take in memory; do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub common: Common,
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let mut experiment = file::read(&args.file)?;
    experiment.jobs = args.jobs.map_or(experiment.jobs, usize::from);
    experiment.memory = args.memory.or(experiment.memory);
    let mut warnings = Vec::new();
    if !args.tune {
        for entry in experiment.methods.iter_mut().filter(|entry| !entry.grid.is_empty()) {
            warnings.push(format!("the grid of {} was not searched: give --tune", entry.label));
            entry.candidates.clear();
        }
    }
    let mut world = World::open(&experiment, Store::look(&args.out), args.device, out)?;
    if args.dry_run {
        return dry::tell(&world, out);
    }
    // Only now: an experiment that makes no sense leaves no folder.
    world.store = Store::open(&args.out)?;
    let world = world;
    let watch = Stopwatch::start();
    let needs: Vec<&[usize]> = world.graph.steps.iter().map(|(_, needs)| &needs[..]).collect();
    let made = work::work(&needs, experiment.jobs, |step, given| world.perform(step, given))?;
    let lines = line::lines(&world, &made);
    let summaries = summary::summaries(&world, &lines);
    Results { world: &world, lines: &lines, summaries: &summaries, warnings }.tell(
        args,
        out,
        watch.seconds(),
    )
}

/// What came of it.
struct Results<'a> {
    world: &'a World<'a>,
    lines: &'a [Line],
    summaries: &'a [Summary<'a>],
    warnings: Vec<String>,
}

impl Results<'_> {
    fn tell(&self, args: &Args, out: &Out, seconds: f64) -> Result<(), Fault> {
        let experiment: &Experiment = self.world.experiment;
        let put = |name: &str, text: &str| -> Result<(), Fault> {
            Ok(replace(&mut FileDisk, &args.out.join(name), text.as_bytes())?)
        };
        let mut text = format!("{}\n\n", experiment.name);
        text += &table::text(self.world, self.summaries, self.lines);
        self.warnings.iter().for_each(|warning| text += &format!("note: {warning}\n"));
        put("resolved.toml", &experiment.text())?;
        put("cells.jsonl", &line::jsonl(self.lines))?;
        put("cells.csv", &line::csv(self.lines))?;
        put("table.txt", &text)?;
        let page = page::html(self.world, self.lines, self.summaries, &self.warnings);
        put("report.html", &page)?;
        let mut files =
            vec!["table.txt", "cells.jsonl", "cells.csv", "report.html", "resolved.toml"];
        let tuned = line::tuned(self.world, self.lines);
        if !tuned.tuned.is_empty() {
            put("tuned.toml", &tuned.text())?;
            files.push("tuned.toml");
        }
        let failed = self.lines.iter().filter(|line| line.report.is_err()).count();
        let told = format!(
            "{text}\n{} cells in {}: {} has this table and {}\n",
            self.lines.len(),
            Seconds(seconds),
            args.out.display(),
            files[1..].join(", ")
        );
        let path = |name: &&str| json!(setting::told(&args.out.join(name)));
        let value = json!({
            "command": "experiment", "version": env!("CARGO_PKG_VERSION"), "name": experiment.name,
            "cells": self.lines.len(), "failed": failed, "seconds": seconds,
            "settings": experiment.value(), "summary": self.summary(),
            "files": files.iter().map(path).collect::<Vec<_>>(), "warnings": self.warnings,
        });
        out.result(&told, &value)?;
        match failed {
            0 => Ok(()),
            failed => {
                Err(Fault::Cells { failed, cells: self.lines.len(), folder: args.out.clone() })
            }
        }
    }

    /// Means over seeds, for scripts.
    fn summary(&self) -> Vec<Value> {
        let experiment: &Experiment = self.world.experiment;
        let mut all = Vec::new();
        for summary in self.summaries {
            let pair = &self.world.pairs[summary.pair];
            for row in &summary.rows {
                for group in &row.groups {
                    let mean = |which: usize| {
                        group.figures.map(|figures| {
                            let mean = figures[which];
                            let gap = group.gaps.map(|gaps| gaps[which]);
                            json!({ "mean": mean.mean, "deviation": mean.deviation, "gap": gap })
                        })
                    };
                    let over = |mean: Option<summary::Mean>| {
                        mean.map(|mean| json!({ "mean": mean.mean, "deviation": mean.deviation }))
                    };
                    all.push(json!({
                        "model": pair.model, "data": experiment.data[pair.data],
                        "scenario": experiment.scenarios[summary.scenario],
                        "mask": experiment.masks[group.mask].label, "method": row.label,
                        "seeds": group.lines.iter().filter(|line| line.report.is_ok()).count(),
                        "ua": mean(0), "ra": mean(1), "ta": mean(2), "mia_efficacy": mean(3),
                        "disparity": group.disparity, "average_gap": over(group.average),
                        "rte_seconds": over(group.rte),
                    }));
                }
            }
        }
        plain(&all).as_array().cloned().unwrap_or_default()
    }
}
