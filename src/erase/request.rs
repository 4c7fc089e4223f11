//! Requests: taking them in, taking them back, and who is served meanwhile.

use serde::Serialize;

use super::error::HomeError;
use super::home::Home;
use super::job::Job;
use super::journal::{Bounds, Choice, Event, Request};
use super::receipt::{Hex, Nonce, Policy, commit, limits::MAX_REQUESTS};
use crate::base::{clock, entropy, scrub};
use crate::format::Provenance;
use crate::model::file::Artifact;

/// What is asked for.
#[derive(Debug)]
pub struct Wish {
    /// The name of whom to erase.
    pub subject: String,
    /// What comes first.
    pub policy: Policy,
    /// The method, where it is not the planner's to choose.
    pub method: Option<Choice>,
    /// Seconds from now by which it must be done.
    pub deadline: Option<u64>,
    /// Whether the model that knows them may answer until it is repaired.
    pub serve_until_repaired: bool,
    /// What opens the commitment in the receipt; drawn where none is given.
    pub nonce: Option<Nonce>,
    /// Whether an enrolled base knows them; it is taken to.
    pub not_in_base: bool,
    /// How much accuracy may be lost, where it is not for whoever carries it out to say. It is kept with
    /// the request; of several requests in one repair the narrowest holds.
    pub bounds: Bounds,
}

impl Wish {
    /// To erase `subject`: samples and keys first, the planner's method, no deadline.
    pub fn new(subject: &str) -> Self {
        Self {
            subject: subject.into(),
            policy: Policy::ShredFirst,
            method: None,
            deadline: None,
            serve_until_repaired: false,
            nonce: None,
            not_in_base: false,
            bounds: Bounds::default(),
        }
    }
}

/// What the one who asked keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ticket {
    /// The number of the request.
    pub request: String,
    /// The name, as it was given.
    pub subject: String,
    /// With the name it opens the commitment in the receipt. Only this ticket has it: the home does not
    /// keep it.
    pub nonce: String,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// The base.
    Base,
    /// The model in this slot.
    Slot(String),
    /// Nobody.
    Nobody,
}

/// Refuses bounds that are no percentage points.
fn bounded(bounds: Bounds) -> Result<(), HomeError> {
    let fields = [("the drop", bounds.drop), ("the drop of one person", bounds.worst)];
    for (field, points) in fields {
        if let Some(points) = points.filter(|points| !(0.0..=100.0).contains(points)) {
            let (found, expected) = (points.to_string(), "percentage points from 0 to 100");
            return Err(HomeError::Setting { field, found, expected });
        }
    }
    Ok(())
}

impl Home {
    /// Takes requests in, durably; with `stop`, and stops the models that know them. All or none.
    ///
    /// An erasure that is under way takes them along: whoever asked is shredded next, and the repair
    /// begins anew without any of them.
    ///
    /// # Errors
    /// If nobody has a name, somebody was asked for twice, or the journal cannot be written.
    pub fn receive(&mut self, wishes: Vec<Wish>, stop: bool) -> Result<Vec<Ticket>, HomeError> {
        self.open_store()?;
        self.end_journal()?;
        let now = clock::now();
        let job = self.job();
        let mut asked = job.as_ref().map_or_else(Vec::new, Job::people);
        let running = job.as_ref().is_some_and(|job| job.stopped.is_some());
        let mut events: Vec<Event> =
            job.and_then(|job| self.shredded_silently(&job)).into_iter().collect();
        let mut tickets = Vec::new();
        for wish in wishes {
            let person = self.handle_of(&wish.subject)?;
            let nonce = wish.nonce.map_or_else(Nonce::draw, Ok)?;
            let commitment = commit(&nonce, &wish.subject).0;
            // The name was hashed and opened on this stack.
            scrub::stack();
            if asked.contains(&person) {
                let found = format!("`{}`, whose erasure was asked for already", wish.subject);
                let (field, expected) = ("a subject", "each subject once");
                return Err(HomeError::Setting { field, found, expected });
            }
            asked.push(person);
            bounded(wish.bounds)?;
            let id: [u8; 16] = entropy::bytes()?;
            tickets.push(Ticket {
                request: Hex(id).to_string(),
                subject: wish.subject.clone(),
                nonce: nonce.reveal(),
            });
            // What is under way is abandoned: nothing is left to audit it against.
            let policy = if running { Policy::ShredFirst } else { wish.policy };
            events.push(Event::Received(Request {
                id,
                person,
                commitment,
                policy,
                method: wish.method,
                deadline: wish.deadline.map(|seconds| now.saturating_add(seconds)),
                serve_until_repaired: wish.serve_until_repaired,
                in_base: self.base_may_know() && !wish.not_in_base,
                at: now,
            }));
            if wish.bounds != Bounds::default() {
                events.push(Event::Bounded(wish.bounds));
            }
        }
        if asked.len() > MAX_REQUESTS {
            let (field, found) = ("subjects at once", asked.len().to_string());
            return Err(HomeError::Setting { field, found, expected: "at most 64" });
        }
        if stop || running {
            events.push(Event::Stopped(clock::now()));
        }
        self.in_need(|home| home.journal.add(home.disk.as_mut(), events.clone()))?;
        if stop || running {
            self.mark_stop();
        }
        Ok(tickets)
    }

