//! `unlearn resume`: what was begun is finished.

use super::super::device::HomeDeviceArgs;
use super::super::fault::Fault;
use super::super::machine::BudgetArgs;
use super::super::setting::{Common, Out};
use super::call::Call;
use super::{Where, tell};

/// Finish what was begun: an adaptation that was cut short, erasures that were noted or cut short.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn resume --home home\n\nEvery command that changes a home does this first, and `unlearn serve` when it starts."
)]
pub(in super::super) struct Args {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    budget: BudgetArgs,
    #[command(flatten)]
    device: HomeDeviceArgs,
    #[command(flatten)]
    pub common: Common,
}

pub(in super::super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let device = args.device.open()?;
    let value =
        super::ask_within(&args.place.home, Call::Resume, Some(&args.budget), Some(device), out)?;
    out.result(&tell::resumed(&value), &value)
}
