//! `unlearn demo`: wip.
use super::fault::Fault;
use super::setting::{Common, Out};
/// The whole story.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    pub common: Common,
}
pub(super) fn run(_: &Args, _: &Out) -> Result<(), Fault> {
    Ok(())
}
