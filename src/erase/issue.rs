//! From what was done to a receipt.

use std::path::PathBuf;

use super::error::HomeError;
use super::gate::Gated;
use super::home::Home;
use super::job::{Failed, Job, Open};
use super::journal::{Choice, Decision};
use super::learn::Done;
use super::receipt::{
    Accuracy, Bounded, Destroyed, EarlierModel, Estimate, Evidence, FailedWay, Fate, Gate,
    Guarantee, Hex, Lapse, Lineage, MeasuredOn, Method, Models, Ppm, Probe, Probed, Receipt,
    Request, Rollback, Software, Times, Verdict, limits, settings,
};
use super::receipt::{Power, VERSION};
use super::slot;
use super::state::{Base, Id, Model, State, Step, Work, chained};
use crate::base::clock;
use crate::base::disk::replace;
use crate::base::hash::Digest;
use crate::evaluate::{RetainedVerdict, metrics::wilson95};
use crate::format::Provenance;
use crate::model::file::Artifact;
use crate::vault::{Header, Keyring, Level};

impl Home {
    /// Where a receipt lies.
    pub fn receipt_path(&self, number: u64) -> PathBuf {
        self.folder.join("receipts").join(format!("{number:06}.receipt"))
    }

    /// The guarantee of what was decided.
    pub(super) fn guarantee(&self, decision: &Decision) -> Guarantee {
        let ancestor = decision.ancestor.as_deref().and_then(|slot| self.state.model(slot));
        let inherited = ancestor.map_or(self.state.base.class, |model| model.class);
        if decision.choice == Choice::Reset && decision.base_holds {
            // Nothing serves.
            return Guarantee::Reset;
        }
        Job::class(decision.choice, inherited)
    }

    /// What would notice that the whole home was put back.
    pub fn rollback(&self) -> Rollback {
        match (self.keys.apart(), self.state.witness.is_some()) {
            (false, false) => Rollback::None,
            (false, true) => Rollback::Witness,
            (true, false) => Rollback::Tpm,
            (true, true) => Rollback::TpmAndWitness,
        }
    }

    /// Whether somebody who was never learnt may have been, before an approximate repair.
    fn returned(&self, decision: &Decision) -> bool {
        let live = self.state.live_model().map_or(self.state.base.class, |model| model.class);
        decision.choice == Choice::NeverLearnt && live == Guarantee::Approximate
    }

    /// Takes the repaired model into the state.
    pub(super) fn adopt_repair(
        &self,
        decision: &Decision,
        work: &Work,
        done: &Done,
        state: &mut State,
        keyring: &mut Keyring,
    ) {
        if work.roots {
            state.erased_models.push(state.base.id);
            if let Some(slot) = &state.base.slot {
                keyring.drop_named(&slot::key_name(slot));
            }
            let provenance = Provenance::Enrolled;
            let slot = Some(work.slot.clone());
            let class = self.guarantee(decision);
            state.base = Base { id: done.id, provenance, slot, dead: false, class };
            state.live = None;
            return;
        }
        let start = work.start.as_deref().and_then(|slot| self.state.model(slot));
        let mut steps: Vec<Step> = start.map_or_else(Vec::new, |model| model.steps.clone());
        let people = self.leaving();
        for step in &mut steps {
            step.people.retain(|person| !people.contains(person));
        }
        let steps = chained(steps, &done.steps);
        let class = self.guarantee(decision);
        let (slot, id, bytes) = (work.slot.clone(), done.id, done.bytes);
        state.models.push(Model { slot, id, steps, class, bytes });
        state.live = Some(work.slot.clone());
    }

    /// Writes the next receipt, and gives the digest of its file.
    pub(super) fn write_receipt(
        &mut self,
        job: &Job,
        decision: &Decision,
        state: &State,
        child: Option<&Artifact>,
    ) -> Result<Id, HomeError> {
        let receipt = self.receipt(job, decision, state, child)?;
        let signed = receipt.sign(&self.signing_key()?)?;
        let path = self.receipt_path(self.state.receipts + 1);
        replace(self.disk.as_mut(), &path, &signed.bytes)?;
        Ok(signed.hash.0)
    }

