//! What the threads of a server share behind their lock, and what is done with it.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::super::super::device;
use super::super::super::fault::Fault;
use super::super::super::kernels;
use super::super::super::setting::complain;
use super::super::call;
use super::super::oracle::Oracle;
use crate::base::clock;
use crate::erase::{Adapted, Erased, Home, HomeError, Limits, Next, Overrun, Served, Work};
use crate::model::Device;
use crate::sparse::Isa;
use crate::train::TrainError;

pub(super) struct Inner {
    pub(super) home: Home,
    pub(super) oracle: Option<(Served, Oracle, String)>,
    pub(super) worker: Option<Child>,
    pub(super) adapted: Option<Result<Adapted, String>>,
    pub(super) erased: Vec<Erased>,
    pub(super) trouble: Option<String>,
    pub(super) connections: usize,
    pub(super) ending: bool,
}

/// What the caretaker does next.
pub(super) enum Chore {
    Nothing,
    Step,
    Work(Work),
}

/// What a worker said before it ended.
pub(super) fn heard(mut worker: Child) -> String {
    let mut said = String::new();
    if let Some(from) = worker.stderr.take() {
        let _ = from.take(4096).read_to_string(&mut said);
    }
    let _ = worker.wait();
    said.trim().to_string()
}

impl Inner {
    pub(super) fn busy(&self) -> bool {
        let open = self.home.job().is_some_and(|job| job.stopped.is_some());
        self.trouble.is_none()
            && (open || self.worker.is_some() || self.home.state().pending.is_some())
    }

    pub(super) fn chore(&self) -> Chore {
        if self.trouble.is_some() {
            return Chore::Nothing;
        }
        let pending = || self.home.state().pending.clone();
        match self.home.job() {
            // What was only noted waits.
            Some(job) if job.stopped.is_none() => Chore::Nothing,
            Some(job) if job.next() == Next::Unlearn => pending().map_or(Chore::Step, Chore::Work),
            Some(_) => Chore::Step,
            None => pending().filter(|work| work.adapts).map_or(Chore::Nothing, Chore::Work),
        }
    }

    pub(super) fn step(&mut self) {
        let Some(job) = self.home.job() else { return };
        match self.home.step(&job, Limits::default(), &mut ()) {
            Ok(Some(erased)) => {
                self.oracle = None;
                self.erased.push(erased);
            }
            Ok(None) => {}
            Err(HomeError::Train(TrainError::Device(error)))
                if self.without_device(&error.to_string()) => {}
            // It is noted; the next request or start tries again.
            Err(error) => self.trouble = Some(error.to_string()),
        }
    }

    pub(super) fn start_worker(&mut self, folder: &Path, limits: &[String]) -> Result<(), Fault> {
        self.home.close_store()?;
        let failed =
            |error: std::io::Error| Fault::Socket(format!("a worker cannot be started: {error}"));
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command.arg("worker").arg("--home").arg(folder).args(limits);
        let on = self.home.device();
        command.args(device::words(on));
        command.env_clear().envs(kernels::inherited()).envs(device::inherited(on));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        self.worker = Some(command.spawn().map_err(failed)?);
        Ok(())
    }

    /// Lets the processor learn from here on, where a device was to, and says why. Whether there was one.
    ///
    /// An erasure is not to wait for a device, nor to end with a weaker guarantee because one failed.
    pub(super) fn without_device(&mut self, why: &str) -> bool {
        let Device::Cuda { .. } = self.home.device() else { return false };
        let failed = device::short(self.home.device());
        complain(&format!("unlearn: {failed} failed; the processor learns from here on: {why}"));
        self.home.compute_on(Isa::best().into());
        true
    }

    /// Whether what is under way has passed one of its limits.
    pub(super) fn overrun(&self) -> Option<Overrun> {
        let deadline = self.home.job().and_then(|job| job.deadline());
        let late = deadline.is_some_and(|deadline| clock::now() > deadline);
        late.then_some(Overrun::Deadline).or_else(|| self.home.energy_spent())
    }

    /// Notes that `work` ends because of a limit.
    pub(super) fn end_work(&mut self, work: &Work, over: Overrun) {
        if work.adapts {
            return self.failed(work, over.to_string());
        }
        let noted = self.home.open_store();
        let noted = noted.and_then(|()| self.home.note_learnt(Err(HomeError::Overrun(over))));
        self.trouble = noted.err().map(|error| error.to_string());
    }

    /// Ends a worker that is not wanted any more.
    pub(super) fn dismiss(&mut self) {
        if let Some(mut worker) = self.worker.take() {
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }

    pub(super) fn take_in(&mut self, work: &Work, seconds: f64) -> Result<(), HomeError> {
        let done = self.home.done_by_worker(work, seconds)?;
        if work.adapts {
            self.adapted = Some(Ok(self.home.adopt(work, &done)?));
            self.oracle = None;
            return Ok(());
        }
        self.home.note_learnt(Ok(done))
    }

    pub(super) fn failed(&mut self, work: &Work, why: String) {
        let noted = self.home.open_store().and_then(|()| match work.adapts {
            true => {
                self.adapted = Some(Err(why.clone()));
                self.home.give_up_adapting()
            }
            false => self.home.note_failed(why.clone()),
        });
        if let Err(error) = noted {
            self.trouble = Some(format!("{why}; then: {error}"));
        }
    }

    pub(super) fn predict(&mut self, samples: &[call::Line]) -> Result<Value, HomeError> {
        let served = self.home.served();
        let known = self.oracle.as_ref().is_some_and(|(of, ..)| *of == served);
        if !known {
            self.oracle = None;
            let model = self.home.serving()?;
            let oracle = Oracle::new(&model, Isa::best());
            self.oracle = Some((served, oracle, model.id.to_string()));
        }
        let Some((_, oracle, model)) = &mut self.oracle else { return Err(HomeError::Unavailable) };
        Ok(json!({ "model": model, "answers": oracle.answer_all(samples)? }))
    }
}