    /// Whether the base may know people here: one that people of this site are in, as long as it lives.
    pub fn base_may_know(&self) -> bool {
        self.state.base.provenance == Provenance::Enrolled && !self.state.base.dead
    }

    /// Takes a request back.
    ///
    /// # Errors
    /// If there is none of this number, or something was done about it already.
    pub fn cancel(&mut self, request: &str) -> Result<(), HomeError> {
        let no = |why| HomeError::NotCancelled { request: request.into(), why };
        let job = self.job().ok_or_else(|| no("no request is open"))?;
        let open = job.requests.iter().find(|open| Hex(open.request.id).to_string() == request);
        let open = open.ok_or_else(|| no("no open request has this number"))?;
        if open.stopped.is_some() {
            return Err(no("it is being carried out: whoever was shredded cannot be brought back"));
        }
        let id = open.request.id;
        self.journal.add(self.disk.as_mut(), vec![Event::Cancelled(id)])?;
        if self.job().is_none() {
            self.journal.close(self.disk.as_mut(), self.state.journal)?;
        }
        Ok(())
    }

    /// What is to be noted where samples and keys went and it was not noted before the power did: a
    /// request that joins would count only what is left.
    fn shredded_silently(&self, job: &Job) -> Option<Event> {
        let (_, decision) = job.decision.as_ref().filter(|_| job.shredded.is_none())?;
        let gone = job.people().iter().all(|person| self.keyring.person(person).is_none());
        gone.then(|| Event::Shredded(clock::now(), decision.doomed))
    }

    /// Who may answer now: nobody who knows somebody whose erasure has begun, unless everybody agreed to
    /// it.
    pub fn served(&self) -> Served {
        let live = || match &self.state.live {
            Some(slot) => Served::Slot(slot.clone()),
            None if self.state.base.dead => Served::Nobody,
            None => Served::Base,
        };
        let open = |job: &Job| job.stopped.is_some() && !self.ended();
        let Some(job) = self.job().filter(open) else { return live() };
        let people = job.people();
        let knows = job.in_base() || self.state.live_model().is_some_and(|m| m.holds(&people));
        if !knows || job.serve_until_repaired() {
            return live();
        }
        match self.state.clean_ancestor(&people) {
            _ if job.in_base() => Served::Nobody,
            Some(model) => Served::Slot(model.slot.clone()),
            None if self.state.base.dead => Served::Nobody,
            None => Served::Base,
        }
    }

    /// The model that may answer now.
    ///
    /// # Errors
    /// [`HomeError::Unavailable`] if none may.
    pub fn serving(&self) -> Result<Artifact, HomeError> {
        match self.served() {
            Served::Base => self.model(None),
            Served::Slot(slot) => self.model(Some(&slot)),
            Served::Nobody => Err(HomeError::Unavailable),
        }
    }
}