    fn receipt(
        &self,
        job: &Job,
        decision: &Decision,
        state: &State,
        child: Option<&Artifact>,
    ) -> Result<Receipt, HomeError> {
        let sequence = self.state.receipts + 1;
        let gate = gate_of(job, decision.work.is_some());
        let measured = gate.verdict != Verdict::NotMeasured;
        let guarantee = self.guarantee(decision);
        let mut times = Times {
            unlearnt: job.unlearnt.as_ref().filter(|(_, done)| done.is_some()).map(|(at, _)| *at),
            gated: job.gated.as_ref().filter(|_| measured).map(|(at, _)| *at),
            committed: clock::now(),
            clock_went_backwards: false,
        };
        times.clock_went_backwards = !self.ordered(job, &times);
        Ok(Receipt {
            version: VERSION,
            sequence,
            previous: (sequence > 1).then_some(Hex(self.state.last_receipt)),
            device: Hex(self.state.device),
            software: Software::this(),
            family: self.base.network.description.name.chars().take(limits::MAX_NAME).collect(),
            requests: job.requests.iter().map(|open| requested(open, times.committed)).collect(),
            policy: job.policy(),
            served_until_repaired: job.serve_until_repaired(),
            evidence: evidence(self.keys.level()),
            rollback: Some(self.rollback()),
            models: Models {
                parent: Hex(decision.parent),
                child: child.map_or(Hex([0; 32]), |child| child.id.into()),
                mask: child.map_or(Hex([0; 32]), |child| mask_digest(child).into()),
                weights: self.dtype.into(),
            },
            lineage: self.lineage(job, decision)?,
            method: self.method(job, decision, guarantee)?,
            gate,
            destroyed: destroyed(decision, state, self.keyring.generation()),
            not_covered: not_covered(self.rollback(), self.keys.level(), self.returned(decision)),
            millijoules: self.joules_taken().map(|joules| (joules * 1e3).round() as u64),
            energy_covers: self.joules_taken().and_then(|_| self.energy_covers()),
            times,
        })
    }

    /// Whether the moments are in the order in which things happened.
    fn ordered(&self, job: &Job, times: &Times) -> bool {
        let mut moments = vec![job.requests.iter().map(|open| open.request.at).max().unwrap_or(0)];
        moments.extend(job.stopped);
        let shredded = job.shredded.map(|(at, _)| at);
        let first = job.policy() == super::receipt::Policy::ShredFirst;
        moments.extend(shredded.filter(|_| first));
        moments.extend(times.unlearnt);
        moments.extend(times.gated);
        moments.extend(shredded.filter(|_| !first));
        moments.push(times.committed);
        moments.is_sorted()
    }

    fn lineage(&self, job: &Job, decision: &Decision) -> Result<Lineage, HomeError> {
        let legs = decision.work.iter().flat_map(|work| work.legs.iter());
        let upto = legs.map(|leg| leg.upto).max().unwrap_or(0);
        let leaving = job.people();
        let (root, samples) = self.store()?.root(|number, header: &Header| {
            number < upto && !header.held && !header.concerns(&leaving)
        })?;
        let (_, gone) = job.shredded.unwrap_or_default();
        let mut ids = decision.holding_ids.clone();
        if decision.base_holds {
            ids.push(self.state.base.id);
        }
        ids.sort_unstable();
        ids.dedup();
        let listed = ids.len().min(limits::MAX_EARLIER);
        let earlier = ids[..listed].iter().map(|id| {
            let fate = match *id == decision.parent {
                true => Fate::Destroyed,
                false => Fate::SupersededKeyDestroyed,
            };
            EarlierModel { id: Hex(*id), fate }
        });
        Ok(Lineage {
            retained_root: root.into(),
            retained_samples: samples,
            destroyed_training: gone.samples - gone.held.min(gone.samples),
            destroyed_holdout: gone.held,
            earlier: earlier.collect(),
            earlier_unlisted: (ids.len() - listed) as u64,
        })
    }

