//! `unlearn import`: from another program's model file to one of ours.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::fault::Fault;
use super::learn::ProvenanceArg;
use super::setting::{self, Common, DtypeArg, Out, Written};
use crate::base::disk::{Disk, DiskError, FileDisk, read_at_most};
use crate::base::hash::Digest;
use crate::base::units::{Bytes, Share};
use crate::exchange::{
    Choice, ExchangeFault, Foreign, Imported, MAX_FILE, Names, import_safetensors, onnx,
};
use crate::format::{ClassesAndFeatures, Dtype, Facts, FormatError, ModelFile, Provenance};
use crate::model::builtin;
use crate::model::file::{self, Artifact};

/// Take in a model of another program: safetensors under PyTorch's names, or ONNX.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn import resnet18.safetensors --out base.esm --provenance population\n\nsafetensors: the network that comes with the program and has these tensors is taken; --model says another. Prefixes `module.`, `model.` and `_orig_mod.` go; masks of torch.nn.utils.prune stay masks. Other names need --names, a TOML file:\n  [names]\n  \"backbone.stem.*\" = \"conv1.*\"\n  [ignore]\n  names = [\"teacher.*\"]\nonnx: as PyTorch exports it; the network is made of the graph.\nPickles (.pt, .pth) are programs and are not read: save the state dict as safetensors."
)]
pub(super) struct Args {
    /// The file to read: .safetensors or .onnx
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The model file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The network: one that comes with the program, or a TOML file [default: what fits]
    #[arg(long, value_name = "NAME|TOML")]
    model: Option<String>,
    /// How their names become ours
    #[arg(long, value_name = "TOML")]
    names: Option<PathBuf>,
    /// Class names in label order, one a line [default: the file's own, else 0, 1, ...]
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// Element type of weights in the file [default: f32, or what it was before `unlearn export`]
    #[arg(long, value_enum)]
    dtype: Option<DtypeArg>,
    /// Take weights that are exactly 0 for removed, where pruning may remove them
    #[arg(long)]
    zeros_are_pruned: bool,
    /// Whose data the model was made from [default: the file's own, else undeclared]
    #[arg(long, value_enum)]
    provenance: Option<ProvenanceArg>,
    #[command(flatten)]
    pub common: Common,
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let wrong = |fault: ExchangeFault| Fault::Exchange(fault.of(&args.file));
    let kind = Foreign::of(&args.file).map_err(wrong)?;
    if kind == Foreign::Onnx && (args.model.is_some() || args.names.is_some()) {
        return Err(Fault::Usage(
            "--model and --names belong to .safetensors: an ONNX file says what its network is"
                .into(),
        ));
    }
    setting::check_output(&args.out)?;
    super::past::not_itself(&args.file, &args.out)?;
    let model = args.model.as_deref().map(description).transpose()?;
    let names = args.names.as_deref().map(names).transpose()?;
    let unread =
        |error| Fault::Format { path: args.file.clone(), source: FormatError::Disk(error) };
    let bytes = read_at_most(&args.file, MAX_FILE).map_err(unread)?;
    let choice = Choice {
        model: args.model.as_deref().zip(model.as_deref()),
        names: names.as_ref(),
        zeros_are_pruned: args.zeros_are_pruned,
    };
    let imported = match kind {
        Foreign::Safetensors => import_safetensors(&bytes, &choice),
        Foreign::Onnx => {
            let beside = |name: &str| in_folder(&args.file, name);
            onnx::import(&bytes, &stem(&args.file), &beside, &choice)
        }
    }
    .map_err(wrong)?;
    let meaning = args.meaning(&imported)?;
    let facts = args.facts(&imported, &meaning, kind, Digest::of(&bytes))?;
    // The foreign bytes are no longer needed; the model is about to be encoded.
    drop(bytes);
    let (network, dtype) = (&imported.network, args.dtype(&imported));
    let written =
        Written { network, meaning: &meaning, facts: &facts, dtype, momentum: None, anchor: None };
    let artifact = written.save(&args.out)?;
    tell(args, out, kind, &imported, &artifact)
}

