//! `unlearn bench latency`: one prediction.

use serde_json::json;

use super::super::evaluate::notes;
use super::super::fault::Fault;
use super::super::setting::{Common, Out};
use super::super::{device, learn};
use super::answering::Answering;
use super::subject::{Samples, Subject, SubjectArgs};
use super::timings::{Timings, nanoseconds, told};
use super::{Effort, some};

/// Measure a prediction: sample in, forward with running statistics, probabilities out.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn bench latency --model resnet18 --sparsity 0.95 --threads 2\nExample: unlearn bench latency --model sparse.esm --json\nExample: unlearn bench latency --model sparse.esm --batch 64 --device cuda\n\nFigures are of one call, in nanoseconds, for the whole batch. The processor answers sample by sample; a CUDA device the batch at once, copies there and back included."
)]
pub(super) struct Args {
    #[command(flatten)]
    subject: SubjectArgs,
    /// Samples in a call
    #[arg(long, value_name = "N", default_value_t = 1)]
    batch: usize,
    /// Calls that are timed
    #[arg(long, value_name = "N", default_value_t = 200)]
    repetitions: usize,
    #[command(flatten)]
    effort: Effort,
    #[command(flatten)]
    pub common: Common,
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let mut machine = args.effort.budget.watch(None)?;
    let batch = some("--batch", args.batch, 65_536)?;
    let repetitions = some("--repetitions", args.repetitions, 10_000_000)?;
    let Subject { network, allocation, notes: warnings } = args.subject.open()?;
    let samples = Samples::new(&network, batch, args.subject.seed);
    let (device, fallen) = args.effort.device.device.open(&network)?;
    let warnings: Vec<String> = warnings.into_iter().chain(fallen).collect();
    let mut answering = Answering::new(&network, batch, device)?;
    let mut probabilities = Vec::with_capacity(batch * network.description.classes);
    let timings = Timings::of(
        args.effort.warm_up,
        repetitions,
        || machine.turn(),
        || {
            probabilities.clear();
            answering.answer(&samples, batch, &mut probabilities)
        },
    )?;
    let [macs, macs_dense] = network.macs();
    let threads = rayon::current_num_threads();
    let plan = format!("{}, {}", learn::plan(device), answering.way());
    let sparsity = 100.0 * network.sparsity();
    let name = &network.description.name;
    let text = format!(
        "{name}, batch {batch}, {sparsity:.2} % of the prunable weights gone ({allocation}), {threads} threads, {plan}\n\
         prediction {} (median of {}), 95 % within {}, 99 % within {}\n{}",
        told(timings.median()),
        timings.count(),
        told(timings.quantile(0.95)),
        told(timings.quantile(0.99)),
        notes(&warnings),
    );
    let mut value = json!({
        "command": "bench latency", "model": name, "device": device::short(device), "threads": threads,
        "batch": batch, "sparsity_percent": sparsity, "sparsity_of": "prunable weights",
        "allocation": allocation, "plan": plan, "instruction_set": device.isa().name(),
        "warm_up": args.effort.warm_up, "repetitions": timings.count(),
        "median_ns": nanoseconds(timings.median()), "p95_ns": nanoseconds(timings.quantile(0.95)),
        "p99_ns": nanoseconds(timings.quantile(0.99)), "min_ns": nanoseconds(timings.min()),
        "max_ns": nanoseconds(timings.max()), "peak_bytes": answering.peak_bytes(),
        "device_bytes": answering.device_bytes(), "macs": macs, "macs_dense": macs_dense,
        "notes": warnings,
    });
    let took = machine.seal(&mut value);
    out.result(&(text + &took), &value)
}
