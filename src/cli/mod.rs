//! The door: words to calls. One file a command; nothing below prints, reads the environment or
//! exits.
//!
//! Results go to standard output, as a table or, with `--json`, as one JSON object; everything else
//! goes to standard error. Exit codes: 0 done, 1 a check failed, 2 the words were wrong, 3 a file or
//! its contents were, 4 reading or writing failed, 5 the run failed, 130 interrupted.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod anchor;
mod bench;
mod board;
mod demo;
mod device;
mod diff;
mod evaluate;
mod experiment;
mod export;
mod fault;
mod forget;
mod home;
mod import;
mod inspect;
mod kernels;
mod learn;
mod machine;
mod memory;
mod methods;
mod past;
mod poison;
mod prune;
mod receipt;
pub mod report;
mod setting;
mod shadow;
mod table;
mod train;
mod tuned;
mod verify;
mod watch;
mod way;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use fault::Fault;
use setting::{Common, Out};

/// Make a device forget.
///
/// Trains a network, prunes it, keeps it as a sparse-masked file, makes it forget a class, random
/// samples or a person by l1-sparse fine-tuning over what is kept, and measures what was forgotten.
#[derive(Parser, Debug)]
#[command(
    name = "unlearn",
    version,
    max_term_width = 100,
    after_help = "Example: unlearn demo --out out\n\nData: --data takes a folder or a file (pictures, sound, texts, arrays, CSV; `inspect --data PATH` says what it finds), or `made` for the population that the program makes itself. A name that is no path is looked for below the folder that the variable UNLEARN_DATA names.\n\nKernels: UNLEARN_KERNELS names a table that `bench tune` made on this machine."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// The whole story on data it makes: files, tables, result.json, report.html
    Demo(demo::Args),
    /// Train a network
    Train(train::Args),
    /// Prune a trained network and train what is left
    Prune(prune::Args),
    /// Make a network forget
    Forget(forget::Args),
    /// Measure what a network has forgotten
    Evaluate(evaluate::Args),
    /// Attack what a method forgot, sample by sample, with shadow models
    Shadow(shadow::Args),
    /// Run an experiment from a file: the paper's table, and a page
    Experiment(experiment::Args),
    /// Take in a model of PyTorch: safetensors or ONNX
    Import(import::Args),
    /// Give out a model for other programs: safetensors or ONNX
    Export(export::Args),
    /// Show what is in a model file, or in a data set
    Inspect(inspect::Args),
    /// Show what changed between two model files
    Diff(diff::Args),
    /// Check every byte of model files
    Verify(verify::Args),
    /// Check and show erasure receipts
    Receipt(receipt::Args),
    /// List the methods of forgetting and what they need
    Methods(methods::Args),
    /// Show what this machine is, what it allows, and what limits it now
    Board(board::Args),
    /// Make a home for a base
    Init(home::InitArgs),
    /// Take in samples of people
    Ingest(home::IngestArgs),
    /// Learn from the people here
    Adapt(home::AdaptArgs),
    /// Ask the model that may answer
    Predict(home::PredictArgs),
    /// Erase people: samples, keys, and their influence on the weights
    Erase(home::EraseArgs),
    /// Take a request to erase back
    Cancel(home::CancelArgs),
    /// Finish what was begun
    Resume(home::ResumeArgs),
    /// Show a home
    Status(home::StatusArgs),
    /// Remove what nothing needs
    Gc(home::GcArgs),
    /// Name the file by which a copy of the home that was put back is noticed
    Witness(home::WitnessArgs),
    /// Have a home, and answer through its socket
    Serve(home::ServeArgs),
    #[command(hide = true)]
    Worker(home::WorkerArgs),
    /// Measure what a step, a prediction and an opening cost here
    Bench(bench::Args),
}

impl Command {
    fn common(&self) -> &Common {
        match self {
            Self::Demo(args) => &args.common,
            Self::Train(args) => &args.common,
            Self::Prune(args) => &args.common,
            Self::Forget(args) => &args.common,
            Self::Evaluate(args) => &args.common,
            Self::Shadow(args) => &args.common,
            Self::Experiment(args) => &args.common,
            Self::Import(args) => &args.common,
            Self::Export(args) => &args.common,
            Self::Inspect(args) => &args.common,
            Self::Diff(args) => &args.common,
            Self::Verify(args) => &args.common,
            Self::Receipt(args) => args.common(),
            Self::Methods(args) => &args.common,
            Self::Board(args) => &args.common,
            Self::Init(args) => &args.common,
            Self::Ingest(args) => &args.common,
            Self::Adapt(args) => &args.common,
            Self::Predict(args) => &args.common,
            Self::Erase(args) => &args.common,
            Self::Cancel(args) => &args.common,
            Self::Resume(args) => &args.common,
            Self::Status(args) => &args.common,
            Self::Gc(args) => &args.common,
            Self::Witness(args) => &args.common,
            Self::Serve(args) => &args.common,
            Self::Worker(args) => &args.common,
            Self::Bench(args) => args.common(),
        }
    }

    fn run(&self, out: &Out) -> Result<(), Fault> {
        match self {
            Self::Demo(args) => demo::run(args, out),
            Self::Train(args) => train::run(args, out),
            Self::Prune(args) => prune::run(args, out),
            Self::Forget(args) => forget::run(args, out),
            Self::Evaluate(args) => evaluate::run(args, out),
            Self::Shadow(args) => shadow::run(args, out),
            Self::Experiment(args) => experiment::run(args, out),
            Self::Import(args) => import::run(args, out),
            Self::Export(args) => export::run(args, out),
            Self::Inspect(args) => inspect::run(args, out),
            Self::Diff(args) => diff::run(args, out),
            Self::Verify(args) => verify::run(args, out),
            Self::Receipt(args) => receipt::run(args, out),
            Self::Methods(args) => methods::run(args, out),
            Self::Board(args) => board::run(args, out),
            Self::Init(args) => home::init(args, out),
            Self::Ingest(args) => home::ingest(args, out),
            Self::Adapt(args) => home::adapt(args, out),
            Self::Predict(args) => home::predict(args, out),
            Self::Erase(args) => home::erase(args, out),
            Self::Cancel(args) => home::cancel(args, out),
            Self::Resume(args) => home::resume(args, out),
            Self::Status(args) => home::status(args, out),
            Self::Gc(args) => home::gc(args, out),
            Self::Witness(args) => home::witness(args, out),
            Self::Serve(args) => home::serve(args, out),
            Self::Worker(args) => home::worker(args, out),
            Self::Bench(args) => bench::run(args, out),
        }
    }
}

/// Parses the words of this process, does what they say, and says how it went.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no faults: clap prints them to standard output and exits with 0.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let common = cli.command.common();
    let out = Out::new(common.json);
    let done = common.prepare().and_then(|()| cli.command.run(&out));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            setting::complain(&format!("unlearn: {fault}"));
            ExitCode::from(fault.code())
        }
    }
}
