//! `unlearn verify`: every byte of model files.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::fault::Fault;
use super::setting::{self, Common, Out};
use crate::base::units::Bytes;
use crate::format::ModelFile;
use crate::model::file;

/// Check every byte of model files: hashes, masks, padding, and that the network is whole.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn verify base.esm sparse.esm\n\nExit code 1 if a file fails. Signatures are counted; their keys are not checked yet."
)]
pub(super) struct Args {
    /// Model files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    pub common: Common,
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let (mut text, mut list, mut failed) = (String::new(), Vec::new(), 0);
    for path in &args.files {
        match check(path) {
            Ok((file, tensors)) => {
                text += &format!(
                    "{}: whole, {} tensors, {}, {} signatures, id {}\n",
                    path.display(),
                    tensors,
                    Bytes(file.len_bytes()),
                    file.signatures().len(),
                    file.logical_id()
                );
                list.push(json!({ "file": setting::told(path), "whole": true, "id": file.logical_id().to_string(),
                    "file_bytes": file.len_bytes(), "tensors": tensors, "signatures": file.signatures().len() }));
            }
            Err(fault) => {
                failed += 1;
                text += &format!("{fault}\n");
                list.push(json!({ "file": setting::told(path), "whole": false, "fault": fault.to_string() }));
            }
        }
    }
    out.result(&text, &json!({ "command": "verify", "files": list }))?;
    match failed {
        0 => Ok(()),
        n => Err(Fault::CheckFailed(format!("{n} of {} files failed", args.files.len()))),
    }
}

fn check(path: &Path) -> Result<(ModelFile, usize), Fault> {
    let wrong = |source| Fault::Format { path: path.to_path_buf(), source };
    let file = ModelFile::open(path).map_err(wrong)?;
    file.verify().map_err(wrong)?;
    file::read(&file, path)?;
    let tensors = file.tensors().len();
    Ok((file, tensors))
}
