//! `unlearn bench step`: one step of l1-sparse unlearning.

use serde_json::{Map, Value, json};

use super::super::fault::Fault;
use super::super::learn;
use super::super::machine::Machine;
use super::super::memory;
use super::super::setting::{Common, Out};
use super::super::table::Table;
use super::subject::{Samples, Subject, SubjectArgs};
use super::timings::{Timings, told};
use super::{Effort, resident, some};
use crate::base::units::Bytes;
use crate::model::{CardBytes, Device, Engine, Network};
use crate::train::memory::{PROGRAM, planned};
use crate::train::{Compute, Recipe, State, Stepper, Trained};
use crate::unlearn::L1Sparse;

/// What is timed, for results: the method's defaults are the paper's.
const METHOD: &str = "l1-sparse: cross-entropy + l1 subgradient over all weights, SGD, momentum 0.9, weight decay 5e-4; training batch norm";

/// Measure a step of l1-sparse unlearning: samples in, forward, backward, update.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn bench step --model resnet18 --batch 64 --sparsity 0.95 --threads 2 --json\nExample: unlearn bench step --model resnet18 --batch 64 --allocation sparse.esm\n\nThe step is that of `unlearn forget --method l1-sparse`, on samples that nobody took. peak_bytes is what the step needs at its fullest, as planned; on Linux the measured peak is told beside it."
)]
pub(super) struct Args {
    #[command(flatten)]
    subject: SubjectArgs,
    /// Samples in a step
    #[arg(long, value_name = "N", default_value_t = 64)]
    batch: usize,
    /// Samples that go through the network at once [default: the batch]
    #[arg(long, value_name = "N")]
    micro_batch: Option<usize>,
    /// Compute what batch norms give again in the backward pass, to take less memory
    #[arg(long)]
    recompute: bool,
    /// Layers that learn: head, last=K or all
    #[arg(long, value_name = "head|last=K|all", value_parser = Trained::parse, default_value_t = Trained::All)]
    train: Trained,
    /// Steps that are timed
    #[arg(long, value_name = "N", default_value_t = 11)]
    repetitions: usize,
    /// The most memory that the step may take [default: what the board lets a run have]
    #[arg(long, value_name = "SIZE", value_parser = Bytes::parse)]
    memory: Option<Bytes>,
    #[command(flatten)]
    effort: Effort,
    #[command(flatten)]
    pub common: Common,
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let mut machine = args.effort.budget.watch(None)?;
    let before = resident::now();
    let batch = some("--batch", args.batch, 65_536)?;
    let repetitions = some("--repetitions", args.repetitions, 1_000_000)?;
    let micro_batch = args.micro_batch.map(|n| some("--micro-batch", n, batch)).transpose()?;
    let Subject { network, allocation, notes } = args.subject.open()?;
    let samples = Samples::new(&network, batch, args.subject.seed);
    args.train.fits(&network.description)?;
    let of_method = L1Sparse::default().recipe(args.subject.seed);
    let recipe = Recipe { batch, trained: args.train, ..of_method };
    let (device, fallen) = args.effort.device.device.open(&network)?;
    let notes = notes.into_iter().chain(fallen).collect();
    let compute = Compute { device, micro_batch, recompute: args.recompute };
    within(args, &machine, &network, &recipe, (compute, samples.bytes()))?;
    let mut state = State::new(network);
    let mut stepper = Stepper::new(&state.network, batch, &recipe, None, compute);
    let mut bytes = stepper.bytes(&state.network);
    // An epoch is what is undone; here is none.
    bytes.undo = 0;
    let on_card = card_bytes(&state.network, batch, &recipe, compute)?;
    stepper.begin(&state.network, &state.momentum);
    let mut before_it = None;
    let timings = Timings::of(
        args.effort.warm_up,
        repetitions,
        || machine.turn(),
        || {
            let State { network, momentum, .. } = &mut state;
            let loss = stepper.learn(network, &samples.labels, |i, out| samples.read(i, out));
            stepper.update(network, momentum, recipe.rate, recipe.l1.gamma(0, recipe.epochs));
            // As in training: a device is asked for the loss of a step while it computes the next.
            if let Some(loss) = before_it.replace(loss) {
                stepper.loss(network, loss);
            }
            Ok(stepper.trouble()?)
        },
    )?;
    stepper.end(&mut state.network, &mut state.momentum);
    stepper.trouble()?;
    let above = resident::peak().zip(before).map(|(peak, before)| peak.saturating_sub(before));
    let mut kinds = memory::run_kinds(&bytes).to_vec();
    kinds.push(("samples", samples.bytes()));
    let network = state.network;
    let measured = Measured { network, allocation, notes, compute, timings, kinds, above, on_card };
    let mut value = measured.value(args);
    let took = machine.seal(&mut value);
    out.result(&(measured.text(args) + &took), &value)
}

/// What a step takes of a CUDA device's memory.
fn card_bytes(
    network: &Network,
    batch: usize,
    recipe: &Recipe,
    compute: Compute,
) -> Result<Option<CardBytes>, Fault> {
    match compute.device {
        Device::Cpu(_) => Ok(None),
        Device::Cuda { .. } => {
            let plan = compute.plan(network, batch, recipe);
            Ok(Some(Engine::card_bytes(network, &plan, compute.device)?))
        }
    }
}

