//! The state machine of an erasure, from a stop to a receipt.
//!
//! `received → stopped`, then shred-first `shredded → unlearnt → gated → committed`, or audit-first
//! `unlearnt → gated → shredded → committed`. Each step is done so that doing it again changes nothing,
//! and only then noted in the journal: whatever the power does, the next start does what is not noted,
//! and ends with the same bytes.

use serde::Serialize;

use super::energy::{Overrun, Task};
use super::error::HomeError;
use super::gate::Limits;
use super::home::Home;
use super::job::{Job, Next};
use super::journal::{Choice, Decision, Event, Verdict};
use super::learn::{Done, Onlooker};
use super::receipt::Hex;
use super::slot;
use super::state::{Base, Model, State};
use crate::base::clock;
use crate::model::file::Artifact;
use crate::train::{Control, Progress};
use crate::vault::{Count, Key, Keyring};

/// What came of an erasure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Erased {
    /// The requests.
    pub requests: Vec<String>,
    /// The number of the receipt.
    pub receipt: u64,
    /// The guarantee.
    pub guarantee: String,
    /// How.
    pub choice: Choice,
    /// Samples that went.
    pub samples: u64,
    /// The logical id of the model that answers now; none where none may.
    pub model: Option<String>,
    /// Seconds of learning.
    pub seconds: f64,
    /// Energy that the whole machine took from the decision on, in joules; none where it was not measured
    /// throughout.
    pub joules: Option<f64>,
    /// What failed on the way.
    pub failures: Vec<String>,
}

