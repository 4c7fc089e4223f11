//! What can be asked of a home, by words or through its socket: one value a request, one a reply.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::fault::Fault;
use super::super::machine::Machine;
use crate::base::clock::Stopwatch;
use crate::data::Augment;
use crate::erase::receipt::{Nonce, Policy};
use crate::erase::{
    Bounds, Choice, Given, Home, HomeError, Limits, Onlooker, Ticket, Wish, default_recipe,
};
use crate::sparse::Isa;
use crate::train::{Recipe, Schedule, Trained};
use crate::vault::Values;

/// A sample as a line of JSON has it. `values` are numbers as they are, `bytes` stand for `byte / 255`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// The same, where it is one person's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The name of its class; not for a prediction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What it must not be parted from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Its numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<f32>,
    /// The same, as bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bytes: Vec<u8>,
}

impl Line {
    /// The sample; `index` is for the error.
    pub(super) fn given(self, index: usize) -> Result<Given, HomeError> {
        let wrong = |rule: &str| Err(HomeError::Sample { index, rule: rule.into() });
        let mut subjects = self.subjects;
        subjects.extend(self.subject);
        let values = match (self.values.is_empty(), self.bytes.is_empty()) {
            (false, true) => Values::Floats(self.values),
            (true, false) => Values::Bytes(self.bytes),
            _ => return wrong("expected either `values` or `bytes`, and not empty"),
        };
        let Some(label) = self.label else {
            return wrong("it has no `label`, the name of its class");
        };
        Ok(Given { subjects, label, group: self.group, values })
    }
}

/// How to adapt, where it differs from the default.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adaptation {
    pub epochs: Option<usize>,
    pub batch: Option<usize>,
    pub rate: Option<f32>,
    pub momentum: Option<f32>,
    pub decay: Option<f32>,
    pub schedule: Option<Schedule>,
    pub augment: Option<Augment>,
    pub train: Option<Trained>,
    pub memory: Option<u64>,
    pub joules: Option<f64>,
}

impl Adaptation {
    pub(super) fn recipe(&self) -> Recipe {
        let recipe = default_recipe();
        Recipe {
            epochs: self.epochs.unwrap_or(recipe.epochs),
            batch: self.batch.unwrap_or(recipe.batch),
            rate: self.rate.unwrap_or(recipe.rate),
            momentum: self.momentum.unwrap_or(recipe.momentum),
            decay: self.decay.unwrap_or(recipe.decay),
            schedule: self.schedule.clone().unwrap_or(recipe.schedule.clone()),
            augment: self.augment.unwrap_or(recipe.augment),
            trained: self.train.unwrap_or(recipe.trained),
            ..recipe
        }
    }
}

/// Whom to erase, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// Names, each once.
    pub subjects: Vec<String>,
    /// What comes first.
    #[serde(default = "shred_first")]
    pub policy: Policy,
    /// The method, where the planner is not to choose.
    #[serde(default)]
    pub method: Option<Choice>,
    /// Seconds from now by which it must be done.
    #[serde(default)]
    pub deadline: Option<u64>,
    /// Whether what knows them may answer until it is repaired.
    #[serde(default)]
    pub serve_until_repaired: bool,
    /// Whether a base that people of this site are in does not know them.
    #[serde(default)]
    pub not_in_base: bool,
    /// Only to say what it would take.
    #[serde(default)]
    pub dry_run: bool,
    /// Only to note it: it can be cancelled until it is resumed.
    #[serde(default)]
    pub later: bool,
    /// What opens the commitment of each subject, in the order of the names; drawn where none are given.
    #[serde(default)]
    pub nonces: Vec<String>,
    /// Bytes of memory that the repair may take.
    #[serde(default)]
    pub memory: Option<u64>,
    /// Joules that it may take, from the decision on.
    #[serde(default)]
    pub joules: Option<f64>,
    /// Percentage points of accuracy that may be lost.
    #[serde(default)]
    pub max_drop: Option<f64>,
    /// Percentage points of accuracy that each person who stays may lose for sure.
    #[serde(default)]
    pub max_worst_drop: Option<f64>,
}

fn shred_first() -> Policy {
    Policy::ShredFirst
}

/// A request to a home.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Call {
    /// To take samples in.
    Ingest { samples: Vec<Line> },
    /// To learn from them.
    Adapt(Adaptation),
    /// To answer.
    Predict { samples: Vec<Line> },
    /// To erase people.
    Erase(Erasure),
    /// To take a request back.
    Cancel { request: String },
    /// To finish what was begun.
    Resume,
    /// To say how things are.
    Status,
    /// To give a receipt out, as hexadecimal; the list of them without a number.
    Receipt { number: Option<u64> },
    /// To give a person's samples out.
    Samples { subject: String },
    /// To remove what nothing needs.
    Gc,
}

impl Call {
    /// Whether it waits until nothing else is under way.
    pub(super) fn finishes_first(&self) -> bool {
        matches!(self, Self::Ingest { .. } | Self::Adapt(_) | Self::Resume | Self::Gc)
    }

    /// The same on `machine`: with the memory that its board lets a run have, where nobody said how much.
    ///
    /// # Errors
    /// If energy is limited and nothing measures it.
    pub(super) fn on(mut self, machine: &Machine) -> Result<Self, Fault> {
        let board = machine.memory(None).map(|bytes| bytes.0);
        let (memory, joules) = match &mut self {
            Self::Adapt(how) => (&mut how.memory, how.joules),
            Self::Erase(how) => (&mut how.memory, how.joules),
            _ => return Ok(self),
        };
        *memory = memory.or(board);
        if joules.is_some() && machine.gauge()().is_none() {
            return Err(Fault::Usage(
                "--max-joules: no sensor of power answers on this machine; `unlearn board` tells what there is".into(),
            ));
        }
        Ok(self)
    }
}

