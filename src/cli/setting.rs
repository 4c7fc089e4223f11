//! What the commands share: where results go, threads, data, models, files.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::fault::Fault;
use super::poison::Poison;
use crate::base::disk::{Disk, DiskError, FileDisk, read_at_most, replace};
use crate::base::units::Bytes;
use crate::data::{self, Extraction, Reading, Room, Scenario, Splits};
use crate::format::{AnchorSet, ClassesAndFeatures, Dtype, Entry, Facts, Features};
use crate::model::file::{self, Artifact};
use crate::model::{Description, Network, builtin, builtin_names};
use crate::sparse::Isa;

/// The variable that names the folder of data sets.
const DATA_ROOT: &str = "UNLEARN_DATA";

/// Options of every command.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Output and threads")]
pub(super) struct Common {
    /// Print one JSON object instead of tables
    #[arg(long)]
    pub json: bool,
    /// Threads to use; the result does not depend on it [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

impl Common {
    /// Sets up threads and the answer to an interrupt.
    pub(super) fn prepare(&self) -> Result<(), Fault> {
        let threads = self.threads.map_or(0, usize::from);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
        pool.map_err(|error| Fault::Usage(format!("threads cannot be started: {error}")))?;
        super::kernels::prepare()?;
        super::watch::listen()
    }
}

/// Where results go.
pub(super) struct Out {
    /// Whether results are JSON.
    pub json: bool,
}

impl Out {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints the result: `text` for a person, `value` for a script.
    ///
    /// # Errors
    /// If it cannot be written. A reader that closed its end has what it wanted.
    pub(super) fn result(&self, text: &str, value: &Value) -> Result<(), Fault> {
        let json = || format!("{value:#}\n");
        let told = if self.json { json() } else { text.to_string() };
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(told.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Fault::Told(error)),
            _ => Ok(()),
        }
    }

    /// Tells a person how things go; says nothing in a pipe.
    pub(super) fn say(&self, text: &str) {
        if std::io::stderr().is_terminal() {
            complain(text);
        }
    }
}

/// Writes a line to standard error. Unlike `eprintln!`, it does not panic where nobody reads.
pub(super) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The best instruction set here.
pub(super) fn isa() -> Isa {
    Isa::best()
}

/// Reads a file of settings in TOML; `what` begins the sentence that says it is TOML text.
///
/// # Errors
/// If it cannot be read, is longer than `most`, or says what is not understood, with its line.
pub(super) fn read_toml<T: DeserializeOwned>(
    path: &Path,
    most: u64,
    what: &str,
) -> Result<T, Fault> {
    let bytes = read_at_most(path, most).map_err(Fault::Given)?;
    let name = path.display().to_string();
    match std::str::from_utf8(&bytes) {
        Ok(text) => parse_toml(text, &name),
        Err(fault) => Err(Fault::Input {
            what: name,
            at: format!("byte {}", fault.valid_up_to()),
            why: format!("this is not UTF-8; {what} TOML text"),
        }),
    }
}

/// The same, of a text; `name` is for the error.
pub(super) fn parse_toml<T: DeserializeOwned>(text: &str, name: &str) -> Result<T, Fault> {
    toml::from_str(text).map_err(|fault: toml::de::Error| {
        let line = |at: usize| text.get(..at).unwrap_or(text).matches('\n').count() + 1;
        let at =
            fault.span().map_or("as a whole".into(), |span| format!("line {}", line(span.start)));
        Fault::Input { what: name.into(), at, why: fault.message().replace('\n', ": ") }
    })
}

/// Where data lies, and how much memory it may take.
#[derive(Args, Debug, Clone)]
pub(super) struct DataArgs {
    /// The data set: a folder or a file, by path or by its name below UNLEARN_DATA, or `made`
    #[arg(long, value_name = "PATH")]
    pub data: String,
    /// Memory that the values of each part may take; more goes to a nameless file in the folder for
    /// temporary files
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = Bytes::parse)]
    pub data_memory: Bytes,
}

impl DataArgs {
    /// Opens it, its samples made as `extraction` says.
    pub(super) fn open(&self, extraction: Option<Extraction>) -> Result<Splits, Fault> {
        let root = std::env::var_os(DATA_ROOT).filter(|root| !root.is_empty()).map(PathBuf::from);
        let room = Room { memory: self.data_memory.0, folder: Some(std::env::temp_dir()) };
        Ok(data::open_source(&self.data, root.as_deref(), &Reading { room, extraction })?)
    }

    /// Opens it, its samples made as `model` takes them.
    pub(super) fn open_for(&self, model: &Artifact) -> Result<Splits, Fault> {
        self.open(extraction_of(&model.meaning)?)
    }

    /// The same, poisoned as what `model` learnt from was, if it was.
    pub(super) fn open_learnt(&self, model: &Artifact) -> Result<Splits, Fault> {
        let mut data = self.open_for(model)?;
        if let Some(poison) = Poison::of(&model.facts)? {
            poison.apply(&mut data)?;
        }
        Ok(data)
    }
}

/// What a model file says of its classes and features, for data as it was opened.
pub(super) fn meaning_of(data: &Splits) -> ClassesAndFeatures {
    let entry = |(key, value)| Entry::new(key, value);
    let features = data.extraction.as_ref().map(|extraction| Features {
        kind: extraction.kind().to_string(),
        parameters: extraction.settings().into_iter().map(entry).collect(),
    });
    ClassesAndFeatures { classes: data.train.classes.clone(), features }
}

/// The extraction that a model file states.
pub(super) fn extraction_of(meaning: &ClassesAndFeatures) -> Result<Option<Extraction>, Fault> {
    let Some(Features { kind, parameters }) = &meaning.features else { return Ok(None) };
    let settings = parameters.iter().map(|entry| (&*entry.key, &*entry.value));
    Ok(Some(Extraction::of(kind, settings)?))
}