impl Home {
    /// Notes that a process found an erasure open. Says whether there is one.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn note_resumed(&mut self) -> Result<bool, HomeError> {
        match self.job().is_some_and(|job| job.stopped.is_some()) {
            true => {
                let event = Event::Resumed(clock::now());
                self.journal.add(self.disk.as_mut(), vec![event]).map(|()| true)
            }
            false => Ok(false),
        }
    }

    /// Begins with what was only noted: what knows them stops.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn stop_noted(&mut self) -> Result<(), HomeError> {
        match self.job() {
            Some(job) if job.stopped.is_none() => self.stop(),
            _ => Ok(()),
        }
    }

    /// Carries every open request through to its receipt; `None` if none is open. What was asked for with
    /// a request comes before `limits`.
    ///
    /// # Errors
    /// [`HomeError::Interrupted`] if `onlooker` stopped it; else if a file cannot be read or written.
    /// Whatever was done stays done, and the next call goes on.
    pub fn carry_out(
        &mut self,
        limits: Limits,
        onlooker: &mut dyn Onlooker,
    ) -> Result<Option<Erased>, HomeError> {
        while let Some(job) = self.job() {
            if let Some(erased) = self.step(&job, limits, onlooker)? {
                return Ok(Some(erased));
            }
        }
        Ok(None)
    }

    /// Does the next thing that `job`, the open one, needs.
    ///
    /// # Errors
    /// As [`Home::carry_out`].
    pub fn step(
        &mut self,
        job: &Job,
        limits: Limits,
        onlooker: &mut dyn Onlooker,
    ) -> Result<Option<Erased>, HomeError> {
        self.open_store()?;
        match job.next() {
            // A model wants more room than any ballast has.
            Next::Unlearn => self.unlearn(job, onlooker)?,
            Next::Stop => self.in_need(Self::stop)?,
            Next::Decide => self.in_need(|home| home.decide(job))?,
            Next::Shred => self.in_need(|home| home.shred(job))?,
            Next::Gate => self.in_need(|home| home.gate(job, limits))?,
            Next::Commit => return self.in_need(|home| home.commit(job)),
        }
        Ok(None)
    }

    fn note(&mut self, event: Event) -> Result<(), HomeError> {
        self.journal.add(self.disk.as_mut(), vec![event])
    }

    fn stop(&mut self) -> Result<(), HomeError> {
        self.note(Event::Stopped(clock::now()))?;
        self.mark_stop();
        Ok(())
    }

    /// Decides how, and makes the key of what will be written.
    fn decide(&mut self, job: &Job) -> Result<(), HomeError> {
        let people = job.people();
        if job.resumed == 0 && job.failures.is_empty() {
            self.gauge(Task::Erasing);
        }
        // What a full disk left of somebody whose key is gone was counted already.
        self.change_index(|store, keyring| store.purge(keyring))?;
        let plan = self.plan_of(job, clock::now())?;
        let way = plan.taken().cloned();
        let work = way.as_ref().and_then(|way| way.work.clone());
        let before = match &work {
            Some(work) => {
                // A round before this one may have destroyed the model that was served.
                let live = self.state.live.as_deref().filter(|slot| self.readable(Some(slot)));
                let common = self.classes_of(work)?;
                let answers = self.answers(&self.model(live)?, &common, &people)?;
                let gone = live != self.state.live.as_deref();
                let noted = self.answered_before().filter(|of| gone && of.len() == answers.len());
                noted.unwrap_or(answers)
            }
            None => Vec::new(),
        };
        // What was being learnt knows them, or may.
        let mut state = self.state.clone();
        state.pending = work.clone();
        let mut keyring = self.keyring.clone();
        if let Some(stale) = self.state.pending.as_ref() {
            keyring.drop_named(&slot::key_name(&stale.slot));
        }
        if let Some(work) = &work {
            keyring.put(&slot::key_name(&work.slot), Key::fresh()?);
        }
        self.keep(keyring, state, false)?;
        // What was made from a base that knows them knows them.
        let knows = |model: &&Model| job.in_base() || model.holds(&people);
        let holding = self.state.models.iter().filter(knows);
        let (slots, ids) = holding.map(|model| (model.slot.clone(), model.id)).unzip();
        let ancestor = self.clean_ancestor(&people).filter(|_| !job.in_base());
        let decision = Decision {
            choice: plan.choice,
            holding: slots,
            holding_ids: ids,
            base_holds: job.in_base(),
            ancestor: ancestor.map(|model| model.slot.clone()),
            parent: match self.state.live_model() {
                Some(model) => model.id,
                None if self.state.base.dead => [0; 32],
                None => self.state.base.id,
            },
            doomed: self.store()?.owned(&people)?,
            seconds: way.as_ref().map_or(0.0, |way| way.seconds),
            bytes: way.as_ref().map_or(0, |way| way.bytes),
            work,
            before,
        };
        self.note(Event::Decided(clock::now(), decision))
    }

    /// How the model that was served answered in an earlier round for the same people, before it was
    /// destroyed.
    fn answered_before(&self) -> Option<Vec<bool>> {
        let events = self.journal.events().iter().rev();
        let since = events.take_while(|event| !matches!(event, Event::Received(_)));
        let mut rounds = since.filter_map(|event| match event {
            Event::Decided(_, decision) if !decision.before.is_empty() => Some(&decision.before),
            _ => None,
        });
        rounds.next().cloned()
    }

    /// Destroys samples and keys: the people's, and those of the models that know them, but for one that
    /// the repair begins with or that serves until then.
    fn shred(&mut self, job: &Job) -> Result<(), HomeError> {
        let decision = decision(job)?;
        let mut keyring = self.keyring.clone();
        let mut state = self.state.clone();
        let mut people = job.people();
        people.retain(|person| keyring.forget(person));
        state.erased_people.extend(&people);
        let gated = job.gated.is_some();
        let begins = decision.work.as_ref().and_then(|work| work.start.as_deref());
        for slot in &decision.holding {
            let needed = !gated && (begins == Some(slot) || job.serve_until_repaired());
            if !needed {
                keyring.drop_named(&slot::key_name(slot));
            }
        }
        self.keep(keyring, state, true)?;
        self.change_index(|store, keyring| store.purge(keyring))?;
        self.sweep()?;
        // Counted before: this may be the second time.
        self.note(Event::Shredded(clock::now(), decision.doomed))
    }

    fn unlearn(&mut self, job: &Job, onlooker: &mut dyn Onlooker) -> Result<(), HomeError> {
        let Some(work) = decision(job)?.work.clone() else {
            return self.note(Event::Unlearnt(clock::now(), None));
        };
        let deadline = job.deadline();
        let mut late = false;
        let mut watch = |leg: usize, legs: usize, progress: Progress| {
            late = deadline.is_some_and(|deadline| clock::now() > deadline);
            if late { Control::Stop } else { onlooker.batch(leg, legs, progress) }
        };
        let done = self.execute(&work, &mut watch);
        self.note_learnt(match done {
            Err(HomeError::Interrupted) if late => Err(HomeError::Overrun(Overrun::Deadline)),
            done => done,
        })
    }

    /// Notes what came of the work. A limit that was passed, and a run that failed, are noted as such;
    /// the next decision falls back.
    ///
    /// # Errors
    /// What is not the run's own failure.
    pub fn note_learnt(&mut self, done: Result<Done, HomeError>) -> Result<(), HomeError> {
        let now = clock::now();
        match done {
            Ok(done) => self.note(Event::Unlearnt(now, Some(done))),
            Err(HomeError::Overrun(over)) => {
                self.note(Event::Failed(now, over.to_string()))?;
                // Two failures are what falls back to the ancestor.
                let left = match over {
                    Overrun::Deadline => "no time is left to learn",
                    Overrun::Energy { .. } => "no energy is left to learn",
                };
                self.note(Event::Failed(now, left.into()))
            }
            Err(HomeError::Train(crate::train::TrainError::Diverged { tensor, .. })) => {
                self.note_failed(format!("the run diverged at `{tensor}`"))
            }
            // What it begins with cannot be read: there are ways that begin elsewhere.
            Err(error) if error.is_damage() => self.note_failed(error.to_string()),
            Err(error) => Err(error),
        }
    }

    /// Notes that the repair failed: another way is decided next.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn note_failed(&mut self, why: String) -> Result<(), HomeError> {
        self.note(Event::Failed(clock::now(), why))
    }

    fn gate(&mut self, job: &Job, limits: Limits) -> Result<(), HomeError> {
        let (decision, limits) = (decision(job)?, job.limits(limits));
        let now = clock::now();
        let Some(work) = &decision.work else {
            let verdict = Verdict { told: String::new(), passed: true };
            return self.note(Event::Gated(now, verdict));
        };
        let Some(candidate) = self.candidate(&work.slot)? else { return Ok(()) };
        let ancestor = match decision.base_holds {
            true => None,
            false => Some(self.model(decision.ancestor.as_deref())?),
        };
        let mut gated = self.judge(&candidate, ancestor.as_ref(), &decision.before, job, limits)?;
        if let Some(ancestor) = ancestor.as_ref().filter(|_| !gated.passed && is_replay(decision)) {
            // What the parent knew and nobody may replay is lost either way: a replay is held against
            // what would be served in its place.
            let common = candidate.meaning.classes.clone();
            let beside = self.answers(ancestor, &common, &job.people())?;
            gated = self.judge(&candidate, Some(ancestor), &beside, job, limits)?;
            gated.beside_ancestor = true;
        }
        let told = serde_json::to_string(&gated).unwrap_or_default();
        if gated.passed {
            return self.note(Event::Gated(now, Verdict { told, passed: true }));
        }
        self.note(Event::Failed(
            now,
            format!(
                "{} did not pass the gate ({} points may be lost, {} by one person): {}",
                decision.choice.name(),
                limits.drop,
                limits.worst,
                gated.told()
            ),
        ))
    }

    /// Lets the candidate serve, gives the receipt, and ends the job.
    fn commit(&mut self, job: &Job) -> Result<Option<Erased>, HomeError> {
        let decision = decision(job)?.clone();
        // Power may have gone between this and the end of the journal.
        if !self.ended() {
            let blank = match decision.choice == Choice::Reset && decision.base_holds {
                true => Some(self.write_blank()?),
                false => None,
            };
            let mut state = self.state.clone();
            let mut keyring = self.keyring.clone();
            self.settle(job, &decision, blank.as_ref(), &mut state, &mut keyring);
            let child = match (&decision.work, &state.live) {
                (Some(work), _) => match self.candidate(&work.slot)? {
                    Some(child) => Some(child),
                    None => return Ok(None),
                },
                (None, Some(slot)) => Some(self.model(Some(slot))?),
                (None, None) => (!state.base.dead).then(|| self.base.clone()),
            };
            let signed = self.write_receipt(job, &decision, &state, child.as_ref())?;
            (state.receipts, state.last_receipt) = (state.receipts + 1, signed);
            state.journal = self.journal.link();
            self.keep(keyring, state, true)?;
        }
        // Whoever holds the receipt holds it against every older copy.
        self.bear_witness()?;
        self.reopen_base()?;
        self.sweep()?;
        self.compact_timed()?;
        let (_, count) = job.shredded.unwrap_or_default();
        let erased = self.told(job, &decision, count)?;
        self.gauge_ended();
        self.journal.close(self.disk.as_mut(), self.state.journal)?;
        // It may have been spent; where there is no room now, there may be another day.
        let _ = self.keep_ballast();
        Ok(Some(erased))
    }

    /// Empties a journal whose job has ended, which the power was in the way of.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn end_journal(&mut self) -> Result<(), HomeError> {
        if self.ended() {
            self.reopen_base()?;
            self.sweep()?;
            self.journal.close(self.disk.as_mut(), self.state.journal)?;
        }
        Ok(())
    }

    /// What the repair came to. `None` if it cannot be read: that is noted as a failure, and another way
    /// is decided next.
    fn candidate(&mut self, slot: &str) -> Result<Option<Artifact>, HomeError> {
        match self.model(Some(slot)) {
            Ok(model) => Ok(Some(model)),
            Err(error) if error.is_damage() => self.note_failed(error.to_string()).map(|()| None),
            Err(error) => Err(error),
        }
    }

    /// The state after the job, with the keys that go.
    fn settle(
        &self,
        job: &Job,
        decision: &Decision,
        blank: Option<&Artifact>,
        state: &mut State,
        keyring: &mut Keyring,
    ) {
        let done = job.unlearnt.as_ref().and_then(|(_, done)| done.clone());
        for slot in &decision.holding {
            keyring.drop_named(&slot::key_name(slot));
        }
        state.models.retain(|model| !decision.holding.contains(&model.slot));
        state.erased_models.extend(&decision.holding_ids);
        match (&decision.work, done) {
            (Some(work), Some(done)) => self.adopt_repair(decision, work, &done, state, keyring),
            _ if decision.choice == Choice::Reset => {
                state.live = decision.ancestor.clone();
                if let Some(blank) = blank {
                    state.erased_models.push(state.base.id);
                    if let Some(slot) = &state.base.slot {
                        keyring.drop_named(&slot::key_name(slot));
                    }
                    let (id, provenance) = (blank.id.0, state.base.provenance);
                    let class = state.base.class;
                    state.base = Base { id, provenance, slot: None, dead: true, class };
                }
            }
            _ => {}
        }
        state.pending = None;
    }

    fn reopen_base(&mut self) -> Result<(), HomeError> {
        match self.base.id.0 == self.state.base.id {
            true => Ok(()),
            false => self.reload_base(),
        }
    }

    fn told(&self, job: &Job, decision: &Decision, count: Count) -> Result<Erased, HomeError> {
        let done = job.unlearnt.as_ref().and_then(|(_, done)| done.as_ref());
        let model = match &self.state.live {
            Some(slot) => self.state.model(slot).map(|model| model.id_text()),
            None if self.state.base.dead => None,
            None => Some(self.base.id.to_string()),
        };
        let requests = job.requests.iter().map(|open| Hex(open.request.id).to_string()).collect();
        Ok(Erased {
            requests,
            receipt: self.state.receipts,
            guarantee: self.guarantee(decision).to_string(),
            choice: decision.choice,
            samples: count.samples,
            model,
            seconds: done.map_or(0.0, |done| done.seconds),
            joules: self.joules_taken(),
            failures: job.failures.clone(),
        })
    }

    /// The classes of what `work` will come to.
    fn classes_of(&self, work: &super::state::Work) -> Result<Vec<String>, HomeError> {
        let mut classes = self.model(work.start.as_deref())?.meaning.classes;
        let leaving = self.leaving();
        for leg in &work.legs {
            let new = super::gather::new_labels(
                self.store()?,
                &self.keyring,
                &classes,
                leg.upto,
                &leaving,
            )?;
            classes.extend(new);
        }
        Ok(classes)
    }
}

fn is_replay(decision: &Decision) -> bool {
    decision.choice == Choice::ExactReplay
}

/// What was decided; a job that is past it has it.
pub(super) fn decision(job: &Job) -> Result<&Decision, HomeError> {
    let decision = job.decision.as_ref().map(|(_, decision)| decision);
    decision.ok_or(HomeError::UnderWay { what: "an erasure" })
}

/// What serves, for whoever only looks.
impl Home {
    /// The model that is served when nothing is under way.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn live(&self) -> Result<Artifact, HomeError> {
        self.model(self.state.live.as_deref())
    }
}
