//! `unlearn init`: a home for a base.

use std::path::PathBuf;

use serde_json::json;

use super::super::device::StillDeviceArgs;
use super::super::fault::Fault;
use super::super::setting::{Common, Out, told};
use super::Where;
use super::witness::absolute;
use crate::base::disk::{FileDisk, Lock, read_at_most};
use crate::base::hash::Digest;
use crate::base::units::Bytes;
use crate::erase::{Home, HomeError, Setup, lock_path, new_keys};
use crate::vault::{KeyPlace, Quota};

/// The longest base.
const MAX_BASE: u64 = 4 << 30;

/// Make a home: the folder in which a device keeps its people's samples, and what it learns from them.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn init --home home --base base.esm\n\nThe base says whose data is in it (`unlearn prune --provenance`), and has an anchor set (`--anchor N`). A base of a `population` is kept as it is. One that is `enrolled`, with people of this site in it, is sealed under a key that can be destroyed.\n\nDevice keys are files of the home (evidence level L1), or lie in a TPM (L2, L3 in a chip of its own): `--keys tpm` is `--keys tpm:device:/dev/tpmrm0`, the only kind that a process under the filter of system calls reaches (`swtpm` and `mssim` want the network). The home remembers it."
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
    /// Where device keys lie: `file`, or `tpm[:TCTI]` in a program that was built with it
    #[arg(long, value_name = "file|tpm[:TCTI]", default_value = "file", value_parser = place)]
    keys: KeyPlace,
    /// A file outside the home, by which a copy of the whole home that was put back is noticed;
    /// `unlearn witness` names it later
    #[arg(long, value_name = "FILE")]
    witness: Option<PathBuf>,
    #[command(flatten)]
    device: StillDeviceArgs,
    #[command(flatten)]
    pub common: Common,
}

/// Reads a place for device keys.
fn place(words: &str) -> Result<KeyPlace, String> {
    match words.split_once(':').unwrap_or((words, KeyPlace::TPM)) {
        ("file", KeyPlace::TPM) => Ok(KeyPlace::Files),
        ("tpm", tcti) if !tcti.is_empty() => Ok(KeyPlace::Tpm(tcti.into())),
        _ => Err("expected `file`, `tpm`, or `tpm:TCTI` as `tpm:device:/dev/tpmrm0`".into()),
    }
}

pub(in super::super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    args.device.say();
    super::guard()?;
    let folder = &args.place.home;
    let package = read_at_most(&args.base, MAX_BASE).map_err(Fault::Given)?;
    let quota = Quota { samples: args.max_samples, bytes: args.max_bytes.0 };
    let setup = Setup { seed: args.seed, holdout: args.holdout, quota };
    if folder.join("keyring").exists() {
        return Err(HomeError::HomeThere { path: folder.clone() }.into());
    }
    let _lock = match folder.exists() {
        true => match Lock::take(&lock_path(folder))? {
            None => return Err(HomeError::Busy { path: folder.clone() }.into()),
            lock => lock,
        },
        false => None,
    };
    let keys = new_keys(&FileDisk, folder, &args.keys)?;
    let witness = args.witness.as_ref().map(absolute).transpose()?;
    let mut home = Home::init(Box::new(FileDisk), folder, keys, package, &args.base, setup)?;
    if witness.is_some() {
        home.set_witness(witness)?;
    }
    let key = home.signing_key()?.public().to_string();
    let base = Digest(home.state().base.id);
    let model = &home.base().network.description.name;
    let level = format!("{:?}", home.level());
    let text = format!(
        "{}: a home for {model} ({}, {}), evidence level {level}\nreceipts are signed by {key}: note it where nobody can change it\n",
        folder.display(),
        base.short(),
        format!("{:?}", home.state().base.provenance).to_lowercase(),
    );
    let value = json!({ "command": "init", "home": told(folder), "model": model, "base": base.to_string(), "key": key, "level": level, "rollback_cover": home.rollback() });
    out.result(&text, &value)
}
