//! `unlearn bench load`: from a path to a network that predicts.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::super::device::Wanted;
use super::super::evaluate::notes;
use super::super::fault::Fault;
use super::super::setting::{self, Common, Out};
use super::super::table::Table;
use super::super::{device, learn};
use super::subject::Samples;
use super::timings::{Timings, told};
use super::{Effort, load_sections, some};
use crate::base::clock::Stopwatch;
use crate::base::units::Bytes;
use crate::format::ModelFile;
use crate::model::{Device, Engine, file};

/// Measure how long it takes from a model file's path to a network that predicts.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn bench load --model sparse.esm --json\nExample: unlearn bench load --model sparse.esm --device cuda\n\nEvery byte is verified, as always. The file is in the system's cache from the second run on: what the disk costs is not measured. Nor is it in these figures that a CUDA device is opened, once a process, with its kernels: what that takes is told beside them. Such a device decodes the file's sections itself; each way that it can read them is told beside the way through the processor."
)]
pub(super) struct Args {
    /// The model file
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Openings that are timed
    #[arg(long, value_name = "N", default_value_t = 21)]
    repetitions: usize,
    #[command(flatten)]
    effort: Effort,
    #[command(flatten)]
    pub common: Common,
}

/// What one opening is made of.
const PHASES: [&str; 5] = ["open", "verify", "read", "plan", "first_prediction"];

/// What to compute on, the seconds of opening it where it is no processor, and why it is not the device that
/// `auto` looks for.
fn opened(args: &Args) -> Result<(Device, Option<f64>, Option<String>), Fault> {
    let wanted = args.effort.device.device;
    if wanted == Wanted::Cpu {
        // Without a look at the file: the first opening finds it where it lies.
        return Ok((setting::isa().into(), None, None));
    }
    let network = setting::open_model(&args.model)?.network;
    let watch = Stopwatch::start();
    let (device, fallen) = wanted.open(&network)?;
    let seconds = watch.seconds();
    Ok((device, matches!(device, Device::Cuda { .. }).then_some(seconds), fallen))
}

/// Seconds of each phase of one opening, and bytes of the file.
fn once(path: &Path, device: Device) -> Result<([f64; 5], u64), Fault> {
    let wrong = |source| Fault::Format { path: path.to_path_buf(), source };
    let watch = Stopwatch::start();
    let opened = ModelFile::open(path).map_err(wrong)?;
    let open = watch.seconds();
    opened.verify().map_err(wrong)?;
    let verify = watch.seconds();
    let mut network = file::read(&opened, path)?.network;
    let read = watch.seconds();
    let mut engine = Engine::evaluating(&network, 1, device);
    engine.trouble()?;
    let plan = watch.seconds();
    let sample = Samples::new(&network, 1, 1);
    let made = watch.seconds();
    engine.load(&network, 1, |i, out| sample.read(i, out));
    engine.forward(&mut network);
    engine.probabilities(&mut Vec::new());
    engine.trouble()?;
    let first = watch.seconds() - made;
    Ok(([open, verify - open, read - verify, plan - read, first], opened.len_bytes()))
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let mut machine = args.effort.budget.watch(None)?;
    let repetitions = some("--repetitions", args.repetitions, 1_000_000)?;
    let (device, opening, fallen) = opened(args)?;
    let mut bytes = 0;
    let mut seconds = vec![Vec::new(); PHASES.len()];
    for repetition in 0..args.effort.warm_up + repetitions {
        machine.turn()?;
        let (phases, len) = once(&args.model, device)?;
        bytes = len;
        let counted = repetition >= args.effort.warm_up;
        seconds.iter_mut().zip(phases).filter(|_| counted).for_each(|(all, s)| all.push(s));
    }
    let loads = (0..repetitions).map(|i| seconds[..4].iter().map(|phase| phase[i]).sum::<f64>());
    let load = Timings::from(loads.collect::<Vec<_>>());
    let phases: Vec<Timings> = seconds.into_iter().map(Timings::from).collect();
    let mut table = Table::new(["phase", "median", "95 % within"]);
    for (name, timings) in PHASES.iter().zip(&phases) {
        let name = name.replace('_', " ");
        table.row(vec![name, told(timings.median()), told(timings.quantile(0.95))]);
    }
    let times = (args.effort.warm_up, repetitions);
    let (beside, ways) = load_sections::measure(&args.model, device, times, &mut machine)?;
    let plan = learn::plan(device);
    let opens = opening
        .map_or(String::new(), |s| format!("the device itself was opened once, in {}\n", told(s)));
    let warnings: Vec<String> = fallen.into_iter().collect();
    let text = format!(
        "{}: {}, ready to predict in {} (median of {}), {plan}\n\n{table}{opens}{beside}{}",
        args.model.display(),
        Bytes(bytes),
        told(load.median()),
        load.count(),
        notes(&warnings),
    );
    let median: Map<String, Value> =
        PHASES.iter().zip(&phases).map(|(k, t)| (k.to_string(), json!(t.median()))).collect();
    let mut value = json!({
        "command": "bench load", "file": setting::told(&args.model), "file_bytes": bytes,
        "device": device::short(device), "threads": rayon::current_num_threads(), "plan": plan,
        "warm_up": args.effort.warm_up, "repetitions": load.count(), "load_seconds": load.median(),
        "load_seconds_min": load.min(), "load_seconds_max": load.max(),
        "first_prediction_seconds": phases[4].median(), "phase_seconds": median,
        "device_seconds": opening, "ways": ways, "notes": warnings,
    });
    let took = machine.seal(&mut value);
    out.result(&(text + &took), &value)
}
