//! `unlearn worker`: the process that learns, and ends. `unlearn serve` starts it.

use super::super::device::HomeDeviceArgs;
use super::super::fault::Fault;
use super::super::machine::BudgetArgs;
use super::super::setting::{Common, Out};
use super::{Where, turn};
use crate::base::disk::FileDisk;
use crate::erase::{Home, HomeError, keys_of};
use crate::train::{Control, Progress};

/// Do the work that a home has ordered, for the process that has the home.
#[derive(clap::Args, Debug)]
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

pub(in super::super) fn run(args: &Args, _: &Out) -> Result<(), Fault> {
    let device = args.device.open()?.device;
    super::guard()?;
    let folder = &args.place.home;
    let mut home = Home::attend(Box::new(FileDisk), folder, keys_of(&FileDisk, folder)?)?;
    home.compute_on(device);
    let Some(work) = home.state().pending.clone() else {
        return Err(HomeError::NothingToLearn.into());
    };
    let mut machine = args.budget.watch(None)?;
    let waiting = turn::listen();
    let mut onlooker = |_: usize, _: usize, _: Progress| match waiting.ends() {
        true => Control::Stop,
        false => machine.between(&mut || waiting.somebody()).0,
    };
    home.execute(&work, &mut onlooker)?;
    Ok(())
}
