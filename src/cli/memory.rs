//! What a run takes in memory: told before it begins, and held to a limit.

use serde_json::{Map, Value, json};

use super::device::{self, Wanted};
use super::fault::Fault;
use super::learn;
use super::machine::Machine;
use super::table::Table;
use crate::base::units::Bytes;
use crate::data::{Dataset, Splits};
use crate::evaluate::svc::CACHE_BYTES;
use crate::model::{Mode, Network, Op, Plan};
use crate::train::memory::{PROGRAM, RunBytes, fit, kept_or_again, network_bytes, planned, ways};
use crate::train::{Compute, Recipe};

/// How much memory a run may take.
#[derive(clap::Args, Debug, Clone, Default)]
#[command(next_help_heading = "Memory")]
pub(super) struct MemoryArgs {
    /// Tell what the run would take in memory, by kind, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The most memory that the program may take. Where a run needs more, what batch norms give is
    /// computed again in the backward pass: a little slower, and the same result. If that does not do,
    /// a batch goes through the network in pieces, of 16 samples or a multiple, whose gradients add up
    /// to the batch's: the same step up to rounding, EXCEPT that batch norm then sees, and keeps, the
    /// statistics of each piece. The plan in file and result tells the piece. What fits in no pieces is
    /// refused
    #[arg(long, value_name = "SIZE", value_parser = Bytes::parse)]
    pub memory: Option<Bytes>,
    /// What to compute on; PRECISION, of the factors of convolutions and linear layers, is f32, tf32 (where
    /// the device has it, unless told), f16 or bf16. Of a CUDA device `unlearn board` tells the number. SHARE
    /// is how much of the work of a dense pass a sparse one may take, as predicted, to be chosen: one number,
    /// or those of forward, input gradient and weight gradient (0: never, inf: always) [default: by device]
    #[arg(long, value_name = device::HELP, default_value_t, value_parser = Wanted::parse, help_heading = "Device")]
    pub device: Wanted,
    /// The board whose own limit `memory` is, where nobody gave one.
    #[arg(skip)]
    pub board: Option<String>,
}

impl MemoryArgs {
    /// These, with the limit of the board where none was given.
    pub(super) fn on(&self, machine: &Machine) -> Self {
        match (self.memory, machine.memory(None)) {
            (None, memory @ Some(_)) => {
                Self { memory, board: Some(machine.slug().into()), ..*self }
            }
            _ => self.clone(),
        }
    }
}