    fn method(
        &self,
        job: &Job,
        decision: &Decision,
        guarantee: Guarantee,
    ) -> Result<Method, HomeError> {
        let (mut epochs, mut steps, mut seed) = (0, 0, self.state.seed);
        let mut told = serde_json::json!({});
        let anchor = self.anchor.as_ref().map_or(0, |set| set.train.len());
        for leg in decision.work.iter().flat_map(|work| &work.legs) {
            let recipe = leg.recipe()?;
            let leaving = job.people();
            let samples = anchor as u64
                + self.store()?.counted(|number, header| {
                    number < leg.upto && !header.held && !header.concerns(&leaving)
                })?;
            epochs += recipe.epochs as u64;
            steps += recipe.epochs as u64 * samples.div_ceil(recipe.batch.max(1) as u64);
            seed = recipe.seed;
            told = settings(&recipe)?;
        }
        let word = match self.state.base.provenance {
            Provenance::Population => {
                "the operator declares the base `population`: nobody of this device is in it"
            }
            Provenance::Enrolled => {
                "the operator declares the base `enrolled`: what it was made from is not on this device"
            }
            Provenance::Undeclared => "nobody declares whose data the base was made from",
        };
        Ok(Method {
            name: decision.choice.name().into(),
            settings: told,
            guarantee,
            on_whose_word: word.into(),
            seed,
            epochs,
            steps,
            restarts: job.resumed.into(),
            failed_before: job.failed.iter().take(limits::MAX_MEASURED).map(failed).collect(),
        })
    }
}

fn failed(way: &Failed) -> FailedWay {
    let at = if way.learnt { Lapse::Gate } else { Lapse::Run };
    FailedWay { name: way.choice.name().into(), at }
}

fn requested(open: &Open, committed: u64) -> Request {
    Request {
        id: Hex(open.request.id),
        subject: Hex(open.request.commitment),
        received: open.request.at,
        deadline: open.request.deadline,
        stopped: open.stopped.unwrap_or(committed),
        shredded: open.shredded.unwrap_or(committed),
    }
}

fn evidence(level: Level) -> Evidence {
    match level {
        Level::L0 => Evidence::L0,
        Level::L1 => Evidence::L1,
        Level::L2 => Evidence::L2,
        Level::L3 => Evidence::L3,
    }
}

fn mask_digest(model: &Artifact) -> Digest {
    let mut parts = crate::base::hash::Parts::new("unlearn receipt: masks, version 1");
    for parameter in &model.network.parameters {
        let positions: Vec<u8> =
            parameter.mask.iter().flat_map(|at| (at as u32).to_le_bytes()).collect();
        parts.part(positions.len() as u64, [positions]);
    }
    parts.finish()
}

/// What the gate measured, without a figure of any one person.
fn gate_of(job: &Job, learnt: bool) -> Gate {
    let confidence = Ppm(950_000);
    let nothing = || Gate {
        verdict: Verdict::NotMeasured,
        confidence,
        accuracies: Vec::new(),
        probes: Vec::new(),
        worst_off: None,
    };
    let told = job.gated.as_ref().map(|(_, verdict)| &verdict.told).filter(|_| learnt);
    let Some(gated) = told.and_then(|told| serde_json::from_str::<Gated>(told).ok()) else {
        return nothing();
    };
    let mut accuracies = Vec::new();
    for (on, of) in
        [(MeasuredOn::Calibration, &gated.calibration), (MeasuredOn::Holdouts, &gated.holdouts)]
    {
        accuracies.extend(of.as_ref().and_then(|of| accuracy(on, of, gated.beside_ancestor)));
    }
    let probes = [(Probe::Mia, &gated.memory), (Probe::Ua, &gated.errors)];
    let probes =
        probes.into_iter().filter_map(|(probe, of)| of.as_ref().map(|of| probed(probe, of)));
    let probes: Vec<Probed> = probes.collect();
    if accuracies.is_empty() && probes.is_empty() {
        return nothing();
    }
    let doubt = probes.iter().any(|probe| probe.verdict == Verdict::Inconclusive);
    let verdict = if doubt { Verdict::Inconclusive } else { Verdict::Passed };
    let worst_off = gated.each.and_then(|each| {
        let verdict = if each.passed { Verdict::Passed } else { Verdict::Failed };
        Some(Bounded { limit: Ppm::of(each.limit / 100.0)?, verdict })
    });
    Gate { verdict, confidence, accuracies, probes, worst_off }
}

