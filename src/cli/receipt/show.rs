//! `unlearn receipt show`: what receipts say.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::super::setting::{self, Common, Out};
use crate::erase::receipt::{
    Document, PublicKey, ReceiptError, Standing, told, told_claim, told_key_change, value,
};

/// Show what receipts say. Without --key nobody vouches for it.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: unlearn receipt show 1.receipt --key device.key")]
pub(super) struct Args {
    /// Receipts
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The device's public key, or a file that holds it; then the signatures are checked
    #[arg(long, value_name = "KEY|FILE")]
    key: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let key = args.key.as_deref().map(super::key).transpose()?;
    let (mut texts, mut list) = (Vec::new(), Vec::new());
    for path in &args.files {
        let document = super::read(path)?;
        let failed = |error| Fault::CheckFailed(format!("{}: {error}", path.display()));
        let (text, mut value) = tell(document, key.as_ref()).map_err(failed)?;
        value["file"] = json!(setting::told(path));
        texts.push(text);
        list.push(value);
    }
    out.result(&texts.join("\n"), &json!({ "command": "receipt show", "files": list }))
}

fn tell(document: Document, key: Option<&PublicKey>) -> Result<(String, Value), ReceiptError> {
    match (document, key) {
        (Document::Receipt(claimed), Some(key)) => {
            let verified = claimed.verify(key)?;
            let (receipt, hash) = (verified.receipt(), verified.hash());
            Ok((told(&verified), value(receipt, Standing::Signed, key.id(), hash)))
        }
        (Document::Receipt(claimed), None) => {
            let (key, hash) = (claimed.key_id(), claimed.hash());
            let value = value(claimed.receipt(), Standing::Unchecked, key, hash);
            Ok((told_claim(&claimed), value))
        }
        (Document::KeyChange(claimed), Some(key)) => {
            let verified = claimed.verify(key)?;
            let change = setting::plain(verified.change());
            let value = json!({ "signature": "holds", "key_change": change });
            Ok((told_key_change(&verified), value))
        }
        (Document::KeyChange(claimed), None) => {
            let change = setting::plain(claimed.change());
            let text = format!("change of keys after receipt {}; NOT CHECKED\n", change["after"]);
            Ok((text, json!({ "signature": "not checked", "key_change": change })))
        }
    }
}
