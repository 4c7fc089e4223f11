//! `unlearn inspect`: what is in a model file, or in a data set.

mod data;
mod model;
mod plan;
mod samples;

use std::path::PathBuf;

use super::fault::Fault;
use super::setting::{Common, DataArgs, Out};
use crate::base::units::Bytes;

/// Show what is in a model file: layers, density by parameters and by operations, bytes, facts. Or,
/// with --data, what is in a data set: what it was recognised as, classes, subjects, values.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn inspect sparse.esm\nExample: unlearn inspect sparse.esm --plan\nExample: unlearn inspect --data fashion-mnist --picture samples.html\n\nMACs are multiply-accumulates of one forward pass for one sample, over the weights that exist."
)]
pub(super) struct Args {
    /// The model file
    #[arg(value_name = "FILE", required_unless_present = "data", conflicts_with = "data")]
    file: Option<PathBuf>,
    /// Show instead which kernels a training step takes, layer by layer and pass by pass
    #[arg(long, conflicts_with = "data", requires = "file")]
    plan: bool,
    /// A data set instead: a folder or a file, by path or by its name below UNLEARN_DATA, or `made`
    #[arg(long, value_name = "PATH")]
    data: Option<String>,
    /// Memory that the values of each part may take; more goes to a nameless file in the folder for
    /// temporary files
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = Bytes::parse)]
    data_memory: Bytes,
    /// How samples are made of sound, text or pictures, as KIND:KEY=VALUE,... [default: what fits the
    /// data]
    #[arg(long, value_name = "TEXT")]
    features: Option<String>,
    /// Also show some samples of each class: one HTML page that needs nothing else
    #[arg(long, value_name = "FILE.html")]
    picture: Option<PathBuf>,
    #[command(flatten)]
    pub common: Common,
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    match (&args.file, &args.data) {
        (_, Some(data)) => {
            let source = DataArgs { data: data.clone(), data_memory: args.data_memory };
            data::run(&source, args.features.as_deref(), args.picture.as_deref(), out)
        }
        (Some(_), None) if args.picture.is_some() || args.features.is_some() => Err(Fault::Usage(
            "--picture and --features belong to --data; a model file has no samples".into(),
        )),
        (Some(file), None) if args.plan => plan::run(file, out),
        (Some(file), None) => model::run(file, out),
        (None, None) => Err(Fault::Usage("give a model file, or a data set with --data".into())),
    }
}
