//! What the events of a journal add up to: the requests that are open, and how far they are.

use super::gate::Limits;
use super::journal::{Bounds, Choice, Decision, Event, Request, Verdict};
use super::learn::Done;
use super::receipt::{Guarantee, Policy};
use crate::vault::{Count, Handle};

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// To stop the models that know them.
    Stop,
    /// To decide how.
    Decide,
    /// To destroy samples and keys.
    Shred,
    /// To learn.
    Unlearn,
    /// To judge.
    Gate,
    /// To let the candidate serve, and to give a receipt.
    Commit,
}

impl Job {
    /// What is to be done next.
    pub fn next(&self) -> Next {
        let first = self.policy() == Policy::ShredFirst;
        if self.stopped.is_none() {
            Next::Stop
        } else if self.decision.is_none() {
            Next::Decide
        } else if first && self.shredded.is_none() {
            Next::Shred
        } else if self.unlearnt.is_none() {
            Next::Unlearn
        } else if self.gated.is_none() {
            Next::Gate
        } else if self.shredded.is_none() {
            Next::Shred
        } else {
            Next::Commit
        }
    }
}

/// A request that is open.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    /// As it was received.
    pub request: Request,
    /// How much accuracy it lets be lost.
    pub bounds: Bounds,
    /// When the models that know them stopped answering.
    pub stopped: Option<u64>,
    /// When their samples and keys were gone.
    pub shredded: Option<u64>,
}

/// A way that was tried and failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Which.
    pub choice: Choice,
    /// Whether there was a candidate, and it did not hold; else the run did not come to its end.
    pub learnt: bool,
}

/// The requests that are open, and how far they are: what the events add up to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Job {
    /// Those that were received and not cancelled.
    pub requests: Vec<Open>,
    /// When the models that know them stopped answering.
    pub stopped: Option<u64>,
    /// What was decided.
    pub decision: Option<(u64, Decision)>,
    /// When samples and keys went, and how many.
    pub shredded: Option<(u64, Count)>,
    /// When the candidate was written, and what came of the work.
    pub unlearnt: Option<(u64, Option<Done>)>,
    /// What the gate said.
    pub gated: Option<(u64, Verdict)>,
    /// What failed.
    pub failures: Vec<String>,
    /// The ways that failed, in order.
    pub failed: Vec<Failed>,
    /// How often a process went on with it.
    pub resumed: u32,
    /// What samples went before this, in rounds that were restarted.
    pub gone: Count,
}

impl Job {
    /// What `events` add up to; `None` if no request is open.
    pub fn of(events: &[Event]) -> Option<Self> {
        let mut job = Self::default();
        for event in events {
            job.take(event);
        }
        (!job.requests.is_empty()).then_some(job)
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::Received(request) => {
                // Whatever was decided trains on what must go now.
                let request = request.clone();
                let bounds = Bounds::default();
                self.requests.push(Open { request, bounds, stopped: None, shredded: None });
                self.restart();
                self.stopped = None;
                if let Some((_, count)) = self.shredded.take() {
                    self.gone = count;
                }
            }
            Event::Cancelled(id) => self.requests.retain(|open| open.request.id != *id),
            Event::Stopped(at) => {
                self.stopped = Some(*at);
                self.requests.iter_mut().for_each(|open| _ = open.stopped.get_or_insert(*at));
            }
            Event::Decided(at, decision) => self.decision = Some((*at, decision.clone())),
            Event::Shredded(at, count) => {
                self.shredded = Some((*at, sum(self.gone, *count)));
                self.requests.iter_mut().for_each(|open| _ = open.shredded.get_or_insert(*at));
            }
            Event::Unlearnt(at, done) => self.unlearnt = Some((*at, done.clone())),
            Event::Gated(at, verdict) => self.gated = Some((*at, verdict.clone())),
            Event::Failed(_, why) => {
                self.failures.push(why.clone());
                let learnt = self.unlearnt.is_some();
                let failed =
                    self.decision.as_ref().map(|(_, of)| Failed { choice: of.choice, learnt });
                self.failed.extend(failed);
                self.restart();
            }
            Event::Resumed(_) => self.resumed += 1,
            Event::Bounded(bounds) => {
                self.requests.iter_mut().next_back().into_iter().for_each(|o| o.bounds = *bounds);
            }
        }
    }

    fn restart(&mut self) {
        (self.decision, self.unlearnt, self.gated) = (None, None, None);
    }

    /// Everybody who is to be erased, in order, each once.
    pub fn people(&self) -> Vec<Handle> {
        let mut all: Vec<Handle> = self.requests.iter().map(|open| open.request.person).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Shred first, if anybody asked for it or somebody came while it was under way.
    pub fn policy(&self) -> Policy {
        let first = |open: &Open| open.request.policy == Policy::ShredFirst;
        if self.requests.iter().any(first) { Policy::ShredFirst } else { Policy::AuditFirst }
    }

    /// The first deadline.
    pub fn deadline(&self) -> Option<u64> {
        self.requests.iter().filter_map(|open| open.request.deadline).min()
    }

    /// The method that was asked for; that of the first who asked for one.
    pub fn method(&self) -> Option<Choice> {
        self.requests.iter().find_map(|open| open.request.method)
    }

    /// Whether a way led to a candidate that did not hold. What a process died of says nothing about the
    /// way.
    pub fn tried(&self, choice: Choice) -> bool {
        self.failed.iter().any(|failed| failed.choice == choice && failed.learnt)
    }

    /// What the gate holds a candidate against: the narrowest that was asked for with a request, else
    /// `given`.
    pub fn limits(&self, given: Limits) -> Limits {
        let asked = self.requests.iter().map(|open| open.bounds);
        let Bounds { drop, worst } = asked.fold(Bounds::default(), Bounds::narrower);
        Limits { drop: drop.unwrap_or(given.drop), worst: worst.unwrap_or(given.worst), ..given }
    }

    /// Whether the base knows one of them.
    pub fn in_base(&self) -> bool {
        self.requests.iter().any(|open| open.request.in_base)
    }

    /// Whether everybody agreed that the old model may answer until it is repaired.
    pub fn serve_until_repaired(&self) -> bool {
        self.requests.iter().all(|open| open.request.serve_until_repaired)
    }

    /// The class that a choice gives to a model whose ancestor has `inherited`. It is contagious: what
    /// begins with, or goes back to, a model that had to forget somebody may not claim more than that model
    /// does, as the one who goes now may be the one who came back. Where nobody was learnt nothing changes,
    /// and the receipt says what it does not cover.
    pub fn class(choice: Choice, inherited: Guarantee) -> Guarantee {
        let own = match choice {
            Choice::NeverLearnt => Guarantee::NeverLearnt,
            Choice::ExactReplay => Guarantee::ExactReplay,
            Choice::L1Sparse => Guarantee::Approximate,
            Choice::Reset => Guarantee::Reset,
        };
        match (own, inherited) {
            (Guarantee::ExactReplay | Guarantee::Reset, Guarantee::Approximate) => inherited,
            _ => own,
        }
    }
}

fn sum(a: Count, b: Count) -> Count {
    Count { samples: a.samples + b.samples, held: a.held + b.held, bytes: a.bytes + b.bytes }
}
