//! What a command may take of the machine under it, and what it took.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::fault::Fault;
use super::setting::plain;
use super::watch::stopped;
use crate::base::units::{Bytes, Seconds};
use crate::board::{
    Budget, Counter, Detected, Governor, Observer, Pauses, Seen, Sensors, SysRoot, Taken, Verdict,
    chosen, detect, detect_as,
};
use crate::erase::{Gauge, Gauged};
use crate::train::Control;

/// Which machine this is.
#[derive(clap::Args, Debug, Clone)]
#[command(next_help_heading = "The machine")]
pub(super) struct MachineArgs {
    /// Take this profile of a board instead of the one that is detected: a slug, or a file
    #[arg(long, value_name = "SLUG|FILE")]
    pub board: Option<String>,
    /// Look at a folder with the `proc`, `sys`, `etc` and `var` of a machine instead of this one
    #[arg(long, value_name = "DIR")]
    pub sysroot: Option<PathBuf>,
}

impl MachineArgs {
    /// The root, and which board it is of.
    ///
    /// # Errors
    /// If the root is no folder, or there is no such board.
    pub(super) fn look(&self) -> Result<(SysRoot, Detected), Fault> {
        let root = match &self.sysroot {
            Some(folder) if !folder.is_dir() => {
                return Err(Fault::Usage(format!(
                    "--sysroot {} is not a folder; it names one that holds the `proc`, `sys` and `etc` of a machine, as boards/capture.sh makes it",
                    folder.display()
                )));
            }
            Some(folder) => SysRoot::folder(folder),
            None => SysRoot::machine(),
        };
        let detected = match &self.board {
            Some(board) => detect_as(&root, chosen(board)?),
            None => detect(&root),
        };
        Ok((root, detected))
    }
}

/// What a command may take of the machine.
#[derive(clap::Args, Debug, Clone)]
#[command(next_help_heading = "The machine")]
pub(super) struct BudgetArgs {
    /// Pause between batches while the hottest sensor shows CELSIUS or more, until it shows 5 less
    /// [default: the board's own]
    #[arg(long, value_name = "CELSIUS")]
    max_celsius: Option<f64>,
    /// Work for this share of the time at most, 0.01 to 1, and pause between batches for the rest
    #[arg(long, value_name = "SHARE")]
    duty: Option<f64>,
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// How much energy a command may take.
#[derive(clap::Args, Debug, Clone, Copy)]
#[command(next_help_heading = "The machine")]
pub(super) struct EnergyArgs {
    /// Energy that it may take, idling included, by the machine's own sensor
    #[arg(long, value_name = "JOULES")]
    pub max_joules: Option<f64>,
}

impl BudgetArgs {
    /// Begins to watch the machine, within `joules` if that is given.
    ///
    /// # Errors
    /// If a limit makes no sense, or no sensor can hold it.
    pub(super) fn watch(&self, joules: Option<f64>) -> Result<Machine, Fault> {
        let (root, board) = self.machine.look()?;
        let sensors = Sensors::find(&root, &board.profile);
        let now = sensors.sample();
        // The board's own limit holds where there is a sensor for it; one that was asked for must.
        let own = board.profile.limits.celsius.filter(|_| now.hottest().is_some());
        let celsius = self.max_celsius.or(own);
        let budget = Budget { celsius, duty: self.duty, joules };
        let governor = Governor::start(Box::new(sensors), budget)?;
        Ok(Machine {
            slug: board.profile.slug,
            memory: board.profile.limits.memory,
            mode: now.mode,
            governor,
        })
    }

    /// These limits as the words of a command.
    pub(super) fn words(&self) -> Vec<String> {
        let number =
            |name: &str, value: Option<f64>| value.map(|value| format!("--{name}={value}"));
        let board = self.machine.board.as_ref().map(|board| format!("--board={board}"));
        let root =
            self.machine.sysroot.as_ref().map(|root| format!("--sysroot={}", root.display()));
        [number("max-celsius", self.max_celsius), number("duty", self.duty), board, root]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Whether a limit was given.
    pub(super) fn limits(&self) -> bool {
        self.max_celsius.is_some() || self.duty.is_some()
    }
}

/// The machine while a command runs.
pub(super) struct Machine {
    slug: String,
    memory: Option<u64>,
    mode: Option<String>,
    governor: Governor,
}

impl Machine {
    /// The memory that was asked for, or else what the board lets a run have.
    pub(super) fn memory(&self, asked: Option<Bytes>) -> Option<Bytes> {
        asked.or(self.memory.map(Bytes))
    }

