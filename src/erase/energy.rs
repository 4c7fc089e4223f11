//! Energy: what an erasure or an adaptation takes of it, and how much it may take. A home knows no sensor; whoever
//! opened it hands it a gauge.

use super::home::Home;

/// What a gauge shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Gauged {
    /// Joules that the machine took since somebody began to measure.
    pub joules: f64,
    /// Seconds in which it took them, by the clock of whoever reads the sensors.
    pub seconds: f64,
    /// What they are the joules of, such as `module (VDD_IN)`.
    pub covers: String,
}

/// Reads the sensors; `None` where none answered throughout.
pub type Gauge = Box<dyn Fn() -> Option<Gauged> + Send>;

/// What is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Adapting,
    Erasing,
}

/// A home's gauge, a limit, and a mark.
#[derive(Default)]
pub(super) struct Energy {
    gauge: Option<Gauge>,
    limit: Option<f64>,
    /// Where the gauge stood when this process began what is under way.
    mark: Option<(Task, f64)>,
}

impl Energy {
    fn shows(&self) -> Option<Gauged> {
        self.gauge.as_ref().and_then(|gauge| gauge())
    }

    fn now(&self) -> Option<f64> {
        self.shows().map(|shown| shown.joules)
    }

    fn since(&self) -> Option<f64> {
        let (_, mark) = self.mark?;
        Some((self.now()? - mark).max(0.0))
    }

    /// Whether what is under way took more than it may.
    pub(super) fn spent(&self) -> Option<Overrun> {
        let (limit, joules) = (self.limit?, self.since()?);
        (joules > limit).then_some(Overrun::Energy { joules, limit })
    }
}

/// Why a run was ended from outside before its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Overrun {
    /// The deadline of the request passed.
    Deadline,
    /// The energy that it might take is spent.
    Energy {
        /// Joules that it took.
        joules: f64,
        /// Joules that were allowed.
        limit: f64,
    },
}

impl std::fmt::Display for Overrun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Deadline => write!(f, "the deadline passed"),
            Self::Energy { joules, limit } => {
                write!(f, "{joules:.1} J were taken, and {limit} J are allowed")
            }
        }
    }
}

impl Home {
    /// Hands the home a gauge of energy.
    pub fn set_gauge(&mut self, gauge: Gauge) {
        self.energy.gauge = Some(gauge);
    }

    /// Sets how many joules an adaptation or an erasure may take; `None` for no limit. Without a gauge that
    /// answers nothing holds to it: whoever sets a limit makes sure that there is one.
    pub fn limit_energy(&mut self, joules: Option<f64>) {
        self.energy.limit = joules;
    }

    /// What the gauge shows.
    pub(super) fn gauged(&self) -> Option<Gauged> {
        self.energy.shows()
    }

    /// Joules that what is under way may still take.
    pub(super) fn joules_left(&self) -> Option<f64> {
        let spent = self.energy.since().unwrap_or(0.0);
        self.energy.limit.map(|limit| (limit - spent).max(0.0))
    }

    /// Begins to count for `task`, unless it is counted already.
    pub(super) fn gauge(&mut self, task: Task) {
        if self.energy.mark.is_none_or(|(of, _)| of != task) {
            self.energy.mark = self.energy.now().map(|now| (task, now));
        }
    }

    /// Joules that what is under way took since this process began it.
    pub(super) fn joules_taken(&self) -> Option<f64> {
        self.energy.since()
    }

    /// What is measured, such as `module (VDD_IN)`.
    pub(super) fn energy_covers(&self) -> Option<String> {
        self.gauged().map(|shown| shown.covers)
    }

    /// Nothing is under way any more.
    pub(super) fn gauge_ended(&mut self) {
        self.energy.mark = None;
    }

    /// Whether what is under way took more energy than it may.
    pub fn energy_spent(&self) -> Option<Overrun> {
        self.energy.spent()
    }
}