/// Reads what `--scenario` says.
pub(super) fn scenario(text: &str) -> Result<Scenario, Fault> {
    Ok(Scenario::parse(text)?)
}

/// The network that `--model` names for training: a compiled-in one, or a TOML file.
pub(super) fn describe(model: &str, classes: usize) -> Result<Arc<Description>, Fault> {
    if let Some(text) = builtin(model) {
        return Ok(Arc::new(Description::parse(text, &format!("models/{model}.toml"), classes)?));
    }
    let path = Path::new(model);
    if !path.exists() {
        let known: Vec<&str> = builtin_names().collect();
        return Err(Fault::Usage(format!(
            "model `{model}` is neither a file nor compiled in; compiled in are {}",
            known.join(", ")
        )));
    }
    let bytes = FileDisk.read(path)?;
    let text = String::from_utf8(bytes).map_err(|fault| {
        let at = fault.utf8_error().valid_up_to();
        Fault::Usage(format!("{model}: byte {at} is not UTF-8; a model description is TOML text"))
    })?;
    Ok(Arc::new(Description::parse(&text, model, classes)?))
}

/// Opens a model file.
pub(super) fn open_model(path: &Path) -> Result<Artifact, Fault> {
    Ok(file::open(path)?)
}

/// A network with all that its file says.
pub(super) struct Written<'a> {
    pub network: &'a Network,
    pub meaning: &'a ClassesAndFeatures,
    pub facts: &'a Facts,
    pub dtype: Dtype,
    pub momentum: Option<&'a [f32]>,
    /// The anchor set of a package. A checkpoint and the weights of an early epoch have none: they
    /// become a package only by way of a command that draws or keeps one.
    pub anchor: Option<&'a AnchorSet>,
}

impl Written<'_> {
    /// Writes the file durably and opens it again: what is evaluated is what lies there.
    pub(super) fn save(&self, path: &Path) -> Result<Artifact, Fault> {
        let Self { network, meaning, facts, dtype, momentum, anchor } = *self;
        let bytes = file::encode(network, meaning, facts, dtype, momentum, anchor)?;
        replace(&mut FileDisk, path, &bytes)?;
        // Not beside what is read back: with a large network it would be the fullest moment.
        drop(bytes);
        open_model(path)
    }
}

/// Refuses an `--out` that cannot be written, before hours of work.
pub(super) fn check_output(path: &Path) -> Result<(), Fault> {
    check_output_of("--out", path)
}

/// Refuses a page, named by `option`, that cannot be written.
pub(super) fn check_page(option: &str, path: &Path) -> Result<(), Fault> {
    check_ending(option, path, "a page", "html")
}

/// Refuses `what`, named by `option`, that cannot be written. Its ending keeps a model or data that is
/// read from being written over.
pub(super) fn check_ending(
    option: &str,
    path: &Path,
    what: &str,
    ending: &str,
) -> Result<(), Fault> {
    match path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending)) {
        true => check_output_of(option, path),
        false => Err(Fault::Usage(format!(
            "{option} is {}; {what} has a name that ends in .{ending}",
            path.display()
        ))),
    }
}

/// As [`check_output`], for the path that another `option` names.
fn check_output_of(option: &str, path: &Path) -> Result<(), Fault> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if path.is_dir() {
        return Err(Fault::Usage(format!("{} is a folder; {option} names a file", path.display())));
    }
    if !folder.is_dir() {
        return Err(Fault::Usage(format!(
            "{} is not a folder: make it, or choose another {option}",
            folder.display()
        )));
    }
    if path.exists() && !path.is_file() {
        return Err(Fault::Usage(format!(
            "{} is a pipe or a device, and would be replaced; {option} names a file",
            path.display()
        )));
    }
    let probe = folder.join(format!(".unlearn-probe-{}", std::process::id()));
    let mut disk = FileDisk;
    // A process of the same number, in a container the usual case, may have died here.
    if disk.exists(&probe)? {
        disk.remove(&probe)?;
    }
    disk.write_new(&probe, b"").map_err(|error| unwritable(error, folder))?;
    disk.remove(&probe)?;
    Ok(())
}

/// What a probe met, told of the folder: nobody asked for the probe.
fn unwritable(error: DiskError, folder: &Path) -> DiskError {
    let (action, path) = ("write into", folder.to_path_buf());
    match error {
        // A folder of the kernel's, which is there, says that a new file is not.
        DiskError::ReadOnly { .. } | DiskError::NotFound { .. } => {
            DiskError::ReadOnly { action, path }
        }
        DiskError::Full { .. } => DiskError::Full { action, path },
        other => other,
    }
}

/// A value as JSON. By way of its text, so that an `f32` of 0.1 is told as 0.1.
pub(super) fn plain(value: &impl serde::Serialize) -> Value {
    let text = serde_json::to_string(value).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// A path as JSON tells it. `json!` panics on a path that is not UTF-8.
pub(super) fn told(path: &Path) -> String {
    path.display().to_string()
}

/// `model.esm` → `model.WORD.esm`.
pub(super) fn beside(path: &Path, word: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}.{word}.esm"))
}

/// The element type that `--dtype` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum DtypeArg {
    F32,
    F16,
    Bf16,
    Int8,
}

impl From<DtypeArg> for Dtype {
    fn from(arg: DtypeArg) -> Self {
        match arg {
            DtypeArg::F32 => Self::F32,
            DtypeArg::F16 => Self::F16,
            DtypeArg::Bf16 => Self::Bf16,
            DtypeArg::Int8 => Self::Int8,
        }
    }
}