/// Refuses a step that takes more memory than it may, with the numbers, before it takes it.
fn within(
    args: &Args,
    machine: &Machine,
    network: &Network,
    recipe: &Recipe,
    (compute, samples): (Compute, u64),
) -> Result<(), Fault> {
    let Some(limit) = machine.memory(args.memory) else { return Ok(()) };
    let mut run = planned(network, args.batch, recipe, compute);
    run.undo = 0;
    let mut kinds = memory::run_kinds(&run).to_vec();
    kinds.extend([("samples", samples), ("program", PROGRAM)]);
    let whole = kinds.iter().map(|(_, bytes)| bytes).sum();
    if whole <= limit.0 {
        return Ok(());
    }
    let whose = match args.memory {
        Some(_) => format!("--memory allows {limit}"),
        None => format!("{} lets a run have {limit} without --memory", machine.slug()),
    };
    let kinds = kinds.iter().filter(|(_, bytes)| *bytes > 0);
    let kinds: Vec<String> =
        kinds.map(|(kind, bytes)| format!("{kind} {}", Bytes(*bytes))).collect();
    Err(Fault::Usage(format!(
        "a step takes {} ({}), and {whose}: give --micro-batch, --recompute, a smaller --batch or a higher --sparsity",
        Bytes(whole),
        kinds.join(", ")
    )))
}

/// What was measured.
struct Measured {
    network: Network,
    allocation: String,
    notes: Vec<String>,
    compute: Compute,
    timings: Timings,
    /// Planned bytes by kind.
    kinds: Vec<(&'static str, u64)>,
    /// Bytes in use at the fullest moment, above those before the network was made.
    above: Option<u64>,
    /// Bytes of a CUDA device's memory.
    on_card: Option<CardBytes>,
}

impl Measured {
    fn peak(&self) -> u64 {
        self.kinds.iter().map(|(_, bytes)| bytes).sum()
    }

    fn text(&self, args: &Args) -> String {
        let Self { network, allocation, notes, compute, timings, kinds, above, on_card } = self;
        let mut table = Table::new(["memory of a step", "bytes", ""]);
        let peak = ("in all", self.peak());
        for (kind, bytes) in kinds.iter().filter(|(_, bytes)| *bytes > 0).chain([&peak]) {
            table.row(vec![kind.to_string(), bytes.to_string(), Bytes(*bytes).to_string()]);
        }
        let above = above.map_or(String::new(), |above| {
            format!("measured {} above what was in use before\n", Bytes(above))
        });
        let on_card = on_card.map_or(String::new(), |bytes| {
            let CardBytes { activations, weights, gradient, state, scratch } = bytes;
            let [activations, weights, gradient, state, scratch] =
                [activations, weights, gradient, state, scratch].map(Bytes);
            format!(
                "of the device's memory {}: activations {activations}, weights and masks {weights}, gradient {gradient}, momentum {state}, scratch {scratch}\n",
                Bytes(bytes.total())
            )
        });
        let [macs, all] = network.macs();
        format!(
            "{}, batch {}, {:.2} % of the prunable weights gone ({allocation}), {} threads, {}{}{}\n\
             step {} (median of {}; {} to {}), {:.1} samples/s\n\
             {macs} of {all} MACs a sample ({:.2} %)\n\n{table}{above}{on_card}{}",
            network.description.name,
            args.batch,
            100.0 * network.sparsity(),
            rayon::current_num_threads(),
            learn::plan(*compute),
            if compute.recompute { ", activations computed again" } else { "" },
            if args.train.is_all() { String::new() } else { format!(", learns {}", args.train) },
            told(timings.median()),
            timings.count(),
            told(timings.min()),
            told(timings.max()),
            args.batch as f64 / timings.median(),
            100.0 * macs as f64 / all.max(1) as f64,
            super::super::evaluate::notes(notes),
        )
    }

    fn value(&self, args: &Args) -> Value {
        let Self { network, allocation, notes, compute, timings, kinds, above, on_card } = self;
        let [macs, macs_dense] = network.macs();
        let kinds: Map<String, Value> =
            kinds.iter().map(|(kind, bytes)| (kind.to_string(), json!(bytes))).collect();
        json!({
            "command": "bench step", "model": network.description.name, "device": args.effort.device.device.to_string(),
            "threads": rayon::current_num_threads(), "batch": args.batch,
            "micro_batch": compute.micro_batch, "recompute": compute.recompute,
            "train": args.train.to_string(), "sparsity_percent": 100.0 * network.sparsity(),
            "sparsity_of": "prunable weights", "allocation": allocation, "method": METHOD,
            "plan": learn::plan(*compute), "instruction_set": compute.device.isa().name(),
            "warm_up": args.effort.warm_up, "repetitions": timings.count(),
            "step_seconds": timings.median(), "step_seconds_min": timings.min(),
            "step_seconds_max": timings.max(), "peak_bytes": self.peak(), "memory": kinds,
            "measured_peak_bytes": above, "device_bytes": on_card, "weights": network.values.len(), "macs": macs,
            "macs_dense": macs_dense, "notes": notes,
        })
    }
}
