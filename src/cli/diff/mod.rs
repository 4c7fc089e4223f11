//! `unlearn diff`: what changed between two model files.

mod page;
mod text;
mod value;

use std::path::{Path, PathBuf};

use super::fault::Fault;
use super::setting::{self, Common, Out};
use crate::base::disk::{FileDisk, replace};
use crate::format::ModelFile;
use crate::model::diff::{Difference, Side};
use crate::model::file::{self, Artifact};

/// Show what changed between two model files: description, classes, facts, masks, and how far
/// weights moved.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn diff sparse.esm forgotten.esm --plot diff.html\n\nA difference is B minus A. `both` is over the entries that exist in A and in B; `union` over those that exist in either, where a missing one is 0, as it is to the network. Two files are the same model if their ids are equal: another spelling of a mask or another signature changes a file and not the model."
)]
pub(super) struct Args {
    /// The model file that is compared with
    #[arg(value_name = "A")]
    a: PathBuf,
    /// The model file that is compared
    #[arg(value_name = "B")]
    b: PathBuf,
    /// How many of the entries that moved most are listed
    #[arg(long, value_name = "N", default_value_t = 10)]
    moved: usize,
    /// Also draw the difference: one HTML page that needs nothing else
    #[arg(long, value_name = "FILE.html")]
    plot: Option<PathBuf>,
    /// Exit with 1 if the models differ; else that is no failure
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    pub common: Common,
}

/// One of the two files, opened and verified.
struct Model {
    path: PathBuf,
    file: ModelFile,
    artifact: Artifact,
}

/// Both files and what differs: what text, JSON and page are made from.
struct Compared {
    a: Model,
    b: Model,
    difference: Difference,
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    if let Some(plot) = &args.plot {
        setting::check_page("--plot", plot)?;
    }
    let (a, b) = (open(&args.a)?, open(&args.b)?);
    let difference = Difference::between(a.side(), b.side(), args.moved);
    let compared = Compared { a, b, difference };
    if let Some(plot) = &args.plot {
        replace(&mut FileDisk, plot, page::html(&compared).as_bytes())?;
    }
    out.result(&text::of(&compared), &value::of(&compared, args.plot.as_deref()))?;
    match args.exit_code && !compared.difference.same_model {
        true => Err(Fault::CheckFailed("the models differ".into())),
        false => Ok(()),
    }
}

fn open(path: &Path) -> Result<Model, Fault> {
    let wrong = |source| Fault::Format { path: path.to_path_buf(), source };
    let file = ModelFile::open(path).map_err(wrong)?;
    file.verify().map_err(wrong)?;
    let artifact = file::read(&file, path)?;
    Ok(Model { path: path.to_path_buf(), file, artifact })
}

impl Model {
    fn side(&self) -> Side<'_> {
        Side { file: &self.file, artifact: &self.artifact }
    }
}

/// A figure to about four digits, for a reader: `0.03217`, `1.234e-7`, or `–` where there is none.
fn figure(value: Option<f64>) -> String {
    match value {
        None => "–".into(),
        Some(0.0) => "0".into(),
        Some(v) if (1e-3..1e5).contains(&v.abs()) => {
            let whole = v.abs().log10().floor().max(-1.0) as i32;
            format!("{v:.*}", usize::try_from(3 - whole).unwrap_or(0))
        }
        Some(v) => format!("{v:.3e}"),
    }
}

/// A value of a model as a reader is told it, every digit of it; `–` where it does not exist.
fn entry(value: Option<f32>) -> String {
    match value {
        None => "–".into(),
        Some(v) if v == 0.0 || (1e-4..1e7).contains(&v.abs()) => format!("{v}"),
        Some(v) => format!("{v:e}"),
    }
}

/// Dimensions, `64x3x3x3`.
fn dimensions(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}
