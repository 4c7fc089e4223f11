//! Progress for a person who looks, and a clean end for one who interrupts.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use super::fault::Fault;
use super::machine::Machine;
use super::setting::Written;
use crate::board::Verdict;
use crate::format::{ClassesAndFeatures, Dtype, Facts};
use crate::model::Network;
use crate::train::{Control, EpochReport, Progress, State, TrainError, Watch};

static STOP: AtomicBool = AtomicBool::new(false);

/// Turns the first interrupt into a request to stop; the second ends the process at once.
pub(super) fn listen() -> Result<(), Fault> {
    let answer = || {
        if STOP.swap(true, Ordering::SeqCst) {
            // Whoever asks twice does not want to wait; files are replaced whole or not at all.
            #[allow(clippy::exit)]
            std::process::exit(130);
        }
        super::setting::complain(
            "\nunlearn: stopping after this batch (once more to stop at once)",
        );
    };
    ctrlc::set_handler(answer)
        .map_err(|error| Fault::Usage(format!("cannot listen to interrupts: {error}")))
}

/// Whether somebody asked to stop.
pub(super) fn stopped() -> bool {
    STOP.load(Ordering::SeqCst)
}

/// Where the last whole state of a run is kept.
pub(super) struct Checkpoint {
    pub path: PathBuf,
    pub meaning: ClassesAndFeatures,
    pub facts: Facts,
    /// After which epoch the weights are kept for rewinding, and where.
    pub rewind: Option<(usize, PathBuf)>,
}

impl Checkpoint {
    /// Keeps the state, and before it the weights for rewinding if this is their epoch: whoever
    /// resumes from the state never passes that epoch again.
    fn keep(&self, state: &State) -> Result<(), Fault> {
        let facts = self.facts.clone().with("epoch", state.epoch.to_string());
        let mut written = Written {
            network: &state.network,
            meaning: &self.meaning,
            facts: &facts,
            dtype: Dtype::F32,
            momentum: None,
            anchor: None,
        };
        if let Some((_, path)) = self.rewind.as_ref().filter(|(epoch, _)| *epoch == state.epoch) {
            written.save(path)?;
        }
        written.momentum = Some(&state.momentum);
        written.save(&self.path)?;
        Ok(())
    }
}

/// Shows a bar on a terminal, keeps checkpoints, and stops when asked.
pub(super) struct Bar {
    bar: ProgressBar,
    checkpoint: Option<Checkpoint>,
    machine: Option<Machine>,
    ended: Verdict,
}

impl Bar {
    pub(super) fn new(what: &str, checkpoint: Option<Checkpoint>) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(0)
        } else {
            ProgressBar::hidden()
        };
        let style = "{prefix:>12} {bar:30.cyan/dim} {pos}/{len} {msg} {elapsed} (eta {eta})";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_prefix(what.to_string());
        Self { bar, checkpoint, machine: None, ended: Verdict::Go }
    }

    /// Keeps to the limits of a machine.
    pub(super) fn on(self, machine: Machine) -> Self {
        Self { machine: Some(machine), ..self }
    }

    /// What was taken of the machine, and whether a limit ended the run.
    pub(super) fn machine(&self) -> Option<(&Machine, Verdict)> {
        self.machine.as_ref().map(|machine| (machine, self.ended))
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Watch for Bar {
    fn batch(&mut self, progress: Progress) -> Control {
        self.bar.set_length((progress.epochs * progress.of) as u64);
        self.bar.set_position((progress.epoch * progress.of + progress.samples) as u64);
        self.bar.set_message(format!(
            "epoch {}/{} loss {:.3}",
            progress.epoch + 1,
            progress.epochs,
            progress.loss
        ));
        let Some(machine) = &mut self.machine else {
            return if stopped() { Control::Stop } else { Control::Continue };
        };
        let (control, verdict) = machine.between(&mut || false);
        self.ended = verdict;
        control
    }

    fn epoch(&mut self, state: &State, _: &EpochReport) -> Result<Control, TrainError> {
        if let Some(checkpoint) = &self.checkpoint {
            checkpoint.keep(state).map_err(|fault| TrainError::Watch(fault.to_string().into()))?;
        }
        Ok(if stopped() { Control::Stop } else { Control::Continue })
    }
}

/// A bar that also keeps the network of an early epoch.
pub(super) struct Early<'a> {
    pub bar: &'a mut Bar,
    pub at: usize,
    pub kept: Option<Network>,
}

impl Watch for Early<'_> {
    fn batch(&mut self, progress: Progress) -> Control {
        self.bar.batch(progress)
    }

    fn epoch(&mut self, state: &State, report: &EpochReport) -> Result<Control, TrainError> {
        if state.epoch == self.at {
            self.kept = Some(state.network.clone());
        }
        self.bar.epoch(state, report)
    }
}
