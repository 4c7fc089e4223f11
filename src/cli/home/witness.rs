//! `unlearn witness`: the file outside a home that knows how far the home has come.

use std::path::PathBuf;

use serde_json::json;

use super::super::fault::Fault;
use super::super::setting::{Common, Out, told};
use super::{Held, Where};
use crate::base::disk::DiskError;
use crate::erase::{Home, HomeError};

/// Name, move or drop the witness of a home: a file outside of it, by which a copy of the whole home that
/// was put back is noticed.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn witness --home home --at /mnt/other/home.witness\n\nIt takes 76 bytes, nothing of anybody, and a few writes an erasure. It belongs on a disk that nobody copies and puts back together with the home. Copies from before it was named do not know of it. A witness that is lost is named anew with this command, and no other opens the home without it."
)]
#[group(id = "witness", required = true, multiple = false, args = ["at", "none"])]
pub(in super::super) struct Args {
    #[command(flatten)]
    place: Where,
    /// Where it is to lie; a file of another home, or of something else, is not touched
    #[arg(long, value_name = "FILE")]
    at: Option<PathBuf>,
    /// To do without
    #[arg(long)]
    none: bool,
    #[command(flatten)]
    pub common: Common,
}

pub(in super::super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let folder = &args.place.home;
    let Some(mut held) = Held::open_by(folder, Home::open_without_witness)? else {
        return Err(HomeError::Busy { path: folder.clone() }.into());
    };
    let path = args.at.as_ref().map(absolute).transpose()?;
    held.home.set_witness(path.clone())?;
    let cover = held.home.rollback();
    let text = match &path {
        Some(path) => format!("{} is the witness of {}\n", path.display(), folder.display()),
        None => format!("{} has no witness\n", folder.display()),
    };
    let path = path.map(|path| path.display().to_string());
    let value = json!({
        "command": "witness", "home": told(folder), "witness": path, "rollback_cover": cover,
    });
    out.result(&text, &value)
}

/// As it is found from every folder.
pub(super) fn absolute(path: &PathBuf) -> Result<PathBuf, Fault> {
    std::path::absolute(path).map_err(|e| Fault::Given(DiskError::from_io("find", path, e)))
}
