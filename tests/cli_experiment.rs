//! Defends the table that researchers take from one command: every figure in it follows from the
//! cells, which no kill, no number of steps at once and no failing neighbour changes.
#![cfg(unix)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use common::program::{command, done, json, judged, refused, run};
use serde_json::Value;
use tempfile::TempDir;
use unlearn::base::rng::Stream;

/// A network that learns an epoch of [`folder`]'s pictures in milliseconds.
const NETWORK: &str = r#"
name = "tiny"
summary = "A convolution for 8x8 grey images: for tests."
[input]
shape = [1, 8, 8]
mean = [0.5]
std = [0.25]
[[op]]
name = "conv1"
kind = "conv"
filters = 16
kernel = 3
stride = 2
padding = 1
[[op]]
name = "bn1"
kind = "batch-norm"
[[op]]
name = "relu1"
kind = "relu"
[[op]]
name = "fc"
kind = "linear"
outputs = "classes"
"#;

/// An IDX file: element type and dimensions, sizes, contents.
fn idx(magic: u32, sizes: &[u32], contents: &[u8]) -> Vec<u8> {
    let head = [magic].into_iter().chain(sizes.iter().copied()).flat_map(u32::to_be_bytes);
    head.chain(contents.iter().copied()).collect()
}

/// Pictures of four classes: stripes of their own under much noise, so that nobody is always right.
fn pictures(home: &Path, part: &str, count: u32) {
    let mut noise = Stream::new(9, part);
    let labels: Vec<u8> = (0..count).map(|at| (at % 4) as u8).collect();
    let mut pixels = Vec::new();
    for label in &labels {
        for at in 0..64u8 {
            let stripe = if at / 8 % 4 == *label { 0.15 } else { 0.0 };
            pixels.push((255.0 * (0.85 * noise.unit() + stripe)) as u8);
        }
    }
    let data = home.join("stripes");
    fs::create_dir_all(&data).unwrap();
    let images = idx(0x803, &[count, 8, 8], &pixels);
    fs::write(data.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
    fs::write(data.join(format!("{part}-labels-idx1-ubyte")), idx(0x801, &[count], &labels))
        .unwrap();
}

const EXPERIMENT: &str = r#"
name = "Two methods under two masks"
data = "stripes"
model = "tiny.toml"
seeds = [1, 2]
scenarios = ["class=2", "random=0.1"]
masks = ["dense", 0.8]
methods = [
    { name = "fine-tune", epochs = 1, rate = 0.05 },
    { name = "l1-sparse", epochs = 1, rate = 0.05, alpha = 3e-4, label = "l1" },
]
[train]
epochs = 2
batch = 32
schedule = "cosine"
[mask]
rewind = 1
"#;

const RUN: &str = "experiment x.toml --out out";
/// Pairs of seed, mask and scenario, each with the original, retrain and two methods.
const CELLS: usize = 2 * 2 * 2 * 4;

fn folder(text: &str) -> TempDir {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("tiny.toml"), NETWORK).unwrap();
    fs::write(home.path().join("x.toml"), text).unwrap();
    pictures(home.path(), "train", 400);
    pictures(home.path(), "t10k", 200);
    home
}

/// The experiment, run once without a disturbance.
fn undisturbed() -> &'static Path {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let home = folder(EXPERIMENT);
        done(home.path(), RUN);
        home
    });
    made.path()
}

fn text(home: &Path, name: &str) -> String {
    fs::read_to_string(home.join("out").join(name)).unwrap()
}

