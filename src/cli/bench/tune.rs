//! `unlearn bench tune`: from which reuse on this machine's passes pack what they read.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::super::kernels::{Kernels, VARIABLE};
use super::super::learn;
use super::super::machine::{BudgetArgs, Machine};
use super::super::setting::{self, Common, Out};
use super::super::table::Table;
use super::some;
use super::trial::{CASES, Trial};
use crate::base::disk::{FileDisk, replace};
use crate::sparse::KernelTable;

/// The passes, as results name them.
const PASSES: [&str; 3] = ["forward", "input gradient", "weight gradient"];
/// How much less time another table must take over all, to be taken instead of the one in force: what
/// repeated measurements differ by.
const WORTH: f64 = 0.01;

/// Measure from where on the passes of a sparse layer should pack what they read, and write a table
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn bench tune --out kernels.toml && export UNLEARN_KERNELS=kernels.toml\n\nEvery command of that environment then computes by that table; `inspect --plan` shows what it chooses. Models and checkpoints name the table they were computed by, since results differ in the last places."
)]
pub(super) struct Args {
    /// The file to write
    #[arg(long, value_name = "FILE.toml")]
    out: PathBuf,
    /// Times that each kernel runs on each layer; the fastest counts
    #[arg(long, value_name = "N", default_value_t = 9)]
    repetitions: usize,
    #[command(flatten)]
    budget: BudgetArgs,
    #[command(flatten)]
    pub common: Common,
}

/// A pass of a layer, both ways.
#[derive(Clone, Debug)]
struct Cell {
    layer: String,
    density: f64,
    pass: usize,
    reuse: f64,
    /// Seconds streamed and packed.
    seconds: [f64; 2],
}

impl Cell {
    /// The seconds that a table with this threshold has it take.
    fn under(&self, least: f64) -> f64 {
        self.seconds[usize::from(self.reuse >= least)]
    }

    fn best(&self) -> f64 {
        self.seconds[0].min(self.seconds[1])
    }
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let mut machine = args.budget.watch(None)?;
    let repetitions = some("--repetitions", args.repetitions, 10_000)?;
    setting::check_ending("--out", &args.out, "a table of kernels", "toml")?;
    let cells = measure(repetitions, &mut machine)?;
    let before = KernelTable::in_force();
    let passes = [0, 1, 2].map(|pass| tuned(&cells, pass, before.passes()[pass]));
    let [forward, input_gradient, weight_gradient] = passes;
    let after = KernelTable { forward, input_gradient, weight_gradient };
    let told = Told { cells, before, after };
    let made = format!(
        "Made by `unlearn bench tune` {}, {} threads; in force where {VARIABLE} names this file.\n\
         From which reuse of a plane on a pass packs what it reads:",
        env!("CARGO_PKG_VERSION"),
        rayon::current_num_threads()
    );
    let mut value = told.value(&args.out);
    let took = machine.seal(&mut value);
    replace(&mut FileDisk, &args.out, Kernels::of(after).text(&made).as_bytes())?;
    let next = format!("written to {}: export {VARIABLE}={0}\n", args.out.display());
    out.result(&(told.text() + &next + &took), &value)
}

/// Every pass of every case that can be packed, both ways in turns.
fn measure(repetitions: usize, machine: &mut Machine) -> Result<Vec<Cell>, Fault> {
    let mut cells = Vec::new();
    for case in CASES {
        let mut trial = Trial::new(&case);
        let mut seconds = [[f64::INFINITY; 2]; 3];
        for _ in 0..repetitions {
            machine.turn()?;
            for (pass, best) in seconds.iter_mut().enumerate() {
                let found = [0, 1].map(|way| trial.time(way, pass));
                *best = [0, 1].map(|way| best[way].min(found[way]));
            }
        }
        let passes = trial.reuse().into_iter().zip(seconds).enumerate();
        cells.extend(passes.filter_map(|(pass, (reuse, seconds))| {
            let (layer, density) = (case.to_string(), case.density);
            Some(Cell { layer, density, pass, reuse: reuse?, seconds })
        }));
    }
    Ok(cells)
}

/// How much longer the cells of a pass take under a threshold than each with its own best kernel, as the
/// mean of logarithms.
fn excess(cells: &[Cell], pass: usize, least: f64) -> f64 {
    let of_pass = || cells.iter().filter(|cell| cell.pass == pass);
    let sum: f64 = of_pass().map(|cell| (cell.under(least) / cell.best()).ln()).sum();
    sum / of_pass().count().max(1) as f64
}

