//! `unlearn ingest`: samples of people come in.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::super::setting::{Common, DataArgs, Out};
use super::call::{Call, Line};
use super::{Where, frames, tell};
use crate::base::disk::DiskError;
use crate::base::units::Bytes;
use crate::data::{Dataset, Splits};
use crate::erase::HomeError;

/// Samples that are sent at once.
const BATCH: usize = 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One sample a line
    Json,
    /// Frames: a length of four bytes, then one sample in postcard
    Postcard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The part to learn from
    Train,
    /// The part that only measures
    Test,
    /// Both
    All,
}

/// Take in samples of people: from a data set, a file, or standard input.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn ingest --home home --input samples.jsonl\n         unlearn ingest --home home --data fsdd --subject george,theo\n\nA line is {\"subject\": NAME, \"label\": CLASS, \"values\": [...]}, or with \"subjects\": [NAME, ...] for what shows several people, \"bytes\" for values that are bytes, and \"group\" for what must not be parted. Whoever is new gets a key of their own. What is here already is passed over."
)]
pub(in super::super) struct Args {
    #[command(flatten)]
    place: Where,
    /// Samples as lines of JSON or frames of postcard; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    input: Option<PathBuf>,
    /// What the input is
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
    /// A data set that names its subjects: a folder or a file, by path or by its name below UNLEARN_DATA
    #[arg(long, value_name = "PATH")]
    data: Option<String>,
    /// Only these subjects of the data set [default: all]
    #[arg(long, value_name = "NAME[,NAME]", value_delimiter = ',', requires = "data")]
    subject: Vec<String>,
    /// Which part of the data set
    #[arg(long, value_enum, default_value_t = Part::Train, requires = "data")]
    part: Part,
    #[command(flatten)]
    pub common: Common,
}

pub(in super::super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let mut sender = Sender { args, out, waiting: Vec::new(), total: Total::default() };
    match (&args.data, &args.input) {
        (Some(data), _) => sender.data_set(data)?,
        (None, input) => {
            let path = input.clone().unwrap_or_else(|| PathBuf::from("-"));
            let (from, what) = (source(&path)?, path.display().to_string());
            match args.format {
                Format::Json => {
                    frames::lines(BufReader::new(from), &what, |line| sender.take(line))
                }
                Format::Postcard => frames::frames(BufReader::new(from), &what, |l| sender.take(l)),
            }?;
        }
    }
    sender.send()?;
    let value = json!(sender.total);
    out.result(&tell::ingested(&value), &value)
}

/// A file, or standard input.
pub(super) fn source(path: &Path) -> Result<Box<dyn Read>, Fault> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let failed = |error| Fault::Given(DiskError::from_io("read", path, error));
    let file = std::fs::File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(Fault::Given(DiskError::NotAFile { path: path.to_path_buf() }));
    }
    Ok(Box::new(file))
}

#[derive(Debug, Default, serde::Serialize)]
struct Total {
    samples: u64,
    held: u64,
    duplicates: u64,
    enrolled: u64,
}

/// Gathers samples and sends them in pieces.
struct Sender<'a> {
    args: &'a Args,
    out: &'a Out,
    waiting: Vec<Line>,
    total: Total,
}

impl Sender<'_> {
    fn take(&mut self, line: Line) -> Result<(), Fault> {
        self.waiting.push(line);
        if self.waiting.len() >= BATCH { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), Fault> {
        let samples = std::mem::take(&mut self.waiting);
        if samples.is_empty() {
            return Ok(());
        }
        let value = super::ask(&self.args.place.home, Call::Ingest { samples }, self.out)?;
        let of = |name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(0);
        self.total.samples += of("samples");
        self.total.held += of("held");
        self.total.duplicates += of("duplicates");
        self.total.enrolled += of("enrolled");
        Ok(())
    }

    /// Opens a data set as the base takes its samples, and takes those of the subjects that were named.
    fn data_set(&mut self, data: &str) -> Result<(), Fault> {
        let args = DataArgs { data: data.to_string(), data_memory: Bytes(1 << 30) };
        let splits = args.open_for(&base_of(&self.args.place.home)?)?;
        let parts: Vec<&Dataset> = match self.args.part {
            Part::Train => vec![&splits.train],
            Part::Test => vec![&splits.test],
            Part::All => vec![&splits.train, &splits.test],
        };
        self.known(&splits)?;
        for set in parts {
            for index in 0..set.len() {
                let name = &set.subject_names[set.subjects[index] as usize];
                if self.args.subject.is_empty() || self.args.subject.contains(name) {
                    let line = line_of(set, index, name);
                    self.take(line)?;
                }
            }
            set.trouble()?;
        }
        Ok(())
    }

    fn known(&self, splits: &Splits) -> Result<(), Fault> {
        if splits.train.subjects.is_empty() {
            return Err(Fault::Usage(format!(
                "{} names no subjects: whose samples they are must be known; give lines of JSON with --input",
                splits.name
            )));
        }
        let names = &splits.train.subject_names;
        match self.args.subject.iter().find(|name| !names.contains(name)) {
            Some(name) => Err(Fault::Usage(format!(
                "{} has no subject `{name}`; it has {}",
                splits.name,
                names.join(", ")
            ))),
            None => Ok(()),
        }
    }
}

fn line_of(set: &Dataset, index: usize, name: &str) -> Line {
    let mut values = vec![0.0; set.sample_len()];
    let mut bytes = Vec::new();
    match &set.values {
        crate::data::Values::Bytes(all) => {
            bytes = all[index * set.sample_len()..][..set.sample_len()].to_vec();
            values.clear();
        }
        _ => set.read(index, &mut values),
    }
    let label = set.classes[set.labels[index] as usize].clone();
    let group = set.groups.get(index).map(|group| format!("{group}"));
    Line { subjects: vec![name.into()], subject: None, label: Some(label), group, values, bytes }
}

/// What the base says of features. It is read as a file: a base that is sealed is asked of the home.
fn base_of(home: &Path) -> Result<crate::model::file::Artifact, Fault> {
    let path = home.join("base.esm");
    if !home.join("keyring").exists() {
        return Err(HomeError::NoHome { path: home.to_path_buf() }.into());
    }
    if path.exists() {
        return super::super::setting::open_model(&path);
    }
    match super::Held::open(home)? {
        Some(held) => Ok(held.home.base().clone()),
        None => Err(Fault::Usage(
            "the base is sealed, and another process has it: give samples as lines of JSON with --input".into(),
        )),
    }
}
