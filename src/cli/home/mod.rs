//! A device's home: the commands that need one, here or through the socket of who has it.

mod adapt;
mod call;
mod cancel;
mod confine;
mod erase;
mod frames;
mod gc;
mod ingest;
mod init;
mod oracle;
mod predict;
mod resume;
mod serve;
mod socket;
mod status;
mod tell;
mod turn;
mod witness;
mod worker;

use std::path::{Path, PathBuf};

use serde_json::Value;

pub(super) use call::Call;

use super::device::Chosen;
use super::fault::Fault;
use super::machine::{BudgetArgs, Machine};
use super::setting::Out;
use super::watch;
use crate::base::disk::{Disk, FileDisk, Lock};
use crate::base::scrub;
use crate::erase::{Home, HomeError, Onlooker, keys_of, lock_path};
use crate::train::{Control, Progress};
use crate::vault::KeyStore;

pub(super) use adapt::Args as AdaptArgs;
pub(super) use cancel::Args as CancelArgs;
pub(super) use erase::Args as EraseArgs;
pub(super) use gc::Args as GcArgs;
pub(super) use ingest::Args as IngestArgs;
pub(super) use init::Args as InitArgs;
pub(super) use predict::Args as PredictArgs;
pub(super) use resume::Args as ResumeArgs;
pub(super) use serve::Args as ServeArgs;
pub(super) use status::Args as StatusArgs;
pub(super) use witness::Args as WitnessArgs;
pub(super) use worker::Args as WorkerArgs;

pub(super) use adapt::run as adapt;
pub(super) use cancel::run as cancel;
pub(super) use erase::run as erase;
pub(super) use gc::run as gc;
pub(super) use ingest::run as ingest;
pub(super) use init::run as init;
pub(super) use predict::run as predict;
pub(super) use resume::run as resume;
pub(super) use serve::run as serve;
pub(super) use status::run as status;
pub(super) use witness::run as witness;
pub(super) use worker::run as worker;

/// Which home.
#[derive(clap::Args, Debug, Clone)]
pub(super) struct Where {
    /// The home's folder
    #[arg(long, value_name = "DIR")]
    pub home: PathBuf,
}

/// A home that this process has, with its lock.
pub(super) struct Held {
    pub home: Home,
    /// Held as long as the home is open.
    pub lock: Lock,
}

impl Held {
    /// Opens the home in `folder`, if nobody else has it.
    pub(super) fn open(folder: &Path) -> Result<Option<Self>, Fault> {
        Self::open_by(folder, Home::open)
    }

    /// As [`Held::open`], by a way of opening.
    pub(super) fn open_by(
        folder: &Path,
        open: impl FnOnce(Box<dyn Disk + Send>, &Path, Box<dyn KeyStore>) -> Result<Home, HomeError>,
    ) -> Result<Option<Self>, Fault> {
        guard()?;
        if !folder.join("keyring").exists() {
            return Err(HomeError::NoHome { path: folder.to_path_buf() }.into());
        }
        let Some(lock) = Lock::take(&lock_path(folder))? else { return Ok(None) };
        let home = open(Box::new(FileDisk), folder, keys_of(&FileDisk, folder)?)?;
        Ok(Some(Self { home, lock }))
    }
}

/// What every process that meets people's data does first: freed memory is overwritten, no core is
/// dumped, and no socket but a Unix one can be made.
pub(super) fn guard() -> Result<(), Fault> {
    scrub::begin();
    confine::confine()
}

/// Asks the home: here if nobody else has it, else through the socket of who does.
pub(super) fn ask(folder: &Path, call: Call, out: &Out) -> Result<Value, Fault> {
    ask_within(folder, call, None, None, out)
}

/// As [`ask`], within limits of the machine, and on a device of it.
pub(super) fn ask_within(
    folder: &Path,
    call: Call,
    budget: Option<&BudgetArgs>,
    device: Option<Chosen>,
    out: &Out,
) -> Result<Value, Fault> {
    match Held::open(folder)? {
        Some(mut held) => {
            if let Some(chosen) = device {
                held.home.compute_on(chosen.device);
            }
            let machine = budget.map(|budget| budget.watch(None)).transpose()?;
            let call = match &machine {
                Some(machine) => {
                    held.home.set_gauge(machine.gauge());
                    call.on(machine)?
                }
                None => call,
            };
            let mut shown = Shown::new(machine);
            if call.finishes_first() && !matches!(call, Call::Resume) {
                finish(&mut held.home, &mut shown, out)?;
            }
            let answer = call::perform(&mut held.home, call, &mut shown);
            shown.finish();
            let mut answer = answer?;
            shown.tell(&mut answer);
            Ok(answer)
        }
        None if budget.is_some_and(BudgetArgs::limits) => Err(Fault::Usage(
            "another process has this home, and keeps to limits of its own: give --max-celsius and --duty to `unlearn serve`".into(),
        )),
        None => {
            device.map_or(Ok(()), Chosen::elsewhere)?;
            socket::ask(folder, &call)
        }
    }
}

/// Finishes what an earlier process began.
fn finish(home: &mut Home, shown: &mut Shown, out: &Out) -> Result<(), Fault> {
    let stopped = home.job().is_some_and(|job| job.stopped.is_some());
    if stopped || home.state().pending.is_some() {
        out.say("finishing what was begun before");
        call::perform(home, Call::Resume, shown)?;
    }
    Ok(())
}

/// A bar for a person who looks, and an ear for one who interrupts.
pub(super) struct Shown {
    bar: watch::Bar,
}

impl Shown {
    pub(super) fn new(machine: Option<Machine>) -> Self {
        let bar = watch::Bar::new("learn", None);
        Self { bar: machine.into_iter().fold(bar, watch::Bar::on) }
    }

    /// Adds to an answer what was taken of the machine.
    fn tell(&self, answer: &mut Value) {
        if let (Some((machine, _)), Value::Object(all)) = (self.bar.machine(), answer) {
            all.insert("machine".into(), machine.taken().1);
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish();
    }
}

impl Onlooker for Shown {
    fn batch(&mut self, _: usize, _: usize, progress: Progress) -> Control {
        crate::train::Watch::batch(&mut self.bar, progress)
    }
}
