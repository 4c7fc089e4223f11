//! How a home is.

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::super::setting::{Common, Out};
use super::call::Call;
use super::{Where, tell};
use crate::base::hash::Digest;
use crate::erase::{Home, HomeError, Next, Served};

/// Show a home: who is here, which models there are, who answers, what is under way.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: unlearn status --home home")]
pub(in super::super) struct Args {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    pub common: Common,
}

pub(in super::super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let value = super::ask(&args.place.home, Call::Status, out)?;
    out.result(&tell::status(&value), &value)
}

/// As JSON.
pub(super) fn of(home: &Home) -> Result<Value, HomeError> {
    let state = home.state();
    // While a worker reads the index, nobody else does.
    let people = match home.store() {
        Ok(_) => Some(home.people()?),
        Err(_) => None,
    };
    let people = people.map(|people| {
        let one = |person: crate::vault::Person| {
            json!({
                "name": person.name, "samples": person.count.samples,
                "held_out": person.count.held, "bytes": person.count.bytes,
            })
        };
        people.into_iter().map(|(_, person)| one(person)).collect::<Vec<_>>()
    });
    let models = state.models.iter().map(|model| {
        json!({
            "id": model.id_text(), "steps": model.steps.len(), "bytes": model.bytes,
            "guarantee": model.class.to_string(), "served": state.live.as_ref() == Some(&model.slot),
        })
    });
    let served = match home.served() {
        Served::Base => Some(home.base().id.to_string()),
        Served::Slot(slot) => state.model(&slot).map(|model| model.id_text()),
        Served::Nobody => None,
    };
    let job = home.job();
    let under_way = match &job {
        Some(job) => Some(json!({
            "requests": job.requests.len(),
            "next": next(job.next()),
            "stopped": job.stopped.is_some(),
            "shredded": job.shredded.is_some(),
            "failures": job.failures,
        })),
        None => state.pending.as_ref().map(|_| json!({ "adaptation": true })),
    };
    Ok(json!({
        "home": home.folder().display().to_string(),
        "device": Digest(pad(state.device)).to_string()[..32],
        "key": home.signing_key()?.public().to_string(),
        "evidence_level": format!("{:?}", home.level()),
        "generation": home.generation(),
        "rollback_cover": home.rollback().to_string(),
        "witness": home.witness().map(|path| path.display().to_string()),
        "base": { "id": Digest(state.base.id).to_string(), "provenance": format!("{:?}", state.base.provenance).to_lowercase(), "sealed": state.base.slot.is_some() },
        "served": served,
        "models": models.collect::<Vec<_>>(),
        "subjects": people,
        "erased_subjects": state.erased_people.len(),
        "receipts": state.receipts,
        "under_way": under_way,
    }))
}

fn pad(short: [u8; 16]) -> [u8; 32] {
    let mut long = [0; 32];
    long[..16].copy_from_slice(&short);
    long
}

fn next(next: Next) -> &'static str {
    match next {
        Next::Stop => "stop",
        Next::Decide => "decide",
        Next::Shred => "shred",
        Next::Unlearn => "unlearn",
        Next::Gate => "gate",
        Next::Commit => "commit",
    }
}
