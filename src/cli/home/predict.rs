//! `unlearn predict`: what the model that may answer says.

use std::io::BufReader;
use std::path::PathBuf;

use super::super::device::StillDeviceArgs;
use super::super::fault::Fault;
use super::super::setting::{Common, Out};
use super::call::Call;
use super::{Where, frames, tell};

/// Ask the model that may answer now, one sample a line.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn predict --home home --input samples.jsonl\n\nA line is {\"values\": [...]} or {\"bytes\": [...]}, channels, rows and columns in this order, as the base takes them."
)]
pub(in super::super) struct Args {
    #[command(flatten)]
    place: Where,
    /// Lines of JSON; `-` is standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    input: PathBuf,
    #[command(flatten)]
    device: StillDeviceArgs,
    #[command(flatten)]
    pub common: Common,
}

pub(in super::super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    args.device.say();
    let mut samples = Vec::new();
    let from = super::ingest::source(&args.input)?;
    frames::lines(BufReader::new(from), &args.input.display().to_string(), |line| {
        samples.push(line);
        Ok(())
    })?;
    let value = super::ask(&args.place.home, Call::Predict { samples }, out)?;
    out.result(&tell::predicted(&value), &value)
}
