//! What a home knows of itself. It lies in the keyring, so that it changes together with the keys.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::HomeError;
use super::receipt::Guarantee;
use crate::base::hash::Digest;
use crate::format::Provenance;
use crate::train::Recipe;
use crate::vault::{Handle, Quota};

/// The version of [`State`] that this program writes. It reads all from 1 on.
const VERSION: u32 = 2;
/// What version 2 has behind version 1, as a home has it that has none of it: no witness, no marks, no
/// chain, no stop, nothing measured.
const BEHIND_VERSION_1: [u8; 43] = [0; 43];
const CHAIN: &str = "unlearn home: chain of marks, version 1";

/// A digest as bytes.
pub type Id = [u8; 32];

/// The state of a home.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// The device, a random number.
    pub device: [u8; 16],
    /// Seed of all that is drawn: holdouts, orders, new heads.
    pub seed: u64,
    /// Share of each person's groups that only measures.
    pub holdout: f64,
    /// How much may be kept.
    pub quota: Quota,
    /// What everything began with.
    pub base: Base,
    /// Models that were made here, the oldest first.
    pub models: Vec<Model>,
    /// The slot that is served; the base where there is none.
    pub live: Option<String>,
    /// What is being learnt.
    pub pending: Option<Work>,
    /// Adaptations so far.
    pub adaptations: u32,
    /// Handles of people who were erased.
    pub erased_people: Vec<Handle>,
    /// Models that knew them.
    pub erased_models: Vec<Id>,
    /// Receipts so far.
    pub receipts: u64,
    /// The digest of the last of them.
    pub last_receipt: Id,
    /// The link of the journal at which the last job ended.
    pub journal: Id,
    /// The file outside the home that knows how far it has come, where one was named.
    pub witness: Option<PathBuf>,
    /// How often something happened that must not be undone: a stop, a new device key.
    pub mark: u64,
    /// The chain of those: another for another life of the home.
    pub chain: Id,
    /// The link of the journal behind the newest stop, as long as that job is open.
    pub stopped: Option<Id>,
    /// Seconds a byte of records that the last compaction of the index took; 0 where none was measured.
    pub compacting: f64,
}

/// The model package that was installed, or what took its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Base {
    /// Its logical id.
    pub id: Id,
    /// Whose data is in it.
    pub provenance: Provenance,
    /// The slot it is sealed in; a plain file where there is none.
    pub slot: Option<String>,
    /// Whether it may not be served any more, because it knew somebody who was erased.
    pub dead: bool,
    /// The guarantee of it: a base that had to forget somebody here is approximate, and so is what begins
    /// with it.
    pub class: Guarantee,
}

/// A model that was made here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The slot it is sealed in.
    pub slot: String,
    /// Its logical id.
    pub id: Id,
    /// How it came about, from the base on.
    pub steps: Vec<Step>,
    /// The worst guarantee of its ancestry.
    pub class: Guarantee,
    /// Bytes of its file before sealing.
    pub bytes: u64,
}

/// One run on the way to a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// How it learnt.
    pub leg: Leg,
    /// Whose samples it learnt from, but for those whom a step before it names.
    pub people: Vec<Handle>,
}

/// One run as it is ordered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leg {
    /// Its number among the adaptations, from 1.
    pub number: u32,
    /// Samples with numbers below this took part, but for those that only measure.
    pub upto: u64,
    /// Whether it repairs: pulls weights back to the base.
    pub repair: bool,
    /// Its recipe, as JSON.
    recipe: String,
}

impl Leg {
    /// A run by `recipe`.
    pub fn new(number: u32, upto: u64, repair: bool, recipe: &Recipe) -> Self {
        Self { number, upto, repair, recipe: serde_json::to_string(recipe).unwrap_or_default() }
    }

    /// How it learns.
    ///
    /// # Errors
    /// If another version wrote it.
    pub fn recipe(&self) -> Result<Recipe, HomeError> {
        serde_json::from_str(&self.recipe).map_err(|_| HomeError::Setting {
            field: "a recipe of the home",
            found: self.recipe.clone(),
            expected: "a recipe of this version",
        })
    }

    /// Its recipe as text.
    pub fn text(&self) -> &str {
        &self.recipe
    }
}

/// What is to be learnt: from a start, one leg after another, into a new slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// The slot that it will fill.
    pub slot: String,
    /// The slot it starts from; the base where there is none.
    pub start: Option<String>,
    /// What to do.
    pub legs: Vec<Leg>,
    /// Instruction set and pieces of the batch, as `cpu/avx2 micro-batch=16`.
    pub plan: String,
    /// Whether it is an adaptation; a repair where not.
    pub adapts: bool,
    /// Whether it becomes a base of its own, with the anchor set in it.
    pub roots: bool,
}

impl State {
    /// The state of a new home.
    pub fn new(device: [u8; 16], seed: u64, holdout: f64, quota: Quota, base: Base) -> Self {
        Self {
            version: VERSION,
            device,
            seed,
            holdout,
            quota,
            base,
            models: Vec::new(),
            live: None,
            pending: None,
            adaptations: 0,
            erased_people: Vec::new(),
            erased_models: Vec::new(),
            receipts: 0,
            last_receipt: [0; 32],
            journal: [0; 32],
            witness: None,
            mark: 0,
            chain: [0; 32],
            stopped: None,
            compacting: 0.0,
        }
    }

