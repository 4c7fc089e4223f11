//! `unlearn gc`: what nothing needs goes.

use super::super::fault::Fault;
use super::super::setting::{Common, Out};
use super::call::Call;
use super::{Where, tell};

/// Remove what nothing needs any more, give freed pages back to the disk, and list what is kept of whom.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: unlearn gc --home home")]
pub(in super::super) struct Args {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    pub common: Common,
}

pub(in super::super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let value = super::ask(&args.place.home, Call::Gc, out)?;
    out.result(&tell::collected(&value), &value)
}
