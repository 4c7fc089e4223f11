//! `unlearn receipt`: erasure receipts, checked and shown. Only `list` needs a home.

mod list;
mod show;
mod verify;

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::fault::Fault;
use super::setting::{Common, Out};
use crate::base::disk::{DiskError, read_at_most};
use crate::erase::receipt::limits::MAX_FILE;
use crate::erase::receipt::{Document, PublicKey, ReceiptError};

/// Bytes of a file that holds a key or a nonce.
const MAX_WORD: u64 = 4096;

/// Check and show erasure receipts. All but `list` works on files alone, without the device and without a
/// network.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn receipt verify 1.receipt 2.receipt --key device.key\n\nA key is the text unlearn-key-v1:HEX. Take it from the operator's list, not from whoever shows the receipt. Each of them takes --json."
)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// List the receipts of a home
    List(list::Args),
    /// Check signatures, and that several receipts are a chain
    Verify(verify::Args),
    /// Show what receipts say
    Show(show::Args),
}

impl Args {
    pub(super) fn common(&self) -> &Common {
        match &self.what {
            What::List(args) => &args.common,
            What::Verify(args) => &args.common,
            What::Show(args) => &args.common,
        }
    }
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    match &args.what {
        What::List(args) => list::run(args, out),
        What::Verify(args) => verify::run(args, out),
        What::Show(args) => show::run(args, out),
    }
}

/// Reads a receipt, or a change of keys.
fn read(path: &Path) -> Result<Document, Fault> {
    let bytes = read_at_most(path, MAX_FILE as u64).map_err(Fault::Given)?;
    Document::parse(&bytes).map_err(|source| Fault::Receipt { path: path.to_path_buf(), source })
}

/// The one word that a small text file holds.
fn word(path: &Path) -> Result<String, DiskError> {
    let bytes = read_at_most(path, MAX_WORD)?;
    // What is no text is no key either, and is refused as that.
    Ok(String::from_utf8_lossy(&bytes).trim().to_string())
}

/// The key that `--key` gives: its text, or a file that holds it.
fn key(given: &str) -> Result<PublicKey, Fault> {
    match given.parse() {
        Ok(key) => return Ok(key),
        // Text that was meant to be a key is not looked for on the disk.
        Err(error) if !matches!(error, ReceiptError::NotAKey) => {
            return Err(Fault::Usage(format!("--key: {error}")));
        }
        Err(_) => {}
    }
    let path = PathBuf::from(given);
    let text = word(&path).map_err(|error| match error {
        DiskError::NotFound { .. } => Fault::Usage(format!(
            "--key: `{given}` is neither a key (unlearn-key-v1: and 64 hexadecimal digits) nor a file \
             that holds one"
        )),
        error => Fault::Given(error),
    })?;
    text.parse().map_err(|source| Fault::Receipt { path, source })
}