/// The threshold of a pass: the best one, or the one that is, unless that takes [`WORTH`] more.
fn tuned(cells: &[Cell], pass: usize, now: f64) -> f64 {
    let mut reuses: Vec<f64> =
        cells.iter().filter(|cell| cell.pass == pass).map(|cell| cell.reuse).collect();
    reuses.sort_by(f64::total_cmp);
    // Between neighbours any threshold is the same; with one digit behind the point it reads well.
    let between = reuses.windows(2).map(|pair| ((pair[0] * pair[1]).sqrt() * 10.0).round() / 10.0);
    let all = between.chain([0.0, f64::INFINITY]);
    let cost = |least: f64| excess(cells, pass, least);
    let best = all.min_by(|a, b| cost(*a).total_cmp(&cost(*b))).unwrap_or(now);
    if cost(now) - cost(best) < WORTH { now } else { best }
}

/// What is told.
struct Told {
    cells: Vec<Cell>,
    before: KernelTable,
    after: KernelTable,
}

impl Told {
    fn text(&self) -> String {
        let Self { cells, before, after } = self;
        let kernel = |packed: bool| if packed { "packed" } else { "streamed" };
        let mut all =
            Table::new(["layer", "density", "pass", "reuse", "streamed", "packed", "chosen"]);
        for cell in cells {
            let chosen = cell.reuse >= after.passes()[cell.pass];
            let mark =
                if cell.under(after.passes()[cell.pass]) > cell.best() { " (!)" } else { "" };
            all.row(vec![
                cell.layer.clone(),
                format!("{:.0} %", 100.0 * cell.density),
                PASSES[cell.pass].into(),
                format!("{:.1}", cell.reuse),
                format!("{:.3} ms", 1e3 * cell.seconds[0]),
                format!("{:.3} ms", 1e3 * cell.seconds[1]),
                format!("{}{mark}", kernel(chosen)),
            ]);
        }
        let mut sum =
            Table::new(["packs from a reuse of", "before", "now", "loses before", "loses now"]);
        for (pass, name) in PASSES.iter().enumerate() {
            let [was, is] = [before, after].map(|table| table.passes()[pass]);
            let loses = |least| format!("{:.1} %", 100.0 * excess(cells, pass, least).exp_m1());
            sum.row(vec![name.to_string(), was.to_string(), is.to_string(), loses(was), loses(is)]);
        }
        format!(
            "{}, {} threads\n\n{all}\n(!): the other kernel is quicker, on the other side of the threshold\n\n{sum}\n\
             loses: time beyond that of the quicker kernel in each row, in the geometric mean\n",
            learn::plan(setting::isa()),
            rayon::current_num_threads()
        )
    }

    fn value(&self, path: &std::path::Path) -> Value {
        let Self { cells, before, after } = self;
        let cells: Vec<Value> = cells
            .iter()
            .map(|cell| {
                json!({ "layer": cell.layer, "density": cell.density, "pass": PASSES[cell.pass], "reuse": cell.reuse,
                    "streamed_seconds": cell.seconds[0], "packed_seconds": cell.seconds[1],
                    "packed": cell.reuse >= after.passes()[cell.pass] })
            })
            .collect();
        let table = |table: &KernelTable| {
            // JSON has no infinity.
            let least = |pass: usize| {
                let least = table.passes()[pass];
                if least.is_finite() { json!(least) } else { json!("inf") }
            };
            json!({ "forward": least(0), "input_gradient": least(1), "weight_gradient": least(2) })
        };
        json!({ "command": "bench", "what": "tune", "file": setting::told(path), "plan": learn::plan(setting::isa()),
            "threads": rayon::current_num_threads(), "before": table(before), "packs_from": table(after), "cells": cells })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(reuse: f64, seconds: [f64; 2]) -> Cell {
        Cell { layer: String::new(), density: 0.1, pass: 1, reuse, seconds }
    }

    #[test]
    fn a_threshold_lies_where_packing_begins_to_pay_and_moves_only_if_that_is_worth_it() {
        let cells = [
            cell(5.0, [1.0, 2.0]),
            cell(10.0, [1.0, 1.5]),
            cell(20.0, [1.0, 0.9]),
            cell(80.0, [1.0, 0.5]),
        ];
        assert_eq!(tuned(&cells, 1, 100.0), 14.1);
        assert_eq!(tuned(&cells, 1, 12.0), 12.0, "as good as any between");
        assert_eq!(tuned(&cells, 0, 27.0), 27.0, "nothing was measured of that pass");
        let never = [cell(5.0, [1.0, 2.0]), cell(50.0, [1.0, 2.0])];
        assert_eq!(tuned(&never, 1, 27.0), f64::INFINITY);
        let close = [cell(30.0, [1.0, 1.005])];
        assert_eq!(tuned(&close, 1, 27.0), 27.0, "half a percent is noise");
        assert!((excess(&cells, 1, 0.0).exp() - (2.0f64 * 1.5).powf(0.25)).abs() < 1e-12);
    }
}
