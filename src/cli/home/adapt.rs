//! `unlearn adapt`: learn from the people here.

use super::super::device::HomeDeviceArgs;
use super::super::fault::Fault;
use super::super::learn::RecipeArgs;
use super::super::machine::{BudgetArgs, EnergyArgs};
use super::super::setting::{Common, Out};
use super::call::{Adaptation, Call};
use super::{Where, tell};
use crate::base::units::Bytes;

/// Learn from the samples of the people here, on top of the model that answers now.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn adapt --home home --epochs 10 --train last=2\n\nIt learns from the base's anchor set together with every sample that is not held out. Cut short, it goes on from the last whole epoch with `unlearn resume`, to the same bytes.\n\nDefaults of how to learn: 10 epochs, batch 32, rate 0.01, momentum 0.9, no decay, constant, the last two layers, batch norm as it is."
)]
pub(in super::super) struct Args {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Bytes of memory that it may take
    #[arg(long, value_name = "LIMIT", value_parser = Bytes::parse)]
    memory: Option<Bytes>,
    #[command(flatten)]
    energy: EnergyArgs,
    #[command(flatten)]
    budget: BudgetArgs,
    #[command(flatten)]
    device: HomeDeviceArgs,
    #[command(flatten)]
    pub common: Common,
}

pub(in super::super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let device = args.device.open()?;
    let default = crate::erase::default_recipe();
    let recipe = args.recipe.over(default);
    let how = Adaptation {
        epochs: Some(recipe.epochs),
        batch: Some(recipe.batch),
        rate: Some(recipe.rate),
        momentum: Some(recipe.momentum),
        decay: Some(recipe.decay),
        schedule: Some(recipe.schedule),
        augment: Some(recipe.augment),
        train: Some(recipe.trained),
        memory: args.memory.map(|bytes| bytes.0),
        joules: args.energy.max_joules,
    };
    let value = super::ask_within(
        &args.place.home,
        Call::Adapt(how),
        Some(&args.budget),
        Some(device),
        out,
    )?;
    out.result(&tell::adapted(&value), &value)
}
