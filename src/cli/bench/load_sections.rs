//! `unlearn bench load` on a CUDA device: a model file made ready there from its sections, which the device decodes,
//! beside the same file through the processor, which decodes it and uploads what came out.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::fault::Fault;
use super::super::machine::Machine;
use super::super::setting;
use super::super::table::Table;
use super::resident;
use super::subject::Samples;
use super::timings::{Timings, told};
use crate::base::clock::Stopwatch;
use crate::base::units::Bytes;
use crate::format::ModelFile;
use crate::model::{Device, Engine, FileEngine, Network, file};
use crate::sparse::cuda::Tier;

/// What each way is made of. Through the processor, weights are uploaded with the first prediction.
const PHASES: [&str; 4] = ["open", "verify", "ready", "first_prediction"];

/// How a file comes to a device.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Sections(Tier),
    Processor,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Sections(_) => "sections",
            Self::Processor => "processor",
        }
    }

    fn told(self) -> String {
        match self {
            Self::Sections(tier) => format!("sections, {}", tier.name()),
            Self::Processor => "through the processor".into(),
        }
    }
}

/// One opening.
struct Once {
    /// The way that was taken, which may be another than was asked for.
    way: Way,
    seconds: [f64; 4],
    /// Bytes that the device reads of the file, or that are uploaded to it.
    bytes: u64,
    /// Bytes that the system has less to give while the file is open and the engine predicts.
    taken: Option<u64>,
}

fn once(path: &Path, device: Device, way: Way, sample: &Samples) -> Result<Once, Fault> {
    let wrong = |source| Fault::Format { path: path.to_path_buf(), source };
    let before = resident::available();
    let watch = Stopwatch::start();
    let opened = ModelFile::open(path).map_err(wrong)?;
    let open = watch.seconds();
    opened.verify().map_err(wrong)?;
    let verify = watch.seconds();
    let predicted = |ready, way, bytes| {
        let all = watch.seconds();
        let taken = before.zip(resident::available()).map(|(b, now)| b.saturating_sub(now));
        let seconds = [open, verify - open, ready - verify, all - ready];
        Once { way, seconds, bytes, taken }
    };
    let mut out = Vec::new();
    match way {
        Way::Sections(first) => {
            let mut engine = FileEngine::open(&opened, path, 1, device, first)?;
            let ready = watch.seconds();
            engine.load(1, |i, out| sample.read(i, out));
            engine.forward();
            engine.probabilities(&mut out);
            engine.trouble()?;
            let way = engine.tier().map_or(Way::Processor, Way::Sections);
            Ok(predicted(ready, way, opened.payloads().len() as u64))
        }
        Way::Processor => {
            let mut network = file::read(&opened, path)?.network;
            let mut engine = Engine::evaluating(&network, 1, device);
            let ready = watch.seconds();
            engine.load(&network, 1, |i, out| sample.read(i, out));
            engine.forward(&mut network);
            engine.probabilities(&mut out);
            engine.trouble()?;
            Ok(predicted(ready, way, uploaded(&network)))
        }
    }
}

/// Bytes of a network that go to a device through the processor: weights, statistics, bits and ranks.
fn uploaded(network: &Network) -> u64 {
    let masks = network.parameters.iter().filter(|p| p.mask.positions().is_some());
    let words: usize = masks.map(|p| 2 * p.mask.len().div_ceil(32)).sum();
    let buffers: usize = network.buffers.iter().map(|buffer| buffer.values.len()).sum();
    4 * (network.values.len() + buffers + words) as u64
}

/// What one way took.
struct Measured {
    way: Way,
    bytes: u64,
    taken: Option<u64>,
    /// From the path to the first prediction.
    all: Timings,
    phases: [Timings; 4],
}

impl Measured {
    fn value(&self) -> Value {
        let phases: Map<String, Value> = PHASES
            .iter()
            .zip(&self.phases)
            .map(|(name, timings)| (name.to_string(), json!(timings.median())))
            .collect();
        let tier = match self.way {
            Way::Sections(tier) => Some(tier.name()),
            Way::Processor => None,
        };
        json!({
            "way": self.way.name(), "tier": tier, "bytes_to_device": self.bytes,
            "seconds": self.all.median(), "seconds_min": self.all.min(),
            "seconds_max": self.all.max(), "phase_seconds": phases,
            "memory_taken_bytes": self.taken,
        })
    }

    fn row(&self) -> Vec<String> {
        let phases = self.phases.iter().map(|timings| told(timings.median()));
        let mut row = vec![self.way.told(), told(self.all.median())];
        row.extend(phases);
        row.push(Bytes(self.bytes).to_string());
        row
    }
}

/// Each way from the file at `path` to a first prediction on a CUDA device: sections by each tier that it takes, and
/// through the processor. As text, and as a list of values; nothing of a processor.
///
/// # Errors
/// If the file is damaged, or the device fails.
pub(super) fn measure(
    path: &Path,
    device: Device,
    (warm_up, repetitions): (usize, usize),
    machine: &mut Machine,
) -> Result<(String, Value), Fault> {
    if matches!(device, Device::Cpu(_)) {
        return Ok((String::new(), Value::Null));
    }
    let sample = Samples::new(&setting::open_model(path)?.network, 1, 1);
    let tiers = [Tier::Mapped, Tier::Registered, Tier::Staged];
    let mut ways = Vec::new();
    for way in tiers.map(Way::Sections).into_iter().chain([Way::Processor]) {
        // The first is not counted: kernels are loaded with it. It shows what the device can.
        machine.turn()?;
        if once(path, device, way, &sample)?.way == way {
            ways.push(way);
        }
    }
    let mut all = Vec::new();
    for way in ways {
        let mut found = Vec::with_capacity(repetitions);
        for repetition in 0..warm_up + repetitions {
            machine.turn()?;
            let once = once(path, device, way, &sample)?;
            if repetition >= warm_up {
                found.push(once);
            }
        }
        let of = |phase: usize| found.iter().map(|once| once.seconds[phase]).collect::<Vec<_>>();
        let sums = found.iter().map(|once| once.seconds.iter().sum::<f64>());
        all.push(Measured {
            way,
            bytes: found.last().map_or(0, |once| once.bytes),
            taken: found.last().and_then(|once| once.taken),
            all: Timings::from(sums.collect::<Vec<_>>()),
            phases: [0, 1, 2, 3].map(|phase| Timings::from(of(phase))),
        });
    }
    let phases = PHASES.map(|phase| phase.replace('_', " "));
    let header = ["way".into(), "in all".into()].into_iter().chain(phases);
    let mut table = Table::headed(header.chain(["to the device".into()]).collect());
    all.iter().for_each(|measured| table.row(measured.row()));
    Ok((format!("\n{table}"), all.iter().map(Measured::value).collect()))
}
