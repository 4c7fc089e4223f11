//! `unlearn receipt list`: the receipts of a home, checked with its own key.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::super::home::{self, Call};
use super::super::setting::{Common, Out};
use super::super::table::Table;
use crate::base::clock::Utc;
use crate::erase::receipt::{Claimed, PublicKey, verify_chain};

/// List the receipts of a home, and check that they are a chain.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn receipt list --home home\n\nThe key is the home's own word: an auditor takes it from the operator's list instead."
)]
pub(super) struct Args {
    /// The home's folder
    #[arg(long, value_name = "DIR")]
    home: PathBuf,
    #[command(flatten)]
    pub common: Common,
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let answer = home::ask(&args.home, Call::Receipt { number: None }, out)?;
    let key = answer["key"].as_str().unwrap_or_default();
    let public: PublicKey = key.parse().map_err(|_| Fault::Usage("the home gave no key".into()))?;
    let mut table =
        Table::new(["receipt", "committed", "subjects", "samples", "guarantee", "gate", "file"]);
    let (mut rows, mut verified) = (Vec::new(), Vec::new());
    for one in answer["receipts"].as_array().into_iter().flatten() {
        let file = one["file"].as_str().unwrap_or_default();
        let failed = |source| Fault::Receipt { path: PathBuf::from(file), source };
        let receipt = Claimed::parse(&bytes(&one["hex"])).map_err(failed)?;
        let receipt = receipt.verify(&public).map_err(failed)?;
        let says = receipt.receipt();
        let samples = says.lineage.destroyed_training + says.lineage.destroyed_holdout;
        table.row(vec![
            says.sequence.to_string(),
            Utc(says.times.committed).to_string(),
            says.requests.len().to_string(),
            samples.to_string(),
            says.method.guarantee.to_string(),
            says.gate.verdict.to_string(),
            file.to_string(),
        ]);
        rows.push(json!({
            "receipt": says.sequence, "committed": says.times.committed, "subjects": says.requests.len(),
            "samples": samples, "guarantee": says.method.guarantee, "gate": says.gate.verdict, "file": file,
        }));
        verified.push(receipt);
    }
    if !verified.is_empty() {
        verify_chain(&verified).map_err(|error| Fault::CheckFailed(error.to_string()))?;
    }
    let count = match rows.len() {
        1 => "1 receipt".to_string(),
        count => format!("{count} receipts"),
    };
    let value = json!({ "command": "receipt list", "key": key, "receipts": rows });
    out.result(&format!("{table}{count}, a chain under {key}\n"), &value)
}

fn bytes(hex: &Value) -> Vec<u8> {
    let digits = hex.as_str().unwrap_or_default().as_bytes();
    let pairs = digits.chunks_exact(2).filter_map(|pair| std::str::from_utf8(pair).ok());
    pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}