/// The fullest moments of a run, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Peak {
    /// What there is between the first step and the last, by kind.
    pub learning: Vec<(&'static str, u64)>,
    /// Other moments, each as a whole.
    pub others: Vec<(&'static str, u64)>,
}

impl Peak {
    fn phases(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let learning = self.learning.iter().map(|(_, bytes)| bytes).sum();
        std::iter::once(("learning", learning)).chain(self.others.iter().copied())
    }

    /// The fullest of all moments.
    pub(super) fn total(&self) -> u64 {
        self.phases().map(|(_, bytes)| bytes).max().unwrap_or(0)
    }

    fn told(&self) -> String {
        let one = |(phase, bytes)| format!("{phase} {}", Bytes(bytes));
        self.phases().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// The kinds of a run's bytes under the names that results know.
pub(super) fn run_kinds(run: &RunBytes) -> [(&'static str, u64); 6] {
    let RunBytes { activations, indices, weights, gradient, momentum, undo } = *run;
    [
        ("activations", activations),
        ("indices", indices),
        ("weights", weights),
        ("gradient", gradient),
        ("momentum", momentum),
        ("undo", undo),
    ]
}

/// What lies in memory around the steps of a run.
#[derive(Clone, Debug)]
pub(super) struct Around<'a> {
    /// Values, labels, subjects and groups of all sets.
    pub data: u64,
    /// Models that were read and stay open.
    pub models: u64,
    /// Whether a checkpoint is written between epochs, while the engine stands.
    pub checkpoint: bool,
    /// The network that learns.
    pub network: &'a Network,
    /// Answers to samples, and what an attack on them needs.
    pub answers: u64,
    /// Another moment that may be the fullest, and what it takes besides data and models.
    pub before: Option<(&'static str, u64)>,
}

/// Bytes of a set in memory. What lies in a file is read sample by sample.
pub(super) fn set_bytes(set: &Dataset) -> u64 {
    let words = set.labels.len() + set.subjects.len() + set.groups.len();
    set.resident_bytes() + 4 * words as u64
}

/// Bytes of both sets.
pub(super) fn data_bytes(data: &Splits) -> u64 {
    set_bytes(&data.train) + set_bytes(&data.test)
}

/// Bytes of the answers to `samples` samples, and of an attack with `shadow` of them on each side.
pub(super) fn answer_bytes(samples: usize, classes: usize, shadow: usize) -> u64 {
    let rows = (2 * shadow as u64).saturating_pow(2).saturating_mul(4).min(CACHE_BYTES as u64);
    // Probabilities and labels are there twice where a draw is made of them.
    8 * samples as u64 * (classes as u64 + 1) + rows + 200 * shadow as u64
}

impl Around<'_> {
    /// The fullest moments of a run whose steps take `run` in pieces of `piece` samples.
    fn peak(&self, piece: usize, run: &RunBytes) -> Peak {
        let each = 4 * self.network.values.len() as u64;
        // A file is in memory twice while its sections are put together, while it is compared with
        // what was written, and while it is mapped and read; and once or more the allocator keeps
        // what single tensors took. Measured with ResNet-18, dense: 3.3 times.
        let writing = if self.checkpoint { (run.weights + each) * 7 / 2 } else { 0 };
        let outside = self.data + self.models + PROGRAM;
        let mut learning = run_kinds(run).to_vec();
        if writing > run.undo {
            // One is over when the other begins.
            learning.pop();
            learning.push(("checkpoint", writing));
        }
        learning.extend([("models", self.models), ("data", self.data), ("program", PROGRAM)]);
        let measured = Plan::new(self.network, piece, Mode::Evaluate);
        let measuring = measured.arena_bytes() + measured.index_bytes();
        // The network that learnt, the one of the file, and the copy that is measured.
        let networks = 3 * network_bytes(self.network) + run.momentum;
        let mut others = vec![("measuring", outside + measuring + networks + self.answers)];
        others.extend(self.before.map(|(phase, bytes)| (phase, outside + bytes)));
        Peak { learning, others }
    }
}

/// What a run will do, and what it will take.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    pub compute: Compute,
    /// Known where somebody asked.
    pub peak: Option<Peak>,
    /// What whoever reads the result must know.
    pub notes: Vec<String>,
}

impl MemoryArgs {
    /// How a run computes batches of `batch` samples, within the limit if there is one. `fixed` is how
    /// a run computes that goes on from a checkpoint: its pieces stay.
    ///
    /// # Errors
    /// [`Fault::Usage`] with the numbers if nothing fits.
    pub(super) fn settle(
        &self,
        around: &Around<'_>,
        batch: usize,
        recipe: &Recipe,
        fixed: Option<Compute>,
    ) -> Result<Settled, Fault> {
        let network = around.network;
        recipe.trained.fits(&network.description)?;
        let (mut compute, fallen) = match fixed {
            Some(fixed) => (fixed, None),
            None => self.device.learning(network, batch, recipe)?,
        };
        if let Some(limit) = self.memory {
            let peak = |way: Compute, run: &RunBytes| around.peak(way.piece(batch), run).total();
            let fitted = match fixed {
                Some(fixed) => fit(network, batch, recipe, kept_or_again(fixed), limit.0, peak),
                None => fit(network, batch, recipe, ways(batch, compute.device), limit.0, peak),
            };
            compute = fitted.map_err(|last| {
                let last = last.unwrap_or(compute);
                let board = self.board.as_deref();
                too_little(limit, board, last.piece(batch), &around.of(batch, recipe, last))
            })?;
        }
        let asked = self.dry_run || self.memory.is_some();
        let peak = asked.then(|| around.of(batch, recipe, compute));
        let mut notes = notes(network, batch, recipe, compute);
        notes.extend(fallen);
        Ok(Settled { compute, peak, notes })
    }
}

impl Around<'_> {
    fn of(&self, batch: usize, recipe: &Recipe, compute: Compute) -> Peak {
        let run = planned(self.network, batch, recipe, compute);
        self.peak(compute.piece(batch), &run)
    }
}

fn too_little(limit: Bytes, board: Option<&str>, piece: usize, peak: &Peak) -> Fault {
    let whose = match board {
        Some(board) => format!("{limit}, what {board} lets a run have without --memory,"),
        None => format!("--memory {limit}"),
    };
    Fault::Usage(format!(
        "{whose} is too little: in pieces of {piece} samples, and with what batch norms give computed again, this takes {} ({}); give that much, take a smaller or sparser network, or keep the data in a file (--data-memory)",
        Bytes(peak.total()),
        peak.told()
    ))
}

/// What a run does otherwise that has little memory.
fn notes(network: &Network, batch: usize, recipe: &Recipe, compute: Compute) -> Vec<String> {
    let nodes = network.description.nodes.iter().zip(recipe.trained.nodes(&network.description));
    let norm = nodes.into_iter().any(|(n, learns)| learns && matches!(n.op, Op::BatchNorm { .. }));
    let mut notes = Vec::new();
    if let Some(piece) = compute.micro_batch.filter(|_| norm && !recipe.frozen_norm) {
        notes.push(format!(
            "batch norm saw, and keeps, the statistics of pieces of {piece} samples, not of the batch: figures differ from those of a run in whole batches"
        ));
    }
    if compute.recompute {
        let [kept, again] = kept_or_again(compute)
            .map(|way| Bytes(planned(network, batch, recipe, way).activations));
        notes.push(format!(
            "what batch norms give was computed again in the backward pass: activations take {again} instead of {kept}, and steps a little longer; figures are the same"
        ));
    }
    notes
}

impl Settled {
    /// What a dry run says: text for a person, JSON for a script.
    pub(super) fn told(
        &self,
        command: &str,
        of: &str,
        batch: usize,
        limit: Option<Bytes>,
    ) -> (String, Value) {
        let Some(peak) = &self.peak else { return (String::new(), Value::Null) };
        let mut table = Table::new(["while learning", "bytes", ""]);
        let row = |(kind, bytes): &(&str, u64)| {
            vec![kind.replace('_', " "), bytes.to_string(), Bytes(*bytes).to_string()]
        };
        peak.learning.iter().for_each(|kind| table.row(row(kind)));
        let mut phases = Table::new(["moment", "bytes", ""]);
        peak.phases().for_each(|phase| phases.row(row(&phase)));
        let pieces = match self.compute.micro_batch {
            Some(piece) => format!(" in pieces of {piece}"),
            None => String::new(),
        };
        let again = if self.compute.recompute { ", activations computed again" } else { "" };
        let text = format!(
            "{command} {of}, batch {batch}{pieces}{again}: {} at its fullest; nothing was done\n\n{table}\n{phases}{}",
            Bytes(peak.total()),
            super::evaluate::notes(&self.notes)
        );
        let object = |list: Vec<(&str, u64)>| -> Map<String, Value> {
            list.into_iter().map(|(k, v)| (k.to_string(), json!(v))).collect()
        };
        let value = json!({
            "command": command, "dry_run": true, "batch": batch,
            "micro_batch": self.compute.micro_batch, "recompute": self.compute.recompute,
            "plan": learn::plan(self.compute),
            "peak_bytes": peak.total(), "limit_bytes": limit.map(|limit| limit.0),
            "learning": object(peak.learning.clone()), "moments": object(peak.phases().collect()),
            "warnings": self.notes,
        });
        (text, value)
    }
}
