//! `unlearn receipt verify`: signatures, the chain, and whose receipt it is.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::super::setting::{self, Common, Out};
use crate::base::clock::Utc;
use crate::erase::receipt::{
    Chain, Document, Head, Hex, Nonce, PublicKey, ReceiptError, Verified, opens,
};

/// Check the signatures of receipts and that several are a chain from the first on, in which none is
/// missing, swapped or replaced.
///
/// The order of the files does not matter. A change of keys among them is followed.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn receipt verify 1.receipt 2.receipt --key device.key\n\nWith --nonce and --subject: also whether one of them is that subject's. Exit code 1 if a check fails, 3 if a file is damaged or no receipt."
)]
pub(super) struct Args {
    /// Receipts, and changes of keys
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The device's public key, or a file that holds it: the first, where keys changed
    #[arg(long, value_name = "KEY|FILE")]
    key: String,
    /// The nonce that the subject was handed, or a file that holds it
    #[arg(long, value_name = "HEX|FILE", requires = "subject")]
    nonce: Option<String>,
    /// The subject's name, as it was given to the device
    #[arg(long, value_name = "NAME", requires = "nonce")]
    subject: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

/// What was found, in both tongues, and the first thing that was wrong.
#[derive(Default)]
struct Found {
    text: String,
    files: Vec<Value>,
    verified: Vec<Verified>,
    failed: Option<String>,
}

impl Found {
    fn fails(&mut self, path: &Path, error: &ReceiptError) {
        let told = format!("{}: {error}", path.display());
        self.text += &format!("{told}\n");
        let name = setting::told(path);
        self.files.push(json!({ "file": name, "holds": false, "fault": error.to_string() }));
        self.failed.get_or_insert(told);
    }
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let key = super::key(&args.key)?;
    let subject = args.nonce.as_deref().zip(args.subject.as_deref());
    let subject = match subject {
        Some((given, name)) => Some((nonce(given)?, name)),
        None => None,
    };
    let mut documents = Vec::new();
    for path in &args.files {
        documents.push((path.as_path(), super::read(path)?));
    }
    // By place in the chain: a shell lists 10 before 2.
    documents.sort_by_key(|(_, document)| match document {
        Document::Receipt(claimed) => (claimed.receipt().sequence, false),
        Document::KeyChange(claimed) => (claimed.change().after, true),
    });
    let (mut found, head) = follow(documents, key);
    let opened = subject.map(|(nonce, name)| opened_by(&mut found, &nonce, name));
    let value = json!({
        "command": "receipt verify",
        "holds": found.failed.is_none(),
        "files": found.files,
        "chain": head.map(|head| json!({
            "last": head.sequence, "hash": head.hash.to_string(), "device": head.device.to_string(),
            "key": head.key.to_string(),
        })),
        "subject": opened,
    });
    out.result(&found.text, &value)?;
    found.failed.map_or(Ok(()), |failed| Err(Fault::CheckFailed(failed)))
}

/// The nonce that `--nonce` gives. A wrong one is not repeated: it may be a right one misspelt.
fn nonce(given: &str) -> Result<Nonce, Fault> {
    if let Ok(nonce) = Nonce::parse(given) {
        return Ok(nonce);
    }
    let path = Path::new(given);
    if !path.exists() {
        let what =
            "--nonce: neither 64 hexadecimal digits in lower case nor a file that holds them";
        return Err(Fault::Usage(what.into()));
    }
    let text = super::word(path).map_err(Fault::Given)?;
    Nonce::parse(&text).map_err(|source| Fault::Receipt { path: path.to_path_buf(), source })
}

/// Checks each file under the key of its time, and several as a chain. The end of the chain, if it holds.
fn follow(documents: Vec<(&Path, Document)>, mut key: PublicKey) -> (Found, Option<Head>) {
    let (mut found, mut chain) = (Found::default(), Chain::default());
    let (several, last) = (documents.len() > 1, documents.len().saturating_sub(1));
    for (index, (path, document)) in documents.into_iter().enumerate() {
        let step = match document {
            Document::Receipt(claimed) => claimed.verify(&key).and_then(|receipt| {
                let chained = if several { chain.receipt(&receipt) } else { Ok(()) };
                chained.map(|()| accept(&mut found, path, receipt))
            }),
            Document::KeyChange(claimed) => claimed.verify(&key).and_then(|change| {
                if several {
                    chain.key_change(&change)?;
                }
                key = *change.new_key();
                let (told, said) = (path.display(), change.change());
                let text = format!("{told}: change of keys holds, {key} from here on\n");
                found.text += &text;
                let (name, after) = (setting::told(path), said.after);
                let new = key.to_string();
                found
                    .files
                    .push(json!({ "file": name, "holds": true, "after": after, "new_key": new }));
                Ok(())
            }),
        };
        if let Err(error) = step {
            found.fails(path, &error);
            // What follows would be measured against a gap.
            let rest = "the files after it were not checked\n";
            found.text += if index < last { rest } else { "" };
            return (found, None);
        }
    }
    let head = if several { chain.head() } else { None };
    if let Some(Head { sequence, hash, device, .. }) = &head {
        found.text += &format!(
            "chain: whole from 1 to {sequence}, device {device}\n  its end has digest {hash}\n"
        );
    }
    (found, head)
}

fn accept(found: &mut Found, path: &Path, verified: Verified) {
    let (receipt, hash, key) = (verified.receipt(), verified.hash(), verified.key().id());
    let (sequence, committed) = (receipt.sequence, receipt.times.committed);
    let (told, when, device) = (path.display(), Utc(committed), receipt.device);
    let guarantee = receipt.method.guarantee;
    found.text +=
        &format!("{told}: receipt {sequence} holds, {when}, {guarantee}, device {device}\n");
    found.files.push(json!({
        "file": setting::told(path), "holds": true, "sequence": sequence, "hash": hash.to_string(),
        "key_id": key.to_string(), "device": device.to_string(),
    }));
    found.verified.push(verified);
}

/// Looks for the subject's request. Told are its receipt and id; never the nonce or the name.
fn opened_by(found: &mut Found, nonce: &Nonce, name: &str) -> Value {
    let all = found.verified.iter().flat_map(|verified| {
        let requests = verified.receipt().requests.iter();
        requests.map(|request| (verified.receipt().sequence, request))
    });
    let mine = all.filter(|(_, request)| opens(&request.subject, nonce, name));
    let mine: Vec<(u64, Hex<16>)> =
        mine.map(|(sequence, request)| (sequence, request.id)).collect();
    for (sequence, id) in &mine {
        found.text += &format!("subject: receipt {sequence} is theirs, request {id}\n");
    }
    if mine.is_empty() {
        let told = "subject: no commitment opens with this nonce and this name";
        found.text += &format!("{told}\n");
        found.failed.get_or_insert_with(|| told.into());
    }
    let told = mine.iter();
    told.map(|(sequence, id)| json!({ "sequence": sequence, "request": id.to_string() })).collect()
}
