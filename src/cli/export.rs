//! `unlearn export`: from a model file to one that other programs read.

use std::path::PathBuf;

use serde_json::json;

use super::fault::Fault;
use super::setting::{self, Common, Out};
use crate::base::disk::{FileDisk, replace};
use crate::base::units::Bytes;
use crate::exchange::{ExchangeFault, Foreign, export_safetensors, onnx, personal};
use crate::format::ModelFile;
use crate::model::file;

/// Give out a model for other programs: safetensors, or ONNX of opset 17.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn export --model sparse.esm --out sparse.onnx\n\nWeights are dense and f32; removed ones are 0. safetensors has `NAME.mask` (U8, 1 where a weight exists)\nbeside each thinned tensor and comes back by `unlearn import` as it was. ONNX takes what the network\ntakes, before normalisation, and gives logits; its metadata has unlearn.logical_id.\n\nWhat was exported is out of this program's care: nothing there can be made to forget. A model with\npeople of this site in it, an overlay, or a checkpoint is refused without --personal-data."
)]
pub(super) struct Args {
    /// The model file
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// The file to write: .safetensors or .onnx
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Export although the model is personal data
    #[arg(long)]
    personal_data: bool,
    #[command(flatten)]
    pub common: Common,
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let kind = match Foreign::of(&args.out) {
        Ok(kind) => kind,
        Err(ExchangeFault::Pickle) => {
            return Err(Fault::Usage(format!(
                "--out {} would be a pickle, which is a program: name a .safetensors or .onnx file",
                args.out.display()
            )));
        }
        Err(fault) => return Err(Fault::Usage(format!("--out {}: {fault}", args.out.display()))),
    };
    let wrong = |source| Fault::Format { path: args.model.clone(), source };
    let file = ModelFile::open(&args.model).map_err(wrong)?;
    file.verify().map_err(wrong)?;
    let personal = personal(&file);
    if let (Some(why), false) = (&personal, args.personal_data) {
        return Err(Fault::Usage(format!(
            "{} is personal data: {why}. Once exported it cannot be made to forget; give --personal-data if it may leave",
            args.model.display()
        )));
    }
    setting::check_output(&args.out)?;
    super::past::not_itself(&args.model, &args.out)?;
    let artifact = file::read(&file, &args.model)?;
    let bytes = match kind {
        Foreign::Safetensors => export_safetensors(&file, &artifact),
        Foreign::Onnx => onnx::export(&artifact),
    };
    replace(&mut FileDisk, &args.out, &bytes)?;
    let network = &artifact.network;
    let (name, size) = (&network.description.name, bytes.len() as u64);
    let note = personal.as_ref().map(|why| format!("personal data: {why}"));
    let text = format!(
        "{}: {name} as {}, {}, of {} (id {})\n{}",
        args.out.display(),
        kind.name(),
        Bytes(size),
        args.model.display(),
        artifact.id,
        note.as_ref().map_or(String::new(), |note| format!("note: {note}\n")),
    );
    let value = json!({
        "command": "export", "file": setting::told(&args.out), "format": kind.name(),
        "model": setting::told(&args.model), "id": artifact.id.to_string(), "network": name,
        "file_bytes": size, "sparsity_percent": 100.0 * network.sparsity(),
        "sparsity_of": "prunable weights", "personal_data": note,
    });
    out.result(&text, &value)
}
