//! `unlearn bench all`: one command for the owner of a board. Every row is a command of this program, run as a
//! process of its own, so that no row finds the memory of another, and anybody can run one again by its words.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::super::board::snapshot;
use super::super::device::{self, DeviceArgs, Wanted};
use super::super::fault::Fault;
use super::super::machine::BudgetArgs;
use super::super::setting::{self, Common, Out};
use super::super::watch::stopped;
use super::{figures, page};
use crate::base::disk::{Disk, FileDisk, replace};

/// Measure this machine: steps, predictions, an opening, and a person who leaves a household.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn bench all --out bench\n\nWrites DIR/bench.json, which `unlearn bench compare` reads, and DIR/bench.html, a page with plots. Every row is a command of its own and stands there with its words. A row during which a counter of throttling rose, or something was held back against heat, is void: let the machine cool, or take another power mode, and run it again. --quick leaves out ResNet-20 and ResNet-18. --device is what steps, predictions and the opening compute on; the rows of homes compute on the processor."
)]
pub(super) struct Args {
    /// The folder for the results, which is not there yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Small networks and few repetitions
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    budget: BudgetArgs,
    #[command(flatten)]
    pub common: Common,
}

/// How sparse networks are measured: dense, as a pruned network is, and as a thin one.
pub(super) const SPARSITIES: [&str; 3] = ["0", "0.9", "0.95"];

/// The words of the rows that make files, without what all rows share.
fn made(folder: &Path) -> [Vec<String>; 2] {
    let path = |name: &str| folder.join(name).display().to_string();
    let words = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
    let mut first = words(
        "train --model cnn16 --data made --epochs 4 --batch 64 --rate 0.1 --without subject=p01,p02,p03,p04 --provenance population --out",
    );
    first.push(path("dense.esm"));
    let mut second = words("prune --data made --sparsity 0.9 --anchor 200");
    second.extend(["--model".into(), path("dense.esm"), "--out".into(), path("base.esm")]);
    [first, second]
}

/// The words of the rows that measure.
fn rows(folder: &Path, quick: bool, device: Wanted) -> Vec<Vec<String>> {
    let path = |name: &str| folder.join(name).display().to_string();
    let networks: &[(&str, &str)] = match quick {
        true => &[("kws-cnn", "32"), ("har-cnn", "32")],
        false => &[("kws-cnn", "32"), ("har-cnn", "32"), ("resnet20", "64"), ("resnet18", "64")],
    };
    let mut rows = Vec::new();
    for (network, batch) in networks {
        for sparsity in SPARSITIES {
            let repetitions = if quick { "5" } else { "9" };
            rows.push(format!("bench step --model {network} --batch {batch} --sparsity {sparsity} --warm-up 2 --repetitions {repetitions}"));
        }
    }
    for (network, _) in networks {
        for sparsity in SPARSITIES {
            rows.push(format!("bench latency --model {network} --sparsity {sparsity}"));
        }
    }
    let mut rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.split(' ').map(String::from).collect()).collect();
    let words = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
    let mut load = words("bench load --model");
    load.push(path("base.esm"));
    rows.push(load);
    if device != Wanted::default() {
        // Rows of the processor have the words that they always had.
        rows.iter_mut().for_each(|row| row.extend(["--device".into(), device.to_string()]));
    }
    let mut erase =
        words("bench erase --data made --household p01,p02,p03,p04 --leaves p01 --base");
    erase.extend([path("base.esm"), "--out".into(), path("homes")]);
    rows.push(erase);
    rows
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let machine = snapshot(&args.budget.machine)?;
    std::fs::create_dir(&args.out).map_err(|error| {
        Fault::Given(crate::base::disk::DiskError::from_io("make the folder", &args.out, error))
    })?;
    for words in made(&args.out) {
        child(&words, args)?;
    }
    let measured = rows(&args.out, args.quick, args.device.device);
    let mut results = Vec::new();
    for (index, words) in measured.iter().enumerate() {
        if stopped() {
            return Err(Fault::Interrupted(format!(
                "stopped after {index} of {} rows: no result was written",
                measured.len()
            )));
        }
        out.say(&format!("{} of {}: unlearn {}", index + 1, measured.len(), words.join(" ")));
        let result = child(words, args)?;
        // Where the files of a run lie makes it no other row.
        let shown: Vec<String> =
            words.iter().map(|word| word.replace(&setting::told(&args.out), "DIR")).collect();
        results.push(json!({ "words": shown.join(" "), "void": result["void"], "result": result }));
    }
    clean(&args.out)?;
    let value = json!({
        "command": "bench all", "version": env!("CARGO_PKG_VERSION"), "quick": args.quick,
        "board": machine, "threads": rayon::current_num_threads(), "rows": results,
    });
    let text = serde_json::to_vec_pretty(&value).unwrap_or_default();
    replace(&mut FileDisk, &args.out.join("bench.json"), &text)?;
    replace(&mut FileDisk, &args.out.join("bench.html"), page::html(&value).as_bytes())?;
    let said = format!(
        "{}\n{}\n{}",
        figures::machine(&value),
        figures::table(&value),
        figures::voids(&value)
    );
    out.result(
        &format!("{said}{} and bench.html beside it\n", args.out.join("bench.json").display()),
        &value,
    )
}

/// Removes what only the rows needed.
fn clean(folder: &Path) -> Result<(), Fault> {
    let failed = |what, path: &Path| {
        let path = path.to_path_buf();
        move |error| Fault::Given(crate::base::disk::DiskError::from_io(what, &path, error))
    };
    let homes = folder.join("homes");
    std::fs::remove_dir_all(&homes).map_err(failed("remove", &homes))?;
    for name in ["dense.esm", "dense.rewind.esm", "base.esm"] {
        FileDisk.remove(&folder.join(name))?;
    }
    Ok(())
}

/// Runs a command of this program, and gives its JSON.
fn child(words: &[String], args: &Args) -> Result<Value, Fault> {
    let failed = |error: std::io::Error| Fault::Socket(format!("a row cannot be started: {error}"));
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.args(words).arg("--json");
    command.arg("--threads").arg(rayon::current_num_threads().to_string());
    if words[0] == "bench" {
        command.args(args.budget.words());
    }
    let ended = command.stdin(Stdio::null()).stderr(Stdio::piped()).output().map_err(failed)?;
    let said = String::from_utf8_lossy(&ended.stderr);
    if !ended.status.success() {
        let code = ended.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(5);
        let what =
            format!("`unlearn {}` ended with {}: {}", words.join(" "), ended.status, said.trim());
        return Err(Fault::Refused { what, code });
    }
    device::pass_on(&said);
    serde_json::from_slice(&ended.stdout).map_err(|error| {
        Fault::Usage(format!("`unlearn {}` gave no JSON: {error}", words.join(" ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_in_the_words_of_all_rows_that_take_it_and_of_no_others() {
        let told = |device: &str| rows(Path::new("out"), true, Wanted::parse(device).unwrap());
        let has = |row: &Vec<String>| row.windows(2).any(|w| w == ["--device", "cuda:1/f16"]);
        assert!(told("cpu").iter().flatten().all(|word| word != "--device"));
        for row in told("cuda:1/f16") {
            assert_eq!(has(&row), row[1] != "erase", "{row:?}");
        }
    }
}
