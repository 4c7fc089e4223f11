//! The journal of an erasure: what was asked, what was done, each record chained to the one before.
//!
//! The file is `unlearnj | version (u32) | head (32)`, then frames `length (u32) | record | link (32)`,
//! where a link is the digest of the link before (first the head) and the record. It is replaced whole
//! with each record: it is short, ends with every erasure, and so is never torn, which means that
//! whatever does not fit was changed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::HomeError;
use super::learn::Done;
use super::receipt::Policy;
use super::state::Id;
use crate::base::bytes::Reader;
use crate::base::disk::{Disk, replace};
use crate::base::hash::Digest;
use crate::vault::{Count, Handle};

const MAGIC: &[u8; 8] = b"unlearnj";
const VERSION: u32 = 1;
/// The longest journal that is read.
const MAX_FILE: u64 = 16 << 20;
const LINK: &str = "unlearn journal: link, version 1";

/// A request as it was received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Its random number.
    pub id: [u8; 16],
    /// Whom to erase.
    pub person: Handle,
    /// The commitment to them, for the receipt.
    pub commitment: Id,
    /// What comes first.
    pub policy: Policy,
    /// The method that was asked for, where one was.
    pub method: Option<Choice>,
    /// When it must be done, in seconds since 1970.
    pub deadline: Option<u64>,
    /// Whether the model that knows them may answer until it is repaired.
    pub serve_until_repaired: bool,
    /// Whether the base knows them: one that people of this site are in, unless somebody knows better.
    pub in_base: bool,
    /// When it came, in seconds since 1970.
    pub at: u64,
}

/// How to make a model forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// No model learnt from them: only samples and keys go.
    NeverLearnt,
    /// From the clean ancestor on, the same adaptations without them.
    ExactReplay,
    /// Fine-tuning over what is retained, under an l1 pull towards the base.
    L1Sparse,
    /// Back to the clean ancestor; what was adapted since is lost.
    Reset,
}

impl Choice {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::NeverLearnt => "never-learnt",
            Self::ExactReplay => "exact-replay",
            Self::L1Sparse => "l1-sparse",
            Self::Reset => "reset",
        }
    }
}

/// What is to be done, as it was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// How.
    pub choice: Choice,
    /// Slots of the models that know somebody.
    pub holding: Vec<String>,
    /// Their ids.
    pub holding_ids: Vec<Id>,
    /// Whether the base is one of them.
    pub base_holds: bool,
    /// The slot of the clean ancestor; the base where there is none.
    pub ancestor: Option<String>,
    /// The id of the model that was served.
    pub parent: Id,
    /// What there is of theirs, and will go.
    pub doomed: Count,
    /// Seconds that it is expected to take.
    pub seconds: f64,
    /// Bytes of memory that it is expected to take.
    pub bytes: u64,
    /// What fills the new slot, where something must be learnt.
    pub work: Option<super::state::Work>,
    /// Whether the model that was served answered each retained sample rightly, where it was asked.
    pub before: Vec<bool>,
}

/// What the gate said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// As JSON, for the receipt.
    pub told: String,
    /// Whether the candidate may be served.
    pub passed: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A request came.
    Received(Request),
    /// It was taken back, before anything was done.
    Cancelled([u8; 16]),
    /// The models that know them answer no more.
    Stopped(u64),
    /// What is to be done was decided.
    Decided(u64, Decision),
    /// Their samples and keys are gone; so many.
    Shredded(u64, Count),
    /// The candidate is written: what came of the work, where there was some.
    Unlearnt(u64, Option<Done>),
    /// The candidate was judged.
    Gated(u64, Verdict),
    /// Something failed, and another way is to be decided.
    Failed(u64, String),
    /// A process found the job open and goes on with it.
    Resumed(u64),
    /// What the gate is to hold the candidate against, as it was asked for with the request before.
    Bounded(Bounds),
}

/// How much accuracy a request lets be lost, in percentage points; none where it did not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// On what is retained.
    pub drop: Option<f64>,
    /// By the person who is worst off.
    pub worst: Option<f64>,
}

impl Bounds {
    /// The narrower of both, each for itself.
    pub(super) fn narrower(self, other: Self) -> Self {
        let least = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self { drop: least(self.drop, other.drop), worst: least(self.worst, other.worst) }
    }
}

/// The journal, in memory and on disk.
#[derive(Clone, Debug)]
pub struct Journal {
    path: PathBuf,
    head: Id,
    link: Id,
    body: Vec<u8>,
    events: Vec<Event>,
    /// The link behind each event.
    links: Vec<Id>,
}

/// Where a journal stands to what the state of the home says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// What it holds came after the last job that ended.
    Open,
    /// What it holds is the last job that ended; the power went before it was emptied.
    Ended,
    /// It is an older one, or another home's.
    Elsewhere,
}

