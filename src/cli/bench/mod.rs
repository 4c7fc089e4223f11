//! `unlearn bench`: what a step, a prediction and an opening cost on this machine.

mod all;
mod answering;
mod compare;
mod erase;
mod figures;
mod latency;
mod load;
mod load_sections;
mod page;
mod resident;
mod step;
mod subject;
mod timings;
mod trial;
mod tune;

use clap::Subcommand;

use super::device::DeviceArgs;
use super::fault::Fault;
use super::machine::BudgetArgs;
use super::setting::{Common, Out};

/// Measure what a step, a prediction and an opening cost on this machine.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn bench all --out bench\nExample: unlearn bench step --model resnet18 --batch 64 --sparsity 0.95\n\nEach of them takes --json. Peers are measured beside it by the scripts in benches/peers/."
)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// All of these on this machine: bench.json, and a page with plots
    All(all::Args),
    /// Two results of `bench all` side by side
    Compare(compare::Args),
    /// A step of l1-sparse unlearning: forward, backward, update
    Step(step::Args),
    /// A prediction
    Latency(latency::Args),
    /// From a model file's path to a network that predicts
    Load(load::Args),
    /// One person leaves a household, by each way
    Erase(erase::Args),
    /// Which kernels this machine should take
    Tune(tune::Args),
}

impl Args {
    pub(super) fn common(&self) -> &Common {
        match &self.what {
            What::All(args) => &args.common,
            What::Compare(args) => &args.common,
            What::Step(args) => &args.common,
            What::Latency(args) => &args.common,
            What::Load(args) => &args.common,
            What::Erase(args) => &args.common,
            What::Tune(args) => &args.common,
        }
    }
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    match &args.what {
        What::All(args) => all::run(args, out),
        What::Compare(args) => compare::run(args, out),
        What::Step(args) => step::run(args, out),
        What::Latency(args) => latency::run(args, out),
        What::Load(args) => load::run(args, out),
        What::Erase(args) => erase::run(args, out),
        What::Tune(args) => tune::run(args, out),
    }
}

/// Where to compute, and how often.
#[derive(clap::Args, Debug)]
struct Effort {
    #[command(flatten)]
    device: DeviceArgs,
    /// Runs that are not counted, before those that are
    #[arg(long, value_name = "N", default_value_t = 3)]
    warm_up: usize,
    #[command(flatten)]
    budget: BudgetArgs,
}

/// Refuses a count of nothing.
fn some(what: &str, count: usize, most: usize) -> Result<usize, Fault> {
    match count {
        count if (1..=most).contains(&count) => Ok(count),
        count => Err(Fault::Usage(format!("{what} is {count}, expected 1 to {most}"))),
    }
}
