//! `unlearn cancel`: a request is taken back.

use super::super::fault::Fault;
use super::super::setting::{Common, Out};
use super::Where;
use super::call::Call;

/// Take a request to erase back, before anything was done about it.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn cancel --home home --request 0123456789abcdef0123456789abcdef\n\nOnly what was noted with `unlearn erase --later` waits to be cancelled."
)]
pub(in super::super) struct Args {
    #[command(flatten)]
    place: Where,
    /// The number of the request, as the ticket has it
    #[arg(long, value_name = "HEX")]
    request: String,
    #[command(flatten)]
    pub common: Common,
}

pub(in super::super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let request = args.request.clone();
    let value = super::ask(&args.place.home, Call::Cancel { request }, out)?;
    out.result(&format!("request {} is cancelled; nothing was changed\n", args.request), &value)
}
