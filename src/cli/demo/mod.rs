//! `unlearn demo`: the whole story, on data that the program makes.
//!
//! First a person leaves a base that was trained on many; then a household adapts that base, and
//! one of its members leaves. Every figure is measured on the files that lie in the folder.

mod cast;
mod household;
mod page;
mod person;

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::device::DeviceArgs;
use super::evaluate::{Row, notes, present};
use super::fault::Fault;
use super::learn;
use super::setting::{self, Common, Out};
use crate::base::clock::Stopwatch;
use crate::base::disk::{DiskError, FileDisk, replace};
use crate::base::units::Seconds;
use crate::train::EpochReport;
use cast::Cast;

/// The whole story on data that the program makes: a base, a person who leaves it, a household.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn demo --out out\n\nWrites model files, result.json and report.html, which needs no network to open. Its settings were chosen on other people than those it shows: p01 to p05, h1 and h2, on the processor; on a CUDA device (--device cuda) figures differ a little."
)]
pub(super) struct Args {
    /// The folder to write; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Seed of population, weights and order
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Who leaves the base: p01 to p24
    #[arg(long, value_name = "NAME", default_value = "p11")]
    person: String,
    /// Who leaves the household: h1 to h4
    #[arg(long, value_name = "NAME", default_value = "h3")]
    member: String,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    pub common: Common,
}

/// One of the two stories, told.
pub(super) struct Chapter {
    /// Who leaves.
    pub who: String,
    /// The models, the yardstick last.
    pub rows: Vec<Row>,
    /// Sizes of forget, retain and test set.
    pub sizes: [usize; 3],
    /// How each model came about, in the order of `rows`.
    pub how: Vec<Value>,
    /// What each epoch of its learning came to, in the order of `rows`; empty for a model that did
    /// not learn in this story.
    pub learnt: Vec<Vec<EpochReport>>,
    /// What is promised of each model's forgetting, in the order of `rows`.
    pub promises: Vec<&'static str>,
    /// The row of the model that still knows who leaves. Those behind it forget.
    pub before: usize,
}

impl Chapter {
    fn json(&self) -> Value {
        let (_, models) = present(&self.rows, true);
        json!({
            "who": self.who, "forget_samples": self.sizes[0], "retain_samples": self.sizes[1],
            "test_samples": self.sizes[2], "models": models, "how": self.how,
            "promises": self.promises, "learnt": self.learnt,
        })
    }

    fn text(&self, title: &str) -> String {
        let (table, _) = present(&self.rows, true);
        let [forget, retain, test] = self.sizes;
        format!(
            "{title}\n{forget} samples to forget, {retain} kept, {test} to test on\n\n{table}\n"
        )
    }
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let started = Stopwatch::start();
    let cast = Cast::new(args)?;
    fs::create_dir_all(&args.out).map_err(|error| DiskError::from_io("make", &args.out, error))?;
    setting::check_output(&args.out.join("result.json"))?;
    out.say(&format!("a population of {} writes ten signs", cast.base.train.subject_names.len()));
    let (first, base) = person::tell(&cast, out)?;
    let second = household::tell(&cast, &base, out)?;
    let seconds = started.seconds();
    let warnings: Vec<String> = cast.fallen.iter().cloned().collect();
    let value = json!({
        "command": "demo", "version": env!("CARGO_PKG_VERSION"), "seed": args.seed,
        "plan": learn::plan(cast.compute), "seconds": seconds,
        "person": first.json(), "household": second.json(), "warnings": warnings,
    });
    let text = serde_json::to_string_pretty(&value).unwrap_or_default();
    replace(&mut FileDisk, &args.out.join("result.json"), text.as_bytes())?;
    let page = page::write(&cast, &first, &second, seconds)?;
    replace(&mut FileDisk, &args.out.join("report.html"), page.as_bytes())?;
    let report = args.out.join("report.html");
    let text = format!(
        "{}{}{}Told in {}. {} shows it with plots.\n",
        first.text(&format!("1. {} leaves a base that was made from 24 people", first.who)),
        second
            .text(&format!("2. {} leaves a household of four that the base never saw", second.who)),
        notes(&warnings),
        Seconds(seconds),
        report.display()
    );
    out.result(&text, &value)
}