impl Journal {
    /// Opens the journal at `path`; an empty one if there is none.
    ///
    /// # Errors
    /// If it was changed.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<Self, HomeError> {
        let path = path.to_path_buf();
        if !disk.exists(&path)? {
            let (body, events, links) = (Vec::new(), Vec::new(), Vec::new());
            return Ok(Self { path, head: [0; 32], link: [0; 32], body, events, links });
        }
        let bytes = disk.read(&path)?;
        let damaged = |offset: usize, what: &str| HomeError::Damaged {
            path: path.clone(),
            offset: offset as u64,
            what: format!(
                "{what}; put back the newest copy: without it nobody knows who asked to be erased, and nothing that was learnt here is served"
            ),
        };
        if bytes.len() as u64 > MAX_FILE {
            return Err(damaged(0, "it is longer than any journal"));
        }
        let mut reader = Reader::new(&bytes);
        let short = |_| damaged(bytes.len(), "it ends too early");
        if reader.take(8).map_err(short)? != MAGIC {
            return Err(damaged(0, "it does not begin with `unlearnj`"));
        }
        if reader.u32().map_err(short)? != VERSION {
            return Err(damaged(8, "another version of the program wrote it"));
        }
        let head: Id = reader.array().map_err(short)?;
        let (start, mut link) = (reader.position(), head);
        let (mut events, mut links) = (Vec::new(), Vec::new());
        while reader.remaining() > 0 {
            let at = reader.position();
            let len = reader.u32().map_err(short)? as usize;
            let record = reader.take(len).map_err(short)?;
            link = link_of(&link, record);
            if reader.array::<32>().map_err(short)? != link {
                return Err(damaged(at, "a record is not the one that was written"));
            }
            let event = postcard::from_bytes(record);
            events.push(event.map_err(|_| damaged(at, "a record does not decode"))?);
            links.push(link);
        }
        let body = bytes[start..].to_vec();
        Ok(Self { path, head, link, body, events, links })
    }

    /// Adds `events`, durably and at once.
    ///
    /// # Errors
    /// If they cannot be written; none of them is there then.
    pub fn add(&mut self, disk: &mut dyn Disk, events: Vec<Event>) -> Result<(), HomeError> {
        let (mut link, mut body, mut links) = (self.link, self.body.clone(), Vec::new());
        for event in &events {
            let record = postcard::to_allocvec(event).map_err(|error| HomeError::Setting {
                field: "a record of the journal",
                found: error.to_string(),
                expected: "a record that encodes",
            })?;
            link = link_of(&link, &record);
            body.extend((record.len() as u32).to_le_bytes());
            body.extend(record);
            body.extend(link);
            links.push(link);
        }
        self.write(disk, self.head, &body)?;
        (self.link, self.body) = (link, body);
        self.events.extend(events);
        self.links.extend(links);
        Ok(())
    }

    /// Empties it: the next job begins behind `head`, the link at which the last one ended.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn close(&mut self, disk: &mut dyn Disk, head: Id) -> Result<(), HomeError> {
        self.write(disk, head, &[])?;
        (self.head, self.link) = (head, head);
        self.body.clear();
        self.events.clear();
        self.links.clear();
        Ok(())
    }

    /// The link behind the last event.
    pub fn link(&self) -> Id {
        self.link
    }

    /// The link behind the newest stop.
    pub fn last_stop(&self) -> Option<Id> {
        let stop = self.events.iter().rposition(|event| matches!(event, Event::Stopped(_)));
        stop.map(|at| self.links[at])
    }

    /// Whether an event ends at `link`.
    pub fn holds(&self, link: &Id) -> bool {
        self.links.contains(link)
    }

    /// Where it stands, if the last job ended at `last`.
    pub fn stands(&self, last: &Id) -> Stands {
        match self.head == *last {
            true => Stands::Open,
            false if self.links.contains(last) => Stands::Ended,
            false => Stands::Elsewhere,
        }
    }

    fn write(&self, disk: &mut dyn Disk, head: Id, body: &[u8]) -> Result<(), HomeError> {
        let file = [&MAGIC[..], &VERSION.to_le_bytes(), &head, body].concat();
        Ok(replace(disk, &self.path, &file)?)
    }

    /// What happened since the last job ended.
    pub fn events(&self) -> &[Event] {
        &self.events
    }
}

fn link_of(before: &Id, record: &[u8]) -> Id {
    Digest::of_parts(LINK, &[before, record]).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_an_older_journal_is_what_it_was() {
        // New kinds of events come behind the others.
        let spelt = |event: &Event| postcard::to_allocvec(event).unwrap();
        assert_eq!(spelt(&Event::Cancelled([7; 16])), [&[1][..], &[7; 16]].concat());
        assert_eq!(spelt(&Event::Stopped(5)), [2, 5]);
        assert_eq!(spelt(&Event::Unlearnt(5, None)), [5, 5, 0]);
        assert_eq!(spelt(&Event::Resumed(5)), [8, 5]);
        let bounds = Bounds { drop: Some(1.0), worst: None };
        assert_eq!(spelt(&Event::Bounded(bounds))[0], 9);
        let other = Bounds { drop: Some(2.0), worst: Some(3.0) };
        let both = Bounds { drop: Some(1.0), worst: Some(3.0) };
        assert_eq!((bounds.narrower(other), other.narrower(bounds)), (both, both));
    }
}
