//! What watches a step: a bar for a person, an early epoch to keep, a checkpoint now and then, and
//! the wish to stop.

use super::super::fault::Fault;
use super::super::watch::{Bar, stopped};
use crate::base::clock::Stopwatch;
use crate::train::{Control, EpochReport, Progress, State, TrainError, Watch};

/// Seconds between two checkpoints: what a killed process loses of a long training.
pub(super) const CHECKPOINT_SECONDS: f64 = 20.0;

/// What is done with the state after an epoch, and the seconds that learning took so far; the flag
/// says that a checkpoint is due.
type Keep<'a> = &'a mut dyn FnMut(&State, f64, bool) -> Result<(), Fault>;

/// Watches a step.
pub(super) struct Looker<'a> {
    /// Shown where one step runs at a time.
    pub bar: Option<Bar>,
    /// Called after each epoch.
    pub keep: Option<Keep<'a>>,
    /// The epoch after which nothing more is needed.
    pub until: Option<usize>,
    /// Seconds of learning, of a run before this one too.
    pub seconds: f64,
    /// Since the last checkpoint.
    pub since: Stopwatch,
    /// Seconds from one to the next.
    pub every: f64,
}

impl<'a> Looker<'a> {
    /// Looks at a step called `what`, whose bar is shown if `bar` says so.
    pub(super) fn new(what: &str, bar: bool) -> Self {
        Self {
            bar: bar.then(|| Bar::new(what, None)),
            keep: None,
            until: None,
            seconds: 0.0,
            since: Stopwatch::start(),
            every: CHECKPOINT_SECONDS,
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.iter().for_each(Bar::finish);
    }
}

impl Watch for Looker<'_> {
    fn batch(&mut self, progress: Progress) -> Control {
        match &mut self.bar {
            Some(bar) => bar.batch(progress),
            None if stopped() => Control::Stop,
            None => Control::Continue,
        }
    }

    fn epoch(&mut self, state: &State, report: &EpochReport) -> Result<Control, TrainError> {
        self.seconds += report.seconds;
        let due = self.since.seconds() >= self.every || stopped();
        if let Some(keep) = &mut self.keep {
            let kept = keep(state, self.seconds, due);
            kept.map_err(|fault| TrainError::Watch(fault.to_string().into()))?;
        }
        if due {
            self.since = Stopwatch::start();
        }
        let enough = self.until.is_some_and(|until| state.epoch >= until);
        Ok(if enough || stopped() { Control::Stop } else { Control::Continue })
    }
}
