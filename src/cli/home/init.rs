//! `unlearn init`: a home for a base.

use std::path::PathBuf;

use serde_json::json;

use super::super::fault::Fault;
use super::super::setting::{Common, Out, told};
use super::Where;
use crate::base::disk::{FileDisk, Lock, read_at_most};
use crate::base::hash::Digest;
use crate::base::units::Bytes;
use crate::erase::{Home, HomeError, Setup, file_keys, lock_path};
use crate::vault::Quota;

/// The longest base.
const MAX_BASE: u64 = 4 << 30;

/// Make a home: the folder in which a device keeps its people's samples, and what it learns from them.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn init --home home --base base.esm\n\nThe base says whose data is in it (`unlearn prune --provenance`), and has an anchor set (`--anchor N`).\nA base of a `population` is kept as it is. One that is `enrolled`, with people of this site in it, is\nsealed under a key that can be destroyed."
)]
pub(in super::super) struct Args {
    #[command(flatten)]
    place: Where,
    /// The base, a model file
    #[arg(long, value_name = "FILE")]
    base: PathBuf,
    /// Seed of all that is drawn here: holdouts, orders, new heads
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Share of each person's samples that only measures and is never learnt from
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    holdout: f64,
    /// The most samples
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    max_samples: u64,
    /// The most bytes of samples
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = Bytes::parse)]
    max_bytes: Bytes,
    #[command(flatten)]
    pub common: Common,
}

pub(in super::super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    super::guard()?;
    let folder = &args.place.home;
    let package = read_at_most(&args.base, MAX_BASE).map_err(Fault::Given)?;
    let quota = Quota { samples: args.max_samples, bytes: args.max_bytes.0 };
    let setup = Setup { seed: args.seed, holdout: args.holdout, quota };
    if folder.join("keyring").exists() {
        return Err(HomeError::HomeThere { path: folder.clone() }.into());
    }
    let made = !folder.exists();
    let home = if made {
        Home::init(Box::new(FileDisk), folder, file_keys(folder), package, &args.base, setup)?
    } else {
        let Some(_lock) = Lock::take(&lock_path(folder))? else {
            return Err(HomeError::Busy { path: folder.clone() }.into());
        };
        Home::init(Box::new(FileDisk), folder, file_keys(folder), package, &args.base, setup)?
    };
    let key = home.signing_key()?.public().to_string();
    let base = Digest(home.state().base.id);
    let model = &home.base().network.description.name;
    let text = format!(
        "{}: a home for {model} ({}, {})\nreceipts are signed by {key}: note it where nobody can change it\n",
        folder.display(),
        base.short(),
        format!("{:?}", home.state().base.provenance).to_lowercase(),
    );
    let value = json!({ "command": "init", "home": told(folder), "model": model, "base": base.to_string(), "key": key });
    out.result(&text, &value)
}