    /// The board.
    pub(super) fn slug(&self) -> &str {
        &self.slug
    }

    /// What a home measures energy by.
    pub(super) fn gauge(&self) -> Gauge {
        let observer: Arc<Observer> = self.governor.observer();
        Box::new(move || {
            let seen = observer.seen();
            let (joules, covers) = seen.joules.zip(seen.energy_covers)?;
            Some(Gauged { joules, seconds: seen.seconds, covers })
        })
    }

    /// Between two batches: pauses as long as it must. `wanted` says whether somebody else waits.
    pub(super) fn between(&mut self, wanted: &mut dyn FnMut() -> bool) -> (Control, Verdict) {
        let verdict = self.governor.between(wanted, &mut stopped);
        let control = match verdict {
            Verdict::Go if !stopped() => Control::Continue,
            _ => Control::Stop,
        };
        (control, verdict)
    }

    /// As [`Machine::between`], for what makes nothing that could be gone on with.
    ///
    /// # Errors
    /// If somebody stopped it.
    pub(super) fn turn(&mut self) -> Result<(), Fault> {
        match self.between(&mut || false) {
            (Control::Continue, _) => Ok(()),
            (Control::Stop, _) => Err(Fault::Interrupted("stopped: nothing was measured".into())),
        }
    }

    /// Adds to what was measured what that took of the machine, and whether it is void, as the machine held
    /// itself back meanwhile. Gives the same as text.
    pub(super) fn seal(&self, measured: &mut Value) -> String {
        let taken = self.governor.taken();
        let (mut told, void) = (told(&taken), !taken.seen.free());
        if let Value::Object(all) = measured {
            all.insert("void".into(), void.into());
            all.insert("machine".into(), self.value(&taken));
        }
        if void {
            told +=
                "VOID: the machine throttled meanwhile; let it cool, or take another power mode\n";
        }
        told
    }

    /// What was taken, as a line and as JSON.
    pub(super) fn taken(&self) -> (String, Value) {
        let taken = self.governor.taken();
        (told(&taken), self.value(&taken))
    }

    fn value(&self, taken: &Taken) -> Value {
        let mut value = json!({ "board": self.slug, "power_mode": self.mode });
        if let (Value::Object(all), Value::Object(more)) = (&mut value, plain(taken)) {
            all.extend(more);
        }
        value
    }
}

fn told(taken: &Taken) -> String {
    let Taken { seen, paused_seconds: Pauses { heat, duty, giving_way } } = taken;
    let mut parts = vec![energy(seen)];
    parts.extend(seen.hottest_celsius.map(|hottest| format!("{hottest:.1} °C at the hottest")));
    let pauses =
        [(heat, "to cool down"), (duty, "to keep to its share"), (giving_way, "for predictions")];
    for (seconds, why) in pauses.into_iter().filter(|(seconds, _)| **seconds > 0.0) {
        parts.push(format!("paused {} {why}", Seconds(*seconds)));
    }
    let throttled = |Counter { name, count }: &Counter| format!("{name} +{count}");
    let held = seen.held_back.iter().map(|name| format!("{name} held back"));
    let throttled: Vec<String> = seen.throttled.iter().map(throttled).chain(held).collect();
    if !throttled.is_empty() {
        parts.push(format!("THROTTLED: {}", throttled.join(", ")));
    }
    format!("{}\n", parts.join("; "))
}

/// Energy in words.
fn energy(seen: &Seen) -> String {
    match (seen.joules, &seen.energy_covers) {
        (Some(joules), Some(covers)) => {
            format!("energy of the {covers}: {joules:.1} J, idling included")
        }
        _ => "energy: not measured".into(),
    }
}

/// Why a run was ended, if it was by a limit.
pub(super) fn ended(verdict: Verdict, limit: Option<f64>) -> Option<String> {
    let limit = limit.unwrap_or_default();
    match verdict {
        Verdict::Go => None,
        Verdict::Spent { joules } => {
            Some(format!("{joules:.1} J were taken, and --max-joules allows {limit}"))
        }
        Verdict::Blind => Some(
            "the sensor of power stopped answering, and nothing else can hold --max-joules".into(),
        ),
    }
}
