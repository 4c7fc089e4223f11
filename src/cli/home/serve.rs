//! `unlearn serve`: the process that has a home, answers, and lets a worker learn.
//!
//! One thread listens; each connection has a thread; one caretaker carries out what is open, step by step,
//! and lets a worker process do what takes long. All of them share the home behind one lock, which nobody
//! holds while a worker learns: the model that may answer does.

mod inner;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use inner::{Chore, Inner, heard};

use super::super::device::HomeDeviceArgs;
use super::super::fault::Fault;
use super::super::machine::{BudgetArgs, Machine};
use super::super::setting::{Common, Out, complain};
use super::super::watch;
use super::call::{self, Call, Erasure};
use super::socket::{self, MAX_LINE, Reply};
use super::{Held, Where, turn};
use crate::base::clock::Stopwatch;
use crate::base::scrub;
use crate::erase::{Erased, Home, HomeError, Work};

/// Connections at a time.
const MAX_CONNECTIONS: usize = 64;
/// How often a worker is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Have a home: answer, take samples in, adapt and erase, for whoever asks through its socket.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn serve --home home\n\nThe socket is HOME/socket: a line of JSON there, a line back. Only the owner of the process, and root, are answered. Every other command on the home asks this process as long as it runs. What was under way is finished first. An interrupt ends it; whatever was under way goes on at the next start. Its workers learn on what --device names; where that fails, they learn on the processor from there on, and the server says so."
)]
pub(in super::super) struct Args {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    budget: BudgetArgs,
    #[command(flatten)]
    device: HomeDeviceArgs,
    #[command(flatten)]
    pub common: Common,
}

pub(in super::super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let device = args.device.open()?.device;
    let folder = args.place.home.clone();
    let Some(held) = Held::open(&folder)? else {
        return Err(HomeError::Busy { path: folder }.into());
    };
    let Held { mut home, lock: _lock } = held;
    let machine = args.budget.watch(None)?;
    home.set_gauge(machine.gauge());
    home.compute_on(device);
    home.note_resumed()?;
    let path = socket::path_of(&folder);
    let listener = listen(&path)?;
    let shared = Arc::new(Shared::new(home, folder, machine, args.budget.words()));
    let caretaker = {
        let shared = shared.clone();
        std::thread::spawn(move || shared.take_care())
    };
    let value = json!({ "command": "serve", "socket": path.display().to_string() });
    out.result(&format!("answering at {}\n", path.display()), &value)?;
    while !watch::stopped() {
        match listener.accept() {
            Ok((stream, _)) => admit(&shared, stream),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::sleep(LOOK)
            }
            Err(error) => complain(&format!("unlearn: a connection failed: {error}")),
        }
    }
    shared.end();
    let _ = caretaker.join();
    let _ = std::fs::remove_file(&path);
    Ok(())
}