/// Does what `call` says.
pub(super) fn perform(
    home: &mut Home,
    call: Call,
    onlooker: &mut dyn Onlooker,
) -> Result<Value, HomeError> {
    match call {
        Call::Ingest { samples } => {
            let given = given(samples)?;
            Ok(json!(home.ingest(&given)?))
        }
        Call::Adapt(how) => {
            home.limit_memory(how.memory);
            home.limit_energy(how.joules);
            Ok(json!(home.adapt(how.recipe(), onlooker)?))
        }
        Call::Predict { samples } => predict(home, &samples),
        Call::Erase(how) if how.dry_run => plan(home, &how),
        Call::Erase(how) => {
            let (tickets, seconds) = receive(home, &how)?;
            let erased = match how.later {
                true => None,
                false => {
                    home.limit_memory(how.memory);
                    home.limit_energy(how.joules);
                    home.carry_out(Limits::default(), onlooker)?
                }
            };
            Ok(json!({ "tickets": tickets, "stopped_seconds": seconds, "erased": erased }))
        }
        Call::Cancel { request } => {
            home.cancel(&request)?;
            Ok(json!({ "cancelled": request }))
        }
        Call::Resume => {
            let (mut adapted, mut erased) = (None, Vec::new());
            if home.job().is_none() && home.state().pending.as_ref().is_some_and(|work| work.adapts)
            {
                adapted = Some(home.finish_adapting(onlooker)?);
            }
            home.note_resumed()?;
            while let Some(one) = home.carry_out(Limits::default(), onlooker)? {
                erased.push(one);
            }
            Ok(json!({ "adapted": adapted, "erased": erased }))
        }
        Call::Status => super::status::of(home),
        Call::Receipt { number } => receipt(home, number),
        Call::Samples { subject } => samples_of(home, &subject),
        Call::Gc => Ok(json!(home.collect_garbage()?)),
    }
}

pub(super) fn given(samples: Vec<Line>) -> Result<Vec<Given>, HomeError> {
    samples.into_iter().enumerate().map(|(index, line)| line.given(index)).collect()
}

/// Takes an erasure in, and stops what knows them unless it is for later. With the seconds that it took.
pub(super) fn receive(home: &mut Home, how: &Erasure) -> Result<(Vec<Ticket>, f64), HomeError> {
    let watch = Stopwatch::start();
    let wrong =
        |found: String, expected| HomeError::Setting { field: "the nonce", found, expected };
    if !how.nonces.is_empty() && how.nonces.len() != how.subjects.len() {
        let found = format!("there {} times", how.nonces.len());
        return Err(wrong(found, "there once for each subject, or not at all"));
    }
    let mut wishes = Vec::new();
    for (index, subject) in how.subjects.iter().enumerate() {
        let nonce = how.nonces.get(index).map(|text| {
            let found = format!("{} bytes that are none", text.len());
            Nonce::parse(text).map_err(|_| wrong(found, "64 hexadecimal digits in lower case"))
        });
        let nonce = nonce.transpose()?;
        wishes.push(Wish {
            subject: subject.clone(),
            policy: how.policy,
            method: how.method,
            deadline: how.deadline,
            serve_until_repaired: how.serve_until_repaired,
            nonce,
            not_in_base: how.not_in_base,
            bounds: Bounds { drop: how.max_drop, worst: how.max_worst_drop },
        });
    }
    let tickets = home.receive(wishes, !how.later)?;
    Ok((tickets, watch.seconds()))
}

fn plan(home: &mut Home, how: &Erasure) -> Result<Value, HomeError> {
    home.limit_memory(how.memory);
    home.limit_energy(how.joules);
    let people =
        how.subjects.iter().map(|name| home.handle_of(name)).collect::<Result<Vec<_>, _>>()?;
    let enrolled = home.base_may_know();
    let seconds = how.deadline.map(|seconds| seconds as f64);
    Ok(json!({ "plan": home.plan(&people, enrolled && !how.not_in_base, how.method, seconds)? }))
}

fn predict(home: &mut Home, samples: &[Line]) -> Result<Value, HomeError> {
    let model = home.serving()?;
    let mut oracle = super::oracle::Oracle::new(&model, Isa::best());
    Ok(json!({ "model": model.id.to_string(), "answers": oracle.answer_all(samples)? }))
}

fn receipt(home: &Home, number: Option<u64>) -> Result<Value, HomeError> {
    let key = home.signing_key()?.public().to_string();
    let one = |number: u64| -> Result<Value, HomeError> {
        let bytes = home.receipt_bytes(number)?;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = home.receipt_path(number).display().to_string();
        Ok(json!({ "number": number, "file": path, "hex": hex }))
    };
    let numbers = match number {
        Some(number) => number..=number,
        None => 1..=home.state().receipts,
    };
    let receipts = numbers.map(one).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({ "key": key, "receipts": receipts }))
}

fn samples_of(home: &Home, subject: &str) -> Result<Value, HomeError> {
    let mut samples = Vec::new();
    home.samples_of(subject, |sample, names| {
        let (values, bytes) = match &sample.values {
            Values::Floats(values) => (values.clone(), Vec::new()),
            Values::Bytes(bytes) => (Vec::new(), bytes.clone()),
        };
        samples.push(Line {
            subjects: names.to_vec(),
            subject: None,
            label: Some(sample.label.clone()),
            group: sample.group.clone(),
            values,
            bytes,
        });
    })?;
    Ok(json!({ "subject": subject, "samples": samples }))
}