fn cells(home: &Path) -> Vec<Value> {
    text(home, "cells.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The cells without what a clock said.
fn timeless(home: &Path) -> Vec<Value> {
    let mut cells = cells(home);
    for cell in &mut cells {
        assert!(cell["timing"].is_object());
        cell.as_object_mut().unwrap().remove("timing");
    }
    cells
}

/// The values of a figure of some cells.
fn values(cells: &[Value], [scenario, mask, method]: [&str; 3], metric: &str) -> Vec<f64> {
    let here = |cell: &&Value| {
        cell["scenario"] == scenario && cell["mask"]["label"] == mask && cell["method"] == method
    };
    let value = |cell: &Value| match metric {
        "gap" => cell["gap_to_retrain"]["average"].as_f64(),
        "rte" => cell["timing"]["rte_seconds"].as_f64(),
        metric => cell["metrics"][metric]["value"].as_f64(),
    };
    cells.iter().filter(here).filter_map(value).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// As a table tells it.
fn spread(values: &[f64]) -> String {
    let (mean, n) = (mean(values), values.len() as f64);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    format!("{mean:.2}±{:.2}", (squares / (n - 1.0)).sqrt())
}

/// Whether two cells of a table say the same, but for a last digit: a half may be rounded either way.
fn alike(one: &str, other: &str) -> bool {
    let numbers = |text: &str| -> Vec<f64> {
        let parts = text.split(['±', '(', ')', ' ']).filter(|part| !part.is_empty());
        parts.map(|part| part.parse().unwrap_or(f64::NAN)).collect()
    };
    let (one_of, other_of) = (numbers(one), numbers(other));
    let near = |(a, b): (&f64, &f64)| (a - b).abs() < 0.010_001 || (a.is_nan() && b.is_nan());
    one_of.len() == other_of.len() && one_of.iter().zip(&other_of).all(near)
}

#[test]
fn every_figure_of_the_table_follows_from_the_cells() {
    let home = undisturbed();
    let (cells, table) = (cells(home), text(home, "table.txt"));
    assert_eq!(cells.len(), CELLS);
    let metrics = ["ua", "ra", "ta", "mia_efficacy"];
    let blocks: Vec<&str> = table.split("tiny.toml on stripes, ").skip(1).collect();
    assert_eq!(blocks.len(), 2);
    for (scenario, block) in ["class=2", "random=0.1"].into_iter().zip(blocks) {
        assert!(block.starts_with(scenario), "{block}");
        for method in ["original", "retrain", "fine-tune", "l1"] {
            // Two rows, in two tables.
            let rows = block.lines().filter(|line| line.split("  ").next() == Some(method));
            let found: Vec<&str> = rows
                .flat_map(|row| {
                    row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).skip(1)
                })
                .collect();
            let mut expected = Vec::new();
            for metric in metrics {
                for mask in ["dense", "80 %"] {
                    let all = values(&cells, [scenario, mask, method], metric);
                    let gap =
                        mean(&all) - mean(&values(&cells, [scenario, mask, "retrain"], metric));
                    assert_eq!(all.len(), 2);
                    expected.push(match method {
                        "retrain" => spread(&all),
                        _ => format!("{} ({:.2})", spread(&all), gap.abs()),
                    });
                }
            }
            for mask in ["dense", "80 %"] {
                let gap = |metric| {
                    let of = |method| mean(&values(&cells, [scenario, mask, method], metric));
                    (of(method) - of("retrain")).abs()
                };
                let disparity = mean(&metrics.map(gap));
                let told = method != "retrain";
                expected.push(if told { format!("{disparity:.2}") } else { "-".into() });
            }
            for metric in ["gap", "rte"] {
                for mask in ["dense", "80 %"] {
                    let all = values(&cells, [scenario, mask, method], metric);
                    expected.push(if all.is_empty() { "-".into() } else { spread(&all) });
                }
            }
            assert_eq!(found.len(), expected.len(), "{scenario}, {method}:\n{block}");
            for (found, expected) in found.iter().zip(&expected) {
                assert!(alike(found, expected), "{method}: {found} is not {expected}\n{block}");
            }
        }
    }
    // Each seed's average gap, from its own figures.
    for cell in cells.iter().filter(|cell| cell["method"] != "retrain") {
        let same = |other: &&Value| {
            other["method"] == "retrain"
                && ["seed", "mask", "scenario"].iter().all(|key| other[key] == cell[key])
        };
        let yardstick = cells.iter().find(same).unwrap();
        let value = |cell: &Value, metric: &str| cell["metrics"][metric]["value"].as_f64().unwrap();
        let gaps = metrics.map(|metric| (value(cell, metric) - value(yardstick, metric)).abs());
        assert!((cell["gap_to_retrain"]["average"].as_f64().unwrap() - mean(&gaps)).abs() < 1e-9);
    }
}

#[test]
fn the_cells_tell_what_they_were_made_from_and_their_files_are_there() {
    let home = undisturbed();
    for cell in cells(home) {
        let name = cell["file"].as_str().unwrap();
        let shown = common::program::json(&home.join("out"), &format!("inspect {name}"));
        assert_eq!(shown["id"], cell["id"], "{cell}");
        assert!(cell["planned_peak_bytes"].as_u64().unwrap() > 16 << 20);
        for figure in ["ua", "ra", "ta", "mia_efficacy"] {
            let metric = &cell["metrics"][figure];
            let [low, high] = [0, 1].map(|end| metric["interval95"][end].as_f64().unwrap());
            assert!((low..=high).contains(&metric["value"].as_f64().unwrap()), "{metric}");
        }
        let sparsity = cell["sparsity_percent"].as_f64().unwrap();
        let asked = if cell["mask"]["label"] == "dense" { 0.0 } else { 80.0 };
        // Of 144 weights, a whole number stays.
        assert!((sparsity - asked).abs() < 0.5, "{sparsity}");
    }
    let csv = text(home, "cells.csv");
    assert_eq!(csv.lines().count(), CELLS + 1);
    let fields = csv.lines().next().unwrap().split(',').count();
    assert!(csv.lines().all(|line| line.split(',').count() == fields), "{csv}");
    // What `evaluate` says of a file is what the cell says.
    let cell = cells(home).into_iter().find(|cell| cell["method"] == "l1").unwrap();
    let words = format!(
        "evaluate --model {} --data ../stripes --scenario {}",
        cell["file"].as_str().unwrap(),
        cell["scenario"].as_str().unwrap()
    );
    let said = common::program::json(&home.join("out"), &words);
    for metric in ["ua", "ra", "ta", "mia_efficacy"] {
        let value = |of: &Value| of[metric]["value"].as_f64().unwrap();
        let (said, told) = (value(&said["models"][0]["report"]), value(&cell["metrics"]));
        // Each went through its text once more or less.
        assert!((said - told).abs() < 1e-9, "{metric}: {said} and {told}");
    }
}

#[test]
fn a_run_that_is_killed_at_any_moment_goes_on_to_the_same_cells() {
    let expected = timeless(undisturbed());
    let home = folder(EXPERIMENT);
    let home = home.path();
    let products = home.join("out/products");
    for enough in [1, 4, 11, 30, 60, 90] {
        let mut child = command(home, RUN).stdout(Stdio::null()).spawn().unwrap();
        let lie = || fs::read_dir(&products).map_or(0, Iterator::count);
        while lie() < enough && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        // SIGKILL: nothing is tidied up.
        let _ = child.kill();
        child.wait().unwrap();
    }
    // Half of a record, and a model file that is not the one it names.
    let named = |kind: &str, ending: &str| {
        let mut all: Vec<_> = fs::read_dir(&products).unwrap().map(|e| e.unwrap().path()).collect();
        all.sort();
        all.into_iter().find(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(kind) && name.ends_with(ending)
        })
    };
    let record = named("figures", ".json").expect("something was measured before the last kill");
    fs::write(&record, &fs::read(&record).unwrap()[..20]).unwrap();
    let forgot = named("forgot", ".esm").unwrap();
    fs::copy(named("base", ".esm").unwrap(), &forgot).unwrap();
    done(home, RUN);
    assert!(timeless(home) == expected, "killed and undisturbed differ");
    // Now everything is there: the same bytes, times and all.
    let before = ["cells.jsonl", "table.txt", "report.html"].map(|name| text(home, name));
    done(home, RUN);
    assert!(before == ["cells.jsonl", "table.txt", "report.html"].map(|name| text(home, name)));
    let foreseen = common::program::json(home, &format!("{RUN} --dry-run"));
    assert_eq!(foreseen["to_do"], 0);
}

#[test]
fn steps_at_once_and_what_is_written_out_give_the_same_cells() {
    let home = folder(EXPERIMENT);
    let home = home.path();
    let resolved = fs::read(undisturbed().join("out/resolved.toml")).unwrap();
    fs::write(home.join("x.toml"), resolved).unwrap();
    let foreseen = common::program::json(home, &format!("{RUN} --dry-run"));
    assert_eq!(
        foreseen["to_do"].as_u64().unwrap() as usize,
        foreseen["steps"].as_array().unwrap().len()
    );
    assert!(!home.join("out").exists(), "a dry run made a folder");
    done(home, &format!("{RUN} --jobs 3 --threads 1"));
    assert!(timeless(home) == timeless(undisturbed()), "three steps at once give other cells");
    assert!(text(home, "table.txt").contains("up to 3 steps ran at once"));
    // Within memory: more than nothing, and the same figures where whole batches fit.
    let little = format!("{RUN} --memory 1MB");
    let said = run(home, &little);
    judged(&little, &said, 2, &["--memory 1000.0 kB is too little", "give that much"]);
    done(home, &format!("{RUN} --memory 200MB --jobs 2"));
    assert!(timeless(home) == timeless(undisturbed()));
}

#[test]
fn a_method_that_diverges_is_told_and_leaves_the_others() {
    let wild = EXPERIMENT
        .replace(
            "{ name = \"fine-tune\", epochs = 1, rate = 0.05 }",
            "{ name = \"fine-tune\", epochs = 1, rate = 1e30 }",
        )
        .replace("seeds = [1, 2]", "seeds = [1]")
        .replace("scenarios = [\"class=2\", \"random=0.1\"]", "scenarios = \"class=2\"");
    let home = folder(&wild);
    let home = home.path();
    for _ in 0..2 {
        let said = run(home, RUN);
        assert_eq!(said.code, Some(5), "{said:?}");
        assert!(
            said.err.contains("2 of 8 cells failed") && said.err.contains("table.txt"),
            "{said:?}"
        );
        assert!(said.out.contains("one seed: no deviation"), "{}", said.out);
        assert!(!said.out.contains('±'), "{}", said.out);
        let row = said.out.lines().find(|line| line.starts_with("fine-tune")).unwrap();
        assert!(row.contains("failed"), "{row}");
        assert!(said.out.contains("smaller learning rate"), "{}", said.out);
    }
    let cells = cells(home);
    let failed: Vec<&Value> = cells.iter().filter(|cell| cell["status"] == "failed").collect();
    assert!(failed.len() == 2 && failed.iter().all(|cell| cell["method"] == "fine-tune"));
    assert!(failed[0]["error"].as_str().unwrap().contains("diverged"));
    // The others are those of the whole experiment.
    let others = timeless(undisturbed());
    for cell in timeless(home).iter().filter(|cell| cell["status"] == "done") {
        assert!(others.contains(cell), "{cell}");
    }
}

#[test]
fn the_page_needs_nothing_from_elsewhere_and_every_plot_says_what_it_is() {
    let html = text(undisturbed(), "report.html");
    for outside in ["http://", "https://", "<script", "<link", "@import", "url(", "src=\"//"] {
        assert!(!html.contains(outside), "the page holds `{outside}`");
    }
    assert!(!html.contains("NaN") && !html.contains("inf<"));
    let plots: Vec<&str> =
        html.split("<svg viewBox").skip(1).filter(|svg| svg.contains("role=\"img\"")).collect();
    // For each scenario four figures, the gap, the cost, and a radar a method under each of two masks.
    assert_eq!(plots.len(), 2 * (4 + 1 + 1 + 2 * 2));
    for plot in &plots {
        let svg = plot.split("</svg>").next().unwrap();
        for part in ["<title>", "<desc>", "aria-label=\""] {
            assert!(svg.contains(part), "no {part} in {svg}");
        }
        let names = svg.matches("class=\"name\"").count();
        assert!(names >= 2, "axes without names: {svg}");
    }
    for axis in [
        "UA, %",
        "MIA-E, %",
        "average gap to retrain, points",
        "seconds, logarithmic",
        "share of the prunable weights",
    ] {
        assert!(html.contains(axis), "no axis `{axis}`");
    }
    for setting in ["train.momentum", "methods.2.alpha", "masks.2.rewind", "resolved.toml"] {
        assert!(html.contains(setting), "no `{setting}`");
    }
}

#[test]
fn a_grid_is_searched_on_samples_that_no_table_reports() {
    let grid = EXPERIMENT
        .replace("{ name = \"fine-tune\", epochs = 1, rate = 0.05 },", "")
        .replace("alpha = 3e-4, label = \"l1\"", "grid = { alpha = [3e-4, 0.3] }, label = \"l1\"")
        .replace("masks = [\"dense\", 0.8]", "masks = [0.8]");
    let home = folder(&grid);
    let home = home.path();
    let said = done(home, &format!("{RUN} --tune"));
    let tuned: Vec<Value> = cells(home).into_iter().filter(|cell| cell["method"] == "l1").collect();
    assert_eq!(tuned.len(), 4);
    for cell in &tuned {
        let choice = &cell["tuned"];
        let tried = choice["tried"].as_array().unwrap();
        let gap = |point: &Value| point["average_gap"].as_f64().unwrap();
        let least = tried.iter().min_by(|a, b| gap(a).total_cmp(&gap(b))).unwrap();
        assert_eq!(choice["settings"], least["settings"]);
        assert_eq!(choice["settings"]["alpha"], cell["settings"]["l1-sparse"]["alpha"]);
        let held = match cell["scenario"].as_str().unwrap() {
            "class=2" => "class=",
            _ => "other samples",
        };
        let on = choice["held_out"].as_str().unwrap();
        assert!(on.contains(held) && on.contains("held out for"), "{on}");
        assert_eq!(choice["seed"], 1);
        assert!(
            said.contains(&format!("chosen by the smallest average gap on {on} (seed 1)")),
            "{said}"
        );
    }
    // What was chosen can be taken by one run, over which its own words go.
    let original = cells(home).into_iter().find(|cell| cell["method"] == "original").unwrap();
    let (model, data) = (original["file"].as_str().unwrap(), original["data"].as_str().unwrap());
    let forget = format!("forget --model out/{model} --data {data} --no-measure --out one.esm");
    let class = format!("{forget} --scenario class=3 --tuned=out/tuned.toml");
    let value = json(home, &class);
    let searched = tuned.iter().find(|cell| cell["scenario"] == "class=2").unwrap();
    assert_eq!(value["method"], searched["settings"]);
    assert_eq!(value["tuned"]["chosen"]["points"], 2);
    let note = value["warnings"].to_string();
    assert!(note.contains("settings tuned for l1-sparse on tiny, class"), "{note}");
    let value = json(home, &format!("{class} --alpha 0.5"));
    assert_eq!(value["method"]["l1-sparse"]["alpha"], 0.5);
    refused(
        home,
        &format!("{class} --method fisher"),
        2,
        &["nothing was tuned for fisher on tiny"],
    );
    let shipped = format!("{forget} --scenario class=3 --tuned");
    refused(home, &shipped, 2, &["nothing was tuned for l1-sparse on tiny", "experiment --tune"]);
    let wrong = format!("{forget} --scenario class=3 --tuned=x.toml");
    refused(home, &wrong, 3, &["x.toml, line ", "unknown field"]);
    // Without the word, the method runs as it stands, and that is said.
    let said = done(home, RUN);
    assert!(said.contains("the grid of l1 was not searched: give --tune"), "{said}");
}

#[test]
fn a_mask_is_made_in_rounds_each_of_which_is_kept() {
    let rounds = EXPERIMENT
        .replace("masks = [\"dense\", 0.8]", "masks = [{ sparsity = 0.75, iterations = 2 }]")
        .replace("seeds = [1, 2]", "seeds = [1]")
        .replace("scenarios = [\"class=2\", \"random=0.1\"]", "scenarios = \"class=2\"");
    let home = folder(&rounds);
    let home = home.path();
    done(home, RUN);
    let first = cells(home);
    assert!(first.iter().all(|cell| cell["mask"]["label"] == "75 % in 2 rounds"));
    let products = fs::read_dir(home.join("out/products")).unwrap();
    let masks = products.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let masks: Vec<String> =
        masks.filter(|name| name.starts_with("mask-") && name.ends_with(".esm")).collect();
    let gone = |name: &String| {
        json(home, &format!("inspect out/products/{name}"))["sparsity_percent"].as_f64().unwrap()
    };
    let mut gone: Vec<f64> = masks.iter().map(gone).collect();
    gone.sort_by(f64::total_cmp);
    assert!(gone.len() == 2 && (gone[0] - 50.0).abs() < 1.0, "{gone:?}");
    assert!((gone[1] - 75.0).abs() < 1.0, "{gone:?}");
    // The round before is found again; only what was lost is made.
    let last = first[0]["file"].as_str().unwrap().replace(".esm", "");
    for end in ["esm", "json"] {
        fs::remove_file(home.join(format!("out/{last}.{end}"))).unwrap();
    }
    done(home, RUN);
    assert_eq!(cells(home)[0]["id"], first[0]["id"]);
    for (mask, phrase) in [
        (
            "{ sparsity = 0.5, iterations = 2, criterion = \"synflow\" }",
            "`iterations` prunes by steps",
        ),
        ("{ sparsity = 0.5, iterations = 0 }", "iterations is 0, expected 1 to 100"),
    ] {
        let text = EXPERIMENT.replace("masks = [\"dense\", 0.8]", &format!("masks = [{mask}]"));
        fs::write(home.join("x.toml"), text).unwrap();
        refused(home, RUN, 3, &["x.toml, line ", phrase]);
    }
}

#[test]
fn what_a_file_says_wrongly_is_refused_with_line_and_column() {
    let home =
        folder("data = \"made\"\nmodel = \"tiny.toml\"\nscenarios = [\"class=2\"]\nmethod = []\n");
    let home = home.path();
    let words = "experiment x.toml --out out";
    refused(home, words, 3, &["x.toml, line 4, column 1", "unknown field `method`"]);
    fs::write(home.join("x.toml"), EXPERIMENT.replace("alpha", "alhpa")).unwrap();
    refused(home, words, 3, &["x.toml, line 10, column", "alhpa"]);
    fs::write(home.join("x.toml"), EXPERIMENT.replace("tiny.toml", "cnn28")).unwrap();
    let said = run(home, words);
    judged(words, &said, 2, &["cnn28", "[1, 28, 28]", "[1, 8, 8]"]);
    fs::write(home.join("x.toml"), EXPERIMENT.replace("class=2", "class=9")).unwrap();
    let said = run(home, words);
    judged(words, &said, 2, &["no class is named `9`"]);
    refused(home, "experiment none.toml --out out", 3, &["none.toml", "does not exist"]);
}