/// A socket that only its owner reaches. One that is there is of a process that is gone: we have the lock.
fn listen(path: &Path) -> Result<UnixListener, Fault> {
    let failed = |error: std::io::Error| {
        Fault::Socket(format!("cannot listen at {}: {error}", path.display()))
    };
    if path.exists() {
        std::fs::remove_file(path).map_err(failed)?;
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// Answers a connection on a thread of its own, if its other end may ask.
fn admit(shared: &Arc<Shared>, stream: UnixStream) {
    let refuse = |mut stream: &UnixStream, what: &str| {
        let reply = Reply { ok: false, result: None, error: Some(what.into()), code: 4 };
        let _ = stream.write_all(&line_of(&reply));
    };
    if stream.set_nonblocking(false).is_err() {
        return;
    }
    if !ours(&stream) {
        return refuse(&stream, "only the owner of this home, and root, are answered");
    }
    let mut inner = shared.lock();
    if inner.connections >= MAX_CONNECTIONS {
        drop(inner);
        return refuse(&stream, "too many connections: close some");
    }
    inner.connections += 1;
    drop(inner);
    let shared = shared.clone();
    std::thread::spawn(move || {
        shared.converse(&stream);
        shared.lock().connections -= 1;
    });
}

/// Whether the other end is the owner of this process, or root.
fn ours(stream: &UnixStream) -> bool {
    let Ok(peer) = rustix::net::sockopt::socket_peercred(stream) else { return false };
    peer.uid.is_root() || peer.uid == rustix::process::geteuid()
}

fn line_of(reply: &Reply) -> Vec<u8> {
    let mut line = serde_json::to_vec(reply).unwrap_or_default();
    line.push(b'\n');
    line
}

/// What all threads share.
struct Shared {
    folder: PathBuf,
    machine: Machine,
    /// The limits of the machine, as words for a worker.
    limits: Vec<String>,
    inner: Mutex<Inner>,
    changed: Condvar,
}

impl Shared {
    fn new(home: Home, folder: PathBuf, machine: Machine, limits: Vec<String>) -> Self {
        let inner = Inner {
            home,
            oracle: None,
            worker: None,
            adapted: None,
            erased: Vec::new(),
            trouble: None,
            connections: 0,
            ending: false,
        };
        let (inner, changed) = (Mutex::new(inner), Condvar::new());
        Self { folder, machine, limits, inner, changed }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whoever panicked changed nothing that is not durable and whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        let mut inner = self.lock();
        inner.ending = true;
        inner.dismiss();
        drop(inner);
        self.changed.notify_all();
    }

    /// Carries out whatever is open, until the end.
    fn take_care(&self) {
        let mut inner = self.lock();
        while !inner.ending {
            match inner.chore() {
                Chore::Nothing => inner = self.wait(inner),
                Chore::Step => {
                    inner.step();
                    scrub::stack();
                    self.changed.notify_all();
                }
                Chore::Work(work) => {
                    drop(inner);
                    self.work(&work);
                    inner = self.lock();
                    self.changed.notify_all();
                }
            }
        }
    }

    /// Lets a worker do `work`, and takes in what it came to.
    fn work(&self, work: &Work) {
        let watch = Stopwatch::start();
        if let Err(error) = self.lock().start_worker(&self.folder, &self.limits) {
            self.lock().failed(work, error.to_string());
            return;
        }
        let status = loop {
            std::thread::sleep(LOOK);
            let mut inner = self.lock();
            // Somebody who asked to be erased meanwhile has dismissed it.
            if inner.worker.is_none() {
                return;
            }
            if let Some(over) = inner.overrun() {
                inner.dismiss();
                return inner.end_work(work, over);
            }
            let Some(worker) = &mut inner.worker else { return };
            match worker.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => break status,
                Err(_) => return inner.dismiss(),
            }
        };
        let mut inner = self.lock();
        let said = inner.worker.take().map(heard).unwrap_or_default();
        let opened = inner.home.open_store();
        let done = match (opened, status.success()) {
            (Err(error), _) => Err(error.to_string()),
            (Ok(()), true) => {
                inner.take_in(work, watch.seconds()).map_err(|error| error.to_string())
            }
            (Ok(()), false) => Err(format!("the worker ended with {status}: {said}")),
        };
        if let Err(why) = done
            && (status.success() || !inner.without_device(&why))
        {
            inner.failed(work, why);
        }
    }

    /// Answers one connection, line by line.
    fn converse(&self, stream: &UnixStream) {
        let mut from = BufReader::new(stream);
        let mut to = stream;
        loop {
            let mut line = Vec::new();
            let read = (&mut from).take(MAX_LINE).read_until(b'\n', &mut line);
            if !matches!(read, Ok(1..)) {
                return;
            }
            // What follows a line that is too long would be taken for requests.
            let long = line.len() as u64 == MAX_LINE && !line.ends_with(b"\n");
            let reply = match serde_json::from_slice::<Call>(&line) {
                _ if long => Err(Fault::Usage(format!("a line has at most {MAX_LINE} bytes"))),
                Ok(call) => self.answer(call),
                Err(error) => Err(Fault::Usage(format!("this is no request: {error}"))),
            };
            let reply = match reply {
                Ok(result) => Reply { ok: true, result: Some(result), error: None, code: 0 },
                Err(fault) => {
                    let (error, code) = (Some(fault.to_string()), fault.code());
                    Reply { ok: false, result: None, error, code }
                }
            };
            let told = to.write_all(&line_of(&reply));
            drop((line, reply));
            scrub::stack();
            if told.is_err() || long {
                return;
            }
        }
    }

    fn answer(&self, call: Call) -> Result<Value, Fault> {
        let call = call.on(&self.machine)?;
        match call {
            Call::Predict { samples } => {
                let mut inner = self.lock();
                turn::comes(inner.worker.as_mut());
                let answer = inner.predict(&samples);
                turn::goes(inner.worker.as_mut());
                Ok(answer?)
            }
            Call::Erase(how) if !how.dry_run => self.erase(&how),
            Call::Adapt(how) => self.adapt(&how),
            Call::Resume => self.resume(),
            Call::Status | Call::Receipt { .. } | Call::Cancel { .. } => {
                Ok(call::perform(&mut self.lock().home, call, &mut ())?)
            }
            other => {
                let mut inner = self.idle();
                Ok(call::perform(&mut inner.home, other, &mut ())?)
            }
        }
    }

    /// The home, when nothing is under way.
    fn idle(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.lock();
        while inner.busy() && !inner.ending {
            inner = self.wait(inner);
        }
        inner
    }

    fn erase(&self, how: &Erasure) -> Result<Value, Fault> {
        let watch = Stopwatch::start();
        let mut inner = self.lock();
        let learning = inner.worker.is_some();
        if learning {
            inner.dismiss();
            inner.home.open_store()?;
        }
        let received = call::receive(&mut inner.home, how);
        let (tickets, _) = received?;
        // Whatever knew them is not even in memory any more.
        if inner.oracle.as_ref().is_some_and(|(of, ..)| *of != inner.home.served()) {
            inner.oracle = None;
        }
        let seconds = watch.seconds();
        inner.home.limit_memory(how.memory);
        inner.home.limit_energy(how.joules);
        inner.trouble = None;
        self.changed.notify_all();
        let mut erased = None;
        if !how.later {
            let asked: Vec<&String> = tickets.iter().map(|ticket| &ticket.request).collect();
            let ours = |one: &Erased| asked.iter().all(|id| one.requests.contains(id));
            while erased.is_none() && !inner.ending && inner.trouble.is_none() {
                inner = self.wait(inner);
                erased = inner.erased.iter().find(|one| ours(one)).cloned();
            }
            if let Some(trouble) = inner.trouble.clone().filter(|_| erased.is_none()) {
                return Err(Fault::Refused { what: trouble, code: 4 });
            }
        }
        Ok(json!({ "tickets": tickets, "stopped_seconds": seconds, "erased": erased }))
    }

    fn adapt(&self, how: &call::Adaptation) -> Result<Value, Fault> {
        let mut inner = self.idle();
        inner.home.limit_memory(how.memory);
        inner.home.limit_energy(how.joules);
        inner.adapted = None;
        inner.home.order_adapting(how.recipe())?;
        self.changed.notify_all();
        loop {
            if let Some(adapted) = inner.adapted.take() {
                let refused = |what| Fault::Refused { what, code: 5 };
                return Ok(json!(adapted.map_err(refused)?));
            }
            if inner.ending || inner.home.state().pending.is_none() {
                return Err(Fault::Interrupted(
                    "the adaptation was given up: somebody asked to be erased, or the process ends"
                        .into(),
                ));
            }
            inner = self.wait(inner);
        }
    }

    /// Carries out what was only noted.
    fn resume(&self) -> Result<Value, Fault> {
        let mut inner = self.lock();
        let noted = inner.home.job().is_some_and(|job| job.stopped.is_none());
        let before = inner.erased.len();
        inner.trouble = None;
        if noted {
            inner.home.stop_noted()?;
        }
        self.changed.notify_all();
        drop(inner);
        let inner = self.idle();
        Ok(json!({ "adapted": null, "erased": inner.erased[before.min(inner.erased.len())..] }))
    }
}
