//! `unlearn export`: from a model file to one that other programs read; a person's samples out of a home.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::fault::Fault;
use super::home::Call;
use super::setting::{self, Common, Out};
use crate::base::disk::{FileDisk, replace};
use crate::base::units::Bytes;
use crate::exchange::{ExchangeFault, Foreign, export_safetensors, onnx, personal};
use crate::format::ModelFile;
use crate::model::file;

/// Give out a model for other programs: safetensors, or ONNX of opset 17.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn export --model sparse.esm --out sparse.onnx\n\nWeights are dense and f32; removed ones are 0. safetensors has `NAME.mask` (U8, 1 where a weight exists) beside each thinned tensor and comes back by `unlearn import` as it was. ONNX takes what the network takes, before normalisation, and gives logits; its metadata has unlearn.logical_id.\n\nWhat was exported is out of this program's care: nothing there can be made to forget. A model with people of this site in it, an overlay, or a checkpoint is refused without --personal-data.\n\nA person's own samples: unlearn export --home home --subject anna --personal-data --out anna.jsonl"
)]
pub(super) struct Args {
    /// The model file
    #[arg(long, value_name = "FILE", required_unless_present = "home")]
    model: Option<PathBuf>,
    /// Instead of a model: the home whose samples of --subject are given out, as lines of JSON
    #[arg(long, value_name = "DIR", conflicts_with = "model", requires = "subject")]
    home: Option<PathBuf>,
    /// Whose samples: what this person has a right to see
    #[arg(long, value_name = "NAME", requires = "home")]
    subject: Option<String>,
    /// The file to write: .safetensors or .onnx; .jsonl for samples
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Export although it is personal data
    #[arg(long)]
    personal_data: bool,
    #[command(flatten)]
    pub common: Common,
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    match (&args.model, &args.home, &args.subject) {
        (Some(model), ..) => of_model(args, model, out),
        (None, Some(home), Some(subject)) => of_person(args, home, subject, out),
        _ => Err(Fault::Usage("give --model FILE, or --home DIR and --subject NAME".into())),
    }
}

/// A person's samples, in the form in which `ingest` takes them.
fn of_person(args: &Args, home: &Path, subject: &str, out: &Out) -> Result<(), Fault> {
    if !args.personal_data {
        return Err(Fault::Usage(format!(
            "the samples of `{subject}` are personal data. Once exported nothing here can erase them; give --personal-data if they may leave"
        )));
    }
    setting::check_output(&args.out)?;
    let subject = subject.to_string();
    let answer = super::home::ask(home, Call::Samples { subject: subject.clone() }, out)?;
    let samples = answer["samples"].as_array().map_or(&[][..], Vec::as_slice);
    let lines: String = samples.iter().map(|sample| format!("{sample}\n")).collect();
    replace(&mut FileDisk, &args.out, lines.as_bytes())?;
    let text = format!("{}: {} samples of {subject}\n", args.out.display(), samples.len());
    let value = json!({
        "command": "export", "file": setting::told(&args.out), "subject": subject,
        "samples": samples.len(), "personal_data": "samples of a person",
    });
    out.result(&text, &value)
}

fn of_model(args: &Args, model: &Path, out: &Out) -> Result<(), Fault> {
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
    let wrong = |source| Fault::Format { path: model.to_path_buf(), source };
    let file = ModelFile::open(model).map_err(wrong)?;
    file.verify().map_err(wrong)?;
    let personal = personal(&file);
    if let (Some(why), false) = (&personal, args.personal_data) {
        return Err(Fault::Usage(format!(
            "{} is personal data: {why}. Once exported it cannot be made to forget; give --personal-data if it may leave",
            model.display()
        )));
    }
    setting::check_output(&args.out)?;
    super::past::not_itself(model, &args.out)?;
    let artifact = file::read(&file, model)?;
    let bytes = match kind {
        Foreign::Safetensors => export_safetensors(&file, &artifact),
        Foreign::Onnx => onnx::export(&artifact)
            .map_err(|fault| Fault::Usage(format!("--out {}: {fault}", args.out.display())))?,
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
        model.display(),
        artifact.id,
        note.as_ref().map_or(String::new(), |note| format!("note: {note}\n")),
    );
    let value = json!({
        "command": "export", "file": setting::told(&args.out), "format": kind.name(),
        "model": setting::told(model), "id": artifact.id.to_string(), "network": name,
        "file_bytes": size, "sparsity_percent": 100.0 * network.sparsity(),
        "sparsity_of": "prunable weights", "personal_data": note,
    });
    out.result(&text, &value)
}