    /// Counts something that must not be undone.
    ///
    /// # Errors
    /// If the state does not encode.
    pub(super) fn advance(&mut self) -> Result<(), HomeError> {
        self.mark += 1;
        // The chain so far is in the state.
        self.chain = Digest::of_parts(CHAIN, &[&self.encode()?]).0;
        Ok(())
    }

    /// As bytes for the keyring.
    ///
    /// # Errors
    /// If it does not encode: then nothing may be written in its place.
    pub fn encode(&self) -> Result<Vec<u8>, HomeError> {
        let wrong = |error: postcard::Error| HomeError::Setting {
            field: "the state of the home",
            found: error.to_string(),
            expected: "a state that encodes",
        };
        postcard::to_allocvec(self).map_err(wrong)
    }

    /// Out of the keyring. `None` if another version wrote it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let old;
        let whole = match bytes.first() {
            Some(1) => {
                old = zeroize::Zeroizing::new([bytes, &BEHIND_VERSION_1].concat());
                &old[..]
            }
            _ => bytes,
        };
        let (state, rest) = postcard::take_from_bytes::<Self>(whole).ok()?;
        let known = (1..=VERSION).contains(&state.version);
        (rest.is_empty() && known).then_some(Self { version: VERSION, ..state })
    }

    /// The model in `slot`.
    pub fn model(&self, slot: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.slot == slot)
    }

    /// The model that is served, where it is not the base.
    pub fn live_model(&self) -> Option<&Model> {
        self.live.as_deref().and_then(|slot| self.model(slot))
    }

    /// Models that learnt from any of `people`.
    pub fn holding<'a>(&'a self, people: &'a [Handle]) -> impl Iterator<Item = &'a Model> {
        self.models.iter().filter(|model| model.holds(people))
    }

    /// The newest model that learnt from none of `people`; the base where there is none.
    pub fn clean_ancestor(&self, people: &[Handle]) -> Option<&Model> {
        self.models.iter().rev().find(|model| !model.holds(people))
    }

    /// Samples that something was, or is to be, learnt from have numbers below this.
    pub fn ordered_upto(&self) -> u64 {
        let legs = self.pending.iter().flat_map(|work| work.legs.iter().map(|leg| leg.upto));
        legs.fold(self.learnt_upto(), u64::max)
    }

    /// The samples that some model learnt from all have numbers below this.
    pub fn learnt_upto(&self) -> u64 {
        let legs = self.models.iter().flat_map(|m| m.steps.iter().map(|step| step.leg.upto));
        legs.max().unwrap_or(0)
    }
}

/// `before`, then `new`. Whoever is named by a step before is not named again: a model holds everybody
/// whom any of its steps names, and a chain of many adaptations must not name everybody in each.
pub(super) fn chained(before: Vec<Step>, new: &[Step]) -> Vec<Step> {
    let mut all = before;
    for step in new {
        let named = |person: &Handle| all.iter().any(|step| step.people.contains(person));
        let people = step.people.iter().copied().filter(|person| !named(person)).collect();
        all.push(Step { leg: step.leg.clone(), people });
    }
    all
}

impl Model {
    /// Whether it learnt from any of `people`.
    pub fn holds(&self, people: &[Handle]) -> bool {
        self.steps.iter().any(|step| step.people.iter().any(|person| people.contains(person)))
    }

    /// Its id in hexadecimal.
    pub fn id_text(&self) -> String {
        Digest(self.id).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_the_first_version_is_read() {
        let base = Base {
            id: [3; 32],
            provenance: Provenance::Population,
            slot: None,
            dead: false,
            class: Guarantee::NeverLearnt,
        };
        let quota = Quota { samples: 300, bytes: 1 << 20 };
        let state = State::new([7; 16], 5, 0.2, quota, base);
        let mut old = state.encode().unwrap();
        assert_eq!(State::decode(&old).as_ref(), Some(&state));
        assert_eq!(old.split_off(old.len() - BEHIND_VERSION_1.len()), BEHIND_VERSION_1);
        assert!(State::decode(&old).is_none(), "half of a state of this version");
        old[0] = 1;
        assert_eq!(State::decode(&old).as_ref(), Some(&state));
        old[0] = 3;
        assert!(State::decode(&old).is_none());
    }

    #[test]
    fn marks_of_two_lives_differ() {
        let base = Base {
            id: [3; 32],
            provenance: Provenance::Population,
            slot: None,
            dead: false,
            class: Guarantee::NeverLearnt,
        };
        let mut one = State::new([7; 16], 5, 0.2, Quota { samples: 3, bytes: 3 }, base);
        let mut other = State { adaptations: 1, ..one.clone() };
        one.advance().unwrap();
        other.advance().unwrap();
        assert_eq!((one.mark, other.mark), (1, 1));
        assert_ne!(one.chain, other.chain);
        let before = one.chain;
        one.advance().unwrap();
        assert!(one.mark == 2 && one.chain != before);
    }
}