fn accuracy(on: MeasuredOn, of: &RetainedVerdict, beside: bool) -> Option<Accuracy> {
    let drop = &of.drop;
    let right = drop.right_before - drop.lost + drop.gained;
    let estimate = |right: usize| {
        let [low, high] = wilson95(right, drop.samples);
        let share = right as f64 / drop.samples as f64;
        Some(Estimate { share: Ppm::of(share)?, low: Ppm::of(low)?, high: Ppm::of(high)? })
    };
    let least = (drop.right_before as f64 / drop.samples as f64 - of.limit / 100.0).max(0.0);
    (drop.samples as u64 >= limits::LEAST_SAMPLES).then_some(())?;
    Some(Accuracy {
        on,
        samples: drop.samples as u64,
        // Of the parent, or not told.
        before: estimate(drop.right_before).filter(|_| !beside),
        after: estimate(right)?,
        limit: Ppm::of(least)?,
        verdict: if of.passed { Verdict::Passed } else { Verdict::Failed },
    })
}

fn probed(probe: Probe, of: &crate::evaluate::Evidence) -> Probed {
    use crate::evaluate::equivalence::Verdict as Found;
    let verdict = match of.verdict {
        Found::Passed => Verdict::Passed,
        Found::Failed => Verdict::Failed,
        Found::Inconclusive => Verdict::Inconclusive,
    };
    let power = match of.power {
        Some(power) if power >= 0.8 => Power::Adequate,
        Some(power) if power >= 0.5 => Power::Weak,
        Some(_) => Power::Poor,
        None => Power::Unknown,
    };
    Probed { probe, verdict, margin: Ppm::of(of.margin).unwrap_or(Ppm::WHOLE), power }
}

fn destroyed(decision: &Decision, state: &State, generation: u64) -> Vec<Destroyed> {
    let how = format!("left out of keyring {}; every older device key removed", generation + 1);
    let one = |what: &str, how: &str| Destroyed { what: what.into(), how: how.into() };
    let mut all = vec![
        one("the subject's key", &how),
        one(
            "the subject's samples, holdouts, labels, groups and name",
            "removed from the index; sealed under the key that is gone",
        ),
    ];
    if !decision.holding.is_empty() || decision.base_holds {
        all.push(one("models that knew the subject, batch-norm statistics included", &how));
    }
    if decision.choice != Choice::NeverLearnt {
        all.push(one(
            "checkpoints and momentum of the repair",
            "removed; sealed under a key that is gone or of the model that serves",
        ));
    }
    if state.base.dead {
        all.push(one("the base", &how));
    }
    all
}

fn not_covered(rollback: Rollback, level: Level, returned: bool) -> Vec<String> {
    let returned = returned.then_some(
        "an earlier life of the subject here: the model that serves had to forget somebody once, and a subject who was erased and came back under another key is not known to be the same",
    );
    let snapshot = match rollback {
        Rollback::None => Some(
            "a snapshot of the whole home, key store included, that was taken before: no witness outside the home was given",
        ),
        Rollback::Witness => Some(
            "a snapshot of the whole home, key store included, that is put back together with its witness",
        ),
        _ if level < Level::L3 => Some(
            "a snapshot of the TPM's own state, where that lies in files, that is put back together with the home",
        ),
        _ => None,
    };
    let flash = (level < Level::L2).then_some(
        "blocks that a flash disk has not reused yet may still hold a device key that was a file",
    );
    let always = [
        "copies outside this home: back-ups, recordings, other devices, whoever was told",
        "memory that the system swapped out",
    ];
    let some = snapshot.into_iter().chain(flash).chain(always).chain(returned);
    some.map(String::from).collect()
}