fn tell(
    args: &Args,
    out: &Out,
    kind: Foreign,
    imported: &Imported,
    artifact: &Artifact,
) -> Result<(), Fault> {
    let network = &artifact.network;
    let all: usize = network.parameters.iter().map(|p| p.mask.len()).sum();
    let existing = network.values.len();
    let name = &network.description.name;
    let notes: String = imported.notes.iter().map(|note| format!("note: {note}\n")).collect();
    let text = format!(
        "{}: {name}, {} classes, from {}\n\
         {existing} of {all} weights exist, {} of the prunable ones are gone\n\
         id {}, {}\n{notes}",
        args.out.display(),
        artifact.meaning.classes.len(),
        args.file.display(),
        Share(network.sparsity()),
        artifact.id,
        Bytes(artifact.bytes),
    );
    let value = json!({
        "command": "import", "file": setting::told(&args.out), "id": artifact.id.to_string(),
        "from": setting::told(&args.file), "from_format": kind.name(), "model": name,
        "classes": artifact.meaning.classes, "weights": existing, "weights_dense": all,
        "sparsity_percent": 100.0 * network.sparsity(), "sparsity_of": "prunable weights",
        "file_bytes": artifact.bytes, "notes": imported.notes,
    });
    out.result(&text, &value)
}

impl Args {
    fn dtype(&self, imported: &Imported) -> Dtype {
        self.dtype.map(Dtype::from).or(imported.dtype).unwrap_or(Dtype::F32)
    }

    /// What the outputs are called, and how samples become inputs, if the file tells it.
    fn meaning(&self, imported: &Imported) -> Result<ClassesAndFeatures, Fault> {
        let classes = self.class_names(imported)?;
        Ok(ClassesAndFeatures { classes, features: imported.features.clone() })
    }

    /// Class names: those that were given, else the file's own, else numbers.
    fn class_names(&self, imported: &Imported) -> Result<Vec<String>, Fault> {
        let outputs = imported.network.description.classes;
        let Some(path) = &self.classes else {
            let numbers = || (0..outputs).map(|class| class.to_string()).collect();
            return Ok(imported.classes.clone().unwrap_or_else(numbers));
        };
        let text = text(path)?;
        let names: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
        if names.len() != outputs {
            return Err(Fault::Usage(format!(
                "{}: {} lines for the {outputs} outputs of the network: one name a line is needed",
                path.display(),
                names.len()
            )));
        }
        Ok(names)
    }

    /// What the new file says of its making. A model that comes back as it was exported keeps its
    /// facts, and with them its logical id; any other, one that had an anchor set among them, says that it was imported, and from what.
    fn facts(
        &self,
        imported: &Imported,
        meaning: &ClassesAndFeatures,
        kind: Foreign,
        digest: Digest,
    ) -> Result<Facts, Fault> {
        let mut facts = imported.facts.clone().unwrap_or_default();
        facts.provenance = self.provenance.map_or(facts.provenance, Provenance::from);
        if let Some(claimed) = &imported.id {
            let bytes =
                file::encode(&imported.network, meaning, &facts, self.dtype(imported), None, None)?;
            let wrong = |source| Fault::Format { path: self.out.clone(), source };
            if ModelFile::from_bytes(bytes).map_err(wrong)?.logical_id().to_string() == *claimed {
                return Ok(facts);
            }
        }
        Ok(facts
            .with("made_by", format!("unlearn {} import", env!("CARGO_PKG_VERSION")))
            .with("source", self.file.file_name().unwrap_or_default().to_string_lossy())
            .with("source_format", kind.name())
            .with("source_digest", digest.to_string()))
    }
}

/// The text of the description that `--model` names.
fn description(model: &str) -> Result<String, Fault> {
    match builtin(model) {
        Some(text) => Ok(text.to_owned()),
        // The number of classes is the file's to say; that it can be read is checked there.
        None if Path::new(model).exists() => text(Path::new(model)),
        None => setting::describe(model, 1).map(|description| description.source.clone()),
    }
}

fn names(path: &Path) -> Result<Names, Fault> {
    Names::parse(&text(path)?).map_err(|fault| Fault::Exchange(fault.of(path)))
}

fn text(path: &Path) -> Result<String, Fault> {
    let bytes = FileDisk.read(path)?;
    String::from_utf8(bytes).map_err(|fault| {
        let at = fault.utf8_error().valid_up_to();
        Fault::Usage(format!("{}: byte {at} is not UTF-8; a text is needed", path.display()))
    })
}

/// The file `name` in the folder of `model`, which must really lie there: a link may lead anywhere.
fn in_folder(model: &Path, name: &str) -> Result<Vec<u8>, DiskError> {
    let path = model.with_file_name(name);
    let parent = |path: &Path| Some(path.canonicalize().ok()?.parent()?.to_path_buf());
    if parent(&path).is_some_and(|folder| Some(folder) != parent(model)) {
        return Err(DiskError::NotAFile { path });
    }
    read_at_most(&path, MAX_FILE)
}

/// The name of a file without folder and ending.
fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
